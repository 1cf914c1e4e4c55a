"""Small random models in float64, shared by the tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta, Categorical, Gamma, Independent, MultivariateNormal, Normal, Uniform

from lvmlib import (
    BernoulliMixture,
    BetaBernoulli,
    FiniteModel,
    GaussianMixture,
    LatentVariableModel,
    LinearGaussian,
    QuadratureModel,
)

DOUBLE = torch.float64


def generator(seed: int) -> torch.Generator:
    return torch.Generator(device=torch.get_default_device()).manual_seed(seed)


def normals(*shape: int, seed: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """The same numbers on every device, moved to the one under test."""
    drawn = torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=dtype, device="cpu")
    return drawn.to(torch.get_default_device())


def table(*shape: int, seed: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Random probabilities that sum to one along the last dimension."""
    return normals(*shape, seed=seed, dtype=dtype).softmax(-1)


def finite(seed: int = 0, num_z: int = 3, num_x: int = 4, dtype: torch.dtype = DOUBLE) -> FiniteModel:
    return FiniteModel(table(num_z, seed=seed, dtype=dtype), table(num_z, num_x, seed=seed + 1, dtype=dtype))


def linear_gaussian(seed: int = 0, observed: int = 4, latent: int = 2, dtype: torch.dtype = DOUBLE) -> LinearGaussian:
    noise = 0.2 + normals(observed, seed=seed + 2, dtype=dtype).exp()
    return LinearGaussian(
        normals(observed, latent, seed=seed, dtype=dtype), normals(observed, seed=seed + 1, dtype=dtype), noise
    )


def mixture(seed: int = 0, components: int = 3, observed: int = 2, dtype: torch.dtype = DOUBLE) -> GaussianMixture:
    factor = normals(components, observed, observed, seed=seed + 2, dtype=dtype)
    covariances = factor @ factor.mT + 0.3 * torch.eye(observed, dtype=dtype)
    means = 2 * normals(components, observed, seed=seed + 1, dtype=dtype)
    return GaussianMixture(table(components, seed=seed, dtype=dtype), means, covariances)


def bernoulli_mixture(
    seed: int = 0, components: int = 3, observed: int = 4, dtype: torch.dtype = DOUBLE
) -> BernoulliMixture:
    probs = normals(components, observed, seed=seed + 1, dtype=dtype).sigmoid()
    return BernoulliMixture(table(components, seed=seed, dtype=dtype), probs)


def beta_bernoulli(dtype: torch.dtype = DOUBLE) -> BetaBernoulli:
    return BetaBernoulli(torch.tensor(2.0, dtype=dtype), torch.tensor(3.5, dtype=dtype))


def radius_model(dtype: torch.dtype = DOUBLE, **grid: float) -> QuadratureModel:
    """x is the noisy length of a two-dimensional standard normal: no closed form, a ring for a posterior."""
    prior = Independent(Normal(torch.zeros(2, dtype=dtype), torch.ones(2, dtype=dtype)), 1)
    return QuadratureModel(prior, lambda z: Normal(z.square().sum(-1).sqrt(), 0.3), **grid)


EXACT_MODELS = {
    "finite": finite,
    "linear_gaussian": linear_gaussian,
    "mixture": mixture,
    "bernoulli_mixture": bernoulli_mixture,
    "beta_bernoulli": beta_bernoulli,
    "quadrature": radius_model,
}

# For each of them a q of its posterior's family that is not the posterior.
EXACT_GUIDES = {
    "finite": lambda: Categorical(table(3, seed=11)),
    "linear_gaussian": lambda: MultivariateNormal(normals(2, seed=3), 0.4 * torch.eye(2).double()),
    "mixture": lambda: Categorical(table(3, seed=11)),
    "bernoulli_mixture": lambda: Categorical(table(3, seed=11)),
    "beta_bernoulli": lambda: Beta(torch.tensor(2.5).double(), torch.tensor(3.0).double()),
    "quadrature": lambda: Independent(Normal(0.5 * torch.ones(2).double(), 0.6 * torch.ones(2).double()), 1),
}


def gamma_weights(a: float, dtype: torch.dtype = DOUBLE) -> tuple[LatentVariableModel, Gamma]:
    """A model and a q whose weights are Gamma(a, a): their mean, the evidence up to a constant of x, is one.

    The prior is Gamma(a + 1, 1) and q is Gamma(a, 1), so their ratio is z / a; the likelihood does not depend on z.
    """
    prior = Gamma(torch.tensor(a + 1, dtype=dtype), torch.tensor(1.0, dtype=dtype))
    q = Gamma(torch.tensor(a, dtype=dtype), torch.tensor(1.0, dtype=dtype))
    return LatentVariableModel(prior, lambda z: Uniform(torch.zeros_like(z), torch.ones_like(z))), q
