"""Seeds that leave the global random state alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["forked_rng"]


@contextmanager
def forked_rng(seed: int | None, device: torch.device | None = None) -> Iterator[None]:
    """Draw from a generator seeded with ``seed``; the global state is as before afterwards.

    With ``seed=None`` draws come from the global generator and advance it, as any torch draw does.

    Args:
        seed: A non-negative integer, or ``None``.
        device: The device on which the draws are made; its generator is forked with the CPU's.

    Raises:
        TypeError: If ``seed`` is neither an integer nor ``None``.
        ValueError: If ``seed`` is negative.
    """
    if seed is None:
        yield
        return
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed is {seed!r} of type {type(seed).__name__}: expected an int or None.")
    if seed < 0:
        raise ValueError(f"seed is {seed}: expected an integer of at least 0; drop the sign.")
    devices = [] if device is None or device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type=devices[0].type if devices else "cuda"):
        # Not torch.manual_seed, which would reseed every other device for good.
        torch.default_generator.manual_seed(seed)
        for forked in devices:
            module = torch.get_device_module(forked)
            with module.device(forked):
                module.manual_seed(seed)
        yield
