"""The evidence of 100,000 points under probabilistic PCA: LinearGaussian beside scikit-learn's PCA, in one run.

Writes the timings, and how far the two answers are apart, to benchmarks/results/log_evidence.json, and a plot beside
it. Both run in float64 with the same number of threads, in rounds that take turns, so that a busy moment of the
machine meets both. The first call of a round is not counted: the thread pool of the other library still spins for a
moment, and that time belongs to neither.
"""

from __future__ import annotations

import platform
import statistics
import tracemalloc

import numpy as np
import sklearn
import torch
from common import RESULTS, seconds, write
from sklearn.decomposition import PCA
from torch.utils._python_dispatch import TorchDispatchMode

from lvmlib import LinearGaussian, plots

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
    with LargestTensor() as watched:
        calls["lvmlib"]()
    tracemalloc.start()
    calls["scikit-learn"]()
    peer_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    median = {name: statistics.median(values) for name, values in times.items()}
    result = {
        "what": "log-evidence under probabilistic PCA, float64",
        "num_points": NUM_POINTS,
        "observed": NUM_OBSERVED,
        "latent_dim": LATENT_DIM,
        "repetitions": ROUNDS * CALLS_A_ROUND,
        "median_seconds": {name: round(value, 5) for name, value in median.items()},
        "fastest_seconds": {name: round(min(values), 5) for name, values in times.items()},
        "ratio": round(median["lvmlib"] / median["scikit-learn"], 3),
        "largest_difference_in_nats": difference,
        "data_bytes": x.numel() * x.element_size(),
        "largest_temporary_bytes": {"lvmlib": watched.largest},
        "peak_bytes": {"scikit-learn": peer_peak},
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "machine": platform.machine(),
    }
    write("log_evidence", result)
    _, ax = plots.subplots(size=(5.4, 1.7))
    for position, (name, values) in enumerate(times.items()):
        ax.barh(position, median[name] * 1e3, color=plots.PALETTE["evidence" if name == "lvmlib" else "data"])
        ax.plot([v * 1e3 for v in values], [position] * len(values), "|", color=plots.INK, markersize=9)
    ax.set(yticks=[0, 1], yticklabels=list(times), xlabel="milliseconds, median and every run", ylim=(1.6, -0.6))
    plots.show(ax, alt=f"lvmlib takes {result['ratio']:.2f} of the time of scikit-learn.").save(
        RESULTS / "log_evidence.svg"
    )


if __name__ == "__main__":
    main()
