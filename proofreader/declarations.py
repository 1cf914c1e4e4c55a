"""What a display and its author take as given: definitions, draws, choices and ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from proofreader.beyond import TURNED
from proofreader.brackets import grouped, readable
from proofreader.classify import (
    chooses_form,
    defines,
    has_any,
    is_condition,
    is_energy,
    kind_of_relation,
    letters_of,
    simplex_of,
    unsigned,
)
from proofreader.errors import DerivationSyntaxError
from proofreader.families import beside_bodies, keep, key_of, known_beside
from proofreader.indices import BRACKETS, name_of, values_in
from proofreader.layout import Side, Statement, Way, statements_of
from proofreader.letters import (
    USUAL_LAWS,
    called_letters,
    defined_functions,
    inferred_laws,
    is_a_probability,
    law_letters,
    own_letters,
    variable_letters,
)
from proofreader.models import Deadline
from proofreader.names import Names, law_key, names_in, variant_key
from proofreader.notation import operator_named
from proofreader.parse import Reading, readings_of
from proofreader.renaming import renamed, vectors_among, with_values_of_vectors
from proofreader.source import Macro, tokens_of
from proofreader.steps import Definition
from proofreader.symbols import DOTS, FIRST_OF_PROSE
from proofreader.syntax import Index, Name, Node, density

__all__ = ["Chain", "Declarations", "ReadSide"]


SECONDS = 3.0
_NAME = r"(\\?[A-Za-z]+)"
_NUMBER = r"(-?[\d.]+)"
_RANGES = (
    (re.compile(rf"^\s*{_NAME}\s*\\in\s*[(\[]\s*{_NUMBER}\s*,\s*(-?[\d.]+|\\infty)\s*[)\]]\s*$"), (0, 1, 2)),
    (
        re.compile(rf"^\s*{_NUMBER}\s*(?:<|\\le|\\leq|\\lt)\s*{_NAME}\s*(?:<|\\le|\\leq|\\lt)\s*{_NUMBER}\s*$"),
        (1, 0, 2),
    ),
)
_BOUND = re.compile(rf"^\s*{_NAME}\s*(<|>|\\ge|\\le|\\geq|\\leq|\\gt|\\lt)\s*{_NUMBER}\s*$")


def range_of(text: str) -> tuple[str, float, float] | None:
    r"""Reads ``\alpha \in (0, 1)``, ``\alpha > 1`` or ``0 < \alpha < 1``."""
    for pattern, order in _RANGES:
        if (match := pattern.match(text)) is not None:
            name, low, high = (match.group(k + 1) for k in order)
            return name, float(low), float(low) + 3.0 if "infty" in high else float(high)
    if (match := _BOUND.match(text)) is not None:
        bound = float(match.group(3))
        above = match.group(2) in (">", r"\ge", r"\geq", r"\gt")
        return match.group(1), bound if above else bound - 3.0, bound + 3.0 if above else bound
    return None


@dataclass(slots=True)
class ReadSide:
    """One side of a relation with all its readings, or the error where it cannot be read."""

    side: Side
    readings: list[Reading] = field(default_factory=list)
    error: DerivationSyntaxError | None = None

    @property
    def tree(self) -> Node | None:
        """The usual reading."""
        return self.readings[0].tree if self.readings else None


@dataclass(slots=True)
class Chain:
    sides: list[ReadSide]
    relations: list[str]
    reasons: dict[int, str] = field(default_factory=dict)


class Declarations:
    """The statements of a display with all that they define."""

    def __init__(
        self, latex: str, models: int, seed: int, macros: Mapping[str, Macro] | None, explain: bool, before: str = ""
    ) -> None:
        self.latex = latex
        self.before = before
        self.models = models
        self.seed = seed
        self.macros = macros
        self.explain = explain
        self.deadline = Deadline(SECONDS)
        self.way = Way()
        self.laws: set[str] = set()
        self.functions: set[str] = set()
        self.own: set[str] = set()
        self.variables: set[str] = set()
        self.definitions: dict[str, Definition] = {}
        self.densities: dict[str, Definition] = {}
        self.samples: dict[str, Node] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.trees: list[Node] = []
        self.chains: list[Chain] = []
        self.defined: list[str] = []
        self.stated: set[str] = set()
        self.notes: list[str] = []

    def statements(self, latex: str) -> list[Statement]:
        """The statements of a text."""
        return statements_of(tokens_of(latex, self.macros), latex, self.notes, self.way)

    def letters(self, statements: Sequence[Statement], latex: str) -> None:
        """Collects the letters that the display uses as densities."""
        sides = []
        firsts = []
        for statement in statements:
            sides += (mine := [*readable(statement.sides, latex)])
            firsts += [(statement.relations[0], mine[0])] if len(mine) == len(statement.sides) > 1 else []
            if len(mine) == 2 == len(statement.sides):
                self.own |= own_letters(statement.relations[0], *mine)
        self.own |= {r"\pi"} if any(map(is_a_probability, sides)) else set()
        for symbols in sides:
            self.laws |= law_letters(symbols)
        self.laws |= inferred_laws(sides, self.laws)
        self.functions |= {letter for symbols in sides for letter in called_letters(symbols, self.laws)}
        for relation, left in firsts:
            self.functions |= defined_functions(relation, left, self.laws)
        for symbols in sides:
            self.variables |= variable_letters(symbols, self.laws)

    def chain(self, statement: Statement, latex: str) -> Chain:
        """A statement with the readings of its sides."""
        return Chain([self.read(side, latex) for side in statement.sides], list(statement.relations))

    def vectors(self) -> None:
        r"""Reads ``\\sum_i p_i \\log (p_i / q_i)`` as a sum over the values of what ``KL(p \\Vert q)`` compares."""
        sides = [side for chain in self.chains for side in chain.sides if side.readings]
        trees = [side.tree for side in sides if side.tree is not None]
        letters = vectors_among(trees)
        for side in sides if letters else ():
            side.readings = [replace(r, tree=with_values_of_vectors(r.tree, letters, trees)) for r in side.readings]

    def without_common_index(self) -> None:
        """Leaves out a free index that every variable of the display has, as that of the data point in question."""
        sides = [side for chain in self.chains for side in chain.sides if side.readings]
        known = Names([side.tree for side in sides if side.tree is not None])
        mine = {n for tree in known.trees for n in names_in(tree) if known.is_variable(n.base)}
        for letter in known.free_letters:
            if len({n.base for n in mine}) > 1 and all(Index(letter) in n.index for n in mine):
                rest = {n: replace(n, index=tuple(i for i in n.index if i != Index(letter))) for n in mine}
                for side in sides:
                    side.readings = [replace(r, tree=renamed(r.tree, rest)) for r in side.readings]

    def read(self, side: Side, latex: str) -> ReadSide:
        """A side with its readings; one with a bracket that is clearly missing is read as if it were there."""
        found = ReadSide(side)
        for _ in range(4):
            try:
                found.readings = readings_of(side, latex, self.laws, self.variables, self.functions, self.own)
                return found
            except DerivationSyntaxError as error:
                found.error = found.error or error
                if error.mended is None:
                    return found
                side = replace(side, symbols=error.mended)
        return found

    def given(self, text: str) -> None:
        """Takes one entry of ``definitions``."""
        found = range_of(text)
        if found is not None:
            self.ranges[found[0]] = found[1:]
            return
        statements = self.statements(text)
        self.letters(statements, text)
        before, taken = len(self.samples), False
        for statement in statements:
            chain = self.chain(statement, text)
            for side in chain.sides:
                if side.error is not None and "~" not in chain.relations:
                    raise side.error
            if not chain.relations:
                raise DerivationSyntaxError("a definition reads name := expression", text, 0)
            self.declare(chain)
            taken |= self.take(chain.sides[0].tree, chain.sides[-1].tree, stated=True)
        if not taken and len(self.samples) == before:
            raise DerivationSyntaxError("a definition has a name or a density on its left", text, 0)

    def declare(self, chain: Chain) -> None:
        r"""Takes ``z_k \sim q(z)`` as what draws are taken from."""
        if chain.relations[:1] != ["~"] or chain.sides[1].tree is None:
            return
        law = chain.sides[1].tree
        if law.kind == "name" and not law.parts and law.data[0].base in self.laws | USUAL_LAWS:
            law = density(law.data[0])
        if law.kind not in ("density", "named"):
            return
        drawn = [name for s in chain.sides[0].side.symbols if s.is_letter() and (name := name_of(s)) is not None]
        if law.kind == "density":
            self.samples.update(dict.fromkeys((name.base for name in drawn), law))
        self.trees.append(Node("drawn", (law,), tuple(drawn)))

    def take(self, pattern: Node | None, body: Node | None, *, stated: bool) -> bool:
        """Keeps a definition; ``stated`` where the author says that it is one."""
        if pattern is None or body is None:
            return False
        pattern, body = unsigned(pattern, body)
        if pattern.kind == "constant" and (stated or not any(names_in(body))):
            pattern = Node("name", (), (Name(pattern.data[0]), ()))
        if pattern.kind == "name":
            name: Name = pattern.data[0]
            if any(
                n.kind == "name" and n.data[0].base == name.base and n.data[0].mark == name.mark for n in body.walk()
            ):
                return False
            if body.kind == "number" and not pattern.parts and not name.index:
                self.ranges[name.base] = (body.data[0], body.data[0])
            keep(self.definitions, key_of(name, self.definitions), Definition(pattern, body, stated))
            return True
        is_density = pattern.kind == "density"
        if is_density and body.kind == "density" and not set(pattern.data[1]) & set(body.data[1]):
            return stated  # another name of a density, at another variable
        if is_density and (stated or body.kind in ("argmax", "argmin")):
            if not pattern.data[1]:
                return False
            key = variant_key(law_key(pattern.data[0]), pattern.data[3])
            self.densities.setdefault(key, Definition(pattern, body))
            return True
        return False

    def scan(self) -> None:
        """Finds what the display defines, chooses or constrains."""
        for chain in self.chains:
            self.declare(chain)
            for at, relation in enumerate(chain.relations):
                reason = self.scan_line(chain, at, relation)
                if reason:
                    chain.reasons[at] = reason

    def scan_line(self, chain: Chain, at: int, relation: str) -> str:
        """Why a line claims nothing; empty if it claims something."""
        left, right = chain.sides[at].tree, chain.sides[at + 1].tree
        reason = kind_of_relation(relation)
        if reason:
            text = self.latex[chain.sides[at].side.start : chain.sides[at + 1].side.end]
            if relation == "in" and left is not None and left.kind == "name":
                values = values_in(chain.sides[at + 1].side.symbols)
                self.trees += [Node("values", (), (left.data[0], values))] if values else []
            if relation == "in" and (found := range_of(text)) is not None:
                self.ranges.setdefault(found[0], found[1:])
            if relation in (":=", "=:"):
                pattern, body = (
                    (chain.sides[at], chain.sides[at + 1])
                    if relation == ":="
                    else (chain.sides[at + 1], chain.sides[at])
                )
                if self.take(pattern.tree, body.tree, stated=True):
                    self.hand_on(pattern, body)
                    self.stated.add(self.defined[-1])
            return reason
        if left is None or right is None:
            return self.unread_choice(chain, at, relation)
        condition = is_condition(relation, left, right)
        if condition:
            self.constrain(relation, left, right)
            return condition
        if relation not in ("=", "propto"):
            return ""
        return self.scan_equation(chain, at, relation, left, right)

    def scan_equation(self, chain: Chain, at: int, relation: str, left: Node, right: Node) -> str:
        """Why an equation or a proportion claims nothing; empty if it claims something."""
        left, right = unsigned(left, right)
        right, left = unsigned(right, left)
        if left.kind == "constant" and right.kind in ("number", "quotient", "negative") and not any(names_in(right)):
            return "a definition" if self.take(left, right, stated=False) else ""
        reason = defines(
            left,
            beside_bodies(right, self.definitions),
            {*(known_beside(left, self.definitions) if at == 0 else self.definitions), *self.densities},
            first=at == 0 or chain.relations[at - 1] in (":=", "approx"),
        )
        if reason:
            energy = left.kind == "density" and right.kind == "quotient" and is_energy(right)
            if relation == "=" and (self.take(left, right, stated=False) or energy):
                self.hand_on(chain.sides[at], chain.sides[at + 1])
            return reason
        if chooses_form(right) and not has_any([left], {"named"}) and has_any([left], {"density"}):
            return "a choice of the form of a density"
        last = at + 2 == len(chain.sides)
        if relation == "=" and last and at and right.kind == "density" and self.is_new(chain, right):
            return f"a definition of {law_key(right.data[0])}"
        if (
            relation == "="
            and right.kind == "name"
            and (right.parts or last or right.data[0].base.startswith(("cal:", "@")))
        ):
            reason = defines(right, left, self.definitions, first=False)
            name = right.data[0]
            elsewhere = (n for side in chain.sides[: at + 1] if side.tree for n in names_in(side.tree))
            if any(n.base == name.base and n.mark == name.mark for n in elsewhere):
                return ""
            if reason and self.take(right, left, stated=False):
                self.hand_on(chain.sides[at + 1], chain.sides[at])
                return reason
        return ""

    def is_new(self, chain: Chain, law: Node) -> bool:
        """Whether the letter of the density that ends a chain occurs nowhere else."""
        letter = letters_of(law)
        others = [side.tree for other in self.chains for side in other.sides if side.tree not in (None, law)]
        stated = law_key(law.data[0]) in self.densities
        return (
            not stated and chain.sides[-1].tree == law and not any(letter & letters_of(tree) for tree in others if tree)
        )

    def unread_choice(self, chain: Chain, at: int, relation: str) -> str:
        """A definition whose other side is not read is one all the same."""
        left = chain.sides[at].tree
        call = chain.sides[at + 1].tree
        values = call is not None and call.kind == "name" and bool(call.parts)
        if left is None and relation in ("=", "in") and self.lists_names(chain.sides[at], values=values):
            return "a definition of several names at once"
        if at or left is None or relation != "=" or chain.sides[1].tree is not None or len(chain.relations) > 1:
            return ""
        symbols = chain.sides[1].side.symbols
        if symbols and all(s.name >= FIRST_OF_PROSE for s in symbols):
            return f"{left.data[0]} is said in words" if left.kind in ("name", "density") else "said in words"
        if left.kind == "name" and self.lists_names(chain.sides[1]):
            return f"a declaration of what {left.data[0]} consists of"
        row = operator_named(symbols[0].name) if symbols else None
        if left.kind in ("name", "density") and row is not None and row.kind in ("argmax", "argmin"):
            return f"a choice or definition of {left.data[0]}"
        text = " ".join(s.name for s in symbols)
        if chain.sides[1].error is not None and "not a symbol" in chain.sides[1].error.message:
            return ""
        if left.kind == "density" and f" {left.data[0].base} " not in f" {text} ":
            return f"a choice or definition of {law_key(left.data[0])}"
        if left.kind != "name" or left.data[0].base in text.split():
            return ""
        if left.data[0].base.startswith(("@", "cal:", "\\")) or r"\begin" in text:
            return f"a definition of {left.data[0]}"
        return ""

    def lists_names(self, side: ReadSide, *, values: bool = False) -> bool:
        """Whether a side is a list of names, as in ``\\theta^*, \\phi^* = \\arg\\max …``, or of what a function
        returns, as in ``(\\mu, \\log \\sigma) = f(x)``."""
        try:
            symbols = grouped(side.side, self.latex)
        except DerivationSyntaxError:
            return False
        inside = symbols[0].arguments[0] if len(symbols) == 1 and symbols[0].name in BRACKETS else symbols
        if values and inside is not symbols and any(s.name == "," for s in inside):
            return True
        return len(inside) > 2 and all(
            (s.is_letter() or s.name in DOTS) if k % 2 == 0 else s.name == "," for k, s in enumerate(inside)
        )

    def hand_on(self, pattern: ReadSide, body: ReadSide) -> None:
        """Keeps the text of a definition for the displays that follow."""
        text = f"{self.latex[pattern.side.start : pattern.side.end]} := {self.latex[body.side.start : body.side.end]}"
        self.defined.append(" ".join(text.replace("&", " ").replace("\\\\", " ").split()))

    def constrain(self, relation: str, left: Node, right: Node) -> None:
        """Keeps where a number lies."""
        family = simplex_of(left, right)
        if family:
            self.ranges[f"simplex {family}"] = (0.0, 1.0)
            return
        if left.kind == "number":
            left, right, relation = right, left, TURNED.get(relation, relation)
        if left.kind != "name" or right.kind != "number" or left.parts:
            return
        name, bound = left.data[0].base, right.data[0]
        low, high = self.ranges.get(name, (bound - 3.0, bound + 3.0))
        above = relation in (">", ">=")
        self.ranges[name] = (
            (max(low, bound), max(high, bound + 1.0))
            if above
            else (min(low, 0.0 if bound > 0 else bound - 3.0), min(high, bound))
        )
