r"""From the symbols of one side to its syntax trees: all readings of it that people use.

Products bind closer than sums. How far an operator without brackets reaches is settled by these rules; where readers
differ, the reading has a name, and the other reading is built when it is asked for.

- A logarithm takes all factors that follow in its term, up to the next logarithm; a fraction or a bracket right behind
  it is all it takes, unless the fraction stands in front of an operator (reading ``log``).
- An expectation, a sum or an integral takes the rest of its term (reading ``scope``: the rest of the side); with a
  bracket it takes the bracket; an integral with its ``dz`` takes what stands between.
- A product sign stops at the next logarithm, sum or expectation; a gradient takes the next factor (reading
  ``gradient``: the rest of the term); a maximum takes the rest of the side.
- A power behind a bracket belongs to the operator in front of it (reading ``power``: to the bracket).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from proofreader.bracketed import ROWS
from proofreader.brackets import grouped
from proofreader.errors import DerivationSyntaxError
from proofreader.factors import MAX_NESTING, Rest, product_of, with_dots
from proofreader.indices import BRACKETS, MINUS, TIMES, is_divergence
from proofreader.layout import Side
from proofreader.letters import law_letters_in, of_one_family
from proofreader.names import names_in
from proofreader.notation import RELATIONS, SHY, Operator, operator_named
from proofreader.operators import Operators
from proofreader.renaming import renamed
from proofreader.symbols import BARS, DOTS, DOUBLE_BARS, GREEK, Symbol, flat
from proofreader.syntax import Index, Node

__all__ = ["Reading", "readings_of"]

# Capital letters for the signs that they look like, where something below them says over what.
CAPITAL_SUMS = {r"\Sigma": r"\sum", r"\Pi": r"\prod"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a side: the tree, and the names of the choices that differ from the usual ones."""

    tree: Node
    choices: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()


class Parser(Operators):
    """Reads one side; what it is told to read otherwise than usual, and what it met."""

    def __init__(self, latex: str, laws: set[str], variables: set[str], choices: frozenset[str] = frozenset()) -> None:
        super().__init__(latex, laws, variables, choices)
        self.forms: dict[str, Callable[[Operator, Sequence[Symbol], int, Rest], tuple[Node, int, bool]]] = {
            "logarithm": self.logarithm,
            "function": self.function,
            "average": self.average,
            "gradient": self.gradient,
            "integral": self.unbounded_integral,
            "series": self.series,
            "extremum": self.extremum,
        }

    def sum(self, symbols: Sequence[Symbol]) -> Node:
        """Terms with signs between them."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"operators nested deeper than {MAX_NESTING} levels", symbols[0] if symbols else None)
        try:
            return self.terms(self.signed(self.integrals(_absolutes(_absolutes(symbols, DOUBLE_BARS, "‖‖")))))
        finally:
            self.nesting -= 1

    def signed(self, symbols: Sequence[Symbol]) -> list[tuple[bool, list[Symbol]]]:
        """The terms with their signs."""
        found: list[tuple[bool, list[Symbol]]] = []
        current: list[Symbol] = []
        negative = False
        last: Symbol | None = None
        for symbol in symbols:
            sign = symbol.name in MINUS or symbol.name == "+"
            if symbol.name in (r"\pm", r"\mp"):
                raise self.error(f"{symbol.name} has two meanings: write two lines", symbol)
            if sign and (not current or (last is not None and last.name not in TIMES and last.name != "/")):
                if current:
                    found.append((negative, current))
                    negative = False
                    current = []
                    negative = symbol.name in MINUS
                else:
                    negative ^= symbol.name in MINUS
                last = symbol
                continue
            current.append(symbol)
            last = symbol
        if not current:
            raise self.error(
                "the side ends where something should follow" if last is not None else "one side is empty", last
            )
        found.append((negative, current))
        return found

    def terms(self, signed: list[tuple[bool, list[Symbol]]]) -> Node:
        """A sum of terms; an operator may swallow those behind it."""
        result: list[Node] = []
        at = 0
        while at < len(signed):
            negative, items = signed[at]
            value, swallowed = self.term(items, signed[at + 1 :])
            result.append(Node("negative", (value,)) if negative else value)
            at = len(signed) if swallowed else at + 1
        return result[0] if len(result) == 1 else Node("sum", tuple(result))

    def term(self, items: Sequence[Symbol], rest: Rest) -> tuple[Node, bool]:
        """Factors side by side."""
        factors: list[Node] = []
        pending: Symbol | None = None
        at, swallowed = 0, False
        while at < len(items):
            if items[at].name in TIMES or items[at].name in ("/", r"\div"):
                pending = items[at]
                at += 1
                if not factors or at == len(items):
                    raise self.error(
                        f"{pending.name} has nothing {'in front of' if not factors else 'behind'} it", pending
                    )
                continue
            if items[at].name in DOTS and factors and at + 1 < len(items):
                value, at, swallowed = self.operand(items, at + 1 + (items[at + 1].name in TIMES), rest)
                factors = self.through(factors, value, items[0])
                pending = None
                continue
            found = self.differential(items, at) if at or len(items) == 2 else None
            if found and found[1] == len(items) and found[0].base in self.variables | GREEK:
                raise self.error("a differential without its integral is not read", items[at])
            negative = items[at].name in MINUS
            value, at, swallowed = self.operand(items, at + negative, rest)
            value = Node("negative", (value,)) if negative else value
            if pending is not None and pending.name not in TIMES:
                factors = [Node("quotient", (product_of(factors), value))]
            else:
                factors.append(value)
            pending = None
        return product_of(with_dots(factors)), swallowed

    def through(self, factors: list[Node], last: Node, place: Symbol) -> list[Node]:
        r"""Factors with those between dots and behind them: ``p(x_1) p(x_2|x_1) \\cdots p(x_n|x_{1:n-1})``."""
        alike = [f for f in factors if f.kind == "density" == last.kind and f.data[0] == last.data[0]]
        up = Family.of(last, alike[-1]) if alike else None
        if up is not None and (up.exact or len(alike) > 1):
            written = up.written(factors, lambda back: Index("", up.at - back))
            return [*factors[: len(factors) - written], up.product(Index("", up.at + 1 - written), Index(up.end))]
        down = Family.of(alike[-1], last) if alike else None
        if down is not None and down.exact:
            written = down.written(factors, lambda back: Index(down.end, back))
            return [*factors[: len(factors) - written], down.product(Index("", down.at), Index(down.end, written - 1))]
        raise self.error("these dots are not between factors of one kind with an index", place)

    def operand(
        self, items: Sequence[Symbol], at: int, rest: Rest, *, log_of_one: bool = False
    ) -> tuple[Node, int, bool]:
        """What begins at a place: an operator with its arguments, or a factor."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"operators nested deeper than {MAX_NESTING} levels", items[at])
        try:
            if at >= len(items):
                raise self.error("an operator has nothing behind it", items[-1] if items else None)
            symbol = items[at]
            event = self.indicator(items, at)
            if event is not None:
                return (*event, False)
            row = self.row(items, at)
            if row is not None:
                if row.form == "logarithm":
                    return self.logarithm(row, items, at, rest, log_of_one)
                if row.form in self.forms:
                    return self.forms[row.form](row, items, at, rest)
                return (*self.bracketed(row, items, at), False)
            if symbol.name == r"\partial":
                return self.partial(items, at, rest)
            operator = self.derivative(symbol)
            if operator is not None:
                return self.applied(operator, items, at, rest)
            value, end = self.factor(items, at)
            if end < len(items) and items[end].name == "!":
                value, end = Node("factorial", (value,)), end + 1
            return value, end, False
        finally:
            self.nesting -= 1

    def row(self, items: Sequence[Symbol], at: int) -> Operator | None:
        """The operator that begins here, if the letter is one and its surroundings fit."""
        symbol = items[at]
        if symbol.style in ("hat", "tilde", "bar", "dot") or symbol.key in self.own:
            return None
        following = items[at + 1] if at + 1 < len(items) else None
        opened = following is not None and following.name in BRACKETS
        if opened and following is not None and self.separator(following.arguments[0], strict=True) is not None:
            return self.divergence_row(symbol)
        if opened and symbol.name in ("D", "@D") and symbol.sub is not None and is_divergence(symbol):
            return self.divergence_row(symbol)
        if (
            symbol.name == r"\arg"
            and following is not None
            and following.name in (r"\max", r"\min", r"\sup", r"\inf", "@max", "@min")
        ):
            return operator_named("@arg" + following.name[-3:].replace("sup", "max").replace("inf", "min"))
        if symbol.name in CAPITAL_SUMS and symbol.sub and any(RELATIONS.get(s.name) in ("in", "=") for s in symbol.sub):
            return operator_named(CAPITAL_SUMS[symbol.name])
        row = operator_named(symbol.key)
        if row is None or symbol.key not in SHY:
            if row is not None and row.form in ("divergence", "entropy", "information") and not opened:
                return None
            return row
        return row if self.fits(row, symbol, following) else None

    def fits(self, row: Operator, symbol: Symbol, following: Symbol | None) -> bool:
        """Whether a plain letter is an operator here, by what stands around it."""
        if row.kind == "gamma_function":
            return following is not None and following.name == "()"
        if symbol.sup is not None and row.kind != "chi2":
            return False
        if row.form == "average":
            measured = symbol.sub is not None and bool(law_letters_in(symbol.sub, self.laws))
            return measured or (following is not None and following.name in ("[]", "{}"))
        if following is None or following.name not in BRACKETS or symbol.key in self.laws:
            return False
        content = following.arguments[0]
        if of_one_family(content):
            return False
        if row.kind == "entropy":
            return symbol.key in ("H", r"\H") or bool(law_letters_in(content, self.laws))
        return any(s.name in (";", ":", ",") for s in content)

    def divergence_row(self, symbol: Symbol) -> Operator | None:
        """Which divergence a symbol in front of a double bar is."""
        text = flat([symbol])
        if "chi" in text:
            return operator_named(r"\chi") if flat(symbol.sup or ()) in ("", "2") else None
        for kind, spellings in (("kl", ("KL", "kl")), ("tv", ("TV",)), ("js", ("JS",))):
            if any(word in text for word in spellings):
                return next(row for row in ROWS if row.kind == kind)
        if symbol.sub and symbol.name in ("D", "@D", "R", "@R") and not any(s.name.startswith("@") for s in symbol.sub):
            return (
                next(row for row in ROWS if row.kind == "renyi")
                if not law_letters_in(symbol.sub, self.laws) and symbol.sub[0].name != "f"
                else None
            )
        if symbol.name in ("D", "@D", "d", "@infdiv", "@H", "H") or symbol.key == "bb:D":
            return next(row for row in ROWS if row.kind == ("entropy" if symbol.name in ("H", "@H") else "kl"))
        return operator_named(symbol.key)


def _absolutes(symbols: Sequence[Symbol], bars: frozenset[str] = BARS, name: str = "||") -> list[Symbol]:
    """The symbols with each pair of bars, and what stands between them, in one piece."""
    output: list[Symbol] = []
    opened: int | None = None
    for symbol in symbols:
        if symbol.name not in bars or (symbol.sub is not None and flat(symbol.sub) != "2"):
            output.append(symbol)
        elif opened is None:
            opened = len(output)
            output.append(symbol)
        elif len(output) > opened + 1:
            inside = tuple(output[opened + 1 :])
            output[opened:] = [Symbol(name, output[opened].start, symbol.end, (inside,), None, symbol.sup)]
            opened = None
    return output


def readings_of(
    side: Side,
    latex: str,
    laws: set[str],
    variables: set[str],
    functions: Collection[str] = (),
    own: Collection[str] = (),
) -> list[Reading]:
    """All readings of a side, the usual one first.

    Raises:
        DerivationSyntaxError: At the first place that cannot be read.
    """
    symbols = grouped(side, latex)
    if not symbols:
        raise DerivationSyntaxError("one side of a relation is missing", latex, side.start)
    usual = Parser(latex, laws, variables)
    usual.functions, usual.own = functions, own
    tree = usual.sum(symbols)
    assumes = tuple(dict.fromkeys(usual.assumes))
    found = [Reading(tree, frozenset(), tuple(usual.notes), assumes)]
    flags = sorted(usual.seen)[:4]
    for number_ in range(1, 2 ** len(flags)):
        choices = frozenset(flag for at, flag in enumerate(flags) if number_ >> at & 1)
        parser = Parser(latex, laws, variables, choices)
        parser.functions, parser.own = functions, own
        other = parser.sum(symbols)
        if all(other != known.tree for known in found):
            found.append(Reading(other, choices, tuple(parser.notes), assumes))
    return found


class Family(NamedTuple):
    """Factors with a running index: the general one, its last index, and where a given factor stands among them, and
    whether it is that one altogether."""

    general: Node
    running: str
    end: str
    at: int
    exact: bool

    @classmethod
    def of(cls, moving: Node, fixed: Node) -> Family | None:
        """The family of a factor with a last index and of one with a number."""
        letters = [n.index[-1] for n in names_in(moving) if n.index and isinstance(n.index[-1], Index)]
        ends = dict.fromkeys(index.letter for index in letters if index.letter)
        if len(ends) != 1:
            return None
        (end,) = ends
        running = next(letter for letter in "kijlmrs" if letter != end)
        general = renamed(moving, {}, {end: Index(running)})
        offsets = [n.index[-1].offset for n in moving.data[1] if n.index and isinstance(n.index[-1], Index)]
        for at in range(4):
            member = renamed(general, {}, {running: Index("", at)})
            # Of the last kind, two members do not end where the smallest family does.
            if member.data[1] == fixed.data[1] and (at < 3 or min(offsets, default=0) >= 0):
                return cls(general, running, end, at, member == fixed)
        return None

    def written(self, factors: Sequence[Node], index: Callable[[int], Index]) -> int:
        """How many of the last factors are members of the family, one after another."""
        members = (renamed(self.general, {}, {self.running: index(back)}) for back in range(len(factors)))
        pairs = zip(reversed(factors), members, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def product(self, first: Index, last: Index) -> Node:
        """The product of the members from one to another."""
        return Node("product", (self.general,), (self.running, first, last, None))
