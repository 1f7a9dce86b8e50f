"""Send, hold back or supersede notifications about an alert, and select their channels.

These functions must be called in the transaction that changed the alert, because they rely on the lock of its row.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from alerts import messages
from alerts.channels import get_transport
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import (
    FIRING_KINDS,
    AlertEvent,
    Channel,
    Notification,
    NotificationState,
    SystemAlert,
)
from alerts.queries import dependencies, routing, silences
from alerts.services import grouping, outbox, storms
from alerts.services.defaults import get_or_create_type
from alerts.services.transitions import add_timeline_entry, update_locked

Kind = MessageKind

NO_CHANNEL = (
    "no channel of this alert type is configured; the alert is announced when one is configured"
)


def announce(alert: SystemAlert, *, now: datetime) -> int:
    """Notify people of an open alert that is not announced yet, and return the number of messages.

    An alert that is only listed in the daily digest is marked as announced without a message. If a silence, a
    dependency or the cooldown holds the alert back, or no channel is configured, the alert stays
    unannounced, and the next run of `follow_up` tries again.
    """
    alert_type = get_or_create_type(alert.alert_type, alert.severity)
    if alert_type.digest_only:
        update_locked(alert, is_announced=True)
        add_timeline_entry(alert, AlertEvent.Kind.HELD_BACK, "listed in the daily digest", now=now)
        return 0
    kind = choose_kind(alert)
    channels = routing.list_channels(alert_type)
    hold = find_hold_reason(alert, kind, now)
    if not hold and not channels:
        if alert_type.has_immediate_step():
            return 0  # The immediate escalation step sends the first message instead.
        hold = NO_CHANNEL
    if hold:
        if not alert.events.filter(kind=AlertEvent.Kind.HELD_BACK, text=hold).exists():
            add_timeline_entry(alert, AlertEvent.Kind.HELD_BACK, hold, now=now)
        return 0
    count = notify(alert, kind, channels, now=now)
    if not alert.is_announced:
        update_locked(alert, is_announced=True)
    return count


def announce_flapping(alert: SystemAlert, *, now: datetime) -> int:
    """Send one message that the alert is flapping, instead of a message for every opening and resolution."""
    alert_type = get_or_create_type(alert.alert_type, alert.severity)
    if alert_type.digest_only or dependencies.is_held_back(alert, now):
        return 0
    return notify(alert, Kind.FLAPPING, routing.list_channels(alert_type), now=now)


def choose_first_kind(alert: SystemAlert) -> MessageKind:
    return Kind.REOPENED if alert.reopen_count else Kind.TRIGGERED


def choose_kind(alert: SystemAlert) -> MessageKind:
    """Return the kind of the next message, given the messages that were sent since the alert opened."""
    first = choose_first_kind(alert)
    if not alert.notice_count:
        return first
    last_severity = (
        alert.notifications.filter(kind__in=FIRING_KINDS, created_at__gte=alert.opened_at)
        .order_by("-pk")
        .values_list("payload__severity", flat=True)
        .first()
    )
    if last_severity is None:
        return first
    return Kind.REMINDER if last_severity == alert.severity else Kind.RAISED


def find_hold_reason(alert: SystemAlert, kind: MessageKind, now: datetime) -> str:
    """Return the reason to hold the notification back, or "" if it can be sent now."""
    silenced = silences.find_silence(alert, now)
    if silenced:
        silence, end = silenced
        return f"silenced until {end:%Y-%m-%d %H:%M %Z}: {silence.comment}"
    cause = dependencies.find_cause(alert, now)
    if cause is not None:
        return f"consequence of #{cause.pk}: {cause.title}"
    cooldown = alert.rule.cooldown if alert.rule else timedelta(0)
    if cooldown and kind != Kind.RAISED:
        last = (
            Notification.objects.filter(alert__key=alert.key, kind__in=FIRING_KINDS)
            .order_by("-created_at", "-pk")
            .values_list("created_at", "payload__severity")
            .first()
        )
        if last and last[1] == alert.severity and now - last[0] < cooldown:
            return f"in cooldown until {last[0] + cooldown:%Y-%m-%d %H:%M %Z}"
    return ""


def notify(
    alert: SystemAlert, kind: MessageKind, channels: Iterable[Channel], *, now: datetime
) -> int:
    """Enqueue a message of this kind for each destination of the channels, and return the number that will be sent.

    During a storm, a message is stored but not sent, and the storm message of the channel counts it.
    """
    channel_names: list[str] = []
    grouped_names: list[str] = []
    number = alert.notice_count + 1
    destinations = routing.list_destinations(
        channels, severity=alert.severity, now=now, app_id=alert.app_id
    )
    for destination in destinations:
        message = messages.compose(alert, kind, now=now, recipients=destination.recipients)
        is_grouped = kind in FIRING_KINDS and storms.is_storm(
            destination.channel, destination.label, message, now=now
        )
        stream = _build_stream(alert, destination.label)
        if alert.notice_count and not is_grouped:
            _supersede_queued(stream, alert.severity, destination.not_before, now)
        outbox.enqueue_notification(
            channel=destination.channel,
            kind=kind,
            key=f"{alert.pk}:{alert.episode}:{kind}:{number}:{destination.label}",
            stream=stream,
            message=message,
            now=now,
            alert=alert,
            not_before=grouping.wait_for_related(
                destination.channel, message, destination.not_before, now
            ),
            state=NotificationState.GROUPED if is_grouped else NotificationState.WAITING,
        )
        (grouped_names if is_grouped else channel_names).append(destination.channel.name)
    if channel_names and kind in FIRING_KINDS:
        update_locked(alert, notice_count=number, last_notified_at=now, is_announced=True)
    else:
        update_locked(alert, notice_count=number)
    if channel_names:
        text = f"{kind.label}: {', '.join(dict.fromkeys(channel_names))}"
        add_timeline_entry(alert, messages.to_event_kind(kind), text, now=now)
    if grouped_names:
        text = (
            f"alert storm, counted in the storm message: {', '.join(dict.fromkeys(grouped_names))}"
        )
        add_timeline_entry(alert, AlertEvent.Kind.HELD_BACK, text, now=now)
    return len(channel_names)


def notify_acknowledged(alert: SystemAlert, *, now: datetime) -> int:
    """Notify the channels that track acknowledgments, if they were notified of the alert."""
    known = alert.notifications.filter(kind__in=FIRING_KINDS).values("channel")
    channels = [
        channel
        for channel in Channel.objects.filter(pk__in=known, is_enabled=True)
        if get_transport(channel).sends_acknowledgments
    ]
    return notify(alert, Kind.ACKNOWLEDGED, channels, now=now) if channels else 0


def notify_resolved(alert: SystemAlert, *, now: datetime) -> int:
    """Notify the recipients of messages about the alert that it is resolved, and return the number of messages.

    Messages about the alert that still wait are superseded. If no earlier message about the alert was sent, the
    delivery changes the text of the resolution or drops the resolution (see `delivery._load_message`).
    """
    channel_names: list[str] = []
    number = alert.notice_count + 1
    _supersede_unsent_pages(alert)
    firing = (
        alert.notifications.filter(kind__in=FIRING_KINDS, created_at__gte=alert.opened_at)
        # Grouped messages need no resolution, because the storm message states how many of its alerts are active.
        .exclude(state=NotificationState.GROUPED)
        .exclude(kind=Kind.PAGED, attempt_count=0)
        .select_related("channel")
        .order_by("pk")
    )
    for stream, last in {notification.stream: notification for notification in firing}.items():
        superseded = Notification.objects.filter(
            stream=stream,
            kind__in=[*FIRING_KINDS, Kind.ACKNOWLEDGED],
            state__in=[NotificationState.WAITING, NotificationState.FAILED],
            is_permanent_failure=False,
        )
        leaders = list(superseded.filter(members__sent_at=None).values_list("pk", flat=True))
        superseded.update(state=NotificationState.SUPERSEDED, error="resolved before delivery")
        grouping.release(leaders, now=now)
        label = stream.partition("/")[2]
        message = messages.compose(
            alert,
            Kind.RESOLVED,
            now=now,
            recipients=tuple(messages.from_payload(last.payload).recipients),
        )
        # A recipient in quiet hours gets one message about the alert and its resolution when the quiet hours end.
        not_before = last.due_at if last.attempt_count == 0 and last.sent_at is None else now
        outbox.enqueue_notification(
            channel=last.channel,
            kind=Kind.RESOLVED,
            key=f"{alert.pk}:{alert.episode}:{Kind.RESOLVED}:{number}:{label}",
            stream=stream,
            message=message,
            now=now,
            alert=alert,
            not_before=grouping.wait_for_related(last.channel, message, not_before, now),
        )
        channel_names.append(last.channel.name)
    update_locked(alert, notice_count=number)
    if channel_names:
        text = f"{Kind.RESOLVED.label}: {', '.join(dict.fromkeys(channel_names))}"
        add_timeline_entry(alert, AlertEvent.Kind.ANNOUNCED, text, now=now)
    return len(channel_names)


def _supersede_unsent_pages(alert: SystemAlert) -> None:
    """Supersede unsent messages to single people, who then need no message about the resolution."""
    alert.notifications.filter(
        kind=Kind.PAGED, state=NotificationState.WAITING, attempt_count=0
    ).update(state=NotificationState.SUPERSEDED, error="resolved before this message was due")


def _build_stream(alert: SystemAlert, label: str) -> str:
    return f"alert-{alert.pk}/{label}"


def _supersede_queued(stream: str, severity: str, due_at: datetime, now: datetime) -> None:
    """Supersede older messages that would delay this message in their stream.

    These are messages that are due later, for example after quiet hours, and, if this message is critical, all messages
    without a first attempt.
    """
    queued = Notification.objects.filter(
        stream=stream,
        kind__in=FIRING_KINDS,
        state=NotificationState.WAITING,
        attempt_count=0,
    )
    if severity != Severity.CRITICAL:
        queued = queued.filter(next_attempt_at__gt=max(due_at, now))
    queued.update(state=NotificationState.SUPERSEDED, error="superseded by a later message")
