"""The claims of chapter 2, attacked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from attack import attack, breaks, explained
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, Uniform
from zoo import Member, member, members

from lvmlib.density import log_density
from lvmlib.exact import ExactModel, FiniteModel, LinearGaussian, QuadratureModel
from lvmlib.zoo.grids import interval, line


def close(one: Tensor | float, other: Tensor | float, tolerance: float = 1e-8) -> bool:
    """Whether all numbers agree; equal infinities do."""
    one, other = (torch.as_tensor(value, dtype=torch.float64) for value in (one, other))
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance)


@attack("thm-bayes")
def test_the_joint_over_the_evidence_is_the_posterior(case):
    """It sums to one on every grid, and is what the library calls the posterior where it has one."""
    if case.grid is not None:
        z, log_volume = case.grid
        posterior = case.model.log_joint(case.x, z) - case.truth.log_evidence
        assert (posterior + log_volume).logsumexp(0).abs() < 1e-8
    else:
        z = case.q.sample((100,))
        posterior = case.model.log_joint(case.x, z) - case.truth.log_evidence
    if isinstance(case.model, ExactModel):
        assert close(log_density(case.model.posterior(case.x), z), posterior, 1e-7)
        assert close(case.model.log_evidence(case.x), case.truth.log_evidence)


@breaks(
    "thm-bayes",
    without="positive-evidence",
    case=member("impossible-x"),
    because="for an impossible $x$ the right side is $0 / 0$",
)
def test_an_impossible_observation_has_no_posterior(case):
    assert case.model.log_joint(case.x, case.grid.z).exp().sum() == case.model.log_evidence(case.x).exp() == 0
    with pytest.raises(ValueError, match="x is 1"):
        case.model.posterior(case.x)


STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Family:
    """A joint density at one x and points of z, as a function of a number theta, and its log-evidence."""

    name: str
    log_joint: Callable[[Tensor], Tensor]
    log_volume: Tensor
    log_evidence_at: Callable[[Tensor], Tensor]
    theta: float = 0.0

    def at(self, theta: float) -> Tensor:
        return self.log_joint(torch.tensor(theta, dtype=torch.float64)) + self.log_volume

    @property
    def log_evidence(self) -> float:
        return self.log_evidence_at(torch.tensor(self.theta, dtype=torch.float64)).item()

    def evidence_slope(self) -> float:
        ahead, behind = (
            self.log_evidence_at(torch.tensor(self.theta + step, dtype=torch.float64)).item() for step in (STEP, -STEP)
        )
        return (ahead - behind) / (2 * STEP)

    def mean_score(self, masses: Tensor) -> float:
        """The derivative of the log-joint at each point, averaged with masses of the points."""
        theta = torch.tensor(self.theta, dtype=torch.float64, requires_grad=True)
        values = torch.where(masses > 0, self.log_joint(theta), 0.0)
        (gradient,) = torch.autograd.grad((masses * values).sum(), theta)
        return gradient.item()

    def joint_is_differentiable(self) -> bool:
        """The steps ahead and behind agree, but for points that together hold a thousandth of the mass."""
        here, ahead, behind = (self.at(self.theta + step).exp() for step in (0.0, STEP, -STEP))
        kink = (ahead - 2 * here + behind).abs() > 1e-3 * STEP * (here + ahead + behind)
        # The grid has a point within a step of the end of a support, and its mass is that of an interval around it.
        return bool(here[kink].sum() <= 1e-3 * here.sum())

    def derivative_and_integral_exchange(self) -> bool:
        here, evidence = self.at(self.theta).exp(), math.exp(self.log_evidence)
        # Of an evidence that is zero at every theta, the derivative is zero.
        outside = self.evidence_slope() * evidence if evidence > 0 else 0.0
        return abs(self.mean_score(here) - outside) <= 1e-4 * evidence


def family_of(one: Member) -> Family:
    """The prior of a table tilted by exp(theta z); the likelihood of anything else with z moved by theta."""
    z, log_volume = one.grid
    if isinstance(one.model, FiniteModel):
        prior, likelihood = one.model.prior_table.log(), one.model.likelihood_table

        def tilted(theta: Tensor) -> FiniteModel:
            return FiniteModel((prior + theta * z).softmax(0), likelihood)

        return Family(
            one.name,
            lambda theta: tilted(theta).log_joint(one.x, z),
            log_volume,
            lambda theta: tilted(theta).log_evidence(one.x),
        )

    def moved(theta: Tensor) -> Tensor:
        return one.model.log_prior(z) + one.model.log_likelihood(one.x, z + theta)

    def by_formula(theta: Tensor) -> Tensor:
        weight = one.model.weight
        bias = one.model.bias + weight @ (theta * torch.ones_like(weight[0]))
        return LinearGaussian(weight, bias, one.model.noise_variance).log_evidence(one.x)

    by_sum = lambda theta: (moved(theta) + log_volume).logsumexp(0)  # noqa: E731
    exact = isinstance(one.model, LinearGaussian)
    return Family(one.name, moved, log_volume, by_formula if exact else by_sum)


FAMILIES = [family_of(one) for one in members() if one.grid is not None and one.name != "funnel"]


@attack("prop-fisher", cases=FAMILIES)
def test_the_slope_of_the_log_evidence_is_the_mean_score_under_the_posterior(case):
    posterior = (case.at(case.theta) - case.log_evidence).exp()
    assert posterior.sum().item() == pytest.approx(1, abs=1e-7)
    assert case.mean_score(posterior) == pytest.approx(case.evidence_slope(), rel=1e-5, abs=1e-5)


@breaks(
    "prop-fisher",
    without="positive-evidence",
    case=family_of(member("impossible-x")),
    because=r"$\log p_\theta(x)$ is $-\infty$ at every $\theta$ that makes $x$ impossible, and has no gradient",
)
def test_an_impossible_observation_has_no_slope(case):
    assert case.log_evidence == -math.inf
    assert math.isnan(case.evidence_slope())


def both_signs() -> Family:
    """x | z ~ N(|theta| z, 1): at theta = 0 the joint density has a kink, and p(x) = N(x; 0, 1 + theta^2) has none."""
    z, log_volume = line(reach=3.0)
    x = torch.tensor(1.0).double()
    prior = Normal(torch.zeros((), dtype=torch.float64), 1.0).log_prob(z)
    return Family(
        "kink",
        lambda theta: prior + Normal(theta.abs() * z, 1.0).log_prob(x),
        log_volume,
        lambda theta: Normal(torch.zeros_like(theta), (1 + theta**2).sqrt()).log_prob(x),
    )


@breaks(
    "prop-fisher",
    without="differentiable-joint",
    case=both_signs(),
    because=r"for $x \mid z \sim \Normal(|\theta| z, 1)$ at $\theta = 0$ the left side is 0 and the gradient on the "
    "right does not exist",
)
def test_where_the_joint_has_a_kink_there_is_no_score_to_average(case):
    assert case.evidence_slope() == pytest.approx(0, abs=1e-9)
    here, ahead, behind = (case.at(step) for step in (0.0, STEP, -STEP))
    assert ((ahead - here) / STEP - (here - behind) / STEP).abs().max() > 1


def growing_support() -> Family:
    """z is uniform on (0, theta), seen as x ~ N(z, 1/4): the end of the support moves with theta."""
    theta, x = 1.3, torch.tensor(0.9).double()
    z, log_volume = interval(0.0, 2.0, 4000)

    def log_joint(theta: Tensor) -> Tensor:
        return torch.where(z < theta, Normal(z, 0.5).log_prob(x) - theta.log(), -torch.inf)

    def log_evidence(theta: Tensor) -> Tensor:
        standard = Normal(torch.zeros_like(theta), 0.5)
        return (standard.cdf(theta - x) - standard.cdf(-x)).log() - theta.log()

    return Family("growing-support", log_joint, log_volume, log_evidence, theta)


@breaks(
    "prop-fisher",
    without="exchangeable",
    case=growing_support(),
    because=r"if $z$ is uniform on $(0, \theta)$, the end of the support moves and adds a term that the average of "
    "gradients does not have",
)
def test_where_the_support_moves_the_average_misses_the_end(case):
    posterior = (case.at(case.theta) - case.log_evidence).exp()
    assert case.mean_score(posterior) == pytest.approx(-1 / case.theta, rel=1e-3)
    end = Normal(case.theta, 0.5).log_prob(torch.tensor(0.9)).exp().item() / case.theta / math.exp(case.log_evidence)
    assert case.evidence_slope() == pytest.approx(-1 / case.theta + end, abs=1e-5)
    assert end > 0.1


def test_a_uniform_prior_that_ends_at_theta_is_what_the_library_integrates():
    """The closed form of the growing support is the library's evidence of the same model."""
    theta = torch.tensor(1.3).double()
    model = QuadratureModel(Uniform(torch.zeros_like(theta), theta), lambda z: Normal(z, 0.5))
    exact = growing_support().log_evidence_at(theta)
    assert model.log_evidence(torch.tensor(0.9).double()).item() == pytest.approx(exact.item(), abs=1e-7)


@dataclass(frozen=True, eq=False)
class LinearCase:
    """W, b and Psi of the theorem, and what really holds at points of z: prior, likelihood, evidence, posterior."""

    name: str
    weight: Tensor
    bias: Tensor
    noise: Tensor
    x: Tensor
    z: Tensor
    log_prior: Tensor
    log_likelihood: Tensor
    log_evidence: float
    log_posterior: Tensor

    def prior_is_standard_normal(self) -> bool:
        zero = torch.zeros(self.z.shape[1], dtype=torch.float64)
        return close(self.log_prior, MultivariateNormal(zero, torch.eye(len(zero)).double()).log_prob(self.z))

    def likelihood_is_linear_and_normal(self) -> bool:
        means = self.z @ self.weight.mT + self.bias
        return close(self.log_likelihood, MultivariateNormal(means, self.noise).log_prob(self.x), 1e-7)

    def noise_is_positive_definite(self) -> bool:
        return torch.linalg.cholesky_ex(self.noise).info == 0

    def stated(self) -> tuple[float, Tensor]:
        """The evidence and the posterior of the theorem."""
        inverse = torch.linalg.inv(self.noise)
        precision = torch.eye(self.z.shape[1]).double() + self.weight.mT @ inverse @ self.weight
        mean = torch.linalg.solve(precision, self.weight.mT @ inverse @ (self.x - self.bias))
        evidence = MultivariateNormal(self.bias, self.weight @ self.weight.mT + self.noise).log_prob(self.x)
        return evidence.item(), MultivariateNormal(mean, precision_matrix=precision).log_prob(self.z)


def linear_case_of(one: Member) -> LinearCase:
    model, posterior = one.model, one.model.posterior(one.x)
    torch.manual_seed(0)
    z = torch.cat([model.prior.sample((50,)), posterior.sample((50,))])
    return LinearCase(
        one.name,
        model.weight,
        model.bias,
        torch.diag(model.noise_variance.expand(len(model.bias))),
        one.x,
        z,
        model.log_prior(z),
        model.log_likelihood(one.x, z),
        model.log_evidence(one.x).item(),
        posterior.log_prob(z),
    )


def scalar_case(name: str, prior: Normal, mean: Callable[[Tensor], Tensor]) -> LinearCase:
    """W = 1, b = 0 and Psi = 1 of a model with another prior, or another mean of x; the truth is summed on a grid."""
    one = torch.ones(1, dtype=torch.float64)
    z, log_volume = line(reach=3.0)
    log_prior, log_likelihood = prior.log_prob(z), Normal(mean(z), 1.0).log_prob(2 * one)
    evidence = (log_prior + log_likelihood + log_volume).logsumexp(0)
    log_posterior = log_prior + log_likelihood - evidence
    near = z.abs() < 5
    parts = (z[near][:, None], log_prior[near], log_likelihood[near])
    return LinearCase(name, one[:, None], 0 * one, one[:, None], 2 * one, *parts, evidence.item(), log_posterior[near])


UNIT = Normal(torch.zeros((), dtype=torch.float64), 1.0)
LINEAR = [linear_case_of(one) for one in members() if isinstance(one.model, LinearGaussian)]


@attack("thm-linear-gaussian", cases=[*LINEAR, scalar_case("on-a-grid", UNIT, lambda z: z)])
def test_the_evidence_and_the_posterior_are_those_of_the_theorem(case):
    evidence, posterior = case.stated()
    assert case.log_evidence == pytest.approx(evidence, rel=1e-8, abs=1e-8)
    assert close(case.log_posterior, posterior, 1e-6)


@breaks(
    "thm-linear-gaussian",
    without="standard-normal-prior",
    case=scalar_case("wide-prior", Normal(UNIT.loc, 2.0), lambda z: z),
    because="another prior, such as $\\Normal(0, 4)$, has another evidence and another posterior",
)
def test_another_prior_has_another_posterior(case):
    evidence, posterior = case.stated()
    assert abs(case.log_evidence - evidence) > 0.01
    assert (case.log_posterior - posterior).abs().max() > 0.1


@breaks(
    "thm-linear-gaussian",
    without="linear-normal-likelihood",
    case=scalar_case("absolute-value", UNIT, torch.abs),
    because="a mean that bends, such as $|z|$, gives a posterior with two modes",
)
def test_a_mean_that_bends_gives_a_posterior_that_is_not_normal(case):
    _, posterior = case.stated()
    here, there = (int((case.z[:, 0] - side).abs().argmin()) for side in (1.0, -1.0))
    assert abs(case.log_posterior[here] - case.log_posterior[there]) < 0.1
    assert posterior[here] - posterior[there] > 1


explained(
    "thm-linear-gaussian",
    without="positive-definite-noise",
    because=r"the formulas contain $\Psi^{-1}$, and without noise in some direction $x$ has no density given $z$",
)


@pytest.mark.parametrize("kappa", [0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("x", [0.0, 1.0, 2.5, 5.0])
def test_where_the_harmonic_mean_has_a_variance_the_prior_has_a_smaller_one(kappa, x):
    """Chapter 2, exercise 9: the relative variance of a draw, for z of law N(0, 1) and x given z of law N(a z, s²)."""
    s, a = 1.0, math.sqrt(kappa)
    z = torch.linspace(-150, 150, 600_001, dtype=torch.float64)
    log_prior, log_likelihood = Normal(0.0, 1.0).log_prob(z), Normal(a * z, s).log_prob(torch.tensor(x).double())
    log_evidence = Normal(0.0, math.sqrt(a**2 + s**2)).log_prob(torch.tensor(x).double())
    log_step = (z[1] - z[0]).log()
    of_prior = (log_prior + 2 * log_likelihood + log_step).logsumexp(0) - 2 * log_evidence
    of_harmonic_mean = (log_prior - log_likelihood + log_step).logsumexp(0) + log_evidence
    assert of_prior < of_harmonic_mean
    formula = x**2 / s**2 * kappa / (1 - kappa**2) - 0.5 * math.log1p(-(kappa**2))
    assert of_harmonic_mean.item() == pytest.approx(formula, abs=1e-6)
