"""The search page: the texts from which it takes its excerpts, in one script, as a page from a file can read no other.

``book/js/search.js`` hands them to Sphinx's search; ``scorer.js`` here decides the order of what is found.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

TEXTS = "search-texts.js"
ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.DOTALL)
UNREAD = re.compile(r"<(script|style|svg|noscript)\b.*?</\1>|<a class=\"headerlink\".*?</a>|<!--.*?-->", re.DOTALL)
# Sections stay, for their identifiers; other blocks become a blank, and what stands in a line leaves no trace.
SECTION = re.compile(r'<section id="[^"]+">|</section>')
# What else the search may point to: a box, whose text begins there, or a mark.
PLACE = re.compile(r'<(?:div|span)\b[^>]*\bid="([^"]+)"[^>]*>')
LENGTH_OF_PLACE = 300
BLOCK = re.compile(
    r"</?(?:p|div|li|ul|ol|dl|dt|dd|table|tr|td|th|h\d|pre|figure|figcaption|br|aside|details|summary)\b[^>]*>"
)
TAG = re.compile(r"<(?!\x00)[^>]*>")


def searched_text(page: str) -> str:
    """The text of a page's article as HTML that has nothing but its sections and their identifiers."""
    article = ARTICLE.search(page)
    if article is None:
        return ""
    text = UNREAD.sub("", article[1])
    kept: list[str] = []

    def keep(mark: str) -> str:
        kept.append(mark)
        return f" \x00{len(kept) - 1}\x00 "

    text = SECTION.sub(lambda match: keep(match[0]), text)
    text = PLACE.sub(lambda match: keep(match[1]), text)
    text = re.sub(r"\s+", " ", TAG.sub("", BLOCK.sub(" ", text)))

    def put_back(match: re.Match[str]) -> str:
        mark = kept[int(match[1])]
        if mark.startswith("<"):
            return mark
        after = re.sub(r"\s*\x00\d+\x00\s*", " ", text[match.end() : match.end() + LENGTH_OF_PLACE])
        # Not in the midst of a character that is written out, as &lt; is.
        return f'<span id="{mark}">{re.sub(r"&[^;]*$", "", after).strip()}</span>'

    return re.sub(r"\x00(\d+)\x00", put_back, text).strip()


def write_texts(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    texts = {}
    for docname in sorted(app.env.found_docs):
        page = Path(app.outdir, f"{docname}.html")
        if page.exists():
            texts[docname] = searched_text(page.read_text(encoding="utf-8"))
    script = f"window.COURSE_TEXTS = {json.dumps(texts, ensure_ascii=False)};\n"
    Path(app.outdir, "_static", TEXTS).write_text(script, encoding="utf-8")


def load_texts(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    if pagename == "search" and app.builder.format == "html":
        app.add_js_file(TEXTS, loading_method="defer")
        app.add_js_file("search.js", loading_method="defer")


def set_scorer(app: Sphinx, config: Config) -> None:
    config.html_search_scorer = str(Path(__file__).parent / "scorer.js")


def setup(app: Sphinx) -> None:
    app.connect("config-inited", set_scorer)
    app.connect("html-page-context", load_texts)
    app.connect("build-finished", write_texts)
