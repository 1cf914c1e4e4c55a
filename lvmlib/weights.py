r"""The importance weight, and the one running summary from which every estimate is read.

.. math:: w(z) = \frac{p(x, z)}{q(z)}, \qquad z \sim q, \qquad \E_{q(z)}[w(z)] = p(x)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Beta, Dirichlet, Gamma

from lvmlib._checks import check_sample_count
from lvmlib._draws import draw_weighed, rounded_together
from lvmlib._pareto import ParetoSmoothed, pareto_smoothed
from lvmlib._streams import block_length, map_blocks, num_blocks
from lvmlib._threads import in_threads
from lvmlib._types import Bool, Float
from lvmlib._weight_summary import WeightSummary
from lvmlib.density import log_density, sum_last, without_independent
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind

__all__ = [
    "ParetoSmoothed",
    "WeightSummary",
    "distrusted",
    "log_weights",
    "num_blocks",
    "pareto_smoothed",
    "summarize_blocks",
    "summarize_weights",
]

# How many times the largest weight drawn, in nats, another must be to lie where q never draws.
_OUT_OF_REACH = 10.0


def log_weights(model: LatentVariableModel, q: Guide, x: Tensor, num_samples: int) -> Float[Tensor, K * batch]:
    r"""Log importance weights of draws from q, in nats.

    .. math:: \log w(z_k) = \log p(x, z_k) - \log q(z_k), \qquad z_k \sim q(z)

    Differentiable in the parameters of the model and, where q has reparameterised draws, of q along the
    draws. Every x has its own draws.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: The number K of draws.

    Returns:
        Shape ``(K, *batch)``; ``-inf`` where a draw has joint density zero.

    Raises:
        TypeError: If an argument is of the wrong type, or q is over another kind of z.
        ValueError: If a shape, a device or a value does not fit; the message names the mend.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> log_weights(model, Normal(0.0, 1.0), torch.zeros(5), num_samples=100).shape
        torch.Size([100, 5])

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, chapter 9.
    """
    check_sample_count("num_samples", num_samples)
    return bind(model, q, x).log_weights(num_samples)


def summarize_weights(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> WeightSummary:
    r"""The :class:`WeightSummary` of K draws from q, in memory that does not grow with K.

    Draws are made in blocks whose size depends only on the shapes of x and z, so that a seed gives the same
    answer whatever the chunk size.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: The number K of draws.
        chunk_size: Draws weighed at once, for each x; less memory when small. By default about half a million
            numbers at a time.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        The summary, with the batch shape of x. No gradient is kept: see :func:`log_weights` for that.

    Raises:
        TypeError, ValueError: As :func:`log_weights`; also if ``chunk_size`` is below 1 or ``seed`` negative.
    """
    problem = bind_without_gradient(model, q, x)
    summary = summarize_blocks(problem, num_samples, name="summarize_weights", seed=seed, chunk_size=chunk_size)
    return summary._distrust(misses_mass(problem, summary))


def bind_without_gradient(model: LatentVariableModel, q: Guide, x: Tensor) -> Problem:
    """The problem of an estimate that keeps no gradient: q is evaluated without one, in evaluation mode."""
    with torch.no_grad():
        return bind(model, q, x)


def summarize_blocks(
    problem: Problem,
    num_samples: int,
    *,
    name: str,
    seed: int | None,
    chunk_size: int | None = None,
    first: int = 0,
    last: int | None = None,
) -> WeightSummary:
    """The summary of the blocks ``first`` to ``last`` (not included) of a stream of K draws.

    The blocks of one stream may be summarised in several processes: with the same K, name and seed, their summaries
    merge to that of the whole.

    Args:
        problem: Made by :func:`lvmlib.bind`.
        num_samples: K, the draws of the whole stream.
        name: The public function that the stream belongs to.
        seed: As in :func:`summarize_weights`.
        chunk_size: As in :func:`summarize_weights`.
        first: The first block, from 0.
        last: The block after the last; by default :func:`num_blocks`.
    """
    summary = WeightSummary()
    for part in map_blocks(
        problem,
        num_samples,
        lambda _, log_w: summary._digest(log_w),
        name=name,
        seed=seed,
        chunk_size=chunk_size,
        first=first,
        last=last,
    ):
        summary._absorb(*part)
    summary._check_finite()
    return summary._distrust(unresolved(problem))


def distrusted(problem: Problem, summary: WeightSummary) -> WeightSummary:
    """The summary of all weights of a problem, with those x marked for which something else speaks against it."""
    return summary._distrust(unresolved(problem))._distrust(misses_mass(problem, summary))


def unresolved(problem: Problem) -> Bool[Tensor, "*batch"]:
    """For which x the dtype does not tell draws of q apart, where the weights would.

    Draws of a Gamma, a Beta or a Dirichlet with a parameter near zero are rounded to the smallest number that there is.
    That is right as long as the weight has a limit there; it has none where the parameter of the posterior is another.
    """
    q = problem.q
    rounded = rounded_together(q)
    base, _ = without_independent(q)
    if problem.q_is_prior or not isinstance(base, Beta | Dirichlet | Gamma):
        return rounded
    with torch.no_grad(), problem.mode():
        z, log_q = draw_weighed(q, 64, seed=("unresolved",))
        limits = torch.finfo(z.dtype)
        inner = z.clamp(min=limits.tiny**0.5, max=1 - limits.eps**0.5 if isinstance(base, Beta) else None)
        if isinstance(base, Dirichlet):
            inner = inner / inner.sum(-1, keepdim=True)
        stretch = inner.log() - z.log()
        if isinstance(base, Beta):
            stretch = stretch + (-inner).log1p() - (-z).log1p()
        log_q_inner = log_density(q, inner)
        mass = (log_q_inner - log_q + sum_last(stretch, len(q.event_shape))).abs()
        change = (problem.weigh(inner, log_q_inner) - problem.weigh(z, log_q)).abs()
        # In float32 the two differences carry an error of some 1e-5.
        return rounded | (change > 0.02 * mass + 20 * limits.eps * log_q.abs()).double().mean(0).gt(0.5)


def misses_mass(problem: Problem, summary: WeightSummary) -> Bool[Tensor, "*batch"]:
    """For which x draws from the prior find a tenth of the estimate, or more, where q never draws.

    The weights of q cannot show what q leaves out; a few draws from the prior can, where it finds the posterior at all.
    """
    batch = problem.batch_shape
    absent = torch.zeros(batch, dtype=torch.bool, device=problem.x.device)
    if problem.q_is_prior or summary.num_samples < 100:
        return absent
    model, moments = problem.model, summary._read()
    length = block_length(problem)
    num_probes = max(64, min(1000, length))
    with torch.no_grad(), problem.mode():
        prior = model.prior.expand(batch)

        def probe(index: int) -> Tensor:
            size = min(length, num_probes - index * length)
            z, log_prior = draw_weighed(prior, size, seed=("misses_mass", index))
            log_likelihood = model._log_likelihood(problem.x, z).double()
            out_of_reach = log_likelihood + log_prior - log_density(problem.q, z) > moments.maximum + _OUT_OF_REACH
            return torch.where(out_of_reach, log_likelihood, -torch.inf).logsumexp(0)

        found = list(in_threads(probe, range(-(-num_probes // length)), problem.x.device))
    log_missed = torch.stack(found).logsumexp(0) - math.log(num_probes)
    return log_missed > moments.maximum + moments.mean.log() + math.log(0.1)
