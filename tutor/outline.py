"""The sides of a derivation beside its verdicts, and whether two sides are written alike.

Who asks what a derivation *shows*, rather than whether it is true, needs the expressions between its relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofreader.checking import WAYS, Checker, check_derivation
from proofreader.errors import DerivationSyntaxError
from proofreader.layout import Way
from proofreader.report import DerivationReport
from proofreader.syntax import Node

__all__ = ["Outline", "OutlineSide", "outline", "same_form", "same_value", "trees_of"]

UNORDERED = ("sum", "times")


@dataclass(frozen=True)
class OutlineSide:
    """One side: its source, and the trees that it may be read as, the usual one first."""

    latex: str
    trees: tuple[Node, ...] = ()

    def looks_like(self, trees: Sequence[Node]) -> bool:
        """Whether one of its readings is written like one of these trees."""
        return any(same_form(mine, other) for mine in self.trees for other in trees)

    def contains(self, trees: Sequence[Node]) -> bool:
        """Whether one of these trees stands in it."""
        return any(same_form(part, other) for mine in self.trees for part in mine.walk() for other in trees)


@dataclass(frozen=True)
class OutlineChain:
    """Sides with relations between them, one fewer, and where in the source each relation's right side ends."""

    sides: tuple[OutlineSide, ...]
    relations: tuple[str, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Outline:
    """A derivation as chains of sides with relations between them, and what was found of its lines.

    Args:
        report: The verdicts; its lines are the relations of the chains, in order.
        chains: The chains; none if the display cannot be cut into any.
    """

    report: DerivationReport
    chains: tuple[OutlineChain, ...]


def outline(latex: str, given: Sequence[str] = ()) -> Outline:
    """Reads a derivation as :func:`check_derivation` does, and keeps its sides.

    Args:
        latex: One display.
        given: What it takes as given.

    Raises:
        DerivationSyntaxError: If what is given cannot be read.
    """
    report = check_derivation(latex, definitions=list(given))
    ends = [line.end for line in report.lines]
    for way, _ in WAYS:  # the checker cut the display into statements in one of these
        chains = _chains(latex, given, way)
        if [end for chain in chains for end in chain.ends] == ends:
            return Outline(report, tuple(chains))
    return Outline(report, ())


def _chains(latex: str, given: Sequence[str], way: Way) -> list[OutlineChain]:
    checker = Checker(latex, 1, 0, None, explain=False)
    checker.way = way
    for text in given:
        checker.given(text)
    try:
        statements = checker.statements(latex)
    except DerivationSyntaxError:
        return []
    checker.letters(statements, latex)
    found = []
    for statement in statements:
        chain = checker.chain(statement, latex)
        sides = tuple(
            OutlineSide(
                latex[one.side.start : one.side.end].strip().removeprefix("&").strip(),
                tuple(reading.tree for reading in one.readings),
            )
            for one in chain.sides
        )
        ends = tuple(one.side.end for one in (chain.sides[1:] or chain.sides))
        found.append(OutlineChain(sides, tuple(chain.relations), ends))
    return found


def trees_of(latex: str) -> tuple[Node, ...]:
    """The trees that an expression may be read as; none if it cannot be read."""
    chains = _chains(latex, (), Way())
    return chains[0].sides[0].trees if len(chains) == 1 and len(chains[0].sides) == 1 else ()


def same_value(left: str, right: str, given: Sequence[str] = ()) -> bool:
    """Whether two expressions have one value on every model tried."""
    report = check_derivation(f"{left} = {right}", definitions=list(given), explain=False)
    return bool(report.lines) and report.verdict == "holds"


def same_form(left: Node, right: Node) -> bool:
    """Whether two trees are written alike, but for the order of terms and factors and the spelling of laws.

    The law of an expectation may leave its variable out (``q`` for ``q(z)``), and a sum may stand for an integral.
    """
    if left.kind != right.kind:
        return False
    if left.kind in ("expect", "variance", "covariance", "integral"):
        return _same_average(left, right)
    if left.kind == "density":
        return _same_density(left, right)
    if left.data != right.data:
        return False
    if left.kind in UNORDERED:
        return _same_in_any_order(_flat(left), _flat(right))
    return len(left.parts) == len(right.parts) and all(map(same_form, left.parts, right.parts))


def _same_average(left: Node, right: Node) -> bool:
    if len(left.parts) != len(right.parts):
        return False
    if left.kind == "integral":
        return set(left.data[0]) == set(right.data[0]) and same_form(left.parts[0], right.parts[0])
    bodies = 2 if left.kind == "covariance" else 1
    laws = zip(left.parts[:-bodies], right.parts[:-bodies], strict=True)
    return all(_same_law(*pair) for pair in laws) and all(map(same_form, left.parts[-bodies:], right.parts[-bodies:]))


def _same_law(left: Node, right: Node) -> bool:
    if left.kind != "density" or right.kind != "density":
        return same_form(left, right)
    return _same_density(left, right, may_lack_variables=True)


def _same_density(left: Node, right: Node, *, may_lack_variables: bool = False) -> bool:
    """A joint density is the same in whatever order its variables stand."""
    (letter, variables, given, parameters), (other, others, conditions, settings) = left.data, right.data
    alike = letter == other and set(given) == set(conditions) and parameters == settings
    return alike and (set(variables) == set(others) or (may_lack_variables and not (variables and others)))


def _flat(node: Node) -> list[Node]:
    """The terms of a sum, or the factors of a product, without brackets between them."""
    return [leaf for part in node.parts for leaf in (_flat(part) if part.kind == node.kind else [part])]


def _same_in_any_order(left: list[Node], right: list[Node]) -> bool:
    if len(left) != len(right):
        return False
    rest = list(right)
    for node in left:
        match = next((other for other in rest if same_form(node, other)), None)
        if match is None:
            return False
        rest.remove(match)
    return True
