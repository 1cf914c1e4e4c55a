"""Densities, divergences and entropies at sizes at which torch's formulas lose their digits; supports that torch gets
wrong. Exact values are taken with sixty digits."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from mpmath import loggamma
from torch.distributions import (
    AffineTransform,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    Chi2,
    Dirichlet,
    FisherSnedecor,
    Gamma,
    HalfCauchy,
    Independent,
    InverseGamma,
    Kumaraswamy,
    LKJCholesky,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    SigmoidTransform,
    StudentT,
    TransformedDistribution,
    Uniform,
    VonMises,
    Wishart,
)

from lvmlib import (
    BetaBernoulli,
    LatentVariableModel,
    MeanFieldGuide,
    QuadratureModel,
    chi_square,
    defensive_mixture,
    elbo,
    importance_sampling,
    kl,
    kl_decomposition,
    prior_monte_carlo,
)
from lvmlib._draws import draw
from lvmlib.density import log_density


@pytest.fixture(autouse=True)
def _sixty_digits():
    with mpmath.workdps(60):
        yield


def log_mean_of_beta(a, b):
    return loggamma(a) + loggamma(b) - loggamma(a + b)


EXACT = {
    "poisson": (Poisson, lambda x, r: x * mpmath.log(r) - r - loggamma(x + 1)),
    "gamma": (Gamma, lambda x, a, b: a * mpmath.log(b) + (a - 1) * mpmath.log(x) - b * x - loggamma(a)),
    "chi2": (Chi2, lambda x, k: (k / 2 - 1) * mpmath.log(x) - x / 2 - k / 2 * mpmath.log(2) - loggamma(k / 2)),
    "inverse gamma": (InverseGamma, lambda x, a, b: a * mpmath.log(b) - loggamma(a) - (a + 1) * mpmath.log(x) - b / x),
    "beta": (Beta, lambda x, a, b: (a - 1) * mpmath.log(x) + (b - 1) * mpmath.log(1 - x) - log_mean_of_beta(a, b)),
    "binomial": (
        lambda n, p: Binomial(n, p),
        lambda k, n, p: (
            loggamma(n + 1) - loggamma(k + 1) - loggamma(n - k + 1) + k * mpmath.log(p) + (n - k) * mpmath.log(1 - p)
        ),
    ),
    "negative binomial": (
        lambda n, p: NegativeBinomial(n, p),
        lambda k, n, p: loggamma(n + k) - loggamma(k + 1) - loggamma(n) + k * mpmath.log(p) + n * mpmath.log(1 - p),
    ),
    "student": (
        StudentT,
        lambda x, v: (
            loggamma((v + 1) / 2) - loggamma(v / 2) - mpmath.log(v * mpmath.pi) / 2
            - (v + 1) / 2 * mpmath.log(1 + x * x / v)
        ),
    ),
    "fisher": (
        FisherSnedecor,
        lambda x, a, b: (
            a / 2 * mpmath.log(a / b) + (a / 2 - 1) * mpmath.log(x) - (a + b) / 2 * mpmath.log(1 + a / b * x)
            - log_mean_of_beta(a / 2, b / 2)
        ),
    ),
    "von mises": (
        lambda k: VonMises(torch.zeros_like(k), k),
        lambda x, k: k * mpmath.cos(x) - mpmath.log(2 * mpmath.pi) - mpmath.log(mpmath.besseli(0, k)),
    ),
    "half-cauchy": (HalfCauchy, lambda x, s: mpmath.log(2 / (mpmath.pi * s)) - mpmath.log(1 + (x / s) ** 2)),
    "cauchy": (
        lambda s: Cauchy(torch.zeros_like(s), s),
        lambda x, s: -mpmath.log(mpmath.pi * s) - mpmath.log(1 + (x / s) ** 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-9), (torch.float32, 3e-6)])
@pytest.mark.parametrize(
    ("family", "parameters", "value"),
    [
        ("poisson", [1e15], 1e15),
        ("poisson", [1e7], 1.0001e7),
        ("poisson", [1e-20], 3.0),
        ("gamma", [1e15, 1e3], 1e12),
        ("gamma", [1e-3, 1.0], 1e-30),
        ("chi2", [1e12], 1e12),
        ("inverse gamma", [1e12, 1e12], 1.0),
        ("beta", [1e15, 1e15], 0.5),
        ("beta", [2.0, 1e10], 1e-10),
        ("binomial", [1e15, 0.3], 3e14),
        ("binomial", [1e9, 1e-9], 1.0),
        ("negative binomial", [1e12, 0.5], 1e12),
        ("negative binomial", [1e15, 1e-15], 1.0),
        ("student", [1e15], 3.0),
        ("student", [0.01], 1e30),
        ("fisher", [1e12, 1e12], 1.0),
        ("fisher", [3.0, 4.0], 2.0),
        ("von mises", [1e6], 1e-3),
        ("von mises", [50.0], 3.0),
        ("half-cauchy", [1.0], 1e25),
        ("cauchy", [1e-25], 1.0),
    ],
)
def test_a_density_keeps_its_digits_at_any_size(family, parameters, value, dtype, precision):
    make, exact = EXACT[family]
    given, x = [torch.tensor(p, dtype=dtype) for p in parameters], torch.tensor(value, dtype=dtype)
    expected = exact(mpmath.mpf(x.item()), *(mpmath.mpf(p.item()) for p in given))
    assert log_density(make(*given), x).item() == pytest.approx(float(expected), rel=precision, abs=precision)


def test_tables_of_many_counts_keep_their_digits():
    counts = torch.tensor([2e12, 3e12, 0.0], dtype=torch.float64)
    probs = torch.tensor([0.4, 0.6, 1e-30], dtype=torch.float64)
    first = log_density(Binomial(5_000_000_000_000, probs[0]), counts[0]).item()
    assert log_density(Multinomial(5_000_000_000_000, probs), counts).item() == pytest.approx(first)
    a = torch.tensor([1e12, 1e12])
    expected = log_density(Beta(a[0].double(), a[1].double()), torch.tensor(0.5).double()).item()
    assert log_density(Dirichlet(a), torch.tensor([0.5, 0.5])).item() == pytest.approx(expected, rel=1e-6)


def test_matrices_keep_their_digits():
    torch.manual_seed(0)
    parts = torch.zeros(20), 100 * torch.randn(20, 2), torch.full((20,), 1e-4)
    low_rank = LowRankMultivariateNormal(*parts)
    x = low_rank.sample()
    exact = LowRankMultivariateNormal(*(part.double() for part in parts)).log_prob(x.double())
    assert log_density(low_rank, x).item() == pytest.approx(exact.item(), rel=1e-5)
    df, scale = torch.tensor(1e6), 1e-3 * torch.eye(2)
    exact = Wishart(df.double(), scale_tril=scale.double()).log_prob(torch.eye(2).double())
    assert log_density(Wishart(df, scale_tril=scale), torch.eye(2)).item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize(("value", "expected"), [(0.0, math.log(6)), (1.0, -math.inf), (1.5, -math.inf)])
def test_the_ends_of_a_kumaraswamy(value, expected):
    assert log_density(Kumaraswamy(1.0, 6.0), torch.tensor(value)).item() == pytest.approx(expected)


@pytest.mark.parametrize("make", [Beta, Kumaraswamy, Gamma], ids=lambda family: family.__name__)
def test_gradients_are_finite_at_the_ends(make):
    size = torch.tensor(1.5, requires_grad=True)
    density = log_density(make(size, size), torch.tensor([0.0, 0.5, 1.0]))
    torch.where(density.isfinite(), density, 0.0).sum().backward()
    assert size.grad.isfinite()


@pytest.mark.skipif(not hasattr(torch.distributions, "GeneralizedPareto"), reason="this torch has none")
@pytest.mark.parametrize(("shape", "at_two"), [(0.3, -13 / 3 * math.log(1.6)), (0.0, -2.0), (-0.25, -3 * math.log(2))])
def test_a_generalized_pareto_in_either_dtype(shape, at_two):
    for dtype in (torch.float32, torch.float64):
        zero, one, k = (torch.tensor(v, dtype=dtype) for v in (0.0, 1.0, shape))
        pareto = torch.distributions.GeneralizedPareto(zero, one, k)
        values = log_density(pareto, torch.tensor([2.0, -1.0, 5.0], dtype=dtype))
        assert values[0].item() == pytest.approx(at_two, rel=1e-6)
        assert values[1] == -torch.inf
        assert (values[2] == -torch.inf) == (shape < -0.2)


PRIORS = {
    "mixture of betas": MixtureSameFamily(
        Categorical(torch.ones(2)), Beta(torch.tensor([2.0, 5.0]), torch.tensor([5.0, 2.0]))
    ),
    "mixture of uniforms": MixtureSameFamily(
        Categorical(torch.ones(2)), Uniform(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0]))
    ),
    "stretched sigmoid": TransformedDistribution(
        Normal(0.0, 1.0), [SigmoidTransform(), AffineTransform(-1.0, 3.0)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_that_is_zero_in_places_gives_the_evidence(name):
    prior, x = PRIORS[name], torch.tensor([0.3, 0.7])
    model = LatentVariableModel(prior, lambda z: Normal(z, 0.5))
    assert model.log_joint(x[0], torch.tensor(3.5)) == -torch.inf
    one = prior_monte_carlo(model, x, 20_000, seed=0)
    two = importance_sampling(model, Normal(1.0, 1.5), x, 20_000, seed=0)
    assert ((one.log_evidence - two.log_evidence).abs() < 5 * (one.std_error + two.std_error)).all()
    integrated = QuadratureModel(prior, lambda z: Normal(z, 0.5), lower=-1.5, upper=3.5, num_points=2000)
    assert ((one.log_evidence - integrated.log_evidence(x)).abs() < 5 * one.std_error + 1e-2).all()


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_draws_of_a_correlation_matrix_are_from_its_density(dim):
    torch.manual_seed(0)
    target, proposal = LKJCholesky(dim, 1.5), LKJCholesky(dim, 1.0)
    weights = (log_density(target, (z := draw(proposal, 20_000))) - log_density(proposal, z)).exp()
    assert abs(weights.mean() - 1) < 5 * weights.std() / 20_000**0.5
    assert log_density(target, 2 * torch.eye(dim)) == -torch.inf
    model = LatentVariableModel(target, lambda z: Normal(z[..., 1, 0], 0.5))
    estimate = importance_sampling(model, proposal, torch.tensor([0.1]), 1000, seed=0)
    assert estimate.believable.all()


@pytest.mark.parametrize(
    ("q", "p", "expected"),
    [
        (Normal(0.0, 1e-30), Normal(0.0, 1.0), 30 * math.log(10) - 0.5),
        (Normal(0.0, 1.0), Normal(0.0, 1e20), 20 * math.log(10) - 0.5),
        (Poisson(1.0), Poisson(1e-20), 20 * math.log(10) - 1),
        (Poisson(0.0), Poisson(2.0), 2.0),
    ],
    ids=str,
)
def test_a_divergence_of_very_different_sizes_is_finite(q, p, expected):
    assert kl(q, p).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [3.0, 1e7, 1e12])
def test_divergences_of_large_counts_keep_their_digits(size):
    other = size * (1 + 1e-5)
    digamma, n, m = mpmath.digamma, mpmath.mpf(size), mpmath.mpf(other)
    gamma = (n - m) * digamma(n) - loggamma(n) + loggamma(m)
    beta = log_mean_of_beta(m, m) - log_mean_of_beta(n, n) + 2 * (n - m) * (digamma(n) - digamma(2 * n))
    one = torch.ones((), dtype=torch.float64)
    assert kl(Gamma(size * one, one), Gamma(other * one, one)).item() == pytest.approx(float(gamma), rel=1e-4)
    assert kl(Beta(size * one, size * one), Beta(other * one, other * one)).item() == pytest.approx(
        float(beta), rel=1e-4
    )


def test_the_entropy_form_keeps_its_digits():
    model, q = BetaBernoulli(1e6, 1e6), Beta(torch.tensor(1e6), torch.tensor(1e6))
    exact, bound, gap = kl_decomposition(model, q, torch.tensor([0.0, 1.0]))
    assert torch.allclose(bound + gap, exact, atol=1e-5)
    wide = LatentVariableModel(Gamma(1e6, 1e6), lambda z: Normal(z, 1.0))
    same = Gamma(torch.tensor(1e6), torch.tensor(1e6))
    forms = [elbo(wide, same, torch.ones(1), 2000, form=form) for form in ("joint", "entropy")]
    assert abs(forms[0] - forms[1]) < 0.1


def test_chi_square_sees_mass_that_q_misses():
    estimate = chi_square(Normal(0.0, 1.0), Uniform(-1.0, 1.0), num_samples=1000, seed=0)
    assert estimate.value == estimate.std_error == torch.inf
    assert chi_square(Uniform(-1.0, 1.0), Normal(0.0, 1.0), num_samples=1000, seed=0).value.isfinite()


def test_a_probability_and_a_density_are_not_compared():
    with pytest.raises(TypeError, match=r"q is Poisson.*expected both discrete or both continuous"):
        kl(Poisson(3.0), Normal(3.0, 2.0), num_samples=100)


def test_the_divergence_of_wide_guides_needs_no_matrix():
    guide = MeanFieldGuide(20_000, (4,))  # a matrix for each would take 13 GB
    assert torch.equal(kl(guide(), Independent(Normal(torch.zeros(20_000), 1.0), 1)), torch.zeros(4))


def test_a_defensive_mixture_draws_inside_the_support():
    torch.manual_seed(0)
    mixed = defensive_mixture(Beta(torch.tensor(1e-3), torch.tensor(1e-3)), Beta(1.0, 1.0), weight=0.1)
    assert log_density(mixed, mixed.sample((1000,))).isfinite().all()
