"""Checks a number: right within its tolerance, or one of the slips that people make."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tutor.exercises import Exercise, Number
from tutor.expressions import ExpressionError, evaluate
from tutor.feedback import Feedback

__all__ = ["SLIPS", "Slip", "check_number", "slips_of", "to_float"]


@dataclass(frozen=True)
class Slip:
    """A mistake that can be made with many numbers.

    Args:
        wrong: The wrong value from the right one and the number of terms.
        says: What to tell the reader.
    """

    wrong: Callable[[float, float], float]
    says: str


SLIPS: dict[str, Slip] = {
    "sign": Slip(lambda value, count: -value, "The size is right and the sign is wrong."),
    "bits": Slip(
        lambda value, count: value / math.log(2),
        "That is the answer in bits, with logarithms to the base 2. The book measures in nats: use natural logarithms.",
    ),
    "decimal": Slip(
        lambda value, count: value / math.log(10),
        "That uses logarithms to the base 10. This book measures in nats: use natural logarithms.",
    ),
    "nats": Slip(
        lambda value, count: value * math.log(2),
        "That is the answer in nats. The question asks for bits: divide by $\\log 2$.",
    ),
    "variance": Slip(
        lambda value, count: value**2,
        "That is the variance. The question asks for its square root, the standard deviation.",
    ),
    "deviation": Slip(
        lambda value, count: math.sqrt(value) if value > 0 else math.nan,
        "That is the standard deviation. The question asks for its square, the variance.",
    ),
    "sum": Slip(
        lambda value, count: value * count,
        "That is the sum of the terms. An average divides it by their number.",
    ),
    "mean": Slip(
        lambda value, count: value / count if count else math.nan,
        "That is the average of the terms. The question asks for their sum.",
    ),
    "log-count": Slip(
        lambda value, count: value + math.log(count) if count > 0 else math.nan,
        "That is the logarithm of the sum. The logarithm of the average is lower by $\\log K$, with $K$ terms.",
    ),
    "logarithm": Slip(
        lambda value, count: math.exp(value) if value < 700 else math.nan,
        "That is the quantity itself. The question asks for its logarithm.",
    ),
    "exponential": Slip(
        lambda value, count: math.log(value) if value > 0 else math.nan,
        "That is the logarithm. The question asks for the quantity itself.",
    ),
    "half": Slip(
        lambda value, count: 2 * value, "That is twice the answer: where does the factor $\\frac12$ come from?"
    ),
    "percent": Slip(
        lambda value, count: 100 * value,
        "That is a hundred times the answer. If you mean per cent, write the sign %.",
    ),
}
# Recognised without being named: they need nothing but the unit.
BY_UNIT = {"": ("sign",), "nats": ("sign", "bits", "decimal"), "bits": ("sign", "nats")}


def slips_of(task: Number) -> Iterator[tuple[str, float, str]]:
    """The general slips that differ from the right answer: name, wrong value and what to say."""
    for name in dict.fromkeys((*task.slips, *BY_UNIT[task.unit])):
        slip = SLIPS[name]
        value = slip.wrong(task.target, task.count)
        if math.isfinite(value) and abs(value - task.target) > 2 * task.allowed:
            yield name, value, slip.says


def to_float(answer: Any, unit: str = "") -> float:
    """The number that an answer is: a Python or NumPy number, a tensor of one, a fraction, or text.

    Raises:
        ExpressionError: If it is none.
    """
    if isinstance(answer, str):
        text = answer.strip()
        if unit and text.endswith(unit):
            text = text[: -len(unit)]
        return evaluate(text.replace("≈", "").lstrip("= "))
    if isinstance(answer, (bool, complex)):
        raise ExpressionError(f"Expected a number, not {answer!r}.")
    if isinstance(answer, numbers.Real) or hasattr(answer, "__float__"):
        try:
            return float(answer)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ExpressionError(f"Expected one number: {error}.") from None
    raise ExpressionError(f"Expected a number or text such as '2*log(3)', not {type(answer).__name__}.")


def check_number(exercise: Exercise, answer: Any) -> Feedback:
    """What to say to a number."""
    task = exercise.answer
    assert isinstance(task, Number)
    try:
        value = to_float(answer, task.unit)
    except ExpressionError as error:
        return Feedback(exercise.id, "unread", str(error))
    if math.isnan(value):
        return Feedback(exercise.id, "unread", "That is not a number (NaN).")
    target, allowed = task.target, task.allowed
    if value == target or abs(value - target) <= allowed * (1 + 1e-9):
        return Feedback(exercise.id, "right", f"Right: {_rounded(target, allowed)}{task.unit and ' ' + task.unit}.")
    named = [(one.name, evaluate(one.value), one.says) for one in exercise.misconceptions]
    for name, wrong, says in (*named, *slips_of(task)):
        if value == wrong or abs(value - wrong) <= _reach(task, wrong):
            return Feedback(exercise.id, "wrong", says, name)
    if not math.isfinite(value):
        return Feedback(exercise.id, "wrong", "The answer is finite.")
    if abs(value - target) <= 10 * allowed:
        return Feedback(
            exercise.id, "wrong", f"Close, but not within {task.tolerance}. Carry more digits, and round at the end."
        )
    size = "too large" if value > target else "too small"
    return Feedback(exercise.id, "wrong", f"That is {size}. Open a hint if you do not see why.")


def _reach(task: Number, wrong: float) -> float:
    """How near to a wrong value an answer counts as it: in the same proportion, or as near as to the right one."""
    if task.tolerance.endswith("%"):
        return abs(wrong / task.target) * task.allowed
    return task.allowed * max(1.0, min(abs(wrong / task.target), 10.0)) if task.target else task.allowed


def _rounded(value: float, allowed: float) -> str:
    """A value with the digits that the tolerance makes sense of."""
    if abs(value) < 1e9 and abs(value - round(value)) <= 1e-9 * abs(value):
        return str(round(value))
    digits = 4 if allowed <= 0 else max(1, math.ceil(math.log10(abs(value) / allowed)) + 1) if value else 1
    return f"{value:.{min(digits, 8)}g}"
