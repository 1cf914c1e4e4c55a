# ruff: noqa: E501 (rows of tables are easier to read in one line)
r"""From tokens to symbols with scripts and brackets, and from symbols to statements.

Nothing here knows what a density is. What only moves ink about (spacing, sizes, colours, tags) is dropped, and a display
is cut into **statements**: chains of sides with relations between them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from proofreader.errors import DerivationSyntaxError
from proofreader.notation import ACCENTS, IMPLIES, RELATIONS, TYPED, operator_named, words
from proofreader.source import Token

__all__ = ["Side", "Statement", "Symbol", "flat", "split", "statements_of"]

MAX_DEPTH = 40
OPENING = {"(": ")", "[": "]", r"\{": r"\}", r"\lbrace": r"\rbrace", r"\lbrack": r"\rbrack", r"\langle": r"\rangle"}
CLOSING = frozenset(OPENING.values())
BARS = frozenset(["|", r"\mid", r"\vert", r"\lvert", r"\rvert", "∣", "｜"])
DOUBLE_BARS = frozenset([r"\|", r"\Vert", r"\parallel", r"\lVert", r"\rVert", "∥", "‖", r"\divides"])
DOTS = frozenset([r"\dots", r"\ldots", r"\cdots", r"\dotsc", r"\dotsb", "…", r"\hdots", r"\vdots"])
PUNCTUATION = frozenset(",;.，。；、．:")
GREEK = frozenset(
    "\\" + name
    for name in words(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi "
        "rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma "
        "Upsilon Phi Psi Omega ell"
    )
)


_DROPPED = {
    "~", "\\ ", " ", "\\", r"\left", r"\right", r"\middle",
    *words(r"\, \; \: \! \> \/ \- \enspace \thinspace \medspace \thickspace \negthinspace \negmedspace \hfill \hfil \allowbreak \nobreak \par"),
    *words(r"\displaystyle \textstyle \scriptstyle \scriptscriptstyle \limits \nolimits \nonumber \notag \strut \mathstrut \relax \noindent"),
    *words(r"\big \Big \bigg \Bigg \bigl \Bigl \biggl \Biggl \bigr \Bigr \biggr \Biggr \bigm \Bigm \biggm \Biggm \mathop \mathrel \mathbin"),
    *words(r"\bf \rm \it \cal \sf \tt \small \footnotesize \large \Large \normalsize \scriptsize \centering \qed \square \qedhere \blacksquare"),
    *words(r"\mathord \mathopen \mathclose \mathinner \protect \bm@ \mathpunct \null \unskip \ignorespaces \hline \smallskip \medskip \bigskip"),
}  # fmt: skip
_DROPPED_WITH_ARGUMENT = set(
    words(
        r"\tag \label \phantom \hphantom \vphantom \hspace \vspace \color \eqref \ref \cref \Cref \cite \citep \citet \footnote \mspace \kern \require \eqnum \index \textcolor@"
    )
)
_STYLES = {
    **dict.fromkeys(
        words(r"\mathbf \boldsymbol \bm \pmb \mathit \vec \symbf \mathnormal \bold \mathbfit \mbox@ \vb \vv"), ""
    ),
    **dict.fromkeys(words(r"\mathcal \mathscr \mathfrak \euscr"), "cal"),
    **dict.fromkeys(words(r"\mathbb \mathds \mathbbm"), "bb"),
}
_TEXT = set(
    words(
        r"\text \textrm \textit \textbf \mbox \textsf \emph \textup \textnormal \intertext \shortintertext \hbox \textsl"
    )
)
_UPRIGHT = set(words(r"\mathrm \operatorname \mathsf \mathtt \operatornamewithlimits \texttt \rmop \textsc"))
_TRANSPARENT = set(
    words(
        r"\underbrace \overbrace \boxed \mathclap \mathllap \mathrlap \smash \cancel \bcancel \xcancel \fbox \ensuremath \vcenter \underbracket \overbracket \framebox \colorbox@"
    )
)
_SECOND = set(words(r"\textcolor \colorbox \colorlet"))
_ARGUMENTS = {
    **dict.fromkeys(words(r"\frac \dfrac \tfrac \cfrac \nicefrac \sfrac \binom \underset \overset \stackrel"), 2),
    **dict.fromkeys(words(r"\sqrt \substack \not \xrightarrow \xleftarrow"), 1),
}
_MARKS = {"*": "*", r"\ast": "*", r"\star": "*", r"\prime": "'", r"\dagger": "†", r"\dag": "†"}
_EXTREMA = frozenset([r"\arg\max", r"\arg\min", r"\argmax", r"\argmin"])
_JOINING = frozenset(
    words(
        "and where with for if when using since as by because from so hence thus therefore then or such that given let but i.e. where:"
    )
)


@dataclass(frozen=True, slots=True)
class Symbol:
    r"""One symbol of the page: a character, a command or a construction with arguments.

    Args:
        name: ``"p"``, ``r"\log"``, ``r"\frac"``; a word in upright type is ``"@KL"``; a bracket with what is in it is ``"()"``.
        start: Where it begins in the source.
        end: Where it ends.
        arguments: The arguments of ``\frac`` and the like, and the contents of a bracket.
        sub: The subscript.
        sup: The superscript, primes included (as ``\prime``).
        style: ``"cal"``, ``"bb"``, an accent such as ``"tilde"``, or nothing.
    """

    name: str
    start: int
    end: int = 0
    arguments: tuple[tuple[Symbol, ...], ...] = ()
    sub: tuple[Symbol, ...] | None = None
    sup: tuple[Symbol, ...] | None = None
    style: str = ""

    @property
    def key(self) -> str:
        """Its spelling in the table of notation."""
        return f"{self.style}:{self.name}" if self.style in ("cal", "bb") else self.name

    def is_letter(self) -> bool:
        """Whether it may be a name."""
        return (
            (len(self.name) == 1 and self.name.isalpha())
            or self.name in GREEK
            or (self.name.startswith("@") and self.name[1:2].isalpha())
        )


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a relation: its symbols, and where it lies in the source."""

    symbols: tuple[Symbol, ...]
    start: int
    end: int


@dataclass(slots=True)
class Statement:
    """A chain ``side relation side relation side``; ``relations[i]`` stands between ``sides[i]`` and ``sides[i + 1]``."""

    sides: list[Side] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)
    continues: bool = False


def flat(symbols: Iterable[Symbol]) -> str:
    """Symbols as text, for names and messages."""
    text = ""
    for symbol in symbols:
        name = symbol.name.lstrip("@") if len(symbol.name) > 1 else symbol.name
        if symbol.arguments and symbol.name in ("()", "[]", "{}"):
            text += symbol.name[0] + flat(symbol.arguments[0]) + symbol.name[1]
        else:
            text += name + "".join("{" + flat(argument) + "}" for argument in symbol.arguments)
        text += f"_{{{flat(symbol.sub)}}}" if symbol.sub else ""
        text += f"^{{{flat(symbol.sup)}}}" if symbol.sup else ""
    return text


def split(symbols: Sequence[Symbol], *separators: str) -> list[tuple[Symbol, ...]]:
    """The pieces between separators, which are looked for at this level only."""
    parts: list[list[Symbol]] = [[]]
    for symbol in symbols:
        if symbol.name in separators:
            parts.append([])
        else:
            parts[-1].append(symbol)
    return [tuple(part) for part in parts]


class _Reader:
    """Groups tokens into symbols with arguments and scripts."""

    def __init__(self, tokens: Sequence[Token], latex: str) -> None:
        self.tokens = tokens
        self.latex = latex
        self.at = 0

    def error(self, message: str, position: int) -> DerivationSyntaxError:
        """An error at a place of the source."""
        return DerivationSyntaxError(message, self.latex, position)

    def peek(self) -> str:
        """The next token that is no space; empty at the end."""
        while self.at < len(self.tokens) and self.tokens[self.at].text == " ":
            self.at += 1
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def sequence(self, depth: int, opened: int | None) -> tuple[Symbol, ...]:
        """Symbols up to the brace that closes this level."""
        if depth > MAX_DEPTH:
            raise self.error(
                f"nested deeper than {MAX_DEPTH} levels", self.tokens[min(self.at, len(self.tokens) - 1)].start
            )
        symbols: list[Symbol] = []
        while text := self.peek():
            token = self.tokens[self.at]
            if text == "}":
                if opened is None:
                    raise self.error("a brace } closes nothing", token.start)
                self.at += 1
                return self.over(symbols)
            if text in ("_", "^", "'", r"\_", "’"):
                last = symbols.pop() if symbols else Symbol("{}", token.start, token.start, ((),))
                symbols.append(self.scripts(last, depth))
                continue
            symbols.extend(self.item(depth))
        if opened is not None:
            raise self.error("a brace { opened here is never closed", opened)
        return self.over(symbols)

    def over(self, symbols: list[Symbol]) -> tuple[Symbol, ...]:
        r"""``{a \over b}`` as the fraction that it is."""
        for at, symbol in enumerate(symbols):
            if symbol.name == r"\over":
                arguments = (tuple(symbols[:at]), tuple(symbols[at + 1 :]))
                return (Symbol(r"\frac", symbols[0].start, symbols[-1].end, arguments),)
        return tuple(symbols)

    def scripts(self, base: Symbol, depth: int) -> Symbol:
        """A symbol with the script that follows it."""
        token = self.tokens[self.at]
        self.at += 1
        if token.text in ("'", "’"):
            return replace(base, sup=(*(base.sup or ()), Symbol(r"\prime", token.start, token.end)), end=token.end)
        value = self.argument(depth, token)
        end = self.tokens[self.at - 1].end
        if token.text in ("_", r"\_"):
            if base.sub is not None:
                raise self.error("a second subscript: which of the two is meant?", token.start)
            return replace(base, sub=value, end=end)
        if base.sup is not None and any(part.name != r"\prime" for part in base.sup):
            raise self.error("a second superscript: which of the two is meant?", token.start)
        return replace(base, sup=(*(base.sup or ()), *value), end=end)

    def argument(self, depth: int, owner: Token) -> tuple[Symbol, ...]:
        """The argument of a command or a script."""
        text = self.peek()
        if text in ("", "}", "&", r"\\", "_", "^"):
            raise self.error(f"{owner.text} is followed by nothing", owner.start)
        token = self.tokens[self.at]
        if text == "{":
            self.at += 1
            return self.sequence(depth + 1, token.start)
        return self.item(depth + 1)

    def words(self, owner: Token) -> tuple[str, int]:
        """The contents of a group as plain text."""
        if not self.peek():
            return "", owner.end
        if self.peek() != "{":
            self.at += 1
            return self.tokens[self.at - 1].text if self.at <= len(self.tokens) else "", owner.end
        depth, text = 0, ""
        while self.at < len(self.tokens):
            piece = self.tokens[self.at].text
            self.at += 1
            depth += {"{": 1, "}": -1}.get(piece, 0)
            text += piece
            if depth == 0:
                break
        return text[1:-1] if depth == 0 else text[1:], self.tokens[self.at - 1].end

    def item(self, depth: int) -> tuple[Symbol, ...]:
        """What begins here: usually one symbol, none for what is dropped, several for a group."""
        token = self.tokens[self.at]
        text = token.text
        self.at += 1
        if text in _DROPPED:
            return ()
        if text == "{":
            inner = self.sequence(depth + 1, token.start)
            if flat(inner) in _EXTREMA:
                return (Symbol("@" + flat(inner).replace("\\", ""), token.start, self.tokens[self.at - 1].end),)
            return (
                inner
                if len(inner) <= 1 or self.peek() not in ("_", "^", "'")
                else (Symbol("{}", token.start, self.tokens[self.at - 1].end, (inner,)),)
            )
        if text in _DROPPED_WITH_ARGUMENT:
            self.words(token)
            return ()
        if text in _TEXT or text in _UPRIGHT:
            return self.upright(token)
        if text in (r"\begin", r"\end"):
            return self.environment(token)
        return self.construction(token, depth)

    def construction(self, token: Token, depth: int) -> tuple[Symbol, ...]:
        """A command with what belongs to it."""
        text = token.text
        if text in _STYLES or text in ACCENTS:
            return self.styled(token, depth)
        if text in _TRANSPARENT:
            inner = self.argument(depth, token)
            if "brace" in text or "bracket" in text:
                while self.peek() in ("_", "^"):
                    self.at += 1
                    self.argument(depth, token)
            return inner
        if text in _SECOND:
            self.words(token)
            return self.argument(depth, token)
        if text in _ARGUMENTS:
            return self.with_arguments(token, depth)
        if text == ":" and self.peek() == "=":
            self.at += 1
            return (Symbol(":=", token.start, self.tokens[self.at - 1].end),)
        return (Symbol(text, token.start, token.end),)

    def with_arguments(self, token: Token, depth: int) -> tuple[Symbol, ...]:
        """A fraction, a root or something stacked."""
        root: tuple[tuple[Symbol, ...], ...] = ()
        if token.text == r"\sqrt" and self.peek() == "[":
            inner: list[Symbol] = []
            self.at += 1
            while self.peek() not in ("]", ""):
                inner.extend(self.item(depth + 1))
            self.at += 1
            root = (tuple(inner),)
        arguments = tuple(self.argument(depth + 1, token) for _ in range(_ARGUMENTS[token.text]))
        end = self.tokens[self.at - 1].end
        if token.text in (r"\overset", r"\stackrel", r"\underset"):
            return self.stacked(token, arguments, end)
        if token.text == r"\not" and arguments[0] and arguments[0][0].name == "=":
            return (Symbol(r"\neq", token.start, end),)
        if token.text == r"\substack":
            return arguments[0]
        return (Symbol(token.text, token.start, end, (*arguments, *root)),)

    def stacked(self, token: Token, arguments: tuple[tuple[Symbol, ...], ...], end: int) -> tuple[Symbol, ...]:
        r"""``\underset{\theta}{\max}`` is a subscript, and what stands over a relation is a remark."""
        script, base = arguments
        if len(base) != 1:
            joined = flat(base)
            if joined.replace(" ", "") in ("argmax", "argmin", r"\arg\max", r"\arg\min"):
                base = (Symbol("@" + joined.replace("\\", ""), token.start, end),)
            else:
                return base
        relation = RELATIONS.get(base[0].name)
        if relation == "=" and flat(script) in ("def", "def.", r"\triangle", r"\Delta", r"\triangle "):
            return (Symbol(":=", token.start, end),)
        if relation or token.text != r"\underset":
            return (replace(base[0], start=token.start, end=end),)
        return (replace(base[0], sub=script, start=token.start, end=end),)

    def upright(self, token: Token) -> tuple[Symbol, ...]:
        """A word in upright type: an operator, a letter, or a remark."""
        is_text = token.text in _TEXT
        begun = self.at
        text, end = self.words(token)
        if not is_text and re.search(r"[_^]\{?\w", text.replace("\\_", "")):
            self.at = begun
            return self.argument(0, token)
        bare = (
            "".join(text.replace(r"\,", "").replace(r"\ ", " ").replace("*", "").replace("$", "").split())
            if not is_text
            else text.strip()
        )
        bare = bare.replace("\\", "").replace("~", " ").strip().rstrip(":") if bare not in ("\\",) else ""
        if token.text in (r"\intertext", r"\shortintertext"):
            return (
                Symbol(r"\\", token.start, end),
                Symbol(r"\text", token.start, end, ((), (Symbol(bare, 0),))),
                Symbol(r"\\", token.start, end),
            )
        if bare.upper() in ("ELBO", "EUBO"):
            bare = bare.upper()
        if len(bare) == 1 and bare.isalpha():
            return (Symbol("@" + bare if bare in "EHIND" and not is_text else bare, token.start, end),)
        if (
            bare
            and all(c.isalnum() or c in "_-." for c in bare)
            and bare.lower() not in _JOINING
            and not (is_text and _is_remark(bare))
        ):
            return (Symbol("@" + bare.rstrip("."), token.start, end),)
        return (Symbol(r"\text", token.start, end, ((), (Symbol(bare, 0),))),)

    def styled(self, token: Token, depth: int) -> tuple[Symbol, ...]:
        """A letter in another style, or with an accent."""
        style = _STYLES.get(token.text, ACCENTS.get(token.text, ""))
        inner = self.argument(depth, token)
        end = self.tokens[self.at - 1].end
        if style == "bb" and len(inner) > 1:
            return (Symbol("@" + flat(inner), token.start, end),)
        if len(inner) == 1 and inner[0].is_letter():
            symbol = inner[0]
            both = style or symbol.style
            return (replace(symbol, style=both, start=token.start, end=end),)
        if token.text in (r"\overline", r"\bar", r"\underline"):
            return (Symbol(token.text, token.start, end, (inner,)),)
        if style in ("tilde", "hat"):
            raise self.error(f"{token.text} over more than one letter is not read", token.start)
        return inner

    def environment(self, token: Token) -> tuple[Symbol, ...]:
        """The beginning or the end of an environment."""
        name, end = self.words(token)
        name = name.strip().rstrip("*")
        if name in ("array", "alignat", "alignedat", "IEEEeqnarray", "IEEEeqnarraybox", "tabular"):
            if token.text == r"\begin":
                if self.peek() == "[":
                    while self.peek() not in ("]", ""):
                        self.at += 1
                    self.at += 1
                self.words(token)
            return (Symbol(token.text + name, token.start, end),) if name in ("array", "tabular") else ()
        if (
            name in ("cases", "dcases", "rcases")
            or "matrix" in name
            or name in ("tikzpicture", "algorithm", "algorithmic", "CD")
        ):
            return (Symbol(token.text + name, token.start, end),)
        if token.text == r"\begin" and self.peek() == "[":
            while self.peek() not in ("]", ""):
                self.at += 1
            self.at += 1
        return ()


def _is_remark(word: str) -> bool:
    """Whether a word in text type is prose and not the name of something."""
    return (
        word.islower()
        and len(word) > 2
        and operator_named("@" + word) is None
        and word not in ("const", "old", "new", "data", "model", "prior", "cst", "constant", "opt")
    )


class _Brackets:
    """Turns brackets into symbols that hold what stands between them."""

    def __init__(self, latex: str) -> None:
        self.latex = latex

    def column(self, symbol: Symbol) -> int:
        """The column of a symbol."""
        return DerivationSyntaxError("", self.latex, symbol.start).column

    def grouped(self, symbols: Sequence[Symbol]) -> tuple[Symbol, ...]:
        """The symbols of one side with brackets closed into one symbol each."""
        stack: list[tuple[Symbol, list[Symbol]]] = []
        current: list[Symbol] = []
        for symbol in symbols:
            symbol = self.inside(symbol)
            if symbol.name in OPENING and symbol.sub is None and symbol.sup is None:
                if len(stack) > MAX_DEPTH:
                    raise DerivationSyntaxError(
                        f"brackets nested deeper than {MAX_DEPTH} levels", self.latex, symbol.start
                    )
                stack.append((symbol, current))
                current = []
            elif symbol.name in CLOSING:
                word = "parenthesis" if symbol.name == ")" else "bracket"
                if not stack:
                    raise DerivationSyntaxError(
                        f"a {word} closed at column {self.column(symbol)} was never opened", self.latex, symbol.start
                    )
                opened, outer = stack.pop()
                if OPENING[opened.name] != symbol.name:
                    message = f"{opened.name} opened at column {self.column(opened)} is closed by {symbol.name} at column {self.column(symbol)}"
                    raise DerivationSyntaxError(message, self.latex, symbol.start)
                name = {"(": "()", "[": "[]", r"\langle": "<>"}.get(
                    opened.name, "{}" if opened.name != r"\lbrack" else "[]"
                )
                outer.append(Symbol(name, opened.start, symbol.end, (tuple(current),), symbol.sub, symbol.sup))
                current = outer
            else:
                current.append(symbol)
        if stack:
            raise self.unclosed(symbols, stack)
        return tuple(current)

    def inside(self, symbol: Symbol) -> Symbol:
        """A symbol with the brackets in its arguments and scripts closed."""
        if not (symbol.arguments or symbol.sub or symbol.sup):
            return symbol
        return replace(
            symbol,
            arguments=tuple(self.grouped(argument) for argument in symbol.arguments)
            if symbol.name != r"\text"
            else symbol.arguments,
            sub=self.grouped(symbol.sub) if symbol.sub else symbol.sub,
            sup=self.grouped(symbol.sup) if symbol.sup else symbol.sup,
        )

    def unclosed(self, symbols: Sequence[Symbol], stack: list[tuple[Symbol, list[Symbol]]]) -> DerivationSyntaxError:
        """The error for a bracket that never closes; it names the density that was left open in a divergence."""
        opened, hint, mended = stack[-1][0], "", None
        for at, symbol in enumerate(symbols):
            bar = _bar_behind(symbols, at) if symbol.name == "(" and at and symbols[at - 1].is_letter() else None
            if bar is not None and operator_named(symbols[at - 1].key) is None:
                opened = symbol
                hint = rf": close {flat(symbols[at - 1 : at])}({flat(symbols[at + 1 : bar])}) before \Vert"
                mended = (*symbols[:bar], Symbol(")", symbols[bar].start, symbols[bar].start), *symbols[bar:])
                break
        word = "parenthesis" if opened.name == "(" else "bracket"
        error = DerivationSyntaxError(
            f"a {word} opened at column {self.column(opened)} is never closed{hint}", self.latex, opened.start
        )
        error.mended = mended
        return error


def _bar_behind(symbols: Sequence[Symbol], opening: int) -> int | None:
    """The double bar that stands in a bracket of a density which should have closed before it."""
    for at in range(opening + 1, min(opening + 8, len(symbols))):
        double = symbols[at].name in DOUBLE_BARS or (
            symbols[at].name in BARS and at + 1 < len(symbols) and symbols[at + 1].name in BARS
        )
        if double and at > opening + 1:
            return at
        if symbols[at].name in CLOSING or symbols[at].name in OPENING:
            return None
    return None


def _typedwords(symbols: tuple[Symbol, ...], notes: list[str]) -> tuple[Symbol, ...]:
    """Operators typed as italic letters, put together; the reader is told which command was meant."""
    output: list[Symbol] = []
    at = 0
    while at < len(symbols):
        word = next((w for w in TYPED if _spells(symbols, at, w)), "")
        if word == "Pr" or not word:
            if word == "Pr" and symbols[at + 2 : at + 3] and symbols[at + 2].name in ("(", "["):
                output.append(Symbol("@Pr", symbols[at].start, symbols[at + 1].end))
                at += 2
                continue
            symbol = symbols[at]
            inner = (
                tuple(_typedwords(a, notes) for a in symbol.arguments) if symbol.name != r"\text" else symbol.arguments
            )
            output.append(replace(symbol, arguments=inner) if inner != symbol.arguments else symbol)
            at += 1
            continue
        last = symbols[at + len(word) - 1]
        output.append(Symbol("@" + word, symbols[at].start, last.end, (), last.sub, last.sup))
        if word not in ("KL", "const"):
            note = rf"did you mean \{word.lower()}? The letters {word} are read so"
            if note not in notes:
                notes.append(note)
        at += len(word)
    return tuple(output)


def _spells(symbols: Sequence[Symbol], at: int, word: str) -> bool:
    """Whether a word is typed here letter by letter, all but its last letter bare."""
    piece = symbols[at : at + len(word)]
    if len(piece) < len(word) or any(s.name != c or s.style for s, c in zip(piece, word, strict=True)):
        return False
    touching = all(b.start - a.end <= 1 for a, b in itertools.pairwise(piece))
    return touching and all(s.sub is None and s.sup is None for s in piece[:-1])


_BREAKS = frozenset([r"\\", r"\cr", r"\newline", r"\\*", r"\tabularnewline"])
_WIDE = frozenset([r"\quad", r"\qquad"])


def _rows(symbols: Sequence[Symbol]) -> list[list[Symbol]]:
    rows: list[list[Symbol]] = [[]]
    depth = 0
    for symbol in symbols:
        depth += symbol.name.startswith(r"\begin") - symbol.name.startswith(r"\end")
        if symbol.name in _BREAKS and depth <= 0:
            rows.append([])
        else:
            rows[-1].append(symbol)
    return rows


def _depths(row: Sequence[Symbol]) -> list[int]:
    """How many brackets are open in front of each symbol."""
    depth, found = 0, []
    for symbol in row:
        if symbol.name in CLOSING or symbol.name.startswith(r"\end"):
            depth = max(0, depth - 1)
        found.append(depth)
        if symbol.name in OPENING or symbol.name.startswith(r"\begin"):
            depth += 1
    return found


def _closed_depths(row: Sequence[Symbol]) -> list[int]:
    """As :func:`_depths`, but a bracket that never closes opens nothing."""
    stack: list[int] = []
    for at, symbol in enumerate(row):
        if symbol.name in OPENING:
            stack.append(at)
        elif symbol.name in CLOSING and stack:
            stack.pop()
    return [depth - sum(opening < at for opening in stack) for at, depth in enumerate(_depths(row))]


def _relates(symbols: Sequence[Symbol]) -> bool:
    depths = _depths(symbols)
    return any(
        depth == 0 and (s.name in RELATIONS or s.name in IMPLIES) for s, depth in zip(symbols, depths, strict=True)
    )


def _pieces(row: Sequence[Symbol], depth: int) -> list[list[Symbol]]:
    """The statements of a row: cut at implications, words between, wide spaces, columns, and commas before a new relation."""
    row = _without_quantifier(row)
    pieces: list[list[Symbol]] = [[]]
    depths = [d + depth for d in _depths(row)]
    for at, symbol in enumerate(row):
        if depths[at] == 0 and (_is_aside(row, at, pieces[-1]) or (len(pieces) > 1 and _says_when(symbol))):
            break
        if depths[at] == 0 and _cuts(row, at, pieces[-1]):
            pieces.append([])
            continue
        if symbol.name not in _WIDE and symbol.name != "&" and symbol.name != r"\text":
            pieces[-1].append(symbol)
    return pieces


def _without_quantifier(row: Sequence[Symbol]) -> Sequence[Symbol]:
    """The row without a ``for all`` in front of its claim."""
    first = next((at for at, s in enumerate(row) if s.name not in _WIDE and s.name != "&"), 0)
    if not row or row[first].name != r"\forall":
        return row
    depths = _depths(row)
    ends = [at for at, s in enumerate(row) if depths[at] == 0 and s.name in (*_WIDE, *PUNCTUATION)]
    claim = next((at for at, s in enumerate(row) if RELATIONS.get(s.name, "in") != "in"), len(row))
    end = max((at for at in ends if at < claim), default=None)
    return row if end is None else row[end + 1 :]


def _cuts(row: Sequence[Symbol], at: int, before: list[Symbol]) -> bool:
    """Whether a statement ends at this symbol."""
    symbol = row[at]
    rest = row[at + 1 :]
    if symbol.name in IMPLIES:
        return True
    if symbol.name == r"\text":
        return bool(before) and _relates(before) and bool(rest) and _relates(rest) and not _opens_with_relation(rest)
    if symbol.name == "." and rest and rest[0].name.isdigit() and rest[0].start == symbol.end:
        return False
    if symbol.name in _WIDE or symbol.name in PUNCTUATION:
        return _relates(before) and _begins_statement(rest)
    if symbol.name == "&":
        return _relates(before) and _begins_statement(rest) and not _opens_with_relation(rest) and _complete(before)
    return False


_REASONS = ("because", "since", "by ", "using", "from", "as ", "(as", "(by", "(since", "(because", "; ", "for ", "due ")
_WHEN = ("with equality", "equality", "iff", "if and only", "when")


def _says_when(symbol: Symbol) -> bool:
    """Whether words begin to say when a relation is an equality."""
    return symbol.name == r"\text" and symbol.arguments[1][0].name.lower().startswith(_WHEN)


def _is_aside(row: Sequence[Symbol], at: int, before: list[Symbol]) -> bool:
    """Whether prose begins here that belongs to no formula: a reason, a column of remarks, or ``for every x``."""
    before = [s for s in before if s.name not in _WIDE]
    if row[at].name == "&" and at + 1 < len(row) and row[at + 1].name == r"\text":
        words = row[at + 1].arguments[1][0].name.lower()
        return _relates(before) and bool(before) and not words.startswith(("where", "and", "with"))
    if row[at].name != r"\text" or not before or not _relates(before):
        return False
    words = row[at].arguments[1][0].name.lower().lstrip("(")
    if words.startswith(_REASONS) or (at and row[at - 1].name == "&"):
        return True
    apart = before[-1].name in PUNCTUATION or (at > 0 and row[at - 1].name in _WIDE)
    return apart and not _relates(row[at + 1 :])


def _complete(before: Sequence[Symbol]) -> bool:
    return bool(before) and before[-1].name not in RELATIONS and before[-1].name not in ("+", "-")


def _begins_statement(rest: Sequence[Symbol]) -> bool:
    trimmed = [s for s in rest if s.name not in _WIDE and s.name not in ("&", r"\text") and s.name not in PUNCTUATION]
    if not trimmed or trimmed[0].name in ("+", "-") or trimmed[0].name in RELATIONS:
        return False
    if trimmed[0].name == r"\forall":
        return True
    return _relates(rest)


def _opens_with_relation(symbols: Sequence[Symbol]) -> bool:
    first = next((s for s in symbols if s.name not in _WIDE and s.name not in ("&", r"\text")), None)
    return first is not None and first.name in RELATIONS


def _trimmed(symbols: Sequence[Symbol]) -> tuple[Symbol, ...]:
    """Without punctuation at either end, and without what stands behind a 'for all'."""
    found = list(symbols)
    for at, symbol in enumerate(found):
        if symbol.name in (r"\forall", r"\s.t."):
            found = found[:at]
            break
    while found and (found[-1].name in PUNCTUATION or found[-1].name in (r"\text", "&", *_WIDE)):
        found.pop()
    while found and (found[0].name in PUNCTUATION or found[0].name in (r"\text", "&", *_WIDE)):
        found.pop(0)
    return tuple(found)


class _Statements:
    """Puts rows together to chains."""

    def __init__(self, latex: str, signs_begin: bool) -> None:
        self.latex = latex
        self.signs_begin = signs_begin
        self.found: list[Statement] = []
        self.open: list[Symbol] = []
        self.depth = 0

    def row(self, row: list[Symbol]) -> None:
        """Takes one row: it continues the last side, the last chain, or begins a statement."""
        if any(s.name == r"\text" for s in row) and not any(s.name not in (r"\text", "&", *_WIDE) for s in row):
            return
        for number, piece in enumerate(_pieces(row, self.depth)):
            self.piece(piece, first=number == 0)

    def piece(self, piece: list[Symbol], *, first: bool) -> None:
        """Takes one piece of a row."""
        visible = [s for s in piece if s.name not in ("&", *_WIDE)]
        if not visible:
            return
        lead = visible[0].name
        joins = first and bool(self.found) and (
            self.depth > 0
            or lead in RELATIONS
            or self.waiting()
            or (lead in ("+", "-", r"\times", r"\cdot", r"\pm") and not (self.signs_begin and _relates(visible)))
            or (not _relates(visible) and not self.ended() and lead in ("(", "[", r"\{", ")", "]", r"\}"))
        )  # fmt: skip
        if joins:
            self.open.extend(visible)
        else:
            self.close()
            self.open = visible
            self.found.append(Statement())
        self.depth = max(0, sum((s.name in OPENING) - (s.name in CLOSING) for s in self.open))

    def waiting(self) -> bool:
        """Whether the last row ended with something that needs more."""
        return bool(self.open) and (
            self.open[-1].name in RELATIONS or self.open[-1].name in ("+", "-", r"\cdot", r"\times", "/")
        )

    def ended(self) -> bool:
        """Whether the last row ended with punctuation."""
        return bool(self.open) and self.open[-1].name in (".", ",", ";")

    def close(self) -> None:
        """Cuts the symbols of the open statement at its relations."""
        if not self.found or not self.open:
            return
        statement = self.found[-1]
        depths = _closed_depths(self.open)
        current: list[Symbol] = []
        for symbol, depth in zip(self.open, depths, strict=True):
            relation = RELATIONS.get(symbol.name) if depth == 0 and symbol.name != ":" else None
            if relation and not current and statement.relations[-1:] == [relation]:
                continue
            if relation:
                self.side(statement, current, symbol.start)
                statement.relations.append(relation)
                current = []
            else:
                current.append(symbol)
        self.side(statement, current, self.open[-1].end)
        self.open = []

    def side(self, statement: Statement, symbols: list[Symbol], position: int) -> None:
        """Adds one side to a statement."""
        kept = _trimmed(symbols)
        start = kept[0].start if kept else position
        end = max((s.end for s in kept), default=position)
        statement.sides.append(Side(kept, start, end))


def symbols_of(tokens: Sequence[Token], latex: str) -> tuple[Symbol, ...]:
    """The symbols of a display, one level deep: brackets are closed later, side by side."""
    return _Reader(tokens, latex).sequence(0, None)


def statements_of(
    tokens: Sequence[Token], latex: str, notes: list[str], *, signs_begin: bool = True
) -> list[Statement]:
    """Cuts a display into statements.

    Args:
        tokens: Its tokens, macros expanded.
        latex: Its source, for messages.
        notes: Takes what the reader should know of the spelling.
        signs_begin: Whether a row that begins with a sign and has a relation of its own is a new statement.

    Raises:
        DerivationSyntaxError: If braces do not match.
    """
    symbols = _typedwords(symbols_of(tokens, latex), notes)
    if (
        len(symbols) > 2
        and symbols[0].name.endswith(("cases", "array"))
        and symbols[-1].name == r"\end" + symbols[0].name[6:]
    ):
        symbols = symbols[1:-1]
    reader = _Statements(latex, signs_begin)
    for row in _rows(symbols):
        reader.row(row)
    reader.close()
    found = []
    for statement in reader.found:
        if not any(side.symbols for side in statement.sides):
            continue
        statement.continues = bool(statement.relations) and not statement.sides[0].symbols
        found.append(statement)
    return found


def grouped(side: Side, latex: str) -> tuple[Symbol, ...]:
    """The symbols of a side with its brackets closed.

    Raises:
        DerivationSyntaxError: If a bracket does not close, or closes nothing.
    """
    return _Brackets(latex).grouped(side.symbols)
