"""The claims of chapter 10, tried on random models, and with a hypothesis dropped."""

from __future__ import annotations

import math

import models
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from lvmlib import AmortizedGuide, LatentVariableModel, LinearGaussian, fit, kl, kl_decomposition


def elbos_of_a_table(model, tables: Tensor, x: Tensor) -> Tensor:
    """The ELBO of ``tables[n]`` for ``x[n]``, as reconstruction less divergence from the prior."""
    reconstruction = (tables * model.likelihood_table.log()[:, x].T).sum(-1)
    return reconstruction - (tables * (tables.log() - model.prior_table.log())).sum(-1)


@pytest.mark.vouches("thm-amortised-objective")
@pytest.mark.parametrize("seed", range(20))
def test_the_summed_bound_misses_the_summed_divergences_and_nothing_else(seed):
    model, x = models.finite(seed=seed), torch.tensor([0, 3, 1, 1, 2])
    encoder = models.table(4, 3, seed=seed + 50)  # one row for each value of x
    bound = elbos_of_a_table(model, encoder[x], x).sum()
    missing = kl(Categorical(encoder[x]), model.posterior(x)).sum()
    evidence = model.log_evidence(x).sum()
    torch.testing.assert_close(bound + missing, evidence, atol=1e-12, rtol=0)
    assert bound < evidence


@pytest.mark.vouches("thm-amortised-objective")
@pytest.mark.parametrize("seed", range(5))
def test_the_summed_bound_is_tight_only_if_every_single_one_is(seed):
    model, x = models.finite(seed=seed), torch.arange(4)
    encoder = model.posterior(x).probs
    torch.testing.assert_close(
        elbos_of_a_table(model, encoder, x).sum(), model.log_evidence(x).sum(), atol=1e-12, rtol=0
    )
    # One q for all x is an encoder too, and right for one x at most.
    for n in range(4):
        shared = encoder[n].expand(4, 3)
        assert elbos_of_a_table(model, shared, x).sum() < model.log_evidence(x).sum() - 1e-3


def gaps(model: LinearGaussian, q: Independent, x: Tensor) -> tuple[Tensor, Tensor]:
    """Approximation and amortisation gap of independent normals as the chapter states them."""
    posterior = model.posterior(x)
    precision = posterior.precision_matrix.reshape(-1, model.latent_dim, model.latent_dim)[0]
    approximation = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    off, ratio = q.mean - posterior.mean, precision.diagonal() * q.variance
    amortisation = 0.5 * ((off @ precision) * off).sum(-1) + 0.5 * (ratio - 1 - ratio.log()).sum(-1)
    return approximation, amortisation


def best_mean_field(model: LinearGaussian, x: Tensor) -> Independent:
    posterior = model.posterior(x)
    precision = posterior.precision_matrix.diagonal(dim1=-2, dim2=-1)
    return Independent(Normal(posterior.mean, precision.rsqrt()), 1)


@pytest.mark.vouches("prop-linear-gaps", "prop-two-gaps")
@pytest.mark.parametrize("seed", range(10))
def test_the_two_gaps_of_a_linear_model_add_up_to_what_is_missing(seed):
    model = models.linear_gaussian(seed=seed, observed=5, latent=3)
    x = model.sample(4, seed=seed)[0]
    q = Independent(Normal(models.normals(4, 3, seed=seed + 7), models.normals(4, 3, seed=seed + 8).exp()), 1)
    terms, best = kl_decomposition(model, q, x), kl_decomposition(model, best_mean_field(model, x), x)
    approximation, amortisation = gaps(model, q, x)
    torch.testing.assert_close(terms.log_evidence - terms.elbo, approximation + amortisation, atol=1e-10, rtol=0)
    torch.testing.assert_close(best.kl, approximation.expand(4), atol=1e-10, rtol=0)
    torch.testing.assert_close(best.elbo - terms.elbo, amortisation, atol=1e-10, rtol=0)
    assert approximation > 0
    assert (amortisation > 0).all()


@pytest.mark.vouches("prop-linear-gaps")
@pytest.mark.parametrize("seed", range(3))
def test_no_independent_normals_do_better_than_the_approximation_gap(seed):
    """The best q that a numerical optimiser finds, without the formula."""
    model = models.linear_gaussian(seed=seed, observed=5, latent=3)
    x = model.sample(1, seed=seed)[0][0]

    def missing(parameters):
        point = torch.tensor(parameters, requires_grad=True)
        terms = kl_decomposition(model, Independent(Normal(point[:3], point[3:].exp()), 1), x)
        value = terms.log_evidence - terms.elbo
        (slope,) = torch.autograd.grad(value, point)
        return value.item(), slope.cpu().numpy()

    found = scipy.optimize.minimize(missing, [0.0] * 6, jac=True, method="BFGS", tol=1e-9)
    approximation, _ = gaps(model, best_mean_field(model, x), x)
    assert found.fun == pytest.approx(approximation.item(), abs=1e-8)


@pytest.mark.vouches("prop-two-gaps")
@pytest.mark.parametrize("seed", range(10))
def test_the_two_gaps_of_a_finite_model_and_a_finite_family(seed):
    """A family of thirty tables: its best member, and another one."""
    model, x = models.finite(seed=seed), torch.tensor(seed % 4)
    family = models.table(30, 3, seed=seed + 50)
    bounds = elbos_of_a_table(model, family, x.expand(30))
    star = bounds.argmax()
    approximation = kl(Categorical(family[star]), model.posterior(x))
    amortisation = bounds[star] - bounds
    assert approximation > 0
    assert (amortisation >= 0).all()
    torch.testing.assert_close(model.log_evidence(x) - bounds, approximation + amortisation, atol=1e-12, rtol=0)


@pytest.mark.vouches("prop-two-gaps")
def test_outside_the_family_the_amortisation_gap_can_be_negative():
    """The posterior leans: no member of the family, and better than all of them."""
    model = models.linear_gaussian(seed=1, observed=5, latent=3)
    x = model.sample(4, seed=0)[0]
    best = kl_decomposition(model, best_mean_field(model, x), x).elbo
    leaning = kl_decomposition(model, model.posterior, x).elbo
    assert (best - leaning < -1e-3).all()


def linear_encoder(model: LinearGaussian) -> AmortizedGuide:
    """The layer of the theorem, from the model's matrices alone."""
    noise = model.noise_variance.expand_as(model.bias)
    precision = torch.eye(model.latent_dim).to(model.weight) + (model.weight.T / noise) @ model.weight
    to_mean = torch.linalg.solve(precision, model.weight.T / noise)
    layer = nn.Linear(to_mean.shape[1], 2 * to_mean.shape[0]).double()
    with torch.no_grad():
        layer.weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)]))
        layer.bias.copy_(torch.cat([-to_mean @ model.bias, -0.5 * precision.diagonal().log()]))
    return AmortizedGuide(layer)


@pytest.mark.vouches("thm-linear-encoder")
@pytest.mark.parametrize("seed", range(10))
def test_one_linear_layer_has_no_amortisation_gap_anywhere(seed):
    model = models.linear_gaussian(seed=seed, observed=5, latent=3)
    x = 10 * models.normals(20, 5, seed=seed + 9)  # nothing like the model's own data
    with torch.no_grad():
        encoder = linear_encoder(model)
        _, amortisation = gaps(model, encoder(x), x)
        assert amortisation.abs().max() < 1e-9
        # It is the only one: any other mean or width at some x has a gap there.
        q = encoder(x)
        for other in (
            Independent(Normal(q.mean + 0.1, q.stddev), 1),
            Independent(Normal(q.mean, 1.1 * q.stddev), 1),
        ):
            assert (gaps(model, other, x)[1] > 1e-4).all()


@pytest.mark.vouches("thm-linear-encoder")
def test_a_model_that_is_not_linear_wants_another_encoder():
    """For x the noisy square of z + 2, the best mean is not affine in x, nor the best width constant."""
    grid = torch.linspace(-6, 6, 4001, dtype=models.DOUBLE)
    x = torch.tensor([1.0, 4.0, 16.0], dtype=models.DOUBLE)
    log_joint = -0.5 * grid**2 - 0.5 * ((x[:, None] - (grid + 2) ** 2) / 0.5) ** 2
    nodes = torch.linspace(-6, 6, 61, dtype=models.DOUBLE)
    masses = (-0.5 * nodes**2).softmax(0)

    def best(n):
        def negative_elbo(parameters):
            z = parameters[0] + math.exp(parameters[1]) * nodes
            value = -0.5 * z**2 - 0.5 * ((x[n] - (z + 2) ** 2) / 0.5) ** 2
            return -((masses * value).sum() + parameters[1]).item()

        start = [grid[log_joint[n].argmax()].item(), -2.0]
        return scipy.optimize.minimize(negative_elbo, start, method="Nelder-Mead", tol=1e-9).x

    (m1, s1), (m2, s2), (m3, s3) = map(best, range(3))
    assert abs((m2 - m1) / 3 - (m3 - m2) / 12) > 0.05
    assert max(s1, s2, s3) - min(s1, s2, s3) > 0.3


def whitened_means(model: LinearGaussian, x: Tensor) -> Tensor:
    """The posterior means times the root of the precision, shape ``(N, D)``."""
    posterior = model.posterior(x)
    values, vectors = torch.linalg.eigh(posterior.precision_matrix[0])
    return posterior.mean @ (vectors * values.sqrt()) @ vectors.T


@pytest.mark.vouches("prop-narrow-encoder")
@pytest.mark.parametrize("width", [0, 1, 2])
def test_a_narrow_encoder_pays_the_smallest_eigenvalues_and_a_linear_one_no_more(width):
    model = models.linear_gaussian(seed=4, observed=6, latent=3)
    x = model.sample(200, seed=1)[0]
    cloud = whitened_means(model, x)
    kappa, axes = torch.linalg.eigh(torch.cov(cloud.T, correction=0))
    floor = 0.5 * kappa[: 3 - width].sum()
    centre = cloud.mean(0)
    precision = model.posterior(x).precision_matrix[0]
    values, vectors = torch.linalg.eigh(precision)
    back = vectors @ torch.diag(values.rsqrt()) @ vectors.T

    def mean_gap(subspace: Tensor) -> Tensor:
        means = (centre + (cloud - centre) @ subspace @ subspace.T) @ back
        q = Independent(Normal(means, precision.diagonal().rsqrt()), 1)
        return gaps(model, q, x)[1].mean()

    torch.testing.assert_close(mean_gap(axes[:, 3 - width :]), floor, atol=1e-9, rtol=0)
    for seed in range(20):
        other = torch.linalg.qr(models.normals(3, 3, seed=seed)).Q[:, :width]
        assert mean_gap(other) >= floor - 1e-9


@pytest.mark.vouches("prop-narrow-encoder")
def test_no_nonlinear_code_of_one_number_does_better():
    """Free means on a line through any point, each chosen as well as can be: the floor holds for all lines."""
    model = models.linear_gaussian(seed=4, observed=6, latent=2)
    cloud = whitened_means(model, model.sample(200, seed=1)[0])
    floor = 0.5 * torch.linalg.eigvalsh(torch.cov(cloud.T, correction=0))[0]
    for seed in range(200):
        direction = models.normals(2, seed=seed)
        direction /= direction.norm()
        through = models.normals(2, seed=seed + 1000)
        off = cloud - through
        nearest = off - (off @ direction)[:, None] * direction
        assert 0.5 * nearest.square().sum(-1).mean() >= floor - 1e-12


@pytest.mark.vouches("prop-narrow-encoder")
def test_for_maximum_likelihood_the_price_is_read_off_the_eigenvalues_of_the_data():
    x = models.normals(300, 6, seed=0) @ models.normals(6, 6, seed=1)
    fitted = LinearGaussian.fit(x, 3)
    turn = torch.linalg.qr(models.normals(3, 3, seed=2)).Q
    model = LinearGaussian(fitted.weight @ turn, fitted.bias, fitted.noise_variance)
    kappa = torch.linalg.eigvalsh(torch.cov(whitened_means(model, x).T, correction=0)).flip(0)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    torch.testing.assert_close(kappa, eigenvalues[:3] / fitted.noise_variance - 1, atol=1e-9, rtol=1e-9)


def stretched() -> tuple[Tensor, Tensor]:
    """Centred data of variances near 4, 2.25, 1, 0.36 and 0.09, and the eigenvalues of their covariance."""
    data = models.normals(400, 5, seed=0) * torch.tensor([2.0, 1.5, 1.0, 0.6, 0.3]).double()
    data = data - data.mean(0)
    return data, torch.linalg.eigvalsh(data.T @ data / len(data)).flip(0)


def highest_evidence(noise: float | None, latent: int) -> tuple[Tensor, float]:
    """Weight and noise of greatest likelihood, by climbing from several starts; the noise is free when ``None``."""
    data, _ = stretched()
    best: tuple[float, Tensor, float] | None = None
    for seed in range(4):
        start = torch.cat([0.5 * models.normals(5 * latent, seed=seed), torch.zeros(int(noise is None)).double()])

        def loss(parameters):
            point = torch.tensor(parameters, requires_grad=True)
            variance = point[-1].exp() if noise is None else torch.tensor(noise, dtype=models.DOUBLE)
            model = LinearGaussian(point[: 5 * latent].reshape(5, latent), torch.zeros(5).double(), variance)
            value = -model.log_evidence(data).mean()
            (slope,) = torch.autograd.grad(value, point)
            return value.item(), slope.cpu().numpy()

        found = scipy.optimize.minimize(loss, start.cpu().numpy(), jac=True, method="L-BFGS-B", options={"ftol": 1e-15})
        if best is None or found.fun < best[0]:
            weight = torch.tensor(found.x[: 5 * latent]).reshape(5, latent)
            best = (found.fun, weight, math.exp(found.x[-1]) if noise is None else noise)
    assert best is not None
    return best[1], best[2]


@pytest.mark.vouches("thm-collapse")
@pytest.mark.parametrize("noise", [0.05, 0.2, 0.6, 1.5, 3.0, 6.0])
def test_the_likelihood_keeps_the_directions_that_vary_more_than_the_noise(noise):
    _, eigenvalues = stretched()
    weight, _ = highest_evidence(noise, latent=3)
    spectrum = torch.linalg.eigvalsh(weight @ weight.T).flip(0)[:3]
    torch.testing.assert_close(spectrum, (eigenvalues[:3] - noise).clamp(min=0.0), atol=2e-3, rtol=2e-3)
    assert (spectrum > 0.02).sum() == (eigenvalues[:3] > noise).sum()


@pytest.mark.vouches("thm-collapse")
@pytest.mark.parametrize("noise", [0.2, 1.5, 6.0])
def test_at_the_maximum_collapsed_coordinates_have_the_prior_and_the_others_the_stated_divergence(noise):
    data, eigenvalues = stretched()
    signal = (eigenvalues[:3] - noise).clamp(min=0.0)
    vectors = torch.linalg.eigh(data.T @ data).eigenvectors.flip(1)[:, :3]
    model = LinearGaussian(vectors * signal.sqrt(), torch.zeros(5).double(), torch.tensor(noise, dtype=models.DOUBLE))
    q = best_mean_field(model, data)
    terms = kl_decomposition(model, q, data)
    assert terms.kl.abs().max() < 1e-9  # independent normals are no restriction here
    each = kl(q.base_dist, Normal(*torch.tensor([0.0, 1.0]).double())).mean(0)
    stated = 0.5 * (eigenvalues[:3] / noise).log().clamp(min=0.0)
    torch.testing.assert_close(each, stated, atol=1e-9, rtol=0)
    # With other axes for z the evidence is the same, and independent normals have a gap.
    if (signal > 0).sum() > 1:
        turn = torch.linalg.qr(models.normals(3, 3, seed=1)).Q
        turned = LinearGaussian(model.weight @ turn, model.bias, model.noise_variance)
        torch.testing.assert_close(turned.log_evidence(data), model.log_evidence(data), atol=1e-9, rtol=0)
        assert kl_decomposition(turned, best_mean_field(turned, data), data).kl.min() > 1e-3


@pytest.mark.vouches("thm-collapse")
@pytest.mark.parametrize(("noise", "alive"), [(0.2, 3), (1.5, 2), (6.0, 0)])
def test_a_linear_vae_trained_on_the_elbo_collapses_where_the_theorem_says(noise, alive):
    data, eigenvalues = stretched()
    data = data.float()
    torch.manual_seed(0)
    model = LinearGaussian(nn.Parameter(0.3 * models.normals(5, 3, seed=0, dtype=torch.float32)), torch.zeros(5), noise)
    encoder = AmortizedGuide(nn.Linear(5, 6))
    for rate in (0.02, 0.002):
        fit(model, encoder, data, epochs=100, batch_size=100, learning_rate=rate, seed=0, progress=False)
    with torch.no_grad():
        each = kl(encoder(data).base_dist, Normal(0.0, 1.0)).mean(0).sort(descending=True).values
    stated = 0.5 * (eigenvalues[:3] / noise).log().clamp(min=0.0).float()
    torch.testing.assert_close(each, stated, atol=0.15, rtol=0)
    assert (each > 0.05).sum() == alive


@pytest.mark.vouches("cor-learnt-noise")
@pytest.mark.parametrize("latent", [1, 2, 3])
def test_with_the_noise_learnt_every_direction_stays(latent):
    _, eigenvalues = stretched()
    weight, noise = highest_evidence(None, latent)
    assert noise == pytest.approx(eigenvalues[latent:].mean().item(), rel=1e-3)
    assert (torch.linalg.svdvals(weight) > 0.1).all()


@pytest.mark.vouches("cor-learnt-noise")
def test_without_its_hypothesis_a_coordinate_collapses_though_the_noise_is_learnt():
    """Directions two to five vary alike: the second latent coordinate has nothing to explain that noise does not."""
    data, _ = stretched()
    whitening = torch.linalg.cholesky(torch.linalg.inv(data.T @ data / len(data)))
    data = data @ whitening * torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0]).double()
    eigenvalues = torch.linalg.eigvalsh(data.T @ data / len(data)).flip(0)
    assert eigenvalues[1].item() == pytest.approx(eigenvalues[2:].mean().item(), rel=1e-9)
    fitted = LinearGaussian.fit(data, 2)
    assert torch.linalg.svdvals(fitted.weight)[1] < 1e-6
    q = best_mean_field(fitted, data)
    each = kl(q.base_dist, Normal(*torch.tensor([0.0, 1.0]).double())).mean(0)
    assert each[0] > 1
    assert each[1] < 1e-9


class Curved(nn.Module):
    """A decoder that is not linear, with a given noise variance."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, z: Tensor) -> Independent:
        mean = torch.stack([z[..., 0].sin(), z[..., 0] ** 2, z[..., 0] * z[..., 1]], dim=-1)
        return Independent(Normal(mean, mean.new_tensor(self.noise).sqrt()), 1)


@pytest.mark.vouches("prop-kl-weight")
@pytest.mark.parametrize("weight", [0.1, 0.5, 4.0, 64.0])
def test_a_weighted_divergence_is_the_elbo_of_another_noise_level_up_to_a_constant(weight):
    """At the same draws: the difference of two objectives, one scaled, is one number for all q and all x."""
    noise, prior = 0.3, Independent(Normal(torch.zeros(2).double(), torch.ones(2).double()), 1)
    narrow, wide = (LatentVariableModel(prior, Curved(v)) for v in (noise, weight * noise))
    differences = []
    for seed in range(5):
        x = models.normals(3, seed=seed)
        q = Independent(Normal(models.normals(2, seed=seed + 20), models.normals(2, seed=seed + 30).exp()), 1)
        z, divergence = q.sample((50,)), kl(q, prior)
        weighted = narrow.log_likelihood(x, z).mean() - weight * divergence
        other = wide.log_likelihood(x, z).mean() - divergence
        differences.append(weighted - weight * other)
    stated = 1.5 * (weight * math.log(2 * math.pi * weight * noise) - math.log(2 * math.pi * noise))
    torch.testing.assert_close(
        torch.stack(differences), torch.full((5,), stated, dtype=models.DOUBLE), atol=1e-9, rtol=1e-9
    )


@pytest.mark.vouches("prop-kl-weight")
def test_a_weight_collapses_a_linear_model_where_the_noise_would():
    """The best weighted objective of one direction: alive below the weight at which noise would drown it."""
    eigenvalue, noise = 2.0, 0.5
    threshold = eigenvalue / noise

    def best_slope(weight: float) -> float:
        def objective(parameters):
            w, a, log_s = parameters
            s2 = math.exp(2 * log_s)
            # Decoder w z, encoder N(a x, s2), E[x^2] the eigenvalue; all expectations by hand.
            error = eigenvalue * (1 - w * a) ** 2 + w**2 * s2
            divergence = 0.5 * (a**2 * eigenvalue + s2 - 1) - log_s
            return 0.5 * error / noise + weight * divergence

        found = scipy.optimize.minimize(objective, [0.5, 0.5, 0.0], method="Nelder-Mead", tol=1e-12)
        return abs(found.x[0])

    assert best_slope(0.8 * threshold) == pytest.approx(math.sqrt(eigenvalue - 0.8 * threshold * noise), abs=1e-3)
    assert best_slope(1.2 * threshold) < 1e-3


def test_the_posterior_is_no_member_of_the_family_when_it_leans():
    """A guard for this file's models: without a lean, half of the tests above would be empty."""
    model = models.linear_gaussian(seed=1, observed=5, latent=3)
    posterior = model.posterior(torch.zeros(5).double())
    assert isinstance(posterior, MultivariateNormal)
    covariance = posterior.covariance_matrix
    assert (covariance - torch.diag(covariance.diagonal())).abs().max() > 0.01
