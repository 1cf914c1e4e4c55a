"""What finite models are made of: tensors, the steps of a plan, kinds of worlds, and the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proofreader.duals import Cell
from proofreader.errors import TooSlowError

__all__ = ["Cells", "Deadline", "Law", "Setting", "Sizes", "Step", "Tensor"]


Cells = list[Cell]


class Tensor(NamedTuple):
    """Numbers on some axes: all cells of the first model, then of the second, and so on."""

    axes: tuple[str, ...]
    cells: Cells


# The clock of this thread; where there is none, as in a page, which has one thread, the time that passes.
clock = getattr(time, "thread_time", time.perf_counter)


class Step(NamedTuple):
    """One step of a plan: what is done, to the values of which steps, and with what else."""

    kind: str
    arguments: tuple[int, ...] = ()
    data: tuple[Any, ...] = ()


@dataclass(slots=True)
class Deadline:
    """Time that is left, in seconds of this thread."""

    seconds: float
    end: float = 0.0

    def __post_init__(self) -> None:
        self.end = clock() + self.seconds

    def check(self) -> None:
        """Raises an error when the time is over."""
        if clock() > self.end:
            raise TooSlowError

    def left(self) -> float:
        """How much is left of it, as a share."""
        return (self.end - clock()) / self.seconds


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of world: how many models, the sizes of the variables, whether densities may exceed 1, and more.

    ``near`` puts q next to the posterior, where a bound is tight; ``simple`` draws small whole numbers for
    counterexamples; ``holes`` gives q zeros; ``signed`` draws numbers and values of either sign where both make sense,
    and ``wild`` draws large ones, and tables of powers of uniform numbers: the higher, the fewer entries count.
    """

    models: int = 10
    cards: tuple[int, int] = (2, 3)
    continuous: bool = False
    near: bool = False
    simple: bool = False
    holes: bool = False
    signed: bool = False
    wild: int = 0
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """The values of size letters and of free indices in one kind of world, and how many nodes a Gaussian has."""

    numbers: tuple[tuple[str, int], ...] = ()
    free: int = 1
    nodes: int = 5

    def get(self, letter: str) -> int | None:
        """The value of a size letter, if it is one."""
        return dict(self.numbers).get(letter)


@dataclass(slots=True)
class Law:
    """What is known of a density when a world is made."""

    roles: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    fixed: frozenset[str] = frozenset()
    near: str = ""
    weights: tuple[float, ...] = ()
