r"""Averages of what the display says to be drawn, as in ``z \\sim q(z)``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from proofreader.names import names_in
from proofreader.steps import Environment
from proofreader.syntax import Name, Node, in_text

if TYPE_CHECKING:
    from proofreader.elaborate import Plan

__all__ = ["bound_in", "drawn_as_declared"]

Pairs = list[tuple[tuple[str, ...], int]]


def drawn_as_declared(plan: Plan, names: tuple[Name, ...], body: Node, env: Environment) -> Pairs:
    """The atoms and weights of the laws from which what is averaged was said to be drawn; nothing if it was not."""
    inside = names or tuple(dict.fromkeys(names_in(plan.unfolded(body))))
    pairs: Pairs = []
    for base, law in plan.names.declared.items():
        mine = tuple(n for n in inside if n.base == base)
        if not mine:
            continue
        draws = plan.draws(mine, body, env) if not names and len(mine) == 1 else ()
        letter, _, *rest = law.data
        law = replace(law, data=(letter, plan.single(draws) if draws else mine, *rest))
        plan.note(f"the expectation names no density: it is read under {in_text(law)}")
        pairs += plan.drawn(law, draws, body, env)
    return pairs


def bound_in(pairs: Sequence[tuple[tuple[str, ...], int]]) -> tuple[str, ...]:
    """All atoms that some laws bind."""
    return tuple(dict.fromkeys(atom for atoms, _ in pairs for atom in atoms))
