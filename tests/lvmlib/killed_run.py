"""Train, be killed at a random moment, resume, and compare; run as a program, which forks so that torch loads once."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from lvmlib import VAE, data, fit, mlp
from lvmlib.training.checkpoints import read

EPOCHS = 12


def train(path: Path, *, resume: bool) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vae = VAE(encoder=mlp(64, 8, 4), decoder=mlp(2, 8, 64), latent_dim=2)
    x = data.digits(binarize=True).images[:300]
    fit(
        vae, vae.encoder, x, epochs=EPOCHS, batch_size=50, validation=x[:20], patience=EPOCHS, seed=0, checkpoint=path,
        resume=resume, progress=False,
    )  # fmt: skip


def in_a_child(path: Path, *, resume: bool, kill_after: float | None = None) -> bool:
    """Train in a process of its own, killed with SIGKILL after a while; whether it was still at it."""
    child = os.fork()
    if child == 0:
        train(path, resume=resume)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or status == 0, f"a run that was not killed ended with status {status}"
    return killed


def main(folder: Path, kills: int) -> None:
    # Once before the forks, so that no child has anything left to load.
    train(folder / "first.safetensors", resume=False)
    whole = folder / "whole.safetensors"
    start = time.perf_counter()
    in_a_child(whole, resume=False)
    duration = time.perf_counter() - start
    expected = whole.read_bytes()
    moments = random.Random(0)
    epochs: list[int] = []
    same = 0
    while len(epochs) < kills:
        path = folder / f"{len(epochs)}.safetensors"
        path.unlink(missing_ok=True)
        if not in_a_child(path, resume=False, kill_after=moments.uniform(0.05, 1.0) * duration):
            continue
        # Reading raises if what the kill left is not whole.
        epochs.append(read(path).rest["epoch"] if path.exists() else 0)
        in_a_child(path, resume=True)
        same += path.read_bytes() == expected
    print(json.dumps({"epochs": epochs, "same": same}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
