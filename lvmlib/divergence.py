r"""Divergences between distributions, and the decomposition of the evidence that they make."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, overload

import torch
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._broadcast import broadcast_shapes
from lvmlib._checks import check_sample_count, describe
from lvmlib._divergence_formulas import (
    before_shared_transforms,
    closed_form_entropy,
    closed_form_kl,
    closed_form_log_square,
)
from lvmlib._draws import check_draws, device_of_draws, draw_seeded, draw_weighed, rounded_together
from lvmlib._random import stream_key
from lvmlib._streams import chunk_length
from lvmlib._types import Float
from lvmlib.density import log_density, sum_last, support_of
from lvmlib.exact import ExactModel
from lvmlib.guide import Guide
from lvmlib.model import evaluating
from lvmlib.problem import bind
from lvmlib.weights import WeightSummary

__all__ = ["Decomposition", "DivergenceEstimate", "check_pair", "chi_square", "kl", "kl_decomposition"]


@dataclass(frozen=True)
class DivergenceEstimate:
    """A Monte Carlo estimate of a divergence.

    Args:
        value: The estimate, shape ``(*batch)``.
        std_error: Its standard error, shape ``(*batch)``.
        num_samples: The number of draws behind it.
    """

    value: Tensor
    std_error: Tensor
    num_samples: int


class Decomposition(NamedTuple):
    r"""The three terms of :math:`\log p(x) = \mathcal{L}(q) + \KL(q(z) \Vert p(z \mid x))`, in nats."""

    log_evidence: Tensor
    elbo: Tensor
    kl: Tensor


@overload
def kl(q: Distribution, p: Distribution) -> Tensor: ...
@overload
def kl(q: Distribution, p: Distribution, *, num_samples: int, seed: int | None = None) -> DivergenceEstimate: ...
def kl(
    q: Distribution, p: Distribution, *, num_samples: int | None = None, seed: int | None = None
) -> Tensor | DivergenceEstimate:
    r"""Kullback-Leibler divergence from q to p, in nats.

    .. math:: \KL(q \Vert p) = \E_{q(z)}[\log q(z) - \log p(z)]

    Formulas in closed form exist for these pairs of torch distributions, each also inside ``Independent``, on
    either side and however deep:

    .. list-table::
        :header-rows: 1
        :widths: 55 45

        * - q
          - p
        * - any Gaussian: ``Normal``, independent ones, ``MultivariateNormal``, ``LowRankMultivariateNormal``
          - any Gaussian over the same z
        * - ``Bernoulli``, ``Beta``, ``Binomial``, ``Categorical``, ``Cauchy``, ``ContinuousBernoulli``, ``Dirichlet``,
            ``Exponential``, ``Gamma``, ``Geometric``, ``Gumbel``, ``HalfNormal``, ``Laplace``, ``LogNormal``,
            ``OneHotCategorical``, ``Pareto``, ``Poisson``, ``Uniform``, ``Wishart``
          - the same family
        * - ``Normal``
          - ``Gumbel``, ``Laplace``
        * - ``Gumbel``, ``Laplace``
          - ``Normal``
        * - ``Exponential``
          - ``Gamma``, ``Gumbel``, ``Normal``
        * - ``Gamma``
          - ``Exponential``, ``Gumbel``, ``Normal``
        * - ``Pareto``
          - ``Exponential``, ``Gamma``, ``Normal``
        * - ``Beta``
          - ``ContinuousBernoulli``, ``Exponential``, ``Gamma``, ``Normal``, ``Uniform`` (0, 1)
        * - ``ContinuousBernoulli``
          - ``Exponential``, ``Normal``, ``Uniform`` (0, 1)
        * - ``Uniform``
          - ``Beta``, ``ContinuousBernoulli``, ``Exponential``, ``Gamma``, ``Gumbel``, ``Normal``, ``Pareto``
        * - ``Bernoulli``
          - ``Poisson``

    Where q reaches beyond the support of p the formula is ``inf``. For every other pair, ask for an estimate.

    Proved in the book: thm-gibbs, prop-gaussian-kl.

    Args:
        q: The distribution that the expectation is under.
        p: The other, over the same z; batch shapes broadcast.
        num_samples: ``None`` for the closed formula; a number for the average of so many draws from q.
        seed: For the draws; forks the generator and leaves the global random state alone.

    Returns:
        The exact value, shape ``(*batch)``; with ``num_samples``, a :class:`DivergenceEstimate` with a standard
        error. It is ``inf`` where q has mass and p has none.

    Raises:
        TypeError: If q or p is no Distribution.
        ValueError: If event shapes differ, or no closed formula is known and ``num_samples`` is not given.

    References:
        Kullback and Leibler (1951), *On information and sufficiency*.
    """
    check_pair(q, p)
    if num_samples is not None:
        summary = WeightSummary()
        for log_ratio in _log_ratios(p, q, num_samples, "kl", seed):
            summary.update(log_ratio)
        return DivergenceEstimate(0.0 - summary.elbo, summary.elbo_std_error, num_samples)
    value = closed_form_kl(q, p)
    if value is None:
        raise ValueError(
            f"q is {describe(q)} and p is {describe(p)}: expected a pair with a closed formula; "
            f"pass num_samples=10_000 for a Monte Carlo estimate with its standard error."
        )
    return value


@overload
def chi_square(p: Distribution, q: Distribution) -> Tensor: ...
@overload
def chi_square(
    p: Distribution, q: Distribution, *, num_samples: int, seed: int | None = None
) -> DivergenceEstimate: ...
def chi_square(
    p: Distribution, q: Distribution, *, num_samples: int | None = None, seed: int | None = None
) -> Tensor | DivergenceEstimate:
    r"""Chi-square divergence of p from q: the relative variance of the weight p/q under q.

    .. math:: \chi^2(p \Vert q) = \E_{q(z)}\!\left[\left(\frac{p(z)}{q(z)}\right)^{2}\right] - 1

    With p the posterior and q a proposal, :math:`\chi^2 / K` is the squared relative standard error of an
    importance-sampling estimate with K draws. It is ``inf`` where p has mass and q has none, and for Gaussians
    also where q is too narrow: :math:`2 \Sigma_p^{-1} - \Sigma_q^{-1}` must be positive definite.

    Closed formulas exist for two Gaussians of any kind, two members of one of ``Bernoulli``, ``Categorical``,
    ``OneHotCategorical``, ``Beta`` and ``Dirichlet``, and for ``Gamma`` and ``Exponential``; each also inside
    ``Independent``, where one plus chi-square multiplies over the coordinates.

    Proved in the book: thm-relative-variance, thm-proposal-cost.

    Args:
        p: The target.
        q: The proposal, over the same z; batch shapes broadcast.
        num_samples: ``None`` for the closed formula; a number for the sample variance of so many weights. That
            has a standard error only if the fourth moment of p/q exists.
        seed: For the draws; forks the generator and leaves the global random state alone.

    Returns:
        The exact value, shape ``(*batch)``; with ``num_samples``, a :class:`DivergenceEstimate`.

    Raises:
        TypeError: If p or q is no Distribution.
        ValueError: If event shapes differ, or no closed formula is known and ``num_samples`` is not given.

    References:
        Owen (2013), section 9.1; Chatterjee and Diaconis (2018), Annals of Applied Probability 28(2).
    """
    check_pair(q, p)
    if num_samples is not None:
        squares, missed = WeightSummary(), _is_missed(p, q)
        for log_ratio in _log_ratios(p, q, num_samples, "chi_square", seed):
            squares.update(2 * log_ratio)
        mean = squares.log_evidence.exp()
        value, std_error = (torch.where(missed, torch.inf, part) for part in (mean - 1, mean * squares.std_error))
        return DivergenceEstimate(value, std_error, num_samples)
    log_square = closed_form_log_square(p, q)
    if log_square is None:
        raise ValueError(
            f"p is {describe(p)} and q is {describe(q)}: expected a pair with a closed formula; "
            f"pass num_samples=10_000 for a Monte Carlo estimate with its standard error."
        )
    return log_square.expm1()


def kl_decomposition(model: ExactModel, q: Guide, x: Tensor) -> Decomposition:
    r"""The evidence as the ELBO plus the gap, all three without sampling.

    .. math:: \log p(x) = \underbrace{\E_{q(z)}[\log p(x, z)] + \mathrm{H}[q]}_{\text{ELBO}}
        + \KL(q(z) \Vert p(z \mid x))

    The three terms are computed apart, the ELBO from the expected log-joint and the entropy of q, the KL from q
    and the posterior, so that their sum is a check and no definition.

    Proved in the book: thm-kl-chain, cor-decomposition.

    Args:
        model: An exact model.
        q: A Distribution, or a callable from x to one, of a family in which the model has closed formulas:
            Categorical for finite models and mixtures, Gaussian for linear-Gaussian models, Beta for
            Beta-Bernoulli; any with a closed entropy on a grid.
        x: Observations, shape ``(*batch, *x_event)``.

    Returns:
        ``(log_evidence, elbo, kl)``, each in nats and of shape ``(*batch)``.

    Raises:
        TypeError: If the model is not exact, or q is not of such a family.

    References:
        Bishop (2006), section 9.4; Jordan et al. (1999).
    """
    if not isinstance(model, ExactModel):
        raise TypeError(
            f"model is of type {type(model).__name__}: expected an ExactModel, whose evidence and posterior are "
            f"known; estimate the terms with importance_sampling and elbo."
        )
    with evaluating(model, q):
        distribution = bind(model, q, x).q
    entropy = closed_form_entropy(distribution)
    if entropy is None:
        raise TypeError(
            f"q is {describe(distribution)}, whose entropy has no closed formula: expected a q that has one; estimate "
            f"the ELBO with elbo(model, q, x, num_samples)."
        )
    bound = model.expected_log_joint(distribution, x) + entropy
    return Decomposition(model.log_evidence(x), bound, model.kl_to_posterior(distribution, x))


def check_pair(q: Distribution, p: Distribution) -> None:
    """Both are distributions over the same z."""
    for name, value in (("q", q), ("p", p)):
        if not isinstance(value, Distribution):
            raise TypeError(f"{name} is {describe(value)}: expected a torch Distribution; call the guide with x first.")
    if support_of(q).is_discrete != support_of(p).is_discrete:
        raise TypeError(
            f"q is {describe(q)} and p is {describe(p)}: expected both discrete or both continuous, as a probability "
            f"and a density cannot be compared; choose two distributions over the same z."
        )
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q has event shape {tuple(q.event_shape)} and p has {tuple(p.event_shape)}: expected one z; wrap the "
            f"factorised one in torch.distributions.Independent."
        )


def _is_missed(p: Distribution, q: Distribution, num_probes: int = 1000) -> Tensor:
    """Whether some draw of p has density zero under q, so that the chi-square divergence is infinite."""
    q, p, _ = before_shared_transforms(q, p)
    with torch.no_grad():
        z = draw_seeded(p, num_probes, ("chi_square, support",))
        z = z.reshape(num_probes, *(1,) * (len(q.batch_shape) - len(p.batch_shape)), *z.shape[1:])
        missed = (log_density(q, z) == -torch.inf) & (log_density(p, z) > -torch.inf)
    return missed.any(0)


def _log_ratios(
    p: Distribution, q: Distribution, num_samples: int, name: str, seed: int | None
) -> Iterator[Float[Tensor, K * batch]]:
    """The log of p/q at draws from q, a block at a time: ``-inf`` where p = 0."""
    check_sample_count("num_samples", num_samples)
    q, p, transformed = before_shared_transforms(q, p)
    batch = broadcast_shapes(p.batch_shape, q.batch_shape)
    if q.batch_shape != batch:
        q = q.expand(batch)
    if rounded_together(q).any():
        raise ValueError(
            f"q is {describe(q)}, and its draws come out as the same number again and again: expected draws of a "
            f"continuous z that its dtype can tell apart; work in float64, or with an unconstrained z, such as the "
            f"logits of a relaxed variable."
        )
    device, key = device_of_draws(q), stream_key(name, seed)
    length = chunk_length(batch.numel() * max(1, math.prod(q.event_shape)), device)
    with torch.no_grad():
        for index, start in enumerate(range(0, num_samples, length)):
            z, log_q = draw_weighed(q, min(length, num_samples - start), seed=(key, index))
            check_draws(q, z)
            yield sum_last(log_density(p, z, name="p") - log_q, transformed)
