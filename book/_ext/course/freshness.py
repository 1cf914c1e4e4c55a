"""No page ever shows a number that the present code would not print.

MyST-NB caches executed pages by their text alone, so a change in the package leaves old numbers standing.
Here the cache has one folder for each state of what a page can call: the code of the packages, the lock and the
interpreter. Another state is another, empty folder; and because the folder is a configuration value on which
Sphinx's environment depends, every page is read again. Docstrings and comments compute nothing, and do not count.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx
    from sphinx.config import Config

KEPT_CACHES = 3  # going back to a state of the code seen lately costs nothing


def hash_files(root: Path, paths: Iterable[Path]) -> str:
    """Hash names and contents of files, in an order that no file system decides."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def source_files(folder: Path) -> list[Path]:
    """All files below a folder, without what Python or an editor leaves there."""
    return [
        path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    ]


def code_hash(root: Path, folders: Iterable[str]) -> str:
    """Hash of all that can change an output but the interpreter: what is in the folders that pages read, and the lock.

    Python files count by what they compute, other files by their bytes.
    """
    digest = hashlib.sha256()
    files = [path for folder in folders for path in source_files(root / folder)]
    files += [path for path in (root / "requirements.txt",) if path.exists()]
    for path in sorted(files):
        content = (
            computing_code(path.read_text(encoding="utf-8")).encode() if path.suffix == ".py" else path.read_bytes()
        )
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def computing_code(source: str) -> str:
    """A Python module without docstrings, comments and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def set_cache(app: Sphinx, config: Config) -> None:
    root = Path(app.srcdir)
    missing = [name for name in config.course_inputs if not (root / name).is_dir()]
    if missing:
        raise FileNotFoundError(f"course_inputs names {missing}, which {root} does not have")
    config.course_code_hash = code_hash(root, config.course_inputs)
    state = hashlib.sha256(f"{config.course_code_hash} {sys.version}".encode()).hexdigest()
    caches = Path(app.outdir).parent / ".jupyter_cache"
    cache = caches / state[:16]
    config.nb_execution_cache_path = str(cache)
    # The extensions also decide what a page looks like: read every page again when they change.
    config.course_extension_hash = hash_files(Path(__file__).parent, source_files(Path(__file__).parent))
    # Sphinx copies style sheets only with a page that has changed: write every page again when one does.
    static = [file for folder in config.html_static_path for file in source_files(root / folder)]
    config.course_static_hash = hash_files(root, static)

    cache.mkdir(parents=True, exist_ok=True)
    cache.touch()
    by_age = sorted((path for path in caches.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in by_age[:-KEPT_CACHES]:
        shutil.rmtree(old)


def setup(app: Sphinx) -> None:
    # The packages that pages import, and folders of data of the project's own that they read.
    app.add_config_value("course_inputs", ["lvmlib", "proofreader", "benchmarks/results"], "env", [list])
    app.add_config_value("course_code_hash", "", "", [str])
    app.add_config_value("course_extension_hash", "", "env", [str])
    app.add_config_value("course_static_hash", "", "html", [str])
    app.connect("config-inited", set_cache)
