"""Many alerts at once: their cost, and the limits on messages."""

import time

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from alerts import services
from alerts.extension_points import Reading
from alerts.models import Channel, Notification, SystemAlert
from alerts.services import delivery, excess
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.mark.slow
def test_ten_thousand_breaches_of_500_problems_create_500_alerts(
    gauge: Gauge, slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excess, "MAX_ALERTS_PER_RULE", 500)
    gates = [Reading(9, labels=(("gate", f"gate {number}"),)) for number in range(500)]

    for minute in range(20):
        gauge.evaluate(gates, now=NOON + minute * MINUTE)
        deliver(NOON + minute * MINUTE)

    assert SystemAlert.objects.active().count() == 500
    assert set(SystemAlert.objects.values_list("occurrence_count", flat=True)) == {20}
    kinds = list(Notification.objects.values_list("kind", flat=True))
    assert kinds.count("triggered") == 20
    assert len(kinds) == 21  # plus one message about the storm
    assert len(slack.requests) == 21

    gauge.evaluate([], now=NOON + 30 * MINUTE)
    deliver(NOON + 30 * MINUTE)
    assert not SystemAlert.objects.active().exists()
    assert Notification.objects.filter(kind="resolved").count() == 20


def test_a_channel_sends_at_most_its_limit_per_minute(gauge: Gauge, slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(max_per_minute=7)
    gauge.evaluate([Reading(9, labels=(("gate", str(number)),)) for number in range(15)], now=NOON)

    counts = []
    for minute in range(4):
        deliver(NOON + minute * MINUTE)
        counts.append(len(slack.requests))

    assert counts == [7, 14, 15, 15]


def test_a_limit_of_zero_pauses_a_channel(gauge: Gauge, slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(max_per_minute=0)
    gauge.evaluate(6, now=NOON)

    assert deliver(NOON) == {"postponed": 1}
    assert slack.requests == []


@pytest.mark.slow
def test_the_inbox_is_fast_with_two_thousand_open_alerts(
    client: Client, gauge: Gauge, django_assert_max_num_queries: object
) -> None:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    SystemAlert.objects.bulk_create(
        SystemAlert(
            key=f"problem-{number}",
            alert_type="high-error-rate",
            title=f"Problem {number}",
            severity="critical" if number % 3 else "warning",
            source="tests",
            created_at=NOON,
            opened_at=NOON + number * MINUTE,
            last_seen_at=NOON,
        )
        for number in range(2000)
    )
    client.get("/admin/alerts/")  # warm-up: compiles the templates

    with django_assert_max_num_queries(20):  # type: ignore[operator]
        started = time.perf_counter()
        page = client.get("/admin/alerts/")
        elapsed = time.perf_counter() - started

    assert b"2000 active" in page.content
    assert page.content.count(b"data-row-item") == 50
    assert elapsed < 1.0, f"{elapsed:.3f} s"  # measured 0.06 s; the margin is for busy machines


def test_a_notification_is_sent_again_if_the_worker_dies_before_recording_it(
    gauge: Gauge, slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delivery is at least once, under the same idempotency key, because the result of the first call is unknown."""

    class Killed(BaseException):
        pass

    def die(*args: object, **kwargs: object) -> str:
        raise Killed

    gauge.evaluate(6, now=NOON)
    with monkeypatch.context() as patched:
        patched.setattr(delivery, "_record_success", die)
        with pytest.raises(Killed):
            deliver(NOON)
    assert len(slack.requests) == 1
    services.deliver_waiting(now=NOON + MINUTE)
    assert len(slack.requests) == 1  # the lease has not expired

    deliver(NOON + 3 * MINUTE)

    (notification,) = Notification.objects.all()
    assert (notification.state, notification.attempt_count, len(slack.requests)) == ("sent", 2, 2)
