"""Whole texts in the notation of lectures and papers: nothing right is called false, and nothing wrong holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from proofreader import check_derivation, check_file

TEXTS = Path(__file__).parent / "texts"
WRONG = (TEXTS / "wrong_lines.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("text", sorted(TEXTS.glob("*.md")), ids=lambda path: path.stem)
def test_nothing_right_is_called_false_and_nine_in_ten_hold(text: Path) -> None:
    counts: Counter[str] = Counter()
    for checked in check_file(text, explain=False):
        assert checked.report is not None
        false = [line.latex for line in checked.report.lines if line.verdict == "false"]
        assert not false
        counts.update(checked.report.counts)
    claims = sum(count for verdict, count in counts.items() if verdict != "no_claim")
    assert claims >= 30
    assert counts["holds"] + counts["holds_if"] >= 0.9 * claims


@pytest.mark.parametrize("latex", WRONG, ids=range(len(WRONG)))
def test_nothing_wrong_holds(latex: str) -> None:
    assert check_derivation(latex, explain=False).verdict != "holds"


def test_what_is_wrong_is_called_false() -> None:
    verdicts = Counter(check_derivation(latex, explain=False).verdict for latex in WRONG)
    assert verdicts["false"] >= 0.95 * len(WRONG)
