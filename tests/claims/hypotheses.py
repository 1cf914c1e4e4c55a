"""What each hypothesis of the book asks of a case, by the key that the claim gives it; all of it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Predicate = Callable[[Any], bool]

HYPOTHESES: dict[str, Predicate] = {}


def hypothesis(key: str) -> Callable[[Predicate], Predicate]:
    """Register a predicate under its key."""

    def register(predicate: Predicate) -> Predicate:
        if key in HYPOTHESES:
            raise ValueError(f"{key} names two hypotheses")
        HYPOTHESES[key] = predicate
        return predicate

    return register


# Of a member of the zoo


@hypothesis("positive-evidence")
def _(case: Any) -> bool:
    return 0 < math.exp(case.truth.log_evidence) < math.inf


@hypothesis("covers")
def _(case: Any) -> bool:
    return case.truth.covers


@hypothesis("weights-away-from-zero")
def _(case: Any) -> bool:
    return case.truth.lowest > 0


@hypothesis("bounded-weights")
def _(case: Any) -> bool:
    return case.truth.highest < math.inf


# Of a function of a random number, see jensen.py


@hypothesis("concave")
def _(case: Any) -> bool:
    return case.is_concave()


@hypothesis("values-in-interval")
def _(case: Any) -> bool:
    return case.values_are_inside()


@hypothesis("finite-mean")
def _(case: Any) -> bool:
    return math.isfinite(case.mean())


@hypothesis("interior-point")
def _(case: Any) -> bool:
    return case.low < case.point < case.high


@hypothesis("positive-values")
def _(case: Any) -> bool:
    return min(case.a, case.b) > 0


# Of draws from the q of a member


@hypothesis("independent")
def _(case: Any) -> bool:
    return case.independent


@hypothesis("finite-elbo")
def _(case: Any) -> bool:
    return math.isfinite(case.truth.elbo)


@hypothesis("overlap")
def _(case: Any) -> bool:
    return case.truth.seen > 0


# Of densities on points, see laws.py


@hypothesis("q-is-density")
def _(case: Any) -> bool:
    return abs(case.totals()[0] - 1) < 1e-9


@hypothesis("p-is-density")
def _(case: Any) -> bool:
    return abs(case.totals()[1] - 1) < 1e-9


@hypothesis("finite-entropy")
def _(case: Any) -> bool:
    return math.isfinite(case.entropy())


@hypothesis("finite-second-moment")
def _(case: Any) -> bool:
    return case.second_moment() < math.inf


@hypothesis("likelihood-not-too-large")
def _(case: Any) -> bool:
    return case.reconstruction_above_zero() < math.inf


@hypothesis("finite-gap")
def _(case: Any) -> bool:
    return case.kl() < math.inf


# Of a prior and a function, see test_elbo.py


@hypothesis("some-mass-above-minus-infinity")
def _(case: Any) -> bool:
    return bool((case.f[case.prior > 0] > -math.inf).any())


@hypothesis("finite-tilted-moment")
def _(case: Any) -> bool:
    return case.tilted_moment() < math.inf


# Of a family of models and densities, or of two densities, see test_kl.py


@hypothesis("every-evidence-positive")
def _(case: Any) -> bool:
    return bool((case.log_evidences() > -math.inf).all())


@hypothesis("every-posterior")
def _(case: Any) -> bool:
    return bool((case.gaps().amin(1) < 1e-9).all())


@hypothesis("both-normal")
def _(case: Any) -> bool:
    return case.is_normal


@hypothesis("independent-coordinates")
def _(case: Any) -> bool:
    return bool((case.covariance == case.covariance.diag().diag()).all())
