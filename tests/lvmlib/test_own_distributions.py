"""A distribution that a reader writes is a prior or a q like torch's own, whatever kind of tuple its shapes are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import AbsTransform, Distribution, Independent, Normal, TransformedDistribution, constraints

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


class Mine(Distribution):
    """A standard normal of one's own, with one of its methods replaced."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 - torch reads the class attribute
    support = constraints.real

    def __init__(self, shape=(), **methods) -> None:
        super().__init__(torch.Size(shape), torch.Size(), validate_args=False)
        self.methods = methods

    def expand(self, batch_shape, _instance=None) -> Mine:
        return self.methods["expand"]() if "expand" in self.methods else Mine(batch_shape, **self.methods)

    def sample(self, sample_shape=()) -> Tensor:
        z = torch.randn(torch.Size(sample_shape) + self.batch_shape)
        return self.methods["sample"](z) if "sample" in self.methods else z

    def log_prob(self, value: Tensor) -> Tensor:
        log_p = Normal(0.0, 1.0).log_prob(value)
        return self.methods["log_prob"](log_p) if "log_prob" in self.methods else log_p


class WithoutDensity(Mine):
    log_prob = Distribution.log_prob


def follows(q: Distribution) -> LatentVariableModel:
    return LatentVariableModel(Normal(0.0, 1.0), lambda z: q.expand(z.shape))


SCALAR = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
FOLDED = TransformedDistribution(Normal(0.0, 1.0), [AbsTransform()])
ZEROS = torch.zeros(3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: elbo(SCALAR, Mine(log_prob=Tensor.sum), ZEROS, 5), r"^q is .*Mine.*shape \(\).*expected \(5, 3\)"),
        (lambda: elbo(SCALAR, Mine(log_prob=lambda v: v[:1]), ZEROS, 5), r"^q is .*\(1, 3\).*expected \(5, 3\)"),
        (
            lambda: elbo(LatentVariableModel(Mine(log_prob=Tensor.sum), SCALAR.likelihood), SCALAR.prior, ZEROS),
            "^prior is",
        ),
        (lambda: prior_monte_carlo(follows(Mine(log_prob=Tensor.sum)), ZEROS, 5), r"^likelihood\(z\) is .*Mine"),
        (lambda: elbo(SCALAR, WithoutDensity((3,)), ZEROS), "^q is .*log_prob is not implemented.*expected"),
        (lambda: elbo(follows(WithoutDensity()), SCALAR.prior, ZEROS), "likelihood.*Mine|likelihood.*expected"),
        (lambda: LatentVariableModel(FOLDED, SCALAR.likelihood).log_prior(ZEROS), "^prior is .*not implemented"),
        (lambda: kl(FOLDED, Normal(0.0, 1.0), num_samples=5), "^q is .*not implemented.*expected"),
        (lambda: kl(Normal(0.0, 1.0), WithoutDensity(), num_samples=5), "^p is .*not implemented.*expected"),
        (lambda: elbo(SCALAR, Mine(sample=lambda z: z[0]), ZEROS, 5), r"^q is .*drew .*\(3,\).*expected \(5, 3\)"),
        (lambda: LatentVariableModel(Mine(sample=lambda z: z[0]), SCALAR.likelihood), "^prior is .*drew .*expected"),
        (lambda: follows(Mine(sample=lambda z: z[0])), r"^likelihood\(z\) is .*drew .*expected"),
        (lambda: elbo(SCALAR, Mine(expand=Mine), ZEROS), r"^q is .*expand\(\(3,\)\) gives .*expected"),
    ],
)
def test_one_that_is_not_as_torch_asks_is_named_with_what_is_wrong(call, words) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        call()
    assert type(caught.value) in (TypeError, ValueError)
