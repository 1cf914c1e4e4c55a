"""What the explorers are made of: parameters, axes, words and the shell of the specification."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import torch

from lvmlib._random import forked_rng
from lvmlib.plots.palette import FONTS, PALETTE, text_colour

Number: TypeAlias = float | int

INK = "currentColor"
"""The colour of the page's text."""

FONT_SIZE = 13
"""The size of words, in pixels."""

GUTTER = 48
"""The room for an axis to the left of a panel, in pixels."""

PLOT_WIDTH = 400
"""The width of a panel, in pixels."""

MATH_FONT = "STIX Two Text, Cambria, DejaVu Serif, Georgia, serif"
"""The faces of mathematics in labels, which notebooks and pages may have."""


MATH = {"font": "serif", "fontStyle": "italic", "fontSize": 14}
"""How a formula above a panel is set."""

NORMAL_DRAW = "sqrt(-2 * log(datum.u)) * cos(2 * PI * datum.v)"
"""Vega's expression for a standard normal number of a row of :func:`seeded_rows`."""

SECOND_NORMAL_DRAW = "sqrt(-2 * log(datum.u)) * sin(2 * PI * datum.v)"
"""As :data:`NORMAL_DRAW`, and independent of it."""

_PRIME = 16_777_213


class ShownValue(NamedTuple):
    """A number beside the picture: the name of a parameter, or of a field that holds the text itself."""

    label: str
    role: str
    name: str
    text: str | None
    unit: str
    drawn: bool = False  # it already stands in the picture


def slider(
    name: str, label: str, value: Number, least: Number, most: Number, step: Number, *, argument: str | None = None
) -> Any:
    """A parameter that a slider moves; ``argument`` is what the caller knows its first value as."""
    alt = require("altair")
    first = number_within(argument or name, value, least, most)
    first = min(most, round(least + step * round((first - least) / step), 6) + 0.0)
    return alt.param(name=name, value=first, bind=alt.binding_range(min=least, max=most, step=step, name=f"{label}: "))


def derived_parameter(name: str, formula: str) -> Any:
    return require("altair").param(name=name, expr=formula)


def hidden_at_first(what: str) -> list[Any]:
    """What a reader chooses once the prediction is made: parameter ``reveal``, and ``shown``, 1 if it shows."""
    alt = require("altair")
    choice = alt.binding_radio(options=["hidden", "shown"], name=f"{what}: ")
    return [
        alt.param(name="reveal", value="hidden", bind=choice),
        derived_parameter("shown", "reveal == 'shown' ? 1 : 0"),
    ]


def if_shown(text: str) -> str:
    """Vega's expression for a text that a reader sees once the parameter ``shown`` is set."""
    return f"shown ? {text} : '?'"


def number_within(name: str, value: Number, least: Number, most: Number) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}: expected a number; convert with float().")
    if not (math.isfinite(value) and least <= value <= most):
        limits = "a finite number" if math.isinf(least) else f"{least:g} to {most:g}"
        raise ValueError(f"{name} is {value}: expected {limits}; choose a value in that range.")
    return float(value)


def rows_of_data(count: int) -> Any:
    """Data of so many rows, for marks whose place is a formula."""
    alt = require("altair")
    return alt.Chart(alt.Data(values=[{"row": row} for row in range(count)]))


def seeded_rows(first: int, last: int) -> Any:
    """Rows from ``first`` up to ``last``, each with two uniform numbers u and v that the parameter ``seed`` names.

    They are squares modulo a prime, which a browser computes exactly.
    """
    alt = require("altair")
    rows = alt.Chart(alt.sequence(first, last, 1, as_="row"))
    for name, formula in {
        "first": f"(datum.row * 7919 + seed * 104729 + 12345) % {_PRIME}",
        "second": f"(datum.first * datum.first + 977 * datum.row + 31) % {_PRIME}",
        "third": f"(datum.second * datum.second + datum.first) % {_PRIME}",
        "fourth": f"(datum.third * datum.third + datum.second) % {_PRIME}",
        "u": f"(datum.third + 0.5) / {_PRIME}",
        "v": f"(datum.fourth + 0.5) / {_PRIME}",
    }.items():
        rows = rows.transform_calculate(**{name: formula})
    return rows


def names_above(entries: Sequence[tuple[str, str]], *, gap: Number = 150) -> list[Any]:
    """Names in the colours of their marks, in one line above the panel, as mathematics is set."""
    alt = require("altair")
    return [
        rows_of_data(1)
        .mark_text(text=text, color=text_colour(PALETTE[role]), align="left", baseline="bottom", **MATH)
        .encode(x=alt.value(6 + gap * i), y=alt.value(-4))
        for i, (text, role) in enumerate(entries)
    ]


def text_mark(text: Any, chart: Any, x: Any, y: Any, colour: str, **mark: Any) -> Any:
    return chart.mark_text(text=text, color=colour, fontSize=FONT_SIZE, **mark).encode(x=x, y=y)


def legend_line(entries: Sequence[tuple[str, str]], *, gap: Number = 125) -> list[Any]:
    """Names in the colours of their curves, in one line above all of them."""
    alt = require("altair")
    return [
        rows_of_data(1)
        .mark_text(
            text=text,
            color=text_colour(PALETTE[role]),
            font=MATH_FONT,
            fontSize=FONT_SIZE,
            align="left",
            baseline="top",
        )
        .encode(x=alt.value(6 + gap * i), y=alt.value(0))
        for i, (text, role) in enumerate(entries)
    ]


def normal_densities(curves: Sequence[tuple[str, str, str, str]], *, domain: tuple[float, float], top: float) -> Any:
    """Normal densities, each given by its role, its label and the formulas of its mean and its width."""
    alt = require("altair")
    low, high = domain
    x = alt.X("z:Q", title="z", scale=alt.Scale(domain=[low, high], nice=False), axis=x_axis())
    y = alt.Y("density:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=None)
    layers = [
        alt.Chart(alt.sequence(low, high, (high - low) / 240, as_="z"))
        .transform_calculate(density=f"exp(-pow((datum.z - {mean}) / ({width}), 2) / 2) / ({width} * sqrt(2 * PI))")
        .mark_area(color=PALETTE[role], fillOpacity=0.14, line={"color": PALETTE[role], "strokeWidth": 2}, clip=True)
        .encode(x=x, y=y)
        for role, _, mean, width in curves
    ]
    return alt.layer(*layers, *legend_line([(label, role) for role, label, _, _ in curves]))


def x_axis(**options: Any) -> Any:
    return require("altair").Axis(**{"tickCount": 6, "grid": False} | options)


def y_axis(title: str | None = None, **options: Any) -> Any:
    """An axis of fixed extent, so that panels stand one below the other; its title lies flat above it."""
    written = {"title": title, "titleAngle": 0, "titleAlign": "left", "titleX": -GUTTER + 6, "titleY": -12}
    extent = {"minExtent": GUTTER, "maxExtent": GUTTER}
    return require("altair").Axis(**extent | (written if title else {"title": None}) | options)


def superscript_of(formula: str) -> str:
    """Vega's expression for an exponent from 0 to 99 in raised figures."""

    def figure(of: str) -> str:
        return f"slice('⁰¹²³⁴⁵⁶⁷⁸⁹', {of}, {of} + 1)"

    tens, ones = f"floor(({formula}) / 10)", f"(({formula}) % 10)"
    return f"(({formula}) >= 10 ? {figure(tens)} : '') + {figure(ones)}"


def count_from_log10(log10: str) -> str:
    """Vega's expression for a count that is given by its logarithm: 1,234 or 3.2 × 10¹²."""
    mantissa = f"format(pow(10, {log10} - floor({log10})), '.1f') + ' × 10' + {superscript_of(f'floor({log10})')}"
    return f"{log10} < 6 ? format(ceil(pow(10, {log10}) - 1e-6), ',.0f') : {mantissa}"


def format_number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


@cache
def _teach_the_face(converter: ModuleType) -> None:
    converter.register_font_directory(str(FONTS))


def require(module: str) -> ModuleType:
    """Altair, or the converter, which then knows the face of the book."""
    try:
        loaded = import_module(module)
    except ImportError as error:
        raise ImportError(
            "lvmlib.explorers needs Altair and vl-convert-python: run `pip install altair vl-convert-python`"
        ) from error
    if module == "vl_convert":
        _teach_the_face(loaded)
    return loaded


def sets_of_draws(num_sets: int, num_draws: int, seed: int) -> Any:
    """Sets of standard normal draws to choose from: data with the fields ``set``, ``k`` and, in thousandths, ``e``."""
    alt = require("altair")
    with forked_rng(seed):
        thousandths = (1000 * torch.randn(num_sets, num_draws, dtype=torch.float64, device="cpu")).round().int()
    table = [
        f"{number + 1},{place + 1},{e}"
        for number, row in enumerate(thousandths.tolist())
        for place, e in enumerate(row)
    ]
    return alt.InlineData(
        values="set,k,e\n" + "\n".join(table),
        format=alt.CsvDataFormat(type="csv", parse={"set": "number", "k": "number", "e": "number"}),
    )
