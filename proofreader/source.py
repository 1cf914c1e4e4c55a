r"""From characters to tokens, with every macro expanded as TeX would expand it.

Each token keeps the place in the source where it was typed; what comes out of a macro has the place of its call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import normalize

from proofreader.errors import DerivationSyntaxError
from proofreader.notation import PREAMBLE, SHORTHANDS, TYPED_LETTERS

__all__ = ["MAX_LENGTH", "Macro", "Macros", "Token", "known_macros", "macros_of", "tokens_of", "without_comments"]

MAX_LENGTH = 20_000
MAX_TOKENS = 6_000
MAX_EXPANSIONS = 800
_TOKEN = re.compile(r"\\[A-Za-z@]+\*?|\\.|%[^\n]*(?:\n|$)|\s+|.", re.DOTALL)
_NAME = r"\s*\{?\s*(\\[A-Za-z@]+|\\.)\s*\}?\s*"
_COMMAND = re.compile(
    rf"\\(?:re|provide)?(?:newcommand|robustcmd)\*?{_NAME}(?:\[(\d)\]\s*)?(?:\[([^\]]*)\]\s*)?(?=\{{)"
)
_DECLARED = re.compile(
    rf"\\(?:NewDocumentCommand|DeclareDocumentCommand|RenewDocumentCommand){_NAME}\{{([^{{}}]*)\}}\s*(?=\{{)"
)
_DEF = re.compile(r"\\(?:g|e|x)?def\s*(\\[A-Za-z@]+)\s*((?:#\d)*)\s*(?=\{)")
_OPERATOR = re.compile(rf"\\DeclareMathOperator\*?{_NAME}(?=\{{)")
_PAIRED = re.compile(rf"\\DeclarePairedDelimiter(XPP|X)?{_NAME}(?:\[(\d)\]\s*)?(?=\{{)")
_LET = re.compile(r"\\let\s*(\\[A-Za-z@]+)\s*=?\s*(\\[A-Za-z@]+)")


@dataclass(frozen=True, slots=True)
class Token:
    """A character or a command, and where it was typed."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Macro:
    """What a command stands for: ``count`` arguments, of which the first has a default if ``default`` is not None."""

    count: int
    body: str
    default: str | None = None


Macros = Mapping[str, Macro]


def _group(text: str, at: int) -> tuple[str, int]:
    """The contents of the braces that open at a place, and the place after them; empty where they never close."""
    depth, stop = 0, at
    while stop < len(text) and stop - at < 4000:
        character = text[stop]
        if character == "\\":
            stop += 2
            continue
        depth += {"{": 1, "}": -1}.get(character, 0)
        stop += 1
        if depth == 0:
            return text[at + 1 : stop - 1], stop
    return "", at


def _paired(match: re.Match[str], text: str) -> tuple[str, Macro]:
    """A paired delimiter of mathtools: its star and its size in brackets change nothing that is read here."""
    opening, at = _group(text, match.end())
    while at < len(text) and text[at].isspace():
        at += 1
    closing, at = _group(text, at)
    if match.group(1):
        body, _ = _group(text, at + len(text[at:]) - len(text[at:].lstrip()))
        return match.group(2), Macro(int(match.group(3) or 1), f"{opening}{body}{closing}")
    return match.group(2), Macro(1, f"{opening}#1{closing}")


def _document_command(match: re.Match[str], body: str) -> Macro:
    """A command of xparse, as far as its arguments are mandatory or one optional comes first."""
    letters = re.findall(r"O\{[^}]*\}|[a-zA-Z]", match.group(2))
    first = letters[0] if letters else ""
    default = first[2:-1] if first.startswith("O") else "" if first == "o" else None
    return Macro(sum(letter != "s" for letter in letters), body, default)


def macros_of(text: str) -> dict[str, Macro]:
    r"""Collects the macros that a source defines.

    Args:
        text: Any text; comments are skipped.

    Returns:
        For each command what it stands for, the last definition of several.

    Example:
        >>> macros_of(r"\newcommand{\vz}{\mathbf{z}}")
        {'\\vz': Macro(count=0, body='\\mathbf{z}', default=None)}
    """
    text = without_comments(text)
    found: dict[str, Macro] = {}
    for match in _COMMAND.finditer(text):
        body, _ = _group(text, match.end())
        found[match.group(1)] = Macro(int(match.group(2) or 0), body, match.group(3))
    for match in _DECLARED.finditer(text):
        found[match.group(1)] = _document_command(match, _group(text, match.end())[0])
    for match in _DEF.finditer(text):
        found[match.group(1)] = Macro(len(match.group(2)) // 2, _group(text, match.end())[0])
    for match in _OPERATOR.finditer(text):
        found[match.group(1)] = Macro(0, rf"\operatorname{{{_group(text, match.end())[0]}}}")
    for match in _PAIRED.finditer(text):
        name, macro = _paired(match, text)
        found[name] = macro
    for match in _LET.finditer(text):
        found[match.group(1)] = found.get(match.group(2), Macro(0, match.group(2)))
    return found


@lru_cache(maxsize=1)
def known_macros() -> dict[str, Macro]:
    """The macros that many authors and packages share; a document's own definitions come first."""
    return macros_of(PREAMBLE)


def without_comments(text: str) -> str:
    r"""The text with ``%`` comments and ``\iffalse … \fi`` blanked, every character else in its place."""
    text = re.sub(r"(?<!\\)((?:\\\\)*)%[^\n]*", lambda m: m.group(1) + " " * (len(m.group()) - len(m.group(1))), text)
    return re.sub(r"\\iffalse\b.*?(?:\\fi\b|\Z)", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.DOTALL)


def _definitions_blanked(latex: str) -> str:
    """The display without the definitions of macros that stand in it."""
    spans = []
    for pattern in (_COMMAND, _DECLARED, _DEF, _OPERATOR, _PAIRED):
        for match in pattern.finditer(latex):
            stop = _group(latex, match.end())[1]
            if pattern is _PAIRED:
                rest = latex[stop:]
                stop = _group(latex, stop + len(rest) - len(rest.lstrip()))[1]
            spans.append((match.start(), stop))
    for start, stop in spans:
        latex = latex[:start] + " " * (stop - start) + latex[stop:]
    return latex


def _scan(text: str, place: Token | None = None) -> list[Token]:
    tokens = []
    for match in _TOKEN.finditer(text):
        piece = match.group()
        if piece.startswith("%"):
            continue
        piece = " " if piece.isspace() else piece
        if piece.endswith("*") and len(piece) > 2:
            piece = piece[:-1]
        piece = TYPED_LETTERS.get(piece, piece)
        tokens.append(Token(piece, *((place.start, place.end) if place else match.span())))
    return tokens


class _Expander:
    """Replaces macros by what they stand for, within a budget."""

    def __init__(self, latex: str, macros: Macros) -> None:
        self.latex = latex
        self.macros = macros
        self.pending = list(reversed(_scan(latex)))
        self.budget = MAX_EXPANSIONS

    def run(self) -> list[Token]:
        """All tokens, macros expanded."""
        output: list[Token] = []
        while self.pending:
            token = self.pending.pop()
            macro = self.macros.get(token.text)
            if macro is not None:
                self.spend(token)
                self.expand(token, macro)
            elif token.text in SHORTHANDS and self.peek() == "{":
                self.spend(token)
                self.shorthand(token)
            else:
                output.append(token)
            if len(output) + len(self.pending) > MAX_TOKENS:
                raise DerivationSyntaxError(
                    f"longer than {MAX_TOKENS} symbols: give it in pieces", self.latex, token.start
                )
        return output

    def spend(self, token: Token) -> None:
        """Counts one expansion."""
        self.budget -= 1
        if self.budget < 0:
            raise DerivationSyntaxError(f"the macro {token.text} expands without end", self.latex, token.start)

    def peek(self) -> str:
        """The next token that is no space; empty at the end."""
        while self.pending and self.pending[-1].text == " ":
            self.pending.pop()
        return self.pending[-1].text if self.pending else ""

    def argument(self, token: Token) -> list[Token]:
        """The next argument, without its braces."""
        if not self.peek():
            raise DerivationSyntaxError(f"the macro {token.text} lacks an argument", self.latex, token.start)
        first = self.pending.pop()
        if first.text != "{":
            return [first]
        piece, depth = [], 1
        while self.pending and depth:
            piece.append(self.pending.pop())
            depth += {"{": 1, "}": -1}.get(piece[-1].text, 0)
        return piece[:-1] if depth == 0 else piece

    def optional(self) -> list[Token] | None:
        """An argument in square brackets, if one follows."""
        if self.peek() != "[":
            return None
        self.pending.pop()
        piece = []
        while self.pending and self.pending[-1].text != "]":
            piece.append(self.pending.pop())
        if self.pending:
            self.pending.pop()
        return piece

    def expand(self, token: Token, macro: Macro) -> None:
        """Puts the body of a macro in its place."""
        arguments: list[list[Token]] = []
        if macro.count and macro.default is not None:
            given = self.optional()
            arguments.append(_scan(macro.default, token) if given is None else given)
        while len(arguments) < macro.count:
            arguments.append(self.argument(token))
        body = _scan(macro.body, token)
        replaced: list[Token] = []
        at = 0
        while at < len(body):
            digit = body[at + 1].text if body[at].text == "#" and at + 1 < len(body) else ""
            if digit.isdigit():
                replaced += arguments[int(digit) - 1] if 1 <= int(digit) <= len(arguments) else []
                at += 2
                continue
            replaced.append(body[at])
            at += 1
        self.pending.extend(reversed(replaced))

    def shorthand(self, token: Token) -> None:
        r"""``\E{q}{…}``, ``\kl{…}{…}`` and their like, where the document defines no such macro."""
        operator, one, two = SHORTHANDS[token.text]
        first = self.argument(token)
        form = one
        second: list[Token] = []
        if two and self.peek() == "{":
            form, second = two, self.argument(token)
        pieces = {"#1": first, "#2": second}
        replaced = _scan(operator, token)
        for part in re.split(r"(#\d)", form):
            replaced += pieces[part] if part in pieces else _scan(part, token)
        self.pending.extend(reversed(replaced))


def tokens_of(latex: str, macros: Macros | None = None) -> list[Token]:
    r"""The tokens of a display, its macros expanded.

    Args:
        latex: The display; definitions of macros in it are obeyed and taken out.
        macros: Further macros, such as those of the file; the display's own come first.

    Raises:
        DerivationSyntaxError: If it is too long, or a macro expands without end or lacks an argument.
    """
    if len(latex) > MAX_LENGTH:
        raise DerivationSyntaxError(f"longer than {MAX_LENGTH} characters: give it in pieces", latex, MAX_LENGTH)
    if any("\U0001d400" <= character <= "\U0001d7ff" for character in latex):
        # Letters that are typed in italics or bold are letters.
        latex = "".join(normalize("NFKC", c) if "\U0001d400" <= c <= "\U0001d7ff" else c for c in latex)
    own = macros_of(latex)
    known = {**known_macros(), **(macros or {}), **own}
    text = _definitions_blanked(latex) if own else latex
    expander = _Expander(text, known)
    expander.latex = latex
    return expander.run()


def joined(tokens: Iterable[Token]) -> str:
    """The text of some tokens, for messages."""
    return "".join(token.text for token in tokens)
