"""A scalar Gaussian model, and the width of a proposal for it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lvmlib._random import forked_rng
from lvmlib.exact import LinearGaussian
from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    FONT_SIZE,
    GUTTER,
    INK,
    PLOT_WIDTH,
    Number,
    ShownValue,
    derived_parameter,
    format_number,
    hidden_at_first,
    if_shown,
    normal_densities,
    number_within,
    require,
    rows_of_data,
    slider,
    text_mark,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE, text_colour
from lvmlib.weights import WeightSummary

__all__ = ["proposal_width"]

_NUM_DRAWS = 2000
_NUM_SETS = 2


def proposal_width(
    slope: Number = 1.5,
    noise: Number = 0.7,
    x: Number = 2.5,
    *,
    width: Number = 1.5,
    guess: Number = 1.0,
    seed: int = 0,
) -> Explorer:
    r"""The width of a proposal against the running estimate, the effective sample size and Pareto k.

    .. math:: \chi^2 = \frac{t^2}{s \sqrt{2 t^2 - s^2}} - 1 \quad\text{for } t^2 > s^2 / 2

    The posterior N(m, s²) is that of the scalar model z ~ N(0, 1), x | z ~ N(slope z, noise²); the proposal is
    N(m, t²). The draws are 2,000 standard normal numbers, one of two fixed sets, which a slider stretches: estimate
    and effective sample size are computed from them as one watches. Pareto k is looked up:
    :attr:`WeightSummary.pareto_k` of the same draws, computed for each position of the slider when the explorer is
    made. It and the width at which the variance becomes infinite are hidden at first: a reader predicts that width,
    and then chooses to see them.

    Args:
        slope: What x gains with each unit of z.
        noise: The standard deviation of x given z, above 0.
        x: The observation.
        width: First value of the slider, t / s, from 0.4 to 3.
        guess: First value of the slider for the predicted threshold, from 0.4 to 3.
        seed: For the draws; the global random state is left alone.

    Returns:
        The explorer, with sliders for the width, the draws and the prediction, and a choice that shows the tails.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If ``noise`` is not positive, or ``width`` lies outside its slider.

    References:
        Vehtari et al. (2024), *Pareto smoothed importance sampling*.
    """
    alt = require("altair")
    model = ScalarGaussian.of(slope, noise, x)
    m, s, truth = model.mean, model.width, model.log_evidence
    least, most, step = 0.4, 3.0, 0.05
    with forked_rng(seed):
        thousandths = (1000 * torch.randn(_NUM_SETS, _NUM_DRAWS, dtype=torch.float64, device="cpu")).round()
    widths = [round(least + i * step, 2) for i in range(round((most - least) / step) + 1)]
    shapes = [[_pareto_k(draws / 1000, ratio) for ratio in widths] for draws in thousandths]
    params = [
        slider("ratio", "width of q over that of the posterior, t / s", width, least, most, step, argument="width"),
        slider("draws", "new draws: set", 1, 1, _NUM_SETS, 1),
        slider("guess", "your prediction of the threshold, t / s", guess, least, most, step),
        *hidden_at_first("tails of the weights"),
        derived_parameter("finite", "ratio * ratio > 0.5"),
        derived_parameter("chi_square", "finite ? ratio * ratio / sqrt(2 * ratio * ratio - 1) - 1 : 0"),
        alt.param(name="shapes", value=shapes),
        derived_parameter("pareto_k", f"shapes[draws - 1][round((ratio - {least}) / {step})]"),
    ]
    values = [
        ShownValue("estimate of log p(x)", "q", "estimate_text", None, f"(exact {format_number(truth, 3)})"),
        ShownValue("effective sample size", "q", "ess_text", None, f"of {_NUM_DRAWS:,}", drawn=True),
        ShownValue(
            "Pareto k",
            "q",
            "pareto_k",
            if_shown("(isValid(pareto_k) ? format(pareto_k, '.2f') : 'none: equal weights')"),
            "",
        ),
        ShownValue(
            "chi-square",
            "posterior",
            "chi_square",
            if_shown("(finite ? format(chi_square, '.2f') : 'infinite')"),
            "",
        ),
    ]
    densities = normal_densities(
        [("posterior", "posterior p(z | x)", repr(m), repr(s)), ("q", "proposal q(z)", repr(m), f"ratio * {s!r}")],
        domain=(m - 6 * s, m + 6 * s),
        top=1.25 / (least * s * math.sqrt(2 * math.pi)),
    ).properties(width=PLOT_WIDTH, height=110)

    draws = alt.InlineData(
        values="e\n" + "\n".join(str(int(e)) for e in thousandths.flatten().tolist()),
        format=alt.CsvDataFormat(type="csv", parse={"e": "number"}),
    )
    running = (
        alt.Chart(draws)
        .transform_window(row="row_number()")
        .transform_filter(f"ceil(datum.row / {_NUM_DRAWS}) == draws")
        .transform_calculate(
            log_w="log(ratio) + pow(datum.e / 1000, 2) * (1 - ratio * ratio) / 2",
            w="exp(datum.log_w)",
            w2="exp(2 * datum.log_w)",
        )
        .transform_window(n="row_number()", sum_w="sum(w)", sum_w2="sum(w2)")
        .transform_filter("datum.n % 10 == 0")
        .transform_calculate(estimate=f"{truth!r} + log(datum.sum_w / datum.n)")
    )
    final = running.transform_filter(f"datum.n == {_NUM_DRAWS}").transform_calculate(
        estimate_text="format(datum.estimate, '.3f')",
        ess="datum.sum_w * datum.sum_w / datum.sum_w2",
        ess_text="format(datum.ess, ',.0f')",
    )
    n = alt.X("n:Q", title="draws", scale=alt.Scale(domain=[0, _NUM_DRAWS], nice=False), axis=x_axis(tickCount=5))
    reach = 0.3
    nats = alt.Y(
        "estimate:Q",
        scale=alt.Scale(domain=[truth - reach, truth + reach], nice=False),
        axis=y_axis("estimate of log p(x), nats", tickCount=5, format=".1f"),
    )
    exact = rows_of_data(1).transform_calculate(estimate=repr(truth))
    band = (
        alt.Chart(alt.sequence(10, _NUM_DRAWS + 1, 10, as_="n"))
        .transform_filter("shown && finite")
        .transform_calculate(
            half=f"min({reach}, 2 * sqrt(chi_square / datum.n))",
            estimate=f"{truth!r} - datum.half",
            upper=f"{truth!r} + datum.half",
        )
        .mark_area(color=PALETTE["evidence"], opacity=0.18)
        .encode(x=n, y=nats, y2="upper:Q")
    )
    corner = rows_of_data(1).transform_calculate(n=str(_NUM_DRAWS))
    estimates = alt.layer(
        band,
        exact.mark_rule(color=PALETTE["evidence"], strokeWidth=1.5).encode(y=nats),
        running.mark_line(color=PALETTE["q"], strokeWidth=2, clip=True).encode(x=n, y=nats),
        text_mark(
            "exact",
            # On the side of the line where the estimate is not.
            final.transform_calculate(estimate=f"{truth!r} + (datum.estimate > {truth!r} ? -0.04 : 0.04)"),
            n,
            nats,
            text_colour(PALETTE["evidence"]),
            align="right",
        ),
        text_mark(
            {
                "expr": "!shown ? '' : finite ? 'band: two predicted standard errors'"
                " : 'no band: the variance is infinite'"
            },
            corner.transform_calculate(estimate=repr(truth + reach)),
            n,
            nats,
            INK,
            align="right",
            dy=8,
        ),
        final.transform_calculate(
            note=f"'effective sample size ' + datum.ess_text + ' of {_NUM_DRAWS:,}'", estimate=repr(truth - reach)
        )
        .mark_text(color=text_colour(PALETTE["q"]), align="right", fontSize=FONT_SIZE, dy=-8)
        .encode(x=n, y=nats, text="note:N"),
    ).properties(width=PLOT_WIDTH, height=150)

    t = alt.X("t:Q", title="t / s", scale=alt.Scale(domain=[least, most], nice=False), axis=x_axis(tickCount=6))
    k = alt.Y("k:Q", scale=alt.Scale(domain=[-2.1, 1.1], nice=False), axis=y_axis("Pareto k", values=[-2, -1, 0, 1]))
    table = (
        alt.Chart(alt.sequence(least, most + step / 2, step, as_="t"))
        .transform_filter("shown")
        .transform_calculate(k=f"shapes[draws - 1][round((datum.t - {least}) / {step})]")
    )
    here = rows_of_data(1).transform_calculate(t="ratio", k="isValid(pareto_k) ? pareto_k : 0")
    predicted = rows_of_data(1).transform_calculate(t="guess", k="-0.6")
    tails = alt.layer(
        rows_of_data(1)
        .transform_filter("shown")
        .transform_calculate(t=str(least), end="sqrt(0.5)")
        .mark_rect(color=PALETTE["q"], opacity=0.14)
        .encode(x=t, x2="end:Q"),
        rows_of_data(1).transform_calculate(k="0.5").mark_rule(color=INK, strokeDash=[4, 3]).encode(y=k),
        table.mark_line(color=PALETTE["q"], strokeWidth=2).encode(x=t, y=k),
        here.mark_rule(color=PALETTE["q"], opacity=0.6).encode(x=t),
        predicted.mark_rule(color=INK, strokeDash=[1, 3]).encode(x=t),
        text_mark(
            "predicted",
            predicted,
            t,
            k,
            INK,
            align=alt.expr("guess < 2.3 ? 'left' : 'right'"),
            dx=alt.expr("guess < 2.3 ? 5 : -5"),
        ),
        here.transform_filter("shown && isValid(pareto_k)")
        .mark_circle(color=PALETTE["q"], size=75, opacity=1)
        .encode(x=t, y=k),
        text_mark(
            "variance infinite to the left of 0.71",
            rows_of_data(1).transform_filter("shown").transform_calculate(t="0.8", k="0.8"),
            t,
            k,
            INK,
            align="left",
        ),
    ).properties(width=PLOT_WIDTH, height=110)
    return make_explorer(
        alt.vconcat(densities, estimates, tails),
        params,
        values,
        "Three pictures, one below the other. The posterior and the proposal, which have one mean. The running "
        "estimate of log p(x) over 2,000 draws, with the exact value as a line. When the tails are shown, and where "
        "the variance is finite, a band of two predicted standard errors, and Pareto k against the width of the "
        "proposal: it is above one half where the proposal is too narrow for a finite variance, and falls as q widens. "
        "Narrow, the estimate lies below the truth and leaps; wide, it settles.",
        gutter=GUTTER,
    )


class ScalarGaussian(NamedTuple):
    """Posterior and evidence of z ~ N(0, 1), x | z ~ N(slope z, noise²)."""

    mean: float
    width: float
    log_evidence: float

    @classmethod
    def of(cls, slope: Number, noise: Number, x: Number) -> ScalarGaussian:
        for name, value in (("slope", slope), ("noise", noise), ("x", x)):
            number_within(name, value, -math.inf, math.inf)
        if not noise > 0:
            raise ValueError(f"noise is {noise}: expected a standard deviation above 0; pass 0.7, for example.")

        def real(value: float) -> Tensor:
            return torch.tensor([value], dtype=torch.float64, device="cpu")

        model = LinearGaussian(real(slope)[None], real(0.0), real(noise)[0] ** 2)
        posterior = model.posterior(real(x))
        return cls(posterior.mean.item(), posterior.stddev.item(), model.log_evidence(real(x)).item())


def _pareto_k(draws: Tensor, ratio: float) -> float | None:
    """Pareto k of the weights of N(0, 1) under N(0, ratio²), or None where they have no tail."""
    log_weights = math.log(ratio) + draws.square() * (1 - ratio**2) / 2
    shape = WeightSummary.from_log_weights(log_weights).pareto_k.item()
    return round(shape, 3) if math.isfinite(shape) else None
