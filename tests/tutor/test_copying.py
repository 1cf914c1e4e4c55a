"""``make exercises`` gives fresh notebooks and never touches the reader's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutor.copying import copy_fresh


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_joint", "02_posterior"):
        (folder / f"{name}.ipynb").write_text(name, encoding="utf-8")
    (folder / "notes.txt").write_text("no notebook", encoding="utf-8")
    return folder


def test_it_copies_what_is_missing_and_keeps_what_is_there(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "my" / "folder"
    assert copy_fresh(source, target) == (["01_joint.ipynb", "02_posterior.ipynb"], [])
    (target / "01_joint.ipynb").write_text("my work", encoding="utf-8")
    (target / "02_posterior.ipynb").unlink()
    (source / "01_joint.ipynb").write_text("a new edition", encoding="utf-8")
    assert copy_fresh(source, target) == (["02_posterior.ipynb"], ["01_joint.ipynb"])
    assert (target / "01_joint.ipynb").read_text(encoding="utf-8") == "my work"
    assert {path.name for path in target.iterdir()} == {"01_joint.ipynb", "02_posterior.ipynb"}


def test_it_refuses_the_books_own_folder_and_a_folder_without_notebooks(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own notebooks"):
        copy_fresh(source, source)
    with pytest.raises(FileNotFoundError, match="has no notebooks"):
        copy_fresh(tmp_path, tmp_path / "target")
    assert not (tmp_path / "target").exists()
