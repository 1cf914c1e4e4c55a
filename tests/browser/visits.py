"""Visits to pages: one page opened from its file, with everything it asked for and complained about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request

# In milliseconds: far above what any machine needs, as a page that never gets ready is a fault and a slow one is not.
PATIENCE = 300_000
EXPLORERS_LIVE = """
[...document.querySelectorAll(".explorer")].filter((e) => e.clientWidth).every((e) => "live" in e.dataset)
"""
FRAME = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
WITHOUT_NETWORK = ("file:", "data:", "blob:")


class Visit:
    """One page opened from its file, with everything it asked for and complained about.

    There is no network. Motion is off, so that a box is open or shut at once.
    """

    def __init__(
        self, browser: Browser, path: Path, *, width: int = 1280, scheme: str = "light", **options: Any
    ) -> None:
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",
            offline=True,
            **options,
        )
        self.context.set_default_timeout(PATIENCE)  # for navigation too
        self.page: Page = self.context.new_page()
        self.page.on("request", self._note)
        self.page.on("console", lambda message: self._complain(message.type, message.text))
        self.page.on("pageerror", lambda error: self._complain("error", str(error)))
        self.page.on("requestfailed", lambda request: self._complain("error", f"{request.url} {request.failure}"))
        self.page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_function(EXPLORERS_LIVE)

    def turn_to(self, width: int, scheme: str) -> None:
        """Another screen, with everything that the page does about it done."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        self.page.wait_for_function("(width) => window.innerWidth === width", arg=width)
        self.page.evaluate(FRAME)

    def _note(self, request: Request) -> None:
        if not request.url.startswith(WITHOUT_NETWORK):
            self.outside.append(request.url)

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()
