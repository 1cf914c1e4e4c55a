r"""Densities made of gamma functions, for counts and parameters of any size.

The logarithm of a Poisson probability near its mean is of the size of :math:`\log x`, and each of its terms of the size
of :math:`x \log x`: float64 loses all digits of it at :math:`x = 10^{15}`. Here each gamma function is taken apart by
Stirling's formula, and the large terms are joined to deviances, which are small where the density is not.

All arguments are of float64; what lies outside the support has been replaced by a value inside.

References:
    Loader (2000), *Fast and accurate computation of binomial probabilities*.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmlib._special import excess, log_gamma_ratio, stirling_remainder
from lvmlib._types import Float

__all__ = [
    "beta_log_density",
    "deviance",
    "log_binomial",
    "log_dirichlet",
    "log_fisher",
    "log_gamma_density",
    "log_kumaraswamy",
    "log_multinomial",
    "log_negative_binomial",
    "log_poisson",
    "log_student_t",
    "times",
]

_LOG_2PI = math.log(2 * math.pi)


def times(count: Tensor, logarithm: Tensor) -> Tensor:
    """The product, and zero where the count is, whatever the logarithm."""
    none = count == 0
    return torch.where(none, 0.0, torch.where(none, 1.0, count) * torch.where(none, 0.0, logarithm))


def deviance(x: Float[Tensor, ...], mean: Float[Tensor, ...], log_mean: Float[Tensor, ...]) -> Float[Tensor, ...]:
    r"""The deviance :math:`x \log (x / m) - x + m`, with its digits where x is near m.

    Args:
        x: Zero or more.
        mean: :math:`m`, zero or more.
        log_mean: Its logarithm, which is known where m underflows.
    """
    some = x > 0
    x = torch.where(some, x, 1.0)
    return torch.where(some, x * excess((mean - x) / x, log_mean - x.log()), mean)


def log_poisson(count: Tensor, rate: Tensor, log_rate: Tensor) -> Tensor:
    r"""The logarithm of :math:`r^x e^{-r} / \Gamma(x + 1)`, for any x of at least zero."""
    return -deviance(count, rate, log_rate) - _log_factorial_rest(count)


def log_gamma_density(value: Tensor, shape: Tensor, rate: Tensor) -> Tensor:
    """The density of a Gamma: a Poisson probability of ``shape`` events, seen from the other side."""
    inside = (value > 0) & (value < torch.inf)
    at_the_end = torch.where(value > 0, -torch.inf, _limit(shape - 1, rate.log()))
    value = torch.where(inside, value, 1.0)
    mean = rate * value
    log_density = log_poisson(shape, mean, mean.log()) + shape.log() - value.log()
    return torch.where(inside, log_density, at_the_end)


def log_binomial(count: Tensor, total: Tensor, log_zero: Tensor, log_one: Tensor) -> Tensor:
    """The probability of so many ones among ``total`` coins, by the log-probabilities of a zero and a one."""
    rest = total - count
    inner = (count > 0) & (rest > 0)
    ones, zeros = torch.where(inner, count, 1.0), torch.where(inner, rest, 1.0)
    ways = (ones + zeros).log() - ones.log() - zeros.log()
    all_alike = times(count, log_one) + times(rest, log_zero)
    return torch.where(inner, _log_power_of_coins(ones, zeros, log_one, log_zero) + ways, all_alike)


def log_negative_binomial(count: Tensor, total: Tensor, log_zero: Tensor, log_one: Tensor) -> Tensor:
    """The probability of so many ones before the zero number ``total``, which need not be whole."""
    some = (count > 0) & (total > 0)
    ones, zeros = torch.where(some, count, 1.0), torch.where(some, total, 1.0)
    none = torch.where(count == 0, times(total, log_zero), -torch.inf)
    return torch.where(some, _log_power_of_coins(ones, zeros, log_one, log_zero) - ones.log(), none)


def log_multinomial(counts: Float[Tensor, "... C"], log_table: Float[Tensor, "... C"]) -> Float[Tensor, ...]:
    """The probability of counts of draws from a table whose probabilities sum to one."""
    total = counts.sum(-1)
    mean = total[..., None] * log_table.exp()
    log_mean = log_table + total.clamp(min=1.0).log()[..., None]
    rests = _log_factorial_rest(counts) + deviance(counts, mean, log_mean)
    return _log_factorial_rest(total) - rests.sum(-1)


def log_dirichlet(value: Float[Tensor, "... C"], concentration: Float[Tensor, "... C"]) -> Float[Tensor, ...]:
    """The density of a Dirichlet; at an edge it may be zero, positive or infinite."""
    total = concentration.sum(-1)
    scale = total[..., None]
    some = value > 0
    inner = torch.where(some, value, 1.0)
    mean = scale * inner
    terms = -inner.log() - deviance(concentration, mean, mean.log())
    at_the_edge = _limit(concentration - 1, scale.log() + 1)
    rests = torch.where(some, terms, at_the_edge) - _log_factorial_rest(concentration) + concentration.log()
    # Zero, but for the rounding of the coordinates.
    excess_of_sum = total * (value.sum(-1) - 1)
    return rests.sum(-1) + _log_factorial_rest(total) - total.log() + excess_of_sum


def beta_log_density(value: Float[Tensor, ...], a: Float[Tensor, ...], b: Float[Tensor, ...]) -> Float[Tensor, ...]:
    r"""Log-density of a Beta, :math:`(a - 1) \log z + (b - 1) \log(1 - z) - \log B(a, b)`, in nats.

    Args:
        value: :math:`z` in [0, 1]; on the ends the density may be zero, positive or infinite.
        a: Above zero.
        b: Above zero; the shapes broadcast.

    Returns:
        The broadcast shape, in the dtype of ``value``; the arithmetic is done in float64.
    """
    z, p, q = torch.broadcast_tensors(value.double(), a.double(), b.double())
    inside = (z > 0) & (z < 1)
    # At an end with exponent zero, the other parameter is the density.
    at_the_end = torch.where(z > 0, _limit(q - 1, p.log()), _limit(p - 1, q.log()))
    z = torch.where(inside, z, 0.5)
    log_one, log_zero = z.log(), (-z).log1p()
    log_density = _log_power_of_coins(p, q, log_one, log_zero) - log_one - log_zero
    return torch.where(inside, log_density, at_the_end).to(value.dtype)


def log_kumaraswamy(value: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The density of a Kumaraswamy, a cousin of the Beta whose distribution function has a closed form."""
    inside = (value > 0) & (value < 1)
    at_the_end = torch.where(value > 0, _limit(b - 1, a.log()), _limit(a - 1, b.log()))
    log_value = torch.where(inside, value, 0.5).log()
    log_rest = (-torch.expm1(a * log_value)).log()
    log_density = a.log() + b.log() + (a - 1) * log_value + (b - 1) * log_rest
    return torch.where(inside, log_density, at_the_end)


def log_fisher(value: Tensor, df1: Tensor, df2: Tensor) -> Tensor:
    """The density of the ratio of two mean squares (F), at a value above zero."""
    odds = (df1 / df2).log() + value.log()
    return _log_power_of_coins(0.5 * df1, 0.5 * df2, logsigmoid(odds), logsigmoid(-odds)) - value.log()


def log_student_t(distance: Tensor, df: Tensor) -> Tensor:
    """The density of a standard Student t."""
    log_normaliser = 0.5 * (df * math.pi).log() - log_gamma_ratio(0.5 * df, torch.full_like(df, 0.5))
    return -0.5 * (df + 1) * (distance.square() / df).log1p() - log_normaliser


def _log_power_of_coins(a: Tensor, b: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""The logarithm of :math:`p^a q^b / B(a, b)` for a and b above zero and :math:`p + q = 1`."""
    n = a + b
    size = 0.5 * (a.log() + b.log() - n.log() - _LOG_2PI)
    rests = stirling_remainder(n) - stirling_remainder(a) - stirling_remainder(b)
    log_n = n.log()
    misfit = deviance(a, n * log_p.exp(), log_n + log_p) + deviance(b, n * log_q.exp(), log_n + log_q)
    return size + rests - misfit


def _log_factorial_rest(x: Tensor) -> Tensor:
    r"""What is left of :math:`\log\Gamma(x + 1)` without :math:`x \log x - x`; zero at zero."""
    some = x > 0
    x = torch.where(some, x, 1.0)
    return torch.where(some, stirling_remainder(x) + 0.5 * (x.log() + _LOG_2PI), 0.0)


def _limit(exponent: Tensor, at_zero: Tensor) -> Tensor:
    """A density at an end where it behaves as a power of the distance: its value for the exponent zero is given."""
    return torch.where(exponent == 0, at_zero, torch.where(exponent > 0, -torch.inf, torch.inf))
