"""Independent normals over a vector: the q of most guides and the prior of a variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from lvmlib._broadcast import broadcast_shapes

__all__ = ["DiagonalNormal"]


class DiagonalNormal(Independent):  # type: ignore[type-arg]
    """``Independent(Normal(loc, scale), 1)`` with a third of the operations, and without a look at its numbers.

    In a step of training a small network the operations, not the arithmetic, are what takes the time. So the logarithm
    of the scale is not taken where it is known, and the parameters are checked by whoever binds a q to data.
    """

    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, log_scale: Tensor | None = None) -> None:
        self.loc, self.scale, self._log_scale = loc, scale, log_scale
        self.reinterpreted_batch_ndims = 1
        Distribution.__init__(self, loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @classmethod
    def standard(cls, zeros: Tensor) -> DiagonalNormal:
        """The standard normal of as many dimensions as there are ``zeros``."""
        return _StandardNormal(zeros, torch.ones_like(zeros))

    @cached_property
    def base_dist(self) -> Normal:
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def log_scale(self) -> Tensor:
        """The logarithm of the standard deviations, shape ``(*batch, D)``."""
        return self.scale.log() if self._log_scale is None else self._log_scale

    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: object = None) -> DiagonalNormal:
        """The same distribution for a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        log_scale = None if self._log_scale is None else self._log_scale.expand(shape)
        return DiagonalNormal(self.loc.expand(shape), self.scale.expand(shape), log_scale)

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        """Draws that can be differentiated, shape ``(*sample, *batch, D)``."""
        shape = torch.Size(sample_shape) + self.loc.shape
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return torch.addcmul(self.loc, noise, self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, in nats, shape ``(*sample, *batch)``."""
        return _log_standard_normal((value - self.loc) / self.scale) - self.log_scale.sum(-1)

    def from_noise(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The draws made from standard normal ``noise``, which is their distance in scales, and their log-density."""
        z = torch.addcmul(self.loc, noise, self.scale)
        return z, _log_standard_normal(noise) - self.log_scale.sum(-1)


class _StandardNormal(DiagonalNormal):
    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: object = None) -> DiagonalNormal:
        return DiagonalNormal.standard(self.loc.expand(torch.Size(batch_shape) + self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        log_p = _log_standard_normal(value)
        return log_p if not self.batch_shape else log_p.expand(broadcast_shapes(log_p.shape, self.batch_shape))

    def from_noise(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        return noise, self.log_prob(noise)


def _log_standard_normal(value: Tensor) -> Tensor:
    return -0.5 * value.square().sum(-1) - 0.5 * math.log(2 * math.pi) * value.shape[-1]
