"""What a reader sees of the collection: a hint, and all exercises with what is done."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from tutor.collection import Collection
from tutor.exercises import Exercise
from tutor.store import Progress, Record

__all__ = ["Hint", "Overview"]


@dataclass(frozen=True)
class Hint:
    """One hint to an exercise."""

    exercise: Exercise
    at: int

    def __str__(self) -> str:
        count = len(self.exercise.hints)
        which = f", hint {self.at + 1} of {count}" if count > 1 else ", hint"
        return f"Exercise {self.exercise.id}{which}: {self.exercise.hints[self.at]}"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Overview:
    """The exercises by chapter, with the reader's progress."""

    exercises: Collection
    records: Progress

    def state(self, exercise: Exercise) -> str:
        """What has become of an exercise, in a word or two."""
        record = self.records.get(exercise.label, Record())
        if record.right:
            return "done"
        return "tried" if record.attempts else "open"

    def rows(self) -> list[tuple[str, str, str, str, int, str]]:
        """Number, title, kind, stars, minutes and state of every exercise."""
        return [
            (one.id, one.title, one.kind, "★" * one.stars, one.minutes, self.state(one))
            for one in self.exercises.values()
        ]

    def summary(self) -> list[tuple[str, int, int]]:
        """For each chapter: its number, how many exercises are done, and how many there are."""
        return [
            (chapter, sum(self.state(one) == "done" for one in members), len(members))
            for chapter, group in groupby(self.exercises.values(), key=lambda one: one.chapter)
            for members in [list(group)]
        ]

    def __str__(self) -> str:
        lines = [f"Chapter {chapter}: {done} of {count} done" for chapter, done, count in self.summary()]
        return "\n".join(lines) or "There is no exercise."

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        head = ["| exercise | | kind | | minutes | |", "|---|---|---|---|--:|---|"]
        rows = [f"| {' | '.join(map(str, row))} |" for row in self.rows()]
        return "\n".join([str(self).replace("\n", " · "), "", *head, *rows])
