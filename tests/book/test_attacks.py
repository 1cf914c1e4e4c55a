"""Every claim of the book is attacked, and one that is not fails the build."""

from __future__ import annotations

import shutil

import nbformat
import pytest
from attack import attack, breaks, explained
from books import HEADER, ROOT, SmallBook
from bs4 import BeautifulSoup
from course.attacks import Attacked, attacked, check, complaints
from course.claims import Claim, Hypothesis

from lvmlib.zoo import member, members

CLAIM = Claim("theorem", "First", "thm-first", "page.md:3", (Hypothesis("covers", "covering"),))


@pytest.mark.thorough
def test_every_claim_is_attacked() -> None:
    done = attacked(ROOT / "tests" / "claims")
    assert list(check(ROOT, done)) == []
    assert {"thm-jensen", "thm-elbo"} <= set(done)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (None, "no test tries it"),
        (Attacked((), {"covers": "of that"}), "no test tries it"),
        (Attacked(("umbrella",), {}), "nothing shows that the hypothesis 'covers' is needed"),
        (Attacked(("umbrella",), {"covers": "of that"}), None),
    ],
)
def test_a_claim_needs_an_attack_and_a_case_for_each_hypothesis(done: Attacked | None, said: str | None) -> None:
    lines = complaints(CLAIM, done)
    assert len(lines) == (said is not None)
    assert all(said in line for line in lines if said)


CHAPTER = r"""# One

:::{prf:theorem} Bounded below
:label: thm-first

Let $q$ be {hyp}`positive wherever
$p(x, z) > 0$ <covers>`. Then all is well for every $q$.{by}`thm-first`
:::
"""

UNATTACKED = """
:::{prf:lemma} Second
:label: lem-second

So is this.
:::
"""

TESTS = """from attack import attack, breaks
from zoo import member

@attack("thm-first")
def test_all_is_well(case): ...

@breaks("thm-first", without="covers", case=member("missing-support"), because=r"else $p(x) > 1$ & worse")
def test_not_well(case): ...
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> SmallBook:
    book = SmallBook.make(tmp_path_factory.mktemp("attacks") / "book", {"01_first": CHAPTER})
    claims = book.root / "tests" / "claims"
    claims.mkdir(parents=True)
    for name in ("attack.py", "hypotheses.py", "zoo.py"):
        shutil.copy(ROOT / "tests" / "claims" / name, claims)
    (claims / "test_first.py").write_text(TESTS, encoding="utf-8")
    return book


def test_a_claim_shows_why_its_hypotheses_are_needed_and_folds_its_tests(book: SmallBook) -> None:
    book.build()
    page = BeautifulSoup(book.page("01_first"), "html.parser")
    (hypothesis,) = page.select("#thm-first .hypothesis")
    assert " ".join(hypothesis.get_text().split()) == "positive wherever p(x,z)>0"
    (reason,) = page.select("#thm-first .vouched > p")
    assert reason.get_text() == "Positive wherever p(x,z)>0: needed because else p(x)>1 & worse."
    (summary,) = page.select("#thm-first summary")
    tried = len([member for member in members() if member.truth.covers])
    assert tried > 20
    assert summary.get_text() == f"✓ attacked with {tried} models, checked by 2 tests"
    assert "{by}" not in page.get_text()


def test_the_notebook_says_the_same(book: SmallBook) -> None:
    book.build()
    text = "\n".join(cell.source for cell in nbformat.read(book.notebook("01_first"), as_version=4).cells)
    assert r"> *Positive wherever $p(x, z) > 0$*: needed because else $p(x) > 1$ &amp; worse." in text
    assert '> <details class="margin"><summary>✓ attacked with' in text
    assert "thm-first`" not in text


def test_a_claim_that_is_not_attacked_fails_the_build(book: SmallBook) -> None:
    book.write("01_first", HEADER + CHAPTER + UNATTACKED)
    failed = book.run()
    book.write("01_first", HEADER + CHAPTER)
    line = 1 + (HEADER + CHAPTER + UNATTACKED).partition(":::{prf:lemma}")[0].count("\n")
    assert failed.status != 0
    assert f"01_first.md:{line}: lem-second: no test tries it" in failed.said


@pytest.mark.parametrize(
    ("decorator", "said"),
    [
        ("attack('thm-none')", "is not the label of a claim"),
        ("breaks('thm-gap-size', without='concave', case=member('umbrella'), because='')", "is not among"),
        ("breaks('thm-gap-size', without='covers', case=member('umbrella'), because='')", r"violates \[\]"),
        ("breaks('thm-gap-size', without='covers', case=member('zero-likelihood'), because='')", "alone"),
        ("attack('thm-elbo', cases=[member('impossible-x')])", "no case meets"),
        ("explained('thm-elbo', without='covers', because='')", "is not among"),
    ],
)
def test_an_attack_that_misses_its_claim_is_an_error(decorator: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        eval(decorator, {"attack": attack, "breaks": breaks, "explained": explained, "member": member})
