"""What a line is: a claim, or something that states nothing that could be false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from proofreader.names import BOUNDS, Names, drawn_in, law_key, names_in, variant_key
from proofreader.renaming import renamed
from proofreader.steps import defined_key
from proofreader.symbols import GREEK
from proofreader.syntax import Index, Name, Node, Others

__all__ = ["defines", "is_condition", "is_stationarity", "kind_of_relation", "letters_of", "simplex_of", "unsigned"]

_STATES_NOTHING = {
    "~": "a declaration of how a variable is drawn",
    ":=": "a definition",
    "=:": "a definition",
    "<-": "an update",
    "->": "a map or a limit, not a relation between two values",
    "in": "a declaration of where a value lies",
}


def kind_of_relation(relation: str) -> str:
    """Why a relation claims nothing, whatever stands beside it; empty for one that may."""
    return _STATES_NOTHING.get(relation, "")


def letters_of(node: Node) -> set[str]:
    """The letters of the densities in a tree, without their index; the other factors of a q are not its own."""
    letters = [n.data[0] for n in node.walk() if n.kind == "density"]
    return {n.base + n.mark for n in letters if not any(isinstance(part, Others) for part in n.index)}


def defines(pattern: Node, body: Node, known: Collection[str], *, first: bool) -> str:
    """Why an equation with this side alone is a definition or a choice; empty if it is a claim.

    Args:
        pattern: The side that may be a name.
        body: The other side.
        known: The names that are defined already.
        first: Whether the pattern is the first side of its chain.
    """
    inner = pattern
    while inner.kind in ("max", "min"):
        inner = inner.parts[0]
    if pattern.kind == "name" or (inner.kind == "name" and inner.parts and inner.data[0].base not in BOUNDS):
        return _defines_name(inner, body, known)
    if (
        pattern.kind == "log"
        and first
        and pattern.parts[0].kind == "density"
        and (pattern.parts[0].data[0].mark or has_any([body], {"constant"}))
    ):
        pattern = pattern.parts[0]
    if pattern.kind == "log" and pattern.parts[0].kind == "density" and not letters_of(body):
        values = {n.data[0] for n in body.walk() if n.kind == "name" and not n.parts}
        if {n.base for n in names_in(pattern)} & {n.base for n in values}:
            return f"a choice of the form of {law_key(pattern.parts[0].data[0])}"
    if pattern.kind == "density" and body.kind in ("argmax", "argmin"):
        return f"a choice of {law_key(pattern.data[0])}"
    if pattern.kind == "density" and body.kind in ("product", "times") and body.parts[0].kind == "density":
        letter, left, right, _ = body.parts[0].data
        mine = {n.base.lower() for n in (*pattern.data[1], *pattern.data[2], *left)}
        bases = {n.base.lower() for n in right}
        product = body.kind == "product" or bases <= GREEK
        if letter.base == pattern.data[0].base and right and product and not mine & bases:
            return f"a choice of the form of {law_key(pattern.data[0])}"
    if pattern.kind == "density" and variant_key(law_key(pattern.data[0]), pattern.data[3]) in known:
        return ""
    if (
        pattern.kind == "density"
        and first
        and pattern.data[1]
        and pattern.data[0].base + pattern.data[0].mark not in letters_of(body)
    ):
        letter = law_key(pattern.data[0])
        if has_any([body], {"expect", "integral"}) and any(n.kind == "name" and n.parts for n in body.walk()):
            return ""
        return (
            f"a choice or definition of {letter}"
            if has_any([body], {"density", "name", "named", "argmax", "argmin"})
            else ""
        )
    return ""


def unsigned(pattern: Node, body: Node) -> tuple[Node, Node]:
    """``-L = body`` as ``L = -body``, and ``\\log Z = body`` as ``Z = \\exp(body)``."""
    if pattern.kind == "log" and pattern.parts[0].kind == "name" and pattern.parts[0].data[0].base.isupper():
        return pattern.parts[0], Node("exp", (body,))
    if pattern.kind == "negative" and pattern.parts[0].kind == "name":
        return pattern.parts[0], Node("negative", (body,))
    if pattern.kind == "power" and pattern.parts[0].kind == "name" and pattern.parts[1].kind == "number":
        return pattern.parts[0], Node("power", (body, Node("quotient", (Node("number", (), (1.0,)), pattern.parts[1]))))
    return pattern, body


def _defines_name(pattern: Node, body: Node, known: Collection[str]) -> str:
    name = pattern.data[0]
    used: set[Name] = set(names_in(body))
    if name in used or name.base + name.mark in known:
        return ""
    if pattern.parts and any(n.base == name.base and n.mark == name.mark for n in used):
        return ""
    if body.kind == "name" and not body.parts and not pattern.parts:
        return ""
    return f"a definition of {name}"


def is_condition(relation: str, left: Node, right: Node) -> str:
    """Why a comparison is a condition on a density or a number, as ``q(x) > 0`` is; empty if it is a claim."""
    simple = {"density", "name", "number"}
    if (
        relation in (">", "<", ">=", "<=", "!=")
        and left.kind in simple
        and right.kind in simple
        and "number" in (left.kind, right.kind)
    ):
        return "a condition, not a claim"
    moment = left.kind in ("expect", "variance") and left.parts[-1].kind == "name" and not left.parts[-1].parts
    if relation == "=" and moment and right.kind == "number":
        return "a condition on a moment, not a claim"
    if relation == "=" and _is_probability(left) and (_is_probability(right) or not any(names_in(right))):
        return "a choice of the probabilities of events, not a claim"
    if relation == "=" and _renames(left, right):
        return "another name of a density, as in a change of variables"
    if relation == "=" and simplex_of(left, right):
        return "a constraint, not a claim"
    return ""


def _is_probability(tree: Node) -> bool:
    """Whether a side is the probability of one event such as ``z = 1``, given nothing."""
    names = tree.data[1] if tree.kind == "density" and not tree.data[2] else ()
    return bool(names) and all(n.value is not None for n in names)


def _renames(left: Node, right: Node) -> bool:
    """Whether both sides are densities by different letters, of variables that have nothing in common."""
    one, other = (tree.parts[0] if tree.kind == "log" else tree for tree in (left, right))
    if one.kind != "density" or other.kind != "density" or one.data[2] or other.data[2]:
        return False
    bases = [{name.base for name in tree.data[1]} for tree in (one, other)]
    return one.data[0] != other.data[0] and all(bases) and not bases[0] & bases[1]


def simplex_of(left: Node, right: Node) -> str:
    """The name in a constraint such as that some weights sum to one; empty for anything else."""
    if (
        right.kind == "number"
        and right.data[0] == 1
        and left.kind == "series"
        and left.parts[0].kind == "name"
        and not left.parts[0].parts
    ):
        name: Name = left.parts[0].data[0]
        return name.base
    return ""


def introduces(tree: Node, known: Collection[str] = ()) -> bool:
    """Whether a side consists of functions that it names, as in ``Q(a, b) + H(a, b)``, or is the gradient of one; of
    those that are defined already it does not."""
    terms = tree.parts if tree.kind == "sum" else (tree,)
    inner = [term.parts[0] if term.kind in ("negative", "gradient") else term for term in terms]
    named = [term for term in inner if term.kind == "name" and term.parts]
    new = [term for term in named if defined_key(term.data[0]) not in known]
    return bool(new) and all(term in named or term.kind == "constant" for term in inner)


def is_stationarity(left: Node, right: Node) -> bool:
    """Whether an equation sets a derivative to zero."""
    for one, other in ((left, right), (right, left)):
        inner = one.parts[0] if one.kind == "negative" else one
        if other.kind == "number" and other.data[0] == 0 and inner.kind == "gradient":
            return True
    return False


def chooses_form(tree: Node) -> bool:
    """Whether a distribution by name occurs that nothing is averaged under."""
    parts = tree.parts[-1:] if tree.kind == "expect" else tree.parts
    return tree.kind == "named" or any(map(chooses_form, parts))


def is_convention(left: Node, right: Node) -> bool:
    """Whether a logarithm of zero, or a quotient with one, is given a value."""
    zero = Node("number", (), (0.0,))
    return any(
        (node.kind in ("log", "quotient") and zero in node.parts)
        or (node.kind == "log" and node.parts[0].kind == "quotient" and zero in node.parts[0].parts)
        for tree in (left, right)
        for node in tree.walk()
    )


def is_total_mass(left: Node, right: Node) -> bool:
    """Whether a capital may be the set of all values, whose mass is one."""
    for one, other in ((left, right), (right, left)):
        inner = one.parts[0] if one.kind == "negative" else one
        mass, inner = (0.0, inner.parts[0]) if inner.kind == "log" else (1.0, inner)
        whole = inner.kind == "density" and len(inner.data[1]) == 1 and not inner.data[2]
        if whole and inner.data[1][0].base.isupper() and other == Node("number", (), (mass,)):
            return True
    return False


def in_exponents(tree: Node) -> bool:
    """Whether every constant of a side stands in an exponent, where it is a factor."""
    inside = [part for node in tree.walk() if node.kind == "exp" for part in node.walk()]
    return all(node in inside for node in tree.walk() if node.kind == "constant")


def has_any(trees: Sequence[Node], kinds: set[str]) -> bool:
    """Whether a node of some kinds occurs."""
    return any(node.kind in kinds for tree in trees for node in tree.walk())


def is_functional_equation(left: Node, right: Node, known: Collection[str] = ()) -> bool:
    """Whether two sides without a density ask something of a function that is not known, as ``g(1/u) = u g(u)``."""
    calls = [
        {n.data[0].base for n in tree.walk() if n.kind == "name" and n.parts and defined_key(n.data[0]) not in known}
        for tree in (left, right)
    ]
    inner = any(
        n.kind == "name" and any(p.kind != "name" for p in n.parts) for tree in (left, right) for n in tree.walk()
    )
    laws = has_any([left, right], {"density", "expect", "integral", "gradient"})
    return bool(calls[0] & calls[1]) and inner and not laws


def unsaid(left: Node, right: Node, undefined: Mapping[str, str], defined: Collection[str]) -> tuple[str, ...]:
    """What a line is about and nobody defines: a letter whose gradient is taken, or bounds of several decorations."""
    nodes = [n for tree in (left, right) for n in tree.walk()]
    taken = [n.parts[0].data[0] for n in nodes if n.kind == "gradient" and n.parts[0].kind == "name"]
    plain = [n for n in taken if not any(node.parts for node in nodes if node.kind == "name" and node.data[0] == n)]
    found = [undefined[n.base + n.mark] for n in plain if n.base.startswith("cal:") and n.base + n.mark in undefined]
    bounds = {n.data for n in nodes if n.kind == "name" and n.data[0].base == "@ELBO"}
    if len(bounds) > 1 and not {name.base + name.mark for name, _ in bounds} & set(defined):
        found.append("one of the ELBOs")
    return tuple(dict.fromkeys(found))


def is_energy(body: Node) -> bool:
    r"""Whether a density is given by a function, as in ``\exp(-E(x)) / Z``."""
    above = body.parts[0]
    named = any(n.kind == "name" and n.parts for n in above.walk())
    return above.kind == "exp" and named and not has_any([body], {"density", "expect", "named"})


def at_other_values(left: Node, right: Node) -> dict[Name, None]:
    """Functions that are called in several ways, and what is taken at other values on the one side than on the other,
    as in a recursion."""
    calls = {(n.data[0], len(n.parts)) for tree in (left, right) for n in tree.walk() if n.kind == "name" and n.parts}
    several = [name for name, count in Counter(name for name, _ in calls).items() if count > 1]
    ours, theirs = (
        {(n.data[0], n.parts) for n in tree.walk() if n.kind == "name" and n.parts} for tree in (left, right)
    )
    recurs = (left.kind == "name") != (right.kind == "name")
    several += [a for a, own in ours for b, other in theirs if recurs and a == b and own != other and alike(own, other)]
    mine, yours = ({n.data[0] for n in tree.walk() if n.kind == "name" and not n.parts} for tree in (left, right))
    if not has_any([left, right], {"density", "expect", "series", "product", "kl"}):
        several += [a for a in mine - yours for b in yours - mine if _shifted(a, b)]
    return dict.fromkeys(several)


def _shifted(first: Name, second: Name) -> bool:
    """Whether two names are members of one family at different distances from one index."""
    places = [name.index[0] for name in (first, second) if len(name.index) == 1]
    indices = [place for place in places if isinstance(place, Index) and place.letter]
    same = (first.base, first.mark) == (second.base, second.mark) and len(indices) == 2
    return same and indices[0].letter == indices[1].letter and indices[0] != indices[1]


def alike(first: Sequence[Node], second: Sequence[Node]) -> bool:
    """Whether the arguments of two calls are names that differ in nothing but their indices, as in a recursion."""
    names = [[p.data[0].base for p in parts if p.kind == "name" and not p.parts] for parts in (first, second)]
    return names[0] == names[1] and len(names[0]) == len(first) == len(second)


def is_condition_on_q(left: Node, right: Node) -> bool:
    """Whether a line says that the divergence of a q from something is zero."""
    inner = left.parts[0] if left.kind == "negative" else left
    letters = [part.data[0] for part in inner.parts if part.kind == "density"]
    zero = right.kind == "number" and right.data[0] == 0
    return zero and inner.kind == "kl" and len(letters) == 2 and letters[0].base != letters[1].base


def as_average(node: Node) -> list[Node]:
    """An integral of a density times something as the average that it is."""
    body = node.parts[0]
    laws = [part for part in body.parts if part.kind == "density"] if body.kind == "times" else []
    rest = tuple(part for part in body.parts if part not in laws)
    return [Node("expect", (laws[0], Node("times", rest)), (((),),))] if len(laws) == 1 and rest else []


def form_asked(left: Node, right: Node) -> str:
    """The letter of a density, or of its logarithm or score, that an equation gives as a formula; else empty."""
    for one, other in ((left, right), (right, left)):
        averages = [n for n in one.walk() if n.kind in ("expect", "variance") and n.parts[0].kind == "density"]
        averages += [average for n in one.walk() if n.kind == "integral" for average in as_average(n)]
        while one.kind in ("gradient", "log", "negative"):
            one = one.parts[0]
        formula = not has_any([other], {"density", "expect", "integral", "kl"}) and has_any([other], {"name"})
        factors = one.parts if one.kind == "times" else (one,)
        if all(factor.kind == "density" and factor.data[1] for factor in factors) and formula:
            return str(factors[0].data[0])
        moments = [n for n in averages if {x.data[0] for x in n.parts[-1].walk() if x.kind == "name"} & {*drawn_in(n)}]
        calls = any(n.kind == "name" and n.parts for tree in (left, right) for n in tree.walk())
        if moments and formula and not calls and not has_any([other], {"expect", "variance", "entropy"}):
            return str(moments[0].parts[0].data[0])
    return ""


def grows(left: Node, right: Node, relation: str) -> bool:
    """Whether an inequality puts the member of a family that has more draws above one that has fewer."""
    names = [tree.data[0] for tree in (left, right) if tree.kind == "name" and len(tree.data[0].index) == 1]
    if len(names) < 2 or not all(isinstance(name.index[0], Index) for name in names):
        return False
    (first,), (second,) = (name.index for name in names)
    more = first.offset - second.offset if first.letter == second.letter else 0
    return (relation == ">=" and more > 0) or (relation == "<=" and more < 0)


def constant_on_average(left: Node, right: Node) -> str:
    r"""What an inequality assumes where it averages a capital that nothing is said of, as in ``E_{z \sim q}[X]``."""
    for node in (n for tree in (left, right) for n in tree.walk() if n.kind == "expect"):
        drawn = {n for law in node.parts[:-1] for n in names_in(law)} | {n for names in node.data[0] for n in names}
        body = node.parts[-1]
        inside = {n.data[0] for n in body.walk() if n.kind == "name" and not n.parts}
        capitals = all(len(n.base) == 1 and n.base.isupper() and not n.index for n in inside)
        if drawn and inside - drawn == inside and capitals and inside and not has_any([body], {"density", "series"}):
            free, over = (", ".join(sorted(map(str, names))) for names in (inside, drawn))
            return f"{free} does not depend on {over}"
    return ""


def compared_values(left: Node, right: Node, relation: str) -> str:
    """The letter of a parameter if an inequality compares the same thing at two values of it; else empty."""
    ours, theirs = dict.fromkeys(names_in(left)), dict.fromkeys(names_in(right))
    only, others = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
    one_each = len(only) == 1 and len(others) == 1 and only[0].base == others[0].base
    if relation not in (">=", "<=", ">", "<") or not one_each or renamed(left, {only[0]: others[0]}) != right:
        return ""
    return only[0].base


def unindexed(left: Node, right: Node, known: Names) -> str:
    """Why a sum such as ``\\sum_i q \\log q / p`` says nothing for sure: what depends on its index is left out."""
    laws = {"p", "q", *(letter.base for letter in known.letters.values())}
    for node in (n for tree in (left, right) for n in tree.walk() if n.kind in ("series", "integral")):
        summed = node.kind == "integral" and node.data[1] and len(node.data[0]) == 1
        letter, first, last, _ = (node.data[0][0].base, None, None, None) if summed else (*node.data, 0, 0)[:4]
        used = {part.letter for n in names_in(node.parts[0]) for part in n.index if isinstance(part, Index)}
        used |= {n.base for n in names_in(node.parts[0])}
        numbers = any(n.kind == "name" and n.data[0].base not in laws for n in node.parts[0].walk())
        if (
            first is None
            and last is None
            and letter not in used
            and (numbers if summed else letter not in known.variables)
        ):
            return f"nothing in the sum over {letter} has the index {letter}: write it where it belongs"
    return ""


def at_several_values(trees: Iterable[Node], key: str) -> bool:
    """Whether a name occurs at several values of the same arguments, as in ``L(a)`` and ``L(a')``."""
    calls = {n.parts for tree in trees for n in tree.walk() if n.kind == "name" and defined_key(n.data[0]) == key}
    bases = {tuple(n.base for part in parts for n in names_in(part)) for parts in calls if parts}
    return len(bases) < len({parts for parts in calls if parts})


def with_named_constants(tree: Node) -> Node:
    """A side in which a constant that is no term of it, nor of an exponent, is a number with a name."""

    def change(node: Node, *, free: bool) -> Node:
        if node.kind == "constant":
            return node if free else Node("name", (), (Name(node.data[0]), ()))
        inside = node.kind == "exp" or (free and node.kind in ("sum", "negative"))
        return replace(node, parts=tuple(change(part, free=inside) for part in node.parts))

    return change(tree, free=True)
