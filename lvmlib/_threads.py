"""Independent pieces of work in several threads, each of which keeps torch to itself, with their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_threads"]

Result = TypeVar("Result")


def in_threads(work: Callable[[int], Result], pieces: range, device: torch.device) -> Iterator[Result]:
    """``work(piece)`` for every piece, in order and without gradients; at most a few more are made than asked for.

    On a CPU each worker thread runs torch with one thread inside: many small operations, each split over several
    threads, take longer than on one. Everything is done in the caller's thread where a worker would not have
    its settings, as with autocast or another default device.
    """
    before = torch.get_num_threads()
    threads = min(before, len(pieces))
    alike = device.type == "cpu" and torch.get_default_device().type == "cpu" and not torch.is_autocast_enabled("cpu")
    inference = torch.is_inference_mode_enabled()

    def piece_of_work(piece: int) -> Result:
        with torch.inference_mode(inference), torch.no_grad():
            return work(piece)

    if threads < 2 or not alike:
        yield from map(piece_of_work, pieces)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="lvmlib", initializer=torch.set_num_threads, initargs=(1,))
    try:
        waiting: deque[Future[Result]] = deque()
        for piece in pieces:
            waiting.append(pool.submit(piece_of_work, piece))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # The number that torch gives to threads to come is that of the last thread that set one.
        restore = pool.submit(torch.set_num_threads, before)
        pool.shutdown(wait=True, cancel_futures=False)
        restore.result()
