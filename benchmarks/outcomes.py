"""A plugin of pytest that writes the outcome of each test at once, one JSON object a line.

    OUTCOMES=outcomes.jsonl PYTHONPATH=benchmarks pytest -p outcomes

Nothing is lost when the run is cut short, as pytest's own reports are written at the end alone.
"""

from __future__ import annotations

import json
import os

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # Processes of xdist hand their reports to the one that writes.
    if "PYTEST_XDIST_WORKER" in os.environ or (report.passed and report.when != "call"):
        return
    outcome = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 2)}
    if report.failed:
        outcome["end"] = report.longreprtext[-900:]
    if report.skipped and isinstance(report.longrepr, tuple):
        outcome["end"] = report.longrepr[2]
    with open(os.environ["OUTCOMES"], "a") as file:
        file.write(json.dumps(outcome) + "\n")
