"""Draws from a distribution together with their log-density, which noise often knows better than the draw does."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Beta, Dirichlet, Distribution, Gamma, Independent, MultivariateNormal, Normal

from lvmlib._checks import describe
from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._distribution_parts import tensors_in
from lvmlib._random import derived_seed, forked
from lvmlib.density import log_density, sum_last, support_of, without_independent

__all__ = ["check_draws", "draw", "draw_weighed"]

# torch draws from one global generator; a block that needs it must not be disturbed by another thread's.
_GLOBAL_GENERATOR = threading.Lock()


def draw(distribution: Distribution, num_samples: int) -> Tensor:
    """Draws of shape ``(K, *batch, *event)``, reparameterised where the distribution can and gradients are on.

    Draws from a Beta, a Dirichlet or a Gamma with a parameter near zero are made by their logarithms, as torch's
    underflow; they are never at an end of the support, where the density may be infinite.
    """
    shape = torch.Size((num_samples,))
    base, _ = without_independent(distribution)
    if type(base) in (Beta, Dirichlet, Gamma):
        # The dimensions of Independent are batch dimensions of the base, so its draws have the same shape.
        return _draw_gammas(base, shape)
    if torch.is_grad_enabled() and distribution.has_rsample:
        return distribution.rsample(shape)
    with torch.no_grad():
        return distribution.sample(shape)


def draw_weighed(
    distribution: Distribution, num_samples: int, *, seed: tuple[object, ...] | None = None
) -> tuple[Tensor, Tensor]:
    """Draws, as :func:`draw` makes them, and their log-density, shape ``(K, *batch)``.

    A draw of a normal is its noise stretched and moved; so the density is read from the noise, exactly, also where the
    dtype cannot tell the draws apart.

    Args:
        distribution: Any Distribution.
        num_samples: K.
        seed: What the draws depend on, as parts for :func:`derived_seed`; ``None`` draws from the global generator.
    """
    normal = _noise_formula(distribution)
    if normal is not None:
        like, shape, made = normal
        generator = None if seed is None else torch.Generator(like.device).manual_seed(derived_seed(*seed))
        noise = torch.randn((num_samples, *shape), dtype=like.dtype, device=like.device, generator=generator)
        return made(noise)
    if seed is None:
        z = draw(distribution, num_samples)
    else:
        with _GLOBAL_GENERATOR, forked(derived_seed(*seed), _device_of_draws(distribution)):
            z = draw(distribution, num_samples)
    return z, log_density(distribution, z)


def check_draws(distribution: Distribution, z: Tensor) -> None:
    """Refuse draws that are not numbers, and draws of a continuous q that its dtype cannot tell apart.

    Raises:
        ValueError: If a draw is NaN, or neighbouring draws coincide.
    """
    if not z.is_floating_point():
        return
    if z.detach().sum().isnan() and z.isnan().any():
        raise ValueError(
            f"q is {describe(distribution)} and drew z with NaN: expected numbers; its parameters have gone bad, so "
            f"look at them and at the last step that changed them."
        )
    base, _ = without_independent(distribution)
    known = _noise_formula(distribution) is not None or type(base) in (Beta, Dirichlet, Gamma)
    if len(z) < 2 or known or support_of(distribution).is_discrete:
        return
    share = (z[1:] == z[:-1]).double().mean().item()
    if share > 0.01:
        raise ValueError(
            f"q is {describe(distribution)}, and {share:.0%} of its neighbouring draws are the same {z.dtype} number: "
            f"expected draws of a continuous z that differ; they are rounded together, or pushed to an end of the "
            f"support, and their density there is not that of the true draw. Work in float64, or with an unconstrained "
            f"z, such as the logits of a relaxed variable."
        )


def _noise_formula(
    distribution: Any,
) -> tuple[Tensor, torch.Size, Callable[[Tensor], tuple[Tensor, Tensor]]] | None:
    """A tensor like the noise, the shape of the noise, and the map from noise to draws and log-densities."""
    if isinstance(distribution, DiagonalNormal):
        return distribution.loc, distribution.loc.shape, distribution.from_noise
    if type(distribution) is MultivariateNormal:
        return distribution.loc, distribution.loc.shape, lambda noise: _multivariate(distribution, noise)
    base, num_dims = without_independent(distribution)
    if type(base) is Normal and type(distribution) in (Normal, Independent):
        normal: Any = base

        def made(noise: Tensor) -> tuple[Tensor, Tensor]:
            log_q = _log_standard_normal(noise) - normal.scale.log()
            return torch.addcmul(normal.loc, noise, normal.scale), sum_last(log_q, num_dims)

        return normal.loc, normal.loc.shape, made
    return None


def _multivariate(distribution: MultivariateNormal, noise: Tensor) -> tuple[Tensor, Tensor]:
    factor = distribution._unbroadcasted_scale_tril
    z = distribution.loc + (factor @ noise[..., None])[..., 0]
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return z, _log_standard_normal(noise).sum(-1) - log_det


def _log_standard_normal(noise: Tensor) -> Tensor:
    return -0.5 * (noise.square() + math.log(2 * math.pi))


def _draw_gammas(distribution: Any, shape: torch.Size) -> Tensor:
    """Draws of a Beta, a Dirichlet or a Gamma inside the open support."""
    keeps_gradient = torch.is_grad_enabled() and distribution.has_rsample
    dirichlet = distribution._dirichlet if isinstance(distribution, Beta) else distribution
    concentration = dirichlet.concentration
    if keeps_gradient and concentration.requires_grad or not (concentration < 0.5).any():
        z = distribution.rsample(shape) if keeps_gradient else distribution.sample(shape)
    else:
        with torch.no_grad():
            # A Gamma(a) is a Gamma(a + 1) times the a-th root of a uniform number, which underflows for a small a.
            a = concentration.double().expand(shape + concentration.shape)
            log_gamma = torch._standard_gamma(a + 1).log() + torch.rand_like(a).log() / a
            if isinstance(distribution, Gamma):
                z = (log_gamma - distribution.rate.double().log()).exp()
            elif isinstance(distribution, Beta):
                z = (log_gamma[..., 0] - log_gamma[..., 1]).sigmoid()
            else:
                z = log_gamma.softmax(-1)
            z = z.to(concentration.dtype)
    limits = torch.finfo(z.dtype)
    return z.clamp(min=limits.tiny, max=1 - limits.eps / 2 if isinstance(distribution, Beta) else None)


def _device_of_draws(distribution: Distribution) -> torch.device:
    return next((value.device for value in tensors_in(distribution)), torch.get_default_device())
