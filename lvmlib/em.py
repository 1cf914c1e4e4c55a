r"""Expectation maximisation: coordinate ascent on the ELBO, in q and in the model by turns."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from lvmlib._blocks import map_rows
from lvmlib._checks import check_number, check_sample_count, check_shape, describe
from lvmlib._divergence_formulas import as_multivariate_normal
from lvmlib._threads import one_thread
from lvmlib._types import Float
from lvmlib.exact import BernoulliMixture, GaussianMixture, LinearGaussian
from lvmlib.exact.base import check_finite

__all__ = ["EMResult", "expectation_maximization", "m_step"]

_ROWS_PER_BLOCK = 8192

Maximizable: TypeAlias = GaussianMixture | BernoulliMixture | LinearGaussian


class EMResult(NamedTuple):
    """What :func:`expectation_maximization` returns.

    Attributes:
        model: The model after the last M-step, of the class of the one that was given.
        elbo: The mean ELBO of an observation, in nats, shape ``(2 T + 1,)`` after T iterations: after the first
            E-step, then after each M-step and each E-step in turn. It never falls. After an E-step it is the mean
            log-evidence: ``elbo[::2]``.
        converged: Whether it stopped because an iteration gained less than the tolerance.
    """

    model: Maximizable
    elbo: Float[Tensor, " T"]
    converged: bool


def expectation_maximization(
    model: Maximizable,
    x: Tensor,
    *,
    max_iterations: int = 100,
    tolerance: float = 1e-6,
    regularization: float = 0.0,
) -> EMResult:
    r"""Maximise the likelihood by climbing the ELBO in q and in :math:`\theta` by turns.

    .. math::
        \text{E-step:}\quad q_n \leftarrow p_\theta(z \mid x_n), \qquad
        \text{M-step:}\quad \theta \leftarrow \arg\max_\theta \sum_n \E_{q_n(z)}[\log p_\theta(x_n, z)]

    The E-step closes the gap between the ELBO and the log-evidence, the M-step lifts the ELBO; so neither ever
    falls. The optimum is a local one and depends on the model that it starts from. The arithmetic is done in float64,
    whatever the dtype of the model and the data.

    Proved in the book: prop-two-maximisations, thm-em.

    Args:
        model: Where to start: a :class:`GaussianMixture`, a :class:`BernoulliMixture`, or a
            :class:`LinearGaussian` (probabilistic PCA with one noise variance, factor analysis with one a
            coordinate). It is not changed.
        x: Data, shape ``(N, M)``.
        max_iterations: Iterations at most, each one M-step and one E-step.
        tolerance: Stop when an iteration lifts the mean ELBO by no more than this, in nats.
        regularization: Keeps covariances and probabilities off the edge, where the likelihood of a component
            that shrinks onto a few points has no bound; see :func:`m_step`. The ELBO still never falls.

    Returns:
        The model reached, the ELBO on the way, and whether the ascent converged.

    Raises:
        TypeError: If the model is none of the three.
        ValueError: If a shape does not fit, x has no row, or a component shrinks onto too few points.

    Example:
        >>> from lvmlib import BernoulliMixture, data
        >>> x = data.digits(binarize=True).images
        >>> start = BernoulliMixture(torch.full((10,), 0.1), 0.25 + 0.5 * x[:10])
        >>> result = expectation_maximization(start, x, max_iterations=5, regularization=0.01)
        >>> bool((result.elbo.diff() > 0).all())
        True

    References:
        Dempster, Laird and Rubin (1977), JRSS B 39(1); Neal and Hinton (1998), *A view of the EM algorithm that
        justifies incremental, sparse, and other variants*; Bishop (2006), section 9.4.
    """
    check_sample_count("max_iterations", max_iterations)
    if not check_number("tolerance", tolerance) >= 0:
        raise ValueError(f"tolerance is {tolerance}: expected a number of at least 0; 1e-6 is usual.")
    _check_model(model)
    _check_data(model, x)
    dtype = x.dtype
    with torch.no_grad(), one_thread(x.device, when=len(x) <= _ROWS_PER_BLOCK):
        model, x = copy.deepcopy(model).double(), x.double()
        q = model.posterior(x)
        elbo = [_mean_elbo(model, q, x)]
        converged = False
        while not converged and len(elbo) < 2 * max_iterations + 1:
            better = m_step(model, q, x, regularization=regularization)
            lifted = _mean_elbo(better, q, x)
            model, q = better, better.posterior(x)
            elbo += [lifted, _mean_elbo(model, q, x)]
            converged = bool(elbo[-1] - elbo[-3] <= tolerance)
        return EMResult(_in_dtype(model, dtype, regularization), torch.stack(elbo).to(dtype), converged)


def m_step(model: Maximizable, q: Distribution, x: Tensor, *, regularization: float = 0.0) -> Maximizable:
    r"""The model of greatest expected log-joint under a given q: one half of an iteration of EM.

    .. math:: \arg\max_\theta \sum_{n=1}^N \E_{q_n(z)}[\log p_\theta(x_n, z)]

    Args:
        model: Says which family of models is meant, and what stays as it is: the form of the noise variance, and
            the parameters of a component to which q gives no observation.
        q: A q for each observation, batch shape ``(N,)``: a Categorical for a mixture, a Gaussian for a
            :class:`LinearGaussian`. It need not be the posterior.
        x: Data, shape ``(N, M)``.
        regularization: For a :class:`GaussianMixture`, added to the diagonal of every covariance, as
            scikit-learn's ``reg_covar`` is; a covariance that would fit worse for it than the one before is not
            taken. For a :class:`LinearGaussian`, the smallest noise variance allowed; for a
            :class:`BernoulliMixture`, the smallest probability of a one and of a zero, below 0.5.

    Returns:
        A new model of the same class and dtype; the arithmetic is done in float64.

    Raises:
        TypeError: If the model or q is not of such a family.
        ValueError: If a shape does not fit, x has no row, or a covariance or a noise variance becomes singular.

    Example:
        >>> from lvmlib import LinearGaussian, data
        >>> x = data.digits(dtype=torch.float64).images
        >>> model = LinearGaussian(x[:2].T, x.mean(0), 1.0)
        >>> better = m_step(model, model.posterior(x), x)
        >>> bool(better.log_evidence(x).mean() > model.log_evidence(x).mean())
        True

    References:
        Bishop (2006), sections 9.2.2, 9.3.3 and 12.2.2; Tipping and Bishop (1999), appendix B.
    """
    _check_model(model)
    _check_data(model, x)
    bounds_probabilities = isinstance(model, BernoulliMixture)
    if not 0 <= check_number("regularization", regularization) < (0.5 if bounds_probabilities else math.inf):
        wanted = "a number from 0 to below 0.5" if bounds_probabilities else "a finite number of at least 0"
        raise ValueError(f"regularization is {regularization}: expected {wanted}; try 1e-3.")
    if tuple(q.batch_shape) != (len(x),):
        raise ValueError(
            f"q is {describe(q)} for {len(x)} observations: expected batch shape ({len(x)},), one q for each; "
            f"pass model.posterior(x) or q.expand(({len(x)},))."
        )
    values = q.probs.shape[-1:] if isinstance(q, Categorical) else q.event_shape
    wanted_values = model.prior.event_shape if isinstance(model, LinearGaussian) else model.weights.shape
    if isinstance(q, Categorical) != isinstance(model, LinearGaussian) and values != wanted_values:
        raise ValueError(
            f"q is {describe(q)} over a z of size {tuple(values)}: expected {tuple(wanted_values)}, that of the "
            f"model's z; pass a q over the same z, such as model.posterior(x)."
        )
    with torch.no_grad():
        if isinstance(model, GaussianMixture):
            better: Maximizable = _gaussian_mixture(model, q, x.double(), regularization)
        elif isinstance(model, BernoulliMixture):
            better = _bernoulli_mixture(model, q, x.double(), regularization)
        else:
            better = _linear_gaussian(model, q, x.double(), regularization)
        return _in_dtype(better, x.dtype, regularization)


def _gaussian_mixture(model: GaussianMixture, q: Distribution, x: Tensor, regularization: float) -> GaussianMixture:
    responsibilities, counts, some = _responsibilities(q)
    means = torch.where(some[:, None], (responsibilities.T @ x) / counts[:, None], model.means)
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    covariances = []
    for c, before in enumerate(model.covariances.double()):
        scatter = _scatter(x, means[c], responsibilities[:, c]) / counts[c]
        after = scatter + regularization * identity
        keep = not some[c] or (regularization > 0 and _mean_fit(before, scatter) > _mean_fit(after, scatter))
        covariances.append(before if keep else after)
    shares = responsibilities.mean(0)
    with _shrinking_is_explained(regularization):
        return GaussianMixture(shares / shares.sum(), means, torch.stack(covariances))


def _bernoulli_mixture(model: BernoulliMixture, q: Distribution, x: Tensor, regularization: float) -> BernoulliMixture:
    responsibilities, counts, some = _responsibilities(q)
    probs = responsibilities.T @ x / counts[:, None]
    # Rounded to nought or one, a coin would make an observation impossible that has a small share in it.
    small = torch.finfo(model.probs.dtype)
    shares = (responsibilities > 0).to(x)
    probs = torch.where(shares.T @ x > 0, probs.clamp(min=small.tiny), 0.0)
    probs = torch.where(shares.T @ (1 - x) > 0, probs.clamp(max=1 - small.eps), 1.0)
    probs = torch.where(some[:, None], probs, model.probs).clamp(regularization, 1 - regularization)
    weights = responsibilities.mean(0)
    return BernoulliMixture(weights / weights.sum(), probs)


def _linear_gaussian(model: LinearGaussian, q: Distribution, x: Tensor, regularization: float) -> LinearGaussian:
    gaussian = as_multivariate_normal(q)
    if gaussian is None:
        raise TypeError(
            f"q is {describe(q)}: expected a Gaussian for the M-step of a LinearGaussian; use its posterior."
        )
    mean, covariance = gaussian.mean.double(), gaussian.covariance_matrix.double().mean(0)
    # The regression of x on z and a constant, with z known up to its covariance.
    inputs = torch.cat([mean, torch.ones_like(mean[:, :1])], dim=1)
    moments = inputs.T @ inputs / len(x)
    moments[:-1, :-1] += covariance
    centre = x.mean(0)
    centred = map_rows(lambda rows: rows - centre, x, numbers_per_row=x.shape[1])
    coefficients = torch.linalg.solve(moments, inputs.T @ centred / len(x)).T
    weight, bias = coefficients[:, :-1], coefficients[:, -1]
    misfit = (centred - inputs @ coefficients.T).square().mean(0) + ((weight @ covariance) * weight).sum(-1)
    noise_variance = (misfit if model.noise_variance.ndim else misfit.mean()).clamp(min=regularization)
    with _shrinking_is_explained(regularization):
        return LinearGaussian(weight, bias + centre, noise_variance)


def _scatter(x: Float[Tensor, "N M"], mean: Float[Tensor, M], shares: Float[Tensor, N]) -> Float[Tensor, "M M"]:
    """The sum of squares around a mean, each row with its share; symmetric to the last digit, block by block.

    What is left of a constant column is the rounding of its mean, and counts as zero.
    """
    total = x.new_zeros(x.shape[1], x.shape[1])
    rounding = 8 * torch.finfo(x.dtype).eps * mean.abs()
    for rows, share in zip(x.split(_ROWS_PER_BLOCK), shares.split(_ROWS_PER_BLOCK), strict=True):
        deviation = rows - mean
        centred = deviation.masked_fill(deviation.abs() <= rounding, 0.0) * share.sqrt()[:, None]
        total += centred.T @ centred
    return (total + total.T) / 2


def _mean_fit(covariance: Float[Tensor, "M M"], scatter: Float[Tensor, "M M"]) -> float:
    """The mean log-density of points with this scatter around the mean, up to a constant, in nats; ``-inf`` where the
    covariance is singular."""
    factor, info = torch.linalg.cholesky_ex(covariance)
    if info.any():
        return -math.inf
    log_det = 2 * factor.diagonal().log().sum()
    return -0.5 * (log_det + torch.cholesky_solve(scatter, factor).trace()).item()


def _in_dtype(model: Maximizable, dtype: torch.dtype, regularization: float) -> Maximizable:
    """The model in another dtype, made and checked anew: a covariance may be singular in float32 alone."""
    if isinstance(model, GaussianMixture):
        with _shrinking_is_explained(regularization):
            return GaussianMixture(model.weights.to(dtype), model.means.to(dtype), model.covariances.to(dtype))
    if isinstance(model, BernoulliMixture):
        # Of a coin that may fall either way, neither side rounds to impossible.
        inner = model.probs.clamp(torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps)
        probs = torch.where((model.probs > 0) & (model.probs < 1), inner, model.probs)
        return BernoulliMixture(model.weights.to(dtype), probs.to(dtype))
    with _shrinking_is_explained(regularization):
        return LinearGaussian(model.weight.to(dtype), model.bias.to(dtype), model.noise_variance.to(dtype))


@contextmanager
def _shrinking_is_explained(regularization: float) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"regularization is {regularization:g} and a component has shrunk onto too few points, or onto a plane "
            f"({error}): expected variances that stay positive definite; raise regularization, for instance to "
            f"{max(1e-3, 10 * regularization):g}, or drop constant columns and outliers."
        ) from error


def _responsibilities(q: Distribution) -> tuple[Tensor, Tensor, Tensor]:
    """The table of q, the observations that each component gets, at least a harmless one, and whether it gets any."""
    if not isinstance(q, Categorical):
        raise TypeError(f"q is {describe(q)}: expected a Categorical for the M-step of a mixture; use its posterior.")
    responsibilities = q.probs.double()
    counts = responsibilities.sum(0)
    some = counts > torch.finfo(q.probs.dtype).tiny
    return responsibilities, torch.where(some, counts, 1.0), some


def _mean_elbo(model: Maximizable, q: Distribution, x: Tensor) -> Tensor:
    return (model.expected_log_joint(q, x) + q.entropy()).mean()


def _check_model(model: object) -> None:
    if not isinstance(model, Maximizable):
        raise TypeError(
            f"model is of type {type(model).__name__}: expected a GaussianMixture, a BernoulliMixture or a "
            f"LinearGaussian, whose M-step is a formula; learn other models with fit(model, q, data)."
        )


def _check_data(model: Maximizable, x: Tensor) -> None:
    model.check_observation(x)
    check_shape("x", x, ("N", x.shape[-1] if x.ndim else "M"))
    if not len(x):
        raise ValueError("x has 0 rows: expected at least one observation to learn from; check how x was selected.")
    check_finite("x", x)
