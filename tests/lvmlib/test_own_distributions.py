"""A distribution that a reader writes is a prior or a q like torch's own, whatever kind of tuple its shapes are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints

from lvmlib import (
    LatentVariableModel,
    elbo,
    importance_sampling,
    kl,
    prior_monte_carlo,
    sample_posterior,
    self_normalized_expectation,
)

NUM_STATES, LENGTH = 3, 5


class UniformStates(Distribution):
    """Independent uniform states in a row; its shapes are plain tuples, as nothing in torch forbids."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 - torch reads the class attribute
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, batch_shape: tuple[int, ...] = ()) -> None:
        super().__init__(tuple(batch_shape), (LENGTH,), validate_args=False)

    def expand(self, batch_shape, _instance=None) -> UniformStates:
        return UniformStates(batch_shape)

    def sample(self, sample_shape=()) -> Tensor:
        return torch.randint(NUM_STATES, (*sample_shape, *self.batch_shape, LENGTH))

    def log_prob(self, value: Tensor) -> Tensor:
        return -LENGTH * torch.tensor(float(NUM_STATES)).log().expand(value.shape[:-1])


def of_states(z: Tensor) -> Distribution:
    return Independent(Normal(z.float(), 1.0), 1)


MODEL = LatentVariableModel(UniformStates(), of_states)
X, _ = MODEL.sample(4, seed=0)


def exact() -> Tensor:
    """The states are independent, so the evidence is a product of small sums."""
    each = Normal(torch.arange(float(NUM_STATES)), 1.0).log_prob(X[..., None])
    return (each.logsumexp(-1) - torch.tensor(float(NUM_STATES)).log()).sum(-1)


@pytest.mark.parametrize("q", [None, UniformStates()], ids=["prior", "q"])
def test_its_evidence_is_estimated_within_five_standard_errors(q: UniformStates | None) -> None:
    found = prior_monte_carlo(MODEL, X, 4000, seed=0) if q is None else importance_sampling(MODEL, q, X, 4000, seed=0)
    assert ((found.log_evidence - exact()).abs() < 5 * found.std_error).all()


def test_it_is_drawn_from_weighed_and_compared() -> None:
    q = UniformStates()
    assert elbo(MODEL, q, X, 10).shape == (4,)
    assert sample_posterior(MODEL, q, X, 100, seed=0).z.shape == (100, 4, LENGTH)
    assert self_normalized_expectation(MODEL, q, X, torch.Tensor.float, 100, seed=0).value.shape == (4, LENGTH)
    assert kl(q, UniformStates(), num_samples=10).value == 0
