"""Members whose z takes a few values: zeros in the tables, missing support, weights that are equal, tiny or rare."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical

from lvmlib.exact import FiniteModel
from lvmlib.zoo.grids import values
from lvmlib.zoo.member import Member

__all__ = ["tables"]


def _table(
    name: str,
    breaks: str,
    prior: list[float],
    likelihood: list[list[float]],
    q: list[float],
    *,
    num_samples: int = 1000,
) -> Member:
    """A member that is two tables, a table q, and the observation x = 1."""
    return Member(
        name,
        breaks,
        FiniteModel(_exactly(prior), _exactly(likelihood)),
        Categorical(_exactly(q)),
        torch.tensor(1),
        tail_index=0.0,
        tail_reason="finitely many values",
        grid=values(len(prior)),
        num_samples=num_samples,
    )


def _exactly(numbers: list[float] | list[list[float]]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def tables() -> list[Member]:
    """The members with a discrete z."""
    weather, umbrella = [0.5, 0.3, 0.2], [[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]]
    return [
        _table("umbrella", "Nothing: a claim that fails here has no case at all.", weather, umbrella, [0.2, 0.3, 0.5]),
        _table(
            "prior-as-proposal",
            "The hope that the prior is a neutral choice: it spends its draws where the likelihood is low.",
            weather,
            umbrella,
            weather,
        ),
        _table(
            "structural-zero",
            "Logarithms of the likelihood: the joint density is zero at a z that the prior draws and q does not.",
            weather,
            [[1.0, 0.0], [0.4, 0.6], [0.1, 0.9]],
            [0.0, 0.4, 0.6],
        ),
        _table(
            "zero-likelihood",
            "Means of logarithms: a weight is zero with probability 0.4, so the mean of log w is minus infinity for "
            "any number of draws.",
            [0.4, 0.35, 0.25],
            [[1.0, 0.0], [0.4, 0.6], [0.1, 0.9]],
            [0.4, 0.35, 0.25],
        ),
        _table(
            "missing-support",
            "Unbiasedness: q leaves out a z that holds a part of the posterior, while all weights are equal.",
            weather,
            umbrella,
            [5 / 23, 18 / 23, 0.0],
        ),
        _table(
            "impossible-x",
            "Division by the evidence: no z explains this x, so there is no posterior.",
            weather,
            [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]],
            weather,
        ),
        _table(
            "constant-weight",
            "Strict inequalities: q is the posterior, and every weight equals the evidence.",
            weather,
            umbrella,
            [5 / 41, 18 / 41, 18 / 41],
        ),
        _table("one-value", "Claims about variances: z takes one value.", [1.0], [[0.7, 0.3]], [1.0]),
        _table(
            "rare-weight",
            "Faith in a standard error: one weight in a million holds a tenth of the evidence.",
            [0.9, 0.1],
            [[0.5, 0.5], [0.5, 0.5]],
            [1 - 1e-6, 1e-6],
        ),
        _table(
            "tiny-weight",
            "Half the relative variance as a measure of the gap: a tenth of the weights are almost zero.",
            [0.5, 0.5],
            [[1.0, 1e-150], [0.5, 0.5]],
            [0.1, 0.9],
        ),
        _table(
            "single-draw",
            "Anything read from a sample: K = 1.",
            weather,
            umbrella,
            weather,
            num_samples=1,
        ),
    ]
