"""What browser tests share: a page that reports its own faults, and screenshots in every look."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response, Route, expect

LOOPBACK = {"127.0.0.1", "localhost", "[::1]", "::1"}
LOOKS = {
    "light": ("light", 1280, 900),
    "dark": ("dark", 1280, 900),
    "phone": ("light", 390, 844),
}


class Watch:
    """Collects what a page should never have: console errors, page errors, CSP violations, answers >= 400."""

    def __init__(self, context: BrowserContext) -> None:
        self.faults: list[str] = []
        self._allowed: list[re.Pattern[str]] = []
        context.route("**/*", self._only_loopback)
        context.on("page", self._page)

    def allow(self, pattern: str) -> None:
        """Faults that match the pattern are expected by this test: `watch.allow(r"404 .*/missing/")`."""
        self._allowed.append(re.compile(pattern))

    def verify(self) -> None:
        left = [f for f in self.faults if not any(p.search(f) for p in self._allowed)]
        assert not left, "the browser complained:\n" + "\n".join(left)

    def _page(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium reports every failed load a second time here; the response itself says more.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(f"console error: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not response.url.endswith("/favicon.ico"):
            self.faults.append(f"{response.status} {response.request.method} {response.url}")

    def _only_loopback(self, route: Route) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in ("data", "blob", "about") or parts.hostname in LOOPBACK:
            route.continue_()
        else:
            self.faults.append(f"outside request: {route.request.url}")
            route.abort()


def settled(page: Page) -> None:
    """Wait until the page, its fonts and htmx's first loads are there."""
    page.wait_for_load_state("load")
    page.evaluate("document.fonts.ready.then(() => true)")
    # Not wait_for_function: it evaluates text in the page, which the pages' policy forbids.
    expect(page.locator(".htmx-request, .htmx-swapping")).to_have_count(0)


@contextmanager
def look(page: Page, name: str) -> Iterator[None]:
    """The page in one of LOOKS: light, dark, or phone."""
    scheme, width, height = LOOKS[name]
    before = page.viewport_size
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": height})
    try:
        yield
    finally:
        page.emulate_media(color_scheme="light")
        if before:
            page.set_viewport_size(before)


def screenshots(page: Page, name: str, *, full_page: bool = True) -> list[Path]:
    """`name-light.png`, `-dark`, `-phone` in the folder $SCREENSHOTS names; nothing when it is not set."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return []
    made = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for each in LOOKS:
        with look(page, each):
            settled(page)
            path = Path(folder) / f"{name}-{each}.png"
            page.screenshot(path=path, full_page=full_page, animations="disabled")
            made.append(path)
    return made


def scrolls_sideways(page: Page) -> bool:
    """True when the page is wider than its window, which no page should be at any width."""
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


def squeezed(page: Page) -> list[str]:
    """Texts in a column so narrow that they break within their words: a table on a phone likes to do that."""
    return list(
        page.evaluate(
            """
            [...document.querySelectorAll("main :is(th, td, dd, p, li, h1, h2, h3)")]
                .filter(e => e.checkVisibility() && !e.querySelector("th, td, dd, p, li, table, svg, canvas"))
                .filter(e => e.innerText.trim().length > 12 && e.clientWidth < 80 && e.clientHeight > 120)
                .map(e => e.innerText.trim().slice(0, 80))
            """
        )
    )
