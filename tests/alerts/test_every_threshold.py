"""Test that crossing a rule's threshold opens one alert, and that each channel announces it and its resolution once."""

from datetime import datetime

import pytest
from pytest_django import Settings

from alerts import services
from alerts.extension_points import alert_rules
from alerts.models import AlertRule, AlertType, Channel, Notification, SystemAlert
from core.lib.outbound import breaker
from tests.alerts.crossings import CROSSINGS, MINUTE, NOON, Crossing
from tests.factories import (
    make_app,
)
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


def test_every_registered_rule_has_a_crossing() -> None:
    crossed = [crossing.rule for crossing in CROSSINGS]
    assert sorted(crossed) == sorted(rule.name for rule in alert_rules)


@pytest.fixture
def channels(
    settings: Settings, fake: FakeHTTP, mail_server: MailServer
) -> tuple[FakeHTTP, MailServer]:
    """Return the servers of the Slack and e-mail channels, which receive every type of alert."""
    settings.SLACK_WEBHOOK_URL = fake.url
    settings.ALERT_EMAILS = ["ops@example.com"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_server.port
    settings.EMAIL_USE_TLS = False
    breaker.reset_all()
    return fake, mail_server


@pytest.mark.parametrize("crossing", CROSSINGS, ids=lambda crossing: crossing.rule)
def test_crossing_a_threshold_sends_one_alert_and_one_resolution(
    crossing: Crossing, channels: tuple[FakeHTTP, MailServer]
) -> None:
    app = make_app("shop")
    AlertRule.objects.exclude(name=crossing.rule).update(is_enabled=False)
    rule = AlertRule.objects.get(name=crossing.rule)
    assert rule.threshold == crossing.threshold
    kind = AlertType.objects.get_or_create(slug=rule.alert_type, defaults={"name": "Its type"})[0]
    AlertType.objects.filter(pk=kind.pk).update(digest_only=False)
    kind.channels.set(Channel.objects.filter(name__in=["email", "slack"]))

    crossing.under(app, NOON)
    sweep(NOON)
    assert not SystemAlert.objects.exists()

    crossing.over(app, NOON + 2 * MINUTE)
    for minute in (3, 4, 5):
        sweep(NOON + minute * MINUTE)
    alert = SystemAlert.objects.get()
    assert (alert.state, alert.occurrence_count) == ("open", 3)

    ended = NOON + crossing.later
    crossing.end(app, ended)
    for minute in (1, 2, 3):
        sweep(ended + minute * MINUTE)
    alert.refresh_from_db()
    assert alert.state == "resolved"
    notifications = Notification.objects.exclude(kind__in=["escalated", "reminder"])
    assert sorted(notifications.values_list("channel__name", "kind", "state")) == [
        ("email", "resolved", "sent"),
        ("email", "triggered", "sent"),
        ("slack", "resolved", "sent"),
        ("slack", "triggered", "sent"),
    ]


@pytest.mark.parametrize("crossing", CROSSINGS, ids=lambda crossing: crossing.rule)
def test_a_threshold_changed_by_staff_is_used(crossing: Crossing) -> None:
    app = make_app("shop")
    rule = AlertRule.objects.get(name=crossing.rule)
    moved = rule.threshold - 50 if rule.below else rule.threshold * 3 or 1
    AlertRule.objects.filter(pk=rule.pk).update(threshold=moved)

    crossing.under(app, NOON)
    crossing.over(app, NOON + 2 * MINUTE)
    services.evaluate_rule(crossing.rule, now=NOON + 3 * MINUTE)
    assert not SystemAlert.objects.exists()

    closer = rule.threshold * 0.9 if not rule.below else rule.threshold + 10
    AlertRule.objects.filter(pk=rule.pk).update(threshold=closer)
    services.evaluate_rule(crossing.rule, now=NOON + 4 * MINUTE)
    assert SystemAlert.objects.get().state == "open"


def sweep(now: datetime) -> None:
    services.evaluate_rules(now=now)
    services.follow_up(now=now)
    services.deliver_waiting(now=now)
