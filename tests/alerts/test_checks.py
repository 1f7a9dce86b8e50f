"""Test the API and the command that run all checks, the alerts_test command, and the watchdog."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from alerts import services
from alerts.models import AlertRule, SystemAlert
from alerts.services import watchdog
from core.clients.models import ApiKey, Scope
from tests.alerts.conftest import MINUTE, NOON, Gauge
from tests.factories import make_app
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db
URL = "/api/v1/checks/run/"


@pytest.fixture
def key() -> str:
    return ApiKey.issue(app=make_app(), scopes=[Scope.ADMIN])[1]


def test_the_api_runs_all_checks_and_returns_the_changes(
    client: Client, gauge: Gauge, key: str
) -> None:
    gauge.value = 6

    answer = client.post(URL, headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["unread"], body["rules"], body["failed"]) == (1, 1, [])
    (change,) = body["changes"]
    assert (change["change"], change["title"]) == ("opened", "Test gauge")
    again = client.post(URL, headers={"Authorization": f"Bearer {key}"}).json()
    assert (again["unread"], again["changes"]) == (1, [])


def test_the_api_rejects_missing_invalid_and_unauthorized_keys(
    client: Client, gauge: Gauge
) -> None:
    gauge.value = 6
    reader = ApiKey.issue(app=make_app(), scopes=[Scope.METRICS])[1]

    assert client.post(URL).status_code == 401
    assert client.post(URL, headers={"Authorization": "Bearer ops_x"}).status_code == 403
    assert client.post(URL, headers={"Authorization": f"Bearer {reader}"}).status_code == 403
    assert client.get(URL, headers={"Authorization": f"Bearer {reader}"}).status_code == 405
    assert not SystemAlert.objects.exists()


def test_the_api_is_rate_limited(client: Client, only_test_rules: None, key: str) -> None:
    answers = [
        client.post(URL, headers={"Authorization": f"Bearer {key}"}).status_code for _ in range(8)
    ]

    assert answers == [200] * 6 + [429] * 2


def test_the_run_checks_command_prints_the_changes(
    gauge: Gauge, capsys: pytest.CaptureFixture[str]
) -> None:
    gauge.value = 6

    call_command("run_checks")

    printed = capsys.readouterr().out
    assert "1 rule: 1 opened, 0 reopened, 0 resolved" in printed
    assert "Test gauge (critical)" in printed
    assert "1 unread alerts" in printed


def test_the_alerts_test_command_runs_every_step_and_cleans_up(
    mail: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    get_user_model().objects.create_superuser("owner", "o@example.com", "x")

    call_command("alerts_test")

    printed = capsys.readouterr().out
    assert printed.count("ok") == 6, printed
    assert mail.mails[0]["Subject"] == "Test from opsportal"
    assert not SystemAlert.objects.exists()


def test_the_alerts_test_command_reports_the_failed_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    get_user_model().objects.create_superuser("owner", "o@example.com", "x")

    with pytest.raises(CommandError, match="1 of 6 steps failed"):
        call_command("alerts_test")

    assert "the channel email is not configured" in capsys.readouterr().out
    assert not SystemAlert.objects.exists()


@pytest.fixture
def outside(fake: FakeHTTP, settings: Settings) -> FakeHTTP:
    settings.WATCHDOG_URL = f"{fake.url}/ping"
    return fake


def test_the_watchdog_is_pinged_while_everything_works(gauge: Gauge, outside: FakeHTTP) -> None:
    services.evaluate_rules(now=NOON)

    assert watchdog.ping(now=NOON + MINUTE) == "answered 200"
    assert len(outside.requests) == 1


def test_the_watchdog_is_not_pinged_when_evaluation_or_delivery_stops(
    gauge: Gauge, slack: FakeHTTP, outside: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)

    assert watchdog.ping(now=NOON + 6 * MINUTE).startswith("not sent, because no rule")
    AlertRule.objects.update(last_evaluated_at=NOON + timedelta(minutes=11))
    assert watchdog.ping(now=NOON + 11 * MINUTE).startswith(
        "not sent, because notifications are overdue"
    )
    assert outside.requests == []


def test_the_watchdog_is_off_without_a_url(gauge: Gauge) -> None:
    assert watchdog.ping(now=timezone.now()) == "off"


def test_disabling_a_rule_resolves_its_alerts(gauge: Gauge) -> None:
    gauge.evaluate(6, now=NOON)
    gauge.row(is_enabled=False)

    services.evaluate_rules(now=NOON + MINUTE)

    assert gauge.alert().state == "resolved"
