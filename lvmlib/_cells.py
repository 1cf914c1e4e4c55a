"""The running case of the book: measurements of cell nuclei, and accidents in which readings are swapped."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lvmlib._checks import check_float_tensor, check_sample_count, check_shape
from lvmlib._types import Float, Int

_NUM_OLD = 400
_OFFSET = 0.01  # of a reading's mean, added before the logarithm, as some readings are exactly zero
_ORDER_SEED = 0


class Cells(NamedTuple):
    """Thirty readings of the cell nuclei in each of 569 samples, as logarithms in units of a standard deviation.

    Attributes:
        old: The 400 samples that models are fitted to, shape ``(400, 30)``. Each reading has mean 0 and variance 1.
        new: The 169 samples that decisions are about, shape ``(169, 30)``, in the same units.
        names: What each reading is, such as ``"mean radius"``.
    """

    old: Float[Tensor, "N M"]
    new: Float[Tensor, "N M"]
    names: tuple[str, ...]


def cells(*, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Cells:
    r"""Measurements of cell nuclei, which scikit-learn carries with it: the running case of the book.

    A reading :math:`r` becomes :math:`\log(r + \bar r / 100)`, where :math:`\bar r` is its mean over the old samples,
    and is then standardised with the mean and standard deviation of the old samples. The samples come in a fixed random
    order; the first 400 are the old ones. The diagnosis in the file is not used. Nothing here is medical advice.

    Args:
        dtype: Floating type of the readings.
        device: Where the tensors go; torch's default device when omitted.

    Returns:
        ``Cells(old, new, names)``. The tensors are fresh copies.

    Raises:
        TypeError: If ``dtype`` is not a floating type.
        ImportError: If scikit-learn is not installed.

    References:
        Street, Wolberg and Mangasarian (1993), *Nuclear feature extraction for breast tumor diagnosis*.

    Example:
        >>> old, new, names = cells()
        >>> old.shape, new.shape, names[2]
        (torch.Size([400, 30]), torch.Size([169, 30]), 'mean perimeter')
    """
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype is {dtype!r}; expected a floating torch dtype: use torch.float32 or torch.float64")
    raw, names = _load_cells()
    generator = torch.Generator().manual_seed(_ORDER_SEED)
    readings = torch.from_numpy(raw)[torch.randperm(len(raw), generator=generator, device="cpu")]
    logs = (readings + _OFFSET * readings[:_NUM_OLD].mean(0)).log()
    scaled = (logs - logs[:_NUM_OLD].mean(0)) / logs[:_NUM_OLD].std(0, correction=0)
    target = device if device is not None else torch.get_default_device()
    scaled = scaled.to(device=target, dtype=dtype)
    return Cells(scaled[:_NUM_OLD].clone(), scaled[_NUM_OLD:].clone(), names)


def swap_readings(
    readings: Float[Tensor, "N M"], count: int, *, seed: int
) -> tuple[Float[Tensor, "N M"], Int[Tensor, " count"]]:
    """An accident: in some samples one reading is overwritten with the same reading of another sample.

    Args:
        readings: Samples, shape ``(N, M)``, at least two. They are not changed.
        count: How many samples the accident hits, at most N.
        seed: Chooses the samples, the reading of each, and the sample that the reading comes from. The global generator
            is left alone.

    Returns:
        The readings after the accident, and the numbers of the samples that it has hit, shape ``(count,)``, int64.

    Raises:
        TypeError: If ``readings`` is no floating-point tensor, or ``count`` or ``seed`` no integer.
        ValueError: If fewer than two samples are given, or ``count`` is not between 1 and N.

    Example:
        >>> new = cells().new
        >>> faulty, hit = swap_readings(new, 20, seed=0)
        >>> int((faulty != new).sum()), len(hit)
        (20, 20)
    """
    check_shape("readings", check_float_tensor("readings", readings), ("N", "M"))
    number, num_readings = readings.shape
    if number < 2:
        raise ValueError(f"readings has {number} rows: expected at least 2, as a reading comes from another sample.")
    if check_sample_count("count", count) > number:
        raise ValueError(f"count is {count} for {number} samples: expected at most {number}; lower it.")
    generator = torch.Generator().manual_seed(check_sample_count("seed", seed, least=0))
    hit = torch.randperm(number, generator=generator, device="cpu")[:count]
    which = torch.randint(num_readings, (count,), generator=generator, device="cpu")
    donor = (hit + torch.randint(1, number, (count,), generator=generator, device="cpu")) % number
    hit, which, donor = (chosen.to(readings.device) for chosen in (hit, which, donor))
    faulty = readings.clone()
    faulty[hit, which] = readings[donor, which]
    return faulty, hit


@functools.cache
def _load_cells() -> tuple[NDArray[np.float64], tuple[str, ...]]:
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise ImportError(
            "lvmlib.data.cells reads the measurements that scikit-learn carries, and scikit-learn is not "
            "installed: run `pip install scikit-learn`"
        ) from error
    bunch = load_breast_cancer()
    return bunch.data, tuple(str(name) for name in bunch.feature_names)
