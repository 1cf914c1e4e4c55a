"""The log-probability of many coins, such as the pixels of a binary image, by few passes and few logarithms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmlib._broadcast import broadcasts_into
from lvmlib._gpu_kernels import sum_of_coins, sums_coins

__all__ = ["bernoulli_log_density"]

# Sixteen probabilities of more than the sigmoid of this have a product that is a normal number.
_LEAST_LOGIT = {torch.float32: -5.4, torch.float64: -44.0}


def bernoulli_log_density(logits: Tensor, value: Tensor, num_dims: int, *, overwrite: bool = False) -> Tensor:
    r"""The log-probability of zeros and ones, summed over the last ``num_dims`` dimensions, at least one.

    .. math:: \sum_m \log \operatorname{sigmoid}(s_m l_m), \qquad s_m = 2 x_m - 1

    Without a gradient, a CPU takes the logarithms of products of sixteen, and a GPU reads the logits once.

    Args:
        logits: Shape ``(*batch, *event)``.
        value: Zeros and ones, of a shape that broadcasts with that of ``logits``.
        num_dims: The number of event dimensions.
        overwrite: Whether the memory of ``logits`` may be used, as nobody else has them.
    """
    if sums_coins(logits, value, num_dims):
        return sum_of_coins(logits, value, num_dims)
    signs = 2 * value - 1
    if (
        logits.device.type == "cpu"
        and logits.dtype in (torch.float32, torch.float64)
        and logits.dtype == value.dtype
        and logits.shape[-num_dims:] == value.shape[-num_dims:]
        and logits.numel()
        and not (torch.is_grad_enabled() and (logits.requires_grad or value.requires_grad))
    ):
        signed = logits.mul_(signs) if overwrite and broadcasts_into(signs, logits) else logits * signs
        return _sum_of_log_sigmoid(signed.flatten(-num_dims))
    return logsigmoid(signs * logits).flatten(-num_dims).sum(-1)


def _sum_of_log_sigmoid(value: Tensor) -> Tensor:
    """The sum of the logarithms of the sigmoid over the last dimension; ``value`` is overwritten."""
    if value.amin() > _LEAST_LOGIT[value.dtype]:
        return _sum_of_log(value.sigmoid_())
    # The logarithm is min(v, 0) and that of sigmoid |v|, which is at least a half.
    return _sum_of_log(value.abs().sigmoid_()).add_(value.clamp_(max=0.0).sum(-1))


def _sum_of_log(factors: Tensor) -> Tensor:
    width = factors.shape[-1]
    for _ in range(4):
        if width < 2:
            break
        half = width // 2
        factors[..., :half].mul_(factors[..., half : 2 * half])
        if width % 2:
            factors[..., half] = factors[..., width - 1]
        width = half + width % 2
    return factors[..., :width].log_().sum(-1)
