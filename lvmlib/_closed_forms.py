"""What torch knows in closed form, and the Gaussians of torch in one form so that it knows more."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

__all__ = ["as_multivariate_normal", "closed_form_kl"]


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
