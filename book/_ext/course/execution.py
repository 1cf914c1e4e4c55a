"""Executes the chapters whose outputs nobody has yet, side by side, before they are read one after the other.

MyST-NB executes a chapter while it reads it, unless the cache has its outputs. So the outputs that are missing are
put there first: from the committed notebook, if the same code made it, and by executing the others, as many at once as
there are processors. ``EXECUTE=always`` in the environment executes every chapter, whatever the notebooks have. A
chapter that fails leaves nothing in the cache: MyST-NB then executes it again, and reports the failure in its own way.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from myst_nb.core.read import MystMetadataParsingError, create_nb_reader
from traitlets.config import Config

from course.records import fill

if TYPE_CHECKING:
    from jupyter_cache.cache.main import JupyterCacheBase
    from nbformat import NotebookNode
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# Encrypted where the kernel can: without it, each kernel would print a warning.
KERNELS = Config({"KernelManager": {"transport_encryption": "auto"}})


def execute_changed(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    paths = [Path(env.doc2path(docname)) for docname in docnames]
    missing = [
        (path, notebook) for path in paths if (notebook := _notebook(env, path)) and not _cached(cache, notebook)
    ]

    if os.environ.get("EXECUTE") != "always":
        for path, notebook in list(missing):
            if fill(app, path, notebook):
                _keep(cache, path, notebook, seconds=0.0)
                missing.remove((path, notebook))

    def execute(chapter: tuple[Path, NotebookNode]) -> ExecutionResult:
        path, notebook = chapter
        timeout = app.config.nb_execution_timeout
        result = single_nb_execution(
            notebook, cwd=str(path.parent), timeout=timeout, allow_errors=False, config=KERNELS
        )
        join_streams(notebook)
        return result

    # Kernels side by side would fight over the processors, and threads that wait for one another would keep them busy.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Once a day, ArviZ tells of its next version on being imported.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning:arviz")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (path, notebook), result in zip(missing, pool.map(execute, missing), strict=True):
            if result.err is None:
                _keep(cache, path, notebook, seconds=result.time)


def _keep(cache: JupyterCacheBase, path: Path, notebook: NotebookNode, *, seconds: float) -> None:
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def join_streams(notebook: NotebookNode) -> None:
    """Put together what a cell printed, which arrives in pieces of any length.

    MyST-NB takes each piece for whole lines: a line that came in two would be two, and an empty one would be lost.
    """
    for cell in notebook.cells:
        streams: dict[str, NotebookNode] = {}
        outputs = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name in streams:
                streams[output.name].text += output.text
                continue
            if output.output_type == "stream":
                streams[output.name] = output
            outputs.append(output)
        if outputs:
            cell.outputs = outputs


def executed(app: Sphinx, docname: str) -> NotebookNode:
    """A chapter with its outputs, from the cache; MyST-NB's own copy lacks them where it did not execute it itself.

    Raises:
        KeyError: If the chapter is not in the cache, as when it failed.
    """
    notebook = _notebook(app.env, Path(app.env.doc2path(docname)))
    assert notebook is not None, f"{docname} has no code"
    cache = get_cache(app.config.nb_execution_cache_path)
    return cache.merge_match_into_notebook(notebook)[1]


def _notebook(env: BuildEnvironment, path: Path) -> NotebookNode | None:
    """The chapter as MyST-NB reads it, or nothing for a page without code; or for one that it will refuse to read."""
    text = path.read_text(encoding="utf-8")
    configured: Any = env  # MyST and MyST-NB keep their settings there
    reader = create_nb_reader(str(path), configured.myst_config, configured.mystnb_config, text)
    with suppress(MystMetadataParsingError):
        return reader.read(text) if reader is not None else None
    return None


def _cached(cache: JupyterCacheBase, notebook: NotebookNode) -> bool:
    with suppress(KeyError):
        cache.match_cache_notebook(notebook)
        return True
    return False


def setup(app: Sphinx) -> None:
    app.connect("env-before-read-docs", execute_changed)
