"""Test concurrent changes by threads with separate connections, on SQLite and PostgreSQL."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from alerts import services
from alerts.extension_points import Reading
from alerts.models import AlertEvent, Notification, SystemAlert
from tests.alerts.conftest import MINUTE, NOON, Gauge
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, work: Callable[[], object]) -> list[object]:
    """Call `work` in `count` threads at the same time, and return all results."""
    barrier = threading.Barrier(count)

    def one(_: int) -> object:
        try:
            barrier.wait(60)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_eight_workers_that_measure_the_same_breach_open_one_alert(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.row()
    gauge.value = 6

    results = at_once(8, lambda: services.evaluate_rule(gauge.name, now=NOON))

    assert sum(r.opened_count for r in results if isinstance(r, services.EvaluationResult)) == 1
    assert not any(r.failed for r in results if isinstance(r, services.EvaluationResult))
    assert gauge.alert().state == "open"
    assert AlertEvent.objects.filter(kind="opened").count() == 1
    assert Notification.objects.filter(kind="triggered").count() == 1


def test_concurrent_workers_neither_duplicate_alerts_nor_deadlock(
    gauge: Gauge,
) -> None:
    gauge.row()
    gauge.value = [Reading(9, labels=(("gate", str(number)),)) for number in range(20)]

    results = at_once(4, lambda: services.evaluate_rule(gauge.name, now=NOON))

    assert not any(r.failed for r in results if isinstance(r, services.EvaluationResult))
    assert len(gauge.alerts()) == 20


def test_eight_workers_resolve_an_alert_once(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    gauge.value = 0

    at_once(8, lambda: services.evaluate_rule(gauge.name, now=NOON + MINUTE))

    assert AlertEvent.objects.filter(kind="resolved").count() == 1
    assert Notification.objects.filter(kind="resolved").count() == 1


def test_concurrent_reports_of_a_problem_are_counted_in_one_alert() -> None:
    at_once(6, lambda: make_alert(key="one", now=NOON))

    alert = SystemAlert.objects.get()
    assert alert.occurrence_count == 6


def test_concurrent_dismissals_are_recorded_once(gauge: Gauge) -> None:
    gauge.evaluate(6, now=NOON)

    changed = at_once(6, lambda: services.dismiss(gauge.alerts(), user=None, now=NOON))

    assert sum(int(str(count)) for count in changed) == 1
    assert AlertEvent.objects.filter(kind="dismissed").count() == 1


def test_concurrent_workers_send_a_notification_once(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    notification = Notification.objects.get(channel__kind="slack")

    outcomes = at_once(6, lambda: services.deliver(notification_id=notification.pk, now=NOON))

    assert sorted(map(str, outcomes)) == ["not due"] * 5 + ["sent"]
    assert len(slack.requests) == 1


def test_concurrent_sweeps_send_every_notification_once(slack: FakeHTTP) -> None:
    for _ in range(15):
        make_alert(now=NOON)

    at_once(4, lambda: services.deliver_waiting(now=NOON))

    assert len(slack.requests) == 15
    assert Notification.objects.filter(state="sent").count() == 15


def test_an_alert_dismissed_during_evaluation_stays_dismissed(gauge: Gauge) -> None:
    gauge.evaluate(6, now=NOON)
    gauge.value = 7
    turns = iter(range(1000))

    def either() -> object:
        turn = next(turns)
        if turn % 2:
            return services.dismiss(gauge.alerts(), user=None, now=NOON + MINUTE)
        return services.evaluate_rule(gauge.name, now=NOON + (turn + 1) * MINUTE)

    at_once(8, either)

    assert gauge.alert().state == "dismissed"
