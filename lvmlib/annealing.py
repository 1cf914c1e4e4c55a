r"""Weights collected along a path from q to the joint: the evidence from below and, on simulated data, from above.

.. math:: \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log \frac{p(x, z_{t-1})}{q(z_{t-1})}
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from lvmlib._checks import as_float_tensor, check_positive, check_possible, check_sample_count, describe
from lvmlib._hamiltonian import Path, move, temperatures, tuned_step_sizes
from lvmlib._hierarchy import is_levels
from lvmlib._random import derived_seed, seeded_generator, stream_key
from lvmlib._streams import block_length
from lvmlib._threads import in_threads
from lvmlib._types import Float
from lvmlib._weight_summary import WeightSummary
from lvmlib.evidence import EvidenceEstimate, check_covers
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind, bind_to_prior, check_model

__all__ = ["AnnealedEstimate", "annealed_importance_sampling", "bidirectional_monte_carlo"]


@dataclass(frozen=True, repr=False)
class AnnealedEstimate(EvidenceEstimate):
    r"""An estimate of :math:`\log p(x)` from annealed chains, with how they moved.

    Args:
        summary: The weights of the chains; of chains that run backwards, their inverses, so that
            ``ess``, ``pareto_k`` and ``believable`` speak about the numbers that are averaged.
        direction: ``"lower"`` for chains that start at q, ``"upper"`` for chains that start at the posterior: the side
            of :math:`\log p(x)` on which the estimate lies in expectation. With probability at least
            :math:`1 - e^{-t}` it is also not beyond :math:`\log p(x)` by more than t on the other side.
        acceptance: The mean probability of accepting a move, for each temperature inside the path and each x, shape
            ``(T - 1, *batch)``.
        step_size: The steps that the chains used, of the same shape.
    """

    acceptance: Tensor
    step_size: Tensor

    @property
    def log_evidence(self) -> Float[Tensor, "*batch"]:
        r"""The estimate of :math:`\log p(x)`, in nats."""
        return -self.summary.log_evidence if self.direction == "upper" else self.summary.log_evidence

    @property
    def smoothed_log_evidence(self) -> Float[Tensor, "*batch"]:
        """The estimate by Pareto smoothed weights, in nats; see :attr:`WeightSummary.smoothed_log_evidence`."""
        smoothed = self.summary.smoothed_log_evidence
        return -smoothed if self.direction == "upper" else smoothed

    def __repr__(self) -> str:
        value, batch = self.log_evidence, tuple(self.log_evidence.shape)
        largest = max(self.std_error.flatten().tolist(), default=torch.nan)
        accepts = f", acceptance={self.acceptance.mean():.2f}" if len(self.acceptance) else ""
        return (
            f"AnnealedEstimate({f'batch_shape={batch}, mean ' if batch else ''}log_evidence={value.mean():.4f}, "
            f"{'largest ' if batch else ''}std_error={largest:.2g}{accepts}, "
            f"num_chains={self.num_samples}, num_steps={len(self.acceptance) + 1}, direction={self.direction!r})"
        )


def annealed_importance_sampling(
    model: LatentVariableModel,
    x: Tensor,
    *,
    num_chains: int,
    num_steps: int,
    initial: Guide | None = None,
    seed: int | None = None,
    num_leapfrog: int = 10,
    step_size: float | Tensor | None = None,
) -> AnnealedEstimate:
    r"""The evidence by annealed importance sampling, with moves of Hamiltonian Monte Carlo.

    .. math::
        f_t(z) = q(z)^{1 - \beta_t}\, p(x, z)^{\beta_t}, \qquad 0 = \beta_0 < \dots < \beta_T = 1, \qquad
        w = \prod_{t=1}^T \frac{f_t(z_{t-1})}{f_{t-1}(z_{t-1})}, \qquad \E[w] = p(x)

    A chain starts at :math:`z_0 \sim q`. Each step first takes its part of the weight, at the place where the chain
    stands, and then moves the chain by a kernel that leaves :math:`f_t` as it is: T + 1 temperatures, T increments,
    T - 1 moves. The average weight is unbiased for :math:`p(x)` for every number of steps and however badly the
    chains mix; more steps make its variance smaller. With one step it is importance sampling.

    Proved in the book: thm-ais.

    The kernels are fixed before the chains start: step sizes are tuned by a run of their own, which is thrown away.
    A move that meets NaN or leaves the range of numbers is refused, and the chain stays where it was.

    Args:
        model: The joint density, with a continuous z. Bounds of z are removed by a change of coordinates.
        x: Observations, shape ``(*batch, *x_event)``.
        num_chains: The number of chains for each x, each with one weight.
        num_steps: T, the number of increments of the temperature.
        initial: q, where the chains start: a Distribution over z, or a callable from x to one; by default the prior.
            It must be above zero wherever the joint density is.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.
        num_leapfrog: Steps of each trajectory.
        step_size: Length of a step, in standard deviations of q where it is made of normals, and in units of z
            otherwise: one number, or one for each temperature and x, shape ``(T - 1, *batch)``. By default it is tuned.

    Returns:
        An :class:`AnnealedEstimate` with the batch shape of x, ``direction="lower"``. Memory does not grow with the
        number of chains.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`; also if z is discrete.
        ValueError: Likewise; also if a count is below 1 or ``step_size`` is not above zero.

    Example:
        >>> from lvmlib import LinearGaussian
        >>> model = LinearGaussian(torch.ones(3, 2).double(), torch.zeros(3).double(), 0.5)
        >>> x = torch.ones(3).double()
        >>> estimate = annealed_importance_sampling(model, x, num_chains=200, num_steps=20, seed=0)
        >>> bool((estimate.log_evidence - model.log_evidence(x)).abs() < 5 * estimate.std_error)
        True

    References:
        Neal (2001), *Annealed importance sampling*; Neal (2011), *MCMC using Hamiltonian dynamics*; Wu, Burda,
        Salakhutdinov and Grosse (2017), *On the quantitative analysis of decoder-based generative models*.
    """
    _check_counts(num_chains, num_steps, num_leapfrog)
    key = stream_key("annealed_importance_sampling", seed)
    with torch.inference_mode(False), torch.no_grad():
        run = _Run(_bound(model, x, initial), num_steps, num_leapfrog, step_size, key)
        return run.estimate(num_chains)


def bidirectional_monte_carlo(
    model: LatentVariableModel,
    *,
    num_chains: int,
    num_steps: int,
    seed: int | None = None,
    num_observations: int = 1,
    simulated: tuple[Tensor, Tensor] | None = None,
    initial: Guide | None = None,
    num_leapfrog: int = 10,
    step_size: float | Tensor | None = None,
) -> tuple[AnnealedEstimate, AnnealedEstimate]:
    r"""The evidence of simulated data from both sides: annealing forwards from q, and backwards from the true z.

    For data that the model has made, z is known, and it is an exact draw from the posterior. Chains that start there
    and run the same kernels in reverse order have :math:`\E[1 / w] = 1 / p(x)`, so that
    :math:`-\log` of the average of :math:`1/w` is above :math:`\log p(x)` in expectation. The difference of the two
    estimates bounds, in expectation, the error of either.

    Proved in the book: thm-reverse-ais.

    **On data that the model has not made there is no such z, and no upper bound.** How well annealing does on simulated
    data says how well it does on real data only as far as the two are alike.

    Args:
        model: As :func:`annealed_importance_sampling`.
        num_chains: Chains for each x and each direction. Those that run backwards start at the same z.
        num_steps: As :func:`annealed_importance_sampling`.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.
        num_observations: How many x are simulated.
        simulated: Data made before, ``(x, z)`` of shapes ``(*batch, *x_event)`` and ``(*batch, *z_event)`` as
            ``model.sample`` gives them, in the place of new ones.
        initial: As :func:`annealed_importance_sampling`.
        num_leapfrog: As :func:`annealed_importance_sampling`.
        step_size: As :func:`annealed_importance_sampling`; both directions use the same.

    Returns:
        ``(lower, upper)``, two estimates with the batch shape of x. The standard error of the upper one is that of
        chains from this z.

    Raises:
        TypeError, ValueError: As :func:`annealed_importance_sampling`; also if ``simulated`` is no such pair.

    Example:
        >>> from lvmlib import LinearGaussian
        >>> model = LinearGaussian(torch.ones(3, 2).double(), torch.zeros(3).double(), 0.5)
        >>> x, z = model.sample(50, seed=0)
        >>> lower, upper = bidirectional_monte_carlo(model, num_chains=2, num_steps=5, simulated=(x, z), seed=0)
        >>> bool(lower.log_evidence.mean() < model.log_evidence(x).mean() < upper.log_evidence.mean())
        True

    References:
        Grosse, Ghahramani and Adams (2015), *Sandwiching the marginal likelihood using bidirectional Monte Carlo*.
    """
    _check_counts(num_chains, num_steps, num_leapfrog)
    check_sample_count("num_observations", num_observations)
    check_model(model)
    key = stream_key("bidirectional_monte_carlo", seed)
    if simulated is None:
        simulated = model.sample(num_observations, seed=derived_seed(key, "data"))
    if not isinstance(simulated, tuple) or len(simulated) != 2:
        raise TypeError(f"simulated is {describe(simulated)}: expected a pair (x, z); pass model.sample(n).")
    x, z = simulated
    with torch.inference_mode(False), torch.no_grad():
        problem = _bound(model, x, initial)
        z = _outside_inference(z)
        model._check_latent(z, "simulated z")
        if z.shape != problem.batch_shape + problem.q.event_shape:
            raise ValueError(
                f"simulated has z of shape {tuple(z.shape)} for x of batch shape {tuple(problem.batch_shape)}: "
                f"expected {tuple(problem.batch_shape + problem.q.event_shape)}, one z for each x; pass "
                f"model.sample(n)."
            )
        with problem.mode():
            check_possible("simulated z", model._log_joint(problem.x, z))
        run = _Run(problem, num_steps, num_leapfrog, step_size, key)
        return run.estimate(num_chains), run.estimate(num_chains, backwards_from=z)


def _check_counts(num_chains: int, num_steps: int, num_leapfrog: int) -> None:
    check_sample_count("num_chains", num_chains)
    check_sample_count("num_steps", num_steps)
    check_sample_count("num_leapfrog", num_leapfrog)


def _bound(model: LatentVariableModel, x: Tensor, initial: Guide | None) -> Problem:
    x = _outside_inference(x)
    if initial is None:
        return bind_to_prior(model, x)
    if not isinstance(initial, Distribution) and not callable(initial) and not is_levels(initial):
        raise TypeError(
            f"initial is {describe(initial)}: expected a torch Distribution over z, or a callable from x to one; leave "
            f"it out to begin at the prior."
        )
    problem = bind(model, initial, x)
    check_covers(problem)
    return problem


def _outside_inference(value: Tensor) -> Tensor:
    """The same numbers, of which a gradient can be taken."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value


class _Run:
    """A path, its temperatures and its frozen kernels, for chains in both directions."""

    def __init__(
        self, problem: Problem, num_steps: int, num_leapfrog: int, step_size: float | Tensor | None, key: int
    ) -> None:
        self.problem, self.num_leapfrog, self.key = problem, num_leapfrog, key
        self.betas = temperatures(num_steps)
        with problem.mode():
            self.path = Path(problem)
            if step_size is None:
                self.step_size = tuned_step_sizes(self.path, self.betas, num_leapfrog, (key,))
                return
        like = torch.empty((), dtype=problem.model._layout().z_dtype, device=problem.x.device)
        given = as_float_tensor("step_size", step_size, like)
        check_positive("step_size", given)
        shape = (num_steps - 1, *problem.batch_shape)
        if given.ndim and given.shape != shape:
            raise ValueError(
                f"step_size has shape {tuple(given.shape)}: expected () or {shape}, one number for each temperature "
                f"inside the path and each x; pass a float for one step size."
            )
        self.step_size = given.expand(shape)

    def estimate(self, num_chains: int, *, backwards_from: Tensor | None = None) -> AnnealedEstimate:
        """Chains in blocks, each with a random stream of its own, so that threads do not change the numbers."""
        backwards = backwards_from is not None
        length, summary = block_length(self.problem), WeightSummary()

        def block(index: int) -> tuple[tuple[object, ...], Tensor]:
            size = min(length, num_chains - index * length)
            log_w, accepts = self._chains(
                size, (self.key, "backwards" if backwards else "forwards", index), backwards_from
            )
            return summary._digest(-log_w if backwards else log_w), size / num_chains * accepts

        acceptance = torch.zeros_like(self.step_size)
        blocks = range(-(-num_chains // length))
        with self.problem.mode():
            for part, share in in_threads(block, blocks, self.problem.x.device):
                summary._absorb(*part)  # type: ignore[arg-type]
                acceptance = acceptance + share
        summary._check_finite()
        return AnnealedEstimate(summary, "upper" if backwards else "lower", acceptance, self.step_size)

    def _chains(
        self, num_chains: int, seed: tuple[object, ...], backwards_from: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The log-weights of some chains, shape ``(C, *batch)``, and how often they accept at each temperature."""
        path, betas = self.path, self.betas
        generator = seeded_generator(self.problem.x.device, *seed, "moves")
        if backwards_from is None:
            order = list(range(1, len(betas)))
            state = path.start(num_chains, seed)
        else:
            order = list(range(len(betas) - 1, 0, -1))
            state = path.from_latent(backwards_from.expand(num_chains, *backwards_from.shape))
        log_w = torch.zeros_like(state.log_ratio, dtype=torch.float64)
        accepts = torch.zeros_like(self.step_size)
        for position, step in enumerate(order):
            # The increment comes before the move, at the place to which the last one led.
            log_w += (betas[step] - betas[step - 1]) * state.log_ratio
            if position < len(order) - 1:
                inside = step if backwards_from is None else step - 1
                state, probability = move(
                    path, state, betas[inside], self.step_size[inside - 1], self.num_leapfrog, generator
                )
                accepts[inside - 1] = probability.mean(0)
        return log_w.to(state.log_ratio), accepts
