r"""Monte Carlo estimates of the evidence, each a view of one summary of weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lvmlib._checks import into_support
from lvmlib._random import forked_rng
from lvmlib._types import Float
from lvmlib.guide import Guide, proposal
from lvmlib.model import LatentVariableModel
from lvmlib.weights import WeightSummary, summarize_weights

__all__ = ["EvidenceEstimate", "importance_sampling", "prior_monte_carlo"]


@dataclass(frozen=True, repr=False)
class EvidenceEstimate:
    r"""An estimate of :math:`\log p(x)` with what is known of its error.

    Args:
        summary: The weights behind the estimate.
        direction: On which side of :math:`\log p(x)` the estimate lies in expectation: ``"lower"``, ``"upper"``
            or ``"exact"``.
    """

    summary: WeightSummary
    direction: Literal["lower", "upper", "exact"]

    @property
    def log_evidence(self) -> Float[Tensor, "*batch"]:
        r"""The estimate of :math:`\log p(x)`, in nats."""
        return self.summary.log_evidence

    @property
    def std_error(self) -> Float[Tensor, "*batch"]:
        """Standard error of :attr:`log_evidence`, in nats; see :attr:`WeightSummary.std_error`."""
        return self.summary.std_error

    @property
    def ess(self) -> Float[Tensor, "*batch"]:
        """Effective sample size; see :attr:`WeightSummary.ess`."""
        return self.summary.ess

    @property
    def pareto_k(self) -> Float[Tensor, "*batch"]:
        """Shape of the tail of the weights; see :attr:`WeightSummary.pareto_k`."""
        return self.summary.pareto_k

    @property
    def num_samples(self) -> int:
        """K, the number of weights of each x."""
        return self.summary.num_samples

    def __repr__(self) -> str:
        if self.log_evidence.ndim:
            return (
                f"EvidenceEstimate(batch_shape={tuple(self.log_evidence.shape)}, "
                f"num_samples={self.num_samples}, direction={self.direction!r})"
            )
        return (
            f"EvidenceEstimate(log_evidence={self.log_evidence.item():.4f}, "
            f"std_error={self.std_error.item():.2g}, ess={self.ess.item():.1f}, "
            f"pareto_k={self.pareto_k.item():.2f}, num_samples={self.num_samples}, "
            f"direction={self.direction!r})"
        )


def prior_monte_carlo(
    model: LatentVariableModel,
    x: Tensor,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> EvidenceEstimate:
    r"""The evidence as the average likelihood of draws from the prior.

    .. math:: p(x) = \E_{p(z)}[p(x \mid z)] \approx \frac1K \sum_{k=1}^K p(x \mid z_k), \qquad z_k \sim p(z)

    This is importance sampling with the prior as proposal. The average is unbiased for :math:`p(x)`; its
    logarithm is too low on average, by about :math:`\chi^2(p(z \mid x) \Vert p(z)) / 2K` nats.

    Args:
        model: The joint density.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K.
        chunk_size: Draws weighed at once; less memory when small, the same answer.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        An estimate with the batch shape of x, ``direction="lower"``.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`.

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, chapter 2.
    """
    summary = summarize_weights(model, model.prior, x, num_samples, chunk_size=chunk_size, seed=seed)
    return EvidenceEstimate(summary, "lower")


def importance_sampling(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> EvidenceEstimate:
    r"""The evidence as the average importance weight of draws from a proposal q.

    .. math::
        p(x) = \E_{q(z)}\!\left[\frac{p(x, z)}{q(z)}\right] \approx \frac1K \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k)},
        \qquad z_k \sim q(z)

    It needs :math:`q(z) > 0` wherever :math:`p(x, z) > 0`. A proposal that is zero at one of some draws from
    the prior (at one of all values, when z is finite) where the joint is not, is refused.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K.
        chunk_size: Draws weighed at once; less memory when small, the same answer.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        An estimate with the batch shape of x, ``direction="lower"``.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`.
        ValueError: Likewise; and if q misses part of the support, with a z that shows it.

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, chapter 9.
    """
    _check_covers(model, q, x)
    summary = summarize_weights(model, q, x, num_samples, chunk_size=chunk_size, seed=seed)
    return EvidenceEstimate(summary, "lower")


def _check_covers(model: LatentVariableModel, q: Guide, x: Tensor, num_probes: int = 64) -> None:
    """Refuse a q for which some z has joint density above zero and q-density zero: a proof, not a guess."""
    with torch.no_grad(), forked_rng(0, x.device if isinstance(x, Tensor) else None):
        distribution = proposal(model, q, x)
        prior, batch = model.prior, distribution.batch_shape
        z = prior.enumerate_support() if prior.has_enumerate_support else prior.sample(torch.Size((num_probes,)))
        z = z.reshape(len(z), *(1,) * len(batch), *prior.event_shape)
        z = z.expand(len(z), *batch, *prior.event_shape)
        harmless, inside = into_support(distribution, z)
        log_q = distribution.log_prob(harmless)
        # torch raises the zeros of a discrete distribution to its machine precision, a mass never drawn.
        never = math.log(2 * torch.finfo(log_q.dtype).eps) if not z.is_floating_point() else -torch.inf
        covered = inside & (log_q > never)
        missed = ~covered
        if missed.any():
            missed &= model.log_joint(x, z) > -torch.inf
        if missed.any():
            first = tuple(missed.nonzero()[0].tolist())
            raise ValueError(
                f"q is {type(distribution).__name__} with density zero at z = {z[first].tolist()}, where "
                f"log p(x, z) = {model.log_joint(x, z)[first].item():.4g} for the x at index {first[1:]}: expected "
                f"q(z) > 0 wherever p(x, z) > 0, or the estimate misses that mass; widen q, or mix it with the prior."
            )
