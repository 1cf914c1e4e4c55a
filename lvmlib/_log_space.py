"""Means and shares of weights known by their logarithms, with gradients that stay finite past weights of zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["log_mean_exp", "log_sum_exp", "self_normalized"]


def log_sum_exp(log_w: Tensor) -> Tensor:
    """The log of the sum of weights along the first dimension: ``-inf`` with gradient zero where all are zero."""
    maximum = log_w.detach().amax(0)
    shift = torch.where(maximum == -torch.inf, 0.0, maximum)
    total = (log_w - shift).exp().sum(0)
    some = total > 0
    return torch.where(some, torch.where(some, total, 1.0).log() + shift, -torch.inf)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """The log of the mean weight along the first dimension: ``-inf`` with gradient zero where all are zero."""
    return log_sum_exp(log_w) - math.log(len(log_w))


def self_normalized(log_w: Tensor) -> Tensor:
    """The weights along the first dimension over their sum; all zero where every weight is zero."""
    total = log_sum_exp(log_w)
    return (log_w - torch.where(total == -torch.inf, 0.0, total)).exp()
