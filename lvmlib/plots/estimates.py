"""Pictures of estimates: weights, running estimates, intervals, and the evidence as a bar of two parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from lvmlib.plots.annotations import draw_truth, write_at
from lvmlib.plots.arguments import Array, ArrayLike, Number, as_finite_array, as_log_weights
from lvmlib.plots.palette import DASHES, INK, PALETTE, colour_of, style

__all__ = ["error_bars", "evidence_bar", "running_estimate", "weights"]


@style()
def weights(ax: Axes, log_weights: ArrayLike) -> Axes:
    r"""Normalised importance weights from the largest to the smallest, and what they are worth.

    .. math:: \bar w_k = \frac{w_k}{\sum_j w_j}, \qquad
              \mathrm{ESS} = \frac{1}{\sum_k \bar w_k^2}

    Equal weights would lie on the dashed line at 1/K. Beyond 600 samples only 600 ranks are drawn, evenly
    spaced in the logarithm; all weights count in the numbers. The title names the effective sample size and the
    share of the largest weight.

    Args:
        ax: Where to draw.
        log_weights: One log-weight a sample, shape ``(K,)``; ``-inf`` is a weight of zero.

    Returns:
        ``ax``.

    Raises:
        ValueError: If the shape is not ``(K,)``, a log-weight is NaN or ``+inf``, or all are ``-inf``.
        TypeError: If ``log_weights`` is not numeric.

    References:
        Kong, "A note on importance sampling using standardized weights", 1992 (effective sample size).
    """
    log_w = as_log_weights(log_weights, ndim=1)
    if np.isneginf(log_w).all():
        raise ValueError(
            "log_weights are all -inf; expected one weight above zero: choose a proposal that reaches "
            "where the model puts its mass"
        )
    share = np.sort(np.exp(log_w - log_w.max()))[::-1]
    share /= share.sum()
    ess = 1 / np.square(share).sum()
    drawn = np.unique(np.geomspace(1, share.size, 600).round().astype(int))
    ranks = np.append(drawn, share.size + 1) - 0.5
    ax.stairs(share[drawn - 1], ranks, fill=True, color=PALETTE["q"], alpha=0.35, linewidth=0)
    ax.stairs(share[drawn - 1], ranks, color=PALETTE["q"], linewidth=1.5)
    ax.axhline(1 / share.size, color=INK, linewidth=1, linestyle=DASHES[1])
    write_at(ax, "$1/K$", (1, 1 / share.size), (4, 0), INK, xycoords=ax.get_yaxis_transform())
    if share.size > 30:
        ax.set_xscale("log")
    ax.set(xlim=(ranks[0], ranks[-1]), ylim=(0, 1.08 * share[0]))
    ax.set(xlabel="rank of the sample", ylabel="share of all weight")
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.set_title(f"ESS {_format_count(ess)} of {share.size:,} samples; largest weight {_format_percent(share[0])}")
    return ax


@style()
def running_estimate(ax: Axes, log_weights: ArrayLike, *, truth: Number | None = None, role: str = "q") -> Axes:
    r"""How an estimate of the log evidence settles, one thin line a repetition.

    .. math:: \hat\ell_k = \log \frac1k \sum_{j=1}^{k} w_j, \qquad k = 1, \dots, K

    Args:
        ax: Where to draw; its horizontal axis becomes logarithmic.
        log_weights: R repetitions of K log-weights, shape ``(R, K)``; ``-inf`` is a weight of zero. (A
            tensor from ``log_weights(model, q, x, K)`` has samples first: transpose it.)
        truth: The log evidence, drawn as a line.
        role: The proposal's name in :data:`PALETTE`: ``"prior"`` for prior Monte Carlo.

    Returns:
        ``ax``. Lines hold the estimate at up to 400 sample sizes, evenly spaced in log k, the first and
        the last among them; there is a gap where all weights so far are zero.

    Raises:
        ValueError: If the shape is not ``(R, K)``, a log-weight is NaN or ``+inf``, ``truth`` is not
            finite, or ``role`` is not in the palette.
        TypeError: If ``log_weights`` is not numeric.
    """
    log_w = as_log_weights(log_weights, ndim=2)
    colour = colour_of(role)
    repetitions, count = log_w.shape
    sizes = np.unique(np.geomspace(1, count, 400).round().astype(int))
    estimates = np.logaddexp.accumulate(log_w, axis=1)[:, sizes - 1] - np.log(sizes)
    estimates[np.isneginf(estimates)] = np.nan
    alpha = float(np.clip(3 / repetitions, 0.45, 0.9))
    for estimate in estimates:
        ax.plot(sizes, estimate, color=colour, alpha=alpha, linewidth=0.9)
    ax.set_xscale("log")
    ax.set(xlim=(1, max(count, 2)), xlabel="samples", ylabel=r"estimate of $\log p(x)$, nats")
    if truth is not None:
        draw_truth(ax, truth, vertical=False)
    return ax


@style()
def error_bars(
    ax: Axes,
    names: Sequence[str],
    estimates: ArrayLike,
    std_errors: ArrayLike,
    *,
    truth: Number | None = None,
    role: str = "q",
) -> Axes:
    r"""Estimates with their 95 % intervals, one a row from the top, against the truth.

    .. math:: \hat\ell \pm 1.96\,\widehat{\mathrm{se}}

    Args:
        ax: Where to draw.
        names: What each row is, N of them.
        estimates: Shape ``(N,)``.
        std_errors: Standard errors, shape ``(N,)``, zero or more.
        truth: The true value, drawn as a line.
        role: The name of the estimates' colour in :data:`PALETTE`.

    Returns:
        ``ax``.

    Raises:
        ValueError: If the numbers of rows disagree, a standard error is negative, something is not finite,
            or ``role`` is not in the palette.
        TypeError: If something is not numeric.
    """
    centres = as_finite_array("estimates", estimates, shape=(len(names),))
    errors = as_finite_array("std_errors", std_errors, shape=(len(names),))
    if (errors < 0).any():
        raise ValueError(f"std_errors holds {errors.min():g}; expected zero or more: drop the minus sign")
    rows = np.arange(len(names))
    ax.errorbar(
        centres, rows, xerr=1.96 * errors, fmt="o", markersize=5, color=colour_of(role), capsize=3, linewidth=1.5
    )
    ax.set_yticks(rows, list(names))
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if truth is not None:
        draw_truth(ax, truth, vertical=True)
    return ax


@style()
def evidence_bar(
    ax: Axes,
    log_evidence: Number | Tensor,
    elbo: Number | ArrayLike,
    kl: Number | ArrayLike | None = None,
    *,
    labels: Sequence[str] = ("$q$",),
) -> Axes:
    r"""The log evidence as one bar of two parts, for one or several q.

    .. math:: \log p(x) = \mathrm{ELBO}(q) + \mathrm{KL}\bigl(q(z) \,\Vert\, p(z \mid x)\bigr)

    Every bar ends at the log evidence, whatever q; the upper part is the KL divergence, to scale. These
    are logarithms of densities, often below zero, and have no natural bottom: the bars go on below the
    picture, which their torn lower edge says.

    Args:
        ax: Where to draw.
        log_evidence: :math:`\log p(x)` in nats.
        elbo: One number, or one for each q, shape ``(Q,)``, in nats.
        kl: As ``elbo``; the difference when omitted.
        labels: What each q is called.

    Returns:
        ``ax``.

    Raises:
        ValueError: If numbers of entries disagree, something is not finite, a KL is negative, an ELBO
            lies above the log evidence, or the two parts do not sum to the whole within 1e-4 of it.
        TypeError: If something is not numeric.
    """
    whole = float(as_finite_array("log_evidence", log_evidence, ndim=0))
    lower = np.atleast_1d(as_finite_array("elbo", elbo))
    shape = (len(labels),)
    if lower.shape != shape:
        raise ValueError(
            f"elbo has shape {lower.shape} and labels {len(labels)} entries; expected one label for each q"
        )
    tolerance = 1e-4 * max(1.0, abs(whole))
    gap = whole - lower if kl is None else np.atleast_1d(as_finite_array("kl", kl))
    if gap.shape != shape:
        raise ValueError(f"kl has shape {gap.shape}; expected {shape}, that of elbo: give one for each q")
    if (gap < -tolerance).any():
        name, value = ("elbo", lower.max()) if kl is None else ("kl", gap.min())
        raise ValueError(
            f"{name} holds {value:g} with log_evidence {whole:g}; expected elbo <= log_evidence and "
            "kl >= 0: check signs, and draw estimates with error_bars instead"
        )
    missed = np.abs(lower + gap - whole).max()
    if missed > tolerance:
        raise ValueError(
            f"elbo + kl misses log_evidence ({whole:g}) by {missed:g}; expected the two parts to sum to the "
            "whole: omit kl to draw the difference"
        )
    gap = np.clip(gap, 0, None)
    reach = float(gap.max()) if gap.max() > tolerance else 1.0
    floor = whole - 1.6 * reach
    columns = [float(i) for i in range(len(labels))]

    for column, top, length in zip(columns, whole - gap, gap, strict=True):
        outline = _torn_bar(column - 0.4, column + 0.4, floor, top, tooth=0.05 * reach)
        ax.add_patch(Polygon(outline, closed=True, facecolor=to_rgba(PALETTE["elbo"], 0.5)))
        ax.add_patch(Rectangle((column - 0.4, top), 0.8, length, facecolor=to_rgba(PALETTE["kl"], 0.5)))
        roomy = length > 0.22 * reach
        write_at(ax, f"ELBO\n{_format_nats(top)}", (column, top), (0, -5), INK, ha="center", va="top")
        if roomy:
            write_at(ax, f"KL\n{_format_nats(length)}", (column, top + length / 2), (0, 0), INK, ha="center")
        else:
            write_at(ax, f"KL {_format_nats(length)}", (column, whole), (0, 4), INK, ha="center", va="bottom")
    ax.axhline(whole, color=PALETTE["evidence"], linewidth=2)
    side = ax.get_yaxis_transform()
    write_at(ax, f"$\\log p(x)$\n{_format_nats(whole)}", (1, whole), (5, 0), PALETTE["evidence"], xycoords=side)
    ax.set(xlim=(-0.5, len(labels) - 0.5), ylim=(floor, whole + 0.1 * reach), ylabel="nats")
    ax.set_xticks(columns, list(labels))
    ax.tick_params(axis="x", length=0)
    ax.spines["bottom"].set_visible(False)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    return ax


def _torn_bar(left: float, right: float, floor: float, top: float, *, tooth: float) -> Array:
    """A rectangle whose lower edge is a zigzag, vertices of shape ``(V, 2)``."""
    across = np.linspace(right, left, 13)
    edge = floor + tooth * (1 + np.arange(13) % 2)
    return np.array([(left, top), (right, top), *zip(across, edge, strict=True)])


def _format_nats(value: float) -> str:
    """Two decimals, with a minus sign that is one, and no minus before zero."""
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def _format_count(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _format_percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
