"""The evidence of a scalar Gaussian model as a bar of two parts."""

from __future__ import annotations

import math
from typing import Any

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.gaussian import ScalarGaussian
from lvmlib.explorers.vega import (
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
    slider,
    text_mark,
    x_axis,
)
from lvmlib.plots.palette import PALETTE

__all__ = ["evidence_bar"]


def evidence_bar(
    slope: Number = 1.5,
    noise: Number = 0.7,
    x: Number = 2.5,
    *,
    q_mean: Number | None = None,
    q_width: Number | None = None,
    hidden: bool = False,
) -> Explorer:
    r"""q against the posterior of a scalar Gaussian model, and the evidence as a bar of two parts.

    .. math:: \log p(x) = \mathrm{ELBO}(q) + \mathrm{KL}\bigl(q(z) \,\Vert\, p(z \mid x)\bigr)

    The model is z ~ N(0, 1), x | z ~ N(slope z, noise²), and q is N(q_mean, q_width²). The two parts of the bar are
    computed apart, by their closed formulas.

    Args:
        slope: What x gains with each unit of z.
        noise: The standard deviation of x given z, above 0.
        x: The observation.
        q_mean, q_width: First values of the two sliders; omitted, a q beside the posterior and wider.
        hidden: Whether the border between the two parts is hidden until a reader has set a prediction of the
            divergence and chooses to see it.

    Returns:
        The explorer, with sliders for the mean and the width of q, and, if the border is hidden, one for the
        prediction and a choice that shows it.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If ``noise`` is not positive, or a first value lies outside its slider.
    """
    alt = require("altair")
    model = ScalarGaussian.of(slope, noise, x)
    m, s, evidence = model.mean, model.width, model.log_evidence
    low, high = math.floor(10 * (m - 2.5 * s)) / 10, math.ceil(10 * (m + 2.5 * s)) / 10
    thin, wide = math.ceil(50 * s) / 100, math.ceil(22 * s) / 10
    peak = 1 / (s * math.sqrt(2 * math.pi))
    longest = max(abs(low - m), abs(high - m)) ** 2 / (2 * s**2) + wide**2 / (2 * s**2) - 0.5 - math.log(wide / s)
    floor = evidence - math.ceil(longest + 0.6)
    params = [
        slider("q_mean", "mean of q", m - 1.1 * s if q_mean is None else q_mean, low, high, 0.01),
        slider("q_width", "width of q", 1.5 * s if q_width is None else q_width, thin, wide, 0.01),
        derived_parameter(
            "elbo",
            f"-log(2 * PI) / 2 - (pow(q_mean, 2) + pow(q_width, 2)) / 2"
            f" - log(2 * PI * {noise**2!r}) / 2"
            f" - (pow({x!r} - {slope!r} * q_mean, 2) + {slope**2!r} * pow(q_width, 2)) / {2 * noise**2!r}"
            f" + log(2 * PI * pow(q_width, 2)) / 2 + 0.5",
        ),
        derived_parameter(
            "kl", f"log({s!r} / q_width) + (pow(q_width, 2) + pow(q_mean - {m!r}, 2)) / {2 * s**2!r} - 0.5"
        ),
        derived_parameter("total", "elbo + kl"),
    ]
    shown: Any = if_shown if hidden else str
    values = [
        ShownValue("ELBO", "elbo", "elbo", shown("format(elbo, '.3f')"), "nats"),
        ShownValue("KL(q ‖ posterior)", "kl", "kl", shown("format(kl, '.3f')"), "nats"),
        ShownValue("ELBO + KL = log p(x)", "evidence", "total", "format(total, '.3f')", "nats"),
    ]
    if hidden:
        predicted = [
            slider("guess", "your prediction of the divergence, nats", 1.5, 0, 6, 0.05),
            *hidden_at_first("the two parts"),
            derived_parameter("off", "guess - kl"),
        ]
        params = [*predicted[:1], *params[:2], *predicted[1:], *params[2:]]
        values.append(ShownValue("prediction less divergence", "data", "off", if_shown("format(off, '+.3f')"), "nats"))
    densities = normal_densities(
        [("posterior", "posterior p(z | x)", repr(m), repr(s)), ("q", "q(z)", "q_mean", "q_width")],
        domain=(m - 5.5 * s, m + 5.5 * s),
        top=1.15 * peak * s / thin,
    )

    scale = alt.Scale(domain=[floor, evidence + 0.03 * (evidence - floor)], nice=False)
    nats = alt.X("from:Q", title="nats", scale=scale, axis=x_axis(grid=False))
    rows = alt.Y("y:Q", scale=alt.Scale(domain=[0, 2.2], nice=False), axis=None)
    teeth = [{"y": i / 12, "tooth": 0.035 * (evidence - floor) * (1 + i % 2)} for i in range(13)]

    def torn(bottom: Number, end: str, role: str) -> Any:
        """A bar that goes on to the left of the picture, and ends at ``end``."""
        return (
            alt.Chart(alt.Data(values=teeth))
            .transform_calculate(**{"from": f"{floor!r} + datum.tooth", "to": end, "y": f"{bottom} + datum.y"})
            .mark_area(orient="horizontal", color=PALETTE[role], opacity=0.5)
            .encode(x=nats, x2="to:Q", y=rows)
        )

    one = rows_of_data(1)
    kl_bar = (
        one.transform_calculate(**{"from": "elbo", "to": "elbo + kl", "y": "0", "y2": "1"})
        .mark_rect(color=PALETTE["kl"], opacity=0.5)
        .encode(x=nats, x2="to:Q", y=rows, y2="y2:Q")
    )
    end = one.transform_calculate(**{"from": "elbo + kl", "y": "0", "y2": "2.2"})

    def name(text: Any, at: str, row: Number, **mark: Any) -> Any:
        return text_mark(text, one.transform_calculate(**{"from": at, "y": str(row)}), nats, rows, INK, **mark)

    start = repr(floor + 0.07 * (evidence - floor))
    if hidden:
        kl_bar = kl_bar.transform_filter("shown")
    border = "shown ? elbo : elbo + kl" if hidden else "elbo"
    mark = one.transform_calculate(**{"from": f"max({floor!r}, elbo + kl - guess)", "y": "-0.05", "y2": "1.05"})
    bar = alt.layer(
        torn(1.2, repr(evidence), "evidence"),
        torn(0, border, "elbo"),
        kl_bar,
        *([mark.mark_rule(color=INK, strokeWidth=1.5, strokeDash=[3, 3]).encode(x=nats, y=rows, y2="y2:Q")] * hidden),
        end.mark_rule(color=PALETTE["evidence"], strokeWidth=2).encode(x=nats, y=rows, y2="y2:Q"),
        name("log p(x)", start, 1.7, align="left", dx=4),
        name({"expr": "shown ? 'ELBO' : 'ELBO and KL'"} if hidden else "ELBO", start, 0.5, align="left", dx=4),
        name(
            "KL",
            "elbo + kl / 2",
            0.5,
            align="center",
            opacity=alt.expr(f"{'shown && ' * hidden}kl > {0.07 * (evidence - floor)!r} ? 1 : 0"),
        ),
    ).properties(width=PLOT_WIDTH, height=70)
    chart = alt.vconcat(densities.properties(width=PLOT_WIDTH, height=150), bar)
    return make_explorer(
        chart,
        params,
        values,
        "Above, the density of the posterior and that of q, which the sliders move. Below, a bar that ends at log p(x) "
        "and a second one of the same length, made of the ELBO and of the KL divergence. Moving q only moves "
        "the border between the two parts; where q is the posterior, the ELBO is the whole bar. Both bars go on to "
        "the left of the picture, as their torn edge says.",
    )
