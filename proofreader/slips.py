"""What is called false in a text that was not written for the checker: what a single correction makes hold."""

from __future__ import annotations

from dataclasses import replace

from proofreader.errors import DerivationSyntaxError
from proofreader.report import DerivationLine, DerivationReport

__all__ = ["CONFIRMING", "UNCONFIRMED", "confirmed_alone"]

# The kinds of slips that authors make; other repairs (another letter, another variable of integration, an inequality
# for an equality) also make a line hold that was misread.
CONFIRMING = frozenset(
    ["relation", "sign", "logarithm", "order", "arguments", "fraction", "density", "too much", "left out", "names"]
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
