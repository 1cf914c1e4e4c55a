"""Train the two networks of MNIST that chapter 10 ships: one with ten latent dimensions, and one with two for its map.

    python benchmarks/train_mnist.py FOLDER     # FOLDER holds the four files of MNIST

Both learn from the 55,000 training images that are not among the 5,000 that the chapter judges them on, less 2,000 for
validation, with the pixels drawn anew at every look. Nothing is chosen by the validation images: they are for the
curve. Each network takes some ten minutes of one core. Writes results/mnist_vae.safetensors and
results/mnist_map.safetensors (parameters in float16) and beside each a JSON with seed, settings, curve, time and date.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from lvmlib import VAE, data, fit, mlp

RESULTS = Path(__file__).parent / "results"
SEED, BATCH, LEARNING_RATE, NUM_VALIDATION = 0, 100, 1e-3, 2_000
# Hidden units of the encoder, in reverse order those of the decoder; latent dimensions; passes through the data.
NETWORKS: dict[str, tuple[tuple[int, int], int, int]] = {
    "mnist_vae": ((400, 400), 10, 60),
    "mnist_map": ((200, 200), 2, 60),
}


def network(hidden: Sequence[int], latent_dim: int) -> VAE:
    wide, deep = hidden
    return VAE(mlp(784, wide, deep, 2 * latent_dim), mlp(latent_dim, deep, wide, 784), latent_dim)


def shipped(name: str) -> VAE:
    """A network that chapter 10 ships, as its parameters and the JSON beside them say, and fixed."""
    about = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    vae = network(about["hidden units"], about["latent dimensions"])
    vae.load_state_dict({key: value.float() for key, value in load_file(RESULTS / f"{name}.safetensors").items()})
    return vae.requires_grad_(False)


def train(name: str, folder: Path, scratch: Path, epochs: int | None = None) -> None:
    hidden, latent_dim, passes = NETWORKS[name]
    passes = epochs or passes
    images = data.mnist("rest", path=folder).images
    torch.manual_seed(SEED)
    vae = network(hidden, latent_dim)
    start = time.perf_counter()
    history = fit(
        vae,
        vae.encoder,
        images[:-NUM_VALIDATION],
        epochs=passes,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, passes),
        transform=torch.bernoulli,
        validation=images[-NUM_VALIDATION:],
        seed=SEED,
        checkpoint=scratch / f"{name}.safetensors",
        checkpoint_every=5,
        resume=True,
        progress=False,
    )
    seconds = time.perf_counter() - start
    save_file({key: value.half() for key, value in vae.state_dict().items()}, RESULTS / f"{name}.safetensors")
    about: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "seed": SEED,
        "hidden units": list(hidden),
        "latent dimensions": latent_dim,
        "images": len(images) - NUM_VALIDATION,
        "validation images": NUM_VALIDATION,
        "batch": BATCH,
        "learning rate": f"{LEARNING_RATE}, falling to 0 along a half cosine",
        "passes": passes,
        "seconds, one thread": round(seconds),
        "ELBO in nats, by pass": {
            "training": [round(value, 3) for value in history.train],
            "validation": [round(value, 3) for value in history.validation],
        },
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n")
    print(name, f"{seconds:.0f} s, validation ELBO {history.validation[-1]:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the four files of MNIST are")
    parser.add_argument("--only", choices=NETWORKS, help="one of the two networks")
    parser.add_argument("--scratch", type=Path, default=Path("_build"), help="where checkpoints go; a run resumes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    for name in [arguments.only] if arguments.only else NETWORKS:
        train(name, arguments.folder, arguments.scratch)


if __name__ == "__main__":
    main()
