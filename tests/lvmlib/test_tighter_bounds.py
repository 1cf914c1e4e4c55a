"""Bounds beyond the ELBO: power means, posterior draws and the jackknife, against closed forms."""

from __future__ import annotations

import copy
import itertools
import math

import models
import pytest
import torch
from torch.distributions import Bernoulli, Beta, Independent, MultivariateNormal, Normal

from lvmlib import (
    BoundEstimate,
    FiniteModel,
    LatentVariableModel,
    LinearGaussian,
    MeanFieldGuide,
    cubo,
    elbo,
    eubo,
    importance_sampling,
    iwae_bound,
    jackknife_bound,
    kl,
    log_weights,
    renyi_bound,
)
from lvmlib._jackknife import jackknife

DIMENSIONS = (1, 5, 50)
ORDERS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


def gaussian_case(dim, copies=400):
    """A linear-Gaussian model, copies of one observation, and a q somewhat off its posterior."""
    model = models.linear_gaussian(seed=dim, observed=dim + 2, latent=dim)
    x, _ = model.sample(1, seed=0)
    posterior = model.posterior(x[0])
    factor = torch.linalg.cholesky(posterior.covariance_matrix)
    mean = posterior.mean + 0.3 / math.sqrt(dim) * factor @ torch.ones(dim).double()
    return model, MultivariateNormal(mean, scale_tril=factor * (1 + 0.1 / math.sqrt(dim))), x.expand(copies, -1)


def log_moment(model, q, x, power):
    """log E_q[w^power] in closed form: a Gaussian integral of p(z | x)^power q(z)^(1 - power), and the evidence."""
    posterior = model.posterior(x)
    precisions = power * posterior.precision_matrix + (1 - power) * q.precision_matrix
    first = power * posterior.precision_matrix @ posterior.mean + (1 - power) * q.precision_matrix @ q.mean
    quadratic = power * (posterior.mean @ posterior.precision_matrix @ posterior.mean)
    quadratic = quadratic + (1 - power) * (q.mean @ q.precision_matrix @ q.mean)
    log_det = power * posterior.precision_matrix.logdet() + (1 - power) * q.precision_matrix.logdet()
    middle = first @ torch.linalg.solve(precisions, first)
    return power * model.log_evidence(x) + 0.5 * (log_det - precisions.logdet() + middle - quadratic)


@pytest.mark.parametrize("dim", [1, *(pytest.param(dim, marks=pytest.mark.thorough) for dim in (5, 50))])
@pytest.mark.parametrize("alpha", ORDERS)
def test_the_renyi_bound_of_gaussians_is_its_closed_form(dim, alpha):
    model, q, x = gaussian_case(dim)
    estimate = renyi_bound(model, q, x, 2000, alpha=alpha, seed=1)
    if alpha == 1:
        exact = model.log_evidence(x[0]) - kl(q, model.posterior(x[0]))
    else:
        exact = log_moment(model, q, x[0], 1 - alpha) / (1 - alpha)
    error = estimate.value.std() / math.sqrt(len(x))
    # The estimate has a bias of order 1/K, of the size of half its squared standard error.
    bias = abs(1 - alpha) * estimate.std_error.square().mean()
    assert (estimate.value.mean() - exact).abs() < 5 * error + bias
    spread = estimate.value.std()
    assert 0.8 * spread < estimate.std_error.mean() < 1.25 * spread


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_the_renyi_bound_falls_in_alpha_and_changes_sides_at_zero(dim):
    model, q, x = gaussian_case(dim, copies=1)
    values = [renyi_bound(model, q, x[0], 1000, alpha=alpha, seed=0) for alpha in ORDERS]
    # Power means of the same weights are ordered, draw by draw.
    by_hand = torch.stack([renyi_bound(model, q, x[0], 1000, alpha=a, chunk_size=10, seed=0).value for a in ORDERS])
    assert (by_hand.diff() < 0).all()
    sides = [value.direction.population for value in values]
    assert sides == ["upper", "upper", "exact", "lower", "lower", "lower", "lower"]
    assert [value.direction.expectation for value in values] == ["unknown"] * 2 + ["lower"] * 5


def test_alpha_zero_is_importance_sampling_and_alpha_one_is_the_elbo():
    model, q, x = gaussian_case(2, copies=3)
    for alpha, of_weights in ((0.0, lambda w: w.logsumexp(0) - math.log(50)), (1.0, lambda w: w.mean(0))):
        torch.manual_seed(4)
        found = renyi_bound(model, q, x, 50, alpha=alpha).value
        torch.manual_seed(4)
        torch.testing.assert_close(found, of_weights(log_weights(model, q, x, 50)))
    torch.manual_seed(4)
    near = renyi_bound(model, q, x, 50, alpha=1 + 1e-6).value
    torch.manual_seed(4)
    torch.testing.assert_close(near, elbo(model, q, x, 50), atol=1e-5, rtol=0)


def test_cubo_is_the_renyi_bound_on_the_other_side_of_zero():
    model, q, x = gaussian_case(2, copies=3)
    for order in (1.5, 2, 4):
        torch.manual_seed(1)
        one = cubo(model, q, x, 30, order=order)
        torch.manual_seed(1)
        torch.testing.assert_close(one.value, renyi_bound(model, q, x, 30, alpha=1 - order).value)
        assert one.direction.population == "upper"
        assert one.direction.probability == "unknown"


@pytest.mark.parametrize("num_samples", [1, 10, 100])
def test_the_estimate_of_cubo_is_low_by_what_the_digamma_function_says(num_samples):
    """For weights w = z / a, z ~ Gamma(a, 1) and order 2, the bound is half the log of (a + 1) / a."""
    a = 0.5
    model, q = models.gamma_weights(a)
    bound = 0.5 * math.log((a + 1) / a)
    x = torch.full((4000,), 0.5).double()
    estimate = cubo(model, q, x, num_samples, seed=0).value
    error = estimate.std() / math.sqrt(len(x))
    assert estimate.mean() < bound - 5 * error
    if num_samples == 1:  # a single weight: the ELBO, well below log p(x) = 0
        exact = torch.digamma(torch.tensor(a).double()) - math.log(a)
        assert (estimate.mean() - exact).abs() < 5 * error
        assert estimate.mean() < -1


@pytest.mark.parametrize("a", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("num_samples", [1, 2, 5, 20])
def test_the_iwae_bound_of_gamma_weights_is_a_digamma_function(a, num_samples):
    model, q = models.gamma_weights(a)
    x = torch.full((4000,), 0.5).double()
    estimate = iwae_bound(model, q, x, num_samples)
    exact = torch.digamma(torch.tensor(a * num_samples, dtype=torch.float64)) - math.log(a * num_samples)
    assert (estimate.mean() - exact).abs() < 5 * estimate.std() / math.sqrt(len(x))
    variance = torch.polygamma(1, torch.tensor(a * num_samples, dtype=torch.float64))
    assert 0.85 < estimate.var() / variance < 1.18


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_jackknife_of_gamma_weights_has_the_mean_that_digamma_functions_give(order):
    a, num_samples = 0.7, 8
    model, q = models.gamma_weights(a)
    x = torch.full((4000,), 0.5).double()
    estimate = jackknife_bound(model, q, x, num_samples, order=order, seed=0)
    exact = sum(
        (-1) ** j * (num_samples - j) ** order / math.factorial(j) / math.factorial(order - j) * bound
        for j in range(order + 1)
        for bound in [
            torch.digamma(torch.tensor(a * (num_samples - j), dtype=torch.float64)) - math.log(a * (num_samples - j))
        ]
    )
    assert (estimate.value.mean() - exact).abs() < 5 * estimate.value.std() / math.sqrt(len(x))


def test_each_order_of_the_jackknife_takes_one_order_from_the_bias_and_adds_variance():
    a = 0.7

    def bias(k, m):
        total = 0.0
        for j in range(m + 1):
            bound = float(torch.digamma(torch.tensor(a * (k - j), dtype=torch.float64))) - math.log(a * (k - j))
            total += (-1) ** j * (k - j) ** m / math.factorial(j) / math.factorial(m - j) * bound
        return total

    # psi(y) - log y = -1/(2y) - 1/(12 y^2) + 1/(120 y^4): no third power, so the second order gains two.
    for order, expected in enumerate((-1, -2, -4, -4)):
        slope = math.log2(abs(bias(64, order) / bias(32, order)))
        assert abs(slope - expected) < 0.3
    assert [abs(bias(16, m)) for m in range(4)] == sorted((abs(bias(16, m)) for m in range(4)), reverse=True)
    log_w = models.gamma_weights(a)[1].expand((20_000,)).sample((4,)).log() - math.log(a)
    spread = [jackknife(log_w, order).var() for order in range(4)]
    assert spread == sorted(spread)
    assert spread[3] > 1.3 * spread[0]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_jackknife_is_the_average_over_all_subsets(order):
    log_w = 30 * models.normals(7, 2, seed=0)
    log_w[:, 1] = -torch.arange(7) - 2000.0 * (torch.arange(7) > 0)  # one weight dwarfs the others
    expected = torch.zeros(2).double()
    for j in range(order + 1):
        share = (-1) ** j * (7 - j) ** order / math.factorial(j) / math.factorial(order - j)
        without = [
            torch.stack([log_w[k] for k in range(7) if k not in gone]).logsumexp(0) - math.log(7 - j)
            for gone in itertools.combinations(range(7), j)
        ]
        expected += share * torch.stack(without).mean(0)
    torch.testing.assert_close(jackknife(log_w, order), expected, atol=1e-8, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_jackknife_keeps_its_digits_in_single_precision(order):
    # Its factors grow as a power of K: rounded log-means near -300 would be off by a nat at order 3.
    log_w = (models.normals(60, 3, seed=0) - 300).float()
    torch.testing.assert_close(jackknife(log_w, order).double(), jackknife(log_w.double(), order), atol=3e-5, rtol=0)


def test_the_jackknife_of_no_weight_at_all_is_minus_infinity():
    assert (jackknife(torch.full((5, 2), -torch.inf), 2) == -torch.inf).all()
    equal = jackknife(torch.full((5, 2), 3.0).double(), 2)
    torch.testing.assert_close(equal, torch.full((2,), 3.0).double())


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_eubo_is_the_evidence_and_the_reverse_divergence(dim):
    model, q, x = gaussian_case(dim, copies=1)
    posterior = model.posterior(x[0])
    estimate = eubo(model, q, x[0], posterior.sample((20_000,)))
    exact = model.log_evidence(x[0]) + kl(posterior, q)
    assert (estimate.value - exact).abs() < 5 * estimate.std_error
    assert estimate.direction.expectation == "upper"
    torch.testing.assert_close(
        eubo(model, model.posterior, x, model.posterior(x).sample((3,))).value, model.log_evidence(x)
    )


def test_markov_keeps_each_estimate_on_its_side_as_often_as_it_says():
    model, _, _ = gaussian_case(1)
    x, z = model.sample(20_000, seed=3)
    truth = model.log_evidence(x)
    q = Independent(Normal(torch.zeros(1).double(), 0.5), 1)
    for t in (0.0, 1.0, 2.0):
        for alpha in (0.0, 0.5, 2.0):
            estimate = renyi_bound(model, q, x, 2, alpha=alpha, seed=0)
            assert estimate.direction.probability == "lower"
            assert (estimate.value > truth + t).double().mean() <= math.exp(-t)
        upper = eubo(model, q, x, z[None])
        assert upper.direction.probability == "upper"
        assert (upper.value < truth - t).double().mean() <= math.exp(-t)


def test_a_weight_of_zero_sends_orders_of_one_and_above_to_minus_infinity():
    model = FiniteModel(torch.tensor([0.5, 0.5]).double(), torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double())
    x, q = torch.tensor(1), torch.distributions.Categorical(torch.tensor([0.5, 0.5]).double())
    for alpha in (1.0, 2.0):
        for seed in (None, 0):
            assert renyi_bound(model, q, x, 100, alpha=alpha, seed=seed).value == -torch.inf
    assert renyi_bound(model, q, x, 100, alpha=0.5, seed=0).value.isfinite()
    assert cubo(model, q, x, 100, seed=0).value.isfinite()


@pytest.mark.parametrize("estimator", ["renyi", "cubo", "jackknife"])
def test_a_seed_gives_one_answer_whatever_the_chunk_size_and_leaves_the_generator_alone(estimator):
    model, q, x = gaussian_case(2, copies=3)
    call = {
        "renyi": lambda **given: renyi_bound(model, q, x, 200, alpha=0.5, **given),
        "cubo": lambda **given: cubo(model, q, x, 200, **given),
        "jackknife": lambda **given: jackknife_bound(model, q, x, 200, **given),
    }[estimator]
    state = torch.get_rng_state()
    first, second = call(seed=5), call(seed=5, chunk_size=7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(first.value, second.value, atol=1e-12, rtol=0)
    assert not torch.equal(first.value, call(seed=6).value)
    assert not torch.equal(first.value, importance_sampling(model, q, x, 200, seed=5).log_evidence)


def test_without_a_seed_bounds_can_be_trained():
    model, _, x = gaussian_case(2, copies=3)
    guide = MeanFieldGuide(2).double()
    for bound in (
        renyi_bound(model, guide, x, 5, alpha=0.5),
        renyi_bound(model, guide, x, 5, alpha=1.0),
        cubo(model, guide, x, 5),
        jackknife_bound(model, guide, x, 5, order=2),
        eubo(model, guide, x, model.posterior(x).sample((4,))),
    ):
        guide.zero_grad()
        bound.value.sum().backward()
        assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in guide.parameters())


def test_an_estimate_says_its_direction_and_what_it_is_about():
    model, q, x = gaussian_case(1, copies=1)
    text = repr(cubo(model, q, x[0], 10, seed=0))
    assert text.startswith("BoundEstimate(value=")
    assert "population: upper, expectation over draws: unknown, with stated probability: unknown" in text
    assert isinstance(cubo(model, q, x, 10), BoundEstimate)


def test_an_estimate_is_a_tensor_and_what_is_computed_from_it_is_a_plain_one():
    model, q, x = gaussian_case(1, copies=3)
    bound = cubo(model, q, x, 10, seed=0)
    assert bound.shape == (3,)
    assert type(bound.value) is torch.Tensor
    assert torch.equal(bound.value, torch.stack(list(bound)))
    gap = bound - model.log_evidence(x)
    assert type(gap) is torch.Tensor
    assert float(bound.mean()) == pytest.approx(float(bound.value.mean()))
    guide = MeanFieldGuide(1).double()
    renyi_bound(model, guide, x, 5, alpha=0.5).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in guide.parameters())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, q, x: renyi_bound(m, q, x, 5, alpha=math.inf), ["alpha", "inf", "finite"]),
        (lambda m, q, x: renyi_bound(m, q, x, 5, alpha="one"), ["alpha", "'one'", "number"]),
        (lambda m, q, x: renyi_bound(m, q, x, 0, alpha=0.5), ["num_samples", "0", "at least 1"]),
        (lambda m, q, x: cubo(m, q, x, 5, order=1), ["order", "1", "above 1"]),
        (lambda m, q, x: jackknife_bound(m, q, x, 5, order=5), ["order", "5", "below"]),
        (lambda m, q, x: jackknife_bound(m, q, x, 5, order=-1), ["order", "-1", "at least 0"]),
        (lambda m, q, x: jackknife_bound(m, q, x, 10_000, order=3), ["order", "10000", "ways"]),
        (lambda m, q, x: eubo(m, q, x, torch.zeros(4, 2, 2).double()), ["posterior_samples", "(4, 2, 2)", "S"]),
        (lambda m, q, x: eubo(m, q, x, [1.0]), ["posterior_samples is [1.0]", "expected a torch.Tensor"]),
        (
            lambda m, q, x: eubo(m, q, x, torch.zeros(4, 3, 2)),
            ["posterior_samples has dtype", "expected torch.float64"],
        ),
        (lambda m, q, x: renyi_bound(m, q, [1.0], 5, alpha=0.5), ["x is [1.0]", "expected a torch.Tensor"]),
        (lambda m, q, x: cubo(m, q, None, 5, seed=0), ["x is None", "expected a torch.Tensor"]),
    ],
)
def test_a_wrong_call_says_what_was_expected(call, words):
    model, q, x = gaussian_case(2, copies=3)
    with pytest.raises((ValueError, TypeError)) as caught:
        call(model, q, x)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_draw_that_the_posterior_cannot_give_is_refused():
    model = FiniteModel(torch.tensor([0.5, 0.5]).double(), torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double())
    q = torch.distributions.Categorical(torch.tensor([0.5, 0.5]).double())
    with pytest.raises(ValueError, match="joint density 0"):
        eubo(model, q, torch.tensor(1), torch.tensor([1, 0]))


def test_a_draw_at_an_end_where_both_densities_are_infinite_is_refused():
    coin = LatentVariableModel(Beta(0.5, 0.5), Bernoulli)
    with pytest.raises(
        ValueError, match=r"posterior_samples has joint density inf at index \(0,\).*inside the support"
    ):
        eubo(coin, Beta(1.5, 0.5), torch.tensor(1.0), torch.tensor([1.0]))


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("alpha", [-1e300, -1e20, 1e20, 1e300])
def test_an_order_without_measure_gives_the_largest_or_the_smallest_weight(alpha, seed):
    model = models.linear_gaussian()
    x, _ = model.sample(3, seed=0)
    far = renyi_bound(model, model.prior, x, 20, alpha=alpha, seed=seed)
    near = renyi_bound(model, model.prior, x, 20, alpha=math.copysign(1e6, alpha), seed=seed)
    assert far.value.isfinite().all()
    if seed is not None:
        torch.testing.assert_close(far.value, near.value, atol=1e-5, rtol=0)
    exact = renyi_bound(model.float(), model.posterior, x.float(), 20, alpha=alpha, seed=seed)
    torch.testing.assert_close(exact.value, model.log_evidence(x.float()), atol=1e-5, rtol=0)


def test_an_estimate_is_copied_and_written_as_a_tensor_is():
    model, q, x = gaussian_case(1, copies=3)
    bound = cubo(model, q, x, 10, seed=0)
    again = copy.deepcopy(bound)
    assert type(again) is BoundEstimate
    assert torch.equal(again.value, bound.value)
    assert torch.equal(again.std_error, bound.std_error)
    assert again.direction == bound.direction
    one = cubo(model, q, x[0], 10, seed=0)
    assert f"{one:.2f}" == f"{one.item():.2f}"
    assert f"{one}" == repr(one)


def test_bounds_of_a_linear_gaussian_at_its_posterior_are_exact():
    model = LinearGaussian(models.normals(3, 2, seed=0), models.normals(3, seed=1), 0.5)
    x, _ = model.sample(4, seed=0)
    for alpha in ORDERS:
        bound = renyi_bound(model, model.posterior, x, 3, alpha=alpha)
        torch.testing.assert_close(bound.value, model.log_evidence(x), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        jackknife_bound(model, model.posterior, x, 5, order=2).value, model.log_evidence(x), atol=1e-8, rtol=0
    )
