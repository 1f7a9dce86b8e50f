"""Detect errors on pages, and take screenshots of pages in every look."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, expect

LOOPBACK = {"127.0.0.1", "localhost", "[::1]", "::1"}
LOOKS = {
    "light": ("light", 1280, 900),
    "dark": ("dark", 1280, 900),
    "phone": ("light", 390, 844),
}


class Watch:
    """A collector of console errors, page errors, CSP violations, and responses with status 400 or higher."""

    def __init__(self, context: BrowserContext) -> None:
        self.faults: list[str] = []
        self._allowed: list[re.Pattern[str]] = []
        # Do not use context.route(), which disables the browser's cache and makes every page load all scripts again.
        context.on("request", self._request)
        context.on("page", self._page)

    def allow(self, pattern: str) -> None:
        """Ignore faults that match the pattern, for example `watch.allow(r"404 .*/missing/")`."""
        self._allowed.append(re.compile(pattern))

    def verify(self) -> None:
        left = [f for f in self.faults if not any(p.search(f) for p in self._allowed)]
        # Use a single line, because pytest's summary of failures shows only the first line.
        assert not left, "the browser complained: " + " | ".join(left)

    def _page(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium also logs every failed request, which _response reports with more details.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(f"console error: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not response.url.endswith("/favicon.ico"):
            self.faults.append(f"{response.status} {response.request.method} {response.url}")

    def _request(self, request: Request) -> None:
        """Record a fault if the page requests a host outside loopback, which `chromium.arguments` blocks."""
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname not in LOOPBACK:
            self.faults.append(f"outside request: {request.url}")


def settled(page: Page) -> None:
    """Wait until the page, its fonts and the first htmx responses are loaded."""
    page.wait_for_load_state("load")
    page.evaluate("document.fonts.ready.then(() => true)")
    # Do not use wait_for_function(), which evaluates code in the page in violation of the content security policy.
    expect(page.locator(".htmx-request, .htmx-swapping")).to_have_count(0)


@contextmanager
def look(page: Page, name: str) -> Iterator[None]:
    """Show the page in the look `name` of LOOKS until the end of the `with` block."""
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
    """If $SCREENSHOTS is set, save a screenshot of each look there, such as `name-light.png`. Return the paths."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return []
    paths = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for each in LOOKS:
        with look(page, each):
            settled(page)
            path = Path(folder) / f"{name}-{each}.png"
            page.screenshot(path=path, full_page=full_page, animations="disabled")
            paths.append(path)
    return paths


def scrolls_sideways(page: Page) -> bool:
    """Return True if the page is wider than its window."""
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


def squeezed(page: Page) -> list[str]:
    """Return the texts in columns that are too narrow for whole words, as in tables on phones."""
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


def clipped(page: Page) -> list[str]:
    """Return the buttons, headings and figures whose text is cut off because it does not fit."""
    return list(
        page.evaluate(
            """
            [...document.querySelectorAll("main :is(h1, h2, h3, button, .btn, .stat__value, .pill, .badge, label, dt)")]
                .filter(e => e.checkVisibility() && e.clientWidth > 1 && !e.matches(".visually-hidden"))
                .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible")
                .map(e => `${e.tagName} ${e.innerText.trim().slice(0, 60)}`)
            """
        )
    )


def invisible(page: Page) -> list[str]:
    """Return the links and buttons whose text has the color of their background, which axe does not report."""
    return list(
        page.evaluate(
            """
            [...document.querySelectorAll("main :is(a, button, input[type=submit])")]
                .filter(e => e.checkVisibility() && (e.innerText || e.value || "").trim())
                .filter(e => getComputedStyle(e).color === getComputedStyle(e).backgroundColor)
                .map(e => `${e.tagName} ${(e.innerText || e.value).trim().slice(0, 60)}`)
            """
        )
    )
