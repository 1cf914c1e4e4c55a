"""Families of names of which several members are defined, as ``L_T = …``, ``L_t = …`` and ``L_0 = …``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from proofreader.names import law_key, names_in
from proofreader.steps import Definition, Environment, Steps, defined_key
from proofreader.syntax import Index, Name, Node, Part, Span, in_text

__all__ = ["beside_bodies", "is_member", "keep", "key_of", "known_beside", "meant", "members_in"]


def is_member(name: Name, definitions: Mapping[str, Definition], *, stated: bool) -> bool:
    """Whether a name is a member of a family of its own, beside another one that is defined.

    Args:
        name: The name that is given a meaning.
        definitions: What is defined already.
        stated: Whether the author says that it is a definition.
    """
    known = definitions.get(defined_key(name))
    if known is None or known.pattern.kind != "name" or law_key(name) in definitions:
        return False
    mine, theirs = name.index, known.pattern.data[0].index
    if not mine or len(mine) != len(theirs) or mine == theirs or (runs(mine) and runs(theirs)):
        return False
    return not counts(theirs, known.body) and (stated or not (known.stated and runs(theirs)))


def key_of(name: Name, definitions: Mapping[str, Definition]) -> str:
    """What a definition of a name is kept under."""
    return law_key(name) if is_member(name, definitions, stated=True) else defined_key(name)


def keep(known: dict[str, Definition], key: str, new: Definition) -> None:
    """Keeps the first definition of a name; of two that an author states, and that differ, neither counts."""
    old = known.setdefault(key, new)
    if old.stated and new.stated and (old.pattern, old.body) != (new.pattern, new.body):
        known[key] = replace(old, body=Node("twice", (), (in_text(old.pattern),)))


def known_beside(left: Node, definitions: Mapping[str, Definition]) -> set[str]:
    """What is defined already, without the family of which a name that begins a row is another member."""
    another = left.kind == "name" and is_member(left.data[0], definitions, stated=False)
    return {*definitions} - ({defined_key(left.data[0])} if another else set())


def beside_bodies(tree: Node, definitions: Mapping[str, Definition]) -> Node:
    """A tree with the bodies of the definitions that it uses beside it, for what letters it speaks of."""
    keys = {defined_key(node.data[0]) for node in tree.walk() if node.kind == "name"} & set(definitions)
    return Node("sum", (tree, *(definitions[key].body for key in sorted(keys)))) if keys else tree


def runs(index: tuple[Part, ...]) -> bool:
    """Whether every index is a small letter and so stands for any number."""
    return all(isinstance(part, Index) and part.letter.islower() for part in index)


def counts(index: tuple[Part, ...], body: Node) -> bool:
    """Whether an index says how many terms or draws what it is defined by has."""
    letters = {part.letter for part in index if isinstance(part, Index)} - {""}
    ends = [part.last.letter for n in names_in(body) for part in n.index if isinstance(part, Span)]
    ends += [end.letter for n in body.walk() if n.kind in ("series", "product") for end in n.data[1:3] if end]
    return bool(letters & {*ends, *(n.base for n in names_in(body))})


def meant(name: Name, definitions: Mapping[str, Definition], value: Callable[[Index], int | None]) -> Definition | None:
    """What a name stands for: the definition of that member of its family, or the one for any member."""
    family = [d for d in definitions.values() if d.pattern.kind == "name" and same(d.pattern.data[0], name)]
    if len(family) < 2 or not name.index:
        return definitions.get(defined_key(name))
    exact = [d for d in family if d.pattern.data[0].index == name.index]
    at = [value(part) for part in name.index if isinstance(part, Index)]
    fixed = [d for d in family if not runs(d.pattern.data[0].index)]
    alike = [d for d in fixed if None not in at and [value(part) for part in d.pattern.data[0].index] == at]
    any_member = [d for d in family if runs(d.pattern.data[0].index)]
    return next(iter([*exact, *alike, *any_member]), family[0])


def members_in(plan: Steps, base: str, body: Node, env: Environment) -> tuple[Name, ...]:
    """The members of a family of draws on which the value of a body depends, be it through names in it."""
    atoms = [atom.partition("#") for atom in sorted(plan.free(plan.compile(body, env)))]
    return tuple(Name(base, (Index("", int(index)),)) for own, _, index in atoms if own == base and index.isdigit())


def same(first: Name, second: Name) -> bool:
    """Whether two names are of one family."""
    return defined_key(first) == defined_key(second)
