"""The claims of chapter 2, tried on random models, and with a hypothesis dropped."""

from __future__ import annotations

import math

import models
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.distributions import MultivariateNormal

from lvmlib import FiniteModel, LinearGaussian


@pytest.mark.vouches("thm-bayes")
@pytest.mark.parametrize("seed", range(20))
def test_bayes_rule_normalises_prior_times_likelihood_over_z(seed):
    num_z, num_x = 2 + seed % 4, 2 + seed % 3
    model = models.finite(seed=seed, num_z=num_z, num_x=num_x)
    product = model.prior_table[:, None] * model.likelihood_table
    posterior = model.posterior(torch.arange(num_x)).probs
    torch.testing.assert_close(posterior, (product / product.sum(0)).T, atol=1e-12, rtol=0)
    # Over x, the other variable, the same product is normalised to the likelihood.
    assert not torch.allclose(posterior, (product / product.sum(1, keepdim=True)).T, atol=1e-3)


def test_an_observation_of_probability_zero_has_no_posterior():
    likelihood = torch.tensor([[0.4, 0.6, 0.0], [0.5, 0.5, 0.0]]).double()
    model = FiniteModel(torch.tensor([0.3, 0.7]).double(), likelihood)
    assert model.log_evidence(torch.tensor(2)) == -torch.inf
    with pytest.raises(ValueError, match="x is 2"):
        model.posterior(torch.tensor(2))


@pytest.mark.vouches("prop-fisher")
@pytest.mark.parametrize("seed", range(10))
def test_the_gradient_of_the_evidence_is_an_average_under_the_posterior(seed):
    num_z = 3
    parameters = models.normals(num_z + num_z * 4, seed=seed).requires_grad_()
    model = FiniteModel(parameters[:num_z].softmax(-1), parameters[num_z:].view(num_z, 4).softmax(-1))
    x = torch.tensor(seed % 4)
    (left,) = torch.autograd.grad(model.log_evidence(x), parameters, retain_graph=True)
    scores = torch.stack(
        [
            torch.autograd.grad(model.log_joint(x, torch.tensor(z)), parameters, retain_graph=True)[0]
            for z in range(num_z)
        ]
    )
    posterior = model.posterior(x).probs.detach()
    torch.testing.assert_close(posterior @ scores, left, atol=1e-12, rtol=0)
    # Under the prior, the same average is another number.
    assert not torch.allclose(model.prior_table.detach() @ scores, left, atol=1e-3)


@pytest.mark.vouches("prop-fisher")
def test_the_gradient_of_a_gaussian_evidence_is_an_average_under_the_posterior():
    weight = models.normals(3, 1, seed=2).requires_grad_()
    model = LinearGaussian(weight, models.normals(3, seed=3), torch.tensor(0.4, dtype=models.DOUBLE))
    x = models.normals(3, seed=4)
    (left,) = torch.autograd.grad(model.log_evidence(x), weight)
    nodes = torch.linspace(-10, 10, 801, dtype=models.DOUBLE)[:, None]
    density = model.posterior(x).log_prob(nodes).exp().detach()
    (right,) = torch.autograd.grad((density * model.log_joint(x, nodes)).sum() * 20 / 800, weight)
    torch.testing.assert_close(right, left, atol=1e-9, rtol=0)


def test_where_the_support_moves_with_the_parameter_the_average_misses_the_boundary():
    """For z uniform on (0, theta), derivative and integral do not exchange: the boundary z = theta adds a term."""
    theta, x, s = 1.3, 0.9, 0.5

    def evidence(top: float) -> float:
        return scipy.integrate.quad(lambda z: scipy.stats.norm.pdf(x, z, s) / top, 0, top, epsabs=1e-13)[0]

    step = 1e-5
    gradient = (math.log(evidence(theta + step)) - math.log(evidence(theta - step))) / (2 * step)
    average = -1 / theta  # the derivative of log p(x, z) = -log(theta) + log p(x | z), the same at every z
    boundary = scipy.stats.norm.pdf(x, theta, s) / theta / evidence(theta)
    assert gradient == pytest.approx(average + boundary, abs=1e-7)
    assert boundary > 0.1


@pytest.mark.vouches("thm-linear-gaussian")
@pytest.mark.parametrize("seed", range(10))
def test_the_posterior_and_the_evidence_of_the_theorem_multiply_to_the_joint(seed):
    """With any positive definite noise: p(z | x) p(x) = p(x | z) p(z) at random x and z, all four densities normal."""
    observed, latent = 3 + seed % 2, 1 + seed % 3
    weight, bias = models.normals(observed, latent, seed=seed), models.normals(observed, seed=seed + 100)
    factor = models.normals(observed, observed, seed=seed + 200)
    noise = factor @ factor.mT + 0.2 * torch.eye(observed).double()
    x, z = models.normals(5, observed, seed=seed + 300), models.normals(5, latent, seed=seed + 400)
    zero, identity = torch.zeros(latent).double(), torch.eye(latent).double()

    precision = identity + weight.mT @ torch.linalg.solve(noise, weight)
    mean = torch.linalg.solve(precision, weight.mT @ torch.linalg.solve(noise, (x - bias).mT)).mT
    posterior = MultivariateNormal(mean, precision_matrix=precision)
    evidence = MultivariateNormal(bias, weight @ weight.mT + noise)
    joint = MultivariateNormal(zero, identity).log_prob(z) + MultivariateNormal(z @ weight.mT + bias, noise).log_prob(x)
    torch.testing.assert_close(posterior.log_prob(z) + evidence.log_prob(x), joint, atol=1e-8, rtol=0)


@pytest.mark.parametrize("noise", [0.0, -0.5])
def test_noise_that_is_not_positive_definite_is_refused(noise):
    with pytest.raises(ValueError, match="noise_variance"):
        LinearGaussian(models.normals(3, 2, seed=0), torch.zeros(3).double(), noise)
