"""What a grid and draws from the prior cost in D dimensions."""

from __future__ import annotations

import math
from typing import Any

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    PLOT_WIDTH,
    Number,
    ShownValue,
    count_from_log10,
    derived_parameter,
    hidden_at_first,
    if_shown,
    require,
    rows_of_data,
    slider,
    superscript_of,
    text_mark,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["cost_of_dimension"]

_A_SECOND = 1e9  # evaluations of a fast machine
_A_YEAR = _A_SECOND * 365.25 * 86400


def cost_of_dimension(
    points: int = 10, width: Number = 0.2, relative_error: Number = 0.1, dim: int = 10, *, guess: int = 35
) -> Explorer:
    r"""The nodes of a grid against the draws from the prior, for D latent coordinates.

    .. math:: G^D \quad\text{against}\quad K = \frac{(1 + \chi^2_1)^D - 1}{\epsilon^2}, \qquad
        1 + \chi^2_1 = \frac{1}{s \sqrt{2 - s^2}}

    Each coordinate has the prior N(0, 1) and the posterior N(0, s²), independently of the others. The
    prior's line is hidden at first: a reader predicts where it crosses a year of work, and then chooses to see it.

    Args:
        points: G, nodes of the grid in each coordinate, from 2 to 50.
        width: s, the posterior's standard deviation in each coordinate, from 0.05 to 1.
        relative_error: The wanted standard error of p(x) over p(x), from 0.01 to 0.5.
        dim: D, where the picture reads off its numbers, from 1 to 40.
        guess: First value of the slider for the predicted D from which on the prior takes a year, from 1 to 100.

    Returns:
        The explorer, with a slider for each argument, and a choice that shows the line of the prior.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.
    """
    alt = require("altair")
    dims = 40

    def log_draws(dim: str) -> str:
        return f"(growth > 1 ? log(pow(growth, {dim}) - 1) / LN10 : -99) - 2 * log(error) / LN10"

    params = [
        slider("dim", "latent dimension D", dim, 1, dims, 1),
        slider("points", "grid points in each dimension G", points, 2, 50, 1),
        slider("width_1", "width of the posterior (prior: 1)", width, 0.05, 1, 0.01, argument="width"),
        slider("error", "wanted relative error", relative_error, 0.01, 0.5, 0.01, argument="relative_error"),
        slider("guess", "your prediction: D from which on the prior takes a year", guess, 1, 100, 1),
        *hidden_at_first("draws from the prior"),
        derived_parameter("growth", "1 / (width_1 * sqrt(2 - width_1 * width_1))"),
        derived_parameter("log_grid", "dim * log(points) / LN10"),
        derived_parameter("log_prior", f"max(0, {log_draws('dim')})"),
        derived_parameter("a_year", f"ceil(log({_A_YEAR!r} * error * error + 1) / max(1e-9, log(growth)))"),
    ]
    values = [
        ShownValue("nodes of the grid", "joint", "log_grid", count_from_log10("log_grid"), ""),
        ShownValue("draws from the prior", "prior", "log_prior", if_shown(count_from_log10("log_prior")), ""),
        ShownValue("chi-square of one coordinate", "posterior", "growth", "format(growth - 1, '.3f')", ""),
        ShownValue(
            "the prior takes a year from D",
            "prior",
            "a_year",
            if_shown("a_year < 1000 ? format(a_year, '.0f') : 'above 1000'"),
            "",
        ),
    ]
    top = 24
    x = alt.X("d:Q", title="latent dimension D", scale=alt.Scale(domain=[1, dims], nice=False), axis=x_axis())
    y = alt.Y(
        "log:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=y_axis(
            "evaluations (dotted: a second and a year, at 10⁹ a second)",
            values=list(range(0, top + 1, 4)),
            labelExpr=f"'10' + {superscript_of('datum.value')}",
        ),
    )
    curves = alt.Chart(alt.sequence(1, dims + 0.1, 0.25, as_="d"))
    here = rows_of_data(1).transform_calculate(d="dim")

    grid_leaves = f"{top} / (log(points) / LN10)"
    prior_leaves = f"({top} + 2 * log(error) / LN10) / max(1e-9, log(growth) / LN10)"
    params.append(
        derived_parameter(
            "grid_above",
            f"min({grid_leaves}, {prior_leaves}) < {dims} ? {grid_leaves} < {prior_leaves}"
            f" : {dims} * log(points) / LN10 > {log_draws(str(dims))}",
        )
    )

    def marked(role: str, log: str, leaves: str, above: str) -> list[Any]:
        """A curve, its value at D, and its name where it leaves the picture, on the side away from the other curve."""
        end = rows_of_data(1).transform_calculate(d=f"min({dims}, {leaves})", log=log)
        through_the_top = f"{leaves} < {dims - 5}"
        to_the_left = f"{above} || !({through_the_top})"
        offset = -7 if role == "joint" else 7
        seen = "1" if role == "joint" else "shown"
        value = here.transform_calculate(count=log, log=f"min({top}, {log})")
        return [
            curves.transform_calculate(log=log)
            .transform_filter(seen)
            .mark_line(color=PALETTE[role], strokeWidth=2.5, clip=True)
            .encode(x=x, y=y),
            value.transform_filter(f"{seen} && datum.count <= {top}")
            .mark_circle(color=PALETTE[role], size=75, opacity=1)
            .encode(x=x, y=y),
            # Beyond the picture, where both curves may be: side by side.
            value.transform_filter(f"{seen} && datum.count > {top}")
            .mark_point(shape="triangle-up", filled=True, color=PALETTE[role], size=75, opacity=1, xOffset=offset)
            .encode(x=x, y=y),
            text_mark(
                "grid" if role == "joint" else "prior",
                end,
                x,
                y,
                text_colour(PALETTE[role]),
                align=alt.expr(f"{to_the_left} ? 'right' : 'left'"),
                dx=alt.expr(f"{to_the_left} ? -16 : 16"),
                dy=alt.expr(f"{through_the_top} ? 12 : ({above} ? -20 : 20)"),
                opacity=alt.expr(seen),
            ),
        ]

    def reference(count: Number) -> Any:
        row = rows_of_data(1).transform_calculate(log=repr(math.log10(count)))
        return row.mark_rule(color=INK, opacity=0.45, strokeDash=[2, 3]).encode(y=y)

    chart = alt.layer(
        reference(_A_SECOND),
        reference(_A_YEAR),
        here.mark_rule(color=INK, opacity=0.5).encode(x=x),
        *marked("joint", "datum.d * log(points) / LN10", grid_leaves, "grid_above"),
        *marked("prior", f"max(0, {log_draws('datum.d')})", prior_leaves, "!grid_above"),
    ).properties(width=PLOT_WIDTH, height=250)
    return make_explorer(
        chart,
        params,
        values,
        "On a logarithmic axis, the number of evaluations against the latent dimension: a straight line for a grid "
        "and, when it is shown, a nearly straight one for draws from the prior. A narrower posterior steepens the line "
        "of the prior; a smaller relative error lifts it; more grid points steepen the line of the grid. Both cross "
        "the line of what a machine does in a year. A count beyond the picture is a triangle at its upper edge.",
        gutter=GUTTER,
    )
