"""Estimates of the evidence and of posterior expectations: standard errors that mean what they say."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch.distributions import (
    Beta,
    Categorical,
    Dirichlet,
    Gamma,
    Independent,
    MultivariateNormal,
    Normal,
    Uniform,
    VonMises,
)

from lvmlib import (
    FiniteModel,
    LatentVariableModel,
    WeightSummary,
    importance_sampling,
    log_weights,
    lower_confidence_bound,
    prior_monte_carlo,
    sample_posterior,
    self_normalized_expectation,
)
from lvmlib._streams import chunk_length

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
    for name in ("log_evidence", "smoothed_log_evidence", "std_error", "ess", "pareto_k", "num_samples"):
        mine, theirs = getattr(estimate, name), getattr(estimate.summary, name)
        assert torch.equal(torch.as_tensor(mine), torch.as_tensor(theirs))


def test_a_lower_confidence_bound_of_equal_weights_is_the_evidence_less_its_share_of_the_doubt():
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    for confidence, num_groups in ((0.95, 1), (0.99, 4), (0.0, 2)):
        bound = lower_confidence_bound(
            model, model.posterior, x, 5, confidence=confidence, num_groups=num_groups, seed=0
        )
        expected = model.log_evidence(x) + math.log(1 - confidence) / num_groups
        assert torch.allclose(bound, expected, atol=1e-5)


def test_a_lower_confidence_bound_is_the_smallest_of_independent_groups():
    model = models.linear_gaussian()
    x, _ = model.sample(50, seed=0)
    q = gaussian_proposal(model, x, widen=2.0)
    one, four = (lower_confidence_bound(model, q, x, 10, confidence=0.0, num_groups=n, seed=0) for n in (1, 4))
    assert (four <= one).all()
    # The first of four exchangeable groups is the smallest in a quarter of the cases.
    assert 0.05 < (four == one).double().mean() < 0.5
    again = lower_confidence_bound(model, q, x, 10, confidence=0.0, num_groups=4, chunk_size=3, seed=0)
    assert torch.allclose(again, four)


def test_a_proposal_without_support_has_a_lower_confidence_bound_all_the_same():
    table = torch.tensor([[0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
    model = FiniteModel(torch.tensor([0.5, 0.5], dtype=torch.float64), table)
    q = Categorical(torch.tensor([1.0, 0.0], dtype=torch.float64))
    bound = lower_confidence_bound(model, q, torch.tensor(0), 100, confidence=0.5)
    assert bound.item() == pytest.approx(math.log(0.25) + math.log(0.5))
    assert bound < model.log_evidence(torch.tensor(0))


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


# Posterior expectations.


def first_and_second_moments(z: torch.Tensor) -> torch.Tensor:
    """For real vectors: z and z z^T side by side, shape ``(..., 1 + D, D)``."""
    return torch.cat([z[..., None, :], z[..., None] * z[..., None, :]], dim=-2)


@pytest.mark.thorough
@pytest.mark.parametrize("widen", [0.8, 2.0])
def test_posterior_moments_of_a_gaussian_are_covered_as_often_as_a_normal_law_says(widen):
    model = models.linear_gaussian()
    x = model.sample(1, seed=2)[0][0]
    q, posterior = gaussian_proposal(model, x, widen=widen), model.posterior(x)
    estimate = self_normalized_expectation(model, q, repeated(x), first_and_second_moments, 8000, seed=0)
    mean = posterior.mean
    truth = torch.cat([mean[None], posterior.covariance_matrix + mean[:, None] * mean])
    distance = ((estimate.value - truth) / estimate.std_error).abs()
    assert estimate.value.shape == (REPETITIONS, 3, 2)
    share = (distance < 1.959964).double().mean(0)
    assert ((share > 0.93) & (share < 0.97)).all()
    assert distance.max() < 5


def test_posterior_probabilities_of_a_table_are_covered_as_often_as_a_normal_law_says():
    model = models.finite()
    x, q = torch.tensor(1), Categorical(models.table(3, seed=9))
    indicators = lambda z: z[..., None] == torch.arange(3)  # noqa: E731
    estimate = self_normalized_expectation(model, q, repeated(x), indicators, 2000, seed=0)
    distance = ((estimate.value - model.posterior(x).probs) / estimate.std_error).abs()
    share = (distance < 1.959964).double().mean(0)
    assert ((share > 0.93) & (share < 0.97)).all()
    assert distance.max() < 5
    torch.testing.assert_close(estimate.value.sum(-1), torch.ones(REPETITIONS).double())


@pytest.mark.thorough
def test_the_bias_of_a_posterior_expectation_is_the_stated_one_over_k():
    model, num_samples = models.finite(), 100
    x, probs = torch.tensor(1), models.table(3, seed=9)
    f = torch.tensor([0.0, 1.0, 5.0]).double()
    posterior = model.posterior(x).probs
    truth = (posterior * f).sum()
    stated = -(posterior.square() / probs * (f - truth)).sum() / num_samples
    many = x.expand(200_000)
    estimate = self_normalized_expectation(model, Categorical(probs), many, lambda z: f[z], num_samples, seed=0)
    bias = estimate.value.mean() - truth
    error = estimate.value.std() / math.sqrt(len(many))
    # The next term is smaller by another factor of order K.
    assert abs(bias - stated) < 5 * error + abs(stated) / 5
    assert abs(stated) > 15 * error


def test_at_the_posterior_a_self_normalised_mean_is_the_plain_mean_with_its_standard_error():
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    seen = []

    def f(z):
        seen.append(z)
        return z

    estimate = self_normalized_expectation(model, model.posterior, x, f, 400, chunk_size=400, seed=0)
    (z,) = seen
    torch.testing.assert_close(estimate.value, z.mean(0))
    torch.testing.assert_close(estimate.std_error, z.std(0) / math.sqrt(400))


def test_a_posterior_expectation_equals_the_formula():
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    drawn = []
    estimate = self_normalized_expectation(
        model, model.prior, x, lambda z: drawn.append(z) or z.square(), 500, chunk_size=500, seed=0
    )
    (z,) = drawn
    w = (model.log_joint(x, z) - model.log_prior(z)).exp()[..., None]
    mean = (w * z.square()).sum(0) / w.sum(0)
    torch.testing.assert_close(estimate.value, mean, atol=1e-12, rtol=1e-10)
    squares = (w.square() * (z.square() - mean).square()).sum(0) * 500 / 499
    torch.testing.assert_close(estimate.std_error, squares.sqrt() / w.sum(0), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(estimate.ess, (w.sum(0).square() / w.square().sum(0))[:, 0])


@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_a_posterior_expectation_is_the_same_at_any_chunk_size(name):
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(3, seed=0)
    run = lambda chunk_size: self_normalized_expectation(  # noqa: E731
        model,
        model.prior,
        x,
        lambda z: torch.stack([z.double(), z.double() + 1e4], -1),
        500,
        chunk_size=chunk_size,
        seed=5,
    )
    whole = run(None)
    for chunk_size in (1, 7, 64, 500, 10_000):
        chunked = run(chunk_size)
        torch.testing.assert_close(chunked.value, whole.value, atol=1e-9, rtol=1e-10)
        # An offset of ten thousand costs no digit: the sums are centred.
        torch.testing.assert_close(chunked.std_error, whole.std_error, atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(chunked.std_error[..., 0], chunked.std_error[..., 1], atol=1e-9, rtol=1e-6)


def test_a_function_with_many_values_is_asked_about_few_draws_at_a_time():
    model = models.linear_gaussian()
    asked = []

    def wide(z):
        asked.append(len(z))
        return z[..., :1].expand(*z.shape[:-1], 50_000)

    self_normalized_expectation(model, model.prior, torch.zeros(4).double(), wide, 100, seed=0)
    assert max(asked) == min(100, chunk_length(50_000, torch.get_default_device()))


def test_weights_of_zero_do_not_ask_for_the_function():
    table = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    model = FiniteModel(torch.tensor([0.5, 0.5], dtype=torch.float64), table)
    pole = lambda z: torch.where(z == 1, torch.nan, 2.0)  # noqa: E731
    estimate = self_normalized_expectation(model, model.prior, torch.tensor(1), pole, 100, seed=0)
    assert estimate.value == 2
    assert estimate.std_error == 0
    with pytest.raises(ValueError, match="NaN"):
        self_normalized_expectation(model, model.prior, torch.tensor(0), pole, 100, seed=0)


def test_a_posterior_expectation_is_told_with_its_error():
    model = models.linear_gaussian()
    x, _ = model.sample(2, seed=0)
    one = self_normalized_expectation(model, model.prior, x[0], lambda z: z[..., 0], 100, seed=0)
    for name in ("value", "std_error", "ess", "pareto_k", "num_samples=100"):
        assert name in repr(one)
    many = self_normalized_expectation(model, model.prior, x, lambda z: z, 1, seed=0)
    assert "shape=(2, 2)" in repr(many)
    assert (many.std_error == torch.inf).all()


def test_every_estimate_distrusts_a_q_that_misses_a_mode():
    model = LatentVariableModel(Normal(0.0, 3.0), lambda z: Normal(z**2, 0.5))
    q, x = Normal(4.0, 0.1), torch.tensor(16.0)
    mean = self_normalized_expectation(model, q, x, lambda z: z, 10_000, seed=0)
    draws = sample_posterior(model, q, x, 10_000, seed=0)
    assert mean.pareto_k == draws.pareto_k == torch.inf
    assert "do not believe it" in repr(mean)


def test_every_estimate_distrusts_draws_that_its_dtype_cannot_tell_apart():
    narrow = Normal(1e4, 1e-4)
    model, x = LatentVariableModel(narrow, lambda z: Normal(z, 1.0)), torch.tensor(1e4)
    mean = self_normalized_expectation(model, narrow, x, lambda z: z, 1000, seed=0)
    assert mean.pareto_k == sample_posterior(model, narrow, x, 1000, seed=0).pareto_k == torch.inf


def test_the_support_of_a_level_may_depend_on_those_before():
    levels = (Uniform(0.0, 1.0), lambda first: Uniform(torch.zeros_like(first), first + 0.1))
    model, x = LatentVariableModel(levels, lambda z: Normal(z[1], 0.2)), torch.tensor([0.2, 0.3])
    one = prior_monte_carlo(model, x, 40_000, seed=0)
    q = Independent(Uniform(torch.zeros(2), torch.tensor([1.0, 1.1])), 1)
    two = importance_sampling(model, q, x, 40_000, seed=0)
    assert ((one.log_evidence - two.log_evidence).abs() < 5 * (one.std_error + two.std_error)).all()
    assert model.log_joint(x[0], torch.tensor([0.2, 0.5])) == -torch.inf


@pytest.mark.parametrize(
    ("prior", "q"),
    [
        (Gamma(1e-3, 1.0), Gamma(2e-3, 1.0)),
        (Beta(1e-3, 1e-3), Beta(2e-3, 2e-3)),
        (Dirichlet(torch.full((3,), 1e-3)), Dirichlet(torch.full((3,), 2e-3))),
    ],
    ids=["gamma", "beta", "dirichlet"],
)
def test_draws_rounded_to_an_end_are_distrusted_where_the_weight_has_no_limit_there(prior, q):
    model = LatentVariableModel(prior, lambda z: Normal(z.sum(-1) if prior.event_shape else z, 1.0))
    x = torch.tensor([0.0, 0.5])
    assert (importance_sampling(model, q, x, 1000, seed=0).pareto_k == torch.inf).all()
    assert not (importance_sampling(model, prior, x, 1000, seed=0).pareto_k == torch.inf).any()


def test_an_estimate_of_nothing_is_not_believed():
    model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Uniform(z - 0.1, z + 0.1))
    estimate = prior_monte_carlo(model, torch.tensor([50.0]), 100, seed=0)
    assert not estimate.believable.any()
    assert "every weight is zero" in repr(estimate)


def test_an_angle_has_density_zero_beyond_one_turn():
    # A proposal on the line reaches angles that the prior has counted already: log p(x) came out 15 nats too large.
    angle = LatentVariableModel(VonMises(*torch.tensor([0.0, 0.5]).double()), lambda z: Normal(z, 1.0))
    x = torch.tensor([0.0, 8.0]).double()
    z = torch.linspace(-math.pi, math.pi, 100_001).double()
    exact = angle.log_joint(x, z[:, None]).logsumexp(0) + (z[1] - z[0]).log()
    found = importance_sampling(angle, Normal(0.3 * x, 2.0), x, 20_000, seed=0)
    assert ((found.log_evidence - exact).abs() < 5 * found.std_error).all()
    line = LatentVariableModel(Normal(torch.zeros(()).double(), 3.0), lambda z: Normal(z, 1.0))
    with pytest.raises(ValueError, match="q is VonMises with density zero at z"):
        importance_sampling(line, VonMises(*torch.tensor([0.0, 1.0]).double()), x, 100, seed=0)


def test_an_observed_angle_may_be_written_in_any_turn():
    model = LatentVariableModel(Normal(torch.zeros(()).double(), 1.0), lambda z: VonMises(z, 2.0 * torch.ones_like(z)))
    x, z = torch.tensor([4.0, -3.0, 3.1]).double(), torch.linspace(-2, 2, 3).double()
    expected = VonMises(z, torch.tensor(2.0).double()).log_prob(x)
    for turns in (-1, 0, 2):
        torch.testing.assert_close(model.log_likelihood(x + 2 * math.pi * turns, z), expected)
