r"""Any model with one or two latent dimensions, integrated on a grid that is laid anew for each observation."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from lvmlib._checks import check_number, check_sample_count, describe
from lvmlib._draws import draw_seeded
from lvmlib._types import Float, Int
from lvmlib.density import support_of
from lvmlib.exact.adaptive_grid import (
    Edge,
    Grid,
    LogFunction,
    NotResolvedError,
    adaptive_grids,
    merge,
    tolerance_of,
)
from lvmlib.exact.base import ExactModel
from lvmlib.exact.gauss_legendre import NODES_PER_CELL
from lvmlib.exact.grid_posterior import GridPosterior
from lvmlib.model import LatentVariableModel, evaluating

__all__ = ["QuadratureModel"]

_NUMBERS_PER_BLOCK = 2_000_000


class QuadratureModel(ExactModel):
    r"""Any model with one or two latent dimensions, integrated on a grid.

    .. math:: p(x) \approx \sum_{g} \omega_g \, p(x \mid z_g)\, p(z_g)

    The nodes :math:`z_g` and weights :math:`\omega_g` are those of composite Gauss-Legendre quadrature; a product of
    two such rules covers two dimensions. For each x the cells are halved where the joint is not resolved, a peak
    between two nodes and a kink among the reasons, and the box grows where the posterior has mass at its edge. By the
    grid's own estimate, the result has a relative error of at most 1e-8 in float64 and 1e-2 in float32, and mostly far
    less; where that cannot be reached, there is an error. Nothing is kept between calls, so that a model whose
    parameters change is integrated as it is.

    Args:
        prior: As for :class:`LatentVariableModel`, continuous, with event shape ``()``, ``(1,)`` or ``(2,)``.
        likelihood: As for :class:`LatentVariableModel`.
        lower: Lower corner of the box, a float for all dimensions. Given, the box does not grow there. By default ten
            prior standard deviations below the prior mean, or the end of the prior's support. A prior over all reals
            without a finite mean and variance, such as a Cauchy, does not say where that is: give the end. Where the
            support has an end, as for a half-Cauchy, the quartiles of such a prior say how wide it is.
        upper: Upper corner of the box, likewise.
        num_points: Nodes a dimension to begin with, rounded up to a multiple of 20; by default 1000 in one dimension
            and 200 in two.

    Raises:
        TypeError: If the prior is discrete.
        ValueError: If z has more than two dimensions, the prior is over all reals, has no finite mean and variance,
            and an end of the box is not given, or the box misses more than 1e-6 of the prior's mass.

    Example:
        >>> from torch.distributions import Normal
        >>> model = QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, 0.01))
        >>> round(model.log_evidence(torch.tensor(30.0)).item(), 1)  # thirty standard deviations out
        -450.9

    References:
        Trefethen (2008), *Is Gauss quadrature better than Clenshaw-Curtis?*, SIAM Review 50(1).
    """

    def __init__(
        self,
        prior: Distribution | Callable[[], Distribution],
        likelihood: Callable[[Tensor], Distribution],
        *,
        lower: float | None = None,
        upper: float | None = None,
        num_points: int | None = None,
    ) -> None:
        LatentVariableModel.__init__(self, prior, likelihood)
        layout = self._layout()
        if support_of(self.prior).is_discrete:
            raise TypeError(
                f"prior is {describe(self.prior)}, discrete: expected a continuous prior to integrate over; "
                f"sum over a discrete z with FiniteModel or GaussianMixture."
            )
        dim = layout.z_event.numel()
        if len(layout.z_event) > 1 or dim > 2:
            raise ValueError(
                f"prior has event shape {tuple(layout.z_event)}: expected one or two latent dimensions, as a "
                f"grid of G points a dimension has G^D nodes; estimate the evidence with importance_sampling."
            )
        num_points = (1000 if dim == 1 else 200) if num_points is None else num_points
        self._num_points = check_sample_count("num_points", num_points)
        for name, end in (("lower", lower), ("upper", upper)):
            if end is not None and not math.isfinite(check_number(name, end)):
                raise ValueError(f"{name} is {end}: expected a finite number; leave it out for a box that grows.")
        self._lower, self._upper = lower, upper
        self._check_prior_mass()

    def log_evidence(self, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-evidence by quadrature, in nats.

        Args:
            x: Observations, shape ``(*batch, *x_event)``.

        Returns:
            Shape ``(*batch)``.

        Raises:
            ValueError: If the integral does not settle for an x, or has mass at an end of the box that was given.
        """
        self.check_observation(x)
        batch = self.batch_shape(x)
        rows = x.reshape(-1, *self._layout().x_event)
        # A block of observations has about two million numbers on the grid.
        nodes = self._nodes_to_begin_with()
        block = max(1, _NUMBERS_PER_BLOCK // (nodes * max(1, self._layout().x_event.numel())))
        parts = [self._log_evidence_rows(part, i * block) for i, part in enumerate(rows.split(block))]
        return torch.cat(parts).reshape(batch)

    def posterior(self, x: Tensor) -> GridPosterior:
        r"""The posterior :math:`p(z \mid x) = p(x, z) / p(x)`, normalised on the grid of each x.

        Raises:
            ValueError: As :meth:`log_evidence`.
        """
        self.check_observation(x)
        return GridPosterior(self, x)

    def expected_log_joint(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The integral :math:`\int q(z) \log p(x, z)\, dz` by quadrature, in nats.

        Args:
            q: Any continuous distribution over z; batch shape ``()`` or that of x.
            x: Observations, shape ``(*batch, *x_event)``.

        Raises:
            ValueError: If the grid does not resolve q, or the integral.
        """
        self.check_observation(x)
        self._check_one_for_each(q, x)
        grid, q = self._grid_of_q(q, x)
        return self._average_under_q(grid, q, self._log_joint_at(x, grid.nodes))

    def kl_to_posterior(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The gap :math:`\KL(q(z) \Vert p(z \mid x))` by quadrature, in nats.

        Raises:
            ValueError: If the grid does not resolve q, or the integral.
        """
        self.check_observation(x)
        self._check_one_for_each(q, x)
        grid, q = self._grid_of_q(q, x)
        log_evidence = self.log_evidence(x).expand(q.batch_shape).reshape(-1)
        log_posterior = self._log_joint_at(x, grid.nodes) - log_evidence
        return self._average_under_q(grid, q, self._log_density_at(q, grid.nodes) - log_posterior)

    def _log_evidence_rows(self, rows: Tensor, first: int) -> Tensor:
        """The log-evidence of each row; the joint is evaluated anew on the grid where a gradient is recorded."""
        log_evidence = torch.empty(len(rows), dtype=self._layout().z_dtype, device=rows.device)
        for index, grid in self._grids_of_rows(rows, first):
            log_joint = grid.log_values
            if self._log_joint_at(rows[index[:1]], grid.nodes[:1, :1]).requires_grad:
                log_joint = self._log_joint_at(rows[index], grid.nodes)
            total = (log_joint + grid.log_weights).logsumexp(0)
            log_evidence = log_evidence.index_put((index,), total.to(log_evidence))
        return log_evidence

    def _grids_of_rows(self, rows: Tensor, first: int = 0) -> list[tuple[Tensor, Grid]]:
        """Grids for the rows of x, by groups; an error names the index of a row, counted from ``first``."""
        with torch.no_grad():
            try:
                return self._grids(lambda nodes, index: self._log_joint_at(rows[index], nodes), len(rows))
            except NotResolvedError as error:
                row = rows[error.index]
                shown = f"{row.item():.6g}" if row.numel() == 1 else f"a row of shape {tuple(row.shape)}"
                raise ValueError(
                    f"x is {shown} at index {first + error.index}, and its joint density as a function of z "
                    f"{error.reason}: expected a posterior that a grid can hold; widen lower and upper, raise "
                    f"num_points, use float64, or estimate the evidence with importance_sampling."
                ) from None

    def _grid_of_rows(self, rows: Tensor) -> Grid:
        """One table for the rows of x; where there are none, one without columns."""
        if len(rows):
            return merge(self._grids_of_rows(rows), len(rows))
        layout = self._layout()
        empty = torch.zeros(1, 0, layout.z_event.numel(), dtype=layout.z_dtype, device=layout.device)
        return Grid(empty, empty, empty, empty[..., 0], empty[..., 0])

    def _grid_of_q(self, q: Distribution, x: Tensor) -> tuple[Grid, Distribution]:
        q = q.expand(self.batch_shape(x)) if q.batch_shape != self.batch_shape(x) else q
        with torch.no_grad():
            try:
                count = math.prod(q.batch_shape)
                grids = self._grids(lambda nodes, index: self._log_density_at(q, nodes, index), count)
                grid = merge(grids, count) if count else self._grid_of_rows(x.reshape(0, *self.event_shape))
            except NotResolvedError as error:
                raise ValueError(
                    f"q is {describe(q)}, and its density {error.index} {error.reason}: expected a q that a grid can "
                    f"hold; widen lower and upper, raise num_points, or estimate with elbo(model, q, x, num_samples)."
                ) from None
        missed = ((grid.log_values + grid.log_weights).logsumexp(0).exp() - 1).abs()
        if (missed > 1e-4).any():
            raise ValueError(
                f"q has mass {1 - missed.amax().item():.4f} or {1 + missed.amax().item():.4f} on the grid: expected 1; "
                f"widen lower and upper, or raise num_points so that the spacing is below q's width."
            )
        return grid, q

    def _average_under_q(self, grid: Grid, q: Distribution, values: Tensor) -> Tensor:
        """The mean of values at the nodes, with the masses that q gives to them."""
        masses = (self._log_density_at(q, grid.nodes) + grid.log_weights).exp()
        average = (masses * torch.where(masses > 0, values, 0.0)).sum(0)
        return average.reshape(q.batch_shape)

    def _grids(self, log_function: LogFunction, num_functions: int) -> list[tuple[Tensor, Grid]]:
        if not num_functions:
            return []
        layout = self._layout()
        return adaptive_grids(
            log_function,
            *self._box(),
            num_points=self._num_points,
            num_functions=num_functions,
            dtype=layout.z_dtype,
            device=layout.device,
        )

    def _log_joint_at(self, x: Tensor, nodes: Float[Tensor, "G _ D"]) -> Float[Tensor, "G B"]:
        rows = x.reshape(-1, *self._layout().x_event)
        with evaluating(self):
            return self.log_joint(rows, nodes.reshape(*nodes.shape[:2], *self._layout().z_event))

    def _log_density_at(
        self, q: Distribution, nodes: Float[Tensor, "G _ D"], index: Int[Tensor, B] | None = None
    ) -> Float[Tensor, "G B"]:
        """The log-density of each q at its nodes. A batch of distributions has no rows to take: for some of them, all
        are evaluated."""
        count = math.prod(q.batch_shape)
        shape = q.batch_shape
        if nodes.shape[1] < count:
            if nodes.shape[1] == 1 and index is not None and len(index) == count:
                shape = torch.Size([1] * len(shape))
            else:
                some, nodes = nodes, nodes[:, :1].repeat(1, count, 1)
                nodes[:, index] = some
        log_density = q.log_prob(nodes.reshape(len(nodes), *shape, *self._layout().z_event)).reshape(len(nodes), -1)
        return log_density if index is None else log_density[:, index]

    def _nodes_to_begin_with(self) -> int:
        a_dimension = -(-self._num_points // NODES_PER_CELL) * NODES_PER_CELL
        return int(a_dimension ** self._layout().z_event.numel())

    def _box(self) -> tuple[list[tuple[float, float]], list[tuple[Edge, Edge]]]:
        """The ends of the grid in each dimension and what lies beyond them, by the prior as it is now."""
        prior, lower, upper = self.prior, self._lower, self._upper
        dim = self._layout().z_event.numel()
        starts, stops = _ends_of(support_of(prior), dim)
        box = []
        moments = _moments_of(prior)
        if self._lower is None or self._upper is None:
            self._check_moments(moments, starts, stops)
        locations, scales = _location_and_scale(prior, moments, dim)
        for start, stop, mean, scale in zip(starts, stops, locations, scales, strict=True):
            low = max(start, mean - 10 * scale) if lower is None else float(lower)
            high = min(stop, mean + 10 * scale) if upper is None else float(upper)
            if not low < high and lower is None and upper is None:
                raise ValueError(
                    f"prior is {describe(prior)}, with mass from {low} to {high} only: expected a density over an "
                    f"interval; give it a scale above zero that {self._layout().z_dtype} can tell from none."
                )
            if not low < high:
                raise ValueError(f"lower is {low} and upper is {high}: expected lower < upper; swap them.")
            box.append((low, high))
        edges = [
            (
                Edge.SUPPORT_ENDS if low <= start else Edge.GROWS if lower is None else Edge.FIXED,
                Edge.SUPPORT_ENDS if high >= stop else Edge.GROWS if upper is None else Edge.FIXED,
            )
            for (low, high), start, stop in zip(box, starts, stops, strict=True)
        ]
        return box, edges

    def _check_moments(self, moments: dict[str, Tensor], starts: list[float], stops: list[float]) -> None:
        """Raise an error if a prior over all reals has no moments that say where a box should be."""
        for name, moment in moments.items():
            for value, start, stop in zip(moment.tolist(), starts, stops, strict=True):
                if not math.isfinite(value) and math.isinf(start) and math.isinf(stop):
                    wanted = " and ".join(end for end in ("lower", "upper") if getattr(self, f"_{end}") is None)
                    raise ValueError(
                        f"prior is {describe(self.prior)}, which has no finite {name} to place a box by: expected "
                        f"lower and upper, the ends of the grid; give {wanted} so far out that less than 1e-6 of the "
                        f"prior's mass lies beyond."
                    )

    def _check_prior_mass(self) -> None:
        def log_prior(nodes: Tensor, _: Tensor) -> Tensor:
            return self.log_prior(nodes.reshape(*nodes.shape[:2], *self._layout().z_event))

        box, edges = self._box()
        lows, highs = zip(*box, strict=True)
        layout = self._layout()
        with torch.no_grad():
            try:
                ((_, grid),) = adaptive_grids(
                    log_prior,
                    box,
                    [(_unless_fixed(below), _unless_fixed(above)) for below, above in edges],
                    num_points=self._num_points,
                    num_functions=1,
                    dtype=layout.z_dtype,
                    device=layout.device,
                )
            except NotResolvedError as error:
                raise ValueError(
                    f"prior is {describe(self.prior)}, and its density from lower {lows} to upper {highs} "
                    f"{error.reason}: expected a density that a grid can hold; {self._advice()}."
                ) from None
        mass = (grid.log_values + grid.log_weights).logsumexp(0).exp().item()
        if abs(mass - 1) > 1e-6 + tolerance_of(grid.nodes.dtype):
            raise ValueError(
                f"prior is {describe(self.prior)}, and a grid from lower {lows} to upper {highs} with num_points "
                f"{self._num_points} holds {mass:.6f} of its mass: expected 1; {self._advice()}."
            )

    def _advice(self) -> str:
        """What to do about a prior that the grid does not hold."""
        if self._lower is not None or self._upper is not None:
            return f"widen lower and upper, or leave them out, or raise num_points from {self._num_points}"
        more = "use float64, " if self._layout().z_dtype == torch.float32 else ""
        return (
            f"{more}raise num_points from {self._num_points}, or, where the density is infinite at an end or its tail "
            f"is too long, take another z, such as its logarithm or its logit"
        )


def _unless_fixed(edge: Edge) -> Edge:
    return Edge.SUPPORT_ENDS if edge is Edge.FIXED else edge


def _moments_of(prior: Distribution) -> dict[str, Float[Tensor, D]]:
    """Mean and variance in each dimension, where the prior knows them; what it knows may be infinite, or NaN."""
    moments = {}
    for name in ("mean", "variance"):
        with suppress(NotImplementedError):
            moments[name] = getattr(prior, name).detach().double().reshape(-1)
    return moments


def _location_and_scale(prior: Distribution, moments: dict[str, Tensor], dim: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation in each dimension; where one is not known or not finite, those of a normal with the
    quartiles of some draws: the box grows to where the mass is."""
    unknown = torch.full((dim,), math.nan, dtype=torch.float64)
    known = torch.stack([moments.get("mean", unknown), moments.get("variance", unknown).sqrt()])
    with torch.no_grad():
        draws = draw_seeded(prior, 1001, ("quartiles",)).double().reshape(1001, -1)
    levels = draws.new_tensor([0.25, 0.5, 0.75])
    lower, median, upper = draws.quantile(levels, 0, interpolation="lower")
    measured = torch.stack([median, (upper - lower) / 1.35])
    location, scale = torch.where(known.isfinite().all(0), known, measured)
    return location.tolist(), scale.tolist()


def _ends_of(support: constraints.Constraint, dim: int) -> tuple[list[float], list[float]]:
    """The ends in each dimension of the smallest box that is known to hold a support."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    ends = (getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf))
    # Each component of a mixture may have ends of its own.
    starts, stops = (
        torch.as_tensor(end).detach().double().expand(1, dim)
        if torch.as_tensor(end).numel() == 1
        else torch.as_tensor(end).detach().double().reshape(-1, dim)
        for end in ends
    )
    return starts.amin(0).tolist(), stops.amax(0).tolist()
