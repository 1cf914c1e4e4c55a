"""Annealed importance sampling of digits under a decoder 16-100-784: one chain, two programs.

Both use the same temperatures, the same step size for all of them, the same number of leapfrog steps, the prior as the
start and one accept/reject decision a temperature. The peer is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from lvmlib import VAE, LatentVariableModel, annealed_importance_sampling, mlp
from lvmlib._hamiltonian import temperatures

OBSERVED, HIDDEN, LATENT = 784, 100, 16
SIZES = (LATENT, HIDDEN, OBSERVED)
Program = Callable[[], Any]


@dataclass(frozen=True)
class Problem:
    """Images of shape (N, 784), a decoder, and the chain: its counts and its step size."""

    images: Tensor
    decoder: nn.Sequential
    num_chains: int
    num_steps: int
    num_leapfrog: int = 5
    step_size: float = 0.1

    @property
    def weights(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer."""
        layers = [layer for layer in self.decoder if isinstance(layer, nn.Linear)]
        return [(layer.weight.detach(), layer.bias.detach()) for layer in layers]


def problem(num_images: int, num_chains: int, num_steps: int) -> Problem:
    """Images that the decoder makes, so that the posterior is neither the prior nor out of reach."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = mlp(*SIZES).requires_grad_(False)
        images = torch.bernoulli(decoder(torch.randn(num_images, LATENT)).mul_(3.0).sigmoid_())
    return Problem(images, decoder, num_chains, num_steps)


class BernoulliImages(nn.Module):
    """The likelihood as a user of lvmlib writes it."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=self.decoder(z)), 1)


def lvmlib_module(given: Problem) -> Program:
    """A model of the user's own."""
    zeros = torch.zeros(LATENT)
    prior = Independent(Normal(zeros, torch.ones(LATENT)), 1)
    return _annealing(LatentVariableModel(prior, BernoulliImages(given.decoder)), given)


def lvmlib_vae(given: Problem) -> Program:
    """lvmlib's own model; its encoder is not used."""
    return _annealing(VAE(mlp(OBSERVED, 2 * LATENT), given.decoder, latent_dim=LATENT), given)


def _annealing(model: LatentVariableModel, given: Problem) -> Program:
    return lambda: (
        annealed_importance_sampling(
            model,
            given.images,
            num_chains=given.num_chains,
            num_steps=given.num_steps,
            num_leapfrog=given.num_leapfrog,
            step_size=given.step_size,
            seed=0,
        ).log_evidence
    )


def numpyro_program(given: Problem) -> Program:
    """NumPyro's own integrator of Hamiltonian dynamics, in one compiled ``lax.scan`` over the temperatures."""
    import jax
    import jax.numpy as jnp
    from numpyro import distributions
    from numpyro.infer.hmc_util import velocity_verlet

    x = jnp.asarray(given.images.numpy())
    layers = [(jnp.asarray(w.numpy()).T, jnp.asarray(b.numpy())) for w, b in given.weights]
    betas = jnp.asarray(temperatures(given.num_steps))
    shape = (given.num_chains, len(given.images), LATENT)

    def likelihood(z: Any) -> Any:
        hidden = z
        for weight, bias in layers[:-1]:
            hidden = jax.nn.relu(hidden @ weight + bias)
        return hidden @ layers[-1][0] + layers[-1][1]

    def log_ratio(z: Any) -> Any:
        return distributions.Bernoulli(logits=likelihood(z)).to_event(1).log_prob(x)

    def potential(z: Any, beta: Any) -> Any:
        return 0.5 * (z**2).sum(-1) - beta * log_ratio(z)

    def kinetic(inverse_mass: Any, momentum: Any) -> Any:
        return 0.5 * (momentum**2).sum()

    @jax.jit
    def run(key: Any) -> Any:
        start, moves = jax.random.split(key)

        def step(carry: Any, inputs: Any) -> Any:
            z, log_w = carry
            before, beta, key = inputs
            log_w = log_w + (beta - before) * log_ratio(z)
            initialise, update = velocity_verlet(lambda place: potential(place, beta).sum(), kinetic)
            one, two = jax.random.split(key)
            momentum = jax.random.normal(one, shape)
            state = initialise(z, momentum)
            end = jax.lax.fori_loop(
                0, given.num_leapfrog, lambda _, at: update(given.step_size, jnp.ones(LATENT), at), state
            )
            gain = potential(z, beta) - potential(end.z, beta)
            gain = gain + 0.5 * (momentum**2 - end.r**2).sum(-1)
            chosen = jax.random.uniform(two, gain.shape) < jnp.exp(gain)
            return (jnp.where(chosen[..., None], end.z, z), log_w), chosen.mean()

        z = jax.random.normal(start, shape)
        keys = jax.random.split(moves, given.num_steps - 1)
        inputs = (betas[:-2], betas[1:-1], keys)
        (z, log_w), _ = jax.lax.scan(step, (z, jnp.zeros(shape[:-1])), inputs)
        log_w = log_w + (betas[-1] - betas[-2]) * log_ratio(z)
        return jax.scipy.special.logsumexp(log_w, axis=0) - math.log(given.num_chains)

    return lambda: run(jax.random.PRNGKey(0)).block_until_ready()
