"""Estimates of the importance-weighted bound from log-normal weights, drawn in the picture."""

from __future__ import annotations

from typing import Any

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    NORMAL_DRAW,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
    hidden_at_first,
    if_shown,
    names_above,
    require,
    rows_of_data,
    seeded_rows,
    slider,
    text_mark,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["weighted_bound"]

_GROUPS, _MOST = 100, 64
_ENDS = (-5.0, 3.0)
_BIN = 0.2


def weighted_bound(power: Number = 0, spread: Number = 1.0, *, seed: Number = 1, guess: Number = 2) -> Explorer:
    r"""One hundred estimates of :math:`\mathcal{L}_K` from weights whose logarithms are normal.

    .. math:: w = \exp\bigl(\sigma \varepsilon - \tfrac12 \sigma^2\bigr), \qquad \varepsilon \sim \mathrm{N}(0, 1),
        \qquad \log p(x) = 0, \qquad \mathcal{L}_1 = -\tfrac12 \sigma^2

    The draws are computed in the picture, from integers that the seed scrambles. The estimates are hidden at first: a
    reader predicts the K that brings their mean to within a tenth of a nat, and then chooses to see them.

    Args:
        power: First value of the logarithm of K to base 2, from 0 to 6.
        spread: First value of :math:`\sigma`, from 0.2 to 2.
        seed: First seed, a whole number from 1 to 50.
        guess: First value of the slider for the predicted logarithm of K to base 2, from 0 to 12.

    Returns:
        The explorer, with sliders for K, the spread, the seed and the prediction, and a choice that shows the
        estimates.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.
    """
    alt = require("altair")
    params = [
        slider("power", "K = 2 to the power", power, 0, 6, 1),
        slider("spread", "spread σ of log w", spread, 0.2, 2, 0.1),
        slider("seed", "new seed", seed, 1, 50, 1),
        slider("guess", "your prediction: within 0.1 nats at K = 2 to the power", guess, 0, 12, 1),
        *hidden_at_first("estimates"),
        derived_parameter("count", "pow(2, power)"),
        derived_parameter("elbo", "-spread * spread / 2"),
    ]
    values = [
        ShownValue("weights in a group, K", "q", "count", "format(count, '.0f')", ""),
        ShownValue("ELBO", "elbo", "elbo", "format(elbo, '.2f')", "nats, log p(x) is 0"),
        ShownValue("mean of the estimates", "q", "mean_text", None, "", drawn=True),
    ]
    x = alt.X(
        "place:Q",
        title="estimate in nats",
        scale=alt.Scale(domain=list(_ENDS), nice=False),
        axis=x_axis(),
    )
    draws = seeded_rows(0, _GROUPS * _MOST)
    estimates = (
        draws.transform_calculate(
            group=f"datum.row % {_GROUPS}",
            number=f"floor(datum.row / {_GROUPS})",
            w=f"exp(spread * {NORMAL_DRAW} - spread * spread / 2)",
        )
        .transform_filter("datum.number < count")
        .transform_aggregate(average="mean(w)", groupby=["group"])
        .transform_calculate(estimate="log(datum.average)")
    )
    bars = (
        estimates.transform_filter("shown")
        .transform_calculate(left=f"floor(datum.estimate / {_BIN}) * {_BIN}")
        .transform_aggregate(height="count()", groupby=["left"])
        .transform_calculate(place="datum.left", right=f"datum.left + {_BIN}")
    )
    y = alt.Y("height:Q", scale=alt.Scale(domain=[0, 105], nice=False), axis=y_axis("groups", tickCount=5))
    mean = estimates.transform_aggregate(place="mean(estimate)", error="stderr(estimate)").transform_calculate(
        mean_text=if_shown("format(datum.place, '.2f') + ' ± ' + format(datum.error, '.2f')"),
        note="'mean of the estimates = ' + datum.mean_text",
    )
    hidden = rows_of_data(1).transform_filter("!shown")
    panel = alt.layer(
        bars.mark_rect(color=PALETTE["q"], opacity=0.45, clip=True).encode(x=x, x2="right:Q", y=y, y2=alt.Y2Datum(0)),
        _rule(x, "0", "evidence"),
        _rule(x, "elbo", "elbo"),
        mean.transform_filter("shown")
        .mark_rule(color=PALETTE["q"], strokeWidth=2, strokeDash=[5, 3], clip=True)
        .encode(x=x),
        # Above the panel, where no line passes, however narrow the page.
        mean.mark_text(color=text_colour(PALETTE["q"]), align="left", baseline="bottom", fontSize=12).encode(
            x=alt.value(6), y=alt.value(-24), text="note:N"
        ),
        text_mark("predict first", hidden, alt.value(80), alt.value(95), INK, align="center"),
        *names_above([("log p(x)", "evidence"), ("ELBO", "elbo"), ("estimates", "q")], gap=110),
    ).properties(width=PLOT_WIDTH, height=190)
    return make_explorer(
        panel,
        params,
        values,
        "Lines at the ELBO and at log p(x) = 0. When the estimates are shown, a histogram of one hundred estimates of "
        "the importance-weighted bound, and a line at their mean. With one weight in a group the mean is near the "
        "ELBO. As K grows the histogram narrows and moves towards zero; with a large spread it does so slowly.",
        gutter=GUTTER,
    )


def _rule(x: Any, formula: str, role: str) -> Any:
    """A vertical line where a formula says."""
    return rows_of_data(1).transform_calculate(place=formula).mark_rule(color=PALETTE[role], strokeWidth=2).encode(x=x)
