"""What every benchmark does with its numbers: results/NAME.json, results/NAME.svg, and the same on the screen."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lvmlib.plots import Picture

RESULTS = Path(__file__).parent / "results"


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
