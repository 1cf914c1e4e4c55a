"""``{exercise-list}``: all exercises by chapter, with kind, stars and minutes, and where the page shows what is done.

An exercise that stays in its chapter says its difficulty and its time in its classes: ``:class: think stars-3
minutes-30``. The chapter shows them below its title.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from course.answers import effort, exercises
from course.markdown import EXERCISE_KINDS, is_exercise

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HEADINGS = ("exercise", "", "kind", "difficulty", "minutes", "progress")


class exercise_list(nodes.General, nodes.Element):  # type: ignore[misc]  # noqa: N801 - docutils names nodes like this
    """Where the list stands, until all pages are read."""


class ExerciseList(SphinxDirective):
    """The list, above it the place for the reader's sum and buttons."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        return [nodes.container(classes=["course-progress"]), exercise_list()]


@dataclass(frozen=True)
class Entry:
    """One row."""

    docname: str
    label: str
    number: str
    title: str
    kind: str
    stars: int
    minutes: int
    checked: bool


def entries(app: Sphinx) -> list[Entry]:
    """All exercises of the book, in its order."""
    known = {one.label: one for one in exercises(app).values()}
    order = {docname: at for at, docname in enumerate(_reading_order(app))}
    found = []
    for label, record in getattr(app.env, "sphinx_exercise_registry", {}).items():
        docname, node = record["docname"], record["node"]
        if not record["type"].startswith("exercise") or docname not in order:
            continue
        number = ".".join(map(str, app.env.toc_fignumbers.get(docname, {}).get("exercise", {}).get(label, ())))
        answerable = known.get(label)
        classes = node["classes"]
        found.append(
            Entry(
                docname,
                label,
                answerable.id if answerable else number,
                answerable.title if answerable else _title(node),
                answerable.kind if answerable else next((kind for kind in EXERCISE_KINDS if kind in classes), ""),
                answerable.stars if answerable else _in_class("stars", classes),
                answerable.minutes if answerable else _in_class("minutes", classes),
                bool(answerable),
            )
        )
    return sorted(found, key=lambda one: (order[one.docname], [int(part) for part in re.findall(r"\d+", one.number)]))


def _reading_order(app: Sphinx) -> list[str]:
    def below(docname: str) -> list[str]:
        return [docname, *(page for child in app.env.toctree_includes.get(docname, []) for page in below(child))]

    return below(app.config.root_doc)


def _title(node: nodes.Element) -> str:
    subtitle = next((child for child in node[0].children if child.__class__.__name__ == "exercise_subtitle"), None)
    return subtitle.astext() if subtitle is not None else ""


def _in_class(name: str, classes: list[str]) -> int:
    return next((int(one.removeprefix(f"{name}-")) for one in classes if re.fullmatch(rf"{name}-\d+", one)), 0)


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Tables in the place of the list, one a chapter."""
    for place in list(doctree.findall(exercise_list)):
        made: list[nodes.Node] = []
        for page, group in groupby(entries(app), key=lambda one: one.docname):
            members = list(group)
            title = app.env.titles[page].astext()
            number = ".".join(map(str, app.env.toc_secnumbers.get(page, {}).get("", ())))
            section = nodes.section("", nodes.title("", f"{number} {title}".strip()), ids=[f"exercises-{_slug(page)}"])
            section += _table(app, docname, members)
            made.append(section)
        place.replace_self(made)


def show_effort(app: Sphinx, doctree: nodes.document) -> None:
    """Below the title of an exercise its stars and minutes, if it says them in its classes."""
    for node in list(doctree.findall(is_exercise)):
        stars, minutes = (_in_class(name, node["classes"]) for name in ("stars", "minutes"))
        if stars and minutes:
            node.insert(1, nodes.paragraph("", "", nodes.emphasis("", effort(stars, minutes))))


def _slug(docname: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", docname.lower()).strip("-")


def _table(app: Sphinx, docname: str, members: list[Entry]) -> nodes.table:
    table = nodes.table(classes=["exercise-list"])
    group = nodes.tgroup(cols=len(HEADINGS))
    group += [nodes.colspec(colwidth=1) for _ in HEADINGS]
    group += nodes.thead("", _row(nodes.paragraph("", text) for text in HEADINGS))
    group += nodes.tbody("", *(_row(_cells(app, docname, one)) for one in members))
    table += group
    return table


def _cells(app: Sphinx, docname: str, one: Entry) -> list[nodes.Node]:
    address = f"{app.builder.get_relative_uri(docname, one.docname)}#{one.label}"
    link = nodes.reference("", one.title, refuri=address, internal=True)
    state = f'<span data-progress="{html.escape(one.label)}"></span>' if one.checked else ""
    return [
        nodes.paragraph("", one.number),
        nodes.paragraph("", "", link),
        nodes.paragraph("", one.kind),
        nodes.paragraph("", "★" * one.stars),
        nodes.paragraph("", str(one.minutes) if one.minutes else ""),
        nodes.raw("", state, format="html"),
    ]


def _row(cells: Any) -> nodes.row:
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


def setup(app: Sphinx) -> None:
    app.add_node(exercise_list)
    app.add_directive("exercise-list", ExerciseList)
    # Before tables are made to scroll.
    app.connect("doctree-resolved", fill, priority=940)
    app.connect("doctree-read", show_effort)
