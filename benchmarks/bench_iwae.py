"""IWAE-5000 of 100 binary images, q given, decoder 50-200-200-784: lvmlib beside JAX, NumPyro, Pyro and plain torch.

Rounds take turns, with the threads that each library takes by itself; JAX, NumPyro and Pyro compile or warm up before
the first round. The memory of lvmlib is that of a fresh process over what its imports and the data take, for 5,000 and
for 500,000 draws. Writes benchmarks/results/iwae.json and a plot beside it.
"""

from __future__ import annotations

import argparse
import json

import programs_iwae
from reporting import bars, in_a_fresh_process, interleaved, medians, megabytes, report, verdicts

from lvmlib import importance_sampling

NUM_IMAGES, NUM_SAMPLES, MANY_SAMPLES = 100, 5_000, 500_000


def memory(num_samples: int) -> float:
    """Megabytes over what was there before the first draw."""
    given = programs_iwae.problem(NUM_IMAGES)
    model = programs_iwae.vae_of(given)
    # The threads, and what torch keeps for itself once it has multiplied, are there before.
    importance_sampling(model, given.q, given.images[:1].expand(NUM_IMAGES, -1), 10, seed=0)
    before = megabytes("VmRSS")
    importance_sampling(model, given.q, given.images, num_samples, seed=0)
    return megabytes("VmHWM") - before


def main(rounds: int) -> None:
    given = programs_iwae.problem(NUM_IMAGES)
    programs = {
        "lvmlib, own VAE": programs_iwae.lvmlib_vae(given, NUM_SAMPLES),
        "lvmlib, any module": programs_iwae.lvmlib_module(given, NUM_SAMPLES),
        "best JAX": programs_iwae.jax_program(given, NUM_SAMPLES),
        "NumPyro": programs_iwae.numpyro_program(given, NUM_SAMPLES),
        "Pyro": programs_iwae.pyro_program(given, NUM_SAMPLES),
        "plain torch": programs_iwae.plain_torch(given, NUM_SAMPLES),
    }
    answers = {name: float(call().mean()) for name, call in programs.items()}
    times = interleaved(programs, rounds)
    middle = medians(times)
    taken = {count: in_a_fresh_process(__file__, "--memory", str(count)) for count in (NUM_SAMPLES, MANY_SAMPLES)}
    ratios = {
        f"{ours} / {peer}": middle[ours] / middle[peer]
        for ours in ("lvmlib, own VAE", "lvmlib, any module")
        for peer in ("best JAX", "NumPyro", "Pyro", "plain torch")
    }
    measured = ratios | {f"megabytes over the imports, K = {count:,}": value for count, value in taken.items()}
    result = {
        "what": f"IWAE-{NUM_SAMPLES} of {NUM_IMAGES} binary images, q given, decoder 50-200-200-784, float32",
        "seconds": {name: [round(v, 4) for v in values] for name, values in times.items()},
        "median_seconds": {name: round(value, 4) for name, value in middle.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "megabytes": taken,
        "mean_log_evidence": answers,
        "demands": verdicts("iwae", measured),
    }
    picture = bars(
        times, unit="seconds", alt=f"lvmlib's own VAE takes {ratios['lvmlib, own VAE / best JAX']:.2f} of JAX."
    )
    report("iwae", result, picture, packages=("torch", "jax", "numpyro", "pyro-ppl"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", type=int, metavar="K", help="print the megabytes that K draws take in this process")
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(arguments.memory)))
    else:
        main(arguments.rounds)
