"""Draws from the posterior, comparisons of models, and what an estimate says of itself."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from lvmlib import (
    LatentVariableModel,
    LinearGaussian,
    WeightSummary,
    compare,
    importance_sampling,
    prior_monte_carlo,
    sample_posterior,
    self_normalized_expectation,
    summarize_weights,
)


def wide(model, x):
    posterior = model.posterior(x)
    return MultivariateNormal(posterior.mean, scale_tril=1.5 * posterior.scale_tril)


# Draws from the posterior.


def test_resampled_draws_have_the_moments_of_the_posterior():
    model = models.linear_gaussian()
    x, _ = model.sample(4, seed=0)
    drawn = sample_posterior(model, lambda y: wide(model, y), x, 20_000, seed=1)
    posterior = model.posterior(x)
    assert drawn.z.shape == (20_000, 4, 2)
    error = posterior.variance.sqrt() / drawn.ess[:, None].sqrt()
    assert ((drawn.z.mean(0) - posterior.mean).abs() < 5 * error).all()
    torch.testing.assert_close(drawn.z.var(0), posterior.variance, rtol=0.1, atol=0)


def test_a_draw_is_kept_as_often_as_its_share_of_the_weight_says():
    model = models.linear_gaussian()
    x, _ = model.sample(1, seed=0)
    drawn = sample_posterior(model, model.prior, x, 500, seed=1)
    distinct, counts = drawn.z[:, 0].unique(dim=0, return_counts=True)
    log_w = model.log_likelihood(x, distinct[:, None])[:, 0]
    total = 500 * summarize_weights_of_the_same_draws(drawn)
    expected = (log_w - total.log()).exp() * 500
    assert ((counts - expected).abs() < 1 + 1e-6).all()


def summarize_weights_of_the_same_draws(drawn) -> torch.Tensor:
    return drawn.summary.log_evidence[0].exp()


def test_with_the_posterior_as_q_every_draw_is_kept_once():
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    drawn = sample_posterior(model, model.posterior, x, 100, seed=0)
    assert len(drawn.z[:, 0].unique(dim=0)) == 100
    assert torch.equal(drawn.z, sample_posterior(model, model.posterior, x, 100, seed=0).z)


def test_draws_without_any_weight_are_refused():
    model = LatentVariableModel(
        Independent(torch.distributions.Uniform(torch.zeros(1), 1.0), 1), lambda z: Independent(Normal(z, 1.0), 1)
    )
    far = Independent(Normal(torch.full((1,), 50.0), 0.1), 1)
    with pytest.raises(ValueError, match="only draws of joint density zero"):
        sample_posterior(model, far, torch.zeros(1), 100, seed=0)


def test_draws_go_to_arviz():
    pytest.importorskip("arviz")
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    drawn = sample_posterior(model, model.prior, x, 100, seed=0)
    held = drawn.to_arviz()
    assert held.posterior["z"].shape == (1, 100, 3, 2)
    assert held.constant_data["pareto_k"].shape == (3,)


def test_draws_go_to_arviz_with_the_names_that_they_are_given():
    pytest.importorskip("arviz")
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    drawn = sample_posterior(model, model.posterior, x, 50, seed=0)
    coords = {"sample": ["a", "b", "c"], "cause": [10, 20]}
    held = drawn.to_arviz(dims=("sample", "cause"), coords=coords)
    one = held.posterior.z.sel(sample="b", cause=20).values[0]
    assert (one == drawn.z[:, 1, 1].numpy()).all()
    assert held.constant_data.ess.sel(sample="c").item() == drawn.ess[2].item()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"dims": ["cause"]}, r"dims is \['cause'\].*expected 2 names"),
        ({"coords": {"cause": [1, 2]}}, "coords names 'cause'.*expected a name from dims"),
        ({"dims": ["sample", "cause"], "coords": {"cause": [1]}}, r"coords\['cause'\] has 1 entries: expected 2"),
        ({"dims": "ab"}, r"dims is 'ab' of type str: expected a list of names"),
        ({"dims": ["a", "a"]}, r"dims is \['a', 'a'\]: expected names that differ"),
        ({"dims": ["draw", "cause"]}, r"dims is \['draw', 'cause'\]: expected names that differ"),
        ({"dims": ["sample", "z"]}, r"dims is \['sample', 'z'\]: expected names that differ"),  # the draws vanished
        ({"dims": ["sample", "cause"], "coords": {"cause": 3}}, r"coords\['cause'\] is 3.*expected a list"),
        ({"coords": ["cause"]}, r"coords is \['cause'\].*expected a dict"),
    ],
)
def test_names_for_arviz_must_fit_the_draws(names, message):
    pytest.importorskip("arviz")
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    with pytest.raises((TypeError, ValueError), match=message):
        sample_posterior(model, model.posterior, x, 50, seed=0).to_arviz(**names)


# Comparisons.


def test_a_comparison_is_the_paired_difference_over_the_batch():
    model, other = models.linear_gaussian(), models.linear_gaussian(seed=5)
    x, _ = model.sample(200, seed=0)
    one, two = (importance_sampling(m, m.posterior, x, 50, seed=0) for m in (model, other))
    comparison = compare(one, two)
    exact = model.log_evidence(x) - other.log_evidence(x)
    torch.testing.assert_close(comparison.difference, exact.mean())
    torch.testing.assert_close(comparison.std_error, exact.std() / math.sqrt(200))
    assert comparison.noise < 1e-6
    assert compare(two, one).difference == -comparison.difference
    assert "observations=200" in repr(comparison)


def test_the_noise_of_a_comparison_falls_with_the_number_of_draws():
    model = models.linear_gaussian()
    x, _ = model.sample(50, seed=0)
    few, many = (prior_monte_carlo(model, x, k, seed=0) for k in (1000, 100_000))
    exact = importance_sampling(model, model.posterior, x, 10, seed=0)
    assert compare(many, exact).noise < 0.2 * compare(few, exact).noise


@pytest.mark.parametrize("batch", [1, 3])
def test_estimates_of_other_observations_are_not_compared(batch):
    model = models.linear_gaussian()
    one, two = (prior_monte_carlo(model, torch.zeros(n, 4).double(), 10, seed=0) for n in (2, batch))
    with pytest.raises(ValueError, match=r"a has batch shape \(2,\) and b has"):
        compare(one, two)
    with pytest.raises(TypeError, match=r"b is 1.0 of type float: expected an EvidenceEstimate"):
        compare(one, 1.0)


# What an estimate says of itself.


def test_a_mode_that_q_never_reaches_is_noticed_by_draws_from_the_prior():
    model = LatentVariableModel(Normal(0.0, 3.0), lambda z: Normal(z**2, 0.5))
    x = torch.tensor(16.0)
    one_mode = importance_sampling(model, Normal(4.0, 0.1), x, 10_000, seed=0)
    assert one_mode.pareto_k == math.inf
    assert not one_mode.believable
    assert "do not believe it" in repr(one_mode)
    assert summarize_weights(model, Normal(4.0, 0.1), x, 10_000, seed=0).pareto_k == math.inf
    both = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2)), Normal(torch.tensor([-4.0, 4.0]), torch.tensor([0.1, 0.1]))
    )
    assert importance_sampling(model, both, x, 10_000, seed=0).believable


@pytest.mark.parametrize("family", [Normal, torch.distributions.Laplace, torch.distributions.Cauchy])
def test_a_q_that_the_dtype_cannot_resolve_is_not_believed(family):
    model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 3e-8))
    estimate = importance_sampling(model, family(0.5, 1e-8), torch.tensor(0.5), 10_000, seed=0)
    assert estimate.pareto_k == math.inf


def test_the_threshold_for_pareto_k_rises_with_the_number_of_weights_up_to_0_7():
    thresholds = [WeightSummary.from_log_weights(torch.randn(k)).pareto_k_threshold for k in (100, 1000, 2000, 100_000)]
    assert thresholds == pytest.approx([0.5, 2 / 3, 1 - 1 / math.log10(2000), 0.7])


def test_the_distrust_of_a_part_is_that_of_the_whole():
    model = LatentVariableModel(Normal(0.0, 3.0), lambda z: Normal(z**2, 0.5))
    bad = summarize_weights(model, Normal(4.0, 0.1), torch.tensor(16.0), 1000, seed=0)
    good = WeightSummary.from_log_weights(torch.randn(1000))
    assert bad.merge(good).pareto_k == good.merge(bad).pareto_k == math.inf


def test_an_estimate_shows_its_numbers_and_says_when_not_to_believe_them():
    model = LinearGaussian(torch.ones(3, 1), torch.zeros(3), 1e-3)
    x = torch.stack([torch.zeros(3), torch.full((3,), 4.0)])
    shown = repr(prior_monte_carlo(model, x, 1000, seed=0))
    assert "mean log_evidence=" in shown
    assert "do not believe" in shown
    assert "do not believe" not in repr(importance_sampling(model, model.posterior, x, 1000, seed=0))
    assert "too few weights" in repr(prior_monte_carlo(model, x[0], 10, seed=0))


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_value_at_a_weight_that_underflows_is_named(value):
    model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1e-4)
    f = lambda z: torch.where(z > 0.9, value, 0.0 * z)  # noqa: E731 - where exp(log w) is zero in float64
    with pytest.raises(ValueError, match=r"f\(z\) is -?inf .*weight above zero"):
        self_normalized_expectation(model, model.prior, torch.zeros(1), f, 10_000, seed=0)
