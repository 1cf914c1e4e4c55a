r"""Gradients of a bound as losses: what to minimise so that automatic differentiation gives the estimator.

For the parameters :math:`\theta` of the model and :math:`\phi` of q alike, one backward pass through
:func:`surrogate` leaves the negative of an unbiased estimate of the gradient of a bound.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lvmlib._checks import check_sample_count, describe
from lvmlib._draws import draw
from lvmlib._log_space import log_mean_exp, self_normalized
from lvmlib._types import Float
from lvmlib.density import log_density, sum_last
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind

__all__ = ["Baseline", "Estimator", "RunningMean", "check_surrogate", "surrogate", "surrogate_of"]

Estimator = Literal["reparameterized", "score", "stl", "iwae", "dreg", "vimco"]

_OF_THE_ELBO = ("reparameterized", "score", "stl")
_NEEDS_REPARAMETERIZATION = ("reparameterized", "stl", "iwae", "dreg")


class RunningMean(nn.Module):
    r"""A baseline for the score estimator: the mean log-weight of the calls so far, recent ones first.

    .. math:: b_t = \frac{\sum_{s < t} \rho^{\,t - s}\, \bar\ell_s}{\sum_{s < t} \rho^{\,t - s}}

    where :math:`\bar\ell_s` is the mean of :math:`\log w` in call s. The mean of call t enters only afterwards:
    a baseline that looked at the draws whose gradient it is used for would bias that gradient. It starts at
    zero. Being a module, it keeps its state in ``state_dict()`` and moves with ``.to(device)``.

    Proved in the book: prop-baseline.

    Args:
        decay: :math:`\rho`, from 0 (the last call alone) to below 1.

    Raises:
        ValueError: If ``decay`` is not in [0, 1).

    Example:
        >>> baseline = RunningMean(decay=0.5)
        >>> baseline.update(torch.tensor([[-4.0], [-6.0]])).mean.item()
        -5.0

    References:
        Williams (1992), *Simple statistical gradient-following algorithms for connectionist reinforcement learning*;
        Mnih and Gregor (2014), *Neural variational inference and learning in belief networks*.
    """

    total: Tensor
    count: Tensor

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}: expected a number of at least 0 and below 1; try 0.9.")
        self.decay = decay
        self.register_buffer("total", torch.zeros((), dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @property
    def mean(self) -> Float[Tensor, ""]:
        """The baseline for the next call, in nats; zero before the first."""
        return self.total / self.count.clamp(min=torch.finfo(torch.float64).tiny)

    def update(self, log_w: Float[Tensor, K * batch]) -> RunningMean:
        """Take in the log-weights of a call, in nats; draws of weight zero are left out.

        Args:
            log_w: Shape ``(K, *batch)``.

        Returns:
            The baseline itself.
        """
        finite = log_w > -torch.inf
        mean = torch.where(finite, log_w, 0.0).sum() / finite.sum().clamp(min=1)
        self.total.mul_(self.decay).add_(torch.where(finite.any(), mean, self.mean))
        self.count.mul_(self.decay).add_(1.0)
        return self


Baseline: TypeAlias = RunningMean | Literal["leave_one_out"] | None


def surrogate(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    estimator: Estimator = "reparameterized",
    baseline: Baseline = None,
) -> Float[Tensor, ""]:
    r"""A loss whose gradient is an estimate of the gradient of a bound, summed over the batch.

    Its value is the negative of the bound's own estimate, whatever the estimator of the gradient.

    With :math:`w_k = p_\theta(x, z_k) / q_\phi(z_k)` and :math:`\tilde w_k = w_k / \sum_j w_j`, and draws
    :math:`z_k = z(\varepsilon_k, \phi)` where they can be reparameterised, the gradients in :math:`\phi` are, for the
    ELBO,

    .. math::
        \text{reparameterized:}\quad & \tfrac1K \sum_k \nabla_\phi \log w_k \\
        \text{stl:}\quad & \tfrac1K \sum_k \frac{\partial \log w_k}{\partial z_k} \nabla_\phi z_k \\
        \text{score:}\quad & \tfrac1K \sum_k (\log w_k - b_k)\, \nabla_\phi \log q_\phi(z_k)

    and for the importance-weighted bound :math:`\mathcal{L}_K`

    .. math::
        \text{iwae:}\quad & \textstyle\sum_k \tilde w_k \nabla_\phi \log w_k \\
        \text{dreg:}\quad & \textstyle\sum_k \tilde w_k^2 \frac{\partial \log w_k}{\partial z_k} \nabla_\phi z_k \\
        \text{vimco:}\quad & \textstyle\sum_k \big(\hat{\mathcal{L}} - \hat{\mathcal{L}}_{-k}\big)
            \nabla_\phi \log q_\phi(z_k) - \sum_k \tilde w_k \nabla_\phi \log q_\phi(z_k),

    where :math:`\hat{\mathcal{L}}_{-k}` is :math:`\hat{\mathcal{L}} = \log \frac1K \sum_j w_j` with :math:`w_k`
    replaced by the geometric mean of the others. In :math:`\theta` they are
    :math:`\frac1K \sum_k \nabla_\theta \log p_\theta(x, z_k)` for the first three and
    :math:`\sum_k \tilde w_k \nabla_\theta \log p_\theta(x, z_k)` for the last three.

    ``stl`` has variance zero in :math:`\phi` where q is the posterior. Only ``score`` and ``vimco`` can learn a
    discrete z. Gradients stay finite past draws of weight zero, though the ELBO is then minus infinity.

    Proved in the book: prop-theta-gradient, thm-score-function, prop-baseline, prop-leave-one-out,
    thm-reparameterisation, prop-stl.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(*batch, *x_event)``.
        num_samples: The number K of draws.
        estimator: One of the six above.
        baseline: :math:`b_k` of ``score``: ``None`` for zero; ``"leave_one_out"`` for the mean of the other
            log-weights of the same x; or a :class:`RunningMean`, which this call also updates.

    Returns:
        The loss, in nats, shape ``()``. Minimise it.

    Raises:
        TypeError: As :func:`~lvmlib.log_weights`; and if draws from q cannot be reparameterised, as of a discrete
            z, but the estimator needs that.
        ValueError: Likewise; if ``estimator`` or ``baseline`` is none of those named, a baseline is given to
            another estimator than ``score``, or K = 1 leaves no other draw to compare with.

    Example:
        >>> from torch.distributions import Normal
        >>> from lvmlib import MeanFieldGuide, LinearGaussian
        >>> model = LinearGaussian(torch.ones(3, 1), torch.zeros(3), 0.5)
        >>> guide = MeanFieldGuide(1)
        >>> surrogate(model, guide, torch.ones(5, 3), num_samples=4, estimator="stl").backward()
        >>> guide.loc.grad.shape
        torch.Size([1])

    References:
        Mohamed, Rosca, Figurnov and Mnih (2020), *Monte Carlo gradient estimation in machine learning*, for an
        overview; Kingma and Welling (2014), reparameterised; Roeder, Wu and Duvenaud (2017), *Sticking the landing*;
        Ranganath, Gerrish and Blei (2014), score; Burda, Grosse and Salakhutdinov (2016), IWAE; Tucker, Lawson,
        Gu and Maddison (2019), *Doubly reparameterized gradient estimators*; Mnih and Rezende (2016), VIMCO.
    """
    check_surrogate(num_samples, estimator, baseline)
    problem = bind(model, q, x)
    with problem.mode():
        return surrogate_of(problem, num_samples, estimator=estimator, baseline=baseline)


def surrogate_of(
    problem: Problem, num_samples: int, *, estimator: Estimator = "reparameterized", baseline: Baseline = None
) -> Float[Tensor, ""]:
    """:func:`surrogate` of a problem, for a loop: options and data were checked before it.

    Raises:
        TypeError: If draws from q cannot be reparameterised, but the estimator needs that.
    """
    if estimator in _NEEDS_REPARAMETERIZATION and not problem.q.has_rsample:
        raise TypeError(
            f"estimator is {estimator!r} and q is {describe(problem.q)}, whose draws cannot be differentiated: "
            f"expected a q with reparameterised draws; for this q, as for every discrete z, use estimator='score' or "
            f"estimator='vimco'."
        )
    if not torch.is_grad_enabled():
        # Nothing to differentiate, and in inference mode nothing that could be: the value of the bound is all there is.
        log_w = problem.weigh(*problem.draw_weighed(num_samples))
        return -(log_w.mean(0) if estimator in _OF_THE_ELBO else log_mean_exp(log_w)).sum()
    if estimator == "reparameterized":
        return problem.weigh(*problem.draw_weighed(num_samples)).sum() / -num_samples
    if estimator == "iwae":
        return -log_mean_exp(problem.weigh(*problem.draw_weighed(num_samples))).sum()
    if estimator == "stl":
        return _stl(problem, num_samples)
    if estimator == "dreg":
        return _dreg(problem, num_samples)
    if estimator == "score":
        return _score(problem, num_samples, baseline)
    return _vimco(problem, num_samples)


def _stl(problem: Problem, num_samples: int) -> Tensor:
    z = draw(problem.q, num_samples)
    log_joint = problem.model._log_joint(problem.x, z)
    log_q, slope = _density_at_fixed_parameters(problem.q, z)
    possible = log_joint > -torch.inf
    ascent = torch.where(possible, log_joint - _inner(slope, z, log_q.ndim), 0.0).mean(0)
    return _loss((log_joint - log_q).mean(0), ascent)


def _dreg(problem: Problem, num_samples: int) -> Tensor:
    z = draw(problem.q, num_samples)
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        log_joint = problem.model._log_joint(problem.x, point)
        (joint_slope,) = torch.autograd.grad(log_joint.sum(), point, retain_graph=True)
    log_q, slope = _density_at_fixed_parameters(problem.q, z)
    log_w = log_joint.detach() - log_q
    weights = self_normalized(log_w)
    along_theta = weights * torch.where(log_joint > -torch.inf, log_joint, 0.0)
    along_draws = weights.square() * _inner(joint_slope - slope, z, log_q.ndim)
    return _loss(log_mean_exp(log_w), (along_theta + along_draws).sum(0))


def _score(problem: Problem, num_samples: int, baseline: Baseline) -> Tensor:
    with torch.no_grad():
        z = draw(problem.q, num_samples)
    log_joint, log_q = problem.model._log_joint(problem.x, z), log_density(problem.q, z)
    log_w = (log_joint - log_q).detach()
    possible = log_w > -torch.inf
    signal = log_w
    if baseline == "leave_one_out":
        finite = torch.where(possible, log_w, 0.0)
        others = possible.sum(0) - possible.to(log_w)
        signal = log_w - (finite.sum(0) - finite) / others.clamp(min=1.0)
    elif baseline is not None:
        signal = log_w - baseline.mean.to(log_w)
        baseline.update(log_w)
    ascent = torch.where(possible, log_joint, 0.0) + torch.where(possible, signal, 0.0) * log_q
    return _loss(log_w.mean(0), ascent.mean(0))


def _vimco(problem: Problem, num_samples: int) -> Tensor:
    with torch.no_grad():
        z = draw(problem.q, num_samples)
    log_q = log_density(problem.q, z)
    log_w = problem.model._log_joint(problem.x, z) - log_q
    bound = log_mean_exp(log_w)
    signal = bound.detach() - _bound_without_each(log_w.detach())
    possible = bound > -torch.inf
    ascent = torch.where(possible, bound, 0.0) + (torch.where(possible, signal, 0.0) * log_q).sum(0)
    return _loss(bound, ascent)


def _bound_without_each(log_w: Float[Tensor, K * batch]) -> Float[Tensor, K * batch]:
    """The log-mean weight with each weight in turn replaced by the geometric mean of the others.

    Zero, as good a baseline as any other that does not look at the draw, where all others are zero.
    """
    impossible = (log_w == -torch.inf).to(log_w)
    finite = torch.where(impossible > 0, 0.0, log_w)
    geometric = (finite.sum(0) - finite) / (len(log_w) - 1)
    geometric = torch.where(impossible.sum(0) - impossible > 0, -torch.inf, geometric)
    itself = torch.eye(len(log_w), dtype=torch.bool, device=log_w.device)
    itself = itself.reshape(*itself.shape, *(1,) * (log_w.ndim - 1))
    bound = log_mean_exp(torch.where(itself, geometric, log_w[:, None]))
    return torch.where(bound == -torch.inf, 0.0, bound)


def _density_at_fixed_parameters(q: Distribution, z: Tensor) -> tuple[Tensor, Tensor]:
    """Log q at the draws, and its slope in z with the parameters of q held fixed, whatever makes up q."""
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        log_q = log_density(q, point)
        (slope,) = torch.autograd.grad(log_q.sum(), point)
    return log_q.detach(), slope


def _inner(slope: Tensor, z: Tensor, batch_dims: int) -> Tensor:
    return sum_last(slope * z, z.ndim - batch_dims)


def _loss(bound: Tensor, ascent: Tensor) -> Tensor:
    """The negative bound as a value with the gradient of another quantity, summed over the batch."""
    return -(bound.detach() + (ascent - ascent.detach())).sum()


def check_surrogate(num_samples: int, estimator: str, baseline: Baseline) -> None:
    """The options of :func:`surrogate` fit together; see there for what is raised."""
    check_sample_count("num_samples", num_samples)
    if estimator not in get_args(Estimator):
        raise ValueError(f"estimator is {estimator!r}: expected one of {get_args(Estimator)}; correct the name.")
    if baseline is not None and baseline != "leave_one_out" and not isinstance(baseline, RunningMean):
        raise ValueError(
            f"baseline is {describe(baseline)}: expected None, 'leave_one_out' or a RunningMean; pass RunningMean()."
        )
    if baseline is not None and estimator != "score":
        raise ValueError(
            f"baseline is {describe(baseline)} for estimator {estimator!r}: expected None, as only 'score' takes one; "
            f"leave it out."
        )
    if num_samples == 1 and (baseline == "leave_one_out" or estimator == "vimco"):
        raise ValueError(
            f"num_samples is 1 for {'vimco' if estimator == 'vimco' else 'a leave-one-out baseline'}: expected at "
            f"least 2, so that each draw has others to be compared with; raise it."
        )
