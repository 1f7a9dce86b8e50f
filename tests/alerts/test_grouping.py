"""Test that alerts with the same cause are merged into one message, and that critical alerts do not wait for this."""

from datetime import timedelta

import pytest

from alerts import services
from alerts.common_causes import list_causes
from alerts.extension_points import Severity
from alerts.models import Channel, DeliveryAttempt, Notification, SystemAlert
from alerts.services import delivery, grouping
from health.models import Component
from health.services import record_results
from health.verdict import Result, Status
from tests.alerts.conftest import MINUTE, NOON, deliver
from tests.factories import make_alert, make_monitor
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
WAIT = grouping.GROUP_WAIT


def texts(server: FakeHTTP) -> list[str]:
    return [request.json()["text"] for request in server.requests]


def blocks(server: FakeHTTP) -> str:
    return str(server.requests[-1].json())


def open_alert(
    title: str, severity: Severity = Severity.HIGH, app: str = "shop", **fields: object
) -> SystemAlert:
    given: dict[str, object] = {"labels": {"app": app}, "now": NOON, **fields}
    return make_alert(title=title, severity=severity, **given)


# --- causes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "metadata", "causes"),
    [
        ({"app": "shop"}, {}, ["app shop"]),
        (
            {},
            {"component": "checkout", "app": "shop", "host": "Shop.example"},
            ["component checkout", "host shop.example", "app shop"],
        ),
        ({"instance": "10.0.0.5:9100", "job": "node"}, {}, ["host 10.0.0.5"]),
        ({"instance": "[2001:db8::1]:9100"}, {}, ["host [2001:db8::1]"]),
        ({"host": "db", "node": "db", "service": "shop"}, {"app": "shop"}, ["host db", "app shop"]),
        ({"alertname": "Slow"}, {"alert group": '{}:{cluster="eu"}'}, ['group {}:{cluster="eu"}']),
        ({"app": ""}, {"app": None}, []),
        ({"app": 7}, {}, ["app 7"]),
        ({"gate": "north"}, {"payment": 3}, []),
    ],
)  # fmt: skip
def test_the_component_the_host_and_the_app_count_as_causes(
    labels: dict[str, object], metadata: dict[str, object], causes: list[str]
) -> None:
    assert list_causes(labels, metadata) == causes


# --- one message ----------------------------------------------------------------------------------------


def test_alerts_about_one_app_within_the_wait_are_merged_into_one_message(slack: FakeHTTP) -> None:
    open_alert("Slow pages")
    open_alert("High error rate", now=NOON + 10 * SECOND)
    open_alert("Failed SMS", app="tickets", now=NOON + 10 * SECOND)

    deliver(NOON + 20 * SECOND)
    assert texts(slack) == []
    deliver(NOON + WAIT)
    deliver(NOON + 2 * WAIT)

    assert texts(slack) == ["🔶 Slow pages, and 1 related alert", "🔶 Failed SMS"]
    first = str(slack.requests[0].json())
    assert "Together with 1 related alert about the app shop:" in first
    assert "- High error rate (high)" in first


def test_alerts_without_a_known_cause_do_not_wait(slack: FakeHTTP) -> None:
    make_alert(title="A", severity=Severity.HIGH, now=NOON)
    make_alert(title="B", severity=Severity.HIGH, now=NOON)

    deliver(NOON)

    assert texts(slack) == ["🔶 A", "🔶 B"]


def test_a_critical_alert_is_sent_at_once_together_with_waiting_alerts(slack: FakeHTTP) -> None:
    open_alert("Slow pages")
    open_alert("Shop is down", Severity.CRITICAL, now=NOON + SECOND)

    deliver(NOON + SECOND)

    assert texts(slack) == ["⛔ Shop is down, and 1 related alert"]
    assert deliver(NOON + WAIT) == {}


def test_simultaneous_critical_alerts_are_one_message_without_a_delay(
    slack: FakeHTTP,
) -> None:
    for title in ("Shop is down", "Checkout is down", "Search is down"):
        open_alert(title, Severity.CRITICAL)

    deliver(NOON)

    assert texts(slack) == ["⛔ Shop is down, and 2 related alerts"]
    attempt = DeliveryAttempt.objects.get(channel__kind="slack")
    assert attempt.started_at == NOON


def test_a_critical_alert_is_never_merged_into_a_lesser_one(slack: FakeHTTP) -> None:
    open_alert("Slow pages")
    critical = open_alert("Shop is down", Severity.CRITICAL, now=NOON + WAIT)
    lesser = Notification.objects.get(alert__title="Slow pages", channel__kind="slack")

    delivery.deliver(notification_id=lesser.pk, now=NOON + WAIT)
    deliver(NOON + WAIT)

    assert texts(slack) == ["🔶 Slow pages", "⛔ Shop is down"]
    assert critical.notifications.filter(channel__kind="slack", state="sent").exists()


def test_monitors_of_one_host_that_fail_together_are_one_message(slack: FakeHTTP) -> None:
    monitors = [
        make_monitor(f"https://shop.example/{path}", is_required=False)
        for path in ("health", "cart", "pay")
    ]
    for monitor in monitors:
        for minute in range(2):
            at = NOON + minute * MINUTE
            record_results(
                [
                    (
                        Component.objects.get(pk=monitor.pk),
                        [Result(Status.UNHEALTHY, at, 5, "refused")],
                    )
                ],
                now=at,
            )

    deliver(NOON + 2 * MINUTE)

    assert len(slack.requests) == 1
    assert "and 2 related alerts" in texts(slack)[0]
    assert "about the host shop.example" in blocks(slack)


def test_resolutions_that_come_together_are_one_message(slack: FakeHTTP) -> None:
    alerts = [open_alert(title) for title in ("A", "B", "C")]
    deliver(NOON + WAIT)
    for alert in alerts:
        services.clear_problem(key=alert.key, now=NOON + 5 * MINUTE)

    deliver(NOON + 5 * MINUTE)
    assert len(slack.requests) == 1
    deliver(NOON + 5 * MINUTE + WAIT)

    assert texts(slack)[1:] == ["✅ Resolved: A, and 2 related resolutions"]
    assert "- Resolved: C (high)" in blocks(slack)


def test_each_alert_that_was_merged_gets_its_resolution(slack: FakeHTTP) -> None:
    open_alert("A")
    second = open_alert("B")
    deliver(NOON + WAIT)

    services.clear_problem(key=second.key, now=NOON + 5 * MINUTE)
    deliver(NOON + 6 * MINUTE)

    assert texts(slack)[1:] == [
        # B was not announced, so the message must not say "Resolved after 5 min".
        "✅ Resolved: B"
    ]


def test_an_alert_that_resolves_while_it_waits_is_one_message(slack: FakeHTTP) -> None:
    alert = open_alert("A")
    services.clear_problem(key=alert.key, now=NOON + 10 * SECOND)

    deliver(NOON + MINUTE)

    assert texts(slack) == ["✅ Resolved after 10 s: A"]


@pytest.mark.parametrize("kind", ["webhook", "pagerduty", "voice"])
def test_services_that_act_on_each_alert_get_each_one_at_once(kind: str) -> None:
    channel = Channel(kind=kind)
    assert not grouping.merges(channel)
    assert grouping.merges(Channel(kind="email"))


def test_a_channel_can_be_set_to_one_message_per_alert(slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(groups_alerts=False)
    open_alert("A")
    open_alert("B")

    deliver(NOON)

    assert texts(slack) == ["🔶 A", "🔶 B"]


def test_many_related_alerts_do_not_count_as_a_storm(slack: FakeHTTP) -> None:
    for number in range(30):
        open_alert(f"Slow {number}")

    deliver(NOON + WAIT)

    assert texts(slack) == ["🔶 Slow 0, and 29 related alerts"]
    assert "- and 19 more" in blocks(slack)


# --- failures -----------------------------------------------------------------------------------------


def merged() -> list[tuple[str, str]]:
    rows = Notification.objects.filter(channel__kind="slack").order_by("pk")
    return [(row.payload["title"], row.state) for row in rows]


def test_a_retry_sends_the_same_message(slack: FakeHTTP) -> None:
    open_alert("A")
    open_alert("B")
    slack.answer(500)
    deliver(NOON + WAIT)
    open_alert("C", now=NOON + MINUTE)

    for minute in range(1, 5):
        deliver(NOON + minute * MINUTE)

    assert texts(slack)[:2] == ["🔶 A, and 1 related alert"] * 2
    assert "🔶 C" in texts(slack)[2]
    assert len(slack.requests) == 3


def test_if_the_first_alert_resolves_before_delivery_the_others_are_still_sent(
    slack: FakeHTTP,
) -> None:
    first = open_alert("A")
    open_alert("B")
    slack.answer(500)
    deliver(NOON + WAIT)
    services.clear_problem(key=first.key, now=NOON + MINUTE)

    for minute in range(2, 6):
        deliver(NOON + minute * MINUTE)

    assert sorted(texts(slack)[1:]) == ["✅ Resolved after 1 min: A", "🔶 B"]


def test_a_message_that_the_provider_refuses_does_not_fail_the_others(
    slack: FakeHTTP,
) -> None:
    open_alert("A")
    open_alert("B")
    slack.answer(400, body="invalid_blocks")
    deliver(NOON + WAIT)

    deliver(NOON + MINUTE)

    assert texts(slack)[1:] == ["🔶 B"]
    assert merged() == [("A, and 1 related alert", "failed"), ("B", "sent")]


def test_the_resolution_of_a_merged_alert_is_not_sent_before_its_message(slack: FakeHTTP) -> None:
    open_alert("A")
    second = open_alert("B")
    slack.answer(500, times=2)
    deliver(NOON + WAIT)
    services.clear_problem(key=second.key, now=NOON + MINUTE)

    for minute in range(1, 12):
        deliver(NOON + minute * MINUTE)

    assert texts(slack)[-2:] == ["🔶 A, and 1 related alert", "✅ Resolved: B"]


def test_the_sweep_finds_messages_whose_leader_has_ended(slack: FakeHTTP) -> None:
    open_alert("A")
    open_alert("B")
    first, second = Notification.objects.filter(channel__kind="slack").order_by("pk")
    Notification.objects.filter(pk=second.pk).update(state="merged", merged_into=first)
    Notification.objects.filter(pk=first.pk).update(state="superseded")

    services.follow_up(now=NOON + MINUTE)
    deliver(NOON + MINUTE)

    assert texts(slack) == ["🔶 B"]


def test_messages_held_for_quiet_hours_are_merged_at_their_end(slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(quiet_from="11:00", quiet_until="13:00")
    open_alert("A")
    open_alert("B", now=NOON + 10 * MINUTE)

    deliver(NOON + 30 * MINUTE)
    assert texts(slack) == []
    deliver(NOON + timedelta(hours=1))

    assert texts(slack) == ["🔶 A, and 1 related alert"]
