"""The claims of chapter 13, attacked: on chains over a few states, where every mean is a finite sum."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from attack import attack, breaks, explained
from torch import Tensor
from torch.distributions import Independent, Normal

from lvmlib import LinearGaussian, annealed_importance_sampling, cubo, eubo

TABLES: dict[str, tuple[list[float], list[float]]] = {
    "three states": ([0.6, 0.3, 0.1], [0.05, 0.1, 0.35]),
    "q is the posterior": ([0.5, 0.25, 0.25], [0.2, 0.1, 0.1]),
    "far apart": ([0.98, 0.01, 0.01], [0.001, 0.2, 0.3]),
    "a zero in the joint": ([0.4, 0.3, 0.3], [0.0, 0.2, 0.1]),
    "five states": ([0.1, 0.2, 0.3, 0.2, 0.2], [0.3, 0.02, 0.01, 0.02, 0.2]),
    "two states": ([0.9, 0.1], [0.1, 0.7]),
}


def scalar_model() -> LinearGaussian:
    """One z from N(0, 1), and x from N(z, 1/4)."""
    return LinearGaussian(torch.ones(1, 1).double(), torch.zeros(1).double(), 0.25)


@dataclass(frozen=True, eq=False)
class Chain:
    """An annealed chain over a few states, with one slip or none; all means are sums.

    Attributes:
        name: What the test is called.
        table: q and the joint, by name in TABLES, or given.
        slip: What is done otherwise.
        steps: T.
    """

    name: str
    table: str | tuple[list[float], list[float]]
    slip: str = ""
    steps: int = 4

    @property
    def densities(self) -> tuple[Tensor, Tensor]:
        q, joint = TABLES[self.table] if isinstance(self.table, str) else self.table
        return torch.tensor(q, dtype=torch.float64), torch.tensor(joint, dtype=torch.float64)

    @property
    def truth(self) -> SimpleNamespace:
        q, joint = self.densities
        return SimpleNamespace(log_evidence=float(joint.sum().log()), covers=bool((q[joint > 0] > 0).all()))

    @property
    def betas(self) -> Tensor:
        betas = torch.linspace(0, 1, self.steps + 1).double()
        return betas[1:] if self.slip == "increment left out" else betas

    def path(self) -> list[Tensor]:
        q, joint = self.densities
        return [torch.where(joint > 0, q ** (1 - b) * joint**b, 0.0) if b > 0 else q for b in self.betas]

    def start(self) -> Tensor:
        q, _ = self.densities
        return torch.full_like(q, 1 / len(q)) if self.slip == "uniform start" else q

    def end(self) -> Tensor:
        q, joint = self.densities
        return q if self.slip == "draw of q" else joint / joint.sum()

    def pool(self, f: Tensor) -> list[Tensor]:
        """The kernels that a step may use."""
        if self.slip == "every move accepted":
            return [(1 - torch.eye(len(f)).double()) / (len(f) - 1)]
        if self.slip == "circulates":
            return [_circulating(f)]
        kernels = [_metropolis(f)]
        return [*kernels, torch.eye(len(f)).double()] if self.slip == "chosen by the chain" else kernels

    def kernel(self, f: Tensor) -> Tensor:
        kernels = self.pool(f)
        if len(kernels) == 1:
            return kernels[0]
        stays = torch.arange(len(f)) == f.argmax()
        return torch.where(stays[:, None], kernels[1], kernels[0])

    def mean_weight(self) -> float:
        path, mass = self.path(), self.start()
        for before, f in itertools.pairwise(path):
            factor = torch.where(before > 0, f / before, 0.0)
            moved = self.kernel(f)
            mass = (mass @ moved) * factor if self.slip == "late weight" else (mass * factor) @ moved
        return float(mass.sum())

    def mean_inverse_weight(self) -> float:
        path, mass = self.path(), self.end()
        for t in range(self.steps, 0, -1):
            f, before = path[t], path[t - 1]
            mass = torch.where(f > 0, mass * before / f, 0.0)
            if t > 1:
                mass = mass @ self.kernel(before)
        return float(mass.sum())

    # What the hypotheses ask

    def starts_from_q(self) -> bool:
        return torch.equal(self.start(), self.densities[0])

    def posterior_draw(self) -> bool:
        _, joint = self.densities
        return torch.allclose(self.end(), joint / joint.sum())

    def temperatures_complete(self) -> bool:
        return float(self.betas[0]) == 0 and float(self.betas[-1]) == 1

    def weight_before_move(self) -> bool:
        return self.slip != "late weight"

    def kernels_leave_invariant(self) -> bool:
        return all(torch.allclose(f @ one, f) for f in self.path()[1:] for one in self.pool(f))

    def kernels_fixed(self) -> bool:
        return len(self.pool(self.path()[-1])) == 1


def _metropolis(f: Tensor) -> Tensor:
    ratio = torch.where(f[:, None] > 0, f[None] / f[:, None], 1.0).clamp(max=1)
    move = ratio / (len(f) - 1)
    move = move - move.diag().diag()
    return move + (1 - move.sum(1)).diag()


def _circulating(f: Tensor) -> Tensor:
    """A kernel that leaves f invariant and sends the same flow round and round, so that it is not its own reversal."""
    flow = 0.9 * f.min()
    move = torch.diag(1 - flow / f)
    move[torch.arange(len(f)), (torch.arange(len(f)) + 1) % len(f)] += flow / f
    return move


CHAINS = [Chain(f"{name}, T = {steps}", name, steps=steps) for name in TABLES for steps in (1, 2, 7)]
CHAINS += [Chain("kernels that circulate", "three states", "circulates")]
HALF_SEEN = ([0.5, 0.5, 0.0], [0.1, 0.2, 0.3])


# The evidence upper bound


@attack("thm-eubo", cases=CHAINS)
def test_the_mean_log_weight_under_the_posterior_is_above_by_a_divergence(case):
    q, joint = case.densities
    posterior, seen = joint / joint.sum(), joint > 0
    log_w = (joint[seen] / q[seen]).log()
    mean = float((posterior[seen] * log_w).sum())
    divergence = float((posterior[seen] * (posterior[seen] / q[seen]).log()).sum())
    assert mean == pytest.approx(case.truth.log_evidence + divergence)
    assert mean >= case.truth.log_evidence - 1e-12
    for t in (0.1, 0.5, 1.0, 3.0):
        assert float(posterior[seen][log_w < case.truth.log_evidence - t].sum()) <= math.exp(-t)


explained("thm-eubo", without="positive-evidence", because=r"there is no posterior to draw from")


@breaks(
    "thm-eubo",
    without="posterior-draw",
    case=Chain("draws of q", "far apart", "draw of q"),
    because=r"the mean log-weight of draws from $q$ is the ELBO, a lower bound",
)
def test_draws_of_q_give_a_lower_bound(case):
    q, joint = case.densities
    assert float((case.end() * (joint / q).log()).sum()) < case.truth.log_evidence - 1


def test_draws_from_an_unconverged_chain_are_no_upper_bound():
    model = scalar_model()
    x = torch.tensor([2.0]).double()
    posterior, q = model.posterior(x), Independent(Normal(torch.zeros(1).double(), torch.ones(1).double()), 1)
    center, spread = posterior.mean, posterior.covariance_matrix[0].sqrt()
    torch.manual_seed(0)
    state = q.sample((20_000,))
    for _ in range(5):
        state = center + 0.9 * (state - center) + math.sqrt(0.19) * spread * torch.randn_like(state)
    early = eubo(model, q, x, state)
    exact = eubo(model, q, x, posterior.sample((20_000,)))
    assert early.value < model.log_evidence(x) - 10 * early.std_error
    assert exact.value > model.log_evidence(x) + 10 * exact.std_error


# Annealed importance sampling


@attack("thm-ais", cases=CHAINS)
def test_the_mean_weight_is_the_evidence(case):
    assert case.mean_weight() == pytest.approx(math.exp(case.truth.log_evidence), rel=1e-12)


@pytest.mark.vouches("thm-ais")
@pytest.mark.parametrize("num_steps", [1, 3, 10])
def test_the_log_of_one_weight_is_low_and_rarely_above(num_steps):
    model = scalar_model()
    x = torch.full((3000, 1), 2.0).double()
    found = annealed_importance_sampling(model, x, num_chains=1, num_steps=num_steps, seed=0, num_leapfrog=3)
    over = found.log_evidence - model.log_evidence(x)
    assert over.mean() < 0
    for t in (0.5, 1.0, 2.0):
        assert (over > t).double().mean() <= math.exp(-t)


explained("thm-ais", without="positive-evidence", because=r"there is no posterior at the end of the path")


def biased(case: Chain) -> bool:
    return abs(case.mean_weight() / math.exp(case.truth.log_evidence) - 1) > 0.02


@breaks(
    "thm-ais",
    without="covers",
    case=Chain("a state that q leaves out", HALF_SEEN),
    because=r"a part of the posterior that $q$ leaves out has weight zero at the first step and stays outside the mean",
)
def test_a_q_that_misses_a_state_misses_its_mass(case):
    assert case.mean_weight() < 0.9 * math.exp(case.truth.log_evidence)


@breaks(
    "thm-ais",
    without="starts-from-q",
    case=Chain("uniform start", "three states", "uniform start"),
    because=r"the first factor divides by $q$, and the start has another density",
)
def test_another_start_biases(case):
    assert biased(case)


@breaks(
    "thm-ais",
    without="temperatures-complete",
    case=Chain("increment left out", "three states", "increment left out"),
    because=r"the weights are then relative to $f_1$, whose normaliser is not one",
)
def test_an_increment_left_out_biases(case):
    assert biased(case)


@breaks(
    "thm-ais",
    without="weight-before-move",
    case=Chain("late weight", "three states", "late weight"),
    because=r"after the move the chain already follows $f_t$, and the factor from $f_{t-1}$ no longer fits",
)
def test_a_weight_after_the_move_biases(case):
    assert biased(case)


@breaks(
    "thm-ais",
    without="kernels-leave-invariant",
    case=Chain("every move accepted", "three states", "every move accepted"),
    because=r"without the choice to refuse, the kernel leaves another density invariant",
)
def test_accepting_every_move_biases(case):
    assert biased(case)


@breaks(
    "thm-ais",
    without="kernels-fixed",
    case=Chain("chosen by the chain", "three states", "chosen by the chain"),
    because=r"both kernels leave $f_t$ invariant, and a choice between them by the chain's own place does not",
)
def test_a_kernel_chosen_by_its_chain_biases(case):
    assert biased(case)


# Backwards


@attack("thm-reverse-ais", cases=CHAINS)
def test_the_mean_inverse_weight_is_at_most_that_of_the_evidence(case):
    q, joint = case.densities
    mean, inverse = case.mean_inverse_weight(), math.exp(-case.truth.log_evidence)
    assert mean <= inverse * (1 + 1e-12)
    if (joint[q > 0] > 0).all():
        assert mean == pytest.approx(inverse, rel=1e-12)


explained("thm-reverse-ais", without="positive-evidence", because=r"there is no posterior to draw from")


@breaks(
    "thm-reverse-ais",
    without="posterior-draw",
    case=Chain("draw of q", "far apart", "draw of q"),
    because=r"chains from a draw of $q$ have a mean of $1/w$ above $1/p(x)$, and the estimate falls below",
)
def test_a_chain_back_from_q_is_no_upper_bound(case):
    assert case.mean_inverse_weight() > 1.1 * math.exp(-case.truth.log_evidence)


@breaks(
    "thm-reverse-ais",
    without="kernels-leave-invariant",
    case=Chain("every move accepted", "five states", "every move accepted"),
    because=r"a chain that cannot refuse drifts to another density, and the mean of $1/w$ can exceed $1/p(x)$",
)
def test_accepting_every_move_on_the_way_back_is_no_upper_bound(case):
    assert case.mean_inverse_weight() > 1.1 * math.exp(-case.truth.log_evidence)


@breaks(
    "thm-reverse-ais",
    without="kernels-fixed",
    case=Chain("chosen by the chain", "two states", "chosen by the chain"),
    because=r"a choice between invariant kernels by the chain's own place can put the mean of $1/w$ above $1/p(x)$",
)
def test_a_kernel_chosen_on_the_way_back_is_no_upper_bound(case):
    assert case.mean_inverse_weight() > 1.02 * math.exp(-case.truth.log_evidence)


def test_with_perfect_moves_the_gap_falls_like_one_over_t():
    """Exact means under the normal path from N(0, 1) to the posterior of x = 2 with likelihood variance 1/4."""

    def mean_ratio(beta: float) -> float:
        precision = 1 + 4 * beta
        return -2 * ((2 - 8 * beta / precision) ** 2 + 1 / precision)

    divergences = mean_ratio(1) - mean_ratio(0)
    model = scalar_model()
    posterior = model.posterior(torch.tensor([2.0]).double())
    mean, variance = float(posterior.mean), float(posterior.covariance_matrix)
    both = 0.5 * (variance + mean**2 - 1 - math.log(variance))
    both += 0.5 * ((1 + mean**2) / variance - 1 + math.log(variance))
    assert divergences == pytest.approx(both)
    assert divergences == pytest.approx(9.28)
    for steps in (1, 2, 8, 64):
        lower = sum(mean_ratio((t - 1) / steps) for t in range(1, steps + 1)) / steps
        upper = sum(mean_ratio(t / steps) for t in range(1, steps + 1)) / steps
        top = -4 / 2.5 - 0.5 * math.log(5)
        assert lower < top < upper
        assert upper - lower == pytest.approx(divergences / steps)


@pytest.mark.thorough
def test_the_estimate_of_cubo_starts_below_what_it_bounds():
    model = scalar_model()
    x = torch.full((4000, 1), 2.0).double()
    q = Independent(Normal(torch.zeros(1).double(), torch.ones(1).double()), 1)
    values = [cubo(model, q, x, count, seed=0).value - model.log_evidence(x) for count in (1, 10_000)]
    assert values[0].mean() < -1
    assert values[1].mean() > 0.1
    assert (values[0] < 0).double().mean() > 0.5


# The shipped VAE and its rival, as the benchmark found them

SANDWICH = json.loads(
    (Path(__file__).parents[2] / "benchmarks/results/sandwich_mnist.json").read_text(encoding="utf-8")
)


def test_the_tuning_of_annealing_took_two_to_three_times_as_long_as_a_run():
    runs = [
        run["seconds of tuning"] / run["seconds"]
        for images in ("real", "simulated")
        for name, run in SANDWICH["vae"][images].items()
        if name.startswith("AIS")
    ]
    assert len(runs) == 4
    assert 1.5 < min(runs) < max(runs) < 3.5


def test_more_components_no_longer_help_the_mixture():
    reached: dict[int, float] = {}
    for one in SANDWICH["mixture"]["tried"]:
        reached[one["components"]] = max(one["validation"], reached.get(one["components"], -math.inf))
    assert len(SANDWICH["mixture"]["tried"]) == 12
    assert reached[1200] - reached[300] == pytest.approx(6, abs=0.5)
    assert 0 < reached[2400] - reached[1200] < 0.1
    assert SANDWICH["mixture"]["best"]["components"] == 2400
    found = {(one["components"], one["pseudo-count"]): one["validation"] for one in SANDWICH["mixture"]["tried"]}
    assert found[2400, 0.01] - found[1200, 0.01] == pytest.approx(1.0, abs=0.05)
    assert found[2400, 0.01] - found[2400, 0.1] == pytest.approx(0.3, abs=0.05)


def test_the_vae_is_ahead_of_the_mixture():
    rival = torch.tensor(SANDWICH["mixture"]["exact"]["values"]).double().mean(0)
    ahead = torch.tensor(SANDWICH["vae"]["real"]["AIS from the encoder"]["values"]).double().mean(0) - rival
    assert round(float(ahead.mean())) == 26
    assert round(float(ahead.std() / math.sqrt(len(ahead)))) == 2
