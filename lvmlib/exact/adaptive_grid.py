r"""Integrals of positive functions over one or two dimensions, on a grid that refines itself and knows its error."""

from __future__ import annotations

import copy
import enum
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from lvmlib._types import Bool, Float, Int
from lvmlib.exact.gauss_legendre import NODES_PER_CELL, OVERSHOOT, measure, rule_on

__all__ = ["Edge", "Grid", "NotResolvedError", "adaptive_grids", "merge", "tolerance_of"]

_MAX_ROUNDS = 64
_MAX_NODES = 40_000_000
_LOG_EDGE_SHARE = math.log(1e-11)
_LONGEST = 1e30


class NotResolvedError(ValueError):
    """An integral that did not settle; ``index`` is that of the function, ``reason`` says what went wrong."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index, self.reason = index, reason


class Edge(enum.Enum):
    """What lies beyond an end of the box."""

    GROWS = enum.auto()
    """More of the function; where it has mass at the end, the box grows."""
    SUPPORT_ENDS = enum.auto()
    """Nothing: the function is zero."""
    FIXED = enum.auto()
    """More of the function, but the box stays; mass at the end is an error."""


class Grid(NamedTuple):
    """Nodes of a quadrature rule for each of B functions.

    Attributes:
        nodes: Shape ``(G, B, D)``, in the dtype of the functions.
        lows: The lower corner of each node's cell, likewise; cells of the same function do not overlap.
        widths: The sides of each node's cell, likewise; their product is the weight of the node.
        log_weights: Shape ``(G, B)``; ``-inf`` for nodes that only fill the table.
        log_values: The logarithm of each function at its nodes, shape ``(G, B)``.
    """

    nodes: Float[Tensor, "G B D"]
    lows: Float[Tensor, "G B D"]
    widths: Float[Tensor, "G B D"]
    log_weights: Float[Tensor, "G B"]
    log_values: Float[Tensor, "G B"]


def tolerance_of(dtype: torch.dtype) -> float:
    """The relative error to which integrals are computed: 1e-9 in float64, 1e-3 in float32.

    What rounding adds, which no finer grid can mend, may be ten times as large.
    """
    return 1e-9 if dtype == torch.float64 else 1e-3


LogFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def adaptive_grids(
    log_function: LogFunction,
    box: Sequence[tuple[float, float]],
    edges: Sequence[tuple[Edge, Edge]],
    *,
    num_points: int,
    num_functions: int,
    dtype: torch.dtype,
    device: torch.device,
) -> list[tuple[Int[Tensor, B], Grid]]:
    r"""Grids on which every one of B positive functions is resolved.

    The box is cut into cells, each with 20 Gauss-Legendre nodes a dimension. In each cell the last coefficients of the
    function's expansion in Legendre polynomials, and how fast they fall, say how much the nodes miss. A cell is halved
    in each dimension where their sum matters, and where the polynomial through the *logarithms* at the nodes rises
    above them between two nodes: there a peak may stand that no node has seen. Where a function has mass at an open
    edge of the box, the box grows.

    Args:
        log_function: Maps nodes, shape ``(G, B, D)``, and the indices of the B functions that they belong to, to the
            logarithm of each function at its own nodes; a middle dimension of one means the same nodes for all.
        box: Lower and upper end in each of the one or two dimensions.
        edges: What lies beyond each end.
        num_points: Nodes a dimension to begin with.
        num_functions: B.
        dtype: Of the functions; the arithmetic of the grid is done in float64.
        device: Of the functions.

    Returns:
        One grid for each group of functions that settled together, with the indices of the group.

    Raises:
        NotResolvedError: If an integral does not settle.

    References:
        Trefethen (2013), *Approximation Theory and Approximation Practice*, chapters 8 and 19.
    """
    cells = _AdaptiveCells(log_function, box, num_points, num_functions, dtype, device)
    log_tolerance = math.log(tolerance_of(dtype))
    settled = []
    for _ in range(_MAX_ROUNDS):
        total = cells.log_mass.logsumexp(0)
        nothing = total == -torch.inf
        if nothing.any():
            raise NotResolvedError(cells.first(nothing), "is zero at every node")
        if cells.grow(total + _LOG_EDGE_SHARE, edges):
            continue
        limit = total + log_tolerance
        share = limit - math.log(2 * len(cells.log_mass))
        hidden = (cells.overshoot > OVERSHOOT) & (cells.log_bound > share)
        unsettled = (cells.log_error.logsumexp(0) > limit) | hidden.any(0)
        if not unsettled.all():
            done = cells.of(~unsettled)
            done.check_rounding(10 * tolerance_of(dtype))
            settled.append(done.as_grid())
            if not unsettled.any():
                return settled
            cells = cells.of(unsettled)
            continue
        if not cells.halve(((cells.log_error > share) | hidden) & unsettled):
            break
    errors = cells.log_error.logsumexp(0) - cells.log_mass.logsumexp(0)
    worst = errors == errors.amax()
    if errors.amax() <= log_tolerance:
        raise NotResolvedError(
            cells.first(hidden.any(0)),
            "changes so steeply between two nodes that a peak may stand there, however fine the grid",
        )
    raise NotResolvedError(
        cells.first(worst), f"is not resolved: the estimated relative error is {errors.amax().exp().item():.1g}"
    )


def merge(grids: Sequence[tuple[Int[Tensor, B], Grid]], num_functions: int) -> Grid:
    """The grids of all functions in one table; where one has fewer nodes than another, nodes without weight fill it."""
    size = max((len(grid.nodes) for _, grid in grids), default=0)
    first = grids[0][1]
    dim = first.nodes.shape[-1]
    # A node that is a node of its own function: the function can be evaluated there.
    nodes, lows, widths = (first.nodes.new_zeros(size, num_functions, dim) for _ in range(3))
    log_weights = first.log_weights.new_full((size, num_functions), -torch.inf)
    log_values = first.log_values.new_full((size, num_functions), -torch.inf)
    for index, grid in grids:
        for table, part in ((nodes, grid.nodes), (lows, grid.lows), (widths, grid.widths)):
            table[:, index] = part[:1]
            table[: len(part), index] = part
        log_weights[: len(grid.nodes), index] = grid.log_weights
        log_values[: len(grid.nodes), index] = grid.log_values
    return Grid(nodes, lows, widths, log_weights, log_values)


class _AdaptiveCells:
    """The cells of B functions, C for each: lower corners and sides ``(C, B, D)``, the logarithms of the functions at
    their nodes ``(n ** D, C, B)``, and of the mass, the error and the largest value in each cell ``(C, B)``.

    Arithmetic is done in float64. A cell that was halved stays in the table, with no width and no mass.
    """

    def __init__(
        self,
        log_function: LogFunction,
        box: Sequence[tuple[float, float]],
        num_points: int,
        num_functions: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._log_function, self._dtype = log_function, dtype
        self._rule = rule_on(device)
        self._ends = torch.tensor(box, dtype=torch.float64, device=device)
        self._panels = -(-num_points // NODES_PER_CELL)
        self._dim = len(box)
        self._index = torch.arange(num_functions, device=device)
        empty = self._ends.new_zeros(0, num_functions)
        self._lows = self._widths = empty[..., None].expand(-1, -1, self._dim)
        self._log_values = self._ends.new_zeros(NODES_PER_CELL**self._dim, 0, num_functions)
        self.log_mass = self.log_error = self.log_bound = self.overshoot = empty
        self._add(*_split_box(self._ends, self._panels))

    def first(self, flags: Tensor) -> int:
        """The index of the first function for which a flag is set."""
        return int(self._index[flags][0])

    def of(self, chosen: Tensor) -> _AdaptiveCells:
        """The cells of some of the functions, without those that are halved for all of them."""
        part = copy.copy(self)
        part._ends = self._ends.clone()
        part._index = self._index[chosen]
        live = (self.log_mass[:, chosen] > -torch.inf).any(1) | (self.log_bound[:, chosen] > -torch.inf).any(1)
        for name in ("_lows", "_widths", "log_mass", "log_error", "log_bound", "overshoot"):
            setattr(part, name, getattr(self, name)[live][:, chosen])
        part._log_values = self._log_values[:, live][:, :, chosen]
        return part

    def grow(self, least: Float[Tensor, B], edges: Sequence[tuple[Edge, Edge]]) -> bool:
        """Put cells beyond each end at which a function has at least some mass; whether there was one."""
        grown = False
        for axis, side in itertools.product(range(self._dim), (0, 1)):
            edge, end = edges[axis][side], self._ends[axis, side]
            if edge is Edge.SUPPORT_ENDS:
                continue
            near = self._lows[..., axis] + side * self._widths[..., axis]
            outermost = (near - end).abs() <= 1e-12 * (self._ends[axis, 1] - self._ends[axis, 0])
            at_edge = torch.where(outermost, self.log_mass, -torch.inf).amax(0) > least
            if not at_edge.any():
                continue
            if edge is Edge.FIXED:
                raise NotResolvedError(self.first(at_edge), f"has mass at the end {end.item():.6g} of the grid")
            strip = self._ends.clone()
            length = strip[axis, 1] - strip[axis, 0]
            strip[axis, 1 - side] = end
            strip[axis, side] = end + (2 * side - 1) * length
            if length > _LONGEST:
                raise NotResolvedError(self.first(at_edge), "has no end, however wide the grid")
            self._ends[axis, side] = strip[axis, side]
            self._add(*_split_box(strip, self._panels))
            grown = True
        return grown

    def halve(self, chosen: Bool[Tensor, "C B"]) -> bool:
        """Halve cells in every dimension; False if the table would become too large."""
        most = int(chosen.sum(0).amax())
        added = most * 2**self._dim * NODES_PER_CELL**self._dim * chosen.shape[1]
        if self._log_values.numel() + added > _MAX_NODES:
            return False
        # The chosen cells of each function first; where it has fewer than another, cells without width fill the table.
        order = chosen.to(torch.uint8).argsort(dim=0, descending=True)[:most]
        index = order[..., None].expand(-1, -1, self._dim)
        half = torch.where(chosen.gather(0, order)[..., None], self._widths.gather(0, index) / 2, 0.0)
        corners = torch.cartesian_prod(*[torch.arange(2, device=half.device)] * self._dim).reshape(-1, 1, 1, self._dim)
        lows = self._lows.gather(0, index) + corners * half
        self._widths = torch.where(chosen[..., None], 0.0, self._widths)
        for name in ("log_mass", "log_error", "log_bound"):
            setattr(self, name, getattr(self, name).masked_fill(chosen, -torch.inf))
        self._add(lows.flatten(0, 1), half.expand_as(lows).flatten(0, 1))
        return True

    def check_rounding(self, tolerance: float) -> None:
        """Refuse functions that change so fast that rounding a node to the dtype moves the integral.

        Raises:
            NotResolvedError: If the mean change of the logarithm, as nodes move to the next number, is too large.
        """
        eps = torch.finfo(self._dtype).eps
        axes = (NODES_PER_CELL,) * self._dim
        table = self._log_values.reshape(*axes, *self.log_mass.shape)
        shares = (self._log_values - self._log_values.amax((0, 1)) + self._widths.log().sum(-1)).exp()
        shares = (shares * self._node_shares()).reshape(table.shape)
        shares = shares / shares.flatten(0, self._dim).sum(0)
        moved = torch.zeros_like(self.log_mass[0])
        for axis in range(self._dim):
            width, place = self._widths[..., axis], (self._lows + self._widths)[..., axis].abs()
            steps = self._rule.nodes.diff().reshape([-1 if i == axis else 1 for i in range(self._dim)] + [1, 1])
            slope = (table.diff(dim=axis) / (steps * width)).abs().nan_to_num(0.0, 0.0)
            change = shares.narrow(axis, 0, NODES_PER_CELL - 1) * slope * place * eps / 2
            # Where all nodes round to a few numbers, the function looks flat.
            collapsed = (shares * (width < 64 * eps * place)).flatten(0, self._dim).sum(0)
            moved = moved + change.flatten(0, self._dim).sum(0) + collapsed
        if (moved > tolerance).any():
            raise NotResolvedError(
                self.first(moved > tolerance),
                f"is so narrow that {self._dtype} does not tell its points apart: rounding moves it by "
                f"{moved.amax().item():.1g} nats",
            )

    def _node_shares(self) -> Float[Tensor, "n 1 1"]:
        """The weights of the nodes of a cell of size one."""
        return torch.cartesian_prod(*[self._rule.weights] * self._dim).reshape(-1, 1, 1, self._dim).prod(-1)

    def as_grid(self) -> tuple[Int[Tensor, B], Grid]:
        """The indices of the functions, and their grid: each node with a part of its cell as large as its weight."""
        starts = self._rule.weights.cumsum(0) - self._rule.weights
        shares, offsets = (
            torch.cartesian_prod(*[v] * self._dim).reshape(-1, 1, 1, self._dim) for v in (self._rule.weights, starts)
        )
        widths = (self._widths * shares).flatten(0, 1)
        return self._index, Grid(
            self._nodes(self._lows, self._widths).flatten(0, 1).to(self._dtype),
            (self._lows + self._widths * offsets).flatten(0, 1).to(self._dtype),
            widths.to(self._dtype),
            widths.log().sum(-1).to(self._dtype),
            self._log_values.flatten(0, 1).to(self._dtype),
        )

    def _add(self, lows: Tensor, widths: Tensor) -> None:
        """New cells, shape ``(C, B, D)``, or ``(C, 1, D)`` for all functions alike."""
        nodes = self._nodes(lows, widths)
        log_values = self._log_function(nodes.flatten(0, 1).to(self._dtype), self._index).double()
        log_values = log_values.reshape(*nodes.shape[:2], -1)
        infinite = ((log_values == torch.inf) | log_values.isnan()).any(0).any(0).expand(len(self._index))
        if infinite.any():
            raise NotResolvedError(self.first(infinite), "is infinite or NaN at a node")
        lows, widths = (v.expand(-1, log_values.shape[-1], -1) for v in (lows, widths))
        self._lows, self._widths = torch.cat([self._lows, lows]), torch.cat([self._widths, widths])
        self._log_values = torch.cat([self._log_values, log_values], dim=1)
        log_volume = widths.log().sum(-1)
        mass, error, bound, overshoot = measure(self._rule, self._dim, log_values)
        for name, value in (("log_mass", mass), ("log_error", error), ("log_bound", bound)):
            setattr(self, name, torch.cat([getattr(self, name), value + log_volume]))
        self.overshoot = torch.cat([self.overshoot, overshoot])

    def _nodes(self, lows: Tensor, widths: Tensor) -> Float[Tensor, "n C B D"]:
        inside = torch.cartesian_prod(*[self._rule.nodes] * self._dim).reshape(-1, 1, 1, self._dim)
        return lows + widths * inside


def _split_box(ends: Float[Tensor, "D 2"], panels: int) -> tuple[Tensor, Tensor]:
    """Lower corners and sides of equal cells, each of shape ``(C, 1, D)``."""
    steps = torch.arange(panels + 1, dtype=torch.float64, device=ends.device) / panels
    edges = [low + (high - low) * steps for low, high in ends]
    lows = torch.cartesian_prod(*[edge[:-1] for edge in edges]).reshape(-1, 1, len(ends))
    widths = torch.cartesian_prod(*[edge.diff() for edge in edges]).reshape(-1, 1, len(ends))
    return lows, widths
