r"""What a line may silently assume: candidates for the search, the weakest first.

Each candidate changes how models are drawn and says in words what it assumes. None of them turns a line into a plain
"holds".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice

from proofreader.elaborate import Plan
from proofreader.names import law_key
from proofreader.structures import (
    Assumption,
    Factors,
    Tables,
    is_joint,
    is_vacuous,
    listed,
    shown,
    structures,
    tables_of,
)
from proofreader.syntax import Node

__all__ = ["candidates", "discreteness"]


def candidates(plan: Plan, places: Sequence[int], trees: Sequence[Node], relation: str) -> Iterator[Assumption]:
    """Assumptions under which a line may hold, from the weakest to the strongest."""
    tables = tables_of(plan, places)
    bound = frozenset(
        plan.role(a)
        for place in places
        for at in plan.reached(place)
        if plan.steps[at].kind == "integral"
        for a in plan.steps[at].data
    )
    yield from _two_values(plan, tables)
    single = []
    sides = [tables_of(plan, [place]) for place in places]
    for assumption in structures(plan, sides, bound, any(map(is_joint, trees, sides))):
        (factors,) = assumption.changes["factors"].values()
        if relation in ("=", "propto", "const") or not is_vacuous(
            factors, [pair for pairs in tables.values() for pair in pairs]
        ):
            single.append(assumption)
    for key in tables:
        if "~tilde" in key:
            yield Assumption(f"{plan.names.letters.get(key, key)} integrates to 1", {"normalised": {key: True}})
    priors = [*_shared(plan, tables, priors=True)]
    yield from priors
    yield from single
    yield from _independences(plan, tables, trees)
    yield from _still(plan, tables)
    shared = []
    if relation == "=":
        shared = [*_shared(plan, tables, priors=False), *_common(plan, tables), *_uniform(plan, tables)]
    yield from shared
    if relation == "=":
        yield from _posteriors(plan, places, tables, trees)
    if relation in ("propto", "const"):
        yield from _optimal(plan, tables)
    yield from _numbers(plan)
    yield from _shapes(plan, trees)
    yield from _pushed(plan, places)
    yield from _several([*single, *shared])


def discreteness(plan: Plan, places: Sequence[int]) -> Iterator[Assumption]:
    """Which variables may have to be discrete: each alone, then all."""
    roles = sorted({r for pairs in tables_of(plan, places).values() for left, right in pairs for r in (*left, *right)})
    for role in roles:
        yield Assumption(f"{shown(role)} is discrete", {"discrete": frozenset([role])})
    yield Assumption("all variables are discrete", {"discrete": frozenset(["all"])})


def _independences(plan: Plan, tables: Tables, trees: Sequence[Node]) -> Iterator[Assumption]:
    """Of three variables whose informations are compared, two that are independent given the third."""
    if any(node.kind == "information" for tree in trees for node in tree.walk()):
        for key in tables:
            roles = plan.laws[key].roles
            for middle in roles if len(roles) == 3 else ():
                first, last = (role for role in roles if role != middle)
                chain: Factors = (((middle,), ()), ((first,), (middle,)), ((last,), (middle,)))
                words = f"{shown(first)}, {shown(middle)}, {shown(last)} form a Markov chain under {key}"
                yield Assumption(words, {"factors": {key: chain}})


def _still(plan: Plan, tables: Tables) -> Iterator[Assumption]:
    """A prior that does not depend on the parameter of its likelihood, or a law that is free of a parameter that it
    does not name."""
    for key, pairs in tables.items():
        law = plan.laws[key]
        if law.parameters and set(law.parameters) <= plan.names.implicit and len(tables) > 1:
            words = f"{key} does not depend on {listed(law.parameters)}"
            yield Assumption(words, {"still": {key: frozenset(law.roles)}})
        behind = {role for _, right in pairs for role in right}
        alone = _without_parameters(plan, key)
        for role in law.roles if law.parameters and not law.fixed else ():
            if role in alone or (role in behind and len(law.roles) > 1):
                words = f"{key}({shown(role)}) does not depend on {listed(law.parameters)}"
                yield Assumption(words, {"still": {key: frozenset([role])}})


def _without_parameters(plan: Plan, key: str) -> set[str]:
    """Variables whose density is written without the parameters that those of others by the same letter have."""
    found = plan.names.laws.get(key, ())
    signed = {n.base for s in found if s.parameters for n in s.left}
    return {n.base for s in found if not s.parameters and not s.right for n in s.left} - signed


def _shared(plan: Plan, tables: Tables, *, priors: bool) -> Iterator[Assumption]:
    """A variable behind the bar of one letter whose own density under it is that of another letter; ``priors`` asks for
    those that nothing is averaged under."""
    weights = {law_key(law.data[0]) for law in plan.names.measures}
    for key, pairs in tables.items():
        behind = {role for _, right in pairs for role in right}
        for other, others in tables.items():
            for left, right in others:
                prior = other not in weights and other[:1].lower() != "q" and set(right) <= set(plan.laws[key].roles)
                usual = not right and key != plan.names.model()
                fits = key != other and len(left) == 1 and left[0] in behind and key not in plan.densities
                if fits and key[:1] != other[:1] and (prior if priors else usual):
                    given = f" given {listed(right)}" if right else ""
                    words = f"{shown(left[0])}{given} has the density {other} under {key} too"
                    yield Assumption(words, {"shared": {key: (left, other, right)}, "far": True})


def _common(plan: Plan, tables: Tables) -> Iterator[Assumption]:
    """Two variants of a law, or two policies, that have a marginal or a conditional in common."""
    for key, other in combinations(tables, 2):
        roles = plan.laws[key].roles
        policies = key.startswith("\\") and other.startswith("\\")
        alike = key.partition("~")[0] == other.partition("~")[0] or policies
        if not alike or len(roles) != 2 or set(roles) != set(plan.laws[other].roles):
            continue
        first, second = (plan.names.letters.get(name, name) for name in (key, other))
        for role, rest in (roles, roles[::-1]):
            for right in ((), (rest,)):
                given = f" given {shown(rest)}" if right else ""
                words = f"{shown(role)}{given} has the same density under {first} and {second}"
                yield Assumption(words, {"shared": {key: ((role,), other, right)}, "far": True})


def _posteriors(plan: Plan, places: Sequence[int], tables: Tables, trees: Sequence[Node]) -> Iterator[Assumption]:
    """q equal to a conditional density of another letter: where q is what the line averages over, and the other density
    itself does not occur."""
    kinds = {node.kind for tree in trees for node in tree.walk()}
    if kinds & {"gradient", "max", "min", "argmax", "argmin"} or any(tree.kind == "number" for tree in trees):
        return
    for key, pairs in tables.items():
        left = {role for own, _ in pairs for role in own}
        if len(pairs) != 1 or key in plan.densities or not _weighs_all(plan, places, key, left):
            continue
        for other, others in tables.items():
            given = tuple(role for role in plan.laws[other].roles if role not in left)
            fixed = set(plan.laws[other].parameters)
            if len(others) > 1:
                fixed |= set.intersection(*(set(right) for _, right in others))
            conditional = any(set(own) & left and set(right) - fixed for own, right in others)
            posterior = any(set(own) == left and set(right) - fixed for own, right in others)
            if (
                other == key
                or not left <= set(plan.laws[other].roles)
                or not given
                or posterior
                or _is_part_of(plan, key, other)
            ):
                continue
            inside = ", ".join(map(shown, sorted(left)))
            behind = ", ".join(map(shown, pairs[0][1]))
            own = f"{inside} | {behind}" if behind else inside
            words = f"{key}({own}) = {other}({inside} | {', '.join(map(shown, given))})"
            if not conditional:
                yield Assumption(words, {"posterior": {key: (other, given)}, "far": True})


def _weighs_all(plan: Plan, places: Sequence[int], key: str, roles: set[str]) -> bool:
    """Whether every average over some variables is taken under one density."""
    found = False
    for place in sorted(set().union(*(plan.reached(p) for p in places))):
        step = plan.steps[place]
        if step.kind != "integral" or not {plan.role(a) for a in step.data} & roles:
            continue
        body = plan.steps[step.arguments[0]]
        factors = body.arguments if body.kind == "product" else step.arguments
        if not any(plan.steps[f].kind == "table" and plan.steps[f].data[0] == key for f in factors):
            tables = [plan.steps[at].data for at in plan.reached(place) if plan.steps[at].kind == "table"]
            if any(data[0] == key for data in tables):
                return False
            continue
        found = True
    return found


def _is_part_of(plan: Plan, key: str, other: str) -> bool:
    """Whether two letters are no q and its model, as where they differ by decoration alone."""
    return key[:1] == other[:1] or key.lower() == other.lower() or not plan.names.models(other, key)


def _optimal(plan: Plan, tables: Tables) -> Iterator[Assumption]:
    """A factor of a mean-field q at its optimum given the others."""
    for key, pairs in tables.items():
        if len(plan.laws[key].roles) < 2:
            continue
        for left, right in pairs:
            rest = tuple(role for role in plan.laws[key].roles if role not in left)
            target = next((o for o in tables if o != key and {*left, *rest} <= set(plan.laws[o].roles)), None)
            if (
                right
                or not rest
                or target is None
                or any(behind for _, behind in pairs)
                or _is_part_of(plan, key, target)
            ):
                continue
            given = tuple(role for role in plan.laws[target].roles if role not in (*left, *rest))
            factors: Factors = ((left, ()), *(((r,), ()) for r in rest))
            words = f"{key}({', '.join(map(shown, left))}) is the best factor of a mean-field {key} given the others"
            yield Assumption(
                words, {"factors": {key: factors}, "optimal": {key: (left, rest, target, given)}, "far": True}
            )


def _numbers(plan: Plan) -> Iterator[Assumption]:
    """Numbers in the unit interval, and weights that sum to one."""
    labels = sorted({step.data[0] for step in plan.steps if step.kind == "scalar"})
    for label in labels:
        if "#" not in label and label not in plan.unit:
            yield Assumption(f"0 ≤ {shown(label)} ≤ 1", {"ranges": {label: (0.02, 0.98)}})
            yield Assumption(f"{shown(label)} ≥ 1", {"ranges": {label: (1.02, 3.0)}})
    families: dict[str, list[str]] = {}
    for label in labels:
        if "#" in label:
            families.setdefault(label.split("#")[0], []).append(label)
    for family, members in families.items():
        if len(members) > 1:
            yield Assumption(f"{shown(family)}_i ≥ 0, and they sum to 1", {"simplex": {family: ()}})
    if len([label for label in labels if "#" not in label]) == 2:
        first, second = (label for label in labels if "#" not in label)
        yield Assumption(
            f"{shown(first)}, {shown(second)} ≥ 0, and they sum to 1",
            {"simplex": {first: (first, second), second: (first, second)}},
        )


def _shapes(plan: Plan, trees: Sequence[Node]) -> Iterator[Assumption]:
    """Functions of one argument that are convex or concave."""
    labels = sorted(
        {step.data[0].split("#")[0] for step in plan.steps if step.kind == "function" and len(step.arguments) == 1}
    )
    applied = {
        n.data[0].base
        for tree in trees
        for n in tree.walk()
        if n.kind == "name" and n.parts and n.parts[0].kind not in ("name", "density")
    }
    for label in labels:
        if label.split("(")[0] in applied:
            for shape in ("convex", "concave"):
                yield Assumption(f"{shown(label)} is {shape}", {"shapes": {label: shape}})


def _pushed(plan: Plan, places: Sequence[int]) -> Iterator[Assumption]:
    """A variable that is a function of noise: z = g(e) with e drawn from its own density."""
    tables = tables_of(plan, places)
    reached = sorted(set().union(*(plan.reached(p) for p in places)))
    functions = [at for at in reached if plan.steps[at].kind == "function"]
    inside = {a for at in functions for a in plan.steps[at].arguments if plan.steps[a].kind in ("sum", "product")}
    for place in (*functions, *sorted(inside)):
        step = plan.steps[place]
        for source in sorted(plan.free(place)):
            role = plan.role(source)
            noise = next((key for key, pairs in tables.items() if any(role in left for left, _ in pairs)), None)
            for key, pairs in tables.items():
                for left, right in pairs:
                    known = {plan.role(atom) for atom in plan.free(place)}
                    if noise is None or key.startswith("named ") or len(left) != 1 or left[0] in known or role in right:
                        continue
                    what = step.data[0] if step.kind == "function" else "g"
                    value = f"{what}({', '.join(map(shown, sorted(plan.free(place))))})"
                    drawn = f"when {shown(source)} is drawn from {noise.removeprefix('named ')}"
                    words = f"{shown(left[0])} = {value} has the density {key} {drawn}"
                    changes = {
                        "pushed": {left[0]: (place, source)},
                        "like": {left[0]: role},
                        "posterior_of_noise": {key: (noise, left[0], role)},
                    }
                    yield Assumption(words, changes)


def _several(single: Sequence[Assumption]) -> Iterator[Assumption]:
    """Two assumptions about different laws at once."""
    pairs = combinations(single, 2)
    apart = ((a, b) for a, b in pairs if not _laws_of(a) & _laws_of(b))
    for a, b in islice(apart, 80):
        kinds = dict.fromkeys((*a.changes, *b.changes))
        both = {k: {**a.changes.get(k, {}), **b.changes.get(k, {})} if k != "far" else True for k in kinds}
        yield Assumption(f"{a.words}, and {b.words}", both)


def _two_values(plan: Plan, tables: Tables) -> Iterator[Assumption]:
    """A variable of events such as ``y = 1`` that takes no values but those that are named, or 0 and 1."""
    for base in sorted(plan.names.values):
        values = plan.names.values_of(base)
        role = plan.slot(base)
        if role in plan.counted and len(values) > 1:
            words = f"{shown(base)} takes no values but {', '.join(map(str, values[:-1]))} and {values[-1]}"
            yield Assumption(words, {"cards": {role: len(values)}})
            for uniform in _uniform(plan, tables):
                if role in uniform.changes["uniform"]:
                    yield Assumption(f"{words}; {uniform.words}", {"cards": {role: len(values)}, **uniform.changes})


def _laws_of(assumption: Assumption) -> set[str]:
    """The laws that an assumption changes."""
    return {key for kind, change in assumption.changes.items() if kind != "far" for key in change}


def _uniform(plan: Plan, tables: Tables) -> Iterator[Assumption]:
    """A variable that runs from 1 to N in a sum, with equal probabilities 1/N; of one in events such as ``y = 1`` it is
    assumed only where the line writes none of these probabilities."""
    events = {plan.slot(base) for base in plan.names.values}
    written = {role for role in events for pairs in tables.values() if ((role,), ()) in pairs}
    for role in plan.counted.keys() - written:
        factors = {}
        for key in tables:
            rest = tuple(r for r in plan.laws[key].roles if r != role)
            if role in plan.laws[key].roles:
                factors[key] = (((role,), ()), *(((rest, (role,)),) if rest else ()))
        if factors:
            yield Assumption(f"{shown(role)} is uniform on its values", {"factors": factors, "uniform": {role: True}})
