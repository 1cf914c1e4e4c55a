"""Makes a notebook of every chapter while the book is built, from the page and the outputs that it shows.

The notebooks land in ``_build/notebooks``; ``make notebooks`` takes them to ``notebooks/``. Nothing in them
changes from one build to the next unless the chapter, the package or this code does.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from docutils import nodes
from myst_nb.core.utils import coalesce_streams
from nbformat import NotebookNode

from course.addresses import DOWNLOADS
from course.execution import executed
from course.kernels import kernelspec, language_info
from course.markdown import Answer, Code, MarkdownWriter, NotebookError, Numbers, Piece, Prose, strip_glue_marks
from course.names import notebook_of
from course.numbers import agree
from course.records import ANSWER, BOOK_ONLY, INSTALL, glued_cells, is_glued, published

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# The tag with which nbval compares what a cell prints.
CHECKED = "nbval-check-output"
FOLDED_TAGS = {"hide-input", "hide-cell", "remove-cell", "remove-input"}
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")

# The mark with which JupyterLab keeps the section under a heading shut.
SHUT = "jp-MarkdownHeadingCollapsed"


def folder(app: Sphinx) -> Path:
    return Path(app.outdir).parent / "notebooks"


def write_notebook(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    name = notebook_of(app, docname) if app.builder.format == "html" else None
    if name is None:
        return
    writer = MarkdownWriter(
        page_url=_page_url(app, docname),
        macros=app.config.mathjax3_config["tex"]["macros"],
        numbers=Numbers(
            app.env.toc_secnumbers.get(docname, {}),
            app.env.toc_fignumbers.get(docname, {}),
        ),
        cited_url=lambda anchor: _cited_url(app, anchor),
        image_url=lambda uri: _image_url(app, uri),
        figure_formats=app.config.numfig_format,
    )
    pieces = list(writer.pieces(doctree))
    pieces.insert(1, Prose(_introduction(writer.page_url, docname)))
    chapter = executed(app, docname).cells
    cells = assemble(pieces, chapter, app.env.doc2path(docname))
    if app.config.course_install:
        cells.insert(1, _code_cell(_install(app.config.course_install), {"tags": [INSTALL]}, []))
    notebook = finish(cells)
    notebook.metadata["lvmlib"] = {
        "chapter": f"{docname}.md",
        "code_hash": app.config.course_code_hash,
        "glued": glued_cells(chapter),
    }
    path = folder(app) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(notebook), encoding="utf-8")


def assemble(pieces: list[Piece], executed: list[NotebookNode], source: str) -> list[NotebookNode]:
    """Cells in reading order: the prose of the page, and every code cell of the chapter.

    A code cell that the page does not show comes right after the one before it, folded.
    """
    shown = {piece.index for piece in pieces if isinstance(piece, Code)}
    hidden = [i for i, cell in enumerate(executed) if cell.cell_type == "code" and i not in shown]
    cells: list[NotebookNode] = []
    texts: list[str] = []

    def close(**metadata: Any) -> None:
        if texts:
            cells.append(nbformat.v4.new_markdown_cell("\n\n".join(texts), metadata=metadata))
            texts.clear()

    def add(index: int, *, folded: bool) -> None:
        cell = executed[index]
        if BOOK_ONLY not in cell.metadata.get("tags", []):
            close()
            cells.append(_notebook_cell(cell, folded=folded, source=source))

    previous: int | None = None
    for piece in pieces:
        if isinstance(piece, Prose):
            if piece.starts_cell:
                close()
            if piece.text:
                texts.append(piece.text)
            if piece.collapsed:
                close(**{SHUT: True})
            continue
        if isinstance(piece, Answer):
            close()
            cells.append(_code_cell(piece.source, {"tags": [ANSWER]}, []))
            continue
        if previous is None:
            while hidden and hidden[0] < piece.index:
                add(hidden.pop(0), folded=True)
        add(piece.index, folded=piece.folded)
        previous = piece.index
        following = min((i for i in shown if i > piece.index), default=len(executed))
        while hidden and hidden[0] < following:
            add(hidden.pop(0), folded=True)
    for index in hidden:
        add(index, folded=True)
    close()
    return cells


def finish(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook with cell ids that follow from what a cell says, and counts in reading order."""
    seen: dict[str, int] = {}
    count = 0
    for cell in cells:
        digest = hashlib.sha256(f"{cell.cell_type} {without_glued(cell.source)}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernelspec(), "language_info": language_info()}
    )
    nbformat.validate(notebook)
    return notebook


def without_glued(text: str) -> str:
    """Markdown with a blank for every glued value: what two machines agree on to the letter."""
    return re.sub("\ue000.*?\ue001", "\ue000\ue001", text, flags=re.DOTALL)


def dumps(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


def publish(text: str) -> str:
    """A built notebook as it is committed: without the marks around glued values."""
    return strip_glue_marks(text)


def differences(built: str, committed: str) -> list[str]:
    """How a committed notebook differs from the one that its chapter makes now, with numbers compared as numbers."""
    fresh, old = nbformat.reads(built, as_version=4), nbformat.reads(committed, as_version=4)
    found = []
    if len(fresh.cells) != len(old.cells):
        found.append(f"{len(old.cells)} cells where the chapter makes {len(fresh.cells)}")
    for number, (new, was) in enumerate(zip(fresh.cells, old.cells, strict=False), 1):
        if (new.cell_type, new.id, new.metadata) != (was.cell_type, was.id, was.metadata):
            found.append(f"cell {number}: type, id or metadata")
        if not _same_but_for_glued(new.source, was.source):
            found.append(f"cell {number}: {was.source[:60]!r}")
        if CHECKED in new.metadata.get("tags", []) and not _prints_the_same(new.outputs, was.outputs):
            found.append(f"cell {number}: it prints something else now")
    return found


def _same_but_for_glued(marked: str, text: str) -> bool:
    """Whether a text is a marked one without its marks; between them numbers may differ as they do when printed."""
    plain, *glued = re.split("\ue000(.*?)\ue001", marked, flags=re.DOTALL)
    pattern = re.escape(plain)
    for after in glued[1::2]:
        pattern += rf"([^\n]*?){re.escape(after)}"
    match = re.fullmatch(pattern, text)
    return match is not None and all(map(agree, glued[0::2], match.groups()))


def _prints_the_same(new: list[NotebookNode], old: list[NotebookNode]) -> bool:
    texts = [
        [output.get("text") or output.get("data", {}).get("text/plain", "") for output in has] for has in (new, old)
    ]
    return len(new) == len(old) and all(map(agree, *texts))


def _notebook_cell(cell: NotebookNode, *, folded: bool, source: str) -> NotebookNode:
    tags = cell.metadata.get("tags", [])
    metadata: dict[str, Any] = {"tags": list(tags)} if tags else {}
    if folded:
        metadata |= {"collapsed": True, "jupyter": {"outputs_hidden": True, "source_hidden": True}}
    elif FOLDED_TAGS.intersection(tags):
        metadata["jupyter"] = {"source_hidden": True}
    outputs = [_clean(output, source) for output in coalesce_streams(cell.outputs) if not is_glued(output)]
    return _code_cell(cell.source, metadata, outputs)


def _code_cell(source: str, metadata: dict[str, Any], outputs: list[NotebookNode]) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata=metadata, outputs=outputs)


def _clean(output: NotebookNode, source: str) -> NotebookNode:
    """An output without what changes from run to run."""
    if output.output_type == "error":
        raise NotebookError(f"{source}: a cell failed: {output.ename}: {output.evalue}")
    text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    if ADDRESS.search(text):
        raise NotebookError(f"{source}: an output shows a memory address, which changes from run to run: {text!r}")
    if "metadata" in output:
        size = output.metadata.get("image/png")
        output.metadata = {"image/png": size} if size else {}
    return published(output)


def _introduction(page_url: str, docname: str) -> str:
    return (
        f"*This notebook is made from `{docname}.md`. [Read the chapter]({page_url}) as a page of the book; "
        "run, change and break it here.*"
    )


def _install(requirement: str) -> str:
    return f"# On Colab, or wherever lvmlib is missing.\n%pip install --quiet {requirement}"


def _page_url(app: Sphinx, docname: str) -> str:
    base = app.config.html_baseurl.rstrip("/") if app.config.html_baseurl else "../_build/html"
    return f"{base}/{app.builder.get_target_uri(docname)}"


def _image_url(app: Sphinx, uri: str) -> str:
    if app.config.html_baseurl:
        return f"{app.config.html_baseurl.rstrip('/')}/_images/{app.builder.images[uri]}"
    return f"../{uri}"


def _cited_url(app: Sphinx, anchor: str) -> str | None:
    """The publication itself, by DOI where it has one."""
    domain: Any = app.env.get_domain("cite")
    key = next((citation.key for citation in domain.citations if citation.citation_id == anchor), None)
    if key is None:
        return None
    fields = domain.bibdata.data.entries[key].fields
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return fields.get("url")


def offer_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Keep the notebooks of pages that there are, and put a copy of each where its page can link to it."""
    if exception is None and app.builder.format == "html" and folder(app).is_dir():
        made = {notebook_of(app, docname) for docname in app.env.found_docs}
        downloads = Path(app.outdir, DOWNLOADS)
        downloads.mkdir(exist_ok=True)
        for path in folder(app).glob("*.ipynb"):
            if path.name not in made:
                path.unlink()
                continue
            (downloads / path.name).write_text(publish(path.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", write_notebook, priority=900)
    app.connect("build-finished", offer_notebooks)
