"""Claims, their hypotheses, and which test vouches for which claim.

A hypothesis stands in the sentence of its claim, as ``{hyp}`$q(z) > 0$ wherever $p(x, z) > 0$ <covers>```: the page
prints the words, and the tests read the key. A test names its claim itself, by
``@pytest.mark.vouches("thm-joint")`` or by the decorators of ``tests/claims/attack.py``. Both are read from the source
of the tests.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxRole

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

# What is claimed and proved; a definition or an example claims nothing.
KINDS = ("theorem", "proposition", "lemma", "corollary")

OPENING = re.compile(rf"^\s*(:{{3,}}|`{{3,}})\{{prf:({'|'.join(KINDS)})\}}\s*(.*?)\s*$")
LABEL = re.compile(r"^\s*:label:\s*(\S+)\s*$")
OPTION = re.compile(r"^\s*:\w+:")
HYPOTHESIS = re.compile(r"\{hyp\}`([^`]*?)\s*<([\w-]+)>`")
# What decorates a test that vouches for a claim: a mark, or an attack of tests/claims.
VOUCHES = re.compile(r"(pytest\.mark\.vouches|attack|breaks)\b")


@dataclass(frozen=True)
class Hypothesis:
    """A condition of a claim: the key that the tests know, and the words on the page."""

    key: str
    words: str


@dataclass(frozen=True)
class Claim:
    """A theorem or its like, as it stands in the source of a page."""

    kind: str
    title: str
    label: str
    place: str
    hypotheses: tuple[Hypothesis, ...] = ()


@dataclass(frozen=True, order=True)
class Voucher:
    """A test that checks a claim."""

    path: str
    test: str


def claims(page: Path) -> list[Claim]:
    """The claims of a page in order; one without a label has an empty one."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        opening = OPENING.match(line)
        if opening is None:
            continue
        label = ""
        for option in lines[number:]:
            if OPTION.match(option) is None:
                break
            if match := LABEL.match(option):
                label = match[1]
        found.append(
            Claim(opening[2], opening[3], label, f"{page.name}:{number}", _hypotheses(lines[number:], opening[1]))
        )
    return found


def _hypotheses(lines: list[str], fence: str) -> tuple[Hypothesis, ...]:
    """Those of the box that the lines begin in, in order, each once."""
    inside = "\n".join(takewhile(lambda line: line.strip() != fence, lines))
    found = {key: Hypothesis(key, " ".join(words.split())) for words, key in HYPOTHESIS.findall(inside)}
    return tuple(found.values())


def vouchers(tests: Path) -> dict[str, list[Voucher]]:
    """For each label, the tests below a folder that vouch for it.

    Raises:
        ValueError: If a mark stands on something that pytest does not run, or names no label.
    """
    found: dict[str, list[Voucher]] = {}
    for path in sorted(tests.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if not VOUCHES.search(source):
            continue
        for function, label in _marks(ast.parse(source), path):
            voucher = Voucher(f"{tests.name}/{path.relative_to(tests).as_posix()}", function)
            found.setdefault(label, []).append(voucher)
    return {label: sorted(found[label]) for label in sorted(found)}


def _marks(module: ast.Module, path: Path) -> Iterator[tuple[str, str]]:
    for function in ast.walk(module):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for mark in function.decorator_list:
            kind = VOUCHES.match(ast.unparse(mark))
            if kind is None:
                continue
            place = f"{path.name}:{mark.lineno}"
            is_test = isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
            if not is_test or not path.name.startswith("test_"):
                raise ValueError(f"{place}: {function.name} vouches for a claim, but pytest does not run it as a test")
            written = mark.args if isinstance(mark, ast.Call) else []
            # An attack is on one claim, and its other arguments are cases.
            written = written if kind[1].startswith("pytest") else written[:1]
            labels = [x.value for x in written if isinstance(x, ast.Constant) and isinstance(x.value, str)]
            if not labels or len(labels) != len(written):
                raise ValueError(f"{place}: write the label of a claim as a string, 'thm-...', in the decorator")
            for label in labels:
                yield function.name, label


class HypothesisRole(SphinxRole):
    """``{hyp}`words <key>```: the words, marked as a hypothesis."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        match = HYPOTHESIS.fullmatch(f"{{hyp}}`{self.text}`")
        if match is None:
            message = self.inliner.reporter.error(
                f"{{hyp}}`{self.text}`: write the words and then <key>", line=self.lineno
            )
            return [], [message]
        inside, messages = self.inliner.parse(match[1], self.lineno, self, self.inliner.parent)
        return [nodes.inline("", "", *inside, classes=["hypothesis"])], messages


def read_vouchers(app: Sphinx, config: Config) -> None:
    """As a configuration value: Sphinx reads every page again when a test begins or ceases to vouch."""
    folder = Path(app.srcdir) / "tests"
    found = vouchers(folder) if folder.is_dir() else {}
    config.course_vouchers = {label: [(v.test, v.path) for v in tests] for label, tests in found.items()}


def setup(app: Sphinx) -> None:
    app.add_role("hyp", HypothesisRole())
    app.add_config_value("course_vouchers", {}, "env", [dict])
    app.connect("config-inited", read_vouchers)
