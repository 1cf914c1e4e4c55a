"""The API page, made from ``lvmlib.__all__``: no public name can be missing from it."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


# Packages inside the package, whose names the page shows under their own.
SUBPACKAGES = ("derivation",)


def public_names(package: str, modules: list[str]) -> dict[str, list[str]]:
    """The names of ``package.__all__``, grouped by the module of the package that defines them.

    A module that is itself a public name, like ``lvmlib.plots``, brings every name of its own ``__all__``. So does
    a subpackage, like ``lvmlib.exact``, after those of its names that the package exports.

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
        if name in groups and inspect.ismodule(getattr(root, name)):
            groups[name] = list(getattr(root, name).__all__)
            continue
        if name not in homes:
            if (getattr(getattr(root, name), "__module__", None) or package).partition(".")[0] != package:
                continue  # documented with the package that it comes from
            raise LookupError(
                f"{package}.{name} is public, but no module of the API page exports it: add its module to the page"
            )
        groups[homes[name]].append(name)
    for module, names in groups.items():
        home = importlib.import_module(f"{package}.{module}")
        if hasattr(home, "__path__"):
            names += [f"{module}.{name}" for name in home.__all__ if name not in names]
    return groups


class PublicNames(SphinxDirective):
    """``{public-names} lvmlib`` with one line for each module, in the order of the page: ``module: heading``."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        headings = dict(line.split(": ", 1) for line in self.content if line.strip())
        try:
            groups = public_names(package, list(headings))
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
    """A private base class is the library's own affair: show what it is itself based on."""
    while any(base.__name__.startswith("_") for base in bases):
        bases[:] = [above for base in bases for above in (base.__bases__ if base.__name__.startswith("_") else (base,))]


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
    for home in ("lvmlib", *(f"lvmlib.{name}" for name in SUBPACKAGES)):
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
    app.connect("autodoc-process-signature", leave_out_shapes)
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("missing-reference", resolve_public_name)
