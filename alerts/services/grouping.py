"""Combine the messages about one host, app or component that go to the same recipients into one message.

When a message is sent for the first time, up to MAX_MEMBERS waiting messages about related alerts are merged into it.
Messages that report an opening or a resolution and are not critical wait GROUP_WAIT for related messages. A critical
message is sent at once, together with the related messages that wait at that time.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec
from django.db import transaction
from django.db.models import Q, QuerySet

from alerts import messages
from alerts.channels import Message, get_transport
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import FIRING_KINDS, Channel, Notification, NotificationState

GROUP_WAIT = timedelta(seconds=30)
MAX_MEMBERS = 100
MAX_LISTED = 10
# A message to a person contains a link that acknowledges only one alert, so such messages are never merged.
MERGED_KINDS = tuple(kind for kind in FIRING_KINDS if kind != MessageKind.PAGED)
_WAITING_KINDS = (MessageKind.TRIGGERED, MessageKind.REOPENED, MessageKind.RESOLVED)


def merges(channel: Channel) -> bool:
    """Return True if the channel combines related alerts in one message."""
    return channel.groups_alerts and get_transport(channel).supports_groups


def wait_for_related(
    channel: Channel, message: Message, not_before: datetime, now: datetime
) -> datetime:
    """Return the time when a message may be sent. Related messages that wait at that time can be merged into it."""
    is_urgent = message.severity == Severity.CRITICAL or message.kind not in _WAITING_KINDS
    if is_urgent or not message.causes or not merges(channel):
        return not_before
    return max(not_before, now + GROUP_WAIT)


def is_related(notification: Notification, causes: Collection[str]) -> bool:
    """Return True if at least one of the causes of the notification is in `causes`."""
    return not set(notification.payload.get("causes", ())).isdisjoint(causes)


@transaction.atomic
def merge_related(leader: Notification, message: Message, *, now: datetime) -> Message:
    """Merge waiting messages about related alerts into this message, and return the merged message.

    Only the first attempt to send a message merges others. The merged content is stored, so that retries send the same
    content.
    """
    is_firing = leader.kind in MERGED_KINDS
    if leader.attempt_count != 1 or not (is_firing or leader.kind == MessageKind.RESOLVED):
        return message
    if not message.causes or not merges(leader.channel):
        return message
    candidates = _list_candidates(leader, MERGED_KINDS if is_firing else (MessageKind.RESOLVED,))
    related = [one.pk for one in candidates if is_related(one, message.causes)][:MAX_MEMBERS]
    # Another node may have claimed some of these messages by now, so check again that they are waiting.
    Notification.objects.filter(
        pk__in=related, state=NotificationState.WAITING, attempt_count=0
    ).update(state=NotificationState.MERGED, merged_into=leader)
    members = list(Notification.objects.filter(merged_into=leader).order_by("-is_critical", "pk"))
    if not members:
        return message
    merged = _add_members(message, [messages.from_payload(one.payload) for one in members])
    stored = messages.from_payload(leader.payload)
    stored = msgspec.structs.replace(
        stored,
        title=stored.title + merged.title.removeprefix(message.title),
        text=stored.text + merged.text.removeprefix(message.text),
        facts=merged.facts,
        severity=merged.severity,
        related_refs=merged.related_refs,
    )
    Notification.objects.filter(pk=leader.pk).update(payload=messages.to_payload(stored))
    leader.payload = messages.to_payload(stored)
    return merged


def _list_candidates(leader: Notification, kinds: Collection[MessageKind]) -> list[Notification]:
    label = leader.stream.partition("/")[2]
    waiting = Notification.objects.first_of_their_streams().filter(
        channel=leader.channel_id,
        stream__endswith=f"/{label}",
        state=NotificationState.WAITING,
        attempt_count=0,
        kind__in=kinds,
    )
    # A waiting critical message must be sent first. This message can then be merged into the critical one.
    if not leader.is_critical:
        waiting = waiting.filter(is_critical=False)
    # People who were not notified of an alert need no message about its resolution.
    if leader.kind == MessageKind.RESOLVED:
        waiting = waiting.filter(alert__notifications__sent_at__isnull=False).distinct()
    return list(waiting.exclude(pk=leader.pk).order_by("-is_critical", "pk")[: 10 * MAX_MEMBERS])


def _add_members(message: Message, members: list[Message]) -> Message:
    count = len(members)
    shared = [
        cause
        for cause in message.causes
        if all(cause in member.causes for member in members) and not cause.startswith("group ")
    ]
    about = f" about the {shared[0]}" if shared else ""
    what = "resolution" if message.is_resolved else "alert"
    lines = [f"- {member.title} ({member.severity})" for member in members[:MAX_LISTED]]
    if count > MAX_LISTED:
        lines.append(f"- and {count - MAX_LISTED} more")
    related = f"{count} related {what}{'' if count == 1 else 's'}{about}"
    return msgspec.structs.replace(
        message,
        title=f"{message.title}, and {count} related {what}{'' if count == 1 else 's'}",
        text=f"{message.text}\n\nTogether with {related}:\n" + "\n".join(lines),
        facts=[*message.facts[:9], ("Related", related)],
        severity=max((message, *members), key=lambda one: Severity(one.severity).rank).severity,
        related_refs=[member.alert_ref for member in members if member.alert_ref],
    )


def record_sent(leader: Notification, *, now: datetime) -> None:
    """Record that the messages that were merged into the leader have been sent."""
    _members_of([leader.pk]).update(sent_at=now)


def release(leaders: Collection[int], *, now: datetime) -> int:
    """Requeue each message that was merged into one of the leaders, because the leaders will not be sent.

    Return the number of these messages.
    """
    return _members_of(leaders).update(
        state=NotificationState.WAITING, merged_into=None, next_attempt_at=now
    )


def release_forgotten(*, now: datetime) -> int:
    """Release the messages whose leader was superseded or refused, in case a process died before it released them."""
    ended = Q(state=NotificationState.SUPERSEDED) | Q(
        state=NotificationState.FAILED, is_permanent_failure=True
    )
    leaders = Notification.objects.filter(ended, members__state=NotificationState.MERGED)
    unsent = leaders.filter(members__sent_at=None, sent_at=None)
    return release(list(unsent.values_list("pk", flat=True).distinct()), now=now)


def _members_of(leaders: Collection[int]) -> QuerySet[Notification]:
    return Notification.objects.filter(
        merged_into__in=list(leaders), state=NotificationState.MERGED, sent_at=None
    )
