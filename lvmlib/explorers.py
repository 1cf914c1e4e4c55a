r"""Pictures with sliders: small models that a reader moves, with no kernel and no network.

An explorer is one Vega-Lite specification, made with Altair. Whatever a slider changes is a formula of the
specification, so the browser computes it. A notebook shows it through its own Vega extension, the book through a
bundle that lies beside the page, and whoever has neither sees the picture at its first values::

    explorers.jensen_gap(a=1, b=9, p=0.3)

Altair and vl-convert-python are needed here and nowhere else in the library.
"""

from __future__ import annotations

import copy
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lvmlib._random import forked_rng
from lvmlib.exact import LinearGaussian
from lvmlib.plots import PALETTE
from lvmlib.weights import WeightSummary

__all__ = [
    "Explorer",
    "cost_of_dimension",
    "evidence_bar",
    "forward_reverse_kl",
    "jensen_gap",
    "proposal_width",
]

Number: TypeAlias = float | int

MIME_TYPE = "application/vnd.vegalite.v5+json"
"""What JupyterLab, Notebook 7, VS Code and Colab show as a live Vega-Lite picture. JupyterLab 4 has Vega-Lite 5.6, so
the specifications keep to what that version and the newer ones share."""

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_INK = "currentColor"
_GUTTER = 48
_RIGHT = 14
_PLOT_WIDTH = 400
_NUM_DRAWS = 2000

_CONFIG: Mapping[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": "sans-serif",
    "view": {"stroke": None},
    "title": {"color": _INK, "fontSize": 12, "fontWeight": "normal", "lineHeight": 17, "anchor": "start", "offset": 12},
    "axis": {
        "domainColor": _INK,
        "domainOpacity": 0.6,
        "tickColor": _INK,
        "tickOpacity": 0.6,
        "tickSize": 4,
        "gridColor": _INK,
        "gridOpacity": 0.1,
        "labelColor": _INK,
        "labelFontSize": 12,
        "labelFlush": False,
        "titleColor": _INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
}


class Explorer:
    """A picture with sliders, as the last line of a cell.

    The same specification gives the same bytes. Under ``usermeta.lvmlib`` it says which values the picture shows
    beside its sliders, for pages with controls of their own.

    Args:
        spec: A Vega-Lite specification with a ``description``, the text for readers who cannot see the picture.

    Raises:
        TypeError: If ``spec`` is no mapping.
        ValueError: If it has no description.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        if not isinstance(spec, Mapping):
            raise TypeError(f"spec is of type {type(spec).__name__}: expected a Vega-Lite specification as a dict.")
        if not str(spec.get("description", "")).strip():
            raise ValueError(
                f"spec has the description {spec.get('description')!r}: expected a sentence; say what to see, for "
                f"readers who cannot see the picture."
            )
        self._spec = json.loads(json.dumps(spec))

    @property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification, a copy."""
        return copy.deepcopy(self._spec)

    @property
    def description(self) -> str:
        """What to see, in words."""
        return str(self._spec["description"])

    def svg(self) -> str:
        """The picture at its first values, as SVG that takes the colour of the text around it.

        Returns:
            One ``<svg>`` element with ``role="img"`` and the description as its label.

        Raises:
            ImportError: If vl-convert-python is not installed.
        """
        source = _require("vl_convert").vegalite_to_svg(self._spec)
        opening = re.search(r'<svg[^>]*viewBox="([^"]+)"[^>]*>', source)
        assert opening is not None, "vl-convert wrote an SVG without a viewBox"
        body = source[opening.end() : source.rindex("</svg>")]
        digest = hashlib.sha256(json.dumps(self._spec, sort_keys=True).encode()).hexdigest()[:12]
        # Vega counts its clipping paths through the process: here they are counted through the picture.
        names = list(dict.fromkeys(re.findall(r' id="([^"]+)"', body)))
        for number, name in enumerate(names):
            body = re.sub(rf'( id="|url\(#|href="#){name}(?=[")])', rf"\g<1>lvm-{digest}-{number}", body)
        body = re.sub(r' (?:role|aria-\w+|pointer-events)="[^"]*"', "", body)
        # Hundredths of a pixel are invisible.
        body = re.sub(r'\b(?:d|x\d?|y\d?)="[^"]*"|translate\([^)]*\)', _round_numbers, body)
        label = html.escape(self.description)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lvm-explorer" role="img" aria-label="{label}" '
            f'viewBox="{opening[1]}" style="display:block;width:100%;max-width:{opening[1].split()[2]}px;height:auto">'
            f"<title>{label}</title>{body}</svg>"
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        # No text/html: JupyterLab would prefer it to the live picture.
        mode = "<style>:root{color:#1f2328}@media (prefers-color-scheme:dark){:root{color:#e6edf3}}</style>"
        head, title, rest = self.svg().partition("</title>")
        return {MIME_TYPE: self.spec, "image/svg+xml": f"{head}{title}{mode}{rest}", "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Explorer({self.description!r})"


def jensen_gap(a: Number = 1.0, b: Number = 9.0, p: Number = 0.5) -> Explorer:
    r"""Jensen's gap of a variable with two values: the chord of the logarithm below its curve.

    .. math:: \log(p a + (1 - p) b) - p \log a - (1 - p) \log b \ge 0

    Args:
        a, b: First values of the two sliders, from 0.1 to 10.
        p: The probability of ``a``.

    Returns:
        The explorer, with sliders for ``a``, ``b`` and ``p``.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.

    Example:
        >>> jensen_gap(p=0.25).spec["usermeta"]["lvmlib"]["values"][2]["label"]
        'gap'
    """
    alt = _require("altair")
    params = [
        _slider("a", "value a", a, 0.1, 10, 0.1),
        _slider("b", "value b", b, 0.1, 10, 0.1),
        _slider("p", "probability of a", p, 0, 1, 0.01),
        _derived("mean", "p * a + (1 - p) * b"),
        _derived("log_mean", "log(mean)"),
        _derived("mean_log", "p * log(a) + (1 - p) * log(b)"),
        _derived("gap", "log_mean - mean_log"),
    ]
    values = [
        _Value("log E[w]", "evidence", "log_mean", "format(log_mean, '.3f')", "nats"),
        _Value("E[log w]", "elbo", "mean_log", "format(mean_log, '.3f')", "nats"),
        _Value("gap", "kl", "gap", "format(gap, '.3f')", "nats"),
    ]
    x = alt.X("w:Q", title="w", scale=alt.Scale(domain=[0, 10.2], nice=False), axis=_x_axis())
    y = alt.Y("log:Q", title=None, scale=alt.Scale(domain=[-2.6, 2.9], nice=False), axis=_y_axis(tickCount=5))
    curve = (
        alt.Chart(alt.sequence(0.1, 10.21, 0.05, as_="w"))
        .transform_calculate(log="log(datum.w)")
        .mark_line(color=_INK, strokeWidth=1.5)
    )
    ends = _rows(2).transform_calculate(w="datum.row ? b : a", log="log(datum.w)", share="datum.row ? 1 - p : p")
    means = _rows(1).transform_calculate(w="mean", log="log_mean", below="mean_log")
    layers = [
        curve.encode(x=x, y=y),
        ends.mark_line(color=PALETTE["elbo"], strokeWidth=1.5, strokeDash=[5, 3]).encode(x=x, y=y),
        ends.mark_circle(color=PALETTE["elbo"], opacity=1).encode(
            x=x, y=y, size=alt.Size("share:Q", scale=alt.Scale(domain=[0, 1], range=[12, 240]), legend=None)
        ),
        means.mark_rule(color=PALETTE["kl"], strokeWidth=5, strokeCap="butt").encode(x=x, y=y, y2="below:Q"),
        means.mark_circle(color=PALETTE["evidence"], size=75, opacity=1).encode(x=x, y=y),
        means.transform_calculate(log="datum.below")
        .mark_circle(color=PALETTE["elbo"], size=75, opacity=1)
        .encode(x=x, y=y),
        _label("log w", _rows(1).transform_calculate(w="10", log="log(10)"), x, y, _INK, dx=-4, dy=-11, align="right"),
        # The first label keeps to the free side above the curve, the second to the one below the chord.
        _label(
            "log E[w]",
            means.transform_calculate(w="min(max(mean, 1.9), 8)", log="log(datum.w)"),
            x,
            y,
            _text("evidence"),
            dx=-7,
            dy=-9,
            align="right",
        ),
        _label(
            "E[log w]",
            means.transform_calculate(w="min(mean, 8.2)", log="mean_log - (mean > 8.2 ? 0.5 : 0)"),
            x,
            y,
            _text("elbo"),
            dx=9,
            dy=10,
            align="left",
        ),
    ]
    chart = alt.layer(*layers).properties(width=_PLOT_WIDTH, height=250)
    return _explorer(
        chart,
        params,
        values,
        "The curve of the logarithm, and below it a chord between its points at a and b. At the mean of the two values "
        "a vertical segment joins the chord, whose height is the mean of the logarithms, to the curve, whose height is "
        "the logarithm of the mean. The segment is the gap: it vanishes when a equals b or when p is zero or one.",
        gutter=_GUTTER,
    )


def evidence_bar(
    slope: Number = 1.5,
    noise: Number = 0.7,
    x: Number = 2.5,
    *,
    q_mean: Number | None = None,
    q_width: Number | None = None,
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

    Returns:
        The explorer, with sliders for the mean and the width of q.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If ``noise`` is not positive, or a first value lies outside its slider.
    """
    alt = _require("altair")
    model = _Scalar.of(slope, noise, x)
    m, s, evidence = model.mean, model.width, model.log_evidence
    low, high = math.floor(10 * (m - 2.5 * s)) / 10, math.ceil(10 * (m + 2.5 * s)) / 10
    thin, wide = math.ceil(50 * s) / 100, math.ceil(22 * s) / 10
    peak = 1 / (s * math.sqrt(2 * math.pi))
    longest = max(abs(low - m), abs(high - m)) ** 2 / (2 * s**2) + wide**2 / (2 * s**2) - 0.5 - math.log(wide / s)
    floor = evidence - math.ceil(longest + 0.6)
    params = [
        _slider("q_mean", "mean of q", m - 1.1 * s if q_mean is None else q_mean, low, high, 0.01),
        _slider("q_width", "width of q", 1.5 * s if q_width is None else q_width, thin, wide, 0.01),
        _derived(
            "elbo",
            f"-log(2 * PI) / 2 - (pow(q_mean, 2) + pow(q_width, 2)) / 2"
            f" - log(2 * PI * {noise**2!r}) / 2"
            f" - (pow({x!r} - {slope!r} * q_mean, 2) + {slope**2!r} * pow(q_width, 2)) / {2 * noise**2!r}"
            f" + log(2 * PI * pow(q_width, 2)) / 2 + 0.5",
        ),
        _derived("kl", f"log({s!r} / q_width) + (pow(q_width, 2) + pow(q_mean - {m!r}, 2)) / {2 * s**2!r} - 0.5"),
        _derived("total", "elbo + kl"),
    ]
    values = [
        _Value("ELBO", "elbo", "elbo", "format(elbo, '.3f')", "nats"),
        _Value("KL(q ‖ posterior)", "kl", "kl", "format(kl, '.3f')", "nats"),
        _Value("ELBO + KL = log p(x)", "evidence", "total", "format(total, '.3f')", "nats"),
    ]
    densities = _densities(
        [("posterior", "posterior p(z | x)", repr(m), repr(s)), ("q", "q(z)", "q_mean", "q_width")],
        domain=(m - 5.5 * s, m + 5.5 * s),
        top=1.15 * peak * s / thin,
    )

    scale = alt.Scale(domain=[floor, evidence + 0.03 * (evidence - floor)], nice=False)
    nats = alt.X("from:Q", title="nats", scale=scale, axis=_x_axis(grid=False))
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

    one = _rows(1)
    kl_bar = (
        one.transform_calculate(**{"from": "elbo", "to": "elbo + kl", "y": "0", "y2": "1"})
        .mark_rect(color=PALETTE["kl"], opacity=0.5)
        .encode(x=nats, x2="to:Q", y=rows, y2="y2:Q")
    )
    end = one.transform_calculate(**{"from": "elbo + kl", "y": "0", "y2": "2.2"})

    def name(text: str, at: str, row: Number, **mark: Any) -> Any:
        return _label(text, one.transform_calculate(**{"from": at, "y": str(row)}), nats, rows, _INK, **mark)

    start = repr(floor + 0.07 * (evidence - floor))
    bar = alt.layer(
        torn(1.2, repr(evidence), "evidence"),
        torn(0, "elbo", "elbo"),
        kl_bar,
        end.mark_rule(color=PALETTE["evidence"], strokeWidth=2).encode(x=nats, y=rows, y2="y2:Q"),
        name("log p(x)", start, 1.7, align="left", dx=4),
        name("ELBO", start, 0.5, align="left", dx=4),
        name(
            "KL", "elbo + kl / 2", 0.5, align="center", opacity=alt.expr(f"kl > {0.07 * (evidence - floor)!r} ? 1 : 0")
        ),
    ).properties(width=_PLOT_WIDTH, height=70)
    chart = alt.vconcat(densities.properties(width=_PLOT_WIDTH, height=150), bar)
    return _explorer(
        chart,
        params,
        values,
        "Above, the density of the posterior and that of q, which the sliders move. Below, a bar that ends at log p(x) "
        "and a second one of the same length, made of the ELBO and of the KL divergence. Moving q only moves "
        "the border between the two parts; where q is the posterior, the ELBO is the whole bar. Both bars go on to "
        "the left of the picture, as their torn edge says.",
    )


def proposal_width(
    slope: Number = 1.5, noise: Number = 0.7, x: Number = 2.5, *, width: Number = 0.6, seed: int = 0
) -> Explorer:
    r"""The width of a proposal against the running estimate, the effective sample size and Pareto k.

    .. math:: \chi^2 = \frac{t^2}{s \sqrt{2 t^2 - s^2}} - 1 \quad\text{for } t^2 > s^2 / 2

    The posterior N(m, s²) is that of the scalar model z ~ N(0, 1), x | z ~ N(slope z, noise²); the proposal is
    N(m, t²). The draws are 2,000 standard normal numbers, fixed once, which a slider stretches: estimate and effective
    sample size are computed from them as one watches. Pareto k is looked up: :attr:`WeightSummary.pareto_k` of the
    same draws, computed for each position of the slider when the explorer is made.

    Args:
        slope: What x gains with each unit of z.
        noise: The standard deviation of x given z, above 0.
        x: The observation.
        width: First value of the slider, t / s, from 0.4 to 3.
        seed: For the draws; the global random state is left alone.

    Returns:
        The explorer, with a slider for the width.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If ``noise`` is not positive, or ``width`` lies outside its slider.

    References:
        Vehtari et al. (2024), *Pareto smoothed importance sampling*.
    """
    alt = _require("altair")
    model = _Scalar.of(slope, noise, x)
    m, s, truth = model.mean, model.width, model.log_evidence
    least, most, step = 0.4, 3.0, 0.05
    with forked_rng(seed):
        thousandths = (1000 * torch.randn(_NUM_DRAWS, dtype=torch.float64, device="cpu")).round()
    widths = [round(least + i * step, 2) for i in range(round((most - least) / step) + 1)]
    shapes = [_pareto_k(thousandths / 1000, ratio) for ratio in widths]
    params = [
        _slider("ratio", "width of q over that of the posterior, t / s", width, least, most, step, argument="width"),
        _derived("finite", "ratio * ratio > 0.5"),
        _derived("chi_square", "finite ? ratio * ratio / sqrt(2 * ratio * ratio - 1) - 1 : 0"),
        alt.param(name="shapes", value=shapes),
        _derived("pareto_k", f"shapes[round((ratio - {least}) / {step})]"),
    ]
    values = [
        _Value("estimate of log p(x)", "q", "estimate_text", None, f"(exact {_number(truth, 3)})"),
        _Value("effective sample size", "q", "ess_text", None, f"of {_NUM_DRAWS:,}", drawn=True),
        _Value("Pareto k", "q", "pareto_k", "isValid(pareto_k) ? format(pareto_k, '.2f') : 'none: equal weights'", ""),
        _Value("chi-square", "posterior", "chi_square", "finite ? format(chi_square, '.2f') : 'infinite'", ""),
    ]
    densities = _densities(
        [("posterior", "posterior p(z | x)", repr(m), repr(s)), ("q", "proposal q(z)", repr(m), f"ratio * {s!r}")],
        domain=(m - 6 * s, m + 6 * s),
        top=1.25 / (least * s * math.sqrt(2 * math.pi)),
    ).properties(width=_PLOT_WIDTH, height=110)

    draws = alt.InlineData(
        values="e\n" + "\n".join(str(int(e)) for e in thousandths.tolist()),
        format=alt.CsvDataFormat(type="csv", parse={"e": "number"}),
    )
    running = (
        alt.Chart(draws)
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
    n = alt.X("n:Q", title="draws", scale=alt.Scale(domain=[0, _NUM_DRAWS], nice=False), axis=_x_axis(tickCount=5))
    reach = 0.3
    nats = alt.Y(
        "estimate:Q",
        scale=alt.Scale(domain=[truth - reach, truth + reach], nice=False),
        axis=_y_axis("estimate of log p(x), nats", tickCount=5, format=".1f"),
    )
    exact = _rows(1).transform_calculate(estimate=repr(truth))
    band = (
        alt.Chart(alt.sequence(10, _NUM_DRAWS + 1, 10, as_="n"))
        .transform_filter("finite")
        .transform_calculate(
            half=f"min({reach}, 2 * sqrt(chi_square / datum.n))",
            estimate=f"{truth!r} - datum.half",
            upper=f"{truth!r} + datum.half",
        )
        .mark_area(color=PALETTE["evidence"], opacity=0.18)
        .encode(x=n, y=nats, y2="upper:Q")
    )
    corner = _rows(1).transform_calculate(n=str(_NUM_DRAWS))
    estimates = alt.layer(
        band,
        exact.mark_rule(color=PALETTE["evidence"], strokeWidth=1.5).encode(y=nats),
        running.mark_line(color=PALETTE["q"], strokeWidth=2, clip=True).encode(x=n, y=nats),
        _label(
            "exact",
            # On the side of the line where the estimate is not.
            final.transform_calculate(estimate=f"{truth!r} + (datum.estimate > {truth!r} ? -0.04 : 0.04)"),
            n,
            nats,
            _text("evidence"),
            align="right",
        ),
        _label(
            {"expr": "finite ? 'band: two predicted standard errors' : 'no band: the variance is infinite'"},
            corner.transform_calculate(estimate=repr(truth + reach)),
            n,
            nats,
            _INK,
            align="right",
            dy=8,
        ),
        final.transform_calculate(
            note=f"'effective sample size ' + datum.ess_text + ' of {_NUM_DRAWS:,}'", estimate=repr(truth - reach)
        )
        .mark_text(color=_text("q"), align="right", fontSize=12, dy=-8)
        .encode(x=n, y=nats, text="note:N"),
    ).properties(width=_PLOT_WIDTH, height=150)

    t = alt.X("t:Q", title="t / s", scale=alt.Scale(domain=[least, most], nice=False), axis=_x_axis(tickCount=6))
    k = alt.Y("k:Q", scale=alt.Scale(domain=[-2.1, 1.1], nice=False), axis=_y_axis("Pareto k", values=[-2, -1, 0, 1]))
    table = alt.Chart(alt.Data(values=[{"t": t, "k": k} for t, k in zip(widths, shapes, strict=True)]))
    here = _rows(1).transform_calculate(t="ratio", k="isValid(pareto_k) ? pareto_k : 0")
    tails = alt.layer(
        _rows(1)
        .transform_calculate(t=str(least), end="sqrt(0.5)")
        .mark_rect(color=PALETTE["q"], opacity=0.14)
        .encode(x=t, x2="end:Q"),
        _rows(1).transform_calculate(k="0.5").mark_rule(color=_INK, strokeDash=[4, 3]).encode(y=k),
        table.mark_line(color=PALETTE["q"], strokeWidth=2).encode(x=t, y=k),
        here.mark_rule(color=PALETTE["q"], opacity=0.6).encode(x=t),
        here.transform_filter("isValid(pareto_k)").mark_circle(color=PALETTE["q"], size=75, opacity=1).encode(x=t, y=k),
        _label(
            "variance infinite to the left of 0.71",
            _rows(1).transform_calculate(t="0.8", k="0.8"),
            t,
            k,
            _INK,
            align="left",
        ),
    ).properties(width=_PLOT_WIDTH, height=110)
    return _explorer(
        alt.vconcat(densities, estimates, tails),
        params,
        values,
        "Three pictures, one below the other. The posterior and the proposal, which have one mean. The running "
        "estimate of log p(x) over 2,000 draws, with the exact value as a line and, where the variance is finite, a "
        "band of two predicted standard errors. Pareto k against the width of the proposal: it is above one half where "
        "the proposal is narrower than 0.71 times the posterior and the variance infinite, and falls as q widens. "
        "Narrow, the estimate lies below the truth and leaps; wide, it settles.",
        gutter=_GUTTER,
    )


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

    Both are sums over a fine grid. The posterior is a mixture of two Gaussians of equal width; a choice sets q to the
    minimiser of either divergence among the positions of the sliders.

    Args:
        separation: Between the two modes, from 1 to 6.
        mode_width: The standard deviation of each mode, from 0.5 to 1.5.
        weight: The probability of the left mode, above 0 and below 1.
        q_mean, q_width: First values of the two sliders, -4 to 4 and 0.5 to 4.

    Returns:
        The explorer, with sliders for the mean and the width of q, and the choice.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its range.
    """
    alt = _require("altair")
    half = _within("separation", separation, 1, 6) / 2
    w = _within("mode_width", mode_width, 0.5, 1.5)
    share = _within("weight", weight, 0.01, 0.99)
    best = _minimisers(half, w, share)
    free, reverse, forward = "the sliders", "the smallest KL(q ‖ p)", "the smallest KL(p ‖ q)"

    def chosen(position: int, slider: str) -> str:
        return f"jump == '{reverse}' ? {best[0][position]} : jump == '{forward}' ? {best[1][position]} : {slider}"

    params = [
        _slider("mean_slider", "mean of q", q_mean, -4, 4, _KL_STEP, argument="q_mean"),
        _slider("width_slider", "width of q", q_width, 0.5, 4, _KL_STEP, argument="q_width"),
        alt.param(name="jump", value=free, bind=alt.binding_radio(options=[free, reverse, forward], name="set q by: ")),
        _derived("q_mean", chosen(0, "mean_slider")),
        _derived("q_width", chosen(1, "width_slider")),
    ]
    values = [
        _Value("KL(q ‖ p), reverse", "kl", "reverse_text", None, "nats", drawn=True),
        _Value("KL(p ‖ q), forward", "kl", "forward_text", None, "nats", drawn=True),
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

    z = alt.X("z:Q", title="z", scale=alt.Scale(domain=[-6, 6], nice=False), axis=_x_axis())
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
        *_legend([("posterior p(z | x)", "posterior"), ("q(z)", "q")]),
    ).properties(width=_PLOT_WIDTH, height=150)

    # The grid reaches five widths of the widest q beyond its mean, so that what is left out is below 1e-5 nats.
    sums = (
        grid(24, 0.05)
        .transform_calculate(r="datum.q * (datum.log_q - datum.log_p)", f="datum.p * (datum.log_p - datum.log_q)")
        .transform_aggregate(r="sum(r)", f="sum(f)")
        .transform_calculate(
            reverse="0.05 * datum.r",
            forward="0.05 * datum.f",
            reverse_text="format(datum.reverse, '.3f')",
            forward_text="format(datum.forward, '.3f')",
        )
    )
    reach = 6
    x = alt.X("end:Q", title="nats", scale=alt.Scale(domain=[0, reach], nice=False), axis=_x_axis(grid=False))
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 2], nice=False), axis=None)

    def bar(name: str, label: str, least: Number, base: Number) -> list[Any]:
        """Its name and value above a bar, and a tick where the smallest value is."""
        row = {"y": f"{base}", "y2": f"{base} + 0.4"}
        one = sums.transform_calculate(
            **row,
            end=f"min({reach}, datum.{name})",
            note=f"'{label} = ' + datum.{name}_text + (datum.{name} > {reach} ? ' →' : '')",
        )
        smallest = _rows(1).transform_calculate(**row, end=repr(least))
        return [
            one.mark_rect(color=PALETTE["kl"], opacity=0.5).encode(x=x, x2=alt.X2Datum(0), y=y, y2="y2:Q"),
            smallest.mark_rule(color=_INK, strokeWidth=2).encode(x=x, y=y, y2="y2:Q"),
            one.transform_calculate(y="datum.y2", end="0")
            .mark_text(color=_INK, fontSize=12, align="left", baseline="bottom", dy=-3)
            .encode(x=x, y=y, text="note:N"),
        ]

    bars = alt.layer(
        *bar("reverse", "reverse KL(q ‖ p)", best[0][2], 1.2), *bar("forward", "forward KL(p ‖ q)", best[1][2], 0.15)
    ).properties(width=_PLOT_WIDTH, height=84)
    presets = {
        reverse: {"mean_slider": best[0][0], "width_slider": best[0][1]},
        forward: {"mean_slider": best[1][0], "width_slider": best[1][1]},
    }
    return _explorer(
        alt.vconcat(curves, bars),
        params,
        values,
        "Above, a posterior with two modes and a Gaussian q. Below, two bars: the reverse divergence KL(q ‖ p) and the "
        "forward one, KL(p ‖ q); a tick marks the smallest value of each. The reverse one is smallest for a q that "
        "sits on one mode and leaves out the other, the forward one for a wide q that covers both and the valley "
        "between.",
        presets=presets,
        free=free,
    )


def cost_of_dimension(points: int = 10, width: Number = 0.4, relative_error: Number = 0.1, dim: int = 10) -> Explorer:
    r"""The nodes of a grid against the draws from the prior, for D latent coordinates.

    .. math:: G^D \quad\text{against}\quad K = \frac{(1 + \chi^2_1)^D - 1}{\epsilon^2}, \qquad
        1 + \chi^2_1 = \frac{1}{s \sqrt{2 - s^2}}

    Each coordinate has the prior N(0, 1) and the posterior N(0, s²), independently of the others.

    Args:
        points: G, nodes of the grid in each coordinate, from 2 to 50.
        width: s, the posterior's standard deviation in each coordinate, from 0.05 to 1.
        relative_error: The wanted standard error of p(x) over p(x), from 0.01 to 0.5.
        dim: D, where the picture reads off its numbers, from 1 to 40.

    Returns:
        The explorer, with a slider for each argument.

    Raises:
        ImportError: If Altair or vl-convert-python is not installed.
        TypeError: If an argument is no number.
        ValueError: If an argument lies outside its slider.
    """
    alt = _require("altair")
    dims = 40

    def log_draws(dim: str) -> str:
        return f"(growth > 1 ? log(pow(growth, {dim}) - 1) / LN10 : -99) - 2 * log(error) / LN10"

    params = [
        _slider("dim", "latent dimension D", dim, 1, dims, 1),
        _slider("points", "grid points in each dimension G", points, 2, 50, 1),
        _slider("width_1", "width of the posterior (prior: 1)", width, 0.05, 1, 0.01, argument="width"),
        _slider("error", "wanted relative error", relative_error, 0.01, 0.5, 0.01, argument="relative_error"),
        _derived("growth", "1 / (width_1 * sqrt(2 - width_1 * width_1))"),
        _derived("log_grid", "dim * log(points) / LN10"),
        _derived("log_prior", f"max(0, {log_draws('dim')})"),
    ]
    values = [
        _Value("nodes of the grid", "joint", "log_grid", _count("log_grid"), ""),
        _Value("draws from the prior", "prior", "log_prior", _count("log_prior"), ""),
        _Value("chi-square of one coordinate", "posterior", "growth", "format(growth - 1, '.3f')", ""),
    ]
    top = 24
    x = alt.X("d:Q", title="latent dimension D", scale=alt.Scale(domain=[1, dims], nice=False), axis=_x_axis())
    y = alt.Y(
        "log:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=_y_axis(
            "evaluations (dotted: at 10⁹ a second)",
            values=list(range(0, top + 1, 4)),
            labelExpr=f"'10' + {_power('datum.value')}",
        ),
    )
    curves = alt.Chart(alt.sequence(1, dims + 0.1, 0.25, as_="d"))
    here = _rows(1).transform_calculate(d="dim")

    def marked(role: str, text: str, log: str, leaves: str) -> list[Any]:
        """A curve, its value at D, and its name where it leaves the picture."""
        end = _rows(1).transform_calculate(d=f"min({dims}, {leaves})", log=log)
        below = alt.expr(f"{leaves} < {dims} ? 10 : -12")
        return [
            curves.transform_calculate(log=log)
            .mark_line(color=PALETTE[role], strokeWidth=2.5, clip=True)
            .encode(x=x, y=y),
            here.transform_calculate(log=log)
            .transform_filter(f"datum.log <= {top}")
            .mark_circle(color=PALETTE[role], size=75, opacity=1)
            .encode(x=x, y=y),
            _label(text, end, x, y, _text(role), align="right", dx=-16, dy=below),
        ]

    def reference(text: str, count: Number) -> list[Any]:
        row = _rows(1).transform_calculate(d="1", log=repr(math.log10(count)))
        return [
            row.mark_rule(color=_INK, opacity=0.45, strokeDash=[2, 3]).encode(y=y),
            _label(text, row, x, y, _INK, align="left", dx=6, dy=-8),
        ]

    chart = alt.layer(
        *reference("a second", 1e9),
        *reference("a year", 1e9 * 365.25 * 86400),
        here.mark_rule(color=_INK, opacity=0.5).encode(x=x),
        *marked("joint", "grid", "datum.d * log(points) / LN10", f"{top} / (log(points) / LN10)"),
        *marked(
            "prior",
            "prior",
            f"max(0, {log_draws('datum.d')})",
            f"({top} + 2 * log(error) / LN10) / max(1e-9, log(growth) / LN10)",
        ),
    ).properties(width=_PLOT_WIDTH, height=250)
    return _explorer(
        chart,
        params,
        values,
        "On a logarithmic axis, the number of evaluations against the latent dimension: two straight lines, one for a "
        "grid and a flatter one for draws from the prior. A narrower posterior steepens the line of the prior; a "
        "smaller relative error lifts it; more grid points steepen the line of the grid. Both cross the line of what a "
        "machine does in a year.",
        gutter=_GUTTER,
    )


class _Value(NamedTuple):
    """A number beside the picture: the name of a parameter, or of a field that holds the text itself."""

    label: str
    role: str
    name: str
    text: str | None
    unit: str
    drawn: bool = False  # it already stands in the picture


class _Scalar(NamedTuple):
    """Posterior and evidence of z ~ N(0, 1), x | z ~ N(slope z, noise²)."""

    mean: float
    width: float
    log_evidence: float

    @classmethod
    def of(cls, slope: Number, noise: Number, x: Number) -> _Scalar:
        for name, value in (("slope", slope), ("noise", noise), ("x", x)):
            _within(name, value, -math.inf, math.inf)
        if not noise > 0:
            raise ValueError(f"noise is {noise}: expected a standard deviation above 0; pass 0.7, for example.")

        def real(value: float) -> Tensor:
            return torch.tensor([value], dtype=torch.float64, device="cpu")

        model = LinearGaussian(real(slope)[None], real(0.0), real(noise)[0] ** 2)
        posterior = model.posterior(real(x))
        return cls(posterior.mean.item(), posterior.stddev.item(), model.log_evidence(real(x)).item())


_KL_STEP = 0.02


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


def _pareto_k(draws: Tensor, ratio: float) -> float | None:
    """Pareto k of the weights of N(0, 1) under N(0, ratio²), or None where they have no tail."""
    log_weights = math.log(ratio) + draws.square() * (1 - ratio**2) / 2
    shape = WeightSummary.from_log_weights(log_weights).pareto_k.item()
    return round(shape, 3) if math.isfinite(shape) else None


def _explorer(
    chart: Any,
    params: Sequence[Any],
    values: Sequence[_Value],
    description: str,
    *,
    gutter: int = 0,
    **meta: Any,
) -> Explorer:
    """The chart with its parameters, its values as a title, and what a page needs to make controls of its own."""
    alt = _require("altair")
    spoken = [value for value in values if value.text is not None]
    texts = [_derived(f"{value.name}_text", value.text or "") for value in spoken]
    parts = [f"'{value.label}: ' + {value.name}_text + '{' ' + value.unit if value.unit else ''}'" for value in spoken]
    lines = [" + ' \u00a0·\u00a0 ' + ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    properties: dict[str, Any] = {"padding": {"left": 0, "top": 4, "right": 0, "bottom": 2}}
    if lines:
        properties["title"] = alt.TitleParams(text=alt.expr(f"[{', '.join(lines)}]"), frame="group")
    if isinstance(chart, alt.VConcatChart):
        properties |= {"bounds": "flush", "spacing": 64 if gutter else 48}
    # Altair checks the chart against Vega-Lite's schema, and names data that several layers share.
    with alt.data_transformers.enable("default", consolidate_datasets=True):
        spec = chart.add_params(*params, *texts).properties(**properties).to_dict()
    spec |= {
        "$schema": _SCHEMA,
        "description": description,
        "config": dict(_CONFIG),
        "usermeta": {
            "embedOptions": {"actions": False, "renderer": "svg"},
            "lvmlib": {
                "margin": gutter + _RIGHT,
                "values": [
                    {
                        "label": value.label,
                        "role": value.role,
                        "name": value.name if value.text is None else f"{value.name}_text",
                        "unit": value.unit,
                        "drawn": value.drawn,
                    }
                    for value in values
                ],
                **meta,
            },
        },
    }
    return Explorer(spec)


def _slider(
    name: str, label: str, value: Number, least: Number, most: Number, step: Number, *, argument: str | None = None
) -> Any:
    """A parameter that a slider moves; ``argument`` is what the caller knows its first value as."""
    alt = _require("altair")
    first = _within(argument or name, value, least, most)
    first = min(most, round(least + step * round((first - least) / step), 6) + 0.0)
    return alt.param(name=name, value=first, bind=alt.binding_range(min=least, max=most, step=step, name=f"{label}: "))


def _derived(name: str, formula: str) -> Any:
    return _require("altair").param(name=name, expr=formula)


def _within(name: str, value: Number, least: Number, most: Number) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}: expected a number; convert with float().")
    if not (math.isfinite(value) and least <= value <= most):
        limits = "a finite number" if math.isinf(least) else f"{least:g} to {most:g}"
        raise ValueError(f"{name} is {value}: expected {limits}; choose a value in that range.")
    return float(value)


def _rows(count: int) -> Any:
    """Data of so many rows, for marks whose place is a formula."""
    alt = _require("altair")
    return alt.Chart(alt.Data(values=[{"row": row} for row in range(count)]))


def _label(text: Any, chart: Any, x: Any, y: Any, colour: str, **mark: Any) -> Any:
    return chart.mark_text(text=text, color=colour, fontSize=12, **mark).encode(x=x, y=y)


def _legend(entries: Sequence[tuple[str, str]], *, gap: Number = 125) -> list[Any]:
    """Names in the colours of their curves, in one line above all of them."""
    alt = _require("altair")
    return [
        _rows(1)
        .mark_text(text=text, color=_text(role), fontSize=12, align="left", baseline="top")
        .encode(x=alt.value(6 + gap * i), y=alt.value(0))
        for i, (text, role) in enumerate(entries)
    ]


def _densities(curves: Sequence[tuple[str, str, str, str]], *, domain: tuple[float, float], top: float) -> Any:
    """Normal densities, each given by its role, its label and the formulas of its mean and its width."""
    alt = _require("altair")
    low, high = domain
    x = alt.X("z:Q", title="z", scale=alt.Scale(domain=[low, high], nice=False), axis=_x_axis())
    y = alt.Y("density:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=None)
    layers = [
        alt.Chart(alt.sequence(low, high, (high - low) / 240, as_="z"))
        .transform_calculate(density=f"exp(-pow((datum.z - {mean}) / ({width}), 2) / 2) / ({width} * sqrt(2 * PI))")
        .mark_area(color=PALETTE[role], fillOpacity=0.14, line={"color": PALETTE[role], "strokeWidth": 2}, clip=True)
        .encode(x=x, y=y)
        for role, _, mean, width in curves
    ]
    return alt.layer(*layers, *_legend([(label, role) for role, label, _, _ in curves]))


def _x_axis(**options: Any) -> Any:
    return _require("altair").Axis(**{"tickCount": 6, "grid": False} | options)


def _y_axis(title: str | None = None, **options: Any) -> Any:
    """An axis of fixed extent, so that panels stand one below the other; its title lies flat above it."""
    written = {"title": title, "titleAngle": 0, "titleAlign": "left", "titleX": -_GUTTER + 6, "titleY": -12}
    extent = {"minExtent": _GUTTER, "maxExtent": _GUTTER}
    return _require("altair").Axis(**extent | (written if title else {"title": None}) | options)


def _text(role: str) -> str:
    """The colour of a name: thin strokes need more contrast than areas do, so it leans towards the text's own."""
    return f"color-mix(in srgb, {PALETTE[role]} 68%, currentColor)"


def _power(formula: str) -> str:
    """Vega's expression for an exponent from 0 to 99 in raised figures."""

    def figure(of: str) -> str:
        return f"slice('⁰¹²³⁴⁵⁶⁷⁸⁹', {of}, {of} + 1)"

    tens, ones = f"floor(({formula}) / 10)", f"(({formula}) % 10)"
    return f"(({formula}) >= 10 ? {figure(tens)} : '') + {figure(ones)}"


def _count(log10: str) -> str:
    """Vega's expression for a count that is given by its logarithm: 1,234 or 3.2 × 10¹²."""
    mantissa = f"format(pow(10, {log10} - floor({log10})), '.1f') + ' × 10' + {_power(f'floor({log10})')}"
    return f"{log10} < 6 ? format(ceil(pow(10, {log10}) - 1e-6), ',.0f') : {mantissa}"


def _round_numbers(match: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{3,}(?:e-?\d+)?", lambda number: f"{float(number[0]) + 0.0:.2f}", match[0])


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _require(module: str) -> ModuleType:
    try:
        if module == "altair":
            import altair

            return altair
        import vl_convert

        return vl_convert
    except ImportError as error:
        raise ImportError(
            "lvmlib.explorers needs Altair and vl-convert-python: run `pip install altair vl-convert-python`"
        ) from error
