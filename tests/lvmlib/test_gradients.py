"""Every estimator of a gradient: one draw by hand, the mean against the truth, and what weights of zero do."""

from __future__ import annotations

import math

import models
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, Normal, Uniform

from lvmlib import (
    FiniteModel,
    LatentVariableModel,
    LinearGaussian,
    MeanFieldGuide,
    QuadratureModel,
    RunningMean,
    elbo,
    iwae_bound,
    kl_decomposition,
    surrogate,
)

REPARAMETERIZED = ("reparameterized", "stl", "iwae", "dreg")
SCORE = ("score", "vimco")
TIGHTER = ("iwae", "dreg", "vimco")
K = 4


class Gaussian(nn.Module):
    """A linear-Gaussian model whose weight is learnt, and a diagonal q with its own parameters."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(models.normals(3, 2, seed=0))
        self.loc = nn.Parameter(models.normals(2, seed=1))
        self.log_scale = nn.Parameter(0.3 * models.normals(2, seed=2) - 0.5)
        self.x = models.normals(2, 3, seed=3)

    @property
    def model(self):
        return LinearGaussian(self.weight, torch.zeros(3).double(), 0.75)

    def q(self, x):
        return Independent(Normal(self.loc, self.log_scale.exp()), 1)

    def exact_elbo(self):
        return kl_decomposition(self.model, self.q(self.x).expand((2,)), self.x).elbo.sum()


class Finite(nn.Module):
    """A finite model whose two tables are learnt, and a table as q."""

    def __init__(self):
        super().__init__()
        self.prior = nn.Parameter(models.normals(3, seed=0))
        self.likelihood = nn.Parameter(models.normals(3, 4, seed=1))
        self.logits = nn.Parameter(models.normals(3, seed=2))
        self.x = torch.tensor([1, 3])

    @property
    def model(self):
        return FiniteModel(self.prior.softmax(-1), self.likelihood.softmax(-1))

    def q(self, x):
        return Categorical(logits=self.logits)

    def exact_elbo(self):
        return kl_decomposition(self.model, self.q(self.x).expand((2,)), self.x).elbo.sum()


def gradients(problem, loss):
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(problem.parameters()))])


def estimates(problem, repetitions, **options):
    """Independent estimates of the gradient of the bound, one a row."""
    rows = []
    for _ in range(repetitions):
        rows.append(-gradients(problem, surrogate(problem.model, problem.q, problem.x, K, **options)))
    return torch.stack(rows)


def agree(values, exact):
    error = values.std(0) / math.sqrt(len(values))
    difference = (values.mean(0) - exact).abs()
    assert (difference < 5 * error + 1e-10).all(), (difference / error).max()


def exact_iwae_gradient_of_a_finite_model(problem):
    """Every K-tuple of latents, weighed by its probability under q."""
    log_q = problem.q(None).logits.log_softmax(-1)
    log_w = problem.model.log_joint_table(problem.x) - log_q
    tuples = torch.cartesian_prod(*[torch.arange(3)] * K)
    bound = (log_w[:, tuples].logsumexp(-1) - math.log(K)) * log_q[tuples].sum(-1).exp()
    return gradients(problem, bound.sum())


# One draw, by hand.


def by_hand(problem, estimator, log_joint, log_q, z):
    """The formulas of the papers, written with nothing but the values and derivatives at the draws."""
    log_w = (log_joint - log_q).detach()
    share = log_w.softmax(0)
    theta = [problem.weight]
    phi = [problem.loc, problem.log_scale]
    noise = ((z - problem.loc) / problem.log_scale.exp()).detach()
    with torch.no_grad():
        # d log w / dz with the parameters of q held fixed: of the joint and of the Gaussian q.
        model_slope = (problem.x - z @ problem.weight.T) @ problem.weight / 0.75 - z
        q_slope = -(z - problem.loc) / (2 * problem.log_scale).exp()
        slope = model_slope - q_slope
        score_loc, score_scale = noise / problem.log_scale.exp(), noise.square() - 1
        # z = loc + scale * noise: dz/dloc = 1 and dz/dlog_scale = scale * noise.
        along = {"loc": slope, "scale": slope * problem.log_scale.exp() * noise}
        score = {"loc": score_loc, "scale": score_scale}
    weights = {
        "reparameterized": torch.full_like(log_w, 1 / K),
        "stl": torch.full_like(log_w, 1 / K),
        "score": torch.full_like(log_w, 1 / K),
    }.get(estimator, share)
    in_theta = torch.autograd.grad((weights * log_joint).sum(), theta, retain_graph=True)[0]
    w = weights[..., None]
    in_phi = []
    for name in ("loc", "scale"):
        if estimator in ("reparameterized", "iwae"):
            in_phi.append((w * (along[name] - score[name])).sum((0, 1)))
        elif estimator == "stl":
            in_phi.append((w * along[name]).sum((0, 1)))
        elif estimator == "dreg":
            in_phi.append((w.square() * along[name]).sum((0, 1)))
        elif estimator == "score":
            in_phi.append((w * log_w[..., None] * score[name]).sum((0, 1)))
        else:
            bound = log_w.logsumexp(0) - math.log(K)
            signal = torch.empty_like(log_w)
            for k in range(K):
                others = [j for j in range(K) if j != k]
                replaced = torch.cat([log_w[others], log_w[others].mean(0, keepdim=True)])
                signal[k] = bound - (replaced.logsumexp(0) - math.log(K))
            in_phi.append(((signal - share)[..., None] * score[name]).sum((0, 1)))
    assert len(phi) == len(in_phi)
    return torch.cat([in_theta.reshape(-1), *in_phi])


@pytest.mark.parametrize("estimator", [*REPARAMETERIZED, *SCORE])
def test_one_estimate_equals_the_formula_by_hand(estimator):
    problem = Gaussian()
    torch.manual_seed(5)
    loss = surrogate(problem.model, problem.q, problem.x, K, estimator=estimator)
    torch.manual_seed(5)
    z = problem.q(None).expand((2,)).sample((K,))
    log_joint = problem.model.log_joint(problem.x, z)
    log_q = problem.q(None).log_prob(z).detach()
    expected = by_hand(problem, estimator, log_joint, log_q, z)
    torch.testing.assert_close(-gradients(problem, loss), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("estimator", [*REPARAMETERIZED, *SCORE])
def test_the_value_of_the_loss_is_the_negative_bound_at_the_same_draws(estimator):
    problem = Gaussian()
    bound = iwae_bound if estimator in TIGHTER else elbo
    torch.manual_seed(5)
    loss = surrogate(problem.model, problem.q, problem.x, K, estimator=estimator)
    torch.manual_seed(5)
    torch.testing.assert_close(-loss, bound(problem.model, problem.q, problem.x, K).sum())


def test_a_leave_one_out_baseline_is_the_mean_of_the_other_log_weights():
    problem = Gaussian()
    torch.manual_seed(5)
    loss = surrogate(problem.model, problem.q, problem.x, K, estimator="score", baseline="leave_one_out")
    torch.manual_seed(5)
    z = problem.q(None).expand((2,)).sample((K,))
    log_q = problem.q(None).log_prob(z)
    log_joint = problem.model.log_joint(problem.x, z)
    log_w = (log_joint - log_q).detach()
    baseline = torch.stack([log_w[[j for j in range(K) if j != k]].mean(0) for k in range(K)])
    by_hand = (log_joint + (log_w - baseline) * log_q).sum() / K
    torch.testing.assert_close(-gradients(problem, loss), gradients(problem, by_hand), atol=1e-10, rtol=0)


def test_a_running_mean_looks_only_at_earlier_calls():
    problem, baseline = Gaussian(), RunningMean(decay=0.5)
    means = []
    for call in range(3):
        torch.manual_seed(call)
        loss = surrogate(problem.model, problem.q, problem.x, K, estimator="score", baseline=baseline)
        torch.manual_seed(call)
        z = problem.q(None).expand((2,)).sample((K,))
        log_q = problem.q(None).log_prob(z)
        log_joint = problem.model.log_joint(problem.x, z)
        log_w = (log_joint - log_q).detach()
        weights = [0.5 ** (call - s) for s in range(call)]
        b = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights) if means else 0.0
        by_hand = (log_joint + (log_w - b) * log_q).sum() / K
        torch.testing.assert_close(-gradients(problem, loss), gradients(problem, by_hand), atol=1e-10, rtol=0)
        means.append(log_w.mean())
    assert set(baseline.state_dict()) == {"total", "count"}


# Means against the exact gradient, in theta and phi.


@pytest.mark.parametrize("estimator", ["reparameterized", pytest.param("stl", marks=pytest.mark.thorough), "score"])
def test_estimators_of_the_elbo_gradient_are_unbiased_on_a_linear_gaussian_model(estimator):
    problem = Gaussian()
    exact = gradients(problem, problem.exact_elbo())
    baseline = "leave_one_out" if estimator == "score" else None
    agree(estimates(problem, 600, estimator=estimator, baseline=baseline), exact)


@pytest.mark.parametrize(
    "baseline",
    [
        pytest.param(None, marks=pytest.mark.thorough),
        "leave_one_out",
        pytest.param("running", marks=pytest.mark.thorough),
    ],
)
def test_score_is_unbiased_on_a_finite_model_whatever_the_baseline(baseline):
    problem = Finite()
    exact = gradients(problem, problem.exact_elbo())
    baseline = RunningMean() if baseline == "running" else baseline
    agree(estimates(problem, 600, estimator="score", baseline=baseline), exact)


@pytest.mark.thorough
def test_vimco_is_unbiased_for_the_tighter_bound_of_a_finite_model():
    problem = Finite()
    agree(estimates(problem, 800, estimator="vimco"), exact_iwae_gradient_of_a_finite_model(problem))


@pytest.mark.thorough
def test_the_three_estimators_of_the_tighter_bound_agree_on_a_linear_gaussian_model():
    """The plain one differentiates the bound and is the reference; common draws make no difference to its mean."""
    problem = Gaussian()
    samples = {name: estimates(problem, 600, estimator=name) for name in TIGHTER}
    plain = samples["iwae"]
    for name in ("dreg", "vimco"):
        error = (plain.var(0) / len(plain) + samples[name].var(0) / len(samples[name])).sqrt()
        assert ((samples[name].mean(0) - plain.mean(0)).abs() < 5 * error).all(), name


def test_the_tighter_bound_of_a_finite_model_averages_to_its_sum_over_all_tuples():
    problem = Finite()
    log_q = problem.q(None).logits.log_softmax(-1)
    log_w = problem.model.log_joint_table(problem.x) - log_q
    tuples = torch.cartesian_prod(*[torch.arange(3)] * K)
    exact = ((log_w[:, tuples].logsumexp(-1) - math.log(K)) * log_q[tuples].sum(-1).exp()).sum(-1)
    values = torch.stack(
        [iwae_bound(problem.model, problem.q, problem.x, K, num_groups=50).detach() for _ in range(200)]
    )
    agree(values, exact)


# Variances.


def test_sticking_the_landing_has_variance_zero_at_the_posterior_and_the_others_have_not():
    model = models.linear_gaussian(latent=2)
    x, _ = model.sample(1, seed=0)
    posterior = model.posterior(x)
    loc = posterior.mean.clone().requires_grad_()
    factor = posterior.scale_tril.clone().requires_grad_()

    def phi_gradient(estimator):
        loss = surrogate(
            model, torch.distributions.MultivariateNormal(loc, scale_tril=factor), x, 1, estimator=estimator
        )
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, [loc, factor])])

    assert phi_gradient("stl").abs().max() < 1e-10
    assert phi_gradient("reparameterized").abs().max() > 0.1
    assert phi_gradient("score").abs().max() > 0.1
    loss = surrogate(model, torch.distributions.MultivariateNormal(loc, scale_tril=factor), x, 5, estimator="dreg")
    assert max(g.abs().max() for g in torch.autograd.grad(loss, [loc, factor])) < 1e-10


@pytest.mark.thorough
def test_dreg_has_less_variance_in_phi_than_the_plain_gradient_and_the_same_gradient_in_theta():
    problem = Gaussian()
    for seed in range(3):
        theta = []
        for name in ("iwae", "dreg"):
            torch.manual_seed(seed)
            loss = surrogate(problem.model, problem.q, problem.x, K, estimator=name)
            theta.append(torch.autograd.grad(loss, problem.weight)[0])
        torch.testing.assert_close(theta[0], theta[1], atol=1e-12, rtol=0)
    plain, double = (estimates(problem, 500, estimator=name)[:, 6:] for name in ("iwae", "dreg"))
    assert (double.var(0) < 0.7 * plain.var(0)).all()


@pytest.mark.thorough
def test_baselines_lower_the_variance_of_score():
    problem = Finite()
    none, leave, running = (
        estimates(problem, 400, estimator="score", baseline=baseline)[:, -3:].var(0).sum()
        for baseline in (None, "leave_one_out", RunningMean())
    )
    assert leave < 0.7 * none
    assert running < 0.7 * none


# Weights of zero.


def interval_problem():
    """The prior is uniform on [0, 1], and q reaches beyond it: some weights are zero."""
    model = QuadratureModel(
        Uniform(torch.zeros(()).double(), torch.ones(()).double()), lambda z: Normal(z, 0.5), num_points=200
    )
    loc = torch.tensor(0.5).double().requires_grad_()
    scale = torch.tensor(1.0).double().requires_grad_()
    return model, (loc, scale), Normal(loc, scale), torch.tensor([0.3, 0.9]).double()


@pytest.mark.parametrize("estimator", [*REPARAMETERIZED, *SCORE])
def test_gradients_past_weights_of_zero_are_finite(estimator):
    model, parameters, q, x = interval_problem()
    some = False
    for seed in range(10):
        torch.manual_seed(seed)
        loss = surrogate(model, q, x, 2, estimator=estimator)
        assert not loss.isnan()
        some |= bool(loss.isinf())
        assert all(g.isfinite() for g in torch.autograd.grad(loss, parameters))
    assert some, "no draw fell outside the prior, so that nothing was tested"


@pytest.mark.parametrize("estimator", ["score", "vimco"])
def test_an_impossible_discrete_draw_leaves_gradients_finite(estimator):
    table = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]).double().requires_grad_()
    model = FiniteModel(torch.full((3,), 1 / 3).double(), table)
    logits = torch.zeros(3).double().requires_grad_()
    for seed in range(10):
        torch.manual_seed(seed)
        loss = surrogate(model, Categorical(logits=logits), torch.tensor([0, 1]), 2, estimator=estimator)
        for gradient in torch.autograd.grad(loss, [logits, table]):
            assert gradient.isfinite().all()


# Every kind of q.


@pytest.mark.parametrize("estimator", [*REPARAMETERIZED, *SCORE])
@pytest.mark.parametrize("flow", ["NSF", "MAF"])
def test_flows_get_gradients_from_every_estimator(zuko, flow, estimator):
    model = models.linear_gaussian(dtype=torch.float32)
    x, _ = model.sample(3, seed=0)
    guide = getattr(zuko.flows, flow)(features=2, context=4, transforms=1, hidden_features=(8,)).to(x.device)
    surrogate(model, guide, x, 3, estimator=estimator).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in guide.parameters())
    assert any(p.grad.abs().sum() > 0 for p in guide.parameters())


def test_stl_of_a_flow_holds_its_parameters_fixed_in_the_density(zuko):
    """Against the same gradient by central differences of the draws alone."""
    model = models.linear_gaussian(dtype=torch.float64)
    x, _ = model.sample(2, seed=0)
    guide = zuko.flows.MAF(features=2, context=4, transforms=1, hidden_features=(4,)).double().to(x.device)
    parameter = next(p for p in guide.parameters() if p.ndim == 1)
    torch.manual_seed(3)
    surrogate(model, guide, x, 2, estimator="stl").backward()
    frozen = zuko.flows.MAF(features=2, context=4, transforms=1, hidden_features=(4,)).double().to(x.device)
    frozen.load_state_dict(guide.state_dict())
    values = []
    for shift in (1e-5, -1e-5):
        with torch.no_grad():
            parameter[0] += shift
            torch.manual_seed(3)
            z = guide(x).rsample((2,))
            values.append((model.log_joint(x, z) - frozen(x).log_prob(z)).mean(0).sum())
            parameter[0] -= shift
    assert -parameter.grad[0].item() == pytest.approx((values[0] - values[1]).item() / 2e-5, abs=1e-6)


@pytest.mark.parametrize("estimator", REPARAMETERIZED)
def test_a_discrete_z_is_sent_to_score_and_vimco(estimator):
    problem = Finite()
    with pytest.raises(TypeError, match=r"estimator is .*Categorical.*expected.*'score'.*'vimco'"):
        surrogate(problem.model, problem.q, problem.x, K, estimator=estimator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("estimator", [*REPARAMETERIZED, *SCORE])
def test_losses_are_scalars_of_the_dtype_of_x_for_every_batch_shape(estimator, batch, dtype):
    model = models.linear_gaussian(dtype=dtype)
    x = model.sample(6, seed=0)[0][: math.prod(batch)].reshape(*batch, 4)
    loss = surrogate(model, MeanFieldGuide(2).to(dtype), x, 3, estimator=estimator)
    assert loss.shape == ()
    assert loss.dtype == dtype
    assert loss.isfinite()


def test_a_scalar_z_has_its_own_event_shape():
    model = LatentVariableModel(Normal(torch.zeros(()), 1.0), lambda z: Normal(z, 1.0))
    loc = torch.zeros(()).requires_grad_()
    for estimator in (*REPARAMETERIZED, *SCORE):
        loss = surrogate(model, Normal(loc, 1.0), torch.tensor([0.5, 2.0]), 3, estimator=estimator)
        assert torch.autograd.grad(loss, loc)[0].isfinite()
