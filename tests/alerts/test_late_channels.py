"""Test that alerts opened while no channel works are announced as soon as a channel works."""

import pytest

from alerts import services
from alerts.models import AlertEvent, AlertType, Channel, Notification, SystemAlert
from alerts.services import followups
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.fixture
def without_channels(slack: FakeHTTP) -> FakeHTTP:
    """Remove the configuration of the Slack channel, and return the server that the channel will use."""
    Channel.objects.filter(name="slack").update(config={})
    return slack


def configure(server: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(config={"webhook_url": f"{server.url}/hook"})


def titles(server: FakeHTTP) -> list[str]:
    return [request.json()["text"] for request in server.requests]


def test_an_alert_is_announced_when_a_channel_is_configured(
    gauge: Gauge, without_channels: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    for minute in range(1, 4):
        services.follow_up(now=NOON + minute * MINUTE)
    assert not Notification.objects.exists()

    configure(without_channels)
    services.follow_up(now=NOON + 5 * MINUTE)
    services.follow_up(now=NOON + 6 * MINUTE)
    deliver(NOON + 6 * MINUTE)

    assert titles(without_channels) == ["⛔ Test gauge"]


def test_an_alert_is_announced_when_a_disabled_channel_is_enabled(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    Channel.objects.filter(name="slack").update(is_enabled=False)
    gauge.evaluate(6, now=NOON)

    services.enable_channel(Channel.objects.get(name="slack"), now=NOON + MINUTE)
    services.follow_up(now=NOON + MINUTE)
    deliver(NOON + MINUTE)

    assert titles(slack) == ["⛔ Test gauge"]


def test_an_alert_is_announced_when_a_channel_is_routed_to_its_type(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    alert_type = AlertType.objects.get(slug="high-error-rate")
    alert_type.channels.clear()
    gauge.evaluate(6, now=NOON)

    alert_type.channels.add(Channel.objects.get(name="slack"))
    services.follow_up(now=NOON + MINUTE)
    deliver(NOON + MINUTE)

    assert titles(slack) == ["⛔ Test gauge"]


def test_no_alert_escalates_while_no_channel_exists_and_the_alert_is_sent_later(
    gauge: Gauge, without_channels: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    for minute in range(1, 90):
        services.follow_up(now=NOON + minute * MINUTE)
    assert gauge.alert().escalation_count == 0
    assert not gauge.alert().is_unanswered

    configure(without_channels)
    services.follow_up(now=NOON + 90 * MINUTE)
    deliver(NOON + 90 * MINUTE)

    assert titles(without_channels)[0] == "⛔ Test gauge"


def test_an_escalation_to_the_first_channel_that_works_announces_the_alert(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    AlertType.objects.get(slug="high-error-rate").channels.clear()
    gauge.evaluate(6, now=NOON)

    for minute in range(1, 17):
        services.follow_up(now=NOON + minute * MINUTE)
    deliver(NOON + 16 * MINUTE)

    assert titles(slack)[0] == "⛔ Test gauge"


def test_the_timeline_states_once_that_no_channel_was_available(
    gauge: Gauge, without_channels: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    for minute in range(1, 4):
        services.follow_up(now=NOON + minute * MINUTE)

    held = gauge.alert().events.filter(kind=AlertEvent.Kind.HELD_BACK)
    assert [event.text for event in held] == [
        "no channel of this alert type is configured; the alert is announced when one is configured"
    ]


def test_an_alert_resolved_before_any_channel_worked_is_never_sent(
    gauge: Gauge, without_channels: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    gauge.evaluate(0, now=NOON + MINUTE)

    configure(without_channels)
    services.follow_up(now=NOON + 2 * MINUTE)
    deliver(NOON + 2 * MINUTE)

    assert without_channels.requests == []


def test_hundreds_of_alerts_that_wait_do_not_keep_later_ones_from_being_announced(
    slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followups, "BATCH_SIZE", 5)
    AlertType.objects.get(slug="high-error-rate").channels.clear()
    for number in range(12):
        make_alert(title=f"Waiting {number}", now=NOON)
    make_alert(title="Reachable", alert_type="slow-performance", is_announced=False, now=NOON)
    Notification.objects.all().delete()

    services.follow_up(now=NOON + MINUTE)
    deliver(NOON + MINUTE)

    assert titles(slack) == ["⛔ Reachable"]
    assert SystemAlert.objects.filter(is_announced=False).count() == 12


def test_all_alerts_are_announced_when_a_channel_works(
    slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followups, "BATCH_SIZE", 5)
    alert_type = AlertType.objects.get(slug="high-error-rate")
    alert_type.channels.clear()
    for number in range(12):
        make_alert(title=f"Waiting {number}", now=NOON)
    alert_type.channels.add(Channel.objects.get(name="slack"))

    assert services.follow_up(now=NOON + MINUTE)["announced"] == 12


def test_a_sweep_that_takes_long_continues_in_the_next_one(
    slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followups, "BATCH_SIZE", 5)
    monkeypatch.setattr(followups, "MAX_SECONDS_PER_STEP", 0)
    alert_type = AlertType.objects.get(slug="high-error-rate")
    alert_type.channels.clear()
    for number in range(12):
        make_alert(title=f"Waiting {number}", now=NOON)
    alert_type.channels.add(Channel.objects.get(name="slack"))

    counts = [services.follow_up(now=NOON + minute * MINUTE)["announced"] for minute in range(1, 5)]

    assert counts == [5, 5, 2, 0]
