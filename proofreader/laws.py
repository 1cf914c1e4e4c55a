"""Densities in a plan: their tables, their parameters, and those that definitions give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from proofreader.errors import DerivationSyntaxError
from proofreader.models import Law
from proofreader.names import law_key, variant_key
from proofreader.steps import MAX_INLINED, Environment, Steps
from proofreader.syntax import Index, Name, Node, in_text

__all__ = ["Laws"]


class Laws(Steps):
    """Densities as steps."""

    def key(self, letter: Name, left: Sequence[Name] = ()) -> str:
        """The density that a letter means; ``q_j(z_j)`` is the j-th marginal of q."""
        if letter.index and left and any(name.index == letter.index for name in left):
            letter = Name(letter.base, (), letter.mark)
        key = law_key(letter)
        return dict(self.choices.same).get(key, key)

    def model_letter(self) -> Name:
        """The letter of the model."""
        key = self.names.model()
        return self.names.letters.get(key, Name(key))

    def bare_key(self, key: str, env: Environment) -> str:
        """The letter of a density with the numbers of its indices put in."""
        if "_{" in key and key not in self.laws:
            letter = self.names.letters.get(key)
            if letter is not None and letter.index:
                values = ",".join(
                    str(self.index(i, env))
                    if isinstance(i, Index) and (not i.letter or i.letter in env.indices)
                    else str(i)
                    for i in letter.index
                )
                return f"{letter.base}{letter.mark}_{{{values}}}"
        return key

    def law(self, key: str) -> Law:
        """What is known of a density."""
        return self.laws.setdefault(key, Law())

    def table(
        self, key: str, left: tuple[str, ...], right: tuple[str, ...], parameters: Sequence[Name], env: Environment
    ) -> int:
        """The density of some atoms given others."""
        variant = variant_key(key, parameters)
        if variant in self.densities and env.raw != variant:
            return self.picked(self.defined(variant, left, right, env), (*left, *right))
        law = self.law(key)
        bases = self.parameter_bases(key)
        law.parameters = list(bases)
        given = {self.slot(p.base): self.expand((p,), env)[0] for p in parameters}
        axes = tuple(given.get(base, self.default_parameter(key, base, env)) for base in bases)
        for fixed in self.choices.fixed:
            atoms = self.expand((Name(fixed),), env)
            right = (
                (*right, *(a for a in atoms if a not in left and a not in right))
                if self.conditioned(key, fixed)
                else right
            )
        implied = [a for a in right if a.partition("#")[0].partition("|")[0] in bases]
        if implied:
            axes = tuple(
                next((a for a in implied if a.partition("#")[0].partition("|")[0] == base), axis)
                for base, axis in zip(bases, axes, strict=True)
            )
            right = tuple(a for a in right if a not in implied)
        if {*left, *right} & set(axes):
            raise DerivationSyntaxError("a density takes its own parameter as a variable")
        self.remember(law, left, right, parameters)
        if set(law.roles) & set(bases):
            raise DerivationSyntaxError("a density takes its own parameter as a variable")
        place = self.add("table", (), (key, tuple(sorted(left)), tuple(sorted(right)), axes))
        return self.picked(place, (*left, *right))

    def conditioned(self, key: str, base: str) -> bool:
        """Whether a density is given a variable somewhere."""
        return any(name.base == base for s in self.names.laws.get(key, []) for name in s.right)

    def remember(self, law: Law, left: tuple[str, ...], right: tuple[str, ...], parameters: Sequence[Name]) -> None:
        """Keeps which variables a density is about."""
        roles = [self.role(atom) for atom in (*left, *right)]
        if len(set(roles)) < len(roles) and len({*left, *right}) == len(roles):
            raise DerivationSyntaxError("a density takes two values of one variable at once")
        law.roles += [role for role in dict.fromkeys(roles) if role not in law.roles]

    def parameter_bases(self, key: str) -> list[str]:
        """The parameters of a density."""
        same = [k for k in self.names.parameters if dict(self.choices.same).get(k, k) == key or k == key]
        found: list[str] = []
        for k in same:
            found += [self.slot(p) for p in self.names.parameters[k]]
        return list(dict.fromkeys(found))

    def default_parameter(self, key: str, base: str, env: Environment) -> str:
        """The value of a parameter that a density does not name: the undecorated one, or the only one that occurs."""
        used = {
            p
            for k, signatures in self.names.laws.items()
            if dict(self.choices.same).get(k, k) == key
            for s in signatures
            for p in s.parameters
            if self.slot(p.base) == base
        }
        plain = Name(base)
        if plain not in used and len(used) == 1:
            return self.expand((used.pop(),), env)[0]
        return self.expand((plain,), env)[0]

    def fix_priors(self) -> None:
        """A prior written without the parameter of its likelihood does not move with it."""
        for key, law in self.laws.items():
            if not law.parameters:
                continue
            signatures = [
                s for k, found in self.names.laws.items() if dict(self.choices.same).get(k, k) == key for s in found
            ]
            without = {n.base for s in signatures if not s.parameters and not s.right for n in s.left}
            behind = {n.base for s in signatures if s.parameters for n in s.right}
            alone = {n.base for s in signatures if s.parameters and not s.right and len(s.left) == 1 for n in s.left}
            found = (without & behind) - alone
            law.fixed = (
                frozenset(r for r in law.roles if r.partition("#")[0] in found) if len(found) == 1 else frozenset()
            )

    def defined(self, key: str, left: tuple[str, ...], right: tuple[str, ...], env: Environment) -> int:
        """A density that a definition gives: its joint is integrated and divided as any other."""
        definition = self.densities[key]
        pattern = definition.pattern
        own_left, own_right = self.expand(pattern.data[1], self.top), self.expand(pattern.data[2], self.top)
        rename = self.matched(own_left, own_right, left, right)
        inner = replace(self.top, depth=env.depth + 1, raw=key)
        if env.depth > MAX_INLINED:
            raise DerivationSyntaxError(f"the definition of {in_text(pattern)} goes in a circle")
        joint = self.compile(definition.body, inner)
        own_left = tuple(rename.get(a, a) for a in own_left)
        joint = self.moved(joint, rename)
        extra = [a for a in right if a not in own_left and a not in own_right]
        if extra or any(a not in own_left for a in left):
            self.remember(self.law(key), (*own_left, *left), (*own_right, *right), ())
            return self.add("table", (), (key, tuple(sorted(left)), tuple(sorted(right)), ()))
        dropped = tuple(a for a in own_left if a not in left and a not in right)
        above = self.add("integral", (joint,), dropped) if dropped else joint
        behind = tuple(a for a in own_left if a in right)
        if not behind:
            return above
        return self.ratio(above, self.add("integral", (above,), tuple(a for a in own_left if a in left)))

    def matched(
        self, own_left: tuple[str, ...], own_right: tuple[str, ...], left: tuple[str, ...], right: tuple[str, ...]
    ) -> dict[str, str]:
        """Which atoms of a definition are which atoms of its use: the same, or copies of the same variable."""
        rename = {}
        for mine in (*own_left, *own_right):
            if mine in left or mine in right:
                continue
            copy = next(
                (
                    a
                    for a in (*left, *right)
                    if self.role(a) == self.role(mine) and a not in own_left and a not in own_right
                ),
                None,
            )
            if copy is not None:
                rename[mine] = copy
        return rename

    def moved(self, place: int, rename: Mapping[str, str]) -> int:
        """A step with other atoms put in."""
        if not rename or not self.free(place) & set(rename):
            return place
        step = self.steps[place]
        arguments = tuple(self.moved(a, rename) for a in step.arguments)
        if step.kind == "table":
            key, left, right, axes = step.data
            change: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda atoms: tuple(rename.get(a, a) for a in atoms)  # noqa: E731
            return self.add("table", (), (key, change(left), change(right), change(axes)))
        if step.kind in ("value", "same"):
            return self.add(step.kind, (), tuple(rename.get(atom, atom) for atom in step.data))
        return self.add(step.kind, arguments, step.data)

    def density(self, node: Node, env: Environment, left: tuple[str, ...] | None = None) -> int:
        """A density as written, or with other atoms in front of its bar."""
        letter, own, right, parameters = node.data
        if len(own) > 1 and set(own) & set(right):
            raise DerivationSyntaxError(f"{in_text(node)} has a variable on both sides of its bar")
        key = self.bare_key(self.key(letter, own), env)
        atoms = self.expand(own, env) if left is None else left
        return self.table(key, atoms, self.expand(right, env), parameters, env)
