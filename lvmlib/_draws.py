"""Draws from a distribution together with their log-density, which noise often knows better than the draw does."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Dirichlet,
    Distribution,
    Gamma,
    Independent,
    LKJCholesky,
    MultivariateNormal,
    Normal,
    constraints,
)

from lvmlib._checks import describe
from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._distribution_parts import tensors_in
from lvmlib._random import derived_seed, in_turn, seeded_generator
from lvmlib.density import log_density, sum_last, support_of, without_independent

__all__ = [
    "check_draws",
    "device_of_draws",
    "draw",
    "draw_in_parts",
    "draw_seeded",
    "draw_weighed",
    "noise_is_exact",
    "normal_in",
    "rounded_together",
]


_GROUP = 16


def draw(distribution: Distribution, num_samples: int, *, name: str = "q") -> Tensor:
    """Draws of shape ``(K, *batch, *event)``, reparameterised where the distribution can and gradients are on.

    Draws from a Beta, a Dirichlet or a Gamma with a parameter near zero are made by their logarithms, as torch's
    underflow; they are never at an end of the support, where the density may be infinite. Those of an LKJCholesky are
    drawn from its density, which torch's are not beyond two dimensions.
    """
    shape = torch.Size((num_samples,))
    base, _ = without_independent(distribution)
    if type(base) in (Beta, Dirichlet, Gamma):
        # The dimensions of Independent are batch dimensions of the base, so its draws have the same shape.
        return _draw_gammas(base, shape)
    if type(base) is LKJCholesky:
        return _corrected(base).sample(shape)
    if torch.is_grad_enabled() and distribution.has_rsample:
        z = distribution.rsample(shape)
    else:
        with torch.no_grad():
            z = distribution.sample(shape)
    wanted = shape + distribution.batch_shape + distribution.event_shape
    if z.shape != wanted:
        raise ValueError(
            f"{name} is {describe(distribution)}, which drew a tensor of shape {tuple(z.shape)} when asked for "
            f"{num_samples} draws: expected {tuple(wanted)}; have its sample method put the sample shape first."
        )
    return z


def draw_weighed(
    distribution: Distribution,
    num_samples: int,
    *,
    seed: tuple[object, ...] | None = None,
    by_noise: bool = True,
    weighed: bool = True,
) -> tuple[Tensor, Tensor]:
    """Draws, as :func:`draw` makes them, and their log-density, shape ``(K, *batch)``.

    A draw of a normal is its noise stretched and moved, so its density is read from the noise.

    Args:
        distribution: Any Distribution.
        num_samples: K.
        seed: What the draws depend on, as parts for :func:`derived_seed`; ``None`` draws from the global generator.
        weighed: False where the density is not asked for; zeros stand in its place.
        by_noise: False where :func:`noise_is_exact` is not, so that all densities are read at the rounded draw.
    """
    made = _from_noise(distribution, weighed=weighed, by_noise=by_noise)
    if made is not None:
        like, of_noise = made
        return of_noise(_noise(like, num_samples, _generator(like, seed)))
    z = draw_seeded(distribution, num_samples, seed)
    return z, log_density(distribution, z, name="q") if weighed else _no_density(z, distribution)


def draw_in_parts(
    distribution: Distribution,
    num_samples: int,
    length: int,
    *,
    seed: tuple[object, ...],
    by_noise: bool = True,
    weighed: bool = True,
) -> Iterator[tuple[Tensor, Tensor]]:
    """As :func:`draw_weighed`, in parts of about ``length`` draws: the numbers are those of one draw of all.

    Only normals are really drawn in parts; other draws are made at once and handed out so.
    """
    made = _from_noise(distribution, weighed=weighed, by_noise=by_noise)
    if made is None or made[0].device.type != "cpu":
        z, log_q = draw_weighed(distribution, num_samples, seed=seed, by_noise=by_noise, weighed=weighed)
        yield from zip(z.split(length), log_q.split(length), strict=True)
        return
    like, of_noise = made
    generator = _generator(like, seed)
    # torch makes normal numbers in groups of sixteen, and a few in another way.
    length = -(-length // _GROUP) * _GROUP
    while num_samples:
        size = length if (num_samples - length) * like.numel() >= _GROUP else num_samples
        yield of_noise(_noise(like, size, generator))
        num_samples -= size


def _noise(like: Tensor, num_samples: int, generator: torch.Generator | None) -> Tensor:
    return torch.randn((num_samples, *like.shape), dtype=like.dtype, device=like.device, generator=generator)


def _generator(like: Tensor, seed: tuple[object, ...] | None) -> torch.Generator | None:
    return None if seed is None else seeded_generator(like.device, *seed)


def _no_density(z: Tensor, distribution: Distribution) -> Tensor:
    return torch.zeros((), device=z.device).expand(len(z), *distribution.batch_shape)


def draw_seeded(distribution: Distribution, num_samples: int, seed: tuple[object, ...] | None) -> Tensor:
    """As :func:`draw`, from a stream of its own that depends on ``seed`` alone, whatever other threads draw."""
    normal = normal_in(distribution)
    if normal is not None:
        return _stretching(normal)(_noise(normal.loc, num_samples, _generator(normal.loc, seed)))
    if seed is None:
        return draw(distribution, num_samples)
    with in_turn(derived_seed(*seed), device_of_draws(distribution)):
        return draw(distribution, num_samples)


def check_draws(distribution: Distribution, z: Tensor) -> None:
    """Refuse draws that are not numbers.

    Raises:
        ValueError: If a draw is NaN, which a distribution with parameters gone bad gives.
    """
    if z.is_floating_point() and z.detach().sum().isnan() and z.isnan().any():
        raise ValueError(
            f"q is {describe(distribution)} and drew z with NaN: expected numbers; its parameters have gone bad, so "
            f"look at them and at the last step that changed them."
        )


def rounded_together(distribution: Distribution) -> Tensor:
    """For which members of its batch a continuous distribution draws the same number again and again.

    Its dtype cannot tell its draws apart, or they are pushed to an end of the support: a density read at such a draw is
    not that of the true one, and no average of such densities is right.
    """
    absent = torch.zeros(distribution.batch_shape, dtype=torch.bool, device=device_of_draws(distribution))
    base, _ = without_independent(distribution)
    if support_of(distribution).is_discrete or isinstance(base, Beta | Dirichlet | Gamma):
        return absent
    with torch.no_grad():
        z = draw_seeded(distribution, 64, ("rounded_together",))
    share = (z[1:] == z[:-1]).double().mean(0) > 0.05
    if support_of(base) is constraints.corr_cholesky:
        share = share.tril(-1)  # the other entries are always the same
    return share.flatten(absent.ndim).any(-1) if distribution.event_shape else share


def noise_is_exact(distribution: Distribution) -> bool:
    """Whether the dtype resolves the draws so well that the noise and the draw made from it have one density."""
    if isinstance(distribution, DiagonalNormal | Normal):
        loc, scale = distribution.loc, distribution.scale
    elif isinstance(distribution, MultivariateNormal):
        loc, scale = distribution.loc, distribution._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1)
    else:
        base, _ = without_independent(distribution)
        return base is distribution or noise_is_exact(base)
    return bool((scale > 1e3 * torch.finfo(loc.dtype).eps * loc.abs()).all())


def normal_in(distribution: Any) -> Any:
    """The normal whose mean and scales a distribution of independent normals has, if it is one."""
    if isinstance(distribution, DiagonalNormal):
        return distribution
    base, _ = without_independent(distribution)
    return base if type(base) is Normal else None


def _stretching(normal: Any) -> Callable[[Tensor], Tensor]:
    """From noise to draws; of a standard normal the noise is the draw, and arithmetic would cost a pass."""
    loc, scale = normal.loc, normal.scale
    fixed = loc.device.type == "cpu" and not (loc.requires_grad or scale.requires_grad)
    if fixed and not torch.compiler.is_compiling() and not loc.any() and bool((scale == 1).all()):
        return lambda noise: noise
    return lambda noise: torch.addcmul(loc, noise, scale)


def _from_noise(
    distribution: Any, *, weighed: bool, by_noise: bool
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]] | None:
    """A tensor like the noise of one draw, and the map from noise to draws and log-densities, if there is one."""
    normal = normal_in(distribution)
    if not weighed:
        if normal is None:
            return None
        stretch = _stretching(normal)
        return normal.loc, lambda noise: (stretch(noise), _no_density(noise, distribution))
    if not by_noise or "log_prob" in distribution.__dict__:  # replaced by somebody's own
        return None
    if isinstance(distribution, DiagonalNormal):
        return distribution.loc, distribution.from_noise
    if type(distribution) is MultivariateNormal:
        return distribution.loc, lambda noise: _multivariate(distribution, noise)
    if normal is not None and type(distribution) in (Normal, Independent):
        num_dims, stretch = len(distribution.event_shape), _stretching(normal)
        log_scale = sum_last(normal.scale.log() + 0.5 * math.log(2 * math.pi), num_dims)

        def of_noise(noise: Tensor) -> tuple[Tensor, Tensor]:
            # Summed before they are combined: the logarithms of the scales are as many as one draw has coordinates.
            return stretch(noise), -0.5 * sum_last(noise.square(), num_dims) - log_scale

        return normal.loc, of_noise
    return None


def _multivariate(distribution: MultivariateNormal, noise: Tensor) -> tuple[Tensor, Tensor]:
    factor = distribution._unbroadcasted_scale_tril
    # One product of matrices where all x share the factor, which is not one for each draw.
    stretched = noise @ factor.mT if factor.ndim == 2 else (factor @ noise[..., None])[..., 0]
    z = distribution.loc + stretched
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return z, _log_standard_normal(noise).sum(-1) - log_det


def _log_standard_normal(noise: Tensor) -> Tensor:
    return -0.5 * (noise.square() + math.log(2 * math.pi))


def _draw_gammas(distribution: Any, shape: torch.Size) -> Tensor:
    """Draws of a Beta, a Dirichlet or a Gamma inside the open support."""
    keeps_gradient = torch.is_grad_enabled() and distribution.has_rsample
    dirichlet = distribution._dirichlet if isinstance(distribution, Beta) else distribution
    concentration = dirichlet.concentration
    if (keeps_gradient and concentration.requires_grad) or not (concentration < 0.5).any():
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


def _corrected(distribution: LKJCholesky) -> Any:
    """With the law of Lewandowski, Kurowicka and Joe (2009) for the squared length of row k: a Beta with k/2 first."""
    right: Any = copy.copy(distribution)
    second = right._beta.concentration0
    first = 0.5 * torch.arange(right.dim, dtype=second.dtype, device=second.device).clamp(min=1)
    right._beta = Beta(first.expand_as(second), second)
    return right


def device_of_draws(distribution: Distribution) -> torch.device:
    """Where draws are made, found without drawing so that no random state moves."""
    return next((value.device for value in tensors_in(distribution)), torch.get_default_device())
