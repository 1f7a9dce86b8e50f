"""Test that alerts escalate to people on call, who are notified by their own notification rules."""

import uuid
from datetime import date, time
from typing import Any

import pytest

from alerts import services, signed_links
from alerts.models import (
    Channel,
    Notification,
    Person,
    ScheduleOverride,
    Team,
)
from tests.alerts.conftest import MINUTE, NOON, deliver
from tests.alerts.on_call.support import bodies, make_rule, make_schedule, make_step, paged
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


# --- notification rules ---------------------------------------------------------------------------------


def test_a_person_is_notified_by_the_persons_own_rules(
    three_ways: Person, slack: FakeHTTP, twilio: FakeHTTP
) -> None:
    alert = make_alert(now=NOON)
    services.follow_up(now=NOON)
    deliver(NOON)
    assert (len(slack.requests), len(twilio.requests)) == (1, 0)
    assert paged() == [("slack", "sent", 0), ("sms", "waiting", 3), ("voice", "waiting", 10)]

    deliver(NOON + 3 * MINUTE)
    deliver(NOON + 10 * MINUTE)

    message, call = bodies(twilio)
    assert message["To"] == call["To"] == "+15550111"
    assert message["Body"].startswith("CRITICAL: Problem")
    assert signed_links.build_url(alert, three_ways) in message["Body"]
    assert len(message["Body"]) <= 160
    assert "Press 1 to acknowledge" in call["Twiml"]
    assert [r.path for r in twilio.requests][1].endswith("/Accounts/AC1/Calls.json")
    alert.refresh_from_db()
    assert alert.is_announced


@pytest.mark.parametrize("action", ["acknowledge", "dismiss", "resolve"])
def test_acknowledging_or_resolving_an_alert_stops_the_later_rules(
    three_ways: Person, twilio: FakeHTTP, slack: FakeHTTP, action: str
) -> None:
    alert = make_alert(now=NOON)
    services.follow_up(now=NOON)
    deliver(NOON)

    alert.refresh_from_db()
    getattr(services, action)([alert], user=None, now=NOON + MINUTE)
    for minute in (3, 10, 60):
        deliver(NOON + minute * MINUTE)

    assert twilio.requests == []
    assert [state for _, state, _ in paged()] == ["sent", "superseded", "superseded"]
    # Only Slack was notified of the alert, so only Slack is notified of its resolution.
    assert len(slack.requests) == (2 if action == "resolve" else 1)


def test_an_undone_acknowledgment_continues_the_rules(
    three_ways: Person, twilio: FakeHTTP, admin_user: Any
) -> None:
    alert = make_alert(now=NOON)
    services.follow_up(now=NOON)
    batch = uuid.uuid4()
    alert.refresh_from_db()
    services.acknowledge([alert], user=admin_user, now=NOON + MINUTE, batch=batch)
    services.undo(batch, user=admin_user, now=NOON + 2 * MINUTE)

    deliver(NOON + 3 * MINUTE)

    assert len(twilio.requests) == 1


def test_a_repeated_step_does_not_repeat_messages_that_still_wait(three_ways: Person) -> None:
    make_alert(now=NOON)
    for minute in range(3):
        services.follow_up(now=NOON + minute * MINUTE)

    waiting = Notification.objects.filter(kind="paged", channel__kind="voice")
    assert waiting.count() == 1


def test_a_person_without_rules_gets_an_e_mail_and_a_text_message(
    ann: Person, voice: Channel
) -> None:
    Channel.objects.filter(name="email").update(config={"recipients": "ops@shop.example"})
    make_step(people=[ann])
    make_alert(now=NOON)

    services.follow_up(now=NOON)

    assert [name for name, _, _ in paged()] == ["email", "sms"]


def test_quiet_hours_delay_all_but_critical_messages(ann: Person, voice: Channel) -> None:
    Person.objects.update(quiet_from=time(11), quiet_until=time(13))
    make_step(people=[ann])
    make_rule(ann, 0, Channel.objects.get(name="sms"))
    make_alert(now=NOON, severity="high")
    make_alert(now=NOON)

    services.follow_up(now=NOON)

    assert [due for _, _, due in paged()] == [60, 0]


# --- escalation steps ------------------------------------------------------------------------------------


def test_steps_name_schedules_teams_and_people(ann: Person, bob: Person, voice: Channel) -> None:
    team = Team.objects.create(name="Owners")
    team.people.set([ann, bob])
    make_step(0, schedules=[make_schedule(bob)])
    make_step(10, teams=[team])
    Person.objects.create(name="Gone", phone="+15550333", is_active=False)
    make_alert(now=NOON)

    services.follow_up(now=NOON)
    deliver(NOON)
    services.follow_up(now=NOON + 10 * MINUTE)

    rows = Notification.objects.filter(kind="paged", channel__kind="sms").order_by("pk")
    found = [(row.payload["recipients"], row.payload["title"][:10]) for row in rows]
    assert found == [
        (["+15550222"], "Problem " + found[0][1][8:]),
        (["+15550111"], "Escalated:"),
        (["+15550222"], "Escalated:"),
    ]


def test_a_gap_in_the_schedule_is_followed_by_the_next_step_at_once(
    ann: Person, bob: Person, voice: Channel
) -> None:
    nobody = make_schedule(bob, name="Later", first_day=date(2030, 1, 1))
    make_step(0, schedules=[nobody])
    make_step(30, people=[ann])
    alert = make_alert(now=NOON)

    services.follow_up(now=NOON)

    row = Notification.objects.get(kind="paged", channel__kind="sms")
    assert row.payload["recipients"] == ["+15550111"]
    assert alert.events.filter(text__contains="step 1 reaches no one").exists()


def test_an_override_changes_who_is_notified(ann: Person, bob: Person, voice: Channel) -> None:
    schedule = make_schedule(ann)
    make_step(0, schedules=[schedule])
    ScheduleOverride.objects.create(
        schedule=schedule, person=bob, starts_at=NOON - MINUTE, ends_at=NOON + MINUTE
    )
    make_alert(now=NOON)

    services.follow_up(now=NOON)

    assert Notification.objects.get(kind="paged", channel__kind="sms").payload["recipients"] == [
        "+15550222"
    ]
