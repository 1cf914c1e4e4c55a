"""Every estimator of the package where log p(x) is known: bias, root mean square error, coverage and cost.

    python benchmarks/known_truth.py                                   # ten minutes of one core, or twenty
    python benchmarks/known_truth.py --estimator mine.py:estimate      # your own estimator, beside the others

The cases are those of lvmlib.zoo.cases(), probabilistic PCA on three digits, and the VAE of MNIST that chapter 10 ships
on three images that it made itself. The evidence of the last is not known exactly: bidirectional Monte Carlo with long
chains from both sides gives an interval, which holds both estimates and two standard errors on either side of each. The
same run on the digits, whose evidence is exact, shows what such an interval is worth.

Every estimator is given the same number of likelihoods, and how many it took is counted. Writes
results/known_truth.json, which the page "Where the truth is known" shows, and a plot beside it. A run stops after
--minutes and goes on where it stopped when it is called again; --anew forgets what was found before.

Your own estimator is a function estimate(model, q, x, num_samples, seed) that returns the estimate of log p(x) and its
standard error. It is scored on all cases but those of the VAE, or on those of --groups.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from reporting import RESULTS, report
from train_mnist import shipped

from lvmlib import LinearGaussian, bidirectional_monte_carlo, data, plots, zoo
from lvmlib.plots import Picture
from lvmlib.zoo.cases import gaussian_case, near_posterior

RESULT = RESULTS / "known_truth.json"
NUM_SAMPLES, SEED, NUM_IMAGES, LATENT = 4000, 0, 3, 10
# A repetition on the VAE takes a second.
REPETITIONS = {"zoo": 100, "linear Gaussian": 100, "pPCA on digits": 100, "VAE on MNIST": 40}
# The run that certifies: chains from the encoder, or from a product of normals, and back from the z that made x.
CERTIFYING = {"num_chains": 24, "num_steps": 2000, "num_leapfrog": 5, "seed": 1}

Interval = dict[str, Any]


def digits_model() -> LinearGaussian:
    """Probabilistic PCA of the digits of the training half, by maximum likelihood."""
    return LinearGaussian.fit(data.digits("train", dtype=torch.float64).images, LATENT)


def digits_cases() -> list[zoo.Case]:
    """Three digits that the model has not seen."""
    model, images = digits_model(), data.digits("test", dtype=torch.float64).images
    return [
        gaussian_case(f"digit {number}", "pPCA on digits", model, x) for number, x in enumerate(images[:NUM_IMAGES], 1)
    ]


def certified(model: Any, q: Callable[[torch.Tensor], Any]) -> tuple[tuple[torch.Tensor, torch.Tensor], list[Interval]]:
    """Simulated data (x, z), and for each x the interval in which bidirectional Monte Carlo puts log p(x)."""
    simulated = model.sample(NUM_IMAGES, seed=0)
    lower, upper = bidirectional_monte_carlo(model, simulated=simulated, initial=q, **CERTIFYING)
    forwards = zip(lower.log_evidence.tolist(), lower.std_error.tolist(), strict=True)
    reverse = zip(upper.log_evidence.tolist(), upper.std_error.tolist(), strict=True)
    intervals = []
    for (low, low_error), (high, high_error) in zip(forwards, reverse, strict=True):
        # The two estimates are random, and where they agree either may be the higher one.
        ends = (low - 2 * low_error, low + 2 * low_error, high - 2 * high_error, high + 2 * high_error)
        intervals.append(
            {"forward": low, "forward error": low_error, "reverse": high, "reverse error": high_error}
            | {"low": min(ends[0], ends[2]), "high": max(ends[1], ends[3])}
        )
    return simulated, intervals


def certificates() -> dict[str, Any]:
    """The intervals of the VAE's images, and those of simulated digits beside their exact log p(x)."""
    vae, digits = shipped("mnist_vae"), digits_model()
    start = time.process_time()
    _, intervals = certified(vae, vae.encoder)
    seconds = time.process_time() - start
    (x, _), check = certified(digits, lambda x: near_posterior(digits, x))
    for interval, exact in zip(check, digits.log_evidence(x).tolist(), strict=True):
        interval["exact"] = exact
    return {**CERTIFYING, "seconds": round(seconds), "VAE on MNIST": intervals, "pPCA on digits": check}


def mnist_cases(intervals: Sequence[Interval]) -> list[zoo.Case]:
    """Images that the VAE made, with its encoder's q."""
    vae = shipped("mnist_vae")
    found = []
    for number, (x, z, known) in enumerate(zip(*vae.sample(NUM_IMAGES, seed=0), intervals, strict=True), 1):
        name, group = f"image {number}", "VAE on MNIST"
        found.append(zoo.Case(name, group, vae, vae.encoder(x), x, known["low"], known["high"], z))
    return found


def all_cases(intervals: Sequence[Interval], groups: Iterable[str]) -> list[zoo.Case]:
    """The cases of some groups, in the order of the table."""
    wanted = set(groups)
    found = [*zoo.cases(), *digits_cases(), *(mnist_cases(intervals) if "VAE on MNIST" in wanted else ())]
    return [case for case in found if case.group in wanted]


def score_or_reason(estimate: zoo.Estimator | Callable[..., Any], case: zoo.Case) -> zoo.Score | str:
    """The score of an estimator on a case, or what it said where it refused."""
    try:
        return zoo.score(estimate, case, num_samples=NUM_SAMPLES, repetitions=REPETITIONS[case.group], seed=SEED)
    except zoo.EstimatorError as error:
        return str(error.__cause__)


def fresh() -> dict[str, Any]:
    """A result without scores."""
    return {
        "what": "bias, root mean square error, coverage and cost of every estimator where log p(x) is known, in nats",
        "date": datetime.date.today().isoformat(),
        "seed": SEED,
        "likelihoods": NUM_SAMPLES,
        "repetitions": REPETITIONS,
        "estimators": {one.name: one.side for one in zoo.estimators()},
        "certificates": certificates(),
        "scores": [],
        "refused": [],
    }


def run(minutes: float, anew: bool) -> bool:
    """Score what is not scored yet; whether all is done."""
    until = time.monotonic() + 60 * minutes
    result = fresh() if anew or not RESULT.exists() else json.loads(RESULT.read_text())
    finished = {(one["estimator"], one["case"]) for one in (*result["scores"], *result["refused"])}
    cases = all_cases(result["certificates"]["VAE on MNIST"], REPETITIONS)
    for case in cases:
        for estimator in zoo.estimators():
            if (estimator.name, case.name) in finished:
                continue
            if time.monotonic() > until:
                return False
            found = score_or_reason(estimator, case)
            if isinstance(found, str):
                result["refused"].append({"estimator": estimator.name, "case": case.name, "reason": found})
            else:
                result["scores"].append(found.to_json())
        RESULT.write_text(json.dumps(result, indent=2) + "\n")
    report("known_truth", result, picture(result), packages=("torch", "numpy"), echo=False)
    return True


def scores_of(result: dict[str, Any]) -> dict[str, list[zoo.Score]]:
    """The scores of a result, by estimator."""
    by_estimator: dict[str, list[zoo.Score]] = {name: [] for name in result["estimators"]}
    for one in result["scores"]:
        by_estimator[one["estimator"]].append(zoo.Score.from_json(one))
    return by_estimator


def picture(result: dict[str, Any]) -> Picture:
    """The root mean square errors of each estimator, one mark a case."""
    by_estimator = scores_of(result)
    _, ax = plots.subplots(size=(5.8, 0.8 + 0.36 * len(by_estimator)))
    for position, scores in enumerate(by_estimator.values()):
        finite = [one for one in scores if math.isfinite(one.rmse)]
        for trusted in (True, False):
            shown = [one for one in finite if one.overconfident != trusted]
            ax.errorbar(
                [max(one.rmse, 1e-4) for one in shown],
                [position] * len(shown),
                xerr=[min(one.rmse_error, 0.9 * one.rmse) for one in shown],
                fmt="o",
                color=plots.PALETTE["q" if trusted else "evidence"],
                markerfacecolor="none" if trusted else None,
                markersize=4,
                elinewidth=0.8,
            )
    ax.set(xscale="log", yticks=range(len(by_estimator)), yticklabels=list(by_estimator))
    ax.set(xlabel="root mean square error, nats")
    ax.invert_yaxis()
    return plots.show(
        ax,
        alt="A row of marks for each estimator, one mark a case, from errors of a thousandth of a nat to tens of nats. "
        "Filled marks, whose intervals are too short, are found in every row.",
    )


def own_estimator(text: str) -> Callable[..., Any]:
    """The function that ``path/to/file.py:function`` names.

    Raises:
        ValueError: If it is not of that form, there is no such file, or no such function in it.
    """
    path, colon, name = text.rpartition(":")
    if not colon or not path or not name:
        raise ValueError(f"--estimator is {text!r}: expected path/to/file.py:function; put a colon between the two.")
    if not Path(path).is_file():
        raise ValueError(f"--estimator names the file {path!r}, which is not there: expected a Python file.")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--estimator names the file {path!r}: expected a Python file, whose name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise ValueError(f"--estimator names {name!r}, which {path} does not define: expected a function of that name.")
    return getattr(module, name)


def row(scores: Sequence[zoo.Score]) -> str:
    """A line of the table that is printed."""
    found = zoo.verdict(scores)
    return (
        f"{found.estimator[:24]:24} {found.cases:5d} {len(found.biased):6d} {len(found.overconfident):9d} "
        f"{found.rmse:9.3f} {found.evaluations:11.0f} {1000 * found.seconds:8.1f}"
    )


def compare_with_the_others(text: str, groups: Sequence[str]) -> None:
    """Score an own estimator and print its row beside those of the package, on the cases that it answered."""
    estimate = own_estimator(text)
    result = json.loads(RESULT.read_text())
    own, refused = [], []
    for case in all_cases(result["certificates"]["VAE on MNIST"], groups):
        found = score_or_reason(estimate, case)
        if isinstance(found, str):
            refused.append(f"  {case.name}: {found}")
        else:
            own.append(found)
    print(f"{'estimator':24} cases biased too short      RMSE likelihoods       ms")
    answered = {one.case for one in own}
    for scores in scores_of(result).values():
        if among := [one for one in scores if one.case in answered]:
            print(row(among))
    if own:
        print(row(own))
        print(f"\n{'case':30} {'bias':>18} {'RMSE':>16} {'coverage, %':>14}")
        for one in own:
            print(
                f"{one.case:30} {f'{one.bias:.4f} ± {one.bias_error:.4f}':>18} "
                f"{f'{one.rmse:.4f} ± {one.rmse_error:.4f}':>16} "
                f"{f'{100 * one.coverage:.0f} ± {100 * one.coverage_error:.0f}':>14}"
            )
    if refused:
        print("\nRefused:", *refused, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estimator", metavar="FILE.py:FUNCTION", help="score this one, and write nothing")
    parser.add_argument("--groups", nargs="+", choices=REPETITIONS, default=list(REPETITIONS)[:-1])
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--anew", action="store_true", help="forget what was found before")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.estimator:
        try:
            compare_with_the_others(arguments.estimator, arguments.groups)
        except (TypeError, ValueError) as error:
            parser.exit(2, f"{error}\n")
    else:
        print("finished" if run(arguments.minutes, arguments.anew) else "stopped: call it again, and it goes on")


if __name__ == "__main__":
    main()
