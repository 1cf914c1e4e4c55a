"""Lines in the notation of papers, lecture notes and posts, and slips in them, with verdicts worked by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proofreader import check_derivation

ROWS = [json.loads(row) for row in Path(__file__).with_name("published.jsonl").read_text(encoding="utf-8").splitlines()]
# Wrong as published: the last step of this derivation conditions on a state that its average does not.
WRONG_AS_PUBLISHED = {"luo-vdm-1"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_published_line_gets_the_verdict_worked_by_hand(row: dict[str, Any]) -> None:
    report = check_derivation(row["latex"], definitions=row.get("given"), explain=False)
    assert report.verdict == row["verdict"], str(report)
    assert report.verdict != "holds_if" or report.condition


def test_what_is_right_is_not_called_false_and_no_slip_holds() -> None:
    counts = Counter((row["source"] == "a slip", row["verdict"]) for row in ROWS)
    false = {row["name"] for row in ROWS if row["source"] != "a slip" and row["verdict"] == "false"}
    assert false == WRONG_AS_PUBLISHED
    assert counts[True, "holds"] == 0
    assert counts[True, "false"] >= 0.9 * sum(count for (slip, _), count in counts.items() if slip)
