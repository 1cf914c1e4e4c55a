"""Modes of modules: nothing that is only looked at changes, and batch statistics of a single row do not exist."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution

from lvmlib._learnable import learnable_parts

__all__ = ["evaluating", "unless_learning"]

# Modules that somebody evaluates just now, perhaps in several threads, and by how many; all were in training mode.
_EVALUATED: weakref.WeakKeyDictionary[nn.Module, int] = weakref.WeakKeyDictionary()
_TURN = threading.Lock()
_TORCHS_WORDS = ("Expected more than 1 value per channel when training", "Expected more than 1 spatial element")


@contextmanager
def evaluating(*parts: Any) -> Iterator[None]:
    """Dropout off and batch statistics frozen in every module behind ``parts``; afterwards each is in its old mode.

    Args:
        parts: Modules, methods of modules, and anything else, which is left alone.
    """
    modules = list(dict.fromkeys(module for part in parts for module in _modules_behind(part)))
    with _TURN:
        held = [module for module in modules if module.training or module in _EVALUATED]
        for module in held:
            _EVALUATED[module] = _EVALUATED.get(module, 0) + 1
            module.training = False
    try:
        yield
    finally:
        with _TURN:
            for module in held:
                _EVALUATED[module] -= 1
                if not _EVALUATED[module]:
                    del _EVALUATED[module]
                    module.training = True


def unless_learning(*parts: Any) -> AbstractContextManager[None]:
    """As :func:`evaluating` where no gradient is recorded, as nothing is being learnt then; otherwise nothing."""
    return _learning() if torch.is_grad_enabled() else evaluating(*parts)


@contextmanager
def _learning() -> Iterator[None]:
    """Modules as they are; where a layer normalises by a batch of one, an error that says what to do."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(_TORCHS_WORDS):
            raise
        raise ValueError(
            f"x has a single observation here, and a layer such as BatchNorm takes its statistics from the batch "
            f"(torch: {error}): expected at least 2 observations where such a layer learns; give more at once (in fit "
            f"a batch_size of at least 2, or a DataLoader whose batches have as many), or freeze them with "
            f"module.eval()."
        ) from error


def _modules_behind(part: Any) -> Iterator[nn.Module]:
    owner = part if isinstance(part, nn.Module) else getattr(part, "__self__", None)
    if isinstance(owner, nn.Module):
        yield from owner.modules()
    elif callable(part) and not isinstance(part, Distribution):
        for found in learnable_parts(part):
            if isinstance(found, nn.Module):
                yield from found.modules()
