r"""From trees to plans: every operator becomes a few elementary steps on tables.

One case a kind of node (the table of notation lists them). What a case means is its formula: ``kl`` is the average of
the logarithm of a ratio, a variance is a mean square minus a squared mean, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from proofreader.errors import DerivationSyntaxError
from proofreader.layout import GREEK
from proofreader.models import Law, Step
from proofreader.names import Names, Signature, Sizes, index_value, law_key, names_in, renamed, variant_key
from proofreader.syntax import Index, Name, Node, Others, Span, density, in_text, number

__all__ = ["Choices", "Definition", "Environment", "Plan", "meaning"]

MAX_TERMS = 8
MAX_INLINED = 12
MAX_STEPS = 4_000


@dataclass(frozen=True, slots=True)
class Choices:
    """How a display is read where people read it differently; the empty choice is the strict reading.

    Args:
        copies: Families that are draws, although a density takes several members at once.
        parts: Families whose members are variables of their own, although no density says so.
        collections: Names that stand for a whole family: (``X``, ``x``).
        support: Indices that run over all values of their variable.
        same: Letters that mean the same density: (``Q``, ``q``).
        fixed: Variables on which everything is conditioned.
        first: Families of which the letter alone is the first member.
        bounds: Names that stand for the evidence lower bound, or for its negative: (``cal:L``, 1).
        indexed: Families of which the letter alone is the member in question.
        bare: Which law an expectation without one is taken under, counted from 0.
        alone: Which density a letter alone stands for, counted from 0.
        nabla: With respect to which variable a gradient that does not say so is taken, counted from 0.
    """

    copies: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    collections: tuple[tuple[str, str], ...] = ()
    support: frozenset[str] = frozenset()
    same: tuple[tuple[str, str], ...] = ()
    fixed: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()
    bounds: tuple[tuple[str, int], ...] = ()
    indexed: frozenset[str] = frozenset()
    bare: int = 0
    alone: int = 0
    nabla: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """What a name or a density stands for."""

    pattern: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Environment:
    """What is known inside a sum or a definition: the values of indices, and how deep we are."""

    indices: Mapping[str, int] = field(default_factory=dict)
    depth: int = 0
    raw: str = ""
    bound: tuple[Name, ...] = ()


Case = Callable[["Plan", Node, Environment], int]
_CASES: dict[str, Case] = {}


def meaning(*kinds: str) -> Callable[[Case], Case]:
    """Registers what nodes of some kinds mean."""

    def register(case: Case) -> Case:
        for kind in kinds:
            _CASES[kind] = case
        return case

    return register


class Plan:
    """The steps of a display under one choice of readings and one choice of sizes."""

    def __init__(
        self,
        names: Names,
        definitions: Mapping[str, Definition],
        densities: Mapping[str, Definition],
        choices: Choices,
        sizes: Sizes,
    ) -> None:
        self.names = names
        self.definitions = definitions
        self.densities = densities
        self.choices = choices
        self.sizes = sizes
        self.steps: list[Step] = []
        self.places: dict[Step, int] = {}
        self.laws: dict[str, Law] = {}
        self.notes: list[str] = []
        self.bare = 0
        self.alone = 0
        self.nabla = 0
        self.whole: set[str] = set()
        self.unit: set[str] = set()
        self.counted: dict[str, int] = {}
        self.undefined: dict[str, str] = {}
        self.free_cache: dict[int, frozenset[str]] = {}
        self.extents: dict[str, tuple[int, int]] = {}
        self.defined_laws: dict[str, int] = {}
        numbers = dict(sizes.numbers)
        for at, letter in enumerate(names.free_letters):
            if letter not in numbers:
                numbers[letter] = sizes.free + at
        self.top = Environment(numbers)

    # Steps

    def add(self, kind: str, arguments: tuple[int, ...] = (), data: tuple[Any, ...] = ()) -> int:
        """The place of a step; equal steps are one."""
        step = Step(kind, arguments, data)
        place = self.places.get(step)
        if place is None:
            if len(self.steps) >= MAX_STEPS:
                raise DerivationSyntaxError("more steps than are taken for one line")
            place = len(self.steps)
            self.steps.append(step)
            self.places[step] = place
        return place

    def note(self, text: str) -> None:
        """Keeps a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def number(self, value: float) -> int:
        """A number."""
        return self.add("number", (), (float(value),))

    def product(self, *places: int) -> int:
        """A product of steps."""
        return self.add("product", places)

    def total(self, *places: int) -> int:
        """A sum of steps."""
        return self.add("sum", places)

    def negative(self, place: int) -> int:
        """The negative of a step."""
        return self.add("product", (self.number(-1.0), place))

    def ratio(self, above: int, below: int) -> int:
        """A quotient of two steps."""
        return self.add("ratio", (above, below))

    def log(self, place: int) -> int:
        """The logarithm of a step."""
        return self.add("log", (place,))

    def average(self, atoms: tuple[str, ...], weight: int, body: int) -> int:
        """The integral of a weight times a body over some atoms."""
        return self.add("integral", (self.product(weight, body),), atoms)

    def free(self, place: int) -> frozenset[str]:
        """The variables on which a step depends."""
        found = self.free_cache.get(place)
        if found is None:
            step = self.steps[place]
            inner: frozenset[str] = (
                frozenset().union(*(self.free(a) for a in step.arguments)) if step.arguments else frozenset()
            )
            if step.kind == "table":
                found = frozenset((*step.data[1], *step.data[2], *step.data[3]))
            elif step.kind == "value":
                found = frozenset(step.data)
            elif step.kind in ("integral", "max", "min", "argmax", "argmin"):
                found = inner - set(step.data)
            elif step.kind == "optimum":
                how, _, left, given = step.data
                found = (inner - set(left)) | set(given) | (set(left) if how.startswith("arg") else set())
            elif step.kind == "at":
                found = (self.free(step.arguments[0]) - {step.data[0]}) | self.free(step.arguments[1])
            else:
                found = inner
            self.free_cache[place] = found
        return found

    def reached(self, place: int) -> set[int]:
        """All steps that a step depends on."""
        seen: set[int] = set()
        pending = [place]
        while pending:
            at = pending.pop()
            if at not in seen:
                seen.add(at)
                pending += self.steps[at].arguments
        return seen

    # Names

    def in_parts(self, base: str) -> bool:
        """Whether the members of a family are variables of their own."""
        return (base in self.names.parts and base not in self.choices.copies) or base in self.choices.parts

    def role(self, atom: str) -> str:
        """The variable of which an atom is a value: itself, or the one of which it is a copy."""
        base, _, rest = atom.partition("#")
        plain, _, mark = base.partition("|")
        if self.in_parts(plain):
            return atom
        return plain if mark or rest else atom

    def index(self, part: Index, env: Environment) -> int:
        """The number of an index."""
        return index_value(part, env.indices)

    def atom(self, name: Name, index: tuple[int, ...]) -> str:
        """The atom of a name at some indices."""
        mark = f"|{name.mark}" if name.mark else ""
        return name.base + mark + ("#" + ",".join(map(str, index)) if index else "")

    def expand(self, names: Sequence[Name], env: Environment) -> tuple[str, ...]:
        """Names as atoms: a range is all its members, and a vector all its parts."""
        atoms: list[str] = []
        for name in names:
            for atom in self.members(name, env):
                if atom not in atoms:
                    atoms.append(atom)
        return tuple(atoms)

    def members(self, name: Name, env: Environment) -> list[str]:
        """The atoms that one name stands for."""
        family = dict(self.choices.collections).get(name.base) if not name.index else None
        if family is not None and family != name.base:
            return self.members(Name(family), env)
        if not name.index and name.base in self.choices.indexed and self.extent(name.base):
            return [self.atom(replace(name, index=()), (self.extents[name.base][0],))]
        if not name.index:
            if self.in_parts(name.base) and not name.mark and self.extent(name.base):
                first, last = self.extents[name.base]
                last = first if name.base in self.choices.first else last
                if first == last and name.base not in self.choices.first:
                    return [self.atom(name, ())]
                return [self.atom(name, (k,)) for k in range(first, last + 1)]
            return [self.atom(name, ())]
        lists: list[list[int]] = [self.range(part, name, env) for part in name.index]
        tuples: list[tuple[int, ...]] = [()]
        for values in lists:
            tuples = [(*known, value) for known in tuples for value in values]
        if len(tuples) > MAX_TERMS:
            raise DerivationSyntaxError(f"{name} has more than {MAX_TERMS} members")
        return [self.atom(name, index) for index in tuples]

    def range(self, part: Any, name: Name, env: Environment) -> list[int]:
        """The numbers that one index of a name stands for."""
        if isinstance(part, Index):
            return [self.index(part, env)]
        if isinstance(part, Span):
            first, last = self.index(part.first, env), self.index(part.last, env)
            if last - first >= MAX_TERMS:
                raise DerivationSyntaxError(f"{name} has more than {MAX_TERMS} members")
            return list(range(first, last + 1))
        if not self.extent(name.base):
            raise DerivationSyntaxError(f"what {name} leaves out is clear, but not what there is")
        first, last = self.extents[name.base]
        at = self.index(part.index, env)
        keep: dict[str, Callable[[int], bool]] = {
            "-": lambda k: k != at,
            ">": lambda k: k > at,
            "<": lambda k: k < at,
            ">=": lambda k: k >= at,
            "<=": lambda k: k <= at,
        }
        return [k for k in range(first, last + 1) if keep[part.how](k)]

    def extent(self, base: str) -> bool:
        """Finds the first and the last index of a family, from where its members occur."""
        if base not in self.extents:
            found: set[int] = set()
            for tree in self.names.trees:
                self.occurrences(tree, base, self.top, found)
            if not found and base in self.choices.parts:
                found = {1, 2}
            if len(found) == 1 and any(
                n.base == base and self.others(n) for t in self.names.trees for n in names_in(t)
            ):
                found.add(max(found) + 1)
            if found:
                self.extents[base] = (min(found), max(found))
        return base in self.extents

    def others(self, name: Name) -> bool:
        """Whether a name speaks of further members of its family."""
        indices = self.top.indices
        return _spans((name,)) or any(isinstance(i, Index) and i.letter and i.letter not in indices for i in name.index)

    def occurrences(self, node: Node, base: str, env: Environment, found: set[int]) -> None:
        """Collects the indices with which a family occurs."""
        if node.kind in ("series", "product"):
            for inner in self.unrolled(node, env):
                self.occurrences(node.parts[0], base, inner, found)
            return
        own = replace(node, parts=())
        for name in names_in(own):
            if name.base == base and len(name.index) == 1 and not name.mark:
                part = name.index[0]
                if isinstance(part, Span) and self.is_empty(part, env):
                    continue
                ends = (
                    (part.first, part.last)
                    if isinstance(part, Span)
                    else (part,)
                    if isinstance(part, Index)
                    else (part.index,)
                )
                found |= {self.index(end, env) for end in ends if not end.letter or end.letter in env.indices}
        for below in node.parts:
            self.occurrences(below, base, env, found)

    def is_empty(self, part: Span, env: Environment) -> bool:
        """Whether a range ends before it begins."""
        known = all(not end.letter or end.letter in env.indices for end in (part.first, part.last))
        return known and self.index(part.last, env) < self.index(part.first, env)

    def unrolled(self, node: Node, env: Environment) -> list[Environment]:
        """The environments of the terms of a sum or product over an index."""
        letter, lower, upper, without = node.data
        size = self.sizes.get(self.names.default_size(letter))
        first = self.index(lower, env) if lower is not None else 1
        last = self.index(upper, env) if upper is not None else (size if size is not None else 2)
        if upper is not None and not upper.letter and lower is not None and lower.letter:
            first, last = last, first
        if last - first >= MAX_TERMS:
            raise DerivationSyntaxError(f"a sum of more than {MAX_TERMS} terms")
        skipped = self.index(without, env) if without is not None else None
        return [replace(env, indices={**env.indices, letter: k}) for k in range(first, last + 1) if k != skipped]

    # Densities

    def key(self, letter: Name, left: Sequence[Name] = ()) -> str:
        """The density that a letter means; ``q_j(z_j)`` is the j-th marginal of q."""
        if letter.index and left and any(name.index == letter.index for name in left):
            letter = Name(letter.base, (), letter.mark)
        key = law_key(letter)
        return dict(self.choices.same).get(key, key)

    def bare_key(self, key: str, env: Environment) -> str:
        """The letter of a density with the numbers of its indices put in."""
        if "_{" in key and key not in self.laws:
            letter = self.names.letters.get(key)
            if letter is not None and letter.index:
                values = ",".join(
                    str(self.index(i, env))
                    if isinstance(i, Index) and (not i.letter or i.letter in env.indices)
                    else str(i)
                    for i in letter.index
                )
                return f"{letter.base}{letter.mark}_{{{values}}}"
        return key

    def law(self, key: str) -> Law:
        """What is known of a density."""
        return self.laws.setdefault(key, Law())

    def table(
        self, key: str, left: tuple[str, ...], right: tuple[str, ...], parameters: Sequence[Name], env: Environment
    ) -> int:
        """The density of some atoms given others."""
        variant = variant_key(key, parameters)
        if variant in self.densities and env.raw != variant:
            return self.defined(variant, left, right, env)
        law = self.law(key)
        bases = self.parameter_bases(key)
        law.parameters = list(bases)
        given = {p.base: self.expand((p,), env)[0] for p in parameters}
        axes = tuple(given.get(base, self.default_parameter(key, base, env)) for base in bases)
        for fixed in self.choices.fixed:
            atoms = self.expand((Name(fixed),), env)
            right = (
                (*right, *(a for a in atoms if a not in left and a not in right))
                if self.conditioned(key, fixed)
                else right
            )
        implied = [a for a in right if a.partition("#")[0].partition("|")[0] in bases]
        if implied:
            axes = tuple(
                next((a for a in implied if a.partition("#")[0].partition("|")[0] == base), axis)
                for base, axis in zip(bases, axes, strict=True)
            )
            right = tuple(a for a in right if a not in implied)
        if {*left, *right} & set(axes):
            raise DerivationSyntaxError("a density takes its own parameter as a variable")
        self.remember(law, left, right, parameters)
        return self.add("table", (), (key, tuple(sorted(left)), tuple(sorted(right)), axes))

    def conditioned(self, key: str, base: str) -> bool:
        """Whether a density is given a variable somewhere."""
        return any(name.base == base for s in self.names.laws.get(key, []) for name in s.right)

    def remember(self, law: Law, left: tuple[str, ...], right: tuple[str, ...], parameters: Sequence[Name]) -> None:
        """Keeps which variables a density is about."""
        roles = [self.role(atom) for atom in (*left, *right)]
        if len(set(roles)) < len(roles) and len({*left, *right}) == len(roles):
            raise DerivationSyntaxError("a density takes two values of one variable at once")
        law.roles += [role for role in dict.fromkeys(roles) if role not in law.roles]

    def parameter_bases(self, key: str) -> list[str]:
        """The parameters of a density."""
        same = [k for k in self.names.parameters if dict(self.choices.same).get(k, k) == key or k == key]
        found: list[str] = []
        for k in same:
            found += [p for p in self.names.parameters[k] if p not in found]
        return found

    def default_parameter(self, key: str, base: str, env: Environment) -> str:
        """The value of a parameter that a density does not name: the undecorated one, or the only one that occurs."""
        used = {
            p
            for k, signatures in self.names.laws.items()
            if dict(self.choices.same).get(k, k) == key
            for s in signatures
            for p in s.parameters
            if p.base == base
        }
        plain = Name(base)
        if plain not in used and len(used) == 1:
            return self.expand((used.pop(),), env)[0]
        return self.expand((plain,), env)[0]

    def fix_priors(self) -> None:
        """A prior written without the parameter of its likelihood does not move with it."""
        for key, law in self.laws.items():
            if not law.parameters:
                continue
            signatures = [
                s for k, found in self.names.laws.items() if dict(self.choices.same).get(k, k) == key for s in found
            ]
            without = {n.base for s in signatures if not s.parameters and not s.right for n in s.left}
            behind = {n.base for s in signatures if s.parameters for n in s.right}
            alone = {n.base for s in signatures if s.parameters and not s.right and len(s.left) == 1 for n in s.left}
            found = (without & behind) - alone
            law.fixed = (
                frozenset(r for r in law.roles if r.partition("#")[0] in found) if len(found) == 1 else frozenset()
            )

    def defined(self, key: str, left: tuple[str, ...], right: tuple[str, ...], env: Environment) -> int:
        """A density that a definition gives: its joint is integrated and divided as any other."""
        definition = self.densities[key]
        pattern = definition.pattern
        own_left, own_right = self.expand(pattern.data[1], self.top), self.expand(pattern.data[2], self.top)
        rename = self.matched(own_left, own_right, left, right)
        inner = replace(self.top, depth=env.depth + 1, raw=key)
        if env.depth > MAX_INLINED:
            raise DerivationSyntaxError(f"the definition of {in_text(pattern)} goes in a circle")
        joint = self.compile(definition.body, inner)
        own_left = tuple(rename.get(a, a) for a in own_left)
        joint = self.moved(joint, rename)
        extra = [a for a in right if a not in own_left and a not in own_right]
        if extra or any(a not in own_left for a in left):
            self.remember(self.law(key), (*own_left, *left), (*own_right, *right), ())
            return self.add("table", (), (key, tuple(sorted(left)), tuple(sorted(right)), ()))
        dropped = tuple(a for a in own_left if a not in left and a not in right)
        above = self.add("integral", (joint,), dropped) if dropped else joint
        behind = tuple(a for a in own_left if a in right)
        if not behind:
            return above
        return self.ratio(above, self.add("integral", (above,), tuple(a for a in own_left if a in left)))

    def matched(
        self, own_left: tuple[str, ...], own_right: tuple[str, ...], left: tuple[str, ...], right: tuple[str, ...]
    ) -> dict[str, str]:
        """Which atoms of a definition are which atoms of its use: the same, or copies of the same variable."""
        rename = {}
        for mine in (*own_left, *own_right):
            if mine in left or mine in right:
                continue
            copy = next(
                (
                    a
                    for a in (*left, *right)
                    if self.role(a) == self.role(mine) and a not in own_left and a not in own_right
                ),
                None,
            )
            if copy is not None:
                rename[mine] = copy
        return rename

    def moved(self, place: int, rename: Mapping[str, str]) -> int:
        """A step with other atoms put in."""
        if not rename or not self.free(place) & set(rename):
            return place
        step = self.steps[place]
        arguments = tuple(self.moved(a, rename) for a in step.arguments)
        if step.kind == "table":
            key, left, right, axes = step.data
            change: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda atoms: tuple(rename.get(a, a) for a in atoms)  # noqa: E731
            return self.add("table", (), (key, change(left), change(right), change(axes)))
        if step.kind == "value":
            return self.add("value", (), (rename.get(step.data[0], step.data[0]),))
        return self.add(step.kind, arguments, step.data)

    def density(self, node: Node, env: Environment, left: tuple[str, ...] | None = None) -> int:
        """A density as written, or with other atoms in front of its bar."""
        letter, own, right, parameters = node.data
        key = self.bare_key(self.key(letter, own), env)
        atoms = self.expand(own, env) if left is None else left
        return self.table(key, atoms, self.expand(right, env), parameters, env)

    # Measures

    def measure(self, node: Node, env: Environment, body: Node) -> tuple[tuple[str, ...], int]:
        """The atoms that an expectation binds, and their weight."""
        draws = node.data[0]
        laws = node.parts[: -2 if node.kind == "covariance" else -1]
        if not laws:
            return self.no_law(draws[0] if draws else (), body, env)
        atoms: list[str] = []
        weights: list[int] = []
        for at, law in enumerate(laws):
            for bound, weight in self.drawn(law, draws[at] if at < len(draws) else (), body, env):
                atoms += [a for a in bound if a not in atoms]
                weights.append(weight)
        return tuple(atoms), self.product(*weights) if len(weights) > 1 else weights[0]

    def drawn(
        self, law: Node, names: tuple[Name, ...], body: Node, env: Environment
    ) -> list[tuple[tuple[str, ...], int]]:
        """The factors of one law of an expectation."""
        names = (self.draws(names, body, env) or names) if names else names
        if law.kind == "stop":
            return [
                (atoms, self.add("stop", (weight,))) for atoms, weight in self.drawn(law.parts[0], names, body, env)
            ]
        if law.kind == "product":
            return [pair for inner in self.unrolled(law, env) for pair in self.drawn(law.parts[0], (), body, inner)]
        if law.kind == "named":
            left = self.expand(law.data[1] or names, env)
            if not left:
                raise DerivationSyntaxError(
                    f"an expectation under {in_text(law)} that does not say over which variable"
                )
            return [(left, self.table(f"named {in_text(law)}", left, (), (), env))]
        if law.kind != "density":
            left = tuple(
                dict.fromkeys(a for n in law.walk() if n.kind == "density" for a in self.expand(n.data[1], env))
            )
            return [(self.expand(names, env) or left, self.compile(law, env))]
        _letter, own, _, _ = law.data
        if not own or (len(own) == 1 and not own[0].base):
            law = self.with_arguments(law, names, body, env)
            own = law.data[1]
        wanted = self.expand(names, env) if names else self.expand(own, env)
        atoms = self.expand(own, env)
        given = self.expand(law.data[2], env)
        if set(wanted) <= set(atoms):
            return [(tuple(a for a in wanted if a not in given), self.density(law, env))]
        if len(atoms) == 1:
            return [((atom,), self.density(law, env, (atom,))) for atom in wanted]
        return [(wanted, self.density(law, env, wanted))]

    def with_arguments(self, law: Node, names: tuple[Name, ...], body: Node, env: Environment) -> Node:
        """A letter alone, with the variables that it must be about."""
        letter, own, right, parameters = law.data
        factor = self.factor(letter, right, parameters) if letter.index and not names else None
        if factor is not None:
            return factor
        signatures = self.signatures(law_key(letter))
        if names:
            if right or own:
                return density(letter, self.single(names), right, parameters)
            options = [s for s in signatures if {n.base for n in s.left} == {n.base for n in names}]
            chosen = self.choose(options, "alone") if options else None
            given = chosen.right if chosen is not None else ()
            mine = parameters or (chosen.parameters if chosen is not None else ())
            return density(letter, self.single(names), given, mine)
        options = self.process(signatures) + self.unique(signatures)
        if options:
            chosen = self.choose(options, "alone")
            return density(letter, chosen.left, chosen.right, parameters or chosen.parameters)
        known = self.latent(body) or (Name("x"),)
        unnamed = [(Name("z"),)] if not signatures and not self.names.is_variable("z") else []
        latent = self.choose([known, *unnamed], "alone")
        self.note(f"{letter} is read as a density of {', '.join(map(str, latent))}")
        return density(letter, latent, (), parameters)

    def factor(self, letter: Name, right: tuple[Name, ...], parameters: tuple[Name, ...]) -> Node | None:
        """A factor of a mean-field q, or all but one of them, with the variables that its index names."""
        laws = {key: known for key, known in self.names.letters.items() if known.base == letter.base or not letter.base}
        for key, known in sorted(laws.items(), key=lambda item: (not item[1].index, item[0] == self.names.model())):
            for s in self.names.laws[key]:
                if len(s.left) == 1 and len(s.left[0].index) == 1 and (known.index or letter.base == known.base):
                    whole = Name(known.base, letter.index, letter.mark if letter.base else known.mark)
                    return density(whole, (replace(s.left[0], index=letter.index),), right or s.right, parameters)
        return None

    def without_arguments(self, letter: Name, parameters: tuple[Name, ...], env: Environment) -> Node | None:
        """A letter of a density under an integral that leaves out its arguments: they are what is integrated over."""
        known = letter.base in {n.base for n in self.names.letters.values()} or letter.base in ("p", "q")
        if not env.bound or not known or self.names.is_variable(letter.base):
            return None
        found = self.factor(letter, (), parameters) if letter.index else None
        if found is not None:
            return found
        families = [name for name in env.bound if self.in_parts(name.base)]
        if letter.index and not families:
            self.whole |= {name.base for name in env.bound}
            raise DerivationSyntaxError(f"{letter} is a factor of {letter.base}, but of which variable is not said")
        if letter.index:
            return density(letter, (replace(families[0], index=letter.index),), (), parameters)
        signatures = self.signatures(law_key(letter))
        bound = tuple(dict.fromkeys(env.bound))
        return density(letter, signatures[0].left if signatures else bound, (), parameters)

    def single(self, names: tuple[Name, ...]) -> tuple[Name, ...]:
        """One variable for a family of draws, or the whole family where it is one."""
        family = len({n.base for n in names}) == 1 and (len(names) > 1 or _spans(names))
        return (Name(names[0].base),) if family and not self.in_parts(names[0].base) else names

    def process(self, signatures: list[Signature]) -> list[Signature]:
        """For a letter whose densities are about the parts of one family: all of them together."""
        indexed = [s for s in signatures if any(n.index and self.in_parts(n.base) for n in s.left)]
        if not indexed:
            return []
        left: list[Name] = []
        for s in signatures:
            left += [Name(n.base) if n.index and self.in_parts(n.base) else n for n in s.left]
        bases = tuple(dict.fromkeys(left))
        behind = [n for s in signatures for n in s.right]
        never = [
            n
            for n in dict.fromkeys(behind)
            if all(n not in s.left for s in signatures) and all(not i.letter for i in n.index if isinstance(i, Index))
        ]
        spans = tuple(self.without(name, [n for n in never if n.base == name.base]) for name in bases)
        return [Signature(spans, tuple(never), signatures[0].parameters)]

    def without(self, name: Name, fixed: list[Name]) -> Name:
        """A family without some of its members."""
        if not self.extent(name.base):
            return name
        first, last = self.extents[name.base]
        gone = {i.offset for n in fixed for i in n.index if isinstance(i, Index)}
        kept = [k for k in range(first, last + 1) if k not in gone]
        return Name(name.base, (Span(Index("", kept[0]), Index("", kept[-1])),), name.mark) if kept and gone else name

    def unique(self, signatures: list[Signature]) -> list[Signature]:
        """The ways in which a letter occurs, each once, undecorated first."""
        found: list[Signature] = []
        for s in signatures:
            if all((s.left, s.right) != (o.left, o.right) for o in found):
                found.append(s)
        return found

    def signatures(self, key: str) -> list[Signature]:
        """The ways in which a letter, or one that means the same, occurs."""
        same = dict(self.choices.same)
        wanted = same.get(key, key)
        return [s for k, found in self.names.laws.items() if same.get(k, k) == wanted for s in found]

    def choose(self, options: list[Any], what: str) -> Any:
        """One of several options, counted by the choices of this plan."""
        setattr(self, what, max(getattr(self, what), len(options)))
        return options[min(getattr(self.choices, what), len(options) - 1)]

    def latent(self, body: Node) -> tuple[Name, ...]:
        """The variables of a body that some density has behind its bar, or in a joint, and no side has alone."""
        inside = [n for node in body.walk() if node.kind == "density" for n in node.data[1]]
        outside = {s.left for found in self.names.laws.values() for s in found if not s.right and len(s.left) == 1}
        tops = {n for left in outside for n in left}
        behind = {n for node in body.walk() if node.kind == "density" for n in node.data[2]}
        found = [n for n in dict.fromkeys(inside) if n not in tops or n in behind]
        several = [n for n in found if n not in tops] or found
        return tuple(several or [n for n in dict.fromkeys(names_in(body)) if self.names.is_variable(n.base) and n.base])

    def no_law(self, names: tuple[Name, ...], body: Node, env: Environment) -> tuple[tuple[str, ...], int]:
        """An expectation that names no density."""
        options: list[Node] = []
        body = self.unfolded(body)
        for law in self.named_measures():
            bases = {n.base for n in law.data[1]}
            fits = {n.base for n in names} <= bases if names else bool(bases & {n.base for n in names_in(body)})
            if law.data[1] and fits and law not in options:
                options.append(law)
        names_of_one = self.single(names) if names else ()
        if names and all(set(law.data[1]) != set(names_of_one) or law.data[2] for law in options):
            prior = density(self.model_letter(), names_of_one)
            exact = any(set(law.data[1]) == set(names_of_one) for law in options)
            options = [*options, prior] if exact else [prior, *options]
            options += self.about(names_of_one)
        if not names:
            latent = self.latent(body) or tuple(
                dict.fromkeys(n for n in names_in(body) if self.names.is_variable(n.base))
            )
            options += [density(self.model_letter(), latent), *self.about(latent)] if latent else []
        if not options:
            raise DerivationSyntaxError("an expectation that says neither over what nor under which density")
        chosen = self.choose(options, "bare")
        self.note(f"the expectation names no density: it is read under {in_text(chosen)}")
        draws = names or self.draws(chosen.data[1], body, env)
        if draws and not names:
            chosen = density(chosen.data[0], self.single(draws), *chosen.data[2:])
        pairs = self.drawn(chosen, draws, body, env)
        atoms = tuple(dict.fromkeys(a for bound, _ in pairs for a in bound))
        return (self.expand(names, env) if names else atoms), self.product(*(weight for _, weight in pairs))

    def unfolded(self, body: Node) -> Node:
        """A body with what stands behind the names in it, for the question of what it is about."""
        keys = {_defined_key(n.data[0]) for n in body.walk() if n.kind == "name"} & set(self.definitions)
        return Node("sum", (body, *(self.definitions[key].body for key in sorted(keys)))) if keys else body

    def about(self, names: tuple[Name, ...]) -> list[Node]:
        """The densities of exactly some variables."""
        wanted = {n.base for n in names}
        return [
            density(self.names.letters[key], names, s.right, s.parameters)
            for key, signatures in self.names.laws.items()
            for s in self.unique(signatures)
            if {n.base for n in s.left} == wanted
        ]

    def draws(self, names: tuple[Name, ...], body: Node, env: Environment) -> tuple[Name, ...]:
        """All members of a family of draws that a body sums over, where one of them is named; else nothing."""
        (name, *others) = names
        letters = {n.data[0]: n.data[1:3] for n in body.walk() if n.kind in ("series", "product")}
        for part in name.index if not others else ():
            if isinstance(part, Index) and part.letter in letters and part.letter not in env.indices:
                first, last = letters[part.letter]
                size = Index(self.names.default_size(part.letter))
                return (replace(name, index=(Span(first or Index("", 1), last or size),)),)
        return ()

    def moved_by_nabla(self, env: Environment) -> tuple[str, ...]:
        """The variable of gradients that do not name theirs: the first that one of them has in front of a bar."""
        nodes = [n for tree in self.names.trees for n in tree.walk() if n.kind == "gradient" and not n.data[0]]
        fronts = list(dict.fromkeys(a for n in nodes for d in n.walk() if d.kind == "density" for a in d.data[1]))
        if not fronts:
            return ()
        chosen = self.choose(fronts, "nabla")
        self.note(f"the gradient is read with respect to {chosen}")
        return self.expand((chosen,), env)

    def model_letter(self) -> Name:
        """The letter of the model."""
        key = self.names.model()
        return self.names.letters.get(key, Name(key))

    def named_measures(self) -> list[Node]:
        """The densities under which a display averages: in divergences, expectations and integrals, letters alone
        with what they are about."""
        found = []
        for law in (*self.names.measures, *self.names.weights):
            letter, left, _, _ = law.data
            if left:
                found.append(law)
                continue
            found += [
                density(letter, s.left, s.right, s.parameters)
                for s in self.unique(self.signatures(law_key(letter)))[:1]
            ]
        return found

    def aligned(self, node: Node, atoms: tuple[str, ...], env: Environment) -> int:
        """A second density, over the atoms of a first one."""
        if node.kind != "density" or (node.data[1] and node.data[1][0].base):
            return self.compile(node, replace(env, bound=(*env.bound, *_plain(atoms))))
        letter, _, right, parameters = node.data
        key = self.bare_key(self.key(letter), env)
        roles = {self.role(a) for a in atoms}
        options: list[tuple[tuple[str, ...], tuple[Name, ...]]] = []
        for s in self.signatures(law_key(letter)):
            if {self.role(a) for a in self.expand(s.left, env)} == roles:
                options.append((self.expand(s.right, env), s.parameters))
        joint = [
            s for s in self.signatures(law_key(letter)) if {self.role(a) for a in self.expand(s.left, env)} > roles
        ]
        observed = tuple(dict.fromkeys(a for s in joint for a in self.expand(s.left, env) if self.role(a) not in roles))
        if observed:
            options.append((observed, joint[0].parameters))
        if not options and atoms == ("z",):
            options += [(self.expand((*s.left, *s.right), env), s.parameters) for s in self.signatures(law_key(letter))]
        options = list(dict.fromkeys(options)) or [((), ())]
        given, known = self.choose(options, "alone")
        if right:
            given = self.expand(right, env)
        return self.table(key, atoms, given, parameters or known, env)

    def first(self, node: Node, env: Environment) -> tuple[tuple[str, ...], int]:
        """The atoms of the first density of a divergence, and its value."""
        if node.kind == "density":
            if not node.data[1] or not node.data[1][0].base:
                node = self.with_arguments(node, (), node, env)
            atoms = self.expand(node.data[1], env)
            return atoms, self.density(node, env)
        if node.kind == "product":
            pairs = [
                (self.expand(node.parts[0].data[1], inner), self.density(node.parts[0], inner))
                for inner in self.unrolled(node, env)
                if node.parts[0].kind == "density"
            ]
            if pairs:
                return tuple(a for atoms, _ in pairs for a in atoms), self.product(*(p for _, p in pairs))
        atoms = tuple(dict.fromkeys(a for n in node.walk() if n.kind == "density" for a in self.expand(n.data[1], env)))
        if not atoms:
            raise DerivationSyntaxError("an argument of a divergence that is no density")
        return atoms, self.compile(node, env)

    # Compilation

    def compile(self, node: Node, env: Environment | None = None) -> int:
        """The place of the value of a tree.

        Raises:
            DerivationSyntaxError: If something in it has no meaning on a finite model.
        """
        case = _CASES.get(node.kind)
        if case is None:
            raise DerivationSyntaxError(f"{node.kind} cannot stand here")
        return case(self, node, env if env is not None else self.top)


@meaning("number")
def _number(plan: Plan, node: Node, env: Environment) -> int:
    return plan.number(node.data[0])


@meaning("density")
def _density(plan: Plan, node: Node, env: Environment) -> int:
    letter, left, _, parameters = node.data
    law = node if left else plan.without_arguments(letter, parameters, env)
    if law is None:
        raise DerivationSyntaxError(f"{letter} stands alone where a number is expected")
    return plan.density(law, env)


@meaning("sum")
def _sum(plan: Plan, node: Node, env: Environment) -> int:
    return plan.total(*(plan.compile(part, env) for part in node.parts))


@meaning("times")
def _times(plan: Plan, node: Node, env: Environment) -> int:
    return plan.product(*(plan.compile(part, env) for part in node.parts))


@meaning("negative")
def _negative(plan: Plan, node: Node, env: Environment) -> int:
    return plan.negative(plan.compile(node.parts[0], env))


@meaning("quotient")
def _quotient(plan: Plan, node: Node, env: Environment) -> int:
    return plan.ratio(plan.compile(node.parts[0], env), plan.compile(node.parts[1], env))


@meaning("power")
def _power(plan: Plan, node: Node, env: Environment) -> int:
    return plan.add("power", (plan.compile(node.parts[0], env), plan.compile(node.parts[1], env)))


@meaning("log", "exp", "absolute", "stop", "log_gamma")
def _elementary(plan: Plan, node: Node, env: Environment) -> int:
    return plan.add(node.kind, (plan.compile(node.parts[0], env),))


@meaning("factorial")
def _factorial(plan: Plan, node: Node, env: Environment) -> int:
    """Gamma(x + 1)."""
    return plan.compile(Node("gamma_function", (Node("sum", (node.parts[0], number(1))),)), env)


@meaning("gamma_function")
def _gamma_function(plan: Plan, node: Node, env: Environment) -> int:
    return plan.compile(Node("exp", (Node("log_gamma", node.parts),)), env)


@meaning("expect")
def _expect(plan: Plan, node: Node, env: Environment) -> int:
    atoms, weight = plan.measure(node, env, node.parts[-1])
    return plan.average(atoms, weight, plan.compile(node.parts[-1], replace(env, bound=(*env.bound, *_plain(atoms)))))


def _plain(atoms: Sequence[str]) -> tuple[Name, ...]:
    """The names of atoms that have neither an index nor a mark."""
    return tuple(Name(atom) for atom in atoms if not {"#", "|"} & set(atom))


@meaning("variance")
def _variance(plan: Plan, node: Node, env: Environment) -> int:
    return _covaried(plan, node, env, node.parts[-1], node.parts[-1])


@meaning("covariance")
def _covariance(plan: Plan, node: Node, env: Environment) -> int:
    return _covaried(plan, node, env, node.parts[-2], node.parts[-1])


def _covaried(plan: Plan, node: Node, env: Environment, first: Node, second: Node) -> int:
    """E[ab] - E[a] E[b]."""
    atoms, weight = plan.measure(node, env, Node("sum", (first, second)))
    a, b = plan.compile(first, env), plan.compile(second, env)
    means = plan.product(plan.average(atoms, weight, a), plan.average(atoms, weight, b))
    return plan.total(plan.average(atoms, weight, plan.product(a, b)), plan.negative(means))


@meaning("integral")
def _integral(plan: Plan, node: Node, env: Environment) -> int:
    names = tuple(_all_but_one(name, node.parts[0], env) for name in node.data[0])
    inside = replace(env, bound=(*env.bound, *names))
    body = plan.compile(node.parts[0], inside)
    atoms = plan.expand(names, env)
    if not atoms:
        observed = {n.base for s in plan.names.laws.get("p", []) if not s.right and len(s.left) == 1 for n in s.left}
        atoms = tuple(sorted(a for a in plan.free(body) if a in plan.names.variables and a not in observed))
        if len(atoms) != 1:
            raise DerivationSyntaxError("an integral that does not say over what")
    return plan.add("integral", (body,), atoms)


def _all_but_one(name: Name, body: Node, env: Environment) -> Name:
    r"""``\\prod_{i \\ne j} q_i \\, dz_i``: an integral over all members of a family but one."""
    for part in name.index:
        if not isinstance(part, Index) or part.letter in env.indices:
            continue
        for node in body.walk():
            if node.kind == "product" and node.data[0] == part.letter and node.data[3] is not None:
                return replace(name, index=(Others("-", node.data[3]),))
    return name


@meaning("series", "product")
def _series(plan: Plan, node: Node, env: Environment) -> int:
    letter = node.data[0]
    if letter in plan.choices.support and node.kind == "series":
        return _over_support(plan, node, env)
    if plan.names.is_variable(letter) and node.kind == "series":
        upper = node.data[2]
        count = plan.sizes.get(upper.letter) if upper is not None and upper.letter and not upper.offset else None
        if count is not None:
            plan.counted[letter] = count
        return plan.add("integral", (plan.compile(node.parts[0], env),), plan.expand((Name(letter),), env))
    parts = tuple(plan.compile(node.parts[0], inner) for inner in plan.unrolled(node, env))
    if not parts:
        return plan.number(0.0 if node.kind == "series" else 1.0)
    return plan.add("sum" if node.kind == "series" else "product", parts)


def _over_support(plan: Plan, node: Node, env: Environment) -> int:
    """A sum over k in which z_k runs through all values of z."""
    inner = replace(env, indices={**env.indices, node.data[0]: 90 + len(env.indices)})
    body = plan.compile(node.parts[0], inner)
    outer = plan.compile(node.parts[0], replace(env, indices={**env.indices, node.data[0]: 80 + len(env.indices)}))
    atoms = tuple(sorted(plan.free(body) - plan.free(outer)))
    if not atoms:
        raise DerivationSyntaxError(f"nothing in this sum depends on {node.data[0]}")
    return plan.add("integral", (body,), atoms)


@meaning("kl")
def _kl(plan: Plan, node: Node, env: Environment) -> int:
    """E_a[log a - log b]."""
    if "named" in (node.parts[0].kind, node.parts[1].kind):
        return plan.compile(replace(node, kind="named_kl"), env)
    atoms, first = plan.first(node.parts[0], env)
    return plan.average(atoms, first, plan.log(plan.ratio(first, plan.aligned(node.parts[1], atoms, env))))


@meaning("chi2")
def _chi2(plan: Plan, node: Node, env: Environment) -> int:
    """E_a[a / b] - 1."""
    atoms, first = plan.first(node.parts[0], env)
    ratio = plan.ratio(first, plan.aligned(node.parts[1], atoms, env))
    return plan.total(plan.average(atoms, first, ratio), plan.number(-1.0))


@meaning("tv")
def _tv(plan: Plan, node: Node, env: Environment) -> int:
    """Half the integral of |a - b|."""
    atoms, first = plan.first(node.parts[0], env)
    gap = plan.total(first, plan.negative(plan.aligned(node.parts[1], atoms, env)))
    return plan.product(plan.number(0.5), plan.add("integral", (plan.add("absolute", (gap,)),), atoms))


@meaning("js")
def _js(plan: Plan, node: Node, env: Environment) -> int:
    """Half the sum of the divergences from the mixture."""
    atoms, first = plan.first(node.parts[0], env)
    second = plan.aligned(node.parts[1], atoms, env)
    middle = plan.product(plan.number(0.5), plan.total(first, second))
    halves = [plan.average(atoms, law, plan.log(plan.ratio(law, middle))) for law in (first, second)]
    return plan.product(plan.number(0.5), plan.total(*halves))


@meaning("renyi")
def _renyi(plan: Plan, node: Node, env: Environment) -> int:
    """log E_a[(a / b)^(alpha - 1)] / (alpha - 1)."""
    atoms, first = plan.first(node.parts[0], env)
    ratio = plan.ratio(first, plan.aligned(node.parts[1], atoms, env))
    less = plan.total(plan.compile(node.parts[2], env), plan.number(-1.0))
    return plan.ratio(plan.log(plan.average(atoms, first, plan.add("power", (ratio, less)))), less)


@meaning("entropy")
def _entropy(plan: Plan, node: Node, env: Environment) -> int:
    """-E_a[log b], with b = a where only one density is given."""
    if node.parts[0].kind == "named":
        return plan.compile(replace(node, kind="named_entropy"), env)
    atoms, first = plan.first(node.parts[0], env)
    second = plan.aligned(node.parts[1], atoms, env) if len(node.parts) > 1 else first
    return plan.negative(plan.average(atoms, first, plan.log(second)))


@meaning("information")
def _information(plan: Plan, node: Node, env: Environment) -> int:
    """E[log p(a, b | c) / (p(a | c) p(b | c))], or -E[log p(a | c)]."""
    letter, *groups = node.data
    lowered = [tuple(_lowered(plan, n) for n in names) for names in groups]
    first, second, given = (plan.expand(names, env) for names in lowered)
    key = plan.bare_key(plan.key(letter), env)
    wanted = {n.base for names in lowered for n in names}
    if letter == Name("p") and not wanted <= plan.names.all_of(key):
        key = next((other for other in plan.names.laws if wanted <= plan.names.all_of(other)), key)
        plan.note(f"the information is that under {key}")

    def law(left: tuple[str, ...], right: tuple[str, ...] = ()) -> int:
        return plan.table(key, left, right, (), env)

    everything = tuple(dict.fromkeys((*first, *second, *given)))
    if not second:
        return plan.negative(plan.average(everything, law(everything), plan.log(law(first, given))))
    below = plan.product(law(first, given), law(second, given))
    return plan.average(everything, law(everything), plan.log(plan.ratio(law((*first, *second), given), below)))


def _lowered(plan: Plan, name: Name) -> Name:
    """``H(X)`` speaks of the variable x where the densities do."""
    densities = {n.base for found in plan.names.laws.values() for s in found for n in (*s.left, *s.right)}
    small = name.base.lower()
    return replace(name, base=small) if name.base not in densities and small in densities else name


@meaning("gradient")
def _gradient(plan: Plan, node: Node, env: Environment) -> int:
    body = plan.compile(node.parts[0], env)
    names = plan.expand(node.data[0], env)
    if not names:
        found = {p for law in plan.laws.values() for p in law.parameters}
        names = tuple(sorted(found)) if len(found) == 1 else plan.moved_by_nabla(env)
        if not names:
            raise DerivationSyntaxError("a gradient that does not say with respect to what")
    moved = plan.free(body) | {plan.steps[at].data[0] for at in plan.reached(body) if plan.steps[at].kind == "scalar"}
    if not moved & set(names):
        moving = ", ".join(map(str, node.data[0] or names))
        plan.note(f"{in_text(node.parts[0])} does not depend on {moving}: its gradient is zero")
    return plan.add("gradient", (body,), names)


@meaning("max", "min", "argmax", "argmin")
def _extremum(plan: Plan, node: Node, env: Environment) -> int:
    value = plan.compile(node.parts[0], env)
    letters = [
        n
        for n in node.data[0]
        if plan.key(n) in plan.laws
        and not plan.names.is_variable(n.base)
        and n.base not in {p for law in plan.laws.values() for p in law.parameters}
    ]
    if len(letters) > 1:
        raise DerivationSyntaxError("an extremum over two densities at once is not read")
    for letter in letters:
        value = _over_law(plan, node, plan.key(letter), value)
    axes = plan.expand([n for n in node.data[0] if n not in letters], env)
    if axes:
        missing = [axis for axis in axes if axis not in plan.free(value)]
        if missing:
            raise DerivationSyntaxError(f"nothing in {in_text(node.parts[0])} depends on {missing[0]}")
        if len(axes) > 1 and node.kind.startswith("arg"):
            raise DerivationSyntaxError("an arg max over two things at once is not read")
        value = plan.add(node.kind, (value,), axes)
    return value


def _over_law(plan: Plan, node: Node, key: str, value: int) -> int:
    """An extremum over all densities of a letter."""
    tables = [
        plan.steps[at].data
        for at in plan.reached(value)
        if plan.steps[at].kind == "table" and plan.steps[at].data[0] == key
    ]
    left = tuple(sorted({a for data in tables for a in data[1]}))
    given = plan.free(value) | {a for data in tables for a in data[2]}
    if not left or any(data[3] for data in tables):
        raise DerivationSyntaxError(
            f"a maximum over {key} of what does not depend on it, or of a family with parameters"
        )
    return plan.add("optimum", (value,), (node.kind, key, left, tuple(sorted(given - set(left)))))


@meaning("constant")
def _constant(plan: Plan, node: Node, env: Environment) -> int:
    return plan.number(0.0)


@meaning("at")
def _at(plan: Plan, node: Node, env: Environment) -> int:
    (atom,) = plan.expand(node.data, env)
    return plan.add("at", (plan.compile(node.parts[0], env), plan.compile(node.parts[1], env)), (atom,))


@meaning("dot")
def _dot(plan: Plan, node: Node, env: Environment) -> int:
    """An inner product: the sum over the coordinates of two vectors."""
    first, second = (_vector(plan, part, env) for part in node.parts)
    return plan.total(*(plan.product(a, b) for a, b in zip(first, second, strict=True)))


def _vector(plan: Plan, node: Node, env: Environment) -> list[int]:
    """The coordinates of a vector: of a name, a sum of vectors, or a multiple of one."""
    if node.kind == "name" and not node.parts and not node.data[0].base.isupper():
        return [plan.add("scalar", (), (f"{plan.atom(node.data[0], ())} coordinate {k}",)) for k in range(2)]
    if node.kind in ("sum", "negative"):
        parts = [_vector(plan, part, env) for part in node.parts]
        return [
            plan.total(*column) if node.kind == "sum" else plan.negative(column[0])
            for column in zip(*parts, strict=True)
        ]
    if node.kind == "times":
        scale = plan.product(*(plan.compile(part, env) for part in node.parts[:-1]))
        return [plan.product(scale, v) for v in _vector(plan, node.parts[-1], env)]
    raise DerivationSyntaxError("of vectors only sums, multiples and inner products are read")


@meaning("name")
def _name(plan: Plan, node: Node, env: Environment) -> int:
    """A number, a size, a variable's value, what a definition says, or an arbitrary function."""
    name, parameters = node.data
    if not node.parts and law_key(name) in plan.names.calls and not plan.names.is_variable(name.base):
        node = replace(node, parts=plan.names.calls[law_key(name)])
    if (
        not node.parts
        and not name.index
        and not name.mark
        and name.base in env.indices
        and name.base not in plan.names.free_letters
    ):
        return plan.number(env.indices[name.base])
    definition = plan.definitions.get(_defined_key(name))
    if definition is not None:
        return _inlined(plan, node, definition, env)
    sign = dict(plan.choices.bounds).get(_defined_key(name), 1 if name.base == "@ELBO" else 0)
    if sign:
        bound = _bound(plan, env)
        return bound if sign > 0 else plan.negative(bound)
    law = plan.without_arguments(name, parameters, env) if not node.parts else None
    if law is not None:
        return plan.density(law, env)
    atoms = plan.expand((name,), env) if not node.parts else ()
    axis = {p for law in plan.laws.values() for p in law.parameters} | {
        p for ps in plan.names.parameters.values() for p in ps
    }
    if not node.parts and (plan.names.is_variable(name.base) or name.base in axis) and name.base:
        if len(atoms) != 1:
            raise DerivationSyntaxError(f"{in_text(node)} is not a single number")
        return plan.add("value", (), atoms)
    label = (
        atoms[0]
        if len(atoms) == 1
        else plan.atom(name, tuple(plan.index(i, env) for i in name.index if isinstance(i, Index)))
    )
    if name.base.startswith(("@", "cal:")):
        plan.undefined[_defined_key(name)] = in_text(replace(node, parts=()))
    if not node.parts and not parameters and not name.base.startswith("@") and len(atoms) == 1:
        return _scalar(plan, name, label, node)
    return _function(plan, node, label, env)


def _scalar(plan: Plan, name: Name, label: str, node: Node) -> int:
    plan.undefined.setdefault(_defined_key(name), in_text(node))
    return plan.add("scalar", (), (label,))


def _function(plan: Plan, node: Node, label: str, env: Environment) -> int:
    """An arbitrary function of its arguments and parameters."""
    name, parameters = node.data
    plan.undefined.setdefault(_defined_key(name), in_text(replace(node, parts=())))
    arguments: list[int] = []
    for part in node.parts:
        if part.kind == "density" and not part.data[1]:
            label += f"({law_key(part.data[0])})"
        elif part.kind == "name" and not part.parts and plan.names.is_variable(part.data[0].base):
            arguments += [plan.add("value", (), (atom,)) for atom in plan.expand((part.data[0],), env)]
        else:
            arguments.append(plan.compile(part, env))
    arguments += [plan.compile(Node("name", (), (p, ())), env) for p in parameters]
    return plan.add("function", tuple(arguments), (label, name.base in plan.names.positive))


def _defined_key(name: Name) -> str:
    """What a definition is found by: the letter with its marks, not its index."""
    return name.base + name.mark


def _bound(plan: Plan, env: Environment) -> int:
    """The evidence lower bound of q, where nobody defined it otherwise."""
    guide, model = _guide_and_model(plan)
    q = next((s for s in plan.signatures(law_key(guide))), None)
    left = q.left if q is not None else (Name("z"),)
    law = density(guide, left, q.right if q is not None else (), q.parameters if q is not None else ())
    signatures = plan.signatures(law_key(model))
    observed = {n for s in signatures for n in (*s.left, *s.right) if n not in left and n.base not in GREEK}
    seen = tuple(sorted(observed, key=str)) or (Name("x"),)
    parameters = next((s.parameters for s in signatures if s.parameters), ())
    given = tuple(dict.fromkeys(n for s in signatures for n in s.right if n.base in GREEK))
    joint = density(model, (*seen, *left), given, parameters)
    body = Node("sum", (Node("log", (joint,)), Node("negative", (Node("log", (law,)),))))
    bound = Node("expect", (law, body), (((),),))
    plan.note(f"ELBO is read as {in_text(bound)}")
    return plan.compile(bound, env)


def _guide_and_model(plan: Plan) -> tuple[Name, Name]:
    """The letters of a q and of the model that it belongs to."""
    letters = plan.names.letters
    model = plan.model_letter()
    guides = [key for key in letters if key != law_key(model) and plan.names.models(law_key(model), key)]
    return (letters[min(guides, key=lambda key: (key[:1] != "q", key))] if guides else Name("q")), model


def _inlined(plan: Plan, node: Node, definition: Definition, env: Environment) -> int:
    """What a name stands for, with its arguments and indices put in."""
    if env.depth > MAX_INLINED:
        raise DerivationSyntaxError(f"the definition of {in_text(definition.pattern)} goes in a circle")
    mine, given = definition.pattern.data[0], node.data[0]
    own, used = definition.pattern.parts, node.parts
    indices: dict[str, Index] = {}
    names: dict[Name, Name] = {}
    letters: dict[str, Name] = {}
    for part in own:
        if part.kind == "name" and part.data[0].index and not part.parts:
            names[replace(part.data[0], index=())] = part.data[0]
    if given.index and not mine.index and len(own) == 1 and not used and own[0].kind == "name":
        names[own[0].data[0]] = replace(own[0].data[0], index=given.index)
    elif len(given.index) != len(mine.index):
        raise DerivationSyntaxError(f"{in_text(node)} does not fit its definition {in_text(definition.pattern)}")
    for a, b in zip(mine.index, given.index, strict=False):
        if isinstance(a, Index) and a.letter and isinstance(b, Index):
            indices[a.letter] = Index(b.letter, b.offset - a.offset)
        elif a != b:
            raise DerivationSyntaxError(f"{in_text(node)} does not fit its definition {in_text(definition.pattern)}")
    for a, b in zip(own, used, strict=False):
        _bind(a, b, names, letters)
    for p, r in zip(definition.pattern.data[1], node.data[1], strict=False):
        names[p] = r
    body = renamed(definition.body, names, indices, letters)
    return plan.compile(body, replace(env, depth=env.depth + 1))


def _bind(own: Node, used: Node, names: dict[Name, Name], letters: dict[str, Name]) -> None:
    """One argument of a definition and of its use."""
    if own.kind == "density" and used.kind == "density":
        letters[law_key(own.data[0])] = used.data[0]
        names.update(zip(own.data[1], used.data[1], strict=False))
    elif own.kind == "name" and used.kind == "name":
        names[own.data[0]] = used.data[0]


def _spans(names: Sequence[Name]) -> bool:
    return any(isinstance(part, Span | Others) for name in names for part in name.index)
