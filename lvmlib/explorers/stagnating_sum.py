"""A running sum of equal weights in a format with few bits, which at some point stops growing."""

from __future__ import annotations

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
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

__all__ = ["stagnating_sum"]

_MOST = 9
_BINADES = 48
_THOUSANDS = {
    "values": [10**i for i in range(0, _MOST + 1, 3)],
    "labelExpr": "datum.value < 2 ? '1' : '10' + slice('⁰¹²³⁴⁵⁶⁷⁸⁹', round(log(datum.value) / LN10))[0]",
}


def stagnating_sum(
    bits: Number = 8, power: Number = 5, weight: Number = 1.0, *, parts: Number = 0, guess: Number = 15
) -> Explorer:
    r"""K equal weights added one at a time, each addition rounded to t significant bits, in :math:`2^p` running sums.

    .. math:: \hat s_k = \operatorname{round}_t(\hat s_{k-1} + w), \qquad \hat s_0 = 0

    Between two powers of two the numbers of a format lie on a grid, and a running sum grows by the weight rounded to
    that grid: so the picture needs one row for each power of two, and not one for each weight. Rounding is to nearest,
    ties to even, as in IEEE 754. The sums of the parts are merged without error, as powers of two of equal numbers are.

    Args:
        bits: First value of the significant bits t, from 5 to 24: 8 for bfloat16, 11 for float16, 24 for float32.
        power: First value of the decimal logarithm of K, from 0 to 9.
        weight: First value of the weight, from 0.5 to 2 in steps of 1/8.
        parts: First value of the logarithm to base 2 of the number of running sums, from 0 to 12.
        guess: First value of the slider for the predicted end, as a power of two, from 0 to 30.

    Returns:
        The explorer, with sliders for all of these, and a choice that shows the running sum.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.
    """
    alt = require("altair")
    params = [
        slider("bits", "significant bits of the format", bits, 5, 24, 1),
        slider("power", "K = 10 to the power", power, 0, _MOST, 0.1),
        slider("weight", "each weight", weight, 0.5, 2, 0.125),
        slider("parts", "running sums: 2 to the power", parts, 0, 12, 1),
        slider("guess", "your prediction: the sum stops at 2 to the power", guess, 0, 30, 1),
        *hidden_at_first("sum"),
        derived_parameter("count", "pow(10, power)"),
        derived_parameter("sums", "pow(2, parts)"),
        derived_parameter("exact", "count * weight"),
    ]
    values = [
        ShownValue("exact total", "evidence", "exact", "format(exact, '.4~s')", ""),
        ShownValue("total in this format", "q", "total_text", None, "", drawn=True),
        ShownValue("error of its logarithm", "q", "error_text", None, "nats", drawn=True),
    ]
    # One row for each power of two that a running sum passes: its grid, its step, and how many steps it takes.
    binades = (
        alt.Chart(alt.sequence(-1, _BINADES, 1, as_="e"))
        .transform_calculate(low="datum.e < 0 ? 0 : pow(2, datum.e)", high="pow(2, datum.e + 1)")
        .transform_calculate(grid="pow(2, datum.e + 1 - bits)")
        .transform_calculate(ratio="weight / datum.grid")
        .transform_calculate(
            step="datum.grid * (datum.ratio - floor(datum.ratio) == 0.5"
            " ? 2 * round(datum.ratio / 2) : round(datum.ratio))"
        )
        .transform_calculate(taken="datum.step > 0 ? (datum.high - datum.low) / datum.step : 1e300")
        .transform_window(end="sum(taken)")
        .transform_window(before="lag(end)")
        .transform_calculate(begin="datum.before || 0")
    )
    x = alt.X(
        "k:Q",
        title="weights added",
        scale=alt.Scale(type="log", domain=[1, 10**_MOST], nice=False),
        axis=x_axis(**_THOUSANDS),
    )
    y = alt.Y(
        "sum:Q",
        scale=alt.Scale(type="log", domain=[0.5, 2 * 10**_MOST], nice=False),
        axis=y_axis("running sum", **_THOUSANDS),
    )
    # The curve: so many points of K on the logarithmic axis, each in the last binade that has begun by then.
    grid = alt.Chart(alt.sequence(0, 10 * _MOST + 1, 1, as_="place")).transform_calculate(k="pow(10, datum.place / 10)")
    exact = grid.transform_calculate(sum="datum.k * weight")
    at_edges = binades.transform_filter(f"datum.begin * sums < {10**_MOST}").transform_calculate(
        k="max(1, datum.begin * sums)", sum="max(datum.low * sums, weight)"
    )
    # Where the sum no longer grows, the last edge is carried to the end of the axis.
    last = at_edges.transform_aggregate(sum="max(sum)", begin="max(begin)").transform_calculate(k=str(10**_MOST))
    now = (
        binades.transform_filter("datum.begin * sums <= count")
        .transform_calculate(
            reached="sums * min(datum.high, datum.low + datum.step * (count / sums - datum.begin))",
        )
        .transform_aggregate(total="max(reached)")
        .transform_calculate(
            k="count",
            sum="datum.total",
            total_text=if_shown("format(datum.total, '.4~s')"),
            error_text=if_shown("format(log(datum.total / exact), '.3f')"),
            note="'total ' + datum.total_text + ', error of its logarithm ' + datum.error_text + ' nats'",
        )
    )
    words = {"color": text_colour(PALETTE["q"]), "fontSize": 12}
    panel = alt.layer(
        exact.mark_line(color=PALETTE["evidence"], strokeWidth=2, strokeDash=[6, 4], clip=True).encode(x=x, y=y),
        at_edges.transform_filter("shown")
        .mark_line(color=PALETTE["q"], strokeWidth=2.5, clip=True)
        .encode(x=x, y=y, order="k:Q"),
        last.transform_filter("shown")
        .transform_calculate(k="max(1, datum.begin * sums)", far=str(10**_MOST))
        .mark_rule(color=PALETTE["q"], strokeWidth=2.5)
        .encode(x=x, x2="far:Q", y=y),
        now.transform_filter("shown").mark_point(color=PALETTE["q"], filled=True, size=90, opacity=1).encode(x=x, y=y),
        now.mark_rule(color=INK, strokeWidth=1, strokeDash=[2, 3]).encode(x=x),
        # Above the panel, where no line passes, however narrow the page.
        now.mark_text(align="left", baseline="bottom", **words).encode(x=alt.value(6), y=alt.value(-22), text="note:N"),
        rows_of_data(1)
        .mark_text(
            text="exact sum", color=text_colour(PALETTE["evidence"]), align="left", baseline="bottom", fontSize=12
        )
        .encode(x=alt.value(130), y=alt.value(-4)),
        rows_of_data(1)
        .mark_text(
            text="sum in this format", color=text_colour(PALETTE["q"]), align="left", baseline="bottom", fontSize=12
        )
        .encode(x=alt.value(215), y=alt.value(-4)),
        text_mark(
            "predict first",
            rows_of_data(1).transform_filter("!shown"),
            alt.value(250),
            alt.value(150),
            INK,
            align="center",
        ),
    ).properties(width=PLOT_WIDTH, height=190)
    return make_explorer(
        panel,
        params,
        values,
        "Two curves of a running sum against the number of weights, on logarithmic axes. The dashed one, exact, is a "
        "straight line. The other follows it, and from some point on it is flat: each weight is then at most half of "
        "the distance to the next number of the format, and adding it changes nothing. With several running sums that "
        "point lies as many times farther to the right.",
        gutter=GUTTER,
    )
