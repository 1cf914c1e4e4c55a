"""The library on one GPU, below nine minutes: benchmarks, then the package's tests, as one JSON.

    make gpu PYTHON=python3                               # a Python whose torch sees a GPU; nothing is installed
    python benchmarks/gpu.py --device cpu --quick --output /tmp/dry.json   # the same steps, small, without a GPU

Every section runs in a process of its own with a time limit, and writes what it has after each measurement: a section
that fails, or takes too long, loses nothing that was measured before. Sections whose packages are missing say so.
The section "mnist" trains by the whole schedule of Burda et al. (2016), which takes hours: it does what fits, keeps
checkpoints, and goes on from them at the next call. It needs the four files of MNIST, in ../shared/data/mnist.

    python benchmarks/gpu.py --section mnist --seconds 5000 --output mnist.json       # only that, for longer

Numbers of a section are seconds, operations a second, nats or bytes, as their names say.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import literature_mnist
import programs_evidence
import programs_iwae
import programs_training
import torch

from lvmlib import data, fit, importance_sampling

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "numpy", "triton", "jax", "numpyro", "pyro-ppl", "pytest")
MNIST = ROOT.parent / "shared" / "data" / "mnist"
SHARE_OF_MATRIX_RATE = 0.4
TIMES_PYRO = 10.0


class Notes:
    """What a section found, written after every entry."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, dict[str, Any]()

    def put(self, *keys: str, value: Any) -> None:
        place = self.found
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
        self.path.write_text(json.dumps(self.found))
        print(" / ".join(keys), value, flush=True)


class Run:
    """Where the work is done, and how much of it."""

    def __init__(self, device: str, quick: bool, notes: Notes, budget: float = 60.0) -> None:
        self.device, self.quick, self.notes, self.budget = torch.device(device), quick, notes, budget
        self.num_images, self.num_samples = (20, 100) if quick else (10_000, 5_000)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], Any], at_most: float = 3.0) -> float:
        """The median of several calls after one that is not counted; as many as fit, and no more than seven."""
        call()
        times: list[float] = []
        while len(times) < 7 and (not times or sum(times) + times[-1] < at_most):
            self.wait()
            start = time.perf_counter()
            call()
            self.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)


# How the three sections that need nothing but torch are computed; each precision is asked for by name.


@contextlib.contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Matrix products in float32, in TF32, or in bfloat16 under ``torch.autocast``."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def iwae(run: Run) -> None:
    """IWAE-5000 of 10,000 images: seconds, operations a second, and the share of this GPU's measured matrix rate."""
    given = programs_iwae.problem(run.num_images, run.device)
    flop = given.flop(run.num_samples)
    programs = {
        "lvmlib VAE": programs_iwae.lvmlib_vae(given, run.num_samples),
        "lvmlib module": programs_iwae.lvmlib_module(given, run.num_samples),
        "plain torch": programs_iwae.plain_torch(given, run.num_samples),
    }
    for name in ("float32", "tf32", "bfloat16"):
        of_products = programs_iwae.problem(1, run.device, torch.bfloat16 if name == "bfloat16" else torch.float32)
        with precision(name, run.device):
            lengths = (200, 2_000) if run.quick else (100_000, 1_000_000)
            rate = max(programs_iwae.matrix_rate(of_products, rows, run.seconds) for rows in lengths)
            run.notes.put(name, "matrix products, operations a second", value=rate)
            for program, call in programs.items():
                with attempt(run, name, program):
                    seconds = run.seconds(call)
                    found = {"seconds": seconds, "operations a second": flop / seconds, "share": flop / seconds / rate}
                    run.notes.put(name, program, value=found | {"mean log-evidence": float(call().double().mean())})
    if importlib.util.find_spec("pyro") is not None:
        few = programs_iwae.problem(min(200, run.num_images), run.device)
        seconds = run.seconds(programs_iwae.pyro_program(few, run.num_samples))
        scaled = seconds * run.num_images / len(few.images)
        run.notes.put("float32", "Pyro", value={"seconds": scaled, "measured on images": len(few.images)})
    else:
        run.notes.put("float32", "Pyro", value={"skipped": "pyro is not installed"})


def precision_errors(run: Run) -> None:
    """log p(x|z) in each precision beside float64, at the same z, in nats."""
    given = programs_iwae.problem(min(100, run.num_images), run.device)
    exact = programs_iwae.problem(len(given.images), run.device, torch.float64)
    z = given.loc + given.scale * torch.randn(20, *given.loc.shape, device=run.device)
    with torch.no_grad():
        truth = programs_iwae.vae_of(exact).log_likelihood(exact.images, z.double())
        model = programs_iwae.vae_of(given)
        for name in ("float32", "tf32", "bfloat16"):
            with attempt(run, name), precision(name, run.device):
                error = model.log_likelihood(given.images, z).double() - truth
                found = {"largest error in nats": error.abs().max().item(), "mean error in nats": error.mean().item()}
                run.notes.put(name, value=found | {"size of the value in nats": truth.abs().mean().item()})


def kernels(run: Run) -> None:
    """Which operations the device spends its time on in the stream, and how often the host waits for it."""
    given = programs_iwae.problem(run.num_images, run.device)
    num_samples = min(200, run.num_samples)
    call = programs_iwae.lvmlib_vae(given, num_samples)
    call()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if run.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        call()
        run.wait()
    field = "self_device_time_total" if run.device.type == "cuda" else "self_cpu_time_total"
    busiest = sorted(profile.key_averages(), key=lambda event: -getattr(event, field))[:15]
    found = [
        {"name": event.key[:120], "calls": event.count, "milliseconds": getattr(event, field) / 1e3}
        for event in busiest
        if getattr(event, field) > 0
    ]
    run.notes.put("busiest", value={"draws": num_samples, "operations": found})
    if run.device.type != "cuda":
        run.notes.put("waits of the host", value={"skipped": "there is no device to wait for"})
        return
    for count in (num_samples, 4 * num_samples):
        found = waits(programs_iwae.lvmlib_vae(given, count))
        run.notes.put("waits of the host", f"importance_sampling, {count} draws", value=found)
    for passes in (2, 4):
        found = waits(programs_training.lvmlib_fit(programs_training.images(20, run.device), passes))
        run.notes.put("waits of the host", f"fit, {passes} epochs", value=found)


def waits(call: Callable[[], Any]) -> int:
    """How often a call makes the host wait for the device."""
    call()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in seen)


def memory(run: Run) -> None:
    """The device's memory over the model's and the data's, against the number of draws."""
    if run.device.type != "cuda":
        run.notes.put("skipped", value="memory is counted on a GPU; bench_iwae.py does it on a CPU")
        return
    given = programs_iwae.problem(100, run.device)
    model = programs_iwae.vae_of(given)
    for count in (500, 5_000, 50_000, 500_000):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(run.device)
        before = torch.cuda.memory_allocated(run.device)
        start = time.perf_counter()
        importance_sampling(model, given.q, given.images, count, seed=0).log_evidence.sum().item()
        found = {"peak bytes": torch.cuda.max_memory_allocated(run.device) - before}
        run.notes.put(f"{count} draws", value=found | {"seconds": time.perf_counter() - start})


def training(run: Run) -> None:
    """A step 784-200-200-50, batch 100: fit beside plain torch with fused Adam, in rounds that take turns."""
    data = programs_training.images(10 if run.quick else 100, run.device)
    passes = 2 if run.quick else 10
    steps = passes * len(data) // programs_training.BATCH
    programs = {
        "lvmlib": programs_training.lvmlib_fit(data, passes),
        "plain torch": programs_training.plain_torch(data, passes),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for call in programs.values():
        call()
    for _ in range(2 if run.quick else 6):
        for name, call in programs.items():
            run.wait()
            start = time.perf_counter()
            call()
            run.wait()
            times[name].append((time.perf_counter() - start) / steps * 1e3)
            run.notes.put("milliseconds a step", value={key: sorted(values) for key, values in times.items()})
    ratio = statistics.median(times["lvmlib"]) / statistics.median(times["plain torch"])
    run.notes.put("lvmlib to plain torch", value=ratio)
    vae_data = data[: 5 * programs_training.BATCH]
    encoder, decoder = programs_training.networks(run.device)
    model = programs_training.VAE(encoder, decoder, latent_dim=programs_training.LATENT)
    history = fit(model, model.encoder, vae_data, epochs=5, objective="iwae", num_samples=5, seed=0, progress=False)
    run.notes.put("IWAE-5 by epoch, nats", value=history.train)


def mnist(run: Run) -> None:
    """VAE and IWAE of the literature by its whole schedule, K = 1, 5, 50: an equal share of the time for each."""
    if not MNIST.is_dir():
        run.notes.put("skipped", value=f"the four files of MNIST are not in {MNIST.relative_to(ROOT.parent)}")
        return
    scratch = ROOT / "_build" / ("mnist_quick" if run.quick else "mnist")
    scratch.mkdir(parents=True, exist_ok=True)
    images = data.mnist("train", path=MNIST, device=run.device).images
    x = data.mnist("test", path=MNIST, binarize="static", device=run.device).images[: run.num_images]
    images = images[: 200 if run.quick else literature_mnist.NUM_TRAIN]
    runs: list[tuple[literature_mnist.Objective, int]] = [
        ("VAE", 1),
        ("VAE", 5),
        ("VAE", 50),
        ("IWAE", 5),
        ("IWAE", 50),
    ]
    start = time.perf_counter()
    for done, (objective, draws) in enumerate(runs):
        name = f"{objective}, K = {draws}"
        # What one leaves is for those after it; a fifth of each share is for its evaluation.
        share = 0.8 * (run.budget - (time.perf_counter() - start)) / (len(runs) - done)
        end = time.perf_counter() + share
        with attempt(run, name):
            vae, curve = literature_mnist.train(
                images,
                objective,
                draws,
                stages=8,
                checkpoint=scratch / f"{objective}_{draws}.safetensors",
                until=lambda end=end: time.perf_counter() > end,
            )
            found = {"passes": len(curve), "of": (3**8 - 1) // 2, "bound of the last pass": curve[-1]}
            run.notes.put(name, value=found)
            found |= literature_mnist.judge(vae, x, len(x) if run.device.type == "cuda" else min(len(x), 10))
            run.notes.put(name, value=found | {"published": -literature_mnist.PUBLISHED[objective][draws]})


def evidence(run: Run) -> None:
    """log p(x) by prior draws of a linear Gaussian model: seconds against the number of draws."""
    given = programs_evidence.problem(run.device)
    run.notes.put("exact log p(x), nats", value=given.model.log_evidence(given.x).item())
    many = 10_000 if run.quick else 10_000_000
    programs = {
        "lvmlib LinearGaussian": programs_evidence.lvmlib_linear_gaussian,
        "lvmlib, any Distribution": programs_evidence.lvmlib_distributions,
        "torch.distributions, chunks of 10^5": programs_evidence.torch_distributions,
        "torch.distributions, chunks of 10^7": lambda given, count: programs_evidence.torch_distributions(
            given, count, 10_000_000
        ),
    }
    grow(run, programs, given, [many, 10 * many, 100 * many])


def grow(run: Run, programs: dict[str, Any], given: Any, counts: list[int], longest: float = 12.0) -> None:
    """Seconds of every program for more and more draws, as long as the next is not foreseen to take too long."""
    for name, make in programs.items():
        times: dict[int, float] = {}
        for count in counts:
            if times and max(times.values()) * count / max(times) > longest:
                break
            with attempt(run, name, f"{count} draws"):
                call = make(given, count)
                times[count] = run.seconds(call, at_most=3.0)
                run.notes.put(name, f"{count} draws", value={"seconds": times[count], "nats": float(call())})
        if len(times) > 1:
            first, last = min(times), max(times)
            run.notes.put(name, "slope", value=math.log(times[last] / times[first]) / math.log(last / first))


# The programs of JAX, in processes of their own: two libraries of CUDA in one process may not agree.


def jax_is_ready(run: Run) -> bool:
    if importlib.util.find_spec("jax") is None:
        run.notes.put("skipped", value="jax is not installed")
        return False
    import jax

    platforms = {device.platform for device in jax.devices()}
    run.notes.put("devices", value=[str(device) for device in jax.devices()])
    if run.device.type == "cuda" and not platforms & {"gpu", "cuda"}:
        run.notes.put("skipped", value="jax sees no GPU")
        return False
    return True


def iwae_jax(run: Run) -> None:
    """IWAE-5000 of the same images by the best JAX program and by NumPyro."""
    if not jax_is_ready(run):
        return
    given = programs_iwae.problem(run.num_images)
    programs = {
        "JAX, float32": lambda: programs_iwae.jax_program(given, run.num_samples, precision="highest"),
        "JAX, tf32": lambda: programs_iwae.jax_program(given, run.num_samples, precision="tensorfloat32"),
        "JAX, bfloat16": lambda: programs_iwae.jax_program(given, run.num_samples, precision="bfloat16"),
    }
    if importlib.util.find_spec("numpyro") is not None:
        programs["NumPyro"] = lambda: programs_iwae.numpyro_program(given, run.num_samples)
    for name, make in programs.items():
        with attempt(run, name):
            call = make()
            seconds = run.seconds(call)
            found = {"seconds": seconds, "operations a second": given.flop(run.num_samples) / seconds}
            run.notes.put(name, value=found | {"mean log-evidence": float(call().mean())})


def evidence_jax(run: Run) -> None:
    """The same evidence by a compiled scan."""
    if not jax_is_ready(run):
        return
    given = programs_evidence.problem()
    many = 100_000 if run.quick else 10_000_000
    programs = {
        "JAX scan, chunks of 10^5": programs_evidence.jax_scan,
        "JAX scan, chunks of 10^7": lambda given, count: programs_evidence.jax_scan(
            given, count, chunk_size=min(count, 10_000_000)
        ),
    }
    grow(run, programs, given, [many, 10 * many, 100 * many])


def training_jax(run: Run) -> None:
    """The same training by NumPyro, compiled."""
    if not jax_is_ready(run):
        return
    if importlib.util.find_spec("numpyro") is None:
        run.notes.put("skipped", value="numpyro is not installed")
        return
    data = programs_training.images(10 if run.quick else 100)
    passes = 2 if run.quick else 10
    seconds = run.seconds(programs_training.numpyro_svi(data, passes))
    run.notes.put("milliseconds a step", value=seconds / (passes * len(data) / programs_training.BATCH) * 1e3)


@contextlib.contextmanager
def attempt(run: Run, *keys: str) -> Iterator[None]:
    """A measurement that may fail, out of memory for instance, without ending those after it."""
    try:
        yield
    except Exception as error:
        run.notes.put(*keys, value={"failed": f"{type(error).__name__}: {str(error)[:500]}"})


# The longest each may take, in seconds; what the benchmarks leave of the whole is for the tests.
SECTIONS: dict[str, tuple[Callable[[Run], None], float]] = {
    "iwae": (iwae, 90),
    "precision": (precision_errors, 15),
    "memory": (memory, 25),
    "training": (training, 40),
    "evidence": (evidence, 45),
    "iwae jax": (iwae_jax, 45),
    "kernels": (kernels, 20),
    "evidence jax": (evidence_jax, 30),
    "training jax": (training_jax, 30),
    "mnist": (mnist, 75),
}
FOR_TESTS = 200.0


def importing() -> dict[str, str]:
    """The environment of a process that imports this checkout, and whatever else this one can import."""
    paths = (str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def in_a_process(name: str, arguments: argparse.Namespace, limit: float) -> dict[str, Any]:
    """A section's numbers, with how it ended."""
    part = arguments.output.with_suffix(f".{name.replace(' ', '-')}.part")
    part.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--section", name, "--device", arguments.device, "--output", str(part)]
    command += ["--quick"] if arguments.quick else []
    environment = importing() | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, timeout=limit, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
        )
        end = "finished" if done.returncode == 0 else f"failed: {done.stderr[-1500:]}"
    except subprocess.TimeoutExpired:
        end = f"stopped after {limit:.0f} s"
    found = json.loads(part.read_text()) if part.exists() else {}
    part.unlink(missing_ok=True)
    return {"ended": end, "seconds": round(time.perf_counter() - start, 1), "found": found}


def tests(arguments: argparse.Namespace, limit: float) -> dict[str, Any]:
    """The package's tests on the device: how many passed, each failure with its last words, and the slowest."""
    path = arguments.output.with_suffix(".tests.jsonl")
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "tests/lvmlib", "--device", arguments.device, "-q", "--tb=short"]
    command += ["-p", "no:cacheprovider", "-p", "outcomes"]
    if importlib.util.find_spec("xdist") is not None:
        # A process with a context of CUDA takes half a gigabyte of the device.
        command += ["-n", str(os.cpu_count() or 2), "--dist", "worksteal"]
    if arguments.quick:
        command += ["-k", "test_bounds"]
    environment = importing() | {"OMP_NUM_THREADS": "1", "OUTCOMES": str(path)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True, process_group=0
    )
    try:
        printed, _ = process.communicate(timeout=limit)
        end = "finished"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        end = f"stopped after {limit:.0f} s"
    outcomes = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.unlink(missing_ok=True)
    return {
        "ended": end,
        "seconds": round(time.perf_counter() - start, 1),
        "closing line": next((line for line in reversed(printed.splitlines()) if line.strip()), ""),
        "passed": sum(outcome["outcome"] == "passed" for outcome in outcomes),
        "failures": [outcome for outcome in outcomes if outcome["outcome"] == "failed"],
        "skipped": sorted({outcome["end"] for outcome in outcomes if outcome["outcome"] == "skipped"}),
        "slowest": sorted(outcomes, key=lambda outcome: -outcome["seconds"])[:10],
    }


def demands(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """What is asked of the library on a GPU, and what was measured."""
    found = sections.get("iwae", {}).get("found", {}).get("float32", {})
    ours, pyro = found.get("lvmlib VAE", {}), found.get("Pyro", {})
    result = []
    if "share" in ours:
        what = "IWAE-5000, float32: share of the measured matrix rate"
        passed = ours["share"] >= SHARE_OF_MATRIX_RATE
        result.append({"what": what, "at_least": SHARE_OF_MATRIX_RATE, "measured": ours["share"], "passed": passed})
    if "seconds" in ours and "seconds" in pyro:
        times = pyro["seconds"] / ours["seconds"]
        what = "IWAE-5000: times as fast as Pyro"
        result.append({"what": what, "at_least": TIMES_PYRO, "measured": times, "passed": times >= TIMES_PYRO})
    return result


def about(device: str) -> dict[str, Any]:
    """The device and the versions."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    found: dict[str, Any] = {"device": "cpu", "versions": versions, "machine": platform.machine()}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "device": properties.name,
            "memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="sizes that a laptop's CPU does in a minute or two")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.json")
    parser.add_argument("--limit", type=float, default=540.0, help="seconds for everything together")
    parser.add_argument("--section", choices=list(SECTIONS), help="one of the sections alone")
    parser.add_argument("--seconds", type=float, default=60.0, help="for the section mnist")
    arguments = parser.parse_args()
    arguments.output = arguments.output.resolve()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            f"torch {torch.__version__} of {sys.executable} sees no GPU: expected torch.cuda.is_available(). Name a "
            f"Python that has one with `make gpu PYTHON=...`, or try the steps with --device cpu --quick."
        )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    if arguments.section:
        run = Run(arguments.device, arguments.quick, Notes(arguments.output), arguments.seconds)
        SECTIONS[arguments.section][0](run)
        return
    start = time.perf_counter()
    result: dict[str, Any] = about(arguments.device) | {"quick": arguments.quick, "sections": {}}
    print(json.dumps(result, indent=2), flush=True)

    def left() -> float:
        return arguments.limit - (time.perf_counter() - start)

    for name, (_, limit) in SECTIONS.items():
        limit = min(limit, left() - FOR_TESTS)
        if limit < 10:
            result["sections"][name] = {"ended": "not begun: no time was left", "found": {}}
        else:
            print(f"== {name}", flush=True)
            result["sections"][name] = in_a_process(name, arguments, limit)
            print(result["sections"][name]["ended"], flush=True)
        result["demands"] = demands(result["sections"])
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print("== tests", flush=True)
    result["tests"] = tests(arguments, max(30.0, left() - 3))
    result["seconds"] = round(time.perf_counter() - start, 1)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({"tests": result["tests"], "demands": result["demands"], "seconds": result["seconds"]}, indent=2))
    print(f"Everything measured is in {arguments.output}.")


if __name__ == "__main__":
    main()
