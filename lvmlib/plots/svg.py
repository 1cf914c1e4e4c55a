"""SVG that can stand in a page among others: the page's text colour, no style sheet, identifiers of its own."""

from __future__ import annotations

import hashlib
import html
import io
import re

from matplotlib.figure import Figure

from lvmlib.plots.palette import INK, style, text_colour

INK_IMAGE = "lvm-ink"
"""The identifier of an image that is drawn in the page's text colour."""

_IMAGE_DPI = 200
_INK_FILTER = (
    f'<defs><filter id="{INK_IMAGE}-filter" x="0" y="0" width="1" height="1" '
    'color-interpolation-filters="sRGB"><feFlood flood-color="currentColor"/>'
    '<feComposite in2="SourceAlpha" operator="in"/></filter></defs>'
)
_LIGHT_OR_DARK = "<style>:root{color:#1f2328}@media (prefers-color-scheme:dark){:root{color:#e6edf3}}</style>"


def svg_of_figure(figure: Figure, alt: str) -> str:
    """Matplotlib's SVG, made fit to stand in a page among others."""
    buffer = io.StringIO()
    with style():
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            dpi=_IMAGE_DPI,
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
    body = round_coordinates(body)
    body = re.sub(r'<g style="fill: (#[0-9a-f]{6})', lambda match: f'<g style="fill: {text_colour(match[1])}', body)
    if f'id="{INK_IMAGE}"' in body:
        body = _INK_FILTER + body.replace(f'id="{INK_IMAGE}"', f'filter="url(#{INK_IMAGE}-filter)"')

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


def round_coordinates(body: str) -> str:
    """The drawing with coordinates to hundredths: less is invisible, and another processor rounds it differently."""
    return re.sub(r'\b(?:d|points|x\d?|y\d?)="[^"]*"|translate\([^)]*\)', _round_numbers, body)


def standalone_svg(svg: str) -> str:
    """A picture for use outside a page: its text follows the light or dark mode of whatever program shows it."""
    head, title, rest = svg.partition("</title>")
    return f"{head}{title}{_LIGHT_OR_DARK}{rest}"


def _round_numbers(match: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{3,}(?:e-?\d+)?", lambda number: f"{float(number[0]) + 0.0:.2f}", match[0])
