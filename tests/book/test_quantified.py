"""Sentences with a quantifier name what vouches for them, and the checker that says so reads pages rightly."""

from __future__ import annotations

from pathlib import Path

import pytest
from books import ROOT
from course.quantified import check, sentences, unknown, unvouched, vouching_names

PAGE = """---
title: Every page
---

# Never a sentence

A poor q loosens the bound; it cannot break it. It holds for every q.{by}`thm-elbo` A third, e.g. this
one, spans two lines and is *always true.* Here `only` is code and $\\text{never}$ a formula.

% always a comment

- every item is a sentence
- only the second names {prf:ref}`thm-elbo`

| whatever | row |
|---|---|

$$
x = \\text{always}
$$

:::{prf:theorem} Always
:label: thm-elbo

This holds for every model.
:::

:::{prf:proof}
It must.
:::

:::{hint}
:class: dropdown
Try every value.
:::

```{code-cell} ipython3
:mystnb:
:  figure:
:    caption: No other picture shows it.

print("every cell")
```

Read every word.{by}`no claim, an instruction`
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "book" / "page.md"
    path.parent.mkdir()
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_every_sentence_with_a_quantifier_names_what_vouches_for_it() -> None:
    assert "\n".join(check(ROOT)) == ""


def test_the_checker_finds_the_sentences_that_name_nothing_and_no_others(page: Path) -> None:
    assert [(one.place, one.text.split()[0]) for one in unvouched(page)] == [
        ("page.md:7", "A"),
        ("page.md:7", "A"),
        ("page.md:12", "-"),
        ("page.md:15", "|"),
        ("page.md:34", "Try"),
        ("page.md:40", "No"),
    ]


def test_a_sentence_ends_where_a_reader_ends_it(page: Path) -> None:
    texts = [one.text for one in sentences(page)]
    assert texts[0] == "A poor q loosens the bound; it cannot break it."
    assert texts[1] == "It holds for every q.{by}`thm-elbo`"
    assert texts[2] == "A third, e.g. this one, spans two lines and is *always true.*"


def test_a_name_that_is_no_claim_and_no_test_is_found(page: Path, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_one.py").write_text("def test_it(): ...\n", encoding="utf-8")
    page.write_text(PAGE + "\nEvery one.{by}`test_it, thm-elbo`\nEvery two.{by}`test_that`\n", encoding="utf-8")
    (line,) = unknown(page, vouching_names(tmp_path))
    assert "{by}`test_that` is neither" in line
