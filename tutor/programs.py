"""Checks a program: runs its function on hidden random models and compares it with the exact answer.

A misconception of a program is itself a program. The reader's is recognised by what it does: it gives the same
results, or fails in the same way, on every model.
"""

from __future__ import annotations

import inspect
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Any

from tutor.comparing import described, difference, is_tensor
from tutor.exercises import Code, Exercise, Misconception
from tutor.feedback import Feedback
from tutor.sandbox import ANSWER, OutOfTimeError, ProgramError, bounded, define, failure, is_stub, printing

__all__ = ["check_code"]

Arguments = tuple[Any, ...]
# Results of an estimator on one model, whose mean is judged by its standard error; and the probability that a right
# answer is refused, over all models together. The mean of so many results is not quite normal, in its far tails least
# of all, so the normal distribution is asked for a hundredth of that.
REPEATS, FALSE_ALARM, MARGIN = 200, 1e-6, 100


@dataclass(frozen=True)
class Outcome:
    """What one call gave: a result, or an error."""

    value: Any = None
    error: BaseException | None = None

    def like(self, other: Outcome, tolerance: float) -> bool:
        """Whether another call gave the same."""
        if self.error is not None or other.error is not None:
            return type(self.error) is type(other.error)
        try:
            return not difference(self.value, other.value, tolerance)
        except Exception:
            return False


@dataclass(frozen=True)
class Estimates:
    """Many results of an estimator on one model: the first, and for each of its numbers the mean and its error."""

    first: Any
    means: tuple[float, ...]
    errors: tuple[float, ...]

    @classmethod
    def of(cls, results: Sequence[Any]) -> Estimates:
        """The summary of results.

        Raises:
            TypeError: If a result is no number, tensor or list of numbers.
        """
        means, errors = [], []
        for column in zip(*map(_as_numbers, results), strict=True):
            mean = math.fsum(column) / len(column)
            spread = math.fsum((value - mean) ** 2 for value in column) / (len(column) - 1)
            means.append(mean)
            errors.append(math.sqrt(spread / len(column)))
        return cls(results[0], tuple(means), tuple(errors))

    def complaint(self, mean: Any, deviation: Any, tolerance: float, comparisons: int) -> str:
        """How the means differ from the right one by more than chance, to follow "your function"."""
        shape = difference(self.first, mean, math.inf)
        if shape:
            return shape
        for mine, right, spread in zip(self.means, _as_numbers(mean), _as_numbers(deviation), strict=True):
            error = spread / math.sqrt(REPEATS)
            if not abs(mine - right) <= _errors_allowed(comparisons) * error + tolerance * max(1.0, abs(right)):
                return (
                    f"gives {mine:.4g} on average over {REPEATS} runs, and the right answer is {right:.4g}; "
                    f"the standard error of such an average is {error:.2g}"
                )
        return ""

    def like(self, other: Estimates, tolerance: float, comparisons: int) -> bool:
        """Whether the means differ from those of another estimator by no more than chance."""
        if len(self.means) != len(other.means) or difference(self.first, other.first, math.inf):
            return False
        reach = _errors_allowed(comparisons)
        rows = zip(self.means, other.means, self.errors, other.errors, strict=True)
        return all(abs(a - b) <= reach * math.hypot(e, f) + tolerance * max(1.0, abs(b)) for a, b, e, f in rows)


def _errors_allowed(comparisons: int) -> float:
    """How many standard errors a right answer may be off, so that none is refused in a million checks but one."""
    return NormalDist().inv_cdf(1 - FALSE_ALARM / MARGIN / (2 * max(comparisons, 1)))


def _as_numbers(value: Any) -> list[float]:
    """All numbers in a number, a list or a tensor, in order."""
    if value is None:
        raise TypeError("the function returns nothing: end it with `return …`")
    if is_tensor(value):
        return [float(part) for part in value.detach().flatten().tolist()]
    if isinstance(value, (list, tuple)):
        return [number for part in value for number in _as_numbers(part)]
    return [float(value)]


def check_code(exercise: Exercise, answer: Any) -> Feedback:
    """What to say to a function, or to the text of a program that defines it."""
    task = exercise.answer
    assert isinstance(task, Code)
    with printing() as printed:
        feedback = _checked(exercise, task, answer)
    text = printed()
    return Feedback(**{**vars(feedback), "printed": text}) if text else feedback


def _checked(exercise: Exercise, task: Code, answer: Any) -> Feedback:
    nothing = Feedback(
        exercise.id, "not attempted", f"Not attempted yet: write or repair `{task.function}`, then check it."
    )
    try:
        with bounded(task.seconds, task.megabytes):
            function = define(answer, task.function) if isinstance(answer, str) else answer
    except ProgramError as error:
        return Feedback(exercise.id, "wrong", str(error))
    except OutOfTimeError:
        return Feedback(exercise.id, "wrong", _too_long(task))
    if not callable(function):
        return Feedback(exercise.id, "unread", f"Hand over the function itself: `{task.function}`, without brackets.")
    if is_stub(function, task.starter, task.function):
        return nothing
    judge = _judge_of(exercise)
    try:
        with bounded(task.seconds, task.megabytes):
            outcomes = [judge.run(function, case) for case in judge.cases]
    except OutOfTimeError:
        return Feedback(exercise.id, "wrong", _too_long(task))
    if isinstance(outcomes[0].error, NotImplementedError) or outcomes[0].value is ...:
        return nothing
    return judge.verdict(function, outcomes)


def _too_long(task: Code) -> str:
    return f"Your program was stopped after {task.seconds:g} seconds. Is there a loop that does not end?"


class _Judge:
    """The hidden models of an exercise, with the right answers."""

    def __init__(self, exercise: Exercise) -> None:
        assert isinstance(exercise.answer, Code)
        self.exercise, self.task = exercise, exercise.answer
        task = self.task
        self.done_by_mistake: dict[tuple[str, int], Outcome] = {}
        with _private_randomness(exercise.label):
            self.cases: list[Arguments] = list(_cases(task, exercise.label))
            if task.judge == "property":
                self.verify = define(task.verify, "verify", "<property>")
                self.expected: list[Any] = [None] * len(self.cases)
                return
            reference = task.exact or task.right
            exact = define(reference, "exact" if task.exact else task.function, "<exact answer>")
            self.expected = [exact(*deepcopy(case)) for case in self.cases]

    def run(self, function: Callable[..., Any], case: Arguments) -> Outcome:
        """One call, or for an estimator many and their mean with its standard error."""
        try:
            with _private_randomness(self.exercise.label):
                if self.task.judge != "estimate":
                    return Outcome(function(*deepcopy(case)))
                results = [function(*deepcopy(case)) for _ in range(REPEATS)]
                return Outcome(Estimates.of(results))
        except OutOfTimeError:
            raise
        except (Exception, SystemExit) as error:
            return Outcome(error=error)

    def complaint(self, outcome: Outcome, at: int) -> str:
        """What is wrong with the result on one model, to follow "your function"; empty if nothing is."""
        expected = self.expected[at]
        if self.task.judge == "property":
            return self.unmet(outcome.value, self.cases[at])[0]
        if self.task.judge == "exact":
            return difference(outcome.value, expected, self.task.tolerance)
        mean, deviation = expected
        return outcome.value.complaint(mean, deviation, self.task.tolerance, self.comparisons)

    @cached_property
    def comparisons(self) -> int:
        """How many numbers are compared on all models together."""
        return sum(len(_as_numbers(mean)) for mean, _ in self.expected)

    def unmet(self, result: Any, case: Arguments) -> tuple[str, str]:
        """What keeps a result from having the property that is asked for, and the misconception that it shows."""
        if result is None:
            return "returns nothing: end it with `return …`", ""
        try:
            said = self.verify(deepcopy(result), *deepcopy(case)) or ""
        except Exception as error:
            said = f"returns {described(result)}, with which nothing can be done: {type(error).__name__}: {error}"
        return said if isinstance(said, tuple) else (said, "")

    def verdict(self, function: Callable[..., Any], outcomes: Sequence[Outcome]) -> Feedback:
        """Right, or a misconception, or what went wrong on the model that is shortest to write."""
        wrong = [
            (len(described(case)), at)
            for at, (case, outcome) in enumerate(zip(self.cases, outcomes, strict=True))
            if outcome.error is not None or self.complaint(outcome, at)
        ]
        if not wrong:
            models = "model" if len(self.cases) == 1 else "models"
            return Feedback(self.exercise.id, "right", f"Right on {len(self.cases)} hidden {models}.")
        at = min(wrong)[1]
        shown = self.shown(function, at, outcomes[at])
        known = self.named(outcomes[at], self.cases[at]) if self.task.judge == "property" else self.known(outcomes)
        if known is not None:
            return Feedback(self.exercise.id, "wrong", f"{known.says}\n\n{shown}", known.name)
        return Feedback(self.exercise.id, "wrong", shown)

    def named(self, outcome: Outcome, case: Arguments) -> Misconception | None:
        """The misconception that the check of a property names."""
        name = "" if outcome.error is not None else self.unmet(outcome.value, case)[1]
        return next((one for one in self.exercise.misconceptions if one.name == name), None)

    def known(self, outcomes: Sequence[Outcome]) -> Misconception | None:
        """The misconception whose program does the same as the reader's."""
        for one in self.exercise.misconceptions:
            if all(self.alike(outcome, self.mistaken(one, at)) for at, outcome in enumerate(outcomes)):
                return one
        return None

    def mistaken(self, misconception: Misconception, at: int) -> Outcome:
        """What the program of a misconception gives on one model; run once, however many answers there are."""
        key = misconception.name, at
        if key not in self.done_by_mistake:
            mutant = define(misconception.code, self.task.function, f"<{misconception.name}>")
            self.done_by_mistake[key] = self.run(mutant, self.cases[at])
        return self.done_by_mistake[key]

    def alike(self, mine: Outcome, other: Outcome) -> bool:
        if self.task.judge != "estimate" or mine.error is not None or other.error is not None:
            return mine.like(other, max(self.task.tolerance, 1e-9))
        return mine.value.like(other.value, self.task.tolerance, self.comparisons)

    def shown(self, function: Callable[..., Any], at: int, outcome: Outcome) -> str:
        """The model on which a function fails, and how."""
        where = _named(function, self.cases[at])
        if outcome.error is not None:
            code = getattr(function, "__code__", None)
            said = failure(outcome.error, code.co_filename if code else ANSWER)
            return f"{said}\n\nThe model was {where}." if where else said
        return f"{f'For {where}, your' if where else 'Your'} function {self.complaint(outcome, at)}."


@lru_cache(maxsize=16)
def _judge_of(exercise: Exercise) -> _Judge:
    """The judge of an exercise, kept for the reader's next try."""
    return _Judge(exercise)


def _cases(task: Code, label: str) -> Iterator[Arguments]:
    make = define(task.cases, "cases", "<hidden models>")
    for case in make(random.Random(label)):
        yield case if isinstance(case, tuple) else (case,)


def _named(function: Callable[..., Any], case: Arguments) -> str:
    """Arguments with the names that the reader gave them."""
    try:
        names = [*inspect.signature(function).parameters]
    except (TypeError, ValueError):
        names = []
    names += [f"argument {at + 1}" for at in range(len(names), len(case))]
    return ", ".join(f"`{name} = {described(value)}`" for name, value in zip(names, case, strict=False))


@contextmanager
def _private_randomness(label: str) -> Iterator[None]:
    """The same random numbers at every check, and the reader's own stream left alone."""
    state = random.getstate()
    random.seed(label)
    torch_too: Any = nullcontext()
    if "torch" in sys.modules:
        from tutor.tensors import quiet

        torch_too = quiet(random.randrange(2**31))
    try:
        with torch_too:
            yield
    finally:
        random.setstate(state)
