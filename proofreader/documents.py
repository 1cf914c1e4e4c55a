"""Checks the displays of a file in order, each with what the others define."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proofreader.checking import check_derivation, definitions_in
from proofreader.displays import Display, displays_in, read_text
from proofreader.errors import DerivationSyntaxError
from proofreader.report import DerivationLine, DerivationReport
from proofreader.slips import after_dots, confirmed_alone
from proofreader.source import Macro, macros_of, without_comments

__all__ = ["CheckedDisplay", "check_file"]


_INPUT = re.compile(
    r"\\(?:input|include|subfile)\s*\{([^}]+)\}|\\(?:usepackage|RequirePackage)(?:\[[^\]]*\])?\{([^}]+)\}"
)
_BEGINS = re.compile(
    r"^(?:\s|&|\\begin\{[^}]*\}(?:\{[^}]*\})?|\\label\{[^}]*\}|\\quad|\\qquad|\\,|\\;|\\nonumber)*(?:=|\\(?:ge|geq|le|leq|approx|propto|equiv)\b|≥|≤)"
)


# How many displays back one that begins with a relation may continue.
MAX_BACK = 5


@dataclass(frozen=True, slots=True)
class CheckedDisplay:
    """A display and what was found; no report where it is marked as unread."""

    display: Display
    report: DerivationReport | None

    @property
    def verdict(self) -> str:
        """``"unread"``, or the verdict of the report."""
        return "unread" if self.report is None else self.report.verdict

    @property
    def as_expected(self) -> bool:
        """Whether the display is what its page says, be it true, unread with a reason, or false on purpose."""
        if self.report is None:
            return bool(self.display.unread)
        if self.display.expected_false:
            return self.verdict == "false"
        return self.verdict in ("holds", "holds_if", "no_claim")

    def line_of(self, line: DerivationLine) -> int:
        """The line of the file on which a line of the derivation begins."""
        return self.display.place(line.start)[0]


def _macros(file: Path, seen: set[Path]) -> tuple[dict[str, Macro], list[Path]]:
    """The macros of a file and of the local files that it loads, and those of them that may hold displays."""
    seen.add(file.resolve())
    text = read_text(file)
    if file.suffix == ".ipynb":
        text = text.replace("\\\\", "\\").replace("\\n", "\n")
    found: dict[str, Macro] = {}
    inputs: list[Path] = []
    for match in _INPUT.finditer(without_comments(text)) if file.suffix in (".tex", ".ltx", ".sty", ".cls") else ():
        for name in (match.group(1) or match.group(2)).split(","):
            suffix = ".tex" if match.group(1) else ".sty"
            other = file.parent / (name.strip() if Path(name.strip()).suffix else name.strip() + suffix)
            inside = other.resolve().is_relative_to(file.parent.resolve()) or not match.group(1)
            if inside and other.is_file() and other.resolve() not in seen and len(seen) < 60:
                macros, more = _macros(other, seen)
                found.update(macros)
                inputs += [*([other] if match.group(1) else []), *more]
    return {**found, **macros_of(text)}, inputs


def check_file(
    path: str | Path,
    *,
    num_models: int = 40,
    seed: int = 0,
    macros: Mapping[str, Macro] | None = None,
    explain: bool = True,
    confirmed: bool = True,
) -> list[CheckedDisplay]:
    """Checks every display of a file, and of the local files that it inputs, but for those marked as unread.

    A name that another display of the file defines, before or after, is known; a display that begins with a relation
    continues the one before it.

    Args:
        path: As for :func:`displays_in`.
        num_models: As for :func:`check_derivation`.
        seed: As for :func:`check_derivation`.
        macros: Further macros.
        explain: As for :func:`check_derivation`.
        confirmed: Whether a line is called false only where a single correction is found that makes it hold, or where
            the file says that it is false on purpose. A text that was not written for the checker leaves much unsaid:
            what fails there and has no such correction is ``"unreadable"``, with the model on which it failed.

    Raises:
        OSError: If the file cannot be read.
        ValueError: As for :func:`displays_in`.
    """
    found, inputs = _macros(Path(path), set())
    known = {**(macros or {}), **found}
    explain = explain or confirmed
    displays = [
        display for file in (Path(path), *inputs) for display in displays_in(path if file == Path(path) else file)
    ]
    stated = [definitions_in(display.latex, known) if not display.unread else ((), ()) for display in displays]
    checked = []
    tails, dotted = [""], list[str]()
    for at, display in enumerate(displays):
        if display.unread:
            checked.append(CheckedDisplay(display, None))
            tails = [""]
            continue
        given = _known_names(display, at, stated)
        continues = _BEGINS.match(display.latex) is not None
        report = _checked(display, given, tails[0] if continues else "", known, num_models, seed, explain)
        for tail in tails[1:MAX_BACK] if continues and report.lines[0].verdict == "false" else ():
            other = _checked(display, given, tail, known, num_models, seed, explain)
            first = other.lines[0]
            if first.verdict in ("holds", "holds_if"):
                words = f"it continues ${' '.join(tail.split())}$" + (f"; {first.condition}" if first.condition else "")
                report = replace(other, lines=(replace(first, verdict="holds_if", condition=words), *other.lines[1:]))
                break
        report = _as_before(display, report, _earlier(at, stated), given, known, num_models, seed, explain)
        tails.insert(0, report.tail)
        if confirmed and not display.expected_false:
            report = confirmed_alone(after_dots(report, dotted))
        checked.append(CheckedDisplay(display, report))
    return checked


def _checked(
    display: Display,
    given: tuple[list[str], list[str]],
    before: str,
    macros: Mapping[str, Macro],
    models: int,
    seed: int,
    explain: bool,
) -> DerivationReport:
    """The report on one display, with what the rest of the file defines; what it defines in passing is left out
    where that helps."""
    best: DerivationReport | None = None
    for more in ([*given[0], *given[1]], given[0]) if given[1] else (given[0],):
        report = _with(display, more, before, macros, models, seed, explain)
        if best is None or _badness(report) < _badness(best):
            best = report
        if not any(_badness(report)):
            break
    assert best is not None
    return best


def _earlier(at: int, stated: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> list[str]:
    """The definitions, in displays before, of the names that a display defines once more; the nearest of each."""
    again = {_head(text) for text in stated[at][1]}
    found: dict[str, str] = {}
    for texts in reversed(stated[:at]):
        for text in (*texts[0], *texts[1]):
            if _head(text) in again and text not in stated[at][1]:
                found.setdefault(_head(text), text)
    return list(found.values())


def _as_before(
    display: Display,
    report: DerivationReport,
    earlier: list[str],
    given: tuple[list[str], list[str]],
    macros: Mapping[str, Macro],
    models: int,
    seed: int,
    explain: bool,
) -> DerivationReport:
    """The report in which a name that is defined once more is compared with what it stands for already: another form
    of it holds; another meaning claims nothing, and the report says that it is another."""
    if not earlier:
        return report
    other = _with(display, [*given[0], *given[1], *earlier], "", macros, models, seed, explain)
    if [line.latex for line in other.lines] != [line.latex for line in report.lines]:
        return report
    lines = []
    for mine, known in zip(report.lines, other.lines, strict=True):
        once_more = mine.verdict == "no_claim" and mine.cause.startswith("a definition of")
        if once_more and known.verdict in ("holds", "holds_if"):
            mine = replace(known, notes=(*known.notes, "another form of what stands for it before"))
        elif once_more and known.verdict == "false" and any(_pattern(mine.latex) == _pattern(text) for text in earlier):
            mine = replace(mine, notes=(*mine.notes, "not equal to what stands for it before"))
        lines.append(mine)
    return replace(report, lines=tuple(lines))


def _with(
    display: Display, more: list[str], before: str, macros: Mapping[str, Macro], models: int, seed: int, explain: bool
) -> DerivationReport:
    """The report with some definitions of other displays; without those of them that cannot be read."""
    try:
        return check_derivation(
            display.latex,
            definitions=[*more, *display.definitions],
            num_models=models,
            seed=seed,
            macros=macros,
            explain=explain,
            before=before,
        )
    except DerivationSyntaxError as error:
        if more:
            return _with(display, [], before, macros, models, seed, explain)
        return _unread(display, f"a definition: {error.message}")
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        if more:
            return _with(display, [], before, macros, models, seed, explain)
        return _unread(display, f"the checker itself failed here ({type(error).__name__}: {error}): please report it")


def _unread(display: Display, why: str) -> DerivationReport:
    """The report on a display that cannot be judged at all."""
    error = DerivationSyntaxError(why, display.latex, 0)
    return DerivationReport(display.latex, (DerivationLine(display.latex, "", "unreadable", cause=why, error=error),))


def _badness(report: DerivationReport) -> tuple[int, int]:
    counts = report.counts
    return counts["false"], counts["unreadable"]


def _known_names(
    display: Display, at: int, stated: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]
) -> tuple[list[str], list[str]]:
    """The definitions of other displays that a display uses and does not make itself, nearest before first: those
    said to
    be definitions, and those made in passing."""
    own = {_head(text) for text in (*stated[at][0], *display.definitions)}
    in_passing = own | {_head(text) for text in stated[at][1]}
    chosen: dict[tuple[str, str], tuple[str, int]] = {}
    for place in (*range(at - 1, -1, -1), *range(at + 1, len(stated))):
        for kind, texts in enumerate(stated[place]):
            for text in texts:
                head = _head(text)
                key = head, _index(text)
                if head not in (in_passing if kind else own) and key not in chosen and _mentions(display.latex, head):
                    chosen[key] = (text, kind)
    return [t for t, kind in chosen.values() if kind == 0], [t for t, kind in chosen.values() if kind == 1]


def _head(definition: str) -> str:
    return re.sub(r"\s", "", re.split(r"[(\[]|(?<=\w)_", definition.split(":=")[0].strip())[0])


def _index(definition: str) -> str:
    """The index of the name that a definition is of: a number or a capital, or nothing where it is any other."""
    found = re.match(r"[^(\[=]*?(?<=\w)_\{?([A-Z]|\d+)\}?", definition.split(":=")[0].strip())
    return found.group(1) if found else ""


def _pattern(text: str) -> str:
    """The left side of a definition or of a line, without what only moves ink about."""
    return re.sub(r"[\s&]", "", re.split(r":?=", text)[0])


def _mentions(latex: str, head: str) -> bool:
    return bool(head) and re.search(re.escape(head) + r"(?![A-Za-z])", re.sub(r"\s", "", latex)) is not None
