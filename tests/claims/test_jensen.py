"""The claims of chapter 5, attacked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from attack import attack, breaks, explained
from torch import Tensor
from zoo import Member, member, members

from lvmlib import summarize_weights

Function = Callable[[Tensor], Tensor]

CONCAVE: dict[str, Function] = {
    "logarithm": torch.log,
    "root": torch.sqrt,
    "falling": lambda u: -u.square(),
    "line": lambda u: 3 - 2 * u,
    "kink": lambda u: u.clamp(max=0.2),
}
STRICT = ("logarithm", "root", "falling")


@dataclass(frozen=True, eq=False)
class RandomWeight:
    """A random number with finitely many values, and functions on an interval to average over it."""

    name: str
    values: Tensor
    chances: Tensor
    functions: dict[str, Function]
    low: float = 0.0
    high: float = math.inf

    def is_concave(self) -> bool:
        """No chord between neighbours of a fine grid over the interval is above the graph."""
        ends = torch.linspace(0, 1, 2001, dtype=torch.float64)[1:-1]
        grid = self.low + (ends / (1 - ends) if self.high == math.inf else ends * (self.high - self.low))
        left, middle, right = grid[:-2], grid[1:-1], grid[2:]
        share = (middle - left) / (right - left)
        return all(
            bool((f(middle) - (1 - share) * f(left) - share * f(right) >= -1e-9 * (1 + f(middle).abs())).all())
            for f in self.functions.values()
        )

    def values_are_inside(self) -> bool:
        return bool(((self.values >= self.low) & (self.values <= self.high)).all())

    def mean(self) -> float:
        return (self.chances * self.values).sum().item()


def weight_of(member: Member) -> RandomWeight:
    """The weight of a member of the zoo: any positive function of it averages as it does."""
    log_w, chances = member.weights()
    return RandomWeight(member.name, log_w.exp(), chances / chances.sum(), CONCAVE)


WEIGHTS = [weight_of(member) for member in members() if member.grid is not None]
TWO_POINTS = {"values": torch.tensor([0.4, 1.8]).double(), "chances": torch.tensor([0.5, 0.5]).double()}


@attack("thm-jensen", cases=WEIGHTS)
def test_no_average_of_a_concave_function_is_above_the_function_of_the_average(case):
    mean = torch.tensor(case.mean(), dtype=torch.float64)
    constant = case.values.max() - case.values.min() <= 1e-12 * case.values.max()
    for name, f in case.functions.items():
        average = (case.chances * f(case.values)).sum()
        rounding = 1e-12 * (1 + f(mean).abs()) if f(mean).isfinite() else 0.0
        assert average <= f(mean) + rounding, name
        if constant:
            assert average >= f(mean) - rounding, name
        elif name in STRICT:
            assert average < f(mean), name


@breaks(
    "thm-jensen",
    without="concave",
    case=RandomWeight("convex", functions={"square": torch.square}, **TWO_POINTS),
    because="the average of a convex function, such as $w^2$, is on the other side",
)
def test_the_average_of_a_square_is_above_the_square_of_the_average(case):
    assert (case.chances * case.values.square()).sum() > case.mean() ** 2


@breaks(
    "thm-jensen",
    without="values-in-interval",
    case=RandomWeight(
        "outside",
        torch.tensor([-3.0, 3.1]).double(),
        torch.tensor([0.5, 0.5]).double(),
        {"log of the size": lambda u: u.abs().log()},
    ),
    because=r"$\log |w|$ is concave for positive $w$, and its average over $w = -3$ and $w = 3.1$ is far above its "
    "value at the mean",
)
def test_a_value_outside_the_interval_of_concavity_turns_the_inequality_around(case):
    (f,) = case.functions.values()
    assert (case.chances * f(case.values)).sum() > f(torch.tensor(case.mean())) + 1


explained("thm-jensen", without="finite-mean", because="there is no $f(m)$ to compare with where $w$ has no mean $m$")


def h(u: float) -> float:
    if abs(u - 1) < 1e-6:
        return 0.5 - (u - 1) / 3
    return math.inf if u == 0 else (u - 1 - math.log(u)) / (u - 1) ** 2


@attack("thm-gap-size")
def test_the_gap_lies_between_two_multiples_of_chi_square(case):
    truth = case.truth
    assert h(truth.highest) * truth.chi_square <= truth.kl + 1e-12
    assert truth.kl <= h(truth.lowest) * truth.chi_square + 1e-12
    summary = summarize_weights(case.model, case.q, case.x, 100_000, seed=0)
    assert abs(summary.elbo - truth.elbo) <= 5 * math.sqrt(truth.log_variance / 100_000) + 1e-12


@breaks(
    "thm-gap-size",
    without="covers",
    case=member("missing-support"),
    because=r"a $q$ that misses a part of the posterior can have equal weights: a finite gap, and $\chi^2 = \infty$",
)
def test_without_support_the_gap_is_finite_and_chi_square_is_not(case):
    truth = case.truth
    assert truth.kl < 0.6
    assert h(truth.highest) * truth.chi_square == math.inf


@breaks(
    "thm-gap-size",
    without="weights-away-from-zero",
    case=member("zero-likelihood"),
    because=r"a weight of zero makes the gap infinite while $\chi^2$ is below 1",
)
def test_a_weight_of_zero_leaves_no_multiple_of_chi_square_above_the_gap(case):
    assert case.truth.kl == math.inf
    assert case.truth.chi_square < 1


@breaks(
    "thm-gap-size",
    without="bounded-weights",
    case=member("light-tails"),
    because=r"tails of $q$ that are too light make $\chi^2$ infinite and leave the gap below 0.2 nats",
)
def test_unbounded_weights_leave_no_multiple_of_chi_square_below_the_gap(case):
    assert case.truth.chi_square == math.inf
    assert case.truth.kl < 0.2


explained("thm-gap-size", without="positive-evidence", because="$u$ divides by $p(x)$")
