"""What a name means: an index, a value, a definition, the usual bound, or an arbitrary function."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from proofreader.classify import at_several_values
from proofreader.distributions import DIMENSIONS, dimension_of
from proofreader.errors import DerivationSyntaxError
from proofreader.families import meant
from proofreader.names import index_value, law_key, names_in
from proofreader.renaming import put_in, renamed
from proofreader.steps import MAX_INLINED, Definition, Environment, defined_key, meaning
from proofreader.symbols import GREEK
from proofreader.syntax import Index, Name, Node, density, in_text, number

if TYPE_CHECKING:
    from proofreader.elaborate import Plan

__all__ = []

GAMMAS = (("dirichlet",), ("beta",), ("gamma",))
_WEIGHTS = frozenset([r"\alpha", r"\beta", r"\gamma", r"\lambda", r"\tau", "K", "T"])  # what makes it another bound
_OBSERVED = frozenset(["x", "y", "X", "Y", "D", "cal:D"])  # what is usually observed, and no parameter of a bound
_UPPER = re.compile("EUBO|CUBO|upper|UB")
_SUBSCRIPT = re.compile(r"_\{([^{}]*)\}")
_PARAMETER = re.compile(r"[_^]\{\(?(\\[a-z]+)\)?\}")


@meaning("name")
def _name(plan: Plan, node: Node, env: Environment) -> int:
    """A number, a size, a variable's value, what a definition says, or an arbitrary function."""
    name, parameters = node.data
    if not node.parts and law_key(name) in plan.names.calls and not plan.names.is_variable(name.base):
        node = replace(node, parts=plan.names.calls[law_key(name)])
    if (
        not node.parts
        and not name.index
        and not name.mark
        and name.base in env.indices
        and name.base not in plan.names.free_letters
    ):
        return plan.number(env.indices[name.base])
    size = _size(plan, str(name)) if not node.parts else None
    if size is not None:
        return plan.number(size)
    definition = meant(name, plan.definitions, lambda part: _value(plan, part, env)) or _at_a_number(plan, name)
    if definition is not None:
        return _inlined(plan, node, definition, env)
    bound = _as_bound(plan, node, env)
    if bound is not None:
        return bound
    place = _without_arguments(plan, node, env)
    if place is not None:
        return place
    atoms = plan.expand((name,), env) if not node.parts else ()
    axis = {p for law in plan.laws.values() for p in law.parameters} | {
        p for ps in plan.names.parameters.values() for p in ps
    }
    if len(atoms) == 1 and atoms[0] in plan.valued:
        return plan.valued[atoms[0]]
    if not node.parts and (plan.names.is_variable(name.base) or name.base in axis) and name.base:
        if len(atoms) != 1:
            raise DerivationSyntaxError(f"{in_text(node)} is not a single number")
        return plan.add("value", (), atoms)
    label = (
        atoms[0]
        if len(atoms) == 1
        else plan.atom(name, tuple(plan.index(i, env) for i in name.index if isinstance(i, Index)))
    )
    if name.base.startswith(("@", "cal:")):
        plan.undefined[defined_key(name)] = in_text(replace(node, parts=()))
    if not node.parts and not parameters and not name.base.startswith("@") and len(atoms) == 1:
        return _scalar(plan, name, label, node)
    return _function(plan, node, label, env)


def _of_a_parameter(plan: Plan, name: Name) -> tuple[Definition, Name] | None:
    r"""The definition of ``L_\\beta`` and its parameter, for a name such as ``L_0``."""
    for definition in plan.definitions.values():
        known = definition.pattern.data[0]
        letter = _PARAMETER.fullmatch(known.mark) if definition.pattern.kind == "name" else None
        if letter is not None and letter.group(1) in GREEK and known.base == name.base and known != name:
            return definition, Name(letter.group(1))
    return None


def _at_a_number(plan: Plan, name: Name) -> Definition | None:
    r"""What ``L_0`` stands for where ``L_\\beta`` is defined."""
    found = _of_a_parameter(plan, name)
    part = name.index[0] if len(name.index) == 1 and not name.mark else None
    if found is None or not isinstance(part, Index) or part.letter:
        return None
    definition, parameter = found
    body = put_in(definition.body, parameter, number(float(part.offset)))
    return None if body is None else Definition(Node("name", (), (name, ())), body)


def _value(plan: Plan, part: Index, env: Environment) -> int | None:
    """The number of an index, if it has one."""
    size = plan.sizes.get(part.letter) if part.letter not in env.indices else None
    return (
        size + part.offset
        if size is not None
        else index_value(part, env.indices)
        if part.letter in ("", *env.indices)
        else None
    )


def _without_arguments(plan: Plan, node: Node, env: Environment) -> int | None:
    """A density that leaves out its arguments, or a function of what gradients are taken in; None for neither."""
    name, parameters = node.data
    place = plan.without_arguments(name, parameters, env) if not node.parts else None
    moving = _moved(plan, name) if place is None else ()
    if not moving:
        return place
    return _function(plan, replace(node, data=(name, (*parameters, *moving))), str(name), env)


def _moved(plan: Plan, name: Name) -> tuple[Name, ...]:
    r"""The letters below a name in which gradients are taken: ``A_\\theta`` is a function of ``\\theta``."""
    if plan.names.is_variable(name.base):
        return ()
    below = [*(i.letter for i in name.index if isinstance(i, Index)), *_SUBSCRIPT.findall(name.mark)]
    letters = [letter for text in below for letter in text.split(",")]
    return tuple(Name(letter) for letter in letters if letter in plan.names.gradients)


def _size(plan: Plan, name: str) -> int | None:
    """The value of a name that stands for a size or for the dimension of a Gaussian."""
    if name in DIMENSIONS and dimension_of(plan) == name:
        return 2
    return plan.sizes_by_name.get(name)


def _has_gammas(plan: Plan) -> bool:
    """Whether the display speaks of gamma functions, or of distributions that have them."""
    nodes = [n for tree in plan.names.trees for n in tree.walk()]
    return any(n.kind in ("gamma_function", "log_gamma") or n.data[:1] in GAMMAS for n in nodes)


def _scalar(plan: Plan, name: Name, label: str, node: Node) -> int:
    plan.undefined.setdefault(defined_key(name), in_text(node))
    return plan.add("scalar", (), (label,))


def _function(plan: Plan, node: Node, label: str, env: Environment) -> int:
    """The digamma function where gamma functions occur, or an arbitrary function of its arguments and parameters."""
    name, parameters = node.data
    if name.base in (r"\psi", r"\Psi") and len(node.parts) == 1 and _has_gammas(plan):
        return plan.compile(Node("digamma", node.parts), env)
    plan.undefined.setdefault(defined_key(name), in_text(replace(node, parts=())))
    arguments: list[int] = []
    for part in node.parts:
        if part.kind == "density" and not part.data[1]:
            label += f"({law_key(part.data[0])})"
        elif part.kind == "name" and not part.parts and plan.names.is_variable(part.data[0].base):
            atoms = plan.expand((part.data[0],), env)
            arguments += [plan.valued.get(atom, plan.add("value", (), (atom,))) for atom in atoms]
        else:
            arguments.append(plan.compile(part, env))
    arguments += [plan.compile(Node("name", (), (p, ())), env) for p in parameters]
    return plan.add("function", tuple(arguments), (label, name.base in plan.names.positive))


def _as_bound(plan: Plan, node: Node, env: Environment) -> int | None:
    """The usual bound, or its negative, where a name stands for it; else None."""
    name = node.data[0]
    sign = dict(plan.choices.bounds).get(defined_key(name), 1 if name.base == "@ELBO" else 0)
    if not sign:
        return None
    if at_several_values(plan.names.trees, defined_key(name)):
        raise DerivationSyntaxError(f"{in_text(node)} is a bound at several values, which nothing tells apart")
    if _of_a_parameter(plan, name) is not None or _UPPER.search(name.mark):
        return None
    bound = _bound(plan, node, env)
    return bound if sign > 0 else plan.negative(bound)


def _bound(plan: Plan, node: Node, env: Environment) -> int:
    """The evidence lower bound of q, where nobody defined it otherwise."""
    guide, model = _guide_and_model(plan)
    q = next((s for s in plan.signatures(law_key(guide))), None)
    left = q.left if q is not None else (Name("z"),)
    law = density(guide, left, q.right if q is not None else (), q.parameters if q is not None else ())
    signatures = plan.signatures(law_key(model))
    observed = {n for s in signatures for n in (*s.left, *s.right) if n not in left and n.base not in {"", *GREEK}}
    seen = tuple(sorted(observed, key=str)) or (Name("x"),)
    parameters = next((s.parameters for s in signatures if s.parameters), ())
    given = tuple(dict.fromkeys(n for s in signatures for n in s.right if n.base in GREEK))
    joint = density(model, (*seen, *left), given, parameters)
    body = Node("sum", (Node("log", (joint,)), Node("negative", (Node("log", (law,)),))))
    bound = Node("expect", (law, body), (((),),))
    known = {*seen, *left, *names_in(law), *names_in(joint), guide, model}
    indices = {i for n in known for i in n.index}
    if indices and not {i for i in node.data[0].index if isinstance(i, Index) and i.letter} <= indices:
        raise DerivationSyntaxError(f"{in_text(node)} is a bound at an index of which no density here speaks")
    for part in (n.data[0] for n in node.parts if n.kind == "name" and not n.parts):
        another = part not in known and part.base in {*(n.base for n in known), *_OBSERVED, *_WEIGHTS}
        if another:
            raise DerivationSyntaxError(f"{in_text(node)} is a bound at {part}, of which no density here speaks")
    if any(n.kind == "density" and law_key(n.data[0]) not in (law_key(guide), law_key(model)) for n in node.parts):
        raise DerivationSyntaxError(f"{in_text(node)} is a bound of a density that is neither the model nor its q")
    plan.note(f"ELBO is read as {in_text(bound)}")
    return plan.compile(bound, env)


def _guide_and_model(plan: Plan) -> tuple[Name, Name]:
    """The letters of a q and of the model that it belongs to."""
    letters = plan.names.letters
    model = plan.model_letter()
    guides = [key for key in letters if key != law_key(model) and plan.names.models(law_key(model), key)]
    return (letters[min(guides, key=lambda key: (key[:1] != "q", key))] if guides else Name("q")), model


def _inlined(plan: Plan, node: Node, definition: Definition, env: Environment) -> int:
    """What a name stands for, with its arguments and indices put in."""
    if env.depth > MAX_INLINED:
        raise DerivationSyntaxError(f"the definition of {in_text(definition.pattern)} goes in a circle")
    mine, given = definition.pattern.data[0], node.data[0]
    own, used = definition.pattern.parts, node.parts
    indices: dict[str, Index] = {}
    names: dict[Name, Name] = {}
    letters: dict[str, Name] = {}
    for part in own:
        if part.kind == "name" and part.data[0].index and not part.parts:
            names[replace(part.data[0], index=())] = part.data[0]
    if given.index and not mine.index and len(own) == 1 and not used and own[0].kind == "name":
        names[own[0].data[0]] = replace(own[0].data[0], index=given.index)
    elif len(given.index) != len(mine.index):
        raise DerivationSyntaxError(f"{in_text(node)} does not fit its definition {in_text(definition.pattern)}")
    for a, b in zip(mine.index, given.index, strict=False):
        if isinstance(a, Index) and a.letter and isinstance(b, Index):
            indices[a.letter] = Index(b.letter, b.offset - a.offset)
        elif a != b:
            raise DerivationSyntaxError(f"{in_text(node)} does not fit its definition {in_text(definition.pattern)}")
    unfit = any(
        b.kind == "density" and (a.kind == "name" or a.data[3:] != b.data[3:]) for a, b in zip(own, used, strict=False)
    )
    if unfit or len({*zip(own, used, strict=False)}) > len({*own[: len(used)]}):
        # J(a, a) does not say what J(b, a) is, nor J(q) what J(p(x; a)) is.
        raise DerivationSyntaxError(f"{in_text(node)} does not fit its definition {in_text(definition.pattern)}")
    numbers = [(a.data[0], b) for a, b in zip(own, used, strict=False) if _takes_number(a, b)]
    for a, b in zip(own, used, strict=False):
        _bind(a, b, names, letters)
        _shift(a, b, indices)
    for p, r in zip(definition.pattern.data[1], node.data[1], strict=False):
        names[p] = r
    body = renamed(_with_numbers(definition.body, numbers, plan), names, indices, letters)
    return plan.compile(body, replace(env, depth=env.depth + 1))


def _takes_number(own: Node, used: Node) -> bool:
    """Whether an argument of a definition is a number, and that of its use an expression."""
    return own.kind == "name" and not own.parts and (used.kind not in ("name", "density") or bool(used.parts))


def _with_numbers(body: Node, numbers: list[tuple[Name, Node]], plan: Plan) -> Node:
    """What a function is with expressions put in for its arguments."""
    for name, tree in numbers:
        found: Node | None
        if name.base in plan.names.size_letters or plan.sizes.get(name.base) is not None:
            index = _as_index(tree)
            found = renamed(body, {}, {name.base: index}) if index is not None else None
        else:
            found = put_in(body, name, tree)
        if found is None:
            raise DerivationSyntaxError(f"{in_text(tree)} in the place of {name} is not read")
        body = found
    return body


def _as_index(tree: Node) -> Index | None:
    """A whole number, or a letter plus one, as an index."""
    terms = tree.parts if tree.kind == "sum" else (tree,)
    letter, offset = "", 0
    for term in terms:
        sign = -1 if term.kind == "negative" else 1
        inner = term.parts[0] if term.kind == "negative" else term
        if inner.kind == "number" and inner.data[0] == int(inner.data[0]):
            offset += sign * int(inner.data[0])
        elif inner.kind == "name" and not inner.parts and not letter and sign > 0:
            letter = inner.data[0].base
        else:
            return None
    return Index(letter, offset)


def _shift(own: Node, used: Node, indices: dict[str, Index]) -> None:
    """An argument whose index moves, as in a recursion, moves all others with it."""
    if own.kind == "name" == used.kind:
        for i, j in zip(own.data[0].index, used.data[0].index, strict=False):
            if isinstance(i, Index) and isinstance(j, Index) and i.letter and i.letter == j.letter and i != j:
                indices.setdefault(i.letter, Index(j.letter, j.offset - i.offset))


def _bind(own: Node, used: Node, names: dict[Name, Name], letters: dict[str, Name]) -> None:
    """One argument of a definition and of its use."""
    if own.kind == "density" and used.kind == "density":
        letters[law_key(own.data[0])] = used.data[0]
        names.update(zip(own.data[1], used.data[1], strict=False))
    elif own.kind == "name" and used.kind == "name" and not used.parts:
        names[own.data[0]] = used.data[0]
