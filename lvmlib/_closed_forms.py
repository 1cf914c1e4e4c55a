"""What is known in closed form of two distributions: torch's formulas, in more combinations than torch has them."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Uniform,
    kl_divergence,
)

from lvmlib._checks import values_are_trusted

__all__ = ["DiagonalNormal", "as_multivariate_normal", "closed_form_kl", "closed_form_log_square", "log_mass"]


class DiagonalNormal(Independent):  # type: ignore[type-arg]
    """``Independent(Normal(loc, scale), 1)``, with a third of the operations in its log-density.

    In a step of training a small network they, not the arithmetic, are what takes the time. So the logarithm of the
    scale is not taken where it is known, and inside a loop that trusts its values (``trusted_values``) the density of
    the draws that were made last is that of their noise, which is their distance from the mean in scales.
    """

    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, log_scale: Tensor | None = None) -> None:
        self._loc, self._scale, self._log_scale = loc, scale, log_scale
        self._last_draw: tuple[Tensor, Tensor] | None = None
        if values_are_trusted():
            self.reinterpreted_batch_ndims = 1
            Distribution.__init__(self, loc.shape[:-1], loc.shape[-1:])
        else:
            super().__init__(Normal(loc, scale), 1)

    @classmethod
    def standard(cls, zeros: Tensor) -> DiagonalNormal:
        """The standard normal of as many dimensions as there are ``zeros``."""
        return _StandardNormal(zeros, torch.ones_like(zeros))

    @cached_property
    def base_dist(self) -> Normal:
        return Normal(self._loc, self._scale)

    def expand(self, batch_shape: torch.Size | list[int] | tuple[int, ...], _instance: object = None) -> DiagonalNormal:
        """The same distribution for a larger batch."""
        shape = torch.Size(batch_shape) + self.event_shape
        log_scale = None if self._log_scale is None else self._log_scale.expand(shape)
        return DiagonalNormal(self._loc.expand(shape), self._scale.expand(shape), log_scale)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draws that can be differentiated, shape ``(*sample, *batch, D)``."""
        shape = torch.Size(sample_shape) + self._loc.shape
        noise = torch.randn(shape, dtype=self._loc.dtype, device=self._loc.device)
        z = torch.addcmul(self._loc, noise, self._scale)
        # Along draws that carry no gradient, as of the score estimator, the density has another derivative.
        self._last_draw = (z, noise) if z.requires_grad and values_are_trusted() else None
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, in nats, shape ``(*sample, *batch)``."""
        if self._validate_args:
            self._validate_sample(value)
        log_scale = self._scale.log() if self._log_scale is None else self._log_scale
        return _log_standard_normal(self._distance(value)) - log_scale.sum(-1)

    def _distance(self, value: Tensor) -> Tensor:
        if self._last_draw is not None and self._last_draw[0] is value and value.requires_grad:
            return self._last_draw[1]
        return (value - self._loc) / self._scale


class _StandardNormal(DiagonalNormal):
    def expand(self, batch_shape: torch.Size | list[int] | tuple[int, ...], _instance: object = None) -> DiagonalNormal:
        """The same distribution for a larger batch."""
        return DiagonalNormal.standard(self._loc.expand(torch.Size(batch_shape) + self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, in nats, shape ``(*sample, *batch)``."""
        if self._validate_args:
            self._validate_sample(value)
        log_p = _log_standard_normal(value)
        return log_p if not self.batch_shape else log_p.expand(torch.broadcast_shapes(log_p.shape, self.batch_shape))


def _log_standard_normal(value: Tensor) -> Tensor:
    return -0.5 * value.square().sum(-1) - 0.5 * math.log(2 * math.pi) * value.shape[-1]


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q, p) in nats where torch has a formula for the two families, or both are Gaussian; else ``None``.

    Divergences of independent coordinates add up, so ``Independent`` may stand on either side, in any nesting.
    """
    q, p, shared = _without_independent(q, p)
    try:
        # Some of torch's formulas assume equal batch shapes: two Bernoullis of different ones are an IndexError.
        q, p = _broadcast(q, p)
        value = _divergence(q, p)
    except NotImplementedError:
        gaussian_q, gaussian_p = as_multivariate_normal(q), as_multivariate_normal(p)
        if gaussian_q is None or gaussian_p is None:
            return None
        value = kl_divergence(gaussian_q, gaussian_p)
    return _sum_last(value, shared)


def _divergence(q: Distribution, p: Distribution) -> Tensor:
    if isinstance(q, ContinuousBernoulli) and isinstance(p, Uniform):
        return _coin_to_uniform(q, p)
    if any(isinstance(q, family) and isinstance(p, family) for family in (Categorical, OneHotCategorical, Bernoulli)):
        return _table_divergence(q, p)
    return kl_divergence(q, p)


def _coin_to_uniform(q: Any, p: Any) -> Tensor:
    # torch says infinite for the unit interval itself, where both have the same support.
    return torch.where((p.low <= 0) & (p.high >= 1), (p.high - p.low).log() - q.entropy(), torch.inf)


def _table_divergence(q: Distribution, p: Distribution) -> Tensor:
    # torch says infinite where a probability only rounds to zero, as that of a far component of a mixture does.
    log_q, log_p = _logs(q), _logs(p)
    possible = log_q > -torch.inf
    difference = torch.where(possible, log_q, 0.0) - torch.where(possible, log_p, 0.0)
    return torch.where(difference < torch.inf, log_q.exp() * difference, torch.inf).sum(-1)


def closed_form_log_square(p: Distribution, q: Distribution) -> Tensor | None:
    r"""The logarithm of :math:`\E_q[(p/q)^2] = \int p^2 / q`, which is one plus chi-square; else ``None``.

    It is ``inf`` where the integral diverges. Over independent coordinates the integrals multiply.
    """
    p, q, shared = _without_independent(p, q)
    value = _log_square(p, q)
    if value is None:
        return None
    # Coordinates that only one of the two has in its batch shape count for the other as well.
    return _sum_last(value.expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape)), shared)


def as_multivariate_normal(distribution: Distribution) -> MultivariateNormal | None:
    """A Gaussian over a vector as a MultivariateNormal, a scalar one with event shape ``(1,)``; else ``None``."""
    if isinstance(distribution, MultivariateNormal):
        return distribution
    if isinstance(distribution, LowRankMultivariateNormal):
        return MultivariateNormal(distribution.loc, covariance_matrix=distribution.covariance_matrix)
    if isinstance(distribution, Normal):
        return _diagonal(distribution.loc[..., None], distribution.scale[..., None])
    base, num_dims = _base(distribution)
    if isinstance(base, Normal) and num_dims == 1:
        return _diagonal(base.loc, base.scale)
    return None


def log_mass(distribution: Distribution, z: Tensor) -> Tensor:
    """``distribution.log_prob(z)``, but ``-inf`` for values of probability zero.

    torch raises the zeros of a table to its machine precision, which makes an infinite divergence a finite one.
    """
    base, num_dims = _base(distribution)
    if isinstance(base, Categorical):
        table = _log_table(base)
        batch = torch.broadcast_shapes(z.shape, table.shape[:-1])
        value = table.expand(*batch, -1).gather(-1, z.expand(batch)[..., None])[..., 0]
    elif isinstance(base, Bernoulli):
        zero, one = _log_coin(base).unbind(-1)
        value = torch.where(z > 0.5, one, zero)
    else:
        return distribution.log_prob(z)
    return _sum_last(value, num_dims)


def _log_square(p: Distribution, q: Distribution) -> Tensor | None:
    for family, formula in _SQUARES:
        if isinstance(p, family) and isinstance(q, family):
            return formula(p, q)
    gaussian_p, gaussian_q = as_multivariate_normal(p), as_multivariate_normal(q)
    return None if gaussian_p is None or gaussian_q is None else _gaussian_square(gaussian_p, gaussian_q)


def _table_square(p: Distribution, q: Distribution) -> Tensor:
    log_p, log_q = _logs(p), _logs(q)
    return torch.where(log_p > -torch.inf, 2 * log_p - log_q, -torch.inf).logsumexp(-1)


# For exponential families p^2/q is once more a member, unnormalised, at twice the parameter of p less that of q.


def _beta_square(p: Beta, q: Beta) -> Tensor:
    return _dirichlet_square(*(Dirichlet(torch.stack([d.concentration1, d.concentration0], -1)) for d in (p, q)))


def _dirichlet_square(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    return _if_positive(2 * a - b, _log_beta) - 2 * _log_beta(a) + _log_beta(b)


def _gamma_square(p: Gamma | Exponential, q: Gamma | Exponential) -> Tensor:
    a, b = (torch.stack([getattr(d, "concentration", torch.ones_like(d.rate)), d.rate], -1) for d in (p, q))
    return _if_positive(2 * a - b, _log_gamma) - 2 * _log_gamma(a) + _log_gamma(b)


def _log_beta(concentration: Tensor) -> Tensor:
    return concentration.lgamma().sum(-1) - concentration.sum(-1).lgamma()


def _log_gamma(parameters: Tensor) -> Tensor:
    shape, rate = parameters.unbind(-1)
    return shape.lgamma() - shape * rate.log()


def _if_positive(parameters: Tensor, log_normaliser: Any) -> Tensor:
    """The log-normaliser, ``inf`` where a parameter is not above zero and the integral diverges."""
    exists = parameters > 0
    return torch.where(exists.all(-1), log_normaliser(torch.where(exists, parameters, 1.0)), torch.inf)


_SQUARES: tuple[tuple[Any, Any], ...] = (
    (Categorical, _table_square),
    (OneHotCategorical, _table_square),
    (Bernoulli, _table_square),
    (Beta, _beta_square),
    (Dirichlet, _dirichlet_square),
    ((Gamma, Exponential), _gamma_square),
)


def _gaussian_square(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    precision_p, precision_q = p.precision_matrix, q.precision_matrix
    # p^2/q is an unnormalised Gaussian around the mean of p, of precision 2 P - Q, tilted by the difference of means.
    factor, info = torch.linalg.cholesky_ex(2 * precision_p - precision_q)
    tilt = (precision_q @ (p.mean - q.mean)[..., None])[..., 0]
    half = torch.linalg.solve_triangular(factor, tilt[..., None], upper=False)[..., 0]
    value = (
        0.5 * half.square().sum(-1)
        + 0.5 * ((p.mean - q.mean) * tilt).sum(-1)
        + torch.logdet(precision_p)
        - 0.5 * torch.logdet(precision_q)
        - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    )
    return torch.where(info == 0, value, torch.inf)


def _without_independent(first: Distribution, second: Distribution) -> tuple[Distribution, Distribution, int]:
    """Both without the independent coordinates that they share, and how many dimensions of those there are."""
    (first, dims_of_first), (second, dims_of_second) = _base(first), _base(second)
    shared = min(dims_of_first, dims_of_second)
    return _independent(first, dims_of_first - shared), _independent(second, dims_of_second - shared), shared


def _base(distribution: Distribution) -> tuple[Distribution, int]:
    num_dims = 0
    while isinstance(distribution, Independent):
        num_dims += distribution.reinterpreted_batch_ndims
        distribution = distribution.base_dist
    return distribution, num_dims


def _independent(distribution: Distribution, num_dims: int) -> Distribution:
    return Independent(distribution, num_dims) if num_dims else distribution


def _sum_last(value: Tensor, num_dims: int) -> Tensor:
    return value.sum(tuple(range(-num_dims, 0))) if num_dims else value


def _logs(distribution: Any) -> Tensor:
    """Log-probabilities of all values of a table or a coin, the last dimension."""
    if isinstance(distribution, Bernoulli):
        return _log_coin(distribution)
    return _log_table(distribution._categorical if isinstance(distribution, OneHotCategorical) else distribution)


def _log_table(distribution: Categorical) -> Tensor:
    """Log-probabilities of all values, the last dimension."""
    logits = distribution.logits
    raised = (distribution.probs == 0) & (logits >= _least_log(logits))
    return torch.where(raised, -torch.inf, logits)


def _log_coin(distribution: Bernoulli) -> Tensor:
    """Log-probabilities of zero and of one, the last dimension."""
    probs, logits = distribution.probs, distribution.logits
    # A logit beyond what torch makes of a zero was given as such, and its probability only rounds to zero or one.
    raised = logits.abs() <= -_least_log(logits)
    zero = torch.where(raised & (probs == 1), -torch.inf, torch.nn.functional.logsigmoid(-logits))
    one = torch.where(raised & (probs == 0), -torch.inf, torch.nn.functional.logsigmoid(logits))
    return torch.stack([zero, one], -1)


def _least_log(values: Tensor) -> float:
    """Just below the logarithm to which torch raises that of a probability of zero."""
    return math.log(torch.finfo(values.dtype).eps) - 0.1


def _broadcast(first: Distribution, second: Distribution) -> tuple[Distribution, Distribution]:
    batch = torch.broadcast_shapes(first.batch_shape, second.batch_shape)
    return (
        first if first.batch_shape == batch else first.expand(batch),
        second if second.batch_shape == batch else second.expand(batch),
    )


def _diagonal(loc: Tensor, scale: Tensor) -> MultivariateNormal:
    return MultivariateNormal(loc, scale_tril=scale.diag_embed())
