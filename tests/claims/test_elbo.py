"""The claims of chapter 6, attacked."""

from __future__ import annotations

import math

import pytest
from attack import attack, breaks
from torch.distributions import Categorical
from zoo import member

from lvmlib import kl_decomposition, summarize_weights
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
