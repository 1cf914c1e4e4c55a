"""One way to read a line, tried on every kind of model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from proofreader.duals import plain
from proofreader.elaborate import Plan
from proofreader.errors import DerivationSyntaxError
from proofreader.evaluate import World
from proofreader.models import Deadline, Setting, Sizes, Tensor
from proofreader.names import Names, law_key, names_in
from proofreader.steps import Choices, Definition
from proofreader.structures import Assumption
from proofreader.syntax import Index, Node, Span

__all__ = ["Attempt", "Trial", "agrees"]


STRICT = Choices()


@dataclass(frozen=True)
class Attempt:
    """One way to try a line: its two trees, how names are read, what is assumed, and what a constant may depend on."""

    left: Node
    right: Node
    relation: str
    choices: Choices = STRICT
    words: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    vary: tuple[str, ...] = ()
    vary_law: tuple[str, tuple[str, ...]] = ("", ())


def agrees(
    world: World, left: Tensor, right: Tensor, relation: str, tolerance: float, vary: tuple[str, ...] = ()
) -> bool:
    """Whether a relation holds in every cell of every model, up to rounding."""
    axes, a, b = world.together(left, right)
    pairs = [(plain(x), plain(y)) for x, y in zip(a, b, strict=True)]
    if any(x != x or y != y for x, y in pairs):
        return False
    if relation in ("propto", "const"):
        return _constant_along(world, axes, pairs, relation, tolerance, vary)
    return all(related(x, y, relation, tolerance) for x, y in pairs)


def related(x: float, y: float, relation: str, tolerance: float) -> bool:
    if x == y:
        return relation in ("=", ">=", "<=")
    slack = tolerance * (1.0 + min(abs(x), abs(y)))
    gap = x - y
    if relation == "=":
        return abs(gap) <= slack
    if relation in (">=", "<="):
        return gap >= -slack if relation == ">=" else gap <= slack
    if relation == "!=":
        return abs(gap) > slack
    return gap > slack if relation == ">" else gap < -slack


def _constant_along(
    world: World,
    axes: tuple[str, ...],
    pairs: list[tuple[float, float]],
    relation: str,
    tolerance: float,
    vary: tuple[str, ...],
) -> bool:
    """Whether the ratio, or the difference, of two sides is the same along some axes."""
    if relation == "propto":
        if any(y == 0 for _, y in pairs):
            return False
        cells = [x / y for x, y in pairs]
    else:
        cells = [x - y for x, y in pairs]
    along = tuple(axis for axis in vary if axis in axes)
    if not along:
        return False
    kept = tuple(axis for axis in axes if axis not in along)
    ordered = world.spread(Tensor(axes, cells), (*kept, *along))
    size = math.prod(world.card(axis) for axis in along)
    chunks = [ordered[k : k + size] for k in range(0, len(ordered), size)]
    return all(abs(c - chunk[0]) <= 10 * tolerance * (1.0 + abs(c)) for chunk in chunks for c in chunk)


def assuming(attempt: Attempt, assumption: Assumption) -> Attempt:
    """An attempt under an assumption."""
    return replace(attempt, words=(*attempt.words, assumption.words), changes=assumption.changes)


def is_constant(cells: Sequence[Any]) -> bool:
    """Whether all cells hold one number."""
    values = [plain(cell) for cell in cells]
    return max(values) - min(values) < 1e-9 if all(v == v for v in values) else False


class Trial:
    """Tries the lines of one display.

    Args:
        names: The names of the display.
        definitions: What names stand for.
        densities: What densities are given by definitions.
        ranges: Where numbers lie.
        samples: The density from which a variable was declared to be drawn.
        models: How many models a line is tried on.
        seed: Where their numbers come from.
        deadline: The time allowed.
    """

    def __init__(
        self,
        names: Names,
        definitions: Mapping[str, Definition],
        densities: Mapping[str, Definition],
        ranges: Mapping[str, tuple[float, float]],
        samples: Mapping[str, Node],
        models: int,
        seed: int,
        deadline: Deadline,
    ) -> None:
        self.names = names
        self.definitions = definitions
        self.densities = densities
        self.ranges = ranges
        self.samples = samples
        self.seed = seed
        self.deadline = deadline
        self.settings = self.make_settings(models)
        self.plans: dict[Any, tuple[Plan, int, int]] = {}
        self.attempts = 0

    def make_settings(self, models: int) -> list[tuple[Setting, Sizes]]:
        """Four kinds of worlds: discrete or not, with two or three draws, and with q anywhere or next to the
        posterior."""
        letters = sorted(self.names.size_letters)
        fixed = {name: int(low) for name, (low, high) in self.ranges.items() if low == high}
        longer = self.names.lengths
        free = max(2 if self.has_offset() else 1, *(longer.get(letter, 1) for letter in ("", *self.names.free_letters)))
        least = dict.fromkeys((n for n in letters if n.islower() and n in self.names.subscripts), 3)
        least |= {letter: longest for letter, longest in longer.items() if letter in letters}
        one, two = (
            Sizes(tuple((n, fixed.get(n, max(size(at), least.get(n, 0)))) for at, n in enumerate(letters)), free)
            for size in (lambda at: 2 + at % 2 if free == 1 else 3, lambda at: 3 - at % 2)
        )
        if any(n.kind == "named" and n.data[0] == "normal" for tree in self.names.trees for n in tree.walk()):
            two = replace(two, nodes=4)
        share = max(1, models // 4)
        return [
            (Setting(share, (2, 3), stream=1), one),
            (Setting(share, (3, 2), continuous=True, stream=2), two),
            (Setting(share, (2, 2), continuous=True, near=True, stream=3), one),
            (Setting(max(1, models - 3 * share), (2, 3), near=True, stream=4), two),
        ]

    def has_offset(self) -> bool:
        """Whether a free index is used with something subtracted, so that it cannot be the first."""
        free = set(self.names.free_letters)
        for tree in self.names.trees:
            for name in names_in(tree):
                for part in name.index:
                    ends = (
                        (part.first, part.last)
                        if isinstance(part, Span)
                        else (part,)
                        if isinstance(part, Index)
                        else ()
                    )
                    if any(end.letter in free and end.offset < 0 for end in ends):
                        return True
        return False

    def plan(self, attempt: Attempt, sizes: Sizes) -> tuple[Plan, int, int]:
        """The plan of an attempt, and the places of its sides."""
        key = (attempt.left, attempt.right, attempt.choices, sizes)
        found = self.plans.get(key)
        if found is None:
            plan = Plan(self.names, self.definitions, self.densities, attempt.choices, sizes)
            found = (plan, plan.compile(attempt.left), plan.compile(attempt.right))
            plan.fix_priors()
            self.neighbours(plan)
            self.plans[key] = found
        return found

    def neighbours(self, plan: Plan) -> None:
        """Which density each q approximates in the worlds where q is next to the posterior."""
        for key, law in plan.laws.items():
            for other, target in plan.laws.items():
                if other != key and self.names.models(other, key) and set(law.roles) <= set(target.roles):
                    law.near = other if not target.near else law.near

    def world(self, attempt: Attempt, plan: Plan, setting: Setting) -> World:
        """The models for an attempt."""
        changes = dict(attempt.changes)
        changes["ranges"] = {**self.ranges, **changes.get("ranges", {})}
        stated = {name.removeprefix("simplex "): () for name in self.ranges if name.startswith("simplex ")}
        changes["simplex"] = {**stated, **changes.get("simplex", {})}
        summed = {
            role for law in plan.laws.values() for role in law.roles if role.partition("#")[0] in self.names.summed
        }
        changes["unnormalised"] = self.unnormalised(plan) - {*changes.get("normalised", ())}
        changes["unit"] = frozenset(plan.unit)
        changes["positive"] = self.names.positive | self.names.scales
        closed = {plan.slot(base): len(values) for base, values in self.names.closed.items()}
        changes["discrete"] = frozenset({*changes.get("discrete", ()), *summed, *closed, *plan.counted, *plan.grids})
        changes["values"] = {plan.slot(base): plan.names.values_of(base) for base in self.names.values}
        bases = {p for law in plan.laws.values() for p in law.parameters}
        extremised = dict.fromkeys(bases & self.names.extremised, 4)
        changes["cards"] = {**closed, **plan.counted, **plan.grids, **extremised, **changes.get("cards", {})}
        return World(plan.steps, plan.laws, plan.role, setting, self.seed, self.deadline, changes)

    def unnormalised(self, plan: Plan) -> frozenset[str]:
        r"""The letters with a tilde, such as ``\\tilde p``, under which nothing is averaged."""
        averaged = {law_key(law.data[0]) for law in self.names.measures}
        return frozenset(key for key in plan.laws if "~tilde" in key) - averaged - {*self.densities}

    def holds_in(self, attempt: Attempt, at: int) -> bool:
        """Whether an attempt holds in one kind of world."""
        setting, sizes = self.settings[at]
        plan, left, right = self.plan(attempt, sizes)
        world = self.world(attempt, plan, setting)
        values = world.evaluate(left), world.evaluate(right)
        tolerance = self.tolerance(attempt)
        key, roles = attempt.vary_law
        if key:
            again = self.world(replace(attempt, changes={**attempt.changes, "again": {key: roles}}), plan, setting)
            others = again.evaluate(left), again.evaluate(right)
            if all(agrees(world, a, b, "=", tolerance) for a, b in zip(values, others, strict=True)):
                return False
            first, second = self.difference(world, *values), self.difference(again, *others)
            return agrees(world, first, second, "=", tolerance)
        return agrees(world, *values, attempt.relation, tolerance, attempt.vary)

    def difference(self, world: World, left: Tensor, right: Tensor) -> Tensor:
        """The difference of two sides, cell by cell."""
        axes, a, b = world.together(left, right)
        return Tensor(axes, [plain(x) - plain(y) for x, y in zip(a, b, strict=True)])

    def tolerance(self, attempt: Attempt) -> float:
        """Rounding, and what an optimiser leaves."""
        trees = [
            attempt.left,
            attempt.right,
            *(d.body for d in self.densities.values()),
            *(d.body for d in self.definitions.values()),
        ]
        letters = any(n.kind in ("max", "min", "argmax", "argmin") for tree in trees for n in tree.walk())
        return 1e-6 if letters else 1e-9

    def holds(self, attempt: Attempt, *, worlds: Sequence[int] = (0, 1, 2, 3)) -> bool:
        """Whether an attempt holds in all kinds of worlds; an attempt that has no meaning, or an assumption that
        does not fit the variables of the line, does not."""
        self.attempts += 1
        if attempt.relation == "!=":
            return not self.holds(replace(attempt, relation="="), worlds=worlds)
        try:
            return all(self.holds_in(attempt, at) for at in worlds)
        except DerivationSyntaxError:
            return False
