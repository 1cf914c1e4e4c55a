"""The claims of chapter 4, tried on random models, and with a hypothesis dropped."""

from __future__ import annotations

import math

import models
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.distributions import Categorical, MultivariateNormal, Normal

from lvmlib import chi_square, importance_sampling, summarize_weights


def weights_of_a_table(model, q: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The weight of every value of z of a finite model, shape ``(Z,)``."""
    return (model.log_joint_table(x) - q.log()).exp()


@pytest.mark.vouches("thm-importance-sampling")
@pytest.mark.parametrize("seed", range(20))
def test_the_mean_weight_is_the_evidence_for_every_proposal_that_covers_the_joint(seed):
    model, q = models.finite(seed=seed), models.table(3, seed=seed + 50)
    for x in torch.arange(4):
        mean = (q * weights_of_a_table(model, q, x)).sum()
        torch.testing.assert_close(mean, model.log_evidence(x).exp(), atol=1e-12, rtol=0)


@pytest.mark.vouches("thm-importance-sampling")
def test_the_average_weight_of_a_gaussian_model_is_unbiased():
    model = models.linear_gaussian(seed=3)
    x = model.sample(1, seed=1)[0][0]
    q = MultivariateNormal(model.posterior(x).mean + 0.2, 2 * model.posterior(x).covariance_matrix)
    few = importance_sampling(model, q, x.expand(20_000, 4), 3, seed=0)
    ratio = (few.log_evidence - model.log_evidence(x)).exp()
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / math.sqrt(len(ratio))


@pytest.mark.vouches("prop-missing-support")
@pytest.mark.parametrize("seed", range(20))
def test_without_support_the_mean_weight_is_the_joint_that_the_proposal_sees(seed):
    model, q = models.finite(seed=seed), models.table(3, seed=seed + 50)
    missed = seed % 3
    q[missed] = 0
    q /= q.sum()
    for x in torch.arange(4):
        joint = model.log_joint_table(x).exp()
        visible = q > 0
        mean = (q[visible] * joint[visible] / q[visible]).sum()
        expected = joint.sum() - joint[missed]
        torch.testing.assert_close(mean, expected, atol=1e-12, rtol=0)
        assert mean < model.log_evidence(x).exp()
        with pytest.raises(ValueError, match="density zero"):
            importance_sampling(model, Categorical(q), x, 10)


@pytest.mark.vouches("thm-proposal-cost")
@pytest.mark.parametrize("seed", range(20))
def test_relative_variance_of_the_weight_is_chi_square_of_posterior_and_proposal(seed):
    model, q = models.finite(seed=seed), models.table(3, seed=seed + 50)
    for x in torch.arange(4):
        w = weights_of_a_table(model, q, x)
        mean = (q * w).sum()
        relative = (q * (w - mean).square()).sum() / mean.square()
        divergence = chi_square(model.posterior(x), Categorical(q))
        torch.testing.assert_close(relative, divergence, atol=1e-12, rtol=1e-10)
        assert divergence > 0


@pytest.mark.vouches("thm-proposal-cost")
@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_every_weight_is_the_evidence_at_the_posterior_and_nowhere_else(name):
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(3, seed=0)
    exact = summarize_weights(model, model.posterior, x, 20, seed=0)
    torch.testing.assert_close(exact.log_evidence, model.log_evidence(x), atol=1e-9, rtol=0)
    assert (exact.relative_variance < 1e-15).all()
    assert (summarize_weights(model, model.prior, x, 1000, seed=0).relative_variance > 1e-6).all()


def second_moment(s: float, t: float, width: float) -> float:
    """The integral of the squared posterior over the proposal, on an interval of so many standard deviations."""
    value, _ = scipy.integrate.quad(
        lambda u: math.exp(2 * scipy.stats.norm.logpdf(u, 0, s) - scipy.stats.norm.logpdf(u, 0, t)),
        -width,
        width,
        points=[0],
        limit=500,
    )
    return value


@pytest.mark.vouches("prop-light-tails")
@pytest.mark.parametrize("s", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("ratio", [0.75, 0.9, 1.0, 1.5, 3.0])
def test_above_the_threshold_chi_square_has_the_stated_value(s, ratio):
    t = ratio * s
    stated = t**2 / (s * math.sqrt(2 * t**2 - s**2)) - 1
    assert second_moment(s, t, 30 * max(s, t)) - 1 == pytest.approx(stated, rel=1e-6, abs=1e-9)
    p, q = (Normal(*torch.tensor([0.7, scale], dtype=torch.float64)) for scale in (s, t))
    assert chi_square(p, q).item() == pytest.approx(stated, rel=1e-9, abs=1e-12)


@pytest.mark.vouches("prop-light-tails")
@pytest.mark.parametrize("ratio", [0.5, 0.6, 0.7])
def test_below_the_threshold_the_second_moment_grows_without_bound(ratio):
    """Each doubling of the interval multiplies the integral, and ever more so."""
    moments = [second_moment(1.0, ratio, width) for width in (5, 10, 20)]
    assert moments[1] > 2 * moments[0]
    assert moments[2] / moments[1] > moments[1] / moments[0]
    p, q = (Normal(*torch.tensor([0.0, scale], dtype=torch.float64)) for scale in (1.0, ratio))
    assert chi_square(p, q) == torch.inf


@pytest.mark.vouches("prop-light-tails")
@pytest.mark.parametrize(("ratio", "heavy"), [(0.5, True), (0.6, True), (1.2, False), (3.0, False)])
def test_pareto_k_tells_the_two_sides_of_the_threshold_apart(ratio, heavy):
    model = models.linear_gaussian(seed=3, observed=1, latent=1)
    x = model.sample(1, seed=1)[0][0]
    posterior = model.posterior(x)
    q = MultivariateNormal(posterior.mean, scale_tril=ratio * posterior.scale_tril)
    k = importance_sampling(model, q, x.expand(100, 1), 100_000, seed=0).pareto_k
    assert ((k > 0.5) == heavy).double().mean() > 0.9
