"""Draws and weights in blocks: the same numbers whatever the chunk size, the number of threads or of processes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

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
# So many log-weights at least are digested at once, where they are many: between short operations two threads wait for
# each other.
_NUMBERS_PER_DIGEST = 2**17
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
    """What ``digest`` makes of the draws and log-weights of each block, or of several blocks together, in their order.

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
    together = 1 if keep_draws else _blocks_digested_together(problem, num_samples)

    def several(group: int) -> Result:
        blocks = range(max(first, group * together), min(last, (group + 1) * together))
        total = min(blocks[-1] * length + length, num_samples) - blocks[0] * length
        weigh, draws, log_w, done = problem.weigher(), list[Tensor](), None, 0
        for z, log_q in itertools.chain.from_iterable(map(drawn, blocks)):
            for chunk, log_p in zip(z.split(chunk_size or total), log_q.split(chunk_size or total), strict=True):
                weights = weigh(chunk, log_p)
                # One place for all: small results between large temporaries would leave holes in the memory.
                log_w = weights.new_empty(total, *weights.shape[1:]) if log_w is None else log_w
                log_w[done : done + len(weights)] = weights
                done += len(weights)
            # Of draws that nobody asked for, one empty copy, as a view would keep the memory of all of them.
            if keep_draws or not draws:
                draws += [z if keep_draws else z.new_empty(0, *z.shape[1:])]
        return digest(torch.cat(draws), cast(Tensor, log_w))

    def drawn(index: int) -> Iterator[tuple[Tensor, Tensor]]:
        size = min(length, num_samples - index * length)
        for z, log_q in problem.draw_in_parts(size, _part_length(problem, size), seed=(key, index)):
            # A look at the numbers makes a GPU wait, so there only the first block is looked at.
            if z.device.type == "cpu" or index == first:
                check_draws(problem.q, z)
            yield z, log_q

    if problem.x.device.type == "cpu":
        _keep_freed_memory()
    with torch.no_grad(), problem.mode():
        yield from in_threads(several, range(first // together, -(-last // together)), problem.x.device)


def _blocks_digested_together(problem: Problem, num_samples: int) -> int:
    """How many blocks make one piece of work; it depends on shapes alone, as digests of pieces are merged in turn."""
    weights_per_block = block_length(problem) * max(1, problem.batch_shape.numel())
    # Eight pieces at least, so that threads have something to share.
    return max(1, min(_NUMBERS_PER_DIGEST // weights_per_block, num_blocks(problem, num_samples) // 8))


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
