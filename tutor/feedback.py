"""What a reader is told about an answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Feedback", "Line", "Verdict"]

Verdict = Literal["right", "wrong", "unread", "not attempted"]
MARKS: dict[str, str] = {"right": "✓", "wrong": "✗", "unread": "?", "not attempted": "–"}
LINE_MARKS = {"holds": "✓", "holds_if": "✓?", "false": "✗", "unreadable": "?", "no_claim": "–"}


@dataclass(frozen=True)
class Line:
    """What was found of one line of a derivation.

    Args:
        latex: The line as the reader wrote it.
        verdict: One of the proofreader's: ``"holds"``, ``"holds_if"``, ``"false"``, ``"unreadable"``, ``"no_claim"``.
        remarks: What there is to say about it, in text with formulas between dollar signs.
    """

    latex: str
    verdict: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feedback:
    """The answer to an answer.

    Args:
        exercise: The number of the exercise, such as ``"3.1"``.
        verdict: ``"right"``, ``"wrong"``, ``"unread"`` (the answer cannot be understood) or ``"not attempted"``.
        message: What to tell the reader: Markdown with formulas between dollar signs.
        misconception: The name of the misconception that was recognised, or nothing.
        lines: For a derivation, its lines one by one.
        printed: What the reader's code printed.
    """

    exercise: str
    verdict: Verdict
    message: str
    misconception: str = ""
    lines: tuple[Line, ...] = ()
    printed: str = field(default="", compare=False)

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.verdict == "right"

    def as_dict(self) -> dict[str, Any]:
        """The feedback as plain data, for the page."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [f"{MARKS[self.verdict]} Exercise {self.exercise}: {self.message}"]
        for line in self.lines:
            rows.append(f"  {LINE_MARKS[line.verdict]} {' '.join(line.latex.split())}")
            rows += [f"      {remark}" for remark in line.remarks]
        if self.printed:
            rows += ["Printed:", self.printed.rstrip()]
        return "\n".join(rows)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        """The feedback as a notebook shows it."""
        blocks = [f"**{MARKS[self.verdict]} Exercise {self.exercise}.** {self.message}"]
        if self.lines:
            rows = []
            for line in self.lines:
                shown = " ".join(line.latex.replace("&", " ").replace("\\\\", " ").split())
                rows.append(f"- {LINE_MARKS[line.verdict]} `{shown}`")
                rows += [f"  - {remark}" for remark in line.remarks]
            blocks.append("\n".join(rows))
        if self.printed:
            blocks.append(f"Printed:\n\n```\n{self.printed.rstrip()}\n```")
        return "\n\n".join(blocks)
