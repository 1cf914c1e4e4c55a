"""What each hypothesis of the book asks of a case, by the key that the claim gives it; all of it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import methodcaller
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


# Of a member of the zoo, or of anything else with a log-evidence


@hypothesis("positive-evidence")
def _(case: Any) -> bool:
    return 0 < math.exp(getattr(case, "truth", case).log_evidence) < math.inf


@hypothesis("finite-evidence")
def _(case: Any) -> bool:
    return getattr(case, "truth", case).log_evidence < math.inf


@hypothesis("covers")
def _(case: Any) -> bool:
    return case.truth.covers


@hypothesis("weights-away-from-zero")
def _(case: Any) -> bool:
    return case.truth.lowest > 0


@hypothesis("bounded-weights")
def _(case: Any) -> bool:
    return case.truth.highest < math.inf


@hypothesis("finite-mean")
def _(case: Any) -> bool:
    return math.isfinite(case.mean())


# Of cases that compute the answer themselves: the key and the method that is asked

ASKED = {
    # test_joint.py
    "prior-is-a-density": "prior_is_a_density",
    "likelihood-is-a-density": "likelihood_is_a_density",
    "z-from-prior": "z_follows_the_prior",
    "x-given-that-z": "x_follows_the_likelihood_at_z",
    "slope-not-zero": "has_a_slope",
    # test_posterior.py
    "differentiable-joint": "joint_is_differentiable",
    "exchangeable": "derivative_and_integral_exchange",
    "standard-normal-prior": "prior_is_standard_normal",
    "linear-normal-likelihood": "likelihood_is_linear_and_normal",
    "positive-definite-noise": "noise_is_positive_definite",
    # test_prior_monte_carlo.py
    "draws-from-prior": "each_draw_follows_the_prior",
    "independent-draws": "draws_are_independent",
    "prior-factorises": "prior_is_a_product",
    "likelihood-factorises": "likelihood_is_a_product",
    "finite-chi-square": "chi_square_is_finite",
    "finite-mean-log": "mean_log_is_finite",
    # test_importance_sampling.py
    "normal-posterior": "posterior_is_normal",
    "normal-proposal": "proposal_is_normal",
    # test_tails_of_a_gaussian_proposal.py
    "falls-at-most-linearly": "likelihood_falls_at_most_linearly",
    "bounded-likelihood": "likelihood_is_bounded",
    # test_jensen.py
    "concave": "is_concave",
    "values-in-interval": "values_are_inside",
}
for key, method in ASKED.items():
    hypothesis(key)(methodcaller(method))
