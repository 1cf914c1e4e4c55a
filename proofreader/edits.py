"""Single edits of a side that a slip of the pen may have undone; which of them makes the line hold is found by
trying."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from proofreader.names import names_in
from proofreader.syntax import Index, Name, Node, in_text, number

__all__ = ["ENDS", "Edit", "edits", "the_names_apart"]


class Edit(NamedTuple):
    """What was changed, in words; the side after the change; whether something was only moved in it; and the kind of
    slip that it undoes."""

    words: str
    tree: Node
    moved: bool = False
    slip: str = ""


ENDS = "ends"
Local = Callable[[Node], Iterator[Edit]]
_LAWS = frozenset(["expect", "variance", "covariance"])


def _log(node: Node) -> Node:
    return Node("log", (node,))


def _negative(node: Node) -> Node:
    return Node("negative", (node,))


def _everywhere(tree: Node, local: Local) -> Iterator[Edit]:
    """A local change at every node, one at a time; the laws of expectations are left to changes of densities."""
    yield from local(tree)
    for at, part in enumerate(tree.parts):
        for edit in _everywhere(part, local):
            parts = (*tree.parts[:at], edit.tree, *tree.parts[at + 1 :])
            yield edit._replace(tree=replace(tree, parts=parts))


def _of_values(tree: Node, local: Local) -> Iterator[Edit]:
    """A local change at every node that is a number, not at the densities under expectations or in divergences."""
    yield from local(tree)
    first = len(tree.parts) - 1 if tree.kind in _LAWS else 0
    if tree.kind in ("kl", "chi2", "renyi", "tv", "js", "entropy"):
        return
    for at in range(first, len(tree.parts)):
        for edit in _of_values(tree.parts[at], local):
            parts = (*tree.parts[:at], edit.tree, *tree.parts[at + 1 :])
            yield edit._replace(tree=replace(tree, parts=parts))


def _logs(node: Node) -> Iterator[Edit]:
    """A logarithm too many, one too few, or one on the wrong side of an expectation."""
    if node.kind == "log":
        inner = node.parts[0]
        yield Edit(f"without the logarithm in front of {in_text(inner)}", inner)
        if inner.kind == "expect":
            yield Edit(
                "with the logarithm inside the expectation",
                replace(inner, parts=(*inner.parts[:-1], _log(inner.parts[-1]))),
            )
    if node.kind == "expect":
        body = node.parts[-1]
        if body.kind == "log":
            yield Edit(
                "with the logarithm outside the expectation",
                _log(replace(node, parts=(*node.parts[:-1], body.parts[0]))),
            )
        else:
            yield Edit("with a logarithm inside the expectation", replace(node, parts=(*node.parts[:-1], _log(body))))
    if node.kind in ("expect", "integral", "density", "quotient", "times", "series"):
        yield Edit(f"with a logarithm in front of {in_text(node)}", _log(node))


def _order(node: Node) -> Iterator[Edit]:
    """A derivative, a function or a power on the wrong side of an expectation."""
    words = {"gradient": "gradient", "name": "function", "power": "power"}
    inner = node.parts[0] if node.kind in words and node.parts else node.parts[-1] if node.kind == "expect" else None
    if inner is None:
        return
    if node.kind != "expect" and inner.kind == "expect":
        inside = replace(node, parts=(inner.parts[-1], *node.parts[1:]))
        moved = replace(inner, parts=(*inner.parts[:-1], inside))
        yield Edit(f"with the {words[node.kind]} inside the expectation", moved, moved=True)
    if node.kind == "expect" and inner.kind in words and inner.parts:
        averaged = replace(node, parts=(*node.parts[:-1], inner.parts[0]))
        moved = replace(inner, parts=(averaged, *inner.parts[1:]))
        yield Edit(f"with the {words[inner.kind]} outside the expectation", moved, moved=True)


def _arguments(node: Node) -> Iterator[Edit]:
    """Arguments in the wrong order, and fractions upside down."""
    if node.kind in ("kl", "chi2", "renyi"):
        swapped = replace(node, parts=(node.parts[1], node.parts[0], *node.parts[2:]))
        yield Edit(f"with the arguments of {in_text(node)} swapped", swapped, slip="arguments")
    if node.kind == "quotient":
        turned = replace(node, parts=node.parts[::-1])
        yield Edit(f"with the fraction {in_text(node)} turned over", turned, slip="fraction")
    if node.kind == "times" and [part.kind for part in node.parts] == ["density", "density"]:
        quotient = replace(node, kind="quotient")
        yield Edit(f"with {in_text(quotient)} for {in_text(node)}", quotient, slip="fraction")


def _signs(node: Node) -> Iterator[Edit]:
    """A sign that is wrong."""
    if node.kind == "negative":
        yield Edit(f"without the minus in front of {in_text(node.parts[0])}", node.parts[0])
    if node.kind == "sum":
        for at, term in enumerate(node.parts):
            if term.kind != "negative":
                yield Edit(f"with a minus in front of {in_text(term)}", _with(node, at, _negative(term)))
    if node.kind in ("kl", "expect", "entropy", "log"):
        yield Edit(f"with a minus in front of {in_text(node)}", _negative(node))


def _with(node: Node, at: int, *parts: Node) -> Node:
    rest = (*node.parts[:at], *parts, *node.parts[at + 1 :])
    return rest[0] if len(rest) == 1 and node.kind in ("sum", "times") else replace(node, parts=rest)


def _dropped(node: Node) -> Iterator[Edit]:
    """Something too much."""
    words = {"times": "factor", "sum": "term"}.get(node.kind)
    for at, part in enumerate(node.parts) if words else ():
        yield Edit(f"without the {words} {in_text(part)}", _with(node, at))
    if node.kind == "quotient":
        yield Edit(f"without the denominator {in_text(node.parts[1])}", node.parts[0])
    if node.kind == "power":
        yield Edit(f"without the exponent {in_text(node.parts[1])}", node.parts[0])


def _exchanged(densities: Sequence[Node]) -> Local:
    """Another density of the display in the place of one, or the same with something else behind its bar."""

    def local(node: Node) -> Iterator[Edit]:
        if node.kind != "density" or not node.data[1]:
            return
        letter, left, right, parameters = node.data
        options = [d for d in densities if d != node]
        behind = tuple(dict.fromkeys(n for d in densities for n in d.data[1] if n not in left and n not in right))
        options += [replace(node, data=(letter, left, (name,), parameters)) for name in behind[:2] if not right]
        if right:
            options += [
                replace(node, data=data)
                for data in (
                    (letter, left, (), parameters),
                    (letter, right, left, parameters),
                    (letter, (*left, *right), (), parameters),
                )
            ]
        elif len(left) > 1:
            options += [
                replace(node, data=(letter, left[:1], left[1:], parameters)),
                replace(node, data=(letter, left[1:], left[:1], parameters)),
            ]
        for option in dict.fromkeys(options):
            alike = option.data[0] == letter and option.data[1:3] != node.data[1:3]
            yield Edit(f"with {in_text(option)} for {in_text(node)}", option, slip="density" if alike else "")

    return local


def _added(factors: Sequence[Node]) -> Local:
    """A factor or a denominator that was left out; nothing is divided by itself."""

    def local(node: Node) -> Iterator[Edit]:
        if node.kind not in ("times", "density", "quotient", "expect", "integral", "series", "power", "log", "kl"):
            return
        for factor in factors:
            if factor != node and not (node.kind == "quotient" and factor in node.parts):
                yield Edit(f"with a factor {in_text(factor)} at {in_text(node)}", Node("times", (factor, node)))
                if factor.kind == "density":
                    yield Edit(f"with {in_text(node)} divided by {in_text(factor)}", Node("quotient", (node, factor)))

    return local


def _terms(inner: Sequence[Node]) -> Local:
    """A term that was left out."""

    def local(node: Node) -> Iterator[Edit]:
        if node.kind in ("sum", "expect", "kl", "log", "series", "negative", "integral", "entropy"):
            for part in inner:
                yield Edit(f"with {in_text(_log(part))} added", Node("sum", (node, _log(part))))
                yield Edit(f"with {in_text(_log(part))} subtracted", Node("sum", (node, _negative(_log(part)))))

    return local


def _conditioned(tree: Node, behind: Sequence[Name]) -> Iterator[Edit]:
    """All densities of a q given a variable at once, for a q that lost its subscript and its bar."""
    letters = {n.data[0] for n in tree.walk() if n.kind == "density" and n.data[1] and not n.data[2]}
    for letter in letters:
        for name in behind:
            shown: list[str] = []

            def change(node: Node, letter: Name = letter, name: Name = name, shown: list[str] = shown) -> Node:
                if (
                    node.kind == "density"
                    and node.data[0] == letter
                    and node.data[1]
                    and not node.data[2]
                    and name not in node.data[1]
                ):
                    changed = replace(node, data=(*node.data[:2], (name,), *node.data[3:]))
                    shown.append(f"with {in_text(changed)} for {in_text(node)}")
                    return changed
                return node.map(lambda n: change(n, letter, name, shown))

            changed = change(tree)
            if len(shown) > 1:
                yield Edit(shown[0], changed)


def _integrated(variables: Sequence[Name]) -> Local:
    """Another variable of integration."""

    def local(node: Node) -> Iterator[Edit]:
        if node.kind != "integral" or len(node.data[0]) != 1:
            return
        (name,) = node.data[0]
        for other in variables:
            if other != name:
                words = f"with the {'sum' if node.data[1] else 'integral'} over ${other}$ for that over ${name}$"
                yield Edit(words, replace(node, data=((other,), *node.data[1:])))

    return local


def _shifted(node: Node) -> Iterator[Edit]:
    """An index that is one too small or too large, in one density."""
    if node.kind != "density":
        return
    for side in (1, 2):
        for at, name in enumerate(node.data[side]):
            if len(name.index) == 1 and isinstance(name.index[0], Index):
                for step in (1, -1):
                    index = replace(name.index[0], offset=name.index[0].offset + step)
                    names = (*node.data[side][:at], replace(name, index=(index,)), *node.data[side][at + 1 :])
                    changed = replace(node, data=(*node.data[:side], names, *node.data[side + 1 :]))
                    yield Edit(f"with {in_text(changed)} for {in_text(node)}", changed)


def _ends(node: Node) -> Iterator[Edit]:
    """A product of densities over an index that begins or ends one too early or too late."""
    if node.kind != "product" or node.parts[0].kind != "density" or node.data[1] is None:
        return
    letter, *ends, without = node.data
    for at, end in enumerate(ends):
        for step in (1, -1) if end is not None else ():
            moved = replace(end, offset=end.offset + step)
            changed = replace(node, data=(letter, *ends[:at], moved, *ends[at + 1 :], without))
            yield Edit(f"with {in_text(changed)} for {in_text(node)}", changed, slip=ENDS)


def the_names_apart(left: Any, right: Any) -> set[tuple[Name, Name]] | None:
    """The names in which two sides differ that are otherwise the same; nothing where they differ in more."""
    if left == right:
        return set()
    if isinstance(left, Name) and isinstance(right, Name):
        return {(left, right)}
    if isinstance(left, Node) and isinstance(right, Node) and left.kind == right.kind:
        return the_names_apart((left.parts, left.data), (right.parts, right.data))
    if not isinstance(left, tuple) or not isinstance(right, tuple) or len(left) != len(right):
        return None
    apart = [the_names_apart(a, b) for a, b in zip(left, right, strict=True)]
    return None if None in apart else set().union(*(pairs for pairs in apart if pairs))


def edits(tree: Node, other: Node, densities: Sequence[Node], sizes: Sequence[str]) -> Iterator[Edit]:
    """All single edits of a side, those of the likeliest slips first.

    Args:
        tree: The side.
        other: The other side, which is no repair of this one.
        densities: The densities that occur in the display.
        sizes: The sizes, such as ``K``, that occur in it.
    """
    known = list(dict.fromkeys(d for d in densities if d.data[1] and d.data[1][0].base))
    ratios = [Node("quotient", (number(1), Node("name", (), (Name(size), ())))) for size in sizes] + [
        number(2),
        number(0.5),
    ]
    variables = list(dict.fromkeys(n for d in known for n in names_in(d)))
    if tree.kind not in ("sum", "negative", "number"):
        yield Edit("with a logarithm in front", _log(tree), slip="logarithm")
    for local, slip in ((_logs, "logarithm"), (_order, "order"), (_arguments, ""), (_signs, "sign")):
        yield from _named(slip, _of_values(tree, local))
    yield from _named("density", _conditioned(tree, variables[:4]))
    itself = other.parts[0] if other.kind == "log" else other
    options = [d for d in known if d != itself]
    yield from _named("too much", _of_values(tree, _dropped))
    yield from _everywhere(tree, _integrated(variables))
    yield from _named("density", _everywhere(tree, _shifted))
    yield from _everywhere(tree, _exchanged(options))
    yield from _of_values(tree, _ends)
    yield from _named("left out", _of_values(tree, _added([*options, *ratios])))
    yield from _named("left out", _of_values(tree, _terms([*options, *ratios])))


def _named(slip: str, found: Iterator[Edit]) -> Iterator[Edit]:
    """Edits that undo one kind of slip."""
    return (edit._replace(slip=edit.slip or slip) for edit in found)
