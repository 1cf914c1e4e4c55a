r"""From the symbols of one side to its syntax tree.

A first pass turns symbols into tokens that carry their meaning: ``p_\theta(x \mid z)`` is one token, so is
``\mathbb{E}_{z \sim q(z)}`` and so is a fraction. A small LALR grammar, read by lark, then finds sums, terms
and brackets. How far an operator without brackets reaches is settled last, by the rules of **precedence** in
the package's documentation; where readers differ, the builder takes the other reading when it is asked to, and
says that there was one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

from lvmlib.derivation.reader import DerivationSyntaxError, Side, Symbol
from lvmlib.derivation.syntax import (
    Call,
    Density,
    Divergence,
    Entropy,
    Expectation,
    Exponential,
    Expression,
    Extremum,
    FreeConstant,
    Gradient,
    Index,
    IndexedSum,
    Information,
    Integral,
    Logarithm,
    Measure,
    Negative,
    Number,
    Power,
    Product,
    Quotient,
    Span,
    Sum,
    Variable,
    Variance,
)

__all__ = ["PARAMETERS", "READINGS", "ParsedSide", "parse_side"]

GRAMMAR = r"""
sum: sign? term (sign term)*
!sign: PLUS | MINUS
term: item+
?item: TIMES | SLASH | LOGARITHM | OPERATOR | factor
factor: atom POWER?
?atom: ATOM | bracket | integral | pair | function
bracket: OPEN sum CLOSE
integral: INTEGRAL sum DIFFERENTIAL
pair: PAIR sum SEPARATOR sum CLOSE
function: FUNCTION sum CLOSE
%declare PLUS MINUS TIMES SLASH LOGARITHM OPERATOR POWER ATOM OPEN CLOSE INTEGRAL DIFFERENTIAL PAIR SEPARATOR FUNCTION
"""

READINGS = {
    "log": "how far a logarithm without brackets reaches",
    "scope": "whether an expectation, sum or integral without brackets reaches past + and -",
    "power": "whether a power belongs to the bracket or to the function in front of it",
    "gradient": "how far a gradient without brackets reaches",
}

PARAMETERS = frozenset(
    ["theta", "phi", "varphi", "psi", "lambda", "eta", "vartheta", "omega", "xi", "nu", "Theta", "Phi", "Psi", "Lambda"]
)
_DENSITY_LETTERS = frozenset(["p", "q", "r", "pi", "P", "Q", "rho"])
_GREEK = frozenset(
    [f"\\{name}" for name in PARAMETERS]
    + [rf"\{name}" for name in ("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "kappa", "mu")]
    + [rf"\{name}" for name in ("pi", "rho", "varrho", "sigma", "tau", "upsilon", "chi", "Gamma", "Omega", "Sigma")]
    + [r"\ell", r"\Delta", r"\Pi", r"\Xi", r"\iota"]
)
_BARS = frozenset(["|", r"\mid", r"\vert", r"\given", r"\lvert", r"\rvert", "∣"])
_DOUBLE_BARS = frozenset([r"\|", r"\Vert", r"\parallel", r"\lVert", r"\rVert", "∥", r"\divides"])
_OPENING = {"(": ")", "[": "]", r"\{": r"\}", r"\lbrace": r"\rbrace", r"\lbrack": r"\rbrack", r"\langle": r"\rangle"}
_CLOSING = frozenset(_OPENING.values())
_COMPARING = frozenset(["<", ">", "=", r"\lt", r"\gt", r"\le", r"\leq", r"\ge", r"\geq", r"\ne", r"\neq"])
_DOTS = frozenset([r"\dots", r"\ldots", r"\cdots", r"\dotsc", "…"])
_MAX_NESTING = 60
_FUNCTION_LETTERS = frozenset(["f", "g", "h", "F", "G", "psi", "varphi", r"\psi", r"\varphi"])
_UPPER = {"k": "K", "n": "N", "t": "T", "d": "D", "m": "M", "l": "L", "s": "S", "j": "J"}

Build = Callable[["_Builder"], Expression]


@dataclass(frozen=True, slots=True)
class _Payload:
    """What a token means. Lark turns token values into text, so this has a short one."""

    kind: str
    symbol: Symbol
    build: Build | None = None
    wrap: Callable[..., Expression] | None = None
    fraction: bool = False
    round: bool = False

    def __str__(self) -> str:
        return self.kind


@dataclass(slots=True)
class ParsedSide:
    """One side, read as far as the grammar goes.

    ``build(readings)`` gives its tree: ``readings`` names the ambiguities to take the other way, and what is
    returned with the tree names those that the side contains.
    """

    side: Side
    tree: Any
    notes: list[str]
    latex: str

    def build(self, readings: frozenset[str] = frozenset()) -> tuple[Expression, frozenset[str]]:
        builder = _Builder(readings, self.latex)
        expression = builder.sum(self.tree)
        return expression, frozenset(builder.seen)


@lru_cache(maxsize=1)
def _parser() -> Any:
    try:
        import lark
    except ImportError as missing:
        raise ImportError("reading derivations needs lark: pip install 'lark>=1.2' (or 'lvmlib[book]')") from missing

    class _NoLexer(lark.lexer.Lexer):  # tokens are fed one by one
        def __init__(self, configuration: object) -> None:
            pass

        def lex(self, *_: object) -> Any:
            return iter(())

    return lark.Lark(GRAMMAR, parser="lalr", lexer=_NoLexer, start="sum", maybe_placeholders=False)


_Item = tuple[str, _Payload]


def letter_name(symbol: Symbol) -> str:
    r"""The name of a letter: ``z``, ``theta``, ``cal:L``, ``tilde:q``, or ``@ELBO`` for a word."""
    name = symbol.name[1:] if symbol.name.startswith("\\") else symbol.name
    if symbol.style in ("cal", "tilde", "hat", "bar", "dot"):
        return f"{symbol.style}:{name}"
    return name


def _is_letter(symbol: Symbol) -> bool:
    return (len(symbol.name) == 1 and symbol.name.isalpha()) or symbol.name in _GREEK


def _flat(symbols: Iterable[Symbol]) -> str:
    text = ""
    for symbol in symbols:
        text += symbol.name.lstrip("@")
        text += "".join("{" + _flat(argument) + "}" for argument in symbol.arguments)
        text += f"_{{{_flat(symbol.sub)}}}" if symbol.sub else ""
        text += f"^{{{_flat(symbol.sup)}}}" if symbol.sup else ""
    return text


def _split(symbols: Sequence[Symbol], *separators: str) -> list[tuple[Symbol, ...]]:
    parts: list[list[Symbol]] = [[]]
    for symbol in symbols:
        if symbol.name in separators:
            parts.append([])
        else:
            parts[-1].append(symbol)
    return [tuple(part) for part in parts]


def _index(symbols: Sequence[Symbol]) -> Index | Span | None:
    """One index: a number, a letter, a letter plus or minus a number, or a range."""
    names = [symbol.name for symbol in symbols]
    if any(s.sub is not None or s.sup is not None or s.arguments for s in symbols):
        return None
    if ":" in names:
        at = names.index(":")
        first, last = _index(symbols[:at]), _index(symbols[at + 1 :])
        return Span(first, last) if isinstance(first, Index) and isinstance(last, Index) else None
    if names and names[0] == "<" and len(names) == 2:
        last = _index(symbols[1:])
        return Span(Index("", 1), Index(last.letter, last.offset - 1)) if isinstance(last, Index) else None
    if names and all(name.isdigit() for name in names) and len(names) <= 3:
        return Index("", int("".join(names)))
    if names and len(names[0]) == 1 and names[0].isalpha() and symbols[0].style in ("", "upright"):
        if len(names) == 1:
            return Index(names[0])
        if names[1] in "+-" and len(names) <= 4 and names[2:] and all(name.isdigit() for name in names[2:]):
            return Index(names[0], int("".join(names[1:])))
    return None


def _indices(symbols: Sequence[Symbol]) -> tuple[Index | Span, ...] | None:
    parts = _split(symbols, ",")
    if len(parts) == 1 and len(symbols) == 2 and all(len(s.name) == 1 and s.name.isalpha() for s in symbols):
        parts = [(symbols[0],), (symbols[1],)]
    found = [_index(part) for part in parts]
    return None if any(part is None for part in found) else tuple(part for part in found if part is not None)


def _parenthesised(symbols: Sequence[Symbol]) -> tuple[Symbol, ...] | None:
    if len(symbols) >= 3 and symbols[0].name == "(" and symbols[-1].name == ")":
        return tuple(symbols[1:-1])
    return None


def _variable(symbols: Sequence[Symbol], *, argument: bool = True) -> Variable | None:
    """A variable as it stands in an argument list; None if it is something else."""
    if len(symbols) != 1:
        return None
    symbol = symbols[0]
    if symbol.name in (r"\cdot", r"\bullet") and symbol.sub is None and symbol.sup is None:
        return Variable("")
    if not _is_letter(symbol) or symbol.style == "bb":
        return None
    mark = f"^{{{symbol.style}}}" if symbol.style in ("tilde", "hat", "bar") else ""
    name = letter_name(symbol).split(":")[-1]
    index: tuple[Index | Span, ...] = ()
    if symbol.sub is not None:
        found = _indices(symbol.sub)
        if found is None:
            mark += f"_{{{_flat(symbol.sub)}}}"
        else:
            index = found
    if symbol.sup is not None:
        inner = _parenthesised(symbol.sup)
        found = _indices(inner) if inner is not None else None
        if found is not None:
            index = (*index, *found)
        elif all(part.name == r"\prime" for part in symbol.sup):
            mark += "'" * len(symbol.sup)
        elif argument or _flat(symbol.sup) in ("*", r"\ast", r"\star"):
            plain = _indices(symbol.sup) if argument else None
            index, mark = ((*index, *plain), mark) if plain is not None else (index, mark + f"^{{{_flat(symbol.sup)}}}")
    return Variable(name, index, mark)


def _variable_list(symbols: Sequence[Symbol]) -> tuple[Variable, ...] | None:
    r"""Variables with commas between them; ``z_1, \dots, z_K`` is a range."""
    if not symbols:
        return None
    variables: list[Variable] = []
    dots = False
    for part in _split(symbols, ","):
        if len(part) == 1 and part[0].name in _DOTS:
            dots = True
            continue
        variable = _variable(part)
        if variable is None:
            return None
        if dots and variables:
            first = variables.pop()
            ends = (*first.index[-1:], *variable.index[-1:])
            if first.name != variable.name or len(ends) != 2 or not all(isinstance(end, Index) for end in ends):
                return None
            if variables and variables[-1].name == first.name and variables[-1].index:
                ends = (variables.pop().index[-1], ends[1])
            variable = Variable(first.name, (*first.index[:-1], Span(ends[0], ends[1])), first.mark)  # type: ignore[arg-type]
            dots = False
        variables.append(variable)
    return None if dots else tuple(variables)


def _names_of_measure(symbols: Sequence[Symbol]) -> tuple[Variable, ...] | None:
    if len(symbols) > 2 and symbols[0].name in (r"\{", "(") and symbols[-1].name in (r"\}", ")"):
        symbols = symbols[1:-1]
    return _variable_list(symbols)


class _Lexer:
    """Turns symbols into tokens that carry their meaning."""

    def __init__(self, latex: str, notes: list[str]) -> None:
        self.latex = latex
        self.notes = notes

    def error(self, message: str, symbol: Symbol | None) -> DerivationSyntaxError:
        return DerivationSyntaxError(message, self.latex, symbol.position if symbol is not None else 0)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def column(self, symbol: Symbol) -> int:
        return DerivationSyntaxError("", self.latex, symbol.position).column

    def brackets(self, symbols: Sequence[Symbol]) -> dict[int, int]:
        """Where each opening bracket closes."""
        stack: list[int] = []
        closes: dict[int, int] = {}
        for at, symbol in enumerate(symbols):
            if symbol.name in _OPENING:
                stack.append(at)
            elif symbol.name in _CLOSING:
                word = "parenthesis" if symbol.name == ")" else "bracket"
                if not stack:
                    raise self.error(f"a {word} closed at column {self.column(symbol)} was never opened", symbol)
                opening = stack.pop()
                if _OPENING[symbols[opening].name] != symbol.name:
                    opened = symbols[opening]
                    raise self.error(
                        f"{opened.name} opened at column {self.column(opened)} is closed by {symbol.name}"
                        f" at column {self.column(symbol)}",
                        symbol,
                    )
                closes[opening] = at
        if stack:
            slip = self.unclosed_density(symbols, closes)
            at = stack[-1] if slip is None else slip[0]
            word = "parenthesis" if symbols[at].name == "(" else "bracket"
            message = f"a {word} opened at column {self.column(symbols[at])} is never closed"
            if slip is None:
                raise self.error(message, symbols[at])
            bar = symbols[slip[1]]
            name = letter_name(symbols[at - 1])
            error = self.error(rf"{message}: close {name}({symbols[at + 1].name}) before \Vert", symbols[at])
            closing = Symbol(")", bar.position, end=bar.position)
            error.mended = (*symbols[: slip[1]], closing, *symbols[slip[1] :])
            raise error
        return closes

    def unclosed_density(self, symbols: Sequence[Symbol], closes: dict[int, int]) -> tuple[int, int] | None:
        r"""The bracket of ``KL(q(z \Vert p(z)``, a density whose arguments hold the double bar, and that bar."""
        spans = {**closes}
        for at, symbol in enumerate(symbols):
            if symbol.name == "(" and at and letter_name(symbols[at - 1]) in _DENSITY_LETTERS and at + 1 < len(symbols):
                depth = 0
                for inside in range(at + 1, spans.get(at, len(symbols))):
                    name = symbols[inside].name
                    depth += (name in _OPENING) - (name in _CLOSING)
                    double = name in _DOUBLE_BARS or (
                        name in _BARS and inside + 1 < len(symbols) and symbols[inside + 1].name in _BARS
                    )
                    if depth < 0:
                        break
                    if depth == 0 and double:
                        return at, inside
        return None

    def parse(self, symbols: Sequence[Symbol], where: Symbol | None = None) -> Any:
        """The lark tree of a run of symbols."""
        if not symbols:
            raise self.error("something is missing here", where)
        return self.tree(self.tokens(symbols), symbols)

    def tree(self, tokens: list[_Item], symbols: Sequence[Symbol]) -> Any:
        parser = _parser().parse_interactive()
        import lark

        for kind, payload in tokens:
            try:
                parser.feed_token(lark.Token(kind, payload))
            except lark.exceptions.UnexpectedInput:
                raise self.error(_misplaced(kind, payload), payload.symbol) from None
        try:
            return parser.feed_eof()
        except lark.exceptions.UnexpectedInput:
            raise self.error("this ends where something should follow", symbols[-1]) from None

    def sub_build(self, symbols: Sequence[Symbol], where: Symbol) -> Build:
        tree = self.parse(symbols, where)
        return lambda builder: builder.nested(tree)

    def power(self, symbol: Symbol) -> list[_Item]:
        """The token of a superscript that is an exponent."""
        if symbol.sup is None:
            return []
        if any(part.name == r"\prime" for part in symbol.sup):
            raise self.error("a prime here has no meaning that can be read", symbol)
        return [("POWER", _Payload("a power", symbol, self.sub_build(symbol.sup, symbol)))]

    def tokens(self, symbols: Sequence[Symbol]) -> list[_Item]:
        closes = self.brackets(symbols)
        pairs: dict[int, str] = {}
        closers: dict[int, Symbol] = {}
        integrals = self.match_differentials(symbols)
        output: list[_Item] = []
        at = 0
        while at < len(symbols):
            symbol = symbols[at]
            name = symbol.name
            if name in (r"\quad", r"\qquad", "&"):
                at += 1
            elif name.isdigit() or (name == "." and at + 1 < len(symbols) and symbols[at + 1].name.isdigit()):
                at = self.number(symbols, at, output)
            elif at in pairs:
                output.append(("SEPARATOR", _Payload(r"\Vert", symbol)))
                at += 2 if name in _BARS and symbols[at + 1].name in _BARS else 1
            elif name == r"\langle":
                closing = symbols[closes[at]]
                wrap = self.expectation(closing.sub, closing, symbols)
                output.append(("FUNCTION", _Payload("an average", symbol, wrap=wrap)))
                at += 1
            elif name in _OPENING:
                output.append(("OPEN", _Payload("a bracket", symbol, round=name == "(")))
                at += 1
            elif name in _CLOSING:
                closers[at] = symbol
                if symbol.sub is not None and name != r"\rangle":
                    raise self.error("a subscript to a bracket has no meaning that can be read", symbol)
                output.append(("CLOSE", _Payload("a bracket", symbol)))
                output.extend(self.power(symbol))
                at += 1
            elif at in integrals:
                at = self.integral(symbols, at, integrals, output)
            elif name in ("+", "-", "−"):
                output.append(("PLUS" if name == "+" else "MINUS", _Payload(name, symbol)))
                at += 1
            elif name in (r"\cdot", r"\times", "*", r"\ast"):
                output.append(("TIMES", _Payload(name, symbol)))
                at += 1
            elif name in ("/", r"\big/", r"\div"):
                output.append(("SLASH", _Payload(name, symbol)))
                at += 1
            else:
                at = self.word(symbols, at, closes, pairs, output)
        return output

    def number(self, symbols: Sequence[Symbol], at: int, output: list[_Item]) -> int:
        start, text = at, ""
        while at < len(symbols) and (symbols[at].name.isdigit() or (symbols[at].name == "." and "." not in text)):
            text += symbols[at].name
            at += 1
            if symbols[at - 1].sup is not None or symbols[at - 1].sub is not None:
                break
        if text.endswith("."):
            at, text = at - 1, text[:-1]
        if len(text) > 15 or not text.replace(".", "").isascii():
            raise self.error("a number of more than 15 digits", symbols[start])
        value = Number(float(text))
        output.append(("ATOM", _Payload("a number", symbols[start], lambda _: value)))
        output.extend(self.power(symbols[at - 1]))
        return at

    def match_differentials(self, symbols: Sequence[Symbol]) -> dict[int, tuple[Variable, ...] | None]:
        r"""Finds for each integral sign its differentials, and for each differential its variable.

        Keys are the places of signs and of differentials; None marks a further differential of the same integral.
        """
        found: dict[int, tuple[Variable, ...] | None] = {}
        stack: list[list[int]] = [[]]
        closed: int | None = None
        for at, symbol in enumerate(symbols):
            if symbol.name in _OPENING:
                stack.append([])
                closed = None
            elif symbol.name in _CLOSING:
                if len(stack) > 1:
                    stack.pop()
                closed = None
            elif symbol.name in (r"\int", r"\iint", r"\iiint", r"\idotsint"):
                found[at] = ()
                stack[-1].append(at)
                closed = None
            elif (variable := self.differential(symbols, at)) is not None:
                if stack[-1]:
                    closed = stack[-1].pop()
                    found[at] = (variable,)
                    found[closed] = (Variable(str(at)),)
                elif closed is not None:
                    found[at] = None
            elif not (closed is not None and self.differential(symbols, at - 1) is not None):
                closed = None
        return found

    def differential(self, symbols: Sequence[Symbol], at: int) -> Variable | None:
        if at < 0 or at + 1 >= len(symbols) or symbols[at].name not in ("d", r"\dd", r"\diff", r"\d", r"\differential"):
            return None
        if symbols[at].sub is not None or symbols[at].sup is not None or symbols[at].style not in ("", "upright"):
            return None
        return _variable(symbols[at + 1 : at + 2])

    def integral(
        self,
        symbols: Sequence[Symbol],
        at: int,
        integrals: dict[int, tuple[Variable, ...] | None],
        output: list[_Item],
    ) -> int:
        symbol = symbols[at]
        if symbol.name.startswith(r"\i"):
            named = self.domain(symbol)
            ends = integrals[at] or ()
            if not ends:
                if named:
                    self.note(f"the integral over {', '.join(map(str, named))} has no d{named[0]}")
                else:
                    self.note("an integral has no differential: it is taken over the variables that are left free")
                wrap = self.integrator(named)
                output.append(("OPERATOR", _Payload("an integral", symbol, wrap=wrap)))
                return at + 1
            following = self.differential(symbols, at + 1)
            if following is not None:
                variables = [following]
                at += 3
                while at < len(symbols) and (more := self.differential(symbols, at)) is not None:
                    variables.append(more)
                    at += 2
                wrap = self.integrator(tuple(variables))
                output.append(("OPERATOR", _Payload("an integral", symbol, wrap=wrap)))
                return at
            output.append(("INTEGRAL", _Payload("an integral", symbol)))
            return at + 1
        variables = list(integrals[at] or ())
        at += 2
        while at < len(symbols) and integrals.get(at) is None and at in integrals:
            more = self.differential(symbols, at)
            assert more is not None
            variables.append(more)
            at += 2
        if at < len(symbols) and symbols[at].name in _DOTS:
            end = self.differential(symbols, at + 1)
            spanned = _spanned(variables[-1], end) if end is not None else None
            if spanned is None:
                raise self.error("these dots cannot be read", symbols[at])
            variables[-1] = spanned
            at += 3
        output.append(("DIFFERENTIAL", _Payload("a differential", symbol, wrap=self.integrator(tuple(variables)))))
        return at

    def domain(self, symbol: Symbol) -> tuple[Variable, ...]:
        r"""The variables named under an integral sign; a set such as ``\mathcal{Z}`` names none."""
        sub = symbol.sub or ()
        bounded = next((part for part in sub if part.name in _COMPARING), None)
        if bounded is not None:
            raise self.error("an integral over a part of the values has no value on a finite model", bounded)
        sub = sub[: next((at for at, part in enumerate(sub) if part.name == r"\in"), len(sub))]
        if not sub or any(part.style in ("cal", "bb") or (not _is_letter(part) and part.name != ",") for part in sub):
            return ()
        return _variable_list(sub) or ()

    def integrator(self, variables: tuple[Variable, ...], is_sum: bool = False) -> Any:
        return lambda _, body: Integral(variables, body, is_sum)

    def expectation(
        self, sub: tuple[Symbol, ...] | None, symbol: Symbol, where: Sequence[Symbol], kind: str = ""
    ) -> Any:
        build = self.measure(sub, symbol)
        made = Variance if kind == "variance" else Expectation

        def wrap(builder: _Builder, body: Expression) -> Expression:
            return made(build(builder), body)

        return wrap

    def measure(self, sub: tuple[Symbol, ...] | None, symbol: Symbol) -> Callable[[_Builder], Measure]:
        r"""Reads what stands under ``\mathbb{E}``."""
        if not sub:
            self.note("an expectation names neither variable nor density")
            return lambda _: Measure((Number(1.0),), ((),))
        builds: list[tuple[Build | None, tuple[Variable, ...]]] = []
        for part in self.measure_parts(sub):
            sims = [at for at, item in enumerate(part) if item.name == r"\sim"]
            if len(sims) > 1:
                raise self.error(r"a measure with two \sim", part[sims[1]])
            if sims:
                names = _names_of_measure(_strip_condition(part[: sims[0]]))
                if names is None:
                    raise self.error(r"what stands before \sim is not a list of variables", part[0])
                builds.append((self.density_build(part[sims[0] + 1 :], part[sims[0]]), names))
                continue
            variables = _names_of_measure(part)
            if variables is not None and not (len(part) == 1 and letter_name(part[0]) in _DENSITY_LETTERS):
                self.note(f"the expectation over {', '.join(map(str, variables))} names no density")
                builds.append((None, variables))
            else:
                builds.append((self.density_build(part, symbol), ()))

        def build(builder: _Builder) -> Measure:
            made = tuple(Number(1.0) if item is None else item(builder) for item, _ in builds)
            return Measure(made, tuple(names for _, names in builds))

        return build

    def measure_parts(self, sub: tuple[Symbol, ...]) -> list[tuple[Symbol, ...]]:
        """Cuts at commas between measures, not at those within a list of variables."""
        depth, pieces = 0, [[sub[0]]]
        for previous, item in pairwise(sub):
            depth += (previous.name in _OPENING) - (previous.name in _CLOSING)
            if item.name == "," and depth == 0 and any(part.name == r"\sim" for part in pieces[-1]):
                pieces.append([])
            else:
                pieces[-1].append(item)
        return [tuple(piece) for piece in pieces if piece]

    def density_build(self, symbols: Sequence[Symbol], where: Symbol) -> Build:
        if not symbols:
            raise self.error("a density is missing here", where)
        if len(symbols) == 1 and _is_letter(symbols[0]):
            letter = symbols[0]
            name, parameters, _ = self.density_letter(letter)
            bare = Density(name, (), (), parameters)
            return lambda _: bare
        tree = self.tree(self.tokens(symbols), symbols)
        return lambda builder: builder.nested(tree)

    def word(
        self,
        symbols: Sequence[Symbol],
        at: int,
        closes: dict[int, int],
        pairs: dict[int, str],
        output: list[_Item],
    ) -> int:
        """A letter, a named function or a construction."""
        symbol = symbols[at]
        name = symbol.name
        following = symbols[at + 1].name if at + 1 < len(symbols) else ""
        opens = following in _OPENING and following != r"\langle"
        content = symbols[at + 2 : closes[at + 1]] if opens else ()
        if name in (r"\log", r"\ln", "@log", "@ln", r"\lg"):
            if symbol.sub is not None:
                raise self.error("a logarithm with a base: write natural logarithms", symbol)
            output.append(("LOGARITHM", _Payload("a logarithm", symbol, self.exponent(symbol))))
            return at + 1
        if name in (r"\exp", "@exp"):
            output.append(("OPERATOR", _Payload("exp", symbol, wrap=lambda _, body: Exponential(body))))
            return at + 1
        if name == "e" and symbol.sup is not None and symbol.style in ("", "upright") and symbol.sub is None:
            inner = self.sub_build(symbol.sup, symbol)
            output.append(("ATOM", _Payload("a number", symbol, lambda builder: Exponential(inner(builder)))))
            return at + 1
        if name in (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac", r"\nicefrac", r"\sfrac"):
            return self.fraction(symbol, at, output)
        if name == r"\sqrt":
            body = self.sub_build(symbol.arguments[0], symbol)
            root = self.sub_build(symbol.arguments[1], symbol) if len(symbol.arguments) > 1 else lambda _: Number(2.0)

            def rooted(builder: _Builder) -> Expression:
                order = root(builder)
                half = Number(0.5) if order == Number(2.0) else Quotient(Number(1.0), order)
                return Power(body(builder), half)

            output.append(("ATOM", _Payload("a root", symbol, rooted)))
            output.extend(self.power(symbol))
            return at + 1
        if (name == "E" and symbol.style in ("bb", "upright", "")) or name in (r"\E", "@E", "@Ex"):
            wrap = self.expectation(symbol.sub, symbol, symbols)
            if symbol.sup is not None:
                raise self.error("a superscript to an expectation cannot be read", symbol)
            output.append(("OPERATOR", _Payload("expectation", symbol, wrap=wrap)))
            return at + 1
        if name in ("@Var", r"\Var", "@V", "@var", r"\V") or (
            name == "V" and symbol.style in ("bb", "upright") and opens
        ):
            wrap = self.expectation(symbol.sub, symbol, symbols, "variance")
            output.append(("OPERATOR", _Payload("variance", symbol, wrap=wrap)))
            return at + 1
        if name == "@Cov" and opens:
            return self.covariance(symbols, at, content, pairs, output)
        divergence = self.divergence(symbols, at, closes)
        if divergence is not None:
            kind, order, opening = divergence
            return self.pair(symbols, kind, order, at, opening, closes[opening], pairs, output)
        if (name in ("H", "@H", r"\H", "@Ent", r"\Ent", r"\entropy") and opens) and not symbol.sup:
            return self.entropy(symbols, at, content, closes, pairs, output)
        if name in ("I", "@I", "@MI", r"\I", r"\MI") and opens and any(part.name == ";" for part in content):
            first, rest = _cut(content, (";",))
            second, given = _cut(rest, _BARS)
            lists = [_variable_list(first), _variable_list(second), _variable_list(given) if given else ()]
            if any(entry is None for entry in lists):
                raise self.error("mutual information is read between variables: I(x; z)", symbol)
            left, right, condition = (entry or () for entry in lists)
            information = Information(self.subscript_letter(symbol, "p"), left, right, condition)
            output.append(("ATOM", _Payload("mutual information", symbol, lambda _: information)))
            return closes[at + 1] + 1
        if name in (r"\nabla", r"\partial", r"\grad"):
            parameters = self.parameter_names(symbol.sub or (), symbol)
            output.append(("OPERATOR", _Payload("gradient", symbol, wrap=lambda _, body: Gradient(parameters, body))))
            return at + 1
        if name in (r"\max", r"\min", r"\sup", r"\inf", r"\argmax", r"\argmin", "@argmax", "@argmin", r"\arg", "@arg"):
            return self.extremum(symbols, at, output)
        if name in (r"\sum", r"\prod"):
            output.append(("OPERATOR", self.summation(symbol)))
            return at + 1
        if name in ("@const", "@constant", "@Const"):
            output.append(("ATOM", _Payload("a constant", symbol, lambda _: FreeConstant())))
            return at + 1
        if name in _BARS or name in _DOUBLE_BARS:
            raise self.error("a bar stands outside of a density or a divergence", symbol)
        if name in _DOTS:
            raise self.error("dots between factors or terms are not read: write a sum or a product", symbol)
        if _is_letter(symbol) or name.startswith("@"):
            return self.letter(symbols, at, content, closes, output)
        raise self.error(_unknown(name), symbol)

    def exponent(self, symbol: Symbol) -> Build | None:
        return self.sub_build(symbol.sup, symbol) if symbol.sup is not None else None

    def fraction(self, symbol: Symbol, at: int, output: list[_Item]) -> int:
        above, below = symbol.arguments[0], symbol.arguments[1]
        if (
            below
            and below[0].name in (r"\partial", "d")
            and above
            and above[0].name == below[0].name
            and len(below) == 2
        ):
            parameters = self.parameter_names(below[1:], symbol)
            if len(above) == 1:
                wrap = _Payload("gradient", symbol, wrap=lambda _, body: Gradient(parameters, body))
                output.append(("OPERATOR", wrap))
                return at + 1
            inner = self.sub_build(above[1:], symbol)
            output.append(("ATOM", _Payload("a derivative", symbol, lambda b: Gradient(parameters, inner(b)))))
            return at + 1
        numerator, denominator = self.sub_build(above, symbol), self.sub_build(below, symbol)
        output.append(
            (
                "ATOM",
                _Payload("a fraction", symbol, lambda b: Quotient(numerator(b), denominator(b)), fraction=True),
            )
        )
        output.extend(self.power(symbol))
        return at + 1

    def divergence(
        self, symbols: Sequence[Symbol], at: int, closes: dict[int, int]
    ) -> tuple[str, Build | None, int] | None:
        """Recognises the name of a divergence: its kind, its order and the place of its bracket."""
        symbol = symbols[at]
        name = symbol.name
        after = at + 1
        kind, order = "", None
        word = _flat(symbol.sub).lower() if symbol.sub else ""
        if name in ("@KL", "@kl", r"\KL", r"\kl", "@DKL", "@KLD", r"\DKL", r"\infdiv"):
            kind = "kl"
        elif name == "K" and at + 1 < len(symbols) and symbols[at + 1].name == "L":
            kind, after = "kl", at + 2
        elif name == "@TV" or (name == "D" and "tv" in word):
            kind = "tv"
        elif name in ("D", r"\D", "@D", r"\chi", r"\Div"):
            squared = symbol.sup is not None and _flat(symbol.sup) == "2"
            if name == r"\chi" and squared:
                kind = "chi2"
            elif name == r"\chi":
                return None
            elif "kl" in word or not word:
                kind = "kl"
            elif "chi" in word:
                kind = "chi2"
            elif (
                symbol.sub is not None
                and len(symbol.sub) == 1
                and (symbol.sub[0].name.isdigit() or symbol.sub[0].name in _GREEK)
            ):
                kind, order = "renyi", self.sub_build(symbol.sub, symbol)
            elif after < len(symbols) and symbols[after].name in _OPENING:
                content = symbols[after + 1 : closes[after]]
                if _separator(content) is not None and word:
                    raise self.error(f"the divergence D with subscript {word} is not one that is read", symbol)
                return None
        if not kind:
            return None
        if after >= len(symbols) or symbols[after].name not in _OPENING:
            if name in ("D", r"\D", "@D", r"\chi"):
                return None
            raise self.error("a divergence needs brackets around its two densities", symbol)
        content = symbols[after + 1 : closes[after]]
        if name in ("D", r"\D", "@D") and not word and _separator(content) is None:
            return None
        return kind, order, after

    def pair(
        self,
        symbols: Sequence[Symbol],
        kind: str,
        order: Build | None,
        at: int,
        opening: int,
        closing: int,
        pairs: dict[int, str],
        output: list[_Item],
    ) -> int:
        content = symbols[opening + 1 : closing]
        place = _separator(content)
        if place is None:
            raise self.error(r"a divergence needs two densities with \Vert between them", symbols[at])
        if content[place].name in _BARS and content[place + 1 : place + 2] and content[place + 1].name not in _BARS:
            self.note(r"a divergence with a single bar between its densities: \Vert is meant")
        pairs[opening + 1 + place] = kind

        def wrap(builder: _Builder, first: Expression, second: Expression | None = None) -> Expression:
            assert second is not None
            return Divergence(kind, first, second, order(builder) if order is not None else None)

        output.append(("PAIR", _Payload("a divergence", symbols[at], wrap=wrap)))
        return opening + 1

    def covariance(
        self,
        symbols: Sequence[Symbol],
        at: int,
        content: Sequence[Symbol],
        pairs: dict[int, str],
        output: list[_Item],
    ) -> int:
        """The mean of a product, less the product of the means."""
        place = _separator(content)
        if place is None or content[place].name != ",":
            raise self.error("a covariance needs two arguments with a comma between them", symbols[at])
        pairs[at + 2 + place] = "covariance"
        build = self.measure(symbols[at].sub, symbols[at])

        def wrap(builder: _Builder, first: Expression, second: Expression) -> Expression:
            measure = build(builder)
            means = Product((Expectation(measure, first), Expectation(measure, second)))
            return Sum((Expectation(measure, Product((first, second))), Negative(means)))

        output.append(("PAIR", _Payload("a covariance", symbols[at], wrap=wrap)))
        return at + 2

    def entropy(
        self,
        symbols: Sequence[Symbol],
        at: int,
        content: Sequence[Symbol],
        closes: dict[int, int],
        pairs: dict[int, str],
        output: list[_Item],
    ) -> int:
        symbol = symbols[at]
        left, given = _cut(content, _BARS)
        variables, condition = _variable_list(left), _variable_list(given) if given else ()
        letters = {variable.name for variable in variables or ()}
        if variables and condition is not None and not letters & _DENSITY_LETTERS:
            found = Information(self.subscript_letter(symbol, "p"), variables, (), condition)
            output.append(("ATOM", _Payload("an entropy", symbol, lambda _: found)))
            return closes[at + 1] + 1
        depth = 0
        for offset, part in enumerate(content):
            depth += (part.name in _OPENING) - (part.name in _CLOSING)
            if part.name == "," and depth == 0:
                pairs[at + 2 + offset] = "entropy"
                output.append(("PAIR", _Payload("an entropy", symbol, wrap=_entropy)))
                return at + 2
        output.append(("FUNCTION", _Payload("an entropy", symbol, wrap=_entropy)))
        return at + 2

    def subscript_letter(self, symbol: Symbol, default: str) -> str:
        sub = symbol.sub or ()
        return letter_name(sub[0]) if len(sub) >= 1 and _is_letter(sub[0]) else default

    def parameter_names(self, symbols: Sequence[Symbol], where: Symbol) -> tuple[str, ...]:
        names = [letter_name(part) for part in symbols if part.name != ","]
        if not names:
            raise self.error("a gradient that does not say with respect to what", where)
        for part, name in zip([part for part in symbols if part.name != ","], names, strict=True):
            if name not in PARAMETERS or part.sub or part.sup:
                raise self.error(f"a gradient is read with respect to parameters, not to {_flat([part])}", where)
        return tuple(names)

    def extremum(self, symbols: Sequence[Symbol], at: int, output: list[_Item]) -> int:
        symbol = symbols[at]
        kind = symbol.name.lstrip("\\@")
        if kind == "arg":
            at += 1
            if at >= len(symbols) or symbols[at].name not in (r"\max", r"\min"):
                raise self.error(r"\arg is followed by \max or \min", symbol)
            kind = f"arg{symbols[at].name[1:]}"
        kind = {"sup": "max", "inf": "min"}.get(kind, kind)
        sub = symbols[at].sub or symbol.sub or ()
        over: list[str] = []
        for part in _split(sub[: next((i for i, s in enumerate(sub) if s.name == r"\in"), len(sub))], ","):
            if part and _is_letter(part[0]) and (len(part) == 1 or part[1].name == "("):
                letter, _, _ = self.density_letter(part[0])
                over.append(letter)
            elif not (part and part[-1].name == ")"):
                raise self.error(r"an extremum is read over a density, such as \max_q, or over parameters", symbol)
        if not over:
            raise self.error(r"an extremum that does not say over what: write \max_q", symbol)
        names = tuple(over)
        output.append(("OPERATOR", _Payload("extremum", symbol, wrap=lambda _, body: Extremum(kind, names, body))))
        return at + 1

    def summation(self, symbol: Symbol) -> _Payload:
        is_product = symbol.name == r"\prod"
        kind = "product" if is_product else "sum"
        sub = symbol.sub or ()
        if not sub:
            raise self.error("a sum that does not say over what", symbol)
        names = [part.name for part in sub]
        if "=" in names:
            cut = names.index("=")
            letter = _index(sub[:cut])
            lower = _index(sub[cut + 1 :])
            upper = _index(symbol.sup or ())
            if not (isinstance(letter, Index) and letter.letter and isinstance(lower, Index)):
                raise self.error(f"the range of this {kind} cannot be read", symbol)
            if symbol.sup is None:
                upper = Index(_UPPER.get(letter.letter, "K"))
            if not isinstance(upper, Index):
                raise self.error(f"the end of this {kind} cannot be read", symbol)
            name, low, high = letter.letter, lower, upper
            return _Payload(kind, symbol, wrap=lambda _, b: IndexedSum(name, low, high, b, is_product))
        cut = next((at for at, part in enumerate(names) if part == r"\in"), len(names))
        variables = _variable_list(sub[:cut])
        if not variables:
            raise self.error(f"what this {kind} runs over cannot be read", symbol)
        first = variables[0]
        indexed = len(variables) == 1 and first.name in "ijklmnstd" and not first.index and not first.mark
        if indexed or is_product:
            if not indexed:
                raise self.error("a product over the values of a variable is not read", symbol)
            bound = _index(symbol.sup) if symbol.sup else Index(_UPPER.get(first.name, "K"))
            if not isinstance(bound, Index):
                raise self.error(f"the end of this {kind} cannot be read", symbol)
            return _Payload(kind, symbol, wrap=lambda _, b: IndexedSum(first.name, Index("", 1), bound, b, is_product))
        return _Payload("sum", symbol, wrap=self.integrator(variables, True))

    def density_letter(self, symbol: Symbol) -> tuple[str, tuple[str, ...], tuple[Symbol, ...] | None]:
        r"""Name, parameters and exponent of a letter: ``q_\phi``, ``p_{\theta'}``, ``q^*``, ``p^\alpha``."""
        name = letter_name(symbol)
        decoration = ""
        parameters: tuple[str, ...] = ()
        exponent: tuple[Symbol, ...] | None = None
        if symbol.sub is not None:
            parts = _split(symbol.sub, ",")
            names = [letter_name(part[0]) if len(part) == 1 else "" for part in parts]
            plain = all(len(part) == 1 and not part[0].sub and not part[0].sup for part in parts)
            if plain and all(part in PARAMETERS for part in names):
                parameters = tuple(names)
            elif not all(
                s.name in _BARS or s.name == "," or (_is_letter(s) and s.name.lower() in "xyzcuv") for s in symbol.sub
            ):
                decoration += f"_{{{_flat(symbol.sub)}}}"
        if symbol.sup is not None:
            text = _flat(symbol.sup)
            if (
                text in ("*", r"\ast", r"\star", r"\dagger")
                or all(s.name == r"\prime" for s in symbol.sup)
                or _parenthesised(symbol.sup) is not None
                or symbol.sup[0].name.startswith("@")
            ):
                decoration += f"^{{{text}}}"
            else:
                exponent = symbol.sup
        return (f"{name}[{decoration}]" if decoration else name), parameters, exponent

    def letter(
        self,
        symbols: Sequence[Symbol],
        at: int,
        content: Sequence[Symbol],
        closes: dict[int, int],
        output: list[_Item],
    ) -> int:
        symbol = symbols[at]
        base = letter_name(symbol)
        opening = symbols[at + 1].name if at + 1 < len(symbols) else ""
        is_density = base.split(":")[-1] in _DENSITY_LETTERS and symbol.style not in ("cal", "bb")
        barred = (
            opening == "("
            and any(part.name in _BARS for part in content)
            and not any(part.name in _OPENING for part in content)
        )
        if (is_density or barred) and opening in ("(", "["):
            body, semicolon = _cut(content, (";",))
            left_symbols, right_symbols = _cut(body, _BARS)
            left = _variable_list(left_symbols)
            right = _variable_list(right_symbols) if right_symbols else ()
            if left is not None and right is not None:
                name, parameters, exponent = self.density_letter(symbol)
                if semicolon:
                    extra = _variable_list(semicolon)
                    if extra is None:
                        raise self.error("what follows the semicolon is not a list of parameters", semicolon[0])
                    parameters = (*parameters, *(v.name for v in extra if v.name not in parameters))
                density = Density(name, left, right, parameters)
                output.append(("ATOM", _Payload("a density", symbol, lambda _: density)))
                if exponent is not None:
                    output.append(("POWER", _Payload("a power", symbol, self.sub_build(exponent, symbol))))
                output.extend(self.power(symbols[closes[at + 1]]))
                return closes[at + 1] + 1
            if base != "pi":
                place = content[0] if content else symbols[at + 1]
                raise self.error(f"a density takes variables: {base}(x, z) or {base}(x \\mid z)", place)
        if is_density and base != "pi":
            name, parameters, exponent = self.density_letter(symbol)
            bare = Density(name, (), (), parameters)
            output.append(("ATOM", _Payload("a density", symbol, lambda _: bare)))
            if exponent is not None:
                output.append(("POWER", _Payload("a power", symbol, self.sub_build(exponent, symbol))))
            return at + 1
        if base == "pi" and not symbol.sub:
            number = Number(3.141592653589793)
            output.append(("ATOM", _Payload("a number", symbol, lambda _: number)))
            output.extend(self.power(symbol))
            return at + 1
        call, power, end = self.call(symbols, at, content, closes)
        output.append(("ATOM", _Payload("a name", symbol, lambda _: call)))
        output.extend(power)
        return end

    def call(
        self, symbols: Sequence[Symbol], at: int, content: Sequence[Symbol], closes: dict[int, int]
    ) -> tuple[Call, list[_Item], int]:
        """A scalar, a size, a function of variables or a defined quantity."""
        symbol = symbols[at]
        name = letter_name(symbol)
        index: tuple[Index | Span, ...] = ()
        parameters: tuple[str, ...] = ()
        if symbol.sub is not None:
            names = [letter_name(part[0]) if len(part) == 1 else "" for part in _split(symbol.sub, ",")]
            found = _indices(symbol.sub)
            if all(part in PARAMETERS for part in names):
                parameters = tuple(names)
            elif found is not None:
                index = found
            else:
                name += f"[_{{{_flat(symbol.sub)}}}]"
        power: list[_Item] = []
        if symbol.sup is not None:
            inner = _parenthesised(symbol.sup)
            found = _indices(inner) if inner is not None else None
            if found is not None:
                index = (*index, *found)
            elif all(part.name == r"\prime" for part in symbol.sup) or _flat(symbol.sup) in ("*", r"\ast", r"\star"):
                name += f"[^{{{_flat(symbol.sup)}}}]"
            else:
                power = self.power(symbol)
        if at + 1 < len(symbols) and symbols[at + 1].name in ("(", "[") and content:
            variables: list[Variable] = []
            others: list[str] = []
            readable = True
            for part in _split(content, ",", ";"):
                variable = _variable(part)
                if variable is None:
                    readable = False
                    break
                if variable.name in _DENSITY_LETTERS:
                    others.append(self.density_letter(part[0])[0])
                elif variable.name in PARAMETERS:
                    others.append(variable.name + variable.mark)
                else:
                    variables.append(variable)
            scalar_like = (len(name) == 1 and name.isupper()) or name in ("alpha", "beta", "lambda", "gamma")
            if readable and not (scalar_like and not name.startswith("cal")) and not power:
                close = symbols[closes[at + 1]]
                call = Call(name, index, tuple(variables), tuple(others), parameters)
                return call, self.power(close), closes[at + 1] + 1
            if readable and scalar_like and others and not variables:
                call = Call(name, index, (), tuple(others), parameters)
                return call, self.power(symbols[closes[at + 1]]), closes[at + 1] + 1
            if not readable and not scalar_like:
                if name in _FUNCTION_LETTERS:
                    raise self.error(
                        f"{name} of an expression is not read, only of variables, as {name}(z): write out what {name} "
                        f"does, or give the expression a name of its own",
                        symbol,
                    )
                self.note(f"{_flat([symbol])} in front of a bracket is read as a factor")
        return Call(name, index, (), (), parameters), power, at + 1


def _entropy(_: _Builder, first: Expression, second: Expression | None = None) -> Expression:
    return Entropy(first, second)


def _strip_condition(symbols: Sequence[Symbol]) -> Sequence[Symbol]:
    return _cut(symbols, _BARS)[0]


def _spanned(first: Variable, last: Variable) -> Variable | None:
    ends = (*first.index[-1:], *last.index[-1:])
    if first.name != last.name or len(ends) != 2:
        return None
    start, stop = ends
    if not (isinstance(start, Index) and isinstance(stop, Index)):
        return None
    return Variable(first.name, (*first.index[:-1], Span(start, stop)), first.mark)


def _cut(symbols: Sequence[Symbol], separators: Iterable[str]) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]]:
    wanted = frozenset(separators)
    for at, symbol in enumerate(symbols):
        if symbol.name in wanted:
            return tuple(symbols[:at]), tuple(symbols[at + 1 :])
    return tuple(symbols), ()


def _separator(content: Sequence[Symbol]) -> int | None:
    """The place of the double bar between two densities, or of what stands for it."""
    depth = 0
    fallback: dict[str, int] = {}
    for at, symbol in enumerate(content):
        depth += (symbol.name in _OPENING) - (symbol.name in _CLOSING)
        if depth:
            continue
        following = content[at + 1].name if at + 1 < len(content) else ""
        if symbol.name in _DOUBLE_BARS or (symbol.name in _BARS and following in _BARS):
            return at
        if symbol.name in _BARS:
            fallback.setdefault("|", at)
        elif symbol.name in (",", ":", ";"):
            fallback.setdefault(",", at)
    return fallback.get("|", fallback.get(","))


def _misplaced(kind: str, payload: _Payload) -> str:
    if kind == "CLOSE":
        return "a bracket closes where something should follow"
    if kind in ("PLUS", "MINUS"):
        return f"a {payload.kind} follows an operator that still waits for its argument"
    if kind == "SEPARATOR":
        return r"a \Vert stands where a density is expected"
    if kind == "DIFFERENTIAL":
        return "a differential stands where an integrand is expected"
    return f"{payload.kind} does not fit here"


def _unknown(name: str) -> str:
    if name in (r"\infty", r"\lim"):
        return f"{name}: limits have no value on a finite model"
    if name in (r"\Rightarrow", r"\implies", r"\iff", r"\Leftrightarrow", r"\to", r"\rightarrow"):
        return f"{name} joins statements, and only relations between two sides are read"
    return f"{name} is not a symbol that is read here"


@dataclass(slots=True)
class _Builder:
    """Builds the tree, and settles how far operators without brackets reach."""

    readings: frozenset[str]
    latex: str
    seen: set[str] = field(default_factory=set)
    depth: int = 0

    def nested(self, tree: Any) -> Expression:
        return self.sum(tree)

    def error(self, message: str, payload: _Payload) -> DerivationSyntaxError:
        return DerivationSyntaxError(message, self.latex, payload.symbol.position)

    def otherwise(self, reading: str) -> bool:
        self.seen.add(reading)
        return reading in self.readings

    def sum(self, tree: Any) -> Expression:
        signed: list[tuple[bool, list[Any]]] = []
        negative = False
        for child in tree.children:
            if child.data == "sign":
                negative = child.children[0].type == "MINUS"
            else:
                signed.append((negative, list(child.children)))
                negative = False
        return self.terms(signed)

    def terms(self, signed: list[tuple[bool, list[Any]]]) -> Expression:
        result: list[Expression] = []
        at = 0
        while at < len(signed):
            negative, items = signed[at]
            value, swallowed = self.term(items, signed[at + 1 :])
            result.append(Negative(value) if negative else value)
            at = len(signed) if swallowed else at + 1
        return result[0] if len(result) == 1 else Sum(tuple(result))

    def term(self, items: list[Any], rest: list[tuple[bool, list[Any]]]) -> tuple[Expression, bool]:
        factors: list[Expression] = []
        pending = ""
        at, swallowed = 0, False
        while at < len(items):
            item = items[at]
            kind = getattr(item, "type", "")
            if kind in ("TIMES", "SLASH"):
                if not factors or pending:
                    raise self.error(f"{item.value.kind} has nothing in front of it", item.value)
                pending = kind
                at += 1
                if at == len(items):
                    raise self.error(f"{item.value.kind} is followed by nothing", item.value)
                continue
            value, at, swallowed = self.operand(items, at, rest)
            if pending == "SLASH":
                factors = [Quotient(_product(factors), value)]
            else:
                factors.append(value)
            pending = ""
        return _product(factors), swallowed

    def operand(
        self, items: list[Any], at: int, rest: list[tuple[bool, list[Any]]], *, log_of_one: bool = False
    ) -> tuple[Expression, int, bool]:
        self.depth += 1
        if self.depth > _MAX_NESTING:
            raise DerivationSyntaxError(f"operators nested deeper than {_MAX_NESTING} levels", self.latex, 0)
        try:
            item = items[at]
            kind = getattr(item, "type", "")
            if kind == "LOGARITHM":
                return self.logarithm(items, at, rest, log_of_one)
            if kind == "OPERATOR":
                return self.operator(items, at, rest)
            return self.factor(item), at + 1, False
        finally:
            self.depth -= 1

    def factor(self, tree: Any) -> Expression:
        value = self.atom(tree.children[0])
        if len(tree.children) > 1:
            exponent = tree.children[1].value.build(self)
            value = Power(value, exponent)
        return value

    def atom(self, child: Any) -> Expression:
        if getattr(child, "type", "") == "ATOM":
            return child.value.build(self)
        children = child.children
        if child.data == "bracket":
            return self.nested(children[1])
        if child.data == "integral":
            return children[2].value.wrap(self, self.nested(children[1]))
        if child.data == "function":
            return children[0].value.wrap(self, self.nested(children[1]))
        return children[0].value.wrap(self, self.nested(children[1]), self.nested(children[3]))

    def logarithm(
        self, items: list[Any], at: int, rest: list[tuple[bool, list[Any]]], log_of_one: bool
    ) -> tuple[Expression, int, bool]:
        payload = items[at].value
        if at + 1 >= len(items) or getattr(items[at + 1], "type", "") in ("TIMES", "SLASH"):
            raise self.error("a logarithm of nothing", payload)
        power = payload.build(self) if payload.build is not None else None

        def made(body: Expression, outer: Expression | None = None) -> Expression:
            value: Expression = Logarithm(body)
            for exponent in (outer, power):
                value = Power(value, exponent) if exponent is not None else value
            return value

        single, end, swallowed = self.operand(items, at + 1, rest)
        whole = at + 2
        while whole < len(items) and getattr(items[whole], "type", "") not in ("LOGARITHM", "TIMES"):
            whole += 1
        following = items[at + 1]
        opened = getattr(following, "data", "") == "factor" and getattr(following.children[0], "data", "") == "bracket"
        if end < whole:
            fraction = getattr(following, "data", "") == "factor" and (
                getattr(following.children[0], "type", "") == "ATOM" and following.children[0].value.fraction
            )
            next_kind = getattr(items[end], "type", "")
            short = log_of_one or opened or (fraction and next_kind != "OPERATOR" and next_kind != "SLASH")
            coefficient = fraction and next_kind == "OPERATOR"
            if coefficient or short == self.otherwise("log"):
                body, swallowed = self.term(items[at + 1 : whole], [])
                return made(body), whole, swallowed
        elif opened and len(following.children) > 1 and self.otherwise("power"):
            return made(self.atom(following.children[0]), following.children[1].value.build(self)), end, swallowed
        return made(single), end, swallowed

    def operator(self, items: list[Any], at: int, rest: list[tuple[bool, list[Any]]]) -> tuple[Expression, int, bool]:
        payload = items[at].value
        kind, wrap = payload.kind, payload.wrap
        following = items[at + 1] if at + 1 < len(items) else None
        if kind == "extremum" and following is None and rest:
            return wrap(self, self.terms(rest)), len(items), True
        if following is None or getattr(following, "type", "") in ("TIMES", "SLASH"):
            raise self.error(f"{payload.kind} of nothing", payload)
        opened = getattr(following, "data", "") == "factor" and getattr(following.children[0], "data", "") == "bracket"
        if opened and kind in ("expectation", "variance", "exp", "gradient", "extremum"):
            last = at + 2 == len(items)
            if kind != "extremum" or (last and not rest):
                inner = self.atom(following.children[0])
                if len(following.children) > 1:
                    exponent = following.children[1].value.build(self)
                    if following.children[0].children[0].value.round and self.otherwise("power"):
                        return wrap(self, Power(inner, exponent)), at + 2, False
                    return Power(wrap(self, inner), exponent), at + 2, False
                return wrap(self, inner), at + 2, False
        if kind in ("exp", "gradient", "variance"):
            if kind == "gradient" and at + 2 < len(items):
                body, end, swallowed = self.operand(items, at + 1, rest, log_of_one=True)
                if end < len(items) and self.otherwise("gradient"):
                    body, swallowed = self.term(items[at + 1 :], [])
                    end = len(items)
                return wrap(self, body), end, swallowed
            body, end, swallowed = self.operand(items, at + 1, rest)
            return wrap(self, body), end, swallowed
        if kind == "product":
            end = at + 2
            while end < len(items) and getattr(items[end], "type", "") not in ("LOGARITHM", "OPERATOR"):
                end += 1
            if getattr(following, "type", "") in ("LOGARITHM", "OPERATOR"):
                end = len(items)
            body, swallowed = self.term(items[at + 1 : end], [])
            return wrap(self, body), end, swallowed
        if kind == "extremum" or (rest and self.otherwise("scope")):
            return wrap(self, self.terms([(False, items[at + 1 :]), *rest])), len(items), True
        body, swallowed = self.term(items[at + 1 :], rest if kind == "expectation" else [])
        return wrap(self, body), len(items), swallowed


def _product(factors: list[Expression]) -> Expression:
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def parse_side(side: Side, latex: str) -> ParsedSide:
    """Reads one side.

    Raises:
        DerivationSyntaxError: At the first place that cannot be read.
    """
    notes: list[str] = []
    lexer = _Lexer(latex, notes)
    if not side.symbols:
        raise DerivationSyntaxError("one side of a relation is missing", latex, side.start)
    return ParsedSide(side, lexer.parse(side.symbols), notes, latex)
