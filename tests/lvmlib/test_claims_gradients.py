"""The claims of chapter 9: identities on tables by autograd, estimators against exact gradients, and what breaks."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from lvmlib import LinearGaussian, MeanFieldGuide, kl_decomposition, surrogate

SEEDS = range(10)
ROWS = 20_000


def gradient(value: Tensor, parameter: Tensor) -> Tensor:
    return torch.autograd.grad(value, parameter, retain_graph=True)[0]


def each_score(logits: Tensor) -> Tensor:
    """The score of every value of a table, shape ``(Z, Z)``: a row is the gradient of one log-probability."""
    return torch.eye(len(logits)).double() - logits.detach().softmax(-1)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-11, rtol=0)


def agrees(rows: Tensor, exact: Tensor | float) -> bool:
    error = rows.std(0) / math.sqrt(len(rows))
    return bool(((rows.mean(0) - exact).abs() < 5 * error + 1e-10).all())


def row_gradients(model, x, loc, scale, num_samples, rows=ROWS, **options) -> Tensor:
    """Independent estimates of the gradient in the mean of a normal q, one a row."""
    q = MeanFieldGuide(len(loc), batch_shape=(rows,)).double()
    q.loc.data.copy_(loc.expand(rows, -1))
    q.log_scale.data.copy_(scale.log().expand(rows, -1))
    surrogate(model, q, x.expand(rows, -1), num_samples, **options).backward()
    return -q.loc.grad


# Theta.


@pytest.mark.vouches("prop-theta-gradient")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_in_theta_is_the_mean_of_that_of_the_log_joint(seed):
    weight = nn.Parameter(models.normals(3, 2, seed=seed))
    model = LinearGaussian(weight, models.normals(3, seed=seed + 1), 0.7)
    x, q = models.normals(3, seed=seed + 2), MultivariateNormal(models.normals(2, seed=seed + 3), torch.eye(2).double())
    exact = gradient(kl_decomposition(model, q, x).elbo, weight)
    # By hand: the gradient of the log-likelihood is (x - b - W z) z' / noise, whose mean needs two moments of q.
    second = q.covariance_matrix + torch.outer(q.mean, q.mean)
    by_hand = (torch.outer(x - model.bias, q.mean) - weight @ second) / model.noise_variance
    torch.testing.assert_close(exact, by_hand.detach(), atol=1e-9, rtol=0)
    gap = kl_decomposition(model, q, x).kl
    difference = gradient(model.log_evidence(x), weight) - exact
    torch.testing.assert_close(difference, gradient(gap, weight), atol=1e-9, rtol=0)
    assert difference.abs().max() > 1e-3


@pytest.mark.vouches("prop-theta-gradient")
def test_draws_from_q_estimate_the_gradient_in_theta():
    weight = nn.Parameter(models.normals(3, 2, seed=0))
    model = LinearGaussian(weight, torch.zeros(3).double(), 0.7)
    x, q = models.normals(3, seed=2), MultivariateNormal(models.normals(2, seed=3), torch.eye(2).double())
    exact = gradient(kl_decomposition(model, q, x).elbo, weight)
    torch.manual_seed(0)
    rows = torch.stack([-gradient(surrogate(model, q, x, 10), weight).reshape(-1) for _ in range(300)])
    assert agrees(rows, exact.reshape(-1))


@pytest.mark.vouches("prop-theta-gradient")
def test_at_the_posterior_it_is_the_gradient_of_the_evidence():
    weight = nn.Parameter(models.normals(3, 2, seed=0))
    model = LinearGaussian(weight, torch.zeros(3).double(), 0.7)
    x = models.normals(3, seed=2)
    fixed = model.posterior(x)
    q = MultivariateNormal(fixed.mean.detach(), fixed.covariance_matrix.detach())
    exact = gradient(kl_decomposition(model, q, x).elbo, weight)
    torch.testing.assert_close(exact, gradient(model.log_evidence(x), weight), atol=1e-9, rtol=0)


# The score, on tables.


@pytest.mark.vouches("thm-score-function")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_score_identity_holds_exactly_on_a_table(seed):
    model, x = models.finite(seed=seed), torch.tensor(seed % 4)
    logits = models.normals(3, seed=seed + 30).requires_grad_()
    q = Categorical(logits=logits)
    score = each_score(logits)
    close((q.probs[:, None] * score).sum(0), torch.zeros(3).double())
    log_w = model.log_joint_table(x) - q.logits
    identity = (q.probs * log_w).detach() @ score
    close(identity, gradient(kl_decomposition(model, q, x).elbo, logits))


@pytest.mark.vouches("thm-score-function")
@pytest.mark.parametrize("options", [{}, {"baseline": "leave_one_out"}], ids=["plain", "leave one out"])
def test_the_score_estimator_is_unbiased_for_a_discrete_latent(options):
    model, x = models.finite(seed=3), torch.tensor(1)
    logits = models.normals(3, seed=4)
    single = logits.clone().requires_grad_()
    exact = gradient(kl_decomposition(model, Categorical(logits=single), x).elbo, single)
    rows = logits.expand(ROWS, 3).clone().requires_grad_()
    torch.manual_seed(0)
    loss = surrogate(model, Categorical(logits=rows), x.expand(ROWS), 3, estimator="score", **options)
    assert agrees(-gradient(loss, rows), exact)


@pytest.mark.vouches("thm-score-function")
def test_with_a_support_that_moves_the_score_identity_fails():
    """q uniform on [0, phi] and f(z) = z: the derivative of the mean is one half, the identity says minus one half."""
    phi = torch.tensor(2.0).double().requires_grad_()
    nodes = (torch.arange(10_000).double() + 0.5) / 10_000
    score = -1 / phi.detach()
    by_score = (nodes * phi.detach() * score).mean()
    assert by_score.item() == pytest.approx(-0.5)
    assert gradient((nodes * phi).mean(), phi).item() == pytest.approx(0.5)


@pytest.mark.vouches("thm-score-function")
def test_without_the_score_the_gradient_has_mean_zero():
    model = models.linear_gaussian(seed=0)
    x, scale = models.normals(4, seed=1), torch.ones(2).double()
    loc = models.normals(2, seed=2)
    mean = loc.expand(ROWS, 2).clone().requires_grad_()
    q = Independent(Normal(mean, scale), 1)
    torch.manual_seed(0)
    z = q.sample()
    wrong = gradient((model.log_joint(x, z) - q.log_prob(z)).sum(), mean)
    assert agrees(wrong, 0.0)
    single = loc.clone().requires_grad_()
    exact = gradient(kl_decomposition(model, Independent(Normal(single, scale), 1), x).elbo, single)
    assert (exact.abs() > 0.5).all()


# Baselines.


def second_moment(logits: Tensor, f: Tensor, b: Tensor | float) -> Tensor:
    score = each_score(logits)[:, 0]
    return (logits.softmax(-1) * ((f - b) * score).square()).sum()


@pytest.mark.vouches("prop-baseline")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_constant_baseline_leaves_the_mean_and_has_one_best_value(seed):
    logits, f = models.normals(4, seed=seed), 5 + models.normals(4, seed=seed + 20)
    probs, score = logits.softmax(-1), each_score(logits)
    means = torch.stack([(probs * (f - b)) @ score for b in (0.0, 1.0, -7.0)])
    close(means, means[:1].expand(3, 4))
    weight = probs * score[:, 0].square()
    best = (weight * f).sum() / weight.sum()
    for step in (1e-3, 0.1, 2.0):
        assert second_moment(logits, f, best) < second_moment(logits, f, best + step)
        assert second_moment(logits, f, best) < second_moment(logits, f, best - step)
    for b in (0.0, 1.3):
        parabola = second_moment(logits, f, 0.0) - 2 * b * (weight * f).sum() + b**2 * weight.sum()
        close(second_moment(logits, f, b), parabola)


@pytest.mark.vouches("prop-baseline")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_baseline_that_looks_at_its_draw_biases(seed):
    logits, f = models.normals(4, seed=seed), models.normals(4, seed=seed + 20)
    probs, score = logits.softmax(-1), each_score(logits)
    looking = models.normals(4, seed=seed + 40)
    assert ((probs * looking) @ score).abs().max() > 1e-3
    close((probs * (f - f)) @ score, torch.zeros(4).double())


@pytest.mark.vouches("prop-leave-one-out")
@pytest.mark.parametrize("num_samples", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_leave_one_out_is_unbiased_and_the_mean_of_all_is_short_by_one_kth(seed, num_samples):
    """Every tuple of draws, weighed by its probability."""
    logits, f = models.normals(3, seed=seed), models.normals(3, seed=seed + 20)
    probs, score = logits.softmax(-1), each_score(logits)
    exact = (probs * f) @ score
    leave_one_out, short_form, all_draws = torch.zeros(3, 3).double()
    for draws in torch.cartesian_prod(*[torch.arange(3)] * num_samples):
        chance, values = probs[draws].prod(), f[draws]
        others = (values.sum() - values) / (num_samples - 1)
        leave_one_out += chance * ((values - others) @ score[draws]) / num_samples
        short_form += chance * ((values - values.mean()) @ score[draws]) / (num_samples - 1)
        all_draws += chance * ((values - values.mean()) @ score[draws]) / num_samples
    close(leave_one_out, exact)
    close(short_form, exact)
    close(all_draws, (1 - 1 / num_samples) * exact)


@pytest.mark.vouches("prop-dimension")
@pytest.mark.parametrize("seed", range(5))
def test_the_noise_of_another_coordinate_adds_to_the_second_moment(seed):
    logits, second = models.normals(3, seed=seed), models.table(4, seed=seed + 1)
    f, h, b = models.normals(3, seed=seed + 2), models.normals(4, seed=seed + 3), 0.7
    first, score = logits.softmax(-1), each_score(logits)[:, 0]
    whole = (torch.outer(first, second) * ((f[:, None] + h - b) * score[:, None]).square()).sum()
    mean = second @ h
    noise = second @ (h - mean).square() * (first @ score.square())
    close(whole, second_moment(logits, f + mean, b) + noise)


@pytest.mark.vouches("prop-dimension")
def test_the_variance_of_the_score_grows_with_the_dimension_and_that_of_a_moved_draw_does_not():
    def variance(dim, **options):
        noise = torch.tensor(0.49).double()
        model = LinearGaussian(1.5 * torch.eye(dim).double(), torch.zeros(dim).double(), noise)
        x = torch.full((dim,), 2.5).double()
        posterior = model.posterior(x)
        scale = 0.8 * posterior.stddev
        torch.manual_seed(0)
        rows = row_gradients(model, x, posterior.mean + 0.7 * posterior.stddev, scale, 2, rows=4000, **options)
        return rows[:, 0].var()

    with_baseline = {dim: variance(dim, estimator="score", baseline="leave_one_out") for dim in (2, 32)}
    assert with_baseline[32] > 6 * with_baseline[2]
    moved = {dim: variance(dim, estimator="reparameterized") for dim in (2, 32)}
    assert moved[32] < 1.2 * moved[2]


# Reparameterisation, and sticking the landing.


@pytest.mark.vouches("thm-reparameterisation")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("estimator", ["reparameterized", "stl", "score"])
def test_every_estimator_has_the_exact_gradient_for_its_mean(estimator, seed):
    model = models.linear_gaussian(seed=seed)
    x, loc = models.normals(4, seed=seed + 1), models.normals(2, seed=seed + 2)
    scale = 0.5 * models.normals(2, seed=seed + 3).exp()
    single = loc.clone().requires_grad_()
    exact = gradient(kl_decomposition(model, Independent(Normal(single, scale), 1), x).elbo, single)
    torch.manual_seed(seed)
    assert agrees(row_gradients(model, x, loc, scale, 2, estimator=estimator), exact)


@pytest.mark.vouches("thm-reparameterisation")
def test_reparameterisation_fails_for_a_function_with_a_jump():
    mean = torch.tensor(0.3).double().requires_grad_()
    q = Normal(mean, torch.ones(()).double())
    exact = gradient(1 - q.cdf(torch.zeros(()).double()), mean)
    assert exact.item() == pytest.approx(q.log_prob(torch.zeros(()).double()).exp().item())
    torch.manual_seed(0)
    z = q.rsample((ROWS,))
    step = torch.where(z > 0, torch.ones_like(z), 0 * z)
    assert gradient(step.mean(), mean) == 0
    assert agrees((z.detach() > 0) * (z - mean).detach(), exact)


@pytest.mark.vouches("prop-stl")
@pytest.mark.parametrize("seed", range(3))
def test_sticking_the_landing_is_zero_for_every_draw_at_the_posterior(seed):
    model = models.linear_gaussian(seed=seed)
    x = models.normals(4, seed=seed + 1)
    posterior = model.posterior(x)
    loc = posterior.mean.clone().requires_grad_()
    factor = posterior.scale_tril.clone().requires_grad_()
    torch.manual_seed(seed)

    def both(estimator):
        loss = surrogate(model, MultivariateNormal(loc, scale_tril=factor), x, 1, estimator=estimator)
        return torch.cat([gradient(loss, loc), gradient(loss, factor).reshape(-1)])

    for _ in range(20):
        assert both("stl").abs().max() < 1e-9
    assert both("reparameterized").abs().max() > 1e-2


@pytest.mark.vouches("prop-stl")
@pytest.mark.parametrize("ratio", [0.4, 0.6, 0.8, 1.0, 1.7])
def test_for_a_normal_both_deviations_are_as_stated(ratio):
    model = models.linear_gaussian(seed=3, observed=1, latent=1)
    x = model.sample(1, seed=1)[0][0]
    posterior = model.posterior(x)
    s = posterior.stddev
    t = ratio * s
    stated = {"reparameterized": (t / s**2).item(), "stl": (1 / t - t / s**2).abs().item()}
    for estimator, value in stated.items():
        torch.manual_seed(0)
        rows = row_gradients(model, x, posterior.mean + 0.3, t, 1, estimator=estimator)
        # The gradient is linear in a normal draw, so the relative error of a deviation is 1 / sqrt(2 n).
        assert abs(rows.std() - value) < 5 * value / math.sqrt(2 * ROWS) + 1e-9
    assert (stated["stl"] < stated["reparameterized"]) == (ratio**2 > 0.5)
