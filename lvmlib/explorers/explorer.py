"""The object that a cell ends with: a Vega-Lite specification, shown live where that is possible."""

from __future__ import annotations

import copy
import hashlib
import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from lvmlib.explorers.vega import FONT_SIZE, INK, ShownValue, derived_parameter, require
from lvmlib.plots.palette import TEXT_SHARE
from lvmlib.plots.png import SCALE, compress_png, png_size
from lvmlib.plots.svg import round_coordinates, standalone_svg

__all__ = ["Explorer"]

MIME_TYPE = "application/vnd.vegalite.v5+json"
"""What JupyterLab, Notebook 7, VS Code and Colab show as a live Vega-Lite picture. JupyterLab 4 has Vega-Lite 5.6, so
the specifications keep to what that version and the newer ones share."""

_TEXT_ON_WHITE = "#1f2328"
_RIGHT = 14
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_CONFIG: dict[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": "STIX Two Text, STIXGeneral, Georgia, serif",
    "view": {"stroke": None},
    "title": {
        "color": INK,
        "fontSize": FONT_SIZE,
        "fontWeight": "normal",
        "lineHeight": 18,
        "anchor": "start",
        "offset": 12,
    },
    "axis": {
        "domainColor": INK,
        "domainOpacity": 0.6,
        "tickColor": INK,
        "tickOpacity": 0.6,
        "tickSize": 4,
        "gridColor": INK,
        "gridOpacity": 0.1,
        "labelColor": INK,
        "labelFontSize": 12,
        "labelFlush": False,
        "titleColor": INK,
        "titleFontSize": FONT_SIZE,
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
        source = require("vl_convert").vegalite_to_svg(self._spec)
        opening = re.search(r'<svg[^>]*viewBox="([^"]+)"[^>]*>', source)
        assert opening is not None, "vl-convert wrote an SVG without a viewBox"
        body = source[opening.end() : source.rindex("</svg>")]
        digest = hashlib.sha256(json.dumps(self._spec, sort_keys=True).encode()).hexdigest()[:12]
        # Vega counts its clipping paths through the process: here they are counted through the picture.
        names = list(dict.fromkeys(re.findall(r' id="([^"]+)"', body)))
        for number, name in enumerate(names):
            body = re.sub(rf'( id="|url\(#|href="#){name}(?=[")])', rf"\g<1>lvm-{digest}-{number}", body)
        body = re.sub(r' (?:role|aria-\w+|pointer-events)="[^"]*"', "", body)
        body = round_coordinates(body).replace("xlink:href=", "href=")
        label = html.escape(self.description)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lvm-explorer" role="img" aria-label="{label}" '
            f'viewBox="{opening[1]}" style="display:block;width:100%;max-width:{opening[1].split()[2]}px;height:auto">'
            f"<title>{label}</title>{body}</svg>"
        )

    def png(self) -> bytes:
        """The picture at its first values as a small PNG on white, 144 dots an inch.

        Raises:
            ImportError: If vl-convert-python is not installed.
        """
        svg = re.sub(
            rf"color-mix\(in srgb, (#[0-9a-f]{{6}}) {TEXT_SHARE}%, currentColor\)",
            lambda match: _mix(match[1], _TEXT_ON_WHITE),
            self.svg(),
        )
        svg = svg.replace("currentColor", _TEXT_ON_WHITE)
        return compress_png(require("vl_convert").svg_to_png(svg, scale=SCALE))

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        # No text/html: JupyterLab would prefer it to the live picture.
        svg, png = self.svg(), self.png()
        width, height = png_size(png)
        data = {
            MIME_TYPE: self.spec,
            "image/svg+xml": standalone_svg(svg),
            "image/png": b64encode(png).decode("ascii"),
            "text/plain": repr(self),
        }
        return data, {"image/png": {"width": width, "height": height}}

    def __repr__(self) -> str:
        return f"Explorer({self.description!r})"


def make_explorer(
    chart: Any,
    params: Sequence[Any],
    values: Sequence[ShownValue],
    description: str,
    *,
    gutter: int = 0,
    **meta: Any,
) -> Explorer:
    """The chart with its parameters, its values as a title, and what a page needs to make controls of its own."""
    alt = require("altair")
    spoken = [value for value in values if value.text is not None]
    texts = [derived_parameter(f"{value.name}_text", value.text or "") for value in spoken]
    parts = [f"'{value.label}: ' + {value.name}_text + '{' ' + value.unit if value.unit else ''}'" for value in spoken]
    lines = [" + ' \u00a0·\u00a0 ' + ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    properties: dict[str, Any] = {"padding": {"left": 0, "top": 4, "right": 0, "bottom": 2}}
    if lines:
        properties["title"] = alt.TitleParams(text=alt.expr(f"[{', '.join(lines)}]"), frame="group")
    if isinstance(chart, alt.VConcatChart):
        properties |= {"bounds": "flush", "spacing": 64 if gutter else 48}
    # Altair checks the chart against Vega-Lite's schema, and names data that several layers share.
    with alt.data_transformers.enable("default", consolidate_datasets=True):
        spec: dict[str, Any] = chart.add_params(*params, *texts).properties(**properties).to_dict()
    spec |= {
        "$schema": _SCHEMA,
        "description": description,
        "config": _CONFIG,
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


def _mix(colour: str, other: str) -> str:
    """What a browser makes of ``color-mix`` with the share of :data:`TEXT_SHARE`."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + "".join(f"{round((TEXT_SHARE * a + (100 - TEXT_SHARE) * b) / 100):02x}" for a, b in pairs)
