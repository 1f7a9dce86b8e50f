"""Notify a person about an alert through the channels and with the delays that the person's own rules define.

All messages are written to the outbox at once, each with the time at which it becomes due. When the delivery claims a
message, it drops the message if the alert is no longer open or is held back (`is_obsolete`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from alerts import messages, signed_links
from alerts.channels import get_transport, list_missing_settings
from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import (
    UNFINISHED_STATES,
    AlertEvent,
    AlertState,
    Channel,
    Notification,
    NotificationState,
    Person,
    SystemAlert,
)
from alerts.queries.dependencies import is_held_back
from alerts.queries.routing import skip_quiet_hours
from alerts.services import outbox, storms
from alerts.services.transitions import add_timeline_entry, update_locked

# A person without rules is notified on the first channel of each of these kinds, if the address is known.
DEFAULT_KINDS = ("email", "sms")


@dataclass(frozen=True)
class Way:
    """A way to notify a person: a channel, its recipients, and the delay before the message."""

    channel: Channel
    after: timedelta
    rule_id: int  # 0 for a default channel, which does not come from a rule.
    recipients: tuple[str, ...]


def list_ways(person: Person) -> list[Way]:
    """Return the usable channels of the person's rules or, if the person has no rules, the usable default channels."""
    rules = [
        (rule.channel, rule.after, rule.pk)
        for rule in person.notification_rules.select_related("channel").order_by("after", "pk")
    ]
    if not rules:
        usable = Channel.objects.receiving().order_by("pk")
        first = {kind: usable.filter(kind=kind).first() for kind in DEFAULT_KINDS}
        rules = [(channel, timedelta(0), 0) for channel in first.values() if channel is not None]
    ways = []
    for channel, after, rule_id in rules:
        field = get_transport(channel).contact_field
        address = getattr(person, field) if field else ""
        is_usable = channel.is_enabled or bool(channel.disabled_reason)
        if is_usable and not list_missing_settings(channel) and bool(address) == bool(field):
            ways.append(Way(channel, after, rule_id, (address,) if address else ()))
    return ways


def page(
    alert: SystemAlert, people: Mapping[Person, str], *, is_escalation: bool, now: datetime
) -> int:
    """Enqueue the messages of each person's rules, and return the number of people who can be notified.

    This function must be called in the transaction that changed the alert. A rule is skipped while its previous message
    about the alert is still waiting.
    """
    number = alert.notice_count + 1
    texts = []
    for person, reason in people.items():
        ways = list_ways(person)
        for way in ways:
            _enqueue(alert, person, way, reason, number, is_escalation=is_escalation, now=now)
        channels = ", ".join(
            dict.fromkeys(
                f"{way.channel} after {_minutes(way.after)}" if way.after else str(way.channel)
                for way in ways
            )
        )
        texts.append(f"{person} ({reason}): {channels}" if reason else f"{person}: {channels}")
        if not ways:
            texts[-1] = f"{person} has no usable address or notification rule"
    reached = sum(bool(list_ways(person)) for person in people)
    if reached:
        update_locked(alert, notice_count=number, last_notified_at=now, is_announced=True)
    if texts:
        text = f"{MessageKind.PAGED.label}: {'; '.join(texts)}"
        add_timeline_entry(
            alert,
            AlertEvent.Kind.ESCALATED if is_escalation else AlertEvent.Kind.ANNOUNCED,
            text,
            now=now,
        )
    return reached


def is_obsolete(notification: Notification, *, now: datetime) -> str:
    """Return the reason to drop a message to one person, or "" if it should be sent.

    Since the message was created, the alert may have been acknowledged, resolved or held back.
    """
    alert = notification.alert
    if notification.kind != MessageKind.PAGED or alert is None:
        return ""
    if alert.state != AlertState.OPEN:
        return f"the alert was {alert.state} before this message was due"
    if notification.due_at > notification.created_at and is_held_back(alert, now):
        return "the alert was held back before this message was due"
    return ""


def _enqueue(
    alert: SystemAlert,
    person: Person,
    way: Way,
    reason: str,
    number: int,
    *,
    is_escalation: bool,
    now: datetime,
) -> None:
    label = f"{way.channel.pk}:paged-{person.pk}-{way.rule_id}"
    stream = f"alert-{alert.pk}/{label}"
    waiting = Notification.objects.filter(
        stream=stream, kind=MessageKind.PAGED, state__in=UNFINISHED_STATES
    )
    if waiting.exists():
        return
    due_at = now + way.after
    if alert.severity != Severity.CRITICAL:
        due_at = skip_quiet_hours(way.channel.quiet_hours, due_at)
        due_at = skip_quiet_hours(person.quiet_hours, due_at)
    message = messages.compose(alert, MessageKind.PAGED, now=now, recipients=way.recipients)
    facts = [("Notified", f"{person}, {reason}" if reason else str(person)), *message.facts]
    message = msgspec.structs.replace(
        message,
        title=f"Escalated: {alert.title}" if is_escalation else alert.title,
        facts=facts[:10],
        action_url=signed_links.build_url(alert, person),
    )
    is_storm = storms.is_storm(way.channel, label, message, now=now)
    outbox.enqueue_notification(
        channel=way.channel,
        kind=MessageKind.PAGED,
        key=f"{alert.pk}:{alert.episode}:{MessageKind.PAGED}:{number}:{label}",
        stream=stream,
        message=message,
        now=now,
        alert=alert,
        not_before=due_at,
        state=NotificationState.GROUPED if is_storm else NotificationState.WAITING,
    )


def _minutes(after: timedelta) -> str:
    return f"{after.total_seconds() / 60:g} min"
