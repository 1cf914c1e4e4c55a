r"""Evaluates a plan on many finite models at once.

A value is an array with one axis for the models and one axis for each variable of the display; a variable on
which the value does not depend has length one there. Everything broadcasts, and a sum over a variable is a sum
over its axis. The same code runs on numpy arrays and, under a gradient, on torch tensors with forward-mode
automatic differentiation along the parameter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from lvmlib.derivation.plan import OBSERVED, Operation, Plan
from lvmlib.derivation.reader import DerivationSyntaxError

__all__ = ["Deadline", "TooSlowError", "World"]

Array = Any
_MAX_CELLS = 6_000_000
_PARAMETER_VALUES = 3


class TooSlowError(DerivationSyntaxError):
    """The time allowed for one derivation is over."""


@lru_cache(maxsize=1)
def _torch() -> Any:
    """Loads torch with the parts that it loads on first use."""
    import torch

    start = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    torch.func.jvp(torch.exp, (torch.zeros(1),), (torch.ones(1),))
    torch.optim.LBFGS([start])
    return torch


class Deadline:
    """A moment after which evaluation stops, in the time that this thread computes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = time.thread_time() + seconds

    def check(self) -> None:
        if time.thread_time() > self.end:
            raise TooSlowError(f"not decided within {self.seconds:g} seconds: give it in pieces")

    def left(self) -> float:
        return self.end - time.thread_time()

    def torch(self) -> Any:
        """The module torch; what its first use takes to load is not counted."""
        start = time.thread_time()
        module = _torch()
        self.end += time.thread_time() - start
        return module


class World:
    """A batch of finite models: a table for every density, function and scalar of a plan.

    Args:
        plan: What will be evaluated.
        cards: For each role, how many values its variables take.
        models: How many models.
        rng: Where the tables come from.
        deadline: When to stop.
        simple: Draw probabilities that are multiples of 1/8, 1/10, …, for a reader's eyes.
        posterior: Letters to replace by the posterior of p, or by its prior ("prior").
        restricted: Letters that get probability zero at some values.
        measured: Give each value of a variable a random size, so that a density may exceed 1 as it may on the line;
            without, every value has size 1 and a density is a probability.
        independent: A letter, two of its variables, and those given which they are made independent.
        near: Letters that in half of the models are close to the posterior, where bounds are tight.
    """

    def __init__(
        self,
        plan: Plan,
        cards: Mapping[str, int],
        models: int,
        rng: np.random.Generator,
        deadline: Deadline,
        *,
        simple: bool = False,
        posterior: Mapping[str, str] | None = None,
        restricted: frozenset[str] = frozenset(),
        measured: bool = False,
        independent: tuple[str, str, str, tuple[str, ...]] | None = None,
        near: frozenset[str] = frozenset(),
    ) -> None:
        self.plan = plan
        self.cards = dict(cards)
        self.models = models
        self.rng = rng
        self.deadline = deadline
        self.simple = simple
        self.substitutes = dict(posterior or {})
        self.restricted = restricted
        self.measured = measured
        self.independent = independent
        self.near = near
        names = sorted({name for operation in plan.operations for name in operation.free} | self.bound_names())
        self.axes = {name: place + 1 for place, name in enumerate(names)}
        self.dimensions = len(names) + 1
        if self.dimensions > 30:
            raise DerivationSyntaxError("too many variables at once")
        self.tables: dict[str, Array] = {}
        self.logits: dict[str, Array] = {}
        self.slopes: dict[str, Array] = {}
        self.values: dict[str, Array] = {}
        self.cache: dict[int, Array] = {}
        self.override: dict[str, Array] = {}
        self.parameters: dict[str, Array] = {}
        self.tensors = False
        self.size_of_tables = np.zeros(models)
        searched = any(operation.kind == "optimum" for operation in plan.operations)
        self.spreads = [0.4, 1.0] if searched else [0.4, 1.0, 2.0, 4.0]

    def bound_names(self) -> set[str]:
        found: set[str] = set()
        for operation in self.plan.operations:
            if operation.kind in ("total", "average"):
                found.update(str(name) for name in operation.data)
            elif operation.kind == "optimum":
                found.update(operation.data[2], operation.data[3])  # type: ignore[arg-type]
        return found

    def card(self, name: str) -> int:
        return self.cards.get(self.plan.role(name), _PARAMETER_VALUES)

    def random_weights(self, shape: tuple[int, ...]) -> Array:
        """Positive weights: log-normal, peaked in some models and flat in others."""
        if self.simple:
            return self.rng.integers(1, 6, size=shape).astype(float)
        spread = self.rng.choice(self.spreads, size=(shape[0], *([1] * (len(shape) - 1))))
        return np.exp(spread * self.rng.standard_normal(shape))

    def shape_of(self, letter: str) -> tuple[list[str], tuple[int, ...]]:
        roles = list(self.plan.letter_roles.get(letter, {}))
        parameters = list(self.plan.axes_of(letter))
        sizes = (self.models, *(self.cards[role] for role in roles), *([_PARAMETER_VALUES] * len(parameters)))
        if int(np.prod([float(size) for size in sizes])) > _MAX_CELLS:
            raise DerivationSyntaxError(f"the table of {letter} would be too large")
        return roles, sizes

    def table(self, letter: str) -> Array:
        """The joint table of a letter, axes in the order of its roles, then of its parameters."""
        if letter in self.tables:
            return self.tables[letter]
        roles, shape = self.shape_of(letter)
        axes = tuple(range(1, len(roles) + 1))
        if letter in self.plan.joints:
            left, right, place = self.plan.joints[letter]
            value = self.evaluate(place)
            value = np.broadcast_to(value, np.broadcast_shapes(value.shape, self.full((*left, *right))))
            order = {name: self.axes[name] for name in (*left, *right)}
            by_role = {self.plan.role(name): name for name in (*left, *right)}
            if self.measured:
                for name in (*left, *right):
                    value = value * self.size_of(name)
            value = np.transpose(value, [0, *(order[by_role[r]] for r in roles), *self.others(order.values())])
            table = value.reshape(shape[: len(roles) + 1])
            table = table / table.sum(axis=axes, keepdims=True)
        else:
            weights = self.random_weights(shape)
            total = weights.sum(axis=axes, keepdims=True)
            self.size_of_tables += total.reshape(self.models, -1).sum(axis=1)
            table = weights / total
            exempt = [role for role in roles if role in self.plan.context.exempt.get(letter, ())]
            if exempt and len(shape) > len(roles) + 1:
                table = self.with_prior(table, roles, exempt)
        if letter in self.near and letter not in self.plan.joints:
            table = self.bring_near(table, letter, roles)
        if self.independent is not None and letter == self.independent[0]:
            table = self.make_independent(table, roles)
        if letter in self.restricted and letter not in self.plan.joints:
            table = self.restrict(table, roles)
        self.tables[letter] = table
        return table

    def bring_near(self, table: Array, letter: str, roles: list[str]) -> Array:
        """Replaces half of the tables by perturbations of p's, with the first value of what the letter lacks."""
        known = list(self.plan.letter_roles.get("p", {}))
        if letter == "p" or not set(roles) <= set(known) or self.plan.axes_of("p") or self.plan.axes_of(letter):
            return table
        lacking = tuple(0 if role in OBSERVED and role not in roles else slice(None) for role in known)
        kept = [role for role, chosen in zip(known, lacking, strict=True) if chosen != 0]
        model = self.table("p")[(slice(None), *lacking)]
        model = model.sum(axis=tuple(place + 1 for place, role in enumerate(kept) if role not in roles))
        kept = [role for role in kept if role in roles]
        model = np.transpose(model, [0, *(kept.index(role) + 1 for role in roles)])
        size = self.rng.choice([0.03, 0.3, 1.0], size=(len(table), *([1] * len(roles))))
        model = model * np.exp(size * self.rng.standard_normal(table.shape))
        model = model / model.sum(axis=tuple(range(1, model.ndim)), keepdims=True)
        chosen = (np.arange(len(table)) % 2).reshape((-1,) + (1,) * len(roles))
        return np.where(chosen == 1, model, table)

    def make_independent(self, table: Array, roles: list[str]) -> Array:
        """The nearest table in which two variables are independent given others."""
        assert self.independent is not None
        _, first, second, given = self.independent

        def marginal(*keep: str) -> Array:
            away = tuple(place + 1 for place, role in enumerate(roles) if role not in keep)
            return table.sum(axis=away, keepdims=True)

        kept = marginal(first, second, *given)
        return table / kept * marginal(first, *given) * marginal(second, *given) / marginal(*given)

    def size_of(self, name: str) -> Array:
        """The sizes of a variable's values, on its axis."""
        role = self.plan.role(name)
        key = f"size of d{role}"
        if key not in self.values:
            sizes = (self.models, self.card(name))
            simple = self.simple
            drawn = (
                self.rng.choice([0.25, 0.5, 2.0], size=sizes) if simple else np.exp(self.rng.normal(-0.7, 1.0, sizes))
            )
            self.values[key] = drawn
        shape = [self.models] + [1] * (self.dimensions - 1)
        shape[self.axes[name]] = self.card(name)
        return self.lifted(self.values[key].reshape(shape))

    def per_size(self, density: Array, left: tuple[str, ...]) -> Array:
        """A density, from probabilities."""
        if self.measured:
            for name in left:
                density = density / self.size_of(name)
        return density

    def with_prior(self, table: Array, roles: list[str], exempt: list[str]) -> Array:
        """Makes the marginal of the exempt variables the same at all values of the parameters."""
        others = tuple(place + 1 for place, role in enumerate(roles) if role not in exempt)
        marginal = table.sum(axis=others, keepdims=True)
        first = marginal[(slice(None),) * (len(roles) + 1) + (slice(0, 1),) * (table.ndim - len(roles) - 1)]
        return table / marginal * first

    def restrict(self, table: Array, roles: list[str]) -> Array:
        """Takes all probability from some values of the latent variables."""
        latent = [place + 1 for place, role in enumerate(roles) if role not in OBSERVED]
        if not latent:
            return table
        sizes = [table.shape[0], *(table.shape[p] if p in latent else 1 for p in range(1, table.ndim))]
        keep = self.rng.random(sizes) < 0.6
        flat = keep.reshape(table.shape[0], -1)
        flat[np.arange(len(flat)), self.rng.integers(flat.shape[1], size=len(flat))] = True
        kept = table * flat.reshape(sizes)
        total = kept.sum(axis=tuple(latent), keepdims=True)
        marginal = table.sum(axis=tuple(latent), keepdims=True)
        return kept / np.where(total > 0, total, 1.0) * marginal

    def full(self, names: Iterable[str]) -> tuple[int, ...]:
        shape = [self.models] + [1] * (self.dimensions - 1)
        for name in names:
            shape[self.axes[name]] = self.card(name)
        return tuple(shape)

    def others(self, used: Iterable[int]) -> list[int]:
        taken = set(used)
        return [axis for axis in range(1, self.dimensions) if axis not in taken]

    def moving_table(self, letter: str) -> Array:
        """The table of a letter under a gradient: log-linear in the parameters on which it depends."""
        import torch

        table = torch.as_tensor(np.ascontiguousarray(self.table(letter)), dtype=torch.float64)
        moving = [name for name in sorted(self.plan.moves(letter)) if name in self.parameters]
        if not moving:
            return table
        if letter in self.plan.joints:
            raise DerivationSyntaxError(f"a gradient of {letter}, which is defined by other densities, is not read")
        roles, shape = self.shape_of(letter)
        exempt = [place + 1 for place, role in enumerate(roles) if role in self.plan.context.exempt.get(letter, ())]
        normalised = tuple(axis for axis in range(1, len(roles) + 1) if axis not in exempt)
        logits = torch.log(table)
        for name in moving:
            key = f"{letter}/{name}"
            if key not in self.slopes:
                self.slopes[key] = self.rng.standard_normal(shape)
            slope = torch.as_tensor(self.slopes[key], dtype=torch.float64)
            logits = logits + slope * self.parameters[name].reshape((-1,) + (1,) * (len(shape) - 1))
        weights = torch.exp(logits)
        scale = table.sum(dim=normalised, keepdim=True) if exempt else 1.0
        return weights / weights.sum(dim=normalised, keepdim=True) * scale

    def conditional(self, letter: str, left: tuple[str, ...], right: tuple[str, ...]) -> Array:
        """p(left | right) on the axes of the named variables."""
        if letter in self.override:
            return self.overridden(letter, left, right)
        mode = self.substitutes.get(letter)
        if mode is not None:
            letter, left, right = self.substituted(left, right, mode)
        table = self.moving_table(letter) if self.tensors else self.table(letter)
        roles = list(self.plan.letter_roles[letter])
        names = {self.plan.role(name): name for name in (*left, *right)}
        keep = [place + 1 for place, role in enumerate(roles) if role in names]
        drop = tuple(place + 1 for place, role in enumerate(roles) if role not in names)
        joint = table.sum(axis=drop) if drop else table
        kept_roles = [roles[place - 1] for place in keep]
        parameters = self.plan.axes_of(letter)
        targets = [self.axes[names[role]] for role in kept_roles] + [self.axes[name] for name in parameters]
        order = np.argsort(targets, kind="stable")
        permutation = [0, *(int(place) + 1 for place in order)]
        joint = joint.permute(permutation) if self.tensors else joint.transpose(permutation)
        shape = [self.models] + [1] * (self.dimensions - 1)
        for position, place in enumerate(order):
            shape[targets[int(place)]] = joint.shape[1 + position]
        joint = joint.reshape(shape)
        if not right:
            return self.per_size(joint, left)
        left_axes = tuple(self.axes[name] for name in left)
        total = joint.sum(axis=left_axes, keepdims=True)
        if letter in self.restricted and not self.tensors:
            return self.per_size(joint / np.where(total > 0, total, 1.0), left)
        return self.per_size(joint / total, left)

    def substituted(
        self, left: tuple[str, ...], right: tuple[str, ...], mode: str
    ) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        known = self.plan.letter_roles.get("p", {})
        if not {self.plan.role(name) for name in (*left, *right)} <= set(known):
            raise DerivationSyntaxError("p has no such variables")
        if mode == "prior":
            return "p", left, ()
        used = {self.plan.role(name) for name in (*left, *right)}
        given = [role for role in known if role in OBSERVED and role not in used]
        return "p", left, (*right, *(name for name in given if name in self.axes))

    def overridden(self, letter: str, left: tuple[str, ...], right: tuple[str, ...]) -> Array:
        table = self.override[letter]
        every = self.override_axes
        drop = tuple(axis for axis in every if axis not in [self.axes[n] for n in (*left, *right)])
        joint = table.sum(axis=drop, keepdims=True) if drop else table
        inside = tuple(self.axes[n] for n in left)
        return self.per_size(joint / joint.sum(axis=inside, keepdims=True), left)

    override_axes: tuple[int, ...] = ()

    def evaluate(self, place: int) -> Array:
        """The value of one step of the plan."""
        found = self.cache.get(place)
        if found is None:
            self.deadline.check()
            operation = self.plan.operations[place]
            found = self.compute(operation)
            self.cache[place] = found
        return found

    def constant(self, value: float) -> Array:
        shape = (1,) * self.dimensions
        if self.tensors:
            import torch

            return torch.full(shape, value, dtype=torch.float64)
        return np.full(shape, value)

    def lifted(self, array: Array) -> Array:
        if self.tensors:
            import torch

            return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float64)
        return array

    def named_table(self, key: str, names: tuple[str, ...], draw: Callable[[tuple[int, ...]], Array]) -> Array:
        """A random table over the given variables, the same wherever it is used."""
        roles = tuple(self.plan.role(name) for name in names)
        stored = f"{key}({','.join(roles)})"
        if stored not in self.values:
            self.values[stored] = draw((self.models, *(self.card(name) for name in names)))
        table = self.values[stored]
        targets = [self.axes[name] for name in names]
        if len(set(targets)) < len(targets):
            raise DerivationSyntaxError("a function takes the same variable twice")
        table = np.transpose(table, [0, *(int(p) + 1 for p in np.argsort(targets))])
        return self.lifted(table.reshape(self.full(names)))

    def number_of(self, name: str) -> Array:
        if name not in self.values:
            low, high = self.plan.context.ranges.get(name, (0.15, 2.5))
            if self.simple and name not in self.plan.context.ranges:
                drawn = self.rng.choice([0.5, 2.0, 3.0, 0.25], size=self.models)
            else:
                drawn = self.rng.uniform(low, high, size=self.models)
                if name not in self.plan.context.ranges:
                    drawn = np.where(abs(drawn - 1.0) < 0.08, 0.8, drawn)
            self.values[name] = drawn
        return self.lifted(self.values[name].reshape((-1,) + (1,) * (self.dimensions - 1)))

    def function_values(self, name: str, shape: tuple[int, ...]) -> Array:
        if self.simple:
            return self.rng.integers(1, 5, size=shape).astype(float)
        if name.split("_")[0] in self.plan.context.positive or name in self.plan.context.positive:
            return np.exp(0.8 * self.rng.standard_normal(shape))
        return self.rng.standard_normal(shape)

    def compute(self, operation: Operation) -> Array:
        kind, arguments, data, _ = operation
        if kind == "number":
            return self.constant(data[0])  # type: ignore[arg-type]
        if kind == "density":
            return self.conditional(*data)  # type: ignore[arg-type]
        if kind == "scalar":
            return self.number_of(str(data[0]))
        if kind == "value":
            name = str(data[0])
            return self.named_table(
                f"value {self.plan.role(name)}",
                (name,),
                lambda shape: self.function_values(self.plan.role(name), shape),
            )
        if kind == "function":
            return self.function(*data)  # type: ignore[arg-type]
        if kind == "gradient":
            return self.gradient(arguments[0], data)  # type: ignore[arg-type]
        if kind == "optimum":
            return self.optimum(arguments[0], *data)  # type: ignore[arg-type]
        values = [self.evaluate(argument) for argument in arguments]
        return self.arithmetic(kind, values, data)

    def function(self, label: str, names: tuple[str, ...], parameters: tuple[str, ...]) -> Array:
        """An arbitrary function of some variables, which moves with its parameters under a gradient."""
        table = self.named_table(label, names, lambda shape: self.function_values(label, shape))
        for name in parameters:
            if self.tensors and name in self.parameters:
                slope = self.named_table(f"{label}/{name}", names, self.rng.standard_normal)
                table = table + slope * self.parameters[name].reshape((-1,) + (1,) * (self.dimensions - 1))
        return table

    def arithmetic(self, kind: str, values: list[Array], data: tuple[object, ...]) -> Array:
        module: Any = np
        if self.tensors:
            import torch

            module = torch
        careful = bool(self.restricted) and not self.tensors
        if kind == "sum":
            total = values[0]
            for value in values[1:]:
                self.check_size(total, value)
                total = total + value
            return total
        if kind == "product":
            total = values[0]
            for value in values[1:]:
                total = self.times(total, value, careful)
            return total
        if kind == "ratio":
            self.check_size(*values)
            if careful:
                return np.where((values[0] == 0) & (values[1] == 0), 0.0, values[0] / values[1])
            return values[0] / values[1]
        if kind == "log":
            return module.log(values[0])
        if kind == "exp":
            return module.exp(values[0])
        if kind == "abs":
            return abs(values[0])
        if kind == "power":
            self.check_size(*values)
            return values[0] ** values[1]
        if kind == "average":
            return self.summed(self.times(values[0], values[1], careful), data)
        if kind == "total":
            return self.summed(values[0], data)
        assert kind == "extremum"
        how, *names = data
        axes = tuple(self.axes[str(name)] for name in names)
        if self.tensors:
            if how not in ("max", "min"):
                raise DerivationSyntaxError("an arg max inside a gradient or another extremum is not read")
            return getattr(module, f"a{how}")(values[0], dim=axes, keepdim=True)
        if how in ("max", "min"):
            reduced = values[0]
            for axis in axes:
                reduced = (
                    reduced.max(axis=axis, keepdims=True) if how == "max" else reduced.min(axis=axis, keepdims=True)
                )
            return reduced
        chooser = np.argmax if how == "argmax" else np.argmin
        return chooser(values[0], axis=axes[0], keepdims=True).astype(float)

    def check_size(self, a: Array, b: Array) -> None:
        cells = 1
        for m, n in zip(a.shape, b.shape, strict=True):
            cells *= max(m, n)
        if cells > _MAX_CELLS:
            raise DerivationSyntaxError("too many variables at once for a table of all their values")

    def times(self, a: Array, b: Array, careful: bool) -> Array:
        self.check_size(a, b)
        if careful:
            return np.where((a == 0) | (b == 0), 0.0, a * b)
        return a * b

    def summed(self, value: Array, names: tuple[object, ...]) -> Array:
        axes = [self.axes[str(name)] for name in names]
        if self.measured:
            for name in names:
                size = self.size_of(str(name))
                self.check_size(value, size)
                value = value * size
        repeated = 1.0
        for name, axis in zip(names, axes, strict=True):
            if value.shape[axis] == 1:
                repeated *= self.card(str(name))
        total = value.sum(axis=tuple(axes), keepdims=True)
        return total * repeated if repeated != 1.0 else total

    def gradient(self, place: int, names: tuple[str, ...]) -> Array:
        """The derivative along the parameters, by torch's forward-mode automatic differentiation."""
        torch = self.deadline.torch()

        outer = (self.cache, self.parameters, self.tensors)
        nested = self.tensors

        def moved(step: Any) -> Any:
            current = dict(outer[1])
            for name in names:
                current[name] = current[name] + step if name in current else step
            self.cache, self.parameters, self.tensors = {}, current, True
            try:
                value = self.evaluate(place)
                return value + torch.zeros((self.models,) + (1,) * (self.dimensions - 1), dtype=torch.float64)
            finally:
                self.cache, self.parameters, self.tensors = outer

        start = torch.zeros(self.models, dtype=torch.float64)
        tangent: Any = torch.func.jvp(moved, (start,), (torch.ones_like(start),))[1]
        return tangent if nested else tangent.detach().numpy()

    def optimum(self, place: int, how: str, letter: str, lefts: tuple[str, ...], outer: tuple[str, ...]) -> Array:
        """The extremum over all densities q, found by ascent on the logits of its table."""
        torch = self.deadline.torch()

        if self.tensors:
            raise DerivationSyntaxError("an extremum inside a gradient is not read")
        shape = self.full((*lefts, *outer))
        axes = tuple(self.axes[name] for name in lefts)
        logits = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        sign = -1.0 if how.endswith("max") else 1.0
        solver = torch.optim.LBFGS(
            [logits], lr=1.0, max_iter=120, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
        )
        state = (self.cache, self.override, self.tensors, self.override_axes)

        def value() -> Any:
            weights = torch.exp(logits - logits.amax(dim=axes, keepdim=True))
            self.cache, self.tensors, self.override_axes = {}, True, axes
            self.override = {**state[1], letter: weights / weights.sum(dim=axes, keepdim=True)}
            try:
                return self.evaluate(place)
            finally:
                self.cache, self.override, self.tensors, self.override_axes = state

        def closure() -> Any:
            self.deadline.check()
            solver.zero_grad()
            loss = sign * value().sum()
            loss.backward()
            return loss

        undefined = DerivationSyntaxError("an extremum of what is not a real number")
        if not bool(torch.isfinite(value()).all()):
            raise undefined
        self.natural_steps(value, logits, sign, axes)
        try:
            solver.step(closure)
        except IndexError:  # torch's line search, when it meets nothing but NaN
            raise undefined from None
        with torch.no_grad():
            if how.startswith("arg"):
                return self.per_size(self.normalised(logits, axes), lefts)
            return value().numpy()

    def natural_steps(self, value: Callable[[], Any], logits: Any, sign: float, axes: tuple[int, ...]) -> None:
        """Steps along the natural gradient, which for an evidence lower bound ends at once; kept where they help."""
        import torch

        for _ in range(3):
            logits.grad = None
            before = value()
            (sign * before.sum()).backward()
            with torch.no_grad():
                start = logits.clone()
                probabilities = torch.exp(start - start.logsumexp(dim=axes, keepdim=True))
                slope = logits.grad / probabilities
                logits -= slope
                after = value()
                better = torch.isfinite(after) & (sign * after <= sign * before)
                logits.copy_(torch.where(better, logits, start))
        logits.grad = None

    def normalised(self, logits: Any, axes: tuple[int, ...]) -> Array:
        weights = np.exp(logits.detach().numpy())
        return weights / weights.sum(axis=axes, keepdims=True)
