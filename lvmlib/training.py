r"""Learning a model and its q by stochastic gradient ascent on a bound."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.distributions import Distribution

from lvmlib import plots
from lvmlib._checks import check_sample_count, describe
from lvmlib._draws import check_draws
from lvmlib._random import forked_rng
from lvmlib.bounds import elbo, iwae_bound
from lvmlib.density import log_density
from lvmlib.gradients import Baseline, Estimator, RunningMean, check_surrogate, surrogate_of
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel, evaluating
from lvmlib.problem import Problem, bind

__all__ = ["History", "NonFiniteLossError", "fit"]

Objective: TypeAlias = Literal["elbo", "iwae"]
State: TypeAlias = tuple[dict[str, Tensor], dict[str, Any]]

_ESTIMATORS: dict[str, tuple[Estimator, ...]] = {
    "elbo": ("reparameterized", "score", "stl"),
    "iwae": ("iwae", "dreg", "vimco"),
}
_METADATA = "lvmlib"


@dataclass(repr=False)
class History:
    """The bound epoch by epoch, in nats for an observation.

    Attributes:
        objective: ``"elbo"`` or ``"iwae"``.
        num_samples: K, the draws for each observation in a step.
        train: The mean bound over the steps of each epoch, while the parameters were moving.
        validation: The mean bound of the validation data after each epoch, always with the same random numbers;
            empty without validation data.
        steps: Steps of the optimizer so far.
        best_epoch: The epoch, counted from 1, of the best validation bound, whose parameters were kept; ``None``
            without early stopping.
    """

    objective: str
    num_samples: int
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    steps: int = 0
    best_epoch: int | None = None

    @property
    def bound(self) -> str:
        """The name of the bound: ``"ELBO"``, or ``"IWAE-K"`` with its K."""
        return "ELBO" if self.objective == "elbo" else f"IWAE-{self.num_samples}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the bound against the epoch.

        Args:
            ax: Where to draw; new axes when omitted.

        Returns:
            The axes, to be shown with ``plots.show(ax, alt=...)``.
        """
        if ax is None:
            _, ax = plots.subplots()
        for name, values, style in (("training", self.train, "-"), ("validation", self.validation, "--")):
            if values:
                epochs = range(1, len(values) + 1)
                ax.plot(epochs, values, style, color=plots.PALETTE["elbo"], label=name)
        if self.best_epoch is not None:
            best = self.validation[self.best_epoch - 1]
            ax.plot(self.best_epoch, best, "o", color=plots.PALETTE["elbo"], label="kept")
        ax.set(xlabel="epoch", ylabel=f"{self.bound} (nats)")
        if self.validation:
            ax.legend()
        return ax

    def __repr__(self) -> str:
        parts = [f"epochs={len(self.train)}", f"steps={self.steps}"]
        parts += [f"{self.bound}={self.train[-1]:.4f}"] if self.train else []
        parts += [f"validation={self.validation[-1]:.4f}"] if self.validation else []
        parts += [f"best_epoch={self.best_epoch}"] if self.best_epoch is not None else []
        return f"History({', '.join(parts)})"


class NonFiniteLossError(FloatingPointError):
    """A loss, or a gradient, was NaN or infinite. The parameters are those before the step that made it.

    Attributes:
        epoch: The epoch, counted from 1.
        step: The step of the optimizer that was not taken, counted from 1 over all epochs.
        rows: The rows of the data that made up its batch, int64.
        term: ``"log-likelihood"``, ``"log-prior"``, ``"log q"``, ``"z"``, or ``"gradient of NAME"``.
        history: The epochs before.
    """

    def __init__(self, message: str, *, epoch: int, step: int, rows: Tensor, term: str, history: History) -> None:
        super().__init__(message)
        self.epoch, self.step, self.rows, self.term, self.history = epoch, step, rows, term, history


def fit(
    model: LatentVariableModel,
    q: Guide,
    data: Tensor,
    *,
    epochs: int,
    objective: Objective = "elbo",
    estimator: Estimator | None = None,
    num_samples: int = 1,
    baseline: Baseline = None,
    batch_size: int | None = 100,
    learning_rate: float = 1e-3,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    validation: Tensor | None = None,
    validation_samples: int = 1,
    patience: int | None = None,
    seed: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    compile: bool = False,
    progress: bool = True,
) -> History:
    r"""Climb a bound in the parameters of the model and of q together, with the optimizer Adam.

    .. math:: \max_{\theta, \phi}\; \frac1N \sum_{n=1}^N \mathcal{L}(\theta, \phi; x_n)

    The work is done on the model's device: data move there once and stay, and a GPU is waited for at most once an
    epoch (and for a checkpoint). With a ``seed``, or the same state of the global generator, two runs on a CPU
    give the same bits, whether or not one was stopped and resumed in between.

    Args:
        model: Its parameters that require gradients are learnt; it may have none.
        q: A module from x to a Distribution, such as :class:`AmortizedGuide` or a flow of zuko, which is learnt; a
            method of a module, as ``model.posterior``; or what has nothing to learn, as a bare Distribution.
        data: Observations, shape ``(N, *x_event)``.
        epochs: Passes through the data, in all: a resumed run makes those that are missing.
        objective: The bound that is climbed, ``"elbo"`` or ``"iwae"``.
        estimator: Of its gradient, as in :func:`surrogate`: for the ELBO ``"reparameterized"`` (the default),
            ``"stl"`` or ``"score"``; for IWAE ``"iwae"`` (the default), ``"dreg"`` or ``"vimco"``.
        num_samples: K, draws for each observation in a step.
        baseline: For the score estimator, as in :func:`surrogate`.
        batch_size: Observations in a step, drawn without replacement; ``None`` for all of them, in their order,
            which a q with parameters of its own for each observation needs.
        learning_rate: Of Adam.
        optimizer: Makes another optimizer from a list of parameters; ``learning_rate`` is then not looked at.
        transform: Applied to every batch. ``torch.bernoulli`` binarises grey images anew at every look.
        validation: Observations whose bound is looked at after each epoch, shape ``(V, *x_event)``.
        validation_samples: Independent estimates of the bound that are averaged for each of them.
        patience: Stop after so many epochs without a better validation bound, and return to the best parameters.
        seed: Forks the generator and leaves the global random state alone; ``None`` draws from it.
        checkpoint: A file, ``.safetensors``, that holds all that a run needs to go on: tensors, and as JSON in its
            header the rest. It is replaced in one go: stopped at any moment, a run leaves the last or the one
            before, whole.
        checkpoint_every: Epochs from one checkpoint to the next; the last epoch always writes one.
        resume: Go on from ``checkpoint``, if the file is there; otherwise start.
        compile: Compile the loss and its gradient with ``torch.compile``, which needs a C++ compiler on a CPU: the
            first step takes seconds, the others less.
        progress: Show a bar with the bound and the time left.

    Returns:
        The bound epoch by epoch. The parameters of model and q have changed in place.

    Raises:
        TypeError: If an argument is of the wrong type, or q a function whose parameters cannot be found.
        ValueError: If a shape, a device, a value or the checkpoint does not fit; or nothing is there to learn.
        NonFiniteLossError: If the bound or its gradient is not finite, with the step, the batch and the term that
            went bad. The parameters are then those before that step.
        ImportError: If a bar is asked for without tqdm, or a checkpoint without safetensors.

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
        Kingma and Ba (2015), *Adam*; Kingma and Welling (2014); Burda, Grosse and Salakhutdinov (2016).
    """
    if objective not in _ESTIMATORS:
        raise ValueError(f"objective is {objective!r}: expected one of {get_args(Objective)}; correct the name.")
    estimator = _ESTIMATORS[objective][0] if estimator is None else estimator
    if estimator not in _ESTIMATORS[objective]:
        others = [name for name, known in _ESTIMATORS.items() if estimator in known]
        mend = f"write objective={others[0]!r}" if others else "correct the name"
        raise ValueError(
            f"estimator is {estimator!r} for objective {objective!r}: expected one of {_ESTIMATORS[objective]}; {mend}."
        )
    for name, count, least in (
        ("epochs", epochs, 1),
        ("num_samples", num_samples, 1),
        ("batch_size", batch_size, 1),
        ("validation_samples", validation_samples, 1),
        ("patience", patience, 1),
        ("checkpoint_every", checkpoint_every, 1),
    ):
        if count is not None:
            check_sample_count(name, count, least=least)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate is {learning_rate}: expected a number above 0; try 1e-3.")
    if patience is not None and validation is None:
        raise ValueError(f"patience is {patience} without validation data: expected both; pass validation=...")
    if resume and checkpoint is None:
        raise ValueError("checkpoint is None with resume=True: expected the file to resume from; pass checkpoint=...")
    check_surrogate(num_samples, estimator, baseline)
    device = model._layout().device
    data = _observations("data", model, data, device, transform)
    if validation is not None:
        validation = _observations("validation", model, validation, device, transform)
    batch_size = len(data) if batch_size is None else min(batch_size, len(data))
    if isinstance(baseline, RunningMean):
        baseline.to(device)
    with forked_rng(seed, device):
        run = _Run(
            model=model,
            q=q,
            data=data,
            transform=transform,
            batch_size=batch_size,
            validation=validation,
            validation_samples=validation_samples,
            history=History(objective, num_samples),
            loss=lambda problem: (
                surrogate_of(problem, num_samples, estimator=estimator, baseline=baseline) / len(problem.x)
            ),
            baseline=baseline if isinstance(baseline, RunningMean) else None,
            device=device,
        )
        run.check_guide()
        run.parameters = _parameters(model, q, device, data[:1])
        run.optimizer = (
            torch.optim.Adam(run.parameters, lr=learning_rate, fused=True)
            if optimizer is None
            else optimizer(run.parameters)
        )
        run.settings = {
            "objective": objective,
            "estimator": estimator,
            "num_samples": num_samples,
            "batch_size": batch_size,
            "observations": len(data),
            "learning_rate": learning_rate if optimizer is None else None,
        }
        run.loss_and_gradients = _compiled(lambda x: run.loss(run.problem.at(x)), run.parameters) if compile else None
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and resume and path.exists():
            run.restore(*_read(path), same_settings=True)
        with _tracing_gradients() if compile else nullcontext():
            run.go(epochs, patience, path, checkpoint_every, progress)
    return run.history


@dataclass
class _Run:
    """All that changes while a run goes on, and what it needs for a step."""

    model: LatentVariableModel
    q: Guide
    data: Tensor
    transform: Callable[[Tensor], Tensor] | None
    batch_size: int
    validation: Tensor | None
    validation_samples: int
    history: History
    loss: Callable[[Problem], Tensor]
    baseline: RunningMean | None
    device: torch.device
    loss_and_gradients: Callable[[Tensor], tuple[Tensor, Sequence[Tensor | None]]] | None = None
    best: dict[str, Tensor] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    problem: Problem = field(init=False)
    parameters: list[nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def check_guide(self) -> None:
        """One look at q with every check on, as there is none in the steps."""
        with torch.no_grad(), forked_rng(0, self.device):
            self.problem = bind(self.model, self.q, self._prepared(self.data[: self.batch_size]))
            check_draws(self.problem.q, self.problem.draw_weighed(1)[0])

    def go(self, epochs: int, patience: int | None, path: Path | None, every: int, progress: bool) -> None:
        steps = -(-len(self.data) // self.batch_size)
        with _bar(progress, epochs * steps, self.history.steps) as bar:
            while len(self.history.train) < epochs and not self._out_of_patience(patience):
                self._epoch(bar)
                if patience is not None and self._is_best():
                    self.best = {name: value.clone() for name, value in self._learnt().items()}
                    self.history.best_epoch = len(self.history.train)
                done = len(self.history.train) == epochs or self._out_of_patience(patience)
                if path is not None and (done or len(self.history.train) % every == 0):
                    _write(path, self.state())
                if bar is not None:
                    bar.set_postfix_str(self._summary())
        if self.best:
            self._load_learnt(self.best)

    def _epoch(self, bar: Any) -> None:
        before = self._snapshot()
        try:
            losses = self._steps(bar, careful=False)
            bounds = self._bounds(losses)
            good = all(map(math.isfinite, bounds[: len(losses)]))
        except (ValueError, RuntimeError):
            # Parameters that went bad may be refused by what they are put into, before a loss shows it.
            good = False
        if not good:
            self.restore(*before)
            if bar is not None:
                bar.n = self.history.steps
            losses = self._steps(bar, careful=True)
            bounds = self._bounds(losses)
        sizes = [len(rows) for rows in self._rows().split(self.batch_size)]
        total = sum(size * -loss for size, loss in zip(sizes, bounds, strict=False))
        self.history.train.append(total / len(self.data))
        self.history.validation += bounds[len(losses) :]
        self.history.steps += len(losses)

    def _bounds(self, losses: list[Tensor]) -> list[float]:
        """The losses and the validation bound as numbers: a GPU is waited for here, and nowhere else in an epoch."""
        lost = self.device.type == "cpu" and not math.isfinite(losses[-1])
        return torch.stack([*losses, *([] if lost else self._validate())]).tolist()

    def _steps(self, bar: Any, *, careful: bool) -> list[Tensor]:
        """The losses of one pass through the data; a careful one stops before the first step that would do harm."""
        losses: list[Tensor] = []
        whole = self.batch_size == len(self.data)
        order = self._rows() if whole else torch.randperm(len(self.data), device=self.device)
        for rows in order.split(self.batch_size):
            before = _random_state(self.device) if careful else {}
            # Whole rows are copied several times faster than by data[rows].
            x = self._prepared(self.data if whole else self.data.index_select(0, rows))
            loss = self._differentiate(x)
            if careful and not loss.isfinite():
                self._forget_gradients()
                self._stop(loss, rows, x, before, len(losses))
            if careful and (name := self._bad_gradient()) is not None:
                self._forget_gradients()
                self._stop(loss, rows, x, before, len(losses), f"gradient of {name}")
            self.optimizer.step()
            losses.append(loss)
            if bar is not None:
                bar.update()
            # On a CPU a look is free, and spares the rest of the epoch.
            if self.device.type == "cpu" and not math.isfinite(losses[-1]):
                break
        return losses

    def _differentiate(self, x: Tensor) -> Tensor:
        """The loss of a batch, with its gradient left in the parameters."""
        if self.loss_and_gradients is None:
            self._forget_gradients()
            loss = self.loss(self.problem.at(x))
            loss.backward()
            return loss.detach()
        loss, gradients = self.loss_and_gradients(x)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss

    def _forget_gradients(self) -> None:
        # What zero_grad does, without its entry in a profile, which takes longer.
        for parameter in self.parameters:
            parameter.grad = None

    def _rows(self) -> Tensor:
        return torch.arange(len(self.data), device=self.device)

    def _prepared(self, x: Tensor) -> Tensor:
        return x if self.transform is None else self.transform(x)

    def _validate(self) -> list[Tensor]:
        if self.validation is None:
            return []
        parts = []
        with torch.no_grad(), forked_rng(0, self.device), evaluating(self.model, self.q):
            for rows in self.validation.split(self.batch_size):
                x, k, repeats = self._prepared(rows), self.history.num_samples, self.validation_samples
                if self.history.objective == "elbo":
                    parts.append(elbo(self.model, self.q, x, repeats).sum())
                else:
                    parts.append(iwae_bound(self.model, self.q, x, k, num_groups=repeats).sum())
        return [torch.stack(parts).sum() / len(self.validation)]

    def _is_best(self) -> bool:
        # A bound that is NaN is never the best.
        *earlier, last = self.history.validation
        return not math.isnan(last) and all(not value >= last for value in earlier)

    def _out_of_patience(self, patience: int | None) -> bool:
        best = self.history.best_epoch or 0
        return patience is not None and len(self.history.train) - best >= patience

    def _summary(self) -> str:
        words = f"{self.history.bound} {self.history.train[-1]:.2f}"
        return words + (f", validation {self.history.validation[-1]:.2f}" if self.history.validation else "")

    # The state, for checkpoints and for the way back.

    def _learnt(self) -> dict[str, Tensor]:
        return {
            f"{owner}.{name}": value.detach()
            for owner, part in (("model", self.model), ("q", self.q), ("baseline", self.baseline))
            for name, value in _named_tensors(part, self.model if owner == "q" else None).items()
        }

    def _load_learnt(self, tensors: dict[str, Tensor]) -> None:
        held = self._learnt()
        for name, value in held.items():
            if name not in tensors or tensors[name].shape != value.shape:
                found = f"of shape {tuple(tensors[name].shape)}" if name in tensors else "not there"
                raise ValueError(
                    f"checkpoint has {name} {found}: expected shape {tuple(value.shape)}; resume with the model and "
                    f"the q that it was made with, or write to another file."
                )
        with torch.no_grad():
            for name, value in held.items():
                value.copy_(tensors[name])

    def state(self) -> State:
        """Tensors by name, and everything else as JSON can hold it."""
        learnt = self._learnt()
        optimizer = self.optimizer.state_dict()
        slots = {
            f"optimizer.{index}.{name}": value
            for index, values in optimizer["state"].items()
            for name, value in values.items()
        }
        moving = {name: value for name, value in slots.items() if isinstance(value, Tensor)}
        tensors = {
            **learnt,
            **moving,
            **{f"best.{name}": value for name, value in self.best.items()},
            **_random_state(self.device),
        }
        rest = {
            "settings": self.settings,
            "epoch": len(self.history.train),
            "step": self.history.steps,
            "history": vars(self.history),
            "optimizer": {
                "param_groups": optimizer["param_groups"],
                "values": {name: value for name, value in slots.items() if name not in moving},
            },
        }
        return tensors, rest

    def _snapshot(self) -> State:
        tensors, rest = self.state()
        return {name: value.clone() for name, value in tensors.items()}, rest

    def restore(self, tensors: dict[str, Tensor], rest: dict[str, Any], *, same_settings: bool = False) -> None:
        for name, value in rest["settings"].items() if same_settings else ():
            if self.settings[name] != value:
                raise ValueError(
                    f"{name} is {self.settings[name]!r} and the checkpoint was written with {value!r}: expected the "
                    f"same; resume with {name}={value!r}, or write to another file."
                )
        self._load_learnt(tensors)
        slots: dict[int, dict[str, Any]] = {}
        for name, value in {**tensors, **rest["optimizer"]["values"]}.items():
            owner, _, place = name.partition(".")
            if owner == "optimizer":
                index, _, slot = place.partition(".")
                slots.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict({"state": slots, "param_groups": rest["optimizer"]["param_groups"]})
        self.best = {
            name.removeprefix("best."): value.to(self.device)
            for name, value in tensors.items()
            if name.startswith("best.")
        }
        self.history = History(**rest["history"])
        _set_random_state(tensors, self.device)

    # What went wrong.

    def _bad_gradient(self) -> str | None:
        named = [(name, value) for name, value in self._learnt_parameters() if value.grad is not None]
        return next((name for name, value in named if not value.grad.isfinite().all()), None)  # type: ignore[union-attr]

    def _learnt_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for owner, part in (("model", self.model), ("q", self.q)):
            for name, value in _named_parameters(part):
                yield f"{owner}.{name}", value

    def _stop(
        self, loss: Tensor, rows: Tensor, x: Tensor, before: dict[str, Tensor], done: int, term: str | None = None
    ) -> None:
        detail = "for the whole batch"
        if term is None:
            _set_random_state(before, self.device)
            term, bad = self._bad_term(self._prepared(self.data[rows]) if self.transform is not None else x)
            detail = f"for {int(bad.sum())} of {len(rows)} observations, the first of them row {int(rows[bad][0])}"
        epoch, step = len(self.history.train) + 1, self.history.steps + done + 1
        raise NonFiniteLossError(
            f"The loss is {loss.item():.4g} at step {step}, in epoch {epoch}, with the batch of rows "
            f"{_shortened(rows.tolist())}: {term} is not finite {detail}; expected finite numbers. The parameters are "
            f"those before this step. Look at these rows, or lower learning_rate.",
            epoch=epoch,
            step=step,
            rows=rows.cpu(),
            term=term,
            history=self.history,
        )

    def _bad_term(self, x: Tensor) -> tuple[str, Tensor]:
        """The first of the terms of log w that is not finite, with the same draws, and for which observations."""
        with torch.no_grad():
            problem = self.problem.at(x)
            q, (z, _) = problem.q, problem.draw_weighed(self.history.num_samples)
            terms: dict[str, Callable[[], Tensor]] = {
                "z": lambda: z.reshape(*z.shape[:2], -1).double().sum(-1),
                "log-likelihood": lambda: self.model._log_likelihood(x, z),
                "log-prior": lambda: log_density(self.model.prior, z),
                "log q": lambda: log_density(q, z),
            }
            for name, value in terms.items():
                bad = ~value().isfinite().all(0)
                if bad.any():
                    return name, bad
        return "log w", torch.ones(len(x), dtype=torch.bool, device=x.device)


def _observations(
    name: str,
    model: LatentVariableModel,
    value: Tensor,
    device: torch.device,
    transform: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Observations on the model's device, checked."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} is {describe(value)}: expected a torch.Tensor; convert it with torch.as_tensor({name})."
        )
    value = value.to(device)
    if transform is None:
        model.check_observation(value)
    else:
        with forked_rng(0, device):
            model.check_observation(transform(value[:100]))
    event = model._layout().x_event
    if value.ndim != 1 + len(event) or not len(value):
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}: expected (N, {', '.join(map(str, event))}) with N at least 1, one "
            f"observation a row; flatten its batch dimensions."
        )
    return value


def _parameters(model: LatentVariableModel, q: Guide, device: torch.device, x: Tensor) -> list[nn.Parameter]:
    """What is to be learnt, each once."""
    model.check_learnable()
    if _owner(q) is None:
        with torch.enable_grad(), forked_rng(0, device):
            distribution = q if isinstance(q, Distribution) else q(x)
            learnable = distribution.log_prob(distribution.sample()).requires_grad
        if learnable:
            raise TypeError(
                f"q is {describe(q)}, whose parameters cannot be found: expected a torch.nn.Module that makes a "
                f"Distribution, or a method of one; wrap it, for instance as UnconditionalGuide(flow)."
            )
    found: dict[int, Any] = {}
    for name, value in [*_named_parameters(model), *_named_parameters(q)]:
        if value.requires_grad:
            found[id(value)] = value
        if value.device != device:
            raise ValueError(
                f"q has {name} on {value.device} and the model is on {device}: expected one device; "
                f"move it with q.to({str(device)!r})."
            )
    if not found:
        raise ValueError(
            f"model and q have 0 parameters that require gradients: expected something to learn; make a tensor of "
            f"{type(model).__name__} an nn.Parameter, or use a guide such as AmortizedGuide."
        )
    return list(found.values())


def _compiled(
    loss: Callable[[Tensor], Tensor], parameters: list[nn.Parameter]
) -> Callable[[Tensor], tuple[Tensor, Sequence[Tensor | None]]]:
    """A loss and its gradient as one compiled program."""

    def loss_and_gradients(x: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        value = loss(x)
        return value.detach(), torch.autograd.grad(value, parameters, allow_unused=True)

    # With the randomness of eager mode, so that the same seed means the same draws.
    return torch.compile(loss_and_gradients, options={"fallback_random": True, "guard_filter_fn": _may_change})


@contextmanager
def _tracing_gradients() -> Iterator[None]:
    """Compiled programs reach across the call that takes a gradient, if this version of torch can have that."""
    settings = torch._dynamo.config
    with settings.patch(trace_autograd_ops=True) if hasattr(settings, "trace_autograd_ops") else nullcontext():
        yield


def _may_change(guards: Sequence[Any]) -> list[bool]:
    """Which guards of compiled code are looked at in every step: not those on the code of torch and of lvmlib.

    There are hundreds, all of them on what stays as it is; to look takes a step of a small network 3 % longer.
    """
    libraries = ("G['__import_torch_", "G['__import_lvmlib_", "G['__builtins_dict_")
    return [not guard.name.startswith(libraries) for guard in guards]


def _owner(part: Any) -> nn.Module | None:
    """The module behind a model, a guide, or a method of one."""
    part = part if isinstance(part, nn.Module) else getattr(part, "__self__", None)
    return part if isinstance(part, nn.Module) else None


def _named_parameters(part: Any) -> Iterable[tuple[str, Tensor]]:
    owner = _owner(part)
    return [] if owner is None else owner.named_parameters()


def _named_tensors(part: Any, within: nn.Module | None) -> dict[str, Tensor]:
    """The tensors of a module that a run may change, unless it is part of another."""
    owner = _owner(part)
    inside = owner is not None and within is not None and any(owner is module for module in within.modules())
    return {} if owner is None or inside else owner.state_dict()


@contextmanager
def _bar(progress: bool, total: int, done: int) -> Iterator[Any]:
    if not progress:
        yield None
        return
    try:
        with warnings.catch_warnings():
            # In a notebook without ipywidgets the bar is text, which is as good.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "fit shows its progress with tqdm, which is not installed: run `pip install tqdm`, or pass progress=False"
        ) from error
    with tqdm(total=total, initial=done, unit="step") as bar:
        yield bar


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"random.cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state["random.device"] = torch.get_device_module(device).get_rng_state(device)
    return state


def _set_random_state(tensors: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(tensors["random.cpu"].cpu())
    if device.type != "cpu" and "random.device" in tensors:
        torch.get_device_module(device).set_rng_state(tensors["random.device"].cpu(), device)


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "fit writes checkpoints with safetensors, which is not installed: run `pip install safetensors`, or "
            "leave checkpoint out"
        ) from error
    return safetensors


def _write(path: Path, state: State) -> None:
    """Replace the file in one go: whoever looks, or is killed, at any moment, finds the old one whole or the new."""
    tensors, rest = state
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _safetensors().torch.save(
        {name: value.cpu().clone().contiguous() for name, value in tensors.items()}, {_METADATA: json.dumps(rest)}
    )
    unfinished = path.with_name(path.name + ".unfinished")
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _read(path: Path) -> State:
    library = _safetensors()
    try:
        with library.safe_open(path, framework="pt") as file:
            rest = json.loads((file.metadata() or {})[_METADATA])
            return {name: file.get_tensor(name) for name in file.keys()}, rest  # noqa: SIM118 - no mapping
    except (library.SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"checkpoint is {str(path)!r}, which is not a checkpoint of fit ({error}): expected a file that fit "
            f"wrote; name another."
        ) from error


def _shortened(numbers: list[int], most: int = 8) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return f"[{shown}]" if len(numbers) <= most else f"[{shown}, ... {len(numbers)} in all]"
