"""Checks of arguments, with errors that name the argument, its value, what was expected and what to do."""

from __future__ import annotations

import inspect
import reprlib
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.utils.data import DataLoader, Dataset

from lvmlib.density import into_support, is_real, support_of

__all__ = [
    "as_float_tensor",
    "call_named",
    "check_dense",
    "check_float_tensor",
    "check_layout",
    "check_no_nan",
    "check_number",
    "check_positive",
    "check_possible",
    "check_probabilities",
    "check_same_kind",
    "check_sample_count",
    "check_shape",
    "describe",
    "into_support",
    "is_real",
    "observation_advice",
    "support_of",
]

_PROBABILITY_TOLERANCE = 1e-5
_MOST = 2**53
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 100


def describe(value: object) -> str:
    """The shortest description of ``value`` that lets a reader find it; never more than a line."""
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)} on {value.device}"
    if isinstance(value, Distribution):
        return (
            f"{type(value).__name__} with batch shape {tuple(value.batch_shape)} "
            f"and event shape {tuple(value.event_shape)}"
        )
    if isinstance(value, DataLoader | Dataset):
        return f"a {type(value).__name__}, which hands out batches"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"a {type(value).__module__}.{type(value).__name__} of shape {tuple(value.shape)}"
    return f"{' '.join(_SHORT.repr(value).split())} of type {type(value).__name__}"


def observation_advice(name: str, value: object) -> str:
    """What to do with an argument that should be a tensor of observations and is something else."""
    if isinstance(value, DataLoader):
        return f"take one batch at a time, for instance `for {name}, *_ in loader`"
    if isinstance(value, Dataset):
        return f"stack its rows into one tensor, for instance torch.stack([row for row, *_ in {name}])"
    return f"convert it with torch.as_tensor({name})"


def check_sample_count(name: str, value: object, *, least: int = 1) -> int:
    """``value`` as an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {describe(value)}: expected an int; write int({name}) if a rounding is meant.")
    if value < least:
        raise ValueError(f"{name} is {value}: expected an integer of at least {least}; raise it.")
    if value > _MOST:
        raise ValueError(f"{name} is {value}: expected at most 2**53, beyond which nothing is counted; lower it.")
    return value


def check_number(name: str, value: object) -> float:
    """``value`` as a float, if it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {describe(value)}: expected a number; convert it with float({name}).")
    return float(value)


def call_named(name: str, function: Any, *arguments: Any) -> Any:
    """What a function of the user's gives; if it cannot be called so, the error names it. Its own errors come through.

    Raises:
        TypeError: If it does not take so many arguments.
    """
    try:
        return function(*arguments)
    except TypeError:
        try:
            inspect.signature(function).bind(*arguments)
        except ValueError:  # a builtin does not say what it takes
            pass
        except TypeError as error:
            raise TypeError(
                f"{name} is {describe(function)} and cannot be called with {len(arguments)} arguments ({error}): "
                f"expected a function of exactly so many; change what it takes."
            ) from error
        raise


def check_float_tensor(name: str, value: object) -> Tensor:
    """``value`` as a floating-point tensor without NaN; nothing is converted."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is {describe(value)}: expected a torch.Tensor; {observation_advice(name, value)}.")
    check_layout(name, value)
    if not value.is_floating_point():
        raise TypeError(f"{name} has dtype {value.dtype}: expected float32 or float64; convert it with {name}.float().")
    check_no_nan(name, value)
    return value


def check_layout(name: str, value: Tensor) -> None:
    """``value`` has its numbers in memory, one after the other."""
    check_dense(name, value)
    if value.is_meta:
        raise ValueError(f"{name} is on the device meta, without numbers: expected a device with numbers; fill it.")


def check_dense(name: str, value: Tensor) -> None:
    """``value`` is no sparse tensor, and no nested one."""
    if value.is_nested:
        raise TypeError(
            f"{name} is a nested tensor of {value.dtype}, with rows of different lengths: expected a dense one; fill "
            f"the rows up with torch.nested.to_padded_tensor, or take those of one length at a time."
        )
    if value.layout != torch.strided:
        raise TypeError(
            f"{name} has layout {value.layout}: expected a dense tensor; convert it with {name}.to_dense()."
        )


def as_float_tensor(name: str, value: object, like: Tensor | None = None) -> Tensor:
    """A float as a scalar tensor, of the dtype and device of ``like`` if given; a floating-point tensor as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = torch.tensor(float(value)) if like is None else like.new_tensor(float(value))
    return check_float_tensor(name, value)


def check_no_nan(name: str, value: Tensor) -> None:
    """No entry of ``value`` is NaN."""
    # A sum is NaN if a term is (or if inf meets -inf), and costs a fraction of looking at every entry.
    if not value.is_floating_point() or not value.detach().sum().isnan():
        return
    missing = value.isnan()
    if missing.any():
        first = tuple(missing.nonzero()[0].tolist())
        raise ValueError(
            f"{name} has {int(missing.sum())} NaN of {value.numel()} values, the first at index {first}: "
            f"expected numbers; drop or impute the missing entries."
        )


def check_possible(name: str, log_joint: Tensor) -> None:
    """Draws that should be the posterior's have a joint density above zero."""
    impossible = (log_joint == -torch.inf).nonzero()
    if len(impossible):
        raise ValueError(
            f"{name} has joint density 0 at index {tuple(impossible[0].tolist())}: expected draws from the "
            f"posterior, where it is above 0; for simulated data pass the z that x was made from."
        )


def check_shape(name: str, value: Tensor, expected: tuple[int | str, ...]) -> None:
    """``value`` has as many dimensions as ``expected``, and its sizes wherever ``expected`` gives an int."""
    shape = tuple(value.shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or want == size for size, want in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{name} has shape {shape}: expected {wanted}; reshape or transpose {name}.")


def check_same_kind(**tensors: Tensor) -> None:
    """All tensors have the dtype and the device of the first."""
    (first_name, first), *others = tensors.items()
    for name, value in others:
        if value.dtype != first.dtype:
            raise TypeError(
                f"{name} has dtype {value.dtype} and {first_name} has {first.dtype}: expected one dtype; "
                f"convert with {name}.to({first.dtype})."
            )
        if value.device != first.device:
            raise ValueError(
                f"{name} is on {value.device} and {first_name} is on {first.device}: expected one device; "
                f"move it with {name}.to({str(first.device)!r})."
            )


def check_positive(name: str, value: Tensor) -> None:
    """Every entry of ``value`` is finite and above zero."""
    wrong = ~((value > 0) & value.isfinite())
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(
            f"{name} is {value[first].item():.6g} at index {first}: expected finite values above 0; "
            f"a variance or a shape parameter of zero has no density."
        )


def check_probabilities(name: str, value: Tensor) -> None:
    """Every row of ``value`` (last dimension) is non-negative and sums to one."""
    negative = value < 0
    if negative.any():
        first = tuple(negative.nonzero()[0].tolist())
        raise ValueError(
            f"{name} is {value[first].item():.6g} at index {first}: expected probabilities of at least 0; "
            f"if these are logits, pass {name}.softmax(-1)."
        )
    wrong = ~torch.isclose(value.sum(-1), torch.ones_like(value.sum(-1)), rtol=0.0, atol=_PROBABILITY_TOLERANCE)
    if wrong.any():
        first = tuple(wrong.nonzero()[0].tolist())
        row = f"row {', '.join(map(str, first))} of {name}" if first else name
        raise ValueError(
            f"{row} sums to {value.sum(-1)[first].item():.6g}: expected 1 along the last dimension; "
            f"divide by {name}.sum(-1, keepdim=True)."
        )
