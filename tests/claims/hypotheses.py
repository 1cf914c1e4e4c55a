"""What each hypothesis of the book asks of a case, by the key that the claim gives it; all of it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from lvmlib import LinearGaussian

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


def is_normal(distribution: Distribution) -> bool:
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return isinstance(distribution, Normal | MultivariateNormal)


def far_points(case: Any, size: float) -> Tensor:
    """Points z of this size, in random directions and both along each axis."""
    dim = case.q.event_shape.numel()
    generator = torch.Generator().manual_seed(0)
    directions = torch.cat([torch.eye(dim), -torch.eye(dim), torch.randn(200, dim, generator=generator)]).double()
    z = size * directions / directions.norm(dim=1, keepdim=True)
    return z.reshape(-1, *case.q.event_shape)


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


@hypothesis("finite-elbo")
def _(case: Any) -> bool:
    return math.isfinite(case.truth.elbo)


@hypothesis("overlap")
def _(case: Any) -> bool:
    return case.truth.seen > 0


@hypothesis("gaussian-posterior")
def _(case: Any) -> bool:
    return isinstance(case.model, LinearGaussian)


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
    "interior-point": "point_is_inside",
    "positive-values": "values_are_positive",
    # test_elbo.py
    "some-mass-above-minus-infinity": "has_mass_above_minus_infinity",
    "finite-tilted-moment": "tilted_moment_is_finite",
    "finite-entropy": "entropy_is_finite",
    "likelihood-not-too-large": "likelihood_is_not_too_large",
    "gap-closed": "gap_is_closed",
    "bound-not-lowered": "bound_is_not_lowered",
    # test_kl.py
    "q-is-density": "q_is_a_density",
    "p-is-density": "p_is_a_density",
    "finite-gap": "gap_is_finite",
    "every-evidence-positive": "each_evidence_is_positive",
    "every-posterior": "reaches_each_posterior",
    "finite-second-moment": "second_moments_are_finite",
    "both-normal": "both_are_normal",
    "independent-coordinates": "coordinates_are_independent",
    "one-to-one": "map_is_one_to_one",
}
# Of test_variational_families.py, test_gradients.py, test_amortised_inference.py, test_tighter_bounds.py,
# test_gradients_of_tighter_bounds.py and test_scaling.py: the method has the name of the key
ASKED |= {
    key: key.replace("-", "_")
    for key in (
        "maximum-exists",
        "any-density",
        "finite-mutual-information",
        "finite-normaliser",
        "entropy-of-q-is-finite",
        "positive-evidence-of-all",
        "q-is-posterior",
        "m-step-rises",
        "continuous-iteration",
        "zero-gradient-m-step",
        "smooth-expected-log-joint",
        "complete-information",
        "q-free-of-theta",
        "dominated-derivative",
        "finite-bound",
        "fixed-support",
        "dominated-score",
        "score-mean-zero",
        "score-identity",
        "constant-baseline",
        "finite-second-moments",
        "score-not-zero",
        "at-least-two",
        "additive-weight",
        "coordinates-of-q-are-independent",
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
        "bias-expands",
        "score-and-path-agree",
        "equal-means",
        "spectrum-falls",
        "noise-remains",
        "starts-from-q",
        "weight-before-move",
        "kernels-leave-invariant",
        "kernels-fixed",
        "temperatures-complete",
        "posterior-draw",
        "finite-or-zero-weights",
        "exact-arithmetic",
        "parts-do-not-overlap",
        "non-negative-numbers",
        "rounds-within-u",
        "exact-remainders",
        "mean-zero-rounding",
        "fixed-work",
        "serial-part-remains",
        "no-faster-share",
    )
}
for key, method in ASKED.items():
    hypothesis(key)(methodcaller(method))


# Of tails, see test_diagnostics.py


@hypothesis("normal-q")
def _(case: Any) -> bool:
    return is_normal(case.q)


@hypothesis("prior-of-the-model-is-standard-normal")
def _(case: Any) -> bool:
    z = far_points(case, 3.0)
    squares = (z**2).flatten(1).sum(1)
    log_prior = case.model.log_prior(z) - case.model.log_prior(0 * z)
    return torch.allclose(log_prior, -squares / 2, rtol=1e-6)


@hypothesis("linear-log-likelihood")
def _(case: Any) -> bool:
    near, far = (case.model.log_likelihood(case.x, far_points(case, size)).abs().max() for size in (1e3, 1e4))
    return bool(far <= 11 * near)


# Of a certificate or an alarm, see test_diagnostics.py


@hypothesis("fixed-in-advance")
def _(case: Any) -> bool:
    return case.best_of == 1


@hypothesis("independent-groups")
def _(case: Any) -> bool:
    return not case.same_draws


@hypothesis("reads-draws-of-q-alone")
def _(case: Any) -> bool:
    return case.reads_draws_alone
