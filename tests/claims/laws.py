"""Densities on points, for claims about densities and their integrals rather than about weights.

The points are those of the zoo's grids, so a mean is a sum. It is taken twice, without the outermost millionth of the
mass and without the outermost 10^-12: a mean that still moves between the two is infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import torch
from torch import Tensor
from zoo import Member, members

from lvmlib.density import log_density
from lvmlib.zoo.grids import line

__all__ = ["Evidence", "Law", "Pair", "Terms", "growing_likelihood", "log_pareto", "pairs", "posteriors", "terms"]


@dataclass(frozen=True)
class Evidence:
    """The one answer that the hypothesis of a positive evidence asks for."""

    log_evidence: float


@dataclass(frozen=True, eq=False)
class Law:
    """A density on points: its mass at each, its logarithm there, and how far out each point is."""

    name: str
    z: Tensor
    mass: Tensor
    log_density: Tensor
    distance: Tensor

    def mean(self, g: Tensor) -> float:
        """The mean of g, whose values stand at the points; infinite if it does not settle."""
        drawn = self.mass > 0
        if bool(g[drawn].isinf().any()):
            return g[drawn][g[drawn].isinf()].sum().item()
        near, far = (self._mean_without(outside, torch.where(drawn, g, 0.0)) for outside in (1e-6, 1e-12))
        if abs(far - near) > 0.05 * (1 + abs(near)):
            return math.inf if far > near else -math.inf
        return far

    def _mean_without(self, outside: float, g: Tensor) -> float:
        kept = self._mass_from_here_on > outside
        return (self.mass * g)[kept].sum().item() / self.mass[kept].sum().item()

    @cached_property
    def _mass_from_here_on(self) -> Tensor:
        order = self.distance.argsort(descending=True)
        return torch.empty_like(self.mass).index_put_((order,), self.mass[order].cumsum(0))

    def entropy(self) -> float:
        return -self.mean(self.log_density)

    def entropy_is_finite(self) -> bool:
        return math.isfinite(self.entropy())

    def second_moments_are_finite(self) -> bool:
        return self.mean(self.z.double().square().reshape(len(self.z), -1).sum(-1)) < math.inf


def law(name: str, z: Tensor, log_volume: Tensor, log_values: Tensor) -> Law:
    size = z.double().reshape(len(z), -1).norm(dim=-1)
    return Law(name, z, (log_values + log_volume).exp(), log_values, size)


def log_pareto(name: str, sign: int) -> Law:
    """z = exp(s) or exp(-s), where s has the density 1/s^2 above 1: the entropy of z is infinite, of the same sign."""
    t, log_volume = torch.linspace(0, 60, 60_001, dtype=torch.float64), math.log(60 / 60_000)
    s = t.exp()
    mass = (-t + log_volume).exp()
    return Law(name, (sign * s).exp(), mass / mass.sum(), -2 * t - sign * s, s)


@dataclass(frozen=True, eq=False)
class Terms:
    """What the forms of the bound are made of: q as a law, the prior and the likelihood at its points."""

    name: str
    q: Law
    log_prior: Tensor
    log_likelihood: Tensor
    truth: Evidence
    member: Member | None = None

    def entropy(self) -> float:
        return self.q.entropy()

    def entropy_is_finite(self) -> bool:
        return self.q.entropy_is_finite()

    def reconstruction(self) -> float:
        return self.q.mean(self.log_likelihood)

    def likelihood_is_not_too_large(self) -> bool:
        return self.q.mean(self.log_likelihood.clamp(min=0)) < math.inf

    def kl_to_prior(self) -> float:
        return self.q.mean(self.q.log_density - self.log_prior)

    def elbo(self) -> float:
        return self.q.mean(self.log_prior + self.log_likelihood - self.q.log_density)

    def kl(self) -> float:
        log_posterior = self.log_prior + self.log_likelihood - self.truth.log_evidence
        return self.q.mean(self.q.log_density - log_posterior)

    def gap_is_finite(self) -> bool:
        return self.kl() < math.inf


@lru_cache(maxsize=1)
def terms() -> list[Terms]:
    """Those of every member of the zoo with a grid."""
    found = []
    for one in members():
        if one.grid is not None:
            z, log_volume = one.grid
            q = law(one.name, z, log_volume, log_density(one.q, z))
            log_likelihood = one.model.log_likelihood(one.x, z)
            truth = Evidence(one.truth.log_evidence)
            found.append(Terms(one.name, q, one.model.log_prior(z), log_likelihood, truth, one))
    return found


def growing_likelihood() -> Terms:
    """A normal prior, and a likelihood that grows like exp(z^2/2): the posterior is a Cauchy density, and q is it."""
    z, log_volume = line()
    cauchy, normal = torch.distributions.Cauchy(0.0, 1.0), torch.distributions.Normal(0.0, 1.0)
    log_q, log_prior, level = cauchy.log_prob(z), normal.log_prob(z), math.log(0.5)
    q = law("growing-likelihood", z, log_volume, log_q)
    return Terms(q.name, q, log_prior, log_q - log_prior + level, Evidence(level))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two non-negative functions at the same points, of which a divergence may be taken."""

    name: str
    q: Law
    log_p: Tensor
    log_volume: Tensor
    source: tuple[str, str, Member] | None = None

    def q_is_a_density(self) -> bool:
        return abs(self.q.mass.sum().item() - 1) < 1e-9

    def p_is_a_density(self) -> bool:
        return abs((self.log_p + self.log_volume).exp().sum().item() - 1) < 1e-9

    def kl(self) -> float:
        """By sums, and not divided by the mass of q, so that it means something for any two functions."""
        return self.q.mean(self.q.log_density - self.log_p) * self.q.mass.sum().item()

    def distance(self) -> float:
        """Half of the integral of the absolute difference."""
        return 0.5 * (self.q.mass - (self.log_p + self.log_volume).exp()).abs().sum().item()


def pairs() -> list[Pair]:
    """Prior, posterior and q of every member with a grid and an evidence, each against each."""
    found = []
    for one in members():
        if one.grid is None or one.truth.log_evidence == -math.inf:
            continue
        z, log_volume = one.grid
        values = {"q": log_density(one.q, z), "prior": one.model.log_prior(z), "posterior": one.log_posterior(z)}
        laws = {name: law(name, z, log_volume, log_values) for name, log_values in values.items()}
        for first, second in product(laws, laws):
            name = f"{one.name}: {first} from {second}"
            found.append(Pair(name, laws[first], values[second], log_volume, (first, second, one)))
    return found


def posteriors() -> list[Law]:
    """The posteriors of every member with a continuous z and a grid, for which the grid holds all the mass."""
    return [
        law(one.name, *one.grid, one.log_posterior(one.grid.z))
        for one in members()
        if one.grid is not None and one.grid.z.is_floating_point()
    ]
