"""The gap of Jensen's inequality."""

from __future__ import annotations

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

__all__ = ["jensen_gap"]

_NAMES_AT = 10.4  # where the names of the two heights stand, to the right of every value
_SPREAD = 0.17  # half of the smallest distance between two names, in nats


def jensen_gap(a: Number = 1.0, b: Number = 9.0, p: Number = 0.5, *, guess: Number = 1.5) -> Explorer:
    r"""Jensen's gap of a weight with two values: the chord of the logarithm below its curve.

    .. math:: \log(p a + (1 - p) b) - p \log a - (1 - p) \log b \ge 0

    The gap and what belongs to it are hidden at first. A reader sets a prediction, shown as a bracket below the curve,
    and then chooses to see the gap.

    Args:
        a, b: First values of the two sliders, from 0.1 to 10.
        p: The probability of ``a``.
        guess: First value of the slider for the predicted gap, from 0 to 4 nats.

    Returns:
        The explorer, with sliders for ``a``, ``b``, ``p`` and the prediction, and a choice that shows the gap.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.

    Example:
        >>> jensen_gap(p=0.25).spec["usermeta"]["lvmlib"]["values"][2]["label"]
        'gap'
    """
    alt = require("altair")
    params = [
        slider("a", "value a", a, 0.1, 10, 0.1),
        slider("b", "value b", b, 0.1, 10, 0.1),
        slider("p", "probability of a", p, 0, 1, 0.01),
        slider("guess", "your prediction of the gap", guess, 0, 4, 0.05),
        *hidden_at_first("chord and gap"),
        derived_parameter("mean", "p * a + (1 - p) * b"),
        derived_parameter("log_mean", "log(mean)"),
        derived_parameter("mean_log", "p * log(a) + (1 - p) * log(b)"),
        derived_parameter("gap", "log_mean - mean_log"),
    ]
    values = [
        ShownValue("log 𝔼[w]", "evidence", "log_mean", if_shown("format(log_mean, '.3f')"), "nats"),
        ShownValue("𝔼[log w]", "elbo", "mean_log", if_shown("format(mean_log, '.3f')"), "nats"),
        ShownValue("gap", "kl", "gap", if_shown("format(gap, '.3f')"), "nats"),
        ShownValue("prediction less gap", "data", "off", if_shown("format(guess - gap, '+.3f')"), "nats"),
    ]
    axis = x_axis(values=[0, 2, 4, 6, 8, 10], titleFont=MATH_FONT, titleFontStyle="italic")
    x = alt.X("w:Q", title="w", scale=alt.Scale(domain=[0, 12.4], nice=False), axis=axis)
    y = alt.Y("log:Q", scale=alt.Scale(domain=[-2.6, 2.9], nice=False), axis=y_axis("nats", tickCount=5))
    seen = alt.OpacityValue(alt.expr("shown"))
    curve = (
        alt.Chart(alt.sequence(0.1, 10.11, 0.05, as_="w"))
        .transform_calculate(log="log(datum.w)")
        .mark_line(color=INK, strokeWidth=1.5)
    )
    ends = rows_of_data(2).transform_calculate(w="datum.row ? b : a", log="log(datum.w)", share="datum.row ? 1 - p : p")
    top = rows_of_data(1).transform_calculate(w="mean", log="log_mean", below="mean_log")
    bottom = rows_of_data(1).transform_calculate(w="mean", log="mean_log")
    predicted = rows_of_data(1).transform_calculate(w="mean", log="log_mean", below="max(-2.6, log_mean - guess)")
    layers = [
        curve.encode(x=x, y=y),
        ends.mark_line(color=PALETTE["elbo"], strokeWidth=1.5, strokeDash=[5, 3]).encode(x=x, y=y, opacity=seen),
        *_leader(top, "log_mean", x, y),
        *_leader(bottom, "mean_log", x, y),
        ends.mark_circle(color=PALETTE["elbo"], opacity=1).encode(
            x=x, y=y, size=alt.Size("share:Q", scale=alt.Scale(domain=[0, 1], range=[12, 240]), legend=None)
        ),
        predicted.mark_rule(color=INK, strokeWidth=1.5, xOffset=-7).encode(x=x, y=y, y2="below:Q"),
        predicted.transform_calculate(log="datum.below")
        .mark_tick(color=INK, orient="horizontal", thickness=1.5, size=9, xOffset=-7)
        .encode(x=x, y=y),
        top.mark_rule(color=PALETTE["kl"], strokeWidth=5, strokeCap="butt").encode(
            x=x, y=y, y2="below:Q", opacity=seen
        ),
        top.mark_circle(color=PALETTE["evidence"], size=75, opacity=1).encode(x=x, y=y),
        bottom.mark_circle(color=PALETTE["elbo"], size=75).encode(x=x, y=y, opacity=seen),
        _name("log w", rows_of_data(1).transform_calculate(w="0.35", log="log(0.35)"), x, y, INK, dx=8, dy=4),
        _name("log 𝔼[w]", _name_place(f"(log_mean + mean_log) / 2 + max(gap / 2, {_SPREAD})"), x, y, "evidence"),
        _name(
            "𝔼[log w]",
            _name_place(f"(log_mean + mean_log) / 2 - max(gap / 2, {_SPREAD})"),
            x,
            y,
            "elbo",
            opacity=alt.expr("shown"),
        ),
    ]
    chart = alt.layer(*layers).properties(width=PLOT_WIDTH, height=250)
    return make_explorer(
        chart,
        params,
        values,
        "The curve of the logarithm with two dots at the values a and b, each as large as its value is probable, and a "
        "dot on the curve above their mean. A bracket hangs from that dot, as long as the gap that you predict. When "
        "the gap is shown, a dashed chord joins the two values, and at their mean a thick vertical segment joins the "
        "curve to the chord: the gap. It vanishes when a equals b, and when p is zero or one.",
        gutter=GUTTER,
    )


def _leader(point: Any, height: str, x: Any, y: Any) -> list[Any]:
    """A thin line from a point to its name at the right edge, where it ends at the same height."""
    alt = require("altair")
    line = point.transform_calculate(end=f"{_NAMES_AT}").mark_rule(color=INK, strokeDash=[1, 3])
    opacity = "0.45" if height == "log_mean" else "0.45 * shown"
    return [line.encode(x=x, x2="end:Q", y=y, opacity=alt.OpacityValue(alt.expr(opacity)))]


def _name_place(height: str) -> Any:
    """Where a name stands: at the right edge, at its height, and no nearer to the other name than can be read."""
    hidden = height if "- max" in height else f"shown ? {height} : log_mean"
    return rows_of_data(1).transform_calculate(w=f"{_NAMES_AT}", log=hidden)


def _name(text: str, chart: Any, x: Any, y: Any, role: str, *, dx: Number = 3, dy: Number = 0, **mark: Any) -> Any:
    colour = text_colour(PALETTE[role]) if role in PALETTE else role
    return text_mark(text, chart, x, y, colour, dx=dx, dy=dy, align="left", font=MATH_FONT, **mark)
