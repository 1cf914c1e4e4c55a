"""What a constant that nobody names, or a factor of proportionality, may be free of."""

from __future__ import annotations

from dataclasses import replace

from proofreader.classify import has_any
from proofreader.duals import plain
from proofreader.elaborate import Plan
from proofreader.errors import DerivationSyntaxError
from proofreader.meanings import ZERO
from proofreader.noise import variables_outside
from proofreader.readings import Readings
from proofreader.steps import defined_key
from proofreader.structures import Pairs, shown, tables_of
from proofreader.syntax import Index, Name, Node, Span, in_text
from proofreader.trial import Attempt

__all__ = ["Constants"]


class Constants(Readings):
    """The ways in which a line may hold up to a constant."""

    def vanishes(self, base: Attempt, plan: Plan, left: int, right: int) -> tuple[str, str, str] | tuple[()]:
        """The verdict, condition and reason for two sides that are zero because nobody ties a function to what its
        gradient is taken in; nothing for two sides that say something."""
        zero = [note for note in plan.notes if note.endswith(ZERO)]
        taken = [n for tree in (base.left, base.right) for n in tree.walk() if n.kind == "gradient"]
        bodies = [n for body in taken for n in body.walk() if n.kind == "name"]
        untied = [n for n in bodies if defined_key(n.data[0]) in plan.undefined]
        asked = any(tree.kind == "number" for tree in (base.left, base.right)) and not untied
        if asked or not zero:
            return ()
        world = self.world(base, plan, self.settings[0][0])
        if any(abs(plain(cell)) > 1e-12 for place in (left, right) for cell in world.evaluate(place).cells):
            return ()
        if untied and _without_gradients(base.left) != _without_gradients(base.right):
            return "unreadable", "", f"nothing says how {in_text(untied[0])} depends on what its gradient is taken in"
        if untied:
            moving = ", ".join(map(str, taken[0].data[0]))
            return "holds_if", f"what is averaged under does not depend on {moving}", ""
        return "holds_if", "; ".join(note.removesuffix(ZERO) for note in zero), ""

    def scaled(self, base: Attempt) -> str:
        """Why a constant that is a whole side needs a value; empty where it is added."""
        alone = "constant" in (base.left.kind, base.right.kind)
        return "the value of the constant is not said: define it with :=" if alone else ""

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
            for n in variables_outside(tree)
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
        if base.relation == "propto" and not front and not outside & free:
            outside = {a for names in tables_of(plan, (left, right)).values() for own, _ in names for a in own}
        inside = outside & free
        if base.relation == "propto" and front:
            inside &= set(front)  # what is proportional is a density of what stands in front of its bar
        for atoms in dict.fromkeys([front, *((a,) for a in sorted(inside, reverse=True))]):
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


def _without_gradients(tree: Node) -> Node:
    """A side with each gradient replaced by what it is taken of."""
    if tree.kind == "gradient":
        return _without_gradients(tree.parts[0])
    return replace(tree, parts=tuple(map(_without_gradients, tree.parts)))
