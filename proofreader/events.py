r"""Events such as ``z = k``: as numbers that are one where they hold, and as what a sum runs over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from proofreader.factors import Factors, Rest
from proofreader.indices import BRACKETS, index_of, name_of, value_of
from proofreader.notation import INDICATORS
from proofreader.symbols import BARS, Symbol, split
from proofreader.syntax import Index, Node, number

__all__ = ["Event", "Events", "event_of"]


class Event(NamedTuple):
    """That a variable takes the value that a letter names."""

    variable: Symbol
    letter: str


class Events(Factors):
    """Indicators, and sums over the values that an event may take."""

    def term(self, items: Sequence[Symbol], rest: Rest) -> tuple[Node, bool]:
        """Factors side by side."""
        raise NotImplementedError

    def indicator(self, items: Sequence[Symbol], at: int) -> tuple[Node, int] | None:
        r"""An event as a number, one where it holds: ``\mathbb{1}[z = j]``, ``1_{\{z = j\}}``, ``[z = j]``."""
        symbol = items[at]
        following = items[at + 1] if at + 1 < len(items) else None
        if symbol.key in INDICATORS and symbol.sub is not None:
            event, end = symbol.sub, at + 1
        elif symbol.key in INDICATORS and following is not None and following.name in BRACKETS:
            event, end = following.arguments[0], at + 2
        elif symbol.name == "[]":
            event, end = symbol.arguments[0], at + 1
        else:
            return None
        if len(event) == 1 and event[0].name in BRACKETS:
            event = event[0].arguments[0]
        sides = split(event, "=")
        if len(sides) != 2 or any(s.name == ";" or s.name in BARS for s in event):
            if symbol.key == "1" and symbol.sub is not None:
                raise self.error("1 with a subscript is an indicator: it is read of an event such as z = j", symbol)
            return None
        name = name_of(sides[0][0]) if len(sides[0]) == 1 else None
        value = index_of(sides[1])
        letter = value.letter if isinstance(value, Index) else ""
        if name is None or not (letter or value_of(sides[1])) or letter == name.base.lower():
            raise self.error("an indicator is read of an event such as z = j", symbol)
        return Node("indicator", (), (name, self.variable(event, items))), end

    def over_values(self, event: Event, body: Sequence[Symbol]) -> Node:
        """The sum over all values of a variable; of its indicator times a factor, the factor at the variable itself."""
        name = self.names([event.variable])[0]
        kept: list[Symbol] = []
        at, indicated = 0, False
        while at < len(body):
            found = self.indicator(body, at)
            if found is not None and found[0].data[0] == name:
                indicated, at = True, found[1]
            else:
                kept.append(body[at])
                at += 1
        inner = self.term(_without(kept, event), [])[0] if kept else number(1)
        return inner if indicated else Node("integral", (inner,), ((name,), True))


def event_of(sign: Symbol, body: Sequence[Symbol]) -> Event | None:
    """The event whose value a sum runs over, if its letter stands nowhere else in the body."""
    index = split(sign.sub or (), "=")[0]
    if len(index) != 1:
        return None
    letter = index[0].name
    events = [list(variables) for variables in _uses(body, letter)]
    variables = [v for found in events for v in found]
    alike = len({(v.name, v.style, _plain(v.sub), _plain(v.sup)) for v in variables}) == 1
    if not alike or any(len(found) != 1 for found in events) or name_of(variables[0]) is None:
        return None
    # Where the variable itself stands in the body too, the sum over the values of the event is no sum over it.
    if _occurrences(body, variables[0]) != len(variables):
        return None
    return Event(variables[0], letter)


def _occurrences(symbols: Sequence[Symbol], variable: Symbol) -> int:
    """How often a letter with its scripts stands in some symbols."""
    wanted = (variable.name, variable.style, _plain(variable.sub), _plain(variable.sup))
    own = sum((s.name, s.style, _plain(s.sub), _plain(s.sup)) == wanted for s in symbols)
    return own + sum(_occurrences(part, variable) for s in symbols for part in (*s.arguments, s.sub or (), s.sup or ()))


def _plain(symbols: Sequence[Symbol] | None) -> tuple[str, ...]:
    return tuple(symbol.name for symbol in symbols or ())


def _uses(symbols: Sequence[Symbol], letter: str) -> Iterator[Iterable[Symbol]]:
    """For each place of a letter, the variable of the event whose value it is, or nothing."""
    for at, symbol in enumerate(symbols):
        if symbol.name == letter:
            alone = at + 1 == len(symbols) or not (symbols[at + 1].is_letter() or symbols[at + 1].name.isdigit())
            yield [symbols[at - 2]] if at > 1 and symbols[at - 1].name == "=" and alone else []
        if _is_argument(symbols, at, letter):
            continue
        for part in (*symbol.arguments, symbol.sub or (), symbol.sup or ()):
            yield from _uses(part, letter)


def _is_argument(symbols: Sequence[Symbol], at: int, letter: str) -> bool:
    """Whether this is the bracket of a function of the value alone, as in ``f(j)``."""
    called = at > 0 and symbols[at].name == "()" and symbols[at - 1].is_letter()
    return called and [(s.name, s.sub, s.sup) for s in symbols[at].arguments[0]] == [(letter, None, None)]


def _without(symbols: Sequence[Symbol], event: Event) -> list[Symbol]:
    """The symbols with the variable in the place of each event and of its value."""
    kept: list[Symbol] = []
    for at, symbol in enumerate(symbols):
        if symbol.name == event.letter and kept and kept[-1].name == "=":
            kept.pop()
            continue
        if _is_argument(symbols, at, event.letter):
            kept.append(replace(symbol, arguments=((event.variable,),)))
            continue
        kept.append(
            replace(
                symbol,
                arguments=tuple(tuple(_without(argument, event)) for argument in symbol.arguments),
                sub=None if symbol.sub is None else tuple(_without(symbol.sub, event)),
                sup=None if symbol.sup is None else tuple(_without(symbol.sup, event)),
            )
        )
    return kept
