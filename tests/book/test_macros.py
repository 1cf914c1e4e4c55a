"""Macros are written out for places that do not know them."""

from __future__ import annotations

import pytest
from course.macros import expand, without_comments

MACROS = {
    "E": r"\mathbb{E}",
    "KL": r"\operatorname{KL}",
    "given": r"\mid",
    "mean": [r"\E_{#1}\left[#2\right]", 2],
    "loop": r"\pool",
    "pool": r"\loop",
}


@pytest.mark.parametrize(
    ("latex", "written_out"),
    [
        (r"\E_{q(z)}[w]", r"\mathbb{E}_{q(z)}[w]"),
        (r"\KL(q \Vert p)", r"\operatorname{KL}(q \Vert p)"),
        (r"\mean{q}{\log w}", r"\mathbb{E}_{q}\left[\log w\right]"),
        (r"\mean q {f_{a}}", r"\mathbb{E}_{q}\left[f_{a}\right]"),
        (r"\mean\theta{\{z\}}", r"\mathbb{E}_{\theta}\left[\{z\}\right]"),
        (r"x\given{}z", r"x\mid{}z"),
        (r"x \given z", r"x \mid z"),
        (r"\Epsilon \\ \KLx", r"\Epsilon \\ \KLx"),
    ],
)
def test_macros_are_written_out(latex: str, written_out: str) -> None:
    assert expand(latex, MACROS) == written_out


def test_a_command_does_not_run_into_the_text_after_a_macro() -> None:
    assert expand(r"\n1x", {"n": r"\nu"}) == r"\nu1x"
    assert expand(r"\bar{\n}x", {"n": r"\nu"}) == r"\bar{\nu}x"
    assert expand(r"\f{a}b", {"f": [r"\nu", 1]}) == r"\nu b"


def test_macros_in_a_circle_are_an_error() -> None:
    with pytest.raises(ValueError, match="circle"):
        expand(r"\loop", MACROS)


@pytest.mark.parametrize("latex", [r"\mean{q}", r"\mean{q}{\log w"])
def test_a_missing_argument_is_an_error(latex: str) -> None:
    with pytest.raises(ValueError, match=r"\\mean"):
        expand(latex, MACROS)


def test_comments_go_but_percent_signs_stay() -> None:
    assert without_comments("a % why\n+ 5\\%") == "a \n+ 5\\%"
