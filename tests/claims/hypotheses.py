"""What each hypothesis of the book asks of a case, by the key that the claim gives it; all of it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import methodcaller
from typing import Any

from lvmlib.exact import LinearGaussian

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


# Of the cases of chapters 8 to 10, which compute it themselves: see the modules that make them.


@hypothesis("gaussian-posterior")
def _(case: Any) -> bool:
    return isinstance(case.model, LinearGaussian)


for _key in (
    "maximum-exists",
    "any-density",
    "finite-mutual-information",
    "finite-normaliser",
    "finite-entropy",
    "positive-evidence-of-all",
    "q-is-posterior",
    "m-step-rises",
    "q-free-of-theta",
    "dominated-derivative",
    "finite-bound",
    "fixed-support",
    "dominated-score",
    "score-mean-zero",
    "constant-baseline",
    "finite-second-moments",
    "score-not-zero",
    "at-least-two",
    "independent-draws",
    "additive-weight",
    "independent-coordinates",
    "path-has-density",
    "lipschitz-path",
    "finite-terms",
    "member-of-family",
    "best-exists",
    "linear-gaussian",
    "affine-mean",
    "gaussian-noise",
    "gaussian-prior",
    "affine-in-code",
    "bias-at-mean",
    "isotropic-noise",
    "gaussian-likelihood",
    "noise-not-learnt",
    "spectrum-falls",
    "noise-remains",
):
    hypothesis(_key)(methodcaller(_key.replace("-", "_")))
