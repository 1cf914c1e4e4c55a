"""Every claim of the book is attacked, or on the list of those that are still owed."""

from __future__ import annotations

import pytest
from books import ROOT
from course.attacks import Attacked, attacked, check, complaints
from course.claims import Claim, Hypothesis

CLAIM = Claim("theorem", "First", "thm-first", "page.md:3", (Hypothesis("covers", "covering"),))


def test_every_claim_is_attacked_or_owed() -> None:
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
