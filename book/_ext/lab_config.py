"""JupyterLab as ``make lab`` starts it, in the folder of the project.

The committed notebooks name the Python that executed them, and their links lead to the pages of the book as files.
JupyterLab would mark a notebook as changed when the reader's Python is another one, and show a page without its style.
So each notebook is opened as if the reader's Python had made it, with links to the pages that this server serves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

sys.path.insert(0, str(Path(__file__).parent))

from course.kernels import kernelspec, language_info

AS_FILES = "](../_build/html/"


class CourseContents(AsyncLargeFileManager):
    """Files on disk, with notebooks that fit the reader's Python and this server."""

    async def get(
        self, path: Any, content: Any = True, type: Any = None, format: Any = None, require_hash: Any = False
    ) -> dict[str, Any]:
        model: dict[str, Any] = await super().get(path, content, type, format, require_hash)
        if model["type"] == "notebook" and content:
            metadata = model["content"]["metadata"]
            if metadata.get("kernelspec", {}).get("name") == kernelspec()["name"]:
                metadata.update(kernelspec=kernelspec(), language_info=language_info())
            self._move_links(model, AS_FILES, self._as_served)
        return model

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        if model["type"] == "notebook" and model.get("content"):
            self._move_links(model, self._as_served, AS_FILES)
        saved: dict[str, Any] = await super().save(model, path)
        return saved

    @property
    def _as_served(self) -> str:
        return f"]({getattr(self.parent, 'base_url', '/')}static/"

    def _move_links(self, model: dict[str, Any], old: str, new: str) -> None:
        for cell in model["content"]["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = cell["source"].replace(old, new)


def without_announcements(handler: object, page_config: dict[str, Any]) -> dict[str, Any]:
    """JupyterLab asks every new reader about its news, also where there are none to fetch: not here."""
    disabled = page_config.get("disabledExtensions", [])
    return page_config | {"disabledExtensions": [*disabled, "@jupyterlab/apputils-extension:announcements"]}


c = get_config()  # noqa: F821 (Jupyter defines it)
c.ServerApp.contents_manager_class = CourseContents
c.ServerApp.extra_static_paths = [str(Path("_build", "html").resolve())]
# The course needs no network, and asks for none.
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.ServerApp.tornado_settings = {"page_config_hook": without_announcements}
