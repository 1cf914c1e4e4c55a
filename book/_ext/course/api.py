"""The API page, made from ``lvmlib.__all__``: no public name can be missing from it."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)


def public_names(package: str, modules: list[str]) -> dict[str, list[str]]:
    """The names of ``package.__all__``, grouped by the module of the package that defines them.

    Raises:
        LookupError: If a public name is defined in none of the modules.
    """
    root = importlib.import_module(package)
    groups: dict[str, list[str]] = {module: [] for module in modules}
    homes = {}
    for module in modules:
        for name in importlib.import_module(f"{package}.{module}").__all__:
            homes.setdefault(name, module)
    for name in root.__all__:
        if name not in homes:
            raise LookupError(
                f"{package}.{name} is public, but no module of the API page exports it: add its module to the page"
            )
        groups[homes[name]].append(name)
    return groups


class PublicNames(SphinxDirective):
    """``{public-names} lvmlib`` with one line for each module, in the order of the page: ``module: heading``."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict] = {"class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        headings = dict(line.split(": ", 1) for line in self.content if line.strip())
        try:
            groups = public_names(package, list(headings))
        except (AttributeError, ImportError, LookupError) as error:
            raise self.error(str(error)) from error
        sections: list[nodes.Node] = []
        for module, names in groups.items():
            if names:
                sections.append(self.section(package, module, headings[module], names))
        return sections

    def section(self, package: str, module: str, heading: str, names: list[str]) -> nodes.section:
        section = nodes.section(ids=[f"module-{package}-{module}"])
        section += nodes.title(heading, heading)
        self.state.document.note_implicit_target(section, section)
        summary = (inspect.getdoc(importlib.import_module(f"{package}.{module}")) or "").split("\n\n")[0]
        lines = [*summary.splitlines(), "", "````{eval-rst}", f".. currentmodule:: {package}.{module}", ""]
        for name in names:
            lines += self.entry(package, module, name)
        lines.append("````")
        self.state.nested_parse(StringList(lines, source=f"{package}.{module}"), self.content_offset, section)
        return section

    @staticmethod
    def entry(package: str, module: str, name: str) -> list[str]:
        value = getattr(importlib.import_module(f"{package}.{module}"), name)
        if inspect.isclass(value):
            return [f".. autoclass:: {name}", "   :members:", "   :show-inheritance:", ""]
        if callable(value):
            return [f".. autofunction:: {name}", ""]
        return [f".. autodata:: {name}", ""]


def setup(app: Sphinx) -> None:
    app.add_directive("public-names", PublicNames)
