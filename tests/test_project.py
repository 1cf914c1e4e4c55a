"""The project as those inherit it who install, cite or continue it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
import yaml

import lvmlib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("lvmlib", "proofreader", "tutor")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a clean copy, built by the environment's own setuptools."""
    copy = tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "book" / "exercises", copy / "book" / "exercises")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "."]
    done = subprocess.run([*command, "--wheel-dir", "dist"], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    expected = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    exercises = {f"tutor/exercises/{path.name}" for path in (ROOT / "book" / "exercises").glob("*.yaml")}
    assert inside == expected | exercises


def test_the_wheel_says_what_it_is_and_under_which_licence(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert f"Version: {PROJECT['version']}" in metadata
    assert "License-Expression: MIT AND OFL-1.1" in metadata
    assert re.search(r"^Provides-Extra: book$", metadata, re.MULTILINE)


def test_one_version_stands_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    latest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert latest is not None
    assert lvmlib.__version__ == PROJECT["version"] == citation["version"] == latest[1]
    assert str(citation["date-released"]) == latest[2]


def test_every_requirement_of_the_extras_is_in_the_lock() -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    for requirement in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        assert _normal(name[0]) in locked | {"lvmlib"}, f"{name[0]} is not in requirements.txt"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.thorough
def test_importing_lvmlib_costs_little_beyond_torch_and_loads_no_plots_and_no_checker() -> None:
    """CPU time, the least of three runs, so that a busy machine changes nothing."""
    program = (
        "import sys, time, torch; start = time.process_time(); import lvmlib; cost = time.process_time() - start\n"
        "print(cost, [name for name in ('matplotlib', 'proofreader', 'sklearn', 'altair') if name in sys.modules])"
    )
    costs = []
    for _ in range(3):
        output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        cost, _, loaded = output.strip().partition(" ")
        assert loaded == "[]"
        costs.append(float(cost))
    assert min(costs) < 0.2


def test_the_readme_names_every_command_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert len(targets) > 8
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [target for target in targets if f"`make {target}`" not in readme and f"make {target} " not in readme]
    assert set(missing) <= {"help", "setup", "clean"}


def test_the_example_of_the_readme_runs_and_ends_with_a_diagnosis() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tensor" in done.stdout
