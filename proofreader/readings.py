"""The other ways to read the names of a line, each with the words that say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from proofreader.classify import at_several_values, grows
from proofreader.distributions import DIMENSIONS, in_one_dimension
from proofreader.elaborate import Plan
from proofreader.errors import DerivationSyntaxError
from proofreader.names import law_key, may_be_bound, names_in
from proofreader.noise import Noise, rewritten
from proofreader.renaming import renamed
from proofreader.rewritings import REWRITINGS
from proofreader.steps import Choices
from proofreader.structures import collections_among, shown
from proofreader.symbols import GREEK
from proofreader.syntax import Index, Name, Node, Span
from proofreader.trial import Attempt

__all__ = ["Readings"]


class Readings(Noise):
    """The alternatives to the strict reading of a line."""

    def alternatives(self, base: Attempt) -> Iterator[Attempt]:
        """The other ways to read the names of a line, each with its words."""
        plan = Plan(self.names, self.definitions, self.densities, base.choices, self.settings[0][1])
        try:
            plan.compile(base.left)
            plan.compile(base.right)
        except DerivationSyntaxError:
            pass
        found = [
            a for what in ("bare", "alone", "nabla", "prior") for a in self.options(base, what, getattr(plan, what))
        ]
        found += self.bounds(base, plan)
        found += self.several_parameters(base)
        found += self.one_parameter(base)
        found += self.noise(base)
        found += self.as_functions(base)
        found += self.gaussian(base)
        found += self.same(base)
        found += self.families(base, (base.left, base.right), plan)
        found += self.fixed(base)
        found += self.beginnings(base)
        found += self.on_a_line(base)
        kinds = {n.kind for tree in (base.left, base.right) for n in tree.walk()}
        for needed, change, words in REWRITINGS:
            found += rewritten(base, change, words) if needed & kinds else []
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
        nodes = [n.data[0] for tree in (base.left, base.right) for n in tree.walk() if n.kind == "name"]
        for key, text in plan.undefined.items() if not zero else ():
            family = {n for n in nodes if n.base + n.mark.partition("_{")[0] == key.partition("_{")[0]}
            if len({(n.mark, n.index) for n in family}) > 1 and not grows(base.left, base.right, base.relation):
                continue
            if at_several_values((base.left, base.right), key):
                continue
            if may_be_bound(key):
                for sign, words in ((1, "the evidence lower bound"), (-1, "minus the evidence lower bound")):
                    choices = replace(base.choices, bounds=(*base.choices.bounds, (key, sign)))
                    attempt = replace(base, choices=choices, words=(f"{text} is {words}",))
                    if not self.unknown(attempt):
                        yield attempt

    def bound_meant(self, base: Attempt) -> Attempt | None:
        """An attempt in which a letter that nobody defines is a bound, if the line holds so."""
        found = (attempt for attempt in self.alternatives(base) if attempt.choices.bounds)
        return next((attempt for attempt in islice(found, 12) if self.holds(attempt)), None)

    def unknown(self, attempt: Attempt) -> bool:
        """Whether an attempt has no meaning, or speaks of names that have none."""
        try:
            return bool(self.plan(attempt, self.settings[0][1])[0].undefined)
        except DerivationSyntaxError:
            return True

    def several_parameters(self, base: Attempt) -> list[Attempt]:
        r"""Letters that are read as values of one parameter as two parameters of one law, if no density has both."""
        letters = frozenset(self.names.slots)
        for signatures in self.names.laws.values():
            mine = [(s.left, s.right, s.parameters) for s in signatures if {p.base for p in s.parameters} & letters]
            if len({pair[:2] for pair in mine}) < len(set(mine)):
                return []
        words = f"each density depends on all of {', '.join(sorted(letters))}, also where it names one of them"
        return [_chosen(base, (words,), apart=letters)] if letters else []

    def one_parameter(self, base: Attempt) -> list[Attempt]:
        """The letters of a parameter as one, where no side has two of them at one law, as in a slip of the pen."""
        slots = self.names.slots
        for tree in (base.left, base.right):
            nodes = {(n.data[0].base, n.data[3]) for n in tree.walk() if n.kind == "density" and n.data[3]}
            mine = [(letter, own) for letter, own in nodes if {p.base for p in own} & set(slots)]
            if len({letter for letter, _ in mine}) < len(mine):
                return []
        one = {Name(letter): Name(low) for letter, low in slots.items() if letter != low}
        left, right = renamed(base.left, one), renamed(base.right, one)
        words = f"{' and '.join(sorted(slots))} are one parameter"
        return [replace(base, left=left, right=right, words=(words,))] if one and left != right else []

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
        for key, plain in ((key, key.partition("_{")[0]) for key in self.names.laws):
            nodes = [n for tree in (base.left, base.right) for n in tree.walk() if n.kind == "density"]
            fronts = [{n.data[1] for n in nodes if law_key(n.data[0]) == k} for k in (key, plain)]
            if key != plain and all(fronts) and not fronts[0] & fronts[1]:
                pairs.append((key, plain))
                words += (f"{key} and {plain} are parts of one joint density",)
        known = self.names.variables
        capitals = tuple((n, n.lower()) for n in sorted(known) if n.lower() in known - {n})
        named = [_chosen(base, words, same=tuple(pairs))] if pairs else []
        return [*named, *(_chosen(a, (*words, *_values(capitals)), collections=capitals) for a in named if capitals)]

    def families(self, base: Attempt, trees: tuple[Node, Node], plan: Plan) -> list[Attempt]:
        """Vectors for their parts, data for their rows, draws for parts, and indices that run over all values."""
        found: list[Attempt] = []
        parameters = {base for known in self.names.parameters.values() for base in known}
        indexed = {n.base for tree in trees for n in names_in(tree) if n.index and self.names.is_variable(n.base)}
        indexed -= parameters
        plain_names = {
            n.base
            for tree in trees
            for n in names_in(tree)
            if not n.index and not n.mark and self.names.is_variable(n.base)
        }
        collections = self.apart_in_densities(collections_among(plain_names - indexed, indexed, plain_names))
        if collections:
            parts = frozenset(family for _, family in collections)
            words = tuple(f"{shown(whole)} = ({shown(family)}_1, …)" for whole, family in collections)
            found.append(_chosen(base, words, collections=collections, parts=base.choices.parts | parts))
            found += self.with_companions(found[-1], parts, trees, plan)
        capitals = tuple((n, n.lower()) for n in sorted(plain_names) if n.lower() in plain_names - {n})
        if capitals:
            found.append(_chosen(base, _values(capitals), collections=capitals))
        singly = {n.base: n.index for tree in trees for n in names_in(tree) if len(n.index) == 1}
        for family in sorted(indexed & plain_names & self.names.lefts - GREEK):
            part = singly.get(family, (None,))[0]
            if isinstance(part, Index) and part.letter in self.names.free_letters and not plan.in_parts(family):
                words = (f"{shown(family)} stands for {shown(family)}_{part.letter}",)
                found.append(_chosen(base, words, indexed=base.choices.indexed | {family}))
        for family in sorted((indexed | plan.whole - parameters) - self.with_members_of_its_own()):
            if (family in plain_names or family in plan.whole) and not plan.in_parts(family):
                words = (f"{shown(family)} = ({shown(family)}_1, …)",)
                found.append(_chosen(base, words, parts=base.choices.parts | {family}))
                found += self.with_companions(found[-1], frozenset([family]), trees, plan)
            elif plan.in_parts(family) and family in plain_names:
                words = (f"{shown(family)} is the first of {shown(family)}_0, {shown(family)}_1, …",)
                found.append(_chosen(base, words, first=base.choices.first | {family}))
            elif plan.in_parts(family):
                words = (f"{shown(family)}_1, … are independent draws",)
                found.append(_chosen(base, words, copies=base.choices.copies | {family}))
        for tree in trees:
            for node in tree.walk():
                if node.kind == "series" and not self.names.is_variable(node.data[0]) and self.has_copies(node, plan):
                    words = (f"the index {node.data[0]} runs over all values of its variable",)
                    found.append(_chosen(base, words, support=base.choices.support | {node.data[0]}))
        return found

    def with_members_of_its_own(self) -> set[str]:
        """Names of a density that is defined by densities at other members: the mixture at theta is none at theta_k."""
        return {
            whole.base
            for definition in self.densities.values()
            for whole in names_in(definition.pattern)
            for part in names_in(definition.body)
            if whole.base == part.base and part.index and not whole.index
        }

    def apart_in_densities(self, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Those wholes by another letter that stand beside no member of their family in any density."""
        nodes = [n for tree in self.names.trees for n in tree.walk() if n.kind in ("density", "information")]
        beside = [{n.base for part in node.data[1:] for n in part if isinstance(n, Name)} for node in nodes]
        return tuple(p for p in pairs if p[0].lower().endswith(p[1]) or not any(set(p) <= bases for bases in beside))

    def with_companions(
        self, attempt: Attempt, families: frozenset[str], trees: tuple[Node, Node], plan: Plan
    ) -> list[Attempt]:
        """As read, and with a latent variable of its own for each member of a family, as z_i beside x_i."""
        densities = [(*d.data[1], *d.data[2]) for tree in trees for d in tree.walk() if d.kind == "density"]
        beside = {
            n.base
            for names in densities
            for member in names
            for n in names
            if member.base in families and member.index == n.index and n.index and n.base not in families
        }
        companions = sorted(base for base in beside & self.names.lefts if not plan.in_parts(base))
        if not companions:
            return []
        words = tuple(f"each {shown(min(families))}_i has a {shown(base)}_i of its own" for base in companions)
        parts = attempt.choices.parts | frozenset(companions)
        return [_chosen(attempt, (*attempt.words, *words), parts=parts)]

    def has_copies(self, node: Node, plan: Plan) -> bool:
        """Whether a sum runs over the index of values of one variable that nobody draws."""
        letters = node.data[0]
        drawn = {name.base for name in self.names.declared} | {
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

    def on_a_line(self, base: Attempt) -> list[Attempt]:
        """A line with matrices, which are not read, in one dimension."""
        letters = set(DIMENSIONS) - self.names.size_letters - self.names.variables - set(self.names.bounds)
        words = "every vector has one coordinate and every matrix is a number, for matrices are not read"
        if not rewritten(base, lambda tree: in_one_dimension(tree, ()), words):
            return []  # a letter that could be a dimension is none where nothing is a vector
        found = rewritten(base, lambda tree: in_one_dimension(tree, letters), words)
        random = any(n.kind in ("named", "density", "expect") for a in found for n in (*a.left.walk(), *a.right.walk()))
        return found if random and self.unknown(base) else []

    def beginnings(self, base: Attempt) -> list[Attempt]:
        """A product from 1 of factors such as p(z_t | z_{t-1}), of which the first is p(z_1)."""
        found: list[Attempt] = []
        nodes = [n for tree in (base.left, base.right) for n in tree.walk() if n.kind == "density"]
        fronts = [n for node in nodes for n in node.data[1]]
        for name in dict.fromkeys(n for node in nodes for n in node.data[2]):
            last = name.index[-1] if len(name.index) == 1 else None
            if not isinstance(last, Index) or last.offset != -1:
                continue
            starts = [first or Index("", 1) for first, _ in self.names.bounds.get(last.letter, [])]
            mine = [n for n in fronts if n.base == name.base]
            members = [i.first if isinstance(i, Span) else i for n in mine for i in n.index]
            if Index("", 1) in starts and mine and Index("", 0) not in members:
                family = shown(name.base)
                words = (f"{family}_1 is the first: its factor given {family}_0 is its own density",)
                found.append(_chosen(base, words, absent=base.choices.absent | {f"{name.base}#0"}))
        return found

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
                found.append(_chosen(base, words, fixed=base.choices.fixed | {variable}))
        return found


def _values(capitals: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What it means that capitals stand for variables."""
    return tuple(f"{shown(big)} is the random variable of which {shown(small)} is a value" for big, small in capitals)


def _chosen(base: Attempt, words: tuple[str, ...], **changes: Any) -> Attempt:
    """An attempt that reads something otherwise, with its words."""
    return replace(base, choices=replace(base.choices, **changes), words=words)


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
