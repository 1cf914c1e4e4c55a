"""Brackets: each becomes one symbol that holds what stands between its ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from proofreader.errors import DerivationSyntaxError
from proofreader.layout import Side
from proofreader.notation import operator_named
from proofreader.symbols import BARS, CLOSING, DOUBLE_BARS, MAX_DEPTH, OPENING, Symbol, flat

__all__ = ["grouped", "readable"]


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
                    where = f"column {self.column(opened)} is closed by {symbol.name} at column {self.column(symbol)}"
                    message = f"{opened.name} opened at {where}"
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


def grouped(side: Side, latex: str) -> tuple[Symbol, ...]:
    """The symbols of a side with its brackets closed.

    Raises:
        DerivationSyntaxError: If a bracket does not close, or closes nothing.
    """
    return _Brackets(latex).grouped(side.symbols)


def readable(sides: Sequence[Side], latex: str) -> Iterator[tuple[Symbol, ...]]:
    """The symbols of those sides whose brackets close."""
    for side in sides:
        with suppress(DerivationSyntaxError):
            yield grouped(side, latex)
