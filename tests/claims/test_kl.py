"""The claims of chapter 7, attacked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pytest
import torch
from attack import attack, breaks, explained
from laws import Law, Pair, growing_likelihood, law, log_pareto, pairs, posteriors, terms
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)
from torch.distributions.transforms import AffineTransform, ExpTransform, SigmoidTransform, Transform
from zoo import Member, members

from lvmlib import (
    FiniteModel,
    LinearGaussian,
    QuadratureModel,
    aggregate_posterior_split,
    data,
    expectation_maximization,
    kl,
    kl_decomposition,
    log_weights,
    summarize_weights,
)
from lvmlib.zoo.grids import line, values


def exactly(numbers: object) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# Gibbs' inequality


PAIRS = pairs()


@attack("thm-gibbs", cases=PAIRS)
def test_no_divergence_is_negative_and_it_is_zero_for_equal_densities_alone(case):
    # Pinsker's inequality: a divergence of zero leaves no room for a difference.
    divergence, distance = case.kl(), case.distance()
    assert divergence >= 2 * distance**2 - 1e-9
    if distance < 1e-9:
        assert divergence == pytest.approx(0, abs=1e-9)
    mass_outside = case.q.mass[case.log_p == -math.inf].sum()
    if mass_outside > 0:
        assert divergence == math.inf


@attack("thm-gibbs", cases=[pair for pair in PAIRS if isinstance(pair.source[2].model, FiniteModel)])
def test_the_library_computes_the_divergences_of_the_tables(case):
    first, second, one = case.source
    laws = {"q": one.q, "prior": one.model.prior, "posterior": one.model.posterior(one.x)}
    assert kl(laws[first], laws[second]).item() == pytest.approx(case.kl(), abs=1e-9)


@pytest.mark.vouches("thm-gibbs")
@pytest.mark.parametrize("one", members(), ids=lambda one: one.name)
def test_the_library_has_the_same_divergence_from_the_posterior(one):
    exact = isinstance(one.model, FiniteModel | LinearGaussian) and one.truth.log_evidence > -math.inf
    if exact and isinstance(one.q, Categorical | MultivariateNormal):
        assert kl(one.q, one.model.posterior(one.x)).item() == pytest.approx(one.truth.kl, abs=1e-9)


def tables(name: str, q: list[float], p: list[float]) -> Pair:
    grid, (first, second) = values(len(q)), (exactly(table).log() for table in (q, p))
    return Pair(name, law(name, grid.z, grid.log_volume, first), second, grid.log_volume)


@breaks(
    "thm-gibbs",
    without="p-is-density",
    case=tables("p sums to two", [0.3, 0.7], [0.6, 1.4]),
    because=r"a $p$ that sums to two, for want of its normaliser, gives $-\log 2$",
)
def test_without_the_normaliser_of_p_the_divergence_may_be_negative(case):
    assert case.kl() == pytest.approx(-math.log(2))


@breaks(
    "thm-gibbs",
    without="q-is-density",
    case=tables("q sums to a half", [0.15, 0.35], [0.3, 0.7]),
    because="half of $p$, taken for $q$, gives a negative number",
)
def test_without_the_normaliser_of_q_the_divergence_may_be_negative(case):
    assert case.kl() == pytest.approx(0.5 * math.log(0.5))


# Coordinates


@dataclass(frozen=True, eq=False)
class Mapped:
    """Two densities, a map of z, and grids of z and of y = T(z) that are made apart from each other."""

    name: str
    q: Distribution
    p: Distribution
    map: Transform | None
    y: Tensor
    renamed: tuple[int, ...] = ()

    def map_is_one_to_one(self) -> bool:
        if self.map is None:
            return len(set(self.renamed)) == len(self.renamed)
        return bool(self.map.bijective)

    def divergence_of_z(self) -> float:
        return kl(self.q, self.p).item()

    def divergence_of_y(self) -> float:
        """By the densities of y: of renamed values a table, of a mapped normal a sum over the grid of y."""
        if self.map is None:
            tables = [torch.zeros(max(self.renamed) + 1, dtype=torch.float64) for _ in range(2)]
            for table, law_of_z in zip(tables, (self.q, self.p), strict=True):
                table.index_add_(0, torch.tensor(self.renamed), law_of_z.probs)
            return kl(Categorical(tables[0]), Categorical(tables[1])).item()
        log_q, log_p = (TransformedDistribution(law_of_z, [self.map]).log_prob(self.y) for law_of_z in (self.q, self.p))
        return torch.trapezoid(log_q.exp() * (log_q - log_p), self.y).item()


NARROW, WIDE = Normal(exactly(0.5), 0.4), Normal(exactly(0.0), 1.0)
ODD = Categorical(exactly([0.5, 0.1, 0.4])), Categorical(exactly([0.2, 0.5, 0.3]))


def mapped() -> list[Mapped]:
    nothing = exactly(0.0)
    found = [
        Mapped(
            "millimetres",
            NARROW,
            WIDE,
            AffineTransform(exactly(0.0), exactly(1000.0)),
            torch.linspace(-14_000, 14_000, 400_001).double(),
        ),
        Mapped("exponential", NARROW, WIDE, ExpTransform(), torch.logspace(-6, 3, 400_001, dtype=torch.float64)),
        Mapped("logistic", NARROW, WIDE, SigmoidTransform(), torch.sigmoid(torch.linspace(-14, 14, 400_001).double())),
        Mapped("renamed", *ODD, None, nothing, (2, 0, 1)),
    ]
    for one in members():
        if isinstance(one.model, FiniteModel) and isinstance(one.q, Categorical) and one.truth.log_evidence > -math.inf:
            size = len(one.model.prior_table)
            turned_round = tuple(reversed(range(size)))
            found.append(Mapped(one.name, one.q, one.model.posterior(one.x), None, nothing, turned_round))
    return found


@attack("prop-kl-invariance", cases=mapped())
def test_a_divergence_is_the_same_in_other_coordinates(case):
    assert case.divergence_of_y() == pytest.approx(case.divergence_of_z(), abs=1e-6)


@breaks(
    "prop-kl-invariance",
    without="one-to-one",
    case=Mapped("merged", *ODD, None, exactly(0.0), (0, 1, 1)),
    because="two values that are taken for one lose what told them apart, and the divergence falls",
)
def test_a_map_that_forgets_lowers_the_divergence(case):
    assert 0 < case.divergence_of_y() < case.divergence_of_z() - 0.05


def test_the_entropy_and_the_log_evidence_change_with_the_unit_and_their_differences_do_not():
    """Chapter 7: readings in micrometres instead of millimetres, for a model of cells with three readings."""
    old, new, _ = data.cells()
    metres = [LinearGaussian.fit(old[:, :3], dim) for dim in (1, 2)]
    small = [LinearGaussian(1000 * m.weight, 1000 * m.bias, 1e6 * m.noise_variance) for m in metres]
    before, after = (
        [m.log_evidence(x) for m in models] for models, x in ((metres, new[:, :3]), (small, 1000 * new[:, :3]))
    )
    torch.testing.assert_close(before[0] - after[0], torch.full_like(before[0], 3 * math.log(1000)))
    torch.testing.assert_close(before[1] - before[0], after[1] - after[0])
    assert Normal(exactly(0.0), 0.24).entropy() < 0 < Normal(exactly(0.0), 0.25).entropy()


# Maximum likelihood


@dataclass(frozen=True, eq=False)
class Fitted:
    """A law of the data, with models for several theta: their log-densities at its points."""

    name: str
    law: Law
    log_models: tuple[Tensor, ...]

    def entropy_is_finite(self) -> bool:
        return self.law.entropy_is_finite()

    def divergences(self) -> list[float]:
        return [self.law.mean(self.law.log_density - log_model) for log_model in self.log_models]

    def log_likelihoods(self) -> list[float]:
        return [self.law.mean(log_model) for log_model in self.log_models]


def fitted() -> list[Fitted]:
    """The posteriors of the zoo, taken for data, with normal models; a table of tosses, with coins."""
    found = []
    for one in posteriors():
        z = one.z.double().reshape(len(one.z), -1)
        spreads = [
            (MultivariateNormal(torch.zeros(z.shape[1]).double(), s * torch.eye(z.shape[1]).double()))
            for s in (0.5, 1.0, 3.0, 9.0)
        ]
        found.append(Fitted(one.name, one, tuple(spread.log_prob(z) for spread in spreads)))
    tosses = law("tosses", *values(2), exactly([0.7, 0.3]).log())
    coins = tuple(exactly([theta, 1 - theta]).log() for theta in (0.5, 0.6, 0.7, 0.8))
    return [*found, Fitted("seventy heads", tosses, coins)]


@attack("prop-ml-is-kl", cases=fitted())
def test_the_divergence_is_minus_the_entropy_less_the_expected_log_likelihood(case):
    divergences, likelihoods = case.divergences(), case.log_likelihoods()
    for divergence, likelihood in zip(divergences, likelihoods, strict=True):
        if math.isfinite(likelihood):
            assert divergence == pytest.approx(-case.law.entropy() - likelihood, abs=1e-4, rel=1e-4)
    if all(map(math.isfinite, likelihoods)):
        assert divergences.index(min(divergences)) == likelihoods.index(max(likelihoods))


def a_peak_at_zero() -> Fitted:
    peak = log_pareto("a peak at zero as data", -1)
    models = tuple(Normal(exactly(mean), 0.1).log_prob(peak.z) for mean in (0.0, 0.1, 0.3))
    return Fitted(peak.name, peak, models)


@breaks(
    "prop-ml-is-kl",
    without="finite-entropy",
    case=a_peak_at_zero(),
    because=r"data with the entropy $-\infty$ are infinitely far from each model, while one of them has the largest "
    "expected log-likelihood",
)
def test_without_a_finite_entropy_the_divergences_do_not_order_the_models(case):
    assert set(case.divergences()) == {math.inf}
    assert all(map(math.isfinite, case.log_likelihoods()))
    assert len(set(case.log_likelihoods())) == 3


# The chain and the decomposition

ALL_TERMS = terms()


@attack("thm-kl-chain", cases=ALL_TERMS)
def test_the_divergence_from_the_posterior_is_evidence_plus_prior_divergence_less_reconstruction(case):
    right = case.truth.log_evidence + case.kl_to_prior() - case.reconstruction()
    assert case.kl() == pytest.approx(right, abs=1e-6, rel=1e-6)
    assert case.kl() == pytest.approx(case.member.truth.kl, abs=1e-5, rel=1e-5)


@attack("thm-kl-chain", cases=ALL_TERMS)
def test_the_library_has_the_terms_of_the_chain(case):
    one = case.member
    if isinstance(one.model, FiniteModel | LinearGaussian) and isinstance(one.q, Categorical | MultivariateNormal):
        found = kl_decomposition(one.model, one.q, one.x)
        assert found.kl.item() == pytest.approx(case.kl(), abs=1e-6)
        assert kl(one.q, one.model.prior).item() == pytest.approx(case.kl_to_prior(), abs=1e-6)


@breaks(
    "thm-kl-chain",
    without="likelihood-not-too-large",
    case=growing_likelihood(),
    because=r"a likelihood that grows like $e^{z^2/2}$ under a $q$ with heavy tails makes the right side "
    r"$\infty - \infty$, also where $q$ is the posterior",
)
def test_with_a_likelihood_that_grows_the_right_side_is_infinity_less_infinity(case):
    assert case.kl() == pytest.approx(0, abs=1e-6)
    assert case.kl_to_prior() == case.reconstruction() == math.inf


explained("thm-kl-chain", without="positive-evidence", because="without it there is no posterior")


@attack("cor-decomposition", cases=ALL_TERMS)
def test_elbo_and_divergence_add_up_to_the_log_evidence(case):
    assert case.elbo() + case.kl() == pytest.approx(case.truth.log_evidence, abs=1e-6)


@pytest.mark.vouches("cor-decomposition")
@pytest.mark.parametrize("one", members(), ids=lambda one: one.name)
def test_the_three_terms_of_the_library_are_computed_apart_and_add_up(one):
    exact = isinstance(one.model, FiniteModel | LinearGaussian) and one.truth.log_evidence > -math.inf
    if exact and isinstance(one.q, Categorical | MultivariateNormal):
        found = kl_decomposition(one.model, one.q, one.x)
        if found.elbo > -math.inf:
            assert (found.elbo + found.kl).item() == pytest.approx(found.log_evidence.item(), abs=1e-9)
            assert found.kl.item() == pytest.approx(one.truth.kl, abs=1e-9)


@breaks(
    "cor-decomposition",
    without="finite-gap",
    case=next(case for case in ALL_TERMS if case.name == "zero-likelihood"),
    because=r"where the divergence is infinite the right side is $-\infty + \infty$",
)
def test_with_an_infinite_gap_the_sum_means_nothing(case):
    assert case.elbo() == -math.inf
    assert case.kl() == math.inf
    assert math.isfinite(case.truth.log_evidence)


explained("cor-decomposition", without="positive-evidence", because="without it there is no posterior")


# What is optimised


@dataclass(frozen=True, eq=False)
class Family:
    """Models, one for each theta, with their observation, and the q that each of them may use."""

    name: str
    models: list[FiniteModel] | list[LinearGaussian]
    x: Tensor
    guides: list[list[Distribution]]

    @cached_property
    def terms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-evidences (T,), ELBOs and gaps (T, Q), by the library, for each theta under which x is possible."""
        rows = [
            [kl_decomposition(model, q, self.x) for q in guides]
            for model, guides in zip(self.models, self.guides, strict=True)
            if model.log_evidence(self.x) > -math.inf
        ]
        bounds, gaps = (
            torch.stack([torch.stack([getattr(one, part) for one in row]) for row in rows]) for part in ("elbo", "kl")
        )
        return torch.stack([row[0].log_evidence for row in rows]), bounds, gaps

    def each_evidence_is_positive(self) -> bool:
        return all(model.log_evidence(self.x) > -math.inf for model in self.models)

    def reaches_each_posterior(self) -> bool:
        return bool((self.terms[2].amin(1) < 1e-9).all())


def of_table(one: Member, tilts: tuple[float, ...] = (0.0, 0.5, 1.0)) -> Family:
    """The likelihood of a member between its own and one half, with q among all posteriors."""
    assert isinstance(one.model, FiniteModel)
    likelihood = one.model.likelihood_table
    models = [FiniteModel(one.model.prior_table, likelihood.lerp(likelihood.new_tensor(0.5), tilt)) for tilt in tilts]
    possible = [model for model in models if model.log_evidence(one.x) > -math.inf]
    guides = [one.q, one.model.prior, *(model.posterior(one.x) for model in possible)]
    return Family(one.name, models, one.x, [guides] * len(models))


TABLES = [of_table(one) for one in members() if isinstance(one.model, FiniteModel)]


def one_knob(restricted: bool) -> Family:
    """x ~ N(theta (z_1 + z_2), 1) with x = 3, for five theta; the best product of normals, and the posterior."""
    x = exactly([3.0])
    models = [
        LinearGaussian(theta * torch.ones(1, 2).double(), torch.zeros(1).double(), exactly(1.0))
        for theta in (1.0, 1.474, 1.7, 2.0, 2.5)
    ]
    guides: list[list[Distribution]] = []
    for model in models:
        posterior = model.posterior(x)
        best = MultivariateNormal(posterior.mean, (1 / posterior.precision_matrix.diagonal()).diag())
        guides.append([best] if restricted else [best, posterior])
    return Family("two causes of one sum", models, x, guides)


@attack("prop-objective", cases=[*TABLES, one_knob(restricted=False)])
def test_over_phi_the_largest_bound_is_the_smallest_divergence_and_over_both_it_is_the_largest_evidence(case):
    log_evidences, bounds, gaps = case.terms
    for row, gap in zip(bounds, gaps, strict=True):
        assert ((row.max() - row < 1e-9) == (gap - gap.min() < 1e-9)).all()
    assert bounds.max().item() == pytest.approx(log_evidences.max().item(), abs=1e-9)
    best = bounds.amax(1)
    assert ((best.max() - best < 1e-9) == (log_evidences.max() - log_evidences < 1e-9)).all()


@pytest.mark.vouches("prop-objective")
def test_over_phi_the_two_optima_agree_also_where_no_phi_gives_the_posterior():
    case = one_knob(restricted=True)
    log_evidences, bounds, gaps = case.terms
    wide = torch.linspace(0.2, 3, 30).double()
    for model, x in ((model, case.x) for model in case.models):
        posterior = model.posterior(x)
        several = [MultivariateNormal(posterior.mean, factor * torch.eye(2).double()) for factor in wide]
        terms = [kl_decomposition(model, q, x) for q in several]
        assert max(range(30), key=lambda i: terms[i].elbo) == min(range(30), key=lambda i: terms[i].kl)
    assert (gaps > 0.1).all()
    assert bounds.max() <= log_evidences.max()


@breaks(
    "prop-objective",
    without="every-posterior",
    case=one_knob(restricted=True),
    because=r"a $q$ with independent coordinates cannot be the posterior of two causes of one sum, and the largest "
    r"bound is at a smaller $\theta$ than the largest evidence",
)
def test_a_restricted_q_moves_the_best_theta(case):
    log_evidences, bounds, _ = case.terms
    assert log_evidences.argmax() == 3
    assert bounds.amax(1).argmax() == 1
    assert bounds.max() < log_evidences.max() - 0.1


@breaks(
    "prop-objective",
    without="every-evidence-positive",
    case=Family(
        "one impossible model",
        [
            FiniteModel(exactly([0.5, 0.5]), exactly(table))
            for table in ([[0.5, 0.5], [0.9, 0.1]], [[1.0, 0.0], [1.0, 0.0]])
        ],
        torch.tensor(1),
        [[Categorical(exactly(q)) for q in ([0.5, 0.5], [5 / 6, 1 / 6])]] * 2,
    ),
    because=r"at a $\theta$ for which $x$ is impossible there is no posterior, and all bounds are $-\infty$",
)
def test_where_x_is_impossible_no_phi_is_better_than_another(case):
    impossible, guides = case.models[1], case.guides[1]
    for q in guides:
        assert summarize_weights(impossible, q, case.x, 10, seed=0).elbo == -math.inf
        with pytest.raises(ValueError, match="positive evidence"):
            kl_decomposition(impossible, q, case.x)


# Moments


@attack("thm-moments", cases=posteriors())
def test_the_forward_divergence_splits_at_the_gaussian_with_the_same_moments(case):
    z = case.z.double().reshape(len(case.z), -1)
    mean = exactly([case.mean(z[:, i]) for i in range(z.shape[1])])
    products = [
        [case.mean((z[:, i] - mean[i]) * (z[:, j] - mean[j])) for j in range(len(mean))] for i in range(len(mean))
    ]
    matched = MultivariateNormal(mean, exactly(products))
    least = case.mean(case.log_density - matched.log_prob(z))
    spread = matched.covariance_matrix
    for shift, factor in ((0.0, 1.0), (0.3, 1.0), (0.0, 1.5), (-1.0, 0.6)):
        q = MultivariateNormal(mean + shift * spread.diagonal().sqrt(), factor * spread)
        divergence = case.mean(case.log_density - q.log_prob(z))
        assert divergence == pytest.approx(least + kl(matched, q).item(), abs=1e-3, rel=1e-3)
        assert divergence > least - 1e-9 if (shift, factor) == (0.0, 1.0) else divergence > least + 0.01


@breaks(
    "thm-moments",
    without="finite-second-moment",
    case=next(one for one in posteriors() if one.name == "normal-for-powers"),
    because="a density with the tails of a Cauchy has no variance, and its divergence from each Gaussian is infinite",
)
def test_without_second_moments_no_gaussian_has_a_finite_forward_divergence(case):
    for scale in (1.0, 10.0, 1e3):
        q = Normal(exactly(0.0), scale)
        assert case.mean(case.log_density - q.log_prob(case.z)) == math.inf


@breaks(
    "thm-moments",
    without="finite-entropy",
    case=log_pareto("a peak at zero", -1),
    because=r"$p(z) = 1 / (z \log^2 z)$ on $(0, 1/e)$ has the entropy $-\infty$, and each Gaussian is infinitely far "
    "from it",
)
def test_without_a_finite_entropy_all_gaussians_are_equally_far(case):
    for mean, scale in ((0.0, 1.0), (0.1, 0.1), (0.1, 0.2)):
        q = Normal(exactly(mean), scale)
        assert case.mean(case.log_density - q.log_prob(case.z)) == math.inf


# Two normal densities


@dataclass(frozen=True, eq=False)
class Normals:
    """A q with a mean and a covariance, and a p with independent coordinates; the first D of the claim."""

    name: str
    q: Distribution
    mean: Tensor
    covariance: Tensor
    p_mean: Tensor
    p_scale: Tensor

    def both_are_normal(self) -> bool:
        return isinstance(self.q, MultivariateNormal)

    def coordinates_are_independent(self) -> bool:
        return bool((self.covariance == self.covariance.diag().diag()).all())

    def stated(self) -> float:
        """The formula of the claim, added over the coordinates."""
        scale = self.covariance.diagonal().sqrt()
        ratio = scale.square() + (self.mean - self.p_mean).square()
        return ((self.p_scale / scale).log() + ratio / (2 * self.p_scale.square()) - 0.5).sum().item()

    def exact(self) -> float:
        p = Independent(Normal(self.p_mean, self.p_scale), 1)
        return kl(self.q, p).item()


def normals(name: str, q: MultivariateNormal, p: MultivariateNormal) -> Normals:
    return Normals(name, q, q.mean, q.covariance_matrix, p.mean, p.stddev)


def normal_cases() -> list[Normals]:
    """Prior, posterior and q of the zoo's Gaussians, whichever of them have independent coordinates."""
    found = []
    for one in members():
        if isinstance(one.model, LinearGaussian) and isinstance(one.q, MultivariateNormal):
            prior = one.model.prior
            standard = MultivariateNormal(prior.mean, prior.variance.diag())
            posterior = one.model.posterior(one.x)
            found += [normals(f"{one.name}: q from prior", one.q, standard)]
            found += [normals(f"{one.name}: posterior from prior", posterior, standard)]
            found += [normals(f"{one.name}: prior from q", standard, one.q)]
    return found


@attack("prop-gaussian-kl", cases=normal_cases())
def test_the_formula_for_normals_is_what_the_library_computes(case):
    assert case.exact() == pytest.approx(case.stated(), rel=1e-9, abs=1e-9)


@attack("prop-gaussian-kl", cases=normal_cases())
def test_the_formula_for_normals_is_the_integral_over_each_coordinate(case):
    total = 0.0
    for q_mean, q_scale, p_mean, p_scale in zip(
        case.mean, case.covariance.diagonal().sqrt(), case.p_mean, case.p_scale, strict=True
    ):
        z, log_volume = line(q_mean.item(), q_scale.item(), reach=3.5)
        log_q, log_p = Normal(q_mean, q_scale).log_prob(z), Normal(p_mean, p_scale).log_prob(z)
        total += ((log_q + log_volume).exp() * (log_q - log_p)).sum().item()
    assert total == pytest.approx(case.stated(), rel=1e-6, abs=1e-8)


@breaks(
    "prop-gaussian-kl",
    without="both-normal",
    case=Normals(
        "a Laplace density",
        Independent(Laplace(torch.zeros(1).double(), math.sqrt(0.5)), 1),
        torch.zeros(1).double(),
        torch.eye(1).double(),
        torch.zeros(1).double(),
        torch.ones(1).double(),
    ),
    because="for a Laplace density with mean 0 and variance 1 and a standard normal $p$ the formula gives zero",
)
def test_the_formula_is_wrong_for_another_density_with_the_same_moments(case):
    assert case.stated() == pytest.approx(0, abs=1e-12)
    assert case.exact() > 0.05


@breaks(
    "prop-gaussian-kl",
    without="independent-coordinates",
    case=normals(
        "a leaning q",
        MultivariateNormal(torch.zeros(2).double(), exactly([[1.0, 0.9], [0.9, 1.0]])),
        MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double()),
    ),
    because="for a correlation of 0.9 the sum over the coordinates is zero and the divergence is 0.83 nats",
)
def test_the_sum_over_coordinates_misses_a_correlation(case):
    assert case.stated() == pytest.approx(0, abs=1e-12)
    assert case.exact() == pytest.approx(-0.5 * math.log(1 - 0.81), abs=1e-12)


# The split


@dataclass(frozen=True, eq=False)
class Guides:
    """A table q for each of N observations, and a prior, any of them with zeros."""

    name: str
    q: Tensor
    prior: Tensor

    def divergences(self, p: Tensor) -> Tensor:
        """Of each row from p, with 0 log 0 = 0."""
        return torch.where(self.q > 0, self.q * (self.q / p).log(), 0.0).sum(-1)


def guides() -> list[Guides]:
    """Posteriors and proposals of the zoo's tables over all observations; one, several, and some that p forbids."""
    found = []
    for one in members():
        if isinstance(one.model, FiniteModel) and isinstance(one.q, Categorical):
            table, prior = one.model.likelihood_table, one.model.prior_table
            joint = table * prior[:, None]
            rows = [joint[:, x] / joint[:, x].sum() for x in range(2) if joint[:, x].sum() > 0]
            found.append(Guides(one.name, torch.stack([*rows, one.q.probs]), prior))
            found.append(Guides(f"{one.name} alone", one.q.probs[None], prior))
    sure = torch.eye(3).double()
    found.append(Guides("told apart", sure, exactly([0.2, 0.3, 0.5])))
    found.append(Guides("outside the prior", sure, exactly([0.5, 0.5, 0.0])))
    return found


@attack("thm-aggregate", cases=guides())
def test_the_average_divergence_is_information_plus_the_divergence_of_the_aggregate(case):
    aggregate = case.q.mean(0)
    whole, information = case.divergences(case.prior).mean().item(), case.divergences(aggregate).mean().item()
    rest = torch.where(aggregate > 0, aggregate * (aggregate / case.prior).log(), 0.0).sum().item()
    assert whole == pytest.approx(information + rest, abs=1e-9)
    assert -1e-12 <= information <= math.log(len(case.q)) + 1e-12
    split = aggregate_posterior_split(Categorical(case.q), Categorical(case.prior), torch.zeros(len(case.q)))
    for part, value in zip(split, (whole, information, rest), strict=True):
        assert part.item() == pytest.approx(value, abs=1e-9)


# What the chapter says beside its claims


def two_modes() -> tuple[QuadratureModel, Tensor]:
    """The noisy square of chapter 7, whose sign is lost; its prior leans to the right."""
    lean = Normal(exactly(0.15), 1.0)
    return QuadratureModel(lean, lambda z: Normal(z**2, 0.5)), exactly(1.6)


def mass_on_the_right() -> float:
    model, x = two_modes()
    z, log_volume = line()
    log_posterior = model.log_joint(x, z) + log_volume
    return (log_posterior[z > 0].logsumexp(0) - log_posterior.logsumexp(0)).exp().item()


def test_in_the_model_of_the_chapter_the_modes_are_further_apart_for_their_width():
    """Nine standard deviations of a mode, where the explorer has its modes less than six apart."""
    model, x = two_modes()
    z, log_volume = line()
    mass = (model.log_joint(x, z) + log_volume).softmax(0)
    means, widths = [], []
    for side in (z > 0, z < 0):
        share = mass[side] / mass[side].sum()
        means.append((share * z[side]).sum())
        widths.append(((share * z[side].square()).sum() - means[-1].square()).sqrt())
    assert (means[0] - means[1]) / torch.stack(widths).mean() == pytest.approx(9, abs=0.3)
    assert 4 / 0.7 < 6


def test_what_the_two_local_optima_of_the_chapter_lose():
    """Chapter 7, the fifth exercise: 0.57 nats on the right and 0.92 on the left."""
    model, x = two_modes()
    rho = mass_on_the_right()
    for sign, gap, floor in ((1, 0.57, -math.log(rho)), (-1, 0.92, -math.log(1 - rho))):
        m, s = torch.meshgrid(
            sign * torch.linspace(1.1, 1.2, 21).double(), torch.linspace(0.19, 0.25, 13).double(), indexing="ij"
        )
        values = model.kl_to_posterior(Normal(m, s), x.expand(21, 13))
        assert values.min().item() == pytest.approx(gap, abs=0.005)
        assert floor == pytest.approx({1: 0.54, -1: 0.88}[sign], abs=0.005)


def best_on_the_right() -> Normal:
    """The normal q of smallest reverse divergence with a positive mean, by a fine search."""
    model, x = two_modes()
    m, s = torch.meshgrid(
        torch.linspace(1.1, 1.25, 61).double(), torch.linspace(0.17, 0.27, 61).double(), indexing="ij"
    )
    values = model.kl_to_posterior(Normal(m, s), x.expand(61, 61))
    i, j = divmod(int(values.argmin()), 61)
    return Normal(m[i, j], s[i, j])


def test_half_the_variance_misses_the_mode_that_q_ignores():
    """Chapter 6: the gap of the best normal q on one of two modes, and half the variance of its log-weights."""
    model, x = two_modes()
    q = best_on_the_right()
    gap = model.kl_to_posterior(q, x).item()
    assert gap == pytest.approx(0.57, abs=0.005)
    torch.manual_seed(0)
    log_w = log_weights(model, q, x, 100_000)
    squares = 0.5 * (log_w - log_w.mean()).square()
    assert abs(squares.mean() - 0.0259) < 5 * squares.std() / math.sqrt(100_000)
    assert squares.mean() < gap / 20


def test_what_a_gaussian_on_one_mode_loses_is_bounded_by_the_masses_on_the_two_sides():
    """The divergence of any q is at least that of the coin which says on which side z is."""
    model, x = two_modes()
    rho = mass_on_the_right()
    for mean in (-1.2, -0.5, 0.1, 0.6, 1.0, 1.17, 1.3, 2.0):
        for scale in (0.1, 0.2, 0.4, 0.8, 1.5):
            q = Normal(exactly(mean), scale)
            right = 1 - q.cdf(exactly(0.0))
            floor = kl(Bernoulli(right), Bernoulli(exactly(rho)))
            assert model.kl_to_posterior(q, x) >= floor - 1e-7


def test_in_the_model_of_the_chapter_the_gaussian_on_the_right_loses_more_than_minus_log_rho():
    model, x = two_modes()
    floor = -math.log(mass_on_the_right())
    assert floor == pytest.approx(0.54, abs=0.005)
    assert floor < model.kl_to_posterior(best_on_the_right(), x) < floor + 0.05


def test_the_reverse_optimum_of_the_explorer_loses_less_than_minus_log_rho():
    """Two modes of 0.6 and 0.4, four apart and 0.7 wide: a Gaussian on the left one reaches over to the other."""
    grid, log_volume = line()
    shares, centers = exactly([0.6, 0.4]), exactly([-2.0, 2.0])
    log_p = (shares.log() + Normal(centers, 0.7).log_prob(grid[:, None])).logsumexp(-1)
    rho = (log_p + log_volume)[grid < 0].exp().sum().item()
    m, s = torch.meshgrid(torch.linspace(-2.1, -1.7, 41).double(), torch.linspace(0.6, 0.9, 31).double(), indexing="ij")
    log_q = Normal(m, s).log_prob(grid[:, None, None])
    mass = (log_q + log_volume[:, None, None]).exp()
    least = (mass * (log_q - log_p[:, None, None])).sum(0).min().item()
    assert least == pytest.approx(0.505, abs=5e-4)
    assert -math.log(rho) == pytest.approx(0.512, abs=6e-4)


def shuffled(seed: int = 0) -> Tensor:
    """The training digits in the order of the chapter, or in another."""
    train = data.digits("train", dtype=torch.float64).images
    return train[torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))]


def test_at_sixteen_dimensions_the_information_is_at_its_ceiling():
    """Chapter 7: the posteriors of 400 digits overlap so little that a draw tells which digit it belongs to."""
    train = shuffled()
    model = LinearGaussian.fit(train, 16)
    split = aggregate_posterior_split(model.posterior, model.prior, train[:400], num_samples=20, seed=1)
    told = split.mutual_information
    assert math.log(400) - 0.03 < told.value - 5 * told.std_error
    posterior = model.posterior(train[:400])
    z = posterior.sample()
    log_density = MultivariateNormal(posterior.mean[None], posterior.covariance_matrix[0]).log_prob(z[:, None])
    assert (log_density.argmax(1) == torch.arange(400)).double().mean() > 0.95


def misfit(dim: int) -> tuple[float, float, float]:
    """How much further 400 digits are from the prior than the model's own images, with the error of the difference, and
    the spread over other choices of the digits."""
    model = LinearGaussian.fit(shuffled(), dim)
    sets = [shuffled()[:400], *(model.sample(400, seed=seed)[0] for seed in range(1, 5))]
    sets += [shuffled(seed)[:400] for seed in range(1, 6)]
    # A seed for each set: with a common one, the sets would share the error of the draws.
    digits, *own = (
        aggregate_posterior_split(model.posterior, model.prior, images, num_samples=12, seed=10 + k).marginal_kl
        for k, images in enumerate(sets)
    )
    values = torch.stack([one.value for one in own])
    error = math.hypot(digits.std_error.item(), values[:4].std().item() / 2)
    return (digits.value - values[:4].mean()).item(), error, values[4:].std().item()


def test_the_prior_misfits_the_digits_most_at_four_and_eight_dimensions_and_hardly_at_sixteen():
    differences = {dim: misfit(dim) for dim in (2, 4, 8, 16)}
    for dim, expected in ((2, 0.11), (4, 0.35), (8, 0.27)):
        value, error, spread = differences[dim]
        assert abs(value - expected) < 5 * error
        assert value > 3 * error
        assert spread < 0.09
    value, error, _ = differences[16]
    assert abs(value) < 0.15 + 3 * error


def test_the_information_falls_behind_its_ceiling_when_the_digits_are_many():
    """Chapter 7, the last exercise: in eight dimensions 1,400 digits overlap, long before log N reaches the KL term."""
    train = shuffled()
    model = LinearGaussian.fit(train, 8)
    for count, expected in ((25, 3.18), (400, 5.69), (1400, 6.41)):
        told = aggregate_posterior_split(
            model.posterior, model.prior, train[:count], num_samples=7000 // count, seed=2
        ).mutual_information
        assert abs(told.value.item() - expected) < 5 * told.std_error.item() + 0.01
        assert told.value + 5 * told.std_error < math.log(count) + 0.05
    assert told.value + 5 * told.std_error < math.log(1400) - 0.7


def test_the_order_of_arguments_decides_between_zero_forcing_and_covering():
    """Chapter 7: what the optima of either direction look like for two modes."""
    model, x = two_modes()
    posterior = model.posterior(x)
    forward = Normal(posterior.mean, posterior.variance.sqrt())
    reverse = best_on_the_right()
    left = exactly(-0.5)
    assert forward.cdf(left) > 0.2
    assert reverse.cdf(left) < 1e-6
    assert model.kl_to_posterior(forward, x) > 10 * model.kl_to_posterior(reverse, x)


def alpha_divergence(log_p: Tensor, log_q: Tensor, alpha: float, cell: float) -> float:
    blend = (alpha * log_p + (1 - alpha) * log_q).exp().sum().item() * cell
    return (1 - blend) / (alpha * (1 - alpha))


def test_the_alpha_divergence_lies_between_the_two_directions():
    """Chapter 7: it tends to the reverse divergence at 0 and to the forward one at 1, and is symmetric at one half."""
    z = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    cell = (z[1] - z[0]).item()
    q, p = Normal(exactly(0.5), 0.7), Normal(exactly(0.0), 1.3)
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    assert alpha_divergence(log_p, log_q, 1e-5, cell) == pytest.approx(kl(q, p).item(), abs=1e-4)
    assert alpha_divergence(log_p, log_q, 1 - 1e-5, cell) == pytest.approx(kl(p, q).item(), abs=1e-4)
    half, swapped = alpha_divergence(log_p, log_q, 0.5, cell), alpha_divergence(log_q, log_p, 0.5, cell)
    assert half == pytest.approx(swapped, abs=1e-9)
    assert alpha_divergence(log_p, log_p, 0.3, cell) == pytest.approx(0, abs=1e-9)


def repeated(precision: Tensor, variance: Tensor, alpha: float) -> Tensor:
    """One repetition of chapter 7: the variances under the blend."""
    blend = alpha * precision + (1 - alpha) * (1 / variance).diag()
    return torch.linalg.inv(blend).diagonal()


def closest(covariance: Tensor, alpha: float, steps: int = 300) -> Tensor:
    """The fixed point of chapter 7."""
    precision = torch.linalg.inv(covariance)
    variance = 1 / precision.diagonal()
    for _ in range(steps):
        variance = repeated(precision, variance, alpha)
    return variance


def blended(covariance: Tensor, variance: Tensor, alpha: float) -> float:
    """The logarithm of the integral of p^alpha q^(1 - alpha) for two normal densities with one mean."""
    precision, other = torch.linalg.inv(covariance), (1 / variance).diag()
    blend = alpha * precision + (1 - alpha) * other
    return 0.5 * (alpha * precision.logdet() + (1 - alpha) * other.logdet() - blend.logdet()).item()


def test_at_the_reverse_end_the_repetition_stays_where_it_starts_and_elsewhere_it_forgets_its_start():
    """Chapter 7: at alpha = 0 the blend is q, whatever its variances; the limit is the conditional variance."""
    covariance = exactly([[1.0, 0.9], [0.9, 1.0]])
    precision = torch.linalg.inv(covariance)
    for start in (1 / precision.diagonal(), covariance.diagonal(), exactly([0.3, 4.0])):
        torch.testing.assert_close(repeated(precision, start, 0.0), start)
        variance = start
        for _ in range(300):
            variance = repeated(precision, variance, 0.25)
        torch.testing.assert_close(variance, closest(covariance, 0.25))
    torch.testing.assert_close(closest(covariance, 0.0), 1 / precision.diagonal())


@pytest.mark.thorough
@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75])
def test_the_fixed_point_is_the_smallest_alpha_divergence(alpha):
    torch.manual_seed(0)
    for covariance in (
        exactly([[1.0, 0.9], [0.9, 1.0]]),
        exactly([[2.0, 0.5, 0.1], [0.5, 1.0, -0.4], [0.1, -0.4, 0.7]]),
    ):
        found = closest(covariance, alpha)
        torch.testing.assert_close(found, closest(covariance, alpha, 301), rtol=1e-9, atol=0)
        best = blended(covariance, found, alpha)
        for size in (0.01, 0.3, 1.0):
            for factor in (size * torch.randn(200, len(found)).double()).exp():
                assert blended(covariance, found * factor, alpha) <= best + 1e-12
    torch.testing.assert_close(closest(covariance, 1.0), covariance.diagonal())
    torch.testing.assert_close(closest(covariance, 1e-4, 200_000 // 10), closest(covariance, 0.0), rtol=1e-2, atol=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_gap_of_independent_coordinates_is_half_a_log_determinant(seed):
    """Chapter 7: zero for uncorrelated coordinates, and positive otherwise (Hadamard's inequality)."""
    torch.manual_seed(seed)
    root = torch.randn(4, 4).double()
    precision = root @ root.T + 0.1 * torch.eye(4).double()
    posterior = MultivariateNormal(torch.randn(4).double(), precision_matrix=precision)
    q = MultivariateNormal(posterior.mean, (1 / precision.diagonal()).diag())
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert kl(q, posterior).item() == pytest.approx(gap.item(), abs=1e-9)
    assert gap > 0
    assert (
        0.5 * (precision.diagonal().diag().diagonal().log().sum() - precision.diagonal().diag().logdet()).abs() < 1e-12
    )


@lru_cache(maxsize=1)
def factor_analysis() -> LinearGaussian:
    """The laboratory's model of chapter 7, with eight causes."""
    old, _, _ = data.cells()
    start = LinearGaussian.fit(old, 8)
    start = LinearGaussian(start.weight, start.bias, start.noise_variance.expand(30).clone())
    return expectation_maximization(start, old, tolerance=1e-3).model


@lru_cache(maxsize=1)
def forecasts(known: int) -> dict[float | str, Tensor]:
    """Chapter 7: hits of 90 % intervals and scores of each sample, by the widths of each alpha and by the posterior."""
    _, new, _ = data.cells()
    model = factor_analysis()
    alphas = (0.0, 0.25, 0.5, 0.75, 1.0) if known == 10 else (0.0, 1.0)
    results: dict[float | str, list[Tensor]] = {name: [] for name in (*alphas, "exact")}
    generator = torch.Generator().manual_seed(known)
    for row in new:
        order = torch.randperm(30, generator=generator)
        given, gaps = order[:known], order[known:]
        parameters = model.weight, model.bias, model.noise_variance
        now = LinearGaussian(*(part[given] for part in parameters)).posterior(row[given])
        rows = model.weight[gaps]
        miss = row[gaps] - rows @ now.mean - model.bias[gaps]
        for name, each in results.items():
            S = now.covariance_matrix
            S = S if isinstance(name, str) else closest(S, name).diag()
            scale = (model.noise_variance[gaps] + ((rows @ S) * rows).sum(1)).sqrt()
            held, score = (miss.abs() < 1.645 * scale).double().mean(), Normal(0.0, scale).log_prob(miss).mean()
            each.append(torch.stack([held, score]))
    return {name: torch.stack(rows) for name, rows in results.items()}


def in_errors(each: Tensor) -> float:
    """A mean over samples in units of its standard error."""
    return (each.mean() / each.std() * math.sqrt(len(each))).item()


@pytest.mark.thorough
def test_forward_widths_hold_on_average_and_score_below_the_exact_posterior():
    """Chapter 7: 90 % intervals of forecasts with ten known readings, with independent coordinates and exactly."""
    both = forecasts(10)
    assert in_errors(both[0.0][:, 0] - 0.9) < -5
    for name in (1.0, "exact"):
        assert abs(in_errors(both[name][:, 0] - 0.9)) < 3
    assert in_errors(both["exact"][:, 1] - both[1.0][:, 1]) > 5
    assert 0.005 < (both[1.0] - both["exact"])[:, 0].mean() < 0.02


@pytest.mark.thorough
def test_the_score_rises_up_to_three_quarters_and_the_coverage_up_to_the_end():
    """Chapter 7: paired steps from the reverse to the forward widths."""
    both = forecasts(10)
    for before, after in ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)):
        held, score = (both[after] - both[before]).T
        assert in_errors(held) > 5
        assert (in_errors(score) > 3) == (after < 1)
    assert abs(in_errors((both[1.0] - both[0.75])[:, 1])) < 2


@pytest.mark.thorough
@pytest.mark.parametrize(("known", "errors", "fred_ahead"), [(5, 8, 1.08), (20, 3, 0.15)])
def test_the_exact_posterior_is_ahead_of_both_with_five_and_with_twenty_known_readings(known, errors, fred_ahead):
    """Chapter 7, the last exercise: paired differences of scores."""
    both = forecasts(known)
    scores = {name: rows[:, 1] for name, rows in both.items()}
    assert errors < in_errors(scores["exact"] - scores[1.0]) < errors + 1
    assert in_errors(scores["exact"] - scores[0.0]) > 4
    assert in_errors(scores[1.0] - scores[0.0]) > 2
    assert (scores[1.0] - scores[0.0]).mean().item() == pytest.approx(fred_ahead, abs=0.005)
    assert in_errors(both[0.0][:, 0] - 0.9) < -5
    for name in (1.0, "exact"):
        assert abs(in_errors(both[name][:, 0] - 0.9)) < 2


def test_the_wrong_divergences_are_smallest_at_the_prior_too():
    """Chapter 7: each wrong formula has its minimum at the prior; and yet it may rise while the right value falls."""
    m, s = torch.meshgrid(torch.linspace(-2, 2, 41).double(), torch.logspace(-1, 1, 41).double(), indexing="ij")
    q, prior = Normal(m, s), Normal(exactly(0.0), 1.0)
    terms_of_q = m**2 + s**2 - 1 - 2 * s.log()
    wrong = (kl(prior, q), kl(Normal(m, s**2), prior), terms_of_q, 0.5 * (terms_of_q + 1))
    for value in (kl(q, prior), *wrong):
        at = torch.unravel_index(value.argmin(), value.shape)
        assert m[at].item() == pytest.approx(0, abs=1e-6)
        assert s[at].item() == pytest.approx(1, abs=1e-6)
    wide, moved = Normal(exactly(0.0), 3.0), Normal(exactly(1.8), 1.0)
    assert kl(moved, prior) < kl(wide, prior)
    assert kl(prior, moved) > kl(prior, wide)
