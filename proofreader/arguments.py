"""What stands between the brackets of a density, and what its letter carries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from proofreader.errors import DerivationSyntaxError
from proofreader.indices import (
    cut_at,
    index_of,
    is_bare,
    is_parameter,
    is_unknown_command,
    leaves,
    name_of,
    span_between,
    value_of,
)
from proofreader.symbols import BARS, DOTS, DOUBLE_BARS, Symbol, flat, split
from proofreader.syntax import Index, Name, Node, Part, Span

__all__ = ["Arguments"]


class Arguments:
    """Reads one side; ``choices`` names the ambiguities to take the other way, ``seen`` collects those met."""

    def __init__(self, latex: str, laws: set[str], variables: set[str], choices: frozenset[str] = frozenset()) -> None:
        self.functions: Collection[str] = ()
        self.own: Collection[str] = ()
        self.latex = latex
        self.laws = laws
        self.variables = variables
        self.choices = choices
        self.seen: set[str] = set()
        self.notes: list[str] = []
        self.assumes: list[str] = []
        self.nesting = 0
        self.of_laws = 0
        self.fractions = 0

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

    def raised(self, value: Node, symbol: Symbol) -> Node:
        """A value with the power of its symbol."""
        return value if symbol.sup is None else Node("power", (value, self.sum(symbol.sup)))

    def sum(self, symbols: Sequence[Symbol]) -> Node:
        """Terms with signs between them."""
        raise NotImplementedError

    def law(self, symbols: Sequence[Symbol]) -> Node:
        """An argument of a divergence: a density, a letter alone, or an expression."""
        raise NotImplementedError

    def measure(self, symbols: Sequence[Symbol]) -> tuple[tuple[tuple[Name, ...], ...], tuple[Node, ...]]:
        """What stands under an expectation: for each law the variables drawn from it, and the laws."""
        raise NotImplementedError

    def is_law(self, part: Sequence[Symbol]) -> bool:
        """Whether a part of a list is a density."""
        raise NotImplementedError

    def decorated(self, symbol: Symbol, bracket: Symbol | None = None) -> tuple[Name, tuple[Name, ...]]:
        r"""The letter of a density or function, and the parameters in its subscript."""
        mine = (
            {s.name.lower() for s in leaves(bracket.arguments[0])} if bracket else {v.lower() for v in self.variables}
        )
        plain = replace(symbol, sub=None)
        parameters: list[Name] = []
        index: tuple[Part, ...] = ()
        mark = ""
        for part in split(symbol.sub, ",", ";") if symbol.sub is not None else []:
            names = [name_of(s) for s in part]
            if part and all(n is not None and is_parameter(n) for n in names):
                parameters += [n for n in names if n is not None]
            elif (found := index_of(part)) is not None and not self.is_variable_label(part, mine):
                index = (*index, found)
            elif not self.is_variable_label(part, mine):
                mark += f"_{{{flat(part)}}}"
        name = name_of(plain) or Name(symbol.key)
        if name.index and symbol.sup is not None:
            name = Name(name.base, (), f"{name.mark}^{{{flat(symbol.sup)}}}")
        return Name(name.base, index, name.mark + mark), tuple(parameters)

    def is_variable_label(self, part: Sequence[Symbol], mine: set[str]) -> bool:
        """``p_X(x)`` and ``p_{X|Z}(x|z)`` repeat what their arguments say."""
        letters = [s for s in part if s.is_letter()]
        barred = any(s.name in BARS for s in part)
        capitals = all(s.name.isupper() and s.name.lower() in mine for s in letters)
        named = capitals or (barred and all(s.key in self.variables for s in letters))
        return bool(letters) and named and all(s.is_letter() or s.name in BARS | {","} for s in part)

    def split_arguments(self, content: Sequence[Symbol]) -> tuple[tuple[Name, ...], tuple[Name, ...], tuple[Name, ...]]:
        """The variables in front of the bar, those behind it, and the parameters behind a semicolon."""
        content, tail = cut_at(content, frozenset([";"])) or (content, ())
        left, right = cut_at(content, BARS) or cut_at(content, DOUBLE_BARS) or (content, ())
        more = self.names(tail) if tail else ()
        if any(s.name.isdigit() for s in right):
            right = tuple(
                s for part in split(right, ",") if not part[0].name.isdigit() for s in (Symbol(",", 0), *part)
            )[1:]
        return self.names(left), self.names(right) if right else (), more

    def lists_names(self, content: Sequence[Symbol]) -> bool:
        """Whether a bracket holds variables alone."""
        try:
            self.split_arguments(content)
        except DerivationSyntaxError:
            return False
        return True

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
            lone = inner[0].index if braces.name == "{}" and len(inner) == 1 else ()
            if len(lone) == 1 and isinstance(lone[0], Index) and lone[0].letter:
                return (replace(inner[0], index=()),)  # the set of all members of a family
            return inner
        found: list[Name] = []
        dots = False
        for part in split(symbols, ",", r"\cap"):
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
        return Name(first.base, (*first.index[:-1], span_between(*ends)), first.mark)  # type: ignore[arg-type]

    def variable(self, part: Sequence[Symbol], around: Sequence[Symbol]) -> Name:
        """One variable of a list."""
        if len(part) == 1 and (name := name_of(part[0])) is not None:
            return name
        if len(part) == 3 and part[1].name == "=" and (variable := name_of(part[0])) is not None:
            value = index_of(part[2:]) or self.numbered(variable, part[2])
            if variable.index and value == Index("", 1):
                return variable
            if isinstance(value, Index) and value.letter and value.letter.lower() != variable.base.lower():
                return Name(variable.base, (*variable.index, value), variable.mark)
            lowered = name_of(part[2])
            if lowered is not None and lowered.base.lower() == variable.base.lower():
                return lowered
        if len(part) > 2 and part[1].name == "=" and (variable := name_of(part[0])) is not None and is_bare(variable):
            taken = value_of(part[2:])
            if taken:
                return replace(variable, mark=f"={taken}")
        if len(part) == 1 and part[0].name in ("{}", "()"):
            return self.names(part)[0]
        if len(part) == 1 and is_unknown_command(part[0]):
            plain = name_of(replace(part[0], name="x", style=""))
            if plain is not None:
                self.assumes.append(rf"{part[0].name} is a macro for a variable")
                return replace(plain, base=part[0].name)
        place = part[0] if part else (around[0] if around else None)
        raise self.error("a density takes variables here, not an expression", place)

    def numbered(self, variable: Name, value: Symbol) -> Index | None:
        """The index of a value that has a letter of its own, as the state ``q_i`` in ``z_t = q_i``."""
        name = name_of(value)
        own = name is not None and name.base.lower() != variable.base.lower() and len(name.index) == 1 and not name.mark
        part = name.index[0] if name is not None and own else None
        return part if isinstance(part, Index) and part.letter else None

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
