r"""Verdicts: every plausible reading of a line on every kind of model, and the weakest assumption that saves it.

A line **holds** if its strict reading is true on all models tried. It holds **if** some condition is met where another
reading, or an assumption, makes it true. It is **false** only if every plausible reading fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from proofreader.assumptions import candidates, discreteness
from proofreader.beyond import TURNED, Beyond
from proofreader.classify import (
    compared_values,
    constant_on_average,
    form_asked,
    has_any,
    in_exponents,
    introduces,
    is_condition_on_q,
    is_convention,
    is_functional_equation,
    is_stationarity,
    is_total_mass,
    unindexed,
    unsaid,
    with_named_constants,
)
from proofreader.duals import plain
from proofreader.elaborate import Plan
from proofreader.errors import DerivationSyntaxError
from proofreader.factors import READINGS
from proofreader.models import Setting
from proofreader.names import names_in
from proofreader.parse import Reading
from proofreader.provisos import one_coordinate, spelt_twice, square_left_out, zero_written
from proofreader.renaming import with_events_anywhere
from proofreader.structures import shown, tables_of
from proofreader.syntax import in_text
from proofreader.trial import Attempt, assuming, is_constant, related

__all__ = ["Finding", "Judge"]

MAX_ATTEMPTS = 260
SMALL = (
    "it holds in the usual models, and fails in larger ones, with larger numbers, or in one made to break it: say what "
    "it needs"
)
HIDDEN_NOISE = (
    "an average of something in which what it is taken over does not occur: write z = g(e) for a function of the "
    "noise e, and s_t for s under the average too"
)

# Equations that ask something of what they name, and say why they claim nothing.
CONDITIONS = (
    (is_convention, "a convention about zero"),
    (is_total_mass, "the mass of a set: say what set it is"),
    (is_stationarity, "a stationarity condition"),
    (is_condition_on_q, "a condition on a density, not a claim about every one"),
)


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


class Judge(Beyond):
    """Judges the lines of one display."""

    def claim(self, lefts: Sequence[Reading], rights: Sequence[Reading], relation: str) -> Finding:
        """The verdict on two sides and a relation between them."""
        self.attempts = 0
        readings = self.readings(lefts, rights, relation)
        assumed = tuple(dict.fromkeys(words for reading in (*lefts[:1], *rights[:1]) for words in reading.assumes))
        finding = self.judged(readings)
        accepted = finding.verdict in ("holds", "holds_if")
        if accepted and finding.attempt is not None and self.only_when_small(finding.attempt):
            return Finding("unreadable", reason=SMALL, notes=finding.notes)
        if accepted and relation in (">", "<"):
            assumed = (*assumed, "the two sides are not equal, as they may be in special cases")
        if assumed and accepted:
            return replace(
                finding,
                verdict="holds_if",
                condition="; ".join((*assumed, finding.condition) if finding.condition else assumed),
            )
        return finding

    def judged(self, readings: Sequence[Attempt]) -> Finding:
        """The verdict on the readings of a line, the strict one first."""
        base = readings[0]
        constant = has_any([base.left, base.right], {"constant"})
        try:
            plan, left, right = self.plan(base, self.settings[0][1])
        except DerivationSyntaxError:
            found = self.up_to_constant(readings, []) if constant else self.saved(base, readings, [])
            if found is None:
                raise
            return found
        notes = list(plan.notes)
        if constant and (base.relation != "propto" or not in_exponents(base.right)):
            return self.up_to_constant(readings, notes)
        if base.relation == "propto":
            return self.varied(readings, notes, "")
        if self.holds(base):
            if empty := self.vanishes(base, plan, left, right):
                return Finding(*empty, notes=notes, attempt=base)
            unknown = unsaid(base.left, base.right, plan.undefined, self.definitions)
            meant = self.bound_meant(base) if unknown else None
            if meant is not None:
                return Finding("holds_if", "; ".join(meant.words), notes=notes, attempt=meant)
            return self.named_nowhere(unknown, notes) if unknown else self.true(base, readings, notes)
        found = self.saved(base, readings, notes)
        zero = zero_written(base.left, base.right) if base.relation == "=" and found is None else ""
        if zero:
            return Finding("holds_if", zero, notes=notes, attempt=base)
        return found or self.refuted(base, plan, left, right, notes)

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
                left, right = map(with_named_constants, (a.tree, b.tree))
                if relation == "propto":
                    left, right = with_events_anywhere((left, right))
                found.append(Attempt(left, right, relation, words=words))
        return found[:12]

    def true(self, base: Attempt, readings: Sequence[Attempt], notes: list[str]) -> Finding:
        """A line whose strict reading holds, with the reading of others that would be false."""
        for other in readings[1:4]:
            if not self.holds(other, worlds=(0,)):
                notes.append(f"brackets would help: {other.words[0].partition(': ')[2]}, the line would be false")
                break
        assumed = [constant_on_average(base.left, base.right) if base.relation in TURNED else ""]
        if not self.holds_beyond(base, Setting(6, signed=True, stream=11)):
            assumed.append("the numbers and values in it are positive")
        assumed += [spelt_twice(base.left, base.right), square_left_out(base.left, base.right)]
        flat = one_coordinate(base.left, base.right)
        if flat and not self.holds(replace(base, choices=replace(base.choices, plane=True))):
            assumed.append(flat)
        words = "; ".join(filter(None, assumed))
        return Finding("holds_if" if words else "holds", words, notes=notes, attempt=base)

    def saved(self, base: Attempt, readings: Sequence[Attempt], notes: list[str]) -> Finding | None:
        """The weakest reading or assumption under which a line holds."""
        tried: list[Attempt] = [*readings[1:], *islice(self.alternatives(base), 24)]
        # A sum over the values of an event often stands beside data that are many.
        events = [reading for reading in readings[1:] if all(READINGS["events"] in words for words in reading.words)]
        for reading in events[:1] or [r for r in readings[1:2] if self.meaningless(base)]:
            others = islice(self.alternatives(reading), 24)
            tried += [replace(other, words=(*reading.words, *other.words)) for other in others]
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

    def meaningless(self, attempt: Attempt) -> bool:
        """Whether an attempt has no value on any model."""
        try:
            self.plan(attempt, self.settings[0][1])
        except DerivationSyntaxError:
            return True
        return False

    def says_nothing(self, attempt: Attempt) -> bool:
        """Whether both sides are the same once everything is conditioned on a variable, or gradients of what does not
        depend on what they are taken in."""
        plan, left, right = self.plan(attempt, self.settings[0][1])
        same = bool(attempt.choices.fixed or attempt.choices.indexed) and left == right
        return same or bool(self.vanishes(attempt, plan, left, right))

    def assumed(self, attempt: Attempt) -> Attempt | None:
        """The weakest assumption that makes an attempt hold."""
        try:
            plan, left, right = self.plan(attempt, self.settings[0][1])
        except DerivationSyntaxError:
            return None
        if self.holds(attempt, worlds=(0, 3)):
            for assumption in discreteness(plan, (left, right)):
                assumed = assuming(attempt, assumption)
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
            assumed = assuming(attempt, assumption)
            anywhere = () in assumption.changes.get("simplex", {}).values()
            worlds = (0, 1, 2, 3) if anywhere else self.alike()
            if (
                self.holds(assumed, worlds=worlds)
                and ({"normalised", "cards"} & set(assumption.changes) or not self.trivial(attempt, assumed))
                and (anywhere or self.at_other_sizes(attempt, assumption.words))
                and self.in_whole_ranges(assumed)
            ):
                return assumed
        return None

    def trivial(self, attempt: Attempt, assumed: Attempt) -> bool:
        """Whether an assumption makes a side constant that says something without it."""
        setting, sizes = self.settings[0]
        plan, left, right = self.plan(attempt, sizes)
        for place in (left, right):
            before = self.world(attempt, plan, setting).evaluate(place).cells
            after = self.world(assumed, plan, setting).evaluate(place).cells
            if is_constant(after) and not is_constant(before):
                return True
        return False

    def refuted(self, base: Attempt, plan: Plan, left: int, right: int, notes: list[str]) -> Finding:
        """A line that no reading saves: false, unless a name on one side alone has no meaning, or a derivative is
        set to zero."""
        equation = base.relation == "="
        reason = next((words for test, words in CONDITIONS if equation and test(base.left, base.right)), "")
        if equation and is_functional_equation(base.left, base.right, self.definitions):
            reason = "a condition on a function, not a claim about every one"
        if reason:
            return Finding("no_claim", reason=reason, notes=notes)
        given = {n.base + n.mark for tree in (base.left, base.right) for n in names_in(tree)} & set(self.definitions)
        formed = form_asked(base.left, base.right) if equation and not self.densities and not given else ""
        if formed:
            reason = f"it depends on the form of {formed}, which is not given here"
            return Finding("unreadable", reason=reason, notes=notes)
        numbers = self.numerical(base, plan, left, right)
        if numbers is not None:
            return replace(numbers, notes=notes)
        parameters = {p for law in plan.laws.values() for p in law.parameters} | (
            self.names.variables - self.names.lefts
        )
        compared = compared_values(base.left, base.right, base.relation)
        of_one_function = base.left.kind == "name" and base.left.data[0].base != compared
        if compared and (compared in parameters or of_one_function):
            return Finding("no_claim", reason="a condition on how a parameter is chosen", notes=notes)
        if base.relation in TURNED and base.left.kind.startswith("arg") and base.right.kind.startswith("arg"):
            return Finding("unreadable", reason="it compares two places, and not the values there", notes=notes)
        if base.relation in TURNED and self.compares_events(base):
            return Finding("no_claim", reason="a condition on what happens in different events", notes=notes)
        apart = self.apart(base) if base.relation in ("=", "propto") else self.strangers(base)
        if apart:
            return Finding("unreadable", reason=apart, notes=notes)
        undefined = self.undefined(base, plan, left, right)
        if undefined and base.relation == "=" and self.introduces(base):
            return Finding("no_claim", reason=f"a definition of {' and '.join(undefined)}", notes=notes)
        if undefined:
            return self.named_nowhere(undefined, notes)
        unsure = HIDDEN_NOISE if self.hides_noise(base) else unindexed(base.left, base.right, self.names)
        reason = unsure or self.beyond(plan, left, right)
        if reason:
            return Finding("unreadable", reason=reason, notes=notes)
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

    def introduces(self, base: Attempt) -> bool:
        """Whether a side consists of functions that it names for the first time."""
        return any(introduces(side, self.definitions) for side in (base.left, base.right))

    def named_nowhere(self, undefined: tuple[str, ...], notes: list[str]) -> Finding:
        """A line with names that nothing defines."""
        words = f"{', '.join(undefined)} is not defined here: define it with := or in definitions"
        return Finding("unreadable", reason=words, undefined=undefined, notes=notes)

    def up_to_constant(self, readings: Sequence[Attempt], notes: list[str]) -> Finding:
        """A line with a constant that nobody names: it must be free of something that the line is about."""
        base = readings[0]
        if base.relation != "=":
            return Finding("unreadable", reason="a constant without a value stands in an inequality", notes=notes)
        if base.left.kind == "constant" and len(base.left.data[0]) == 1:
            return Finding("no_claim", reason=f"a definition of {base.left.data[0]}", notes=notes)
        if self.holds(base):
            return Finding("holds_if", "the constant is zero", notes=notes, attempt=base)
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
        plan, left, right = self.plan(base, self.settings[0][1])
        undefined = self.undefined(base, plan, left, right)
        for attempt, what in options if not undefined else ():
            found = self.assumed(attempt)
            if found is not None:
                text = "; ".join((*((words.format(what),) if words else ()), *found.words))
                return Finding("holds_if", text, notes=notes, attempt=found)
        if undefined and self.introduces(base):
            return Finding("no_claim", reason=f"a definition of {' and '.join(undefined)}", notes=notes)
        if undefined:
            return self.named_nowhere(undefined, notes)
        reason = self.beyond(plan, left, right) or self.scaled(base)
        if reason:
            return Finding("unreadable", reason=reason, notes=notes)
        return Finding("false", notes=notes, attempt=options[0][0] if options else base)

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
            or all(related(x, y, attempt.relation, 1e-9) for x, y in defined)
        ):
            return ""
        key = guides[0]
        own = next((left for left, right in tables_of(plan, (left, right)).get(key, []) if left), ())
        names = ", ".join(map(shown, own))
        everything = ", ".join(map(shown, plan.laws[plan.laws[key].near].roles))
        return f"{key}({names}) > 0 wherever {plan.laws[key].near}({everything}) > 0"
