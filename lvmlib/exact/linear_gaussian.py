r"""A linear map of a standard normal plus Gaussian noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from lvmlib._blocks import map_rows
from lvmlib._broadcast import broadcast_shapes, broadcasts_into
from lvmlib._checks import (
    as_float_tensor,
    check_float_tensor,
    check_positive,
    check_same_kind,
    check_sample_count,
    check_shape,
)
from lvmlib._divergence_formulas import as_multivariate_normal
from lvmlib._linalg import cholesky
from lvmlib._types import Float
from lvmlib.exact.base import ExactModel, check_finite

__all__ = ["LinearGaussian"]

_ROWS_PER_FACTOR = 8192


class LinearGaussian(ExactModel):
    r"""A linear map of a standard normal plus Gaussian noise: probabilistic PCA and factor analysis.

    .. math::
        z \sim \mathrm{N}(0, I_D), \qquad x \mid z \sim \mathrm{N}(W z + b, \Psi), \qquad
        x \sim \mathrm{N}(b, W W^\top + \Psi)

    Proved in the book: thm-linear-gaussian.

    Args:
        weight: :math:`W`, shape ``(M, D)``.
        bias: :math:`b`, shape ``(M,)``.
        noise_variance: The diagonal of :math:`\Psi`: one variance, shape ``()``, for probabilistic PCA, or
            one a coordinate, shape ``(M,)``, for factor analysis. A float is taken as shape ``()``.

    Raises:
        TypeError: If an argument is no floating-point tensor, or dtypes differ.
        ValueError: If shapes disagree, or a variance is not above zero.

    References:
        Tipping and Bishop (1999), *Probabilistic principal component analysis*, JRSS B 61(3); Bishop (2006),
        section 12.2; Roweis and Ghahramani (1999), *A unifying review of linear Gaussian models*.
    """

    weight: Tensor
    bias: Tensor
    noise_variance: Tensor

    def __init__(
        self,
        weight: Float[Tensor, "M D"],
        bias: Float[Tensor, M],
        noise_variance: Float[Tensor, ""] | Float[Tensor, M] | float,
    ) -> None:
        super().__init__()
        check_shape("weight", check_float_tensor("weight", weight), ("M", "D"))
        if not weight.numel():
            raise ValueError(
                f"weight has shape {tuple(weight.shape)}: expected at least one observed and one latent dimension; "
                f"give it a column of zeros for a model without a latent variable."
            )
        check_shape("bias", check_float_tensor("bias", bias), (weight.shape[0],))
        if not isinstance(noise_variance, Tensor):
            noise_variance = as_float_tensor("noise_variance", noise_variance, like=weight)
        check_float_tensor("noise_variance", noise_variance)
        check_same_kind(weight=weight, bias=bias, noise_variance=noise_variance)
        if noise_variance.ndim:
            check_shape("noise_variance", noise_variance, (weight.shape[0],))
        check_positive("noise_variance", noise_variance)
        check_finite("weight", weight)
        check_finite("bias", bias)
        self._register("weight", weight)
        self._register("bias", bias)
        self._register("noise_variance", noise_variance)

    @classmethod
    def fit(cls, x: Float[Tensor, "N M"], latent_dim: int) -> LinearGaussian:
        r"""The maximum-likelihood probabilistic PCA of data, in closed form.

        With the eigenvalues :math:`\lambda_1 \ge \dots \ge \lambda_M` and eigenvectors :math:`u_i` of the
        sample covariance (divisor N),

        .. math::
            b = \bar x, \qquad \sigma^2 = \frac{1}{M - D} \sum_{i > D} \lambda_i, \qquad
            W = U_D (\Lambda_D - \sigma^2 I)^{1/2}.

        The rotation of z, which the likelihood leaves free, is fixed by orthogonal columns of W in falling
        order of length, the entry of largest size in each positive.

        The eigenvalues come from the singular values of the centred data, in float64, block by block: their ratio may
        be as large as 1e30, and memory does not grow with N.

        Args:
            x: Data, shape ``(N, M)``.
            latent_dim: D, at least 1 and below M.

        Returns:
            A model of the dtype and on the device of ``x``.

        Raises:
            TypeError: If ``x`` is no floating-point tensor or ``latent_dim`` no integer.
            ValueError: If ``latent_dim`` is not below M, fewer than two rows are given, an entry is NaN or infinite,
                or the data lie in a D-dimensional plane, where the likelihood is unbounded.

        References:
            Tipping and Bishop (1999), equations 7 and 8.
        """
        check_shape("x", check_float_tensor("x", x), ("N", "M"))
        num_points, num_observed = x.shape
        if num_points < 2:
            raise ValueError(f"x has {num_points} rows: expected at least 2 to estimate a covariance; add data.")
        if check_sample_count("latent_dim", latent_dim) >= num_observed:
            raise ValueError(
                f"latent_dim is {latent_dim} for {num_observed} observed dimensions: expected at most "
                f"{num_observed - 1}, so that some variance is left to call noise; lower it."
            )
        check_finite("x", x)
        bias = x.mean(0, dtype=torch.float64)
        variances, directions = _principal_axes(x, bias)
        noise_variance = variances[latent_dim:].mean()
        limits = torch.finfo(x.dtype)
        if not variances.sum() < limits.max or 0 < variances.max() < limits.tiny:
            raise ValueError(
                f"x has the largest value {x.abs().max().item():.3g} and variances up to {variances.max().item():.3g}: "
                f"expected numbers whose squares {x.dtype} can hold; rescale x, or use float64."
            )
        left_out = (directions[:, latent_dim:].square() @ variances[latent_dim:]).sqrt()
        # The rounding of a few outliers is spread over all rows.
        rounding = torch.finfo(x.dtype).eps * x.double().square().mean(0).sqrt()
        if (left_out <= rounding).all():
            raise ValueError(
                f"x leaves the variance {noise_variance.item():.3g} outside latent_dim = {latent_dim} dimensions: "
                f"expected more than rounding error, or the likelihood is unbounded; lower latent_dim, or drop columns "
                f"that others determine."
            )
        signal = (variances[:latent_dim] - noise_variance).clamp(min=0.0)
        weight = directions[:, :latent_dim] * signal.sqrt()
        largest = weight.gather(0, weight.abs().argmax(0, keepdim=True))
        weight = weight * torch.where(largest < 0, -1.0, 1.0)
        return cls(weight.to(x), bias.to(x), noise_variance.to(x))

    @property
    def latent_dim(self) -> int:
        """D, the number of latent coordinates."""
        return self.weight.shape[1]

    @property
    def prior(self) -> Distribution:
        """The standard normal prior, event shape ``(D,)``."""
        zeros = torch.zeros_like(self.weight[0])
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def likelihood(self, z: Float[Tensor, "*batch D"]) -> Distribution:
        r"""The likelihood :math:`\mathrm{N}(W z + b, \Psi)`, event shape ``(M,)``."""
        mean = z @ self.weight.T + self.bias
        return Independent(Normal(mean, self.noise_variance.sqrt().expand_as(mean)), 1)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        if not torch.is_grad_enabled() and _are_many(z, x):
            return self._log_likelihood_of(x)(z)
        scale = self.noise_variance.sqrt().expand_as(self.bias)
        distance = (x - self.bias) / scale - z @ (self.weight / scale[:, None]).T
        # A norm would take no temporary, but has no second derivative where it is zero.
        return -0.5 * (distance.square().sum(-1) + self._constant())

    def _log_likelihood_of(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        r"""With :math:`r = \Psi^{-1/2}(x - b)` and :math:`\Psi^{-1/2} W = Q R`, the squared distance
        :math:`\lVert r - \Psi^{-1/2} W z \rVert^2` is the squared length in the D dimensions of the plane,
        :math:`\lVert Q^\top r - R z \rVert^2`, and that outside, which is the same for every z.
        """
        scale = self.noise_variance.double().rsqrt().expand_as(self.bias)
        axes, factor = torch.linalg.qr(self.weight.double() * scale[:, None])
        residual = (x.double() - self.bias) * scale
        inside = residual @ axes
        outside = _squared_norm(residual - inside @ axes.T).to(x.dtype)
        factor, start, constant = factor.to(x.dtype), inside.to(x.dtype).movedim(-1, 0), self._constant()

        def log_likelihood(z: Tensor) -> Tensor:
            if not _are_many(z, x):
                return self._log_likelihood(x, z)
            # With the coordinates first, products with a few columns and sums over them are several times as fast.
            mapped = (factor @ z.reshape(-1, z.shape[-1]).T).reshape(-1, *z.shape[:-1])
            origin = start.reshape(len(start), *(1,) * (mapped.ndim - start.ndim), *start.shape[1:])
            distance = mapped.sub_(origin) if broadcasts_into(origin, mapped) else origin - mapped
            return distance.square_().sum(0).add_(outside).add_(constant).mul_(-0.5)

        return log_likelihood

    def _constant(self) -> Tensor:
        scale = self.noise_variance.sqrt().expand_as(self.bias)
        return len(scale) * math.log(2 * math.pi) + 2 * scale.log().sum()

    def log_evidence(self, x: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`\log \mathrm{N}(x; b, W W^\top + \Psi)`, in nats.

        Bayes' rule read backwards, :math:`\log p(x) = \log p(x, z) - \log p(z \mid x)`, holds at every z. At
        the posterior mean m it needs no M by M matrix:

        .. math::
            \log p(x) = -\tfrac12 \Big( \lVert \Psi^{-1/2}(x - b - W m) \rVert^2 + \lVert m \rVert^2
                + \log\det \Psi + \log\det \Lambda + M \log 2\pi \Big),
            \qquad \Lambda = I + W^\top \Psi^{-1} W.

        The two squares are those of a least-squares problem, solved by QR, which does not square the condition of W.
        Together they are the squared length of :math:`\Psi^{-1/2}(x - b)` less that of its explained part: one product
        of matrices, taken where the subtraction keeps its digits. Rows are scored in blocks; no temporary is as large
        as x.

        Args:
            x: Observations, shape ``(*batch, M)``.

        Returns:
            Shape ``(*batch)``.

        Raises:
            TypeError: If x is no tensor of the model's dtype.
            ValueError: If x has NaN or an infinity, or another shape or device.

        References:
            Chib (1995), *Marginal likelihood from the Gibbs output*, JASA 90(432), for the identity.
        """
        self._check_form(x)
        scale, explain, shrink, factor = self._factors()
        log_det = 2 * factor.diagonal().abs().log().sum() - 2 * scale.log().sum()
        constant = log_det + len(self.bias) * math.log(2 * math.pi)
        # Of the squared length, the model explains at most the share 1 - 1/k, with k the trace of Lambda: where k is
        # no more than this, the part left over keeps most of its digits when the explained part is subtracted.
        subtract = bool(factor.square().sum() <= torch.finfo(x.dtype).eps ** (-1 / 3))
        tensors = (self.bias, scale, explain, shrink, constant)
        bias, scale, explain, shrink, constant = (value.to(x.dtype) for value in tensors)

        def log_evidence_of(rows: Tensor) -> Tensor:
            residual = (rows - bias) * scale
            # One column a row of x: the product with a few long rows takes half the time of that with a few columns.
            explained = explain.T @ residual.T
            if subtract:
                distance = _squared_norm(residual) - explained.square().sum(0)
            else:
                distance = _squared_norm(residual - (explain @ explained).T) + (shrink @ explained).square().sum(0)
            return -0.5 * (distance + constant)

        rows = x.reshape(-1, x.shape[-1])
        log_evidence = map_rows(log_evidence_of, rows, numbers_per_row=x.shape[-1] + self.latent_dim)
        log_evidence = log_evidence.reshape(x.shape[:-1])
        if not log_evidence.detach().sum().isfinite():
            check_finite("x", self.check_observation(x))
        return log_evidence

    def posterior(self, x: Float[Tensor, "*batch M"]) -> MultivariateNormal:
        r"""The posterior :math:`\mathrm{N}(m, \Lambda^{-1})`, the same covariance for every x.

        .. math:: \Lambda = I + W^\top \Psi^{-1} W, \qquad m = \Lambda^{-1} W^\top \Psi^{-1} (x - b)

        Args:
            x: Observations, shape ``(*batch, M)``.

        Returns:
            A MultivariateNormal with batch shape ``(*batch)`` and event shape ``(D,)``.
        """
        check_finite("x", self.check_observation(x))
        scale, explain, shrink, _ = self._factors()
        scale_tril = cholesky("the posterior's covariance", shrink @ shrink.T).to(x.dtype)
        bias, scale, explain, shrink = (value.to(x.dtype) for value in (self.bias, scale, explain, shrink))
        means = map_rows(
            lambda rows: (((rows - bias) * scale) @ explain) @ shrink.T,
            x.reshape(-1, x.shape[-1]),
            numbers_per_row=x.shape[-1] + self.latent_dim,
        )
        means = means.reshape(*x.shape[:-1], self.latent_dim)
        # Valid as it was made; torch would repeat the factor for every x to look.
        return MultivariateNormal(means, scale_tril=scale_tril, validate_args=False)

    def expected_log_joint(self, q: Distribution, x: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch"]:
        r"""The expectation :math:`\E_{q(z)}[\log p(x, z)]` for a Gaussian q, in nats.

        With mean m and covariance S of q, it is
        :math:`\log p(x, m) - \tfrac12 \operatorname{tr}(S \Lambda)`, as the log-joint is quadratic in z.

        Args:
            q: A MultivariateNormal, or independent Normals, over z; batch shape ``()`` or that of x.
            x: Observations, shape ``(*batch, M)``.

        Raises:
            TypeError: If q is not Gaussian.
        """
        gaussian = as_multivariate_normal(q)
        if gaussian is None:
            raise self._no_closed_form(q, "a Gaussian")
        check_finite("x", self.check_observation(x))
        self._check_one_for_each(q, x)
        scale, _, _, factor = self._factors()
        spread = (gaussian.covariance_matrix.double() * (factor.T @ factor)).sum((-2, -1))
        constant = (len(self.bias) + self.latent_dim) * math.log(2 * math.pi) - 2 * scale.log().sum() + spread
        from_mean = (self.weight.double() * scale[:, None]).T.to(x.dtype)
        scale = scale.to(x.dtype)

        def squared_distance(rows: Tensor, means: Tensor) -> Tensor:
            return _squared_norm((rows - self.bias) * scale - means @ from_mean) + _squared_norm(means)

        batch = broadcast_shapes(x.shape[:-1], gaussian.batch_shape)
        rows, means = (
            value.expand(*batch, value.shape[-1]).reshape(-1, value.shape[-1]) for value in (x, gaussian.mean)
        )
        distance = map_rows(squared_distance, rows, means, numbers_per_row=x.shape[-1] + self.latent_dim)
        return -0.5 * (distance.reshape(batch) + constant.to(x.dtype))

    def _factors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r""":math:`\Psi^{-1/2}` as a vector; Q, shape ``(M, D)``, P, shape ``(D, D)``, and R, all in float64, with

        .. math:: \begin{pmatrix} \Psi^{-1/2} W \\ I \end{pmatrix} = \begin{pmatrix} Q \\ P \end{pmatrix} R,
            \qquad R^\top R = \Lambda, \qquad P P^\top = \Lambda^{-1}.

        For the residual :math:`r = \Psi^{-1/2}(x - b)`, the explained part is :math:`Q^\top r`, and the posterior mean
        :math:`P Q^\top r`.
        """
        scale = self.noise_variance.double().rsqrt().expand_as(self.bias)
        identity = torch.eye(self.latent_dim, dtype=torch.float64, device=self.weight.device)
        columns, factor = torch.linalg.qr(torch.cat([self.weight.double() * scale[:, None], identity]))
        return scale, columns[: -self.latent_dim], columns[-self.latent_dim :], factor


def _principal_axes(x: Float[Tensor, "N M"], mean: Float[Tensor, M]) -> tuple[Tensor, Tensor]:
    """The variances of x along its principal axes, falling, shape ``(M,)``, and the axes as columns, ``(M, M)``.

    Block by block, the triangular factor of the rows so far is factored again with the next rows below it; its
    singular values are those of the data.
    """
    num_points, num_observed = x.shape
    triangle = mean.new_zeros(0, num_observed)
    for block in x.split(max(_ROWS_PER_FACTOR, 4 * num_observed)):
        triangle = torch.linalg.qr(torch.cat([triangle, block.double() - mean]), mode="r").R
    _, lengths, axes = torch.linalg.svd(triangle)
    rounding = max(x.shape) * torch.finfo(torch.float64).eps * lengths[0]
    variances = torch.zeros_like(mean)
    variances[: len(lengths)] = torch.where(lengths > rounding, lengths, 0.0).square() / num_points
    return variances, axes.T


def _are_many(z: Tensor, x: Tensor) -> bool:
    """Whether there is so much of z that the work on x alone, done first, pays."""
    return z.numel() > x.numel() and z.ndim >= x.ndim


def _squared_norm(rows: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch"]:
    return torch.linalg.vector_norm(rows, dim=-1).square()
