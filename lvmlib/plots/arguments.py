"""Arguments of plots as NumPy arrays, checked, with errors that name the argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

Array: TypeAlias = npt.NDArray[np.float64]
Number: TypeAlias = float | int
ArrayLike: TypeAlias = Tensor | npt.NDArray[Any] | Sequence[Any]


def as_finite_array(name: str, value: Any, *, ndim: int | None = None, shape: tuple[int, ...] | None = None) -> Array:
    """The value as finite float64, of the dimension or shape that is asked for."""
    array = as_real_array(name, value, ndim=ndim, shape=shape)
    if not np.isfinite(array).all():
        wrong = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{name} holds {array[wrong]} at index {wrong}; expected finite numbers: mask or clip it first"
        )
    return array


def as_real_array(name: str, value: Any, *, ndim: int | None, shape: tuple[int, ...] | None = None) -> Array:
    """The value as float64, infinities and NaN among them."""
    raw = value.detach().cpu() if isinstance(value, Tensor) else value
    try:
        array = np.asarray(raw)
    except ValueError as error:
        raise ValueError(f"{name} has rows of different lengths; expected one regular array") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} is {value!r} of type {type(value).__name__}; expected real numbers: pass a tensor, "
            "an array or a list of them"
        )
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; expected {shape}: evaluate it at the points that are drawn")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}; expected {ndim} dimensions: select or reshape")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected at least one value: check what made it")
    return array.astype(np.float64)


def as_increasing_grid(name: str, grid: ArrayLike) -> Array:
    """Two or more abscissae in increasing order."""
    array = as_finite_array(name, grid, ndim=1)
    if array.size < 2 or not (np.diff(array) > 0).all():
        raise ValueError(
            f"{name} runs from {array[0]:g} to {array[-1]:g} in {array.size} values; expected two or more, "
            "strictly increasing: use torch.linspace"
        )
    return array


def as_density_table(name: str, values: ArrayLike, shape: tuple[int, int]) -> Array:
    """A density on a product of two grids: no entry below zero, and one above."""
    array = as_finite_array(name, values, ndim=2)
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}; expected {shape}, the first grid along the rows: transpose "
            'it, or make it with torch.meshgrid(..., indexing="ij")'
        )
    if (array < 0).any() or not (array > 0).any():
        raise ValueError(
            f"{name} lies between {array.min():g} and {array.max():g}; expected a density, zero or more and "
            "somewhere above: exponentiate if these are log-densities"
        )
    return array


def as_log_weights(log_weights: ArrayLike, *, ndim: int) -> Array:
    """Log-weights, ``-inf`` among them."""
    array = as_real_array("log_weights", log_weights, ndim=ndim)
    wrong = np.isnan(array) | np.isposinf(array)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"log_weights holds {array[index]} at index {index}; expected finite numbers or -inf: look at "
            "the model's and the proposal's log-densities there"
        )
    return array


def trapezoid(values: Array, grid: Array, *, axis: int) -> Array:
    """The integral along one axis by the trapezoidal rule."""
    rows = np.moveaxis(values, axis, -1)
    return np.asarray(((rows[..., 1:] + rows[..., :-1]) / 2 * np.diff(grid)).sum(-1))
