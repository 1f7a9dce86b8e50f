"""Test that people and teams can be recipients of a channel, and that their quiet hours are respected."""

from datetime import time, timedelta

import pytest

from alerts.models import Channel, Person, Team
from tests.alerts.conftest import MINUTE, NOON, Gauge, Make, deliver, sent
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


def test_people_in_several_teams_are_notified_once(gauge: Gauge, twilio: FakeHTTP) -> None:
    channel = Channel.objects.get(name="sms")
    anna = Person.objects.create(name="Anna", phone="+15550200")
    away = Person.objects.create(name="Away", phone="+15550201", is_active=False)
    silent = Person.objects.create(name="No phone")
    team = Team.objects.create(name="Night shift")
    team.people.set([anna, away, silent])
    channel.teams.set([team])
    channel.people.set([anna])

    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    numbers = sorted(request.form()["To"] for request in twilio.requests)
    assert numbers == ["+15550100", "+15550101", "+15550200"]


def test_quiet_hours_delay_all_but_critical_messages(gauge: Gauge, twilio: FakeHTTP) -> None:
    channel = Channel.objects.get(name="sms")
    channel.config["recipients"] = ""
    channel.save()
    bo = Person.objects.create(
        name="Bo",
        phone="+15550300",
        time_zone="Europe/Berlin",
        quiet_from=time(22),
        quiet_until=time(7),
    )
    channel.people.set([bo])
    night = NOON + timedelta(hours=11)  # NOON + 11 hours is midnight in Berlin.
    gauge.row(severity="warning", critical_threshold=100)

    gauge.evaluate(6, now=night)
    deliver(night)
    assert twilio.requests == []
    gauge.evaluate(101, now=night + MINUTE)
    deliver(night + MINUTE)

    assert [n.kind for n in sent()] == ["raised"]


def test_an_alert_resolved_during_quiet_hours_causes_one_message_afterwards(
    gauge: Gauge, channel: Make, mail: MailServer
) -> None:
    made = channel("email", recipients="ops@example.com")
    sleeper = Person.objects.create(
        name="Bo",
        email="bo@example.com",
        time_zone="Europe/Berlin",
        quiet_from=time(22),
        quiet_until=time(7),
    )
    made.people.set([sleeper])
    gauge.row(severity="warning")
    night = NOON + timedelta(hours=11)  # NOON + 11 hours is midnight in Berlin.

    gauge.evaluate(6, now=night)
    deliver(night)
    gauge.evaluate(0, now=night + 4 * MINUTE)
    deliver(night + 4 * MINUTE)
    assert {mail["To"] for mail in mail.mails} == {"ops@example.com"}
    deliver(night + timedelta(hours=7))

    (for_bo,) = [mail for mail in mail.mails if mail["To"] == "bo@example.com"]
    assert for_bo["Subject"] == "[resolved after 4 min] Test gauge"
