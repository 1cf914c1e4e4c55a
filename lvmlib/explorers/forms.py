"""Four forms of the ELBO, and what single draws of their estimators look like."""

from __future__ import annotations

import math
from typing import Any

import torch

from lvmlib._random import forked_rng
from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.gaussian import ScalarGaussian
from lvmlib.explorers.vega import (
    GUTTER,
    INK,
    MATH_FONT,
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
from lvmlib.plots.palette import PALETTE, text_colour

__all__ = ["elbo_forms"]

_NUM_DRAWS = 40
_NUM_SETS = 12
_BELOW, _ABOVE = 14.0, 7.0  # nats on either side of the log-evidence
_ROWS = (
    ("joint", "log p(x, z) − log q(z)"),
    ("entropy", "log p(x, z) + entropy of q"),
    ("prior_kl", "log p(x | z) − KL(q ‖ prior)"),
    ("exact", "log p(x) − KL(q ‖ posterior)"),
)


def elbo_forms(
    slope: Number = 1.5,
    noise: Number = 0.7,
    x: Number = 2.5,
    *,
    q_mean: Number = 0.6,
    q_width: Number = 0.8,
    guess: Number = 2.0,
    seed: int = 0,
) -> Explorer:
    r"""One ELBO in four forms: where single draws of each form fall, for a q that one moves.

    .. math:: \mathrm{ELBO}(q) = \E_q[\log p(x, z) - \log q(z)] = \E_q[\log p(x, z)] + \mathrm{H}[q]
        = \E_q[\log p(x \mid z)] - \mathrm{KL}(q \Vert p(z)) = \log p(x) - \mathrm{KL}(q \Vert p(z \mid x))

    The model is z ~ N(0, 1), x | z ~ N(slope z, noise²), and q is normal. The draws of q are forty standard normal
    numbers, which the sliders move and stretch. The spreads, the standard deviations of one draw, are exact. Draws
    and spreads are hidden at first: a reader predicts the spread of the first form, and then chooses to see them.

    Args:
        slope: What x gains with each unit of z.
        noise: The standard deviation of x given z, above 0.
        x: The observation.
        q_mean: First value of the mean of q, from -0.5 to 2.5.
        q_width: First value of the standard deviation of q, from 0.1 to 1.2.
        guess: First value of the slider for the predicted spread of the first form, from 0 to 10 nats.
        seed: For the twelve sets of draws; the global random state is left alone.

    Returns:
        The explorer, with sliders for q, the set of draws and the prediction, and a choice that shows the draws.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If ``noise`` is not positive, or a first value lies outside its slider.
    """
    alt = require("altair")
    model = ScalarGaussian.of(slope, noise, x)
    m, s, evidence = model.mean, model.width, model.log_evidence
    with forked_rng(seed):
        draws = torch.randn(_NUM_SETS, _NUM_DRAWS, dtype=torch.float64, device="cpu")
    thousandths = (1000 * draws).round().int().tolist()
    rest = f"({x!r} - {slope!r} * q_mean)"
    # Each term at z = mean + width e is a quadratic a + b e + c e² in the standard normal e, of variance b² + 2 c².
    params = [
        slider("guess", "your prediction of the first spread, nats", guess, 0, 10, 0.1),
        slider("q_mean", "mean of q", q_mean, -0.5, 2.5, 0.01),
        slider("q_width", "width of q", q_width, 0.1, 1.2, 0.01),
        slider("draws", "new draws: set", 1, 1, _NUM_SETS, 1),
        *hidden_at_first("draws and spreads"),
        derived_parameter("fit_1", f"{slope!r} * {rest} * q_width / {noise**2!r}"),
        derived_parameter("fit_2", f"-{slope**2!r} * q_width * q_width / {2 * noise**2!r}"),
        derived_parameter("prior_1", "-q_mean * q_width"),
        derived_parameter("prior_2", "-q_width * q_width / 2"),
        derived_parameter(
            "gap", f"log({s!r} / q_width) + (pow(q_width, 2) + pow(q_mean - {m!r}, 2)) / {2 * s**2!r} - 0.5"
        ),
        derived_parameter("elbo", f"{evidence!r} - gap"),
        derived_parameter("spread_joint", "sqrt(pow(fit_1 + prior_1, 2) + 2 * pow(fit_2 + prior_2 + 0.5, 2))"),
        derived_parameter("spread_entropy", "sqrt(pow(fit_1 + prior_1, 2) + 2 * pow(fit_2 + prior_2, 2))"),
        derived_parameter("spread_prior_kl", "sqrt(pow(fit_1, 2) + 2 * pow(fit_2, 2))"),
    ]
    values = [
        ShownValue("ELBO, by each form", "elbo", "elbo", "format(elbo, '.3f')", "nats"),
        ShownValue("log p(x)", "evidence", "evidence_text", None, "nats", drawn=True),
        *(
            ShownValue(
                f"spread of row {row + 1}", "q", f"spread_{name}", if_shown(f"format(spread_{name}, '.2f')"), "nats"
            )
            for row, (name, _) in enumerate(_ROWS[:3])
        ),
        ShownValue("prediction less spread", "data", "off", if_shown("format(guess - spread_joint, '+.2f')"), "nats"),
    ]
    params.append(derived_parameter("off", "guess - spread_joint"))
    params.append(alt.param(name="evidence_text", value=f"{evidence:.3f}".replace("-", "\N{MINUS SIGN}")))
    densities = normal_densities(
        [
            ("prior", "prior p(z)", "0", "1"),
            ("posterior", "posterior p(z | x)", repr(m), repr(s)),
            ("q", "q(z)", "q_mean", "q_width"),
        ],
        domain=(-3.0, 4.0),
        top=2.2 / (s * math.sqrt(2 * math.pi)),
    ).properties(width=PLOT_WIDTH, height=100)
    return make_explorer(
        alt.vconcat(densities, _rows(thousandths, evidence)),
        params,
        values,
        "Above, the prior, the posterior and q, which the sliders move. Below, four rows, one for each form of the "
        "ELBO, with a line at the ELBO and one at log p(x), which lies to the right of it or on it. When the draws are "
        "shown, each row has forty marks, one for each draw: they scatter around the ELBO. Where q is the posterior, "
        "the marks of the first row fall on one another, and those of the second and third row do not. The last row "
        "needs no draws. A triangle at the left edge stands for marks beyond the picture.",
        gutter=GUTTER,
    )


def _rows(thousandths: list[list[int]], evidence: float) -> Any:
    alt = require("altair")
    low, high = evidence - _BELOW, evidence + _ABOVE
    nats = alt.X("nats:Q", title="nats", scale=alt.Scale(domain=[low, high], nice=False), axis=x_axis())
    place = alt.Y("y:Q", scale=alt.Scale(domain=[0, 4], nice=False), axis=None)
    table = [f"{n + 1},{e}" for n, row in enumerate(thousandths) for e in row]
    source = alt.InlineData(
        values="set,e\n" + "\n".join(table),
        format=alt.CsvDataFormat(type="csv", parse={"set": "number", "e": "number"}),
    )
    one = (
        alt.Chart(source)
        .transform_filter("shown && datum.set == draws")
        .transform_calculate(e="datum.e / 1000")
        .transform_calculate(square="datum.e * datum.e - 1")
    )
    layers = []
    for row, (name, label) in enumerate(_ROWS):
        first, second = {
            "joint": ("fit_1 + prior_1", "fit_2 + prior_2 + 0.5"),
            "entropy": ("fit_1 + prior_1", "fit_2 + prior_2"),
            "prior_kl": ("fit_1", "fit_2"),
            "exact": ("0", "0"),
        }[name]
        foot = 3 - row
        drawn = one.transform_calculate(
            nats=f"elbo + ({first}) * datum.e + ({second}) * datum.square", y=f"{foot} + 0.3"
        )
        if name != "exact":
            layers += [
                drawn.transform_filter(f"datum.nats >= {low!r} && datum.nats <= {high!r}")
                .mark_tick(color=PALETTE["q"], orient="vertical", thickness=1.5, size=18, opacity=0.7)
                .encode(x=nats, y=place),
                drawn.transform_filter(f"datum.nats < {low!r}")
                .transform_calculate(nats=repr(low))
                .mark_point(shape="triangle-left", filled=True, color=PALETTE["q"], size=60, opacity=1)
                .encode(x=nats, y=place),
            ]
        words = rows_of_data(1).transform_calculate(nats=repr(low), y=f"{foot} + 0.78")
        layers.append(text_mark(f"{row + 1}   {label}", words, nats, place, INK, align="left", dx=6, font=MATH_FONT))
    bound = rows_of_data(1).transform_calculate(nats=f"max({low!r}, elbo)", y="0", top="4")
    exact = rows_of_data(1).transform_calculate(nats=repr(evidence), y="0", top="4")
    return alt.layer(
        exact.mark_rule(color=PALETTE["evidence"], strokeWidth=1.5).encode(x=nats, y=place, y2="top:Q"),
        bound.mark_rule(color=PALETTE["elbo"], strokeWidth=2).encode(x=nats, y=place, y2="top:Q"),
        *layers,
        text_mark(
            "log p(x)",
            exact.transform_calculate(y="0"),
            nats,
            place,
            text_colour(PALETTE["evidence"]),
            align="left",
            dx=5,
            dy=-9,
            font=MATH_FONT,
        ),
        text_mark(
            "ELBO",
            bound.transform_calculate(y="0"),
            nats,
            place,
            text_colour(PALETTE["elbo"]),
            align="right",
            dx=-5,
            dy=-9,
            font=MATH_FONT,
        ),
    ).properties(width=PLOT_WIDTH, height=200)
