"""Checks the displays of files: ``python -m proofreader FILE...``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from proofreader.documents import CheckedDisplay, check_file
from proofreader.report import DerivationLine

WORDS = {"holds": "hold", "holds_if": "hold if", "false": "false", "unreadable": "not read"}
LEVELS = {"false": "error", "unreadable": "note", "holds_if": "note", "holds": "none", "no_claim": "none"}


def _lines(checked: Sequence[CheckedDisplay]) -> Iterator[tuple[CheckedDisplay, DerivationLine, str]]:
    """Every line with its display and its verdict, which is marked where the page says that it is false on purpose."""
    for one in checked:
        for line in one.report.lines if one.report is not None else ():
            on_purpose = line.verdict == "false" and one.display.expected_false
            yield one, line, "false on purpose" if on_purpose else line.verdict


def _summary(path: str, checked: Sequence[CheckedDisplay]) -> str:
    counts = Counter(verdict for _, _, verdict in _lines(checked))
    if not checked:
        return f"{path}: no display was found"
    claims = sum(count for verdict, count in counts.items() if verdict != "no_claim")
    parts = [
        f"{counts[verdict]} {word}"
        for verdict, word in WORDS.items()
        if counts[verdict] or verdict in ("holds", "false")
    ]
    parts += [f"{counts['false on purpose']} false on purpose"] if counts["false on purpose"] else []
    unread = sum(one.report is None for one in checked)
    silent = counts["no_claim"]
    more = [f"{_counted(silent, 'line')} claim{'s' * (silent == 1)} nothing"] if silent else []
    more += [f"{_counted(unread, 'display')} marked as unread"] if unread else []
    return f"{path}: {claims} claims: {', '.join(parts)}" + (f" ({'; '.join(more)})" if more else "")


def _counted(number: int, what: str) -> str:
    """A number of things in words."""
    return f"{number} {what}{'s' * (number != 1)}"


def _text(path: str, checked: Sequence[CheckedDisplay], everything: bool) -> Iterator[str]:
    yield _summary(path, checked)
    for one, line, verdict in _lines(checked):
        if not everything and verdict not in ("false", "unreadable", "holds_if"):
            continue
        yield f"{one.display.where(line.start)}: {verdict.replace('_', ' ')}: {' '.join(line.latex.split())}"
        yield from (f"    {remark}" for remark in line.remarks())
        if line.error is not None and line.error.latex and everything:
            yield from (f"  {row}" for row in line.error.caret().splitlines())
    for one in checked:
        if one.display.expected_false and one.verdict != "false":
            yield f"{one.display.where()}: marked as false on purpose, but found: {one.verdict}"


def _data(path: str, checked: Sequence[CheckedDisplay]) -> dict[str, Any]:
    rows = []
    for one, line, verdict in _lines(checked):
        place, column = one.display.place(line.start)
        rows.append(
            {
                "line": place,
                "column": column,
                **({"cell": one.display.cell} if one.display.cell else {}),
                **line.as_dict(),
                "verdict": verdict.replace(" ", "_"),
            }
        )
    return {"file": path, "displays": len(checked), "summary": _summary(path, checked), "lines": rows}


def _sarif(files: Sequence[tuple[str, Sequence[CheckedDisplay]]]) -> dict[str, Any]:
    """The findings in the form that editors and code hosts read."""
    results = []
    for path, checked in files:
        for one, line, verdict in _lines(checked):
            if LEVELS.get(verdict, "none") == "none":
                continue
            place, column = one.display.place(line.start)
            region = {"startLine": place, "startColumn": column}
            location = {"physicalLocation": {"artifactLocation": {"uri": path}, "region": region}}
            text = "\n".join([f"{verdict.replace('_', ' ')}: {' '.join(line.latex.split())}", *line.remarks()])
            results.append(
                {"ruleId": verdict, "level": LEVELS[verdict], "message": {"text": text}, "locations": [location]}
            )
    rules = [
        {"id": verdict, "shortDescription": {"text": f"a line of a derivation: {word}"}}
        for verdict, word in WORDS.items()
        if verdict != "holds"
    ]
    tool = {"driver": {"name": "proofreader", "rules": rules}}
    return {
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{"tool": tool, "results": results}],
    }


def _failed(checked: Sequence[CheckedDisplay], strict: bool) -> bool:
    """Whether a line is false that is not meant to be, or the other way round; when strict also if one is not read."""
    for one in checked:
        if one.display.expected_false:
            if one.verdict != "false":
                return True
        elif one.verdict == "false" or (strict and one.report is not None and one.report.counts["unreadable"]):
            return True
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        1 if a line is false that is not marked as false on purpose, or a display is true that is marked so; with
        ``--strict``
        also if a line cannot be read; 2 if a file cannot be opened, whatever the others say; else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m proofreader",
        description="Reads the displays of Markdown, notebooks and LaTeX, and judges every line on finite models.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--all", action="store_true", help="print every line, not only those that need attention")
    parser.add_argument("--json", action="store_true", help="print all findings as JSON")
    parser.add_argument("--sarif", action="store_true", help="print the findings as SARIF, for editors and code hosts")
    parser.add_argument("--strict", action="store_true", help="also fail for a line that cannot be read")
    parser.add_argument(
        "--unconfirmed",
        action="store_true",
        help="also call a line false that no single correction makes hold (for texts written for the checker)",
    )
    parser.add_argument("--models", type=int, default=40, help="random models a line (default: 40)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found: list[tuple[str, list[CheckedDisplay]]] = []
    status = 0
    for file in options.files:
        try:
            chosen = {"num_models": options.models, "seed": options.seed, "confirmed": not options.unconfirmed}
            found.append((file, check_file(file, **chosen)))
        except (OSError, ValueError) as error:
            print(f"{file}: {error}", file=sys.stderr)
            status = 2
    try:
        _print(found, options)
    except BrokenPipeError:  # nobody reads on, as behind `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status or int(any(_failed(checked, options.strict) for _, checked in found))


def _print(found: list[tuple[str, list[CheckedDisplay]]], options: argparse.Namespace) -> None:
    """Prints what was found, in the form that was asked for."""
    if options.sarif:
        print(json.dumps(_sarif(found), ensure_ascii=False, indent=1))
    elif options.json:
        print(json.dumps([_data(path, checked) for path, checked in found], ensure_ascii=False, indent=1))
    else:
        for path, checked in found:
            print("\n".join(_text(path, checked, options.all)))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
