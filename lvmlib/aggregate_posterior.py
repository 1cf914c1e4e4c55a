r"""The aggregate posterior: the average of q over the data, and what its divergence from the prior is part of."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._checks import call_named, check_layout, check_no_nan, check_sample_count, describe
from lvmlib._divergence_formulas import closed_form_kl
from lvmlib._draws import device_of_draws, draw
from lvmlib._hierarchy import joined
from lvmlib._random import stream
from lvmlib._streams import chunk_length
from lvmlib._types import Float
from lvmlib.density import log_density
from lvmlib.divergence import DivergenceEstimate, check_pair
from lvmlib.guide import Guide
from lvmlib.model import evaluating

__all__ = ["AggregatePosteriorSplit", "aggregate_posterior_split"]


class AggregatePosteriorSplit(NamedTuple):
    """The average KL to the prior and its two parts, in nats: tensors where summed exactly, else estimates."""

    kl_term: Tensor | DivergenceEstimate
    mutual_information: Tensor | DivergenceEstimate
    marginal_kl: Tensor | DivergenceEstimate


def aggregate_posterior_split(
    q: Guide,
    prior: Distribution,
    x: Tensor,
    num_samples: int | None = None,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> AggregatePosteriorSplit:
    r"""The KL term of an average ELBO as an information plus the divergence of the aggregate posterior.

    .. math::
        \frac1N \sum_{n=1}^N \KL(q(z \mid x_n) \Vert p(z)) = \mathrm{I}_q(n; z) + \KL(\bar q(z) \Vert p(z)),
        \qquad \bar q(z) = \frac1N \sum_{n=1}^N q(z \mid x_n)

    The information :math:`\mathrm{I}_q(n; z) = \frac1N \sum_n \KL(q(z \mid x_n) \Vert \bar q(z))` is what z tells of
    which observation it was drawn for, at most :math:`\log N`.

    For a finite z each term is a sum of its own. Otherwise :math:`\bar q` is a mixture of N guides, and each guide
    gives equally many draws (N strata). Then the KL term is exact where :func:`kl` has a formula, the information is
    an average over the draws, and the last term is their difference; without a formula, all are averages.

    Proved in the book: thm-aggregate.

    Args:
        q: A callable from x to a Distribution with batch shape ``(N,)``, or such a Distribution.
        prior: p(z), with batch shape ``()``.
        x: The N observations, shape ``(N, *x_event)``.
        num_samples: ``None`` for exact sums over a finite z; a number of draws from each guide for an estimate.
        chunk_size: Draws scored under all N guides at once; less memory when small, the same answer.
        seed: For the draws; forks the generator and leaves the global random state alone.

    Returns:
        ``(kl_term, mutual_information, marginal_kl)``, in nats and without batch shape. With ``num_samples``, each
        is a :class:`DivergenceEstimate` over ``N * num_samples`` draws, whose standard error is that of stratified
        sampling: zero for an exact KL term, ``inf`` for a single draw from each guide.

    Raises:
        TypeError: If q or the prior is no Distribution.
        ValueError: If a shape does not fit, or z is not finite and ``num_samples`` is not given.

    Example:
        >>> import torch
        >>> from torch.distributions import Categorical
        >>> guides = Categorical(torch.eye(4))  # four observations, told apart by z
        >>> split = aggregate_posterior_split(guides, Categorical(torch.ones(4)), torch.zeros(4))
        >>> split.mutual_information  # log 4
        tensor(1.3863)

    References:
        Hoffman and Johnson (2016), *ELBO surgery*; Cover and Thomas (2006), section 2.3.
    """
    guides = _one_guide_each(q, prior, x)
    if num_samples is None:
        return _split_of_tables(guides, prior)
    check_sample_count("num_samples", num_samples)
    if chunk_size is not None:
        check_sample_count("chunk_size", chunk_size)
    exact = closed_form_kl(guides, prior)
    with torch.no_grad(), stream("aggregate_posterior_split", seed, device_of_draws(guides)):
        z = draw(guides, num_samples)
        log_mixture = _log_mixture(guides, z, chunk_size)
        information = _stratified(log_density(guides, z) - log_mixture)
        if exact is None:
            log_prior = log_density(prior, z)
            whole = _stratified(log_density(guides, z) - log_prior)
            return AggregatePosteriorSplit(whole, information, _stratified(log_mixture - log_prior))
        mean = exact.detach().mean()
        rest = DivergenceEstimate(mean - information.value, information.std_error, information.num_samples)
        known = DivergenceEstimate(mean, torch.zeros_like(mean), information.num_samples)
        return AggregatePosteriorSplit(known, information, rest)


def _one_guide_each(q: Guide, prior: Distribution, x: Tensor) -> Distribution:
    """q for each of the N observations, as one Distribution with batch shape ``(N,)``."""
    if not isinstance(x, Tensor) or x.ndim == 0:
        raise ValueError(
            f"x is {describe(x)}: expected N observations, shape (N, *x_event); add a dimension with x[None]."
        )
    if not len(x):
        raise ValueError(f"x has shape {tuple(x.shape)}: expected at least one observation; give it some.")
    check_layout("x", x)
    if not getattr(q, "sees_gaps", False):
        check_no_nan("x", x)
    with evaluating(q):
        try:
            made = q if isinstance(q, Distribution) or not callable(q) else call_named("q", q, x)
            guides = joined(made, "q")
        except RuntimeError as error:
            raise ValueError(
                f"q fails for x, {describe(x)}: {error}; expected observations that q takes; check their shape and "
                f"dtype, or q."
            ) from error
    for name, value in (("q", guides), ("prior", prior)):
        if not isinstance(value, Distribution):
            raise TypeError(f"{name} is {describe(value)}: expected a torch Distribution; pass model.prior as prior.")
    if prior.batch_shape:
        raise ValueError(
            f"prior is {describe(prior)}: expected batch shape (), one density over the whole of z; wrap it in "
            f"torch.distributions.Independent(prior, {len(prior.batch_shape)})."
        )
    if not guides.batch_shape:
        guides = guides.expand(torch.Size((len(x),)))
    if guides.batch_shape != (len(x),):
        raise ValueError(
            f"q is {describe(guides)} for {len(x)} observations: "
            f"expected batch shape ({len(x)},), one density for each; "
            f"flatten x to one batch dimension."
        )
    check_pair(guides, prior)
    return guides


def _split_of_tables(guides: Distribution, prior: Distribution) -> AggregatePosteriorSplit:
    if not guides.has_enumerate_support:
        raise ValueError(
            f"q is {describe(guides)}, whose z has no finite list of values: expected a number of draws; pass "
            f"num_samples=100 for an estimate with its standard error."
        )
    try:
        z = guides.enumerate_support(expand=False)
    except NotImplementedError as error:
        raise ValueError(
            f"q is {describe(guides)}, whose values are not the same for each observation ({error}): expected guides "
            f"over one list of values; pass num_samples=100 for an estimate, or give all guides the longest list."
        ) from error
    log_q, log_prior = log_density(guides, z), log_density(prior, z)
    log_mixture = _log_mean(log_q)[:, None]

    def average(log_mass: Tensor, log_ratio: Tensor) -> Tensor:
        return (log_mass.exp() * torch.where(log_mass > -torch.inf, log_ratio, 0.0)).sum(0).mean()

    return AggregatePosteriorSplit(
        average(log_q, log_q - log_prior),
        average(log_q, log_q - log_mixture),
        average(log_mixture, log_mixture - log_prior),
    )


def _log_mixture(guides: Distribution, z: Tensor, chunk_size: int | None) -> Float[Tensor, "S N"]:
    """The log-density of the mixture of all guides at draws of shape ``(S, N, *event)``."""
    size = math.prod(guides.batch_shape) * max(1, math.prod(guides.event_shape))
    parts = z.flatten(0, 1)[:, None].split(chunk_size or chunk_length(size, z.device))
    return torch.cat([_log_mean(log_density(guides, part)) for part in parts]).reshape(z.shape[:2])


def _log_mean(log_q: Tensor) -> Tensor:
    return log_q.logsumexp(-1) - math.log(log_q.shape[-1])


def _stratified(values: Float[Tensor, "S N"]) -> DivergenceEstimate:
    """The mean of S draws from each of N strata, and its standard error, which the spread of the strata is not in."""
    num_draws, num_strata = values.shape
    mean = values.mean()
    if num_draws == 1:
        return DivergenceEstimate(mean, torch.full_like(mean, torch.inf), num_strata)
    std_error = (values.var(0).mean() / (num_draws * num_strata)).sqrt()
    return DivergenceEstimate(mean, std_error, num_draws * num_strata)
