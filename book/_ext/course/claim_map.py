"""From chapter to claim to function to test: ``{claim-map}`` makes a table of each chapter.

The claims come from the chapters, the tests from their marks, and the functions from their docstrings: one that
computes what a claim is about says so in a line that begins with "Proved in the book".
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from course.claims import claims, vouchers

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PROVED = re.compile(r"Proved in the book: (.*?)\.(?:\s|$)", re.DOTALL)
LABEL = re.compile(r"\b(?:thm|prop|lem|cor)-[\w-]*\w")


def implementations(package: str) -> dict[str, list[str]]:
    """For each label that a docstring of a public name gives, the names that give it."""
    root = importlib.import_module(package)
    found: dict[str, list[str]] = {}
    for name in root.__all__:
        line = PROVED.search(inspect.getdoc(getattr(root, name)) or "")
        for label in LABEL.findall(line[1]) if line else ():
            found.setdefault(label, []).append(f"{package}.{name}")
    return found


def chapters(folder: Path) -> list[Path]:
    """The chapters below ``book/``, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.md"))


class ClaimMap(SphinxDirective):
    """``{claim-map} lvmlib``: a table for each chapter, with a row for each of its claims."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        functions, tests = implementations(self.arguments[0]), vouchers(root / "tests")
        lines: list[str] = []
        for chapter in chapters(root / "book"):
            docname = f"/{chapter.relative_to(root).with_suffix('').as_posix()}"
            lines += [f"**{{doc}}`{docname}`**", "", "| claim | computed by | models | tests |", "|---|---|--:|--:|"]
            for claim in claims(chapter):
                names = ", ".join(f"{{py:obj}}`{name}`" for name in functions.get(claim.label, ()))
                title = f": {claim.title}" if claim.title else ""
                link = f"{{prf:ref}}`{claim.label}`{title.replace('|', chr(92) + 'vert ')}"
                count, _ = self.env.config.course_attacks.get(claim.label, (0, {}))
                lines.append(f"| {link} | {names} | {count or ''} | {len(tests.get(claim.label, ()))} |")
            lines.append("")
        box = nodes.container()
        self.state.nested_parse(StringList(lines, source="claim-map"), self.content_offset, box)
        return list(box.children)


def link_claims(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """The labels in a docstring as links to their claims, where the book has them."""
    text = "\n".join(lines)
    if match := PROVED.search(text):
        linked = LABEL.sub(lambda label: f":prf:ref:`{label[0]}`", match[0])
        lines[:] = text.replace(match[0], linked).split("\n")


def setup(app: Sphinx) -> None:
    app.add_directive("claim-map", ClaimMap)
    app.connect("autodoc-process-docstring", link_claims, priority=300)
