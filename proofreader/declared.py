r"""Averages of what the display says to be drawn, as in ``z \\sim q(z)``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from proofreader.names import names_in
from proofreader.steps import Environment
from proofreader.syntax import Index, Name, Node, in_text

if TYPE_CHECKING:
    from proofreader.elaborate import Plan

__all__ = ["bound_in", "drawn_as_declared"]

Pairs = list[tuple[tuple[str, ...], int]]


def drawn_as_declared(plan: Plan, names: tuple[Name, ...], body: Node, env: Environment) -> Pairs:
    """The atoms and weights of the laws from which what is averaged, and what these laws are given, was said to be
    drawn; nothing if it was not."""
    inside = list(names or dict.fromkeys(names_in(plan.unfolded(body))))
    groups: dict[Name, list[Name]] = {}
    for name in inside:
        declared = _declared(plan.names.declared, name)
        if declared is not None:
            groups.setdefault(declared, []).append(name)
            law = plan.names.declared[declared]
            given = law.data[2] if law.kind == "density" else (n for part in law.parts for n in names_in(part))
            inside += [n for n in given if n not in inside]
    pairs: Pairs = []
    for declared, mine in groups.items():
        draws = plan.draws((mine[0],), body, env) if not names and len(mine) == 1 else ()
        letter, _, *rest = plan.names.declared[declared].data
        left = plan.single(draws) if draws else tuple(mine)
        law = replace(plan.names.declared[declared], data=(letter, left, *rest))
        plan.note(f"the expectation names no density: it is read under {in_text(law)}")
        pairs += plan.drawn(law, draws, body, env)
    return pairs


def _declared(known: Collection[Name], name: Name) -> Name | None:
    """The declaration of a name: its own, or that of any member of its family."""
    if name in known:
        return name
    family = [n for n in known if (n.base, n.mark) == (name.base, name.mark) and _any_member(n)]
    return family[0] if len(family) == 1 else None


def _any_member(name: Name) -> bool:
    """Whether a declaration is of every member of a family, as ``z_k \\sim q`` and ``z \\sim q`` are."""
    return all(isinstance(part, Index) and bool(part.letter) for part in name.index)


def bound_in(pairs: Sequence[tuple[tuple[str, ...], int]]) -> tuple[str, ...]:
    """All atoms that some laws bind."""
    return tuple(dict.fromkeys(atom for atoms, _ in pairs for atom in atoms))
