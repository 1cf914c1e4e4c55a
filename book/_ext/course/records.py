"""What a committed notebook remembers of an execution, so that nobody has to execute its chapter again.

A notebook in ``notebooks/`` has the outputs of its chapter's cells. Two things it has in another form: a figure, which
the page sets inline and the notebook shows as an image, and the numbers glued into the prose, which only the book can
glue. This module writes both forms and reads them back.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# A chapter's cell that only the book needs: it glues numbers into the prose, where the notebook has them.
BOOK_ONLY = "book-only"
# A notebook's cells that no chapter has: where to install the package, and where to answer an exercise.
INSTALL, ANSWER = "colab", "answer"

GLUE_TYPE = "application/papermill.record/"
# A figure on a page takes the page's width and the colour of its text. An image has a width and a ground of its own.
INLINE = re.compile(
    r'(<svg [^>]*class="lvm-picture"[^>]*) style="display:block;width:100%;max-width:(\d+)px;height:auto">'
)
IMAGE = re.compile(r'(<svg [^>]*class="lvm-picture"[^>]*) width="(\d+)" style="background:#fff;color:#1f2328">')


def published(output: NotebookNode) -> NotebookNode:
    """An output as a notebook has it: a figure as an image, which Jupyter shows before it trusts a notebook's HTML."""
    data = output.get("data", {})
    if "text/html" in data and INLINE.match(data["text/html"]):
        svg = INLINE.sub(r'\1 width="\2" style="background:#fff;color:#1f2328">', data.pop("text/html"))
        data["image/svg+xml"] = svg
    return output


def restored(output: NotebookNode) -> NotebookNode:
    """An output as the page wants it, from the one that the notebook has."""
    data = output.get("data", {})
    if IMAGE.match(data.get("image/svg+xml", "")):
        html = IMAGE.sub(r'\1 style="display:block;width:100%;max-width:\2px;height:auto">', data.pop("image/svg+xml"))
        data["text/html"] = html
    return output


def is_glued(output: NotebookNode) -> bool:
    return any(kind.startswith(GLUE_TYPE) for kind in output.get("data", {})) or "scrapbook" in output.get(
        "metadata", {}
    )


def glued_cells(executed: list[NotebookNode]) -> list[dict[str, Any]]:
    """The cells that only the book has, with what they glued, for the notebook's metadata."""
    return [{"source": cell.source, "outputs": list(cell.outputs)} for cell in executed if _is_book_only(cell)]


def fill(app: Sphinx, path: Path, chapter: NotebookNode) -> bool:
    """Give a chapter the outputs of its committed notebook, if the present code made them from the same cells."""
    committed = Path(app.srcdir, "notebooks", f"{path.stem}.ipynb")
    if not committed.exists():
        return False
    notebook: Any = nbformat.reads(committed.read_text(encoding="utf-8"), as_version=4)
    made = notebook.metadata.get("lvmlib", {})
    if made.get("code_hash") != app.config.course_code_hash:
        return False
    cells = [cell for cell in chapter.cells if cell.cell_type == "code"]
    shown = [cell for cell in cells if not _is_book_only(cell)]
    hidden = [cell for cell in cells if _is_book_only(cell)]
    recorded = [cell for cell in notebook.cells if cell.cell_type == "code" and not _is_added(cell)]
    glued = made["glued"]
    if [cell.source for cell in (*shown, *hidden)] != [cell.source for cell in (*recorded, *glued)]:
        return False
    for cell, record in zip((*shown, *hidden), (*recorded, *glued), strict=True):
        cell.outputs = [restored(nbformat.from_dict(output)) for output in record.outputs]
    for count, cell in enumerate(cells, 1):
        cell.execution_count = count
    chapter.metadata["language_info"] = notebook.metadata.language_info
    return True


def _is_book_only(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and BOOK_ONLY in cell.metadata.get("tags", [])


def _is_added(cell: NotebookNode) -> bool:
    return bool({INSTALL, ANSWER}.intersection(cell.metadata.get("tags", [])))
