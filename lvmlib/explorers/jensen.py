"""The gap of Jensen's inequality."""

from __future__ import annotations

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
    require,
    rows_of_data,
    slider,
    text_mark,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["jensen_gap"]


def jensen_gap(a: Number = 1.0, b: Number = 9.0, p: Number = 0.5) -> Explorer:
    r"""Jensen's gap of a variable with two values: the chord of the logarithm below its curve.

    .. math:: \log(p a + (1 - p) b) - p \log a - (1 - p) \log b \ge 0

    Args:
        a, b: First values of the two sliders, from 0.1 to 10.
        p: The probability of ``a``.

    Returns:
        The explorer, with sliders for ``a``, ``b`` and ``p``.

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
        derived_parameter("mean", "p * a + (1 - p) * b"),
        derived_parameter("log_mean", "log(mean)"),
        derived_parameter("mean_log", "p * log(a) + (1 - p) * log(b)"),
        derived_parameter("gap", "log_mean - mean_log"),
    ]
    values = [
        ShownValue("log E[w]", "evidence", "log_mean", "format(log_mean, '.3f')", "nats"),
        ShownValue("E[log w]", "elbo", "mean_log", "format(mean_log, '.3f')", "nats"),
        ShownValue("gap", "kl", "gap", "format(gap, '.3f')", "nats"),
    ]
    x = alt.X("w:Q", title="w", scale=alt.Scale(domain=[0, 10.2], nice=False), axis=x_axis())
    y = alt.Y("log:Q", title=None, scale=alt.Scale(domain=[-2.6, 2.9], nice=False), axis=y_axis(tickCount=5))
    curve = (
        alt.Chart(alt.sequence(0.1, 10.21, 0.05, as_="w"))
        .transform_calculate(log="log(datum.w)")
        .mark_line(color=INK, strokeWidth=1.5)
    )
    ends = rows_of_data(2).transform_calculate(w="datum.row ? b : a", log="log(datum.w)", share="datum.row ? 1 - p : p")
    means = rows_of_data(1).transform_calculate(w="mean", log="log_mean", below="mean_log")
    layers = [
        curve.encode(x=x, y=y),
        ends.mark_line(color=PALETTE["elbo"], strokeWidth=1.5, strokeDash=[5, 3]).encode(x=x, y=y),
        ends.mark_circle(color=PALETTE["elbo"], opacity=1).encode(
            x=x, y=y, size=alt.Size("share:Q", scale=alt.Scale(domain=[0, 1], range=[12, 240]), legend=None)
        ),
        means.mark_rule(color=PALETTE["kl"], strokeWidth=5, strokeCap="butt").encode(x=x, y=y, y2="below:Q"),
        means.mark_circle(color=PALETTE["evidence"], size=75, opacity=1).encode(x=x, y=y),
        means.transform_calculate(log="datum.below")
        .mark_circle(color=PALETTE["elbo"], size=75, opacity=1)
        .encode(x=x, y=y),
        text_mark(
            "log w", rows_of_data(1).transform_calculate(w="10", log="log(10)"), x, y, INK, dx=-4, dy=-11, align="right"
        ),
        # The first label keeps to the free side above the curve, the second to the one below the chord.
        text_mark(
            "log E[w]",
            means.transform_calculate(w="min(max(mean, 1.9), 8)", log="log(datum.w)"),
            x,
            y,
            text_colour(PALETTE["evidence"]),
            dx=-7,
            dy=-9,
            align="right",
        ),
        text_mark(
            "E[log w]",
            means.transform_calculate(w="min(mean, 8.2)", log="mean_log - (mean > 8.2 ? 0.5 : 0)"),
            x,
            y,
            text_colour(PALETTE["elbo"]),
            dx=9,
            dy=10,
            align="left",
        ),
    ]
    chart = alt.layer(*layers).properties(width=PLOT_WIDTH, height=250)
    return make_explorer(
        chart,
        params,
        values,
        "The curve of the logarithm, and below it a chord between its points at a and b. At the mean of the two values "
        "a vertical segment joins the chord, whose height is the mean of the logarithms, to the curve, whose height is "
        "the logarithm of the mean. The segment is the gap: it vanishes when a equals b or when p is zero or one.",
        gutter=GUTTER,
    )
