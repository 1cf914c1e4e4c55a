r"""The syntax tree of one side of a relation, and how to write it as LaTeX again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from proofreader.notation import OPERATORS

__all__ = ["Index", "Name", "Node", "Others", "Span", "density", "in_text", "number", "to_latex"]


@dataclass(frozen=True, slots=True)
class Index:
    """An index: a letter plus a number (``k + 1``), or a number alone (``letter`` empty)."""

    letter: str = ""
    offset: int = 0

    def __str__(self) -> str:
        if not self.letter:
            return str(self.offset)
        return self.letter + (f"{self.offset:+d}" if self.offset else "")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of indices, ends included: ``1:K``."""

    first: Index
    last: Index

    def __str__(self) -> str:
        return f"{self.first}:{self.last}"


@dataclass(frozen=True, slots=True)
class Others:
    """The members of a family on one side of an index: ``-j`` (all but it), ``>l``, ``>=l``, ``<t``, ``<=t``."""

    how: str
    index: Index

    def __str__(self) -> str:
        return {"-": "-", ">=": r"\ge ", "<=": r"\le "}.get(self.how, self.how) + str(self.index)


Part = Index | Span | Others


@dataclass(frozen=True, slots=True)
class Name:
    r"""A name as written: a variable, a parameter, the letter of a density or a function; empty for a dot.

    ``mark`` holds what makes it another object than the same letter without it: a star, a prime, a hat, a word, or the
    value that it takes, as ``=1``.
    """

    base: str
    index: tuple[Part, ...] = ()
    mark: str = ""

    @property
    def value(self) -> int | None:
        """The value that a variable takes, where it stands for an event such as ``y = 1``."""
        return int(self.mark.removeprefix("=")) if self.mark.startswith("=") else None

    def __str__(self) -> str:
        style, _, letter = self.base.rpartition(":")
        shown = letter if letter.startswith("\\") or len(letter) < 2 else rf"\mathrm{{{letter.lstrip('@')}}}"
        shown = {"cal": rf"\mathcal{{{shown}}}", "bb": rf"\mathbb{{{shown}}}"}.get(style, shown) or r"\cdot"
        mark = self.mark
        for accent in ("hat", "tilde", "bar", "dot"):
            if f"~{accent}" in mark:
                shown, mark = rf"\{accent}{{{shown}}}", mark.replace(f"~{accent}", "")
        return shown + mark + (f"_{{{','.join(map(str, self.index))}}}" if self.index else "")


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its kind, its subexpressions, and what else it says (the table of notation lists the kinds).

    The kinds that no row of the table has are ``number`` (value), ``name`` (name, parameters; the arguments are its
    parts), ``density`` (letter, left, right, parameters; ``left`` is empty where the letter stands alone), ``sum``,
    ``times``, ``negative``, ``quotient``, ``power``, ``named`` (a distribution by name), ``constant``, ``at``,
    ``dot`` and ``indicator``.
    """

    kind: str
    parts: tuple[Node, ...] = ()
    data: tuple[Any, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def map(self, change: Callable[[Node], Node]) -> Node:
        """The same node with each direct subexpression changed."""
        return replace(self, parts=tuple(change(part) for part in self.parts)) if self.parts else self


def number(value: float) -> Node:
    """A number."""
    return Node("number", (), (float(value),))


def density(
    letter: Name, left: tuple[Name, ...] = (), right: tuple[Name, ...] = (), parameters: tuple[Name, ...] = ()
) -> Node:
    """The density of some variables given others."""
    return Node("density", (), (letter, left, right, parameters))


_FORMATS = {row.kind: row.latex for row in OPERATORS}


def _names(names: tuple[Name, ...]) -> str:
    return ", ".join(map(str, names))


def _density(node: Node) -> str:
    letter, left, right, parameters = node.data
    subscript = f"_{{{_names(parameters)}}}" if parameters else ""
    inside = _names(left) + (rf" \mid {_names(right)}" if right else "")
    return f"{letter}{subscript}" + (f"({inside})" if left else "")


def _name(node: Node) -> str:
    name, parameters = node.data
    subscript = f"_{{{_names(parameters)}}}" if parameters else ""
    inside = ", ".join(to_latex(part) for part in node.parts)
    return f"{name}{subscript}" + (f"({inside})" if node.parts else "")


def _number(node: Node) -> str:
    value = node.data[0]
    return str(int(value)) if value == int(value) and abs(value) < 1e12 else f"{value:g}"


def _sum(node: Node) -> str:
    text = ""
    for term in node.parts:
        negative = term.kind == "negative"
        shown = to_latex(term.parts[0] if negative else term, 2)
        text += (" - " if negative else " + ") + shown if text else ("-" if negative else "") + shown
    return text


def _average(node: Node) -> str:
    bodies = 2 if node.kind == "covariance" else 1
    laws = []
    for names, law in zip(node.data[0], node.parts[:-bodies], strict=False):
        laws.append((rf"{_names(names)} \sim " if names else "") + to_latex(law))
    shown = [to_latex(body) for body in node.parts[-bodies:]]
    return _FORMATS[node.kind].format(*shown, laws=", ".join(laws) or _names(node.data[0][0] if node.data[0] else ()))


def _series(node: Node) -> str:
    letter, lower, upper = node.data[:3]
    shown = f"{letter}={lower}" if lower is not None else str(letter)
    body = to_latex(node.parts[0], 1)
    return _FORMATS[node.kind].format(body, range=shown) if upper is None else (
        _FORMATS[node.kind].format(body, range=shown).replace("} ", f"}}^{{{upper}}} ", 1)
    )  # fmt: skip


def _integral(node: Node) -> str:
    names, is_sum = node.data
    if is_sum:
        return rf"\sum_{{{_names(names)}}} {to_latex(node.parts[0], 1)}"
    return rf"\int {to_latex(node.parts[0], 1)}" + "".join(rf"\, d{name}" for name in names)


def _information(node: Node) -> str:
    _letter, first, second, given, at = node.data
    given = (*given, *at)
    inside = _names(first) + (f"; {_names(second)}" if second else "") + (rf" \mid {_names(given)}" if given else "")
    return rf"\mathrm{{{'I' if second else 'H'}}}({inside})"


def _plain(node: Node) -> str:
    shown = [to_latex(part) for part in node.parts]
    names = _names(tuple(node.data[-1])) if node.data and isinstance(node.data[-1], tuple) else ""
    return _FORMATS[node.kind].format(*shown, names=names)


_PRINTERS: dict[str, Callable[[Node], str]] = {
    "number": _number,
    "name": _name,
    "density": _density,
    "sum": _sum,
    "times": lambda n: r" \, ".join(to_latex(part, 1) for part in n.parts),
    "negative": lambda n: f"-{to_latex(n.parts[0], 2)}",
    "quotient": lambda n: rf"\frac{{{to_latex(n.parts[0])}}}{{{to_latex(n.parts[1])}}}",
    "power": lambda n: f"{to_latex(n.parts[0], 3)}^{{{to_latex(n.parts[1])}}}",
    "log": lambda n: rf"\log {to_latex(n.parts[0], 2)}",
    "gradient": lambda n: rf"\nabla_{{{_names(n.data[0])}}} {to_latex(n.parts[0], 1)}",
    "entropy": lambda n: rf"\mathrm{{H}}({', '.join(to_latex(part) for part in n.parts)})",
    "factorial": lambda n: f"{to_latex(n.parts[0], 3)}!",
    "log_gamma": lambda n: rf"\log \Gamma({to_latex(n.parts[0])})",
    "constant": lambda n: r"\text{const}",
    "indicator": lambda n: (
        rf"\mathbb{{1}}[{n.data[0]}={n.data[1].index[-1] if n.data[1].value is None else n.data[1].value}]"
    ),
    "transposed": lambda n: rf"{to_latex(n.parts[0], 3)}^\top",
    "opaque": lambda n: str(n.data[0]),
    "dot": lambda n: rf"{to_latex(n.parts[0], 3)}^\top {to_latex(n.parts[1], 3)}",
    "at": lambda n: rf"{to_latex(n.parts[0], 1)}|_{{{n.data[0]}={to_latex(n.parts[1])}}}",
    "named": lambda n: (
        rf"\mathrm{{{n.data[0]}}}({'; '.join(filter(None, (_names(n.data[1]), ', '.join(map(to_latex, n.parts)))))})"
    ),
    "information": _information,
    "integral": _integral,
    "expect": _average,
    "variance": _average,
    "covariance": _average,
    "series": _series,
    "product": _series,
}
_LOOSE = {"sum": 1, "negative": 1, "times": 2, "log": 2, "series": 2, "product": 2, "integral": 2, "gradient": 2}


def to_latex(node: Node, tight: int = 0) -> str:
    """A node as LaTeX, in brackets where its surroundings bind as tightly as ``tight``."""
    text = _PRINTERS.get(node.kind, _plain)(node)
    loose = _LOOSE.get(node.kind, 4)
    return (
        f"({text})"
        if loose <= tight
        and not (tight == 1 and loose == 2)
        and not (tight == 2 and loose == 2 and node.kind != "times")
        else text
    )


def in_text(node: Node) -> str:
    """A node as mathematics in a sentence."""
    return f"${to_latex(node)}$"
