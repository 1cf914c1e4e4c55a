"""Options shared by all tests: where they run, and whether annotations are checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

# CI asks for everything; a reader's ``make test`` leaves out what takes seconds and is of a kind that it tries anyway.
THOROUGH = bool(os.environ.get("THOROUGH"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="run the library's tests on this torch device, e.g. cuda")
    parser.addoption("--typecheck", action="store_true", help="check lvmlib's annotations with beartype and jaxtyping")


def pytest_configure(config: pytest.Config) -> None:
    # Before any test module is imported, as many keep tensors of their own.
    _set_device(config.getoption("--device"))
    config.addinivalue_line("markers", "vouches(label, ...): this test checks the claims of the book with these labels")
    config.addinivalue_line("markers", "thorough: more of a kind that runs anyway, or slow; see THOROUGH")
    if config.getoption("--typecheck"):
        from jaxtyping import install_import_hook

        install_import_hook("lvmlib", "beartype.beartype")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not THOROUGH:
        left_out = pytest.mark.skip(reason="more of a kind that runs anyway: THOROUGH=1 make test")
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(left_out)


@pytest.fixture(scope="session")
def thorough() -> bool:
    """Whether everything is asked for, for tests that can look at a part."""
    return THOROUGH


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> torch.device:
    """The device under test; every tensor that names none is made on it."""
    return torch.device(pytestconfig.getoption("--device"))


@pytest.fixture(scope="session")
def zuko() -> ModuleType:
    """Normalising flows; what needs them is skipped where they are not installed."""
    return pytest.importorskip("zuko")


@pytest.fixture(autouse=True)
def _work_on_the_device(device: torch.device) -> Iterator[None]:
    torch.manual_seed(0)
    _set_device(str(device))
    yield
    _set_device(str(device))


def _set_device(device: str) -> None:
    """Tensors go to the device; a default that is named, even the CPU, slows down each small operation by half."""
    torch.set_default_device(None if device == "cpu" else device)
