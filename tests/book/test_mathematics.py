"""Formulas become MathML when the book is built, and one that cannot be read is a fault with its reason."""

from __future__ import annotations

import re

import pytest
from course.mathematics import LONGEST_UNBROKEN, MathematicsError, Typesetter
from course.searching import searched_text


@pytest.fixture(scope="module")
def typesetter() -> Typesetter:
    return Typesetter({"E": r"\mathbb{E}", "KL": r"\operatorname{KL}"})


def read(mathml: str) -> str:
    """What a reader sees, without blanks and invisible signs."""
    return re.sub(r"<[^>]*>|[\s\u2061\u200b]", "", mathml)


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("x", "x"),
        (r"\E_q[x]", "𝔼q[x]"),
        (r"\KL(q \Vert p) \ge 0", "KL(q‖p)≥0"),
        (r"\frac{a}{b}", "ab"),
        (r"a < b", "a&lt;b"),
    ],
)
def test_a_formula_says_what_its_source_says(typesetter: Typesetter, source: str, seen: str) -> None:
    for mathml in (typesetter.inline(source), typesetter.display(source)):
        assert mathml.startswith("<math")
        assert read(mathml) == seen


def test_the_bars_of_a_divergence_have_room_and_keep_their_height(typesetter: Typesetter) -> None:
    bar = re.search(r"<mo[^>]*>‖</mo>", typesetter.display(r"\KL(q \Vert p)"))
    assert bar is not None
    assert 'stretchy="false"' in bar[0]
    assert 'lspace="0.2778em"' in bar[0]


def test_rows_and_empty_lines_of_a_display_stand_below_each_other(typesetter: Typesetter) -> None:
    for source in (r"a &= b \\ &= c", "a &= b\n\n&= c"):
        assert typesetter.display(source).count("<mtr>") == 2
    columns = r"a &= b && \text{one} \\ &= c && \text{two}"
    assert typesetter.display(columns).count("<mtd") == 8


def test_only_a_long_formula_in_a_sentence_may_break(typesetter: Typesetter) -> None:
    short, long = "a = b", " + ".join("abcdefghijklmnopqrst")
    assert len(read(typesetter.inline(long))) > LONGEST_UNBROKEN
    assert re.fullmatch(r"<math><mrow>.*</mrow></math>", typesetter.inline(short)) is not None
    assert len(re.findall("</mrow><mrow>", typesetter.inline(long))) > 5
    assert "</mrow><mrow>" not in typesetter.display(long)


def test_a_definition_in_one_formula_is_unknown_to_the_next(typesetter: Typesetter) -> None:
    assert read(typesetter.inline(r"\def\E{\mathrm{F}}\E")) == "F"
    assert read(typesetter.inline(r"\E")) == "𝔼"


@pytest.mark.parametrize("source", [r"\nothing", r"\frac{a}", "{", r"\begin{aligned} a"])
def test_what_cannot_be_read_is_an_error_that_says_why(typesetter: Typesetter, source: str) -> None:
    with pytest.raises(MathematicsError, match=re.escape(f"cannot set {source!r}: ")):
        typesetter.inline(source)


def test_the_text_for_the_search_has_sections_words_and_nothing_else() -> None:
    page = (
        '<nav>No.</nav><article class="bd-article"><section id="one">'
        '<h1>One<a class="headerlink" href="#one">#</a></h1>'
        "<p>Two <b>th</b>ree &lt; <math><mi>x</mi></math>.</p><script>no()</script><svg><text>no</text></svg>"
        '<div class="box" id="thm-one"><p>Box.</p></div><pre>a\nb</pre></section></article><footer>No.</footer>'
    )
    assert searched_text(page) == (
        '<section id="one"> One Two three &lt; x. <span id="thm-one">Box. a b</span> Box. a b </section>'
    )
