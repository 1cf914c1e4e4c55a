r"""The importance weight, and the one running summary from which every estimate is read.

.. math:: w(z) = \frac{p(x, z)}{q(z)}, \qquad z \sim q, \qquad \E_{q(z)}[w(z)] = p(x)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._checks import check_no_nan, check_sample_count, describe, values_are_trusted
from lvmlib._random import forked_rng
from lvmlib._types import Float
from lvmlib.guide import Guide, proposal
from lvmlib.model import LatentVariableModel

__all__ = [
    "ParetoSmoothed",
    "WeightSummary",
    "draw",
    "log_weights",
    "pareto_smoothed",
    "stream_weights",
    "summarize_weights",
]

# One block of draws holds about this many numbers; it fixes the order of the draws, so never the chunk size.
_NUMBERS_PER_BLOCK = 2**19


def log_weights(model: LatentVariableModel, q: Guide, x: Tensor, num_samples: int) -> Float[Tensor, K * batch]:
    r"""Log importance weights of draws from q, in nats.

    .. math:: \log w(z_k) = \log p(x, z_k) - \log q(z_k), \qquad z_k \sim q(z)

    Differentiable in the parameters of the model and, where q has reparameterised draws, of q along the
    draws. Every x has its own draws.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: The number K of draws.

    Returns:
        Shape ``(K, *batch)``; ``-inf`` where a draw has joint density zero.

    Raises:
        TypeError: If an argument is of the wrong type, or q is over another kind of z.
        ValueError: If a shape, a device or a value does not fit; the message names the mend.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> log_weights(model, Normal(0.0, 1.0), torch.zeros(5), num_samples=100).shape
        torch.Size([100, 5])

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, chapter 9.
    """
    check_sample_count("num_samples", num_samples)
    distribution = proposal(model, q, x)
    z = draw(distribution, num_samples)
    return model.log_joint(x, z) - distribution.log_prob(z)


def draw(distribution: Distribution, num_samples: int) -> Tensor:
    """Draws of shape ``(K, *batch, *z_event)``, reparameterised where the distribution can.

    Raises:
        ValueError: If a draw is NaN, which a distribution with parameters gone bad gives.
    """
    z = (distribution.rsample if distribution.has_rsample else distribution.sample)(torch.Size((num_samples,)))
    if not values_are_trusted() and z.is_floating_point() and z.isnan().any():
        raise ValueError(
            f"q is {describe(distribution)} and drew z with NaN: expected numbers; its parameters have gone bad, so "
            f"look at them and at the last step that changed them."
        )
    return z


def summarize_weights(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> WeightSummary:
    r"""The :class:`WeightSummary` of K draws from q, in memory that does not grow with K.

    Draws are made in blocks whose size depends only on the shapes of x and z, so that a seed gives the same
    answer whatever the chunk size.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: The number K of draws.
        chunk_size: Draws weighed at once, for each x; less memory when small. By default about half a million
            numbers at a time.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        The summary, with the batch shape of x. No gradient is kept: see :func:`log_weights` for that.

    Raises:
        TypeError, ValueError: As :func:`log_weights`; also if ``chunk_size`` is below 1 or ``seed`` negative.
    """
    summary = WeightSummary()

    def take(_: Tensor, log_w: Tensor) -> None:
        summary.update(log_w)

    stream_weights(model, q, x, num_samples, take, chunk_size=chunk_size, seed=seed)
    return summary


def stream_weights(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    take: Callable[[Tensor, Tensor], None],
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> None:
    """Hand K draws from q and their log-weights to ``take(z, log_w)``, a chunk at a time and without gradients.

    Arguments and errors are those of :func:`summarize_weights`. The order of the draws does not depend on the
    chunk size.
    """
    check_sample_count("num_samples", num_samples)
    if chunk_size is not None:
        check_sample_count("chunk_size", chunk_size)
    model.check_observation(x)
    with torch.no_grad(), forked_rng(seed, x.device):
        distribution = proposal(model, q, x)
        numbers_per_draw = x.numel() + distribution.batch_shape.numel() * distribution.event_shape.numel()
        block_size = chunk_length(numbers_per_draw)
        for start in range(0, num_samples, block_size):
            z = draw(distribution, min(block_size, num_samples - start))
            for part in z.split(chunk_size or block_size):
                take(part, model.log_joint(x, part) - distribution.log_prob(part))


def chunk_length(numbers_per_draw: int) -> int:
    """How many draws of so many numbers each are worked on at once."""
    return max(1, _NUMBERS_PER_BLOCK // max(1, numbers_per_draw))


class ParetoSmoothed(NamedTuple):
    """Log-weights with their tail smoothed, shape ``(K, *batch)``, and the shape k of that tail, ``(*batch)``."""

    log_weights: Tensor
    pareto_k: Tensor


def pareto_smoothed(log_w: Float[Tensor, K * batch]) -> ParetoSmoothed:
    r"""Pareto smoothed importance weights: the largest replaced by what a fitted tail expects of them.

    A generalised Pareto distribution with shape k and scale :math:`\sigma` is fitted to what the M largest weights
    exceed the next one by, :math:`M = \lceil \min(K/5, 3\sqrt K) \rceil`. The j-th smallest of them becomes

    .. math::
        \min\!\left(w_{\max},\; u + \frac{\sigma}{k} \left[\left(1 - \frac{j - 1/2}{M}\right)^{-k} - 1\right]\right),
        \qquad j = 1, \dots, M,

    with u the weight below the tail. The average weight gets a small bias, and loses most of the noise that its few
    largest terms make: worth it up to about k = 0.7.

    Args:
        log_w: Log-weights in nats, shape ``(K, *batch)``; each x is smoothed apart.

    Returns:
        ``(log_weights, pareto_k)``, of the dtype of ``log_w`` and without gradient. Weights stay as they are where
        no tail can be fitted, and k is ``nan`` there; see :attr:`WeightSummary.pareto_k`.

    Raises:
        TypeError: If ``log_w`` is no floating-point tensor.
        ValueError: If it has no sample, NaN or ``+inf``.

    Example:
        >>> import torch
        >>> smoothed, k = pareto_smoothed(torch.linspace(0.0, 3.0, 200).square())
        >>> smoothed.shape, k.shape
        (torch.Size([200]), torch.Size([]))

    References:
        Vehtari, Simpson, Gelman, Yao and Gabry (2024), *Pareto smoothed importance sampling*, JMLR 25.
    """
    _check_log_weights(log_w)
    columns = log_w.detach().double().reshape(len(log_w), -1).clone()
    shapes = columns.new_full((columns.shape[1],), torch.nan)
    for i, column in enumerate(columns.unbind(1)):
        maximum = column.amax()
        largest = column.topk(min(len(column), _tail_length(len(column)) + 1))
        tail = _Tail.fit(largest.values - maximum, maximum)
        shapes[i] = tail.shape
        column[largest.indices[: len(tail.log_smoothed)]] = tail.log_smoothed + maximum
    return ParetoSmoothed(columns.reshape(log_w.shape).to(log_w), shapes.reshape(log_w.shape[1:]).to(log_w))


class WeightSummary:
    r"""A running summary of log-weights, from which every estimate of the course is read.

    It holds, for each x, the number of weights, their maximum, the mean and the sum of squared deviations of the
    weights (relative to the maximum) and of the log-weights, and the largest weights. That is the same small
    size for any number of weights. Summaries form a commutative monoid under :meth:`merge`, with the empty
    ``WeightSummary()`` as identity: chunks, streams and processes give one answer, up to rounding.

    Args:
        tail_size: How many of the largest weights are kept for :attr:`pareto_k`, eight bytes each for every x.

    Moments are kept in float64 and read out in the dtype of the weights.

    Example:
        >>> import torch
        >>> summary = WeightSummary.from_log_weights(torch.tensor([0.0, 1.0, 2.0]))
        >>> summary.num_samples, round(summary.log_evidence.item(), 4), summary.elbo.item()
        (3, 1.309, 1.0)

    References:
        Chan, Golub and LeVeque (1983), *Algorithms for computing the sample variance*, for the merge; Vehtari,
        Simpson, Gelman, Yao and Gabry (2024), *Pareto smoothed importance sampling*, JMLR 25, for the tail.
    """

    def __init__(self, *, tail_size: int = 1000) -> None:
        self._tail_size = check_sample_count("tail_size", tail_size, least=5)
        self._dtype: torch.dtype | None = None
        self._num_samples = 0
        self._moments: _Moments | None = None
        self._tail: list[Tensor] = []

    @classmethod
    def from_log_weights(cls, log_w: Float[Tensor, K * batch], *, tail_size: int = 1000) -> WeightSummary:
        """The summary of log-weights in nats, shape ``(K, *batch)``; see :meth:`update`."""
        return cls(tail_size=tail_size).update(log_w)

    def update(self, log_w: Float[Tensor, K * batch]) -> WeightSummary:
        """Add weights in place.

        Args:
            log_w: Log-weights in nats, shape ``(K, *batch)``; ``-inf`` is a weight of zero.

        Returns:
            The summary itself.

        Raises:
            TypeError: If ``log_w`` is no floating-point tensor, or of another dtype than before.
            ValueError: If it has no sample, NaN, ``+inf``, or another batch shape than before.
        """
        _check_log_weights(log_w)
        log_w = log_w.detach()
        self._absorb(log_w.dtype, len(log_w), _Moments.of(log_w.double()), [log_w.double()])
        return self

    def merge(self, other: WeightSummary) -> WeightSummary:
        """The summary of both sets of weights; neither argument changes.

        Raises:
            TypeError: If ``other`` is no summary, or of another dtype.
            ValueError: If the batch shapes differ.
        """
        if not isinstance(other, WeightSummary):
            raise TypeError(f"other is {describe(other)}: expected a WeightSummary; make one with from_log_weights.")
        merged = WeightSummary(tail_size=min(self._tail_size, other._tail_size))
        for part in (self, other):
            if part._moments is not None and part._dtype is not None:
                merged._absorb(part._dtype, part._num_samples, part._moments, part._tail)
        return merged

    def all_reduce(self, group: Any = None) -> WeightSummary:
        """Replace the summary, in every process of a ``torch.distributed`` group, by that of all of them.

        Without an initialised process group there is one process, and nothing changes. Summaries are merged in
        the order of ranks, so that all processes get the same bits.

        Args:
            group: A process group; by default all processes.

        Returns:
            The summary itself.

        Raises:
            ValueError: If the summary is empty, as it then has no shape to send.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return self
        moments = self._read()
        tail = self._largest()
        absent = tail.new_full((self._tail_size + 1 - len(tail), *tail.shape[1:]), -torch.inf)
        count = torch.full_like(moments.maximum, self._num_samples)
        packed = torch.cat([torch.stack([count, *moments]), tail, absent])
        received = [torch.empty_like(packed) for _ in range(dist.get_world_size(group))]
        dist.all_gather(received, packed, group=group)
        dtype, size = self._dtype, 1 + len(moments)
        self._num_samples, self._moments, self._tail = 0, None, []
        for part in received:
            num_samples = int(part[0].flatten()[0])
            tail = part[size : size + min(num_samples, self._tail_size + 1)]
            self._absorb(dtype, num_samples, _Moments(*part[1:size]), [tail])
        return self

    @property
    def num_samples(self) -> int:
        """K, the number of weights of each x."""
        return self._num_samples

    @property
    def log_evidence(self) -> Float[Tensor, "*batch"]:
        r"""The estimate :math:`\log \frac1K \sum_k w_k` of :math:`\log p(x)`, in nats; a lower bound on average."""
        moments = self._read()
        return self._out(moments.maximum + moments.mean.log())

    @property
    def std_error(self) -> Float[Tensor, "*batch"]:
        r"""Standard error of :attr:`log_evidence` by the delta method, in nats: the relative one of the mean weight.

        ``inf`` for a single weight, or when every weight is zero. When the variance of w is infinite, it is
        finite all the same and means nothing: read :attr:`pareto_k` first.
        """
        return self._out((self._relative_variance() / self._num_samples).sqrt())

    @property
    def relative_variance(self) -> Float[Tensor, "*batch"]:
        r"""The sample variance of w over its squared mean: estimates :math:`\chi^2(p(z \mid x) \,\Vert\, q)`."""
        return self._out(self._relative_variance())

    @property
    def elbo(self) -> Float[Tensor, "*batch"]:
        r"""The mean log-weight :math:`\frac1K \sum_k \log w_k`, in nats: estimates the ELBO.

        ``-inf`` when a weight is zero.
        """
        moments = self._read()
        return self._out(torch.where(moments.num_zero > 0, -torch.inf, moments.log_mean))

    @property
    def elbo_std_error(self) -> Float[Tensor, "*batch"]:
        """Standard error of :attr:`elbo`, in nats; ``inf`` for a single weight, or when a weight is zero."""
        moments = self._read()
        if self._num_samples == 1:
            return self._out(torch.full_like(moments.log_mean, torch.inf))
        variance = moments.log_squares / (self._num_samples - 1)
        return self._out(torch.where(moments.num_zero > 0, torch.inf, (variance / self._num_samples).sqrt()))

    @property
    def ess(self) -> Float[Tensor, "*batch"]:
        r"""Effective sample size :math:`(\sum_k w_k)^2 / \sum_k w_k^2`, between 1 and K; zero if every weight is.

        References:
            Kong (1992); Owen (2013), section 9.3.
        """
        moments = self._read()
        square_of_mean = moments.mean.square()
        mean_of_square = moments.squares / self._num_samples + square_of_mean
        return self._out(torch.where(moments.mean > 0, self._num_samples * square_of_mean / mean_of_square, 0.0))

    @property
    def pareto_k(self) -> Float[Tensor, "*batch"]:
        r"""Shape k of the generalised Pareto distribution that fits the largest weights.

        The moments of w of order below 1/k exist: the variance is finite for k < 1/2, and importance sampling
        is of use up to about k = 0.7. The tail is the :math:`\lceil \min(K/5, 3\sqrt K) \rceil` largest weights,
        as in PSIS with independent draws, and at most ``tail_size``.

        ``nan`` where no tail can be fitted: fewer than five distinct weights in it, as when q is the posterior
        and all weights are equal.

        References:
            Vehtari et al. (2024), JMLR 25; Zhang and Stephens (2009), Technometrics 51(3), for the fit.
        """
        shapes = [tail.shape for tail in self._tails()]
        return self._out(torch.stack(shapes).reshape(self._read().maximum.shape))

    @property
    def smoothed_log_evidence(self) -> Float[Tensor, "*batch"]:
        r"""The estimate of :math:`\log p(x)` by Pareto smoothed weights, in nats; see :func:`pareto_smoothed`.

        Equal to the logarithm of the mean of all smoothed weights as long as the tail fits into ``tail_size``; with
        more weights the ``tail_size`` largest are smoothed. Where no tail can be fitted it is :attr:`log_evidence`.

        References:
            Vehtari et al. (2024), JMLR 25.
        """
        moments = self._read()
        kept = (self._largest() - torch.where(moments.maximum == -torch.inf, 0.0, moments.maximum)).exp()
        # What is no longer kept is known by its sum, up to the rounding of the whole, and smaller than what is.
        dropped = self._num_samples * moments.mean - kept.sum(0)
        dropped = torch.minimum(dropped.clamp(min=0.0), (self._num_samples - len(kept)) * kept[-1])
        columns = kept.reshape(len(kept), -1).unbind(1)
        sums = [
            tail.log_smoothed.exp().sum() + column[len(tail.log_raw) :].sum()
            for tail, column in zip(self._tails(), columns, strict=True)
        ]
        total = torch.stack(sums).reshape(moments.mean.shape) + dropped
        return self._out(moments.maximum + (total / self._num_samples).log())

    def __repr__(self) -> str:
        if self._moments is None:
            return "WeightSummary(empty)"
        return f"WeightSummary(num_samples={self._num_samples}, batch_shape={tuple(self._moments.mean.shape)})"

    def _absorb(self, dtype: torch.dtype | None, num_samples: int, moments: _Moments, tail: list[Tensor]) -> None:
        if self._moments is None:
            self._dtype, self._moments = dtype, moments
        else:
            if dtype != self._dtype:
                raise TypeError(
                    f"log_w has dtype {dtype} after {self._dtype}: expected one dtype; convert the log-weights."
                )
            if moments.mean.shape != self._moments.mean.shape:
                raise ValueError(
                    f"log_w has batch shape {tuple(moments.mean.shape)} after {tuple(self._moments.mean.shape)}: "
                    f"expected one batch shape; keep one summary for each set of observations."
                )
            self._moments = self._moments.merge(self._num_samples, moments, num_samples)
        self._num_samples += num_samples
        self._tail = [*self._tail, *tail]
        # Sorting waits until there is as much to drop as to keep, so that small chunks stay cheap.
        if sum(map(len, self._tail)) > 2 * (self._tail_size + 1):
            self._tail = [self._largest()]

    def _largest(self) -> Tensor:
        """The largest log-weights of each x, in falling order, at most ``tail_size + 1``."""
        kept = torch.cat(self._tail)
        return kept.topk(min(len(kept), self._tail_size + 1), dim=0).values

    def _tails(self) -> list[_Tail]:
        """The tail of each x, in the order of the flattened batch."""
        maximum = self._read().maximum
        length = min(_tail_length(self._num_samples), self._tail_size)
        largest = (self._largest() - maximum)[: length + 1]
        columns = largest.reshape(len(largest), -1).unbind(1)
        return [_Tail.fit(column, scale) for column, scale in zip(columns, maximum.flatten(), strict=True)]

    def _relative_variance(self) -> Tensor:
        moments = self._read()
        if self._num_samples == 1:
            return torch.full_like(moments.mean, torch.inf)
        variance = moments.squares / (self._num_samples - 1)
        return torch.where(moments.mean > 0, variance / moments.mean.square(), torch.inf)

    def _read(self) -> _Moments:
        if self._moments is None:
            raise ValueError("The summary has 0 weights: expected at least 1; add some with update(log_w).")
        return self._moments

    def _out(self, value: Tensor) -> Tensor:
        return value.to(self._dtype)


class _Moments(NamedTuple):
    """Per-x statistics in float64, each of shape ``(*batch)``; weights are relative to ``exp(maximum)``."""

    maximum: Tensor
    mean: Tensor
    squares: Tensor
    num_zero: Tensor
    log_mean: Tensor
    log_squares: Tensor

    @classmethod
    def of(cls, log_w: Tensor) -> _Moments:
        maximum = log_w.amax(0)
        weights = (log_w - torch.where(maximum == -torch.inf, 0.0, maximum)).exp()
        mean = weights.mean(0)
        zero = log_w == -torch.inf
        num_zero = zero.sum(0).to(mean)
        # The moments of log w are those of the weights above zero; the count says whether they may be used.
        finite = torch.where(zero, 0.0, log_w)
        num_finite = (len(log_w) - num_zero).clamp(min=1.0)
        log_mean = finite.sum(0) / num_finite
        log_squares = torch.where(zero, 0.0, finite - log_mean).square().sum(0)
        return cls(maximum, mean, (weights - mean).square().sum(0), num_zero, log_mean, log_squares)

    def merge(self, num_samples: int, other: _Moments, other_num_samples: int) -> _Moments:
        maximum = torch.maximum(self.maximum, other.maximum)
        mean, squares = _pool(self._rescaled(maximum), other._rescaled(maximum), num_samples, other_num_samples)
        log_mean, log_squares = _pool(
            (self.log_mean, self.log_squares),
            (other.log_mean, other.log_squares),
            num_samples - self.num_zero,
            other_num_samples - other.num_zero,
        )
        return _Moments(maximum, mean, squares, self.num_zero + other.num_zero, log_mean, log_squares)

    def _rescaled(self, maximum: Tensor) -> tuple[Tensor, Tensor]:
        scale = torch.where(self.maximum == -torch.inf, 0.0, (self.maximum - maximum).exp())
        return self.mean * scale, self.squares * scale.square()


def _pool(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], first_count: Any, second_count: Any
) -> tuple[Tensor, Tensor]:
    """Mean and sum of squared deviations of two samples together (Chan, Golub and LeVeque, 1983)."""
    total = torch.as_tensor(first_count + second_count).to(first[0]).clamp(min=1)
    difference = second[0] - first[0]
    mean = first[0] + difference * (second_count / total)
    squares = first[1] + second[1] + difference.square() * (first_count * (second_count / total))
    return mean, squares


def _check_log_weights(log_w: Tensor) -> None:
    if not isinstance(log_w, Tensor) or not log_w.is_floating_point():
        raise TypeError(
            f"log_w is {describe(log_w)}: expected a floating-point tensor of log-weights; "
            f"convert it with torch.as_tensor(log_w).float()."
        )
    if log_w.ndim == 0 or len(log_w) == 0:
        raise ValueError(
            f"log_w has shape {tuple(log_w.shape)}: expected (K, *batch) with K at least 1; "
            f"add the sample dimension with log_w[None]."
        )
    check_no_nan("log_w", log_w)
    if (log_w == torch.inf).any():
        raise ValueError(
            "log_w has the value inf: expected finite values or -inf; a draw from q cannot have density "
            "zero under q, so check log q(z)."
        )


def _tail_length(num_samples: int) -> int:
    """How many weights PSIS takes for the tail, with independent draws."""
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


class _Tail(NamedTuple):
    """The largest log-weights of one x, relative to its maximum, with the Pareto distribution fitted to them."""

    shape: Tensor
    log_raw: Tensor
    log_smoothed: Tensor

    @classmethod
    def fit(cls, largest: Tensor, maximum: Tensor) -> _Tail:
        """From a falling row of log-weights relative to their maximum, whose last entry is the threshold."""
        threshold = largest[-1].clamp(min=math.log(torch.finfo(torch.float64).tiny))
        rounding = 64 * torch.finfo(torch.float64).eps * maximum.abs().clamp(min=1.0)
        log_raw = largest[largest > threshold + rounding]
        if len(log_raw) < 5:
            return cls(largest.new_tensor(torch.nan), log_raw, log_raw)
        start = threshold.exp()
        shape, scale = _fit_generalized_pareto(log_raw.flip(0).exp() - start)
        # The expected order statistics, nearly: quantiles in the middle of equal slices of probability.
        log_survival = (
            (torch.arange(len(log_raw), dtype=log_raw.dtype, device=log_raw.device) + 0.5) / len(log_raw)
        ).log()
        quantiles = torch.where(shape == 0, -log_survival, (-shape * log_survival).expm1() / shape)
        log_smoothed = (start + scale * quantiles).log().clamp(max=0.0)
        return cls(shape, log_raw, log_smoothed)


def _fit_generalized_pareto(exceedances: Tensor) -> tuple[Tensor, Tensor]:
    r"""Shape k and scale by the quasi-Bayesian rule of Zhang and Stephens, k shrunk towards 1/2 as PSIS does.

    Args:
        exceedances: Positive values in rising order, shape ``(n,)``.
    """
    count = len(exceedances)
    grid_size = 30 + int(math.sqrt(count))
    steps = torch.arange(1, grid_size + 1, dtype=exceedances.dtype, device=exceedances.device)
    quartile = exceedances[int(count / 4 + 0.5) - 1]
    grid = (1 - (grid_size / (steps - 0.5)).sqrt()) / (3 * quartile) + 1 / exceedances[-1]
    shapes = torch.log1p(-grid[:, None] * exceedances).mean(1)
    log_likelihood = count * ((-grid / shapes).log() - shapes - 1)
    weights = log_likelihood.softmax(0)
    weights = torch.where(weights >= 10 * torch.finfo(torch.float64).eps, weights, 0.0)
    grid_mean = (grid * weights).sum() / weights.sum()
    shape = torch.log1p(-grid_mean * exceedances).mean()
    return (count * shape + 10 * 0.5) / (count + 10), -shape / grid_mean
