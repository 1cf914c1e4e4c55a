"""One address, that of the repository, makes every link between pages, notebooks and the services that run them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from books import SmallBook
from bs4 import BeautifulSoup
from course.addresses import Repository
from sphinx.errors import ConfigError

# These build small books, for whoever changes the extension.
pytestmark = pytest.mark.thorough

CHAPTER = "# One\n\nText.\n"


def links(book: SmallBook) -> dict[str, str]:
    """The addresses of the buttons at the head of the page, by their names."""
    page = BeautifulSoup(book.page("01_first"), "html.parser")
    buttons = page.select("a.btn[class*=btn-notebook-]")
    return {button["title"]: button["href"] for button in buttons}


def test_without_a_repository_a_page_offers_its_notebook_as_a_file(tmp_path: Path) -> None:
    book = SmallBook.make(tmp_path / "book", {"01_first": CHAPTER})
    book.build()
    found = links(book)
    assert list(found) == ["Download this chapter as a notebook"]
    (address,) = found.values()
    file = book.root / "_build" / "html" / "book" / address
    assert nbformat.read(file, as_version=4).cells[0].source.startswith("# 1. One")


def test_with_a_repository_a_page_opens_its_notebook_and_the_notebook_finds_page_and_package(tmp_path: Path) -> None:
    options = {"repository_url": "https://github.com/Owner/course", "repository_branch": "main"}
    book = SmallBook.make(tmp_path / "book", {"01_first": CHAPTER}, html_theme_options=options)
    book.build()
    found = links(book)
    assert found["Open the notebook on Colab"] == (
        "https://colab.research.google.com/github/Owner/course/blob/main/notebooks/01_first.ipynb"
    )
    assert found["Open the notebook on Binder"] == (
        "https://mybinder.org/v2/gh/Owner/course/main?urlpath=lab/tree/notebooks/01_first.ipynb"
    )
    first, install = nbformat.read(book.notebook("01_first"), as_version=4).cells
    assert "](https://owner.github.io/course/book/01_first.html)" in first.source
    assert install.source.endswith('"lvmlib[book] @ git+https://github.com/Owner/course@main"')


@pytest.mark.parametrize("url", ["github.com/owner/name", "https://example.org/owner/name", "https://github.com/owner"])
def test_an_address_that_is_none_of_a_repository_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected an address such as https://github\.com/owner/name"):
        Repository.parse(url)
