"""Pieces of work in several threads: results in order, the settings of torch as they were, errors for the caller."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from lvmlib import AmortizedGuide, GaussianMixture, LinearGaussian, expectation_maximization, fit
from lvmlib._blocks import map_rows
from lvmlib._threads import in_threads, one_thread

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == 3


@pytest.mark.skipif("torch.get_default_device().type != 'cpu'", reason="workers have no default device but the CPU")
def test_results_come_in_the_order_of_the_pieces_whichever_is_finished_first():
    def work(piece):
        time.sleep(0.05 if piece == 0 else 0.0)
        return piece, threading.get_ident(), torch.get_num_threads()

    made = list(in_threads(work, range(20), CPU))
    assert [piece for piece, _, _ in made] == list(range(20))
    assert threading.get_ident() in {thread for _, thread, _ in made}
    assert len({thread for _, thread, _ in made}) > 1
    assert {threads for _, _, threads in made} == {1}


def test_only_a_few_more_pieces_are_made_than_were_asked_for():
    made = []
    results = in_threads(made.append, range(1000), CPU)
    next(results)
    results.close()
    assert len(made) < 10


def test_a_slow_piece_holds_the_others_up_before_they_fill_the_memory():
    may_end = threading.Event()
    made = []

    def work(piece):
        made.append(piece)
        if piece == 0:
            may_end.wait(10)

    results = in_threads(work, range(1000), CPU)
    threading.Timer(0.2, may_end.set).start()
    next(results)
    assert len(made) < 20
    results.close()


def test_an_error_of_one_piece_is_the_callers():
    def work(piece):
        if piece == 5:
            raise ZeroDivisionError(piece)
        return piece

    results = in_threads(work, range(1000), CPU)
    with pytest.raises(ZeroDivisionError, match="5"):
        list(results)


def test_a_worker_has_the_callers_inference_mode_and_records_no_gradient():
    for inference in (False, True):
        with torch.inference_mode(inference):
            seen = list(
                in_threads(lambda _: (torch.is_inference_mode_enabled(), torch.is_grad_enabled()), range(4), CPU)
            )
        assert seen == [(inference, False)] * 4


def test_work_stays_in_the_callers_thread_where_a_worker_would_not_have_its_settings():
    with torch.autocast("cpu"):
        assert set(in_threads(lambda _: threading.get_ident(), range(4), CPU)) == {threading.get_ident()}


def test_rows_shared_by_threads_give_what_all_rows_at_once_give():
    rows = torch.arange(100_000.0).reshape(-1, 2)
    scored = map_rows(lambda block: block.square().sum(-1), rows, numbers_per_row=1000)
    assert torch.equal(scored, rows.square().sum(-1))


def test_an_error_in_a_block_of_rows_is_the_callers():
    def work(block):
        if (block == 50_000).any():
            raise IndexError("there is no such row")
        return block

    with pytest.raises(IndexError, match="no such row"):
        map_rows(work, torch.arange(100_000), numbers_per_row=1000)


def test_short_operations_get_one_thread_and_long_ones_keep_theirs():
    for when, inside in ((True, 1), (False, 3)):
        with one_thread(CPU, when=when):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 3
    with one_thread(torch.device("meta")):
        assert torch.get_num_threads() == 3


def test_the_number_of_threads_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), one_thread(CPU):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("rows", "threads"), [(100, 1), (10_000, 3)])
def test_em_takes_one_thread_for_few_rows(monkeypatch, rows, threads):
    seen = set()
    torch.manual_seed(0)
    model = GaussianMixture(torch.ones(2) / 2, torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1, 1))
    monkeypatch.setattr("lvmlib.em._mean_elbo", lambda *_: seen.add(torch.get_num_threads()) or torch.tensor(0.0))
    expectation_maximization(model, torch.randn(rows, 1), max_iterations=1)
    assert seen == {threads}


@pytest.mark.parametrize(("width", "threads"), [(1, 1), (60_000, 3)])
def test_a_fit_takes_one_thread_for_short_steps(width, threads):
    torch.manual_seed(0)
    model = LinearGaussian(torch.nn.Parameter(torch.ones(3, 1)), torch.zeros(3), 0.5)
    network = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, 2))
    seen = set()
    fit(
        model,
        AmortizedGuide(network),
        torch.randn(40, 3),
        epochs=1,
        callback=lambda _: seen.add(torch.get_num_threads()),
        progress=False,
    )
    assert seen == {threads}
