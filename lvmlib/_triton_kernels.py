"""The kernels themselves. Imported when a GPU is about to use one, as Triton takes a while to load."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["sum_row_of_coins"]


@triton.jit  # type: ignore[untyped-decorator]
def sum_row_of_coins(logits, value, result, width, rows_of_value, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    logit = tl.load(logits + row * width + columns, mask=inside, other=0.0).to(result.dtype.element_ty)
    coin = tl.load(value + (row % rows_of_value) * width + columns, mask=inside, other=0.0)
    signed = logit * (2.0 * coin.to(result.dtype.element_ty) - 1.0)
    log_p = tl.minimum(signed, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(signed)))
    tl.store(result + row, tl.sum(tl.where(inside, log_p, 0.0), axis=0))
