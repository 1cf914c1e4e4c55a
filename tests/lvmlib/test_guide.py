"""Every kind of q becomes one Distribution for each x; Laplace is exact where the posterior is Gaussian."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch import nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Uniform,
)

from lvmlib import (
    AmortizedGuide,
    LatentVariableModel,
    MeanFieldGuide,
    bind,
    chi_square,
    defensive_mixture,
    elbo,
    importance_sampling,
    kl,
    laplace_approximation,
    log_weights,
    prior_monte_carlo,
    self_normalized_expectation,
    summarize_weights,
    zoo,
)
from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._draws import draw_weighed


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


@pytest.mark.parametrize("flow", ["NSF", "MAF"])
def test_a_conditional_flow_of_zuko_is_a_guide_as_it_is(zuko, flow):
    model = models.linear_gaussian(dtype=torch.float32)
    x, _ = model.sample(3, seed=0)
    guide = getattr(zuko.flows, flow)(features=2, context=4, transforms=1, hidden_features=(8,)).to(x.device)
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


@pytest.mark.parametrize("scales", [(1e-6, 1e-6), (1e3, 1e3), (1e6, 1e6), (1e-3, 1e3)])
def test_laplace_finds_the_mode_whatever_the_unit_of_z(scales):
    scale = torch.tensor(scales).double()
    model = LatentVariableModel(Independent(Normal(0 * scale, scale), 1), lambda z: Independent(Normal(z, scale), 1))
    q = laplace_approximation(model, scale * torch.tensor([3.0, -5.0]).double())
    torch.testing.assert_close(q.loc / scale, torch.tensor([1.5, -2.5]).double())
    torch.testing.assert_close(q.stddev / scale, torch.full((2,), 0.5).double().sqrt())


def test_a_mixture_over_all_reals_is_a_prior_without_bounds():
    parts = Independent(Normal(torch.tensor([[-1.0], [1.0]]).double(), 0.1), 1)
    prior = MixtureSameFamily(Categorical(torch.ones(2).double()), parts)
    model = LatentVariableModel(prior, lambda z: Independent(Normal(z, 1.0), 1))
    q = laplace_approximation(model, torch.ones(1).double(), initial=torch.full((1,), 0.9).double())
    torch.testing.assert_close(q.loc, torch.ones(1).double(), atol=1e-4, rtol=0)


def test_laplace_that_starts_on_a_kink_says_where_it_is():
    """At the origin, which is the prior's mean, the log-joint of the ring has slopes to the sides and no gradient."""
    ring = zoo.member("ring")
    with pytest.raises(ValueError, match=r"^x leads to z = \[0.0, 0.0\].*twice differentiable there; pass initial"):
        laplace_approximation(ring.model, ring.x)


def test_laplace_as_a_proposal_beats_the_prior():
    model = models.linear_gaussian(seed=1, observed=12, latent=3)
    x, _ = model.sample(4, seed=0)
    laplace = importance_sampling(model, laplace_approximation(model, x), x, 100, seed=0)
    prior = importance_sampling(model, model.prior, x, 100, seed=0)
    assert (laplace.ess > 99.9).all()
    assert (prior.ess < 50).all()


# Defensive mixtures.


def narrow_proposal(model, x, ratio=0.5) -> MultivariateNormal:
    posterior = model.posterior(x)
    return MultivariateNormal(posterior.mean, scale_tril=ratio * posterior.scale_tril)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("name", ["linear_gaussian", "finite", "mixture", "beta_bernoulli"])
def test_weights_of_a_defensive_mixture_are_bounded_by_the_likelihood_over_alpha(name, batch):
    model = models.EXACT_MODELS[name]()
    x = model.sample(6, seed=0)[0][: torch.Size(batch).numel()]
    x = x.reshape(batch + tuple(x.shape[1:]))
    for q in (model.posterior, model.posterior(x), model.prior):
        mixed = defensive_mixture(q, model, weight=0.2)
        distribution = mixed if not callable(mixed) else mixed(x)
        z = distribution.expand(batch).sample((200,))
        log_w = model.log_joint(x, z) - distribution.log_prob(z)
        assert log_w.shape == (200, *batch)
        assert (log_w <= model.log_likelihood(x, z) - math.log(0.2) + 1e-9).all()
        assert log_weights(model, mixed, x, 5).shape == (5, *batch)


def test_a_defensive_mixture_draws_from_its_parts_with_their_weights():
    q, safe = Normal(torch.tensor([0.0, 50.0]).double(), 1.0), Normal(torch.tensor(-100.0).double(), 2.0)
    mixed = defensive_mixture(q, safe, 0.3)
    z = mixed.sample((40_000,))
    assert z.shape == (40_000, 2)
    by_safe = z < -50
    assert ((by_safe.double().mean(0) - 0.3).abs() < 5 * math.sqrt(0.21 / 40_000)).all()
    for column, chosen, mean in ((0, by_safe[:, 0], -100), (0, ~by_safe[:, 0], 0), (1, ~by_safe[:, 1], 50)):
        part = z[chosen, column]
        assert abs(part.mean() - mean) < 5 * part.std() / math.sqrt(len(part))
    # Which part it is, is drawn for each x apart.
    assert (by_safe[:, 0] != by_safe[:, 1]).any()
    squares = (z - mixed.mean).square()
    for values, expected in ((z, mixed.mean), (squares, mixed.variance)):
        assert ((values.mean(0) - expected).abs() < 5 * values.std(0) / math.sqrt(len(values))).all()


def test_the_density_of_a_defensive_mixture_integrates_to_one():
    q, safe = Uniform(*torch.tensor([0.0, 1.0]).double()), Normal(*torch.tensor([0.0, 1.0]).double())
    grid = torch.linspace(-8, 8, 160_001).double()
    density = defensive_mixture(q, safe, 0.4).log_prob(grid).exp()
    assert torch.trapezoid(density, grid).item() == pytest.approx(1, abs=1e-4)
    # Outside the support of one part the other is left, and the weights say so.
    torch.testing.assert_close(density[0], 0.4 * safe.log_prob(grid[0]).exp())
    tables = defensive_mixture(Categorical(torch.tensor([1.0, 0.0])), Categorical(torch.tensor([0.5, 0.5])), 0.2)
    torch.testing.assert_close(tables.log_prob(torch.arange(2)).exp(), torch.tensor([0.9, 0.1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.7])
def test_a_defensive_mixture_makes_an_infinite_chi_square_finite(ratio, alpha):
    model = models.linear_gaussian(seed=3, observed=1, latent=1)
    x = model.sample(1, seed=1)[0][0]
    posterior, narrow = model.posterior(x), narrow_proposal(model, x, ratio)
    assert chi_square(posterior, narrow) == torch.inf
    mixed = defensive_mixture(narrow, model, alpha)
    moments = []
    for width in (20.0, 40.0):
        z = torch.linspace(-width, width, 400_001).double()[:, None]
        square = (2 * posterior.log_prob(z) - mixed.log_prob(z)).exp()
        moments.append(torch.trapezoid(square, z[:, 0]).item())
    assert moments[0] == pytest.approx(moments[1], rel=1e-5)
    assert moments[0] <= (1 + chi_square(posterior, model.prior).item()) / alpha
    summary = summarize_weights(model, mixed, x, 200_000, seed=0)
    assert summary.relative_variance.item() == pytest.approx(moments[0] - 1, rel=0.1)
    assert abs(summary.log_evidence - model.log_evidence(x)) < 5 * summary.std_error


def test_a_defensive_mixture_is_a_q_everywhere():
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    mixed = defensive_mixture(lambda x: narrow_proposal(model, x), model, 0.3)
    truth = model.log_evidence(x)
    for estimate in (importance_sampling(model, mixed, x, 4000, seed=0), prior_monte_carlo(model, x, 4000, seed=0)):
        assert ((estimate.log_evidence - truth).abs() < 5 * estimate.std_error).all()
    moment = self_normalized_expectation(model, mixed, x, lambda z: z, 4000, seed=0)
    assert ((moment.value - model.posterior(x).mean).abs() < 5 * moment.std_error).all()
    assert (elbo(model, mixed, x, 4000) < truth).all()
    one = importance_sampling(model, mixed, x, 400, seed=0)
    chunked = importance_sampling(model, mixed, x, 400, chunk_size=7, seed=0)
    torch.testing.assert_close(one.log_evidence, chunked.log_evidence)


def test_a_defensive_mixture_mends_a_support_that_importance_sampling_refuses():
    model = models.finite()
    blind = Categorical(torch.tensor([0.5, 0.5, 0.0]).double())
    with pytest.raises(ValueError, match="density zero"):
        importance_sampling(model, blind, torch.tensor(0), 10)
    estimate = importance_sampling(model, defensive_mixture(blind, model), torch.tensor(0), 20_000, seed=0)
    assert abs(estimate.log_evidence - model.log_evidence(torch.tensor(0))) < 5 * estimate.std_error


def test_a_defensive_mixture_owns_the_parameters_of_its_q_and_says_that_draws_have_no_gradient():
    model = models.linear_gaussian(dtype=torch.float32)
    x, _ = model.sample(3, seed=0)
    guide = AmortizedGuide(nn.Linear(4, 4).to(x.device))
    mixed = defensive_mixture(guide, model)
    assert {id(p) for p in mixed.parameters()} == {id(p) for p in guide.parameters()}
    assert not mixed(x).has_rsample
    assert not mixed(x).sample().requires_grad
    log_q = mixed(x).log_prob(torch.zeros(3, 2, device=x.device))
    log_q.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in guide.parameters())


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


@pytest.mark.parametrize("known", [True, False])
def test_the_noise_of_the_draws_gives_the_density_and_the_gradients_of_the_formula(known):
    loc, log_scale = (models.normals(3, 2, seed=seed).requires_grad_() for seed in (0, 1))

    def total(use_noise):
        q = DiagonalNormal(loc, log_scale.exp(), log_scale if known else None)
        z, log_q = draw_weighed(q, 5)
        torch.testing.assert_close(log_q.detach(), q.log_prob(z.detach()).detach())
        log_q = log_q if use_noise else q.log_prob(z)
        return (log_q * models.normals(5, 3, seed=2) + z.sum(-1)).sum()

    gradients = []
    for use_noise in (True, False):
        torch.manual_seed(0)
        gradients += [torch.autograd.grad(total(use_noise), [loc, log_scale])]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


def test_the_density_at_given_points_has_the_gradient_of_the_formula():
    loc = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    q = DiagonalNormal(loc, torch.ones_like(loc))
    with torch.no_grad():
        z = q.rsample()
    q.log_prob(z).backward()
    torch.testing.assert_close(loc.grad, z)
    detached = q.rsample().detach_()
    (slope,) = torch.autograd.grad(q.log_prob(detached), loc)
    torch.testing.assert_close(slope, detached)


def test_the_standard_normal_is_that_of_torch():
    zeros = torch.zeros(2, dtype=torch.float64)
    z = models.normals(5, 3, 2, seed=2)
    for ours in (DiagonalNormal.standard(zeros), DiagonalNormal.standard(zeros).expand((3,))):
        theirs = Independent(Normal(zeros, 1.0), 1).expand(ours.batch_shape)
        torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
        torch.testing.assert_close(kl(ours, theirs), torch.zeros(ours.batch_shape).double())


def logistic_regression(num_observed: int = 20_000) -> tuple[LatentVariableModel, torch.Tensor]:
    """A log-joint of thousands of nats, next to which what is left to gain is small."""
    w = 3 * models.normals(num_observed, 2, seed=0, dtype=torch.float32)
    prior = Independent(Normal(torch.zeros(2), 1.0), 1)
    model = LatentVariableModel(prior, lambda z: Independent(Bernoulli(logits=z @ w.T - 3), 1))
    probs = (w @ torch.tensor([1.0, -1.0]) - 3).sigmoid()
    return model, (torch.rand(num_observed) < probs).float()


def test_the_laplace_approximation_is_at_the_mode_or_raises_however_large_the_log_joint():
    model, x = logistic_regression()
    best, accepted = laplace_approximation(model, x), 0
    for most in range(1, 12):
        try:
            found = laplace_approximation(model, x, max_iterations=most)
        except ValueError:
            continue
        accepted += 1
        assert ((found.mean - best.mean) / best.stddev).abs().max() < 0.05
    assert accepted > 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_laplace_approximation_needs_no_gradient_mode(mode):
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    expected = laplace_approximation(model, x)
    with mode():
        found = laplace_approximation(model, x.clone())
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.mean, model.posterior(x).mean)


def test_an_encoder_that_is_told_of_gaps_gets_zeros_and_marks():
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x[..., :2]

    x = torch.tensor([[1.0, torch.nan, 3.0], [torch.nan, 5.0, 6.0]])
    model = LatentVariableModel(
        Independent(Normal(torch.zeros(1), 1.0), 1),
        lambda z: Independent(Normal(z.expand(*z.shape[:-1], 3), 1.0), 1),
        missing="marginalize",
    )
    guide = AmortizedGuide(Watch(), mark_gaps=True)
    bind(model, guide, x)
    bind(model, defensive_mixture(guide, model), x)
    bind(model, AmortizedGuide(Watch()), x)
    marked = torch.tensor([[1.0, 0.0, 3.0, 1.0, 0.0, 1.0], [0.0, 5.0, 6.0, 0.0, 1.0, 1.0]])
    assert torch.equal(seen[0], marked)
    assert torch.equal(seen[1], marked)
    assert torch.equal(seen[2], marked[:, :3])


def test_the_marks_of_an_image_are_channels_behind_its_own():
    x = torch.ones(2, 1, 4, 4)
    x[0, 0, 0, 0] = torch.nan
    network = nn.Sequential(nn.Conv2d(2, 1, 4), nn.Flatten(), nn.Linear(1, 2))
    guide = AmortizedGuide(network, event_dims=3, mark_gaps=True)
    assert guide(x).batch_shape == (2,)
    assert guide(x).mean.isfinite().all()
