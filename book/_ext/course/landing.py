"""What the first page shows of the chapters: a card for each, with the time that it takes, counted from its source.

``{chapter-cards}`` has a line for each chapter, ``01_joint: what it is about``, and a reader sees number, title,
minutes and exercises. ``{course-size}`` says how much there is in all, and ``{hours}`1 2 5` `` how long some take.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective, SphinxRole

from course.claim_map import chapters
from course.claims import claims

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# Mathematics is read more slowly than a novel, and code more slowly than that.
WORDS_A_MINUTE = 100
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
EXERCISES = re.compile(r"^#+ Exercises$.*", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^\s*(?::{3,}|`{3,})\{(?:exercise(?:-start)?|answerable)\}", re.MULTILINE)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Size:
    """How much there is in a chapter."""

    title: str
    minutes: int
    exercises: int
    claims: int


def size(chapter: Path) -> Size:
    """Counted in the source; the minutes are those of reading, up to the exercises, in steps of five."""
    source = FRONT_MATTER.sub("", chapter.read_text(encoding="utf-8"))
    title = TITLE.search(source)
    if title is None:
        raise ValueError(f"{chapter.name} has no title: begin it with a line '# Title'")
    words = len(EXERCISES.sub("", source).split())
    return Size(title[1], 5 * round(words / WORDS_A_MINUTE / 5), len(EXERCISE.findall(source)), len(claims(chapter)))


class ChapterCards(SphinxDirective):
    """A card for each chapter that has a line, in that order."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.doc2path(self.env.docname)).parent
        items = nodes.bullet_list(classes=["chapter-cards"])
        for line in filter(str.strip, self.content):
            name, colon, about = line.partition(": ")
            chapter = folder / f"{name.strip()}.md"
            if not colon or not chapter.exists():
                raise self.error(
                    f"chapter-cards: {line!r}; expected the name of a chapter, a colon and what it is about"
                )
            self.env.note_dependency(str(chapter))
            counted = size(chapter)
            number = re.match(r"\d+", name.strip())
            item = nodes.list_item()
            text = [
                f"[{counted.title}]({name.strip()}.md)",
                "",
                about,
                "",
                f"{counted.minutes} min · {counted.exercises} exercises",
            ]
            self.state.nested_parse(StringList(text, source="chapter-cards"), self.content_offset, item)
            for paragraph, kind in zip(item.children, ("card-title", "card-about", "card-size"), strict=True):
                paragraph["classes"].append(kind)
            if number is not None:
                item.children[0].insert(0, nodes.inline("", f"{int(number[0])} ", classes=["card-number"]))
            items += item
        return [items]


class CourseSize(SphinxDirective):
    """``{course-size} How long.``: those words, and how many chapters, hours, exercises and claims there are."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        counted = list(_sizes(self.env).values())
        exercises, stated = sum(one.exercises for one in counted), sum(one.claims for one in counted)
        text = (
            f" {len(counted)} chapters, {_hours(counted)} to read. {exercises} exercises with hints and solutions, "
            f"about 20 minutes each. {stated} theorems and propositions, with tests that try to break them."
        )
        return [nodes.paragraph("", "", nodes.strong("", self.arguments[0]), nodes.Text(text))]


class Hours(SphinxRole):
    """``{hours}`1 2 5` ``: how long it takes to read these chapters, in hours."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        every = _sizes(self.env)
        return [nodes.Text(_hours([every[int(number)] for number in self.text.split()]))], []


def _sizes(env: BuildEnvironment) -> dict[int, Size]:
    """How much there is in each chapter, by its number; the page is made again when one of them changes."""
    found = {}
    for chapter in chapters(Path(env.doc2path(env.docname)).parent):
        env.note_dependency(str(chapter))
        found[int(chapter.name[:2])] = size(chapter)
    return found


def _hours(counted: Iterable[Size]) -> str:
    return f"about {round(sum(one.minutes for one in counted) / 60)} hours"


def setup(app: Sphinx) -> None:
    app.add_directive("chapter-cards", ChapterCards)
    app.add_directive("course-size", CourseSize)
    app.add_role("hours", Hours())
