r"""The one running summary of log-weights from which every estimate is read."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from lvmlib._checks import check_sample_count, describe
from lvmlib._described import FEWEST_TO_JUDGE, described
from lvmlib._largest import Largest
from lvmlib._pareto import Tail, check_log_weights, tail_length
from lvmlib._types import Bool, Float

__all__ = ["WeightSummary"]


class WeightSummary:
    r"""A running summary of log-weights, from which every estimate of the course is read.

    It holds, for each x, the number of weights, their maximum, the mean and the sum of squared deviations of the
    weights (relative to the maximum) and of the log-weights, and the largest weights. That is the same small
    size for any number of weights. Summaries form a commutative monoid under :meth:`merge`, with the empty
    ``WeightSummary()`` as identity: chunks, streams and processes give one answer, up to rounding.

    Proved in the book: thm-gap-size, cor-log-bias.

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
        self._largest = Largest(tail_size + 1)
        self._distrusted: Tensor | None = None

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
        check_log_weights(log_w)
        self._absorb(*self._digest(log_w.detach()))
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
                merged._absorb(part._dtype, part._num_samples, part._moments, part._largest.values())
                merged._distrust(part._distrusted)
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
        tail = self._largest.values()
        absent = tail.new_full((self._tail_size + 1 - len(tail), *tail.shape[1:]), -torch.inf)
        count = torch.full_like(moments.maximum, self._num_samples)
        distrusted = count.new_zeros(count.shape) if self._distrusted is None else self._distrusted.to(count)
        packed = torch.cat([torch.stack([count, distrusted, *moments]), tail, absent])
        received = [torch.empty_like(packed) for _ in range(dist.get_world_size(group))]
        dist.all_gather(received, packed, group=group)
        dtype, size = self._dtype, 2 + len(moments)
        self._num_samples, self._moments, self._largest = 0, None, Largest(self._tail_size + 1)
        for part in received:
            num_samples = int(part[0].flatten()[0])
            tail = part[size : size + min(num_samples, self._tail_size + 1)]
            self._absorb(dtype, num_samples, _Moments(*part[2:size]), tail)
            self._distrust(part[1] > 0)
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

        ``inf`` for a single weight, or when every weight is zero. It is computed from the weights that were drawn, and
        knows nothing of those that were not: where q leaves a part of the posterior out, or the variance of w is
        infinite, it is small all the same. Read :attr:`pareto_k` first, and know your q.
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

        It says how evenly the weights that were drawn are spread, not how well q covers the posterior: a q that sits on
        one of two modes has nearly equal weights and an ess near K.

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

        The moments of w of order below 1/k exist: the variance is finite for k < 1/2, and with K weights importance
        sampling is of use up to :attr:`pareto_k_threshold`, at most 0.7. The tail is the
        :math:`\lceil \min(K/5, 3\sqrt K) \rceil` largest weights, as in PSIS with independent draws, and at most
        ``tail_size``.

        It is fitted to weights that were drawn, and so cannot see a mode that q never reaches. Two causes of that are
        looked for apart, and give ``inf``: draws of a continuous q that its dtype rounds to the same number; and, for
        :func:`importance_sampling` and :func:`summarize_weights`, a tenth of the estimate or more that some draws from
        the prior find where q does not draw. Neither search is complete.

        ``nan`` where no tail can be fitted: fewer than five distinct weights in it, as when q is the posterior
        and all weights are equal.

        References:
            Vehtari et al. (2024), JMLR 25; Zhang and Stephens (2009), Technometrics 51(3), for the fit.
        """
        shapes = [tail.shape for tail in self._tails()]
        fitted = torch.stack(shapes) if shapes else self._read().maximum.new_zeros(0)
        shape = fitted.reshape(self._read().maximum.shape)
        return self._out(shape if self._distrusted is None else torch.where(self._distrusted, torch.inf, shape))

    @property
    def pareto_k_threshold(self) -> float:
        r"""The largest :attr:`pareto_k` to be believed with K weights, :math:`\min(1 - 1/\log_{10} K,\, 0.7)`.

        References:
            Vehtari et al. (2024), JMLR 25, section 3.2.4.
        """
        return min(1 - 1 / math.log10(max(self._num_samples, 2)), 0.7)

    @property
    def believable(self) -> Bool[Tensor, "*batch"]:
        """Whether nothing that was looked for speaks against the estimate: :attr:`pareto_k` is below its threshold.

        Equal weights, for which no tail can be fitted, count as believable; others do from 25 weights on, as when z
        takes few values. Where every weight is zero, nothing is known.
        """
        k = torch.where(self._read().mean > 0, self.pareto_k, torch.inf)
        equal = self._relative_variance() < 1e-6
        return (k < self.pareto_k_threshold) | (k.isnan() & (equal | (self._num_samples >= FEWEST_TO_JUDGE)))

    @property
    def smoothed_log_evidence(self) -> Float[Tensor, "*batch"]:
        r"""The estimate of :math:`\log p(x)` by Pareto smoothed weights, in nats; see :func:`pareto_smoothed`.

        Equal to the logarithm of the mean of all smoothed weights as long as the tail fits into ``tail_size``; with
        more weights the ``tail_size`` largest are smoothed. Where no tail can be fitted it is :attr:`log_evidence`.

        References:
            Vehtari et al. (2024), JMLR 25.
        """
        moments = self._read()
        kept = (self._largest.values() - torch.where(moments.maximum == -torch.inf, 0.0, moments.maximum)).exp()
        # What is no longer kept is known by its sum, up to the rounding of the whole, and smaller than what is.
        dropped = self._num_samples * moments.mean - kept.sum(0)
        dropped = torch.minimum(dropped.clamp(min=0.0), (self._num_samples - len(kept)) * kept[-1])
        columns = kept.reshape(len(kept), -1).unbind(1)
        sums = [
            tail.log_smoothed.exp().sum() + column[len(tail.log_raw) :].sum()
            for tail, column in zip(self._tails(), columns, strict=True)
        ]
        total = torch.stack(sums).reshape(moments.mean.shape) + dropped if sums else dropped
        return self._out(moments.maximum + (total / self._num_samples).log())

    def __repr__(self) -> str:
        if self._moments is None:
            return "WeightSummary(empty)"
        return f"WeightSummary({described(self)})"

    def _distrust(self, rows: Tensor | None) -> WeightSummary:
        """Mark the x for which something is known that the weights do not show."""
        if rows is not None and self._moments is not None:
            rows = rows.expand(self._moments.mean.shape)
            self._distrusted = rows if self._distrusted is None else self._distrusted | rows
        return self

    def _digest(self, log_w: Tensor) -> tuple[torch.dtype, int, _Moments, Tensor]:
        """What :meth:`_absorb` takes of some weights; the summary does not change, so several threads may ask."""
        exact = log_w.double()
        return log_w.dtype, len(log_w), _Moments.of(exact), self._candidates(exact)

    def _candidates(self, log_w: Tensor) -> Tensor:
        """Those of some log-weights that may be among the largest of all, and perhaps a few more."""
        count = min(len(log_w), self._tail_size + 1)
        # Once enough are kept only a larger one can join them. To count those makes a GPU wait.
        least = self._largest.least
        if least is not None and log_w.numel() and log_w.device.type == "cpu":
            count = min(count, int((log_w > least).count_nonzero(0).amax()))
        return log_w if count == len(log_w) else log_w.topk(count, dim=0).values

    def _check_finite(self) -> None:
        """The one look at the weights of a stream, which shows NaN and infinity of any of them."""
        maximum = self._read().maximum
        bad = maximum.isnan() | (maximum == torch.inf)
        if bad.any():
            first = tuple(bad.nonzero()[0].tolist())
            raise ValueError(
                f"log_w has the value {maximum[first].item()} for the x at index {first}: expected finite log-weights, "
                f"or -inf; look at log_likelihood(x, z), log_prior(z) and log q(z) for a draw z of q."
            )

    def _absorb(self, dtype: torch.dtype | None, num_samples: int, moments: _Moments, tail: Tensor) -> None:
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
        self._largest.add(tail)

    def _tails(self) -> list[Tail]:
        """The tail of each x, in the order of the flattened batch."""
        maximum = self._read().maximum
        length = min(tail_length(self._num_samples), self._tail_size)
        largest = (self._largest.values() - maximum)[: length + 1]
        columns = largest.reshape(len(largest), -1).unbind(1)
        return [Tail.fit(column, scale) for column, scale in zip(columns, maximum.flatten(), strict=True)]

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
        minimum, maximum = log_w.amin(0), log_w.amax(0)
        weights = (log_w - torch.where(maximum == -torch.inf, 0.0, maximum)).exp_()
        mean = weights.mean(0)
        squares = weights.sub_(mean).square_().sum(0)
        # Where a look is free, it spares the passes that weights of zero need; the numbers are the same.
        if log_w.device.type == "cpu" and bool((minimum > -torch.inf).all()):
            log_mean = log_w.mean(0)
            log_squares = torch.sub(log_w, log_mean, out=weights).square_().sum(0)
            return cls(maximum, mean, squares, torch.zeros_like(mean), log_mean, log_squares)
        # The moments of log w are those of the weights above zero; the count says whether they may be used.
        zero = log_w == -torch.inf
        num_zero = zero.sum(0).to(mean)
        finite = log_w.masked_fill(zero, 0.0)
        log_mean = finite.sum(0) / (len(log_w) - num_zero).clamp(min=1.0)
        log_squares = finite.sub_(log_mean).masked_fill_(zero, 0.0).square_().sum(0)
        return cls(maximum, mean, squares, num_zero, log_mean, log_squares)

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
