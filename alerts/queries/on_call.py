"""Read who is on call: now, during a period, or for an escalation step."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from alerts.models import EscalationStep, Person, Rotation, Schedule, ScheduleOverride
from alerts.oncall import plan


@dataclass(frozen=True)
class OnCall:
    """The person on call in a schedule, and the end of the shift. The person is None in a gap."""

    schedule: Schedule
    person: Person | None
    until: datetime | None  # None if the shift ends later than `plan.LOOK_AHEAD` from now.


@dataclass(frozen=True)
class NamedShift:
    """A shift with the database rows that it refers to."""

    starts_at: datetime
    ends_at: datetime
    person: Person | None
    rotation: Rotation | None = None
    override: ScheduleOverride | None = None

    @property
    def reason(self) -> str:
        if self.override is not None:
            return f"override: {self.override.comment}" if self.override.comment else "override"
        return self.rotation.name if self.rotation else ""


def on_call_now(schedules: Iterable[Schedule], *, now: datetime) -> list[OnCall]:
    """Return the person on call in each schedule. The caller loads the schedules with `with_people()`."""
    found = []
    for schedule in schedules:
        (first, *_) = list_shifts(schedule, now, now + plan.LOOK_AHEAD)
        is_last = first.ends_at == now + plan.LOOK_AHEAD
        found.append(OnCall(schedule, first.person, None if is_last else first.ends_at))
    return found


def list_shifts(schedule: Schedule, since: datetime, until: datetime) -> list[NamedShift]:
    """Return the shifts and gaps of a schedule in a period.

    Two consecutive shifts of one person remain separate if their reasons differ.
    """
    return _name_shifts(schedule, plan.shifts_between(schedule.get_plan(), since, until))


def list_whole_shifts(schedule: Schedule, since: datetime, until: datetime) -> list[NamedShift]:
    """Return the shifts and gaps like `list_shifts`, but do not cut those that extend beyond the period."""
    return _name_shifts(schedule, plan.whole_shifts(schedule.get_plan(), since, until))


def _name_shifts(schedule: Schedule, shifts: Iterable[plan.Shift]) -> list[NamedShift]:
    rotations = {one.pk: one for one in schedule.rotations.all()}
    overrides = {one.pk: one for one in schedule.overrides.all()}
    people = {
        member.person_id: member.person
        for rotation in rotations.values()
        for member in rotation.members.all()
    } | {one.person_id: one.person for one in overrides.values()}
    return [
        NamedShift(
            shift.starts_at,
            shift.ends_at,
            people[shift.duty.person] if shift.duty else None,
            rotations.get(shift.duty.rotation or 0) if shift.duty else None,
            overrides.get(shift.duty.override or 0) if shift.duty else None,
        )
        for shift in shifts
    ]


def load_schedules() -> list[Schedule]:
    return list(Schedule.objects.with_people().order_by("name"))


def find_people(step: EscalationStep, *, now: datetime) -> dict[Person, str]:
    """Return the active people whom a step notifies, each with the reason, such as "on call: Primary" or "team Shop".

    The reason is "" if the step names the person directly.
    """
    found: dict[Person, str] = {}
    for schedule in step.schedules.with_people().order_by("name"):
        duty = plan.on_call_at(schedule.get_plan(), now)
        person = Person.objects.filter(pk=duty.person, is_active=True).first() if duty else None
        if person is not None:
            found.setdefault(person, f"on call: {schedule}")
    for person in step.people.filter(is_active=True).order_by("pk"):
        found.setdefault(person, "")
    for team in step.teams.order_by("pk"):
        for person in team.people.filter(is_active=True).order_by("pk"):
            found.setdefault(person, f"team {team}")
    return found


def on_call_for(alert_type: str, *, now: datetime) -> list[OnCall]:
    """Return the person on call in each schedule that the escalation steps of an alert type name."""
    schedules = Schedule.objects.filter(steps__alert_type__slug=alert_type).distinct()
    return on_call_now(schedules.with_people().order_by("name"), now=now)
