"""The evidence of 100,000 points under probabilistic PCA: LinearGaussian beside scikit-learn's PCA, in one run.

Writes the timings, and how far the two answers are apart, to benchmarks/results/log_evidence.json, and a plot beside
it. Both run in float64 with the same number of threads, in rounds that take turns, so that a busy moment of the
machine meets both. The first call of a round is not counted: the thread pool of the other library still spins for a
moment, and that time belongs to neither. Then the calls alternate one by one, as in a program that uses both, and that
time counts.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import torch
from reporting import bars, interleaved, medians, report, verdicts
from sklearn.decomposition import PCA
from torch.utils._python_dispatch import TorchDispatchMode

from lvmlib import LinearGaussian

NUM_POINTS, NUM_OBSERVED, LATENT_DIM = 100_000, 64, 10
ROUNDS, CALLS_A_ROUND = 5, 7


class LargestTensor(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that an operation makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        # A view shares the storage of what it looks at and costs nothing.
        inputs = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        if isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() not in inputs:
            self.largest = max(self.largest, made.untyped_storage().nbytes())
        return made


def problem() -> tuple[torch.Tensor, PCA, LinearGaussian]:
    """Data of the stated size, scikit-learn's fit to it, and our model at the parameters of that fit."""
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(LATENT_DIM, NUM_OBSERVED))
    x = generator.normal(size=(NUM_POINTS, LATENT_DIM)) @ weight + generator.normal(size=(NUM_POINTS, NUM_OBSERVED))
    peer = PCA(LATENT_DIM).fit(x)
    scale = np.sqrt(peer.explained_variance_ - peer.noise_variance_)
    parameters = (peer.components_.T * scale, peer.mean_, np.array(peer.noise_variance_))
    return torch.as_tensor(x), peer, LinearGaussian(*map(torch.as_tensor, parameters))


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    x, peer, model = problem()
    rows = x.numpy()
    calls = {"lvmlib": lambda: model.log_evidence(x), "scikit-learn": lambda: peer.score_samples(rows)}
    difference = float(np.abs(calls["lvmlib"]().numpy() - calls["scikit-learn"]()).max())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()
            times[name] += [seconds(call) for _ in range(CALLS_A_ROUND)]
    alternating = medians(interleaved(calls, ROUNDS * CALLS_A_ROUND))
    # What worker threads make is not seen.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with LargestTensor() as watched:
        calls["lvmlib"]()
    torch.set_num_threads(threads)
    tracemalloc.start()
    calls["scikit-learn"]()
    peer_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    median = medians(times)
    ratios = {
        "lvmlib / scikit-learn, in blocks of calls": median["lvmlib"] / median["scikit-learn"],
        "lvmlib / scikit-learn, call by call": alternating["lvmlib"] / alternating["scikit-learn"],
    }
    result = {
        "what": "log-evidence under probabilistic PCA, float64",
        "num_points": NUM_POINTS,
        "observed": NUM_OBSERVED,
        "latent_dim": LATENT_DIM,
        "repetitions": ROUNDS * CALLS_A_ROUND,
        "median_seconds": {name: round(value, 5) for name, value in median.items()},
        "fastest_seconds": {name: round(min(values), 5) for name, values in times.items()},
        "median_seconds_call_by_call": {name: round(value, 5) for name, value in alternating.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "largest_difference_in_nats": difference,
        "data_bytes": x.numel() * x.element_size(),
        "largest_temporary_bytes": {"lvmlib": watched.largest},
        "peak_bytes": {"scikit-learn": peer_peak},
        "demands": verdicts("log_evidence", ratios),
    }
    share = ratios["lvmlib / scikit-learn, in blocks of calls"]
    picture = bars(times, unit="milliseconds", scale=1e3, alt=f"lvmlib takes {share:.2f} of the time of scikit-learn.")
    report("log_evidence", result, picture, packages=("torch", "scikit-learn", "numpy"))


if __name__ == "__main__":
    main()
