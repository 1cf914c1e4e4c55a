"""Finds the displays of Markdown, notebooks, reStructuredText and LaTeX, with their places and marks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proofreader.source import without_comments

__all__ = ["Display", "displays_in"]


SUFFIXES = (".md", ".markdown", ".mdx", ".qmd", ".Rmd", ".rmd", ".txt", ".tex", ".ltx", ".ipynb", ".rst")
_ENVIRONMENTS = (
    "equation|align|gather|multline|eqnarray|alignat|flalign|displaymath|dmath|dgroup|IEEEeqnarray|math|split|aligned"
)
_DISPLAY = re.compile(
    r"(?<!\\)\$\$(?P<dollars>.+?)(?<!\\)\$\$"
    r"|\\\\\[(?P<escaped>.+?)\\\\\]"
    r"|(?<!\\)\\\[(?P<bracket>.+?)(?<!\\)\\\]"
    rf"|(?P<whole>\\begin\{{(?P<name>(?:{_ENVIRONMENTS})\*?)\}}.+?\\end\{{(?P=name)\}})"
    r"|\{%\s*(?:math|katex|latex)[^%]*%\}(?P<tag>.+?)\{%\s*end\w+\s*%\}"
    # A formula that is a paragraph by itself.
    r"|(?:(?<=\n\n)|(?<![\s\S]))[ \t]*\$(?P<alone>[^\s$](?:[^$\n]|\n(?!\n))*?[^\s$\\])\$"
    r"[ \t]*[.,;。，]?[ \t]*(?=\n\n|\n*\Z)"
    r"|(?:(?<=\n\n)|(?<![\s\S]))[ \t]*\\\((?P<paragraph>(?:[^\n]|\n(?!\n))+?)\\\)"
    r"[ \t]*[.,;。，]?[ \t]*(?=\n\n|\n*\Z)",
    re.DOTALL,
)
_GROUPS = ("dollars", "escaped", "bracket", "whole", "tag", "alone", "paragraph")
_FENCE = re.compile(
    r"^[ \t>]*(`{3,}|~{3,}|:{3,})[ \t]*(?:\{([\w:+-]+)[^}\n]*\}|(\w[\w+-]*))?[ \t]*([^\n]*)$", re.MULTILINE
)
_MARK = re.compile(r"^[ \t]*(?:%|<!--)[ \t]*derivation:[ \t]*(.*?)[ \t]*(?:-->)?[ \t]*$", re.MULTILINE)
_VERBATIM = re.compile(
    r"\\begin\{(verbatim|lstlisting|minted|comment|Verbatim|alltt)\*?\}.*?\\end\{\1\*?\}|\\(?:verb|lstinline)\*?([|!+/]).*?\2",
    re.DOTALL,
)
_QUOTE = re.compile(r"[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?(?:>[ \t]?)+")
_DIRECTIVE = re.compile(r"^([ \t]*)\.\.[ \t]+math::[ \t]*(.*)$", re.MULTILINE)
_CODE = frozenset(["math", "code-cell", "code-block", "code", "literalinclude", "raw", "mermaid", "eval-rst"])


@dataclass(frozen=True, slots=True)
class Display:
    """One display of a file.

    Args:
        path: The file.
        line: The line on which the LaTeX begins, counted from 1 (within the cell, for a notebook).
        column: The column there, counted from 1.
        latex: The LaTeX, without its delimiters.
        label: Its label, or what ``% derivation: label`` names it.
        definitions: What is taken as given.
        unread: The reason for which it is not read, if it is not.
        expected_false: The reason for which it is false on purpose, if it is.
        cell: For a notebook, the cell, counted from 1.
    """

    path: str
    line: int
    column: int
    latex: str
    label: str = ""
    definitions: tuple[str, ...] = ()
    unread: str = ""
    expected_false: str = ""
    cell: int = 0

    def place(self, position: int = 0) -> tuple[int, int]:
        """Line and column of a character of the display."""
        before = self.latex[:position]
        line = before.count("\n")
        return self.line + line, (position - before.rfind("\n")) if line else self.column + position

    def where(self, position: int = 0) -> str:
        """``file:line:column``, with the cell in between for a notebook."""
        line, column = self.place(position)
        return f"{self.path}:{f'cell {self.cell}:' if self.cell else ''}{line}:{column}"


@dataclass(slots=True)
class _Marks:
    """The marks that wait for the next display."""

    throughout: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)

    def read(self, text: str, where: str) -> None:
        """Takes one mark."""
        word, _, rest = text.partition(" ")
        word, rest = word.rstrip(",:"), rest.strip()
        if word == "define" and rest:
            self.definitions.append(rest)
        elif word == "throughout" and rest.startswith("define "):
            self.throughout.append(rest.removeprefix("define ").strip())
        elif word in ("unread", "false", "label") and rest:
            self.others[word] = rest
        else:
            raise ValueError(
                f"{where}: the mark 'derivation: {text}' is none of 'define ...', 'throughout define ...', "
                "'unread, REASON', 'false, REASON', 'label NAME'"
            )

    def display(self, path: str, line: int, column: int, latex: str, label: str, cell: int) -> Display:
        """A display with the marks that wait for it."""
        found = Display(
            path,
            line,
            column,
            latex,
            self.others.get("label", label),
            (*self.throughout, *self.definitions),
            self.others.get("unread", ""),
            self.others.get("false", ""),
            cell,
        )
        self.definitions, self.others = [], {}
        return found


def _blank(text: str, start: int, end: int) -> str:
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def _fenced(text: str) -> tuple[str, list[tuple[int, int, str]]]:
    """The text with code blanked, and the spans of the fences and directives that hold mathematics, with their
    labels."""
    spans: list[tuple[int, int, str]] = []
    opened: list[str] = []
    at = 0
    while (match := _FENCE.search(text, at)) is not None:
        ticks, directive, word, rest = match.groups()
        at = match.end()
        if not (directive or word or rest) and opened and ticks[0] == opened[-1][0] and len(ticks) >= len(opened[-1]):
            opened.pop()
            continue
        if (directive and directive not in _CODE) or (ticks[0] == ":" and directive != "math"):
            opened += [ticks] if directive or word or rest else []
            continue
        close = re.compile(rf"^[ \t>]*{re.escape(ticks[0])}{{{len(ticks)},}}[ \t]*$", re.MULTILINE).search(text, at)
        end = close.start() if close else len(text)
        if (directive or word) == "math":
            body = re.match(r"(?:\n[ \t]*:[\w-]+:[^\n]*)*", text[at:end])
            options = body.group() if body else ""
            label = re.search(r":label:[ \t]*(\S+)", options)
            spans.append((at - len(rest) if rest else at + len(options), end, label.group(1) if label else ""))
        text = _blank(text, match.start(), close.end() if close else len(text))
        at = close.end() if close else len(text)
    return text, spans


def _directives(text: str) -> list[tuple[int, int, str]]:
    """The spans of reStructuredText's ``math`` directives."""
    spans = []
    for match in _DIRECTIVE.finditer(text):
        indent, end, label = len(match.group(1)), match.end(), ""
        start = match.start(2)
        for line in re.finditer(r"\n([ \t]*)([^\n]*)", text[match.end() :]):
            if line.group(2).strip() and len(line.group(1)) <= indent:
                break
            option = re.match(r":(\w+):[ \t]*(\S*)", line.group(2))
            if option is not None:
                label = option.group(2) if option.group(1) == "label" else label
                start = match.end() + line.end()
            end = match.end() + line.end()
        spans += [(a, b, label if a == start else "") for a, b in _equations(text, start, end)]
    return spans


def _equations(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The equations of a directive: Sphinx sets what an empty line parts as equations of their own."""
    found = [(start, start)]
    for blank in re.finditer(r"\n[ \t]*\n|\Z", text[start:end]):
        first, last = found[-1][0], start + blank.start()
        body = text[first:last]
        whole = body.count(r"\begin") == body.count(r"\end") and body.count("{") == body.count("}")
        found[-1] = (first, last)
        if whole and body.strip():
            found.append((start + blank.end(), end))
    kept = [(a, b) for a, b in found if text[a:b].strip()]
    return kept or [(start, end)]


def _spans(text: str, suffix: str) -> list[tuple[int, int, str]]:
    """Where the displays of a text lie: start, end and label, in order."""
    spans: list[tuple[int, int, str]] = []
    if suffix in (".tex", ".ltx"):
        text = without_comments(text)
    elif suffix == ".rst":
        spans = _directives(text)
        for start, end, _ in spans:
            text = _blank(text, start, end)
    else:
        code, spans = _fenced(text)
        text = re.sub(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)", lambda m: " " * len(m.group()), code)
        text = re.sub(r"<!--.*?-->", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.DOTALL)
        text = re.sub(r"^[ \t]*%[^\n]*", lambda m: " " * len(m.group()), text, flags=re.MULTILINE)
    for verbatim in _VERBATIM.finditer(text):
        text = _blank(text, *verbatim.span())
    at = 0
    while (match := _DISPLAY.search(text, at)) is not None:
        group = next(g for g in _GROUPS if match.group(g) is not None)
        body = match.group(group)
        if re.search(r"\n[ \t]*\n[ \t]*\w+ \w+ \w+", body) or len(body) > 12_000:
            at = match.start() + 2
            continue
        label = (
            re.match(r"\s*\(([\w:-]+)\)", text[match.end() :])
            if group == "dollars"
            else re.search(r"\\label\{([^}]*)\}", body)
        )
        spans.append((*match.span(group), label.group(1) if label else ""))
        at = match.end()
    return sorted(spans)


def _unescaped(latex: str) -> str:
    r"""Markdown's doubled backslashes as TeX has them, every other character in its place."""
    latex = re.sub(r"\A\\\\(?=begin\{)", r" \\", latex)
    if (
        not re.search(r"\\\\[A-Za-z{}|,;!]", latex)
        or not re.search(r"(?:^|[^\\])\\\\(?:[a-zA-Z]{2,}|[{}|_])", latex)
        or re.search(r"(?<!\\)\\[A-Za-z]", latex)
    ):
        return latex
    return latex.replace("\\\\\\\\", "\0\0  ").replace("\\\\", " \\").replace("\0\0", "\\\\")


def _unquoted(text: str, start: int, end: int) -> str:
    """What stands between two places, without the marks of a block quote in front of each line; every other character
    keeps its place."""
    quote = _QUOTE.match(text, text.rfind("\n", 0, start) + 1)
    latex = text[start:end]
    if quote is None:
        return latex
    marks = rf"(?<=\n)[ \t]*(?:>[ \t]?){{1,{quote.group().count('>')}}}"
    return re.sub(marks, lambda match: " " * len(match.group()), latex)


def _of_text(text: str, path: str, suffix: str, marks: _Marks, cell: int = 0) -> Iterator[Display]:
    pending = sorted(
        [(m.start(), None, m) for m in _MARK.finditer(text)]
        + [(s, (s, e, label), None) for s, e, label in _spans(text, suffix)],
        key=lambda p: p[0],
    )
    for _, span, mark in pending:
        if mark is not None:
            marks.read(mark.group(1), f"{path}:{text.count(chr(10), 0, mark.start()) + 1}")
            continue
        assert span is not None
        start, end, label = span
        latex = text[start:end] if suffix in (".tex", ".ltx", ".rst") else _unquoted(text, start, end)
        start += len(latex) - len(latex.lstrip())
        line_start = text.rfind("\n", 0, start) + 1
        yield marks.display(
            path, text.count("\n", 0, start) + 1, start - line_start + 1, _unescaped(latex.strip()), label, cell
        )


def read_text(path: Path) -> str:
    """The text of a file in whatever encoding it has."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace").replace("\r\n", "\n")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return data.decode("latin-1").replace("\r\n", "\n")


def displays_in(path: str | Path) -> list[Display]:
    r"""Every display of a file, with its place and its marks.

    Args:
        path: A file that ends in ``.tex``, ``.md``, ``.qmd``, ``.Rmd``, ``.mdx``, ``.ipynb``, ``.rst`` or ``.txt``.

    Raises:
        ValueError: If a mark is not one that exists, or the file is of another kind.
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise ValueError(f"{path} ends in {file.suffix or 'nothing'}, expected one of {', '.join(SUFFIXES)}")
    text, marks = read_text(file), _Marks()
    if file.suffix != ".ipynb":
        return list(_of_text(text, str(path), file.suffix, marks))
    found: list[Display] = []
    try:
        cells = json.loads(text).get("cells", [])
    except (json.JSONDecodeError, AttributeError) as error:
        raise ValueError(f"{path} is no notebook: {error}") from None
    for number, cell in enumerate(cells, 1):
        if cell.get("cell_type") == "markdown":
            source = cell.get("source", "")
            found += _of_text(source if isinstance(source, str) else "".join(source), str(path), ".md", marks, number)
    return found
