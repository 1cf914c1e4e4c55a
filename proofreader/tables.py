"""Random tables: the densities of a batch of finite models, and what is assumed of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proofreader.duals import Cell, Dual, divided, exponential, logarithm, multiplied
from proofreader.errors import DerivationSyntaxError
from proofreader.models import Cells, Deadline, Law, Setting, Step, Tensor

__all__ = ["Tables"]


MAX_CELLS = 60_000


class Tables:
    """The densities of a batch of random finite models.

    Args:
        steps: The plan.
        laws: The densities that it speaks of.
        setting: What kind of models.
        seed: Where their numbers come from.
        deadline: The time allowed.
        assumptions: What is assumed of the models, as (name, …) entries that :mod:`proofreader.assumptions` makes.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        laws: Mapping[str, Law],
        role: Callable[[str], str],
        setting: Setting,
        seed: int,
        deadline: Deadline,
        assumptions: Mapping[str, Any] | None = None,
    ) -> None:
        self.steps = steps
        self.laws = laws
        self.role = role
        self.setting = setting
        self.models = setting.models
        self.seed = f"{seed}/{setting.stream}/{int(setting.simple)}"
        self.deadline = deadline
        self.assumptions = assumptions or {}
        self.cards: dict[str, int] = {}
        roles = sorted({r for law in laws.values() for r in law.roles}, reverse=True)
        self.order = {r: at for at, r in enumerate(roles)}
        self.cards.update({p: 2 for law in laws.values() for p in law.parameters})
        like = self.assumptions.get("like", {})
        self.cards.update({r: n for r, n in self.assumptions.get("cards", {}).items() if r not in like})
        self.cache: dict[tuple[Any, ...], Tensor] = {}
        self.maps: dict[tuple[Any, ...], Any] = {}
        self.drawn: dict[str, Cells] = {}
        self.overrides: dict[str, Tensor] = {}
        self.version = 0
        self.levels = 0
        self.values: dict[str, Tensor] = {}

    def card(self, axis: str) -> int:
        """How many values a variable has."""
        role = self.role(axis)
        if role not in self.cards:
            given = self.assumptions.get("cards", {})
            like = self.assumptions.get("like", {}).get(role)
            if like:
                self.cards[role] = self.card(like)
            elif role in given:
                self.cards[role] = given[role]
            else:
                self.cards[role] = self.setting.cards[self.order.get(role, 0) % 2] if len(self.order) < 5 else 2
        return self.cards[role]

    def indices(self, source: tuple[str, ...], target: tuple[str, ...]) -> list[int]:
        """For each cell of the target's axes, the cell of the source."""
        key = (source, target)
        found = self.maps.get(key)
        if found is None:
            if any(len(set(axes)) < len(axes) for axes in key):
                raise DerivationSyntaxError("a density takes one variable twice")
            size = self.models * math.prod(self.card(axis) for axis in target)
            if size > MAX_CELLS:
                raise DerivationSyntaxError("too many variables at once for a table of all their values")
            strides: dict[str, int] = {}
            step = 1
            for axis in reversed(source):
                strides[axis] = step
                step *= self.card(axis)
            offsets = [0]
            for axis in target:
                stride = strides.get(axis, 0)
                offsets = [o + stride * k for o in offsets for k in range(self.card(axis))]
            found = [model * step + offset for model in range(self.models) for offset in offsets]
            self.maps[key] = found
        return found

    def spread(self, tensor: Tensor, axes: tuple[str, ...]) -> Cells:
        """The cells of a tensor, repeated along further axes."""
        if tensor.axes == axes:
            return tensor.cells
        cells = tensor.cells
        return [cells[k] for k in self.indices(tensor.axes, axes)]

    def together(self, first: Tensor, second: Tensor) -> tuple[tuple[str, ...], Cells, Cells]:
        """Two tensors on the same axes."""
        if first.axes == second.axes:
            return first.axes, first.cells, second.cells
        axes = first.axes + tuple(axis for axis in second.axes if axis not in first.axes)
        return axes, self.spread(first, axes), self.spread(second, axes)

    def added(self, first: Tensor, second: Tensor) -> Tensor:
        """The sum of two tensors."""
        axes, a, b = self.together(first, second)
        return Tensor(axes, [x + y for x, y in zip(a, b, strict=True)])

    def times(self, first: Tensor, second: Tensor) -> Tensor:
        """The product of two tensors."""
        axes, a, b = self.together(first, second)
        if self.setting.holes:
            return Tensor(axes, [multiplied(x, y) for x, y in zip(a, b, strict=True)])
        return Tensor(axes, [x * y for x, y in zip(a, b, strict=True)])

    def over(self, first: Tensor, second: Tensor) -> Tensor:
        """The quotient of two tensors."""
        axes, a, b = self.together(first, second)
        return Tensor(axes, [divided(x, y) for x, y in zip(a, b, strict=True)])

    def reduced(self, tensor: Tensor, axes: Sequence[str], how: Callable[[list[Cell]], Cell]) -> Tensor:
        """A tensor with some axes taken together."""
        gone = [axis for axis in axes if axis in tensor.axes]
        kept = tuple(axis for axis in tensor.axes if axis not in gone)
        if not gone:
            return tensor
        size = math.prod(self.card(axis) for axis in gone)
        cells = self.spread(tensor, (*kept, *gone))
        return Tensor(kept, [how(cells[k : k + size]) for k in range(0, len(cells), size)])

    def constant(self, value: Cell) -> Tensor:
        """One number in all models."""
        return Tensor((), [value] * self.models)

    def draw(self, label: str, axes: tuple[str, ...], number: Callable[[random.Random], float]) -> Tensor:
        """Random numbers on roles, the same wherever the same label asks for them."""
        found = self.drawn.get(label)
        if found is None:
            count = self.models * math.prod(self.card(axis) for axis in axes)
            if count > MAX_CELLS:
                raise DerivationSyntaxError("too many variables at once for a table of all their values")
            source = random.Random(f"{self.seed}/{label}")
            found = [number(source) for _ in range(count)]
            self.drawn[label] = found
        return Tensor(axes, found)

    def weight(self, source: random.Random) -> float:
        """An unnormalised probability: mostly moderate, sometimes small."""
        if self.setting.simple:
            return float(source.choice((1, 1, 2, 3)))
        value = source.random()
        if self.setting.wild:
            return 1e-4 + value**self.setting.wild
        return 0.02 + 2.0 * value * value * value

    def size(self, atom: str) -> Tensor:
        """The sizes of the cells of a variable."""
        role = self.role(atom)
        discrete = self.assumptions.get("discrete", frozenset())
        if not self.setting.continuous or role in discrete or "all" in discrete:
            return self.constant(1.0)
        like = self.assumptions.get("like", {}).get(role, role)
        if "like" in self.assumptions and (like != role or role in self.assumptions["like"].values()):
            return self.constant(1.0)
        return Tensor((atom,), self.draw(f"size {role}", (role,), lambda s: math.exp(s.uniform(-1.6, 1.0))).cells)

    def joint(self, name: str, seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """The joint table of a density over its variables, for each value of its parameters; axes are roles."""
        key = ("joint", name, seeds, self.version)
        found = self.cache.get(key)
        if found is None:
            law = self.laws[name]
            found = self.constant(1.0)
            for children, parents in self.factors(name):
                found = self.times(found, self.factor(name, law, children, parents, seeds))
            if name in self.assumptions.get("unnormalised", ()):
                found = self.times(found, self.mass(name, law, seeds))
            self.cache[key] = found
        return found

    def mass(self, name: str, law: Law, seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """The integral of a density that need not be normalised, for each value of its parameters."""
        axes, label = tuple(law.parameters), f"mass {name}"
        whole = Tensor(axes, self.draw(label, axes, lambda s: s.uniform(0.4, 2.5)).cells)
        return self.moved(whole, label, axes, [seed for seed in seeds if seed[0] in axes])

    def factors(self, name: str) -> Sequence[tuple[tuple[str, ...], tuple[str, ...]]]:
        """How a joint table is put together: each group of variables given others."""
        law = self.laws[name]
        assumed = self.assumptions.get("factors", {}).get(name)
        if assumed is not None:
            return assumed
        shared = self.assumptions.get("shared", {}).get(name)
        if shared is not None:
            own, _, given = shared
            rest = tuple(role for role in law.roles if role not in (*own, *given))
            return [part for part in ((given, ()), (own, given), (rest, (*own, *given))) if part[0]]
        still = self.still(name)
        fixed = tuple(role for role in law.roles if role in still)
        rest = tuple(role for role in law.roles if role not in still)
        return [part for part in ((fixed, ()), (rest, fixed)) if part[0]]

    def still(self, name: str) -> frozenset[str]:
        """The variables of a density that do not move with its parameters."""
        found: frozenset[str] = self.assumptions.get("still", {}).get(name, self.laws[name].fixed)
        return found

    def factor(
        self,
        name: str,
        law: Law,
        children: tuple[str, ...],
        parents: tuple[str, ...],
        seeds: tuple[tuple[str, int], ...],
    ) -> Tensor:
        """A random conditional table, normalised over its children."""
        if law.weights and children:
            return Tensor(children, [*law.weights] * self.models)
        optimal = self.assumptions.get("optimal", {}).get(name)
        if optimal is not None and set(children) == set(optimal[0]):
            return self.mean_field(name, optimal)
        if len(children) == 1 and children[0] in self.assumptions.get("uniform", {}):
            return Tensor(children, [1.0 / self.card(children[0])] * (self.models * self.card(children[0])))
        shared = self.assumptions.get("shared", {}).get(name)
        if shared is not None and children == shared[0]:
            return self.marginal(shared[1], children, shared[2], ())
        moving = () if self.still(name) and set(children) <= self.still(name) else tuple(law.parameters)
        axes = (*children, *parents, *moving)
        moved = set(children) <= set(self.assumptions.get("again", {}).get(name, ()))
        again = " again" if moved and children else ""
        label = f"law{again} {name} {children} {parents}"
        weights = self.draw(label, axes, self.weight)
        if self.setting.near and law.near in self.laws and not self.assumptions.get("far"):
            weights = self.near(law, axes, label)
        if self.setting.holes and law.near and children:
            weights = Tensor(
                axes,
                [
                    w if self.indices((children[0],), axes)[k] % self.card(children[0]) else 0.0
                    for k, w in enumerate(weights.cells)
                ],
            )
        total = self.reduced(
            self.moved(weights, label, axes, [s for s in seeds if s[0] not in children]), children, sum
        )
        return self.over(self.moved(weights, label, axes, seeds), total)

    def moved(self, weights: Tensor, label: str, axes: tuple[str, ...], seeds: Sequence[tuple[str, int]]) -> Tensor:
        """Weights that move with parameters and with the values of variables, along a line that bends."""
        for axis in dict.fromkeys(axis for axis, _ in seeds if axis in axes):
            first, *more = (Dual(0.0, 1.0, level) for own, level in seeds if own == axis)
            step = sum(more, start=first)
            bend = step * step if more else 0.0
            ways, bends = (
                self.draw(f"{label} {how} {axis}", axes, lambda s: s.uniform(-1.0, 1.0)).cells
                for how in ("along", "bent")
            )
            moves = (exponential(d * step + c * bend) for d, c in zip(ways, bends, strict=True))
            weights = Tensor(axes, [w * m for w, m in zip(weights.cells, moves, strict=True)])
        return weights

    def near(self, law: Law, axes: tuple[str, ...], label: str) -> Tensor:
        """Weights next to those of another density: its conditional given the rest, and in every fourth model its
        marginals."""
        other = self.joint(law.near, ())
        extra = tuple(axis for axis in other.axes if axis not in axes)
        kept = tuple(axis for axis in other.axes if axis not in extra)
        size = math.prod(self.card(axis) for axis in extra)
        cells = self.spread(other, (*kept, *extra))
        joint = Tensor(kept, cells[::size])
        marginals = self.constant(1.0)
        for axis in kept:
            marginals = self.times(marginals, self.reduced(other, [a for a in other.axes if a != axis], sum))
        share = max(1, len(joint.cells) // self.models)
        rows = zip(joint.cells, self.spread(marginals, kept), strict=True)
        base = Tensor(kept, [m if (k // share) % 4 == 3 else j for k, (j, m) in enumerate(rows)])
        noise = self.draw(
            f"{label} near",
            axes,
            lambda s: math.exp(s.uniform(-0.06, 0.06) if s.random() < 0.5 else s.uniform(-0.3, 0.3)),
        )
        return self.times(noise, base)

    def mean_field(self, name: str, optimal: tuple[tuple[str, ...], tuple[str, ...], str, tuple[str, ...]]) -> Tensor:
        """The factor of a mean-field q that is best given the other: proportional to exp E[log p]."""
        own, rest, target, given = optimal
        others = self.constant(1.0)
        for children, parents in self.factors(name):
            if set(children) != set(own):
                others = self.times(others, self.factor(name, self.laws[name], children, parents, ()))
        others = self.reduced(others, tuple(a for a in others.axes if a not in rest), sum)
        density = self.marginal(target, (*own, *rest), given, ())
        energy = self.reduced(
            self.times(others, Tensor(density.axes, [logarithm(c) for c in density.cells])), rest, sum
        )
        weights = Tensor(energy.axes, [exponential(c) for c in energy.cells])
        return self.over(weights, self.reduced(weights, own, sum))

    def marginal(
        self, name: str, left: tuple[str, ...], right: tuple[str, ...], seeds: tuple[tuple[str, int], ...]
    ) -> Tensor:
        """Probabilities of some roles given others."""
        kept = {*left, *right}
        law = self.laws[name]
        known = {*law.parameters, *kept}
        cut = self.summed(name, kept, tuple(seed for seed in seeds if seed[0] in known))
        if not right:
            return cut
        behind = tuple(seed for seed in seeds if seed[0] in known and seed[0] not in left)
        return self.over(cut, self.summed(name, set(right), behind))

    def summed(self, name: str, kept: set[str], seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """The joint summed over all other roles; what is summed over does not move."""
        return self.reduced(self.joint(name, seeds), [r for r in self.laws[name].roles if r not in kept], sum)

    def table(self, data: tuple[Any, ...], seeds: tuple[tuple[str, int], ...]) -> Tensor:
        """The density of some atoms given others."""
        name, left, right, parameters = self.substituted(data)
        noise = self.assumptions.get("posterior_of_noise", {}).get(name)
        if noise is not None and {self.role(a) for a in left} == {noise[1]}:
            own = self.marginal(noise[0], (noise[2],), (), ())
            return Tensor(tuple(left[0] if axis == noise[2] else axis for axis in own.axes), own.cells)
        both = set(left) & set(right)
        left = tuple(atom for atom in left if atom not in both)
        if not left:
            return self.constant(1.0)
        override = self.overrides.get(name)
        if override is not None:
            return self.overridden(override, left, right)
        mine = {self.role(atom): atom for atom in (*left, *right)}
        law = self.laws[name]
        axes_of = {**mine, **dict(zip(law.parameters, parameters, strict=False))}
        inner = tuple((role, level) for role, axis in axes_of.items() for seed, level in seeds if seed == axis)
        key = ("marginal", name, tuple(self.role(a) for a in left), tuple(self.role(a) for a in right), inner)
        found = self.cache.get(key)
        if found is None:
            found = self.marginal(name, key[2], key[3], inner)
            self.cache[key] = found
        renamed = Tensor(tuple(axes_of.get(axis, axis) for axis in found.axes), found.cells)
        return self.per_size(renamed, left)

    def substituted(self, data: tuple[Any, ...]) -> tuple[Any, ...]:
        """The density that stands for another one under the assumption that q is a posterior; its parameters are its
        own, not those of q."""
        name, left, right, _ = data
        target = self.assumptions.get("posterior", {}).get(name)
        if target is None:
            return data
        other, given = target
        known = {self.role(atom) for atom in (*left, *right)}
        return other, left, (*right, *(role for role in given if role not in known)), tuple(self.laws[other].parameters)

    def overridden(self, table: Tensor, left: tuple[str, ...], right: tuple[str, ...]) -> Tensor:
        """Marginals and conditionals of a table that replaces a density for a while."""
        masses = table
        drop = [axis for axis in table.axes if axis not in left and axis not in right and axis in self.assumed_axes]
        masses = self.reduced(masses, drop, sum)
        inside = [axis for axis in left if axis in masses.axes]
        return self.per_size(self.over(masses, self.reduced(masses, inside, sum)), left)

    assumed_axes: tuple[str, ...] = ()

    def per_size(self, tensor: Tensor, left: tuple[str, ...]) -> Tensor:
        """Probabilities as densities."""
        if not self.setting.continuous:
            return tensor
        for atom in left:
            tensor = self.over(tensor, self.size(atom))
        return tensor
