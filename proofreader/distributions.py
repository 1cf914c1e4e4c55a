r"""Distributions by name: their log-densities, and the divergences and entropies that have a closed form.

Read are Normal (on the line and with a diagonal covariance), Bernoulli, Categorical, Dirichlet, Beta, Gamma (shape and
rate) and Poisson. A vector is read coordinate by coordinate, where it is written so somewhere in the line: as
``\mu_j`` under a sum over j. Full covariance matrices and digamma functions are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import e, pi
from typing import TYPE_CHECKING, NamedTuple

from proofreader.errors import DerivationSyntaxError
from proofreader.steps import Environment, meaning
from proofreader.syntax import Index, Name, Node, in_text, number

if TYPE_CHECKING:
    from proofreader.elaborate import Plan

__all__ = ["as_gaussian"]

Values = Sequence[Node]
ONE = number(1)
VECTORS = frozenset(["categorical", "dirichlet"])
MEANS = (r"\mu", "m", r"\eta")
DEVIATIONS = (r"\sigma", "s")
_IDENTITY = frozenset(["I", "@I", "bb:I"])


def plus(*terms: Node) -> Node:
    """A sum."""
    return Node("sum", terms)


def minus(term: Node) -> Node:
    """A negative."""
    return Node("negative", (term,))


def times(*factors: Node) -> Node:
    """A product."""
    return Node("times", factors)


def over(above: Node, below: Node) -> Node:
    """A quotient."""
    return Node("quotient", (above, below))


def log(value: Node) -> Node:
    """A logarithm."""
    return Node("log", (value,))


def square(value: Node) -> Node:
    """A square."""
    return Node("power", (value, number(2)))


def log_gamma(value: Node) -> Node:
    """The logarithm of the gamma function."""
    return Node("log_gamma", (value,))


def each(values: Values, *others: Values, term: Callable[..., Node]) -> Node:
    """A sum over the coordinates of vectors."""
    return plus(*(term(*row) for row in zip(values, *others, strict=True)))


def less(value: Node) -> Node:
    """1 - value."""
    return plus(ONE, minus(value))


class Family(NamedTuple):
    """A family of densities: its log-density, divergence and entropy as formulas, and where its arguments lie.

    Each formula takes vectors: the value and the parameters for the density, the parameters of two members for the
    divergence, those of one for the entropy; a number is a vector with one coordinate.
    """

    parameters: int
    unit: tuple[bool, ...]
    log_density: Callable[..., Node]
    divergence: Callable[..., Node] | None = None
    entropy: Callable[..., Node] | None = None


FAMILIES = {
    "normal": Family(
        2,
        (False, False, False),
        lambda x, m, v: each(
            x, m, v, term=lambda x, m, v: times(
                number(-0.5), plus(over(square(plus(x, minus(m))), v), log(times(number(2 * pi), v)))
            ),
        ),
        lambda m, s, n, v: each(
            m, s, n, v, term=lambda m, s, n, v: times(
                number(0.5), plus(log(over(v, s)), over(plus(s, square(plus(m, minus(n)))), v), number(-1))
            ),
        ),
        lambda m, v: each(m, v, term=lambda m, v: times(number(0.5), log(times(number(2 * pi * e), v)))),
    ),
    "bernoulli": Family(
        1,
        (True, True),
        lambda x, m: each(x, m, term=lambda x, m: plus(times(x, log(m)), times(less(x), log(less(m))))),
        lambda a, b: each(
            a, b, term=lambda a, b: plus(times(a, log(over(a, b))), times(less(a), log(over(less(a), less(b)))))
        ),
        lambda m: each(m, term=lambda m: minus(plus(times(m, log(m)), times(less(m), log(less(m)))))),
    ),
    "categorical": Family(
        1,
        (True, True),
        lambda x, m: each(x, m, term=lambda x, m: times(x, log(m))),
        lambda a, b: each(a, b, term=lambda a, b: times(a, log(over(a, b)))),
        lambda m: minus(each(m, term=lambda m: times(m, log(m)))),
    ),
    "dirichlet": Family(
        1,
        (True, False),
        lambda x, a: plus(
            log_gamma(plus(*a)), each(x, a, term=lambda x, a: plus(times(minus(less(a)), log(x)), minus(log_gamma(a))))
        ),
    ),
    "beta": Family(
        2,
        (True, False, False),
        lambda x, a, b: each(
            x, a, b, term=lambda x, a, b: plus(
                times(minus(less(a)), log(x)), times(minus(less(b)), log(less(x))),
                log_gamma(plus(a, b)), minus(log_gamma(a)), minus(log_gamma(b)),
            ),
        ),
    ),
    "gamma": Family(
        2,
        (False, False, False),
        lambda x, a, b: each(
            x, a, b, term=lambda x, a, b: plus(
                times(a, log(b)), minus(log_gamma(a)), times(minus(less(a)), log(x)), minus(times(b, x))
            ),
        ),
    ),
    "poisson": Family(
        1,
        (False, False),
        lambda x, m: each(x, m, term=lambda x, m: plus(times(x, log(m)), minus(m), minus(log_gamma(plus(x, ONE))))),
        lambda a, b: each(a, b, term=lambda a, b: plus(times(a, log(over(a, b))), b, minus(a))),
    ),
}  # fmt: skip


STANDARD = Node("named", (number(0), ONE), ("normal", ()))


@meaning("named")
def _density(plan: Plan, node: Node, env: Environment) -> int:
    """The density of a distribution by name, as the exponential of its logarithm."""
    kind, names = node.data
    family = _family(node)
    if len(names) != 1:
        raise DerivationSyntaxError(f"the density {in_text(node)} is not read in numbers")
    value = Node("name", (), (names[0], ()))
    vectors = _vectors(plan, kind, (value, *node.parts))
    _bounded(plan, family.unit, vectors)
    return plan.compile(Node("exp", (family.log_density(*vectors),)), env)


@meaning("named_kl")
def _divergence(plan: Plan, node: Node, env: Environment) -> int:
    """The divergence between two members of one family."""
    first, second = node.parts
    family = _family(first) if first.kind == "named" else _family(second)
    if first.kind != second.kind or first.data[0] != second.data[0] or family.divergence is None:
        raise DerivationSyntaxError("a divergence between these two is not read in numbers")
    vectors = _vectors(plan, first.data[0], (*first.parts, *second.parts))
    _bounded(plan, family.unit[1:] * 2, vectors)
    return plan.compile(family.divergence(*vectors), env)


@meaning("named_entropy")
def _entropy(plan: Plan, node: Node, env: Environment) -> int:
    """The entropy of a member of a family."""
    (node,) = node.parts
    family = _family(node)
    if family.entropy is None:
        raise DerivationSyntaxError(f"the entropy of {in_text(node)} is not read in numbers")
    vectors = _vectors(plan, node.data[0], node.parts)
    _bounded(plan, family.unit[1:], vectors)
    return plan.compile(family.entropy(*vectors), env)


def as_gaussian(tree: Node, other: Node) -> tuple[Node, str] | None:
    r"""A divergence between two densities as that between N(mu, sigma^2) and N(0, 1), where the other side is a formula
    in a mean and a deviation; with its words."""
    if any(n.kind in ("density", "expect", "integral", "kl", "named") for n in other.walk()):
        return None
    scalars = [n for n in other.walk() if n.kind == "name" and n.data[0].base not in ("D", "J", "K", "d")]
    found = {n.data[0].base: replace(n, data=(replace(n.data[0], index=()), n.data[1])) for n in scalars}
    mean, deviation = (next((found[b] for b in bases if b in found), None) for bases in (MEANS, DEVIATIONS))
    if mean is None or deviation is None:
        return None
    first = Node("named", (mean, square(deviation)), ("normal", ()))
    words: list[str] = []

    def change(node: Node) -> Node:
        if node.kind == "kl" and all(part.kind == "density" for part in node.parts):
            q, p = map(in_text, node.parts)
            words.append(f"{q} is N({in_text(mean)}, {in_text(square(deviation))}) and {p} is N(0, 1)")
            return Node("kl", (first, STANDARD))
        return node.map(change)

    changed = change(tree)
    return (changed, words[0]) if words else None


def _family(node: Node) -> Family:
    family = FAMILIES.get(node.data[0]) if node.kind == "named" else None
    if family is None or len(node.parts) != family.parameters:
        raise DerivationSyntaxError(f"the density {in_text(node)} is not read in numbers")
    return family


def _bounded(plan: Plan, unit: Sequence[bool], vectors: Sequence[Values]) -> None:
    """Names in the place of probabilities lie between 0 and 1."""
    for is_unit, vector in zip(unit, vectors, strict=True):
        plan.unit |= {n.data[0].base for value in vector for n in value.walk() if n.kind == "name" and is_unit}


def _vectors(plan: Plan, kind: str, parts: Sequence[Node]) -> list[list[Node]]:
    """The coordinates of the arguments of a distribution; one each if it is on the line."""
    bases = {n.data[0].base for part in parts for n in part.walk() if n.kind == "name" and not n.data[0].index}
    size = _size(plan, bases)
    matrices = bases & {*_IDENTITY, "@diag", r"\Sigma", r"\Lambda"}
    if size is None and (matrices - _IDENTITY or any(part.kind == "opaque" for part in parts)):
        raise DerivationSyntaxError("matrices are not read: write one coordinate, or a sum over coordinates")
    if kind in VECTORS and size is None:
        raise DerivationSyntaxError("a distribution of a vector, of which no coordinate is written")
    return [[_coordinate(part, k) for k in ([0] if size is None else range(1, size + 1))] for part in parts]


def _size(plan: Plan, bases: set[str]) -> int | None:
    """How many coordinates there are: as many as a sum or product over coordinates has terms."""
    for node in (n for tree in plan.names.trees for n in tree.walk() if n.kind in ("series", "product")):
        letter = Index(node.data[0])
        if any(n.kind == "name" and n.data[0].base in bases and letter in n.data[0].index for n in node.walk()):
            return len(plan.unrolled(node, plan.top))
    return None


def _coordinate(node: Node, at: int) -> Node:
    """A coordinate of a vector, counted from 1; of a number if the coordinate is 0."""
    if node.kind == "opaque":
        raise DerivationSyntaxError(f"{node.data[0]} is not read as a parameter of a distribution")
    if node.kind == "name":
        name = node.data[0]
        if name.base in _IDENTITY:
            return ONE
        if name.base == "@diag" and len(node.parts) == 1:
            return _coordinate(node.parts[0], at)
        if at and not name.index:
            return replace(node, data=(Name(name.base, (Index("", at),), name.mark), node.data[1]))
        return node
    return node.map(lambda part: _coordinate(part, at) if part.kind != "number" else part)
