"""Test the portal's own health checks with dependencies in each state."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from alerts.models import Channel, Notification
from core.jobs.models import Job, Node
from core.lib import outbound
from health.extension_points import Degraded, NotConfigured
from health.hooks import health_checks
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


def test_unconfigured_dependencies_do_not_fail(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = settings.RESEND_API_KEY = settings.EMAIL_HOST = ""
    for check in (
        health_checks.stripe,
        health_checks.resend,
        health_checks.mail,
    ):
        with pytest.raises(NotConfigured):
            check()


def test_the_stripe_check_uses_the_public_healthcheck_endpoint(
    settings: Settings, fake: FakeHTTP
) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_x", fake.url
    assert health_checks.stripe() == "Stripe responds"
    assert fake.requests[0].path == "/healthcheck"
    assert "authorization" not in fake.requests[0].headers

    fake.answer(503)
    with pytest.raises(RuntimeError, match="503"):
        health_checks.stripe()
    fake.drop()
    with pytest.raises(outbound.Unavailable):
        health_checks.stripe()


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, {"data": [{"name": "a.example", "status": "verified"}]}, "1 verified"),
        (200, {"data": []}, "0 verified"),
        (401, {"name": "restricted_api_key"}, "limited to sending"),
        (401, {"name": "invalid_api_key"}, RuntimeError),
        (200, {"data": [{"name": "a.example", "status": "pending"}]}, Degraded),
    ],
)
def test_the_resend_check_lists_the_domains(
    settings: Settings,
    fake: FakeHTTP,
    status: int,
    answer: dict[str, object],
    expected: str | type[Exception],
) -> None:
    settings.RESEND_API_KEY, settings.RESEND_API_URL = "re_x", fake.url
    fake.answer(status, json=answer)
    if isinstance(expected, str):
        assert expected in (health_checks.resend() or "")
    else:
        with pytest.raises(expected):
            health_checks.resend()
    assert fake.requests[0].headers["authorization"] == "Bearer re_x"


def test_the_mail_check_connects_to_the_mail_server(
    settings: Settings, mail_server: MailServer, closed_port: int
) -> None:
    settings.RESEND_API_KEY = ""
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_server.port
    assert health_checks.mail() == "the mail server responds"

    settings.EMAIL_PORT = closed_port
    with pytest.raises(ConnectionRefusedError):
        health_checks.mail()


def test_the_queue_check_distinguishes_late_from_missing_workers() -> None:
    with pytest.raises(Degraded, match="no worker has started yet"):
        health_checks.queue()
    now = timezone.now()
    node = Node.objects.create(
        name="one", pid=1, version="1", last_tick_at=now - timedelta(seconds=30), seen_at=now
    )
    assert (health_checks.queue() or "").startswith("1 node,")

    for seconds, expected in ((200, Degraded), (400, RuntimeError)):
        node.last_tick_at = now - timedelta(seconds=seconds)
        node.save()
        with pytest.raises(expected):
            health_checks.queue()


# --- the queue and the outbox --------------------------------------------------------------------------------


def report_node(now: datetime, started_at: datetime | None = None) -> None:
    Node.objects.create(
        name="node", version="1", seen_at=now, last_tick_at=now, started_at=started_at
    )


def make_job(next_run_at: datetime) -> None:
    Job.objects.create(
        name="evaluate", summary="Evaluate alert rules.", cron="* * * * *", next_run_at=next_run_at
    )


@pytest.mark.parametrize(("seconds", "error"), [(10, None), (46, Degraded), (301, RuntimeError)])
def test_the_queue_check_reports_a_job_that_starts_late(
    seconds: int, error: type[Exception] | None
) -> None:
    now = timezone.now()
    report_node(now)
    make_job(now - timedelta(seconds=seconds))

    if error is None:
        assert "1 node" in (health_checks.queue() or "")
    else:
        with pytest.raises(error, match="Evaluate alert rules should have started"):
            health_checks.queue()


def test_a_job_that_became_due_during_a_downtime_is_not_late_after_the_start() -> None:
    now = timezone.now()
    report_node(now, started_at=now - timedelta(seconds=5))
    make_job(now - timedelta(hours=3))

    assert "1 node" in (health_checks.queue() or "")


def make_channel(name: str = "Ops Slack", **fields: object) -> Channel:
    config = {"webhook_url": "https://hooks.example/x"}
    return Channel.objects.create(
        name=name, kind="slack", config=config, gets_every_type=True, **fields
    )


def make_message(channel: Channel, *, seconds: int, **fields: object) -> None:
    at = timezone.now() - timedelta(seconds=seconds)
    number = Notification.objects.count()
    Notification.objects.create(
        channel=channel,
        kind="triggered",
        idempotency_key=f"key-{number}",
        stream=f"stream-{number}",
        payload={},
        created_at=at,
        due_at=at,
        next_attempt_at=at,
        deadline_at=at + timedelta(days=1),
        **fields,
    )


def test_notifications_are_not_configured_without_a_channel() -> None:
    with pytest.raises(NotConfigured, match="no channel is configured"):
        health_checks.notifications()


@pytest.mark.parametrize(("seconds", "error"), [(10, None), (90, Degraded), (301, RuntimeError)])
def test_a_message_that_waits_although_its_channel_works_is_reported(
    seconds: int, error: type[Exception] | None
) -> None:
    channel = make_channel()
    make_message(channel, seconds=seconds)
    make_message(channel, seconds=5, state="sending")

    if error is None:
        assert health_checks.notifications() == "1 channel, 2 waiting"
    else:
        with pytest.raises(error, match="Ops Slack: 2 messages wait, the oldest for"):
            health_checks.notifications()


def test_a_failing_channel_is_reported_with_its_waiting_messages_and_the_reason() -> None:
    make_channel("Working")
    now = timezone.now()
    failing = make_channel(failing_since=now, retry_at=now, last_error="timed out")
    make_message(failing, seconds=240)
    make_message(failing, seconds=240, state="failed")
    make_channel("Revoked", is_enabled=False, disabled_reason="410 gone")
    make_channel("Off", is_enabled=False)

    with pytest.raises(Degraded) as found:
        health_checks.notifications()

    assert str(found.value) == (
        "Ops Slack: 2 messages wait, the oldest for 4 min (timed out); Revoked: disabled (410 gone)"
    )
