"""IWAE-K of binary images under a decoder 50-200-200-784, q given: one number, several programs.

Every program is made once, with its compiling, and then called without arguments; it gives one estimate of
log p(x) for each image, in nats. Peers are imported where they are used, so that none has to be installed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from lvmlib import VAE, LatentVariableModel, importance_sampling, mlp

OBSERVED, HIDDEN, LATENT = 784, 200, 50
SIZES = (LATENT, HIDDEN, HIDDEN, OBSERVED)
Program = Callable[[], Any]


@dataclass(frozen=True)
class Problem:
    """Images of shape (N, 784), a decoder, and the mean and scale of q for each image, shape (N, 50)."""

    images: Tensor
    decoder: nn.Sequential
    loc: Tensor
    scale: Tensor

    @property
    def q(self) -> Distribution:
        return Independent(Normal(self.loc, self.scale), 1)

    @property
    def weights(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer."""
        layers = [layer for layer in self.decoder if isinstance(layer, nn.Linear)]
        return [(layer.weight.detach(), layer.bias.detach()) for layer in layers]

    def flop(self, num_samples: int) -> float:
        """Multiplications and additions inside the matrix products of K draws an image."""
        products = sum(a * b for a, b in itertools.pairwise(SIZES))
        return 2.0 * products * num_samples * len(self.images)


def problem(num_images: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Problem:
    """Random images as sparse as MNIST's, and a q that is near the prior, so that all programs agree closely."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = mlp(*SIZES).to(device, dtype).requires_grad_(False)
    images = (torch.rand(num_images, OBSERVED, generator=generator) < 0.13).to(device, dtype)
    loc = 0.1 * torch.randn(num_images, LATENT, generator=generator)
    return Problem(images, decoder, loc.to(device, dtype), torch.full_like(loc, 0.9).to(device, dtype))


def vae_of(given: Problem) -> VAE:
    """lvmlib's own model with the decoder of the problem; its encoder is not used."""
    encoder = mlp(OBSERVED, 2 * LATENT).to(given.images)
    return VAE(encoder, given.decoder, latent_dim=LATENT)


class BernoulliImages(nn.Module):
    """The likelihood as a user of lvmlib writes it."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=self.decoder(z)), 1)


def lvmlib_vae(given: Problem, num_samples: int) -> Program:
    model = vae_of(given)
    return lambda: importance_sampling(model, given.q, given.images, num_samples, seed=0).log_evidence


def lvmlib_module(given: Problem, num_samples: int) -> Program:
    zeros = torch.zeros_like(given.loc[0])
    model = LatentVariableModel(Independent(Normal(zeros, torch.ones_like(zeros)), 1), BernoulliImages(given.decoder))
    return lambda: importance_sampling(model, given.q, given.images, num_samples, seed=0).log_evidence


def plain_torch(given: Problem, num_samples: int, chunk_size: int = 10) -> Program:
    """The loop that one writes by hand: ten draws an image at a time, and the log-mean-exp of all at the end."""

    @torch.no_grad()
    def run() -> Tensor:
        parts = []
        for start in range(0, num_samples, chunk_size):
            noise = torch.randn(min(chunk_size, num_samples - start), *given.loc.shape, device=given.loc.device)
            z = given.loc + given.scale * noise.to(given.loc)
            logits = given.decoder(z)
            misfit = nn.functional.binary_cross_entropy_with_logits(
                logits, given.images.expand_as(logits), reduction="none"
            )
            log_ratio = 0.5 * (noise.square() - z.square()).sum(-1) + given.scale.log().sum(-1)
            parts.append(log_ratio - misfit.sum(-1))
        return torch.cat(parts).logsumexp(0) - math.log(num_samples)

    return run


def jax_program(given: Problem, num_samples: int, *, precision: str = "highest", chunk_size: int = 10) -> Program:
    """The best of the JAX programs that were tried: one compiled ``lax.map`` over chunks of ten draws an image."""
    import jax
    import jax.numpy as jnp

    x, loc, scale = (jnp.asarray(t.cpu().numpy()) for t in (given.images, given.loc, given.scale))
    layers = [(jnp.asarray(w.cpu().numpy()).T, jnp.asarray(b.cpu().numpy())) for w, b in given.weights]

    @jax.jit
    def run(layers, x, loc, scale, key):
        def weigh(key):
            noise = jax.random.normal(key, (chunk_size, *loc.shape))
            z = loc + scale * noise
            hidden = z
            for weight, bias in layers[:-1]:
                hidden = jax.nn.relu(hidden @ weight + bias)
            logits = hidden @ layers[-1][0] + layers[-1][1]
            log_likelihood = (x * logits - jax.nn.softplus(logits)).sum(-1)
            return log_likelihood + 0.5 * (noise**2 - z**2).sum(-1) + jnp.log(scale).sum(-1)

        log_w = jax.lax.map(weigh, jax.random.split(key, num_samples // chunk_size))
        return jax.scipy.special.logsumexp(log_w.reshape(num_samples, -1), axis=0) - math.log(num_samples)

    def call() -> Any:
        with jax.default_matmul_precision(precision):
            return run(layers, x, loc, scale, jax.random.PRNGKey(0)).block_until_ready()

    return call


def numpyro_program(given: Problem, num_samples: int) -> Program:
    """``RenyiELBO`` with alpha 0 and all particles of one image at once, mapped over the images and compiled."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions

    x, loc, scale = (jnp.asarray(t.cpu().numpy()) for t in (given.images, given.loc, given.scale))
    layers = [(jnp.asarray(w.cpu().numpy()).T, jnp.asarray(b.cpu().numpy())) for w, b in given.weights]

    def model(x, loc, scale):
        z = numpyro.sample("z", distributions.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
        for weight, bias in layers[:-1]:
            z = jax.nn.relu(z @ weight + bias)
        logits = z @ layers[-1][0] + layers[-1][1]
        numpyro.sample("x", distributions.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x, loc, scale):
        numpyro.sample("z", distributions.Normal(loc, scale).to_event(1))

    objective = numpyro.infer.RenyiELBO(alpha=0, num_particles=num_samples)

    @jax.jit
    def run(key, x, loc, scale):
        def one(inputs):
            key, *rest = inputs
            return -objective.loss(key, {}, model, guide, *rest)

        return jax.lax.map(one, (jax.random.split(key, len(x)), x, loc, scale))

    return lambda: run(jax.random.PRNGKey(0), x, loc, scale).block_until_ready()


def pyro_program(given: Problem, num_samples: int) -> Program:
    """``RenyiELBO`` with alpha 0 and all particles of one image at once: it takes one logarithm a call."""
    import pyro

    def model(x: Tensor, loc: Tensor, scale: Tensor) -> None:
        zeros = torch.zeros_like(loc)
        z = pyro.sample("z", pyro.distributions.Normal(zeros, torch.ones_like(zeros)).to_event(1))
        pyro.sample("x", pyro.distributions.Bernoulli(logits=given.decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor, loc: Tensor, scale: Tensor) -> None:
        pyro.sample("z", pyro.distributions.Normal(loc, scale).to_event(1))

    objective = pyro.infer.RenyiELBO(alpha=0, num_particles=num_samples, vectorize_particles=True, max_plate_nesting=0)

    @torch.no_grad()
    def run() -> Tensor:
        rows = zip(given.images, given.loc, given.scale, strict=True)
        return torch.tensor([-objective.loss(model, guide, *row) for row in rows])

    return run


def matrix_rate(given: Problem, rows: int, seconds: Callable[[Program], float]) -> float:
    """The floating-point operations a second of the decoder's three matrix products alone, on so many rows."""
    inputs = [torch.randn(rows, size, device=given.loc.device).to(given.loc.dtype) for size in SIZES[:-1]]
    outputs = [torch.empty(rows, size, device=given.loc.device, dtype=given.loc.dtype) for size in SIZES[1:]]
    weights = [weight.T.contiguous() for weight, _ in given.weights]

    def products() -> None:
        for a, b, out in zip(inputs, weights, outputs, strict=True):
            torch.mm(a, b, out=out)

    return 2.0 * rows * sum(a * b for a, b in itertools.pairwise(SIZES)) / seconds(products)
