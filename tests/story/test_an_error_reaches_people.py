"""Test the way from an error to an alert and its notifications with real processes, a mail server and a browser."""

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer
from tests.servers.portal import Portal

CRITICAL = {"message": "Gate controller offline", "severity": "critical", "function": "gate"}
PAGE = "/admin/system-health/"


@pytest.fixture
def slack(fake: FakeHTTP) -> FakeHTTP:
    fake.default.body = b"ok"
    return fake


@pytest.fixture
def running(make_portal: Callable[..., Portal], mail_server: MailServer, slack: FakeHTTP) -> Portal:
    portal = make_portal(
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=str(mail_server.port),
        ALERT_EMAILS="on-call@shop.example",
        SLACK_WEBHOOK_URL=f"{slack.url}/services/T/B/x",
    )
    assert portal.manage("prepare").returncode == 0
    portal.start()
    portal.start_worker()
    return portal


def report(portal: Portal, error: dict[str, str], times: int = 1) -> None:
    for _ in range(times):
        response = portal.client.post(
            "/api/v1/errors/", json=error, headers={"Authorization": f"Bearer {portal.public_key}"}
        )
        assert response.status_code == 200, response.text


def open_alerts(portal: Portal) -> list[tuple[str, int]]:
    return portal.rows(
        "SELECT state, occurrence_count FROM alerts_systemalert WHERE state NOT IN ('resolved', 'pending')"
    )


def evaluate_now(portal: Portal) -> None:
    """Run the worker's evaluation task without waiting for the next minute."""
    done = portal.manage("shell", "-c", "from alerts import tasks; tasks.evaluate_all()")
    assert done.returncode == 0, done.stderr


def test_six_critical_errors_cause_one_alert_one_e_mail_and_one_slack_message(
    running: Portal,
    mail_server: MailServer,
    slack: FakeHTTP,
    context: BrowserContext,
    page: Page,
) -> None:
    context.add_cookies(
        [{"name": "sessionid", "value": running.seeded.session, "url": running.base_url}]
    )

    report(running, CRITICAL, times=5)
    evaluate_now(running)
    assert open_alerts(running) == []  # The alert opens only after more than five errors.

    report(running, CRITICAL)
    mails = mail_server.wait_for(1, seconds=20)
    messages = slack.wait_for(1, seconds=20)
    evaluate_now(running)

    assert len(open_alerts(running)) == 1
    assert len(mails) == len(mail_server.mails) == 1
    assert len(messages) == len(slack.requests) == 1
    assert mails[0]["To"] == "on-call@shop.example"
    assert "Critical errors" in mails[0]["Subject"]
    assert "Critical errors" in messages[0].body.decode()

    page.goto(running.base_url + PAGE)
    alerts = page.get_by_role("list", name="Active alerts")
    expect(alerts).to_contain_text("Critical errors", timeout=20_000)
    alerts.get_by_role("button", name="Dismiss").first.click()
    expect(page.get_by_text("new alerts appear here automatically")).to_be_visible(timeout=20_000)

    report(running, CRITICAL)
    evaluate_now(running)
    assert [state for state, _ in open_alerts(running)] == ["dismissed"]
    assert len(mail_server.mails) == len(slack.requests) == 1


def test_an_error_is_on_the_page_within_a_second_of_its_response(
    running: Portal, context: BrowserContext, page: Page
) -> None:
    context.add_cookies(
        [{"name": "sessionid", "value": running.seeded.session, "url": running.base_url}]
    )
    # The first request imports the remaining modules, which the measurement must not include.
    page.goto(running.base_url + "/admin/errors/")
    report(running, {"message": "Seat map froze", "severity": "error"})
    answered_at = time.monotonic()

    while "Seat map froze" not in page.goto(running.base_url + "/admin/errors/").text():  # type: ignore[union-attr]
        assert time.monotonic() - answered_at < 1, "not on the page within a second"


def test_acknowledged_errors_survive_killing_every_process(running: Portal) -> None:
    report(running, {"message": "before the kill"}, times=3)
    running.kill()
    running.kill_worker()

    running.restart()
    report(running, {"message": "after the kill"}, times=1)

    assert running.value("SELECT count(*) FROM errors_errorevent") == 4
