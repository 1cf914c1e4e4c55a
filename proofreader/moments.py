r"""Averages under distributions by name.

A Gaussian variable runs over the nodes of two Gauss-Hermite quadratures, both exact for polynomials up to degree 7:
what holds with one by accident fails with the other. A Bernoulli variable runs over its two values. Under the other
families an average is read where it is linear in statistics whose means are known, as
:math:`\operatorname{E}[\log \pi_k] = \psi(\alpha_k) - \psi(\sum_j \alpha_j)`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING

from proofreader.distributions import FAMILIES, Family, Values, bounded, family_of, vectors_of
from proofreader.errors import DerivationSyntaxError
from proofreader.names import drawn_in
from proofreader.steps import Environment, meaning
from proofreader.syntax import Name, Node, in_text

if TYPE_CHECKING:
    from proofreader.elaborate import Plan

__all__ = ["drawn_from_grid", "linear_average"]

Pairs = list[tuple[tuple[str, ...], int]]
# Positive nodes of the standard normal distribution, the middle one if there is one, and their weights.
_FIVE = ((sqrt(5 + sqrt(10)), (7 - 2 * sqrt(10)) / 60), (sqrt(5 - sqrt(10)), (7 + 2 * sqrt(10)) / 60), (0.0, 8 / 15))
_FOUR = ((sqrt(3 + sqrt(6)), (3 - sqrt(6)) / 12), (sqrt(3 - sqrt(6)), (3 + sqrt(6)) / 12))
EXACT = 7
GRIDDED = ("normal", "bernoulli")
COINS = (0.0, 1.0)
VALUE = Node("name", (), (Name("@value"), ()))


@meaning("named_kl")
def _divergence(plan: Plan, node: Node, env: Environment) -> int:
    """The divergence between two members of one family: the average of the logarithm of their ratio."""
    first, second = node.parts
    family = family_of(first if first.kind == "named" else second)
    if first.kind != second.kind or first.data[0] != second.data[0]:
        raise DerivationSyntaxError("a divergence between these two is not read in numbers")
    value, *vectors = vectors_of(plan, first.data[0], (VALUE, *first.parts, *second.parts))
    bounded(plan, family.unit[1:] * 2, vectors)
    if family.divergence is not None:
        return plan.compile(family.divergence(*vectors), env)
    mine, theirs = vectors[: family.parameters], vectors[family.parameters :]
    ratio = (family.log_density(value, *mine), Node("negative", (family.log_density(value, *theirs),)))
    return _mean(plan, first, value, mine, Node("sum", ratio), env)


@meaning("named_entropy")
def _entropy(plan: Plan, node: Node, env: Environment) -> int:
    """The entropy of a member of a family."""
    (law,) = node.parts
    family = family_of(law)
    value, *vectors = vectors_of(plan, law.data[0], (VALUE, *law.parts))
    bounded(plan, family.unit[1:], vectors)
    return _mean(plan, law, value, vectors, Node("negative", (family.log_density(value, *vectors),)), env)


def _mean(plan: Plan, law: Node, value: Values, vectors: Sequence[Values], body: Node, env: Environment) -> int:
    """The average of something under a member of a family, by coordinates of its value and its parameters."""
    outer = dict(plan.valued)
    found = _linear(plan, family_of(law), value, vectors, body, env)
    if found is None and law.data[0] in GRIDDED:
        pairs = _grid(plan, law, value, vectors, env)
        weight = plan.product(*(place for _, place in pairs))
        found = plan.average(tuple(a for atoms, _ in pairs for a in atoms), weight, plan.compile(body, env))
    plan.valued = outer
    if found is None:
        raise DerivationSyntaxError(f"an average under {in_text(law)} is not read in numbers")
    return found


def quadrature(nodes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The nodes and weights of the standard normal distribution, in order."""
    half = _FIVE if nodes == 5 else _FOUR
    pairs = sorted({(sign * node, weight) for node, weight in half for sign in (-1.0, 1.0)})
    distinct = [pair for at, pair in enumerate(pairs) if not at or pair[0] != pairs[at - 1][0]]
    return tuple(node + 0.0 for node, _ in distinct), tuple(weight for _, weight in distinct)


def drawn_from_grid(plan: Plan, law: Node, names: tuple[Name, ...], env: Environment) -> Pairs | None:
    """The coordinates of a Gaussian or Bernoulli variable with their weights, and what their values are; None for
    another law, or one that is not read in numbers."""
    if law.data[0] not in GRIDDED or len(names) != 1:
        return None
    try:
        value, *vectors = vectors_of(plan, law.data[0], (Node("name", (), (names[0], ())), *law.parts))
    except DerivationSyntaxError:
        return None
    bounded(plan, FAMILIES[law.data[0]].unit[1:], vectors)
    return _grid(plan, law, value, vectors, env)


def _grid(plan: Plan, law: Node, value: Values, vectors: Sequence[Values], env: Environment) -> Pairs:
    """For each coordinate of a variable its atoms with their weight; their values are kept in the plan."""
    pairs: Pairs = []
    nodes, weights = (COINS, ()) if law.data[0] == "bernoulli" else quadrature(plan.sizes.nodes)
    for coordinate, *own in zip(value, *vectors, strict=True):
        places = [plan.compile(p, env) for p in own]
        for atom in plan.expand((coordinate.data[0],), env):
            number = plan.add("grid", (), (atom, nodes))
            plan.grids[plan.role(atom)] = len(nodes)
            if len(own) == 2:
                key = f"named {in_text(law)}" + f" for {atom}" * ("#" in plan.role(atom))
                plan.law(key).weights = weights
                weight = plan.table(key, (atom,), (), (), env)
                deviation = plan.add("power", (places[1], plan.number(0.5)))
                plan.valued[atom] = plan.total(places[0], plan.product(deviation, number))
            else:
                zero, rest = (plan.total(plan.number(1.0), plan.negative(p)) for p in (number, places[0]))
                weight = plan.total(plan.product(number, places[0]), plan.product(zero, rest))
                plan.valued[atom] = number
            pairs.append(((atom,), weight))
    return pairs


def is_exact(plan: Plan, place: int, atoms: Collection[str]) -> bool:
    """Whether the quadrature of a Gaussian variable gives the average of a value."""
    gaussian = {a for a in atoms if plan.grids.get(plan.role(a), 0) > len(COINS)}
    degree = degree_in(plan, place, gaussian, lambda at: 1 if plan.steps[at].kind == "grid" else None)
    return degree is not None and degree <= EXACT


def linear_average(plan: Plan, node: Node, env: Environment) -> int | None:
    """The average of what is linear in statistics of a family; None for any other one."""
    law = node.parts[0]
    family = FAMILIES.get(law.data[0]) if law.kind == "named" else None
    if family is None or len(node.parts) != 2 or len(names := drawn_in(node)) != 1:
        return None
    value, *vectors = vectors_of(plan, law.data[0], (Node("name", (), (names[0], ())), *law.parts))
    bounded(plan, family.unit, (value, *vectors))
    outer = dict(plan.valued)
    found = _linear(plan, family, value, vectors, node.parts[-1], env)
    plan.valued = outer
    return found


def _linear(
    plan: Plan, family: Family, value: Values, vectors: Sequence[Values], body: Node, env: Environment
) -> int | None:
    if family.means is None:
        return None
    for atom in (a for v in value for a in plan.expand((v.data[0],), env)):
        plan.valued[atom] = plan.add("value", (), (atom,))
    means = {plan.compile(s, env): plan.compile(mean, env) for s, mean in family.means(value, *vectors)}
    atoms = {atom for place in means for atom in plan.free(place)}
    place = plan.compile(body, env)
    degree = degree_in(plan, place, atoms, lambda at: 1 if at in means else None)
    return replaced(plan, place, means) if degree is not None and degree < 2 else None


def degree_in(plan: Plan, place: int, atoms: Collection[str], own: Callable[[int], int | None]) -> int | None:
    """The degree of a polynomial in some atoms; None for what is none."""
    step = plan.steps[place]
    if not plan.free(place) & set(atoms):
        return 0
    known = own(place)
    if known is not None:
        return known
    if step.kind == "log" and plan.steps[step.arguments[0]].kind == "exp":
        return degree_in(plan, plan.steps[step.arguments[0]].arguments[0], atoms, own)
    degrees = [degree_in(plan, at, atoms, own) for at in step.arguments]
    if step.kind not in ("sum", "product", "ratio", "power", "integral") or None in degrees:
        return None
    found = [d for d in degrees if d is not None]
    if step.kind in ("ratio", "power"):
        exponent = plan.steps[step.arguments[1]]
        times = exponent.data[0] if step.kind == "power" and exponent.kind == "number" else 1.0 - (step.kind == "power")
        return int(found[0] * times) if not found[1] and times >= 1 and times == int(times) else None
    return sum(found) if step.kind == "product" else max(found)


def replaced(plan: Plan, place: int, means: Mapping[int, int]) -> int:
    """A step with others put in the place of some."""
    if place in means:
        return means[place]
    step = plan.steps[place]
    if step.kind == "log" and plan.steps[step.arguments[0]].kind == "exp":
        return replaced(plan, plan.steps[step.arguments[0]].arguments[0], means)
    arguments = tuple(replaced(plan, at, means) for at in step.arguments)
    return place if arguments == step.arguments else plan.add(step.kind, arguments, step.data)
