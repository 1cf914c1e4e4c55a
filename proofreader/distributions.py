r"""Distributions by name: their log-densities, and the means of their statistics.

Read are Normal (on the line and with a diagonal covariance), Bernoulli, Categorical, Dirichlet, Beta, Gamma (shape and
rate) and Poisson. A vector is read coordinate by coordinate, where it is written so somewhere in the line: as
``\mu_j`` under a sum over j. Lines with full covariance matrices, determinants and traces are judged in one dimension
alone, as their condition says. How averages are taken is said in :mod:`proofreader.moments`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from math import pi
from typing import TYPE_CHECKING, NamedTuple

from proofreader.errors import DerivationSyntaxError
from proofreader.steps import Environment, meaning
from proofreader.syntax import Index, Name, Node, in_text, number

if TYPE_CHECKING:
    from proofreader.elaborate import Plan

__all__ = [
    "DIMENSIONS",
    "FAMILIES",
    "as_gaussian",
    "bounded",
    "dimension_of",
    "family_of",
    "has_identity",
    "in_one_dimension",
    "vectors_of",
]

Values = Sequence[Node]
ONE = number(1)
VECTORS = frozenset(["categorical", "dirichlet"])
MEANS = (r"\mu", "m", r"\eta")
DEVIATIONS = (r"\sigma", "s")
DIMENSIONS = ("d", "D", "k", "n", "p", "J", "K", "M", "m")
MATRICES = (r"\Sigma", r"\Lambda")
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


def digamma(value: Node) -> Node:
    """The derivative of the logarithm of the gamma function."""
    return Node("digamma", (value,))


def each(values: Values, *others: Values, term: Callable[..., Node]) -> Node:
    """A sum over the coordinates of vectors."""
    return plus(*(term(*row) for row in zip(values, *others, strict=True)))


def less(value: Node) -> Node:
    """1 - value."""
    return plus(ONE, minus(value))


class Family(NamedTuple):
    """A family of densities: formulas of its log-density, divergence and means, and where its arguments lie.

    Each formula takes vectors: the value and the parameters for the density and for the means, which pair statistics of
    the value with their averages; the parameters of two members for the divergence. A number is a vector with one
    coordinate.
    """

    parameters: int
    unit: tuple[bool, ...]
    log_density: Callable[..., Node]
    divergence: Callable[..., Node] | None = None
    means: Callable[..., list[tuple[Node, Node]]] | None = None


FAMILIES = {
    "normal": Family(
        2,
        (False, False, False),
        lambda x, m, v: each(
            x, m, v, term=lambda x, m, v: times(
                number(-0.5), plus(over(square(plus(x, minus(m))), v), log(times(number(2 * pi), v)))
            ),
        ),
    ),
    "bernoulli": Family(
        1,
        (True, True),
        lambda x, m: each(x, m, term=lambda x, m: plus(times(x, log(m)), times(less(x), log(less(m))))),
    ),
    "categorical": Family(
        1,
        (True, True),
        lambda x, m: each(x, m, term=lambda x, m: times(x, log(m))),
        means=lambda x, m: [*zip(x, m, strict=True)],
    ),
    "dirichlet": Family(
        1,
        (True, False),
        lambda x, a: plus(
            log_gamma(plus(*a)), each(x, a, term=lambda x, a: plus(times(minus(less(a)), log(x)), minus(log_gamma(a))))
        ),
        means=lambda x, a: [
            pair for u, b in zip(x, a, strict=True)
            for pair in ((u, over(b, plus(*a))), (log(u), plus(digamma(b), minus(digamma(plus(*a))))))
        ],
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
        means=lambda x, a, b: [
            pair for x, a, b in zip(x, a, b, strict=True)
            for pair in (
                (x, over(a, plus(a, b))),
                (log(x), plus(digamma(a), minus(digamma(plus(a, b))))),
                (log(less(x)), plus(digamma(b), minus(digamma(plus(a, b))))),
            )
        ],
    ),
    "gamma": Family(
        2,
        (False, False, False),
        lambda x, a, b: each(
            x, a, b, term=lambda x, a, b: plus(
                times(a, log(b)), minus(log_gamma(a)), times(minus(less(a)), log(x)), minus(times(b, x))
            ),
        ),
        means=lambda x, a, b: [
            pair for x, a, b in zip(x, a, b, strict=True)
            for pair in ((x, over(a, b)), (log(x), plus(digamma(a), minus(log(b)))))
        ],
    ),
    "poisson": Family(
        1,
        (False, False),
        lambda x, m: each(x, m, term=lambda x, m: plus(times(x, log(m)), minus(m), minus(log_gamma(plus(x, ONE))))),
        lambda a, b: each(a, b, term=lambda a, b: plus(times(a, log(over(a, b))), b, minus(a))),
        means=lambda x, m: [*zip(x, m, strict=True)],
    ),
}  # fmt: skip


STANDARD = Node("named", (number(0), ONE), ("normal", ()))


@meaning("named")
def _density(plan: Plan, node: Node, env: Environment) -> int:
    """The density of a distribution by name, as the exponential of its logarithm."""
    names = node.data[1]
    if len(names) != 1:
        raise DerivationSyntaxError(f"the density {in_text(node)} is not read in numbers")
    if node.data[0] == "categorical" and any(n.kind == "indicator" for t in plan.names.trees for n in t.walk()):
        raise DerivationSyntaxError(
            "a categorical variable is read as a vector of zeros and a one, and not as its place"
        )
    return plan.compile(Node("exp", (_log_density(plan, Node("name", (), (names[0], ())), node),)), env)


def _log_density(plan: Plan, value: Node, law: Node) -> Node:
    """The logarithm of a density by name at a value."""
    family = family_of(law)
    vectors = vectors_of(plan, law.data[0], (value, *law.parts))
    bounded(plan, family.unit, vectors)
    return family.log_density(*vectors)


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


def family_of(node: Node) -> Family:
    family = FAMILIES.get(node.data[0]) if node.kind == "named" else None
    if family is None or len(node.parts) != family.parameters:
        raise DerivationSyntaxError(f"the density {in_text(node)} is not read in numbers")
    return family


def bounded(plan: Plan, unit: Sequence[bool], vectors: Sequence[Values]) -> None:
    """Names in the place of probabilities lie between 0 and 1."""
    for is_unit, vector in zip(unit, vectors, strict=True):
        plan.unit |= {n.data[0].base for value in vector for n in value.walk() if n.kind == "name" and is_unit}


def vectors_of(plan: Plan, kind: str, parts: Sequence[Node]) -> list[list[Node]]:
    """The coordinates of the arguments of a distribution; one each if it is on the line."""
    bases = {n.data[0].base for part in parts for n in part.walk() if n.kind == "name" and not n.data[0].index}
    size = _size(plan, bases)
    matrices = bases & {*_IDENTITY, "@diag", *MATRICES}
    if size is None and (matrices - _IDENTITY or any(part.kind == "opaque" for part in parts)):
        raise DerivationSyntaxError("matrices are not read: write one coordinate, or a sum over coordinates")
    if kind in VECTORS and size is None:
        raise DerivationSyntaxError("a distribution of a vector, of which no coordinate is written")
    several = plan.choices.plane or dimension_of(plan) != ""
    isotropic = [several and part.kind == "times" and _is_identity(part.parts[-1]) for part in parts]
    places = [0] if size is None else range(1, size + 1)
    return [[_coordinate(part, 0 if one else k) for k in places] for part, one in zip(parts, isotropic, strict=True)]


def has_identity(trees: Iterable[Node]) -> bool:
    """Whether the parameters of a distribution have an identity matrix."""
    named = (n for tree in trees for n in tree.walk() if n.kind == "named")
    return any(_is_identity(node) for n in named for part in n.parts for node in part.walk())


def _is_identity(node: Node) -> bool:
    return node.kind == "name" and node.data[0].base in _IDENTITY


def with_deviations(node: Node) -> Node:
    r"""A tree in which ``N(\\mu, \\sigma)`` has its deviation as second argument, where that is a name alone."""
    node = node.map(with_deviations)
    if node.kind != "named" or node.data[0] != "normal" or len(node.parts) != 2:
        return node
    mean, second = node.parts
    plain = second.kind == "name" and second.data[0].base in DEVIATIONS
    return replace(node, parts=(mean, square(second))) if plain else node


def in_one_dimension(node: Node, letters: Collection[str]) -> Node:
    """A tree in which every vector and matrix is a number, and the letters of a dimension are one."""
    node = node.map(lambda part: in_one_dimension(part, letters))
    if node.kind in ("trace", "transposed") or (node.kind == "name" and node.data[0].base == "@diag" and node.parts):
        return node.parts[0]
    if node.kind == "dot":
        return times(*node.parts)
    plain = node.kind == "name" and not node.parts
    if _is_identity(node) or (plain and str(node.data[0]) in letters):
        return ONE
    if plain:
        return replace(node, data=(_as_number(node.data[0]), node.data[1]))
    if node.kind == "gradient":
        return replace(node, data=(tuple(map(_as_number, node.data[0])), *node.data[1:]))
    return node


def _as_number(name: Name) -> Name:
    """A name that is read as a number although it is one of a matrix."""
    return replace(name, base=f"{name.base} ") if name.base in MATRICES else name


def _size(plan: Plan, bases: set[str]) -> int | None:
    """How many coordinates there are: as many as a sum or product over coordinates has terms, or two where a letter
    stands for the dimension."""
    nodes = [n for tree in plan.names.trees for n in tree.walk()]
    for node in (n for n in nodes if n.kind == "named" and {x.base for x in n.data[1]} & bases):
        bases = bases | {n.data[0].base for part in node.parts for n in part.walk() if n.kind == "name"}
    for node in (n for n in nodes if n.kind in ("series", "product")):
        letter = Index(node.data[0])
        if any(n.kind == "name" and n.data[0].base in bases and letter in n.data[0].index for n in node.walk()):
            return len(plan.unrolled(node, plan.top))
    return 2 if plan.choices.plane or dimension_of(plan) else None


def dimension_of(plan: Plan) -> str:
    """The letter of the dimension of a Gaussian vector with a multiple of the identity as covariance, if one occurs."""
    nodes = [n for tree in plan.names.trees for n in tree.walk()]
    if any(n.kind in ("trace", "transposed", "dot") for n in nodes):
        return ""
    gaussians = [part for n in nodes if n.kind == "named" and n.data[0] == "normal" for part in n.parts]
    names = {n.data[0].base for part in gaussians for n in part.walk() if n.kind == "name"}
    plain = {n.data[0].base for n in nodes if n.kind == "name" and not (n.parts or n.data[0].index or n.data[0].mark)}
    found = [letter for letter in DIMENSIONS if letter in plain - names - plan.names.variables]
    return found[0] if len(found) == 1 and names & _IDENTITY else ""


@meaning("norm")
def _norm(plan: Plan, node: Node, env: Environment) -> int:
    """The length of a vector; the absolute value of a number."""
    (vector,) = vectors_of(plan, "", node.parts)
    return plan.compile(Node("power", (plus(*map(square, vector)), number(0.5))), env)


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
