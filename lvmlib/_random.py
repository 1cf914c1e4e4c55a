"""Seeds: with the name of a public function one makes a stream of numbers that leaves the global state alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = [
    "Numbers",
    "check_seed",
    "derived_seed",
    "forked",
    "forked_rng",
    "in_turn",
    "random_state",
    "seeded_generator",
    "set_random_state",
    "stream",
    "stream_key",
]

# All threads draw from one global generator.
_TURN = threading.RLock()


def derived_seed(*parts: object) -> int:
    """A 63-bit seed made from any parts that can be printed; other parts give an unrelated seed."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def stream_key(name: str, seed: int | None) -> int:
    """The seed of the stream that a public function called ``name`` draws from.

    Two functions that are given the same seed have different keys, so that neither finds the other's numbers again.
    With ``seed=None`` the key is drawn from the global generator, and so advances it.

    Raises:
        TypeError: If ``seed`` is neither an integer nor ``None``.
    """
    if seed is None:
        # On the CPU whatever the default device is, so that a script's manual_seed decides.
        return int(torch.empty((), dtype=torch.int64, device="cpu").random_())
    check_seed(seed)
    return derived_seed(name, seed)


def seeded_generator(device: torch.device, *parts: object) -> torch.Generator:
    """A generator of its own on ``device``, seeded with :func:`derived_seed` of ``parts``."""
    return torch.Generator(device).manual_seed(derived_seed(*parts))


@contextmanager
def stream(name: str, seed: int | None, device: torch.device | None = None) -> Iterator[None]:
    """Draw from the stream of the public function ``name``; the global random state is as before afterwards.

    Other threads that draw from a stream wait, so that each has its own numbers. With ``seed=None`` draws come from the
    global generator and advance it, as any torch draw does.

    Args:
        name: The public function that draws; a seed means other numbers in every function.
        seed: Any integer, or ``None``.
        device: The device on which the draws are made; its generator is forked with the CPU's.

    Raises:
        TypeError: If ``seed`` is neither an integer nor ``None``.
    """
    if seed is None:
        yield
        return
    check_seed(seed)
    with in_turn(derived_seed(name, seed), device):
        yield


class Numbers:
    """The random numbers of a long run: it draws from the global generators, which are as before between its turns.

    Args:
        name: The public function that draws.
        seed: Any integer, or ``None`` for the global generators themselves.
        device: The device on which draws are made.

    Raises:
        TypeError: If ``seed`` is neither an integer nor ``None``.
    """

    def __init__(self, name: str, seed: int | None, device: torch.device) -> None:
        self.name, self.seed, self.device = name, seed, device
        self._state: dict[str, torch.Tensor] | None = None
        if seed is not None:
            check_seed(seed)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Go on where the turn before ended. Other threads that draw from a stream wait."""
        with stream(self.name, self.seed, self.device):
            if self.seed is not None and self._state is not None:
                set_random_state(self._state, self.device)
            try:
                yield
            finally:
                self._state = random_state(self.device)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of the global generators, by name."""
    state = {"random.cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state["random.device"] = torch.get_device_module(device).get_rng_state(device)
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Set the global generators to states that :func:`random_state` gave, on this or another device."""
    torch.set_rng_state(state["random.cpu"].cpu())
    if device.type != "cpu" and "random.device" in state:
        torch.get_device_module(device).set_rng_state(state["random.device"].cpu(), device)


@contextmanager
def forked_rng(seed: int | None, device: torch.device | None = None) -> Iterator[None]:
    """As :func:`stream`, for callers that have no public name of their own: the draws are those of the bare seed."""
    if seed is None:
        yield
        return
    check_seed(seed)
    with in_turn(seed if 0 <= seed < 2**63 else derived_seed(seed), device):
        yield


@contextmanager
def in_turn(seed: int, device: torch.device | None) -> Iterator[None]:
    """As :func:`forked`, for a few draws that no other thread may disturb; the others wait."""
    with _TURN, forked(seed, device):
        yield


@contextmanager
def forked(seed: int, device: torch.device | None) -> Iterator[None]:
    """The global generators seeded with ``seed``, which :func:`derived_seed` made; afterwards they are as before."""
    devices = [] if device is None or device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type=devices[0].type if devices else "cuda"):
        # Not torch.manual_seed, which would reseed every other device for good.
        torch.default_generator.manual_seed(seed)
        for forked in devices:
            module = torch.get_device_module(forked)
            with module.device(forked):
                module.manual_seed(seed)
        yield


def check_seed(seed: object) -> None:
    """``seed`` is an integer or ``None``."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed is {seed!r} of type {type(seed).__name__}: expected an int or None; pass int(seed).")
