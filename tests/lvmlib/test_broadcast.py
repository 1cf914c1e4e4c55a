"""Shapes that broadcast, as torch says, without what torch imports to say it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lvmlib._broadcast import broadcast_shapes, broadcasts_into

SHAPES = [
    ((), ()),
    ((3,), ()),
    ((5, 1, 4), (3, 1)),
    ((1,), (0,)),
    ((2, 0), (1, 1)),
    ((7, 1), (1, 5), (5,)),
    ((4,), (4,)),
]


@pytest.mark.parametrize("shapes", SHAPES)
def test_shapes_broadcast_as_torch_has_it(shapes):
    assert broadcast_shapes(*shapes) == torch.broadcast_shapes(*shapes)


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((2, 3), (3, 3)), ((0,), (2,))])
def test_shapes_that_do_not_broadcast_are_refused(shapes):
    with pytest.raises(ValueError, match="equal, or 1"):
        broadcast_shapes(*shapes)


@pytest.mark.parametrize("shapes", SHAPES)
def test_a_tensor_broadcasts_into_another_where_the_result_has_its_shape(shapes):
    value, larger = (torch.zeros(shape) for shape in shapes[:2])
    assert broadcasts_into(value, larger) == ((value + larger).shape == larger.shape)


def test_an_estimate_needs_no_library_for_algebra():
    program = """
import sys, torch
from lvmlib import VAE, importance_sampling, mlp
vae = VAE(mlp(4, 4), mlp(2, 4), latent_dim=2)
importance_sampling(vae, vae.encoder, torch.zeros(3, 4), 200)
sys.exit("sympy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
