"""What this book adds to Jupyter Book: fresh numbers, clean pages, checked claims, an API page and the notebooks."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PARTS = (
    "addresses",
    "freshness",
    "execution",
    "mathematics",
    "pages",
    "citations",
    "claims",
    "attacks",
    "quantified",
    "claim_map",
    "derivations",
    "explorers",
    "answers",
    "exercise_list",
    "landing",
    "searching",
    "api",
    "notebooks",
)


def setup(app: Sphinx) -> dict[str, Any]:
    # Sphinx reads the tree of each page three times from its file: with the usual threshold a fifth of a build goes by
    # looking through these trees for garbage.
    gc.set_threshold(200_000, 50, 100)
    # Imported here, as course.numbers is of use where there is no Sphinx.
    for part in PARTS:
        import_module(f"course.{part}").setup(app)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
