"""Writes ``notebooks/`` from the chapters; with ``--check``, says which committed notebooks are stale.

Both build the book first, which executes only what has changed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from course.notebooks import differences, publish

ROOT = Path(__file__).resolve().parents[2]


def build_book(root: Path) -> Path:
    """Build the book as ``make book`` does; return the folder with the notebooks of its chapters."""
    jupyter_book = "from jupyter_book.cli.main import main; main()"  # the package has no __main__
    command = [sys.executable, "-c", jupyter_book, "build", str(root), "-W", "-n", "--keep-going", "--quiet"]
    built = root / "_build" / "notebooks"
    if not built.is_dir():
        command.append("--all")
    subprocess.run(command, cwd=root, check=True)
    return built


def stale(built: Path, committed: Path) -> list[str]:
    """One line for each way in which the committed notebooks are not what the chapters make."""
    fresh = {path.name: path.read_text(encoding="utf-8") for path in built.glob("*.ipynb")}
    there = {path.name: path.read_text(encoding="utf-8") for path in committed.glob("*.ipynb")}
    found = [f"{name}: missing" for name in sorted(fresh.keys() - there.keys())]
    found += [f"{name}: no chapter makes it" for name in sorted(there.keys() - fresh.keys())]
    for name in sorted(fresh.keys() & there.keys()):
        found += [f"{name}: {difference}" for difference in differences(fresh[name], there[name])]
    return found


def update(built: Path, committed: Path) -> None:
    committed.mkdir(exist_ok=True)
    names = {path.name for path in built.glob("*.ipynb")}
    for path in committed.glob("*.ipynb"):
        if path.name not in names:
            path.unlink()
            print(f"removed notebooks/{path.name}")
    for path in sorted(built.glob("*.ipynb")):
        text = publish(path.read_text(encoding="utf-8"))
        target = committed / path.name
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            print(f"wrote notebooks/{path.name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a notebook is stale")
    arguments = parser.parse_args()
    built = build_book(ROOT)
    if not arguments.check:
        update(built, ROOT / "notebooks")
        return 0
    found = stale(built, ROOT / "notebooks")
    for line in found:
        print(f"notebooks/{line}")
    if found:
        print("Stale notebooks: run `make notebooks` and commit what it writes.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
