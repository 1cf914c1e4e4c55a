"""Options shared by all tests: where they run, and whether annotations are checked."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="run the library's tests on this torch device, e.g. cuda")
    parser.addoption("--typecheck", action="store_true", help="check lvmlib's annotations with beartype and jaxtyping")


def pytest_configure(config: pytest.Config) -> None:
    # Before any test module is imported, as many keep tensors of their own.
    torch.set_default_device(config.getoption("--device"))
    config.addinivalue_line("markers", "vouches(label, ...): this test checks the claims of the book with these labels")
    if config.getoption("--typecheck"):
        from jaxtyping import install_import_hook

        install_import_hook("lvmlib", "beartype.beartype")


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
    torch.set_default_device(device)
    yield
    torch.set_default_device(device)
