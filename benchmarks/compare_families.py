"""Which describes digits of new writers better, a mixture of coins or a VAE? Both are tuned alike.

The fourteen forms of the digits are left out two at a time. In each of the seven rounds the next two forms are for
validation and the other ten for learning. A family has six configurations, each fitted once and judged by its mean
log p(x) on the validation forms; the best one is fitted from five seeds. Every fit keeps the parameters that were best
on the validation forms. The VAE's log p(x) is an importance sampling estimate, low in expectation; that of the mixture
is exact. Writes results/compare_families.json, which chapter 10 reads: for each test image the mean over the seeds.

Run it by hand: python benchmarks/compare_families.py takes some minutes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from lvmlib import VAE, BernoulliMixture, data, fit, importance_sampling, mlp

RESULT = Path(__file__).parent / "results" / "compare_families.json"
SEEDS = range(5)
MIXTURES = tuple(itertools.product((100, 200, 400), (0.02, 0.05)))  # components, pseudo-count
VAES = tuple(itertools.product((4, 8, 16), (100, 400)))  # latent dimensions, hidden units

# The log p(x) of rows of images under a fitted model, with the standard error of each.
Score = Callable[[Tensor], tuple[Tensor, Tensor]]


def smoothed(counts: Tensor, ones: Tensor, pseudo_count: float) -> BernoulliMixture:
    """The M-step: each component's share of images and of ones, with ``pseudo_count`` ones and zeros added a pixel."""
    more = counts + pseudo_count
    return BernoulliMixture(more / more.sum(), (ones + pseudo_count) / (counts[:, None] + 2 * pseudo_count))


def mixture(images: Tensor, validation: Tensor, setting: tuple[int, float], seed: int) -> Score:
    """EM with pseudo-counts, stopped on the validation images."""
    components, pseudo_count = setting
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(images), generator=generator)[:components]
    images, validation = images.double(), validation.double()
    model = BernoulliMixture(torch.full((components,), 1 / components).double(), 0.25 + 0.5 * images[rows])
    best, best_model, since = -torch.inf, model, 0
    while since < 10:
        shares = model.posterior(images).probs
        model = smoothed(shares.sum(0), shares.T @ images, pseudo_count)
        reached = model.log_evidence(validation).mean().item()
        since += 1
        if reached > best:
            best, best_model, since = reached, model, 0

    def score(x: Tensor) -> tuple[Tensor, Tensor]:
        values = best_model.log_evidence(x.double())
        return values, torch.zeros_like(values)

    return score


def vae(images: Tensor, validation: Tensor, setting: tuple[int, int], seed: int) -> Score:
    """A VAE trained on the ELBO, stopped on the validation images."""
    latent_dim, hidden = setting
    torch.manual_seed(seed)
    model = VAE(mlp(64, hidden, 2 * latent_dim), mlp(latent_dim, hidden, 64), latent_dim)
    fit(
        model,
        model.encoder,
        images,
        epochs=150,
        learning_rate=3e-3,
        validation=validation,
        validation_samples=3,
        patience=20,
        seed=seed,
        progress=False,
    )

    def wider(x: Tensor) -> Independent:
        q = model.encoder(x)
        return Independent(Normal(q.mean, 1.2 * q.stddev), 1)

    def score(x: Tensor) -> tuple[Tensor, Tensor]:
        estimate = importance_sampling(model, wider, x, 2000, chunk_size=250, seed=0)
        return estimate.log_evidence.double(), estimate.std_error.double()

    return score


def best_setting(family: Callable[..., Score], settings: tuple[tuple, ...], images: Tensor, validation: Tensor) -> int:
    """The position of the setting with the highest mean log p(x) on the validation images."""
    reached = [family(images, validation, setting, 100)(validation)[0].mean() for setting in settings]
    return int(torch.stack(reached).argmax())


def main() -> None:
    everything, forms = data.digits("all", binarize=True).images, data.digit_forms()
    families = {"mixture": (mixture, MIXTURES), "VAE": (vae, VAES)}
    means = {name: torch.zeros(len(everything)).double() for name in families}
    variances = {name: torch.zeros(len(everything)).double() for name in families}
    rounds = []
    for first in range(0, 14, 2):
        left_out = (forms == first) | (forms == first + 1)
        chosen_on = (forms == (first + 2) % 14) | (forms == (first + 3) % 14)
        images, validation = everything[~left_out & ~chosen_on], everything[chosen_on]
        summary: dict[str, object] = {"test_forms": [first, first + 1]}
        for name, (family, settings) in families.items():
            setting = settings[best_setting(family, settings, images, validation)]
            fits = [family(images, validation, setting, seed) for seed in SEEDS]
            scores, errors = map(torch.stack, zip(*(score(everything[left_out]) for score in fits), strict=True))
            means[name][left_out] = scores.mean(0)
            variances[name][left_out] = errors.square().sum(0) / len(SEEDS) ** 2
            validated = [score(validation)[0].mean().item() for score in fits]
            summary[name] = {
                "setting": list(setting),
                "test_by_seed": [round(value, 3) for value in scores.mean(1).tolist()],
                "validation_by_seed": [round(value, 3) for value in validated],
            }
        rounds.append(summary)
        print(json.dumps(summary), flush=True)
    result = {
        "what": "log p(x) of binary digits whose form was left out, mean over five seeds, in nats",
        "form": forms.tolist(),
        "log_evidence": {name: [round(value, 3) for value in values.tolist()] for name, values in means.items()},
        "error_from_draws": {name: round(v.sum().sqrt().item() / len(forms), 4) for name, v in variances.items()},
        "settings": {"mixture": "components, pseudo-count", "VAE": "latent dimensions, hidden units"},
        "rounds": rounds,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
