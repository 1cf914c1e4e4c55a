"""log p(x) by ten million draws from the prior, linear Gaussian, D = 10, M = 20: lvmlib beside JAX and torch.

Rounds take turns, with the threads that each library takes by itself. Writes benchmarks/results/evidence.json and a
plot beside it.
"""

from __future__ import annotations

import argparse

import programs_evidence
from reporting import bars, interleaved, medians, report, verdicts


def main(rounds: int, num_samples: int) -> None:
    given = programs_evidence.problem()
    programs = {
        "lvmlib, own model": programs_evidence.lvmlib_linear_gaussian(given, num_samples),
        "lvmlib, any Distribution": programs_evidence.lvmlib_distributions(given, num_samples),
        "JAX scan": programs_evidence.jax_scan(given, num_samples),
        "chunked torch.distributions": programs_evidence.torch_distributions(given, num_samples),
    }
    answers = {name: float(call()) for name, call in programs.items()}
    times = interleaved(programs, rounds)
    middle = medians(times)
    ratios = {
        f"{ours} / {peer}": middle[ours] / middle[peer]
        for ours in ("lvmlib, own model", "lvmlib, any Distribution")
        for peer in ("JAX scan", "chunked torch.distributions")
    }
    result = {
        "what": f"log p(x) by {num_samples:,} draws from the prior, linear Gaussian, D = 10, M = 20, float32",
        "seconds": {name: [round(v, 4) for v in values] for name, values in times.items()},
        "median_seconds": {name: round(value, 4) for name, value in middle.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "exact_log_evidence": given.model.log_evidence(given.x).item(),
        "log_evidence": answers,
        "demands": verdicts("evidence", ratios),
    }
    share = ratios["lvmlib, own model / JAX scan"]
    picture = bars(times, unit="seconds", alt=f"lvmlib's own model takes {share:.2f} of the time of a JAX scan.")
    report("evidence", result, picture, packages=("torch", "jax"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=10_000_000)
    arguments = parser.parse_args()
    main(arguments.rounds, arguments.samples)
