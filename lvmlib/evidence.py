r"""Monte Carlo estimates of the evidence and of posterior expectations, from one stream of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lvmlib._checks import check_no_nan, describe
from lvmlib._draws import draw
from lvmlib._random import forked_rng
from lvmlib._streams import chunk_length, stream_weights
from lvmlib._types import Float
from lvmlib.density import log_density
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind_to_prior
from lvmlib.weights import WeightSummary, bind_without_gradient, summarize_blocks

__all__ = [
    "EvidenceEstimate",
    "ExpectationEstimate",
    "importance_sampling",
    "prior_monte_carlo",
    "self_normalized_expectation",
]


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
    def smoothed_log_evidence(self) -> Float[Tensor, "*batch"]:
        """The estimate by Pareto smoothed weights, in nats; see :attr:`WeightSummary.smoothed_log_evidence`."""
        return self.summary.smoothed_log_evidence

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
        num_samples: The number K of draws.
        chunk_size: Draws weighed at once; less memory when small, the same answer.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        An estimate with the batch shape of x, ``direction="lower"``.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`.

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, chapter 2.
    """
    with torch.no_grad():
        problem = bind_to_prior(model, x)
    summary = summarize_blocks(problem, num_samples, name="prior_monte_carlo", seed=seed, chunk_size=chunk_size)
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
        num_samples: The number K of draws.
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
    problem = bind_without_gradient(model, q, x)
    check_covers(problem)
    summary = summarize_blocks(problem, num_samples, name="importance_sampling", seed=seed, chunk_size=chunk_size)
    return EvidenceEstimate(summary, "lower")


@dataclass(frozen=True, repr=False)
class ExpectationEstimate:
    r"""An estimate of a posterior expectation :math:`\E_{p(z \mid x)}[f(z)]` with what is known of its error.

    Args:
        value: The estimate, shape ``(*batch, *f_event)``; ``nan`` where every weight of an x is zero.
        std_error: Its standard error by the delta method, of the same shape; ``inf`` for a single draw.
        summary: The weights behind the estimate.
    """

    value: Tensor
    std_error: Tensor
    summary: WeightSummary

    @property
    def ess(self) -> Float[Tensor, "*batch"]:
        """Effective sample size of the weights; see :attr:`WeightSummary.ess`."""
        return self.summary.ess

    @property
    def pareto_k(self) -> Float[Tensor, "*batch"]:
        """Shape of the tail of the weights, whatever f is; see :attr:`WeightSummary.pareto_k`."""
        return self.summary.pareto_k

    @property
    def num_samples(self) -> int:
        """K, the number of draws for each x."""
        return self.summary.num_samples

    def __repr__(self) -> str:
        if self.value.ndim:
            return f"ExpectationEstimate(shape={tuple(self.value.shape)}, num_samples={self.num_samples})"
        return (
            f"ExpectationEstimate(value={self.value.item():.4g}, std_error={self.std_error.item():.2g}, "
            f"ess={self.ess.item():.1f}, pareto_k={self.pareto_k.item():.2f}, num_samples={self.num_samples})"
        )


def self_normalized_expectation(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    f: Callable[[Tensor], Tensor],
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> ExpectationEstimate:
    r"""A posterior expectation by self-normalised importance sampling: the unknown evidence cancels.

    .. math::
        \E_{p(z \mid x)}[f(z)] = \frac{\E_{q(z)}[w(z)\, f(z)]}{\E_{q(z)}[w(z)]}
        \approx \mu = \frac{\sum_k w_k f(z_k)}{\sum_k w_k}, \qquad z_k \sim q(z)

    A ratio of two unbiased averages is not unbiased: its bias is
    :math:`-\frac1K \E_{q(z)}\big[(w(z) / p(x))^2\, (f(z) - \E_{p(z \mid x)}[f(z)])\big]` to first order in
    :math:`1/K`, of smaller order than the standard error, which the delta method estimates by

    .. math:: \sqrt{\frac{K}{K - 1}\, \frac{\sum_k w_k^2\, (f(z_k) - \mu)^2}{(\sum_k w_k)^2}}

    Draws are streamed, in memory that does not grow with K.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        f: From draws, shape ``(K, *batch, *z_event)``, to real values, shape ``(K, *batch, *f_event)``, each from
            its own z; true and false count as one and zero. It is not asked about the value at a weight of zero.
        num_samples: The number K of draws.
        chunk_size: Draws weighed at once, for each x; less memory when small, the same answer up to rounding.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        An :class:`ExpectationEstimate`, its value of shape ``(*batch, *f_event)`` in the dtype of the weights.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`; and if f is not callable or gives no real tensor.
        ValueError: As :func:`importance_sampling`; and if f gives another shape, or NaN at a weight above zero.

    Example:
        >>> import torch
        >>> from lvmlib import LinearGaussian
        >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1.0)
        >>> x = torch.ones(1)
        >>> estimate = self_normalized_expectation(model, model.prior, x, lambda z: z, 10_000, seed=0)
        >>> abs(estimate.value - model.posterior(x).mean) < 5 * estimate.std_error
        tensor([True])

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, section 9.2.
    """
    if not callable(f):
        raise TypeError(f"f is {describe(f)}: expected a callable from z to a tensor; pass lambda z: z for the mean.")
    problem = bind_without_gradient(model, q, x)
    check_covers(problem)
    summary, ratio = WeightSummary(), None
    name = "self_normalized_expectation"
    for z, log_w in stream_weights(problem, num_samples, name=name, seed=seed, chunk_size=chunk_size):
        summary.update(log_w)
        # f may give many numbers for each z: one draw tells how many.
        numbers = _evaluate(f, z[:1], log_w[:1]).numel() if chunk_size is None else 0
        length = len(z) if chunk_size is not None else chunk_length(numbers, z.device)
        for part, log_v in zip(z.split(length), log_w.split(length), strict=True):
            here = _Ratio.of(log_v, _evaluate(f, part, log_v))
            ratio = here if ratio is None else ratio.merge(here)
    assert ratio is not None  # there is at least one draw
    dtype = summary.log_evidence.dtype
    return ExpectationEstimate(ratio.value().to(dtype), ratio.std_error(num_samples).to(dtype), summary)


def _evaluate(f: Callable[[Tensor], Tensor], z: Tensor, log_w: Tensor) -> Tensor:
    """The values of f in float64, zero where the weight is."""
    values = f(z)
    if not isinstance(values, Tensor) or values.is_complex():
        raise TypeError(f"f(z) is {describe(values)}: expected a real tensor; return one with torch.as_tensor.")
    if values.shape[: log_w.ndim] != log_w.shape:
        raise ValueError(
            f"f(z) has shape {tuple(values.shape)} for {len(z)} draws of z of shape {tuple(z.shape)}: expected "
            f"({', '.join(map(str, log_w.shape))}, *f_event), one value for each draw and each x; keep the leading "
            f"dimensions of z."
        )
    seen = (log_w > -torch.inf).reshape(log_w.shape + (1,) * (values.ndim - log_w.ndim))
    values = torch.where(seen, values.double(), 0.0)
    check_no_nan("f(z)", values)
    return values


class _Ratio(NamedTuple):
    """Sums behind a self-normalised mean, in float64 and centred, so that nothing cancels.

    Weights are relative to ``exp(scale)``. ``mean`` is weighted by w; ``centre`` and ``spread``, a sum of squared
    deviations, by the square of w, as the variance needs them.
    """

    scale: Tensor
    total: Tensor
    mean: Tensor
    total_squared: Tensor
    centre: Tensor
    spread: Tensor

    @classmethod
    def of(cls, log_w: Tensor, values: Tensor) -> _Ratio:
        log_w = log_w.double().reshape(log_w.shape + (1,) * (values.ndim - log_w.ndim))
        scale = log_w.amax(0)
        w = (log_w - torch.where(scale == -torch.inf, 0.0, scale)).exp()
        total, total_squared = w.sum(0), w.square().sum(0)
        mean = _divide((w * values).sum(0), total)
        centre = _divide((w.square() * values).sum(0), total_squared)
        return cls(scale, total, mean, total_squared, centre, (w * (values - centre)).square().sum(0))

    def merge(self, other: _Ratio) -> _Ratio:
        scale = torch.maximum(self.scale, other.scale)
        one, two = self._rescaled(scale), other._rescaled(scale)
        total, total_squared = one.total + two.total, one.total_squared + two.total_squared
        mean = one.mean + (two.mean - one.mean) * _divide(two.total, total)
        step, share = two.centre - one.centre, _divide(two.total_squared, total_squared)
        spread = one.spread + two.spread + step.square() * one.total_squared * share
        return _Ratio(scale, total, mean, total_squared, one.centre + step * share, spread)

    def _rescaled(self, scale: Tensor) -> _Ratio:
        fade = torch.where(self.scale == -torch.inf, 0.0, (self.scale - scale).exp())
        return self._replace(
            total=self.total * fade,
            total_squared=self.total_squared * fade.square(),
            spread=self.spread * fade.square(),
        )

    def value(self) -> Tensor:
        return torch.where(self.total > 0, self.mean, torch.nan)

    def std_error(self, num_samples: int) -> Tensor:
        if num_samples == 1:
            return torch.full_like(self.mean, torch.inf)
        about_mean = self.spread + self.total_squared * (self.centre - self.mean).square()
        return (num_samples / (num_samples - 1) * about_mean).sqrt() / self.total


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and zero where the sum of weights below the bar is zero."""
    return torch.where(denominator > 0, numerator / denominator, 0.0)


def check_covers(problem: Problem, num_probes: int = 64) -> None:
    """Refuse a q for which some z has joint density above zero and q-density zero: a proof, not a guess."""
    if problem.q_is_prior:
        return
    model, x, q = problem.model, problem.x, problem.q
    prior, batch = model.prior, q.batch_shape
    with torch.no_grad(), problem.mode(), forked_rng(0, x.device):
        z = prior.enumerate_support() if prior.has_enumerate_support else draw(prior, num_probes)
        z = z.reshape(len(z), *(1,) * len(batch), *prior.event_shape).expand(len(z), *batch, *prior.event_shape)
        missed = log_density(q, z) == -torch.inf
        if missed.any():
            missed &= model._log_joint(x, z) > -torch.inf
        if missed.any():
            first = tuple(missed.nonzero()[0].tolist())
            raise ValueError(
                f"q is {type(q).__name__} with density zero at z = {_shortened(z[first])}, where "
                f"log p(x, z) = {model._log_joint(x, z)[first].item():.4g} for the x at index {first[1:]}: expected "
                f"q(z) > 0 wherever p(x, z) > 0, or the estimate misses that mass; widen q, or mix it with the prior."
            )


def _shortened(z: Tensor) -> str:
    numbers = z.flatten()[:8].tolist()
    return str(z.tolist()) if z.numel() <= len(numbers) else f"[{', '.join(map(str, numbers))}, ...]"
