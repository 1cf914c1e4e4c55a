"""Kernels for a GPU, where a sum over pixels is worth one pass over memory: with Triton, if it is installed."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

__all__ = ["HAS_TRITON", "sum_of_coins", "sums_coins"]

HAS_TRITON = find_spec("triton") is not None

# A row is summed by one program, which holds all of it.
_LONGEST_ROW = 2**14


def sums_coins(logits: Tensor, value: Tensor, num_dims: int) -> bool:
    """Whether :func:`sum_of_coins` applies: on a GPU, no gradient, ``value`` repeated along leading dimensions."""
    return (
        HAS_TRITON
        and logits.is_cuda
        and value.is_cuda
        and logits.is_floating_point()
        and value.is_floating_point()
        and value.ndim >= num_dims
        and logits.shape[logits.ndim - value.ndim :] == value.shape
        and 0 < logits.shape[-num_dims:].numel() <= _LONGEST_ROW
        and logits.numel() > 0
        and not torch.compiler.is_compiling()
        and not (torch.is_grad_enabled() and (logits.requires_grad or value.requires_grad))
    )


def sum_of_coins(logits: Tensor, value: Tensor, num_dims: int) -> Tensor:
    r"""The log-probabilities of zeros and ones, summed over the last ``num_dims`` dimensions in one pass.

    .. math:: \sum_m \min(t_m, 0) - \log(1 + e^{-|t_m|}), \qquad t_m = (2 x_m - 1)\, l_m

    Args:
        logits: Shape ``(*sample, *batch, *event)``; sums are taken in float32, or in float64 if it is one.
        value: Zeros and ones, shape ``(*batch, *event)``.
        num_dims: How many dimensions the event has.
    """
    from lvmlib._triton_kernels import sum_row_of_coins

    width = logits.shape[-num_dims:].numel()
    block = 1 << (width - 1).bit_length()
    logits, value = logits.contiguous(), value.contiguous()
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    result = torch.empty(logits.shape[: logits.ndim - num_dims], dtype=dtype, device=logits.device)
    with torch.cuda.device(logits.device):
        sum_row_of_coins[(result.numel(),)](logits, value, result, width, value.numel() // width, BLOCK=block)
    return result
