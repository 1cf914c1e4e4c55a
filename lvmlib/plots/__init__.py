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

from lvmlib.plots.distributions import contours, densities, joint_density, probabilities, scatter
from lvmlib.plots.estimates import error_bars, evidence_bar, running_estimate, weights
from lvmlib.plots.graphs import graphical_model
from lvmlib.plots.palette import INK, PALETTE, style
from lvmlib.plots.picture import Picture, show, subplots
from lvmlib.plots.pixels import images

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
