r"""Pictures for the chapters: one palette, right on light and on dark pages.

A figure is shown as inline SVG. Whatever is drawn in black (text, axes, ticks, arrows) becomes
``currentColor`` and takes the colour of the page's text; the background is transparent; the objects of
the subject have one colour each, from :data:`PALETTE`, that reads on white and on dark alike.

A chapter makes a figure, draws on its axes and shows it::

    figure, ax = plots.subplots()
    plots.densities(ax, grid, {"prior": prior, "posterior": posterior})
    plots.show(figure, alt="The posterior is narrower than the prior and lies to its right.")

Nothing here changes matplotlib's settings or its backend. Arguments called ``ArrayLike`` take a tensor
on any device (gradients are dropped), a NumPy array or a nested sequence.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import math
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import matplotlib.style
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, FancyArrowPatch, Polygon, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from torch import Tensor

__all__ = [
    "INK",
    "PALETTE",
    "Picture",
    "contours",
    "densities",
    "error_bars",
    "evidence_bar",
    "graphical_model",
    "images",
    "joint_density",
    "probabilities",
    "running_estimate",
    "scatter",
    "show",
    "style",
    "subplots",
    "weights",
]

Array: TypeAlias = npt.NDArray[np.float64]
Number: TypeAlias = float | int
ArrayLike: TypeAlias = Tensor | npt.NDArray[Any] | Sequence[Any]

PALETTE: Mapping[str, str] = MappingProxyType(
    {
        "prior": "#0096ff",
        "likelihood": "#de7808",
        "posterior": "#b63660",
        "q": "#13a850",
        "evidence": "#814bb7",
        "elbo": "#009fc3",
        "kl": "#ff554d",
        "joint": "#79651f",
        "data": "#7e97a0",
    }
)
"""One colour for each object of the subject. Each has a contrast of at least 3 to 1 (WCAG 2.2, 1.4.11)
against white and against the dark page ``#14181e``, and any two stay apart for a reader who does not
see red and green apart."""

INK = "#000000"
"""The colour of the page's text: black until :func:`show` turns it into ``currentColor``."""

_NAMES: Mapping[str, str] = {
    "prior": r"prior $p(z)$",
    "likelihood": r"likelihood $p(x \mid z)$",
    "posterior": r"posterior $p(z \mid x)$",
    "q": r"$q(z)$",
    "evidence": r"evidence $p(x)$",
    "elbo": "ELBO",
    "kl": "KL",
    "joint": r"joint $p(x, z)$",
    "data": "data",
}

_MATH_FONT = "dejavuserif"
_MAX_WIDTH = 7.0
_RASTER_DPI = 200
_TEXT_COLOUR = r"color-mix(in srgb, \1 68%, currentColor)"
_INK_IMAGE = "lvm-ink"
_INK_FILTER = (
    f'<defs><filter id="{_INK_IMAGE}-filter" x="0" y="0" width="1" height="1" '
    'color-interpolation-filters="sRGB"><feFlood flood-color="currentColor"/>'
    '<feComposite in2="SourceAlpha" operator="in"/></filter></defs>'
)
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_STYLE: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.formatter.use_mathtext": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=list(PALETTE.values())),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.5,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "mathtext.fontset": _MATH_FONT,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "lvmlib",
    "svg.image_inline": True,
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 9,
    "ytick.color": INK,
    "ytick.labelsize": 9,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The course's matplotlib settings inside a ``with`` block; the reader's own ones again after it.

    The functions of this module use it by themselves. It is needed only around plain matplotlib calls
    that create text or legends on a machine whose defaults are not matplotlib's.
    """
    with matplotlib.style.context(["default", dict(_STYLE)]):
        yield


class Picture:
    r"""A finished picture: inline SVG that takes the page's text colour, with a text for those who cannot see it.

    Making one closes the figure in pyplot, so that Jupyter does not draw it a second time. The same
    figure gives the same bytes, and no identifier in it meets one of another picture on the page. (To
    show one figure at two places of a page, give it another ``alt`` at the second: a copy shares its
    identifiers with the first, and loses its clipping while the first is folded away.)

    Args:
        figure: The figure, from :func:`subplots` or from matplotlib. Black becomes the page's text colour.
        alt: What to see in the picture, in a sentence.

    Raises:
        TypeError: If ``figure`` is not a matplotlib figure or ``alt`` not a string.
        ValueError: If ``alt`` is empty.
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        if not isinstance(figure, Figure):
            raise TypeError(
                f"figure is of type {type(figure).__name__}; expected a matplotlib Figure: "
                "take it from plots.subplots()"
            )
        if not isinstance(alt, str):
            raise TypeError(f"alt is {alt!r} of type {type(alt).__name__}; expected a string that says what to see")
        if not alt.strip():
            raise ValueError(
                f"alt is {alt!r}; expected a sentence: say what to see, for readers who cannot see the picture"
            )
        self.alt = " ".join(alt.split())
        self._svg = _page_svg(figure, self.alt)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close(figure)

    def _repr_html_(self) -> str:
        return self._svg

    def __repr__(self) -> str:
        return f"Picture({textwrap.shorten(self.alt, 80, placeholder='…')!r})"

    def save(self, path: str | Path) -> None:
        """Write the picture as an SVG file that follows the light or dark mode of whoever shows it.

        Args:
            path: The file, ending in ``.svg``.

        Raises:
            ValueError: If the name does not end in ``.svg``.
        """
        path = Path(path)
        if path.suffix != ".svg":
            raise ValueError(f"path is {str(path)!r}; expected a name that ends in .svg: rename the file")
        mode = "<style>:root{color:#1f2328}@media (prefers-color-scheme:dark){:root{color:#e6edf3}}</style>"
        head, title, rest = self._svg.partition("</title>")
        path.write_text(f"{head}{title}{mode}{rest}\n", encoding="utf-8")


def show(figure: Figure | Axes, *, alt: str) -> Picture:
    """The last line of a plotting cell: the finished picture of a figure.

    Args:
        figure: A figure, or any axes in it.
        alt: What to see in the picture, in a sentence.

    Returns:
        The picture, which Jupyter and the book show as inline SVG.

    Raises:
        TypeError: If ``figure`` is neither a figure nor axes, or ``alt`` is not a string.
        ValueError: If ``alt`` is empty.
    """
    return Picture(_figure_of(figure) if isinstance(figure, Axes) else figure, alt)


@style()
def subplots(
    nrows: int = 1,
    ncols: int = 1,
    *,
    size: tuple[Number, Number] | None = None,
    sharex: bool = False,
    sharey: bool = False,
    width_ratios: Sequence[Number] | None = None,
    height_ratios: Sequence[Number] | None = None,
) -> tuple[Figure, Any]:
    """A figure in the course's style, without pyplot.

    Args:
        nrows, ncols: How many axes.
        size: Width and height in inches, at most 7 wide: a page on a telephone shows 3.6 inches, and
            text that shrinks further is not read. Omitted: 5.2 wide for one column, 6.2 for more.
        sharex, sharey: Whether axes share their limits, as in matplotlib.
        width_ratios, height_ratios: Relative sizes of the columns and rows.

    Returns:
        The figure, and its axes: one ``Axes``, or an array of them shaped as in ``pyplot.subplots``.

    Raises:
        ValueError: If ``nrows`` or ``ncols`` is below 1, or a size is not positive or wider than 7.
    """
    for name, count in (("nrows", nrows), ("ncols", ncols)):
        if count < 1:
            raise ValueError(f"{name} is {count}; expected 1 or more: ask for at least one axes")
    if size is None:
        width = 5.2 if ncols == 1 else 6.2
        size = (width, nrows * (3.1 if ncols == 1 else max(2.2, 0.8 * width / ncols)))
    if not (0 < size[0] <= _MAX_WIDTH and 0 < size[1] < math.inf):
        raise ValueError(
            f"size is {size}; expected inches, width in (0, {_MAX_WIDTH:g}] and height above 0: "
            "use fewer columns, or more rows"
        )
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(
        nrows, ncols, sharex=sharex, sharey=sharey, width_ratios=width_ratios, height_ratios=height_ratios
    )
    for ax in figure.axes:
        # Ticks are made when they are drawn, by then outside the style: fix what they look like now.
        ax.tick_params(color=INK, labelcolor=INK, labelsize=9, width=0.8)
    return figure, axes


@style()
def graphical_model(
    *,
    theta: bool = True,
    phi: bool = False,
    plate: str | None = "N",
    latent: str = "z",
    observed: str = "x",
) -> Figure:
    r"""The directed graph of a latent variable model, with a plate around what is repeated.

    .. math:: p_\theta(x_{1:N}, z_{1:N}) = \prod_{n=1}^{N} p_\theta(z_n)\, p_\theta(x_n \mid z_n)

    The observed node is shaded, parameters are dots, and the guide :math:`q_\phi(z \mid x)` is drawn
    with dashed arrows in its own colour.

    Args:
        theta: Whether to draw the model's parameters.
        phi: Whether to draw the guide and its parameters.
        plate: How often the pair is repeated, as mathematics; None draws no plate.
        latent, observed: Names of the two variables, as mathematics.

    Returns:
        A figure of its own size, for :func:`show`.

    Raises:
        ImportError: If daft-pgm is not installed.

    References:
        Buntine, "Operations for learning with graphical models", *JAIR* 2, 1994 (plates).
    """
    try:
        import daft
    except ImportError as error:
        raise ImportError(
            "plots.graphical_model draws with daft, which is not installed: run `pip install daft-pgm`"
        ) from error
    from matplotlib import pyplot

    pgm = daft.PGM(node_unit=1.05, grid_unit=2.1, line_width=1.1, node_fc="none", plate_fc="none")
    index = "_n" if plate is not None else ""
    arrow: dict[str, Any] = {"fc": INK, "ec": INK, "head_width": 0.12, "head_length": 0.2}
    guide: dict[str, Any] = {"color": PALETTE["q"], "linewidth": 1.4, "linestyle": (0, (4, 2))}
    pgm.add_node("z", f"${latent}{index}$", 0, 1.15, fontsize=13)
    pgm.add_node("x", f"${observed}{index}$", 0, 0, observed=True, fontsize=13)
    pgm.add_edge("z", "x", plot_params=arrow)
    if theta:
        pgm.add_node("theta", r"$\theta$", -1.2, 0.575, fixed=True, offset=(0, 4), fontsize=13)
        pgm.add_edge("theta", "z", plot_params=arrow)
        pgm.add_edge("theta", "x", plot_params=arrow)
    if phi:
        pgm.add_node("phi", r"$\phi$", 1.2, 0.575, fixed=True, offset=(0, 4), fontsize=13)
    if plate is not None:
        pgm.add_plate((-0.6, -0.6, 1.2, 2.3), label=f"${plate}$", position="bottom right", fontsize=11)
    pgm.render()
    figure: Figure = pgm.figure
    pyplot.close(figure)

    (ax,) = figure.axes
    nodes = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    for patch in nodes:
        if patch.get_facecolor()[:3] == (0.7, 0.7, 0.7):  # daft's fixed grey for what is observed
            patch.set_alpha(None)
            patch.set_facecolor(to_rgba(INK, 0.22))
            patch.set_edgecolor("none")
    if phi:
        z, x, dot = nodes[0], nodes[1], nodes[-1]
        for start, bend in ((dot, 0.0), (x, 0.5)):
            ax.add_patch(
                FancyArrowPatch(
                    start.center,
                    z.center,
                    patchA=start,
                    patchB=z,
                    shrinkA=2,
                    shrinkB=2,
                    arrowstyle="-|>",
                    mutation_scale=11,
                    connectionstyle=f"arc3,rad={bend}",
                    **guide,
                )
            )
    return figure


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
    abscissae = _increasing("grid", grid)
    if not curves:
        raise ValueError('curves is empty; expected at least one, such as {"prior": values}')
    drawn: list[tuple[Array, str, str, Any]] = []
    for key, values in curves.items():
        role, label = _role(key)
        ordinates = _array(f"curves[{key!r}]", values, shape=abscissae.shape)
        dashes = _DASHES[sum(colour == PALETTE[role] for _, colour, _, _ in drawn) % len(_DASHES)]
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
    _label_curves(ax, [(abscissae, values, colour, label) for values, colour, label, _ in drawn])
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
    heights = {key: _array(f"tables[{key!r}]", values, ndim=1) for key, values in tables.items()}
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
        role, label = _role(key)
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
    z = _increasing("z_grid", z_grid)
    x = _increasing("x_grid", x_grid)
    joint = _density("values", values, (z.size, x.size))
    if observed is not None and not x[0] <= observed <= x[-1]:
        raise ValueError(f"observed is {observed}; expected a value inside x_grid, [{x[0]:g}, {x[-1]:g}]: widen x_grid")
    prior, evidence = _trapezoid(joint, x, axis=1), _trapezoid(joint, z, axis=0)

    ax.pcolormesh(z, x, joint.T, cmap=_ramp("joint"), vmin=0, shading="nearest", rasterized=True)
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
    _note(beside, "$p(x)$", (float(evidence[peak]), float(x[peak])), (5, 0), PALETTE["evidence"])
    if observed is not None:
        cut = np.array([np.interp(observed, x, row) for row in joint])
        mass = float(_trapezoid(cut, z, axis=0))
        if not mass > 0:
            raise ValueError(
                f"observed is {observed}, where the evidence is {mass:g}; expected a value of x with "
                "positive density: choose one nearer to the data"
            )
        lines.append((z, cut / mass, PALETTE["posterior"], r"$p(z \mid x)$"))
        for side in (ax, beside):
            side.axhline(observed, color=PALETTE["posterior"], linewidth=1.2, linestyle=_DASHES[1])
    for _, curve, colour, _ in lines:
        above.fill_between(z, curve, color=colour, alpha=0.14, linewidth=0)
        above.plot(z, curve, color=colour)
    above.set_ylim(0, 1.35 * max(float(curve.max()) for _, curve, *_ in lines))
    _label_curves(above, lines)
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
    array = _array("points", points, ndim=2)
    if array.shape[1] != 2:
        raise ValueError(f"points has shape {array.shape}; expected (N, 2): select two coordinates, points[:, :2]")
    crowd = len(array)
    ax.scatter(
        array[:, 0],
        array[:, 1],
        s=size if size is not None else float(np.clip(2000 / crowd, 3, 20)),
        color=_colour(role),
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
    x = _increasing("x_grid", x_grid)
    y = _increasing("y_grid", y_grid)
    density = _density("values", values, (x.size, y.size))
    fractions = _array("mass", mass, ndim=1)
    if not ((fractions > 0) & (fractions < 1)).all():
        raise ValueError(f"mass is {tuple(mass)}; expected fractions strictly between 0 and 1")
    colour = _colour(role)
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
        _note(ax, label, (float(top[0]), float(top[1])), (0, 3), colour, ha="center", va="bottom")
    return ax


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
    log_w = _log_weights(log_weights, ndim=1)
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
    ax.axhline(1 / share.size, color=INK, linewidth=1, linestyle=_DASHES[1])
    _note(ax, "$1/K$", (1, 1 / share.size), (4, 0), INK, xycoords=ax.get_yaxis_transform())
    if share.size > 30:
        ax.set_xscale("log")
    ax.set(xlim=(ranks[0], ranks[-1]), ylim=(0, 1.08 * share[0]))
    ax.set(xlabel="rank of the sample", ylabel="share of all weight")
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.set_title(f"ESS {_count(ess)} of {share.size:,} samples; largest weight {_percent(share[0])}")
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
    log_w = _log_weights(log_weights, ndim=2)
    colour = _colour(role)
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
        _truth_line(ax, truth, vertical=False)
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
    centres = _array("estimates", estimates, shape=(len(names),))
    errors = _array("std_errors", std_errors, shape=(len(names),))
    if (errors < 0).any():
        raise ValueError(f"std_errors holds {errors.min():g}; expected zero or more: drop the minus sign")
    rows = np.arange(len(names))
    ax.errorbar(centres, rows, xerr=1.96 * errors, fmt="o", markersize=5, color=_colour(role), capsize=3, linewidth=1.5)
    ax.set_yticks(rows, list(names))
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if truth is not None:
        _truth_line(ax, truth, vertical=True)
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
    whole = float(_array("log_evidence", log_evidence, ndim=0))
    lower = np.atleast_1d(_array("elbo", elbo))
    shape = (len(labels),)
    if lower.shape != shape:
        raise ValueError(
            f"elbo has shape {lower.shape} and labels {len(labels)} entries; expected one label for each q"
        )
    tolerance = 1e-4 * max(1.0, abs(whole))
    gap = whole - lower if kl is None else np.atleast_1d(_array("kl", kl))
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
        _note(ax, f"ELBO\n{_nats(top)}", (column, top), (0, -5), INK, ha="center", va="top")
        if roomy:
            _note(ax, f"KL\n{_nats(length)}", (column, top + length / 2), (0, 0), INK, ha="center")
        else:
            _note(ax, f"KL {_nats(length)}", (column, whole), (0, 4), INK, ha="center", va="bottom")
    ax.axhline(whole, color=PALETTE["evidence"], linewidth=2)
    side = ax.get_yaxis_transform()
    _note(ax, f"$\\log p(x)$\n{_nats(whole)}", (1, whole), (5, 0), PALETTE["evidence"], xycoords=side)
    ax.set(xlim=(-0.5, len(labels) - 0.5), ylim=(floor, whole + 0.1 * reach), ylabel="nats")
    ax.set_xticks(columns, list(labels))
    ax.tick_params(axis="x", length=0)
    ax.spines["bottom"].set_visible(False)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    return ax


@style()
def images(
    ax: Axes,
    pixels: ArrayLike,
    *,
    ncols: int | None = None,
    titles: Sequence[str] | None = None,
    role: str | None = None,
    signed: bool = False,
) -> Axes:
    r"""Small images in rows, drawn as ink on the page: zero is the page itself, one is full ink.

    On a dark page the ink is light.

    Args:
        ax: Where to draw; its axis is switched off.
        pixels: Images, shape ``(N, H, W)``, or ``(N, P)`` with P a square number such as 64.
        ncols: Images in a row; up to ten when omitted.
        titles: A short text above each image, N of them.
        role: The ink's name in :data:`PALETTE`; the page's text colour when omitted.
        signed: For columns of a weight matrix: values are divided by the largest magnitude, positive ones
            drawn in the ``"likelihood"`` colour and negative ones in the ``"prior"`` colour. Otherwise
            values are clipped to [0, 1].

    Returns:
        ``ax``.

    Raises:
        ValueError: If the shape is neither of the two, ``ncols`` is below 1, there are not N titles, a
            value is not finite, or ``role`` is not in the palette.
        TypeError: If ``pixels`` is not numeric.
    """
    tiles = _array("pixels", pixels)
    side = math.isqrt(tiles.shape[1]) if tiles.ndim == 2 else 0
    if tiles.ndim == 2 and side * side == tiles.shape[1]:
        tiles = tiles.reshape(len(tiles), side, side)
    if tiles.ndim != 3:
        raise ValueError(
            f"pixels has shape {tiles.shape}; expected (N, H, W), or (N, P) with P a square number: "
            "reshape it, and give a single image a first axis with pixels[None]"
        )
    count, height, width = tiles.shape
    if ncols is None:
        ncols = min(count, 10)
    if ncols < 1:
        raise ValueError(f"ncols is {ncols}; expected 1 or more: leave it out for up to ten")
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles has {len(titles)} entries; expected {count}, one an image")
    colour = INK if role is None else _colour(role)

    strength = np.abs(tiles) / (np.abs(tiles).max() or 1.0) if signed else np.clip(tiles, 0, 1)
    inked = np.empty((*tiles.shape, 4))
    inked[..., :3] = to_rgba(colour)[:3]
    if signed:
        inked[..., :3] = np.where(
            tiles[..., None] < 0, to_rgba(PALETTE["prior"])[:3], to_rgba(PALETTE["likelihood"])[:3]
        )
    inked[..., 3] = strength

    gap = 0.12 * height
    step = height + gap + (0.38 * height if titles is not None else 0.0)
    for i, tile in enumerate(inked):
        row, column = divmod(i, ncols)
        left, top = column * (width + gap), -row * step
        extent = (left, left + width, top - height, top)
        ax.add_patch(Rectangle((left, top - height), width, height, color=INK, alpha=0.06, linewidth=0))
        shown = ax.imshow(tile, extent=extent, interpolation="none", zorder=2)
        if role is None and not signed:
            shown.set_gid(_INK_IMAGE)
        if titles is not None:
            ax.text(left + width / 2, top + 0.06 * height, titles[i], ha="center", va="bottom", fontsize=9)
    rows = -(-count // ncols)
    room = 0.38 * height if titles is not None else 0.0
    ax.set_xlim(0, min(ncols, count) * (width + gap) - gap)
    ax.set_ylim(-(rows - 1) * step - height, room)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _page_svg(figure: Figure, alt: str) -> str:
    """Matplotlib's SVG, made fit to stand in a page among others."""
    for legend in figure.findobj(Legend):
        legend.set_frame_on(False)
    for text in figure.findobj(Text):
        text.set_math_fontfamily(_MATH_FONT)
    buffer = io.StringIO()
    with style():
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            dpi=_RASTER_DPI,
            bbox_inches="tight",
            pad_inches=0.04,
            metadata={"Date": None},
        )
    source = buffer.getvalue()
    opening = re.search(r'<svg[^>]*viewBox="([^"]+)"[^>]*>', source)
    assert opening is not None, "matplotlib wrote an SVG without a viewBox"
    view_box = opening[1]
    body = source[opening.end() : source.rindex("</svg>")]

    # The style sheet has the selector "*", which in a page would restyle everything: what it says is
    # said on the root below. Comments and metadata are for editors.
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href").replace(INK, "currentColor")
    # Hundredths of a point are invisible, and survive another CPU where the sixth decimal does not.
    body = re.sub(r'\b(?:d|x|y|points)="[^"]*"|translate\([^)]*\)', _round_numbers, body)

    # Thin strokes need more contrast than areas do: names lean towards the page's own text colour.
    body = re.sub(r'<g style="fill: (#[0-9a-f]{6})', rf'<g style="fill: {_TEXT_COLOUR}', body)
    if f'id="{_INK_IMAGE}"' in body:
        body = _INK_FILTER + body.replace(f'id="{_INK_IMAGE}"', f'filter="url(#{_INK_IMAGE}-filter)"')

    referenced = set(re.findall(r'(?:url\(|href=")#([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in referenced else "", body)
    body = re.sub(r">\s+<", "><", re.sub(r"\s+", " ", body)).replace("<defs></defs>", "").strip()
    digest = hashlib.sha256(f"{alt}\n{body}".encode()).hexdigest()[:12]
    body = re.sub(r'( id="|url\(#|href="#)(?!data:)', rf"\g<1>lvm-{digest}-", body)

    width = float(view_box.split()[2]) * 96 / 72
    label = html.escape(alt)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lvm-picture" role="img" aria-label="{label}" '
        f'viewBox="{view_box}" fill="currentColor" stroke-linejoin="round" stroke-linecap="butt" '
        f'style="display:block;width:100%;max-width:{width:.0f}px;height:auto">'
        f"<title>{label}</title>{body}</svg>"
    )


def _round_numbers(match: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d+(?:e-?\d+)?", lambda number: f"{float(number[0]) + 0.0:.2f}", match[0])


def _label_curves(ax: Axes, curves: Sequence[tuple[Array, Array, str, str]]) -> None:
    """Write each label beside its curve, near the peak and off every curve, or else add a legend."""
    figure = _figure_of(ax)
    figure.draw_without_rendering()
    to_screen = ax.transData.transform
    traces = [to_screen(_dense(np.column_stack([x, y]), ax)) for x, y, *_ in curves]
    crossed = np.concatenate(traces)
    frame = ax.get_window_extent()
    unit = figure.dpi / 72
    taken: list[Bbox] = []
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
                    if inside.any() or any(padded.overlaps(other) for other in taken):
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
        taken.append(best[1].padded(2 * unit))
        note.xy = tuple(ax.transData.inverted().transform(best[2]))
        note.set_horizontalalignment("center")


def _dense(vertices: Array, ax: Axes) -> Array:
    """Points along a polyline, close enough that no label fits between two of them."""
    along = np.linspace(0, len(vertices) - 1, max(600, len(vertices)))
    return np.column_stack([np.interp(along, np.arange(len(vertices)), column) for column in vertices.T])


def _note(
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


def _truth_line(ax: Axes, truth: Number, *, vertical: bool) -> None:
    value = float(_array("truth", truth, ndim=0))
    colour = PALETTE["evidence"]
    if vertical:
        ax.axvline(value, color=colour, linewidth=1.4)
        _note(ax, "truth", (value, 1), (0, 3), colour, xycoords=ax.get_xaxis_transform(), ha="center", va="bottom")
    else:
        ax.axhline(value, color=colour, linewidth=1.4)
        _note(ax, "truth", (1, value), (4, 0), colour, xycoords=ax.get_yaxis_transform())


def _torn_bar(left: float, right: float, floor: float, top: float, *, tooth: float) -> Array:
    """A rectangle whose lower edge is a zigzag, vertices of shape ``(V, 2)``."""
    across = np.linspace(right, left, 13)
    edge = floor + tooth * (1 + np.arange(13) % 2)
    return np.array([(left, top), (right, top), *zip(across, edge, strict=True)])


def _figure_of(ax: Axes) -> Figure:
    """The whole figure, also for axes in a part of one."""
    figure = ax.figure
    while not isinstance(figure, Figure):
        figure = figure.figure
    return figure


def _ramp(role: str) -> LinearSegmentedColormap:
    """From nothing to the full colour, so that low values show the page, whatever its colour."""
    colour = PALETTE[role]
    return LinearSegmentedColormap.from_list(f"lvm-{role}", [to_rgba(colour, 0.0), to_rgba(colour, 1.0)])


def _colour(role: str) -> str:
    if role not in PALETTE:
        raise ValueError(f"role is {role!r}; expected the name of an object, one of {', '.join(PALETTE)}")
    return PALETTE[role]


def _role(key: str) -> tuple[str, str]:
    """``"q: wide"`` is the role q and the label "wide"; ``"q"`` alone has the label of the book."""
    role, colon, label = (part.strip() for part in key.partition(":"))
    if role not in PALETTE:
        raise ValueError(
            f"a curve is called {key!r}; expected one of {', '.join(PALETTE)}, which sets its colour: "
            'add a label of your own after a colon, as in "q: wide"'
        )
    return role, label if colon else _NAMES[role]


def _array(name: str, value: Any, *, ndim: int | None = None, shape: tuple[int, ...] | None = None) -> Array:
    """The value as finite float64, of the dimension or shape that is asked for."""
    array = _numeric(name, value, ndim=ndim, shape=shape)
    if not np.isfinite(array).all():
        wrong = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{name} holds {array[wrong]} at index {wrong}; expected finite numbers: mask or clip it first"
        )
    return array


def _numeric(name: str, value: Any, *, ndim: int | None, shape: tuple[int, ...] | None = None) -> Array:
    raw = value.detach().cpu() if isinstance(value, Tensor) else value
    try:
        array = np.asarray(raw)
    except ValueError as error:
        raise ValueError(f"{name} has rows of different lengths; expected one regular array") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} is {value!r} of type {type(value).__name__}; expected real numbers: pass a tensor, "
            "an array or a list of them"
        )
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; expected {shape}: evaluate it at the points that are drawn")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}; expected {ndim} dimensions: select or reshape")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; expected at least one value: check what made it")
    return array.astype(np.float64)


def _increasing(name: str, grid: ArrayLike) -> Array:
    array = _array(name, grid, ndim=1)
    if array.size < 2 or not (np.diff(array) > 0).all():
        raise ValueError(
            f"{name} runs from {array[0]:g} to {array[-1]:g} in {array.size} values; expected two or more, "
            "strictly increasing: use torch.linspace"
        )
    return array


def _density(name: str, values: ArrayLike, shape: tuple[int, int]) -> Array:
    array = _array(name, values, ndim=2)
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}; expected {shape}, the first grid along the rows: transpose "
            'it, or make it with torch.meshgrid(..., indexing="ij")'
        )
    if (array < 0).any() or not (array > 0).any():
        raise ValueError(
            f"{name} lies between {array.min():g} and {array.max():g}; expected a density, zero or more and "
            "somewhere above: exponentiate if these are log-densities"
        )
    return array


def _log_weights(log_weights: ArrayLike, *, ndim: int) -> Array:
    array = _numeric("log_weights", log_weights, ndim=ndim)
    wrong = np.isnan(array) | np.isposinf(array)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"log_weights holds {array[index]} at index {index}; expected finite numbers or -inf: look at "
            "the model's and the proposal's log-densities there"
        )
    return array


def _trapezoid(values: Array, grid: Array, *, axis: int) -> Array:
    rows = np.moveaxis(values, axis, -1)
    return np.asarray(((rows[..., 1:] + rows[..., :-1]) / 2 * np.diff(grid)).sum(-1))


def _nats(value: float) -> str:
    """Two decimals, with a minus sign that is one, and no minus before zero."""
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def _count(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
