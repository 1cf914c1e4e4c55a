"""Quadrature is right for every x, or says that it is not."""

from __future__ import annotations

import math

import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import nn
from torch.distributions import (
    Bernoulli,
    Beta,
    Cauchy,
    Exponential,
    Gamma,
    GeneralizedPareto,
    HalfCauchy,
    HalfNormal,
    Independent,
    InverseGamma,
    Laplace,
    LogNormal,
    Normal,
    Pareto,
    StudentT,
    Uniform,
    VonMises,
)

from lvmlib import QuadratureModel

DOUBLE = torch.float64
STANDARD = Normal(torch.zeros((), dtype=DOUBLE), 1.0)
PLANE = Independent(Normal(torch.zeros(2, dtype=DOUBLE), 1.0), 1)


def double(*values):
    return torch.tensor(values, dtype=DOUBLE)


def assert_exact(value, expected, precision=1e-8):
    torch.testing.assert_close(value, expected, atol=precision, rtol=precision)


@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("num_points", [20, 1000])
def test_a_posterior_between_two_nodes_is_found(noise, num_points):
    model = QuadratureModel(STANDARD, lambda z: Normal(z, noise), num_points=num_points)
    x = double(0.305, -2.71, 4.0)
    exact = Normal(double(0.0), math.sqrt(1 + noise**2)).log_prob(x)
    assert_exact(model.log_evidence(x), exact)
    posterior = model.posterior(x)
    assert_exact(posterior.mean, x / (1 + noise**2))
    assert_exact(posterior.variance.sqrt(), torch.full_like(x, noise / math.sqrt(1 + noise**2)), 1e-6)
    entropy = 0.5 * math.log(2 * math.pi * math.e * noise**2 / (1 + noise**2))
    assert_exact(posterior.entropy(), torch.full_like(x, entropy), 1e-6)


def test_of_two_narrow_peaks_neither_is_missed():
    noise = 1e-5
    model = QuadratureModel(STANDARD, lambda z: Normal(z.abs(), noise))
    x = double(0.305, 1.7)
    assert_exact(model.log_evidence(x), math.log(2) + STANDARD.log_prob(x), 1e-6)


@pytest.mark.parametrize("place", [12.0, 30.0, -300.0, 3e4])
def test_a_posterior_outside_the_box_is_found(place):
    model = QuadratureModel(STANDARD, lambda z: Normal(z, 0.1))
    x = double(place)
    assert_exact(model.log_evidence(x), Normal(double(0.0), math.sqrt(1.01)).log_prob(x))
    assert_exact(model.posterior(x).mean, x / 1.01)


def test_in_the_plane_too():
    model = QuadratureModel(PLANE, lambda z: Independent(Normal(z, 0.01), 1))
    x = double([0.3, -1.2], [40.0, 20.0])
    exact = Independent(Normal(torch.zeros(2, dtype=DOUBLE), math.sqrt(1 + 1e-4)), 1).log_prob(x)
    assert_exact(model.log_evidence(x), exact)


def test_a_batch_is_what_its_rows_are():
    model = QuadratureModel(STANDARD, lambda z: Normal(z.abs(), 0.01))
    x = double(0.3, 25.0, 2.0)
    together = model.log_evidence(x)
    assert_exact(together, torch.cat([model.log_evidence(row[None]) for row in x]), 1e-9)


@pytest.mark.parametrize("noise", [0.3, 0.03])
@pytest.mark.parametrize("x", [-1.0, 0.05, 0.5, 2.0])
def test_the_kink_of_a_length_at_the_origin_is_resolved(noise, x):
    model = QuadratureModel(PLANE, lambda z: Normal(z.square().sum(-1).sqrt(), noise))

    def joint(r):
        return r * math.exp(-r * r / 2) * scipy.stats.norm.pdf(x, r, noise)

    points = [point for point in (noise, x, x + noise) if point > 0]
    evidence, _ = scipy.integrate.quad(joint, 0, max(x, 0) + 12 * noise, epsabs=0, epsrel=1e-12, points=points)
    assert_exact(model.log_evidence(double(x)), double(math.log(evidence)))


@pytest.mark.parametrize(
    "prior",
    [
        Laplace(double(0.0)[0], 1.0),
        Exponential(double(1.0)[0]),
        LogNormal(double(0.0)[0], 1.0),
        Gamma(double(0.5)[0], 1.0),
        Beta(double(2.0)[0], 3.0),
        Uniform(double(-3.0)[0], 4.0),
        StudentT(double(3.0)[0]),
        Pareto(double(1.0)[0], 3.0),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_priors_with_an_end_a_kink_or_a_long_tail(prior):
    model = QuadratureModel(prior, lambda z: Normal(z, 0.5))
    x = double(0.3, 1.5)
    low = {"Exponential": 0, "LogNormal": 0, "Gamma": 0, "Beta": 0, "Uniform": -3, "Pareto": 1}
    high = {"Beta": 1, "Uniform": 4}
    name = type(prior).__name__
    for value, log_evidence in zip(x, model.log_evidence(x), strict=True):

        def joint(z, value=value):
            z = double(z)
            return (prior.log_prob(z) + Normal(z, 0.5).log_prob(value)).exp().item()

        ends = (low.get(name, -9) + 1e-300, high.get(name, 12))
        evidence, _ = scipy.integrate.quad(joint, *ends, epsrel=1e-11, limit=400, points=[0.0] if ends[0] < 0 else None)
        assert log_evidence.item() == pytest.approx(math.log(evidence), abs=1e-7)


def test_steps_are_resolved():
    model = QuadratureModel(Uniform(double(0.0)[0], 1.0), lambda z: Uniform(z, z + 0.1))
    assert_exact(model.log_evidence(double(0.05, 0.5, 1.05)).exp(), double(0.5, 1.0, 0.5))


HEAVY = {
    "HalfCauchy": (HalfCauchy(double(1.0)[0]), scipy.stats.halfcauchy()),
    "InverseGamma(2, 3)": (InverseGamma(double(2.0)[0], double(3.0)[0]), scipy.stats.invgamma(2.0, scale=3.0)),
    "Pareto(1, 1)": (Pareto(double(1.0)[0], double(1.0)[0]), scipy.stats.pareto(1.0)),
    "GeneralizedPareto": (GeneralizedPareto(*double(0.0, 1.0, 1.0)), scipy.stats.genpareto(1.0)),
}
OVER_ALL_REALS = {
    "StudentT(1)": (StudentT(double(1.0)[0]), scipy.stats.t(1.0), "mean"),
    "StudentT(1.5)": (StudentT(double(1.5)[0]), scipy.stats.t(1.5), "variance"),
    "StudentT(2)": (StudentT(double(2.0)[0]), scipy.stats.t(2.0), "variance"),
    "Cauchy": (Cauchy(double(0.0)[0], 1.0), scipy.stats.cauchy(), "mean"),
}


def assert_integrated(model, peer, x):
    ends = (max(peer.support()[0], x - 8), x + 8)
    evidence, _ = scipy.integrate.quad(lambda z: peer.pdf(z) * scipy.stats.norm.pdf(x, z, 0.5), *ends, epsrel=1e-11)
    assert model.log_evidence(double(x)).item() == pytest.approx(math.log(evidence), abs=1e-8)


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.parametrize("x", [0.5, 8.0])
def test_a_prior_without_a_variance_is_integrated_in_a_box_that_grows_from_the_end_of_its_support(name, x):
    prior, peer = HEAVY[name]
    assert_integrated(QuadratureModel(prior, lambda z: Normal(z, 0.5)), peer, x)


@pytest.mark.parametrize("name", OVER_ALL_REALS)
def test_a_prior_over_all_reals_without_a_variance_wants_a_box(name):
    prior, peer, missing = OVER_ALL_REALS[name]
    with pytest.raises(ValueError, match=rf"no finite {missing} .* give lower and upper so far out"):
        QuadratureModel(prior, lambda z: Normal(z, 0.5))
    with pytest.raises(ValueError, match=rf"no finite {missing} .* give upper so far out"):
        QuadratureModel(prior, lambda z: Normal(z, 0.5), lower=-1e7)
    model = QuadratureModel(prior, lambda z: Normal(z, 0.5), lower=-1e7, upper=1e7)
    for x in (0.5, 8.0):
        assert_integrated(model, peer, x)


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (1.0, 1.0), (5.0, 0.2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_variance_with_an_inverse_gamma_prior_gives_a_student_t(a, b, dtype):
    """The joint falls like exp(-1/z) to zero, which no polynomial follows."""
    prior = InverseGamma(torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype))
    model = QuadratureModel(prior, lambda z: Normal(0 * z, z.sqrt()))
    x = torch.tensor([0.0, 1.0, -20.0], dtype=dtype)
    peer = scipy.stats.t(2 * a, scale=math.sqrt(b / a)).logpdf(x.numpy())
    assert model.log_evidence(x).tolist() == pytest.approx(peer.tolist(), abs=1e-7 if dtype == torch.float64 else 2e-3)


@pytest.mark.parametrize("prior", [HalfNormal(double(1.0)[0]), HalfCauchy(double(1.0)[0]), Gamma(*double(2.0, 1.0))])
def test_a_scale_with_a_prior_down_to_zero_is_integrated(prior):
    model = QuadratureModel(prior, lambda z: Normal(0 * z, z))
    for x in (1.0, -2.0):

        def joint(log_z, x=x):
            z = double(math.exp(log_z))[0]
            return (prior.log_prob(z) + Normal(0.0, z).log_prob(double(x)[0]) + log_z).exp().item()

        evidence, _ = scipy.integrate.quad(joint, -4.0, 25.0, epsrel=1e-11, limit=400)
        assert model.log_evidence(double(x)).item() == pytest.approx(math.log(evidence), abs=1e-8)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (InverseGamma(torch.tensor(0.01), torch.tensor(0.01)), "has no end"),
        (Gamma(torch.tensor(0.1), torch.tensor(1.0)), "of its mass"),
        (Beta(torch.tensor(0.5), torch.tensor(0.5)), "of its mass"),
        (Beta(*double(0.5, 0.5)), "infinite"),
    ],
)
def test_a_prior_that_no_grid_holds_is_refused_with_another_z_to_take(prior, said):
    with pytest.raises(
        ValueError, match=rf"prior is {type(prior).__name__}.*{said}.*take another z.*logarithm"
    ) as error:
        QuadratureModel(prior, lambda z: Normal(z, 1.0))
    assert "widen" not in str(error.value)
    assert "nan" not in str(error.value)


def test_an_angle_is_integrated_once_around():
    model = QuadratureModel(VonMises(*double(0.0, 2.0)), lambda z: Normal(z, 1.0))
    evidence, _ = scipy.integrate.quad(
        lambda z: scipy.stats.vonmises.pdf(z, 2.0) * scipy.stats.norm.pdf(0.7, z), -math.pi, math.pi, epsrel=1e-11
    )
    assert model.log_evidence(double(0.7)).item() == pytest.approx(math.log(evidence), abs=1e-8)


def test_in_a_box_a_long_tail_is_integrated():
    model = QuadratureModel(Cauchy(double(0.0)[0], 1.0), lambda z: Normal(z, 0.5), lower=-1e7, upper=1e7)
    for x in (0.3, 50.0):
        evidence, _ = scipy.integrate.quad(
            lambda z, x=x: scipy.stats.cauchy.pdf(z) * scipy.stats.norm.pdf(x, z, 0.5), x - 8, x + 8, epsrel=1e-11
        )
        assert model.log_evidence(double(x)).item() == pytest.approx(math.log(evidence), abs=1e-8)


def test_mass_at_an_end_that_was_given_is_an_error():
    model = QuadratureModel(STANDARD, lambda z: Normal(z, 0.1), lower=-10.0, upper=10.0)
    with pytest.raises(ValueError, match=r"x is 30 at index 1.*end 10.*expected.*widen lower and upper"):
        model.log_evidence(double(0.0, 30.0))
    tail = QuadratureModel(Cauchy(double(0.0)[0], 1.0), lambda z: Bernoulli(logits=z), lower=-1e7, upper=1e7)
    with pytest.raises(ValueError, match=r"x is 1 at index 0.*end"):
        tail.log_evidence(double(1.0))


@pytest.mark.parametrize("x", [0.5, 5.0])
def test_an_evidence_of_zero_at_every_node_is_an_error(x):
    """Either x is impossible or every node has missed where it is not: the grid cannot know."""
    model = QuadratureModel(Uniform(double(0.0)[0], 1.0), lambda z: Uniform(z, z + 1e-5))
    with pytest.raises(ValueError, match=rf"x is {x:g} at index 0.*zero at every node.*expected"):
        model.log_evidence(double(x))


@pytest.mark.parametrize("noise", [1e-5, 1e-6, 1e-7])
def test_what_float32_cannot_resolve_is_an_error(noise):
    model = QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, noise))
    with pytest.raises(ValueError, match=r"x is 30 at index 0.*float32 does not tell.*use float64"):
        model.log_evidence(torch.tensor([30.0]))


@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-3])
def test_float32_is_right_to_its_tolerance(noise):
    model = QuadratureModel(Normal(0.0, 1.0), lambda z: Normal(z, noise))
    x = torch.tensor([0.305, -3.0])
    assert_exact(model.log_evidence(x), Normal(0.0, math.sqrt(1 + noise**2)).log_prob(x), 1e-3)


class MovingPrior(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros((), dtype=DOUBLE))
        self.log_scale = nn.Parameter(torch.zeros((), dtype=DOUBLE))

    def forward(self):
        return Normal(self.loc, self.log_scale.exp())


def test_a_prior_that_moves_is_followed_and_learnt():
    prior = MovingPrior()
    model = QuadratureModel(prior, lambda z: Normal(z, 0.5))
    x = double(2.0)
    for loc, log_scale in ((0.0, 0.0), (500.0, 0.0), (-3.0, -9.0), (0.0, 5.0)):
        with torch.no_grad():
            prior.loc.fill_(loc)
            prior.log_scale.fill_(log_scale)
        exact = Normal(prior.loc, (prior.log_scale.mul(2).exp() + 0.25).sqrt()).log_prob(x).sum()
        value = model.log_evidence(x).sum()
        assert_exact(value, exact)
        gradients = torch.autograd.grad(value, list(prior.parameters()))
        expected = torch.autograd.grad(exact, list(prior.parameters()))
        for gradient, other in zip(gradients, expected, strict=True):
            assert_exact(gradient, other, 1e-7)


def test_no_observation_gives_no_number():
    model = QuadratureModel(PLANE, lambda z: Independent(Bernoulli(logits=z), 1))
    none = torch.zeros(0, 2, dtype=DOUBLE)
    assert model.log_evidence(none).shape == (0,)
    posterior = model.posterior(none)
    assert posterior.mean.shape == (0, 2)
    assert posterior.entropy().shape == (0,)
    assert posterior.sample((3,)).shape == (3, 0, 2)
    assert model.log_evidence(none[:, None].expand(0, 4, 2)).shape == (0, 4)


def test_expectations_under_a_narrow_q_are_integrals():
    model = QuadratureModel(STANDARD, lambda z: Normal(z, 0.5))
    x = double(0.4, -1.0)
    for scale in (1.0, 1e-3, 1e-5):
        q = Normal(double(0.305, 40.0), scale)
        variance = q.loc.square() + scale**2
        log_prior = -0.5 * (math.log(2 * math.pi) + variance)
        log_likelihood = -0.5 * (math.log(2 * math.pi * 0.25) + ((x - q.loc).square() + scale**2) / 0.25)
        assert_exact(model.expected_log_joint(q, x), log_prior + log_likelihood, 1e-7)
        exact = torch.distributions.kl_divergence(q, Normal(x / 1.25, math.sqrt(0.2)))
        assert_exact(model.kl_to_posterior(q, x), exact, 1e-7)


def test_draws_of_a_narrow_posterior_follow_it():
    model = QuadratureModel(STANDARD, lambda z: Normal(z, 1e-4))
    draws = model.posterior(double(0.305)).sample((4000,))[:, 0]
    exact = scipy.stats.norm(0.305 / (1 + 1e-8), 1e-4 / math.sqrt(1 + 1e-8))
    assert scipy.stats.kstest(draws.cpu().numpy(), exact.cdf).pvalue > 1e-7
