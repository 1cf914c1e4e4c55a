# ruff: noqa: E501 (rows of tables are easier to read in one line)
r"""From tokens to symbols with scripts and brackets, and from symbols to statements.

Nothing here knows what a density is. What only moves ink about (spacing, sizes, colours, tags) is dropped, and a display
is cut into **statements**: chains of sides with relations between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from proofreader.notation import CONSTANTS, IMPLIES, RELATIONS, WHERE, operator_named, words
from proofreader.source import Token
from proofreader.spelling import spelled
from proofreader.symbols import BREAKS, CLOSING, DOTS, OPENING, PUNCTUATION, Symbol, symbols_of

__all__ = ["Side", "Statement", "Way", "statements_of"]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a relation: its symbols, and where it lies in the source."""

    symbols: tuple[Symbol, ...]
    start: int
    end: int


@dataclass(slots=True)
class Statement:
    """A chain ``side relation side relation side``; ``relations[i]`` stands between ``sides[i]`` and ``sides[i + 1]``."""

    sides: list[Side] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """How rows are put together where people differ.

    Args:
        signs_begin: Whether a row that begins with a sign and has a relation of its own is a new statement.
        rows_join_first: Whether a row that begins with a relation continues the first statement of the row before, and
            not the last.
        lines_begin: Whether a line of the source that makes a claim ends there, where the next one makes another.
    """

    signs_begin: bool = True
    rows_join_first: bool = False
    lines_begin: bool = False


_WIDE = frozenset([r"\quad", r"\qquad"])


def _rows(symbols: Sequence[Symbol]) -> list[list[Symbol]]:
    rows: list[list[Symbol]] = [[]]
    depth = 0
    for symbol in symbols:
        depth += symbol.name.startswith(r"\begin") - symbol.name.startswith(r"\end")
        if symbol.name in BREAKS and depth <= 0:
            rows.append([])
        else:
            rows[-1].append(symbol)
    return rows


def _source_lines(row: Sequence[Symbol], latex: str) -> list[list[Symbol]]:
    """The row cut where its source goes to a new line, between two claims."""
    pieces: list[list[Symbol]] = [[]]
    for symbol, depth in zip(row, _depths(row), strict=True):
        if pieces[-1] and depth == 0 and "\n" in latex[pieces[-1][-1].end : symbol.start]:
            pieces.append([])
        pieces[-1].append(symbol)
    lines = pieces[:1]
    for piece in pieces[1:]:
        if _relates(lines[-1]) and _complete(lines[-1]) and _begins_statement(piece):
            lines.append(piece)
        else:
            lines[-1] += piece
    return lines


def _depths(row: Sequence[Symbol]) -> list[int]:
    """How many brackets are open in front of each symbol."""
    depth, found = 0, []
    for symbol in row:
        if symbol.name in CLOSING or symbol.name.startswith(r"\end"):
            depth = max(0, depth - 1)
        found.append(depth)
        if symbol.name in OPENING or symbol.name.startswith(r"\begin"):
            depth += 1
    return found


def _closed_depths(row: Sequence[Symbol]) -> list[int]:
    """As :func:`_depths`, but a bracket that never closes opens nothing."""
    stack: list[int] = []
    for at, symbol in enumerate(row):
        if symbol.name in OPENING:
            stack.append(at)
        elif symbol.name in CLOSING and stack:
            stack.pop()
    return [depth - sum(opening < at for opening in stack) for at, depth in enumerate(_depths(row))]


def _relates(symbols: Sequence[Symbol]) -> bool:
    depths = _depths(symbols)
    return any(
        depth == 0 and (s.name in RELATIONS or s.name in IMPLIES) for s, depth in zip(symbols, depths, strict=True)
    )


def _pieces(row: Sequence[Symbol], depth: int) -> list[list[Symbol]]:
    """The statements of a row: cut at implications, words between, wide spaces, columns, and commas before a new relation;
    what words such as ``where`` bring in begins with them."""
    row = _without_quantifier(_without_title(row))
    pieces: list[list[Symbol]] = [[]]
    depths = [d + depth for d in _depths(row)]
    for at, symbol in enumerate(row):
        if depths[at] == 0 and (
            _is_aside(row, at, pieces[-1])
            or _is_remark(row, at, pieces[-1])
            or (len(pieces) > 1 and _says_when(symbol))
        ):
            break
        if depths[at] == 0 and _cuts(row, at, pieces[-1]):
            words = next((s for s in row[at:] if s.name not in _WIDE and s.name not in ("&", *PUNCTUATION)), symbol)
            pieces.append([words] if _brings_in(words) else [])
            continue
        if symbol.name not in _WIDE and symbol.name != "&" and symbol.name != r"\text":
            pieces[-1].append(symbol)
    return pieces


def _without_title(row: Sequence[Symbol]) -> Sequence[Symbol]:
    """The row without a first column of words, in which symbols may stand: a title such as ``Jensen applied to log:``."""
    column = next((at for at, s in enumerate(row) if s.name == "&"), 0)
    words = [s for s in row[:column] if s.name not in _WIDE]
    titled = bool(words) and words[0].name == r"\text" and not _relates(words)
    rest = row[column + 1 :]
    return rest if titled and _relates(rest) and not _opens_with_relation(rest) else row


def _without_quantifier(row: Sequence[Symbol]) -> Sequence[Symbol]:
    """The row without a ``for all`` in front of its claim."""
    first = next((at for at, s in enumerate(row) if s.name not in _WIDE and s.name != "&"), 0)
    if not row or row[first].name != r"\forall":
        return row
    depths = _depths(row)
    ends = [at for at, s in enumerate(row) if depths[at] == 0 and s.name in (*_WIDE, *PUNCTUATION)]
    claim = next((at for at, s in enumerate(row) if RELATIONS.get(s.name, "in") != "in"), len(row))
    end = max((at for at in ends if at < claim), default=None)
    return row if end is None else row[end + 1 :]


def _cuts(row: Sequence[Symbol], at: int, before: list[Symbol]) -> bool:
    """Whether a statement ends at this symbol."""
    symbol = row[at]
    rest = row[at + 1 :]
    if symbol.name in IMPLIES:
        return True
    if symbol.name == r"\text":
        return bool(before) and _relates(before) and bool(rest) and _relates(rest) and not _opens_with_relation(rest)
    if symbol.name == "." and rest and rest[0].name.isdigit() and rest[0].start == symbol.end:
        return False
    if symbol.name in _WIDE or symbol.name in PUNCTUATION:
        return _relates(before) and _begins_statement(rest)
    if symbol.name == "&":
        return _relates(before) and _begins_statement(rest) and not _opens_with_relation(rest) and _complete(before)
    return False


_REASONS = ("because", "since", "by ", "using", "from", "as ", "(as", "(by", "(since", "(because", "; ", "for ", "due ")


_BESIDE = frozenset(
    WHERE + words("where using since because as by with for when if given here from recall note noting")
)


_WHEN = ("with equality", "equality", "iff", "if and only", "when")


def _says_when(symbol: Symbol) -> bool:
    """Whether words begin to say when a relation is an equality."""
    return symbol.name == r"\text" and symbol.arguments[1][0].name.lower().startswith(_WHEN)


def _is_aside(row: Sequence[Symbol], at: int, before: list[Symbol]) -> bool:
    """Whether prose begins here that belongs to no formula: a reason, a column of remarks, or ``for every x``."""
    before = [s for s in before if s.name not in _WIDE]
    if row[at].name == "&" and at + 1 < len(row) and row[at + 1].name == r"\text":
        words = row[at + 1].arguments[1][0].name.lower()
        return _relates(before) and bool(before) and not words.startswith(("where", "and", "with"))
    if row[at].name != r"\text" or not before or not _relates(before):
        return False
    words = row[at].arguments[1][0].name.lower().lstrip("(")
    if words.startswith(_REASONS) or (at and row[at - 1].name == "&"):
        return True
    apart = before[-1].name in PUNCTUATION or (at > 0 and row[at - 1].name in _WIDE)
    return apart and not _relates(row[at + 1 :])


def _brings_in(symbol: Symbol) -> bool:
    """Whether a word brings in something beside the chain that the next row continues."""
    words = symbol.arguments[1][0].name.lower().lstrip("(").split() if symbol.name == r"\text" else []
    return symbol.name == r"\because" or (bool(words) and words[0].strip(",:") in _BESIDE)


def _is_remark(row: Sequence[Symbol], at: int, before: list[Symbol]) -> bool:
    """Whether a remark begins here that is set apart: in brackets, a word alone, or what follows a semicolon."""
    apart = row[at].name == ";" or row[at - 1].name in (*_WIDE, "&", r"\text")
    if not at or not apart or not _relates(before) or not _complete(before):
        return False
    rest = [s for s in row[at:] if s.name not in (*_WIDE, "&", *PUNCTUATION)]
    if row[at].name == ";":
        return not _relates(rest)
    if rest and rest[0].name in ("(", "[") and rest[-1].name in (")", "]"):
        words = rest[1:-1]
        spelled = len(words) > 2 and all(s.is_letter() and len(s.name) == 1 and not s.sub and not s.sup for s in words)
        prose = any(s.name in (r"\text", r"\because") or s.name in RELATIONS for s in words)
        return bool(words) and (spelled or prose or _numbers(words) or all(map(_is_word, words)))
    return len(rest) == 1 and _is_word(rest[0])


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


def _complete(before: Sequence[Symbol]) -> bool:
    return bool(before) and before[-1].name not in RELATIONS and before[-1].name not in ("+", "-")


def _begins_statement(rest: Sequence[Symbol]) -> bool:
    trimmed = [s for s in rest if s.name not in _WIDE and s.name not in ("&", r"\text") and s.name not in PUNCTUATION]
    if not trimmed or trimmed[0].name in ("+", "-") or trimmed[0].name in RELATIONS:
        return False
    if trimmed[0].name == r"\forall":
        return True
    return _relates(rest)


def _opens_with_relation(symbols: Sequence[Symbol]) -> bool:
    first = next((s for s in symbols if s.name not in _WIDE and s.name not in ("&", r"\text")), None)
    return first is not None and first.name in RELATIONS


def _trimmed(symbols: Sequence[Symbol]) -> tuple[Symbol, ...]:
    """Without punctuation at either end, and without what stands behind a 'for all'."""
    found = list(symbols)
    for at, symbol in enumerate(found):
        if symbol.name in (r"\forall", r"\s.t."):
            found = found[:at]
            break
    while found and (found[-1].name in PUNCTUATION or found[-1].name in (r"\text", "&", *_WIDE)):
        found.pop()
    while found and (found[0].name in PUNCTUATION or found[0].name in (r"\text", "&", *_WIDE)):
        found.pop(0)
    return tuple(found)


class _Statements:
    """Puts rows together to chains."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.found: list[Statement] = []
        self.open: list[Symbol] = []
        self.beside: list[Statement] = []
        self.depth = 0

    def row(self, row: list[Symbol]) -> None:
        """Takes one row: it continues the last side, the last chain, or begins a statement."""
        if any(s.name == r"\text" for s in row) and not any(s.name not in (r"\text", "&", *_WIDE) for s in row):
            return
        for number, piece in enumerate(_pieces(row, self.depth)):
            self.piece(piece, first=number == 0)

    def piece(self, piece: list[Symbol], *, first: bool) -> None:
        """Takes one piece of a row."""
        visible = [s for s in piece if s.name not in ("&", *_WIDE)]
        if not visible:
            return
        brought_in = _brings_in(visible[0])
        if brought_in or (self.way.rows_join_first and not first):
            self.beside.append(self.cut(Statement(), visible[brought_in:]))
            return
        lead = visible[0].name
        joins = first and bool(self.found) and (
            self.depth > 0
            or lead in RELATIONS
            or self.waiting()
            or (lead in ("+", "-", r"\times", r"\cdot", r"\pm") and not (self.way.signs_begin and _relates(visible)))
            or (not _relates(visible) and not self.ended() and lead in ("(", "[", r"\{", ")", "]", r"\}"))
        )  # fmt: skip
        if joins:
            self.open.extend(visible)
        else:
            self.close()
            self.open = visible
            self.found.append(Statement())
        self.depth = max(0, sum((s.name in OPENING) - (s.name in CLOSING) for s in self.open))

    def waiting(self) -> bool:
        """Whether the last row ended with something that needs more."""
        return bool(self.open) and (
            self.open[-1].name in RELATIONS or self.open[-1].name in ("+", "-", r"\cdot", r"\times", "/")
        )

    def ended(self) -> bool:
        """Whether the last row ended with punctuation."""
        return bool(self.open) and self.open[-1].name in (".", ",", ";")

    def close(self) -> None:
        """Cuts the symbols of the open statement at its relations."""
        if self.found and self.open:
            self.cut(self.found[-1], self.open)
        self.open = []

    def cut(self, statement: Statement, symbols: Sequence[Symbol]) -> Statement:
        """Cuts symbols at their relations."""
        current: list[Symbol] = []
        for symbol, depth in zip(symbols, _closed_depths(symbols), strict=True):
            relation = RELATIONS.get(symbol.name) if depth == 0 and symbol.name != ":" else None
            if relation and not current and statement.relations[-1:] == [relation]:
                continue
            if relation:
                self.side(statement, current, symbol.start)
                statement.relations.append(relation)
                current = []
            else:
                current.append(symbol)
        self.side(statement, current, symbols[-1].end if symbols else 0)
        return statement

    def side(self, statement: Statement, symbols: list[Symbol], position: int) -> None:
        """Adds one side to a statement; dots between two relations are none."""
        kept = _trimmed(symbols)
        if len(kept) == 1 and kept[0].name in DOTS and statement.relations:
            statement.relations.pop()
            return
        start = kept[0].start if kept else position
        end = max((s.end for s in kept), default=position)
        statement.sides.append(Side(kept, start, end))


def statements_of(tokens: Sequence[Token], latex: str, notes: list[str], way: Way) -> list[Statement]:
    """Cuts a display into statements.

    Args:
        tokens: Its tokens, macros expanded.
        latex: Its source, for messages.
        notes: Takes what the reader should know of the spelling.
        way: How its rows are put together.

    Raises:
        DerivationSyntaxError: If braces do not match.
    """
    symbols = spelled(symbols_of(tokens, latex), notes)
    if (
        len(symbols) > 2
        and symbols[0].name.endswith(("cases", "array"))
        and symbols[-1].name == r"\end" + symbols[0].name[6:]
    ):
        symbols = symbols[1:-1]
    reader = _Statements(way)
    for row in _rows(symbols):
        for line in _source_lines(row, latex) if way.lines_begin else (row,):
            reader.row(line)
    reader.close()
    found = []
    for statement in (*reader.found, *reader.beside):
        if not any(side.symbols for side in statement.sides):
            continue
        statement.continues = bool(statement.relations) and not statement.sides[0].symbols
        found.append(statement)
    return found
