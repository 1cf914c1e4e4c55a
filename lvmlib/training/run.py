r"""A run of training: its steps, and the state from which it can go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lvmlib._checks import check_number
from lvmlib._log_space import log_mean_exp
from lvmlib._random import Numbers, forked_rng, random_state, set_random_state
from lvmlib.density import log_density
from lvmlib.gradients import Baseline, Estimator, surrogate_of
from lvmlib.model import LatentVariableModel, evaluating
from lvmlib.problem import Problem
from lvmlib.training.batches import Batches
from lvmlib.training.checkpoints import Checkpoint, State, pack, unpack
from lvmlib.training.diagnosis import History, NonFiniteLossError, bad_gradient, bad_rows, bad_term
from lvmlib.training.recipes import differences, fill, named_tensors, owner_of, recipe_of, structure_of

__all__ = ["KLWeight", "Run", "check_kl_weight"]

KLWeight = float | Callable[[int], float]
# The ELBO with weight b is b times that of the likelihood to the power 1/b; a weight of zero counts as this.
_LEAST_KL_WEIGHT = 1e-6


@dataclass
class Run:
    """All that changes while a run goes on, and what it needs for a step."""

    problem: Problem
    batches: Batches
    numbers: Numbers
    validation: Batches | None
    validation_samples: int
    history: History
    estimator: Estimator
    baseline: Baseline
    kl_weight: KLWeight
    parameters: list[nn.Parameter]
    optimizer: Optimizer
    scheduler: Any
    scheduler_every: str
    clip_norm: float | None
    settings: dict[str, Any]
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.batches.device

    def climb(
        self,
        epochs: int,
        patience: int | None,
        checkpoint: Checkpoint | None,
        every: int,
        callback: Callable[[History], Any] | None,
        bar: Any,
    ) -> None:
        """Epoch after epoch, until there are enough, patience is at its end, or the callback says so."""
        history, stopped = self.history, False
        while len(history.train) < epochs and not self._out_of_patience(patience) and not stopped:
            with self.numbers.turn():
                self._epoch(bar)
                if patience is not None and self._is_best():
                    self.best = {name: value.clone() for name, value in self._learnt().items()}
                    history.best_epoch = len(history.train)
                done = len(history.train) == epochs or self._out_of_patience(patience)
                written = checkpoint is not None and (done or len(history.train) % every == 0)
                if checkpoint is not None and written:
                    checkpoint.write(self.state())
            if callback is not None:
                before = random_state(self.device)
                stopped = _is_true(callback(history))
                set_random_state(before, self.device)
                if checkpoint is not None and stopped and not written:
                    with self.numbers.turn():
                        checkpoint.write(self.state())
            if bar is not None:
                bar.set_postfix_str(self._summary())
        if self.best:
            with torch.no_grad():
                for name, value in self._learnt().items():
                    value.copy_(self.best[name])

    def _epoch(self, bar: Any) -> None:
        before = self._snapshot()
        try:
            losses, sizes = self._steps(bar, careful=False)
            bounds = self._bounds(losses)
            good = all(map(math.isfinite, bounds[: len(losses)]))
        except _BadProposalError:
            good = False
        except Exception:
            # Parameters that went bad may be refused by what they are put into, before a loss shows it. With good
            # ones the error is the caller's own.
            if all(bool(value.isfinite().all()) for _, value in self._named_parameters()):
                raise
            good = False
        if not good:
            self.restore(before)
            if bar is not None:
                bar.n = self.history.steps
            losses, sizes = self._steps(bar, careful=True)
            bounds = self._bounds(losses)
        total = sum(size * -loss for size, loss in zip(sizes, bounds, strict=False))
        self.history.train.append(total / sum(sizes))
        self.history.validation += bounds[len(losses) :]
        self.history.steps += len(losses)
        if self.scheduler is not None and self.scheduler_every == "epoch":
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(-(self.history.validation or self.history.train)[-1])
            else:
                self.scheduler.step()

    def _steps(self, bar: Any, *, careful: bool) -> tuple[list[Tensor], list[int]]:
        """The losses and sizes of one pass; a careful one stops before the first step that would do harm."""
        losses: list[Tensor] = []
        sizes: list[int] = []
        for rows, x in self.batches:
            before = self._snapshot() if careful else None
            try:
                problem, loss = self._differentiate(x, self.history.steps + len(losses))
            except _BadProposalError as error:
                if before is None:
                    raise
                self._stop(error.problem, x.new_tensor(math.nan), rows, before, len(losses), "z", error.bad)
            if before is not None and not loss.isfinite():
                self._stop(problem, loss, rows, before, len(losses))
            if before is not None and (name := bad_gradient(self._named_parameters())) is not None:
                self._stop(problem, loss, rows, before, len(losses), f"gradient of {name}")
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
            self.optimizer.step()
            if self.scheduler is not None and self.scheduler_every == "step":
                self.scheduler.step()
            losses.append(loss)
            sizes.append(len(x))
            if bar is not None:
                bar.update()
            # On a CPU a look is free, and spares the rest of the epoch.
            if self.device.type == "cpu" and not math.isfinite(loss):
                break
        if not losses:
            raise ValueError(
                f"{self.batches.name} gave no batch in epoch {len(self.history.train) + 1}: expected one pass through "
                f"the data in every epoch; give a DataLoader of a dataset, not of an iterator that runs dry."
            )
        return losses, sizes

    def _differentiate(self, x: Tensor, step: int) -> tuple[Problem, Tensor]:
        """The problem of a batch and its loss, whose gradient is left in the parameters."""
        for parameter in self.parameters:
            # What zero_grad does, without its entry in a profile, which takes longer.
            parameter.grad = None
        with self.problem.mode():
            problem = self.problem.at(x)
        weight = self._weight(step)
        try:
            with problem.mode():
                loss = self._loss(problem, weight)
            loss.backward()
        except (ValueError, RuntimeError) as error:
            bad = bad_rows(problem)
            if bad is None:
                raise
            raise _BadProposalError(problem, bad) from error
        return problem, loss.detach()

    def _weight(self, step: int) -> float:
        """The weight of the KL in a step, counted from 0."""
        return (
            check_kl_weight(f"kl_weight({step})", self.kl_weight(step)) if callable(self.kl_weight) else self.kl_weight
        )

    def _loss(self, problem: Problem, weight: float) -> Tensor:
        """The mean loss of a batch."""
        if weight == 1:
            return self._surrogate(problem) / len(problem.x)
        weight = max(weight, _LEAST_KL_WEIGHT)
        tempered: Any = _Tempered(problem.model, 1 / weight)
        return self._surrogate(replace(problem, model=tempered)) * (weight / len(problem.x))

    def _surrogate(self, problem: Problem) -> Tensor:
        return surrogate_of(problem, self.history.num_samples, estimator=self.estimator, baseline=self.baseline)

    def _bounds(self, losses: list[Tensor]) -> list[float]:
        """The losses and the validation bound as numbers: a GPU is waited for here, and nowhere else in an epoch."""
        lost = self.device.type == "cpu" and not math.isfinite(losses[-1])
        return torch.stack([*losses, *([] if lost else self._validate())]).tolist()

    def _validate(self) -> list[Tensor]:
        if self.validation is None:
            return []
        parts, count = [], 0
        k, repeats = self.history.num_samples, self.validation_samples
        state = self.validation.loader_state()
        with torch.no_grad(), forked_rng(0, self.device), evaluating(self.problem.model, self.problem.guide):
            for _, x in self.validation:
                problem = self.problem.at(x)
                if self.history.objective == "elbo":
                    bound = problem.weigh(*problem.draw_weighed(repeats)).mean(0)
                else:
                    log_w = problem.weigh(*problem.draw_weighed(k * repeats))
                    bound = log_mean_exp(log_w.reshape(k, repeats, *log_w.shape[1:])).mean(0)
                parts.append(bound.sum())
                count += len(x)
        self.validation.restore_loader(state)
        return [torch.stack(parts).sum() / count]

    def _is_best(self) -> bool:
        # A bound that is NaN is never the best.
        last, best = self.history.validation[-1], self.history.best_epoch
        return not math.isnan(last) and (best is None or last > self.history.validation[best - 1])

    def _out_of_patience(self, patience: int | None) -> bool:
        return patience is not None and len(self.history.train) - (self.history.best_epoch or 0) >= patience

    def _summary(self) -> str:
        words = f"{self.history.bound} {self.history.train[-1]:.2f}"
        return words + (f", validation {self.history.validation[-1]:.2f}" if self.history.validation else "")

    # The state, for checkpoints and for the way back.

    def _learnt(self) -> dict[str, Tensor]:
        return named_tensors(self.problem.model, self.problem.guide, self.baseline)

    def _named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        for name, part in (("model", self.problem.model), ("q", self.problem.guide)):
            owner = owner_of(part)
            for key, value in () if owner is None else owner.named_parameters():
                yield f"{name}.{key}", value

    def state(self) -> State:
        """All that the run needs to go on, with what tells it from others."""
        moving, model, q = self._moving(), self.problem.model, self.problem.guide
        fixed = {
            "settings": self.settings,
            "recipe": recipe_of(model, q),
            "names": {"model": type(model).__name__, "q": type(q).__name__},
            "structure": structure_of(model, q),
        }
        return State(moving.tensors, {**moving.rest, **fixed})

    def _moving(self) -> State:
        """What changes from step to step."""
        tensors = {**self._learnt(), **{f"best.{name}": value for name, value in self.best.items()}}
        tensors |= random_state(self.device)
        for name, batches in (("data", self.batches), ("validation", self.validation)):
            state = None if batches is None else batches.loader_state()
            if state is not None:
                tensors[f"random.{name}"] = state
        optimizer = self.optimizer.state_dict()
        rest = {
            "epoch": len(self.history.train),
            "step": self.history.steps,
            "history": {**vars(self.history), "train": [*self.history.train], "validation": [*self.history.validation]},
            "optimizer": pack(optimizer["state"], "optimizer", tensors),
            "groups": pack(optimizer["param_groups"], "group", tensors),
            "scheduler": None if self.scheduler is None else pack(self.scheduler.state_dict(), "scheduler", tensors),
        }
        return State(tensors, rest)

    def num_bytes(self) -> int:
        """How large a checkpoint will be, about: the optimizer has no state before its first step."""
        learnt = sum(value.nbytes for value in self._learnt().values())
        moments = 2 * sum(value.nbytes for value in self.parameters)
        return 2 * learnt + moments

    def _snapshot(self) -> State:
        state = self._moving()
        return State({name: value.clone() for name, value in state.tensors.items()}, state.rest)

    def restore(self, state: State, path: Path | None = None) -> None:
        """Go back, or on, to a state."""
        fill(state.tensors, self._learnt(), Path("memory") if path is None else path)
        self.optimizer.load_state_dict(
            {
                "state": unpack(state.rest["optimizer"], state.tensors),
                "param_groups": unpack(state.rest["groups"], state.tensors),
            }
        )
        if self.scheduler is not None:
            self.scheduler.load_state_dict(unpack(state.rest["scheduler"], state.tensors))
        self.best = {
            name.removeprefix("best."): value.to(self.device)
            for name, value in state.tensors.items()
            if name.startswith("best.")
        }
        saved = state.rest["history"]
        # In place: a callback, or an error, may hold it.
        vars(self.history).update({**saved, "train": [*saved["train"]], "validation": [*saved["validation"]]})
        set_random_state(state.tensors, self.device)
        for name, batches in (("data", self.batches), ("validation", self.validation)):
            if batches is not None:
                batches.restore_loader(state.tensors.get(f"random.{name}"))

    def resume(self, state: State, path: Path, patience: int | None) -> None:
        """Go on from a checkpoint, if it is one of this run.

        Raises:
            ValueError: If a setting, the data, the optimizer, the model or q is another one.
        """
        ours = structure_of(self.problem.model, self.problem.guide)
        for name, there, here in differences(state.rest["structure"], ours):
            raise ValueError(
                f"checkpoint is {str(path)!r}, whose {name} is {there}: expected {here}, that of the model given; "
                f"build the model and q as then, or write to another file."
            )
        for name, there, here in differences(state.rest["settings"], self.settings):
            raise ValueError(
                f"{name} is {here} and the checkpoint {str(path)!r} was written with {there}: expected the same; "
                f"resume with that, or write to another file. To train the same model in another way, take it from "
                f"lvmlib.load and start a new run."
            )
        self.restore(state, path)
        if patience is None:
            self.best, self.history.best_epoch = {}, None
        elif not self.best and self.history.validation:
            self.best = {name: value.clone() for name, value in self._learnt().items()}
            self.history.best_epoch = len(self.history.train)

    def _stop(
        self,
        problem: Problem,
        loss: Tensor,
        rows: Tensor,
        before: State,
        steps: int,
        term: str | None = None,
        bad: Tensor | None = None,
    ) -> NoReturn:
        """Back to the state before a step that would do harm, and an error that names it."""
        self.restore(before)
        for parameter in self.parameters:
            parameter.grad = None
        if term is None:
            term, bad = bad_term(problem, self.history.num_samples)
            set_random_state(before.tensors, self.device)
        raise NonFiniteLossError.at(loss, rows, term, bad, self.history, steps)


def _is_true(answer: object) -> bool:
    """Whether a callback said True: a bool of Python, of NumPy or of torch, and no other number."""
    return str(getattr(answer, "dtype", type(answer).__name__)) in ("bool", "torch.bool") and bool(answer)


def check_kl_weight(name: str, weight: object) -> float:
    """``weight`` as a float, if it is finite and at least zero."""
    if not 0 <= check_number(name, weight) < math.inf:
        raise ValueError(f"{name} is {weight}: expected a finite number of at least 0; 1 gives the ELBO.")
    return weight  # type: ignore[return-value]


class _BadProposalError(Exception):
    """q is not a distribution at some rows of a batch: its parameters are not finite there."""

    def __init__(self, problem: Problem, bad: Tensor) -> None:
        super().__init__()
        self.problem, self.bad = problem, bad


@dataclass(frozen=True)
class _Tempered:
    """A model whose likelihood has been raised to a power."""

    model: LatentVariableModel
    power: float

    def _log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        log_prior = log_density(self.model.prior, z)
        return torch.where(
            log_prior > -torch.inf, log_prior + self.power * self.model._log_likelihood(x, z), -torch.inf
        )
