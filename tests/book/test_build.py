"""The book builds. This file runs first, so that one process builds the book while another replays notebooks."""

from __future__ import annotations

from pathlib import Path

from books import docnames, pages


def test_every_page_of_the_table_of_contents_is_built(build: Path) -> None:
    html = build / "html"
    assert {path.relative_to(html).with_suffix("").as_posix() for path in pages(build)} == set(docnames())
