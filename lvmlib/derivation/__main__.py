"""Checks the displays of files: ``python -m lvmlib.derivation FILE...``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from lvmlib.derivation.documents import CheckedBlock, check_file


def _print(checked: CheckedBlock, verbose: bool) -> None:
    block = checked.block
    if checked.report is None:
        print(f"{block.place}: unread: {block.unread}")
        return
    for line in checked.report.lines:
        place = block.place.rsplit(":", 1)[0] + f":{checked.line_of(line)}"
        on_purpose = " (on purpose)" if line.verdict == "false" and block.expected_false else ""
        print(f"{place}: {line.verdict}{on_purpose}: {' '.join(line.latex.split())}")
        if line.verdict != "holds" or verbose:
            for remark in line.remarks():
                print(f"    {remark}")
        if line.error is not None and line.error.latex:
            print(line.error.caret())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        1 if a line is false that is not marked as false on purpose, or a display is true that is marked so; 2 if a
        file cannot be opened; with ``--strict`` also 1 if a line cannot be read and is not marked; else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lvmlib.derivation",
        description="Reads the displays of Markdown, notebooks and LaTeX, and evaluates every line on finite models.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--models", type=int, default=200, help="random models a line (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strict", action="store_true", help="also fail for a line that cannot be read")
    parser.add_argument("--verbose", action="store_true", help="also print the notes on lines that hold")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    failed = False
    for file in options.files:
        try:
            blocks = check_file(file, num_models=options.models, seed=options.seed)
        except (OSError, ValueError) as error:
            print(f"{file}: {error}", file=sys.stderr)
            return 2
        for checked in blocks:
            _print(checked, options.verbose)
            if checked.report is None:
                counts["unread"] += 1
                continue
            counts.update(checked.report.counts)
            verdict = checked.report.verdict
            if checked.block.expected_false:
                if verdict != "false":
                    print(f"    marked as false on purpose, but found: {verdict}")
                    failed = True
            else:
                failed |= verdict == "false" or (options.strict and verdict == "unreadable")
    print(", ".join(f"{counts[name]} {name}" for name in ("holds", "false", "unreadable", "unread") if counts[name]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
