"""Every displayed derivation of the book is read by the checker, and is what its page says it is."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import pytest
from books import ROOT
from course.derivations import complaints, evaluated, tally

from proofreader import check_derivation, check_file

PAGES = sorted((ROOT / "book").glob("*.md"))


@cache
def found(page: Path) -> tuple[list[str], float]:
    start = time.process_time()
    return complaints(page), time.process_time() - start


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_display_holds_or_is_marked_with_a_reason(page: Path) -> None:
    assert found(page)[0] == []


def test_the_whole_book_is_read_in_half_a_minute() -> None:
    assert sum(found(page)[1] for page in PAGES) < 30


def complaints_about(text: str, tmp_path: Path) -> list[str]:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n", encoding="utf-8")
    return complaints(page)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$$\np(x) = \\int p(x, z)\\, dz \\\\\n\\log p(x) = \\E_{p(z)}[p(x \\mid z)]\n$$", "page.md:5: false: "),
        ("$$\np(x = \\int p(x, z)\\, dz\n$$", "page.md:4: unreadable: "),
        (":::{prf:proof}\nBy this:\n\n$$\np(x) = 2\\, p(x)\n$$\n:::", "page.md:7: false: "),
        ("% derivation: false, a joke\n$$\np(x, z) = p(x \\mid z)\\, p(z)\n$$", "page.md:5: marked as false"),
        ("% derivation: unread, I was lazy\n$$\np(x, z) = p(x \\mid z)\\, p(z)\n$$", "page.md:5: marked as unread"),
    ],
    ids=["false", "unreadable", "in a proof", "true where false is meant", "unread where it could be read"],
)
def test_a_display_that_is_not_what_its_page_says_is_found(text: str, complaint: str, tmp_path: Path) -> None:
    (one,) = complaints_about(text, tmp_path)
    assert one.startswith(complaint)


@pytest.mark.parametrize(
    "text",
    [
        "% derivation: false, KL has a sign\n$$\n\\KL(q(z) \\Vert p(z)) \\le 0\n$$",
        "% derivation: unread, a flower\n$$\np(x) = \\heartsuit_{\\clubsuit}\n$$",
        "% derivation: define p(x, y, z) := p(z)\\, p(x \\mid z)\\, p(y \\mid z)\n"
        "$$\np(x, y \\mid z) = p(x \\mid z)\\, p(y \\mid z)\n$$",
    ],
    ids=["false on purpose", "unread", "given a definition"],
)
def test_a_mark_with_a_reason_is_heard(text: str, tmp_path: Path) -> None:
    assert complaints_about(text, tmp_path) == []
    without_its_mark = text.split("\n", 1)[1]
    assert complaints_about(without_its_mark, tmp_path) != []


@pytest.mark.parametrize("mark", ["unread", "unread,", "unread,  ", "false,", "unreadable, a typing slip"])
def test_a_mark_without_a_reason_is_an_error(mark: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"page\.md:3"):
        complaints_about(f"% derivation: {mark}\n$$\np(x) = \\heartsuit\n$$", tmp_path)


def test_only_lines_that_compare_two_sides_are_counted_as_evaluated(tmp_path: Path) -> None:
    compared = check_derivation(r"p(x) = \int p(x, z)\, dz \\ \KL(q(z) \Vert p(z)) \ge 0")
    assert [evaluated(line) for line in compared.lines] == [True, True]
    for stated in (r"w(z) := p(x, z) / q(z)", r"z \sim \Normal(0, I)", r"\E_{q(z)}[\log q(z)]"):
        (line,) = check_derivation(stated).lines
        assert not evaluated(line)
    page = tmp_path / "page.md"
    page.write_text(
        "$$\nw(z) := p(x, z) / q(z)\n$$\n\n$$\n\\E_{q(z)}[w(z)] = p(x) = \\int p(x, z)\\, dz\n$$\n\n"
        "% derivation: unread, a flower\n$$\n\\heartsuit\n$$\n\n% derivation: false, no\n$$\np(x) = 2\\, p(x)\n$$\n",
        encoding="utf-8",
    )
    expected = {"displays": 4, "definition": 1, "evaluated": 2, "unread": 1, "false on purpose": 1}
    assert tally(check_file(page)) == expected
