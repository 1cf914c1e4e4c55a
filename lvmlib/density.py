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
    Chi2,
    Dirichlet,
    Distribution,
    Gamma,
    Geometric,
    Independent,
    LogisticNormal,
    LogNormal,
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
    constraints,
    transform_to,
)
from torch.nn.functional import logsigmoid

from lvmlib._broadcast import broadcast_shapes
from lvmlib._coins import bernoulli_log_density
from lvmlib._distribution_parts import map_tensors, tensors_in

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


def log_density(distribution: Distribution, value: Tensor) -> Tensor:
    r"""The log-density :math:`\log p(v)` of ``value``, in nats; ``-inf`` outside the support, with gradient zero.

    Args:
        distribution: Any torch Distribution.
        value: Shape ``(*sample, *batch, *event)``; it may broadcast with the batch shape of ``distribution``.

    Returns:
        Shape ``(*sample, *batch)``, in the dtype that ``distribution.log_prob`` has.

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
    return sum_last(formula(base, value), num_dims)


def support_of(distribution: Distribution) -> constraints.Constraint:
    """The support of a distribution; all reals where it names none, as a normalising flow does not."""
    try:
        support = distribution.support
    except NotImplementedError:
        support = None
    return constraints.independent(constraints.real, len(distribution.event_shape)) if support is None else support


def is_real(support: constraints.Constraint) -> bool:
    """Whether a support is all reals, in which case every number is inside."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real or support is constraints.real_vector


def into_support(distribution: Distribution, value: Tensor) -> tuple[Tensor, Tensor]:
    """``value`` with each point outside the support replaced by one inside, and which points were inside.

    The formula of a density may be NaN outside; evaluated at a harmless point and masked, it and its gradient are
    finite. The mask has no event dimensions.
    """
    support = support_of(distribution)
    if is_real(support):
        # No number is outside; one that is not a number stays one.
        return value, torch.ones(value.shape[: value.ndim - support.event_dim], dtype=torch.bool, device=value.device)
    inside = support.check(value)
    harmless = torch.zeros_like(value) if support.is_discrete else transform_to(support)(torch.zeros_like(value))
    mask = inside.reshape(inside.shape + (1,) * support.event_dim)
    return torch.where(mask, value, harmless), inside


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


def _times(count: Tensor, log_probs: Tensor) -> Tensor:
    """The product, and zero where the count is, whatever the logarithm."""
    none = count == 0
    return torch.where(none, 0.0, torch.where(none, 1.0, count) * torch.where(none, 0.0, log_probs))


# The formulas by family. Values outside the support are masked, and what they are replaced by is any value inside.


def _as_torch_has_it(distribution: Distribution, value: Tensor) -> Tensor:
    if is_real(support_of(distribution)):
        return distribution.log_prob(value)
    value = value.expand(broadcast_shapes(value.shape, distribution.batch_shape + distribution.event_shape))
    harmless, inside = into_support(distribution, value)
    return torch.where(inside, distribution.log_prob(harmless), -torch.inf)


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
    return torch.where(inside, _times(value, table_log_probabilities(distribution)).sum(-1), -torch.inf)


def _bernoulli(distribution: Any, value: Tensor) -> Tensor:
    zero, one = coin_log_probabilities(distribution)
    return torch.where(value == 1, one, torch.where(value == 0, zero, -torch.inf))


def _in_double(formula: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """A formula whose large terms cancel, evaluated in float64 and rounded only at its end."""

    def log_p(distribution: Distribution, value: Tensor) -> Tensor:
        value = value.expand(broadcast_shapes(value.shape, distribution.batch_shape + distribution.event_shape))
        harmless, inside = into_support(distribution, value)
        dtype = next(part.dtype for part in tensors_in(distribution) if part.is_floating_point())
        doubled = map_tensors(distribution, lambda part: part.double() if part.is_floating_point() else part)
        return torch.where(inside, formula(doubled, harmless.double()).to(dtype), -torch.inf)

    return log_p


def _binomial(distribution: Any, value: Tensor) -> Tensor:
    total = distribution.total_count
    zero, one = coin_log_probabilities(distribution)
    ways = (total + 1).lgamma() - (value + 1).lgamma() - (total - value + 1).lgamma()
    return ways + _times(value, one) + _times(total - value, zero)


def _geometric(distribution: Any, value: Tensor) -> Tensor:
    zero, one = coin_log_probabilities(distribution)
    return one + _times(value, zero)


def _negative_binomial(distribution: Any, value: Tensor) -> Tensor:
    total = distribution.total_count
    zero, one = coin_log_probabilities(distribution)
    some = total > 0
    at_least = torch.where(some, total, 1.0)
    ways = (at_least + value).lgamma() - (value + 1).lgamma() - at_least.lgamma()
    return torch.where(some, ways + total * zero + _times(value, one), torch.where(value == 0, 0.0, -torch.inf))


def _multinomial(distribution: Any, value: Tensor) -> Tensor:
    table = table_log_probabilities(distribution._categorical)
    ways = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
    return ways + _times(value, table).sum(-1)


def _poisson(distribution: Any, value: Tensor) -> Tensor:
    rate = distribution.rate
    return _times(value, _log(rate)) - rate - (value + 1).lgamma()


def _beta(distribution: Any, value: Tensor) -> Tensor:
    return _dirichlet(distribution._dirichlet, torch.stack([value, 1 - value], -1))


def _dirichlet(distribution: Any, value: Tensor) -> Tensor:
    concentration = distribution.concentration
    log_normaliser = concentration.lgamma().sum(-1) - concentration.sum(-1).lgamma()
    return _powers(concentration - 1, value).sum(-1) - log_normaliser


def _gamma(distribution: Any, value: Tensor) -> Tensor:
    shape, rate = distribution.concentration, distribution.rate
    return shape * rate.log() + _powers(shape - 1, value) - rate * value - shape.lgamma()


def _powers(exponent: Tensor, value: Tensor) -> Tensor:
    """The exponent times the logarithm, with infinities of the right sign at zero and no NaN gradient there."""
    return _times(exponent, torch.where(value > 0, torch.where(value > 0, value, 1.0).log(), -torch.inf))


def _student_t(distribution: Any, value: Tensor) -> Tensor:
    df, scale = distribution.df, distribution.scale
    distance = (value - distribution.loc) / scale
    log_normaliser = scale.log() + 0.5 * (df * math.pi).log() + (0.5 * df).lgamma() - (0.5 * df + 0.5).lgamma()
    return -0.5 * (df + 1) * (distance.square() / df).log1p() - log_normaliser


def _mixture(distribution: Any, value: Tensor) -> Tensor:
    log_shares = table_log_probabilities(distribution.mixture_distribution).log_softmax(-1)
    log_parts = log_density(distribution.component_distribution, distribution._pad(value)) + log_shares
    # A value that no part can have: the sum of zeros, without the NaN in the gradient of its logarithm.
    some = log_parts.amax(-1, keepdim=True) > -torch.inf
    return torch.where(some[..., 0], torch.where(some, log_parts, 0.0).logsumexp(-1), -torch.inf)


def _transformed(distribution: Any, value: Tensor) -> Tensor:
    value = value.expand(broadcast_shapes(value.shape, distribution.batch_shape + distribution.event_shape))
    value, inside = into_support(distribution, value)
    event_dims, total = len(distribution.event_shape), torch.zeros((), dtype=value.dtype, device=value.device)
    for transform in reversed(distribution.transforms):
        before = transform.inv(value)
        event_dims += transform.domain.event_dim - transform.codomain.event_dim
        jacobian = transform.log_abs_det_jacobian(before, value)
        total = total - sum_last(jacobian, event_dims - transform.domain.event_dim)
        value = before
    base = distribution.base_dist
    total = total + sum_last(log_density(base, value), event_dims - len(base.event_shape))
    return torch.where(inside, total, -torch.inf)


# By exact type: a class of somebody else's that derives from one of these has a density of its own.
_FORMULAS: dict[type[Distribution], Callable[[Any, Tensor], Tensor]] = {
    Normal: _normal,
    Uniform: _uniform,
    Categorical: _categorical,
    OneHotCategorical: _one_hot,
    OneHotCategoricalStraightThrough: _one_hot,
    Bernoulli: _bernoulli,
    Binomial: _in_double(_binomial),
    Geometric: _in_double(_geometric),
    NegativeBinomial: _in_double(_negative_binomial),
    Multinomial: _in_double(_multinomial),
    Poisson: _in_double(_poisson),
    Beta: _in_double(_beta),
    Dirichlet: _in_double(_dirichlet),
    Gamma: _in_double(_gamma),
    Chi2: _in_double(_gamma),
    StudentT: _in_double(_student_t),
    MixtureSameFamily: _mixture,
    TransformedDistribution: _transformed,
    LogNormal: _transformed,
    LogisticNormal: _transformed,
    RelaxedBernoulli: _transformed,
    RelaxedOneHotCategorical: _transformed,
}
