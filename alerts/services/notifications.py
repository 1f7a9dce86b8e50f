"""Who is told what about an alert: announcing it, holding it back, and telling of its end.

All of it runs in the transaction that moved the alert on, which holds the alert's row.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings

from alerts import messages
from alerts.channels import Message, transport_of
from alerts.models import AlertEvent, Channel, Notification, NotificationState, SystemAlert
from alerts.queries import routing, silences
from alerts.queries.routing import Destination
from alerts.services import outbox
from alerts.services.defaults import type_for
from alerts.services.transitions import note, set_fields
from opsportal.lib import formats

Kind = Notification.Kind

# What an end must be told after.
FIRING = (
    Kind.TRIGGERED,
    Kind.REOPENED,
    Kind.RAISED,
    Kind.REMINDER,
    Kind.ESCALATED,
    Kind.FLAPPING,
)
STORM_SIZE = 20
STORM_WINDOW = timedelta(minutes=5)


def announce(alert: SystemAlert, *, now: datetime) -> int:
    """Tell of an alert that is open and not announced yet; how many messages were written.

    What holds it back now (a silence, the cooldown) leaves it unannounced: the minute sweep comes back to it.
    """
    alert_type = type_for(alert.alert_type, alert.severity)
    if alert_type.digest_only:
        set_fields(alert, is_announced=True)
        note(alert, AlertEvent.Kind.HELD_BACK, "listed in the daily digest", now=now)
        return 0
    kind = kind_of_announcement(alert)
    hold = reason_to_hold(alert, kind, now)
    if hold:
        if not alert.events.filter(kind=AlertEvent.Kind.HELD_BACK, text=hold).exists():
            note(alert, AlertEvent.Kind.HELD_BACK, hold, now=now)
        return 0
    channels = routing.channels_of(alert_type)
    written = tell(alert, kind, channels, now=now)
    if not alert.is_announced:
        set_fields(alert, is_announced=True)
    if not channels:
        note(alert, AlertEvent.Kind.HELD_BACK, "none of its type's channels is configured", now=now)
    return written


def announce_flapping(alert: SystemAlert, *, now: datetime) -> int:
    """One message that it comes and goes, in place of one for each time."""
    alert_type = type_for(alert.alert_type, alert.severity)
    if alert_type.digest_only or silences.silence_for(alert, now):
        return 0
    return tell(alert, Kind.FLAPPING, routing.channels_of(alert_type), now=now)


def kind_of_announcement(alert: SystemAlert) -> str:
    """A first message, or what is new since the last one of this opening."""
    first = Kind.REOPENED if alert.reopen_count else Kind.TRIGGERED
    if not alert.notice_count:
        return first
    told = (
        alert.notifications.filter(kind__in=FIRING, created_at__gte=alert.opened_at)
        .order_by("-pk")
        .values_list("payload__severity", flat=True)
        .first()
    )
    if told is None:
        return first
    return Kind.REMINDER if told == alert.severity else Kind.RAISED


def reason_to_hold(alert: SystemAlert, kind: str, now: datetime) -> str:
    """Why the alert is not to be announced now; "" when nothing speaks against it."""
    silenced = silences.silence_for(alert, now)
    if silenced:
        silence, end = silenced
        return f"silenced until {end:%Y-%m-%d %H:%M %Z}: {silence.comment}"
    cooldown = alert.rule.cooldown if alert.rule else timedelta(0)
    if cooldown and kind != Kind.RAISED:
        last = (
            Notification.objects.filter(alert__key=alert.key, kind__in=FIRING)
            .order_by("-created_at", "-pk")
            .values_list("created_at", "payload__severity")
            .first()
        )
        if last and last[1] == alert.severity and now - last[0] < cooldown:
            return f"cooling down until {last[0] + cooldown:%Y-%m-%d %H:%M %Z}"
    return ""


def tell(alert: SystemAlert, kind: str, channels: Iterable[Channel], *, now: datetime) -> int:
    """A message of this kind to each channel, or its share of a storm; how many messages were written."""
    told: list[str] = []
    number = alert.notice_count + 1
    for way in routing.destinations(channels, severity=alert.severity, now=now):
        if kind in FIRING and is_storm(way.channel, now):
            _tell_of_storm(way, now=now)
            continue
        stream = _stream(alert, way.label)
        if alert.notice_count:
            _supersede_held(stream, way.not_before, now)
        outbox.put(
            channel=way.channel,
            kind=kind,
            key=f"{alert.pk}:{alert.episode}:{kind}:{number}:{way.label}",
            stream=stream,
            message=messages.compose(alert, kind, now=now, recipients=way.recipients),
            now=now,
            alert=alert,
            not_before=way.not_before,
        )
        told.append(way.channel.name)
    if told and kind in FIRING:
        set_fields(alert, notice_count=number, last_notified_at=now, is_announced=True)
    else:
        set_fields(alert, notice_count=number)
    if told:
        text = f"{Kind(kind).label}: {', '.join(dict.fromkeys(told))}"
        note(alert, messages.event_kind(kind), text, now=now)
    return len(told)


def tell_acknowledged(alert: SystemAlert, *, now: datetime) -> int:
    """To the services that keep an acknowledgement of their own, as far as they know of the alert."""
    known = alert.notifications.filter(kind__in=FIRING).values("channel")
    channels = [
        channel
        for channel in Channel.objects.filter(pk__in=known, is_enabled=True)
        if transport_of(channel).tells_acknowledged
    ]
    return tell(alert, Kind.ACKNOWLEDGED, channels, now=now) if channels else 0


def tell_resolved(alert: SystemAlert, *, now: datetime) -> int:
    """Everybody who was told that it began, or is about to be, is told that it ended.

    What still waits is not sent any more; delivery finds out whether a beginning had gone out.
    """
    told: list[str] = []
    number = alert.notice_count + 1
    begun = (
        alert.notifications.filter(kind__in=FIRING, created_at__gte=alert.opened_at)
        .select_related("channel")
        .order_by("pk")
    )
    for stream, last in {notification.stream: notification for notification in begun}.items():
        superseded = Notification.objects.filter(
            stream=stream,
            kind__in=[*FIRING, Kind.ACKNOWLEDGED],
            state__in=[NotificationState.WAITING, NotificationState.FAILED],
            is_permanent_failure=False,
        )
        superseded.update(
            state=NotificationState.SUPERSEDED, error="it was over before this could be sent"
        )
        label = stream.partition("/")[2]
        outbox.put(
            channel=last.channel,
            kind=Kind.RESOLVED,
            key=f"{alert.pk}:{alert.episode}:{Kind.RESOLVED}:{number}:{label}",
            stream=stream,
            message=messages.compose(
                alert,
                Kind.RESOLVED,
                now=now,
                recipients=tuple(messages.thawed(last.payload).recipients),
            ),
            now=now,
            alert=alert,
            # Whoever sleeps learns of both when the quiet hours end.
            not_before=last.next_attempt_at if last.attempt_count == 0 else None,
        )
        told.append(last.channel.name)
    set_fields(alert, notice_count=number)
    if told:
        text = f"{Kind.RESOLVED.label}: {', '.join(dict.fromkeys(told))}"
        note(alert, AlertEvent.Kind.ANNOUNCED, text, now=now)
    return len(told)


def is_storm(channel: Channel, now: datetime) -> bool:
    recent = channel.notifications.filter(kind__in=FIRING, created_at__gt=now - STORM_WINDOW)
    return recent.count() >= STORM_SIZE


def _stream(alert: SystemAlert, label: str) -> str:
    return f"alert-{alert.pk}/{label}"


def _supersede_held(stream: str, due_at: datetime, now: datetime) -> None:
    """What waits for somebody's morning does not hold up what is to wake them, which says the same and more."""
    Notification.objects.filter(
        stream=stream,
        kind__in=FIRING,
        state=NotificationState.WAITING,
        attempt_count=0,
        next_attempt_at__gt=max(due_at, now),
    ).update(state=NotificationState.SUPERSEDED, error="a later message about it could go at once")


def _tell_of_storm(way: Destination, *, now: datetime) -> None:
    slot = int(now.timestamp() // STORM_WINDOW.total_seconds())
    key = f"storm:{way.label}:{slot}"
    if Notification.objects.filter(idempotency_key=key).exists():
        return
    active = SystemAlert.objects.active().count()
    message = Message(
        kind=Kind.STORM,
        title=f"Alert storm: {active} alerts are active",
        text=f"More than {STORM_SIZE} messages within {formats.span(STORM_WINDOW)} were due here. "
        "Further alerts are on the alerts page and not announced one by one.",
        severity="critical",
        source="opsportal",
        url=f"{settings.BASE_URL}/admin/alerts/",
        facts=[("Active", str(active))],
        at=now,
        thread=f"opsportal:storm:{slot}",
        recipients=list(way.recipients),
    )
    outbox.put(
        channel=way.channel,
        kind=Kind.STORM,
        key=key,
        stream=f"storm/{way.label}",
        message=message,
        now=now,
        not_before=way.not_before,
    )
