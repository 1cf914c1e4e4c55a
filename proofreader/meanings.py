"""What operators mean: each a formula in elementary steps on tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from proofreader.errors import DerivationSyntaxError
from proofreader.moments import is_exact, linear_average
from proofreader.names import names_in
from proofreader.steps import Environment, meaning, plain_names
from proofreader.syntax import Index, Name, Node, Others, in_text, number

if TYPE_CHECKING:
    from proofreader.elaborate import Plan

__all__ = ["ZERO"]

ZERO = ": its gradient is zero"


@meaning("number")
def _number(plan: Plan, node: Node, env: Environment) -> int:
    return plan.number(node.data[0])


@meaning("density")
def _density(plan: Plan, node: Node, env: Environment) -> int:
    letter, left, _, parameters = node.data
    place = plan.density(node, env) if left else plan.without_arguments(letter, parameters, env)
    if place is None:
        raise DerivationSyntaxError(f"{letter} stands alone where a number is expected")
    return place


@meaning("sum")
def _sum(plan: Plan, node: Node, env: Environment) -> int:
    return plan.total(*(plan.compile(part, env) for part in node.parts))


@meaning("indicator")
def _indicator(plan: Plan, node: Node, env: Environment) -> int:
    """One where two variables take one value."""
    atoms = plan.expand(node.data, env)
    return plan.picked(plan.add("same", (), atoms), atoms)


@meaning("twice")
def _twice(plan: Plan, node: Node, env: Environment) -> int:
    """A name with two definitions that differ."""
    raise DerivationSyntaxError(f"{node.data[0]} is defined twice, and differently")


@meaning("times")
def _times(plan: Plan, node: Node, env: Environment) -> int:
    return plan.product(*(plan.compile(part, env) for part in node.parts))


@meaning("negative")
def _negative(plan: Plan, node: Node, env: Environment) -> int:
    return plan.negative(plan.compile(node.parts[0], env))


@meaning("quotient")
def _quotient(plan: Plan, node: Node, env: Environment) -> int:
    return plan.ratio(plan.compile(node.parts[0], env), plan.compile(node.parts[1], env))


@meaning("power")
def _power(plan: Plan, node: Node, env: Environment) -> int:
    return plan.add("power", (plan.compile(node.parts[0], env), plan.compile(node.parts[1], env)))


@meaning("log", "exp", "absolute", "stop", "log_gamma", "digamma")
def _elementary(plan: Plan, node: Node, env: Environment) -> int:
    return plan.add(node.kind, (plan.compile(node.parts[0], env),))


@meaning("factorial")
def _factorial(plan: Plan, node: Node, env: Environment) -> int:
    """Gamma(x + 1)."""
    return plan.compile(Node("gamma_function", (Node("sum", (node.parts[0], number(1))),)), env)


@meaning("gamma_function")
def _gamma_function(plan: Plan, node: Node, env: Environment) -> int:
    return plan.compile(Node("exp", (Node("log_gamma", node.parts),)), env)


@meaning("expect")
def _expect(plan: Plan, node: Node, env: Environment) -> int:
    found = linear_average(plan, node, env)
    if found is not None:
        return found
    atoms, weight, (body,) = _under_laws(plan, node, env, node.parts[-1:])
    return plan.average(atoms, weight, body)


def _under_laws(
    plan: Plan, node: Node, env: Environment, bodies: Sequence[Node]
) -> tuple[tuple[str, ...], int, list[int]]:
    """What the laws of a node bind, their weight, and some bodies under them."""
    outer = dict(plan.valued)
    atoms, weight = plan.measure(node, env, bodies[0] if len(bodies) == 1 else Node("sum", tuple(bodies)))
    inner = replace(env, bound=(*env.bound, *plain_names([a for a in atoms if a not in plan.valued])))
    places = [plan.compile(body, inner) for body in bodies]
    plan.valued = outer
    plan.rough |= not all(is_exact(plan, place, atoms) for place in places)
    return atoms, weight, places


@meaning("variance")
def _variance(plan: Plan, node: Node, env: Environment) -> int:
    return _covaried(plan, node, env, node.parts[-1], node.parts[-1])


@meaning("covariance")
def _covariance(plan: Plan, node: Node, env: Environment) -> int:
    return _covaried(plan, node, env, node.parts[-2], node.parts[-1])


def _covaried(plan: Plan, node: Node, env: Environment, first: Node, second: Node) -> int:
    """E[(a - E[a]) (b - E[b])], which loses no digits where E[ab] - E[a] E[b] does."""
    atoms, weight, (_, *places) = _under_laws(plan, node, env, (Node("times", (first, second)), first, second))
    means = [plan.average(atoms, weight, place) for place in places]
    deviations = [plan.total(a, plan.negative(mean)) for a, mean in zip(places, means, strict=True)]
    return plan.average(atoms, weight, plan.product(*deviations))


@meaning("integral")
def _integral(plan: Plan, node: Node, env: Environment) -> int:
    factors = node.parts[0].parts if node.parts[0].kind == "times" else node.parts
    law = next((f for f in factors if f.kind == "named" and f.data[1] == node.data[0]), None)
    if law is not None:
        rest = Node("times", tuple(f for f in factors if f is not law)) if len(factors) > 1 else number(1)
        return plan.compile(Node("expect", (law, rest), (((),),)), env)
    names = tuple(_all_but_one(name, node.parts[0], env) for name in node.data[0])
    inside = replace(env, bound=(*env.bound, *names))
    body = plan.compile(_filled(node.parts[0], names), inside)
    atoms = plan.expand(names, env)
    if not atoms:
        observed = {n.base for s in plan.names.laws.get("p", []) if not s.right and len(s.left) == 1 for n in s.left}
        atoms = tuple(sorted(a for a in plan.free(body) if a in plan.names.variables and a not in observed))
        weights = [
            n for n in node.parts[0].walk() if n.kind == "density" and n.data[0].base in ("q", "Q") and n.data[1]
        ]
        atoms = plan.expand(weights[0].data[1], env) if len(atoms) != 1 and weights else atoms
        if len(atoms) != 1:
            raise DerivationSyntaxError("an integral that does not say over what")
    if not plan.free(body) & set(atoms) and plan.free(body) and not {n.base for n in names} & plan.names.lefts:
        raise DerivationSyntaxError(f"nothing under this integral depends on {', '.join(map(str, names))}")
    return plan.add("integral", (body,), atoms)


def _filled(node: Node, names: tuple[Name, ...]) -> Node:
    r"""A body in which ``p(\\cdot; \\theta)`` is the density of what is integrated over."""
    if node.kind == "density" and len(node.data[1]) == 1 and not node.data[1][0].base and names:
        return replace(node, data=(node.data[0], names, *node.data[2:]))
    return node.map(lambda part: _filled(part, names))


def _all_but_one(name: Name, body: Node, env: Environment) -> Name:
    r"""``\\prod_{i \\ne j} q_i \\, dz_i``: an integral over all members of a family but one."""
    for part in name.index:
        if not isinstance(part, Index) or part.letter in env.indices:
            continue
        for node in body.walk():
            if node.kind == "product" and node.data[0] == part.letter and node.data[3] is not None:
                return replace(name, index=(Others("-", node.data[3]),))
    return name


@meaning("series", "product")
def _series(plan: Plan, node: Node, env: Environment) -> int:
    letter = node.data[0]
    if letter in plan.choices.support and node.kind == "series":
        return _over_support(plan, node, env)
    if plan.names.is_variable(letter) and node.kind == "series":
        count = _count(plan, node)
        plan.counted.update({letter: count} if count is not None else {})
        return plan.add("integral", (plan.compile(node.parts[0], env),), plan.expand((Name(letter),), env))
    parts = tuple(plan.compile(node.parts[0], inner) for inner in plan.unrolled(node, env))
    if not parts:
        return plan.number(0.0 if node.kind == "series" else 1.0)
    return plan.add("sum" if node.kind == "series" else "product", parts)


def _count(plan: Plan, node: Node) -> int | None:
    """The number of terms of a sum that runs up to a size."""
    upper = node.data[2]
    return plan.sizes.get(upper.letter) if upper is not None and upper.letter and not upper.offset else None


def _over_support(plan: Plan, node: Node, env: Environment) -> int:
    """A sum over k in which z_k runs through all values of z."""
    inner = replace(env, indices={**env.indices, node.data[0]: 90 + len(env.indices)})
    body = plan.compile(node.parts[0], inner)
    outer = plan.compile(node.parts[0], replace(env, indices={**env.indices, node.data[0]: 80 + len(env.indices)}))
    atoms = tuple(sorted(plan.free(body) - plan.free(outer)))
    if not atoms:
        raise DerivationSyntaxError(f"nothing in this sum depends on {node.data[0]}")
    count = _count(plan, node)
    plan.counted.update({plan.role(atom): count for atom in atoms} if count is not None else {})
    return plan.add("integral", (body,), atoms)


@meaning("kl")
def _kl(plan: Plan, node: Node, env: Environment) -> int:
    """E_a[log a - log b]."""
    if "named" in (node.parts[0].kind, node.parts[1].kind):
        return plan.compile(replace(node, kind="named_kl"), env)
    atoms, first = plan.first(node.parts[0], env)
    return plan.average(atoms, first, plan.log(plan.ratio(first, plan.aligned(node.parts[1], atoms, env))))


@meaning("chi2")
def _chi2(plan: Plan, node: Node, env: Environment) -> int:
    """E_a[a / b] - 1."""
    atoms, first = plan.first(node.parts[0], env)
    ratio = plan.ratio(first, plan.aligned(node.parts[1], atoms, env))
    return plan.total(plan.average(atoms, first, ratio), plan.number(-1.0))


@meaning("tv")
def _tv(plan: Plan, node: Node, env: Environment) -> int:
    """Half the integral of |a - b|."""
    atoms, first = plan.first(node.parts[0], env)
    gap = plan.total(first, plan.negative(plan.aligned(node.parts[1], atoms, env)))
    return plan.product(plan.number(0.5), plan.add("integral", (plan.add("absolute", (gap,)),), atoms))


@meaning("js")
def _js(plan: Plan, node: Node, env: Environment) -> int:
    """Half the sum of the divergences from the mixture."""
    atoms, first = plan.first(node.parts[0], env)
    second = plan.aligned(node.parts[1], atoms, env)
    middle = plan.product(plan.number(0.5), plan.total(first, second))
    halves = [plan.average(atoms, law, plan.log(plan.ratio(law, middle))) for law in (first, second)]
    return plan.product(plan.number(0.5), plan.total(*halves))


@meaning("renyi")
def _renyi(plan: Plan, node: Node, env: Environment) -> int:
    """log E_a[(a / b)^(alpha - 1)] / (alpha - 1)."""
    atoms, first = plan.first(node.parts[0], env)
    ratio = plan.ratio(first, plan.aligned(node.parts[1], atoms, env))
    less = plan.total(plan.compile(node.parts[2], env), plan.number(-1.0))
    return plan.ratio(plan.log(plan.average(atoms, first, plan.add("power", (ratio, less)))), less)


@meaning("entropy")
def _entropy(plan: Plan, node: Node, env: Environment) -> int:
    """-E_a[log b], with b = a where only one density is given."""
    if node.parts[0].kind == "named":
        return plan.compile(replace(node, kind="named_entropy"), env)
    atoms, first = plan.first(node.parts[0], env)
    second = plan.aligned(node.parts[1], atoms, env) if len(node.parts) > 1 else first
    return plan.negative(plan.average(atoms, first, plan.log(second)))


@meaning("information")
def _information(plan: Plan, node: Node, env: Environment) -> int:
    """E[log p(a, b | c) / (p(a | c) p(b | c))], or -E[log p(a | c)]; given an event, all under p( . | event)."""
    letter, *groups = node.data
    lowered = [tuple(_lowered(plan, n) for n in names) for names in groups]
    first, second, given, at = (plan.expand(names, env) for names in lowered)
    key = plan.bare_key(plan.key(letter), env)
    wanted = {n.base for names in lowered for n in names}
    if letter == Name("p") and not wanted <= plan.names.all_of(key):
        lone = [*plan.names.laws] if len(plan.names.laws) == 1 else []
        key = next((other for other in plan.names.laws if wanted <= plan.names.all_of(other)), (*lone, key)[0])
        plan.note(f"the information is that under {key}")

    def law(left: tuple[str, ...], right: tuple[str, ...] = ()) -> int:
        return plan.table(key, left, (*right, *at), (), env)

    everything = tuple(dict.fromkeys((*first, *second, *given)))
    if not second:
        return plan.negative(plan.average(everything, law(everything), plan.log(law(first, given))))
    below = plan.product(law(first, given), law(second, given))
    return plan.average(everything, law(everything), plan.log(plan.ratio(law((*first, *second), given), below)))


def _lowered(plan: Plan, name: Name) -> Name:
    """``H(X)`` speaks of the variable x where the densities do."""
    densities = {n.base for found in plan.names.laws.values() for s in found for n in (*s.left, *s.right)}
    small = name.base.lower()
    return replace(name, base=small) if name.base not in densities and small in densities else name


@meaning("gradient")
def _gradient(plan: Plan, node: Node, env: Environment) -> int:
    body = plan.compile(node.parts[0], env)
    names = plan.expand(node.data[0], env)
    if not names:
        found = {p for law in plan.laws.values() for p in law.parameters}
        names = tuple(sorted(found)) if len(found) == 1 else _moved_by_nabla(plan, env)
        if not names:
            raise DerivationSyntaxError("a gradient that does not say with respect to what")
    for law in (n.data[0] for n in node.parts[0].walk() if n.kind == "density"):
        if {i.letter for i in law.index if isinstance(i, Index)} & {n.base for n in node.data[0]}:
            raise DerivationSyntaxError(f"how {law} depends on its index is not said")
    moved = plan.free(body) | {plan.steps[at].data[0] for at in plan.reached(body) if plan.steps[at].kind == "scalar"}
    if not moved & set(names) and any(True for _ in names_in(node.parts[0])):
        moving = ", ".join(map(str, node.data[0] or names))
        plan.note(f"{in_text(node.parts[0])} does not depend on {moving}{ZERO}")
    return plan.add("gradient", (body,), names)


def _moved_by_nabla(plan: Plan, env: Environment) -> tuple[str, ...]:
    """The variable of gradients that do not name theirs: the first that one of them has in front of a bar."""
    nodes = [n for tree in plan.names.trees for n in tree.walk() if n.kind == "gradient" and not n.data[0]]
    fronts = list(dict.fromkeys(a for n in nodes for d in n.walk() if d.kind == "density" for a in d.data[1]))
    if not fronts:
        return ()
    chosen = plan.choose(fronts, "nabla")
    plan.note(f"the gradient is read with respect to {chosen}")
    return plan.expand((chosen,), env)


@meaning("max", "min", "argmax", "argmin")
def _extremum(plan: Plan, node: Node, env: Environment) -> int:
    value = plan.compile(node.parts[0], env)
    letters = [
        n
        for n in node.data[0]
        if plan.key(n) in plan.laws
        and not plan.names.is_variable(n.base)
        and n.base not in {p for law in plan.laws.values() for p in law.parameters}
    ]
    if len(letters) > 1:
        raise DerivationSyntaxError("an extremum over two densities at once is not read")
    for letter in letters:
        value = _over_law(plan, node, plan.key(letter), value)
    axes = plan.expand([n for n in node.data[0] if n not in letters], env)
    if axes:
        missing = [axis for axis in axes if axis not in plan.free(value)]
        if missing:
            raise DerivationSyntaxError(f"nothing in {in_text(node.parts[0])} depends on {missing[0]}")
        if len(axes) > 1 and node.kind.startswith("arg"):
            raise DerivationSyntaxError("an arg max over two things at once is not read")
        value = plan.add(node.kind, (value,), axes)
    return value


def _over_law(plan: Plan, node: Node, key: str, value: int) -> int:
    """An extremum over all densities of a letter."""
    tables = [
        plan.steps[at].data
        for at in plan.reached(value)
        if plan.steps[at].kind == "table" and plan.steps[at].data[0] == key
    ]
    left = tuple(sorted({a for data in tables for a in data[1]}))
    given = plan.free(value) | {a for data in tables for a in data[2]}
    if not left or any(data[3] for data in tables):
        raise DerivationSyntaxError(
            f"a maximum over {key} of what does not depend on it, or of a family with parameters"
        )
    return plan.add("optimum", (value,), (node.kind, key, left, tuple(sorted(given - set(left)))))


@meaning("constant")
def _constant(plan: Plan, node: Node, env: Environment) -> int:
    return plan.number(0.0)


@meaning("at")
def _at(plan: Plan, node: Node, env: Environment) -> int:
    (atom,) = plan.expand(node.data, env)
    return plan.add("at", (plan.compile(node.parts[0], env), plan.compile(node.parts[1], env)), (atom,))


@meaning("trace", "transposed")
def _matrix(plan: Plan, node: Node, env: Environment) -> int:
    raise DerivationSyntaxError("matrices are not read: write one coordinate, or a sum over coordinates")


@meaning("dot")
def _dot(plan: Plan, node: Node, env: Environment) -> int:
    """An inner product: the sum over the coordinates of two vectors."""
    first, second = (_vector(plan, part, env) for part in node.parts)
    return plan.total(*(plan.product(a, b) for a, b in zip(first, second, strict=True)))


def _vector(plan: Plan, node: Node, env: Environment) -> list[int]:
    """The coordinates of a vector: of a name, a sum of vectors, or a multiple of one."""
    if node.kind == "name" and not node.parts and not node.data[0].base.isupper():
        return [plan.add("scalar", (), (f"{plan.atom(node.data[0], ())} coordinate {k}",)) for k in range(2)]
    if node.kind in ("sum", "negative"):
        parts = [_vector(plan, part, env) for part in node.parts]
        return [
            plan.total(*column) if node.kind == "sum" else plan.negative(column[0])
            for column in zip(*parts, strict=True)
        ]
    if node.kind == "times":
        scale = plan.product(*(plan.compile(part, env) for part in node.parts[:-1]))
        return [plan.product(scale, v) for v in _vector(plan, node.parts[-1], env)]
    raise DerivationSyntaxError("of vectors only sums, multiples and inner products are read")
