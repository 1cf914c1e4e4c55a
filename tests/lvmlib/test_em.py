"""Expectation maximisation: the ELBO never falls, and the top is the one that others reach."""

from __future__ import annotations

import math

import models
import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch.distributions import Categorical, Independent, Normal

from lvmlib import (
    BernoulliMixture,
    GaussianMixture,
    LinearGaussian,
    data,
    expectation_maximization,
    kl_decomposition,
    m_step,
)

ROUNDING = 1e-9


def double_digits(**options):
    return data.digits("all", dtype=torch.float64, **options).images


def mixture_start(x, components):
    """Round components of one size around some of the images."""
    chosen = torch.randperm(len(x), generator=torch.Generator("cpu").manual_seed(0), device="cpu")[:components]
    covariances = 0.1 * torch.eye(x.shape[1], dtype=x.dtype).repeat(components, 1, 1)
    return GaussianMixture(torch.full((components,), 1 / components, dtype=x.dtype), x[chosen], covariances)


def coins_start(x, components):
    return BernoulliMixture(torch.full((components,), 1 / components, dtype=x.dtype), 0.25 + 0.5 * x[:components])


def ppca_start(x, latent_dim, noise_variance=1.0):
    return LinearGaussian(models.normals(x.shape[1], latent_dim, seed=0), x.mean(0), noise_variance)


STARTS = {
    "mixture": lambda: (mixture_start(double_digits()[:600], 4), double_digits()[:600], 1e-3),
    "coins": lambda: (coins_start(double_digits(binarize=True), 10), double_digits(binarize=True), 0.0),
    "coins, bounded": lambda: (coins_start(double_digits(binarize=True), 10), double_digits(binarize=True), 0.01),
    "ppca": lambda: (ppca_start(double_digits(), 5), double_digits(), 0.0),
    "factor analysis": lambda: (ppca_start(double_digits(), 5, torch.ones(64).double()), double_digits(), 1e-3),
}


@pytest.mark.parametrize("name", STARTS)
def test_elbo_never_falls_and_meets_the_evidence_after_every_e_step(name):
    start, x, regularization = STARTS[name]()
    result = expectation_maximization(start, x, max_iterations=25, tolerance=0.0, regularization=regularization)
    assert len(result.elbo) == 51
    assert result.elbo.diff().min() >= -ROUNDING
    assert result.elbo[-1] > result.elbo[0] + 1
    evidence = (start.log_evidence(x).mean(), result.model.log_evidence(x).mean())
    torch.testing.assert_close(result.elbo[[0, -1]], torch.stack(evidence), atol=1e-9, rtol=0)
    assert type(result.model) is type(start)


@pytest.mark.parametrize("components", [3, pytest.param(10, marks=pytest.mark.thorough)])
def test_mixture_reaches_the_optimum_of_scikit_learn_from_the_same_start(components):
    x = double_digits()
    start = mixture_start(x, components)
    result = expectation_maximization(start, x, max_iterations=300, tolerance=1e-7, regularization=1e-6)
    peer = SklearnMixture(
        components,
        reg_covar=1e-6,
        max_iter=300,
        tol=1e-7,
        weights_init=start.weights.cpu().numpy(),
        means_init=start.means.cpu().numpy(),
        precisions_init=np.linalg.inv(start.covariances.cpu().numpy()),
    ).fit(x.cpu().numpy())
    assert result.converged
    assert result.elbo[-1].item() == pytest.approx(peer.score(x.cpu().numpy()), abs=1e-4)
    np.testing.assert_allclose(result.model.means.cpu().numpy(), peer.means_, atol=1e-3)
    np.testing.assert_allclose(result.model.weights.cpu().numpy(), peer.weights_, atol=1e-3)


@pytest.mark.parametrize("latent_dim", [2, pytest.param(10, marks=pytest.mark.thorough)])
def test_ppca_reaches_the_closed_form_maximum(latent_dim):
    x = double_digits()
    result = expectation_maximization(ppca_start(x, latent_dim), x, max_iterations=1000, tolerance=1e-12)
    maximum = LinearGaussian.fit(x, latent_dim)
    assert result.converged
    assert result.elbo[-1].item() == pytest.approx(maximum.log_evidence(x).mean().item(), abs=1e-7)
    assert result.elbo[-1] <= maximum.log_evidence(x).mean() + ROUNDING
    covariance = result.model.weight @ result.model.weight.T
    torch.testing.assert_close(covariance, maximum.weight @ maximum.weight.T, atol=1e-4, rtol=0)


def test_ppca_finds_the_bias_from_a_wrong_one():
    x = double_digits()[:, 18:30]
    start = LinearGaussian(models.normals(12, 2, seed=0), torch.zeros(12).double(), 1.0)
    result = expectation_maximization(start, x, max_iterations=2000, tolerance=1e-13)
    best = LinearGaussian.fit(x, 2)
    assert result.elbo[-1].item() == pytest.approx(best.log_evidence(x).mean().item(), abs=1e-6)


def test_factor_analysis_reaches_the_optimum_of_scikit_learn():
    x = double_digits()
    x = x[:, x.std(0) > 0.1]
    start = LinearGaussian(models.normals(x.shape[1], 3, seed=0), x.mean(0), x.var(0, correction=0))
    result = expectation_maximization(start, x, max_iterations=1000, tolerance=1e-9)
    peer = FactorAnalysis(3, max_iter=2000, tol=1e-6, svd_method="lapack").fit(x.cpu().numpy())
    assert result.elbo[-1].item() == pytest.approx(peer.score(x.cpu().numpy()), abs=1e-4)


def test_bernoulli_mixture_recovers_the_coins_that_made_the_data():
    truth = BernoulliMixture(
        torch.tensor([0.3, 0.7], dtype=torch.float64), torch.tensor([[0.9] * 6, [0.2] * 6], dtype=torch.float64)
    )
    x, _ = truth.sample(20_000, seed=0)
    start = BernoulliMixture(
        torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([[0.6] * 6, [0.4] * 6], dtype=torch.float64)
    )
    model = expectation_maximization(start, x, tolerance=1e-10).model
    torch.testing.assert_close(model.probs, truth.probs, atol=5 * 0.5 / math.sqrt(0.3 * 20_000), rtol=0)
    torch.testing.assert_close(model.weights, truth.weights, atol=5 * 0.5 / math.sqrt(20_000), rtol=0)


@pytest.mark.parametrize("name", ["mixture", "bernoulli_mixture", "linear_gaussian"])
def test_m_step_is_a_stationary_point_of_the_elbo_for_any_q(name):
    """The gradient of the ELBO in every free parameter is zero after the M-step, and it was not before."""
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(200, seed=0)
    if name == "linear_gaussian":
        q = Independent(Normal(models.normals(200, 2, seed=1), 0.7), 1)
        free = {"weight": lambda p: p, "bias": lambda p: p, "noise_variance": lambda p: p}
    else:
        q = Categorical(models.table(200, 3, seed=1))
        # Weights live on the simplex: there the gradient is normal to it, so that its differences vanish.
        free = {"weights": lambda g: g - g.mean()}
        free |= {"probs": lambda g: g} if name == "bernoulli_mixture" else {"means": lambda g: g, "covariances": _sym}
    before = _gradients(model, q, x, free)
    after = _gradients(m_step(model, q, x), q, x, free)
    assert min(before.values()) > 1e-3
    assert max(after.values()) < 1e-9


def _sym(gradient):
    return gradient + gradient.mT


def _gradients(model, q, x, free):
    parameters = {name: getattr(model, name).clone().requires_grad_() for name in free}
    for name, parameter in parameters.items():
        setattr(model, name, parameter)
    kl_decomposition(model, q, x).elbo.mean().backward()
    return {name: free[name](parameter.grad).abs().max().item() for name, parameter in parameters.items()}


def test_m_step_leaves_a_component_without_observations_as_it_was():
    model = models.mixture()
    x, _ = model.sample(50, seed=0)
    table = torch.zeros(50, 3, dtype=torch.float64)
    table[:, 0] = 1
    better = m_step(model, Categorical(table), x)
    assert torch.equal(better.means[1:], model.means[1:])
    assert torch.equal(better.covariances[1:], model.covariances[1:])
    torch.testing.assert_close(better.means[0], x.mean(0))
    assert better.weights.tolist() == [1, 0, 0]


def test_a_component_on_one_point_is_told_to_regularise():
    x = double_digits()[:30]
    with pytest.raises(ValueError, match=r"regularization is 0.*expected.*raise regularization"):
        expectation_maximization(mixture_start(x, 3), x)
    assert expectation_maximization(mixture_start(x, 3), x, regularization=1e-3).elbo.isfinite().all()


def test_the_model_that_is_given_is_not_changed():
    start, x, _ = STARTS["ppca"]()
    before = {name: value.clone() for name, value in start.state_dict().items()}
    expectation_maximization(start, x, max_iterations=2)
    assert all(torch.equal(before[name], value) for name, value in start.state_dict().items())


# Data that are valid and awkward, and data that are not.


@pytest.mark.parametrize("seed", range(3))
def test_in_float32_the_elbo_never_falls_either(seed):
    x = (100 * models.normals(300, 4, seed=seed) + 1000).float()
    start = GaussianMixture(torch.ones(5) / 5, x[:5].clone(), (1e4 * torch.eye(4)).repeat(5, 1, 1))
    result = expectation_maximization(start, x, max_iterations=30, tolerance=0.0)
    assert (result.elbo.diff() >= 0).all()
    assert result.elbo.dtype == result.model.means.dtype == torch.float32


def gaussians(dim, dtype=torch.float64):
    means = torch.tensor([[0.0], [2.0]], dtype=dtype).expand(2, dim).clone()
    return GaussianMixture(torch.ones(2, dtype=dtype) / 2, means, torch.eye(dim, dtype=dtype).repeat(2, 1, 1))


def awkward(name, dtype):
    x = models.normals(100, 2, seed=3, dtype=dtype)
    if name == "a constant column":
        x[:, 1] = 0.1  # whose mean is not 0.1 once it is rounded
    elif name == "duplicates":
        x = x[:1].expand(50, 2).clone()
    elif name == "a single point":
        x = x[:1]
    elif name == "an outlier":
        x[0] = 1e8
    elif name == "columns of two scales":
        x = x * torch.tensor([1e6, 0.1], dtype=dtype) + torch.tensor([1e7, -1.0], dtype=dtype)
    return x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["a constant column", "duplicates", "a single point", "an outlier"])
def test_a_component_on_a_plane_is_an_error_or_is_regularised(name, dtype):
    x, start = awkward(name, dtype), gaussians(2, dtype)
    if name != "an outlier":
        with pytest.raises(
            ValueError, match=r"regularization is 0 .*expected.*raise regularization, for instance to 0\.001"
        ):
            expectation_maximization(start, x)
    for regularization in (1e-3, 10.0, 1e6):
        result = expectation_maximization(start, x, regularization=regularization)
        assert result.elbo.isfinite().all()
        assert (result.elbo.diff() >= -1e-12 * result.elbo.abs().max()).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_columns_of_any_scale_are_fitted(dtype):
    x = awkward("columns of two scales", dtype)
    centre = x.mean(0)
    start = GaussianMixture(
        torch.ones(1, dtype=dtype), centre[None], torch.diag(torch.tensor([1e12, 1e-2], dtype=dtype))[None]
    )
    result = expectation_maximization(start, x)
    torch.testing.assert_close(
        result.model.covariances[0], torch.cov(x.double().T, correction=0).to(dtype), rtol=1e-4, atol=0
    )
    line = LinearGaussian(torch.ones(2, 1, dtype=dtype), centre, torch.ones(2, dtype=dtype))
    assert (expectation_maximization(line, x, regularization=1e-3).elbo.diff() >= 0).all()


def test_a_component_without_observations_stays_where_it_is():
    start = GaussianMixture(torch.tensor([0.5, 0.5]), torch.tensor([[0.0], [1e6]]), torch.ones(2, 1, 1))
    x = models.normals(50, 1, seed=0).float()
    result = expectation_maximization(start, x)
    assert result.model.weights.tolist() == [1.0, 0.0]
    assert result.model.means[1].item() == 1e6
    assert (result.elbo.diff() >= 0).all()


@pytest.mark.parametrize("count", [1, 2])
def test_coins_learn_from_one_observation_and_constant_pixels(count):
    x = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])[:count]
    start = BernoulliMixture(torch.ones(2) / 2, torch.tensor([[0.3, 0.4, 0.6], [0.6, 0.5, 0.2]]))
    result = expectation_maximization(start, x)
    assert result.elbo.isfinite().all()
    assert result.model.posterior(x).probs.isfinite().all()
    assert result.model.log_evidence(x).isfinite().all()


@pytest.mark.parametrize(
    "start",
    [
        gaussians(3),
        BernoulliMixture(torch.ones(2).double() / 2, torch.ones(2, 3).double() / 2),
        ppca_start(torch.zeros(2, 3).double(), 1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_no_observation_is_an_error(start):
    none = torch.zeros(0, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"x has 0 rows: expected at least one"):
        expectation_maximization(start, none)
    with pytest.raises(ValueError, match=r"x has 0 rows: expected at least one"):
        m_step(start, start.posterior(none), none)


@pytest.mark.parametrize("regularization", [-1.0, math.nan, math.inf])
def test_a_regularisation_that_is_none_is_an_error(regularization):
    with pytest.raises(ValueError, match=r"regularization is .*expected a finite number of at least 0"):
        expectation_maximization(gaussians(2), awkward("", torch.float64), regularization=regularization)
    coins = BernoulliMixture(torch.ones(1).double(), torch.ones(1, 2).double() / 2)
    with pytest.raises(ValueError, match=r"regularization is 0\.7.*below 0\.5"):
        expectation_maximization(coins, torch.ones(3, 2).double(), regularization=0.7)


def test_infinity_in_the_data_is_an_error():
    x = awkward("", torch.float64)
    x[3, 1] = math.inf
    with pytest.raises(ValueError, match=r"x is inf at index \(3, 1\)"):
        expectation_maximization(gaussians(2), x)


def test_the_same_model_is_not_changed():
    x, start = awkward("", torch.float32), gaussians(2, torch.float32)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    expectation_maximization(start, x)
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())


@pytest.mark.parametrize(
    ("model", "q"),
    [
        (BernoulliMixture(torch.ones(2) / 2, torch.ones(2, 3) / 3), Categorical(torch.ones(5, 1))),
        (BernoulliMixture(torch.ones(2) / 2, torch.ones(2, 3) / 3), Categorical(torch.ones(5, 3))),
        (LinearGaussian(torch.ones(3, 1), torch.zeros(3), 1.0), Independent(Normal(torch.zeros(5, 2), 1.0), 1)),
    ],
)
def test_an_m_step_wants_a_q_over_the_z_of_the_model(model, q):
    with pytest.raises(ValueError, match=r"q is .* over a z of size .*expected .*that of the model's z"):
        m_step(model, q, torch.eye(5, 3))
