"""All exercises of the book: found, read once, and looked up by number or label."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tutor.exercises import Exercise, ExerciseError, read_exercise

__all__ = ["Collection", "collection", "folder"]


class Collection(Mapping[str, Exercise]):
    """Exercises by their numbers, in the order of the book.

    Raises:
        ExerciseError: If two exercises have one number or one label.
    """

    def __init__(self, exercises: list[Exercise]) -> None:
        self._by_id: dict[str, Exercise] = {}
        self._by_label: dict[str, Exercise] = {}
        for one in sorted(exercises, key=_place):
            for name, known in ((one.id, self._by_id), (one.label, self._by_label)):
                if name in known:
                    raise ExerciseError(f"two exercises are called {name}: give each a number and a label of its own")
                known[name] = one

    @classmethod
    def read(cls, folder: Path) -> Collection:
        """The collection in a folder of YAML files, one a chapter, or in its ``exercises.json``."""
        packed = folder / "exercises.json"
        data = json.loads(packed.read_text(encoding="utf-8")) if packed.exists() else raw(folder)
        return cls([read_exercise(one, source) for source, listed in data.items() for one in listed])

    def __getitem__(self, name: str) -> Exercise:
        """The exercise with this number or label.

        Raises:
            KeyError: If there is none; names the exercises of the same chapter.
        """
        wanted = str(name)
        found = self._by_id.get(wanted) or self._by_label.get(wanted)
        if found is None:
            chapter = wanted.partition(".")[0]
            near = [one for one in self._by_id if one.partition(".")[0] == chapter]
            listed = f"chapter {chapter} has {', '.join(near)}" if near else f"there are {len(self)} in all"
            raise KeyError(f"no exercise that can be checked is called {wanted!r}: {listed}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


def _place(exercise: Exercise) -> tuple[bool, int, str, int]:
    """Chapters in their order, and behind them the pages that have a letter."""
    chapter, _, number = exercise.id.partition(".")
    return not chapter.isdigit(), int(chapter) if chapter.isdigit() else 0, chapter, int(number)


def raw(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What the YAML files of a folder say, unread, by file: what a page ships as JSON."""
    return {path.name: _yaml(path) for path in sorted(folder.glob("*.yaml"))}


def _yaml(path: Path) -> list[dict[str, Any]]:
    import yaml  # not in a page, which has the exercises as JSON

    # The loader of libyaml reads the same eight times as fast; a few systems have PyYAML without it.
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(data, list):
        raise ExerciseError(f"{path.name}: expected a list of exercises, each beginning with `- id:`")
    return data


def folder() -> Path:
    """Where the exercises lie: beside this module where they are packed with it, else in the book."""
    here = Path(__file__).parent
    packed = here / "exercises"
    return packed if packed.is_dir() else here.parent / "book" / "exercises"


@cache
def collection() -> Collection:
    """The collection of this book."""
    return Collection.read(folder())
