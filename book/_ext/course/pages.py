"""Repairs that every page needs: unique ids, labelled figures, tables and equations that scroll."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# sphinx-proof and sphinx-exercise give these ids to every box of a page; HTML wants them unique.
REPEATED_IDS = {"proof", "proof-content", "exercise-content", "solution-content"}


def drop_repeated_ids(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in doctree.findall(nodes.Element):
        if REPEATED_IDS.intersection(node.get("ids", ())):
            node["ids"] = [name for name in node["ids"] if name not in REPEATED_IDS]


def make_tables_scroll(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """A table wider than the page scrolls in its own box, which the keyboard can reach."""
    for table in list(doctree.findall(nodes.table)):
        parent = table.parent
        if isinstance(parent, nodes.container) and "scrolls" in parent["classes"]:
            continue
        box = nodes.container(classes=["scrolls"])
        parent.replace(table, box)
        box += table


def forget_a_build_with_warnings(app: Sphinx, exception: Exception | None) -> None:
    """Read every page again after a build that warned: Sphinx would not repeat the warnings, and pass."""
    if (app.warningiserror or app.keep_going) and app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> None:
    # Jupyter Book sets these two for extensions that fetch things from the network; they are not loaded.
    for unused in ("comments_config", "thebe_config"):
        if unused not in app.config:
            app.add_config_value(unused, {}, "")
    app.connect("build-finished", forget_a_build_with_warnings)
    app.connect("doctree-resolved", drop_repeated_ids)
    app.connect("doctree-resolved", make_tables_scroll, priority=950)
