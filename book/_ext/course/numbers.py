"""Compares printed text as a reader would: words to the letter, numbers as numbers.

Two processors round the last digit of a float differently, and print ``-0.00`` where the other prints ``0.00``. So a
number with a decimal point or an exponent agrees with another one if they differ by at most one unit of the last digit
that both print, or by one part in 100,000. Whole numbers are counts, sizes and names: they agree if they are equal.
"""

from __future__ import annotations

import re
from decimal import Decimal

# A number with the blanks before it, which align a column; not the digits of a word such as float32 or z_1.
NUMBER = re.compile(
    r"(?P<blanks> *)(?<![\w.])(?P<number>[-+\u2212]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?![\w]|\.\d)"
)
RELATIVE = Decimal("1e-5")


def agree(one: str, other: str) -> bool:
    """Whether two printed texts say the same."""
    return matched(one, other) == other


def matched(text: str, reference: str) -> str:
    """``text`` with every number that agrees with its counterpart in ``reference`` written as it is written there.

    What is left of the difference is what a reader should see. Texts with another number of numbers are not matched.
    """
    numbers, references = list(NUMBER.finditer(text)), list(NUMBER.finditer(reference))
    if len(numbers) != len(references):
        return text
    pairs = list(zip(numbers, references, strict=True))
    # Blanks make up for a sign, or for a digit that 10.0 has and 9.9 has not, in a whole row or table; where there is
    # none to make up for, they are part of the layout.
    realigned = any(len(one["number"]) != len(other["number"]) for one, other in pairs)
    pieces, end = [], 0
    for one, other in pairs:
        pieces.append(text[end : one.start()])
        same = _same_number(one["number"], other["number"]) and (realigned or one["blanks"] == other["blanks"])
        pieces.append(other[0] if same else one[0])
        end = one.end()
    return "".join(pieces) + text[end:]


def _same_number(one: str, other: str) -> bool:
    one, other = one.replace("\u2212", "-"), other.replace("\u2212", "-")
    first, second = Decimal(one), Decimal(other)
    if _is_whole(one) and _is_whole(other):
        return first == second
    unit = Decimal(1).scaleb(min(_last_digit(first), _last_digit(second)))
    return abs(first - second) <= max(unit, RELATIVE * max(abs(first), abs(second)))


def _is_whole(number: str) -> bool:
    return not re.search(r"[.eE]", number)


def _last_digit(number: Decimal) -> int:
    """The power of ten of the last digit that is printed."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "only finite numbers are matched"
    return exponent
