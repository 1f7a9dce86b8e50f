"""Acknowledge or resolve an alert through a link, a reply or a button, for people who are not signed in."""

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from alerts.models import (
    FIRING_KINDS,
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
NOT_ALLOWED = "You may not act on this alert, because its app belongs to another team."
HELP = "Reply ACK or RES, with the number of the alert if there are several, for example ACK 17."


def act(
    alert: SystemAlert, action: Action, *, person: Person | None, way: str, now: datetime
) -> str:
    """Take the action and return a sentence about its outcome. `way` says how, for example "by text message"."""
    if not may_act_on(person, alert):
        return NOT_ALLOWED
    user = person.user if person else None
    text = " ".join(filter(None, (f"by {person}" if person and not user else "", way)))
    change = triage.acknowledge if action is Action.ACKNOWLEDGE else triage.resolve
    if change([alert], user=user, now=now, text=text):
        word = "Acknowledged" if action is Action.ACKNOWLEDGE else "Resolved"
        return f"{word}: {alert.title}"
    alert.refresh_from_db()
    return f"Nothing to do, it is already {alert.state}: {alert.title}"


def answer_text(channel: Channel, *, sender: str, text: str, now: datetime) -> str:
    """Take the action that a text message requests, and return the reply to its sender."""
    person = Person.objects.filter(phone=sender, is_active=True).order_by("pk").first()
    sent = _list_sent(channel, sender)
    if person is None and not sent:
        return "This number gets no alerts from here."
    match = _REPLY.fullmatch(text[:200])
    action = _WORDS.get(match[1].lower()) if match else None
    if match is None or action is None:
        return HELP
    alerts = _select(sent, match[2] or "", may_any=person is not None)
    alerts = [alert for alert in alerts if may_act_on(person, alert)]
    if not alerts:
        return f"There is no alert {match[2]} for you." if match[2] else "No alert is open."
    if not match[2] and len(alerts) > 1:
        listed = ", ".join(f"{alert.pk} {alert.title[:40]}" for alert in alerts[:3])
        return f"{len(alerts)} alerts are open. Reply ACK with a number, or ACK ALL. {listed}"
    outcomes = [act(one, action, person=person, way="by text message", now=now) for one in alerts]
    return outcomes[0] if len(outcomes) == 1 else f"{len(outcomes)} alerts: {'; '.join(outcomes)}"


def _select(sent: Iterable[SystemAlert], which: str, *, may_any: bool) -> list[SystemAlert]:
    if which.isdecimal():
        named = [alert for alert in sent if alert.pk == int(which)]
        if not named and may_any:
            named = list(SystemAlert.objects.visible().filter(pk=int(which)))
        return named
    active = [alert for alert in sent if alert.is_active]
    is_open = [alert for alert in active if alert.state == AlertState.OPEN]
    return active if which else is_open or active


def _list_sent(channel: Channel, number: str) -> list[SystemAlert]:
    """Return the alerts about which this number was recently notified, with the newest first."""
    rows = (
        Notification.objects.filter(
            channel__kind=channel.kind,
            kind__in=FIRING_KINDS,
            state=NotificationState.SENT,
            alert__isnull=False,
        )
        .select_related("alert")
        .order_by("-pk")[:MAX_RECENT_MESSAGES]
    )
    found = {row.alert_id: row.alert for row in rows if number in row.payload.get("recipients", [])}
    return [alert for alert in found.values() if alert is not None]
