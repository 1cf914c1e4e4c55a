"""One door for every density: as torch has it where torch is right, exact where it is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import (
    AffineTransform,
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    CumulativeDistributionTransform,
    Dirichlet,
    ExpTransform,
    Gamma,
    Geometric,
    HalfNormal,
    Independent,
    Laplace,
    LKJCholesky,
    LogNormal,
    MixtureSameFamily,
    Multinomial,
    NegativeBinomial,
    Normal,
    OneHotCategorical,
    Poisson,
    RelaxedBernoulli,
    SigmoidTransform,
    StickBreakingTransform,
    StudentT,
    TanhTransform,
    TransformedDistribution,
    Uniform,
)

from lvmlib import VAE, BetaBernoulli, LatentVariableModel, importance_sampling, kl, mlp, prior_monte_carlo
from lvmlib.density import bernoulli_log_density, log_density


def positive(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
    return 0.3 + torch.rand(*shape, generator=generator, dtype=torch.float64)


def families():
    return [
        Normal(positive(3), positive(3)),
        Uniform(-positive(3), positive(3)),
        Categorical(positive(3, 4)),
        Categorical(logits=positive(3, 4)),
        OneHotCategorical(positive(3, 4)),
        Bernoulli(positive(3) / 2),
        Bernoulli(logits=positive(3)),
        Independent(Bernoulli(logits=positive(3, 5, 7) - 0.8), 2),
        Binomial(7, positive(3) / 2),
        Binomial(7, logits=positive(3)),
        Geometric(positive(3) / 2),
        Geometric(logits=positive(3)),
        NegativeBinomial(4 * positive(3), positive(3) / 2),
        Multinomial(5, positive(3, 4)),
        Poisson(5 * positive(3)),
        Beta(positive(3), positive(3, seed=1)),
        Dirichlet(positive(3, 4)),
        Gamma(positive(3), positive(3, seed=1)),
        StudentT(4 * positive(3), positive(3), positive(3, seed=1)),
        Laplace(positive(3), positive(3)),
        Cauchy(positive(3), positive(3)),
        HalfNormal(positive(3)),
        LogNormal(positive(3), positive(3)),
        MixtureSameFamily(Categorical(positive(3, 4)), Normal(positive(3, 4), positive(3, 4, seed=1))),
        TransformedDistribution(Independent(Normal(positive(3, 2), positive(3, 2)), 1), [AffineTransform(0.0, 2.0)]),
        RelaxedBernoulli(torch.tensor(0.7).double(), positive(3) / 2),
    ]


@pytest.mark.parametrize("distribution", families(), ids=lambda d: type(d).__name__)
def test_inside_the_support_the_density_is_that_of_torch(distribution):
    value = distribution.sample((5,))
    torch.testing.assert_close(log_density(distribution, value), distribution.log_prob(value), atol=1e-9, rtol=1e-9)
    shared = value[:, :1]
    assert log_density(distribution, shared).shape == (5, 3)


@pytest.mark.parametrize("given", ["probs", "logits"])
@pytest.mark.parametrize("family", [Categorical, OneHotCategorical])
def test_a_probability_of_zero_has_the_logarithm_minus_infinity(family, given):
    probs = torch.tensor([0.5, 0.5, 0.0])
    table = family(**{given: probs if given == "probs" else probs.log()})
    impossible = torch.tensor(2) if family is Categorical else torch.tensor([0.0, 0.0, 1.0])
    assert log_density(table, impossible) == -math.inf
    _ = table.logits if family is OneHotCategorical else table.probs
    assert log_density(table.expand((4,)), impossible).eq(-math.inf).all()


def test_a_tiny_probability_is_not_raised_to_the_machine_precision():
    tiny = Categorical(torch.tensor([1.0, 1e-12]))
    assert tiny.logits[1] > -16  # torch has raised it
    assert log_density(tiny, torch.tensor(1)).item() == pytest.approx(math.log(1e-12), rel=1e-6)


@pytest.mark.parametrize(
    ("distribution", "value", "expected"),
    [
        (Bernoulli(torch.tensor(0.0)), 1.0, -math.inf),
        (Bernoulli(torch.tensor(1.0)), 0.0, -math.inf),
        (Bernoulli(logits=torch.tensor(-math.inf)), 0.0, 0.0),
        (Binomial(3, torch.tensor(0.0)), 0.0, 0.0),
        (Binomial(3, torch.tensor(0.0)), 1.0, -math.inf),
        (Geometric(torch.tensor(1.0)), 0.0, 0.0),
        (Geometric(torch.tensor(1.0)), 2.0, -math.inf),
        (Poisson(torch.tensor(0.0)), 0.0, 0.0),
        (Poisson(torch.tensor(2.0)), -1.0, -math.inf),
        (Uniform(0.0, 2.0), 2.0, -math.log(2)),
        (Uniform(0.0, 2.0), 2.1, -math.inf),
        (Beta(2.0, 3.0), 1.5, -math.inf),
        (Gamma(2.0, 1.0), -1.0, -math.inf),
        (HalfNormal(1.0), -1.0, -math.inf),
        (LogNormal(0.0, 1.0), -1.0, -math.inf),
        (TransformedDistribution(Uniform(0.0, 1.0), [AffineTransform(1.0, 2.0)]), 0.5, -math.inf),
        (
            MixtureSameFamily(Categorical(torch.tensor([1.0, 0.0])), Uniform(torch.tensor([0.0, 5.0]), 6.0)),
            -1.0,
            -math.inf,
        ),
    ],
    ids=str,
)
def test_ends_and_outside_of_the_support(distribution, value, expected):
    assert log_density(distribution, torch.tensor(value)).item() == pytest.approx(expected)


def test_fractions_are_no_counts_and_rows_may_have_totals_of_their_own():
    counts = torch.tensor([[2.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.5, 0.5, 2.0], [6.0, -1.0, 0.0]])
    draws_of_five = Multinomial(5, torch.tensor([0.2, 0.3, 0.5]))
    logarithms = [math.log(30 * 0.2**2 * 0.3 * 0.5**2), math.log(2 * 0.2 * 0.5), -math.inf, -math.inf]
    torch.testing.assert_close(log_density(draws_of_five, counts), torch.tensor(logarithms))


def test_fractions_are_refused_as_data_where_counts_are_expected():
    def likelihood(z):
        return Multinomial(5, logits=torch.stack([z, 0 * z, -z], -1).reshape(*z.shape, 3))

    x = torch.tensor([[2.0, 1.0, 2.0], [2.5, 0.5, 2.0]])
    with pytest.raises(ValueError, match=r"at index \(1,\): expected values in the support Counts\(total=5\)"):
        prior_monte_carlo(LatentVariableModel(Normal(0.0, 1.0), likelihood), x, 10, seed=0)


@pytest.mark.parametrize(
    ("distribution", "event"), [(LKJCholesky(3, 1.0), (3, 3)), (Multinomial(5, torch.ones(3)), (3,))], ids=str
)
def test_no_values_have_no_densities(distribution, event):
    assert log_density(distribution, torch.zeros(0, *event)).shape == (0,)


def test_a_part_of_a_mixture_with_share_zero_does_not_count():
    mixture = MixtureSameFamily(Categorical(torch.tensor([1.0, 0.0])), Normal(torch.tensor([0.0, 100.0]), 1.0))
    expected = Normal(0.0, 1.0).log_prob(torch.tensor(100.0))
    assert log_density(mixture, torch.tensor(100.0)) == expected


def test_gradients_are_finite_past_what_is_impossible():
    probs = torch.tensor([0.0, 1.0], requires_grad=True)
    (log_density(Bernoulli(probs), torch.tensor([1.0, 1.0])).nan_to_num(neginf=0.0)).sum().backward()
    assert probs.grad.isfinite().all()
    concentration = torch.tensor(2.0, requires_grad=True)
    density = log_density(Beta(concentration, torch.tensor(3.0)), torch.tensor([0.5, -1.0]))
    torch.where(density.isfinite(), density, 0.0).sum().backward()
    assert concentration.grad.isfinite()


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda one: Beta(1e6 * one, 1e6 * one), 0.5003),
        (lambda one: Dirichlet(torch.stack([1e6 * one, 1e6 * one])), [0.5, 0.5]),
        (lambda one: Gamma(1e6 * one, one), 1e6),
        (lambda one: Poisson(1e6 * one), 1e6),
        (lambda one: Binomial(2_000_000, 0.5 * one), 1e6),
        (lambda one: NegativeBinomial(1e6 * one, 0.5 * one), 1e6),
        (lambda one: StudentT(1e7 * one), 1.0),
    ],
    ids=["beta", "dirichlet", "gamma", "poisson", "binomial", "negative_binomial", "student"],
)
def test_large_parameters_keep_their_digits_in_float32(make, value):
    single, double = (
        log_density(make(torch.ones((), dtype=dtype)), torch.tensor(value, dtype=dtype))
        for dtype in (torch.float32, torch.float64)
    )
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(double.item(), abs=2e-3)


@pytest.mark.parametrize("width", [1, 2, 5, 16, 37, 784])
def test_the_fast_sum_over_coins_is_the_sum_of_their_log_probabilities(width):
    logits = 20 * torch.randn(4, 3, width, dtype=torch.float64)
    x = (torch.rand(3, width) < 0.5).double()
    expected = Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(-1)
    torch.testing.assert_close(bernoulli_log_density(logits, x, 1), expected)
    torch.testing.assert_close(bernoulli_log_density(logits.clone().requires_grad_(), x, 1).detach(), expected)


def test_the_fast_sum_over_coins_leaves_its_arguments_alone():
    logits, x = torch.randn(4, 8), torch.ones(8)
    before = logits.clone()
    bernoulli_log_density(logits, x, 1)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("size", [1.0, 50.0])
def test_logits_that_nobody_else_has_may_be_overwritten(size):
    logits, x = size * torch.randn(4, 3, 37, dtype=torch.float64), (torch.rand(3, 37) < 0.5).double()
    expected = bernoulli_log_density(logits, x, 1)
    assert torch.equal(bernoulli_log_density(logits.clone(), x, 1, overwrite=True), expected)


def test_logits_that_a_hook_of_the_decoder_keeps_are_not_overwritten():
    seen, decoder = [], mlp(2, 5, 37)
    vae = VAE(mlp(37, 4), decoder, latent_dim=2)
    x, z = (torch.rand(3, 37) < 0.5).float(), torch.randn(10, 3, 2)
    with torch.no_grad():
        expected = vae.log_likelihood(x, z)
        decoder[-1].register_forward_hook(lambda layer, inputs, output: seen.append(output))
        torch.testing.assert_close(vae.log_likelihood(x, z), expected)
        assert torch.equal(seen[0], decoder(z).reshape(30, 37))


def test_certain_coins_among_others():
    logits = torch.tensor([math.inf, -math.inf, 0.0])
    assert bernoulli_log_density(logits, torch.tensor([1.0, 0.0, 1.0]), 1).item() == pytest.approx(-math.log(2))
    assert bernoulli_log_density(logits, torch.tensor([0.0, 0.0, 1.0]), 1) == -math.inf


def test_a_density_of_somebody_elses_is_respected():
    class Doubled(Normal):
        def log_prob(self, value):
            return 2 * super().log_prob(value)

    ours = Doubled(0.0, 1.0)
    assert log_density(ours, torch.tensor(1.0)) == ours.log_prob(torch.tensor(1.0))


@pytest.mark.parametrize(
    ("transform", "value"),
    [
        (TanhTransform(), 1.0),
        (TanhTransform(), -1.0),
        (SigmoidTransform(), 1.0),
        (ExpTransform(), 0.0),
        (CumulativeDistributionTransform(Normal(0.0, 1.0)), 0.0),
        (CumulativeDistributionTransform(Normal(0.0, 1.0)), 1.0),
        (StickBreakingTransform(), [0.5, 0.5, 0.0]),
        (StickBreakingTransform(), [0.0, 0.0, 1.0]),
    ],
)
def test_an_end_that_only_infinite_numbers_reach_has_density_zero_and_a_finite_gradient(transform, value):
    base = Normal(0.0, 1.0) if isinstance(value, float) else Independent(Normal(torch.zeros(2), 1.0), 1)
    value = torch.tensor(value, requires_grad=True)
    log_p = log_density(TransformedDistribution(base, [transform]), value)
    assert log_p < -20  # torch's sigmoid stops a rounding before its ends
    (gradient,) = torch.autograd.grad(log_p, value, allow_unused=True)
    assert gradient is None or gradient.isfinite().all()


# What follows from it for models.


def test_an_impossible_component_does_not_explain_an_outlier():
    centres = torch.tensor([0.0, 1.0, 100.0])
    model = LatentVariableModel(Categorical(torch.tensor([0.5, 0.5, 0.0])), lambda z: Normal(centres[z], 1.0))
    x = torch.tensor(100.0)
    truth = torch.logaddexp(Normal(0.0, 1.0).log_prob(x), Normal(1.0, 1.0).log_prob(x)) - math.log(2)
    estimate = importance_sampling(model, Categorical(torch.ones(3)), x, 10_000, seed=0)
    assert abs(estimate.log_evidence - truth) < 0.1


def test_coins_that_cannot_fall_give_evidence_zero():
    probs = torch.zeros(2)
    model = LatentVariableModel(Categorical(torch.ones(2)), lambda z: Bernoulli(probs[z]))
    assert prior_monte_carlo(model, torch.tensor(1.0), 100, seed=0).log_evidence == -math.inf


@pytest.mark.parametrize(("a", "b"), [(1e6, 1e6), (1.0, 0.01), (1e-3, 3e-3)])
def test_a_beta_prior_of_any_size_gives_the_evidence(a, b):
    model, x = BetaBernoulli(a, b), torch.tensor(1.0)
    estimate = prior_monte_carlo(model, x, 100_000, seed=0)
    assert abs(estimate.log_evidence - math.log(a / (a + b))) < 5 * estimate.std_error + 1e-4
    posterior = importance_sampling(model, model.posterior(x), x, 1000, seed=0)
    assert abs(posterior.log_evidence - math.log(a / (a + b))) < 0.01


def test_a_q_over_many_categoricals_is_taken():
    prior = Independent(Categorical(torch.ones(24, 5)), 1)
    q = Independent(Categorical(torch.ones(24, 5) + 0.1 * torch.rand(24, 5)), 1)
    model = LatentVariableModel(prior, lambda z: Normal(z.float().mean(-1), 1.0))
    assert importance_sampling(model, q, torch.tensor(2.0), 1000, seed=0).log_evidence.isfinite()


@pytest.mark.parametrize(
    "pair",
    [
        lambda s: (Normal(torch.zeros(500), s), Normal(0.0, 1.0)),
        lambda s: (Gamma(s, s), Gamma(torch.ones(500), 1.0)),
        lambda s: (Beta(s, s), Beta(torch.ones(500), 1.0)),
        lambda s: (Poisson(s), Poisson(torch.ones(500))),
        lambda s: (Bernoulli(s / 2.1), Bernoulli(torch.ones(500) / 2.1)),
        lambda s: (Geometric(s / 2.1), Geometric(torch.ones(500) / 2.1)),
        lambda s: (Categorical(torch.stack([s, 2 - s], -1)), Categorical(torch.ones(500, 2))),
    ],
)
def test_a_divergence_between_near_neighbours_is_small_and_never_negative(pair):
    value = kl(*pair(torch.linspace(1.0, 1.001, 500)))
    assert (value >= 0).all()
    assert 0 < value[-1] < 1e-5


def test_the_divergence_of_large_betas_keeps_its_digits():
    single, double = (
        kl(Beta(torch.tensor(1e6, dtype=dtype), 1e6), Beta(torch.tensor(1.001e6, dtype=dtype), 1e6))
        for dtype in (torch.float32, torch.float64)
    )
    assert single.item() == pytest.approx(double.item(), rel=1e-5)
    assert double > 0.1


def test_relaxed_coins_are_compared_by_their_logits():
    cold = torch.tensor(0.05)
    q, p = (RelaxedBernoulli(cold, logits=torch.tensor(logit)) for logit in (-5.0, -4.0))
    estimate = kl(q, p, num_samples=10_000, seed=0)
    assert abs(estimate.value - 0.1606) < 5 * estimate.std_error


def test_draws_pushed_to_the_end_of_the_support_are_refused():
    squeezed = TransformedDistribution(Normal(torch.tensor(40.0), 1.0), [SigmoidTransform()])
    with pytest.raises(ValueError, match="expected draws of a continuous z that its dtype can tell apart"):
        kl(squeezed, Beta(torch.tensor(1.0), 1.0), num_samples=1000, seed=0)
