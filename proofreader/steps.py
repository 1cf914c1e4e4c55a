"""The steps of a plan, and the atoms that names stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from proofreader.errors import DerivationSyntaxError
from proofreader.models import Law, Sizes, Step
from proofreader.names import Names, index_value, names_in
from proofreader.syntax import Index, Name, Node, Others, Span

__all__ = ["Choices", "Definition", "Environment", "Steps", "defined_key", "meaning", "spans"]


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
        absent: Members in front of the first of their family, as z_0 where the product begins with p(z_1 | z_0).
        apart: Letters of parameters that are not values of one parameter, although they stand at one letter.
        bare: Which law an expectation without one is taken under, counted from 0.
        alone: Which density a letter alone stands for, counted from 0.
        prior: Whether the second letter alone of a divergence is unconditional though it has variables to depend on.
        nabla: With respect to which variable a gradient that does not say so is taken, counted from 0.
        plane: Whether Gaussians with a multiple of the identity have two coordinates.
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
    absent: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()
    bare: int = 0
    alone: int = 0
    prior: int = 0
    nabla: int = 0
    plane: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What a name or a density stands for, and whether its author says that this is a definition."""

    pattern: Node
    body: Node
    stated: bool = False


@dataclass(frozen=True, slots=True)
class Environment:
    """What is known inside a sum or a definition: the values of indices, and how deep we are."""

    indices: Mapping[str, int] = field(default_factory=dict)
    depth: int = 0
    raw: str = ""
    bound: tuple[Name, ...] = ()


Case = Callable[[Any, Node, Environment], int]
CASES: dict[str, Case] = {}


def meaning(*kinds: str) -> Callable[[Case], Case]:
    """Registers what nodes of some kinds mean."""

    def register(case: Case) -> Case:
        for kind in kinds:
            CASES[kind] = case
        return case

    return register


class Steps:
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
        self.prior = 0
        self.nabla = 0
        self.whole: set[str] = set()
        self.unit: set[str] = set()
        self.counted: dict[str, int] = {}
        self.grids: dict[str, int] = {}
        self.valued: dict[str, int] = {}
        self.rough = False
        self.undefined: dict[str, str] = {}
        self.free_cache: dict[int, frozenset[str]] = {}
        self.extents: dict[str, tuple[int, int]] = {}
        numbers = dict(sizes.numbers)
        for at, letter in enumerate(names.free_letters):
            if letter not in numbers:
                numbers[letter] = sizes.free + at
        self.top = Environment(numbers)
        self.sizes_by_name = {letter: size for letter, size in sizes.numbers if len(letter) > 1}

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

    def picked(self, place: int, names: Sequence[str]) -> int:
        """A step at the values of those atoms that stand for events such as ``y = 1``."""
        for atom in names:
            base, _, value = atom.partition("|=")
            if value:
                if self.in_parts(base):
                    raise DerivationSyntaxError(f"{base} is a family here, and {base} = {value} names no member of it")
                values = self.names.values_of(base)
                if int(value) not in self.names.closed.get(base, values):
                    raise DerivationSyntaxError(f"{base} is said to take other values than {value}")
                count = len(values) + (base not in self.names.closed)
                self.counted.setdefault(self.role(atom), count)
                place = self.add("pick", (place,), (atom, values.index(int(value))))
        return place

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
            elif step.kind in ("value", "same", "grid"):
                found = frozenset(step.data[:1] if step.kind == "grid" else step.data)
            elif step.kind in ("integral", "max", "min", "argmax", "argmin"):
                found = inner - set(step.data)
            elif step.kind == "optimum":
                how, _, left, given = step.data
                found = (inner - set(left)) | set(given) | (set(left) if how.startswith("arg") else set())
            elif step.kind == "pick":
                found = inner - {step.data[0]}
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

    def in_parts(self, base: str) -> bool:
        """Whether the members of a family are variables of their own."""
        return (base in self.names.parts and base not in self.choices.copies) or base in self.choices.parts

    def role(self, atom: str) -> str:
        """The variable of which an atom is a value: itself, or the one of which it is a copy."""
        base, _, rest = atom.partition("#")
        plain, _, mark = base.partition("|")
        if self.in_parts(plain):
            return atom
        return self.slot(plain) if mark or rest or plain in self.names.slots else atom

    def slot(self, base: str) -> str:
        """The parameter of which a letter is a value."""
        return base if base in self.choices.apart else self.names.slots.get(base, base)

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
                if atom not in atoms and atom not in self.choices.absent:
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
        return spans((name,)) or any(isinstance(i, Index) and i.letter and i.letter not in indices for i in name.index)

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

    def compile(self, node: Node, env: Environment | None = None) -> int:
        """The place of the value of a tree.

        Raises:
            DerivationSyntaxError: If something in it has no meaning on a finite model.
        """
        case = CASES.get(node.kind)
        if case is None:
            raise DerivationSyntaxError(f"{node.kind} cannot stand here")
        return case(self, node, env if env is not None else self.top)


def plain_names(atoms: Sequence[str]) -> tuple[Name, ...]:
    """The names of atoms that have neither an index nor a mark."""
    return tuple(Name(atom) for atom in atoms if not {"#", "|"} & set(atom))


def spans(names: Sequence[Name]) -> bool:
    return any(isinstance(part, Span | Others) for name in names for part in name.index)


def defined_key(name: Name) -> str:
    """What a definition is found by: the letter with its marks, not its index."""
    return name.base + name.mark
