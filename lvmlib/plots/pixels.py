"""Small images in rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from lvmlib.plots.arguments import ArrayLike, as_finite_array
from lvmlib.plots.palette import INK, PALETTE, TICK_SIZE, colour_of, style
from lvmlib.plots.svg import INK_IMAGE

__all__ = ["images"]


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
    tiles = as_finite_array("pixels", pixels)
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
    colour = INK if role is None else colour_of(role)

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
            shown.set_gid(INK_IMAGE)
        if titles is not None:
            ax.text(left + width / 2, top + 0.06 * height, titles[i], ha="center", va="bottom", fontsize=TICK_SIZE)
    rows = -(-count // ncols)
    room = 0.38 * height if titles is not None else 0.0
    ax.set_xlim(0, min(ncols, count) * (width + gap) - gap)
    ax.set_ylim(-(rows - 1) * step - height, room)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax
