"""Many rows in blocks that fit a processor's cache, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap

import torch
from torch import Tensor

__all__ = ["map_rows"]

_NUMBERS_PER_BLOCK = 1 << 17


def map_rows(function: Callable[..., Tensor], rows: Tensor, *others: Tensor, numbers_per_row: int) -> Tensor:
    """``function(rows, *others)``, computed block by block.

    On a CPU the blocks go through one thread whose operations keep to one core. An operation on a block is too short
    to be shared: cores would spend more time waiting for each other, and for the threads of other libraries, than
    computing. Work that is recorded for a gradient stays in the calling thread.

    Args:
        function: Maps rows, shape ``(n, *event)``, to results, shape ``(n, *result)``, each row on its own.
        rows: Shape ``(N, *event)``; N may be zero.
        others: Tensors of as many rows.
        numbers_per_row: The numbers that ``function`` holds at once for each row.

    Returns:
        Shape ``(N, *result)``.
    """
    size = max(1, _NUMBERS_PER_BLOCK // max(1, numbers_per_row))
    blocks = list(zip(*(value.split(size) for value in (rows, *others)), strict=True))
    if len(blocks) == 1:
        return function(*blocks[0])
    # One row shows what comes out.
    one = function(*(value[:1] for value in (rows, *others)))
    if one.requires_grad or torch.compiler.is_compiling():
        return torch.cat(list(starmap(function, blocks)))
    # Written in place: small results kept between large temporaries would keep the allocator from reusing their room.
    results = one.new_empty(len(rows), *one.shape[1:])
    inference = torch.is_inference_mode_enabled()  # of this thread; a worker has its own

    def compute() -> None:
        with torch.no_grad(), torch.inference_mode(inference):
            for part, block in zip(results.split(size), blocks, strict=True):
                part[...] = function(*block)

    threads = torch.get_num_threads()
    if threads == 1 or rows.device.type != "cpu":
        compute()
        return results

    def compute_alone() -> None:
        torch.set_num_threads(1)  # of this thread alone
        try:
            compute()
        finally:
            torch.set_num_threads(threads)

    with ThreadPoolExecutor(1) as worker:
        worker.submit(compute_alone).result()
    return results
