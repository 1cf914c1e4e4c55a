"""Every kind of q becomes one Distribution for each x; Laplace is exact where the posterior is Gaussian."""

from __future__ import annotations

import models
import pytest
import torch
import zuko
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from lvmlib import (
    AmortizedGuide,
    LatentVariableModel,
    MeanFieldGuide,
    elbo,
    importance_sampling,
    kl,
    laplace_approximation,
    log_weights,
)
from lvmlib._closed_forms import DiagonalNormal


def test_a_bare_distribution_is_expanded_to_every_x():
    model = models.linear_gaussian()
    x, _ = model.sample(6, seed=0)
    q = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    assert log_weights(model, q, x.reshape(2, 3, 4), 5).shape == (5, 2, 3)


def test_an_amortized_guide_reads_means_and_log_scales_off_its_encoder():
    encoder = nn.Linear(4, 6).double()
    x = models.normals(5, 4, seed=0)
    q = AmortizedGuide(encoder)(x)
    torch.testing.assert_close(q.mean, encoder(x)[:, :3])
    torch.testing.assert_close(q.stddev, encoder(x)[:, 3:].exp())
    assert q.batch_shape == (5,)
    assert q.event_shape == (3,)


def test_a_mean_field_guide_learns_the_posterior_of_a_factorised_model():
    """One latent dimension, so the mean-field family holds the posterior and the gap closes."""
    model = models.linear_gaussian(seed=2, latent=1)
    x, _ = model.sample(3, seed=0)
    guide = MeanFieldGuide(1, batch_shape=(3,)).double()
    for learning_rate in (0.05, 0.002):
        optimiser = torch.optim.Adam(guide.parameters(), lr=learning_rate)
        for _ in range(300):
            optimiser.zero_grad()
            (-elbo(model, guide, x, 32)).sum().backward()
            optimiser.step()
    posterior = model.posterior(x)
    torch.testing.assert_close(guide(x).mean, posterior.mean, atol=0.03, rtol=0)
    gap = model.log_evidence(x) - elbo(model, guide, x, 2000)
    assert (gap < 0.01).all()


@pytest.mark.parametrize("flow", [zuko.flows.NSF, zuko.flows.MAF])
def test_a_conditional_flow_of_zuko_is_a_guide_as_it_is(flow):
    model = models.linear_gaussian(dtype=torch.float32)
    x, _ = model.sample(3, seed=0)
    guide = flow(features=2, context=4, transforms=1, hidden_features=(8,)).to(x.device)
    log_w = log_weights(model, guide, x, 7)
    assert log_w.shape == (7, 3)
    log_w.mean().backward()
    assert all(parameter.grad is not None for parameter in guide.parameters())


def test_laplace_is_the_posterior_of_a_linear_gaussian_model():
    model = models.linear_gaussian(seed=1, observed=5, latent=3)
    x, _ = model.sample(8, seed=0)
    q, posterior = laplace_approximation(model, x), model.posterior(x)
    torch.testing.assert_close(q.mean, posterior.mean, atol=1e-9, rtol=0)
    torch.testing.assert_close(q.covariance_matrix, posterior.covariance_matrix, atol=1e-9, rtol=0)


def test_laplace_of_a_logistic_model_has_the_mode_and_curvature_found_by_hand():
    """One coin with log-odds z and a standard normal prior: the mode solves z = x - sigmoid(z)."""
    prior = Independent(Normal(torch.zeros(1).double(), torch.ones(1).double()), 1)
    model = LatentVariableModel(prior, lambda z: torch.distributions.Bernoulli(logits=z[..., 0]))
    x = torch.tensor([0.0, 1.0], dtype=torch.float64)
    q = laplace_approximation(model, x)
    mode = q.mean[:, 0]
    torch.testing.assert_close(mode, x - mode.sigmoid(), atol=1e-8, rtol=0)
    torch.testing.assert_close(1 / q.variance[:, 0], 1 + mode.sigmoid() * (1 - mode.sigmoid()), atol=1e-8, rtol=0)


def test_laplace_climbs_to_a_mode_of_a_ring_from_where_it_starts():
    prior = Independent(Normal(torch.zeros(2).double(), torch.ones(2).double()), 1)
    model = LatentVariableModel(prior, lambda z: Normal((z - 0.3).square().sum(-1), 0.3))
    x = torch.tensor([3.0, 4.0], dtype=torch.float64)
    q = laplace_approximation(model, x, initial=torch.tensor([[-1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64))
    z = q.mean.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model.log_joint(x, z).sum(), z)
    assert gradient.abs().max() < 1e-5
    assert (torch.linalg.eigvalsh(q.precision_matrix) > 0).all()


def test_laplace_as_a_proposal_beats_the_prior():
    model = models.linear_gaussian(seed=1, observed=12, latent=3)
    x, _ = model.sample(4, seed=0)
    laplace = importance_sampling(model, laplace_approximation(model, x), x, 100, seed=0)
    prior = importance_sampling(model, model.prior, x, 100, seed=0)
    assert (laplace.ess > 99.9).all()
    assert (prior.ess < 50).all()


def test_the_diagonal_normal_of_a_guide_is_that_of_torch():
    loc, scale = models.normals(3, 2, seed=0).requires_grad_(), models.normals(3, 2, seed=1).exp().requires_grad_()
    ours, theirs = DiagonalNormal(loc, scale), Independent(Normal(loc, scale), 1)
    z = models.normals(5, 3, 2, seed=2)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    for one, two in zip(*(torch.autograd.grad(q.log_prob(z).sum(), [loc, scale]) for q in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, two)
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(kl(ours, theirs), torch.zeros(3).double())
    wider = ours.expand((4, 3))
    assert wider.log_prob(models.normals(4, 3, 2, seed=3)).shape == (4, 3)
