"""Annealed importance sampling of 20 binary images, 16 chains each, decoder 16-100-784: lvmlib beside NumPyro.

The same chain in both: 200 temperatures, 5 leapfrog steps of one size, an accept/reject decision at each temperature.
Rounds take turns, with the threads that each library takes by itself; NumPyro's program is compiled before the first
round. Writes benchmarks/results/annealing.json and a plot beside it.
"""

from __future__ import annotations

import argparse

import programs_annealing
from reporting import bars, interleaved, medians, report, verdicts

NUM_IMAGES, NUM_CHAINS, NUM_STEPS = 20, 16, 200


def main(rounds: int) -> None:
    given = programs_annealing.problem(NUM_IMAGES, NUM_CHAINS, NUM_STEPS)
    programs = {
        "lvmlib, own VAE": programs_annealing.lvmlib_vae(given),
        "lvmlib, any module": programs_annealing.lvmlib_module(given),
        "NumPyro": programs_annealing.numpyro_program(given),
    }
    answers = {name: float(call().mean()) for name, call in programs.items()}
    times = interleaved(programs, rounds)
    middle = medians(times)
    ratios = {
        f"{ours} / NumPyro": middle[ours] / middle["NumPyro"] for ours in ("lvmlib, own VAE", "lvmlib, any module")
    }
    result = {
        "what": f"AIS of {NUM_IMAGES} binary images, {NUM_CHAINS} chains, {NUM_STEPS} steps, decoder 16-100-784",
        "seconds": {name: [round(v, 4) for v in values] for name, values in times.items()},
        "median_seconds": {name: round(value, 4) for name, value in middle.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "mean_log_evidence": answers,
        "demands": verdicts("annealing", ratios),
    }
    own = ratios["lvmlib, own VAE / NumPyro"]
    picture = bars(times, unit="seconds", alt=f"lvmlib's own VAE takes {own:.2f} times as long as NumPyro.")
    report("annealing", result, picture, packages=("torch", "jax", "numpyro"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    main(parser.parse_args().rounds)
