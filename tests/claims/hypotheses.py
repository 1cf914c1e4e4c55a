"""What each hypothesis of the book asks of a case, by the key that the claim gives it; all of it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
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


# Of tails, see test_diagnostics.py


@hypothesis("normal-q")
def _(case: Any) -> bool:
    return is_normal(case.q)


@hypothesis("normal-posterior")
def _(case: Any) -> bool:
    return isinstance(case.model, LinearGaussian)


@hypothesis("standard-normal-prior")
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
