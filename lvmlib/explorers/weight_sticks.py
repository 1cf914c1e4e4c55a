"""The weights of a proposal that one moves: a stick at each draw, and the average that they make."""

from __future__ import annotations

import math
from typing import Any

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.gaussian import ScalarGaussian
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    MATH_FONT,
    PLOT_WIDTH,
    Number,
    ShownValue,
    hidden_at_first,
    if_shown,
    normal_densities,
    require,
    rows_of_data,
    sets_of_draws,
    slider,
    text_mark,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["weight_sticks"]

_NUM_DRAWS = 50
_NUM_SETS = 12
_TALLEST = 5
_DOMAIN = (-3.5, 4.5)


def weight_sticks(
    slope: Number = 1.5,
    noise: Number = 0.7,
    x: Number = 2.5,
    *,
    q_mean: Number = 0.0,
    q_width: Number = 1.0,
    guess: Number = 25,
    seed: int = 0,
) -> Explorer:
    r"""Fifty draws of a movable q, each with a stick of the height of its weight, and the running mean of the sticks.

    .. math:: \frac{w(z_k)}{p(x)} = \frac{p(z_k \mid x)}{q(z_k)}, \qquad z_k = \mu + t \epsilon_k, \qquad
        q = \mathrm{N}(\mu, t^2)

    The model is z ~ N(0, 1), x | z ~ N(slope z, noise²). The numbers epsilon are fixed; a slider chooses among twelve
    sets of them, so a reader draws anew without a kernel. The sticks are hidden at first: a reader predicts the
    effective sample size, and then chooses to see them.

    Args:
        slope: What x gains with each unit of z.
        noise: The standard deviation of x given z, above 0.
        x: The observation.
        q_mean: First value of the mean of q, from -2 to 3.
        q_width: First value of the standard deviation of q, from 0.1 to 2.
        guess: First value of the slider for the predicted effective sample size, from 1 to 50.
        seed: For the twelve sets of draws; the global random state is left alone.

    Returns:
        The explorer, with sliders for q, the set of draws and the prediction, and a choice that shows the sticks.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If ``noise`` is not positive, or a first value lies outside its slider.

    Example:
        >>> weight_sticks().spec["usermeta"]["lvmlib"]["values"][1]["label"]
        'effective sample size'
    """
    alt = require("altair")
    model = ScalarGaussian.of(slope, noise, x)
    m, s = model.mean, model.width
    params = [
        slider("q_mean", "mean of q", q_mean, -2, 3, 0.05),
        slider("q_width", "width of q", q_width, 0.1, 2, 0.05),
        slider("draws", "new draws: set", 1, 1, _NUM_SETS, 1),
        slider("guess", "your prediction of the effective sample size", guess, 1, _NUM_DRAWS, 1),
        *hidden_at_first("weights"),
    ]
    weights = (
        alt.Chart(sets_of_draws(_NUM_SETS, _NUM_DRAWS, seed))
        .transform_filter("datum.set == draws")
        .transform_calculate(
            z="q_mean + q_width * datum.e / 1000",
            log_u=f"log(q_width / {s!r}) + pow(datum.e / 1000, 2) / 2"
            f" - pow((q_mean + q_width * datum.e / 1000 - {m!r}) / {s!r}, 2) / 2",
            u="exp(datum.log_u)",
            u2="exp(2 * datum.log_u)",
        )
    )
    densities = normal_densities(
        [("posterior", "posterior p(z | x)", repr(m), repr(s)), ("q", "proposal q(z)", "q_mean", "q_width")],
        domain=_DOMAIN,
        top=2.2 / (s * math.sqrt(2 * math.pi)),
    ).properties(width=PLOT_WIDTH, height=100)
    running = weights.transform_window(n="row_number()", sum_u="sum(u)", sum_u2="sum(u2)", largest="max(u)")
    final = running.transform_filter(f"datum.n == {_NUM_DRAWS}").transform_calculate(
        mean_text=if_shown(f"format(datum.sum_u / {_NUM_DRAWS}, '.3f')"),
        ess_text=if_shown("format(datum.sum_u * datum.sum_u / datum.sum_u2, '.1f')"),
        share_text=if_shown("format(100 * datum.largest / datum.sum_u, '.0f') + ' %'"),
    )
    values = [
        ShownValue("average weight over p(x)", "q", "mean_text", None, "(exact 1)", drawn=True),
        ShownValue("effective sample size", "q", "ess_text", None, f"of {_NUM_DRAWS}", drawn=True),
        ShownValue("share of the largest weight", "q", "share_text", None, "", drawn=True),
    ]
    return make_explorer(
        alt.vconcat(densities, _sticks(weights), _means(running, final)),
        params,
        values,
        "Three pictures, one below the other. The posterior and the proposal, which starts as the prior. Fifty draws "
        "of the proposal, as marks on the axis. When the weights are shown, a stick stands at "
        "each of fifty draws of the proposal, as high as its weight in units of p(x): where the proposal is not the "
        "posterior, a few sticks are tall and most are near zero; a triangle at the upper edge is a stick beyond the "
        "picture. The running mean of the sticks, with the exact value 1 as a line, and the effective sample size.",
        gutter=GUTTER,
    )


def _sticks(weights: Any) -> Any:
    alt = require("altair")
    low, high = _DOMAIN
    z = alt.X("z:Q", title="z, at the draws", scale=alt.Scale(domain=[low, high], nice=False), axis=x_axis())
    u, foot = (
        alt.Y(
            field,
            scale=alt.Scale(domain=[0, _TALLEST], nice=False),
            axis=y_axis("weight over p(x)", values=list(range(_TALLEST + 1))),
        )
        for field in ("height:Q", "foot:Q")
    )
    inside = weights.transform_filter(f"datum.z >= {low} && datum.z <= {high}").transform_calculate(
        height=f"min({_TALLEST}, datum.u)", foot="0"
    )
    exact = rows_of_data(1).transform_calculate(height="1", foot="0", z=repr(high))
    return alt.layer(
        inside.mark_tick(color=INK, orient="vertical", thickness=1, size=7, opacity=0.6).encode(x=z, y=foot),
        inside.transform_filter("shown")
        .mark_rule(color=PALETTE["q"], strokeWidth=2, opacity=0.7)
        .encode(x=z, y=foot, y2="height:Q"),
        inside.transform_filter(f"shown && datum.u > {_TALLEST}")
        .mark_point(shape="triangle-up", filled=True, color=PALETTE["q"], size=60, opacity=1)
        .encode(x=z, y=u),
        exact.mark_rule(color=PALETTE["evidence"], strokeWidth=1.5).encode(y=u),
        text_mark("p(x)", exact, z, u, text_colour(PALETTE["evidence"]), font=MATH_FONT, align="right", dy=-9),
    ).properties(width=PLOT_WIDTH, height=130)


def _means(running: Any, final: Any) -> Any:
    alt = require("altair")
    top = 2
    n = alt.X("n:Q", title="draws", scale=alt.Scale(domain=[1, _NUM_DRAWS], nice=False), axis=x_axis(tickCount=5))
    y = alt.Y(
        "mean:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=y_axis("running mean of the weights over p(x)", values=[0, 0.5, 1, 1.5, 2]),
    )
    exact = rows_of_data(1).transform_calculate(mean="1", n=str(_NUM_DRAWS))
    note = final.transform_calculate(
        mean=str(top), note=f"'effective sample size ' + datum.ess_text + ' of {_NUM_DRAWS}'"
    )
    largest = final.transform_calculate(
        mean="0", note="'average ' + datum.mean_text + ', largest weight ' + datum.share_text + ' of the sum'"
    )
    words = {"color": text_colour(PALETTE["q"]), "align": "right", "fontSize": 12}
    return alt.layer(
        exact.mark_rule(color=PALETTE["evidence"], strokeWidth=1.5).encode(y=y),
        running.transform_filter("shown")
        .transform_calculate(mean="datum.sum_u / datum.n")
        .mark_line(color=PALETTE["q"], strokeWidth=2, clip=True)
        .encode(x=n, y=y),
        text_mark(
            "exact",
            # On the side of the line where the average is not.
            final.transform_calculate(mean=f"shown && datum.sum_u > {_NUM_DRAWS} ? 0.88 : 1.12"),
            n,
            y,
            text_colour(PALETTE["evidence"]),
            align="right",
        ),
        note.mark_text(dy=8, **words).encode(x=n, y=y, text="note:N"),
        largest.mark_text(dy=-8, **words).encode(x=n, y=y, text="note:N"),
    ).properties(width=PLOT_WIDTH, height=120)
