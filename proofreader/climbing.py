"""Models that are made to break an inequality: random steps that are kept where they bring its sides closer together.

Random models seldom come near the places where a bound is tight. From there a wrong bound is a step away from a model
that breaks it; a right one is not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from proofreader.duals import plain
from proofreader.evaluate import World
from proofreader.models import Cells, Tensor

__all__ = ["closest"]

STEPS, WORK = 400, 2_400
SCALES = (0.1, 0.5, 2.0, 8.0)
# The largest numbers: values and coefficients such that the exponential of a function is neither zero nor infinite.
LARGEST = {"value": 4.0, "coefficients": 4.0, "scalar": 30.0, "size": 30.0}
SMALLEST = 1e-40  # of the weights of a table
# How far the sides must be apart, in units of their sizes and one: far more than rounding leaves.
APART = 1e-6
TINY = 1e-4  # the steps after which a violation that is none but rounding is gone


def closest(world: World, sides: Callable[[], tuple[Tensor, Tensor]], greater: bool) -> float:
    """How close the two sides of an inequality come in some model; negative where it breaks the inequality.

    Args:
        world: A batch of models, drawn already.
        sides: Evaluates both sides on the numbers that the world has drawn.
        greater: Whether the left side should be the greater one.
    """
    source = random.Random(f"{world.seed}/climb")
    gaps = _gaps(world, *sides(), greater)
    functions = any(label.startswith("coefficients") for label in world.drawn)
    for step in range(min(STEPS, WORK // len(world.cache))):
        if min(gaps) < -APART and _stays(world, sides, greater, source):
            return min(gaps)
        before = world.drawn
        scale = SCALES[step % len(SCALES)]
        moved = {label: _moved(world, label, cells, scale, source) for label, cells in before.items()}
        for label in before if functions else ():
            # A bound for every function is tried at its best function for some tables that stay as they are.
            if label.startswith("law"):
                moved[label] = _chosen(before[label], moved[label], [at % 2 == 0 for at in range(world.models)])
        world.drawn = moved
        world.cache.clear()
        found = _gaps(world, *sides(), greater)
        better = [new < old for new, old in zip(found, gaps, strict=True)]
        gaps = [new if wins else old for new, old, wins in zip(found, gaps, better, strict=True)]
        world.drawn = {label: _chosen(cells, moved[label], better) for label, cells in before.items()}
    return max(min(gaps), 0.0)


def _stays(world: World, sides: Callable[[], tuple[Tensor, Tensor]], greater: bool, source: random.Random) -> bool:
    """Whether a model still breaks the inequality after tiny steps."""
    drawn = world.drawn
    found = []
    for _ in range(3):
        world.drawn = {label: _moved(world, label, cells, TINY, source) for label, cells in drawn.items()}
        world.cache.clear()
        found.append(_gaps(world, *sides(), greater))
    world.drawn = drawn
    world.cache.clear()
    return any(max(gaps) < -APART for gaps in zip(*found, strict=True))


def _gaps(world: World, left: Tensor, right: Tensor, greater: bool) -> list[float]:
    """For each model by how much the inequality holds where it holds least, in units of the sides' sizes and one."""
    _, a, b = world.together(left, right)
    cells = [_gap(plain(x), plain(y), greater) for x, y in zip(a, b, strict=True)]
    size = len(cells) // world.models
    return [min(cells[k : k + size]) for k in range(0, len(cells), size)]


def _gap(left: float, right: float, greater: bool) -> float:
    if not (math.isfinite(left) and math.isfinite(right)):
        return math.inf
    return (left - right if greater else right - left) / (1.0 + abs(left) + abs(right))


def _chosen(old: Cells, new: Cells, better: Sequence[bool]) -> Cells:
    """The numbers of each model before or after a step."""
    size = len(old) // len(better)
    return [new[k] if better[k // size] else old[k] for k in range(len(old))]


def _moved(world: World, label: str, cells: Cells, scale: float, source: random.Random) -> Cells:
    """Numbers after a step, within what they may be."""
    kind, _, name = label.partition(" ")
    if kind == "coefficients":
        return [[_shifted(c, scale, LARGEST[kind], source) for c in row] for row in cells]
    bounds = world.bounds(name) if kind in ("scalar", "value") else None
    if bounds is not None:
        low, high = bounds
        return [min(high, max(low, plain(c) + source.gauss(0.0, scale) * (high - low) / 4)) for c in cells]
    return [_stretched(plain(c), scale, LARGEST.get(kind, 1e3), source) for c in cells]


def _stretched(cell: float, scale: float, largest: float, source: random.Random) -> float:
    """A number times a random factor, of the same sign; half of them stay."""
    if source.random() < 0.5:
        return cell
    size = min(largest, max(SMALLEST, abs(cell) * math.exp(source.gauss(0.0, scale))))
    return math.copysign(size, cell)


def _shifted(value: float, scale: float, largest: float, source: random.Random) -> float:
    """A number plus a random one; half of them stay."""
    return value if source.random() < 0.5 else max(-largest, min(largest, value + source.gauss(0.0, scale)))
