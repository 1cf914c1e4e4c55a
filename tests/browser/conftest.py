"""The built book, shared by all tests of a worker."""

from __future__ import annotations

from pathlib import Path

import books
import pytest


@pytest.fixture(scope="session")
def build() -> Path:
    """The folder ``_build`` with the book as the sources stand now."""
    return books.build_this_book()
