"""Why a line is false and what a true line needs: separate experiments, each of which may fail in silence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from proofreader.beyond import TURNED
from proofreader.classify import has_any
from proofreader.duals import plain
from proofreader.edits import ENDS, edits, the_names_apart
from proofreader.errors import DerivationSyntaxError, TooSlowError
from proofreader.evaluate import World
from proofreader.judge import Finding, Judge
from proofreader.models import Setting, Sizes, Tensor
from proofreader.notation import SHOWN
from proofreader.report import Counterexample, DerivationLine
from proofreader.structures import shown, tables_of
from proofreader.syntax import in_text
from proofreader.trial import Attempt, agrees

__all__ = ["explained"]

MAX_EDITS = 260
SMALLEST = ((1, 2), (2, 1), (2, 2), (2, 3))


def explained(line: DerivationLine, finding: Finding, judge: Judge) -> DerivationLine:
    """The line with what the experiments found."""
    attempt = finding.attempt
    if attempt is None:
        return line
    if line.verdict == "false":
        example = _tried(lambda: counterexample(judge, attempt, continuous=finding.failed_only_continuous), None)
        cause, slip = _tried(lambda: cause_of(judge, attempt), ("", ""))
        notes = line.notes
        if example is not None and (example.left != example.left or example.right != example.right):
            notes = (
                *notes,
                f"the {'left' if example.left != example.left else 'right'} side is not a real number there",
            )
        left, right = (example.left, example.right) if example is not None else (None, None)
        found = replace(line, counterexample=example, cause=cause, left=left, right=right, notes=notes)
        return replace(found, slip=slip)
    if line.verdict == "holds":
        return replace(line, notes=(*line.notes, *_tried(lambda: list(remarks_on(judge, attempt)), [])))
    return line


def _tried(experiment: Callable[[], Any], otherwise: Any) -> Any:
    """What an experiment finds; what stands for it if it fails, or if the time is over."""
    try:
        return experiment()
    except (DerivationSyntaxError, TooSlowError, RecursionError):
        return otherwise


# Counterexamples


def counterexample(judge: Judge, attempt: Attempt, *, continuous: bool) -> Counterexample | None:
    """The smallest model on which a line fails, in small whole numbers where that is enough."""
    known = list(dict.fromkeys(sizes for _, sizes in judge.settings))
    short = [replace(sizes, numbers=tuple((name, min(size, 2)) for name, size in sizes.numbers)) for sizes in known]
    for sizes in dict.fromkeys((*short, *known)):
        found = _smallest(judge, attempt, sizes, continuous)
        if found is not None:
            return found
    return None


def _smallest(judge: Judge, attempt: Attempt, sizes: Sizes, continuous: bool) -> Counterexample | None:
    try:
        plan, left, right = judge.plan(attempt, sizes)
    except DerivationSyntaxError:
        return None  # a range that is empty at these sizes
    for stream, cards in enumerate(SMALLEST):
        for simple in (True, False):
            setting = Setting(6, cards, continuous=continuous, simple=simple and not continuous, stream=20 + stream)
            world = judge.world(attempt, plan, setting)
            a, b = world.evaluate(left), world.evaluate(right)
            if agrees(world, a, b, attempt.relation, 1e-6, attempt.vary):
                continue
            place = _worst(world, a, b, attempt)
            if place is not None:
                return _shown_model(world, *place, judge, attempt, sorted(plan.reached(left) | plan.reached(right)))
    return None


def _worst(
    world: World, left: Tensor, right: Tensor, attempt: Attempt
) -> tuple[int, dict[str, int], float, float] | None:
    """The model and the cell in which the sides differ most."""
    axes, a, b = world.together(left, right)
    size = math.prod(world.card(axis) for axis in axes)
    best: tuple[float, int] | None = None
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        x, y = plain(x), plain(y)
        gap = {">=": y - x, ">": y - x, "<=": x - y, "<": x - y}.get(attempt.relation, abs(x - y))
        score = 1e6 if gap != gap else gap
        if best is None or score > best[0]:
            best = (score, k)
    if best is None or best[0] <= 0:
        return None
    k = best[1]
    at: dict[str, int] = {}
    rest = k % size
    for axis in reversed(axes):
        at[shown(axis)] = rest % world.card(axis)
        rest //= world.card(axis)
    return k // size, dict(reversed(at.items())), plain(a[k]), plain(b[k])


def _shown_model(
    world: World,
    model: int,
    at: dict[str, int],
    left: float,
    right: float,
    judge: Judge,
    attempt: Attempt,
    places: Sequence[int],
) -> Counterexample:
    """The tables of one model."""
    tables: dict[str, Any] = {}
    sizes: dict[str, list[float]] = {}
    for place in places:
        step = world.steps[place]
        if step.kind == "table":
            key = step.data[0]
            law = world.laws[key]
            roles = sorted(law.roles, reverse=False)
            joint = world.joint(key, ())
            axes = (*law.parameters, *roles)
            behind = f"; {', '.join(map(shown, law.parameters))}" if law.parameters else ""
            name = f"{key}({', '.join(map(shown, roles))}{behind})"
            tables[name] = _nested(world, joint, axes, model)
            if world.setting.continuous:
                sizes.update(
                    {shown(role): [plain(c) for c in _row(world, world.size(role), (role,), model)] for role in roles}
                )
        elif step.kind in ("scalar", "value", "function"):
            value = world.evaluate(place)
            if step.kind != "value" or value.axes:
                name = shown(step.data[0]) + (
                    f"({', '.join(map(shown, value.axes))})" if value.axes and step.kind == "function" else ""
                )
                tables.setdefault(
                    name if step.kind != "value" else f"values of {shown(step.data[0])}",
                    _nested(world, value, value.axes, model),
                )
    return Counterexample(tables, at, left, right, sizes)


def _row(world: World, tensor: Tensor, axes: tuple[str, ...], model: int) -> list[Any]:
    size = math.prod(world.card(axis) for axis in axes)
    return world.spread(tensor, axes)[model * size : (model + 1) * size]


def _nested(world: World, tensor: Tensor, axes: tuple[str, ...], model: int) -> Any:
    """The cells of one model as nested lists, first axis outermost."""
    cells: list[Any] = [plain(c) for c in _row(world, tensor, axes, model)]
    for axis in reversed(axes):
        card = world.card(axis)
        cells = [cells[k : k + card] for k in range(0, len(cells), card)]
    return cells[0]


# Causes


def cause_of(judge: Judge, attempt: Attempt) -> tuple[str, str]:
    """The single edit that makes a line hold, in words, and the kind of slip that it undoes; empty if none is found."""
    apart = the_names_apart(attempt.left, attempt.right)
    if apart is not None and len(apart) == 1:
        ((mine, theirs),) = apart
        return f"the sides differ only in ${mine}$ on the left and ${theirs}$ on the right", "names"
    turned = TURNED.get(attempt.relation)
    if turned and judge.holds(replace(attempt, relation=turned)):
        return f"holds with the relation reversed: {SHOWN[turned]}", "relation"
    found = next(_repairs(judge, attempt), ("", ""))
    if not found[0] and attempt.relation == "=":
        for relation in ("<=", ">="):
            if judge.holds(replace(attempt, relation=relation)):
                return f"holds as an inequality: {SHOWN[relation]}", ""
    return found


def _repairs(judge: Judge, attempt: Attempt) -> Iterator[tuple[str, str]]:
    densities = [n for tree in judge.names.trees for n in tree.walk() if n.kind == "density"]
    sizes = sorted(judge.names.size_letters)
    sides = ((attempt.right, attempt.left, False), (attempt.left, attempt.right, True))
    for tree, other, is_left in sides:
        for words, changed, moved, slip in islice(edits(tree, other, densities, sizes), MAX_EDITS):
            repaired = replace(attempt, left=changed) if is_left else replace(attempt, right=changed)
            if (moved or _says_something(repaired)) and _holds(judge, repaired, slip):
                side = " on the left" if is_left else ""
                empty = changed.kind in ("number", "constant")
                yield f"holds {words}{side}: {in_text(changed)}", "" if empty else slip
        if (
            is_left is False
            and attempt.relation == "="
            and any(judge.holds(replace(attempt, relation=r)) for r in ("<=", ">="))
        ):
            return


def _holds(judge: Judge, repaired: Attempt, slip: str) -> bool:
    """Whether a repaired line holds; products along a chain may need that it is one."""
    return judge.holds(repaired) or (slip == ENDS and judge.assumed(repaired) is not None)


def _says_something(attempt: Attempt) -> bool:
    """Whether a repaired line is not the same thing on both sides."""
    return attempt.left != attempt.right


# Remarks on true lines


def remarks_on(judge: Judge, attempt: Attempt) -> Iterator[str]:
    """When a bound is an equality, and what q must cover."""
    support = judge.support(attempt)
    if support:
        yield f"needs {support}"
    if attempt.relation not in (">=", "<="):
        return
    equal = replace(attempt, relation="=")
    if judge.holds(equal):
        yield "never strict: both sides are equal"
        return
    if has_any([attempt.left, attempt.right], {"gradient", "max", "min", "argmax", "argmin"}):
        return
    for words, changes in _special(judge, attempt):
        if judge.holds(replace(equal, changes=changes), worlds=(0, 1)):
            yield f"equality when {words}"
            return


def _special(judge: Judge, attempt: Attempt) -> Iterator[tuple[str, dict[str, Any]]]:
    """q equal to a conditional or a marginal of p."""
    plan, left, right = judge.plan(attempt, judge.settings[0][1])
    tables = tables_of(plan, (left, right))
    for key, pairs in tables.items():
        own = {role for lefts, _ in pairs for role in lefts}
        behind = sorted({role for _, rights in pairs for role in rights} - own)
        for other in tables:
            if (
                other == key
                or not judge.names.models(other, key)
                or not own <= set(plan.laws[other].roles)
                or key in plan.densities
            ):
                continue
            rest = tuple(role for role in plan.laws[other].roles if role not in own)
            inside = ", ".join(map(shown, sorted(own)))
            head = f"{key}({inside}{' | ' + ', '.join(map(shown, behind)) if behind else ''})"
            if rest:
                yield (
                    f"{head} = {other}({inside} | {', '.join(map(shown, rest))})",
                    {"posterior": {key: (other, rest)}, "far": True},
                )
            yield f"{head} = {other}({inside})", {"posterior": {key: (other, ())}, "far": True}
