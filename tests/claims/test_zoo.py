"""The exact answers of the zoo, each found a second way: fractions, adaptive quadrature, products, and draws."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.distributions import Categorical
from zoo import member, members

from lvmlib import chi_square, kl, prior_monte_carlo, summarize_weights
from lvmlib.density import log_density
from lvmlib.exact import FiniteModel, LinearGaussian

TABLES = [one for one in members() if isinstance(one.model, FiniteModel)]
GAUSSIANS = [one for one in members() if isinstance(one.model, LinearGaussian) and one.name != "heavy-f"]
LINES = [one for one in members() if not one.x.is_floating_point() or one.model.prior.event_shape.numel() == 1]
LINES = [one for one in LINES if one not in TABLES and one.name != "unbounded-density"]


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=[one.name for one in cases])


def test_there_are_at_least_twenty_and_each_has_a_name_and_a_sentence_of_its_own():
    assert len(members()) >= 20
    assert len({one.name for one in members()}) == len(members())
    assert len({one.breaks for one in members()}) == len(members())
    assert all(one.breaks.endswith(".") for one in members())


def test_a_name_that_is_no_member_is_an_error_that_lists_the_names():
    with pytest.raises(ValueError, match="far-modes"):
        member("unicorn")


@named(TABLES)
def test_the_answers_about_tables_are_those_of_fractions(case):
    prior, likelihood, q = (
        [Fraction(number) for number in numbers.flatten().tolist()]
        for numbers in (case.model.prior_table, case.model.likelihood_table[:, 1], case.q.probs)
    )
    joint = [p * each for p, each in zip(prior, likelihood, strict=True)]
    evidence, truth = sum(joint), case.truth
    if evidence == 0:
        assert truth.log_evidence == truth.elbo == -math.inf
        assert truth.covers
        return
    assert truth.log_evidence == pytest.approx(math.log(evidence), abs=1e-12)
    drawn = [(j / evidence / mass, mass) for j, mass in zip(joint, q, strict=True) if mass]
    assert truth.seen == pytest.approx(float(sum(u * mass for u, mass in drawn)), abs=1e-12)
    assert truth.second_moment == pytest.approx(float(sum(u * u * mass for u, mass in drawn)), rel=1e-12)
    assert (truth.lowest, truth.highest) == pytest.approx((float(min(drawn)[0]), float(max(drawn)[0])), rel=1e-12)
    logs = [math.log(u) if u else -math.inf for u, _ in drawn]
    gap = -sum(log * float(mass) for log, (_, mass) in zip(logs, drawn, strict=True))
    assert truth.kl == pytest.approx(gap, rel=1e-12, abs=1e-12)
    mean = sum(Fraction(z) * j for z, j in enumerate(joint)) / evidence
    assert truth.f_mean == pytest.approx(float(mean), abs=1e-12)
    noise = sum((j / evidence) ** 2 / m * (z - mean) ** 2 for z, (j, m) in enumerate(zip(joint, q, strict=True)) if m)
    assert truth.f_noise == pytest.approx(float(noise), rel=1e-12, abs=1e-12)


@named(GAUSSIANS)
def test_the_answers_about_gaussians_are_those_of_other_formulas(case):
    """NumPy's log-density of x, the library's divergences, and scaled draws of nothing."""
    weight = case.model.weight
    noise = torch.diag(case.model.noise_variance.expand(len(weight)))
    cov = (weight @ weight.mT + noise).numpy()
    log_evidence = scipy.stats.multivariate_normal(case.model.bias.numpy(), cov).logpdf(case.x.numpy())
    assert case.truth.log_evidence == pytest.approx(log_evidence, rel=1e-10)
    posterior = case.model.posterior(case.x)
    assert case.truth.kl == pytest.approx(kl(case.q, posterior).item(), rel=1e-9)
    assert case.truth.chi_square == pytest.approx(chi_square(posterior, case.q).item(), rel=1e-6)


@named([one for one in GAUSSIANS if one.grid is not None])
def test_the_closed_forms_of_gaussians_are_the_sums_over_their_grids(case):
    log_w, mass = case.weights()
    log_u, truth = log_w - case.truth.log_evidence, case.truth
    assert (mass * log_u.exp()).sum().item() == pytest.approx(1, rel=1e-9)
    assert -(mass * log_u).sum().item() == pytest.approx(truth.kl, rel=1e-9)
    assert (mass * (log_u + truth.kl).square()).sum().item() == pytest.approx(truth.log_variance, rel=1e-9)
    # The grid ends where these Gaussians have no mass left, and their ratio may still grow.
    assert log_u.max().exp() <= truth.highest * (1 + 1e-9)
    assert log_u.min().exp() >= truth.lowest * (1 - 1e-9)
    if truth.second_moment < math.inf:
        assert (mass * (2 * log_u).exp()).sum().item() == pytest.approx(truth.second_moment, rel=1e-7)
        z = case.grid.z[(log_density(case.q, case.grid.z) + case.grid.log_volume).exp() > 0]
        deviations = (z[:, 0] - truth.f_mean).square()
        assert (mass * (2 * log_u).exp() * deviations).sum().item() == pytest.approx(truth.f_noise, rel=1e-7)


def test_many_copies_of_a_coordinate_multiply():
    one = member("prior-1").truth
    for dim in (10, 50):
        many = member(f"prior-{dim}").truth
        assert many.log_evidence == pytest.approx(dim * one.log_evidence, rel=1e-10)
        assert many.kl == pytest.approx(dim * one.kl, rel=1e-10)
        assert many.log_variance == pytest.approx(dim * one.log_variance, rel=1e-10)
        assert many.second_moment == pytest.approx(one.second_moment**dim, rel=1e-8)
        assert many.highest == pytest.approx(one.highest**dim, rel=1e-8)
        assert many.f_noise == pytest.approx(one.second_moment ** (dim - 1) * one.f_noise, rel=1e-8)


def test_the_log_weights_of_the_best_product_vary_as_sums_of_squares():
    """Posterior and q have one mean, so log u is a sum of (1 - r) / 2 times the square of a standard normal."""
    case = member("mean-field-10")
    ratios = torch.linalg.eigvals(case.q.covariance_matrix @ case.model.posterior(case.x).precision_matrix).real
    assert case.truth.log_variance == pytest.approx((0.5 * (1 - ratios).square()).sum().item(), rel=1e-9)
    assert case.truth.kl == pytest.approx((0.5 * (ratios - 1 - ratios.log())).sum().item(), rel=1e-9)
    assert case.tail_index == pytest.approx(1 - ratios.min().item(), rel=1e-9)
    assert case.truth.lowest == 0
    assert case.truth.highest == math.inf


def log_densities(case):
    """The logarithms of the joint density and of q, and f, at a number, for adaptive quadrature."""
    at = lambda z: torch.tensor(z, dtype=torch.float64).expand(1, *case.model.prior.event_shape)  # noqa: E731
    return (
        lambda z: case.model.log_joint(case.x, at(z)).item(),
        lambda z: log_density(case.q, at(z)).item(),
        lambda z: float(case.f(at(z))),
    )


def integral(g, *points):
    """Over the line, in pieces."""
    ends = [-math.inf, *points, math.inf]
    pieces = [scipy.integrate.quad(g, a, b, limit=400, epsabs=1e-13)[0] for a, b in itertools.pairwise(ends)]
    return sum(pieces)


CORNERS = {"far-modes": (-25.0, -9.9, 0.0, 9.9, 25.0), "far-modes-defended": (-60.0, -9.9, 0.0, 9.9, 60.0)}


@pytest.mark.thorough
@named([one for one in LINES if one not in GAUSSIANS])
def test_the_answers_about_one_dimension_are_those_of_adaptive_quadrature(case):
    joint, q, f = log_densities(case)
    middle = case.q.mean.item() if case.q.mean.isfinite() else 0.5
    spread = case.q.stddev.item() if case.q.stddev.isfinite() else 1.0
    points = CORNERS.get(case.name, [middle + step * spread for step in (-4, -1, 0, 1, 4)])
    log_evidence, truth = math.log(integral(lambda z: math.exp(joint(z)), *points)), case.truth
    assert truth.log_evidence == pytest.approx(log_evidence, abs=1e-8)
    posterior = lambda z: math.exp(joint(z) - log_evidence)  # noqa: E731
    assert truth.seen == pytest.approx(integral(lambda z: posterior(z) * (q(z) > -math.inf), *points), abs=1e-7)
    if truth.kl < math.inf:
        gap = integral(lambda z: math.exp(q(z)) and math.exp(q(z)) * (q(z) - joint(z) + log_evidence), *points)
        assert truth.kl == pytest.approx(gap, abs=1e-6)
    if truth.second_moment < math.inf:
        square = lambda z: math.exp(2 * (joint(z) - log_evidence) - q(z)) if q(z) > -math.inf else 0.0  # noqa: E731
        assert truth.second_moment == pytest.approx(integral(square, *points), rel=1e-6)
    if math.isfinite(truth.f_mean):
        mean = integral(lambda z: posterior(z) and posterior(z) * f(z), *points)
        assert truth.f_mean == pytest.approx(mean, abs=1e-6)


def test_the_beta_posterior_without_bound_has_the_stated_answers():
    truth = member("unbounded-density").truth
    posterior = scipy.stats.beta(1.5, 0.5)
    gap, _ = scipy.integrate.quad(lambda z: -posterior.logpdf(z), 0, 1)
    spread, _ = scipy.integrate.quad(lambda z: (posterior.logpdf(z) + truth.kl) ** 2, 0, 1)
    assert truth.kl == pytest.approx(gap, abs=1e-7)
    assert truth.log_variance == pytest.approx(spread, abs=1e-6)
    assert truth.f_mean == pytest.approx(posterior.mean())


@named([one for one in members() if one.tail_index > 0 and one.grid is not None and one.name != "funnel"])
def test_moments_are_finite_below_one_over_k_and_infinite_above(case):
    """What the largest weights add to a moment: nothing, or ever more."""
    z, log_volume = case.grid
    log_u, log_q = case.log_relative_weight(z), log_density(case.q, z) + log_volume
    levels = log_u.max() * torch.tensor([0.75, 1.0])
    for order, grows in ((1 / case.tail_index - 0.1, False), (1 / case.tail_index + 0.1, True)):
        below, all_of_it = ((log_q + order * log_u)[log_u <= level].logsumexp(0) for level in levels)
        assert (all_of_it > below + 0.5) == grows, order


def test_the_tail_index_of_the_funnel_is_that_of_its_wide_end():
    """Given a width, the second coordinate is a Gaussian problem; its k grows with the width to that of the funnel."""
    case = member("funnel")
    (s, t), ks = (1.0, 0.7), []
    for width in (0.0, 3.0, 9.0):
        ks.append(1 - t**2 * (1 / s**2 + math.exp(-width)))
    assert ks == sorted(ks)
    assert ks[-1] == pytest.approx(case.tail_index, abs=1e-3)


def test_laplace_on_pixels_has_the_index_that_its_curvature_gives():
    case = member("laplace-on-pixels")
    assert case.tail_index == pytest.approx(1 - case.q.variance.min().item(), rel=1e-9)
    assert case.tail_index > 0.7


def test_the_ring_and_the_funnel_have_the_evidence_of_one_dimension():
    s, x = 0.5, 2.0
    ring, _ = scipy.integrate.quad(lambda r: r * math.exp(-(r**2) / 2) * scipy.stats.norm.pdf(x, r, s), 0, 20)
    assert member("ring").truth.log_evidence == pytest.approx(math.log(ring), abs=1e-9)
    pdf = scipy.stats.norm.pdf
    funnel, _ = scipy.integrate.quad(lambda v: pdf(v, 0, 1.5) * pdf(0.5, 0, math.sqrt(1 + math.exp(v))), -20, 20)
    assert member("funnel").truth.log_evidence == pytest.approx(math.log(funnel), abs=1e-8)


@named([one for one in members() if one.truth.log_evidence > -math.inf and one.name != "prior-50"])
def test_draws_agree_with_the_answers(case):
    """Within five true standard errors where the weights have a variance, within five reported ones of the prior's."""
    summary = summarize_weights(case.model, case.q, case.x, 50_000, seed=3)
    truth = case.truth
    if truth.relative_variance < 1e4 and truth.log_variance < math.inf:
        error = 5 * math.sqrt(max(truth.relative_variance, 0.0) / 50_000) + 1e-9
        assert abs((summary.log_evidence - truth.log_evidence).exp() - truth.seen) <= error
        assert abs(summary.elbo - truth.elbo) <= 5 * math.sqrt(truth.log_variance / 50_000) + 1e-9
    by_prior = prior_monte_carlo(case.model, case.x, 50_000, seed=4)
    assert abs(by_prior.log_evidence - truth.log_evidence) <= 5 * by_prior.std_error + 1e-9


def test_a_rounded_reading_has_probabilities_that_sum_to_one_and_draws_that_follow_them():
    likelihood = member("rounded-reading").model.likelihood(torch.tensor([0.3], dtype=torch.float64))
    readings = torch.arange(-8.0, 9.0).double()
    chances = likelihood.log_prob(readings).exp()
    assert chances.sum().item() == pytest.approx(1, abs=1e-12)
    torch.manual_seed(0)
    counts = (likelihood.sample((20_000,)) == readings).double().mean(0)
    assert ((counts - chances).abs() <= 5 * (chances * (1 - chances) / 20_000).sqrt() + 1e-9).all()
    assert isinstance(member("umbrella").q, Categorical)
