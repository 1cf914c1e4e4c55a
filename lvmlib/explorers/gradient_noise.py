"""Two estimators of one gradient, draw by draw: the score, with a movable baseline, and the slope along the path."""

from __future__ import annotations

import math
from typing import Any

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.gaussian import ScalarGaussian
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
    hidden_at_first,
    if_shown,
    normal_densities,
    require,
    rows_of_data,
    sets_of_draws,
    slider,
    text_mark,
    x_axis,
)
from lvmlib.plots.palette import PALETTE

__all__ = ["gradient_noise"]

_NUM_DRAWS = 40
_NUM_SETS = 12
_DOMAIN = (-1.0, 3.5)
_REACH = 25


def gradient_noise(
    slope: Number = 1.5,
    noise: Number = 0.7,
    x: Number = 2.5,
    *,
    q_mean: Number = 1.6,
    q_width: Number = 0.35,
    baseline: Number = 0.0,
    guess: Number = 10,
    seed: int = 0,
) -> Explorer:
    r"""The gradient of the ELBO in the mean of q, estimated from each of forty draws by two estimators.

    .. math:: \text{score: } (\log w(z) - b)\, \frac{z - \mu}{t^2}, \qquad
        \text{reparameterised: } \frac{d}{d\mu} \log w(\mu + t \epsilon) = -\frac{z - m}{s^2}

    The model is z ~ N(0, 1), x | z ~ N(slope z, noise²), with posterior N(m, s²), and q = N(mu, t²). Both have the mean
    -(mu - m) / s². Their standard deviations are exact, from moments of a normal. The estimates are hidden at first: a
    reader predicts how many times as many draws the score needs for the same precision.

    Args:
        slope: What x gains with each unit of z.
        noise: The standard deviation of x given z, above 0.
        x: The observation.
        q_mean: First value of the mean of q, from 0 to 3.
        q_width: First value of the standard deviation of q, from 0.1 to 1.
        baseline: First value of the baseline b, from -12 to 4 nats.
        guess: First value of the slider for the predicted ratio, from 0.1 to 200.
        seed: For the twelve sets of draws; the global random state is left alone.

    Returns:
        The explorer, with sliders for q, the baseline, the set of draws and the prediction, and a choice that shows the
        estimates.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If ``noise`` is not positive, or a first value lies outside its slider.

    Example:
        >>> gradient_noise().spec["usermeta"]["lvmlib"]["values"][0]["label"]
        'exact gradient'
    """
    alt = require("altair")
    model = ScalarGaussian.of(slope, noise, x)
    m, s, level = model.mean, model.width, model.log_evidence
    # log w(mu + t e) - b = c0 + c1 e + c2 e², and the score is e / t.
    params = [
        slider("q_mean", "mean of q", q_mean, 0, 3, 0.05),
        slider("q_width", "width of q", q_width, 0.1, 1, 0.05),
        slider("baseline", "baseline b of the score", baseline, -12, 4, 0.1),
        slider("draws", "new draws: set", 1, 1, _NUM_SETS, 1),
        slider("guess", "your prediction: draws by score per draw by path", guess, 0.1, 200, 0.1),
        *hidden_at_first("estimates"),
        derived_parameter("off", f"(q_mean - {m!r}) / {s!r}"),
        derived_parameter("ratio", f"q_width / {s!r}"),
        derived_parameter("c0", f"{level!r} + log(ratio) - off * off / 2 - baseline"),
        derived_parameter("c1", "-off * ratio"),
        derived_parameter("c2", "(1 - ratio * ratio) / 2"),
        derived_parameter("exact", f"-off / {s!r}"),
        # The mean of (c0 + c1 e + c2 e²)² e², with the moments 1, 3 and 15 of a normal.
        derived_parameter("square", "c0 * c0 + 3 * c1 * c1 + 6 * c0 * c2 + 15 * c2 * c2"),
        derived_parameter("sd_score", "sqrt(square - c1 * c1) / q_width"),
        derived_parameter("sd_path", f"ratio / {s!r}"),
        derived_parameter("needed", "sd_score * sd_score / (sd_path * sd_path)"),
    ]
    values = [
        ShownValue("exact gradient", "posterior", "exact", "format(exact, '.2f')", ""),
        ShownValue("sd of the score", "data", "sd_score", if_shown("format(sd_score, '.2f')"), ""),
        ShownValue("sd along the path", "data", "sd_path", if_shown("format(sd_path, '.2f')"), ""),
        ShownValue("draws by score per draw by path", "data", "needed", if_shown("format(needed, '.1f')"), ""),
    ]
    draws = (
        alt.Chart(sets_of_draws(_NUM_SETS, _NUM_DRAWS, seed))
        .transform_filter("datum.set == draws")
        .transform_calculate(unit="datum.e / 1000")
        .transform_calculate(
            z="q_mean + q_width * datum.unit",
            score="(c0 + c1 * datum.unit + c2 * datum.unit * datum.unit) * datum.unit / q_width",
            path=f"-(q_mean + q_width * datum.unit - {m!r}) / {s * s!r}",
        )
    )
    densities = normal_densities(
        [("posterior", "posterior p(z | x)", repr(m), repr(s)), ("q", "q(z)", "q_mean", "q_width")],
        domain=_DOMAIN,
        top=2.2 / (s * math.sqrt(2 * math.pi)),
    )
    marks = draws.transform_filter(f"datum.z >= {_DOMAIN[0]} && datum.z <= {_DOMAIN[1]}").mark_tick(
        color=INK, orient="vertical", thickness=1, size=8, opacity=0.6
    )
    z = alt.X("z:Q", title="z", scale=alt.Scale(domain=list(_DOMAIN), nice=False), axis=x_axis())
    top = alt.layer(densities, marks.encode(x=z, y=alt.value(96))).properties(width=PLOT_WIDTH, height=100)
    return make_explorer(
        alt.vconcat(top, _estimates(draws)),
        params,
        values,
        "Above, the posterior and q, with forty draws of q as marks on the axis. Below, when the estimates are shown, "
        "two rows of forty dots on one axis, the estimate of the gradient from each draw: those of the score lie "
        "widely scattered, those along the path near the exact gradient, which is a vertical line through both rows. "
        "A bar in each row spans two standard errors of the mean of the forty on either side. Triangles are estimates "
        "beyond the picture.",
        gutter=GUTTER,
    )


def _estimates(draws: Any) -> Any:
    alt = require("altair")
    g = alt.X(
        "g:Q",
        title="estimate of the gradient from one draw",
        scale=alt.Scale(domain=[-_REACH, _REACH], nice=False),
        axis=x_axis(tickCount=6),
    )
    y = alt.Y("row:Q", title=None, scale=alt.Scale(domain=[0, 2], nice=False), axis=None)
    exact = rows_of_data(1).transform_calculate(g="exact", row="2")
    layers = [exact.mark_rule(color=PALETTE["posterior"], strokeWidth=1.5).encode(x=g)]
    for row, (field, colour, name) in enumerate((("score", PALETTE["data"], "score"), ("path", INK, "along the path"))):
        height = 1.5 - row
        shown = draws.transform_filter("shown").transform_calculate(
            g=f"clamp(datum.{field}, {-_REACH}, {_REACH})",
            row=f"{height} + 0.24 * (datum.k % 5 - 2) / 2",
            beyond=f"abs(datum.{field}) > {_REACH} ? 1 : 0",
        )
        mean = (
            draws.transform_filter("shown")
            # Names of their own for each row: Vega-Lite puts aggregates of the same data together.
            .transform_aggregate(**{f"mean_{field}": f"mean({field})", f"error_{field}": f"stderr({field})"})
            .transform_calculate(
                g=f"max({-_REACH}, datum.mean_{field} - 2 * datum.error_{field})",
                to=f"min({_REACH}, datum.mean_{field} + 2 * datum.error_{field})",
                row=f"{height - 0.38}",
            )
        )
        place = rows_of_data(1).transform_calculate(g=f"{-_REACH}", row=f"{height + 0.42}")
        hidden = rows_of_data(1).transform_filter("!shown").transform_calculate(g="9", row=f"{height}")
        layers += [
            shown.transform_filter("!datum.beyond").mark_circle(color=colour, size=26, opacity=0.8).encode(x=g, y=y),
            shown.transform_filter("datum.beyond")
            .mark_point(color=colour, shape="triangle-up", filled=True, size=50, opacity=1)
            .encode(x=g, y=y),
            mean.mark_rule(color=colour, strokeWidth=4).encode(x=g, x2="to:Q", y=y),
            text_mark(name, place, g, y, INK, align="left", dx=4),
            text_mark("predict first", hidden, g, y, INK, align="center"),
        ]
    return alt.layer(*layers).properties(width=PLOT_WIDTH, height=170)
