r"""Power means of the weights: bounds on the log-evidence from below and from above, in nats."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lvmlib._checks import check_number, check_sample_count
from lvmlib._log_space import log_mean_exp
from lvmlib._streams import map_blocks
from lvmlib._weight_summary import WeightSummary
from lvmlib.bounds import BoundEstimate, Direction
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import bind
from lvmlib.weights import bind_without_gradient

__all__ = ["cubo", "renyi_bound"]

# Orders of a power mean nearer to zero than this are taken for zero: rounding is larger than what they change.
_INDISTINGUISHABLE = 1e-8
# A power mean of this order is the largest weight, or the smallest, to more digits than any dtype has.
_AS_GOOD_AS_INFINITE = 1e16


def renyi_bound(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    alpha: float,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> BoundEstimate:
    r"""Rényi's variational bound: a power mean of the weights, estimated with draws from q.

    .. math::
        \mathcal{L}^{(\alpha)}(q) = \frac{1}{1 - \alpha} \log \E_{q(z)}\big[w(z)^{1 - \alpha}\big], \qquad
        \log p(x) - \mathcal{L}^{(\alpha)}(q) = D_\alpha(q(z) \Vert p(z \mid x)) \text{ for } \alpha > 0

    It falls in :math:`\alpha`: below zero it is an upper bound on :math:`\log p(x)`, at zero :math:`\log p(x)` itself
    if q covers the posterior, between zero and one a lower bound above the ELBO, at one the ELBO, above one a lower
    bound below the ELBO. The estimate replaces the expectation by an average over K draws, inside the logarithm. So it
    is biased towards the ELBO: low for :math:`\alpha < 1`, high for :math:`\alpha > 1`. For :math:`\alpha \ge 0` its
    mean is below :math:`\log p(x)` for every K. For :math:`\alpha < 0` its mean may lie on either side.

    Without ``chunk_size`` and ``seed`` it is differentiable as :func:`~lvmlib.elbo` is; with one of them the draws are
    streamed in memory that does not grow with K, and no gradient is kept.

    Proved in the book: thm-renyi.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of draws for each x.
        alpha: The order :math:`\alpha`, any finite number.
        chunk_size: Draws weighed at once; less memory when small, the same answer.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        A :class:`BoundEstimate` with the batch shape of x. Where a weight is zero, ``-inf`` for
        :math:`\alpha \ge 1`.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`; also if ``alpha`` is not a finite number.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> q = Normal(0.0, 0.8)
        >>> low, high = (renyi_bound(model, q, torch.zeros(()), 10_000, alpha=a, seed=0) for a in (2.0, -1.0))
        >>> low.direction.population, high.direction.population, bool(low.value < high.value)
        ('lower', 'upper', True)

    References:
        Li and Turner (2016), *Rényi divergence variational inference*; van Erven and Harremoës (2014), for the
        divergence.
    """
    alpha = check_number("alpha", alpha)
    if not math.isfinite(alpha):
        raise ValueError(f"alpha is {alpha}: expected a finite number; for the largest weight take log_weights(...).")
    return _power_mean_bound(model, q, x, num_samples, alpha, name="renyi_bound", chunk_size=chunk_size, seed=seed)


def cubo(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    order: float = 2,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> BoundEstimate:
    r"""The chi upper bound: the logarithm of a moment of the weights, estimated with draws from q.

    .. math::
        \mathrm{CUBO}_n(q) = \frac1n \log \E_{q(z)}\big[w(z)^n\big] \ge \log p(x), \qquad n > 1

    This is :func:`renyi_bound` with :math:`\alpha = 1 - n`. **The bound is upper; its estimate need not be.** The mean
    of the estimate rises with K from the ELBO to the bound, and so starts below :math:`\log p(x)`. No number of draws
    is enough in general to put it above with a stated probability, because a moment of order n hangs on weights
    that are rarely drawn. Read ``pareto_k``, which is that of :math:`w^n`.

    Proved in the book: thm-renyi, prop-cubo-is-low.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of draws for each x.
        order: n, above 1.
        chunk_size: As :func:`renyi_bound`.
        seed: As :func:`renyi_bound`.

    Returns:
        A :class:`BoundEstimate` with the batch shape of x.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`; also if ``order`` is not above 1.

    References:
        Dieng, Tran, Ranganath, Paisley and Blei (2017), *Variational inference via chi upper bound minimization*.
    """
    order = check_number("order", order)
    if not 1 < order < math.inf:
        raise ValueError(f"order is {order}: expected a finite number above 1, for which the bound is upper; try 2.")
    return _power_mean_bound(model, q, x, num_samples, 1 - order, name="cubo", chunk_size=chunk_size, seed=seed)


def _power_mean_bound(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    alpha: float,
    *,
    name: str,
    chunk_size: int | None,
    seed: int | None,
) -> BoundEstimate:
    check_sample_count("num_samples", num_samples)
    power = 1 - alpha if abs(1 - alpha) > _INDISTINGUISHABLE else 0.0
    power = max(-_AS_GOOD_AS_INFINITE, min(power, _AS_GOOD_AS_INFINITE))
    streamed = seed is not None or chunk_size is not None
    problem = (bind_without_gradient if streamed else bind)(model, q, x)
    summary, some_zero = WeightSummary(), torch.zeros((), dtype=torch.bool, device=problem.x.device)
    value: Tensor | None = None
    if not streamed:
        log_w = problem.log_weights(num_samples)
        value = log_w.mean(0) if power == 0 else (log_mean_exp((power * log_w).double()) / power).to(log_w)
        blocks: Iterable[Tensor] = [log_w.detach()]
    else:
        blocks = map_blocks(problem, num_samples, lambda _, log_w: log_w, name=name, seed=seed, chunk_size=chunk_size)
    for log_w in blocks:
        zero = log_w == -torch.inf
        # A negative power of zero is infinite; the mean then is too, whatever the other weights are.
        some_zero = some_zero | zero.any(0) if power <= 0 else some_zero
        summary.update(log_w if power == 0 else (power * log_w).masked_fill(zero, -torch.inf))
    read, error = (
        (summary.elbo, summary.elbo_std_error) if power == 0 else (summary.log_evidence / power, summary.std_error)
    )
    value = read if value is None else value
    error = error if power == 0 else error / abs(power)
    return BoundEstimate(
        torch.where(some_zero, -torch.inf, value),
        torch.where(some_zero, torch.inf, error),
        _renyi_direction(alpha),
        num_samples,
        None if power == 0 else summary,
    )


def _renyi_direction(alpha: float) -> Direction:
    if alpha < 0:
        return Direction("upper", "unknown", "unknown")
    # A power mean of order 1 - alpha is at most the mean of the weights, draw by draw.
    return Direction("lower" if alpha else "exact", "lower", "lower")
