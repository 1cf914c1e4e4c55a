"""Answers that tests give."""

from __future__ import annotations

from tutor.exercises import Choice, Exercise, Misconception, Number


def right_answer(exercise: Exercise) -> str:
    """The answer that the worked solution gives."""
    task = exercise.answer
    return task.value if isinstance(task, Number) else task.right


def mistaken_answer(exercise: Exercise, misconception: Misconception) -> str:
    """An answer that shows a misconception."""
    if isinstance(exercise.answer, Choice):
        return misconception.name.removeprefix("option-")
    return misconception.value or misconception.code or misconception.answer
