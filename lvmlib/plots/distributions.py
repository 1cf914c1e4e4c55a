"""Pictures of distributions: curves, bars, maps, points and contours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from lvmlib.plots.annotations import label_curves, write_at
from lvmlib.plots.arguments import (
    Array,
    ArrayLike,
    Number,
    as_density_table,
    as_finite_array,
    as_increasing_grid,
    trapezoid,
)
from lvmlib.plots.palette import DASHES, PALETTE, colour_of, colour_ramp, role_and_label, style

__all__ = ["contours", "densities", "joint_density", "probabilities", "scatter"]


@style()
def densities(ax: Axes, grid: ArrayLike, curves: Mapping[str, ArrayLike], *, fill: bool = True) -> Axes:
    r"""Named density curves over one grid, each in the colour of its object and labelled at the curve.

    Args:
        ax: Where to draw.
        grid: Increasing abscissae, shape ``(G,)``.
        curves: Values of shape ``(G,)`` under the name of an object in :data:`PALETTE`, which sets the
            colour and the label: ``{"prior": ..., "q": ...}``. A label of one's own follows a colon:
            ``{"q: narrow": ..., "q: wide": ...}``; curves of one colour differ in their dashes.
        fill: Whether to tint the area below each curve.

    Returns:
        ``ax``. Labels stand where they meet no curve; where there is no such room, there is a legend.

    Raises:
        ValueError: If a name is not in the palette, a shape differs from the grid's, the grid does not
            increase, or a value is not finite.
        TypeError: If something is not numeric.
    """
    abscissae = as_increasing_grid("grid", grid)
    if not curves:
        raise ValueError('curves is empty; expected at least one, such as {"prior": values}')
    drawn: list[tuple[Array, str, str, Any]] = []
    for key, values in curves.items():
        role, label = role_and_label(key)
        ordinates = as_finite_array(f"curves[{key!r}]", values, shape=abscissae.shape)
        dashes = DASHES[sum(colour == PALETTE[role] for _, colour, _, _ in drawn) % len(DASHES)]
        drawn.append((ordinates, PALETTE[role], label, dashes))
    for ordinates, colour, label, dashes in drawn:
        if fill:
            ax.fill_between(abscissae, ordinates, color=colour, alpha=0.14, linewidth=0)
        ax.plot(abscissae, ordinates, color=colour, linestyle=dashes, label=label)
    ax.margins(x=0)
    bottom = min(0.0, *(float(values.min()) for values, *_ in drawn))
    top = max(float(values.max()) for values, *_ in drawn)
    ax.set_ylim(bottom, bottom + 1.2 * (top - bottom or 1.0))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.set_ylabel("density")
    label_curves(ax, [(abscissae, values, colour, label) for values, colour, label, _ in drawn])
    return ax


@style()
def probabilities(ax: Axes, tables: Mapping[str, ArrayLike], *, names: Sequence[str] | None = None) -> Axes:
    r"""Probabilities of the values of a discrete variable, as bars side by side.

    Args:
        ax: Where to draw.
        tables: Values of shape ``(Z,)`` under the name of an object, as in :func:`densities`.
        names: What to call the ``Z`` values; 0, 1, ... when omitted.

    Returns:
        ``ax``, with a legend above when there are several tables.

    Raises:
        ValueError: If a name is not in the palette, shapes differ, a value is negative or not finite, or
            there are not as many ``names`` as values.
        TypeError: If something is not numeric.
    """
    if not tables:
        raise ValueError('tables is empty; expected at least one, such as {"prior": values}')
    heights = {key: as_finite_array(f"tables[{key!r}]", values, ndim=1) for key, values in tables.items()}
    first_key, first = next(iter(heights.items()))
    for key, values in heights.items():
        if values.shape != first.shape:
            raise ValueError(
                f"tables[{key!r}] has shape {values.shape}; expected {first.shape}, that of "
                f"tables[{first_key!r}]: give every table the same values of z"
            )
        if (values < 0).any():
            raise ValueError(
                f"tables[{key!r}] holds {values.min():g}; expected probabilities, zero or more: "
                "exponentiate if these are log-probabilities"
            )
    if names is not None and len(names) != first.size:
        raise ValueError(f"names has {len(names)} entries; expected {first.size}, one a value")
    width = 0.8 / len(heights)
    centres = np.arange(first.size)
    for i, (key, values) in enumerate(heights.items()):
        role, label = role_and_label(key)
        offset = (i - (len(heights) - 1) / 2) * width
        ax.bar(centres + offset, values, 0.92 * width, color=PALETTE[role], label=label)
    ax.set_xticks(centres, [str(i) for i in centres] if names is None else list(names))
    ax.tick_params(axis="x", length=0)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.set_ylabel("probability")
    if len(heights) > 1:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handlelength=0.9)
    return ax


@style()
def joint_density(
    ax: Axes,
    z_grid: ArrayLike,
    x_grid: ArrayLike,
    values: ArrayLike,
    *,
    observed: Number | None = None,
) -> Axes:
    r"""The joint density of scalars z and x as a map, with both marginals on its sides.

    .. math:: p(z) = \int p(x, z)\,dx, \qquad p(x) = \int p(x, z)\,dz, \qquad
              p(z \mid x) = \frac{p(x, z)}{p(x)}

    The marginals are integrated from the map by the trapezoidal rule, not passed in: what is on the
    sides is what the map says.

    Args:
        ax: Where the map goes; the marginals stand above it and on its right.
        z_grid: Increasing values of z, shape ``(Z,)``, on the horizontal axis.
        x_grid: Increasing values of x, shape ``(X,)``, on the vertical axis.
        values: ``p(x_j, z_i)`` at row i and column j, shape ``(Z, X)``, as from
            ``torch.meshgrid(z_grid, x_grid, indexing="ij")``.
        observed: A value of x at which to cut: the cut, normalised, is the posterior, drawn over the prior.

    Returns:
        ``ax``; the marginals are its ``child_axes``.

    Raises:
        ValueError: If shapes disagree, a grid does not increase, a value is negative or not finite, or
            ``observed`` lies outside the grid or where the evidence is zero.
        TypeError: If something is not numeric.
    """
    z = as_increasing_grid("z_grid", z_grid)
    x = as_increasing_grid("x_grid", x_grid)
    joint = as_density_table("values", values, (z.size, x.size))
    if observed is not None and not x[0] <= observed <= x[-1]:
        raise ValueError(f"observed is {observed}; expected a value inside x_grid, [{x[0]:g}, {x[-1]:g}]: widen x_grid")
    prior, evidence = trapezoid(joint, x, axis=1), trapezoid(joint, z, axis=0)

    ax.pcolormesh(z, x, joint.T, cmap=colour_ramp("joint"), vmin=0, shading="nearest", rasterized=True)
    ax.set(xlim=(z[0], z[-1]), ylim=(x[0], x[-1]), xlabel="$z$", ylabel="$x$")
    above = ax.inset_axes((0, 1.03, 1, 0.3), sharex=ax)
    beside = ax.inset_axes((1.03, 0, 0.3, 1), sharey=ax)
    for side in (above, beside):
        side.tick_params(labelleft=False, labelbottom=False, left=False, bottom=False)
    above.spines["left"].set_visible(False)
    beside.spines["bottom"].set_visible(False)

    lines = [(z, prior, PALETTE["prior"], "$p(z)$")]
    beside.fill_betweenx(x, evidence, color=PALETTE["evidence"], alpha=0.14, linewidth=0)
    beside.plot(evidence, x, color=PALETTE["evidence"])
    beside.set_xlim(0, 1.15 * evidence.max())
    peak = int(evidence.argmax())
    write_at(beside, "$p(x)$", (float(evidence[peak]), float(x[peak])), (5, 0), PALETTE["evidence"])
    if observed is not None:
        cut = np.array([np.interp(observed, x, row) for row in joint])
        mass = float(trapezoid(cut, z, axis=0))
        if not mass > 0:
            raise ValueError(
                f"observed is {observed}, where the evidence is {mass:g}; expected a value of x with "
                "positive density: choose one nearer to the data"
            )
        lines.append((z, cut / mass, PALETTE["posterior"], r"$p(z \mid x)$"))
        for side in (ax, beside):
            side.axhline(observed, color=PALETTE["posterior"], linewidth=1.2, linestyle=DASHES[1])
    for _, curve, colour, _ in lines:
        above.fill_between(z, curve, color=colour, alpha=0.14, linewidth=0)
        above.plot(z, curve, color=colour)
    above.set_ylim(0, 1.35 * max(float(curve.max()) for _, curve, *_ in lines))
    label_curves(above, lines)
    return ax


@style()
def scatter(ax: Axes, points: ArrayLike, *, role: str = "data", size: Number | None = None) -> Axes:
    """Points in the plane, in the colour of one object.

    Args:
        ax: Where to draw.
        points: Coordinates, shape ``(N, 2)``.
        role: The object's name in :data:`PALETTE`.
        size: Area of a marker in square points; smaller for more points when omitted.

    Returns:
        ``ax``. More than 500 points are drawn as an image, so that the page stays light.

    Raises:
        ValueError: If the shape is not ``(N, 2)``, a value is not finite, or ``role`` is not in the palette.
        TypeError: If ``points`` is not numeric.
    """
    array = as_finite_array("points", points, ndim=2)
    if array.shape[1] != 2:
        raise ValueError(f"points has shape {array.shape}; expected (N, 2): select two coordinates, points[:, :2]")
    crowd = len(array)
    ax.scatter(
        array[:, 0],
        array[:, 1],
        s=size if size is not None else float(np.clip(2000 / crowd, 3, 20)),
        color=colour_of(role),
        alpha=float(np.clip(30 / math.sqrt(crowd), 0.25, 0.85)),
        linewidths=0,
        rasterized=crowd > 500,
    )
    return ax


@style()
def contours(
    ax: Axes,
    x_grid: ArrayLike,
    y_grid: ArrayLike,
    values: ArrayLike,
    *,
    role: str = "posterior",
    mass: Sequence[Number] = (0.25, 0.5, 0.75, 0.95),
    fill: bool = True,
    label: str | None = None,
) -> Axes:
    r"""Highest-density regions of a density in the plane.

    The contour of mass m bounds the smallest set :math:`\{f \ge c\}` that holds the fraction m of what
    the grid holds; the density needs no normalisation.

    Args:
        ax: Where to draw.
        x_grid: Increasing values on the horizontal axis, shape ``(A,)``.
        y_grid: Increasing values on the vertical axis, shape ``(B,)``.
        values: Density at ``(x_grid[i], y_grid[j])``, shape ``(A, B)``.
        role: The object's name in :data:`PALETTE`.
        mass: Fractions strictly between 0 and 1.
        fill: Whether to tint the regions.
        label: A text at the top of the largest region.

    Returns:
        ``ax``.

    Raises:
        ValueError: If shapes disagree, a grid does not increase, a value is negative or not finite, all
            are zero, a fraction is not in (0, 1), or ``role`` is not in the palette.
        TypeError: If something is not numeric.
    """
    x = as_increasing_grid("x_grid", x_grid)
    y = as_increasing_grid("y_grid", y_grid)
    density = as_density_table("values", values, (x.size, y.size))
    fractions = as_finite_array("mass", mass, ndim=1)
    if not ((fractions > 0) & (fractions < 1)).all():
        raise ValueError(f"mass is {tuple(mass)}; expected fractions strictly between 0 and 1")
    colour = colour_of(role)
    held = density * np.gradient(x)[:, None] * np.gradient(y)
    order = density.argsort(axis=None)[::-1]
    enclosed = held.flat[order].cumsum() / held.sum()
    thresholds = density.flat[order][np.searchsorted(enclosed, fractions)]
    levels = np.unique(thresholds)
    if fill:
        ramp = [to_rgba(colour, alpha) for alpha in np.linspace(0.1, 0.45, levels.size)]
        ax.contourf(x, y, density.T, levels=[*levels, np.inf], colors=ramp)
    outline = ax.contour(x, y, density.T, levels=levels, colors=colour, linewidths=1.1)
    if label is not None:
        vertices = np.asarray(outline.get_paths()[0].vertices)
        top = vertices[vertices[:, 1].argmax()]
        write_at(ax, label, (float(top[0]), float(top[1])), (0, 3), colour, ha="center", va="bottom")
    return ax
