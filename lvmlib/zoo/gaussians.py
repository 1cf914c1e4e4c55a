"""Members with a Gaussian posterior and a Gaussian q: light tails, wide and shifted proposals, up to 50 dimensions."""

from __future__ import annotations

import math
from dataclasses import asdict

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from lvmlib.exact import LinearGaussian
from lvmlib.zoo.grids import line, product
from lvmlib.zoo.member import Grid, Member, Truth

__all__ = ["gaussian_tail_index", "gaussian_truth", "gaussians"]


def gaussian_tail_index(posterior_precision: Tensor, q_precision: Tensor) -> float:
    r"""The tail index of the weights of two Gaussians, :math:`k = \max(0, 1 - \lambda_{\min})`.

    Here :math:`\lambda_{\min}` is the smallest eigenvalue of the posterior's precision in units of q's. In one
    dimension it is :math:`t^2 / s^2`, with s the standard deviation of the posterior and t that of q:
    :math:`\E_{q(z)}[w^a]` is the integral of a Gaussian with precision :math:`a / s^2 - (a - 1) / t^2`, which is
    positive for :math:`a < 1 / k`.
    """
    whiten = torch.linalg.inv(torch.linalg.cholesky(q_precision))
    ratio = torch.linalg.eigvalsh(whiten @ posterior_precision @ whiten.mT).min().item()
    return max(0.0, 1.0 - ratio) if ratio < 1 - 1e-9 else 0.0


def gaussian_truth(log_evidence: float, posterior: MultivariateNormal, q: MultivariateNormal) -> Truth:
    r"""The answers for a Gaussian posterior and a Gaussian q, with z's first coordinate for f.

    The square of the posterior over q is a Gaussian of precision :math:`2 \Lambda - \Lambda_q` if this is positive
    definite, times :math:`\E_{q(z)}[u^2]`; the second moment is infinite otherwise.
    """
    mean, precision = posterior.mean, posterior.precision_matrix
    q_mean, q_precision = q.mean, q.precision_matrix
    shift = mean - q_mean
    kl = 0.5 * (
        (precision @ q.covariance_matrix).trace()
        - len(mean)
        + shift @ precision @ shift
        + q_precision.logdet()
        - precision.logdet()
    )
    # log u is a quadratic in the distance from q's mean: its slope there and its curvature.
    slope, curvature = precision @ shift, (precision - q_precision) @ q.covariance_matrix
    log_variance = slope @ q.covariance_matrix @ slope + 0.5 * (curvature @ curvature).trace()
    narrow = 2 * precision - q_precision
    if torch.linalg.eigvalsh(narrow).min() > 1e-9:
        # At the mean of the squared ratio: 2 log p - log q = log E[u^2] + log N(center; center, narrow^-1).
        center = torch.linalg.solve(narrow, 2 * precision @ mean - q_precision @ q_mean)
        log_second = (
            2 * posterior.log_prob(center)
            - q.log_prob(center)
            + 0.5 * (len(mean) * math.log(2 * math.pi) - narrow.logdet())
        )
        spread = torch.linalg.inv(narrow)[0, 0] + (center - mean)[0].square()
        second = log_second.exp().item()
        f_noise = (log_second.exp() * spread).item()
    else:
        second = f_noise = math.inf
    same = torch.allclose(mean, q_mean, rtol=1e-12, atol=1e-12) and torch.allclose(precision, q_precision, rtol=1e-12)
    lowest, highest = (1.0, 1.0) if same else (1 / _extreme_ratio(q, posterior), _extreme_ratio(posterior, q))
    return Truth(
        log_evidence=log_evidence,
        kl=max(0.0, kl.item()),
        log_variance=log_variance.item(),
        second_moment=second,
        seen=1.0,
        lowest=lowest,
        highest=highest,
        f_mean=mean[0].item(),
        f_noise=f_noise,
    )


def _extreme_ratio(above: MultivariateNormal, below: MultivariateNormal) -> float:
    """The supremum of the ratio of two Gaussian densities; infinite unless the upper one has the lighter tails."""
    difference = above.precision_matrix - below.precision_matrix
    if torch.linalg.eigvalsh(difference).min() <= 1e-9:
        return math.inf
    top = torch.linalg.solve(difference, above.precision_matrix @ above.mean - below.precision_matrix @ below.mean)
    return (above.log_prob(top) - below.log_prob(top)).exp().item()


def _gaussian(
    name: str, breaks: str, model: LinearGaussian, x: Tensor, q: MultivariateNormal, grid: Grid | None, reason: str
) -> Member:
    posterior = model.posterior(x)
    return Member(
        name,
        breaks,
        model,
        q,
        x,
        tail_index=gaussian_tail_index(posterior.precision_matrix, q.precision_matrix),
        tail_reason=reason,
        grid=grid,
        stated=asdict(gaussian_truth(model.log_evidence(x).item(), posterior, q)),
    )


def _scalar(name: str, breaks: str, shift: float, ratio: float, *, noise: float = 1.0, x: float = 1.0) -> Member:
    """z ~ N(0, 1), x | z ~ N(z, noise); q is the posterior, moved by ``shift`` and ``ratio`` times as wide."""
    one = torch.ones(1, dtype=torch.float64)
    model = LinearGaussian(one[:, None], 0 * one, torch.tensor(noise, dtype=torch.float64))
    posterior = model.posterior(x * one)
    scale = posterior.stddev.item()
    q = MultivariateNormal(posterior.mean + shift * scale, posterior.covariance_matrix * ratio**2)
    z, log_volume = line(posterior.mean.item(), scale, reach=8.0)
    reason = f"1 - t^2/s^2 with t^2 = {ratio**2:.4g} s^2" if ratio < 1 else "q is at least as wide as the posterior"
    return _gaussian(name, breaks, model, x * one, q, Grid(z[:, None], log_volume), reason)


def _coordinates(name: str, breaks: str, dim: int) -> Member:
    """As many independent copies of the scalar Gaussian, with the prior for q."""
    identity = torch.eye(dim, dtype=torch.float64)
    model = LinearGaussian(identity, identity[0] * 0, torch.tensor(0.5, dtype=torch.float64))
    q = MultivariateNormal(identity[0] * 0, identity)
    return _gaussian(name, breaks, model, 1 + 0 * identity[0], q, None, "the likelihood is bounded")


def _correlated() -> Member:
    """Ten correlated latents; q is the best product of normals, with variances one over the precision's diagonal."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.7 * torch.randn(12, 10, generator=generator, dtype=torch.float64)
    model = LinearGaussian(weight, weight[:, 0] * 0, torch.tensor(1.0, dtype=torch.float64))
    x = torch.randn(12, generator=generator, dtype=torch.float64)
    posterior = model.posterior(x)
    q = MultivariateNormal(posterior.mean, (1 / posterior.precision_matrix.diagonal()).diag())
    breaks = "Trust in an optimised q: the best product of normals is too narrow in the direction of the correlation."
    reason = "one minus the smallest eigenvalue of the correlation matrix of the posterior's precision"
    return _gaussian("mean-field-10", breaks, model, x, q, None, reason)


def _pair() -> Member:
    """Two latents of which x sees the sum, with a product for q, on a grid."""
    weight = torch.ones(1, 2, dtype=torch.float64)
    model = LinearGaussian(weight, weight[0, :1] * 0, torch.tensor(0.5, dtype=torch.float64))
    x = torch.ones(1, dtype=torch.float64)
    posterior = model.posterior(x)
    q = MultivariateNormal(posterior.mean, 2.0 * torch.eye(2, dtype=torch.float64))
    axis = line(0.0, 1.0, reach=3.5)
    breaks = "Marginal thinking: x sees only the sum of two latents, so the posterior is a narrow ridge."
    return _gaussian("ridge", breaks, model, x, q, product(axis, axis), "q is wider than the posterior everywhere")


def gaussians() -> list[Member]:
    """The members with a linear Gaussian model."""
    return [
        _scalar(
            "light-tails",
            "Standard errors: the variance of the weight is infinite, and a sample of any size reports a finite one.",
            0.0,
            math.sqrt(0.4),
        ),
        _scalar(
            "nearly-light-tails",
            "Standard errors of standard errors: the variance of the weight is finite, its fourth moment is not.",
            0.0,
            math.sqrt(0.55),
        ),
        _scalar("wide-normal", "Nothing: q is twice as wide as the posterior and the weights are bounded.", 0.0, 2.0),
        _scalar(
            "shifted-normal",
            "Bounds on weights: log w is linear in z, so the weights are log-normal, unbounded and with all moments.",
            2.0,
            1.0,
        ),
        _scalar(
            "narrow-posterior",
            "Signs of entropies: the differential entropies of posterior and q are negative.",
            0.5,
            1.5,
            noise=1e-4,
            x=0.01,
        ),
        _pair(),
        _correlated(),
        _coordinates("prior-1", "Nothing: one dimension, and the prior for a q.", 1),
        _coordinates("prior-10", "Intuition from one dimension: ten of the same, and most draws count for little.", 10),
        _coordinates(
            "prior-50",
            "Readings of k̂: the weights are bounded, their true k is zero, and no affordable sample shows it.",
            50,
        ),
    ]
