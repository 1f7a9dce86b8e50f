"""Who hears of an alert, and when: channels by type, people by team, each by their own clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q

from alerts.channels import configuration, configured, transport_of
from alerts.models import AlertType, Channel, EscalationStep, Person
from alerts.rules import Severity


@dataclass(frozen=True)
class Destination:
    """One message's way out. People with quiet hours have a message, and so a stream, of their own."""

    channel: Channel
    not_before: datetime
    recipients: tuple[str, ...] = ()
    audience: str = ""

    @property
    def label(self) -> str:
        return f"{self.channel.pk}{self.audience}"


def channels_of(alert_type: AlertType) -> list[Channel]:
    return configured(alert_type.channels.filter(is_enabled=True).order_by("pk"))


def channels_of_step(step: EscalationStep) -> list[Channel]:
    return configured(step.channels.filter(is_enabled=True).order_by("pk"))


def destinations(channels: Iterable[Channel], *, severity: str, now: datetime) -> list[Destination]:
    return [
        destination
        for channel in channels
        for destination in _of_channel(channel, severity=severity, now=now)
    ]


def _of_channel(channel: Channel, *, severity: str, now: datetime) -> list[Destination]:
    passes = severity == Severity.CRITICAL
    not_before = now if passes else end_of_quiet(channel.quiet_hours, now)
    transport = transport_of(channel)
    if not transport.reaches_people_by:
        return [Destination(channel, not_before)]
    shared = list(transport.recipients(configuration(channel)))
    alone: list[Destination] = []
    for person in people_of(channel):
        address = getattr(person, transport.reaches_people_by)
        if not address or address in shared:
            continue
        if person.quiet_hours is None:
            shared.append(address)
        else:
            later = now if passes else max(not_before, end_of_quiet(person.quiet_hours, now))
            alone.append(Destination(channel, later, (address,), f":person-{person.pk}"))
    if transport.is_one_by_one:
        return [
            Destination(channel, not_before, (address,), f":{address}") for address in shared
        ] + alone
    together = [Destination(channel, not_before, tuple(shared))] if shared else []
    return together + alone


def people_of(channel: Channel) -> list[Person]:
    return list(
        Person.objects.filter(Q(channels=channel) | Q(teams__channels=channel), is_active=True)
        .order_by("pk")
        .distinct()
    )


def end_of_quiet(quiet: tuple[time, time, ZoneInfo] | None, now: datetime) -> datetime:
    """`now`, or the end of the quiet hours that it falls into, by the zone's wall clock."""
    if quiet is None:
        return now
    start, end, zone = quiet
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        begins = _at(day, start, zone)
        ends = _at(day if end > start else day + timedelta(days=1), end, zone)
        if begins <= now < ends:
            return ends
    return now


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """That wall-clock time as an instant. One that a spring night leaves out is as much later as the clock jumped."""
    return datetime.combine(day, clock, zone).astimezone(UTC)
