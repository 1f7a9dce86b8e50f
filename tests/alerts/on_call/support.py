"""Create schedules, escalation steps and notification rules for on-call tests."""

from datetime import date, time, timedelta
from typing import Any
from urllib.parse import parse_qs

from alerts.models import (
    AlertType,
    Channel,
    EscalationStep,
    Notification,
    NotificationRule,
    Person,
    Rotation,
    RotationMember,
    Schedule,
)
from tests.alerts.conftest import MINUTE, NOON
from tests.servers.fake_http import FakeHTTP

DAY = timedelta(days=1)


def make_schedule(*people: Person, name: str = "Primary", **fields: Any) -> Schedule:
    schedule, _ = Schedule.objects.get_or_create(name=name)
    given = {"name": "All", "unit": "day", "first_day": date(2026, 3, 1), "handover_at": time(9)}
    rotation = Rotation.objects.create(schedule=schedule, **{**given, **fields})
    for place, person in enumerate(people, 1):
        RotationMember.objects.create(rotation=rotation, person=person, position=place)
    return schedule


def make_step(minutes: int = 0, **targets: Any) -> EscalationStep:
    alert_type = AlertType.objects.get(slug="high-error-rate")
    step = EscalationStep.objects.create(alert_type=alert_type, after=minutes * MINUTE)
    for name, rows in targets.items():
        getattr(step, name).set(rows)
    return step


def no_other_steps() -> None:
    alert_type = AlertType.objects.get(slug="high-error-rate")
    alert_type.steps.all().delete()
    alert_type.channels.clear()


def make_rule(person: Person, minutes: int, channel: Channel) -> NotificationRule:
    return NotificationRule.objects.create(person=person, after=minutes * MINUTE, channel=channel)


def bodies(server: FakeHTTP) -> list[dict[str, str]]:
    return [
        {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        for request in server.requests
    ]


def paged() -> list[tuple[str, str, float]]:
    rows = Notification.objects.filter(kind="paged").order_by("pk")
    return [(r.channel.name, r.state, (r.due_at - NOON) / MINUTE) for r in rows]
