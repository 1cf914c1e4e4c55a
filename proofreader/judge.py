r"""Verdicts: every plausible reading of a line on every kind of model, and the weakest assumption that saves it.

A line **holds** if its strict reading is true on all models tried. It holds **if** some condition is met where another
reading, or an assumption, makes it true. It is **false** only if every plausible reading fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, cast

from proofreader.assumptions import Assumption, Pairs, candidates, discreteness, shown, tables_of
from proofreader.classify import compared_values, has_any, introduces, is_functional_equation, is_stationarity
from proofreader.distributions import as_gaussian
from proofreader.duals import plain
from proofreader.elaborate import Choices, Definition, Plan
from proofreader.errors import DerivationSyntaxError
from proofreader.evaluate import Deadline, Setting, Tensor, World
from proofreader.layout import GREEK
from proofreader.names import BOUNDS, Names, Sizes, names_in, renamed
from proofreader.parse import READINGS, Reading
from proofreader.syntax import Index, Name, Node, Span, density, in_text, number

__all__ = ["Attempt", "Finding", "Judge"]

MAX_ATTEMPTS = 260
STRICT = Choices()
TURNED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}


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


@dataclass
class Finding:
    """What was found of a line."""

    verdict: str
    condition: str = ""
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    attempt: Attempt | None = None
    undefined: tuple[str, ...] = ()
    failed_only_continuous: bool = False


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
    return all(_related(x, y, relation, tolerance) for x, y in pairs)


def _related(x: float, y: float, relation: str, tolerance: float) -> bool:
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


class Judge:
    """Judges the lines of one display.

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
        free = 2 if self.has_offset() else 1
        one = Sizes(
            tuple((letter, fixed.get(letter, 2 + at % 2 if free == 1 else 3)) for at, letter in enumerate(letters)),
            free,
        )
        two = Sizes(tuple((letter, fixed.get(letter, 3 - at % 2)) for at, letter in enumerate(letters)), free)
        steps = {letter for letter in letters if letter.islower() and letter in self.names.subscripts}
        one, two = (
            Sizes(tuple((n, 3 if n in steps else k) for n, k in sizes.numbers), sizes.free) for sizes in (one, two)
        )
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

    # Trying

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
        summed = {
            role for law in plan.laws.values() for role in law.roles if role.partition("#")[0] in self.names.summed
        }
        changes["unit"] = frozenset(plan.unit)
        changes["discrete"] = frozenset({*changes.get("discrete", ()), *summed, *plan.counted})
        bases = {p for law in plan.laws.values() for p in law.parameters}
        changes["cards"] = {**plan.counted, **dict.fromkeys(bases & self.names.extremised, 4)}
        return World(plan.steps, plan.laws, plan.role, setting, self.seed, self.deadline, changes)

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
        try:
            return all(self.holds_in(attempt, at) for at in worlds)
        except DerivationSyntaxError:
            return False

    # Readings

    def alternatives(self, base: Attempt) -> Iterator[Attempt]:
        """The other ways to read the names of a line, each with its words."""
        plan = Plan(self.names, self.definitions, self.densities, base.choices, self.settings[0][1])
        try:
            plan.compile(base.left)
            plan.compile(base.right)
        except DerivationSyntaxError:
            pass
        found = [a for what in ("bare", "alone", "nabla") for a in self.options(base, what, getattr(plan, what))]
        found += self.bounds(base, plan)
        found += self.noise(base)
        found += self.gaussian(base)
        found += self.same(base)
        found += self.families(base, (base.left, base.right), plan)
        found += self.fixed(base)
        yield from found
        for at, first in enumerate(found):
            for second in found[at + 1 :]:
                joined = _joined(base.choices, first.choices, second.choices)
                if joined is not None:
                    yield replace(base, choices=joined, words=(*first.words, *second.words))

    def options(self, base: Attempt, what: str, count: int) -> Iterator[Attempt]:
        """The further densities that an expectation without one, or a letter alone, may mean."""
        for at in range(1, min(count, 4)):
            attempt = replace(base, choices=replace(base.choices, **cast(Any, {what: at})))
            try:
                plan, _, _ = self.plan(attempt, self.settings[0][1])
            except DerivationSyntaxError:
                continue
            if what == "bare":
                note = next((n for n in plan.notes if "names no density" in n), "")
                taken = note.partition("it is read ")[2] or "under another one of the display"
                words = f"the expectation without a density is {taken}"
            elif what == "nabla":
                words = next(n for n in plan.notes if n.startswith("the gradient is read"))
            else:
                usual = Plan(self.names, self.definitions, self.densities, base.choices, self.settings[0][1])
                usual.compile(base.left)
                usual.compile(base.right)
                tables = [step.data for step in plan.steps if step.kind == "table" and step not in usual.places]
                shapes = sorted(
                    {
                        f"{key}({', '.join(map(shown, left))}{' | ' + ', '.join(map(shown, right)) if right else ''})"
                        for key, left, right, _ in tables
                    }
                )
                words = f"a letter alone stands for {' or '.join(shapes) or 'another density of the display'}"
            yield replace(attempt, words=(words,))

    def bounds(self, base: Attempt, plan: Plan) -> Iterator[Attempt]:
        """The evidence lower bound, or its negative, for a usual letter of it that nobody defines."""
        zero = any(tree.kind == "number" for tree in (base.left, base.right))
        for key, text in plan.undefined.items() if not zero else ():
            if key in BOUNDS or key.startswith(("cal:L_{", "cal:F_{", "L_{")):
                for sign, words in ((1, "the evidence lower bound"), (-1, "minus the evidence lower bound")):
                    choices = replace(base.choices, bounds=(*base.choices.bounds, (key, sign)))
                    attempt = replace(base, choices=choices, words=(f"{text} is {words}",))
                    if not self.unknown(attempt):
                        yield attempt

    def unknown(self, attempt: Attempt) -> bool:
        """Whether an attempt has no meaning, or speaks of names that have none."""
        try:
            return bool(self.plan(attempt, self.settings[0][1])[0].undefined)
        except DerivationSyntaxError:
            return True

    def noise(self, base: Attempt) -> list[Attempt]:
        """An average over noise, in whose body the noise does not occur, as one over what is a function of it."""
        words: list[str] = []

        def change(node: Node) -> Node:
            node = node.map(change)
            unseen = self.unseen(node)
            for law in self.names.measures if unseen else ():
                if len(law.data[1]) == 1 and law.data[1][0] in unseen:
                    noise = " and ".join(map(in_text, node.parts[:-1]))
                    words.append(
                        f"{law.data[1][0]} is a function of noise from {noise} and has the density {in_text(law)}"
                    )
                    return replace(node, parts=(law, node.parts[-1]), data=(((),),))
            return node

        left, right = change(base.left), change(base.right)
        return [replace(base, left=left, right=right, words=tuple(dict.fromkeys(words)))] if words else []

    def gaussian(self, base: Attempt) -> Iterator[Attempt]:
        """A divergence whose other side is the closed form for a Gaussian from the standard one."""
        for side, tree, other in (("left", base.left, base.right), ("right", base.right, base.left)):
            found = as_gaussian(tree, other)
            if found is not None:
                yield replace(base, words=(found[1],), **cast(Any, {side: found[0]}))

    def unseen(self, node: Node) -> set[Name]:
        """For an average in whose body nothing occurs that is averaged: the variables that do occur."""
        if node.kind != "expect" or len(node.parts) < 2:
            return set()
        bound = {n for law in node.parts[:-1] for n in names_in(law)} | {n for names in node.data[0] for n in names}
        families = {n.base for n in bound if not all(isinstance(i, Index) for i in n.index) or not n.index}
        inside = set(names_in(node.parts[-1]))
        seen = any(n in bound or n.base in families for n in inside)
        return {n for n in inside if self.names.is_variable(n.base)} if bound and not seen else set()

    def hides_noise(self, base: Attempt) -> bool:
        """Whether one side averages over noise something in which it does not occur, and the other side is free of
        what does occur."""
        for tree, other in ((base.left, base.right), (base.right, base.left)):
            free = set(_outside(other))
            if any(self.unseen(node) - free for node in tree.walk()):
                return True
        return False

    def same(self, base: Attempt) -> list[Attempt]:
        """Capital letters for the laws whose densities have the small one."""
        pairs = [(key, key.lower()) for key in self.names.laws if key[:1].isupper() and key.lower() in self.names.laws]
        pairs += [
            (key, "p") for key in self.names.laws if key in ("@Pr", r"\Pr", "bb:P", "cal:P") and "p" in self.names.laws
        ]
        pairs += [
            (key, key[-1:].lower())
            for key in self.names.laws
            if key.startswith(("cal:", "bb:")) and key[-1:].lower() in self.names.laws
        ]
        words = tuple(f"{Name(big)} is the law with the density {small}" for big, small in pairs)
        return [replace(base, choices=replace(base.choices, same=tuple(pairs)), words=words)] if pairs else []

    def families(self, base: Attempt, trees: tuple[Node, Node], plan: Plan) -> list[Attempt]:
        """Vectors for their parts, data for their rows, draws for parts, and indices that run over all values."""
        found: list[Attempt] = []
        indexed = {n.base for tree in trees for n in names_in(tree) if n.index and self.names.is_variable(n.base)}
        plain_names = {
            n.base
            for tree in trees
            for n in names_in(tree)
            if not n.index and not n.mark and self.names.is_variable(n.base)
        }
        collections = _collections(plain_names - indexed, indexed)
        if collections:
            parts = frozenset(family for _, family in collections)
            words = tuple(f"{shown(whole)} = ({shown(family)}_1, …)" for whole, family in collections)
            found.append(
                replace(
                    base,
                    choices=replace(base.choices, collections=collections, parts=base.choices.parts | parts),
                    words=words,
                )
            )
        capitals = tuple((n, n.lower()) for n in sorted(plain_names) if n.lower() in plain_names - {n})
        if capitals:
            words = tuple(
                f"{shown(big)} is the random variable of which {shown(small)} is a value" for big, small in capitals
            )
            found.append(replace(base, choices=replace(base.choices, collections=capitals), words=words))
        singly = {n.base: n.index for tree in trees for n in names_in(tree) if len(n.index) == 1}
        for family in sorted(indexed & plain_names & self.names.lefts - GREEK):
            part = singly.get(family, (None,))[0]
            if isinstance(part, Index) and part.letter in self.names.free_letters and not plan.in_parts(family):
                words = (f"{shown(family)} stands for {shown(family)}_{part.letter}",)
                choices = replace(base.choices, indexed=base.choices.indexed | {family})
                found.append(replace(base, choices=choices, words=words))
        for family in sorted(indexed | plan.whole):
            if (family in plain_names or family in plan.whole) and not plan.in_parts(family):
                words = (f"{shown(family)} = ({shown(family)}_1, …)",)
                found.append(
                    replace(base, choices=replace(base.choices, parts=base.choices.parts | {family}), words=words)
                )
            elif plan.in_parts(family) and family in plain_names:
                words = (f"{shown(family)} is the first of {shown(family)}_0, {shown(family)}_1, …",)
                found.append(
                    replace(base, choices=replace(base.choices, first=base.choices.first | {family}), words=words)
                )
            elif plan.in_parts(family):
                words = (f"{shown(family)}_1, … are independent draws",)
                found.append(
                    replace(base, choices=replace(base.choices, copies=base.choices.copies | {family}), words=words)
                )
        for tree in trees:
            for node in tree.walk():
                if node.kind == "series" and not self.names.is_variable(node.data[0]) and self.has_copies(node, plan):
                    words = (f"the index {node.data[0]} runs over all values of its variable",)
                    found.append(
                        replace(
                            base,
                            choices=replace(base.choices, support=base.choices.support | {node.data[0]}),
                            words=words,
                        )
                    )
        return found

    def has_copies(self, node: Node, plan: Plan) -> bool:
        """Whether a sum runs over the index of values of one variable that nobody draws."""
        letters = node.data[0]
        drawn = {
            n.base
            for tree in self.names.trees
            for e in tree.walk()
            if e.kind == "expect"
            for names in e.data[0]
            for n in names
        }
        drawn |= {
            n.base
            for tree in self.names.trees
            for e in tree.walk()
            if e.kind == "expect"
            for law in e.parts[:-1]
            for n in names_in(law)
            if n.index
        }
        return any(
            isinstance(i, Index)
            and i.letter == letters
            and n.base not in drawn
            and self.names.is_variable(n.base)
            and not plan.in_parts(n.base)
            for n in names_in(node.parts[0])
            for i in n.index
        )

    def fixed(self, base: Attempt) -> list[Attempt]:
        """Variables that stand behind bars alone, and not behind every bar."""
        found = []
        for variable in sorted(self.names.variables - self.names.lefts):
            sides = [
                [
                    variable in {n.base for n in node.data[2]}
                    for node in tree.walk()
                    if node.kind == "density" and node.data[1]
                ]
                for tree in (base.left, base.right)
            ]
            uses = [use for side in sides for use in side]
            consistent = variable in GREEK or all(all(side) or not any(side) for side in sides)
            if (
                any(uses)
                and not all(uses)
                and consistent
                and variable not in self.names.extremised | self.names.gradients
            ):
                words = (f"{shown(variable)} is fixed, and everything is conditioned on it",)
                found.append(
                    replace(base, choices=replace(base.choices, fixed=base.choices.fixed | {variable}), words=words)
                )
        return found

    # Judging

    def claim(self, lefts: Sequence[Reading], rights: Sequence[Reading], relation: str) -> Finding:
        """The verdict on two sides and a relation between them."""
        self.attempts = 0
        readings = self.readings(lefts, rights, relation)
        assumed = tuple(dict.fromkeys(words for reading in (*lefts[:1], *rights[:1]) for words in reading.assumes))
        finding = self.judged(readings)
        if assumed and finding.verdict in ("holds", "holds_if"):
            return replace(
                finding,
                verdict="holds_if",
                condition="; ".join((*assumed, finding.condition) if finding.condition else assumed),
            )
        return finding

    def judged(self, readings: Sequence[Attempt]) -> Finding:
        """The verdict on the readings of a line, the strict one first."""
        base = readings[0]
        relation = base.relation
        constant = has_any([base.left, base.right], {"constant"})
        try:
            plan, left, right = self.plan(base, self.settings[0][1])
        except DerivationSyntaxError:
            found = self.up_to_constant(readings, []) if constant else self.saved(base, readings, [])
            if found is None:
                raise
            return found
        notes = list(plan.notes)
        if constant:
            return self.up_to_constant(readings, notes)
        if relation == "propto":
            return self.varied(readings, notes, "")
        if self.holds(base):
            return self.true(base, readings, notes)
        return self.saved(base, readings, notes) or self.refuted(base, plan, left, right, notes)

    def readings(self, lefts: Sequence[Reading], rights: Sequence[Reading], relation: str) -> list[Attempt]:
        """The strict reading, and those that differ in how far operators reach."""
        found = []
        for a in lefts:
            for b in rights:
                choices = sorted(a.choices | b.choices)
                words = tuple(
                    f"{READINGS[c]}: read as {' and '.join(in_text(r.tree) for r in (a, b) if c in r.choices)}"
                    for c in choices
                )
                found.append(Attempt(a.tree, b.tree, relation, words=words))
        return found[:12]

    def true(self, base: Attempt, readings: Sequence[Attempt], notes: list[str]) -> Finding:
        """A line whose strict reading holds, with the reading of others that would be false."""
        for other in readings[1:4]:
            if not self.holds(other, worlds=(0,)):
                notes.append(f"brackets would help: {other.words[0].partition(': ')[2]}, the line would be false")
                break
        return Finding("holds", notes=notes, attempt=base)

    def saved(self, base: Attempt, readings: Sequence[Attempt], notes: list[str]) -> Finding | None:
        """The weakest reading or assumption under which a line holds."""
        tried: list[Attempt] = [*readings[1:], *islice(self.alternatives(base), 24)]
        for attempt in list(tried):
            if self.holds(attempt):
                if not self.says_nothing(attempt):
                    return Finding("holds_if", "; ".join(attempt.words), notes=notes, attempt=attempt)
                tried.remove(attempt)
        for attempt in (base, *tried):
            found = self.assumed(attempt)
            if found is not None:
                return Finding("holds_if", "; ".join(found.words), notes=notes, attempt=found)
            if self.attempts > MAX_ATTEMPTS:
                break
        return None

    def says_nothing(self, attempt: Attempt) -> bool:
        """Whether both sides are the same once everything is conditioned on a variable."""
        _, left, right = self.plan(attempt, self.settings[0][1])
        return bool(attempt.choices.fixed or attempt.choices.indexed) and left == right

    def assumed(self, attempt: Attempt) -> Attempt | None:
        """The weakest assumption that makes an attempt hold."""
        try:
            plan, left, right = self.plan(attempt, self.settings[0][1])
        except DerivationSyntaxError:
            return None
        if self.holds(attempt, worlds=(0, 3)):
            for assumption in discreteness(plan, (left, right)):
                assumed = _with(attempt, assumption)
                if self.holds(assumed):
                    return assumed
            return None
        for assumption in candidates(plan, (left, right), (attempt.left, attempt.right), attempt.relation):
            if self.attempts > MAX_ATTEMPTS:
                return None
            if set(assumption.changes.get("ranges", ())) & set(self.ranges):
                continue
            if attempt.vary_law[0] and {"optimal", "posterior"} & set(assumption.changes):
                continue
            assumed = _with(attempt, assumption)
            if self.holds(assumed, worlds=self.alike()) and not self.trivial(attempt, assumed):
                return assumed
        return None

    def alike(self) -> tuple[int, ...]:
        """The kinds of worlds with the sizes of the first, of whose variables an assumption speaks."""
        return tuple(at for at, (_, sizes) in enumerate(self.settings) if sizes == self.settings[0][1])

    def trivial(self, attempt: Attempt, assumed: Attempt) -> bool:
        """Whether an assumption makes a side constant that says something without it."""
        setting, sizes = self.settings[0]
        plan, left, right = self.plan(attempt, sizes)
        for place in (left, right):
            before = self.world(attempt, plan, setting).evaluate(place).cells
            after = self.world(assumed, plan, setting).evaluate(place).cells
            if _is_constant(after) and not _is_constant(before):
                return True
        return False

    def refuted(self, base: Attempt, plan: Plan, left: int, right: int, notes: list[str]) -> Finding:
        """A line that no reading saves: false, unless a name on one side alone has no meaning, or a derivative is
        set to zero."""
        if base.relation == "=" and is_stationarity(base.left, base.right):
            return Finding("no_claim", reason="a stationarity condition", notes=notes)
        if base.relation == "=" and is_functional_equation(base.left, base.right):
            return Finding("no_claim", reason="a condition on a function, not a claim about every one", notes=notes)
        if base.relation == "=" and self.is_condition_on_q(base):
            return Finding("no_claim", reason="a condition on a density, not a claim about every one", notes=notes)
        numbers = self.numerical(base, plan, left, right)
        if numbers is not None:
            return replace(numbers, notes=notes)
        parameters = {p for law in plan.laws.values() for p in law.parameters} | (
            self.names.variables - self.names.lefts
        )
        if compared_values(base.left, base.right, base.relation) in parameters:
            return Finding("no_claim", reason="a condition on how a parameter is chosen", notes=notes)
        undefined = self.undefined(base, plan, left, right)
        if undefined and base.relation == "=" and (introduces(base.left) or introduces(base.right)):
            return Finding("no_claim", reason=f"a definition of {' and '.join(undefined)}", notes=notes)
        if undefined:
            return self.named_nowhere(undefined, notes)
        if self.hides_noise(base):
            return Finding(
                "unreadable",
                reason="an average over noise of something in which it does not occur: write "
                "the variable as a function of the noise, z = g(e)",
                notes=notes,
            )
        if self.by_parts(plan, left, right):
            return Finding("unreadable", reason="it integrates by parts, which needs densities on a line", notes=notes)
        if any(key.startswith("named ") for key in tables_of(plan, (left, right))):
            return Finding(
                "unreadable",
                reason="it depends on the form of a distribution by name, which is not read under an expectation",
                notes=notes,
            )
        return Finding("false", notes=notes, attempt=base, failed_only_continuous=self.holds(base, worlds=(0, 3)))

    def numerical(self, base: Attempt, plan: Plan, left: int, right: int) -> Finding | None:
        """An equation whose right side is a decimal number: rounded, or the value in one example."""
        decimals = [len(f"{n.data[0]:.10g}".partition(".")[2]) for n in base.right.walk() if n.kind == "number"]
        if base.relation != "=" or any(True for _ in names_in(base.right)) or not any(decimals):
            return None
        if any(step.kind == "table" for step in plan.steps):
            return Finding("no_claim", reason="a value in one example")
        world = self.world(base, plan, self.settings[0][0])
        (a, *_), (b, *_) = world.evaluate(left).cells, world.evaluate(right).cells
        close = abs(plain(a) - plain(b)) <= 0.6 * 10.0 ** -max(decimals)
        return Finding("holds_if", "the numbers are rounded", attempt=base) if close else None

    def named_nowhere(self, undefined: tuple[str, ...], notes: list[str]) -> Finding:
        """A line with names that nothing defines."""
        words = f"{', '.join(undefined)} is not defined here: define it with := or in definitions"
        return Finding("unreadable", reason=words, undefined=undefined, notes=notes)

    def by_parts(self, plan: Plan, left: int, right: int) -> bool:
        """Whether a derivative with respect to a variable stands under an integral over it."""
        steps = [plan.steps[at] for at in plan.reached(left) | plan.reached(right)]
        bound = {atom for step in steps if step.kind == "integral" for atom in step.data}
        return any(step.kind == "gradient" and bound & set(step.data) for step in steps)

    def is_condition_on_q(self, base: Attempt) -> bool:
        """Whether a line says that the divergence of a q from something is zero."""
        inner = base.left.parts[0] if base.left.kind == "negative" else base.left
        letters = [part.data[0] for part in inner.parts if part.kind == "density"]
        zero = base.right.kind == "number" and base.right.data[0] == 0
        return zero and inner.kind == "kl" and len(letters) == 2 and letters[0].base != letters[1].base

    def undefined(self, base: Attempt, plan: Plan, left: int, right: int) -> tuple[str, ...]:
        """Names without a meaning that one side alone has, or that must be defined."""
        trees = (base.left, base.right)
        sides = [{n.base + n.mark for n in names_in(tree)} for tree in trees]
        families = [part for tree in trees for n in tree.walk() if n.kind == "named" for part in n.parts]
        parameters = {n.base + n.mark for part in families for n in names_in(part)}
        found = []
        for key, text in plan.undefined.items():
            if key in parameters or key in self.ranges:
                continue
            one_side = (key in sides[0]) != (key in sides[1]) or key not in sides[0] | sides[1]
            if one_side or key.startswith(("@", "cal:")):
                found.append(text)
        used = [tables_of(plan, [place]) for place in (left, right)]
        for key in set(used[0]) ^ set(used[1]):
            letter = self.names.letters.get(key)
            if letter is not None and letter.mark and not any(s.left for s in self.names.laws[key]):
                found.append(f"${letter}$")
        return tuple(found)

    # Constants and proportions

    def up_to_constant(self, readings: Sequence[Attempt], notes: list[str]) -> Finding:
        """A line with a constant that nobody names: it must be free of something that the line is about."""
        base = readings[0]
        if base.relation != "=":
            return Finding("unreadable", reason="a constant without a value stands in an inequality", notes=notes)
        if self.holds(base):
            return Finding("holds", notes=[*notes, "the constant is zero"], attempt=base)
        constant = [replace(reading, relation="const") for reading in readings]
        return self.varied(constant, notes, "the constant does not depend on {}")

    def varied(self, readings: Sequence[Attempt], notes: list[str], words: str) -> Finding:
        """Tries what a constant may be free of; first as the line stands, then under assumptions."""
        base = readings[0]
        options = [pair for reading in readings for pair in self.variations(reading)]
        for alternative in (a for reading in readings[:3] for a in islice(self.alternatives(reading), 8)):
            options += [pair for pair in self.variations(alternative) if pair not in options]
        for attempt, what in options:
            if self.holds(attempt):
                if base.relation == "propto" and not attempt.words:
                    return Finding("holds", notes=[*notes, f"proportional in {what}"], attempt=attempt)
                text = "; ".join((*((words.format(what),) if words else ()), *attempt.words))
                return Finding("holds_if", text, notes=notes, attempt=attempt)
        for attempt, what in options:
            found = self.assumed(attempt)
            if found is not None:
                text = "; ".join((*((words.format(what),) if words else ()), *found.words))
                return Finding("holds_if", text, notes=notes, attempt=found)
        plan, left, right = self.plan(base, self.settings[0][1])
        undefined = self.undefined(base, plan, left, right)
        if undefined and any(map(introduces, (base.left, base.right))):
            return Finding("no_claim", reason=f"a definition of {' and '.join(undefined)}", notes=notes)
        if undefined:
            return self.named_nowhere(undefined, notes)
        return Finding("false", notes=notes, attempt=options[0][0] if options else base)

    def variations(self, base: Attempt) -> list[tuple[Attempt, str]]:
        """What the constant of a line may be free of, the likeliest first."""
        try:
            plan, left, right = self.plan(base, self.settings[0][1])
        except DerivationSyntaxError:
            return []
        free = (plan.free(left) | plan.free(right)) - {"#"}
        outside = {
            a
            for tree in (base.left, base.right)
            for n in _outside(tree)
            if self.has_value(n, plan)
            for a in plan.members(n, plan.top)
        }
        parameters = {p for law in plan.laws.values() for p in law.parameters}
        found: list[tuple[Attempt, str]] = []
        moving = tuple(
            sorted(a for a in free if plan.role(a).partition("|")[0] in parameters or plan.role(a) in parameters)
        )
        if base.relation == "const" and moving:
            found.append((replace(base, vary=moving), ", ".join(map(shown, moving))))
        front = self.in_front(base, plan)
        for atoms in dict.fromkeys([front, *((a,) for a in sorted(outside & free, reverse=True))]):
            if atoms and set(atoms) <= free and set(atoms) <= outside | set(moving):
                found.append((replace(base, vary=atoms), ", ".join(map(shown, atoms))))
        if (
            base.relation == "const"
            and has_any([base.left, base.right], {"expect", "kl", "entropy", "integral"})
            and not moving
        ):
            for key, pairs in tables_of(plan, (left, right)).items():
                if any(self.names.models(other, key) for other in plan.laws if other != key):
                    found.append((replace(base, vary_law=(key, tuple(plan.laws[key].roles))), key))
                    found += self.factor_by_factor(base, key, pairs)
        if base.relation == "propto":
            logs = [
                (replace(a, relation="const", words=("∝ means equal up to an additive constant",)), what)
                for a, what in found
            ]
            found += logs if base.left.kind in ("log", "negative", "sum") else []
        return found

    def factor_by_factor(self, base: Attempt, key: str, pairs: Pairs) -> list[tuple[Attempt, str]]:
        """Where a line speaks of the factors of a q alone: the constant may depend on all of them but one."""
        if len(pairs) < 2 or any(len(left) != 1 or right for left, right in pairs):
            return []
        factors = {"factors": {key: tuple((left, ()) for left, _ in pairs)}}
        return [
            (replace(base, vary_law=(key, left), changes={**base.changes, **factors}), f"{key}({shown(left[0])})")
            for left, _ in sorted(pairs)
        ]

    def has_value(self, name: Name, plan: Plan) -> bool:
        """Whether the indices of a name are bound by no sum."""
        letters = {
            end.letter
            for part in name.index
            for end in (
                (part.first, part.last)
                if isinstance(part, Span)
                else (part if isinstance(part, Index) else part.index,)
            )
        }
        return letters <= {"", *plan.top.indices}

    def in_front(self, base: Attempt, plan: Plan) -> tuple[str, ...]:
        """The variables in front of the bar of the first density of the line."""
        for tree in (base.left, base.right):
            inner = tree.parts[0] if tree.kind == "log" else tree
            if inner.kind == "density" and inner.data[1]:
                return tuple(sorted(plan.expand(inner.data[1], plan.top)))
        return ()

    def support(self, attempt: Attempt) -> str:
        """What a true line needs of the support of q; empty where it needs nothing."""
        if has_any([attempt.left, attempt.right], {"gradient", "max", "min", "argmax", "argmin"}) or self.densities:
            return ""
        try:
            setting = Setting(8, (2, 2), stream=9, holes=True)
            plan, left, right = self.plan(attempt, self.settings[0][1])
            guides = [key for key, law in plan.laws.items() if law.near]
            if not guides:
                return ""
            world = self.world(attempt, plan, setting)
            _axes, a, b = world.together(world.evaluate(left), world.evaluate(right))
            pairs = [(plain(x), plain(y)) for x, y in zip(a, b, strict=True)]
        except DerivationSyntaxError:
            return ""
        defined = [(x, y) for x, y in pairs if x == x and y == y and (math.isfinite(x) or math.isfinite(y))]
        if (
            not defined
            or attempt.vary
            or attempt.vary_law[0]
            or all(_related(x, y, attempt.relation, 1e-9) for x, y in defined)
        ):
            return ""
        key = guides[0]
        own = next((left for left, right in tables_of(plan, (left, right)).get(key, []) if left), ())
        names = ", ".join(map(shown, own))
        everything = ", ".join(map(shown, plan.laws[plan.laws[key].near].roles))
        return f"{key}({names}) > 0 wherever {plan.laws[key].near}({everything}) > 0"


def _with(attempt: Attempt, assumption: Assumption) -> Attempt:
    return replace(attempt, words=(*attempt.words, assumption.words), changes=assumption.changes)


def _is_constant(cells: Sequence[Any]) -> bool:
    values = [plain(cell) for cell in cells]
    return max(values) - min(values) < 1e-9 if all(v == v for v in values) else False


def _joined(base: Choices, first: Choices, second: Choices) -> Choices | None:
    """Two changes of the same choices at once; None where they change the same thing."""
    changes: dict[str, Any] = {}
    for name in Choices.__slots__:
        kept, a, b = getattr(base, name), getattr(first, name), getattr(second, name)
        if a != kept and b != kept:
            if not isinstance(a, frozenset) or not isinstance(b, frozenset):
                return None
            changes[name] = a | b
        elif a != kept or b != kept:
            changes[name] = a if a != kept else b
    return replace(base, **changes)


def _collections(plain_names: set[str], indexed: set[str]) -> tuple[tuple[str, str], ...]:
    """Which names may stand for whole families: capitals for small letters, and a name left over for a family left
    over."""
    pairs = []
    left = set(indexed)
    for name in sorted(plain_names):
        small = name.rpartition(":")[2].lower()
        if name.rpartition(":")[2] != small and small in left:
            pairs.append((name, small))
            left.discard(small)
    others = sorted(n for n in plain_names if n not in dict(pairs) and n.rpartition(":")[2][:1].isupper())
    if len(others) == 1 and len(left) == 1:
        pairs.append((others[0], left.pop()))
    elif len(others) == 1 and len(left) > 1 and not pairs:
        pairs += [(others[0], min(left))]
    return tuple(pairs)


def _outside(node: Node) -> Iterator[Name]:
    """The variables of densities that stand under no expectation, integral or divergence."""
    if node.kind in ("expect", "variance", "covariance", "kl", "integral", "entropy"):
        return
    if node.kind == "density":
        yield from (n for n in (*node.data[1], *node.data[2]) if n.base)
    if node.kind == "name":
        yield node.data[0]
        for part in node.parts:
            if part.kind == "name":
                yield part.data[0]
    for part in node.parts:
        yield from _outside(part)


def limit_of(
    node: Node, samples: Mapping[str, Node], guess: Node | None, definitions: Mapping[str, Definition]
) -> Node | None:
    """A tree with each average over draws replaced by the expectation that it tends to; None if there is none."""
    found = False
    divisors = {str(n.parts[1].data[0]) for n in node.walk() if n.kind == "quotient" and n.parts[1].kind == "name"}

    def change(inner: Node) -> Node:
        nonlocal found
        upper = inner.data[2] if inner.kind == "series" and str(inner.data[2]) in divisors else None
        letter = inner.data[0] if inner.kind == "series" else ""
        drawn = (
            [n for n in names_in(inner) if any(isinstance(i, Index) and i.letter == letter for i in n.index)]
            if upper is not None
            else []
        )
        if not drawn or upper is None:
            return inner.map(change)
        law = samples.get(drawn[0].base) or _law_for(inner.parts[0], drawn[0], guess, definitions)
        found = True
        one = {letter: Index("", 1)}
        (variable,) = renamed(Node("name", (), (drawn[0], ())), {}, one).data[:1]
        if law.kind == "density" and len(law.data[1]) <= 1:
            law = density(law.data[0], (variable,), law.data[2], law.data[3])
        expectation = Node("expect", (law, renamed(inner.parts[0], {}, one)), (((),),))
        count = number(float(upper.offset)) if not upper.letter else Node("name", (), (Name(upper.letter), ()))
        return Node("times", (count, expectation))

    changed = change(node)
    return changed if found else None


def _law_for(body: Node, variable: Name, guess: Node | None, definitions: Mapping[str, Definition]) -> Node:
    """The density from which draws come if nobody says so: one in a denominator of the body, or the prior."""
    used = [
        definitions[n.data[0].base + n.data[0].mark].body
        for n in body.walk()
        if n.kind == "name" and n.data[0].base + n.data[0].mark in definitions
    ]
    for node in (n for tree in (body, *used) for n in tree.walk() if n.kind == "quotient"):
        for inner in node.parts[1].walk():
            if inner.kind == "density" and [n.base for n in inner.data[1]] == [variable.base]:
                return inner
    return guess if guess is not None else density(Name("p"), (replace(variable, index=()),))
