"""Test that the outbox is delivered even if a provider is slow, failing or unavailable."""

import re
from datetime import timedelta

import pytest

from alerts import services
from alerts.extension_points import Severity
from alerts.models import Channel, DeliveryAttempt, Notification, Person
from alerts.services import dispatch, notifications, outbox
from alerts.services.channel_state import backoff
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver, sent
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


def titles(server: FakeHTTP) -> list[str]:
    return [request.json()["text"] for request in server.requests]


def test_each_channel_gets_one_message_for_an_alert_and_one_for_its_resolution(
    gauge: Gauge, slack: FakeHTTP, mail: MailServer
) -> None:
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    for minute in range(1, 6):
        gauge.evaluate(7, now=NOON + minute * MINUTE)
        deliver(NOON + minute * MINUTE)
    gauge.evaluate(0, now=NOON + 6 * MINUTE)
    deliver(NOON + 6 * MINUTE)

    assert titles(slack) == ["⛔ Test gauge", "✅ Resolved: Test gauge"]
    assert [mail["Subject"] for mail in mail.mails] == [
        "[critical] Test gauge",
        "[resolved] Test gauge",
    ]


def test_a_slack_message_has_a_header_a_section_and_a_context(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    (attachment,) = slack.requests[0].json()["attachments"]
    header, section, context, actions = attachment["blocks"]
    assert attachment["color"] == "#b3261e"
    assert header["text"]["text"] == "⛔ Test gauge"
    assert section["text"]["text"] == "6 errors, above the threshold of 5 errors (over 1 h)."
    assert {"type": "mrkdwn", "text": "*Value*\n6 errors"} in section["fields"]
    assert context["elements"][0]["text"].startswith("test · <!date^")
    assert actions["elements"][0]["url"].endswith(f"/admin/alerts/{gauge.alert().pk}/")


def test_slack_markup_is_escaped_and_long_texts_are_truncated(slack: FakeHTTP) -> None:
    services.report_problem(
        key="x",
        alert_type="high-error-rate",
        title="<!channel> " + "x" * 180,
        message="a & b <@U1> " + "y" * 4000,
        severity=Severity.CRITICAL,
        source="<b>",
        now=NOON,
    )
    deliver(NOON)

    body = slack.requests[0].json()
    header, section, context, _ = body["attachments"][0]["blocks"]
    assert body["text"].startswith("⛔ &lt;!channel&gt;")
    assert len(header["text"]["text"]) == 150
    assert section["text"]["text"].startswith("a &amp; b &lt;@U1&gt;")
    assert len(section["text"]["text"]) <= 3000
    assert context["elements"][0]["text"].startswith("&lt;b&gt; · ")


def test_an_email_has_html_and_text_and_belongs_to_a_thread(gauge: Gauge, mail: MailServer) -> None:
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    gauge.evaluate(0, now=NOON + MINUTE)
    deliver(NOON + MINUTE)

    first, second = mail.mails
    text, html = first.iter_parts()
    assert "6 errors, above the threshold" in text.get_content()
    assert "6 errors, above the threshold" in html.get_content()
    assert re.search(r"<h1[^>]*>Test gauge</h1>", html.get_content())
    assert first["References"] == second["References"] == second["In-Reply-To"]
    assert first["Message-ID"] != second["Message-ID"]


def test_a_delivery_fails_after_three_attempts(gauge: Gauge, slack: FakeHTTP) -> None:
    slack.answer(500, body="oops", times=None)
    gauge.evaluate(6, now=NOON)

    for minute in range(3):
        deliver(NOON + minute * MINUTE)

    notification = Notification.objects.get(channel__kind="slack")
    assert (notification.state, notification.attempt_count) == ("failed", 3)
    assert notification.error == "500 oops"
    assert [a.answer for a in notification.attempts.all()] == ["500 oops"] * 3
    assert "undelivered" in [event.kind for event in gauge.alert().events.all()]


def test_a_notification_is_delivered_after_a_500_and_a_429(gauge: Gauge, slack: FakeHTTP) -> None:
    slack.answer(500)
    slack.answer(429, headers={"Retry-After": "90"})
    gauge.evaluate(6, now=NOON)

    deliver(NOON)
    deliver(NOON + MINUTE)
    # The second response, at one minute, had a Retry-After of 90 s, so at two minutes it is too early to retry.
    deliver(NOON + 2 * MINUTE)
    assert len(slack.requests) == 2
    deliver(NOON + 3 * MINUTE)

    (notification,) = sent("triggered")
    assert (notification.attempt_count, len(slack.requests)) == (3, 3)


def test_a_dropped_connection_is_retried(gauge: Gauge, slack: FakeHTTP) -> None:
    slack.drop()
    gauge.evaluate(6, now=NOON)

    deliver(NOON)
    deliver(NOON + MINUTE)

    assert [a.is_success for a in DeliveryAttempt.objects.order_by("pk")] == [False, True]


@pytest.mark.slow
def test_notifications_survive_an_outage_of_an_hour(gauge: Gauge, slack: FakeHTTP) -> None:
    slack.refuse()
    gauge.evaluate(6, now=NOON)
    for minute in range(60):
        deliver(NOON + minute * MINUTE)
    channel = Channel.objects.get(name="slack")
    assert channel.failing_since == NOON

    slack.start()
    for minute in range(60, 70):
        deliver(NOON + minute * MINUTE)

    assert titles(slack) == ["⛔ Test gauge"]
    channel.refresh_from_db()
    assert channel.failing_since is None


def test_a_problem_resolved_before_delivery_is_one_message(gauge: Gauge, slack: FakeHTTP) -> None:
    slack.answer(500)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    gauge.evaluate(0, now=NOON + 4 * MINUTE)
    for minute in range(4, 8):
        deliver(NOON + minute * MINUTE)

    assert titles(slack)[1:] == ["✅ Resolved after 4 min: Test gauge"]
    assert Notification.objects.get(kind="triggered").state == "superseded"


def test_a_deleted_webhook_disables_its_channel_and_another_channel_reports_it(
    gauge: Gauge, slack: FakeHTTP, mail: MailServer
) -> None:
    slack.answer(404, body="no_service", times=None)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    deliver(NOON + MINUTE)

    channel = Channel.objects.get(name="slack")
    assert (channel.is_enabled, channel.disabled_reason) == (False, "404 no_service")
    assert len(slack.requests) == 1
    assert 'The channel "slack" was disabled' in [mail["Subject"] for mail in mail.mails]


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_disabled_channel_is_reported_through_a_channel_that_reaches_people(
    gauge: Gauge, slack: FakeHTTP, mail: MailServer, is_paused: bool
) -> None:
    deliverable = Channel.objects.get(name="email")
    deliverable.pk = None
    deliverable.name = "second"
    deliverable.save()
    first = Channel.objects.get(name="email")
    if is_paused:
        Channel.objects.filter(pk=first.pk).update(max_per_minute=0)
    else:
        Channel.objects.filter(pk=first.pk).update(config={})
        first.people.add(Person.objects.create(name="Ann"))  # Has no e-mail address.
    slack.answer(404, body="no_service", times=None)
    gauge.evaluate(6, now=NOON)

    deliver(NOON)
    deliver(NOON + MINUTE)

    notice = Notification.objects.get(kind="notice")
    assert (notice.channel, notice.state) == (deliverable, "sent")


def test_a_temporary_smtp_failure_is_retried(gauge: Gauge, mail: MailServer) -> None:
    mail.refuse_with("451 later")
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    mail.refuse_with("")
    deliver(NOON + MINUTE)

    assert [n.attempt_count for n in sent("triggered")] == [2]
    assert len(mail.mails) == 1


def test_a_permanent_smtp_failure_is_not_retried(gauge: Gauge, mail: MailServer) -> None:
    mail.refuse_with("550 no such user")
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    deliver(NOON + 5 * MINUTE)

    notification = Notification.objects.get(kind="triggered")
    assert (notification.state, notification.attempt_count) == ("failed", 1)
    assert notification.is_permanent_failure


def test_another_worker_takes_over_when_the_lease_expires(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    notification = Notification.objects.get(channel__kind="slack")
    # The claiming worker dies, so its lease must expire before another worker sends the message.
    assert Notification.objects.claim(notification.pk, now=NOON)

    deliver(NOON + MINUTE)
    assert slack.requests == []
    deliver(NOON + 2 * MINUTE + timedelta(seconds=1))

    (notification,) = sent("triggered")
    assert notification.attempt_count == 2


def test_a_notification_can_be_claimed_once(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    notification = Notification.objects.get(channel__kind="slack")

    claims = [Notification.objects.claim(notification.pk, now=NOON) for _ in range(3)]

    assert [bool(claim) for claim in claims] == [True, False, False]


def test_messages_about_one_alert_keep_their_order(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    trigger = Notification.objects.get(channel__kind="slack")
    Notification.objects.claim(trigger.pk, now=NOON)
    gauge.evaluate(0, now=NOON + MINUTE)
    end = Notification.objects.get(kind="resolved")

    assert services.deliver(notification_id=end.pk, now=NOON + MINUTE) == "not due"
    assert deliver(NOON + 3 * MINUTE) == {"sent": 2}

    assert titles(slack) == ["⛔ Test gauge", "✅ Resolved: Test gauge"]


def test_a_failing_channel_does_not_delay_the_others(
    gauge: Gauge, slack: FakeHTTP, mail: MailServer
) -> None:
    slack.answer(503, times=None)
    for _ in range(5):
        make_alert(now=NOON)
    outcomes = deliver(NOON)

    assert len(mail.mails) == 5
    assert len(slack.requests) == dispatch.MAX_SENDS_PER_CHANNEL
    assert outcomes == {"sent": 5, "retry": dispatch.MAX_SENDS_PER_CHANNEL}


def test_messages_above_the_limit_wait_for_the_next_minute(slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(max_per_minute=3)
    for _ in range(5):
        make_alert(severity=Severity.HIGH, now=NOON)

    deliver(NOON)
    assert len(slack.requests) == 3
    deliver(NOON + MINUTE)
    assert len(slack.requests) == 5
    assert {n.attempt_count for n in sent()} == {1}


def test_a_notification_past_its_deadline_fails(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    services.dismiss(gauge.alerts(), user=None, now=NOON)

    deliver(NOON + outbox.DELIVERY_DEADLINE + MINUTE)

    notification = Notification.objects.get(channel__kind="slack")
    assert (notification.state, slack.requests) == ("failed", [])
    assert "deadline" in notification.error


def test_a_message_about_an_alert_that_still_fires_has_no_deadline(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)

    deliver(NOON + outbox.DELIVERY_DEADLINE + MINUTE)

    assert titles(slack) == ["⛔ Test gauge"]


def test_staff_can_resend_a_failed_notification(gauge: Gauge, slack: FakeHTTP) -> None:
    slack.answer(400, body="invalid_blocks")
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    notification = Notification.objects.get(channel__kind="slack")
    assert notification.state == "failed"

    assert services.resend(notification, now=NOON + MINUTE)
    assert not services.resend(notification, now=NOON + MINUTE)
    deliver(NOON + MINUTE)

    notification.refresh_from_db()
    assert (notification.state, notification.attempts.count()) == ("sent", 2)


def test_an_unconfigured_channel_is_skipped_and_noted_in_the_timeline(gauge: Gauge) -> None:
    gauge.evaluate(6, now=NOON)

    assert not Notification.objects.exists()
    assert notifications.NO_CHANNEL in [event.text for event in gauge.alert().events.all()]


def test_backoff_doubles_with_jitter_and_respects_retry_after() -> None:
    for attempt in range(1, 12):
        waits = [backoff(attempt, None) for _ in range(50)]
        assert max(waits) <= min(timedelta(seconds=10) * 2 ** (attempt - 1), timedelta(minutes=5))
        assert len(set(waits)) > 40
    assert backoff(1, 90) == timedelta(seconds=90)
