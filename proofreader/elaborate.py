r"""From trees to plans: every operator becomes a few elementary steps on tables.

One case a kind of node (the table of notation lists them). What a case means is its formula: ``kl`` is the average of
the logarithm of a ratio, a variance is a mean square minus a squared mean, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from proofreader import distributions, meanings, namings
from proofreader.declared import bound_in, drawn_as_declared
from proofreader.errors import DerivationSyntaxError
from proofreader.families import beside_bodies, members_in
from proofreader.laws import Laws
from proofreader.moments import drawn_from_grid
from proofreader.names import Signature, law_key, names_in
from proofreader.steps import Environment, defined_key, plain_names, spans
from proofreader.symbols import GREEK
from proofreader.syntax import Index, Name, Node, Span, density, in_text

__all__ = ["Plan"]


MEANINGS = (meanings, namings, distributions)  # each registers what its kinds of nodes mean


class Plan(Laws):
    """What expectations average, and the place of the value of a tree."""

    def measure(self, node: Node, env: Environment, body: Node) -> tuple[tuple[str, ...], int]:
        """The atoms that an expectation binds, and their weight."""
        draws = node.data[0]
        laws = node.parts[: -2 if node.kind == "covariance" else -1]
        if not laws:
            return self.no_law(draws[0] if draws else (), body, env)
        atoms: list[str] = []
        weights: list[int] = []
        for at, law in enumerate(laws):
            for bound, weight in self.drawn(law, draws[at] if at < len(draws) else (), body, env):
                atoms += [a for a in bound if a not in atoms]
                weights.append(weight)
        if not weights:
            raise DerivationSyntaxError("an expectation under a product without a factor")
        return tuple(atoms), self.product(*weights) if len(weights) > 1 else weights[0]

    def drawn(
        self, law: Node, names: tuple[Name, ...], body: Node, env: Environment
    ) -> list[tuple[tuple[str, ...], int]]:
        """The factors of one law of an expectation."""
        names = (self.draws(names, body, env) or names) if names else names
        if law.kind == "stop":
            return [
                (atoms, self.add("stop", (weight,))) for atoms, weight in self.drawn(law.parts[0], names, body, env)
            ]
        if law.kind == "product":
            return [pair for inner in self.unrolled(law, env) for pair in self.drawn(law.parts[0], (), body, inner)]
        if law.kind == "named":
            pairs = drawn_from_grid(self, law, law.data[1] or names, env)
            if pairs is not None:
                return pairs
            left = self.expand(law.data[1] or names, env)
            if not left:
                raise DerivationSyntaxError(
                    f"an expectation under {in_text(law)} that does not say over which variable"
                )
            return [(left, self.table(f"named {in_text(law)}", left, (), (), env))]
        if law.kind != "density":
            left = tuple(
                dict.fromkeys(a for n in law.walk() if n.kind == "density" for a in self.expand(n.data[1], env))
            )
            return [(self.expand(names, env) or left, self.compile(law, env))]
        _letter, own, _, _ = law.data
        if not own or (len(own) == 1 and not own[0].base):
            law = self.with_arguments(law, names, body, env)
            own = law.data[1]
        wanted = self.expand(names, env) if names else self.expand(own, env)
        atoms = self.expand(own, env)
        given = self.expand(law.data[2], env)
        if set(wanted) <= set(atoms):
            return [(tuple(a for a in wanted if a not in given), self.density(law, env))]
        if len(atoms) == 1:
            return [((atom,), self.density(law, env, (atom,))) for atom in wanted]
        return [(wanted, self.density(law, env, wanted))]

    def with_arguments(self, law: Node, names: tuple[Name, ...], body: Node, env: Environment) -> Node:
        """A letter alone, with the variables that it must be about."""
        letter, own, right, parameters = law.data
        factor = self.factor(letter, right, parameters) if letter.index and not names else None
        if factor is None and not letter.base and not names:
            factor = density(Name("q", letter.index), (self.rest(letter, body),), right, parameters)
        if factor is not None:
            return factor
        signatures = self.signatures(law_key(letter))
        if names:
            if right or own:
                return density(letter, self.single(names), right, parameters)
            options = [s for s in signatures if {n.base for n in s.left} == {n.base for n in names}]
            chosen = self.choose(options, "alone") if options else None
            given = chosen.right if chosen is not None else ()
            mine = parameters or (chosen.parameters if chosen is not None else ())
            return density(letter, self.single(names), given, mine)
        options = self.process(signatures) + self.unique(signatures)
        if options:
            chosen = self.choose(options, "alone")
            left, behind = self.loose(chosen.left, env), right if own else self.loose(chosen.right, env)
            left = tuple(n for n in left if n not in behind) or left
            return density(letter, left, behind, parameters or chosen.parameters)
        averaged = self.averaged(law_key(letter))
        known = self.drawn_from(law_key(letter)) or self.latent(body) or averaged or self.summed(letter)
        unnamed = [] if signatures or right or self.names.is_variable("z") else [(Name("z"),)]
        latent = self.choose([known, *([averaged] if averaged not in ((), known) else []), *unnamed], "alone")
        self.note(f"{letter} is read as a density of {', '.join(map(str, latent))}")
        return density(letter, tuple(n for n in latent if n not in right) or latent, right, parameters)

    def factor(self, letter: Name, right: tuple[Name, ...], parameters: tuple[Name, ...]) -> Node | None:
        """A factor of a mean-field q, or all but one of them, with the variables that its index names."""
        laws = {key: known for key, known in self.names.letters.items() if known.base == letter.base or not letter.base}
        for key, known in sorted(laws.items(), key=lambda item: (not item[1].index, item[0] == self.names.model())):
            for s in self.names.laws[key]:
                if len(s.left) == 1 and len(s.left[0].index) == 1 and (known.index or letter.base == known.base):
                    whole = Name(known.base, letter.index, letter.mark if letter.base else known.mark)
                    return density(whole, (replace(s.left[0], index=letter.index),), right or s.right, parameters)
        return None

    def rest(self, letter: Name, body: Node) -> Name:
        """The members of a family over which an expectation such as ``E_{-j}`` is taken."""
        for tree in (body, *self.names.trees):
            for name in names_in(tree):
                if self.names.is_variable(name.base) and (name.index == letter.index or self.in_parts(name.base)):
                    return replace(name, index=letter.index)
        self.whole |= {name.base for name in self.latent(body)}
        raise DerivationSyntaxError("an expectation over all members of a family but one, which it does not name")

    def without_arguments(self, letter: Name, parameters: tuple[Name, ...], env: Environment) -> int | None:
        """A letter of a density under an integral that leaves out its arguments: they are what is integrated over."""
        known = letter.base in {n.base for n in self.names.letters.values()} or letter.base in ("p", "q")
        if not env.bound or not known or self.names.is_variable(letter.base):
            return None
        bound = tuple(dict.fromkeys(env.bound))
        if not letter.index:
            fronts = [self.loose(s.left, env) for s in self.signatures(law_key(letter))]
            left = next((names for names in fronts if set(names) <= set(bound)), bound)
            return self.aligned(density(letter, (), (), parameters), self.expand(left, env), env)
        found = self.factor(letter, (), parameters)
        if found is not None:
            return self.density(found, env)
        families = [name for name in bound if self.in_parts(name.base)]
        if not families:
            self.whole |= {name.base for name in bound}
            raise DerivationSyntaxError(f"{letter} is a factor of {letter.base}, but of which variable is not said")
        return self.density(density(letter, (replace(families[0], index=letter.index),), (), parameters), env)

    def single(self, names: tuple[Name, ...]) -> tuple[Name, ...]:
        """One variable for a family of draws, or the whole family where it is one."""
        family = len({n.base for n in names}) == 1 and (len(names) > 1 or spans(names))
        return (Name(names[0].base),) if family and not self.in_parts(names[0].base) else names

    def process(self, signatures: list[Signature]) -> list[Signature]:
        """For a letter whose densities are about the parts of one family: all of them together."""
        indexed = [s for s in signatures if any(n.index and self.in_parts(n.base) for n in s.left)]
        if not indexed:
            return []
        left: list[Name] = []
        for s in signatures:
            left += [Name(n.base) if n.index and self.in_parts(n.base) else n for n in s.left]
        bases = tuple(dict.fromkeys(left))
        behind = [n for s in signatures for n in s.right]
        never = [
            n
            for n in dict.fromkeys(behind)
            if all(n not in s.left for s in signatures) and all(not i.letter for i in n.index if isinstance(i, Index))
        ]
        spans = tuple(self.without(name, [n for n in never if n.base == name.base]) for name in bases)
        found = [Signature(spans, tuple(never), signatures[0].parameters)]
        if not never and len(bases) == 1 and self.extent(bases[0].base):
            first = replace(bases[0], index=(Index("", self.extents[bases[0].base][0]),))
            found.append(Signature((self.without(bases[0], [first]),), (first,), signatures[0].parameters))
        return found

    def without(self, name: Name, fixed: list[Name]) -> Name:
        """A family without some of its members."""
        if not self.extent(name.base):
            return name
        first, last = self.extents[name.base]
        gone = {i.offset for n in fixed for i in n.index if isinstance(i, Index)}
        kept = [k for k in range(first, last + 1) if k not in gone]
        return Name(name.base, (Span(Index("", kept[0]), Index("", kept[-1])),), name.mark) if kept and gone else name

    def unique(self, signatures: list[Signature]) -> list[Signature]:
        """The ways in which a letter occurs, each once, undecorated first."""
        found: list[Signature] = []
        for s in signatures:
            if all((s.left, s.right) != (o.left, o.right) for o in found):
                found.append(s)
        return found

    def signatures(self, key: str) -> list[Signature]:
        """The ways in which a letter, or one that means the same, occurs."""
        same = dict(self.choices.same)
        wanted = same.get(key, key)
        return [s for k, found in self.names.laws.items() if same.get(k, k) == wanted for s in found]

    def choose(self, options: list[Any], what: str) -> Any:
        """One of several options, counted by the choices of this plan."""
        setattr(self, what, max(getattr(self, what), len(options)))
        return options[min(getattr(self.choices, what), len(options) - 1)]

    def averages(self, key: str) -> Iterator[tuple[Node, tuple[Name, ...], Node]]:
        """The averages under a letter without its variables: the law, what is drawn, and what is averaged."""
        for node in (n for tree in self.names.trees for n in tree.walk() if n.kind == "expect"):
            for at, law in enumerate(node.parts[:-1]):
                mine = law.kind == "density" and law_key(law.data[0]) == key
                if mine and not any(n.base for n in law.data[1]):
                    yield law, node.data[0][at] if at < len(node.data[0]) else (), node.parts[-1]

    def averaged(self, key: str) -> tuple[Name, ...]:
        """All that the display averages under a letter alone."""
        bodies = [body for law, _, body in self.averages(key) if not law.data[1]]
        return tuple(dict.fromkeys(n for body in bodies for n in self.latent(body)))

    def summed(self, letter: Name) -> tuple[Name, ...]:
        """What the display integrates a letter alone over; x where it does not."""
        nodes = (n for tree in self.names.trees for n in tree.walk() if n.kind == "integral" and n.data[0])
        alone = {"density": (letter, ()), "name": (letter,)}
        speaks = (n for n in nodes if any(d.data[: len(a)] == a for d in n.walk() if (a := alone.get(d.kind))))
        return next((n.data[0] for n in speaks), (Name("x"),))

    def drawn_from(self, key: str) -> tuple[Name, ...]:
        """What the display says to be drawn from a letter alone, as in ``z \\sim q(\\cdot \\mid x)``."""
        return next((self.single(names) for _, names, _ in self.averages(key) if names), ())

    def loose(self, names: tuple[Name, ...], env: Environment) -> tuple[Name, ...]:
        """Names without the indices that have no value here."""
        free = {n for n in names for i in n.index if isinstance(i, Index) and i.letter and i.letter not in env.indices}
        return tuple(replace(n, index=()) if n in free and not self.in_parts(n.base) else n for n in names)

    def latent(self, body: Node) -> tuple[Name, ...]:
        """The variables of a body that some density has behind its bar, or in a joint, and no side has alone."""
        inside = [n for node in body.walk() if node.kind == "density" for n in node.data[1] if n.base]
        known = self.names.laws.get(self.names.model(), [])
        tops = {s.left[0] for s in known if not s.right and len(s.left) == 1}
        behind = {n for node in body.walk() if node.kind == "density" for n in node.data[2]}
        found = [n for n in dict.fromkeys(inside) if n not in tops or n in behind]
        several = [n for n in found if n not in tops] or found
        if several and body.kind not in ("kl", "negative"):
            return tuple(several)
        bound = {n for k in body.walk() if k.kind == "kl" and k.parts[0].kind == "density" for n in k.parts[0].data[1]}
        every = [n for n in dict.fromkeys(names_in(body)) if self.names.is_variable(n.base) and n.base]
        # Greek letters beside Latin ones are numbers, unless some density is about them.
        every = [n for n in every if n not in tops] or every
        latin = [n for n in every if n.base not in GREEK or n.base in self.names.lefts]
        return tuple([n for n in latin or every if n not in bound] or several or every)

    def no_law(self, names: tuple[Name, ...], body: Node, env: Environment) -> tuple[tuple[str, ...], int]:
        """An expectation that names no density."""
        declared = drawn_as_declared(self, names, body, env)
        if declared:
            return bound_in(declared), self.product(*(weight for _, weight in declared))
        options: list[Node] = []
        whole, body = body, self.unfolded(body)
        for law in self.named_measures():
            bases = {n.base for n in law.data[1]} - {""}
            fits = {n.base for n in names} <= bases if names else bool(bases & {n.base for n in names_in(body)})
            if bases and fits and law not in options:
                options.append(law)
        names_of_one = self.single(names) if names else ()
        if names and all(set(law.data[1]) != set(names_of_one) or law.data[2] for law in options):
            prior = density(self.model_letter(), names_of_one)
            exact = any(set(law.data[1]) == set(names_of_one) for law in options)
            options = [*options, prior] if exact else [prior, *options]
            options += self.about(names_of_one)
        if not names:
            options += [law for law in self.names.measures if law.data[0].index and not law.data[0].base]
            latent = self.latent(body)
            every = tuple(n for n in dict.fromkeys(names_in(body)) if self.names.is_variable(n.base) and n.base)
            fronts = [latent] if set(latent) == set(every) else [latent, every]
            options += [*(density(self.model_letter(), n) for n in fronts), *self.about(latent)] if latent else []
        options = options or [law for law in self.names.measures if not law.data[1] and law.data[0].base]
        if not options:
            raise DerivationSyntaxError("an expectation that says neither over what nor under which density")
        chosen = self.choose(options, "bare")
        self.note(f"the expectation names no density: it is read under {in_text(chosen)}")
        draws = names or (self.draws(chosen.data[1], body, env) if chosen.data[1] else ())
        if not names and len(chosen.data[1]) == 1 and self.unfolded(whole) != whole:
            draws = members_in(self, chosen.data[1][0].base, whole, env) or draws
        if draws and not names:
            chosen = density(chosen.data[0], self.single(draws), *chosen.data[2:])
        pairs = self.drawn(chosen, draws, body, env)
        atoms = self.expand(names, env) if names else bound_in(pairs)
        return atoms, self.product(*(weight for _, weight in pairs))

    def unfolded(self, body: Node) -> Node:
        """A body with what stands behind the names in it, for the question of what it is about."""
        return beside_bodies(body, self.definitions)

    def about(self, names: tuple[Name, ...]) -> list[Node]:
        """The densities of exactly some variables."""
        wanted = {n.base for n in names}
        return [
            density(self.names.letters[key], names, s.right, s.parameters)
            for key, signatures in self.names.laws.items()
            for s in self.unique(signatures)
            if {n.base for n in s.left} == wanted
        ]

    def draws(self, names: tuple[Name, ...], body: Node, env: Environment) -> tuple[Name, ...]:
        """All members of a family of draws that a body sums over, where one of them is named; else nothing."""
        (name, *others) = names
        letters = {n.data[0]: n.data[1:3] for n in body.walk() if n.kind in ("series", "product")}
        for part in name.index if not others else ():
            if isinstance(part, Index) and part.letter in letters and part.letter not in env.indices:
                first, last = letters[part.letter]
                size = Index(self.names.default_size(part.letter))
                return (replace(name, index=(Span(first or Index("", 1), last or size),)),)
        return ()

    def named_measures(self) -> list[Node]:
        """The densities under which a display averages: in divergences, expectations and integrals, letters alone
        with what they are about."""
        found = []
        for law in (*self.names.measures, *self.names.weights):
            letter, left, _, _ = law.data
            if left:
                found.append(law)
                continue
            found += [
                density(letter, s.left, s.right, s.parameters)
                for s in self.unique(self.signatures(law_key(letter)))[:1]
            ]
        return found

    def aligned(self, node: Node, atoms: tuple[str, ...], env: Environment) -> int:
        """A second density, over the atoms of a first one."""
        inner = replace(env, bound=(*env.bound, *plain_names(atoms)))
        if node.kind != "density" or (node.data[1] and node.data[1][0].base):
            return self.compile(node, inner)
        letter, _, right, parameters = node.data
        known = self.definitions.get(defined_key(letter))
        if known is not None and not node.data[1] and not known.pattern.parts:
            return self.compile(known.body, inner)
        key = self.bare_key(self.key(letter), env)
        roles = {self.role(a) for a in atoms}
        options: list[tuple[tuple[str, ...], tuple[Name, ...]]] = []
        for s in self.signatures(law_key(letter)):
            if {self.role(a) for a in self.expand(self.loose(s.left, env), env)} == roles:
                options.append((self.expand(self.loose(s.right, env), env), s.parameters))
        joint = [
            s
            for s in self.signatures(law_key(letter))
            if {self.role(a) for a in self.expand(self.loose(s.left, env), env)} > roles
        ]
        observed = tuple(
            dict.fromkeys(
                a for s in joint for a in self.expand(self.loose(s.left, env), env) if self.role(a) not in roles
            )
        )
        if observed:
            observed += tuple(a for a in self.expand(self.loose(joint[0].right, env), env) if a not in observed)
            options.append((observed, joint[0].parameters))
        if not options and atoms == ("z",):
            options += [(self.expand((*s.left, *s.right), env), s.parameters) for s in self.signatures(law_key(letter))]
        options = options or [((), ())]
        for s in self.signatures(law_key(letter)):
            left, behind = (self.expand(self.loose(names, env), env) for names in (s.left, s.right))
            if not set(left) & set(atoms) and roles <= {self.role(a) for a in behind}:
                options.append((left, s.parameters))  # p(x | z) is beside a p(z) that the letter p alone need not be
        if node.data[1] and not right:
            options = [((), next((s.parameters for s in self.signatures(law_key(letter))), ()))]
        options = list(dict.fromkeys(options))
        given, usual = self.choose(options, "alone")
        if given and not right and self.choose([False, True], "prior"):
            given = ()
        if right:
            given = self.expand(right, env)
        return self.table(key, atoms, given, parameters or usual, env)

    def first(self, node: Node, env: Environment) -> tuple[tuple[str, ...], int]:
        """The atoms of the first density of a divergence, and its value."""
        if node.kind == "density":
            if not node.data[1] or not node.data[1][0].base:
                node = self.with_arguments(node, (), node, env)
            atoms = self.expand(node.data[1], env)
            return atoms, self.density(node, env)
        if node.kind == "product":
            pairs = [
                (self.expand(node.parts[0].data[1], inner), self.density(node.parts[0], inner))
                for inner in self.unrolled(node, env)
                if node.parts[0].kind == "density"
            ]
            if pairs:
                return tuple(a for atoms, _ in pairs for a in atoms), self.product(*(p for _, p in pairs))
        atoms = tuple(dict.fromkeys(a for n in node.walk() if n.kind == "density" for a in self.expand(n.data[1], env)))
        if not atoms:
            raise DerivationSyntaxError("an argument of a divergence that is no density")
        return atoms, self.compile(node, env)
