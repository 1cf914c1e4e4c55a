"""One derivation from its source to its report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from proofreader.brackets import grouped
from proofreader.classify import defines, has_any, is_condition, kind_of_relation, letters_of, simplex_of, unsigned
from proofreader.errors import DerivationSyntaxError, TooSlowError
from proofreader.explain import explained
from proofreader.judge import TURNED, Finding, Judge
from proofreader.layout import Side, Statement, statements_of
from proofreader.letters import inferred_laws, law_letters, variable_letters
from proofreader.limits import limit_of
from proofreader.models import Deadline
from proofreader.names import Names, law_key, names_in, variant_key
from proofreader.parse import Reading, readings_of
from proofreader.report import DerivationLine, DerivationReport
from proofreader.source import Macro, tokens_of
from proofreader.steps import Definition
from proofreader.syntax import Name, Node

__all__ = ["check_derivation"]

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
Definitions = str | Sequence[str] | Mapping[str, str] | None


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


class _Place(TypedDict):
    """Where a line lies in the source."""

    start: int
    end: int


@dataclass(slots=True)
class _Side:
    """One side of a relation with all its readings, or the error where it cannot be read."""

    side: Side
    readings: list[Reading] = field(default_factory=list)
    error: DerivationSyntaxError | None = None

    @property
    def tree(self) -> Node | None:
        """The usual reading."""
        return self.readings[0].tree if self.readings else None


@dataclass(slots=True)
class _Chain:
    sides: list[_Side]
    relations: list[str]
    reasons: dict[int, str] = field(default_factory=dict)


def _listed(definitions: Definitions) -> list[str]:
    if definitions is None:
        return []
    if isinstance(definitions, str):
        return [definitions]
    if isinstance(definitions, Mapping):
        return [f"{name} := {body}" for name, body in definitions.items()]
    texts = list(definitions)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"definitions holds {type(text).__name__}; give LaTeX such as 'w(z) := p(x,z)/q(z)'")
    return texts


class _Checker:
    """One call of :func:`check_derivation`."""

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
        self.laws: set[str] = set()
        self.variables: set[str] = set()
        self.definitions: dict[str, Definition] = {}
        self.densities: dict[str, Definition] = {}
        self.samples: dict[str, Node] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.trees: list[Node] = []
        self.chains: list[_Chain] = []
        self.defined: list[str] = []
        self.stated: set[str] = set()
        self.notes: list[str] = []

    # Reading

    def statements(self, latex: str, *, signs_begin: bool = True) -> list[Statement]:
        """The statements of a text."""
        return statements_of(tokens_of(latex, self.macros), latex, self.notes, signs_begin=signs_begin)

    def letters(self, statements: Sequence[Statement], latex: str) -> None:
        """Collects the letters that the display uses as densities."""
        sides = []
        for statement in statements:
            for side in statement.sides:
                try:
                    sides.append(grouped(side, latex))
                except DerivationSyntaxError:
                    continue
        for symbols in sides:
            self.laws |= law_letters(symbols)
        self.laws |= inferred_laws(sides, self.laws)
        for symbols in sides:
            self.variables |= variable_letters(symbols, self.laws)

    def chain(self, statement: Statement, latex: str) -> _Chain:
        """A statement with the readings of its sides."""
        sides = []
        for side in statement.sides:
            sides.append(self.read(side, latex))
        return _Chain(sides, list(statement.relations))

    def read(self, side: Side, latex: str) -> _Side:
        """A side with its readings; one with a bracket that is clearly missing is read as if it were there."""
        found = _Side(side)
        for _ in range(4):
            try:
                found.readings = readings_of(side, latex, self.laws, self.variables)
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

    def declare(self, chain: _Chain) -> None:
        r"""Takes ``z_k \sim q(z)`` as what draws are taken from."""
        if chain.relations[:1] != ["~"] or chain.sides[1].tree is None:
            return
        law = chain.sides[1].tree
        for symbol in chain.sides[0].side.symbols:
            if symbol.is_letter() and law.kind == "density":
                self.samples[symbol.key] = law
        if law.kind == "density":
            self.trees.append(law)

    def take(self, pattern: Node | None, body: Node | None, *, stated: bool) -> bool:
        """Keeps a definition; ``stated`` where the author says that it is one."""
        if pattern is None or body is None:
            return False
        pattern, body = unsigned(pattern, body)
        if pattern.kind == "name":
            name: Name = pattern.data[0]
            if any(
                n.kind == "name" and n.data[0].base == name.base and n.data[0].mark == name.mark for n in body.walk()
            ):
                return False
            if body.kind == "number" and not pattern.parts and not name.index:
                self.ranges[name.base] = (body.data[0], body.data[0])
            self.definitions.setdefault(name.base + name.mark, Definition(pattern, body))
            return True
        is_density = pattern.kind == "density"
        if is_density and (stated or body.kind in ("argmax", "argmin")):
            if not pattern.data[1]:
                return False
            self.densities.setdefault(variant_key(law_key(pattern.data[0]), pattern.data[3]), Definition(pattern, body))
            return True
        return False

    # Definitions in the display

    def scan(self) -> None:
        """Finds what the display defines, chooses or constrains."""
        for chain in self.chains:
            self.declare(chain)
            for at, relation in enumerate(chain.relations):
                reason = self.scan_line(chain, at, relation)
                if reason:
                    chain.reasons[at] = reason

    def scan_line(self, chain: _Chain, at: int, relation: str) -> str:
        """Why a line claims nothing; empty if it claims something."""
        left, right = chain.sides[at].tree, chain.sides[at + 1].tree
        reason = kind_of_relation(relation)
        if reason:
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

    def scan_equation(self, chain: _Chain, at: int, relation: str, left: Node, right: Node) -> str:
        """Why an equation or a proportion claims nothing; empty if it claims something."""
        left, right = unsigned(left, right)
        right, left = unsigned(right, left)
        reason = defines(
            left,
            self.inlined(right),
            {*self.definitions, *self.densities},
            first=at == 0 or chain.relations[at - 1] == ":=",
        )
        if reason and (left.kind == "density" or relation == "="):
            if relation == "=" and self.take(left, right, stated=False):
                self.hand_on(chain.sides[at], chain.sides[at + 1])
            return reason
        if has_any([right], {"named"}) and not has_any([left], {"named"}) and has_any([left], {"density"}):
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

    def is_new(self, chain: _Chain, law: Node) -> bool:
        """Whether the letter of the density that ends a chain occurs nowhere else."""
        letter = letters_of(law)
        others = [side.tree for other in self.chains for side in other.sides if side.tree not in (None, law)]
        stated = law_key(law.data[0]) in self.densities
        return (
            not stated and chain.sides[-1].tree == law and not any(letter & letters_of(tree) for tree in others if tree)
        )

    def inlined(self, tree: Node) -> Node:
        """A tree with the bodies of the definitions that it uses beside it, for what letters it speaks of."""
        bodies = [
            self.definitions[n.base + n.mark].body
            for node in tree.walk()
            if node.kind == "name"
            for n in node.data[:1]
            if n.base + n.mark in self.definitions
        ]
        return Node("sum", (tree, *bodies)) if bodies else tree

    def unread_choice(self, chain: _Chain, at: int, relation: str) -> str:
        """A definition whose other side is not read is one all the same."""
        left = chain.sides[at].tree
        if left is None and relation in ("=", "in") and self.lists_names(chain.sides[at]):
            return "a definition of several names at once"
        if at or left is None or relation != "=" or chain.sides[1].tree is not None or len(chain.relations) > 1:
            return ""
        text = " ".join(s.name for s in chain.sides[1].side.symbols)
        if chain.sides[1].error is not None and "not a symbol" in chain.sides[1].error.message:
            return ""
        if left.kind == "density" and f" {left.data[0].base} " not in f" {text} ":
            return f"a choice or definition of {law_key(left.data[0])}"
        if left.kind != "name" or left.data[0].base in text.split():
            return ""
        if left.data[0].base.startswith(("@", "cal:", "\\")) or r"\begin" in text:
            return f"a definition of {left.data[0]}"
        return ""

    def lists_names(self, side: _Side) -> bool:
        """Whether a side is a list of names, as in ``\\theta^*, \\phi^* = \\arg\\max …``."""
        symbols = grouped(side.side, self.latex)
        inside = symbols[0].arguments[0] if len(symbols) == 1 and symbols[0].name in ("()", "{}") else symbols
        return len(inside) > 2 and all(s.is_letter() if k % 2 == 0 else s.name == "," for k, s in enumerate(inside))

    def hand_on(self, pattern: _Side, body: _Side) -> None:
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

    # Running

    def run(self, definitions: Sequence[str]) -> DerivationReport:
        """All verdicts."""
        for text in definitions:
            self.given(text)
        given = (
            dict(self.definitions),
            dict(self.densities),
            dict(self.samples),
            dict(self.ranges),
            list(self.trees),
            set(self.laws),
        )
        try:
            first = self.segmented(signs_begin=True)
        except DerivationSyntaxError as error:
            return DerivationReport(self.latex, (_unreadable(self.latex.strip(), "", error),))
        if not any(line.verdict in ("false", "unreadable") for line in first.lines) or not self.signed_rows():
            return first
        self.definitions, self.densities, self.samples, self.ranges, self.trees, self.laws = given
        self.defined, self.notes = [], []
        second = self.segmented(signs_begin=False)
        bad = [sum(line.verdict in ("false", "unreadable") for line in report.lines) for report in (first, second)]
        return second if bad[1] < bad[0] else first

    def signed_rows(self) -> bool:
        """Whether some row begins with a sign."""
        return (
            re.search(
                r"(?:\\\\|\\cr)(?:\[[^\]]*\])?[\s&]*(?:\\quad|\\qquad|\\hspace\{[^}]*\}|\\,|\\;|[\s&])*[-+]", self.latex
            )
            is not None
        )

    def segmented(self, *, signs_begin: bool) -> DerivationReport:
        """The report under one way to cut the display into statements."""
        statements = self.statements(self.latex, signs_begin=signs_begin)
        self.letters(statements, self.latex)
        self.chains = [self.chain(statement, self.latex) for statement in statements]
        if not self.chains:
            return DerivationReport(self.latex, ())
        if self.before and statements[0].continues:
            self.continued()
        self.scan()
        judge = Judge(
            self.names(),
            self.definitions,
            self.densities,
            self.ranges,
            self.samples,
            self.models,
            self.seed,
            self.deadline,
        )
        lines = [line for chain in self.chains for line in self.lines(chain, judge)]
        if self.notes and lines:
            lines[0] = replace(lines[0], notes=(*lines[0].notes, *self.notes))
        last = self.chains[-1].sides[-1].side
        return DerivationReport(
            self.latex, tuple(lines), tuple(dict.fromkeys(self.defined)), self.latex[last.start : last.end]
        )

    def continued(self) -> None:
        """Puts the last side of the display before in front of a relation that continues it."""
        try:
            statements = self.statements(self.before)
            self.letters(statements, self.before)
            side = self.chain(statements[-1], self.before).sides[-1]
        except DerivationSyntaxError:
            return
        if side.readings:
            self.chains[0].sides[0].readings, self.chains[0].sides[0].error = side.readings, None

    def names(self) -> Names:
        """The names of the display, and of the definitions that it uses."""
        trees = [side.tree for chain in self.chains for side in chain.sides if side.tree is not None]
        known = [*self.definitions.items(), *((key.partition(";")[0], d) for key, d in self.densities.items())]
        used: list[Definition] = []
        at = 0
        while at < len(trees):
            mentioned = {n.base + n.mark for n in names_in(trees[at])}
            mentioned |= {law_key(n.data[0]) for n in trees[at].walk() if n.kind == "density"}
            for key, definition in known:
                if key in mentioned and definition not in used:
                    used.append(definition)
                    trees += [definition.body, *([definition.pattern] if definition.pattern.kind == "density" else [])]
            at += 1
        return Names([*self.trees, *trees])

    def lines(self, chain: _Chain, judge: Judge) -> list[DerivationLine]:
        """The verdicts on the lines of a chain."""
        if not chain.relations:
            return [
                DerivationLine(
                    *self.shown(chain, 0), "no_claim", cause="no relation: nothing is claimed", **self.place(chain, 0)
                )
            ]
        found = []
        for at in range(len(chain.relations)):
            try:
                found.append(self.line(chain, at, judge))
            except (TooSlowError, RecursionError) as error:
                text, relation = self.shown(chain, at)
                slow = f"the {SECONDS:g} seconds allowed for one derivation are over: give it in pieces"
                message = slow if isinstance(error, TooSlowError) else "nested too deeply"
                found.append(
                    _unreadable(
                        text,
                        relation,
                        DerivationSyntaxError(message, self.latex, chain.sides[at].side.start),
                        **self.place(chain, at),
                    )
                )
        return found

    def shown(self, chain: _Chain, at: int) -> tuple[str, str]:
        """The source of a line and its relation."""
        if not chain.relations:
            return self.latex[chain.sides[0].side.start : chain.sides[0].side.end].strip(), ""
        place = self.place(chain, at)
        return self.latex[place["start"] : place["end"]].strip(), chain.relations[at]

    def place(self, chain: _Chain, at: int) -> _Place:
        """Where a line lies: its relation and right side, and for a first line its left side too."""
        if not chain.relations:
            return {"start": chain.sides[0].side.start, "end": chain.sides[0].side.end}
        start = chain.sides[at].side.start if at == 0 else chain.sides[at].side.end
        while (
            at
            and start < len(self.latex)
            and (
                self.latex[start].isspace()
                or (
                    self.latex[start] in "&\\"
                    and self.latex[start : start + 2] in ("& ", "\\\\", "&=", "&\\", "& \\")
                    and self.latex[start] in "&\\"
                    and not self.latex[start + 1 : start + 2].isalpha()
                )
            )
        ):
            start += 2 if self.latex.startswith("\\\\", start) else 1
        return {"start": start, "end": max(chain.sides[at + 1].side.end, start)}

    def line(self, chain: _Chain, at: int, judge: Judge) -> DerivationLine:
        """The verdict on one relation."""
        text, relation = self.shown(chain, at)
        place = self.place(chain, at)
        if at in chain.reasons:
            return DerivationLine(text, relation, "no_claim", cause=chain.reasons[at], **place)
        left, right = chain.sides[at], chain.sides[at + 1]
        for number_, side in enumerate((left, right)):
            if side.error is not None and not side.readings:
                if at == 0 and number_ == 0 and not side.side.symbols:
                    return DerivationLine(
                        text, relation, "no_claim", cause="a continuation of something that is not here", **place
                    )
                return _unreadable(text, relation, side.error, **place)
        notes = tuple(dict.fromkeys(note for side in (left, right) for note in side.readings[0].notes))
        try:
            finding = self.found(left, right, relation, judge)
        except DerivationSyntaxError as error:
            return _unreadable(
                text, relation, DerivationSyntaxError(error.message, self.latex, right.side.start), notes=notes, **place
            )
        if finding.verdict == "false" and self.is_stationary(chain, at):
            finding = Finding("no_claim", reason="a stationarity condition", notes=finding.notes)
        line = self.reported(finding, text, relation, notes, judge, place)
        if right.error is not None or (at == 0 and left.error is not None):
            broken = right.error or left.error
            assert broken is not None
            words = {
                "holds": "the line holds",
                "holds_if": f"the line holds if {line.condition}",
                "false": "the line is false",
            }.get(line.verdict, "the line claims nothing")
            return _unreadable(
                text, relation, broken, notes=(f"with the parenthesis closed, {words}", *line.notes), **place
            )
        return (
            replace(line, notes=(*line.notes, "the left side is read with its parenthesis closed"))
            if left.error is not None
            else line
        )

    def is_stationary(self, chain: _Chain, at: int) -> bool:
        """Whether a chain that begins with a derivative ends with zero."""
        first, last = chain.sides[0].tree, chain.sides[at + 1].tree
        zero = last is not None and last.kind == "number" and last.data[0] == 0
        return zero and at > 0 and first is not None and first.kind == "gradient" and chain.relations[at] == "="

    def found(self, left: _Side, right: _Side, relation: str, judge: Judge) -> Finding:
        """What is found of two sides and a relation."""
        if relation != "approx":
            return judge.claim(left.readings, right.readings, relation)
        return self.approximation(left, right, judge)

    def approximation(self, left: _Side, right: _Side, judge: Judge) -> Finding:
        """An approximation by an average over draws is judged in the limit of many draws."""
        assert left.tree is not None
        assert right.tree is not None
        law = next(
            (
                tree
                for node in left.tree.walk()
                if node.kind == "expect" and len(node.parts) == 2
                for tree in [node.parts[0]]
            ),
            None,
        )
        limits = [
            limit_of(side.tree, self.samples, law, self.definitions) for side in (left, right) if side.tree is not None
        ]
        if limits == [None, None]:
            return Finding("no_claim", reason="an approximation that states no identity")
        trees = [limit or side.tree for limit, side in zip(limits, (left, right), strict=True)]
        judge = Judge(
            Names([*judge.names.trees, *(t for t in trees if t)]),
            self.definitions,
            self.densities,
            self.ranges,
            self.samples,
            self.models,
            self.seed,
            self.deadline,
        )
        finding = judge.claim([Reading(trees[0])] if trees[0] else [], [Reading(trees[1])] if trees[1] else [], "=")
        finding.notes.append("not an identity: judged in the limit of many draws")
        return finding

    def reported(
        self, finding: Finding, text: str, relation: str, notes: tuple[str, ...], judge: Judge, place: _Place
    ) -> DerivationLine:
        """A finding as a line of the report."""
        notes = (*notes, *dict.fromkeys(note for note in finding.notes if note not in notes))
        if finding.verdict == "unreadable":
            error = DerivationSyntaxError(finding.reason, self.latex, place["start"])
            return _unreadable(text, relation, error, notes=notes, **place)
        if finding.verdict == "no_claim":
            return DerivationLine(text, relation, "no_claim", cause=finding.reason, notes=notes, **place)
        line = DerivationLine(text, relation, finding.verdict, finding.condition, notes=notes, **place)
        return explained(line, finding, judge) if self.explain else line


def _unreadable(
    text: str, relation: str, error: DerivationSyntaxError, notes: tuple[str, ...] = (), start: int = 0, end: int = 0
) -> DerivationLine:
    return DerivationLine(
        text, relation, "unreadable", cause=error.message, error=error, notes=notes, start=start, end=end
    )


def check_derivation(
    latex: str,
    *,
    definitions: Definitions = None,
    num_models: int = 40,
    seed: int = 0,
    macros: Mapping[str, Macro] | None = None,
    explain: bool = True,
    before: str = "",
) -> DerivationReport:
    r"""Reads a derivation in LaTeX and judges every line on random finite models.

    Args:
        latex: One display, with or without its environment.
        definitions: What it takes as given: ``"w(z) := p(x,z)/q(z)"``, a range such as ``r"\alpha \in (0, 1)"``, or a
            declaration ``r"z_k \sim q(z)"``; one text, several, or a mapping from names to bodies.
        num_models: How many models each line is tried on.
        seed: Where their numbers come from; the global state is left alone.
        macros: Further macros, as :func:`macros_of` finds them.
        explain: Whether to look for a counterexample, the likely slip and what a true line needs.
        before: The side that stands in front, for a display that begins with a relation.

    Returns:
        One verdict a line: ``"holds"``, ``"holds_if"`` (with its ``condition``), ``"false"``, ``"unreadable"`` or
        ``"no_claim"``.

    Raises:
        TypeError: If ``latex`` or a definition is not text.
        ValueError: If ``num_models`` is not positive.
        DerivationSyntaxError: If a definition cannot be read.

    Example:
        >>> print(check_derivation(r"\log p(x) \ge \E_{q(z)}[\log p(x,z) - \log q(z)]"))
        ✓ \log p(x) \ge \E_{q(z)}[\log p(x,z) - \log q(z)]
            equality when q(z) = p(z | x)
    """
    if not isinstance(latex, str):
        raise TypeError(
            f"latex is {type(latex).__name__}, expected text: decode it first, or pass one display of a file"
        )
    if not isinstance(num_models, int) or num_models < 1:
        raise ValueError(f"num_models is {num_models}, expected a whole number of at least 1")
    return _Checker(latex, num_models, seed, macros, explain, before).run(_listed(definitions))


def definitions_in(latex: str, macros: Mapping[str, Macro] | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a display defines: with a sign that says so, and with a plain equality."""
    checker = _Checker(latex, 1, 0, macros, explain=False)
    try:
        statements = checker.statements(latex)
        checker.letters(statements, latex)
        checker.chains = [checker.chain(statement, latex) for statement in statements]
        checker.scan()
    except DerivationSyntaxError:
        return (), ()
    return tuple(text for text in checker.defined if text in checker.stated), tuple(
        text for text in checker.defined if text not in checker.stated
    )
