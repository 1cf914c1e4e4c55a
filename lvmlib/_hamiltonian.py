"""Chains along a path of densities from q to the joint: what their weights are, and the kernels that move them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to, identity_transform

from lvmlib._checks import describe
from lvmlib._draws import draw_weighed, normal_in
from lvmlib._random import seeded_generator
from lvmlib.density import is_real, log_density, sum_last, support_of
from lvmlib.problem import Problem

__all__ = ["Path", "State", "accepted", "move", "temperatures", "tuned_step_sizes"]

# The best acceptance for a long trajectory is about 0.65 (Neal, 2011, section 4.4); a little more is asked for, as a
# step that is too long for a temperature costs more than one that is too short.
_TARGET = 0.75
_PILOT_CHAINS, _WARM_UP = 16, 20
# A trajectory that leaves this box has lost its way: no chain may accept where it ends.
_FARTHEST = 1e9


def temperatures(num_steps: int) -> list[float]:
    r""":math:`\beta_0 = 0 < \beta_1 < \dots < \beta_T = 1`, T + 1 numbers: close to each other at both ends."""
    curve = [1 / (1 + math.exp(-4 * (2 * step / num_steps - 1))) for step in range(num_steps + 1)]
    return [(value - curve[0]) / (curve[-1] - curve[0]) for value in curve]


@dataclass(frozen=True)
class State:
    """Chains at one moment: places, the two log-densities of the path there, and their slopes.

    Attributes:
        place: Shape ``(C, *batch, *event)``, in coordinates without bounds.
        log_base: The log-density of q there, shape ``(C, *batch)``.
        log_ratio: The log-density of the joint less that of q, shape ``(C, *batch)``.
        base_slope: The gradient of ``log_base``, of the shape of ``place``.
        ratio_slope: Likewise of ``log_ratio``.
    """

    place: Tensor
    log_base: Tensor
    log_ratio: Tensor
    base_slope: Tensor
    ratio_slope: Tensor

    def log_density(self, beta: float) -> Tensor:
        """The log-density of the path at temperature ``beta``, not normalised."""
        # Zero times an infinite logarithm is zero here: at beta = 0 the ratio plays no part.
        return self.log_base + beta * self.log_ratio if beta else self.log_base

    def where(self, chosen: Tensor, other: State) -> State:
        """These chains where ``chosen``, the others elsewhere."""
        deep = chosen.reshape(chosen.shape + (1,) * (self.place.ndim - chosen.ndim))
        return State(
            torch.where(deep, self.place, other.place),
            torch.where(chosen, self.log_base, other.log_base),
            torch.where(chosen, self.log_ratio, other.log_ratio),
            torch.where(deep, self.base_slope, other.base_slope),
            torch.where(deep, self.ratio_slope, other.ratio_slope),
        )


class Path:
    r"""The densities :math:`f_\beta(z) = q(z)^{1 - \beta}\, p(x, z)^\beta`, in coordinates without bounds.

    Where z has bounds it is a function of u in all reals, and both densities are those of u. Their ratio is that of z.

    Args:
        problem: Made by :func:`lvmlib.bind`.

    Raises:
        TypeError: If z is discrete, or nobody has said how its support is reached from all reals.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._weigh = problem.weigher()
        self._to_z = _unbounded(problem.q)
        self._normal = normal_in(problem.q) if self._to_z is identity_transform else None
        # Chains move in units of q's standard deviations, where they are known.
        self.units: Tensor | float = 1.0 if self._normal is None else self._normal.scale

    def start(self, num_chains: int, seed: tuple[object, ...]) -> State:
        """Chains at independent draws from q."""
        z, _ = draw_weighed(self.problem.q, num_chains, seed=(*seed, "start"), by_noise=False)
        return self.at(self._to_z.inv(z))

    def from_latent(self, z: Tensor) -> State:
        """Chains at given values of z, shape ``(C, *batch, *z_event)``."""
        return self.at(self._to_z.inv(z))

    def at(self, place: Tensor) -> State:
        """The densities and slopes at ``place``."""
        with torch.enable_grad():
            place = place.detach().requires_grad_()
            z = self._to_z(place)
            log_q = log_density(self.problem.q, z)
            log_ratio = self._weigh(z, log_q)
            (ratio_slope,) = torch.autograd.grad(log_ratio.sum(), place, retain_graph=True)
            log_base = log_q + self._stretch(place, z)
            (base_slope,) = torch.autograd.grad(log_base.sum(), place)
        return State(place.detach(), log_base.detach(), log_ratio.detach(), base_slope, ratio_slope)

    def slope(self, place: Tensor, beta: float) -> Tensor:
        """The gradient of the log-density at temperature ``beta``, for the steps inside a trajectory."""
        with torch.enable_grad():
            point = place.detach().requires_grad_()
            z = self._to_z(point)
            if self._normal is not None and self.problem.q_is_prior:
                # The prior's slope is known, and where q is the prior its density is not part of the ratio.
                (ratio_slope,) = torch.autograd.grad(self._weigh(z, z).sum(), point)
                return torch.add((self._normal.loc - place) / self._normal.scale.square(), ratio_slope, alpha=beta)
            log_q = log_density(self.problem.q, z)
            log_target = log_q + self._stretch(point, z) + beta * self._weigh(z, log_q)
            (slope,) = torch.autograd.grad(log_target.sum(), point)
        return slope

    def _stretch(self, place: Tensor, z: Tensor) -> Tensor | float:
        """The log-derivative of the map to z, by which a density of z becomes one of ``place``."""
        return 0.0 if self._to_z is identity_transform else self._to_z.log_abs_det_jacobian(place, z)


def move(
    path: Path, state: State, beta: float, step_size: Tensor, num_leapfrog: int, generator: torch.Generator
) -> tuple[State, Tensor]:
    """One transition of Hamiltonian Monte Carlo, which leaves the density at ``beta`` as it is, and is reversible.

    Args:
        path: Where the densities come from.
        state: Chains, shape ``(C, *batch)``.
        beta: The temperature, of all chains.
        step_size: Of each x, shape ``(*batch)``; fixed before the chains are seen.
        num_leapfrog: Steps of a trajectory.
        generator: Where momenta and decisions come from.

    Returns:
        The chains afterwards, and the probability with which each accepts.
    """
    batch_dims = state.log_base.ndim
    event_dims = state.place.ndim - batch_dims
    step = step_size.reshape(step_size.shape + (1,) * event_dims) * path.units
    noise: dict[str, Any] = {"dtype": state.place.dtype, "device": state.place.device, "generator": generator}
    momentum = torch.randn(state.place.shape, **noise)
    energy = 0.5 * sum_last(momentum.square(), event_dims) - state.log_density(beta)
    place, slope = state.place, torch.add(state.base_slope, state.ratio_slope, alpha=beta)
    lost = torch.zeros_like(place, dtype=torch.bool)
    for number in range(num_leapfrog):
        momentum = torch.addcmul(momentum, slope, step, value=1.0 if number else 0.5)
        place = torch.addcmul(place, momentum, step)
        outside = ~(place.abs() < _FARTHEST)  # NaN is outside too
        lost = lost | outside
        place = torch.where(outside, state.place, place)
        if number < num_leapfrog - 1:
            slope = path.slope(place, beta)
    proposed = path.at(place)
    slope = torch.add(proposed.base_slope, proposed.ratio_slope, alpha=beta)
    momentum = torch.addcmul(momentum, slope, step, value=0.5)
    gain = energy - 0.5 * sum_last(momentum.square(), event_dims) + proposed.log_density(beta)
    # NaN: numbers went bad on the way, and no chain may accept where they led.
    probability = gain.clamp(max=0.0).exp().nan_to_num(nan=0.0)
    probability = torch.where(lost.flatten(batch_dims).any(-1) if event_dims else lost, 0.0, probability)
    chosen = accepted(torch.rand(gain.shape, **noise), probability)
    return proposed.where(chosen, state), probability


def accepted(uniform: Tensor, probability: Tensor) -> Tensor:
    """Metropolis' rule: which proposals are taken."""
    return uniform < probability


def tuned_step_sizes(path: Path, betas: list[float], num_leapfrog: int, seed: tuple[object, ...]) -> Tensor:
    """A step size for each temperature inside the path, shape ``(T - 1, *batch)``, from a run that is thrown away.

    A few chains go along the path; at each temperature the step of each x is made longer where they accept more than
    wanted, and shorter where they accept less.
    """
    state = path.start(_PILOT_CHAINS, (*seed, "pilot"))
    generator = seeded_generator(state.place.device, *seed, "pilot", "moves")
    size = state.place.shape[state.log_base.ndim :].numel()
    log_step = torch.full_like(state.log_base[0], -0.25 * math.log(max(1, size)))
    steps = list[Tensor]()
    for number, beta in enumerate(betas[1:-1]):
        for _ in range(_WARM_UP if number == 0 else 1):
            state, probability = move(path, state, beta, log_step.exp(), num_leapfrog, generator)
            log_step = (log_step + probability.mean(0) - _TARGET).clamp(min=-12.0, max=1.0)
        steps.append(log_step.exp())
    return torch.stack(steps) if steps else log_step.new_zeros((0, *log_step.shape))


def _unbounded(q: Distribution) -> Any:
    """The map from all reals to the support of q.

    Raises:
        TypeError: If z is discrete, or nobody has said how its support is reached from all reals.
    """
    support = support_of(q)
    if support.is_discrete:
        raise TypeError(
            f"the prior or initial is {describe(q)}, discrete: expected a continuous z, as chains follow a gradient; "
            f"sum over a discrete z, or use importance_sampling."
        )
    if is_real(support):
        return identity_transform
    try:
        return biject_to(support)
    except NotImplementedError as error:
        raise TypeError(
            f"the prior or initial is {describe(q)} with support {support}: expected one for which "
            f"torch.distributions.biject_to knows a map from all reals; make z a vector without bounds."
        ) from error
