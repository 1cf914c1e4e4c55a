"""Words inside a figure: labels beside their curves, notes at a point, the line of the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from lvmlib.plots.arguments import Array, Number, as_finite_array
from lvmlib.plots.palette import PALETTE


def label_curves(ax: Axes, curves: Sequence[tuple[Array, Array, str, str]]) -> None:
    """Write each label beside its curve, near the peak and off every curve, or else add a legend."""
    figure = figure_of(ax)
    figure.draw_without_rendering()
    to_screen = ax.transData.transform
    traces = [to_screen(_resample(np.column_stack([x, y]), ax)) for x, y, *_ in curves]
    crossed = np.concatenate(traces)
    frame = ax.get_window_extent()
    unit = figure.dpi / 72
    occupied: list[Bbox] = []
    notes: list[Text] = []
    for (_, _, colour, label), trace in zip(curves, traces, strict=True):
        note = ax.annotate(
            label, (0, 0), xytext=(0, 0), textcoords="offset points", color=colour, va="center", zorder=5
        )
        notes.append(note)
        extent = note.get_window_extent()
        peak = trace[trace[:, 1].argmax()]
        rising = trace[trace[:, 1] >= frame.y0 + 0.15 * (peak[1] - frame.y0)]
        rising = rising[np.linspace(0, len(rising) - 1, 80).astype(int)]
        best: tuple[float, Bbox, Any] | None = None
        for shift in (0.0, 6.0, 14.0):
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (1, 1), (-1, 1)):
                centres = rising + unit * (5 + shift) * np.array([dx, dy])
                centres = centres + np.array([dx, dy]) * np.array([extent.width, extent.height]) / 2
                for centre, anchor in zip(centres, rising, strict=True):
                    half = np.array([extent.width, extent.height]) / 2
                    box = Bbox([centre - half, centre + half])
                    if box.x0 < frame.x0 or box.x1 > frame.x1 + 0.12 * frame.width or box.y1 > frame.y1:
                        continue
                    padded = box.padded(2 * unit)
                    inside = (np.abs(crossed - centre) <= half + 2 * unit).all(axis=1)
                    if inside.any() or any(padded.overlaps(other) for other in occupied):
                        continue
                    cost = float(np.hypot(*(anchor - peak)) + 1.5 * np.hypot(*(centre - anchor)))
                    if best is None or cost < best[0]:
                        best = (cost, box, centre)
        if best is None:
            for written in notes:
                written.remove()
            handles = [Line2D([], [], color=c, label=text) for _, _, c, text in curves]
            ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
            return
        occupied.append(best[1].padded(2 * unit))
        note.xy = tuple(ax.transData.inverted().transform(best[2]))
        note.set_horizontalalignment("center")


def _resample(vertices: Array, ax: Axes) -> Array:
    """Points along a polyline, close enough that no label fits between two of them."""
    along = np.linspace(0, len(vertices) - 1, max(600, len(vertices)))
    return np.column_stack([np.interp(along, np.arange(len(vertices)), column) for column in vertices.T])


def write_at(
    ax: Axes,
    text: str,
    at: tuple[Number, Number],
    offset: tuple[Number, Number],
    colour: str,
    *,
    xycoords: Any = "data",
    ha: str = "left",
    va: str = "center",
) -> None:
    """Text at a point, moved by some points (1/72 inch)."""
    ax.annotate(text, at, xycoords=xycoords, xytext=offset, textcoords="offset points", color=colour, ha=ha, va=va)


def draw_truth(ax: Axes, truth: Number, *, vertical: bool) -> None:
    """A line at the true value, with its name at its end."""
    value = float(as_finite_array("truth", truth, ndim=0))
    colour = PALETTE["evidence"]
    if vertical:
        ax.axvline(value, color=colour, linewidth=1.4)
        write_at(ax, "truth", (value, 1), (0, 3), colour, xycoords=ax.get_xaxis_transform(), ha="center", va="bottom")
    else:
        ax.axhline(value, color=colour, linewidth=1.4)
        write_at(ax, "truth", (1, value), (4, 0), colour, xycoords=ax.get_yaxis_transform())


def figure_of(ax: Axes) -> Figure:
    """The whole figure, also for axes in a part of one."""
    figure = ax.figure
    while not isinstance(figure, Figure):
        figure = figure.figure
    return figure
