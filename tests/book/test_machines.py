"""The notebooks print the same numbers on other machines: on an old processor, and with more threads or fewer.

Each run replays all notebooks, which takes minutes, so a run is asked for by name: ``MACHINES=baseline make test``, or
``make machines`` for all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from books import ROOT

MACHINES = {
    "baseline": {"ATEN_CPU_CAPABILITY": "default"},
    "one-thread": {"OMP_NUM_THREADS": "1"},
    "two-threads": {"OMP_NUM_THREADS": "2"},
    "four-threads": {"OMP_NUM_THREADS": "4"},
}
asked_for = os.environ.get("MACHINES", "").split(",")


def replay(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_notebooks_print_the_same_on_another_machine(machine: str) -> None:
    if machine not in asked_for and "all" not in asked_for:
        pytest.skip(f"replays all notebooks: ask for it with MACHINES={machine}, or with `make machines`")
    done = replay("--numprocesses=2", "--dist=loadfile", "notebooks", **MACHINES[machine])
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-1_000:]


@pytest.mark.parametrize(
    ("printed", "passes"),
    [
        ("ELBO -1.2341, gap -0.00", True),
        ("ELBO -1.2351, gap 0.00", False),
        ("ELBO -1.2342, bound 0.00", False),
        ("ELBO -1.2342", False),
    ],
)
def test_a_replay_accepts_another_last_digit_and_nothing_else(printed: str, passes: bool, tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell(
        'print("ELBO -1.2342, gap 0.00")',
        metadata={"tags": ["nbval-check-output"]},
        execution_count=1,
        outputs=[nbformat.v4.new_output("stream", text=f"{printed}\n")],
    )
    path = tmp_path / "numbers.ipynb"
    path.write_text(json.dumps(nbformat.v4.new_notebook(cells=[cell])), encoding="utf-8")
    search_path = os.pathsep.join(map(str, (ROOT, ROOT / "book" / "_ext")))
    done = replay("-p", "conftest", "-c", os.devnull, str(path), cwd=tmp_path, PYTHONPATH=search_path)
    assert done.returncode == (0 if passes else 1), done.stdout + done.stderr
    assert passes or "mismatch" in done.stdout
