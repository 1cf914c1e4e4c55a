"""The claims of chapter 5, tried on random weights and models, and with a hypothesis dropped."""

from __future__ import annotations

import itertools
import math

import models
import pytest
import scipy.integrate
import torch
from torch import Tensor
from torch.distributions import Categorical

from lvmlib import chi_square, kl

# name: (f on the positive numbers, its derivative, whether strictly concave)
CONCAVE = {
    "logarithm": (torch.log, lambda u: 1 / u, True),
    "root": (torch.sqrt, lambda u: 0.5 / u.sqrt(), True),
    "falling": (lambda u: -u.square(), lambda u: -2 * u, True),
    "line": (lambda u: 3 - 2 * u, lambda u: torch.full_like(u, -2.0), False),
    "kink": (lambda u: u.clamp(max=1.0), lambda u: (u < 1).to(u), False),
}


def positive_weights(seed: int, count: int = 4) -> tuple[Tensor, Tensor]:
    """Values of a random weight and their probabilities."""
    return models.normals(count, seed=seed).exp(), models.table(count, seed=seed + 1000)


def exactly(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def log_gap(values: Tensor, chances: Tensor) -> Tensor:
    return (chances * values).sum().log() - (chances * values.log()).sum()


def h(u: Tensor | float) -> Tensor:
    u = torch.as_tensor(u, dtype=torch.float64)
    near = (u - 1).abs() < 1e-4
    away = torch.where(near, 2.0, u)
    return torch.where(near, 0.5 - (u - 1) / 3, (away - 1 - away.log()) / (away - 1).square())


@pytest.mark.vouches("lem-supporting-line")
@pytest.mark.parametrize("name", CONCAVE)
def test_a_concave_function_lies_below_its_tangent_and_a_strict_one_touches_it_once(name):
    f, slope, strict = CONCAVE[name]
    grid = torch.linspace(0.01, 5, 1000).double()
    for m in exactly([0.05, 0.7, 1.0, 2.0, 4.5]):
        distance = f(m) + slope(m) * (grid - m) - f(grid)
        assert (distance >= -1e-12).all()
        if strict:
            assert (distance[(grid - m).abs() > 1e-3] > 0).all()
        else:
            assert (distance < 1e-12).sum() > 1


@pytest.mark.vouches("lem-supporting-line")
def test_at_a_kink_every_slope_between_the_two_sides_supports_and_no_other_does():
    grid = torch.linspace(0.01, 5, 1000).double()
    supports = lambda s: bool((1 + s * (grid - 1) >= grid.clamp(max=1.0) - 1e-12).all())  # noqa: E731
    assert all(supports(s) for s in (0.0, 0.3, 1.0))
    assert not any(supports(s) for s in (-0.1, 1.1))


def test_a_function_that_is_not_concave_has_no_supporting_line_where_it_bends_upwards():
    grid = torch.linspace(-6, 6, 1001).double()
    m = exactly(-2.0)
    for s in torch.linspace(-1, 1, 201):
        assert (m.sigmoid() + s * (grid - m) < grid.sigmoid()).any()


@pytest.mark.vouches("thm-jensen")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", CONCAVE)
def test_the_average_of_a_concave_function_is_at_most_the_function_of_the_average(name, seed):
    f, _, strict = CONCAVE[name]
    values, chances = positive_weights(seed)
    gap = f((chances * values).sum()) - (chances * f(values)).sum()
    assert gap >= -1e-12
    # A convex function turns it around.
    assert -f((chances * values).sum()) <= (chances * -f(values)).sum() + 1e-12
    if strict:
        assert gap > 1e-6


@pytest.mark.vouches("thm-jensen")
@pytest.mark.parametrize("name", CONCAVE)
def test_constant_weights_give_equality_also_where_a_value_is_never_drawn(name):
    f, _, _ = CONCAVE[name]
    values, chances = exactly([0.8, 0.8, 7.0]), exactly([0.4, 0.6, 0.0])
    gap = f((chances * values).sum()) - (chances * f(values)).sum()
    assert gap.abs() < 1e-12


@pytest.mark.vouches("thm-jensen")
@pytest.mark.parametrize("seed", range(10))
def test_log_weights_of_a_model_average_below_the_log_evidence_unless_q_is_the_posterior(seed):
    model, q = models.finite(seed=seed), models.table(3, seed=seed + 50)
    for x in torch.arange(4):
        for proposal, equal in ((q, False), (model.posterior(x).probs, True)):
            log_w = model.log_joint_table(x) - proposal.log()
            gap = model.log_evidence(x) - (proposal * log_w).sum()
            assert (gap.abs() < 1e-12) == equal
            assert gap > -1e-12
            expected = kl(Categorical(proposal), model.posterior(x))
            torch.testing.assert_close(gap, expected, atol=1e-12, rtol=1e-9)


def test_without_concavity_both_signs_occur():
    ends = exactly([-1.0, 1.0])
    gaps = [(centre + ends).mean().sigmoid() - (centre + ends).sigmoid().mean() for centre in (-2.0, 2.0)]
    assert gaps[0] < -0.01
    assert gaps[1] > 0.01


def test_averages_under_two_densities_may_stand_the_other_way_round():
    for seed in range(20):
        model = models.finite(seed=seed)
        for x in torch.arange(4):
            log_likelihood = model.likelihood_table[:, x].log()
            assert (model.prior_table * log_likelihood).sum() < model.log_evidence(x)
            assert (model.posterior(x).probs * log_likelihood).sum() > model.log_evidence(x)


@pytest.mark.vouches("prop-two-values")
@pytest.mark.parametrize("t", [0.01, 0.3, 0.5, 0.99])
def test_the_gap_of_two_values_depends_on_their_ratio_vanishes_for_equal_ones_and_has_no_limit(t):
    chances = exactly([1 - t, t])
    for ratio in (1e-3, 0.2, 1.0, 3.0, 1e4):
        stated = math.log(1 - t + t * ratio) - t * math.log(ratio)
        for a in (1e-5, 1.0, 300.0):
            gap = log_gap(exactly([a, a * ratio]), chances)
            assert gap.item() == pytest.approx(stated, abs=1e-9)
        assert (stated > 1e-6) == (ratio != 1)
    for direction in (1, -1):
        # Ever larger, by the share of the nats that the average of the logarithms loses.
        far = [log_gap(exactly([1.0, 10.0 ** (direction * power)]), chances) for power in (50, 100, 200)]
        assert (far[2] - far[1]).item() == pytest.approx(2 * (far[1] - far[0]).item(), rel=1e-6)
        assert far[1] > far[0]


@pytest.mark.vouches("prop-two-values")
def test_a_weight_that_is_sure_has_no_gap_and_a_symmetric_one_has():
    for chances in ([0.0, 1.0], [1.0, 0.0]):
        values = exactly([2.0, 9.0])
        assert log_gap(values, exactly(chances)).abs() < 1e-12
    for s in (0.01, 0.5, 0.99):
        gap = log_gap(exactly([1 - s, 1 + s]), exactly([0.5, 0.5]))
        assert gap.item() == pytest.approx(-0.5 * math.log(1 - s**2), abs=1e-12)
        assert gap > 0


@pytest.mark.vouches("thm-gap-size")
@pytest.mark.parametrize("seed", range(30))
def test_the_gap_lies_between_the_stated_multiples_of_chi_square(seed):
    model, q = models.finite(seed=seed), models.table(3, seed=seed + 50)
    for x in torch.arange(4):
        u = (model.log_joint_table(x) - q.log() - model.log_evidence(x)).exp()
        gap = model.log_evidence(x) - (q * (u.log() + model.log_evidence(x))).sum()
        divergence = chi_square(model.posterior(x), Categorical(q))
        assert h(u.max()) * divergence <= gap + 1e-12
        assert gap <= h(u.min()) * divergence + 1e-12


@pytest.mark.vouches("thm-gap-size")
def test_the_factor_of_the_bound_decreases_from_infinity_over_a_half_to_zero():
    u = torch.logspace(-6, 6, 2001).double()
    factor = h(u)
    assert (factor.diff() < 0).all()
    assert h(1.0) == 0.5
    assert h(1e-12) > 25
    assert h(1e12) < 1e-11
    for value in (0.01, 0.5, 1.0, 1.7, 20.0):
        integral, _ = scipy.integrate.quad(lambda s, v=value: (1 - s) / (1 + s * (v - 1)) ** 2, 0, 1)
        assert h(value).item() == pytest.approx(integral, rel=1e-6)


def test_without_a_lower_limit_the_gap_grows_while_the_variance_does_not():
    gaps = []
    for tiny in (1e-10, 1e-100, 1e-300):
        values, chances = exactly([tiny, 1.0]), exactly([0.1, 0.9])
        mean = (chances * values).sum()
        assert (chances * (values / mean - 1).square()).sum() < 1 / 9 + 1e-9
        gaps.append(log_gap(values, chances).item())
    assert gaps[0] > 2
    assert gaps[1] > 20
    assert gaps[2] > 60


@pytest.mark.parametrize("s", [0.05, 1.0, 2.0])
def test_the_gap_of_a_log_normal_weight_is_half_its_log_variance(s):
    normal = lambda y: math.exp(-y * y / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    first, second = (scipy.integrate.quad(lambda y, n=n: math.exp(n * s * y) * normal(y), -30, 30)[0] for n in (1, 2))
    assert math.log(first) == pytest.approx(s**2 / 2, rel=1e-6)
    assert second / first**2 - 1 == pytest.approx(math.expm1(s**2), rel=1e-6)


def exact_bias(u: Tensor, chances: Tensor, num_samples: int) -> Tensor:
    """By how much the logarithm of an average of K draws of u is low, over all K-tuples."""
    tuples = torch.tensor(list(itertools.product(range(len(u)), repeat=num_samples)))
    return -(chances[tuples].prod(1) * u[tuples].mean(1).log()).sum()


@pytest.mark.vouches("cor-log-bias")
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_the_logarithm_of_an_average_is_low_within_the_stated_limits(seed, num_samples):
    model, q = models.finite(seed=seed), models.table(3, seed=seed + 50)
    for x in torch.arange(4):
        u = (model.log_joint_table(x) - q.log() - model.log_evidence(x)).exp()
        bias = exact_bias(u, q, num_samples)
        scale = chi_square(model.posterior(x), Categorical(q)) / num_samples
        assert h(u.max()) * scale <= bias + 1e-12
        assert bias <= h(u.min()) * scale + 1e-12


@pytest.mark.vouches("cor-log-bias")
def test_k_times_the_bias_tends_to_half_of_chi_square():
    """Two values, so that K draws are a binomial count."""
    chances = exactly([0.3, 0.7])
    u = exactly([0.2, 0.0])
    u[1] = (1 - 0.3 * 0.2) / 0.7
    divergence = (chances * (u - 1).square()).sum()
    errors = []
    for num_samples in (10, 100, 1000, 10_000):
        count = torch.arange(num_samples + 1).double()
        chance = torch.distributions.Binomial(num_samples, chances[1]).log_prob(count).exp()
        average = (count * u[1] + (num_samples - count) * u[0]) / num_samples
        bias = -(chance * average.log()).sum()
        errors.append((num_samples * bias - divergence / 2).abs().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * divergence
