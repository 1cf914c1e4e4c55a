"""Everything is said in pyproject.toml but this: the wheel also has the exercises, which the book keeps."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithExercises(build_py):  # type: ignore[misc]
    """Copies ``book/exercises`` into the package that reads them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "tutor", "exercises")
            target.mkdir(parents=True, exist_ok=True)
            for path in Path("book", "exercises").glob("*.yaml"):
                shutil.copy(path, target)


setup(cmdclass={"build_py": BuildWithExercises})
