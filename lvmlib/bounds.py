r"""Bounds on the log-evidence, in nats: numbers to be read beside :math:`\log p(x)`, never losses."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._checks import check_possible, check_sample_count, check_shape, describe
from lvmlib._divergence_formulas import closed_form_entropy, closed_form_kl
from lvmlib._jackknife import MOST_SUBSETS, jackknife
from lvmlib._log_space import log_mean_exp
from lvmlib._streams import map_blocks
from lvmlib._types import Float
from lvmlib._weight_summary import WeightSummary
from lvmlib.density import log_density
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind
from lvmlib.weights import bind_without_gradient

__all__ = ["BoundEstimate", "Direction", "elbo", "eubo", "iwae_bound", "jackknife_bound"]

Form = Literal["joint", "prior_kl", "entropy"]


def elbo(
    model: LatentVariableModel, q: Guide, x: Tensor, num_samples: int = 1, *, form: Form = "joint"
) -> Float[Tensor, "*batch"]:
    r"""The evidence lower bound, in one of its three equal forms, estimated with draws from q.

    .. math::
        \mathcal{L}(q) &= \E_{q(z)}[\log p(x, z) - \log q(z)] && \text{joint} \\
            &= \E_{q(z)}[\log p(x \mid z)] - \KL(q(z) \Vert p(z)) && \text{prior\_kl} \\
            &= \E_{q(z)}[\log p(x, z)] + \mathrm{H}[q(z)] && \text{entropy}

    The expectation is an average over K draws, the KL and the entropy are closed formulas. Only the joint form
    has variance zero at :math:`q(z) = p(z \mid x)`, as its weights are then all :math:`p(x)`.

    Differentiable in the parameters of the model, and of q where q has reparameterised draws.

    Proved in the book: thm-elbo, prop-elbo-forms, prop-elbo-variance, prop-elbo-support.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of draws for each x.
        form: Which of the three is evaluated.

    Returns:
        One estimate for each x, in nats, shape ``(*batch)``; unbiased for the ELBO, so below
        :math:`\log p(x)` in expectation.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`.
        ValueError: Likewise; and if ``form`` is not one of the three, or its closed formula is not known for q.

    References:
        Jordan, Ghahramani, Jaakkola and Saul (1999); Kingma and Welling (2014); Hoffman and Johnson (2016).
    """
    if form not in get_args(Form):
        raise ValueError(f"form is {form!r}: expected one of {get_args(Form)}; 'joint' works for every q.")
    check_sample_count("num_samples", num_samples)
    problem = bind(model, q, x)
    with problem.mode():
        return _elbo(problem, num_samples, form)


def _elbo(problem: Problem, num_samples: int, form: Form) -> Float[Tensor, "*batch"]:
    if form == "joint":
        return problem.log_weights(num_samples).mean(0)
    z, _ = problem.draw_weighed(num_samples)
    if form == "prior_kl":
        divergence = closed_form_kl(problem.q, problem.model.prior)
        if divergence is None:
            raise _no_closed_form(form, problem.q, "a closed KL to the prior")
        return problem.model._log_likelihood(problem.x, z).mean(0) - divergence
    entropy = closed_form_entropy(problem.q)
    if entropy is None:
        raise _no_closed_form(form, problem.q, "a closed entropy")
    return problem.model._log_joint(problem.x, z).mean(0) + entropy


def iwae_bound(
    model: LatentVariableModel, q: Guide, x: Tensor, num_samples: int, *, num_groups: int = 1
) -> Float[Tensor, "*batch"]:
    r"""The importance-weighted bound: the log of an average of K weights, estimated with draws from q.

    .. math::
        \mathcal{L}_K(q) = \E_{z_1, \dots, z_K \sim q}\!\left[\log \frac1K \sum_{k=1}^K
            \frac{p(x, z_k)}{q(z_k)}\right], \qquad \mathcal{L}_1 \le \mathcal{L}_K \le \mathcal{L}_{K+1}
            \le \log p(x)

    With K = 1 it is the ELBO. Differentiable as :func:`elbo` is; weights of zero leave the gradient finite. The bound
    is lower, the estimate is lower in expectation, and by Markov's inequality it exceeds :math:`\log p(x) + t` with
    probability at most :math:`e^{-t}`. With one group, :func:`~lvmlib.importance_sampling` streams the same number.

    Proved in the book: thm-iwae, prop-iwae-bias.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of weights inside the logarithm.
        num_groups: How many independent groups of K draws the estimate averages over, each outside its logarithm.

    Returns:
        One estimate for each x, in nats, shape ``(*batch)``; unbiased for :math:`\mathcal{L}_K`, so below
        :math:`\log p(x)` in expectation. ``-inf`` where all weights of a group are zero.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`; also if ``num_groups`` is below 1.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> iwae_bound(model, Normal(0.0, 1.0), torch.zeros(5), num_samples=10, num_groups=3).shape
        torch.Size([5])

    References:
        Burda, Grosse and Salakhutdinov (2016), *Importance weighted autoencoders*.
    """
    check_sample_count("num_samples", num_samples)
    check_sample_count("num_groups", num_groups)
    log_w = bind(model, q, x).log_weights(num_samples * num_groups)
    return log_mean_exp(log_w.reshape(num_samples, num_groups, *log_w.shape[1:])).mean(0)


Side = Literal["lower", "upper", "exact", "unknown"]


@dataclass(frozen=True)
class Direction:
    r"""On which side of :math:`\log p(x)` a number lies, and what that statement is about.

    Args:
        population: The side of the bound itself, its expectations computed exactly.
        expectation: The side of the mean of the estimate over its draws, at this number of draws.
        probability: The side on which Markov's inequality keeps the estimate: ``"lower"`` if for every
            :math:`t \ge 0` it exceeds :math:`\log p(x) + t` with probability at most :math:`e^{-t}`; ``"upper"`` if it
            is below :math:`\log p(x) - t` with at most that probability; ``"unknown"`` if neither is known.
    """

    population: Side
    expectation: Side
    probability: Side

    def __str__(self) -> str:
        return (
            f"population: {self.population}, expectation over draws: {self.expectation}, "
            f"with stated probability: {self.probability}"
        )


class BoundEstimate(Tensor):
    r"""An estimate of a bound on :math:`\log p(x)`: a tensor of one number for each x, with its error and direction.

    Whatever is computed from it, as ``bound.mean()`` or ``bound - model.log_evidence(x)``, is a plain tensor.

    Args:
        value: The estimate for each x, in nats, shape ``(*batch)``.
        std_error: Its standard error for its own expectation, by the delta method, in nats, shape ``(*batch)``. It says
            nothing of how far the bound is from :math:`\log p(x)`.
        direction: On which side of :math:`\log p(x)` it lies, and in what sense.
        num_samples: How many draws of each x are behind it.
        summary: Of the numbers whose average is inside the logarithm; ``None`` where logarithms are averaged.
    """

    std_error: Float[Tensor, "*batch"]
    direction: Direction
    num_samples: int
    summary: WeightSummary | None

    # Results of operations are plain tensors: a sum of bounds has another error and direction.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(
        cls,
        value: Tensor,
        std_error: Tensor,
        direction: Direction,
        num_samples: int,
        summary: WeightSummary | None = None,
    ) -> BoundEstimate:
        estimate = value.as_subclass(cls)
        estimate.std_error, estimate.direction = std_error, direction
        estimate.num_samples, estimate.summary = num_samples, summary
        return estimate

    @property
    def pareto_k(self) -> Float[Tensor, "*batch"]:
        """Shape of the tail of the numbers that are averaged; ``nan`` where logarithms are.

        See :attr:`~lvmlib.WeightSummary.pareto_k`.
        """
        return torch.full_like(self.std_error, torch.nan) if self.summary is None else self.summary.pareto_k

    @property
    def value(self) -> Float[Tensor, "*batch"]:
        """The numbers alone, shape ``(*batch)``."""
        return self.as_subclass(Tensor)

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundEstimate:
        parts = (self.value, self.std_error, self.direction, self.num_samples, self.summary)
        return BoundEstimate(*copy.deepcopy(parts, memo))

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else repr(self)

    def __repr__(self) -> str:  # type: ignore[override]
        batch, value = tuple(self.shape), self.value
        number = f"value={value.item():.4f}" if not batch else f"batch_shape={batch}"
        number += f", mean={value.mean():.4f}" if batch and value.numel() else ""
        return f"BoundEstimate({number}, num_samples={self.num_samples}; {self.direction})"


def eubo(model: LatentVariableModel, q: Guide, x: Tensor, posterior_samples: Tensor) -> BoundEstimate:
    r"""The evidence upper bound: the mean log-weight under the posterior, from draws of the posterior.

    .. math::
        \mathrm{EUBO}(q) = \E_{p(z \mid x)}\left[\log \frac{p(x, z)}{q(z)}\right]
            = \log p(x) + \KL(p(z \mid x) \Vert q(z))

    Proved in the book: thm-eubo.

    It needs *exact* draws from the posterior. For simulated data one is at hand: the z that x was made from
    (``model.sample``). Draws that are only near the posterior give no bound. Differentiable as :func:`elbo` is.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        posterior_samples: S draws of :math:`p(z \mid x)` for each x, shape ``(S, *batch, *z_event)``.

    Returns:
        A :class:`BoundEstimate` with the batch shape of x; ``inf`` where q has density zero at a draw.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`; also if ``posterior_samples`` does not have that shape,
            or a draw has joint density zero, and so is none of the posterior, or lies at an end of the support where
            both densities are infinite.

    Example:
        >>> import torch
        >>> from lvmlib import LinearGaussian
        >>> model = LinearGaussian(torch.ones(3, 1), torch.zeros(3), 0.5)
        >>> x, z = model.sample(5, seed=0)
        >>> bool((eubo(model, model.posterior, x, z[None]).value - model.log_evidence(x)).abs().max() < 1e-4)
        True

    References:
        Ji and Shen (2019), *Stochastic variational inference via upper bound*.
    """
    problem = bind(model, q, x)
    model._check_latent(posterior_samples, "posterior_samples")
    event = tuple(problem.q.event_shape)
    check_shape("posterior_samples", posterior_samples, ("S", *problem.batch_shape, *event))
    check_sample_count("len(posterior_samples)", len(posterior_samples))
    with problem.mode():
        log_joint = model._log_joint(x, posterior_samples)
        log_w = log_joint - log_density(problem.q, posterior_samples, name="q")
    check_possible("posterior_samples", log_joint)
    unknown = log_w.isnan().nonzero()
    if len(unknown):
        raise ValueError(
            f"posterior_samples has joint density {log_joint[tuple(unknown[0])].exp().item():.6g} at index "
            f"{tuple(unknown[0].tolist())}, and so has q: expected draws inside the support, where both "
            f"are finite; move those at its ends inwards by a rounding."
        )
    value = log_w.mean(0)
    # Of one draw, or where q misses one, nothing is known of the spread.
    spread = log_w.detach().std(0) if len(log_w) > 1 and log_w.numel() else torch.full_like(log_w[0], torch.inf)
    std_error = torch.where(value.isfinite(), spread / math.sqrt(len(log_w)), torch.inf)
    return BoundEstimate(
        value,
        std_error,
        Direction("upper", "upper", "upper"),
        len(log_w),
    )


def jackknife_bound(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    order: int = 1,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> BoundEstimate:
    r"""The importance-weighted bound with the leading terms of its bias taken away, estimated with draws from q.

    .. math::
        \hat{\mathcal{J}}_{K, m} = \sum_{j=0}^m (-1)^j \frac{(K - j)^m}{j!\,(m - j)!}\, \overline{\mathcal{L}}_{K - j}

    where :math:`\overline{\mathcal{L}}_{K - j}` is the average of :math:`\log \frac{1}{K - j} \sum_k w_k` over all ways
    to leave j of the K draws out. If the bias of :math:`\mathcal{L}_K` has an expansion in powers of 1/K, it falls from
    :math:`O(K^{-1})` to :math:`O(K^{-m-1})`. **The result is no bound**: its mean may lie on either side of
    :math:`\log p(x)`, and its variance grows with m.

    Proved in the book: prop-jackknife.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of draws for each x, above ``order``. Time grows as ``comb(K, order)``.
        order: m, how many terms are taken away; 0 is :func:`iwae_bound`.
        chunk_size: As :func:`renyi_bound`; the K log-weights of each x are kept.
        seed: As :func:`renyi_bound`.

    Returns:
        A :class:`BoundEstimate` with the batch shape of x. Its ``std_error`` is that of the log-mean weight, which is
        right to leading order. ``-inf`` where every weight is zero, ``nan`` where leaving draws out leaves zeros alone.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`; also if ``order`` is negative or not below K, or there
            are more than five million ways to leave so many draws out.

    References:
        Nowozin (2018), *Debiasing evidence approximations: on importance-weighted autoencoders and jackknife
        variational inference*.
    """
    check_sample_count("order", order, least=0)
    check_sample_count("num_samples", num_samples)
    if order >= num_samples:
        raise ValueError(
            f"order is {order} and num_samples is {num_samples}: expected an order below the number of draws; lower it."
        )
    if math.comb(num_samples, order) > MOST_SUBSETS:
        raise ValueError(
            f"order is {order} and num_samples is {num_samples}, {math.comb(num_samples, order):,} ways to leave draws "
            f"out: expected at most {MOST_SUBSETS:,}; lower the order, or average over groups of fewer draws."
        )
    log_w = _all_log_weights(model, q, x, num_samples, name="jackknife_bound", chunk_size=chunk_size, seed=seed)
    summary = WeightSummary.from_log_weights(log_w.detach())
    side: Side = "lower" if order == 0 else "unknown"
    return BoundEstimate(jackknife(log_w, order), summary.std_error, Direction(side, side, side), num_samples, summary)


def _all_log_weights(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    name: str,
    chunk_size: int | None,
    seed: int | None,
) -> Float[Tensor, K * batch]:
    """The K log-weights: with their gradients, or from a stream where a seed or a chunk size is given."""
    if seed is None and chunk_size is None:
        return bind(model, q, x).log_weights(num_samples)
    problem = bind_without_gradient(model, q, x)
    blocks = map_blocks(problem, num_samples, lambda _, log_w: log_w, name=name, seed=seed, chunk_size=chunk_size)
    return torch.cat(list(blocks))


def _no_closed_form(form: str, q: Distribution, needed: str) -> ValueError:
    return ValueError(f"form is {form!r} and q is {describe(q)}: expected a q with {needed}; use form='joint'.")
