"""What a notification says, frozen at the moment it is written."""

from datetime import datetime

import msgspec
from django.conf import settings

from alerts.channels import Message
from alerts.models import AlertEvent, Notification, SystemAlert
from opsportal.lib import formats

Kind = Notification.Kind


def in_units(value: float | None, unit: str) -> str:
    return "no data" if value is None else formats.quantity(value, unit)


def compose(
    alert: SystemAlert, kind: str, *, now: datetime, recipients: tuple[str, ...] = ()
) -> Message:
    return Message(
        kind=kind,
        title=_title(alert, kind, now),
        text=_text(alert, kind, now),
        severity=alert.severity,
        source=alert.source or "opsportal",
        url=f"{settings.BASE_URL}{alert.get_absolute_url()}",
        runbook=alert.rule.runbook if alert.rule else "",
        facts=_facts(alert),
        at=now,
        started_at=alert.opened_at,
        thread=f"opsportal:{alert.pk}:{alert.episode}",
        component=alert.source,
        group=alert.alert_type,
        recipients=list(recipients),
    )


def frozen(message: Message) -> dict[str, object]:
    """As it is kept in the outbox."""
    kept: dict[str, object] = msgspec.to_builtins(message, enc_hook=_plain_text)
    return kept


def _plain_text(value: object) -> str:
    """msgspec takes no subclass of str, and templates and forms bring theirs."""
    return value[:] if isinstance(value, str) else str(value)


def thawed(payload: object) -> Message:
    return msgspec.convert(payload, Message)


def of_unannounced_end(message: Message) -> Message:
    """One message for a problem that was over before anybody was told: what it was, and for how long."""
    lasted = formats.span(message.at - message.started_at) if message.started_at else "a while"
    title = f"Was a problem for {lasted}: {message.title.removeprefix('Resolved: ')}"
    text = f"It began and ended before this could be delivered.\n{message.text}"
    return msgspec.structs.replace(message, title=title, text=text, is_announced=False)


def event_kind(kind: str) -> AlertEvent.Kind:
    """How the timeline calls a message of this kind."""
    return {
        Kind.ESCALATED: AlertEvent.Kind.ESCALATED,
        Kind.REMINDER: AlertEvent.Kind.REMINDED,
    }.get(Kind(kind), AlertEvent.Kind.ANNOUNCED)


def _title(alert: SystemAlert, kind: str, now: datetime) -> str:
    return {
        Kind.REOPENED: f"Back again: {alert.title}",
        Kind.RAISED: f"Now {alert.severity}: {alert.title}",
        Kind.REMINDER: f"Still firing for {formats.span(alert.duration(now))}: {alert.title}",
        Kind.ESCALATED: f"Nobody responded: {alert.title}",
        Kind.ACKNOWLEDGED: f"Acknowledged: {alert.title}",
        Kind.FLAPPING: f"Coming and going: {alert.title}",
        Kind.RESOLVED: f"Resolved: {alert.title}",
    }.get(Kind(kind), alert.title)


def _text(alert: SystemAlert, kind: str, now: datetime) -> str:
    if kind == Kind.RESOLVED:
        return f"Over after {formats.span(alert.duration(now))}."
    if kind == Kind.FLAPPING:
        return (
            f"{alert.message}\nIt has started and ended several times within half an hour. "
            "There will be no more messages about it until it has been quiet for a while."
        ).strip()
    if kind == Kind.ESCALATED:
        open_for = formats.span(alert.duration(now))
        return f"Open for {open_for} and not acknowledged.\n{alert.message}".strip()
    return alert.message


def _facts(alert: SystemAlert) -> list[tuple[str, str]]:
    facts = [("Severity", str(alert.severity))]
    if alert.threshold is not None:
        facts.append(("Value", in_units(alert.value, alert.unit)))
        facts.append(("Threshold", in_units(alert.threshold, alert.unit)))
    facts.append(("Since", f"{alert.opened_at:%Y-%m-%d %H:%M:%S %Z}"))
    if alert.occurrence_count > 1:
        facts.append(("Seen", f"{alert.occurrence_count} times"))
    facts += [(str(name), str(value)) for name, value in sorted(alert.labels.items())]
    return facts[:10]
