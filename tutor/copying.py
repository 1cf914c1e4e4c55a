"""``make exercises``: copies fresh notebooks to a folder of the reader's, and never overwrites what is there.

``python -m tutor.copying notebooks my-exercises``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["copy_fresh"]


def copy_fresh(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Copies each notebook that the target does not have.

    Args:
        source: The folder of the notebooks as the book makes them.
        target: The reader's folder; it is made if it is missing.

    Returns:
        The names of those that were copied, and of those that stay as they are.

    Raises:
        FileNotFoundError: If the source has no notebooks.
        ValueError: If both are one folder.
    """
    found = sorted(source.glob("*.ipynb"))
    if not found:
        raise FileNotFoundError(f"{source} has no notebooks: name the folder that `make notebooks` writes")
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the folder of the book's own notebooks: name another one for your work")
    target.mkdir(parents=True, exist_ok=True)
    copied, kept = [], []
    for path in found:
        try:
            with (target / path.name).open("xb") as file:  # fails where there is a file, whoever made it and when
                file.write(path.read_bytes())
        except FileExistsError:
            kept.append(path.name)
        else:
            copied.append(path.name)
    return copied, kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder of the notebooks")
    parser.add_argument("target", type=Path, help="your folder")
    arguments = parser.parse_args()
    try:
        copied, kept = copy_fresh(arguments.source, arguments.target)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if copied:
        print(f"Copied to {arguments.target}: {', '.join(copied)}")
    if kept:
        print(f"Left as they are, with your work: {', '.join(kept)}. Rename one to get a fresh copy of it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
