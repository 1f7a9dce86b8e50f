"""Select the recipients of a message, and the earliest time when it may be delivered to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q

from alerts.channels import filter_configured, get_config, get_transport
from alerts.extension_points import Severity
from alerts.models import AlertType, Channel, EscalationStep, Person
from alerts.queries.apps import may_be_notified
from alerts.wall_clock import to_instant
from core.lib.app_access import visible_apps


@dataclass(frozen=True)
class Destination:
    """The recipients in one channel who get the same message at the same time.

    A person who has quiet hours or sees only some apps gets a separate message, and thus has a separate stream.
    """

    channel: Channel
    not_before: datetime
    recipients: tuple[str, ...] = ()
    audience: str = ""
    # Set if the destination is this person, who gets a separate message because they see only some apps.
    reader: Person | None = None

    @property
    def label(self) -> str:
        return f"{self.channel.pk}{self.audience}"


def list_channels(owner: AlertType | EscalationStep) -> list[Channel]:
    """Return the configured channels of an alert type or an escalation step. Channels that staff disabled are left out.

    The channels of an alert type include the channels that get every type.
    """
    routed = Channel.objects.receiving().filter(pk__in=owner.channels.values("pk"))
    if isinstance(owner, AlertType):
        routed |= Channel.objects.receiving().filter(gets_every_type=True)
    return filter_configured(routed.order_by("pk"))


def list_destinations(
    channels: Iterable[Channel], *, severity: str, now: datetime, app_id: int | None = None
) -> list[Destination]:
    """Return the destinations of a message. People who may not see the app of the alert get no message."""
    return [
        destination
        for channel in channels
        for destination in _list_for_channel(channel, severity=severity, now=now)
        if destination.reader is None or may_be_notified(destination.reader, app_id)
    ]


def _list_for_channel(channel: Channel, *, severity: str, now: datetime) -> list[Destination]:
    is_critical = severity == Severity.CRITICAL
    not_before = now if is_critical else skip_quiet_hours(channel.quiet_hours, now)
    transport = get_transport(channel)
    if not transport.contact_field:
        return [Destination(channel, not_before)]
    shared = list(transport.recipients(get_config(channel)))
    separate: list[Destination] = []
    for person in list_people(channel):
        address = getattr(person, transport.contact_field)
        if not address or address in shared:
            continue
        is_limited = person.user is not None and visible_apps(person.user) is not None
        if person.quiet_hours is None and not is_limited:
            shared.append(address)
        else:
            later = (
                now if is_critical else max(not_before, skip_quiet_hours(person.quiet_hours, now))
            )
            audience, reader = f":person-{person.pk}", person if is_limited else None
            separate.append(Destination(channel, later, (address,), audience, reader))
    if transport.sends_individually:
        return [
            Destination(channel, not_before, (address,), f":{address}") for address in shared
        ] + separate
    together = [Destination(channel, not_before, tuple(shared))] if shared else []
    return together + separate


def list_people(channel: Channel) -> list[Person]:
    return list(
        Person.objects.filter(Q(channels=channel) | Q(teams__channels=channel), is_active=True)
        .select_related("user")
        .order_by("pk")
        .distinct()
    )


def skip_quiet_hours(quiet_hours: tuple[time, time, ZoneInfo] | None, now: datetime) -> datetime:
    """Return `now`, or the end of the quiet hours if `now` is within them.

    The quiet hours are wall-clock times in their own time zone.
    """
    if quiet_hours is None:
        return now
    start, end, zone = quiet_hours
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        starts_at = to_instant(day, start, zone)
        ends_at = to_instant(day if end > start else day + timedelta(days=1), end, zone)
        if starts_at <= now < ends_at:
            return ends_at
    return now
