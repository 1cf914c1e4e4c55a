"""What only a notebook checks: tensors, and estimates that are random.

Imported where a case of an exercise has a tensor, so that ``tutor`` works without torch.
"""

from __future__ import annotations

from typing import Any

import torch

from tutor.comparing import described, is_tensor

__all__ = ["quiet", "tensor_difference"]


def tensor_difference(got: Any, expected: torch.Tensor, tolerance: float) -> str:
    """What is wrong with a tensor: its kind, shape, dtype, device or values; empty if nothing is."""
    if got is None:
        return "returns nothing: end it with `return …`"
    if not is_tensor(got):
        return f"returns {described(got)}, where a tensor of shape {tuple(expected.shape)} is expected"
    if got.shape != expected.shape:
        return _shape_difference(tuple(got.shape), tuple(expected.shape))
    if got.dtype != expected.dtype:
        return f"returns {got.dtype}, and its input was {expected.dtype}: keep the precision that you are given"
    if got.device != expected.device:
        return f"returns a tensor on {got.device}, and its input was on {expected.device}"
    mine, right = got.detach().double(), expected.detach().double()
    reach = max(tolerance, 50 * torch.finfo(expected.dtype).eps if expected.dtype.is_floating_point else 0.0)
    near = (mine - right).abs() <= reach * right.abs().clamp(min=1.0)
    same = near | (mine == right) | (mine.isnan() & right.isnan())
    return "" if bool(same.all()) else f"returns {described(got)}, and the right answer is {described(expected)}"


def _shape_difference(got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    text = f"returns shape {got}, where {expected} is expected"
    if not got and expected:
        return f"{text}: one value for each x of the batch, not their sum or mean"
    if len(got) > len(expected):
        return f"{text}: an axis is left over that should have been summed or averaged"
    return text


class quiet:  # noqa: N801 - used as a verb
    """Leaves torch's global random state as it was, and gives what runs inside a state of its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.state = torch.get_rng_state()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: object) -> None:
        torch.set_rng_state(self.state)
