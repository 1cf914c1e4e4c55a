r"""The tail of the weights: the generalised Pareto distribution that fits it, and weights smoothed by it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lvmlib._checks import check_layout, check_no_nan, describe
from lvmlib._types import Float

__all__ = ["ParetoSmoothed", "Tail", "check_log_weights", "pareto_smoothed", "tail_length"]


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
    check_log_weights(log_w)
    columns = log_w.detach().double().reshape(len(log_w), -1).clone()
    shapes = columns.new_full((columns.shape[1],), torch.nan)
    for i, column in enumerate(columns.unbind(1)):
        maximum = column.amax()
        largest = column.topk(min(len(column), tail_length(len(column)) + 1))
        tail = Tail.fit(largest.values - maximum, maximum)
        shapes[i] = tail.shape
        column[largest.indices[: len(tail.log_smoothed)]] = tail.log_smoothed + maximum
    return ParetoSmoothed(columns.reshape(log_w.shape).to(log_w), shapes.reshape(log_w.shape[1:]).to(log_w))


def tail_length(num_samples: int) -> int:
    """How many weights PSIS takes for the tail, with independent draws."""
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


class Tail(NamedTuple):
    """The largest log-weights of one x, relative to its maximum, with the Pareto distribution fitted to them."""

    shape: Tensor
    log_raw: Tensor
    log_smoothed: Tensor

    @classmethod
    def fit(cls, largest: Tensor, maximum: Tensor) -> Tail:
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


def check_log_weights(log_w: Tensor) -> None:
    """``log_w`` is a floating-point tensor with samples, each finite or minus infinity."""
    if not isinstance(log_w, Tensor) or not log_w.is_floating_point():
        raise TypeError(
            f"log_w is {describe(log_w)}: expected a floating-point tensor of log-weights; "
            f"convert it with torch.as_tensor(log_w).float()."
        )
    check_layout("log_w", log_w)
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
