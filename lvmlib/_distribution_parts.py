"""What a torch Distribution is made of: its tensors, found and replaced however deep they lie."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.transforms import Transform

__all__ = ["map_tensors", "tensors_in", "with_batch_shape"]

T = TypeVar("T")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor inside a Distribution, a Transform or a Constraint, however deep."""
    yield from _tensors(value, {})


def _tensors(value: Any, seen: dict[int, Any]) -> Iterator[Tensor]:
    # A transform and its inverse hold each other.
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, Tensor):
        yield value
        return
    for item in value if isinstance(value, list | tuple) else _attributes(value).values():
        yield from _tensors(item, seen)


def map_tensors(value: T, fn: Callable[[Tensor], Tensor]) -> T:
    """A copy of a Distribution (or a part of one) with ``fn`` applied to every tensor inside it."""
    return _mapped(value, fn, {})


def _mapped(value: Any, fn: Callable[[Tensor], Tensor], done: dict[int, Any]) -> Any:
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, list | tuple):
        return type(value)(_mapped(item, fn, done) for item in value)
    if isinstance(value, nn.Module):
        return value._apply(fn)
    attributes = _attributes(value)
    if not attributes or id(value) in done:
        return done.get(id(value), value)
    copied = done[id(value)] = copy.copy(value)
    for name, item in attributes.items():
        copied.__dict__[name] = _mapped(item, fn, done)
    return copied


def with_batch_shape(distribution: Distribution, batch_shape: torch.Size) -> Distribution:
    """A Distribution with one batch dimension, laid out as ``batch_shape`` of as many members."""
    count = batch_shape.numel()
    # Tensors shared by the whole batch, as a temperature, have no dimension for it.
    laid_out = map_tensors(
        distribution,
        lambda part: part.reshape(batch_shape + part.shape[1:]) if part.ndim and len(part) == count else part,
    )
    for part in _distributions(laid_out, {}):
        if part.batch_shape[:1] == (count,):
            part._batch_shape = batch_shape + part.batch_shape[1:]
    return laid_out


def _distributions(value: Any, seen: dict[int, Any]) -> Iterator[Distribution]:
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, Distribution):
        yield value
    for item in value if isinstance(value, list | tuple) else _attributes(value).values():
        yield from _distributions(item, seen)


def _attributes(value: Any) -> dict[str, Any]:
    return vars(value) if isinstance(value, Distribution | Transform | constraints.Constraint) else {}
