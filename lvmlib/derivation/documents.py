r"""Finds the displays of Markdown, notebook and LaTeX files, and checks them in order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lvmlib.derivation.checking import check_derivation
from lvmlib.derivation.reader import DerivationSyntaxError, macros_of
from lvmlib.derivation.report import DerivationLine, DerivationReport

__all__ = ["CheckedBlock", "DisplayBlock", "check_file", "display_blocks"]

_ENVIRONMENT = r"(?:equation|align|gather|multline|eqnarray|alignat|flalign|displaymath)\*?"
_MARK = re.compile(r"^\s*(?:%|<!--)\s*derivation:\s*(.*?)\s*(?:-->)?\s*$")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,}|:{3,})\s*(?:\{([\w:+-]+)\}|(\w*))\s*(.*?)\s*$")
_OPTION = re.compile(r"^\s*:([\w-]+):\s*(.*?)\s*$")
_BEGIN = re.compile(rf"\\begin\{{({_ENVIRONMENT})\}}")
_CODE = frozenset(["code-cell", "code-block", "code", "literalinclude", "raw", "mermaid", "eval-rst"])


@dataclass(frozen=True, slots=True)
class DisplayBlock:
    """One display of a file.

    Args:
        path: The file.
        line: The line on which the LaTeX begins, counted from 1 (within the cell, for a notebook).
        latex: The LaTeX, without its delimiters.
        label: Its label, or what ``% derivation: label`` names it.
        definitions: What is taken as given.
        unread: The reason for which it is not read, if it is not.
        expected_false: The reason for which it is false on purpose, if it is.
        cell: For a notebook, the cell, counted from 1.
    """

    path: str
    line: int
    latex: str
    label: str = ""
    definitions: tuple[str, ...] = ()
    unread: str = ""
    expected_false: str = ""
    cell: int = 0

    @property
    def place(self) -> str:
        """``file:line``, or ``file:cell:line`` for a notebook."""
        return f"{self.path}:{self.cell}:{self.line}" if self.cell else f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class CheckedBlock:
    """A display and what was found; no report where it is marked as unread."""

    block: DisplayBlock
    report: DerivationReport | None

    @property
    def verdict(self) -> str:
        """``"unread"``, or the verdict of the report."""
        return "unread" if self.report is None else self.report.verdict

    @property
    def as_expected(self) -> bool:
        """Whether the display is what its chapter says, be it true, unread with a reason, or false on purpose."""
        if self.report is None:
            return bool(self.block.unread)
        return self.verdict == ("false" if self.block.expected_false else "holds")

    def line_of(self, line: DerivationLine) -> int:
        """The line of the file on which a line of the derivation begins."""
        assert self.report is not None
        offset = self.block.latex.find(line.latex)
        return self.block.line + self.block.latex.count("\n", 0, max(offset, 0))


@dataclass(slots=True)
class _Marks:
    """The marks that wait for the next display."""

    throughout: list[str]
    definitions: list[str]
    unread: str = ""
    false: str = ""
    label: str = ""

    def read(self, text: str, where: str) -> None:
        word, _, rest = text.partition(" ")
        word, rest = word.rstrip(",:"), rest.strip()
        if word == "define" and rest:
            self.definitions.append(rest)
        elif word == "throughout" and rest.startswith("define "):
            self.throughout.append(rest.removeprefix("define ").strip())
        elif word == "unread" and rest:
            self.unread = rest
        elif word == "false" and rest:
            self.false = rest
        elif word == "label" and rest:
            self.label = rest
        else:
            raise ValueError(
                f"{where}: the mark 'derivation: {text}' is none of 'define ...', 'throughout define ...', "
                "'unread, REASON', 'false, REASON', 'label NAME'"
            )

    def block(self, path: str, line: int, latex: str, label: str, cell: int) -> DisplayBlock:
        found = DisplayBlock(
            path,
            line,
            latex,
            self.label or label,
            (*self.throughout, *self.definitions),
            self.unread,
            self.false,
            cell,
        )
        self.definitions, self.unread, self.false, self.label = [], "", "", ""
        return found


def _blocks(text: str, path: str, cell: int, marks: _Marks, markdown: bool) -> Iterator[DisplayBlock]:
    lines = text.splitlines()
    opened: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        mark = _MARK.match(line)
        if mark is not None:
            marks.read(mark.group(1), f"{path}:{at + 1}")
            at += 1
            continue
        if markdown:
            fence = _FENCE.match(line)
            if fence is not None:
                ticks, directive, word, argument = fence.groups()
                if directive == "math":
                    stop, latex, start, label = _directive(lines, at, ticks)
                    latex = argument + "\n" + latex if argument else latex
                    yield marks.block(path, start + 1, latex, label, cell)
                    at = stop
                    continue
                closes = directive is None and not word and not argument
                if closes and opened and ticks[0] == opened[-1][0] and len(ticks) >= len(opened[-1]):
                    opened.pop()
                    at += 1
                    continue
                if directive is not None and directive not in _CODE:
                    opened.append(ticks)
                    at += 1
                    continue
                if ticks[0] != ":":
                    closing = re.compile(rf"^\s*{re.escape(ticks[0])}{{{len(ticks)},}}\s*$")
                    at += 1
                    while at < len(lines) and not closing.match(lines[at]):
                        at += 1
                    at += 1
                    continue
            if line.lstrip().startswith(("%", "<!--")):
                at += 1
                continue
        elif line.lstrip().startswith("%"):
            at += 1
            continue
        found = _display(lines, at)
        if found is None:
            at += 1
            continue
        start_line, latex, label, stop = found
        yield marks.block(path, start_line + 1, latex, label, cell)
        at = stop


def _directive(lines: list[str], at: int, ticks: str) -> tuple[int, str, int, str]:
    """The body of a math directive: where it stops, its LaTeX, where that starts, and its label."""
    label, start = "", at + 1
    while start < len(lines) and (option := _OPTION.match(lines[start])) is not None:
        label = option.group(2) if option.group(1) == "label" else label
        start += 1
    stop = start
    while stop < len(lines) and not lines[stop].strip().startswith(ticks):
        stop += 1
    return stop + 1, "\n".join(lines[start:stop]), start, label


def _display(lines: list[str], at: int) -> tuple[int, str, str, int] | None:
    """The display that begins on a line, if one does: its first line, LaTeX, label, and the line after it."""
    line = re.sub(r"`[^`]*`", lambda match: " " * len(match.group()), lines[at])
    for opening, closing in (("$$", "$$"), (r"\[", r"\]")):
        place = line.find(opening)
        if place < 0 or (opening == r"\[" and place and line[place - 1] == "\\"):
            continue
        rest = [lines[at][place + 2 :], *lines[at + 1 :]]
        for offset, text in enumerate(rest):
            end = text.find(closing)
            while end > 0 and closing == r"\]" and text[end - 1] == "\\":
                end = text.find(closing, end + 1)
            if end < 0:
                continue
            latex = "\n".join([*rest[:offset], text[:end]])
            label = re.match(r"\s*\(([^)]+)\)", text[end + 2 :])
            skipped = len(latex) - len(latex.lstrip())
            first = at + latex[:skipped].count("\n")
            after = text[end + 2 :]
            if "$$" in after:
                lines[at + offset] = " " * (len(lines[at + offset]) - len(after)) + after
                return first, latex.strip(), label.group(1) if label else "", at + offset
            return first, latex.strip(), label.group(1) if label else "", at + offset + 1
    begin = _BEGIN.search(line)
    if begin is not None:
        close = f"\\end{{{begin.group(1)}}}"
        for stop in range(at, len(lines)):
            if close in lines[stop]:
                body = "\n".join(lines[at : stop + 1])
                body = body[body.index(begin.group()) : body.index(close) + len(close)]
                label = re.search(r"\\label\{([^}]*)\}", body)
                return at, body, label.group(1) if label else "", stop + 1
    return None


def display_blocks(path: str | Path) -> list[DisplayBlock]:
    r"""Every display of a file, with its place and its marks.

    Args:
        path: A file that ends in ``.md``, ``.ipynb``, ``.tex`` or ``.txt``.

    Returns:
        The displays in order, be they ``$$...$$``, ``\[...\]``, math directives and environments such as ``align``,
        outside of code.

    Raises:
        ValueError: If a mark is not one that exists, or the file is of another kind.
    """
    file = Path(path)
    name = str(path)
    marks = _Marks([], [])
    if file.suffix == ".ipynb":
        found: list[DisplayBlock] = []
        cells = json.loads(file.read_text(encoding="utf-8")).get("cells", [])
        for number, cell in enumerate(cells, 1):
            if cell.get("cell_type") == "markdown":
                source = cell.get("source", "")
                found += _blocks(source if isinstance(source, str) else "".join(source), name, number, marks, True)
        return found
    if file.suffix not in (".md", ".markdown", ".txt", ".tex", ".rst"):
        raise ValueError(f"{name} is not Markdown, a notebook or LaTeX: give .md, .ipynb, .tex or .txt")
    return list(_blocks(file.read_text(encoding="utf-8"), name, 0, marks, file.suffix != ".tex"))


def check_file(
    path: str | Path,
    *,
    num_models: int = 200,
    seed: int = 0,
    macros: Mapping[str, tuple[int, str]] | None = None,
) -> list[CheckedBlock]:
    r"""Checks every display of a file that is not marked as unread.

    What a display defines by ``:=`` is handed on to the displays after it. Macros that the file itself defines
    are known.

    Args:
        path: As for :func:`display_blocks`.
        num_models: As for :func:`check_derivation`.
        seed: As for :func:`check_derivation`.
        macros: Further macros.

    Returns:
        One entry for each display.
    """
    known = {**(macros or {}), **macros_of(Path(path).read_text(encoding="utf-8"))}
    handed_on: dict[str, str] = {}
    checked = []
    for block in display_blocks(path):
        if block.unread:
            checked.append(CheckedBlock(block, None))
            continue
        own = {text.split(":=")[0].strip() for text in block.definitions}
        given = [text for name, text in handed_on.items() if name not in own and _mentions(block.latex, name)]
        try:
            report = check_derivation(
                block.latex, num_models=num_models, seed=seed, definitions=[*given, *block.definitions], macros=known
            )
        except DerivationSyntaxError as error:
            line = DerivationLine(block.latex, "", "unreadable", cause=f"a definition: {error.message}", error=error)
            report = DerivationReport(block.latex, (line,))
        for text in report.defined:
            handed_on[text.split(":=")[0].strip()] = text
        checked.append(CheckedBlock(block, report))
    return checked


def _mentions(latex: str, name: str) -> bool:
    """Whether a display uses a name that an earlier one defined, and does not define it again."""
    head = re.split(r"[(_\[]", name)[0].strip()
    return head in latex and not re.search(re.escape(name) + r"\s*(?::=|\\coloneqq|\\triangleq)", latex)
