"""Takes another version of Pyodide: ``python book/_ext/course/pyodide/update.py 314.0.7``; needs npm.

The files that a page needs are kept compressed beside this script, so that a fresh clone builds without Node and
without a network. ``files.json`` has the version and the SHA-256 of each file as npm delivers it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import subprocess
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
NAMES = ("pyodide.asm.wasm", "python_stdlib.zip", "pyodide.asm.mjs", "pyodide.mjs")


def update(version: str) -> None:
    """Fetch a version with npm, and put its files here."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"pyodide@{version}"], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            contents = {name: _read(tar, name) for name in (*NAMES, "pyodide-lock.json")}
    digests = {name: hashlib.sha256(contents[name]).hexdigest() for name in NAMES}
    for name in NAMES:
        packed = lzma.compress(contents[name], preset=9 | lzma.PRESET_EXTREME)
        (HERE / f"{name}.xz").write_bytes(packed)
    info = json.loads(contents["pyodide-lock.json"])["info"]
    listed = {"version": version, "info": info, "sha256": digests}
    (HERE / "files.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(f"package/{name}")
    if file is None:
        raise ValueError(f"the package has no {name}: this version of Pyodide is built otherwise")
    return file.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="a version of the npm package pyodide")
    update(parser.parse_args().version)
