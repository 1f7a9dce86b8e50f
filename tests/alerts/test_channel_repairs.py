"""Test that messages that a channel refused or could not deliver are sent after the repair."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from alerts import services
from alerts.models import Channel, Notification
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver, sent
from tests.alerts.failing_channels import slack_channel, titles
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


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


def test_the_disabling_of_a_channel_is_reported_through_a_working_channel(
    gauge: Gauge, slack: FakeHTTP, mail: MailServer
) -> None:
    failing = Channel(
        name="failing", kind="webhook", config={"url": "https://example.com/", "secret": "s"}
    )
    failing.failing_since = NOON - MINUTE
    failing.save()
    slack.answer(410)

    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    notice = Notification.objects.get(kind="notice")
    assert notice.channel.name == "email"


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


def test_a_held_message_and_its_resolution_are_sent_as_one_message(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    slack.answer(410)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    gauge.evaluate(0, now=NOON + 4 * MINUTE)

    services.enable_channel(slack_channel(), now=NOON + 5 * MINUTE)
    deliver(NOON + 5 * MINUTE)

    assert titles(slack)[1:] == ["✅ Resolved after 4 min: Test gauge"]


def test_a_refused_sender_address_loses_no_message(gauge: Gauge, mail: MailServer) -> None:
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


def test_a_permanently_refused_message_is_sent_again_after_a_repair(
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
