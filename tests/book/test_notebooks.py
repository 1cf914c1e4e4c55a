"""Every form that a chapter may use has a form in its notebook, and one that has none is an error."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from books import ROOT, SmallBook, build_this_book
from course.markdown import MarkdownWriter, NotebookError, Prose, strip_glue_marks
from course.notebooks import differences, publish
from docutils import nodes
from make_notebooks import stale
from nbformat import NotebookNode
from sphinx import addnodes

CHAPTER = r"""# A title with $\E[x]$

Text with *emphasis*, **weight**, `code`, a literal * star and a_name.
1\. is no list.

(sec-statements)=
## Statements

:::{prf:theorem} A *title*
:label: thm-one

Let $\E_{q(z)}[w] = p(x)$. Then

$$
\KL(q \Vert p) &\ge 0 % for all q
\\ &= 0
$$ (eq-one)

holds.
:::

:::{prf:proof}
By Jensen, see {eq}`eq-one`.
:::

:::{prf:proof}
Or so:

$$
1 + 1 = 2.
$$
:::

::::{prf:definition}
:label: def-one
A *set*:

- with $a$
- and

  $$
  b
  $$
::::

:::{prf:algorithm} Steps
:label: alg-one
1. One.
2. Two.
:::

See {prf:ref}`thm-one`, {ref}`sec-statements`, {ref}`text <sec-statements>`, {numref}`tab-one`,
{numref}`fig-cell`, {ref}`ex-one`, {doc}`02_second`, {cite:t}`tipping1999probabilistic`,
{cite:p}`kingma2014auto`, [a link](https://example.org) and {term}`latent`.
A note[^why].

[^why]: The reason, $\E$.

% a comment

```{math}
:label: eq-two
a = b
```

\begin{align}
c &= d
\end{align}

:::{note}
Mind this.
:::

:::{admonition} Titled
:class: tip
Mind that.
:::

:::{tip}
:class: dropdown
Folded.
:::

```{list-table} A table, $\E$
:name: tab-one
:header-rows: 1

* - Symbol
  - Meaning
* - $p(x | z)$
  - a | b
```

```{figure} picture.svg
:alt: A dot
:name: fig-file

A picture, $\E$.
```

```python
not_executed = True
```

Term
: its definition

```{glossary}
latent
  not observed
```

> A quotation.

```{code-cell} ipython3
:tags: [remove-cell]
hidden = 1
```

```{code-cell} ipython3
:tags: [remove-cell, book-only]
from myst_nb import glue
```

```{code-cell} ipython3
:tags: [hide-input]
:mystnb:
:  figure:
:    caption: A square, $\E$.
:    name: fig-cell
from IPython.display import HTML
HTML('<svg role="img" aria-label="A square"></svg>')
```

```{code-cell} ipython3
:tags: [remove-cell, book-only]
_ = glue("two", 2.0, display=False)
```

Two is {glue:text}`two:.1f`, and {glue:}`two` again.

:::{exercise-start} Try it
:label: ex-one
:class: code
:::
Do *this*.

:::{hint}
:class: dropdown
Like that, $\E$.
:::
:::{exercise-end}
:::

:::{solution-start} ex-one
:label: sol-one
:class: dropdown
:::
First,

```{code-cell} ipython3
:tags: [nbval-check-output]
import time

for piece in ("solved  ", "at", "\n", "\n", "last\n"):
    print(piece, end="", flush=True)
    time.sleep(0.3)
```

and then.
:::{solution-end}
:::

## After all

The end.
"""

SECOND = """# The second

:::{prf:lemma}
:label: lem-one
One.
:::

Back to {prf:ref}`thm-one`.
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> SmallBook:
    root = tmp_path_factory.mktemp("forms") / "book"
    book = SmallBook.make(root, {"01_first": CHAPTER, "02_second": SECOND})
    (root / "book" / "picture.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    book.build()
    return book


@pytest.fixture(scope="module")
def notebook(book: SmallBook) -> NotebookNode:
    return nbformat.reads(publish(book.notebook("01_first").read_text()), as_version=4)


@pytest.fixture(scope="module")
def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


PAGE = "../_build/html/book/01_first.html"


@pytest.mark.parametrize(
    "text",
    [
        r"# 1. A title with $\mathbb{E}[x]$",
        "Text with *emphasis*, **weight**, `code`, a literal \\* star and a_name.",
        "1\\. is no list.",
        "## 1.1. Statements",
        "> **Theorem 1.1** (A *title*).\n>\n> Let $\\mathbb{E}_{q(z)}[w] = p(x)$. Then",
        "> $$ \\operatorname{KL}(q \\Vert p) &\\ge 0 \\\\ &= 0 \\tag{1.1} $$\n>\n> holds.",
        f"*Proof.* By Jensen, see [(1.1)]({PAGE}#equation-eq-one). ∎",
        "*Proof.* Or so:\n\n$$\n1 + 1 = 2.\n$$\n\n∎",
        "> **Definition 1.1**.\n>\n> A *set*:\n>\n> - with $a$\n> - and\n>\n>   $$ b $$",
        "> **Algorithm 1.1** (Steps).\n>\n> 1. One.\n> 2. Two.",
        f"[Theorem 1.1]({PAGE}#thm-one), [Statements]({PAGE}#sec-statements), [text]({PAGE}#sec-statements)",
        f"[Table 1.1]({PAGE}#tab-one)",
        f"[Figure 1.2]({PAGE}#fig-cell), [Exercise 1.1]({PAGE}#ex-one)",
        "[The second](../_build/html/book/02_second.html)",
        "Tipping and Bishop ([1999](https://doi.org/10.1111/1467-9868.00196))",
        "([Kingma and Welling, 2014](https://arxiv.org/abs/1312.6114))",
        "[a link](https://example.org)",
        f"[latent]({PAGE}#term-latent)",
        "A note<sup>1</sup>.",
        "<sup>1</sup> The reason, $\\mathbb{E}$.",
        "$$\na = b\n\\tag{1.2}\n$$",
        "\\begin{align}\nc &= d\n\\end{align}",
        "> **Note.**\n>\n> Mind this.",
        "> **Titled.**\n>\n> Mind that.",
        "<details>\n<summary><b>Tip</b></summary>\n\nFolded.\n\n</details>",
        "**Table 1.1.** A table, $\\mathbb{E}$\n\n| Symbol | Meaning |\n| --- | --- |\n| $p(x \\vert  z)$ | a \\| b |",
        "![A dot](../book/picture.svg)\n\n**Figure 1.1.** A picture, $\\mathbb{E}$.",
        "```python\nnot_executed = True\n```",
        "- **Term**: its definition",
        "- **latent**: not observed",
        "> A quotation.",
        "**Figure 1.2.** A square, $\\mathbb{E}$.",
        "Two is 2.0, and 2.0 again.",
        "### Exercise 1.1 (Try it) · *code*\n\nDo *this*.\n\n"
        "<details>\n<summary><b>Hint</b></summary>\n\nLike that, $\\mathbb{E}$.\n\n</details>",
        "#### Solution to Exercise 1.1 (Try it)\n\nFirst,",
    ],
)
def test_a_form_of_the_chapter_has_its_form_in_the_notebook(prose: str, text: str) -> None:
    assert text in prose


def test_nothing_of_the_chapters_markup_is_left(prose: str) -> None:
    assert not re.search(r"\{[a-z:]+\}`|:::|```\{|a comment|\\E\b|\\KL\b", prose)


def test_code_cells_keep_their_order_and_say_how_they_fold(notebook: NotebookNode) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source.partition("\n")[0] for cell in code] == [
        "hidden = 1",
        "from IPython.display import HTML",
        "",
        "import time",
    ]
    folded = {"source_hidden": True, "outputs_hidden": True}
    assert [cell.metadata.get("jupyter") for cell in code] == [
        folded,
        {"source_hidden": True},
        None,
        folded,
    ]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert [output.text for output in code[3].outputs] == ["solved  at\n\nlast\n"], "as it was printed, in pieces"
    assert code[3].metadata.tags == ["nbval-check-output"]


def test_an_exercise_has_a_cell_to_answer_in_and_a_solution_that_stays_shut(notebook: NotebookNode) -> None:
    first = next(i for i, cell in enumerate(notebook.cells) if cell.source.startswith("### Exercise"))
    answer, heading, *solution = notebook.cells[first + 1 : first + 6]
    assert (answer.cell_type, answer.source, answer.outputs) == ("code", "", [])
    assert heading.source == "#### Solution to Exercise 1.1 (Try it)"
    assert heading.metadata["jp-MarkdownHeadingCollapsed"]
    assert [cell.cell_type for cell in solution] == ["markdown", "code", "markdown"]
    assert notebook.cells[first + 6].source.startswith("## 1.2. After all"), "a heading that ends the shut section"


@pytest.mark.thorough
def test_a_solution_that_would_hide_what_follows_it_fails_the_build(tmp_path: Path) -> None:
    book = SmallBook.make(tmp_path / "book", {"01_first": CHAPTER.replace("## After all\n", ""), "02_second": SECOND})
    (book.root / "book" / "picture.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    done = book.run()
    assert done.status != 0
    assert re.search(r"01_first\.md:\d+: .* follows a solution", done.said), done.said


def test_the_first_cell_leads_to_the_page(notebook: NotebookNode) -> None:
    assert f"[Read the chapter]({PAGE})" in notebook.cells[0].source
    assert (ROOT / "notebooks" / PAGE).parent.parts[-3:] == ("_build", "html", "book")


@pytest.mark.thorough
def test_two_builds_write_the_same_bytes(book: SmallBook, tmp_path: Path) -> None:
    again = SmallBook.make(tmp_path / "book", {"01_first": CHAPTER, "02_second": SECOND})
    (again.root / "book" / "picture.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    again.build()
    for name in ("01_first", "02_second"):
        assert again.notebook(name).read_bytes() == book.notebook(name).read_bytes()


def test_an_installation_cell_appears_where_there_is_a_place_to_install_from(tmp_path: Path) -> None:
    book = SmallBook.make(
        tmp_path / "book",
        {"01_first": "# One\n"},
        course_install="lvmlib @ https://example.org/lvmlib.zip",
        html_baseurl="https://example.org/book",
    )
    book.build()
    first, install = nbformat.read(book.notebook("01_first"), as_version=4).cells
    assert "[Read the chapter](https://example.org/book/book/01_first.html)" in first.source
    assert install.source.endswith("%pip install --quiet lvmlib @ https://example.org/lvmlib.zip")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```{grid}\nText.\n```", r"01_first\.md:1[5-9]: .*\{grid\}"),
        ("```{code-cell} ipython3\nobject()\n```", r"01_first\.md: .*memory address"),
    ],
)
def test_what_has_no_form_fails_the_build_and_names_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    book = SmallBook.make(tmp_path / "book", {"01_first": f"# One\n\nText.\n\n{text}\n"})
    done = book.run()
    assert done.status != 0
    assert re.search(complaint, done.said), done.said


def chapter(tmp_path: Path, text: str) -> str:
    path = tmp_path / "chapter.md"
    path.write_text(text, encoding="utf-8")
    return str(path)


def placed(node: nodes.Element, source: str, line: int) -> nodes.Element:
    node.source, node.line = source, line
    return node


def test_a_note_in_the_margin_is_a_quotation(tmp_path: Path) -> None:
    note = nodes.sidebar("", nodes.title("", ""), nodes.paragraph("", "Beside the text."), classes=["margin"])
    source = chapter(tmp_path, "# One\n\n:::{margin}\nBeside the text.\n:::\n")
    (piece,) = MarkdownWriter("page.html").pieces(placed(note, source, 3))
    assert isinstance(piece, Prose)
    assert piece.text == "> Beside the text."


def test_a_block_without_a_form_is_an_error_that_names_file_line_and_directive(tmp_path: Path) -> None:
    source = chapter(tmp_path, "# One\n\n:::{sidebar} Two\nText.\n:::\n")
    with pytest.raises(NotebookError, match=r"chapter\.md:3: .*\{sidebar\}"):
        list(MarkdownWriter("page.html").pieces(placed(nodes.sidebar(), source, 3)))


def test_a_role_without_a_form_is_an_error_that_names_file_line_and_role(tmp_path: Path) -> None:
    source = chapter(tmp_path, "# One\n\nSee {download}`file.txt`.\n")
    paragraph = placed(nodes.paragraph("", "", addnodes.download_reference()), source, 3)
    with pytest.raises(NotebookError, match=r"chapter\.md:3: .*\{download\}"):
        list(MarkdownWriter("page.html").pieces(paragraph))


def test_an_image_without_alt_text_is_an_error(tmp_path: Path) -> None:
    image = placed(nodes.image(uri="picture.svg"), chapter(tmp_path, "![](picture.svg)\n"), 1)
    with pytest.raises(NotebookError, match=r"chapter\.md:1: the image picture\.svg has no alt text"):
        list(MarkdownWriter("page.html").pieces(image))


def test_a_code_cell_inside_a_box_that_does_not_run_it_is_an_error(tmp_path: Path) -> None:
    source = chapter(tmp_path, ":::{note}\nText.\n:::\n")
    cell = nodes.container(nb_element="cell_code", cell_index=1)
    with pytest.raises(NotebookError, match=r"chapter\.md:1: a code cell cannot stand inside \{note\}"):
        list(MarkdownWriter("page.html").pieces(placed(nodes.note("", cell), source, 1)))


@pytest.fixture(scope="module")
def fresh() -> Path:
    return build_this_book() / "notebooks"


def test_the_committed_notebooks_are_what_the_chapters_make_now(fresh: Path) -> None:
    assert stale(fresh, ROOT / "notebooks") == [], "run `make notebooks` and commit what it writes"


def test_a_stale_notebook_is_found(book: SmallBook) -> None:
    built = book.notebook("01_first").read_text(encoding="utf-8")
    assert differences(built, publish(built)) == []
    for old, new in [
        ("Mind this.", "Mind that."),
        ("hidden = 1", "hidden = 2"),
        ("A note<sup>", "An note<sup>"),
        ("solved  at", "solved  by"),
        ('"nbval-check-output"', '"other"'),
    ]:
        assert old in built
        assert differences(built, publish(built).replace(old, new)) != [], old


def test_only_the_last_digits_of_a_glued_number_may_differ(book: SmallBook) -> None:
    built = book.notebook("01_first").read_text(encoding="utf-8")
    assert "Two is 2.0," in strip_glue_marks(built)
    assert differences(built, publish(built).replace("Two is 2.0,", "Two is 2.1,")) == []
    assert differences(built, publish(built).replace("Two is 2.0,", "Two is 2.3,")) != []


def test_code_that_made_the_same_makes_no_notebook_stale(book: SmallBook) -> None:
    built = book.notebook("01_first").read_text(encoding="utf-8")
    assert '"code_hash": "' in built
    assert differences(built, publish(built).replace('"code_hash": "', '"code_hash": "0')) == []


def committed() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", committed(), ids=lambda path: path.stem)
def test_every_printed_number_is_compared_when_the_notebook_is_replayed(path: Path) -> None:
    """Text that a cell prints is compared by nbval, or the chapter tags the cell ``volatile`` and says why."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or not any(map(_prints, cell.outputs)):
            continue
        tags = cell.metadata.get("tags", [])
        assert "nbval-check-output" in tags or "volatile" in tags, f"untagged output of: {cell.source}"
        if "volatile" in tags:
            assert "nbval-check-output" not in tags
            assert re.search(r"# volatile: \w+", cell.source), f"no reason given in: {cell.source}"


def _prints(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return True
    pictures = {"text/html", "image/svg+xml", "image/png"}
    return "text/plain" in output.get("data", {}) and not pictures.intersection(output.data)


@pytest.mark.parametrize("path", committed(), ids=lambda path: path.stem)
def test_a_notebook_runs_without_the_books_tools(path: Path) -> None:
    assert not any("myst_nb" in cell.source for cell in nbformat.read(path, as_version=4).cells)
