"""A training step of a variational autoencoder: fit beside plain torch, Pyro and NumPyro, in one run.

Encoder 784-200-200-2x50, decoder 50-200-200-784, ReLU, batches of 100, Adam, one draw, float32, on random binary data
of the shape of MNIST's images. A round gives each contender ten passes through the data, and rounds take turns.
Compiling happens before the first round.

- ``plain torch``: the loop that one writes by hand, with the closed KL and the fused Adam of torch.
- ``Pyro``: ``SVI.step`` with ``Trace_ELBO``, as it comes; and with its checks of every distribution switched off.
- ``NumPyro``: ``SVI.update`` inside ``jax.lax.scan``, all passes compiled as one program.

All is measured twice. On one core, which the process is pinned to, by the clock of the process, which stands still
while another process has the core: what is compared is the work. And on all cores by the clock on the wall: what a
reader waits for, and what the arithmetic, but not the rest, gains by cores.

Writes the times to benchmarks/results/training.json, and a plot beside it.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time

ONE_CORE = sys.argv[1:] == ["one core"]
if ONE_CORE:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

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
ROUNDS = 6
BATCHES, PASSES = 100, 10
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


def measured() -> dict[str, object]:
    """Milliseconds a step on the cores that this process may use, and their ratios."""
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
    times = interleaved(calls, ROUNDS, time.process_time if ONE_CORE else time.perf_counter)
    steps = {name: [value / STEPS * 1e3 for value in values] for name, values in times.items()}

    return {
        "cores": torch.get_num_threads(),
        "milliseconds": {name: [round(value, 3) for value in values] for name, values in steps.items()},
        "median_milliseconds": {name: round(statistics.median(values), 3) for name, values in steps.items()},
        "ratios": ratios(steps),
    }


def ratios(steps: dict[str, list[float]]) -> dict[str, float]:
    """Of the fastest rounds, as timeit advises: what makes a round slower is other processes."""
    pairs = (
        ("lvmlib", "plain torch"),
        ("lvmlib", "Pyro"),
        ("lvmlib", "Pyro, unchecked"),
        ("lvmlib, compiled", "NumPyro"),
    )
    return {f"{one} to {other}": round(min(steps[one]) / min(steps[other]), 3) for one, other in pairs}


def main() -> None:
    run = subprocess.run([sys.executable, __file__, "one core"], check=True, stdout=subprocess.PIPE, text=True)
    found = {"one core": json.loads(run.stdout), "all cores": measured()}
    figure, axes = plots.subplots(1, 2, size=(7, 2.6), sharey=True)
    for ax, (name, numbers) in zip(axes, found.items(), strict=True):
        for position, (contender, values) in enumerate(numbers["milliseconds"].items()):
            color = plots.PALETTE["evidence" if contender.startswith("lvmlib") else "data"]
            ax.barh(position, numbers["median_milliseconds"][contender], color=color)
            ax.plot(values, [position] * len(values), "|", color=plots.INK, markersize=9)
        ax.set(title=name, yticks=range(6), yticklabels=list(numbers["milliseconds"]), xlabel="milliseconds a step")
    axes[0].invert_yaxis()
    picture = plots.show(figure, alt=f"A step of lvmlib takes as long as one by hand: {found['one core']['ratios']}.")
    result = {
        "what": "one training step of a variational autoencoder, 784-200-200-50, batch 100, float32",
        "steps_a_round": STEPS,
        **found,
    }
    report("training", result, picture, packages=("torch", "pyro-ppl", "numpyro", "jax"))


if __name__ == "__main__":
    if ONE_CORE:
        print(json.dumps(measured()))
    else:
        main()
