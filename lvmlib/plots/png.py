"""Small PNG pictures, for programs that show no SVG."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image

from lvmlib.plots.palette import style

SCALE = 1.5
"""Pixels of a PNG for each pixel of CSS, 96 to an inch."""

_COLOURS = 128


def png_of_figure(figure: Figure) -> bytes:
    """A figure on white, 144 dots an inch; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(
            buffer, format="png", dpi=96 * SCALE, facecolor="white", bbox_inches="tight", pad_inches=0.04, metadata={}
        )
    return compress_png(buffer.getvalue())


def compress_png(data: bytes) -> bytes:
    """The picture on white in 128 colours, without metadata: it looks the same at less than half the size."""
    with Image.open(io.BytesIO(data)) as image:
        drawn = image.convert("RGBA")
    on_white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    small = on_white.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def png_size(data: bytes) -> tuple[int, int]:
    """The width and height at which a picture of :data:`SCALE` is to be shown, in pixels of CSS."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return round(width / SCALE), round(height / SCALE)
