"""Exact models at the edges: scales far apart, outliers, zeros, huge and tiny counts, no observation and one."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Beta, Categorical, Independent, MultivariateNormal, Normal

from lvmlib import (
    BernoulliMixture,
    BetaBernoulli,
    FiniteModel,
    GaussianMixture,
    LinearGaussian,
    QuadratureModel,
    defensive_mixture,
    eubo,
    importance_sampling,
    kl_decomposition,
    prior_monte_carlo,
)

DOUBLE = torch.float64
LOG_HALF = math.log(0.5)


def normals(*shape, seed=0, dtype=DOUBLE):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


# Linear-Gaussian models.


def exact_log_evidence(model, x):
    """In fifty digits, by the covariance of x."""
    with mpmath.workdps(50):
        weight, bias, noise, x = (
            mpmath.matrix(value.double().tolist())
            for value in (model.weight, model.bias, model.noise_variance.expand_as(model.bias), x)
        )
        covariance = weight * weight.T + mpmath.diag(list(noise))
        residual = x - bias
        distance = (residual.T * mpmath.lu_solve(covariance, residual))[0]
        return float(-0.5 * (distance + mpmath.log(mpmath.det(covariance)) + len(bias) * mpmath.log(2 * mpmath.pi)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("noise", [1e-10, 1e-8, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("gap", [1.0, 1e-2, 1e-4, 0.0])
def test_evidence_and_posterior_of_nearly_dependent_columns(dtype, noise, gap):
    weight = torch.tensor([[1.0, 1.0], [1.0, 1.0 + gap], [1.0, 1.0 - gap]], dtype=dtype)
    model = LinearGaussian(weight, torch.zeros(3, dtype=dtype), noise)
    x = torch.ones(3, dtype=dtype)
    precision = 2e-3 if dtype == torch.float32 else 1e-9
    assert model.log_evidence(x).item() == pytest.approx(exact_log_evidence(model, x), rel=precision, abs=precision)
    with mpmath.workdps(50):
        scaled = mpmath.matrix(weight.double().tolist())
        variance = mpmath.mpf(model.noise_variance.item())
        exact = mpmath.inverse(mpmath.eye(2) + scaled.T * scaled / variance)
    covariance = model.posterior(x).covariance_matrix.double()
    expected = torch.tensor([[float(exact[i, j]) for j in range(2)] for i in range(2)], dtype=DOUBLE)
    torch.testing.assert_close(covariance, expected, rtol=1e-4 if dtype == torch.float32 else 1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_columns_of_any_scale_are_fitted_to_the_maximum(dtype):
    """With the gradient zero and the likelihood that of the eigenvalues, in fifty digits."""
    scales = torch.tensor([1e6, 0.1, 1.0, 30.0], dtype=DOUBLE)
    x = (normals(200, 4) * scales + 5 * scales).to(dtype)
    model = LinearGaussian.fit(x, 2)
    with mpmath.workdps(50):
        rows = [[mpmath.mpf(v) for v in row] for row in x.double().tolist()]
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        centred = mpmath.matrix([[v - m for v, m in zip(row, means, strict=True)] for row in rows])
        eigenvalues = sorted(mpmath.eigsy(centred.T * centred / len(rows), eigvals_only=True), reverse=True)
        noise = sum(eigenvalues[2:]) / 2
    assert model.noise_variance.item() == pytest.approx(float(noise), rel=1e-6)
    lengths = model.weight.double().square().sum(0)
    assert lengths.tolist() == pytest.approx([float(value - noise) for value in eigenvalues[:2]], rel=1e-5)


def test_an_outlier_is_data():
    x = normals(100, 3)
    x[0] = 1e8
    model = LinearGaussian.fit(x, 1)
    assert model.noise_variance.item() == pytest.approx(1.0, rel=0.3)
    assert model.log_evidence(x).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1e6, 0.1, 1.0), (1e-9, 1e-9, 2e-9)])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_data_in_a_plane_are_refused(dtype, scales, rank):
    x = (normals(60, rank) @ normals(rank, 3, seed=1) * torch.tensor(scales).double() + 3).to(dtype)
    with pytest.raises(ValueError, match=r"x leaves the variance .*latent_dim = 2.*lower latent_dim"):
        LinearGaussian.fit(x, 2)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_data_whose_squares_the_dtype_cannot_hold_are_named(size):
    x = size * torch.randn(50, 3)
    with pytest.raises(ValueError, match=r"^x has the largest value .*expected numbers whose squares torch.float32"):
        LinearGaussian.fit(x, 1)
    fitted = LinearGaussian.fit(x.double() / size, 1)
    torch.testing.assert_close(LinearGaussian.fit(x.double(), 1).weight / size, fitted.weight)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_infinity_is_caught_where_nan_is(value):
    x = normals(5, 3)
    model = LinearGaussian.fit(x, 1)
    x[3, 1] = value
    name = "inf" if math.isinf(value) else "NaN"
    for call in (
        lambda: LinearGaussian.fit(x, 1),
        lambda: model.log_evidence(x),
        lambda: model.posterior(x),
        lambda: model.expected_log_joint(MultivariateNormal(torch.zeros(1).double(), torch.eye(1).double()), x),
        lambda: LinearGaussian(x.T, torch.zeros(3).double(), 1.0),
        lambda: GaussianMixture(torch.ones(1).double(), x[3:4], torch.eye(3).double()[None]),
    ):
        with pytest.raises(ValueError, match=rf"(?i){name}.*expected"):
            call()


def test_a_parameter_given_as_a_parameter_is_learnt_past_equal_columns():
    weight = torch.nn.Parameter(torch.eye(4, 2, dtype=DOUBLE))
    model = LinearGaussian(weight, torch.zeros(4, dtype=DOUBLE), 0.5)
    model.log_evidence(normals(3, 4)).sum().backward()
    assert weight.grad.isfinite().all()
    zero = torch.nn.Parameter(torch.zeros(4, 2, dtype=DOUBLE))
    LinearGaussian(zero, torch.zeros(4, dtype=DOUBLE), 0.5).log_evidence(normals(3, 4)).sum().backward()
    assert zero.grad.isfinite().all()


# Mixtures and tables.


@pytest.mark.parametrize("distance", [1e3, 1e8, 1e10])
def test_float32_compares_components_far_away_in_float64(distance):
    model = GaussianMixture(torch.ones(2) / 2, torch.tensor([[0.0], [1.0]]), torch.ones(2, 1, 1) * 1e-6)
    assert model.posterior(torch.tensor([[distance], [-distance]])).probs.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("distance", [1e17, 1e25, 1e38])
def test_components_that_underflow_together_are_an_error_that_says_so(distance):
    model = GaussianMixture(torch.ones(2) / 2, torch.tensor([[0.0], [1.0]]), torch.ones(2, 1, 1) * 1e-6)
    with pytest.raises(ValueError, match=r"x is \[.*\] at index \(1,\), where the density underflows.*expected"):
        model.posterior(torch.tensor([[0.3], [distance]]))


def test_a_single_component_has_every_observation():
    model = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1) * 1e-6)
    assert model.posterior(torch.tensor([[1e30]])).probs.tolist() == [[1.0]]


def test_a_component_of_weight_zero_takes_nothing():
    model = GaussianMixture(torch.tensor([1.0, 0.0]), torch.tensor([[0.0], [9.0]]), torch.ones(2, 1, 1))
    assert model.posterior(torch.tensor([[9.0], [1e6]])).probs.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    coins = BernoulliMixture(torch.tensor([1.0, 0.0]), torch.tensor([[0.0], [1.0]]))
    assert coins.log_evidence(torch.tensor([[0.0], [1.0]])).tolist() == [0.0, -math.inf]
    with pytest.raises(ValueError, match=r"x is \[1\.0\] at index \(0,\), where p\(x\) = 0"):
        coins.posterior(torch.ones(1, 1))


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1e6, 0.1), (1e-8, 1e8)])
def test_covariances_of_any_scale_are_taken(scales):
    deviations = torch.tensor(scales)
    covariance = torch.tensor([[1.0, 0.5], [0.5, 1.0]]) * deviations[:, None] * deviations
    model = GaussianMixture(torch.ones(1), torch.zeros(1, 2), covariance[None])
    exact = scipy.stats.multivariate_normal(cov=[[1, 0.5], [0.5, 1]]).logpdf([1, -1]) - np.log(scales).sum()
    assert model.log_evidence(torch.tensor([1.0, -1.0]) * deviations).item() == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        ([[1.0, 1.0], [1.0, 1.0]], r"matrix \(0,\) of covariances has the eigenvalue"),
        ([[1e12, 0.3], [0.1, 1e-4]], r"differs from its transpose"),
        ([[1.0, 0.0], [0.0, math.inf]], r"covariances is inf at index \(0, 1, 1\)"),
    ],
)
def test_what_is_no_covariance_is_refused(covariance, message):
    with pytest.raises(ValueError, match=message + r".*expected"):
        GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([covariance]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_matrix_that_cannot_be_factored_says_which_dtype_can(dtype):
    with pytest.raises(TypeError, match=r"float32 or float64"):
        GaussianMixture(torch.ones(1, dtype=dtype), torch.zeros(1, 2, dtype=dtype), torch.eye(2, dtype=dtype)[None])


def test_tiny_probabilities_of_coins_keep_their_digits():
    probs = torch.tensor([[1e-20, 1e-9]])
    model = BernoulliMixture(torch.ones(1), probs)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    exact = [math.log(1e-20) - 1e-9, math.log(1e-9) - 1e-20, -1e-9]
    assert model.log_evidence(x).tolist() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_no_observation_and_one(count):
    models = {
        "finite": (
            FiniteModel(torch.tensor([0.3, 0.7]), torch.tensor([[1.0, 0.0], [0.5, 0.5]])),
            torch.zeros(count).long(),
        ),
        "mixture": (
            GaussianMixture(torch.ones(2) / 2, torch.zeros(2, 3), torch.eye(3).repeat(2, 1, 1)),
            torch.zeros(count, 3),
        ),
        "coins": (BernoulliMixture(torch.ones(2) / 2, torch.ones(2, 3) / 3), torch.zeros(count, 3)),
        "line": (LinearGaussian(torch.ones(3, 1), torch.zeros(3), 1.0), torch.zeros(count, 3)),
        "coin": (BetaBernoulli(2.0, 3.0), torch.zeros(count)),
    }
    for name, (model, x) in models.items():
        assert model.log_evidence(x).shape == (count,), name
        posterior = model.posterior(x)
        assert posterior.batch_shape == (count,), name
        assert model.expected_log_joint(posterior, x).shape == (count,), name
        assert model.log_joint(x, posterior.sample()).shape == (count,), name


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_estimates_without_observations_are_empty(shape):
    coin, line = BetaBernoulli(2.0, 3.0), LinearGaussian(torch.ones(3, 1), torch.zeros(3), 1.0)
    for model, x in ((coin, torch.zeros(shape)), (line, torch.zeros(*shape, 3))):
        assert prior_monte_carlo(model, x, 100).smoothed_log_evidence.shape == shape
        assert importance_sampling(model, model.posterior, x, 100).log_evidence.shape == shape
        mixed = defensive_mixture(model.posterior, model)
        assert importance_sampling(model, mixed, x, 100).log_evidence.shape == shape
        bound = eubo(model, model.posterior, x, model.posterior(x).sample((4,)))
        assert bound.shape == bound.std_error.shape == shape
        assert "nan" not in repr(bound)


def with_other_shapes():
    """Exact models with three observations, and a q that fits them but for its batch shape, which is asked for."""
    x, binary = torch.ones(3, 2), torch.ones(3)
    return {
        "finite": (
            FiniteModel(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])),
            torch.tensor([0, 1, 0]),
            lambda batch: Categorical(torch.ones(*batch, 2)),
        ),
        "line": (
            LinearGaussian(torch.ones(2, 1), torch.zeros(2), 1.0),
            x,
            lambda batch: Independent(Normal(torch.zeros(*batch, 1), 1.0), 1),
        ),
        "coin": (BetaBernoulli(1.0, 2.0), binary, lambda batch: Beta(torch.ones(batch), torch.ones(batch))),
        "grid": (
            QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0)),
            binary,
            lambda batch: Normal(torch.zeros(batch), 1.0),
        ),
    }


@pytest.mark.parametrize("name", ["finite", "line", "coin", "grid"])
@pytest.mark.parametrize("batch", [(1,), (2,), (1, 3), (3, 3)])
def test_a_q_of_another_batch_shape_is_not_broadcast(name, batch):
    model, x, q = with_other_shapes()[name]
    for expectation in (model.expected_log_joint, model.kl_to_posterior):
        assert expectation(q(()), x).shape == expectation(q((3,)), x).shape == (3,)
        with pytest.raises(ValueError, match=rf"q is .*batch shape \({batch[0]},.*x has batch shape \(3,\): expected"):
            expectation(q(batch), x)


@pytest.mark.parametrize(
    ("q", "words"),
    [
        (Normal(torch.zeros(3), 1.0), r"expected event shape \(1,\)"),
        (Independent(Normal(torch.zeros(2), 1.0), 1), r"expected event shape \(1,\)"),
        (Independent(Normal(torch.zeros(1).double(), 1.0), 1), "q has dtype torch.float64: expected torch.float32"),
    ],
)
def test_a_q_over_another_z_is_refused(q, words):
    model = LinearGaussian(torch.ones(2, 1), torch.zeros(2), 1.0)
    for expectation in (model.expected_log_joint, model.kl_to_posterior):
        with pytest.raises((TypeError, ValueError), match=words):
            expectation(q, torch.ones(3, 2))


@pytest.mark.parametrize(("table", "elbo"), [([1.0], -0.8), ([0.5, 0.5, 0.0], None), ([0.5, 0.25, 0.25], -math.inf)])
def test_a_table_with_more_or_fewer_values_than_z(table, elbo):
    model = FiniteModel(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    x, q = torch.tensor(0), Categorical(torch.tensor(table))
    log_joint = torch.tensor([0.45, 0.1]).log()
    exact = {
        -0.8: log_joint[0],
        None: (log_joint + math.log(2)).mean(),
        -math.inf: torch.tensor(-math.inf),
    }[elbo]
    found = kl_decomposition(model, q, x)
    torch.testing.assert_close(found.elbo, exact)
    torch.testing.assert_close(found.kl, found.log_evidence - exact)


# Beta counts.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("a", "b"), [(1e6, 1e6), (1e6, 1e-6), (1e-20, 1e-20), (3e7, 1.0), (0.3, 1e10), (1e-30, 1e30)])
def test_evidence_elbo_and_kl_of_any_counts_agree(dtype, a, b):
    model = BetaBernoulli(torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype))
    x = torch.tensor([1.0, 0.0], dtype=dtype)
    exact = [float(mpmath.log(mpmath.mpf(n) / (mpmath.mpf(a) + mpmath.mpf(b)))) for n in (a, b)]
    assert model.log_evidence(x).tolist() == pytest.approx(exact, rel=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [0.5, 20.0, 1e4, 1e6])
def test_the_elbo_at_the_posterior_of_large_counts_is_the_evidence(dtype, count):
    model = BetaBernoulli(torch.tensor(count, dtype=dtype), torch.tensor(2 * count, dtype=dtype))
    x = torch.tensor([1.0, 0.0], dtype=dtype)
    split = kl_decomposition(model, model.posterior(x), x)
    torch.testing.assert_close(split.elbo, split.log_evidence, atol=2e-6, rtol=2e-6)
    estimate = importance_sampling(model, model.posterior(x), x, 100, seed=0)
    torch.testing.assert_close(estimate.log_evidence, split.log_evidence, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("a", "b"), [(1e-3, 3e-3), (1e-6, 1e-6), (0.01, 1.0), (1.0, 0.01), (1e-3, 50.0)])
def test_draws_of_tiny_counts_have_the_right_mean_and_stay_inside(a, b):
    model = BetaBernoulli(a, b)
    torch.manual_seed(0)
    z = model.prior.sample((40_000,))
    assert (z > 0).all()
    assert (z < 1).all()
    mean = a / (a + b)
    error = math.sqrt(mean * (1 - mean) / (1 + a + b) / len(z))
    assert z.mean().item() == pytest.approx(mean, abs=5 * error)
    estimate = prior_monte_carlo(model, torch.ones(()), 100_000, seed=0)
    assert estimate.log_evidence.exp().item() == pytest.approx(mean, abs=5 * error)


def test_draws_of_a_beta_follow_it_and_carry_gradients():
    model = BetaBernoulli(torch.tensor(0.7, dtype=DOUBLE).requires_grad_(), torch.tensor(2.5, dtype=DOUBLE))
    torch.manual_seed(0)
    z = model.prior.rsample((20_000,))
    assert scipy.stats.kstest(z.detach().cpu().numpy(), scipy.stats.beta(0.7, 2.5).cdf).pvalue > 1e-7
    (gradient,) = torch.autograd.grad(z.mean(), model.a)
    assert gradient.item() == pytest.approx(2.5 / 3.2**2, rel=0.1)


def test_a_posterior_is_a_beta_for_everybody():
    posterior = BetaBernoulli(2.0, 3.0).posterior(torch.tensor([1.0, 0.0]))
    assert isinstance(posterior, Beta)
    wide = posterior.expand((4, 2))
    assert wide.log_prob(torch.full((4, 2), 0.3)).shape == (4, 2)
    torch.testing.assert_close(torch.distributions.kl_divergence(wide, posterior), torch.zeros(4, 2))


def test_an_outlier_does_not_make_data_a_plane():
    torch.manual_seed(0)
    x = torch.randn(200, 4)
    x[0] = 1e8
    assert 0.8 < LinearGaussian.fit(x, 1).noise_variance < 1.3
    plane = 1e3 * torch.randn(300, 2) @ torch.randn(2, 5) + 1e3
    with pytest.raises(ValueError, match="x leaves the variance"):
        LinearGaussian.fit(plane, 2)
