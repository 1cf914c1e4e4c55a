"""Cases for scoring an estimator: a model, a proposal, an observation, and what is known of its log-evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from lvmlib._random import stream
from lvmlib.exact import ExactModel, LinearGaussian
from lvmlib.model import LatentVariableModel
from lvmlib.zoo.member import Member
from lvmlib.zoo.members import member, members

__all__ = ["Case", "cases", "gaussian_case", "near_posterior"]

# Further observations for some members, under the q that was made for the member's own x.
_ELSEWHERE: dict[str, tuple[float, ...]] = {
    "umbrella": (0,),
    "student-proposal": (-1.0, 3.0),
    "far-modes-defended": (8.0, 12.0),
    "ring": (1.5, 3.0),
    "funnel": (-1.0, 2.0),
}
_LINEAR_SIZES, _NUM_SIMULATED = (1, 10, 50), 3


@dataclass(frozen=True, eq=False)
class Case:
    r"""A model, a proposal and one observation whose :math:`\log p(x)` is known, or certified to lie in an interval.

    Args:
        name: What it is called.
        group: The kind of case.
        model: The joint density.
        q: The proposal for this x, with batch shape ``()``.
        x: One observation.
        low: The lower end of what is known of :math:`\log p(x)`, in nats.
        high: Its upper end; equal to ``low`` where the value is exact.
        z: The latent variable that x was simulated with, an exact draw from the posterior; None if there is none.
    """

    name: str
    group: str
    model: LatentVariableModel
    q: Distribution
    x: Tensor
    low: float
    high: float
    z: Tensor | None = None

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(
                f"low is {self.low} and high is {self.high} in case {self.name!r}: expected finite numbers with "
                f"low <= high; give the interval that log p(x) is known to lie in."
            )

    def __repr__(self) -> str:
        return f"Case({self.name!r})"

    @property
    def log_evidence(self) -> float:
        r"""The middle of the interval: :math:`\log p(x)` itself where it is exact."""
        return self.low + self.uncertainty

    @property
    def uncertainty(self) -> float:
        """Half the width of the interval; zero where the value is exact."""
        return (self.high - self.low) / 2

    def posterior_draws(self, num_samples: int, seed: int) -> Tensor:
        """Exact draws from the posterior, shape ``(S, *z_event)``.

        Args:
            num_samples: S; where the posterior itself is not known, x must be simulated, and one draw is all there is.
            seed: Names the draws.

        Raises:
            ValueError: If there are no such draws.
        """
        if isinstance(self.model, ExactModel):
            with stream("posterior_draws", seed, self.x.device):
                return self.model.posterior(self.x).sample((num_samples,))
        if self.z is None or num_samples > 1:
            known = "no draw" if self.z is None else "one draw, the z that x was simulated with,"
            raise ValueError(
                f"num_samples is {num_samples} and case {self.name!r} has {known} from the exact posterior: expected "
                f"as many; choose an exact model, or a simulated x and one draw."
            )
        return self.z[None]


def near_posterior(model: LinearGaussian, x: Tensor) -> Distribution:
    """The product of normals that is closest to the posterior in the sense of the ELBO, 1.2 times as wide."""
    posterior = model.posterior(x)
    precision = posterior.precision_matrix.diagonal(dim1=-2, dim2=-1)
    return Independent(Normal(posterior.mean, 1.2 * precision.rsqrt()), 1)


def gaussian_case(name: str, group: str, model: LinearGaussian, x: Tensor, z: Tensor | None = None) -> Case:
    """A linear Gaussian model at x, with the proposal of :func:`near_posterior`."""
    known = model.log_evidence(x).item()
    return Case(name, group, model, near_posterior(model, x), x, known, known, z)


def _of_member(one: Member) -> Case:
    known = one.truth.log_evidence
    return Case(one.name, "zoo", one.model, one.q, one.x, known, known)


def _elsewhere(one: Member, x: float) -> Case:
    """A member at another x, whose evidence is a sum over the grid."""
    assert one.grid is not None
    there = torch.full_like(one.x, x)
    known = (one.model.log_joint(there, one.grid.z) + one.grid.log_volume).logsumexp(0).item()
    return Case(f"{one.name}, x = {x:g}", "zoo", one.model, one.q, there, known, known)


def _linear(dim: int) -> list[Case]:
    """Twice as many readings as causes; x from the model."""
    generator = torch.Generator().manual_seed(dim)
    weight = torch.randn(2 * dim, dim, generator=generator, dtype=torch.float64) / math.sqrt(dim)
    model = LinearGaussian(weight, 0 * weight[:, 0], torch.tensor(0.5, dtype=torch.float64))
    simulated = zip(*model.sample(_NUM_SIMULATED, seed=0), strict=True)
    return [
        gaussian_case(f"linear-{dim}, x {number}", "linear Gaussian", model, x, z)
        for number, (x, z) in enumerate(simulated, 1)
    ]


@lru_cache(maxsize=1)
def cases() -> tuple[Case, ...]:
    """Every case of the package with an exact log-evidence: members of the zoo, and simulated linear Gaussian data.

    Returns:
        Cases whose names are unique, in float64 and on the CPU.

    Example:
        >>> from lvmlib.zoo import cases
        >>> len(cases()) >= 40 and all(case.uncertainty == 0 for case in cases())
        True
    """
    with torch.device("cpu"):
        # Without evidence there is nothing to estimate; a member of one draw is another member drawn less often.
        kept = [one for one in members() if one.truth.log_evidence > -math.inf and one.num_samples > 1]
        further = [_elsewhere(member(name), x) for name, places in _ELSEWHERE.items() for x in places]
        return (*map(_of_member, kept), *further, *(case for dim in _LINEAR_SIZES for case in _linear(dim)))
