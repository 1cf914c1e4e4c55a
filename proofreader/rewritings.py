r"""Quantities that people define differently: each other meaning as a change of the tree, with its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from proofreader.distributions import with_deviations
from proofreader.syntax import Node, number

__all__ = ["REWRITINGS"]

_ONE = number(1.0)


def _plus(*parts: Node) -> Node:
    return Node("sum", parts)


def _minus(node: Node) -> Node:
    return Node("negative", (node,))


def _over(above: Node, below: Node) -> Node:
    return Node("quotient", (above, below))


def _powers(node: Node, order: Node) -> Node:
    r"""``\\int p^a q^{1-a}`` of the two densities of a Rényi divergence: the exponential of ``(a - 1) D_a``."""
    divergence = replace(node, parts=(*node.parts[:2], order))
    return Node("exp", (Node("times", (_plus(order, _minus(_ONE)), divergence)),))


def _tsallis(node: Node) -> Node:
    order = node.parts[2]
    return _over(_plus(_powers(node, order), _minus(_ONE)), _plus(order, _minus(_ONE)))


def _cressie_read(node: Node) -> Node:
    order = node.parts[2]
    return _over(_tsallis(node), order)


def _amari(node: Node) -> Node:
    order = node.parts[2]
    whole = _plus(_ONE, _minus(_powers(node, _over(_plus(_ONE, order), number(2.0)))))
    return _over(Node("times", (number(4.0), whole)), _plus(_ONE, _minus(Node("times", (order, order)))))


def _dual(node: Node) -> Node:
    """As Amari wrote it first, with the powers the other way round."""
    return _amari(replace(node, parts=(*node.parts[:2], _minus(node.parts[2]))))


def _renyi_as(meaning: Callable[[Node], Node]) -> Callable[[Node], Node]:
    def change(node: Node) -> Node:
        return meaning(node) if node.kind == "renyi" else node.map(change)

    return change


def _in_bits(node: Node) -> Node:
    """Logarithms to a base where entropies and informations are in the same unit."""
    node = node.map(_in_bits)
    logs = node.kind == "quotient" and all(part.kind == "log" for part in node.parts)
    return node.parts[0] if logs and node.parts[1].parts[0].kind == "number" else node


def _at_its_value(node: Node) -> Node:
    """An entropy given a small letter as that at its value."""
    node = node.map(_at_its_value)
    if node.kind != "information":
        return node
    *front, given, at = node.data
    small = tuple(name for name in given if name.base.islower())
    return replace(node, data=(*front, tuple(name for name in given if name not in small), (*at, *small)))


# What must occur for a change to be tried, the change, and its words.
REWRITINGS: tuple[tuple[frozenset[str], Callable[[Node], Node], str], ...] = (
    (
        frozenset(["information", "entropy", "kl"]),
        _in_bits,
        "entropies and informations have the unit of the logarithm",
    ),
    (
        frozenset(["information"]),
        _at_its_value,
        "an entropy given a small letter is that at its value, not averaged over it",
    ),
    (frozenset(["named"]), with_deviations, "the second argument of a Gaussian is its standard deviation"),
    (frozenset(["renyi"]), _renyi_as(_tsallis), r"D_\alpha is Tsallis' divergence, and not Rényi's"),
    (frozenset(["renyi"]), _renyi_as(_cressie_read), r"D_\alpha is the power divergence, and not Rényi's"),
    (frozenset(["renyi"]), _renyi_as(_amari), r"D_\alpha is Amari's divergence, and not Rényi's"),
    (frozenset(["renyi"]), _renyi_as(_dual), r"D_\alpha is Amari's divergence with -\alpha, and not Rényi's"),
)
