"""Supports: what is inside, and a harmless point for what is not."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MixtureSameFamily,
    Multinomial,
    VonMises,
    constraints,
    transform_to,
)

__all__ = ["into_constraint", "into_first_turn", "is_angle", "is_real", "support_of"]

_MIXTURE: Any = getattr(constraints, "MixtureSameFamilyConstraint", ())  # torch 2.6 has it elsewhere, or not at all

# torch calls all reals the support of an angle, over which its density is not normalised.
_ANGLE = constraints.interval(-math.pi, math.pi)


class _Counts(constraints.Constraint):
    """Whole numbers from zero on that sum to ``total`` at most: torch documents that ``Multinomial.log_prob`` takes
    rows with totals of their own, as documents have; but it has a number for fractions too, and they are no counts."""

    is_discrete = True
    event_dim = 1

    def __init__(self, total: int) -> None:
        self.total = total

    def check(self, value: Tensor) -> Tensor:
        return ((value >= 0) & (value == value.round())).all(-1) & (value.double().sum(-1) <= self.total)

    def __repr__(self) -> str:
        return f"Counts(total={self.total})"


def support_of(distribution: Distribution) -> constraints.Constraint:
    """The support of a distribution; all reals where it names none, as a normalising flow does not."""
    if type(distribution) is Independent and distribution.reinterpreted_batch_ndims:
        return constraints.independent(support_of(distribution.base_dist), distribution.reinterpreted_batch_ndims)
    if isinstance(distribution, VonMises):
        return _ANGLE
    if isinstance(distribution, Multinomial):
        return _Counts(distribution.total_count)
    if isinstance(distribution, MixtureSameFamily):
        of_parts = support_of(distribution.component_distribution)
        if is_real(of_parts) or of_parts is _ANGLE:
            return of_parts
    try:
        support = distribution.support
    except NotImplementedError:
        support = None
    if support is None or constraints.is_dependent(support):
        return constraints.independent(constraints.real, len(distribution.event_shape))
    return support


def is_real(support: constraints.Constraint) -> bool:
    """Whether a support is all reals, in which case every number is inside."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real or support is constraints.real_vector


def is_angle(support: constraints.Constraint) -> bool:
    """Whether a support is that of angles, from minus pi to pi, which a number in any turn stands for."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is _ANGLE


def into_first_turn(value: Tensor) -> Tensor:
    """Angles as numbers from minus pi to pi."""
    return torch.where(value.abs() <= math.pi, value, (value + math.pi).remainder(2 * math.pi) - math.pi)


def into_constraint(support: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    """``value`` with each point outside ``support`` replaced by one inside, and which points were inside.

    A constraint of our own does it itself, in a method of this name without ``support``.
    """
    if is_real(support):
        # No number is outside; one that is not a number stays one.
        return value, torch.ones(value.shape[: value.ndim - support.event_dim], dtype=torch.bool, device=value.device)
    if hasattr(support, "into_constraint"):
        return support.into_constraint(value)
    inside = _check(support, value)
    mask = inside.reshape(inside.shape + (1,) * support.event_dim)
    return torch.where(mask, value, _harmless(support, value)), inside


def _check(support: Any, value: Tensor) -> Tensor:
    if isinstance(support, constraints.independent):
        inside = _check(support.base_constraint, value)
        return inside.flatten(inside.ndim - support.reinterpreted_batch_ndims).all(-1)
    if isinstance(support, _MIXTURE):
        # torch asks for a value that every component can have.
        return _check(support.base_constraint, value.unsqueeze(-1 - support.event_dim)).any(-1)
    return support.check(value)


def _harmless(support: Any, value: Tensor) -> Tensor:
    """Points inside, of the shape of ``value``."""
    if isinstance(support, constraints.independent):
        return _harmless(support.base_constraint, value)
    if isinstance(support, _MIXTURE):
        return _harmless(support.base_constraint, value.unsqueeze(-1 - support.event_dim)).select(
            -1 - support.event_dim, 0
        )
    if support is constraints.corr_cholesky:
        return torch.eye(value.shape[-1], dtype=value.dtype, device=value.device).expand_as(value)
    if support.is_discrete:
        return torch.zeros_like(value) + getattr(support, "lower_bound", 0)
    try:
        return transform_to(support)(torch.zeros_like(value))
    except NotImplementedError:  # nobody has said where its inside is
        return value
