r"""How good an estimator is where the truth is known: bias, root mean square error, coverage and cost."""

from __future__ import annotations

import inspect
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

import torch

from lvmlib._checks import check_sample_count, describe
from lvmlib._random import check_seed, derived_seed, forked
from lvmlib.zoo.cases import Case
from lvmlib.zoo.counting import counted_likelihoods
from lvmlib.zoo.estimators import Estimator

__all__ = ["EstimatorError", "Score", "Verdict", "score", "verdict"]

Estimate: TypeAlias = Callable[..., Any]

_PARAMETERS = ("model", "q", "x", "num_samples", "seed")
# Half the width of a 95 % interval in standard errors, and what rounding may add to it, in nats.
_REACH, _ROUNDING = 1.96, 1e-9


class EstimatorError(ValueError):
    """An estimator raised an error on a case; the message holds both, and the error itself is the cause."""


@dataclass(frozen=True)
class Score:
    r"""What repetitions of an estimator did on one case, in nats where nothing else is said.

    An error is an estimate less :math:`\log p(x)`. The standard errors are those over the repetitions.

    Args:
        estimator: Its name.
        case: The name of the case.
        group: The kind of case.
        num_samples: The likelihoods that each repetition was given.
        repetitions: How many there were.
        uncertainty: Half the width of the interval in which the truth is known to lie, zero if it is exact.
        infinite: The share of estimates that are infinite; bias and rmse then are not finite either.
        above: The share of estimates above the truth, or above the interval in which it lies.
        bias: The mean error.
        bias_error: Its standard error.
        rmse: The root of the mean squared error.
        rmse_error: Its standard error.
        coverage: The share of intervals of 1.96 claimed standard errors to each side that contain the truth, or meet
            the interval of the truth.
        coverage_error: Its standard error, that of Agresti and Coull, which is above zero at 0 and 1 too.
        std_error: The median of the claimed standard errors.
        evaluations: Likelihoods that a repetition evaluated, the mean.
        seconds: Processor time of a repetition, the median.
    """

    estimator: str
    case: str
    group: str
    num_samples: int
    repetitions: int
    uncertainty: float
    infinite: float
    above: float
    bias: float
    bias_error: float
    rmse: float
    rmse_error: float
    coverage: float
    coverage_error: float
    std_error: float
    evaluations: float
    seconds: float

    @property
    def biased(self) -> bool:
        """Whether the bias is above 0.1 nats on either side, by more than two of its errors and what is unknown."""
        return self.infinite > 0 or abs(self.bias) - 2 * self.bias_error - self.uncertainty > 0.1

    @property
    def overconfident(self) -> bool:
        """Whether fewer than 90 % of the intervals contain the truth, by more than two standard errors."""
        return self.coverage + 2 * self.coverage_error < 0.9

    def to_json(self) -> dict[str, Any]:
        """The fields by name, numbers to six digits, and None for what is not finite."""
        return {name: _shortened(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Score:
        """The score that :meth:`to_json` wrote; what is None becomes NaN."""
        values: dict[str, Any] = {one.name: found[one.name] for one in fields(cls)}
        values |= {name: math.nan for name, value in values.items() if value is None}
        return cls(**values)


def _shortened(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def score(
    estimate: Estimator | Estimate, case: Case, *, num_samples: int = 1000, repetitions: int = 100, seed: int = 0
) -> Score:
    r"""Repeat an estimate of :math:`\log p(x)` and compare it with the truth.

    Args:
        estimate: A function ``estimate(model, q, x, num_samples, seed)`` that returns the estimate and its standard
            error, both in nats: two numbers, or tensors of one number. Or one of :func:`estimators`.
        case: The model, q and x, and what is known of the truth.
        num_samples: The likelihoods that it may evaluate. How many it did evaluate is part of the score.
        repetitions: How often, each time with another seed. At least 2.
        seed: Names the seeds. The global random state is as before afterwards; inside, it depends on the seed too, so
            that a function that draws from it repeats.

    Returns:
        The :class:`Score`.

    Raises:
        EstimatorError: If the estimator raises an error.
        TypeError: If ``estimate`` does not take these five arguments, or does not return two numbers.
        ValueError: If a number is NaN, or a standard error is negative; or ``repetitions`` is below 2.

    Example:
        >>> from lvmlib import importance_sampling
        >>> from lvmlib.zoo import cases, score
        >>> def twice_the_draws(model, q, x, num_samples, seed):
        ...     found = importance_sampling(model, q, x, 2 * num_samples, seed=seed)
        ...     return found.log_evidence, found.std_error
        >>> umbrella = cases()[0]
        >>> found = score(twice_the_draws, umbrella, num_samples=100, repetitions=20)
        >>> abs(found.bias) < 5 * found.bias_error, found.evaluations >= 200
        (True, True)
    """
    check_sample_count("num_samples", num_samples)
    check_sample_count("repetitions", repetitions, least=2)
    if not isinstance(case, Case):
        raise TypeError(f"case is {describe(case)}: expected a Case; take one of lvmlib.zoo.cases(), or make one.")
    check_seed(seed)
    name, run = _named(estimate)
    values, claims, seconds = [], [], []
    # A first answer is thrown away: what is tuned or compiled once is not the cost of a repetition.
    _answer(run, name, case, num_samples, derived_seed("score", case.name, seed, "first"))
    with counted_likelihoods(case.model) as count:
        for number in range(repetitions):
            own = derived_seed("score", case.name, seed, number)
            start = time.process_time()
            value, claim = _answer(run, name, case, num_samples, own)
            seconds.append(time.process_time() - start)
            values.append(value)
            claims.append(claim)
    error = torch.tensor(values, dtype=torch.float64) - case.log_evidence
    claimed = torch.tensor(claims, dtype=torch.float64)
    # An infinite estimate contains nothing, whatever it claims.
    covered = error.isfinite() & (error.abs() <= _REACH * claimed + case.uncertainty + _ROUNDING)
    squares = error.square()
    rmse, root = squares.mean().sqrt().item(), math.sqrt(repetitions)
    return Score(
        estimator=name,
        case=case.name,
        group=case.group,
        num_samples=num_samples,
        repetitions=repetitions,
        uncertainty=case.uncertainty,
        infinite=error.isinf().double().mean().item(),
        above=(error > case.uncertainty + _ROUNDING).double().mean().item(),
        bias=error.mean().item(),
        bias_error=error.std().item() / root,
        rmse=rmse,
        rmse_error=squares.std().item() / (2 * rmse * root) if rmse > 0 else 0.0,
        coverage=covered.double().mean().item(),
        coverage_error=_share_error(int(covered.sum()), repetitions),
        std_error=claimed.median().item(),
        evaluations=count.total / repetitions,
        seconds=statistics.median(seconds),
    )


def _share_error(successes: int, trials: int) -> float:
    share = (successes + 2) / (trials + 4)
    return math.sqrt(share * (1 - share) / (trials + 4))


def _named(estimate: Estimator | Estimate) -> tuple[str, Callable[[Case, int, int], Any]]:
    if isinstance(estimate, Estimator):
        return estimate.name, estimate.run
    if not callable(estimate):
        raise TypeError(
            f"estimate is {describe(estimate)}: expected a function of {', '.join(_PARAMETERS)}; pass the function "
            f"itself, without calling it."
        )
    try:
        inspect.signature(estimate).bind(*_PARAMETERS)
    except TypeError as error:
        raise TypeError(
            f"estimate is {describe(estimate)}, which takes {inspect.signature(estimate)}: expected a function of "
            f"{', '.join(_PARAMETERS)}, in this order; give every further argument a default."
        ) from error

    def run(case: Case, num_samples: int, seed: int) -> Any:
        return estimate(case.model, case.q, case.x, num_samples, seed)

    return getattr(estimate, "__name__", type(estimate).__name__), run


def _answer(
    run: Callable[[Case, int, int], Any], name: str, case: Case, num_samples: int, seed: int
) -> tuple[float, float]:
    """The two numbers of one repetition, checked."""
    try:
        with forked(seed, case.x.device):
            found = run(case, num_samples, seed)
    except Exception as error:
        raise EstimatorError(f"{name} raised {type(error).__name__} on case {case.name!r}: {error}") from error
    where = f"{name} on case {case.name!r} with seed {seed}"
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != 2:
        raise TypeError(
            f"{where} returned {describe(found)}: expected a pair (log_evidence, std_error); return both numbers."
        )
    value, claim = (_number(part, part_name, where) for part_name, part in zip(_PARTS, found, strict=True))
    if claim < 0:
        raise ValueError(
            f"{where} returned std_error {claim:.6g}: expected a number of at least 0, in nats; math.inf if the error "
            f"is not known."
        )
    return value, claim


_PARTS = ("log_evidence", "std_error")


def _number(part: Any, part_name: str, where: str) -> float:
    if hasattr(part, "shape") and math.prod(part.shape) != 1:
        raise TypeError(
            f"{where} returned {part_name} of shape {tuple(part.shape)}: expected one number for the one x; reduce it "
            f"over the draws."
        )
    value = part.item() if hasattr(part, "item") else part  # of a tensor or an array
    if isinstance(value, bool | str | complex) or not hasattr(value, "__float__"):
        raise TypeError(
            f"{where} returned {part_name} {describe(part)}: expected a number, in nats; return a float of it."
        )
    number = float(value)
    if math.isnan(number):
        raise ValueError(
            f"{where} returned {part_name} nan: expected a number; -math.inf is one, for an estimate of p(x) that is "
            f"0, and so is math.inf, for an error that is not known."
        )
    return number


@dataclass(frozen=True)
class Verdict:
    """One estimator over several cases.

    Args:
        estimator: Its name.
        cases: How many cases it answered.
        biased: The names of those on which it is biased; see :attr:`Score.biased`.
        overconfident: The names of those on which its intervals are too short; see :attr:`Score.overconfident`.
        rmse: The median root mean square error over the cases, in nats; infinite ones count.
        evaluations: Likelihoods of a repetition, the median over the cases.
        seconds: Processor time of a repetition, the median over the cases.
    """

    estimator: str
    cases: int
    biased: tuple[str, ...]
    overconfident: tuple[str, ...]
    rmse: float
    evaluations: float
    seconds: float


def verdict(scores: Sequence[Score]) -> Verdict:
    """What the scores of one estimator come to.

    Args:
        scores: Of the same estimator, on several cases.

    Returns:
        The :class:`Verdict`.

    Raises:
        ValueError: If there is no score, or they are of several estimators.
    """
    if not isinstance(scores, Sequence) or not all(isinstance(one, Score) for one in scores):
        raise TypeError(f"scores is {describe(scores)}: expected a list of Score, as score returns; write it as [one].")
    names = sorted({one.estimator for one in scores})
    if len(names) != 1:
        raise ValueError(
            f"scores are of {len(names)} estimators, {', '.join(names)}: expected scores of one; call verdict for each."
        )
    return Verdict(
        estimator=names[0],
        cases=len(scores),
        biased=tuple(one.case for one in scores if one.biased),
        overconfident=tuple(one.case for one in scores if one.overconfident),
        rmse=statistics.median(math.inf if one.infinite else one.rmse for one in scores),
        evaluations=statistics.median(one.evaluations for one in scores),
        seconds=statistics.median(one.seconds for one in scores),
    )
