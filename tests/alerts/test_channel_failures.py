"""Test that no message is lost when a channel hangs or fails, and that no other channel waits for it."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from alerts.channels import DeliveryFailed
from alerts.extension_points import Severity
from alerts.models import Channel, Notification
from alerts.services import delivery, dispatch
from alerts.services.dispatch import MAX_SENDS_PER_CHANNEL, Dispatcher
from tests.alerts.conftest import MINUTE, NOON, deliver
from tests.alerts.failing_channels import SECOND, alerts, hang, slack_channel, titles
from tests.factories import make_alert
from tests.servers.fake_http import Answer, FakeHTTP, Received
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_a_hanging_channel_occupies_few_sends_and_delays_no_other_channel(
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


def test_only_one_of_two_nodes_probes_a_failing_channel(slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(failing_since=NOON, retry_at=NOON)
    alerts(2)

    class NeverAnswers(dispatch.InlineExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    first, second = Dispatcher(NeverAnswers(), "a:1"), Dispatcher(NeverAnswers(), "b:1")

    assert first.step(now=NOON) == 1
    assert first.step(now=NOON) == 0
    assert second.step(now=NOON) == 0


def test_a_message_that_alone_fails_as_a_probe_does_not_keep_the_channel_failing(
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


def test_a_send_that_succeeds_after_another_failed_does_not_end_the_wait_requested_by_the_provider(
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


def test_critical_messages_wait_as_long_as_the_provider_requests(slack: FakeHTTP) -> None:
    slack.answer(429, headers={"Retry-After": "120"})
    alerts(1)
    deliver(NOON)
    alerts(5, Severity.CRITICAL)

    deliver(NOON + 119 * SECOND)
    assert len(slack.requests) == 1
    deliver(NOON + 121 * SECOND)

    assert sum(title.startswith("⛔") for title in titles(slack)) == 5


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
