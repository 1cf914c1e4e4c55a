"""Numbers as people write them, and what is no number."""

from __future__ import annotations

import math
import re
from contextlib import suppress

import pytest

from tutor.expressions import ExpressionError, evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-1.61", -1.61),
        ("\N{MINUS SIGN}1.61", -1.61),
        ("1/3", 1 / 3),
        ("2 log 2", 2 * math.log(2)),
        ("log 2 + 1", math.log(2) + 1),
        ("log(2)^2", math.log(2) ** 2),
        ("log 2^2", math.log(4)),
        ("ln(5/4)", math.log(1.25)),
        (r"\log \frac{5}{4}", math.log(1.25)),
        (r"\frac12" + " ", None),
        (r"\sqrt{0.02/3}", math.sqrt(0.02 / 3)),
        ("sqrt 2 / 2", math.sqrt(2) / 2),
        (r"\left(1 + 2\right) \cdot 3", 9),
        ("2(3 + 4)", 14),
        ("-2^2", -4),
        ("2**3**2", 512),
        ("2^-1", 0.5),
        ("1e-3", 0.001),
        ("2e", 2 * math.e),
        ("20,000", 20000),
        ("1,234,567.5", 1234567.5),
        ("40 %", 0.4),
        (r"40\%", 0.4),
        ("log2(8)", 3),
        (r"\log_2 8", 3),
        ("log10 1000", 3),
        ("|-3|", 3),
        ("2π", 2 * math.pi),
        ("3 × 10^2", 300),
        ("½", 0.5),
        ("$0.25$", 0.25),
        ("exp(-1/2)", math.exp(-0.5)),
        ("--3", 3),
        ("inf", math.inf),
    ],
)
def test_it_is_read_as_a_person_means_it(text: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(ExpressionError):
            evaluate(text)
    else:
        assert evaluate(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Nothing is written"),
        ("   ", "Nothing is written"),
        ("0,5", "0.5"),
        ("1 +", "stops too early"),
        ("(1", "')' is missing"),
        ("1)", "left over"),
        ("2 3", "left over"),
        ("* 2", "missing in front"),
        ("seven", "I do not know 'seven'"),
        ("log(-1)", "no real value"),
        ("log 0", "no real value"),
        ("1/0", "divides by zero"),
        ("0^-1", "divides by zero"),
        ("(-8)^(1/3)", "root of a negative"),
        ("9^9^9^9", "too large"),
        ("exp(1000)", "too large"),
        ("inf - inf", "no value"),
        ("1; import os", "cannot read"),
        ("__import__('os')", "cannot read"),
        ("(" * 100 + "1" + ")" * 100, "nested"),
        ("-" * 100 + "1", "nested"),
        ("1" * 501, "501 characters"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(says)):
        evaluate(text)


def test_no_text_takes_long_or_raises_anything_else() -> None:
    signs = "0123456789.,+-*/^()% logexpi\\{}|"
    for seed in range(3000):
        text = "".join(signs[(seed * 7919 + at * at * 31 + at * seed) % len(signs)] for at in range(seed % 25))
        with suppress(ExpressionError):
            assert isinstance(evaluate(text), float)
