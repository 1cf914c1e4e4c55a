"""Factorisations that a line may assume: those that it spells out, and Markov chains along an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, product
from typing import Any

from proofreader.elaborate import Plan
from proofreader.syntax import Name, Node

__all__ = [
    "Assumption",
    "Factors",
    "Pairs",
    "Tables",
    "collections_among",
    "listed",
    "shown",
    "structures",
    "tables_of",
]


Factors = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
Pairs = Sequence[tuple[tuple[str, ...], tuple[str, ...]]]
Tables = dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]
MAX_DAGS = 24


@dataclass(frozen=True)
class Assumption:
    """A change of the models, and its words."""

    words: str
    changes: dict[str, Any] = field(default_factory=dict)


def shown(atom: str) -> str:
    """An atom as people write it."""
    base, _, index = atom.partition("#")
    base, _, mark = base.partition("|")
    return str(Name(base, (), mark)) + (f"_{index}" if index else "")


def listed(atoms: Sequence[str]) -> str:
    """Several atoms in a sentence."""
    names = [shown(atom) for atom in atoms]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def tables_of(plan: Plan, places: Sequence[int]) -> Tables:
    """For each law the densities of roles that a line uses."""
    found: Tables = {}
    for place in sorted(set().union(*(plan.reached(p) for p in places))):
        step = plan.steps[place]
        if step.kind == "table":
            key, left, right, _ = step.data
            pair = (tuple(plan.role(a) for a in left), tuple(plan.role(a) for a in right))
            pairs = found.setdefault(key, [])
            if pair not in pairs:
                pairs.append(pair)
    return found


def is_joint(tree: Node, tables: Tables) -> bool:
    """Whether a side is the joint density of several variables, or its logarithm."""
    inner = tree.parts[0] if tree.kind in ("log", "negative") else tree
    return inner.kind == "density" and any(len(left) > 1 for pairs in tables.values() for left, _ in pairs)


def is_vacuous(factors: Factors, every: Pairs) -> bool:
    """Whether a factorisation leaves out a variable that some density of the line is given, and that does not depend
    on it."""
    for children, parents in factors:
        below = {c for own, behind in factors for c in own if set(behind) & set(children)}
        if any(
            set(left) == set(children) and set(parents) < set(right) and not below & set(right) for left, right in every
        ):
            return True
    return False


def structures(plan: Plan, sides: Sequence[Tables], bound: frozenset[str], joint: bool) -> Iterator[Assumption]:
    """Factorisations that one side of a line spells out, and Markov chains along an index."""
    for key in dict.fromkeys(key for tables in sides for key in tables):
        roles = plan.laws[key].roles
        if not 2 <= len(roles) <= 8 or key in plan.densities:
            continue
        found: dict[Factors, str] = {}
        every = [pair for tables in sides for pair in tables.get(key, [])]
        for tables in (*sides, {key: every}):
            for factors in islice(_written(roles, tables.get(key, []), every), MAX_DAGS):
                found.setdefault(factors, _words(key, factors))
        for factors, words in _chains(key, roles):
            found.setdefault(factors, words)
        for factors, words in sorted(found.items(), key=lambda item: -_edges(item[0])):
            if not _is_silly(factors, every, sides, key, bound) and (joint or set(roles) <= bound or len(roles) > 2):
                yield Assumption(words, {"factors": {key: factors}})


def _is_silly(factors: Factors, every: Pairs, sides: Sequence[Tables], key: str, bound: frozenset[str]) -> bool:
    """Whether a factorisation cuts what the line itself connects: a variable from another behind whose bar it stands, a
    latent variable from what is observed, or a joint that no other side has in one piece."""
    group = {role: k for k, part in enumerate(_components(factors)) for role in part}
    apart = any(group[a] != group[b] for left, right in every for a in left for b in right)
    if apart or len(set(group.values())) == 1:
        return apart
    latent = {role in bound for role in group}
    if len(group) == 2 and len(latent) == 2:
        return True
    joint = [any(len({group[r] for r in left}) > 1 for left, _ in tables.get(key, [])) for tables in sides]
    return all(joint) or not any(joint)


def _components(factors: Factors) -> list[set[str]]:
    """The groups of variables that a factorisation leaves connected."""
    groups: list[set[str]] = []
    for children, parents in factors:
        mine = {*children, *parents}
        touching = [group for group in groups if group & mine]
        groups = [group for group in groups if not group & mine] + [mine.union(*touching)]
    return groups


def _edges(factors: Factors) -> int:
    """How much a factorisation leaves open: the number of pairs of variables that may depend directly."""
    return sum(len(children) * (len(children) - 1) // 2 + len(children) * len(parents) for children, parents in factors)


def _written(roles: Sequence[str], pairs: Pairs, every: Pairs) -> Iterator[Factors]:
    """The factorisations that densities spell out: each variable given what stands behind its bar.

    A variable that no density has in front comes first if some density is given it, and else last, given all others.
    """
    options: list[list[tuple[tuple[str, ...], tuple[str, ...]] | None]] = []
    for role in roles:
        mine = [pair for pair in pairs if role in pair[0] and len(pair[0]) < len(roles)]
        smallest = min((len(pair[0]) for pair in mine), default=0)
        options.append([*(pair for pair in mine if len(pair[0]) == smallest)] or [None])
    given = {role for _, right in every for role in right}
    for choice in islice(product(*options), 4 * MAX_DAGS):
        chosen = tuple(dict.fromkeys(pair for pair in choice if pair is not None))
        covered = [role for left, _ in chosen for role in left]
        if not chosen or len(covered) != len(set(covered)):
            continue
        roots = tuple(role for role in roles if role not in covered and role in given)
        last = tuple(role for role in roles if role not in covered and role not in given)
        ordered = _ordered((*(((roots, ()),) if roots else ()), *chosen))
        if ordered is not None:
            yield (*ordered, *(((last, tuple(r for r in roles if r not in last)),) if last else ()))


def _ordered(factors: Factors) -> Factors | None:
    """The factors with parents in front of children; None if they go in a circle."""
    known: set[str] = set()
    left = list(factors)
    ordered = []
    while left:
        ready = next((f for f in left if set(f[1]) <= known), None)
        if ready is None:
            return None
        left.remove(ready)
        ordered.append(ready)
        known |= set(ready[0])
    return tuple(ordered)


def _words(key: str, factors: Factors) -> str:
    """A factorisation in words."""
    named = [f for f in factors if f[1]]
    if not named:
        groups = [listed(children) if len(children) == 1 else f"({listed(children)})" for children, _ in factors]
        return f"{', '.join(groups)} are independent under {key}"
    if all(len(children) == 1 and len(parents) <= 1 for children, parents in factors):
        behind = [parents[0] for _, parents in named]
        if len(set(behind)) == len(behind):
            chain = [next(children[0] for children, parents in factors if not parents)]
            while len(chain) < len(factors) and (following := [c[0] for c, p in named if p[0] == chain[-1]]):
                chain.append(following[0])
            if len(chain) == len(factors) > 2:
                return f"{', '.join(map(shown, chain))} form a Markov chain under {key}"
        elif len(set(behind)) == 1 and len(factors) == len(named) + 1:
            return f"{listed([c[0] for c, _ in named])} are independent given {shown(behind[0])} under {key}"
    shown_factors = " ".join(
        f"{key}({', '.join(map(shown, c))}{' | ' + ', '.join(map(shown, p)) if p else ''})" for c, p in factors
    )
    return f"{key} factorises as {shown_factors}"


def _index(role: str) -> tuple[int, ...]:
    text = role.partition("#")[2]
    return tuple(int(part) for part in text.split(",")) if text else ()


def _chains(key: str, roles: Sequence[str]) -> Iterator[tuple[Factors, str]]:
    """Markov chains along the index of a family, with what is left hanging on one of its ends, or before all of it."""
    families = {role.partition("#")[0] for role in roles if "#" in role}
    for family in families:
        chain = sorted((role for role in roles if role.partition("#")[0] == family), key=_index)
        others = [role for role in roles if role not in chain]
        if len(chain) < 3:
            continue
        links = (((chain[0],), ()), *(((b,), (a,)) for a, b in pairwise(chain)))
        if not others:
            yield links, _words(key, links)
            continue
        for end in (chain[0], chain[-1]):
            hung = (*links, *(((other,), (end,)) for other in others))
            yield (hung, f"{_words(key, links)}, and {listed(others)} depends on {shown(end)} alone")
        given = ((tuple(others), ()), ((chain[0],), tuple(others)), *(((b,), (a, *others)) for a, b in pairwise(chain)))
        yield given, f"{', '.join(map(shown, chain))} form a Markov chain given {listed(others)} under {key}"


def collections_among(plain_names: set[str], indexed: set[str], alone: set[str]) -> tuple[tuple[str, str], ...]:
    """Which names may stand for whole families: capitals for small letters, and a name left over for a family left
    over."""
    pairs = []
    left = set(indexed)
    for name in sorted(plain_names):
        small = name.rpartition(":")[2].lower()
        if name.rpartition(":")[2] != small and small in left:
            pairs.append((name, small))
            left.discard(small)
    left -= alone
    others = sorted(n for n in plain_names if n not in dict(pairs) and n.rpartition(":")[2][:1].isupper())
    if len(others) == 1 and len(left) == 1:
        pairs.append((others[0], left.pop()))
    elif len(others) == 1 and len(left) > 1 and not pairs:
        pairs += [(others[0], min(left))]
    return tuple(pairs)
