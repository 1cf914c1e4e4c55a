r"""Single edits of a side that a slip of the pen may have undone.

Each edit is a guess at the cause of a false line. Which of them makes the line hold is found by evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from lvmlib.derivation.syntax import (
    Call,
    Density,
    Divergence,
    Entropy,
    Expectation,
    Expression,
    IndexedSum,
    Integral,
    Logarithm,
    Measure,
    Negative,
    Number,
    Power,
    Product,
    Quotient,
    Sum,
    Variable,
    in_text,
)

__all__ = ["Edit", "edits"]


class Edit(NamedTuple):
    """What was changed, in words, and the side after the change."""

    description: str
    tree: Expression


Local = Callable[[Expression], Iterator[tuple[str, Expression]]]


def _everywhere(tree: Expression, local: Local) -> Iterator[Edit]:
    """Applies a local change at every node, one at a time."""
    for description, changed in local(tree):
        yield Edit(description, changed)
    for at, part in enumerate(tree.parts()):
        for edit in _everywhere(part, local):
            yield Edit(edit.description, _with_part(tree, at, edit.tree))


def _with_part(tree: Expression, wanted: int, new: Expression) -> Expression:
    count = -1

    def change(part: Expression) -> Expression:
        nonlocal count
        count += 1
        return new if count == wanted else part

    return tree.map(change)


def _is_average(tree: Expression) -> bool:
    return isinstance(tree, Expectation | Integral | IndexedSum)


def _logs(tree: Expression) -> Iterator[tuple[str, Expression]]:
    if isinstance(tree, Logarithm):
        yield f"without the logarithm in front of {in_text(tree.body)}", tree.body
        if isinstance(tree.body, Expectation):
            inner = tree.body
            yield "with the logarithm inside the expectation", replace(inner, body=Logarithm(inner.body))
    if isinstance(tree, Expectation):
        if isinstance(tree.body, Logarithm):
            yield "with the logarithm outside the expectation", Logarithm(replace(tree, body=tree.body.body))
        else:
            yield "with a logarithm inside the expectation", replace(tree, body=Logarithm(tree.body))
    if isinstance(tree, Expectation | Integral | Density | Quotient | Product) or (
        isinstance(tree, IndexedSum) and not tree.is_product
    ):
        yield f"with a logarithm in front of {in_text(tree)}", Logarithm(tree)


def _arguments(tree: Expression) -> Iterator[tuple[str, Expression]]:
    if isinstance(tree, Divergence):
        swapped = replace(tree, first=tree.second, second=tree.first)
        yield f"with the arguments of {in_text(tree)} swapped", swapped
    if isinstance(tree, Quotient):
        turned = Quotient(tree.denominator, tree.numerator)
        yield f"with the fraction {in_text(tree)} turned over", turned
    if isinstance(tree, Entropy) and tree.second is not None:
        yield "with the arguments of the cross-entropy swapped", Entropy(tree.second, tree.first)


def _signs(tree: Expression) -> Iterator[tuple[str, Expression]]:
    if isinstance(tree, Negative):
        yield f"without the minus in front of {in_text(tree.body)}", tree.body
    if isinstance(tree, Sum):
        for at, term in enumerate(tree.terms):
            if not isinstance(term, Negative):
                flipped = (*tree.terms[:at], Negative(term), *tree.terms[at + 1 :])
                yield f"with a minus in front of {in_text(term)}", Sum(flipped)
    if isinstance(tree, Divergence | Expectation | Entropy | Logarithm):
        yield f"with a minus in front of {in_text(tree)}", Negative(tree)


def _dropped(tree: Expression) -> Iterator[tuple[str, Expression]]:
    if isinstance(tree, Product):
        for at, factor in enumerate(tree.factors):
            rest = (*tree.factors[:at], *tree.factors[at + 1 :])
            yield f"without the factor {in_text(factor)}", rest[0] if len(rest) == 1 else Product(rest)
    if isinstance(tree, Sum):
        for at, term in enumerate(tree.terms):
            rest = (*tree.terms[:at], *tree.terms[at + 1 :])
            yield f"without the term {in_text(term)}", rest[0] if len(rest) == 1 else Sum(rest)
    if isinstance(tree, Quotient):
        yield f"without the denominator {in_text(tree.denominator)}", tree.numerator
    if isinstance(tree, Power):
        yield f"without the exponent {in_text(tree.exponent)}", tree.base


def _exchanged(densities: list[Density], itself: Expression) -> Local:
    """Other densities of the display in place of each; for one alone, a change of what is behind its bar."""

    def local(tree: Expression) -> Iterator[tuple[str, Expression]]:
        if not isinstance(tree, Density):
            return
        options = [d for d in densities if d != tree]
        observed = Variable("x")
        if tree.left and not tree.right and observed not in tree.left:
            options.append(replace(tree, right=(observed,)))
        if tree.right:
            options.append(replace(tree, right=()))
            options.append(replace(tree, left=tree.right, right=tree.left))
            options.append(replace(tree, left=(*tree.left, *tree.right), right=()))
        elif len(tree.left) > 1:
            options.append(replace(tree, left=tree.left[:1], right=tree.left[1:]))
            options.append(replace(tree, left=tree.left[1:], right=tree.left[:1]))
        for option in dict.fromkeys(option for option in options if option != itself):
            yield f"with {in_text(option)} for {in_text(tree)}", option

    return local


def _added(densities: list[Density], sizes: list[Expression]) -> Local:
    """Factors, denominators and terms that may have been left out."""

    def local(tree: Expression) -> Iterator[tuple[str, Expression]]:
        if isinstance(tree, Measure):
            return
        if isinstance(tree, Product | Density | Quotient | Expectation | Integral | IndexedSum | Power):
            for density in densities:
                yield f"with a factor {in_text(density)} at {in_text(tree)}", Product((density, tree))
                yield f"with {in_text(tree)} divided by {in_text(density)}", Quotient(tree, density)
            for size in sizes:
                yield f"with a factor {in_text(size)} at {in_text(tree)}", Product((size, tree))

    return local


def _terms(densities: list[Density], sizes: list[Expression]) -> Local:
    def local(tree: Expression) -> Iterator[tuple[str, Expression]]:
        if isinstance(tree, Sum | Expectation | Divergence | Logarithm | IndexedSum | Negative | Integral | Entropy):
            for inner in [*densities, *sizes]:
                term = Logarithm(inner)
                yield f"with {in_text(term)} added", Sum((tree, term))
                yield f"with {in_text(term)} subtracted", Sum((tree, Negative(term)))

    return local


def _conditioned(tree: Expression) -> Iterator[Edit]:
    """All of q's densities conditioned on x at once, for a q that lost its subscript and its x."""
    found = False

    def change(node: Expression) -> Expression:
        nonlocal found
        if isinstance(node, Density) and node.letter == "q" and node.left and not node.right:
            found = True
            return replace(node, right=(Variable("x"),))
        return node.map(change)

    changed = change(tree)
    if found:
        yield Edit("with q(z | x) for q(z)", changed)


def edits(tree: Expression, other: Expression, densities: list[Density], sizes: list[str]) -> Iterator[Edit]:
    """All single edits of a side, those of the likeliest slips first.

    Args:
        tree: The side.
        other: The other side, which is no mend for this one.
        densities: The densities that occur in the display.
        sizes: The sizes, such as ``K``, that occur in it.
    """
    known = list(dict.fromkeys(replace(d, parameters=d.parameters) for d in densities if d.left))
    ratios: list[Expression] = [Quotient(Number(1.0), Call(size)) for size in sizes] + [Number(2.0), Number(0.5)]
    if not isinstance(tree, Sum | Negative):
        yield Edit("with a logarithm in front", Logarithm(tree))
    likely: list[Local] = [_logs, _arguments, _signs]
    for local in likely:
        yield from _everywhere(tree, local)
    yield from _conditioned(tree)
    itself = other.body if isinstance(other, Logarithm) else other
    exchange = [density for density in known if density != itself]
    others: list[Local] = [_dropped, _exchanged(exchange, itself), _added(known, ratios), _terms(known, ratios)]
    for local in others:
        yield from _everywhere(tree, local)
