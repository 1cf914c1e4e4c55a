"""A page never shows a number that the present code would not print; and nothing is executed in vain."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from books import HEADER, SmallBook
from course.markdown import GLUED_END, GLUED_START
from course.notebooks import publish

# These build small books, for whoever changes the extension.
pytestmark = pytest.mark.thorough

CHAPTER = """# A chapter

```{code-cell} ipython3
:tags: [remove-cell, book-only]
from myst_nb import glue
```

```{code-cell} ipython3
:tags: [nbval-check-output]
import sys
sys.path.insert(0, "..")
import toy
with open("../executions.txt", "a") as log:
    _ = log.write("x")
print("the answer is", toy.ANSWER)
```

```{code-cell} ipython3
:tags: [remove-cell, book-only]
_ = glue("answer", toy.ANSWER, display=False)
```

In prose it is {glue:text}`answer:d`.

```{code-cell} ipython3
toy.Figure()
```
"""

PACKAGE = '''
"""A package."""
ANSWER = 41


class Figure:
    def _repr_mimebundle_(self, **_):
        style = "display:block;width:100%;max-width:96px;height:auto"
        svg = f'<svg viewBox="0 0 1 1" class="lvm-picture" role="img" aria-label="A dot" style="{style}"></svg>'
        return {"text/html": svg, "text/plain": "Figure"}
'''


@pytest.fixture
def book(tmp_path: Path) -> SmallBook:
    book = SmallBook.make(tmp_path, {"01_first": CHAPTER}, package=PACKAGE)
    (tmp_path / "requirements.txt").write_text("toy==1\n")
    return book


def executions(book: SmallBook) -> int:
    return len((book.root / "executions.txt").read_text())


def test_a_change_in_the_package_changes_every_number_that_a_page_shows(book: SmallBook) -> None:
    for answer in ("41", "42"):
        book.write_package(PACKAGE.replace("41", answer))
        book.build()
        page = book.page("01_first")
        assert f"the answer is {answer}" in page
        assert re.search(rf"In prose it is <span[^>]*>{answer}</span>", page)
        cells = nbformat.read(book.notebook("01_first"), as_version=4).cells
        assert cells[-2].source == f"In prose it is {GLUED_START}{answer}{GLUED_END}."
    assert executions(book) == 2

    # Code that was seen before has its outputs in the cache; a lock that was not has none.
    book.write_package(PACKAGE)
    book.build()
    assert "the answer is 41" in book.page("01_first")
    assert executions(book) == 2
    (book.root / "requirements.txt").write_text("toy==2\n")
    book.build()
    assert executions(book) == 3


def test_a_build_without_changes_executes_and_reads_nothing(book: SmallBook) -> None:
    book.build()
    said = book.build()
    assert executions(book) == 1
    assert "0 added, 0 changed, 0 removed" in said


def test_a_page_that_is_read_again_from_the_cache_keeps_its_outputs_in_the_notebook(book: SmallBook) -> None:
    book.build()
    before = book.notebook("01_first").read_text()
    shutil.rmtree(book.root / "_build" / ".doctrees")
    book.build()
    assert executions(book) == 1
    assert book.notebook("01_first").read_text() == before
    assert "the answer is 41" in before


def test_nothing_is_executed_for_which_a_committed_notebook_has_the_outputs(
    book: SmallBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.build()
    page = book.page("01_first")
    assert page.count("<svg viewBox") == 1
    notebook = publish(book.notebook("01_first").read_text())
    assert "<svg" not in "".join(str(cell.source) for cell in nbformat.reads(notebook, as_version=4).cells)
    committed = book.root / "notebooks" / "01_first.ipynb"
    committed.parent.mkdir()
    committed.write_text(notebook)

    def build_anew() -> str:
        shutil.rmtree(book.root / "_build")
        book.build()
        return book.page("01_first")

    assert build_anew() == page
    assert executions(book) == 1, "a fresh clone"
    book.write_package(PACKAGE.replace("A package.", "Another sentence.") + "# a comment\n")
    book.write("01_first", HEADER + CHAPTER.replace("In prose", "In words"))
    assert build_anew() == page.replace("In prose", "In words")
    assert executions(book) == 1, "words alone have changed"
    assert "In words it is" in book.notebook("01_first").read_text()

    book.write_package(PACKAGE.replace("41", "42"))
    assert "the answer is 42" in build_anew()
    assert executions(book) == 2, "the code has changed"
    book.write_package(PACKAGE)
    book.write("01_first", HEADER + CHAPTER.replace('"the answer is"', '"it is"'))
    assert "it is 41" in build_anew()
    assert executions(book) == 3, "a cell has changed"
    book.write("01_first", HEADER + CHAPTER)
    monkeypatch.setenv("EXECUTE", "always")
    assert build_anew() == page
    assert executions(book) == 4, "it was asked for"


def test_a_warning_fails_the_build_and_fails_it_again(book: SmallBook) -> None:
    book.write("index", "# A small book\n\nSee {ref}`nowhere`.\n")
    for _ in range(2):
        done = book.run()
        assert done.status != 0
        assert "nowhere" in done.said


def test_a_cell_that_fails_fails_the_build(book: SmallBook) -> None:
    book.write_package("")
    done = book.run()
    assert done.status != 0
    assert "AttributeError" in done.said


def test_what_a_library_says_once_a_day_fails_no_build(book: SmallBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(book.root / "the first import on a new machine"))
    book.write("01_first", HEADER + CHAPTER.replace("import sys\n", "import arviz\nimport sys\n"))
    book.build()
