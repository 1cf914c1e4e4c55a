"""Inference along one axis, learning along the other: coordinate ascent on the ELBO of a model with one parameter."""

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
    legend_line,
    number_within,
    require,
    rows_of_data,
    slider,
    text_mark,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["two_axes"]

_STEPS = 12
_THETA, _PHI, _NATS = (-1.0, 5.0), (-2.0, 3.5), (-9.0, 0.0)
_LEVELS = (0.05, 0.25, 0.7, 1.5, 3.0, 6.0)  # nats below the top of the ELBO
_MATH = {"titleFont": MATH_FONT, "titleFontStyle": "italic"}


def two_axes(
    x: Number = 3.0,
    noise: Number = 0.7,
    *,
    theta: Number = 0.0,
    phi: Number = 0.5,
    guess: Number = 2.5,
) -> Explorer:
    r"""The ELBO over theta and phi, climbed one coordinate at a time.

    .. math:: \mathrm{ELBO}(\theta, \phi) = \log \mathrm{N}(x; \theta, 1 + s^2)
        - \frac{(\phi - (x - \theta) / (1 + s^2))^2}{2 s^2 / (1 + s^2)}

    The model is z ~ N(0, 1), x | z ~ N(theta + z, s²), and q is N(phi, s² / (1 + s²)), which has the posterior's
    variance. An inference step moves phi to the posterior's mean, where the gap is zero; a learning step moves theta to
    x - phi. The steps alternate, and a slider takes them one by one. A reader predicts theta after two steps.

    Args:
        x: The observation, from 2 to 4.
        noise: First value of s, from 0.3 to 2.
        theta: First value of the start of theta, from -1 to 5.
        phi: First value of the start of phi, from -2 to 3.5.
        guess: First value of the slider for the predicted theta after two steps, from -1 to 5.

    Returns:
        The explorer, with sliders for the steps, the noise, the start and the prediction, and a choice that shows the
        two lines on which the steps end.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its range.

    References:
        Neal and Hinton (1998), *A view of the EM algorithm that justifies incremental, sparse, and other variants*.
    """
    alt = require("altair")
    x = number_within("x", x, 2, 4)
    params = [
        slider("guess", "your prediction of θ after two steps", guess, *_THETA, 0.05),
        slider("steps", "steps taken (φ first, then θ, and so on)", 0, 0, _STEPS, 1),
        slider("noise", "noise s of the instrument", noise, 0.3, 2, 0.1),
        slider("theta_start", "start of θ", theta, *_THETA, 0.1, argument="theta"),
        slider("phi_start", "start of φ", phi, *_PHI, 0.1, argument="phi"),
        *hidden_at_first("where steps end"),
        derived_parameter("spread", "1 + noise * noise"),
        derived_parameter("width2", "noise * noise / spread"),
        derived_parameter("theta", _theta_after("steps", x)),
        derived_parameter("phi", _phi_after("steps", x)),
        derived_parameter("evidence", _evidence("theta", x)),
        derived_parameter("gap", _gap("theta", "phi", x)),
        derived_parameter("elbo", "evidence - gap"),
    ]
    values = [
        ShownValue("ELBO", "elbo", "elbo", "format(elbo, '.3f')", "nats"),
        ShownValue("log p(x)", "evidence", "evidence", "format(evidence, '.3f')", "nats"),
        ShownValue("gap", "kl", "gap", "format(gap, '.3f')", "nats"),
        ShownValue("θ", "data", "theta", "format(theta, '.2f')", ""),
        ShownValue("φ", "q", "phi", "format(phi, '.2f')", ""),
    ]
    return make_explorer(
        alt.vconcat(_plane(x), _profile(x)),
        params,
        values,
        "Two pictures, one below the other, with theta along both. Above, contour lines of the ELBO over theta and "
        "phi: leaning ellipses around a top. A path starts at a dot and climbs by vertical steps, which move phi, and "
        "horizontal ones, which move theta. Below, the log-evidence as a curve over theta, and the ELBO for the "
        "present phi as a narrower curve that lies below it. After a step of phi the two touch at the present theta; a "
        "vertical segment there is the gap. After a step of theta the dot is at the top of the narrower curve.",
        gutter=GUTTER,
    )


def _theta_after(steps: str, x: float) -> str:
    return f"{x!r} - ({x!r} - theta_start) * pow(spread, -floor(({steps}) / 2))"


def _phi_after(steps: str, x: float) -> str:
    return f"({steps}) == 0 ? phi_start : ({x!r} - theta_start) * pow(spread, -ceil(({steps}) / 2))"


def _evidence(theta: str, x: float) -> str:
    return f"-log(2 * PI * spread) / 2 - pow({x!r} - {theta}, 2) / (2 * spread)"


def _gap(theta: str, phi: str, x: float) -> str:
    return f"pow({phi} - ({x!r} - {theta}) / spread, 2) / (2 * width2)"


def _axis_of_theta(title: str | None) -> Any:
    alt = require("altair")
    axis = x_axis(tickCount=7, **_MATH) if title else x_axis(labels=False, ticks=False)
    return alt.X("theta:Q", title=title, scale=alt.Scale(domain=list(_THETA), nice=False), axis=axis)


def _predicted() -> Any:
    return rows_of_data(1).transform_calculate(theta="guess").mark_rule(color=INK, strokeDash=[1, 3])


def _plane(x: float) -> Any:
    alt = require("altair")
    across = _axis_of_theta(None)
    up = alt.Y(
        "phi:Q",
        scale=alt.Scale(domain=list(_PHI), nice=False),
        axis=y_axis("φ, the mean of q", tickCount=6, grid=False, titleFont=MATH_FONT),
    )
    turn = alt.Chart(alt.sequence(0, 2 * math.pi + 0.05, 0.1, as_="t"))
    ellipses = [
        turn.transform_calculate(
            theta=f"{x!r} - sqrt({2 * level} * spread) * cos(datum.t)",
            phi=f"({x!r} - datum.theta) / spread + sqrt({2 * level} * width2) * sin(datum.t)",
        )
        .mark_line(color=PALETTE["elbo"], strokeWidth=1, opacity=0.75, clip=True)
        .encode(x=across, y=up, order="t:Q")
        for level in _LEVELS
    ]
    ends = alt.Chart(alt.sequence(_THETA[0], _THETA[1] + 0.1, 0.5, as_="theta")).transform_filter("shown")
    lines = [
        ends.transform_calculate(phi=formula)
        .mark_line(color=PALETTE[role], strokeWidth=1.5, strokeDash=[5, 3], clip=True)
        .encode(x=across, y=up)
        for role, formula in (("q", f"({x!r} - datum.theta) / spread"), ("data", f"{x!r} - datum.theta"))
    ]
    path = (
        alt.Chart(alt.sequence(0, _STEPS + 1, as_="k"))
        .transform_filter("datum.k <= steps")
        .transform_calculate(theta=_theta_after("datum.k", x), phi=_phi_after("datum.k", x))
    )
    here = rows_of_data(1).transform_calculate(theta="theta", phi="phi")

    def name(text: str, role: str, theta: str, phi: str) -> Any:
        place = rows_of_data(1).transform_filter("shown").transform_calculate(theta=theta, phi=phi)
        return text_mark(text, place, across, up, text_colour(PALETTE[role]), align="right")

    return alt.layer(
        *ellipses,
        *lines,
        _predicted().encode(x=across),
        path.mark_line(color=INK, strokeWidth=1.8).encode(x=across, y=up, order="k:Q"),
        path.mark_circle(color=INK, size=22, opacity=1).encode(x=across, y=up),
        here.mark_circle(color=PALETTE["elbo"], size=95, opacity=1).encode(x=across, y=up),
        name("steps of φ end here", "q", "4.95", f"({x!r} - 4.95) / spread + 0.45"),
        name("steps of θ end here", "data", "4.4", "-1.75"),
    ).properties(width=PLOT_WIDTH, height=210)


def _profile(x: float) -> Any:
    alt = require("altair")
    across = _axis_of_theta("θ")
    up = alt.Y("nats:Q", scale=alt.Scale(domain=list(_NATS), nice=False), axis=y_axis("nats", tickCount=5))
    grid = alt.Chart(alt.sequence(_THETA[0], _THETA[1] + 0.01, 0.05, as_="theta"))
    curves = [
        grid.transform_calculate(nats=formula)
        .mark_line(color=PALETTE[role], strokeWidth=2, clip=True)
        .encode(x=across, y=up)
        for role, formula in (
            ("evidence", _evidence("datum.theta", x)),
            ("elbo", f"{_evidence('datum.theta', x)} - {_gap('datum.theta', 'phi', x)}"),
        )
    ]
    here = rows_of_data(1).transform_calculate(theta="theta", nats=f"max({_NATS[0]}, elbo)", top="evidence")
    top = rows_of_data(1).transform_calculate(theta="theta", nats="evidence")
    below = (
        rows_of_data(1).transform_filter(f"elbo < {_NATS[0]}").transform_calculate(theta="theta", nats=str(_NATS[0]))
    )
    return alt.layer(
        *curves,
        _predicted().encode(x=across),
        text_mark(
            "predicted",
            rows_of_data(1).transform_calculate(theta="guess", nats=str(_NATS[0])),
            across,
            up,
            INK,
            align=alt.expr("guess < 3.6 ? 'left' : 'right'"),
            dx=alt.expr("guess < 3.6 ? 4 : -4"),
            dy=-8,
        ),
        here.mark_rule(color=PALETTE["kl"], strokeWidth=4).encode(x=across, y=up, y2="top:Q"),
        here.mark_circle(color=PALETTE["elbo"], size=95, opacity=1).encode(x=across, y=up),
        below.mark_point(shape="triangle-down", filled=True, color=PALETTE["elbo"], size=110, opacity=1).encode(
            x=across, y=up
        ),
        top.mark_circle(color=PALETTE["evidence"], size=60, opacity=1).encode(x=across, y=up),
        *legend_line([("log p(x), over θ", "evidence"), ("ELBO with the present φ", "elbo")], gap=130),
    ).properties(width=PLOT_WIDTH, height=150)
