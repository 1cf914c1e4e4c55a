"""Readings of averages over noise, of densities as functions, and of closed forms of divergences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

from proofreader.classify import as_average
from proofreader.distributions import as_gaussian
from proofreader.limits import averaged_over
from proofreader.names import names_in
from proofreader.syntax import Index, Name, Node, in_text
from proofreader.trial import Attempt, Trial

__all__ = ["Noise", "rewritten", "variables_outside"]


class Noise(Trial):
    """What averages over noise, and functions of it, may mean."""

    def noise(self, base: Attempt) -> list[Attempt]:
        """An average over noise, in whose body the noise does not occur, as one over what is a function of it."""
        words: list[str] = []

        def change(node: Node) -> Node:
            node = node.map(change)
            unseen = self.unseen(node) if node.kind == "expect" else set()
            drawn = {n.base for law in node.parts[:-1] for n in names_in(law)} if unseen else set()
            for law in self.names.measures if unseen else ():
                if len(law.data[1]) == 1 and law.data[1][0] in unseen and law.data[1][0].base not in drawn:
                    noise = " and ".join(map(in_text, node.parts[:-1]))
                    words.append(
                        f"{law.data[1][0]} is a function of noise from {noise} and has the density {in_text(law)}"
                    )
                    return replace(node, parts=(law, node.parts[-1]), data=(((),),))
            return node

        left, right = change(base.left), change(base.right)
        return [replace(base, left=left, right=right, words=tuple(dict.fromkeys(words)))] if words else []

    def as_functions(self, base: Attempt) -> list[Attempt]:
        """Densities that are taken at the values of functions, as functions wherever nothing is averaged under them."""
        nodes = [n for tree in (base.left, base.right) for n in tree.walk()]
        bases = {n.data[0].base for n in nodes if n.kind == "density"}
        if not any(n.kind == "name" and n.parts and n.data[0].base in bases | {"p", "q"} for n in nodes):
            return []

        def change(node: Node) -> Node:
            if node.kind == "expect":
                return replace(node, parts=(*node.parts[:-1], change(node.parts[-1])))
            node = node.map(change)
            if node.kind != "density" or not node.data[1]:
                return node
            letter, left, right, parameters = node.data
            letter = replace(letter, mark=letter.mark + "|" * bool(right))
            return Node("name", tuple(Node("name", (), (n, ())) for n in (*left, *right)), (letter, parameters))

        return rewritten(base, change, "each density is a smooth function of numbers")

    def gaussian(self, base: Attempt) -> Iterator[Attempt]:
        """A divergence whose other side is the closed form for a Gaussian from the standard one."""
        for side, tree, other in (("left", base.left, base.right), ("right", base.right, base.left)):
            found = as_gaussian(tree, other)
            if found is not None:
                yield replace(base, words=(found[1],), **cast(Any, {side: found[0]}))

    def unseen(self, node: Node) -> set[Name]:
        """For an average in whose body nothing occurs that is averaged: the variables that do occur."""
        node = next(iter(as_average(node)), node) if node.kind == "integral" else node
        if node.kind != "expect" or len(node.parts) < 2:
            return set()
        bound = {*averaged_over(node), *(n for law in node.parts[:-1] if law.kind != "density" for n in names_in(law))}
        families = {n.base for n in bound if not all(isinstance(i, Index) for i in n.index) or not n.index}
        inside = set(names_in(node.parts[-1]))
        seen = any(n in bound or n.base in families for n in inside)
        return {n for n in inside if self.names.is_variable(n.base)} if bound and not seen else set()

    def members(self, node: Node) -> set[Name]:
        """Members with a free index of what an average is taken over, as ``s_t`` under an average over ``s``."""
        laws = [law.kind for law in node.parts[:-1]] if node.kind == "expect" else []
        drawn = {n.base for n in averaged_over(node) if not n.index} if "density" in laws else set()
        inside = {n for n in names_in(node.parts[-1]) if n.base in drawn} if drawn else set()
        free = {n for n in inside if len(n.index) == 1 and str(n.index[0]) in self.names.free_letters}
        return free if free == inside else set()

    def hides_noise(self, base: Attempt) -> bool:
        """Whether one side averages over noise something in which it does not occur, and the other side is free of
        what does occur."""
        for tree, other in ((base.left, base.right), (base.right, base.left)):
            free = set(variables_outside(other))
            if any((self.unseen(node) | self.members(node)) - free for node in tree.walk()):
                return True
        return False


def rewritten(base: Attempt, change: Callable[[Node], Node], words: str) -> list[Attempt]:
    """An attempt with both sides changed, if that changes something."""
    left, right = change(base.left), change(base.right)
    changed = (left, right) != (base.left, base.right)
    return [replace(base, left=left, right=right, words=(words,))] if changed else []


def variables_outside(node: Node) -> Iterator[Name]:
    """The variables of densities that stand under no expectation, integral or divergence."""
    if node.kind in ("expect", "variance", "covariance", "kl", "integral", "entropy"):
        return
    if node.kind == "density":
        yield from (n for n in (*node.data[1], *node.data[2]) if n.base)
    if node.kind == "name":
        yield node.data[0]
        for part in node.parts:
            if part.kind == "name":
                yield part.data[0]
    for part in node.parts:
        yield from variables_outside(part)
