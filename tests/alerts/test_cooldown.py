"""Test that a cooldown delays messages about returning problems, but not about worse problems or resolutions."""

from datetime import datetime, timedelta

import pytest

from alerts import services
from alerts.models import Notification
from tests.alerts.conftest import MINUTE, NOON, Gauge
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


def kinds() -> list[str]:
    return list(Notification.objects.order_by("pk").values_list("kind", flat=True))


def tick(first: datetime, minutes: int) -> None:
    for minute in range(minutes):
        services.follow_up(now=first + minute * MINUTE)


def test_the_cooldown_delays_the_message_about_a_return_but_does_not_drop_it(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.row(cooldown=timedelta(minutes=10))
    for minute, value in [(0, 6), (1, 0), (2, 6)]:
        gauge.evaluate(value, now=NOON + minute * MINUTE)
    assert kinds() == ["triggered", "resolved"]

    tick(NOON + 3 * MINUTE, 7)
    assert kinds() == ["triggered", "resolved"]
    tick(NOON + 10 * MINUTE, 1)

    assert kinds() == ["triggered", "resolved", "reopened"]


def test_the_cooldown_does_not_delay_a_rise_in_severity(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.row(severity="warning", critical_threshold=50, cooldown=timedelta(minutes=10))
    gauge.evaluate(6, now=NOON)
    assert kinds() == ["triggered"]

    gauge.evaluate(51, now=NOON + MINUTE)

    assert kinds() == ["triggered", "raised"]


def test_the_cooldown_does_not_delay_a_return_that_is_worse(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.row(severity="warning", critical_threshold=50, cooldown=timedelta(minutes=10))
    for minute, value in [(0, 6), (1, 0), (2, 51)]:
        gauge.evaluate(value, now=NOON + minute * MINUTE)

    assert kinds() == ["triggered", "resolved", "reopened"]
