# ruff: noqa: E501 (rows of tables are easier to read in one line)
r"""From tokens to symbols with arguments and scripts: what only moves ink about is dropped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from proofreader.errors import DerivationSyntaxError
from proofreader.notation import (
    ACCENTS,
    ARGUMENTS,
    DROPPED,
    DROPPED_WITH_ARGUMENT,
    EXTREMA,
    JOINING,
    RELATIONS,
    SECOND,
    STYLES,
    TEXT,
    TRANSPARENT,
    UPRIGHT,
    operator_named,
    words,
)
from proofreader.source import Token

__all__ = ["Symbol", "flat", "split", "symbols_of"]


MAX_DEPTH = 40

ANGLES = {"<": r"\langle", ">": r"\rangle"}
OPENING = {"(": ")", "[": "]", r"\{": r"\}", r"\lbrace": r"\rbrace", r"\lbrack": r"\rbrack", r"\langle": r"\rangle"}

CLOSING = frozenset(OPENING.values())

BARS = frozenset(["|", r"\mid", r"\vert", r"\lvert", r"\rvert", "∣", "｜"])

DOUBLE_BARS = frozenset([r"\|", r"\Vert", r"\parallel", r"\lVert", r"\rVert", "∥", "‖", r"\divides"])

DOTS = frozenset([r"\dots", r"\ldots", r"\cdots", r"\dotsc", r"\dotsb", "…", r"\hdots", r"\vdots"])

PUNCTUATION = frozenset(",;.，。；、．:")

BREAKS = frozenset([r"\\", r"\cr", r"\newline", r"\\*", r"\tabularnewline"])
# How far below the next row stands, as in ``\\[5pt]``.
_LENGTH = re.compile(
    r"\*?\s*\[\s*[+-]?\s*(?:\d*[.,]?\d+\s*(?:pt|em|ex|mm|cm|in|px|mu|pc|bp)?|\d*\.?\d*\s*\\[a-z]+)\s*\]"
)

GREEK = frozenset(
    "\\" + name
    for name in words(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi "
        "rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma "
        "Upsilon Phi Psi Omega ell"
    )
)
# From here on Unicode has Chinese characters and Japanese and Korean syllables.
FIRST_OF_PROSE = "\u2e80"


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
        """Whether it may be a name; characters that are words or syllables are prose."""
        return (
            (len(self.name) == 1 and self.name.isalpha() and self.name < FIRST_OF_PROSE)
            or self.name in GREEK
            or (self.name.startswith("@") and self.name[1:2].isalpha())
        )


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
        if text in DROPPED:
            angle = ANGLES.get(self.peek(), "") if text[1:4] in ("lef", "rig", "big", "Big") else ""
            self.at += bool(angle)
            return (Symbol(angle, self.tokens[self.at - 1].start, self.tokens[self.at - 1].end),) if angle else ()
        if text == "{":
            inner = self.sequence(depth + 1, token.start)
            if flat(inner) in EXTREMA:
                return (Symbol("@" + flat(inner).replace("\\", ""), token.start, self.tokens[self.at - 1].end),)
            return (
                inner
                if len(inner) <= 1 or self.peek() not in ("_", "^", "'")
                else (Symbol("{}", token.start, self.tokens[self.at - 1].end, (inner,)),)
            )
        if text in DROPPED_WITH_ARGUMENT:
            self.words(token)
            return ()
        if text in TEXT or text in UPRIGHT:
            return self.upright(token)
        if text in (r"\begin", r"\end"):
            return self.environment(token)
        if text in BREAKS and (length := _LENGTH.match(self.latex, token.end)) is not None:
            while self.at < len(self.tokens) and self.tokens[self.at].start < length.end():
                self.at += 1
        return self.construction(token, depth)

    def construction(self, token: Token, depth: int) -> tuple[Symbol, ...]:
        """A command with what belongs to it."""
        text = token.text
        if text in STYLES or text in ACCENTS:
            return self.styled(token, depth)
        if text in TRANSPARENT:
            inner = self.argument(depth, token)
            if "brace" in text or "bracket" in text:
                while self.peek() in ("_", "^"):
                    self.at += 1
                    self.argument(depth, token)
            return inner
        if text in SECOND:
            self.words(token)
            return self.argument(depth, token)
        if text in ARGUMENTS:
            return self.with_arguments(token, depth)
        if text == "." and [t.text for t in self.tokens[self.at : self.at + 2]] == [".", "."]:
            self.at += 2
            return (Symbol(r"\dots", token.start, self.tokens[self.at - 1].end),)
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
            self.at = min(self.at + 1, len(self.tokens))
            root = (tuple(inner),)
        arguments = tuple(self.argument(depth + 1, token) for _ in range(ARGUMENTS[token.text]))
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
        is_text = token.text in TEXT
        begun = self.at
        text, end = self.words(token)
        if not is_text and re.search(r"[_^]\{?\w|\\(?:math|bold|bm)", text.replace("\\_", "")):
            self.at = begun
            inner = self.argument(0, token)
            return (replace(inner[0], start=token.start), *inner[1:]) if inner else ()
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
        if is_text and text.strip().endswith(":"):
            return (Symbol(r"\text", token.start, end, ((), (Symbol(bare, 0),))),)
        if len(bare) == 1 and bare.isalpha():
            return (Symbol("@" + bare if bare in "EHIND" and not is_text else bare, token.start, end),)
        if (
            bare
            and all(c.isalnum() or c in "_-." for c in bare)
            and bare.lower() not in JOINING
            and not (is_text and _is_remark(bare))
        ):
            return (Symbol("@" + bare.rstrip("."), token.start, end),)
        return (Symbol(r"\text", token.start, end, ((), (Symbol(bare, 0),))),)

    def styled(self, token: Token, depth: int) -> tuple[Symbol, ...]:
        """A letter in another style, or with an accent."""
        style = STYLES.get(token.text, ACCENTS.get(token.text, ""))
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
                    self.at = min(self.at + 1, len(self.tokens))
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
            self.at = min(self.at + 1, len(self.tokens))
        return ()


def _is_remark(word: str) -> bool:
    """Whether a word in text type is prose and not the name of something."""
    return (
        word.islower()
        and len(word) > 2
        and operator_named("@" + word) is None
        and word not in ("const", "old", "new", "data", "model", "prior", "cst", "constant", "opt")
    )


def symbols_of(tokens: Sequence[Token], latex: str) -> tuple[Symbol, ...]:
    """The symbols of a display, one level deep: brackets are closed later, side by side."""
    return _Reader(tokens, latex).sequence(0, None)
