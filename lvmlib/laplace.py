r"""The Laplace approximation: the Gaussian at the mode of the posterior, with its curvature."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from lvmlib._checks import check_float_tensor, check_sample_count, check_shape, describe
from lvmlib._types import Float
from lvmlib.density import is_real, support_of
from lvmlib.model import LatentVariableModel, evaluating
from lvmlib.problem import check_model

__all__ = ["laplace_approximation"]


def laplace_approximation(
    model: LatentVariableModel,
    x: Tensor,
    *,
    initial: Tensor | None = None,
    max_iterations: int = 100,
) -> MultivariateNormal:
    r"""The Gaussian that shares the posterior's mode and its curvature there.

    .. math::
        q(z) = \mathrm{N}(z; z^*, \Lambda^{-1}), \qquad z^* = \arg\max_z \log p(x, z), \qquad
        \Lambda = -\nabla_z^2 \log p(x, z) \big|_{z^*}

    The mode is found for all x at once by Newton's method, each Hessian shifted until positive definite and
    each step halved until it climbs. With several modes, the one reached from ``initial`` is returned.

    As a proposal it can have tails that are too light: under a standard normal prior and a log-likelihood that falls
    at most linearly, such as that of coins, the weights have infinite variance if an eigenvalue of :math:`\Lambda` is
    above 2.

    Proved in the book: prop-laplace-tails, prop-laplace-index.

    Args:
        model: With z a real vector, shape ``(D,)``, and a twice differentiable log-joint.
        x: Observations, shape ``(*batch, *x_event)``.
        initial: Where to start, shape ``(*batch, D)``; by default the prior's mean.
        max_iterations: Newton steps at most.

    Returns:
        A MultivariateNormal with batch shape ``(*batch)``, detached from the model's parameters.

    Raises:
        TypeError: If z is discrete.
        ValueError: If z is no vector over all reals, if the log-joint is not twice differentiable somewhere on the way,
            or if no maximum with positive curvature is reached.

    References:
        MacKay (2003), *Information Theory, Inference, and Learning Algorithms*, chapter 27.
    """
    check_model(model)
    model.check_observation(x)
    check_sample_count("max_iterations", max_iterations)
    prior, batch = model.prior, model.batch_shape(x)
    if support_of(prior).is_discrete:
        raise TypeError(f"prior is {describe(prior)}, discrete: expected a continuous z, which has a curvature.")
    if len(prior.event_shape) != 1 or not is_real(support_of(prior)):
        raise ValueError(
            f"prior is {describe(prior)} with support {support_of(prior)}: expected a real vector z; make the latent "
            f"variable a vector with Independent(prior, 1), or map it to all reals first."
        )
    if x.dtype not in (torch.float32, torch.float64) and x.is_floating_point():
        raise TypeError(f"x has dtype {x.dtype}: expected float32 or float64, in which a Hessian can be factored.")
    if initial is None:
        initial = _centre(prior).expand(*batch, *prior.event_shape)
    check_shape("initial", check_float_tensor("initial", initial), (*batch, *prior.event_shape))
    if initial.dtype != model._layout().z_dtype:
        raise TypeError(
            f"initial has dtype {initial.dtype}: expected {model._layout().z_dtype}, that of z; convert it with "
            f"initial.to({model._layout().z_dtype})."
        )
    # In inference mode no tensor has a gradient, so the search is made outside it, with tensors of its own.
    with torch.inference_mode(False), evaluating(model):
        z = initial.detach().clone()
        z, curvature = _climb_to_mode(model, x.clone() if x.is_inference() else x, z, max_iterations)
        # An empty batch has nothing to validate, and torch cannot.
        precision, checked = (curvature + curvature.mT) / 2, None if z.numel() else False
        return MultivariateNormal(z, precision_matrix=precision, validate_args=checked)


def _centre(prior: Distribution) -> Tensor:
    """The mean of a prior, or its mode.

    Raises:
        ValueError: If it has neither, as a Cauchy has no mean, or they are not known.
    """
    for name in ("mean", "mode"):
        try:
            centre: Tensor = getattr(prior, name)
        except NotImplementedError:
            continue
        if centre.isfinite().all():
            return centre
    raise ValueError(
        f"prior is {describe(prior)}, which has no finite mean or mode: expected a place to start from; pass initial, "
        f"shape (*batch, D)."
    )


# The mode is found to a hundredth of a posterior standard deviation; a Newton decrement is a squared distance in these.
_SQUARED_DISTANCE = 1e-4


def _climb_to_mode(model: LatentVariableModel, x: Tensor, z: Tensor, max_iterations: int) -> tuple[Tensor, Tensor]:
    """The maximum of the log-joint in z, and its negative Hessian there."""
    for _ in range(max_iterations):
        value, gradient, curvature = _second_order(model, x, z)
        step = _newton_step(gradient, _shift_to_positive_definite(curvature))
        gain = (gradient * step).sum(-1)
        if (gain <= 1e-4 * _SQUARED_DISTANCE).all():
            z = z + step
            break
        z = _climb(model, x, z, value, step, gain)
    _, gradient, curvature = _second_order(model, x, z)
    factor, info = torch.linalg.cholesky_ex(curvature)
    newton = torch.cholesky_solve(gradient[..., None], factor)[..., 0]
    distance = torch.where(info == 0, (gradient * newton).sum(-1), torch.inf)
    lost = ~(distance < _SQUARED_DISTANCE)
    if lost.any():
        first = tuple(lost.nonzero()[0].tolist())
        raise ValueError(
            f"max_iterations is {max_iterations} and {_named(first)} has only reached "
            f"z = {z[first].tolist()}: expected a maximum with positive curvature; raise max_iterations, "
            f"pass initial near a mode, or work in float64."
        )
    return z, curvature


def _named(index: tuple[int, ...]) -> str:
    return f"x at index {index}" if index else "x"


def _newton_step(gradient: Tensor, curvature: Tensor) -> Tensor:
    return torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(curvature))[..., 0]


def _second_order(model: LatentVariableModel, x: Tensor, z: Float[Tensor, "*batch D"]) -> tuple[Tensor, Tensor, Tensor]:
    """The log-joint, its gradient and its negative Hessian in z, each x apart.

    Raises:
        ValueError: If one of them is not finite.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = model.log_joint(x, z)
        # Each x has its own z, so the gradient of the sum holds every single gradient.
        (gradient,) = torch.autograd.grad(value.sum(), z, create_graph=True)
        rows = [torch.autograd.grad(gradient[..., d].sum(), z, retain_graph=True)[0] for d in range(z.shape[-1])]
    value, gradient, curvature = value.detach(), gradient.detach(), -torch.stack(rows, dim=-2)
    _check_smooth(z.detach(), gradient, curvature)
    return value, gradient, curvature


def _check_smooth(z: Tensor, gradient: Tensor, curvature: Tensor) -> None:
    rough = ~(gradient.isfinite().all(-1) & curvature.isfinite().all((-2, -1)))
    if rough.any():
        first = tuple(rough.nonzero()[0].tolist())
        raise ValueError(
            f"{_named(first)} leads to z = {z[first].tolist()}, where log p(x, z) has gradient "
            f"{gradient[first].tolist()} and second derivatives {curvature[first].neg().tolist()}: expected a density "
            f"that is positive and twice differentiable there; pass initial at a place where it is."
        )


def _shift_to_positive_definite(curvature: Float[Tensor, "*batch D D"]) -> Float[Tensor, "*batch D D"]:
    """The curvature, if it is positive definite; else with every eigenvalue raised, to 1e-3 of the largest at least."""
    if not curvature.numel():
        return curvature
    eigenvalues = torch.linalg.eigvalsh(curvature)
    smallest, largest = eigenvalues.amin(-1), eigenvalues.abs().amax(-1)
    definite = smallest > 1e2 * torch.finfo(curvature.dtype).eps * largest
    shift = torch.where(definite, 0.0, 1e-3 * torch.where(largest > 0, largest, 1.0) - smallest)
    return curvature + shift[..., None, None] * torch.eye(curvature.shape[-1]).to(curvature)


def _climb(model: LatentVariableModel, x: Tensor, z: Tensor, value: Tensor, step: Tensor, gain: Tensor) -> Tensor:
    """The Newton step, halved for each x until its log-joint rises by a quarter of what the slope promises."""
    length = torch.ones_like(gain)
    # Less than its rounding the log-joint cannot judge, and so near the maximum a whole step is right.
    judged = gain > 1e2 * torch.finfo(z.dtype).eps * (1 + value.abs())
    for _ in range(30):
        with torch.no_grad():
            reached = model.log_joint(x, z + length[..., None] * step)
        short = judged & ~(reached >= value + 0.25 * length * gain)
        if not short.any():
            break
        length = torch.where(short, length / 2, length)
    return z + torch.where(short, 0.0, length)[..., None] * step
