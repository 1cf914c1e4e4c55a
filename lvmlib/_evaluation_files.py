"""What evaluation on the command line reads and writes: observations, a factory, and the place for the result."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvmlib._checks import describe
from lvmlib.model import LatentVariableModel

__all__ = ["check_output", "function_named", "observations", "short"]


def check_output(output: Path) -> None:
    """Refuse a place where no result can be written, or where something else stands that it would replace.

    Raises:
        ValueError: If there is no such folder, or a file there is no result of an evaluation.
    """
    if output.is_dir():
        raise ValueError(f"--output is {str(output)!r}, which is a directory: expected the name of a file.")
    if not output.parent.is_dir():
        raise ValueError(
            f"--output is {str(output)!r}, whose folder is not there: expected a file in one that is; make it first."
        )
    if output.exists() and output.stat().st_size and not _is_result(output):
        raise ValueError(
            f"--output is {str(output)!r}, and what stands there is no result of an evaluation: expected a new name "
            f"or an old result, as the file will be replaced; name another, or remove this one."
        )


def _is_result(path: Path) -> bool:
    try:
        return "observations_in_order" in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False


def function_named(path: str) -> Callable[[], Any]:
    module, _, name = path.partition(":")
    if not name:
        raise ValueError(f"--factory is {path!r}: expected module:function, as my_models:make; correct it.")
    sys.path.insert(0, os.getcwd())
    try:
        found: Callable[[], Any] | None = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(
            f"--factory is {path!r}, and {module} cannot be imported ({short(error)}): expected one in this folder or "
            f"an installed one; correct the name, or give the command elsewhere."
        ) from error
    if found is None:
        raise ValueError(f"--factory is {path!r} and {module} has no {name!r}: expected a function in it; correct it.")
    return found


def observations(name: str | None, model: LatentVariableModel) -> Tensor:
    """Test images that fit the model, or the contents of a file, in the model's dtype."""
    from lvmlib import data

    layout = model._layout()
    if name is None:
        name = {64: "digits", 784: "mnist"}.get(layout.x_event.numel())
        if name is None:
            raise ValueError(
                f"--data is left out and the model observes x of shape {tuple(layout.x_event)}: expected a file with "
                f"observations; pass --data FILE."
            )
    if name == "digits":
        x = data.digits("test", binarize=True).images
    elif name == "mnist":
        x = data.mnist("test", binarize="static").images
    else:
        x = _read_tensor(Path(name))
    if not len(x) or x[0].numel() != layout.x_event.numel():
        raise ValueError(
            f"--data is {name!r} of shape {tuple(x.shape)}: expected one observation a row, each of shape "
            f"{tuple(layout.x_event)}; take the data that the model was trained for."
        )
    if not x.is_complex():
        rows = x.to(layout.x_dtype)
        lost = rows.isinf() & ~x.double().isinf() if rows.is_floating_point() else rows.double() != x.double()
        if not lost.any():
            return model.check_observation(rows.reshape(-1, *layout.x_event))
    raise ValueError(
        f"--data is {name!r} with numbers of {x.dtype} that {layout.x_dtype}, the model's, cannot hold: expected real "
        f"numbers within its range, and whole ones for a count; correct them."
    )


def _read_tensor(path: Path) -> Tensor:
    try:
        if path.suffix == ".npy":
            import numpy as np

            array = np.load(path, allow_pickle=False)
            return torch.atleast_1d(torch.as_tensor(array.astype(array.dtype.newbyteorder("="))))
        from safetensors.torch import load_file

        tensors = load_file(path)
    except Exception as error:
        raise ValueError(
            f"--data is {str(path)!r}, which cannot be read ({short(error)}): expected digits, mnist, or a file .npy "
            f"or .safetensors with one array of numbers; correct the name."
        ) from error
    if len(tensors) != 1:
        raise ValueError(f"--data is {str(path)!r} with {sorted(tensors)}: expected one tensor; keep the observations.")
    return next(iter(tensors.values()))


def short(error: BaseException) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else describe(error)
