"""MNIST as Burda, Grosse and Salakhutdinov (2016) trained on it: a VAE and an IWAE with one stochastic layer.

    python benchmarks/literature_mnist.py FOLDER             # four stages on a CPU, half an hour of one core
    python benchmarks/literature_mnist.py FOLDER --stages 8 --device cuda --draws 1 5 50    # their whole schedule

FOLDER holds the four files of MNIST. What follows the paper and its published program: 50 latent dimensions, two layers
of 200 tanh units in each network, Glorot's start, output biases at the mean image, batches of 20, Adam with
epsilon 1e-4 on the summed loss, pixels drawn anew at every look, the first 59,600 training images, and stages
i = 0, ..., 7 of 3^i passes with the rate 0.001 x 10^(-i/7). A run that is given fewer stages ends after those.

The test images are the 10,000 published ones, their pixels drawn once. log p(x) by 5,000 draws is an average over
--images of them, chosen at random, and is carried over to all of them by the paired difference from the estimate by 50
draws, which is made for all. The standard error is that of the paired difference. On a GPU --images 10000 leaves none.
Writes results/literature_mnist.json; stops, and goes on from its checkpoints, when it is called again.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lvmlib import VAE, data, fit, importance_sampling

RESULT = Path(__file__).parent / "results" / "literature_mnist.json"
LATENT, HIDDEN, BATCH, NUM_TRAIN = 50, 200, 20, 59_600
FEW, MANY = 50, 5_000
# Table 1 of the paper, one stochastic layer: minus the log p(x) of the test images, for K = 1, 5 and 50.
PUBLISHED = {"VAE": {1: 86.76, 5: 86.47, 50: 86.35}, "IWAE": {1: 86.76, 5: 85.54, 50: 84.78}}

Objective = Literal["VAE", "IWAE"]


def network(mean_image: Tensor) -> VAE:
    """Their networks, as they start: Glorot's uniform weights, no biases but the pixels' own log-odds at the end."""

    def layers(*sizes: int) -> nn.Sequential:
        parts: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layer = nn.Linear(inputs, outputs)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
            parts += [layer, nn.Tanh()]
        return nn.Sequential(*parts[:-1])

    encoder, decoder = layers(784, HIDDEN, HIDDEN, 2 * LATENT), layers(LATENT, HIDDEN, HIDDEN, 784)
    with torch.no_grad():
        decoder[-1].bias.copy_(torch.logit(mean_image.clamp(0.001, 0.999)))
    return VAE(encoder, decoder, LATENT)


def rate(passes: int) -> float:
    """The learning rate, as a multiple of 0.001, after so many passes: stage i has 3^i of them."""
    stage = next(i for i in range(8) if passes < (3 ** (i + 1) - 1) // 2 or i == 7)
    return 10 ** (-stage / 7)


def train(
    images: Tensor,
    objective: Objective,
    draws: int,
    stages: int,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    until: Callable[[], bool] | None = None,
) -> tuple[VAE, list[float]]:
    """A network trained for so many stages, or until it is told to stop, and its bound pass by pass."""
    torch.manual_seed(seed)
    vae = network(images.mean(0).cpu()).to(images.device)
    history = fit(
        vae,
        vae.encoder,
        images,
        objective="elbo" if objective == "VAE" else "iwae",
        num_samples=draws,
        epochs=(3**stages - 1) // 2,
        batch_size=BATCH,
        # fit takes the mean over the batch: an epsilon of 1e-4 beside the sum is 1e-4 / 20 beside the mean.
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3, eps=1e-4 / BATCH, fused=True),
        scheduler=lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, rate),
        transform=torch.bernoulli,
        callback=None if until is None else lambda history: until(),
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_every=5,
        resume=checkpoint is not None,
        progress=False,
    )
    return vae, history.train


def judge(vae: VAE, x: Tensor, num_images: int) -> dict[str, Any]:
    """log p(x) of the test images by 5,000 draws, in nats."""
    few = importance_sampling(vae, vae.encoder, x, FEW, seed=0).log_evidence.double().cpu()
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:num_images]
    many = importance_sampling(vae, vae.encoder, x[rows.to(x.device)], MANY, seed=1)
    gained = many.log_evidence.double().cpu() - few[rows]
    # Of all test images there is no other sample to be drawn: the error is that of the images that were left out.
    left_out = 1 - num_images / len(x)
    return {
        "log p(x)": few.mean().item() + gained.mean().item(),
        "standard error": math.sqrt(left_out * gained.var().item() / num_images),
        "from draws": math.sqrt(many.std_error.double().square().sum().item()) / num_images,
        "by 50 draws, all images": few.mean().item(),
        "images with 5,000 draws": num_images,
        "images with k-hat above 0.7": int((many.pareto_k > 0.7).sum()),
        "active dimensions": int((vae.encoder(x).mean.var(0) > 0.01).sum()),
    }


def over_drawings(vae: VAE, folder: Path, device: str) -> float:
    """How much the mean over the test images changes, as a standard deviation, when their pixels are drawn anew."""
    means = []
    for seed in range(5):
        x = data.mnist("test", path=folder, binarize="static", seed=seed, device=device).images
        means.append(importance_sampling(vae, vae.encoder, x, FEW, seed=0).log_evidence.mean().item())
    return torch.tensor(means).std().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the four files of MNIST are")
    parser.add_argument("--stages", type=int, default=4, help="of the eight, from the first")
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 5], help="K, in training")
    parser.add_argument("--images", type=int, default=1_000, help="test images with 5,000 draws")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--scratch", type=Path, default=Path("_build"), help="where checkpoints go; a run resumes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    images = data.mnist("train", path=arguments.folder, device=arguments.device).images[:NUM_TRAIN]
    x = data.mnist("test", path=arguments.folder, binarize="static", device=arguments.device).images
    passes = (3**arguments.stages - 1) // 2
    about: dict[str, Any] = {
        "about": "MNIST against Burda, Grosse and Salakhutdinov (2016), one stochastic layer, log p(x) in nats",
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "device": arguments.device,
        "seed": 0,
        "stages": arguments.stages,
        "passes": passes,
        "updates": passes * math.ceil(NUM_TRAIN / BATCH),
        "updates of the whole schedule": (3**8 - 1) // 2 * math.ceil(NUM_TRAIN / BATCH),
        "published": PUBLISHED,
        "runs": [],
    }
    if arguments.output.exists():
        before = json.loads(arguments.output.read_text())
        if all(before[key] == about[key] for key in ("device", "seed", "stages")):
            about = before  # what is finished is not done twice
    finished = [(run["objective"], run["K"]) for run in about["runs"]]
    for objective, draws in [("VAE", k) for k in arguments.draws] + [("IWAE", k) for k in arguments.draws if k > 1]:
        if (objective, draws) in finished:
            continue
        start = time.perf_counter()
        checkpoint = arguments.scratch / f"literature_{objective}_{draws}.safetensors"
        vae, curve = train(images, objective, draws, arguments.stages, checkpoint=checkpoint)
        seconds = time.perf_counter() - start
        found = {"objective": objective, "K": draws} | judge(vae, x, arguments.images)
        found |= {"training, seconds": round(seconds), "bound by pass": [round(value, 3) for value in curve]}
        if not about["runs"]:
            about["standard deviation over drawings of the pixels"] = over_drawings(
                vae, arguments.folder, arguments.device
            )
        about["runs"].append(found)
        arguments.output.write_text(json.dumps(about, indent=1) + "\n")
        print({key: value for key, value in found.items() if key != "bound by pass"}, flush=True)


if __name__ == "__main__":
    main()
