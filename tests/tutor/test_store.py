"""The reader's progress: one file, written whole, rescued when damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import tutor
from tutor.store import FORMAT, VERSION, Record, Store


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "reader" / "progress.json"
    monkeypatch.setenv("TUTOR_PROGRESS", str(path))
    return path


def test_checking_and_hints_are_noted_and_a_right_answer_stays_right(file: Path) -> None:
    assert tutor.check("ex-jensen-1", 0.4).verdict == "wrong"
    assert tutor.check("ex-jensen-1", "log 1.25").right
    assert tutor.check("ex-jensen-1", 7).verdict == "wrong"
    tutor.hint("ex-jensen-1")
    record = Store().load()["ex-jensen-1"]
    assert (record.attempts, record.hints, record.last) == (3, 1, "wrong")
    assert len(record.right) == len("2026-11-28")
    data = json.loads(file.read_text(encoding="utf-8"))
    assert (data["format"], data["version"]) == (FORMAT, VERSION)


def test_what_is_no_attempt_leaves_no_trace(file: Path) -> None:
    assert tutor.check("ex-jensen-1", ...).verdict == "not attempted"
    assert tutor.check("ex-jensen-1", "what?").verdict == "unread"
    assert not file.exists()


def test_hints_come_from_gentle_to_explicit_and_begin_again() -> None:
    hints = tutor.collection()["ex-prior-2"].hints
    said = [str(tutor.hint("ex-prior-2")) for _ in range(len(hints) + 1)]
    assert [text.partition(": ")[2] for text in said] == [*hints, hints[0]]
    assert said[0].startswith(f"Exercise {tutor.collection()['ex-prior-2'].id}, hint 1 of {len(hints)}")


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"format": "another"}', "\udcff\x00", '{"exercises": 5}'])
def test_a_damaged_file_is_set_aside_and_never_lost(
    file: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.mkdir()
    file.write_bytes(damage.encode(errors="surrogateescape"))
    before = file.read_bytes()
    assert Store().load() == {}
    Store().note("ex-jensen-1", "right")
    (kept,) = file.parent.glob("*.damaged-*.json")
    assert kept.read_bytes() == before
    assert kept.name in capsys.readouterr().out
    assert Store().load()["ex-jensen-1"].attempts == 1
    file.write_text("{", encoding="utf-8")
    Store().note("ex-jensen-1", "right")
    assert len(list(file.parent.glob("*.damaged-*.json"))) == 2


def test_a_single_damaged_record_costs_only_itself(file: Path) -> None:
    file.parent.mkdir()
    exercises = {"ex-a": {"attempts": 2, "right": "2026-01-01"}, "ex-b": {"attempts": "many"}, "ex-c": 5}
    file.write_text(json.dumps({"format": FORMAT, "version": 1, "exercises": exercises}), encoding="utf-8")
    records = Store().load()
    assert records["ex-a"] == Record(2, 0, "2026-01-01")
    assert records["ex-b"] == Record()
    assert "ex-c" not in records


def test_a_file_of_a_newer_version_is_left_as_it_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.parent.mkdir()
    text = json.dumps({"format": FORMAT, "version": VERSION + 1, "exercises": {}, "more": 1})
    file.write_text(text, encoding="utf-8")
    Store().note("ex-jensen-1", "right")
    assert file.read_text(encoding="utf-8") == text
    assert "newer version" in capsys.readouterr().out


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store().note("ex-jensen-1", "wrong")
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        Store().note("ex-jensen-1", "right")
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_what_a_page_exports_is_read_and_its_drafts_are_kept(file: Path) -> None:
    """``book/js/answers.js`` writes the same format, with a draft in each record."""
    file.parent.mkdir()
    record = {"attempts": 1, "hints": 0, "right": "2026-11-28", "last": "right", "draft": "0.2"}
    data = {"format": FORMAT, "version": 1, "exercises": {"ex-prior-8": record}}
    file.write_text(json.dumps(data), encoding="utf-8")
    assert Store().load()["ex-prior-8"].right == "2026-11-28"
    Store().note("ex-prior-8", "right")
    assert json.loads(file.read_text(encoding="utf-8"))["exercises"]["ex-prior-8"]["draft"] == "0.2"


def test_progress_counts_by_chapter_and_reset_forgets(file: Path) -> None:
    assert tutor.check("5.1", "log 1.25").right
    overview = tutor.progress()
    members = [one for one in tutor.collection().values() if one.chapter == "5"]
    assert ("5", 1, len(members)) in overview.summary()
    assert f"Chapter 5: 1 of {len(members)} done" in str(overview)
    assert "| 5.1 |" in overview._repr_markdown_()
    tutor.reset()
    assert not file.exists()
    assert ("5", 0, len(members)) in tutor.progress().summary()
