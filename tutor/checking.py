"""One door for every kind of answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tutor.choices import check_choice
from tutor.exercises import Code, Derivation, Exercise
from tutor.feedback import Feedback
from tutor.quantities import check_number

__all__ = ["check_answer"]


def _derive(exercise: Exercise, answer: Any) -> Feedback:
    from tutor.derivations import check_derive  # the proofreader, which the other kinds do without

    return check_derive(exercise, answer)


def _code(exercise: Exercise, answer: Any) -> Feedback:
    from tutor.programs import check_code

    return check_code(exercise, answer)


CHECKS: dict[str, Callable[[Exercise, Any], Feedback]] = {
    "number": check_number,
    "choice": check_choice,
    "derive": _derive,
    "code": _code,
}
WANTED = {
    "number": "give a number, such as 0.25, 1/4 or '2*log(3)'",
    "choice": "give the letter of an option",
    "derive": "type a chain of equalities or inequalities in LaTeX",
    "code": "write the function",
}


def check_answer(exercise: Exercise, answer: Any) -> Feedback:
    """What to say to an answer of any kind."""
    if is_blank(exercise, answer):
        return Feedback(exercise.id, "not attempted", f"Not attempted yet: {WANTED[exercise.kind]}.")
    return CHECKS[exercise.kind](exercise, answer)


def is_blank(exercise: Exercise, answer: Any) -> bool:
    """Whether there is no answer yet: nothing, or what the reader began with."""
    if answer is None or answer is ...:
        return True
    if not isinstance(answer, str):
        return False
    begun = {"", "..."}
    if isinstance(exercise.answer, Code):
        begun.add("".join(exercise.answer.starter.split()))
    if isinstance(exercise.answer, Derivation):
        begun.add("".join(begin_derivation(exercise.answer).split()))
    return "".join(answer.split()) in begun


def begin_derivation(task: Derivation) -> str:
    """What the reader of a derivation begins with: its first side."""
    return f"{task.first}\n  = "
