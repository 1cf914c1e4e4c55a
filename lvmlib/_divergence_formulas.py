"""Divergences in closed form: torch's formulas, for more pairs than torch has them, and with the digits it loses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    ContinuousBernoulli,
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    Geometric,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    TransformedDistribution,
    Uniform,
    kl_divergence,
)
from torch.nn.functional import pad

from lvmlib._broadcast import broadcast_shapes
from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._distribution_parts import in_float64, tensors_in
from lvmlib._gamma_densities import deviance
from lvmlib._special import beta_entropy, digamma_less_log, excess, stirling_remainder
from lvmlib.density import coin_log_probabilities, sum_last, table_log_probabilities, without_independent

__all__ = [
    "as_multivariate_normal",
    "before_shared_transforms",
    "closed_form_entropy",
    "closed_form_kl",
    "closed_form_log_square",
]


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q, p) in nats, at least zero, where a formula is known for the families or both are Gaussian; else ``None``.

    Divergences of independent coordinates add up, so ``Independent`` may stand on either side, in any nesting; those
    before and after the same invertible transforms are equal. The terms, which cancel, are taken in float64.
    """
    dtype = _dtype_of(q, p)
    value = _kl(in_float64(q), in_float64(p))
    return None if value is None else value.clamp(min=0.0).to(dtype)


def _kl(q: Distribution, p: Distribution) -> Tensor | None:
    q, p, transformed = before_shared_transforms(q, p)
    q, p, shared = _without_shared_independent(q, p)
    # Some of torch's formulas assume equal batch shapes: two Bernoullis of different ones are an IndexError.
    q, p = _broadcast(q, p)
    try:
        value = _divergence(q, p)
    except NotImplementedError:
        gaussian_q, gaussian_p = as_multivariate_normal(q), as_multivariate_normal(p)
        if gaussian_q is None or gaussian_p is None:
            return None
        value = _gaussians(gaussian_q, gaussian_p)
    return sum_last(value, shared + transformed)


def before_shared_transforms(q: Distribution, p: Distribution) -> tuple[Distribution, Distribution, int]:
    """What both were before the same transforms, and how many dimensions of their batch are then part of an event."""
    added = 0
    while (
        isinstance(q, TransformedDistribution)
        and isinstance(p, TransformedDistribution)
        and all(transform.bijective for transform in q.transforms)
        and q.transforms == p.transforms
        and len(q.base_dist.event_shape) == len(p.base_dist.event_shape)
    ):
        added += len(q.event_shape) - len(q.base_dist.event_shape)
        q, p = q.base_dist, p.base_dist
    return q, p, added


def _divergence(q: Any, p: Any) -> Tensor:
    for family, formula in _DIVERGENCES:
        if isinstance(q, family) and isinstance(p, family):
            return formula(q, p)
    if isinstance(q, ContinuousBernoulli) and isinstance(p, Uniform):
        # torch says infinite for the unit interval itself, where both have the same support; and so for the reverse.
        return torch.where((p.low <= 0) & (p.high >= 1), (p.high - p.low).log() - q.entropy(), torch.inf)
    if isinstance(q, Uniform) and isinstance(p, ContinuousBernoulli):
        value = -q.entropy() - p.log_prob(((q.low + q.high) / 2).clamp(0.0, 1.0))  # its log-density is linear
        return torch.where((q.low >= 0) & (q.high <= 1), value, torch.inf)
    return kl_divergence(q, p)


def _normals(q: Normal, p: Normal) -> Tensor:
    ratio = q.scale / p.scale
    misfit = excess((ratio - 1) * (ratio + 1), 2 * (q.scale.log() - p.scale.log()))
    return 0.5 * (misfit + ((q.loc - p.loc) / p.scale).square())


def _gaussians(q: MultivariateNormal, p: MultivariateNormal) -> Tensor:
    # In the coordinates in which p is standard, q has a triangular factor too.
    factor = p._unbroadcasted_scale_tril
    mapped = torch.linalg.solve_triangular(factor, q._unbroadcasted_scale_tril, upper=False)
    distance = torch.linalg.solve_triangular(factor, (q.loc - p.loc)[..., None], upper=False)[..., 0]
    ratio = mapped.diagonal(dim1=-2, dim2=-1)
    misfit = excess((ratio - 1) * (ratio + 1), 2 * ratio.log()).sum(-1) + mapped.tril(-1).square().sum((-2, -1))
    return 0.5 * (misfit + distance.square().sum(-1))


def _gammas(q: Gamma, p: Gamma) -> Tensor:
    log_ratio = p.rate.log() - q.rate.log()
    rates = q.concentration * excess(p.rate / q.rate - 1, log_ratio)
    shapes = deviance(p.concentration, q.concentration, q.concentration.log())
    return (
        shapes
        + _rest_of_gammas(q.concentration, p.concentration)
        + rates
        + (q.concentration - p.concentration) * log_ratio
    )


def _dirichlets(q: Dirichlet, p: Dirichlet) -> Tensor:
    return _dirichlet_divergence(q.concentration, p.concentration)


def _betas(q: Beta, p: Beta) -> Tensor:
    first, second = (torch.stack([d.concentration1, d.concentration0], -1) for d in (q, p))
    return _dirichlet_divergence(first, second)


def _dirichlet_divergence(a: Tensor, b: Tensor) -> Tensor:
    total_a, total_b = a.sum(-1), b.sum(-1)
    # The large terms are those of the means: b's counts against what a's mean expects of as many.
    expected = a * (total_b / total_a)[..., None]
    means = deviance(b, expected, expected.log()).sum(-1)
    return means + _rest_of_gammas(a, b).sum(-1) - _rest_of_gammas(total_a, total_b)


def _rest_of_gammas(a: Tensor, b: Tensor) -> Tensor:
    r"""What :math:`\log\Gamma(b) - \log\Gamma(a) - \psi(a) (b - a)` is beyond the deviance of b from a."""
    halves = 0.5 * excess((b - a) / a, b.log() - a.log())
    slope = digamma_less_log(a) + 0.5 / a
    return halves + stirling_remainder(b) - stirling_remainder(a) - slope * (b - a)


def _tables(q: Distribution, p: Distribution) -> Tensor:
    return _table_divergence(*_of_one_length(_logs(q), _logs(p)))


def _table_divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    # torch says infinite where a probability only rounds to zero, as that of a far component of a mixture does.
    possible = log_q > -torch.inf
    difference = torch.where(possible, log_q, 0.0) - torch.where(possible, log_p, 0.0)
    return torch.where(difference < torch.inf, log_q.exp() * difference, torch.inf).sum(-1)


def _binomials(q: Binomial, p: Binomial) -> Tensor:
    if (q.total_count < p.total_count).any():
        raise NotImplementedError
    value = q.total_count * _tables(q, p)
    return torch.where(q.total_count > p.total_count, torch.inf, torch.where(q.total_count == 0, 0.0, value))


def _geometrics(q: Geometric, p: Geometric) -> Tensor:
    return _tables(q, p) / q.probs


def _poissons(q: Poisson, p: Poisson) -> Tensor:
    some = p.rate > 0
    log_rate = torch.where(some, torch.where(some, p.rate, 1.0).log(), -torch.inf)
    return deviance(q.rate, p.rate, log_rate)


_DIVERGENCES: tuple[tuple[Any, Any], ...] = (
    (Normal, _normals),
    (MultivariateNormal, _gaussians),
    (Gamma, _gammas),
    (Beta, _betas),
    (Dirichlet, _dirichlets),
    (Categorical, _tables),
    (OneHotCategorical, _tables),
    (Bernoulli, _tables),
    (Binomial, _binomials),
    (Geometric, _geometrics),
    (Poisson, _poissons),
)


def closed_form_entropy(distribution: Distribution) -> Tensor | None:
    """The entropy in nats, where a formula is known; else ``None``. Its terms, which cancel, are taken in float64."""
    try:
        return _entropy(in_float64(distribution)).to(_dtype_of(distribution, distribution))
    except NotImplementedError:
        return None


def _entropy(distribution: Any) -> Tensor:
    base, num_dims = without_independent(distribution)
    if type(base) is Beta:
        return sum_last(beta_entropy(base.concentration1, base.concentration0), num_dims)
    return distribution.entropy()


def closed_form_log_square(p: Distribution, q: Distribution) -> Tensor | None:
    r"""The logarithm of :math:`\E_q[(p/q)^2] = \int p^2 / q`, which is one plus chi-square; else ``None``.

    It is ``inf`` where the integral diverges. Over independent coordinates the integrals multiply.
    """
    dtype = _dtype_of(p, q)
    p, q, transformed = before_shared_transforms(in_float64(p), in_float64(q))
    p, q, shared = _without_shared_independent(p, q)
    value = _log_square(p, q)
    if value is None:
        return None
    # Coordinates that only one of the two has in its batch shape count for the other as well.
    value = value.expand(broadcast_shapes(p.batch_shape, q.batch_shape))
    return sum_last(value, shared + transformed).clamp(min=0.0).to(dtype)


def as_multivariate_normal(distribution: Distribution) -> MultivariateNormal | None:
    """A Gaussian over a vector as a MultivariateNormal, a scalar one with event shape ``(1,)``; else ``None``."""
    if isinstance(distribution, MultivariateNormal):
        return distribution
    if isinstance(distribution, LowRankMultivariateNormal):
        return MultivariateNormal(distribution.loc, covariance_matrix=distribution.covariance_matrix)
    if isinstance(distribution, DiagonalNormal):
        return _diagonal(distribution.loc, distribution.scale)
    if isinstance(distribution, Normal):
        return _diagonal(distribution.loc[..., None], distribution.scale[..., None])
    base, num_dims = without_independent(distribution)
    if isinstance(base, Normal) and num_dims == 1:
        return _diagonal(base.loc, base.scale)
    return None


def _log_square(p: Distribution, q: Distribution) -> Tensor | None:
    for family, formula in _SQUARES:
        if isinstance(p, family) and isinstance(q, family):
            return formula(p, q)
    gaussian_p, gaussian_q = as_multivariate_normal(p), as_multivariate_normal(q)
    return None if gaussian_p is None or gaussian_q is None else _gaussian_square(gaussian_p, gaussian_q)


def _table_square(p: Distribution, q: Distribution) -> Tensor:
    log_p, log_q = _of_one_length(_logs(p), _logs(q))
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


def _without_shared_independent(first: Distribution, second: Distribution) -> tuple[Distribution, Distribution, int]:
    """Both without the independent coordinates that they share, and how many dimensions of those there are."""
    (first, dims_of_first), (second, dims_of_second) = _coordinates(first), _coordinates(second)
    shared = min(dims_of_first, dims_of_second)
    return _independent(first, dims_of_first - shared), _independent(second, dims_of_second - shared), shared


def _coordinates(distribution: Distribution) -> tuple[Distribution, int]:
    return (
        (distribution.base_dist, 1) if isinstance(distribution, DiagonalNormal) else without_independent(distribution)
    )


def _independent(distribution: Distribution, num_dims: int) -> Distribution:
    return Independent(distribution, num_dims) if num_dims else distribution


def _logs(distribution: Any) -> Tensor:
    """Log-probabilities of all values of a table or a coin, the last dimension, summing to one in float64."""
    if isinstance(distribution, Categorical | OneHotCategorical):
        return table_log_probabilities(distribution).log_softmax(-1)
    return torch.stack(coin_log_probabilities(distribution), -1)


def _of_one_length(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two tables with as many values: what the shorter one does not have is impossible under it."""
    length = max(first.shape[-1], second.shape[-1])
    one, two = (pad(table, (0, length - table.shape[-1]), value=-torch.inf) for table in (first, second))
    return one, two


def _dtype_of(first: Distribution, second: Distribution) -> torch.dtype:
    """The dtype of what is computed from both."""
    found = [value for value in tensors_in([first, second]) if value.is_floating_point()]
    dtype = found[0].dtype
    for value in found[1:]:
        dtype = torch.promote_types(dtype, value.dtype)
    return dtype


def _broadcast(first: Distribution, second: Distribution) -> tuple[Distribution, Distribution]:
    batch = broadcast_shapes(first.batch_shape, second.batch_shape)
    return (
        first if first.batch_shape == batch else first.expand(batch),
        second if second.batch_shape == batch else second.expand(batch),
    )


def _diagonal(loc: Tensor, scale: Tensor) -> MultivariateNormal:
    return MultivariateNormal(loc, scale_tril=scale.diag_embed(), validate_args=False)
