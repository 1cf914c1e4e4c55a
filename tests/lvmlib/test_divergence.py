"""KL and chi-square against their definitions, and the decomposition that holds to the last digits."""

from __future__ import annotations

import math

import models
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Beta, Categorical, Gamma, Independent, MultivariateNormal, Normal

from lvmlib import chi_square, importance_sampling, kl, kl_decomposition, summarize_weights

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
    assert kl(diagonal, full).abs() < 1e-12
    torch.testing.assert_close(kl(diagonal, other), kl(full, other))
    torch.testing.assert_close(kl(other, diagonal), kl(other, full))


@pytest.mark.parametrize("measure", [kl, chi_square])
def test_monte_carlo_divergence_is_within_five_of_its_standard_errors(measure):
    first = MultivariateNormal(models.normals(4, 2, seed=0) / 3, 0.6 * torch.eye(2).double())
    second = Independent(Normal(torch.zeros(2).double(), 1.2 * torch.ones(2).double()), 1)
    estimate = measure(first, second, num_samples=40_000, seed=0)
    assert ((estimate.value - measure(first, second)).abs() < 5 * estimate.std_error).all()
    assert (estimate.std_error > 0).all()
    assert estimate.num_samples == 40_000


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
