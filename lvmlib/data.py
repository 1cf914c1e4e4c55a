"""Data for the chapters: handwritten digits and cell measurements from scikit-learn, and two synthetic sets.

None of these needs a network. MNIST, which does, is there for who has it or can fetch it. Every set comes as plain
tensors, in an order that never changes.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lvmlib._cells import Cells, cells, swap_readings
from lvmlib._checks import check_sample_count, describe
from lvmlib._types import Float, Int

__all__ = ["Cells", "Digits", "banana", "cells", "digit_forms", "digits", "mnist", "ring", "swap_readings"]

_SPLITS = ("train", "test", "all")
_TEST_STRIDE = 6
_BINARIZE_THRESHOLD = 0.5
# Where the labels of the digits begin again with 0 1 2 3 4 5 6 7 8 9 0 1 2 ..., as on a form that was copied.
_FORM_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)
_BINARIZE = (None, "static", "stochastic")
# The files of MNIST by part and kind, with the MD5 of their content when unpacked.
_MNIST_FILES = {
    ("train", "images"): ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    ("train", "labels"): ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    ("test", "images"): ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    ("test", "labels"): ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
}
_MNIST_TRAIN = 60_000
_ROWS_PER_DRAW = 10_000


class Digits(NamedTuple):
    """Images and labels of handwritten digits, row by row.

    Attributes:
        images: Grey values in [0, 1], row after row of pixels: shape ``(N, 64)`` for the 8 by 8 pixels of
            :func:`digits`, ``(N, 784)`` for the 28 by 28 of :func:`mnist`.
        labels: The digit that was written, 0 to 9, shape ``(N,)``, int64.
    """

    images: Float[Tensor, "N M"]
    labels: Int[Tensor, " N"]


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
    _require_floating(dtype)
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


def mnist(
    split: str = "train",
    *,
    path: str | Path | None = None,
    binarize: Literal["static", "stochastic"] | None = None,
    seed: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Digits:
    r"""Handwritten digits of 28 by 28 pixels: MNIST, from files or through scikit-learn from OpenML.

    The 70,000 images have integer grey values 0 to 255, which are divided by 255. The training images are the
    first 60,000.

    A binary image is drawn from a grey one pixel by pixel, :math:`x_m \sim \mathrm{Bernoulli}(g_m)`. A **static**
    binarisation draws once, so that everybody has the same images; a **stochastic** one draws anew at each call.
    Training on a new draw at every look, as Burda et al. (2016) do, needs neither: keep the images grey and pass
    ``transform=torch.bernoulli`` to :func:`lvmlib.fit`.

    Args:
        split: ``"train"``, ``"test"`` or ``"all"``, the one after the other.
        path: A folder with the four files ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
            ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each packed (``.gz``) or not. Omitted,
            scikit-learn fetches ``mnist_784`` from OpenML once, and finds it in its cache from then on.
        binarize: ``None`` for grey images, ``"static"`` or ``"stochastic"``.
        seed: Of the binarisation: another static one, or a stochastic one that can be repeated.
        dtype: Floating type of the images.
        device: Where the tensors go; torch's default device when omitted.

    Returns:
        ``Digits(images, labels)`` with shapes ``(N, 784)`` and ``(N,)``.

    Raises:
        ValueError: If ``split`` or ``binarize`` is not one of the names, or a file is not what was published: the
            MD5 of every file's content is compared (scikit-learn compares that of OpenML's).
        TypeError: If ``dtype`` is not a floating type.
        FileNotFoundError: If ``path`` lacks one of the files.
        ConnectionError: If OpenML cannot be reached.
        ImportError: If scikit-learn is needed and not installed.

    References:
        LeCun, Bottou, Bengio and Haffner (1998), *Gradient-based learning applied to document recognition*;
        Salakhutdinov and Murray (2008), *On the quantitative analysis of deep belief networks*, for the drawn
        pixels; Burda, Grosse and Salakhutdinov (2016), section 5.
    """
    if split not in _SPLITS:
        raise ValueError(f'split is {split!r}; expected one of {_SPLITS}: write mnist("train")')
    if binarize not in _BINARIZE:
        raise ValueError(f'binarize is {binarize!r}; expected one of {_BINARIZE}: write binarize="static"')
    _require_floating(dtype)
    load = _fetch_mnist if path is None else functools.partial(_read_mnist, Path(path))
    images, labels = [], []
    for number, part in enumerate(("train", "test")):
        if split in (part, "all"):
            pixels, targets = load(part)
            grey = torch.from_numpy(pixels)
            if binarize is None:
                images.append(grey.to(dtype) / 255)
            else:
                static_seed = 2 * (seed or 0) + number
                generator = _generator(static_seed if binarize == "static" or seed is not None else None)
                images.append(_draw_pixels(grey, generator).to(dtype))
            labels.append(torch.from_numpy(targets))
    target = device if device is not None else torch.get_default_device()
    return Digits(torch.cat(images).to(target), torch.cat(labels).to(target))


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
    _require_floating(dtype)
    generator = _generator(seed)
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
    _require_floating(dtype)
    generator = _generator(seed)
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


def _draw_pixels(grey: Tensor, generator: torch.Generator | None) -> Tensor:
    """Whether each pixel is on, with its grey value out of 255 as probability; a block at a time, to save memory."""
    return torch.cat(
        [
            255 * torch.rand(block.shape, generator=generator, device="cpu") < block
            for block in grey.split(_ROWS_PER_DRAW)
        ]
    )


def _read_mnist(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = _read_idx(folder, *_MNIST_FILES[part, "images"])
    labels = _read_idx(folder, *_MNIST_FILES[part, "labels"])
    return images.reshape(len(images), -1), labels.astype(np.int64)


def _read_idx(folder: Path, name: str, md5: str) -> NDArray[np.uint8]:
    """One file of bytes in the IDX format: two zeros, the type, the number of dimensions, their sizes, the values."""
    found = next((folder / n for n in (name, f"{name}.gz") if (folder / n).is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"path is {str(folder)!r}, without {name} or {name}.gz; expected the four files of MNIST: download them "
            f"into one folder and pass that"
        )
    try:
        content = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(
            f"path has {found}, which cannot be unpacked ({error}); expected a whole file: download it anew"
        ) from error
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise ValueError(
            f"path has {found} with the MD5 {actual}; expected {md5}, that of the published content: download it anew"
        )
    sizes = np.frombuffer(content, dtype=">i4", count=content[3], offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes).copy()


def _fetch_mnist(part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    pixels, targets = _openml_mnist()
    rows = slice(None, _MNIST_TRAIN) if part == "train" else slice(_MNIST_TRAIN, None)
    return pixels[rows], targets[rows]


@functools.cache
def _openml_mnist() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        from sklearn.datasets import fetch_openml
    except ImportError as error:
        raise ImportError(
            "lvmlib.data.mnist fetches the images through scikit-learn, which is not installed: run "
            "`pip install scikit-learn`, or pass path= to a folder with the four files"
        ) from error
    try:
        bunch = fetch_openml("mnist_784", version=1, as_frame=False)
    except OSError as error:
        names = ", ".join(f"{name}.gz" for name, _ in _MNIST_FILES.values())
        raise ConnectionError(
            f"path is None and OpenML cannot be reached ({error}); expected a network, or local files: put {names} "
            f"into a folder and pass mnist(path=folder); lvmlib.data.digits() needs neither"
        ) from error
    return bunch.data.astype(np.uint8), bunch.target.astype(np.int64)


def _check_number(name: str, value: object, *, least: float = -math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {describe(value)}: expected a real number; write float({name}).")
    if not (math.isfinite(value) and value >= least):
        wanted = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
        raise ValueError(f"{name} is {value}: expected {wanted}; choose one, such as 0.1.")


def _require_floating(dtype: torch.dtype) -> None:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype is {dtype!r}; expected a floating torch dtype: use torch.float32 or torch.float64")


def _generator(seed: int | None) -> torch.Generator | None:
    """A private generator, or None for the global one."""
    if seed is None:
        return None
    return torch.Generator().manual_seed(check_sample_count("seed", seed, least=0))


def _normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")


def _deliver(points: Tensor, dtype: torch.dtype, device: torch.device | str | None) -> Tensor:
    """Drawn in float64 on the CPU, so that one seed means one set whatever the dtype and the device."""
    return points.to(device=device if device is not None else torch.get_default_device(), dtype=dtype)
