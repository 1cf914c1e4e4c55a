"""Letters that are meant as something else: operators typed in italics, and an r that is a reward and no density."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from proofreader.notation import TYPED, operator_named
from proofreader.symbols import CLOSING, OPENING, Symbol

__all__ = ["spelled"]


def spelled(symbols: tuple[Symbol, ...], notes: list[str]) -> tuple[Symbol, ...]:
    """The symbols with what their letters are meant as."""
    found = _typedwords(symbols, notes)
    return _as_words(found) if _is_reward(found) else found


def _typedwords(symbols: tuple[Symbol, ...], notes: list[str]) -> tuple[Symbol, ...]:
    """Operators typed as italic letters, put together; the reader is told which command was meant."""
    output: list[Symbol] = []
    at = 0
    while at < len(symbols):
        word = next((w for w in TYPED if _spells(symbols, at, w)), "")
        if word == "Pr" or not word:
            if word == "Pr" and symbols[at + 2 : at + 3] and symbols[at + 2].name in ("(", "["):
                output.append(Symbol("@Pr", symbols[at].start, symbols[at + 1].end))
                at += 2
                continue
            symbol = symbols[at]
            inner = (
                tuple(_typedwords(a, notes) for a in symbol.arguments) if symbol.name != r"\text" else symbol.arguments
            )
            laws = symbol.sub is not None and any(s.name == "(" for s in symbol.sub)
            below = _typedwords(symbol.sub or (), notes) if laws else symbol.sub
            changed = (inner, below) != (symbol.arguments, symbol.sub)
            output.append(replace(symbol, arguments=inner, sub=below) if changed else symbol)
            at += 1
            continue
        last = symbols[at + len(word) - 1]
        output.append(Symbol("@" + word, symbols[at].start, last.end, (), last.sub, last.sup))
        if word not in ("KL", "DKL", "JSD", "const", "Dir", "Cat", "Bern"):
            note = rf"did you mean \{word.lower()}? The letters {word} are read so"
            if note not in notes:
                notes.append(note)
        at += len(word)
    return tuple(output)


def _spells(symbols: Sequence[Symbol], at: int, word: str) -> bool:
    """Whether a word is typed here letter by letter, all but its last letter bare."""
    piece = symbols[at : at + len(word)]
    if len(piece) < len(word) or any(s.name != c or s.style for s, c in zip(piece, word, strict=True)):
        return False
    touching = all(b.start - a.end <= 1 for a, b in itertools.pairwise(piece))
    return touching and all(s.sub is None and s.sup is None for s in piece[:-1])


def _is_reward(symbols: Sequence[Symbol]) -> bool:
    r"""Whether the letter r is a function, as where ``\\exp(r(s, a))`` occurs, and no density."""
    for at, symbol in enumerate(symbols):
        if operator_named(symbol.name) is operator_named(r"\exp") and symbol.sup is None:
            depth, ends = 0, len(symbols)
            for k in range(at + 1, len(symbols)):
                depth += (symbols[k].name in OPENING) - (symbols[k].name in CLOSING)
                ends = k if depth == 0 else ends
                if depth == 0:
                    break
            inside = symbols[at + 1 : ends]
            if any(s.name == "r" for s in inside) and not any(s.name == r"\log" for s in inside):
                return True
        if any(_is_reward(argument) for argument in symbol.arguments if symbol.name != r"\text"):
            return True
    return False


def _as_words(symbols: tuple[Symbol, ...]) -> tuple[Symbol, ...]:
    """The symbols with an upright r for each r."""
    return tuple(
        replace(s, name="@r" if s.name == "r" else s.name, arguments=tuple(map(_as_words, s.arguments)))
        if s.name != r"\text"
        else s
        for s in symbols
    )
