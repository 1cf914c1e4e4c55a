"""Many rows in blocks that fit a processor's cache, in memory that does not grow with their number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import starmap

import torch
from torch import Tensor

from lvmlib._threads import in_threads

__all__ = ["map_rows"]

_NUMBERS_PER_BLOCK = 1 << 17


def map_rows(function: Callable[..., Tensor], rows: Tensor, *others: Tensor, numbers_per_row: int) -> Tensor:
    """``function(rows, *others)``, computed block by block.

    On a CPU several threads share the blocks, each with operations that keep to one core: an operation on a block is
    too short to be shared, and threads that wait for each other, or for those of other libraries, would spend more time
    on that than on computing. Work that is recorded for a gradient stays in the calling thread.

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
    waiting = deque(zip(results.split(size), blocks, strict=True))

    def take_turns(worker: int) -> None:
        # Not so many blocks for each from the start: a core may be busy with something else.
        while True:
            try:
                part, block = waiting.popleft()
            except IndexError:
                return
            part[...] = function(*block)

    for _ in in_threads(take_turns, range(min(torch.get_num_threads(), len(blocks))), rows.device):
        pass
    return results
