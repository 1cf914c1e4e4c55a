"""Logarithms, expectations and gradients, with or without brackets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proofreader.bracketed import Bracketed
from proofreader.factors import Rest, differentiated
from proofreader.indices import BRACKETS, TIMES, cut_at, index_of, is_transpose, leaves, name_of, used_as_index
from proofreader.letters import USUAL_LAWS
from proofreader.notation import RELATIONS, Operator, named_law
from proofreader.symbols import BARS, Symbol, flat, split
from proofreader.syntax import Index, Name, Node, Others, density

__all__ = ["Operators"]


class Operators(Bracketed):
    """Operators that reach over what follows."""

    def operand(
        self, items: Sequence[Symbol], at: int, rest: Rest, *, log_of_one: bool = False
    ) -> tuple[Node, int, bool]:
        """What begins at a place: an operator with its arguments, or a factor."""
        raise NotImplementedError

    def logarithm(
        self, row: Operator, items: Sequence[Symbol], at: int, rest: Rest, log_of_one: bool = False
    ) -> tuple[Node, int, bool]:
        """A logarithm, with or without brackets."""
        symbol = items[at]
        if at + 1 >= len(items) or items[at + 1].name in TIMES or items[at + 1].name == "/":
            raise self.error("a logarithm of nothing", symbol)

        def made(body: Node, outer: Node | None = None) -> Node:
            value = Node("log", (body,))
            if symbol.sub is not None:
                value = Node("quotient", (value, Node("log", (self.sum(symbol.sub),))))
            exponents = (outer, self.sum(symbol.sup) if symbol.sup is not None else None)
            for exponent in exponents:
                value = Node("power", (value, exponent)) if exponent is not None else value
            return value

        following = items[at + 1]
        single, end, swallowed = self.operand(items, at + 1, rest)
        whole = at + 2
        while whole < len(items) and not self.ends_log(items, whole):
            whole += 1
        opened = following.name in BRACKETS
        if self.crosses(items, whole) and self.otherwise("dot"):
            body, swallowed = self.term(items[at + 1 :], [])
            return made(body), len(items), swallowed
        if end < whole:
            fraction = following.name in (r"\frac", r"\dfrac", r"\tfrac")
            operator_next = self.row(items, end) is not None
            short = log_of_one or opened or (fraction and not operator_next and items[end].name != "/")
            if (fraction and operator_next) or short == self.otherwise("log"):
                body, swallowed = self.term(items[at + 1 : whole], [])
                return made(body), whole, swallowed
        elif opened and following.sup is not None and self.otherwise("power"):
            return made(self.sum(following.arguments[0]), self.sum(following.sup)), end, swallowed
        return made(single), end, swallowed

    def crosses(self, items: Sequence[Symbol], at: int) -> bool:
        """Whether a product sign with another fraction or bracket stands behind a logarithm."""
        behind = items[at + 1 : at + 2]
        fraction = bool(behind) and behind[0].name in (r"\frac", r"\dfrac", r"\tfrac", *BRACKETS)
        return fraction and items[at].name in TIMES and not any(self.is_log(items, k) for k in range(at, len(items)))

    def ends_log(self, items: Sequence[Symbol], at: int) -> bool:
        """Whether a logarithm without brackets ends in front of this symbol."""
        return self.is_log(items, at) or items[at].name in TIMES or items[at].name in (r"\nabla", r"\partial")

    def is_log(self, items: Sequence[Symbol], at: int) -> bool:
        """Whether a logarithm begins here."""
        row = self.row(items, at)
        return row is not None and row.form == "logarithm"

    def body(self, items: Sequence[Symbol], at: int, wrap: Callable[[Node], Node]) -> tuple[Node, int] | None:
        """A bracket behind an operator, with its power; None where there is none."""
        following = items[at] if at < len(items) else None
        if following is None or following.name not in BRACKETS or not following.arguments[0]:
            return None
        inner = self.sum(following.arguments[0])
        if following.sup is None:
            return wrap(inner), at + 1
        if is_transpose(following.sup):
            return Node("transposed", (wrap(inner),)), at + 1
        exponent = self.sum(following.sup)
        if following.name == "()" and self.otherwise("power"):
            return wrap(Node("power", (inner, exponent))), at + 1
        return Node("power", (wrap(inner), exponent)), at + 1

    def function(self, row: Operator, items: Sequence[Symbol], at: int, rest: Rest) -> tuple[Node, int, bool]:
        """A function of what follows."""

        def wrap(inner: Node) -> Node:
            value = Node(row.kind, (inner,))
            return value if items[at].sup is None else Node("power", (value, self.sum(items[at].sup or ())))

        found = self.body(items, at + 1, wrap)
        if found is not None:
            return (*found, False)
        value, end, swallowed = self.operand(items, at + 1, rest)
        return wrap(value), end, swallowed

    def average(self, row: Operator, items: Sequence[Symbol], at: int, rest: Rest) -> tuple[Node, int, bool]:
        """An expectation, a variance or a covariance."""
        factor = self.mean_field_factor(items[at].sub or (), items[at + 1 :])
        draws, laws = (((),), (factor,)) if factor else self.measure(items[at].sub or items[at].sup or ())
        if row.kind == "covariance":
            return self.covariance(items, at, draws, laws)

        def wrap(inner: Node) -> Node:
            return Node(row.kind, (*laws, inner), (draws,))

        following = items[at + 1] if at + 1 < len(items) else None
        inside = following.arguments[0] if following is not None and following.name in BRACKETS else ()
        if following is not None and not laws and sum(s.name in BARS for s in inside) == 1:
            pieces = cut_at(inside, BARS)
            if pieces is not None:
                given = self.names(pieces[1])
                law = density(self.model_letter(), (Name(""),), given)
                value = Node(row.kind, (law, self.sum(pieces[0])), (((),),))
                return self.raised(value, following), at + 2, False
        found = self.body(items, at + 1, wrap)
        if found is not None:
            return (*found, False)
        if following is None or following.name in TIMES:
            raise self.error("an expectation of nothing", items[at])
        if rest and self.otherwise("scope"):
            return wrap(self.terms([(False, list(items[at + 1 :])), *rest])), len(items), True
        body, swallowed = self.term(items[at + 1 :], rest)
        return wrap(body), len(items), swallowed

    def mean_field_factor(self, sub: Sequence[Symbol], body: Sequence[Symbol]) -> Node | None:
        r"""The law of ``\E_{-j}``, ``\E_{i \neq j}`` and ``\E_j``: the other factors of a q, or one of them."""
        if len(sub) > 2 and sub[1].name in (r"\neq", r"\ne", "≠"):
            sub = sub[1:]
        part = index_of(sub)
        if isinstance(part, Index):
            letter = part.letter if not part.offset else ""
            alone = letter and used_as_index(letter, body) and letter not in {s.name for s in leaves(body)}
            return density(Name("", (part,))) if alone else None
        return density(Name("", (part,))) if isinstance(part, Others) else None

    def covariance(
        self, items: Sequence[Symbol], at: int, draws: tuple[tuple[Name, ...], ...], laws: tuple[Node, ...]
    ) -> tuple[Node, int, bool]:
        """A covariance, with its two arguments."""
        following = items[at + 1] if at + 1 < len(items) else None
        parts = split(following.arguments[0], ",") if following is not None and following.name in BRACKETS else []
        if following is None or len(parts) not in (1, 2):
            raise self.error("a covariance takes two arguments", items[at])
        value = Node("covariance", (*laws, self.sum(parts[0]), self.sum(parts[-1])), (draws,))
        return self.raised(value, following), at + 2, False

    def measure(self, symbols: Sequence[Symbol]) -> tuple[tuple[tuple[Name, ...], ...], tuple[Node, ...]]:
        """What stands under an expectation: for each law the variables drawn from it, and the laws."""
        bar = cut_at(symbols, BARS)
        if bar is not None and not any(RELATIONS.get(s.name) == "~" for s in symbols):
            return ((),), (density(self.model_letter(), self.names(bar[0]), self.names(bar[1])),)
        draws: list[tuple[Name, ...]] = []
        laws: list[Node] = []
        waiting: list[tuple[Symbol, ...]] = []
        for part in split(symbols, ",", ";"):
            if not part:
                continue
            at = next((k for k, s in enumerate(part) if RELATIONS.get(s.name) == "~"), None)
            if at is None and (waiting or not self.begins_law(part)):
                waiting.append(part)
                continue
            left = [*waiting, *([part[:at]] if at is not None else [])]
            waiting = []
            names = self.listed(left)
            for number_, law in enumerate(self.laws_of(part[at + 1 :] if at is not None else part)):
                laws.append(law)
                draws.append(names if number_ == 0 else ())
        if waiting:
            draws.append(self.listed(waiting))
        return tuple(draws), tuple(laws)

    def model_letter(self) -> Name:
        """The letter of the density in ``E_{z | x}``: p, or the only one of the display."""
        lone = next(iter(self.laws)) if len(self.laws) == 1 else "p"
        return Name(lone)

    def listed(self, pieces: Sequence[tuple[Symbol, ...]]) -> tuple[Name, ...]:
        """The names in the pieces of a list."""
        symbols = [symbol for piece in pieces for symbol in (*piece, Symbol(",", 0))]
        return self.names(symbols[:-1]) if pieces else ()

    def begins_law(self, part: Sequence[Symbol]) -> bool:
        """Whether a part of a subscript is a density and no variable."""
        symbol = part[0]
        if symbol.name == r"\prod" or (len(part) > 1 and part[1].name == "()") or symbol.name in ("@sg", r"\sg"):
            return True
        return len(part) == 1 and (
            symbol.key in self.laws
            or symbol.key in USUAL_LAWS
            or symbol.key.lower() in self.laws
            or (bool(named_law(symbol.key)) and symbol.key != "N")
        )

    def laws_of(self, symbols: Sequence[Symbol]) -> list[Node]:
        """The densities in a product of densities."""
        self.of_laws += 1
        try:
            tree = self.sum(symbols)
        finally:
            self.of_laws -= 1
        return list(tree.parts) if tree.kind == "times" else [tree]

    def gradient(self, row: Operator, items: Sequence[Symbol], at: int, rest: Rest) -> tuple[Node, int, bool]:
        """A gradient with a nabla."""
        symbol = items[at]
        names = self.names(symbol.sub) if symbol.sub is not None else ()
        order = 2 if symbol.sup is not None and flat(symbol.sup) == "2" else 1
        if symbol.sup is not None and order == 1 and flat(symbol.sup) not in ("T", r"\top"):
            raise self.error("a gradient with this superscript is not read", symbol)

        def operator(inner: Node) -> Node:
            value = Node("gradient", (inner,), (names,))
            return value if order == 1 else Node("gradient", (value,), (names,))

        return self.applied(operator, items, at, rest)

    def applied(
        self, operator: Callable[[Node], Node], items: Sequence[Symbol], at: int, rest: Rest
    ) -> tuple[Node, int, bool]:
        """A gradient of what follows."""
        if at + 1 >= len(items):
            raise self.error("a gradient of nothing", items[at])
        found = self.body(items, at + 1, operator)
        if found is not None:
            return (*self.evaluated(*found, items), False)
        body, end, swallowed = self.operand(items, at + 1, rest, log_of_one=True)
        if end < len(items) and items[end].name not in BARS and self.otherwise("gradient"):
            body, swallowed = self.term(items[at + 1 :], [])
            end = len(items)
        return (*self.evaluated(operator(body), end, items), swallowed)

    def evaluated(self, value: Node, at: int, items: Sequence[Symbol]) -> tuple[Node, int]:
        """A bar behind a derivative that says where it is taken: ``|_{z = g(e)}``."""
        bar = items[at] if at < len(items) else None
        if bar is None or bar.name not in BARS or bar.sub is None:
            return value, at
        parts = split(bar.sub, "=")
        name = name_of(parts[0][0]) if len(parts) == 2 and len(parts[0]) == 1 else None
        if name is None:
            raise self.error("what stands at this bar is not read", bar)
        return Node("at", (value, self.sum(parts[1])), (name,)), at + 1

    def partial(self, items: Sequence[Symbol], at: int, rest: Rest) -> tuple[Node, int, bool]:
        """A derivative with a subscript."""
        symbol = items[at]
        if symbol.sub is None:
            raise self.error(r"\partial without a name", symbol)
        names = self.names(symbol.sub)
        return self.applied(lambda inner: Node("gradient", (inner,), (names,)), items, at, rest)

    def derivative(self, symbol: Symbol) -> Callable[[Node], Node] | None:
        r"""``\frac{\partial}{\partial\theta}`` as an operator; None for any other symbol."""
        if symbol.name not in (r"\frac", r"\dfrac", r"\tfrac") or len(symbol.arguments) != 2:
            return None
        above, below = symbol.arguments
        if (
            len(above) != 1
            or above[0].name not in ("d", r"\partial", "@d")
            or not below
            or below[0].name not in ("d", r"\partial", "@d")
        ):
            return None
        names = self.differentials(below)
        return lambda inner: differentiated(inner, names)
