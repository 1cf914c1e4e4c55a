r"""Monte Carlo estimates of the evidence, from one stream of weights, and how to compare two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lvmlib._checks import check_sample_count, describe
from lvmlib._described import Weighed, described
from lvmlib._draws import draw_seeded
from lvmlib._types import Float
from lvmlib._weight_summary import WeightSummary
from lvmlib.density import log_density
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind_to_prior
from lvmlib.weights import bind_without_gradient, misses_mass, summarize_blocks

__all__ = [
    "Comparison",
    "EvidenceEstimate",
    "check_covers",
    "compare",
    "importance_sampling",
    "lower_confidence_bound",
    "prior_monte_carlo",
]


@dataclass(frozen=True, repr=False)
class EvidenceEstimate(Weighed):
    r"""An estimate of :math:`\log p(x)` with what is known of its error.

    Args:
        summary: The weights behind the estimate.
        direction: On which side of :math:`\log p(x)` the estimate lies in expectation: ``"lower"``, ``"upper"``
            or ``"exact"``.
    """

    summary: WeightSummary
    direction: Literal["lower", "upper", "exact"]

    @property
    def log_evidence(self) -> Float[Tensor, "*batch"]:
        r"""The estimate of :math:`\log p(x)`, in nats."""
        return self.summary.log_evidence

    @property
    def std_error(self) -> Float[Tensor, "*batch"]:
        """Standard error of :attr:`log_evidence`, in nats; see :attr:`WeightSummary.std_error`."""
        return self.summary.std_error

    @property
    def smoothed_log_evidence(self) -> Float[Tensor, "*batch"]:
        """The estimate by Pareto smoothed weights, in nats; see :attr:`WeightSummary.smoothed_log_evidence`."""
        return self.summary.smoothed_log_evidence

    def __repr__(self) -> str:
        return f"EvidenceEstimate({described(self.summary)}, direction={self.direction!r})"


def prior_monte_carlo(
    model: LatentVariableModel,
    x: Tensor,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> EvidenceEstimate:
    r"""The evidence as the average likelihood of draws from the prior.

    .. math:: p(x) = \E_{p(z)}[p(x \mid z)] \approx \frac1K \sum_{k=1}^K p(x \mid z_k), \qquad z_k \sim p(z)

    This is importance sampling with the prior as proposal. The average is unbiased for :math:`p(x)`; its
    logarithm is too low on average. If :math:`\chi^2(p(z \mid x) \Vert p(z))` and the mean of :math:`\log p(x \mid z)`
    under the prior are finite, it is too low by about :math:`\chi^2(p(z \mid x) \Vert p(z)) / 2K` nats for large K.

    Proved in the book: thm-prior-monte-carlo, thm-relative-variance, thm-curse, prop-log-is-low.

    Args:
        model: The joint density.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: The number K of draws.
        chunk_size: Draws weighed at once; less memory when small, the same answer.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        An estimate with the batch shape of x, ``direction="lower"``.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`.

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, chapter 2.
    """
    with torch.no_grad():
        problem = bind_to_prior(model, x)
    summary = summarize_blocks(problem, num_samples, name="prior_monte_carlo", seed=seed, chunk_size=chunk_size)
    return EvidenceEstimate(summary, "lower")


def importance_sampling(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> EvidenceEstimate:
    r"""The evidence as the average importance weight of draws from a proposal q.

    .. math::
        p(x) = \E_{q(z)}\!\left[\frac{p(x, z)}{q(z)}\right] \approx \frac1K \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k)},
        \qquad z_k \sim q(z)

    It needs :math:`q(z) > 0` wherever :math:`p(x, z) > 0`. A proposal that is zero at one of some draws from
    the prior (at one of all values, when z is finite) where the joint is not, is refused.

    Proved in the book: thm-importance-sampling, prop-missing-support, thm-proposal-cost, prop-light-tails.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: The number K of draws.
        chunk_size: Draws weighed at once; less memory when small, the same answer.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        An estimate with the batch shape of x, ``direction="lower"``.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`.
        ValueError: Likewise; and if q misses part of the support, with a z that shows it.

    References:
        Owen (2013), *Monte Carlo theory, methods and examples*, chapter 9.
    """
    problem = bind_without_gradient(model, q, x)
    check_covers(problem)
    summary = summarize_blocks(problem, num_samples, name="importance_sampling", seed=seed, chunk_size=chunk_size)
    return EvidenceEstimate(summary._distrust(misses_mass(problem, summary)), "lower")


def lower_confidence_bound(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    confidence: float = 0.95,
    num_groups: int = 1,
    chunk_size: int | None = None,
    seed: int | None = None,
) -> Float[Tensor, "*batch"]:
    r"""A number that :math:`\log p(x)` is above with a stated probability, whatever q is: Markov's certificate.

    .. math::
        P\!\left(\log p(x) \ge \min_{g \le G} \log \hat p_g(x) - \frac1G \log \frac{1}{\delta}\right) \ge 1 - \delta,
        \qquad \hat p_g(x) = \frac1K \sum_{k=1}^K w(z_{gk})

    Neither a finite variance nor support is needed: a q that misses a part of the posterior lowers the bound, and
    cannot break it. But q, K and G must be fixed before the weights are seen.

    Proved in the book: thm-certificate.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: K, the number of draws of each group.
        confidence: :math:`1 - \delta`, at least 0 and below 1.
        num_groups: G, the number of independent groups: more of them shrink what is subtracted, and lower the minimum.
        chunk_size: Draws weighed at once; less memory when small, the same answer.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.

    Returns:
        One bound for each x, in nats, shape ``(*batch)``; ``-inf`` where all weights of a group are zero.

    Raises:
        TypeError, ValueError: As :func:`~lvmlib.log_weights`; also if ``confidence`` is outside [0, 1) or
            ``num_groups`` is below 1.

    Example:
        >>> from torch.distributions import Normal
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> x = torch.zeros(1000)
        >>> bound = lower_confidence_bound(model, Normal(3.0, 0.2), x, 100, confidence=0.9, seed=0)
        >>> log_evidence = Normal(0.0, 2**0.5).log_prob(x)
        >>> bool((bound <= log_evidence).float().mean() >= 0.9)
        True

    References:
        Grosse, Ghahramani and Adams (2015), *Sandwiching the marginal likelihood*, section 2.1; Gogate, Bidyuk and
        Dechter (2007), *Studies in lower bounding probabilities of evidence using the Markov
        inequality*, for the minimum.
    """
    check_sample_count("num_groups", num_groups)
    if isinstance(confidence, bool) or not isinstance(confidence, float | int):
        raise TypeError(f"confidence is {describe(confidence)}: expected a float; pass 0.95, for example.")
    if not 0 <= confidence < 1:
        raise ValueError(
            f"confidence is {confidence}: expected a probability from 0 to below 1; nothing that is drawn holds with "
            f"certainty, so pass 0.99, for example."
        )
    problem = bind_without_gradient(model, q, x)
    lowest = torch.stack(
        [
            summarize_blocks(
                problem, num_samples, name=f"lower_confidence_bound {group}", seed=seed, chunk_size=chunk_size
            ).log_evidence
            for group in range(num_groups)
        ]
    ).amin(0)
    return lowest + math.log1p(-confidence) / num_groups


@dataclass(frozen=True)
class Comparison:
    """How much better one model explains a batch of observations than another, in nats for an observation.

    Args:
        difference: The mean over the batch of the difference of the log-evidences, shape ``()``.
        std_error: Its standard error, from the spread of the differences over the batch, which holds the noise of both
            estimates too; ``inf`` for a single observation.
        noise: The part of ``std_error`` that more draws would remove.
        differences: The difference for each x, shape ``(*batch)``.
    """

    difference: Tensor
    std_error: Tensor
    noise: Tensor
    differences: Tensor

    def __repr__(self) -> str:
        return (
            f"Comparison(difference={self.difference.item():.4f}, std_error={self.std_error.item():.2g}, "
            f"noise={self.noise.item():.2g}, observations={self.differences.numel()})"
        )


def compare(a: EvidenceEstimate, b: EvidenceEstimate) -> Comparison:
    r"""The paired difference of two estimates of the evidence of the same observations, a less b.

    .. math::
        \bar d = \frac1N \sum_{n=1}^N d_n, \qquad d_n = \log \hat p_a(x_n) - \log \hat p_b(x_n), \qquad
        \mathrm{se} = \sqrt{\frac{1}{N (N - 1)} \sum_n (d_n - \bar d)^2}

    Observations that are hard for one model are hard for the other, so the difference is known far better than either
    mean. Both estimates are lower bounds on average: one with the worse q, or with fewer draws, is at a disadvantage.

    Args:
        a: An estimate for a batch of observations.
        b: An estimate for the same observations, in the same order.

    Returns:
        A :class:`Comparison`; its ``difference`` is above zero where a explains them better.

    Raises:
        TypeError: If an argument is no EvidenceEstimate.
        ValueError: If their batch shapes or directions differ, or an estimate is not finite.

    Example:
        >>> from lvmlib import LinearGaussian
        >>> model = LinearGaussian(torch.ones(3, 1), torch.zeros(3), 0.5)
        >>> x, _ = model.sample(100, seed=0)
        >>> other = LinearGaussian(torch.ones(3, 1), torch.zeros(3), 5.0)
        >>> one, two = (importance_sampling(m, m.posterior, x, 100, seed=0) for m in (model, other))
        >>> comparison = compare(one, two)
        >>> bool(comparison.difference > 5 * comparison.std_error)
        True

    References:
        Vehtari, Gelman and Gabry (2017), *Practical Bayesian model evaluation*, section 5, for paired differences.
    """
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, EvidenceEstimate):
            raise TypeError(
                f"{name} is {describe(value)}: expected an EvidenceEstimate; make one, for instance with "
                f"importance_sampling."
            )
        if not value.log_evidence.isfinite().all():
            first = tuple((~value.log_evidence.isfinite()).nonzero()[0].tolist())
            raise ValueError(
                f"{name} has log_evidence {value.log_evidence[first].item()} at index {first}: expected finite "
                f"estimates; leave that observation out of both, and say so."
            )
    if a.log_evidence.shape != b.log_evidence.shape:
        raise ValueError(
            f"a has batch shape {tuple(a.log_evidence.shape)} and b has {tuple(b.log_evidence.shape)}: expected "
            f"estimates for the same observations; make both with the same x."
        )
    if a.direction != b.direction:
        raise ValueError(
            f"a has direction {a.direction!r} and b has {b.direction!r}: expected the same; compare two lower bounds, "
            f"or two upper ones."
        )
    differences = (a.log_evidence - b.log_evidence).flatten().double()
    count = differences.numel()
    if not count:
        raise ValueError(
            f"a has batch shape {tuple(a.log_evidence.shape)}: expected at least one observation; add some."
        )
    noise = (a.std_error.double().square() + b.std_error.double().square()).sum().sqrt() / count
    spread = differences.std() / math.sqrt(count) if count > 1 else differences.new_tensor(torch.inf)
    mean, std_error, noise = (value.to(a.log_evidence.dtype) for value in (differences.mean(), spread, noise))
    return Comparison(mean, std_error, noise, a.log_evidence - b.log_evidence)


def check_covers(problem: Problem, num_probes: int = 64) -> None:
    """Refuse a q for which some z has joint density above zero and q-density zero: a proof, not a guess."""
    if problem.q_is_prior:
        return
    model, x, q = problem.model, problem.x, problem.q
    prior, batch = model.prior, q.batch_shape
    with torch.no_grad(), problem.mode():
        seed = ("check_covers",)
        z = prior.enumerate_support() if prior.has_enumerate_support else draw_seeded(prior, num_probes, seed)
        z = z.reshape(len(z), *(1,) * len(batch), *prior.event_shape).expand(len(z), *batch, *prior.event_shape)
        missed = log_density(q, z, name="q") == -torch.inf
        if missed.any():
            missed &= model._log_joint(x, z) > -torch.inf
        if missed.any():
            first = tuple(missed.nonzero()[0].tolist())
            raise ValueError(
                f"q is {type(q).__name__} with density zero at z = {_shortened(z[first])}, where "
                f"log p(x, z) = {model._log_joint(x, z)[first].item():.4g} for the x at index {first[1:]}: expected "
                f"q(z) > 0 wherever p(x, z) > 0, or the estimate misses that mass; widen q, or mix it with the prior."
            )


def _shortened(z: Tensor) -> str:
    numbers = z.flatten()[:8].tolist()
    return str(z.tolist()) if z.numel() <= len(numbers) else f"[{', '.join(map(str, numbers))}, ...]"
