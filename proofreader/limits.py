"""Averages over draws, in the limit of many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from proofreader.names import names_in
from proofreader.renaming import renamed
from proofreader.steps import Definition
from proofreader.syntax import Index, Name, Node, density, number

__all__ = ["averaged_over", "limit_of"]


def averaged_over(node: Node) -> tuple[Name, ...]:
    """What an average is taken over, as far as it says so."""
    laws = [law for law in node.parts[:-1] if law.kind == "density"]
    return tuple(n for names in (*(law.data[1] for law in laws), *node.data[0]) for n in names if n.base)


def limit_of(
    node: Node, samples: Mapping[str, Node], guess: Node | None, definitions: Mapping[str, Definition]
) -> Node | None:
    """A tree with each average over draws replaced by the expectation that it tends to; None if there is none."""
    found = False
    divisors = {str(n.parts[1].data[0]) for n in node.walk() if n.kind == "quotient" and n.parts[1].kind == "name"}

    def change(inner: Node) -> Node:
        nonlocal found
        upper = inner.data[2] if inner.kind == "series" and str(inner.data[2]) in divisors else None
        letter = inner.data[0] if inner.kind == "series" else ""
        drawn = (
            [n for n in names_in(inner) if any(isinstance(i, Index) and i.letter == letter for i in n.index)]
            if upper is not None
            else []
        )
        if not drawn or upper is None:
            return inner.map(change)
        law = samples.get(drawn[0].base) or _law_for(inner.parts[0], drawn[0], guess, definitions)
        found = True
        one = {letter: Index("", 1)}
        (variable,) = renamed(Node("name", (), (drawn[0], ())), {}, one).data[:1]
        if law.kind == "density" and len(law.data[1]) <= 1:
            law = density(law.data[0], (variable,), law.data[2], law.data[3])
        expectation = Node("expect", (law, renamed(inner.parts[0], {}, one)), (((),),))
        count = number(float(upper.offset)) if not upper.letter else Node("name", (), (Name(upper.letter), ()))
        return Node("times", (count, expectation))

    changed = change(node)
    return changed if found else None


def _law_for(body: Node, variable: Name, guess: Node | None, definitions: Mapping[str, Definition]) -> Node:
    """The density from which draws come if nobody says so: one in a denominator of the body, or the prior."""
    used = [
        definitions[n.data[0].base + n.data[0].mark].body
        for n in body.walk()
        if n.kind == "name" and n.data[0].base + n.data[0].mark in definitions
    ]
    for node in (n for tree in (body, *used) for n in tree.walk() if n.kind == "quotient"):
        for inner in node.parts[1].walk():
            if inner.kind == "density" and [n.base for n in inner.data[1]] == [variable.base]:
                return inner
    return guess if guess is not None else density(Name("p"), (replace(variable, index=()),))
