"""The memory of an estimate of log p(x) against the number of draws K: lvmlib's two estimators and a one-shot program.

The model is probabilistic PCA with two latent dimensions of real digits, the observation one held-out digit. Every
run has a fresh process; its memory is the largest resident size it ever had, less what was resident after the imports
and the fit. The one-shot program holds all K images at once, as a first program does, and stops where it would no
longer fit into the memory of an ordinary machine.

Writes benchmarks/results/memory.json and a plot beside it. 10^8 draws take a few minutes for each estimator, on one
thread: the arrays are small, and threads of a busy machine would wait for each other.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time

import torch
from reporting import in_a_fresh_process, megabytes, report
from torch import Tensor
from torch.distributions import MultivariateNormal

from lvmlib import LinearGaussian, data, importance_sampling, laplace_approximation, plots, prior_monte_carlo

LATENT_DIM = 2
LIMIT_MB = 200
COUNTS = {
    "prior_monte_carlo": [10**power for power in range(3, 9)],
    "importance_sampling": [10**power for power in range(3, 9)],
    "one-shot": [10**power for power in range(3, 8)],
}


def all_at_once(model: LinearGaussian, x: Tensor, num_samples: int) -> float:
    """The formula as one writes it down: a matrix of K images, its distances to x, the average likelihood."""
    z = torch.randn(num_samples, LATENT_DIM)
    distance = ((x - model.bias - z @ model.weight.T) ** 2).sum(-1)
    log_w = -distance / (2 * model.noise_variance) - len(x) / 2 * (2 * math.pi * model.noise_variance).log()
    return (log_w.logsumexp(0) - math.log(num_samples)).item()


def measure(method: str, num_samples: int) -> dict[str, float]:
    """One estimate in this process, with the memory and the time that it took."""
    model = LinearGaussian.fit(data.digits("train").images, LATENT_DIM)
    x = data.digits("test").images[3]
    mode = laplace_approximation(model, x)
    # The model is linear, so Laplace is the posterior and would have no error: twice its variance has one.
    q = MultivariateNormal(mode.mean, 2 * mode.covariance_matrix)
    before, start = megabytes("VmRSS"), time.perf_counter()
    if method == "one-shot":
        torch.manual_seed(0)
        value = all_at_once(model, x, num_samples)
    elif method == "prior_monte_carlo":
        value = prior_monte_carlo(model, x, num_samples, seed=0).log_evidence.item()
    else:
        value = importance_sampling(model, q, x, num_samples, seed=0).log_evidence.item()
    seconds = time.perf_counter() - start
    return {
        "megabytes": round(megabytes("VmHWM") - before, 1),
        "seconds": round(seconds, 2),
        "error_in_nats": round(value - model.log_evidence(x).item(), 5),
    }


def main() -> None:
    runs: dict[str, dict[int, dict[str, float]]] = {method: {} for method in COUNTS}
    for method, counts in COUNTS.items():
        for count in counts:
            runs[method][count] = in_a_fresh_process(__file__, "--measure", method, str(count))
            print(method, count, runs[method][count], file=sys.stderr, flush=True)
    most = max(run["megabytes"] for method in COUNTS if method != "one-shot" for run in runs[method].values())
    result = {
        "what": f"peak memory of an estimate of log p(x), float32, one digit, {LATENT_DIM} latent dimensions",
        "limit_megabytes": LIMIT_MB,
        "most_megabytes_streamed": most,
        "runs": runs,
    }
    _, ax = plots.subplots(size=(5.4, 3.0))
    roles = {"prior_monte_carlo": "prior", "importance_sampling": "q", "one-shot": "data"}
    for method, role in roles.items():
        sizes = [run["megabytes"] for run in runs[method].values()]
        ax.loglog(list(runs[method]), sizes, "o-", color=plots.PALETTE[role], markersize=4, label=method)
    ax.axhline(LIMIT_MB, color=plots.INK, linewidth=0.8, linestyle=":")
    ax.set(xlabel="number of draws $K$", ylabel="peak memory, MB")
    ax.legend(loc="upper left")
    picture = plots.show(ax, alt=f"Streamed estimates stay below {most:.0f} MB; the one-shot program grows with K.")
    report("memory", result, picture, packages=("torch",))
    if most > LIMIT_MB:
        sys.exit(f"An estimate took {most:.0f} MB: expected at most {LIMIT_MB}.")


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "K"), help="print one measurement in this process")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure[0], int(arguments.measure[1]))))
    else:
        main()
