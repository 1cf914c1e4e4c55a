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

    On a CPU each worker thread runs torch with one thread inside: many small operations, each split over several
    threads, take longer than on one. So does the caller's until the last piece: threads that wait for a part of its
    operations would keep a core from the workers. Everything is done in the caller's thread where a worker would not
    have its settings, as with autocast or another default device.
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
    pool = ThreadPoolExecutor(min(threads, len(pieces)), "lvmlib", torch.set_num_threads, (1,))
    waiting: deque[Future[Result]] = deque()
    try:
        torch.set_num_threads(1)
        for piece in pieces:
            waiting.append(pool.submit(do, piece))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # Last of all: the number that torch gives to threads to come is that of the last thread that set one.
        torch.set_num_threads(threads)
