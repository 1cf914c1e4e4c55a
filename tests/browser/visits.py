"""Visits to pages: one page opened from its file, with everything it asked for and complained about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, Route

# In milliseconds: far above what any machine needs, as a page that never gets ready is a fault and a slow one is not.
PATIENCE = 300_000
EXPLORERS_LIVE = """
[...document.querySelectorAll(".explorer")].filter((e) => e.clientWidth).every((e) => "live" in e.dataset)
"""


class Visit:
    """One page opened from its file, with everything it asked for and complained about."""

    def __init__(
        self, browser: Browser, path: Path, *, width: int = 1280, scheme: str = "light", **options: Any
    ) -> None:
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        self.context.set_default_timeout(PATIENCE)  # for navigation too
        self.context.route("**/*", self._route)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self._complain(message.type, message.text))
        self.page.on("pageerror", lambda error: self._complain("error", str(error)))
        self.page.on("requestfailed", lambda request: self._complain("error", f"{request.url} {request.failure}"))
        self.page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            # MathJax is loaded by pages with formulas only; it has set all of them when its promise resolves.
            self.page.evaluate("window.MathJax?.startup?.promise")
            self.page.wait_for_function(EXPLORERS_LIVE)

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
