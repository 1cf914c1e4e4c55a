"""What a check found, and how it shows itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from proofreader.errors import DerivationSyntaxError
from proofreader.notation import OPERATORS, Operator

__all__ = ["VERDICTS", "Counterexample", "DerivationLine", "DerivationReport"]

VERDICTS = ("false", "unreadable", "holds_if", "holds", "no_claim")
MARKS = {"holds": "✓", "holds_if": "✓?", "false": "✗", "unreadable": "?", "no_claim": "–"}
Table = Any


def number_text(value: float) -> str:
    """A number as a fraction where it is one with a small denominator, any other in four digits."""
    if value != value or value in (float("inf"), float("-inf")):
        return "not a real number" if value != value else ("∞" if value > 0 else "-∞")
    from fractions import Fraction  # loaded for the first counterexample: it takes as long as the rest of this module

    fraction = Fraction(value).limit_denominator(200)
    return str(fraction) if abs(float(fraction) - value) < 1e-12 else f"{value:.4g}"


def _cells(table: Table) -> list[Table]:
    return [table] if not isinstance(table, list) else [cell for row in table for cell in _cells(row)]


def _table_text(values: Table) -> str:
    return "[" + ", ".join(map(_table_text, values)) + "]" if isinstance(values, list) else number_text(values)


MAX_SHOWN = 24
_WORDS = ("no values", "one value", "two values", "three values", "four values")


def _entries(name: str, values: Table, counts: dict[str, int]) -> str:
    """A table cell by cell where it is small, and the number of values of its variables."""
    letter, _, inside = name.rstrip(")").partition("(")
    variables = [v for part in reversed(inside.split("; ")) for v in part.split(", ") if v]
    shape, rest = [], values
    while isinstance(rest, list):
        shape.append(len(rest))
        rest = rest[0]
    if len(_cells(values)) > MAX_SHOWN:
        return f"{name} with {len(_cells(values))} random entries"
    if not shape or len(shape) != len(variables) or len(_cells(values)) > 6:
        return f"{name} = {_table_text(values)}"
    counts.update(dict(zip(variables, shape, strict=True)))
    places = list(product(*map(range, shape)))
    cells = zip(places, _cells(values), strict=True)
    inside_of = [(", ".join(f"{v}={k}" for v, k in zip(variables, place, strict=True)), cell) for place, cell in cells]
    return ", ".join(f"{letter}({where}) = {number_text(cell)}" for where, cell in inside_of)


def _with_values(counts: Mapping[str, int]) -> str:
    """How many values the variables of a model have."""
    groups: dict[int, list[str]] = {}
    for variable, count in counts.items():
        groups.setdefault(count, []).append(variable)
    said = [
        f"{' and '.join(names)} with {_WORDS[count] if count < 5 else count}{' each' * (len(names) > 1)}"
        for count, names in groups.items()
    ]
    return " and ".join(said)


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A small finite model on which a line fails.

    Args:
        tables: For each density ``p(x, z)`` its joint table as nested lists, first variable outermost; for names
            their values.
        at: The values of the free variables at which the sides are compared, counted from 0.
        left: The left side there.
        right: The right side there.
        sizes: The sizes of the values of a variable, where densities are not probabilities.
    """

    tables: Mapping[str, Table]
    at: Mapping[str, int]
    left: float
    right: float
    sizes: Mapping[str, list[float]] = field(default_factory=dict)

    def in_words(self) -> str:
        """The model as a person would dictate it."""
        counts: dict[str, int] = {}
        parts = [_entries(name, values, counts) for name, values in self.tables.items()]
        parts = [f"{_with_values(counts)}, {parts[0]}" if counts else parts[0], *parts[1:]] if parts else []
        parts += [f"values of {name} of sizes {_table_text(values)}" for name, values in self.sizes.items()]
        place = ", ".join(f"{name} = {value}" for name, value in self.at.items())
        model = "; ".join(parts)
        where = f" at {place}" if place else ""
        left, right = number_text(self.left), number_text(self.right)
        return f"take {model}: then{where} the left side is {left} and the right side {right}"

    __str__ = in_words


@dataclass(frozen=True)
class DerivationLine:
    """One relation of a derivation.

    Args:
        latex: Its source; for the first relation of a chain, with the left side.
        relation: ``=``, ``:=``, ``>=``, ``<=``, ``<``, ``>``, ``!=``, ``propto``, ``approx``,
            ``~`` (a declaration), or nothing.
        verdict: ``"holds"``, ``"holds_if"``, ``"false"``, ``"unreadable"`` or ``"no_claim"``.
        condition: For ``"holds_if"``, under which assumption or reading.
        left: The left side in the counterexample.
        right: The right side there.
        counterexample: The smallest model found on which the line fails.
        cause: A guess at what is wrong, or why nothing is claimed or read.
        notes: What else a reader should know.
        error: For an unreadable line, where and why.
        start: Where the line begins in the source of the display, counted in characters.
        end: Where it ends.
        slip: For a false line, the kind of single correction that makes it hold; empty where none is found.
    """

    latex: str
    relation: str
    verdict: str
    condition: str = ""
    left: float | None = None
    right: float | None = None
    counterexample: Counterexample | None = None
    cause: str = ""
    notes: tuple[str, ...] = ()
    error: DerivationSyntaxError | None = field(default=None, compare=False)
    start: int = 0
    end: int = 0
    slip: str = ""

    @property
    def holds(self) -> bool:
        """Whether the line holds as it stands."""
        return self.verdict == "holds"

    @property
    def position(self) -> int | None:
        """Where an unreadable line stops being readable, counted in characters of the whole source."""
        return self.error.position if self.error is not None else None

    def remarks(self) -> list[str]:
        """All that the report says about the line, one sentence each."""
        found = []
        if self.counterexample is not None:
            found.append(self.counterexample.in_words())
        if self.cause:
            found.insert(0 if self.verdict == "unreadable" else len(found), self.cause)
        if self.condition:
            found.append(
                f"holds if {self.condition}" if self.verdict in ("holds_if", "false") else f"needs {self.condition}"
            )
        return [*found, *self.notes]

    def as_dict(self) -> dict[str, Any]:
        """The line as plain data."""
        data: dict[str, Any] = {
            "latex": " ".join(self.latex.split()),
            "relation": self.relation,
            "verdict": self.verdict,
        }
        for name in ("condition", "cause"):
            if getattr(self, name):
                data[name] = getattr(self, name)
        if self.counterexample is not None:
            data["counterexample"] = self.counterexample.in_words()
        if self.notes:
            data["notes"] = list(self.notes)
        return data


@dataclass(frozen=True)
class DerivationReport:
    """The verdicts on all lines of a display.

    Args:
        latex: The source.
        lines: One entry for each relation.
        defined: The definitions that the display makes, to be handed on to displays that use them.
        tail: Its last side, which a display after it may continue.
    """

    latex: str
    lines: tuple[DerivationLine, ...]
    defined: tuple[str, ...] = ()
    tail: str = ""

    @property
    def verdict(self) -> str:
        """The worst verdict of a line: false, unreadable, holds_if, holds; no_claim where nothing is claimed."""
        verdicts = {line.verdict for line in self.lines}
        return next((v for v in VERDICTS if v in verdicts), "no_claim")

    @property
    def holds(self) -> bool:
        """Whether every claim holds as it stands."""
        return self.verdict == "holds"

    @property
    def condition(self) -> str:
        """The conditions of all lines that hold if something is assumed."""
        return "; ".join(dict.fromkeys(line.condition for line in self.lines if line.verdict == "holds_if"))

    @property
    def counts(self) -> Counter[str]:
        """How many lines have each verdict."""
        return Counter(line.verdict for line in self.lines)

    @property
    def claims(self) -> int:
        """How many lines claim something."""
        return sum(line.verdict != "no_claim" for line in self.lines)

    def __str__(self) -> str:
        rows = []
        for line in self.lines:
            rows.append(f"{MARKS[line.verdict]} {' '.join(line.latex.split())}")
            rows += [f"    {remark}" for remark in line.remarks()]
            if line.error is not None and line.error.latex:
                rows += [f"  {row}" for row in line.error.caret().splitlines()]
        return "\n".join(rows) or "– nothing is claimed here"

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return f"<DerivationReport {self.verdict}: {counts or 'no lines'}>"

    def _repr_html_(self) -> str:
        """A table: a mark, the line, and what was found. It takes its colours from the page around it."""
        rows = []
        for line in self.lines:
            remarks = "".join(f"<div>{_with_formulas(remark)}</div>" for remark in line.remarks())
            if line.error is not None and line.error.latex:
                remarks += (
                    f'<pre style="background:none;color:inherit;margin:.2em 0">{escape(line.error.caret())}</pre>'
                )
            weight = "normal" if line.verdict in ("holds", "no_claim") else "bold"
            rows.append(
                '<tr style="background:none;vertical-align:top">'
                f'<td role="img" aria-label="{line.verdict}" title="{line.verdict}" '
                f'style="font-weight:{weight};text-align:center;padding:.3em .6em">{MARKS[line.verdict]}</td>'
                f'<td style="text-align:left;padding:.3em .6em">{_displayed(line)}'
                f'<div style="font-size:85%;opacity:.85">{remarks}</div></td></tr>'
            )
        style = "color:currentColor;background:none;border:0;border-left:3px solid currentColor"
        return f'<table style="{style}"><tbody>{"".join(rows)}</tbody></table>'


def escape(text: str) -> str:
    """Text for a page."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(character, entity)
    return text


def _displayed(line: DerivationLine) -> str:
    """The line for MathJax where it is whole LaTeX, as code where it is not."""
    source = " ".join(line.latex.replace("&", " ").replace("\\\\", " ").split())
    whole = source.count("{") == source.count("}") and source.count("\\left") == source.count("\\right")
    odd = any(command in source for command in ("\\begin", "\\end", "\\tag", "\\intertext", "\\newcommand", "\\label"))
    if line.verdict == "unreadable" or not whole or odd:
        return f"<code>{escape(line.latex)}</code>"
    return _formula(rf"\displaystyle {_definitions(source)}{source}")


# Operators that every page knows how to set.
_STANDARD = {
    *(r"\log", r"\ln", r"\lg", r"\exp", r"\abs", r"\max", r"\min", r"\sup", r"\inf"),
    *(r"\int", r"\iint", r"\iiint", r"\oint", r"\sum", r"\prod", r"\nabla", r"\chi"),
}


def _definitions(source: str) -> str:
    """Definitions of the operators in a formula that a page may not know; a notebook knows none of its author's."""
    used = set(re.findall(r"\\[A-Za-z]+", source)) - _STANDARD
    found = {spelling: row for row in OPERATORS for spelling in row.spellings.split() if spelling in used}
    return "".join(rf"\def{spelling}{{{_sign(row)}}}" for spelling, row in found.items())


def _sign(operator: Operator) -> str:
    r"""How an operator is written without its arguments: ``\mathbb{E}`` for an expectation."""
    sign = re.split(r"[_(\[]|\{0|\{names", operator.latex)[0]
    return sign.replace("{{", "{").replace("}}", "}").strip()


def _with_formulas(remark: str) -> str:
    """A remark with what stands between dollar signs handed to MathJax."""
    parts = remark.split("$")
    if len(parts) % 2 == 0:
        return escape(remark)
    return "".join(_formula(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def _formula(latex: str) -> str:
    return f'<span class="math notranslate nohighlight tex2jax_process mathjax_process">\\({escape(latex)}\\)</span>'
