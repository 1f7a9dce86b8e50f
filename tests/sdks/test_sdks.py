"""Test that events, measurements and check-ins of unmodified SDKs are stored completely."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from errors.event.fingerprint import fingerprint
from errors.event.normalize import Normalizer
from tests.sdks.conftest import PROGRAMS
from tests.servers.fake_http import FakeHTTP
from tests.servers.portal import Portal

Run = Callable[..., dict[str, str]]


@pytest.fixture
def portal(module_portal: Portal) -> Portal:
    """Share one portal between all tests, each of which looks only for its own events."""
    return module_portal


def stored(portal: Portal, event_id: str) -> dict[str, Any]:
    """Wait for the event with this id and return it with its group."""
    columns = "e.severity, e.environment, e.release, e.user_key, g.title, g.id"
    rows = portal.wait_for(
        lambda: portal.rows(
            f"SELECT {columns} FROM errors_errorevent e JOIN errors_errorgroup g ON g.id = e.group_id"
            " WHERE e.event_id = %s",
            (event_id,),
        ),
        what=f"event {event_id}",
    )
    assert len(rows) == 1
    return dict(
        zip(("severity", "environment", "release", "user", "title", "group"), rows[0], strict=True)
    )


def breadcrumbs(portal: Portal, event_id: str) -> list[str]:
    """Return the messages of the stored event's breadcrumbs."""
    ((group, key),) = portal.rows(
        "SELECT group_id, id FROM errors_errorevent WHERE event_id = %s", (event_id,)
    )
    event = portal.client.get(f"/admin/errors/{group}/events/{key}/json/", headers=portal.staff)
    return [crumb["message"] for crumb in event.json()["breadcrumbs"]["values"]]


def tags(portal: Portal, group: int) -> dict[str, str]:
    return dict(portal.rows("SELECT key, value FROM errors_grouptag WHERE group_id = %s", (group,)))


@pytest.mark.parametrize("brotli", ["with brotli", "without brotli"])
def test_the_python_sdk_reports_an_exception_and_a_message(
    portal: Portal, run_python: Run, brotli: str, tmp_path: Path
) -> None:
    environment = {}
    if brotli == "without brotli":  # Without brotli, the SDK compresses with gzip.
        (tmp_path / "brotli.py").write_text("raise ImportError('not installed')")
        environment["PYTHONPATH"] = str(tmp_path)

    sent = run_python("python_sdk.py", portal.dsn, **environment)

    exception = stored(portal, sent["exception"])
    assert exception["title"].startswith("ValueError: cannot charge")
    assert exception["severity"] == "high"
    assert exception["environment"] == "test"
    assert exception["release"] == "shop@2.1.0"
    assert tags(portal, exception["group"])["checkout"] == "express"
    assert breadcrumbs(portal, sent["exception"]) == ["seat added", "stock is low"]
    assert stored(portal, sent["message"])["severity"] == "critical"
    assert_nowhere_on_disk(portal, b"planted.person")


def test_a_transaction_of_the_python_sdk_is_stored_as_a_measurement(
    portal: Portal, run_python: Run
) -> None:
    run_python("python_sdk.py", portal.dsn)

    portal.wait_for(
        lambda: portal.rows("SELECT 1 FROM health_series WHERE name = 'nightly import'"),
        what="the transaction's measurement",
    )


def test_a_cron_job_checks_in(portal: Portal, run_python: Run) -> None:
    run_python("python_cron.py", portal.dsn)

    portal.wait_for(
        lambda: portal.rows("SELECT 1 FROM health_heartbeat WHERE slug = 'nightly-export'"),
        what="the heartbeat",
    )


def test_the_predecessor_of_the_python_sdk_reports_an_exception(
    portal: Portal, run_python: Run
) -> None:
    sent = run_python("raven_sdk.py", portal.dsn)

    assert stored(portal, sent["exception"])["title"].startswith("KeyError")


def test_the_node_sdk_reports_with_chunked_bodies(portal: Portal, run_node: Run) -> None:
    sent = run_node("node_sdk.cjs", portal.dsn)

    exception = stored(portal, sent["exception"])
    assert exception["title"] == "TypeError: gate cannot read T-1"
    assert exception["release"] == "gate@1.4.0"
    assert tags(portal, exception["group"])["gate"] == "north"
    assert "scanner ready" in breadcrumbs(portal, sent["exception"])
    portal.wait_for(
        lambda: portal.rows("SELECT 1 FROM health_series WHERE name = 'scan'"),
        what="the span's measurement",
    )
    assert stored(portal, sent["message"])["severity"] == "warning"


def visit(page: Page, url: str) -> str:
    """Open a page of the shop, wait until its SDK has sent all data, and return the id of the event that it sent."""
    page.goto(url)
    page.wait_for_function("window.sent !== undefined")
    assert page.evaluate("window.sent") is True
    return str(page.evaluate("window.eventId"))


def test_the_browser_sdk_reports_from_another_origin(
    portal: Portal, page: Page, shop_site: FakeHTTP
) -> None:
    event_id = visit(page, f"{shop_site.url}/browser_sdk.html?dsn={quote(portal.dsn)}&feedback=1")

    event = stored(portal, event_id)
    assert event["title"] == "RangeError: seat A-12 is gone"
    assert "clicked buy" in breadcrumbs(portal, event_id)
    assert event["release"] == "site@3.0.0"
    assert portal.wait_for(
        lambda: portal.rows("SELECT message FROM errors_userreport"), what="the feedback"
    ) == [("the seat map froze",)]


def test_the_browser_sdk_reports_through_a_tunnel(
    portal: Portal, page: Page, shop_site: FakeHTTP
) -> None:
    tunnel = quote(f"{portal.base_url}/tunnel/")
    event_id = visit(
        page, f"{shop_site.url}/browser_sdk.html?dsn={quote(portal.dsn)}&tunnel={tunnel}"
    )

    assert stored(portal, event_id)["title"] == "RangeError: seat A-12 is gone"


def test_the_react_sdk_reports_a_failing_component(
    portal: Portal, page: Page, shop_site: FakeHTTP, watch: Any
) -> None:
    watch.allow("seat map has no rows")  # React also logs errors that an error boundary catches.

    event_id = visit(page, f"{shop_site.url}/react_sdk.html?dsn={quote(portal.dsn)}")

    assert stored(portal, event_id)["title"] == "Error: seat map has no rows"


def test_a_page_visit_counts_as_user_activity(
    portal: Portal, page: Page, shop_site: FakeHTTP
) -> None:
    """Test that the session that the browser SDK sends with a visit counts as activity of the user."""
    portal.rows("DELETE FROM health_activeuser")

    visit(page, f"{shop_site.url}/browser_sdk.html?dsn={quote(portal.dsn)}")

    portal.wait_for(lambda: portal.rows("SELECT 1 FROM health_activeuser"), what="the session")


def test_sentry_cli_reports_and_environment_variables_are_not_stored(
    portal: Portal, npm_folder: Path
) -> None:
    cli = npm_folder / "node_modules/@sentry/cli-linux-x64/bin/sentry-cli"
    sent = subprocess.run(
        [str(cli), "send-event", "-m", "deployment failed", "-l", "fatal"],
        env={"SENTRY_DSN": portal.dsn, "PATH": os.environ["PATH"], "SHOP_PASSWORD": "planted-word"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert sent.returncode == 0, sent.stderr

    event_id = re.findall(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", sent.stdout)[0]
    assert stored(portal, event_id.replace("-", ""))["severity"] == "critical"
    assert_nowhere_on_disk(portal, b"planted-word")


def test_an_sdk_respects_the_retry_after_of_an_exhausted_quota(
    make_portal: Callable[..., Portal], run_python: Run
) -> None:
    portal = make_portal()
    portal.rows("UPDATE clients_clientapp SET events_per_hour = 1")
    portal.start()

    # The program sends two events, one of which exceeds the quota.
    run_python("python_sdk.py", portal.dsn)

    assert portal.value("SELECT count(*) FROM errors_errorevent") == 1


def assert_nowhere_on_disk(portal: Portal, secret: bytes) -> None:
    for path in portal.data_dir.rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes(), path


STACKS: dict[str, dict[str, str]] = json.loads((PROGRAMS / "stacks.json").read_text())
MESSAGES = {
    "Chrome": "Cannot read properties of undefined (reading 'price')",
    "Edge": "Cannot read properties of undefined (reading 'price')",
    "Firefox": 'can\'t access property "price", seat is undefined',
    "Safari": "undefined is not an object (evaluating 'seat.price')",
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", STACKS)
def test_one_bug_in_four_browsers_is_one_group(bug: str, npm_folder: Path) -> None:
    """Parse the stack trace of each browser with the SDK's parser, and check that all traces belong to one group."""
    done = subprocess.run(
        ["node", str(PROGRAMS / "stacks.cjs")],
        input=json.dumps(STACKS[bug]),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NODE_PATH": str(npm_folder / "node_modules")},
    )
    assert done.returncode == 0, done.stderr

    hashes = {}
    for browser, frames in json.loads(done.stdout).items():
        exception = {"type": "TypeError", "value": MESSAGES[browser], "stacktrace": {"frames": frames}}  # fmt: skip
        event = {"platform": "javascript", "exception": {"values": [exception]}}
        hashes[browser] = fingerprint(Normalizer(event).run())

    assert set(hashes) == set(MESSAGES)
    assert len(set(hashes.values())) == 1, hashes
