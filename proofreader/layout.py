# ruff: noqa: E501 (rows of tables are easier to read in one line)
r"""From tokens to symbols with scripts and brackets, and from symbols to statements.

Nothing here knows what a density is. What only moves ink about (spacing, sizes, colours, tags) is dropped, and a display
is cut into **statements**: chains of sides with relations between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from proofreader.beside import WIDE, brings_in, complete, depths_of, is_aside, is_remark, relates, says_when
from proofreader.notation import IMPLIES, RELATIONS
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


def _source_lines(row: Sequence[Symbol], latex: str, way: Way) -> list[list[Symbol]]:
    """The row cut where its source goes to a new line, between two claims; if the first of them ends with a number, which
    is no factor of the next one, in any way to read it."""
    pieces: list[list[Symbol]] = [[]]
    for symbol, depth in zip(row, depths_of(row), strict=True):
        if pieces[-1] and depth == 0 and "\n" in latex[pieces[-1][-1].end : symbol.start]:
            pieces.append([])
        pieces[-1].append(symbol)
    lines = pieces[:1]
    for piece in pieces[1:]:
        ends = way.lines_begin or next((s.name.isdigit() for s in reversed(lines[-1]) if s.name != "&"), False)
        if ends and relates(lines[-1]) and complete(lines[-1]) and _begins_statement(piece):
            lines.append(piece)
        else:
            lines[-1] += piece
    return lines


def _closed_depths(row: Sequence[Symbol]) -> list[int]:
    """As :func:`depths_of`, but a bracket that never closes opens nothing."""
    stack: list[int] = []
    for at, symbol in enumerate(row):
        if symbol.name in OPENING:
            stack.append(at)
        elif symbol.name in CLOSING and stack:
            stack.pop()
    return [depth - sum(opening < at for opening in stack) for at, depth in enumerate(depths_of(row))]


def _pieces(row: Sequence[Symbol], depth: int) -> list[list[Symbol]]:
    """The statements of a row: cut at implications, words between, wide spaces, columns, and commas before a new relation;
    what words such as ``where`` bring in begins with them."""
    row = _without_quantifier(_without_title(row))
    pieces: list[list[Symbol]] = [[]]
    depths = [d + depth for d in depths_of(row)]
    for at, symbol in enumerate(row):
        if depths[at] == 0 and (
            is_aside(row, at, pieces[-1]) or is_remark(row, at, pieces[-1]) or (len(pieces) > 1 and says_when(symbol))
        ):
            break
        if depths[at] == 0 and _cuts(row, at, pieces[-1]):
            words = next((s for s in row[at:] if s.name not in WIDE and s.name not in ("&", *PUNCTUATION)), symbol)
            pieces.append([words] if brings_in(words) else [])
            continue
        if symbol.name not in WIDE and symbol.name != "&" and symbol.name != r"\text":
            pieces[-1].append(symbol)
    return pieces


def _without_title(row: Sequence[Symbol]) -> Sequence[Symbol]:
    """The row without a first column of words, in which symbols may stand: a title such as ``Jensen applied to log:``."""
    column = next((at for at, s in enumerate(row) if s.name == "&"), 0)
    words = [s for s in row[:column] if s.name not in WIDE]
    titled = bool(words) and words[0].name == r"\text" and not relates(words)
    rest = row[column + 1 :]
    return rest if titled and relates(rest) and not _opens_with_relation(rest) else row


def _without_quantifier(row: Sequence[Symbol]) -> Sequence[Symbol]:
    """The row without a ``for all`` in front of its claim."""
    first = next((at for at, s in enumerate(row) if s.name not in WIDE and s.name != "&"), 0)
    if not row or row[first].name != r"\forall":
        return row
    depths = depths_of(row)
    ends = [at for at, s in enumerate(row) if depths[at] == 0 and s.name in (*WIDE, *PUNCTUATION)]
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
        return bool(before) and relates(before) and bool(rest) and relates(rest) and not _opens_with_relation(rest)
    if symbol.name == "." and rest and rest[0].name.isdigit() and rest[0].start == symbol.end:
        return False
    if symbol.name in WIDE or symbol.name in PUNCTUATION:
        return relates(before) and _begins_statement(rest)
    if symbol.name == "&":
        return relates(before) and _begins_statement(rest) and not _opens_with_relation(rest) and complete(before)
    return False


def _begins_statement(rest: Sequence[Symbol]) -> bool:
    trimmed = [s for s in rest if s.name not in WIDE and s.name not in ("&", r"\text") and s.name not in PUNCTUATION]
    if not trimmed or trimmed[0].name in ("+", "-") or trimmed[0].name in RELATIONS:
        return False
    if trimmed[0].name == r"\forall":
        return True
    return relates(rest)


def _opens_with_relation(symbols: Sequence[Symbol]) -> bool:
    first = next((s for s in symbols if s.name not in WIDE and s.name not in ("&", r"\text")), None)
    return first is not None and first.name in RELATIONS


def _trimmed(symbols: Sequence[Symbol]) -> tuple[Symbol, ...]:
    """Without punctuation at either end, and without what stands behind a 'for all'."""
    found = list(symbols)
    for at, symbol in enumerate(found):
        if symbol.name in (r"\forall", r"\s.t."):
            found = found[:at]
            break
    while found and (found[-1].name in PUNCTUATION or found[-1].name in (r"\text", "&", *WIDE)):
        found.pop()
    while found and (found[0].name in PUNCTUATION or found[0].name in (r"\text", "&", *WIDE)):
        found.pop(0)
    return tuple(found)


def _without_brace(symbols: Sequence[Symbol]) -> Sequence[Symbol]:
    r"""A system of equations without the brace beside it; ``\\left.`` and ``\\right.`` leave a dot."""
    names = [s.name for s in symbols]
    openings = sum(name in OPENING for name in names) - sum(name in CLOSING for name in names)
    in_front = len(names) > 2 and names[0] in OPENING and names[-1] == "." and openings == 1
    behind = len(names) > 2 and names[0] == "." and names[-1] in CLOSING and openings == -1
    return symbols[1:-1] if in_front or behind else symbols


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
        if any(s.name == r"\text" for s in row) and not any(s.name not in (r"\text", "&", *WIDE) for s in row):
            return
        for number, piece in enumerate(_pieces(row, self.depth)):
            self.piece(piece, first=number == 0)

    def piece(self, piece: list[Symbol], *, first: bool) -> None:
        """Takes one piece of a row."""
        visible = [s for s in piece if s.name not in ("&", *WIDE)]
        if not visible:
            return
        brought_in = brings_in(visible[0])
        if brought_in or (self.way.rows_join_first and not first):
            self.beside.append(self.cut(Statement(), visible[brought_in:]))
            return
        lead = visible[0].name
        joins = first and bool(self.found) and (
            self.depth > 0
            or lead in RELATIONS
            or self.waiting()
            or (lead in ("+", "-", r"\times", r"\cdot", r"\pm") and not (self.way.signs_begin and relates(visible)))
            or (not relates(visible) and not self.ended() and lead in ("(", "[", r"\{", ")", "]", r"\}"))
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
    symbols = _without_brace(spelled(symbols_of(tokens, latex), notes))
    if (
        len(symbols) > 2
        and symbols[0].name.endswith(("cases", "array"))
        and symbols[-1].name == r"\end" + symbols[0].name[6:]
    ):
        symbols = symbols[1:-1]
    reader = _Statements(way)
    for row in _rows(symbols):
        for line in _source_lines(row, latex, way):
            reader.row(line)
    reader.close()
    found = []
    for statement in (*reader.found, *reader.beside):
        if not any(side.symbols for side in statement.sides):
            continue
        statement.continues = bool(statement.relations) and not statement.sides[0].symbols
        found.append(statement)
    return found
