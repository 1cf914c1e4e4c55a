"""JupyterLab as ``make lab`` starts it.

The committed notebooks name the Python that executed them. A reader's may be another one, and JupyterLab would mark
every notebook as changed when it opens it. Here each is opened as if the reader's Python had made it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

sys.path.insert(0, str(Path(__file__).parent))

from course.kernels import kernelspec, language_info


class CourseContents(AsyncLargeFileManager):
    """Files on disk, with notebooks that name the Python which is about to run them."""

    async def get(self, path: str, content: bool = True, **options: Any) -> dict[str, Any]:
        model: dict[str, Any] = await super().get(path, content, **options)
        if model["type"] == "notebook" and content:
            metadata = model["content"]["metadata"]
            if metadata.get("kernelspec", {}).get("name") == kernelspec()["name"]:
                metadata.update(kernelspec=kernelspec(), language_info=language_info())
        return model


c = get_config()  # type: ignore[name-defined]
c.ServerApp.contents_manager_class = CourseContents
c.LabApp.news_url = None  # the course needs no network, and asks for none
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
