"""Test that every page shows input from apps and users as text, and neither executes it nor renders it as markup.

The content security policy blocks injected scripts, and the browser reports each violation. Every violation fails
the test, even one that the portal's own page causes.
"""

import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.crawl import crawl
from tests.browser.plant import LINK, PAYLOAD
from tests.browser.support import Watch
from tests.servers.portal import ROOT, Portal

P = PAYLOAD


def plain_error(n: int) -> dict[str, Any]:
    return {
        "message": f"{n} {P}",
        "severity": "critical",
        "type": P,
        "stack": f'Traceback (most recent call last):\n  File "{P}", line 3, in {P}\n    {P}\n{P}: {P}',
        "category": P[:60],
        "function": P,
        "request_id": P[:100],
        "user_id": P[:100],
        "organization_id": P[:100],
        "order_id": P[:100],
        "payment_id": P[:100],
        "reservation_id": P[:100],
        "environment": P[:60],
        "release": P,
        "platform": P[:40],
        "context": {P: P, "nested": {P: [P, {P: P}]}},
        "tags": {P[:30]: P, "url": LINK},
        "fingerprint": [P, str(n)],
    }


def sentry_event() -> dict[str, Any]:
    frame = {
        "filename": P,
        "abs_path": LINK,
        "module": P,
        "function": P,
        "lineno": 3,
        "pre_context": [P, P],
        "context_line": P,
        "post_context": [P],
        "vars": {P: P, "dict": {P: P}},
        "in_app": True,
    }
    exception = {
        "type": P,
        "value": P,
        "module": P,
        "mechanism": {"type": P, "handled": False, "data": {P: P}, "help_link": LINK},
        "stacktrace": {"frames": [frame, {**frame, "in_app": False}]},
    }
    return {
        "level": "fatal",
        "platform": "python",
        "logger": P,
        "transaction": P,
        "server_name": P,
        "release": P,
        "dist": P[:60],
        "environment": P[:60],
        "logentry": {"message": P + "%s", "params": [P], "formatted": P + P},
        "exception": {"values": [exception, exception]},
        "threads": {"values": [{"id": P, "name": P, "stacktrace": {"frames": [frame]}}]},
        "breadcrumbs": {
            "values": [
                {"type": P, "category": P, "level": P, "message": P, "data": {P: P, "url": LINK}},
                {"type": "http", "category": "fetch", "data": {"url": LINK, "method": P}},
            ]
        },
        "tags": [[P[:30], P], ["url", LINK]],
        "user": {"id": P, "username": P, "name": P, "geo": {"city": P}, "data": {P: P}},
        "request": {
            "url": LINK,
            "method": P,
            "query_string": [[P, P]],
            "headers": [[P, P], ["Referer", LINK]],
            "data": {P: P},
            "env": {P: P},
            "fragment": P,
        },
        "contexts": {
            "browser": {"name": P, "version": P},
            "os": {"name": P, "version": P},
            "trace": {"trace_id": P, "op": P},
            P: {P: P},
        },
        "extra": {P: P, "list": [P]},
        "modules": {P: P},
        "sdk": {"name": P, "version": P, "packages": [{"name": P, "version": P}]},
        "debug_meta": {"images": [{"type": P, "code_file": P}]},
        "errors": [{"type": P, "name": P, "value": P}],
    }


@pytest.fixture(scope="module")
def planted(module_portal: Portal) -> Portal:
    """Send the payload in every field that an app can send, and then put it into most text columns."""
    portal, client = module_portal, module_portal.client
    for n in range(7):
        sent = client.post("/api/v1/errors/", headers=portal.api, json=plain_error(n))
        assert sent.status_code == 200, sent.text
    sent = client.post(
        f"/api/{portal.seeded.app_id}/store/",
        params={"sentry_key": portal.public_key, "sentry_version": "7"},
        json=sentry_event(),
    )
    assert sent.status_code == 200, sent.text
    signals = [
        *({"type": "performance", "name": P[:190], "duration_ms": 9, "kind": kind}
          for kind in ("function", "page", "request")),
        {"type": "activity", "user": P[:190]},
        {"type": "gauge", "name": P[:190], "value": 3},
        {"type": "counter", "name": P[:190], "value": 3},
        {"type": "delivery", "channel": "sms", "outcome": "failed", "count": 30},
    ]  # fmt: skip
    sent = client.post("/api/v1/signals/", headers=portal.api, json={"signals": signals})
    assert sent.status_code in (200, 202, 204), sent.text
    ran = subprocess.run(
        [sys.executable, "-m", "tests.browser.plant"],
        env=portal.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    (ticket_type,) = portal.rows("SELECT MAX(id) FROM reservations_tickettype")[0]
    sent = client.post(
        "/api/v1/reservations/",
        headers={**portal.api, "Idempotency-Key": "planted-key-1"},
        json={
            "items": [{"ticket_type": ticket_type, "quantity": 1}],
            "customer": P[:200],
            "order_id": P[:100],
        },
    )
    assert sent.status_code in (201, 422), sent.text
    return portal


def sign_in(page: Page, portal: Portal) -> Page:
    page.context.add_cookies(
        [{"name": "sessionid", "value": portal.seeded.session, "url": portal.base_url}]
    )
    return page


def test_no_payload_is_executed_or_rendered_as_markup_and_no_page_violates_the_policy(
    planted: Portal, page: Page, watch: Watch
) -> None:
    watch.allow(r"^404 ")  # Links that contain the payload as an id are broken.
    sign_in(page, planted)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    found: list[str] = []
    shown = 0
    visited = []
    for path in crawl(page, planted.base_url, without="/add/"):
        visited.append(path)
        seen = page.evaluate(FIND_PAYLOAD)
        shown += seen.pop("shown")
        if any(seen.values()) or dialogs:
            found.append(f"{path}: {seen}, dialogs {dialogs}")

    assert found == []
    assert len(visited) > 40, visited
    assert shown > 15, f"the payload is shown on {shown} pages only: is it planted?"


FIND_PAYLOAD = """
() => ({
    ran: Boolean(window.planted),
    markup: document.querySelectorAll("[data-planted]").length,
    links: document.querySelectorAll("[href^='javascript:' i], [src^='javascript:' i]").length,
    evaluated: document.body.innerText.includes("}} 8"),
    shown: document.body.innerText.includes("data-planted"),
})
"""
