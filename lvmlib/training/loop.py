r"""``fit``: climb a bound in the parameters of a model and of its q."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lvmlib._checks import describe
from lvmlib._random import Numbers, forked_rng
from lvmlib._threads import one_thread
from lvmlib.gradients import Baseline, Estimator, RunningMean, check_surrogate
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel
from lvmlib.problem import Problem, bind, check_model
from lvmlib.training.batches import Batches, Transform
from lvmlib.training.checkpoints import Checkpoint, as_path, read
from lvmlib.training.diagnosis import History, check_nothing_is_missed, refuses_other_rows
from lvmlib.training.options import (
    Every,
    Objective,
    check_callables,
    check_choices,
    check_counts,
    checked_estimator,
    make_optimizer,
    make_schedule,
    shown,
)
from lvmlib.training.recipes import fingerprint, fingerprint_of_function, owner_of
from lvmlib.training.run import KLWeight, Run

__all__ = ["fit"]

# Below so many multiplications in a step, one for each row, draw and parameter, its operations are too short to share.
_SHORT_STEP = 10_000_000


@torch.inference_mode(False)
@torch.enable_grad()
def fit(
    model: LatentVariableModel,
    q: Guide,
    data: Tensor | DataLoader[Any],
    *,
    epochs: int,
    objective: Objective = "elbo",
    estimator: Estimator | None = None,
    num_samples: int = 1,
    baseline: Baseline = None,
    kl_weight: KLWeight = 1.0,
    batch_size: int | None = 100,
    learning_rate: float = 1e-3,
    optimizer: Callable[[list[nn.Parameter]], Optimizer] | None = None,
    scheduler: Callable[[Optimizer], Any] | None = None,
    scheduler_every: Every = "epoch",
    clip_norm: float | None = None,
    transform: Transform | None = None,
    validation: Tensor | DataLoader[Any] | None = None,
    validation_samples: int = 1,
    patience: int | None = None,
    callback: Callable[[History], Any] | None = None,
    seed: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    progress: bool = True,
) -> History:
    r"""Climb a bound in the parameters of the model and of q together, by default with the optimizer Adam.

    .. math:: \max_{\theta, \phi}\; \frac1N \sum_{n=1}^N \mathcal{L}(\theta, \phi; x_n)

    The work is done on the model's device: a tensor of data moves there once and stays, and a GPU is waited for once an
    epoch (and for a checkpoint). With a ``seed``, or the same state of the global generator, two runs on a CPU
    give the same bits, whether or not one was stopped and resumed in between.

    To compile, compile the modules: ``VAE(torch.compile(encoder), torch.compile(decoder), latent_dim)`` is trained as
    any other, and its checkpoints fit the model that is not compiled.

    Proved in the book: thm-amortised-objective, prop-kl-weight.

    Args:
        model: Its parameters that require gradients are learnt; it may have none.
        q: A module from x to a Distribution, such as :class:`AmortizedGuide` or a flow of zuko, which is learnt; a
            method of a module, as ``model.posterior``; or something with nothing to learn, such as a bare Distribution.
        data: Observations, shape ``(N, *x_event)``, or a ``torch.utils.data.DataLoader`` whose batches are such
            tensors, or tuples that begin with one; its batches and their order are then the loader's.
        epochs: Passes through the data, in all: a resumed run makes those that are missing.
        objective: The bound that is climbed, ``"elbo"`` or ``"iwae"``.
        estimator: Of its gradient, as in :func:`surrogate`: for the ELBO ``"reparameterized"`` (the default),
            ``"stl"`` or ``"score"``; for IWAE ``"iwae"`` (the default), ``"dreg"`` or ``"vimco"``.
        num_samples: K, draws for each observation in a step.
        baseline: For the score estimator, as in :func:`surrogate`.
        kl_weight: :math:`\beta` in :math:`\E_q[\log p(x \mid z)] - \beta \KL(q \Vert p(z))`, for the ELBO alone: a
            number, or for annealing a function of the step, counted from 0, as ``lambda step: min(1, step / 1000)``.
            Less than :math:`10^{-6}` counts as that. Validation always looks at the bound itself.
        batch_size: Observations in a step, drawn without replacement; ``None`` for all of them, in their order,
            which a q with parameters of its own for each observation needs. A last batch of one joins the one before.
        learning_rate: Of Adam.
        optimizer: Makes another optimizer from a list of parameters; ``learning_rate`` is then not looked at.
        scheduler: Makes a scheduler of the learning rate from the optimizer, as
            ``lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10)``. ``ReduceLROnPlateau`` is told the
            negative validation bound, or without validation data the negative training bound.
        scheduler_every: Whether it moves on after each ``"epoch"`` or each ``"step"``.
        clip_norm: The largest norm of the gradient in a step; a larger one is scaled down to it.
        transform: Applied to every batch. ``torch.bernoulli`` binarises grey images anew at every look.
        validation: Observations whose bound is looked at after each epoch, as many as you like, as ``data``.
        validation_samples: Independent estimates of the bound that are averaged for each of them.
        patience: Stop after so many epochs without a better validation bound, and return to the best parameters.
        callback: Called with the history after each epoch; the run stops if it returns ``True``. Random numbers that
            it draws do not change the run.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.
        checkpoint: A file, ``.safetensors``, that holds all that a run needs to go on: tensors, and as JSON in its
            header the rest, with a checksum. Its place, rights and room are tried before the first step. It is replaced
            in one go: stopped at any moment, a run leaves the last or the one before, whole.
        checkpoint_every: Epochs from one checkpoint to the next; the last epoch always writes one.
        resume: Go on from ``checkpoint``, if the file is there; otherwise start. Data, seed, model, q, optimizer, rates
            and scheduler must be those of the checkpoint; ``epochs``, ``patience`` and ``callback`` may differ.
        progress: Show a bar with the bound and the time left, if tqdm is installed.

    Returns:
        The bound epoch by epoch. The parameters of model and q have changed in place.

    Raises:
        TypeError: If an argument is of the wrong type; if something that is to be learnt cannot be found.
        ValueError: If a shape, a device, a value or the checkpoint does not fit; or nothing is there to learn.
        NonFiniteLossError: If the bound or its gradient is not finite, with the step, the batch and the term that
            went bad. The parameters are then those before that step.
        OSError: If a checkpoint cannot be written any more; the file there is the one before.

    Errors of your own transform, loader, scheduler or callback come through as they are.

    Example:
        >>> from lvmlib import AmortizedGuide, LinearGaussian
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch._C.Generator object at ...>
        >>> model = LinearGaussian(nn.Parameter(torch.randn(3, 1)), torch.zeros(3), 0.5)
        >>> x, _ = LinearGaussian(torch.ones(3, 1), torch.zeros(3), 0.5).sample(500)
        >>> guide = AmortizedGuide(nn.Linear(3, 2))
        >>> history = fit(model, guide, x, epochs=5, learning_rate=0.01, seed=0, progress=False)
        >>> history.train[-1] > history.train[0]
        True

    References:
        Kingma and Ba (2015), *Adam*; Kingma and Welling (2014); Burda, Grosse and Salakhutdinov (2016); Higgins et
        al. (2017), *beta-VAE*, and Bowman et al. (2016), for the weight of the KL.
    """
    model = getattr(model, "_orig_mod", model)
    check_model(model)
    estimator = checked_estimator(objective, estimator)
    check_surrogate(num_samples, estimator, baseline)
    check_counts(
        epochs=epochs,
        num_samples=num_samples,
        batch_size=batch_size,
        validation_samples=validation_samples,
        patience=patience,
        checkpoint_every=checkpoint_every,
    )
    check_choices(learning_rate, clip_norm, kl_weight, objective, scheduler_every, patience, validation)
    check_callables(optimizer=optimizer, scheduler=scheduler, transform=transform, callback=callback)
    if resume and checkpoint is None:
        raise ValueError("checkpoint is None with resume=True: expected the file to resume from; pass checkpoint=...")
    device = model._layout().device
    batches = Batches("data", data, model, batch_size, transform, shuffle=True)
    seen = None
    if validation is not None:
        seen = Batches("validation", validation, model, batch_size, transform, shuffle=False)
    if isinstance(baseline, RunningMean):
        baseline.to(device)
    place = None if checkpoint is None else Checkpoint(as_path(checkpoint))
    numbers = Numbers("fit", seed, device)
    with numbers.turn():
        problem = _bound(model, q, batches, seen)
        parameters = _parameters(problem, device)
        made = make_optimizer(optimizer, parameters, learning_rate, device)
        settings = {
            "objective": objective,
            "estimator": estimator,
            "baseline": shown(baseline),
            "num_samples": num_samples,
            "batch_size": batch_size,
            "kl_weight": kl_weight,
            "clip_norm": clip_norm,
            "validation_samples": validation_samples,
            "seed": seed,
            "transform": transform is not None,
            "optimizer": fingerprint(made),
            "scheduler_every": scheduler_every,
        }
        schedule = None if scheduler is None else make_schedule(scheduler, made, scheduler_every)
        settings["scheduler"] = fingerprint(schedule)
        run = Run(
            problem=problem,
            batches=batches,
            numbers=numbers,
            validation=seen,
            validation_samples=validation_samples,
            history=History(objective, num_samples),
            estimator=estimator,
            baseline=baseline,
            kl_weight=kl_weight,
            parameters=parameters,
            optimizer=made,
            scheduler=schedule,
            scheduler_every=scheduler_every,
            clip_norm=clip_norm,
            settings=settings,
        )
        if place is not None:
            settings["transform"] = None if transform is None else batches.first_bytes()
            settings["kl_weight"] = fingerprint_of_function(kl_weight) if callable(kl_weight) else kl_weight
            settings["data"] = batches.fingerprint()
            settings["validation"] = None if seen is None else seen.fingerprint()
            if resume and place.path.exists():
                run.resume(read(place.path), place.path, patience)
            else:
                place.check_replaceable()
            run.state()  # a part that no checkpoint can hold is found here
            place.check_room(run.num_bytes())
    steps = batches.steps
    work = len(problem.x) * num_samples * sum(value.numel() for value in parameters)
    with (
        _bar(progress, None if steps is None else epochs * steps, run.history.steps) as bar,
        one_thread(device, when=work < _SHORT_STEP),
    ):
        run.climb(epochs, patience, place, checkpoint_every, callback, bar)
    return run.history


def _bound(model: LatentVariableModel, q: Guide, batches: Batches, validation: Batches | None) -> Problem:
    """Model and q on the first batch, with every check on, as there is none in the steps."""
    with torch.no_grad(), forked_rng(0, batches.device):
        first = batches.first()
        try:
            problem = bind(model, q, first)
            problem.log_weights(1)
        except ValueError as error:
            if batches.rows is None or batches.whole or not _takes_all(model, q, batches):
                raise
            mend = "pass batch_size=None"
            raise ValueError(_per_row_message("batch_size", str(batches.batch_size), mend)) from error
        refusal = refuses_other_rows(model, q, first)
        if refusal is not None and not batches.whole:
            name = "data" if batches.rows is None else "batch_size"
            mend = "pass all data as a tensor with batch_size=None"
            raise ValueError(_per_row_message(name, describe(first), mend)) from refusal
        if validation is not None:
            if refusal is not None:
                mend = "leave validation out, or take a q that reads x, such as AmortizedGuide"
                raise ValueError(_per_row_message("validation", "other observations", mend)) from refusal
            try:
                bind(model, q, validation.first())
            except (TypeError, ValueError) as error:
                raise type(error)(f"validation does not fit: {error}") from error
    return problem


def _takes_all(model: LatentVariableModel, q: Guide, batches: Batches) -> bool:
    try:
        bind(model, q, batches.all_rows())
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _per_row_message(name: str, value: str, mend: str) -> str:
    return (
        f"{name} is {value} and q has a distribution of its own for each row of the data: expected exactly those rows, "
        f"in their order; {mend}."
    )


def _parameters(problem: Problem, device: torch.device) -> list[nn.Parameter]:
    """What is to be learnt, each once."""
    model, q = problem.model, problem.guide
    found: dict[int, Any] = {}
    for owner in (owner_of(model), owner_of(q)):
        for name, value in () if owner is None else owner.named_parameters():
            if value.requires_grad:
                found[id(value)] = value
            if value.is_inference():
                raise ValueError(
                    f"{name} was made inside torch.inference_mode: expected a parameter that can be learnt; build the "
                    f"model and q outside of it."
                )
            if value.device != device:
                raise ValueError(
                    f"q has {name} on {value.device} and the model is on {device}: expected one device; "
                    f"move it with q.to({str(device)!r})."
                )
    with forked_rng(0, device):
        check_nothing_is_missed(model, q, problem.x, list(found.values()))
    if not found:
        raise ValueError(
            f"model and q have 0 parameters that require gradients: expected something to learn; make a tensor of "
            f"{type(model).__name__} an nn.Parameter, or use a guide such as AmortizedGuide."
        )
    return list(found.values())


@contextmanager
def _bar(progress: bool, total: int | None, done: int) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            # In a notebook without ipywidgets the bar is text, which is as good.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        progress = False
    if not progress:
        yield None
        return
    with tqdm(total=total, initial=done, unit="step") as bar:
        yield bar
