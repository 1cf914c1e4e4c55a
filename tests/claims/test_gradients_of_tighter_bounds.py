"""The gradients of chapter 12, attacked: DReG, and what many weights do to the signal and the noise of a gradient.

Expectations over one draw or two are sums over nodes of the noise, and the gradient of the bound is a difference of
such sums. Many draws are simulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace

import pytest
import torch
from attack import attack, breaks, explained
from torch import Tensor

Nodes = tuple[Tensor, Tensor]
LogDensity = Callable[[Tensor, Tensor], Tensor]
STEP = 1e-4


def _log_normal(e: Tensor) -> Tensor:
    return -0.5 * e.square() - 0.5 * math.log(2 * math.pi)


def _log_logistic(e: Tensor) -> Tensor:
    return -e - 2 * torch.nn.functional.softplus(-e)


def _middles(low: float, high: float, count: int, log_density: Callable[[Tensor], Tensor]) -> Nodes:
    """The middles of cells, and the probability of each cell."""
    width = (high - low) / count
    e = low + width * (torch.arange(count).double() + 0.5)
    mass = log_density(e).exp()
    return e, mass / mass.sum()


NORMAL = _middles(-8, 8, 800, _log_normal)
LOGISTIC = _middles(-30, 30, 1500, _log_logistic)
HALF = _middles(0, 8, 800, _log_normal)
UNIT = _middles(0, 1, 500, torch.zeros_like)


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws z = path(phi, noise) of q at one value of phi, and a joint density.

    Attributes:
        name: What the test is called.
        phi: The value of the parameter of q.
        path: The draw that belongs to a noise.
        log_q: The log-density of q, for phi and z.
        log_joint: Log-joint density of z, with the slope in theta of ``theta_slope``.
        noise: Nodes of the noise and their probabilities.
        sample: So many rows and columns of noise, from a generator.
        count: K, for the claim about one K.
        independent: Whether the draws are independent, or copies of one.
        log_evidence: Of x.
        covers: Whether q is positive wherever the joint is.
    """

    name: str
    phi: float
    path: LogDensity
    log_q: LogDensity
    log_joint: Callable[[Tensor], Tensor]
    noise: Nodes
    sample: Callable[[int, int, torch.Generator], Tensor] | None = None
    count: int = 2
    independent: bool = True
    log_evidence: float = 0.0
    covers: bool = True

    @property
    def truth(self) -> SimpleNamespace:
        return SimpleNamespace(log_evidence=self.log_evidence, covers=self.covers)

    def at(self, phi: float | Tensor, e: Tensor, *, hold: bool = False) -> Tensor:
        """The log-weight of the draw that belongs to a noise, with phi inside q held fixed or not."""
        phi = torch.as_tensor(phi, dtype=torch.float64)
        z = self.path(phi, e)
        return self.log_joint(z) - self.log_q(torch.tensor(self.phi).double() if hold else phi, z)

    def slope(self, e: Tensor, *, hold: bool) -> Tensor:
        """The derivative of log w along the path, of the phi inside q too unless that is held."""
        phi = torch.full(e.shape, self.phi, dtype=torch.float64, requires_grad=True)
        value = self.at(phi, e, hold=hold)
        return torch.autograd.grad(value.sum(), phi)[0] if value.requires_grad else torch.zeros_like(e)

    def bound(self, phi: float) -> float:
        """The importance-weighted bound with independent draws, as defined."""
        e, mass = self.noise
        log_w = self.at(phi, e)
        if self.count == 1:
            return float((mass * log_w).sum())
        pairs = torch.logaddexp(log_w[:, None], log_w) - math.log(2)
        return float((mass[:, None] * mass * pairs).sum())

    def gradient(self) -> float:
        near, far = (self.bound(self.phi + d * STEP) - self.bound(self.phi - d * STEP) for d in (1, 2))
        return (8 * near - far) / (12 * STEP)

    def means(self) -> tuple[float, float]:
        """Of the plain and of the doubly reparameterised gradient, for independent draws."""
        e, mass = self.noise
        whole, along = self.slope(e, hold=False), self.slope(e, hold=True)
        if self.count == 1:
            return float((mass * whole).sum()), float((mass * along).sum())
        log_w = self.at(self.phi, e)
        share = torch.sigmoid(log_w[:, None] - log_w)  # of the first of two
        both = mass[:, None] * mass
        plain = 2 * (both * share * whole[:, None]).sum()
        return float(plain), float(2 * (both * share.square() * along[:, None]).sum())

    def draws_are_independent(self) -> bool:
        return self.independent

    def finite_bound(self) -> bool:
        return math.isfinite(self.bound(self.phi))

    @cached_property
    def by_density(self) -> tuple[Tensor, Tensor, Tensor]:
        """Points, the mass that the density of q gives them, and their scores; without the path."""
        z = torch.arange(-30_000, 30_000).double() / 1000 + 0.0005
        phi = torch.full(z.shape, self.phi, dtype=torch.float64, requires_grad=True)
        log_q = self.log_q(phi, z)
        score = torch.autograd.grad(log_q[log_q > -math.inf].sum(), phi)[0]
        return z, log_q.detach().exp() / 1000, score

    def path_has_density(self) -> bool:
        """Draws along the path have the means that the density of q gives."""
        e, mass = self.noise
        moved = self.path(torch.tensor(self.phi).double(), e)
        z, density, _ = self.by_density
        return all(abs(float((mass * g(moved)).sum() - (density * g(z)).sum())) < 1e-3 for g in (torch.sin, torch.atan))

    def lipschitz_path(self) -> bool:
        """A step in phi moves log w by about the step times its derivative, at each node that is not far out."""
        e, step = self.noise[0][self.noise[0].abs() < 4], 0.02
        moved = self.at(self.phi + step, e) - self.at(self.phi, e)
        return bool(((moved - step * self.slope(e, hold=False)).abs() < 0.1).all())

    def score_and_path_agree(self) -> bool:
        """E[h score] is E[derivative of h along the path] for h = w / (c + w), with phi held fixed in w."""
        e, mass = self.noise
        z, density, score = self.by_density
        log_w = self.log_joint(z) - self.log_q(torch.tensor(self.phi).double(), z)
        levels = self.at(self.phi, e)[:: len(e) // 7].tolist()
        for level in [-math.inf, *levels] if self.count > 1 else [-math.inf]:
            h = torch.sigmoid(log_w - level).nan_to_num(0.0)
            if abs(float((density * h * score).sum() - (mass * _slope_of_share(self, level)).sum())) > 1e-3:
                return False
        return True

    def equal_means(self) -> bool:
        return all(abs(plain - double) < 1e-3 for plain, double in (replace(self, count=k).means() for k in (1, 2)))

    def finite_second_moments(self) -> bool:
        """Four powers of the weight times q die out on either side."""
        e, mass = self.noise
        ends = 4 * (self.at(self.phi, e) - self.log_evidence) + mass.log()
        return bool(ends[0] < 15 + math.log(float(mass.max())) and ends[-1] < 15 + math.log(float(mass.max())))

    @cached_property
    def limits(self) -> dict[str, float]:
        """A, B and the three variances of the claim, by sums over the nodes."""
        e, mass = self.noise
        u = (self.at(self.phi, e) - self.log_evidence).exp()
        z = self.path(torch.tensor(self.phi).double(), e)
        along, whole = self.slope(e, hold=True), self.slope(e, hold=False)

        def variance(values: Tensor) -> float:
            return float((mass * values.square()).sum() - (mass * values).sum().square())

        a = float((mass * u * z).sum())
        b = float((mass * u.square() * along).sum())
        return {
            "A": a,
            "B": b,
            "theta": variance(u * (z - a)),
            "phi": variance(u * whole),
            "dreg": variance(u.square() * along - 2 * b * u),
        }

    def gradients(self, count: int, runs: int, seed: int) -> dict[str, Tensor]:
        """Of runs estimates of the bound with so many weights: in theta, in phi, and DReG."""
        assert self.sample is not None
        generator = torch.Generator().manual_seed(seed)
        e = self.sample(count, runs, generator)
        if not self.independent:
            e = e[:1].expand(count, runs).clone()
        share = self.at(self.phi, e).softmax(0)
        z = self.path(torch.tensor(self.phi).double(), e)
        along, whole = self.slope(e, hold=True), self.slope(e, hold=False)
        return {
            "theta": (share * z).sum(0),
            "phi": (share * whole).sum(0),
            "dreg": (share.square() * along).sum(0),
        }


def _slope_of_share(case: Draws, level: float) -> Tensor:
    e, _ = case.noise
    if level == -math.inf:
        return torch.zeros_like(e)
    phi = torch.full(e.shape, case.phi, dtype=torch.float64, requires_grad=True)
    share = torch.sigmoid(case.at(phi, e, hold=True) - level)
    return torch.autograd.grad(share.sum(), phi)[0] if share.requires_grad else torch.zeros_like(e)


def _of_noise(log_base: Callable[[Tensor], Tensor], width: float) -> tuple[LogDensity, LogDensity]:
    """A path that moves the middle, and its density."""
    return (
        lambda phi, e: phi + width * e,
        lambda phi, z: log_base((z - phi) / width) - math.log(width),
    )


def _of_scale(log_base: Callable[[Tensor], Tensor], middle: float) -> tuple[LogDensity, LogDensity]:
    """A path that stretches by the exponential of phi, and its density."""
    return (
        lambda phi, e: middle + phi.exp() * e,
        lambda phi, z: log_base((z - middle) / phi.exp()) - phi,
    )


def _randn(count: int, runs: int, generator: torch.Generator) -> Tensor:
    return torch.randn(count, runs, generator=generator, dtype=torch.float64)


def _rand(count: int, runs: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, runs, generator=generator, dtype=torch.float64)


def _to_one(z: Tensor) -> Tensor:
    """The joint density of the chapter, z ~ N(theta, 1) and x | z ~ N(z, 1) at theta = 0 and x = 2."""
    return _log_normal(z) + _log_normal(2 - z)


EVIDENCE = -1.0 - 0.5 * math.log(4 * math.pi)
WELLS = lambda z: -(z.square() - 1).square() / 2  # noqa: E731
MEAN = Draws("mean", 0.5, *_of_noise(_log_normal, 0.8), _to_one, NORMAL, _randn, log_evidence=EVIDENCE)
SCALE = Draws("log-scale", -0.2, *_of_scale(_log_normal, 0.5), _to_one, NORMAL, _randn, log_evidence=EVIDENCE)
AT_POSTERIOR = Draws("posterior", 1.0, *_of_noise(_log_normal, math.sqrt(0.5)), _to_one, NORMAL)
SHAPES = [
    MEAN,
    SCALE,
    AT_POSTERIOR,
    replace(MEAN, name="mean, far and narrow", phi=-0.7),
    Draws("logistic", 0.4, *_of_noise(_log_logistic, 0.7), _to_one, LOGISTIC),
    Draws("two wells", 0.2, *_of_noise(_log_normal, 1.0), WELLS, NORMAL),
    Draws("two wells, log-scale", -0.4, *_of_scale(_log_normal, 0.3), WELLS, NORMAL),
]

# The doubly reparameterised gradient


@attack("thm-dreg", cases=[replace(case, count=k, name=f"{case.name}, K = {k}") for case in SHAPES for k in (1, 2)])
def test_the_doubly_reparameterised_gradient_is_that_of_the_bound(case):
    plain, double = case.means()
    assert plain == pytest.approx(case.gradient(), rel=1e-4, abs=1e-5)
    assert double == pytest.approx(case.gradient(), rel=1e-4, abs=1e-5)


@attack("thm-dreg", cases=[AT_POSTERIOR])
def test_at_the_posterior_each_set_of_draws_gives_zero(case):
    along = case.slope(case.noise[0], hold=True)
    assert along.abs().max() < 1e-12
    assert case.slope(case.noise[0], hold=False).abs().max() > 1


explained("thm-dreg", without="finite-bound", because=r"a bound of $-\infty$ has no gradient")


@breaks(
    "thm-dreg",
    without="independent-draws",
    case=replace(SHAPES[5], name="two wells, copies", independent=False),
    because=r"copies of one draw have equal shares, and their sum is $1/K$ times the gradient of the ELBO",
)
def test_the_doubly_reparameterised_gradient_of_copies_has_another_mean(case):
    _, elbo = replace(case, count=1).means()
    assert abs(elbo / 2 - case.gradient()) > 0.05


@breaks(
    "thm-dreg",
    without="path-has-density",
    case=replace(MEAN, name="wrong path", path=lambda phi, e: 2 * phi + 0.8 * e, count=1),
    because="draws along another path belong to another $q$",
)
def test_along_another_path_dreg_has_another_mean(case):
    assert abs(case.means()[1] - replace(MEAN, count=1).gradient()) > 0.1


@breaks(
    "thm-dreg",
    without="lipschitz-path",
    case=replace(
        MEAN,
        name="step",
        log_joint=lambda z: torch.where(z > 0, math.log(0.9), math.log(0.1)).double() + 0 * z,
        count=1,
    ),
    because="a jump in $z$ is not seen along the path",
)
def test_dreg_does_not_see_a_jump(case):
    # The slope of log 9 times the probability above zero.
    exact = math.log(9) * math.exp(-0.5 * (0.5 / 0.8) ** 2) / math.sqrt(2 * math.pi) / 0.8
    assert abs(case.means()[1] - exact) > 0.5


UNIFORM_END = Draws(
    "uniform, an end that moves",
    1.0,
    lambda phi, e: phi * e,
    lambda phi, z: torch.where((z >= 0) & (z <= phi.detach()), -phi.log(), -math.inf) + 0 * z,
    lambda z: z - math.log(math.e - 1),
    UNIT,
    _rand,
)


@breaks(
    "thm-dreg",
    without="score-and-path-agree",
    case=UNIFORM_END,
    because="where an end of the support moves, the score that is moved a second time has another mean",
)
def test_where_an_end_moves_dreg_has_another_mean(case):
    plain, double = case.means()
    assert plain == pytest.approx(case.gradient(), rel=1e-4)
    assert abs(double - plain) > 0.5


# The signal and the noise

explained("prop-snr", without="positive-evidence", because=r"there is no $u = w / p(x)$")
WIDER = replace(MEAN, name="mean, wider", phi=1.4, path=_of_noise(_log_normal, 1.0)[0])
WIDER = replace(WIDER, log_q=_of_noise(_log_normal, 1.0)[1])


@pytest.mark.thorough
@attack("prop-snr", cases=[MEAN, SCALE, WIDER])
def test_means_and_variances_of_the_gradients_have_their_limits(case):
    count, runs = 400, 20_000
    found, limits = case.gradients(count, runs, seed=3), case.limits
    for name, mean, power in (("theta", limits["A"], 0), ("phi", limits["B"], 1), ("dreg", limits["B"], 1)):
        values = found[name] * count**power
        assert abs(values.mean() - mean) < 5 * values.std() / math.sqrt(runs) + 5 / count
        variance = float(values.var()) * count ** (1 - 2 * power + 2 * (name == "dreg"))
        assert variance == pytest.approx(limits[name], rel=0.06)


@attack("prop-snr", cases=[MEAN, SCALE, WIDER])
def test_the_mean_of_the_gradient_in_phi_is_half_of_the_slope_of_chi_square(case):
    def chi_square(phi: float) -> float:
        e, mass = case.noise
        return float((mass * (2 * (case.at(phi, e) - case.log_evidence)).exp()).sum()) - 1

    slope = (chi_square(case.phi + STEP) - chi_square(case.phi - STEP)) / (2 * STEP)
    assert case.limits["B"] == pytest.approx(-slope / 2, rel=1e-4)
    assert case.limits["A"] == pytest.approx(1.0, rel=1e-6), "the slope of log N(2; theta, 2) at theta = 0"


@breaks(
    "prop-snr",
    without="covers",
    case=replace(
        SCALE,
        name="half",
        path=_of_scale(_log_normal, 0.5)[0],
        log_q=lambda phi, z: _of_scale(_log_normal, 0.5)[1](phi, z) + math.log(2),
        noise=HALF,
        sample=lambda count, runs, generator: _randn(count, runs, generator).abs(),
        covers=False,
    ),
    because=r"a $q$ that misses a part of the posterior finds the slope of the part that it sees",
)
def test_a_q_that_misses_a_part_has_another_slope_in_theta(case):
    found = case.gradients(400, 2000, seed=1)["theta"]
    assert found.mean() > 1.2 > 1.0 + 5 * found.std() / math.sqrt(2000)


@breaks(
    "prop-snr",
    without="independent-draws",
    case=replace(MEAN, name="copies", independent=False),
    because=r"copies of one draw keep the noise of one as $K$ grows",
)
def test_copies_keep_the_noise_of_one_draw(case):
    few, many = (float(case.gradients(count, 2000, seed=1)["theta"].var()) for count in (4, 64))
    assert many == pytest.approx(few, rel=0.2)


@breaks(
    "prop-snr",
    without="finite-second-moments",
    case=replace(
        MEAN,
        name="narrow",
        phi=1.0,
        path=_of_noise(_log_normal, 0.4)[0],
        log_q=_of_noise(_log_normal, 0.4)[1],
    ),
    because=r"with weights of infinite variance the noise of $G_\theta$ falls more slowly than $1/\sqrt K$",
)
def test_with_heavy_weights_the_noise_falls_more_slowly(case):
    few, many = (count * case.gradients(count, 4000, seed=1)["theta"].var() for count in (16, 1024))
    assert many > 2 * few


@breaks(
    "prop-snr",
    without="equal-means",
    case=UNIFORM_END,
    because=r"where an end of the support moves, the mean of $G_\phi$ does not go to zero",
)
def test_where_an_end_moves_the_mean_of_the_plain_gradient_stays(case):
    found = case.gradients(400, 2000, seed=1)["phi"]
    assert found.mean() > 1
