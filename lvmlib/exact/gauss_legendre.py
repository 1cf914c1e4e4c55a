"""Gauss-Legendre quadrature on one cell of a grid, and what its nodes say of what they miss."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lvmlib._types import Float

__all__ = ["NODES_PER_CELL", "OVERSHOOT", "Rule", "measure", "rule_on"]

NODES_PER_CELL = 20
"""Nodes of Gauss-Legendre quadrature in each dimension of a cell; exact for polynomials of degree 39."""

OVERSHOOT = 0.5
"""How far an interpolated logarithm may rise above the nodes before a peak is suspected between them, in nats."""


class Rule(NamedTuple):
    """Gauss-Legendre quadrature on [0, 1], and what it says of a function."""

    nodes: Tensor
    weights: Tensor
    to_tails: Tensor  # values at the nodes to the Legendre coefficients of degree 12 to 15 and 16 to 19, (2, 4, n)
    between: Tensor  # values at the nodes to those of the interpolating polynomial between them, shape (n + 1, n)
    parabolas: Tensor  # likewise, to those of parabolas through three nodes, from either side, shape (2, n + 1, n)


def measure(rule: Rule, dim: int, log_values: Float[Tensor, "n C B"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The logarithms of mass, error and largest value in cells of size one, and how far the interpolated logarithm
    rises above the nodes, each of shape ``(C, B)``."""
    peak = log_values.amax(0)
    shift = torch.where(peak == -torch.inf, 0.0, peak)
    scaled = (log_values - shift).exp()
    n = NODES_PER_CELL
    finite = (log_values > -torch.inf).all(0)
    smooth = torch.where(finite, log_values, 0.0)
    if dim == 1:
        mass = torch.einsum("i,i...->...", rule.weights, scaled)
        error = _error_beyond(torch.einsum("gti,i...->gt...", rule.to_tails, scaled).square().sum(1))
        between = torch.einsum("mi,i...->m...", rule.between, smooth).amax(0)
    else:
        table, smooth = (v.reshape(n, n, *v.shape[1:]) for v in (scaled, smooth))
        mass = torch.einsum("i,j,ij...->...", rule.weights, rule.weights, table)
        error = torch.zeros_like(mass)
        for flipped in (table, table.transpose(0, 1)):
            coefficients = torch.einsum("gti,ij...->gtj...", rule.to_tails, flipped).square()
            error = error + _error_beyond(torch.einsum("j,gtj...->g...", rule.weights, coefficients))
        between = torch.einsum("mi,ij...->mj...", rule.between, smooth)
        between = torch.einsum("kj,mj...->mk...", rule.between, between).flatten(0, 1).amax(0)
    between = torch.where(finite, torch.maximum(between, peak), peak)
    suspected = finite & (between - shift > OVERSHOOT)
    if suspected.any():
        between[suspected] = _without_false_peaks(rule, dim, log_values[:, suspected], between[suspected])
    return shift + mass.log(), shift + error.log(), between, torch.where(finite, between - shift, 0.0)


def _without_false_peaks(
    rule: Rule, dim: int, log_values: Float[Tensor, "n S"], between: Float[Tensor, S]
) -> Float[Tensor, S]:
    """The largest interpolated logarithms, where the polynomial of high degree swings, lowered to those of parabolas.

    A logarithm that falls like -1/z to the end of a support, as those of many scale parameters do, has no polynomial
    that follows it, however small the cell: the one through all nodes swings above them far from that end. Where the
    nodes rise or fall all the way, the parabolas through three of them, from both sides of a gap, say what stands there
    at most. A peak that the nodes hide would show, as the logarithm of its flanks is close to a parabola.
    """
    table = log_values.reshape(*[NODES_PER_CELL] * dim, -1)
    sides = []
    for choice in itertools.product((0, 1), repeat=dim):
        value = table
        for axis, side in enumerate(choice):
            value = torch.tensordot(rule.parabolas[side], value, ([1], [axis])).movedim(0, axis)
        sides.append(value)
    parabolas = torch.stack(sides).amin(0).flatten(0, dim - 1).amax(0)
    peak = log_values.amax(0)
    one_way = torch.ones_like(peak, dtype=torch.bool)
    for axis in range(dim):
        steps = table.diff(dim=axis)
        one_way &= ((steps >= 0).all(axis) | (steps <= 0).all(axis)).reshape(-1, len(peak)).all(0)
    return torch.where(one_way, torch.minimum(between, torch.maximum(parabolas, peak)), between)


def _error_beyond(squares: Float[Tensor, "2 C B"]) -> Float[Tensor, "C B"]:
    """The size of what 20 nodes miss, by the squared norms of the coefficients of degree 12 to 15 and 16 to 19.

    Gauss-Legendre quadrature misses the coefficients beyond degree 39, five groups of four further on. They are taken
    to shrink as powers of the degree, at the rate of those two: fast for a smooth function, hardly for a kink.
    """
    before, last = squares.sqrt()
    ratio = (last / before.clamp(min=torch.finfo(squares.dtype).tiny)).clamp(max=1.0)
    return 4 * last * ratio**3


def rule_on(device: torch.device) -> Rule:
    """The rule, with its tables on a device."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES_PER_CELL)
    degrees = np.arange(NODES_PER_CELL)
    # Orthonormal on [0, 1]: the squares of the coefficients sum to the square of the norm.
    basis = np.polynomial.legendre.legvander(nodes, NODES_PER_CELL - 1) * np.sqrt(2 * degrees + 1)
    to_coefficients = (basis * weights[:, None] / 2).T
    middles = np.concatenate([[-1.0], (nodes[1:] + nodes[:-1]) / 2, [1.0]])
    there = np.polynomial.legendre.legvander(middles, NODES_PER_CELL - 1) * np.sqrt(2 * degrees + 1)
    to_tails = to_coefficients[12:].reshape(2, 4, -1)
    parabolas = np.stack([_parabolas(nodes, middles, shift) for shift in (-2, -1)])
    arrays = ((nodes + 1) / 2, weights / 2, to_tails, there @ to_coefficients, parabolas)
    return Rule(*(torch.as_tensor(array, device=device) for array in arrays))


def _parabolas(nodes: np.ndarray, middles: np.ndarray, shift: int) -> np.ndarray:
    """Values at the nodes to those of parabolas in the gaps between them, each through three nodes: of gap i, which
    ends at node i, they begin with node ``i + shift`` where there are as many."""
    weights = np.zeros((len(middles), len(nodes)))
    for gap, middle in enumerate(middles):
        start = min(max(gap + shift, 0), len(nodes) - 3)
        for one in range(start, start + 3):
            others = [nodes[other] for other in range(start, start + 3) if other != one]
            weights[gap, one] = np.prod([(middle - other) / (nodes[one] - other) for other in others])
    return weights
