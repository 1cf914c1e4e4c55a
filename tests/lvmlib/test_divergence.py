"""KL and chi-square against their definitions, and the decomposition that holds to the last digits."""

from __future__ import annotations

import functools
import itertools
import math

import models
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    ContinuousBernoulli,
    Dirichlet,
    Exponential,
    Gamma,
    Geometric,
    Gumbel,
    HalfNormal,
    Independent,
    Laplace,
    LogNormal,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Pareto,
    Poisson,
    StudentT,
    Uniform,
)

from lvmlib import (
    AmortizedGuide,
    LatentVariableModel,
    LinearGaussian,
    MeanFieldGuide,
    aggregate_posterior_split,
    chi_square,
    importance_sampling,
    kl,
    kl_decomposition,
    laplace_approximation,
    summarize_weights,
)
from lvmlib._divergence_formulas import closed_form_kl

seeds = st.integers(0, 2**31 - 1)


def normal(mean: float, scale: float) -> Normal:
    return Normal(*torch.tensor([mean, scale], dtype=torch.float64))


@given(seeds, st.integers(1, 6), st.integers(1, 5))
@settings(deadline=None, max_examples=100)
def test_evidence_is_elbo_plus_kl_on_random_finite_models(seed, num_z, num_x):
    model = models.finite(seed=seed, num_z=num_z, num_x=num_x)
    q = Categorical(models.table(num_z, seed=seed + 5))
    terms = kl_decomposition(model, q, torch.arange(num_x))
    torch.testing.assert_close(terms.log_evidence, terms.elbo + terms.kl, atol=1e-10, rtol=0)
    assert (terms.kl > -1e-12).all()


@given(seeds, st.integers(1, 8), st.integers(1, 5))
@settings(deadline=None, max_examples=100)
def test_evidence_is_elbo_plus_kl_on_random_linear_gaussian_models(seed, observed, latent):
    model = models.linear_gaussian(seed=seed, observed=observed, latent=latent)
    factor = models.normals(latent, latent, seed=seed + 5)
    covariance = factor @ factor.T + 0.1 * torch.eye(latent).double()
    q = MultivariateNormal(models.normals(latent, seed=seed + 6), covariance_matrix=covariance)
    x, _ = model.sample(3, seed=0)
    terms = kl_decomposition(model, q, x)
    torch.testing.assert_close(terms.log_evidence, terms.elbo + terms.kl, atol=1e-10, rtol=1e-12)
    assert (terms.kl > -1e-12).all()


@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_the_gap_closes_at_the_posterior(name):
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(2, seed=1)
    terms = kl_decomposition(model, model.posterior, x)
    torch.testing.assert_close(terms.kl, torch.zeros(2).double(), atol=1e-8, rtol=0)
    torch.testing.assert_close(terms.elbo, terms.log_evidence, atol=1e-8, rtol=0)


def test_the_decomposition_holds_for_beta_and_grid_models():
    model = models.beta_bernoulli()
    terms = kl_decomposition(
        model, Beta(torch.tensor(1.2).double(), torch.tensor(0.8).double()), torch.ones(2).double()
    )
    torch.testing.assert_close(terms.log_evidence, terms.elbo + terms.kl, atol=1e-10, rtol=0)
    ring = models.radius_model()
    q = MultivariateNormal(torch.ones(2).double(), 0.2 * torch.eye(2).double())
    terms = kl_decomposition(ring, q, torch.tensor([1.0, 2.0]).double())
    torch.testing.assert_close(terms.log_evidence, terms.elbo + terms.kl, atol=1e-7, rtol=0)


def test_kl_of_normals_equals_its_integral():
    q, p = normal(0.3, 0.7), normal(-0.5, 1.3)

    def integrand(z):
        log_q, log_p = scipy.stats.norm.logpdf(z, 0.3, 0.7), scipy.stats.norm.logpdf(z, -0.5, 1.3)
        return math.exp(log_q) * (log_q - log_p)

    expected, _ = scipy.integrate.quad(integrand, -12, 12, epsabs=1e-13)
    assert kl(q, p).item() == pytest.approx(expected, abs=1e-10)


def test_kl_between_forms_of_one_gaussian_is_that_of_full_gaussians():
    mean, scale = models.normals(3, seed=0), models.normals(3, seed=1).exp()
    diagonal, full = Independent(Normal(mean, scale), 1), MultivariateNormal(mean, scale_tril=scale.diag())
    other = MultivariateNormal(models.normals(3, seed=2), 2 * torch.eye(3).double() + 0.3)
    guide = MeanFieldGuide(3).double()
    with torch.no_grad():
        guide.loc.copy_(mean)
        guide.log_scale.copy_(scale.log())
    for form in (diagonal, guide()):
        assert kl(form, full).abs() < 1e-12
        torch.testing.assert_close(kl(form, other), kl(full, other))
        torch.testing.assert_close(kl(other, form), kl(other, full))


@pytest.mark.parametrize("measure", [kl, chi_square])
def test_monte_carlo_divergence_is_within_five_of_its_standard_errors(measure):
    first = MultivariateNormal(models.normals(4, 2, seed=0) / 3, 0.6 * torch.eye(2).double())
    second = Independent(Normal(torch.zeros(2).double(), 1.2 * torch.ones(2).double()), 1)
    estimate = measure(first, second, num_samples=40_000, seed=0)
    assert ((estimate.value - measure(first, second)).abs() < 5 * estimate.std_error).all()
    assert (estimate.std_error > 0).all()
    assert estimate.num_samples == 40_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_probability_that_only_rounds_to_zero_leaves_the_kl_of_a_table_finite(dtype):
    even, far = torch.zeros(2, dtype=dtype), torch.tensor([0.0, -2000.0], dtype=dtype, requires_grad=True)
    half = math.log(0.5)
    for family in (Categorical, OneHotCategorical):
        value = kl(family(logits=even), family(logits=far))
        assert value.item() == pytest.approx(1000 + half)
        assert kl(family(logits=far), family(logits=far)) == 0
        (slope,) = torch.autograd.grad(value, far)
        torch.testing.assert_close(slope, torch.tensor([0.5, -0.5], dtype=dtype))
    coin = kl(Bernoulli(logits=even[:1]), Bernoulli(logits=far[1:]))
    assert coin.item() == pytest.approx(1000 + half)
    never = Categorical(probs=torch.tensor([1.0, 0.0], dtype=dtype))
    assert kl(Categorical(logits=even), never) == torch.inf
    assert kl(never, Categorical(logits=even)).item() == pytest.approx(-half)


def test_kl_is_infinite_where_q_has_mass_and_p_has_none():
    q, p = Normal(torch.tensor(0.0), 1.0), Gamma(torch.tensor(2.0), 1.0)
    assert kl(q, p, num_samples=100, seed=0).value == torch.inf
    assert kl(p, q, num_samples=100, seed=0).value.isfinite()


def test_chi_square_of_gaussians_equals_its_integral():
    p, q = normal(0.4, 0.8), normal(-0.2, 0.9)
    expected, _ = scipy.integrate.quad(
        lambda z: math.exp(2 * scipy.stats.norm.logpdf(z, 0.4, 0.8) - scipy.stats.norm.logpdf(z, -0.2, 0.9)), -15, 15
    )
    assert chi_square(p, q).item() == pytest.approx(expected - 1, rel=1e-8)


def test_chi_square_is_infinite_below_the_threshold_width():
    """Var(w) is finite exactly when the proposal's variance exceeds half the target's."""
    p = normal(0.0, 1.0)
    assert chi_square(p, normal(0.0, math.sqrt(0.51))).isfinite()
    assert chi_square(p, normal(0.0, math.sqrt(0.49))) == torch.inf


def test_chi_square_of_tables_equals_the_sum_and_is_infinite_without_support():
    p, q = models.table(4, seed=0), models.table(4, seed=1)
    expected = (p.square() / q).sum() - 1
    torch.testing.assert_close(chi_square(Categorical(p), Categorical(q)), expected)
    logits = torch.tensor([0.0, -torch.inf]).double()
    half = Categorical(torch.tensor([0.5, 0.5]).double())
    assert chi_square(half, Categorical(logits=logits)) == torch.inf
    assert chi_square(Categorical(logits=logits), half).item() == pytest.approx(1)


def test_relative_variance_of_the_weight_is_the_chi_square_of_posterior_and_proposal():
    model = models.linear_gaussian()
    x, _ = model.sample(1, seed=0)
    posterior = model.posterior(x)
    q = MultivariateNormal(posterior.mean + 0.1, 1.5 * posterior.covariance_matrix)
    exact = chi_square(posterior, q)
    observed = summarize_weights(model, q, x, 200_000, seed=0).relative_variance
    torch.testing.assert_close(observed, exact, rtol=0.03, atol=0)
    estimate = importance_sampling(model, q, x, 10_000, seed=0)
    torch.testing.assert_close(estimate.std_error, (exact / 10_000).sqrt(), rtol=0.1, atol=0)


GAUSSIANS = {
    "Normal": lambda seed: Normal(models.normals(1, seed=seed)[0], models.normals(1, seed=seed + 1)[0].exp()),
    "independent Normals": lambda seed: Independent(
        Normal(models.normals(3, seed=seed), models.normals(3, seed=seed + 1).exp()), 1
    ),
    "nested Independent": lambda seed: Independent(
        Independent(Normal(models.normals(3, seed=seed), models.normals(3, seed=seed + 1).exp()), 1), 0
    ),
    "MultivariateNormal": lambda seed: MultivariateNormal(
        models.normals(3, seed=seed), covariance_matrix=positive(models.normals(3, 3, seed=seed + 1))
    ),
    "LowRankMultivariateNormal": lambda seed: LowRankMultivariateNormal(
        models.normals(3, seed=seed), models.normals(3, 2, seed=seed + 1), models.normals(3, seed=seed + 2).exp()
    ),
}


def positive(factor: torch.Tensor) -> torch.Tensor:
    return factor @ factor.mT + 0.3 * torch.eye(len(factor)).double()


def gaussian_formula(q, p) -> float:
    """The KL of two Gaussians by its textbook formula, from means and covariances alone."""

    def moments(d):
        base = d
        while isinstance(base, Independent):
            base = base.base_dist
        covariance = getattr(base, "covariance_matrix", None)
        scale = base.stddev.square().reshape(-1).diag() if covariance is None else covariance
        return base.mean.reshape(-1).cpu().numpy(), scale.cpu().numpy()

    (m, s), (n, t) = moments(q), moments(p)
    inverse = np.linalg.inv(t)
    log_ratio = np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1]
    return 0.5 * (np.trace(inverse @ s) + (n - m) @ inverse @ (n - m) - len(m) + log_ratio)


@pytest.mark.parametrize("first", GAUSSIANS)
@pytest.mark.parametrize("second", GAUSSIANS)
def test_every_mix_of_gaussians_has_the_textbook_kl_and_the_chi_square_of_its_draws(first, second):
    if (first == "Normal") != (second == "Normal"):
        return  # not over the same z
    q, p = GAUSSIANS[first](4), GAUSSIANS[second](9)
    assert kl(q, p).item() == pytest.approx(gaussian_formula(q, p), rel=1e-10)
    estimate = kl(q, p, num_samples=20_000, seed=0)
    assert (estimate.value - kl(q, p)).abs() < 5 * estimate.std_error
    assert chi_square(q, q).abs() < 1e-10


def double(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


# Each family of one coordinate as q and as p, and an interval that holds q.
FAMILIES = {
    "Normal": (Normal(*double(0.3, 0.7)), Normal(*double(-0.5, 1.3)), (-9, 9)),
    "Laplace": (Laplace(*double(0.3, 0.5)), Laplace(*double(-0.5, 1.3)), (-19, 19)),
    "Gumbel": (Gumbel(*double(0.3, 0.6)), Gumbel(*double(-0.5, 1.3)), (-4, 25)),
    "LogNormal": (LogNormal(*double(0.1, 0.4)), LogNormal(*double(-0.2, 0.6)), (0, 40)),
    "HalfNormal": (HalfNormal(*double(0.8)), HalfNormal(*double(1.4)), (0, 9)),
    "Beta": (Beta(*double(2.5, 3.5)), Beta(*double(1.4, 2.2)), (0, 1)),
    "ContinuousBernoulli": (ContinuousBernoulli(*double(0.3)), ContinuousBernoulli(*double(0.8)), (0, 1)),
    "Uniform": (Uniform(*double(0.2, 0.9)), Uniform(*double(0, 1)), (0.2, 0.9)),
    "Gamma": (Gamma(*double(2.5, 1.4)), Gamma(*double(1.7, 0.8)), (0, 35)),
    "Exponential": (Exponential(*double(1.2)), Exponential(*double(0.8)), (0, 35)),
    "Pareto": (Pareto(*double(1.5, 9.0)), Pareto(*double(0.1, 2.5)), (1.5, 150)),
    "Cauchy": (Cauchy(*double(0.3, 0.7)), Cauchy(*double(-0.5, 1.3)), (-math.inf, math.inf)),
}
# The pairs of two families, as the table of `kl` lists them.
ACROSS = {
    "Normal": ["Gumbel", "Laplace"],
    "Gumbel": ["Normal"],
    "Laplace": ["Normal"],
    "Exponential": ["Gamma", "Gumbel", "Normal"],
    "Gamma": ["Exponential", "Gumbel", "Normal"],
    "Pareto": ["Exponential", "Gamma", "Normal"],
    "Beta": ["ContinuousBernoulli", "Exponential", "Gamma", "Normal", "Uniform"],
    "ContinuousBernoulli": ["Exponential", "Normal", "Uniform"],
    "Uniform": ["Beta", "ContinuousBernoulli", "Exponential", "Gamma", "Gumbel", "Normal", "Pareto"],
}
LINES = [(name, name) for name in FAMILIES] + [(q, p) for q, others in ACROSS.items() for p in others]
# p, its proposal q, and the interval that holds them.
SQUARES = {
    "normals": (Normal(*double(0.1, 0.6)), Normal(*double(0.3, 0.7)), (-9, 9)),
    "Betas": (Beta(*double(3.5, 4.0)), Beta(*double(2.5, 3.5)), (0, 1)),
    "Gammas": (Gamma(*double(2.6, 1.6)), Gamma(*double(2.5, 1.4)), (0, 35)),
    "Gamma and exponential": (Gamma(*double(1.6, 1.5)), Exponential(*double(1.2)), (0, 35)),
    "exponential and Gamma": (Exponential(*double(1.5)), Gamma(*double(1.4, 1.2)), (0, 35)),
    "exponentials": (Exponential(*double(1.5)), Exponential(*double(1.2)), (0, 35)),
}


def integral(q, ends, integrand) -> float:
    """The integral of a function of ``(z, log q(z))`` by adaptive quadrature."""

    def at(z):
        return integrand(z, q.log_prob(torch.tensor(z, dtype=torch.float64)).item())

    if math.isinf(ends[0]):  # over the angle, whose tangent is z
        edges = np.linspace(-math.pi / 2, math.pi / 2, 9)
        return sum(
            scipy.integrate.quad(lambda u: at(math.tan(u)) / math.cos(u) ** 2, a, b)[0]
            for a, b in itertools.pairwise(edges)
        )
    total = 0.0
    for low, high in itertools.pairwise(np.linspace(*ends, 9)):
        points = [0.3] if low < 0.3 < high else None  # a Laplace has a kink there
        total += scipy.integrate.quad(at, low, high, points=points, epsabs=1e-12, limit=200)[0]
    return total


@pytest.mark.parametrize(("first", "second"), LINES)
def test_kl_in_closed_form_is_its_integral_and_the_average_of_its_draws(first, second):
    (q, _, ends), (_, p, _) = FAMILIES[first], FAMILIES[second]
    exact = kl(q, p)
    expected = integral(
        q, ends, lambda z, log_q: math.exp(log_q) * (log_q - p.log_prob(torch.tensor(z, dtype=torch.float64)).item())
    )
    assert exact.item() == pytest.approx(expected, abs=1e-8)
    estimate = kl(q, p, num_samples=20_000, seed=0)
    assert (estimate.value - exact).abs() < 5 * estimate.std_error + 1e-12


@pytest.mark.parametrize(("first", "second"), sorted(set(itertools.product(FAMILIES, repeat=2)) - set(LINES)))
def test_every_other_pair_is_infinite_or_has_no_formula(first, second):
    """So the table of `kl` leaves none out."""
    q, p = FAMILIES[first][0], FAMILIES[second][1]
    value = closed_form_kl(q, p)
    assert value is None or value == torch.inf


@pytest.mark.parametrize("name", SQUARES)
def test_chi_square_in_closed_form_is_its_integral(name):
    p, q, ends = SQUARES[name]
    exact = chi_square(p, q)
    log_p = functools.cache(lambda z: p.log_prob(torch.tensor(z, dtype=torch.float64)).item())
    expected = integral(q, ends, lambda z, log_q: math.exp(2 * log_p(z) - log_q)) - 1
    assert exact.item() == pytest.approx(expected, rel=1e-7, abs=1e-8)
    estimate = chi_square(p, q, num_samples=100_000, seed=0)
    assert (estimate.value - exact).abs() < 5 * estimate.std_error


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (Beta(*double(2.0, 2.0)), Beta(*double(4.0, 1.0))),
        (Gamma(*double(2.0, 1.0)), Gamma(*double(2.0, 2.0))),
        (Gamma(*double(1.0, 3.0)), Gamma(*double(2.0, 1.0))),
        (Exponential(*double(1.0)), Exponential(*double(2.5))),
        (Bernoulli(*double(0.5)), Bernoulli(*double(0.0))),
        (Categorical(torch.tensor([0.5, 0.5]).double()), Categorical(torch.tensor([1.0, 0.0]).double())),
    ],
    ids=lambda d: type(d).__name__,
)
def test_chi_square_is_infinite_where_its_integral_diverges(p, q):
    assert chi_square(p, q) == torch.inf


TABLES = {
    "Bernoulli": lambda seed: Bernoulli(torch.sigmoid(models.normals(1, seed=seed)[0])),
    "Categorical": lambda seed: Categorical(models.table(4, seed=seed)),
    "OneHotCategorical": lambda seed: OneHotCategorical(models.table(4, seed=seed)),
    "Binomial": lambda seed: Binomial(5, torch.sigmoid(models.normals(1, seed=seed)[0])),
    "Geometric": lambda seed: Geometric(torch.sigmoid(models.normals(1, seed=seed)[0])),
    "Poisson": lambda seed: Poisson(models.normals(1, seed=seed)[0].exp()),
}


@pytest.mark.parametrize("name", TABLES)
def test_divergences_of_discrete_families_are_their_sums(name):
    q, p = TABLES[name](2), TABLES[name](7)
    z = torch.arange(400).double() if name in ("Geometric", "Poisson") else q.enumerate_support()
    if name == "Geometric":
        z = torch.arange(1500).double()
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    assert kl(q, p).item() == pytest.approx((log_q.exp() * (log_q - log_p)).sum().item(), rel=1e-9)
    estimate = kl(q, p, num_samples=20_000, seed=0)
    assert (estimate.value - kl(q, p)).abs() < 5 * estimate.std_error
    if name in ("Bernoulli", "Categorical", "OneHotCategorical"):
        expected = (2 * log_p - log_q).exp().sum() - 1
        assert chi_square(p, q).item() == pytest.approx(expected.item(), rel=1e-10)


def test_kl_of_a_coin_from_a_poisson_is_its_sum():
    q, p = TABLES["Bernoulli"](2), TABLES["Poisson"](3)
    z = torch.arange(2).double()
    expected = (q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))).sum()
    torch.testing.assert_close(kl(q, p), expected)


def test_dirichlets_have_the_divergences_of_their_draws_and_those_of_betas_when_flat():
    q, p = (Dirichlet(torch.tensor(a).double()) for a in ([3.0, 2.5, 2.0], [2.0, 2.2, 2.4]))
    for measure, (first, second) in ((kl, (q, p)), (chi_square, (q, p))):
        estimate = measure(first, second, num_samples=100_000, seed=0)
        assert (estimate.value - measure(first, second)).abs() < 5 * estimate.std_error
    flat_q, flat_p = (Dirichlet(torch.stack(double(*a))) for a in ([3.0, 2.5], [2.0, 2.2]))
    for measure in (kl, chi_square):
        torch.testing.assert_close(
            measure(flat_q, flat_p), measure(Beta(*double(3.0, 2.5)), Beta(*double(2.0, 2.2))), rtol=1e-10, atol=0
        )


@pytest.mark.parametrize("measure", [kl, chi_square])
def test_divergences_of_independent_coordinates_add_or_multiply(measure):
    q, p = (Bernoulli(torch.sigmoid(models.normals(5, 3, seed=seed))) for seed in (0, 1))
    apart, together = measure(q, p), measure(Independent(q, 1), Independent(p, 1))
    expected = apart.sum(-1) if measure is kl else (1 + apart).prod(-1) - 1
    torch.testing.assert_close(together, expected)
    nested = measure(Independent(Independent(q, 1), 1), Independent(p, 2))
    expected = apart.sum() if measure is kl else (1 + apart).prod() - 1
    torch.testing.assert_close(nested, expected)


def test_batches_that_broadcast_give_the_divergence_of_each_pair():
    """torch's own formula for two Bernoullis raises an IndexError here."""
    q, p = Bernoulli(torch.sigmoid(models.normals(5, 3, seed=0))), Bernoulli(torch.sigmoid(models.normals(3, seed=1)))
    for measure in (kl, chi_square):
        for first, second in ((q, p), (p, q)):
            value = measure(Independent(first, 1), Independent(second, 1))
            assert value.shape == (5,)
            for row in range(5):
                pair = [Bernoulli(d.probs[row] if d.probs.ndim == 2 else d.probs) for d in (first, second)]
                torch.testing.assert_close(value[row], measure(*(Independent(d, 1) for d in pair)))


def test_a_full_gaussian_batch_meets_independent_ones():
    full = MultivariateNormal(models.normals(4, 3, seed=0), positive(models.normals(3, 3, seed=1)))
    loose = Normal(models.normals(4, 3, seed=2), models.normals(4, 3, seed=3).exp())
    value = kl(Independent(full, 1), Independent(loose, 2))
    torch.testing.assert_close(value, kl(full, Independent(loose, 1)).sum())


def test_a_zero_in_a_table_is_a_zero_for_draws_too():
    half, sure = (Categorical(torch.tensor(table).double()) for table in ([0.5, 0.5], [1.0, 0.0]))
    assert kl(half, sure) == kl(half, sure, num_samples=50, seed=0).value == torch.inf
    assert kl(sure, half, num_samples=50, seed=0).value.item() == pytest.approx(math.log(2))


def test_a_logit_beyond_rounding_is_no_zero():
    """Its probability rounds to one in float32, and yet the other outcome is possible."""
    near, even = Bernoulli(logits=torch.tensor(20.0)), Bernoulli(torch.tensor(0.5))
    assert chi_square(even, near).isfinite()


def test_kl_of_a_flow_is_estimated_without_a_mean(zuko):
    torch.manual_seed(0)
    flow = zuko.flows.MAF(features=2, transforms=1, hidden_features=(8,))()
    target = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    estimate = kl(flow, target, num_samples=2000, seed=0)
    assert estimate.value.isfinite()
    assert estimate.value > -5 * estimate.std_error


# The aggregate posterior.


@given(seeds, st.integers(1, 6), st.integers(2, 5))
@settings(deadline=None, max_examples=100)
def test_the_kl_term_is_information_plus_the_kl_of_the_mixture_on_random_tables(seed, num_x, num_z):
    q, prior = models.table(num_x, num_z, seed=seed), models.table(num_z, seed=seed + 1)
    split = aggregate_posterior_split(Categorical(q), Categorical(prior), torch.zeros(num_x))
    mixture = q.mean(0)
    expected = (
        (q * (q / prior).log()).sum(1).mean(),
        (q * (q / mixture).log()).sum(1).mean(),
        (mixture * (mixture / prior).log()).sum(),
    )
    for value, truth in zip(split, expected, strict=True):
        torch.testing.assert_close(value, truth, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(split.kl_term, split.mutual_information + split.marginal_kl, atol=1e-12, rtol=0)
    assert -1e-12 < split.mutual_information < math.log(num_x) + 1e-12
    assert split.marginal_kl > -1e-12


def test_a_finite_z_that_is_no_index_is_summed_as_well():
    q = models.table(4, 3, seed=0)
    by_index = aggregate_posterior_split(Categorical(q), Categorical(models.table(3, seed=1)), torch.zeros(4))
    one_hot = aggregate_posterior_split(
        OneHotCategorical(q), OneHotCategorical(models.table(3, seed=1)), torch.zeros(4)
    )
    for value, expected in zip(one_hot, by_index, strict=True):
        torch.testing.assert_close(value, expected)


def scalar_guides(num_x: int = 6) -> Normal:
    return Normal(2 * models.normals(num_x, seed=0), 0.5 * models.normals(num_x, seed=1).exp())


def mixture_kl(guides: Normal, prior: Normal) -> float:
    """KL of the mixture of scalar guides from the prior, by quadrature."""
    means, scales = guides.loc.cpu().numpy(), guides.scale.cpu().numpy()

    def integrand(z):
        density = scipy.stats.norm.pdf(z, means, scales).mean()
        log_prior = scipy.stats.norm.logpdf(z, prior.loc.item(), prior.scale.item())
        return density * (math.log(density) - log_prior) if density > 0 else 0.0

    edges = np.linspace(-12, 12, 25)
    return sum(scipy.integrate.quad(integrand, a, b, epsabs=1e-11)[0] for a, b in itertools.pairwise(edges))


def test_the_split_of_scalar_guides_is_that_of_quadrature():
    guides, prior = scalar_guides(), normal(0.0, 1.0)
    marginal = mixture_kl(guides, prior)
    split = aggregate_posterior_split(guides, prior, torch.zeros(6), 20_000, seed=0)
    assert split.kl_term.std_error == 0
    torch.testing.assert_close(split.kl_term.value, kl(guides, prior).mean())
    for part, truth in ((split.mutual_information, split.kl_term.value - marginal), (split.marginal_kl, marginal)):
        assert 0 < part.std_error < 0.01
        assert abs(part.value - truth) < 5 * part.std_error


def test_without_a_formula_all_three_terms_are_estimated_and_still_add_up():
    guides, prior = scalar_guides(), StudentT(torch.tensor(4.0).double())
    split = aggregate_posterior_split(guides, prior, torch.zeros(6), 5000, seed=0)
    truth = kl(guides, prior, num_samples=50_000, seed=1)
    error = math.hypot(split.kl_term.std_error, truth.std_error.square().mean().sqrt() / math.sqrt(6))
    assert abs(split.kl_term.value - truth.value.mean()) < 5 * error
    torch.testing.assert_close(
        split.kl_term.value, split.mutual_information.value + split.marginal_kl.value, atol=1e-10, rtol=0
    )


def test_for_the_posteriors_of_a_model_the_mixture_is_near_the_prior():
    """With the true posteriors of many x from the model itself, the aggregate posterior tends to the prior."""
    model = models.linear_gaussian(observed=3, latent=1)
    few, many = (
        aggregate_posterior_split(model.posterior, model.prior, model.sample(n, seed=0)[0], 50_000 // n, seed=0)
        for n in (5, 2000)
    )
    assert many.marginal_kl.value + 5 * many.marginal_kl.std_error < few.marginal_kl.value
    assert abs(many.marginal_kl.value) < 0.01
    torch.testing.assert_close(many.marginal_kl.value, many.kl_term.value - many.mutual_information.value)


def test_information_reaches_log_n_for_guides_that_do_not_overlap_and_is_zero_for_one_guide():
    prior = Independent(Normal(torch.zeros(2).double(), torch.ones(2).double()), 1)
    apart = Independent(Normal(100 * models.normals(7, 2, seed=0), torch.full((7, 2), 1e-3).double()), 1)
    split = aggregate_posterior_split(apart, prior, torch.zeros(7), 10, seed=0)
    assert split.mutual_information.value.item() == pytest.approx(math.log(7), abs=1e-12)
    same = MultivariateNormal(torch.ones(2).double(), torch.eye(2).double())
    split = aggregate_posterior_split(same, prior, torch.zeros(7), 10, seed=0)
    assert split.mutual_information.value.abs() < 1e-12
    assert split.marginal_kl.value.item() == pytest.approx(1.0)


def test_the_split_does_not_depend_on_the_chunk_size_and_leaves_the_random_state_alone():
    guides, prior = scalar_guides(), normal(0.0, 1.0)
    before = torch.get_rng_state()
    whole = aggregate_posterior_split(guides, prior, torch.zeros(6), 50, seed=3)
    parts = aggregate_posterior_split(guides, prior, torch.zeros(6), 50, chunk_size=7, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(whole.mutual_information.value, parts.mutual_information.value, rtol=1e-12, atol=0)
    assert whole.mutual_information.num_samples == 300


def test_the_standard_error_of_the_split_is_that_of_repetitions():
    guides, prior = scalar_guides(), normal(0.0, 1.0)
    runs = [aggregate_posterior_split(guides, prior, torch.zeros(6), 20, seed=s).mutual_information for s in range(300)]
    observed = torch.stack([run.value for run in runs]).std()
    claimed = torch.stack([run.std_error for run in runs]).square().mean().sqrt()
    torch.testing.assert_close(observed, claimed, rtol=0.2, atol=0)
    alone = aggregate_posterior_split(guides, prior, torch.zeros(6), 1, seed=0)
    assert alone.mutual_information.std_error == torch.inf


def test_a_divergence_leaves_the_model_of_a_posterior_as_it_is():
    model = models.radius_model(dtype=torch.float32)
    x, _ = model.sample(2, seed=0)
    kl(model.posterior(x), model.prior, num_samples=10, seed=0)
    kl_decomposition(model, model.posterior(x), x)
    assert model.log_evidence(x).dtype == torch.float32


def test_a_divergence_of_gaussians_is_never_negative_and_works_without_observations():
    torch.manual_seed(0)
    factor = torch.randn(50, 6, 6).tril(-1) + torch.eye(6)
    one = MultivariateNormal(torch.randn(50, 6), scale_tril=factor)
    near = MultivariateNormal(one.loc * (1 + 1e-7), scale_tril=factor * (1 + 1e-7))
    assert torch.equal(kl(one, one), torch.zeros(50))
    assert (kl(near, one) >= 0).all()
    wide = MultivariateNormal(torch.zeros(6), 2 * torch.eye(6))
    assert torch.allclose(kl(one, wide), torch.distributions.kl_divergence(one, wide), rtol=1e-4)
    model = LinearGaussian(torch.ones(3, 2), torch.zeros(3), 1.0)
    assert model.kl_to_posterior(model.prior, torch.zeros(0, 3)).shape == (0,)
    assert laplace_approximation(model, torch.zeros(0, 3)).batch_shape == (0,)


def test_the_split_takes_gaps_and_several_levels():
    x = torch.tensor([[1.0, math.nan], [0.5, -1.0]])
    guide = AmortizedGuide(nn.Linear(4, 2), mark_gaps=True)
    prior = Independent(Normal(torch.zeros(1), 1.0), 1)
    assert aggregate_posterior_split(guide, prior, x, 20, seed=0).kl_term.value.isfinite()

    levels = (Normal(0.0, 1.0), lambda top: Normal(top, 1.0))
    both = LatentVariableModel(levels, lambda z: Normal(z[1], 1.0)).prior
    wide = lambda x: (Normal(x, 2.0), lambda top: Normal(top, 1.0))  # noqa: E731
    split = aggregate_posterior_split(wide, both, torch.tensor([0.0, 3.0]), 20_000, seed=0)
    exact = kl(Normal(torch.tensor([0.0, 3.0]), 2.0), Normal(0.0, 1.0)).mean()  # the lower level is that of the prior
    assert (split.kl_term.value - exact).abs() < 5 * split.kl_term.std_error


def test_the_split_of_guides_over_lists_of_their_own_says_so():
    ragged = Binomial(torch.tensor([3.0, 2.0]), probs=torch.tensor([0.2, 0.8]))
    with pytest.raises(ValueError, match=r"q is Binomial.*expected guides over one list of values"):
        aggregate_posterior_split(ragged, Binomial(3, probs=torch.tensor(0.5)), torch.zeros(2))


@pytest.mark.parametrize(
    ("q", "p", "exact_kl", "exact_chi_square"),
    [([1.0], [1.0, 1.0, 1.0], math.log(3), math.inf), ([1.0, 1.0, 1.0], [1.0], math.inf, 2.0)],
)
def test_tables_of_different_lengths_are_not_broadcast(q, p, exact_kl, exact_chi_square):
    q, p = Categorical(torch.tensor(q)), Categorical(torch.tensor(p))
    assert kl(q, p).item() == pytest.approx(exact_kl)
    assert chi_square(p, q).item() == pytest.approx(exact_chi_square)
    assert kl(q, p, num_samples=100, seed=0).value.item() == pytest.approx(exact_kl)
