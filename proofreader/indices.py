"""Symbols as names: indices, marks, transposes, and where a letter is used as an index."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from proofreader.notation import RELATIONS, operator_named
from proofreader.symbols import BARS, DOTS, DOUBLE_BARS, GREEK, Symbol, flat, split
from proofreader.syntax import Index, Name, Others, Part, Span

__all__ = ["index_of", "indices_of", "name_of"]


TIMES = frozenset([r"\cdot", r"\times", "*", r"\ast", r"\odot", "·", "×", r"\circ@"])
# What stands in the place of a variable, as in q(\cdot | x).
PLACEHOLDERS = frozenset([r"\cdot", r"\bullet", "·", "."])


MINUS = frozenset(["-", "−", "–"])


BRACKETS = frozenset(["()", "[]", "{}"])


OTHERS = {
    **dict.fromkeys(["-", "/", "\\", r"\setminus", r"\backslash", r"\neq", r"\ne", r"\neg"], "-"),
    ">": ">",
    "<": "<",
    **dict.fromkeys([r"\ge", r"\geq"], ">="),
    **dict.fromkeys([r"\le", r"\leq"], "<="),
}


RAISED = frozenset(["()", "[]", "*", r"\ast", r"\star", r"\dagger", r"\circ", r"\sharp", "+", "-"])


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
        return span_between(first, last) if isinstance(first, Index) and isinstance(last, Index) else None
    if names[0] in OTHERS and len(names) > 1:
        inner = index_of(symbols[1:])
        return Others(OTHERS[names[0]], inner) if isinstance(inner, Index) else None
    if len(names) > 2 and OTHERS.get(names[1]) == "-" and names[1] in (r"\neq", r"\ne") and is_index_letter(symbols[0]):
        return index_of(symbols[1:])
    if all(name.isdigit() for name in names) and len(names) <= 3:
        return Index("", int("".join(names)))
    if is_index_letter(symbols[0]):
        if len(names) == 1:
            return Index(names[0])
        if names[1] in "+-" and len(names) <= 4 and names[2:] and all(name.isdigit() for name in names[2:]):
            return Index(names[0], int("".join(names[1:])))
    return None


def value_of(symbols: Sequence[Symbol]) -> str:
    """The number that an event such as ``y = 1`` or ``y = -1`` names; empty where it is none."""
    signed = len(symbols) == 2 and symbols[0].name in MINUS
    value = index_of(symbols[1:] if signed else symbols)
    return f"{'-' * signed}{value}" if isinstance(value, Index) and not value.letter else ""


def values_in(symbols: Sequence[Symbol]) -> tuple[int, ...]:
    r"""The numbers of a set that is written out, as ``\\{-1, 1\\}``; nothing where it is another set."""
    if len(symbols) < 3 or symbols[0].name != r"\{" or symbols[-1].name != r"\}" or symbols[-1].sup is not None:
        return ()
    values = [value_of(part) for part in split(symbols[1:-1], ",")]
    return tuple(map(int, values)) if all(values) else ()


def span_between(first: Index, last: Index) -> Span:
    """All indices from one to another, which a list may name downwards: ``x_T, …, x_0``."""
    downwards = first.offset > last.offset if first.letter == last.letter else not last.letter
    return Span(last, first) if downwards else Span(first, last)


def is_index_letter(symbol: Symbol) -> bool:
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
        and all(is_index_letter(s) and not s.sub for s in symbols)
    ):
        parts = [(s,) for s in symbols]
    found = [index_of(part) for part in parts]
    return tuple(part for part in found if part is not None) if all(part is not None for part in found) else None


def name_of(symbol: Symbol, *, raised: bool = True) -> Name | None:
    """A symbol as a name; ``raised`` says whether a plain superscript is an index (of a variable) or a power (None)."""
    if symbol.name in PLACEHOLDERS and symbol.sub is None and symbol.sup is None:
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
    marked = is_mark(symbol.sup, based=symbol.sub is not None)
    if not raised and not marked:
        return None
    if found is not None and not marked:
        return Name(base, (*index, *found), mark)
    return Name(base, index, f"{mark}^{{{shown}}}")


def is_mark(symbols: Sequence[Symbol], *, based: bool = False) -> bool:
    """Whether a superscript makes another object and is no power: a star, a word, a time in brackets, or a capital on a
    letter that has an index already."""
    lone = symbols[0].name if len(symbols) == 1 else ""
    if lone in RAISED or (based and lone.isupper() and lone != "T"):
        return True
    words = [s for s in symbols if s.name.startswith("@") and len(s.name) > 2]
    letters = "".join(s.name for s in symbols)
    return (
        bool(words)
        or letters in ("old", "new", "opt", "prior", "post", "prev", "next", "model", "data", "true")
        or any(s.name == r"\prime" for s in symbols)
    )


Pieces = tuple[tuple[Symbol, ...], tuple[Symbol, ...]]


def cut_at(
    symbols: Sequence[Symbol], separators: frozenset[str]
) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]] | None:
    for at, symbol in enumerate(symbols):
        if symbol.name in separators:
            return tuple(symbols[:at]), tuple(symbols[at + 1 :])
    return None


def is_unknown_command(symbol: Symbol) -> bool:
    """A macro that some other file defines, in the place of a variable."""
    name = symbol.name
    return (
        name.startswith("\\")
        and name[1:].isalpha()
        and (len(name) > 2 or name[1:].isupper())
        and operator_named(name) is None
        and name not in RELATIONS | dict.fromkeys(DOTS | BARS | DOUBLE_BARS)
        and not name.startswith((r"\begin", r"\end"))
    )


def is_divergence(symbol: Symbol) -> bool:
    """Whether a subscript names a divergence."""
    return flat(symbol.sub or ()).strip("{}").upper() in ("KL", "TV", "JS")


def is_bare(name: Name) -> bool:
    return not name.index and not name.mark


def is_greek(name: Name) -> bool:
    return name.base in GREEK


def is_parameter(name: Name) -> bool:
    return name.base in GREEK - {r"\ell", r"\tau"} or (name.base in ("w", "W", "v", "b") and not name.index)


def is_transpose(symbols: Sequence[Symbol]) -> bool:
    return len(symbols) == 1 and symbols[0].name in ("T", r"\top", r"\intercal", "@T", r"\mathsf", r"\transpose")


def used_as_index(letter: str, symbols: Iterable[Symbol]) -> bool:
    symbols = list(symbols)
    if any(a.name == "=" and b.name == letter for a, b in itertools.pairwise(symbols)):
        return True
    for symbol in symbols:
        scripts = [*(symbol.sub or ()), *(s for s in (symbol.sup or ()) if s.name == "()" or s.name == letter)]
        if any(s.name == letter or (s.arguments and letter in flat([s])) for s in scripts) or used_as_index(
            letter, (s for a in symbol.arguments for s in a)
        ):
            return True
        if symbol.sub is not None and used_as_index(letter, symbol.sub):
            return True
    return False


def leaves(symbols: Iterable[Symbol]) -> Iterable[Symbol]:
    """All symbols but those in scripts."""
    for symbol in symbols:
        yield symbol
        for argument in symbol.arguments:
            yield from leaves(argument)


def holds_arguments(symbols: Sequence[Symbol]) -> bool:
    """Whether a bracket holds what a density is about, and no expression with operators."""
    inside = [s for symbol in symbols if symbol.name == "()" for s in leaves(symbol.arguments[0])]
    return bool(inside) and all(operator_named(s.name) is None for s in inside)


def span_of(part: Sequence[Symbol]) -> Name | None:
    name = name_of(part[0]) if len(part) == 1 else None
    return name if name is not None and any(not isinstance(i, Index) for i in name.index) else None


def unknown_symbol(name: str) -> str:
    if name in (r"\infty", r"\lim"):
        return f"{name}: limits have no value on a finite model"
    if name.startswith(r"\begin"):
        return f"{name[6:]} is not read"
    if name in RELATIONS:
        return f"{name} in an expression: of events only those such as z = k, with a letter, are read"
    if name == "{}":
        return "a script without a base"
    return f"{name} is not a symbol that is read here"
