"""The built book in a browser, opened from a file with no network: what a reader sees and can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from books import pages
from playwright.sync_api import Browser
from visits import Visit

WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
FRAME = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"


@dataclass(frozen=True)
class Sight:
    """What one page is like on one screen."""

    page: str
    width: int
    scheme: str
    outside: list[str]
    complaints: list[str]
    facts: dict[str, Any]


@pytest.fixture(scope="session")
def sights(browser: Browser, build: Path) -> list[Sight]:
    """Every page on every screen; opened once for each width, as setting the formulas takes the time."""
    script = (Path(__file__).parent / "facts.js").read_text(encoding="utf-8")
    seen = []
    for path in pages(build):
        for width in WIDTHS:
            with Visit(browser, path, width=width, scheme=SCHEMES[0]) as visit:
                for scheme in SCHEMES:
                    visit.page.emulate_media(color_scheme=scheme)
                    visit.page.evaluate(FRAME)
                    facts = visit.page.evaluate(script, width)
                    seen.append(Sight(path.name, width, scheme, visit.outside, visit.complaints, facts))
    return seen


def test_no_page_asks_the_network_for_anything(sights: list[Sight]) -> None:
    assert [(sight.page, sight.outside) for sight in sights if sight.outside] == []


def test_no_page_complains(sights: list[Sight]) -> None:
    assert [(sight.page, sight.complaints) for sight in sights if sight.complaints] == []


def test_every_formula_is_set_and_none_has_an_error(sights: list[Sight]) -> None:
    assert any(sight.facts["formulas"] for sight in sights)
    for sight in sights:
        assert sight.facts["unset"] == [], sight.page
        assert sight.facts["badly_set"] == [], sight.page


def test_no_page_is_wider_than_the_screen(sights: list[Sight]) -> None:
    for sight in sights:
        assert sight.facts["page_width"] <= sight.width, sight.page
        assert sight.facts["sticking_out"] == [], (sight.page, sight.width)


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


BAD_PAGE = """<html data-theme="light"><article class="bd-article">
<script src="https://example.org/x.js"></script>
<p style="color: #ccc">Faint.</p>
<div style="width: 3000px">Wide.</div>
<span class="math">\\(x\\)</span>
<mjx-merror>Bad.</mjx-merror>
</article></html>"""


def test_each_of_these_faults_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(BAD_PAGE, encoding="utf-8")
    with Visit(browser, path) as visit:
        facts = visit.page.evaluate((Path(__file__).parent / "facts.js").read_text(encoding="utf-8"), 1280)
        assert visit.outside == ["https://example.org/x.js"]
        assert visit.complaints != []
    assert facts["page_width"] > 1280
    for fault in ("unset", "badly_set", "sticking_out", "faint"):
        assert len(facts[fault]) == 1, fault


def test_hints_and_solutions_open_and_close_from_the_keyboard(browser: Browser, build: Path) -> None:
    opened = 0
    for path in pages(build):
        with Visit(browser, path) as visit:
            for box in visit.page.locator("article .admonition.dropdown").all():
                body = box.locator("> :not(.admonition-title)").first
                if not box.is_visible():
                    continue
                assert not body.is_visible(), path.name
                button = box.locator("> .admonition-title button")
                button.focus()
                visit.page.keyboard.press("Enter")
                assert body.is_visible(), path.name
                visit.page.keyboard.press("Enter")
                assert not body.is_visible(), path.name
                opened += 1
    assert opened > 0


def test_the_first_page_leads_to_the_book(browser: Browser, build: Path) -> None:
    page = browser.new_page()
    page.goto((build / "html" / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    assert page.locator("article h1").count() == 1
    page.close()
