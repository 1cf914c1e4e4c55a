r"""Finite models in pure Python: random tables, and the value of a plan of elementary steps on them.

A tensor is a flat list with the model first and then one axis a variable, so that one list comprehension serves all
models of a batch. A density is a probability divided by the size of its cell; in a discrete world all sizes are 1. A
gradient is taken by dual numbers. Nothing is shared between two worlds, and nothing is kept after a check.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proofreader.duals import (
    ELEMENTARY,
    Cell,
    Dual,
    divided,
    exponential,
    logarithm,
    multiplied,
    plain,
    powered,
    slope,
)
from proofreader.errors import DerivationSyntaxError, TooSlowError

__all__ = ["Deadline", "Setting", "Step", "Tensor", "World"]

MAX_CELLS = 60_000
UNIT = (0.02, 0.98)
EXTREMA = dict.fromkeys(("max", "min", "argmax", "argmin"), "extremum")
Cells = list[Cell]


class Tensor(NamedTuple):
    """Numbers on some axes: all cells of the first model, then of the second, and so on."""

    axes: tuple[str, ...]
    cells: Cells


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
        self.end = time.thread_time() + self.seconds

    def check(self) -> None:
        """Raises an error when the time is over."""
        if time.thread_time() > self.end:
            raise TooSlowError

    def left(self) -> float:
        """How much is left of it, as a share."""
        return (self.end - time.thread_time()) / self.seconds


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of world: how many models, the sizes of the variables, whether densities may exceed 1, and more.

    ``near`` puts q next to the posterior, where a bound is tight; ``simple`` draws small whole numbers for
    counterexamples; ``holes`` gives q zeros.
    """

    models: int = 10
    cards: tuple[int, int] = (2, 3)
    continuous: bool = False
    near: bool = False
    simple: bool = False
    holes: bool = False
    stream: int = 0


@dataclass(slots=True)
class Law:
    """What is known of a density when a world is made."""

    roles: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    fixed: frozenset[str] = frozenset()
    near: str = ""


class World:
    """A batch of random finite models.

    Args:
        steps: The plan.
        laws: The densities that it speaks of.
        setting: What kind of models.
        seed: Where their numbers come from.
        deadline: The time allowed.
        assumptions: What is assumed of the models, as (name, …) entries that :mod:`proofreader.assumptions` makes.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        laws: Mapping[str, Law],
        role: Callable[[str], str],
        setting: Setting,
        seed: int,
        deadline: Deadline,
        assumptions: Mapping[str, Any] | None = None,
    ) -> None:
        self.steps = steps
        self.laws = laws
        self.role = role
        self.setting = setting
        self.models = setting.models
        self.seed = f"{seed}/{setting.stream}/{int(setting.simple)}"
        self.deadline = deadline
        self.assumptions = assumptions or {}
        self.cards: dict[str, int] = {}
        roles = sorted({r for law in laws.values() for r in law.roles}, reverse=True)
        self.order = {r: at for at, r in enumerate(roles)}
        self.cards.update({p: 2 for law in laws.values() for p in law.parameters})
        self.cards.update((assumptions or {}).get("cards", {}))
        self.cache: dict[tuple[Any, ...], Tensor] = {}
        self.maps: dict[tuple[Any, ...], Any] = {}
        self.drawn: dict[str, Cells] = {}
        self.overrides: dict[str, Tensor] = {}
        self.version = 0
        self.levels = 0
        self.values: dict[str, Tensor] = {}

    # Axes

    def card(self, axis: str) -> int:
        """How many values a variable has."""
        role = self.role(axis)
        if role not in self.cards:
            given = self.assumptions.get("cards", {})
            like = self.assumptions.get("like", {}).get(role)
            if like:
                self.cards[role] = self.card(like)
            elif role in given:
                self.cards[role] = given[role]
            else:
                self.cards[role] = self.setting.cards[self.order.get(role, 0) % 2] if len(self.order) < 5 else 2
        return self.cards[role]

    def indices(self, source: tuple[str, ...], target: tuple[str, ...]) -> list[int]:
        """For each cell of the target's axes, the cell of the source."""
        key = (source, target)
        found = self.maps.get(key)
        if found is None:
            size = self.models * math.prod(self.card(axis) for axis in target)
            if size > MAX_CELLS:
                raise DerivationSyntaxError("too many variables at once for a table of all their values")
            strides: dict[str, int] = {}
            step = 1
            for axis in reversed(source):
                strides[axis] = step
                step *= self.card(axis)
            offsets = [0]
            for axis in target:
                stride = strides.get(axis, 0)
                offsets = [o + stride * k for o in offsets for k in range(self.card(axis))]
            found = [model * step + offset for model in range(self.models) for offset in offsets]
            self.maps[key] = found
        return found

    def spread(self, tensor: Tensor, axes: tuple[str, ...]) -> Cells:
        """The cells of a tensor, repeated along further axes."""
        if tensor.axes == axes:
            return tensor.cells
        cells = tensor.cells
        return [cells[k] for k in self.indices(tensor.axes, axes)]

    def together(self, first: Tensor, second: Tensor) -> tuple[tuple[str, ...], Cells, Cells]:
        """Two tensors on the same axes."""
        if first.axes == second.axes:
            return first.axes, first.cells, second.cells
        axes = first.axes + tuple(axis for axis in second.axes if axis not in first.axes)
        return axes, self.spread(first, axes), self.spread(second, axes)

    def added(self, first: Tensor, second: Tensor) -> Tensor:
        """The sum of two tensors."""
        axes, a, b = self.together(first, second)
        return Tensor(axes, [x + y for x, y in zip(a, b, strict=True)])

    def times(self, first: Tensor, second: Tensor) -> Tensor:
        """The product of two tensors."""
        axes, a, b = self.together(first, second)
        if self.setting.holes:
            return Tensor(axes, [multiplied(x, y) for x, y in zip(a, b, strict=True)])
        return Tensor(axes, [x * y for x, y in zip(a, b, strict=True)])

    def over(self, first: Tensor, second: Tensor) -> Tensor:
        """The quotient of two tensors."""
        axes, a, b = self.together(first, second)
        return Tensor(axes, [divided(x, y) for x, y in zip(a, b, strict=True)])

    def reduced(self, tensor: Tensor, axes: Sequence[str], how: Callable[[list[Cell]], Cell]) -> Tensor:
        """A tensor with some axes taken together."""
        gone = [axis for axis in axes if axis in tensor.axes]
        kept = tuple(axis for axis in tensor.axes if axis not in gone)
        if not gone:
            return tensor
        size = math.prod(self.card(axis) for axis in gone)
        cells = self.spread(tensor, (*kept, *gone))
        return Tensor(kept, [how(cells[k : k + size]) for k in range(0, len(cells), size)])

    def constant(self, value: Cell) -> Tensor:
        """One number in all models."""
        return Tensor((), [value] * self.models)

    # Random numbers

    def draw(self, label: str, axes: tuple[str, ...], number: Callable[[random.Random], float]) -> Tensor:
        """Random numbers on roles, the same wherever the same label asks for them."""
        found = self.drawn.get(label)
        if found is None:
            count = self.models * math.prod(self.card(axis) for axis in axes)
            if count > MAX_CELLS:
                raise DerivationSyntaxError("too many variables at once for a table of all their values")
            source = random.Random(f"{self.seed}/{label}")
            found = [number(source) for _ in range(count)]
            self.drawn[label] = found
        return Tensor(axes, found)

    def weight(self, source: random.Random) -> float:
        """An unnormalised probability: mostly moderate, sometimes small."""
        if self.setting.simple:
            return float(source.choice((1, 1, 2, 3)))
        value = source.random()
        return 0.02 + 2.0 * value * value * value

    def size(self, atom: str) -> Tensor:
        """The sizes of the cells of a variable."""
        role = self.role(atom)
        discrete = self.assumptions.get("discrete", frozenset())
        if not self.setting.continuous or role in discrete or "all" in discrete:
            return self.constant(1.0)
        like = self.assumptions.get("like", {}).get(role, role)
        if "like" in self.assumptions and (like != role or role in self.assumptions["like"].values()):
            return self.constant(1.0)
        return Tensor((atom,), self.draw(f"size {role}", (role,), lambda s: math.exp(s.uniform(-1.6, 1.0))).cells)

    # Densities

    def joint(self, name: str, seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """The joint table of a density over its variables, for each value of its parameters; axes are roles."""
        key = ("joint", name, seeds, self.version)
        found = self.cache.get(key)
        if found is None:
            law = self.laws[name]
            found = self.constant(1.0)
            for children, parents in self.factors(name):
                found = self.times(found, self.factor(name, law, children, parents, seeds))
            self.cache[key] = found
        return found

    def factors(self, name: str) -> Sequence[tuple[tuple[str, ...], tuple[str, ...]]]:
        """How a joint table is put together: each group of variables given others."""
        law = self.laws[name]
        assumed = self.assumptions.get("factors", {}).get(name)
        if assumed is not None:
            return assumed
        shared = self.assumptions.get("shared", {}).get(name)
        if shared is not None:
            return [(shared[0], ()), (tuple(role for role in law.roles if role not in shared[0]), shared[0])]
        still = self.still(name)
        fixed = tuple(role for role in law.roles if role in still)
        rest = tuple(role for role in law.roles if role not in still)
        return [part for part in ((fixed, ()), (rest, fixed)) if part[0]]

    def still(self, name: str) -> frozenset[str]:
        """The variables of a density that do not move with its parameters."""
        found: frozenset[str] = self.assumptions.get("still", {}).get(name, self.laws[name].fixed)
        return found

    def factor(
        self,
        name: str,
        law: Law,
        children: tuple[str, ...],
        parents: tuple[str, ...],
        seeds: tuple[tuple[str, int], ...],
    ) -> Tensor:
        """A random conditional table, normalised over its children."""
        optimal = self.assumptions.get("optimal", {}).get(name)
        if optimal is not None and set(children) == set(optimal[0]):
            return self.mean_field(name, optimal)
        if len(children) == 1 and children[0] in self.assumptions.get("uniform", {}):
            return Tensor(children, [1.0 / self.card(children[0])] * (self.models * self.card(children[0])))
        shared = self.assumptions.get("shared", {}).get(name)
        if shared is not None and children == shared[0]:
            return self.marginal(shared[1], children, (), ())
        moving = () if self.still(name) and set(children) <= self.still(name) else tuple(law.parameters)
        axes = (*children, *parents, *moving)
        moved = set(children) <= set(self.assumptions.get("again", {}).get(name, ()))
        again = " again" if moved and children else ""
        label = f"law{again} {name} {children} {parents}"
        weights = self.draw(label, axes, self.weight)
        if self.setting.near and law.near in self.laws and not self.assumptions.get("far"):
            weights = self.near(law, axes, label)
        if self.setting.holes and law.near and children:
            weights = Tensor(
                axes,
                [
                    w if self.indices((children[0],), axes)[k] % self.card(children[0]) else 0.0
                    for k, w in enumerate(weights.cells)
                ],
            )
        total = self.reduced(
            self.moved(weights, label, axes, [s for s in seeds if s[0] not in children]), children, sum
        )
        return self.over(self.moved(weights, label, axes, seeds), total)

    def moved(self, weights: Tensor, label: str, axes: tuple[str, ...], seeds: Sequence[tuple[str, int]]) -> Tensor:
        """Weights that move with parameters and with the values of variables."""
        for axis, level in seeds:
            if axis in axes:
                steps = self.draw(f"{label} along {axis}", axes, lambda s: s.uniform(-1.0, 1.0))
                weights = Tensor(
                    axes,
                    [w * exponential(Dual(0.0, d, level)) for w, d in zip(weights.cells, steps.cells, strict=True)],
                )
        return weights

    def near(self, law: Law, axes: tuple[str, ...], label: str) -> Tensor:
        """Weights next to those of another density: its conditional given the rest, and in every fourth model its
        marginals."""
        other = self.joint(law.near, ())
        extra = tuple(axis for axis in other.axes if axis not in axes)
        kept = tuple(axis for axis in other.axes if axis not in extra)
        size = math.prod(self.card(axis) for axis in extra)
        cells = self.spread(other, (*kept, *extra))
        joint = Tensor(kept, cells[::size])
        marginals = self.constant(1.0)
        for axis in kept:
            marginals = self.times(marginals, self.reduced(other, [a for a in other.axes if a != axis], sum))
        share = max(1, len(joint.cells) // self.models)
        rows = zip(joint.cells, self.spread(marginals, kept), strict=True)
        base = Tensor(kept, [m if (k // share) % 4 == 3 else j for k, (j, m) in enumerate(rows)])
        noise = self.draw(
            f"{label} near",
            axes,
            lambda s: math.exp(s.uniform(-0.06, 0.06) if s.random() < 0.5 else s.uniform(-0.3, 0.3)),
        )
        return self.times(noise, base)

    def mean_field(self, name: str, optimal: tuple[tuple[str, ...], tuple[str, ...], str, tuple[str, ...]]) -> Tensor:
        """The factor of a mean-field q that is best given the other: proportional to exp E[log p]."""
        own, rest, target, given = optimal
        others = self.constant(1.0)
        for children, parents in self.factors(name):
            if set(children) != set(own):
                others = self.times(others, self.factor(name, self.laws[name], children, parents, ()))
        others = self.reduced(others, tuple(a for a in others.axes if a not in rest), sum)
        density = self.marginal(target, (*own, *rest), given, ())
        energy = self.reduced(
            self.times(others, Tensor(density.axes, [logarithm(c) for c in density.cells])), rest, sum
        )
        weights = Tensor(energy.axes, [exponential(c) for c in energy.cells])
        return self.over(weights, self.reduced(weights, own, sum))

    def marginal(
        self, name: str, left: tuple[str, ...], right: tuple[str, ...], seeds: tuple[tuple[str, int], ...]
    ) -> Tensor:
        """Probabilities of some roles given others."""
        kept = {*left, *right}
        law = self.laws[name]
        known = {*law.parameters, *kept}
        cut = self.summed(name, kept, tuple(seed for seed in seeds if seed[0] in known))
        if not right:
            return cut
        behind = tuple(seed for seed in seeds if seed[0] in known and seed[0] not in left)
        return self.over(cut, self.summed(name, set(right), behind))

    def summed(self, name: str, kept: set[str], seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """The joint summed over all other roles; what is summed over does not move."""
        return self.reduced(self.joint(name, seeds), [r for r in self.laws[name].roles if r not in kept], sum)

    def table(self, data: tuple[Any, ...], seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """The density of some atoms given others."""
        name, left, right, parameters = data
        name, left, right = self.substituted(name, left, right)
        noise = self.assumptions.get("posterior_of_noise", {}).get(name)
        if noise is not None and {self.role(a) for a in left} == {noise[1]}:
            own = self.marginal(noise[0], (noise[2],), (), ())
            return Tensor(tuple(left[0] if axis == noise[2] else axis for axis in own.axes), own.cells)
        both = set(left) & set(right)
        left = tuple(atom for atom in left if atom not in both)
        if not left:
            return self.constant(1.0)
        override = self.overrides.get(name)
        if override is not None:
            return self.overridden(override, left, right)
        mine = {self.role(atom): atom for atom in (*left, *right)}
        law = self.laws[name]
        axes_of = {**mine, **dict(zip(law.parameters, parameters, strict=False))}
        inner = tuple((role, level) for role, axis in axes_of.items() for seed, level in seeds if seed == axis)
        key = ("marginal", name, tuple(self.role(a) for a in left), tuple(self.role(a) for a in right), inner)
        found = self.cache.get(key)
        if found is None:
            found = self.marginal(name, key[2], key[3], inner)
            self.cache[key] = found
        renamed = Tensor(tuple(axes_of.get(axis, axis) for axis in found.axes), found.cells)
        return self.per_size(renamed, left)

    def substituted(
        self, name: str, left: tuple[str, ...], right: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """The density that stands for another one under the assumption that q is a posterior."""
        target = self.assumptions.get("posterior", {}).get(name)
        if target is None:
            return name, left, right
        other, given = target
        known = {self.role(atom) for atom in (*left, *right)}
        return other, left, (*right, *(role for role in given if role not in known))

    def overridden(self, table: Tensor, left: tuple[str, ...], right: tuple[str, ...]) -> Tensor:
        """Marginals and conditionals of a table that replaces a density for a while."""
        masses = table
        drop = [axis for axis in table.axes if axis not in left and axis not in right and axis in self.assumed_axes]
        masses = self.reduced(masses, drop, sum)
        inside = [axis for axis in left if axis in masses.axes]
        return self.per_size(self.over(masses, self.reduced(masses, inside, sum)), left)

    assumed_axes: tuple[str, ...] = ()

    def per_size(self, tensor: Tensor, left: tuple[str, ...]) -> Tensor:
        """Probabilities as densities."""
        if not self.setting.continuous:
            return tensor
        for atom in left:
            tensor = self.over(tensor, self.size(atom))
        return tensor

    # Evaluation

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
            members = self.assumptions["simplex"][family]
            drawn = [self.draw(f"scalar {member}", (), self.weight).cells for member in members]
            own = self.draw(f"scalar {label}", (), self.weight).cells
            return Tensor((), [own[k] / sum(d[k] for d in drawn) for k in range(self.models)])
        known = self.assumptions.get("ranges", {}).get(label, UNIT if family in self.unit() else None)
        if known is not None:

            def numbers(s: random.Random) -> float:
                return known[0] + (known[1] - known[0]) * s.random() ** s.choice((1, 4))
        elif self.setting.simple:
            numbers = lambda s: s.choice((0.5, 2.0, 3.0, 0.25))  # noqa: E731
        else:
            numbers = lambda s: _away_from_one(s.uniform(0.15, 2.5))  # noqa: E731
        return self.seeded(self.draw(f"scalar {label}", (), numbers), label, seeds)

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
        low, high = UNIT if role.partition("#")[0] in self.unit() else (0.2, 2.4)
        whole = self.setting.simple and high > 1
        numbers = (lambda s: float(s.choice((1, 2, 3)))) if whole else (lambda s: s.uniform(low, high))
        return self.seeded(Tensor((atom,), self.draw(f"value {role}", (role,), numbers).cells), atom, seeds)

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
        return Tensor(
            axes, [_smooth(point, self.drawn[key][k // size], shape, positive) for k, point in enumerate(points)]
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
