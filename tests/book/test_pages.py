"""Every page of the built book is whole: no raw LaTeX, no error, no dead link, no silent picture."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from books import ROOT, docnames, pages, soup
from bs4 import BeautifulSoup, NavigableString

import lvmlib
from lvmlib.plots import PALETTE


@cache
def places(path: Path) -> set[str]:
    """What a link can lead to on a page."""
    named = soup(path).select("[id], a[name]")
    return {tag[key] for tag in named for key in ("id", "name") if tag.has_attr(key)}


def words(path: Path, left_out: str) -> str:
    """The text of an article, but for what stands in some elements."""
    inside = {id(text) for tag in article(path).select(left_out) for text in tag.find_all(string=True)}
    texts = article(path).find_all(string=True)
    return " ".join(text for text in texts if type(text) is NavigableString and id(text) not in inside)


@pytest.fixture(params=docnames())
def page(build: Path, request: pytest.FixtureRequest) -> Path:
    return build / "html" / f"{request.param}.html"


def article(path: Path) -> BeautifulSoup:
    found = soup(path).select_one("article.bd-article")
    assert found is not None
    return found


def test_every_source_page_is_in_the_table_of_contents() -> None:
    folder = ROOT / "book"
    sources = {path.relative_to(ROOT).with_suffix("").as_posix() for path in folder.rglob("*.md")}
    assert sources == set(docnames())


def test_no_raw_latex_is_left(page: Path) -> None:
    text = words(page, ".math, pre, code, textarea, dt.sig, script, style, svg")
    raw = re.findall(r".{0,40}(?:\\\(|\\\[|\$\$|\\begin\{|\\[A-Za-z]{2,}\{|(?<!\\)\$[^$\s][^$]*\$).{0,40}", text)
    assert raw == []


def test_no_directive_or_role_is_left(page: Path) -> None:
    assert re.findall(r"\{[\w:-]+\}`|:::\{?|```\{", words(page, "pre, code")) == []


def test_no_cell_failed_and_none_warned(page: Path) -> None:
    assert article(page).select(".traceback, .output.stderr, .system-message, .problematic") == []


def test_every_local_link_leads_somewhere(page: Path) -> None:
    dead = []
    for tag in soup(page).select("a[href], img[src], script[src], link[href]"):
        address = urlsplit(tag.get("href") or tag.get("src"))
        if address.scheme or address.netloc:
            continue
        target = (page.parent / unquote(address.path)).resolve() if address.path else page
        if not target.exists() or (
            address.fragment and target.suffix == ".html" and unquote(address.fragment) not in places(target)
        ):
            dead.append(str(tag)[:120])
    assert dead == []


def test_every_picture_says_what_to_see(page: Path) -> None:
    silent = [str(image)[:100] for image in article(page).select("img") if not image.get("alt", "").strip()]
    for svg in article(page).select("svg"):
        title = svg.find("title", recursive=False)
        spoken = svg.get("aria-label") or (title and title.get_text())
        if svg.get("aria-hidden") != "true" and not (svg.get("role") == "img" and spoken and spoken.strip()):
            silent.append(str(svg)[:100])
    assert silent == []


def test_a_picture_made_in_a_chapter_has_a_caption_with_a_number(page: Path) -> None:
    for picture in article(page).select(".cell_output svg[role=img], .cell_output img"):
        figure = picture.find_parent("figure")
        assert figure is not None, str(picture)[:100]
        assert re.match(r"Figure \d+(\.\d+)?\b", figure.select_one("figcaption .caption-number").get_text())


def test_ids_are_unique(page: Path) -> None:
    ids = Counter(tag["id"] for tag in soup(page).select("[id]"))
    assert sorted(name for name, times in ids.items() if times > 1) == []


def test_headings_are_in_order(page: Path) -> None:
    levels = [int(heading.name[1]) for heading in article(page).select("h1, h2, h3, h4, h5, h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_every_exercise_has_a_kind_a_folded_hint_and_a_folded_solution(page: Path) -> None:
    exercises = article(page).select("div.exercise")
    solved = {link["href"].split("#")[1] for link in article(page).select("div.solution.dropdown > p a[href]")}
    for exercise in exercises:
        name = exercise["id"]
        assert {"derive", "code", "number", "choice", "think"}.intersection(exercise["class"]), f"{name} has no kind"
        assert exercise.select(".hint.dropdown"), f"{name} has no folded hint"
        assert name in solved, f"{name} has no folded solution"


def test_no_page_names_another_machine(build: Path) -> None:
    """What a page loads lies beside it; only a reader's click leaves the book."""
    for path in (build / "html").rglob("*.html"):
        for tag in soup(path).select("script[src], link[href], img[src], iframe[src], source[src], object[data]"):
            address = tag.get("src") or tag.get("href") or tag.get("data")
            if tag.name == "link" and "canonical" in tag.get("rel", []):
                continue
            assert not urlsplit(address).netloc, f"{path.name}: {tag}"
        assert "@import url(http" not in path.read_text(encoding="utf-8")


def test_what_all_pages_share_is_small(build: Path) -> None:
    shared = sum(path.stat().st_size for path in (build / "html" / "_static").rglob("*") if path.is_file())
    assert shared < 15_000_000


def test_no_page_names_the_folder_in_which_it_was_built(build: Path) -> None:
    for path in pages(build):
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path.name


def test_every_public_name_is_documented_on_one_page_and_listed_in_the_index(build: Path) -> None:
    book = build / "html" / "book"
    ids = [tag["id"] for path in (book / "api").glob("*.html") for tag in soup(path).select("dt[id]")]
    assert len(ids) == len(set(ids))
    documented = set(ids)
    listed = {urlsplit(link["href"]).fragment for link in soup(book / "api.html").select(".api-index td a[href]")}
    for name in lvmlib.__all__:
        value = getattr(lvmlib, name)
        if hasattr(value, "__path__") or type(value).__name__ == "module":
            names = {f"lvmlib.{name}.{inner}" for inner in value.__all__}
        else:
            home = (getattr(value, "__module__", None) or "lvmlib").partition(".")[0]
            names = {f"{home}.{name}"}
        assert names <= documented
        assert names <= listed


def test_formulas_are_set_when_the_book_is_built(page: Path) -> None:
    formulas = article(page).select(".math")
    assert all(formula.find("math") for formula in formulas)
    assert not [formula for formula in formulas if "\\" in formula.get_text()]


def test_the_style_sheet_has_the_palette_of_the_plots(build: Path) -> None:
    written = (build / "html" / "_static" / "palette.css").read_text(encoding="utf-8")
    assert dict(re.findall(r"--course-(\w+): (\S+);", written)) == dict(PALETTE)


def test_every_reference_has_what_a_reader_needs_to_find_it(build: Path) -> None:
    entries = soup(build / "html" / "book" / "bibliography.html").select("div.citation")
    source = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert len(entries) == len(re.findall(r"^@", source, flags=re.MULTILINE))
