r"""A discrete z that chooses the density of x: mixtures of Gaussians and of rows of coins."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MultivariateNormal

from lvmlib._blocks import map_rows
from lvmlib._checks import check_float_tensor, check_probabilities, check_same_kind, check_shape
from lvmlib._linalg import cholesky
from lvmlib._types import Float, Int
from lvmlib.exact.base import DiscreteLatentModel, check_finite, log_probabilities, pick_column

__all__ = ["BernoulliMixture", "GaussianMixture"]


class GaussianMixture(DiscreteLatentModel):
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
        check_finite("means", means)
        check_probabilities("weights", weights)
        cholesky("covariances", covariances.detach())
        self._register("weights", weights)
        self._register("means", means)
        self._register("covariances", covariances)

    @property
    def prior(self) -> Categorical:
        """The prior over components, a Categorical over ``0, ..., C - 1``."""
        return Categorical(logits=log_probabilities(self.weights))

    def likelihood(self, z: Int[Tensor, "*batch"]) -> MultivariateNormal:
        """The Gaussian of each component that z names, event shape ``(M,)``."""
        scale_tril = cholesky("covariances", self.covariances)
        return MultivariateNormal(self.means[z], scale_tril=scale_tril[z], validate_args=False)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return pick_column(self._component_table(x), z)

    def _log_likelihood_of(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        return partial(pick_column, self._component_table(x))

    @property
    def _numbers_per_row(self) -> int:
        return 2 * self.means.numel()

    def _log_joint_of_rows(self) -> Callable[[Tensor], Tensor]:
        log_weights, log_components = log_probabilities(self.weights), self._log_component_of_rows()
        return lambda rows: log_weights + log_components(rows)

    def _log_component_of_rows(self) -> Callable[[Tensor], Tensor]:
        factors, means = cholesky("covariances", self.covariances), self.means
        return lambda rows: _gaussian_log_densities(rows, means, factors)

    def _component_table(self, x: Float[Tensor, "*batch M"]) -> Float[Tensor, "*batch C"]:
        rows = x.reshape(-1, x.shape[-1])
        table = map_rows(self._log_component_of_rows(), rows, numbers_per_row=self._numbers_per_row)
        return table.reshape(*x.shape[:-1], table.shape[-1])

    def check_observation(self, x: Tensor) -> Tensor:
        """x itself, if it is an observation of this model: finite numbers of the model's dtype, device and shape."""
        return check_finite("x", super().check_observation(x))

    def posterior(self, x: Float[Tensor, "*batch M"]) -> Categorical:
        r"""The responsibilities :math:`p(z \mid x)`, a Categorical with the batch shape of x.

        Where x is so far out that the components' log-densities agree to all digits of the model's dtype, they are
        compared in float64.

        Raises:
            ValueError: If x is so far from every component that float64 does not tell them apart either.
        """
        table = self.log_joint_table(x)
        if len(self.weights) == 1:
            return Categorical(logits=torch.zeros_like(table), validate_args=None if table.numel() else False)
        far = _lost_digits(table)
        if far.any():
            table = table.double()
            table[far] = self._log_joint_in_double(x[far])
            lost = _lost_digits(table)
            if lost.any():
                first = tuple(lost.nonzero()[0].tolist())
                raise ValueError(
                    f"x is {x[first].tolist()} at index {first}, where the density underflows under every component: "
                    f"expected an observation within about 1e7 standard deviations, where their ratio can be computed; "
                    f"drop it, or rescale the data."
                )
        return Categorical(logits=table.log_softmax(-1).to(x.dtype), validate_args=None if table.numel() else False)

    def _log_joint_in_double(self, rows: Float[Tensor, "N M"]) -> Float[Tensor, "N C"]:
        factor = cholesky("covariances", self.covariances.double())
        return log_probabilities(self.weights.double()) + _gaussian_log_densities(
            rows.double(), self.means.double(), factor
        )


class BernoulliMixture(DiscreteLatentModel):
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
        return Categorical(logits=log_probabilities(self.weights))

    def likelihood(self, z: Int[Tensor, "*batch"]) -> Distribution:
        """The row of coins of each component that z names, event shape ``(M,)``."""
        return Independent(Bernoulli(probs=self.probs[z]), 1)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return pick_column(self._component_table(x), z)

    def _log_likelihood_of(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        return partial(pick_column, self._component_table(x))

    @property
    def _numbers_per_row(self) -> int:
        return 2 * len(self.weights) + self.probs.shape[1]

    def _log_joint_of_rows(self) -> Callable[[Tensor], Tensor]:
        log_weights = log_probabilities(self.weights)
        return lambda rows: log_weights + self._component_table(rows)

    def _component_table(self, x: Tensor) -> Tensor:
        # A matrix product would make NaN of 0 times -inf, so what is impossible is counted apart.
        log_table = torch.zeros((), dtype=x.dtype, device=x.device)
        impossible = torch.zeros((), dtype=x.dtype, device=x.device)
        inner = (self.probs > 0) & (self.probs < 1)
        probs = torch.where(inner, self.probs, 0.5)
        for value, log_probs, certain in ((x, probs.log(), 0), (1 - x, (-probs).log1p(), 1)):
            log_table = log_table + value @ torch.where(inner, log_probs, 0.0).T
            impossible = impossible + value @ (self.probs == certain).to(x).T
        return torch.where(impossible > 0, -torch.inf, log_table)


def _gaussian_log_densities(
    rows: Float[Tensor, "N M"], means: Float[Tensor, "C M"], factors: Float[Tensor, "C M M"]
) -> Float[Tensor, "N C"]:
    """The log-density of each row under each Gaussian, given the lower Cholesky factors of the covariances."""
    whitened = torch.linalg.solve_triangular(factors, (rows - means[:, None]).mT, upper=False)
    log_det = 2 * factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = means.shape[1] * math.log(2 * math.pi) + log_det
    return (-0.5 * (whitened.square().sum(-2) + constant[:, None])).T


def _lost_digits(log_joint: Float[Tensor, "*batch C"]) -> Tensor:
    """Whether rounding may have changed the ratio of the two largest entries of a row by more than a hundredth."""
    first, second = log_joint.detach().topk(2).values.unbind(-1)
    rounding = torch.finfo(log_joint.dtype).eps * torch.maximum(first.abs(), second.abs())
    compared = (rounding <= 1e-2) | (first - second > 100 * rounding) | (second == -torch.inf)
    return (first == -torch.inf) | ~compared
