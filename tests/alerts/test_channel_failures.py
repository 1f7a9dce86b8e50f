"""Channels that hang, fail, refuse or are revoked: nothing is lost, and no other channel waits."""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from alerts import services
from alerts.channels import DeliveryFailed
from alerts.extension_points import Severity
from alerts.models import Channel, Notification
from alerts.services import delivery, dispatch
from alerts.services.dispatch import MAX_SENDS_PER_CHANNEL, Dispatcher
from core.lib.continuous import Control
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver, sent
from tests.factories import make_alert
from tests.servers.fake_http import Answer, FakeHTTP, Received
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
DEAD_PID = 2**22 + 1  # above the largest id that Linux gives


def titles(server: FakeHTTP) -> list[str]:
    return [request.json()["text"] for request in server.requests]


def slack_channel() -> Channel:
    return Channel.objects.get(name="slack")


def hang(answer: threading.Event, started: threading.Event | None = None) -> None:
    if started:
        started.set()
    answer.wait(30)


def alerts(count: int, severity: Severity = Severity.HIGH) -> None:
    for number in range(count):
        make_alert(title=f"{severity} {number}", severity=severity, now=NOON)


# --- a channel that hangs ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_hanging_channel_occupies_a_few_sends_and_delays_no_other(
    slack: FakeHTTP, mail: MailServer
) -> None:
    answer = threading.Event()
    slack.respond_with(lambda request: hang(answer))
    alerts(15)
    with ThreadPoolExecutor(dispatch.MAX_SENDS) as executor:
        dispatcher = Dispatcher(executor)

        while len(mail.mails) < 15:
            dispatcher.step(now=NOON)

        assert len(slack.requests) == MAX_SENDS_PER_CHANNEL
        answer.set()


def test_a_failing_channel_is_probed_with_one_message_while_the_others_wait(
    slack: FakeHTTP,
) -> None:
    slack.answer(503, times=None)
    alerts(10)
    deliver(NOON)
    assert len(slack.requests) == MAX_SENDS_PER_CHANNEL

    for minute in range(1, 4):
        deliver(NOON + minute * MINUTE)
        assert len(slack.requests) == MAX_SENDS_PER_CHANNEL + minute

    waiting = Notification.objects.filter(state="waiting", channel=slack_channel())
    assert waiting.count() == 10


def test_all_messages_follow_once_a_probe_is_accepted(slack: FakeHTTP) -> None:
    slack.answer(503, times=MAX_SENDS_PER_CHANNEL)
    alerts(10)
    deliver(NOON)

    deliver(NOON + MINUTE)

    assert sorted(titles(slack)[4:]) == sorted(f"🔶 high {number}" for number in range(10))
    assert (slack_channel().failing_since, slack_channel().retry_at) == (None, None)


def test_of_two_nodes_one_probes_a_failing_channel(slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(failing_since=NOON, retry_at=NOON)
    alerts(2)

    class NeverAnswers(dispatch.InlineExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    first, second = Dispatcher(NeverAnswers(), "a:1"), Dispatcher(NeverAnswers(), "b:1")

    assert first.step(now=NOON) == 1
    assert first.step(now=NOON) == 0
    assert second.step(now=NOON) == 0


def test_a_probe_that_only_one_message_fails_does_not_keep_the_channel_failing(
    slack: FakeHTTP,
) -> None:
    def refuse_the_first(request: Received) -> Answer | None:
        return Answer(500) if "high 0" in request.json()["text"] else None

    slack.respond_with(refuse_the_first)
    alerts(3)

    for minute in range(4):
        deliver(NOON + minute * MINUTE)

    states = dict(Notification.objects.values_list("payload__title", "state"))
    assert states["high 1"] == states["high 2"] == "sent"
    assert sum("high 1" in title for title in titles(slack)) == 1


def test_a_send_that_ends_after_another_one_failed_does_not_end_the_wait_that_the_provider_asks_for(
    slack: FakeHTTP,
) -> None:
    alerts(3)
    limited, accepted = (
        delivery.claim(notification.pk, now=NOON) for notification in Notification.objects.all()[:2]
    )
    assert isinstance(limited, delivery.Claimed)
    assert isinstance(accepted, delivery.Claimed)
    failure = DeliveryFailed("429", retry_after=30)

    delivery.record(limited, delivery.Result(failure=failure), now=NOON + SECOND)
    delivery.record(accepted, delivery.Result(), now=NOON + 2 * SECOND)

    deliver(NOON + 29 * SECOND)
    assert slack.requests == []
    deliver(NOON + 32 * SECOND)
    assert len(slack.requests) == 2


def test_critical_messages_wait_as_long_as_the_provider_asks_for(slack: FakeHTTP) -> None:
    slack.answer(429, headers={"Retry-After": "120"})
    alerts(1)
    deliver(NOON)
    alerts(5, Severity.CRITICAL)

    deliver(NOON + 119 * SECOND)
    assert len(slack.requests) == 1
    deliver(NOON + 121 * SECOND)

    assert sum(title.startswith("⛔") for title in titles(slack)) == 5


# --- critical messages first ---------------------------------------------------------------------------------


def test_critical_messages_are_sent_before_older_ones(slack: FakeHTTP) -> None:
    alerts(3)
    alerts(2, Severity.CRITICAL)

    deliver(NOON)

    assert sorted(titles(slack)[:2]) == ["⛔ critical 0", "⛔ critical 1"]


def test_critical_messages_do_not_wait_for_the_limit_of_the_channel(slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(max_per_minute=3)
    alerts(5)
    deliver(NOON)
    alerts(4, Severity.CRITICAL)

    deliver(NOON)

    assert sum(title.startswith("⛔") for title in titles(slack)) == 4
    assert sum(title.startswith("🔶") for title in titles(slack)) == 3


def test_a_critical_message_does_not_wait_behind_an_older_one_about_its_alert(
    slack: FakeHTTP,
) -> None:
    Channel.objects.filter(name="slack").update(max_per_minute=1)
    alerts(1)
    deliver(NOON)
    make_alert(key="rising", title="Rising", severity=Severity.HIGH, now=NOON)
    make_alert(key="rising", title="Rising", severity=Severity.CRITICAL, now=NOON)

    deliver(NOON)

    assert titles(slack)[1:] == ["⛔ Now critical: Rising"]


# --- a channel that is revoked -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_the_message_that_meets_a_revoked_webhook_is_sent_after_the_repair(
    gauge: Gauge, slack: FakeHTTP, status: int
) -> None:
    slack.answer(status)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    assert not slack_channel().is_enabled

    services.enable_channel(slack_channel(), now=NOON + 2 * MINUTE)
    deliver(NOON + 2 * MINUTE)

    assert titles(slack) == ["⛔ Test gauge", "⛔ Test gauge"]


def test_alerts_that_open_while_a_channel_is_revoked_are_sent_after_the_repair(
    gauge: Gauge, slack: FakeHTTP, mail: MailServer
) -> None:
    slack.answer(410)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    make_alert(title="Meanwhile", now=NOON + MINUTE)
    deliver(NOON + MINUTE)
    assert len(slack.requests) == 1

    services.enable_channel(slack_channel(), now=NOON + 2 * MINUTE)
    deliver(NOON + 2 * MINUTE)

    assert titles(slack)[1:] == ["⛔ Test gauge", "⛔ Meanwhile"]


def test_a_message_held_for_days_is_sent_after_the_repair_if_its_alert_still_fires(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    slack.answer(410)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    monday = NOON + timedelta(days=3)

    services.enable_channel(slack_channel(), now=monday)
    deliver(monday)

    assert titles(slack) == ["⛔ Test gauge"] * 2


def test_a_held_message_about_a_resolved_alert_becomes_one_message_about_both(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    slack.answer(410)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    gauge.evaluate(0, now=NOON + 4 * MINUTE)

    services.enable_channel(slack_channel(), now=NOON + 5 * MINUTE)
    deliver(NOON + 5 * MINUTE)

    assert titles(slack)[1:] == ["✅ Resolved after 4 min: Test gauge"]


# --- other failures whose first attempt must not be the last -------------------------------------------------


def test_a_refused_sender_loses_nothing(gauge: Gauge, mail: MailServer) -> None:
    mail.refuse_sender_with("553 sender not allowed")
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    assert mail.mails == []
    mail.refuse_sender_with("")

    deliver(NOON + MINUTE)

    assert [mail["Subject"] for mail in mail.mails] == ["[critical] Test gauge"]


def test_a_message_waits_while_its_channel_is_not_configured(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    config = slack_channel().config
    Channel.objects.filter(name="slack").update(config={})

    assert deliver(NOON) == {}
    Channel.objects.filter(name="slack").update(config=config)
    deliver(NOON + MINUTE)

    assert titles(slack) == ["⛔ Test gauge"]


def test_a_message_to_a_forbidden_address_is_sent_once_the_address_is_allowed(
    gauge: Gauge, slack: FakeHTTP, settings: Settings
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    gauge.evaluate(6, now=NOON)
    for minute in range(5):
        deliver(NOON + minute * MINUTE)
    assert slack.requests == []
    assert "not a public address" in slack_channel().last_error

    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    deliver(NOON + 10 * MINUTE)

    assert titles(slack) == ["⛔ Test gauge"]


def test_a_message_that_was_refused_for_good_is_sent_again_after_a_repair(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    slack.answer(400, body="invalid_token")
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    deliver(NOON + 5 * MINUTE)
    assert len(slack.requests) == 1

    services.repair_channel(slack_channel(), now=NOON + 6 * MINUTE)
    deliver(NOON + 6 * MINUTE)

    assert len(sent("triggered")) == 1


# --- nodes that die ------------------------------------------------------------------------------------------


def test_a_restarted_node_sends_what_its_predecessor_had_claimed_at_once(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    (notification,) = Notification.objects.all()
    for _ in range(5):  # more often than the three attempts that a failing provider gets
        assert Notification.objects.claim(notification.pk, now=NOON, owner=f"node:{DEAD_PID}")
        Dispatcher(dispatch.InlineExecutor(), f"node:{os.getpid()}").release_own(now=NOON)

    deliver(NOON)

    assert len(sent("triggered")) == 1


@pytest.mark.parametrize("owner", [f"other:{DEAD_PID}", f"node:{os.getppid()}"])
def test_claims_of_other_machines_and_of_running_processes_are_kept(
    gauge: Gauge, slack: FakeHTTP, owner: str
) -> None:
    gauge.evaluate(6, now=NOON)
    (notification,) = Notification.objects.all()
    Notification.objects.claim(notification.pk, now=NOON, owner=owner)

    Dispatcher(dispatch.InlineExecutor(), f"node:{os.getpid()}").release_own(now=NOON)

    assert deliver(NOON) == {}


def test_a_message_whose_nodes_keep_dying_is_given_up_visibly(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    (notification,) = Notification.objects.all()
    for _ in range(20):
        Notification.objects.claim(notification.pk, now=NOON, owner="node")
        Notification.objects.release("node", now=NOON)

    assert deliver(NOON) == {"given up": 1}

    notification.refresh_from_db()
    assert notification.state == "failed"
    assert "undelivered" in [event.kind for event in gauge.alert().events.all()]


@pytest.mark.django_db(transaction=True)
def test_a_stopping_process_finishes_and_records_what_it_is_sending(slack: FakeHTTP) -> None:
    started, answer = threading.Event(), threading.Event()
    slack.respond_with(lambda request: hang(answer, started))
    make_alert(now=timezone.now())
    control = Control()

    def stop_while_sending() -> None:
        started.wait(30)
        control.stop()
        answer.set()

    stopper = threading.Thread(target=stop_while_sending)
    stopper.start()
    dispatch.run(control)
    stopper.join()

    assert len(sent("triggered")) == len(slack.requests) == 1


def test_results_are_recorded_after_the_database_was_unavailable(
    gauge: Gauge, slack: FakeHTTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError

    gauge.evaluate(6, now=NOON)
    dispatcher = Dispatcher(dispatch.InlineExecutor())
    dispatcher.step(now=NOON)
    with monkeypatch.context() as patched:
        patched.setattr(delivery, "record", fail)
        with pytest.raises(OperationalError):
            dispatcher.step(now=NOON)

    dispatcher.step(now=NOON)

    assert len(sent("triggered")) == len(slack.requests) == 1
