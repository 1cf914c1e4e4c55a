"""What :func:`fit` was asked for: its options, checked, and the optimizer and the scheduler made from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lvmlib._checks import check_number, check_sample_count, describe
from lvmlib.gradients import Baseline, Estimator, RunningMean
from lvmlib.training.run import KLWeight, check_kl_weight

__all__ = [
    "Every",
    "Objective",
    "check_callables",
    "check_choices",
    "check_counts",
    "checked_estimator",
    "make_optimizer",
    "make_schedule",
    "shown",
]

Objective: TypeAlias = Literal["elbo", "iwae"]
Every: TypeAlias = Literal["epoch", "step"]


_ESTIMATORS: dict[str, tuple[Estimator, ...]] = {
    "elbo": ("reparameterized", "score", "stl"),
    "iwae": ("iwae", "dreg", "vimco"),
}


def checked_estimator(objective: str, estimator: Estimator | None) -> Estimator:
    if not isinstance(objective, str) or objective not in _ESTIMATORS:
        raise ValueError(f"objective is {objective!r}: expected one of {get_args(Objective)}; correct the name.")
    estimator = _ESTIMATORS[objective][0] if estimator is None else estimator
    if estimator not in _ESTIMATORS[objective]:
        others = [name for name, known in _ESTIMATORS.items() if estimator in known]
        mend = f"write objective={others[0]!r}" if others else "correct the name"
        raise ValueError(
            f"estimator is {estimator!r} for objective {objective!r}: expected one of {_ESTIMATORS[objective]}; {mend}."
        )
    return estimator


def check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None:
            check_sample_count(name, count, least=1)


def check_choices(
    learning_rate: float,
    clip_norm: float | None,
    kl_weight: KLWeight,
    objective: str,
    scheduler_every: str,
    patience: int | None,
    validation: object,
) -> None:
    if not 0 < check_number("learning_rate", learning_rate) < math.inf:
        raise ValueError(f"learning_rate is {learning_rate}: expected a finite number above 0; try 1e-3.")
    if clip_norm is not None and not check_number("clip_norm", clip_norm) > 0:
        raise ValueError(f"clip_norm is {clip_norm}: expected a number above 0; leave it out for no clipping.")
    if not callable(kl_weight):
        check_kl_weight("kl_weight", kl_weight)
    if objective != "elbo" and kl_weight != 1:
        raise ValueError(
            f"kl_weight is {kl_weight!r} for objective {objective!r}: expected 1, as only the ELBO has a KL to weigh; "
            f"leave it out, or write objective='elbo'."
        )
    if scheduler_every not in get_args(Every):
        raise ValueError(f"scheduler_every is {scheduler_every!r}: expected one of {get_args(Every)}.")
    if patience is not None and validation is None:
        raise ValueError(f"patience is {patience} without validation data: expected both; pass validation=...")


def check_callables(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} is {describe(function)}: expected a function; see fit for what it is given.")


def shown(baseline: Baseline) -> str | None:
    return f"RunningMean(decay={baseline.decay})" if isinstance(baseline, RunningMean) else baseline


def make_schedule(make: Callable[[Optimizer], Any], optimizer: Optimizer, every: Every) -> Any:
    made = make(optimizer)
    if not hasattr(made, "step") or not hasattr(made, "state_dict"):
        raise TypeError(
            f"scheduler made {describe(made)}: expected a scheduler of torch.optim.lr_scheduler; return one, as "
            f"lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10)."
        )
    if isinstance(made, ReduceLROnPlateau) and every == "step":
        raise ValueError(
            "scheduler_every is 'step' and scheduler made a ReduceLROnPlateau: expected 'epoch', as it looks at the "
            "bound of an epoch; leave scheduler_every out."
        )
    return made


def make_optimizer(
    make: Callable[[list[nn.Parameter]], Optimizer] | None,
    parameters: list[nn.Parameter],
    learning_rate: float,
    device: torch.device,
) -> Optimizer:
    if make is None:
        return torch.optim.Adam(parameters, lr=learning_rate, fused=device.type in ("cpu", "cuda"))
    made = make(parameters)
    if not isinstance(made, Optimizer) or isinstance(made, torch.optim.LBFGS):
        raise TypeError(
            f"optimizer made an object of type {type(made).__name__}: expected a torch.optim.Optimizer that steps "
            f"without a closure; pass a function of the parameters, as "
            f"lambda parameters: torch.optim.SGD(parameters, lr=0.1)."
        )
    known = {id(parameter) for parameter in parameters}
    foreign = sum(id(value) not in known for group in made.param_groups for value in group["params"])
    if foreign:
        raise ValueError(
            f"optimizer made {type(made).__name__} over {foreign} tensors that are no parameters of the model or q: "
            f"expected it to be made from the list that it is given, or a part of it, as "
            f"lambda parameters: torch.optim.Adam(parameters)."
        )
    return made
