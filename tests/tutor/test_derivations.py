"""Derivations: what is said of one, in the order in which it is asked."""

from __future__ import annotations

import pytest

from tutor.derivations import check_derive
from tutor.exercises import Derivation, Exercise, Misconception, Step
from tutor.outline import same_form, same_value, trees_of

ELBO = r"\E_{q(z)}[\log p(x, z) - \log q(z)]"
TASK = Derivation(
    first=r"\log p(x)",
    last=ELBO,
    right="",
    relation=">=",
    steps=(Step("Where is the average of the weights?", equals=r"\log p(x)", contains=(r"\frac{p(x, z)}{q(z)}",)),),
)
MISCONCEPTIONS = (
    Misconception("turned", "Concave, not convex.", answer="-", turned=True),
    Misconception("plus", "Minus the log of q.", answer="-", side=r"\E_{q(z)}[\log p(x, z) + \log q(z)]"),
    Misconception("posterior", "Not every q is the posterior.", answer="-", condition="q(z) = p(z | x)"),
)
EXERCISE = Exercise("6.1", "ex-t", "T", "derive", 1, 1, "Do it.", ("Think.",), TASK, MISCONCEPTIONS, "Done.")
STEP = r"\log \E_{q(z)}\left[\frac{p(x, z)}{q(z)}\right]"
BOUND = r"\E_{q(z)}\left[\log \frac{p(x, z)}{q(z)}\right]"


@pytest.mark.parametrize(
    "latex",
    [
        rf"\log p(x) = {STEP} \ge {BOUND} = {ELBO}",
        rf"\begin{{aligned}} \log p(x) &= {STEP} \\ &\ge {BOUND} \\ &= {ELBO} \end{{aligned}}",
        rf"{ELBO} = {BOUND} \le {STEP} = \log p(x)",
        rf"\log p(x) = {STEP} \\ {STEP} \ge {ELBO}",
        r"\log p(x) = \log \sum_z q(z) \frac{p(x,z)}{q(z)} \geq \mathbb{E}_q[-\log q(z) + \log p(x,z)]",
    ],
)
def test_a_whole_derivation_passes_however_it_is_written(latex: str) -> None:
    feedback = check_derive(EXERCISE, latex)
    assert feedback.verdict == "right", feedback


@pytest.mark.parametrize(
    ("latex", "verdict", "misconception", "says"),
    [
        (rf"\log p(x) = \log \frac{{p(x}} = {ELBO}", "unread", "", "I cannot read line 1"),
        (rf"\log p(x) = {STEP} \le {BOUND} = {ELBO}", "wrong", "turned", "Line 2 is false. Concave, not convex."),
        (rf"\log p(x) = {STEP} \ge \E_{{q(z)}}[\log p(x, z) + \log q(z)]", "wrong", "plus", "Minus the log of q."),
        (rf"\log p(x) = {STEP} + 1 \ge {ELBO}", "wrong", "", "Line 1 is false"),
        (rf"\log p(x) = {STEP} = {BOUND} = {ELBO}", "wrong", "posterior", "Line 2 holds only if"),
        (rf"\log p(x) = {STEP} \ge {BOUND}", "wrong", "", "must end with"),
        (rf"{STEP} = \log p(x) \ge {ELBO}", "wrong", "", "must begin with"),
        (rf"\log p(x) \ge {ELBO}", "wrong", "", "That states what is to be shown"),
        (rf"\log p(x) = \log p(x) \ge {ELBO}", "wrong", "", "That states what is to be shown"),
        (rf"\log p(x) = \log \int p(x, z)\, dz \ge {ELBO}", "wrong", "", "Where is the average of the weights?"),
        (rf"\log p(x) = {STEP} \\ {BOUND} = {ELBO}", "wrong", "", "does not continue the one before"),
        (rf"\log p(x) = {STEP} \ge {BOUND} \le {STEP} \ge {ELBO}", "wrong", "", r"the chain uses $\le$"),
        ("this is no derivation", "unread", "", ""),
    ],
)
def test_what_is_missing_or_wrong_is_said(latex: str, verdict: str, misconception: str, says: str) -> None:
    feedback = check_derive(EXERCISE, latex)
    assert (feedback.verdict, feedback.misconception) == (verdict, misconception), feedback
    assert says in feedback.message


def test_a_condition_that_the_exercise_grants_is_no_fault() -> None:
    task = Derivation(**{**vars(TASK), "allows": ("q(z) = p(z",), "steps": ()})
    exercise = Exercise(**{**vars(EXERCISE), "answer": task})
    feedback = check_derive(exercise, rf"\log p(x) = {STEP} = {BOUND} = {ELBO}")
    assert feedback.right, feedback
    assert "It needs" in feedback.message


def test_every_line_is_reported_with_its_verdict_and_remarks() -> None:
    feedback = check_derive(EXERCISE, rf"\log p(x) = {STEP} \le {BOUND} = {ELBO}")
    assert [line.verdict for line in feedback.lines] == ["holds", "false", "holds"]
    assert any("the left side is" in remark for remark in feedback.lines[1].remarks)
    assert "✗" in str(feedback)
    assert "- ✗ `" in feedback._repr_markdown_()


@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        (ELBO, r"\mathbb{E}_q[-\log q(z)+\log p(x,z)]", True),
        (r"\KL(q(z) \Vert p(z))", r"D_{\mathrm{KL}}(q(z) \| p(z))", True),
        (r"\frac{1}{p(x)}", "1 / p(x)", True),
        (r"\int p(x, z)\, dz", r"\sum_z p(x, z)", True),
        (r"\E_{z \sim q(z)}[w(z)]", r"\E_{q(z)}[w(z)]", True),
        (r"p(z)\, p(x \mid z)", r"p(x \mid z)\, p(z)", True),
        (r"\log p(x, z)", r"\log p(z, x)", True),
        (r"p(x \mid z)", r"p(z \mid x)", False),
        (r"\E_{p(z)}[p(x \mid z)]", r"\E_{p(z \mid x)}[p(x \mid z)]", False),
        (r"\KL(q(z) \Vert p(z))", r"\KL(p(z) \Vert q(z))", False),
        (r"\log p(x)", r"\log p(x, z)", False),
        (r"p(x)", r"\int p(x, z)\, dz", False),
        ("1 + p(x)", "1 + p(x) + 0", False),
    ],
)
def test_sides_that_are_written_alike_are_told_from_those_that_are_only_equal(
    left: str, right: str, alike: bool
) -> None:
    found = [same_form(one, other) for one in trees_of(left) for other in trees_of(right)]
    assert found
    assert any(found) == alike
    if alike:
        assert same_value(left, right)


def test_what_cannot_be_read_has_no_tree() -> None:
    assert trees_of(r"\frac{1}{") == ()
    assert trees_of("") == ()
