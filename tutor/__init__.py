"""Exercises that answer: hints, feedback that names the mistake, and the reader's progress.

In a notebook::

    import tutor

    tutor.check("3.1", 0.2)     # right, or what is wrong and why
    tutor.hint("3.1")           # the next hint, from gentle to explicit
    tutor.progress()            # what is done, chapter by chapter

The same code runs in the pages of the book. It needs the standard library alone, ``proofreader`` for derivations, and
torch only for exercises that use it.
"""

from __future__ import annotations

from typing import Any

from tutor.checking import check_answer
from tutor.collection import Collection, collection
from tutor.exercises import Exercise, ExerciseError
from tutor.feedback import Feedback
from tutor.overview import Hint, Overview
from tutor.store import Store

__all__ = [
    "Collection",
    "Exercise",
    "ExerciseError",
    "Feedback",
    "check",
    "collection",
    "hint",
    "progress",
    "reset",
]


def check(exercise: str, answer: Any) -> Feedback:
    """Checks an answer, and notes the result in the reader's progress.

    Args:
        exercise: Its number, such as ``"3.1"``, or its label.
        answer: A number, the letter of an option, a derivation in LaTeX, or a function.

    Returns:
        Whether it is right, and otherwise what is wrong; a notebook shows it.

    Raises:
        KeyError: If there is no such exercise.
    """
    asked = collection()[exercise]
    feedback = check_answer(asked, answer)
    if feedback.verdict in ("right", "wrong"):
        Store().note(asked.label, feedback.verdict)
    return feedback


def hint(exercise: str) -> Hint:
    """The next hint to an exercise, from gentle to explicit; after the last one, the first again.

    Raises:
        KeyError: If there is no such exercise.
    """
    asked = collection()[exercise]
    number = Store().hint(asked.label)
    return Hint(asked, (number - 1) % len(asked.hints))


def progress() -> Overview:
    """All exercises, with what the reader has done."""
    return Overview(collection(), Store().load())


def reset() -> None:
    """Forget the reader's progress."""
    Store().reset()
