r"""Sets the formulas when the book is built, as MathML, which browsers draw by themselves.

A page then shows its mathematics at once, with no script and no network, and a screen reader, the search of the browser
and the printer find formulas rather than their source. Temml translates; it is JavaScript, and runs here in V8. A
formula that it cannot read is a warning, and so fails the build.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from py_mini_racer import JSEvalException, MiniRacer
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

TEMML = Path(__file__).parent / "temml" / "temml.min.js"
# Notation with a spacing of its own: the bars of a divergence stand between its arguments.
SPACED = {r"\Vert": r"\mathrel{\|}"}
# Longer formulas in a sentence may break after a relation or an operator, as the page of a telephone needs.
LONGEST_UNBROKEN = 24
# A formula in HTML that a cell made, as `check_derivation` does.
IN_OUTPUT = re.compile(r'(<span class="math[^"]*">)\\\((.*?)\\\)(</span>)', re.DOTALL)
# Temml would break a line between a function and its argument.
BREAK_AFTER_FUNCTION = re.compile(r'(<mo>\u2061</mo>(?:<mspace width="[^"]*"></mspace>)?)</mrow><mrow>')
# A browser would stretch the bars of a divergence to the height of its arguments.
BAR = re.compile(r'(<mo lspace="[^"]*" rspace="[^"]*")>(?=‖</mo>)')

logger = logging.getLogger(__name__)


class MathematicsError(ValueError):
    """A formula cannot be set; says why."""


class Typesetter:
    """LaTeX to MathML.

    Args:
        macros: What each macro of the book stands for, without backslash: ``{"E": r"\\mathbb{E}"}``.
    """

    def __init__(self, macros: Mapping[str, str]) -> None:
        self._engine = MiniRacer()
        self._engine.eval(TEMML.read_text(encoding="utf-8"))
        known = json.dumps(SPACED | {f"\\{name}": body for name, body in macros.items()})
        # A formula may define commands of its own, so each gets a copy.
        self._engine.eval(
            "const set = (source, displayMode, wrap) => temml.renderToString("
            f"source, {{displayMode, wrap, throwOnError: true, macros: {{...{known}}}}})"
        )
        self._set = cache(self._set_new)

    def inline(self, source: str) -> str:
        """A formula in a sentence.

        Raises:
            MathematicsError: If the source cannot be read.
        """
        return self._set(source, False)

    def display(self, source: str) -> str:
        r"""A formula on lines of its own: rows end in ``\\``, and an empty line begins another row.

        Raises:
            MathematicsError: If the source cannot be read.
        """
        rows = [part.strip() for part in re.split(r"\n\s*\n", source) if part.strip()]
        if len(rows) > 1 or r"\\" in source:
            source = r"\begin{aligned}" + r"\\".join(rows) + r"\end{aligned}"
        return self._set(source, True)

    def _set_new(self, source: str, display: bool) -> str:
        try:
            made = self._engine.call("set", source, display, "none")
            if not display and len(re.sub(r"<[^>]*>", "", made)) > LONGEST_UNBROKEN:
                made = self._engine.call("set", source, display, "tex")
        except JSEvalException as error:
            reason = re.search(r"ParseError:\s*(.*?)(?: at position|\n|$)", str(error))
            raise MathematicsError(f"cannot set {source!r}: {reason[1] if reason else error}") from error
        return BAR.sub(r'\1 stretchy="false">', BREAK_AFTER_FUNCTION.sub(r"\1", str(made)))


@cache
def _typesetter(macros: str) -> Typesetter:
    return Typesetter(json.loads(macros))


def typesetter(config: Any) -> Typesetter:
    """The typesetter with the macros of ``_config.yml``."""
    return _typesetter(json.dumps((config.mathjax3_config or {}).get("tex", {}).get("macros", {})))


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(_set_or_warn(self, node, node.astext(), display=False) + "</span>")
    raise nodes.SkipNode


def visit_displaymath(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    self.body.append(_set_or_warn(self, node, node.astext(), display=True))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _set_or_warn(translator: HTML5Translator, node: nodes.Node, source: str, *, display: bool) -> str:
    setter = typesetter(translator.builder.config)
    try:
        return setter.display(source) if display else setter.inline(source)
    except MathematicsError as error:
        logger.warning("%s", error, location=node)
        return f"<code>{html.escape(source)}</code>"


def set_outputs(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """The formulas in what cells made as HTML."""

    def formula(match: re.Match[str]) -> str:
        try:
            return match[1] + typesetter(app.config).inline(html.unescape(match[2])) + match[3]
        except MathematicsError as error:
            logger.warning("%s", error, location=pagename)
            return match[0]

    if "body" in context:
        context["body"] = IN_OUTPUT.sub(formula, context["body"])


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.connect("html-page-context", set_outputs)
