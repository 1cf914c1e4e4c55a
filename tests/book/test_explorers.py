"""An explorer of a chapter is whole in the page and in the notebook that is made from it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import nbformat
from books import pages, soup

from lvmlib.explorers import MIME_TYPE


def test_an_explorer_has_a_caption_a_static_picture_and_its_specification(build: Path) -> None:
    found = 0
    for path in pages(build):
        for explorer in soup(path).select(".explorer"):
            caption = explorer.find_parent("figure").select_one("figcaption")
            assert caption.select_one(".caption-text").get_text(strip=True), path.name
            # The first page has no numbers.
            assert caption.select_one(".caption-number") or path.stem == "index", path.name
            assert explorer.select_one(".explorer-static svg[role=img]")["aria-label"]
            assert json.loads(explorer.find("script").string)["params"], path.name
            found += 1
    assert found >= 2


def test_a_notebook_keeps_the_live_picture_and_the_static_one_and_says_the_caption(build: Path) -> None:
    found = 0
    for path in (build / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        for cell, after in pairwise(cells):
            for output in cell.get("outputs", []):
                if MIME_TYPE not in output.get("data", {}):
                    continue
                assert set(output.data) == {MIME_TYPE, "image/svg+xml", "image/png", "text/plain"}
                still = output.data.pop("image/png")
                assert len(json.dumps(output, indent=1)) < 100_000
                assert len(still) < 60_000
                assert after.source.startswith("**Figure "), path.name
                found += 1
    assert found >= 2
