"""Printed numbers are compared as numbers, and everything else to the letter."""

from __future__ import annotations

import pytest
from course.numbers import agree, matched


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.6594", "0.6593"),
        ("-0.00", "0.00"),
        ("gap -0.00 nats", "gap  0.00 nats"),
        ("tensor([-0.0000,  0.5000])", "tensor([0.0000, 0.5000])"),
        ("9.99 | 1", "10.00 | 1"),
        ("0.65935014", "0.65935510"),
        ("3.2e-08", "3.3e-08"),
        ("1.25e+06", "1.26e+06"),
        ("0.3", "0.30000000000000004"),
        ("\u22121.25", "\u22121.26"),
        ("K = 1000: 2.5 %", "K = 1000: 2.6 %"),
        ("shape (3, 4), float32", "shape (3, 4), float32"),
        ("", ""),
    ],
)
def test_texts_that_agree(one: str, other: str) -> None:
    assert agree(one, other)
    assert agree(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.6594", "0.6694"),  # the third digit
        ("1.234567", "1.244567"),
        ("0.659", "0.661"),
        ("-0.02", "0.02"),
        ("-1.5", "1.5"),
        ("3.2e-08", "3.2e-07"),
        ("3.2e-08", "3.5e-08"),
        ("0.3", "0.35"),
        ("100 draws", "101 draws"),
        ("shape (3, 4)", "shape (3, 5)"),
        ("float32", "float64"),
        ("2.5 nats", "2.5 bits"),
        ("2.5", "2.5 2.5"),
        ("a 1.5", "a  1.5"),
        ("nan", "0.0"),
        ("inf", "-inf"),
        ("holds", "false"),
        ("v1.2.3", "v1.2.4"),
    ],
)
def test_texts_that_do_not_agree(one: str, other: str) -> None:
    assert not agree(one, other)
    assert not agree(other, one)


def test_what_is_left_of_a_difference_is_the_difference() -> None:
    assert matched("ELBO -1.233, gap 0.3, word", "ELBO -1.234, gap 0.5, work") == "ELBO -1.234, gap 0.3, word"
