"""The two networks of MNIST that chapter 10 ships: their files, and their numbers on this device."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lvmlib import VAE, data, elbo, mlp

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
NAMES = ("mnist_vae", "mnist_map")


def shipped(name: str, dtype: torch.dtype, device: torch.device | str) -> tuple[VAE, dict]:
    about = json.loads((RESULTS / f"{name}.json").read_text())
    hidden, dim = about["hidden units"], about["latent dimensions"]
    with torch.device("cpu"):
        vae = VAE(mlp(784, *hidden, 2 * dim), mlp(dim, *hidden[::-1], 784), dim)
    vae.load_state_dict({key: value.float() for key, value in load_file(RESULTS / f"{name}.safetensors").items()})
    return vae.to(device=device, dtype=dtype), about


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Two hundred images of the sample, their pixels drawn on the CPU."""
    with torch.device("cpu"):
        grey = data.mnist_sample().images[::25]
        return torch.bernoulli(grey, generator=torch.Generator("cpu").manual_seed(0))


def log_weights(vae: VAE, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """For given noise, which is the same on every device; drawn numbers would not be."""
    q = vae.encoder(x)
    z = q.mean + q.stddev * noise
    return vae.log_joint(x, z) - q.log_prob(z)


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_small_and_finite_and_the_curve_is_whole(name):
    assert (RESULTS / f"{name}.safetensors").stat().st_size < 4_000_000
    assert all(value.isfinite().all() for value in load_file(RESULTS / f"{name}.safetensors").values())
    about = json.loads((RESULTS / f"{name}.json").read_text())
    for curve in about["ELBO in nats, by pass"].values():
        assert len(curve) == about["passes"]
        assert curve[-1] > curve[0] + 20
    assert about["images"] + about["validation images"] == 55_000


@pytest.mark.parametrize("name", NAMES)
def test_this_device_gives_the_numbers_of_the_cpu_in_double_precision(name, images, device):
    noise = torch.randn(5, len(images), 10, generator=torch.Generator("cpu").manual_seed(1), device="cpu")
    exact, about = shipped(name, torch.float64, "cpu")
    noise = noise[..., : about["latent dimensions"]]
    here, _ = shipped(name, torch.float32, device)
    with torch.no_grad():
        truth = log_weights(exact, images.double(), noise.double())
        found = log_weights(here, images.to(device), noise.to(device))
    assert found.device.type == device.type
    assert (found.cpu().double() - truth).abs().max() < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_elbo_of_new_images_is_that_at_the_end_of_the_curve(name, images, device):
    vae, about = shipped(name, torch.float32, device)
    with torch.no_grad():
        found = elbo(vae, vae.encoder, images.to(device), 20)
    error = found.std().item() / math.sqrt(len(images))
    assert abs(found.mean().item() - about["ELBO in nats, by pass"]["validation"][-1]) < 4 * error
