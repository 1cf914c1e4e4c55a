"""What stands in a row beside its formulas: reasons, remarks, and words that bring something in."""

from __future__ import annotations

from collections.abc import Sequence

from proofreader.notation import CONSTANTS, IMPLIES, RELATIONS, WHERE, operator_named, words
from proofreader.symbols import CLOSING, OPENING, PUNCTUATION, Symbol

__all__ = ["WIDE", "brings_in", "complete", "depths_of", "is_aside", "is_remark", "relates", "says_when"]


WIDE = frozenset([r"\quad", r"\qquad"])


_REASONS = ("because", "since", "by ", "using", "from", "as ", "(as", "(by", "(since", "(because", "; ", "for ", "due ")


_BESIDE = frozenset(
    WHERE + words("where using since because as by with for when if given here from recall note noting")
)


_WHEN = ("with equality", "equality", "iff", "if and only", "when")


def depths_of(row: Sequence[Symbol]) -> list[int]:
    """How many brackets are open in front of each symbol."""
    depth, found = 0, []
    for symbol in row:
        if symbol.name in CLOSING or symbol.name.startswith(r"\end"):
            depth = max(0, depth - 1)
        found.append(depth)
        if symbol.name in OPENING or symbol.name.startswith(r"\begin"):
            depth += 1
    return found


def relates(symbols: Sequence[Symbol]) -> bool:
    depths = depths_of(symbols)
    return any(
        depth == 0 and (s.name in RELATIONS or s.name in IMPLIES) for s, depth in zip(symbols, depths, strict=True)
    )


def complete(before: Sequence[Symbol]) -> bool:
    return bool(before) and before[-1].name not in RELATIONS and before[-1].name not in ("+", "-")


def says_when(symbol: Symbol) -> bool:
    """Whether words begin to say when a relation is an equality."""
    return symbol.name == r"\text" and symbol.arguments[1][0].name.lower().startswith(_WHEN)


def is_aside(row: Sequence[Symbol], at: int, before: list[Symbol]) -> bool:
    """Whether prose begins here that belongs to no formula: a reason, a column of remarks, or ``for every x``."""
    before = [s for s in before if s.name not in WIDE]
    if row[at].name == "&" and at + 1 < len(row) and row[at + 1].name == r"\text":
        words = row[at + 1].arguments[1][0].name.lower()
        return relates(before) and bool(before) and not words.startswith(("where", "and", "with"))
    if row[at].name != r"\text" or not before or not relates(before):
        return False
    words = row[at].arguments[1][0].name.lower().lstrip("(")
    if words.startswith(_REASONS) or (at and row[at - 1].name == "&"):
        return True
    apart = before[-1].name in PUNCTUATION or (at > 0 and row[at - 1].name in WIDE)
    return apart and not relates(row[at + 1 :])


def brings_in(symbol: Symbol) -> bool:
    """Whether a word brings in something beside the chain that the next row continues."""
    words = symbol.arguments[1][0].name.lower().lstrip("(").split() if symbol.name == r"\text" else []
    return symbol.name == r"\because" or (bool(words) and words[0].strip(",:") in _BESIDE)


def is_remark(row: Sequence[Symbol], at: int, before: list[Symbol]) -> bool:
    """Whether a remark begins here that is set apart: in brackets, a word alone, or what follows a semicolon."""
    apart = row[at].name == ";" or row[at - 1].name in (*WIDE, "&", r"\text")
    if not at or not apart or not relates(before) or not complete(before):
        return False
    rest = [s for s in row[at:] if s.name not in (*WIDE, "&", *PUNCTUATION)]
    if _is_sentence(rest):
        return True
    if row[at].name == ";":
        return not relates(rest)
    if rest and rest[0].name in ("(", "[") and rest[-1].name in (")", "]"):
        words = rest[1:-1]
        spelled = len(words) > 2 and all(s.is_letter() and len(s.name) == 1 and not s.sub and not s.sup for s in words)
        prose = any(s.name in (r"\text", r"\because") or s.name in RELATIONS for s in words)
        return bool(words) and (spelled or prose or _numbers(words) or all(map(_is_word, words)))
    return len(rest) == 1 and _is_word(rest[0])


def _is_sentence(rest: Sequence[Symbol]) -> bool:
    r"""Whether a formula and a verb begin a sentence, as in ``\\log(x) \\text{ is concave}``."""
    at = next((at for at, s in enumerate(rest) if s.name == r"\text"), 0)
    words = rest[at].arguments[1][0].name.split() if at else []
    return bool(words) and words[0] in ("is", "are", "has", "being") and not relates(rest[:at])


def _numbers(words: Sequence[Symbol]) -> bool:
    """Whether the inside of a bracket is the number of an equation, such as 2.7a, or a star."""
    names = [s.name for s in words if s.sub is None and s.sup is None]
    stars = all(name in ("*", r"\ast", r"\star") for name in names)
    return len(names) == len(words) and (
        stars or (names[0].isdigit() and all(len(name) == 1 or name.isdigit() for name in names))
    )


def _is_word(symbol: Symbol) -> bool:
    """Whether a symbol is a word of prose."""
    named = symbol.name.startswith("@") and len(symbol.name) > 4 and symbol.sub is None and symbol.sup is None
    known = operator_named(symbol.name) or symbol.name in CONSTANTS or symbol.name in ("@ELBO", "@EUBO", "@CUBO")
    return symbol.name == r"\text" or (named and not known)
