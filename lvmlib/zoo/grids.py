"""Points and volumes for exact sums over z: values of a table, the real line, an interval, the plane."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lvmlib.zoo.member import Grid

__all__ = ["around_zero", "interval", "joined", "line", "polar", "product", "values"]

_NODES, _MASSES = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(16))


def values(count: int) -> Grid:
    """The values 0, ..., count - 1 of a discrete z."""
    return Grid(torch.arange(count), torch.zeros(count, dtype=torch.float64))


def interval(low: float, high: float, num_panels: int = 200) -> Grid:
    """Gauss-Legendre panels of equal width."""
    ends = torch.linspace(low, high, num_panels + 1, dtype=torch.float64)
    half, middle = (ends[1:] - ends[:-1]) / 2, (ends[1:] + ends[:-1]) / 2
    return Grid((middle[:, None] + half[:, None] * _NODES).flatten(), (half[:, None] * _MASSES).log().flatten())


def line(center: float = 0.0, scale: float = 1.0, reach: float = 38.0) -> Grid:
    r"""The real line by :math:`z = c + s \sinh t` with :math:`|t|` at most ``reach``.

    Panels are a fifth of ``scale`` wide at the center and grow with the distance, as far as tails of a power need.
    """
    t, log_volume = interval(-reach, reach, num_panels=2 * math.ceil(10 * reach / 2))
    return Grid(center + scale * t.sinh(), log_volume + math.log(scale) + t.cosh().log())


def joined(*grids: Grid) -> Grid:
    """Intervals side by side."""
    return Grid(torch.cat([grid.z for grid in grids]), torch.cat([grid.log_volume for grid in grids]))


def around_zero(reach: float = 80.0) -> Grid:
    r"""The real line by :math:`z = \pm e^t`, for densities that have no bound at zero."""
    t, log_volume = interval(-reach, 5.0, num_panels=400)
    return Grid(torch.cat([t.exp(), -t.exp()]), torch.cat([log_volume + t, log_volume + t]))


def product(first: Grid, second: Grid) -> Grid:
    """The plane as the product of two lines."""
    z = torch.cartesian_prod(first.z, second.z)
    return Grid(z, (first.log_volume[:, None] + second.log_volume).flatten())


def polar(radius: float, num_angles: int = 256) -> Grid:
    """The disc of a radius around the origin: panels along the radius, equal steps around."""
    r, log_volume = interval(0.0, radius, num_panels=40)
    angle = 2 * math.pi * torch.arange(num_angles, dtype=torch.float64) / num_angles
    z = r[:, None, None] * torch.stack([angle.cos(), angle.sin()], dim=-1)
    return Grid(z.reshape(-1, 2), _repeated(log_volume + r.log() + math.log(2 * math.pi / num_angles), num_angles))


def _repeated(row: Tensor, times: int) -> Tensor:
    return row[:, None].expand(-1, times).reshape(-1)
