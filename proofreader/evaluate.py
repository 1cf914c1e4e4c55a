r"""Finite models in pure Python: random tables, and the value of a plan of elementary steps on them.

A tensor is a flat list with the model first and then one axis a variable, so that one list comprehension serves all
models of a batch. A density is a probability divided by the size of its cell; in a discrete world all sizes are 1. A
gradient is taken by dual numbers. Nothing is shared between two worlds, and nothing is kept after a check.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from proofreader.duals import ELEMENTARY, Cell, Dual, exponential, plain, powered, slope
from proofreader.errors import DerivationSyntaxError
from proofreader.models import Cells, Step, Tensor
from proofreader.tables import Tables

__all__ = ["World"]


UNIT = (0.02, 0.98)
WILD = 12.0
EXTREMA = dict.fromkeys(("max", "min", "argmax", "argmin"), "extremum")


class World(Tables):
    """Values of a plan on a batch of models."""

    def evaluate(self, place: int, seeds: tuple[tuple[str, int], ...] = ()) -> Tensor:
        """The value of one step of the plan."""
        key = (place, seeds, self.version, tuple(sorted(self.values))) if self.values else (place, seeds, self.version)
        found = self.cache.get(key)
        if found is None:
            self.deadline.check()
            step = self.steps[place]
            if step.kind in ELEMENTARY:
                found = self.each(step, seeds, ELEMENTARY[step.kind])
            else:
                found = getattr(self, f"do_{EXTREMA.get(step.kind, step.kind)}")(step, seeds)
            self.cache[key] = found
        return found

    def do_number(self, step: Step, seeds: Any) -> Tensor:
        """A number."""
        return self.constant(step.data[0])

    def do_table(self, step: Step, seeds: Any) -> Tensor:
        """A density."""
        return self.table(step.data, seeds)

    def do_sum(self, step: Step, seeds: Any) -> Tensor:
        """A sum."""
        total = self.evaluate(step.arguments[0], seeds)
        for argument in step.arguments[1:]:
            total = self.added(total, self.evaluate(argument, seeds))
        return total

    def do_product(self, step: Step, seeds: Any) -> Tensor:
        """A product."""
        total = self.evaluate(step.arguments[0], seeds)
        for argument in step.arguments[1:]:
            total = self.times(total, self.evaluate(argument, seeds))
        return total

    def do_ratio(self, step: Step, seeds: Any) -> Tensor:
        """A quotient."""
        return self.over(self.evaluate(step.arguments[0], seeds), self.evaluate(step.arguments[1], seeds))

    def do_power(self, step: Step, seeds: Any) -> Tensor:
        """A power."""
        axes, a, b = self.together(self.evaluate(step.arguments[0], seeds), self.evaluate(step.arguments[1], seeds))
        return Tensor(axes, [powered(x, y) for x, y in zip(a, b, strict=True)])

    def each(self, step: Step, seeds: Any, change: Callable[[Cell], Cell]) -> Tensor:
        """A function of every cell."""
        inner = self.evaluate(step.arguments[0], seeds)
        return Tensor(inner.axes, [change(cell) for cell in inner.cells])

    def do_stop(self, step: Step, seeds: Any) -> Tensor:
        """A value through which no derivative is taken."""
        return self.evaluate(step.arguments[0], ())

    def do_integral(self, step: Step, seeds: Any) -> Tensor:
        """A sum over the cells of variables, each weighed by its size."""
        atoms = step.data
        inner = self.evaluate(step.arguments[0], tuple(seed for seed in seeds if seed[0] not in atoms))
        missing = tuple(atom for atom in atoms if atom not in inner.axes)
        if missing:
            inner = Tensor((*inner.axes, *missing), self.spread(inner, (*inner.axes, *missing)))
        if self.setting.continuous:
            for atom in atoms:
                inner = self.times(inner, self.size(atom))
        return self.reduced(inner, atoms, sum)

    def do_scalar(self, step: Step, seeds: Any) -> Tensor:
        """A number that a name stands for."""
        label = step.data[0]
        family = label.split("#")[0]
        if family in self.assumptions.get("simplex", {}):
            labels = sorted({s.data[0] for s in self.steps if s.kind == "scalar" and s.data[0].split("#")[0] == family})
            members = self.assumptions["simplex"][family] or labels
            drawn = [self.draw(f"scalar {member}", (), self.weight).cells for member in members]
            own = self.draw(f"scalar {label}", (), self.weight).cells
            return Tensor((), [own[k] / sum(d[k] for d in drawn) for k in range(self.models)])
        known = self.bounds(label)
        if known is not None:

            def numbers(s: random.Random) -> float:
                return known[0] + (known[1] - known[0]) * max(1e-3, s.random() ** s.choice((1, 4)))
        elif self.setting.simple:
            numbers = lambda s: s.choice((0.5, 2.0, 3.0, 0.25))  # noqa: E731
        else:
            high = WILD if self.setting.wild else 2.5
            sign = self.sign(family)
            numbers = lambda s: sign(s) * _away_from_one(s.uniform(0.15, high))  # noqa: E731
        return self.seeded(self.draw(f"scalar {label}", (), numbers), label, seeds)

    def bounds(self, label: str) -> tuple[float, float] | None:
        """Where a number must lie, if that is known."""
        family = label.partition("#")[0]
        known: tuple[float, float] | None = self.assumptions.get("ranges", {}).get(label)
        return known if known is not None else UNIT if family in self.unit() else None

    def sign(self, base: str) -> Callable[[random.Random], float]:
        """The signs that numbers of a name may have."""
        positive = self.assumptions.get("positive", frozenset()) | self.unit()
        both = self.setting.signed and base not in positive
        return (lambda s: s.choice((1.0, -1.0))) if both else (lambda s: 1.0)

    def unit(self) -> frozenset[str]:
        """The names of probabilities."""
        found: frozenset[str] = self.assumptions.get("unit", frozenset())
        return found

    def seeded(self, tensor: Tensor, name: str, seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """A number that moves by itself if a derivative with respect to it is taken."""
        for axis, level in seeds:
            if axis == name:
                tensor = Tensor(tensor.axes, [cell + Dual(0.0, 1.0, level) for cell in tensor.cells])
        return tensor

    def do_value(self, step: Step, seeds: Any) -> Tensor:
        """The number that a variable takes."""
        atom = step.data[0]
        if atom in self.values:
            return self.seeded(self.values[atom], atom, seeds)
        role = self.role(atom)
        pushed = self.assumptions.get("pushed", {}).get(role)
        if pushed is not None:
            place, source = pushed
            value = self.evaluate(place, seeds)
            return Tensor(tuple(atom if axis == source else axis for axis in value.axes), value.cells)
        named = self.assumptions.get("values", {}).get(role)
        if named is not None and role in self.assumptions.get("cards", {}):
            others = range(max(named) + 1, max(named) + 1 + self.card(atom) - len(named))
            return self.seeded(Tensor((atom,), [float(v) for v in (*named, *others)] * self.models), atom, seeds)
        base = role.partition("#")[0]
        low, high = UNIT if base in self.unit() else (0.2, WILD if self.setting.wild else 2.4)
        whole, sign = self.setting.simple and high > 1, self.sign(base)
        numbers = (lambda s: float(s.choice((1, 2, 3)))) if whole else (lambda s: sign(s) * s.uniform(low, high))
        return self.seeded(Tensor((atom,), self.draw(f"value {role}", (role,), numbers).cells), atom, seeds)

    def do_grid(self, step: Step, seeds: Any) -> Tensor:
        """Given numbers along a variable."""
        return Tensor(step.data[:1], [*step.data[1]] * self.models)

    def do_pick(self, step: Step, seeds: Any) -> Tensor:
        """A value at one value of a variable."""
        inner = self.evaluate(step.arguments[0], seeds)
        atom, at = step.data
        if atom not in inner.axes:
            return inner
        kept = tuple(axis for axis in inner.axes if axis != atom)
        return Tensor(kept, self.spread(inner, (*kept, atom))[at :: self.card(atom)])

    def do_same(self, step: Step, seeds: Any) -> Tensor:
        """One where the variables take one value, zero elsewhere."""
        atoms = tuple(dict.fromkeys(step.data))
        if len({self.card(atom) for atom in atoms}) > 1:
            raise DerivationSyntaxError("an event that compares variables of different kinds")
        size, rank = self.card(atoms[0]), len(atoms)
        cells = [float(len(set(at)) == 1) for at in itertools.product(range(size), repeat=rank)]
        return Tensor(atoms, cells * self.models)

    def do_function(self, step: Step, seeds: Any) -> Tensor:
        """An arbitrary smooth function of numbers; convex, concave or positive where that is assumed."""
        label, positive = step.data
        arguments = [self.evaluate(argument, seeds) for argument in step.arguments]
        shape = self.assumptions.get("shapes", {}).get(label.split("#")[0], "")
        axes: tuple[str, ...] = ()
        for tensor in arguments:
            axes += tuple(axis for axis in tensor.axes if axis not in axes)
        inputs = [self.spread(tensor, axes) for tensor in arguments]
        count = 4 * len(arguments) + 3
        key = f"coefficients {label} {len(arguments)}"
        if key not in self.drawn:
            source = random.Random(f"{self.seed}/{key}")
            self.drawn[key] = [[source.uniform(-1.2, 1.2) for _ in range(count)] for _ in range(self.models)]
        size = math.prod(self.card(axis) for axis in axes)
        points = list(zip(*inputs, strict=True)) if inputs else [()] * self.models
        scale = WILD if self.setting.wild and not shape else 1.0
        return Tensor(
            axes,
            [scale * _smooth(point, self.drawn[key][k // size], shape, positive) for k, point in enumerate(points)],
        )

    def do_gradient(self, step: Step, seeds: Any) -> Tensor:
        """A derivative with respect to the sum of some names moving together."""
        self.levels += 1
        level = 1 + max((known for _, known in seeds), default=0)
        moved = tuple(sorted((*seeds, *((axis, level) for axis in step.data))))
        inner = self.evaluate(step.arguments[0], moved)
        return Tensor(inner.axes, [slope(cell, level) for cell in inner.cells])

    def do_at(self, step: Step, seeds: Any) -> Tensor:
        """An expression with a number put in for a variable."""
        value = self.evaluate(step.arguments[1], seeds)
        outer = self.values
        self.values = {**outer, step.data[0]: value}
        try:
            inner = self.evaluate(step.arguments[0], seeds)
        finally:
            self.values = outer
        self.cache = {key: found for key, found in self.cache.items() if len(key) != 4 or not isinstance(key[0], int)}
        return inner

    def do_extremum(self, step: Step, seeds: Any) -> Tensor:
        """The largest or smallest value along some axes, or where it is."""
        choose = max if step.kind.endswith("max") else min

        def where(cells: list[Cell]) -> float:
            return float(choose(range(len(cells)), key=lambda k: plain(cells[k])))

        inner = self.evaluate(step.arguments[0], seeds)
        how = where if step.kind.startswith("arg") else lambda cells: choose(cells, key=plain)
        return self.reduced(inner, step.data, how)

    def do_optimum(self, step: Step, seeds: Any) -> Tensor:
        """The extremum over all densities of some atoms given others, by multiplicative steps that end at once for
        an entropy."""
        if seeds:
            raise DerivationSyntaxError("an extremum inside a gradient is not read")
        how, name, left, given = step.data
        sign = 1.0 if how.endswith("max") else -1.0
        axes = (*given, *left)
        size = math.prod(self.card(axis) for axis in left)
        outer = (self.overrides, self.version, self.assumed_axes)
        best = Tensor(axes, [1.0 / size] * (self.models * math.prod(self.card(a) for a in axes)))
        try:
            for _ in range(12):
                current, slopes = self.slopes(step.arguments[0], name, best, left)
                candidates = [self.stepped(best, slopes, left, update) for update in (_entropic(sign), _multiplicative)]
                values = [self.with_table(step.arguments[0], name, candidate, left) for candidate in candidates]
                improved = self.better(best, current, candidates, values, sign, left)
                if improved is None:
                    break
                best = improved
            value = self.with_table(step.arguments[0], name, best, left)
        finally:
            self.overrides, self.version, self.assumed_axes = outer
        return self.per_size(best, left) if how.startswith("arg") else value

    def with_table(self, place: int, name: str, table: Tensor, left: tuple[str, ...]) -> Tensor:
        """A value with another table in the place of a density."""
        self.levels += 1
        self.overrides = {**self.overrides, name: table}
        self.assumed_axes = left
        self.version = self.levels + 1000
        return self.evaluate(place)

    def slopes(self, place: int, name: str, table: Tensor, left: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """The value at a table, and its derivative with respect to each cell of it."""
        size = math.prod(self.card(axis) for axis in left)
        found: list[Cells] = []
        value = self.with_table(place, name, table, left)
        for cell in range(size):
            moved = Tensor(
                table.axes, [Dual(c, 1.0 if k % size == cell else 0.0, 1) for k, c in enumerate(table.cells)]
            )
            inner = self.with_table(place, name, moved, left)
            kept = (
                self.spread(inner, tuple(a for a in table.axes if a not in left))
                if set(inner.axes) <= set(table.axes)
                else None
            )
            if kept is None:
                raise DerivationSyntaxError("an extremum that depends on variables of which its density does not know")
            found.append([slope(c, 1) for c in kept])
        cells = [found[k % size][k // size] for k in range(len(table.cells))]
        return value, Tensor(table.axes, cells)

    def stepped(
        self, table: Tensor, slopes: Tensor, left: tuple[str, ...], update: Callable[[float, float], float]
    ) -> Tensor:
        """A table after one multiplicative step, normalised."""
        cells = [update(c, d) for c, d in zip(table.cells, slopes.cells, strict=True)]
        weights = Tensor(table.axes, cells)
        return self.over(weights, self.reduced(weights, left, sum))

    def better(
        self,
        best: Tensor,
        current: Tensor,
        candidates: list[Tensor],
        values: list[Tensor],
        sign: float,
        left: tuple[str, ...],
    ) -> Tensor | None:
        """For each model and condition the better of several tables; None if nothing gets better."""
        given = tuple(axis for axis in best.axes if axis not in left)
        size = len(best.cells) // max(1, len(self.spread(current, given)))
        scores = [self.spread(value, given) for value in (current, *values)]
        tables = [best.cells, *(candidate.cells for candidate in candidates)]
        cells: Cells = []
        changed = False
        for k in range(len(scores[0])):
            ranked = [(sign * plain(s[k]) if plain(s[k]) == plain(s[k]) else -math.inf) for s in scores]
            winner = max(range(len(ranked)), key=lambda at: (ranked[at], -at))
            changed |= winner > 0 and ranked[winner] > ranked[0] + 1e-13
            cells += tables[winner][k * size : (k + 1) * size]
        return Tensor(best.axes, cells) if changed else None


def _entropic(sign: float) -> Callable[[float, float], float]:
    return lambda cell, gradient: cell * exponential(max(-60.0, min(60.0, sign * gradient)))


def _multiplicative(cell: float, gradient: float) -> float:
    return cell * max(1e-12, abs(gradient))


def _away_from_one(value: float) -> float:
    return 0.8 if abs(value - 1.0) < 0.08 else value


def _smooth(point: Sequence[Cell], numbers: Sequence[float], shape: str, positive: bool) -> Cell:
    """A function without any structure, or one with the structure that is assumed."""
    if shape:
        curved = 0.4 * abs(numbers[0]) + 0.3
        value: Cell = numbers[1] * point[0] + curved * point[0] * point[0] if point else 0.0
        return value if shape == "convex" else -value
    total: Cell = numbers[0]
    mixed: Cell = numbers[1]
    inner: Cell = numbers[2]
    for k, u in enumerate(point):
        a, b, c, d = numbers[3 + 4 * k : 7 + 4 * k]
        total = total + a * u + 0.5 * b * u * u
        mixed = mixed * (u + d)
        inner = inner + c * 2.0 * u
    total = total + mixed + 1.5 / (1.0 + inner * inner)
    return exponential(0.5 * total) if positive else total
