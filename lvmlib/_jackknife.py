"""The generalised jackknife of a log-mean weight, over every way to leave some of the draws out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, islice

import torch
from torch import Tensor

from lvmlib._log_space import log_mean_exp, log_sum_exp
from lvmlib._types import Float

__all__ = ["MOST_SUBSETS", "jackknife"]

MOST_SUBSETS = 5_000_000

# How many numbers are worked on at once.
_NUMBERS = 2**20


def jackknife(log_w: Float[Tensor, K * batch], order: int) -> Float[Tensor, "*batch"]:
    r"""The log-mean weight with the first ``order`` terms of its bias in 1/K taken away; see ``jackknife_bound``."""
    num_samples = len(log_w)
    whole = log_mean_exp(log_w.detach().double())
    centre = torch.where(whole == -torch.inf, 0.0, whole)
    # The factors grow as a power of K and cancel. Of sum one, they let a centre pass; around it their digits are kept.
    total, around = torch.zeros_like(centre), log_w.double() - centre
    for left_out in range(order + 1):
        share = (-1) ** left_out * (num_samples - left_out) ** order
        share /= math.factorial(left_out) * math.factorial(order - left_out)
        total = total + share * _mean_without(around, left_out)
    return torch.where(whole == -torch.inf, -torch.inf, centre + total).to(log_w.dtype)


def _mean_without(log_w: Tensor, left_out: int) -> Tensor:
    """The average, over every way to leave so many draws out, of the log-mean of the other weights.

    The weights that stay are added up piece by piece between those left out. In falling order no piece loses digits: a
    piece is a difference of two sums, and its first weight is no smaller than any in what is taken away.
    """
    if left_out == 0:
        return log_mean_exp(log_w)
    sorted_w = log_w.sort(dim=0, descending=True).values
    none = torch.full_like(sorted_w[:1], -torch.inf)
    before = torch.cat([none, sorted_w.logcumsumexp(0)])
    after = torch.cat([sorted_w.flip(0).logcumsumexp(0).flip(0), none])
    total, count = torch.zeros_like(log_w[0]), math.comb(len(log_w), left_out)
    rows = max(1, _NUMBERS // ((left_out + 1) * max(1, log_w[0].numel())))
    for gone in _subsets(len(log_w), left_out, rows):
        gone = gone.to(log_w.device)
        pieces = [before[gone[:, 0]], after[gone[:, -1] + 1]]
        pieces += [
            _log_difference(after[start + 1], after[end]) for start, end in zip(gone.T[:-1], gone.T[1:], strict=True)
        ]
        total = total + log_sum_exp(torch.stack(pieces)).sum(0)
    return total / count - math.log(len(log_w) - left_out)


def _log_difference(larger: Tensor, smaller: Tensor) -> Tensor:
    """The log of a difference of two numbers known by their logarithms; ``-inf`` where they are equal."""
    different = larger > smaller
    gap = torch.where(different, smaller - larger, -1.0)
    return torch.where(different, larger + torch.log(-torch.expm1(gap)), -torch.inf)


def _subsets(size: int, chosen: int, rows: int) -> Iterator[Tensor]:
    """Every way to choose so many of so many positions, each in rising order, so many ways at a time."""
    ways = combinations(range(size), chosen)
    while part := list(islice(ways, rows)):
        yield torch.tensor(part, device="cpu")
