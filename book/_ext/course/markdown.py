"""Writes a resolved page as plain Markdown and code cells.

The page comes from Sphinx after everything in it has been read, numbered and linked, so a theorem has the
number that the book prints and a citation its entry. What Jupyter has no word for becomes what it has: a
theorem a quotation with a bold title, a folded solution ``<details>``, an equation's label a ``\\tag``.
A node that this module does not know is an error that names the file, the line and the directive.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docutils import nodes
from sphinx.errors import SphinxError

from course.macros import Macro, expand, without_comments

# Around a value that a cell glued into the prose: two machines may differ in its last digit.
GLUED_START, GLUED_END = "\ue000", "\ue001"

DIRECTIVE = re.compile(r"^\s*(?:`{3,}|:{3,})\{(?P<name>[^}]+)\}")
ROLE = re.compile(r"\{(?P<name>[a-zA-Z][\w:.-]*)\}`")


class NotebookError(SphinxError):
    """A page says something that a notebook cannot."""

    category = "Notebook error"


@dataclass(frozen=True)
class Prose:
    """Markdown blocks; ``starts_cell`` where a reader would start a new cell.

    ``collapsed`` is a heading, alone in its cell, whose section is shut until the reader opens it, and stays shut when
    all cells are run.
    """

    text: str
    starts_cell: bool = False
    collapsed: bool = False


@dataclass(frozen=True)
class Code:
    """A code cell of the chapter, by its place among the chapter's cells."""

    index: int
    folded: bool = False


@dataclass(frozen=True)
class Answer:
    """A cell in which to answer an exercise: empty, or ready to fill and with the check below."""

    source: str = ""


Piece = Prose | Code | Answer


@dataclass(frozen=True)
class Numbers:
    """What the book numbers on this page, as Sphinx's environment keeps it."""

    sections: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)

    def section(self, anchor: str) -> str:
        return "".join(f"{part}." for part in self.sections.get(anchor) or ())

    def of(self, kind: str, node: nodes.Element) -> str:
        numbers = self.figures.get(kind, {})
        for name in node["ids"]:
            if name in numbers:
                return ".".join(map(str, numbers[name]))
        return ""


@dataclass
class MarkdownWriter:
    """Turns one resolved page into pieces of a notebook."""

    page_url: str
    macros: Mapping[str, Macro] = field(default_factory=dict)
    numbers: Numbers = field(default_factory=Numbers)
    cited_url: Callable[[str], str | None] = lambda anchor: None
    image_url: Callable[[str], str] = lambda uri: uri
    figure_formats: Mapping[str, str] = field(default_factory=dict)
    level: int = 0

    # Blocks

    def pieces(self, node: nodes.Node) -> Iterator[Piece]:
        """The pieces of a block, by the name of its node."""
        name = node.__class__.__name__
        if isinstance(node, nodes.Admonition) and name in ADMONITIONS:
            yield from self.admonition(node, ADMONITIONS[name])
            return
        if "countertype" in getattr(node, "attributes", {}):
            yield from self.statement(node)
            return
        method = getattr(self, f"block_{name}", None)
        if method is None:
            raise self.unknown(node)
        yield from method(node)

    def children(self, node: nodes.Element, *, skip: tuple[type, ...] = ()) -> Iterator[Piece]:
        for child in node.children:
            if not isinstance(child, skip):
                yield from self.pieces(child)

    def prose(self, node: nodes.Element, *, skip: tuple[type, ...] = ()) -> str:
        """The children as one Markdown text; a code cell cannot be among them."""
        blocks = []
        for piece in self.children(node, skip=skip):
            if not isinstance(piece, Prose):
                raise NotebookError(f"{self.place(node)}: a code cell cannot stand inside {self.name(node)}")
            blocks.append(piece.text)
        return "\n\n".join(block for block in blocks if block)

    def block_document(self, node: nodes.document) -> Iterator[Piece]:
        yield from self.children(node)

    def block_section(self, node: nodes.section) -> Iterator[Piece]:
        if not isinstance(node.children[0], nodes.title):
            yield from self.children(node)  # the body of a statement or an exercise
            return
        self.level += 1
        anchor = "" if self.level == 1 else f"#{node['ids'][0]}"
        number = self.numbers.section(anchor)
        title = self.inline(node.children[0])
        yield Prose(f"{'#' * self.level} {number} {title}".replace("  ", " "), starts_cell=True)
        yield from self.children(node, skip=(nodes.title,))
        self.level -= 1

    def block_paragraph(self, node: nodes.paragraph) -> Iterator[Piece]:
        yield Prose(_guard_line_starts(self.inline(node)))

    block_compact_paragraph = block_paragraph

    def block_math_block(self, node: nodes.math_block) -> Iterator[Piece]:
        latex = self.latex(node.astext())
        if node.get("number") and node.get("label"):
            latex += f"\n\\tag{{{self.numbers.of('displaymath', node) or node['number']}}}"
        if latex.startswith(r"\begin{") and node.get("nowrap"):
            yield Prose(latex)
        else:
            yield Prose(f"$$\n{latex}\n$$")

    def block_bullet_list(self, node: nodes.bullet_list) -> Iterator[Piece]:
        yield Prose("\n".join(self.item(item, "- ") for item in node.children))

    def block_enumerated_list(self, node: nodes.enumerated_list) -> Iterator[Piece]:
        start = node.get("start", 1)
        items = (self.item(item, f"{number}. ") for number, item in enumerate(node.children, start))
        yield Prose("\n".join(items))

    def item(self, node: nodes.Element, marker: str) -> str:
        text = math_on_one_line(self.prose(node))
        return marker + text.replace("\n", "\n" + " " * len(marker))

    def block_definition_list(self, node: nodes.definition_list) -> Iterator[Piece]:
        items = []
        for item in node.children:
            terms = [f"**{self.inline(child)}**" for child in item.children if isinstance(child, nodes.term)]
            text = self.prose(item, skip=(nodes.term, nodes.classifier))
            items.append(f"- {', '.join(terms)}: {math_on_one_line(text)}".replace("\n", "\n  "))
        yield Prose("\n".join(items))

    def block_definition(self, node: nodes.definition) -> Iterator[Piece]:
        yield from self.children(node)

    block_glossary = block_definition
    block_legend = block_definition

    def block_field_list(self, node: nodes.field_list) -> Iterator[Piece]:
        items = (f"**{self.inline(row[0])}**: {self.prose(row[1])}" for row in node.children)
        yield Prose("\n".join(f"- {item}".replace("\n", "\n  ") for item in items))

    def block_block_quote(self, node: nodes.block_quote) -> Iterator[Piece]:
        yield Prose(quotation(self.prose(node)))

    def block_sidebar(self, node: nodes.sidebar) -> Iterator[Piece]:
        """A note in the margin, which a notebook does not have: a quotation between the paragraphs."""
        if "margin" not in node["classes"]:
            raise self.unknown(node)
        yield Prose(quotation(self.prose(node, skip=(nodes.title,))))

    def block_attribution(self, node: nodes.attribution) -> Iterator[Piece]:
        yield Prose(f"— {self.inline(node)}")

    def block_literal_block(self, node: nodes.literal_block) -> Iterator[Piece]:
        text = node.astext().rstrip("\n")
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        language = node.get("language", "")
        yield Prose(f"{fence}{'' if language in ('none', 'default') else language}\n{text}\n{fence}")

    block_doctest_block = block_literal_block

    def block_line_block(self, node: nodes.line_block) -> Iterator[Piece]:
        yield Prose("  \n".join(self.inline(line) for line in node.children))

    def block_rubric(self, node: nodes.rubric) -> Iterator[Piece]:
        yield Prose(f"**{self.inline(node)}**")

    def block_transition(self, node: nodes.transition) -> Iterator[Piece]:
        yield Prose("---")

    def block_invisible(self, node: nodes.Element) -> Iterator[Piece]:
        """A label, a comment, a hint to LaTeX: nothing that a reader sees."""
        yield from ()

    block_target = block_invisible
    block_comment = block_invisible
    block_tabular_col_spec = block_invisible
    block_substitution_definition = block_invisible
    block_meta = block_invisible
    block_index = block_invisible

    def block_raw(self, node: nodes.raw) -> Iterator[Piece]:
        if "html" in node.get("format", "").split():
            yield Prose(node.astext().strip())

    def block_footnote(self, node: nodes.footnote) -> Iterator[Piece]:
        label = node.children[0].astext()
        yield Prose(f"<sup>{label}</sup> {self.prose(node, skip=(nodes.label,))}")

    def block_container(self, node: nodes.container) -> Iterator[Piece]:
        if node.get("nb_element") == "cell_code":
            yield Code(node["cell_index"])
            for figure in node.findall(nodes.figure):
                yield from self.caption(figure)
        elif node.get("design_component") not in (None, "dropdown"):
            raise self.unknown(node)
        else:
            yield from self.children(node)

    def block_image(self, node: nodes.image) -> Iterator[Piece]:
        yield Prose(self.inline_image(node))

    def block_figure(self, node: nodes.figure) -> Iterator[Piece]:
        for child in node.children:
            if isinstance(child, (nodes.image, nodes.reference)):
                yield Prose(self.inline_node(child))
            elif not isinstance(child, nodes.caption):
                yield from self.pieces(child)
        yield from self.caption(node)

    def caption(self, node: nodes.Element) -> Iterator[Piece]:
        for caption in node.children:
            if isinstance(caption, nodes.caption):
                yield Prose(f"{self.label('figure', node)}{self.inline(caption)}")

    def label(self, kind: str, node: nodes.Element) -> str:
        number = self.numbers.of(kind, node)
        return f"**{self.figure_formats.get(kind, '%s') % number}.** " if number else ""

    def block_table(self, node: nodes.table) -> Iterator[Piece]:
        group = next(iter(node.findall(nodes.tgroup)))
        rows = list(group.findall(nodes.row))
        head = [row for row in rows if isinstance(row.parent, nodes.thead)]
        if len(head) > 1:
            raise NotebookError(f"{self.place(node)}: a table with {len(head)} head rows; a notebook has one")
        body = [row for row in rows if row not in head]
        blank = ["" for _ in range(group["cols"])]
        lines = [self.row(head[0]) if head else blank, ["---"] * group["cols"], *map(self.row, body)]
        for line in lines:
            if len(line) != group["cols"]:
                raise NotebookError(f"{self.place(node)}: a table with merged cells; a notebook has none")
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        for title in node.children:
            if isinstance(title, nodes.title):
                text = f"{self.label('table', node)}{self.inline(title)}\n\n{text}"
        yield Prose(text)

    def row(self, node: nodes.row) -> list[str]:
        return [_table_cell(self.prose(entry)) for entry in node.children]

    # The course's own boxes

    def statement(self, node: nodes.Element) -> Iterator[Piece]:
        """A definition, a theorem and their like: a quotation under a bold title."""
        kind = node["realtype"].capitalize()
        number = self.numbers.of(node["countertype"], node)
        title = self.inline(node.children[0]).strip()
        heading = f"**{' '.join(filter(None, (kind, number)))}**{' ' + title if title else ''}."
        yield Prose(quotation(f"{heading}\n\n{self.prose(node, skip=(nodes.title,))}"))

    def block_proof_node(self, node: nodes.Element) -> Iterator[Piece]:
        text = self.prose(node.children[0])
        if not text.startswith("Proof. "):
            raise NotebookError(f"{self.place(node)}: a proof must begin with prose")
        text = "*Proof.* " + text.removeprefix("Proof. ")
        last = text.rsplit("\n", 1)[-1]
        ends_in_prose = last[-1].isalnum() or last[-1] in ".!?)*"
        yield Prose(f"{text} ∎" if ends_in_prose else f"{text}\n\n∎")

    def block_exercise_enumerable_node(self, node: nodes.Element) -> Iterator[Piece]:
        number = self.numbers.of("exercise", node)
        title = self.inline(node.children[0]).strip()
        kinds = [name for name in node["classes"] if name in EXERCISE_KINDS]
        heading = " ".join(filter(None, (f"{'#' * (self.level + 1)} Exercise", number, title)))
        yield Prose(f"{heading} · *{', '.join(kinds)}*" if kinds else heading, starts_cell=True)
        yield from self.children(node, skip=(nodes.title,))
        yield Answer(node.get("answer_cell", ""))

    block_exercise_node = block_exercise_enumerable_node

    def block_answer_box(self, node: nodes.Element) -> Iterator[Piece]:
        yield from self.children(node)

    def block_answer_form(self, node: nodes.Element) -> Iterator[Piece]:
        """The field of the page is the cell of the notebook; the options of a choice are a list."""
        label, *options = node.children
        if node.get("kind") == "number":
            yield Prose(f"**{self.inline(label)}**")
        if options:
            yield Prose("\n".join(f"- **{child['letter']})** {self.inline(child)}" for child in options))

    def block_solution_node(self, node: nodes.Element) -> Iterator[Piece]:
        """A section of its own, shut: Jupyter opens the output of a folded cell when it runs, but not a section."""
        heading = f"{'#' * (self.level + 2)} {self.inline(node.children[0], links=False).strip()}"
        yield Prose(heading, starts_cell=True, collapsed=True)
        for piece in self.children(node, skip=(nodes.title,)):
            yield Code(piece.index, folded=True) if isinstance(piece, Code) else piece
        follower = _follower(node)
        if not isinstance(follower, nodes.section | None) and not is_exercise(follower):
            raise NotebookError(
                f"{self.place(node)}: {self.name(follower)} follows a solution, with which a notebook would hide it: "
                "put an exercise or a heading there"
            )

    def admonition(self, node: nodes.Element, heading: str) -> Iterator[Piece]:
        title = heading
        if node.children and isinstance(node.children[0], nodes.title):
            title = self.inline(node.children[0], links=False)
        text = self.prose(node, skip=(nodes.title,))
        if "dropdown" in node["classes"]:
            yield Prose(_details(title, text))
        else:
            yield Prose(quotation(f"**{title}.**\n\n{text}"))

    def block_dropdown_main(self, node: nodes.Element) -> Iterator[Piece]:
        title, *_ = node.children
        yield Prose(_details(self.inline(title, links=False).strip(), self.prose(node, skip=(type(title),))))

    # Inline

    def inline(self, node: nodes.Element, *, links: bool = True) -> str:
        return "".join(self.inline_node(child, links=links) for child in node.children)

    def inline_node(self, node: nodes.Node, *, links: bool = True) -> str:
        if isinstance(node, nodes.Text):
            return escape(str(node))
        if isinstance(node, nodes.reference) and ("refid" in node or "refuri" in node):
            text = self.inline(node, links=False)
            return self.link(node, text) if links else text
        method = getattr(self, f"inline_{node.__class__.__name__}", None)
        if method is None:
            raise self.unknown(node)
        return method(node)

    def inline_inline(self, node: nodes.inline) -> str:
        text = self.inline(node)
        if any(name.startswith("pasted-") for name in node["classes"]):
            return f"{GLUED_START}{text}{GLUED_END}"
        return text

    inline_term = inline_inline
    inline_container = inline_inline

    def inline_emphasis(self, node: nodes.emphasis) -> str:
        return f"*{self.inline(node)}*"

    inline_title_reference = inline_emphasis
    inline_literal_emphasis = inline_emphasis

    def inline_strong(self, node: nodes.strong) -> str:
        return f"**{self.inline(node)}**"

    inline_literal_strong = inline_strong

    def inline_literal(self, node: nodes.literal) -> str:
        text = node.astext()
        fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
        pad = " " if text.startswith("`") or text.endswith("`") else ""
        literal = f"{fence}{pad}{text}{pad}{fence}"
        glued = any(name.startswith("pasted-") for name in node["classes"])
        return f"{GLUED_START}{literal}{GLUED_END}" if glued else literal

    def inline_math(self, node: nodes.math) -> str:
        return f"${' '.join(self.latex(node.astext()).split())}$"

    def inline_subscript(self, node: nodes.subscript) -> str:
        return f"<sub>{self.inline(node)}</sub>"

    def inline_superscript(self, node: nodes.superscript) -> str:
        return f"<sup>{self.inline(node)}</sup>"

    def inline_abbreviation(self, node: nodes.abbreviation) -> str:
        explanation = node.get("explanation")
        return self.inline(node) + (f" ({escape(explanation)})" if explanation else "")

    def inline_image(self, node: nodes.image) -> str:
        if not node.get("alt"):
            raise NotebookError(f"{self.place(node)}: the image {node['uri']} has no alt text")
        return f"![{escape(node['alt'])}]({self.image_url(node['uri'])})"

    def inline_footnote_reference(self, node: nodes.footnote_reference) -> str:
        return f"<sup>{node.astext()}</sup>"

    def inline_raw(self, node: nodes.raw) -> str:
        return node.astext() if "html" in node.get("format", "").split() else ""

    def inline_target(self, node: nodes.target) -> str:
        return self.inline(node)

    def inline_index(self, node: nodes.Element) -> str:
        return ""

    inline_comment = inline_index
    inline_substitution_definition = inline_index

    def link(self, node: nodes.Element, text: str) -> str:
        if "refid" in node:
            return f"[{text}]({self.page_url}#{node['refid']})"
        uri = node["refuri"]
        if not node.get("internal"):
            return f"[{text}]({uri})"
        path, _, anchor = uri.partition("#")
        cited = self.cited_url(anchor) if posixpath.basename(path).startswith("bibliography") else None
        return f"[{text}]({cited or _join(self.page_url, uri)})"

    # Formulas and errors

    def latex(self, source: str) -> str:
        return expand(without_comments(source), self.macros).strip()

    def unknown(self, node: nodes.Node) -> NotebookError:
        return NotebookError(
            f"{self.place(node)}: the notebooks have no form for {self.name(node)} (a <{node.tagname}> node): "
            "write it otherwise, or teach book/_ext/course/markdown.py"
        )

    def place(self, node: nodes.Node) -> str:
        source, line = _source_and_line(node)
        return f"{source}:{line}" if line else str(source)

    def name(self, node: nodes.Node) -> str:
        """The directive or role that the author wrote, read from the source where the node came from."""
        source, line = _source_and_line(node)
        if source and line and Path(source).exists():
            lines = Path(source).read_text(encoding="utf-8").splitlines()
            if isinstance(node, nodes.Inline) and (roles := ROLE.findall(lines[line - 1])):
                return " or ".join(f"{{{role}}}" for role in dict.fromkeys(roles))
            for text in reversed(lines[:line]):
                if match := DIRECTIVE.match(text):
                    return f"{{{match['name']}}}"
        return f"<{node.tagname}>"


ADMONITIONS = {
    "note": "Note",
    "tip": "Tip",
    "hint": "Hint",
    "warning": "Warning",
    "caution": "Caution",
    "danger": "Danger",
    "error": "Error",
    "important": "Important",
    "attention": "Attention",
    "seealso": "See also",
    "admonition": "Note",
}
EXERCISE_KINDS = ("derive", "code", "number", "choice", "think")


def escape(text: str) -> str:
    """Text that Markdown shows as it stands."""
    text = re.sub(r"([\\`*$])", r"\\\1", text)
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    text = re.sub(r"\[(?=[^\]]*\]\()", r"\\[", text)
    return text.replace("&", "&amp;").replace("<", "&lt;")


def quotation(text: str) -> str:
    """A block quotation. Jupyter reads formulas before quotations, so each formula must be one line."""
    return "\n".join(f"> {line}".rstrip() for line in math_on_one_line(text).splitlines())


def math_on_one_line(text: str) -> str:
    return re.sub(
        r"^(>? *)\$\$\n(.*?)\n\s*\$\$$",
        lambda match: f"{match[1]}$$ {' '.join(match[2].split())} $$",
        text,
        flags=re.DOTALL | re.MULTILINE,
    )


def strip_glue_marks(text: str) -> str:
    return text.replace(GLUED_START, "").replace(GLUED_END, "")


def _table_cell(text: str) -> str:
    if "\n\n" in text or "\n- " in text:
        text = text.replace("\n\n", "<br>")
    text = " ".join(text.split())
    return re.sub(r"\$[^$]+\$", lambda match: _no_bars(match[0]), text).replace(" | ", " \\| ")


def _no_bars(latex: str) -> str:
    return latex.replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def _details(summary: str, body: str) -> str:
    return f"<details>\n<summary><b>{_html_math(summary)}</b></summary>\n\n{body}\n\n</details>"


def _follower(node: nodes.Node) -> nodes.Node | None:
    """What comes after a node on the page, hidden marks aside; nothing at the end of its section."""
    siblings = node.parent.children[node.parent.index(node) + 1 :]
    hidden = (nodes.target, nodes.comment, nodes.Invisible)
    follower = next((sibling for sibling in siblings if not isinstance(sibling, hidden)), None)
    if follower is None and node.parent.__class__.__name__ == "answer_box":
        return _follower(node.parent)
    return follower


def is_exercise(node: nodes.Node) -> bool:
    return node.__class__.__name__.startswith(("exercise", "answer_box"))


def _html_math(text: str) -> str:
    """Markdown emphasis inside an HTML tag is not read: say it in HTML."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"(?<!\\)\*(.+?)(?<!\\)\*", r"<em>\1</em>", text)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


def _guard_line_starts(text: str) -> str:
    """A line of prose that begins like a list, a heading or a quotation is none."""
    text = re.sub(r"^(\d+)([.)]) ", r"\1\\\2 ", text, flags=re.MULTILINE)
    return re.sub(r"^([-+#>]|---+)(?=\s)", r"\\\1", text, flags=re.MULTILINE)


def _join(page_url: str, uri: str) -> str:
    if uri.startswith("#"):
        return page_url + uri
    base, slash, _ = page_url.rpartition("/")
    if "://" in base:
        scheme, _, rest = base.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(rest, uri))}"
    return posixpath.normpath(posixpath.join(base, uri)) if slash else uri


def _source_and_line(node: nodes.Node) -> tuple[str | None, int | None]:
    at: nodes.Node | None = node
    while at is not None:
        if getattr(at, "line", None):
            return at.source or at.get("source") or (at.document or {}).get("source"), at.line
        at = at.parent
    for child in node.findall():
        if getattr(child, "line", None):
            return child.source, child.line
    document = node.document
    return (document["source"] if document is not None else None), None
