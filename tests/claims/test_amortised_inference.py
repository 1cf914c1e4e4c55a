"""The claims of chapter 10, attacked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import models
import pytest
import scipy.optimize
import torch
from attack import attack, breaks, explained
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal
from zoo import member, members

from lvmlib import FiniteModel, LinearGaussian, kl, kl_decomposition


def _double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# The objective.


@dataclass(frozen=True, eq=False)
class Encoded:
    """Tables, several observations, and an encoder: one row of a table q for each of them."""

    name: str
    model: FiniteModel
    x: Tensor
    rows: Tensor

    @property
    def log_evidence(self) -> float:
        """The highest of the observations'."""
        return self.model.log_evidence(self.x).max().item()

    def terms(self) -> tuple[Tensor, Tensor]:
        """The reconstruction and the divergence from the prior of each observation."""
        log_likelihood = self.model.likelihood_table.log()[:, self.x].mT
        reconstruction = torch.where(self.rows > 0, self.rows * log_likelihood, 0.0).sum(-1)
        return reconstruction, kl(Categorical(self.rows), Categorical(self.model.prior_table))

    def finite_terms(self) -> bool:
        return all(bool(term.isfinite().all()) for term in self.terms())


def _encoded() -> list[Encoded]:
    cases = []
    for one in members():
        if isinstance(one.model, FiniteModel) and one.truth.log_evidence > -math.inf:
            possible = one.model.log_evidence(torch.arange(2)).isfinite()
            x = torch.arange(2)[possible].repeat(2)
            drawn = Encoded(one.name, one.model, x, one.q.probs.expand(len(x), -1))
            cases += [drawn, Encoded(f"{one.name}-exact", one.model, x, one.model.posterior(x).probs)]
    return cases


ENCODED = _encoded()


@attack("thm-amortised-objective", cases=ENCODED)
def test_the_summed_bound_is_tight_if_and_only_if_each_q_is_the_posterior(case):
    reconstruction, divergence = case.terms()
    evidence = case.model.log_evidence(case.x).sum()
    bound = (reconstruction - divergence).sum()
    terms = kl_decomposition(case.model, Categorical(case.rows), case.x)
    torch.testing.assert_close(bound, terms.elbo.sum(), atol=1e-9, rtol=1e-9)
    assert bound <= evidence + 1e-9
    exact = bool(((case.rows - case.model.posterior(case.x).probs).abs() < 1e-7).all())
    assert bool(evidence - bound < 1e-9) == exact


@breaks(
    "thm-amortised-objective",
    without="finite-terms",
    case=Encoded("impossible", member("impossible-x").model, torch.tensor([1]), _double(0.5, 0.3, 0.2)[None]),
    because=r"for an impossible observation both sides are $-\infty$ for each encoder",
)
def test_for_an_impossible_observation_both_sides_are_minus_infinity(case):
    assert case.terms()[0].sum() == case.model.log_evidence(case.x).sum() == -math.inf


explained(
    "thm-amortised-objective",
    without="finite-evidence",
    because=r"where $p_\theta(x_n)$ is infinite there is no posterior for $q$ to be equal to",
)

# Two gaps.


@dataclass(frozen=True, eq=False)
class Choice:
    """Tables, one observation, a family of tables q, and the table that an encoder gives."""

    name: str
    model: FiniteModel
    x: Tensor
    family: Tensor
    answer: Tensor

    @property
    def log_evidence(self) -> float:
        return self.model.log_evidence(self.x).item()

    def elbo(self, q: Tensor) -> float:
        return kl_decomposition(self.model, Categorical(q), self.x).elbo.item()

    def best(self) -> Tensor:
        return max(self.family, key=self.elbo)

    def member_of_family(self) -> bool:
        return any(torch.equal(self.answer, q) for q in self.family)

    def best_exists(self) -> bool:
        return math.isfinite(self.elbo(self.best()))


def _choice(name: str, model: FiniteModel, x: Tensor, *, inside: bool = True) -> Choice:
    family = models.table(30, len(model.prior_table), seed=7)
    return Choice(name, model, x, family, family[3] if inside else model.posterior(x).probs)


CHOICES = [
    _choice(one.name, one.model, one.x)
    for one in members()
    if isinstance(one.model, FiniteModel) and one.truth.log_evidence > -math.inf
]


@attack("prop-two-gaps", cases=CHOICES)
def test_what_is_missing_is_an_approximation_gap_and_an_amortisation_gap(case):
    star = case.best()
    approximation = case.model.kl_to_posterior(Categorical(star), case.x).item()
    amortisation = case.elbo(star) - case.elbo(case.answer)
    missing = case.model.log_evidence(case.x).item() - case.elbo(case.answer)
    assert missing == pytest.approx(approximation + amortisation, rel=1e-9, abs=1e-9)
    assert approximation >= -1e-12
    assert amortisation >= 0


@breaks(
    "prop-two-gaps",
    without="member-of-family",
    case=_choice("outside", CHOICES[0].model, CHOICES[0].x, inside=False),
    because="a $q$ outside the family can beat its best member, and then the second gap is negative",
)
def test_outside_the_family_the_amortisation_gap_is_negative(case):
    assert case.elbo(case.best()) - case.elbo(case.answer) < -1e-3


explained(
    "prop-two-gaps",
    without="best-exists",
    because="a family can come as near as one likes to a $q$ that is not in it, and then there is no $q^*$",
)


explained(
    "prop-two-gaps",
    without="finite-evidence",
    because=r"where $p_\theta(x)$ is infinite there is no posterior to diverge from",
)

# Linear Gaussian models.


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear Gaussian model with several observations."""

    name: str
    model: LinearGaussian
    x: Tensor

    @property
    def precision(self) -> Tensor:
        noise = self.model.noise_variance.expand_as(self.model.bias)
        identity = torch.eye(self.model.latent_dim, dtype=torch.float64)
        return identity + (self.model.weight.mT / noise) @ self.model.weight

    def encoder(self) -> Independent:
        """The one linear layer of the theorem, from the model's matrices alone."""
        noise = self.model.noise_variance.expand_as(self.model.bias)
        to_mean = torch.linalg.solve(self.precision, self.model.weight.mT / noise)
        return Independent(Normal((self.x - self.model.bias) @ to_mean.mT, self.precision.diagonal().rsqrt()), 1)

    def missing(self, q: Independent) -> Tensor:
        terms = kl_decomposition(self.model, q, self.x)
        return terms.log_evidence - terms.elbo

    def approximation_gap(self) -> Tensor:
        return 0.5 * (self.precision.diagonal().log().sum() - self.precision.logdet())

    def amortisation_gap(self, q: Independent) -> Tensor:
        off, ratio = q.mean - self.model.posterior(self.x).mean, self.precision.diagonal() * q.variance
        return 0.5 * ((off @ self.precision) * off).sum(-1) + 0.5 * (ratio - 1 - ratio.log()).sum(-1)

    def linear_gaussian(self) -> bool:
        return isinstance(self.model, LinearGaussian)

    affine_mean = gaussian_noise = gaussian_prior = linear_gaussian

    def affine_in_code(self) -> bool:
        return True


def _linear() -> list[Linear]:
    cases = []
    for one in members():
        if isinstance(one.model, LinearGaussian):
            spread = 5 * models.normals(4, *one.x.shape, seed=1)  # nothing like the model's own data
            cases.append(Linear(one.name, one.model, one.x + spread))
    for seed in range(4):
        model = models.linear_gaussian(seed=seed, observed=5, latent=3)
        cases.append(Linear(f"factors-{seed}", model, 10 * models.normals(20, 5, seed=seed + 9)))
    return cases


LINEAR = _linear()


@attack("prop-linear-gaps", cases=LINEAR)
def test_both_gaps_are_as_stated_and_add_up(case):
    shape = case.encoder().mean.shape
    for seed in range(3):
        q = Independent(Normal(models.normals(*shape, seed=seed), models.normals(*shape, seed=seed + 8).exp()), 1)
        stated = case.approximation_gap() + case.amortisation_gap(q)
        torch.testing.assert_close(case.missing(q), stated, atol=1e-7, rtol=1e-7)
        assert (case.missing(q) >= case.approximation_gap() - 1e-9).all()
    torch.testing.assert_close(
        case.missing(case.encoder()), case.approximation_gap().expand(shape[0]), atol=1e-8, rtol=0
    )


@attack("thm-linear-encoder", cases=LINEAR)
def test_one_linear_layer_has_no_amortisation_gap_and_no_other_answer_has_none(case):
    q = case.encoder()
    assert case.amortisation_gap(q).abs().max() < 1e-9
    for other in (
        Independent(Normal(q.mean + 0.1 * q.stddev, q.stddev), 1),
        Independent(Normal(q.mean, 1.1 * q.stddev), 1),
    ):
        assert (case.missing(other) > case.missing(q) + 1e-4).all()


Density = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Scalar:
    """One latent and one observed number: x is a function of z plus noise."""

    name: str
    mean: Density = lambda z: z
    log_noise: Density = lambda e: -0.5 * (e / 0.5) ** 2
    log_prior: Density = lambda z: -0.5 * z**2
    x: tuple[float, ...] = (0.5, 2.0, 6.0)

    def affine_mean(self) -> bool:
        return _difference(self.mean, 2) < 1e-9

    def gaussian_noise(self) -> bool:
        return _difference(self.log_noise, 3) < 1e-9

    def gaussian_prior(self) -> bool:
        return _difference(self.log_prior, 3) < 1e-9

    def linear_gaussian(self) -> bool:
        return self.affine_mean() and self.gaussian_noise() and self.gaussian_prior()

    def best(self, x: float) -> tuple[float, float, float]:
        """The mean and the deviation of the best normal, and its gap, found without a formula."""
        noise = (torch.arange(-1500, 1500).double() + 0.5) / 200
        mass = (-0.5 * noise.square()).softmax(0)

        def log_joint(z: Tensor) -> Tensor:
            return self.log_prior(z) + self.log_noise(x - self.mean(z))

        def negative(parameters) -> float:
            loc, log_scale = parameters
            return -((mass * log_joint(loc + math.exp(log_scale) * noise)).sum().item() + log_scale)

        grid = (torch.arange(-120_000, 120_000).double() + 0.5) / 10_000
        start = [grid[log_joint(grid).argmax()].item(), -1.0]
        found = scipy.optimize.minimize(negative, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
        evidence = (log_joint(grid).logsumexp(0) - math.log(10_000)).item()
        gap = evidence - 0.5 * math.log(2 * math.pi * math.e) + found.fun
        return found.x[0], math.exp(found.x[1]), gap

    def bends(self) -> tuple[float, float]:
        """How far the best means are from a line in x, and how much the best deviations differ."""
        (m1, s1, _), (m2, s2, _), (m3, s3, _) = map(self.best, self.x)
        first, second = (m2 - m1) / (self.x[1] - self.x[0]), (m3 - m2) / (self.x[2] - self.x[1])
        return abs(first - second), max(s1, s2, s3) - min(s1, s2, s3)


def _difference(f: Density, order: int) -> float:
    """The largest difference of an order of a function on a grid."""
    values = f(torch.linspace(-3, 3, 13, dtype=torch.float64))
    for _ in range(order):
        values = values.diff()
    return values.abs().max().item()


@attack("thm-linear-encoder", cases=[Scalar("scalar")])
def test_found_without_a_formula_the_best_normals_are_affine_in_x_with_one_width(case):
    bend, spread = case.bends()
    assert bend < 1e-5
    assert spread < 1e-5


CURVED = Scalar("curved", mean=lambda z: (z + 2) ** 2, x=(1.0, 4.0, 16.0))


@breaks(
    "thm-linear-encoder",
    without="affine-mean",
    case=CURVED,
    because="a curved decoder has posteriors of different widths, and their best means bend in $x$",
)
def test_a_curved_decoder_wants_an_encoder_that_bends(case):
    assert min(case.bends()) > 0.05


@breaks(
    "thm-linear-encoder",
    without="gaussian-noise",
    case=Scalar("heavy-noise", log_noise=lambda e: -2 * torch.log1p(e**2)),
    because="under noise with heavy tails a far $x$ is taken for an outlier, and moves the best mean less",
)
def test_heavy_noise_wants_an_encoder_that_bends(case):
    assert min(case.bends()) > 0.05


@breaks(
    "thm-linear-encoder",
    without="gaussian-prior",
    case=Scalar("heavy-prior", log_noise=lambda e: -0.5 * e**2, log_prior=lambda z: -2 * torch.log1p(z**2)),
    because="under a prior with heavy tails a far $x$ is believed, and moves the best mean more",
)
def test_a_heavy_prior_wants_an_encoder_that_bends(case):
    assert min(case.bends()) > 0.02


@breaks(
    "prop-linear-gaps",
    without="linear-gaussian",
    case=CURVED,
    because="under a curved decoder the approximation gap differs from one $x$ to another",
)
def test_a_curved_decoder_has_another_approximation_gap_at_each_x(case):
    gaps = [case.best(x)[2] for x in case.x]
    assert min(gaps) >= -1e-6
    assert max(gaps) - min(gaps) > 0.01


# A narrow encoder.


@dataclass(frozen=True, eq=False)
class Narrow:
    """A linear model with data, a width, and a decoder of the code: affine, or a list to look the means up in."""

    name: str
    linear: Linear
    width: int
    lookup: bool = False

    def cloud(self) -> Tensor:
        """The posterior means times the root of the precision."""
        values, vectors = torch.linalg.eigh(self.linear.precision)
        return self.linear.model.posterior(self.linear.x).mean @ (vectors * values.sqrt()) @ vectors.mT

    def floor(self) -> float:
        kappa = torch.linalg.eigvalsh(torch.cov(self.cloud().mT, correction=0)).flip(0)
        return 0.5 * kappa[self.width :].sum().item()

    def mean_gap(self, whitened_means: Tensor) -> float:
        """With the best widths."""
        values, vectors = torch.linalg.eigh(self.linear.precision)
        means = whitened_means @ (vectors * values.rsqrt()) @ vectors.mT
        q = Independent(Normal(means, self.linear.precision.diagonal().rsqrt()), 1)
        return (self.linear.missing(q) - self.linear.approximation_gap()).mean().item()

    def linear_gaussian(self) -> bool:
        return self.linear.linear_gaussian()

    def affine_in_code(self) -> bool:
        return not self.lookup


def _data(seed: int, latent: int) -> Linear:
    model = models.linear_gaussian(seed=seed, observed=6, latent=latent)
    return Linear(f"factors-{seed}", model, model.sample(100, seed=1)[0])


NARROW = [Narrow(f"width-{width}-{seed}", _data(seed, 3), width) for seed in (4, 5) for width in (0, 1, 2, 3)]


@attack("prop-narrow-encoder", cases=NARROW)
def test_no_subspace_of_that_width_is_below_the_floor_and_the_principal_one_attains_it(case):
    cloud, floor = case.cloud(), case.floor()
    centre, axes = cloud.mean(0), torch.linalg.eigh(torch.cov(cloud.mT, correction=0)).eigenvectors
    principal = axes[:, axes.shape[1] - case.width :]
    # A projection of the posterior means, hence linear in x.
    assert case.mean_gap(centre + (cloud - centre) @ principal @ principal.mT) == pytest.approx(floor, abs=1e-8)
    for seed in range(20):
        through = centre + models.normals(3, seed=seed + 50)
        basis = torch.linalg.qr(models.normals(3, 3, seed=seed)).Q[:, : case.width]
        # On another affine subspace the nearest points are the best that any code h(x) can choose.
        assert case.mean_gap(through + (cloud - through) @ basis @ basis.mT) >= floor - 1e-9


@attack("prop-narrow-encoder", cases=[Narrow("maximum-likelihood", LINEAR[0], 1)])
def test_for_maximum_likelihood_the_floor_is_read_off_the_eigenvalues_of_the_data(case):
    x = models.normals(300, 6, seed=0) @ models.normals(6, 6, seed=1)
    fitted = LinearGaussian.fit(x, 3)
    turn = torch.linalg.qr(models.normals(3, 3, seed=2)).Q
    turned = Linear("turned", LinearGaussian(fitted.weight @ turn, fitted.bias, fitted.noise_variance), x)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.mT, correction=0)).flip(0)
    kappa = eigenvalues[:3] / fitted.noise_variance - 1
    assert Narrow(case.name, turned, case.width).floor() == pytest.approx(0.5 * kappa[case.width :].sum().item())


@breaks(
    "prop-narrow-encoder",
    without="affine-in-code",
    case=Narrow("look-up", NARROW[1].linear, 1, lookup=True),
    because="a list of means needs only the position in the list, one number, and loses nothing",
)
def test_one_number_that_names_the_image_is_enough_for_a_list(case):
    code = torch.arange(len(case.linear.x))
    assert case.floor() > 0.1
    assert case.mean_gap(case.cloud()[code]) == pytest.approx(0, abs=1e-8)


explained(
    "prop-narrow-encoder",
    without="linear-gaussian",
    because=r"another model has no one $\Lambda$ for all $x$ in which to measure",
)


# Collapse.


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Data, a bias, and the noise of a linear model; the noise is learnt if None."""

    name: str
    data: Tensor
    latent: int
    noise: Tensor | None
    bias: Tensor | None = None

    @property
    def eigenvalues(self) -> Tensor:
        return torch.linalg.eigvalsh(torch.cov(self.data.mT, correction=0)).flip(0)

    def bias_at_mean(self) -> bool:
        return self.bias is None or torch.allclose(self.bias, self.data.mean(0))

    def isotropic_noise(self) -> bool:
        return self.noise is None or self.noise.ndim == 0

    def spectrum_falls(self) -> bool:
        return bool(self.eigenvalues[self.latent - 1] > self.eigenvalues[self.latent :].mean() + 1e-9)

    def noise_remains(self) -> bool:
        return bool(self.eigenvalues[self.latent :].mean() > 1e-9)

    def model(self, weight: Tensor, noise: Tensor) -> LinearGaussian:
        return LinearGaussian(weight, self.data.mean(0) if self.bias is None else self.bias, noise)

    def highest(self) -> tuple[Tensor, Tensor]:
        """Weight and noise of greatest likelihood, by climbing from several starts."""
        shape, free = (self.data.shape[1], self.latent), self.noise is None
        best: tuple[float, Tensor, Tensor] | None = None
        for seed in range(3):
            start = torch.cat([0.5 * models.normals(shape[0] * shape[1], seed=seed), torch.zeros(int(free)).double()])

            def loss(parameters):
                point = torch.tensor(parameters, requires_grad=True)
                noise = point[-1].exp() if free else self.noise
                value = -self.model(point[: shape[0] * shape[1]].reshape(shape), noise).log_evidence(self.data).mean()
                (slope,) = torch.autograd.grad(value, point)
                return value.item(), slope.cpu().numpy()

            options = {"ftol": 1e-15, "gtol": 1e-9}
            found = scipy.optimize.minimize(loss, start.cpu().numpy(), jac=True, method="L-BFGS-B", options=options)
            if best is None or found.fun < best[0]:
                point = torch.tensor(found.x)
                weight = point[: shape[0] * shape[1]].reshape(shape)
                best = found.fun, weight, point[-1].exp() if free else self.noise
        assert best is not None
        return best[1], best[2]


def _stretched(*deviations: float, turned: bool = True) -> Tensor:
    """Centred data of exactly these standard deviations, along axes of their own."""
    raw = models.normals(200, len(deviations), seed=0)
    raw = raw - raw.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.cov(raw.mT, correction=0)), raw.mT, upper=False
    ).mT
    turn = torch.linalg.qr(models.normals(len(deviations), len(deviations), seed=1)).Q
    return white * _double(*deviations) @ (turn if turned else torch.eye(len(deviations), dtype=torch.float64)) + 0.3


DATA = _stretched(2.0, 1.5, 1.0, 0.6, 0.3)
SPECTRA = [
    *(Spectrum(f"noise-{noise}", DATA, 3, _double(noise)[0]) for noise in (0.05, 0.2, 0.6, 1.5, 3.0, 6.0)),
    Spectrum("as-many-latents-as-coordinates", DATA, 5, _double(0.5)[0]),
    Spectrum("one-latent", DATA, 1, _double(0.5)[0]),
    Spectrum("equal-eigenvalues", _stretched(1.5, 1.5, 0.5, 0.5), 3, _double(1.0)[0]),
]


@attack("thm-collapse", cases=SPECTRA)
def test_the_likelihood_keeps_the_directions_that_vary_more_than_the_noise(case):
    weight, noise = case.highest()
    kept = torch.linalg.eigvalsh(weight @ weight.mT).flip(0)[: case.latent]
    signal = (case.eigenvalues[: case.latent] - noise).clamp(min=0.0)
    torch.testing.assert_close(kept, signal, atol=3e-3, rtol=3e-3)
    # With orthogonal columns, the best independent normals are the posterior, with the stated divergences.
    vectors = torch.linalg.eigh(torch.cov(case.data.mT, correction=0)).eigenvectors.flip(1)[:, : case.latent]
    model = case.model(vectors * signal.sqrt(), noise)
    assert model.log_evidence(case.data).mean() >= case.model(weight, noise).log_evidence(case.data).mean() - 1e-6
    posterior = model.posterior(case.data)
    precision = posterior.precision_matrix.diagonal(dim1=-2, dim2=-1)
    q = Independent(Normal(posterior.mean, precision.rsqrt()), 1)
    assert kl_decomposition(model, q, case.data).kl.abs().max() < 1e-9
    each = kl(q.base_dist, Normal(*_double(0.0, 1.0))).mean(0)
    torch.testing.assert_close(
        each, 0.5 * (case.eigenvalues[: case.latent] / noise).log().clamp(min=0.0), atol=1e-9, rtol=0
    )


@breaks(
    "thm-collapse",
    without="bias-at-mean",
    case=Spectrum("bias-elsewhere", _stretched(0.5, 0.3), 1, _double(1.0)[0], bias=_double(2.3, 0.3)),
    because="a latent then explains the distance of the mean from $b$, however little the data vary",
)
def test_a_bias_off_the_mean_keeps_a_coordinate_alive(case):
    weight, noise = case.highest()
    assert (case.eigenvalues < noise).all()
    assert torch.linalg.svdvals(weight)[0] > 1


@breaks(
    "thm-collapse",
    without="isotropic-noise",
    case=Spectrum("two-noises", _stretched(math.sqrt(2), 1.0, turned=False), 1, _double(4.0, 0.2)),
    because="a direction that varies little is kept where its own noise is smaller still",
)
def test_with_two_noise_variances_the_eigenvalues_do_not_decide(case):
    weight, noise = case.highest()
    assert (case.eigenvalues < noise.mean()).all()
    assert torch.linalg.svdvals(weight)[0] > 0.5


LEARNT = [
    *(Spectrum(f"learnt-{latent}", DATA, latent, None) for latent in (1, 2, 3, 4)),
    Spectrum("learnt-ties", _stretched(1.5, 1.5, 0.5, 0.5), 2, None),
]


@attack("cor-learnt-noise", cases=LEARNT)
def test_with_the_noise_learnt_each_coordinate_stays(case):
    weight, noise = case.highest()
    assert noise.item() == pytest.approx(case.eigenvalues[case.latent :].mean().item(), rel=1e-3)
    assert (torch.linalg.svdvals(weight) > 0.1).all()
    fitted = LinearGaussian.fit(case.data, case.latent)
    torch.testing.assert_close(fitted.noise_variance, noise, rtol=1e-3, atol=0)


@breaks(
    "cor-learnt-noise",
    without="spectrum-falls",
    case=Spectrum("flat", _stretched(3.0, 1.0, 1.0, 1.0), 2, None),
    because="directions that vary no more than the rest are explained by the noise, also when it is learnt",
)
def test_a_flat_spectrum_collapses_a_coordinate_though_the_noise_is_learnt(case):
    assert torch.linalg.svdvals(LinearGaussian.fit(case.data, case.latent).weight)[1] < 1e-5


@breaks(
    "cor-learnt-noise",
    without="noise-remains",
    case=Spectrum("no-noise-left", _stretched(2.0, 1.0, 0.0), 2, None),
    because="data in a subspace leave no noise, and the likelihood rises without bound as it shrinks",
)
def test_data_in_a_subspace_have_a_likelihood_without_bound(case):
    vectors = torch.linalg.eigh(torch.cov(case.data.mT, correction=0)).eigenvectors.flip(1)[:, :2]
    levels = [
        case.model(vectors * (case.eigenvalues[:2] - s).sqrt(), _double(s)[0]).log_evidence(case.data).mean()
        for s in (1e-2, 1e-4, 1e-6, 1e-8)
    ]
    rises = torch.stack(levels).diff()
    assert (rises > 0.45 * math.log(100)).all()


# A weight on the divergence.


@dataclass(frozen=True, eq=False)
class Weighted:
    """A few values of z, a location of x for each that theta moves, and a weight on the divergence.

    The best q for a theta is known, so the objective is compared over a grid of theta; with ``learn_noise`` it
    includes the noise.
    """

    name: str
    weight: float
    log_noise: Callable[[Tensor, float], Tensor]
    learn_noise: bool = False

    X = 0.7
    LOCATIONS = (-1.0, 0.2, 1.5)
    PRIOR = (0.2, 0.5, 0.3)
    NOISE = 0.4

    def gaussian_likelihood(self) -> bool:
        return _difference(lambda e: self.log_noise(e, self.NOISE), 3) < 1e-9

    def noise_not_learnt(self) -> bool:
        return not self.learn_noise

    def best(self, weight: float, scaled: float) -> tuple[int, Tensor]:
        """Where the objective is highest on the grid, and the q there; the noise is multiplied by ``scaled``."""
        noises = [0.1 * 1.2**k for k in range(25)] if self.learn_noise else [self.NOISE]
        values, tables = [], []
        for noise in noises:
            for theta in torch.linspace(-2, 2, 81, dtype=torch.float64):
                log_likelihood = self.log_noise(self.X - theta * _double(*self.LOCATIONS), scaled * noise)
                logits = _double(*self.PRIOR).log() + log_likelihood / weight
                values.append(weight * logits.logsumexp(0))
                tables.append(logits.softmax(0))
        place = int(torch.stack(values).argmax())
        return place, tables[place]


def _gaussian(e: Tensor, noise: float) -> Tensor:
    return -0.5 * e**2 / noise - 0.5 * math.log(2 * math.pi * noise)


def _student(e: Tensor, noise: float) -> Tensor:
    return -1.5 * torch.log1p(e**2 / (2 * noise)) - 0.5 * math.log(noise)


@attack("prop-kl-weight", cases=[Weighted(f"weight-{w}", w, _gaussian) for w in (0.1, 0.5, 1.0, 4.0, 64.0)])
def test_a_weight_has_the_optimum_of_another_noise_level(case):
    place, table = case.best(case.weight, 1.0)
    other, same = case.best(1.0, case.weight)
    assert place == other
    torch.testing.assert_close(table, same, atol=1e-12, rtol=0)


@breaks(
    "prop-kl-weight",
    without="gaussian-likelihood",
    case=Weighted("student", 4.0, _student),
    because="a power of another likelihood is no likelihood of the same kind with another noise",
)
def test_a_weight_on_a_student_likelihood_is_no_noise_level(case):
    table, other = case.best(case.weight, 1.0)[1], case.best(1.0, case.weight)[1]
    assert (table - other).abs().max() > 0.01


@breaks(
    "prop-kl-weight",
    without="noise-not-learnt",
    case=Weighted("learnt", 4.0, _gaussian, learn_noise=True),
    because=r"a $\sigma^2$ that is learnt can undo the weight, or be moved by it",
)
def test_with_the_noise_learnt_the_optima_differ(case):
    assert case.best(case.weight, 1.0)[0] != case.best(1.0, case.weight)[0]


def _scalar_terms(slope: Tensor, of_the_mean: Tensor, variance: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Mean log-likelihood and mean divergence for data of variance 2 and q = N(of_the_mean x, variance)."""
    square = 2 * (1 - slope * of_the_mean).square() + slope.square() * variance
    reconstruction = -0.5 * (math.log(2 * math.pi * noise) + square / noise)
    return reconstruction, 0.5 * (2 * of_the_mean.square() + variance - 1 - variance.log())


SLOPES = torch.linspace(-2, 2, 81, dtype=torch.float64)[:, None, None]
ENCODERS = (
    torch.linspace(-1, 1, 81, dtype=torch.float64)[None, :, None],
    torch.linspace(0.05, 1.5, 30, dtype=torch.float64)[None, None, :],
)


def test_the_evidence_need_not_prefer_the_collapse_of_a_weight():
    """The data vary by 2, the noise by 1: with weight 4 the best slope is zero, and the evidence is higher without."""
    reconstruction, divergence = _scalar_terms(SLOPES, *ENCODERS, noise=1.0)
    by_slope = (reconstruction - 4 * divergence).amax((1, 2))
    assert SLOPES.flatten()[by_slope.argmax()].abs() < 1e-9
    x = torch.tensor([[-math.sqrt(2)], [math.sqrt(2)]], dtype=torch.float64)
    evidence = [
        LinearGaussian(_double(slope)[:, None], _double(0.0), _double(1.0)[0]).log_evidence(x).mean()
        for slope in (0.0, 1.0)
    ]
    assert evidence[1] > evidence[0] + 0.1
    assert evidence[1] == pytest.approx(-0.5 * (math.log(2 * math.pi) + math.log(2) + 1))


def test_a_collapsed_pair_gains_nothing_by_moving_one_of_the_two():
    """Though both together gain: with the noise below the variance of the data zero is not the best slope."""
    reconstruction, divergence = _scalar_terms(SLOPES, *ENCODERS, noise=0.5)
    bound = reconstruction - divergence
    zero, prior = (SLOPES.flatten().abs().argmin(), (ENCODERS[0].flatten().abs().argmin(), 19))
    assert ENCODERS[1].flatten()[19] == pytest.approx(1.0)
    collapsed = bound[zero, prior[0], prior[1]]
    assert bound[zero].max() <= collapsed + 1e-9
    assert bound[:, prior[0], prior[1]].max() <= collapsed + 1e-9
    assert bound.max() > collapsed + 0.5


def test_the_divergence_of_the_mean_parameters_is_at_most_the_mean_divergence():
    """From the standard normal: convex in the mean and in the standard deviation."""
    prior = Normal(*_double(0.0, 1.0))
    for seed in range(20):
        means, deviations = models.normals(10, seed=seed), models.normals(10, seed=seed + 50).exp()
        each = kl(Normal(means, deviations), prior).mean()
        assert kl(Normal(means.mean(), deviations.mean()), prior) <= each
