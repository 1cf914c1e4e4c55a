"""The ELBO: three forms of one number, exact and without variance at the posterior."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch.distributions import Independent, Normal

from lvmlib import elbo, kl_decomposition

FORMS = ("joint", "prior_kl", "entropy")


@pytest.mark.parametrize("name", models.EXACT_MODELS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_averages_to_the_exact_elbo(name, form):
    model, q = models.EXACT_MODELS[name](), models.EXACT_GUIDES[name]()
    x, _ = model.sample(3, seed=0)
    exact = kl_decomposition(model, q, x).elbo
    values = torch.stack([elbo(model, q, x, 100, form=form) for _ in range(100)])
    error = values.std(0) / math.sqrt(len(values))
    assert ((values.mean(0) - exact).abs() < 5 * error + 1e-9).all()


@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_elbo_equals_evidence_without_variance_at_the_posterior(name):
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(4, seed=0)
    for _ in range(3):
        torch.testing.assert_close(elbo(model, model.posterior, x, 1), model.log_evidence(x), atol=1e-9, rtol=0)


def test_one_draw_of_each_form_equals_the_formula_by_hand():
    model = models.linear_gaussian()
    x, _ = model.sample(2, seed=0)
    mean, scale = models.normals(2, seed=3), 0.5 * torch.ones(2).double()
    q = Independent(Normal(mean, scale), 1)
    torch.manual_seed(1)
    z = q.expand((2,)).rsample((6,))
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_likelihood = Normal(z @ model.weight.T + model.bias, model.noise_variance.sqrt()).log_prob(x).sum(-1)
    log_q = Normal(mean, scale).log_prob(z).sum(-1)
    prior_kl = 0.5 * (scale**2 + mean**2 - 1 - 2 * scale.log()).sum()
    entropy = (0.5 * math.log(2 * math.pi * math.e) + scale.log()).sum()
    by_hand = {
        "joint": (log_likelihood + log_prior - log_q).mean(0),
        "prior_kl": log_likelihood.mean(0) - prior_kl,
        "entropy": (log_likelihood + log_prior).mean(0) + entropy,
    }
    for form in FORMS:
        torch.manual_seed(1)
        torch.testing.assert_close(elbo(model, q, x, 6, form=form), by_hand[form])


def test_gradients_reach_the_model_and_the_guide():
    weight = models.normals(4, 2, seed=0).requires_grad_()
    from lvmlib import LinearGaussian, MeanFieldGuide

    model = LinearGaussian(weight, torch.zeros(4).double(), 0.5)
    guide = MeanFieldGuide(2).double()
    x = models.normals(3, 4, seed=2)
    for form in FORMS:
        weight.grad = None
        guide.zero_grad()
        elbo(model, guide, x, 5, form=form).sum().backward()
        assert weight.grad.abs().sum() > 0
        assert all(parameter.grad.abs().sum() > 0 for parameter in guide.parameters())


def test_a_q_without_closed_form_is_told_to_use_the_joint_form(zuko):
    model = models.linear_gaussian(dtype=torch.float32)
    x, _ = model.sample(2, seed=0)
    guide = zuko.flows.MAF(features=2, context=4, transforms=1, hidden_features=(4,)).to(x.device)
    assert elbo(model, guide, x, 3).shape == (2,)
    for form in ("prior_kl", "entropy"):
        with pytest.raises(ValueError, match="form='joint'"):
            elbo(model, guide, x, 3, form=form)
