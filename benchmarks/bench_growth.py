"""How time and memory grow: with the number K of draws, and with the number N of observations.

Time is that of an estimate of log p(x) for K from 10^5 to 10^8 draws, and of training for N from 10^2 to 10^5
observations; the slope of log time against log size is fitted by least squares. Memory is that of a fresh process over
what its imports take, the median of three such processes, for K from 10^6 to 10^9: fewer draws are a single block,
after which nothing is asked of the C library again, and by how many holes it answers differs from process to process.
All with one thread: a single block is made by one thread, and would not be set fairly beside many blocks that all cores
make. Below 10^5 draws the 0.7 ms of checks show. Writes benchmarks/results/growth.json and a plot beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable

import programs_evidence
import programs_training
import torch
from reporting import in_a_fresh_process, megabytes, report, verdicts

from lvmlib import plots, prior_monte_carlo

COUNTS = [10**power for power in range(5, 9)]
BATCHES = [10**power for power in range(4)]
COUNTS_OF_MEMORY, PROCESSES = [10**power for power in range(6, 10)], 3


def memory(num_samples: int) -> float:
    torch.set_num_threads(1)
    given = programs_evidence.problem()
    prior_monte_carlo(given.model, given.x, 10, seed=0)
    before = megabytes("VmRSS")
    prior_monte_carlo(given.model, given.x, num_samples, seed=0)
    return megabytes("VmHWM") - before


def fastest(call: Callable[[], object], repetitions: int) -> float:
    """The shortest of several times, and of as many as fit into a second: what makes one longer is other processes."""
    call()
    times: list[float] = []
    while len(times) < repetitions or sum(times) < 1.0:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def slope(times: dict[int, float]) -> float:
    """That of log time against log size, by least squares."""
    sizes = [math.log(size) for size in times]
    return statistics.linear_regression(sizes, [math.log(value) for value in times.values()]).slope


def main(repetitions: int) -> None:
    torch.set_num_threads(1)
    given = programs_evidence.problem()
    by_draws = {count: fastest(programs_evidence.lvmlib_linear_gaussian(given, count), repetitions) for count in COUNTS}
    by_rows = {}
    for batches in BATCHES:
        data = programs_training.images(batches)
        # As many epochs as make the smallest long enough to be timed.
        passes = max(1, 100 // batches)
        by_rows[len(data)] = fastest(programs_training.lvmlib_fit(data, passes), 2) / passes
    taken = {
        count: [in_a_fresh_process(__file__, "--memory", str(count)) for _ in range(PROCESSES)]
        for count in COUNTS_OF_MEMORY
    }
    most, least = (statistics.median(taken[count]) for count in (COUNTS_OF_MEMORY[-1], COUNTS_OF_MEMORY[0]))
    measured = {
        "distance of the slope in K from 1": abs(slope(by_draws) - 1),
        "distance of the slope in N from 1": abs(slope(by_rows) - 1),
        "memory at the largest K over that at the smallest": most / least,
    }
    result = {
        "what": "growth of time with the number of draws K and of observations N, and of memory with K",
        "seconds_by_draws": by_draws,
        "seconds_an_epoch_by_observations": by_rows,
        "slope_in_K": round(slope(by_draws), 3),
        "slope_in_N": round(slope(by_rows), 3),
        "megabytes_by_draws": taken,
        "demands": verdicts("growth", measured),
    }
    _, ax = plots.subplots(size=(5.4, 3.0))
    for role, name, times in (("prior", "estimate, K draws", by_draws), ("q", "epoch, N observations", by_rows)):
        ax.loglog(list(times), list(times.values()), "o-", color=plots.PALETTE[role], markersize=4, label=name)
    ax.set(xlabel="size", ylabel="seconds")
    ax.legend()
    alt = f"Time grows in proportion: slopes {result['slope_in_K']} in K and {result['slope_in_N']} in N."
    report("growth", result, plots.show(ax, alt=alt), packages=("torch",))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--memory", type=int, metavar="K", help="print the megabytes that K draws take in this process")
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(arguments.memory)))
    else:
        main(arguments.repetitions)
