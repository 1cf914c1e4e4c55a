"""Draws and weights in blocks: the same numbers whatever the chunk size, the number of threads or of processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import torch
from torch import Tensor

from lvmlib._checks import check_sample_count
from lvmlib._draws import check_draws
from lvmlib._random import stream_key
from lvmlib.problem import Problem

__all__ = ["block_length", "chunk_length", "num_blocks", "stream_weights"]

Chunks: TypeAlias = list[tuple[Tensor, Tensor]]

# One block of draws holds about this many numbers: on a CPU what stays in its cache, on a GPU what hides the launches.
# It fixes the order of the draws, so it depends on shapes and on the kind of device alone.
_NUMBERS_PER_BLOCK = {"cpu": 2**20}
_NUMBERS_PER_BLOCK_ELSEWHERE = 2**26
# Just below the largest block that glibc can be made to keep, 32 MiB.
_LARGEST_KEPT = 2**25 - 2**16


def stream_weights(
    problem: Problem,
    num_samples: int,
    *,
    name: str,
    seed: int | None,
    chunk_size: int | None = None,
    first: int = 0,
    last: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draws from q, shape ``(k, *batch, *z_event)``, and their log-weights, a chunk at a time and without gradients.

    Each block has a random stream of its own, derived from the seed, the name and its number; so the blocks ``first``
    to ``last`` are the same in whatever order, thread or process they are made.

    Raises:
        TypeError, ValueError: As :func:`lvmlib.summarize_weights`.
    """
    check_sample_count("num_samples", num_samples)
    if chunk_size is not None:
        check_sample_count("chunk_size", chunk_size)
    key = stream_key(name, seed)
    length = block_length(problem)
    last = num_blocks(problem, num_samples) if last is None else last

    def block(index: int) -> Chunks:
        with torch.no_grad():
            size = min(length, num_samples - index * length)
            z, log_q = problem.draw_weighed(size, seed=(key, index))
            # A look at the numbers makes a GPU wait, so there only the first block is looked at.
            if z.device.type == "cpu" or index == first:
                check_draws(problem.q, z)
            parts = zip(z.split(chunk_size or size), log_q.split(chunk_size or size), strict=True)
            return [(part, problem.weigh(part, log_p)) for part, log_p in parts]

    if problem.x.device.type == "cpu":
        _keep_freed_memory()
    with torch.no_grad(), problem.mode():
        for chunks in _in_threads(block, range(first, last), problem.x.device):
            yield from chunks


def num_blocks(problem: Problem, num_samples: int) -> int:
    """How many blocks a stream of K draws has."""
    return -(-num_samples // block_length(problem))


def chunk_length(numbers_per_draw: int, device: torch.device) -> int:
    """How many draws of so many numbers each are worked on at once."""
    return max(1, _NUMBERS_PER_BLOCK.get(device.type, _NUMBERS_PER_BLOCK_ELSEWHERE) // max(1, numbers_per_draw))


def block_length(problem: Problem) -> int:
    """How many draws one block holds, for every x."""
    numbers_of_z = problem.q.batch_shape.numel() * problem.q.event_shape.numel()
    return chunk_length(problem.x.numel() + numbers_of_z, problem.x.device)


def _keep_freed_memory() -> None:
    """Have the C library keep freed blocks of the size of a chunk, rather than fetch them anew for every operation.

    glibc hands a block back to the system until one of its size has been freed before (``mallopt``, M_MMAP_THRESHOLD),
    and the page faults of fetching it again take longer than the arithmetic. This block is never touched, so it takes
    no memory; freeing it is all that counts. Other C libraries do not mind.
    """
    torch.empty(_LARGEST_KEPT, dtype=torch.uint8, device="cpu")


def _in_threads(work: Callable[[int], Chunks], blocks: range, device: torch.device) -> Iterator[Chunks]:
    """``work(block)`` for every block, in order; at most a few more are made than were asked for.

    On a CPU each worker thread runs torch with one thread inside: many small operations, each split over several
    threads, take longer than on one. Everything is done in the caller's thread where a worker would not have
    its settings, as with autocast or another default device.
    """
    threads = min(torch.get_num_threads(), len(blocks))
    alike = device.type == "cpu" and torch.get_default_device().type == "cpu" and not torch.is_autocast_enabled("cpu")
    if threads < 2 or not alike:
        yield from map(work, blocks)
        return
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="lvmlib", initializer=torch.set_num_threads, initargs=(1,))
    try:
        waiting: deque[Future[Chunks]] = deque()
        for index in blocks:
            waiting.append(pool.submit(work, index))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # The number that torch gives to threads to come is that of the last thread that set one.
        restore = pool.submit(torch.set_num_threads, before)
        pool.shutdown(wait=True, cancel_futures=False)
        restore.result()
