"""Coordinate ascent on the ELBO of a product, for a Gaussian posterior over two coordinates, update by update."""

from __future__ import annotations

import math
from typing import Any

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    MATH_FONT,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
    hidden_at_first,
    if_shown,
    require,
    rows_of_data,
    slider,
    text_mark,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["coordinate_ascent"]

_REACH = 3.2
_MOST_UPDATES = 24
_RADII = tuple(math.sqrt(-2 * math.log(1 - mass)) for mass in (0.5, 0.95))
_FLOOR = 1e-6


def coordinate_ascent(
    correlation: Number = 0.9, *, start_1: Number = -1.0, start_2: Number = 2.2, updates: int = 0, guess: int = 10
) -> Explorer:
    r"""The best independent q for a Gaussian posterior, found one coordinate at a time.

    .. math:: p(z \mid x) = \mathrm{N}\!\left(0, \begin{pmatrix} 1 & \rho \\ \rho & 1 \end{pmatrix}\right), \qquad
        m_1 \leftarrow \rho\, m_2, \quad m_2 \leftarrow \rho\, m_1, \quad v_d \leftarrow 1 - \rho^2

    A slider makes the updates, first coordinate first; q starts with the variances of the posterior. The curve of the
    gap, the width of the best q and the number of sweeps that leave a hundredth of the error are hidden at first: a
    reader predicts that number, and then chooses to see them.

    Args:
        correlation: First value of the correlation of the posterior, from -0.98 to 0.98.
        start_1, start_2: First values of the means of q at the start, from -2.5 to 2.5.
        updates: First value of the number of updates, from 0 to 24.
        guess: First value of the slider for the predicted number of sweeps, from 1 to 200.

    Returns:
        The explorer, with a slider for each argument, and a choice that shows what is hidden.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.

    Example:
        >>> coordinate_ascent().spec["usermeta"]["lvmlib"]["values"][0]["label"]
        'updates made'
    """
    alt = require("altair")
    params = [
        slider("rho", "correlation of the posterior", correlation, -0.98, 0.98, 0.01, argument="correlation"),
        slider("start_1", "start: mean of the first factor", start_1, -2.5, 2.5, 0.1),
        slider("start_2", "start: mean of the second factor", start_2, -2.5, 2.5, 0.1),
        slider("updates", "updates", updates, 0, _MOST_UPDATES, 1),
        slider("guess", "your prediction: sweeps to a hundredth of the error", guess, 1, 200, 1),
        *hidden_at_first("answers"),
        derived_parameter("kept", "1 - rho * rho"),
        derived_parameter("mean_1", _mean_1("updates")),
        derived_parameter("mean_2", _mean_2("updates")),
        derived_parameter("sd_1", "updates > 0 ? sqrt(kept) : 1"),
        derived_parameter("sd_2", "updates > 1 ? sqrt(kept) : 1"),
        derived_parameter("gap", _gap("updates")),
        derived_parameter("sweeps", "abs(rho) < 0.1 ? 1 : ceil(log(0.01) / log(rho * rho) - 1e-9)"),
    ]
    values = [
        ShownValue("updates made", "q", "updates", "format(updates, '.0f')", ""),
        ShownValue("gap", "kl", "gap", if_shown("format(gap, '.3f')"), "nats"),
        ShownValue("width of the best q over the posterior’s", "q", "width", if_shown("format(sqrt(kept), '.2f')"), ""),
        ShownValue("sweeps to a hundredth", "data", "sweeps", if_shown("format(sweeps, '.0f')"), ""),
    ]
    return make_explorer(
        alt.vconcat(_plane(), _gaps()),
        params,
        values,
        "Above, the plane of the two coordinates. The posterior is a filled ellipse that leans as the correlation "
        "says. Two round contours of q move with the updates, and a staircase marks the means of q so far: first a "
        "long level step, then shorter ones along the ellipse towards its centre. Below, when the answers are shown, "
        "dots for the part of the gap that further updates can close, on a logarithmic axis: they fall along a "
        "straight line, the steeper the weaker the correlation.",
        gutter=GUTTER,
    )


def _mean_1(n: str) -> str:
    return f"({n} < 1 ? start_1 : start_2 * pow(rho, 2 * ceil({n} / 2) - 1))"


def _mean_2(n: str) -> str:
    return f"(start_2 * pow(rho, 2 * floor({n} / 2)))"


def _gap(n: str) -> str:
    """KL(q ‖ posterior) after n updates."""
    v_1, v_2 = (f"({n} > {d} ? kept : 1)" for d in (0, 1))
    m_1, m_2 = _mean_1(n), _mean_2(n)
    square = f"({m_1} * {m_1} - 2 * rho * {m_1} * {m_2} + {m_2} * {m_2})"
    return f"(({v_1} + {v_2} + {square}) / kept - 2 - log({v_1} * {v_2}) + log(kept)) / 2"


def _plane() -> Any:
    alt = require("altair")
    scale = alt.Scale(domain=[-_REACH, _REACH], nice=False)
    italic = {"titleFont": MATH_FONT, "titleFontStyle": "italic"}
    x = alt.X("z1:Q", title="z₁", scale=scale, axis=x_axis(tickCount=7, **italic))
    y = alt.Y("z2:Q", title=None, scale=scale, axis=y_axis("z₂", tickCount=7, grid=False, **italic))
    turn = alt.Chart(alt.sequence(0, 2 * math.pi + 0.05, 0.05, as_="t"))
    layers = []
    for radius in reversed(_RADII):
        ellipse = turn.transform_calculate(
            z1=f"{radius!r} * cos(datum.t)", z2=f"{radius!r} * (rho * cos(datum.t) + sqrt(kept) * sin(datum.t))"
        )
        colour = PALETTE["posterior"]
        layers.append(
            ellipse.mark_line(strokeWidth=1.2, fillOpacity=0.16, clip=True).encode(
                x=x, y=y, order="t:Q", stroke=alt.value(colour), fill=alt.value(colour)
            )
        )
    for radius in _RADII:
        contour = turn.transform_calculate(
            z1=f"mean_1 + {radius!r} * sd_1 * cos(datum.t)", z2=f"mean_2 + {radius!r} * sd_2 * sin(datum.t)"
        )
        layers.append(contour.mark_line(color=PALETTE["q"], strokeWidth=2, clip=True).encode(x=x, y=y, order="t:Q"))
    path = (
        alt.Chart(alt.sequence(0, _MOST_UPDATES + 1, 1, as_="n"))
        .transform_filter("datum.n <= updates")
        .transform_calculate(z1=_mean_1("datum.n"), z2=_mean_2("datum.n"))
    )
    layers += [
        path.mark_line(color=INK, strokeWidth=1).encode(x=x, y=y, order="n:Q"),
        path.mark_circle(color=INK, size=22, opacity=1).encode(x=x, y=y),
    ]
    names = [("posterior p(z | x)", "posterior", 0), ("q₁(z₁) q₂(z₂)", "q", 150)]
    for text, role, at in names:
        place = rows_of_data(1)
        layers.append(
            text_mark(
                text,
                place,
                alt.value(6 + at),
                alt.value(-8),
                text_colour(PALETTE[role]),
                font=MATH_FONT,
                align="left",
            )
        )
    return alt.layer(*layers).properties(width=PLOT_WIDTH, height=PLOT_WIDTH * 0.8)


def _gaps() -> Any:
    alt = require("altair")
    x = alt.X(
        "n:Q", title="updates", scale=alt.Scale(domain=[0, _MOST_UPDATES], nice=False), axis=x_axis(tickMinStep=1)
    )
    y = alt.Y(
        "above:Q",
        title=None,
        scale=alt.Scale(type="log", domain=[_FLOOR, 1000], nice=False),
        axis=y_axis("gap, less the smallest gap of a product, in nats", tickCount=4, grid=False, format="~g"),
    )
    curve = (
        alt.Chart(alt.sequence(0, _MOST_UPDATES + 1, 1, as_="n"))
        .transform_calculate(above=f"max({_FLOOR}, {_gap('datum.n')} + log(kept) / 2)")
        .transform_filter("shown")
    )
    now = curve.transform_filter("datum.n == updates")
    hidden = rows_of_data(1).transform_filter("!shown")
    return alt.layer(
        curve.mark_line(color=PALETTE["kl"], strokeWidth=1, opacity=0.6).encode(x=x, y=y),
        curve.mark_circle(color=PALETTE["kl"], size=26, opacity=1).encode(x=x, y=y),
        now.mark_point(color=INK, size=90, strokeWidth=1.5).encode(x=x, y=y),
        text_mark("predict first", hidden, alt.value(PLOT_WIDTH / 2), alt.value(60), INK, align="center"),
    ).properties(width=PLOT_WIDTH, height=120)
