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

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from proofreader.brackets import grouped
from proofreader.errors import DerivationSyntaxError
from proofreader.layout import Side
from proofreader.names import names_in, renamed
from proofreader.notation import CONSTANTS, RELATIONS, SHY, Operator, named_law, operator_named, words
from proofreader.symbols import BARS, DOTS, DOUBLE_BARS, GREEK, Symbol, flat, split
from proofreader.syntax import Index, Name, Node, Others, Part, Span, density, number

__all__ = ["READINGS", "Reading", "inferred_laws", "law_letters", "readings_of", "variable_letters"]

READINGS = {
    "log": "the logarithm without brackets reaches otherwise than usual",
    "dot": "the logarithm reaches across the product sign",
    "scope": "the expectation, sum or integral without brackets reaches past + and -",
    "power": "the power belongs to the bracket and not to the function in front of it",
    "gradient": "the gradient without brackets reaches to the end of its term",
}
MAX_NESTING = 60
# Letters that are usually densities or functions; what a display does with a letter counts for more.
USUAL_LAWS = frozenset(["p", "q", "r", "P", "Q", "@Pr", r"\Pr", r"\pi", r"\rho", "cal:P", "cal:Q", "bb:P", "@p", "@q"])
USUAL_FUNCTIONS = frozenset(
    words(r"\Gamma f g h F G T u \psi \varphi \phi \sigma \mu cal:F cal:L L J V U E cal:E cal:G cal:J s")
)
TIMES = frozenset([r"\cdot", r"\times", "*", r"\ast", r"\odot", "·", "×", r"\circ@"])
MINUS = frozenset(["-", "−", "–"])
BRACKETS = frozenset(["()", "[]", "{}"])
_OTHERS = {
    **dict.fromkeys(["-", "/", "\\", r"\setminus", r"\backslash", r"\neq", r"\ne", r"\neg"], "-"),
    ">": ">",
    "<": "<",
    **dict.fromkeys([r"\ge", r"\geq"], ">="),
    **dict.fromkeys([r"\le", r"\leq"], "<="),
}
_RAISED = frozenset(["()", "[]", "*", r"\ast", r"\star", r"\dagger", r"\circ", r"\sharp", "+", "-"])


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a side: the tree, and the names of the choices that differ from the usual ones."""

    tree: Node
    choices: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()


def law_letters(symbols: Iterable[Symbol]) -> set[str]:
    """The letters that a display uses as densities: with a bar between arguments, under an expectation, in a
    divergence."""
    found: set[str] = set()
    previous: Symbol | None = None
    for symbol in symbols:
        if previous is not None and symbol.name in ("()", "[]"):
            _law_before(previous, symbol, found)
        for part in (*symbol.arguments, symbol.sub or (), symbol.sup or ()):
            if symbol.name != r"\text":
                found |= law_letters(part)
        if symbol.key.startswith("bb:E") or symbol.key in ("E", "@E", r"\E", r"\Var"):
            found |= _measure_letters(symbol.sub or ())
        previous = symbol
    return found


def inferred_laws(sides: Iterable[Sequence[Symbol]], laws: set[str]) -> set[str]:
    """Further letters of densities: those with joint and marginal arguments, those with a parameter under a
    logarithm, and
    the small letter of a law that stands alone in capitals."""
    found: dict[str, set[str]] = {}
    under_log: set[str] = set()
    _calls(sides, found, under_log)
    several = {key for key, lists in found.items() if len({text.count(",") + (":" in text) for text in lists}) > 1}
    small = {key.lower() for key in laws if key[-1:].isupper() and key.lower() in found}
    return {key for key in (several | under_log | small) - USUAL_FUNCTIONS if not named_law(key)}


def _calls(sides: Iterable[Sequence[Symbol]], found: dict[str, set[str]], under_log: set[str]) -> None:
    for symbols in sides:
        for at, symbol in enumerate(symbols):
            following = symbols[at + 1] if at + 1 < len(symbols) else None
            call = (
                following is not None
                and following.name == "()"
                and symbol.is_letter()
                and not operator_named(symbol.key)
            )
            if (
                call
                and following is not None
                and all(s.is_letter() or s.name in (",", ";") for s in following.arguments[0])
            ):
                found.setdefault(symbol.key, set()).add(flat(following.arguments[0]))
                parametric = symbol.sub is not None and all(s.name in GREEK for s in symbol.sub)
                parametric |= any(s.name == ";" for s in following.arguments[0])
                if parametric and at and operator_named(symbols[at - 1].key) is operator_named(r"\log"):
                    under_log.add(symbol.key)
            if symbol.name != r"\text":
                _calls([*symbol.arguments, symbol.sub or (), symbol.sup or ()], found, under_log)


def _law_before(previous: Symbol, bracket: Symbol, found: set[str]) -> None:
    inside = bracket.arguments[0]
    names = [s.name for s in inside]
    double = any(n in DOUBLE_BARS for n in names) or any(a in BARS and b in BARS for a, b in itertools.pairwise(names))
    if double:
        for at, symbol in enumerate(inside):
            alone = at + 1 == len(inside) or inside[at + 1].name in DOUBLE_BARS | BARS
            if (
                symbol.is_letter()
                and not named_law(symbol.key)
                and ((inside[at + 1 : at + 2] and inside[at + 1].name == "()") or alone)
            ):
                found.add(symbol.key)
    elif (
        (
            sum(n in BARS for n in names) == 1
            and previous.is_letter()
            and bracket.name == "()"
            and operator_named(previous.key) is None
        )
        and not _of_one_family(inside)
        and not named_law(previous.key)
        and previous.name != r"\Gamma"
    ):
        found.add(previous.key)


def _of_one_family(inside: Sequence[Symbol]) -> bool:
    """Whether the arguments are several values of one parameter, as in EM's ``Q(\\theta \\mid \\theta_t)``."""
    names = [s for s in inside if s.is_letter()]
    return (
        len(names) > 1
        and len({s.name for s in names}) == 1
        and names[0].name in GREEK
        and len(names) * 2 - 1 == len(inside)
    )


def _measure_letters(symbols: Sequence[Symbol]) -> set[str]:
    found = set()
    for at, symbol in enumerate(symbols):
        behind = symbols[at - 1].name if at else ""
        opens = bool(symbols[at + 1 : at + 2]) and symbols[at + 1].name == "()"
        if symbol.is_letter() and (opens or RELATIONS.get(behind) == "~"):
            found.add(symbol.key)
    return found


def index_of(symbols: Sequence[Symbol]) -> Part | None:
    """One index: a number, a letter, a letter plus or minus a number, a range, or the others."""
    names = [symbol.name for symbol in symbols]
    if not names or any(s.sub is not None or s.sup is not None or s.arguments for s in symbols):
        return None
    if ":" in names:
        at = names.index(":")
        first, last = index_of(symbols[:at]), index_of(symbols[at + 1 :])
        if at == 0:
            first = Index("", 1)
        return Span(first, last) if isinstance(first, Index) and isinstance(last, Index) else None
    if names[0] in _OTHERS and len(names) > 1:
        inner = index_of(symbols[1:])
        return Others(_OTHERS[names[0]], inner) if isinstance(inner, Index) else None
    if all(name.isdigit() for name in names) and len(names) <= 3:
        return Index("", int("".join(names)))
    if _is_index_letter(symbols[0]):
        if len(names) == 1:
            return Index(names[0])
        if names[1] in "+-" and len(names) <= 4 and names[2:] and all(name.isdigit() for name in names[2:]):
            return Index(names[0], int("".join(names[1:])))
    return None


def _is_index_letter(symbol: Symbol) -> bool:
    return (
        len(symbol.name) == 1 and symbol.name.isalpha() and symbol.name.isascii() and symbol.style in ("", "cal")
    ) or symbol.name in (r"\ell", r"\tau")


def indices_of(symbols: Sequence[Symbol]) -> tuple[Part, ...] | None:
    """Several indices, with commas between or as two letters side by side."""
    if len(symbols) == 1 and symbols[0].name == "()":
        symbols = symbols[0].arguments[0]
    parts = split(symbols, ",")
    if (
        len(parts) == 1
        and (len(symbols) == 2 or flat(symbols) == "ijk")
        and all(_is_index_letter(s) and not s.sub for s in symbols)
    ):
        parts = [(s,) for s in symbols]
    found = [index_of(part) for part in parts]
    return tuple(part for part in found if part is not None) if all(part is not None for part in found) else None


def name_of(symbol: Symbol, *, raised: bool = True) -> Name | None:
    """A symbol as a name; ``raised`` says whether a plain superscript is an index (of a variable) or a power (None)."""
    if symbol.name in (r"\cdot", r"\bullet", "·") and symbol.sub is None and symbol.sup is None:
        return Name("")
    if not symbol.is_letter() or symbol.arguments:
        return None
    base = symbol.key
    mark = f"~{symbol.style}" if symbol.style in ("hat", "tilde", "bar", "dot") else ""
    index: tuple[Part, ...] = ()
    if symbol.sub is not None:
        found = indices_of(symbol.sub)
        if found is None and len(symbol.sub) > 1 and any(s.name == "()" for s in symbol.sub):
            return None
        if found is None:
            mark += f"_{{{flat(symbol.sub)}}}"
        else:
            index = found
    if symbol.sup is None:
        return Name(base, index, mark)
    shown = flat(symbol.sup).replace(r"\prime", "'")
    if all(part.name == r"\prime" for part in symbol.sup):
        return Name(base, index, mark + "'" * len(symbol.sup))
    bracketed = len(symbol.sup) == 1 and symbol.sup[0].name in ("()", "[]")
    found = indices_of(symbol.sup[0].arguments[0] if bracketed else symbol.sup)
    if bracketed and found is not None:
        return Name(base, (*index, *found), mark)
    if found is not None and any(isinstance(part, Others) and not part.index.letter for part in found):
        return None
    is_mark = _is_mark(symbol.sup, based=symbol.sub is not None)
    if not raised and not is_mark:
        return None
    if found is not None and not is_mark:
        return Name(base, (*index, *found), mark)
    return Name(base, index, f"{mark}^{{{shown}}}")


def _is_mark(symbols: Sequence[Symbol], *, based: bool = False) -> bool:
    """Whether a superscript makes another object and is no power: a star, a word, a time in brackets, or a capital on a
    letter that has an index already."""
    lone = symbols[0].name if len(symbols) == 1 else ""
    if lone in _RAISED or (based and lone.isupper() and lone != "T"):
        return True
    words = [s for s in symbols if s.name.startswith("@") and len(s.name) > 2]
    letters = "".join(s.name for s in symbols)
    return (
        bool(words)
        or letters in ("old", "new", "opt", "prior", "post", "prev", "next", "model", "data", "true")
        or any(s.name == r"\prime" for s in symbols)
    )


class Parser:
    """Reads one side; ``choices`` names the ambiguities to take the other way, ``seen`` collects those met."""

    def __init__(self, latex: str, laws: set[str], variables: set[str], choices: frozenset[str] = frozenset()) -> None:
        self.latex = latex
        self.laws = laws
        self.variables = variables
        self.choices = choices
        self.seen: set[str] = set()
        self.notes: list[str] = []
        self.assumes: list[str] = []
        self.nesting = 0
        self.of_laws = 0
        self.forms: dict[str, Callable[[Operator, Sequence[Symbol], int, _Rest], tuple[Node, int, bool]]] = {
            "logarithm": self.logarithm,
            "function": self.function,
            "average": self.average,
            "gradient": self.gradient,
            "integral": self.unbounded_integral,
            "series": self.series,
            "extremum": self.extremum,
        }

    def error(self, message: str, symbol: Symbol | None = None) -> DerivationSyntaxError:
        """An error at a symbol."""
        return DerivationSyntaxError(message, self.latex, symbol.start if symbol is not None else 0)

    def note(self, text: str) -> None:
        """Keeps a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def otherwise(self, choice: str) -> bool:
        """Whether an ambiguity is to be taken the other way."""
        self.seen.add(choice)
        return choice in self.choices

    # Sums and terms

    def sum(self, symbols: Sequence[Symbol]) -> Node:
        """Terms with signs between them."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"operators nested deeper than {MAX_NESTING} levels", symbols[0] if symbols else None)
        try:
            return self.terms(self.signed(self.integrals(_absolutes(symbols))))
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

    def term(self, items: Sequence[Symbol], rest: _Rest) -> tuple[Node, bool]:
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
                factors.append(self.through(factors, value, items[0]))
                pending = None
                continue
            negative = items[at].name in MINUS
            value, at, swallowed = self.operand(items, at + negative, rest)
            value = Node("negative", (value,)) if negative else value
            if pending is not None and pending.name not in TIMES:
                factors = [Node("quotient", (_times(factors), value))]
            else:
                factors.append(value)
            pending = None
        return _times(_dots(factors)), swallowed

    def through(self, factors: Sequence[Node], last: Node, place: Symbol) -> Node:
        r"""The factors between dots and behind them: ``p(x_1) p(x_2|x_1) \\cdots p(x_n|x_{1:n-1})``."""
        letters = [n.index[-1] for n in names_in(last) if n.index and isinstance(n.index[-1], Index)]
        ends = [index for index in letters if index.letter and not index.offset]
        alike = [f for f in factors if f.kind == "density" == last.kind and f.data[0] == last.data[0]]
        if not ends or len(alike) < 2:
            raise self.error("these dots are not between factors of one kind with an index", place)
        running = next(letter for letter in "kijlmrs" if Index(letter) not in letters)
        general = renamed(last, {}, {ends[0].letter: Index(running)})
        return Node("product", (general,), (running, Index("", len(alike) + 1), ends[0], None))

    def operand(
        self, items: Sequence[Symbol], at: int, rest: _Rest, *, log_of_one: bool = False
    ) -> tuple[Node, int, bool]:
        """What begins at a place: an operator with its arguments, or a factor."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"operators nested deeper than {MAX_NESTING} levels", items[at])
        try:
            if at >= len(items):
                raise self.error("an operator has nothing behind it", items[-1] if items else None)
            symbol = items[at]
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
        if symbol.style in ("hat", "tilde", "bar", "dot"):
            return None
        following = items[at + 1] if at + 1 < len(items) else None
        opened = following is not None and following.name in BRACKETS
        if opened and following is not None and self.separator(following.arguments[0], strict=True) is not None:
            return self.divergence_row(symbol)
        if opened and symbol.name in ("D", "@D") and symbol.sub is not None and _is_divergence(symbol):
            return self.divergence_row(symbol)
        if (
            symbol.name == r"\arg"
            and following is not None
            and following.name in (r"\max", r"\min", r"\sup", r"\inf", "@max", "@min")
        ):
            return operator_named("@arg" + following.name[-3:].replace("sup", "max").replace("inf", "min"))
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
        if _of_one_family(content):
            return False
        if row.kind == "entropy":
            return symbol.key in ("H", r"\H") or bool(law_letters_in(content, self.laws))
        return any(s.name in (";", ":", ",") for s in content)

    def divergence_row(self, symbol: Symbol) -> Operator | None:
        """Which divergence a symbol in front of a double bar is."""
        text = flat([symbol])
        if "chi" in text:
            return operator_named(r"\chi")
        for kind, spellings in (("kl", ("KL", "kl")), ("tv", ("TV",)), ("js", ("JS",))):
            if any(word in text for word in spellings):
                return next(row for row in _ROWS if row.kind == kind)
        if symbol.sub and symbol.name in ("D", "@D", "R", "@R") and not any(s.name.startswith("@") for s in symbol.sub):
            return (
                next(row for row in _ROWS if row.kind == "renyi")
                if not law_letters_in(symbol.sub, self.laws) and symbol.sub[0].name != "f"
                else None
            )
        if symbol.name in ("D", "@D", "d", "@infdiv", "@H", "H") or symbol.key == "bb:D":
            return next(row for row in _ROWS if row.kind == ("entropy" if symbol.name in ("H", "@H") else "kl"))
        return operator_named(symbol.key)

    # Operators

    def logarithm(
        self, row: Operator, items: Sequence[Symbol], at: int, rest: _Rest, log_of_one: bool = False
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
        exponent = self.sum(following.sup)
        if following.name == "()" and self.otherwise("power"):
            return wrap(Node("power", (inner, exponent))), at + 1
        return Node("power", (wrap(inner), exponent)), at + 1

    def function(self, row: Operator, items: Sequence[Symbol], at: int, rest: _Rest) -> tuple[Node, int, bool]:
        """A function of what follows."""

        def wrap(inner: Node) -> Node:
            value = Node(row.kind, (inner,))
            return value if items[at].sup is None else Node("power", (value, self.sum(items[at].sup or ())))

        found = self.body(items, at + 1, wrap)
        if found is not None:
            return (*found, False)
        value, end, swallowed = self.operand(items, at + 1, rest)
        return wrap(value), end, swallowed

    def average(self, row: Operator, items: Sequence[Symbol], at: int, rest: _Rest) -> tuple[Node, int, bool]:
        """An expectation, a variance or a covariance."""
        factor = self.mean_field_factor(items[at].sub or (), items[at + 1 :])
        draws, laws = (((),), (factor,)) if factor else self.measure(items[at].sub or items[at].sup or ())
        if row.kind == "covariance":
            return self.covariance(items, at, draws, laws)

        def wrap(inner: Node) -> Node:
            return Node(row.kind, (*laws, inner), (draws,))

        following = items[at + 1] if at + 1 < len(items) else None
        if following is not None and following.name in BRACKETS and not laws:
            pieces = _cut(following.arguments[0], BARS)
            if pieces is not None:
                given = self.names(pieces[1])
                law = density(Name("p"), (Name(""),), given)
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
            alone = letter and _used_as_index(letter, body) and letter not in {s.name for s in _leaves(body)}
            return density(Name("", (part,))) if alone else None
        return density(Name("", (part,))) if isinstance(part, Others) else None

    def raised(self, value: Node, symbol: Symbol) -> Node:
        """A value with the power of its symbol."""
        return value if symbol.sup is None else Node("power", (value, self.sum(symbol.sup)))

    def covariance(
        self, items: Sequence[Symbol], at: int, draws: tuple[tuple[Name, ...], ...], laws: tuple[Node, ...]
    ) -> tuple[Node, int, bool]:
        """A covariance, with its two arguments."""
        following = items[at + 1] if at + 1 < len(items) else None
        parts = split(following.arguments[0], ",") if following is not None and following.name in BRACKETS else []
        if len(parts) != 2:
            raise self.error("a covariance takes two arguments", items[at])
        return Node("covariance", (*laws, self.sum(parts[0]), self.sum(parts[1])), (draws,)), at + 2, False

    def measure(self, symbols: Sequence[Symbol]) -> tuple[tuple[tuple[Name, ...], ...], tuple[Node, ...]]:
        """What stands under an expectation: for each law the variables drawn from it, and the laws."""
        bar = _cut(symbols, BARS)
        if bar is not None and not any(RELATIONS.get(s.name) == "~" for s in symbols):
            return ((),), (density(Name("p"), self.names(bar[0]), self.names(bar[1])),)
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
            names = (
                self.names(
                    [
                        s
                        for k, piece in enumerate(left)
                        for s in ((*piece, Symbol(",", 0)) if k + 1 < len(left) else piece)
                    ]
                )
                if left
                else ()
            )
            for number_, law in enumerate(self.laws_of(part[at + 1 :] if at is not None else part)):
                laws.append(law)
                draws.append(names if number_ == 0 else ())
        if waiting:
            names = self.names(
                [
                    s
                    for k, piece in enumerate(waiting)
                    for s in ((*piece, Symbol(",", 0)) if k + 1 < len(waiting) else piece)
                ]
            )
            draws.append(names)
        return tuple(draws), tuple(laws)

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

    def gradient(self, row: Operator, items: Sequence[Symbol], at: int, rest: _Rest) -> tuple[Node, int, bool]:
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
        self, operator: Callable[[Node], Node], items: Sequence[Symbol], at: int, rest: _Rest
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

    def partial(self, items: Sequence[Symbol], at: int, rest: _Rest) -> tuple[Node, int, bool]:
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
        return lambda inner: _differentiated(inner, names)

    def differentials(self, below: Sequence[Symbol]) -> list[Name]:
        r"""The names in ``\partial\theta\,\partial\phi`` or ``\partial\theta^2``, each as often as it is meant."""
        found: list[Name] = []
        for symbol in below:
            if symbol.name in ("d", r"\partial", "@d"):
                continue
            power = symbol.sup is not None and flat(symbol.sup) == "2"
            name = name_of(replace(symbol, sup=None) if power else symbol)
            if name is None:
                raise self.error("a derivative with respect to this is not read", symbol)
            found += [name] * (2 if power else 1)
        if not found:
            raise self.error("a derivative that does not say with respect to what", below[0] if below else None)
        return found

    def unbounded_integral(
        self, row: Operator, items: Sequence[Symbol], at: int, rest: _Rest
    ) -> tuple[Node, int, bool]:
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

    def integrals(self, symbols: Sequence[Symbol]) -> list[Symbol | _Made]:
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

    def integral(self, symbols: list[Symbol], at: int) -> tuple[_Made, int] | None:
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
        return _Made(self.sum(body), sign, names, symbols[at + 1 : end]), end

    def numbers(self, sign: Symbol) -> bool:
        """Whether an integral sign has limits."""
        return bool(sign.sub and sign.sup) and all(
            s.name.isdigit() or s.name in ("T", "t", "a", "b") for s in (*(sign.sub or ()), *(sign.sup or ()))
        )

    def earlier_sign(self, symbols: Sequence[Symbol], at: int) -> bool:
        """Whether another integral sign to the left still waits for its differential."""
        return any(
            (row := operator_named(s.name)) is not None and row.form == "integral" and not isinstance(s, _Made)
            for s in symbols[:at]
        )

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
        if name is None or isinstance(symbols[at + 1], _Made):
            return None
        if symbols[at + 1].name == "p" and at + 2 < len(symbols) and symbols[at + 2].name == "()":
            return None
        return name, at + 2

    def series(self, row: Operator, items: Sequence[Symbol], at: int, rest: _Rest) -> tuple[Node, int, bool]:
        """A sum or a product, over an index or over the values of variables."""
        symbol = items[at]
        wrap = self.range(row, symbol, items[at + 1 :])
        if at + 1 >= len(items):
            raise self.error("a sum of nothing", symbol)
        if row.kind == "product":
            end = len(items) if self.row(items, at + 1) is not None else self.product_end(items, at + 1, symbol)
            body, swallowed = self.term(items[at + 1 : end], [])
            return wrap(body), end, swallowed
        if rest and self.otherwise("scope"):
            return wrap(self.terms([(False, list(items[at + 1 :])), *rest])), len(items), True
        body, swallowed = self.term(items[at + 1 :], [])
        return wrap(body), len(items), swallowed

    def product_end(self, items: Sequence[Symbol], at: int, sign: Symbol) -> int:
        """Where the factors of a product end: at an operator, or behind the last factor with the index."""
        letter = sign.sub[0].name if sign.sub else ""
        bound = "".join(
            s.name for s in _leaves(items[at:]) if s.name in (r"\sum", r"\prod") and s.sub and s.sub[0].name == letter
        )
        end, used = at, False
        while end < len(items) and (end == at or self.row(items, end) is None):
            step = 2 if items[end].is_letter() and end + 1 < len(items) and items[end + 1].name == "()" else 1
            mine = _used_as_index(letter, items[end : end + step])
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
        if sub is None:
            raise self.error("a sum that does not say over what", symbol)
        at = next((k for k, s in enumerate(sub) if s.name in RELATIONS), None)
        relation = RELATIONS[sub[at].name] if at is not None else ""
        if at is not None and relation in ("=", "<", ">", ">=", "<=", "!="):
            return self.bounds(row, symbol, sub[:at], relation, sub[at + 1 :])
        names = self.names(sub[:at] if at is not None else sub)
        if relation == "in" and row.kind == "product" and names[0].base in {s.name for s in _leaves(following)}:
            raise self.error("a product over the members of a set is not read", symbol)
        if all(_is_bare(name) and _used_as_index(name.base, following) for name in names):
            return lambda body: _nested(row.kind, names, body)
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
        last = index_of(symbol.sup) if symbol.sup is not None else None
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

    def extremum(self, row: Operator, items: Sequence[Symbol], at: int, rest: _Rest) -> tuple[Node, int, bool]:
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

    # Operators with a bracket that has parts

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
        return self.information(symbol, content)

    def is_law(self, part: Sequence[Symbol]) -> bool:
        """Whether a part of a list is a density."""
        head = part[0]
        if not head.is_letter():
            return False
        if len(part) == 1:
            return head.key in self.laws or head.key in USUAL_LAWS
        return part[1].name == "()" and len(part) == 2

    def information(self, symbol: Symbol, content: Sequence[Symbol]) -> Node:
        """An entropy of variables, or mutual information."""
        pieces = _cut(content, BARS)
        head, given = pieces if pieces is not None else (content, ())
        cut = next((k for k, s in enumerate(head) if s.name in (";", ":")), None)
        is_entropy = (operator_named(symbol.key) or _ROWS[0]).kind == "entropy"
        if cut is None and not is_entropy:
            cut = next((k for k, s in enumerate(head) if s.name == ","), None)
            if cut is None:
                raise self.error("mutual information takes two variables with ; between them", symbol)
        first = self.names(head[:cut] if cut is not None else head)
        second = self.names(head[cut + 1 :]) if cut is not None else ()
        letter = Name("p")
        if symbol.sub is not None:
            called = len(symbol.sub) == 2 and symbol.sub[1].name == "()"
            found = name_of(symbol.sub[0]) if len(symbol.sub) == 1 or called else None
            letter = (
                found
                if found is not None and not _is_greek(found) and symbol.sub[0].key in self.laws | USUAL_LAWS
                else letter
            )
        return Node("information", (), (letter, first, second, self.names(given) if given else ()))

    # Factors

    def factor(self, items: Sequence[Symbol], at: int) -> tuple[Node, int]:
        """A number, a name, a density, a fraction or a bracket, with its power."""
        symbol = items[at]
        if isinstance(symbol, _Made):
            return symbol.node(), at + 1
        if symbol.name.isdigit() or (symbol.name == "." and at + 1 < len(items) and items[at + 1].name.isdigit()):
            return self.digits(items, at)
        if symbol.name in (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac", r"\nicefrac", r"\sfrac"):
            return self.raised(self.fraction(symbol), symbol), at + 1
        if symbol.name == r"\sqrt":
            return self.root(symbol), at + 1
        if symbol.name in BRACKETS:
            return self.bracket(items, at)
        enclosed = {"<>": self.angle, "||": self.absolute, r"\overline": self.stopped, r"\bar": self.stopped}
        if symbol.name in enclosed and symbol.arguments:
            return enclosed[symbol.name](symbol), at + 1
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
        if symbol.name == r"\pi" and not self.is_law_call(items, at) and r"\pi" not in self.laws and symbol.sub is None:
            return self.raised(number(3.141592653589793), symbol), at + 1
        if symbol.is_letter() or symbol.name == r"\Pr":
            return self.letter(items, at)
        if symbol.name in DOTS:
            raise self.error("dots are read only in a list of variables", symbol)
        raise self.error(_unknown(symbol.name), symbol)

    def alone(self, items: Sequence[Symbol]) -> bool:
        """Whether a letter such as c is a term by itself and so may be an unnamed constant."""
        return len(items) == 1

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
            return _differentiated(self.sum(above[start:]), self.differentials(below))
        return Node("quotient", (self.sum(above), self.sum(below)))

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
        if symbol.sup is not None and _is_transpose(symbol.sup):
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
        if bracket is not None and bracket.arguments[0] and self.is_density(symbol, bracket):
            return self.density(symbol, bracket), at + 2
        if bracket is not None and self.is_call(symbol, bracket):
            return self.call(symbol, bracket), at + 2
        if bracket is not None and any(s.name in BARS for s in bracket.arguments[0]):
            raise self.error(f"{flat([symbol])} of one thing given another is not read", symbol)
        usual = symbol.key in USUAL_LAWS and symbol.key not in GREEK
        if bracket is None and self.of_laws and (symbol.key in self.laws or usual or symbol.key.lower() in self.laws):
            return self.density_letter(symbol), at + 1
        return self.scalar(symbol), at + 1

    def scalar(self, symbol: Symbol) -> Node:
        """A letter that stands for a number."""
        name = name_of(symbol, raised=False)
        if name is None and symbol.sup is not None:
            if _is_transpose(symbol.sup):
                return Node("transposed", (self.scalar(replace(symbol, sup=None)),))
            return Node("power", (self.scalar(replace(symbol, sup=None)), self.sum(symbol.sup)))
        if name is None:
            raise self.error(_unknown(symbol.name), symbol)
        return Node("name", (), (name, ()))

    def is_density(self, symbol: Symbol, bracket: Symbol) -> bool:
        """Whether a letter in front of a bracket is a density."""
        if bracket.name != "()" or (
            symbol.style == "cal" and symbol.key not in self.laws and symbol.key not in USUAL_LAWS
        ):
            return False
        content = bracket.arguments[0]
        if _of_one_family(content) and symbol.key not in ("p", "q"):
            return False
        if any(s.name in BARS for s in content):
            return symbol.key not in USUAL_FUNCTIONS or symbol.key in self.laws or symbol.key in USUAL_LAWS
        known = (
            symbol.key in self.laws or symbol.key in USUAL_LAWS or (self.of_laws and symbol.key not in USUAL_FUNCTIONS)
        )
        return bool(known) and self.lists_names(content)

    def lists_names(self, content: Sequence[Symbol]) -> bool:
        """Whether a bracket holds variables alone."""
        try:
            self.split_arguments(content)
        except DerivationSyntaxError:
            return False
        return True

    def is_call(self, symbol: Symbol, bracket: Symbol) -> bool:
        """Whether a letter in front of a bracket is a function of it, and no factor."""
        content = bracket.arguments[0]
        lettered = symbol.style == "cal" or name_of(symbol, raised=False) is not None
        if not content or (symbol.sup is not None and not lettered):
            return False
        parts = split(content, ",", ";", *BARS) if _of_one_family(content) else split(content, ",", ";")
        simple = all(len(part) == 1 and name_of(part[0]) is not None for part in parts)
        lawlike = all(self.is_law(part) for part in parts if part)
        if bracket.name == "[]":
            return lawlike or (simple and (symbol.key in USUAL_FUNCTIONS or symbol.name.startswith("@")))
        word = symbol.name.startswith("@") and len(symbol.name) > 2
        return simple or lawlike or word or len(parts) > 1 or symbol.key in USUAL_FUNCTIONS

    def call(self, symbol: Symbol, bracket: Symbol) -> Node:
        """A function of its arguments."""
        letter, parameters = self.decorated(symbol)
        arguments = []
        content = bracket.arguments[0]
        for part in split(content, ",", ";", *BARS) if _of_one_family(content) else split(content, ",", ";"):
            if not part:
                raise self.error("an argument is missing", bracket)
            if self.is_law(part):
                self.of_laws += 1
                arguments.append(self.law(part))
                self.of_laws -= 1
            elif (span := _span_of(part)) is not None:
                arguments.append(Node("name", (), (span, ())))
            else:
                arguments.append(self.sum(part))
        return self.raised(Node("name", tuple(arguments), (letter, parameters)), bracket)

    def decorated(self, symbol: Symbol) -> tuple[Name, tuple[Name, ...]]:
        r"""The letter of a density or function, and the parameters in its subscript."""
        plain = replace(symbol, sub=None)
        parameters: list[Name] = []
        index: tuple[Part, ...] = ()
        mark = ""
        for part in split(symbol.sub, ",", ";") if symbol.sub is not None else []:
            names = [name_of(s) for s in part]
            if part and all(n is not None and _is_parameter(n) for n in names):
                parameters += [n for n in names if n is not None]
            elif (found := index_of(part)) is not None and not self.is_variable_label(part):
                index = (*index, found)
            elif not self.is_variable_label(part):
                mark += f"_{{{flat(part)}}}"
        name = name_of(plain) or Name(symbol.key)
        if name.index and symbol.sup is not None:
            name = Name(name.base, (), f"{name.mark}^{{{flat(symbol.sup)}}}")
        return Name(name.base, index, name.mark + mark), tuple(parameters)

    def is_variable_label(self, part: Sequence[Symbol]) -> bool:
        """``p_X(x)`` and ``p_{X|Z}(x|z)`` repeat what their arguments say."""
        letters = [s for s in part if s.is_letter()]
        barred = any(s.name in BARS for s in part)
        capitals = all(s.name.isupper() and len(s.name) == 1 for s in letters)
        named = capitals or (barred and all(s.key in self.variables for s in letters))
        return bool(letters) and named and all(s.is_letter() or s.name in BARS | {","} for s in part)

    def density_letter(self, symbol: Symbol) -> Node:
        """The letter of a density alone; ``p_{z|x}`` says in its subscript of what."""
        labels = _cut(symbol.sub or (), BARS)
        lone = symbol.sub is not None and len(symbol.sub) == 1 and symbol.sub[0].key in self.variables
        if labels is not None or lone:
            try:
                left, right = labels or (symbol.sub or (), ())
                letter = self.decorated(replace(symbol, sub=None))[0]
                return density(letter, self.names(left), self.names(right) if right else ())
            except DerivationSyntaxError:
                pass
        letter, parameters = self.decorated(symbol)
        return density(letter, (), (), parameters)

    def density(self, symbol: Symbol, bracket: Symbol) -> Node:
        """A density of variables given others."""
        power = symbol.sup is not None and flat(symbol.sup).isdigit() and not _is_mark(symbol.sup)
        letter, parameters = self.decorated(replace(symbol, sup=None) if power else symbol)
        left, right, more = self.split_arguments(bracket.arguments[0])
        if not left:
            raise self.error("a density of nothing", symbol)
        value = self.raised(density(letter, left, right, (*parameters, *more)), bracket)
        return self.raised(value, symbol) if power else value

    def split_arguments(self, content: Sequence[Symbol]) -> tuple[tuple[Name, ...], tuple[Name, ...], tuple[Name, ...]]:
        """The variables in front of the bar, those behind it, and the parameters behind a semicolon."""
        content, tail = _cut(content, frozenset([";"])) or (content, ())
        pieces = _cut(content, BARS)
        left, right = pieces if pieces is not None else (content, ())
        more = self.names(tail) if tail else ()
        return self.names(left), self.names(right) if right else (), more

    def names(self, symbols: Sequence[Symbol]) -> tuple[Name, ...]:
        r"""Variables with commas between them; ``z_1, \dots, z_K`` is a range."""
        if len(symbols) == 1 and symbols[0].name in ("()", "{}", "[]"):
            braces = symbols[0]
            inner = self.names(braces.arguments[0])
            last = index_of(braces.sup) if braces.sup is not None else None
            if braces.sub is not None and len(inner) == 1 and inner[0].index:
                first = index_of(split(braces.sub, "=")[-1])
                ends = (
                    first if isinstance(first, Index) and "=" in [s.name for s in braces.sub] else Index("", 1),
                    last if isinstance(last, Index) else Index(split(braces.sub, "=")[0][0].name.upper()),
                )
                return (Name(inner[0].base, (*inner[0].index[:-1], Span(*ends)), inner[0].mark),)
            return inner
        found: list[Name] = []
        dots = False
        for part in split(symbols, ","):
            if len(part) == 1 and part[0].name in DOTS:
                dots = True
                continue
            name = self.variable(part, symbols)
            if dots and found:
                name = self.ranged(found, name, part)
                dots = False
            found.append(name)
        return tuple(found)

    def ranged(self, found: list[Name], last: Name, part: Sequence[Symbol]) -> Name:
        """A family between dots."""
        first = found.pop()
        if found and found[-1].base == first.base and found[-1].index:
            first = found.pop()
        ends = (*first.index[-1:], *last.index[-1:])
        if first.base != last.base or len(ends) != 2 or not all(isinstance(end, Index) for end in ends):
            raise self.error("these dots are not between two members of one family", part[0])
        return Name(first.base, (*first.index[:-1], Span(ends[0], ends[1])), first.mark)  # type: ignore[arg-type]

    def variable(self, part: Sequence[Symbol], around: Sequence[Symbol]) -> Name:
        """One variable of a list."""
        if len(part) == 1 and (name := name_of(part[0])) is not None:
            return name
        if len(part) == 3 and part[1].name == "=" and (variable := name_of(part[0])) is not None:
            value = index_of(part[2:])
            if variable.index and value == Index("", 1):
                return variable
            if isinstance(value, Index) and value.letter and value.letter.lower() != variable.base.lower():
                return Name(variable.base, (*variable.index, value), variable.mark)
            lowered = name_of(part[2])
            if lowered is not None and lowered.base.lower() == variable.base.lower():
                return lowered
        if len(part) == 1 and part[0].name in ("{}", "()"):
            return self.names(part)[0]
        if len(part) == 1 and _is_unknown_command(part[0]):
            plain = name_of(replace(part[0], name="x", style=""))
            if plain is not None:
                self.assumes.append(rf"{part[0].name} is a macro for a variable")
                return replace(plain, base=part[0].name)
        place = part[0] if part else (around[0] if around else None)
        raise self.error("a density takes variables here, not an expression", place)

    def named(self, kind: str, bracket: Symbol) -> Node:
        """A distribution by name: its variable, if one is given, and its parameters."""
        content = bracket.arguments[0]
        pieces = _cut(content, BARS | {";"})
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


@dataclass(frozen=True, slots=True)
class _MadeFields:
    tree: Node = field(default_factory=lambda: number(1))
    names: tuple[Name, ...] = ()


class _Made(Symbol):
    """An integral that was read already, in the place of its symbols."""

    __slots__ = ("made",)

    def __init__(self, tree: Node, sign: Symbol, names: list[Name], body: Sequence[Symbol]) -> None:
        super().__init__("{integral}", sign.start, body[-1].end if body else sign.end, (tuple(body),))
        object.__setattr__(self, "made", _MadeFields(tree, tuple(names)))

    def node(self) -> Node:
        """The integral as a node."""
        made: _MadeFields = self.made  # type: ignore[attr-defined]
        return Node("integral", (made.tree,), (made.names, False))


_Rest = list[tuple[bool, list[Symbol]]]
_ROWS = (
    *tuple(
        row for row in (operator_named(s) for s in (r"\log", r"\KL", r"\chi", r"\TV", r"\JS", "@H")) if row is not None
    ),
    Operator("renyi", "", "divergence", r"D_{{{2}}}({0} \Vert {1})"),
)


def _absolutes(symbols: Sequence[Symbol]) -> list[Symbol]:
    """The symbols with each pair of bars, and what stands between them, in one piece."""
    output: list[Symbol] = []
    opened: int | None = None
    for symbol in symbols:
        if symbol.name not in BARS or symbol.sub is not None:
            output.append(symbol)
        elif opened is None:
            opened = len(output)
            output.append(symbol)
        elif len(output) > opened + 1:
            inside = tuple(output[opened + 1 :])
            output[opened:] = [Symbol("||", output[opened].start, symbol.end, (inside,), None, symbol.sup)]
            opened = None
    return output


def _times(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("times", tuple(factors))


def _dots(factors: list[Node]) -> list[Node]:
    """``a^T b`` as one inner product."""
    output: list[Node] = []
    for factor in factors:
        if output and output[-1].kind == "transposed":
            output[-1] = Node("dot", (output[-1].parts[0], factor))
        else:
            output.append(factor)
    return output


def _differentiated(inner: Node, names: Iterable[Name]) -> Node:
    for name in names:
        inner = Node("gradient", (inner,), ((name,),))
    return inner


def _nested(kind: str, names: tuple[Name, ...], body: Node) -> Node:
    for name in reversed(names):
        body = Node(kind, (body,), (name.base, None, None, None))
    return body


def _cut(symbols: Sequence[Symbol], separators: frozenset[str]) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]] | None:
    for at, symbol in enumerate(symbols):
        if symbol.name in separators:
            return tuple(symbols[:at]), tuple(symbols[at + 1 :])
    return None


def _is_unknown_command(symbol: Symbol) -> bool:
    """A macro that some other file defines, in the place of a variable."""
    name = symbol.name
    return (
        name.startswith("\\")
        and name[1:].isalpha()
        and len(name) > 2
        and operator_named(name) is None
        and name not in RELATIONS | dict.fromkeys(DOTS | BARS | DOUBLE_BARS)
        and not name.startswith((r"\begin", r"\end"))
    )


def _is_divergence(symbol: Symbol) -> bool:
    """Whether a subscript names a divergence."""
    return flat(symbol.sub or ()).strip("{}").upper() in ("KL", "TV", "JS")


def _is_bare(name: Name) -> bool:
    return not name.index and not name.mark


def _is_greek(name: Name) -> bool:
    return name.base in GREEK


def _is_parameter(name: Name) -> bool:
    return name.base in GREEK - {r"\ell", r"\tau"} or (name.base in ("w", "W", "v", "b") and not name.index)


def _is_transpose(symbols: Sequence[Symbol]) -> bool:
    return len(symbols) == 1 and symbols[0].name in ("T", r"\top", r"\intercal", "@T", r"\mathsf", r"\transpose")


def _used_as_index(letter: str, symbols: Iterable[Symbol]) -> bool:
    symbols = list(symbols)
    if any(a.name == "=" and b.name == letter for a, b in itertools.pairwise(symbols)):
        return True
    for symbol in symbols:
        scripts = [*(symbol.sub or ()), *(s for s in (symbol.sup or ()) if s.name == "()" or s.name == letter)]
        if any(s.name == letter or (s.arguments and letter in flat([s])) for s in scripts) or _used_as_index(
            letter, (s for a in symbol.arguments for s in a)
        ):
            return True
        if symbol.sub is not None and _used_as_index(letter, symbol.sub):
            return True
    return False


def _leaves(symbols: Iterable[Symbol]) -> Iterable[Symbol]:
    """All symbols but those in scripts."""
    for symbol in symbols:
        yield symbol
        for argument in symbol.arguments:
            yield from _leaves(argument)


def _span_of(part: Sequence[Symbol]) -> Name | None:
    name = name_of(part[0]) if len(part) == 1 else None
    return name if name is not None and any(not isinstance(i, Index) for i in name.index) else None


def law_letters_in(symbols: Iterable[Symbol], laws: set[str]) -> bool:
    """Whether some letter of a density occurs."""
    return any(
        s.key in laws or s.key in USUAL_LAWS or law_letters_in((t for a in s.arguments for t in a), laws)
        for s in symbols
    )


def _unknown(name: str) -> str:
    if name in (r"\infty", r"\lim"):
        return f"{name}: limits have no value on a finite model"
    if name.startswith(r"\begin"):
        return f"{name[6:]} is not read"
    if name == "{}":
        return "a script without a base"
    return f"{name} is not a symbol that is read here"


def variable_letters(symbols: Iterable[Symbol], laws: set[str]) -> set[str]:
    """The letters that stand as arguments of densities."""
    found: set[str] = set()
    previous: Symbol | None = None
    for symbol in symbols:
        if symbol.name == "()" and previous is not None and previous.key in laws | USUAL_LAWS:
            found |= {s.key for s in symbol.arguments[0] if s.is_letter() and s.name not in GREEK}
        for part in (*symbol.arguments, symbol.sub or ()) if symbol.name != r"\text" else ():
            found |= variable_letters(part, laws)
        previous = symbol
    return found


def readings_of(side: Side, latex: str, laws: set[str], variables: set[str]) -> list[Reading]:
    """All readings of a side, the usual one first.

    Raises:
        DerivationSyntaxError: At the first place that cannot be read.
    """
    symbols = grouped(side, latex)
    if not symbols:
        raise DerivationSyntaxError("one side of a relation is missing", latex, side.start)
    usual = Parser(latex, laws, variables)
    tree = usual.sum(symbols)
    assumes = tuple(dict.fromkeys(usual.assumes))
    found = [Reading(tree, frozenset(), tuple(usual.notes), assumes)]
    flags = sorted(usual.seen)[:4]
    for number_ in range(1, 2 ** len(flags)):
        choices = frozenset(flag for at, flag in enumerate(flags) if number_ >> at & 1)
        parser = Parser(latex, laws, variables, choices)
        other = parser.sum(symbols)
        if all(other != known.tree for known in found):
            found.append(Reading(other, choices, tuple(parser.notes), assumes))
    return found
