"""Print the text of a portal's staff pages as one line of JSON: `python -m tests.move.pages <session> <timestamp>`.

The program follows links at a fixed time, and leaves out parts that always differ between two databases.
"""

import json
import os
import re
import sys
from datetime import datetime
from html import unescape
from urllib.parse import urldefrag, urljoin, urlsplit

import django
import time_machine

START = ["/admin/system-health/", "/admin/", "/status/"]
MAX_PAGES = 60
# Limit for pages whose URLs differ only in numbers.
MAX_PAGES_OF_A_KIND = 3
# Pages about the process or its database server, pages with a random secret, and pages that change data.
LEFT_OUT = re.compile(
    r"/two-factor/|"
    r"/logout/|/jsi18n/|/export|/undo|\.csv|\.json|/history/|/login|/search|/static/|add/|delete|tab=platform"
)
VOLATILE = re.compile(
    r'<script.*?</script>|<svg.*?</svg>|<input type="hidden" name="csrfmiddlewaretoken"[^>]*>|'
    r'data-(?:token|nonce)="[^"]*"',
    re.DOTALL,
)  # fmt: skip


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", VOLATILE.sub("", html))).split())


def crawl(session: str) -> dict[str, str]:
    from django.conf import settings
    from django.test import Client

    from health.views import system_health

    # Render all widgets: on a busy machine, the page would otherwise leave some for the browser to load.
    system_health.RENDER_BUDGET_SECONDS = float("inf")
    client = Client(SERVER_NAME="127.0.0.1", raise_request_exception=False)
    client.cookies[settings.SESSION_COOKIE_NAME] = session
    texts: dict[str, str] = {}
    kinds: dict[str, int] = {}
    waiting = list(START)
    while waiting and len(texts) < MAX_PAGES:
        path = waiting.pop(0)
        kind = re.sub(r"\d+|=[^&]*", "#", path)
        if path in texts or kinds.get(kind, 0) >= MAX_PAGES_OF_A_KIND:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        response = client.get(path)
        html = response.content.decode() if not response.streaming else ""
        texts[path] = f"{response.status_code} {text_of(html)}"
        for link in re.findall(r'href="([^"]+)"', html):
            found = urlsplit(urldefrag(urljoin(path, unescape(link)))[0])
            if found.netloc or found.scheme or LEFT_OUT.search(link):
                continue
            waiting.append(found.path + (f"?{found.query}" if found.query else ""))
    return texts


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    os.environ["LOG_LEVEL"] = "CRITICAL"
    session, timestamp = sys.argv[1:]
    with time_machine.travel(datetime.fromisoformat(timestamp), tick=False):
        django.setup()
        print(json.dumps(crawl(session)))


if __name__ == "__main__":
    main()
