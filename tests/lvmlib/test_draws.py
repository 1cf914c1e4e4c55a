"""Draws made in parts are those made at once, to the bit where no product of matrices rounds; streams rest on it."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Gamma, Independent, MultivariateNormal, Normal

from lvmlib._diagonal_normal import DiagonalNormal
from lvmlib._draws import draw_in_parts, draw_weighed

FAMILIES = {
    "standard normals": lambda dim, dtype: Independent(Normal(torch.zeros(dim, dtype=dtype), 1.0), 1),
    "normals": lambda dim, dtype: Independent(Normal(torch.ones(dim, dtype=dtype), 2.0), 1),
    "a batch of normals": lambda dim, dtype: Independent(
        Normal(torch.arange(3.0 * dim).to(dtype).view(3, dim), 0.5), 1
    ),
    "one normal": lambda dim, dtype: Normal(torch.tensor(0.5, dtype=dtype), 2.0),
    "the prior of a VAE": lambda dim, dtype: DiagonalNormal.standard(torch.zeros(dim, dtype=dtype)),
    "a Gaussian": lambda dim, dtype: MultivariateNormal(
        torch.ones(dim, dtype=dtype), scale_tril=(torch.eye(dim) + 0.5 * torch.ones(dim, dim).tril(-1)).to(dtype)
    ),
    "gammas": lambda dim, dtype: Independent(Gamma(torch.full((dim,), 2.0, dtype=dtype), 1.0), 1),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("by_noise", [False, True])
def test_parts_are_the_whole(family, dtype, weighed, by_noise):
    for dim in (1, 3):
        q = FAMILIES[family](dim, dtype)
        for count in (1, 15, 17, 1001):
            options = {"seed": ("parts", count), "weighed": weighed, "by_noise": by_noise}
            z, log_q = draw_weighed(q, count, **options)
            for length in (1, 40, 1000):
                parts = list(draw_in_parts(q, count, length, **options))
                joined = torch.cat([part for part, _ in parts])
                assert torch.equal(joined, z) if family != "a Gaussian" else torch.allclose(joined, z, atol=1e-6)
                torch.testing.assert_close(torch.cat([part for _, part in parts]), log_q)
