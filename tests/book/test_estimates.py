"""Numbers from draws stand with their standard error, and the checker that says so follows them through the cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from books import ROOT
from course.estimates import complaints, found_in


def notebook(*cells: tuple[str, str], tags: tuple[str, ...] = (), glued: str = "") -> Any:
    """Code cells with what each printed; the last one has the tags. A cell that glues is the book's alone."""
    made: Any = nbformat.v4.new_notebook()
    for source, printed in cells:
        outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)] if printed else []
        made.cells.append(nbformat.v4.new_code_cell(source, outputs=outputs))
    made.cells[-1].metadata["tags"] = list(tags)
    made.metadata["lvmlib"] = {"glued": [{"source": glued, "outputs": []}] if glued else []}
    return made


def page(folder: Path, text: str = "") -> Path:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


ESTIMATE = ("estimate = importance_sampling(model, q, x, 100)\nvalue = estimate.log_evidence", "")


def test_no_notebook_shows_a_bare_number() -> None:
    assert [line for lines in found_in(ROOT).values() for line in lines] == []


@pytest.mark.parametrize(
    ("source", "printed", "found"),
    [
        ("print(value)", "-1.23\n", 1),
        ("print(value)", "-1.23 ± 0.05\n", 0),
        ("print(value)", "value  standard error\n-1.23  0.05\n", 0),
        ("print(value)", "exact -1.23\n", 0),
        ("print(estimate.num_samples / 3)", "33.3\n", 0),
        ("print(model.log_evidence(x))", "-1.23\n", 0),
        ("for other in [value]:\n    print(other)", "-1.23\n", 1),
        ("rows = []\nfor _ in range(3):\n    rows.append(value)\nprint(rows)", "[-1.23]\n", 1),
        ("def noisy():\n    return torch.randn(3).mean()\nprint(noisy())", "-1.23\n", 1),
        ("print(kl(q, p))", "0.25\n", 0),
        ("print(kl(q, p, num_samples=10).value)", "0.25\n", 1),
        ("ax.plot(value)\nplots.show(ax)", "", 1),
        ("for one in value:\n    ax.plot(one)\nplots.show(ax)", "", 1),
        ("ax.plot(value)\nax.fill_between(value)\nplots.show(ax)", "", 0),
        ("ax.plot(model.log_evidence(x))\nplots.show(ax)", "", 0),
        ("print(value)", "-1.2345 ± 0.05\n", 1),
        ("print(value)", "-1.2345 ± 0.0512\n", 1),
        ("print(value)", "-1.23 ± 0.00\n", 1),
    ],
)
def test_a_random_number_is_followed_to_where_it_is_shown(
    source: str, printed: str, found: int, tmp_path: Path
) -> None:
    assert len(complaints(notebook(ESTIMATE, (source, printed)), page(tmp_path))) == found


def test_a_cell_that_estimates_nothing_says_why(tmp_path: Path) -> None:
    tagged = {"tags": ("no-estimate",)}
    bare = notebook(ESTIMATE, ("print(value)", "-1.23\n"), **tagged)
    reason = notebook(ESTIMATE, ("# no estimate: one draw\nprint(value)", "-1.23\n"), **tagged)
    assert "no reason given" in complaints(bare, page(tmp_path))[0]
    assert complaints(reason, page(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The estimate is {glue:text}`one:.2f`.", 1),
        ("The estimate is {glue:text}`one:.2f` ± {glue:text}`two:.2f`.", 0),
        ("The truth is {glue:text}`exact:.2f`.", 0),
        ("The second is better by 0.5 nats.", 1),
        ("The second is better by 0.5 ± 0.2 nats.", 0),
        ("The second is better by 0.5 nats.{by}`thm-elbo`", 0),
    ],
)
def test_prose_gives_an_error_with_a_glued_number_and_an_interval_with_a_comparison(
    text: str, found: int, tmp_path: Path
) -> None:
    glued = "glue('one', value)\nglue('two', value)\nglue('exact', model.log_evidence(x))"
    assert len(complaints(notebook(ESTIMATE, glued=glued), page(tmp_path, text))) == found
