"""Directed graphs of models, with plates."""

from __future__ import annotations

from typing import Any

from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyArrowPatch

from lvmlib.plots.palette import INK, PALETTE, style

__all__ = ["graphical_model"]


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
