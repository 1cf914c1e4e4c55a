"""What tells the members of a sequence, and the values of a parameter, apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from proofreader.syntax import Index, Name, Node, Span

__all__ = ["lengths_of", "slots_among"]

# No sequence is longer than this, for its table has as many dimensions.
MAX_LENGTH = 5
Bounds = Mapping[str, Sequence[tuple[Index | None, Index | None]]]


class Signature(Protocol):
    """The variables of a density in front of the bar, and its parameters."""

    @property
    def left(self) -> tuple[Name, ...]: ...

    @property
    def parameters(self) -> tuple[Name, ...]: ...


def lengths_of(trees: Iterable[Node], bounds: Bounds) -> dict[str, int]:
    """How long sequences must be, by the letters of their ends and indices, to tell the whole past of a member from
    those before it that a density or an information is given."""
    found: dict[str, int] = {}
    for node in (n for tree in trees for n in tree.walk() if n.kind in ("density", "information")):
        front = node.data[1]
        right = node.data[2] if node.kind == "density" else (*node.data[3], *node.data[4])
        given: dict[str, int] = {}
        for name in right:
            if name.base in {n.base for n in front}:
                given[name.base] = given.get(name.base, 0) + _members(name)
        names = [n for n in (*front, *right) if given.get(n.base)]
        letters = {part.letter for n in names for part in n.index if isinstance(part, Index) and part.letter}
        longest = min(2 + max((given[n.base] for n in names), default=0), MAX_LENGTH)
        for letter in letters:
            ends = [last.letter for _, last in bounds.get(letter, []) if last is not None]
            found.update({end: max(found.get(end, 0), longest) for end in (*ends, letter)})
    return found


def _members(name: Name) -> int:
    """How many members of its family a name stands for, as far as numbers say; of a range, those in front of it."""
    (part, *others) = name.index or (None,)
    if others or not isinstance(part, Span):
        return 1
    if part.first.letter or part.last.letter:
        return 0 if part.first.letter else max(part.first.offset - 1, 0)
    return 1 + part.last.offset - part.first.offset


def slots_among(signatures: Iterable[Signature], slots: dict[str, str]) -> None:
    r"""Adds the letters that are values of one parameter, with the first of them: those of ``p_\\theta(x)`` and
    ``p_\\phi(x)``, and not those of ``p_\\theta(x|z)`` and ``p_\\phi(z)``."""
    known = list(signatures)
    alone = [(s.parameters[0].base, {n.base for n in s.left}) for s in known if len(s.parameters) == 1]
    together = {p.base for s in known if len(s.parameters) > 1 for p in s.parameters}
    for first, left in alone:
        for second, other in alone:
            if first != second and left & other and not {first, second} & together:
                low, high = sorted((slots.get(first, first), slots.get(second, second)))
                slots.update({high: low, second: low, first: low})
