"""Compares what a reader's function returns with the exact answer, and says in words how they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

__all__ = ["described", "difference", "is_tensor"]

LONGEST = 160


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor, asked without loading torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "dtype") and hasattr(value, "shape")


def described(value: Any) -> str:
    """A value as the reader would write it, shortened."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        text = "[" + ", ".join(map(described, value)) + "]"
    elif isinstance(value, tuple):
        text = "(" + ", ".join(map(described, value)) + ("," if len(value) == 1 else "") + ")"
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key!r}: {described(part)}" for key, part in value.items()) + "}"
    elif is_tensor(value):
        shape = tuple(value.shape)
        text = f"{value.tolist():.6g}" if not shape else f"a tensor of shape {shape}"
        text = described(value.tolist()) if 0 < value.numel() <= 8 else text
    else:
        text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def difference(got: Any, expected: Any, tolerance: float) -> str:
    """What is wrong with a result, to follow "your function"; empty if nothing is."""
    if is_tensor(expected):
        from tutor.tensors import tensor_difference  # torch, in a notebook only

        return tensor_difference(got, expected, tolerance)
    if got is None and expected is not None:
        return "returns nothing: end it with `return …`"
    if isinstance(expected, bool):
        return "" if got is expected or got == expected else _other(got, expected)
    if isinstance(expected, (int, float, Fraction)):
        return _number_difference(got, expected, tolerance)
    if isinstance(expected, Mapping):
        return _mapping_difference(got, expected, tolerance)
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return _sequence_difference(got, expected, tolerance)
    return "" if got == expected else _other(got, expected)


def _other(got: Any, expected: Any) -> str:
    return f"returns {described(got)}, and the right answer is {described(expected)}"


def _number_difference(got: Any, expected: float | Fraction, tolerance: float) -> str:
    if isinstance(got, (bool, complex, str)) or not hasattr(got, "__float__"):
        return f"returns {described(got)}, where a number is expected"
    try:
        value, target = float(got), float(expected)
    except (TypeError, ValueError, RuntimeError):
        return f"returns {described(got)}, where one number is expected"
    if value == target or (math.isnan(value) and math.isnan(target)):
        return ""
    if math.isfinite(value) and math.isfinite(target) and abs(value - target) <= tolerance * max(1.0, abs(target)):
        return ""
    return _other(got, expected)


def _sequence_difference(got: Any, expected: Sequence[Any], tolerance: float) -> str:
    if isinstance(got, (str, Mapping)) or not hasattr(got, "__len__") or not hasattr(got, "__getitem__"):
        return f"returns {described(got)}, where a list of {len(expected)} is expected"
    if len(got) != len(expected):
        return f"returns {len(got)} values, where {len(expected)} are expected"
    wrong = any(difference(mine, right, tolerance) for mine, right in zip(got, expected, strict=True))
    return _other(got, expected) if wrong else ""


def _mapping_difference(got: Any, expected: Mapping[Any, Any], tolerance: float) -> str:
    if not isinstance(got, Mapping):
        return f"returns {described(got)}, where a dictionary is expected"
    if got.keys() != expected.keys():
        return f"returns the keys {sorted(map(str, got))}, where {sorted(map(str, expected))} are expected"
    wrong = any(difference(got[key], expected[key], tolerance) for key in expected)
    return _other(got, expected) if wrong else ""
