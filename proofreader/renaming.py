"""Trees with other names put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from proofreader.names import law_key, names_in
from proofreader.syntax import Index, Name, Node, Others, Part, Span, density

__all__ = ["put_in", "renamed", "vectors_among", "with_events_anywhere", "with_values_of_vectors"]


@dataclass(frozen=True)
class _Renaming:
    """Other variables, indices and letters of densities, and what they make of each kind of node."""

    names: Mapping[Name, Name]
    indices: Mapping[str, Index]
    letters: Mapping[str, Name]

    def index(self, part: Part) -> Part:
        """An index with another letter put in."""
        if isinstance(part, Index):
            other = self.indices.get(part.letter)
            return Index(other.letter, other.offset + part.offset) if other is not None else part
        if isinstance(part, Span):
            first, last = self.index(part.first), self.index(part.last)
            return Span(first, last) if isinstance(first, Index) and isinstance(last, Index) else part
        inner = self.index(part.index)
        return Others(part.how, inner) if isinstance(inner, Index) else part

    def name(self, old: Name) -> Name:
        """A name with another one, or another index, put in."""
        if old in self.names:
            return self.names[old]
        return replace(old, index=tuple(map(self.index, old.index))) if old.index and self.indices else old

    def many(self, olds: tuple[Name, ...]) -> tuple[Name, ...]:
        """Several names."""
        return tuple(map(self.name, olds))

    def scalar(self, new: Node) -> Node:
        """A name in an expression; a size that moves becomes a sum."""
        own = new.data[0]
        shift = self.indices.get(own.base) if not own.index and not own.mark and not new.parts else None
        if shift is None:
            return replace(new, data=(self.name(own), self.many(new.data[1])))
        moved = Node("name", (), (Name(shift.letter), ())) if shift.letter else Node("number", (), (0.0,))
        return Node("sum", (moved, Node("number", (), (float(shift.offset),)))) if shift.offset else moved

    def density(self, new: Node) -> Node:
        """A density."""
        letter, *groups = new.data
        letter = self.letters.get(law_key(letter), self.name(letter) if letter.index else letter)
        return replace(new, data=(letter, *map(self.many, groups)))

    def change(self, old: Node) -> Node:
        """A node and all below it."""
        new = old.map(self.change)
        kind, data = new.kind, new.data
        if kind in ("name", "density"):
            return self.scalar(new) if kind == "name" else self.density(new)
        if kind == "indicator":
            return replace(new, data=self.many(data))
        if kind in ("expect", "variance", "covariance"):
            return replace(new, data=(tuple(map(self.many, data[0])),))
        if kind in ("series", "product"):
            return replace(new, data=(data[0], *(self.index(end) if end is not None else None for end in data[1:])))
        if kind in ("integral", "gradient", "max", "min", "argmax", "argmin"):
            return replace(new, data=(self.many(data[0]), *data[1:]))
        return replace(new, data=(data[0], *map(self.many, data[1:]))) if kind == "information" else new


def renamed(
    node: Node,
    names: Mapping[Name, Name],
    indices: Mapping[str, Index] | None = None,
    letters: Mapping[str, Name] | None = None,
) -> Node:
    """A tree with other variables, indices and letters of densities put in."""
    return _Renaming(names, indices or {}, letters or {}).change(node) if names or indices or letters else node


def with_events_anywhere(trees: Sequence[Node]) -> list[Node]:
    """Sides in which an event such as ``y = 1``, if it is the only one of its variable, stands for any value: what is
    proportional to its probability is so over the values."""
    names = {name for tree in trees for name in names_in(tree)}
    events = {name for name in names if name.value is not None}
    lone = {event: replace(event, mark="") for event in events if {n for n in names if n.base == event.base} == {event}}
    return [renamed(tree, lone) for tree in trees]


def put_in(body: Node, name: Name, tree: Node) -> Node | None:
    """A tree with another one in the place of a number's name; None where the name is that of a variable, or where a
    name of the other tree is bound."""
    inside = {n.base for n in names_in(tree)}

    def change(node: Node) -> Node:
        if node.kind == "name" and node.data[0] == name and not node.parts:
            return tree
        own = {*names_in(replace(node, parts=()))}
        bound = {n.base for n in own} if node.kind in ("integral", "expect", "variance", "covariance") else set()
        bound |= {node.data[0]} if node.kind in ("series", "product") else set()
        if name in own or bound & inside:
            raise LookupError(name)
        return node.map(change)

    try:
        return change(body)
    except LookupError:
        return None


def vectors_among(trees: Sequence[Node]) -> set[str]:
    r"""The letters of densities whose values the trees number, as ``p_i`` beside ``KL(p \Vert q)``."""
    nodes = [n for tree in trees for n in tree.walk()]
    laws = [n for n in nodes if n.kind == "density"]
    with_arguments = {n.data[0].base for n in laws if n.data[1]}
    letters = {n.data[0].base for n in laws if not n.data[0].index} - with_arguments
    numbered = {n.data[0].base for n in nodes if n.kind == "name" and n.data[0].index and not n.parts}
    return letters | ({"p", "q"} & numbered - with_arguments) if letters & numbered else set()


def with_values_of_vectors(tree: Node, letters: set[str], trees: Sequence[Node]) -> Node:
    """A side in which the numbered values of such letters are densities, summed over what they are about."""
    summed = {n.data[0] for whole in trees for n in whole.walk() if n.kind == "series"}

    def change(node: Node) -> Node:
        node = node.map(change)
        if node.kind == "series":
            inside = {n.data[1] for n in node.parts[0].walk() if n.kind == "density" and n.data[0].base in letters}
            value = (Name(node.data[0]),)
            return Node("integral", node.parts, (value, True)) if value in inside else node
        part = node.data[0].index[0] if node.kind == "name" and len(node.data[0].index) == 1 else None
        if node.kind != "name" or node.parts or not isinstance(part, Index) or part.letter not in summed:
            return node
        letter = node.data[0]
        return density(replace(letter, index=()), (Name(part.letter),)) if letter.base in letters else node

    return change(tree)
