r"""One door for every density: prior, likelihood and q are all read through :func:`log_density`.

It agrees with ``distribution.log_prob`` wherever that is right, and is exact where torch's formula is not. The
logarithm of a probability of zero is minus infinity, not that of torch's machine precision. A value outside the support
has density zero, with a finite gradient, and both ends of a closed interval belong to it. Differences of log-gamma
functions are taken in float64, so that large parameters keep their digits. The fast forms of common likelihoods are
here too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    Chi2,
    ComposeTransform,
    Dirichlet,
    Distribution,
    FisherSnedecor,
    Gamma,
    Geometric,
    HalfCauchy,
    Independent,
    InverseGamma,
    Kumaraswamy,
    LKJCholesky,
    LogisticNormal,
    LogNormal,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    Multinomial,
    NegativeBinomial,
    Normal,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    StudentT,
    TransformedDistribution,
    Uniform,
    VonMises,
    Wishart,
)
from torch.distributions.transforms import Transform
from torch.nn.functional import logsigmoid

from lvmlib import _gamma_densities as gammas
from lvmlib._broadcast import broadcast_shapes
from lvmlib._coins import bernoulli_log_density
from lvmlib._distribution_parts import LaidOut, in_float64, tensors_in
from lvmlib._supports import into_constraint, is_real, support_of

__all__ = [
    "bernoulli_log_density",
    "coin_log_probabilities",
    "into_support",
    "is_real",
    "log_density",
    "sum_last",
    "support_of",
    "table_log_probabilities",
    "without_independent",
]

_LOG_TWO_PI = math.log(2 * math.pi)


def log_density(distribution: Distribution, value: Tensor, *, name: str = "distribution") -> Tensor:
    r"""The log-density :math:`\log p(v)` of ``value``, in nats; ``-inf`` outside the support, with gradient zero.

    Args:
        distribution: Any torch Distribution.
        value: Shape ``(*sample, *batch, *event)``; it may broadcast with the batch shape of ``distribution``.
        name: What the errors call the distribution.

    Returns:
        Shape ``(*sample, *batch)``, in the dtype that ``distribution.log_prob`` has.

    Raises:
        TypeError: If there is no density.
        ValueError: If a ``log_prob`` of somebody else's has another shape.

    Example:
        >>> from torch.distributions import Categorical
        >>> log_density(Categorical(torch.tensor([1.0, 0.0])), torch.tensor([0, 1]))
        tensor([0., -inf])
    """
    base, num_dims = without_independent(distribution)
    if num_dims and type(base) is Bernoulli and "probs" not in base.__dict__:
        # One number a row: a comparison of each value would take as long as the density of many.
        inside = (value * (value - 1)).abs().flatten(-num_dims).sum(-1) == 0
        return torch.where(inside, bernoulli_log_density(base.logits, value, num_dims), -torch.inf)
    if num_dims and type(base) is Normal and "log_prob" not in base.__dict__ and not torch.is_grad_enabled():
        return _sum_of_normals(base, value, num_dims)
    formula = _as_torch_has_it if "log_prob" in base.__dict__ else _FORMULAS.get(type(base), _as_torch_has_it)
    kind = type(base).__name__
    try:
        log_p = formula(base, value)
    except NotImplementedError as error:
        raise TypeError(
            f"{name} is of type {kind}, whose log_prob is not implemented: expected a distribution with a density; "
            f"give it, or the transforms in it, what torch.distributions needs for log_prob."
        ) from error
    if formula is _as_torch_has_it:
        shape = broadcast_shapes(value.shape, base.batch_shape + base.event_shape)
        batch = tuple(shape[: len(shape) - len(base.event_shape)])
        if tuple(log_p.shape) != batch:
            raise ValueError(
                f"{name} is of type {kind}, whose log_prob has shape {tuple(log_p.shape)} for a value of shape "
                f"{tuple(value.shape)}: expected {batch}, one number for each draw and each member of its batch; "
                f"have it sum over the {len(base.event_shape)} event dimensions alone."
            )
    return sum_last(log_p, num_dims)


def into_support(distribution: Distribution, value: Tensor) -> tuple[Tensor, Tensor]:
    """``value`` with each point outside the support replaced by one inside, and which points were inside.

    The formula of a density may be NaN outside; evaluated at a harmless point and masked, it and its gradient are
    finite. The mask has no event dimensions.
    """
    return into_constraint(support_of(distribution), value)


def without_independent(distribution: Distribution) -> tuple[Distribution, int]:
    """The distribution inside any nesting of ``Independent``, and over how many of its batch dimensions that sums."""
    num_dims = 0
    while type(distribution) is Independent:
        num_dims += distribution.reinterpreted_batch_ndims
        distribution = distribution.base_dist
    return distribution, num_dims


def sum_last(value: Tensor, num_dims: int) -> Tensor:
    """The sum over the last ``num_dims`` dimensions."""
    return value.sum(tuple(range(-num_dims, 0))) if num_dims else value


def table_log_probabilities(distribution: Any) -> Tensor:
    """The exact log-probabilities of all values of a Categorical or OneHotCategorical, the last dimension.

    torch raises probabilities below its machine precision to that, which makes an impossible value possible.
    """
    if isinstance(distribution, OneHotCategorical):
        distribution = distribution._categorical
    if _is_given_by_probs(distribution):
        return _log(distribution.probs)
    if "probs" not in distribution.__dict__:
        return distribution.logits
    return _unraised(distribution.logits, distribution.probs)


def coin_log_probabilities(distribution: Any) -> tuple[Tensor, Tensor]:
    """The exact log-probabilities of zero and of one, for a distribution with ``probs`` and ``logits``."""
    if _is_given_by_probs(distribution):
        return _log_complement(distribution.probs), _log(distribution.probs)
    logits = distribution.logits
    zero, one = logsigmoid(-logits), logsigmoid(logits)
    if "probs" not in distribution.__dict__:
        return zero, one
    return _unraised(zero, 1 - distribution.probs), _unraised(one, distribution.probs)


def _is_given_by_probs(distribution: Any) -> bool:
    """Whether probabilities, not logits, were given: either is computed from the other once somebody has asked."""
    held = distribution.__dict__
    return "probs" in held and ("logits" not in held or held.get("_param") is held["probs"])


def _unraised(log_probs: Tensor, probs: Tensor) -> Tensor:
    """Logarithms that torch took of probabilities raised to its machine precision, taken of the probabilities."""
    eps = torch.finfo(probs.dtype).eps
    # A logarithm further below was given as such; its probability may only round to zero.
    raised = (probs < eps) & (log_probs >= math.log(eps) - 0.1)
    return torch.where(raised, _log(probs), log_probs)


def _log(probs: Tensor) -> Tensor:
    """The logarithm; ``-inf`` with gradient zero at zero."""
    possible = probs > 0
    return torch.where(possible, torch.where(possible, probs, 1.0).log(), -torch.inf)


def _log_complement(probs: Tensor) -> Tensor:
    """The logarithm of one minus a probability; ``-inf`` with gradient zero at one."""
    possible = probs < 1
    return torch.where(possible, torch.where(possible, -probs, 0.0).log1p(), -torch.inf)


# The formulas by family. Values outside the support are masked, and what they are replaced by is any value inside.


def _as_torch_has_it(distribution: Distribution, value: Tensor) -> Tensor:
    shape = broadcast_shapes(value.shape, distribution.batch_shape + distribution.event_shape)
    if 0 in shape:
        return _of_nothing(value.expand(shape), len(distribution.event_shape))
    if is_real(support_of(distribution)):
        return distribution.log_prob(value)
    harmless, inside = into_support(distribution, value.expand(shape))
    return torch.where(inside, distribution.log_prob(harmless), -torch.inf)


def _of_nothing(value: Tensor, event_dims: int) -> Tensor:
    """The density of a value without numbers, at which not every law of torch can look."""
    return (0.0 * value.sum()).expand(value.shape[: value.ndim - event_dims])


def _normal(distribution: Any, value: Tensor) -> Tensor:
    distance = (value - distribution.loc) / distribution.scale
    return -0.5 * (distance.square() + _LOG_TWO_PI) - distribution.scale.log()


def _sum_of_normals(distribution: Any, value: Tensor, num_dims: int) -> Tensor:
    # A scale shared by many coordinates is one number seen many times: its logarithm is taken once.
    scale = distribution.scale
    for dim in range(scale.ndim):
        scale = scale.narrow(dim, 0, 1) if scale.stride(dim) == 0 and scale.shape[dim] > 1 else scale
    distance = ((value - distribution.loc) / scale).flatten(-num_dims)
    log_scale = sum_last(scale.log().expand(distribution.loc.shape), num_dims)
    square = torch.linalg.vector_norm(distance, dim=-1).square()
    return -0.5 * (square + _LOG_TWO_PI * distance.shape[-1]) - log_scale


def _uniform(distribution: Any, value: Tensor) -> Tensor:
    inside = (value >= distribution.low) & (value <= distribution.high)
    return torch.where(inside, -(distribution.high - distribution.low).log(), -torch.inf)


def _categorical(distribution: Any, value: Tensor) -> Tensor:
    table = table_log_probabilities(distribution)
    batch = broadcast_shapes(value.shape, table.shape[:-1])
    index = value.long().clamp(0, table.shape[-1] - 1)
    log_p = table.expand(*batch, -1).gather(-1, index.expand(batch)[..., None])[..., 0]
    return torch.where(index == value, log_p, -torch.inf)


def _one_hot(distribution: Any, value: Tensor) -> Tensor:
    inside = ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)
    return torch.where(inside, gammas.times(value, table_log_probabilities(distribution)).sum(-1), -torch.inf)


def _bernoulli(distribution: Any, value: Tensor) -> Tensor:
    zero, one = coin_log_probabilities(distribution)
    return torch.where(value == 1, one, torch.where(value == 0, zero, -torch.inf))


def _in_double(formula: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """A formula whose large terms cancel, evaluated in float64 and rounded only at its end."""

    def log_p(distribution: Distribution, value: Tensor) -> Tensor:
        value = value.expand(broadcast_shapes(value.shape, distribution.batch_shape + distribution.event_shape))
        if not value.numel():
            return _of_nothing(value, len(distribution.event_shape))
        harmless, inside = into_support(distribution, value)
        dtype = next(part.dtype for part in tensors_in(distribution) if part.is_floating_point())
        doubled = in_float64(distribution)
        doubled._validate_args = False  # a float32 is not on the simplex, or on a sphere, to the digits of float64
        return torch.where(inside, formula(doubled, harmless.double()).to(dtype), -torch.inf)

    return log_p


def _geometric(distribution: Any, value: Tensor) -> Tensor:
    zero, one = coin_log_probabilities(distribution)
    return one + gammas.times(value, zero)


def _cauchy(distribution: Any, value: Tensor) -> Tensor:
    distance = (value - distribution.loc) / distribution.scale
    return -math.log(math.pi) - distribution.scale.log() - distance.square().log1p()


def _half_cauchy(distribution: Any, value: Tensor) -> Tensor:
    return math.log(2) + _cauchy(distribution.base_dist, value)


def _von_mises(distribution: Any, value: Tensor) -> Tensor:
    # Where the concentration is large, it is in the cosine and in the Bessel function, and cancels.
    half_angle = 0.5 * (value - distribution.loc)
    log_bessel = torch.special.i0e(distribution.concentration).log()
    return -2 * distribution.concentration * half_angle.sin().square() - _LOG_TWO_PI - log_bessel


def _low_rank(distribution: Any, value: Tensor) -> Tensor:
    # Made anew: a factor of what it holds was taken in the dtype that it was given.
    parts = (distribution.loc, distribution._unbroadcasted_cov_factor, distribution._unbroadcasted_cov_diag)
    return LowRankMultivariateNormal(*parts, validate_args=False).log_prob(value)


def _generalized_pareto(distribution: Any, value: Tensor) -> Tensor:
    shape = distribution.concentration
    distance = (value - distribution.loc) / distribution.scale
    plain = shape == 0
    k = torch.where(plain, 1.0, shape)
    left = 1 + k * distance
    inside = (distance >= 0) & (plain | (left > 0))
    log_survival = torch.where(inside & ~plain, -torch.where(inside, k * distance, 0.0).log1p() / k, -distance)
    return torch.where(inside, (1 + shape) * log_survival - distribution.scale.log(), -torch.inf)


def _mixture(distribution: Any, value: Tensor) -> Tensor:
    log_shares = table_log_probabilities(distribution.mixture_distribution).log_softmax(-1)
    log_parts = log_density(distribution.component_distribution, distribution._pad(value)) + log_shares
    # A value that no part can have: the sum of zeros, without the NaN in the gradient of its logarithm.
    some = log_parts.amax(-1, keepdim=True) > -torch.inf
    return torch.where(some[..., 0], torch.where(some, log_parts, 0.0).logsumexp(-1), -torch.inf)


def _transformed(distribution: Any, value: Tensor) -> Tensor:
    value = value.expand(broadcast_shapes(value.shape, distribution.batch_shape + distribution.event_shape))
    event_dims, total = len(distribution.event_shape), torch.zeros((), dtype=value.dtype, device=value.device)
    possible = torch.ones((), dtype=torch.bool, device=value.device)
    for transform in reversed(_single(distribution.transforms)):
        # What the last transform can give may be all reals, and yet not all of it what those before can give.
        value, inside = into_constraint(transform.codomain, value)
        possible = possible & _all_last(inside, event_dims - transform.codomain.event_dim)
        before = transform.inv(value)
        if not is_real(transform.codomain):
            # An end to which only infinite numbers are mapped is outside, and so is an edge of a simplex.
            reached = _all_last(before.isfinite(), transform.domain.event_dim)
            reached = reached.reshape(reached.shape + (1,) * transform.codomain.event_dim)
            value, inside = into_constraint(transform.codomain, torch.where(reached, value, torch.nan))
            possible = possible & _all_last(inside, event_dims - transform.codomain.event_dim)
            before = transform.inv(value)
        event_dims += transform.domain.event_dim - transform.codomain.event_dim
        jacobian = transform.log_abs_det_jacobian(before, value)
        total = total - sum_last(jacobian, event_dims - transform.domain.event_dim)
        value = before
    base = distribution.base_dist
    total = total + sum_last(log_density(base, value), event_dims - len(base.event_shape))
    return torch.where(possible, total, -torch.inf)


def _all_last(mask: Tensor, num_dims: int) -> Tensor:
    return mask.flatten(-num_dims).all(-1) if num_dims else mask


def _single(transforms: list[Transform]) -> list[Transform]:
    """The transforms one by one, composed ones taken apart."""
    single = list[Transform]()
    for transform in transforms:
        single += _single(transform.parts) if isinstance(transform, ComposeTransform) else [transform]
    return single


# By exact type: a class of somebody else's that derives from one of these has a density of its own.
_FORMULAS: dict[type[Distribution], Callable[[Any, Tensor], Tensor]] = {
    Normal: _normal,
    Uniform: _uniform,
    Categorical: _categorical,
    OneHotCategorical: _one_hot,
    OneHotCategoricalStraightThrough: _one_hot,
    Bernoulli: _bernoulli,
    Binomial: _in_double(lambda d, v: gammas.log_binomial(v, d.total_count, *coin_log_probabilities(d))),
    Geometric: _in_double(_geometric),
    NegativeBinomial: _in_double(
        lambda d, v: gammas.log_negative_binomial(v, d.total_count, *coin_log_probabilities(d))
    ),
    Multinomial: _in_double(
        lambda d, v: gammas.log_multinomial(v, table_log_probabilities(d._categorical).log_softmax(-1))
    ),
    Poisson: _in_double(lambda d, v: gammas.log_poisson(v, d.rate, _log(d.rate))),
    Beta: _in_double(lambda d, v: gammas.beta_log_density(v, d.concentration1, d.concentration0)),
    Dirichlet: _in_double(lambda d, v: gammas.log_dirichlet(v, d.concentration)),
    Gamma: _in_double(lambda d, v: gammas.log_gamma_density(v, d.concentration, d.rate)),
    Chi2: _in_double(lambda d, v: gammas.log_gamma_density(v, d.concentration, d.rate)),
    FisherSnedecor: _in_double(lambda d, v: gammas.log_fisher(v, d.df1, d.df2)),
    StudentT: _in_double(lambda d, v: gammas.log_student_t((v - d.loc) / d.scale, d.df) - d.scale.log()),
    Cauchy: _in_double(_cauchy),
    HalfCauchy: _in_double(_half_cauchy),
    VonMises: _in_double(_von_mises),
    Kumaraswamy: _in_double(lambda d, v: gammas.log_kumaraswamy(v, d.concentration1, d.concentration0)),
    InverseGamma: _in_double(_transformed),
    LKJCholesky: _in_double(lambda d, v: d.log_prob(v)),
    LowRankMultivariateNormal: _in_double(_low_rank),
    Wishart: _in_double(lambda d, v: d.log_prob(v)),
    MixtureSameFamily: _mixture,
    LaidOut: lambda d, v: d.of_rows(lambda rows: log_density(d.rows, rows), v),
    TransformedDistribution: _transformed,
    LogNormal: _transformed,
    LogisticNormal: _transformed,
    RelaxedBernoulli: _transformed,
    RelaxedOneHotCategorical: _transformed,
}
if hasattr(torch.distributions, "GeneralizedPareto"):  # from torch 2.12 on
    _FORMULAS[torch.distributions.GeneralizedPareto] = _in_double(_generalized_pareto)
