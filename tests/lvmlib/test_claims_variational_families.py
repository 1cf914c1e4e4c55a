"""The claims of chapter 8, tried on random models, and with a hypothesis dropped."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Laplace, MultivariateNormal, Normal

from lvmlib import (
    FiniteModel,
    GaussianMixture,
    LinearGaussian,
    QuadratureModel,
    expectation_maximization,
    kl,
    kl_decomposition,
    m_step,
)

SEEDS = range(10)


def precision_matrix(dim: int, seed: int) -> Tensor:
    factor = models.normals(dim, dim, seed=seed)
    return factor @ factor.T + 0.2 * torch.eye(dim).double()


def mean_field(precision: Tensor, centre: Tensor) -> Independent:
    return Independent(Normal(centre, precision.diagonal().rsqrt()), 1)


# Two maximisations.


@pytest.mark.vouches("prop-two-maximisations")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_pair_of_theta_and_q_is_maximum_likelihood_and_its_posterior(seed):
    """Theta is one of five finite models; q is any table, here each model's posterior and twenty others."""
    candidates = [models.finite(seed=seed + 10 * k) for k in range(5)]
    x = torch.tensor(seed % 4)
    evidence = torch.stack([model.log_evidence(x) for model in candidates])
    posteriors = [model.posterior(x) for model in candidates]
    tables = posteriors + [Categorical(models.table(3, seed=seed + 200 + k)) for k in range(20)]
    elbos = torch.stack([torch.stack([kl_decomposition(m, q, x).elbo for q in tables]) for m in candidates])
    torch.testing.assert_close(elbos.max(), evidence.max(), atol=1e-12, rtol=0)
    theta, q = divmod(int(elbos.argmax()), len(tables))
    assert theta == q == int(evidence.argmax())


@pytest.mark.vouches("prop-two-maximisations")
def test_over_a_family_the_gap_decides_between_models_of_equal_evidence():
    straight = LinearGaussian.fit(models.normals(200, 6, seed=0) @ models.normals(6, 6, seed=1), 3)
    turn = torch.linalg.qr(models.normals(3, 3, seed=2)).Q
    turned = LinearGaussian(straight.weight @ turn, straight.bias, straight.noise_variance)
    x = models.normals(6, seed=3)
    torch.testing.assert_close(straight.log_evidence(x), turned.log_evidence(x), atol=1e-9, rtol=0)
    gaps = []
    for model in (straight, turned):
        posterior = model.posterior(x)
        q = mean_field(posterior.precision_matrix, posterior.mean)
        parts = kl_decomposition(model, q, x)
        torch.testing.assert_close(parts.elbo, parts.log_evidence - parts.kl, atol=1e-9, rtol=0)
        gaps.append(parts.kl.item())
    assert gaps[0] < 1e-9 < 0.01 < gaps[1]


# Mean field.


@pytest.mark.vouches("thm-mean-field")
@pytest.mark.parametrize("seed", SEEDS)
def test_no_other_product_of_normals_is_nearer_to_a_gaussian_posterior(seed):
    precision, centre = precision_matrix(3, seed), models.normals(3, seed=seed + 50)
    posterior = MultivariateNormal(centre, precision_matrix=precision)
    best = mean_field(precision, centre)
    gap = kl(best, posterior)
    formula = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    torch.testing.assert_close(gap, formula, atol=1e-9, rtol=0)
    for k in range(20):
        shift = 0.3 * models.normals(2, 3, seed=1000 * seed + k)
        other = Independent(Normal(centre + shift[0], best.stddev * shift[1].exp()), 1)
        assert kl(other, posterior) > gap


@pytest.mark.vouches("thm-mean-field")
def test_products_of_other_shapes_with_the_same_variances_are_worse():
    """The optimum over all products is normal: Laplace factors of the same moments lose their difference in entropy."""
    precision, centre = precision_matrix(2, 3), models.normals(2, seed=4)
    posterior = MultivariateNormal(centre, precision_matrix=precision)
    best = mean_field(precision, centre)
    other = Independent(Laplace(centre, best.stddev / math.sqrt(2)), 1)
    estimate = kl(other, posterior, num_samples=200_000, seed=0)
    lost = (best.entropy() - other.entropy()).item()
    assert lost > 0
    assert abs(estimate.value - kl(best, posterior) - lost) < 5 * estimate.std_error


@pytest.mark.vouches("thm-mean-field")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_variance_kept_is_the_conditional_one_and_at_most_the_marginal_one(seed):
    precision = precision_matrix(4, seed)
    covariance = torch.linalg.inv(precision)
    for d in range(4):
        rest = [j for j in range(4) if j != d]
        explained = covariance[d, rest] @ torch.linalg.solve(covariance[rest][:, rest], covariance[rest, d])
        torch.testing.assert_close(1 / precision[d, d], covariance[d, d] - explained, atol=1e-9, rtol=1e-9)
        assert 1 / precision[d, d] < covariance[d, d]


@pytest.mark.vouches("thm-mean-field")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_coordinate_independent_of_the_others_keeps_its_variance_and_only_such_a_one(seed):
    precision = precision_matrix(3, seed)
    precision[0, 1:] = precision[1:, 0] = 0
    covariance = torch.linalg.inv(precision)
    torch.testing.assert_close(1 / precision[0, 0], covariance[0, 0], atol=1e-12, rtol=1e-12)
    assert 1 / precision[1, 1] < covariance[1, 1] - 1e-9


def test_without_a_gaussian_posterior_the_best_product_may_have_a_wrong_mean():
    """Of two modes the best product of normals takes one, far from the posterior's mean."""
    prior = Independent(Normal(torch.zeros(1).double(), torch.ones(1).double()), 1)
    fold = QuadratureModel(prior, lambda z: Normal(z[..., 0].abs(), 0.2))
    x = torch.tensor(1.5).double()

    def gap(mean, scale):
        return kl_decomposition(fold, Independent(Normal(*torch.tensor([[mean], [scale]]).double()), 1), x).kl

    assert abs(fold.posterior(x).mean) < 1e-9
    assert gap(1.44, 0.2) < 0.7 < min(gap(0.0, scale) for scale in (0.1, 0.3, 1.0, 1.5))


# The other direction, and one factor at a time.


@pytest.mark.vouches("prop-matching-marginals")
@pytest.mark.parametrize("seed", SEEDS)
def test_forward_kl_to_a_product_is_least_at_the_marginals(seed):
    joint = models.table(12, seed=seed).reshape(3, 4)
    marginals = joint.sum(1), joint.sum(0)

    def divergence(first, second):
        return (joint * (joint / torch.outer(first, second)).log()).sum()

    least = divergence(*marginals)
    for k in range(20):
        first, second = models.table(3, seed=100 * seed + k), models.table(4, seed=100 * seed + k + 50)
        split = least + kl(Categorical(marginals[0]), Categorical(first))
        split = split + kl(Categorical(marginals[1]), Categorical(second))
        torch.testing.assert_close(divergence(first, second), split, atol=1e-12, rtol=0)
        assert divergence(first, second) > least


@pytest.mark.vouches("prop-best-factor")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_factor_is_the_normalised_exponential_of_the_mean_log_joint(seed):
    log_joint = models.normals(3, 4, seed=seed)
    second = models.table(4, seed=seed + 1)

    def bound(first):
        q = torch.outer(first, second)
        return (q * (log_joint - q.log())).sum()

    best = (log_joint @ second).softmax(0)
    for k in range(20):
        other = models.table(3, seed=100 * seed + k)
        torch.testing.assert_close(
            bound(best) - bound(other), kl(Categorical(other), Categorical(best)), atol=1e-12, rtol=0
        )
        assert bound(other) < bound(best)


def sweeps(precision: Tensor, centre: Tensor, start: Tensor, count: int) -> Tensor:
    """The errors of the means after every update, written apart from the chapter's code: conditional means."""
    mean, errors = start.clone(), [start - centre]
    for _ in range(count):
        for d in range(len(mean)):
            rest = [j for j in range(len(mean)) if j != d]
            mean[d] = centre[d] - precision[d, rest] @ (mean[rest] - centre[rest]) / precision[d, d]
            errors.append(mean - centre)
    return torch.stack(errors)


@pytest.mark.vouches("prop-cavi-rate")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sweep_over_two_coordinates_shrinks_both_errors_by_the_squared_correlation(seed):
    precision, centre = precision_matrix(2, seed), models.normals(2, seed=seed + 20)
    covariance = torch.linalg.inv(precision)
    rate = covariance[0, 1].square() / (covariance[0, 0] * covariance[1, 1])
    errors = sweeps(precision, centre, models.normals(2, seed=seed + 40), 4)
    torch.testing.assert_close(errors[3, 0], rate * errors[1, 0], atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(errors[4], rate * errors[2], atol=1e-12, rtol=1e-9)


@pytest.mark.vouches("prop-cavi-rate", "prop-best-factor")
@pytest.mark.parametrize("dim", [2, 3, 6])
@pytest.mark.parametrize("seed", range(3))
def test_coordinate_ascent_never_falls_and_ends_at_the_best_product(dim, seed):
    precision, centre = precision_matrix(dim, seed), models.normals(dim, seed=seed + 20)
    posterior = MultivariateNormal(centre, precision_matrix=precision)
    means = centre + sweeps(precision, centre, 3 * models.normals(dim, seed=seed + 40), 2000)
    gaps = kl(Independent(Normal(means, precision.diagonal().rsqrt()), 1), posterior.expand((len(means),)))
    assert (gaps.diff() < 1e-9).all()
    torch.testing.assert_close(means[-1], centre, atol=1e-6, rtol=0)


# EM.


def cloud(seed: int) -> Tensor:
    return models.mixture(seed=seed).sample(60, seed=seed)[0]


STARTS = {
    "mixture": lambda seed: (models.mixture(seed=seed + 7), cloud(seed)),
    "bernoulli mixture": lambda seed: (
        models.bernoulli_mixture(seed=seed + 7),
        models.bernoulli_mixture(seed=seed).sample(60, seed=seed)[0],
    ),
    "factor analysis": lambda seed: (
        models.linear_gaussian(seed=seed + 7),
        models.linear_gaussian(seed=seed).sample(60, seed=seed)[0],
    ),
}


@pytest.mark.vouches("thm-em")
@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("seed", range(5))
def test_an_iteration_gains_at_least_what_its_m_step_gains(name, seed):
    model, x = STARTS[name](seed)
    q = model.posterior(x)
    after = m_step(model, q, x)
    floor = (after.expected_log_joint(q, x) - model.expected_log_joint(q, x)).mean()
    gain = (after.log_evidence(x) - model.log_evidence(x)).mean()
    assert 0 < floor < gain
    moved = after.posterior(x)
    # For tables from the logits, as a probability may be too small for float64.
    table = isinstance(q, Categorical)
    lost = (q.probs * (q.logits - moved.logits)).sum(-1) if table else kl(q, moved)
    torch.testing.assert_close(gain - floor, lost.mean(), atol=1e-9, rtol=0)


@pytest.mark.vouches("thm-em")
@pytest.mark.parametrize("seed", range(5))
def test_half_an_m_step_is_enough(seed):
    """Only the weights of the components are improved, and not even to their best values."""
    model, x = STARTS["mixture"](seed)
    shares = model.posterior(x).probs.mean(0)
    half = GaussianMixture((shares + model.weights) / 2, model.means, model.covariances)
    assert half.log_evidence(x).mean() > model.log_evidence(x).mean()


@pytest.mark.vouches("thm-em")
def test_where_the_evidence_stays_the_same_the_posteriors_do():
    model, x = STARTS["mixture"](2)
    end = expectation_maximization(model, x, max_iterations=5000, tolerance=0.0).model
    q = end.posterior(x)
    again = m_step(end, q, x)
    assert abs(again.log_evidence(x).mean() - end.log_evidence(x).mean()) < 1e-12
    assert again.kl_to_posterior(q, x).max() < 1e-9


def test_with_another_q_than_the_posterior_the_evidence_may_fall():
    """The hypothesis of the E-step dropped: at the optimum, an M-step for an arbitrary q goes down."""
    model, x = STARTS["mixture"](2)
    end = expectation_maximization(model, x, max_iterations=200).model
    arbitrary = Categorical(models.table(len(x), 3, seed=3))
    after = m_step(end, arbitrary, x)
    assert kl_decomposition(after, arbitrary, x).elbo.mean() > kl_decomposition(end, arbitrary, x).elbo.mean()
    assert after.log_evidence(x).mean() < end.log_evidence(x).mean()


def test_the_checker_is_given_an_m_step_for_the_chain_and_this_is_one():
    """Chapter 8 tells the checker p_theta'(z) = E_r(x)[p_theta(z | x)]: the best prior for a fixed likelihood."""
    model, data = models.finite(seed=2), models.table(4, seed=9)
    posteriors = model.posterior(torch.arange(4)).probs
    best = data @ posteriors

    def objective(prior):
        other = FiniteModel(prior, model.likelihood_table)
        return data @ other.expected_log_joint(Categorical(posteriors), torch.arange(4))

    for k in range(20):
        assert objective(models.table(3, seed=300 + k)) < objective(best)
