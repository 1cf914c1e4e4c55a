"""Training a variational autoencoder, encoder 784-200-200-2x50, batches of 100, Adam, one draw: several programs.

Every program is made once, with its compiling, and then called without arguments; a call makes ``passes`` passes
through the data. Peers are imported where they are used, so that none has to be installed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lvmlib import VAE, fit, mlp

OBSERVED, HIDDEN, LATENT, BATCH = 784, 200, 50, 100
LEARNING_RATE = 1e-3
Program = Callable[[], Any]


def images(batches: int, device: torch.device | str = "cpu") -> Tensor:
    """Random binary data of the shape of MNIST's images."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(batches * BATCH, OBSERVED, generator=generator) < 0.13).float().to(device)


def networks(device: torch.device) -> tuple[nn.Sequential, nn.Sequential]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (
            mlp(OBSERVED, HIDDEN, HIDDEN, 2 * LATENT).to(device),
            mlp(LATENT, HIDDEN, HIDDEN, OBSERVED).to(device),
        )


def batches_of(data: Tensor, passes: int) -> Iterator[Tensor]:
    """The batches of every pass, each pass in a random order of its own."""
    orders = [torch.randperm(len(data), device=data.device).split(BATCH) for _ in range(passes)]
    return (data[rows] for rows in itertools.chain(*orders))


def lvmlib_fit(data: Tensor, passes: int, *, compiled: bool = False) -> Program:
    encoder, decoder = networks(data.device)
    if compiled:
        encoder.compile()
        decoder.compile()
    vae = VAE(encoder, decoder, latent_dim=LATENT)
    options = {"batch_size": BATCH, "learning_rate": LEARNING_RATE, "progress": False}
    return lambda: fit(vae, vae.encoder, data, epochs=passes, **options)


def plain_torch(data: Tensor, passes: int) -> Program:
    """The loop that one writes by hand, with the closed KL and the fused Adam of torch."""
    encoder, decoder = networks(data.device)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LEARNING_RATE, fused=True)

    def run() -> None:
        for x in batches_of(data, passes):
            loc, log_scale = encoder(x).chunk(2, dim=-1)
            scale = log_scale.exp()
            z = loc + scale * torch.randn_like(loc)
            misfit = binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
            kl = 0.5 * (loc.square() + scale.square() - 1 - 2 * log_scale).sum()
            loss = (misfit + kl) / BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def pyro_svi(data: Tensor, passes: int, *, checks: bool) -> Program:
    """``SVI.step`` with ``Trace_ELBO``, as it comes or with its checks of every distribution switched off."""
    import pyro

    encoder, decoder = networks(data.device)
    scope = "checked" if checks else "unchecked"

    def model(x: Tensor) -> None:
        pyro.module(f"{scope} decoder", decoder)
        with pyro.plate("data", len(x)):
            prior = pyro.distributions.Normal(x.new_zeros(len(x), LATENT), x.new_ones(len(x), LATENT)).to_event(1)
            z = pyro.sample("z", prior)
            pyro.sample("x", pyro.distributions.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module(f"{scope} encoder", encoder)
        with pyro.plate("data", len(x)):
            loc, log_scale = encoder(x).chunk(2, dim=-1)
            pyro.sample("z", pyro.distributions.Normal(loc, log_scale.exp()).to_event(1))

    optimizer = pyro.optim.Adam({"lr": LEARNING_RATE})
    svi = pyro.infer.SVI(model, guide, optimizer, loss=pyro.infer.Trace_ELBO())

    def run() -> None:
        with pyro.validation_enabled(checks):
            for x in batches_of(data, passes):
                svi.step(x)

    return run


def numpyro_svi(data: Tensor, passes: int) -> Program:
    """``SVI.update`` inside ``jax.lax.scan``, all passes compiled as one program."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from jax.example_libraries import stax
    from numpyro import distributions

    encoder = stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(HIDDEN), stax.Relu, stax.Dense(2 * LATENT))
    decoder = stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(HIDDEN), stax.Relu, stax.Dense(OBSERVED))

    def model(x: jax.Array) -> None:
        decode = numpyro.module("decoder", decoder, (BATCH, LATENT))
        with numpyro.plate("data", BATCH):
            prior = distributions.Normal(jnp.zeros(LATENT), 1.0).expand((LATENT,)).to_event(1)
            z = numpyro.sample("z", prior)
            numpyro.sample("x", distributions.Bernoulli(logits=decode(z)).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        encode = numpyro.module("encoder", encoder, (BATCH, OBSERVED))
        with numpyro.plate("data", BATCH):
            loc, log_scale = jnp.split(encode(x), 2, axis=-1)
            numpyro.sample("z", distributions.Normal(loc, jnp.exp(log_scale)).to_event(1))

    pixels = jnp.asarray(data.cpu().numpy())
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(LEARNING_RATE), numpyro.infer.Trace_ELBO())
    held = {"state": svi.init(jax.random.PRNGKey(0), pixels[:BATCH])}

    @jax.jit
    def scanned(state, key):
        keys = jax.random.split(key, passes)
        order = jax.vmap(lambda key: jax.random.permutation(key, len(pixels)))(keys).reshape(-1, BATCH)
        return jax.lax.scan(lambda state, rows: svi.update(state, pixels[rows]), state, order)

    def run() -> None:
        held["state"], losses = scanned(held["state"], jax.random.PRNGKey(1))
        losses.block_until_ready()

    return run
