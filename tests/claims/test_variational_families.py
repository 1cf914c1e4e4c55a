"""The claims of chapter 8, attacked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import models
import pytest
import torch
from attack import attack, breaks, explained
from torch import Tensor
from torch.distributions import Beta, Categorical, Distribution, Independent, Normal, StudentT
from zoo import member, members

from lvmlib import (
    BernoulliMixture,
    FiniteModel,
    GaussianMixture,
    LinearGaussian,
    data,
    expectation_maximization,
    kl,
    kl_decomposition,
    m_step,
)

# Two maximisations.


@dataclass(frozen=True, eq=False)
class Learning:
    """Tables to choose theta from, one observation, and the tables q to choose from: all of them, or a few."""

    name: str
    choices: tuple[FiniteModel, ...]
    x: Tensor
    family: tuple[Tensor, ...] | None = None

    def maximum_exists(self) -> bool:
        return max(model.log_evidence(self.x).item() for model in self.choices) > -math.inf

    def any_density(self) -> bool:
        return self.family is None

    def tried(self) -> list[Tensor]:
        """The posteriors, the corners and twenty tables between, or the family."""
        if self.family is not None:
            return list(self.family)
        count = len(self.choices[0].prior_table)
        possible = [model for model in self.choices if model.log_evidence(self.x) > -math.inf]
        posteriors = [model.posterior(self.x).probs for model in possible]
        corners = list(torch.eye(count, dtype=torch.float64))
        return posteriors + corners + [models.table(count, seed=seed) for seed in range(20)]

    def elbos(self) -> Tensor:
        """One row for each theta, one column for each q."""
        bounds = [[_elbo(model, probs, self.x) for probs in self.tried()] for model in self.choices]
        return torch.tensor(bounds, dtype=torch.float64)


def _elbo(model: FiniteModel, probs: Tensor, x: Tensor) -> float:
    """As the library has it, without the posterior, which an impossible x lacks."""
    q = Categorical(probs)
    return (model.expected_log_joint(q, x) + q.entropy()).item()


def _other(model: FiniteModel) -> FiniteModel:
    """Another theta: the prior the other way round."""
    return FiniteModel(model.prior_table.flip(0), model.likelihood_table)


LEARNING = [
    Learning(one.name, (one.model, _other(one.model)), one.x)
    for one in members()
    if isinstance(one.model, FiniteModel) and one.name != "single-draw"
]


@attack("prop-two-maximisations", cases=LEARNING)
def test_the_best_pair_is_maximum_likelihood_with_its_posterior(case):
    evidence = torch.stack([model.log_evidence(case.x) for model in case.choices])
    elbos, tables = case.elbos(), case.tried()
    assert elbos.max().item() == pytest.approx(evidence.max().item(), abs=1e-12)
    for theta, q in (elbos > elbos.max() - 1e-13).nonzero().tolist():
        assert evidence[theta] > evidence.max() - 1e-12
        torch.testing.assert_close(tables[q], case.choices[theta].posterior(case.x).probs, atol=1e-6, rtol=0)


@breaks(
    "prop-two-maximisations",
    without="any-density",
    case=Learning(
        "two-corners", LEARNING[0].choices, LEARNING[0].x, (torch.eye(3)[0].double(), torch.eye(3)[2].double())
    ),
    because="a family that lacks the posterior leaves a gap, which can also favour another $\\theta$",
)
def test_a_family_without_the_posterior_has_a_lower_maximum(case):
    evidence = max(model.log_evidence(case.x).item() for model in case.choices)
    elbos = case.elbos()
    assert elbos.max() < evidence - 0.1
    # What the proposition says of a family: the log-evidence less the smallest divergence in it.
    for model, row in zip(case.choices, elbos, strict=True):
        gap = min(model.kl_to_posterior(Categorical(q), case.x).item() for q in case.tried())
        assert row.max().item() == pytest.approx(model.log_evidence(case.x).item() - gap, abs=1e-12)


@breaks(
    "prop-two-maximisations",
    without="maximum-exists",
    case=Learning("impossible", (member("impossible-x").model,), member("impossible-x").x),
    because=r"where $p_\theta(x) = 0$ for all $\theta$ each $q$ attains the maximum $-\infty$, and no posterior exists",
)
def test_for_an_impossible_observation_every_pair_attains_the_maximum(case):
    corner = torch.eye(3, dtype=torch.float64)[0]
    assert {_elbo(case.choices[0], probs, case.x) for probs in (corner, models.table(3, seed=0))} == {-math.inf}


# Mean field.


@dataclass(frozen=True, eq=False)
class Pair:
    """Two discrete latents: a joint table p(x, z_1, z_2), and a q_2 to keep."""

    name: str
    joint: Tensor
    second: Tensor | None = None
    model: None = None

    @property
    def posterior(self) -> Tensor:
        return self.joint / self.joint.sum()

    @property
    def kept(self) -> Tensor:
        return self.posterior.sum(0) if self.second is None else self.second

    def divergence(self, first: Tensor, second: Tensor) -> float:
        """KL(p(z | x) || q_1 q_2)."""
        product = torch.outer(first, second)
        return kl(Categorical(self.posterior.reshape(-1)), Categorical(product.reshape(-1))).item()

    def elbo(self, first: Tensor, second: Tensor) -> float:
        mass = torch.outer(first, second)
        seen = mass > 0
        return (mass[seen] * (self.joint[seen].log() - mass[seen].log())).sum().item()

    def exponential(self) -> Tensor:
        """exp E_{q_2}[log p(x, z_1, z_2)], for each z_1."""
        logs = torch.where(self.kept > 0, self.joint.log(), 0.0)
        return (logs * self.kept).sum(-1).exp()

    def best_first(self) -> Tensor:
        return self.exponential() / self.exponential().sum()

    def finite_mutual_information(self) -> bool:
        return math.isfinite(self.divergence(self.posterior.sum(1), self.posterior.sum(0)))

    def finite_normaliser(self) -> bool:
        return 0 < self.exponential().sum().item() < math.inf

    def entropy_of_q_is_finite(self) -> bool:
        return math.isfinite(Categorical(self.kept).entropy().item())


def _double(rows: list) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


PAIRS = [
    *(Pair(f"random-{seed}", 0.3 * models.table(12, seed=seed).reshape(3, 4)) for seed in range(5)),
    Pair("independent", torch.outer(models.table(3, seed=1), models.table(2, seed=2))),
    Pair("equal", _double([[0.3, 0.0], [0.0, 0.2]])),
    Pair("zeros", _double([[0.3, 0.1, 0.0], [0.0, 0.2, 0.0]])),
    Pair("one-value", _double([[0.4]])),
    Pair("tiny", _double([[1e-200, 1e-150], [0.3, 1e-10]])),
    Pair("certain", _double([[0.1, 0.3], [0.0, 0.2]]), _double([0.0, 1.0])),
    Pair("far-from-the-marginal", _double([[0.3, 0.1], [0.1, 0.5]]), _double([0.99, 0.01])),
]
GAUSSIAN = [one for one in members() if isinstance(one.model, LinearGaussian)]


def _mean_field(model: LinearGaussian, x: Tensor) -> Independent:
    posterior = model.posterior(x)
    return Independent(Normal(posterior.mean, posterior.precision_matrix.diagonal().rsqrt()), 1)


@attack("thm-mean-field", cases=GAUSSIAN)
def test_the_best_product_has_the_conditional_variances_and_the_stated_gap(case):
    posterior, best = case.model.posterior(case.x), _mean_field(case.model, case.x)
    precision, covariance = posterior.precision_matrix, posterior.covariance_matrix
    gap = kl_decomposition(case.model, best, case.x).kl.item()
    assert gap == pytest.approx(0.5 * (precision.diagonal().log().sum() - precision.logdet()).item(), abs=1e-9)
    for seed in range(10):
        shift = 0.2 * models.normals(2, len(best.mean), seed=seed)
        other = Independent(Normal(best.mean + shift[0] * best.stddev, best.stddev * shift[1].exp()), 1)
        assert kl_decomposition(case.model, other, case.x).kl > gap
    for d in range(len(best.mean)):
        correlated = (covariance[d].abs() > 1e-12).sum() > 1
        assert (best.variance[d] < covariance[d, d] * (1 - 1e-9)) == bool(correlated)
        assert best.variance[d] <= covariance[d, d] * (1 + 1e-9)


@breaks(
    "thm-mean-field",
    without="gaussian-posterior",
    case=PAIRS[6],
    because="the best product for two modes is one of the modes: its means are wrong, and it has no variance left",
)
def test_the_best_product_for_two_far_modes_has_a_wrong_mean(case):
    tables = [_double([p, 1 - p]) for p in torch.linspace(0, 1, 101).tolist()]
    bounds = {(i, j): case.elbo(a, b) for i, a in enumerate(tables) for j, b in enumerate(tables)}
    best = max(bounds, key=bounds.__getitem__)
    assert best == (100, 100)
    assert 0.1 < case.posterior.sum(1)[0] < 0.9


@attack("prop-matching-marginals", cases=PAIRS)
def test_of_all_products_the_marginals_are_nearest_in_forward_divergence(case):
    first, second = case.posterior.sum(1), case.posterior.sum(0)
    least = case.divergence(first, second)
    for seed in range(10):
        a, b = models.table(len(first), seed=seed + 100), models.table(len(second), seed=seed + 150)
        parts = kl(Categorical(first), Categorical(a)) + kl(Categorical(second), Categorical(b))
        assert case.divergence(a, b) == pytest.approx(least + parts.item(), rel=1e-9, abs=1e-9)
        assert case.divergence(a, b) > least or max(len(a), len(b)) == 1


@attack("prop-matching-marginals", cases=[Pair("ridge", PAIRS[0].joint)])
def test_the_library_agrees_on_a_gaussian_ridge(case):
    ridge = member(case.name)
    posterior = ridge.model.posterior(ridge.x)
    nearest = Independent(Normal(posterior.mean, posterior.variance.sqrt()), 1)
    least = kl(posterior, nearest)
    for seed in range(10):
        shift = 0.2 * models.normals(2, 2, seed=seed)
        other = Independent(Normal(nearest.mean + shift[0], nearest.stddev * shift[1].exp()), 1)
        torch.testing.assert_close(kl(posterior, other), least + kl(nearest, other), atol=1e-9, rtol=0)


explained(
    "prop-matching-marginals",
    without="finite-mutual-information",
    because="where each product is infinitely far away, no product is nearer than the others",
)


# One factor at a time.


@attack("prop-best-factor", cases=PAIRS[:6] + PAIRS[8:])
def test_no_other_factor_has_a_higher_elbo(case):
    best = case.best_first()
    top = case.elbo(best, case.kept)
    entropy = Categorical(case.kept).entropy().item()
    assert top == pytest.approx(case.exponential().sum().log().item() + entropy, rel=1e-9, abs=1e-9)
    for seed in range(10):
        other = models.table(len(best), seed=seed + 100)
        lost = kl(Categorical(other), Categorical(best)).item()
        assert case.elbo(other, case.kept) == pytest.approx(top - lost, rel=1e-9, abs=1e-9)
        assert lost > 0 or len(best) == 1


@breaks(
    "prop-best-factor",
    without="finite-normaliser",
    case=Pair("equal", _double([[0.5, 0.0], [0.0, 0.5]]), _double([0.5, 0.5])),
    because=r"where each $z_1$ is impossible for some $z_2$ that $q_2$ draws, the ELBO is $-\infty$ for each $q_1$",
)
def test_with_a_normaliser_of_zero_no_factor_is_best(case):
    assert {case.elbo(models.table(2, seed=seed), case.kept) for seed in range(5)} == {-math.inf}


explained(
    "prop-best-factor",
    without="entropy-of-q-is-finite",
    because=r"a $q_2$ of entropy $-\infty$ makes the ELBO $-\infty$ for each $q_1$",
)


@attack("prop-cavi-rate", cases=GAUSSIAN)
def test_coordinate_ascent_arrives_and_loses_the_squared_correlation_a_sweep(case):
    posterior = case.model.posterior(case.x)
    precision = posterior.precision_matrix
    error = models.normals(len(posterior.mean), seed=1) + 3.0
    errors = [error.clone()]
    for _ in range(400):
        for d in range(len(error)):
            error[d] -= precision[d] @ error / precision[d, d]
        errors.append(error.clone())
    assert errors[-1].abs().max() < 1e-9
    if len(error) == 2:
        correlation = posterior.covariance_matrix[0, 1] / posterior.variance.sqrt().prod()
        torch.testing.assert_close(errors[2] / errors[1], correlation.square().expand(2), atol=1e-9, rtol=0)


def test_many_weak_correlations_slow_the_sweeps_and_cost_little_variance():
    """Chapter 8: fifty coordinates with unit variances, each pair correlated at 0.1."""
    covariance = 0.9 * torch.eye(50).double() + 0.1
    precision = torch.linalg.inv(covariance)
    lost = 1 - 1 / (precision.diagonal() * covariance.diagonal())
    assert lost.max() < 0.1
    sweep = torch.eye(50).double()
    for d in range(50):
        sweep[d] -= precision[d] @ sweep / precision[d, d]
    assert torch.linalg.eigvals(sweep).abs().max() > 0.7


@breaks(
    "prop-cavi-rate",
    without="gaussian-posterior",
    case=Pair("soft-equal", _double([[0.49, 0.01], [0.01, 0.49]])),
    because="two modes have an optimum each, and the start decides which one is reached",
)
def test_with_two_modes_the_end_depends_on_the_start(case):
    ends = []
    for start in (0.9, 0.1):
        second = _double([start, 1 - start])
        for _ in range(200):
            first = Pair(case.name, case.joint, second).best_first()
            second = Pair(case.name, case.joint.T, first).best_first()
        ends.append(first[0].item())
    assert ends[0] > 0.9
    assert ends[1] < 0.1


# Expectation maximisation.


@dataclass(frozen=True, eq=False)
class Step:
    """One iteration of EM: the model before, a q for each observation, the model after."""

    name: str
    before: GaussianMixture | BernoulliMixture | LinearGaussian
    q: Distribution
    after: GaussianMixture | BernoulliMixture | LinearGaussian
    x: Tensor

    def positive_evidence_of_all(self) -> bool:
        return bool(self.before.log_evidence(self.x).isfinite().all())

    def q_is_posterior(self) -> bool:
        return self.before.kl_to_posterior(self.q, self.x).abs().max().item() < 1e-9

    def m_step_rises(self) -> bool:
        before, after = (m.expected_log_joint(self.q, self.x).sum().item() for m in (self.before, self.after))
        return math.isfinite(after) and after >= before


def _step(name: str, model, x: Tensor, *, iterations: int = 1) -> Step:
    """The last of so many iterations."""
    for _ in range(iterations):
        before, model = model, m_step(model, model.posterior(x), x)
    return Step(name, before, before.posterior(x), model, x)


def _halfway(step: Step) -> Step:
    """A partial M-step of a mixture of coins: only the weights."""
    return Step("weights-only", step.before, step.q, BernoulliMixture(step.after.weights, step.before.probs), step.x)


NORMAL_DATA = models.normals(60, 2, seed=4)
COINS = (models.normals(60, 4, seed=5) > 0.3).double()
STEPS = [
    *(_step(f"mixture-{n}", models.mixture(seed=2), NORMAL_DATA, iterations=n) for n in (1, 2, 30)),
    *(_step(f"coins-{n}", models.bernoulli_mixture(seed=3), COINS, iterations=n) for n in (1, 2, 30)),
    *(
        _step(f"factors-{n}", models.linear_gaussian(seed=n), models.normals(80, 4, seed=n), iterations=n)
        for n in (1, 9)
    ),
    _step("one-component", models.mixture(seed=6, components=1), NORMAL_DATA),
    _step("arrived", models.mixture(seed=6, components=1), NORMAL_DATA, iterations=2),
    _step("equal-components", BernoulliMixture(torch.ones(2).double() / 2, 0.5 * torch.ones(2, 4).double()), COINS),
]
STEPS.append(_halfway(STEPS[3]))


@attack("thm-em", cases=STEPS)
def test_an_iteration_of_em_does_not_lower_the_evidence(case):
    before, after = (model.log_evidence(case.x).sum() for model in (case.before, case.after))
    assert after >= before - 1e-10
    gap = case.after.kl_to_posterior(case.q, case.x)
    gained = [model.expected_log_joint(case.q, case.x).sum() for model in (case.before, case.after)]
    torch.testing.assert_close(after - before, gained[1] - gained[0] + gap.sum(), atol=1e-8, rtol=0)
    if after - before < 1e-12:
        assert gap.max() < 1e-9


def _arbitrary(case: Step) -> Step:
    q = Categorical(models.table(len(case.x), 3, seed=3))
    return Step("arbitrary-q", case.before, q, m_step(case.before, q, case.x), case.x)


@breaks(
    "thm-em",
    without="q-is-posterior",
    case=_arbitrary(STEPS[2]),
    because="an M-step for another $q$ raises the ELBO of that $q$, and can lower the evidence",
)
def test_an_m_step_for_an_arbitrary_q_lowers_the_evidence_at_the_optimum(case):
    assert case.after.log_evidence(case.x).sum() < case.before.log_evidence(case.x).sum()


def _backwards(case: Step) -> Step:
    return Step("backwards", case.after, case.after.posterior(case.x), case.before, case.x)


@breaks(
    "thm-em",
    without="m-step-rises",
    case=_backwards(STEPS[0]),
    because="parameters that lower the expected log-joint can lower the evidence",
)
def test_a_step_back_lowers_the_evidence(case):
    assert case.after.log_evidence(case.x).sum() < case.before.log_evidence(case.x).sum()


explained(
    "thm-em",
    without="positive-evidence-of-all",
    because="an impossible observation has no posterior, so there is no E-step",
)


# The rate of EM.


@dataclass(frozen=True, eq=False)
class Ascent:
    """EM for one parameter or a few: Q(theta', theta), the log-evidence, an iteration, and where to start."""

    name: str
    expected: Callable[[Tensor, Tensor], Tensor]
    evidence: Callable[[Tensor], Tensor]
    iteration: Callable[[Tensor], Tensor]
    start: Tensor

    @cached_property
    def end(self) -> Tensor:
        theta = self.start
        for _ in range(20_000):
            last, theta = theta, self.iteration(theta)
            if torch.allclose(theta, last, rtol=0, atol=1e-15):
                break
        torch.testing.assert_close(self.iteration(theta), theta, atol=1e-12, rtol=0)
        return theta

    @cached_property
    def complete(self) -> Tensor:
        end = self.end
        return -torch.autograd.functional.hessian(lambda new: self.expected(new, end), end)

    @property
    def observed(self) -> Tensor:
        return -torch.autograd.functional.hessian(self.evidence, self.end)

    def continuous_iteration(self) -> bool:
        steps = 1e-6 * torch.eye(len(self.end)).double()
        return all(bool((self.iteration(self.end + step) - self.end).abs().max() < 1e-4) for step in (*steps, *-steps))

    def zero_gradient_m_step(self) -> bool:
        new = self.end.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.expected(new, self.end), new)
        return bool(slope.abs().max() < 1e-6)

    def smooth_expected_log_joint(self) -> bool:
        return bool(self.complete.isfinite().all() and self.observed.isfinite().all())

    def complete_information(self) -> bool:
        return bool(torch.linalg.eigvalsh(self.complete).min() > 0)

    def rate(self) -> Tensor:
        return torch.autograd.functional.jacobian(self.iteration, self.end)


def _shares(name: str, log_densities: Tensor) -> Ascent:
    """The weights of a mixture of known densities, all but the last, which is one less the others."""

    def log_weights(theta: Tensor) -> Tensor:
        return torch.cat([theta, 1 - theta.sum(0, keepdim=True)]).log()

    def table(theta: Tensor) -> Tensor:
        return (log_densities + log_weights(theta)).softmax(-1)

    count = log_densities.shape[1]
    return Ascent(
        name,
        lambda new, old: (table(old).detach() * log_weights(new)).sum(),
        lambda theta: (log_densities + log_weights(theta)).logsumexp(-1).sum(),
        lambda theta: table(theta).mean(0)[:-1],
        torch.full((count - 1,), 1 / count, dtype=torch.float64),
    )


def _mean_of_z(name: str, x: Tensor, noise: float, *, least: float = -math.inf) -> Ascent:
    """z ~ N(theta, 1) and x | z ~ N(z, noise), with theta at least some number."""
    kept = noise / (1 + noise)

    def mean(theta: Tensor) -> Tensor:
        return kept * theta + (1 - kept) * x.mean()

    return Ascent(
        name,
        lambda new, old: -0.5 * len(x) * (mean(old).detach() - new).square().sum(),
        lambda theta: Normal(theta, math.sqrt(1 + noise)).log_prob(x).sum(),
        lambda theta: mean(theta).clamp(min=least),
        _double([0.5]),
    )


def _variance_of_z(name: str, x: Tensor, noise: float) -> Ascent:
    """z ~ N(0, theta) and x | z ~ N(z, noise)."""

    def second_moment(theta: Tensor) -> Tensor:
        kept = theta / (theta + noise)
        return kept.square() * x.square().mean() + kept * noise

    return Ascent(
        name,
        lambda new, old: -0.5 * len(x) * (new.log() + second_moment(old).detach() / new).sum(),
        lambda theta: Normal(0.0, (theta + noise).sqrt()).log_prob(x).sum(),
        second_moment,
        _double([1.0]),
    )


def _square_root_of_mean(name: str, x: Tensor) -> Ascent:
    """z ~ N(theta^2, 1) and x | z ~ N(z, 1): of two best values the M-step takes that with the sign of theta - 1."""

    def mean(theta: Tensor) -> Tensor:
        return (theta.square() + x.mean()) / 2

    return Ascent(
        name,
        lambda new, old: -0.5 * len(x) * (mean(old).detach() - new.square()).square().sum(),
        lambda theta: Normal(theta.square(), math.sqrt(2)).log_prob(x).sum(),
        lambda theta: torch.where(theta >= 1, 1.0, -1.0) * mean(theta).sqrt(),
        _double([1.0]),
    )


def _two_groups(distance: float) -> Tensor:
    """Log-densities of 300 readings, a third of them moved, under either group."""
    x = models.normals(300, seed=11) + distance * (torch.arange(300) % 3 == 0)
    return torch.stack([Normal(distance, 1.0).log_prob(x), Normal(0.0, 1.0).log_prob(x)], -1)


ASCENTS = [
    *(_shares(f"distance-{distance}", _two_groups(distance)) for distance in (1.0, 2.0, 8.0)),
    _shares("three-groups", torch.cat([_two_groups(2.0), _two_groups(3.0)[:, :1] - 0.1], -1)),
    *(_mean_of_z(f"mean-noise-{noise}", models.normals(50, seed=12) + 1, noise) for noise in (1e-4, 1.0, 9.0)),
    *(_variance_of_z(f"variance-noise-{noise}", 3 * models.normals(80, seed=13), noise) for noise in (0.1, 1.0)),
]


@attack("prop-em-rate", cases=ASCENTS)
def test_the_derivative_of_an_iteration_is_the_fraction_of_missing_information(case):
    missing = torch.linalg.solve(case.complete, case.complete - case.observed)
    torch.testing.assert_close(case.rate(), missing, atol=1e-7, rtol=1e-6)
    # And so shrink the errors of the last iterations.
    error = torch.full_like(case.end, 1e-4)
    torch.testing.assert_close(case.iteration(case.end + error) - case.end, missing @ error, atol=1e-6, rtol=0)


@breaks(
    "prop-em-rate",
    without="zero-gradient-m-step",
    case=_mean_of_z("at-the-edge", models.normals(50, seed=12) - 3, 1.0, least=0.0),
    because=r"at the edge of the range of $\theta$ the M-step ends in a corner, and can arrive at once",
)
def test_at_the_edge_of_its_range_em_arrives_at_once(case):
    missing = torch.linalg.solve(case.complete, case.complete - case.observed)
    assert missing.item() == pytest.approx(0.5)
    assert case.iteration(case.end + 1e-3) == case.end == 0


@breaks(
    "prop-em-rate",
    without="continuous-iteration",
    case=_square_root_of_mean("two-best-values", _double([0.0, 2.0])),
    because=r"if $Q$ has two maxima of one height, the M-step may jump from one to the other near $\theta^*$",
)
def test_an_m_step_that_jumps_between_two_maxima_leaves_the_fixed_point(case):
    missing = torch.linalg.solve(case.complete, case.complete - case.observed)
    assert missing.item() == pytest.approx(0.5)
    for size in (1e-3, 1e-6):
        near = case.end - size
        # Both ends are zeros of the gradient of Q and maxima of it.
        new = case.iteration(near).requires_grad_()
        (slope,) = torch.autograd.grad(case.expected(new, near), new)
        assert slope.abs().item() < 1e-12
        assert case.expected(new, near) == case.expected(-new, near)
        assert (case.iteration(near) - case.end).abs().item() > 1.9
    torch.testing.assert_close((case.iteration(case.end + 1e-6) - case.end) / 1e-6, missing[0], atol=1e-5, rtol=0)


explained(
    "prop-em-rate",
    without="smooth-expected-log-joint",
    because="without second derivatives there is no information to compare",
)
explained(
    "prop-em-rate",
    without="complete-information",
    because="where the expected log-joint is flat, the M-step has many solutions, and no derivative",
)

# What the chapter says beside its claims


def test_no_product_is_right_about_both_the_numbers_and_their_sum():
    """Chapter 8: under a product the variance of a sum is the sum of the variances."""
    posterior = LinearGaussian(torch.ones(1, 2).double(), torch.zeros(1).double(), 0.2).posterior(
        torch.ones(1).double()
    )
    of_sum = posterior.covariance_matrix.sum()
    assert of_sum.sqrt().item() == pytest.approx(0.43, abs=0.005)
    assert posterior.variance.sum().sqrt().item() == pytest.approx(1.04, abs=0.005)
    assert of_sum < 0.2 * posterior.variance.sum()


def test_mean_field_learns_nearly_four_times_the_noise_of_the_two_summands():
    """Chapter 8, variational EM: the top of the log-evidence and of the best ELBO of a product, by a fine grid."""
    noise = torch.linspace(0.01, 6, 600_000).double()
    evidence = -0.5 * (2 + noise).log() - 2.5 / (2 * (2 + noise))
    gap = 0.5 * (2 * (1 + 1 / noise).log() - (1 + 2 / noise).log())
    assert noise[evidence.argmax()].item() == pytest.approx(0.5, abs=1e-3)
    assert noise[(evidence - gap).argmax()].item() == pytest.approx(1.908, abs=1e-3)
    assert (gap.diff() < 0).all()


def test_how_much_of_the_two_products_lies_outside_the_posterior():
    """Chapter 8, the opening: the mass of either product outside the posterior's region of 95 %."""
    model = LinearGaussian(torch.ones(1, 2).double(), torch.zeros(1).double(), 0.2)
    posterior = model.posterior(torch.ones(1).double())
    precision, variance = posterior.precision_matrix, posterior.variance
    assert (1 / precision[0, 0]).sqrt().item() == pytest.approx(0.41, abs=0.005)
    assert variance[0].sqrt().item() == pytest.approx(0.74, abs=0.005)
    radius = -2 * math.log(0.05)
    for one, outside in ((variance, 0.343), (1 / precision.diagonal(), 0.075)):
        # In the directions of the axes of the ellipse the product is round: a sum of two scaled squares.
        scales = (torch.linalg.eigvalsh(precision) * one[0]).sqrt()
        edge = torch.linspace(-1, 1, 20_001).double() * math.sqrt(radius) / scales[1]
        heights = (radius - (scales[1] * edge).square()).clamp(min=0).sqrt() / scales[0]
        inside = Normal(0.0, 1.0).log_prob(edge).exp() * torch.erf(heights / math.sqrt(2))
        assert 1 - torch.trapezoid(inside, edge).item() == pytest.approx(outside, abs=0.001)


def test_a_start_with_an_infinite_variance_has_no_first_update():
    """Why prop-cavi-rate asks for finite variances of the start: the integral of the first update is zero."""
    model = LinearGaussian(torch.ones(1, 2).double(), torch.zeros(1).double(), 0.2)
    x, start = torch.ones(1).double(), StudentT(torch.tensor(2.0).double())
    assert start.mean == 0
    nodes = torch.linspace(-3, 3, 7).double()
    largest = []
    for reach in (1e2, 1e4, 1e6):
        # The mean of the log-joint over the start, cut off, for each z_1; it falls without limit as more is let in.
        u = torch.linspace(-math.log(reach), math.log(reach), 20_001).double()
        z_2 = u.sinh()
        chances = (start.log_prob(z_2) + u.cosh().log()).softmax(0)
        points = torch.stack(torch.broadcast_tensors(nodes[:, None], z_2), -1)
        means = torch.stack([model.log_joint(x.expand(len(z_2), 1), row) @ chances for row in points])
        largest.append(means.max().item())
    assert largest == sorted(largest, reverse=True)
    # The second moment grows by the logarithm of the reach: each factor of a hundred takes the same amount.
    assert largest[1] - largest[2] == pytest.approx(largest[0] - largest[1], rel=0.02)
    assert largest[1] - largest[2] > 10


def test_a_product_with_an_infinite_variance_is_infinitely_far_from_a_gaussian():
    """The proof of thm-mean-field sets such factors aside: the mean of a small square is bounded by the divergence."""
    for one in GAUSSIAN:
        posterior, q = one.model.posterior(one.x), _mean_field(one.model, one.x)
        smallest = torch.linalg.eigvalsh(posterior.precision_matrix)[0].item()
        square = 0.4 * smallest
        # log E_p[exp(square * |z - mu|^2)], which is finite below half the smallest precision.
        left = torch.linalg.eigvalsh(posterior.precision_matrix) - 2 * square
        assert left.min() > 0
        log_mean = 0.5 * (posterior.precision_matrix.logdet() - left.log().sum()).item()
        for factor in (1.0, 10.0, 1e6):
            wide = Independent(Normal(q.mean, q.stddev * factor), 1)
            spread = square * wide.variance.sum().item()
            assert spread <= kl(wide, posterior).item() + log_mean + 1e-9 * factor**2


def test_factors_of_any_shape_leave_less_of_the_gap_of_the_bent_posterior():
    """Chapter 8, the three families: normal factors leave 1.096 nats, and coordinate ascent on a grid finds 0.940."""
    first, second = torch.linspace(-5, 4, 451).double(), torch.linspace(-6, 5, 551).double()
    log_volume = ((first[1] - first[0]) * (second[1] - second[0])).log()
    bend = second + (first[:, None] + 1).square() / 2
    log_prior = Normal(0.0, 1.0).log_prob(first)[:, None] + Normal(0.0, 1.0).log_prob(second)
    log_joint = log_prior + Normal(bend, 0.2).log_prob(torch.tensor(1.0).double()) + log_volume
    log_evidence = log_joint.logsumexp((0, 1)).item()
    assert log_evidence == pytest.approx(-1.282, abs=0.001)
    for center in (-2.0, -0.5, 0.5):
        q_1 = Normal(center, 0.5).log_prob(first).softmax(0)
        for _ in range(300):
            q_2 = (q_1 @ log_joint).softmax(0)
            q_1 = (log_joint @ q_2).softmax(0)
        entropy = Categorical(q_1).entropy() + Categorical(q_2).entropy()
        gap = log_evidence - (q_1 @ log_joint @ q_2 + entropy).item()
        assert gap == pytest.approx(0.940, abs=0.001)


def test_a_wrong_marginal_costs_at_least_its_divergence():
    """Chapter 8, the third exercise, also for two normal factors."""
    for case in PAIRS:
        marginal = case.posterior.sum(1)
        for seed in range(5):
            first, second = (models.table(n, seed=seed + 20) for n in case.joint.shape)
            ceiling = case.joint.sum().log().item() - kl(Categorical(first), Categorical(marginal)).item()
            if (case.joint > 0).all():
                assert case.elbo(first, second) <= ceiling + 1e-12
    for one in GAUSSIAN:
        posterior, q = one.model.posterior(one.x), _mean_field(one.model, one.x)
        marginal = Normal(posterior.mean[0], posterior.variance[0].sqrt())
        for factor in (0.5, 1.0, 2.0):
            other = Independent(Normal(q.mean, q.stddev * factor), 1)
            assert kl(other, posterior) >= kl(Normal(other.mean[0], other.stddev[0]), marginal) - 1e-12


def test_a_flow_that_changes_the_radius_is_the_posterior_of_the_ring():
    """Chapter 8, the last exercise: x = 2 is the length of z with noise of 0.3."""
    radius = torch.linspace(0, 8, 800_001).double()
    log_ring = -radius.square() / 2 + Normal(radius, 0.3).log_prob(torch.tensor(2.0).double())
    share = torch.cumulative_trapezoid(radius * log_ring.exp(), radius)
    total = 2 * math.pi * share[-1]
    share = torch.cat([share.new_zeros(1), share]) / share[-1]

    def moved(start: float) -> float:
        """The radius with as much of the ring inside as a standard normal in the plane has inside the start."""
        level = -math.expm1(-(start**2) / 2)
        i = int(torch.searchsorted(share, level))
        part = (level - share[i - 1]) / (share[i] - share[i - 1])
        return (radius[i - 1] + part * (radius[i] - radius[i - 1])).item()

    for start in (0.3, 0.8, 1.2, 2.0, 3.0):
        end, slope = moved(start), (moved(start + 1e-3) - moved(start - 1e-3)) / 2e-3
        assert slope > 0
        # The change of variables in polar coordinates.
        pushed = math.exp(-(start**2) / 2) / (2 * math.pi) * start / (end * slope)
        posterior = math.exp(-(end**2) / 2) * Normal(end, 0.3).log_prob(torch.tensor(2.0)).exp().item() / total.item()
        assert pushed == pytest.approx(posterior, rel=1e-3)
    # No hole: the middle has a positive density, a tiny share of the largest.
    assert 0 < (log_ring[0] - log_ring.max()).exp() < 1e-8


def step_of_em(theta: Tensor, covariance: Tensor, dim: int) -> Tensor:
    """One iteration of EM for probabilistic PCA, on the weights and the noise variance in one vector."""
    size = len(covariance)
    weight, noise = theta[:-1].reshape(size, dim), theta[-1]
    gram = weight.T @ weight + noise * torch.eye(dim).double()
    seen = covariance @ weight
    new = torch.linalg.solve(
        noise * torch.eye(dim).double() + torch.linalg.solve(gram, weight.T @ seen), seen, left=False
    )
    rest = (covariance - seen @ torch.linalg.solve(gram, new.T)).trace() / size
    return torch.cat([new.flatten(), rest[None]])


def test_em_for_ppca_shrinks_the_missing_nats_by_the_square_of_its_rate_apart_from_rotations():
    """Chapter 8: a rotation of z is an eigenvector of EM with eigenvalue one; the next eigenvalue is the rate."""
    torch.manual_seed(0)
    scales = torch.tensor([3.0, 1.5, 0.8, 0.7, 0.6], dtype=torch.float64)
    x = torch.randn(300, 5).double() * scales
    best = LinearGaussian.fit(x, 2)
    theta = torch.cat([best.weight.flatten(), best.noise_variance.reshape(1)])
    covariance = torch.cov(x.T, correction=0)
    torch.testing.assert_close(step_of_em(theta, covariance, 2), theta)
    jacobian = torch.autograd.functional.jacobian(lambda t: step_of_em(t, covariance, 2), theta)
    rates = torch.linalg.eigvals(jacobian).abs().sort(descending=True).values
    assert rates[0].item() == pytest.approx(1, abs=1e-9)
    assert rates[1] < 0.99
    start = LinearGaussian(0.1 * torch.randn(5, 2).double(), x.mean(0), 0.1)
    run = expectation_maximization(start, x, max_iterations=60, tolerance=0)
    missing = (best.log_evidence(x).mean() - run.elbo)[::2]
    late = missing[(missing > 1e-9) & (missing < 1e-5)]
    assert len(late) > 4
    assert (late[-1] / late[-2]).item() == pytest.approx(rates[1].item() ** 2, abs=0.01)


def test_gradient_ascent_turns_the_axes_of_ppca_back_slowly():
    """Chapter 8, the sixth exercise: at 30 degrees the gap is a thousandth of a nat."""
    best = LinearGaussian.fit(data.digits("train", dtype=torch.float64).images, 2)
    angle = torch.tensor(math.radians(30), dtype=torch.float64, requires_grad=True)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    weight = best.weight @ turn
    precision = torch.eye(2).double() + weight.T @ weight / best.noise_variance
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    gap.backward()
    assert gap.item() == pytest.approx(0.0012, abs=5e-5)
    assert angle.grad > 0


def test_a_family_may_come_as_near_to_the_posterior_as_one_likes_without_containing_it():
    """Chapter 8: normals that are wider than a normal posterior have gaps above zero, and zero is their infimum."""
    widths = 1 + torch.tensor([1e-1, 1e-2, 1e-3, 1e-4], dtype=torch.float64)
    gaps = kl(Normal(torch.zeros(4).double(), widths), Normal(torch.zeros(4).double(), 1.0))
    assert (gaps > 0).all()
    assert (gaps.diff() < 0).all()
    assert gaps[-1] < 1e-7


def test_widening_repairs_the_coverage_and_most_of_the_score():
    """Chapter 8, the laboratory again: 400 accidents, and a Beta whose variance is divided by I_o / I_c."""
    old, new, _ = data.cells()
    start = LinearGaussian.fit(old, 10)
    start = LinearGaussian(start.weight, start.bias, start.noise_variance.expand(30).clone())
    model = expectation_maximization(start, old, tolerance=1e-3).model
    row = torch.linalg.inv(model.weight @ model.weight.T + model.noise_variance.diag())[8]
    slopes = (-row / row[8]).index_fill(0, torch.tensor(8), 0.0)
    forecast = Normal(model.bias[8] + (new - model.bias) @ slopes, row[8].rsqrt())
    draws = torch.Generator().manual_seed(3)
    share = 1 - torch.rand(400, generator=draws).double() ** 0.25
    hit = torch.rand(400, len(new), generator=draws).double() < share[:, None]
    other = (torch.arange(len(new)) + torch.randint(1, len(new), hit.shape, generator=draws)) % len(new)
    seen = torch.where(hit, new[other, 8], new[:, 8])
    surprise = Normal(0.0, 1.0).log_prob(seen) - forecast.log_prob(seen)

    grid = (torch.arange(200).double() + 0.5) / 200
    terms = (surprise[..., None] + grid.log()).logaddexp((-grid).log1p())
    exact = (3 * (-grid).log1p() + terms.sum(-2)).softmax(-1)
    a, b = torch.ones(2, 400).double()
    for _ in range(100):
        label = torch.sigmoid(surprise + (torch.digamma(a) - torch.digamma(b))[:, None])
        a, b = 1 + label.sum(-1), 4 + (1 - label).sum(-1)
    narrow = Beta(a, b)
    theta = narrow.mean
    odds = surprise.expm1() / (1 + theta[:, None] * surprise.expm1())
    kept = (odds.square().mean(1) * theta * (1 - theta)).clamp(min=0.02)
    total = (a + b + 1) * kept - 1
    wide = Beta(theta * total, (1 - theta) * total)

    def table(q: Beta) -> Tensor:
        fine = (torch.arange(4000).double() + 0.5) / 4000
        return q.log_prob(fine[:, None]).T.softmax(-1).view(-1, 200, 20).sum(-1)

    def score(report: Tensor) -> Tensor:
        at = (200 * share).long().clamp(max=199)
        return (200 * report.gather(1, at[:, None])[:, 0]).log()

    def held(report: Tensor) -> float:
        return (((report * (grid < share[:, None])).sum(1) - 0.5).abs() < 0.45).double().mean().item()

    def spread(report: Tensor) -> Tensor:
        return ((report @ grid.square()) - (report @ grid).square()).sqrt()

    assert held(table(narrow)) < 0.75
    for report in (exact, table(wide)):
        assert held(report) == pytest.approx(0.9, abs=3 * 0.015)
    behind, before = (score(exact) - score(table(q)) for q in (wide, narrow))
    assert behind.mean() > 3 * behind.std() / 20
    assert behind.mean() < 0.3 * before.mean()
    ratio, place = spread(table(wide)) / spread(exact), exact @ grid
    assert ((narrow.mean - place) / spread(exact)).mean().item() == pytest.approx(-0.1, abs=0.02)
    assert (ratio - 1).abs()[place >= 0.1].quantile(0.95) < 0.055
    assert ratio[place < 0.03].min() > 1.2
    assert ratio[place < 0.03].median() > 3
    of_the_beta = (wide.stddev / spread(exact))[place < 0.03]
    assert of_the_beta.min() > 1.5
    assert of_the_beta.quantile(0.9) < 3
