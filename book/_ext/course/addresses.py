"""Everything that follows from the one address of the repository, ``repository: url`` in ``_config.yml``.

While it is empty, pages offer their notebook as a file beside them, and notebooks point to the pages built here. Once
it is set, pages also open their notebook on Colab and on Binder, and notebooks install the package where it is missing
and point to the published pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.errors import ConfigError

from course.names import notebook_of

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

GITHUB = re.compile(r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?")
DOWNLOADS = "_notebooks"


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub."""

    owner: str
    name: str
    branch: str = "main"

    @classmethod
    def parse(cls, url: str, branch: str = "main") -> Repository:
        match = GITHUB.fullmatch(url)
        if match is None:
            raise ConfigError(
                f"repository: url in _config.yml is {url!r}: expected an address such as "
                "https://github.com/owner/name, or nothing while there is none."
            )
        return cls(match["owner"], match["name"], branch)

    @property
    def pages(self) -> str:
        return f"https://{self.owner.lower()}.github.io/{self.name}"

    @property
    def requirement(self) -> str:
        return f'"lvmlib[book] @ git+https://github.com/{self.owner}/{self.name}@{self.branch}"'

    def colab(self, notebook: str) -> str:
        return f"https://colab.research.google.com/github/{self.owner}/{self.name}/blob/{self.branch}/{notebook}"

    def binder(self, notebook: str) -> str:
        return f"https://mybinder.org/v2/gh/{self.owner}/{self.name}/{self.branch}?urlpath=lab/tree/{notebook}"


def repository(config: Config) -> Repository | None:
    """The repository of the book, once it has one."""
    options = config.html_theme_options
    url = options.get("repository_url", "")
    return Repository.parse(url, options.get("repository_branch") or "main") if url else None


def derive_addresses(app: Sphinx, config: Config) -> None:
    home = repository(config)
    if home is not None:
        config.html_baseurl = config.html_baseurl or home.pages
        config.course_install = config.course_install or home.requirement


def add_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Buttons at the head of a chapter that lead to its notebook."""
    name = notebook_of(app, pagename) if pagename in app.env.found_docs else None
    if name is None:
        return
    file = f"{context['pathto'](DOWNLOADS, 1)}/{name}"
    links = [("download", file, "fas fa-download", "Download this chapter as a notebook")]
    home = repository(app.config)
    if home is not None:
        path = f"notebooks/{name}"
        links.append(("colab", home.colab(path), "fas fa-cloud", "Open the notebook on Colab"))
        links.append(("binder", home.binder(path), "fas fa-rocket", "Open the notebook on Binder"))
    context["header_buttons"] += [
        {"type": "link", "url": url, "icon": icon, "tooltip": text, "label": f"notebook-{label}"}
        for label, url, icon, text in links
    ]


def setup(app: Sphinx) -> None:
    # What `%pip install` needs to get lvmlib where it is missing; no cell is made while it is empty.
    app.add_config_value("course_install", "", "env", [str])
    app.connect("config-inited", derive_addresses)
    app.connect("html-page-context", add_buttons, priority=502)  # after the theme has made its own
