r"""Verdicts: evaluates the two sides of every relation, and says what was found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from lvmlib.derivation.causes import edits
from lvmlib.derivation.evaluation import Deadline, TooSlowError, World
from lvmlib.derivation.grammar import PARAMETERS, READINGS, ParsedSide, parse_side
from lvmlib.derivation.plan import OBSERVED, Context, Plan
from lvmlib.derivation.reader import DerivationSyntaxError, Side, Statement, read_statements
from lvmlib.derivation.report import Counterexample, DerivationLine, DerivationReport
from lvmlib.derivation.syntax import (
    Call,
    Density,
    Entropy,
    Expectation,
    Expression,
    Extremum,
    FreeConstant,
    Gradient,
    Index,
    IndexedSum,
    Information,
    Integral,
    Measure,
    Number,
    Product,
    Variable,
    in_text,
    to_latex,
)

__all__ = ["check_derivation"]

SECONDS = 1.5
_SHOWN = {">=": "≥", "<=": "≤", "propto": "∝", "approx": "≈", "!=": "≠", "const": "= (up to a constant)"}
_TURNED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}
_RANGE = re.compile(r"^\s*(\\?[A-Za-z]+)\s*\\in\s*[(\[]\s*(-?[\d.]+)\s*,\s*(-?[\d.]+|\\infty)\s*[)\]]\s*$")
_BOUND = re.compile(r"^\s*(\\?[A-Za-z]+)\s*([<>])\s*(-?[\d.]+)\s*$")
_BOUNDS = re.compile(r"^\s*(-?[\d.]+)\s*<\s*(\\?[A-Za-z]+)\s*<\s*(-?[\d.]+)\s*$")

Array = Any


@dataclass(slots=True)
class _Side:
    """One side of a relation, with all its readings; ``error`` where it cannot be read."""

    side: Side
    parsed: ParsedSide | None = None
    error: DerivationSyntaxError | None = None
    mended: DerivationSyntaxError | None = None
    announces: str = ""
    readings: list[tuple[frozenset[str], Expression]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Chain:
    sides: list[_Side]
    relations: list[str]


@dataclass(slots=True)
class _Setting:
    """One batch of models in which all sides are evaluated."""

    sizes: dict[str, int]
    free_index: int
    observed: int
    latent: int
    measured: bool = False


def _ranges(text: str) -> tuple[str, float, float] | None:
    r"""Reads ``\alpha \in (0, 1)``, ``\alpha > 1`` or ``0 < \alpha < 1``."""
    if (match := _RANGE.match(text)) is not None:
        high = float(match.group(2)) + 3.0 if "infty" in match.group(3) else float(match.group(3))
        return match.group(1).lstrip("\\"), float(match.group(2)), high
    if (match := _BOUND.match(text)) is not None:
        bound = float(match.group(3))
        low, high = (bound, bound + 3.0) if match.group(2) == ">" else (bound - 3.0, bound)
        return match.group(1).lstrip("\\"), low, high
    if (match := _BOUNDS.match(text)) is not None:
        return match.group(2).lstrip("\\"), float(match.group(1)), float(match.group(3))
    return None


def _listed(definitions: str | Sequence[str] | Mapping[str, str] | None) -> list[str]:
    if definitions is None:
        return []
    if isinstance(definitions, str):
        return [definitions]
    if isinstance(definitions, Mapping):
        return [f"{name} := {body}" for name, body in definitions.items()]
    texts = list(definitions)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"definitions holds {type(text).__name__}; give LaTeX such as 'w(z) := p(x,z)/q(z)'")
    return texts


class _Checker:
    """One call of :func:`check_derivation`."""

    def __init__(
        self, latex: str, num_models: int, seed: int, macros: Mapping[str, tuple[int, str]] | None, explain: bool
    ) -> None:
        self.latex = latex
        self.models = num_models
        self.seed = seed
        self.macros = macros
        self.explain = explain
        self.deadline = Deadline(SECONDS)
        self.definitions: dict[str, tuple[Call, Expression]] = {}
        self.densities: list[tuple[Density, Expression]] = []
        self.samples: dict[str, Density] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.chains: list[_Chain] = []
        self.trees: list[Expression] = []
        self.defined: list[str] = []
        self.declared = False
        self.has_bare = False
        self.bare = False

    def read(self, latex: str, given: bool) -> list[_Chain]:
        chains = []
        for statement in read_statements(latex, self.macros):
            if "~" in statement.relations:
                self.declare(statement, latex, given)
                if len(statement.relations) == 1:
                    continue
            chain = _Chain([self.side(side, latex) for side in statement.sides], statement.relations)
            chains.append(chain)
        return chains

    def side(self, side: Side, latex: str) -> _Side:
        found = _Side(side)
        try:
            found.parsed = self.parse(found, latex)
            first, seen = found.parsed.build()
            found.readings.append((frozenset(), first))
            flags = sorted(seen)[:3]
            for choice in product([False, True], repeat=len(flags)):
                chosen = frozenset(flag for flag, take in zip(flags, choice, strict=True) if take)
                if chosen:
                    tree, _ = found.parsed.build(chosen)
                    if all(tree != other for _, other in found.readings):
                        found.readings.append((chosen, tree))
        except DerivationSyntaxError as error:
            found.error = error
        return found

    def parse(self, found: _Side, latex: str) -> ParsedSide:
        """Parses a side, with its one unclosed parenthesis closed where it is clear where that belongs."""
        side = found.side
        for _ in range(4):
            try:
                return parse_side(side, latex)
            except DerivationSyntaxError as error:
                if error.mended is None:
                    raise found.mended or error from None
                found.mended = found.mended or error
                side = replace(side, symbols=error.mended)
        raise found.mended or DerivationSyntaxError("too many parentheses are not closed", latex, side.start)

    def declare(self, statement: Statement, latex: str, given: bool) -> None:
        r"""Reads ``z_k \sim q(z)``."""
        first, second = statement.sides[:2]
        symbols = first.symbols
        if not symbols or not second.symbols:
            raise DerivationSyntaxError(r"\sim needs a variable and a density", latex, first.start)
        if symbols[0].name in (r"\{", "(") and len(symbols) > 2:
            symbols = symbols[1:-1]
        self.declared = True
        side = self.side(second, latex)
        name = symbols[0].name.lstrip("\\")
        if side.error is not None:
            if given:
                raise side.error
            return
        tree = side.readings[0][1]
        if isinstance(tree, Density):
            self.samples[name] = tree
            self.trees.append(tree)

    def define(self, chain: _Chain, given: bool) -> None:
        """Takes the definitions out of a chain: those written as such, and names that nothing else defines."""
        for at, relation in enumerate(chain.relations):
            left, right = chain.sides[at], chain.sides[at + 1]
            if relation not in (":=", "="):
                continue
            for name, body in ((left, right), (right, left)):
                if name.error is not None or body.error is not None or name.announces:
                    continue
                pattern, tree = name.readings[0][1], body.readings[0][1]
                if self.take(pattern, tree, relation, given):
                    name.announces = in_text(pattern)
                    shown = self.latex if not given else ""
                    if shown and relation == ":=" and isinstance(pattern, Call):
                        first, second = name.side, body.side
                        text = f"{shown[first.start : first.end]} := {shown[second.start : second.end]}"
                        self.defined.append(" ".join(text.replace("&", " ").replace("\\\\", " ").split()))
                    break

    def take(self, pattern: Expression, body: Expression, relation: str, given: bool) -> bool:
        inside = set(body.walk())
        if isinstance(pattern, Call):
            stated = given or relation == ":="
            scalar = not pattern.variables and not pattern.others and not pattern.index
            named = pattern.name.startswith(("@", "cal:")) and pattern.name != "@ELBO"
            cyclic = any(isinstance(node, Call) and node.name == pattern.name for node in inside)
            if not stated and (isinstance(body, Call) or pattern.name == "@ELBO"):
                return False
            if pattern.name in self.definitions or cyclic:
                return False
            if stated or named or (not scalar and relation == "=" and self.unknown(pattern)):
                if scalar and isinstance(body, Number) and pattern.name.isupper() and len(pattern.name) == 1:
                    self.ranges[pattern.name] = (body.value, body.value)
                self.definitions[pattern.name] = (pattern, body)
                return True
        elif isinstance(pattern, Density) and pattern.left and (given or relation == ":="):
            self.densities.append((pattern, body))
            return True
        elif isinstance(pattern, Density) and "[" in pattern.letter and isinstance(body, Extremum):
            if pattern.left:
                self.densities.append((pattern, body))
            else:
                self.definitions[pattern.letter] = (Call(pattern.letter), body)
            return True
        return False

    def unknown(self, pattern: Call) -> bool:
        """Whether the first occurrence of a function is the side that introduces it."""
        first = self.chains[0].sides[0] if self.chains else None
        return first is not None and bool(first.readings) and first.readings[0][1] == pattern

    def context(self) -> Context:
        trees = [*self.trees]
        for pattern, body in self.definitions.values():
            trees += [body, *([] if not pattern.variables else [pattern])]
        for atom, body in self.densities:
            trees += [atom, body]
        for chain in self.chains:
            for side in chain.sides:
                trees += [tree for _, tree in side.readings[:1]]
        return Context(trees, self.definitions, self.densities, self.samples, self.ranges)

    def settings(self, context: Context) -> list[_Setting]:
        named = sorted(context.sizes)
        fixed = {name: int(low) for name, (low, high) in self.ranges.items() if low == high and name in named}
        first = {**{name: 2 + at % 2 for at, name in enumerate(named)}, **fixed}
        second = {**{name: 3 - at % 2 for at, name in enumerate(named)}, **fixed}
        return [_Setting(first, 1, 2, 3), _Setting(second, 2 if named else 1, 3, 2, self.is_continuous(context))]

    def is_continuous(self, context: Context) -> bool:
        """Whether densities may exceed 1: not where the display sums over values or speaks of entropy."""
        return not any(
            (isinstance(node, Integral) and node.is_sum) or isinstance(node, Entropy | Information)
            for tree in context.trees
            for node in tree.walk()
        )

    def cards(self, plan: Plan, observed: int, latent: int) -> dict[str, int]:
        roles = {plan.role(n) for o in plan.operations for n in (*o.free, *(o.data if o.kind == "total" else ()))}  # type: ignore[arg-type]
        roles |= {role for letter in plan.letter_roles.values() for role in letter} | set(plan.roles.values())
        roles -= (plan.context.extremised & PARAMETERS) - plan.context.families
        axes = {n for o in plan.operations for n in o.free}
        if len(axes) > 4:
            observed, latent = min(observed, 2), min(latent, 2)
        return {str(role): observed if str(role).split("_")[0] in OBSERVED else latent for role in roles}

    def evaluate(
        self,
        context: Context,
        trees: Sequence[Expression],
        setting: _Setting,
        models: int,
        stream: int,
        *,
        bare_posterior: bool | None = None,
        **modes: Any,
    ) -> tuple[list[Any], Plan, World | None]:
        """The values of many sides in one batch of models; an error in place of what has no value."""
        plan = Plan(context, setting.sizes, setting.free_index)
        plan.bare_posterior = self.bare if bare_posterior is None else bare_posterior
        places: list[int | DerivationSyntaxError] = []
        for tree in trees:
            try:
                places.append(plan.compile(tree, plan.environment()))
            except DerivationSyntaxError as error:
                places.append(error)
            self.deadline.check()
        self.has_bare = self.has_bare or plan.has_bare
        rng = np.random.default_rng([self.seed, stream])
        modes.setdefault("measured", setting.measured)
        world = World(plan, self.cards(plan, setting.observed, setting.latent), models, rng, self.deadline, **modes)
        values: list[Any] = []
        with np.errstate(all="ignore"):
            for place in places:
                if isinstance(place, DerivationSyntaxError):
                    values.append(place)
                    continue
                try:
                    values.append(world.evaluate(place))
                except TooSlowError:
                    raise
                except DerivationSyntaxError as error:
                    values.append(error)
        return values, plan, world

    def run(self, definitions: list[str]) -> DerivationReport:
        for text in definitions:
            self.define_given(text)
        self.declared = False
        try:
            self.chains = self.read(self.latex, False)
        except DerivationSyntaxError as error:
            return DerivationReport(self.latex, (_unreadable(self.latex.strip(), "", error),))
        if not self.chains and not self.declared:
            empty = DerivationSyntaxError("there is no formula here", self.latex, 0)
            return DerivationReport(self.latex, (_unreadable(self.latex.strip(), "", empty),))
        for chain in self.chains:
            self.define(chain, False)
        try:
            context = self.context()
            lines = self.verdicts(context)
            if self.has_bare and any(line.verdict == "false" for line in lines):
                self.bare = True
                others = self.verdicts(context)
                worse = sum(line.verdict == "false" for line in others) >= sum(
                    line.verdict == "false" for line in lines
                )
                if not worse:
                    note = "p standing alone is read as the posterior p(z | x) throughout"
                    lines = [replace(line, notes=(*line.notes, note)) for line in others]
        except DerivationSyntaxError as error:
            place = DerivationSyntaxError(error.message, self.latex, error.position)
            lines = [line for chain in self.chains for line in self.give_up(chain, place)]
        if not lines:
            shown = self.latex.strip()
            lines = [DerivationLine(shown, "~", "holds", notes=("a declaration: it states no relation",))]
        return DerivationReport(self.latex, tuple(lines), tuple(self.defined))

    def define_given(self, text: str) -> None:
        found = _ranges(text)
        if found is not None:
            self.ranges[found[0]] = found[1:]
            return
        for chain in self.read(text, True):
            for side in chain.sides:
                if side.error is not None:
                    raise side.error
            if not chain.relations:
                raise DerivationSyntaxError("a definition reads name := expression", text, 0)
            known = len(self.definitions) + len(self.densities)
            self.define(chain, True)
            if len(self.definitions) + len(self.densities) == known:
                raise DerivationSyntaxError("a definition has a name or a density on its left", text, 0)

    def give_up(self, chain: _Chain, error: DerivationSyntaxError) -> Iterator[DerivationLine]:
        for at in range(max(1, len(chain.relations))):
            sides = chain.sides[at : at + 2]
            broken = next((side.error for side in sides if side.error is not None), error)
            relation = chain.relations[at] if chain.relations else ""
            yield _unreadable(self.shown(chain, at), relation, broken)

    def shown(self, chain: _Chain, at: int) -> str:
        """The source of a line: its relation and right side, and for a first line its left side too."""
        if not chain.relations:
            return self.latex[chain.sides[0].side.start : chain.sides[0].side.end].strip()
        start = chain.sides[at].side.start if at == 0 else chain.sides[at].side.end
        return _trimmed(self.latex[start : chain.sides[at + 1].side.end])

    def verdicts(self, context: Context) -> list[DerivationLine]:
        sides = [side for chain in self.chains for side in chain.sides]
        trees: list[Expression] = []
        for side in sides:
            side.places = list(range(len(trees), len(trees) + len(side.readings)))
            trees += [tree for _, tree in side.readings]
        batches = []
        per_batch = max(1, self.models // 2)
        for stream, setting in enumerate(self.settings(context)):
            near = frozenset(context.signatures)
            batches.append(
                self.evaluate(context, trees, setting, per_batch, stream, near=near, bare_posterior=self.bare)
            )
        state = _State(self, context, trees, batches)
        lines: list[DerivationLine] = []
        for chain in self.chains:
            for at in range(len(chain.relations)):
                lines.append(state.line(chain, at))
            if not chain.relations:
                lines.append(state.alone(chain))
        return lines


def _trimmed(source: str) -> str:
    """A line without the alignment marks and row ends around it."""
    return re.sub(r"^(?:\s|&|\\\\|[,.;])+|(?:\s|&|\\\\|[,.;])+$", "", source)


def _unreadable(latex: str, relation: str, error: DerivationSyntaxError) -> DerivationLine:
    return DerivationLine(latex, relation, "unreadable", cause=error.message, error=error)


def _compare(left: Array, right: Array, relation: str, axes: tuple[int, ...], tolerance: float) -> Array:
    """For each model, whether the relation holds at every value of the free variables."""
    with np.errstate(all="ignore"):
        if relation == "propto":
            left, right = np.broadcast_arrays(left, right)
            left = left / left.sum(axis=axes, keepdims=True)
            right = right / right.sum(axis=axes, keepdims=True)
        elif relation == "const":
            left, right = np.broadcast_arrays(left, right)
            left = left - left.mean(axis=axes, keepdims=True)
            right = right - right.mean(axis=axes, keepdims=True)
        slack = tolerance * (1.0 + np.minimum(abs(left), abs(right)))
        gap = left - right
        if relation in ("=", "propto", "const", ":=", "approx"):
            good = (abs(gap) <= slack) | (left == right)
        elif relation == "!=":
            good = abs(gap) > slack
        elif relation in (">=", "<="):
            good = (gap >= -slack if relation == ">=" else gap <= slack) | (left == right)
        else:
            good = gap > slack if relation == ">" else gap < -slack
    return good.reshape(good.shape[0], -1).all(axis=1)


def _has_optimum(tree: Expression) -> bool:
    return any(isinstance(node, Extremum) for node in tree.walk())


def _is_arg(tree: Expression) -> bool:
    return any(isinstance(node, Extremum) and node.kind.startswith("arg") for node in tree.walk())


class _State:
    """What is known after all sides were evaluated, and what lines are found from it."""

    def __init__(self, checker: _Checker, context: Context, trees: list[Expression], batches: list[Any]) -> None:
        self.checker = checker
        self.context = context
        self.trees = trees
        self.batches = batches
        self.modes: dict[str, list[Any] | None] = {}
        self.mode_axes: dict[str, Any] = {}

    def tolerance(self, left: Expression, right: Expression) -> float:
        trees = [left, right]
        for tree in (left, right):
            for node in tree.walk():
                if isinstance(node, Call) and node.name in self.context.definitions:
                    trees.append(self.context.definitions[node.name][1])
                if isinstance(node, Density):
                    trees += [
                        b for d, b in self.context.densities if d.letter == node.letter and isinstance(b, Extremum)
                    ]
        if any(_is_arg(tree) for tree in trees):
            return 2e-4
        return 1e-6 if any(_has_optimum(tree) for tree in trees) else 1e-9

    def vary(self, chain: _Chain, at: int, world: World) -> tuple[int, ...]:
        r"""The axes along which two sides of a \propto are proportional."""
        names: set[str] = set()
        for side in (chain.sides[0], chain.sides[at], chain.sides[at + 1]):
            if side.readings and isinstance(side.readings[0][1], Density):
                atom = side.readings[0][1]
                names = set(world.plan.expand(world.plan.random(atom.left), world.plan.environment()))
                break
        if not names:
            names = {name for name in world.axes if world.plan.role(name).split("_")[0] not in OBSERVED}
        return tuple(world.axes[name] for name in sorted(names) if name in world.axes)

    def holds(self, chain: _Chain, at: int, i: int, j: int, relation: str) -> bool | DerivationSyntaxError:
        for values, _, world in self.batches:
            left, right = values[i], values[j]
            for value in (left, right):
                if isinstance(value, DerivationSyntaxError):
                    return value
            axes = self.vary(chain, at, world) if relation in ("propto", "const") else ()
            if relation in ("propto", "const") and not axes:
                return DerivationSyntaxError(f"{_SHOWN[relation]} in no variable: nothing is left free")
            if not _compare(left, right, relation, axes, self.tolerance(self.trees[i], self.trees[j])).all():
                return False
        return True

    def alone(self, chain: _Chain) -> DerivationLine:
        side = chain.sides[0]
        shown = self.checker.shown(chain, 0)
        if side.error is not None:
            return _unreadable(shown, "", side.error)
        value = self.batches[0][0][side.places[0]]
        if isinstance(value, DerivationSyntaxError):
            return _unreadable(shown, "", DerivationSyntaxError(value.message, self.checker.latex, side.side.start))
        notes = (*(side.parsed.notes if side.parsed else ()), "no relation: there is nothing to be true or false")
        return DerivationLine(shown, "", "holds", notes=notes)

    def line(self, chain: _Chain, at: int) -> DerivationLine:
        """The verdict on one relation; a side that had to be mended to be read is not called true."""
        left, right = chain.sides[at], chain.sides[at + 1]
        found = self.judged(chain, at)
        mended = right.mended or (left.mended if at == 0 else None)
        if mended is None or found.verdict == "unreadable":
            if left.mended is not None and found.verdict != "unreadable":
                return replace(found, notes=(*found.notes, "the left side is read with its parenthesis closed"))
            return found
        remark = f"with the parenthesis closed, the line {'holds' if found.verdict == 'holds' else 'is false'}"
        extra = [found.cause] if found.cause else []
        line = _unreadable(found.latex, found.relation, mended)
        return replace(line, notes=(remark, *extra, *found.notes), condition=found.condition)

    def judged(self, chain: _Chain, at: int) -> DerivationLine:
        checker = self.checker
        relation = chain.relations[at]
        left, right = chain.sides[at], chain.sides[at + 1]
        shown = checker.shown(chain, at)
        for side in (left, right):
            if side.error is not None:
                return _unreadable(shown, relation, side.error)
        if relation == "~":
            return DerivationLine(shown, relation, "holds", notes=("a declaration: it states no relation",))
        notes = list(dict.fromkeys([n for side in (left, right) if side.parsed for n in side.parsed.notes]))
        if relation == "approx":
            return self.approximation(chain, at, shown, notes)
        defining = next((s for s in (left, right) if s.announces and relation in ("=", ":=")), None)
        if relation == ":=" and defining is None:
            relation = "="
        if any(isinstance(node, FreeConstant) for s in (left, right) for node in s.readings[0][1].walk()):
            if relation != "=":
                error = DerivationSyntaxError(
                    "a constant without a value in an inequality", checker.latex, right.side.start
                )
                return _unreadable(shown, relation, error)
            relation = "const"
        default = self.holds(chain, at, left.places[0], right.places[0], relation)
        if isinstance(default, DerivationSyntaxError):
            broken = left if isinstance(self.batches[0][0][left.places[0]], DerivationSyntaxError) else right
            error = DerivationSyntaxError(default.message, checker.latex, broken.side.start)
            return _unreadable(shown, relation, error)
        chosen = (left.places[0], right.places[0]) if default else None
        if len(left.places) * len(right.places) > 1:
            chosen = self.other_readings(chain, at, relation, bool(default), notes)
        notes += [n for n in self.batches[0][1].notes if self.concerns(n, left, right)]
        if defining is not None:
            notes.append(f"a definition of {defining.announces}")
        if chosen is None:
            return self.false_line(chain, at, relation, shown, notes)
        return self.true_line(chain, at, relation, shown, notes, chosen, defining is not None)

    def concerns(self, note: str, left: _Side, right: _Side) -> bool:
        """Whether a note of the plan is about one of these sides."""
        if "prior" in note:
            return any("names no density" in n or "names neither" in n for s in (left, right) if s.parsed
                       for n in s.parsed.notes)  # fmt: skip
        subject = note.split("$")[1] if note.startswith("$") else note.split(" ")[0]
        return any(subject in to_latex(s.readings[0][1]) for s in (left, right))

    def other_readings(
        self, chain: _Chain, at: int, relation: str, default: bool, notes: list[str]
    ) -> tuple[int, int] | None:
        """Tries the other readings of an ambiguous line, and says which one was taken."""
        left, right = chain.sides[at], chain.sides[at + 1]
        chosen = (left.places[0], right.places[0]) if default else None
        for i, j in product(range(len(left.places)), range(len(right.places))):
            if (i, j) == (0, 0):
                continue
            outcome = self.holds(chain, at, left.places[i], right.places[j], relation)
            flags = sorted(left.readings[i][0] | right.readings[j][0])
            if chosen is None and outcome is True:
                chosen = (left.places[i], right.places[j])
                read = " and ".join(in_text(s.readings[k][1]) for s, k in ((left, i), (right, j)) if k)
                unclear = "; ".join(READINGS[flag] for flag in flags)
                notes.append(f"readers may differ on {unclear}: read as {read}")
                return chosen
            if default and outcome is False:
                read = " and ".join(in_text(s.readings[k][1]) for s, k in ((left, i), (right, j)) if k)
                notes.append(f"brackets would help: read as {read}, the line would be false")
                return chosen
        return chosen

    def guides(self) -> list[str]:
        """The letters other than p that are densities of latent variables."""
        found = []
        for letter, counter in self.context.signatures.items():
            lefts = {name for left, _ in counter for name in left}
            if letter.split("[")[0] != "p" and lefts and not lefts & OBSERVED:
                found.append(letter)
        return found

    def mode(self, name: str, **modes: Any) -> list[Any] | None:
        """The values of all sides in models of a special kind."""
        if name not in self.modes:
            try:
                setting = self.checker.settings(self.context)[0]
                values, _, world = self.checker.evaluate(self.context, self.trees, setting, 30, 90, **modes)
                self.modes[name], self.mode_axes[name] = values, world
            except TooSlowError:
                raise
            except DerivationSyntaxError:
                self.modes[name] = None
        return self.modes[name]

    def under(self, name: str, chain: _Chain, at: int, relation: str, i: int, j: int, **modes: Any) -> bool:
        values = self.mode(name, **modes)
        if (
            values is None
            or isinstance(values[i], DerivationSyntaxError)
            or isinstance(values[j], DerivationSyntaxError)
        ):
            return False
        axes = self.vary(chain, at, self.mode_axes[name]) if relation in ("propto", "const") else ()
        tolerance = self.tolerance(self.trees[i], self.trees[j])
        return bool(_compare(values[i], values[j], relation, axes, tolerance).all())

    def special(self, chain: _Chain, at: int, relation: str, i: int, j: int) -> str:
        """A choice of q for which an equality holds."""
        if any(_has_optimum(self.trees[k]) for k in (i, j)):
            return ""
        involved = {a.letter for k in (i, j) for a in self.trees[k].walk() if isinstance(a, Density)}
        involved |= {
            a.letter
            for k in (i, j)
            for c in self.trees[k].walk()
            if isinstance(c, Call) and c.name in self.context.definitions
            for a in self.context.definitions[c.name][1].walk()
            if isinstance(a, Density)
        }
        for letter in self.guides():
            if letter not in involved:
                continue
            left, right = self.context.signatures[letter].most_common(1)[0][0]
            observed = sorted(n for n in self.context.families & OBSERVED)
            names, given = ", ".join(left), f" | {', '.join(right)}" if right else ""
            if (
                self.under(f"{letter}=posterior", chain, at, relation, i, j, posterior={letter: "posterior"})
                and observed
            ):
                return f"{letter}({names}{given}) = p({names} | {', '.join(observed)})"
            if self.under(f"{letter}=prior", chain, at, relation, i, j, posterior={letter: "prior"}):
                return f"{letter}({names}{given}) = p({names})"
        return self.independence(chain, at, relation, i, j, involved)

    def independence(self, chain: _Chain, at: int, relation: str, i: int, j: int, involved: set[str]) -> str:
        """A conditional independence under which an equality about three or four variables holds."""
        plan = self.batches[0][1]
        for letter in sorted(involved):
            roles = list(plan.letter_roles.get(letter, {}))
            if not 3 <= len(roles) <= 4 or letter in plan.joints:
                continue
            for first, second in combinations(roles, 2):
                others = [role for role in roles if role not in (first, second)]
                for size in range(len(others) + 1):
                    for given in combinations(others, size):
                        statement = (letter, first, second, given)
                        if self.under(str(statement), chain, at, relation, i, j, independent=statement):
                            behind = f" given {', '.join(given)}" if given else ""
                            return f"{first} and {second} are independent{behind} under {letter}"
        return ""

    def support(self, chain: _Chain, at: int, relation: str, i: int, j: int) -> str:
        """Whether a true line needs q to be positive wherever p is."""
        letters = frozenset(self.guides())
        if not letters or any(
            isinstance(node, Extremum | Gradient) for tree in (self.trees[i], self.trees[j]) for node in tree.walk()
        ):
            return ""
        values = self.mode("support", restricted=letters)
        if (
            values is None
            or isinstance(values[i], DerivationSyntaxError)
            or isinstance(values[j], DerivationSyntaxError)
        ):
            return ""
        axes = self.vary(chain, at, self.mode_axes["support"]) if relation in ("propto", "const") else ()
        left, right = np.broadcast_arrays(values[i], values[j])
        with np.errstate(all="ignore"):
            defined = ~(np.isnan(left) | np.isnan(right))
            defined = defined.reshape(len(defined), -1).all(axis=1)
        if not defined.any() or _compare(left[defined], right[defined], relation, axes, 1e-9).all():
            return ""
        letter = min(letters)
        left_names, given = self.context.signatures[letter].most_common(1)[0][0]
        bar = f" | {', '.join(given)}" if given else ""
        names = ", ".join(left_names)
        return f"{letter}({names}{bar}) > 0 wherever p(x, {names}) > 0"

    def values_at(self, i: int, j: int) -> tuple[float, float]:
        left, right = np.broadcast_arrays(self.batches[0][0][i], self.batches[0][0][j])
        return float(left.flat[0]), float(right.flat[0])

    def true_line(
        self,
        chain: _Chain,
        at: int,
        relation: str,
        shown: str,
        notes: list[str],
        chosen: tuple[int, int],
        defining: bool,
    ) -> DerivationLine:
        i, j = chosen
        condition = "" if defining else self.support(chain, at, relation, i, j)
        if relation in (">=", "<="):
            if self.holds(chain, at, i, j, "=") is True:
                notes.append("the inequality is never strict: both sides are equal in every model")
            else:
                equal = self.special(chain, at, "=", i, j)
                if equal:
                    notes.append(f"equality when {equal}")
        left, right = self.values_at(i, j)
        return DerivationLine(
            shown, chain.relations[at], "holds", left=left, right=right, notes=tuple(notes), condition=condition
        )

    def false_line(self, chain: _Chain, at: int, relation: str, shown: str, notes: list[str]) -> DerivationLine:
        i, j = chain.sides[at].places[0], chain.sides[at + 1].places[0]
        if not self.checker.explain:
            return DerivationLine(shown, chain.relations[at], "false", notes=tuple(notes))
        condition = self.special(chain, at, relation, i, j) if relation in ("=", "propto", "const") else ""
        try:
            counterexample = self.counterexample(chain, at, relation, i, j)
        except DerivationSyntaxError:
            counterexample = None
        cause = ""
        try:
            cause = self.cause(chain, at, relation, i, j)
        except DerivationSyntaxError:
            notes.append("the search for a cause took too long")
        left, right = self.values_at(i, j)
        if counterexample is not None:
            left, right = counterexample.left, counterexample.right
        if np.isnan(left) or np.isnan(right):
            notes.append("a side is not a real number: a logarithm or a root of a negative number")
        return DerivationLine(
            shown,
            chain.relations[at],
            "false",
            left=left,
            right=right,
            counterexample=counterexample,
            cause=cause,
            notes=tuple(notes),
            condition=condition,
        )

    def counterexample(self, chain: _Chain, at: int, relation: str, i: int, j: int) -> Counterexample | None:
        """The smallest model on which a line fails, with simple probabilities."""
        trees = [self.trees[i], self.trees[j]]
        tolerance = max(1e-6, self.tolerance(*trees))
        base = self.checker.settings(self.context)[0]
        shapes = [(shape, False) for shape in ((1, 2), (2, 1), (2, 2), (2, 3), (3, 3))]
        if self.checker.is_continuous(self.context):
            shapes += [((1, 2), True), ((2, 2), True)]
        for (observed, latent), measured in shapes:
            setting = replace(base, observed=observed, latent=latent, measured=measured)
            models = 24 if any(map(_has_optimum, trees)) else 160
            near = frozenset(self.context.signatures)
            values, plan, world = self.checker.evaluate(
                self.context, trees, setting, models, 70, simple=True, near=near
            )
            if world is None or any(isinstance(value, DerivationSyntaxError) for value in values):
                return None
            axes = self.vary(chain, at, world) if relation in ("propto", "const") else ()
            failing = ~_compare(values[0], values[1], relation, axes, tolerance)
            if not failing.any():
                continue
            clear = failing & ~_compare(values[0], values[1], relation, axes, 0.05)
            candidates = np.flatnonzero(clear if clear.any() else failing)
            model = int(candidates[np.argmin(world.size_of_tables[candidates])])
            left, right = (side[min(model, len(side) - 1)] for side in np.broadcast_arrays(values[0], values[1]))
            if relation in ("propto", "const"):
                with np.errstate(all="ignore"):
                    ratio = left / right if relation == "propto" else left - right
                    spread = np.nan_to_num(abs(ratio - ratio.mean()))
                    place = int(np.argmax(spread))
            elif relation in (">=", ">"):
                place = int(np.argmax(np.nan_to_num(right - left, nan=np.inf)))
            elif relation in ("<=", "<"):
                place = int(np.argmax(np.nan_to_num(left - right, nan=np.inf)))
            else:
                place = int(np.argmax(np.nan_to_num(abs(left - right), nan=np.inf)))
            where = np.unravel_index(place, left.shape)
            names = {axis: name for name, axis in world.axes.items()}
            free = plan.free(plan.compile(trees[0], plan.environment()))
            free |= plan.free(plan.compile(trees[1], plan.environment()))
            at_values = {names[a + 1]: int(v) for a, v in enumerate(where) if names[a + 1] in free}
            tables = {}
            for letter, table in world.tables.items():
                roles = list(plan.letter_roles.get(letter, {}))
                order = sorted(range(len(roles)), key=lambda k: (roles[k] not in OBSERVED, roles[k]))
                extra = list(range(len(roles) + 1, table.ndim))
                shown = np.transpose(table, [0, *(k + 1 for k in order), *extra])[model]
                name = letter.rstrip("°").replace("[", "").replace("]", "").replace(r"^{\prime}", "'")
                label = f"{name}({', '.join([roles[k] for k in order] + list(plan.axes_of(letter)))})"
                if not letter.endswith("°"):
                    tables[label] = shown
            others = {key: np.asarray(value[model]) for key, value in world.values.items()}
            return Counterexample(tables | others, at_values, float(left.flat[place]), float(right.flat[place]))
        return None

    def cause(self, chain: _Chain, at: int, relation: str, i: int, j: int) -> str:
        """A single edit that makes a false line hold."""
        left, right = self.trees[i], self.trees[j]
        if self.checker.deadline.left() < 0.3:
            return ""
        reversed_relation = _TURNED.get(relation)
        if reversed_relation and self.holds(chain, at, i, j, reversed_relation) is True:
            return f"holds with the relation reversed: {_SHOWN.get(reversed_relation, reversed_relation)}"
        if any(map(_has_optimum, (left, right))):
            return ""
        densities = [n for tree in self.context.trees for n in tree.walk() if isinstance(n, Density) and n.left]
        densities = list(dict.fromkeys(densities))[:8]
        observed = tuple(map(Variable, sorted(self.context.families & OBSERVED - self.context.components)))
        if observed and Density("p", observed) not in densities:
            densities.append(Density("p", observed))
        sizes = sorted(self.context.sizes)
        candidates: list[tuple[str, str, Expression, Expression]] = []
        for edit in edits(right, left, densities, sizes):
            candidates.append((edit.description, "right", left, edit.tree))
            if len(candidates) >= 400:
                break
        for edit in edits(left, right, densities[:4], sizes) if not isinstance(left, Density) else ():
            candidates.append((edit.description, "left", edit.tree, right))
            if len(candidates) >= 600:
                break
        found = []
        for description, side, first, second in self.screened(chain, at, relation, candidates)[:1]:
            mended = second if side == "right" else first
            found.append(f"holds {description}{' on the left' if side == 'left' else ''}: {in_text(mended)}")
        if relation == "=":
            weaker = [_SHOWN[sign] for sign in (">=", "<=") if self.holds(chain, at, i, j, sign) is True]
            found += [f"holds as an inequality: {sign}" for sign in weaker]
        return "; ".join(found)

    def screened(
        self, chain: _Chain, at: int, relation: str, candidates: list[tuple[str, str, Expression, Expression]]
    ) -> list[tuple[str, str, Expression, Expression]]:
        """The candidates that hold in a few models, and then in more."""
        for stream, models in ((60, 6), (61, 30)):
            setting = self.checker.settings(self.context)[stream % 2]
            trees = [tree for _, _, first, second in candidates for tree in (first, second)]
            kept = []
            values, _, world = self.checker.evaluate(self.context, trees, setting, models, stream)
            if world is None:
                return []
            axes = self.vary(chain, at, world) if relation in ("propto", "const") else ()
            for number, candidate in enumerate(candidates):
                first, second = values[2 * number], values[2 * number + 1]
                if isinstance(first, DerivationSyntaxError) or isinstance(second, DerivationSyntaxError):
                    continue
                if _compare(first, second, relation, axes, 1e-9).all():
                    trivial = relation in (">=", "<=") and not np.isfinite(first + second).all()
                    if not trivial:
                        kept.append(candidate)
            candidates = kept if stream == 61 else kept[:40]
            if not candidates:
                break
        return candidates

    def approximation(self, chain: _Chain, at: int, shown: str, notes: list[str]) -> DerivationLine:
        r"""Judges a \approx: exact once sample averages are replaced by expectations, or not at all."""
        left, right = chain.sides[at], chain.sides[at + 1]
        trees = [side.readings[0][1] for side in (left, right)]
        options = list(self.samplers(trees))
        if not options:
            reason = "an approximation without a sample average states no identity that can be checked"
            return _unreadable(shown, "approx", DerivationSyntaxError(reason, self.checker.latex, right.side.start))
        for family, density in options:
            limits = [_in_the_limit(tree, family, density) for tree in trees]
            chained = self.limit_holds(limits)
            if chained is True:
                notes.append(
                    "an approximation, not an identity: exact in the limit of many samples"
                    f" {family}_k drawn from {in_text(density)}"
                )
                return DerivationLine(shown, "approx", "holds", notes=tuple(notes))
        family, density = options[0]
        limits = [_in_the_limit(tree, family, density) for tree in trees]
        outcome = self.limit_holds(limits)
        if isinstance(outcome, DerivationSyntaxError):
            return _unreadable(
                shown, "approx", DerivationSyntaxError(outcome.message, self.checker.latex, right.side.start)
            )
        notes.append(f"in the limit of many samples {family}_k drawn from {in_text(density)} the sides differ")
        state = _State(self.checker, self.context, limits, [])
        for stream, setting in enumerate(self.checker.settings(self.context)):
            state.batches.append(self.checker.evaluate(self.context, limits, setting, 60, 30 + stream))
        pretended = _Chain([replace(left, readings=[(frozenset(), limits[0])], places=[0]),
                            replace(right, readings=[(frozenset(), limits[1])], places=[1])], ["="])  # fmt: skip
        line = state.false_line(pretended, 0, "=", shown, notes)
        return replace(line, relation="approx")

    def limit_holds(self, limits: list[Expression]) -> bool | DerivationSyntaxError:
        for stream, setting in enumerate(self.checker.settings(self.context)):
            values, _, _ = self.checker.evaluate(self.context, limits, setting, 60, 30 + stream)
            for value in values:
                if isinstance(value, DerivationSyntaxError):
                    return value
            if not _compare(values[0], values[1], "=", (), 1e-9).all():
                return False
        return True

    def samplers(self, trees: Iterable[Expression]) -> Iterator[tuple[str, Density]]:
        """The variables that are averaged over samples, and what they may be drawn from."""
        families: dict[str, None] = {}
        for tree in trees:
            for node in tree.walk():
                if isinstance(node, IndexedSum) and not node.is_product:
                    families.update(dict.fromkeys(_sampled(node, self.context)))
        for family in families:
            if family in self.context.samples:
                yield family, self.context.samples[family]
                continue
            yield family, Density("p", (Variable(family),))
            for letter, counter in self.context.signatures.items():
                for left, right in counter:
                    if {name.split("_")[0] for name in left} == {family} and (letter, right) != ("p", ()):
                        yield family, Density(letter, (Variable(family),), tuple(map(Variable, right)))


def _sampled(node: IndexedSum, context: Context) -> Iterator[str]:
    for part in node.body.walk():
        variables: tuple[Variable, ...] = ()
        if isinstance(part, Density):
            variables = (*part.left, *part.right)
        elif isinstance(part, Call):
            variables = part.variables
            if part.index == (Index(node.letter),) and not variables and part.name in context.definitions:
                variables = tuple(
                    replace(v, index=(Index(node.letter),)) for v in context.definitions[part.name][0].variables
                )
        for variable in variables:
            if variable.index == (Index(node.letter),):
                yield variable.name


def _in_the_limit(tree: Expression, family: str, density: Density) -> Expression:
    """Replaces each sum over samples by the number of samples times an expectation."""
    if isinstance(tree, IndexedSum) and not tree.is_product:
        variable = Variable(family, (Index(tree.letter),))
        used = any(
            variable in (*part.left, *part.right) if isinstance(part, Density) else variable in part.variables
            for part in tree.body.walk()
            if isinstance(part, Density | Call)
        ) or any(isinstance(p, Call) and p.index == (Index(tree.letter),) for p in tree.body.walk())  # fmt: skip
        if used:
            measure = Measure((density,), ((variable,),))
            count = Call(tree.upper.letter) if tree.upper.letter else Number(float(tree.upper.offset))
            return Product((count, Expectation(measure, tree.body)))
    return tree.map(lambda part: _in_the_limit(part, family, density))


def check_derivation(
    latex: str,
    *,
    num_models: int = 200,
    seed: int = 0,
    definitions: str | Sequence[str] | Mapping[str, str] | None = None,
    macros: Mapping[str, tuple[int, str]] | None = None,
    explain: bool = True,
) -> DerivationReport:
    r"""Reads a derivation in LaTeX and evaluates every line on random finite models.

    Args:
        latex: One display: a chain of relations, or several.
        num_models: How many random models every line must hold on.
        seed: Where the models come from; the same seed gives the same models.
        definitions: What the display takes as given: ``r"w(z) := \frac{p(x,z)}{q(z)}"``, ``r"q(z) := p(z|x)"``,
            ``r"p(x,z_1,z_2) := p(x|z_1)p(z_1|z_2)p(z_2)"``, ``r"z_k \sim q(z)"``, ``r"\alpha \in (0, 1)"``.
        macros: Further macros, as :func:`lvmlib.derivation.macros_of` returns them.
        explain: Look for a small model and a cause when a line is false; without, only the verdict is found.

    Returns:
        A report with one verdict a line, which shows itself in a notebook.

    Raises:
        DerivationSyntaxError: If a definition cannot be read. A display that cannot be read raises nothing: its
            lines say so.
        TypeError: If ``latex`` is not a string.
        ValueError: If ``num_models`` is not positive.

    Example:
        >>> report = check_derivation(r"\log p(x) = \E_{p(z)}[p(x \mid z)]")
        >>> report.verdict
        'false'
        >>> report.lines[0].cause.split("; ")[0]
        'holds with a logarithm in front: \\log \\mathbb{E}_{p(z)}\\left[p(x \\mid z)\\right]'
    """
    if not isinstance(latex, str):
        raise TypeError(f"latex is {type(latex).__name__}; give the text of a display, such as r'p(x) = 1'")
    if num_models < 1:
        raise ValueError(f"num_models is {num_models}; it must be at least 1")
    checker = _Checker(latex, num_models, seed, macros, explain)
    return checker.run(_listed(definitions))
