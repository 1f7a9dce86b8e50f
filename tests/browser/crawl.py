"""Visit one page of each kind that a signed-in user can reach through links."""

import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Page

from tests.browser.support import settled

STARTS = ["/admin/", "/admin/system-health/?all=1", "/admin/errors/", "/admin/alerts/", "/status/"]
# The crawler does not follow links that sign the user out, download a file, or redirect.
_EXCLUDED = re.compile(
    r"/(?:logout|jsi18n|json|export|static|api)/|\.(?:csv|json|svg|txt|xml)$|/csv/(?:\?|$)"
)


def crawl(page: Page, base_url: str, *, without: str = "$^", most: int = 200) -> Iterator[str]:
    """Visit one page of each kind, at most `most` pages, and yield each path once its page has loaded.

    Paths that match the pattern `without` are skipped. Paths of one kind differ only in their ids.
    """
    page.set_default_navigation_timeout(60_000)
    waiting = list(STARTS)
    seen: set[str] = set()
    kinds: Counter[str] = Counter()
    while waiting and len(seen) < most:
        path = waiting.pop(0)
        kind = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "N", path.split("?")[0])
        kind += "?" if "?" in path else ""
        if path in seen or kinds[kind] or re.search(without, path):
            continue
        seen.add(path)
        kinds[kind] += 1
        response = page.goto(base_url + path)
        if response is None or response.status == 404:
            continue
        settled(page)
        yield path
        for href in page.eval_on_selector_all(
            "a[href]", "links => links.map(link => link.getAttribute('href'))"
        ):
            target = urlsplit(urljoin(base_url + path, href))
            link = target.path + (f"?{target.query}" if target.query else "")
            if f"{target.scheme}://{target.netloc}" == base_url and not _EXCLUDED.search(link):
                waiting.append(link)
