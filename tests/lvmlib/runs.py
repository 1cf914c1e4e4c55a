"""Small runs of training, shared by the tests."""

from __future__ import annotations

from pathlib import Path

import models
import torch
from torch import nn

from lvmlib import VAE, LinearGaussian, data, mlp

QUIET = {"progress": False, "seed": 0}


def small_vae(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VAE(encoder=mlp(64, 16, 6), decoder=mlp(3, 16, 64), latent_dim=3)


def binary_digits(count=200):
    return data.digits(binarize=True).images[:count]


def parameters(*modules):
    return {f"{i}.{name}": value.clone() for i, m in enumerate(modules) for name, value in m.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def learnable():
    """Probabilistic PCA to be learnt, and data from a known one."""
    truth = LinearGaussian(torch.tensor([[2.0], [1.0], [-1.0]]), torch.zeros(3), 0.5)
    x, _ = truth.sample(1000, seed=0)
    return truth, LinearGaussian(nn.Parameter(models.normals(3, 1, seed=1).float()), torch.zeros(3), 0.5), x


def settings(folder: Path, **changes):
    """A run with a checkpoint and validation data."""
    return QUIET | {"checkpoint": folder / "run.safetensors", "validation": binary_digits(30)} | changes
