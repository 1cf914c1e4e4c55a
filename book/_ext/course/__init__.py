"""What this book adds to Jupyter Book: fresh numbers, clean pages, checked claims, an API page and the notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from course import addresses, api, citations, claims, derivations, execution, explorers, freshness, notebooks, pages

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    for part in (addresses, freshness, execution, pages, citations, claims, derivations, explorers, api, notebooks):
        part.setup(app)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
