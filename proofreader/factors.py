"""The innermost layer of the parser: numbers, names, densities, fractions and brackets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from proofreader.arguments import Arguments
from proofreader.errors import DerivationSyntaxError
from proofreader.indices import BRACKETS, cut_at, is_mark, is_transpose, name_of, span_of, unknown_symbol
from proofreader.letters import USUAL_FUNCTIONS, USUAL_LAWS, law_letters_in, of_one_family
from proofreader.notation import CONSTANTS, named_law
from proofreader.symbols import BARS, DOTS, GREEK, Symbol, flat, split
from proofreader.syntax import Name, Node, density, number

__all__ = ["Factors"]


READINGS = {
    "log": "the logarithm without brackets reaches otherwise than usual",
    "dot": "the logarithm reaches across the product sign",
    "scope": "the expectation, sum or integral without brackets reaches past + and -",
    "power": "the power belongs to the bracket and not to the function in front of it",
    "events": "the index of an event such as z = k runs over all values",
    "gradient": "the gradient without brackets reaches to the end of its term",
}
MAX_NESTING = 60
# Letters of numbers that a network gives, so that a Greek subscript is what they depend on.
MOVED = frozenset((r"\mu", r"\sigma", r"\Sigma", r"\nu"))
# Letters of orders of magnitude, as in O(1/n).
ORDERS = frozenset(("O", "o", "cal:O", "@O"))


Rest = list[tuple[bool, list[Symbol]]]


def product_of(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("times", tuple(factors))


def with_dots(factors: list[Node]) -> list[Node]:
    """``a^T b`` as one inner product."""
    output: list[Node] = []
    for factor in factors:
        if output and output[-1].kind == "transposed":
            output[-1] = Node("dot", (output[-1].parts[0], factor))
        else:
            output.append(factor)
    return output


def differentiated(inner: Node, names: Iterable[Name]) -> Node:
    for name in names:
        inner = Node("gradient", (inner,), ((name,),))
    return inner


def nested(kind: str, names: tuple[Name, ...], body: Node) -> Node:
    for name in reversed(names):
        body = Node(kind, (body,), (name.base, None, None, None))
    return body


@dataclass(frozen=True, slots=True)
class MadeFields:
    tree: Node = field(default_factory=lambda: number(1))
    names: tuple[Name, ...] = ()


class Made(Symbol):
    """An integral that was read already, in the place of its symbols."""

    __slots__ = ("made",)

    def __init__(self, tree: Node, sign: Symbol, names: list[Name], body: Sequence[Symbol]) -> None:
        super().__init__("{integral}", sign.start, body[-1].end if body else sign.end, (tuple(body),))
        object.__setattr__(self, "made", MadeFields(tree, tuple(names)))

    def node(self) -> Node:
        """The integral as a node."""
        made: MadeFields = self.made  # type: ignore[attr-defined]
        return Node("integral", (made.tree,), (made.names, False))


class Factors(Arguments):
    """Numbers, names, densities, fractions and brackets."""

    def factor(self, items: Sequence[Symbol], at: int) -> tuple[Node, int]:
        """A number, a name, a density, a fraction or a bracket, with its power."""
        symbol = items[at]
        if isinstance(symbol, Made):
            return symbol.node(), at + 1
        if symbol.name.isdigit() or (symbol.name == "." and at + 1 < len(items) and items[at + 1].name.isdigit()):
            return self.digits(items, at)
        if symbol.name in (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac", r"\nicefrac", r"\sfrac"):
            return self.raised(self.fraction(symbol), symbol), at + 1
        if symbol.name == r"\sqrt":
            return self.root(symbol), at + 1
        if symbol.name in BRACKETS:
            return self.bracket(items, at)
        enclosed = {"<>": self.angle, "||": self.absolute, "‖‖": self.length}
        if symbol.arguments and symbol.name in (*enclosed, r"\overline", r"\bar"):
            return enclosed.get(symbol.name, self.stopped)(symbol), at + 1
        if (
            symbol.key in CONSTANTS
            and symbol.sup is None
            and (symbol.name.startswith(("@", "\\")) or (symbol.sub is None and self.alone(items)))
        ):
            return Node("constant", (), (symbol.key,)), at + 1
        if symbol.name == "@e" or (
            symbol.name == "e" and (symbol.sup is not None or (at and items[at - 1].name == r"\pi"))
        ):
            return Node("exp", (self.sum(symbol.sup or (Symbol("1", 0),)),)), at + 1
        taken = symbol.sub is not None or self.is_law_call(items, at) or r"\pi" in {*self.laws, *self.own}
        if symbol.name == r"\pi" and not taken:
            return self.raised(number(3.141592653589793), symbol), at + 1
        if symbol.is_letter() or symbol.name == r"\Pr":
            return self.letter(items, at)
        if symbol.name in DOTS:
            raise self.error("dots are read only in a list of variables", symbol)
        raise self.error(unknown_symbol(symbol.name), symbol)

    def alone(self, items: Sequence[Symbol]) -> bool:
        """Whether a letter such as c is a term by itself, of no fraction, and so may be an unnamed constant."""
        return len(items) == 1 and not self.fractions

    def is_law_call(self, items: Sequence[Symbol], at: int) -> bool:
        """Whether a bracket follows."""
        return at + 1 < len(items) and items[at + 1].name == "()"

    def digits(self, items: Sequence[Symbol], at: int) -> tuple[Node, int]:
        """A number."""
        text = ""
        end = at
        while end < len(items) and (items[end].name.isdigit() or items[end].name == ".") and len(text) < 15:
            if items[end].name == "." and (end + 1 == len(items) or not items[end + 1].name.isdigit()):
                break
            text += items[end].name
            end += 1
            if items[end - 1].sup is not None:
                break
        try:
            value = number(float(text))
        except ValueError:
            raise self.error(f"{text} is no number", items[at]) from None
        return self.raised(value, items[end - 1]), end

    def fraction(self, symbol: Symbol) -> Node:
        """A fraction or a whole derivative."""
        above, below = symbol.arguments[:2]
        marks = ("d", r"\partial", "@d")
        if (
            len(above) > 1
            and above[0].name in marks
            and below
            and below[0].name == above[0].name
            and len(below) > 1
            and name_of(replace(below[1], sup=None)) is not None
        ):
            start = 1
            return differentiated(self.sum(above[start:]), self.differentials(below))
        self.fractions += 1
        value = Node("quotient", (self.sum(above), self.sum(below)))
        self.fractions -= 1
        return value

    def root(self, symbol: Symbol) -> Node:
        """A root."""
        order = self.sum(symbol.arguments[1]) if len(symbol.arguments) > 1 else number(2)
        return self.raised(Node("power", (self.sum(symbol.arguments[0]), Node("quotient", (number(1), order)))), symbol)

    def bracket(self, items: Sequence[Symbol], at: int) -> tuple[Node, int]:
        """A bracket with its power."""
        symbol = items[at]
        if not symbol.arguments[0]:
            raise self.error("a bracket holds nothing", symbol)
        inner = self.sum(symbol.arguments[0])
        if symbol.sup is not None and is_transpose(symbol.sup):
            return Node("transposed", (inner,)), at + 1
        return self.raised(inner, symbol), at + 1

    def angle(self, symbol: Symbol) -> Node:
        r"""``\langle f \rangle_q``."""
        draws, laws = self.measure(symbol.sub or ())
        return self.raised(Node("expect", (*laws, self.sum(symbol.arguments[0])), (draws,)), symbol)

    def stopped(self, symbol: Symbol) -> Node:
        """An expression under a line, through which no gradient is taken."""
        self.assumes.append("the line over an expression says that no gradient is taken through it")
        return self.raised(Node("stop", (self.sum(symbol.arguments[0]),)), symbol)

    def absolute(self, symbol: Symbol) -> Node:
        """An absolute value."""
        return self.raised(Node("absolute", (self.sum(symbol.arguments[0]),)), symbol)

    def length(self, symbol: Symbol) -> Node:
        """The length of a vector."""
        return self.raised(Node("norm", (self.sum(symbol.arguments[0]),)), symbol)

    def letter(self, items: Sequence[Symbol], at: int) -> tuple[Node, int]:
        """A letter: a distribution by name, a density, a function, or a number that the letter stands for."""
        symbol = items[at]
        bracket = items[at + 1] if at + 1 < len(items) and items[at + 1].name in ("()", "[]") else None
        named = named_law(symbol.key)
        if (
            named
            and bracket is not None
            and bracket.name == "()"
            and (
                symbol.key not in ("N", "@U", "cal:U", "cal:B", "bb:N")
                or any(s.name == "," for s in bracket.arguments[0])
            )
            and symbol.key not in self.laws
        ):
            return self.raised(self.named(named, bracket), bracket), at + 2
        if bracket is not None and bracket.name == "()" and symbol.key in ORDERS and symbol.key not in self.laws:
            raise self.error(f"{flat([symbol])}(...) is an order of magnitude, which stands for no one number", symbol)
        if bracket is not None and bracket.arguments[0] and self.is_density(symbol, bracket):
            return self.density(symbol, bracket), at + 2
        if bracket is not None and self.is_call(symbol, bracket):
            return self.call(symbol, bracket), at + 2
        if bracket is not None and any(s.name in BARS for s in bracket.arguments[0]):
            raise self.error(f"{flat([symbol])} of one thing given another is not read", symbol)
        usual = symbol.key in USUAL_LAWS and symbol.key not in GREEK
        if bracket is None and cut_at(symbol.sub or (), BARS) is not None and symbol.key in self.laws | USUAL_LAWS:
            return self.density_letter(symbol), at + 1
        if bracket is None and self.of_laws and (symbol.key in self.laws or usual or symbol.key.lower() in self.laws):
            return self.density_letter(symbol), at + 1
        return self.scalar(symbol), at + 1

    def scalar(self, symbol: Symbol) -> Node:
        """A letter that stands for a number; ``\\mu_\\phi`` is a function of its parameter."""
        moved = symbol.name in MOVED or (symbol.key in self.laws | USUAL_LAWS and symbol.key not in GREEK)
        if moved and symbol.sup is None and symbol.sub and not symbol.style:
            letter, parameters = self.decorated(symbol)
            if parameters and not letter.index and not letter.mark:
                return Node("name", (), (letter, parameters))
        name = name_of(symbol, raised=False)
        if name is None and symbol.sup is not None:
            if is_transpose(symbol.sup):
                return Node("transposed", (self.scalar(replace(symbol, sup=None)),))
            return Node("power", (self.scalar(replace(symbol, sup=None)), self.sum(symbol.sup)))
        if name is None:
            raise self.error(unknown_symbol(symbol.name), symbol)
        return Node("name", (), (name, ()))

    def is_density(self, symbol: Symbol, bracket: Symbol) -> bool:
        """Whether a letter in front of a bracket is a density."""
        if bracket.name != "()" or (
            symbol.style == "cal" and symbol.key not in self.laws and symbol.key not in USUAL_LAWS
        ):
            return False
        content = bracket.arguments[0]
        if (of_one_family(content) and symbol.key not in ("p", "q")) or self.at_function(symbol, bracket):
            return False
        if len(content) == 1 and content[0].key in self.functions and not ("a" <= symbol.key <= "z"):
            return False  # P(f) is the average of f under P, and p(f) the density of a random function
        if any(s.name in BARS for s in content):
            return symbol.key not in USUAL_FUNCTIONS or symbol.key in self.laws or symbol.key in USUAL_LAWS
        known = (
            symbol.key in self.laws or symbol.key in USUAL_LAWS or (self.of_laws and symbol.key not in USUAL_FUNCTIONS)
        )
        return bool(known) and self.lists_names(content)

    def is_call(self, symbol: Symbol, bracket: Symbol) -> bool:
        """Whether a letter in front of a bracket is a function of it, and no factor."""
        content = bracket.arguments[0]
        lettered = symbol.style == "cal" or name_of(symbol, raised=False) is not None
        following = [*content[1:], symbol]
        itself = any(s.key == symbol.key and t.name != "()" for s, t in zip(content, following, strict=False))
        if not content or (symbol.sup is not None and not lettered) or itself:
            return False
        parts = split(content, ",", ";", *BARS) if of_one_family(content) else split(content, ",", ";")
        simple = all(len(part) == 1 and name_of(part[0]) is not None for part in parts)
        lawlike = all(self.is_law(part) for part in parts if part)
        if bracket.name == "[]":
            speaks = symbol.key in USUAL_FUNCTIONS and law_letters_in(content, self.laws)
            return lawlike or speaks or (simple and (symbol.key in USUAL_FUNCTIONS or symbol.name.startswith("@")))
        word = symbol.name.startswith("@") and len(symbol.name) > 2
        word |= self.at_function(symbol, bracket)
        return simple or lawlike or word or len(parts) > 1 or symbol.key in {*USUAL_FUNCTIONS, *self.functions}

    def at_function(self, symbol: Symbol, bracket: Symbol) -> bool:
        r"""Whether a density is taken at the value of a function, as in ``\\log q(g(\\epsilon))``."""
        content = bracket.arguments[0]
        calls = any(a.is_letter() and b.name == "()" for a, b in itertools.pairwise(content))
        return bracket.name == "()" and calls and symbol.key in self.laws | USUAL_LAWS

    def call(self, symbol: Symbol, bracket: Symbol) -> Node:
        """A function of its arguments; what is behind a bar makes it another function."""
        letter, parameters = self.decorated(symbol)
        arguments = []
        content = bracket.arguments[0]
        barred = self.at_function(symbol, bracket) and any(s.name in BARS for s in content)
        letter = replace(letter, mark=letter.mark + "|" * barred)
        for part in split(content, ",", ";", *BARS) if barred or of_one_family(content) else split(content, ",", ";"):
            if not part:
                raise self.error("an argument is missing", bracket)
            if self.is_law(part):
                self.of_laws += 1
                arguments.append(self.law(part))
                self.of_laws -= 1
            elif (span := span_of(part)) is not None:
                arguments.append(Node("name", (), (span, ())))
            else:
                arguments.append(self.sum(part))
        return self.raised(Node("name", tuple(arguments), (letter, parameters)), bracket)

    def density_letter(self, symbol: Symbol) -> Node:
        """The letter of a density alone; ``p_{z|x}`` says in its subscript of what."""
        labels = cut_at(symbol.sub or (), BARS)
        if labels is not None or self.labelled(symbol):
            try:
                left, right = (self.unlabelled(self.names(part)) if part else () for part in labels or (symbol.sub, ()))
                letter = self.decorated(replace(symbol, sub=None))[0]
                return density(letter, left, right)
            except DerivationSyntaxError:
                pass
        letter, parameters = self.decorated(symbol)
        return density(letter, (), (), parameters)

    def labelled(self, symbol: Symbol) -> bool:
        """Whether the subscript of a density names its variables, as in ``P_{X|Y}`` and ``P_Y``."""
        sub = symbol.sub or ()
        capital = len(sub) == 1 and sub[0].key.isupper() and sub[0].key.lower() in self.variables
        return capital or (len(sub) == 1 and sub[0].key in self.variables) or cut_at(sub, BARS) is not None

    def unlabelled(self, names: tuple[Name, ...]) -> tuple[Name, ...]:
        """The variables of which the capitals in a subscript are the labels."""
        return tuple(replace(n, base=n.base.lower()) if n.base.lower() in self.variables else n for n in names)

    def density(self, symbol: Symbol, bracket: Symbol) -> Node:
        """A density of variables given others."""
        power = symbol.sup is not None and flat(symbol.sup).isdigit() and not is_mark(symbol.sup)
        letter, parameters = self.decorated(replace(symbol, sup=None) if power else symbol, bracket)
        left, right, more = self.split_arguments(bracket.arguments[0])
        if not left:
            raise self.error("a density of nothing", symbol)
        value = self.raised(density(letter, left, right, (*parameters, *more)), bracket)
        return self.raised(value, symbol) if power else value

    def named(self, kind: str, bracket: Symbol) -> Node:
        """A distribution by name: its variable, if one is given, and its parameters."""
        content = bracket.arguments[0]
        pieces = cut_at(content, BARS | {";"})
        left: tuple[Name, ...] = ()
        tail: Sequence[Symbol] = content
        if pieces is not None:
            left, tail = self.names(pieces[0]), pieces[1]
        parameters = []
        outside, self.of_laws = self.of_laws, 0
        for part in split(tail, ",", ";"):
            try:
                lone = name_of(part[0]) if len(part) == 1 and part[0].name == r"\pi" else None
                parameters.append(Node("name", (), (lone, ())) if lone is not None else self.sum(part))
            except DerivationSyntaxError:
                parameters.append(Node("opaque", (), (flat(part),)))
        self.of_laws = outside
        return Node("named", tuple(parameters), (kind, left))
