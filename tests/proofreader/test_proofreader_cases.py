"""Every kind of line has the verdict that a mathematician gives it."""

from __future__ import annotations

import pytest
from cases import CASES, Case

from proofreader import check_derivation


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_a_line_gets_the_verdict_worked_by_hand(case: Case) -> None:
    report = check_derivation(case.latex, explain=False)
    assert report.verdict in case.right, str(report)
    if report.verdict == "holds_if":
        assert report.condition


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2])
def test_no_wrong_line_is_accepted_by_other_models(seed: int) -> None:
    for case in CASES:
        if case.right[0] == "false":
            assert check_derivation(case.latex, seed=seed, explain=False).verdict != "holds", case.latex


def test_a_condition_says_what_is_assumed() -> None:
    said = {
        r"p(x, h_1, h_2) = p(h_2)\, p(h_1 \mid h_2)\, p(x \mid h_1)": "form a Markov chain under p",
        r"q(a, b) = q(a)\, q(b)": "a, b are independent under q",
        r"\log p(D \mid w) = \sum_{n=1}^N \log p(x_n \mid w)": "x_1 and x_2 are independent given w",
        r"H[q(z)] \ge 0": "z is discrete",
        r"\log p(x) = \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]": "q(z) = p(z | x)",
        r"\varphi(\mathbb{E}_{p(x)}[f(x)]) \le \mathbb{E}_{p(x)}[\varphi(f(x))]": "is convex",
        r"\log(\lambda a + (1 - \lambda) b) \ge \lambda \log a + (1 - \lambda) \log b": "≤ 1",
        r"\mathbb{E}_P[\log p(x)] = \int p(x) \log p(x)\, dx": "P is the law with the density p",
    }
    for latex, words in said.items():
        report = check_derivation(latex)
        assert report.verdict == "holds_if", str(report)
        assert words in report.condition
