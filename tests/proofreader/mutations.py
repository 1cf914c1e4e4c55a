# ruff: noqa: E501 (LaTeX is easier to read in one line)
r"""Slips of the pen, made on purpose: every way to break a derivation that the tests try.

Each mutation rewrites the source at one place. All are chosen such that the value of a side, or the truth of a
relation, changes: by algebra, not by asking the checker. Where a mutant happens to say the same as the original it is
listed in ``EQUIVALENT``, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_LETTER = r"(?:\\pi|[pqPQ])(?:_\{?(?:\\boldsymbol)?\\(?:theta|phi|lambda)\}?|_\{(?:\\boldsymbol)?\\(?:theta|phi)\}|_\{\\theta'\})?"
_DENSITY = re.compile(rf"(?<![A-Za-z\\]){_LETTER}\(([^()]*)\)")
_KL = re.compile(
    r"(?:\\(?:mathrm|text|operatorname)\{KL\}|\\KL|D_\{?(?:\\mathrm\{)?KL\}*|\\mathcal\{D\})(?:\\left|\\big)?\s*([(\[])"
)


def _closing(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth == 0:
            return at
    return -1


def _in_subscript(text: str, at: int) -> bool:
    """Whether a place lies in the braces of a subscript."""
    depth = 0
    for place in range(at - 1, -1, -1):
        if text[place] == "}":
            depth += 1
        elif text[place] == "{":
            if depth == 0:
                return text[place - 1] == "_" if place else False
            depth -= 1
    return False


def drop_logarithm(text: str) -> Iterator[str]:
    for match in re.finditer(r"\\(?:log|ln)(?![A-Za-z])", text):
        yield f"{text[: match.start()]} {text[match.end() :]}"


def flip_sign(text: str) -> Iterator[str]:
    for match in re.finditer(r"[+-]", text):
        if not _in_subscript(text, match.start()):
            yield text[: match.start()] + {"+": "-", "-": "+"}[match.group()] + text[match.end() :]


def flip_inequality(text: str) -> Iterator[str]:
    for match in re.finditer(r"\\(geq|ge|leq|le)(?![A-Za-z])", text):
        if not _in_subscript(text, match.start()):
            yield text[: match.start()] + {"g": r"\le", "l": r"\ge"}[match.group(1)[0]] + text[match.end() :]


def swap_arguments(text: str) -> Iterator[str]:
    for match in _KL.finditer(text):
        opening = match.start(1)
        closing = _closing(text, opening)
        inside = text[opening + 1 : closing]
        bar = re.search(r"(?:\\,)?(?:\\Vert|\\\||\\parallel|\|\|)(?:\\,)?", inside)
        if closing > 0 and bar is not None:
            first, second = inside[: bar.start()], inside[bar.end() :]
            if second.endswith(r"\right"):
                first, second = first + r"\right", second.removesuffix(r"\right")
            yield f"{text[: opening + 1]}{second} {bar.group()} {first}{text[closing:]}"


def drop_factor(text: str) -> Iterator[str]:
    """One density of a product becomes 1."""
    for match in _DENSITY.finditer(text):
        if not _in_subscript(text, match.start()):
            before, after = text[: match.start()].rstrip(" \\,{}"), text[match.end() :].lstrip(" \\,")
            product = _DENSITY.match(after) or (before.endswith(")") and _DENSITY.search(before[-40:]))
            if product:
                yield f"{text[: match.start()]}1{text[match.end() :]}"


def drop_condition(text: str) -> Iterator[str]:
    for match in _DENSITY.finditer(text):
        bar = re.search(r"\s*(?:\\mid|\|)\s*", match.group(1))
        if bar is not None and not _in_subscript(text, match.start()):
            cut = match.start(1) + bar.start()
            yield text[:cut] + text[match.end(1) :]


def drop_normaliser(text: str) -> Iterator[str]:
    """A fraction loses its denominator."""
    for match in re.finditer(r"\\t?frac(?=\{)", text):
        first = _closing(text, match.end())
        if first > 0 and text[first + 1 : first + 2] == "{":
            last = _closing(text, first + 1)
            if "partial" not in text[match.start() : last] and "{d}" not in text[match.start() : last]:
                yield f"{text[: match.start()]}\\left({text[match.end() + 1 : first]}\\right){text[last + 1 :]}"
    for match in re.finditer(r"\\t?frac1([KN])", text):
        yield f"{text[: match.start()]}1{text[match.end() :]}"


def change_measure(text: str) -> Iterator[str]:
    r"""The density under ``\E`` becomes the other one."""
    for match in re.finditer(r"(?:\\E|\\mathbb\{E\}|\\mathbb E)_\{", text):
        closing = _closing(text, match.end() - 1)
        inside = text[match.end() : closing]
        density = _DENSITY.search(inside)
        if density is not None and inside.count("(") == 1 and "prod" not in inside:
            letter = "p" if density.group().startswith("q") else "q"
            changed = inside[: density.start()] + letter + inside[density.start() :][1:]
            if letter == "p" and density.group() == "q(z)":
                changed = inside.replace("q(z)", "p(z)")
            yield text[: match.end()] + re.sub(r"([pq])_(?:\{[^}]*\}+|\\\w+)", r"\1", changed) + text[closing:]


def logarithm_outside(text: str) -> Iterator[str]:
    """The logarithm moves out of an expectation, or into it."""
    for match in re.finditer(r"((?:\\E|\\mathbb\{E\})_\{)", text):
        closing = _closing(text, match.end() - 1)
        head = text[match.start() : closing + 1]
        after = re.match(r"(\\!|\\left|\\Big|\\big)*\s*\[\s*\\log", text[closing + 1 :])
        before = re.search(r"\\log\s*$", text[: match.start()])
        if after is not None:
            rest = text[closing + 1 + after.end() :]
            opened = after.group().removesuffix(r"\log")
            yield f"{text[: match.start()]}\\log {head}{opened}{rest}"
        elif before is not None:
            opened = re.match(r"(\\!|\\left|\\Big|\\big)*\s*\[", text[closing + 1 :])
            if opened is not None:
                rest = text[closing + 1 + opened.end() :]
                yield f"{text[: before.start()]}{head}{opened.group()}\\log {rest}"


MUTATIONS: dict[str, Callable[[str], Iterator[str]]] = {
    "a logarithm dropped": drop_logarithm,
    "a sign flipped": flip_sign,
    "an inequality turned": flip_inequality,
    "the arguments of KL swapped": swap_arguments,
    "a factor dropped": drop_factor,
    "a conditioning dropped": drop_condition,
    "a normaliser dropped": drop_normaliser,
    "the measure of an expectation changed": change_measure,
    "the logarithm outside for inside": logarithm_outside,
}
