r"""The posterior of a model that is integrated on a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, constraints

from lvmlib._types import Float
from lvmlib.density import support_of
from lvmlib.exact.adaptive_grid import Grid
from lvmlib.model import evaluating

if TYPE_CHECKING:
    from lvmlib.exact.quadrature import QuadratureModel

__all__ = ["GridPosterior"]


class GridPosterior(Distribution):
    r"""The posterior of a :class:`QuadratureModel`: the exact density, normalised by quadrature.

    ``log_prob`` is :math:`\log p(x, z) - \log p(x)` at any z. ``sample`` draws a node by its mass, then a
    point uniformly in the node's cell, so a sample is correct up to the width of a cell. ``mean`` and
    ``variance`` are sums over the grid.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 - torch reads the class attribute
    has_rsample = False

    def __init__(self, model: QuadratureModel, x: Tensor) -> None:
        self.model = model
        self.x = x
        self._log_evidence = model.log_evidence(x)
        self._known_grid: Grid | None = None
        super().__init__(model.batch_shape(x), model._layout().z_event, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The support of the prior."""
        return support_of(self.model.prior)

    def expand(self, batch_shape: torch.Size | list[int] | tuple[int, ...], _instance: object = None) -> GridPosterior:
        """The same posterior for a larger batch of equal observations."""
        event = self.model._layout().x_event
        return GridPosterior(self.model, self.x.expand(torch.Size(batch_shape) + event))

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Log-density :math:`\log p(x, z) - \log p(x)`, in nats."""
        with evaluating(self.model):
            return self.model.log_joint(self.x, value) - self._log_evidence

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """Draws of shape ``(*sample_shape, *batch, *z_event)``."""
        sample_shape = torch.Size(sample_shape)
        grid = self._grid()
        with torch.no_grad():
            index = Categorical(probs=self._node_masses().T).sample(sample_shape)
            rows = torch.arange(index.shape[-1], device=index.device)
            widths = grid.widths[index, rows]
            draws = grid.lows[index, rows] + widths * torch.rand_like(widths)
            return draws.reshape(sample_shape + self._batch_shape + self._event_shape)

    @property
    def mean(self) -> Tensor:
        """Posterior mean, shape ``(*batch, *z_event)``."""
        return self._moment(self._grid().nodes).reshape(self._batch_shape + self._event_shape)

    @property
    def variance(self) -> Tensor:
        """Posterior variance of each coordinate, shape ``(*batch, *z_event)``."""
        nodes = self._grid().nodes
        moment = self._moment((nodes - self._moment(nodes)).square())
        return moment.reshape(self._batch_shape + self._event_shape)

    def entropy(self) -> Tensor:
        r"""Differential entropy :math:`-\E[\log p(z \mid x)]`, in nats, shape ``(*batch)``."""
        masses = self._node_masses()
        log_density = self._log_joint() - self._log_evidence.reshape(-1)
        return -(masses * torch.where(masses > 0, log_density, 0.0)).sum(0).reshape(self._batch_shape)

    def _grid(self) -> Grid:
        if self._known_grid is None:
            self._known_grid = self.model._grid_of_rows(self.x.reshape(-1, *self.model.event_shape))
        return self._known_grid

    def _log_joint(self) -> Float[Tensor, "G B"]:
        return self.model._log_joint_at(self.x, self._grid().nodes)

    def _node_masses(self) -> Float[Tensor, "G B"]:
        return (self._log_joint() + self._grid().log_weights).softmax(0)

    def _moment(self, values: Float[Tensor, "G B D"]) -> Float[Tensor, "B D"]:
        return (self._node_masses()[..., None] * values).sum(0)
