"""What is called false in a text that was not written for the checker: what a single correction makes hold."""

from __future__ import annotations

import re
from dataclasses import replace

from proofreader.errors import DerivationSyntaxError
from proofreader.report import DerivationLine, DerivationReport

__all__ = ["CONFIRMING", "UNCONFIRMED", "after_dots", "confirmed_alone"]

# The kinds of slips that authors make; other repairs (another letter or label, another variable of integration, an
# inequality for an equality) also make a line hold that was misread.
CONFIRMING = frozenset(
    ["relation", "sign", "logarithm", "order", "arguments", "fraction", "density", "ends", "too much", "left out"]
)
UNCONFIRMED = (
    "it fails as it was read, but no single correction makes it hold: either a symbol means something that was not "
    "said (:= can say it), or there is more than one slip"
)


def confirmed_alone(report: DerivationReport) -> DerivationReport:
    """The report in which a line is false only if the kind of its slip is known."""
    return replace(report, lines=tuple(_doubted(line, report.latex) for line in report.lines))


def _doubted(line: DerivationLine, latex: str) -> DerivationLine:
    if line.verdict != "false" or line.slip in CONFIRMING:
        return line
    error = DerivationSyntaxError(UNCONFIRMED, latex, line.start)
    notes = (*((line.cause,) if line.cause else ()), *line.notes)
    return replace(line, verdict="unreadable", cause=UNCONFIRMED, error=error, notes=notes)


def after_dots(report: DerivationReport, heads: list[str]) -> DerivationReport:
    """The report in which nothing is false that speaks of a density which a row before gives with dots that are not
    read.

    Args:
        report: The report on a display.
        heads: The left sides of such rows; those of this display are added.
    """
    lines, text = [], _squeezed(report.latex)
    for line in report.lines:
        head = next((head for head in heads if head in text), "")
        if line.verdict == "false" and head:
            reason = f"{head} is given by a row before whose dots are not read: write the product with \\prod"
            line = replace(line, verdict="unreadable", cause=reason, slip="")
            line = replace(line, error=DerivationSyntaxError(reason, report.latex, line.start))
        found = re.match(r"([^=]*\([^=]*\)):?=", _squeezed(line.latex))
        if line.verdict == "unreadable" and "dots" in line.cause and found is not None and found.group(1) not in heads:
            heads.append(found.group(1))
        lines.append(line)
    return replace(report, lines=tuple(lines))


def _squeezed(latex: str) -> str:
    return re.sub(r"[\s&]", "", latex)
