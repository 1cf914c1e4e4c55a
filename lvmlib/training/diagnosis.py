r"""What a run of training reports: its history, and which step, which rows and which term went bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvmlib._checks import describe
from lvmlib._distribution_parts import tensors_in
from lvmlib._learnable import leaves_behind
from lvmlib.density import log_density
from lvmlib.guide import Guide
from lvmlib.model import LatentVariableModel, evaluating
from lvmlib.problem import Problem, bind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "History",
    "NonFiniteLossError",
    "bad_gradient",
    "bad_rows",
    "bad_term",
    "check_nothing_is_missed",
    "refuses_other_rows",
]


@dataclass(repr=False)
class History:
    """The bound epoch by epoch, in nats for an observation.

    Attributes:
        objective: ``"elbo"`` or ``"iwae"``.
        num_samples: K, the draws for each observation in a step.
        train: The mean of what was maximised over the steps of each epoch, while the parameters were moving: the
            bound, or with ``kl_weight`` the weighted bound.
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
        from lvmlib import plots

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
        rows: The rows of the data that made up its batch, int64; for a DataLoader, their places in the order in which
            it gave them in this epoch.
        term: ``"log-likelihood"``, ``"log-prior"``, ``"log q"``, ``"z"``, or ``"gradient of NAME"``.
        history: The epochs before.
    """

    def __init__(self, message: str, *, epoch: int, step: int, rows: Tensor, term: str, history: History) -> None:
        super().__init__(message)
        self.epoch, self.step, self.rows, self.term, self.history = epoch, step, rows, term, history

    @classmethod
    def at(
        cls, loss: Tensor, rows: Tensor, term: str, bad: Tensor | None, history: History, steps: int
    ) -> NonFiniteLossError:
        """The error for a step that would have been number ``steps + 1`` of this epoch.

        Args:
            loss: The loss of the batch.
            rows: The rows of the batch.
            term: What went bad.
            bad: For which of the rows; ``None`` where it cannot be said.
            history: The epochs before.
            steps: Steps of this epoch that were taken.
        """
        detail = "for the whole batch"
        if bad is not None:
            detail = f"for {int(bad.sum())} of {len(rows)} observations, the first of them row {int(rows[bad][0])}"
        epoch, step = len(history.train) + 1, history.steps + steps + 1
        return cls(
            f"The loss is {loss.item():.4g} at step {step}, in epoch {epoch}, with the batch of rows "
            f"{_shortened(rows.tolist())}: {term} is not finite {detail}; expected finite numbers. The parameters are "
            f"those before this step. Look at these rows, or lower learning_rate.",
            epoch=epoch,
            step=step,
            rows=rows.cpu(),
            term=term,
            history=history,
        )


def bad_term(problem: Problem, num_samples: int) -> tuple[str, Tensor]:
    """The first term of log w that is not finite, with the next draws of q, and for which observations."""
    with torch.no_grad():
        z, _ = problem.draw_weighed(num_samples)
        terms: dict[str, Callable[[], Tensor]] = {
            "z": lambda: z.reshape(*z.shape[:2], -1).double().sum(-1),
            "log-likelihood": lambda: problem.model.log_likelihood(problem.x, z),
            "log-prior": lambda: problem.model.log_prior(z),
            "log q": lambda: log_density(problem.q, z),
        }
        for name, value in terms.items():
            bad = ~value().isfinite().all(0)
            if bad.any():
                return name, bad
    return "log w", torch.ones(len(problem.x), dtype=torch.bool, device=problem.x.device)


def bad_rows(problem: Problem) -> Tensor | None:
    """For which observations q has a parameter that is not finite; ``None`` if for none."""
    count = len(problem.x)
    bad = torch.zeros(count, dtype=torch.bool, device=problem.x.device)
    for part in tensors_in(problem.q):
        if part.is_floating_point() and part.shape[:1] == (count,):
            bad |= ~part.detach().isfinite().reshape(count, -1).all(1)
    return bad if bad.any() else None


def bad_gradient(named: Iterator[tuple[str, Tensor]]) -> str | None:
    """The name of the first parameter whose gradient is not finite."""
    return next((name for name, value in named if value.grad is not None and not value.grad.isfinite().all()), None)


def check_nothing_is_missed(model: LatentVariableModel, q: Guide, x: Tensor, known: list[Tensor]) -> None:
    """Refuse a model or a q that would learn something which is not among the parameters that were found.

    Raises:
        TypeError: If a density depends on a tensor that requires a gradient and is not in ``known``.
    """
    model.check_learnable()
    found = {id(parameter) for parameter in known}
    with torch.enable_grad(), evaluating(model, q):
        distribution = bind(model, q, x).q
        value = log_density(distribution, distribution.sample())
        for leaf in leaves_behind(value.sum()):
            if id(leaf) not in found:
                raise TypeError(
                    f"q depends on {describe(leaf)} that requires a gradient, and fit cannot find it: expected a "
                    f"torch.nn.Module that holds what is to be learnt and makes a Distribution, or a method of one; "
                    f"wrap q, for instance as UnconditionalGuide(flow)."
                )


def refuses_other_rows(model: LatentVariableModel, q: Guide, x: Tensor) -> Exception | None:
    """Why q cannot be asked about other observations than these: it has a distribution for each of them, say."""
    other = x[:1] if len(x) > 1 else torch.cat([x, x])
    try:
        bind(model, q, other)
    except (ValueError, RuntimeError, IndexError) as error:
        return error
    return None


def _shortened(numbers: list[int], most: int = 8) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return f"[{shown}]" if len(numbers) <= most else f"[{shown}, ... {len(numbers)} in all]"
