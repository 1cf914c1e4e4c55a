r"""Models whose evidence and posterior are known, so that every estimate of them can be checked.

Each gives :math:`\log p(x)` and :math:`p(z \mid x)` exactly, and :math:`\E_{q(z)}[\log p(x, z)]` for the
families of q in which it is a finite sum or a closed formula: the piece that makes the ELBO exact too.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    constraints,
)

from lvmlib._checks import (
    as_float_tensor,
    check_float_tensor,
    check_positive,
    check_probabilities,
    check_same_kind,
    check_sample_count,
    check_shape,
    cholesky,
    describe,
    support_of,
)
from lvmlib._divergence_formulas import as_multivariate_normal, closed_form_kl
from lvmlib._types import Float, Int
from lvmlib.model import LatentVariableModel

__all__ = [
    "BernoulliMixture",
    "BetaBernoulli",
    "ExactModel",
    "FiniteModel",
    "GaussianMixture",
    "GridPosterior",
    "LinearGaussian",
    "QuadratureModel",
]

# Rows of x scored at once: the temporaries of one block of 64 columns stay in the processor's cache.
_ROWS_PER_BLOCK = 4096


class ExactModel(LatentVariableModel):
    r"""A latent variable model with a known evidence :math:`p(x)` and posterior :math:`p(z \mid x)`."""

    def __init__(self) -> None:
        # Subclasses make their prior and likelihood from tensors they hold, so that both follow `.to(...)`.
        nn.Module.__init__(self)
        self._known_layout = None

    @abstractmethod
    def log_evidence(self, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`\log p(x) = \log \int p(x \mid z)\, p(z)\, dz`, in nats, shape ``(*batch)``."""

    @abstractmethod
    def posterior(self, x: Tensor) -> Distribution:
        r"""The posterior :math:`p(z \mid x) = p(x, z) / p(x)`, with the batch shape of x."""

    @abstractmethod
    def expected_log_joint(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The expectation :math:`\E_{q(z)}[\log p(x, z)]`, in nats, without sampling.

        Raises:
            TypeError: If q is of a family for which this model has no closed form.
        """

    def kl_to_posterior(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The gap :math:`\KL(q(z) \Vert p(z \mid x))` of the ELBO at q, in nats.

        Raises:
            TypeError: If the divergence from this family of q has no closed form.
        """
        value = closed_form_kl(q, self.posterior(x))
        if value is None:
            raise self._no_closed_form(q, "the family of the posterior")
        return value

    def _no_closed_form(self, q: Distribution, family: str) -> TypeError:
        return TypeError(
            f"q is {describe(q)}: expected {family} for an exact expectation under {type(self).__name__}; "
            f"estimate it with elbo(model, q, x, num_samples)."
        )


class _DiscreteLatentModel(ExactModel):
    """What finite models and mixtures share: z takes one of C values, and every sum over it is exact."""

    @abstractmethod
    def log_joint_table(self, x: Tensor) -> Float[Tensor, "*batch C"]:
        r"""All :math:`\log p(x, z)`, one value of z a column, in nats, shape ``(*batch, C)``."""

    def log_evidence(self, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`\log p(x) = \log \sum_z p(x \mid z)\, p(z)`, in nats.

        Args:
            x: Observations, shape ``(*batch, *x_event)``.

        Returns:
            Shape ``(*batch)``; ``-inf`` for an x that no z can give.
        """
        return self.log_joint_table(x).logsumexp(-1)

    def posterior(self, x: Tensor) -> Categorical:
        r"""The posterior table :math:`p(z \mid x)`, a Categorical with the batch shape of x.

        Raises:
            ValueError: If an x has evidence zero, so that Bayes' rule divides by zero.
        """
        log_joint = self.log_joint_table(x)
        impossible = log_joint.amax(-1) == -torch.inf
        if impossible.any():
            first = tuple(impossible.nonzero()[0].tolist())
            raise ValueError(
                f"x is {x[first].tolist()} at index {first}, where p(x) = 0: expected an observation with positive "
                f"evidence; a posterior given an impossible x is not defined."
            )
        return Categorical(logits=log_joint)

    def expected_log_joint(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The sum :math:`\sum_z q(z) \log p(x, z)`, in nats, with :math:`0 \log 0 = 0`.

        Args:
            q: A Categorical over the values of z, batch shape ``()`` or that of x.
            x: Observations, shape ``(*batch, *x_event)``.

        Raises:
            TypeError: If q is not a Categorical.
        """
        if not isinstance(q, Categorical):
            raise self._no_closed_form(q, "a Categorical")
        log_joint = self.log_joint_table(x)
        return (q.probs * torch.where(q.probs > 0, log_joint, 0.0)).sum(-1)


class FiniteModel(_DiscreteLatentModel):
    r"""z and x each take finitely many values; the model is two tables.

    .. math:: p(x) = \sum_z p(z)\, p(x \mid z)

    Args:
        prior: Probabilities :math:`p(z)`, shape ``(Z,)``.
        likelihood: Probabilities :math:`p(x \mid z)`, shape ``(Z, X)``, one z a row; rows sum to one.

    Observations and latents are integer indices (int64). A probability of zero is legal.

    Raises:
        TypeError: If a table is no floating-point tensor, or the two differ in dtype.
        ValueError: If a shape is wrong, an entry negative, or a row does not sum to one (to 1e-5).

    Example:
        >>> import torch
        >>> model = FiniteModel(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
        >>> model.log_evidence(torch.tensor([0, 1])).exp()
        tensor([0.5500, 0.4500])
    """

    prior_table: Tensor
    likelihood_table: Tensor

    def __init__(self, prior: Float[Tensor, Z], likelihood: Float[Tensor, "Z X"]) -> None:
        super().__init__()
        check_shape("prior", check_float_tensor("prior", prior), ("Z",))
        check_shape("likelihood", check_float_tensor("likelihood", likelihood), (len(prior), "X"))
        check_same_kind(prior=prior, likelihood=likelihood)
        check_probabilities("prior", prior)
        check_probabilities("likelihood", likelihood)
        self._register("prior_table", prior)
        self._register("likelihood_table", likelihood)

    @property
    def prior(self) -> Categorical:
        """The prior, a Categorical over ``0, ..., Z - 1``."""
        return Categorical(logits=_log_probabilities(self.prior_table))

    def likelihood(self, z: Int[Tensor, "*batch"]) -> Categorical:
        """The rows of the table that z selects, a Categorical over ``0, ..., X - 1``."""
        return Categorical(logits=_log_probabilities(self.likelihood_table)[z])

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return _log_probabilities(self.likelihood_table)[z, x]

    def log_joint_table(self, x: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch Z"]:
        r"""All :math:`\log p(x, z)`, one value of z a column, in nats, shape ``(*batch, Z)``."""
        self.check_observation(x)
        log_joint = _log_probabilities(self.prior_table)[:, None] + _log_probabilities(self.likelihood_table)
        return log_joint.T[x]


class LinearGaussian(ExactModel):
    r"""A linear map of a standard normal plus Gaussian noise: probabilistic PCA and factor analysis.

    .. math::
        z \sim \mathrm{N}(0, I_D), \qquad x \mid z \sim \mathrm{N}(W z + b, \Psi), \qquad
        x \sim \mathrm{N}(b, W W^\top + \Psi)

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
        check_shape("bias", check_float_tensor("bias", bias), (weight.shape[0],))
        if not isinstance(noise_variance, Tensor):
            noise_variance = as_float_tensor("noise_variance", noise_variance, like=weight)
        check_float_tensor("noise_variance", noise_variance)
        check_same_kind(weight=weight, bias=bias, noise_variance=noise_variance)
        if noise_variance.ndim:
            check_shape("noise_variance", noise_variance, (weight.shape[0],))
        check_positive("noise_variance", noise_variance)
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

        Args:
            x: Data, shape ``(N, M)``. The eigenproblem is solved in float64.
            latent_dim: D, at least 1 and below M.

        Returns:
            A model of the dtype and on the device of ``x``.

        Raises:
            TypeError: If ``x`` is no floating-point tensor or ``latent_dim`` no integer.
            ValueError: If ``latent_dim`` is not below M, fewer than two rows are given, or the data lie in a
                D-dimensional plane, where the likelihood is unbounded.

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
        bias = x.double().mean(0)
        centred = x.double() - bias
        variances, directions = torch.linalg.eigh(centred.T @ centred / num_points)
        variances, directions = variances.flip(0).clamp(min=0.0), directions.flip(1)
        noise_variance = variances[latent_dim:].mean()
        if noise_variance <= 1e-12 * variances.sum():
            raise ValueError(
                f"x leaves the variance {noise_variance.item():.3g} outside {latent_dim} dimensions: expected "
                f"more than rounding error, or the likelihood is unbounded; lower latent_dim."
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

    def log_evidence(self, x: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`\log \mathrm{N}(x; b, W W^\top + \Psi)`, in nats.

        Bayes' rule read backwards, :math:`\log p(x) = \log p(x, z) - \log p(z \mid x)`, holds at every z. At
        the posterior mean m it needs no M by M matrix, and only sums of squares, which do not cancel:

        .. math::
            \log p(x) = -\tfrac12 \Big( \lVert \Psi^{-1/2}(x - b - W m) \rVert^2 + \lVert m \rVert^2
                + \log\det \Psi + \log\det \Lambda + M \log 2\pi \Big),
            \qquad \Lambda = I + W^\top \Psi^{-1} W.

        Rows are scored in blocks; no temporary is as large as x.

        Args:
            x: Observations, shape ``(*batch, M)``.

        Returns:
            Shape ``(*batch)``.

        References:
            Chib (1995), *Marginal likelihood from the Gibbs output*, JASA 90(432), for the identity.
        """
        self.check_observation(x)
        scaled_weight, precision_factor = self._posterior_precision()
        scale = self.noise_variance.rsqrt().expand_as(self.bias)
        to_mean = torch.cholesky_solve(scaled_weight.T, precision_factor).T
        log_det = 2 * precision_factor.diagonal().log().sum() - 2 * scale.log().sum()
        constant = log_det + self.bias.numel() * math.log(2 * math.pi)
        parts = []
        for block in x.reshape(-1, x.shape[-1]).split(_ROWS_PER_BLOCK):
            residual = (block - self.bias) * scale
            mean = residual @ to_mean
            misfit = torch.addmm(residual, mean, scaled_weight.T, alpha=-1)
            parts.append(torch.linalg.vector_norm(misfit, dim=-1).square() + mean.square().sum(-1))
        return (-0.5 * (torch.cat(parts) + constant)).reshape(x.shape[:-1])

    def posterior(self, x: Float[Tensor, "*batch M"]) -> MultivariateNormal:
        r"""The posterior :math:`\mathrm{N}(m, \Lambda^{-1})`, the same covariance for every x.

        .. math:: \Lambda = I + W^\top \Psi^{-1} W, \qquad m = \Lambda^{-1} W^\top \Psi^{-1} (x - b)

        Args:
            x: Observations, shape ``(*batch, M)``.

        Returns:
            A MultivariateNormal with batch shape ``(*batch)`` and event shape ``(D,)``.
        """
        self.check_observation(x)
        scaled_weight, precision_factor = self._posterior_precision()
        whitened = (x - self.bias) * self.noise_variance.rsqrt()
        mean = torch.cholesky_solve(scaled_weight.T, precision_factor)
        covariance = torch.cholesky_inverse(precision_factor)
        return MultivariateNormal(whitened @ mean.T, covariance_matrix=covariance)

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
        scaled_weight, _ = self._posterior_precision()
        precision = torch.eye(self.latent_dim).to(scaled_weight) + scaled_weight.T @ scaled_weight
        spread = (gaussian.covariance_matrix * precision).sum((-2, -1))
        mean = gaussian.mean.expand(*x.shape[:-1], -1)
        return self.log_joint(x, mean) - 0.5 * spread

    def _posterior_precision(self) -> tuple[Tensor, Tensor]:
        r""":math:`\Psi^{-1/2} W` and the lower Cholesky factor of :math:`\Lambda`."""
        scaled_weight = self.weight * self.noise_variance.rsqrt().expand_as(self.bias)[:, None]
        identity = torch.eye(self.latent_dim, dtype=self.weight.dtype, device=self.weight.device)
        return scaled_weight, torch.linalg.cholesky(identity + scaled_weight.T @ scaled_weight)


class GaussianMixture(_DiscreteLatentModel):
    r"""A discrete z chooses the Gaussian from which x is drawn.

    .. math:: p(x) = \sum_{c=1}^{C} \pi_c \, \mathrm{N}(x; \mu_c, \Sigma_c)

    Args:
        weights: :math:`\pi`, shape ``(C,)``, summing to one.
        means: :math:`\mu`, shape ``(C, M)``.
        covariances: :math:`\Sigma`, shape ``(C, M, M)``, symmetric positive definite.

    Latents are integer indices (int64) of components.

    Raises:
        TypeError: If an argument is no floating-point tensor, or dtypes differ.
        ValueError: If shapes disagree, weights do not sum to one, or a covariance is not positive definite.

    References:
        Bishop (2006), *Pattern Recognition and Machine Learning*, section 9.2.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __init__(
        self, weights: Float[Tensor, C], means: Float[Tensor, "C M"], covariances: Float[Tensor, "C M M"]
    ) -> None:
        super().__init__()
        check_shape("weights", check_float_tensor("weights", weights), ("C",))
        check_shape("means", check_float_tensor("means", means), (len(weights), "M"))
        num_observed = means.shape[1]
        expected = (len(weights), num_observed, num_observed)
        check_shape("covariances", check_float_tensor("covariances", covariances), expected)
        check_same_kind(weights=weights, means=means, covariances=covariances)
        check_probabilities("weights", weights)
        cholesky("covariances", covariances.detach())
        self._register("weights", weights)
        self._register("means", means)
        self._register("covariances", covariances)

    @property
    def prior(self) -> Categorical:
        """The prior over components, a Categorical over ``0, ..., C - 1``."""
        return Categorical(logits=_log_probabilities(self.weights))

    def likelihood(self, z: Int[Tensor, "*batch"]) -> MultivariateNormal:
        """The Gaussian of each component that z names, event shape ``(M,)``."""
        scale_tril = torch.linalg.cholesky(self.covariances)
        return MultivariateNormal(self.means[z], scale_tril=scale_tril[z], validate_args=False)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return _look_up(self._log_components(x), z)

    def log_joint_table(self, x: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch C"]:
        r"""All :math:`\log p(x, z)`, one component a column, in nats, shape ``(*batch, C)``."""
        self.check_observation(x)
        return _log_probabilities(self.weights) + self._log_components(x)

    def _log_components(self, x: Tensor) -> Tensor:
        scale_tril = torch.linalg.cholesky(self.covariances)
        components = MultivariateNormal(self.means, scale_tril=scale_tril, validate_args=False)
        return components.log_prob(x[..., None, :])


class BernoulliMixture(_DiscreteLatentModel):
    r"""A discrete z chooses a row of coins, one for each binary coordinate of x.

    .. math:: p(x) = \sum_{c=1}^{C} \pi_c \prod_{m=1}^{M} \rho_{cm}^{x_m} (1 - \rho_{cm})^{1 - x_m}

    Args:
        weights: :math:`\pi`, shape ``(C,)``, summing to one.
        probs: :math:`\rho`, shape ``(C, M)``, each from 0 to 1; the ends are legal.

    Latents are integer indices (int64) of components; observations are 0 and 1 in the model's floating-point
    dtype, shape ``(*batch, M)``.

    Raises:
        TypeError: If an argument is no floating-point tensor, or dtypes differ.
        ValueError: If shapes disagree, weights do not sum to one, or an entry of ``probs`` is outside [0, 1].

    Example:
        >>> import torch
        >>> model = BernoulliMixture(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.9], [0.1, 0.1]]))
        >>> model.log_evidence(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).exp()
        tensor([0.4100, 0.0900])

    References:
        Bishop (2006), *Pattern Recognition and Machine Learning*, section 9.3.3.
    """

    weights: Tensor
    probs: Tensor

    def __init__(self, weights: Float[Tensor, C], probs: Float[Tensor, "C M"]) -> None:
        super().__init__()
        check_shape("weights", check_float_tensor("weights", weights), ("C",))
        check_shape("probs", check_float_tensor("probs", probs), (len(weights), "M"))
        check_same_kind(weights=weights, probs=probs)
        check_probabilities("weights", weights)
        outside = (probs < 0) | (probs > 1)
        if outside.any():
            first = tuple(outside.nonzero()[0].tolist())
            raise ValueError(
                f"probs is {probs[first].item():.6g} at index {first}: expected probabilities in [0, 1]; "
                f"if these are logits, pass probs.sigmoid()."
            )
        self._register("weights", weights)
        self._register("probs", probs)

    @property
    def prior(self) -> Categorical:
        """The prior over components, a Categorical over ``0, ..., C - 1``."""
        return Categorical(logits=_log_probabilities(self.weights))

    def likelihood(self, z: Int[Tensor, "*batch"]) -> Distribution:
        """The row of coins of each component that z names, event shape ``(M,)``."""
        return Independent(Bernoulli(probs=self.probs[z]), 1)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return _look_up(self._log_components(x), z)

    def log_joint_table(self, x: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch C"]:
        r"""All :math:`\log p(x, z)`, one component a column, in nats, shape ``(*batch, C)``."""
        self.check_observation(x)
        return _log_probabilities(self.weights) + self._log_components(x)

    def _log_components(self, x: Tensor) -> Tensor:
        # A matrix product would make NaN of 0 times -inf, so what is impossible is counted apart.
        log_table = torch.zeros((), dtype=x.dtype, device=x.device)
        impossible = torch.zeros((), dtype=x.dtype, device=x.device)
        for value, probabilities in ((x, self.probs), (1 - x, 1 - self.probs)):
            possible = probabilities > 0
            log_table = log_table + value @ torch.where(possible, probabilities, 1.0).log().T
            impossible = impossible + value @ (~possible).to(x).T
        return torch.where(impossible > 0, -torch.inf, log_table)


class BetaBernoulli(ExactModel):
    r"""A coin of unknown bias, tossed once.

    .. math::
        z \sim \mathrm{Beta}(a, b), \qquad x \mid z \sim \mathrm{Bernoulli}(z), \qquad p(x = 1) = \frac{a}{a + b}

    Args:
        a: Prior count of ones, above zero, a float or a tensor of shape ``()``.
        b: Prior count of zeros, likewise.

    Observations are 0 and 1 in the model's floating-point dtype, shape ``(*batch)``.

    Raises:
        TypeError: If ``a`` or ``b`` is neither a float nor a floating-point tensor.
        ValueError: If ``a`` or ``b`` is not a finite number above zero.

    References:
        Gelman et al. (2013), *Bayesian Data Analysis*, section 2.4.
    """

    a: Tensor
    b: Tensor

    def __init__(self, a: Float[Tensor, ""] | float, b: Float[Tensor, ""] | float) -> None:
        super().__init__()
        a, b = as_float_tensor("a", a), as_float_tensor("b", b)
        check_shape("a", a, ())
        check_shape("b", b, ())
        check_same_kind(a=a, b=b)
        check_positive("a", a)
        check_positive("b", b)
        self._register("a", a)
        self._register("b", b)

    @property
    def prior(self) -> Beta:
        """The prior, a Beta over the probability of a one."""
        return Beta(self.a, self.b)

    def likelihood(self, z: Float[Tensor, "*batch"]) -> Bernoulli:
        """The toss of a coin of bias z."""
        return Bernoulli(probs=z)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        # torch's Bernoulli clips probabilities to its machine precision; a Beta prior reaches below that.
        return torch.special.xlogy(x, z) + torch.special.xlog1py(1 - x, -z)

    def log_evidence(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""Log-evidence :math:`x \log a + (1 - x) \log b - \log(a + b)`, in nats, shape ``(*batch)``."""
        self.check_observation(x)
        return x * self.a.log() + (1 - x) * self.b.log() - (self.a + self.b).log()

    def posterior(self, x: Float[Tensor, "*batch"]) -> Beta:
        r"""The posterior :math:`\mathrm{Beta}(a + x, b + 1 - x)`, with the batch shape of x."""
        self.check_observation(x)
        return Beta(self.a + x, self.b + 1 - x)

    def expected_log_joint(self, q: Distribution, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        r"""The expectation :math:`\E_{q(z)}[\log p(x, z)]` for a Beta q, in nats.

        It needs only :math:`\E[\log z] = \psi(\alpha) - \psi(\alpha + \beta)` and its mirror image.

        Raises:
            TypeError: If q is not a Beta.
        """
        if not isinstance(q, Beta):
            raise self._no_closed_form(q, "a Beta")
        self.check_observation(x)
        total = torch.digamma(q.concentration1 + q.concentration0)
        log_z = torch.digamma(q.concentration1) - total
        log_not_z = torch.digamma(q.concentration0) - total
        log_normaliser = self.a.lgamma() + self.b.lgamma() - (self.a + self.b).lgamma()
        return (self.a - 1 + x) * log_z + (self.b - x) * log_not_z - log_normaliser


class QuadratureModel(ExactModel):
    r"""Any model with one or two latent dimensions, integrated on a grid.

    .. math:: p(x) \approx \sum_{g} \omega_g \, p(x \mid z_g)\, p(z_g)

    The nodes :math:`z_g` and weights :math:`\omega_g` are those of composite Gauss-Legendre quadrature,
    exact for polynomials of degree 39 on each panel; a product of two such rules covers two dimensions.
    For a smooth joint whose mass lies in the box, the error falls to rounding once a panel is narrower than
    the posterior.

    Args:
        prior: As for :class:`LatentVariableModel`, continuous, with event shape ``()``, ``(1,)`` or ``(2,)``.
        likelihood: As for :class:`LatentVariableModel`.
        lower: Lower corner of the box, a float for all dimensions; by default ten prior standard deviations
            below the prior mean, or the end of the prior's support.
        upper: Upper corner of the box, likewise.
        num_points: Nodes a dimension, rounded up to a multiple of 20; by default 1000 in one dimension and
            200 in two.

    Raises:
        TypeError: If the prior is discrete.
        ValueError: If z has more than two dimensions, or the box misses more than 1e-6 of the prior's mass.

    References:
        Trefethen (2008), *Is Gauss quadrature better than Clenshaw-Curtis?*, SIAM Review 50(1).
    """

    _NODES_PER_PANEL = 20

    _nodes: Tensor
    _cell_lows: Tensor
    _cell_widths: Tensor
    _log_node_weights: Tensor

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
        check_sample_count("num_points", num_points)
        self._num_points = num_points
        self._ends = self._box(lower, upper)
        self._make_grid()
        with torch.no_grad():
            mass = (self.log_prior(self._nodes) + self._log_node_weights).logsumexp(0).exp().item()
        if abs(mass - 1) > 1e-6 + 1e4 * torch.finfo(self._nodes.dtype).eps:
            lows, highs = zip(*self._ends, strict=True)
            raise ValueError(
                f"lower {lows}, upper {highs} and num_points {num_points} hold {mass:.6f} of the prior's mass: "
                f"expected 1; widen lower and upper, or raise num_points."
            )

    def _box(self, lower: float | None, upper: float | None) -> list[tuple[float, float]]:
        """The ends of the grid in each dimension."""
        prior = self.prior
        means = prior.mean.double().reshape(-1).tolist()
        scales = prior.stddev.double().reshape(-1).tolist()
        ends = []
        for mean, scale in zip(means, scales, strict=True):
            low, high = _interval(support_of(prior))
            low = max(low, mean - 10 * scale) if lower is None else float(lower)
            high = min(high, mean + 10 * scale) if upper is None else float(upper)
            if not low < high:
                raise ValueError(f"lower is {low} and upper is {high}: expected lower < upper; swap them.")
            ends.append((low, high))
        return ends

    def _make_grid(self) -> None:
        """Lay the grid in float64 and keep it in the model's dtype, on the model's device."""
        layout = self._layout()
        nodes, lows, widths = (
            torch.cartesian_prod(*axes).reshape(-1, len(self._ends))
            for axes in zip(*(self._rule(*end, self._num_points) for end in self._ends), strict=True)
        )
        for name, value in (("_nodes", nodes), ("_cell_lows", lows), ("_cell_widths", widths)):
            self.register_buffer(name, value.reshape(-1, *layout.z_event).to(layout.device, layout.z_dtype))
        self.register_buffer("_log_node_weights", widths.log().sum(-1).to(layout.device, layout.z_dtype))

    @classmethod
    def _rule(cls, low: float, high: float, num_points: int) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes of composite Gauss-Legendre quadrature on an interval, and for each the lower end and the width
        of its cell. Widths are the quadrature weights: cells of those widths, laid side by side, hold one node
        each (Chebyshev, Markov and Stieltjes; Szego 1975, theorem 3.41.1)."""
        nodes, weights = np.polynomial.legendre.leggauss(cls._NODES_PER_PANEL)
        panels = -(-num_points // cls._NODES_PER_PANEL)
        edges = np.linspace(low, high, panels + 1)[:-1, None]
        half = (high - low) / (2 * panels)
        widths = np.tile(half * weights, (panels, 1))
        lows = edges + np.cumsum(widths, axis=1) - widths
        points = edges + half * (1 + nodes)
        return torch.as_tensor(points.ravel()), torch.as_tensor(lows.ravel()), torch.as_tensor(widths.ravel())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuadratureModel:
        super()._apply(fn, recurse)
        self._make_grid()  # anew, so that a model made double has a grid exact to double
        return self

    def log_joint_on_grid(self, x: Tensor) -> Float[Tensor, G * batch]:
        r"""The mass :math:`\log (\omega_g\, p(x, z_g))` of every node, in nats, shape ``(G, *batch)``."""
        batch = self.batch_shape(x)
        shape = self._log_node_weights.shape + (1,) * len(batch)
        nodes = self._nodes.reshape(shape + self._layout().z_event)
        return self.log_joint(x, nodes) + self._log_node_weights.reshape(shape)

    def log_evidence(self, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""Log-evidence by quadrature, in nats.

        Args:
            x: Observations, shape ``(*batch, *x_event)``.

        Returns:
            Shape ``(*batch)``.
        """
        self.check_observation(x)
        batch = self.batch_shape(x)
        rows = x.reshape(-1, *self._layout().x_event)
        # A block of observations has about two million numbers on the grid.
        block = max(1, 2_000_000 // (len(self._nodes) * max(1, rows[0].numel())))
        parts = [self.log_joint_on_grid(part).logsumexp(0) for part in rows.split(block)]
        return torch.cat(parts).reshape(batch)

    def posterior(self, x: Tensor) -> GridPosterior:
        r"""The posterior :math:`p(z \mid x) = p(x, z) / p(x)`, normalised on the grid."""
        return GridPosterior(self, x)

    def expected_log_joint(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The integral :math:`\int q(z) \log p(x, z)\, dz` by quadrature, in nats.

        Args:
            q: Any continuous distribution over z whose mass lies in the box; batch shape ``()`` or that of x.
            x: Observations, shape ``(*batch, *x_event)``.

        Raises:
            ValueError: If the grid misses more than 1e-4 of q's mass.
        """
        log_joint = self.log_joint_on_grid(x) - self._log_node_weights.reshape(-1, *(1,) * len(self.batch_shape(x)))
        masses = self._masses(q.expand(self.batch_shape(x)))
        return (masses * torch.where(masses > 0, log_joint, 0.0)).sum(0)

    def kl_to_posterior(self, q: Distribution, x: Tensor) -> Float[Tensor, "*batch"]:
        r"""The gap :math:`\KL(q(z) \Vert p(z \mid x))` by quadrature, in nats."""
        q = q.expand(self.batch_shape(x))
        masses = self._masses(q)
        nodes = self._nodes.reshape(len(masses), *(1,) * len(q.batch_shape), *q.event_shape)
        log_ratio = q.log_prob(nodes) - self.posterior(x).log_prob(nodes)
        return (masses * torch.where(masses > 0, log_ratio, 0.0)).sum(0)

    def _masses(self, q: Distribution) -> Tensor:
        """The mass that q gives to every node, shape ``(G, *batch)``; sums to one over the grid."""
        shape = self._log_node_weights.shape + (1,) * len(q.batch_shape)
        log_mass = q.log_prob(self._nodes.reshape(shape + q.event_shape)) + self._log_node_weights.reshape(shape)
        masses = log_mass.exp()
        missed = (masses.sum(0) - 1).abs().amax().item()
        if missed > 1e-4:
            raise ValueError(
                f"q has mass {1 - missed:.4f} or {1 + missed:.4f} on the grid: expected 1; "
                f"widen lower and upper, or raise num_points so that the spacing is below q's width."
            )
        return masses


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
        return self.model.log_joint(self.x, value) - self._log_evidence

    def _node_masses(self) -> Tensor:
        return self.model.log_joint_on_grid(self.x).softmax(0)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """Draws of shape ``(*sample_shape, *batch, *z_event)``."""
        sample_shape = torch.Size(sample_shape)
        with torch.no_grad():
            index = Categorical(probs=self._node_masses().movedim(0, -1)).sample(sample_shape)
            widths = self.model._cell_widths[index]
            return self.model._cell_lows[index] + widths * torch.rand_like(widths)

    @property
    def mean(self) -> Tensor:
        """Posterior mean, shape ``(*batch, *z_event)``."""
        return self._moment(self._spread(self.model._nodes))

    @property
    def variance(self) -> Tensor:
        """Posterior variance of each coordinate, shape ``(*batch, *z_event)``."""
        return self._moment((self._spread(self.model._nodes) - self.mean).square())

    def entropy(self) -> Tensor:
        r"""Differential entropy :math:`-\E[\log p(z \mid x)]`, in nats, shape ``(*batch)``."""
        masses = self._node_masses()
        log_density = self.log_prob(self._spread(self.model._nodes))
        return -(masses * torch.where(masses > 0, log_density, 0.0)).sum(0)

    def _spread(self, nodes: Tensor) -> Tensor:
        return nodes.reshape(len(nodes), *(1,) * len(self._batch_shape), *self._event_shape)

    def _moment(self, values: Tensor) -> Tensor:
        masses = self._node_masses()
        return (masses.reshape(*masses.shape, *(1,) * len(self._event_shape)) * values).sum(0)


def _log_probabilities(probabilities: Tensor) -> Tensor:
    """The logarithm of a table; ``-inf`` with gradient zero where a probability is zero."""
    possible = probabilities > 0
    return torch.where(possible, torch.where(possible, probabilities, 1.0).log(), -torch.inf)


def _look_up(table: Tensor, z: Tensor) -> Tensor:
    """The entry of each row that z names; each x is scored once, however many samples of z there are."""
    batch = torch.broadcast_shapes(z.shape, table.shape[:-1])
    return table.expand(*batch, -1).gather(-1, z.expand(batch)[..., None])[..., 0]


def _interval(support: constraints.Constraint) -> tuple[float, float]:
    """The ends of an interval of the real line that holds every coordinate of a support."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    low = getattr(support, "lower_bound", -math.inf)
    high = getattr(support, "upper_bound", math.inf)
    return float(torch.as_tensor(low).min()), float(torch.as_tensor(high).max())
