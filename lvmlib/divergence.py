r"""Divergences between distributions, and the decomposition of the evidence that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, overload

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from lvmlib._checks import check_sample_count, into_support, kind
from lvmlib._closed_forms import as_multivariate_normal, closed_form_kl
from lvmlib._random import forked_rng
from lvmlib._types import Float
from lvmlib.exact import ExactModel
from lvmlib.guide import Guide, proposal
from lvmlib.weights import WeightSummary, draw

__all__ = ["Decomposition", "DivergenceEstimate", "chi_square", "kl", "kl_decomposition"]


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
    _check_pair(q, p)
    if num_samples is not None:
        log_ratio = -_log_ratio(p, q, num_samples, seed)
        mean = log_ratio.mean(0)
        spread = log_ratio.std(0) if num_samples > 1 else torch.full_like(mean, torch.inf)
        return DivergenceEstimate(mean, spread / math.sqrt(num_samples), num_samples)
    value = closed_form_kl(q, p)
    if value is None:
        raise ValueError(
            f"q is {kind(q)} and p is {kind(p)}: expected a pair with a closed formula; "
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

    Args:
        p: The target.
        q: The proposal, over the same z; batch shapes broadcast.
        num_samples: ``None`` for the closed formula (two Gaussians, two Categoricals); a number for the sample
            variance of so many weights. That has a standard error only if the fourth moment of p/q exists.
        seed: For the draws; forks the generator and leaves the global random state alone.

    Returns:
        The exact value, shape ``(*batch)``; with ``num_samples``, a :class:`DivergenceEstimate`.

    Raises:
        TypeError: If p or q is no Distribution.
        ValueError: If event shapes differ, or no closed formula is known and ``num_samples`` is not given.

    References:
        Owen (2013), section 9.1; Chatterjee and Diaconis (2018), Annals of Applied Probability 28(2).
    """
    _check_pair(q, p)
    if num_samples is not None:
        squares = WeightSummary.from_log_weights(2 * _log_ratio(p, q, num_samples, seed))
        mean = squares.log_evidence.exp()
        return DivergenceEstimate(mean - 1, mean * squares.std_error, num_samples)
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        ratio = torch.where(p.probs > 0, 2 * p.logits - q.logits, -torch.inf)
        return ratio.logsumexp(-1).expm1()
    gaussian_p, gaussian_q = as_multivariate_normal(p), as_multivariate_normal(q)
    if gaussian_p is None or gaussian_q is None:
        raise ValueError(
            f"p is {kind(p)} and q is {kind(q)}: expected two Gaussians or two Categoricals; "
            f"pass num_samples=10_000 for a Monte Carlo estimate with its standard error."
        )
    precision_p, precision_q = gaussian_p.precision_matrix, gaussian_q.precision_matrix
    # p^2/q is an unnormalised Gaussian around the mean of p, of precision 2 P - Q, tilted by the difference of means.
    factor, info = torch.linalg.cholesky_ex(2 * precision_p - precision_q)
    tilt = (precision_q @ (gaussian_p.mean - gaussian_q.mean)[..., None])[..., 0]
    half = torch.linalg.solve_triangular(factor, tilt[..., None], upper=False)[..., 0]
    log_square = (
        0.5 * half.square().sum(-1)
        + 0.5 * ((gaussian_p.mean - gaussian_q.mean) * tilt).sum(-1)
        + torch.logdet(precision_p)
        - 0.5 * torch.logdet(precision_q)
        - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    )
    return torch.where(info == 0, log_square.expm1(), torch.inf)


def kl_decomposition(model: ExactModel, q: Guide, x: Tensor) -> Decomposition:
    r"""The evidence as the ELBO plus the gap, all three without sampling.

    .. math:: \log p(x) = \underbrace{\E_{q(z)}[\log p(x, z)] + \mathrm{H}[q]}_{\text{ELBO}}
        + \KL(q(z) \Vert p(z \mid x))

    The three terms are computed apart, the ELBO from the expected log-joint and the entropy of q, the KL from q
    and the posterior, so that their sum is a check and no definition.

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
    distribution = proposal(model, q, x)
    bound = model.expected_log_joint(distribution, x) + distribution.entropy()
    return Decomposition(model.log_evidence(x), bound, model.kl_to_posterior(distribution, x))


def _check_pair(q: Distribution, p: Distribution) -> None:
    for name, value in (("q", q), ("p", p)):
        if not isinstance(value, Distribution):
            raise TypeError(f"{name} is {kind(value)}: expected a torch Distribution; call the guide with x first.")
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q has event shape {tuple(q.event_shape)} and p has {tuple(p.event_shape)}: expected one z; wrap the "
            f"factorised one in torch.distributions.Independent."
        )


def _log_ratio(p: Distribution, q: Distribution, num_samples: int, seed: int | None) -> Float[Tensor, K * batch]:
    """The log of p/q at draws from q, which is where p = 0 gives ``-inf``."""
    check_sample_count("num_samples", num_samples)
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    if q.batch_shape != batch:
        q = q.expand(batch)
    with torch.no_grad(), forked_rng(seed, q.mean.device):
        z = draw(q, num_samples)
        harmless, inside = into_support(p, z)
        return torch.where(inside, p.log_prob(harmless), -torch.inf) - q.log_prob(z)
