"""The claims of chapter 5, attacked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from attack import attack, breaks, explained
from torch import Tensor
from torch.distributions import Categorical
from zoo import Drawn, Member, member, members

from lvmlib import (
    FiniteModel,
    WeightSummary,
    chi_square,
    importance_sampling,
    kl_decomposition,
    log_weights,
    summarize_weights,
)

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


@dataclass(frozen=True, eq=False)
class Curve:
    """A function on an interval from ``low`` to ``high``, and a point at which a line is to support it."""

    name: str
    f: Function
    point: float
    strict: bool = False
    low: float = 0.0
    high: float = math.inf

    def is_concave(self) -> bool:
        here = torch.tensor([self.point], dtype=torch.float64)
        return RandomWeight(
            self.name, here, torch.ones_like(here), {self.name: self.f}, self.low, self.high
        ).is_concave()

    def point_is_inside(self) -> bool:
        return self.low < self.point < self.high

    def slopes(self) -> tuple[float, float]:
        """The smallest slope of a chord that arrives from the left, and the largest of one that leaves to the right."""
        m = torch.tensor(self.point, dtype=torch.float64)
        steps = torch.logspace(-4, 6, 2001, dtype=torch.float64) * max(self.point, 1e-3)
        left, right = m - steps[steps < m - self.low], m + steps
        before = (self.f(m) - self.f(left)) / (m - left)
        after = (self.f(right) - self.f(m)) / (right - m)
        return min(before.tolist(), default=math.inf), after.max().item()


POINTS = sorted({0.05, 0.2, 1.0, 4.5} | {round(math.exp(m.truth.log_evidence), 6) for m in members()})
CURVES = [Curve(f"{name} at {m:g}", f, m, name in STRICT) for name, f in CONCAVE.items() for m in POINTS]


@attack("lem-supporting-line", cases=CURVES)
def test_some_line_through_a_point_of_a_concave_graph_lies_above_the_graph(case):
    least, largest = case.slopes()
    rounding = 1e-6 * (1 + abs(largest))
    assert least >= largest - rounding
    m = torch.tensor(case.point, dtype=torch.float64, requires_grad=True)
    u = torch.logspace(-6, 4, 2001, dtype=torch.float64)
    slope = torch.autograd.grad(case.f(m), m)[0]
    distance = (case.f(m) + slope * (u - m) - case.f(u)).detach()
    assert (distance >= -1e-9 * (1 + u + case.f(u).abs())).all()
    if case.strict:
        # The slope is that of the tangent, and the graph touches it once.
        assert least == pytest.approx(slope.item(), rel=1e-3)
        assert largest == pytest.approx(slope.item(), rel=1e-3)
        assert (distance[(u / case.point - 1).abs() > 0.01] > 0).all()


@breaks(
    "lem-supporting-line",
    without="concave",
    case=Curve("square", torch.square, 1.0),
    because="a convex function, such as $u^2$, rises above each line through a point of its graph",
)
def test_no_line_through_a_point_of_a_convex_graph_lies_above_the_graph(case):
    least, largest = case.slopes()
    assert least < 2 < largest


@breaks(
    "lem-supporting-line",
    without="interior-point",
    case=Curve("root at its end", torch.sqrt, 0.0),
    because=r"at its end $m = 0$ the root is steeper than any line: $\sqrt u > s u$ for $u < 1 / s^2$",
)
def test_at_the_end_of_an_interval_no_line_may_be_steep_enough(case):
    for slope in (1.0, 1e3, 1e6):
        u = torch.tensor(0.5 / slope**2, dtype=torch.float64)
        assert case.f(u) > slope * u
    assert case.slopes()[1] > 1e3


@dataclass(frozen=True)
class TwoValues:
    """A weight that is a with probability 1 - t and b with probability t."""

    name: str
    a: float
    b: float
    t: float

    def values_are_positive(self) -> bool:
        return min(self.a, self.b) > 0

    def gap(self) -> float:
        """By the library: of a model with two values of z, and its prior for q."""
        prior = torch.tensor([1 - self.t, self.t], dtype=torch.float64)
        scale = max(self.a, self.b)
        likelihood = torch.tensor([[self.a, scale - self.a], [self.b, scale - self.b]], dtype=torch.float64) / scale
        model = FiniteModel(prior, likelihood)
        bound = kl_decomposition(model, model.prior, torch.tensor(0))
        return (bound.log_evidence - bound.elbo).item()


def two_values(member: Member) -> TwoValues:
    log_w, chances = member.weights()
    return TwoValues(member.name, *log_w.exp().tolist(), (chances[1] / chances.sum()).item())


PAIRS_OF_VALUES = [
    *(two_values(member(name)) for name in ("structural-zero", "rare-weight")),
    *(
        TwoValues(f"{b:g} and {a:g}, {t:g}", a, b, t)
        for a, b in ((1.0, 1.0), (0.3, 0.7), (2.0, 1.0), (1.0, 1e9), (1e9, 1.0))
        for t in (0.0, 0.01, 0.5, 0.9, 1.0)
    ),
]


@attack("prop-two-values", cases=PAIRS_OF_VALUES)
def test_the_gap_of_two_values_depends_on_their_ratio_and_vanishes_for_equal_or_sure_ones(case):
    ratio = case.b / case.a
    stated = math.log(1 - case.t + case.t * ratio) - case.t * math.log(ratio)
    assert case.gap() == pytest.approx(stated, abs=1e-9)
    # The gap next to equal weights is of second order.
    assert (stated > 1e-6) == (abs(ratio - 1) > 1e-6 and 0 < case.t < 1)


@attack("prop-two-values", cases=PAIRS_OF_VALUES)
def test_the_gap_of_two_values_grows_with_their_ratio_in_either_direction(case):
    if 0 < case.t < 1:
        for factor in (1e10, 1e-10):
            gaps = [TwoValues("", 1.0, factor**power, case.t).gap() for power in (1, 2, 4, 8)]
            assert gaps == sorted(gaps)
            # As (1 - t) log r for a large ratio, and as -t log r for a small one.
            rate = (1 - case.t if factor > 1 else case.t) * abs(math.log(factor))
            assert gaps[3] - gaps[2] == pytest.approx(4 * rate, rel=1e-6)


explained(
    "prop-two-values",
    without="positive-values",
    because="a weight of zero has no logarithm to average: the gap is infinite, and there may be no ratio",
)


@attack("cor-log-bias", cases=[Drawn(member) for member in members()])
def test_the_logarithm_of_an_average_is_low_between_two_multiples_of_chi_square(case):
    truth = case.truth
    for num_samples in (1, 2, 5):
        bias, _ = bias_and_spread(case.member, num_samples)
        assert h(truth.highest) * truth.chi_square / num_samples <= bias + 1e-9
        assert bias <= h(truth.lowest) * truth.chi_square / num_samples + 1e-9


@attack("cor-log-bias", cases=[Drawn(member) for member in members()])
def test_k_times_the_bias_tends_to_half_of_chi_square(case):
    half = case.truth.chi_square / 2
    # Enough draws for the average to be within a few per cent of its mean.
    num_samples = max(200, math.ceil(800 * half))
    bias, _ = bias_and_spread(case.member, num_samples)
    assert num_samples * bias == pytest.approx(half, rel=0.03, abs=1e-6)


@attack("cor-log-bias", cases=[Drawn(member) for member in members()])
def test_the_estimates_of_the_library_are_low_by_the_bias(case):
    bias, spread = bias_and_spread(case.member, 5)
    x = case.member.x.expand(20_000)
    estimate = importance_sampling(case.member.model, case.member.q, x, 5, seed=3)
    off = (estimate.log_evidence - case.truth.log_evidence).mean().item()
    assert abs(off + bias) <= 5 * spread / math.sqrt(len(x)) + 1e-9


def bias_and_spread(member: Member, num_samples: int) -> tuple[float, float]:
    """By how much the log of an average of K draws is low, and its standard deviation, over all counts."""
    log_w, chances = member.weights()
    log_u, chances = log_w - member.truth.log_evidence, chances / chances.sum()
    counts = all_counts(len(chances), num_samples, chances)
    log_chance = (counts * chances.log()[:, None] - (counts + 1).lgamma()).sum(0) + math.lgamma(num_samples + 1)
    log_mean = ((counts.log() + log_u[:, None]).logsumexp(0) - math.log(num_samples)).double()
    chance = log_chance.exp()
    assert chance.sum().item() == pytest.approx(1, abs=1e-6)
    bias = -(chance * log_mean).sum()
    return bias.item(), (chance * (log_mean + bias).square()).sum().sqrt().item()


def all_counts(size: int, total: int, chances: Tensor) -> Tensor:
    """How often each of at most three values comes up in ``total`` draws; of two, without what hardly ever happens."""
    if size == 1:
        return torch.full((1, 1), float(total), dtype=torch.float64)
    # The rarer of two values may be very rare: its count is nearly Poisson.
    mean = total * chances[1].item()
    last = total if size > 2 else min(total, math.ceil(mean + 20 * math.sqrt(mean) + 40))
    second = torch.arange(last + 1, dtype=torch.float64)
    if size == 2:
        return torch.stack([total - second, second])
    assert size == 3
    second, third = (grid.flatten() for grid in torch.meshgrid(second, second, indexing="ij"))
    kept = second + third <= total
    return torch.stack([total - second - third, second, third])[:, kept]


@breaks(
    "cor-log-bias",
    without="independent-draws",
    case=Drawn(member("umbrella"), independent=False),
    because=r"one draw counted $K$ times has the bias of one draw, however large $K$ is",
)
def test_copies_of_one_draw_do_not_lower_the_bias(case):
    truth, num_samples = case.truth, 100
    log_w, _ = case.member.weights()
    for one in log_w:
        summary = WeightSummary.from_log_weights(one.expand(num_samples))
        assert summary.log_evidence.item() == pytest.approx(one.item())
    # So the bias is the gap of a single weight.
    assert truth.kl > h(truth.lowest) * truth.chi_square / num_samples


@breaks(
    "cor-log-bias",
    without="covers",
    case=Drawn(member("missing-support")),
    because="what $q$ misses stays missing: the bias tends to minus the logarithm of the mass that $q$ sees",
)
def test_without_support_no_number_of_draws_removes_the_bias(case):
    summary = summarize_weights(case.member.model, case.member.q, case.member.x, 100_000, seed=0)
    assert summary.log_evidence.item() == pytest.approx(case.truth.log_evidence + math.log(23 / 41), abs=1e-9)


@breaks(
    "cor-log-bias",
    without="weights-away-from-zero",
    case=Drawn(member("zero-likelihood")),
    because=r"if all $K$ weights can be zero at once, the mean of the logarithm is $-\infty$ for every $K$",
)
def test_a_weight_of_zero_makes_the_bias_infinite_for_any_number_of_draws(case):
    x = case.member.x.expand(20_000)
    for num_samples in (1, 5):
        estimate = importance_sampling(case.member.model, case.member.q, x, num_samples, seed=0)
        impossible = (estimate.log_evidence == -math.inf).double().mean().item()
        chance = 0.4**num_samples
        assert abs(impossible - chance) <= 5 * math.sqrt(chance / len(x))
        assert impossible > 0


@breaks(
    "cor-log-bias",
    without="bounded-weights",
    case=Drawn(member("light-tails")),
    because=r"where $\chi^2$ is infinite the bias of one draw is below 0.2 nats and falls, so no multiple of "
    r"$\chi^2 / K$ is below it",
)
def test_with_light_tails_the_bias_is_finite_and_chi_square_is_not(case):
    assert case.truth.chi_square == math.inf
    assert case.truth.kl < 0.2
    x = case.member.x.expand(20_000, 1)
    estimate = importance_sampling(case.member.model, case.member.q, x, 10, seed=0)
    off = (estimate.log_evidence - case.truth.log_evidence).mean()
    assert -case.truth.kl < off < 0


explained("cor-log-bias", without="positive-evidence", because="$u$ divides by $p(x)$")


def test_the_umbrella_without_rain_has_equal_weights_a_gap_and_an_infinite_chi_square():
    """The counterexample of chapter 5 to the theorem without support."""
    model = FiniteModel(
        torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([[0.95, 0.05], [0.7, 0.3], [0.1, 0.9]]).double()
    )
    x = torch.tensor(1)
    kept = model.posterior(x).probs * torch.tensor([1, 1, 0])
    q = Categorical(kept / kept.sum())
    log_w = log_weights(model, q, x, 1000)
    u = (log_w - model.log_evidence(x)).exp()
    assert (u - 0.390).abs().max() < 5e-4
    assert u.max() - u.min() < 1e-12
    assert (model.log_evidence(x) - log_w.mean()).item() == pytest.approx(0.942, abs=5e-4)
    assert chi_square(model.posterior(x), q) == math.inf


def test_where_all_weights_are_zero_both_sides_of_the_step_with_the_logarithm_are_minus_infinity():
    """Chapter 5 divides by the mean weight, which may be zero: a q that sees nothing of the joint."""
    case = member("zero-likelihood")
    summary = summarize_weights(case.model, Categorical(torch.tensor([1.0, 0.0, 0.0]).double()), case.x, 10, seed=0)
    assert summary.log_evidence == summary.elbo == -math.inf
