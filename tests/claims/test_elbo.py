"""The claims of chapter 6, attacked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from attack import attack, breaks, explained
from laws import Evidence, Terms, growing_likelihood, log_pareto, terms
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, MultivariateNormal, Normal
from zoo import Drawn, Member, member, members

from lvmlib import (
    LatentVariableModel,
    WeightSummary,
    data,
    elbo,
    expectation_maximization,
    kl_decomposition,
    laplace_approximation,
    log_weights,
    summarize_weights,
)
from lvmlib.exact import FiniteModel, LinearGaussian


@attack("thm-elbo")
def test_the_elbo_is_at_most_the_log_evidence_and_equal_to_it_only_at_the_posterior(case):
    truth = case.truth
    assert truth.elbo <= truth.log_evidence + 1e-12
    at_the_posterior = truth.covers and truth.highest - truth.lowest < 1e-12
    assert (truth.log_evidence - truth.elbo < 1e-12) == at_the_posterior


@attack("thm-elbo")
def test_the_library_has_the_same_elbo(case):
    truth = case.truth
    if isinstance(case.model, FiniteModel | LinearGaussian) and case.name != "heavy-f":
        terms = kl_decomposition(case.model, case.q, case.x)
        assert terms.elbo.item() == pytest.approx(truth.elbo, rel=1e-9, abs=1e-9)
    if truth.log_variance < math.inf:
        summary = summarize_weights(case.model, case.q, case.x, 20_000, seed=1)
        # The true standard error: that of the sample is nearly zero where a rare weight was not drawn.
        assert abs(summary.elbo - truth.elbo) <= 5 * math.sqrt(truth.log_variance / 20_000) + 1e-9


@breaks(
    "thm-elbo",
    without="positive-evidence",
    case=member("impossible-x"),
    because=r"for an impossible $x$ the bound is $-\infty = \log p(x)$ for every $q$, and there is no posterior",
)
def test_for_an_impossible_observation_every_q_attains_the_bound(case):
    for probs in ([0.5, 0.3, 0.2], [0.1, 0.1, 0.8]):
        q = Categorical(case.model.prior_table.new_tensor(probs))
        summary = summarize_weights(case.model, q, case.x, 10, seed=0)
        assert summary.elbo == case.model.log_evidence(case.x) == -math.inf


@dataclass(frozen=True, eq=False)
class Bargain:
    """A law on points, and a function of them that pays for moving away from it."""

    name: str
    prior: Tensor
    f: Tensor
    evidence: float | None = None

    def has_mass_above_minus_infinity(self) -> bool:
        return bool((self.f[self.prior > 0] > -math.inf).any())

    def tilted_moment_is_finite(self) -> bool:
        return self.tilted_moment() < math.inf

    def tilted_moment(self) -> float:
        """The mean of the size of f times its exponential; infinite if it still grows at the far end."""
        terms = torch.where(self.prior > 0, self.prior * self.f.exp() * self.f.abs(), 0.0)
        terms = torch.where(self.f == -math.inf, 0.0, terms)
        half, whole = terms[: len(terms) // 2].sum().item(), terms.sum().item()
        # A table that ends is summed; one that stands for infinitely many values is cut off.
        return math.inf if self.is_cut_off and whole > half + 0.1 else whole

    @property
    def is_cut_off(self) -> bool:
        return len(self.f) > 1000 and bool((self.f.diff() > 0).all())

    def best(self) -> float:
        return (self.prior.log() + self.f).logsumexp(0).item()

    def tilted(self) -> Tensor:
        return (self.prior.log() + self.f).softmax(0)

    def value(self, q: Tensor) -> float:
        """What q gains from f, less what it pays for its distance from the prior."""
        gain = torch.where(q > 0, self.f - (q / self.prior).log(), 0.0)
        return torch.where(q > 0, q * gain, 0.0).sum().item()


def bargains() -> list[Bargain]:
    """The priors and the log-likelihoods of the zoo."""
    found = []
    for case in terms():
        assert case.member is not None
        grid = case.member.grid
        assert grid is not None
        prior = (case.log_prior + grid.log_volume).exp()
        if abs(prior.sum().item() - 1) < 1e-9:
            found.append(Bargain(case.name, prior / prior.sum(), case.log_likelihood, case.truth.log_evidence))
    return found


@attack("thm-gibbs-variational", cases=bargains())
def test_the_tilted_prior_makes_the_best_bargain_and_no_other_density_does(case):
    best, tilted = case.best(), case.tilted()
    assert case.evidence == pytest.approx(best, abs=1e-8)
    assert case.value(tilted) == pytest.approx(best, abs=1e-9)
    halfway = (case.prior.sqrt() * tilted.sqrt()) / (case.prior.sqrt() * tilted.sqrt()).sum()
    sharper = torch.where(tilted > 0, tilted.square() / case.prior, 0.0)
    for q in (case.prior, halfway, (case.prior + tilted) / 2, sharper / sharper.sum()):
        if q.isfinite().all():
            # Pinsker's inequality: the loss is twice the square of the distance, or more.
            distance = 0.5 * (q - tilted).abs().sum().item()
            assert case.value(q) <= best - 2 * distance**2 + 1e-9


@breaks(
    "thm-gibbs-variational",
    without="some-mass-above-minus-infinity",
    case=Bargain("nowhere", torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([-math.inf, -math.inf, 0.0]).double()),
    because=r"if $f = -\infty$ wherever $p$ has mass, every $q$ attains the maximum, which is $-\infty$",
)
def test_where_f_is_minus_infinity_everywhere_all_bargains_are_equally_bad(case):
    for q in ([0.5, 0.5, 0.0], [0.1, 0.9, 0.0]):
        assert case.value(torch.tensor(q).double()) == case.best() == -math.inf


def harmonic() -> Bargain:
    """p(k) is proportional to exp(-k) / k^2 and f(k) = k: the tilted p is proportional to 1 / k^2 and has no mean."""
    k = torch.arange(1, 100_001, dtype=torch.float64)
    return Bargain("harmonic", (-k - 2 * k.log()).softmax(0), k)


def cut(case: Bargain, last: int) -> tuple[float, float]:
    """The bargain of the tilted density up to a last point, and its divergence from p, in logarithms."""
    k = torch.arange(1, last + 1, dtype=torch.float64)
    whole = torch.arange(1, 100_001, dtype=torch.float64)
    log_prior = -k - 2 * k.log() - (-whole - 2 * whole.log()).logsumexp(0)
    log_q = (-2 * k.log()).log_softmax(0)
    divergence = (log_q.exp() * (log_q - log_prior)).sum().item()
    return (log_q.exp() * k).sum().item() - divergence, divergence


@breaks(
    "thm-gibbs-variational",
    without="finite-tilted-moment",
    case=replace(harmonic(), f=torch.arange(1, 100_001, dtype=torch.float64)),
    because=r"the best $q$ may be infinitely far from $p$: the supremum is the same, and nothing attains it",
)
def test_without_the_moment_the_supremum_is_approached_and_not_attained(case):
    whole = torch.arange(1, 100_001, dtype=torch.float64)
    best = (-2 * whole.log()).logsumexp(0).item() - (-whole - 2 * whole.log()).logsumexp(0).item()
    cuts = [cut(case, last) for last in (10, 100, 1000, 10_000)]
    values, divergences = zip(*cuts, strict=True)
    assert list(values) == sorted(values)
    assert 0 < best - values[-1] < 1e-3
    # The harmonic series: each factor of ten adds log(10) * 6 / pi^2 to the divergence.
    assert divergences[-1] - divergences[-2] == pytest.approx(math.log(10) * 6 / math.pi**2, rel=0.01)


def test_the_bargain_of_two_values_is_best_at_nine_tenths():
    """Chapter 6: two values of z, equally probable under p, with f = 0 and f = log 9."""
    half = torch.tensor([0.5, 0.5]).double()
    case = Bargain("two-values", half, torch.tensor([0.0, math.log(9)]).double())
    value = {share: case.value(torch.tensor([1 - share, share]).double()) for share in (0.5, 0.9, 1.0)}
    assert value[0.5] == pytest.approx(1.10, abs=0.005)
    assert value[1.0] == pytest.approx(2.20 - 0.69, abs=0.01)
    assert 0.9 * math.log(9) == pytest.approx(1.98, abs=0.005)
    assert 0.9 * math.log(9) - value[0.9] == pytest.approx(0.37, abs=0.005)
    assert value[0.9] == pytest.approx(math.log(5)) == pytest.approx(case.best())
    torch.testing.assert_close(case.tilted(), torch.tensor([0.1, 0.9], dtype=torch.float64))
    for share in torch.linspace(0.01, 1, 100).tolist():
        other = case.value(torch.tensor([1 - share, share], dtype=torch.float64))
        assert other < value[0.9] or share == pytest.approx(0.9)


def test_the_condition_on_the_moment_makes_the_normaliser_finite():
    """Chapter 6 asks only that it be positive: e^f is at most e + |f| e^f."""
    f = torch.linspace(-50, 50, 10_001, dtype=torch.float64)
    assert (f.exp() <= math.e + f.abs() * f.exp()).all()


ALL_TERMS = terms()


@attack("prop-elbo-forms", cases=ALL_TERMS)
def test_three_forms_are_one_number_or_all_minus_infinity(case):
    bound = case.elbo()
    by_joint = case.q.mean(case.log_prior + case.log_likelihood) + case.entropy()
    by_prior = case.reconstruction() - case.kl_to_prior()
    by_gap = case.truth.log_evidence - case.kl()
    for value in (by_joint, by_prior, by_gap):
        assert value == pytest.approx(bound, abs=1e-6, rel=1e-6)
    assert case.member is not None
    assert bound == pytest.approx(case.member.truth.elbo, abs=1e-5, rel=1e-5)


@pytest.mark.thorough
@pytest.mark.vouches("prop-elbo-forms")
@pytest.mark.parametrize("name", ["umbrella", "wide-normal", "light-tails", "ridge", "mean-field-10", "prior-50"])
def test_the_estimators_of_the_library_for_the_forms_average_to_one_number(name):
    case = member(name)
    torch.manual_seed(0)
    for form in ("joint", "prior_kl", "entropy"):
        values = elbo(case.model, case.q, case.x.expand(20_000, *case.x.shape), form=form)
        assert abs(values.mean() - case.truth.elbo) <= 5 * values.std() / math.sqrt(len(values)) + 1e-9, form


def heavy_logarithm() -> Terms:
    """q is the prior, has an infinite entropy, and the likelihood is the constant one half."""
    q = log_pareto("heavy-logarithm", 1)
    return Terms(q.name, q, q.log_density, torch.full_like(q.mass, math.log(0.5)), Evidence(math.log(0.5)))


@breaks(
    "prop-elbo-forms",
    without="finite-entropy",
    case=heavy_logarithm(),
    because=r"a $q$ with an infinite entropy can have a finite ELBO, and the first form is then $-\infty + \infty$",
)
def test_with_an_infinite_entropy_the_first_form_is_infinity_less_infinity(case):
    assert case.elbo() == pytest.approx(math.log(0.5))
    assert case.q.mean(case.log_prior + case.log_likelihood) == -math.inf
    assert case.entropy() == math.inf


@breaks(
    "prop-elbo-forms",
    without="likelihood-not-too-large",
    case=growing_likelihood(),
    because=r"a likelihood that grows like $e^{z^2/2}$ under a $q$ with heavy tails makes the second form "
    r"$\infty - \infty$",
)
def test_with_a_likelihood_that_grows_the_second_form_is_infinity_less_infinity(case):
    assert case.elbo() == pytest.approx(math.log(0.5))
    assert case.reconstruction() == case.kl_to_prior() == math.inf


explained("prop-elbo-forms", without="positive-evidence", because="without it there is no posterior")


EACH = [Drawn(one) for one in members()]


@attack("prop-elbo-variance", cases=EACH)
def test_averages_of_log_weights_are_unbiased_and_their_variance_falls_as_one_over_k(case):
    truth, repetitions = case.truth, 4000
    for num_samples in (1, 4):
        x = case.member.x.expand(repetitions, *case.member.x.shape)
        torch.manual_seed(num_samples)
        averages = log_weights(case.member.model, case.member.q, x, num_samples).mean(0).double()
        variance = truth.log_variance / num_samples
        assert abs(averages.mean() - truth.elbo) <= 5 * math.sqrt(variance / repetitions) + 1e-9
        if case.member.grid is not None and len(case.member.grid.z) <= 3:
            mean, spread = moments_of_average(case.member, num_samples)
            assert mean == pytest.approx(truth.elbo, abs=1e-9)
            assert spread == pytest.approx(variance, abs=1e-9)


def moments_of_average(case: Member, num_samples: int) -> tuple[float, float]:
    """The exact mean and variance of an average of K log-weights, over all K-tuples of values."""
    log_w, chances = case.weights()
    tuples = torch.cartesian_prod(*[torch.arange(len(log_w))] * num_samples).reshape(-1, num_samples)
    chance, average = chances[tuples].prod(1), log_w[tuples].mean(1)
    mean = (chance * average).sum()
    return mean.item(), (chance * (average - mean).square()).sum().item()


@attack("prop-elbo-variance", cases=EACH)
def test_the_variance_is_zero_at_the_posterior_alone(case):
    truth = case.truth
    at_the_posterior = truth.highest - truth.lowest < 1e-12
    assert (truth.log_variance < 1e-18) == at_the_posterior
    if at_the_posterior:
        summary = summarize_weights(case.member.model, case.member.q, case.member.x, 30, seed=0)
        assert summary.elbo.item() == pytest.approx(truth.log_evidence, abs=1e-12)
        assert summary.elbo_std_error < 1e-9


@breaks(
    "prop-elbo-variance",
    without="covers",
    case=Drawn(member("missing-support")),
    because="a $q$ that is the posterior on a part of its support has equal weights, and a bound that is too low",
)
def test_without_support_a_bound_without_variance_may_be_too_low(case):
    summary = summarize_weights(case.member.model, case.member.q, case.member.x, 1000, seed=0)
    assert summary.elbo_std_error < 1e-9
    assert summary.elbo < case.truth.log_evidence - 0.5


@breaks(
    "prop-elbo-variance",
    without="independent-draws",
    case=Drawn(member("umbrella"), independent=False),
    because="one draw counted $K$ times leaves the variance of one draw",
)
def test_copies_of_one_draw_do_not_lower_the_variance(case):
    log_w, chances = case.member.weights()
    averages = torch.stack([WeightSummary.from_log_weights(one.expand(100)).elbo for one in log_w])
    mean = (chances * averages).sum()
    spread = (chances * (averages - mean).square()).sum().item()
    assert spread == pytest.approx(case.truth.log_variance, rel=1e-9)


@breaks(
    "prop-elbo-variance",
    without="finite-elbo",
    case=Drawn(member("zero-likelihood")),
    because=r"an average that is $-\infty$ with a positive probability has no variance",
)
def test_an_average_that_may_be_minus_infinity_has_no_variance(case):
    x = case.member.x.expand(4000)
    torch.manual_seed(0)
    averages = log_weights(case.member.model, case.member.q, x, 2).mean(0)
    share = (averages == -math.inf).double().mean().item()
    chance = 1 - 0.6**2
    assert abs(share - chance) <= 5 * math.sqrt(chance * (1 - chance) / len(x))
    assert averages.max() > -math.inf


explained("prop-elbo-variance", without="positive-evidence", because="without it there is no posterior")


# A learning step after an inference step


@dataclass(frozen=True, eq=False)
class Step:
    """From one value of theta to another, with the q of the first, by the terms of the library."""

    name: str
    models: tuple[FiniteModel, FiniteModel] | tuple[LinearGaussian, LinearGaussian]
    q: Distribution
    x: Tensor

    def each_evidence_is_positive(self) -> bool:
        return all(model.log_evidence(self.x) > -math.inf for model in self.models)

    def terms(self, at: int) -> tuple[float, float, float]:
        """Log-evidence, bound and gap at a value of theta; a gap where x is impossible is none."""
        if self.models[at].log_evidence(self.x) == -math.inf:
            return -math.inf, -math.inf, math.nan
        log_evidence, bound, gap = kl_decomposition(self.models[at], self.q, self.x)
        return log_evidence.item(), bound.item(), gap.item()

    def gap_is_closed(self) -> bool:
        return self.terms(0)[2] < 1e-9

    def bound_is_not_lowered(self) -> bool:
        before, after = self.terms(0)[1], self.terms(1)[1]
        return after >= before if before > -math.inf else after == -math.inf


def table(likelihood: list[list[float]], prior: tuple[float, ...] = (0.5, 0.5)) -> FiniteModel:
    return FiniteModel(torch.tensor(prior).double(), torch.tensor(likelihood).double())


def instrument(theta: float, noise: float = 0.7) -> LinearGaussian:
    return LinearGaussian(torch.ones(1, 1).double(), torch.tensor([theta]).double(), noise**2)


def two_causes(theta: float) -> LinearGaussian:
    return LinearGaussian(theta * torch.ones(1, 2).double(), torch.zeros(1).double(), 1.0)


def learning_steps() -> list[Step]:
    """From the posterior of a model: along the offset of an instrument, and from table to table of the zoo."""
    x = torch.tensor([3.0]).double()
    found = [
        Step(f"offset {a} to {b}", (instrument(a), instrument(b)), instrument(a).posterior(x), x)
        for a, b in ((0.0, 0.987), (0.0, 1.9), (0.987, 1.649), (3.0, 3.0), (4.0, 3.7))
    ]
    found += [
        Step(f"slope {a} to {b}", (two_causes(a), two_causes(b)), two_causes(a).posterior(x), x)
        for a, b in ((0.5, 1.0), (1.0, 1.4), (3.0, 2.8))
    ]
    for one in members():
        if isinstance(one.model, FiniteModel) and one.truth.log_evidence > -math.inf:
            prior, likelihood = one.model.prior_table, one.model.likelihood_table
            better = likelihood.clone()
            # More probability for what was seen: the bound cannot fall.
            better[:, int(one.x)] = 0.5 * (1 + likelihood[:, int(one.x)])
            better = torch.where(torch.arange(better.shape[1]) == one.x, better, likelihood * 0.5)
            moved = FiniteModel(prior, better / better.sum(1, keepdim=True))
            found.append(Step(one.name, (one.model, moved), one.model.posterior(one.x), one.x))
    return found


@attack("prop-two-axes", cases=learning_steps())
def test_after_a_closed_gap_the_evidence_rises_by_the_bound_and_the_new_gap(case):
    (before, bound, _), (after, new_bound, gap) = case.terms(0), case.terms(1)
    assert after - before == pytest.approx(new_bound - bound + gap, abs=1e-9)
    assert after - before >= new_bound - bound - 1e-12
    assert after >= before - 1e-12


def a_restricted_step() -> Step:
    """Two causes of one sum, and the best q with independent coordinates at theta = 1.9."""
    x = torch.tensor([3.0]).double()
    posterior = two_causes(1.9).posterior(x)
    q = MultivariateNormal(posterior.mean, (1 / posterior.precision_matrix.diagonal()).diag())
    return Step("independent coordinates", (two_causes(1.9), two_causes(1.7)), q, x)


@breaks(
    "prop-two-axes",
    without="gap-closed",
    case=a_restricted_step(),
    because="with a $q$ that leaves a gap, a learning step can raise the bound by shrinking the gap, while the "
    "evidence falls",
)
def test_with_a_gap_a_learning_step_may_lower_the_evidence(case):
    assert case.terms(1)[1] > case.terms(0)[1]
    assert case.terms(1)[0] < case.terms(0)[0]


@breaks(
    "prop-two-axes",
    without="bound-not-lowered",
    case=Step(
        "too far",
        (instrument(0.0), instrument(9.0)),
        instrument(0.0).posterior(torch.tensor([3.0]).double()),
        torch.tensor([3.0]).double(),
    ),
    because="a step that goes too far lowers bound and evidence",
)
def test_a_step_that_goes_too_far_lowers_the_evidence(case):
    assert case.terms(1)[0] < case.terms(0)[0]


explained(
    "prop-two-axes",
    without="every-evidence-positive",
    because=r"at a $\theta$ for which $x$ is impossible there is no posterior",
)


def independent(model: LinearGaussian, x: Tensor) -> Independent:
    """The best q with independent coordinates for a normal posterior."""
    posterior = model.posterior(x)
    return Independent(Normal(posterior.mean, posterior.precision_matrix.diagonal(dim1=-2, dim2=-1).rsqrt()), 1)


def test_turning_the_axes_changes_the_bound_and_not_the_evidence():
    """Chapter 6: axes without posterior correlations close the gap of a q with independent coordinates."""
    old, new, _ = data.cells()
    start = LinearGaussian.fit(old, 8)
    start = LinearGaussian(start.weight, start.bias, start.noise_variance.expand(30).clone())
    model = expectation_maximization(start, old, tolerance=1e-3).model
    axes = torch.linalg.eigh(model.weight.T @ (model.weight / model.noise_variance[:, None])).eigenvectors
    turned = LinearGaussian(model.weight @ axes, model.bias, model.noise_variance)
    gaps = [kl_decomposition(one, independent(one, new), new).kl for one in (model, turned)]
    torch.testing.assert_close(turned.log_evidence(new), model.log_evidence(new))
    assert gaps[0].min() > 3.7
    assert gaps[1].abs().max() < 1e-6


# What the chapter says beside its claims


def test_each_pair_of_causes_pays_and_one_draw_blurs_the_small_gains():
    """Chapter 6, the laboratory again: paired gains of factor analysis with two more causes, and their errors."""
    old, new, _ = data.cells()
    causes = (2, 4, 6, 8, 10, 12)
    models = {}
    for dim in causes:
        start = LinearGaussian.fit(old, dim)
        start = LinearGaussian(start.weight, start.bias, start.noise_variance.expand(30).clone())
        models[dim] = expectation_maximization(start, old, tolerance=1e-3).model
    exact = {dim: kl_decomposition(model, independent(model, new), new) for dim, model in models.items()}

    def in_errors(gain: Tensor) -> float:
        return (gain.mean() / gain.std() * math.sqrt(len(gain))).item()

    for few, more in pairwise(causes):
        assert in_errors(exact[more].log_evidence - exact[few].log_evidence) > 3
    assert in_errors(exact[8].elbo - exact[6].elbo) > 2
    assert 0 < in_errors(exact[12].elbo - exact[10].elbo) < 2
    assert exact[2].kl.mean().item() == pytest.approx(1.5, abs=0.05)
    assert exact[12].kl.mean().item() == pytest.approx(4.2, abs=0.05)
    for seed in range(3):
        torch.manual_seed(seed)
        one = {dim: log_weights(model, independent(model, new), new, 1)[0] for dim, model in models.items()}
        blurred = [
            ((one[more] - one[few]).std() / (exact[more].elbo - exact[few].elbo).std()).item()
            for few, more in ((2, 4), (10, 12))
        ]
        assert blurred[0] < 1.1
        assert blurred[1] > 1.25


def test_a_function_fitted_to_its_draws_exceeds_the_divergence():
    """Chapter 6, the dual: equal densities, and a g that is 10 in narrow intervals around the draws of q."""
    torch.manual_seed(0)
    ours, theirs, fresh = torch.randn(3, 200).double()

    def learnt(z: Tensor) -> Tensor:
        return 10.0 * ((z[:, None] - ours).abs().amin(1) < 1e-5)

    def dual(of_q: Tensor, of_p: Tensor) -> float:
        return (learnt(of_q).mean() - learnt(of_p).exp().mean().log()).item()

    assert dual(ours, theirs) > 9
    assert dual(fresh, theirs) < 0.01


def test_a_rare_small_weight_makes_half_the_variance_hundreds_of_times_the_gap():
    """Chapter 6: a q with a mass of one in a thousand where its weights are exp(-1000) times the evidence."""
    chances = torch.tensor([0.001, 0.999], dtype=torch.float64)
    log_w = torch.tensor([-1000.0, -math.log(0.999)], dtype=torch.float64)
    assert (chances * log_w.exp()).sum().item() == pytest.approx(1, abs=1e-12)
    gap = -(chances * log_w).sum()
    half = 0.5 * (chances * (log_w - (chances * log_w).sum()).square()).sum()
    assert (half / gap).item() == pytest.approx(500, rel=0.01)


def test_with_log_q_detached_the_width_shrinks_and_the_printed_bound_falls():
    """Chapter 6, the fourth mistake: without the entropy the gradient in the width is negative at every width."""
    model = LinearGaussian(torch.tensor([[1.5]]).double(), torch.zeros(1).double(), 0.49)
    x = torch.tensor([2.5]).double()
    posterior = model.posterior(x)
    width, mean = posterior.stddev.item(), posterior.mean
    gradients, bounds = [], []
    for factor in (3.0, 1.5, 1.0, 0.5, 0.1, 0.01, 1e-6):
        scale = torch.tensor(factor * width).double().requires_grad_()
        # Exact: the log-joint is a quadratic polynomial, so two symmetric nodes give its mean under q.
        nodes = torch.stack([mean + scale, mean - scale])
        model.log_joint(x.expand(2, 1), nodes).mean().backward()
        assert scale.grad is not None
        gradients.append(scale.grad.item())
        q = MultivariateNormal(mean, scale.detach().square().reshape(1, 1))
        bounds.append(kl_decomposition(model, q, x).elbo.item())
    assert max(gradients) < 0
    # Along the way down the bound, whose value is right, rises to the posterior's width and then falls without limit.
    assert bounds[0] < bounds[1] < bounds[2]
    assert bounds[2:] == sorted(bounds[2:], reverse=True)
    assert bounds[-1] < bounds[2] - 10


def test_the_gap_is_half_the_variance_only_if_q_covers_the_posterior():
    """Chapter 6: the rule of half the variance begins with E_q[w] = p(x)."""
    truth = member("missing-support").truth
    assert truth.log_variance < 1e-18
    assert truth.kl > 0.5


def no_overlap() -> Member:
    """q draws only the z whose likelihood is zero."""
    case = member("zero-likelihood")
    return replace(case, name="no-overlap", q=Categorical(torch.tensor([1.0, 0.0, 0.0]).double()))


@attack("prop-elbo-support", cases=[*members()])
def test_mass_on_the_impossible_makes_the_bound_minus_infinity_and_missed_mass_costs_its_logarithm(case):
    truth = case.truth
    if case.grid is not None:
        log_w, chances = case.weights()
        if chances[log_w == -math.inf].sum() > 0:
            assert truth.elbo == -math.inf
            assert summarize_weights(case.model, case.q, case.x, 1000, seed=0).elbo == -math.inf
    ceiling = truth.log_evidence + math.log(truth.seen)
    assert truth.elbo <= ceiling + 1e-9
    # Equality exactly if the weights are equal: then q is the posterior on what it sees.
    assert (ceiling - truth.elbo < 1e-9) == (truth.relative_variance < 1e-9)


@breaks(
    "prop-elbo-support",
    without="overlap",
    case=no_overlap(),
    because=r"for $\rho = 0$ both sides are $-\infty$, and there is no restricted posterior for $q$ to be",
)
def test_a_q_that_sees_nothing_of_the_posterior_attains_minus_infinity(case):
    assert summarize_weights(case.model, case.q, case.x, 100, seed=0).elbo == -math.inf
    assert case.truth.seen == 0


explained("prop-elbo-support", without="positive-evidence", because="without it there is no posterior")


def test_the_weights_of_the_round_q_have_an_infinite_variance_from_eight_dimensions_on():
    """Chapter 6: the integral of p^2 / q is finite if and only if twice the posterior's precision exceeds that of q."""
    train, test = (data.digits(part, dtype=torch.float64).images for part in ("train", "test"))
    finite = []
    for dim in (2, 4, 8, 16, 32):
        precision = LinearGaussian.fit(train, dim).posterior(test[3]).precision_matrix
        round_precision = precision.diagonal().mean() * torch.eye(dim).double()
        finite.append(torch.linalg.eigvalsh(2 * precision - round_precision).min().item() > 0)
    assert finite == [True, True, False, False, False]


def test_the_precision_of_laplace_is_between_five_and_ten_for_the_binary_digits():
    """Chapter 6: above two, so the weights of the Laplace approximation have an infinite variance."""
    train = data.digits("train", dtype=torch.float64).images
    images = data.digits("test", binarize=True, dtype=torch.float64).images[:20]
    for dim in (2, 4, 8, 16):
        fit = LinearGaussian.fit(train, dim)
        prior = Independent(Normal(torch.zeros(dim).double(), torch.ones(dim).double()), 1)

        def pixels(z: Tensor, fit: LinearGaussian = fit) -> Independent:
            return Independent(Bernoulli(logits=8 * (z @ fit.weight.T + fit.bias - 0.5)), 1)

        q = laplace_approximation(LatentVariableModel(prior, pixels), images)
        largest = torch.linalg.eigvalsh(q.precision_matrix).amax(-1)
        assert largest.min() > 5, dim
        assert largest.max() < 10, dim
