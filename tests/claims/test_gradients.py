"""The claims of chapter 9, attacked.

Expectations are sums over nodes that move with q, and exact gradients are differences of such sums: neither uses the
identities that are tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import models
import pytest
import torch
from attack import attack, breaks, explained
from torch import Tensor
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal
from zoo import Member, member, members

from lvmlib import BernoulliMixture, data, expectation_maximization, log_weights, surrogate
from lvmlib.density import log_density

Nodes = tuple[Tensor, Tensor]
STEP = 1e-4


def _double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _slope(value: Callable[[float], Tensor], at: float) -> Tensor:
    """The derivative by central differences, with an error of the order of STEP to the fourth power."""
    near, far = (value(at + d * STEP) - value(at - d * STEP) for d in (1, 2))
    return (8 * near - far) / (12 * STEP)


@dataclass(frozen=True, eq=False)
class Family:
    """Densities q with one parameter, at one value of it, and a joint density.

    ``nodes(phi)`` are points with the probabilities that q gives them, and ``path(phi, noise)`` are its draws; by
    default the nodes are moved by the path.
    """

    name: str
    phi: float
    nodes: Callable[[float], Nodes]
    log_q: Callable[[Tensor | float, Tensor], Tensor]
    log_joint: Callable[[Tensor], Tensor]
    path: Callable[[Tensor | float, Tensor], Tensor] | None = None
    noise: Nodes | None = None
    baseline: Callable[[Tensor], Tensor] = lambda z: torch.full((len(z),), 1.3, dtype=torch.float64)
    has_finite_bound: bool = True
    exact_slope: float | None = None

    @property
    def z(self) -> Tensor:
        return self.nodes(self.phi)[0]

    @property
    def mass(self) -> Tensor:
        return self.nodes(self.phi)[1]

    def log_weight(self, phi: Tensor | float, z: Tensor) -> Tensor:
        return self.log_joint(z) - self.log_q(phi, z)

    def bound(self, phi: float) -> Tensor:
        z, mass = self.nodes(phi)
        return (mass * self.log_weight(phi, z))[mass > 0].sum()

    def gradient(self) -> float:
        """Of the ELBO; given where a jump or a kink moves past the nodes, so that differences are rough."""
        return _slope(self.bound, self.phi).item() if self.exact_slope is None else self.exact_slope

    @cached_property
    def score(self) -> Tensor:
        phi = torch.full((len(self.z),), self.phi, dtype=torch.float64, requires_grad=True)
        values = (
            torch.stack([self.log_q(p, z) for p, z in zip(phi, self.z, strict=True)])
            if len(self.z) < 50
            else (self.log_q(phi if self.z.ndim == 1 else phi[:, None], self.z))
        )
        if not values.requires_grad:
            return torch.zeros_like(self.mass)
        return torch.autograd.grad(values.sum(), phi)[0]

    def along_the_path(self, *, hold_q: bool) -> Tensor:
        """For each node of the noise the derivative of log w along the path; of log q's own parameter unless held."""
        assert self.path is not None
        phi = torch.full((len(self.noise_nodes[0]),), self.phi, dtype=torch.float64, requires_grad=True)
        column = phi if self.noise_nodes[0].ndim == 1 else phi[:, None]
        z = self.path(column, self.noise_nodes[0])
        value = self.log_weight(self.phi if hold_q else column, z)
        return torch.autograd.grad(value.sum(), phi)[0] if value.requires_grad else torch.zeros_like(phi)

    @property
    def noise_nodes(self) -> Nodes:
        return self.noise if self.noise is not None else self.nodes(0.0)

    def finite_bound(self) -> bool:
        return self.has_finite_bound and math.isfinite(self.bound(self.phi).item())

    def fixed_support(self) -> bool:
        """What q draws at neighbouring parameters it draws here."""
        return all(bool((self.log_q(self.phi, self.nodes(self.phi + d)[0]) > -math.inf).all()) for d in (-1e-3, 1e-3))

    def dominated_score(self) -> bool:
        """The log-density moves little with phi at each node that q draws before and after."""
        moved = self.log_q(self.phi + 1e-3, self.z) - self.log_q(self.phi, self.z)
        return bool((moved[moved.isfinite()].abs() < 0.1).all())

    def score_mean_zero(self) -> bool:
        return abs((self.mass * self.score).sum().item()) < 1e-7

    def score_not_zero(self) -> bool:
        return (self.mass * self.score.square()).sum().item() > 1e-9

    def constant_baseline(self) -> bool:
        values = self.baseline(self.z)
        return (values.max() - values.min()).item() < 1e-12

    def finite_second_moments(self) -> bool:
        return self.finite_bound()

    def path_has_density(self) -> bool:
        """Draws along the path have the means that q has."""
        if self.path is None:
            return False
        (noise, chance), moved = self.noise_nodes, self.path(self.phi, self.noise_nodes[0])
        del noise
        tries = (torch.sin, torch.cos, torch.atan)
        return all(
            abs(((chance * _first(g(moved))).sum() - (self.mass * _first(g(self.z))).sum()).item()) < 1e-4
            for g in tries
        )

    def lipschitz_path(self) -> bool:
        """A small step in phi moves log w a little at each node of the noise."""
        if self.path is None:
            return False
        noise, chance = self.noise_nodes
        here, there = (self.log_weight(p, self.path(p, noise)) for p in (self.phi, self.phi + 1e-3))
        return bool(((there - here).abs()[chance > 0] < 0.3).all())


def _first(values: Tensor) -> Tensor:
    return values if values.ndim == 1 else values[..., 0]


def _moved(one: Member) -> Family:
    """A member with a continuous z: its q, moved along all coordinates by phi."""
    assert one.grid is not None
    z = one.grid.z
    mass = (log_density(one.q, z) + one.grid.log_volume).exp()
    z, mass = z[mass > 0], mass[mass > 0]
    return Family(
        one.name,
        0.0,
        lambda phi: (z + phi, mass),
        lambda phi, at: log_density(one.q, at - phi),
        lambda at: one.model.log_joint(one.x, at),
        path=lambda phi, noise: noise + phi,
        has_finite_bound=math.isfinite(one.truth.elbo),
    )


def _tilted(one: Member) -> Family:
    """A member with a discrete z: the logits of q, moved along one direction by phi."""
    logits = one.q.logits
    direction = torch.arange(len(logits), dtype=torch.float64) ** 2
    drawn = one.q.probs > 0

    def log_q(phi: Tensor | float, z: Tensor) -> Tensor:
        return (logits + phi * direction).log_softmax(-1)[z]

    def nodes(phi: float) -> Nodes:
        z = torch.arange(len(logits))[drawn]
        return z, log_q(phi, z).exp()

    return Family(
        one.name, 0.0, nodes, log_q, lambda z: one.model.log_joint(one.x, z), has_finite_bound=one.truth.kl < math.inf
    )


def _families() -> list[Family]:
    found = []
    for one in members():
        if isinstance(one.q, Categorical) and one.name not in ("impossible-x", "single-draw"):
            found.append(_tilted(one))
        elif one.grid is not None and not isinstance(one.q, Categorical):
            found.append(_moved(one))
    return found


FAMILIES = _families()
# The middles of cells, whose edges are where the functions below jump or bend.
NORMAL_NOISE = (torch.arange(-18_000, 18_000).double() + 0.5) / 2000


def _log_normal(z: Tensor) -> Tensor:
    return -0.5 * z.square() - 0.5 * math.log(2 * math.pi)


NORMAL_MASS = _log_normal(NORMAL_NOISE).exp() / 2000


def _normal(
    name: str, log_joint: Callable[[Tensor], Tensor], phi: float = 0.3, exact_slope: float | None = None
) -> Family:
    """N(phi, 1) under another joint density."""
    return Family(
        name,
        phi,
        lambda at: (NORMAL_NOISE + at, NORMAL_MASS),
        lambda at, z: _log_normal(z - at),
        log_joint,
        path=lambda at, noise: noise + at,
        noise=(NORMAL_NOISE, NORMAL_MASS),
        exact_slope=exact_slope,
    )


def _uniform_end() -> Family:
    """q uniform from 0 to phi."""
    unit = (torch.arange(400).double() + 0.5) / 400
    mass = torch.full_like(unit, 1 / 400)
    return Family(
        "uniform-end",
        2.0,
        lambda phi: (phi * unit, mass),
        lambda phi, z: torch.where(z <= phi, -torch.as_tensor(phi, dtype=torch.float64).log(), -math.inf),
        lambda z: -z,
        path=lambda phi, noise: phi * noise,
        noise=(unit, mass),
    )


def _moving_step() -> Family:
    """q has the mass 1/2 below phi and 1/2 above it, spread evenly over the unit interval: a jump moves."""
    unit = (torch.arange(2000).double() + 0.5) / 2000

    def log_q(phi: Tensor | float, z: Tensor) -> Tensor:
        phi = torch.as_tensor(phi, dtype=torch.float64)
        return torch.where(z < phi, (0.5 / phi).log(), (0.5 / (1 - phi)).log())

    return Family(
        "moving-step",
        0.3,
        lambda phi: (torch.cat([phi * unit, phi + (1 - phi) * unit]), torch.full((4000,), 1 / 4000).double()),
        log_q,
        lambda z: -z,
    )


CDF = Normal(_double(0.0), _double(1.0)).cdf
STEP_LIKELIHOOD = _normal(
    "step",
    lambda z: torch.where(z > 0, math.log(0.9), math.log(0.1)).double(),
    exact_slope=math.log(9) * _log_normal(_double(0.3)).exp().item(),
)
# As of a ReLU decoder, and with a kink at 0.2.
KINK = _normal("kink", lambda z: -z.clamp(min=0.0), exact_slope=-CDF(_double(0.3)).item())
EDGE = _normal("edge", lambda z: -(z - 0.2).abs(), exact_slope=1 - 2 * CDF(_double(0.1)).item())

# Theta.


@dataclass(frozen=True, eq=False)
class Theta:
    """Log-joint densities with one parameter, and the nodes of a q."""

    name: str
    theta: float
    nodes: Callable[[float], Nodes]
    log_joint: Callable[[Tensor | float, Tensor], Tensor]
    log_q: Callable[[float, Tensor], Tensor]
    has_finite_bound: bool = True

    def bound(self, theta: float) -> Tensor:
        z, mass = self.nodes(theta)
        return (mass * (self.log_joint(theta, z) - self.log_q(theta, z))).sum()

    def mean_of_gradients(self) -> float:
        z, mass = self.nodes(self.theta)
        theta = torch.full((len(z),), self.theta, dtype=torch.float64, requires_grad=True)
        value = self.log_joint(theta, z)
        each = torch.autograd.grad(value.sum(), theta)[0] if value.requires_grad else torch.zeros_like(mass)
        return (mass * each).sum().item()

    def q_free_of_theta(self) -> bool:
        (z, mass), (other, moved) = self.nodes(self.theta), self.nodes(self.theta + 1e-3)
        return torch.equal(z, other) and torch.equal(mass, moved)

    def dominated_derivative(self) -> bool:
        z = self.nodes(self.theta)[0]
        moved = self.log_joint(self.theta + 1e-3, z) - self.log_joint(self.theta, z)
        return bool((moved.abs() < 0.1).all())

    def finite_bound(self) -> bool:
        return self.has_finite_bound


def _tilted_joint(family: Family) -> Theta:
    """The joint density of a case times exp(theta sin(z)), whose evidence changes with theta."""
    return Theta(
        family.name,
        0.0,
        lambda theta: family.nodes(family.phi),
        lambda theta, z: family.log_joint(z) + theta * _first(torch.sin(z.double())),
        lambda theta, z: family.log_q(family.phi, z),
        has_finite_bound=family.finite_bound(),
    )


THETAS = [_tilted_joint(family) for family in FAMILIES]


@attack("prop-theta-gradient", cases=THETAS)
def test_the_gradient_in_theta_goes_inside_the_expectation(case):
    assert _slope(case.bound, case.theta).item() == pytest.approx(case.mean_of_gradients(), rel=1e-6, abs=1e-6)


@breaks(
    "prop-theta-gradient",
    without="q-free-of-theta",
    case=Theta(
        "shared",
        0.5,
        lambda theta: (NORMAL_NOISE + theta, NORMAL_MASS),
        lambda theta, z: -0.5 * (z - 2) ** 2 + 0 * theta,
        lambda theta, z: _log_normal(z - theta),
    ),
    because=r"a $q$ that moves with $\theta$ changes the ELBO even where the joint density does not",
)
def test_a_q_that_shares_theta_has_another_gradient(case):
    assert case.mean_of_gradients() == 0
    assert _slope(case.bound, case.theta) > 1


@breaks(
    "prop-theta-gradient",
    without="dominated-derivative",
    case=Theta(
        "moving-threshold",
        0.3,
        lambda theta: (NORMAL_NOISE, NORMAL_MASS),
        lambda theta, z: torch.where(z < theta, math.log(0.9), math.log(0.1)).double(),
        lambda theta, z: _log_normal(z),
    ),
    because=r"a likelihood that jumps at $z = \theta$ has the derivative zero at almost all $z$, and its mean changes",
)
def test_a_threshold_that_moves_is_not_seen_from_inside(case):
    assert case.mean_of_gradients() == 0
    rise = (case.bound(case.theta + 0.1) - case.bound(case.theta - 0.1)) / 0.2
    assert rise.item() == pytest.approx(math.log(9) * _log_normal(_double(0.3)).exp().item(), rel=0.01)


@breaks(
    "prop-theta-gradient",
    without="finite-bound",
    case=next(theta for theta in THETAS if theta.name == "cauchy-proposal"),
    because=r"under a Cauchy $q$ the ELBO of a normal model is $-\infty$ for all $\theta$, and has no gradient",
)
def test_the_mean_of_gradients_can_exist_without_an_elbo(case):
    assert member(case.name).truth.elbo == -math.inf
    assert math.isfinite(case.mean_of_gradients())


def test_a_poor_q_turns_the_gradient_in_theta_around():
    """In the slope a of x = a z + noise: q = N(m + 0.7 s, (0.8 s)^2) for the posterior N(m, s^2) at a = 1.5."""
    x, noise = 2.5, 0.49

    def log_evidence(a: float) -> Tensor:
        return Normal(0.0, math.sqrt(a**2 + noise)).log_prob(torch.tensor(x, dtype=torch.float64))

    variance = 1 / (1 + 1.5**2 / noise)
    z = 1.5 * x / noise * variance + math.sqrt(variance) * (0.7 + 0.8 * NORMAL_NOISE)

    def bound(a: float) -> Tensor:
        """Up to what does not change with a."""
        return (NORMAL_MASS * (-0.5 * (x - a * z) ** 2 / noise)).sum()

    assert _slope(log_evidence, 1.5).item() == pytest.approx(0.701, abs=5e-4)
    assert _slope(bound, 1.5).item() == pytest.approx(-0.340, abs=5e-4)


# The score.


@attack("thm-score-function", cases=[*FAMILIES, KINK, EDGE, STEP_LIKELIHOOD])
def test_the_score_identity_has_the_gradient_of_the_elbo(case):
    assert (case.mass * case.score).sum().item() == pytest.approx(0, abs=1e-7)
    identity = (case.mass * case.log_weight(case.phi, case.z) * case.score).sum().item()
    assert identity == pytest.approx(case.gradient(), rel=1e-6, abs=1e-6)


def _rows_of_gradients(one: Member, rows: int, **options) -> Tensor:
    """Independent estimates of the gradient in the mean of a normal q, summed over its coordinates."""
    base = one.q.base_dist if isinstance(one.q, Independent) else one.q
    loc = base.mean.expand(rows, *base.mean.shape).clone().requires_grad_()
    if isinstance(base, MultivariateNormal):
        q = MultivariateNormal(loc, base.covariance_matrix)
    else:
        q = Normal(loc, base.stddev)
        q = Independent(q, 1) if isinstance(one.q, Independent) else q
    x = one.x.expand(rows, *one.x.shape)
    loss = surrogate(one.model, q, x, 2, **options)
    return -torch.autograd.grad(loss, loc)[0].reshape(rows, -1).sum(-1)


NORMAL_MEMBERS = [
    replace(family, name=family.name)
    for family in FAMILIES
    if isinstance(member(family.name).q, Normal | MultivariateNormal)
    or isinstance(getattr(member(family.name).q, "base_dist", None), Normal)
]


@attack("thm-score-function", cases=NORMAL_MEMBERS)
def test_the_score_estimators_of_the_library_have_the_gradient_of_the_elbo(case):
    torch.manual_seed(1)
    for options in ({}, {"baseline": "leave_one_out"}):
        rows = _rows_of_gradients(member(case.name), 20_000, estimator="score", **options)
        assert abs(rows.mean().item() - case.gradient()) < 5 * rows.std().item() / math.sqrt(len(rows)) + 1e-9


@breaks(
    "thm-score-function",
    without="fixed-support",
    case=next(family for family in FAMILIES if family.name == "uniform-slice"),
    because="a uniform $q$ that moves has the score zero at each draw, and its ELBO changes",
)
def test_the_score_of_a_uniform_that_moves_sees_nothing(case):
    moved = replace(case, phi=0.2)
    assert moved.score.abs().max() == 0
    assert abs(moved.gradient()) > 0.1


@breaks(
    "thm-score-function",
    without="dominated-score",
    case=_moving_step(),
    because=r"a density with a jump that moves with $\phi$ has a score whose mean is not zero",
)
def test_a_jump_of_the_density_that_moves_is_missed(case):
    mean = (case.mass * case.score).sum().item()
    assert mean == pytest.approx(-0.5 / 0.3 + 0.5 / 0.7)
    identity = (case.mass * case.log_weight(case.phi, case.z) * case.score).sum().item()
    assert abs(identity - case.gradient()) > 0.1


explained("thm-score-function", without="finite-bound", because=r"an ELBO of $-\infty$ has no gradient")

# Baselines.


def _spread(case: Family, b: float) -> float:
    values = (case.log_weight(case.phi, case.z) - b) * case.score
    return ((case.mass * values.square()).sum() - (case.mass * values).sum().square()).item()


@attack("prop-baseline", cases=FAMILIES)
def test_a_constant_baseline_leaves_the_mean_and_its_variance_is_a_parabola(case):
    f, weight = case.log_weight(case.phi, case.z), case.mass * case.score.square()
    plain = (case.mass * f * case.score).sum().item()
    for b in (-7.0, case.baseline(case.z)[0].item()):
        assert (case.mass * (f - b) * case.score).sum().item() == pytest.approx(plain, rel=1e-6, abs=1e-5)
        parabola = _spread(case, 0.0) - 2 * b * (weight * f).sum().item() + b**2 * weight.sum().item()
        assert _spread(case, b) == pytest.approx(parabola, rel=1e-5, abs=1e-5)
    best = ((weight * f).sum() / weight.sum()).item()
    for step in (-2.0, -0.1, 0.1, 2.0):
        assert _spread(case, best + step) > _spread(case, best)


@breaks(
    "prop-baseline",
    without="constant-baseline",
    case=replace(FAMILIES[0], name="looks-at-its-draw", baseline=lambda z: 3.0 * z.double()),
    because="a $b$ that looks at its own draw can change the mean",
)
def test_a_baseline_that_looks_at_its_draw_can_bias(case):
    assert abs((case.mass * case.baseline(case.z) * case.score).sum().item()) > 0.5


def test_a_baseline_that_looks_at_its_draw_need_not_bias():
    """(z - mu)^2 is even about mu, and the score of mu is odd; for the log-scale it does bias."""
    squares = (NORMAL_MASS * NORMAL_NOISE.square() * NORMAL_NOISE).sum()
    assert abs(squares) < 1e-9
    of_the_scale = (NORMAL_MASS * NORMAL_NOISE.square() * (NORMAL_NOISE.square() - 1)).sum()
    assert of_the_scale.item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("t", "elbo", "of_the_mean", "of_the_log_scale"), [(2.0, -0.81, -3.81, -6.81), (0.5, -0.32, 0.43, 1.18)]
)
def test_the_best_baseline_can_be_nats_away_from_the_elbo(t, elbo, of_the_mean, of_the_log_scale):
    """q = N(0, t^2) for the posterior N(0, 1) and p(x) = 1. Of t = 1/2 the ELBO is a worse baseline than none."""
    f = _log_normal(t * NORMAL_NOISE) - _log_normal(NORMAL_NOISE) + math.log(t)
    assert (NORMAL_MASS * f).sum().item() == pytest.approx(elbo, abs=0.006)
    for score, stated in ((NORMAL_NOISE / t, of_the_mean), (NORMAL_NOISE.square() - 1, of_the_log_scale)):
        weight = NORMAL_MASS * score.square()
        best = ((weight * f).sum() / weight.sum()).item()
        assert best == pytest.approx(stated, abs=0.006)
        assert (abs(elbo - best) > abs(best)) == (t < 1)  # the variance grows with the distance from the best


@breaks(
    "prop-baseline",
    without="score-mean-zero",
    case=_uniform_end(),
    because="a constant times a score whose mean is not zero changes the mean",
)
def test_with_a_support_that_moves_a_constant_baseline_biases(case):
    assert (case.mass * case.baseline(case.z) * case.score).sum().item() == pytest.approx(-1.3 / 2)


@breaks(
    "prop-baseline",
    without="score-not-zero",
    case=next(family for family in FAMILIES if family.name == "one-value"),
    because="where the score is zero the variance is zero for each $b$, and none is best",
)
def test_where_the_score_is_zero_each_baseline_is_as_good(case):
    assert _spread(case, 0.0) == _spread(case, 5.0) == 0
    weight = case.mass * case.score.square()
    assert math.isnan((weight.sum() / weight.sum()).item())


def test_the_best_baseline_asks_for_no_second_moment_of_f():
    """f(z) = |z|^(-1/2) has none under N(0, 1); its products with the score z of the mean have all that are used."""

    def absolute_moment(power: float) -> float:
        return 2 ** (power / 2) * math.gamma((power + 1) / 2) / math.sqrt(math.pi)

    edges = torch.linspace(0, 12, 240_001, dtype=torch.float64)
    z = (edges[1:] + edges[:-1]) / 2
    mass = 2 * torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi) * (edges[1] - edges[0])
    assert (mass / z).sum() > 5  # and it grows with the logarithm of the number of points
    best = absolute_moment(1.5)  # the mean of f z^2, over that of z^2
    for b in (0.0, best - 0.2, best, best + 0.2):
        found = (mass * ((z**-0.5 - b) * z).square()).sum()
        assert found == pytest.approx(absolute_moment(1) - 2 * b * best + b**2, abs=1e-5)


explained(
    "prop-baseline",
    without="finite-second-moments",
    because="where the product alone has an infinite second moment, the variance is infinite for each $b$, and none is "
    "best",
)


@dataclass(frozen=True, eq=False)
class Draws:
    """K draws of a family, all tuples with their probabilities: independent, or copies of one draw."""

    name: str
    family: Family
    count: int
    copies: bool = False
    function: Callable[[float, Tensor], Tensor] = lambda phi, z: torch.cos(2.0 * z) + z

    def at_least_two(self) -> bool:
        return self.count >= 2

    def draws_are_independent(self) -> bool:
        return not self.copies

    def score_mean_zero(self) -> bool:
        return self.family.score_mean_zero()

    def f(self) -> Tensor:
        return self.function(self.family.phi, self.family.z.double())

    def exact(self) -> float:
        def mean(phi: float) -> Tensor:
            z, mass = self.family.nodes(phi)
            return (mass * self.function(phi, z.double())).sum()

        return _slope(mean, self.family.phi).item()

    def score_identity(self) -> bool:
        return abs((self.family.mass * self.f() * self.family.score).sum().item() - self.exact()) < 1e-6

    def means(self) -> tuple[float, float]:
        """Of the estimator with the mean of the others, and of the one with the mean of all and K - 1."""
        f, score, mass = self.f(), self.family.score, self.family.mass
        index = torch.arange(len(f))
        tuples = index[:, None].expand(-1, self.count) if self.copies else torch.cartesian_prod(*[index] * self.count)
        tuples = tuples.reshape(-1, self.count)
        chance = mass[tuples[:, 0]] if self.copies else mass[tuples].prod(-1)
        values, scores = f[tuples], score[tuples]
        others = (values.sum(-1, keepdim=True) - values) / (self.count - 1) if self.count > 1 else math.nan
        left_out = ((values - others) * scores).mean(-1)
        short = ((values - values.mean(-1, keepdim=True)) * scores).sum(-1) / (self.count - 1 or math.nan)
        return (chance * left_out).sum().item(), (chance * short).sum().item()


TABLES = [family for family in FAMILIES if len(family.z) < 10]
DRAWS = [Draws(f"{family.name}-{k}", family, k) for family in TABLES for k in (2, 3, 5)]


@attack("prop-leave-one-out", cases=DRAWS)
def test_leaving_one_out_is_unbiased_in_both_forms(case):
    for mean in case.means():
        assert mean == pytest.approx(case.exact(), rel=1e-7, abs=1e-7)


@breaks(
    "prop-leave-one-out",
    without="independent-draws",
    case=Draws("copies", TABLES[0], 2, copies=True),
    because="copies of one draw differ by nothing, and the estimate is zero",
)
def test_copies_of_one_draw_give_zero(case):
    assert case.means() == (0.0, 0.0)
    assert abs(case.exact()) > 0.1


@breaks(
    "prop-leave-one-out",
    without="score-mean-zero",
    # The function is zero at the end that moves, so that the score identity holds.
    case=Draws("uniform-end-2", _uniform_end(), 2, function=lambda phi, z: z - 2.0),
    because="the mean of the others times a score whose mean is not zero does not vanish",
)
def test_with_a_support_that_moves_leaving_one_out_biases(case):
    assert abs(case.means()[0] - case.exact()) > 0.1


@breaks(
    "prop-leave-one-out",
    without="score-identity",
    case=Draws("moving-function", TABLES[0], 2, function=lambda phi, z: z + phi * z),
    because=r"a function that changes with $\phi$ itself adds a part to the gradient that no score sees",
)
def test_a_function_that_moves_with_phi_is_missed(case):
    z, mass = case.family.nodes(case.family.phi)
    missed = (mass * z.double()).sum().item()
    assert abs(missed) > 0.1
    assert case.exact() - case.means()[0] == pytest.approx(missed, rel=1e-6)


explained("prop-leave-one-out", without="at-least-two", because="one draw has no others")

# The other coordinates.


@dataclass(frozen=True, eq=False)
class TwoCoordinates:
    """A joint table of q over two coordinates, a table of log-weights, and the score of the first coordinate."""

    name: str
    q: Tensor
    log_w: Tensor
    score: Tensor

    def coordinates_of_q_are_independent(self) -> bool:
        product = torch.outer(self.q.sum(1), self.q.sum(0))
        return torch.allclose(self.q, product, atol=1e-12)

    def finite_second_moments(self) -> bool:
        squares = (self.log_w.square(), self.score.square(), (self.log_w * self.score[:, None]).square())
        return all(bool(square.isfinite().all()) for square in squares)

    def additive_weight(self) -> bool:
        lean = self.log_w - self.log_w[:1] - self.log_w[:, :1] + self.log_w[0, 0]
        return lean.abs().max().item() < 1e-12

    def second_moment(self, b: float) -> float:
        return (self.q * ((self.log_w - b) * self.score[:, None]).square()).sum().item()

    def stated(self, b: float) -> float:
        """With f and h so that the first value of h is zero."""
        f, h = self.log_w[:, 0], (self.log_w - self.log_w[:, :1])[0]
        first, second = self.q.sum(1), self.q.sum(0)
        mean = (second * h).sum()
        noise = (second * (h - mean).square()).sum() * (first * self.score.square()).sum()
        return ((first * ((f + mean - b) * self.score).square()).sum() + noise).item()


def _two(name: str, *, first: Tensor, second: Tensor, log_w: Tensor, mix: float = 0.0) -> TwoCoordinates:
    q = torch.outer(first, second)
    size = min(q.shape)
    q = (1 - mix) * q + mix * torch.eye(*q.shape, dtype=torch.float64) / size
    score = torch.eye(len(first), dtype=torch.float64)[0] - first[0]
    return TwoCoordinates(name, q, log_w, score)


def _sum(f: Tensor, h: Tensor) -> Tensor:
    return f[:, None] + h


NOISES = [
    *(
        _two(
            f"random-{seed}",
            first=models.table(3, seed=seed),
            second=models.table(4, seed=seed + 1),
            log_w=_sum(models.normals(3, seed=seed + 2), models.normals(4, seed=seed + 3)),
        )
        for seed in range(4)
    ),
    _two(
        "calm",
        first=models.table(3, seed=5),
        second=models.table(4, seed=6),
        log_w=_sum(_double(1, 2, 3), _double(0, 0, 0, 0)),
    ),
    _two(
        "loud",
        first=models.table(2, seed=7),
        second=models.table(2, seed=8),
        log_w=_sum(_double(0, 0), _double(-500, 0)),
    ),
    _two("one-value", first=_double(1.0), second=models.table(2, seed=8), log_w=_sum(_double(0.3), _double(-1, 2))),
]


@attack("prop-dimension", cases=NOISES)
def test_the_noise_of_the_other_coordinate_adds_to_the_second_moment(case):
    for b in (0.0, -3.0, 1.7):
        assert case.second_moment(b) == pytest.approx(case.stated(b), rel=1e-9, abs=1e-12)


@breaks(
    "prop-dimension",
    without="additive-weight",
    case=_two(
        "interaction",
        first=models.table(2, seed=1),
        second=models.table(2, seed=2),
        log_w=_double(0, 2, -2, 0).reshape(2, 2) * _double(1, 3).reshape(2, 1),
    ),
    because="a log-weight that is no sum has no part that belongs to the second coordinate alone",
)
def test_with_an_interaction_the_noise_is_another(case):
    assert abs(case.second_moment(0.0) - case.stated(0.0)) > 0.1


@breaks(
    "prop-dimension",
    without="coordinates-of-q-are-independent",
    case=_two(
        "correlated",
        first=models.table(2, seed=1),
        second=models.table(2, seed=2),
        log_w=_sum(_double(0, 1), _double(2, -1)),
        mix=0.7,
    ),
    because="the value of a dependent coordinate is partly known from the first, and adds another noise",
)
def test_with_correlated_coordinates_the_noise_is_another(case):
    assert abs(case.second_moment(0.0) - case.stated(0.0)) > 0.1


explained(
    "prop-dimension",
    without="finite-second-moments",
    because="the parts of an infinite variance have no difference to compare",
)


@attack("prop-dimension", cases=NOISES)
def test_the_variance_is_at_least_the_noise_of_the_other_coordinate(case):
    """Also for copies, of which the other coordinate stands for the rest; whether or not the score has mean zero."""
    h = (case.log_w - case.log_w[:, :1])[0]
    second = case.q.sum(0)
    noise = (second * (h - (second * h).sum()).square()).sum()
    for score in (case.score, case.score - 2.0):
        moved = replace(case, score=score)
        least = noise * (case.q.sum(1) * score.square()).sum()
        for b in (0.0, -3.0, 1.7):
            mean = (case.q * (case.log_w - b) * score[:, None]).sum()
            assert moved.second_moment(b) - mean.square() >= least * (1 - 1e-9) - 1e-9


# Moving the draws.


def test_correlation_raises_the_noise_of_a_moved_draw():
    """The gradient in a mean is a row of -Lambda (z - m), with z from the best product for a correlation of 1/2."""

    def deviation(dim: int) -> float:
        covariance = 0.5 * torch.eye(dim).double() + 0.5
        precision = torch.linalg.inv(covariance)
        return (precision[0].square() / precision.diagonal()).sum().sqrt().item()

    assert deviation(1) == pytest.approx(1.0)
    assert deviation(64) == pytest.approx(1.41, abs=0.01)


@attack("thm-reparameterisation", cases=[*FAMILIES, KINK, EDGE, _uniform_end()])
def test_the_derivative_along_the_path_has_the_gradient_of_the_elbo(case):
    mean = (case.noise_nodes[1] * case.along_the_path(hold_q=False)).sum().item()
    assert mean == pytest.approx(case.gradient(), rel=1e-5, abs=1e-5)


@attack("thm-reparameterisation", cases=NORMAL_MEMBERS)
def test_the_reparameterised_estimators_of_the_library_have_the_gradient_of_the_elbo(case):
    torch.manual_seed(1)
    for estimator in ("reparameterized", "stl"):
        rows = _rows_of_gradients(member(case.name), 20_000, estimator=estimator)
        assert abs(rows.mean().item() - case.gradient()) < 5 * rows.std().item() / math.sqrt(len(rows)) + 1e-9


@breaks(
    "thm-reparameterisation",
    without="lipschitz-path",
    case=STEP_LIKELIHOOD,
    because="a likelihood that jumps in $z$ has the slope zero at almost all draws, and its mean changes",
)
def test_a_jump_in_z_is_not_seen_along_the_path(case):
    along = (case.noise_nodes[1] * case.along_the_path(hold_q=False)).sum().item()
    assert along == pytest.approx(0, abs=1e-9)
    rise = (case.bound(case.phi + 0.1) - case.bound(case.phi - 0.1)).item() / 0.2
    assert rise == pytest.approx(case.gradient(), rel=0.01)


# Draws along this path have another density than its q.
WRONG_PATH = replace(_normal("wrong-path", lambda z: -0.5 * (z - 2) ** 2), path=lambda phi, noise: noise + 2 * phi)


@breaks(
    "thm-reparameterisation",
    without="path-has-density",
    case=WRONG_PATH,
    because="draws along another path belong to another $q$",
)
def test_another_path_has_another_gradient(case):
    along = (case.noise_nodes[1] * case.along_the_path(hold_q=False)).sum().item()
    assert abs(along - case.gradient()) > 0.1


explained("thm-reparameterisation", without="finite-bound", because="a mean that is infinite has no gradient")

# Sticking the landing.

explained("prop-stl", without="finite-bound", because=r"an ELBO of $-\infty$ has no gradient")


@breaks(
    "prop-stl",
    without="path-has-density",
    case=WRONG_PATH,
    because="draws along another path belong to another $q$",
)
def test_along_another_path_the_part_that_is_kept_has_another_mean(case):
    along = (case.noise_nodes[1] * case.along_the_path(hold_q=True)).sum().item()
    assert abs(along - case.gradient()) > 1


@attack("prop-stl", cases=[*FAMILIES, KINK, EDGE])
def test_the_part_along_the_path_is_unbiased_and_nothing_at_the_posterior(case):
    each = case.along_the_path(hold_q=True)
    mean = (case.noise_nodes[1] * each).sum().item()
    assert mean == pytest.approx(case.gradient(), rel=1e-5, abs=1e-5)
    moved = case.path(case.phi, case.noise_nodes[0])
    level = case.log_weight(case.phi, moved)
    if (level.max() - level.min()) < 1e-9:
        assert each.abs().max() < 1e-7


@attack("prop-stl", cases=[_normal("at-the-posterior", lambda z: _log_normal(z - 0.3) - 2.0)])
def test_at_the_posterior_each_single_draw_gives_zero(case):
    assert case.along_the_path(hold_q=True).abs().max() < 1e-12
    assert case.along_the_path(hold_q=False).abs().max() > 1


SCALARS = ("light-tails", "nearly-light-tails", "wide-normal", "shifted-normal", "narrow-posterior", "prior-1")


@attack("prop-stl", cases=[family for family in FAMILIES if family.name in SCALARS])
def test_for_normals_the_deviations_are_as_stated(case):
    one = member(case.name)
    s, t = one.model.posterior(one.x).stddev.item(), one.q.stddev.item()
    stated = {False: t / s**2, True: abs(1 / t - t / s**2)}
    for hold_q, value in stated.items():
        each, mass = case.along_the_path(hold_q=hold_q), case.noise_nodes[1]
        variance = (mass * each.square()).sum() - (mass * each).sum().square()
        assert variance.clamp(min=0).sqrt().item() == pytest.approx(value, rel=1e-4, abs=1e-3 / s)
    assert (stated[True] < stated[False]) == (t**2 > s**2 / 2)


@breaks(
    "prop-stl",
    without="lipschitz-path",
    case=STEP_LIKELIHOOD,
    because="a jump in $z$ is not seen along the path",
)
def test_sticking_the_landing_does_not_see_a_jump(case):
    along = (case.noise_nodes[1] * case.along_the_path(hold_q=True)).sum().item()
    assert abs(along - case.gradient()) > 0.5


@breaks(
    "prop-stl",
    without="score-mean-zero",
    case=_uniform_end(),
    because="where the support moves, the part that is left out has a mean of its own",
)
def test_where_the_support_moves_the_part_left_out_is_missing(case):
    mean = (case.noise_nodes[1] * case.along_the_path(hold_q=True)).sum().item()
    assert case.gradient() - mean == pytest.approx(1 / case.phi, rel=1e-4)


@pytest.mark.parametrize("off", [0.0, 0.7])
@pytest.mark.parametrize("ratio", [0.3, 0.69, 0.72, 1.0, 2.0])
def test_the_gradient_in_the_log_scale_has_the_same_threshold(ratio, off):
    """Of q = N(off, ratio^2) for the posterior N(0, 1): plain and stl in log t, by differentiating at each node."""
    spread = {}
    for hold_q in (False, True):
        log_scale = torch.full_like(NORMAL_NOISE, math.log(ratio)).requires_grad_()
        z = off + log_scale.exp() * NORMAL_NOISE
        inside = log_scale.detach() if hold_q else log_scale
        log_w = _log_normal(z) - (_log_normal((z - off) / inside.exp()) - inside)
        (each,) = torch.autograd.grad(log_w.sum(), log_scale)
        spread[hold_q] = (NORMAL_MASS * each.square()).sum() - (NORMAL_MASS * each).sum().square()
    assert bool(spread[True] < spread[False]) == (ratio**2 > 0.5)


def test_the_closed_form_of_the_divergence_can_add_noise_to_the_log_scale():
    """At the posterior of the chapter's scalar model, in the log-scale of q: nothing to gain where x is far away."""
    a, noise = 1.5, 0.49
    precision = 1 + a**2 / noise
    spread = {}
    for x in (2.5, 5.0):
        for closed in (False, True):
            log_scale = torch.full_like(NORMAL_NOISE, -0.5 * math.log(precision)).requires_grad_()
            z = a * x / noise / precision + log_scale.exp() * NORMAL_NOISE
            value = -0.5 * (x - a * z).square() / noise
            if not closed:
                value = value + _log_normal(z) - (_log_normal(NORMAL_NOISE) - log_scale)
            (each,) = torch.autograd.grad(value.sum(), log_scale)
            square = (NORMAL_MASS * each.square()).sum() - (NORMAL_MASS * each).sum().square()
            spread[x, closed] = square.sqrt().item()
    assert spread[2.5, True] < spread[2.5, False]
    assert spread[5.0, True] == pytest.approx(1.64, abs=0.005)
    assert spread[5.0, False] == pytest.approx(math.sqrt(2), abs=1e-6)


# A latent variable that cannot move.


def test_the_importance_weighted_bound_is_tight_long_before_q_is_the_posterior():
    """As in the figure of the chapter, for fewer images: vimco with four draws."""
    images = data.digits("train", binarize=True, dtype=torch.float64).images
    torch.manual_seed(0)
    rows = 0.25 + images[torch.randperm(len(images))[:10]] / 2
    start = BernoulliMixture(torch.full((10,), 0.1).double(), rows)
    coins = expectation_maximization(start, images, max_iterations=10, regularization=0.01).model
    x = images[:100]
    logits = torch.zeros(100, 10).double().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        surrogate(coins, Categorical(logits=logits), x, 4, estimator="vimco").backward()
        optimiser.step()
    with torch.no_grad():
        q = Categorical(logits=logits)
        log_w = log_weights(coins, q, x, 4 * 1000).reshape(1000, 4, -1)
        missing = coins.log_evidence(x) - (log_w.logsumexp(1) - math.log(4)).mean(0)
        assert coins.kl_to_posterior(q, x).mean() > 1.5
        assert missing.mean() < 0.1


# What the chapter says beside its claims


def test_at_the_best_product_of_a_correlated_posterior_stl_keeps_some_noise():
    """Of the row -Lambda (z - m) the path leaves the other coordinates: none for D = 1, nearly half for D = 2."""
    kept = {}
    for dim in (1, 2, 64):
        covariance = 0.5 * torch.eye(dim).double() + 0.5
        precision = torch.linalg.inv(covariance)
        terms = precision[0].square() / precision.diagonal()
        # By sticking the landing: the slope of log p(x, z) - log q(z) in z_1, where log q has the slope -Lambda_11 z_1.
        slopes = -precision[0] + precision[0, 0] * torch.eye(dim).double()[0]
        stuck = (slopes.square() / precision.diagonal()).sum().sqrt()
        kept[dim] = (stuck / terms.sum().sqrt()).item()
    assert kept[1] == 0
    assert kept[2] == pytest.approx(0.447, abs=0.001)
    assert 0 < kept[64] < 0.2


def test_with_leave_one_out_the_noise_of_the_other_coordinates_is_shared_by_one_draw_less():
    """Independent coordinates as in the figure: q is off by 0.7 and has 0.8 of the width; four draws each."""
    count, rows = 4, 20_000
    one, of_one_more = {}, (0.56**2 + 2 * 0.18**2) / 0.8**2  # the variance of log w times the mean squared score
    for dim in (1, 16, 64):
        generator = torch.Generator().manual_seed(dim)
        e = torch.randn(count, rows, dim, generator=generator, dtype=torch.float64)
        log_w = (_log_normal(0.7 + 0.8 * e) - _log_normal(e)).sum(-1)
        centred = (log_w - log_w.mean(0)) / (count - 1)
        one[dim] = (centred * e[..., 0] / 0.8).sum(0)
    for dim in (16, 64):
        stated = one[1].var() + (dim - 1) * of_one_more / (count - 1)
        assert one[dim].var().item() == pytest.approx(stated.item(), rel=0.05)


def test_local_terms_and_paths_do_not_notice_independent_coordinates():
    """The log-joint of copies: what contains z_1, and the slope in z_1, are functions of z_1 alone."""
    one = torch.linspace(-2, 2, 9).double()
    for dim in (2, 5):
        z = torch.randn(9, dim, generator=torch.Generator().manual_seed(dim), dtype=torch.float64)
        z[:, 0] = one
        z.requires_grad_()
        log_joint = _log_normal(z).sum(-1)
        (slope,) = torch.autograd.grad(log_joint.sum(), z)
        torch.testing.assert_close(slope[:, 0], -one)
        others = _log_normal(z[:, 1:]).sum(-1)
        torch.testing.assert_close((log_joint - others).detach(), _log_normal(one))


def test_straight_through_is_right_for_a_quadratic_at_one_half_alone():
    """f(z) = h z - a z^2 / 2 of a coin: the mean slope at 0 and 1 against f(1) - f(0)."""
    h, a = 1.7, 3.0
    for chance, right in ((0.5, True), (0.3, False), (0.9, False)):
        mean_slope = (1 - chance) * h + chance * (h - a)
        assert (mean_slope == pytest.approx(h - a / 2)) == right


def test_given_its_coin_the_relaxed_noise_of_rebar_has_the_law_of_the_free_one():
    """Uniform noise drawn given the coin, and the coin by its own chance: together uniform again, on a fine grid."""
    p, v = 0.3, (torch.arange(10_000).double() + 0.5) / 10_000
    on, off = 1 - p + v * p, v * (1 - p)
    assert on.min() >= 1 - p
    assert off.max() <= 1 - p
    for edge in (0.2, 0.5, 0.7, 0.9):
        share = p * (on < edge).double().mean() + (1 - p) * (off < edge).double().mean()
        assert share.item() == pytest.approx(edge, abs=2e-4)
