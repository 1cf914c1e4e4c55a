"""The built book and one Chromium, shared by all tests of a worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import books
import pytest
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def build() -> Path:
    """The folder ``_build`` with the book as the sources stand now."""
    return books.build_this_book()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        message = "no chromium on PATH: install it (Debian: apt-get install chromium) to test the pages in a browser"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=switches)
        yield browser
        browser.close()
