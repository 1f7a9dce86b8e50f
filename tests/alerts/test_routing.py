"""Test which channels and people get a message, and at which time."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from alerts.models import AlertType, Channel, EscalationStep, Person, Team
from alerts.queries import routing
from tests.alerts.conftest import NOON
from tests.factories import make_alert

pytestmark = pytest.mark.django_db
NIGHT = NOON + timedelta(hours=11)  # 23:00 UTC.
MORNING = NOON + timedelta(hours=19)  # 07:00 UTC.
LATE_MORNING = NOON + timedelta(hours=21)
Way = tuple[tuple[str, ...], datetime]


def channel(name: str, kind: str, **fields: Any) -> Channel:
    config = {"email": {"recipients": "ops@example.com"}, "slack": {"webhook_url": "https://x.example"},
              "sms": {"account_sid": "AC1", "auth_token": "s", "sender": "+15550001", "recipients": "+15550100, +15550101"}}  # fmt: skip
    return Channel.objects.create(**{"name": name, "kind": kind, "config": config[kind], **fields})


def person(name: str, *, until: time | None = None, **fields: Any) -> Person:
    """Create a person with an e-mail address and a phone number.

    If `until` is set, the person has quiet hours from 22:00 to `until`.
    """
    number = Person.objects.count()
    quiet = {"quiet_from": time(22), "quiet_until": until, "time_zone": "UTC"} if until else {}
    given = {"email": f"{name}@example.com", "phone": f"+1555020{number}", **quiet, **fields}
    return Person.objects.create(name=name, **given)


def ways(channel: Channel, *, severity: str = "high", now: datetime = NIGHT) -> list[Way]:
    found = routing.list_destinations([channel], severity=severity, now=now)
    return [(way.recipients, way.not_before) for way in found]


def test_an_alert_goes_to_the_enabled_and_configured_channels_of_its_type_in_their_order() -> None:
    alert = make_alert(now=NOON)
    kind = AlertType.objects.get(slug=alert.alert_type)
    first, second = channel("z", "slack"), channel("a", "email")
    off = channel("off", "slack", is_enabled=False)
    unfinished = channel("unfinished", "slack", config={})
    kind.channels.set([second, off, unfinished, first])

    assert routing.list_channels(kind) == [first, second]


def test_an_escalation_step_goes_to_its_own_enabled_and_configured_channels() -> None:
    kind = AlertType.objects.get(slug="high-error-rate")
    step = EscalationStep.objects.create(alert_type=kind, after=timedelta(hours=9))
    first, second = channel("z", "slack"), channel("a", "email")
    off = channel("off", "slack", is_enabled=False)
    step.channels.set([second, off, first])

    assert routing.list_channels(step) == [first, second]


def test_a_channel_that_reaches_no_people_is_one_destination() -> None:
    slack = channel("team", "slack")
    slack.people.set([person("anna")])

    assert ways(slack) == [((), NIGHT)]


def test_one_email_goes_to_all_people_outside_quiet_hours_and_once_to_each_address() -> None:
    mail = channel("mail", "email")
    team = Team.objects.create(name="Shift")
    anna, ops = person("anna"), person("ops")
    team.people.set([anna, ops, person("away", is_active=False), person("mute", email="")])
    mail.teams.set([team, Team.objects.create(name="Nobody")])
    mail.people.set([anna])

    assert ways(mail) == [(("ops@example.com", "anna@example.com"), NIGHT)]


def test_each_number_gets_a_separate_text_message() -> None:
    sms = channel("sms-2", "sms")
    sms.people.set([person("anna"), person("bo", until=time(7))])

    assert ways(sms) == [
        (("+15550100",), NIGHT),
        (("+15550101",), NIGHT),
        (("+15550200",), NIGHT),
        (("+15550201",), MORNING),
    ]


def test_a_person_with_quiet_hours_is_notified_separately_when_they_end() -> None:
    mail = channel("mail", "email")
    mail.people.set([person("anna"), person("bo", until=time(7))])

    assert ways(mail) == [
        (("ops@example.com", "anna@example.com"), NIGHT),
        (("bo@example.com",), MORNING),
    ]


def test_a_person_with_quiet_hours_in_several_teams_is_notified_once() -> None:
    mail = channel("mail", "email")
    bo = person("bo", until=time(7))
    mail.people.set([bo])
    for name in ("Shift", "Owners"):
        team = Team.objects.create(name=name)
        team.people.set([bo])
        mail.teams.add(team)

    assert ways(mail) == [(("ops@example.com",), NIGHT), (("bo@example.com",), MORNING)]


def test_no_email_is_sent_early_if_all_recipients_have_quiet_hours() -> None:
    mail = channel("mail", "email", config={"recipients": ""})
    mail.people.set([person("bo", until=time(7))])

    assert ways(mail) == [(("bo@example.com",), MORNING)]


@pytest.mark.parametrize(
    ("of_channel", "of_person", "expected"),
    [
        (time(7), time(9), LATE_MORNING),
        (time(9), time(7), LATE_MORNING),
        (time(7), time(7), MORNING),
    ],
)
def test_a_person_is_notified_after_the_quiet_hours_of_both_person_and_channel(
    of_channel: time, of_person: time, expected: datetime
) -> None:
    quiet = {"quiet_from": time(22), "quiet_until": of_channel, "time_zone": "UTC"}
    mail = channel("mail", "email", config={"recipients": ""}, **quiet)
    mail.people.set([person("bo", until=of_person)])

    assert ways(mail) == [(("bo@example.com",), expected)]


@pytest.mark.parametrize("kind", ["slack", "email"])
def test_quiet_hours_of_a_channel_hold_back_all_but_critical_alerts(kind: str) -> None:
    quiet = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "UTC"}
    quiet_one = channel("quiet", kind, **quiet)

    assert [at for _, at in ways(quiet_one)] == [MORNING]
    assert [at for _, at in ways(quiet_one, now=NOON)] == [NOON]
    assert [at for _, at in ways(quiet_one, severity="critical")] == [NIGHT]


def test_a_critical_alert_wakes_people_in_their_quiet_hours() -> None:
    mail = channel("mail", "email")
    mail.people.set([person("bo", until=time(7))])

    found = ways(mail, severity="critical")

    assert [at for _, at in found] == [NIGHT, NIGHT]


def test_each_destination_has_a_unique_label() -> None:
    one, other = channel("sms-2", "sms"), channel("mail", "email")
    for of in (one, other):
        of.people.set([person(f"{of.name}-{hour}", until=time(hour)) for hour in (7, 8)])

    found = routing.list_destinations(
        [one, other, channel("team", "slack")], severity="high", now=NIGHT
    )

    labels = [way.label for way in found]
    assert len(labels) == len(set(labels)) == 8
    assert all(way.label.startswith(str(way.channel.pk)) for way in found)


@pytest.mark.parametrize(
    ("start", "end", "now", "expected"),
    [
        # The quiet hours span midnight, so they begin on one day and end on the next day.
        (time(22), time(7), (2, 21, 59), (2, 21, 59)),
        (time(22), time(7), (2, 22, 0), (3, 7, 0)),
        (time(22), time(7), (3, 6, 59), (3, 7, 0)),
        (time(22), time(7), (3, 7, 0), (3, 7, 0)),
        # The quiet hours are within one day.
        (time(12), time(14), (2, 12, 0), (2, 14, 0)),
        (time(12), time(14), (2, 14, 0), (2, 14, 0)),
        (time(12), time(14), (2, 11, 59), (2, 11, 59)),
        # If start and end are equal, the quiet hours last the whole day.
        (time(8), time(8), (2, 8, 0), (3, 8, 0)),
    ],
)
def test_quiet_hours_include_their_start_but_not_their_end(
    start: time, end: time, now: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    def at(day: int, hour: int, minute: int) -> datetime:
        return NOON.replace(day=day, hour=hour, minute=minute)

    quiet = (start, end, ZoneInfo("UTC"))

    assert routing.skip_quiet_hours(quiet, at(*now)) == at(*expected)
