"""The log-probability of many coins, by products of probabilities, beside its formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import logsigmoid

from lvmlib._coins import bernoulli_log_density


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [0.0, 5.39, 5.41, 43.9, 44.1, 80.0, 1e4])
@pytest.mark.parametrize("width", [1, 2, 15, 17, 784])
def test_products_of_sixteen_probabilities_neither_underflow_nor_lose_digits(width, logit, dtype):
    for value in (torch.zeros(3, width, dtype=dtype), torch.ones(3, width, dtype=dtype)):
        logits = torch.full((3, width), logit, dtype=dtype)
        exact = logsigmoid((2 * value - 1).double() * logits.double()).sum(-1)
        tolerance = 100 * torch.finfo(dtype).eps
        for overwrite in (False, True):
            found = bernoulli_log_density(logits.clone(), value, 1, overwrite=overwrite)
            torch.testing.assert_close(found.double(), exact, rtol=tolerance, atol=width * tolerance)


def test_logits_stay_as_they_are_unless_they_may_be_overwritten():
    logits, value = torch.linspace(-8.0, 8.0, 48).reshape(2, 24), torch.arange(48).reshape(2, 24).remainder(2).float()
    before = logits.clone()
    kept = bernoulli_log_density(logits, value, 1)
    assert torch.equal(logits, before)
    assert torch.equal(bernoulli_log_density(logits, value, 1, overwrite=True), kept)


def test_a_coin_that_cannot_fall_so_has_log_probability_minus_infinity():
    logits = torch.tensor([[torch.inf, 0.0], [-torch.inf, 0.0], [torch.nan, 0.0]])
    heads = bernoulli_log_density(logits, torch.ones(2), 1)
    torch.testing.assert_close(heads, torch.tensor([-0.6931472, -torch.inf, torch.nan]), equal_nan=True)
