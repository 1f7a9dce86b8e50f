"""Compose the content of notifications."""

from datetime import datetime

import msgspec
from django.conf import settings

from alerts.channels import Message
from alerts.channels.base import MessageKind
from alerts.common_causes import list_causes
from alerts.models import AlertEvent, AlertRule, SystemAlert
from core.lib import formats

Kind = MessageKind


def format_value(value: float | None, unit: str) -> str:
    return "no data" if value is None else formats.quantity(value, unit)


def format_clear_condition(rule: AlertRule) -> str:
    """Return the values that resolve an alert of the rule, such as "≤ 4 %" or "> 100 credits"."""
    limits = rule.get_limits()
    threshold = limits.effective_clear_threshold()
    # If low values are bad, a value that equals the threshold is still a breach.
    relation = "≤" if not limits.below else ">" if threshold == limits.threshold else "≥"
    return f"{relation} {format_value(threshold, rule.unit)}"


def compose(
    alert: SystemAlert, kind: MessageKind, *, now: datetime, recipients: tuple[str, ...] = ()
) -> Message:
    return Message(
        kind=kind,
        title=_build_title(alert, kind, now),
        text=_build_text(alert, kind, now),
        severity=alert.severity,
        source=alert.source or "opsportal",
        url=f"{settings.BASE_URL}{alert.get_absolute_url()}",
        runbook=alert.rule.runbook if alert.rule else "",
        facts=_build_facts(alert),
        at=now,
        started_at=alert.opened_at,
        thread=f"opsportal:{alert.pk}:{alert.episode}",
        alert_ref=f"{alert.pk}.{alert.episode}",
        component=alert.source,
        group=alert.alert_type,
        recipients=list(recipients),
        causes=list_causes(alert.labels, alert.metadata),
    )


def to_payload(message: Message) -> dict[str, object]:
    """Convert a message to the JSON types that the outbox stores."""
    payload: dict[str, object] = msgspec.to_builtins(message, enc_hook=_plain_text)
    return payload


def _plain_text(value: object) -> str:
    """Convert a subclass of str, such as Django's SafeString, to str, because msgspec does not encode subclasses."""
    return value[:] if isinstance(value, str) else str(value)


def from_payload(payload: object) -> Message:
    return msgspec.convert(payload, Message)


def for_unannounced_resolution(message: Message) -> Message:
    """Return the message about a problem that was resolved before its alert could be delivered."""
    lasted = formats.span(message.at - message.started_at) if message.started_at else "a while"
    title = f"Resolved after {lasted}: {message.bare_title}"
    text = (
        f"The alert opened and was resolved before this message could be delivered.\n{message.text}"
    )
    return msgspec.structs.replace(message, title=title, text=text, is_announced=False)


def to_event_kind(kind: MessageKind) -> AlertEvent.Kind:
    """Return the kind of the timeline entry that records a message of the given kind."""
    return {
        Kind.ESCALATED: AlertEvent.Kind.ESCALATED,
        Kind.REMINDER: AlertEvent.Kind.REMINDED,
    }.get(kind, AlertEvent.Kind.ANNOUNCED)


def _build_title(alert: SystemAlert, kind: MessageKind, now: datetime) -> str:
    return {
        Kind.REOPENED: f"Reopened: {alert.title}",
        Kind.RAISED: f"Now {alert.severity}: {alert.title}",
        Kind.REMINDER: f"Still firing for {formats.span(alert.duration(now))}: {alert.title}",
        Kind.ESCALATED: f"Escalated: {alert.title}",
        Kind.ACKNOWLEDGED: f"Acknowledged: {alert.title}",
        Kind.FLAPPING: f"Flapping: {alert.title}",
        Kind.RESOLVED: f"Resolved: {alert.title}",
    }.get(kind, alert.title)


def _build_text(alert: SystemAlert, kind: MessageKind, now: datetime) -> str:
    if kind == Kind.RESOLVED:
        return f"Resolved after {formats.span(alert.duration(now))}."
    if kind == Kind.FLAPPING:
        return (
            f"{alert.message}\nThe alert was opened and resolved several times in 30 minutes. "
            "No further messages are sent until it has been stable for a while."
        ).strip()
    if kind == Kind.ESCALATED:
        open_for = formats.span(alert.duration(now))
        return f"The alert is still not acknowledged after {open_for}.\n{alert.message}".strip()
    return alert.message


def _build_facts(alert: SystemAlert) -> list[tuple[str, str]]:
    facts = [("Severity", str(alert.severity))]
    if alert.threshold is not None:
        facts.append(("Value", format_value(alert.value, alert.unit)))
        facts.append(("Threshold", format_value(alert.threshold, alert.unit)))
        if alert.rule and alert.is_active:
            facts.append(("Resolves at", format_clear_condition(alert.rule)))
    facts.append(("Since", f"{alert.opened_at:%Y-%m-%d %H:%M:%S %Z}"))
    if alert.occurrence_count > 1:
        facts.append(("Seen", f"{alert.occurrence_count} times"))
    facts += [(str(name), str(value)) for name, value in sorted(alert.labels.items())]
    return facts[:10]
