"""A q, a prior or a level whose parameters have gone bad is named, also where torch does not look."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, Gamma, Independent, MultivariateNormal, Normal, Poisson, StudentT

from lvmlib import (
    FiniteModel,
    LatentVariableModel,
    LinearGaussian,
    QuadratureModel,
    WeightSummary,
    elbo,
    importance_sampling,
    log_weights,
)

SCALAR = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
RATE = LatentVariableModel(Gamma(1.0, 1.0), lambda z: Poisson(z))
PLANE = LinearGaussian(torch.ones(3, 2), torch.zeros(3), 1.0)


def unchecked(kind, *parameters):
    return kind(*map(torch.as_tensor, parameters), validate_args=False)


@pytest.mark.parametrize(
    ("model", "q", "said"),
    [
        (SCALAR, unchecked(Normal, 0.0, 0.0), "scale 0"),
        (SCALAR, unchecked(Normal, 0.0, -1.0), "scale -1"),
        (SCALAR, unchecked(Normal, 0.0, math.inf), "scale inf"),
        (SCALAR, unchecked(Normal, -math.inf, 1.0), "loc -inf"),
        (SCALAR, unchecked(Normal, math.nan, 1.0), "loc nan"),
        (SCALAR, unchecked(StudentT, 3.0, math.nan, 1.0), "loc nan"),
        (RATE, unchecked(Gamma, math.nan, 1.0), "concentration nan"),
        (RATE, unchecked(Gamma, 1.0, 0.0), "rate 0"),
        (
            PLANE,
            Independent(unchecked(Normal, torch.zeros(2), torch.tensor([1.0, 0.0])), 1),
            r"scale 0 at index \(1,\)",
        ),
        (
            PLANE,
            MultivariateNormal(torch.zeros(2), scale_tril=torch.zeros(2, 2), validate_args=False),
            r"scale 0 at index \(0,\)",
        ),
        (
            FiniteModel(torch.tensor([0.5, 0.5]), torch.tensor([[0.5, 0.5], [0.1, 0.9]])),
            Categorical(logits=torch.full((2,), -math.inf), validate_args=False),
            "logits nan",
        ),
    ],
)
@pytest.mark.parametrize("estimate", [elbo, importance_sampling, log_weights])
def test_a_q_whose_parameters_have_gone_bad_is_named(model, q, said, estimate):
    x, _ = model.sample(2, seed=0)
    with pytest.raises(ValueError, match=rf"q is {type(q).__name__} .*with {said}.*expected.*look at"):
        estimate(model, q, x, num_samples=10)


def test_a_prior_that_draws_nan_is_named_before_the_likelihood():
    with pytest.raises(ValueError, match=r"prior is Normal .*drew z with NaN.*expected"):
        LatentVariableModel(unchecked(Normal, math.nan, 1.0), lambda z: Normal(z, 1.0))


def test_a_prior_without_width_is_not_told_to_swap_its_ends():
    with pytest.raises(ValueError, match=r"prior is Normal.*expected a density over an interval.*scale") as error:
        QuadratureModel(unchecked(Normal, 0.0, 0.0), lambda z: Normal(z, 1.0))
    assert "swap" not in str(error.value)


@pytest.mark.parametrize("make", [lambda z: Normal(z["a"], 1.0), lambda z: 1 / 0, lambda z: Normal(z.nothing, 1.0)])
def test_a_level_that_fails_is_named_with_what_it_was_given(make):
    with pytest.raises(ValueError, match=r"prior\['b'\] fails for the levels before it, a torch.float32.*expected"):
        LatentVariableModel({"a": Normal(0.0, 1.0), "b": make}, lambda z: Normal(z["b"], 1.0))


def test_log_weights_without_numbers_get_a_sentence():
    with pytest.raises(ValueError, match=r"log_w is on the device meta.*expected"):
        WeightSummary.from_log_weights(torch.zeros(3, device="meta"))
