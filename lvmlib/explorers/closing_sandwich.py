"""Annealed weights in both directions for a normal z, drawn in the picture."""

from __future__ import annotations

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    MATH,
    NORMAL_DRAW,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
    require,
    rows_of_data,
    seeded_rows,
    slider,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["closing_sandwich"]

_CHAINS, _MOST = 40, 32
_ENDS = (-9.0, 3.0)


def closing_sandwich(power: Number = 0, distance: Number = 2.0, *, seed: Number = 1) -> Explorer:
    r"""Forty annealed chains from the prior and forty from the posterior, with moves that mix perfectly.

    .. math:: z \sim \mathrm{N}(0, 1), \quad x \mid z \sim \mathrm{N}(z, \tfrac14), \qquad
        \log w = \sum_{t=1}^T \tfrac1T \log p(x \mid z_t)

    Chains from the prior take each increment at the lower of its two temperatures, chains from the posterior at the
    upper one. The picture shows each single chain as a tick, and :math:`\log w - \log p(x)`.

    Args:
        power: First value of the logarithm of T to base 2, from 0 to 5.
        distance: First value of x, from 0 to 3.
        seed: First seed, a whole number from 1 to 50.

    Returns:
        The explorer, with sliders for T, x and the seed.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.
    """
    alt = require("altair")
    params = [
        slider("power", "T = 2 to the power", power, 0, 5, 1),
        slider("distance", "observation x", distance, 0, 3, 0.1),
        slider("seed", "new seed", seed, 1, 50, 1),
        derived_parameter("steps", "pow(2, power)"),
        # log p(x) less the constant of the likelihood: x is N(0, 5/4).
        derived_parameter("top", "-distance * distance / 2.5 - 0.5 * log(5)"),
    ]
    values = [
        ShownValue("increments, T", "q", "steps", "format(steps, '.0f')", ""),
        ShownValue("from the prior, mean", "elbo", "lower_mean", None, "", drawn=True),
        ShownValue("from the posterior, mean", "posterior", "upper_mean", None, "", drawn=True),
    ]
    x = alt.X(
        "place:Q",
        title="one chain's log w − log p(x), nats",
        scale=alt.Scale(domain=list(_ENDS), nice=False, clamp=True),
        axis=x_axis(),
    )
    y = alt.Y("level:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=y_axis("", ticks=False, labels=False))
    layers = [
        rows_of_data(1).transform_calculate(place="0").mark_rule(color=PALETTE["evidence"], strokeWidth=2).encode(x=x)
    ]
    for side, role, offset, name in (
        ("lower", "elbo", 1, "from the prior"),
        ("upper", "posterior", 0, "from the posterior"),
    ):
        level, mirror = (0.3, 0) if side == "lower" else (0.75, 1)
        draws = seeded_rows(mirror * _CHAINS * _MOST, (mirror + 1) * _CHAINS * _MOST)
        chains = (
            draws.transform_calculate(
                chain=f"datum.row % {_CHAINS}",
                step=f"floor((datum.row - {mirror * _CHAINS * _MOST}) / {_CHAINS}) + 1",
            )
            .transform_filter("datum.step <= steps")
            .transform_calculate(beta=f"(datum.step - {offset}) / steps")
            .transform_calculate(
                z=f"4 * datum.beta * distance / (1 + 4 * datum.beta) + {NORMAL_DRAW} / sqrt(1 + 4 * datum.beta)"
            )
            .transform_calculate(part="-2 * pow(distance - datum.z, 2) / steps")
            .transform_aggregate(total="sum(part)", groupby=["chain"])
            .transform_calculate(place="datum.total - top", level=str(level))
        )
        mean = chains.transform_aggregate(middle="mean(place)", error="stderr(place)").transform_calculate(
            place="datum.middle",
            level=str(level),
            **{f"{side}_mean": "format(datum.middle, '.2f') + ' ± ' + format(datum.error, '.2f')"},
            note=f"'{name}: mean ' + format(datum.middle, '.2f') + ' ± ' + format(datum.error, '.2f')",
        )
        layers += [
            chains.mark_tick(color=PALETTE[role], opacity=0.6, size=34, thickness=2).encode(x=x, y=y),
            mean.mark_point(color=PALETTE[role], filled=True, size=110, shape="diamond").encode(x=x, y=y),
            mean.mark_text(color=text_colour(PALETTE[role]), align="left", baseline="bottom", fontSize=12).encode(
                x=alt.value(6), y=alt.value(190 * (1 - level) - 24), text="note:N"
            ),
        ]
    layers.append(
        rows_of_data(1)
        .mark_text(
            text="log p(x)",
            color=text_colour(PALETTE["evidence"]),
            align="right",
            baseline="bottom",
            **MATH,
        )
        .transform_calculate(place="0")
        .encode(x=x, y=alt.value(-4))
    )
    panel = alt.layer(*layers).properties(width=PLOT_WIDTH, height=190)
    return make_explorer(
        panel,
        params,
        values,
        "Two rows of forty ticks, one for chains from the prior and one for chains from the posterior, and a line at "
        "log p(x). With one increment the lower row is spread far to the left of the line and the upper row is on its "
        "right, but for single ticks. As T grows both rows narrow and move towards the line.",
        gutter=GUTTER,
    )
