"""Kernels of a GPU give what the formula gives; skipped where there is no GPU or no Triton."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import logsigmoid

from lvmlib._gpu_kernels import HAS_TRITON, sum_of_coins, sums_coins
from lvmlib.density import bernoulli_log_density


@pytest.fixture(autouse=True)
def _on_a_gpu(device):
    if device.type != "cuda" or not HAS_TRITON:
        pytest.skip("needs --device cuda and Triton")


@pytest.mark.parametrize("shape", [(7, 5, 784), (3, 784), (784,), (2, 3, 1, 28, 28), (4, 1), (6, 1000)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 1e-5)]
)
def test_a_sum_of_coins_is_its_formula(shape, dtype, tolerance):
    num_dims = 3 if len(shape) == 5 else 1
    logits = (4 * torch.randn(shape)).to(dtype)
    value = torch.bernoulli(torch.full(shape[1 - len(shape) :] if len(shape) > 1 else shape, 0.4)).double()
    assert sums_coins(logits, value, num_dims)
    expected = logsigmoid(logits.double() * (2 * value - 1)).flatten(-num_dims).sum(-1)
    found = sum_of_coins(logits, value.to(dtype), num_dims)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_certain_coins_and_numbers_that_are_none():
    logits = torch.tensor([[torch.inf, -torch.inf], [torch.inf, 1.0], [torch.nan, 1.0]])
    found = sum_of_coins(logits, torch.tensor([1.0, 0.0]), 1)
    assert found[0] == 0
    assert found[1].item() == pytest.approx(-1.3132616)
    assert found[2].isnan()
    assert sum_of_coins(logits[:1], torch.tensor([0.0, 0.0]), 1) == -torch.inf


def test_a_gradient_is_kept_by_the_formula_of_torch():
    logits = torch.randn(4, 784, requires_grad=True)
    value = torch.ones(784)
    assert not sums_coins(logits, value, 1)
    bernoulli_log_density(logits, value, 1).sum().backward()
    torch.testing.assert_close(logits.grad, (-logits).sigmoid())
    with torch.no_grad():
        assert sums_coins(logits, value, 1)
