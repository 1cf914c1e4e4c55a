"""The bent model, z ~ N(0, 1) and x | z ~ N(z + c (z² - 1), s²): drawn from, and cut at an observation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    NORMAL_DRAW,
    PLOT_WIDTH,
    SECOND_NORMAL_DRAW,
    Number,
    ShownValue,
    derived_parameter,
    names_above,
    number_within,
    require,
    rows_of_data,
    seeded_rows,
    slider,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["cut_the_joint", "two_pieces"]

_MATH_TITLE = {"titleFont": "serif", "titleFontStyle": "italic", "titleFontSize": 14}
_NUM_DRAWS = 300
_Z_REACH = 4.0
_X_ENDS = (-2.5, 6.0)


def two_pieces(bend: Number = 0.0, noise: Number = 0.4, *, seed: Number = 1) -> Explorer:
    r"""Ancestral samples of a bent model, and the evidence that they follow once z is dropped.

    .. math:: z \sim \mathrm{N}(0, 1), \qquad x \mid z \sim \mathrm{N}\bigl(z + c\,(z^2 - 1),\, s^2\bigr)

    The draws are computed in the picture, from integers that the seed scrambles: the same seed, the same draws. The
    curve is the sum of the joint density over a grid of z.

    Args:
        bend: First value of c, from 0 to 1.5.
        noise: First value of s, from 0.2 to 1.
        seed: First seed, a whole number from 1 to 50.

    Returns:
        The explorer, with sliders for the bend, the noise and the seed.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.
    """
    alt = require("altair")
    low, high = -4.0, 7.0
    params = [
        slider("bend", "bend c", bend, 0, 1.5, 0.05),
        slider("noise", "noise s", noise, 0.2, 1, 0.05),
        slider("seed", "seed of the draws", seed, 1, 50, 1),
        derived_parameter("spread", "sqrt(1 + 2 * bend * bend + noise * noise)"),
    ]
    values = [
        ShownValue("standard deviation of the draws of x", "data", "drawn_spread", None, "", drawn=True),
        ShownValue("standard deviation of p(x)", "evidence", "spread", "format(spread, '.2f')", ""),
    ]
    x = alt.X("x:Q", title="x", scale=alt.Scale(domain=[low, high], nice=False), axis=x_axis(**_MATH_TITLE))
    z = alt.Y("z:Q", scale=alt.Scale(domain=[-3.5, 3.5], nice=False), axis=y_axis("z", tickCount=5, **_MATH_TITLE))
    draws = seeded_rows(0, _NUM_DRAWS)
    draws = draws.transform_calculate(z=NORMAL_DRAW, e=SECOND_NORMAL_DRAW).transform_calculate(
        x="datum.z + bend * (datum.z * datum.z - 1) + noise * datum.e"
    )
    means = alt.Chart(alt.sequence(-3.5, 3.55, 0.1, as_="z")).transform_calculate(
        x="datum.z + bend * (datum.z * datum.z - 1)"
    )
    pairs = alt.layer(
        draws.mark_circle(color=PALETTE["joint"], size=14, opacity=0.6, clip=True).encode(x=x, y=z),
        means.mark_line(color=PALETTE["likelihood"], strokeWidth=1.5, clip=True).encode(x=x, y=z, order="z:Q"),
        *names_above([("draws of (x, z)", "joint"), ("mean of x given z", "likelihood")]),
    ).properties(width=PLOT_WIDTH, height=150)

    columns, rows, step = 89, 81, 0.1
    cells = alt.Chart(alt.sequence(0, columns * rows, 1, as_="cell")).transform_calculate(
        x=f"{low} + floor(datum.cell / {rows}) * {(high - low) / (columns - 1)!r}",
        z=f"{-_Z_REACH} + (datum.cell % {rows}) * {step}",
    )
    curve = (
        cells.transform_calculate(
            joint="exp(-datum.z * datum.z / 2"
            " - pow((datum.x - datum.z - bend * (datum.z * datum.z - 1)) / noise, 2) / 2) / (2 * PI * noise)"
        )
        .transform_aggregate(total="sum(joint)", groupby=["x"])
        .transform_calculate(density=f"datum.total * {step}")
    )
    y = alt.Y("density:Q", scale=alt.Scale(domain=[0, 0.85], nice=False), axis=y_axis(tickCount=4))
    width = 0.25
    bars = (
        draws.transform_calculate(left=f"floor(datum.x / {width}) * {width}")
        .transform_aggregate(count="count()", groupby=["left"])
        .transform_calculate(
            x="datum.left", right=f"datum.left + {width}", density=f"datum.count / {_NUM_DRAWS * width}"
        )
    )
    spread = _corner(
        draws.transform_aggregate(of_draws="stdev(x)").transform_calculate(
            drawn_spread="format(datum.of_draws, '.2f')",
            note="'standard deviation of the draws of x = ' + datum.drawn_spread + ', of p(x) = ' + spread_text",
        ),
        "data",
    )
    below = alt.layer(
        bars.mark_rect(color=PALETTE["data"], opacity=0.45, clip=True).encode(
            x=x, x2="right:Q", y=y, y2=alt.Y2Datum(0)
        ),
        curve.mark_line(color=PALETTE["evidence"], strokeWidth=2, clip=True).encode(x=x, y=y),
        spread,
        *names_above([("x of the draws", "data"), ("p(x)", "evidence")]),
    ).properties(width=PLOT_WIDTH, height=130)
    return make_explorer(
        alt.vconcat(pairs, below),
        params,
        values,
        "Above, three hundred draws of x and z around the line of the mean of x given z, which a slider bends. Below, "
        "a histogram of the same x without their z, and the evidence p(x) as a curve. The histogram scatters around "
        "the curve for each bend, noise and seed.",
        gutter=GUTTER,
    )


def cut_the_joint(x: Number = -1.0, *, bend: Number = 1.0, noise: Number = 0.5) -> Explorer:
    r"""A joint density cut at an observation: the cut, its area p(x), and the cut divided by its area.

    .. math:: p(x) = \int p(x, z)\, dz, \qquad p(z \mid x) = \frac{p(x, z)}{p(x)}

    The model is :math:`z \sim \mathrm{N}(0, 1)`, :math:`x \mid z \sim \mathrm{N}(z + c\,(z^2 - 1), s^2)`; where the
    bend c is not zero, a large x has two explanations.

    Args:
        x: First value of the slider, from -4 to 8.
        bend: c, from 0 to 1.5.
        noise: s, from 0.3 to 1.

    Returns:
        The explorer, with a slider for x.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its range.
    """
    alt = require("altair")
    c, s = number_within("bend", bend, 0, 1.5), number_within("noise", noise, 0.3, 1)
    low, high = _X_ENDS
    step = 0.05
    z_grid = torch.arange(-5, 5 + step / 2, step, dtype=torch.float64, device="cpu")
    x_grid = torch.arange(low, high + step / 2, step, dtype=torch.float64, device="cpu")
    joint = _joint_density(x_grid[:, None], z_grid, c, s)
    evidence = step * joint.sum(1)
    params = [slider("x_seen", "observed x", x, low, high, step, argument="x")]
    values = [
        ShownValue("area of the cut, p(x)", "evidence", "area_text", None, "", drawn=True),
        ShownValue("area of the posterior", "posterior", "posterior_text", None, "", drawn=True),
    ]
    z_scale = alt.Scale(domain=[-3.5, 3.5], nice=False)
    z = alt.X("z:Q", title=None, scale=z_scale, axis=x_axis(labels=False, ticks=False))
    z_named = alt.X("z:Q", title="z", scale=z_scale, axis=x_axis(**_MATH_TITLE))
    x_up = alt.Y(
        "x:Q", scale=alt.Scale(domain=[low, high], nice=False), axis=y_axis("x", tickCount=4, grid=False, **_MATH_TITLE)
    )
    lines = alt.Chart(_table("line,point,z,x", _contours(z_grid, x_grid, joint)))
    here = rows_of_data(1).transform_calculate(x="x_seen")
    top = alt.layer(
        lines.mark_line(color=PALETTE["joint"], strokeWidth=1.2, clip=True).encode(
            x=z, y=x_up, detail="line:N", order="point:Q"
        ),
        here.mark_rule(color=PALETTE["posterior"], strokeWidth=2).encode(y=x_up),
        *names_above([("joint p(x, z)", "joint"), ("observed x", "posterior")]),
    ).properties(width=PLOT_WIDTH, height=136)

    along = (
        alt.Chart(alt.sequence(-5, 5 + step / 2, step, as_="z"))
        .transform_calculate(
            cut=f"exp(-pow(datum.z, 2) / 2 - pow((x_seen - datum.z - {c!r} * (pow(datum.z, 2) - 1)) / {s!r}, 2) / 2)"
            f" / (2 * PI * {s!r})"
        )
        .transform_joinaggregate(total="sum(cut)")
        .transform_calculate(posterior=f"datum.cut / (datum.total * {step})")
    )

    def density(field: str, role: str, most: float, across: Any) -> Any:
        y = alt.Y(f"{field}:Q", scale=alt.Scale(domain=[0, most], nice=False), axis=y_axis(tickCount=2, grid=False))
        return along.mark_area(
            color=PALETTE[role], fillOpacity=0.25, line={"color": PALETTE[role], "strokeWidth": 2}, clip=True
        ).encode(x=across, y=y)

    highest = (joint / evidence[:, None]).max().item()
    areas = along.transform_aggregate(total="sum(cut)", whole="sum(posterior)").transform_calculate(
        area_text=f"format({step} * datum.total, '.4f')",
        posterior_text=f"format({step} * datum.whole, '.2f')",
        cut_note="'area = ' + datum.area_text",
        posterior_note="'area = ' + datum.posterior_text",
    )
    cut = alt.layer(
        density("cut", "joint", 1.2 * joint.max().item(), z),
        _corner(areas.transform_calculate(note="datum.cut_note"), "evidence"),
        *names_above([("p(x, z) along the cut", "joint")]),
    ).properties(width=PLOT_WIDTH, height=66)
    rescaled = alt.layer(
        density("posterior", "posterior", 1.1 * highest, z_named),
        _corner(areas.transform_calculate(note="datum.posterior_note"), "posterior"),
        *names_above([("posterior p(z | x), cut ÷ area", "posterior")]),
    ).properties(width=PLOT_WIDTH, height=66)

    seen = alt.X("x:Q", title="x", scale=alt.Scale(domain=[low, high], nice=False), axis=x_axis(**_MATH_TITLE))
    p_x = alt.Y(
        "p:Q",
        scale=alt.Scale(domain=[0, round(1.25 * evidence.max().item(), 2)], nice=False),
        axis=y_axis(tickCount=2, grid=False),
    )
    rows = [(round(at, 2), round(p, 5)) for at, p in zip(x_grid.tolist(), evidence.tolist(), strict=True)]
    curve = alt.Chart(_table("x,p", rows))
    dot = curve.transform_filter(f"abs(datum.x - x_seen) < {step / 2}")
    evidences = alt.layer(
        curve.mark_line(color=PALETTE["evidence"], strokeWidth=2).encode(x=seen, y=p_x),
        dot.mark_rule(color=PALETTE["evidence"], opacity=0.6).encode(x=seen),
        dot.mark_circle(color=PALETTE["evidence"], size=75, opacity=1).encode(x=seen, y=p_x),
        *names_above([("evidence p(x)", "evidence")]),
    ).properties(width=PLOT_WIDTH, height=66)
    return make_explorer(
        alt.vconcat(top, cut, rescaled, evidences),
        params,
        values,
        "Four pictures, one below the other. The joint density of z and x as contour lines, bent like a bowl, with a "
        "horizontal line at the observed x. The joint density along this line, whose area is the evidence p(x). The "
        "same curve divided by its area, which is the posterior of z. The evidence as a function of x, with a dot at "
        "the observed one.",
        gutter=GUTTER,
    )


def _joint_density(x: Tensor, z: Tensor, bend: float, noise: float) -> Tensor:
    mean = z + bend * (z.square() - 1)
    return (Normal(0.0, 1.0).log_prob(z) + Normal(mean, noise).log_prob(x)).exp()


def _contours(z: Tensor, x: Tensor, density: Tensor) -> list[tuple[float, ...]]:
    """The points of contour lines, at shares of the highest density: the number of the line and of the point, z, x."""
    levels = [share * density.max().item() for share in (0.02, 0.1, 0.3, 0.7)]
    axes = Figure().add_subplot()
    found = axes.contour(z.numpy(), x.numpy(), density.numpy(), levels)
    lines = [line for of_level in found.allsegs for line in of_level if len(line) > 2]
    return [
        (number, point, round(float(line[point][0]), 2), round(float(line[point][1]), 2))
        for number, line in enumerate(lines)
        for point in [*range(0, len(line) - 1, 4), len(line) - 1]
    ]


def _table(header: str, rows: Sequence[tuple[float, ...]]) -> Any:
    """Rows of numbers as short text: a notebook is committed with it."""
    alt = require("altair")
    text = "\n".join([header, *(",".join(f"{value:g}" for value in row) for row in rows)])
    columns = dict.fromkeys(header.split(","), "number")
    return alt.InlineData(values=text, format=alt.CsvDataFormat(type="csv", parse=columns))


def _corner(chart: Any, role: str) -> Any:
    """The note of a chart's one row, in the upper right corner of the panel."""
    alt = require("altair")
    return chart.mark_text(color=text_colour(PALETTE[role]), align="right", baseline="top", fontSize=12).encode(
        x=alt.value(PLOT_WIDTH - 4), y=alt.value(4), text="note:N"
    )
