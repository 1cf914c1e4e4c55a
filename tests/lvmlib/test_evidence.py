"""Estimates of the evidence: unbiased, with standard errors that mean what they say."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch.distributions import MultivariateNormal

from lvmlib import FiniteModel, WeightSummary, importance_sampling, log_weights, prior_monte_carlo

REPETITIONS = 1000


def gaussian_proposal(model, x, *, widen: float) -> MultivariateNormal:
    posterior = model.posterior(x)
    return MultivariateNormal(posterior.mean + 0.1, covariance_matrix=widen * posterior.covariance_matrix)


def coverage(estimate, truth) -> tuple[float, float]:
    """The share of 95 % intervals that hold the truth, and the largest distance in standard errors."""
    distance = ((estimate.log_evidence - truth) / estimate.std_error).abs()
    return (distance < 1.959964).double().mean().item(), distance.max().item()


def repeated(x: torch.Tensor) -> torch.Tensor:
    """One x as a batch of equal observations: each has its own draws, so each is one repetition."""
    return x.expand(REPETITIONS, *x.shape)


@pytest.mark.parametrize("name", ["linear_gaussian", "beta_bernoulli", "mixture", "finite"])
def test_prior_monte_carlo_covers_the_truth_as_often_as_a_normal_law_says(name):
    model = models.EXACT_MODELS[name]()
    x = model.sample(1, seed=2)[0][0]
    estimate = prior_monte_carlo(model, repeated(x), 4000, seed=0)
    share, farthest = coverage(estimate, model.log_evidence(x))
    assert 0.93 < share < 0.97
    assert farthest < 5


@pytest.mark.parametrize("widen", [0.8, 1.5, 3.0])
def test_importance_sampling_covers_the_truth_as_often_as_a_normal_law_says(widen):
    model = models.linear_gaussian()
    x = model.sample(1, seed=2)[0][0]
    q = gaussian_proposal(model, x, widen=widen)
    estimate = importance_sampling(model, q, repeated(x), 2000, seed=1)
    share, farthest = coverage(estimate, model.log_evidence(x))
    assert 0.93 < share < 0.97
    assert farthest < 5


def test_the_average_weight_is_unbiased_and_its_logarithm_is_low():
    model = models.linear_gaussian()
    x = model.sample(1, seed=2)[0][0]
    few = prior_monte_carlo(model, repeated(x), 5, seed=3)
    ratio = (few.log_evidence - model.log_evidence(x)).exp()
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / math.sqrt(REPETITIONS)
    bias = few.log_evidence - model.log_evidence(x)
    assert bias.mean() < -5 * bias.std() / math.sqrt(REPETITIONS)
    assert few.direction == "lower"


def test_the_posterior_as_proposal_has_no_error():
    for make in models.EXACT_MODELS.values():
        model = make()
        x, _ = model.sample(3, seed=0)
        estimate = importance_sampling(model, model.posterior, x, 10, seed=0)
        torch.testing.assert_close(estimate.log_evidence, model.log_evidence(x), atol=1e-9, rtol=0)
        assert (estimate.std_error < 1e-8).all()
        torch.testing.assert_close(estimate.ess, torch.full_like(estimate.ess, 10.0))


def test_an_estimate_is_a_view_of_its_summary():
    model = models.linear_gaussian()
    x, _ = model.sample(2, seed=0)
    estimate = prior_monte_carlo(model, x, 100, seed=0)
    for name in ("log_evidence", "std_error", "ess", "pareto_k", "num_samples"):
        mine, theirs = getattr(estimate, name), getattr(estimate.summary, name)
        assert torch.equal(torch.as_tensor(mine), torch.as_tensor(theirs))


def test_a_proposal_without_support_is_refused_but_its_weights_can_be_looked_at():
    table = torch.tensor([[0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
    model = FiniteModel(torch.tensor([0.5, 0.5], dtype=torch.float64), table)
    q = torch.distributions.Categorical(torch.tensor([1.0, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="density zero"):
        importance_sampling(model, q, torch.tensor(0), 100)
    # What the refusal prevents: an average that converges, to the wrong number.
    summary = WeightSummary.from_log_weights(log_weights(model, q, torch.tensor(0), 100))
    assert summary.log_evidence.item() == pytest.approx(math.log(0.25))
    assert model.log_evidence(torch.tensor(0)).item() == pytest.approx(math.log(0.30))


def test_a_proposal_may_be_zero_where_the_joint_is():
    model = FiniteModel(torch.tensor([0.5, 0.5]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    q = torch.distributions.Categorical(torch.tensor([1.0, 0.0]))
    estimate = importance_sampling(model, q, torch.tensor(0), 10, seed=0)
    assert estimate.log_evidence.item() == pytest.approx(math.log(0.5))


def test_the_reading_of_an_estimate_names_every_number():
    model = models.linear_gaussian()
    x, _ = model.sample(2, seed=0)
    text = repr(prior_monte_carlo(model, x[0], 100, seed=0))
    for name in ("log_evidence", "std_error", "ess", "pareto_k", "num_samples=100", "direction='lower'"):
        assert name in text
    assert "batch_shape=(2,)" in repr(prior_monte_carlo(model, x, 100, seed=0))
