"""A posterior with two modes, a proposal on one of them, and what every diagnostic says of it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from lvmlib._random import forked_rng
from lvmlib._weight_summary import WeightSummary
from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
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

__all__ = ["far_mode"]

_NUM_DRAWS = 2000
_FARTHEST, _STEP = 12.0, 0.25
_Q_WIDTH = 1.2


def far_mode(distance: Number = 3.0, share: Number = 0.3, *, seed: int = 0) -> Explorer:
    r"""A mode that a proposal leaves out: the farther away it is, the calmer every diagnostic.

    .. math:: p(z \mid x) = (1 - s)\, \mathrm{N}(z; 0, 1) + s\, \mathrm{N}(z; d, 1), \qquad
        q(z) = \mathrm{N}(z; 0, 1.2^2), \qquad p(x) = 1

    The draws are 2,000 fixed numbers of q. For each position of the slider the estimate, its standard error, the
    effective sample size and Pareto k are those of a :class:`~lvmlib.WeightSummary` of the same draws, computed when
    the explorer is made.

    Args:
        distance: First value of the slider, d, from 0 to 12 standard deviations.
        share: The posterior probability s of the second mode, from 0.01 to 0.99.
        seed: For the draws; the global random state is left alone.

    Returns:
        The explorer, with a slider for the distance.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its range.

    Example:
        >>> far_mode(share=0.5).spec["usermeta"]["lvmlib"]["values"][1]["label"]
        'standard error'
    """
    alt = require("altair")
    share = number_within("share", share, 0.01, 0.99)
    with forked_rng(seed):
        z = _Q_WIDTH * torch.randn(_NUM_DRAWS, dtype=torch.float64, device="cpu")
    table = [_diagnosed(z, _STEP * i, share) for i in range(round(_FARTHEST / _STEP) + 1)]
    names = ("estimate", "std_error", "ess", "pareto_k")
    params = [
        slider("distance", "distance of the second mode", distance, 0, _FARTHEST, _STEP),
        *(alt.param(name=f"{name}s", value=[row[name] for row in table]) for name in names),
        *(derived_parameter(name, f"{name}s[round(distance / {_STEP})]") for name in names),
    ]
    values = [
        ShownValue("estimate of log p(x)", "q", "estimate", "format(estimate, '.3f')", "(exact 0)"),
        ShownValue("standard error", "q", "std_error", "format(std_error, '.3f')", "nats"),
        ShownValue("effective sample size", "q", "ess", "format(ess, ',.0f')", f"of {_NUM_DRAWS:,}"),
        ShownValue("Pareto k", "q", "pareto_k", "format(pareto_k, '.2f')", ""),
    ]
    return make_explorer(
        alt.vconcat(_densities(share), _estimates(table, share), _shapes(table)),
        params,
        values,
        "Three pictures, one below the other. The posterior has two modes, and the proposal covers the left one. The "
        "estimate of log p(x) with two standard errors, against the distance of the second mode: while that is near, "
        "the band contains the exact value; when it is far, the estimate lies below it by the logarithm of the share "
        "that q sees, and the band is narrow. Pareto k rises while draws still land on the flank of the second mode, "
        "and is low beyond.",
        gutter=GUTTER,
    )


def _diagnosed(z: Tensor, distance: float, share: float) -> dict[str, float]:
    """What the weights of draws say, with the second mode at a distance."""
    modes = Normal(z.new_tensor([0.0, distance]), 1.0).log_prob(z[:, None])
    log_joint = (modes + z.new_tensor([1 - share, share]).log()).logsumexp(1)
    summary = WeightSummary.from_log_weights(log_joint - Normal(z.new_zeros(()), _Q_WIDTH).log_prob(z))
    numbers: dict[str, float | Tensor] = {
        "distance": distance,
        "estimate": summary.log_evidence,
        "std_error": summary.std_error,
        "ess": summary.ess,
        "pareto_k": summary.pareto_k,
    }
    return {name: round(float(number), 3) + 0.0 for name, number in numbers.items()}


def _densities(share: float) -> Any:
    alt = require("altair")
    x = alt.X("z:Q", title="z", scale=alt.Scale(domain=[-5, _FARTHEST + 4], nice=False), axis=x_axis())
    y = alt.Y("density:Q", scale=alt.Scale(domain=[0, 0.55], nice=False), axis=None)
    root = math.sqrt(2 * math.pi)
    curves = {
        "posterior": f"({1 - share!r} * exp(-pow(datum.z, 2) / 2) + {share!r} * exp(-pow(datum.z - distance, 2) / 2))"
        f" / {root!r}",
        "q": f"exp(-pow(datum.z / {_Q_WIDTH}, 2) / 2) / {_Q_WIDTH * root!r}",
    }
    layers = [
        alt.Chart(alt.sequence(-5, _FARTHEST + 4, 0.07, as_="z"))
        .transform_calculate(density=formula)
        .mark_area(color=PALETTE[role], fillOpacity=0.14, line={"color": PALETTE[role], "strokeWidth": 2}, clip=True)
        .encode(x=x, y=y)
        for role, formula in curves.items()
    ]
    names = legend_line([("posterior p(z | x)", "posterior"), ("proposal q(z)", "q")], gap=150)
    return alt.layer(*layers, *names).properties(width=PLOT_WIDTH, height=110)


def _axis_of_distance() -> Any:
    alt = require("altair")
    scale = alt.Scale(domain=[0, _FARTHEST], nice=False)
    return alt.X("distance:Q", title="distance of the second mode", scale=scale, axis=x_axis())


def _estimates(table: list[dict[str, float]], share: float) -> Any:
    """The estimate with a band of two standard errors, against the distance."""
    alt = require("altair")
    x = _axis_of_distance()
    low = math.floor(10 * (math.log(1 - share) - 0.25)) / 10
    y, from_low = (
        alt.Y(
            field,
            scale=alt.Scale(domain=[low, 0.35], nice=False),
            axis=y_axis("estimate of log p(x), nats", tickCount=5, format=".1f"),
        )
        for field in ("estimate:Q", "low:Q")
    )
    rows = alt.Chart(alt.Data(values=table))
    here = rows_of_data(1).transform_calculate(distance="distance", estimate="estimate")
    exact = rows_of_data(1).transform_calculate(estimate="0", distance=repr(_FARTHEST))
    seen = rows_of_data(1).transform_calculate(estimate=repr(math.log(1 - share)), distance="0")
    return alt.layer(
        rows.transform_calculate(
            low=f"max({low}, datum.estimate - 2 * datum.std_error)",
            high="min(0.35, datum.estimate + 2 * datum.std_error)",
        )
        .mark_area(color=PALETTE["q"], opacity=0.2)
        .encode(x=x, y=from_low, y2="high:Q"),
        exact.mark_rule(color=PALETTE["evidence"], strokeWidth=1.5).encode(y=y),
        seen.mark_rule(color=INK, strokeDash=[4, 3], opacity=0.6).encode(y=y),
        rows.mark_line(color=PALETTE["q"], strokeWidth=2).encode(x=x, y=y),
        here.mark_circle(color=PALETTE["q"], size=75, opacity=1).encode(x=x, y=y),
        text_mark("exact", exact, x, y, text_colour(PALETTE["evidence"]), align="right", dy=-9),
        text_mark("log of the share that q sees", seen, x, y, INK, align="left", dx=6, dy=10),
    ).properties(width=PLOT_WIDTH, height=130)


def _shapes(table: list[dict[str, float]]) -> Any:
    """Pareto k against the distance, with the value from which on it warns."""
    alt = require("altair")
    x = _axis_of_distance()
    threshold = 1 - 1 / math.log10(_NUM_DRAWS)
    y = alt.Y(
        "pareto_k:Q", scale=alt.Scale(domain=[-2.5, 8], nice=False), axis=y_axis("Pareto k", values=[-2, 0, 2, 4, 6, 8])
    )
    limit = rows_of_data(1).transform_calculate(pareto_k=repr(threshold), distance=repr(_FARTHEST))
    here = rows_of_data(1).transform_calculate(distance="distance", pareto_k="pareto_k")
    return alt.layer(
        limit.mark_rule(color=INK, strokeDash=[4, 3]).encode(y=y),
        alt.Chart(alt.Data(values=table)).mark_line(color=PALETTE["q"], strokeWidth=2, clip=True).encode(x=x, y=y),
        here.mark_circle(color=PALETTE["q"], size=75, opacity=1).encode(x=x, y=y),
        text_mark("warns above this line", limit, x, y, INK, align="right", dy=-9),
    ).properties(width=PLOT_WIDTH, height=100)
