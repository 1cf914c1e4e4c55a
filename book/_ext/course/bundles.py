"""The scripts that check answers in a page: Python for the browser, and the packages that it runs.

A page that is opened from a file can load a script and nothing else, so all that it needs comes in scripts, as text:
``python-VERSION.js`` (8 MB, Pyodide) and ``tutor.js`` (the packages, the exercises, the worker). Pages load them with
the first *Check*, and share them.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import lzma
import shutil
import zipfile
from pathlib import Path

import proofreader
import tutor
from tutor.collection import Collection, raw

HERE = Path(__file__).parent
PYODIDE = HERE / "pyodide"
TEMML = HERE / "temml" / "temml.min.js"
WORKER = HERE.parents[1] / "js" / "worker.js"
# Python's own date for files in an archive, so that the same files make the same archive.
NO_DATE = (1980, 1, 1, 0, 0, 0)


def versions() -> dict[str, object]:
    """The version of Pyodide, what it says of itself, and the hashes of its files."""
    listed: dict[str, object] = json.loads((PYODIDE / "files.json").read_text(encoding="utf-8"))
    return listed


def file_of_pyodide(name: str) -> bytes:
    """A file as npm delivers it.

    Raises:
        ValueError: If it is damaged.
    """
    content = lzma.decompress((PYODIDE / f"{name}.xz").read_bytes())
    digests = versions()["sha256"]
    assert isinstance(digests, dict)
    if hashlib.sha256(content).hexdigest() != digests[name]:
        raise ValueError(f"{name} is not what npm delivers: run book/_ext/course/pyodide/update.py again")
    return content


def names() -> dict[str, str]:
    """The name of each script: ``python``, ``tutor`` and ``temml``."""
    return {"python": f"python-{versions()['version']}.js", "tutor": "tutor.js", "temml": TEMML.name}


def write_bundles(static: Path, exercises: Path, macros: str) -> None:
    """Write the scripts that are not there yet, or have changed.

    Args:
        static: The folder that pages load scripts from.
        exercises: The folder of the exercises.
        macros: What each macro of the book stands for, as JSON.
    """
    static.mkdir(parents=True, exist_ok=True)
    named, listed = names(), versions()
    if not (static / named["python"]).exists():
        for old in static.glob("python-*.js"):
            old.unlink()
        digests = listed["sha256"]
        assert isinstance(digests, dict)
        files = {name: base64.b64encode(gzip.compress(file_of_pyodide(name), 9, mtime=0)).decode() for name in digests}
        text = _script("coursePython", {"files": files, "info": listed["info"]})
        (static / named["python"]).write_text(text, encoding="utf-8")
    content = {
        "packages": base64.b64encode(packages(exercises)).decode(),
        "worker": WORKER.read_text(encoding="utf-8"),
        "macros": {f"\\{name}": body for name, body in json.loads(macros).items()},
    }
    (static / named["tutor"]).write_text(_script("courseTutor", content), encoding="utf-8")
    shutil.copy(TEMML, static)


def packages(exercises: Path) -> bytes:
    """A ZIP archive of the two packages, and of the exercises that a page can check."""
    in_page = {one.label for one in Collection.read(exercises).values() if one.in_page}
    data = {name: [one for one in listed if one["label"] in in_page] for name, listed in raw(exercises).items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in (proofreader, tutor):
            assert package.__file__ is not None
            for path in sorted(Path(package.__file__).parent.glob("*.py")):
                _add(archive, f"{package.__name__}/{path.name}", path.read_text(encoding="utf-8"))
        _add(archive, "exercises/exercises.json", json.dumps(data, ensure_ascii=False, sort_keys=True))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    archive.writestr(zipfile.ZipInfo(name, NO_DATE), text, zipfile.ZIP_DEFLATED)


def _script(name: str, content: object) -> str:
    return f"window.{name} = {json.dumps(content, ensure_ascii=False)};\n"
