"""Every claim of the book has a test that vouches for it, and every such test names a claim."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nbformat
import pytest
from books import ROOT, SmallBook, soup
from bs4 import BeautifulSoup
from course.claims import KINDS, Claim, Hypothesis, Voucher, claims, vouchers

PAGES = sorted((ROOT / "book").glob("*.md"))
CLAIMS = [claim for page in PAGES for claim in claims(page)]
VOUCHERS = vouchers(ROOT / "tests")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.label or claim.place)
def test_a_claim_has_a_label_and_a_test_that_vouches_for_it(claim: Claim) -> None:
    assert claim.label, f"{claim.place}: the {claim.kind} {claim.title!r} has no label"
    assert VOUCHERS.get(claim.label), f"{claim.place}: no test vouches for {claim.label}"


def test_a_label_names_one_claim() -> None:
    assert [label for label, count in Counter(claim.label for claim in CLAIMS).items() if count > 1] == []


def test_every_test_that_vouches_names_a_claim() -> None:
    labels = {claim.label for claim in CLAIMS}
    unknown = {label: tests for label, tests in VOUCHERS.items() if label not in labels}
    assert unknown == {}


@pytest.mark.thorough
def test_every_claim_of_the_built_book_shows_its_tests(build: Path) -> None:
    """The claims found in the sources are those that the pages show, and each box names its tests."""
    shown = {}
    for page in sorted((build / "html" / "book").glob("*.html")):
        for box in soup(page).select("div.admonition.proof[id]"):
            if set(KINDS).intersection(box["class"]):
                shown[box["id"]] = [code.get_text() for code in box.select(".vouched code")]
    expected = {label: {text for test in tests for text in (test.test, test.path)} for label, tests in VOUCHERS.items()}
    assert {label: set(texts) for label, texts in shown.items()} == expected


PAGE = """# One

:::{prf:theorem} First
:label: thm-first
All is well.
:::

````{prf:lemma}
:class: small
:label: lem-second

Let a sum be {hyp}`finite,
$s < \\infty$ <finite>` or {hyp}`positive <positive>`. Then so is this.
````

Another {hyp}`sentence <of-no-claim>`.

:::{prf:corollary} Third
No label.
:::

:::{prf:definition} A word
:label: def-word
A definition claims nothing.
:::
"""

TESTS = """import pytest
from attack import attack, breaks

@pytest.mark.vouches("thm-first", "lem-second")
@pytest.mark.parametrize("seed", range(3))
def test_both(seed): ...

class TestMore:
    @pytest.mark.vouches("thm-first")
    def test_again(self): ...

@attack("lem-second", cases=CASES)
def test_attacked(case): ...

@breaks("lem-second", without="finite", case=CASE, because="of that")
def test_needed(case): ...

raise RuntimeError("the tests are read, and not run")
"""


def written(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_claims_are_read_from_the_source_of_a_page(tmp_path: Path) -> None:
    page = written(tmp_path, "page.md", PAGE) / "page.md"
    assert claims(page) == [
        Claim("theorem", "First", "thm-first", "page.md:3"),
        Claim(
            "lemma",
            "",
            "lem-second",
            "page.md:8",
            (Hypothesis("finite", r"finite, $s < \infty$"), Hypothesis("positive", "positive")),
        ),
        Claim("corollary", "Third", "", "page.md:18"),
    ]


def test_marks_are_read_from_the_source_of_the_tests(tmp_path: Path) -> None:
    tests = written(tmp_path / "tests", "test_one.py", TESTS)
    assert vouchers(tests) == {
        "lem-second": [
            Voucher("tests/test_one.py", "test_attacked"),
            Voucher("tests/test_one.py", "test_both"),
            Voucher("tests/test_one.py", "test_needed"),
        ],
        "thm-first": [Voucher("tests/test_one.py", "test_again"), Voucher("tests/test_one.py", "test_both")],
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("test_one.py", "@pytest.mark.vouches('thm-first')\ndef check_it(): ...\n"),
        ("helpers.py", "@pytest.mark.vouches('thm-first')\ndef test_it(): ...\n"),
        ("test_one.py", "@pytest.mark.vouches('thm-first')\nclass TestIt: ...\n"),
        ("test_one.py", "@pytest.mark.vouches(LABEL)\ndef test_it(): ...\n"),
        ("test_one.py", "@pytest.mark.vouches()\ndef test_it(): ...\n"),
        ("test_one.py", "@pytest.mark.vouches\ndef test_it(): ...\n"),
        ("test_one.py", "@attack(LABEL)\ndef test_it(case): ...\n"),
        ("helpers.py", "@breaks('thm-first', without='finite', case=1, because='')\ndef test_it(case): ...\n"),
    ],
)
def test_a_mark_that_pytest_would_not_run_or_that_names_nothing_is_an_error(
    name: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"{name}:1"):
        vouchers(written(tmp_path / "tests", name, text))


CHAPTER = r"""# One

:::{prf:theorem} First
:label: thm-first
It holds that

$$
p(x, z) = p(x \mid z)\, p(z).
$$
:::

## A flower

% derivation: unread, flowers are outside the grammar
$$
p(x) = \heartsuit
$$

% derivation: false, it lacks a logarithm
$$
\log p(x) = \E_{p(z)}[p(x \mid z)]
$$
"""

LIST = """# What is read

```{derivation-table}
```

```{derivation-unread}
```
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> SmallBook:
    book = SmallBook.make(tmp_path_factory.mktemp("claims") / "book", {"01_first": CHAPTER, "read": LIST})
    written(book.root / "tests", "test_one.py", TESTS)
    book.build()
    return book


@pytest.mark.thorough
def test_a_page_and_its_notebook_name_the_tests_under_the_claim(book: SmallBook) -> None:
    box = BeautifulSoup(book.page("01_first"), "html.parser").select_one("#thm-first .vouched details")
    assert box is not None
    assert box.summary is not None
    assert box.summary.get_text() == "✓ checked by 2 tests"
    assert box.p is not None
    assert box.p.get_text() == "test_again and test_both in tests/test_one.py."
    (cell,) = [cell for cell in nbformat.read(book.notebook("01_first"), as_version=4).cells if "First" in cell.source]
    assert '> <details class="margin"><summary>✓ checked by 2 tests</summary>' in cell.source
    assert "> `test_again` and `test_both` in `tests/test_one.py`." in cell.source


def test_the_page_of_derivations_counts_lines_and_links_to_what_is_not_read(book: SmallBook) -> None:
    page = BeautifulSoup(book.page("read"), "html.parser")
    heads = [cell.get_text() for cell in page.select("article thead th")]
    assert heads == ["page", "displays", "lines that hold", "claim nothing", "false on purpose", "displays not read"]
    rows = [[cell.get_text() for cell in row.select("td")] for row in page.select("article tbody tr")]
    assert rows == [["One", "3", "1", "0", "1", "1"], ["all", "3", "1", "0", "1", "1"]]
    (link,) = [link for link in page.select("article p a") if "#unread" in link["href"]]
    assert link.get_text() == "A flower"
    assert "flowers are outside the grammar" in link.find_parent("p").get_text()
    place, anchor = link["href"].split("#")
    target = BeautifulSoup(book.page(Path(place).stem), "html.parser").find(id=anchor)
    assert target is not None
    assert "♡" in target.get_text()


def test_the_page_of_derivations_follows_the_chapters(book: SmallBook) -> None:
    book.write("01_first", CHAPTER.replace("% derivation: unread, flowers", "% derivation: unread, blossoms"))
    book.build()
    assert "blossoms are outside the grammar" in book.page("read")
