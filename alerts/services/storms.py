"""Combine the messages about many alerts to a channel into storm messages, which state the number of alerts.

Messages are counted per destination, so a text message to ten people counts as one. In a storm, a notification is
stored in the state "grouped" and not sent. A storm message lists the most severe alerts; while more alerts open,
further storm messages follow. Critical alerts are still sent separately, up to a limit that protects people's phones.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, QuerySet

from alerts.channels import Message
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import (
    FIRING_KINDS,
    Channel,
    Notification,
    NotificationState,
)
from alerts.services import grouping, outbox
from core.lib import formats

STORM_THRESHOLD = 20
CRITICAL_STORM_THRESHOLD = 100
STORM_WINDOW = timedelta(minutes=5)
# The first storm message is sent with the first grouped alert. Further ones follow at the shorter interval during the
# first STORM_WINDOW, in which most alerts open, and at the longer interval afterwards.
EARLY_UPDATE_INTERVAL = timedelta(seconds=30)
UPDATE_INTERVAL = timedelta(minutes=5)
MAX_LISTED = 5


def is_storm(channel: Channel, label: str, message: Message, *, now: datetime) -> bool:
    """Return True if the destination got so many messages recently that this message must be held back.

    Messages that were merged count as one message, and so do related messages that still wait to be merged.
    """
    recent = channel.notifications.filter(
        kind__in=FIRING_KINDS, created_at__gt=now - STORM_WINDOW, stream__endswith=f"/{label}"
    ).exclude(state__in=[NotificationState.GROUPED, NotificationState.MERGED])
    is_critical = message.severity == Severity.CRITICAL
    limit = CRITICAL_STORM_THRESHOLD if is_critical else STORM_THRESHOLD
    count = recent.count()
    if count >= limit and message.causes and grouping.merges(channel):
        waiting = recent.filter(state=NotificationState.WAITING, attempt_count=0)
        related = [one for one in waiting if grouping.is_related(one, message.causes)]
        count -= len(related)
    return count >= limit


@dataclass(frozen=True)
class Storm:
    """A storm at one destination, from its first to its newest grouped notification."""

    channel: Channel
    label: str  # The label of the destination (see `routing.Destination`).
    started_at: datetime
    alert_count: int
    last_message_at: datetime | None
    is_over: bool

    @property
    def stream(self) -> str:
        return f"storm/{self.label}"

    @property
    def thread(self) -> str:
        return f"opsportal:storm:{self.label}:{int(self.started_at.timestamp())}"

    @property
    def key(self) -> str:
        """Return an idempotency key with the number of alerts, so that each number is reported only once.

        A time would not identify the counted alerts: an alert may be committed after a message with a later time.
        """
        return f"{self.thread}:{'over' if self.is_over else self.alert_count}"[:200]


def report_storms(*, now: datetime) -> int:
    """Send the storm messages that are due, and return their number."""
    recent = Notification.objects.filter(
        state=NotificationState.GROUPED, created_at__gt=now - 2 * STORM_WINDOW - UPDATE_INTERVAL
    ).order_by()
    labels = {
        (channel_id, stream.partition("/")[2])
        for channel_id, stream in recent.values_list("channel_id", "stream")
    }
    count = 0
    for channel_id, label in sorted(labels):
        storm = _find_storm(Channel.objects.get(pk=channel_id), label, now)
        if storm is not None and _is_due(storm, now):
            count += _report(storm, now=now)
    return count


def _find_storm(channel: Channel, label: str, now: datetime) -> Storm | None:
    """Return the latest storm of a destination, or None if no message was grouped within the last day.

    A pause longer than STORM_WINDOW separates two storms.
    """
    times = list(
        _list_grouped(channel, label, now - timedelta(days=1))
        .order_by("-created_at")
        .values_list("created_at", flat=True)
    )
    if not times:
        return None
    started_at = times[0]
    for earlier in times[1:]:
        if started_at - earlier > STORM_WINDOW:
            break
        started_at = earlier
    sent = Notification.objects.filter(stream=f"storm/{label}", created_at__gte=started_at)
    grouped = _list_grouped(channel, label, started_at)
    return Storm(
        channel=channel,
        label=label,
        started_at=started_at,
        alert_count=grouped.values("alert").distinct().count(),
        last_message_at=sent.aggregate(last=Max("created_at"))["last"],
        is_over=now - times[0] > STORM_WINDOW,
    )


def _list_grouped(channel: Channel, label: str, since: datetime) -> QuerySet[Notification]:
    return Notification.objects.filter(
        channel=channel,
        stream__endswith=f"/{label}",
        state=NotificationState.GROUPED,
        created_at__gte=since,
    )


def _is_due(storm: Storm, now: datetime) -> bool:
    if Notification.objects.filter(idempotency_key=storm.key).exists():
        return False
    if storm.last_message_at is None or storm.is_over:
        return True
    is_early = now - storm.started_at < STORM_WINDOW
    return now - storm.last_message_at >= (EARLY_UPDATE_INTERVAL if is_early else UPDATE_INTERVAL)


def _rank(grouped: Notification) -> tuple[int, int, int]:
    """Return a sort key: the most severe alerts first, then the active ones, then the oldest."""
    is_active = grouped.alert is not None and grouped.alert.is_active
    return -Severity(grouped.payload["severity"]).rank, not is_active, grouped.pk


def _report(storm: Storm, *, now: datetime) -> int:
    members = _list_grouped(storm.channel, storm.label, storm.started_at).select_related("alert")
    by_alert = {member.alert_id: member for member in members.order_by("pk")}
    grouped = sorted(by_alert.values(), key=_rank)
    first = grouped[0]
    severity = first.payload["severity"]
    recipients = sorted({address for one in grouped for address in one.payload["recipients"]})
    active_count = sum(one.alert is not None and one.alert.is_active for one in grouped)
    total = len(grouped)
    counts = Counter(Severity(one.payload["severity"]) for one in grouped)
    by_severity = ", ".join(
        f"{counts[known]} {known}" for known in sorted(counts, key=lambda known: -known.rank)
    )
    alerts = f"{total} alert{'' if total == 1 else 's'}"
    if storm.is_over:
        title = f"Alert storm over: {alerts} held back, {active_count} still active"
    else:
        title = f"Alert storm: {alerts} held back, {active_count} active"
    listed = [
        f"- {one.payload['title']} ({one.payload['severity']})" for one in grouped[:MAX_LISTED]
    ]
    if total > MAX_LISTED:
        listed.append(f"- and {total - MAX_LISTED} more")
    text = (
        f"This channel reached {STORM_THRESHOLD} messages within {formats.span(STORM_WINDOW)}. "
        "Further alerts are counted here and not sent one by one; critical alerts are still sent.\n"
        f"Held back since {storm.started_at:%H:%M:%S %Z}: {by_severity}. The worst:\n"
        + "\n".join(listed)
    )
    message = Message(
        kind=MessageKind.STORM,
        title=title,
        text=text,
        severity=severity,
        source="opsportal",
        url=f"{settings.BASE_URL}/admin/alerts/",
        facts=[
            ("Held back", by_severity),
            ("Still active", str(active_count)),
            ("Since", f"{storm.started_at:%Y-%m-%d %H:%M:%S %Z}"),
            ("Worst", str(first.payload["title"])),
        ],
        at=now,
        started_at=storm.started_at,
        thread=storm.thread,
        recipients=recipients,
    )
    created = outbox.enqueue_notification(
        channel=storm.channel,
        kind=MessageKind.STORM,
        key=storm.key,
        stream=storm.stream,
        message=message,
        now=now,
        not_before=max(one.due_at for one in grouped),
    )
    return created is not None
