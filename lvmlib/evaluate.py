r"""log p(x) of many observations under a trained model, by one process or by many.

.. code-block:: console

    python -m lvmlib.evaluate run.safetensors --samples 5000
    torchrun --nproc-per-node 4 -m lvmlib.evaluate run.safetensors --samples 5000

The estimate is that of :func:`lvmlib.importance_sampling` with the q of the checkpoint. Observations are weighed a
group at a time, and each group has random numbers of its own, so that one process and many give the same answer. What
is finished is kept in files beside the result: a run that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor

from lvmlib._checks import check_sample_count
from lvmlib._evaluation_files import check_output, function_named, observations, short
from lvmlib.evidence import check_covers
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import check_model
from lvmlib.training import load
from lvmlib.weights import bind_without_gradient, misses_mass, num_blocks, summarize_blocks

__all__ = ["evaluate", "main"]

_SPLITS = ("auto", "data", "samples")
_NUMBERS = ("log_evidence", "std_error", "ess", "pareto_k")
Group = dict[str, list[float]]


class StoppedError(Exception):
    """The run was told to end."""


def evaluate(
    model: LatentVariableModel,
    q: Guide,
    x: Tensor,
    num_samples: int,
    *,
    group_size: int = 100,
    split: str = "auto",
    seed: int = 0,
    done: dict[int, Group] | None = None,
    finished: Callable[[int, Group], None] | None = None,
) -> dict[int, Group]:
    """Estimates of log p(x), in nats, a group of observations at a time, by all processes together.

    Args:
        model: The joint density.
        q: A Distribution over z, or a callable from x to one.
        x: Observations, shape ``(N, *x_event)``, the same in every process.
        num_samples: The number K of draws.
        group_size: Observations of a group. It fixes the draws.
        split: What the processes share out: ``"data"``, the groups; ``"samples"``, the draws of each group; ``"auto"``,
            the groups if there are enough.
        seed: The same in every process.
        done: Groups that are known already, the same in every process.
        finished: Called with a group's number and its estimates as soon as this process has them.

    Returns:
        By the number of the group: for each of its observations ``log_evidence``, ``std_error``, ``ess`` and
        ``pareto_k``. With ``split="data"`` each process has those that it made.

    Raises:
        TypeError, ValueError: As :func:`lvmlib.importance_sampling`; also if the draws are too few to be shared out.
    """
    rank, world = _place()
    check_model(model)
    check_sample_count("group_size", group_size)
    if split not in _SPLITS:
        raise ValueError(f"split is {split!r}: expected one of {_SPLITS}; correct the name.")
    if len(model.batch_shape(model.check_observation(x))) != 1:
        raise ValueError(f"x has shape {tuple(x.shape)}: expected (N, *x_event); give it one batch dimension.")
    groups = x.split(group_size)
    results = dict(done or {})
    waiting = [index for index in range(len(groups)) if index not in results]
    by_data = split == "data" or (split == "auto" and len(waiting) >= world)
    for index in waiting[rank::world] if by_data else waiting:
        problem = bind_without_gradient(model, q, groups[index])
        check_covers(problem)
        blocks = num_blocks(problem, num_samples)
        first, last = (0, blocks) if by_data else (rank * blocks // world, (rank + 1) * blocks // world)
        if not by_data and blocks < world:
            raise ValueError(
                f"num_samples is {num_samples}, which makes {blocks} blocks of draws for {world} processes: expected a "
                f"block for each; raise it, take larger groups, or split the data."
            )
        name = f"evaluate, group {index}"
        summary = summarize_blocks(problem, num_samples, name=name, seed=seed, first=first, last=last)
        if not by_data:
            summary.all_reduce()
        summary._distrust(misses_mass(problem, summary))
        results[index] = {name: getattr(summary, name).double().tolist() for name in _NUMBERS}
        if finished is not None and (by_data or rank == 0):
            finished(index, results[index])
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Args:
        arguments: Its words; by default those of the process.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(arguments)
    output = options.output or options.checkpoint.with_suffix(".evaluation.json")
    start = time.perf_counter()
    rank = world = 0
    try:
        check_output(output)
        device = _join(options.device)
        rank, world = _place()
        model, q = load(
            options.checkpoint, factory=None if options.factory is None else function_named(options.factory)
        )
        x = observations(options.data, model)[: options.limit]
        key = _key(options, x)
        partial = Path(f"{output}.{key}.{rank}.partial")
        partial.touch()
        done = _everybodys(_read_partials(output, key))
    except (OSError, TypeError, ValueError, ImportError) as error:
        print(f"evaluate: {error}" if rank == 0 else "", file=sys.stderr)
        return 2
    if isinstance(q, torch.nn.Module):
        q.to(device)
    num_groups = -(-len(x) // options.group_size)
    progress = _Progress(len(done), num_groups, world, options, rank == 0)
    with open(partial, "a") as file:

        def keep(index: int, group: Group) -> None:
            file.write(json.dumps({"group": index, **_strict(group)}) + "\n")
            file.flush()
            os.fsync(file.fileno())
            progress.step()

        try:
            made = evaluate(
                model.to(device), q, x.to(device), options.samples, group_size=options.group_size, split=options.split,
                seed=options.seed, done=done, finished=keep,
            )  # fmt: skip
            results = _everybodys(made)
        except (StoppedError, KeyboardInterrupt, RuntimeError, TypeError, ValueError) as error:
            kept = len(_read_partials(output, key))
            why = "it was stopped" if isinstance(error, StoppedError | KeyboardInterrupt) else short(error)
            print(
                f"evaluate: process {rank} ended early ({why}). {kept} of {num_groups} groups are finished and kept in "
                f"{output}.{key}.*.partial; give the same command again to go on.",
                file=sys.stderr,
                flush=True,
            )
            return 1
    if rank == 0:
        report = _report(results, options, len(x), world, str(device), time.perf_counter() - start)
        output.write_text(json.dumps(report) + "\n")
        print(json.dumps({name: value for name, value in report.items() if name != "observations_in_order"}, indent=2))
        for part in output.parent.glob(f"{output.name}.{key}.*.partial"):
            part.unlink()
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lvmlib.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="a file that fit(..., checkpoint=...) wrote")
    parser.add_argument("--samples", type=_positive, default=5000, help="draws for each observation (5000)")
    parser.add_argument("--data", help="digits, mnist, or a file .npy or .safetensors; by default what fits the model")
    parser.add_argument("--limit", type=_positive, help="only so many observations, the first ones")
    parser.add_argument("--split", choices=_SPLITS, default="auto", help="what processes share out")
    parser.add_argument("--group-size", type=_positive, default=100, help="observations weighed together (100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--factory", help="module:function, a function that builds (model, q), for other models")
    parser.add_argument("--device", help="cpu or cuda; by default cuda if there is one")
    parser.add_argument("--output", type=Path, help="the result as JSON (CHECKPOINT.evaluation.json)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is no count: expected at least 1")
    return value


def _stop(number: int, frame: object) -> NoReturn:
    raise StoppedError


def _place() -> tuple[int, int]:
    """The number of this process, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def _join(device: str | None) -> torch.device:
    """Meet the other processes, if torchrun started any; the device of this one."""
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name).type
    except RuntimeError:
        found = "meta"
    if found == "meta":
        raise ValueError(f"--device is {name!r}, which is no device with numbers: expected cpu or cuda; correct it.")
    if found == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device is {name!r} and torch sees no GPU here: expected one; leave --device out.")
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(name)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if name.startswith("cuda") else "gloo")
    return torch.device(name)


def _key(options: argparse.Namespace, x: Tensor) -> str:
    """What the finished groups depend on."""
    digest = hashlib.sha256(options.checkpoint.read_bytes())
    digest.update(x.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    digest.update(f"{options.samples} {options.group_size} {options.seed} {tuple(x.shape)} {x.dtype}".encode())
    return digest.hexdigest()[:16]


def _read_partials(output: Path, key: str) -> dict[int, Group]:
    """The groups that earlier runs finished; a line that was cut short is left out."""
    found: dict[int, Group] = {}
    for path in sorted(output.parent.glob(f"{output.name}.{key}.*.partial")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
                found[int(entry["group"])] = {name: [_number(v) for v in entry[name]] for name in _NUMBERS}
            except (ValueError, KeyError, TypeError):
                continue
    return found


def _everybodys(mine: dict[int, Group]) -> dict[int, Group]:
    """What all processes have together."""
    _, world = _place()
    if world == 1:
        return mine
    parts: list[Any] = [None] * world
    dist.all_gather_object(parts, mine)
    return {index: group for part in parts for index, group in part.items()}


def _strict(group: Group) -> dict[str, list[float | str | None]]:
    """Numbers as every reader of JSON takes them: no NaN, and infinities in words."""
    return {
        name: [v if math.isfinite(v) else None if math.isnan(v) else str(v) for v in values]
        for name, values in group.items()
    }


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _report(
    results: dict[int, Group], options: argparse.Namespace, count: int, world: int, device: str, seconds: float
) -> dict[str, Any]:
    joined = {name: [v for index in sorted(results) for v in results[index][name]] for name in _NUMBERS}
    mean = math.fsum(joined["log_evidence"]) / count
    error = math.sqrt(math.fsum(e * e for e in joined["std_error"])) / count
    known = [k for k in joined["pareto_k"] if not math.isnan(k)]
    limit = min(1 - 1 / math.log10(options.samples), 0.7) if options.samples > 10 else 0.0
    summary = {
        "log_evidence": mean,
        "std_error": error,
        "smallest_ess": min(joined["ess"]),
        "largest_pareto_k": max(known, default=math.nan),
        "share_with_pareto_k_above_threshold": sum(k > limit for k in known) / count,
    }
    shown = {name: values[0] for name, values in _strict({name: [value] for name, value in summary.items()}).items()}
    return {
        "checkpoint": str(options.checkpoint),
        "observations": count,
        "samples": options.samples,
        "seed": options.seed,
        "group_size": options.group_size,
        "processes": world,
        "device": device,
        "seconds": round(seconds, 3),
        **shown,
        "observations_in_order": _strict(joined),
    }


class _Progress:
    """A line a few times a minute, by one process for all."""

    def __init__(self, done: int, total: int, world: int, options: argparse.Namespace, shown: bool) -> None:
        self.done, self.total, self.shown = done, total, shown
        self.share = world if options.split == "data" or (options.split == "auto" and total - done >= world) else 1
        self.start = self.last = time.perf_counter()
        self.before = done
        if shown and done:
            print(f"evaluate: {done} of {total} groups are known from before", file=sys.stderr, flush=True)

    def step(self) -> None:
        self.done = min(self.total, self.done + self.share)
        now = time.perf_counter()
        if self.shown and (now - self.last > 2 or self.done == self.total):
            self.last = now
            left = (now - self.start) / (self.done - self.before) * (self.total - self.done)
            print(f"evaluate: {self.done} of {self.total} groups, {left:.0f} s left", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main())
