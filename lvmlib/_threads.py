"""Independent pieces of work in several threads, each of which keeps torch to itself, with their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["in_threads", "one_thread"]

Result = TypeVar("Result")


@contextmanager
def one_thread(device: torch.device, *, when: bool = True) -> Iterator[None]:
    """Torch keeps to one thread inside, if ``when`` says that the operations are short and the device is the CPU.

    An operation that takes some microseconds is not worth sharing: threads that wait for each other, or for those of
    other programs, spend more time on that than on computing.
    """
    threads = torch.get_num_threads()
    if not when or device.type != "cpu" or threads == 1:
        yield
        return
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


def in_threads(work: Callable[[int], Result], pieces: range, device: torch.device) -> Iterator[Result]:
    """``work(piece)`` for every piece, in order and without gradients; at most a few more are made than asked for.

    On a CPU the caller's thread and its helpers share the pieces, each with one thread inside torch: many small
    operations, each split over several threads, take longer than on one. The caller works too as each thread has an
    arena of its own from the C library, which fills up with holes; the fewer threads, the less memory. Everything is
    done in the caller's thread where a helper would not have its settings, as with autocast or another default device.
    """
    threads = torch.get_num_threads()
    inference = torch.is_inference_mode_enabled()

    def do(piece: int) -> Result:
        with torch.inference_mode(inference), torch.no_grad():
            return work(piece)

    alike = device.type == "cpu" and torch.get_default_device().type == "cpu" and not torch.is_autocast_enabled("cpu")
    if min(threads, len(pieces)) < 2 or not alike:
        yield from map(do, pieces)
        return
    helpers = min(threads, len(pieces)) - 1
    pool = ThreadPoolExecutor(helpers, "lvmlib", torch.set_num_threads, (1,))
    waiting: deque[Future[Result]] = deque()
    try:
        torch.set_num_threads(1)
        for piece in pieces:
            # A helper has one piece to do and one to do next; what is more, the caller does.
            if sum(not future.done() for future in waiting) < 2 * helpers:
                waiting.append(pool.submit(do, piece))
            else:
                waiting.append(_done(do, piece))
            while waiting and (waiting[0].done() or len(waiting) > 2 * threads):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # Last of all: the number that torch gives to threads to come is that of the last thread that set one.
        torch.set_num_threads(threads)


def _done(work: Callable[[int], Result], piece: int) -> Future[Result]:
    """The piece done at once, here, as a future like those of the others."""
    future: Future[Result] = Future()
    future.set_result(work(piece))
    return future
