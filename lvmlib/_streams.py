"""Draws and weights in blocks: the same numbers whatever the chunk size, the number of threads or of processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from lvmlib._checks import check_sample_count
from lvmlib._draws import check_draws
from lvmlib._random import stream_key
from lvmlib._threads import in_threads
from lvmlib.problem import Problem

__all__ = ["block_length", "chunk_length", "map_blocks", "num_blocks", "stream_weights"]

Result = TypeVar("Result")

# One block of draws holds about this many numbers: on a CPU what stays in its cache, on a GPU what hides the launches.
# It fixes the order of the draws, so it depends on shapes and on the kind of device alone.
_NUMBERS_PER_BLOCK = {"cpu": 2**20}
_NUMBERS_PER_BLOCK_ELSEWHERE = 2**26
# A block is drawn and weighed in parts, of as many numbers, or at least as many rows for a product of matrices.
_NUMBERS_PER_PART = 2**18
_ROWS_PER_PART = 1000
# Just below the largest block that glibc can be made to keep, 32 MiB.
_LARGEST_KEPT = 2**25 - 2**16


def stream_weights(
    problem: Problem, num_samples: int, *, name: str, seed: int | None, chunk_size: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draws from q, shape ``(k, *batch, *z_event)``, and their log-weights, a block at a time and without gradients.

    Raises:
        TypeError, ValueError: As :func:`lvmlib.summarize_weights`.
    """
    return map_blocks(
        problem,
        num_samples,
        lambda z, log_w: (z, log_w),
        name=name,
        seed=seed,
        chunk_size=chunk_size,
        keep_draws=True,
    )


def map_blocks(
    problem: Problem,
    num_samples: int,
    digest: Callable[[Tensor, Tensor], Result],
    *,
    name: str,
    seed: int | None,
    chunk_size: int | None = None,
    keep_draws: bool = False,
    first: int = 0,
    last: int | None = None,
) -> Iterator[Result]:
    """What ``digest`` makes of the draws and the log-weights of each block, in the order of the blocks.

    Each block has a random stream of its own, derived from the seed, the name and its number; so the blocks ``first``
    to ``last`` are the same in whatever order, thread or process they are made. A block is drawn, weighed and digested
    by one thread, while its numbers are in the cache of one core.

    Args:
        problem: Made by :func:`lvmlib.bind`.
        num_samples: K, the draws of the whole stream.
        digest: From draws, shape ``(k, *batch, *z_event)``, and their log-weights, shape ``(k, *batch)``; called in
            several threads at once.
        name: The public function that the stream belongs to.
        seed: As in :func:`lvmlib.summarize_weights`.
        chunk_size: As in :func:`lvmlib.summarize_weights`.
        keep_draws: Whether ``digest`` is given the draws; otherwise it is given none of them, and they take less room.
        first: The first block, from 0.
        last: The block after the last; by default :func:`num_blocks`.

    Raises:
        TypeError, ValueError: As :func:`lvmlib.summarize_weights`.
    """
    check_sample_count("num_samples", num_samples)
    if chunk_size is not None:
        check_sample_count("chunk_size", chunk_size)
    key = stream_key(name, seed)
    length = block_length(problem)
    last = num_blocks(problem, num_samples) if last is None else last

    def block(index: int) -> Result:
        size = min(length, num_samples - index * length)
        weigh = problem.weigher()
        draws, weights = list[Tensor](), list[Tensor]()
        for z, log_q in problem.draw_in_parts(size, _part_length(problem, size), seed=(key, index)):
            # A look at the numbers makes a GPU wait, so there only the first block is looked at.
            if z.device.type == "cpu" or index == first:
                check_draws(problem.q, z)
            chunks = zip(z.split(chunk_size or size), log_q.split(chunk_size or size), strict=True)
            weights += [weigh(chunk, log_p) for chunk, log_p in chunks]
            draws += [z] * keep_draws
        return digest(torch.cat(draws) if keep_draws else z[:0], torch.cat(weights))

    if problem.x.device.type == "cpu":
        _keep_freed_memory()
    with torch.no_grad(), problem.mode():
        yield from in_threads(block, range(first, last), problem.x.device)


def _part_length(problem: Problem, size: int) -> int:
    """Of how many draws at once the arithmetic of a block of this size stays in the cache of one core."""
    if problem.x.device.type != "cpu":
        return size
    wanted = max(
        _NUMBERS_PER_PART // max(1, _numbers_per_draw(problem)),
        _ROWS_PER_PART // max(1, math.prod(problem.batch_shape)),
        1,
    )
    return -(-size // max(1, size // wanted))


def num_blocks(problem: Problem, num_samples: int) -> int:
    """How many blocks a stream of K draws has."""
    return -(-num_samples // block_length(problem))


def chunk_length(numbers_per_draw: int, device: torch.device) -> int:
    """How many draws of so many numbers each are worked on at once."""
    return max(1, _NUMBERS_PER_BLOCK.get(device.type, _NUMBERS_PER_BLOCK_ELSEWHERE) // max(1, numbers_per_draw))


def block_length(problem: Problem) -> int:
    """How many draws one block holds, for every x."""
    return chunk_length(_numbers_per_draw(problem), problem.x.device)


def _numbers_per_draw(problem: Problem) -> int:
    return problem.x.numel() + math.prod(problem.q.batch_shape) * math.prod(problem.q.event_shape)


def _keep_freed_memory() -> None:
    """Have the C library keep freed blocks of the size of a chunk, rather than fetch them anew for every operation.

    glibc hands a block back to the system until one of its size has been freed before (``mallopt``, M_MMAP_THRESHOLD),
    and the page faults of fetching it again take longer than the arithmetic. This block is never touched, so it takes
    no memory; freeing it is all that counts. Other C libraries do not mind.
    """
    torch.empty(_LARGEST_KEPT, dtype=torch.uint8, device="cpu")
