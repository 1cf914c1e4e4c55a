"""What benchmarks share: times in rounds that take turns, memory in fresh processes, demands, and the numbers' place.

Numbers go to results/NAME.json and to the screen, and a picture of them to results/NAME.svg.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lvmlib import plots
from lvmlib.plots import Picture

RESULTS = Path(__file__).parent / "results"

# What is asked of the library, by benchmark: a name, and the largest value that passes. Ratios are of medians of rounds
# that took turns on one machine. "slope" is that of log time against log size, and asks for 1.00 within the tolerance.
DEMANDS: dict[str, dict[str, float]] = {
    "annealing": {"lvmlib, own VAE / NumPyro": 1.5, "lvmlib, any module / NumPyro": 1.5},
    "iwae": {
        "lvmlib, any module / best JAX": 1.1,
        "lvmlib, any module / Pyro": 0.45,
        "lvmlib, own VAE / best JAX": 0.9,
        "megabytes over the imports, K = 5,000": 40.0,
        "megabytes over the imports, K = 500,000": 40.0,
    },
    "evidence": {
        "lvmlib, own model / JAX scan": 0.3,
        "lvmlib, any Distribution / chunked torch.distributions": 0.6,
    },
    "training": {"lvmlib / plain torch, one core": 1.05, "lvmlib / plain torch, all cores": 1.05},
    "log_evidence": {
        "lvmlib / scikit-learn, in blocks of calls": 0.4,
        "lvmlib / scikit-learn, call by call": 0.4,
    },
    "growth": {
        "distance of the slope in K from 1": 0.05,
        "distance of the slope in N from 1": 0.05,
        "memory at the largest K over that at the smallest": 1.2,
    },
}


def interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """The times of every call, one of each a round, so that a busy moment of the machine meets them all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = clock()
            call()
            times[name].append(clock() - start)
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The middle time of each."""
    return {name: statistics.median(values) for name, values in times.items()}


def megabytes(field: str) -> float:
    """A line of this process's status: VmRSS is the resident memory, VmHWM the most there ever was."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


def in_a_fresh_process(script: str, *words: str) -> Any:
    """What a script prints as JSON, run with these words by an interpreter of its own."""
    run = subprocess.run([sys.executable, script, *words], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def verdicts(name: str, measured: Mapping[str, float]) -> list[dict[str, Any]]:
    """Each demand of a benchmark with what was measured, and whether that is enough."""
    return [
        {"what": what, "measured": round(measured[what], 4), "at_most": limit, "passed": measured[what] <= limit}
        for what, limit in DEMANDS[name].items()
        if what in measured
    ]


def bars(times: Mapping[str, list[float]], *, unit: str, scale: float = 1.0, alt: str) -> Picture:
    """Medians as bars, and every round as a tick."""
    _, ax = plots.subplots(size=(5.8, 0.6 + 0.34 * len(times)))
    for position, (name, values) in enumerate(times.items()):
        color = plots.PALETTE["evidence" if name.startswith("lvmlib") else "data"]
        ax.barh(position, scale * statistics.median(values), color=color)
        ax.plot([scale * v for v in values], [position] * len(values), "|", color=plots.INK, markersize=9)
    ax.set(yticks=range(len(times)), yticklabels=list(times), xlabel=f"{unit}, median and every round")
    ax.invert_yaxis()
    return plots.show(ax, alt=alt)


def report(
    name: str, result: dict[str, Any], picture: Picture, *, packages: tuple[str, ...], echo: bool = True
) -> None:
    """Write the numbers, with what they were measured on, and the picture of them; print them, unless they are many."""
    result |= {
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in packages},
        "machine": platform.machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    picture.save(RESULTS / f"{name}.svg")
    if echo:
        print(json.dumps(result, indent=2))
