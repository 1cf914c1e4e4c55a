"""A model is its prior and its likelihood; it moves as one and keeps to its supports."""

from __future__ import annotations

import copy

import models
import pytest
import torch
from torch import nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    Uniform,
)
from torch.distributions.transforms import AffineTransform, ExpTransform

from lvmlib import LatentVariableModel


class NormalPrior(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(dim))

    def forward(self) -> Independent:
        return Independent(Normal(self.loc, 1.0), 1)


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 5)

    def forward(self, z):
        return Independent(Bernoulli(logits=self.linear(z)), 1)


def test_joint_is_likelihood_times_prior():
    model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(2 * z + 1, 0.5))
    x, z = torch.tensor([0.3, -1.0]), torch.tensor([0.1, 0.7])
    expected = Normal(0.0, 1.0).log_prob(z) + Normal(2 * z + 1, 0.5).log_prob(x)
    torch.testing.assert_close(model.log_joint(x, z), expected)
    torch.testing.assert_close(model.log_prior(z) + model.log_likelihood(x, z), expected)


def test_modules_for_prior_and_likelihood_give_their_parameters_to_the_model():
    model = LatentVariableModel(NormalPrior(2), Decoder())
    assert {name for name, _ in model.named_parameters()} == {
        "_prior.loc",
        "_likelihood.linear.weight",
        "_likelihood.linear.bias",
    }
    x, z = model.sample(3, seed=0)
    model.log_joint(x, z).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    "prior",
    [
        Normal(torch.zeros(()), torch.ones(())),
        Independent(Normal(torch.zeros(2), torch.ones(2)), 1),
        MultivariateNormal(torch.zeros(2), torch.eye(2)),
        TransformedDistribution(Normal(torch.zeros(()), torch.ones(())), [AffineTransform(torch.tensor(1.0), 2.0)]),
        MixtureSameFamily(torch.distributions.Categorical(torch.ones(3)), Normal(torch.zeros(3), torch.ones(3))),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_double_moves_the_tensors_of_a_prior_given_as_a_distribution(prior):
    if torch.get_default_device().type != "cpu":
        pytest.skip("the priors are made on the CPU when the test is collected")
    likelihood = lambda z: Normal(z.sum(-1) if prior.event_shape else z, 1.0)  # noqa: E731
    model = LatentVariableModel(copy.deepcopy(prior), likelihood).double()
    _, z = model.sample(4, seed=0)
    assert z.dtype == torch.float64
    torch.testing.assert_close(model.log_prior(z), prior.log_prob(z.float()).double(), atol=1e-5, rtol=1e-5)


def test_a_moved_model_leaves_the_prior_it_was_given_alone():
    prior = Normal(torch.zeros(()), torch.ones(()))
    LatentVariableModel(prior, lambda z: Normal(z, 1.0)).double()
    assert prior.loc.dtype == torch.float32


def test_outside_the_support_of_the_prior_the_joint_is_zero_with_a_finite_gradient():
    bias = torch.tensor(0.2, requires_grad=True)
    model = LatentVariableModel(Beta(torch.tensor(2.0), torch.tensor(2.0)), lambda z: Bernoulli(probs=z * bias))
    z = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    log_joint = model.log_joint(torch.ones(3), z)
    assert log_joint.isfinite().tolist() == [False, True, False]
    assert (log_joint[[0, 2]] == -torch.inf).all()
    log_joint.logsumexp(0).backward()
    assert z.grad.isfinite().all()
    assert bias.grad.isfinite()
    assert (model.log_prior(z)[[0, 2]] == -torch.inf).all()


def test_a_support_that_depends_on_z_gives_weight_zero_outside():
    model = LatentVariableModel(
        TransformedDistribution(Normal(torch.zeros(()), 1.0), [ExpTransform()]), lambda z: Uniform(0.0 * z, z)
    )
    x = torch.tensor(1.0)
    log_likelihood = model.log_likelihood(x, torch.tensor([0.5, 2.0]))
    assert log_likelihood[0] == -torch.inf
    assert log_likelihood[1].item() == pytest.approx(-0.6931472)


def test_sampling_with_a_seed_repeats_and_shapes_are_those_of_the_events():
    model = LatentVariableModel(NormalPrior(2), Decoder())
    (x, z), (again, _) = model.sample(6, seed=3), model.sample(6, seed=3)
    assert x.shape == (6, 5)
    assert z.shape == (6, 2)
    assert torch.equal(x, again)
    assert not x.requires_grad


def test_every_x_is_scored_under_every_z_by_broadcasting():
    model = models.linear_gaussian()
    x, z = models.normals(3, 4, seed=0), models.normals(5, 2, seed=1)
    scores = model.log_likelihood(x, z[:, None])
    assert scores.shape == (5, 3)
    torch.testing.assert_close(scores[4, 2], model.log_likelihood(x[2], z[4]))


def test_making_a_model_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    models.radius_model()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_likelihood_that_cannot_be_drawn_from_is_named():
    shared = Categorical(torch.ones(2))  # torch draws only where the weights have the batch shape of the components
    with pytest.raises(ValueError, match=r"likelihood\(z\) is MixtureSameFamily.*drawing from it fails.*expected"):
        LatentVariableModel(
            Normal(0.0, 1.0), lambda z: MixtureSameFamily(shared, Normal(torch.stack([z, -z], -1), 1.0))
        )
