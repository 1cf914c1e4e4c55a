"""Exercises that answer: ``{answerable} ex-jensen-1`` puts an exercise of ``book/exercises`` on the page.

The page gets the prompt, a field for the answer, folded hints and a folded solution, all of which read without
JavaScript. ``book/js/answers.js`` brings the field to life: the first *Check* loads Python, compiled to WebAssembly,
with the packages ``tutor`` and ``proofreader`` from two scripts that all pages share (``course.bundles``). The notebook
gets the same with a cell to fill.
"""

from __future__ import annotations

import html
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import tutor
from course.bundles import names, write_bundles
from course.freshness import hash_files
from tutor.checking import begin_derivation, check_answer
from tutor.collection import Collection
from tutor.exercises import LETTERS, Choice, Code, Derivation, Exercise, ExerciseError, Number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.writers.html5 import HTML5Translator

WITHOUT_SCRIPT = "To check an answer here, the page needs JavaScript. Hints and solution read without it."
IN_NOTEBOOK = "This exercise uses PyTorch: answer it in the notebook of the chapter, which checks it."

logger = logging.getLogger(__name__)


class answer_box(nodes.General, nodes.Element):  # type: ignore[misc]  # noqa: N801 - docutils names nodes like this
    """An exercise with its hints and its solution."""


class answer_form(nodes.General, nodes.Element):  # type: ignore[misc]  # noqa: N801
    """The field for the answer; its children are its label and, for a choice, the options."""


class answer_label(nodes.Part, nodes.TextElement):  # type: ignore[misc]  # noqa: N801
    """What is asked for."""


class answer_option(nodes.Part, nodes.TextElement):  # type: ignore[misc]  # noqa: N801
    """One of the answers to choose from."""


def folder(app: Sphinx) -> Path:
    """Where the exercises of a book lie."""
    return Path(app.srcdir, "book", "exercises")


@cache
def _read(place: Path, state: tuple[tuple[str, int], ...]) -> Collection:
    return Collection.read(place)


def exercises(app: Sphinx) -> Collection:
    """The exercises as their files are now."""
    place = folder(app)
    state = tuple((path.name, path.stat().st_mtime_ns) for path in sorted(place.glob("*.yaml")))
    return _read(place, state)


class Answerable(SphinxDirective):
    """``{answerable} LABEL``: the exercise with this label, which the page and the notebook can check."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            collection = exercises(self.env.app)
            exercise = collection[self.arguments[0]]
        except (ExerciseError, KeyError) as error:
            raise self.error(f"answerable: {error.args[0]}") from None
        for path in folder(self.env.app).glob("*.yaml"):
            self.env.note_dependency(str(path))
        box = answer_box(exercise=exercise.id, label=exercise.label, kind=exercise.kind, classes=["answer"])
        self.state.nested_parse(StringList(list(source(exercise)), source="exercises"), self.content_offset, box)
        self.complete(box, exercise)
        return [box]

    def complete(self, box: answer_box, exercise: Exercise) -> None:
        """Puts into the parsed exercise what Markdown has no words for: the field and the cell."""
        frame = next(node for node in box.children if node.__class__.__name__.startswith("exercise"))
        frame["answer_cell"] = cell(exercise)
        content = frame.children[-1]
        hints = [at for at, node in enumerate(content.children) if "hint" in node.get("classes", ())]
        content.insert(hints[0], self.form(exercise))

    def form(self, exercise: Exercise) -> nodes.Node:
        if not exercise.in_page:
            note = nodes.paragraph("", IN_NOTEBOOK, classes=["answer-elsewhere"])
            return answer_form("", note, elsewhere=True)
        task = exercise.answer
        form = answer_form(exercise=exercise.id, kind=exercise.kind, **self.attributes(exercise))
        form += self.worded(answer_label(), asked(exercise))
        if isinstance(task, Choice):
            for letter, option in zip(LETTERS, task.options, strict=False):
                form += self.worded(answer_option(letter=letter, exercise=exercise.id), option.text)
        return form

    def attributes(self, exercise: Exercise) -> dict[str, str]:
        task = exercise.answer
        if isinstance(task, Choice):
            letters = LETTERS[: len(task.options)]
            known = {letter: check_answer(exercise, letter).as_dict() for letter in letters}
            return {"known": json.dumps(known)}
        if isinstance(task, Code):
            return {"begun": task.starter, "seconds": f"{task.seconds:g}"}
        return {"begun": begin_derivation(task)} if isinstance(task, Derivation) else {}

    def worded(self, node: nodes.TextElement, text: str) -> nodes.TextElement:
        parsed, _ = self.state.inline_text(text, self.lineno)
        node += parsed
        return node


def asked(exercise: Exercise) -> str:
    """The label of the field."""
    task = exercise.answer
    if isinstance(task, Number):
        return f"{task.asks} (to within {task.tolerance})" if task.allowed else task.asks
    if isinstance(task, Choice):
        return task.asks
    if isinstance(task, Derivation):
        return f"Your derivation in LaTeX, from ${task.first}$ to ${task.last}$"
    return f"Your Python function `{task.function}`"


def effort(stars: int, minutes: int) -> str:
    """How difficult an exercise is and how long it takes, as its page says it."""
    return f"{'★' * stars} · {minutes} min"


def source(exercise: Exercise) -> Iterator[str]:
    """The exercise in MyST: an exercise, its hints and its solution."""
    yield f"::::::{{exercise}} {exercise.title}"
    yield f":label: {exercise.label}"
    yield f":class: {exercise.kind}"
    if not exercise.id[0].isdigit():
        yield ":nonumber:"
    yield ""
    yield f"*{effort(exercise.stars, exercise.minutes)}*"
    yield ""
    yield from exercise.prompt.splitlines()
    yield ""
    count = len(exercise.hints)
    for at, hint in enumerate(exercise.hints, 1):
        yield f":::::{{admonition}} {f'Hint {at} of {count}' if count > 1 else 'Hint'}"
        yield ":class: hint dropdown"
        yield from hint.splitlines()
        yield ":::::"
        yield ""
    yield "::::::"
    yield ""
    yield f"::::::{{solution}} {exercise.label}"
    yield f":label: {exercise.label.replace('ex-', 'sol-', 1)}"
    yield ":class: dropdown"
    yield from exercise.solution.splitlines()
    task = exercise.answer
    if isinstance(task, Derivation):
        yield from ("", "$$", *task.right.splitlines(), "$$")
    elif isinstance(task, Code):
        yield from ("", "```python", *task.right.splitlines(), "```")
    yield "::::::"


def cell(exercise: Exercise) -> str:
    """The cell of a notebook in which to answer."""
    task = exercise.answer
    name = "answer"
    if isinstance(task, Number):
        begun = 'answer = ...  # a number, or text such as "2*log(3)"'
    elif isinstance(task, Choice):
        letters = [f'"{letter}"' for letter in LETTERS[: len(task.options)]]
        begun = f"answer = ...  # {', '.join(letters[:-1])} or {letters[-1]}"
    elif isinstance(task, Derivation):
        begun = f'answer = r"""\n{begin_derivation(task)}\n"""'
    else:
        begun, name = task.starter, task.function
    gap = "\n\n" if isinstance(task, Code) else "\n"
    return f'import tutor\n\n{begun}{gap}tutor.check("{exercise.id}", {name})'


# HTML


def visit_box(self: HTML5Translator, node: answer_box) -> None:
    data = "".join(f' data-{name}="{html.escape(node[name])}"' for name in ("exercise", "label", "kind"))
    self.body.append(f'<section class="answer"{data}>\n')


def depart_box(self: HTML5Translator, node: answer_box) -> None:
    self.body.append("</section>\n")


def visit_form(self: HTML5Translator, node: answer_form) -> None:
    if node.get("elsewhere"):
        return
    seconds = f' data-seconds="{node["seconds"]}"' if "seconds" in node else ""
    self.body.append(f'<form class="answer-form" aria-label="Your answer to exercise {node["exercise"]}"{seconds}>')
    if node["kind"] == "choice":
        self.body.append("<fieldset>")


def depart_form(self: HTML5Translator, node: answer_form) -> None:
    if node.get("elsewhere"):
        return
    name, kind = _id(node["exercise"]), node["kind"]
    if kind == "choice":
        known = node["known"].replace("</", "<\\/")
        self.body.append(f'</fieldset><script type="application/json">{known}</script>')
    self.body.append('<div class="answer-controls" hidden>')
    if kind == "number":
        self.body.append(f'<input id="{name}" type="text" autocomplete="off" spellcheck="false">')
    elif kind != "choice":
        begun = html.escape(node["begun"])
        rows = max(4, node["begun"].count("\n") + 4)
        self.body.append(
            f'<textarea id="{name}" rows="{rows}" spellcheck="false" autocapitalize="off">{begun}</textarea>'
        )
    if kind == "derive":
        self.body.append('<div class="answer-preview" role="group" aria-label="Your derivation as it reads"></div>')
    self.body.append(
        '<button type="submit">Check</button><button type="button" class="answer-clear">Start again</button></div>'
        f'<div class="answer-feedback" role="status"></div><noscript><p>{WITHOUT_SCRIPT}</p></noscript></form>\n'
    )


def visit_label(self: HTML5Translator, node: answer_label) -> None:
    form = node.parent
    choice = form["kind"] == "choice"
    self.body.append("<legend>" if choice else f'<label class="answer-ask" for="{_id(form["exercise"])}">')


def depart_label(self: HTML5Translator, node: answer_label) -> None:
    self.body.append("</legend>" if node.parent["kind"] == "choice" else "</label>")


def visit_option(self: HTML5Translator, node: answer_option) -> None:
    name, letter = _id(node["exercise"]), node["letter"]
    self.body.append(
        f'<label class="answer-option"><input type="radio" name="{name}" value="{letter}"> <span>{letter}) '
    )


def depart_option(self: HTML5Translator, node: answer_option) -> None:
    self.body.append("</span></label>")


def _id(exercise: str) -> str:
    return f"answer-{exercise.replace('.', '-')}"


# Pages


def compare_numbers(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """The number that an exercise says it has must be the one that the page prints."""
    numbers = app.env.toc_fignumbers.get(docname, {}).get("exercise", {})
    for box in doctree.findall(answer_box):
        printed = ".".join(map(str, numbers.get(box["label"], ())))
        if box["exercise"][0].isdigit() and printed != box["exercise"]:
            logger.warning(
                "exercise %s is number %s here: change its `id`, or its place in the chapter",
                f"{box['label']} (id {box['exercise']})",
                printed or "without a number",
                location=docname,
            )


def load_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """The script for pages with an exercise or with the reader's progress; what it loads comes with the first check."""
    if doctree is None or app.builder.format != "html":
        return
    if any(doctree.findall(answer_box)) or any(
        "course-progress" in node["classes"] for node in doctree.findall(nodes.container)
    ):
        data: dict[str, Any] = {f"data-{name}": file for name, file in names().items()}
        app.add_js_file("answers.js", loading_method="defer", **data)


def write_scripts(app: Sphinx, exception: Exception | None) -> None:
    """The shared scripts, after every build: an exercise may have changed on a page that was not written anew."""
    if exception is None and app.builder.format == "html" and folder(app).is_dir():
        macros = json.dumps(app.config.mathjax3_config["tex"]["macros"])
        write_bundles(Path(app.outdir, "_static"), folder(app), macros)


def set_hash(app: Sphinx, config: Config) -> None:
    """Read every page again when the checker changes, as the page of a choice has its answers."""
    package = Path(tutor.__file__).parent
    config.course_tutor_hash = hash_files(package, package.glob("*.py"))


def setup(app: Sphinx) -> None:
    app.add_config_value("course_tutor_hash", "", "env", [str])
    app.connect("config-inited", set_hash)
    app.connect("build-finished", write_scripts)
    app.add_node(answer_box, html=(visit_box, depart_box))
    app.add_node(answer_form, html=(visit_form, depart_form))
    app.add_node(answer_label, html=(visit_label, depart_label))
    app.add_node(answer_option, html=(visit_option, depart_option))
    app.add_directive("answerable", Answerable)
    app.connect("doctree-resolved", compare_numbers)
    app.connect("html-page-context", load_scripts)
