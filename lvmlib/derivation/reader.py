r"""Reads the layout of LaTeX: from source text to chains of sides joined by relations.

Nothing here knows what a density is. The reader expands macros, drops what only moves ink about (spacing,
sizes, colours, braces, remarks), keeps for each symbol where it stood in the source, and cuts a display into
**statements**: chains of sides joined by relations, or declarations such as ``z_k \sim q(z)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

__all__ = [
    "DerivationSyntaxError",
    "Side",
    "Statement",
    "Symbol",
    "macros_of",
    "read_statements",
    "read_symbols",
]

MAX_LENGTH = 20_000
MAX_DEPTH = 40
MAX_TOKENS = 6_000


class DerivationSyntaxError(ValueError):
    r"""LaTeX that cannot be read as a derivation.

    Args:
        message: What is wrong, and the likely slip.
        latex: The source that was read.
        position: Where in it, counted in characters from 0.

    Example:
        >>> print(DerivationSyntaxError("a parenthesis opened at column 4 is never closed", "-KL(q", 3))
        a parenthesis opened at column 4 is never closed
          -KL(q
             ^
    """

    def __init__(self, message: str, latex: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.latex = latex
        self.position = max(0, min(position, len(latex)))
        self.mended: tuple[Symbol, ...] | None = None

    @property
    def column(self) -> int:
        """The column in its own line of the source, counted from 1."""
        return self.position - (self.latex.rfind("\n", 0, self.position) + 1) + 1

    def caret(self) -> str:
        """The line of the source at fault, and a caret under the place."""
        start = self.latex.rfind("\n", 0, self.position) + 1
        end = self.latex.find("\n", self.position)
        line = self.latex[start : len(self.latex) if end < 0 else end]
        offset = self.position - start
        indent = len(line) - len(line.lstrip())
        shown, offset = line.strip(), max(0, offset - indent)
        if len(shown) > 100:
            cut = max(0, offset - 50)
            shown, offset = shown[cut : cut + 100], offset - cut
        return f"  {shown}\n  {' ' * offset}^"

    def __str__(self) -> str:
        return f"{self.message}\n{self.caret()}" if self.latex else self.message


@dataclass(frozen=True, slots=True)
class Symbol:
    r"""One symbol of the page: a character, a command or a construction with arguments.

    Args:
        name: ``"p"``, ``r"\log"``, ``r"\frac"``; a word in upright type is written ``"@KL"``.
        position: Where it begins in the source.
        arguments: The arguments of ``\frac``, ``\sqrt`` and the like.
        sub: The subscript, if there is one.
        sup: The superscript, primes included (as the symbol ``\prime``).
        style: ``"cal"``, ``"bb"``, ``"upright"``, an accent such as ``"tilde"``, or nothing.
        remark: What stands over a relation sign.
        end: Where it ends in the source.
    """

    name: str
    position: int
    arguments: tuple[tuple[Symbol, ...], ...] = ()
    sub: tuple[Symbol, ...] | None = None
    sup: tuple[Symbol, ...] | None = None
    style: str = ""
    remark: str = ""
    end: int = 0


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a relation: its symbols, and where it lies in the source."""

    symbols: tuple[Symbol, ...]
    start: int
    end: int


@dataclass(slots=True)
class Statement:
    r"""A chain ``side relation side relation side``; one side alone states nothing.

    ``relations[i]`` stands between ``sides[i]`` and ``sides[i + 1]`` and is one of ``= := >= <= > < != propto
    approx const`` (equal up to a constant) or ``~`` (a declaration).
    """

    sides: list[Side] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)


def _words(text: str) -> list[str]:
    return text.split()


_SPACING = {
    "~",
    "\\ ",
    *_words(r"\, \; \: \! \> \/ \quad \qquad \enspace \thinspace \medspace \negthinspace \hfill \allowbreak"),
    *_words(r"\displaystyle \textstyle \scriptstyle \limits \nolimits \nonumber \notag \strut \mathstrut \relax"),
    *_words(r"\big \Big \bigg \Bigg \bigl \Bigl \biggl \Biggl \bigr \Bigr \biggr \Biggr \bigm \Bigm \biggm"),
    *_words(r"\Biggm \bf \rm \it \small \footnotesize \large \normalsize \noindent \therefore \qed \square"),
}
_DROPPED_WITH_ARGUMENT = {
    *_words(r"\tag \label \phantom \hphantom \vphantom \hspace \vspace \color \eqref \ref \cite \intertext"),
    *_words(r"\shortintertext \footnote \mspace \kern \require"),
}
_STYLES = {
    **dict.fromkeys(_words(r"\mathbf \boldsymbol \bm \pmb \mathit \vec \symbf \mathnormal"), ""),
    **dict.fromkeys(_words(r"\mathcal \mathscr \mathfrak"), "cal"),
    **dict.fromkeys(_words(r"\mathbb \mathds"), "bb"),
    **dict.fromkeys(_words(r"\tilde \widetilde"), "tilde"),
    **dict.fromkeys(_words(r"\hat \widehat"), "hat"),
    **dict.fromkeys(_words(r"\bar \overline"), "bar"),
    **dict.fromkeys(_words(r"\dot \ddot \check \breve \underline \mathring"), "dot"),
}
_TEXT = {
    *_words(r"\text \textrm \textit \textbf \mbox \texttt \textsf \textsc \emph \textup \textnormal"),
    *_words(r"\tag \label \intertext \shortintertext \color \textcolor \hspace \vspace \eqref \ref \cite"),
    *_words(r"\footnote \colorbox \mspace \require"),
}
_UPRIGHT = {
    *_words(r"\text \textrm \textit \textbf \mbox \texttt \textsf \textsc \emph \textup \textnormal"),
    *_words(r"\mathrm \operatorname \mathop \mathsf \mathtt"),
}
_INLINE_FIRST = {
    *_words(r"\underbrace \overbrace \boxed \mathclap \mathllap \mathrlap \smash \cancel \bcancel \xcancel"),
    *_words(r"\fbox \ensuremath \vcenter"),
}
_ARGUMENTS = {
    **dict.fromkeys(_words(r"\frac \dfrac \tfrac \cfrac \nicefrac \sfrac \binom"), 2),
    **dict.fromkeys(_words(r"\textcolor \colorbox \underset \overset \stackrel"), 2),
    **dict.fromkeys(_words(r"\sqrt \substack \not \xrightarrow"), 1),
    **dict.fromkeys(_DROPPED_WITH_ARGUMENT | set(_STYLES) | _UPRIGHT | _INLINE_FIRST, 1),
}
_ENVIRONMENTS = {
    *_words("aligned align split gather gathered equation multline multlined alignat alignedat eqnarray"),
    *_words("displaymath math flalign subequations"),
}
_RELATIONS = {
    **dict.fromkeys(_words("="), "="),
    **dict.fromkeys(_words(r"\ge \geq \geqslant \geqq ≥"), ">="),
    **dict.fromkeys(_words(r"\le \leq \leqslant \leqq ≤"), "<="),
    **dict.fromkeys(_words(r"> \gt"), ">"),
    **dict.fromkeys(_words(r"< \lt"), "<"),
    **dict.fromkeys(_words(r"\propto \varpropto ∝"), "propto"),
    **dict.fromkeys(_words(r"\approx \simeq \cong \approxeq ≈"), "approx"),
    **dict.fromkeys(_words(r"\triangleq \equiv \coloneqq \coloneq \colonequals \doteq"), ":="),
    **dict.fromkeys(_words(r"\eqqcolon \eqcolon"), "=:"),
    **dict.fromkeys(_words(r"\neq \ne ≠"), "!="),
    **dict.fromkeys(_words(r"\sim"), "~"),
}
_OPENING = {
    "(": ")",
    "[": "]",
    r"\{": r"\}",
    r"\lbrace": r"\rbrace",
    r"\lbrack": r"\rbrack",
    r"\langle": r"\rangle",
    r"\lvert": r"\rvert",
}
_CLOSING = {closing: opening for opening, closing in _OPENING.items()}
_ARROWS = {
    *_words(r"\Rightarrow \implies \Longrightarrow \Leftrightarrow \iff \to \rightarrow \longrightarrow"),
    *_words(r"\xrightarrow \Longleftrightarrow \mapsto \leadsto"),
}
_REMARK_WORDS = {
    *_words("where and by since with for if when or using iff let then thus hence so as because from such that"),
    *_words("in all any jensen bayes fubini rule is the a an def definition marginalisation marginalization"),
    *_words("linearity assume given note product sum chain iid i.i.d. independence concave of to on at"),
    *_words("otherwise therefore but which it we"),
}
_KNOWN_MACROS = {
    **{rf"\{name}": (0, rf"\operatorname{{{name}}}") for name in _words("ELBO EUBO CUBO ESS Cov Bias IWAE")},
    r"\Entropy": (0, r"\operatorname{H}"),
    r"\Normal": (0, r"\mathcal{N}"),
    r"\N": (0, r"\mathbb{N}"),
    r"\R": (0, r"\mathbb{R}"),
}
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|%[^\n]*(?:\n|$)|\s+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    position: int
    end: int


def _scan(latex: str) -> list[_Token]:
    tokens = []
    for match in _TOKEN.finditer(latex):
        text = match.group()
        if text.startswith("%"):
            continue
        tokens.append(_Token(" " if text.isspace() else text, match.start(), match.end()))
    return tokens


_DEFINITION = re.compile(
    r"\\(?:re|provide)?(?:newcommand|DeclareMathOperator)\*?\s*\{?\s*(\\[A-Za-z]+)\s*\}?\s*(?:\[(\d)\])?\s*\{"
    r"|\\def\s*(\\[A-Za-z]+)\s*((?:#\d)*)\s*\{"
)


def macros_of(source: str) -> dict[str, tuple[int, str]]:
    r"""Collects ``\newcommand``, ``\def`` and ``\DeclareMathOperator`` from a source file.

    Args:
        source: Any text.

    Returns:
        For each macro, how many arguments it takes and its replacement text.

    Example:
        >>> macros_of(r"\newcommand{\vz}{\mathbf{z}} \DeclareMathOperator{\KL}{KL}")
        {'\\vz': (0, '\\mathbf{z}'), '\\KL': (0, '\\operatorname{KL}')}
    """
    found: dict[str, tuple[int, str]] = {}
    for match in _DEFINITION.finditer(source):
        depth, stop = 1, match.end()
        while stop < len(source) and depth and stop - match.end() < 2000:
            depth += {"{": 1, "}": -1}.get(source[stop], 0) if source[stop - 1] != "\\" else 0
            stop += 1
        if depth:
            continue
        body = source[match.end() : stop - 1]
        name = match.group(1) or match.group(3)
        count = int(match.group(2) or 0) if match.group(1) else len(match.group(4)) // 2
        if "DeclareMathOperator" in match.group():
            body = rf"\operatorname{{{body}}}"
        found[name] = (count, body)
    return found


def _expand(tokens: list[_Token], macros: Mapping[str, tuple[int, str]], latex: str) -> list[_Token]:
    """Replaces macros; what comes from a macro keeps the place of its call."""
    output: list[_Token] = []
    pending = list(reversed(tokens))
    budget = 500
    while pending:
        token = pending.pop()
        macro = macros.get(token.text)
        if macro is None:
            output.append(token)
            if len(output) > MAX_TOKENS:
                raise DerivationSyntaxError(
                    f"longer than {MAX_TOKENS} symbols: give it in pieces", latex, token.position
                )
            continue
        budget -= 1
        if budget < 0:
            raise DerivationSyntaxError(f"the macro {token.text} expands without end", latex, token.position)
        arguments = []
        for _ in range(macro[0]):
            while pending and pending[-1].text == " ":
                pending.pop()
            if not pending:
                raise DerivationSyntaxError(f"the macro {token.text} lacks an argument", latex, token.position)
            piece = [pending.pop()]
            if piece[0].text == "{":
                depth = 1
                while pending and depth:
                    piece.append(pending.pop())
                    depth += {"{": 1, "}": -1}.get(piece[-1].text, 0)
                piece = piece[1:-1]
            arguments.append(piece)
        body = _scan(macro[1])
        replaced: list[_Token] = []
        at = 0
        while at < len(body):
            if body[at].text == "#" and at + 1 < len(body) and body[at + 1].text.isdigit():
                number = int(body[at + 1].text)
                if 1 <= number <= len(arguments):
                    replaced += arguments[number - 1]
                at += 2
                continue
            replaced.append(_Token(body[at].text, token.position, token.end))
            at += 1
        pending.extend(reversed(replaced))
        if len(pending) > MAX_TOKENS:
            raise DerivationSyntaxError(f"the macro {token.text} expands without end", latex, token.position)
    return output


class _Reader:
    """Groups tokens into symbols with arguments and scripts."""

    def __init__(self, tokens: list[_Token], latex: str) -> None:
        self.tokens = tokens
        self.latex = latex
        self.at = 0

    def error(self, message: str, position: int) -> DerivationSyntaxError:
        return DerivationSyntaxError(message, self.latex, position)

    def skip_space(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at].text == " ":
            self.at += 1

    def peek(self) -> str:
        self.skip_space()
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def sequence(self, depth: int, opened: int | None) -> tuple[Symbol, ...]:
        if depth > MAX_DEPTH:
            raise self.error(
                f"nested deeper than {MAX_DEPTH} levels",
                self.tokens[min(self.at, len(self.tokens) - 1)].position,
            )
        symbols: list[Symbol] = []
        while True:
            text = self.peek()
            if text == "":
                if opened is not None:
                    raise self.error("a brace { opened here is never closed", opened)
                return tuple(symbols)
            token = self.tokens[self.at]
            if text == "}":
                if opened is None:
                    raise self.error("a brace } closes nothing", token.position)
                self.at += 1
                return tuple(symbols)
            if text in ("_", "^", "'"):
                last = symbols.pop() if symbols else Symbol("{", token.position, ((),), end=token.position)
                symbols.append(self.scripts(last, depth))
                continue
            if text in (r"\limits", r"\nolimits"):
                self.at += 1
                continue
            symbols.extend(self.item(depth))

    def scripts(self, base: Symbol, depth: int) -> Symbol:
        token = self.tokens[self.at]
        self.at += 1
        if token.text == "'":
            prime = Symbol(r"\prime", token.position, end=token.end)
            return replace(base, sup=(*(base.sup or ()), prime), end=token.end)
        value = self.argument(depth, token)
        end = self.tokens[self.at - 1].end
        if token.text == "_":
            if base.sub is not None:
                raise self.error("a second subscript: which of the two is meant?", token.position)
            return replace(base, sub=value, end=end)
        if base.sup is not None and any(part.name != r"\prime" for part in base.sup):
            raise self.error("a second superscript: which of the two is meant?", token.position)
        return replace(base, sup=(*(base.sup or ()), *value), end=end)

    def argument(self, depth: int, owner: _Token) -> tuple[Symbol, ...]:
        text = self.peek()
        if text in ("", "}", "&", r"\\", "_", "^"):
            raise self.error(f"{owner.text} is followed by nothing", owner.position)
        if text == "{":
            opened = self.tokens[self.at].position
            self.at += 1
            return self.sequence(depth + 1, opened)
        return tuple(self.item(depth + 1))

    def raw_argument(self, owner: _Token) -> str:
        if self.peek() != "{":
            text = self.peek()
            if text in ("", "}", "&", r"\\"):
                raise self.error(f"{owner.text} is followed by nothing", owner.position)
            self.at += 1
            return text
        opened = self.tokens[self.at].position
        self.at += 1
        level = 1
        parts: list[str] = []
        while self.at < len(self.tokens):
            text = self.tokens[self.at].text
            self.at += 1
            level += {"{": 1, "}": -1}.get(text, 0)
            if level == 0:
                return "".join(parts)
            parts.append(text)
        raise self.error("a brace { opened here is never closed", opened)

    def bracketed(self) -> str | None:
        """An optional argument in square brackets, as text."""
        if self.peek() != "[":
            return None
        stop = self.at
        while stop < len(self.tokens) and self.tokens[stop].text != "]":
            stop += 1
        if stop == len(self.tokens):
            return None
        text = "".join(token.text for token in self.tokens[self.at + 1 : stop])
        self.at = stop + 1
        return text

    def item(self, depth: int) -> list[Symbol]:
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels", self.tokens[self.at].position)
        token = self.tokens[self.at]
        self.at += 1
        name = token.text
        if name == "{":
            inner = self.sequence(depth + 1, token.position)
            return [Symbol("{", token.position, (inner,), end=self.tokens[self.at - 1].end)]
        if name in (r"\begin", r"\end"):
            environment = self.raw_argument(token).strip().rstrip("*")
            if environment not in _ENVIRONMENTS:
                raise self.error(f"the environment {environment} is not a chain of relations", token.position)
            if name == r"\begin" and environment in ("alignat", "alignedat"):
                self.raw_argument(token)
            return [Symbol(r"\\", token.position, end=token.position)] if environment != "split" else []
        if name in (r"\left", r"\right", r"\middle"):
            if self.peek() == ".":
                self.at += 1
            return []
        if name == r"\\":
            self.bracketed()
            return [Symbol(name, token.position, end=token.end)]
        count = _ARGUMENTS.get(name, 0)
        if name in (r"\operatorname", r"\hspace", r"\vspace", r"\tag") and self.peek() == "*":
            self.at += 1
        if name in _TEXT:
            words = [self.raw_argument(token)]
            if count == 2:
                inner = self.argument(depth, token)
                return [Symbol("{", token.position, (inner,), end=self.tokens[self.at - 1].end)]
            return [Symbol(name, token.position, remark=words[0], end=self.tokens[self.at - 1].end)]
        option: tuple[Symbol, ...] | None = None
        if name == r"\sqrt":
            root = self.bracketed()
            if root is not None:
                option = _Reader(_scan(root), self.latex).sequence(depth + 1, None)
        if name in (r"\xrightarrow", r"\substack"):
            count = 1
        arguments = tuple(self.argument(depth, token) for _ in range(count))
        if option is not None:
            arguments = (*arguments, option)
        return [Symbol(name, token.position, arguments, end=self.tokens[self.at - 1].end)]


def _word(symbols: Sequence[Symbol]) -> str | None:
    """The word that a run of plain letters spells, if that is all there is."""
    if symbols and all(
        len(s.name) == 1 and (s.name.isalnum() or s.name in "-. ") and s.sub is None and s.sup is None for s in symbols
    ):
        return "".join(s.name for s in symbols)
    return None


def _plain(symbols: Iterable[Symbol]) -> str:
    return "".join(s.remark or s.name + "".join(_plain(a) for a in s.arguments) for s in symbols)


def _simplify(symbols: Sequence[Symbol], latex: str, depth: int = 0) -> list[Symbol]:
    """Drops what only moves ink about, and turns styles into marks on the letter."""
    if depth > 3 * MAX_DEPTH:
        raise DerivationSyntaxError(
            f"nested deeper than {MAX_DEPTH} levels", latex, symbols[0].position if symbols else 0
        )

    def down(inner: Sequence[Symbol]) -> tuple[Symbol, ...]:
        return tuple(_simplify(inner, latex, depth + 1))

    output: list[Symbol] = []
    for symbol in symbols:
        name = symbol.name
        scripted = replace(
            symbol,
            sub=down(symbol.sub) if symbol.sub is not None else None,
            sup=down(symbol.sup) if symbol.sup is not None else None,
        )
        if name == r"\\" or name == "&":
            output.append(symbol)
        elif name in _SPACING:
            if name in (r"\quad", r"\qquad"):
                output.append(symbol)
        elif name in _DROPPED_WITH_ARGUMENT:
            continue
        elif name in _INLINE_FIRST:
            inner = down(symbol.arguments[0])
            raised = symbol.sup if name not in (r"\overbrace",) else None
            if raised is not None:
                output.append(replace(scripted, name="(", arguments=(), sub=None, sup=None, end=symbol.position))
                output.extend(inner)
                output.append(replace(scripted, name=")", arguments=(), sub=None, position=symbol.end - 1))
            else:
                output.extend(inner)
        elif name == "{":
            inner = down(symbol.arguments[0])
            cuts = [at for at, part in enumerate(inner) if part.name == r"\over"]
            if len(cuts) == 1:
                above, below = inner[: cuts[0]], inner[cuts[0] + 1 :]
                inner = (Symbol(r"\frac", symbol.position, (above, below), end=symbol.end),)
            if scripted.sub is None and scripted.sup is None:
                output.extend(inner)
            elif (
                len(inner) == 1
                and (scripted.sub is None or inner[0].sub is None)
                and (scripted.sup is None or inner[0].sup is None)
            ):
                only = inner[0]
                output.append(replace(only, sub=scripted.sub or only.sub, sup=scripted.sup or only.sup, end=symbol.end))
            else:
                output.append(Symbol("(", symbol.position, end=symbol.position + 1))
                output.extend(inner)
                output.append(Symbol(")", symbol.end - 1, sub=scripted.sub, sup=scripted.sup, end=symbol.end))
        elif name in _STYLES:
            inner = down(symbol.arguments[0])
            word = _word(inner)
            if not inner:
                continue
            if word is not None and len(word) > 1 and name in (r"\mathbb", r"\mathbf", r"\mathds", r"\mathcal"):
                output.append(replace(scripted, name=f"@{word}", arguments=(), style=_STYLES[name]))
            elif len(inner) == 1:
                only = inner[0]
                output.append(
                    replace(
                        only,
                        style=_STYLES[name] or only.style,
                        sub=scripted.sub if scripted.sub is not None else only.sub,
                        sup=scripted.sup if scripted.sup is not None else only.sup,
                        position=symbol.position,
                        end=symbol.end,
                    )
                )
            else:
                head, last = inner[:-1], inner[-1]
                output.extend(head)
                output.append(replace(last, sub=scripted.sub or last.sub, sup=scripted.sup or last.sup))
        elif name in _UPRIGHT:
            if name in _TEXT:
                text = symbol.remark.strip()
            else:
                inner = down(symbol.arguments[0])
                spelled = _word(inner)
                if spelled is None and len(inner) == 1:
                    output.append(replace(inner[0], sub=scripted.sub or inner[0].sub, sup=scripted.sup or inner[0].sup))
                    continue
                if spelled is None and [part.name for part in inner] == [r"\arg", r"\max"]:
                    spelled = "argmax"
                if spelled is None and [part.name for part in inner] == [r"\arg", r"\min"]:
                    spelled = "argmin"
                if spelled is None:
                    output.extend(inner)
                    continue
                text = spelled
            bare = text.strip(" .,:;()")
            if name in _TEXT and (not re.fullmatch(r"[A-Za-z][A-Za-z-]*", bare) or bare.lower() in _REMARK_WORDS):
                output.append(Symbol(r"\remark", symbol.position, remark=text, end=symbol.end))
            elif len(bare) == 1:
                output.append(replace(scripted, name=bare, arguments=(), style="upright", remark=""))
            else:
                output.append(replace(scripted, name=f"@{bare}", arguments=(), remark=""))
        elif name in (r"\underset", r"\overset", r"\stackrel"):
            over, base = down(symbol.arguments[0]), down(symbol.arguments[1])
            if not base:
                continue
            if len(base) == 2 and base[0].name == r"\arg" and name == r"\underset":
                base = (Symbol("@arg" + base[1].name[1:], symbol.position, sub=base[1].sub, end=symbol.end),)
            only = base[-1]
            remark = _plain(symbol.arguments[0])
            if name == r"\underset" and only.name not in _RELATIONS:
                output.extend(base[:-1])
                output.append(replace(only, sub=over, position=symbol.position, end=symbol.end))
            else:
                output.extend(base[:-1])
                output.append(replace(only, remark=remark, position=symbol.position, end=symbol.end))
        elif name == r"\not":
            inner = down(symbol.arguments[0])
            output.append(Symbol(r"\neq" if _plain(inner) == "=" else r"\not", symbol.position, end=symbol.end))
        elif name == r"\substack":
            content = [
                replace(p, name=",", position=p.position) if p.name == r"\\" else p for p in down(symbol.arguments[0])
            ]
            output.extend(content)
        else:
            output.append(replace(scripted, arguments=tuple(down(argument) for argument in symbol.arguments)))
    return output


def read_symbols(latex: str, macros: Mapping[str, tuple[int, str]] | None = None) -> list[Symbol]:
    """Reads LaTeX into symbols, with macros expanded and ink dropped.

    Args:
        latex: The inside of a display.
        macros: Further macros, as :func:`macros_of` returns them.

    Raises:
        DerivationSyntaxError: If braces do not match, or the text is too long or too deep.
    """
    if len(latex) > MAX_LENGTH:
        raise DerivationSyntaxError(f"longer than {MAX_LENGTH} characters: give it in pieces", latex, MAX_LENGTH)
    stripped = re.sub(r"\$\$|(?<!\\)\\[\[\]]", "  ", latex)
    tokens = _expand(_scan(stripped), {**_KNOWN_MACROS, **(macros or {})}, latex)
    return _simplify(_Reader(tokens, latex).sequence(0, None), latex)


def _relation(symbols: Sequence[Symbol], at: int) -> tuple[str, int] | None:
    """The relation at a place, and how many symbols write it."""
    name = symbols[at].name
    following = symbols[at + 1].name if at + 1 < len(symbols) else ""
    if name == ":" and following == "=":
        return ":=", 2
    if name == "=" and following == ":":
        return "=:", 2
    if name in "<>" and following == "=":
        return f"{name}=", 2
    relation = _RELATIONS.get(name)
    if relation is None:
        return None
    remark = symbols[at].remark.replace(" ", "").lower()
    if relation == "=" and remark:
        if "def" in remark or remark in (r"\delta", r"\triangle", r"\mathrm{def}", "d"):
            return ":=", 1
        if remark in ("+", "c", "const", "const."):
            return "const", 1
    return relation, 1


def _is_remark(symbol: Symbol) -> bool:
    return symbol.name == r"\remark"


def _rows(symbols: Sequence[Symbol]) -> Iterator[list[Symbol]]:
    """The rows of a display, without alignment marks, remarks and final punctuation."""
    row: list[Symbol] = []
    for symbol in [*symbols, Symbol(r"\\", 10**9)]:
        if symbol.name != r"\\":
            row.append(symbol)
            continue
        cleaned: list[Symbol] = []
        spaced = True
        for at, part in enumerate(row):
            if part.name == "&" or part.name in (r"\quad", r"\qquad"):
                spaced = True
                continue
            opens = part.name in ("(", "[") and at + 1 < len(row) and _is_remark(row[at + 1])
            if spaced and cleaned and (_is_remark(part) or opens or part.name in (r"\because", r"\forall")):
                break
            spaced = False
            if not _is_remark(part):
                cleaned.append(part)
            else:
                spaced = True
        while cleaned and cleaned[-1].name in (",", ".", ";") and cleaned[-1].sub is None:
            cleaned.pop()
        if cleaned:
            yield cleaned
        row = []


def _unmatched(symbols: Sequence[Symbol]) -> list[tuple[int, int | None]]:
    """Pairs (opening, closing) of brackets, closing None when there is none."""
    stack: list[int] = []
    pairs: dict[int, int | None] = {}
    for at, symbol in enumerate(symbols):
        if symbol.name in _OPENING:
            stack.append(at)
            pairs[at] = None
        elif symbol.name in _CLOSING and stack:
            pairs[stack.pop()] = at
    return list(pairs.items())


def _pieces(
    symbols: list[Symbol],
    row_starts: set[int],
    is_split: Callable[[int], tuple[str, int] | None],
    *,
    within_unclosed: bool,
) -> list[tuple[str, list[Symbol]]]:
    """Cuts a run of symbols where ``is_split`` says so, outside of brackets that close in the same row.

    A bracket that never closes hides a comma, but not a relation (``within_unclosed``).
    """
    pieces: list[tuple[str, list[Symbol]]] = [("", [])]
    boundaries = sorted(row_starts | {0, len(symbols)})
    enclosed: set[int] = set()
    for first, last in pairwise(boundaries):
        for opening, closing in _unmatched(symbols[first:last]):
            if closing is not None:
                enclosed.update(range(first + opening + 1, first + closing))
            elif not within_unclosed:
                enclosed.update(range(first + opening + 1, last))
    at = 0
    while at < len(symbols):
        split = is_split(at) if at not in enclosed else None
        if split is None:
            pieces[-1][1].append(symbols[at])
            at += 1
        else:
            pieces.append((split[0], []))
            at += split[1]
    return pieces


def _side(symbols: Sequence[Symbol], fallback: int) -> Side:
    kept = list(symbols)
    while kept and kept[-1].name in (",", ".", ";"):
        kept.pop()
    if not kept:
        return Side((), fallback, fallback)
    return Side(tuple(kept), kept[0].position, max(symbol.end for symbol in kept))


def read_statements(latex: str, macros: Mapping[str, tuple[int, str]] | None = None) -> list[Statement]:
    r"""Cuts a display into statements.

    A row that begins with a relation goes on with the chain above it; a row that begins with an operator, or
    follows one, or stands within an open bracket, goes on with the side above it; any other row begins a new
    chain. A comma outside of brackets also ends a chain.

    Args:
        latex: The inside of a display.
        macros: Further macros, as :func:`macros_of` returns them.

    Raises:
        DerivationSyntaxError: If nothing can be read at all.

    Example:
        >>> [statement.relations for statement in read_statements(r"a &\ge b \\ &= c, \quad d = e")]
        [['>=', '='], ['=']]
    """
    symbols = read_symbols(latex, macros)
    chains: list[tuple[list[Symbol], set[int]]] = []
    for row in _rows(symbols):
        while row and row[0].name in _ARROWS:
            row = row[1:]
        if not row:
            continue
        starts_relation = _relation(row, 0) is not None
        if chains:
            previous, starts = chains[-1]
            open_brackets = [o for o, c in _unmatched(previous) if c is None]
            closes = sum((s.name in _CLOSING) - (s.name in _OPENING) for s in row) > 0
            has_relation = any(_relation(row, at) for at in range(len(row)))
            continues = (
                row[0].name in ("+", "-", r"\cdot", r"\times", "/", r"\pm", *_CLOSING)
                or previous[-1].name in ("+", "-", r"\cdot", r"\times", "/", "(", "[", r"\{")
                or _relation(previous, len(previous) - 1) is not None
                or (bool(open_brackets) and (closes or not has_relation))
            )
            if starts_relation:
                starts.add(len(previous))
                previous.extend(row)
                continue
            if continues:
                previous.extend(row)
                continue
        chains.append((list(row), set()))
    statements: list[Statement] = []
    for chain, starts in chains:

        def comma(at: int, chain: list[Symbol] = chain) -> tuple[str, int] | None:
            return (",", 1) if chain[at].name in (",", ";") else None

        offset = 0
        cut = _pieces(chain, starts, comma, within_unclosed=False)
        previous_segment_sampled = False
        for _, segment in cut:
            local_starts = {s - offset for s in starts if 0 <= s - offset < len(segment)}
            offset += len(segment) + 1
            if not segment:
                continue

            def relation(at: int, segment: list[Symbol] = segment) -> tuple[str, int] | None:
                return _relation(segment, at)

            parts = _pieces(segment, local_starts, relation, within_unclosed=True)
            if len(cut) > 1 and len(parts) == 1 and statements:
                word = segment[0].name
                if word in (r"\forall", r"\dots", r"\ldots", r"\cdots", "@const") or previous_segment_sampled:
                    continue
            if len(parts) == 2 and parts[1][0] == "=" and len(cut) > 1 and _is_index_range(segment):
                continue
            statement = Statement()
            for name, content in parts:
                side = _side(content, segment[0].position)
                if name == "=:":
                    name = ":="
                if name:
                    statement.relations.append(name)
                statement.sides.append(side)
            if not statement.relations and not statement.sides[0].symbols:
                continue
            previous_segment_sampled = "~" in statement.relations
            if len(cut) > 1 and statements and not statement.relations and _is_list_item(segment, cut):
                continue
            statements.append(statement)
    return statements


def _is_index_range(segment: Sequence[Symbol]) -> bool:
    """Whether a piece only says where an index runs: ``k = 1`` of ``k = 1, \\dots, K``."""
    return len(segment) <= 3 and segment[0].name in "ijklmnstd" and segment[-1].name.isdigit()


def _is_list_item(segment: Sequence[Symbol], cut: Sequence[tuple[str, list[Symbol]]]) -> bool:
    return len(segment) == 1 and any(part and part[0].name in (r"\dots", r"\ldots") for _, part in cut)
