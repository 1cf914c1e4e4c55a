"""What a check found, and how it shows itself."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from lvmlib.derivation.reader import DerivationSyntaxError

__all__ = ["Counterexample", "DerivationLine", "DerivationReport"]

_MARKS = {"holds": "✓", "false": "✗", "unreadable": "?"}


def _number(value: float) -> str:
    """A probability as a fraction where it is one with a small denominator, any other number in four digits."""
    fraction = Fraction(float(value)).limit_denominator(200)
    if abs(float(fraction) - value) < 1e-12:
        return str(fraction)
    return f"{value:.4g}"


def _table(values: Any) -> str:
    if values.ndim == 0:
        return _number(values)
    return "[" + ", ".join(map(_table, values)) + "]"


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A small finite model on which a line fails.

    Args:
        tables: The joint table of each density, observations first; values of functions and scalars.
        at: The values of the free variables at which the sides are compared, counted from 0.
        left: The left side there.
        right: The right side there.
    """

    tables: Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]
    at: Mapping[str, int]
    left: float
    right: float

    def __str__(self) -> str:
        tables = "; ".join(f"{name} = {_table(np.asarray(values))}" for name, values in self.tables.items())
        place = ", ".join(f"{name} = {value}" for name, value in self.at.items())
        return f"{tables}{'; at ' + place if place else ''}: left {self.left:.4g}, right {self.right:.4g}"


@dataclass(frozen=True)
class DerivationLine:
    r"""One relation of a derivation.

    Args:
        latex: Its source; for the first relation of a chain, with the left side.
        relation: ``=``, ``:=``, ``>=``, ``<=``, ``<``, ``>``, ``!=``, ``propto``, ``approx``, ``const`` (equal up to a
            constant), ``~`` (a declaration) or nothing (a side alone).
        verdict: ``"holds"``, ``"false"`` or ``"unreadable"``.
        left: The left side, in the counterexample where there is one and in the first model otherwise.
        right: The right side there.
        counterexample: The smallest model found on which the line fails.
        cause: A guess at what is wrong.
        notes: What else a reader should know.
        condition: What the line needs in order to hold: for a true line beyond the models tried, for a false one
            the case in which it is true.
        error: For an unreadable line, where and why.
    """

    latex: str
    relation: str
    verdict: str
    left: float | None = None
    right: float | None = None
    counterexample: Counterexample | None = None
    cause: str = ""
    notes: tuple[str, ...] = ()
    condition: str = ""
    error: DerivationSyntaxError | None = field(default=None, compare=False)

    @property
    def position(self) -> int | None:
        """Where an unreadable line stops being readable, counted in characters of the whole source."""
        return self.error.position if self.error is not None else None

    def remarks(self) -> list[str]:
        """All that the report says about the line, one sentence each."""
        found = []
        if self.counterexample is not None:
            found.append(f"fails for {self.counterexample}")
        elif self.verdict == "false" and self.left is not None and self.right is not None:
            found.append(f"left {self.left:.4g}, right {self.right:.4g}")
        if self.cause:
            found.append(self.cause)
        if self.condition:
            found.append(f"{'holds if' if self.verdict == 'false' else 'needs'} {self.condition}")
        return [*found, *self.notes]


@dataclass(frozen=True)
class DerivationReport:
    """The verdicts on all lines of a display.

    Args:
        latex: The source.
        lines: One entry for each relation.
        defined: The definitions that the display makes with ``:=``, to be handed on to displays that use them.
    """

    latex: str
    lines: tuple[DerivationLine, ...]
    defined: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """``"false"`` if a line is false, else ``"unreadable"`` if one cannot be read, else ``"holds"``."""
        verdicts = {line.verdict for line in self.lines}
        return next((v for v in ("false", "unreadable") if v in verdicts), "holds")

    @property
    def counts(self) -> Counter[str]:
        """How many lines have each verdict."""
        return Counter(line.verdict for line in self.lines)

    def __str__(self) -> str:
        rows = []
        for line in self.lines:
            rows.append(f"{_MARKS[line.verdict]} {' '.join(line.latex.split())}")
            rows += [f"    {remark}" for remark in line.remarks()]
            if line.error is not None and line.error.latex:
                rows += [f"  {row}" for row in line.error.caret().splitlines()]
        return "\n".join(rows)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return f"<DerivationReport {self.verdict}: {counts}>"

    def _repr_html_(self) -> str:
        """A table: a mark, the line, and what was found. It takes its colours from the page around it."""
        rows = []
        for line in self.lines:
            mark = _MARKS[line.verdict]
            weight = "normal" if line.verdict == "holds" else "bold"
            shown = _displayed(line)
            remarks = "".join(f"<div>{_with_formulas(remark)}</div>" for remark in line.remarks())
            if line.error is not None and line.error.latex:
                remarks += (
                    f'<pre style="background:none;color:inherit;margin:.2em 0">{html.escape(line.error.caret())}</pre>'
                )
            rows.append(
                '<tr style="background:none;vertical-align:top">'
                f'<td role="img" aria-label="{line.verdict}" title="{line.verdict}" '
                f'style="font-weight:{weight};text-align:center;padding:.3em .6em">{mark}</td>'
                f'<td style="text-align:left;padding:.3em .6em">{shown}'
                f'<div style="font-size:85%;opacity:.85">{remarks}</div></td></tr>'
            )
        return (
            '<table style="color:currentColor;background:none;border:0;border-left:3px solid currentColor">'
            f"<tbody>{''.join(rows)}</tbody></table>"
        )


def _displayed(line: DerivationLine) -> str:
    """The line for MathJax where it is whole LaTeX, as code where it is not."""
    source = line.latex.replace("&", " ").replace("\\\\", " ")
    source = " ".join(source.split())
    whole = source.count("{") == source.count("}") and source.count("\\left") == source.count("\\right")
    if line.verdict == "unreadable" or not whole or "\\begin" in source or "\\end" in source or "\\tag" in source:
        return f"<code>{html.escape(line.latex)}</code>"
    return _formula(rf"\displaystyle {source}")


def _with_formulas(remark: str) -> str:
    """A remark with what stands between dollar signs handed to MathJax."""
    parts = remark.split("$")
    if len(parts) % 2 == 0:
        return html.escape(remark)
    return "".join(_formula(part) if number % 2 else html.escape(part) for number, part in enumerate(parts))


def _formula(latex: str) -> str:
    return (
        '<span class="math notranslate nohighlight tex2jax_process mathjax_process">'
        rf"\({html.escape(latex)}\)</span>"
    )
