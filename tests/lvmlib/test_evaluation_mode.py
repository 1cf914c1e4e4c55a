"""Estimates leave modules, random states and threads as they are."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn
from torch.distributions import (
    Gamma,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)

from torch.distributions import AffineTransform, Categorical, Uniform  # isort: skip

from lvmlib import (
    VAE,
    AmortizedGuide,
    LatentVariableModel,
    LinearGaussian,
    QuadratureModel,
    aggregate_posterior_split,
    elbo,
    fit,
    importance_sampling,
    kl_decomposition,
    laplace_approximation,
    prior_monte_carlo,
    surrogate,
)
from lvmlib.model import evaluating


def standard(dim):
    return Independent(Normal(torch.zeros(dim), 1.0), 1)


class Network(nn.Module):
    """Linear layers with batch statistics and dropout between them, for any batch."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)
        self.last = nn.Linear(8, outputs)

    def forward(self, x):
        hidden = self.first(x)
        hidden = self.drop(self.norm(hidden.reshape(-1, 8)).reshape(hidden.shape))
        return self.last(torch.tanh(hidden))


def without_gradient(call):
    return lambda *arguments: torch.no_grad()(call)(*arguments)


ESTIMATES = {
    "aggregate": lambda m, q, x: aggregate_posterior_split(q, m.prior, x, 20, seed=0).kl_term.value,
    "laplace": lambda m, q, x: laplace_approximation(m, x).mean,
    "surrogate": without_gradient(lambda m, q, x: surrogate(m, q, x, 3)),
    "log-likelihood": without_gradient(lambda m, q, x: m.log_likelihood(x, torch.zeros(6, 2))),
    "log-joint": without_gradient(lambda m, q, x: m.log_joint(x, torch.zeros(6, 2))),
    "decomposition": lambda m, q, x: kl_decomposition(LinearGaussian(torch.ones(3, 2), torch.zeros(3), 1.0), q, x).kl,
    "evidence": lambda m, q, x: importance_sampling(m, q, x, 50, seed=0).log_evidence,
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_batch_statistics_and_dropout_do_not_show(name):
    torch.manual_seed(0)
    decoder = Network(2, 3)
    model = LatentVariableModel(standard(2), lambda z: Independent(Normal(decoder(z), 1.0), 1))
    q, x = AmortizedGuide(Network(3, 4)), torch.randn(6, 3)
    before = copy.deepcopy([*model.buffers(), *q.buffers()])
    seen = []
    for _ in range(2):
        torch.manual_seed(1)
        seen.append(ESTIMATES[name](model, q, x))
    assert torch.equal(*seen)
    assert all(torch.equal(a, b) for a, b in zip(before, [*model.buffers(), *q.buffers()], strict=True))
    assert all(module.training for module in [*model.modules(), *q.modules()])
    model.eval(), q.eval()
    torch.manual_seed(1)
    assert torch.equal(ESTIMATES[name](model, q, x), seen[0])


def test_a_grid_is_evaluated_without_batch_statistics():
    torch.manual_seed(0)
    decoder = Network(1, 2)
    model = QuadratureModel(standard(1), lambda z: Independent(Normal(decoder(z), 1.0), 1))
    x, seen = torch.randn(2, 2), []
    for _ in range(2):
        seen.append((model.log_evidence(x), model.posterior(x).mean))
        model.eval()
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])


def test_the_first_of_two_threads_to_end_leaves_the_mode_to_the_other():
    module = nn.Dropout()
    with evaluating(module):
        with evaluating(module):
            pass
        assert not module.training
    assert module.training


def in_threads(count, work):
    results, device = {}, torch.get_default_device()

    def run(i):
        # A thread starts with the CPU, whatever the device of the one that started it.
        with device:
            results[i] = work()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[i] for i in range(count)]


def test_threads_that_draw_from_seeds_have_the_numbers_of_one():
    model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
    alone = model.sample(2000, seed=1)[0]
    assert all(in_threads(3, lambda: all(torch.equal(model.sample(2000, seed=1)[0], alone) for _ in range(30))))


def test_threads_that_learn_from_seeds_take_the_steps_of_one():
    torch.manual_seed(0)
    vae, x = VAE(nn.Linear(4, 4), nn.Linear(2, 4), 2), (torch.rand(300, 4) < 0.5).float()

    def train():
        mine = copy.deepcopy(vae)
        return fit(mine, mine.encoder, x, epochs=3, seed=0, progress=False).train

    alone, before = train(), torch.get_rng_state()
    assert in_threads(3, train) == [alone] * 3
    assert torch.equal(before, torch.get_rng_state())


def test_a_callback_may_estimate_in_threads_of_its_own():
    vae, x = VAE(nn.Linear(4, 4), nn.Linear(2, 4), 2), (torch.rand(50, 4) < 0.5).float()
    gamma = LatentVariableModel(Gamma(0.3, 1.0), lambda z: Normal(z, 1.0))
    seen = []

    def look(history):
        seen.extend(in_threads(2, lambda: prior_monte_carlo(gamma, torch.zeros(1), 100, seed=0).log_evidence))

    fit(vae, vae.encoder, x, epochs=2, seed=0, callback=look, progress=False)
    assert len(seen) == 4
    assert len(set(map(float, seen))) == 1


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_learning_needs_no_gradient_mode_of_the_caller(mode):
    vae = VAE(nn.Linear(4, 4), nn.Linear(2, 4), 2)
    before = vae.encoder.encoder.weight.clone()
    with mode():
        x = (torch.rand(50, 4) < 0.5).float()
        fit(vae, vae.encoder, x, epochs=1, seed=0, progress=False)
    assert not torch.equal(before, vae.encoder.encoder.weight)


TRIL, FACTOR = torch.eye(6) + 0.3 * torch.rand(6, 6).tril(-1), torch.randn(6, 2)
ROWS = {
    "shared factor": lambda mean: MultivariateNormal(mean, scale_tril=TRIL),
    "low rank": lambda mean: LowRankMultivariateNormal(mean, FACTOR, torch.ones(6)),
    "shared shift": lambda mean: TransformedDistribution(
        Independent(Normal(mean, 1.0), 1), [AffineTransform(torch.arange(6.0), 2.0, event_dim=1)]
    ),
    "mixture": lambda mean: MixtureSameFamily(Categorical(torch.ones(6).expand(len(mean), 6)), Normal(mean, 1.0)),
    "independent": lambda mean: Independent(Normal(mean, 1.0), 1),
    "bounds": lambda mean: Independent(Uniform(mean - 9, mean + 9), 1),
}


@pytest.mark.parametrize("shape", [(2, 3), (6, 1), (3, 4)], ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_a_likelihood_for_rows_alone_scores_any_batch(name, shape):
    network = nn.Linear(2, 6)

    def likelihood(z):
        if z.ndim != 2:
            raise ValueError("rows, please")
        return ROWS[name](network(z))

    model = LatentVariableModel(standard(2), likelihood)
    z, x = torch.randn(*shape, 2), torch.randn(shape[1], *model.event_shape)
    expected = torch.stack([ROWS[name](network(rows)).log_prob(x) for rows in z])
    assert torch.allclose(model.log_likelihood(x, z), expected, atol=1e-4)
    assert model.sample(6, seed=0)[0].shape == (6, *model.event_shape)
    assert elbo(model, standard(2), x[None].expand(2, -1, *model.event_shape)).shape == (2, shape[1])
