"""An estimate in one line: its numbers, and when not to believe them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from lvmlib._types import Bool, Float

if TYPE_CHECKING:
    from lvmlib._weight_summary import WeightSummary

__all__ = ["FEWEST_TO_JUDGE", "Weighed", "described"]

# With fewer weights the tail has fewer than the five that a fit needs.
FEWEST_TO_JUDGE = 25


class Weighed:
    """What is known of an estimate by the weights behind it, its ``summary``."""

    summary: WeightSummary

    @property
    def ess(self) -> Float[Tensor, "*batch"]:
        """Effective sample size of the weights; see :attr:`WeightSummary.ess`."""
        return self.summary.ess

    @property
    def pareto_k(self) -> Float[Tensor, "*batch"]:
        """Shape of the tail of the weights; see :attr:`WeightSummary.pareto_k`."""
        return self.summary.pareto_k

    @property
    def num_samples(self) -> int:
        """K, the number of weights of each x."""
        return self.summary.num_samples

    @property
    def believable(self) -> Bool[Tensor, "*batch"]:
        """Whether nothing that was looked for speaks against the weights; see :attr:`WeightSummary.believable`."""
        return self.summary.believable


def described(summary: WeightSummary) -> str:
    """The numbers of an estimate, in one line, and when not to believe them."""
    batch, believable = summary.log_evidence.shape, summary.believable
    numbers = (
        ("log_evidence", summary.log_evidence, ".4f", "mean"),
        ("std_error", summary.std_error, ".2g", "largest"),
        ("ess", summary.ess, ".1f", "smallest"),
        ("pareto_k", summary.pareto_k, ".2f", "largest"),
    )
    parts = [f"batch_shape={tuple(batch)}"] if batch else []
    for name, value, form, which in numbers:
        if not batch:
            parts.append(f"{name}={value.item():{form}}")
        elif value.numel():
            known = value[~value.isnan()] if which != "mean" else value
            shown = (
                getattr(known, {"mean": "mean", "largest": "amax", "smallest": "amin"}[which])() if len(known) else None
            )
            parts.append(f"{which} {name}={math.nan if shown is None else shown.item():{form}}")
    parts.append(f"num_samples={summary.num_samples}")
    if not believable.all():
        who = "do not believe it" if not batch else f"do not believe {int((~believable).sum())} of {believable.numel()}"
        why = f"pareto_k is not below {summary.pareto_k_threshold:.2f}"
        if bool((summary.log_evidence[~believable] == -math.inf).all()):
            why = "every weight is zero"
        elif summary.num_samples < FEWEST_TO_JUDGE:
            why = "too few weights to judge by"
        parts.append(f"{who}: {why}")
    return ", ".join(parts)
