"""What a page of the book calls: text in, text out."""

from __future__ import annotations

import json
import time
from functools import cache
from pathlib import Path

from tutor.checking import check_answer
from tutor.collection import Collection
from tutor.feedback import Feedback

__all__ = ["check_in_page"]


# WebAssembly has no clock of its own for a thread, which the proofreader limits its work by; there is one thread.
if not hasattr(time, "thread_time"):
    time.thread_time = time.perf_counter


@cache
def _collection(folder: str) -> Collection:
    return Collection.read(Path(folder))


def check_in_page(folder: str, name: str, answer: str) -> str:
    """The feedback on an answer, as JSON.

    Args:
        folder: Where ``exercises.json`` lies.
        name: The number or the label of the exercise.
        answer: What the reader typed or chose.
    """
    exercise = _collection(folder)[name]
    if not exercise.in_page:
        feedback = Feedback(exercise.id, "unread", "This exercise uses PyTorch: check it in the chapter's notebook.")
    else:
        feedback = check_answer(exercise, answer)
    return json.dumps(feedback.as_dict())
