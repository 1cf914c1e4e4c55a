"""What a line leaves unsaid, so that it cannot be called false."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from proofreader.classify import at_other_values
from proofreader.constants import Constants
from proofreader.elaborate import Plan
from proofreader.names import law_key, names_in
from proofreader.noise import variables_outside
from proofreader.steps import defined_key
from proofreader.structures import tables_of
from proofreader.syntax import Node, Others
from proofreader.trial import Attempt

__all__ = ["Unsaid"]


class Unsaid(Constants):
    """Names without a meaning, parts that nobody names, and forms of densities on which a line depends."""

    def apart(self, base: Attempt) -> str:
        """Why two sides that speak of other variables cannot be compared; empty if they speak of the same."""
        found = [
            {n for n in variables_outside(tree) if self.names.is_variable(n.base)} for tree in (base.left, base.right)
        ]
        names = [n for tree in (base.left, base.right) for n in names_in(tree)]
        for part in (i for n in names for i in n.index if isinstance(i, Others)):
            if part.index.letter in self.names.variables:
                return f"what is left when {part.index} is left out is not said: write the parts with indices"
        if any(n.base == r"\tau" and not n.index for n in names) and found[0] != found[1]:
            return "what \\tau consists of is not said: define it, or write its parts"
        mine, theirs = (
            [n for n in side if n.base not in {o.base for o in other}] for side, other in (found, found[::-1])
        )
        words = [n for n in (*mine, *theirs) if n.base.startswith("@")]
        if words:
            return f"what {words[0]} consists of is not said: define it, or write its parts"
        for one, others in ((mine, theirs), (theirs, mine)):
            if len(one) == 1 and not one[0].index and len({n.base for n in others}) > 1:
                return f"what {one[0]} consists of is not said: define it, or write its parts"
        return ""

    def strangers(self, base: Attempt) -> str:
        """Why an inequality between a density and another one of its letter, as q_0 beside q, cannot be judged; empty
        where it speaks of no such pair."""
        sides = [
            {n.data[0] for n in tree.walk() if n.kind == "density" and n.data[0].base}
            for tree in (base.left, base.right)
        ]
        mine, theirs = (sorted(one - other, key=str) for one, other in (sides, sides[::-1]))
        pairs = [*product(mine, theirs), *product(theirs, mine)]
        found = [(one, other) for one, other in pairs if one.base == other.base and one.index and not other.index]
        return f"how {found[0][0]} is related to {found[0][1]} is not said" if found else ""

    def compares_events(self, base: Attempt) -> bool:
        """Whether the two sides differ only in the events that they are given."""

        def anywhere(node: Node) -> Node:
            node = node.map(anywhere)
            if node.kind == "expect":
                known = [law for law in node.parts[:-1] if law.kind != "density" or any(n.base for n in law.data[1])]
                return replace(node, parts=(*known, node.parts[-1]), data=())
            if node.kind != "density":
                return node
            letter, left, right, parameters = node.data
            return replace(node, data=(letter, left, tuple(n for n in right if n.value is None), parameters))

        return base.left != base.right and anywhere(base.left) == anywhere(base.right)

    def beyond(self, plan: Plan, left: int, right: int) -> str:
        """Why a line is not about every model: a derivative with respect to a variable stands under an integral over
        it, or the form of a distribution counts; empty if neither."""
        steps = [plan.steps[at] for at in plan.reached(left) | plan.reached(right)]
        bound = {atom for step in steps if step.kind == "integral" for atom in step.data}
        if any(step.kind == "gradient" and bound & set(step.data) for step in steps):
            return "it integrates by parts, which needs densities on a line"
        named = [key for key in tables_of(plan, (left, right)) if key.startswith("named ")]
        if plan.rough or not all(plan.laws[key].weights for key in named):
            return "it depends on the form of a distribution by name, of which few averages are read"
        return ""

    def with_bodies(self, tree: Node) -> list[Node]:
        """A side, and what stands for the densities and names that it speaks of."""
        used = {law_key(n.data[0]) for n in tree.walk() if n.kind == "density"}
        bodies = [known.body for key, known in self.densities.items() if key.partition(";")[0] in used]
        names = {n.base + n.mark for part in (tree, *bodies) for n in names_in(part)} & set(self.definitions)
        known = (self.definitions[name] for name in names)
        return [tree, *bodies, *(definition.body for definition in known if not definition.pattern.data[0].index)]

    def undefined(self, base: Attempt, plan: Plan, left: int, right: int) -> tuple[str, ...]:
        """Names without a meaning that one side alone has, or that must be defined."""
        trees = (base.left, base.right)
        sides = [{n.base + n.mark for part in self.with_bodies(tree) for n in names_in(part)} for tree in trees]
        families = [part for tree in trees for n in tree.walk() if n.kind == "named" for part in n.parts]
        parameters = {n.base + n.mark for part in families for n in names_in(part)}
        found = []
        for key, text in plan.undefined.items():
            if key in parameters or key in self.ranges:
                continue
            one_side = (key in sides[0]) != (key in sides[1]) or key not in sides[0] | sides[1]
            if one_side or key.startswith(("@", "cal:")):
                found.append(text)
        found += [f"${n}$" for n in at_other_values(base.left, base.right) if defined_key(n) in plan.undefined]
        used = [tables_of(plan, [place]) for place in (left, right)]
        for key in set(used[0]) ^ set(used[1]):
            letter = self.names.letters.get(key)
            alone = letter is not None and not any(s.left for s in self.names.laws[key])
            estimate = letter is not None and letter.mark == "~hat" and plan.bare
            if letter is not None and letter.mark and (alone or estimate):
                found.append(f"${letter}$")
        return tuple(found)
