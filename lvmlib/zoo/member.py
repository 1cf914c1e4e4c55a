r"""What a member of the zoo is: a model, an observation, a proposal, a function, and the exact answers about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._types import Float
from lvmlib.density import log_density
from lvmlib.model import LatentVariableModel

__all__ = ["Grid", "Member", "Truth"]


class Grid(NamedTuple):
    r"""Points with volumes, such that :math:`\int g(z)\, dz = \sum_i v_i\, g(z_i)` to about ten digits.

    For a discrete z the points are its values and the volumes are one, so that sums are exact.
    """

    z: Tensor
    log_volume: Tensor


@dataclass(frozen=True)
class Truth:
    r"""The exact answers about a member, in nats where they are logarithms.

    Below, :math:`u(z) = w(z) / p(x)` is the weight relative to its mean under a proposal that misses nothing.

    Args:
        log_evidence: :math:`\log p(x)`; ``-inf`` for an impossible x.
        kl: :math:`\KL(q(z) \Vert p(z \mid x))`, the gap of the ELBO.
        log_variance: :math:`\Var_{q(z)}[\log w]`: K times the variance of an average of K log-weights.
        second_moment: :math:`\E_{q(z)}[u(z)^2]`.
        seen: The posterior mass where q is positive.
        lowest: The essential infimum of u under q.
        highest: Its essential supremum.
        f_mean: :math:`\E_{p(z \mid x)}[f(z)]`; NaN where it does not exist.
        f_noise: :math:`\E_{q(z)}[u(z)^2 (f(z) - \E_{p(z \mid x)}[f(z)])^2]`: K times the variance of a self-normalised
            average of K draws, for large K.
    """

    log_evidence: float
    kl: float
    log_variance: float
    second_moment: float
    seen: float
    lowest: float
    highest: float
    f_mean: float
    f_noise: float

    @property
    def elbo(self) -> float:
        """The ELBO; ``-inf`` where q puts mass on what is impossible."""
        return -math.inf if self.log_evidence == -math.inf else self.log_evidence - self.kl

    @property
    def chi_square(self) -> float:
        r""":math:`\chi^2(p(z \mid x) \Vert q(z))`; infinite where q misses mass."""
        return max(self.second_moment - 1, 0.0) if self.covers else math.inf

    @property
    def relative_variance(self) -> float:
        """The variance of u under q, which a q that misses mass can have without being good."""
        return self.second_moment - self.seen**2

    @property
    def covers(self) -> bool:
        """Whether q is positive wherever the joint density is, which is so where that is zero everywhere."""
        return self.log_evidence == -math.inf or self.seen > 1 - 1e-9


def first_coordinate(z: Tensor) -> Tensor:
    """The f of a member that names none: z, as a number; of several, the first."""
    return z.double() if z.ndim < 2 else z[..., 0]


@dataclass(frozen=True, eq=False)
class Member:
    r"""One animal of the zoo.

    Args:
        name: What it is called.
        breaks: What it breaks, in a sentence.
        model: The joint density.
        q: The proposal for this x, with batch shape ``()``.
        x: One observation.
        tail_index: The k for which :math:`\E_{q(z)}[w^a]` with :math:`a > 1` is finite exactly if :math:`a < 1/k`;
            zero if all moments are finite. This is what Pareto's k̂ estimates.
        tail_reason: Where this k comes from.
        grid: Points at which sums over z are exact, or None in many dimensions.
        f: A function of z whose posterior mean may be asked for; z itself by default.
        num_samples: The number of draws of which an estimate is made.
        stated: Answers in closed form, by name, which replace sums over the grid; all of them if there is no grid.
    """

    name: str
    breaks: str
    model: LatentVariableModel
    q: Distribution
    x: Tensor
    tail_index: float
    tail_reason: str
    grid: Grid | None = None
    f: Callable[[Tensor], Tensor] = first_coordinate
    num_samples: int = 1000
    stated: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Member({self.name!r})"

    @cached_property
    def truth(self) -> Truth:
        """The exact answers: as stated, or else summed over the grid."""
        return Truth(**((_sums(self) if self.grid is not None else {}) | dict(self.stated)))

    def log_relative_weight(self, z: Tensor) -> Tensor:
        r""":math:`\log u(z) = \log p(x, z) - \log q(z) - \log p(x)`; ``+inf`` where q alone is zero."""
        return self.model.log_joint(self.x, z) - log_density(self.q, z) - self.truth.log_evidence

    def log_posterior(self, z: Tensor) -> Tensor:
        r""":math:`\log p(z \mid x)`."""
        return self.model.log_joint(self.x, z) - self.truth.log_evidence

    def weights(self) -> tuple[Float[Tensor, G], Float[Tensor, G]]:
        """The log-weights at the points of the grid, and the probabilities that q gives to these points.

        Points whose probability is zero, or below the smallest number, are left out.

        Raises:
            ValueError: If the member has no grid.
        """
        log_joint, log_q, log_volume = _densities(self)
        mass = (log_q + log_volume).exp()
        return (log_joint - log_q)[mass > 0], mass[mass > 0]


def _densities(member: Member) -> tuple[Tensor, Tensor, Tensor]:
    grid = _grid(member)
    return member.model.log_joint(member.x, grid.z), log_density(member.q, grid.z), grid.log_volume


def _grid(member: Member) -> Grid:
    if member.grid is None:
        raise ValueError(
            f"member is {member.name!r}, which has no grid: expected one in at most two dimensions; draw weights with "
            f"log_weights(member.model, member.q, member.x, num_samples)."
        )
    return member.grid


def _sums(member: Member) -> dict[str, float]:
    """The answers by sums over the grid; a moment that the tail index calls infinite is not summed."""
    log_joint, log_q, log_volume = _densities(member)
    log_evidence = (log_joint + log_volume).logsumexp(0)
    drawn = log_q > -torch.inf
    # Also where x is impossible: no weight has a mean to be compared with.
    log_u = torch.where(log_evidence > -torch.inf, log_joint - log_evidence - log_q, torch.nan)[drawn]
    mass = (log_q + log_volume).exp()[drawn]
    posterior = (log_joint - log_evidence + log_volume).exp()
    mean_log = (mass * torch.where(mass > 0, log_u, 0.0)).sum()
    spread = (mass * torch.where(mass > 0, (log_u - mean_log).square(), 0.0)).sum()
    squares = ((log_q + log_volume)[drawn] + 2 * log_u).exp()
    f = torch.as_tensor(member.f(_grid(member).z))
    f_mean = (posterior * torch.where(posterior > 0, f, 0.0)).sum()
    deviations = torch.where(squares == 0, 0.0, squares * (f[drawn] - f_mean).square())
    finite = member.tail_index < 0.5
    return {
        "log_evidence": log_evidence.item(),
        "kl": -mean_log.item(),
        "log_variance": spread.item() if mean_log > -torch.inf else math.inf,
        "second_moment": squares.sum().item() if finite else math.inf,
        "seen": posterior[drawn].sum().clamp(max=1.0).item(),
        "lowest": log_u.min().exp().item(),
        "highest": log_u.max().exp().item(),
        "f_mean": f_mean.item(),
        "f_noise": deviations.sum().item() if finite else math.inf,
    }
