"""The reader's progress in one small file: written whole or not at all, with a version, and rescued when damaged.

A page keeps the same data in the browser; what it exports is such a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "VERSION", "Progress", "Record", "Store"]

FORMAT, VERSION = "latent-variable-models progress", 1
NAME = "progress.json"


@dataclass(frozen=True)
class Record:
    """What is known of one exercise.

    Args:
        attempts: How many answers were checked.
        hints: How many hints were asked for.
        right: The day of the first right answer, such as ``2026-11-28``; empty before.
        last: The verdict on the latest answer.
    """

    attempts: int = 0
    hints: int = 0
    right: str = ""
    last: str = ""


Progress = Mapping[str, Record]


class Store:
    """Progress in a file.

    Args:
        path: The file; the environment's ``TUTOR_PROGRESS``, or ``progress.json`` in the present folder, by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(os.environ.get("TUTOR_PROGRESS") or NAME)

    def load(self) -> dict[str, Record]:
        """The records by label; none where there is no file, or one that cannot be read."""
        return _records(self._read() or {})

    def note(self, label: str, verdict: str) -> None:
        """Count an answer."""
        record = self.load().get(label, Record())
        right = record.right or (date.today().isoformat() if verdict == "right" else "")
        self._put(label, Record(record.attempts + 1, record.hints, right, verdict))

    def hint(self, label: str) -> int:
        """Count a hint; how many there have been now."""
        record = self.load().get(label, Record())
        self._put(label, Record(record.attempts, record.hints + 1, record.right, record.last))
        return record.hints + 1

    def reset(self) -> None:
        """Forget everything."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        """The file's data; nothing if it is missing or damaged."""
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            return None
        whole = isinstance(data, dict) and data.get("format") == FORMAT and isinstance(data.get("exercises"), dict)
        return data if whole else None

    def _put(self, label: str, record: Record) -> None:
        data = self._read()
        if data is None:
            rescued = self._set_aside()
            print(f"{self.path} could not be read. It is kept as {rescued.name}, and a new file is begun.")
            data = {}
        if data.get("version", VERSION) > VERSION:
            print(f"{self.path} is from a newer version of the course, so it is left as it is. Progress is not saved.")
            return
        known = data.get("exercises", {})
        old = known.get(label)
        exercises = {**known, label: {**(old if isinstance(old, dict) else {}), **asdict(record)}}
        self._write({"format": FORMAT, "version": VERSION, "exercises": exercises})

    def _set_aside(self) -> Path:
        """A damaged file under another name, which no other file has."""
        number = 1
        while (kept := self.path.with_suffix(f".damaged-{number}.json")).exists():
            number += 1
        os.replace(self.path, kept)
        return kept

    def _write(self, data: Mapping[str, Any]) -> None:
        """Into a new file beside the old one, which then takes its place in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", text=True)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1, ensure_ascii=False, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _records(data: Mapping[str, Any]) -> dict[str, Record]:
    """What can be used of the records; a field that is missing or of another kind is as if new."""
    found = {}
    for label, values in data.get("exercises", {}).items():
        if isinstance(values, dict):
            known = {
                field.name: values[field.name]
                for field in fields(Record)
                if isinstance(values.get(field.name), int if field.type == "int" else str)
            }
            found[label] = Record(**known)
    return found
