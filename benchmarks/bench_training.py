"""A training step of a variational autoencoder: fit beside plain torch, Pyro and NumPyro, in one run.

Encoder 784-200-200-2x50, decoder 50-200-200-784, ReLU, batches of 100, Adam, one draw, float32, on random binary data
of the shape of MNIST's images. A round gives each contender ten passes through the data, and rounds take turns.
Compiling happens before the first round; ``lvmlib, compiled`` is fit of modules that ``torch.compile`` compiled.

All is measured twice. On one core, which the process is pinned to, by the clock of the process, which stands still
while another process has the core: what is compared is the work. And on all cores by the clock on the wall: what a
reader waits for, and what the arithmetic, but not the rest, gains by cores.

Writes the times to benchmarks/results/training.json, and a plot beside it.
"""

from __future__ import annotations

import json
import os
import sys
import time

ONE_CORE = sys.argv[1:2] == ["one core"]
if ONE_CORE:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import programs_training
import torch
from reporting import in_a_fresh_process, interleaved, medians, report, verdicts

from lvmlib import plots

ROUNDS, BATCHES, PASSES = 6, 100, 10


def measured(rounds: int) -> dict[str, object]:
    """Milliseconds a step on the cores that this process may use, and their ratios."""
    data = programs_training.images(BATCHES)
    calls = {
        "lvmlib": programs_training.lvmlib_fit(data, PASSES),
        "plain torch": programs_training.plain_torch(data, PASSES),
        "Pyro": programs_training.pyro_svi(data, PASSES, checks=True),
        "Pyro, unchecked": programs_training.pyro_svi(data, PASSES, checks=False),
        "lvmlib, compiled": programs_training.lvmlib_fit(data, PASSES, compiled=True),
        "NumPyro": programs_training.numpyro_svi(data, PASSES),
    }
    for call in calls.values():
        call()
    times = interleaved(calls, rounds, time.process_time if ONE_CORE else time.perf_counter)
    steps = {name: [value / (BATCHES * PASSES) * 1e3 for value in values] for name, values in times.items()}
    middle = medians(steps)
    pairs = [(one, two) for one in ("lvmlib", "lvmlib, compiled") for two in middle if not two.startswith("lvmlib")]
    return {
        "cores": torch.get_num_threads(),
        "milliseconds": {name: [round(value, 3) for value in values] for name, values in steps.items()},
        "median_milliseconds": {name: round(value, 3) for name, value in middle.items()},
        "ratios": {f"{one} / {two}": round(middle[one] / middle[two], 3) for one, two in pairs},
    }


def main() -> None:
    found = {"one core": in_a_fresh_process(__file__, "one core"), "all cores": measured(ROUNDS)}
    figure, axes = plots.subplots(1, 2, size=(7, 2.6), sharey=True)
    for ax, (name, numbers) in zip(axes, found.items(), strict=True):
        for position, (contender, values) in enumerate(numbers["milliseconds"].items()):
            color = plots.PALETTE["evidence" if contender.startswith("lvmlib") else "data"]
            ax.barh(position, numbers["median_milliseconds"][contender], color=color)
            ax.plot(values, [position] * len(values), "|", color=plots.INK, markersize=9)
        ax.set(title=name, yticks=range(6), yticklabels=list(numbers["milliseconds"]), xlabel="milliseconds a step")
    axes[0].invert_yaxis()
    ratios = {
        f"lvmlib / plain torch, {name}": numbers["ratios"]["lvmlib / plain torch"] for name, numbers in found.items()
    }
    result = {
        "what": "one training step of a variational autoencoder, 784-200-200-50, batch 100, float32",
        "steps_a_round": BATCHES * PASSES,
        **found,
        "demands": verdicts("training", ratios),
    }
    picture = plots.show(figure, alt=f"A step of lvmlib takes as long as one by hand: {ratios}.")
    report("training", result, picture, packages=("torch", "pyro-ppl", "numpyro", "jax"))


if __name__ == "__main__":
    if ONE_CORE:
        print(json.dumps(measured(ROUNDS)))
    else:
        main()
