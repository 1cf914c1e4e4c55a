"""A map of a latent plane: what a decoder makes of each place, and where an encoder puts the images."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from typing import Any

import torch
from torch import Tensor

from lvmlib._checks import describe
from lvmlib._types import Float, Int
from lvmlib.explorers.explorer import Explorer, make_explorer
from lvmlib.explorers.vega import (
    GUTTER,
    MATH_FONT,
    Number,
    ShownValue,
    derived_parameter,
    number_within,
    require,
    rows_of_data,
    slider,
    x_axis,
    y_axis,
)
from lvmlib.plots.palette import PALETTE

__all__ = ["latent_map"]

_SIDE = 234  # pixels of the map
_ZOOM = 140  # pixels of the decoded picture
_LEVELS = 8
_NONE = "none"
_TITLE = {"titleFont": MATH_FONT, "titleFontStyle": "italic", "titleFontSize": 14}


def latent_map(
    pictures: Float[Tensor, "R R H H"],
    codes: Float[Tensor, "N 2"],
    labels: Int[Tensor, " N"],
    *,
    reach: Number = 2.8,
    z_1: Number = 0.0,
    z_2: Number = 0.0,
) -> Explorer:
    r"""A plane of codes as a map of decoded pictures; a place that is chosen is shown large.

    On a page a click on the map chooses a place; two sliders do the same by keyboard, there and in a notebook. All
    pictures travel as one small image, so nothing is computed. The codes stay hidden until a reader has guessed where
    those of a digit lie, and chooses it.

    Args:
        pictures: What the decoder makes of a square grid of z from ``-reach`` to ``reach`` in both coordinates:
            ``pictures[i, j]`` belongs to the i-th value of :math:`z_1` and the j-th of :math:`z_2`, both rising.
            Values in [0, 1], with 1 as full ink.
        codes: Where an encoder puts N other images.
        labels: The digit of each, 0 to 9.
        reach: Half the width of the map.
        z_1: First value of :math:`z_1`.
        z_2: First value of :math:`z_2`.

    Returns:
        The explorer, with a slider for each coordinate and a choice of the digit whose codes are shown.

    Raises:
        ImportError: If Altair, vl-convert-python or Pillow is not installed.
        TypeError: If ``reach`` or a first value is no number.
        ValueError: If a shape does not fit, or a value lies outside its range.

    Example:
        >>> plane = torch.zeros(5, 5, 28, 28)
        >>> latent_map(plane, torch.zeros(3, 2), torch.tensor([7, 7, 1])).spec["usermeta"]["lvmlib"]["click"]
        ['z_1', 'z_2']
    """
    alt = require("altair")
    _check(pictures, codes, labels)
    reach = number_within("reach", reach, 0.1, 100)
    side = len(pictures)
    step = round(2 * reach / (side - 1), 6)
    sheet = _sheet(pictures)
    nearest = _nearest_labels(codes, labels, reach, side)
    params = [
        slider("z_1", "z₁", z_1, -reach, reach, step),
        slider("z_2", "z₂", z_2, -reach, reach, step),
        alt.param(
            name="digit",
            value=_NONE,
            bind=alt.binding_radio(options=[_NONE, *map(str, range(10))], name="codes of held-out images of: "),
        ),
        alt.param(name="sheet", value=sheet),
        alt.param(name="nearest_labels", value=nearest),
        derived_parameter("column", f"round((z_1 + {reach!r}) / {step!r})"),
        derived_parameter("line", f"round(({reach!r} - z_2) / {step!r})"),
    ]
    place = "'(' + format(z_1, '.1f') + ', ' + format(z_2, '.1f') + ')'"
    digit_at = f"line * {side} + column"
    values = [
        ShownValue("decoded at", "likelihood", "place", place, ""),
        ShownValue(
            "the nearest code of a held-out image belongs to a",
            "q",
            "near",
            f"slice(nearest_labels, {digit_at}, {digit_at} + 1)",
            "",
        ),
    ]
    edge = reach + step / 2
    z1 = alt.X(
        "z1:Q", title="z₁", scale=alt.Scale(domain=[-edge, edge], nice=False), axis=x_axis(tickCount=5, **_TITLE)
    )
    z2 = alt.Y(
        "z2:Q",
        scale=alt.Scale(domain=[-edge, edge], nice=False),
        axis=y_axis("z₂", tickCount=5, grid=False, **_TITLE),
    )
    rows = "\n".join(f"{a:.2f},{b:.2f},{label}" for (a, b), label in zip(codes.tolist(), labels.tolist(), strict=True))
    points = alt.Chart(
        alt.InlineData(
            values=f"z1,z2,label\n{rows}",
            format=alt.CsvDataFormat(type="csv", parse={"z1": "number", "z2": "number", "label": "string"}),
        )
    ).transform_filter("datum.label == digit")
    middle = rows_of_data(1).transform_calculate(z1="0", z2="0")
    here = rows_of_data(1).transform_calculate(
        z1=f"z_1 - {step / 2!r}", z2=f"z_2 - {step / 2!r}", right=f"z_1 + {step / 2!r}", top=f"z_2 + {step / 2!r}"
    )
    plane = alt.layer(
        middle.mark_image(url=alt.expr("sheet"), width=_SIDE, height=_SIDE, aspect=False).encode(x=z1, y=z2),
        points.mark_circle(color=PALETTE["q"], size=26, opacity=0.85, clip=True).encode(x=z1, y=z2),
        here.mark_rect(filled=False, stroke=PALETTE["likelihood"], strokeWidth=3).encode(
            x=z1, x2="right:Q", y=z2, y2="top:Q"
        ),
    ).properties(width=_SIDE, height=_SIDE)
    across = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=None)
    down = alt.Y("y:Q", scale=alt.Scale(domain=[1, 0], nice=False), axis=None)
    large = (
        rows_of_data(1)
        .transform_calculate(x=f"{side / 2} - column", y=f"{side / 2} - line")
        .mark_image(
            url=alt.expr("sheet"), width=side * _ZOOM, height=side * _ZOOM, aspect=False, smooth=False, clip=True
        )
        .encode(x=across, y=down)
        .properties(width=_ZOOM, height=_ZOOM)
    )
    return make_explorer(
        alt.vconcat(plane, large),
        params,
        values,
        "Above, a square map: at each place of a grid of z one and z two stands the small picture that the decoder "
        "makes of it. Neighbours look alike, and digits change into each other gradually. A frame marks the chosen "
        "place, and dots the codes of the held-out images of one digit once it is chosen. Below, the picture at the "
        "chosen place, large.",
        gutter=GUTTER,
        click=["z_1", "z_2"],
    )


def _check(pictures: Tensor, codes: Tensor, labels: Tensor) -> None:
    if pictures.ndim != 4 or pictures.shape[0] != pictures.shape[1] or len(pictures) < 2:
        raise ValueError(
            f"pictures is {describe(pictures)}: expected shape (R, R, H, W), a square grid of at least 2 by 2 "
            f"pictures; reshape what the decoder gives."
        )
    if codes.ndim != 2 or codes.shape[1] != 2 or labels.shape != codes.shape[:1]:
        raise ValueError(
            f"codes is {describe(codes)} and labels {describe(labels)}: expected shapes (N, 2) and (N,); pass one code "
            f"and one label for each image."
        )


def _sheet(pictures: Tensor) -> str:
    """All pictures side by side as one image of few grey levels, z two rising upwards, as the address of its data."""
    image = require("PIL.Image")
    grid = pictures.detach().cpu().flip(1).permute(1, 2, 0, 3)
    grey = grid.reshape(grid.shape[0] * grid.shape[1], -1).clamp(0, 1)
    levels = (grey * (_LEVELS - 1)).round().to(torch.uint8)
    drawn = image.frombytes("P", levels.shape[::-1], levels.numpy().tobytes())
    drawn.putpalette([round(255 * (1 - level / (_LEVELS - 1))) for level in range(_LEVELS) for _ in range(3)])
    buffer = io.BytesIO()
    drawn.save(buffer, format="png", optimize=True, bits=math.ceil(math.log2(_LEVELS)))
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")


def _nearest_labels(codes: Tensor, labels: Tensor, reach: float, side: int) -> str:
    """For each place of the map, line by line from the top, the label of the nearest code."""
    ticks = torch.linspace(-reach, reach, side, dtype=torch.float64, device="cpu")
    places = torch.cartesian_prod(ticks.flip(0), ticks).flip(1)
    nearest: Any = torch.cdist(places, codes.detach().cpu().double()).argmin(1)
    return "".join(str(label) for label in labels.cpu()[nearest].tolist())
