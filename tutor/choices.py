"""Checks a choice, and explains the option that was chosen."""

from __future__ import annotations

from typing import Any

from tutor.exercises import LETTERS, Choice, Exercise
from tutor.feedback import Feedback

__all__ = ["check_choice"]


def check_choice(exercise: Exercise, answer: Any) -> Feedback:
    """What to say to the letter of an option, or to its text."""
    task = exercise.answer
    assert isinstance(task, Choice)
    letters = LETTERS[: len(task.options)]
    text = str(answer).strip()
    chosen = text.lower().strip("().")
    if chosen not in letters or len(chosen) != 1:
        matches = [letter for letter, option in zip(letters, task.options, strict=True) if option.text == text]
        if len(matches) != 1:
            return Feedback(exercise.id, "unread", f"Answer with one of the letters {', '.join(letters)}.")
        (chosen,) = matches
    option = task.options[letters.index(chosen)]
    if option.right:
        return Feedback(exercise.id, "right", f"Right. {option.why}")
    return Feedback(exercise.id, "wrong", option.why, f"option-{chosen}")
