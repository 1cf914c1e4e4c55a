"""The claims of chapter 3, tried on random models, and with a hypothesis dropped."""

from __future__ import annotations

import itertools
import math

import models
import pytest
import torch

from lvmlib import LinearGaussian, chi_square, prior_monte_carlo, summarize_weights


def every_average(model, x: torch.Tensor, num_samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All K-tuples of draws from the prior of a finite model: the average likelihood of each, and its probability."""
    prior, likelihood = model.prior_table, model.likelihood_table[:, x]
    draws = torch.tensor(list(itertools.product(range(len(prior)), repeat=num_samples)))
    return likelihood[draws].mean(1), prior[draws].prod(1)


@pytest.mark.vouches("thm-prior-monte-carlo")
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("num_samples", [1, 2, 4])
def test_the_average_likelihood_is_unbiased_with_a_kth_of_the_variance(seed, num_samples):
    model = models.finite(seed=seed)
    for x in torch.arange(4):
        average, probability = every_average(model, x, num_samples)
        one, its_probability = every_average(model, x, 1)
        mean = (probability * average).sum()
        torch.testing.assert_close(mean, model.log_evidence(x).exp(), atol=1e-12, rtol=0)
        variance = (probability * (average - mean).square()).sum()
        single = (its_probability * (one - mean).square()).sum()
        torch.testing.assert_close(variance, single / num_samples, atol=1e-12, rtol=0)


def test_dependent_draws_keep_the_mean_and_lose_the_variance():
    """One draw used K times is unbiased still; its variance is not divided by K."""
    model, x = models.finite(), torch.tensor(0)
    likelihood = model.likelihood_table[:, 0]
    copied = likelihood[:, None].expand(-1, 5).mean(1)
    mean = (model.prior_table * copied).sum()
    torch.testing.assert_close(mean, model.log_evidence(x).exp())
    variance = (model.prior_table * (copied - mean).square()).sum()
    torch.testing.assert_close(variance, (model.prior_table * (likelihood - mean).square()).sum())


@pytest.mark.vouches("thm-relative-variance")
@pytest.mark.parametrize("seed", range(10))
def test_relative_variance_of_the_likelihood_is_chi_square_of_posterior_and_prior(seed):
    model = models.finite(seed=seed)
    for x in torch.arange(4):
        likelihood, probability = every_average(model, x, 1)
        evidence = (probability * likelihood).sum()
        relative = (probability * (likelihood - evidence).square()).sum() / evidence.square()
        torch.testing.assert_close(relative, chi_square(model.posterior(x), model.prior), atol=1e-12, rtol=1e-10)


@pytest.mark.vouches("thm-relative-variance")
def test_relative_variance_of_sampled_weights_is_chi_square_in_a_gaussian_model():
    model = models.linear_gaussian(seed=3)
    x, _ = model.sample(1, seed=1)
    summary = summarize_weights(model, model.prior, x, 400_000, seed=0)
    torch.testing.assert_close(
        summary.relative_variance, chi_square(model.posterior(x), model.prior), rtol=0.05, atol=0
    )


def coordinates(scales: torch.Tensor, noise: torch.Tensor) -> LinearGaussian:
    return LinearGaussian(scales.diag(), torch.zeros_like(scales), noise)


@pytest.mark.vouches("thm-curse")
@pytest.mark.parametrize("seed", range(10))
def test_one_plus_chi_square_multiplies_over_independent_coordinates(seed):
    scales, noise = models.normals(5, seed=seed), 0.3 + models.normals(5, seed=seed + 1).square()
    x = models.normals(5, seed=seed + 2)
    together = coordinates(scales, noise)
    apart = [coordinates(scales[d : d + 1], noise[d : d + 1]) for d in range(5)]
    product = math.prod(1 + chi_square(one.posterior(x[d : d + 1]), one.prior).item() for d, one in enumerate(apart))
    assert 1 + chi_square(together.posterior(x), together.prior).item() == pytest.approx(product, rel=1e-10)


def test_chi_square_does_not_multiply_over_dependent_coordinates():
    """Two coordinates seen through their sum: the posterior does not factorise, and the product is wrong."""
    weight = torch.ones(1, 2).double()
    model = LinearGaussian(weight, torch.zeros(1).double(), 0.1)
    x = torch.tensor([1.0]).double()
    posterior = model.posterior(x)
    exact = chi_square(posterior, model.prior).item()
    marginal = torch.distributions.Normal(posterior.mean[0], posterior.variance[0].sqrt())
    one = chi_square(marginal, torch.distributions.Normal(torch.zeros(()).double(), 1.0)).item()
    assert abs(1 + exact - (1 + one) ** 2) > 0.1 * exact


@pytest.mark.vouches("prop-log-is-low")
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("num_samples", [1, 2, 4])
def test_the_logarithm_of_the_average_is_low_on_average(seed, num_samples):
    model = models.finite(seed=seed)
    for x in torch.arange(4):
        average, probability = every_average(model, x, num_samples)
        assert (probability * average.log()).sum() <= model.log_evidence(x) + 1e-12


@pytest.mark.vouches("prop-log-is-low")
def test_the_logarithm_is_low_by_chi_square_over_twice_the_number_of_draws():
    model, x = coordinates(torch.ones(2).double(), torch.ones(2).double()), torch.ones(2).double()
    num_samples = 50
    many = prior_monte_carlo(model, x.expand(40_000, 2), num_samples, seed=0)
    off = many.log_evidence - model.log_evidence(x)
    predicted = -chi_square(model.posterior(x), model.prior) / (2 * num_samples)
    error = off.std() / math.sqrt(len(off))
    # The next term of the expansion is of order 1 / K squared.
    assert abs(off.mean() - predicted) < 5 * error + 10 * predicted.square()
    assert off.mean() < -5 * error
