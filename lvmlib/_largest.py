"""The largest of many log-weights of each x."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Largest"]


class Largest:
    """The ``count`` largest log-weights of each x, of all that were added.

    Once there are more than are kept, they stand in one table, which stays where it is: small things kept between large
    temporaries would keep the allocator from using their room again, and the memory of a stream would grow.

    Args:
        count: How many are kept.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.least: Tensor | None = None
        """Once as many are kept, the least of each x: only a larger one can join them."""
        self._parts: list[Tensor] = []
        self._table: Tensor | None = None
        self._used = 0

    def add(self, log_w: Tensor) -> None:
        """Add log-weights, shape ``(k, *batch)``."""
        if not len(log_w):
            return
        if len(log_w) > self.count:
            log_w = log_w.topk(self.count, dim=0).values
        if self._table is None:
            self._parts.append(log_w.clone())
        else:
            self._table[self._used : self._used + len(log_w)] = log_w
        self._used += len(log_w)
        # Sorting waits until there is as much to drop as to keep, so that small chunks stay cheap.
        if self._used > 2 * self.count:
            largest = self.values()
            if self._table is None:
                self._table = largest.new_empty(3 * self.count, *largest.shape[1:])
            self._table[: self.count] = largest
            self._parts, self._used, self.least = [], self.count, self._table[self.count - 1]

    def values(self) -> Tensor:
        """Those kept, in falling order, shape ``(at most count, *batch)``."""
        kept = torch.cat(self._parts) if self._table is None else self._table[: self._used]
        return kept.topk(min(len(kept), self.count), dim=0).values
