"""Test that many simultaneous alerts need few queries and cause a limited number of messages."""

import time
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from alerts import services
from alerts.extension_points import Reading, Severity
from alerts.models import Channel, Notification, SystemAlert
from alerts.services import delivery, excess, storms
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def titles(server: FakeHTTP) -> list[str]:
    return [request.json()["text"] for request in server.requests]


def storm_titles(server: FakeHTTP) -> list[str]:
    return [title for title in titles(server) if "Alert storm" in title]


@pytest.fixture
def storm(slack: FakeHTTP) -> FakeHTTP:
    """Open 20 alerts with a message to Slack each, and three that share one storm message. Return the Slack server."""
    Channel.objects.update(max_per_minute=1000)
    for number in range(20):
        make_alert(title=f"Slow {number}", severity=Severity.HIGH, now=NOON)
    make_alert(title="Late", severity=Severity.MEDIUM, now=NOON)
    make_alert(title="Worst", severity=Severity.HIGH, now=NOON)
    make_alert(title="Small", severity=Severity.MEDIUM, now=NOON)
    deliver(NOON)
    return slack


def test_a_storm_is_one_message_that_names_the_worst_and_counts_the_others(
    storm: FakeHTTP,
) -> None:
    assert len(storm.requests) == 21
    assert storm_titles(storm) == ["🔶 Alert storm: 3 alerts held back, 3 active"]
    message = Notification.objects.get(kind="storm").payload
    assert "1 high, 2 medium. The worst:\n- Worst (high)\n- Late (medium)" in message["text"]
    assert ["Worst", "Worst"] in message["facts"]


def test_a_critical_alert_is_sent_during_a_storm(storm: FakeHTTP) -> None:
    make_alert(title="Shop is down", severity=Severity.CRITICAL, now=NOON)

    deliver(NOON)

    assert titles(storm)[-1] == "⛔ Shop is down"


def test_an_alert_that_becomes_critical_is_sent_during_a_storm(storm: FakeHTTP) -> None:
    make_alert(key="rising", title="Rising", severity=Severity.HIGH, now=NOON)
    make_alert(key="rising", title="Rising", severity=Severity.CRITICAL, now=NOON)

    deliver(NOON)

    assert titles(storm)[-1] == "⛔ Now critical: Rising"


def test_another_storm_message_is_sent_when_more_alerts_are_held_back(storm: FakeHTTP) -> None:
    make_alert(title="Another", severity=Severity.HIGH, now=NOON + SECOND)
    deliver(NOON + 10 * SECOND)
    assert len(storm.requests) == 21

    deliver(NOON + 30 * SECOND)

    assert titles(storm)[-1] == "🔶 Alert storm: 4 alerts held back, 4 active"
    threads = {n.payload["thread"] for n in Notification.objects.filter(kind="storm")}
    assert len(threads) == 1


def test_an_alert_saved_just_after_a_storm_message_is_counted_in_the_next_one(
    storm: FakeHTTP,
) -> None:
    make_alert(title="Saved late", severity=Severity.HIGH, now=NOON - SECOND)

    deliver(NOON + 30 * SECOND)

    assert storm_titles(storm)[1:] == ["🔶 Alert storm: 4 alerts held back, 4 active"]


def test_the_end_of_a_storm_is_reported_once_with_the_alerts_that_are_still_active(
    storm: FakeHTTP,
) -> None:
    services.clear_problem(key=SystemAlert.objects.get(title="Late").key, now=NOON + MINUTE)

    for minute in range(5, 15):
        deliver(NOON + minute * MINUTE)

    assert titles(storm)[21:] == ["🔶 Alert storm over: 3 alerts held back, 2 still active"]


def test_a_later_storm_is_reported_separately(storm: FakeHTTP) -> None:
    later = NOON + timedelta(hours=1)
    for number in range(21):
        make_alert(title=f"Later {number}", severity=Severity.HIGH, now=later)
    deliver(later)

    assert storm_titles(storm)[1:] == ["🔶 Alert storm: 1 alert held back, 1 active"]


def test_the_timeline_and_the_messages_of_an_alert_say_that_it_was_held_back(
    storm: FakeHTTP,
) -> None:
    alert = SystemAlert.objects.get(title="Late")

    (notification,) = alert.notifications.all()
    assert notification.get_state_display() == "in the storm message"
    assert "alert storm, counted in the storm message: slack" in [
        event.text for event in alert.events.all()
    ]


def test_the_resolution_of_an_alert_that_was_held_back_sends_no_message(storm: FakeHTTP) -> None:
    services.clear_problem(key=SystemAlert.objects.get(title="Late").key, now=NOON + MINUTE)

    deliver(NOON + MINUTE)

    assert len(storm.requests) == 21


def test_very_many_critical_alerts_also_become_a_storm(
    slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storms, "CRITICAL_STORM_THRESHOLD", 30)
    for _ in range(storms.CRITICAL_STORM_THRESHOLD + 2):
        make_alert(severity=Severity.CRITICAL, now=NOON)

    deliver(NOON)

    assert len(slack.requests) == storms.CRITICAL_STORM_THRESHOLD + 1
    assert storm_titles(slack) == ["⛔ Alert storm: 2 alerts held back, 2 active"]


def test_a_message_to_several_people_counts_once(gauge: Gauge, twilio: FakeHTTP) -> None:
    channel = Channel.objects.get(name="sms")
    channel.config["recipients"] = ", ".join(f"+1555010{digit}" for digit in range(3))
    channel.max_per_minute = 1000
    channel.save()

    for number in range(21):
        make_alert(title=f"Slow {number}", severity=Severity.HIGH, now=NOON)
    deliver(NOON)

    # Each of the three recipients gets 20 messages and one storm message.
    assert len(twilio.requests) == 3 * (20 + 1)


@pytest.mark.slow
def test_ten_thousand_breaches_of_500_problems_create_500_alerts(
    gauge: Gauge, slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excess, "MAX_ALERTS_PER_RULE", 500)
    gauge.row(severity="high")
    gates = [Reading(9, labels=(("gate", f"gate {number}"),)) for number in range(500)]

    for minute in range(20):
        gauge.evaluate(gates, now=NOON + minute * MINUTE)
        deliver(NOON + minute * MINUTE)

    assert SystemAlert.objects.active().count() == 500
    assert set(SystemAlert.objects.values_list("occurrence_count", flat=True)) == {20}
    states = list(Notification.objects.filter(kind="triggered").values_list("state", flat=True))
    assert (states.count("sent"), states.count("grouped")) == (20, 480)
    assert storm_titles(slack) == [
        "🔶 Alert storm: 480 alerts held back, 480 active",
        "🔶 Alert storm over: 480 alerts held back, 480 still active",
    ]

    gauge.evaluate([], now=NOON + 30 * MINUTE)
    deliver(NOON + 30 * MINUTE)
    assert not SystemAlert.objects.active().exists()
    assert Notification.objects.filter(kind="resolved").count() == 20


def test_a_channel_sends_at_most_its_limit_per_minute(gauge: Gauge, slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(max_per_minute=7)
    gauge.row(severity="high")
    gauge.evaluate([Reading(9, labels=(("gate", str(number)),)) for number in range(15)], now=NOON)

    counts = []
    for minute in range(4):
        deliver(NOON + minute * MINUTE)
        counts.append(len(slack.requests))

    assert counts == [7, 14, 15, 15]


def test_a_limit_of_zero_pauses_a_channel(gauge: Gauge, slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(max_per_minute=0)
    gauge.evaluate(6, now=NOON)

    assert deliver(NOON) == {}
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
    # Make one request before the measurement, which must not include the compilation of the templates.
    client.get("/admin/alerts/")

    with django_assert_max_num_queries(20):  # type: ignore[operator]
        started = time.perf_counter()
        page = client.get("/admin/alerts/")
        elapsed = time.perf_counter() - started

    assert b"2000 active" in page.content
    assert page.content.count(b"data-row-item") == 50
    # The limit leaves a wide margin for busy machines.
    assert elapsed < 1.0, f"{elapsed:.3f} s"


def test_a_notification_is_sent_again_if_the_worker_dies_before_recording_it(
    gauge: Gauge, slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test that an attempt with an unknown result is repeated, so that each message is delivered at least once."""

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
    # The lease of the killed worker has not expired, so no other worker may send the message.
    assert len(slack.requests) == 1

    deliver(NOON + 3 * MINUTE)

    (notification,) = Notification.objects.all()
    assert (notification.state, notification.attempt_count, len(slack.requests)) == ("sent", 2, 2)
