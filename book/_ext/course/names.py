"""Which page makes which notebook."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from myst_nb.core.read import is_myst_markdown_notebook

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def notebook_of(app: Sphinx, docname: str) -> str | None:
    """``book/01_joint`` makes ``01_joint.ipynb``; a page that is not a text notebook makes none."""
    source = Path(app.env.doc2path(docname))
    if source.suffix != ".md" or not is_myst_markdown_notebook(source.read_text(encoding="utf-8")):
        return None
    return f"{posixpath.basename(docname)}.ipynb"
