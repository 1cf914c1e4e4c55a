"""Figures and finished pictures: what a plotting cell begins and ends with."""

from __future__ import annotations

import math
import sys
import textwrap
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from lvmlib.plots.annotations import figure_of
from lvmlib.plots.arguments import Number
from lvmlib.plots.palette import FACES, INK, MATH_FONT, TICK_SIZE, style
from lvmlib.plots.png import png_of_figure, png_size
from lvmlib.plots.svg import standalone_svg, svg_of_figure

__all__ = ["Picture", "show", "subplots"]

_MAX_WIDTH = 7.0


class Picture:
    r"""A finished picture, with a text for those who cannot see it.

    A page gets inline SVG, which takes the colour of the text around it. A program that shows no SVG gets a small
    PNG on white.

    Making a picture closes the figure in pyplot, so that Jupyter does not draw it a second time. The same
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
        for legend in figure.findobj(Legend):
            legend.set_frame_on(False)
        for text in figure.findobj(Text):
            text.set_math_fontfamily(MATH_FONT)
            if text.get_fontfamily() == ["sans-serif"]:  # made by matplotlib's own settings, outside of this package
                text.set_fontfamily(list(FACES))
        self._svg = svg_of_figure(figure, self.alt)
        self._png = png_of_figure(figure)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close(figure)

    def _repr_html_(self) -> str:
        return self._svg

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        width, height = png_size(self._png)
        data = {
            "text/html": self._svg,
            "image/png": b64encode(self._png).decode("ascii"),
            "text/plain": repr(self),
        }
        return data, {"image/png": {"width": width, "height": height}}

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
        path.write_text(f"{standalone_svg(self._svg)}\n", encoding="utf-8")


def show(figure: Figure | Axes, *, alt: str) -> Picture:
    """The last line of a plotting cell: the finished picture of a figure.

    Args:
        figure: A figure, or any axes in it.
        alt: What to see in the picture, in a sentence.

    Returns:
        The picture, which the book shows as inline SVG and a notebook as SVG or PNG.

    Raises:
        TypeError: If ``figure`` is neither a figure nor axes, or ``alt`` is not a string.
        ValueError: If ``alt`` is empty.
    """
    return Picture(figure_of(figure) if isinstance(figure, Axes) else figure, alt)


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
        ax.tick_params(color=INK, labelcolor=INK, labelsize=TICK_SIZE, width=0.8)
    return figure, axes
