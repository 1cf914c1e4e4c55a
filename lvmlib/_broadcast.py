"""Shapes that broadcast: that of the result, and whether one of the arguments has it already."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["broadcast_shapes", "broadcasts_into"]


def broadcast_shapes(*shapes: Sequence[int]) -> torch.Size:
    """As ``torch.broadcast_shapes``, whose first call imports a library for algebra: a second, and 33 MB.

    Raises:
        ValueError: If two sizes differ and neither is 1.
    """
    result = [1] * max(map(len, shapes))
    for shape in shapes:
        for dim, size in enumerate(reversed(shape), 1):
            if size != 1 and result[-dim] not in (1, size):
                raise ValueError(f"shapes are {[*map(tuple, shapes)]}: expected sizes that are equal, or 1.")
            result[-dim] = result[-dim] if size == 1 else size
    return torch.Size(result)


def broadcasts_into(value: Tensor, larger: Tensor) -> bool:
    """Whether an operation on both has the shape of ``larger``."""
    pairs = zip(reversed(value.shape), reversed(larger.shape), strict=False)
    return value.ndim <= larger.ndim and all(size in (1, whole) for size, whole in pairs)
