"""An exercise that answers, from its data to the page, the notebook and the list of all exercises."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from books import ROOT, SmallBook, pages, soup
from bs4 import BeautifulSoup, Tag
from course.bundles import file_of_pyodide, packages, versions

import lvmlib
from tutor.collection import Collection, collection

NUMBER = {
    "id": "1.2",
    "label": "ex-half",
    "title": "A half",
    "kind": "number",
    "stars": 1,
    "minutes": 2,
    "prompt": "What is $1 - \\frac12$? See {ref}`ex-open`.",
    "hints": ["Think of two halves, please.", "It is $1/2$."],
    "answer": {"asks": "The value of $x$", "value": "1/2", "tolerance": "0.01", "unit": "nats"},
    "misconceptions": [{"name": "double", "says": "That is twice the answer.", "value": 1}],
    "solution": "It is $\\frac12$.",
}
CHOICE = {
    **{name: NUMBER[name] for name in ("stars", "minutes", "solution")},
    "id": "1.3",
    "label": "ex-sign",
    "title": "Which sign",
    "kind": "choice",
    "prompt": "Choose.",
    "hints": ["Look at it once more."],
    "answer": {
        "options": [
            {"text": "The sign $<$", "why": "That is </script> wrong."},
            {"text": "The sign $>$", "why": "Yes.", "right": True},
        ]
    },
}
TORCH = {
    **{name: NUMBER[name] for name in ("stars", "minutes", "solution", "hints")},
    "id": "1.4",
    "label": "ex-code",
    "title": "Write it",
    "kind": "code",
    "prompt": "Write `f`.",
    "answer": {
        "function": "f",
        "runs": "notebook",
        "starter": "def f(x):\n    ...\n",
        "right": "def f(x):\n    return x\n",
        "cases": "def cases(random):\n    yield (1,)\n",
    },
}
CHAPTER = """# A chapter

```{code-cell} ipython3
print(1)
```

## Exercises

:::{exercise-start} An open one
:label: ex-open
:class: think stars-3 minutes-40
:::
Think.

:::{exercise-end}
:::

:::{solution-start} ex-open
:label: sol-open
:class: dropdown
:::
Thought.
:::{solution-end}
:::

:::{answerable} ex-half
:::

:::{answerable} ex-sign
:::

:::{answerable} ex-code
:::

## Further reading

None.
"""


def book(root: Path, *exercises: dict[str, object], chapter: str = CHAPTER) -> SmallBook:
    made = SmallBook.make(root, {"01_chapter": chapter, "exercises": ""})
    made.write("exercises", "# All\n\n```{exercise-list}\n```\n")
    (root / "book" / "exercises").mkdir()
    text = yaml.safe_dump(list(exercises), allow_unicode=True)
    (root / "book" / "exercises" / "01.yaml").write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallBook:
    made = book(tmp_path_factory.mktemp("answers") / "book", NUMBER, CHOICE, TORCH)
    made.build()
    return made


@pytest.fixture(scope="module")
def sections(small: SmallBook) -> dict[str, Tag]:
    soup = BeautifulSoup(small.page("01_chapter"), "html.parser")
    return {str(section["data-exercise"]): section for section in soup.select("section.answer")}


def test_a_number_has_a_labelled_field_a_button_and_a_status(sections: dict[str, Tag]) -> None:
    section = sections["1.2"]
    assert section["data-label"] == "ex-half"
    field = section.select_one("input[type=text]")
    label = section.select_one(f"label[for={field['id']}]")
    assert label.get_text().startswith("The value of ")
    assert label.select_one("math") is not None
    assert "to within 0.01" in label.get_text()
    assert [button.get_text() for button in section.select("button[type=submit]")] == ["Check"]
    assert len(section.select("[role=status]")) == 1
    assert section.select_one(".answer-controls").has_attr("hidden")
    titles = [title.get_text() for title in section.select(".hint > .admonition-title")]
    assert titles == ["Hint 1 of 2", "Hint 2 of 2"]
    assert "Exercise 1.2" in section.select_one(".exercise .admonition-title").get_text()
    assert "★ · 2 min" in section.get_text()


def test_a_choice_is_a_group_of_radio_buttons_with_every_option_explained(sections: dict[str, Tag]) -> None:
    section = sections["1.3"]
    assert section.select_one("fieldset legend").get_text() == "Your answer"
    assert [radio["value"] for radio in section.select("fieldset label input[type=radio]")] == ["a", "b"]
    assert all(label.select_one("math") is not None for label in section.select("label.answer-option"))
    known = json.loads(section.select_one("script").string)
    assert known["a"]["verdict"] == "wrong"
    assert known["a"]["message"] == "That is </script> wrong."
    assert known["b"]["message"] == "Right. Yes."


def test_an_exercise_with_torch_sends_the_reader_to_the_notebook(sections: dict[str, Tag]) -> None:
    section = sections["1.4"]
    assert section.select_one("form") is None
    assert "notebook" in section.select_one(".answer-elsewhere").get_text()
    assert "return x" in section.select_one(".solution pre").get_text(), "the worked program is the solution"


def test_the_notebook_has_a_cell_to_fill_with_the_check_under_it(small: SmallBook) -> None:
    cells = nbformat.read(small.notebook("01_chapter"), as_version=4).cells
    answers = [cell.source for cell in cells if "answer" in cell.metadata.get("tags", [])]
    assert answers == [
        "",
        'import tutor\n\nanswer = ...  # a number, or text such as "2*log(3)"\ntutor.check("1.2", answer)',
        'import tutor\n\nanswer = ...  # "a" or "b"\ntutor.check("1.3", answer)',
        'import tutor\n\ndef f(x):\n    ...\n\ntutor.check("1.4", f)',
    ]
    assert all(cell.outputs == [] for cell in cells if "answer" in cell.metadata.get("tags", []))
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    (options,) = [text for text in texts if "- **a)**" in text]
    assert "- **b)** The sign $>$" in options
    shut = [cell.source for cell in cells if cell.metadata.get("jp-MarkdownHeadingCollapsed")]
    assert shut == [f"#### Solution to Exercise 1.{number}" + title for number, title in SOLUTIONS]


SOLUTIONS = [(1, " (An open one)"), (2, " (A half)"), (3, " (Which sign)"), (4, " (Write it)")]


def test_the_list_has_every_exercise_with_kind_stars_minutes_and_a_place_for_progress(small: SmallBook) -> None:
    soup = BeautifulSoup(small.page("exercises"), "html.parser")
    rows = [[cell.get_text(strip=True) for cell in row.select("td")] for row in soup.select("tbody tr")]
    assert rows == [
        ["1.1", "An open one", "think", "★★★", "40", ""],
        ["1.2", "A half", "number", "★", "2", ""],
        ["1.3", "Which sign", "choice", "★", "2", ""],
        ["1.4", "Write it", "code", "★", "2", ""],
    ]
    assert [span["data-progress"] for span in soup.select("[data-progress]")] == ["ex-half", "ex-sign", "ex-code"]
    assert soup.select_one("tbody a")["href"] == "01_chapter.html#ex-open"
    assert len(soup.select(".course-progress")) == 1


def test_an_exercise_shows_its_stars_and_minutes_below_its_title(small: SmallBook) -> None:
    soup = BeautifulSoup(small.page("01_chapter"), "html.parser")
    titles = [one for one in soup.select(".admonition-title") if one.get_text().startswith("Exercise")]
    shown = [title.find_next("em").get_text() for title in titles]
    assert shown == ["★★★ · 40 min", *3 * ["★ · 2 min"]]


@pytest.mark.thorough
def test_a_changed_exercise_changes_its_page(tmp_path: Path) -> None:
    made = book(tmp_path / "book", NUMBER, CHOICE, TORCH)
    made.build()
    path = tmp_path / "book" / "book" / "exercises" / "01.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("A half", "One half"), encoding="utf-8")
    made.build()
    assert "One half" in made.page("01_chapter")
    assert "One half" in made.page("exercises")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("exercises", "chapter", "says"),
    [
        ([{**NUMBER, "id": "1.9"}, CHOICE, TORCH], CHAPTER, "is number 1.2 here: change its `id`"),
        ([CHOICE, TORCH], CHAPTER, "no exercise that can be checked is called 'ex-half'"),
        ([{**NUMBER, "stars": 7}, CHOICE, TORCH], CHAPTER, "stars is 7: expected 1, 2 or 3"),
        (
            [NUMBER, CHOICE, TORCH],
            CHAPTER.replace("## Further reading\n\n", ""),
            "follows a solution, with which a notebook would hide it",
        ),
    ],
    ids=["number", "unknown", "broken", "hidden"],
)
def test_a_slip_of_the_author_fails_the_build_and_is_named(
    tmp_path: Path, exercises: list[dict[str, object]], chapter: str, says: str
) -> None:
    built = book(tmp_path / "book", *exercises, chapter=chapter).run()
    assert built.status != 0
    assert says in " ".join(built.said.split())


def test_the_files_of_pyodide_are_those_that_npm_delivers() -> None:
    digests = versions()["sha256"]
    assert isinstance(digests, dict)
    assert len(digests) == 4
    for name, digest in digests.items():
        assert hashlib.sha256(file_of_pyodide(name)).hexdigest() == digest


def test_a_page_ships_both_packages_and_the_exercises_that_it_can_check(tmp_path: Path) -> None:
    folder = ROOT / "book" / "exercises"
    archive = zipfile.ZipFile(io.BytesIO(packages(folder)))
    archive.extractall(tmp_path)
    assert {"tutor/page.py", "proofreader/checking.py", "exercises/exercises.json"} <= set(archive.namelist())
    shipped, whole = Collection.read(tmp_path / "exercises"), Collection.read(folder)
    assert set(shipped) == {one.id for one in whole.values() if one.in_page}
    assert packages(folder) == packages(folder), "the same files make the same archive"


def test_every_exercise_of_the_data_stands_on_a_page_once(build: Path) -> None:
    found = [str(section["data-label"]) for path in pages(build) for section in soup(path).select("section.answer")]
    assert sorted(found) == sorted(one.label for one in Collection.read(ROOT / "book" / "exercises").values())


def test_no_function_that_is_asked_for_has_the_name_of_one_that_chapters_import() -> None:
    """In a notebook the reader's function would stand in its place."""
    asked = {one.id: one.answer.function for one in collection().values() if one.kind == "code"}
    assert asked
    assert {name: id_ for id_, name in asked.items() if hasattr(lvmlib, name)} == {}
