"""What benchmarks share: times in rounds that take turns, and what becomes of the numbers.

They go to results/NAME.json and to the screen, and a picture of them to results/NAME.svg.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lvmlib.plots import Picture

RESULTS = Path(__file__).parent / "results"


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


def report(name: str, result: dict[str, Any], picture: Picture, *, packages: tuple[str, ...]) -> None:
    """Write the numbers, with what they were measured on, and the picture of them."""
    result |= {
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in packages},
        "machine": platform.machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    picture.save(RESULTS / f"{name}.svg")
    print(json.dumps(result, indent=2))
