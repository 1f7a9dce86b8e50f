"""What time alone brings: announcements that were held back, escalation, reminders, the end of a dismissal."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from alerts.models import AlertEvent, AlertState, EscalationStep, Notification, SystemAlert
from alerts.queries import routing, silences
from alerts.rules import Severity
from alerts.services import lifecycle, notifications
from alerts.services.defaults import type_for
from alerts.services.transitions import move, note

Kind = AlertEvent.Kind

AT_ONCE = 500
LAST_STEP_REPEATS = 3
REPEAT_EVERY = {
    Severity.CRITICAL: timedelta(hours=4),
    Severity.HIGH: timedelta(hours=4),
    Severity.WARNING: timedelta(hours=24),
    Severity.MEDIUM: timedelta(hours=24),
}


def follow_up(*, now: datetime) -> dict[str, int]:
    """One sweep over what is open; how many alerts each kind of step was taken for."""
    open_alerts = SystemAlert.objects.filter(state=AlertState.OPEN).select_related("rule")
    returned = SystemAlert.objects.filter(
        state=AlertState.DISMISSED, dismissed_until__lte=now
    ).select_related("rule")
    return {
        "returned": _each(returned, lifecycle.return_dismissed, now),
        "announced": _each(open_alerts.filter(is_announced=False), _announce, now),
        "escalated": _each(open_alerts.filter(escalate_at__lte=now), _escalate, now),
        "reminded": _each(
            open_alerts.filter(_is_reminder_due(now), is_flapping=False), _remind, now
        ),
    }


def _is_reminder_due(now: datetime) -> Q:
    """By the rule's own interval, else by the severity's."""
    due = Q(rule__repeat_every__isnull=False, last_notified_at__lte=now - F("rule__repeat_every"))
    for severity, every in REPEAT_EVERY.items():
        due |= Q(
            Q(rule=None) | Q(rule__repeat_every=None),
            severity=severity,
            last_notified_at__lte=now - every,
        )
    return due


def _each(
    alerts: QuerySet[SystemAlert], step: Callable[[SystemAlert, datetime], bool], now: datetime
) -> int:
    taken = 0
    for alert in alerts.order_by("pk")[:AT_ONCE]:
        with transaction.atomic():
            taken += step(alert, now)
    return taken


def _announce(alert: SystemAlert, now: datetime) -> bool:
    if notifications.reason_to_hold(alert, notifications.kind_of_announcement(alert), now):
        return False
    return move(alert) and notifications.announce(alert, now=now) > 0


def _escalate(alert: SystemAlert, now: datetime) -> bool:
    """The next step of its type; the last is repeated, and then it is shown as unanswered."""
    alert_type = type_for(alert.alert_type, alert.severity)
    steps = list(alert_type.steps.order_by("after", "pk"))
    number = alert.escalation_count
    if not steps or silences.silence_for(alert, now):
        return False
    if number >= len(steps) + LAST_STEP_REPEATS:
        if move(alert, is_unanswered=True, escalate_at=None):
            note(alert, Kind.UNANSWERED, "every step was taken and nobody responded", now=now)
        return False
    step = steps[min(number, len(steps) - 1)]
    if not move(alert, escalation_count=number + 1, escalate_at=_after(alert, steps, number, now)):
        return False
    notifications.tell(alert, Notification.Kind.ESCALATED, routing.channels_of_step(step), now=now)
    return True


def _after(alert: SystemAlert, steps: list[EscalationStep], taken: int, now: datetime) -> datetime:
    """When the step after the one just taken is due: each at its delay, the repeats as far apart as the last one."""
    if taken + 1 < len(steps):
        return max(now, alert.opened_at + steps[taken + 1].after)
    before = steps[-2].after if len(steps) > 1 else timedelta(0)
    return now + max(steps[-1].after - before, timedelta(minutes=1))


def _remind(alert: SystemAlert, now: datetime) -> bool:
    if silences.silence_for(alert, now) or not move(alert, last_notified_at=now):
        return False
    channels = routing.channels_of(type_for(alert.alert_type, alert.severity))
    return notifications.tell(alert, Notification.Kind.REMINDER, channels, now=now) > 0
