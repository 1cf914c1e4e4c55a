"""Numbers that carry their derivatives, and the elementary functions of them: infinite or undefined, never an error."""

from __future__ import annotations

import math
from typing import Any

from proofreader.errors import DerivationSyntaxError

__all__ = [
    "ELEMENTARY",
    "Cell",
    "Dual",
    "divided",
    "exponential",
    "logarithm",
    "multiplied",
    "plain",
    "powered",
    "slope",
]

Cell = Any


class Dual:
    """A number that carries its derivative; ``level`` tells nested derivatives apart."""

    __slots__ = ("level", "slope", "value")

    def __init__(self, value: Cell, slope: Cell, level: int) -> None:
        self.value = value
        self.slope = slope
        self.level = level

    def _split(self, other: Cell) -> tuple[Cell, Cell, Cell, Cell, int]:
        """Both numbers as value and slope at the higher level of the two."""
        if isinstance(other, Dual):
            if other.level == self.level:
                return self.value, self.slope, other.value, other.slope, self.level
            if other.level > self.level:
                return self, 0.0, other.value, other.slope, other.level
        return self.value, self.slope, other, 0.0, self.level

    def __add__(self, other: Cell) -> Dual:
        a, da, b, db, level = self._split(other)
        return Dual(a + b, da + db, level)

    __radd__ = __add__

    def __sub__(self, other: Cell) -> Dual:
        a, da, b, db, level = self._split(other)
        return Dual(a - b, da - db, level)

    def __rsub__(self, other: Cell) -> Dual:
        return (-self) + other

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope, self.level)

    def __mul__(self, other: Cell) -> Dual:
        a, da, b, db, level = self._split(other)
        return Dual(a * b, da * b + a * db, level)

    __rmul__ = __mul__

    def __truediv__(self, other: Cell) -> Dual:
        a, da, b, db, level = self._split(other)
        return Dual(divided(a, b), divided(da * b - a * db, b * b), level)

    def __rtruediv__(self, other: Cell) -> Dual:
        return Dual(divided(other, self.value), divided(-self.slope * other, self.value * self.value), self.level)


def plain(cell: Cell) -> float:
    """The number without its derivatives."""
    while isinstance(cell, Dual):
        cell = cell.value
    return cell


def slope(cell: Cell, level: int) -> Cell:
    """The derivative that was taken at a level."""
    return cell.slope if isinstance(cell, Dual) and cell.level == level else 0.0


def multiplied(a: Cell, b: Cell) -> Cell:
    """A product in which zero times infinity is zero, as in 0 log 0."""
    value = a * b
    return 0.0 if value != value and (a == 0 or b == 0) else value


def divided(a: Cell, b: Cell) -> Cell:
    """A quotient that is infinite or undefined where the denominator is zero."""
    try:
        return a / b
    except ZeroDivisionError:
        return math.nan if plain(a) == 0 else math.copysign(math.inf, plain(a))


def logarithm(a: Cell) -> Cell:
    """The natural logarithm; undefined below zero."""
    if isinstance(a, Dual):
        return Dual(logarithm(a.value), divided(a.slope, a.value), a.level)
    return math.log(a) if a > 0 else (-math.inf if a == 0 else math.nan)


def exponential(a: Cell) -> Cell:
    """The exponential function, infinite where it overflows."""
    if isinstance(a, Dual):
        value = exponential(a.value)
        return Dual(value, value * a.slope, a.level)
    return math.exp(a) if a < 700 else math.inf


def powered(a: Cell, b: Cell) -> Cell:
    """A power; undefined where it is not a real number."""
    if isinstance(b, Dual):
        return exponential(multiplied(b, logarithm(a)))
    if isinstance(a, Dual):
        return Dual(powered(a.value, b), b * powered(a.value, b - 1.0) * a.slope, a.level)
    try:
        value = a**b
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return value if isinstance(value, float) else math.nan


def magnitude(a: Cell) -> Cell:
    """The absolute value."""
    return -a if plain(a) < 0 else a


def log_gamma(a: Cell) -> Cell:
    """The logarithm of the gamma function."""
    if isinstance(a, Dual):
        return Dual(log_gamma(a.value), digamma(a.value) * a.slope, a.level)
    return math.lgamma(a) if a > 0 else math.nan


def digamma(a: Cell) -> Cell:
    """The derivative of the logarithm of the gamma function, by its recurrence and its series at infinity."""
    if isinstance(a, Dual):
        raise DerivationSyntaxError("a second derivative of the gamma function is not read")
    if not a > 0:
        return math.nan
    total = 0.0
    while a < 10.0:
        total -= 1.0 / a
        a += 1.0
    y = 1.0 / (a * a)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))
    return total + math.log(a) - 0.5 / a - series


ELEMENTARY = {
    "log": logarithm,
    "exp": exponential,
    "absolute": magnitude,
    "log_gamma": log_gamma,
    "digamma": digamma,
}
