r"""Latent variables on several levels: each level is drawn given those above it, and all lie side by side in one z.

.. math:: p(z) = p(z_1)\, p(z_2 \mid z_1)\, p(z_3 \mid z_1, z_2) \cdots
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from lvmlib._checks import call_named, describe
from lvmlib.density import into_support, is_real, log_density, support_of

__all__ = ["Hierarchy", "Level", "Levels", "is_levels", "joined"]

Level: TypeAlias = Distribution | Callable[..., Distribution]
Levels: TypeAlias = Mapping[str, Level] | tuple[Level, ...]


def is_levels(value: object) -> bool:
    """Whether a value stands for several levels: a tuple or a dict."""
    return isinstance(value, tuple | Mapping)


def joined(value: Any, name: str) -> Any:
    """Several levels as one distribution; what else is given, as it is."""
    return Hierarchy(value, name=name) if is_levels(value) else value


class Hierarchy(Distribution):
    """The joint distribution of all levels, over a vector that holds them one after the other.

    Args:
        levels: The first is a Distribution; each other one a callable from the levels before it, given one by one, to a
            Distribution with their batch shape. Numbers are floating-point on all levels.
        name: What the errors call them.

    Raises:
        TypeError: If a level is of another kind, or discrete.
        ValueError: If there are fewer than two, or batch shapes do not fit.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 - torch reads the class attribute

    def __init__(self, levels: Levels, *, name: str = "prior") -> None:
        named = list(levels.items()) if isinstance(levels, Mapping) else list(enumerate(levels))
        self.keys = tuple(levels) if isinstance(levels, Mapping) else None
        if len(named) < 2:
            raise ValueError(
                f"{name} has {len(named)} levels: expected at least 2; pass a single Distribution as it is."
            )
        for position, (key, level) in enumerate(named):
            wanted = (
                "a torch Distribution" if not position else "a callable from the levels before it to a Distribution"
            )
            if isinstance(level, Distribution) == bool(position) or not (position == 0 or callable(level)):
                raise TypeError(
                    f"{name}[{key!r}] is {describe(level)}: expected {wanted}; write latent variables that do not "
                    f"depend on each other as one, for instance Independent(Normal(torch.zeros(2), 1.0), 1)."
                )
        self.levels: Sequence[Any] = [level for _, level in named]
        with torch.no_grad():
            probe = self._draw(torch.Size((2, 3)) if not self.levels[0].batch_shape else torch.Size(), name, named)
        parts = [part for _, part in probe]
        self._events = [distribution.event_shape for distribution, _ in probe]
        self._is_real = all(is_real(support_of(distribution)) for distribution, _ in probe)
        self.has_rsample = all(distribution.has_rsample for distribution, _ in probe)
        if not all(part.is_floating_point() for part in parts):
            raise TypeError(
                f"{name} has levels of dtypes {[part.dtype for part in parts]}: expected floating-point numbers on all "
                f"levels; sum over a discrete level by hand, or relax it."
            )
        size = sum(event.numel() for event in self._events)
        super().__init__(self.levels[0].batch_shape, torch.Size((size,)), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The supports of the levels, one after the other."""
        return constraints.independent(constraints.real, 1) if self._is_real else _SupportOfLevels(self)

    @property
    def mean(self) -> Tensor:
        """Not known: the means of the lower levels depend on draws of those above."""
        raise NotImplementedError

    def split(self, z: Tensor) -> Any:
        """The levels of z, shape ``(*batch, D)``, as a tuple or a dict, as the levels were given."""
        pieces = z.split([event.numel() for event in self._events], dim=-1)
        parts = [piece.reshape(z.shape[:-1] + event) for piece, event in zip(pieces, self._events, strict=True)]
        return tuple(parts) if self.keys is None else dict(zip(self.keys, parts, strict=True))

    def matches(self, other: Hierarchy) -> bool:
        """Whether the levels of another one lie at the same places, under the same names where both give names."""
        named_alike = self.keys is None or other.keys is None or self.keys == other.keys
        return named_alike and self._events == other._events

    def shown(self) -> str:
        """The names, or the numbers, of the levels, and the event shape of each."""
        names = range(len(self._events)) if self.keys is None else self.keys
        return str({name: tuple(event) for name, event in zip(names, self._events, strict=True)})

    def into_support(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z with what is outside the support of its level replaced, and which z were inside on every level."""
        split = self.split(z)
        harmless, possible = list[Tensor](), torch.ones(z.shape[:-1], dtype=torch.bool, device=z.device)
        for level, part in zip(self.levels, split.values() if isinstance(split, dict) else split, strict=True):
            # The support of a level may depend on those before it.
            distribution = level(*harmless) if harmless else level
            part, inside = into_support(distribution, part)
            harmless.append(part)
            possible = possible & inside
        return self._joined(harmless), possible

    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: object = None) -> Hierarchy:
        """The same levels for a larger batch."""
        first = self.levels[0].expand(torch.Size(batch_shape))
        levels = [first, *self.levels[1:]]
        return Hierarchy(tuple(levels) if self.keys is None else dict(zip(self.keys, levels, strict=True)))

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        """Draws level by level, shape ``(*sample, *batch, D)``."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        """As :meth:`sample`, with a gradient where every level has one."""
        return self._joined([part for _, part in self._draw(torch.Size(sample_shape))])

    def log_prob(self, value: Tensor) -> Tensor:
        """The sum of the log-densities of the levels, in nats."""
        split = self.split(value)
        parts = list(split.values()) if isinstance(split, dict) else list(split)
        total = log_density(self.levels[0], parts[0])
        for position, level in enumerate(self.levels[1:], start=1):
            total = total + log_density(level(*parts[:position]), parts[position])
        return total

    def _joined(self, parts: list[Tensor]) -> Tensor:
        flat = [
            part.flatten(part.ndim - len(event)) if event else part[..., None]
            for part, event in zip(parts, self._events, strict=True)
        ]
        return torch.cat(flat, dim=-1)

    def _draw(self, shape: torch.Size, name: str = "", named: Any = None) -> list[tuple[Distribution, Tensor]]:
        drawn: list[tuple[Distribution, Tensor]] = []
        for position, level in enumerate(self.levels):
            distribution = level
            if position:
                distribution = self._called(
                    level, [part for _, part in drawn], named and f"{name}[{named[position][0]!r}]"
                )
            if named is not None and not isinstance(distribution, Distribution):
                raise TypeError(
                    f"{name}[{named[position][0]!r}] made {describe(distribution)}: expected a Distribution."
                )
            batch = shape + self.levels[0].batch_shape
            if named is not None and position and distribution.batch_shape != batch:
                raise ValueError(
                    f"{name}[{named[position][0]!r}] made {describe(distribution)} for levels before it of batch shape "
                    f"{tuple(batch)}: expected that batch shape; wrap it in torch.distributions.Independent."
                )
            own = shape if not position else torch.Size()
            drawn.append(
                (distribution, (distribution.rsample if distribution.has_rsample else distribution.sample)(own))
            )
        return drawn

    def _called(self, level: Any, before: list[Tensor], name: str | None) -> Any:
        """What a level makes of those before it; at the first look an error says which level it was, and its inputs."""
        if name is None:
            return level(*before)
        try:
            return call_named(name, level, *before)
        except Exception as error:
            if isinstance(error, TypeError) and str(error).startswith(name):
                raise
            raise ValueError(
                f"{name} fails for the levels before it, {', '.join(map(describe, before))} "
                f"({type(error).__name__}: {error}): expected a callable that takes each of them as an argument of its "
                f"own and makes one Distribution; correct it."
            ) from error


class _SupportOfLevels(constraints.Constraint):
    """Where each level is in its support, given the levels before it."""

    event_dim = 1

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy
        super().__init__()

    def into_constraint(self, value: Tensor) -> tuple[Tensor, Tensor]:
        return self._hierarchy.into_support(value)

    def check(self, value: Tensor) -> Tensor:
        return self._hierarchy.into_support(value)[1]
