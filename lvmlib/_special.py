r"""Differences of log-gamma functions that keep their digits, and the entropy of a Beta made of them.

:math:`\log\Gamma(10^6 + 1) - \log\Gamma(10^6)` is 13.8, and each of the two is 1.3e7: float32 subtracts them to within
1, float64 to within 2e-9. Here what is large in both is removed by algebra, before anything is rounded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lvmlib._types import Float

__all__ = ["beta_entropy", "digamma_less_log", "excess", "log_beta", "log_gamma_ratio", "stirling_remainder"]

_LARGE = 10.0
"""From here on the asymptotic series below are exact to 1e-15."""

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)


def stirling_remainder(x: Float[Tensor, ...]) -> Float[Tensor, ...]:
    r"""What Stirling's formula leaves out, :math:`\log\Gamma(x) - (x - \tfrac12)\log x + x - \tfrac12 \log 2\pi`.

    Args:
        x: Above zero, any shape.

    References:
        Abramowitz and Stegun (1964), 6.1.41.
    """
    small = x.clamp(max=_LARGE)
    near = small.lgamma() - (small - 0.5) * small.log() + small - _HALF_LOG_2PI
    large = x.clamp(min=_LARGE)
    return torch.where(x < _LARGE, near, _series(_STIRLING, large) / large)


def digamma_less_log(x: Float[Tensor, ...]) -> Float[Tensor, ...]:
    r"""The difference :math:`\psi(x) - \log x`, negative and of the size of :math:`1 / 2x`.

    Args:
        x: Above zero, any shape.

    References:
        Abramowitz and Stegun (1964), 6.3.18.
    """
    small, large = x.clamp(max=_LARGE), x.clamp(min=_LARGE)
    far = -0.5 / large + _series(_DIGAMMA, large) / large.square()
    return torch.where(x < _LARGE, small.digamma() - small.log(), far)


def log_gamma_ratio(x: Float[Tensor, ...], shift: Float[Tensor, ...]) -> Float[Tensor, ...]:
    r"""The difference :math:`\log\Gamma(x + s) - \log\Gamma(x)`, to the precision of its own size.

    The arithmetic is done in float64: the log-gamma functions of devices differ in their last float32 digits.

    Args:
        x: Above zero.
        shift: :math:`s`, zero or more; the shapes broadcast.

    Example:
        >>> log_gamma_ratio(torch.tensor(1e6), torch.tensor(1.0))  # log(1e6)
        tensor(13.8155)
    """
    dtype = torch.result_type(x, shift)
    x, shift = x.double(), shift.double()
    near = (x + shift).lgamma() - x.lgamma()
    large = x.clamp(min=_LARGE)
    growth = (large + shift - 0.5) * (shift / large).log1p() + shift * large.log() - shift
    far = growth + stirling_remainder(large + shift) - stirling_remainder(large)
    return torch.where(x < _LARGE, near, far).to(dtype)


def log_beta(a: Float[Tensor, ...], b: Float[Tensor, ...]) -> Float[Tensor, ...]:
    r"""The logarithm of the Beta function, :math:`\log\Gamma(a) + \log\Gamma(b) - \log\Gamma(a + b)`.

    Args:
        a: Above zero.
        b: Above zero; the shapes broadcast.

    Example:
        >>> log_beta(torch.tensor(1.0), torch.tensor(1e6))  # -log(1e6)
        tensor(-13.8155)

    References:
        DiDonato and Morris (1992), *Algorithm 708: significant digit computation of the incomplete beta function
        ratios*, ACM TOMS 18(3).
    """
    a, b = torch.broadcast_tensors(a, b)
    less, more = torch.minimum(a, b), torch.maximum(a, b)
    one_large = less.lgamma() - log_gamma_ratio(more, less)
    less, more = less.clamp(min=_LARGE), more.clamp(min=_LARGE)
    both_large = (
        _HALF_LOG_2PI
        - 0.5 * less.log()
        - less * (more / less).log1p()
        - (more - 0.5) * (less / more).log1p()
        + _remainders(less, more)
    )
    return torch.where(torch.minimum(a, b) < _LARGE, one_large, both_large)


def beta_entropy(a: Float[Tensor, ...], b: Float[Tensor, ...]) -> Float[Tensor, ...]:
    r"""Differential entropy of a Beta, in nats; the arithmetic is done in float64.

    .. math:: \log B(a, b) - (a - 1) \psi(a) - (b - 1) \psi(b) + (a + b - 2) \psi(a + b)

    Args:
        a: Above zero.
        b: Above zero; the shapes broadcast.

    Returns:
        The broadcast shape, in the dtype of ``a``.
    """
    p, q = torch.broadcast_tensors(a.double(), b.double())
    plain = log_beta(p, q) + (p - 1) * _digamma_gain(p, q) + (q - 1) * _digamma_gain(q, p)
    # Where both are large, log B = -a log(a/n) - ... takes what is large out of the other three.
    large_p, large_q = p.clamp(min=_LARGE), q.clamp(min=_LARGE)
    n = large_p + large_q
    balanced = (
        _HALF_LOG_2PI
        + _remainders(large_p, large_q)
        + 0.5 * large_p.log()
        + 0.5 * large_q.log()
        - 1.5 * n.log()
        - (large_p - 1) * digamma_less_log(large_p)
        - (large_q - 1) * digamma_less_log(large_q)
        + (n - 2) * digamma_less_log(n)
    )
    return torch.where(torch.minimum(p, q) >= _LARGE, balanced, plain).to(a.dtype)


def excess(t: Float[Tensor, ...], log: Float[Tensor, ...] | None = None) -> Float[Tensor, ...]:
    r"""The difference :math:`t - \log(1 + t)`, with its digits where t is small.

    Args:
        t: At least -1.
        log: :math:`\log(1 + t)`, where it is known better than from t.
    """
    near = t.abs() < 0.1
    small = torch.where(near, t, 0.0)
    v = small / (2 + small)  # log(1 + t) = 2 artanh(v)
    y = v.square()
    tail = torch.zeros_like(v)
    for odd in (17, 15, 13, 11, 9, 7, 5, 3):
        tail = tail * y + 1 / odd
    far = torch.where(near, 1.0, t)
    return torch.where(near, small * v - 2 * v * y * tail, far - (far.log1p() if log is None else log))


def _series(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """A polynomial in the inverse square of x."""
    y = x.square().reciprocal()
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * y + coefficient
    return total


def _remainders(a: Tensor, b: Tensor) -> Tensor:
    return stirling_remainder(a) + stirling_remainder(b) - stirling_remainder(a + b)


def _digamma_gain(x: Tensor, shift: Tensor) -> Tensor:
    """The difference of the digamma function at x + shift and at x."""
    return (shift / x).log1p() + digamma_less_log(x + shift) - digamma_less_log(x)
