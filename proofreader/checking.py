"""One derivation from its source to its report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from proofreader.declarations import SECONDS, Chain, Declarations, ReadSide
from proofreader.errors import DerivationSyntaxError, TooSlowError
from proofreader.explain import explained
from proofreader.judge import Finding, Judge
from proofreader.layout import Way
from proofreader.limits import averaged_over, limit_of
from proofreader.names import Names, law_key, names_in
from proofreader.parse import Reading
from proofreader.renaming import renamed
from proofreader.report import DerivationLine, DerivationReport
from proofreader.source import Macro
from proofreader.steps import Definition, defined_key
from proofreader.structures import shown
from proofreader.syntax import Index, Node

__all__ = ["check_derivation"]


# How a display is cut into statements, and what its source has where that makes a difference.
WAYS = (
    (Way(), re.compile("")),
    (Way(signs_begin=False), re.compile(r"\\\\|\\cr")),
    (Way(rows_join_first=True), re.compile(r"\\\\|\\cr")),
    (Way(lines_begin=True), re.compile(r"\S[ \t]*\n[ \t]*\S")),
)
Definitions = str | Sequence[str] | Mapping[str, str] | None


class Place(TypedDict):
    """Where a line lies in the source."""

    start: int
    end: int


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


def sets_derivative_to_zero(first: Node | None, last: Node | None) -> bool:
    """Whether a chain begins with a derivative and ends with zero."""
    return is_zero(last) and first is not None and first.kind == "gradient"


def is_zero(tree: Node | None) -> bool:
    """Whether a side is the number zero."""
    return tree is not None and tree.kind == "number" and tree.data[0] == 0


def begins_with_derivative(side: ReadSide) -> bool:
    """Whether a side begins with a derivative, be it read or, as that with respect to a density, not."""
    first = side.side.symbols[0] if side.side.symbols else None
    marks = [part[0].name for part in first.arguments[:2] if part] if first is not None else []
    derived = len(marks) == 2 and marks[0] == marks[1] and marks[0] in ("d", "@d", r"\partial", r"\delta")
    return derived or (first is not None and first.name in (r"\nabla", r"\partial", r"\delta"))


def _doubtful(report: DerivationReport) -> int:
    return sum(line.verdict in ("false", "unreadable") for line in report.lines)


class Checker(Declarations):
    """One call of :func:`check_derivation`."""

    def run(self, definitions: Sequence[str]) -> DerivationReport:
        """All verdicts, under the way to cut the display into statements that leaves the fewest lines in doubt."""
        best: DerivationReport | None = None
        for way, where in WAYS:
            if best is not None and not (_doubtful(best) and where.search(self.latex)):
                continue
            other = Checker(self.latex, self.models, self.seed, self.macros, self.explain, self.before)
            other.way, other.deadline = way, self.deadline
            for text in definitions:
                other.given(text)
            report = other.segmented()
            if best is None or _doubtful(report) < _doubtful(best):
                best = report
        assert best is not None
        return best

    def segmented(self) -> DerivationReport:
        """The report under one way to cut the display into statements."""
        try:
            statements = self.statements(self.latex)
        except DerivationSyntaxError as error:
            return DerivationReport(self.latex, (_unreadable(self.latex.strip(), "", error),))
        self.letters(statements, self.latex)
        self.chains = [self.chain(statement, self.latex) for statement in statements]
        if not self.chains:
            return DerivationReport(self.latex, ())
        if self.before and statements[0].continues:
            self.continued()
        self.vectors()
        self.without_common_index()
        self.scan()
        judge = self.judge(self.names())
        lines = [line for chain in self.chains for line in self.lines(chain, judge)]
        if self.notes and lines:
            lines[0] = replace(lines[0], notes=(*lines[0].notes, *self.notes))
        last = self.chains[-1].sides[-1].side
        return DerivationReport(
            self.latex, tuple(lines), tuple(dict.fromkeys(self.defined)), self.latex[last.start : last.end]
        )

    def judge(self, names: Names) -> Judge:
        """A judge of lines with some names."""
        given = (self.definitions, self.densities, self.ranges, self.samples)
        return Judge(names, *given, self.models, self.seed, self.deadline)

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
        known = [
            *((defined_key(d.pattern.data[0]), d) for d in self.definitions.values()),
            *((key.partition(";")[0], d) for key, d in self.densities.items()),
        ]
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

    def lines(self, chain: Chain, judge: Judge) -> list[DerivationLine]:
        """The verdicts on the lines of a chain."""
        if not chain.relations:
            return [
                DerivationLine(
                    *self.shown(chain, 0), "no_claim", cause="no relation: nothing is claimed", **self.place(chain, 0)
                )
            ]
        found: list[DerivationLine] = []
        for at in range(len(chain.relations)):
            try:
                line = self.line(chain, at, judge)
                slipped = at and found[-1].verdict == "false" == line.verdict and chain.relations[at - 1] == "="
                found.append(self.after_slip(chain, at, judge, line) if slipped else line)
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

    def after_slip(self, chain: Chain, at: int, judge: Judge, line: DerivationLine) -> DerivationLine:
        """A row that fails only because the one above it is false: it follows from the one before."""
        finding = self.found(chain.sides[at - 1], chain.sides[at + 1], chain.relations[at], judge)
        if finding.verdict not in ("holds", "holds_if"):
            return line
        condition = "; ".join(("the row above is put right", *filter(None, [finding.condition])))
        place = self.place(chain, at)
        return DerivationLine(line.latex, line.relation, "holds_if", condition, notes=tuple(finding.notes), **place)

    def shown(self, chain: Chain, at: int) -> tuple[str, str]:
        """The source of a line and its relation."""
        if not chain.relations:
            return self.latex[chain.sides[0].side.start : chain.sides[0].side.end].strip(), ""
        place = self.place(chain, at)
        return self.latex[place["start"] : place["end"]].strip(), chain.relations[at]

    def place(self, chain: Chain, at: int) -> Place:
        """Where a line lies: its relation and right side, and for a first line its left side too."""
        if not chain.relations:
            return {"start": chain.sides[0].side.start, "end": chain.sides[0].side.end}
        start = chain.sides[at].side.start if at == 0 else chain.sides[at].side.end
        gap = self.latex[start : chain.sides[at + 1].side.start] if at else ""
        skipped = re.match(r"(?:.*(?:\\\\|\\cr\b)(?:\[[^]]*\])?)?[\s&]*", gap, re.DOTALL)
        start += skipped.end() if skipped is not None else 0
        return {"start": start, "end": max(chain.sides[at + 1].side.end, start)}

    def line(self, chain: Chain, at: int, judge: Judge) -> DerivationLine:
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

    def is_stationary(self, chain: Chain, at: int) -> bool:
        """Whether a chain that begins with a derivative ends with zero, or follows from one that does."""
        if chain.relations[at] != "=":
            return False
        last = chain.sides[at + 1].tree
        if sets_derivative_to_zero(chain.sides[0].tree, last) or (
            begins_with_derivative(chain.sides[0]) and is_zero(last)
        ):
            return at > 0
        before = self.chains[: self.chains.index(chain)]
        return any(sets_derivative_to_zero(c.sides[0].tree, c.sides[-1].tree) for c in before)

    def found(self, left: ReadSide, right: ReadSide, relation: str, judge: Judge) -> Finding:
        """What is found of two sides and a relation."""
        if relation != "approx":
            return judge.claim(left.readings, right.readings, relation)
        return self.approximation(left, right, judge)

    def approximation(self, left: ReadSide, right: ReadSide, judge: Judge) -> Finding:
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
        finding = self.in_the_limit(trees[0], trees[1], judge)
        names = [n for node in left.tree.walk() if node.kind == "expect" for n in averaged_over(node)]
        small = [n for over in names[:1] for n in names_in(left.tree) if n.base == over.base.lower()]
        if finding.verdict == "false" and names and limits[0] is None and limits[1] is not None:
            samples = {n for n in names_in(limits[1]) if n.index == (Index("", 1),)} - {*names_in(left.tree)}
            other = self.in_the_limit(trees[0], renamed(limits[1], dict.fromkeys(samples, (*small, *names)[0])), judge)
            if len(samples) == 1 and other.verdict in ("holds", "holds_if"):
                words = f"{shown(samples.pop().base)}_1, … are draws of {names[0]}"
                condition = "; ".join((words, other.condition)) if other.condition else words
                finding = replace(other, verdict="holds_if", condition=condition)
        finding.notes.append("not an identity: judged in the limit of many draws")
        return finding

    def in_the_limit(self, left: Node | None, right: Node | None, judge: Judge) -> Finding:
        """What is found of two sides in which averages over draws are expectations."""
        judge = self.judge(Names([*judge.names.trees, *(t for t in (left, right) if t)]))
        readings = [[Reading(tree)] if tree else [] for tree in (left, right)]
        return judge.claim(readings[0], readings[1], "=")

    def reported(
        self, finding: Finding, text: str, relation: str, notes: tuple[str, ...], judge: Judge, place: Place
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
    return Checker(latex, num_models, seed, macros, explain, before).run(_listed(definitions))


def definitions_in(latex: str, macros: Mapping[str, Macro] | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a display defines: with a sign that says so, and with a plain equality."""
    checker = Checker(latex, 1, 0, macros, explain=False)
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
