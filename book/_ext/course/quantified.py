"""Sentences with *every*, *never*, *only* and their like: each names the claim or the test that vouches for it.

``{by}`thm-elbo``` at the end of a sentence shows nothing on the page. It names claims by their labels and tests by
their names, with commas between; a sentence that links a claim with ``{prf:ref}`` has named it already. A sentence that
states no fact, such as an instruction, says so: ``{by}`no claim, an instruction```. What stands in a claim or in its
proof is vouched for by the claim's own tests.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from course.claims import claims

if TYPE_CHECKING:
    from sphinx.application import Sphinx

QUANTIFIERS = re.compile(r"\b(every|never|always|only|cannot|must|best|whatever|no other)\b", re.IGNORECASE)
VOUCHED = re.compile(r"\{by\}`([^`]+)`")
NAMED = re.compile(r"\{prf:ref\}`")
NO_CLAIM = "no claim"

FENCE = re.compile(r"^\s*(?P<fence>`{3,}|:{3,}|~{3,})(?P<directive>\{?)(?P<name>[\w:-]*)")
# What these directives hold is no prose; of a code cell, the caption is.
NO_PROSE = {"bibliography", "claim-map", "code-cell", "derivation-table", "derivation-unread", "math", "public-names"}
CAPTION = re.compile(r"^:?\s*caption:\s*(.*)")
OPTION = re.compile(r"^\s*:[\w-]+:( |$)")
ITEM = re.compile(r"\s*([-*+]|\d+\.|\|)\s")
MATH = re.compile(r"(?<!\\)\$[^$]+\$")
ROLE = re.compile(r"\{[\w:]+\}`[^`]*`")
CODE = re.compile(r"`[^`]*`")
# A sentence ends with a mark, perhaps a closing quotation or bracket and a role, before a blank and a new beginning.
END = re.compile(r"""(?<=[.!?])(?:[*_"')\]]|\{by\}`[^`]*`)*(?=\s+(?:[*_"'(\[]*[A-Z0-9$`{]|$))""")
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|cf|Fig|Eq|et al|approx)\.$")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a page and where it begins."""

    place: str
    text: str


def unvouched(page: Path) -> list[Sentence]:
    """The sentences with a quantifier that name nothing which vouches for them."""
    return [
        sentence
        for sentence in sentences(page)
        if QUANTIFIERS.search(_words(sentence.text))
        and not VOUCHED.search(sentence.text)
        and not NAMED.search(sentence.text)
    ]


def sentences(page: Path) -> Iterator[Sentence]:
    """The sentences of a page's prose and captions, without claims, proofs, code and displays."""
    for number, block in _blocks(page.read_text(encoding="utf-8").splitlines()):
        text, start = "\n".join(block), 0
        for end in [match.end() for match in END.finditer(text)] + [len(text)]:
            if end < len(text) and ABBREVIATION.search(text[start:end]):
                continue
            if sentence := text[start:end].strip():
                first = start + len(text[start:end]) - len(text[start:end].lstrip())
                yield Sentence(f"{page.name}:{number + text[:first].count(chr(10))}", " ".join(sentence.split()))
            start = end


def _words(text: str) -> str:
    """The sentence without formulas, code and roles."""
    return CODE.sub(" ", ROLE.sub(" ", MATH.sub(" ", text)))


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Paragraphs, items of lists, rows of tables and captions, each with the number of its first line."""
    reader, block, first = _Reader(), list[str](), 0
    for number, line in enumerate(chain(lines, [""]), 1):
        prose = reader.prose(line)
        if block and (prose is None or ITEM.match(prose)):
            yield first, block
            block = []
        if prose is not None:
            first = first if block else number
            block.append(prose)


class _Reader:
    """Reads a page line by line, and knows what is open: the front matter, directives and code, a display."""

    def __init__(self) -> None:
        self._lines = 0
        self._front = self._display = False
        self._fences: list[tuple[str, str]] = []

    def prose(self, line: str) -> str | None:
        """The prose on the next line; nothing where there is none, which ends a paragraph."""
        self._lines += 1
        text, fence = line.strip(), FENCE.match(line)
        if text == "---" and (self._lines == 1 or self._front):
            self._front = not self._front
        elif self._front:
            pass
        elif self._fences and text == self._fences[-1][0]:
            self._fences.pop()
        elif self._fences and self._fences[-1][1] in NO_PROSE:
            caption = CAPTION.match(text)
            return caption[1] if caption else None
        elif text.startswith("$$"):
            self._display ^= text.count("$$") == 1
        elif fence and not self._display:
            self._fences.append((fence["fence"], fence["name"] if fence["directive"] else "code-cell"))
        elif not (
            self._display
            or any(name.startswith("prf:") for _, name in self._fences)
            or text.startswith(("%", "#", "<"))
            or OPTION.match(line)
        ):
            return line if text else None
        return None


def vouching_names(root: Path) -> set[str]:
    """What may vouch for a sentence: the labels of the book's claims and the names of the project's tests."""
    labels = {claim.label for page in (root / "book").glob("*.md") for claim in claims(page)}
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (root / "tests").rglob("test_*.py"))
    functions = (node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef))
    return labels | {function.name for function in functions if function.name.startswith("test_")}


def unknown(page: Path, names: set[str]) -> list[str]:
    """One line for each name in a ``{by}`` of a page that is not among those that may vouch."""
    found = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for written in VOUCHED.findall(line):
            if written.startswith(NO_CLAIM):
                continue
            for name in (part.strip() for part in written.split(",")):
                if name not in names:
                    found.append(f"{page.name}:{number}: {{by}}`{name}` is neither a claim nor a test")
    return found


def check(root: Path) -> Iterator[str]:
    """One line for each sentence of the book that nothing vouches for, and for each voucher that does not exist."""
    names = vouching_names(root)
    for page in sorted((root / "book").glob("*.md")):
        yield from (f"{sentence.place}: nothing vouches for: {sentence.text}" for sentence in unvouched(page))
        yield from unknown(page, names)


class ByRole(SphinxRole):
    """``{by}`thm-elbo, test_name```: names what vouches for a sentence, and shows nothing."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [], []


def setup(app: Sphinx) -> None:
    app.add_role("by", ByRole())


if __name__ == "__main__":
    for source in sorted(Path("book").glob("*.md")):
        for one in unvouched(source):
            print(f"{one.place}: {one.text}")
