"""The colours of the subject, its names in pictures, and the course's matplotlib settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.style
from cycler import cycler
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap, to_rgba

__all__ = ["INK", "PALETTE", "style"]

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

TEXT_SHARE = 68
"""Per cent of its own colour that a coloured word keeps; the rest is the page's text colour. Thin strokes need more
contrast than areas do."""

LABELS: Mapping[str, str] = {
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


FACES = ("STIX Two Text", "STIXGeneral", "DejaVu Sans")
"""The face of the book's text, and where a letter is looked for that it has not: matplotlib brings the other two."""

FONTS = Path(__file__).parent / "fonts"
MATH_FONT = "stix"
"""Mathematics in the older cut of the same face, which matplotlib brings with all its signs."""

LABEL_SIZE = 11
TICK_SIZE = 10
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
SETTINGS: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.formatter.use_mathtext": True,
    "axes.labelcolor": INK,
    "axes.labelsize": LABEL_SIZE,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=list(PALETTE.values())),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11.5,
    "figure.facecolor": "none",
    "font.family": list(FACES),
    "font.size": LABEL_SIZE,
    "legend.fontsize": TICK_SIZE,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "mathtext.fontset": MATH_FONT,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "lvmlib",
    "svg.image_inline": True,
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": TICK_SIZE,
    "ytick.color": INK,
    "ytick.labelsize": TICK_SIZE,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The course's matplotlib settings inside a ``with`` block; the reader's own ones again after it.

    The functions of this package use it by themselves. It is needed only around plain matplotlib calls
    that create text or legends on a machine whose defaults are not matplotlib's.
    """
    _add_faces()
    with matplotlib.style.context(["default", dict(SETTINGS)]):
        yield


@cache
def _add_faces() -> None:
    """Tell matplotlib of the faces that come with this package, once."""
    for path in sorted(FONTS.glob("*.ttf")):
        font_manager.fontManager.addfont(path)


def colour_ramp(role: str) -> LinearSegmentedColormap:
    """From nothing to the full colour, so that low values show the page, whatever its colour."""
    colour = PALETTE[role]
    return LinearSegmentedColormap.from_list(f"lvm-{role}", [to_rgba(colour, 0.0), to_rgba(colour, 1.0)])


def text_colour(colour: str) -> str:
    """The CSS colour of a word about something drawn in ``colour``: it leans towards the page's text."""
    return f"color-mix(in srgb, {colour} {TEXT_SHARE}%, currentColor)"


def colour_of(role: str) -> str:
    """The colour of an object, or an error that lists the objects."""
    if role not in PALETTE:
        raise ValueError(f"role is {role!r}; expected the name of an object, one of {', '.join(PALETTE)}")
    return PALETTE[role]


def role_and_label(key: str) -> tuple[str, str]:
    """``"q: wide"`` is the role q and the label "wide"; ``"q"`` alone has the label of the book."""
    role, colon, label = (part.strip() for part in key.partition(":"))
    if role not in PALETTE:
        raise ValueError(
            f"a curve is called {key!r}; expected one of {', '.join(PALETTE)}, which sets its colour: "
            'add a label of your own after a colon, as in "q: wide"'
        )
    return role, label if colon else LABELS[role]
