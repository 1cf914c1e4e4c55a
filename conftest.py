"""Replays of the notebooks: nbval executes them and compares what they print, with numbers compared as numbers.

A reader's run replays the chapters but two; the rest only when everything is asked for. And the order of the tests: the
book is built first, for all tests that look at it.
"""

from __future__ import annotations

from typing import Any

import pytest
from course.numbers import matched

# Notebooks that a reader's run leaves to CI: whole jobs, and the chapters that take longest. The build of the book
# executes them too, and its outputs are compared with the committed ones.
LONG = ("own_", "08_", "10_")


@pytest.hookimpl(tryfirst=True)  # before the marks are looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item, "compare_outputs"):
            item.compare_outputs = _NumbersMatched(item.compare_outputs)
            if item.path.name.startswith(LONG):
                item.add_marker(pytest.mark.thorough)
    items.sort(key=lambda item: item.path.name != "test_build.py")


class _NumbersMatched:
    """nbval's comparison of a cell, after numbers that agree are written as the reference writes them."""

    def __init__(self, compare: Any) -> None:
        self._compare = compare

    def __call__(self, outputs: list[Any], reference: list[Any], *options: Any) -> bool:
        if len(outputs) == len(reference):
            outputs = [_matched(*pair) for pair in zip(outputs, reference, strict=True)]
        return self._compare(outputs, reference, *options)


def _matched(output: Any, reference: Any) -> Any:
    """An output, a nest of dictionaries, lists and texts, with its texts matched to those of the reference."""
    if isinstance(output, str) and isinstance(reference, str):
        return matched(output, reference)
    if isinstance(output, dict) and isinstance(reference, dict):
        return type(output)({key: _matched(value, reference.get(key)) for key, value in output.items()})
    if isinstance(output, list) and isinstance(reference, list) and len(output) == len(reference):
        return [_matched(*pair) for pair in zip(output, reference, strict=True)]
    return output
