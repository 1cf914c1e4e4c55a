"""Every exact model against brute force, against scikit-learn, and against its own samples."""

from __future__ import annotations

import itertools
import math

import models
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch.distributions import Beta, Categorical, Independent, MultivariateNormal, Normal

from lvmlib import (
    BernoulliMixture,
    FiniteModel,
    GaussianMixture,
    LinearGaussian,
    MeanFieldGuide,
    QuadratureModel,
    data,
)

# The tests of samples below reject at this level; with fewer than ten of them a false alarm is rarer than 1e-6.
REJECT = 1e-7


def numpy_of(tensor):
    return tensor.detach().cpu().numpy()


def double_digits(split="all"):
    return data.digits(split, dtype=torch.float64).images


# Posterior and evidence against brute force.


def test_finite_evidence_and_posterior_equal_enumeration():
    model = models.finite(seed=5, num_z=4, num_x=3)
    prior, likelihood = numpy_of(model.prior_table), numpy_of(model.likelihood_table)
    for x in range(3):
        evidence = sum(prior[z] * likelihood[z, x] for z in range(4))
        posterior = [prior[z] * likelihood[z, x] / evidence for z in range(4)]
        assert model.log_evidence(torch.tensor(x)).item() == pytest.approx(math.log(evidence), abs=1e-12)
        assert model.posterior(torch.tensor(x)).probs.tolist() == pytest.approx(posterior, abs=1e-12)


def test_finite_model_keeps_exact_zeros():
    model = FiniteModel(torch.tensor([0.0, 1.0]), torch.tensor([[1.0, 0.0], [0.25, 0.75]]))
    assert model.posterior(torch.tensor(1)).probs.tolist() == [0.0, 1.0]
    assert model.log_joint(torch.tensor(0), torch.tensor(0)) == -torch.inf


@pytest.mark.parametrize("seed", range(3))
def test_mixture_evidence_and_posterior_equal_enumeration(seed):
    model = models.mixture(seed=seed)
    x = 2 * models.normals(5, 2, seed=seed)
    densities = np.stack(
        [
            weight * scipy.stats.multivariate_normal(mean, covariance).pdf(numpy_of(x))
            for weight, mean, covariance in zip(
                *map(numpy_of, (model.weights, model.means, model.covariances)), strict=True
            )
        ],
        axis=-1,
    )
    evidence = densities.sum(-1)
    np.testing.assert_allclose(numpy_of(model.log_evidence(x)), np.log(evidence), atol=1e-8, rtol=0)
    np.testing.assert_allclose(numpy_of(model.posterior(x).probs), densities / evidence[:, None], atol=1e-8, rtol=0)


def test_bernoulli_mixture_evidence_and_posterior_equal_enumeration():
    model = models.bernoulli_mixture(seed=2)
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    weights, probs = numpy_of(model.weights), numpy_of(model.probs)
    joint = weights * scipy.stats.bernoulli.pmf(numpy_of(x)[:, None].astype(int), probs).prod(-1)
    evidence = joint.sum(-1)
    assert evidence.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(numpy_of(model.log_evidence(x)), np.log(evidence), atol=1e-12, rtol=0)
    np.testing.assert_allclose(numpy_of(model.posterior(x).probs), joint / evidence[:, None], atol=1e-12, rtol=0)


def test_bernoulli_mixture_keeps_exact_zeros_and_ones():
    probs = torch.tensor([[0.0, 0.5], [1.0, 1.0]]).requires_grad_()
    model = BernoulliMixture(torch.tensor([0.5, 0.5]), probs)
    x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    assert model.log_evidence(x).exp().tolist() == [0.25, 0.5, 0.0]
    assert model.posterior(x[:2]).probs.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    model.log_evidence(x[:2]).sum().backward()
    assert probs.grad.isfinite().all()


@pytest.mark.vouches("thm-linear-gaussian")
@pytest.mark.parametrize("latent", [1, 2])
def test_linear_gaussian_evidence_and_posterior_equal_brute_force_quadrature(latent):
    model = models.linear_gaussian(seed=3, observed=3, latent=latent)
    x = models.normals(3, seed=9)
    weight, bias, noise = map(numpy_of, (model.weight, model.bias, model.noise_variance))
    axis = np.linspace(-9, 9, 901)
    step = axis[1] - axis[0]
    grid = np.stack(np.meshgrid(*[axis] * latent, indexing="ij"), -1).reshape(-1, latent)
    joint = scipy.stats.norm.pdf(grid).prod(-1) * scipy.stats.norm.pdf(
        numpy_of(x), grid @ weight.T + bias, np.sqrt(noise)
    ).prod(-1)
    evidence = joint.sum() * step**latent
    assert model.log_evidence(x).item() == pytest.approx(math.log(evidence), abs=1e-8)
    posterior = model.posterior(x)
    density = numpy_of(posterior.log_prob(torch.as_tensor(grid).to(x)).exp())
    np.testing.assert_allclose(density, joint / evidence, atol=1e-8, rtol=0)


@pytest.mark.parametrize("sizes", [(20, 10), (3, 5), (2, 1)])
@pytest.mark.parametrize(("x_batch", "z_batch"), [((), (50,)), ((7,), (50, 7)), ((7,), (50, 1)), ((2, 7), (50, 2, 1))])
def test_many_latents_are_weighed_in_the_plane_of_a_linear_gaussian(sizes, x_batch, z_batch):
    weight = torch.randn(sizes, dtype=torch.float64)
    model = LinearGaussian(weight, 1e3 * torch.randn_like(weight[:, 0]), 0.1 + torch.rand_like(weight[:, 0]))
    x, z = weight.new_empty(*x_batch, sizes[0]).normal_(), weight.new_empty(*z_batch, sizes[1]).normal_()
    with torch.no_grad():
        found = model.log_likelihood(x, z)
    torch.testing.assert_close(found, model.likelihood(z).log_prob(x))


def test_many_rows_are_scored_in_inference_mode():
    model, x = LinearGaussian(torch.randn(64, 10), torch.randn(64), 1.0), torch.randn(5_000, 64)
    with torch.inference_mode():
        assert torch.equal(model.log_evidence(x), model.log_evidence(x.clone()))


def test_linear_gaussian_evidence_is_stable_far_from_the_plane():
    """A sum of squares does not cancel: tiny noise and a distant x keep nine digits."""
    weight = models.normals(20, 3, seed=1)
    model = LinearGaussian(weight, 1e3 * torch.ones(20, dtype=torch.float64), 1e-6)
    x = 1e3 + weight @ models.normals(3, seed=2) + 1e-3 * models.normals(20, seed=3)
    covariance = numpy_of(weight @ weight.T) + 1e-6 * np.eye(20)
    residual = numpy_of(x) - 1e3
    expected = -0.5 * (
        residual @ np.linalg.solve(covariance, residual) + np.linalg.slogdet(covariance)[1] + 20 * np.log(2 * np.pi)
    )
    assert model.log_evidence(x).item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_beta_bernoulli_evidence_and_posterior_equal_quadrature(x):
    model = models.beta_bernoulli()
    observation = torch.tensor(x, dtype=torch.float64)

    def joint(z):
        return scipy.stats.beta.pdf(z, 2.0, 3.5) * scipy.stats.bernoulli.pmf(int(x), z)

    evidence, _ = scipy.integrate.quad(joint, 0, 1, epsabs=1e-13)
    assert model.log_evidence(observation).item() == pytest.approx(math.log(evidence), abs=1e-8)
    for z in (0.05, 0.4, 0.9):
        density = model.posterior(observation).log_prob(torch.tensor(z, dtype=torch.float64)).exp()
        assert density.item() == pytest.approx(joint(z) / evidence, abs=1e-8)


@pytest.mark.parametrize("x", [0.1, 1.0, 3.0])
def test_quadrature_evidence_equals_adaptive_quadrature_in_polar_coordinates(x):
    """The length r of a standard normal in the plane has density r exp(-r^2 / 2), so one dimension is enough."""
    model = models.radius_model(num_points=400)

    def joint(r):
        return r * math.exp(-r * r / 2) * scipy.stats.norm.pdf(x, r, 0.3)

    evidence, _ = scipy.integrate.quad(joint, 0, 12, epsabs=1e-13, limit=200)
    observation = torch.tensor(x, dtype=torch.float64)
    # The length has a kink at the origin, where a product rule converges like h^3.
    tolerance = 1e-8 if x > 2 else 2e-5
    assert model.log_evidence(observation).item() == pytest.approx(math.log(evidence), abs=tolerance)


@pytest.mark.parametrize("latent", [1, 2])
def test_quadrature_equals_the_closed_form_of_a_smooth_model(latent):
    truth = models.linear_gaussian(seed=6, observed=3, latent=latent)
    model = QuadratureModel(truth.prior, truth.likelihood)
    x, _ = truth.sample(4, seed=0)
    torch.testing.assert_close(model.log_evidence(x), truth.log_evidence(x), atol=1e-8, rtol=0)
    mine, theirs = model.posterior(x), truth.posterior(x)
    z = models.normals(6, 4, latent, seed=8)
    torch.testing.assert_close(mine.log_prob(z), theirs.log_prob(z), atol=1e-8, rtol=0)
    torch.testing.assert_close(mine.mean, theirs.mean, atol=1e-8, rtol=0)
    torch.testing.assert_close(mine.variance, theirs.variance, atol=1e-8, rtol=0)
    torch.testing.assert_close(mine.entropy(), theirs.entropy(), atol=1e-7, rtol=0)


def test_quadrature_takes_a_prior_on_an_interval():
    truth = models.beta_bernoulli()
    model = QuadratureModel(truth.prior, truth.likelihood)
    x = torch.tensor([0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(model.log_evidence(x), truth.log_evidence(x), atol=1e-8, rtol=0)


def test_quadrature_made_double_is_exact_to_double():
    model = QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(2 * z, 0.5)).double()
    x = models.normals(5, seed=1)
    exact = Normal(0.0, math.sqrt(4.25)).log_prob(x)
    torch.testing.assert_close(model.log_evidence(x), exact, atol=1e-8, rtol=0)


# The joint is a density.


def test_joint_of_finite_model_sums_to_one():
    model = models.finite()
    x, z = torch.meshgrid(torch.arange(4), torch.arange(3), indexing="ij")
    assert model.log_joint(x, z).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.vouches("thm-joint")
@pytest.mark.parametrize(
    "name", ["linear_gaussian", "mixture", "beta_bernoulli", pytest.param("quadrature", marks=pytest.mark.thorough)]
)
def test_joint_integrates_to_one(name):
    grid = torch.linspace(-14, 14, 1401, dtype=torch.float64)
    step = 28 / 1400
    if name == "linear_gaussian":
        model = models.linear_gaussian(seed=1, observed=1, latent=1)
        total = model.log_joint(grid[:, None], grid[:, None, None]).exp().sum() * step**2
    elif name == "mixture":
        model = models.mixture(seed=1, observed=1)
        total = model.log_joint(grid[:, None], torch.arange(3)[:, None]).exp().sum() * step
    elif name == "beta_bernoulli":
        model = models.beta_bernoulli()
        nodes, weights = (torch.as_tensor(a).to(grid) for a in np.polynomial.legendre.leggauss(200))
        x = torch.tensor([0.0, 1.0], dtype=torch.float64)
        total = (model.log_joint(x, (nodes[:, None] + 1) / 2).exp() * weights[:, None] / 2).sum()
    else:
        model = models.radius_model()
        x = torch.linspace(-4, 12, 201, dtype=torch.float64)
        total = model.log_evidence(x).exp().sum() * (16 / 200)
    assert total.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.vouches("thm-bayes")
@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_bayes_rule_holds_at_every_z(name):
    """log p(x, z) - log p(z | x) is log p(x), whatever z."""
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(3, seed=0)
    z = model.prior.sample((5, 1)).expand(5, 3, *model.prior.event_shape)
    constant = model.log_joint(x, z) - model.posterior(x).log_prob(z)
    torch.testing.assert_close(constant, model.log_evidence(x).expand(5, 3), atol=1e-9, rtol=0)


# Samples follow the joint.


@pytest.mark.vouches("thm-ancestral")
def test_samples_of_finite_model_follow_the_joint():
    model, n = models.finite(seed=2), 20_000
    x, z = model.sample(n, seed=0)
    counts = torch.bincount(z * 4 + x, minlength=12)
    joint = model.prior_table[:, None] * model.likelihood_table
    assert scipy.stats.chisquare(numpy_of(counts), n * numpy_of(joint).ravel()).pvalue > REJECT


@pytest.mark.vouches("thm-ancestral")
def test_samples_of_linear_gaussian_follow_the_joint():
    model = models.linear_gaussian(seed=4)
    x, z = model.sample(5000, seed=0)
    weight, noise = numpy_of(model.weight), np.diag(numpy_of(model.noise_variance))
    covariance = np.block([[np.eye(2), weight.T], [weight, weight @ weight.T + noise]])
    centred = np.concatenate([numpy_of(z), numpy_of(x - model.bias)], axis=1)
    white = np.linalg.solve(np.linalg.cholesky(covariance), centred.T)
    assert scipy.stats.kstest(white.ravel(), "norm").pvalue > REJECT
    assert scipy.stats.kstest((white**2).sum(0), scipy.stats.chi2(6).cdf).pvalue > REJECT


def test_samples_of_mixture_follow_the_joint():
    model, n = models.mixture(seed=4), 8000
    x, z = model.sample(n, seed=0)
    assert scipy.stats.chisquare(np.bincount(numpy_of(z)), n * numpy_of(model.weights)).pvalue > REJECT
    factors = np.linalg.cholesky(numpy_of(model.covariances))[numpy_of(z)]
    white = np.linalg.solve(factors, numpy_of(x - model.means[z])[..., None])
    assert scipy.stats.kstest(white.ravel(), "norm").pvalue > REJECT


def test_samples_of_beta_bernoulli_follow_the_joint():
    model, n = models.beta_bernoulli(), 8000
    x, z = model.sample(n, seed=0)
    assert scipy.stats.binomtest(int(x.sum()), n, 2.0 / 5.5).pvalue > REJECT
    for value in (0.0, 1.0):
        given = scipy.stats.beta(2.0 + value, 4.5 - value)
        assert scipy.stats.kstest(numpy_of(z[x == value]), given.cdf).pvalue > REJECT


@pytest.mark.thorough
def test_samples_of_quadrature_model_follow_its_evidence():
    model = models.radius_model()
    x, _ = model.sample(4000, seed=0)
    grid = torch.linspace(-2, 8, 201, dtype=torch.float64)
    density = numpy_of(model.log_evidence(grid).exp())
    cumulative = scipy.integrate.cumulative_trapezoid(density, numpy_of(grid), initial=0)
    uniform = np.interp(numpy_of(x), numpy_of(grid), cumulative)
    assert scipy.stats.kstest(uniform, "uniform").pvalue > REJECT


def test_samples_of_grid_posterior_follow_its_density():
    truth = models.linear_gaussian(seed=6, observed=3, latent=2)
    model = QuadratureModel(truth.prior, truth.likelihood)
    x, _ = truth.sample(1, seed=3)
    draws = model.posterior(x[0]).sample((4000,))
    posterior = truth.posterior(x[0])
    white = np.linalg.solve(numpy_of(posterior.scale_tril), numpy_of(draws - posterior.mean).T)
    assert scipy.stats.kstest(white.ravel(), "norm").pvalue > REJECT
    assert scipy.stats.kstest((white**2).sum(0), scipy.stats.chi2(2).cdf).pvalue > REJECT


# Real digits, against scikit-learn.


@pytest.mark.parametrize("latent_dim", [1, 10, 40])
def test_ppca_evidence_of_digits_equals_scikit_learn(latent_dim):
    x = double_digits()
    peer = PCA(latent_dim).fit(numpy_of(x))
    scale = np.sqrt(peer.explained_variance_ - peer.noise_variance_)
    model = LinearGaussian(
        *(torch.as_tensor(a).to(x) for a in (peer.components_.T * scale, peer.mean_, peer.noise_variance_))
    )
    np.testing.assert_allclose(numpy_of(model.log_evidence(x)), peer.score_samples(numpy_of(x)), atol=1e-6, rtol=0)


def test_factor_analysis_evidence_of_digits_equals_scikit_learn():
    x = double_digits()
    x = x[:, x.std(0) > 0]
    peer = FactorAnalysis(6, max_iter=200, tol=1e-3).fit(numpy_of(x))
    model = LinearGaussian(
        *(torch.as_tensor(a).to(x) for a in (peer.components_.T.copy(), peer.mean_, peer.noise_variance_))
    )
    np.testing.assert_allclose(numpy_of(model.log_evidence(x)), peer.score_samples(numpy_of(x)), atol=1e-6, rtol=0)


def test_mixture_evidence_and_responsibilities_of_digits_equal_scikit_learn():
    x = double_digits()
    peer = SklearnMixture(5, reg_covar=1e-3, max_iter=20, random_state=0, tol=1e-1).fit(numpy_of(x))
    model = GaussianMixture(*(torch.as_tensor(a).to(x) for a in (peer.weights_, peer.means_, peer.covariances_)))
    np.testing.assert_allclose(numpy_of(model.log_evidence(x)), peer.score_samples(numpy_of(x)), atol=1e-6, rtol=0)
    np.testing.assert_allclose(numpy_of(model.posterior(x).probs), peer.predict_proba(numpy_of(x)), atol=1e-8, rtol=0)


def test_fit_reaches_the_maximum_of_tipping_and_bishop():
    """Equation 8 of the paper gives the maximum from the eigenvalues alone; the gradient there is zero."""
    x, latent_dim = double_digits(), 7
    num_points, num_observed = x.shape
    model = LinearGaussian.fit(x, latent_dim)
    eigenvalues = np.linalg.eigvalsh(np.cov(numpy_of(x).T, bias=True))[::-1]
    noise = eigenvalues[latent_dim:].mean()
    maximum = (
        -num_points
        / 2
        * (
            num_observed * np.log(2 * np.pi)
            + np.log(eigenvalues[:latent_dim]).sum()
            + (num_observed - latent_dim) * np.log(noise)
            + num_observed
        )
    )
    assert model.log_evidence(x).sum().item() == pytest.approx(maximum, rel=1e-10)
    for name in ("weight", "bias", "noise_variance"):
        setattr(model, name, getattr(model, name).requires_grad_())
    model.log_evidence(x).mean().backward()
    for name in ("weight", "bias", "noise_variance"):
        gradient = getattr(model, name).grad.abs().max().item()
        assert gradient < 1e-8, f"{name} has the gradient {gradient}"


def test_fit_does_not_depend_on_the_order_of_the_data():
    x = double_digits()
    one, other = LinearGaussian.fit(x, 4), LinearGaussian.fit(x.flip(0), 4)
    torch.testing.assert_close(one.weight, other.weight, atol=1e-9, rtol=0)


# Expectations of the log-joint, the exact part of the ELBO.


@pytest.mark.parametrize(
    ("name", "q"),
    [
        ("finite", lambda: Categorical(models.table(3, seed=7))),
        ("mixture", lambda: Categorical(models.table(3, seed=7))),
        ("bernoulli_mixture", lambda: Categorical(models.table(3, seed=7))),
        ("linear_gaussian", lambda: Independent(Normal(models.normals(2, seed=7), 0.7 * torch.ones(2).double()), 1)),
        ("linear_gaussian", lambda: MeanFieldGuide(2).double()()),
        ("linear_gaussian", lambda: MultivariateNormal(models.normals(2, seed=7), torch.eye(2).double() + 0.5)),
        ("beta_bernoulli", lambda: Beta(torch.tensor(1.5).double(), torch.tensor(4.0).double())),
        ("quadrature", lambda: MultivariateNormal(0.5 * torch.ones(2).double(), 0.3 * torch.eye(2).double())),
    ],
)
def test_expected_log_joint_equals_its_monte_carlo_average(name, q):
    model, q = models.EXACT_MODELS[name](), q()
    x, _ = model.sample(3, seed=0)
    z = q.sample((50_000,))
    z = z[:, None].expand(len(z), 3, *q.event_shape)
    values = model.log_joint(x, z)
    error = values.std(0) / math.sqrt(len(values))
    assert ((model.expected_log_joint(q, x) - values.mean(0)).abs() < 5 * error + 1e-12).all()


def test_state_of_an_exact_model_survives_saving():
    model, other = models.linear_gaussian(seed=0), models.linear_gaussian(seed=5)
    x, _ = model.sample(3, seed=0)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.log_evidence(x), other.log_evidence(x))


def test_gradients_of_the_evidence_reach_every_parameter():
    prior = models.normals(3, seed=0).requires_grad_()
    likelihood = models.normals(3, 4, seed=1).requires_grad_()
    model = FiniteModel(prior.softmax(-1), likelihood.softmax(-1))
    model.log_evidence(torch.arange(4)).sum().backward()
    for parameter, (row, column) in itertools.product((prior, likelihood), [(0, 0)]):
        assert parameter.grad.abs().sum() > 0, (row, column)
    assert torch.autograd.gradcheck(
        lambda w: LinearGaussian(w, torch.zeros(3).double(), 0.5).log_evidence(models.normals(2, 3, seed=3)),
        models.normals(3, 2, seed=2).requires_grad_(),
    )
