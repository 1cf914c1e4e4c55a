"""The two directions of the KL divergence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    FONT_SIZE,
    INK,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
    hidden_at_first,
    if_shown,
    legend_line,
    number_within,
    require,
    rows_of_data,
    slider,
    x_axis,
)
from lvmlib.plots.palette import PALETTE

__all__ = ["forward_reverse_kl"]

_KL_STEP = 0.02


def forward_reverse_kl(
    separation: Number = 4.0,
    mode_width: Number = 0.7,
    weight: Number = 0.6,
    *,
    q_mean: Number = 0.0,
    q_width: Number = 1.0,
) -> Explorer:
    r"""The two directions of the KL divergence between a Gaussian q and a posterior with two modes.

    .. math:: \mathrm{KL}(q \,\Vert\, p) = \int q(z) \log \frac{q(z)}{p(z \mid x)}\, dz, \qquad
        \mathrm{KL}(p \,\Vert\, q) = \int p(z \mid x) \log \frac{p(z \mid x)}{q(z)}\, dz

    Both are sums over a fine grid. The posterior is a mixture of two Gaussians of equal width. The divergences are
    hidden at first: a reader moves q to where one of them should be smallest, and then chooses to see them. A choice
    sets q to the minimiser of either divergence among the positions of the sliders.

    Args:
        separation: Between the two modes, from 1 to 6.
        mode_width: The standard deviation of each mode, from 0.5 to 1.5.
        weight: The probability of the left mode, above 0 and below 1.
        q_mean, q_width: First values of the two sliders, -4 to 4 and 0.5 to 4.

    Returns:
        The explorer, with sliders for the mean and the width of q, and the two choices.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its range.
    """
    alt = require("altair")
    half = number_within("separation", separation, 1, 6) / 2
    w = number_within("mode_width", mode_width, 0.5, 1.5)
    share = number_within("weight", weight, 0.01, 0.99)
    best = _minimisers(half, w, share)
    free, reverse, forward = "the sliders", "the smallest KL(q ‖ p)", "the smallest KL(p ‖ q)"

    def chosen(position: int, slider: str) -> str:
        return f"jump == '{reverse}' ? {best[0][position]} : jump == '{forward}' ? {best[1][position]} : {slider}"

    params = [
        slider("mean_slider", "mean of q", q_mean, -4, 4, _KL_STEP, argument="q_mean"),
        slider("width_slider", "width of q", q_width, 0.5, 4, _KL_STEP, argument="q_width"),
        alt.param(name="jump", value=free, bind=alt.binding_radio(options=[free, reverse, forward], name="set q by: ")),
        *hidden_at_first("divergences"),
        derived_parameter("q_mean", chosen(0, "mean_slider")),
        derived_parameter("q_width", chosen(1, "width_slider")),
    ]
    values = [
        ShownValue("KL(q ‖ p), reverse", "kl", "reverse_text", None, "nats", drawn=True),
        ShownValue("KL(p ‖ q), forward", "kl", "forward_text", None, "nats", drawn=True),
    ]
    constant = math.log(w * math.sqrt(2 * math.pi))
    log_densities = {
        "left": f"{math.log(share)!r} - pow((datum.z + {half!r}) / {w!r}, 2) / 2",
        "right": f"{math.log1p(-share)!r} - pow((datum.z - {half!r}) / {w!r}, 2) / 2",
        "top": "max(datum.left, datum.right)",
        "log_p": f"datum.top + log(exp(datum.left - datum.top) + exp(datum.right - datum.top)) - {constant!r}",
        "log_q": "-pow((datum.z - q_mean) / q_width, 2) / 2 - log(q_width * sqrt(2 * PI))",
        "p": "exp(datum.log_p)",
        "q": "exp(datum.log_q)",
    }

    def grid(reach: Number, step: Number) -> Any:
        chart = alt.Chart(alt.sequence(-reach, reach + step / 2, step, as_="z"))
        for name, formula in log_densities.items():
            chart = chart.transform_calculate(**{name: formula})
        return chart

    z = alt.X("z:Q", title="z", scale=alt.Scale(domain=[-6, 6], nice=False), axis=x_axis())
    height = alt.Scale(domain=[0, 1.15 / (0.5 * math.sqrt(2 * math.pi))], nice=False)

    def density(name: str, role: str) -> Any:
        y = alt.Y(f"{name}:Q", scale=height, axis=None)
        curve = grid(6, 0.05)
        return curve.mark_area(
            color=PALETTE[role], fillOpacity=0.14, line={"color": PALETTE[role], "strokeWidth": 2}, clip=True
        ).encode(x=z, y=y)

    curves = alt.layer(
        density("p", "posterior"),
        density("q", "q"),
        *legend_line([("posterior p(z | x)", "posterior"), ("q(z)", "q")]),
    ).properties(width=PLOT_WIDTH, height=150)

    # The grid reaches five widths of the widest q beyond its mean, so that what is left out is below 1e-5 nats.
    sums = (
        grid(24, 0.05)
        .transform_calculate(r="datum.q * (datum.log_q - datum.log_p)", f="datum.p * (datum.log_p - datum.log_q)")
        .transform_aggregate(r="sum(r)", f="sum(f)")
        .transform_calculate(
            reverse="0.05 * datum.r",
            forward="0.05 * datum.f",
            reverse_text=if_shown("format(datum.reverse, '.3f')"),
            forward_text=if_shown("format(datum.forward, '.3f')"),
        )
    )
    reach = 6
    x = alt.X("end:Q", title="nats", scale=alt.Scale(domain=[0, reach], nice=False), axis=x_axis(grid=False))
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 2], nice=False), axis=None)

    def bar(name: str, label: str, least: Number, base: Number) -> list[Any]:
        """Its name and value above a bar, and a tick where the smallest value is."""
        row = {"y": f"{base}", "y2": f"{base} + 0.4"}
        one = sums.transform_calculate(
            **row,
            end=f"min({reach}, datum.{name})",
            note=f"'{label} = ' + datum.{name}_text + (shown && datum.{name} > {reach} ? ' →' : '')",
        )
        smallest = rows_of_data(1).transform_calculate(**row, end=repr(least))
        return [
            one.transform_filter("shown")
            .mark_rect(color=PALETTE["kl"], opacity=0.5)
            .encode(x=x, x2=alt.X2Datum(0), y=y, y2="y2:Q"),
            smallest.transform_filter("shown").mark_rule(color=INK, strokeWidth=2).encode(x=x, y=y, y2="y2:Q"),
            one.transform_calculate(y="datum.y2", end="0")
            .mark_text(color=INK, fontSize=FONT_SIZE, align="left", baseline="bottom", dy=-3)
            .encode(x=x, y=y, text="note:N"),
        ]

    bars = alt.layer(
        *bar("reverse", "reverse KL(q ‖ p)", best[0][2], 1.2), *bar("forward", "forward KL(p ‖ q)", best[1][2], 0.15)
    ).properties(width=PLOT_WIDTH, height=84)
    presets = {
        reverse: {"mean_slider": best[0][0], "width_slider": best[0][1]},
        forward: {"mean_slider": best[1][0], "width_slider": best[1][1]},
    }
    return make_explorer(
        alt.vconcat(curves, bars),
        params,
        values,
        "Above, a posterior with two modes and a Gaussian q. Below, when they are shown, two bars: the reverse "
        "divergence KL(q ‖ p) and the forward one, KL(p ‖ q); a tick marks the smallest value of each. The reverse one "
        "is smallest for a q that sits on one mode and leaves out the other, the forward one for a wide q that covers "
        "both and the valley between.",
        presets=presets,
        free=free,
    )


def _minimisers(half: float, mode_width: float, weight: float) -> tuple[tuple[float, float, float], ...]:
    """Mean, width and value of the smallest reverse and forward KL among the positions of the sliders."""
    z = torch.arange(-24, 24.025, 0.05, dtype=torch.float64, device="cpu")
    weights = torch.tensor([weight, 1 - weight], dtype=torch.float64, device="cpu")
    modes = torch.distributions.Normal(torch.tensor([-half, half], dtype=torch.float64, device="cpu"), mode_width)
    log_p = torch.logsumexp(modes.log_prob(z[:, None]) + weights.log(), -1)

    def divergences(means: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        log_q = torch.distributions.Normal(means[:, None, None], widths[:, None]).log_prob(z)
        reverse = 0.05 * (log_q.exp() * (log_q - log_p)).sum(-1)
        return reverse, 0.05 * (log_p.exp() * (log_p - log_q)).sum(-1)

    found = []
    for direction in (0, 1):
        mean, width, reach = 0.0, 2.2, 4.0
        for step in (0.2, _KL_STEP):
            means = _around(mean, reach, step, -4, 4)
            widths = _around(width, reach, step, 0.5, 4)
            values = divergences(means, widths)[direction]
            row, column = divmod(int(values.argmin()), len(widths))
            mean, width, reach = means[row].item(), widths[column].item(), 0.3
        found.append((round(mean, 2) + 0.0, round(width, 2), round(values.min().item(), 6)))
    return tuple(found)


def _around(centre: Number, reach: Number, step: Number, least: Number, most: Number) -> Tensor:
    first, last = max(least, centre - reach), min(most, centre + reach)
    return torch.arange(round(first / step), round(last / step) + 1, dtype=torch.float64, device="cpu") * step
