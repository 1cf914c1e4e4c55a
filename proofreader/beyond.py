"""Worlds beyond those that a reading is judged in: larger ones, other lengths, and numbers of either sign."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from proofreader.assumptions import candidates
from proofreader.climbing import closest
from proofreader.duals import plain
from proofreader.errors import DerivationSyntaxError
from proofreader.models import Setting, Sizes
from proofreader.provisos import bounded_by_number
from proofreader.trial import Attempt, assuming, related
from proofreader.unsaid import Unsaid

__all__ = ["Beyond"]

LONG = 6
SHARP = 0.02
TURNED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}


def without_numbers(words: str) -> str:
    """What an assumption says of the members of families, whatever their number: x_1, x_2 and x_1, x_2, x_3 are x."""
    return re.sub(r"\b(\S+?)_\d+(?:, \1_\d+)*", r"\1", words)


class Beyond(Unsaid):
    """What a line that holds on the usual models is tried on besides."""

    def only_when_small(self, attempt: Attempt) -> bool:
        """Whether a line that holds on the usual models fails beyond them, or may: if it puts a number beside what
        differs from model to model, a model of some other size may break it."""
        if attempt.relation in TURNED:
            if not (self.holds_at_large(attempt) and self.holds_longer(attempt)):
                return True
            # A bound by a number that no model comes near may be broken in a model of some other size.
            by_number = bounded_by_number(attempt.left, attempt.right)
            gap = self.closest(attempt)
            return gap < 0 or (by_number and gap > SHARP)
        return attempt.relation == "=" and not self.holds_longer(attempt)

    def closest(self, attempt: Attempt) -> float:
        """How close models that are made to break an inequality bring its sides; negative where one does."""
        try:
            plan, left, right = self.plan(attempt, self.settings[0][1])
            if attempt.vary or any(step.kind in ("gradient", "optimum") for step in plan.steps):
                return math.inf
            world = self.world(attempt, plan, Setting(6, (2, 2), stream=15))
            greater = attempt.relation in (">=", ">")
            return closest(world, lambda: (world.evaluate(left), world.evaluate(right)), greater)
        except DerivationSyntaxError:
            return math.inf

    def holds_at_large(self, base: Attempt) -> bool:
        """Whether an inequality holds with larger numbers and in larger models."""
        beyond = [Setting(8, self.large(base), wild=power, stream=12) for power in (1, 12)]
        return all(self.holds_beyond(base, setting) for setting in beyond)

    def holds_longer(self, base: Attempt) -> bool:
        """Whether a line about numbers alone holds for longer sums."""
        sizes = self.settings[0][1]
        longer = replace(sizes, numbers=tuple((name, LONG) for name, _ in sizes.numbers))
        return self.is_random(base) or not sizes.numbers or self.holds_beyond(base, self.settings[0][0], longer)

    def is_random(self, base: Attempt) -> bool:
        """Whether a line speaks of densities."""
        return any(step.kind == "table" for step in self.plan(base, self.settings[0][1])[0].steps)

    def large(self, base: Attempt) -> tuple[int, int]:
        """Sizes of variables that are larger than usual, where there are few."""
        plan, _, _ = self.plan(base, self.settings[0][1])
        return (9, 8) if len({role for law in plan.laws.values() for role in law.roles}) < 3 else (4, 3)

    def holds_beyond(self, base: Attempt, setting: Setting, sizes: Sizes | None = None) -> bool:
        """Whether a line holds in a kind of world that readings are not judged in, wherever both sides have a value."""
        try:
            plan, left, right = self.plan(base, sizes or self.settings[0][1])
            world = self.world(base, plan, setting)
            _, a, b = world.together(world.evaluate(left), world.evaluate(right))
        except DerivationSyntaxError:
            return True
        pairs = [(plain(x), plain(y)) for x, y in zip(a, b, strict=True)]
        return all(related(x, y, base.relation, 1e-6) for x, y in pairs if math.isfinite(x) and math.isfinite(y))

    def in_whole_ranges(self, assumed: Attempt) -> bool:
        """Whether a line that holds for numbers in a part of their range does so in the whole of it."""
        ranges = {
            k: (low if low > 1 else 1e-4, 60.0 if low > 1 else 0.9999)
            for k, (low, _) in assumed.changes.get("ranges", {}).items()
        }
        wider = replace(assumed, changes={**assumed.changes, "ranges": ranges})
        models = 40 if self.is_random(assumed) else 400
        return not ranges or self.holds_beyond(wider, Setting(models, stream=13))

    def at_other_sizes(self, attempt: Attempt, words: str) -> bool:
        """Whether an assumption, if it can be made in worlds of other sizes too, makes an attempt hold in them."""
        others = [at for at in range(len(self.settings)) if at not in self.alike()]
        if not others:
            return True
        try:
            plan, left, right = self.plan(attempt, self.settings[others[0]][1])
        except DerivationSyntaxError:
            return True
        found = list(candidates(plan, (left, right), (attempt.left, attempt.right), attempt.relation))
        same = [other for other in found if without_numbers(other.words) == without_numbers(words)]
        tried = same or (found[:40] if re.search(r"_\d", words) else [])
        return not tried or any(self.holds(assuming(attempt, other), worlds=others) for other in tried)

    def alike(self) -> tuple[int, ...]:
        """The kinds of worlds with the sizes of the first, of whose variables an assumption speaks."""
        return tuple(at for at, (_, sizes) in enumerate(self.settings) if sizes == self.settings[0][1])
