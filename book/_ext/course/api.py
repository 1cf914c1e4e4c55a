"""The API, a page for each group of modules, made from ``lvmlib.__all__``: no public name can be missing from it.

A page names its modules in ``{public-names}``. ``{public-index}`` lists what the pages have, and stops the build if a
public name is on none of them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


# The packages of this project, whose public names have an entry on the page.
PACKAGES = ("lvmlib", "proofreader")


def public_names(package: str, modules: list[str], *, complete: bool = True) -> dict[str, list[str]]:
    """The names of ``package.__all__``, grouped by the module of the package that defines them.

    A module that is itself a public name, like ``lvmlib.plots``, brings every name of its own ``__all__``. So does
    a subpackage, like ``lvmlib.training``, after those of its names that the package exports.

    Raises:
        LookupError: If ``complete`` and a public name is defined in none of the modules.
    """
    root = importlib.import_module(package)
    groups: dict[str, list[str]] = {module: [] for module in modules}
    homes: dict[str, str] = {}
    for module in modules:
        for name in importlib.import_module(f"{package}.{module}").__all__:
            homes.setdefault(name, module)
    for name in root.__all__:
        value = getattr(root, name)
        if inspect.ismodule(value):
            if name in groups:
                groups[name] = list(value.__all__)
            elif complete:
                raise LookupError(_without_page(package, name))
        elif name in homes:
            groups[homes[name]].append(name)
        elif complete and (getattr(value, "__module__", None) or package).partition(".")[0] == package:
            # What another package defines is documented with the package that it comes from.
            raise LookupError(_without_page(package, name))
    for module, names in groups.items():
        home = importlib.import_module(f"{package}.{module}")
        if hasattr(home, "__path__"):
            names += [f"{module}.{name}" for name in home.__all__ if name not in names]
    return groups


def _without_page(package: str, name: str) -> str:
    return f"{package}.{name} is public, but no page of the API has its module: add it to a page in book/api/"


class PublicNames(SphinxDirective):
    """``{public-names} lvmlib`` with one line for each module, in the order of the page: ``module: heading``."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        headings = dict(line.split(": ", 1) for line in self.content if line.strip())
        try:
            groups = public_names(package, list(headings), complete=False)
        except (AttributeError, ImportError, LookupError) as error:
            raise self.error(str(error)) from error
        return [self.section(package, module, headings[module], names) for module, names in groups.items() if names]

    def section(self, package: str, module: str, heading: str, names: list[str]) -> nodes.section:
        section = nodes.section(ids=[f"{package}-{module}"])
        section += nodes.title(heading, heading)
        self.state.document.note_implicit_target(section, section)
        public = importlib.import_module(package).__all__
        lines = ["````{eval-rst}", _first_paragraph(f"{package}.{module}"), ""]
        homes = [package if name in public else f"{package}.{module}" for name in names]
        for place, (home, name) in enumerate(zip(homes, names, strict=True)):
            if place == 0 or home != homes[place - 1]:
                lines += [f".. currentmodule:: {home}", ""]
            name = name.rpartition(".")[2]
            lines += _entry(getattr(importlib.import_module(home), name), name)
        lines.append("````")
        self.state.nested_parse(StringList(lines, source=f"{package}.{module}"), self.content_offset, section)
        return section


# The directive on a page, for the index: the package, and a line for each module.
NAMES_ON_PAGE = re.compile(r"^`{3,}\{public-names\} (\w+)\n((?:\w+: .*\n)+)`{3,}$", re.MULTILINE)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


class PublicIndex(SphinxDirective):
    """``{public-index}`` with one page a line: every public name on those pages, with what it does, in a sentence."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        pages = [line.strip() for line in self.content if line.strip()]
        modules: dict[str, list[str]] = {}
        lines = ["````{eval-rst}"]
        for page in pages:
            path, docname = self.env.relfn2path(f"{page}.md")
            self.env.note_dependency(docname)
            text = Path(docname).read_text(encoding="utf-8")
            title = TITLE.search(text)
            assert title is not None, f"{path} has no title"
            lines += ["", f".. rubric:: :doc:`{title[1]} <{page}>`", "", ".. list-table::", "   :widths: 35 65", ""]
            for package, listed in NAMES_ON_PAGE.findall(text):
                here = [line.split(": ")[0] for line in listed.splitlines()]
                modules.setdefault(package, []).extend(here)
                for module, names in public_names(package, here, complete=False).items():
                    lines += [line for name in names for line in _row(package, module, name)]
        lines.append("````")
        try:
            for package, everything in modules.items():
                public_names(package, everything)
        except (AttributeError, ImportError, LookupError) as error:
            raise self.error(str(error)) from error
        box = nodes.container(classes=["api-index"])
        self.state.nested_parse(StringList(lines, source="public-index"), self.content_offset, box)
        return [box]


def _row(package: str, module: str, name: str) -> list[str]:
    home = package if name in importlib.import_module(package).__all__ else f"{package}.{module}"
    name = name.rpartition(".")[2]
    value = getattr(importlib.import_module(home), name)
    described = inspect.isclass(value) or callable(value)
    summary = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ") if described else ""
    return [f"   * - :py:obj:`{name} <{home}.{name}>`", f"     - {summary}"]


def _first_paragraph(module: str) -> str:
    doc = inspect.getdoc(importlib.import_module(module))
    if not doc:
        raise LookupError(f"{module} has no docstring to introduce its names with")
    return " ".join(doc.split("\n\n")[0].split())


def _entry(value: object, name: str) -> list[str]:
    if inspect.isclass(value):
        return [f".. autoclass:: {name}", "   :members:", "   :show-inheritance:", ""]
    if callable(value):
        return [f".. autofunction:: {name}", ""]
    return [f".. autodata:: {name}", "   :no-value:", ""]


# Shapes as jaxtyping writes them are for the type checker; the text says them to the reader.
SHAPED = re.compile(r"\b(?:Float|Int|Integer|Bool|Shaped|Real|Num)\[(\w+), [^\]]*\]")


def leave_out_shapes(
    app: Sphinx, what: str, name: str, value: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    return signature and SHAPED.sub(r"\1", signature), returned and SHAPED.sub(r"\1", returned)


def show_public_bases(app: Sphinx, name: str, value: object, options: object, bases: list[type]) -> None:
    """A base class without an entry on the page is the library's own affair: show what it is itself based on."""
    while any(map(_is_without_entry, bases)):
        bases[:] = [above for base in bases for above in (base.__bases__ if _is_without_entry(base) else (base,))]


def _is_without_entry(base: type) -> bool:
    package = base.__module__.partition(".")[0]
    return package in PACKAGES and base.__name__ not in importlib.import_module(package).__all__


def keep_colons(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from reading ``type: text`` into the first sentence of a property."""
    if what in ("attribute", "data", "property") and lines and lines[0]:
        lines.insert(0, "")


def resolve_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Node | None:
    """``lvmlib.model.LatentVariableModel`` is documented as ``lvmlib.LatentVariableModel``: link there."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if not re.fullmatch(r"[\w.]+", target):  # a shape, a literal: nothing to link
        return content
    domain = env.get_domain("py")
    parts = target.split(".")
    for home in PACKAGES:
        for start in range(len(parts)):
            found = domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", ".".join((home, *parts[start:])), node, content
            )
            if found is not None:
                return found
    return None


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.napoleon")
    app.add_directive("public-names", PublicNames)
    app.add_directive("public-index", PublicIndex)
    app.connect("autodoc-process-signature", leave_out_shapes)
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("missing-reference", resolve_public_name)
