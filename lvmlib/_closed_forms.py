"""What torch knows in closed form, and the Gaussians of torch in one form so that it knows more."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

__all__ = ["DiagonalNormal", "as_multivariate_normal", "closed_form_kl"]


class DiagonalNormal(Independent):  # type: ignore[type-arg]
    """``Independent(Normal(loc, scale), 1)``, whose log-density takes half as many operations.

    In a step of training a small network they, not the arithmetic, are what takes the time.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(Normal(loc, scale), 1)

    def expand(self, batch_shape: torch.Size | list[int] | tuple[int, ...], _instance: object = None) -> DiagonalNormal:
        """The same distribution for a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        return DiagonalNormal(self.base_dist.loc.expand(shape), self.base_dist.scale.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, in nats, shape ``(*sample, *batch)``."""
        if self._validate_args:
            self._validate_sample(value)
        loc, scale = self.base_dist.loc, self.base_dist.scale
        distance = ((value - loc) / scale).square().sum(-1)
        log_volume = scale.log().sum(-1) + 0.5 * math.log(2 * math.pi) * loc.shape[-1]
        return torch.sub(-log_volume, distance, alpha=0.5)


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q, p) in nats where torch has a formula for the two families, or both are Gaussian; else ``None``."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        gaussian_q, gaussian_p = as_multivariate_normal(q), as_multivariate_normal(p)
        if gaussian_q is None or gaussian_p is None:
            return None
        return kl_divergence(gaussian_q, gaussian_p)


def as_multivariate_normal(distribution: Distribution) -> MultivariateNormal | None:
    """A Gaussian over a vector as a MultivariateNormal, a scalar one with event shape ``(1,)``; else ``None``."""
    if isinstance(distribution, MultivariateNormal):
        return distribution
    if isinstance(distribution, Normal):
        return _diagonal(distribution.loc[..., None], distribution.scale[..., None])
    if (
        isinstance(distribution, Independent)
        and isinstance(distribution.base_dist, Normal)
        and distribution.reinterpreted_batch_ndims == 1
    ):
        return _diagonal(distribution.base_dist.loc, distribution.base_dist.scale)
    return None


def _diagonal(loc: Tensor, scale: Tensor) -> MultivariateNormal:
    return MultivariateNormal(loc, scale_tril=scale.diag_embed())
