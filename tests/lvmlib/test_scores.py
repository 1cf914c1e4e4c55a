"""Scores of estimators: known errors give known scores, and what is counted is what was evaluated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from lvmlib import (
    annealed_importance_sampling,
    importance_sampling,
    laplace_approximation,
    log_weights,
    prior_monte_carlo,
    zoo,
)
from lvmlib.zoo.counting import counted_likelihoods

STANDARD = Normal(torch.tensor(0.0, dtype=torch.float64, device="cpu"), 1.0)


def case(name: str) -> zoo.Case:
    return next(one for one in zoo.cases() if one.name == name)


UMBRELLA = case("umbrella")


@pytest.fixture(autouse=True)
def _on_the_cpu():
    """Cases live there."""
    torch.set_default_device("cpu")


def phi(value: float) -> float:
    return STANDARD.cdf(torch.tensor(value, dtype=torch.float64)).item()


def in_turn(errors: list[float], claims: list[float]):
    """An estimator whose errors are listed; the first answer is the one that is thrown away."""
    answers = iter([(math.inf, 0.0), *zip(errors, claims, strict=True)])

    def listed(model, q, x, num_samples, seed):
        error, claim = next(answers)
        return UMBRELLA.log_evidence + error, claim

    return listed


@pytest.mark.parametrize(("shift", "noise", "claim"), [(0.0, 0.2, 0.2), (0.3, 0.2, 0.2), (-0.1, 0.5, 0.1)])
def test_gaussian_errors_have_the_bias_rmse_and_coverage_of_the_normal_distribution(shift, noise, claim):
    def noisy(model, q, x, num_samples, seed):
        return UMBRELLA.log_evidence + shift + noise * torch.randn((), dtype=torch.float64), claim

    found = zoo.score(noisy, UMBRELLA, repetitions=2000)
    rmse = math.hypot(shift, noise)
    reach = 1.96 * claim
    coverage = phi((reach - shift) / noise) - phi((-reach - shift) / noise)
    assert abs(found.bias - shift) < 4 * found.bias_error
    assert found.bias_error == pytest.approx(noise / math.sqrt(2000), rel=0.1)
    assert abs(found.rmse - rmse) < 4 * found.rmse_error
    # The variance of the squared error is 2 s^4 + 4 s^2 c^2.
    spread = math.sqrt(2 * noise**4 + 4 * noise**2 * shift**2)
    assert found.rmse_error == pytest.approx(spread / (2 * rmse * math.sqrt(2000)), rel=0.15)
    assert abs(found.coverage - coverage) < 4 * found.coverage_error
    assert abs(found.above - phi(shift / noise)) < 4 * math.sqrt(0.25 / 2000)
    assert found.std_error == claim


def test_listed_errors_are_scored_to_the_last_digit():
    found = zoo.score(in_turn([0.3, -0.1, 0.3, -0.1], [0.2, 0.2, 0.1, 0.01]), UMBRELLA, repetitions=4)
    assert found.bias == pytest.approx(0.1, abs=1e-12)
    assert found.bias_error == pytest.approx(0.2 * math.sqrt(4 / 3) / 2, abs=1e-12)
    assert found.rmse == pytest.approx(math.sqrt(0.05), abs=1e-12)
    assert found.coverage == 0.5  # 0.3 within 0.392, 0.1 within 0.392; not 0.3 within 0.196, nor 0.1 within 0.0196
    assert found.above == 0.5
    assert found.infinite == 0
    assert (found.repetitions, found.num_samples) == (4, 1000)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_sign_of_an_error_is_that_of_the_estimate_less_the_truth(sign):
    found = zoo.score(in_turn([sign * 1.0] * 5, [0.5] * 5), UMBRELLA, repetitions=5)
    assert found.bias == pytest.approx(sign)
    assert found.above == (sign > 0)
    assert found.coverage == 0


@pytest.mark.parametrize(("claim", "covered"), [(1 / 1.96 + 1e-6, 1.0), (1 / 1.96 - 1e-6, 0.0)])
def test_the_interval_ends_at_196_standard_errors(claim, covered):
    assert zoo.score(in_turn([1.0, -1.0], [claim] * 2), UMBRELLA, repetitions=2).coverage == covered


def test_an_interval_for_the_truth_must_only_be_met():
    known = UMBRELLA.log_evidence
    certified = zoo.Case("certified", "none", UMBRELLA.model, UMBRELLA.q, UMBRELLA.x, known - 0.5, known + 0.5)
    assert certified.log_evidence == pytest.approx(known)
    assert certified.uncertainty == pytest.approx(0.5)
    claim = 0.1 / 1.96
    for error, covered in ((0.599, 1), (-0.599, 1), (0.601, 0), (-0.601, 0)):
        found = zoo.score(in_turn([error] * 2, [claim] * 2), certified, repetitions=2)
        assert found.coverage == covered
        assert found.above == (error > 0)
        assert found.biased == (abs(error) > 0.6), "what is unknown is taken off"
    assert zoo.score(in_turn([0.7] * 2, [claim] * 2), certified, repetitions=2).biased


def test_infinite_estimates_are_counted_and_cover_nothing():
    found = zoo.score(in_turn([-math.inf, 0.0], [math.inf, math.inf]), UMBRELLA, repetitions=2)
    assert found.infinite == 0.5
    assert found.bias == -math.inf
    assert found.coverage == 0.5
    assert found.biased
    assert zoo.verdict([found]).rmse == math.inf
    again = zoo.Score.from_json(found.to_json())
    assert again.biased
    assert again.coverage == 0.5
    assert math.isnan(again.bias)


def test_a_score_survives_its_journey_through_json():
    found = zoo.score(in_turn([0.25, -0.5], [0.125, 0.5]), UMBRELLA, repetitions=2)
    again = zoo.Score.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert again.bias == pytest.approx(found.bias, rel=1e-5)


def test_a_function_that_draws_from_the_global_state_repeats_and_leaves_it_alone():
    def drawing(model, q, x, num_samples, seed):
        return torch.randn(()), 1.0

    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = (zoo.score(drawing, UMBRELLA, repetitions=10) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.bias, first.rmse) == (second.bias, second.rmse)
    assert zoo.score(drawing, UMBRELLA, repetitions=10, seed=1).bias != first.bias
    assert first.bias_error > 0.01, "each repetition has numbers of its own"


# What the estimator may evaluate, and in which ways.


def by_likelihood(model, q, x, num_samples, seed):
    z = q.sample((num_samples,))
    log_w = model.likelihood(z).log_prob(x) + model.log_prior(z) - q.log_prob(z)
    return log_w.logsumexp(0) - math.log(num_samples), 1.0


def by_joint(model, q, x, num_samples, seed):
    z = q.sample((num_samples,))
    return (model.log_joint(x, z) - q.log_prob(z)).logsumexp(0) - math.log(num_samples), 1.0


def by_weights(model, q, x, num_samples, seed):
    return log_weights(model, q, x, num_samples).logsumexp(0) - math.log(num_samples), 1.0


def by_prior(model, q, x, num_samples, seed):
    found = prior_monte_carlo(model, x, num_samples, chunk_size=7, seed=seed)
    return found.log_evidence, found.std_error


@pytest.mark.parametrize("estimate", [by_likelihood, by_joint, by_weights, by_prior])
@pytest.mark.parametrize("name", ["umbrella", "wide-normal", "student-proposal", "linear-10, x 1", "ring", "funnel"])
def test_every_way_to_a_likelihood_is_counted_once(estimate, name):
    assert zoo.score(estimate, case(name), num_samples=123, repetitions=2).evaluations == 123


def test_pairs_of_several_x_and_z_are_counted():
    one = case("linear-10, x 1")
    x, z = one.x.expand(5, -1), one.model.prior.sample((7, 1))
    with counted_likelihoods(one.model) as count:
        _ = one.model.log_likelihood(x, z)
    assert count.total == 35
    _ = one.model.log_likelihood(x, z)
    assert count.total == 35, "nothing is watched after the block"
    assert "_log_likelihood" not in one.model.__dict__


def test_the_gradients_of_chains_are_counted():
    one = case("ring")
    with counted_likelihoods(one.model) as count:
        _ = annealed_importance_sampling(one.model, one.x, num_chains=6, num_steps=5, num_leapfrog=3, step_size=0.1)
    assert count.total == 6 * (1 + 4 * 3)


def test_the_mode_of_laplace_is_counted():
    one = case("laplace-on-pixels")
    with counted_likelihoods(one.model) as count:
        _ = laplace_approximation(one.model, one.x)
    assert 2 <= count.total <= 40


@pytest.mark.parametrize(
    "name", ["umbrella", "ring", "linear-50, x 1", pytest.param("unbounded-density", marks=pytest.mark.thorough)]
)
def test_no_estimator_of_the_package_takes_many_more_likelihoods_than_it_is_given(name):
    for estimator in zoo.estimators():
        try:
            found = zoo.score(estimator, case(name), num_samples=4000, repetitions=2)
        except zoo.EstimatorError:
            continue
        # An exact model may look at a few more, to see on which side of its support they are.
        assert 0.85 * 4000 <= found.evaluations <= 1.06 * 4000, estimator.name


# The cases.


def test_cases_have_names_of_their_own_and_a_q_for_one_x():
    names = [one.name for one in zoo.cases()]
    assert len(set(names)) == len(names)
    for one in zoo.cases():
        assert one.q.batch_shape == ()
        assert one.model.batch_shape(one.x) == ()
        assert one.uncertainty == 0


@pytest.mark.parametrize("name", ["umbrella", "student-proposal", "far-modes-defended", "ring", "funnel"])
def test_sums_over_the_grid_give_the_stated_evidence_at_the_members_own_x(name):
    one = zoo.member(name)
    from lvmlib.zoo.cases import _elsewhere

    assert _elsewhere(one, float(one.x)).log_evidence == pytest.approx(one.truth.log_evidence, abs=1e-8)


@pytest.mark.parametrize("name", ["far-modes-defended", "student-proposal"])
def test_the_evidence_at_another_x_is_that_of_a_closed_form(name):
    for one in (one for one in zoo.cases() if one.name.startswith(f"{name}, x")):
        x = one.x
        if name == "student-proposal":
            known = Normal(0.0 * x, math.sqrt(2)).log_prob(x).item()
        else:
            side = STANDARD.cdf(x * (100 / 101) / math.sqrt(100 / 101)).item()
            known = Normal(0.0 * x, math.sqrt(101)).log_prob(x).item() + math.log(2 * side)
        assert one.log_evidence == pytest.approx(known, abs=1e-8)


def test_exact_draws_are_those_of_the_posterior_or_are_refused():
    linear = case("linear-10, x 1")
    z = linear.posterior_draws(20_000, 0)
    posterior = linear.model.posterior(linear.x)
    assert ((z.mean(0) - posterior.mean).abs() < 5 * posterior.stddev / math.sqrt(20_000)).all()
    assert torch.equal(z[:3], linear.posterior_draws(20_000, 0)[:3])
    with pytest.raises(ValueError, match="no draw from the exact posterior"):
        case("ring").posterior_draws(1, 0)
    ring = case("ring")
    simulated = zoo.Case("one", "none", ring.model, ring.q, ring.x, -1.0, -1.0, torch.ones(2, dtype=torch.float64))
    assert torch.equal(simulated.posterior_draws(1, 0), torch.ones(1, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="one draw"):
        simulated.posterior_draws(2, 0)


# An estimator that is wrong.


def answering(answer):
    def own(model, q, x, num_samples, seed):
        return answer

    return own


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((math.nan, 1.0), ValueError, "log_evidence nan"),
        ((1.0, math.nan), ValueError, "std_error nan"),
        ((1.0, -0.5), ValueError, r"std_error -0\.5: expected a number of at least 0"),
        (("1.0", 1.0), TypeError, "log_evidence .*str.*expected a number"),
        ((None, 1.0), TypeError, "log_evidence .*None.*expected a number"),
        ((True, 1.0), TypeError, "log_evidence .*bool.*expected a number"),
        ((torch.zeros(3), 1.0), TypeError, r"log_evidence of shape \(3,\): expected one number"),
        ((0.0, torch.zeros(2, 2)), TypeError, r"std_error of shape \(2, 2\)"),
        ((np.zeros(2), 1.0), TypeError, r"log_evidence of shape \(2,\): expected one number"),
        ((torch.tensor(1j), 1.0), TypeError, "log_evidence .*complex64.*expected a number"),
        (1.0, TypeError, r"expected a pair \(log_evidence, std_error\)"),
        ("ab", TypeError, "expected a pair"),
        ((1.0, 2.0, 3.0), TypeError, "expected a pair"),
        (None, TypeError, "expected a pair"),
    ],
)
def test_a_wrong_answer_is_named_with_the_estimator_and_the_case(answer, error, says):
    with pytest.raises(error, match=says) as caught:
        zoo.score(answering(answer), UMBRELLA, repetitions=2)
    assert "own on case 'umbrella'" in str(caught.value)


def test_an_error_inside_names_the_case_and_keeps_its_cause():
    def failing(model, q, x, num_samples, seed):
        raise ZeroDivisionError("by zero")

    with pytest.raises(zoo.EstimatorError, match="failing raised ZeroDivisionError on case 'umbrella': by zero") as one:
        zoo.score(failing, UMBRELLA)
    assert isinstance(one.value.__cause__, ZeroDivisionError)
    assert "likelihood" not in UMBRELLA.model.__dict__, "the model is as before"


def test_a_number_in_an_array_or_with_a_gradient_is_a_number():
    found = zoo.score(answering((np.ones(1), torch.ones(1, requires_grad=True))), UMBRELLA, repetitions=2)
    assert found.std_error == 1.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: zoo.score(answering((0.0, 1.0)), "umbrella"), "case is 'umbrella'.*expected a Case"),
        (lambda: zoo.score(answering((0.0, 1.0)), zoo.members()[0]), "case is .*Member.*expected a Case"),
        (lambda: zoo.score(answering((0.0, 1.0)), UMBRELLA, seed=1.5), "seed is 1.5.*expected an int"),
        (lambda: zoo.verdict([1]), r"scores is \[1\].*expected a list of Score"),
    ],
)
def test_what_is_no_case_no_seed_and_no_score_is_refused(call, says):
    with pytest.raises(TypeError, match=says):
        call()


def test_what_is_no_function_of_five_arguments_is_refused():
    with pytest.raises(TypeError, match="expected a function of model, q, x, num_samples, seed"):
        zoo.score(3.0, UMBRELLA)
    with pytest.raises(TypeError, match=r"takes \(model, x\)"):
        zoo.score(lambda model, x: (0.0, 1.0), UMBRELLA)
    with pytest.raises(ValueError, match="repetitions"):
        zoo.score(answering((0.0, 1.0)), UMBRELLA, repetitions=1)
    with pytest.raises(ValueError, match="low <= high"):
        zoo.Case("wrong", "none", UMBRELLA.model, UMBRELLA.q, UMBRELLA.x, 0.0, -1.0)


def test_the_packages_estimator_and_the_same_function_have_the_same_score():
    def own(model, q, x, num_samples, seed):
        found = importance_sampling(model, q, x, num_samples - 1000, seed=seed)
        return found.log_evidence, found.std_error

    (packaged,) = (one for one in zoo.estimators() if one.name == "importance sampling")
    one, other = (zoo.score(e, case("ring"), num_samples=4000, repetitions=5) for e in (own, packaged))
    assert (one.bias, one.rmse, one.coverage, one.evaluations) == (
        other.bias,
        other.rmse,
        other.coverage,
        other.evaluations,
    )


# Verdicts.


def test_a_verdict_names_the_cases_where_it_fails():
    scores = [
        zoo.score(in_turn([0.001, -0.001], [0.01] * 2), UMBRELLA, repetitions=2),
        zoo.score(in_turn([0.2] * 50, [0.001] * 50), case("umbrella, x = 0"), repetitions=50),
    ]
    # The second estimator is off by 0.2 nats from the evidence of another x.
    assert scores[1].biased
    found = zoo.verdict(scores)
    assert found.cases == 2
    assert found.biased == found.overconfident == ("umbrella, x = 0",)
    assert found.rmse == pytest.approx(sum(one.rmse for one in scores) / 2)


def test_nine_covered_in_ten_is_no_proof_of_short_intervals_and_eight_in_ten_of_a_hundred_is():
    def covered(times: int) -> zoo.Score:
        claims = [1.0] * times + [0.001] * (100 - times)
        return zoo.score(in_turn([0.05, -0.05] * 50, claims), UMBRELLA, repetitions=100)

    assert not covered(90).overconfident
    assert covered(80).overconfident
    assert not covered(80).biased


def test_a_verdict_is_about_one_estimator():
    one = zoo.score(answering((0.0, 1.0)), UMBRELLA, repetitions=2)
    other = zoo.score(by_joint, UMBRELLA, repetitions=2)
    with pytest.raises(ValueError, match="of 2 estimators, by_joint, own"):
        zoo.verdict([one, other])
    with pytest.raises(ValueError, match="of 0 estimators"):
        zoo.verdict([])
