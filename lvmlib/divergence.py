r"""Divergences between distributions, and the decomposition of the evidence that they make."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, overload

import torch
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._checks import check_sample_count, describe
from lvmlib._distribution_parts import tensors_in
from lvmlib._divergence_formulas import before_shared_transforms, closed_form_kl, closed_form_log_square
from lvmlib._draws import check_draws, draw, draw_weighed
from lvmlib._random import stream, stream_key
from lvmlib._streams import chunk_length
from lvmlib._types import Float
from lvmlib.density import log_density, sum_last
from lvmlib.exact import ExactModel
from lvmlib.guide import Guide
from lvmlib.problem import bind
from lvmlib.weights import WeightSummary

__all__ = [
    "AggregatePosteriorSplit",
    "Decomposition",
    "DivergenceEstimate",
    "aggregate_posterior_split",
    "chi_square",
    "kl",
    "kl_decomposition",
]


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


class AggregatePosteriorSplit(NamedTuple):
    """The average KL to the prior and its two parts, in nats: tensors where summed exactly, else estimates."""

    kl_term: Tensor | DivergenceEstimate
    mutual_information: Tensor | DivergenceEstimate
    marginal_kl: Tensor | DivergenceEstimate


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
        summary = WeightSummary()
        for log_ratio in _log_ratios(p, q, num_samples, "kl", seed):
            summary.update(log_ratio)
        return DivergenceEstimate(-summary.elbo, summary.elbo_std_error, num_samples)
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
    _check_pair(q, p)
    if num_samples is not None:
        squares = WeightSummary()
        for log_ratio in _log_ratios(p, q, num_samples, "chi_square", seed):
            squares.update(2 * log_ratio)
        mean = squares.log_evidence.exp()
        return DivergenceEstimate(mean - 1, mean * squares.std_error, num_samples)
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
    distribution = bind(model, q, x).q
    bound = model.expected_log_joint(distribution, x) + distribution.entropy()
    return Decomposition(model.log_evidence(x), bound, model.kl_to_posterior(distribution, x))


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
    with torch.no_grad(), stream("aggregate_posterior_split", seed, _device_of(guides)):
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
    guides = q if isinstance(q, Distribution) or not callable(q) else q(x)
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
    _check_pair(guides, prior)
    return guides


def _split_of_tables(guides: Distribution, prior: Distribution) -> AggregatePosteriorSplit:
    if not guides.has_enumerate_support:
        raise ValueError(
            f"q is {describe(guides)}, whose z has no finite list of values: expected a number of draws; pass "
            f"num_samples=100 for an estimate with its standard error."
        )
    z = guides.enumerate_support(expand=False)
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
    size = guides.batch_shape.numel() * max(1, guides.event_shape.numel())
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


def _check_pair(q: Distribution, p: Distribution) -> None:
    for name, value in (("q", q), ("p", p)):
        if not isinstance(value, Distribution):
            raise TypeError(f"{name} is {describe(value)}: expected a torch Distribution; call the guide with x first.")
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q has event shape {tuple(q.event_shape)} and p has {tuple(p.event_shape)}: expected one z; wrap the "
            f"factorised one in torch.distributions.Independent."
        )


def _log_ratios(
    p: Distribution, q: Distribution, num_samples: int, name: str, seed: int | None
) -> Iterator[Float[Tensor, K * batch]]:
    """The log of p/q at draws from q, a block at a time: ``-inf`` where p = 0."""
    check_sample_count("num_samples", num_samples)
    q, p, transformed = before_shared_transforms(q, p)
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    if q.batch_shape != batch:
        q = q.expand(batch)
    device, key = _device_of(q), stream_key(name, seed)
    length = chunk_length(batch.numel() * max(1, q.event_shape.numel()), device)
    with torch.no_grad():
        for index, start in enumerate(range(0, num_samples, length)):
            z, log_q = draw_weighed(q, min(length, num_samples - start), seed=(key, index))
            check_draws(q, z)
            yield sum_last(log_density(p, z) - log_q, transformed)


def _device_of(distribution: Distribution) -> torch.device:
    """Where draws are made, found without drawing so that no random state moves."""
    return next((tensor.device for tensor in tensors_in(distribution)), torch.get_default_device())
