"""The claims of chapter 7, tried on random models, and with a hypothesis dropped."""

from __future__ import annotations

import itertools
import math

import models
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from lvmlib import FiniteModel, LinearGaussian, aggregate_posterior_split, kl, kl_decomposition

SEEDS = range(20)


def divergence(q: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """KL of two tables by its definition, with 0 log 0 = 0."""
    return (q * torch.where(q > 0, (q / p).log(), 0.0)).sum(-1)


@pytest.mark.vouches("thm-gibbs")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_divergence_of_tables_is_at_least_twice_the_squared_distance_and_zero_for_equal_ones(seed):
    q, p = models.table(4, seed=seed), models.table(4, seed=seed + 30)
    assert divergence(q, q).abs() < 1e-15
    assert divergence(q, p) >= 2 * (0.5 * (q - p).abs().sum()) ** 2 > 0
    q[seed % 4] = 0
    q /= q.sum()
    assert 0 < divergence(q, p) < torch.inf
    assert divergence(p, q) == torch.inf
    assert kl(Categorical(p), Categorical(q)) == torch.inf


@pytest.mark.vouches("thm-gibbs")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_divergence_of_gaussians_is_positive_unless_they_are_equal(seed):
    def gaussian(seed):
        factor = models.normals(3, 3, seed=seed)
        return MultivariateNormal(models.normals(3, seed=seed + 1), factor @ factor.T + 0.2 * torch.eye(3).double())

    q, p = gaussian(seed), gaussian(seed + 100)
    assert kl(q, p) > 0
    assert kl(q, q).abs() < 1e-10


@pytest.mark.vouches("thm-gibbs")
def test_without_a_normaliser_the_number_can_be_negative():
    q = models.table(4, seed=0)
    assert divergence(q, 2 * q) < -0.69


@pytest.mark.vouches("thm-kl-chain")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_five_lines_agree_on_random_tables(seed):
    model, q = models.finite(seed=seed), models.table(3, seed=seed + 30)
    for x in torch.arange(4):
        log_joint, log_p = model.log_joint_table(x), model.log_evidence(x)
        posterior = log_joint.softmax(-1)
        lines = (
            divergence(q, posterior),
            (q * (q.log() + log_p - log_joint)).sum(),
            (q * (log_p + (q.log() - log_joint))).sum(),
            log_p + (q * (q.log() - model.likelihood_table[:, x].log() - model.prior_table.log())).sum(),
            log_p + divergence(q, model.prior_table) - (q * model.likelihood_table[:, x].log()).sum(),
        )
        for line in lines:
            torch.testing.assert_close(line, lines[0], atol=1e-12, rtol=0)


@pytest.mark.vouches("thm-kl-chain")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_chain_holds_for_gaussian_models_with_every_term_by_its_own_formula(seed):
    model = models.linear_gaussian(seed=seed)
    x = model.sample(1, seed=seed)[0][0]
    factor = models.normals(2, 2, seed=seed + 5)
    q = MultivariateNormal(models.normals(2, seed=seed + 6), factor @ factor.T + 0.1 * torch.eye(2).double())
    spread = (model.weight @ q.covariance_matrix @ model.weight.T).diagonal() / model.noise_variance
    reconstruction = model.log_likelihood(x, q.mean) - 0.5 * spread.sum()
    chained = model.log_evidence(x) + kl(q, model.prior) - reconstruction
    torch.testing.assert_close(kl(q, model.posterior(x)), chained, atol=1e-9, rtol=1e-9)


@pytest.mark.vouches("thm-kl-chain")
def test_without_finite_terms_the_last_line_is_infinity_less_infinity():
    """A value of z that the prior excludes: the divergence from the posterior is infinite, the last line undefined."""
    prior = torch.tensor([0.5, 0.5, 0.0]).double()
    likelihood = torch.tensor([[0.5, 0.5], [0.2, 0.8], [0.0, 1.0]]).double()
    model, q = FiniteModel(prior, likelihood), models.table(3, seed=0)
    assert kl(Categorical(q), model.posterior(torch.tensor(0))) == torch.inf
    last = divergence(q, prior) - (q * likelihood[:, 0].log()).sum()
    assert last == torch.inf
    swapped = -divergence(q, prior) - (q * likelihood[:, 0].log()).sum()
    assert swapped.isnan()


@pytest.mark.vouches("cor-decomposition")
@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_evidence_is_elbo_plus_divergence_for_every_exact_model(name):
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(4, seed=2)
    terms = kl_decomposition(model, models.EXACT_GUIDES[name](), x)
    torch.testing.assert_close(terms.elbo + terms.kl, terms.log_evidence, atol=1e-8, rtol=1e-10)
    assert (terms.kl > 0).all()


@pytest.mark.vouches("prop-objective")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_bound_of_a_family_is_its_nearest_member_to_the_posterior(seed):
    model, x = models.finite(seed=seed), torch.tensor(seed % 4)
    family = Categorical(models.table(50, 3, seed=seed + 30))
    terms = kl_decomposition(model, family, x.expand(50))
    assert terms.elbo.argmax() == terms.kl.argmin()
    torch.testing.assert_close(terms.elbo.argsort(), terms.kl.argsort(descending=True))


def one_knob(theta: float) -> LinearGaussian:
    weight = theta * torch.ones(1, 2).double()
    return LinearGaussian(weight, torch.zeros(1).double(), torch.tensor(1.0).double())


def evidence_and_bound(theta: float, *, mean_field: bool) -> tuple[float, float]:
    """Mean log-evidence, and the best ELBO over Gaussians, of two observations of mean square nine."""
    model, x = one_knob(theta), torch.tensor([[3.0], [-3.0]]).double()
    posterior = model.posterior(x)
    precision = posterior.precision_matrix
    q = (
        Independent(Normal(posterior.mean, precision.diagonal(dim1=-2, dim2=-1).rsqrt()), 1)
        if mean_field
        else posterior
    )
    terms = kl_decomposition(model, q, x)
    return terms.log_evidence.mean().item(), terms.elbo.mean().item()


def best(which: int, *, mean_field: bool) -> float:
    found = scipy.optimize.minimize_scalar(
        lambda theta: -evidence_and_bound(theta, mean_field=mean_field)[which],
        bounds=(0.3, 4),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return found.x


@pytest.mark.vouches("prop-objective")
def test_a_family_that_holds_the_posterior_finds_the_model_of_largest_evidence():
    assert best(0, mean_field=False) == pytest.approx(2, abs=1e-4)
    assert best(1, mean_field=False) == pytest.approx(2, abs=1e-4)


@pytest.mark.vouches("prop-objective")
def test_a_family_that_does_not_finds_another_model_and_a_lower_maximum():
    stated = math.sqrt((5 + math.sqrt(153)) / 8)
    biased = best(1, mean_field=True)
    assert biased == pytest.approx(stated, abs=1e-4)
    assert biased < best(0, mean_field=True) - 0.5
    assert evidence_and_bound(biased, mean_field=True)[1] < evidence_and_bound(2.0, mean_field=True)[0]


@pytest.mark.vouches("prop-objective")
def test_the_factorised_gaussian_of_the_example_is_the_best_one():
    """The example's q has the conditional variances; no other mean or scales give a higher bound."""
    model, x = one_knob(1.7), torch.tensor([3.0]).double()
    posterior = model.posterior(x)
    scale = posterior.precision_matrix.diagonal().rsqrt()
    highest = kl_decomposition(model, Independent(Normal(posterior.mean, scale), 1), x).elbo
    for shift, first, second in itertools.product((-0.1, 0.0, 0.1), (0.8, 1.0, 1.2), (0.8, 1.0, 1.2)):
        if (shift, first, second) != (0.0, 1.0, 1.0):
            q = Independent(Normal(posterior.mean + shift, scale * torch.tensor([first, second]).double()), 1)
            assert kl_decomposition(model, q, x).elbo < highest - 1e-4


# A density with two modes, as a mixture of normals.
SHARES, CENTRES, SCALES = np.array([0.35, 0.65]), np.array([-1.5, 1.0]), np.array([0.4, 0.6])
MEAN = float((SHARES * CENTRES).sum())
SPREAD = math.sqrt(float((SHARES * (SCALES**2 + CENTRES**2)).sum()) - MEAN**2)


def forward(mean: float, scale: float) -> float:
    """The divergence of the two-mode density from a normal one, by quadrature."""

    def integrand(z):
        density = float((SHARES * scipy.stats.norm.pdf(z, CENTRES, SCALES)).sum())
        return density * (math.log(density) - scipy.stats.norm.logpdf(z, mean, scale))

    return sum(scipy.integrate.quad(integrand, a, a + 1, epsabs=1e-12)[0] for a in range(-7, 7))


@pytest.mark.vouches("thm-moments")
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (1.0, 0.6), (-1.5, 2.5), (MEAN, 0.5), (0.7, SPREAD)])
def test_the_forward_divergence_is_that_of_the_matching_normal_plus_the_rest(mean, scale):
    matched, other = (Normal(torch.tensor(m).double(), s) for m, s in ((MEAN, SPREAD), (mean, scale)))
    rest = kl(matched, other).item()
    assert forward(mean, scale) == pytest.approx(forward(MEAN, SPREAD) + rest, abs=1e-7)
    assert rest > 0


@pytest.mark.vouches("thm-moments")
def test_the_search_for_the_smallest_forward_divergence_ends_at_the_moments():
    found = scipy.optimize.minimize(lambda t: forward(t[0], math.exp(t[1])), x0=[1.0, -0.5], tol=1e-8)
    assert found.x[0] == pytest.approx(MEAN, abs=1e-4)
    assert math.exp(found.x[1]) == pytest.approx(SPREAD, abs=1e-4)


@pytest.mark.vouches("thm-moments")
def test_in_two_dimensions_the_covariance_is_matched_as_well():
    """Weighted points stand for p: the part of the forward divergence that depends on q is an average over them."""
    points, shares = models.normals(40, 2, seed=0) @ models.normals(2, 2, seed=1), models.table(40, seed=2)
    mean = (shares[:, None] * points).sum(0)
    covariance = (shares[:, None, None] * (points - mean)[..., None] * (points - mean)[:, None]).sum(0)
    matched = MultivariateNormal(mean, covariance)

    def cross_entropy(q):
        return -(shares * q.log_prob(points)).sum()

    for seed in SEEDS:
        factor = models.normals(2, 2, seed=seed)
        q = MultivariateNormal(models.normals(2, seed=seed + 1), factor @ factor.T + 0.3 * torch.eye(2).double())
        torch.testing.assert_close(cross_entropy(q) - cross_entropy(matched), kl(matched, q), atol=1e-9, rtol=1e-9)


@pytest.mark.vouches("thm-moments")
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_without_a_variance_the_forward_divergence_from_every_normal_is_infinite(scale):
    """The integral of a Cauchy against a normal grows in proportion to the interval, in the end."""

    def integrand(z):
        return scipy.stats.cauchy.pdf(z) * (scipy.stats.cauchy.logpdf(z) - scipy.stats.norm.logpdf(z, 0, scale))

    reach = 1e3 * scale
    parts = [scipy.integrate.quad(integrand, reach * 2**k, reach * 2 ** (k + 1))[0] for k in range(4)]
    assert all(1.9 < later / earlier < 2.1 for earlier, later in itertools.pairwise(parts))
    assert parts[0] > 1


@pytest.mark.vouches("prop-gaussian-kl")
@pytest.mark.parametrize(("m", "s", "n", "t"), [(0.0, 1.0, 0.0, 1.0), (0.8, 0.3, 0.0, 1.0), (-1.0, 2.0, 0.5, 0.7)])
def test_the_formula_for_two_normals_is_their_integral(m, s, n, t):
    stated = math.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5

    def integrand(z):
        log_q, log_p = scipy.stats.norm.logpdf(z, m, s), scipy.stats.norm.logpdf(z, n, t)
        return math.exp(log_q) * (log_q - log_p)

    expected, _ = scipy.integrate.quad(integrand, m - 12 * s, m + 12 * s, epsabs=1e-12)
    assert stated == pytest.approx(expected, abs=1e-8)
    q, p = (Normal(torch.tensor(loc).double(), scale) for loc, scale in ((m, s), (n, t)))
    assert kl(q, p).item() == pytest.approx(stated, abs=1e-7)


@pytest.mark.vouches("prop-gaussian-kl")
def test_the_formula_for_many_coordinates_is_that_of_full_gaussians():
    m, s = models.normals(6, seed=0), models.normals(6, seed=1).exp()
    stated = 0.5 * (m**2 + s**2 - 1 - (s**2).log()).sum()
    standard = MultivariateNormal(torch.zeros(6).double(), torch.eye(6).double())
    torch.testing.assert_close(kl(MultivariateNormal(m, (s**2).diag()), standard), stated)


@pytest.mark.vouches("thm-aggregate")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_average_divergence_is_information_plus_that_of_the_aggregate(seed):
    num_x = 1 + seed % 6
    q, prior = models.table(num_x, 4, seed=seed), models.table(4, seed=seed + 30)
    aggregate = q.mean(0)
    information = divergence(q, aggregate).mean()
    whole, rest = divergence(q, prior).mean(), divergence(aggregate, prior)
    torch.testing.assert_close(whole, information + rest, atol=1e-12, rtol=0)
    # The mutual information of n and z, from their joint table.
    joint = q / num_x
    mutual = (joint * (joint / (joint.sum(0) * joint.sum(1, keepdim=True))).log()).sum()
    torch.testing.assert_close(information, mutual, atol=1e-12, rtol=0)
    assert -1e-12 < information <= math.log(num_x) + 1e-12
    split = aggregate_posterior_split(Categorical(q), Categorical(prior), torch.zeros(num_x))
    for part, value in zip(split, (whole, information, rest), strict=True):
        torch.testing.assert_close(part, value, atol=1e-12, rtol=0)


@pytest.mark.vouches("thm-aggregate")
def test_the_information_reaches_its_ceiling_exactly_when_the_codes_do_not_overlap():
    split = aggregate_posterior_split(
        Categorical(torch.eye(5).double()), Categorical(models.table(5, seed=0)), torch.zeros(5)
    )
    assert split.mutual_information.item() == pytest.approx(math.log(5), abs=1e-12)


@pytest.mark.vouches("thm-aggregate")
def test_the_split_holds_for_gaussian_guides_with_the_aggregate_by_quadrature():
    model = models.linear_gaussian(seed=1, observed=3, latent=1)
    x = model.sample(8, seed=0)[0]
    posterior = model.posterior(x)
    means, scale = posterior.mean[:, 0].cpu().numpy(), posterior.stddev[0, 0].item()

    def integrand(z):
        density = scipy.stats.norm.pdf(z, means, scale).mean()
        return density * (math.log(density) - scipy.stats.norm.logpdf(z)) if density > 0 else 0.0

    rest = sum(scipy.integrate.quad(integrand, a / 2, (a + 1) / 2, epsabs=1e-11)[0] for a in range(-16, 16))
    split = aggregate_posterior_split(model.posterior, model.prior, x, 5000, seed=0)
    whole = kl(posterior, model.prior).mean().item()
    assert abs(split.marginal_kl.value.item() - rest) < 5 * split.marginal_kl.std_error
    assert abs(split.mutual_information.value.item() - (whole - rest)) < 5 * split.mutual_information.std_error
