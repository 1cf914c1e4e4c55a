"""The built book in a browser, opened from a file with no network: what a reader sees and can do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import pages
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright

WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        message = "no chromium on PATH: install it (Debian: apt-get install chromium) to test the pages in a browser"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=switches)
        yield browser
        browser.close()


class Visit:
    """One page opened from its file, with everything it asked for and complained about."""

    def __init__(self, browser: Browser, path: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.context.route("**/*", self._route)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self._complain(message.type, message.text))
        self.page.on("pageerror", lambda error: self._complain("error", str(error)))
        self.page.on("requestfailed", lambda request: self._complain("error", f"{request.url} {request.failure}"))
        self.page.goto(path.as_uri())
        # MathJax is loaded by pages with formulas only; it has set all of them when its promise resolves.
        self.page.evaluate("window.MathJax?.startup?.promise")

    def _route(self, route: Route, request: Request) -> None:
        if request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(request.url)
            route.abort()

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()


def test_every_page_shows_its_mathematics_with_no_network_and_no_complaint(browser: Browser, build: Path) -> None:
    for path in pages(build):
        with Visit(browser, path) as visit:
            assert visit.outside == [], path.name
            assert visit.complaints == [], path.name
            formulas = visit.page.locator(".math").count()
            assert visit.page.locator(".math mjx-container").count() >= formulas, path.name
            assert visit.page.locator("mjx-merror, [data-mjx-error]").count() == 0, path.name


def test_a_request_to_a_network_would_be_noticed(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text('<script src="https://example.org/x.js"></script>')
    with Visit(browser, path) as visit:
        assert visit.outside == ["https://example.org/x.js"]
        assert visit.complaints != []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen(browser: Browser, build: Path, width: int, scheme: str) -> None:
    for path in pages(build):
        with Visit(browser, path, width=width, scheme=scheme) as visit:
            assert visit.page.evaluate("document.documentElement.dataset.theme") == scheme
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, path.name
            sticking_out = visit.page.evaluate(
                """width => [...document.querySelectorAll('article.bd-article *')].filter(element => {
                    const box = element.getBoundingClientRect();
                    if (box.width === 0 || box.right <= width + 1) return false;
                    for (let up = element; up; up = up.parentElement) {
                        const style = getComputedStyle(up);
                        if (style.overflowX !== 'visible' || style.clipPath !== 'none') return false;
                    }
                    return true;
                }).map(element => element.outerHTML.slice(0, 80))""",
                width,
            )
            assert sticking_out == [], path.name


CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] / 255 + below[i] * (1 - top[3] / 255));
    const ground = element => {
        const layers = [];
        for (let up = element; up; up = up.parentElement) layers.push(rgba(getComputedStyle(up).backgroundColor));
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
    };
    const luminance = rgb => {
        const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faint = [];
    const selector = 'article .admonition-title, article p, article figcaption, article td, article th, article h1';
    for (const element of document.querySelectorAll(selector)) {
        if (!element.getClientRects().length) continue;
        const below = ground(element);
        const [a, b] = [luminance(over(rgba(getComputedStyle(element).color), below)), luminance(below)];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push([contrast.toFixed(2), element.outerHTML.slice(0, 80)]);
    }
    return faint;
}"""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out_from_its_ground(browser: Browser, build: Path, scheme: str) -> None:
    for path in pages(build):
        with Visit(browser, path, scheme=scheme) as visit:
            assert visit.page.evaluate(CONTRAST) == [], path.name


def test_a_picture_takes_the_colour_of_the_text(browser: Browser, build: Path) -> None:
    for path in pages(build):
        for scheme in SCHEMES:
            with Visit(browser, path, scheme=scheme) as visit:
                seen = visit.page.evaluate(
                    """() => [...document.querySelectorAll('.cell_output .text_html svg')].map(svg => [
                        getComputedStyle(svg).color, getComputedStyle(svg.closest('.text_html')).backgroundColor])"""
                )
                text = visit.page.evaluate("getComputedStyle(document.querySelector('article p')).color")
                assert all(colours == [text, "rgba(0, 0, 0, 0)"] for colours in seen), path.name


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
