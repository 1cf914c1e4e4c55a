"""Two processes in place of one: strong and weak scaling of an estimate, by observations and by draws.

The work is that of ``lvmlib.evaluate`` on binary images under a decoder 50-200-200-784, each process with one thread,
the processes joined by gloo. *By draws*: the processes share the draws of one group of images and merge their
summaries. *By observations*: they share four groups, and send nothing. In strong scaling the work stays as it is, in
weak scaling it grows with the number of processes. Rounds of one and of two processes take turns.

What two processes should take is predicted from one: the parts of the work that every process repeats are timed in it,
and Amdahl's law does the rest. The time that two processes take side by side for work that they do not share says how
much they hinder each other. Writes benchmarks/results/scaling.json and a plot beside it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import programs_iwae
import torch
import torch.distributed as dist
from reporting import report

from lvmlib import VAE, plots
from lvmlib.evaluate import evaluate
from lvmlib.evidence import check_covers
from lvmlib.weights import bind_without_gradient, misses_mass, summarize_blocks

GROUP, GROUPS, DRAWS = 10, 4, 20_000
READ = ("log_evidence", "std_error", "ess", "pareto_k")


def parts(draws: int) -> dict[str, float]:
    """The time of each step of one group, in a single process: what all processes repeat, and what they share."""
    model, q, images = one_group()
    clock = [time.perf_counter()]
    problem = bind_without_gradient(model, q, images)
    check_covers(problem)
    clock.append(time.perf_counter())
    summary = summarize_blocks(problem, draws, name="parts", seed=0)
    clock.append(time.perf_counter())
    summary._distrust(misses_mass(problem, summary))
    clock.append(time.perf_counter())
    for name in READ:
        getattr(summary, name)
    clock.append(time.perf_counter())
    names = ("prepare", "draw, weigh, sum", "look for missed modes", "read the summary")
    return {name: after - before for name, before, after in zip(names, clock, clock[1:], strict=False)}


def worker(rank: int, world: int, meeting: str) -> dict[str, Any]:
    """The times of one process among ``world``, from one meeting of all of them to the next."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)

    def timed(call: Callable[[], Any]) -> float:
        if world > 1:
            dist.barrier()
        start = time.perf_counter()
        call()
        if world > 1:
            dist.barrier()
        return time.perf_counter() - start

    def run(images: int, draws: int, split: str) -> Callable[[], Any]:
        given = programs_iwae.problem(images)
        model = programs_iwae.vae_of(given)
        return lambda: evaluate(model, Rows(given), given.images, draws, group_size=GROUP, split=split)

    by_draws = "samples" if world > 1 else "data"
    run(GROUP, DRAWS // 10, by_draws)()
    found: dict[str, Any] = {
        "by draws, strong": timed(run(GROUP, DRAWS, by_draws)),
        "by observations, strong": timed(run(GROUP * GROUPS, DRAWS // GROUPS, "data")),
    }
    if world == 1:
        return found | {"parts": parts(DRAWS)}
    found["by draws, weak"] = timed(run(GROUP, DRAWS * world, by_draws))
    found["by observations, weak"] = timed(run(GROUP * GROUPS * world, DRAWS // GROUPS, "data"))
    problem = bind_without_gradient(*one_group())
    found["side by side"] = timed(lambda: summarize_blocks(problem, DRAWS, name="parts", seed=0))
    summary = summarize_blocks(problem, 2000, name="parts", seed=0)
    found["merge"] = timed(summary.all_reduce)
    dist.destroy_process_group()
    return found


class Rows:
    """q for a group of images: that of the rows which the group holds."""

    def __init__(self, given: programs_iwae.Problem) -> None:
        self.given = given

    def __call__(self, x: torch.Tensor) -> torch.distributions.Distribution:
        # Every image has a q of the same cost; which one is of no account for a time.
        few = slice(0, len(x))
        normal = torch.distributions.Normal(self.given.loc[few], self.given.scale[few])
        return torch.distributions.Independent(normal, 1)


def one_group() -> tuple[VAE, torch.distributions.Distribution, torch.Tensor]:
    """The decoder, q and the images of one group."""
    given = programs_iwae.problem(GROUP)
    return programs_iwae.vae_of(given), given.q, given.images


def start(world: int) -> tuple[dict[str, Any], float]:
    """So many processes at once: what the first of them found, and the time from start to end."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, __file__, "--meeting", str(Path(folder) / "meeting"), "--world", str(world), "--rank"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        began = time.perf_counter()
        running = [
            subprocess.Popen([*words, str(rank)], stdout=subprocess.PIPE, text=True, env=environment)
            for rank in range(world)
        ]
        outputs = [process.communicate()[0] for process in running]
        taken = time.perf_counter() - began
    if any(process.returncode for process in running):
        sys.exit("A process failed; its message stands above.")
    return json.loads(outputs[0].splitlines()[-1]), taken


def middle(rounds: list[dict[str, Any]], name: str) -> float:
    return statistics.median(found[name] for found in rounds)


def main(rounds: int) -> None:
    one: list[dict[str, Any]] = []
    two: list[dict[str, Any]] = []
    for _ in range(rounds):
        for world, kept in ((1, one), (2, two)):
            found, taken = start(world)
            kept.append(found | {"from start to end": taken})
            print(world, found, file=sys.stderr, flush=True)
    steps = {name: statistics.median(found["parts"][name] for found in one) for name in one[0]["parts"]}
    shared = steps["draw, weigh, sum"]
    repeated = sum(steps.values()) - shared
    hindrance = middle(two, "side by side") / shared
    scaling = {}
    for name, serial in (("by draws", repeated), ("by observations", 0.0)):
        alone = middle(one, f"{name}, strong")
        fraction = serial / alone
        strong, weak = middle(two, f"{name}, strong"), middle(two, f"{name}, weak")
        scaling[name] = {
            "serial fraction": round(fraction, 4),
            "seconds, one process": round(alone, 4),
            "seconds, two processes": round(strong, 4),
            "seconds, two processes, twice the work": round(weak, 4),
            "speed-up by Amdahl": round(1 / (fraction + (1 - fraction) / 2), 3),
            "speed-up by Amdahl, with hindrance": round(1 / (fraction + (1 - fraction) * hindrance / 2), 3),
            "speed-up measured": round(alone / strong, 3),
            "speed-up measured, by round": [
                round(a[f"{name}, strong"] / b[f"{name}, strong"], 3) for a, b in zip(one, two, strict=True)
            ],
            "weak efficiency measured": round(alone / weak, 3),
            "weak efficiency measured, by round": [
                round(a[f"{name}, strong"] / b[f"{name}, weak"], 3) for a, b in zip(one, two, strict=True)
            ],
        }
    result = {
        "what": f"IWAE-{DRAWS} of {GROUP} images by draws, IWAE-{DRAWS // GROUPS} of {GROUP * GROUPS} by observations, "
        "decoder 50-200-200-784, one process and two, a thread each",
        "steps of one process": {name: round(value, 5) for name, value in steps.items()},
        "time of one of two side by side over that of one alone": round(hindrance, 4),
        "seconds to merge two summaries": round(middle(two, "merge"), 5),
        "seconds from start to end": {
            "one process": round(middle(one, "from start to end"), 2),
            "two processes": round(middle(two, "from start to end"), 2),
        },
        "rounds": rounds,
        "cores": os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "scaling": scaling,
    }
    _, ax = plots.subplots(size=(5.4, 2.4))
    for place, (name, role) in enumerate((("by draws", "q"), ("by observations", "prior"))):
        found = scaling[name]
        ax.plot(found["speed-up measured, by round"], [place] * rounds, "|", color=plots.PALETTE[role], markersize=12)
        ax.plot(found["speed-up measured"], place, "o", color=plots.PALETTE[role])
        ax.plot(found["speed-up by Amdahl"], place, "D", markerfacecolor="none", color=plots.INK)
    ax.set(yticks=[0, 1], yticklabels=["by draws", "by observations"], ylim=(-0.6, 1.6))
    ax.set(xlabel="speed-up of two processes; diamonds, predicted", xlim=(0.9, 2.1))
    alt = "Speed-ups: " + "; ".join(
        f"{name} {found['speed-up measured']:.2f}, predicted {found['speed-up by Amdahl']:.2f}"
        for name, found in scaling.items()
    )
    report("scaling", result, plots.show(ax, alt=alt), packages=("torch",))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rank", type=int, help="be one of several processes, and print its times")
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--meeting", help="the file where the processes meet")
    arguments = parser.parse_args()
    if arguments.rank is None:
        main(arguments.rounds)
    else:
        print(json.dumps(worker(arguments.rank, arguments.world, arguments.meeting)))
