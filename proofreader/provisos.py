"""What a line that holds on the models it was tried on still assumes."""

from __future__ import annotations

from proofreader.distributions import DIMENSIONS, has_identity, with_deviations
from proofreader.names import names_in
from proofreader.syntax import Node, in_text, number

__all__ = ["bounded_by_number", "one_coordinate", "spelt_twice", "square_left_out", "zero_written"]

_BOUNDED = frozenset(["tv", "js", "indicator"])
_RANDOM = frozenset(["density", "information"])
_ARITHMETIC = frozenset(["number", "sum", "negative", "times", "quotient", "power", "log", "exp"])


def bounded_by_number(left: Node, right: Node) -> bool:
    """Whether an inequality puts a number other than 0 and 1 beside what differs from model to model."""
    for bound, other in ((left, right), (right, left)):
        kinds = {node.kind for node in bound.walk()}
        usual = bound.kind == "number" and bound.data[0] in (0.0, 1.0)
        found = {node.kind for node in other.walk()}
        if kinds <= _ARITHMETIC and not usual and found & _RANDOM and not found & _BOUNDED:
            return True
    return False


def one_coordinate(left: Node, right: Node) -> str:
    """What a closed form assumes for a Gaussian with a multiple of the identity, if it names no dimension."""
    named = [any(node.kind == "named" for node in tree.walk()) for tree in (left, right)]
    nodes = [node for tree in (left, right) for node in tree.walk()]
    plain = {str(n.data[0]) for n in nodes if n.kind == "name" and not n.parts}
    plain -= {str(n) for node in nodes if node.kind == "named" for part in node.parts for n in names_in(part)}
    closed = named[0] != named[1] and has_identity((left, right)) and not plain & {*DIMENSIONS}
    summed = any(node.kind in ("series", "trace", "dot") for node in nodes)
    return "the variable has one coordinate" if closed and not summed else ""


def square_left_out(left: Node, right: Node) -> str:
    """What a line assumes of which a Gaussian has a letter for its deviation as second argument, which it is read as
    the variance."""
    named = [n for tree in (left, right) for n in tree.walk() if n.kind == "named" and n.data[0] == "normal"]
    plain = [n.parts[1] for n in named if len(n.parts) == 2 and with_deviations(n) != n]
    return f"the second argument {in_text(plain[0])} of a Gaussian is its variance" if plain else ""


def zero_written(left: Node, right: Node) -> str:
    """What a line assumes of which a side has a zero in the place of a term of the other, as ``H(X) - 0``."""
    if left.kind != "sum" or right.kind != "sum" or len(left.parts) != len(right.parts):
        return ""
    changed = [(a, b) for a, b in zip(left.parts, right.parts, strict=True) if a != b]
    terms = [(a.parts[0] if a.kind == "negative" else a, b.parts[0] if b.kind == "negative" else b) for a, b in changed]
    zeros = terms and all(b == number(0) for _, b in terms)
    return "; ".join(f"{in_text(a)} is zero" for a, _ in terms) if zeros else ""


def spelt_twice(left: Node, right: Node) -> str:
    """What a line assumes of which a side writes one density with parameters and without; between two sides it is the
    usual shorthand."""
    for tree in (left, right):
        nodes = [node for node in tree.walk() if node.kind == "density" and node.data[1]]
        for letter, front, behind, parameters in (node.data for node in nodes):
            if not parameters and any(n.data[:3] == (letter, front, behind) and n.data[3] for n in nodes):
                given = f" | {', '.join(map(str, behind))}" if behind else ""
                shown = f"{letter}({', '.join(map(str, front))}{given})"
                return f"{shown} is the same density with its parameters and without"
    return ""
