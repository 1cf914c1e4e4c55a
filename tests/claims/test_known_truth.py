"""The sentences of the page "Where the truth is known", on the numbers of its benchmark."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from lvmlib import defensive_mixture, importance_sampling, zoo

FOUND = json.loads((Path(__file__).parents[2] / "benchmarks/results/known_truth.json").read_text(encoding="utf-8"))
SCORES = {(one.estimator, one.case): one for one in map(zoo.Score.from_json, FOUND["scores"])}
FROM_Q = ("importance sampling", "jackknife")
FIFTY = ("linear-50, x 1", "linear-50, x 2", "linear-50, x 3")
IMAGES = sorted({one.case for one in SCORES.values() if one.group == "VAE on MNIST"})


def of(estimator: str) -> list[zoo.Score]:
    return [one for one in SCORES.values() if one.estimator == estimator]


def test_what_q_misses_is_found_by_the_prior_and_by_chains_from_it():
    for name in FROM_Q:
        one = SCORES[name, "far-modes"]
        assert one.bias == pytest.approx(-math.log(2), abs=0.01)
        assert one.coverage == 0
    for name in ("prior Monte Carlo", "annealing"):
        one = SCORES[name, "far-modes"]
        assert abs(one.bias) < 0.1 + 3 * one.bias_error
        assert one.coverage > 0.5
    # Where q is zero at a point of positive joint density, the package's own estimator refuses and the prior answers.
    assert ("importance sampling", "missing-support") not in SCORES
    assert abs(SCORES["prior Monte Carlo", "missing-support"].bias) < 0.05


def test_annealing_is_between_the_prior_and_a_good_q_in_fifty_dimensions():
    for case in FIFTY:
        good, chains, prior = (SCORES[name, case] for name in ("importance sampling", "annealing", "prior Monte Carlo"))
        assert good.rmse + 5 * good.rmse_error < chains.rmse
        assert chains.rmse + 5 * chains.rmse_error < prior.rmse
        assert prior.bias < -20
        assert -4.5 < chains.bias < -2.5
    ten = SCORES["prior Monte Carlo", "linear-10, x 1"]
    assert abs(ten.bias) < 0.1


def test_the_interval_of_the_elbo_is_about_the_elbo():
    one = SCORES["ELBO", "wide-normal"]
    assert one.std_error == pytest.approx(0.04, abs=0.005)
    assert one.bias < -5 * one.std_error
    assert one.coverage == 0
    exact = SCORES["importance sampling", "wide-normal"]
    assert abs(exact.bias) < 5 * exact.bias_error + 0.01


def test_the_estimate_of_cubo_is_below_where_q_misses_mass():
    one = SCORES["CUBO", "far-modes"]
    assert one.above == 0
    assert one.bias < -0.3


def test_bounds_are_on_their_side():
    for name, side in (("ELBO", -1), ("IWAE bound, K = 50", -1), ("Rényi bound, α = 0.5", -1), ("EUBO", 1)):
        assert len(of(name)) > 5
        for one in of(name):
            if not one.infinite:
                assert side * one.bias > -5 * one.bias_error - one.uncertainty - 1e-6, one


def test_laplace_beats_the_encoder_where_its_search_ends():
    refused = {one["case"] for one in FOUND["refused"] if one["estimator"] == "the same, Laplace q"}
    assert len(IMAGES) == 3
    assert len(refused & set(IMAGES)) == 2
    (case,) = set(IMAGES) - refused
    laplace, encoder = SCORES["the same, Laplace q", case], SCORES["importance sampling", case]
    assert laplace.rmse + 5 * laplace.rmse_error < encoder.rmse / 5
    for case in FIFTY:
        assert SCORES["the same, Laplace q", case].rmse < 1e-3


def test_the_defended_estimator_of_the_page_finds_the_second_mode():
    def defended(model, q, x, num_samples, seed):
        mixed = defensive_mixture(q, model, 0.1)
        estimate = importance_sampling(model, mixed, x, num_samples - 1000, seed=seed)
        return estimate.log_evidence, estimate.std_error

    (case,) = (one for one in zoo.cases() if one.name == "far-modes")
    found = zoo.score(defended, case, num_samples=FOUND["likelihoods"], repetitions=20)
    assert abs(found.bias) < 0.1
    assert SCORES["importance sampling", "far-modes"].bias < -0.6


def test_the_results_are_those_of_the_cases_and_estimators_of_the_package():
    assert list(FOUND["estimators"]) == [one.name for one in zoo.estimators()]
    refused = {one["case"] for one in FOUND["refused"]}
    images_and_digits = {one.case for one in SCORES.values() if one.group in ("pPCA on digits", "VAE on MNIST")}
    assert {case for _, case in SCORES} | refused == {one.name for one in zoo.cases()} | images_and_digits
