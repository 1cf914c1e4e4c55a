"""What every page needs: unique ids, tables that scroll, the palette of the course."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from lvmlib.plots import PALETTE

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# sphinx-proof and sphinx-exercise give these ids to every box of a page; HTML wants them unique.
REPEATED_IDS = {"proof", "proof-content", "exercise-content", "solution-content"}


def drop_repeated_ids(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in doctree.findall(nodes.Element):
        if REPEATED_IDS.intersection(node.get("ids", ())):
            node["ids"] = [name for name in node["ids"] if name not in REPEATED_IDS]


def make_tables_scroll(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """A table wider than the page scrolls in its own box."""
    for table in list(doctree.findall(nodes.table)):
        parent = table.parent
        if isinstance(parent, nodes.container) and "scrolls" in parent["classes"]:
            continue
        box = nodes.container(classes=["scrolls"])
        parent.replace(table, box)
        box += table


def set_proofs(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """A proof begins with *Proof.*, and its class tells it from the statements, which have "proof" too."""
    for node in doctree.findall(lambda node: node.__class__.__name__ == "proof_node"):
        box = node[0]
        box["classes"].append("proof-text")
        text = box[0][0]
        box[0].replace(text, [nodes.emphasis("", "Proof."), nodes.Text(str(text).removeprefix("Proof."))])


class PaletteList(SphinxDirective):
    """``{palette}`` shows each object of the course beside its colour, from ``lvmlib.plots.PALETTE``."""

    def run(self) -> list[nodes.Node]:
        items = "".join(
            f'<li><span class="swatch" style="background: var(--course-{name})"></span>{_spoken(name)}</li>'
            for name in PALETTE
        )
        return [nodes.raw("", f'<ul class="palette">{items}</ul>', format="html")]


def _spoken(name: str) -> str:
    return name.upper() if name in ("elbo", "kl") else name


def write_palette(app: Sphinx, exception: Exception | None) -> None:
    """The palette as CSS variables: ``--course-prior`` and so on."""
    if exception is None and app.builder.format == "html":
        variables = "".join(f"  --course-{name}: {colour};\n" for name, colour in PALETTE.items())
        Path(app.outdir, "_static", "palette.css").write_text(f":root {{\n{variables}}}\n", encoding="utf-8")


FONT_PRELOAD = re.compile(r'\s*<link rel="preload" as="font"[^>]*>')
# The theme's icons come twice, as a font and as a script of 1.5 MB that replaces the font's by drawings.
ICON_SCRIPT = re.compile(r'\s*<script src="[^"]*/fontawesome/[^"]*"></script>')
# The theme's button that unfolds the pages below another one, in the list at the left, has a sign and no name.
UNFOLDS = re.compile(r"(>([^<]+)</a><details(?: open=\"open\")?>)<summary>")


def mend_the_theme(app: Sphinx, exception: Exception | None) -> None:
    """No font is asked for early, which a browser refuses from a file; icons come once; buttons have names."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            page = path.read_text(encoding="utf-8")
            mended = ICON_SCRIPT.sub("", FONT_PRELOAD.sub("", page))
            mended = UNFOLDS.sub(r'\1<summary aria-label="The pages of \2">', mended)
            if mended != page:
                path.write_text(mended, encoding="utf-8")


def drop_what_no_page_asks_for(app: Sphinx, exception: Exception | None) -> None:
    """Maps for debuggers, icons as a script, and fonts that lie beside the same font in a form that all can read."""
    if exception is None and app.builder.format == "html":
        static = Path(app.outdir, "_static")
        doubled = (path for path in static.rglob("*.ttf") if path.with_suffix(".woff2").exists())
        for path in (*static.rglob("*.map"), *static.rglob("fontawesome/*/js/*.js"), *doubled):
            path.unlink()


FOLDED = re.compile(
    r'(<details class="admonition hide above-input">\s*)<summary aria-label="Toggle hidden content">'
    r'(\s*<p class="collapsed admonition-title">)[^<]*(</p>\s*<p class="expanded admonition-title">)[^<]*(</p>)'
)
FIGURE_NUMBER = re.compile(r'<span class="caption-number">(.*?)\s*</span>')
CELL = re.compile(r'(?=<div class="cell [^"]*docutils container">)')


def name_folded_code(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """A folded cell says whose code it holds, to the eye and to a screen reader."""
    if "body" not in context:
        return
    cells = []
    for cell in CELL.split(context["body"]):
        figure = FIGURE_NUMBER.search(cell)
        whose = f"the code of {figure[1]}" if figure else "the code"
        cells.append(FOLDED.sub(rf"\1<summary>\2Show {whose}\3Hide {whose}\4", cell))
    context["body"] = "".join(cells).replace('<summary aria-label="Toggle hidden content">', "<summary>")


def forget_a_build_with_warnings(app: Sphinx, exception: Exception | None) -> None:
    """Read every page again after a build that warned: Sphinx would not repeat the warnings, and pass."""
    if (app.warningiserror or app.keep_going) and app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> None:
    # Jupyter Book sets these two for extensions that fetch things from the network; they are not loaded.
    for unused in ("comments_config", "thebe_config"):
        if unused not in app.config:
            app.add_config_value(unused, {}, "")
    app.connect("doctree-resolved", set_proofs, priority=960)
    app.add_directive("palette", PaletteList)
    app.add_css_file("palette.css")
    app.connect("html-page-context", name_folded_code)
    app.connect("build-finished", write_palette)
    app.connect("build-finished", mend_the_theme)
    app.connect("build-finished", drop_what_no_page_asks_for)
    app.connect("build-finished", forget_a_build_with_warnings)
    app.connect("doctree-resolved", drop_repeated_ids)
    app.connect("doctree-resolved", make_tables_scroll, priority=950)
