"""The claims of chapter 1, attacked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import scipy.stats
import torch
from attack import attack, breaks
from torch import Tensor
from zoo import Member, member, members

from lvmlib.exact import FiniteModel, LinearGaussian
from lvmlib.zoo.grids import interval, line
from lvmlib.zoo.member import Grid


@dataclass(frozen=True, eq=False)
class Pair:
    """A prior and a likelihood on points of z and x, and their product: masses, which sum to one if all is well."""

    name: str
    prior: Tensor
    likelihood: Tensor
    joint: Tensor

    def prior_is_a_density(self) -> bool:
        return bool((self.prior >= 0).all()) and abs(self.prior.sum().item() - 1) < 1e-9

    def likelihood_is_a_density(self) -> bool:
        rows = self.likelihood[self.prior > 1e-12]
        return bool((rows >= 0).all()) and (rows.sum(1) - 1).abs().max().item() < 1e-9


def pair_of(member: Member, z: Grid, x: Grid) -> Pair:
    """What the library's three log-densities say of a member on points of z and x."""
    model, xs, zs = member.model, x.z.to(member.x.dtype)[None, :], z.z[:, None]
    if member.model.event_shape:
        xs, zs = xs[..., None], zs[..., None]
    return Pair(
        member.name,
        (model.log_prior(zs[:, 0]) + z.log_volume).exp(),
        (model.log_likelihood(xs, zs) + x.log_volume).exp(),
        (model.log_joint(xs, zs) + z.log_volume[:, None] + x.log_volume).exp(),
    )


def pairs() -> list[Pair]:
    found = []
    for one in members():
        if isinstance(one.model, FiniteModel):
            x = torch.arange(one.model.likelihood_table.shape[1])
            found.append(pair_of(one, one.grid, Grid(x, torch.zeros(len(x)).double())))
        elif one.name in ("normal-for-powers", "power-tails"):
            coin = Grid(torch.tensor([0.0, 1.0]).double(), torch.zeros(2).double())
            found.append(pair_of(one, one.grid, coin))
        elif one.name in ("wide-normal", "prior-1", "student-proposal", "uniform-slice"):
            found.append(pair_of(one, line(reach=3.0), interval(-20.0, 20.0, 80)))
        elif one.name == "far-modes":
            found.append(pair_of(one, line(reach=5.2), interval(-100.0, 100.0, 100)))
    return found


def masses(name: str, prior: list[float], likelihood: list[list[float]]) -> Pair:
    prior_table, likelihood_table = (torch.tensor(numbers, dtype=torch.float64) for numbers in (prior, likelihood))
    return Pair(name, prior_table, likelihood_table, prior_table[:, None] * likelihood_table)


@attack("thm-joint", cases=pairs())
def test_the_product_is_a_joint_density_with_this_marginal_and_this_conditional(case):
    assert (case.joint >= 0).all()
    assert case.joint.sum().item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(case.joint.sum(1), case.prior, atol=1e-12, rtol=1e-9)
    seen = case.prior > 1e-12
    conditional = case.joint[seen] / case.joint[seen].sum(1, keepdim=True)
    torch.testing.assert_close(conditional, case.likelihood[seen], atol=1e-12, rtol=1e-9)


@breaks(
    "thm-joint",
    without="prior-is-a-density",
    case=masses("flat-prior", [1.0, 1.0, 1.0], [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]),
    because="a flat prior of 1 on each of three values gives a product that sums to 3",
)
def test_a_prior_that_is_no_density_gives_no_joint_density(case):
    assert case.joint.sum().item() == pytest.approx(3)


@breaks(
    "thm-joint",
    without="likelihood-is-a-density",
    case=masses("short-row", [0.5, 0.3, 0.2], [[0.9, 0.1], [0.5, 0.5], [0.2, 0.3]]),
    because="a $z$ whose probabilities of $x$ sum to one half takes half of $p(z)$ from the total",
)
def test_a_row_that_is_no_density_takes_its_share_from_the_joint(case):
    assert case.joint.sum().item() == pytest.approx(0.9)
    with pytest.raises(ValueError, match="2"):
        FiniteModel(case.prior, case.likelihood)


@dataclass(frozen=True, eq=False)
class Sampler:
    """A way to draw pairs, and p-values for what their parts follow: tiny where they follow something else."""

    name: str
    draw: Callable[[int, int], tuple[Tensor, Tensor]]
    z_alone: Callable[[Tensor], float]
    x_given_z: Callable[[Tensor, Tensor], float]
    pair: Callable[[Tensor, Tensor], float]
    x_alone: Callable[[Tensor], float]

    def z_follows_the_prior(self) -> bool:
        return self.z_alone(self.draw(20_000, 0)[1]) > 1e-7

    def x_follows_the_likelihood_at_z(self) -> bool:
        return self.x_given_z(*self.draw(20_000, 0)) > 1e-7


def fit_of(counts: Tensor, chances: Tensor) -> float:
    """The p-value of counts under chances; zero where something impossible was counted."""
    possible = chances > 0
    if counts[~possible].sum() > 0:
        return 0.0
    expected = counts.sum() * chances[possible] / chances[possible].sum()
    return (
        float(scipy.stats.chisquare(counts[possible].numpy(), expected.numpy()).pvalue) if possible.sum() > 1 else 1.0
    )


def table_sampler(name: str, model: FiniteModel, draw: Callable[[int, int], tuple[Tensor, Tensor]]) -> Sampler:
    prior, likelihood = model.prior_table, model.likelihood_table
    num_z, num_x = likelihood.shape

    def count(x: Tensor, z: Tensor) -> Tensor:
        return torch.bincount(z * num_x + x, minlength=num_z * num_x).double().view(num_z, num_x)

    def given(x: Tensor, z: Tensor) -> float:
        return min(fit_of(counts, row) for counts, row in zip(count(x, z), likelihood, strict=True) if counts.sum() > 0)

    evidence = model.log_evidence(torch.arange(num_x)).exp()
    return Sampler(
        name,
        draw,
        lambda z: fit_of(torch.bincount(z, minlength=num_z).double(), prior),
        given,
        lambda x, z: fit_of(count(x, z).flatten(), (prior[:, None] * likelihood).flatten()),
        lambda x: fit_of(torch.bincount(x, minlength=num_x).double(), evidence),
    )


def normal_sampler(one: Member) -> Sampler:
    """Scalar Gaussians: each part is standardised as it should be, and then compared with N(0, 1)."""
    noise = math.sqrt(one.model.noise_variance.flatten()[0].item())

    def fit(numbers: Tensor) -> float:
        return float(scipy.stats.kstest(numbers.flatten().numpy(), "norm").pvalue)

    def pair(x: Tensor, z: Tensor) -> float:
        posterior = one.model.posterior(x)
        return fit((z - posterior.mean) / posterior.stddev)

    return Sampler(
        one.name,
        lambda n, seed: one.model.sample(n, seed=seed),
        fit,
        lambda x, z: fit((x - z) / noise),
        pair,
        lambda x: fit(x / math.sqrt(1 + noise**2)),
    )


def by_the_library(model: FiniteModel) -> Callable[[int, int], tuple[Tensor, Tensor]]:
    return lambda n, seed: model.sample(n, seed=seed)


TABLES = [one for one in members() if isinstance(one.model, FiniteModel)]
SCALARS = [one for one in members() if isinstance(one.model, LinearGaussian) and one.x.shape == (1,)]
SCALARS = [one for one in SCALARS if one.model.weight.shape == (1, 1) and one.model.weight.item() == 1]
UMBRELLA = member("umbrella").model


def z_from_nowhere(n: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randint(3, (n,), generator=generator)
    return torch.multinomial(UMBRELLA.likelihood_table[z], 1, generator=generator)[:, 0], z


def x_of_another_z(n: int, seed: int) -> tuple[Tensor, Tensor]:
    x, z = UMBRELLA.sample(n, seed=seed)
    return x.roll(1), z


@attack(
    "thm-ancestral",
    cases=[table_sampler(one.name, one.model, by_the_library(one.model)) for one in TABLES]
    + [normal_sampler(one) for one in SCALARS],
)
def test_the_pairs_follow_the_joint_and_x_alone_follows_the_evidence(case):
    x, z = case.draw(20_000, 1)
    assert case.pair(x, z) > 1e-7
    assert case.x_alone(x) > 1e-7


@breaks(
    "thm-ancestral",
    without="z-from-prior",
    case=table_sampler("uniform-z", UMBRELLA, z_from_nowhere),
    because="with $z$ drawn evenly instead, $x$ does not follow $p(x)$",
)
def test_with_z_from_elsewhere_x_does_not_follow_the_evidence(case):
    assert case.x_alone(case.draw(20_000, 1)[0]) < 1e-7


@breaks(
    "thm-ancestral",
    without="x-given-that-z",
    case=table_sampler("x-of-another-z", UMBRELLA, x_of_another_z),
    because="an $x$ drawn for another $z$ follows $p(x)$ but says nothing about this $z$",
)
def test_with_another_z_the_pair_does_not_follow_the_joint(case):
    x, z = case.draw(20_000, 1)
    assert case.x_alone(x) > 1e-7
    assert case.pair(x, z) < 1e-7


@dataclass(frozen=True)
class Slope:
    """The scalar Gaussian with x observed."""

    name: str
    a: float
    b: float
    s: float
    x: float

    def has_a_slope(self) -> bool:
        return self.a != 0

    def over_z(self, width: float) -> float:
        """The library's likelihood, integrated over z from ``-width`` to ``width`` around the peak."""
        model = LinearGaussian(
            *(torch.tensor(value, dtype=torch.float64) for value in ([[self.a]], [self.b], self.s**2))
        )
        z, log_volume = interval(-width, width, 400)
        z = z + ((self.x - self.b) / self.a if self.a else 0.0)
        return (
            (model.log_likelihood(torch.tensor([self.x], dtype=torch.float64), z[:, None]) + log_volume)
            .exp()
            .sum()
            .item()
        )


SLOPES = [
    *(Slope(one.name, 1.0, 0.0, math.sqrt(one.model.noise_variance.flatten()[0]), one.x.item()) for one in SCALARS),
    Slope("falling", -3.0, 0.5, 0.2, 4.0),
    Slope("nearly flat", 1e-3, 0.0, 1.0, -2.0),
    Slope("steep", 50.0, 1.0, 2.0, 0.0),
]


@attack("prop-wrong-variable", cases=SLOPES)
def test_the_likelihood_over_z_integrates_to_one_over_the_slope(case):
    assert case.over_z(12 * case.s / abs(case.a)) == pytest.approx(1 / abs(case.a), rel=1e-9)


@breaks(
    "prop-wrong-variable",
    without="slope-not-zero",
    case=Slope("flat", 0.0, 0.5, 0.7, 1.0),
    because="for $a = 0$ the likelihood does not depend on $z$, and the integral is infinite",
)
def test_without_a_slope_twice_the_interval_is_twice_the_integral(case):
    assert case.over_z(20.0) == pytest.approx(2 * case.over_z(10.0), rel=1e-9)
