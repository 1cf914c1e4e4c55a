"""What a torch Distribution is made of: its tensors, found and replaced however deep they lie."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.distributions.transforms import Transform
from torch.distributions.utils import lazy_property

from lvmlib._broadcast import broadcast_shapes
from lvmlib._supports import into_constraint, support_of

__all__ = ["LaidOut", "in_float64", "map_tensors", "tensors_in", "with_batch_shape"]

T = TypeVar("T")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor that a Distribution, a Transform or a Constraint was made of, however deep."""
    return (leaf for leaf in _leaves(value, {}) if isinstance(leaf, Tensor))


def _leaves(value: Any, seen: dict[int, Any]) -> Iterator[Tensor | nn.Module]:
    # A transform and its inverse hold each other.
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, Tensor | nn.Module):
        yield value
        return
    if isinstance(value, list | tuple):
        items: Iterable[Any] = value
    else:
        # What torch computed for itself when it was first asked may have another dtype than what it was given.
        items = [item for name, item in _attributes(value).items() if not _is_private_cache(value, name)]
    for item in items:
        yield from _leaves(item, seen)


def _is_private_cache(owner: Any, name: str) -> bool:
    return name.startswith("_") and isinstance(getattr(type(owner), "__dict__", {}).get(name), lazy_property)


def in_float64(distribution: T) -> T:
    """A copy whose numbers are float64; the Distribution itself where it asks a module, whose dtype is its own."""
    if any(isinstance(leaf, nn.Module) for leaf in _leaves(distribution, {})):
        return distribution
    return map_tensors(distribution, lambda part: part.double() if part.is_floating_point() else part)


def map_tensors(value: T, fn: Callable[[Tensor], Tensor], *, move_modules: bool = False) -> T:
    """A copy of a Distribution (or a part of one) with ``fn`` applied to every tensor inside it.

    A module inside belongs to somebody: it is shared as it is, or moved itself where its owner moves.
    """
    return _mapped(value, fn, move_modules, {})


def _mapped(value: Any, fn: Callable[[Tensor], Tensor], move_modules: bool, done: dict[int, Any]) -> Any:
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, list | tuple):
        items = [_mapped(item, fn, move_modules, done) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, nn.Module):
        return value._apply(fn) if move_modules else value
    attributes = _attributes(value)
    if not attributes or id(value) in done:
        return done.get(id(value), value)
    copied = done[id(value)] = copy.copy(value)
    for name, item in attributes.items():
        copied.__dict__[name] = _mapped(item, fn, move_modules, done)
    return copied


def with_batch_shape(distribution: Distribution, batch_shape: torch.Size) -> Distribution:
    """A Distribution with one batch dimension, laid out as ``batch_shape`` of as many members."""
    base, num_dims = distribution, 0
    while type(base) is Independent:
        num_dims += base.reinterpreted_batch_ndims
        base = base.base_dist
    shape = batch_shape + base.batch_shape[1:]
    if all(part.shape == base.batch_shape for part in tensors_in(base)) and not base.event_shape:
        base = map_tensors(base, lambda part: part.reshape(shape))
        base._batch_shape = shape
    else:
        # It holds tensors that are not its members', or of other dimensions: only its answers can be laid out.
        base = LaidOut(base, shape)
    return Independent(base, num_dims, validate_args=False) if num_dims else base


class LaidOut(Distribution):
    """A Distribution whose members are laid out in another batch shape, in the same order."""

    arg_constraints: ClassVar = {}

    def __init__(self, rows: Distribution, batch_shape: torch.Size) -> None:
        self.rows, self.has_rsample = rows, rows.has_rsample
        super().__init__(batch_shape, rows.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Where each member has a density."""
        support = support_of(self.rows)
        return _LaidOutSupport(self) if any(True for _ in tensors_in(support)) else support

    @property
    def mean(self) -> Tensor:
        """The means of the members."""
        return self.rows.mean.reshape(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Tensor:
        """The variances of the members."""
        return self.rows.variance.reshape(self.batch_shape + self.event_shape)

    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: object = None) -> LaidOut:
        """The same members, again and again along new leading dimensions."""
        shape = torch.Size(batch_shape)
        new = shape[: len(shape) - len(self.batch_shape)]
        if shape != new + self.batch_shape:
            raise NotImplementedError
        return LaidOut(self.rows.expand(new + self.rows.batch_shape), shape)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        """Draws of shape ``(*sample, *batch, *event)``."""
        drawn = self.rows.sample(torch.Size(sample_shape))
        return drawn.reshape(torch.Size(sample_shape) + self.batch_shape + self.event_shape)

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        """As :meth:`sample`, with a gradient."""
        drawn = self.rows.rsample(torch.Size(sample_shape))
        return drawn.reshape(torch.Size(sample_shape) + self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density, in nats, shape ``(*sample, *batch)``."""
        return self.of_rows(self.rows.log_prob, value)

    def entropy(self) -> Tensor:
        """The entropies of the members, in nats."""
        return self.rows.entropy().reshape(self.batch_shape)

    def of_rows(self, function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
        """A function of values of the members, one number for each."""
        value = value.expand(broadcast_shapes(value.shape, self.batch_shape + self.event_shape))
        sample = value.shape[: value.ndim - len(self.batch_shape) - len(self.event_shape)]
        result = function(value.reshape(sample + self.rows.batch_shape + self.event_shape))
        return result.reshape(sample + self.batch_shape + result.shape[len(sample) + len(self.rows.batch_shape) :])


class _LaidOutSupport(constraints.Constraint):
    def __init__(self, distribution: LaidOut) -> None:
        self._distribution = distribution
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return support_of(self._distribution.rows).is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return len(self._distribution.event_shape)

    def into_constraint(self, value: Tensor) -> tuple[Tensor, Tensor]:
        support = support_of(self._distribution.rows)
        harmless, inside = (
            self._distribution.of_rows(lambda rows, part=part: into_constraint(support, rows)[part], value)  # type: ignore[misc]
            for part in (0, 1)
        )
        return harmless, inside

    def check(self, value: Tensor) -> Tensor:
        return self.into_constraint(value)[1]


def _attributes(value: Any) -> dict[str, Any]:
    return vars(value) if isinstance(value, Distribution | Transform | constraints.Constraint) else {}
