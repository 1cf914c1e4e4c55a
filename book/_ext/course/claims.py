"""Which test vouches for which claim: a label links the two, and the page shows the test under the claim.

A test says so itself: ``@pytest.mark.vouches("thm-joint")``. The marks are read from the source of the tests,
which are never imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

# What is claimed and proved; a definition or an example claims nothing.
KINDS = ("theorem", "proposition", "lemma", "corollary")

OPENING = re.compile(rf"^\s*(?::{{3,}}|`{{3,}})\{{prf:({'|'.join(KINDS)})\}}\s*(.*?)\s*$")
LABEL = re.compile(r"^\s*:label:\s*(\S+)\s*$")
OPTION = re.compile(r"^\s*:\w+:")


@dataclass(frozen=True)
class Claim:
    """A theorem or its like, as it stands in the source of a page."""

    kind: str
    title: str
    label: str
    place: str


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
        found.append(Claim(opening[1], opening[2], label, f"{page.name}:{number}"))
    return found


def vouchers(tests: Path) -> dict[str, list[Voucher]]:
    """For each label, the tests below a folder that vouch for it.

    Raises:
        ValueError: If a mark stands on something that pytest does not run, or names no label.
    """
    found: dict[str, list[Voucher]] = {}
    for path in sorted(tests.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "vouches" not in source:
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
            if not ast.unparse(mark).startswith("pytest.mark.vouches"):
                continue
            place = f"{path.name}:{mark.lineno}"
            is_test = isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
            if not is_test or not path.name.startswith("test_"):
                raise ValueError(f"{place}: {function.name} vouches for a claim, but pytest does not run it as a test")
            written = mark.args if isinstance(mark, ast.Call) else []
            labels = [x.value for x in written if isinstance(x, ast.Constant) and isinstance(x.value, str)]
            if not labels or len(labels) != len(written):
                raise ValueError(f"{place}: write the label of a claim as a string: pytest.mark.vouches('thm-...')")
            for label in labels:
                yield function.name, label


def read_vouchers(app: Sphinx, config: Config) -> None:
    """As a configuration value: Sphinx reads every page again when a test begins or ceases to vouch."""
    folder = Path(app.srcdir) / "tests"
    found = vouchers(folder) if folder.is_dir() else {}
    config.course_vouchers = {label: [(v.test, v.path) for v in tests] for label, tests in found.items()}


def show_vouchers(app: Sphinx, doctree: nodes.document) -> None:
    """Ends every claim with the line that names its tests."""
    for node in doctree.findall(nodes.Element):
        tests = app.config.course_vouchers.get(node.get("label"), [])
        if node.get("realtype") not in KINDS or not tests:
            continue
        paragraph = nodes.paragraph("", "Checked by ")
        for position, (test, path) in enumerate(tests):
            if position:
                paragraph += nodes.Text(" and " if position == len(tests) - 1 else ", ")
            paragraph += nodes.literal(test, test)
            if path not in [other for _, other in tests[position + 1 :]]:
                paragraph += [nodes.Text(" in "), nodes.literal(path, path)]
        paragraph += nodes.Text(".")
        node.children[-1] += nodes.container("", paragraph, classes=["vouched"])


def setup(app: Sphinx) -> None:
    app.add_config_value("course_vouchers", {}, "env", [dict])
    app.connect("config-inited", read_vouchers)
    app.connect("doctree-read", show_vouchers)
