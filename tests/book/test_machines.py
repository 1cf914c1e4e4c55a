"""The notebooks print the same numbers on other machines: on an old processor, and with more threads or fewer.

Each run replays all notebooks, which takes minutes, so a run is asked for by name: ``MACHINES=baseline make test``, or
``make machines`` for all of them.
"""

from __future__ import annotations

import json
import os
import re
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


PRINTED = {
    "another_last_digit": ("ELBO -1.2341, gap -0.00", True),
    "another_digit": ("ELBO -1.2351, gap 0.00", False),
    "another_word": ("ELBO -1.2342, bound 0.00", False),
    "fewer_words": ("ELBO -1.2342", False),
}


def test_a_replay_accepts_another_last_digit_and_nothing_else(tmp_path: Path) -> None:
    for name, (printed, _) in PRINTED.items():
        cell = nbformat.v4.new_code_cell(
            'print("ELBO -1.2342, gap 0.00")',
            metadata={"tags": ["nbval-check-output"]},
            execution_count=1,
            outputs=[nbformat.v4.new_output("stream", text=f"{printed}\n")],
        )
        notebook = json.dumps(nbformat.v4.new_notebook(cells=[cell]))
        (tmp_path / f"{name}.ipynb").write_text(notebook, encoding="utf-8")
    search_path = os.pathsep.join(map(str, (ROOT, ROOT / "book" / "_ext")))
    done = replay("-rA", "-p", "conftest", "-c", os.devnull, str(tmp_path), cwd=tmp_path, PYTHONPATH=search_path)
    ended = re.findall(r"^(PASSED|FAILED) (\w+)\.ipynb::Cell 0\b", done.stdout, re.MULTILINE)
    assert {name: how == "PASSED" for how, name in ended} == {name: passes for name, (_, passes) in PRINTED.items()}
    failures, _, _ = done.stdout.partition("short test summary info")
    assert failures.count("mismatch") == 3
