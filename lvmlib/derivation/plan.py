r"""From syntax trees to a plan: what to compute, with every index replaced by a number.

The **context** knows what the names of a whole display mean: which letters are densities and in which forms they
appear, which names are defined, which greek letters are parameters, which variables are copies of one another.
The **plan** is a list of operations without repetition; each side of the display is a place in that list.

Two readings of an index are told apart here. Where some density takes two members of a family at once, as
``p(x, z_1, z_2)`` does, they are **components**, variables of their own. Otherwise they are **copies**: ``z_k``
is another value of ``z``, and ``p(x \mid z_k)`` is the same function as ``p(x \mid z)``, taken there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lvmlib.derivation.grammar import PARAMETERS
from lvmlib.derivation.reader import DerivationSyntaxError
from lvmlib.derivation.syntax import (
    Call,
    Density,
    Divergence,
    Entropy,
    Expectation,
    Exponential,
    Expression,
    Extremum,
    FreeConstant,
    Gradient,
    Index,
    IndexedSum,
    Information,
    Integral,
    Logarithm,
    Measure,
    Negative,
    Number,
    Power,
    Product,
    Quotient,
    Span,
    Sum,
    Variable,
    Variance,
    in_text,
)

__all__ = ["OBSERVED", "Context", "Environment", "Operation", "Plan"]

OBSERVED = frozenset(["x", "y", "X", "Y", "D", "o"])
_MAX_TERMS = 24
_MAX_OPERATIONS = 20_000
_MAX_INLINED = 12


class Operation(NamedTuple):
    """One step: its kind, the steps it uses, its data, and the variables its value depends on."""

    kind: str
    arguments: tuple[int, ...]
    data: tuple[object, ...]
    free: frozenset[str]


@dataclass(frozen=True, slots=True)
class Environment:
    """What indices, renamed variables and renamed letters stand for at one place of the tree."""

    indices: Mapping[str, int]
    renamed: Mapping[str, str] = field(default_factory=dict)
    letters: Mapping[str, str] = field(default_factory=dict)
    inlined: int = 0


Signature = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class Context:
    """What names mean in one display.

    Args:
        trees: All sides and definitions.
        definitions: For a name, its pattern and what it stands for.
        densities: Definitions of densities.
        samples: For a family of variables, the density that it is declared to be drawn from.
        ranges: For a scalar, the open interval that it lies in.
    """

    trees: list[Expression]
    definitions: dict[str, tuple[Call, Expression]] = field(default_factory=dict)
    densities: list[tuple[Density, Expression]] = field(default_factory=list)
    samples: dict[str, Density] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    components: set[str] = field(default_factory=set)
    families: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)
    letter_parameters: dict[str, set[str]] = field(default_factory=dict)
    signatures: dict[str, Counter[Signature]] = field(default_factory=dict)
    split_letters: set[str] = field(default_factory=set)
    bound_indices: set[str] = field(default_factory=set)
    sizes: set[str] = field(default_factory=set)
    extremised: set[str] = field(default_factory=set)
    positive: set[str] = field(default_factory=set)
    exempt: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        everything = [node for tree in self.trees for node in tree.walk()]
        atoms = [node for node in everything if isinstance(node, Density)]
        measured = self._read_atoms(everything, atoms)
        self._read_parameters(everything, atoms)
        self._read_letters(atoms)
        self._read_families(atoms, measured)
        self._read_indices(everything)
        for node in everything:
            if isinstance(node, Logarithm | Power | Quotient):
                below = node.denominator if isinstance(node, Quotient) else next(node.parts())
                self.positive.update(part.name for part in below.walk() if isinstance(part, Call))
            if isinstance(node, Extremum):
                self.extremised.update(node.over)

    def _read_atoms(self, everything: list[Expression], atoms: list[Density]) -> set[int]:
        """The densities that stand in a measure, where several members of a family are independent draws."""
        measured: set[int] = set()
        for node in everything:
            if isinstance(node, Measure):
                measured.update(id(part) for density in node.densities for part in density.walk())
        for atom in atoms:
            self.families.update(v.name for v in (*atom.left, *atom.right) if v.name)
        for node in everything:
            if isinstance(node, Measure):
                self.families.update(v.name for names in node.names for v in names if v.name)
            elif isinstance(node, Integral):
                self.families.update(v.name for v in node.variables)
            elif isinstance(node, Information):
                self.families.update(v.name for v in (*node.first, *node.second, *node.given))
        return measured

    def _read_parameters(self, everything: list[Expression], atoms: list[Density]) -> None:
        """A greek letter that only ever stands behind the bar is a parameter, not a variable."""
        bound = {v.name for atom in atoms for v in atom.left}
        for node in everything:
            if isinstance(node, Measure):
                bound.update(v.name for names in node.names for v in names)
            elif isinstance(node, Integral):
                bound.update(v.name for v in node.variables)
        behind = {v.name for atom in atoms for v in atom.right}
        self.parameters = {name for name in behind if name in PARAMETERS and name not in bound}
        self.families -= self.parameters

    def _read_letters(self, atoms: list[Density]) -> None:
        by_letter: dict[str, set[frozenset[str]]] = {}
        for atom in atoms:
            parameters = self.parameters_of(atom)
            if parameters:
                by_letter.setdefault(atom.letter, set()).add(parameters)
        for letter, groups in by_letter.items():
            if len(groups) > 1 and not any(a < b for a in groups for b in groups):
                self.split_letters.add(letter)
        for atom in atoms:
            letter = self.letter(atom)
            self.letter_parameters.setdefault(letter, set()).update(self.parameters_of(atom))
            counter = self.signatures.setdefault(letter, Counter())
            if atom.left and all(v.name for v in atom.left):
                left = tuple(v.name for v in atom.left)
                right = tuple(v.name for v in atom.right if v.name not in self.parameters)
                counter[left, right] += 1
        for letter, own in self.letter_parameters.items():
            plain: set[str] = set()
            marked: set[str] = set()
            for atom in atoms:
                if self.letter(atom) == letter and not atom.right and atom.left:
                    latents = frozenset(v.name for v in atom.left)
                    if not latents & OBSERVED:
                        (marked if self.parameters_of(atom) else plain).update(latents)
            if own and plain - marked:
                self.exempt[letter] = plain - marked

    def parameters_of(self, atom: Density) -> frozenset[str]:
        behind = {v.name + v.mark for v in atom.right if v.name in self.parameters}
        return frozenset(atom.parameters) | behind

    def letter(self, atom: Density) -> str:
        """The name of the density an atom belongs to: its letter, and its parameters where they tell two apart."""
        if atom.letter not in self.split_letters:
            return atom.letter
        parameters = self.parameters_of(atom)
        if not parameters or parameters == {"theta"}:
            return atom.letter
        return f"{atom.letter}[_{{{','.join(sorted(parameters))}}}]"

    def _read_families(self, atoms: list[Density], measured: set[int]) -> None:
        for atom in atoms:
            if id(atom) in measured:
                continue
            seen: dict[str, Variable] = {}
            for variable in (*atom.left, *atom.right):
                several = any(isinstance(index, Span) for index in variable.index)
                other = seen.setdefault(variable.name, variable)
                if (several or other != variable) and not self._is_independent(atom):
                    self.components.add(variable.name)
        self.components -= self.parameters

    def _is_independent(self, atom: Density) -> bool:
        r"""Whether a definition such as ``q(z_{1:K}) := \prod_k q(z_k)`` makes members independent copies."""
        for pattern, body in self.densities:
            if pattern == atom and isinstance(body, IndexedSum) and body.is_product and isinstance(body.body, Density):
                single = body.body
                others = [a for t in self.trees for a in t.walk() if isinstance(a, Density) and a.letter != atom.letter]
                alone = all(len({v for v in (*a.left, *a.right) if v.name == single.left[0].name}) <= 1 for a in others)
                return single.letter == pattern.letter and len(single.left) == 1 and bool(others) and alone
        return False

    def _read_indices(self, everything: list[Expression]) -> None:
        found: list[Index] = []
        for node in everything:
            if isinstance(node, IndexedSum):
                self.bound_indices.add(node.letter)
                self.sizes.update(index.letter for index in (node.lower, node.upper) if index.letter)
            variables: Iterable[Variable] = ()
            indices: Iterable[Index | Span] = ()
            if isinstance(node, Density):
                variables = (*node.left, *node.right)
            elif isinstance(node, Integral):
                variables = node.variables
            elif isinstance(node, Measure):
                variables = [v for names in node.names for v in names]
            elif isinstance(node, Call):
                variables, indices = node.variables, node.index
            for index in (*indices, *(i for v in variables for i in v.index)):
                if isinstance(index, Span):
                    self.sizes.update(i.letter for i in (index.first, index.last) if i.letter)
                else:
                    found.append(index)
        self.sizes -= self.bound_indices
        for index in found:
            if index.letter and index.letter not in self.bound_indices and index.letter.isupper():
                self.sizes.add(index.letter)

    def latents(self) -> list[str]:
        """The variables that are not observations, in the order in which densities name them."""
        ordered: dict[str, None] = {}
        for counter in self.signatures.values():
            for left, right in counter:
                ordered.update(dict.fromkeys(name for name in (*left, *right) if name not in OBSERVED))
        return [name for name in ordered if name not in self.parameters]


class Plan:
    """Operations for the sides of one display, for given sizes."""

    def __init__(self, context: Context, sizes: Mapping[str, int], free_index: int = 1) -> None:
        self.context = context
        self.sizes = dict(sizes)
        self.free_index = free_index
        self.operations: list[Operation] = []
        self.places: dict[tuple[str, tuple[int, ...], tuple[object, ...]], int] = {}
        self.roles: dict[str, str] = {}
        self.letter_roles: dict[str, dict[str, None]] = {}
        self.joints: dict[str, tuple[tuple[str, ...], tuple[str, ...], int]] = {}
        self.notes: list[str] = []
        self.bare_posterior = False
        self.has_bare = False
        for pattern, body in context.densities:
            letter = context.letter(pattern)
            mentions = [a for a in body.walk() if isinstance(a, Density) and context.letter(a) == letter]
            inside = {v.name for v in (*pattern.left, *pattern.right)}
            within = all({v.name for v in (*a.left, *a.right)} <= inside | context.parameters for a in mentions)
            if mentions and within and not context._is_independent(pattern):
                env = self.environment()
                inner = replace(env, letters={letter: f"{letter}°"})
                left, right = self.expand(pattern.left, env), self.expand(self.random(pattern.right), env)
                place = self.compile(body, inner)
                extra = self.free(place) - {*left, *right}
                if extra or self.axes_of(letter):
                    what = ", ".join(sorted(extra)) or "a parameter over which an extremum is taken"
                    raise DerivationSyntaxError(f"the definition of {in_text(pattern)} depends on {what}")
                self.joints[letter] = (left, right, place)
                self.letter_roles[letter] = dict.fromkeys(self.role(v) for v in (*left, *right))

    def environment(self) -> Environment:
        return Environment(self.sizes)

    def add(self, kind: str, arguments: tuple[int, ...] = (), data: tuple[object, ...] = (), *,
            binds: Iterable[str] = (), names: Iterable[str] = ()) -> int:  # fmt: skip
        key = (kind, arguments, data)
        place = self.places.get(key)
        if place is None:
            if len(self.operations) >= _MAX_OPERATIONS:
                raise DerivationSyntaxError("too large: fewer samples or factors would do")
            free = frozenset(names).union(*(self.operations[a].free for a in arguments)) - frozenset(binds)
            place = len(self.operations)
            self.operations.append(Operation(kind, arguments, data, free))
            self.places[key] = place
        return place

    def number(self, value: float) -> int:
        return self.add("number", (), (float(value),))

    def negate(self, a: int) -> int:
        return self.add("product", (self.number(-1.0), a))

    def product(self, *factors: int) -> int:
        return factors[0] if len(factors) == 1 else self.add("product", factors)

    def ratio(self, a: int, b: int) -> int:
        return self.add("ratio", (a, b))

    def logarithm(self, a: int) -> int:
        return self.add("log", (a,))

    def total(self, variables: Iterable[str], body: int) -> int:
        ordered = tuple(dict.fromkeys(variables))
        return self.add("total", (body,), ordered, binds=ordered) if ordered else body

    def average(self, variables: Iterable[str], weight: int, body: int) -> int:
        ordered = tuple(dict.fromkeys(variables))
        return self.add("average", (weight, body), ordered, binds=ordered)

    def free(self, place: int) -> frozenset[str]:
        return self.operations[place].free

    def random(self, variables: Iterable[Variable]) -> tuple[Variable, ...]:
        return tuple(v for v in variables if v.name not in self.context.parameters)

    def index(self, index: Index, env: Environment) -> int:
        if not index.letter:
            return index.offset
        return env.indices.get(index.letter, self.free_index) + index.offset

    def expand(self, variables: Iterable[Variable], env: Environment) -> tuple[str, ...]:
        """The names of the variables meant, with every index a number."""
        names: list[str] = []
        for variable in variables:
            choices: list[tuple[int, ...]] = [()]
            for index in variable.index:
                if isinstance(index, Span):
                    first, last = self.index(index.first, env), self.index(index.last, env)
                    if last - first >= _MAX_TERMS:
                        raise DerivationSyntaxError(f"more than {_MAX_TERMS} variables {variable}")
                    values = list(range(first, last + 1))
                else:
                    values = [self.index(index, env)]
                choices = [(*chosen, value) for chosen in choices for value in values]
            for chosen in choices:
                name = variable.name + variable.mark + ("_" + ",".join(map(str, chosen)) if chosen else "")
                role = name if variable.name in self.context.components else variable.name
                self.roles.setdefault(name, role)
                names.append(env.renamed.get(name, name))
        return tuple(names)

    def role(self, name: str) -> str:
        return self.roles.get(name, name)

    def bind(self, names: Iterable[str], env: Environment) -> Environment:
        """The environment under a binder of these variables."""
        bound = set(names)
        if not env.renamed:
            return env
        if bound & set(env.renamed.values()):
            raise DerivationSyntaxError(f"a definition binds {', '.join(sorted(bound))}, which is also its argument")
        return env

    def density(self, atom: Density, env: Environment, body_free: frozenset[str] = frozenset()) -> int:
        if not atom.left or any(not v.name for v in (*atom.left, *atom.right)):
            atom = self.resolved(atom, env, (), body_free)
        letter = self.context.letter(atom)
        left, right = self.expand(self.random(atom.left), env), self.expand(self.random(atom.right), env)
        return self.conditional(letter, left, right, env, atom)

    def conditional(
        self, letter: str, left: tuple[str, ...], right: tuple[str, ...], env: Environment, atom: Density | None = None
    ) -> int:
        letter = env.letters.get(letter, letter)
        right = tuple(dict.fromkeys(name for name in right if name not in left))
        if not left:
            return self.number(1.0)
        roles = [self.role(name) for name in (*left, *right)]
        if len(set(left)) < len(left):
            raise DerivationSyntaxError(f"{in_text(atom) if atom else letter} names a variable twice")
        if len(set(roles)) < len(roles):
            left_roles = [self.role(name) for name in left]
            if (
                len(left) > 1
                and len(set(left_roles)) == 1
                and not set(left_roles) & {self.role(name) for name in right}
            ):
                return self.product(*(self.conditional(letter, (name,), right, env, atom) for name in left))
            raise DerivationSyntaxError(f"{in_text(atom) if atom else letter} takes two copies of one variable")
        if letter not in self.joints:
            replacement = self.defined_density(letter, left, right, env)
            if replacement is None:
                replacement = self.density_from_definition(letter, left, right, env)
            if replacement is not None:
                return replacement
        elif not set(roles) <= set(self.letter_roles[letter]):
            raise DerivationSyntaxError(f"the definition of {letter} does not say how {', '.join(roles)} enters")
        known = self.letter_roles.setdefault(letter, {})
        known.update(dict.fromkeys(roles))
        parameters = self.axes_of(letter)
        data = (letter, tuple(sorted(left)), tuple(sorted(right)))
        return self.add("density", (), data, names=(*left, *right, *parameters))

    def axes_of(self, letter: str) -> tuple[str, ...]:
        """The parameters of a density over whose values some line takes an extremum."""
        own = self.context.letter_parameters.get(letter.rstrip("°"), set()) | self.default_parameters(letter)
        return tuple(sorted((own & self.context.extremised) - self.context.families))

    def default_parameters(self, letter: str) -> set[str]:
        """The parameters of a letter that is written without any: theta for p, phi for q."""
        written = set().union(*self.context.letter_parameters.values()) if self.context.letter_parameters else set()
        default = {"p": "theta", "q": "phi"}.get(letter.rstrip("°"))
        return {default} if default and default not in written else set()

    def defined_density(
        self, letter: str, left: tuple[str, ...], right: tuple[str, ...], env: Environment
    ) -> int | None:
        plain = Environment(self.sizes, inlined=env.inlined + 1)
        for pattern, body in self.context.densities:
            if self.context.letter(pattern) != letter:
                continue
            mine, given = self.expand(pattern.left, plain), self.expand(self.random(pattern.right), plain)
            same = [self.role(n) for n in mine] == [self.role(n) for n in left]
            if not same or {self.role(n) for n in given} != {self.role(n) for n in right}:
                continue
            if env.inlined > _MAX_INLINED:
                raise DerivationSyntaxError(f"the definition of {letter} goes in a circle")
            renamed = {a: b for a, b in zip(mine, left, strict=True) if a != b}
            by_role = {self.role(name): name for name in right}
            renamed.update({name: by_role[self.role(name)] for name in given if by_role[self.role(name)] != name})
            return self.compile(body, replace(plain, renamed=renamed))
        return None

    def density_from_definition(
        self, letter: str, left: tuple[str, ...], right: tuple[str, ...], env: Environment
    ) -> int | None:
        """A marginal or a conditional of a density that is defined over more variables."""
        context, plain = self.context, Environment(self.sizes)
        for pattern, body in context.densities:
            if context.letter(pattern) != letter or context._is_independent(pattern):
                continue
            if any(isinstance(a, Density) and context.letter(a) == letter for a in body.walk()):
                continue
            mine = {self.role(name): name for name in self.expand(pattern.left, plain)}
            given = {self.role(name) for name in self.expand(self.random(pattern.right), plain)}
            asked = {self.role(name): name for name in (*left, *right)}
            if not given <= asked.keys() or not asked.keys() - given <= mine.keys():
                continue
            everything = tuple(asked.get(role, name) for role, name in mine.items())
            behind = tuple(name for role, name in asked.items() if role in given)
            joint = self.defined_density(letter, everything, behind, env)
            if joint is None:
                continue
            among = self.total([name for role, name in mine.items() if role not in asked], joint)
            known = [name for name in right if self.role(name) in mine]
            return self.ratio(among, self.total(left, among)) if known else among
        return None

    def resolved(
        self, atom: Density, env: Environment, wanted: tuple[Variable, ...], body_free: frozenset[str]
    ) -> Density:
        """Fills in the variables of a letter that stands alone, or of a dot."""
        context = self.context
        letter = context.letter(atom)
        counter = context.signatures.get(letter) or Counter()
        if atom.left:
            fill = wanted or self.usual_variables(counter, body_free, atom)
            return replace(atom, left=tuple(w for v in atom.left for w in ((v,) if v.name else fill)))
        self.has_bare = True
        if wanted:
            names = {v.name for v in wanted}
            options = [(n, s) for s, n in counter.items() if set(s[0]) == names]
            right = max(options, key=lambda option: option[0])[1][1] if options else ()
            return replace(atom, left=wanted, right=tuple(Variable(name) for name in right))
        latent = {self.role(name) for name in body_free} - OBSERVED
        for signature, _ in counter.most_common():
            if not set(signature[0]) & OBSERVED and (not latent or set(signature[0]) & latent or letter != "p"):
                return self.from_signature(atom, signature)
        variables = self.usual_variables(counter, body_free, atom)
        right_names: tuple[Variable, ...] = ()
        if letter == "p" and self.bare_posterior:
            right_names = tuple(Variable(name) for name in sorted(context.families & OBSERVED))
        return replace(atom, left=variables, right=right_names)

    def from_signature(self, atom: Density, signature: Signature) -> Density:
        if len(set(signature[0])) < len(signature[0]):
            raise DerivationSyntaxError(f"{in_text(atom)} does not say over which variables")
        if self.context.letter(atom) == "p" and self.bare_posterior and not signature[1]:
            observed = tuple(sorted(self.context.families & OBSERVED))
            signature = (signature[0], observed)
        left, right = signature
        return replace(atom, left=tuple(map(Variable, left)), right=tuple(map(Variable, right)))

    def usual_variables(
        self, counter: Counter[Signature], body_free: frozenset[str], atom: Density
    ) -> tuple[Variable, ...]:
        for signature, _ in counter.most_common():
            if not set(signature[0]) & OBSERVED:
                return tuple(map(Variable, signature[0]))
        families = {self.role(name).split("_")[0] for name in body_free}
        names = [n for n in self.context.latents() if n in families] or self.context.latents()[:1]
        if not names:
            raise DerivationSyntaxError(f"{in_text(atom)} does not say over which variables")
        return tuple(map(Variable, names))

    def lefts(self, tree: Expression, env: Environment) -> list[str]:
        """The variables that a product of densities is a density of."""
        names: dict[str, None] = {}
        if isinstance(tree, Density):
            atom = tree if tree.left and all(v.name for v in tree.left) else self.resolved(tree, env, (), frozenset())
            names.update(dict.fromkeys(self.expand(self.random(atom.left), env)))
        elif isinstance(tree, IndexedSum):
            for inner in self.unrolled(tree, env):
                names.update(dict.fromkeys(self.lefts(tree.body, inner)))
        elif isinstance(tree, Integral):
            bound = self.expand(tree.variables, env)
            names.update(dict.fromkeys(n for n in self.lefts(tree.body, env) if n not in bound))
        elif isinstance(tree, Quotient):
            names.update(dict.fromkeys(self.lefts(tree.numerator, env)))
        elif isinstance(tree, Power):
            names.update(dict.fromkeys(self.lefts(tree.base, env)))
        elif isinstance(tree, Expectation):
            return self.lefts(tree.body, env)
        elif isinstance(tree, Call) and tree.variables:
            names.update(dict.fromkeys(self.expand(tree.variables, env)))
        else:
            for part in tree.parts():
                names.update(dict.fromkeys(self.lefts(part, env)))
        return list(names)

    def measure(self, measure: Measure, body: Expression, env: Environment) -> tuple[tuple[str, ...], int]:
        """The variables that an expectation binds, and their density."""
        variables: list[str] = []
        weights: list[int] = []
        for tree, names in zip(measure.densities, measure.names, strict=True):
            bound, weight = self.one_measure(tree, names, body, env)
            variables += bound
            weights.append(weight)
        if len(set(variables)) < len(variables):
            raise DerivationSyntaxError("an expectation binds a variable twice")
        if not variables:
            raise DerivationSyntaxError("an expectation that binds no variable")
        return tuple(variables), self.product(*weights)

    def one_measure(
        self, tree: Expression, names: tuple[Variable, ...], body: Expression, env: Environment
    ) -> tuple[list[str], int]:
        wanted = self.expand(names, env)
        if tree == Number(1.0):
            return self.unnamed_measure(wanted, body, env)
        if isinstance(tree, Density):
            bare = not tree.left or any(not v.name for v in tree.left)
            if bare:
                free = frozenset() if names else self.free(self.compile(body, env))
                base = tuple(dict.fromkeys(replace(v, index=()) for v in names))
                several = len(wanted) > 1 and len(base) == 1 and base[0].name not in self.context.components
                tree = self.resolved(tree, env, base if several or self.is_copy(names) else names, free)
            left = self.expand(self.random(tree.left), env)
            right = self.expand(self.random(tree.right), env)
            letter = self.context.letter(tree)
            if not wanted or set(wanted) == set(left):
                return list(left), self.conditional(letter, left, right, env, tree)
            if len(left) == 1 and all(self.role(name) == self.role(left[0]) for name in wanted):
                return list(wanted), self.product(
                    *(self.conditional(letter, (name,), right, env, tree) for name in wanted)
                )
            if len(left) == len(wanted) and [self.role(n) for n in left] == [self.role(n) for n in wanted]:
                return list(wanted), self.conditional(letter, wanted, right, env, tree)
            if set(wanted) < set(left):
                raise DerivationSyntaxError(
                    f"an expectation over {', '.join(wanted)} names the density {in_text(tree)} of more variables"
                )
            raise DerivationSyntaxError(f"{', '.join(wanted)} cannot be drawn from {in_text(tree)}")
        bound = self.lefts(tree, env)
        if wanted and set(wanted) != set(bound):
            raise DerivationSyntaxError(f"{', '.join(wanted)} cannot be drawn from {in_text(tree)}")
        return bound, self.compile(tree, env)

    def is_copy(self, names: tuple[Variable, ...]) -> bool:
        return any(v.index or v.mark for v in names) and not any(v.name in self.context.components for v in names)

    def unnamed_measure(self, wanted: tuple[str, ...], body: Expression, env: Environment) -> tuple[list[str], int]:
        if not wanted:
            free = self.free(self.compile(body, env))
            wanted = tuple(sorted(name for name in free if self.role(name) not in OBSERVED | PARAMETERS))
            if not wanted:
                raise DerivationSyntaxError("an expectation that names neither variable nor density, of a constant")
        weights = []
        joint: list[str] = []
        for name in wanted:
            family = self.role(name).split("_")[0]
            declared = self.context.samples.get(family)
            if declared is None:
                joint.append(name)
                continue
            atom = declared if declared.left else self.resolved(declared, env, (Variable(family),), frozenset())
            left = self.expand(self.random(atom.left), env)
            if len(left) != 1:
                raise DerivationSyntaxError(f"{name} is drawn together with other variables: name the density")
            right = self.expand(self.random(atom.right), env)
            weights.append(self.conditional(self.context.letter(atom), (name,), right, env))
        if joint:
            roles = [self.role(name) for name in joint]
            groups = [tuple(joint)] if len(set(roles)) == len(roles) else [(name,) for name in joint]
            weights += [self.conditional("p", group, (), env) for group in groups]
            self.note(f"the expectation is read over the prior p({', '.join(dict.fromkeys(roles))})")
        return list(wanted), self.product(*weights)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def compile(self, tree: Expression, env: Environment) -> int:
        """The place in the plan of an expression's value."""
        match tree:
            case Number(value):
                return self.number(value)
            case Density():
                return self.density(tree, env)
            case Call():
                return self.call(tree, env)
            case Sum(terms):
                return self.add("sum", tuple(self.compile(term, env) for term in terms))
            case Product(factors):
                return self.add("product", tuple(self.compile(factor, env) for factor in factors))
            case Negative(body):
                return self.negate(self.compile(body, env))
            case Quotient(a, b):
                return self.ratio(self.compile(a, env), self.compile(b, env))
            case Power(base, exponent):
                return self.add("power", (self.compile(base, env), self.compile(exponent, env)))
            case Logarithm(body):
                return self.logarithm(self.compile(body, env))
            case Exponential(body):
                return self.add("exp", (self.compile(body, env),))
            case Expectation(measure, body):
                variables, weight = self.measure(measure, body, env)
                return self.average(variables, weight, self.compile(body, self.bind(variables, env)))
            case Variance(measure, body):
                variables, weight = self.measure(measure, body, env)
                value = self.compile(body, self.bind(variables, env))
                mean = self.average(variables, weight, value)
                square = self.average(variables, weight, self.product(value, value))
                return self.add("sum", (square, self.negate(self.product(mean, mean))))
            case Integral():
                return self.integral(tree, env)
            case IndexedSum():
                parts = tuple(self.compile(tree.body, inner) for inner in self.unrolled(tree, env))
                if not parts:
                    return self.number(1.0 if tree.is_product else 0.0)
                return self.add("product" if tree.is_product else "sum", parts)
            case Divergence():
                return self.divergence(tree, env)
            case Entropy(first, second):
                names = self.lefts(first, env)
                weight = self.compile(first, env)
                other = self.aligned(second, names, env) if second is not None else weight
                return self.negate(self.average(names, weight, self.logarithm(other)))
            case Information():
                return self.information(tree, env)
            case Gradient(parameters, body):
                inner = self.compile(body, env)
                if not self.depends(inner, parameters):
                    self.note(f"{in_text(body)} does not depend on {', '.join(parameters)}: its gradient is zero")
                    return self.number(0.0)
                return self.add("gradient", (inner,), parameters)
            case Extremum():
                return self.extremum(tree, env)
            case FreeConstant():
                return self.number(0.0)
            case _:
                raise DerivationSyntaxError(f"{type(tree).__name__} cannot stand here")

    def unrolled(self, tree: IndexedSum, env: Environment) -> Iterator[Environment]:
        first, last = self.index(tree.lower, env), self.index(tree.upper, env)
        if last - first >= _MAX_TERMS:
            raise DerivationSyntaxError(f"a sum of more than {_MAX_TERMS} terms")
        for value in range(first, last + 1):
            yield replace(env, indices={**env.indices, tree.letter: value})

    def integral(self, tree: Integral, env: Environment) -> int:
        variables = self.expand(tree.variables, env)
        value = self.compile(tree.body, self.bind(variables, env))
        if not variables:
            variables = tuple(
                sorted(n for n in self.free(value) if self.role(n) not in OBSERVED and n not in self.context.extremised)
            )
            if not variables:
                raise DerivationSyntaxError("an integral that does not say over what")
        return self.total(variables, value)

    def aligned(self, tree: Expression, variables: Sequence[str], env: Environment) -> int:
        """A second density, taken over the variables of a first one."""
        if isinstance(tree, Density) and not tree.left:
            wanted = tuple(Variable(self.role(name)) for name in variables)
            counter = self.context.signatures.get(self.context.letter(tree)) or Counter()
            self.has_bare = True
            right: tuple[str, ...] = ()
            options = [s for s, _ in counter.most_common() if set(s[0]) == {v.name for v in wanted}]
            if options:
                right = options[0][1]
            if self.bare_posterior:
                right = tuple(sorted(self.context.families & OBSERVED))
            return self.density(replace(tree, left=wanted, right=tuple(map(Variable, right))), env)
        if isinstance(tree, Density) and any(not v.name for v in tree.left):
            wanted = tuple(Variable(self.role(name)) for name in variables)
            return self.density(self.resolved(tree, env, wanted, frozenset()), env)
        return self.compile(tree, env)

    def divergence(self, tree: Divergence, env: Environment) -> int:
        variables = self.lefts(tree.first, env)
        first = self.compile(tree.first, env)
        second = self.aligned(tree.second, variables, env)
        ratio = self.ratio(first, second)
        if tree.kind == "kl":
            return self.average(variables, first, self.logarithm(ratio))
        if tree.kind == "chi2":
            return self.add("sum", (self.average(variables, first, ratio), self.number(-1.0)))
        if tree.kind == "tv":
            gap = self.add("sum", (first, self.negate(second)))
            return self.product(self.number(0.5), self.total(variables, self.add("abs", (gap,))))
        order = self.compile(tree.order or Number(2.0), env)
        less = self.add("sum", (order, self.number(-1.0)))
        power = self.average(variables, first, self.add("power", (ratio, less)))
        return self.ratio(self.logarithm(power), less)

    def information(self, tree: Information, env: Environment) -> int:
        def names(variables: tuple[Variable, ...]) -> tuple[str, ...]:
            lowered = tuple(
                replace(v, name=v.name.lower())
                if v.name.lower() in self.families_in_densities() and v.name not in self.families_in_densities()
                else v
                for v in variables
            )
            return self.expand(lowered, env)

        first, second, given = names(tree.first), names(tree.second), names(tree.given)

        def joint(variables: tuple[str, ...]) -> int:
            return self.conditional(tree.letter, variables, (), env) if variables else self.number(1.0)

        everything = (*first, *second, *given)
        density = joint(everything)
        if not second:
            return self.negate(self.average(everything, density, self.logarithm(self.ratio(density, joint(given)))))
        above = self.product(density, joint(given))
        below = self.product(joint((*first, *given)), joint((*second, *given)))
        return self.average(everything, density, self.logarithm(self.ratio(above, below)))

    def families_in_densities(self) -> set[str]:
        return {n for counter in self.context.signatures.values() for s in counter for n in (*s[0], *s[1])}

    def depends(self, place: int, parameters: tuple[str, ...]) -> bool:
        pending, seen = [place], set()
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            operation = self.operations[at]
            pending += operation.arguments
            if operation.kind == "density" and self.moves(str(operation.data[0])) & set(parameters):
                return True
            if operation.kind == "function" and set(operation.data[2]) & set(parameters):  # type: ignore[call-overload]
                return True
        return False

    def moves(self, letter: str) -> set[str]:
        """The parameters on which a density depends."""
        return self.context.letter_parameters.get(letter.rstrip("°"), set()) | self.default_parameters(letter)

    def extremum(self, tree: Extremum, env: Environment) -> int:
        value = self.compile(tree.body, env)
        letters = [n for n in tree.over if n in self.context.letter_parameters and n not in PARAMETERS]
        axes = tuple(name for name in tree.over if name not in letters)
        if tree.kind.startswith("arg") and len(tree.over) > 1:
            raise DerivationSyntaxError("an arg max over two things at once has no value on a finite model")
        if len(letters) > 1:
            raise DerivationSyntaxError("an extremum over two densities at once is not read")
        for letter in letters:
            atoms = [o for o in self.reached(value) if o.kind == "density" and o.data[0] == letter]
            if not atoms:
                raise DerivationSyntaxError(f"{letter} does not occur in what is maximised over it")
            lefts = {name for atom in atoms for name in atom.data[1]}  # type: ignore[attr-defined]
            outer = self.free(value) | {n for atom in atoms for n in atom.data[2]} - lefts  # type: ignore[attr-defined]
            data = (tree.kind, letter, tuple(sorted(lefts)), tuple(sorted(outer - lefts)))
            bound = lefts if not tree.kind.startswith("arg") else ()
            names = lefts if tree.kind.startswith("arg") else ()
            value = self.add("optimum", (value,), data, binds=bound, names=(*names, *(outer - lefts)))
        if axes:
            for name in axes:
                if name not in self.free(value):
                    raise DerivationSyntaxError(f"nothing in {in_text(tree.body)} depends on {name}")
            value = self.add("extremum", (value,), (tree.kind, *axes), binds=axes)
        return value

    def reached(self, place: int) -> list[Operation]:
        pending, seen = [place], set()
        while pending:
            at = pending.pop()
            if at not in seen:
                seen.add(at)
                pending += self.operations[at].arguments
        return [self.operations[at] for at in sorted(seen)]

    def call(self, tree: Call, env: Environment) -> int:
        context = self.context
        name = tree.name
        if not tree.variables and not tree.index and name in env.indices:
            return self.number(env.indices[name])
        if name in context.definitions:
            return self.inlined(tree, env)
        if tree.variables and name in context.letter_parameters:
            return self.density(Density(name, tree.variables, (), tree.parameters), env)
        if name == "@ELBO":
            return self.bound(env)
        if not tree.variables and name in context.families and not tree.others:
            variable = self.expand((Variable(name, tree.index),), env)
            if len(variable) == 1:
                return self.add("value", (), (variable[0],), names=variable)
        if name.startswith(("@", "cal:")):
            shown = in_text(replace(tree, variables=(), others=()))
            raise DerivationSyntaxError(f"{shown} is not defined: define it with := or in definitions")
        arguments = self.expand(tree.variables, env)
        label = name + "".join(f"_{self.index(i, env)}" for i in tree.index if isinstance(i, Index))
        if any(isinstance(index, Span) for index in tree.index):
            raise DerivationSyntaxError(f"{in_text(tree)} is not a single number")
        if not arguments:
            return self.add("scalar", (), (label,))
        self.note(f"{in_text(replace(tree, variables=()))} is not defined: it is read as an arbitrary function")
        return self.add("function", (), (label, arguments, tree.parameters), names=arguments)

    def bound(self, env: Environment) -> int:
        """The evidence lower bound of q, where nobody defined it otherwise."""
        atom = self.resolved(Density("q"), env, (), frozenset())
        self.note(r"ELBO is read as $\mathbb{E}_q[\log p(x, z) - \log q(z)]$")
        observed = tuple(Variable(n) for n in sorted(self.context.families & OBSERVED)) or (Variable("x"),)
        joint = Density("p", (*observed, *atom.left))
        body = Sum((Logarithm(joint), Negative(Logarithm(atom))))
        return self.compile(Expectation(Measure((atom,), ((),)), body), env)

    def inlined(self, tree: Call, env: Environment) -> int:
        """What a defined name stands for, with its arguments put in."""
        pattern, body = self.context.definitions[tree.name]
        if env.inlined >= _MAX_INLINED:
            raise DerivationSyntaxError(f"the definition of {in_text(pattern)} goes in a circle")
        indices = dict(self.sizes)
        plain = Environment(indices)
        index = tree.index
        variables = tree.variables
        if index and not pattern.index and len(pattern.variables) == 1 and not variables:
            variables, index = (replace(pattern.variables[0], index=index),), ()
        if len(index) != len(pattern.index):
            raise DerivationSyntaxError(f"{in_text(tree)} does not fit its definition {in_text(pattern)}")
        for mine, given in zip(pattern.index, index, strict=True):
            if mine == given and isinstance(mine, Index) and mine.letter not in {*env.indices, *self.context.sizes}:
                continue
            if isinstance(mine, Index) and mine.letter and isinstance(given, Index):
                indices[mine.letter] = self.index(given, env) - mine.offset
            elif mine != given:
                raise DerivationSyntaxError(f"{in_text(tree)} does not fit its definition {in_text(pattern)}")
        renamed: dict[str, str] = {}
        if pattern.variables and variables:
            mine_names, given_names = self.expand(pattern.variables, plain), self.expand(variables, env)
            if len(mine_names) != len(given_names):
                raise DerivationSyntaxError(f"{in_text(tree)} does not fit its definition {in_text(pattern)}")
            renamed = {a: b for a, b in zip(mine_names, given_names, strict=True) if a != b}
        elif env.renamed:
            renamed = dict(env.renamed)
        letters = dict(env.letters)
        for mine_letter, given_letter in zip(pattern.others, tree.others, strict=False):
            known = self.context.letter_parameters
            if mine_letter != given_letter and mine_letter in known and given_letter in known:
                letters[mine_letter] = given_letter
        inner = Environment(indices, renamed, letters, env.inlined + 1)
        return self.compile(body, inner)
