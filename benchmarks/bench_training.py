"""A training step of a variational autoencoder: fit beside plain torch, Pyro and NumPyro, in one run.

Encoder 784-200-200-2x50, decoder 50-200-200-784, ReLU, batches of 100, Adam, one draw, float32, on random binary data
of the shape of MNIST's images. Everything runs on one core, which the process is pinned to: what is compared is the
work, not the number of threads. A round gives each contender two passes through the data, and rounds take turns. The
clock is that of the process, which stands still while another process has the core.

- ``plain torch``: the loop that one writes by hand, with the closed KL and the fused Adam of torch.
- ``Pyro``: ``SVI.step`` with ``Trace_ELBO``, as it comes; and with its checks of every distribution switched off.
- ``NumPyro``: ``SVI.update`` inside ``jax.lax.scan``, all passes compiled as one program.

Writes the times to benchmarks/results/training.json, and a plot beside it. Compiling happens before the first round.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time

CORE = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {CORE})
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpyro
import pyro
import torch
from jax.example_libraries import stax
from numpyro import distributions as jax_distributions
from reporting import interleaved, report
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lvmlib import VAE, fit, mlp, plots

OBSERVED, HIDDEN, LATENT, BATCH = 784, 200, 50, 100
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 15
BATCHES, PASSES = 100, 2
STEPS = BATCHES * PASSES
LEARNING_RATE = 1e-3


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    return mlp(OBSERVED, HIDDEN, HIDDEN, 2 * LATENT), mlp(LATENT, HIDDEN, HIDDEN, OBSERVED)


def orders(data: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """The batches of every pass, as rows in a random order."""
    return [torch.randperm(len(data)).split(BATCH) for _ in range(PASSES)]


def lvmlib_round(data: torch.Tensor, *, compiled: bool):
    encoder, decoder = networks()
    vae = VAE(encoder, decoder, latent_dim=LATENT)
    return lambda: fit(
        vae,
        vae.encoder,
        data,
        epochs=PASSES,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        compile=compiled,
        progress=False,
    )


def plain_round(data: torch.Tensor):
    encoder, decoder = networks()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LEARNING_RATE, fused=True)

    def one_round() -> None:
        for rows in itertools.chain(*orders(data)):
            x = data[rows]
            loc, log_scale = encoder(x).chunk(2, dim=-1)
            scale = log_scale.exp()
            z = loc + scale * torch.randn_like(loc)
            misfit = binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
            kl = 0.5 * (loc.square() + scale.square() - 1 - 2 * log_scale).sum()
            loss = (misfit + kl) / BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return one_round


def pyro_round(data: torch.Tensor, *, checks: bool):
    encoder, decoder = networks()
    scope = "checked" if checks else "unchecked"

    def model(x: torch.Tensor) -> None:
        pyro.module(f"{scope} decoder", decoder)
        with pyro.plate("data", len(x)):
            prior = pyro.distributions.Normal(x.new_zeros(len(x), LATENT), x.new_ones(len(x), LATENT)).to_event(1)
            z = pyro.sample("z", prior)
            pyro.sample("x", pyro.distributions.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x: torch.Tensor) -> None:
        pyro.module(f"{scope} encoder", encoder)
        with pyro.plate("data", len(x)):
            loc, log_scale = encoder(x).chunk(2, dim=-1)
            pyro.sample("z", pyro.distributions.Normal(loc, log_scale.exp()).to_event(1))

    optimizer = pyro.optim.Adam({"lr": LEARNING_RATE})
    svi = pyro.infer.SVI(model, guide, optimizer, loss=pyro.infer.Trace_ELBO())

    def one_round() -> None:
        with pyro.validation_enabled(checks):
            for rows in itertools.chain(*orders(data)):
                svi.step(data[rows])

    return one_round


def numpyro_round(data: torch.Tensor):
    encoder = stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(HIDDEN), stax.Relu, stax.Dense(2 * LATENT))
    decoder = stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(HIDDEN), stax.Relu, stax.Dense(OBSERVED))

    def model(x: jax.Array) -> None:
        decode = numpyro.module("decoder", decoder, (BATCH, LATENT))
        with numpyro.plate("data", BATCH):
            prior = jax_distributions.Normal(jnp.zeros(LATENT), 1.0).expand((LATENT,)).to_event(1)
            z = numpyro.sample("z", prior)
            numpyro.sample("x", jax_distributions.Bernoulli(logits=decode(z)).to_event(1), obs=x)

    def guide(x: jax.Array) -> None:
        encode = numpyro.module("encoder", encoder, (BATCH, OBSERVED))
        with numpyro.plate("data", BATCH):
            loc, log_scale = jnp.split(encode(x), 2, axis=-1)
            numpyro.sample("z", jax_distributions.Normal(loc, jnp.exp(log_scale)).to_event(1))

    images = jnp.asarray(data.numpy())
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(LEARNING_RATE), numpyro.infer.Trace_ELBO())
    held = {"state": svi.init(jax.random.PRNGKey(0), images[:BATCH])}

    @jax.jit
    def scanned(state, key):
        keys = jax.random.split(key, PASSES)
        order = jax.vmap(lambda key: jax.random.permutation(key, len(images)))(keys).reshape(-1, BATCH)
        return jax.lax.scan(lambda state, rows: svi.update(state, images[rows]), state, order)

    def one_round() -> None:
        held["state"], losses = scanned(held["state"], jax.random.PRNGKey(1))
        losses.block_until_ready()

    return one_round


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(BATCHES * BATCH, OBSERVED, generator=generator) < 0.13).float()
    calls = {
        "lvmlib": lvmlib_round(data, compiled=False),
        "plain torch": plain_round(data),
        "Pyro": pyro_round(data, checks=True),
        "Pyro, unchecked": pyro_round(data, checks=False),
        "lvmlib, compiled": lvmlib_round(data, compiled=True),
        "NumPyro": numpyro_round(data),
    }
    for call in calls.values():
        call()
    times = interleaved(calls, ROUNDS, time.process_time)
    steps = {name: [value / STEPS * 1e3 for value in values] for name, values in times.items()}
    median = {name: statistics.median(values) for name, values in steps.items()}

    def ratio(one: str, other: str) -> float:
        """The median over the rounds of the ratio within a round: what slows a round slows both."""
        return round(statistics.median(a / b for a, b in zip(steps[one], steps[other], strict=True)), 3)

    result = {
        "what": "one training step of a variational autoencoder, 784-200-200-50, batch 100, float32, one core",
        "steps_a_round": STEPS,
        "rounds": ROUNDS,
        "median_milliseconds": {name: round(value, 3) for name, value in median.items()},
        "fastest_milliseconds": {name: round(min(values), 3) for name, values in steps.items()},
        "ratios": {
            "lvmlib to plain torch": ratio("lvmlib", "plain torch"),
            "lvmlib to Pyro": ratio("lvmlib", "Pyro"),
            "lvmlib to Pyro, unchecked": ratio("lvmlib", "Pyro, unchecked"),
            "lvmlib, compiled to NumPyro": ratio("lvmlib, compiled", "NumPyro"),
        },
    }
    _, ax = plots.subplots(size=(5.4, 2.6))
    for position, (name, values) in enumerate(steps.items()):
        ax.barh(position, median[name], color=plots.PALETTE["evidence" if name.startswith("lvmlib") else "data"])
        ax.plot(values, [position] * len(values), "|", color=plots.INK, markersize=9)
    ax.set(yticks=range(len(steps)), yticklabels=list(steps), xlabel="milliseconds a step, median and every round")
    ax.invert_yaxis()
    picture = plots.show(ax, alt=f"A step of lvmlib takes {result['ratios']['lvmlib to plain torch']} of one by hand.")
    report("training", result, picture, packages=("torch", "pyro-ppl", "numpyro", "jax"))


if __name__ == "__main__":
    main()
