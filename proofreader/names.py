r"""What the names of a display are: variables, their indices and families, parameters, densities and sizes.

Differently decorated names are different objects. A family such as :math:`z_1, \dots, z_K` consists of **parts**
(variables
of their own) where some density takes two of its members at once, and of **copies** (further values of one variable, or
independent draws) otherwise. A parameter with another decoration is another value of the same parameter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from proofreader.errors import DerivationSyntaxError
from proofreader.sequences import lengths_of, slots_among
from proofreader.syntax import Index, Name, Node, Others, Part, Span

__all__ = ["Names", "drawn_in", "law_key", "may_be_bound", "names_in", "variant_key"]


def law_key(letter: Name) -> str:
    """What tells the letter of one density from that of another."""
    return letter.base + letter.mark + (f"_{{{','.join(map(str, letter.index))}}}" if letter.index else "")


def drawn_in(average: Node) -> tuple[Name, ...]:
    """What an average under one density is taken over."""
    names: tuple[Name, ...] = average.parts[0].data[1]
    return names or tuple(name for drawn in average.data[0] for name in drawn)


def variant_key(key: str, parameters: Iterable[Name]) -> str:
    """The letter of a density at a decorated value of a parameter, which a definition may give by itself."""
    decorated = [str(p) for p in parameters if p.mark or p.index]
    return f"{key};{','.join(decorated)}" if decorated else key


def names_in(node: Node) -> Iterator[Name]:
    """All variables and scalars in a tree, and the parameters of densities and functions."""
    for found in node.walk():
        if found.kind == "density":
            for names in found.data[1:4]:
                yield from names
        elif found.kind == "name":
            yield found.data[0]
            yield from found.data[1]
        elif found.kind == "information":
            for names in found.data[1:]:
                yield from names
        elif found.kind in ("expect", "variance", "covariance"):
            yield from (name for names in found.data[0] for name in names)
        elif found.kind in ("integral", "gradient", "max", "min", "argmax", "argmin"):
            yield from found.data[0]
        elif found.kind == "named":
            yield from found.data[1]
        elif found.kind == "indicator":
            yield from found.data


# Letters that usually stand for the evidence lower bound or, as a loss or a free energy, for its negative.
BOUNDS = frozenset(["cal:L", "cal:F", "cal:J", "cal:B", "L", "F", "J", "@VLB", "@VFE", "@LB"])


# Decorations of such a letter with which it may still be the bound; those of its parts and of other losses are none.
_DECORATIONS = re.compile(r"_\{[^{}]*(?:LB|lb|VA|va|VI|vi|VB|vb|VFE|var|low|q|\\[a-z]+)[^{}]*\}")


def may_be_bound(key: str) -> bool:
    """Whether a letter with its decoration may stand for the bound."""
    letter, mark, rest = key.partition("_{")
    return key in BOUNDS or (letter in ("cal:L", "cal:F", "L") and _DECORATIONS.fullmatch(mark + rest) is not None)


def is_bound(node: Node) -> bool:
    """Whether a name usually stands for the evidence lower bound or its negative."""
    return node.kind == "name" and node.data[0].base in BOUNDS


@dataclass(slots=True)
class Signature:
    """One way in which a density occurs: its variables, what it is given, and its parameters."""

    left: tuple[Name, ...]
    right: tuple[Name, ...]
    parameters: tuple[Name, ...]


@dataclass(slots=True)
class Names:
    """The names of a display, collected from its trees."""

    trees: list[Node]
    parts: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    lefts: set[str] = field(default_factory=set)
    laws: dict[str, list[Signature]] = field(default_factory=dict)
    letters: dict[str, Name] = field(default_factory=dict)
    parameters: dict[str, list[str]] = field(default_factory=dict)
    bounds: dict[str, list[tuple[Index | None, Index | None]]] = field(default_factory=dict)
    families: dict[str, set[str]] = field(default_factory=dict)
    size_letters: set[str] = field(default_factory=set)
    free_letters: list[str] = field(default_factory=list)
    positive: set[str] = field(default_factory=set)
    scales: set[str] = field(default_factory=set)
    summed: set[str] = field(default_factory=set)
    gradients: set[str] = field(default_factory=set)
    extremised: set[str] = field(default_factory=set)
    measures: list[Node] = field(default_factory=list)
    joined: set[str] = field(default_factory=set)
    weights: list[Node] = field(default_factory=list)
    calls: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    subscripts: set[str] = field(default_factory=set)
    implicit: set[str] = field(default_factory=set)
    lengths: dict[str, int] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    values: dict[str, set[int]] = field(default_factory=dict)
    closed: dict[str, tuple[int, ...]] = field(default_factory=dict)
    declared: dict[Name, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tree in self.trees:
            for node in tree.walk():
                self.note(node)
                for name in names_in(replace(node, parts=())):
                    if name.value is not None:
                        self.values.setdefault(name.base, set()).add(name.value)
                if node.kind == "name" and node.parts and all(p.kind == "name" and not p.parts for p in node.parts):
                    self.calls.setdefault(law_key(node.data[0]), node.parts)
            if tree.kind == "drawn":
                self.variables |= {name.base for name in tree.data}
                self.declared.update(dict.fromkeys(tree.data, tree.parts[0]))
            if tree.kind == "values":
                self.closed[tree.data[0].base] = tree.data[1]
                self.values.setdefault(tree.data[0].base, set()).update(tree.data[1])
            self.note_positive(tree, False)
        self.settle()
        self.averaged()
        self.moved()
        self.lengths = lengths_of(self.trees, self.bounds)
        for signatures in self.laws.values():
            slots_among(signatures, self.slots)

    def note(self, node: Node) -> None:
        """Takes what one node says about names."""
        if node.kind == "density":
            self.note_density(node)
        elif node.kind in ("series", "product"):
            letter = node.data[0]
            self.bounds.setdefault(letter, []).append((node.data[1], node.data[2]))
            indexed = {n.base for n in names_in(node.parts[0]) if Index(letter) in n.index}
            self.families.setdefault(letter, set()).update(indexed)
        elif node.kind == "integral":
            self.variables |= {name.base for name in node.data[0]}
            factors = node.parts[0].parts if node.parts[0].kind == "times" else node.parts[:1]
            self.weights += [
                f for f in factors if f.kind == "density" and f.data[1] and set(f.data[1]) <= set(node.data[0])
            ]
            if node.data[1]:
                self.summed |= {name.base for name in node.data[0]}
        elif node.kind == "gradient":
            self.gradients |= {name.base for name in node.data[0]}
        elif node.kind in ("max", "min", "argmax", "argmin"):
            self.extremised |= {name.base for name in node.data[0]}
        elif node.kind in ("expect", "variance", "covariance"):
            self.measures += [
                part for part in node.parts[: -2 if node.kind == "covariance" else -1] if part.kind == "density"
            ]
            self.variables |= {name.base for names in node.data[0] for name in names}
        elif node.kind in ("kl", "chi2", "renyi", "tv", "js") and node.parts[0].kind == "density":
            self.measures.append(node.parts[0])
            self.note_divergence(*node.parts[:2])
        elif node.kind == "at":
            self.variables.add(node.data[0].base)
        elif node.kind == "named":
            self.variables |= {name.base for name in node.data[1]}
            of_scale = node.parts[1:] if node.data[0] == "normal" else node.parts
            self.scales |= {name.base for name in node.data[1] if node.data[0] != "normal"}
            self.scales |= {name.base for part in of_scale for name in names_in(part)}
        elif node.kind == "information":
            names = [n for part in node.data[1:] for n in part]
            self.variables |= {name.base for name in names}
            self.lefts |= {name.base for name in names}
            self.together(names)

    def note_divergence(self, first: Node, second: Node) -> None:
        """A letter alone in front of a double bar is a density of what stands in front of the bar behind it."""
        if not first.data[1] and second.kind == "density" and second.data[1]:
            self.laws.setdefault(law_key(first.data[0]), []).append(Signature(second.data[1], (), first.data[3]))

    def note_density(self, node: Node) -> None:
        """Takes what a density says about names."""
        letter, left, right, parameters = node.data
        key = law_key(letter)
        self.letters[key] = letter
        found = self.laws.setdefault(key, [])
        if left and any(name.base for name in left):
            found.append(Signature(_anywhere(left), _anywhere(right), parameters))
        self.variables |= {name.base for name in (*left, *right) if name.base}
        self.lefts |= {name.base for name in left if name.base}
        known = self.parameters.setdefault(key, [])
        known += [p.base for p in parameters if p.base not in known]
        self.together((*left, *right))
        self.joined |= {name.base for name in left if len(left) > 1}

    def together(self, names: Iterable[Name]) -> None:
        """Families of which one density takes several members at once."""
        members: dict[str, set[Name]] = {}
        for name in names:
            members.setdefault(name.base, set()).add(name)
            if any(isinstance(part, Span | Others) for part in name.index):
                self.parts.add(name.base)
        self.parts |= {base for base, found in members.items() if len(found) > 1}

    def note_positive(self, node: Node, positive: bool) -> None:
        """Functions and numbers of which a logarithm or a root is taken must be positive."""
        if node.kind == "name" and positive:
            self.positive.add(node.data[0].base)
        below = node.kind == "log" or (
            positive and node.kind in ("sum", "times", "quotient", "series", "product", "integral", "expect", "name")
        )
        if node.kind == "power":
            times = node.parts[1].data[0] if node.parts[1].kind == "number" else 0.5
            below = times != int(times) or (positive and times % 2 == 1)
        if node.kind == "sum" and any(part.kind == "number" and part.data[0] > 0 for part in node.parts):
            below = False  # 1 + x may be positive where x is not
        for part in node.parts:
            self.note_positive(part, below)

    def settle(self) -> None:
        """Tells sizes from free indices."""
        letters: Counter[str] = Counter()
        bound = set(self.bounds)
        self.subscripts = {p.letter for t in self.trees for n in names_in(t) for p in n.index if isinstance(p, Index)}
        for tree in self.trees:
            for name in names_in(tree):
                for part in name.index:
                    letters.update(_letters(part))
                    if isinstance(part, Span) and part.last.letter:
                        self.size_letters.add(part.last.letter)
            for node in tree.walk():
                if node.kind == "density":
                    for part in node.data[0].index:
                        letters.update(_letters(part))
        ends = [pair for pairs in self.bounds.values() for pair in pairs]
        self.size_letters |= {index.letter for pair in ends for index in pair if index is not None and index.letter}
        open_ended = {
            letter.upper() for letter, pairs in self.bounds.items() for pair in pairs if pair[0] and not pair[1]
        }
        self.size_letters |= open_ended & set(letters)
        self.size_letters -= bound
        spans_from = {p.first.letter for t in self.trees for n in names_in(t) for p in n.index if isinstance(p, Span)}
        self.size_letters -= {
            letter for letter in self.size_letters if letter.islower() and letter in letters and letter in spans_from
        }
        self.free_letters = sorted(
            letter for letter in letters if letter and letter not in bound and letter not in self.size_letters
        )
        defined = {first.letter for first, _ in ends if first is not None and first.letter}
        self.free_letters += sorted(letter for letter in defined - set(self.free_letters) - self.size_letters - bound)

    def moved(self) -> None:
        """A parameter of which a gradient is taken, and that nothing names otherwise, is one of every density."""
        nodes = (node for tree in self.trees for node in tree.walk() if node.kind != "gradient")
        bounds = [n for tree in self.trees for node in tree.walk() if is_bound(node) for n in node.walk()]
        mentioned = {n.base for node in nodes if node not in bounds for n in names_in(replace(node, parts=()))}
        self.implicit = self.gradients - mentioned
        for known in self.parameters.values():
            known += sorted(self.implicit) if not known else []

    def averaged(self) -> None:
        """What an expectation without a law averages is a variable, although no density speaks of it."""
        for tree in self.trees:
            for node in tree.walk():
                bodies = node.parts[-2:] if node.kind == "covariance" else node.parts[-1:]
                laws = node.parts[: -len(bodies)]
                alone = all(law.kind == "density" and not any(n.base for n in law.data[1]) for law in laws)
                given = {n.base for law in laws if law.kind == "density" for n in law.data[2]}
                if node.kind in ("expect", "variance", "covariance") and alone and not any(node.data[0]):
                    inside = {
                        n.data[0].base for body in bodies for n in body.walk() if n.kind == "name" and not n.parts
                    }
                    inside -= {letter.base for letter in self.letters.values()} | {"p", "q"} | given
                    capitals = {base for base in inside if base.isupper()}
                    inside = capitals or inside
                    if not inside & self.variables and not any(
                        n.kind == "density" for body in bodies for n in body.walk()
                    ):
                        self.variables |= {
                            base
                            for base in inside
                            if base not in self.size_letters and not base.startswith(("@", "cal:"))
                        }

    def about(self, key: str) -> set[str]:
        """The variables of which a letter is a density."""
        return {name.base for signature in self.laws.get(key, []) for name in signature.left}

    def all_of(self, key: str) -> set[str]:
        """The variables of a letter on both sides of its bars."""
        return {name.base for s in self.laws.get(key, []) for name in (*s.left, *s.right)}

    def models(self, key: str, other: str) -> bool:
        """Whether a letter is that of a model of which another one is a q: it is about more, or it is the usual
        letter."""
        mine, theirs = self.about(key), self.about(other)
        if mine != theirs:
            return theirs < mine
        if (key[:1] in ("p", "P")) != (other[:1] in ("p", "P")):
            return key[:1] in ("p", "P")
        joint, theirs_joint = (max((len(s.left) for s in self.laws.get(k, [])), default=0) for k in (key, other))
        return joint > theirs_joint

    def model(self) -> str:
        """The letter of the model: p where it occurs, else the letter of the density about most."""
        if "p" in self.laws or not self.laws:
            return "p"
        return max(self.laws, key=lambda key: (len(self.about(key)), key))

    def values_of(self, base: str) -> list[int]:
        """The values that events name, each in its place; of a variable that takes 0 or 1 both."""
        found = self.values.get(base, set())
        return [0, 1] if found <= {0, 1} and base not in self.closed else sorted(found)

    def is_variable(self, base: str) -> bool:
        """Whether a letter is a random variable somewhere."""
        return base in self.variables

    def default_size(self, letter: str) -> str:
        """The size up to which an index without bounds runs: its own elsewhere, or that of another of its family."""
        mine = self.families.get(letter, set())
        for other in (letter, *(key for key, family in self.families.items() if family & mine)):
            for _, last in self.bounds.get(other, []):
                if last is not None and last.letter:
                    return last.letter
        return letter.upper()


def _anywhere(names: tuple[Name, ...]) -> tuple[Name, ...]:
    """The variables of events."""
    return tuple(replace(name, mark="") if name.value is not None else name for name in names)


def _letters(part: Part) -> list[str]:
    if isinstance(part, Index):
        return [part.letter]
    if isinstance(part, Span):
        return [part.first.letter, part.last.letter]
    return [part.index.letter]


def index_value(part: Index, indices: Mapping[str, int]) -> int:
    """The number of an index.

    Raises:
        DerivationSyntaxError: If its letter has no value.
    """
    if not part.letter:
        return part.offset
    if part.letter not in indices:
        raise DerivationSyntaxError(f"the index {part.letter} has no value")
    return indices[part.letter] + part.offset
