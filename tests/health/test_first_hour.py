"""Test that a new portal raises no false alarm in its first hour and reports every fault."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from alerts import services
from alerts.models import Channel, Notification, SystemAlert
from alerts.services.defaults import add_default_channel
from core.clients.models import ClientApp
from core.lib.outbound import breaker
from errors.models import ErrorGroup, MinuteCount, Severity, minute_of
from health.services import record_check_in, record_measurements, run_checks
from health.services.heartbeats import sweep_heartbeats
from health.signals import Delivery, Performance
from tests.factories import make_app, make_monitor
from tests.health.conftest import SetChecks
from tests.servers.fake_http import FakeHTTP

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
START = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEP = 2 * MINUTE


@pytest.fixture(autouse=True)
def loopback(settings: Settings, set_checks: SetChecks) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    settings.NETWORK_PROBES = []
    breaker.reset_all()
    set_checks()  # Remove the portal's own checks, because the state of this machine must not affect the results.


@pytest.fixture
def slack(fake_http: Callable[[], FakeHTTP]) -> FakeHTTP:
    server = fake_http()
    server.default.body = b"ok"
    config = {"webhook_url": f"{server.url}/hook"}
    add_default_channel(Channel(name="slack", kind="slack", config=config))
    return server


def pass_time(since: datetime, length: timedelta) -> datetime:
    """Run the worker's regular jobs at each STEP until `length` has passed. Return the new time."""
    now = since
    while now < since + length:
        now += STEP
        run_checks(now=now, pause=0)
        sweep_heartbeats(now=now)
        services.evaluate_rules(now=now)
        services.follow_up(now=now)
        services.deliver_waiting(now=now)
    return now


def serve(app: ClientApp, *, ok: int, failed: int, now: datetime) -> None:
    calls = [
        Performance("GET /", 40, "request", outcome, count)
        for outcome, count in ((True, ok), (False, failed))
        if count
    ]
    record_measurements(calls, app=app, now=now)


def report_errors(app: ClientApp, count: int, *, now: datetime) -> None:
    severity = Severity.CRITICAL
    MinuteCount.objects.create(minute=minute_of(now), app=app, severity=severity, count=count)
    ErrorGroup.objects.create(
        app=app, title=f"Fault at {now}", severity=severity, first_seen_at=now, last_seen_at=now
    )


def headlines(slack: FakeHTTP) -> list[str]:
    """Return the titles of the messages in Slack, except escalations, which the test causes by acting on no alert."""
    titles = [str(request.json()["text"]) for request in slack.requests]
    return [title for title in titles if "Escalated: " not in title]


def check_in(app: ClientApp, *, now: datetime) -> None:
    config = {"schedule": {"type": "interval", "value": 30, "unit": "minute"}}
    record_check_in(app=app, slug="import", status="ok", now=now, monitor_config=config)


def test_the_first_hour_has_no_false_alarm_and_reports_every_fault(
    slack: FakeHTTP, fake_http: Callable[[], FakeHTTP]
) -> None:
    site = fake_http()
    make_monitor(site.url, title="Shop site", is_required=True)
    portal = make_app(ClientApp.PORTAL_SLUG)
    shop = make_app("shop")

    # A new user opens pages, and reports test errors, an SMS that failed, and two requests that failed.
    now = pass_time(START, 4 * MINUTE)
    serve(portal, ok=63, failed=1, now=now)
    report_errors(shop, 4, now=now)
    serve(shop, ok=25, failed=2, now=now)
    record_measurements(
        [Delivery("sms", "failed"), Performance("import", 4_000)], app=shop, now=now
    )
    check_in(shop, now=now)
    now = pass_time(now, 30 * MINUTE)
    check_in(shop, now=now)
    now = pass_time(now, 26 * MINUTE)

    assert list(SystemAlert.objects.values_list("title", "state")) == []
    assert headlines(slack) == []

    # The site, the shop and the job fail.
    site.default.status = 503
    report_errors(shop, 6, now=now)
    serve(shop, ok=100, failed=100, now=now)
    record_measurements([Performance("pay", 20_000)], app=shop, now=now)
    broken = now
    # The job no longer checks in, and its margin of five minutes passes.
    now = pass_time(now, 20 * MINUTE)

    # The message about the shop's error rate includes the alert about the slow function `pay`.
    assert sorted(headlines(slack)) == sorted(
        [
            "⛔ Shop site down",
            "⛔ Critical errors",
            "⛔ High error rate: Shop, and 1 related alert",
            "🔶 Shop: import missed a check-in",
        ]
    )
    assert set(SystemAlert.objects.values_list("state", flat=True)) == {"open"}

    # Repair all faults, after which each resolution must be sent once.
    site.default.status = 200
    check_in(shop, now=now)
    slack.requests.clear()
    now = pass_time(now, 26 * MINUTE)
    check_in(shop, now=now)
    now = pass_time(now, broken + timedelta(hours=1) + 4 * MINUTE - now)

    # The error-budget alert may stay open, because an outage of twenty minutes affects the budget for longer.
    lasting = SystemAlert.objects.exclude(state="resolved").values_list("alert_type", flat=True)
    assert set(lasting) <= {"uptime-budget"}
    resolved = [text for text in headlines(slack) if text.startswith("✅ Resolved: ")]
    assert sorted(resolved) == sorted(
        [
            "✅ Resolved: Shop site down",
            "✅ Resolved: Critical errors",
            "✅ Resolved: High error rate: Shop, and 1 related resolution",
            "✅ Resolved: Shop: import missed a check-in",
        ]
    )
    assert not Notification.objects.exclude(state__in=["sent", "superseded", "merged"]).exists()
