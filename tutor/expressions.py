r"""Reads a number as people write it: ``-1.61``, ``1/3``, ``2 log 2``, ``sqrt(0.02/3)``, ``\frac{1}{2}``, ``40 %``.

A small parser of its own: nothing that a reader types is ever evaluated as code. Depth and length are bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

__all__ = ["ExpressionError", "evaluate"]

LONGEST, DEEPEST = 500, 40
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "log": math.log,
    "ln": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "abs": abs,
}
CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "infinity": math.inf, "infty": math.inf}
SPELLINGS = (
    (r"\\(?:left|right|,|;|!|quad|displaystyle)(?![A-Za-z])", " "),
    (r"\\[dt]?frac", r"\\frac"),
    (r"\\(?:cdot|times)(?![A-Za-z])", "*"),
    (r"\\operatorname\{(\w+)\}|\\(?:text|mathrm)\{(\w+)\}", r" \1\2 "),
    (r"\\%", "%"),
    ("[−–]", "-"),
    ("[×·∙⋅]", "*"),
    ("÷", "/"),
    ("√", " sqrt "),
    ("π", " pi "),
    ("∞", " inf "),
    ("½", "(1/2)"),
    ("[\u00a0\u202f\u2009]", " "),
    (r"\$", " "),
)
TOKEN = re.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d*)?(?!\d)|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+(?![A-Za-z]))?)"
    r"|\\?(?P<name>log10|log2|log_2|log_10|[A-Za-z]+)|(?P<sign>\*\*|[-+*/^(){}\[\]|%]))"
)


class ExpressionError(ValueError):
    """A text is no number; says where and what to write."""


def evaluate(text: str) -> float:
    """The value of an expression.

    Raises:
        ExpressionError: If it cannot be read, or has no finite real value; the message is for the reader.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"That is {len(text)} characters long; at most {LONGEST} are read.")
    for pattern, written in SPELLINGS:
        text = re.sub(pattern, written, text)
    if (match := re.search(r"(?<!\d)\d+,\d+(?!\d)", text)) and not re.fullmatch(r"\d{1,3},\d{3}", match[0]):
        raise ExpressionError(f"{match[0]}: write a decimal point, as in {match[0].replace(',', '.')}.")
    parser = _Parser(_tokens(text))
    try:
        value = parser.sum()
    except OverflowError:
        raise ExpressionError("That is too large to compute.") from None
    except ZeroDivisionError:
        raise ExpressionError("That divides by zero.") from None
    if parser.rest():
        raise ExpressionError(f"{parser.rest()!r} is left over at the end. Is a bracket or a sign missing?")
    if math.isnan(value):
        raise ExpressionError("That has no value.")
    return value


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(
                f"I cannot read {text[at:].strip()[:20]!r}. Write a number, such as 0.25, 1/4 or 2*log(3)."
            )
        kind = match.lastgroup
        assert kind is not None
        found.append((kind, match[kind]))
        at = match.end()
    if not found:
        raise ExpressionError("Nothing is written. Give a number, such as 0.25, 1/4 or 2*log(3).")
    return found


class _Parser:
    """Sums of products of powers, with functions and brackets."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def rest(self) -> str:
        return " ".join(text for _, text in self.tokens[self.at :])

    def sees(self, *signs: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at] in [("sign", sign) for sign in signs]

    def takes(self, *signs: str) -> str:
        if not self.sees(*signs):
            return ""
        self.at += 1
        return self.tokens[self.at - 1][1]

    def sum(self) -> float:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(f"Brackets are nested more than {DEEPEST} deep.")
        value = self.product()
        while sign := self.takes("+", "-"):
            value += self.product() if sign == "+" else -self.product()
        self.depth -= 1
        return value

    def product(self) -> float:
        value = self.signed()
        while True:
            if sign := self.takes("*", "/"):
                factor = self.signed()
                value = value * factor if sign == "*" else value / factor
            elif self.begins_factor():
                value *= self.power()
            else:
                return value

    def begins_factor(self) -> bool:
        """Whether a factor follows without a sign, as in ``2 log 2`` or ``3(1 + 1)``."""
        if self.at >= len(self.tokens):
            return False
        kind, text = self.tokens[self.at]
        return kind == "name" or (kind == "sign" and text in "({[")

    def signed(self) -> float:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(f"Signs and brackets are nested more than {DEEPEST} deep.")
        sign = self.takes("+", "-")
        value = self.signed() if sign else self.power()
        self.depth -= 1
        return -value if sign == "-" else value

    def power(self) -> float:
        value = self.atom()
        while self.takes("%"):
            value /= 100
        if self.takes("^", "**"):
            exponent = self.signed()
            result = value**exponent
            if isinstance(result, complex):
                raise ExpressionError("That takes a root of a negative number.")
            return result
        return value

    def atom(self) -> float:
        if self.at >= len(self.tokens):
            raise ExpressionError("It stops too early: a number is missing at the end.")
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return float(text.replace(",", ""))
        if kind == "name":
            return self.named(text.lower().replace("_", ""))
        if text in "({[":
            return self.bracketed(text)
        if text == "|":
            value = self.sum()
            self.closes("|")
            return abs(value)
        raise ExpressionError(f"A number is missing in front of {text!r}.")

    def bracketed(self, opening: str) -> float:
        value = self.sum()
        self.closes({"(": ")", "{": "}", "[": "]"}[opening])
        return value

    def closes(self, sign: str) -> None:
        if not self.takes(sign):
            raise ExpressionError(f"A {sign!r} is missing.")

    def named(self, name: str) -> float:
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name == "frac":
            self.opens()
            above = self.bracketed("{")
            self.opens()
            return above / self.bracketed("{")
        if name not in FUNCTIONS:
            known = ", ".join(sorted({*FUNCTIONS, "pi", "e"}))
            raise ExpressionError(f"I do not know {name!r}. Numbers, + - * / ^, brackets and {known} are read.")
        # A function takes a bracket alone, and else the next power: log(2)^2 is (log 2)^2, and log 2 + 1 ends at 2.
        if self.sees("(", "{", "[", "|"):
            argument = self.atom()
        else:
            argument = self.signed() if self.sees("-", "+") else self.power()
        try:
            return FUNCTIONS[name](argument)
        except ValueError:
            raise ExpressionError(f"{name} of {argument:g} has no real value.") from None

    def opens(self) -> None:
        if not self.takes("{"):
            raise ExpressionError("A fraction is written \\frac{1}{2}, or 1/2.")
