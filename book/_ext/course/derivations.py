"""What the derivation checker reads in the book: for the tests, and for the page that lists it.

``{derivation-table}`` counts the lines of every page, and ``{derivation-unread}`` lists the displays that are not
read, each with its reason and a link to its place. Both run the checker while the book is built.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective

from proofreader import CheckedDisplay, DerivationLine, check_derivation, check_file

if TYPE_CHECKING:
    from sphinx.application import Sphinx

COLUMNS = ("displays", "evaluated", "definition", "false on purpose", "unread")
AMSMATH = re.compile(r"\\begin\{(?:align|alignat|eqnarray|equation|flalign|gather|multline)\*?\}")


def complaints(page: Path) -> list[str]:
    """One line for each thing that the displays of a page must not say; empty if all is well.

    Raises:
        ValueError: If a mark of the page is not one that exists, or gives no reason.
    """
    found = []
    for checked in check_file(page, confirmed=False):
        display, report = checked.display, checked.report
        place = f"{page.name}:{display.line}"
        if report is None:
            again = check_derivation(display.latex, definitions=display.definitions, explain=False)
            if again.verdict == "holds" and any(map(evaluated, again.lines)):
                found.append(f"{place}: marked as unread, but found to hold: drop the mark, or mend a misreading")
        elif display.expected_false:
            if report.verdict != "false":
                found.append(f"{place}: marked as false on purpose, but found: {report.verdict}")
        else:
            for line in report.lines:
                if line.verdict not in ("holds", "no_claim"):
                    remarks = "; ".join(line.remarks())
                    latex = " ".join(line.latex.split())
                    found.append(f"{page.name}:{checked.line_of(line)}: {line.verdict}: {latex}: {remarks}")
    return found


def evaluated(line: DerivationLine) -> bool:
    """Whether two sides were compared: a definition, a declaration or a side alone is read, and claims nothing."""
    return line.verdict != "no_claim"


def tally(checked: list[CheckedDisplay]) -> Counter[str]:
    """How many displays a page has, and what became of their lines."""
    counts = Counter({"displays": len(checked)})
    for one in checked:
        if one.report is None:
            counts["unread"] += 1
            continue
        for line in one.report.lines:
            if line.verdict == "false" and one.display.expected_false:
                counts["false on purpose"] += 1
            else:
                counts[{"holds": "evaluated", "no_claim": "definition"}.get(line.verdict, line.verdict)] += 1
    return counts


@lru_cache(maxsize=256)
def _checked(path: Path, content: bytes) -> list[CheckedDisplay]:
    return check_file(path, confirmed=False)


def unread_name(docname: str, number: int) -> str:
    """What links call the n-th unread display of a page."""
    return f"unread-{docname.rsplit('/', 1)[-1]}-{number}".replace("_", "-").lower()


class _OfTheBook(SphinxDirective):
    """Something about every page of the book that has displays."""

    def pages(self) -> dict[str, list[CheckedDisplay]]:
        found = {}
        for docname in sorted(self.env.found_docs):
            path = Path(self.env.doc2path(docname))
            if path.suffix == ".md":
                self.env.note_dependency(str(path))
                checked = _checked(path, path.read_bytes())
                if checked:
                    found[docname] = checked
        return found

    def parse(self, lines: list[str]) -> list[nodes.Node]:
        box = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.env.docname), self.content_offset, box)
        return box.children


class DerivationTable(_OfTheBook):
    """``{derivation-table}``: one row a page, one column for each thing that can become of a line."""

    def run(self) -> list[nodes.Node]:
        rows = {docname: tally(checked) for docname, checked in self.pages().items()}
        total = sum(rows.values(), Counter())
        columns = [*COLUMNS, *(name for name in ("false", "holds_if", "unreadable") if total[name])]
        headings = {
            "evaluated": "lines that hold",
            "definition": "claim nothing",
            "unread": "displays not read",
            "holds_if": "hold if",
        }
        lines = [
            f"| page | {' | '.join(headings.get(name, name) for name in columns)} |",
            f"|---|{'--:|' * len(columns)}",
        ]
        for docname, counts in rows.items():
            lines.append(f"| {{doc}}`/{docname}` | {' | '.join(str(counts[name]) for name in columns)} |")
        lines.append(f"| **all** | {' | '.join(f'**{total[name]}**' for name in columns)} |")
        return self.parse(lines)


class UnreadDerivations(_OfTheBook):
    """``{derivation-unread}``: each display that is not read, the reason, and a link to where it stands."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for docname, checked in self.pages().items():
            unread = [one.display for one in checked if one.report is None]
            for number, block in enumerate(unread, 1):
                lines += [f"{{doc}}`/{docname}`, {{ref}}`{unread_name(docname, number)}`: {block.unread}.", ""]
                whole = AMSMATH.match(block.latex)
                lines += [block.latex, ""] if whole else ["$$", block.latex, "$$", ""]
        return self.parse(lines or ["There is none."])


def note_unread(app: Sphinx, doctree: nodes.document) -> None:
    """Gives each display that is marked as unread an anchor, named after the heading above it."""
    docname = app.env.docname
    here = list(doctree.findall(lambda node: isinstance(node, (nodes.comment, nodes.math_block))))
    number = 0
    for mark, display in pairwise(here):
        if not isinstance(mark, nodes.comment) or not mark.astext().strip().startswith("derivation: unread"):
            continue
        if not isinstance(display, nodes.math_block):
            raise SphinxError(f"{docname}: put the mark 'derivation: unread' last, right in front of its display")
        number += 1
        name = unread_name(docname, number)
        display["ids"].append(name)
        standard: Any = app.env.get_domain("std")
        standard.note_hyperlink_target(name, docname, name, _heading(display))


def _heading(node: nodes.Node) -> str:
    """The title of the nearest box or section around a node."""
    at = node.parent
    while at is not None:
        if at.children and isinstance(at.children[0], nodes.title):
            return at.children[0].astext().strip(" ()")
        at = at.parent
    return "beginning"


def setup(app: Sphinx) -> None:
    app.add_directive("derivation-table", DerivationTable)
    app.add_directive("derivation-unread", UnreadDerivations)
    app.connect("doctree-read", note_unread)
