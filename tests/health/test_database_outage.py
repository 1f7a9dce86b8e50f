"""Test the messages about a database outage, which bypass the database, and the records written after the outage."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from alerts.models import AlertState, SystemAlert
from health.models import Component, Incident, Tier, Uptime
from health.services import database_outage
from tests.health.conftest import SetChecks
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


class Database:
    is_up = False

    def __call__(self) -> str:
        if not self.is_up:
            raise ConnectionRefusedError("connection refused")
        return "answers"


@pytest.fixture
def database(
    set_checks: SetChecks, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Database:
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(database_outage, "_failures", 0)
    monkeypatch.setattr(database_outage, "_unsent", [])
    database = Database()
    set_checks(database=(database, {"critical": True, "fail_after": 1, "recover_after": 1}))
    return database


@pytest.fixture
def slack(fake: FakeHTTP, settings: Settings) -> FakeHTTP:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    settings.SLACK_WEBHOOK_URL = f"{fake.url}/services/T/B/x"
    fake.answer(200, body=b"ok", times=None)
    return fake


def test_a_lasting_outage_sends_one_message_and_a_single_failure_sends_none(
    database: Database, slack: FakeHTTP
) -> None:
    database_outage.watch()
    assert slack.requests == []

    for _ in range(4):
        database_outage.watch()

    [sent] = slack.requests
    assert "database is down" in str(sent.json())
    assert "connection refused" in str(sent.json())


def test_a_message_that_a_channel_does_not_accept_is_sent_again_until_it_does(
    database: Database, fake: FakeHTTP, settings: Settings
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    settings.SLACK_WEBHOOK_URL = f"{fake.url}/services/T/B/x"
    fake.answer(503, times=2)

    for _ in range(6):
        database_outage.watch()

    assert len(fake.requests) == 3


def test_a_failing_channel_does_not_prevent_delivery_to_other_channels(
    database: Database, slack: FakeHTTP, settings: Settings
) -> None:
    settings.ALERT_EMAILS = ["ops@example.com"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # No server listens on port 9.

    for _ in range(4):
        database_outage.watch()

    assert len(slack.requests) == 1


def test_other_processes_of_the_host_send_no_second_message(
    database: Database, slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        database_outage.watch()
    # Reset the count of failures, so that `watch()` behaves as in another process of the host.
    monkeypatch.setattr(database_outage, "_failures", 0)
    for _ in range(3):
        database_outage.watch()

    assert len(slack.requests) == 1


def test_an_outage_is_recorded_after_recovery(database: Database) -> None:
    for _ in range(2):
        database_outage.watch()
    file = database_outage.outage_path()
    since = timezone.now() - timedelta(minutes=5, seconds=10)
    file.write_bytes(msgspec.json.encode(database_outage.Outage(since, "connection refused")))
    database.is_up = True

    database_outage.watch()
    database_outage.watch()

    assert not file.exists()
    component = Component.objects.get(name="database")
    assert component.status == "healthy"
    days = Uptime.objects.filter(component=component, tier=Tier.DAY)
    assert sum(day.unhealthy for day in days) == 6
    alert = SystemAlert.objects.get()
    assert (alert.state, alert.alert_type) == (AlertState.RESOLVED, "database-down")
    incident = Incident.objects.get()
    assert incident.resolved_at
    assert incident.duration(timezone.now()) > timedelta(minutes=5)


def test_unconfigured_channels_are_skipped(database: Database, settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL, settings.ALERT_EMAILS = "", []
    for _ in range(3):
        database_outage.watch()  # Must not raise an exception.
