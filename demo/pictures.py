"""Take the pictures for README.md and docs/screenshots while the demo plays its story.

`make pictures` runs this program. It starts the demo on its own data and plays the story in a few minutes. It also
writes docs/screenshots/made-from.json, which `scripts/check_pictures.py` reads to find outdated pictures.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from scripts.check_pictures import FOLDER, ROOT, write_record
from tests.servers import chromium, process

STORY_SECONDS = 300
WARM_UP_SECONDS = 45  # After this time, every chart has a few points.
WAIT_MS = 240_000
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
HEALTH = "/admin/system-health/"


def main() -> int:
    browser_path = chromium.find()
    if browser_path is None:
        print(chromium.HOW_TO_GET_ONE)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        demo, said = start_demo(Path(folder))
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=browser_path, args=chromium.arguments()
                )
                take_pictures(browser, said)
                browser.close()
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(timeout=60)
    write_record()
    print(f"pictures are in {FOLDER.relative_to(ROOT)}")
    return 0


def start_demo(folder: Path) -> tuple[subprocess.Popen[bytes], Callable[[str], str]]:
    """Start the demo, and return it with a function that waits for a pattern in its output."""
    log = folder / "log"
    environment = {
        **os.environ,
        "DATA_DIR": str(folder / "data"),
        "PORT": str(process.free_port()),
        "STORY_SECONDS": str(STORY_SECONDS),
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("wb") as output:
        demo = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def said(pattern: str) -> str:
        for _ in range(3000):
            if found := re.search(pattern, log.read_text()):
                return found[1]
            if demo.poll() is not None:
                break
            time.sleep(0.2)
        raise RuntimeError(f"the demo did not print {pattern!r}:\n{log.read_text()[-3000:]}")

    return demo, said


def take_pictures(browser: Browser, said: Callable[[str], str]) -> None:
    base_url = said(r"page +(http://[^/]+)/")
    password = said(r"password (\S+)")
    control = said(r"costs: (http\S+)")
    context = browser.new_context(
        base_url=base_url,
        viewport=DESKTOP,
        locale="en-US",
        color_scheme="light",
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto("/admin/login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/admin/login/" not in url)
    page.goto(HEALTH)
    if page.locator("#widget-health-first-steps").count():
        page.locator("#widget-health-first-steps").get_by_role("button").last.click()
    time.sleep(WARM_UP_SECONDS)

    start = context.new_page()
    start.goto(control)
    start.get_by_role("button", name="Start the story").click()
    time.sleep(5)
    picture(page, HEALTH, "story-1-all-is-well")
    start.get_by_text("Now: A bad release").wait_for()
    wait_for_text(page, HEALTH, "#widget-health-verdict", r"at risk")
    wait_for_text(page, HEALTH, "#widget-health-verdict", r"Deploy of")
    picture(page, HEALTH, "system-health")
    page.emulate_media(color_scheme="dark")
    picture(page, HEALTH, "system-health-dark")
    page.emulate_media(color_scheme="light")
    picture(page, HEALTH, "system-health-phone", size=PHONE)
    picture(page, "/admin/alerts/", "alerts")
    page.locator("[data-row-item] a.title", has_text="Critical errors").first.click()
    page.wait_for_load_state()
    picture(page, page.url, "alert")
    picture(page, "/admin/errors/?sort=risk", "errors")
    page.locator("[data-row-item] a.title").first.click()
    page.wait_for_load_state()
    group = page.url
    picture(page, group, "error")
    picture(page, f"{group}events/latest/", "error-event")
    picture(page, "/status/", "status-page")
    start.get_by_text("The story has ended").wait_for()
    picture(page, HEALTH, "story-3-recovered")
    # Show the payment of a buyer who returned. The error named the order, which was paid after the rollback.
    page.goto(group)
    page.get_by_role("link", name="All affected orders").first.click()
    page.locator('a[href*="state=recovered"]').first.click()
    page.locator('a.btn--small[href*="/admin/payments/"]').first.click()
    page.wait_for_load_state()
    picture(page, page.url, "payment")


def wait_for_text(page: Page, path: str, selector: str, pattern: str) -> None:
    """Load the page repeatedly until the text of the element matches the pattern."""
    for _ in range(WAIT_MS // 2000):
        page.goto(path)
        shown = page.locator(selector)
        if shown.count() and re.search(pattern, shown.first.inner_text()):
            return
        time.sleep(2)
    raise RuntimeError(f"{path} does not show {pattern!r}")


def picture(page: Page, path: str, name: str, *, size: ViewportSize | None = None) -> None:
    page.set_viewport_size(size or DESKTOP)
    page.goto(path)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
    page.set_viewport_size(DESKTOP)
    print(f"picture: {name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
