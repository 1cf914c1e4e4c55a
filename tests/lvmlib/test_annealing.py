"""Annealed importance sampling: unbiased from both sides, and what slips in it would cost."""

from __future__ import annotations

import itertools
import math

import models
import pytest
import torch
from torch import nn
from torch.distributions import (
    Beta,
    Categorical,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    VonMises,
)

from lvmlib import (
    FiniteModel,
    LatentVariableModel,
    LinearGaussian,
    _hamiltonian,
    annealed_importance_sampling,
    bidirectional_monte_carlo,
    importance_sampling,
)


def strong(dim=2, copies=1, dtype=torch.float64):
    """A linear-Gaussian model whose posterior is narrow and off the centre, and copies of one observation."""
    weight = 1.5 * models.normals(dim + 2, dim, seed=dim, dtype=dtype)
    model = LinearGaussian(weight, torch.zeros(dim + 2, dtype=dtype), 0.5)
    x, _ = model.sample(1, seed=1)
    return model, x.expand(copies, -1)


def mean_weight_is_unbiased(estimate, truth):
    """Within five standard errors over copies of one x, whose estimates are independent."""
    relative = (estimate.log_evidence.double() - truth.double()).exp()
    return (relative.mean() - 1).abs() < 5 * relative.std() / math.sqrt(len(relative))


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10])
def test_the_mean_weight_is_the_evidence_for_every_number_of_steps(num_steps):
    model, x = strong(copies=2000)
    estimate = annealed_importance_sampling(model, x, num_chains=5, num_steps=num_steps, seed=0, num_leapfrog=3)
    assert mean_weight_is_unbiased(estimate, model.log_evidence(x))
    assert estimate.direction == "lower"
    assert estimate.acceptance.shape == estimate.step_size.shape == (num_steps - 1, 2000)


@pytest.mark.parametrize("step_size", [0.05, 0.7, 3.0])
def test_the_mean_weight_is_the_evidence_however_badly_the_chains_move(step_size):
    model, x = strong(copies=2000)
    estimate = annealed_importance_sampling(
        model, x, num_chains=5, num_steps=6, seed=0, num_leapfrog=2, step_size=step_size
    )
    assert mean_weight_is_unbiased(estimate, model.log_evidence(x))


@pytest.mark.parametrize("num_steps", [1, 2, 10])
def test_the_mean_inverse_weight_of_backward_chains_is_that_of_the_evidence(num_steps):
    model, _ = strong()
    x, z = model.sample(3000, seed=0)
    # Not the prior: its inverse weights would have an infinite variance after one step.
    wide = model.posterior(x)
    initial = MultivariateNormal(wide.mean + 0.1, covariance_matrix=0.7 * wide.covariance_matrix)
    _, upper = bidirectional_monte_carlo(
        model, num_chains=2, num_steps=num_steps, simulated=(x, z), initial=initial, seed=0, num_leapfrog=3
    )
    relative = (model.log_evidence(x) - upper.log_evidence).exp()
    assert (relative.mean() - 1).abs() < 5 * relative.std() / math.sqrt(len(relative))
    assert upper.direction == "upper"


@pytest.mark.parametrize("dim", [1, 5, 50])
def test_forward_and_backward_hold_the_truth_between_them(dim):
    model, _ = strong(dim)
    x, z = model.sample(40, seed=0)
    truth = model.log_evidence(x)
    lower, upper = bidirectional_monte_carlo(
        model, num_chains=10, num_steps=40, simulated=(x, z), seed=0, num_leapfrog=5
    )
    for gap in (truth - lower.log_evidence, upper.log_evidence - truth):
        assert gap.mean() > -5 * gap.std() / math.sqrt(len(gap))
    # Markov's inequality, each way, with the same chance of a tenth for every x.
    assert ((lower.log_evidence > truth + math.log(10)).double().mean()) <= 0.1
    assert ((upper.log_evidence < truth - math.log(10)).double().mean()) <= 0.1


def test_more_steps_close_the_gap():
    model, _ = strong(5)
    gaps = []
    for num_steps in (5, 50, 250):
        lower, upper = bidirectional_monte_carlo(
            model, num_chains=10, num_steps=num_steps, num_observations=20, seed=0, num_leapfrog=5
        )
        gaps.append(float((upper.log_evidence - lower.log_evidence).mean()))
    assert gaps[0] > 3 * gaps[1] > 3 * gaps[2] > 0
    assert gaps[2] < 0.5


def test_one_step_is_importance_sampling_from_where_the_chains_start():
    model, x = strong(copies=3)
    initial = Independent(Normal(torch.zeros(2).double(), 1.3 * torch.ones(2).double()), 1)
    estimate = annealed_importance_sampling(model, x, num_chains=20_000, num_steps=1, initial=initial, seed=0)
    plain = importance_sampling(model, initial, x, 20_000, seed=0)
    error = (estimate.std_error.square() + plain.std_error.square()).sqrt()
    assert ((estimate.log_evidence - plain.log_evidence).abs() < 5 * error).all()
    assert len(estimate.acceptance) == 0


def test_from_the_posterior_every_weight_is_the_evidence():
    model, x = strong(copies=3)
    estimate = annealed_importance_sampling(model, x, num_chains=5, num_steps=4, initial=model.posterior, seed=0)
    torch.testing.assert_close(estimate.log_evidence, model.log_evidence(x), atol=1e-9, rtol=0)


def test_there_is_one_temperature_more_than_increments_and_they_rise_from_zero_to_one():
    for num_steps in (1, 2, 7, 1000):
        betas = _hamiltonian.temperatures(num_steps)
        assert len(betas) == num_steps + 1
        assert betas[0] == 0
        assert betas[-1] == 1
        assert all(low < high for low, high in itertools.pairwise(betas))


def by_hand(num_chains, num_steps, *, late_weight=False, always_accept=False, skip_an_increment=False):
    """Annealing for z ~ N(0, 1), x = 2, x | z ~ N(z, 0.25), with moves of one leapfrog step, and slips on demand."""
    betas = torch.linspace(0, 1, num_steps + 1).double()
    log_ratio = lambda z: Normal(z, 0.5).log_prob(torch.tensor(2.0).double())  # noqa: E731
    energy = lambda z, beta: 0.5 * z.square() - beta * log_ratio(z)  # noqa: E731
    slope = lambda z, beta: -z + beta * (2 - z) / 0.25  # noqa: E731
    z, log_w = torch.randn(num_chains).double(), torch.zeros(num_chains).double()
    for t in range(1 + skip_an_increment, num_steps + 1):
        if not late_weight:
            log_w += (betas[t] - betas[t - 1]) * log_ratio(z)
        step, momentum = 0.7, torch.randn(num_chains).double()
        half = momentum + 0.5 * step * slope(z, betas[t])
        new = z + step * half
        end = half + 0.5 * step * slope(new, betas[t])
        gain = energy(z, betas[t]) + 0.5 * momentum**2 - energy(new, betas[t]) - 0.5 * end**2
        z = torch.where((torch.rand(num_chains).double() < gain.exp()) | always_accept, new, z)
        if late_weight:
            log_w += (betas[t] - betas[t - 1]) * log_ratio(z)
    truth = Normal(0.0, math.sqrt(1.25)).log_prob(torch.tensor(2.0)).double()
    relative = (log_w - truth).exp()
    return float(relative.mean() - 1), float(relative.std() / math.sqrt(num_chains))


def test_the_chain_written_out_is_unbiased_and_each_slip_biases_it():
    torch.manual_seed(0)
    bias, error = by_hand(200_000, 5)
    assert abs(bias) < 5 * error
    for slip in ("late_weight", "always_accept", "skip_an_increment"):
        bias, error = by_hand(200_000, 5, **{slip: True})
        assert abs(bias) > 10 * error, slip


def test_without_the_choice_to_refuse_a_move_the_library_would_be_biased(monkeypatch):
    model, x = strong(copies=2000)
    call = lambda: annealed_importance_sampling(  # noqa: E731
        model, x, num_chains=20, num_steps=6, seed=0, num_leapfrog=3, step_size=0.28
    )
    assert mean_weight_is_unbiased(call(), model.log_evidence(x))
    monkeypatch.setattr(_hamiltonian, "accepted", lambda uniform, probability: torch.ones_like(uniform) > 0)
    assert not mean_weight_is_unbiased(call(), model.log_evidence(x))


def test_a_shifted_temperature_would_bias_the_library(monkeypatch):
    """Temperatures that stop one short of the joint: the weights are those of another density."""
    model, x = strong(copies=2000)
    right = _hamiltonian.temperatures
    from lvmlib import annealing

    monkeypatch.setattr(annealing, "temperatures", lambda num_steps: right(num_steps + 1)[:-1])
    estimate = annealed_importance_sampling(model, x, num_chains=5, num_steps=6, seed=0, num_leapfrog=3)
    assert not mean_weight_is_unbiased(estimate, model.log_evidence(x))


class Broken(nn.Module):
    """A likelihood that is NaN, or infinite, beyond a place where a long step easily lands."""

    def __init__(self, bad: float) -> None:
        super().__init__()
        self.bad = bad

    def forward(self, z):
        mean = torch.where(z > 1.5, self.bad, z)
        return Normal(mean, torch.full_like(z, 0.5), validate_args=False)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_proposal_never_poisons_a_chain(bad):
    prior = Normal(torch.tensor(0.0).double(), 1.0)
    model = LatentVariableModel(prior, Broken(bad))
    inside = Normal(torch.tensor(-1.0).double(), torch.tensor(0.3).double())  # starts where all numbers are good
    x = torch.zeros(2000).double()
    estimate = annealed_importance_sampling(
        model, x, num_chains=10, num_steps=8, initial=inside, seed=0, num_leapfrog=2, step_size=3.0
    )
    assert estimate.log_evidence.isfinite().all()
    assert (estimate.acceptance < 0.95).all()
    # What is left of the evidence: chains cannot enter the bad half-line.
    grid = torch.linspace(-8, 1.5, 200_001).double()
    log_joint = prior.log_prob(grid) + Normal(grid, 0.5).log_prob(torch.tensor(0.0).double())
    truth = torch.logsumexp(log_joint, 0) + (grid[1] - grid[0]).log()
    relative = (estimate.log_evidence - truth).exp()
    assert relative.mean() < 1 + 5 * relative.std() / math.sqrt(len(relative))


@pytest.mark.thorough
def test_bounds_of_z_are_removed_and_the_evidence_is_that_of_z():
    gamma_poisson = LatentVariableModel(
        Gamma(torch.tensor(2.0).double(), torch.tensor(1.0).double()), lambda z: Poisson(z)
    )
    counts = torch.tensor([3.0, 0.0, 10.0]).double()
    truth = (counts + 1).log() - (2 + counts) * math.log(2)
    estimate = annealed_importance_sampling(gamma_poisson, counts, num_chains=4000, num_steps=20, seed=0)
    assert ((estimate.log_evidence - truth).abs() < 5 * estimate.std_error).all()

    coins = models.beta_bernoulli()
    x = torch.tensor([0.0, 1.0]).double()
    start = Beta(torch.tensor(1.2).double(), torch.tensor(1.2).double())
    estimate = annealed_importance_sampling(coins, x, num_chains=4000, num_steps=10, initial=start, seed=0)
    assert ((estimate.log_evidence - coins.log_evidence(x)).abs() < 5 * estimate.std_error).all()


def test_levels_of_latent_variables_are_annealed_together():
    prior = (
        Independent(Normal(torch.zeros(1).double(), 1.0), 1),
        lambda top: Independent(Normal(top, 0.5), 1),
    )
    model = LatentVariableModel(prior, lambda z: Normal(z[1][..., 0], 0.5))
    x = torch.tensor([0.3, 2.0]).double()
    estimate = annealed_importance_sampling(model, x, num_chains=4000, num_steps=15, seed=0, num_leapfrog=5)
    truth = Normal(0.0, math.sqrt(1.5)).log_prob(x)
    assert ((estimate.log_evidence - truth).abs() < 5 * estimate.std_error).all()


def test_tuning_reaches_the_acceptance_that_it_aims_at_and_is_thrown_away():
    model, x = strong(5, copies=4)
    estimate = annealed_importance_sampling(model, x, num_chains=200, num_steps=60, seed=0)
    assert (estimate.acceptance.mean(0) > 0.6).all()
    assert (estimate.acceptance.mean(0) < 0.9).all()
    # Handed its own step sizes, another run moves alike, and draws the same numbers, as the pilot's are its own.
    again = annealed_importance_sampling(model, x, num_chains=200, num_steps=60, seed=0, step_size=estimate.step_size)
    assert torch.equal(again.log_evidence, estimate.log_evidence)


def test_a_seed_decides_all_and_leaves_the_global_generator_alone():
    model, x = strong(copies=2)
    state = torch.get_rng_state()
    call = lambda seed: annealed_importance_sampling(model, x, num_chains=30, num_steps=5, seed=seed)  # noqa: E731
    first = call(1)
    assert torch.equal(first.log_evidence, call(1).log_evidence)
    assert not torch.equal(first.log_evidence, call(2).log_evidence)
    assert torch.equal(torch.get_rng_state(), state)
    lower, upper = bidirectional_monte_carlo(model, num_chains=5, num_steps=3, seed=0)
    again = bidirectional_monte_carlo(model, num_chains=5, num_steps=3, seed=0)
    assert torch.equal(lower.log_evidence, again[0].log_evidence)
    assert torch.equal(upper.log_evidence, again[1].log_evidence)
    torch.manual_seed(3)
    one = annealed_importance_sampling(model, x, num_chains=5, num_steps=3)
    torch.manual_seed(3)
    two = annealed_importance_sampling(model, x, num_chains=5, num_steps=3)
    assert torch.equal(one.log_evidence, two.log_evidence)


def test_blocks_of_chains_are_the_same_for_one_thread_and_several(monkeypatch):
    from lvmlib import annealing

    model, x = strong(copies=2)
    monkeypatch.setattr(annealing, "block_length", lambda problem: 16)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = annealed_importance_sampling(model, x, num_chains=50, num_steps=5, seed=0)
        torch.set_num_threads(3)
        three = annealed_importance_sampling(model, x, num_chains=50, num_steps=5, seed=0)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one.log_evidence, three.log_evidence)
    torch.testing.assert_close(one.acceptance, three.acceptance)
    assert one.num_samples == 50


def test_single_precision_and_inference_mode_are_served():
    model, x = strong(copies=3, dtype=torch.float32)
    with torch.inference_mode():
        estimate = annealed_importance_sampling(model, x.clone(), num_chains=500, num_steps=30, seed=0)
    assert estimate.log_evidence.dtype == torch.float32
    assert ((estimate.log_evidence - model.log_evidence(x)).abs() < 5 * estimate.std_error).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_chains": 0}, ["num_chains", "0", "at least 1"]),
        ({"num_steps": 0}, ["num_steps", "0", "at least 1"]),
        ({"num_leapfrog": 0}, ["num_leapfrog", "0", "at least 1"]),
        ({"step_size": 0.0}, ["step_size", "0", "above 0"]),
        ({"step_size": torch.ones(7).double()}, ["step_size", "(7,)", "(3, 2)"]),
        ({"initial": Independent(Normal(torch.zeros(3).double(), 1.0), 1)}, ["q is", "event shape (2,)"]),
    ],
)
def test_a_wrong_call_says_what_was_expected(change, words):
    model, x = strong(copies=2)
    with pytest.raises((ValueError, TypeError)) as caught:
        annealed_importance_sampling(model, x, **({"num_chains": 3, "num_steps": 4, "seed": 0} | change))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_mixture_of_normals_is_annealed():
    prior = MixtureSameFamily(Categorical(torch.ones(2).double()), Normal(torch.tensor([-2.0, 2.0]).double(), 1.0))
    model = LatentVariableModel(prior, lambda z: Normal(z, 0.5))
    x = torch.tensor([0.3, 1.5]).double()
    estimate = annealed_importance_sampling(model, x, num_chains=500, num_steps=20, seed=0)
    exact = Normal(torch.tensor([[-2.0], [2.0]]).double(), 1.25**0.5).log_prob(x).logsumexp(0) - math.log(2)
    assert ((estimate.log_evidence - exact).abs() < 5 * estimate.std_error).all()


def test_an_angle_stays_in_its_turn():
    prior = VonMises(*torch.tensor([0.0, 0.5]).double())
    model = LatentVariableModel(prior, lambda z: Normal(z, 1.0))
    x = torch.tensor([0.0, 3.0, 5.0]).double()
    z = torch.linspace(-math.pi, math.pi, 100_001).double()
    exact = model.log_joint(x, z[:, None]).logsumexp(0) + (z[1] - z[0]).log()
    estimate = annealed_importance_sampling(model, x, num_chains=500, num_steps=20, seed=0)
    assert ((estimate.log_evidence - exact).abs() < 5 * estimate.std_error + 1e-4).all()


def test_no_observation_has_an_estimate_that_describes_itself():
    model, x = strong(copies=2)
    assert "batch_shape=(0,)" in repr(annealed_importance_sampling(model, x[:0], num_chains=3, num_steps=3, seed=0))


def test_data_are_simulated_in_inference_mode_too():
    model, _ = strong(copies=2)
    outside = bidirectional_monte_carlo(model, num_chains=3, num_steps=3, seed=0)
    with torch.inference_mode():
        inside = bidirectional_monte_carlo(model, num_chains=3, num_steps=3, seed=0)
    assert all(torch.equal(a.log_evidence, b.log_evidence) for a, b in zip(outside, inside, strict=True))


def test_a_discrete_z_has_no_gradient_to_follow():
    model = FiniteModel(torch.tensor([0.5, 0.5]), torch.tensor([[0.5, 0.5], [0.1, 0.9]]))
    with pytest.raises(TypeError, match="discrete"):
        annealed_importance_sampling(model, torch.tensor(0), num_chains=3, num_steps=4)
    with pytest.raises(TypeError, match="discrete"):
        bidirectional_monte_carlo(model, num_chains=3, num_steps=4)
    continuous, x = strong()
    with pytest.raises(TypeError, match="continuous"):
        annealed_importance_sampling(
            continuous, x, num_chains=3, num_steps=4, initial=Categorical(torch.ones(2).double())
        )


def test_simulated_data_come_as_a_pair_with_one_z_for_each_x():
    model, x = strong(copies=2)
    with pytest.raises(TypeError, match="pair"):
        bidirectional_monte_carlo(model, num_chains=3, num_steps=4, simulated=x)
    with pytest.raises(ValueError, match="one z for each x"):
        bidirectional_monte_carlo(model, num_chains=3, num_steps=4, simulated=(x, torch.zeros(3, 2).double()))


def test_an_estimate_describes_itself():
    model, x = strong(copies=2)
    lower, upper = bidirectional_monte_carlo(model, num_chains=5, num_steps=4, num_observations=3, seed=0)
    assert "batch_shape=(3,)" in repr(lower)
    assert "acceptance=" in repr(lower)
    assert "direction='lower'" in repr(lower)
    assert "num_steps=4" in repr(upper)
    assert "direction='upper'" in repr(upper)
    assert upper.smoothed_log_evidence.shape == (3,)
    single = annealed_importance_sampling(model, x[0], num_chains=5, num_steps=1, seed=0)
    assert "batch_shape" not in repr(single)
    assert "acceptance" not in repr(single)
