"""Integrals: up to their differentials, or over what stands below their sign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from proofreader.errors import DerivationSyntaxError
from proofreader.events import Events
from proofreader.factors import Made, Rest
from proofreader.indices import MINUS, name_of
from proofreader.notation import RELATIONS, Operator, operator_named
from proofreader.symbols import DOTS, Symbol, split
from proofreader.syntax import Index, Name, Node, Span

__all__ = ["Integrals"]


class Integrals(Events):
    """Integrals with and without differentials."""

    def terms(self, signed: list[tuple[bool, list[Symbol]]]) -> Node:
        """A sum of terms; an operator may swallow those behind it."""
        raise NotImplementedError

    def term(self, items: Sequence[Symbol], rest: Rest) -> tuple[Node, bool]:
        """Factors side by side."""
        raise NotImplementedError

    def row(self, items: Sequence[Symbol], at: int) -> Operator | None:
        """The operator that begins here, if the letter is one and its surroundings fit."""
        raise NotImplementedError

    def body(self, items: Sequence[Symbol], at: int, wrap: Callable[[Node], Node]) -> tuple[Node, int] | None:
        """A bracket behind an operator, with its power; None where there is none."""
        raise NotImplementedError

    def unbounded_integral(self, row: Operator, items: Sequence[Symbol], at: int, rest: Rest) -> tuple[Node, int, bool]:
        """An integral without its differential."""
        symbol = items[at]
        if symbol.sub is not None and any(RELATIONS.get(s.name) in (">", "<", ">=", "<=") for s in symbol.sub):
            raise self.error("an integral over a part of the values is not read", symbol)
        names = self.limits(symbol)
        self.note(
            f"the integral over {', '.join(map(str, names))} has no d{names[0]}"
            if names
            else "an integral has no differential"
        )
        found = (
            self.body(items, at + 1, lambda inner: Node("integral", (inner,), (names, False)))
            if at + 2 == len(items)
            else None
        )
        if found is not None:
            return (*found, False)
        if at + 1 >= len(items):
            raise self.error("an integral of nothing", symbol)
        if rest and self.otherwise("scope"):
            return (
                Node("integral", (self.terms([(False, list(items[at + 1 :])), *rest]),), (names, False)),
                len(items),
                True,
            )
        body, swallowed = self.term(items[at + 1 :], [])
        return Node("integral", (body,), (names, False)), len(items), swallowed

    def limits(self, symbol: Symbol) -> tuple[Name, ...]:
        """The variable under an integral sign, if one stands there."""
        if symbol.sub is None:
            return ()
        part = split(symbol.sub, r"\in", "∈")[0]
        try:
            return self.names(part)
        except DerivationSyntaxError:
            return ()

    def integrals(self, symbols: Sequence[Symbol]) -> list[Symbol | Made]:
        """The symbols with each integral that has its differential put in one piece."""
        output: list[Symbol] = list(symbols)
        at = len(output) - 1
        while at >= 0:
            row = operator_named(output[at].name)
            if row is not None and row.form == "integral":
                made = self.integral(output, at)
                if made is not None:
                    output[at : made[1]] = [made[0]]
            at -= 1
        return output

    def integral(self, symbols: list[Symbol], at: int) -> tuple[Made, int] | None:
        """An integral up to its differential; None if it has none."""
        sign = symbols[at]
        wanted = {r"\iint": 2, r"\iiint": 3}.get(sign.name, 1)
        if sign.sub is not None and any(RELATIONS.get(s.name) in (">", "<", ">=", "<=") for s in sign.sub):
            raise self.error("an integral over a part of the values is not read", sign)
        if sign.sup is not None and self.numbers(sign):
            raise self.error("an integral between limits is not read: only one over all values", sign)
        names: list[Name] = []
        body: list[Symbol] = []
        k, last = at + 1, at + 1
        while k < len(symbols) and (
            len(names) < wanted or (names and self.differential(symbols, k) and not self.earlier_sign(symbols, at))
        ):
            found = self.differential(symbols, k)
            if found is not None:
                names.append(found[0])
                k = last = found[1]
                if (through := self.through_dots(symbols, k, names[-1])) is not None:
                    names[-1], k = through
                    last = k
                continue
            if names and body:
                break
            body.append(symbols[k])
            k += 1
        if len(names) < wanted and not names:
            return None
        end = last
        if not body:
            end = k = next(
                (j for j in range(last, len(symbols)) if symbols[j].name in MINUS or symbols[j].name == "+"),
                len(symbols),
            )
            body = list(symbols[last:k])
        if not body:
            body = [Symbol("1", sign.start, sign.end)]
        return Made(self.sum(body), sign, names, symbols[at + 1 : end]), end

    def numbers(self, sign: Symbol) -> bool:
        """Whether an integral sign has limits."""
        return bool(sign.sub and sign.sup) and all(
            s.name.isdigit() or s.name in ("T", "t", "a", "b") for s in (*(sign.sub or ()), *(sign.sup or ()))
        )

    def earlier_sign(self, symbols: Sequence[Symbol], at: int) -> bool:
        """Whether another integral sign to the left still waits for its differential."""
        return any(
            (row := operator_named(s.name)) is not None and row.form == "integral" and not isinstance(s, Made)
            for s in symbols[:at]
        )

    def through_dots(self, symbols: Sequence[Symbol], at: int, first: Name) -> tuple[Name, int] | None:
        r"""All variables from one to that behind dots, as in ``dx_1 \\ldots dx_T``."""
        dots = at + 1 < len(symbols) and symbols[at].name in DOTS
        last = self.differential(symbols, at + 1) if dots else None
        if last is None or last[0].base != first.base or not len(first.index) == 1 == len(last[0].index):
            return None
        start, end = first.index[0], last[0].index[0]
        if not isinstance(start, Index) or not isinstance(end, Index):
            return None
        return replace(first, index=(Span(start, end),)), last[1]

    def differential(self, symbols: Sequence[Symbol], at: int) -> tuple[Name, int] | None:
        """The variable of a differential that begins here."""
        symbol = symbols[at]
        if (
            symbol.name not in ("d", "@d", r"\dd", r"\partial@", r"\diff", r"\d")
            or symbol.sub
            or symbol.style
            or at + 1 >= len(symbols)
        ):
            return None
        name = name_of(symbols[at + 1])
        if name is None or isinstance(symbols[at + 1], Made):
            return None
        if symbols[at + 1].name == "p" and at + 2 < len(symbols) and symbols[at + 2].name == "()":
            return None
        return name, at + 2
