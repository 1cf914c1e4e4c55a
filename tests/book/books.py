"""Builds books for the tests: this one, once for all tests, and small ones of a few pages."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import course
import pytest
import yaml
from bs4 import BeautifulSoup
from filelock import FileLock
from jupyter_book.cli.main import main
from make_notebooks import build_book

ROOT = Path(__file__).resolve().parents[2]

LOADED = ["jupyter_book.sphinx", "myst_nb.sphinx_", "sphinx_book_theme", *(f"course.{part}" for part in course.PARTS)]

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""


@cache
def build_this_book() -> Path:
    """Build the book once in a test run: the worker that comes first does, and the others wait for it."""
    build = ROOT / "_build"
    build.mkdir(exist_ok=True)
    run, stamp = os.environ.get("PYTEST_XDIST_TESTRUNUID"), build / ".built-in-test-run"
    with FileLock(build / ".lock"):
        if run is None or not stamp.exists() or stamp.read_text(encoding="utf-8") != run:
            build_book(ROOT)
            stamp.write_text(str(run), encoding="utf-8")
    return build


@cache
def soup(path: Path) -> BeautifulSoup:
    """A page of the built book, parsed once for all tests that look into it."""
    # A tree of a hundred thousand small objects is walked again and again by the collector, which finds nothing.
    gc.disable()
    try:
        return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    finally:
        gc.enable()


def docnames() -> list[str]:
    """The pages of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    sections = [section for chapter in chapters for section in chapter.get("sections", [])]
    return [toc["root"], *(entry["file"] for entry in (*chapters, *sections))]


def pages(build: Path) -> list[Path]:
    """All pages of the book, those of the library too."""
    return sorted((build / "html" / "book").rglob("*.html"))


@dataclass(frozen=True)
class Built:
    """How a build ended, and all that it said."""

    status: int
    said: str


@cache
def forks() -> ForkServerContext:
    """Makes processes that have loaded what a build needs, which takes longer than building a small book."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context


def _build(root: Path, log: str, environment: dict[str, str]) -> None:
    """What a forked process does: build the book below ``root`` as the command would, and say everything to a file."""
    os.environ.update(environment)
    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    sys.argv = ["jupyter-book", "build", str(root), "-W", "-n", "--keep-going"]
    main()


@dataclass
class SmallBook:
    """A book in a folder of its own, with this book's configuration and extensions and a package ``toy``."""

    root: Path

    @classmethod
    def make(cls, root: Path, chapters: dict[str, str], *, package: str = "", **config: Any) -> SmallBook:
        book = cls(root)
        settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
        settings["bibtex_bibfiles"] = [str(ROOT / "book" / "references.bib")]
        settings["sphinx"]["local_extensions"] = {"course": str(ROOT / "book" / "_ext")}
        settings["sphinx"]["config"] |= {"course_inputs": ["toy"], "html_static_path": []}
        settings["sphinx"]["config"] |= {"html_css_files": [], "html_js_files": []}
        settings["sphinx"]["config"] |= config
        toc = {
            "format": "jb-book",
            "root": "book/index",
            "parts": [
                {"caption": "Part", "numbered": True, "chapters": [{"file": f"book/{name}"} for name in chapters]},
                {"caption": "Back", "chapters": [{"file": "book/bibliography"}]},
            ],
        }
        (root / "book").mkdir(parents=True)
        (root / "toy").mkdir()
        (root / "_config.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        (root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
        book.write_package(package)
        book.write("index", "# A small book\n")
        book.write("bibliography", "# Bibliography\n\n```{bibliography}\n:all:\n```\n")
        for name, text in chapters.items():
            book.write(name, HEADER + text)
        return book

    def write(self, name: str, text: str) -> None:
        (self.root / "book" / f"{name}.md").write_text(text, encoding="utf-8")

    def write_package(self, text: str) -> None:
        (self.root / "toy" / "__init__.py").write_text(text, encoding="utf-8")

    def run(self) -> Built:
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
            process = forks().Process(target=_build, args=(self.root, log.name, dict(os.environ)))
            process.start()
            process.join()
            assert process.exitcode is not None
            return Built(process.exitcode, log.read())

    def build(self) -> str:
        """Build, and return what the build said."""
        built = self.run()
        assert built.status == 0, built.said
        return built.said

    def page(self, name: str) -> str:
        return (self.root / "_build" / "html" / "book" / f"{name}.html").read_text(encoding="utf-8")

    def notebook(self, name: str) -> Path:
        return self.root / "_build" / "notebooks" / f"{name}.ipynb"
