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
