"""How often an estimator evaluates the likelihood, whichever way it asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from lvmlib._broadcast import broadcast_shapes
from lvmlib.model import LatentVariableModel

__all__ = ["LikelihoodCount", "counted_likelihoods"]


class LikelihoodCount:
    """A running count of pairs (x, z) whose likelihood was evaluated, from any thread."""

    def __init__(self) -> None:
        self._parts: list[int] = []
        self._within = threading.local()

    @property
    def total(self) -> int:
        """How many pairs so far. A pair whose gradient was taken counts once."""
        return sum(self._parts)

    def outermost(self, call: Callable[..., Any], size: Callable[..., int]) -> Callable[..., Any]:
        """``call`` that adds ``size`` of its arguments, unless it is called by another that was counted."""

        def counting(*arguments: Any) -> Any:
            if getattr(self._within, "busy", False):
                return call(*arguments)
            self._parts.append(size(*arguments))
            self._within.busy = True
            try:
                return call(*arguments)
            finally:
                self._within.busy = False

        return counting


@contextmanager
def counted_likelihoods(model: LatentVariableModel) -> Iterator[LikelihoodCount]:
    """Count the likelihoods that are evaluated inside the block, one for each pair of an x and a z.

    Args:
        model: The model that is watched; it is as before at the end.

    Yields:
        The :class:`LikelihoodCount`.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> from lvmlib import prior_monte_carlo
        >>> model = LatentVariableModel(Normal(0.0, 1.0), lambda z: Normal(z, 1.0))
        >>> with counted_likelihoods(model) as count:
        ...     estimate = prior_monte_carlo(model, torch.zeros(3), 100, seed=0)
        >>> count.total
        300
    """
    count, event = LikelihoodCount(), len(model.prior.event_shape)

    def draws(z: Tensor) -> int:
        return z.shape[: z.ndim - event].numel()

    def pairs(x: Tensor, z: Tensor) -> int:
        return broadcast_shapes(model.batch_shape(x), z.shape[: z.ndim - event]).numel()

    of_x = model._log_likelihood_of
    watched = {
        "likelihood": count.outermost(model.likelihood, draws),
        "_log_likelihood": count.outermost(model._log_likelihood, pairs),
        "_log_likelihood_of": lambda x: count.outermost(of_x(x), lambda z: pairs(x, z)),
    }
    for name, call in watched.items():
        model.__dict__[name] = call
    try:
        yield count
    finally:
        for name in watched:
            del model.__dict__[name]
