"""Which letters a display uses as densities, and which as their variables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from proofreader.notation import RELATIONS, named_law, operator_named, words
from proofreader.symbols import BARS, DOUBLE_BARS, GREEK, Symbol, flat, split

__all__ = ["defined_functions", "inferred_laws", "is_a_probability", "law_letters", "own_letters", "variable_letters"]


# Letters that are usually densities or functions; what a display does with a letter counts for more.
USUAL_LAWS = frozenset(["p", "q", "r", "P", "Q", "@Pr", r"\Pr", r"\pi", r"\rho", "cal:P", "cal:Q", "bb:P", "@p", "@q"])


USUAL_FUNCTIONS = frozenset(
    words(r"\Gamma \Psi f g h F G T u \psi \varphi \phi \sigma \mu cal:F cal:L L J V U E cal:E cal:G cal:J s")
)


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
        and not of_one_family(inside)
        and not named_law(previous.key)
        and previous.name != r"\Gamma"
    ):
        found.add(previous.key)


def of_one_family(inside: Sequence[Symbol]) -> bool:
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
        if symbol.is_letter() and not named_law(symbol.key) and (opens or RELATIONS.get(behind) == "~"):
            found.add(symbol.key)
    return found


def called_letters(symbols: Iterable[Symbol], laws: set[str]) -> set[str]:
    """The letters of functions that the display calls, as ``f`` in ``f(X)``."""
    found: set[str] = set()
    previous: Symbol | None = None
    for symbol in symbols:
        if symbol.name == "()" and previous is not None and previous.key in USUAL_FUNCTIONS - laws:
            found.add(previous.key)
        for part in (*symbol.arguments, symbol.sub or ()) if symbol.name != r"\text" else ():
            found |= called_letters(part, laws)
        previous = symbol
    return found


def defined_functions(relation: str, left: Sequence[Symbol], laws: set[str]) -> set[str]:
    """The letter of a function that a statement defines by its value at letters, as ``M(t) := ...``."""
    calls = len(left) == 2 and left[1].name == "()" and left[0].is_letter() and left[0].key not in laws | USUAL_LAWS
    content = left[1].arguments[0] if calls else ()
    plain = bool(content) and all(s.name == "," or (s.is_letter() and s.sup is None) for s in content)
    return {left[0].key} if plain and relation in (":=", "=") else set()


def own_letters(relation: str, left: Sequence[Symbol], right: Sequence[Symbol]) -> set[str]:
    r"""The letter of an entropy or an information whose author defines it as something else, as the energy
    ``H(\\theta, r) := U(\\theta) + r^2``: nothing is averaged in what it is."""
    if len(left) != 2 or left[1].name != "()":
        return set()
    letter, content = left[0], left[1].arguments[0]
    row = operator_named(letter.key)
    if row is None or row.form not in ("entropy", "information"):
        return set()
    several = [s.name for s in content].count(",") > 0
    plain = not any(s.name in (";", ":") or s.name in BARS | DOUBLE_BARS for s in content)
    forms = {found.form for s in _all(right) if (found := operator_named(s.key)) is not None}
    own = plain and (relation == ":=" or (several and relation == "=")) and not forms & _AVERAGING
    return {letter.key} if own else set()


def is_a_probability(symbols: Sequence[Symbol]) -> bool:
    r"""Whether the letter \pi is no circle's number: it is an argument of its own, or one minus it stands somewhere."""
    names = [s.name if s.sub is None and s.sup is None else "" for s in symbols]
    lacks = any(names[at : at + 3] == ["1", "-", r"\pi"] for at in range(len(names)))
    parts = [part for s in symbols for part in (*s.arguments, s.sub or (), s.sup or ())]
    listed = [part for s in symbols if s.name == "()" for part in split(s.arguments[0], ",", ";", *BARS)]
    alone = any(len(part) == 1 and part[0].name == r"\pi" and part[0].sub is None for part in listed)
    return lacks or alone or any(map(is_a_probability, parts))


_AVERAGING = frozenset(["average", "entropy", "information", "divergence", "series", "integral"])


def _all(symbols: Iterable[Symbol]) -> Iterable[Symbol]:
    """Symbols with those inside of them."""
    for symbol in symbols:
        yield symbol
        for part in (*symbol.arguments, symbol.sub or (), symbol.sup or ()):
            yield from _all(part)


def law_letters_in(symbols: Iterable[Symbol], laws: set[str]) -> bool:
    """Whether some letter of a density occurs."""
    return any(
        s.key in laws or s.key in USUAL_LAWS or law_letters_in((t for a in s.arguments for t in a), laws)
        for s in symbols
    )


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
