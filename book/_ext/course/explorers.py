"""Explorers in pages: a static picture, which one local Vega bundle brings to life.

A cell that ends with an explorer has a Vega-Lite specification for its output. Here it becomes HTML with the
picture at its first values, which is all that a page without JavaScript shows or prints, and the specification, from
which ``book/js/explorers.js`` makes the live picture. Both scripts are loaded by pages that have an explorer only.
"""

from __future__ import annotations

import html
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vl_convert
from docutils import nodes
from myst_nb.core.render import load_mime_renders
from sphinx.util.docutils import SphinxDirective

from lvmlib import explorers
from lvmlib.explorers import MIME_TYPE, Explorer

if TYPE_CHECKING:
    from myst_nb.core.render import MimeData, NbElementRenderer
    from sphinx.application import Sphinx

NODE_CLASS = "explorer-output"
STATIC_SVG = 'class="lvm-explorer"'
WITHOUT_SCRIPT = "The picture stands at its first values: its sliders need JavaScript."


def markup(explorer: Explorer) -> str:
    """The explorer as HTML that is whole without a script."""
    spec = json.dumps(explorer.spec, ensure_ascii=False, separators=(",", ":"), sort_keys=True).replace("</", "<\\/")
    return (
        f'<div class="explorer" role="group" aria-label="{html.escape("Explorer. " + explorer.description)}">'
        f'<div class="explorer-static">{explorer.svg()}</div>'
        f"<noscript><p>{WITHOUT_SCRIPT}</p></noscript>"
        f'<script type="application/json">{spec}</script></div>'
    )


class ExplorerRenderer:
    """MyST-NB's form of a plugin: the HTML for a MIME type that it does not know."""

    mime_priority_overrides: tuple[tuple[str, str, int | None], ...] = (("html", MIME_TYPE, 1),)

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[nodes.Element] | None:
        if data.mime_type == MIME_TYPE:
            text = markup(Explorer(data.content))
            return [nodes.raw("", text, format="html", classes=["output", "text_html", NODE_CLASS])]
        if data.mime_type == "image/svg+xml" and STATIC_SVG in data.string[:200]:
            return []  # the page has this picture inline, as a file it would be nobody's
        return None


class ExplorerFigure(SphinxDirective):
    """``{explorer} evidence_bar`` on a page without code: an explorer at its first values, above a caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        make = getattr(explorers, self.arguments[0], None)
        if make is None:
            raise self.error(f"lvmlib.explorers has no {self.arguments[0]}: expected one of {explorers.__all__}")
        picture = nodes.raw("", markup(make()), format="html", classes=["output", "text_html", NODE_CLASS])
        caption = nodes.inline(classes=["caption-text"])
        text, _ = self.state.inline_text(" ".join(self.content), self.lineno)
        caption += text
        ends = [
            nodes.raw("", html, format="html")
            for html in ('<figure class="explorer-figure">', "<figcaption>", "</figcaption></figure>")
        ]
        return [ends[0], picture, ends[1], nodes.paragraph("", "", caption), ends[2]]


def load_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if doctree is None or app.builder.format != "html":
        return
    if any(NODE_CLASS in node["classes"] for node in doctree.findall(nodes.raw)):
        app.add_js_file(write_bundle(Path(app.outdir, "_static")), loading_method="defer")
        app.add_js_file("explorers.js", loading_method="defer")


def write_bundle(folder: Path) -> str:
    """Vega, Vega-Lite and Vega-Embed as one file; its name changes with its content, so it is written once."""
    path = folder / f"vega-{version('vl-convert-python')}.js"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a function, as its many short names would meet those of other scripts.
        bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub asks for a snippet, it does not
        path.write_text(f"(() => {{{bundle}}})();\n", encoding="utf-8")
    return path.name


def setup(app: Sphinx) -> None:
    # MyST-NB finds its plugins among installed packages and keeps them in this list; this one lives with the book.
    plugins = load_mime_renders()
    if ExplorerRenderer not in plugins:
        plugins.append(ExplorerRenderer)
    app.add_directive("explorer", ExplorerFigure)
    app.connect("html-page-context", load_scripts)
