"""The claims of chapter 4, attacked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from attack import attack, breaks
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal, StudentT
from zoo import Member, member, members

from lvmlib import LatentVariableModel, chi_square, importance_sampling, log_weights, summarize_weights
from lvmlib.density import log_density
from lvmlib.exact import FiniteModel, LinearGaussian
from lvmlib.zoo.grids import line


def repeated(case: Member, times: int) -> Tensor:
    return case.x.expand(times, *case.x.shape)


def true_error(case: Member, num_samples: int) -> float:
    """Five standard errors of an average of weights relative to p(x); infinite if the variance is, or astronomical."""
    variance = case.truth.relative_variance
    return 5 * math.sqrt(max(variance, 0.0) / num_samples) + 1e-9 if variance < 1e4 else math.inf


def mean_weight(case: Member) -> float:
    """The average of the weight under q, over the grid, in logarithms; where log q is below -10,000, and its digits
    would drown those of the joint density, the product of weight and q is the joint density."""
    z, log_volume = case.grid
    log_joint, log_q = case.model.log_joint(case.x, z), log_density(case.q, z)
    log_product = torch.where(log_q > -1e4, (log_joint - log_q) + log_q, log_joint)
    return (log_product + log_volume)[log_q > -torch.inf].logsumexp(0).exp().item()


@attack("thm-importance-sampling")
def test_the_mean_weight_is_the_evidence(case):
    """By sums over the grid; by 50,000 draws of the library; and by 4,000 averages of at most three draws."""
    evidence = math.exp(case.truth.log_evidence)
    if case.grid is not None:
        assert mean_weight(case) == pytest.approx(evidence, rel=1e-8)
    if evidence == 0:
        assert importance_sampling(case.model, case.q, case.x, 100, seed=0).log_evidence == -math.inf
    elif true_error(case, 50_000) < math.inf:
        one = importance_sampling(case.model, case.q, case.x, 50_000, seed=0)
        assert abs((one.log_evidence - case.truth.log_evidence).exp() - 1) <= true_error(case, 50_000)
        num_samples = min(3, case.num_samples)
        few = importance_sampling(case.model, case.q, repeated(case, 4000), num_samples, seed=0)
        ratios = (few.log_evidence - case.truth.log_evidence).exp()
        assert abs(ratios.mean() - 1) <= true_error(case, 4000 * num_samples)


@breaks(
    "thm-importance-sampling",
    without="covers",
    case=member("missing-support"),
    because="the average weight of a $q$ that misses 44 % of the posterior converges to 56 % of $p(x)$",
)
def test_a_proposal_that_misses_a_value_estimates_the_rest(case):
    log_w = log_weights(case.model, case.q, case.x, 100)
    assert (log_w.exp() - 0.23).abs().max() < 1e-12
    assert pytest.approx(0.561 * math.exp(case.truth.log_evidence), abs=1e-4) == 0.23
    with pytest.raises(ValueError, match="density zero"):
        importance_sampling(case.model, case.q, case.x, 100)


@attack("prop-missing-support")
def test_the_mean_weight_is_the_part_of_the_evidence_that_q_sees(case):
    truth = case.truth
    seen = truth.seen * math.exp(truth.log_evidence) if truth.log_evidence > -math.inf else 0.0
    assert seen <= math.exp(truth.log_evidence) * (1 + 1e-12)
    if case.grid is not None:
        assert mean_weight(case) == pytest.approx(seen, rel=1e-8)
    if seen and true_error(case, 50_000) < math.inf:
        summary = summarize_weights(case.model, case.q, case.x, 50_000, seed=7)
        ratio = (summary.log_evidence - truth.log_evidence).exp()
        assert abs(ratio - truth.seen) <= true_error(case, 50_000)


def spread_of_relative_variance(case: Member) -> float:
    """K times the variance of the relative variance of K weights, for large K."""
    log_w, mass = case.weights()
    off = (log_w - case.truth.log_evidence).exp() - 1
    variance = (mass * off.square()).sum()
    return (mass * (off.square() - variance - 2 * variance * off).square()).sum().item()


@attack("thm-proposal-cost")
def test_the_relative_variance_of_the_weight_is_chi_square(case):
    """By closed forms of the library where it has them, and by draws where the weight has a fourth moment."""
    truth = case.truth
    if isinstance(case.model, FiniteModel | LinearGaussian) and case.name != "heavy-f":
        divergence = chi_square(case.model.posterior(case.x), case.q).item()
        assert divergence == pytest.approx(truth.relative_variance, rel=1e-6, abs=1e-9)
    if case.grid is not None and case.tail_index < 0.25 and truth.relative_variance < 1e4:
        sampled = summarize_weights(case.model, case.q, case.x, 100_000, seed=6).relative_variance
        error = 5 * math.sqrt(spread_of_relative_variance(case) / 100_000)
        # The next term of the expansion counts where the first is zero, as for two weights that are equally likely.
        assert abs(sampled - truth.relative_variance) <= error + 25 * truth.relative_variance / 100_000 + 1e-9


@attack("thm-proposal-cost")
def test_the_relative_variance_is_zero_at_the_posterior_and_nowhere_else(case):
    at_the_posterior = case.truth.highest - case.truth.lowest < 1e-12
    assert (case.truth.relative_variance < 1e-12) == at_the_posterior
    log_w = log_weights(case.model, case.q, case.x, 1000)
    if at_the_posterior:
        assert (log_w - case.truth.log_evidence).abs().max() < 1e-12
    elif case.name != "rare-weight":
        assert log_w.max() > log_w.min()


@breaks(
    "thm-proposal-cost",
    without="covers",
    case=member("missing-support"),
    because=r"the weights of a $q$ that misses a part of the posterior can be all equal, while $\chi^2 = \infty$",
)
def test_a_proposal_that_misses_a_value_can_have_no_variance(case):
    assert case.truth.relative_variance == pytest.approx(0, abs=1e-12)
    assert chi_square(case.model.posterior(case.x), case.q) == case.truth.chi_square == math.inf


@breaks(
    "thm-proposal-cost",
    without="positive-evidence",
    case=member("impossible-x"),
    because="for an impossible $x$ every weight of every $q$ is $p(x) = 0$",
)
def test_for_an_impossible_observation_every_proposal_has_no_variance(case):
    for q in (case.q, Categorical(torch.tensor([0.1, 0.1, 0.8], dtype=torch.float64))):
        assert (log_weights(case.model, q, case.x, 100) == -math.inf).all()


@dataclass(frozen=True, eq=False)
class OneDimension:
    """A member with a number for z, and the normal densities with the moments of its posterior and of its q."""

    member: Member

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def z(self) -> Tensor:
        return self.member.grid.z.flatten()

    def log_posterior(self) -> Tensor:
        return self.member.log_posterior(self.member.grid.z)

    def log_q(self) -> Tensor:
        return log_density(self.member.q, self.member.grid.z)

    def normal(self, log_values: Tensor) -> Normal:
        masses = (log_values + self.member.grid.log_volume).exp()
        mean = (masses * self.z).sum()
        return Normal(mean, (masses * (self.z - mean).square()).sum().sqrt(), validate_args=False)

    def is_normal(self, log_values: Tensor) -> bool:
        """Whether a log-density is that of the normal with its moments, up to six standard deviations."""
        normal = self.normal(log_values)
        near = (self.z - normal.mean).abs() < 6 * normal.stddev
        return bool((log_values - normal.log_prob(self.z))[near].abs().max() < 1e-6) if near.any() else False

    def posterior_is_normal(self) -> bool:
        return self.is_normal(self.log_posterior())

    def proposal_is_normal(self) -> bool:
        return self.is_normal(self.log_q())


def one_dimension(name: str, q: Distribution, tail_index: float) -> OneDimension:
    """The posterior N(1/2, 1/2) under another proposal."""
    model = LatentVariableModel(Normal(torch.zeros((), dtype=torch.float64), 1.0), lambda z: Normal(z, 1.0))
    x = torch.ones((), dtype=torch.float64)
    return OneDimension(Member(name, "", model, q, x, tail_index, "", grid=line(0.5, math.sqrt(0.5))))


def normal_proposal(name: str, shift: float, ratio: float) -> OneDimension:
    """A normal q: its mean is ``shift`` standard deviations off, its variance ``ratio`` times the posterior's."""
    q = Normal(torch.tensor(0.5 + shift * math.sqrt(0.5), dtype=torch.float64), math.sqrt(ratio / 2))
    return one_dimension(name, q, max(0.0, 1 - ratio))


NUMBERS = [OneDimension(one) for one in members() if one.grid is not None and one.grid.z.is_floating_point()]
NUMBERS = [one for one in NUMBERS if one.member.grid.z[0].numel() == 1]
PROPOSALS = [
    normal_proposal("at the threshold", 0.0, 0.5),
    normal_proposal("just above, and off", 1.0, 0.6),
    normal_proposal("far below, and off", -2.0, 0.1),
    normal_proposal("wide, and off", 3.0, 4.0),
]


@attack("prop-light-tails", cases=[*NUMBERS, *PROPOSALS])
def test_the_variance_is_finite_exactly_if_q_is_wide_enough_and_has_the_stated_value(case):
    posterior, q = case.normal(case.log_posterior()), case.normal(case.log_q())
    m, s, mu, t = (value.item() for value in (posterior.mean, posterior.stddev, q.mean, q.stddev))
    wide = t**2 > s**2 / 2 * (1 + 1e-9)
    assert (case.member.truth.chi_square < math.inf) == wide
    if wide:
        stated = t**2 / (s * math.sqrt(2 * t**2 - s**2)) * math.exp((m - mu) ** 2 / (2 * t**2 - s**2)) - 1
        assert case.member.truth.chi_square == pytest.approx(stated, rel=1e-6, abs=1e-9)
        assert chi_square(posterior, q).item() == pytest.approx(stated, rel=1e-6, abs=1e-9)
    elif t**2 < s**2 / 2 * (1 - 1e-9):
        assert chi_square(posterior, q) == math.inf


def test_at_the_threshold_and_below_ever_larger_weights_keep_adding_to_the_second_moment():
    for case in PROPOSALS:
        log_square = 2 * case.log_posterior() - case.log_q() + case.member.grid.log_volume
        distance = (case.z - 0.5).abs()
        near, far = (log_square[distance < end].logsumexp(0) for end in (1e3, 1e6))
        assert (far > near + math.log(2)) == (case.member.truth.chi_square == math.inf), case.name


@breaks(
    "prop-light-tails",
    without="normal-posterior",
    case=OneDimension(member("laplace-on-pixels")),
    because=r"the tails of another posterior may be heavier than its variance says: a Laplace proposal for pixels has "
    r"$t \approx s$ and weights of infinite variance",
)
def test_a_laplace_proposal_as_wide_as_the_posterior_has_infinite_variance(case):
    posterior, q = case.normal(case.log_posterior()), case.normal(case.log_q())
    assert (q.stddev / posterior.stddev - 1).abs() < 0.1
    assert case.member.truth.chi_square == math.inf


@breaks(
    "prop-light-tails",
    without="normal-proposal",
    case=one_dimension("narrow-student", StudentT(torch.tensor(3.0, dtype=torch.float64), 0.5, 0.2), 0.0),
    because=r"heavy tails make up for a small variance: a Student-t proposal with $t^2 = 0.24\, s^2$ gives weights "
    "of finite variance",
)
def test_a_narrow_proposal_with_heavy_tails_has_finite_variance(case):
    posterior, q = case.normal(case.log_posterior()), case.normal(case.log_q())
    assert q.variance / posterior.variance == pytest.approx(0.24, abs=0.01)
    assert case.member.truth.chi_square < 10
