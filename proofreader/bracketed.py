"""Sums, integrals, maxima, divergences and entropies: what they run over and what their brackets hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from proofreader.events import event_of
from proofreader.factors import Rest, nested
from proofreader.indices import (
    BRACKETS,
    TIMES,
    cut_at,
    holds_arguments,
    index_of,
    is_bare,
    is_greek,
    leaves,
    name_of,
    used_as_index,
)
from proofreader.integrals import Integrals
from proofreader.letters import USUAL_LAWS
from proofreader.notation import RELATIONS, Operator, operator_named
from proofreader.symbols import BARS, DOUBLE_BARS, Symbol, flat, split
from proofreader.syntax import Index, Name, Node, density

__all__ = ["Bracketed"]


ROWS = (
    *tuple(
        row for row in (operator_named(s) for s in (r"\log", r"\KL", r"\chi", r"\TV", r"\JS", "@H")) if row is not None
    ),
    Operator("renyi", "", "divergence", r"D_{{{2}}}({0} \Vert {1})"),
)


def _size(symbols: Sequence[Symbol]) -> Index | None:
    """A size with an index or a mark, one in bars, or a word."""
    if not symbols:
        return None
    named = symbols[0].is_letter() and (len(symbols) == 1 or symbols[1].name == "()") and len(symbols) < 3
    return Index(flat(symbols)) if named or symbols[0].name == symbols[-1].name in BARS else None


class Bracketed(Integrals):
    """Operators with a range or with a bracket that has parts."""

    def series(self, row: Operator, items: Sequence[Symbol], at: int, rest: Rest) -> tuple[Node, int, bool]:
        """A sum or a product, over an index or over the values of variables."""
        symbol = items[at]
        wrap = self.range(row, symbol, items[at + 1 :])
        if at + 1 >= len(items):
            raise self.error("a sum of nothing", symbol)
        if row.kind == "product":
            end = len(items) if self.row(items, at + 1) is not None else self.product_end(items, at + 1, symbol)
            body, swallowed = self.term(items[at + 1 : end], [])
            return wrap(body), end, swallowed
        if (event := event_of(symbol, items[at + 1 :])) is not None and self.otherwise("events"):
            return self.over_values(event, items[at + 1 :]), len(items), False
        if rest and self.otherwise("scope"):
            return wrap(self.terms([(False, list(items[at + 1 :])), *rest])), len(items), True
        body, swallowed = self.term(items[at + 1 :], [])
        return wrap(body), len(items), swallowed

    def product_end(self, items: Sequence[Symbol], at: int, sign: Symbol) -> int:
        """Where the factors of a product end: at an operator, or behind the last factor with the index."""
        letter = sign.sub[0].name if sign.sub else ""
        bound = "".join(
            s.name for s in leaves(items[at:]) if s.name in (r"\sum", r"\prod") and s.sub and s.sub[0].name == letter
        )
        end, used = at, False
        while end < len(items) and (end == at or self.row(items, end) is None):
            step = 2 if items[end].is_letter() and holds_arguments(items[end + 1 : end + 2]) else 1
            mine = used_as_index(letter, items[end : end + step])
            inner = items[end].name in BRACKETS and bound
            if used and (not mine or inner) and items[end].name not in TIMES:
                break
            used |= mine
            end += step
        while end > at + 1 and items[end - 1].name in TIMES:
            end -= 1
        return end

    def range(self, row: Operator, symbol: Symbol, following: Sequence[Symbol]) -> Callable[[Node], Node]:
        """What a sum or product runs over."""
        sub = symbol.sub
        if sub is None and row.kind == "series":
            self.note("a sum has no index")
            return lambda body: Node("integral", (body,), ((), True))
        if sub is None:
            raise self.error("a product that does not say over what", symbol)
        at = next((k for k, s in enumerate(sub) if s.name in RELATIONS), None)
        relation = RELATIONS[sub[at].name] if at is not None else ""
        if at is not None and relation in ("=", "<", ">", ">=", "<=", "!="):
            return self.bounds(row, symbol, sub[:at], relation, sub[at + 1 :])
        heads = [split(part, *(s for s, kind in RELATIONS.items() if kind == "in"))[0] for part in split(sub, ",")]
        names = tuple(name for head in heads if head for name in self.names(head))
        if relation == "in" and row.kind == "product" and names[0].base in {s.name for s in leaves(following)}:
            raise self.error("a product over the members of a set is not read", symbol)
        if all(is_bare(name) and used_as_index(name.base, following) for name in names):
            return lambda body: nested(row.kind, names, body)
        if relation == "in" and len(names) == 1 and len(names[0].index) == 1 and isinstance(names[0].index[0], Index):
            letter = names[0].index[0].letter
            return lambda body: Node(row.kind, (body,), (letter, None, None, None))
        if row.kind == "product":
            raise self.error("a product over the values of a variable is not read", symbol)
        return lambda body: Node("integral", (body,), (names, True))

    def bounds(
        self, row: Operator, symbol: Symbol, head: Sequence[Symbol], relation: str, tail: Sequence[Symbol]
    ) -> Callable[[Node], Node]:
        """A sum with bounds."""
        names = self.names(head)
        first = index_of(tail)
        last = (index_of(symbol.sup) or _size(symbol.sup)) if symbol.sup is not None else None
        if (
            len(names) != 1
            or names[0].index
            or not isinstance(first, Index)
            or (symbol.sup is not None and not isinstance(last, Index))
        ):
            raise self.error(
                "the range of this sum cannot be read"
                if symbol.sup is None or first is None
                else "the end of this sum cannot be read",
                symbol,
            )
        letter = names[0].base
        assert last is None or isinstance(last, Index)
        if relation == "!=":
            return lambda body: Node(row.kind, (body,), (letter, None, None, first))
        if relation in ("<", "<="):
            return lambda body: Node(
                row.kind, (body,), (letter, Index("", 1), Index(first.letter, first.offset - (relation == "<")), None)
            )
        lower = Index(first.letter, first.offset + 1) if relation == ">" else first
        return lambda body: Node(row.kind, (body,), (letter, lower, last, None))

    def extremum(self, row: Operator, items: Sequence[Symbol], at: int, rest: Rest) -> tuple[Node, int, bool]:
        """A maximum or where it is."""
        symbol = items[at]
        if symbol.name == r"\arg":
            at += 1
            symbol = replace(items[at], sub=items[at].sub or symbol.sub)
        names = self.over(symbol)
        wrap: Callable[[Node], Node] = lambda inner: Node(row.kind, (inner,), (names,))  # noqa: E731
        if at + 1 >= len(items):
            raise self.error("a maximum of nothing", symbol)
        if at + 2 == len(items) and not rest:
            found = self.body(items, at + 1, wrap)
            if found is not None:
                return (*found, False)
        return wrap(self.terms([(False, list(items[at + 1 :])), *rest])), len(items), True

    def over(self, symbol: Symbol) -> tuple[Name, ...]:
        """What a maximum is taken over: parameters, variables or densities."""
        if symbol.sub is None:
            raise self.error("a maximum that does not say over what", symbol)
        found: list[Name] = []
        for part in split(symbol.sub, ","):
            head = split(part, r"\in", "∈", ":", ";")[0]
            name = name_of(head[0]) if head and (len(head) == 1 or head[1].name == "()") else None
            if name is None:
                raise self.error("what this maximum is taken over is not read", symbol)
            found.append(name)
        return tuple(found)

    def bracketed(self, row: Operator, items: Sequence[Symbol], at: int) -> tuple[Node, int]:
        """An operator whose bracket has parts."""
        bracket = items[at + 1]
        content = bracket.arguments[0]
        if row.form == "divergence":
            value = self.divergence(row, items[at], content)
        elif row.form == "entropy":
            value = self.entropy(items[at], content)
        else:
            value = self.information(items[at], content)
        return self.raised(value, bracket), at + 2

    def separator(self, content: Sequence[Symbol], *, strict: bool = False) -> tuple[int, int] | None:
        """Where the double bar between two densities stands, or what stands for it."""
        for at, symbol in enumerate(content):
            if symbol.name in DOUBLE_BARS:
                return at, at + 1
            if symbol.name in BARS and at + 1 < len(content) and content[at + 1].name in BARS:
                return at, at + 2
        if strict:
            return None
        for wanted in (BARS, frozenset([",", ":", ";"])):
            at = next((k for k, s in enumerate(content) if s.name in wanted), -1)
            if at > 0:
                return at, at + 1
        return None

    def divergence(self, row: Operator, symbol: Symbol, content: Sequence[Symbol]) -> Node:
        """A divergence between two densities."""
        place = self.separator(content)
        if place is None or place[0] == 0 or place[1] == len(content):
            raise self.error(r"a divergence takes two densities with \Vert between them", symbol)
        self.of_laws += 1
        try:
            parts = [self.law(content[: place[0]]), self.law(content[place[1] :])]
        finally:
            self.of_laws -= 1
        if row.kind == "entropy":
            return Node("entropy", tuple(parts))
        if row.kind == "renyi":
            parts.append(self.sum(symbol.sub or ()))
        return Node(row.kind, tuple(parts))

    def law(self, symbols: Sequence[Symbol]) -> Node:
        """An argument of a divergence: a density, a letter alone, or an expression."""
        if len(symbols) == 1 and symbols[0].is_letter():
            return self.density_letter(symbols[0])
        return self.sum(symbols)

    def entropy(self, symbol: Symbol, content: Sequence[Symbol]) -> Node:
        """Of densities, or of variables under a density that is p where nothing else is said."""
        parts = [part for part in split(content, ",") if part]
        if all(self.is_law(part) for part in parts) and 1 <= len(parts) <= 2:
            self.of_laws += 1
            try:
                return Node("entropy", tuple(self.law(part) for part in parts))
            finally:
                self.of_laws -= 1
        if any(a.is_letter() and b.name == "()" for a, b in itertools.pairwise(content)):
            return Node("entropy", (self.sum(content),))
        return self.information(symbol, content)

    def is_law(self, part: Sequence[Symbol]) -> bool:
        """Whether a part of a list is a density."""
        head = part[0]
        if not head.is_letter():
            return False
        if len(part) == 1:
            return head.key in self.laws or head.key in USUAL_LAWS
        return part[1].name == "()" and len(part) == 2

    def entropy_law(self, symbol: Symbol, part: Sequence[Symbol]) -> Name:
        """The letter of the density below an entropy or an information; that of the model with a parameter below."""
        called = len(part) == 2 and part[1].name == "()"
        found = name_of(part[0]) if len(part) == 1 or called else None
        if found is not None and not is_greek(found) and part[0].key in self.laws | USUAL_LAWS:
            return found
        if found is None or not is_greek(found) or found.base in (r"\alpha", r"\beta", r"\gamma"):
            raise self.error(f"what {flat(part)} below an entropy means is not read", symbol)
        return Name("p")

    def information(self, symbol: Symbol, content: Sequence[Symbol]) -> Node:
        """An entropy of variables, or mutual information."""
        pieces = cut_at(content, BARS)
        head, given = pieces if pieces is not None else (content, ())
        if any(s.name == "=" for s in head):
            raise self.error(
                "an event is read behind the bar of an entropy or an information, not in front of it", symbol
            )
        cut = next((k for k, s in enumerate(head) if s.name in (";", ":")), None)
        is_entropy = (operator_named(symbol.key) or ROWS[0]).kind == "entropy"
        if cut is None and not is_entropy:
            cut = next((k for k, s in enumerate(head) if s.name == ","), None)
            if cut is None:
                raise self.error("mutual information takes two variables with ; between them", symbol)
        first = self.names(head[:cut] if cut is not None else head)
        second = self.names(head[cut + 1 :]) if cut is not None else ()
        laws = [self.entropy_law(symbol, part) for part in split(symbol.sub or (), ",") if part] or [Name("p")]
        if len(laws) > 1:
            if not is_entropy or given or second or len(laws) > 2:
                raise self.error(f"what {flat(symbol.sub or ())} below an entropy means is not read", symbol)
            return Node("entropy", tuple(density(letter, first) for letter in laws))
        letter = laws[0]
        events = [part for part in split(given, ",") if any(s.name == "=" for s in part)] if given else []
        at = tuple(name for part in events for name in self.names(part))
        others = tuple(name for name in (self.names(given) if given else ()) if name not in at)
        return Node("information", (), (letter, first, second, others, at))
