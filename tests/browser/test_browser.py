"""The built book in a browser, opened from a file with no network: what a reader sees and can do."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from books import pages
from playwright.sync_api import Browser
from visits import Visit

HERE = Path(__file__).parent
FACTS = (HERE / "facts.js").read_text(encoding="utf-8")
PRUNE = (HERE / "prune.js").read_text(encoding="utf-8")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RUN_AXE = (HERE / "axe.js").read_text(encoding="utf-8")
ALL_SCREENS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
# A reader's run looks at a few pages, on two screens, which have both widths and both schemes, and axe at the one with
# more faults.
TWO_SCREENS = [(1280, "light"), (390, "dark")]


@dataclass(frozen=True)
class Sight:
    """What one page is like on one screen."""

    page: str
    width: int
    scheme: str
    outside: list[str]
    complaints: list[str]
    facts: dict[str, Any]
    axe: list[list[str]]


def look(browser: Browser, path: Path, *, thorough: bool) -> list[Sight]:
    """A page on every screen, opened once: all facts first, and then what axe finds in what matters to it."""
    screens, axe_screens = (ALL_SCREENS, ALL_SCREENS) if thorough else (TWO_SCREENS, TWO_SCREENS[1:])
    with Visit(browser, path) as visit:
        page = visit.page
        facts, found = {}, {}
        for width, scheme in screens:
            visit.turn_to(width, scheme)
            facts[width, scheme] = page.evaluate(FACTS, width)
        page.evaluate(PRUNE)
        page.evaluate(AXE)
        for width, scheme in axe_screens:
            visit.turn_to(width, scheme)
            found[width, scheme] = page.evaluate(RUN_AXE)
        return [
            Sight(path.stem, *screen, visit.outside, visit.complaints, facts[screen], found.get(screen, []))
            for screen in screens
        ]


@pytest.fixture(scope="session")
def sights(browser: Browser, build: Path, thorough: bool) -> list[Sight]:
    """The pages on the screens."""
    paths = [*pages(build), build / "html" / "search.html", build / "html" / "genindex.html"]
    chosen = paths if thorough else paths[::12]
    return [sight for path in chosen for sight in look(browser, path, thorough=thorough)]


def test_no_page_asks_the_network_for_anything(sights: list[Sight]) -> None:
    assert [(sight.page, sight.outside) for sight in sights if sight.outside] == []


def test_no_page_complains(sights: list[Sight]) -> None:
    assert [(sight.page, sight.complaints) for sight in sights if sight.complaints] == []


def test_axe_finds_nothing_serious_or_critical(sights: list[Sight]) -> None:
    assert [(sight.page, sight.width, sight.scheme, *finding) for sight in sights for finding in sight.axe] == []


def test_every_formula_is_set_and_none_is_a_stop_of_the_tab_key(sights: list[Sight]) -> None:
    assert sum(sight.facts["formulas"] for sight in sights) > 1000
    for sight in sights:
        assert sight.facts["unset"] == [], sight.page
        assert sight.facts["stops_in_formulas"] == [], sight.page


def test_text_and_formulas_are_in_the_faces_of_the_book(sights: list[Sight]) -> None:
    for sight in sights:
        assert all("STIX Two" in face for face in sight.facts["faces"]), (sight.page, sight.facts["faces"])
        assert "STIX Two Text" in sight.facts["loaded"], sight.page
        if sight.facts["formulas"]:
            assert "STIX Two Math" in sight.facts["loaded"], sight.page


def test_no_page_is_wider_than_the_screen(sights: list[Sight]) -> None:
    for sight in sights:
        assert sight.facts["page_width"] <= sight.width, sight.page
        assert sight.facts["sticking_out"] == [], (sight.page, sight.width)


def test_nothing_is_cut_without_a_hint_and_all_that_scrolls_can_be_scrolled_by_keyboard(sights: list[Sight]) -> None:
    assert [(sight.page, sight.width, *sight.facts["cut"]) for sight in sights if sight.facts["cut"]] == []


def test_a_page_follows_the_readers_light_or_dark_mode(sights: list[Sight]) -> None:
    assert all(sight.facts["theme"] == sight.scheme for sight in sights)


def test_text_stands_out_from_its_ground(sights: list[Sight]) -> None:
    """A contrast of 4.5 to 1 (WCAG 2.2, 1.4.3) in every title, paragraph, caption and table."""
    for sight in sights:
        assert sight.facts["faint"] == [], (sight.page, sight.scheme)


def test_a_picture_takes_the_colour_of_the_text_and_has_no_ground(sights: list[Sight]) -> None:
    for sight in sights:
        for colour, ground in sight.facts["pictures"]:
            assert colour == sight.facts["ink"], (sight.page, sight.scheme)
            assert ground == "rgba(0, 0, 0, 0)", (sight.page, sight.scheme)


def test_hints_and_solutions_open_and_close_and_say_what_they_are(sights: list[Sight]) -> None:
    folded = [(sight.page, box) for sight in sights for box in sight.facts["folded"]]
    assert len(folded) > 100
    assert [(page, box["box"]) for page, box in folded if not box["usable"]] == []
    assert [(sight.page, *sight.facts["unnamed_folds"]) for sight in sights if sight.facts["unnamed_folds"]] == []


BAD_PAGE = """<html data-theme="light"><article class="bd-article">
<script src="https://example.org/x.js"></script>
<p style="color: #ccc">Faint.</p>
<div style="width: 3000px">Wide.</div>
<div class="math" style="width: 30px; overflow: hidden"><math><mi>abcdefghijklmnop</mi></math></div>
<span class="math">\\(x\\)</span><math><mi tabindex="0">x</mi></math>
<div class="admonition dropdown"><p class="admonition-title">Hint</p><p>Open.</p></div>
<details><summary></summary>What?</details><img src="data:,">
</article></html>"""


def test_each_of_these_faults_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(BAD_PAGE, encoding="utf-8")
    light, *others = look(browser, path, thorough=True)
    assert light.outside == ["https://example.org/x.js"]
    assert light.complaints != []
    assert light.facts["page_width"] > 1280
    for fault in ("unset", "sticking_out", "faint", "cut", "stops_in_formulas", "unnamed_folds"):
        assert len(light.facts[fault]) == 1, fault
    assert [box["usable"] for box in light.facts["folded"]] == [False]
    assert {"image-alt", "color-contrast"} <= {rule for sight in (light, *others) for rule, *_ in sight.axe}


def test_the_enter_key_opens_a_hint_and_the_tab_key_reaches_what_scrolls(browser: Browser, build: Path) -> None:
    with Visit(browser, build / "html" / "book" / "06_elbo.html", width=390) as visit:
        hint = visit.page.locator("article .hint.dropdown").first
        hint.locator("button").focus()
        visit.page.keyboard.press("Enter")
        assert hint.locator("> p:not(.admonition-title)").first.is_visible()
        scrolling = visit.page.locator("article div.math[tabindex='0']").first
        scrolling.focus()
        visit.page.keyboard.press("ArrowRight")
        visit.page.wait_for_function("document.activeElement.scrollLeft > 0")


def test_formulas_need_no_script(browser: Browser, build: Path) -> None:
    with Visit(browser, build / "html" / "book" / "10_amortised_inference.html", java_script_enabled=False) as visit:
        formulas = visit.page.locator("article math")
        assert formulas.count() > 300
        assert formulas.first.bounding_box()["width"] > 5


def test_a_search_from_a_file_lists_titles_first_with_excerpts_and_the_library_last(
    browser: Browser, build: Path
) -> None:
    with Visit(browser, build / "html" / "search.html") as visit:
        visit.page.goto((build / "html" / "search.html").as_uri() + "?q=importance+sampling")
        results = visit.page.locator("#search-results ul.search > li")
        visit.page.wait_for_function("/finished/.test(document.querySelector('#search-results p')?.textContent)")
        visit.page.wait_for_function("document.querySelectorAll('#search-results p.context').length >= 3")
        links = visit.page.evaluate(
            "[...document.querySelectorAll('#search-results ul.search > li > a')].map((a) => [a.textContent, a.href])"
        )
        assert results.count() == len(links) > 5
        assert "Importance sampling" in links[0][0]
        library = ["/api" in href for _, href in links]
        assert any(library)
        assert library == sorted(library)
        excerpt = visit.page.locator("#search-results p.context").first.inner_text()
        assert len(excerpt) > 100
        assert "\\" not in excerpt
        assert visit.complaints == []


def test_on_paper_hints_and_solutions_are_open_code_wraps_and_numbers_stay(browser: Browser, build: Path) -> None:
    with Visit(browser, build / "html" / "book" / "05_jensen.html", width=700) as visit:
        visit.page.emulate_media(media="print")
        shown = visit.page.evaluate("""() => {
          const all = (selector) => [...document.querySelectorAll(selector)];
          const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
          return {
            folded: all("article .admonition.dropdown > *").map(seen),
            cut: all("article .cell_input pre").filter((pre) => pre.scrollWidth > pre.clientWidth + 1).length,
            numbers: all("article .eqno, article h1, article .caption-number").map(seen),
            controls: all("article .copybtn, article .explorer-controls").filter(seen).length,
          };
        }""")
        assert len(shown["folded"]) > 20
        assert all(shown["folded"])
        assert shown["cut"] == 0
        assert len(shown["numbers"]) > 5
        assert all(shown["numbers"])
        assert shown["controls"] == 0


def test_the_first_page_leads_to_the_book_and_shows_all_in_one_screen(browser: Browser, build: Path) -> None:
    with Visit(browser, build / "html" / "index.html") as visit:
        visit.page.wait_for_url("**/book/index.html")
        visit.page.wait_for_function("document.querySelector('.explorer')?.dataset.live === ''")
        assert visit.page.locator("article h1").count() == 1
        low = visit.page.evaluate("""() => ["h1", ".hero .explorer-chart", ".hero .explorer-values", ".hero-words"]
          .map((part) => document.querySelector(`article ${part}`).getBoundingClientRect().bottom)""")
        assert max(low) <= 900
        slider = visit.page.locator(".hero input[type=range]").first
        bound = visit.page.locator(".hero output[data-value=elbo_text]")
        total = visit.page.locator(".hero output[data-value=total_text]")
        before, whole = bound.inner_text(), total.inner_text()
        slider.press("ArrowRight")
        visit.page.wait_for_function(
            "(before) => document.querySelector('.hero output[data-value=elbo_text]').textContent !== before",
            arg=before,
        )
        assert total.inner_text() == whole
