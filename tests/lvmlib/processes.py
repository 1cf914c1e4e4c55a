"""What one process of a distributed test does; a module of its own, so that a spawned process can import it."""

from __future__ import annotations

from typing import Any

import models
import torch.distributed as dist

from lvmlib import WeightSummary


def reduce_weights(rank: int, store: str, readings: tuple[str, ...], results: Any) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    summary = WeightSummary.from_log_weights(2.0 * models.normals(300 + 900 * rank, 2, seed=rank))
    summary.all_reduce()
    results[rank] = {name: getattr(summary, name).tolist() for name in readings} | {"n": summary.num_samples}
    dist.destroy_process_group()
