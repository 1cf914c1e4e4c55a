"""The atlas of chapter 11: what each diagnostic says of every member of the zoo, beside the exact truth.

Twenty million weights are drawn for each member (five million in fifty dimensions) and cut into estimates of log p(x)
with K = 10 to 10^6 draws. Of each estimate come its error, the standard error, the effective sample size, Pareto k, the
smoothed estimate, half the variance of log w and Markov's lower bound, all from the draws of q alone; kept are their
quantiles and how often they were right. Writes benchmarks/results/atlas.json; one core takes about half an hour.
"""

from __future__ import annotations

import argparse
import json
import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvmlib import WeightSummary, log_weights
from lvmlib.zoo import Member, member, members

RESULT = Path(__file__).parent / "results" / "atlas.json"
# How many estimates with K draws are cut from each million.
CUTS = {10: 50, 100: 25, 1000: 25, 10**4: 10, 10**5: 5, 10**6: 1}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
CONFIDENCE = 0.95
# What counts as an error, in nats.
TOLERANCE = 0.1
MILLION = 10**6


def million_weights(one: Member) -> Tensor:
    """The log-weights of a million draws, drawn in pieces."""
    piece = MILLION // 20
    with torch.no_grad():
        return torch.cat([log_weights(one.model, one.q, one.x, piece) for _ in range(MILLION // piece)])


def judged(one: Member, log_w: Tensor) -> dict[str, Tensor]:
    """What the diagnostics say of each column of log-weights."""
    summary = WeightSummary.from_log_weights(log_w, tail_size=3000)
    truth, num_samples = one.truth.log_evidence, len(log_w)
    error, std_error, calm = summary.log_evidence - truth, summary.std_error, summary.believable
    wrong = error.abs() > TOLERANCE
    covered = error.abs() <= 1.96 * std_error + 1e-9
    return {
        "error": error,
        "smoothed_error": summary.smoothed_log_evidence - truth,
        "std_error": std_error,
        "ess_share": summary.ess / num_samples,
        "pareto_k": summary.pareto_k,
        "half_variance": num_samples * summary.elbo_std_error.square() / 2,
        "coverage": covered,
        "certificate_holds": error + math.log(1 - CONFIDENCE) <= 0,
        "alarm": ~calm,
        "false_alarm": ~calm & ~wrong,
        "silent_failure": calm & wrong & ~covered,
    }


def summarised(values: Tensor) -> float | list[float | None]:
    """The share of what is true; of numbers the quantiles at :data:`LEVELS`, None where one does not exist."""
    if values.dtype == torch.bool:
        return round(values.double().mean().item(), 4)
    values = torch.where(values.isnan(), -math.inf, values.double())
    known = values.quantile(torch.tensor(LEVELS, dtype=torch.float64))
    return [round(quantile, 5) if math.isfinite(quantile) else None for quantile in known.tolist()]


def page(name: str, seed: int) -> dict[str, Any]:
    """The truth about a member, and what the diagnostics say of it, by K."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    one = member(name)
    found: dict[int, list[dict[str, Tensor]]] = {num_samples: [] for num_samples in CUTS}
    for _ in range(20 if one.q.event_shape.numel() < 50 else 5):
        log_w = million_weights(one)
        for num_samples, columns in CUTS.items():
            found[num_samples].append(judged(one, log_w[: num_samples * columns].reshape(columns, num_samples).T))
    by_num_samples = {}
    for num_samples, parts in found.items():
        whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        by_num_samples[num_samples] = {"estimates": len(whole["error"])} | {
            key: summarised(values) for key, values in whole.items()
        }
    truth = one.truth
    known = {"log_evidence": truth.log_evidence, "kl": truth.kl, "chi_square": truth.chi_square, "seen": truth.seen}
    return {
        "breaks": one.breaks,
        "tail_index": one.tail_index,
        **{key: value if math.isfinite(value) else None for key, value in known.items()},
        "by_num_samples": by_num_samples,
    }


def main(seed: int, jobs: int) -> None:
    # Where no z explains x there is nothing to estimate.
    names = [one.name for one in members() if one.truth.log_evidence > -math.inf]
    with ProcessPoolExecutor(jobs) as pool:
        pages = dict(zip(names, pool.map(partial(page, seed=seed), names), strict=True))
    result = {
        "what": "what each diagnostic says of every member of the zoo, beside the truth",
        "seed": seed,
        "levels": LEVELS,
        "confidence": CONFIDENCE,
        "tolerance": TOLERANCE,
        "members": pages,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    main(arguments.seed, arguments.jobs)
