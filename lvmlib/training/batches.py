"""Observations in steps: rows of a tensor in a random order, or whatever a DataLoader gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lvmlib._checks import check_layout, describe
from lvmlib._random import forked_rng
from lvmlib.model import LatentVariableModel

__all__ = ["Batches", "Transform"]

Transform = Callable[[Tensor], Tensor]
_CHECKED_WITH_TRANSFORM = 100


class Batches:
    """One pass through the observations after another, a batch at a time, on the device of the model.

    A last batch of a single row joins the one before it: batch statistics of one row do not exist.

    Args:
        name: The argument of :func:`fit` that they came as, for messages.
        data: A tensor, shape ``(N, *x_event)``, or a DataLoader of such tensors, or of tuples that begin with one.
        model: What the observations are checked against.
        batch_size: Rows of a batch; ``None`` for all of them, in their order.
        transform: Applied to each batch; its result is what the model sees.
        shuffle: Whether each pass through a tensor has an order of its own.

    Raises:
        TypeError: If ``data`` is neither, or of another dtype than the model's observations.
        ValueError: If there are no observations, or they do not fit the model.
    """

    def __init__(
        self,
        name: str,
        data: Any,
        model: LatentVariableModel,
        batch_size: int | None,
        transform: Transform | None,
        *,
        shuffle: bool,
    ) -> None:
        self.name, self.model, self.transform, self.shuffle = name, model, transform, shuffle
        self.device = model._layout().device
        self.loader = data if isinstance(data, DataLoader) else None
        self.rows: Tensor | None = None
        self._is_seen = transform is None  # rows that are not transformed are looked at here
        if self.loader is not None:
            if batch_size not in (None, 100, self.loader.batch_size):
                raise ValueError(
                    f"batch_size is {batch_size} and {name} is a DataLoader with batches of {self.loader.batch_size}: "
                    f"expected batch_size to be left out, as the loader makes the batches."
                )
            return
        if not isinstance(data, Tensor):
            raise TypeError(
                f"{name} is {describe(data)}: expected a torch.Tensor or a torch.utils.data.DataLoader; convert it "
                f"with torch.as_tensor({name})."
            )
        check_layout(name, data)
        if data.ndim == 0 or not len(data):
            raise ValueError(
                f"{name} has shape {tuple(data.shape)}: expected at least 1 observation, one a row; give it some."
            )
        self.rows = data.to(self.device).detach()
        if self.rows.is_inference():  # nothing can be learnt from what is computed with it
            self.rows = self.rows.clone()
        checked = self.rows
        if transform is not None:
            with forked_rng(0, self.device):
                checked = transform(self.rows[:_CHECKED_WITH_TRANSFORM])
        self._check(checked)
        self.batch_size = len(data) if batch_size is None else min(batch_size, len(data))

    def first(self) -> Tensor:
        """The first batch of a pass without shuffling, as the model sees it; random states are as before afterwards."""
        before = self.loader_state()
        with forked_rng(0, self.device):
            if self.rows is not None:
                return self._prepared(self.rows[: self.batch_size])
            if before is not None:
                self.loader.generator.manual_seed(0)  # type: ignore[union-attr]
            try:
                for _, x in self._from_loader():
                    self._check(x)
                    return x
            finally:
                self.restore_loader(before)
        raise ValueError(f"{self.name} is a DataLoader that gives no batch: expected at least one; give it some data.")

    def all_rows(self) -> Tensor:
        """Every row of a tensor at once, as the model sees it."""
        return self._prepared(self.rows)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches as ``(rows, x)``: where in the data they stand, and what the model sees."""
        if self.rows is None:
            yield from self._from_loader()
            return
        if self.batch_size == len(self.rows):
            yield torch.arange(len(self.rows), device=self.device), self._seen(self.rows)
            self._is_seen = True
            return
        order = torch.arange(len(self.rows), device=self.device)
        if self.shuffle:
            order = torch.randperm(len(self.rows), device=self.device)
        for rows in order.split(self._sizes()):
            # Whole rows are copied several times faster than by data[rows].
            yield rows, self._seen(self.rows.index_select(0, rows))
        self._is_seen = True

    @property
    def whole(self) -> bool:
        """Whether every batch is all of a tensor, in its order."""
        return self.rows is not None and self.batch_size == len(self.rows)

    @property
    def steps(self) -> int | None:
        """Batches in a pass; ``None`` where a loader does not know."""
        if self.rows is not None:
            return len(self._sizes())
        try:
            return len(self.loader)  # type: ignore[arg-type]
        except TypeError:
            return None

    def fingerprint(self) -> str:
        """What tells these observations from others: all bytes of a tensor, the size and batches of a loader."""
        if self.rows is not None:
            kind = f"{tuple(self.rows.shape)} {self.rows.dtype}"
            return f"{kind} {hashlib.sha256(_bytes(self.rows)).hexdigest()[:32]}"
        try:
            size: object = len(self.loader.dataset)  # type: ignore[union-attr, arg-type]
        except TypeError:
            size = "unknown"
        return f"DataLoader size {size} batches {self.loader.batch_size} first {self.first_bytes()}"  # type: ignore[union-attr]

    def first_bytes(self) -> str:
        """A hash of the first batch as the model sees it, with random numbers that are always the same; where it
        differs from look to look, only that."""
        looks = {hashlib.sha256(_bytes(self.first())).hexdigest()[:32] for _ in range(2)}
        return looks.pop() if len(looks) == 1 else "that varies"

    def loader_state(self) -> Tensor | None:
        """The state of the generator that a loader was given for its own, if it was."""
        generator = getattr(self.loader, "generator", None)
        return None if generator is None else generator.get_state()

    def restore_loader(self, state: Tensor | None) -> None:
        if state is not None and self.loader is not None and self.loader.generator is not None:
            self.loader.generator.set_state(state.cpu())

    def _sizes(self) -> list[int]:
        full, rest = divmod(len(self.rows), self.batch_size)  # type: ignore[arg-type]
        if rest == 1 and full:
            return [self.batch_size] * (full - 1) + [self.batch_size + 1]
        return [self.batch_size] * full + [rest] * (rest > 0)

    def _from_loader(self) -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        for x in _last_one_joined(map(self._observations, self.loader)):  # type: ignore[arg-type]
            x = self._seen(x.to(self.device, non_blocking=True))
            self._check_shape(x)
            yield torch.arange(start, start + len(x)), x
            start += len(x)

    def _observations(self, batch: Any) -> Tensor:
        x = batch[0] if isinstance(batch, list | tuple) and batch else batch
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{self.name} is a DataLoader that gives {describe(batch)}: expected tensors of observations, or "
                f"tuples that begin with one; give it a collate_fn that returns the observations."
            )
        return x

    def _prepared(self, x: Tensor) -> Tensor:
        return x if self.transform is None else self.transform(x)

    def _seen(self, x: Tensor) -> Tensor:
        """A batch as the model sees it, looked at where it comes from a loader, or was transformed in a first pass.

        On a GPU nothing is looked at, as every look makes the program wait.
        """
        x = self._prepared(x)
        if self.device.type == "cpu" and (self.rows is None or not self._is_seen):
            self._check(x)
        return x

    def _check(self, x: Tensor) -> None:
        name = self.name if self.transform is None else f"transform({self.name})"
        try:
            self.model.check_observation(x)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name} does not fit: {error}") from error
        self._check_shape(x)

    def _check_shape(self, x: Tensor) -> None:
        event, dtype = self.model._layout().x_event, self.model._layout().x_dtype
        if x.dtype != dtype:
            raise TypeError(f"{self.name} has dtype {x.dtype}: expected {dtype}, the model's; convert it.")
        if x.ndim != 1 + len(event) or x.shape[1:] != event or not len(x):
            raise ValueError(
                f"{self.name} has shape {tuple(x.shape)}: expected (N, {', '.join(map(str, event))}) with N at least "
                f"1, one observation a row; flatten its batch dimensions."
            )


def _bytes(rows: Tensor) -> memoryview:
    return rows.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _last_one_joined(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The batches; the last one joins the one before it if it is a single row."""
    held = next(batches, None)
    while held is not None:
        after = next(batches, None)
        if after is not None and after.shape[:1] == (1,) and held.ndim and len(held) > 1:
            beyond = next(batches, None)
            if beyond is None:
                held, after = torch.cat([held, after]), None
            else:
                yield held
                held, after = after, beyond
        yield held
        held = after
