"""log p(x) by K draws from the prior of a linear Gaussian model, D = 10 and M = 20: one number, several programs.

Every program is made once and then called without arguments; it gives the estimate, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from lvmlib import LatentVariableModel, LinearGaussian, prior_monte_carlo

LATENT, OBSERVED = 10, 20
Program = Callable[[], Any]


@dataclass(frozen=True)
class Problem:
    """One observation, and a model with weights of about the size of its noise, so that the prior is a fair q."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    noise_variance: Tensor

    @property
    def model(self) -> LinearGaussian:
        return LinearGaussian(self.weight, self.bias, self.noise_variance)


def problem(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Problem:
    generator = torch.Generator().manual_seed(0)
    weight = 0.4 * torch.randn(OBSERVED, LATENT, generator=generator)
    bias = torch.randn(OBSERVED, generator=generator)
    x = bias + weight @ torch.randn(LATENT, generator=generator) + torch.randn(OBSERVED, generator=generator)
    return Problem(*(t.to(device, dtype) for t in (x, weight, bias, torch.tensor(1.0))))


class Linear(nn.Module):
    """The likelihood as a user of lvmlib writes it."""

    def __init__(self, given: Problem) -> None:
        super().__init__()
        self.register_buffer("weight", given.weight)
        self.register_buffer("bias", given.bias)
        self.register_buffer("scale", given.noise_variance.sqrt())

    def forward(self, z: Tensor) -> Distribution:
        return Independent(Normal(z @ self.weight.T + self.bias, self.scale), 1)


def lvmlib_linear_gaussian(given: Problem, num_samples: int) -> Program:
    model = given.model
    return lambda: prior_monte_carlo(model, given.x, num_samples, seed=0).log_evidence


def lvmlib_distributions(given: Problem, num_samples: int) -> Program:
    zeros = torch.zeros_like(given.weight[0])
    model = LatentVariableModel(Independent(Normal(zeros, torch.ones_like(zeros)), 1), Linear(given))
    return lambda: prior_monte_carlo(model, given.x, num_samples, seed=0).log_evidence


def torch_distributions(given: Problem, num_samples: int, chunk_size: int = 100_000) -> Program:
    """The loop that one writes by hand, with torch's distributions and a running log-sum-exp."""
    zeros = torch.zeros_like(given.weight[0])
    prior = Independent(Normal(zeros, torch.ones_like(zeros)), 1)
    likelihood = Linear(given)

    @torch.no_grad()
    def run() -> Tensor:
        total = torch.full_like(given.x[0], -torch.inf)
        for start in range(0, num_samples, chunk_size):
            z = prior.sample((min(chunk_size, num_samples - start),))
            total = torch.logaddexp(total, likelihood(z).log_prob(given.x).logsumexp(0))
        return total - math.log(num_samples)

    return run


def jax_scan(given: Problem, num_samples: int, *, precision: str = "highest", chunk_size: int = 100_000) -> Program:
    """A compiled ``lax.scan`` over chunks with a running log-sum-exp."""
    import jax
    import jax.numpy as jnp

    tensors = (given.x, given.weight, given.bias, given.noise_variance)
    x, weight, bias, variance = (jnp.asarray(t.cpu().numpy()) for t in tensors)
    constant = OBSERVED / 2 * math.log(2 * math.pi * given.noise_variance.item())

    @jax.jit
    def run(x, weight, bias, variance, key):
        def step(total, key):
            z = jax.random.normal(key, (chunk_size, LATENT))
            log_w = -((x - bias - z @ weight.T) ** 2).sum(-1) / (2 * variance) - constant
            return jnp.logaddexp(total, jax.scipy.special.logsumexp(log_w)), None

        keys = jax.random.split(key, num_samples // chunk_size)
        return jax.lax.scan(step, -jnp.inf, keys)[0] - math.log(num_samples)

    def call() -> Any:
        with jax.default_matmul_precision(precision):
            return run(x, weight, bias, variance, jax.random.PRNGKey(0)).block_until_ready()

    return call
