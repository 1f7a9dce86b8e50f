"""Acknowledge or resolve alerts through a link, a reply or a button, for people who are not signed in."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerts.models import (
    FIRING_KINDS,
    AlertEvent,
    AlertState,
    Channel,
    Notification,
    NotificationState,
    Person,
    SystemAlert,
)
from alerts.queries.apps import may_act_on
from alerts.services import triage

MAX_RECENT_MESSAGES = 200


class Action(StrEnum):
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


_WORDS = {
    **dict.fromkeys(("ack", "acknowledge", "ok", "yes", "1"), Action.ACKNOWLEDGE),
    **dict.fromkeys(("res", "resolve", "resolved", "close", "done", "2"), Action.RESOLVE),
}
_REPLY = re.compile(r"\s*([a-z]+|[12]\b)\W*(all|\d{1,18})?\W*", re.IGNORECASE)
NOT_ALLOWED = "You are not allowed to act on this alert, because its app belongs to another team."
NONE_ALLOWED = (
    "You are not allowed to act on these alerts, because their apps belong to other teams."
)
HELP = "Reply ACK or RES, with the number of the alert if there are several, for example ACK 17."
MAX_LISTED = 10


def act(
    alerts: Sequence[SystemAlert],
    action: Action,
    *,
    person: Person | None,
    way: str,
    now: datetime,
) -> str:
    """Perform the action on all alerts that a message names, and return the result in words.

    Alerts that the person may not act on are skipped. `way` is a phrase for the timeline, such as "by text message".
    """
    allowed = [alert for alert in alerts if may_act_on(person, alert)]
    if not allowed:
        return NONE_ALLOWED if len(alerts) > 1 else NOT_ALLOWED
    user = person.user if person else None
    text = " ".join(filter(None, (f"by {person}" if person and not user else "", way)))
    batch = uuid.uuid4()
    change = triage.acknowledge if action is Action.ACKNOWLEDGE else triage.resolve
    change(allowed, user=user, now=now, text=text, batch=batch)
    changed_ids = set(AlertEvent.objects.filter(batch=batch).values_list("alert_id", flat=True))
    changed = [alert for alert in allowed if alert.pk in changed_ids]
    unchanged = [alert for alert in allowed if alert.pk not in changed_ids]
    return _describe(action, changed, unchanged, len(alerts) - len(allowed))


def _describe(
    action: Action, changed: list[SystemAlert], unchanged: list[SystemAlert], refused_count: int
) -> str:
    word = "Acknowledged" if action is Action.ACKNOWLEDGE else "Resolved"
    parts = []
    if len(changed) == 1:
        parts.append(f"{word}: {changed[0].title}")
    elif changed:
        parts.append(f"{word} {len(changed)} alerts: {_list_titles(changed)}")
    if len(unchanged) == 1:
        alert = unchanged[0]
        alert.refresh_from_db()
        parts.append(f"Already {alert.state}: {alert.title}")
    elif unchanged:
        parts.append(f"Nothing to do for {len(unchanged)} alerts: {_list_titles(unchanged)}")
    if refused_count:
        alerts = "1 alert" if refused_count == 1 else f"{refused_count} alerts"
        parts.append(f"You are not allowed to act on {alerts} of other teams")
    return ". ".join(parts)


def _list_titles(alerts: list[SystemAlert]) -> str:
    listed = [alert.title for alert in alerts[:MAX_LISTED]]
    if len(alerts) > MAX_LISTED:
        listed.append(f"{len(alerts) - MAX_LISTED} more")
    return "; ".join(listed)


@dataclass(frozen=True)
class SentMessage:
    """A message to a phone number, with the alerts that it names.

    Replies refer to the message by the id of its first alert.
    """

    alerts: tuple[SystemAlert, ...]

    @property
    def reference(self) -> int:
        return self.alerts[0].pk

    @property
    def summary(self) -> str:
        related = f" and {len(self.alerts) - 1} related" if len(self.alerts) > 1 else ""
        return f"{self.reference} {self.alerts[0].title[:40]}{related}"


def answer_text(channel: Channel, *, sender: str, text: str, now: datetime) -> str:
    """Perform the action that a text message requests, and return the reply to its sender."""
    person = Person.objects.filter(phone=sender, is_active=True).order_by("pk").first()
    sent = _list_sent(channel, sender)
    if person is None and not sent:
        return "This portal sends no alerts to this number."
    match = _REPLY.fullmatch(text[:200])
    action = _WORDS.get(match[1].lower()) if match else None
    if match is None or action is None:
        return HELP
    which = match[2] or ""
    alerts = _select(sent, which, may_any=person is not None)
    alerts = [alert for alert in alerts if may_act_on(person, alert)]
    if not alerts:
        return f"There is no alert {which} for you." if which else "No alert is open."
    if not which and len(named := _newest_messages(sent, alerts)) > 1:
        listed = ", ".join(message.summary for message in named[:3])
        return f"{len(alerts)} alerts are open. Reply ACK with a number, or ACK ALL. {listed}"
    return act(alerts, action, person=person, way="by text message", now=now)


def _select(sent: Sequence[SentMessage], which: str, *, may_any: bool) -> list[SystemAlert]:
    """Return the alerts that a reply refers to.

    If `which` is a number, these are the alerts of the message with this reference, or the alert with this id. With
    `may_any`, this can be an alert that none of the messages names. "all" selects the active alerts that the
    messages name. Without `which`, those that are open are selected, or all active ones if none is open.
    """
    named = {alert.pk: alert for message in sent for alert in message.alerts}
    if which.isdecimal():
        number = int(which)
        for message in sent:
            if message.reference == number:
                return list(message.alerts)
        if number not in named and may_any:
            return list(SystemAlert.objects.visible().filter(pk=number))
        return [named[number]] if number in named else []
    active = [alert for alert in named.values() if alert.is_active]
    is_open = [alert for alert in active if alert.state == AlertState.OPEN]
    return active if which else is_open or active


def _newest_messages(
    sent: Sequence[SentMessage], alerts: Sequence[SystemAlert]
) -> list[SentMessage]:
    """Return the newest message about each of the alerts, without duplicates."""
    newest: dict[int, SentMessage] = {}
    for message in sent:
        for alert in message.alerts:
            newest.setdefault(alert.pk, message)
    return list(dict.fromkeys(newest[alert.pk] for alert in alerts))


def _list_sent(channel: Channel, number: str) -> list[SentMessage]:
    """Return the recent messages to this phone number about alerts, newest first."""
    rows = (
        Notification.objects.filter(
            channel__kind=channel.kind,
            kind__in=FIRING_KINDS,
            state=NotificationState.SENT,
            alert__isnull=False,
        )
        .select_related("alert")
        .prefetch_related("members__alert")
        .order_by("-pk")[:MAX_RECENT_MESSAGES]
    )
    return [
        SentMessage(_named_alerts(row))
        for row in rows
        if number in row.payload.get("recipients", [])
    ]


def _named_alerts(notification: Notification) -> tuple[SystemAlert, ...]:
    """Return the alert of a notification, and the alerts whose messages were merged into this notification."""
    rows = [notification, *sorted(notification.members.all(), key=lambda member: member.pk)]
    return tuple({row.alert.pk: row.alert for row in rows if row.alert is not None}.values())
