"""The running summary: a monoid whose numbers equal the direct formulas, on any range of weights."""

from __future__ import annotations

import math
import warnings

import models
import numpy as np
import processes
import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Normal

from lvmlib import LatentVariableModel, WeightSummary, log_weights, pareto_smoothed, summarize_weights

READINGS = (
    "log_evidence",
    "smoothed_log_evidence",
    "std_error",
    "elbo",
    "elbo_std_error",
    "ess",
    "pareto_k",
    "relative_variance",
)


def assert_same(one: WeightSummary, other: WeightSummary, **tolerance):
    assert one.num_samples == other.num_samples
    for name in READINGS:
        torch.testing.assert_close(
            getattr(one, name), getattr(other, name), equal_nan=True, **(tolerance or {"atol": 1e-9, "rtol": 1e-9})
        )


def heavy_weights(*shape, seed=0):
    return 2.0 * models.normals(*shape, seed=seed)


def test_one_draw_of_log_weights_equals_the_formula():
    model = models.linear_gaussian(seed=0)
    x, _ = model.sample(3, seed=0)
    q = models.linear_gaussian(seed=4).posterior(x)
    torch.manual_seed(7)
    log_w = log_weights(model, q, x, 5)
    torch.manual_seed(7)
    z = q.rsample((5,))
    by_hand = (
        Normal(z @ model.weight.T + model.bias, model.noise_variance.sqrt()).log_prob(x).sum(-1)
        + Normal(0.0, 1.0).log_prob(z).sum(-1)
        - q.log_prob(z)
    )
    torch.testing.assert_close(log_w, by_hand)


def test_log_weights_are_the_evidence_at_the_posterior():
    for make in models.EXACT_MODELS.values():
        model = make()
        x, _ = model.sample(3, seed=0)
        log_w = log_weights(model, model.posterior, x, 20)
        torch.testing.assert_close(log_w, model.log_evidence(x).expand(20, 3), atol=1e-9, rtol=0)


def test_every_observation_has_its_own_draws():
    model = models.linear_gaussian()
    x = torch.zeros(2, 4, dtype=torch.float64)
    log_w = log_weights(model, model.prior, x, 10)
    assert not torch.equal(log_w[:, 0], log_w[:, 1])


def test_readings_equal_the_direct_formulas():
    log_w = heavy_weights(500, 3)
    summary, w = WeightSummary.from_log_weights(log_w), log_w.exp()
    close = lambda a, b: torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-10)  # noqa: E731
    close(summary.log_evidence, w.mean(0).log())
    close(summary.std_error, w.std(0) / w.mean(0) / math.sqrt(500))
    close(summary.relative_variance, w.var(0) / w.mean(0).square())
    close(summary.elbo, log_w.mean(0))
    close(summary.elbo_std_error, log_w.std(0) / math.sqrt(500))
    close(summary.ess, w.sum(0).square() / w.square().sum(0))


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_readings_are_stable_for_extreme_log_weights(offset):
    log_w = heavy_weights(400, 2)
    shifted, plain = WeightSummary.from_log_weights(log_w + offset), WeightSummary.from_log_weights(log_w)
    torch.testing.assert_close(shifted.log_evidence - offset, plain.log_evidence, atol=1e-8, rtol=0)
    torch.testing.assert_close(shifted.smoothed_log_evidence - offset, plain.smoothed_log_evidence, atol=1e-7, rtol=0)
    torch.testing.assert_close(shifted.elbo - offset, plain.elbo, atol=1e-8, rtol=0)
    for name in ("std_error", "elbo_std_error", "ess", "pareto_k"):
        torch.testing.assert_close(getattr(shifted, name), getattr(plain, name), atol=1e-6, rtol=1e-6)


def test_a_range_of_twenty_thousand_nats_is_summed_without_overflow():
    summary = WeightSummary.from_log_weights(torch.tensor([-1e4, 1e4], dtype=torch.float64))
    assert summary.log_evidence.item() == pytest.approx(1e4 - math.log(2))
    assert summary.ess.item() == pytest.approx(1)
    assert summary.elbo.item() == 0


def test_weights_of_zero_are_counted_and_all_zero_is_no_evidence():
    zero = -torch.inf
    summary = WeightSummary.from_log_weights(torch.tensor([[zero, zero], [0.0, zero], [0.0, zero]]))
    torch.testing.assert_close(summary.log_evidence, torch.tensor([math.log(2 / 3), zero]))
    torch.testing.assert_close(summary.ess, torch.tensor([2.0, 0.0]))
    assert summary.elbo.tolist() == [zero, zero]
    assert summary.elbo_std_error.tolist() == [torch.inf, torch.inf]
    assert summary.std_error[1] == torch.inf
    assert not summary.log_evidence.isnan().any()


def test_equal_weights_have_no_error_and_full_effective_size():
    summary = WeightSummary.from_log_weights(torch.full((1000,), -3.7, dtype=torch.float64))
    assert summary.std_error.item() < 1e-15
    assert summary.elbo_std_error.item() < 1e-15
    assert summary.ess.item() == pytest.approx(1000)
    assert summary.pareto_k.isnan()


def test_a_single_weight_says_nothing_of_its_error():
    summary = WeightSummary.from_log_weights(torch.tensor([0.5]))
    assert summary.std_error == torch.inf
    assert summary.elbo_std_error == torch.inf
    assert summary.log_evidence == 0.5


weights_with_zeros = st.lists(
    st.one_of(st.floats(-50, 50), st.sampled_from([-math.inf, -1e4, 1e4])), min_size=1, max_size=30
)


@given(weights_with_zeros, weights_with_zeros, weights_with_zeros)
@settings(deadline=None, max_examples=150)
def test_merge_is_associative_and_commutative_and_equals_the_whole(one, two, three):
    a, b, c = (WeightSummary.from_log_weights(torch.tensor(w, dtype=torch.float64)) for w in (one, two, three))
    tolerance = {"atol": 1e-7, "rtol": 1e-7}
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)), **tolerance)
    assert_same(a.merge(b), b.merge(a), **tolerance)
    whole = WeightSummary.from_log_weights(torch.tensor(one + two + three, dtype=torch.float64))
    assert_same(c.merge(a).merge(b), whole, **tolerance)


def test_the_empty_summary_is_the_identity_and_merge_changes_neither_side():
    summary, empty = WeightSummary.from_log_weights(heavy_weights(50, 2)), WeightSummary()
    before = [getattr(summary, name) for name in READINGS]
    assert_same(summary.merge(empty), summary)
    assert_same(empty.merge(summary), summary)
    summary.merge(WeightSummary.from_log_weights(heavy_weights(50, 2, seed=1)))
    assert summary.num_samples == 50
    assert empty.num_samples == 0
    for name, value in zip(READINGS, before, strict=True):
        assert torch.equal(getattr(summary, name), value)


@pytest.mark.parametrize("chunk", [1, 7, 100, 4999])
def test_a_stream_of_chunks_equals_the_whole(chunk):
    log_w = heavy_weights(5000, 2)
    streamed = WeightSummary()
    for part in log_w.split(chunk):
        streamed.update(part)
    assert_same(streamed, WeightSummary.from_log_weights(log_w))


def test_the_size_of_a_summary_does_not_grow():
    summary = WeightSummary()
    for seed in range(200):
        summary.update(heavy_weights(1000, seed=seed))
    assert summary._largest._table.numel() <= 3 * 1001
    assert len(summary._largest.values()) == 1001
    assert summary.num_samples == 200_000


@pytest.mark.parametrize("count", [30, 200, 1000, 20_000])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_pareto_k_equals_arviz(count, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        psislw = pytest.importorskip("arviz").psislw

        log_w = scale * models.normals(count, seed=count)
        _, expected = psislw(log_w.cpu().numpy())
    assert WeightSummary.from_log_weights(log_w).pareto_k.item() == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("shape", [0.1, 0.4, 0.9])
def test_pareto_k_finds_the_shape_of_a_pareto_tail(shape):
    uniform = torch.rand(20_000, generator=models.generator(0), dtype=torch.float64)
    estimate = WeightSummary.from_log_weights(-shape * uniform.log()).pareto_k
    # With a tail of m weights the maximum-likelihood shape has standard error (1 + k) / sqrt(m).
    assert abs(estimate.item() - shape) < 5 * (1 + shape) / math.sqrt(3 * math.sqrt(20_000))


def test_pareto_k_is_nan_for_tables_with_few_values():
    model = models.finite()
    summary = summarize_weights(model, Categorical(models.table(3, seed=1)), torch.tensor(0), 1000, seed=0)
    assert summary.pareto_k.isnan()


# Pareto smoothing.


@pytest.mark.parametrize("count", [30, 200, 1000, 20_000])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_smoothed_weights_equal_arviz(count, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        psislw = pytest.importorskip("arviz").psislw

        log_w = scale * models.normals(count, 2, seed=count)
        expected, shapes = psislw(log_w.T.cpu().numpy(), normalize=False)
    smoothed, k = pareto_smoothed(log_w)
    np.testing.assert_allclose(smoothed.T.cpu(), expected, atol=1e-9)
    np.testing.assert_allclose(k.cpu(), shapes, atol=1e-9)
    assert not torch.equal(smoothed, log_w)


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e3])
def test_smoothing_keeps_the_order_the_body_and_the_largest_weight(offset):
    log_w = heavy_weights(1000, 2, 3) + offset
    smoothed, _ = pareto_smoothed(log_w)
    assert (smoothed.amax(0) <= log_w.amax(0)).all()
    order = log_w.argsort(0)
    before, after = log_w.gather(0, order), smoothed.gather(0, order)
    assert (after.diff(dim=0) >= 0).all()
    tail = math.ceil(3 * math.sqrt(1000))
    assert torch.equal(after[:-tail], before[:-tail])
    assert (after[-tail:-1] != before[-tail:-1]).double().mean() > 0.99


@pytest.mark.parametrize(("count", "tail_size"), [(30, 1000), (1000, 95), (5000, 1000), (5000, 213)])
def test_smoothed_evidence_of_a_summary_is_that_of_all_weights_when_the_tail_is_kept(count, tail_size):
    log_w = heavy_weights(count, 3)
    summary = WeightSummary(tail_size=tail_size)
    for part in log_w.split(170):
        summary.update(part)
    smoothed, k = pareto_smoothed(log_w)
    torch.testing.assert_close(summary.smoothed_log_evidence, smoothed.exp().mean(0).log(), atol=1e-12, rtol=0)
    torch.testing.assert_close(summary.pareto_k, k, atol=1e-9, rtol=0)
    assert (summary.smoothed_log_evidence != summary.log_evidence).all()


def test_a_tail_larger_than_the_summary_keeps_is_smoothed_as_far_as_it_is_kept():
    log_w = heavy_weights(5000)
    summary = WeightSummary.from_log_weights(log_w, tail_size=50)
    largest, order = log_w.sort(descending=True)
    # 50 is the tail of 278 weights, for PSIS: hand it only so many.
    smoothed, k = pareto_smoothed(largest[:278])
    by_hand = log_w.clone()
    by_hand[order[:278]] = smoothed
    assert math.ceil(min(278 / 5, 3 * math.sqrt(278))) == 51
    assert summary.smoothed_log_evidence.item() == pytest.approx(by_hand.exp().mean().log().item(), abs=0.02)
    assert summary.pareto_k.item() == pytest.approx(k.item(), abs=0.05)


def test_weights_without_a_tail_are_left_as_they_are():
    equal = torch.full((100,), -3.0, dtype=torch.float64)
    few = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    nothing = torch.full((100,), -torch.inf, dtype=torch.float64)
    for log_w in (equal, few, nothing):
        smoothed, k = pareto_smoothed(log_w)
        assert torch.equal(smoothed, log_w)
        assert k.isnan()
        summary = WeightSummary.from_log_weights(log_w)
        torch.testing.assert_close(summary.smoothed_log_evidence, summary.log_evidence)


@pytest.mark.thorough
@pytest.mark.parametrize("ratio", [0.5, 0.6, 0.7])
def test_smoothing_lessens_the_error_of_a_proposal_with_light_tails(ratio):
    """A posterior of width 1 and a proposal of width 1/2 to 7/10: shapes k from 0.75 to 0.51."""
    repetitions = 2000
    z = ratio * models.normals(1000, repetitions, seed=1)
    log_w = Normal(0.0, 1.0).log_prob(z) - Normal(0.0, ratio).log_prob(z)
    summary = WeightSummary.from_log_weights(log_w)
    raw, smoothed = (summary.log_evidence.exp() - 1).square(), (summary.smoothed_log_evidence.exp() - 1).square()
    gain = raw - smoothed
    assert gain.mean() > 0
    assert smoothed.mean().sqrt() < 0.9 * raw.mean().sqrt()


def test_the_largest_of_many_weights_are_kept_in_whatever_order_they_come():
    weights = models.normals(20_000, 3, seed=0)
    for rows in (weights, weights.sort(0).values, weights.sort(0, descending=True).values):
        summary = WeightSummary(tail_size=50)
        for chunk in rows.split(300):
            summary.update(chunk)
        assert torch.equal(summary._largest.values(), weights.topk(51, dim=0).values)


def test_many_weights_of_no_observation_are_summarised():
    summary = WeightSummary(tail_size=50)
    for _ in range(10):
        summary.update(torch.zeros(300, 0))
    assert summary.num_samples == 3000
    assert summary.log_evidence.shape == summary.pareto_k.shape == (0,)


def test_a_summary_does_not_change_with_the_weights_that_were_added():
    log_w = torch.linspace(0.0, 3.0, 200, dtype=torch.float64).square()
    summary = WeightSummary.from_log_weights(log_w)
    k = summary.pareto_k
    log_w.zero_()
    assert torch.equal(summary.pareto_k, k)


# Streaming over a model.


@pytest.mark.parametrize("name", models.EXACT_MODELS)
def test_one_seed_gives_one_answer_at_any_chunk_size(name):
    model = models.EXACT_MODELS[name]()
    x, _ = model.sample(3, seed=0)
    whole = summarize_weights(model, model.prior, x, 500, seed=5)
    for chunk_size in (1, 7, 64, 500, 10_000):
        chunked = summarize_weights(model, model.prior, x, 500, chunk_size=chunk_size, seed=5)
        assert_same(chunked, whole, atol=1e-6, rtol=1e-6)


def test_one_seed_gives_one_answer_when_draws_span_several_blocks():
    model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
    x = torch.zeros(1000)
    one = summarize_weights(model, model.prior, x, 2000, seed=1)
    other = summarize_weights(model, model.prior, x, 2000, chunk_size=33, seed=1)
    torch.testing.assert_close(one.log_evidence, other.log_evidence, atol=1e-6, rtol=0)
    torch.testing.assert_close(one.ess, other.ess, atol=1e-2, rtol=1e-5)


def test_another_seed_gives_another_answer_and_no_seed_advances_the_generator():
    model = models.linear_gaussian()
    x = torch.zeros(4, dtype=torch.float64)
    run = lambda seed: summarize_weights(model, model.prior, x, 10, seed=seed).log_evidence  # noqa: E731
    assert run(1) == run(1)
    assert run(1) != run(2)
    assert run(None) != run(None)


def test_a_seed_leaves_the_global_random_state_alone():
    model = models.linear_gaussian()
    x = torch.zeros(4, dtype=torch.float64)
    before = torch.get_rng_state()
    summarize_weights(model, model.prior, x, 10, seed=1)
    model.sample(3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_past_a_weight_of_zero_are_finite():
    probability = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    from lvmlib import FiniteModel

    model = FiniteModel(probability, torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64))
    q = Categorical(torch.tensor([0.5, 0.5], dtype=torch.float64))
    log_w = log_weights(model, q, torch.tensor(1), 50)
    assert (log_w == -torch.inf).any()
    log_w.logsumexp(0).backward()
    assert probability.grad.isfinite().all()


# Several processes.


def test_all_reduce_gives_every_process_the_summary_of_all(tmp_path):
    with mp.get_context("spawn").Manager() as manager:
        results = manager.dict()
        mp.spawn(processes.reduce_weights, (str(tmp_path / "store"), READINGS, results), nprocs=2)
        results = dict(results)
    assert results[0] == results[1]
    log_w = torch.cat([heavy_weights(300, 2, seed=0), heavy_weights(1200, 2, seed=1)])
    whole = WeightSummary.from_log_weights(log_w)
    assert results[0]["n"] == whole.num_samples == 1500
    for name in READINGS:
        np.testing.assert_allclose(results[0][name], getattr(whole, name).cpu(), rtol=1e-9)


def test_all_reduce_of_one_process_changes_nothing():
    summary = WeightSummary.from_log_weights(heavy_weights(50, 2))
    assert_same(summary.all_reduce(), WeightSummary.from_log_weights(heavy_weights(50, 2)))
