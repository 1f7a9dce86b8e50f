"""Perform the steps that become due over time: held notifications, escalations, reminders and ends of dismissals."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from alerts.channels.base import MessageKind
from alerts.extension_points import Severity
from alerts.models import AlertEvent, AlertState, AlertType, EscalationStep, SystemAlert
from alerts.queries import dependencies, on_call, routing
from alerts.queries.apps import may_be_notified
from alerts.services import grouping, lifecycle, notifications, paging
from alerts.services.defaults import get_or_create_type
from alerts.services.transitions import add_timeline_entry, transition

Kind = AlertEvent.Kind

BATCH_SIZE = 500
# A step stops after this time, and the next run continues it. Evaluation uses the same thread, which counts as hung
# after 60 s.
MAX_SECONDS_PER_STEP = 10.0
MAX_LAST_STEP_REPEATS = 3
REMINDER_INTERVALS = {
    Severity.CRITICAL: timedelta(hours=4),
    Severity.HIGH: timedelta(hours=4),
    Severity.WARNING: timedelta(hours=24),
    Severity.MEDIUM: timedelta(hours=24),
}


def follow_up(*, now: datetime) -> dict[str, int]:
    """Perform all steps that are due, and return the number of changed alerts for each kind of step."""
    grouping.release_forgotten(now=now)
    open_alerts = SystemAlert.objects.filter(state=AlertState.OPEN).select_related("rule")
    unannounced = open_alerts.filter(is_announced=False)
    reachable = unannounced.exclude(alert_type__in=_list_types_without_channel(unannounced))
    returned = SystemAlert.objects.filter(
        state=AlertState.DISMISSED, dismissed_until__lte=now
    ).select_related("rule")
    return {
        "returned": _apply(returned, lifecycle.end_dismissal, now),
        "announced": _apply(reachable, _announce, now),
        "escalated": _apply(open_alerts.filter(escalate_at__lte=now), _escalate, now),
        "reminded": _apply(
            open_alerts.filter(_is_reminder_due(now), is_flapping=False), _remind, now
        ),
    }


def _is_reminder_due(now: datetime) -> Q:
    """Return the condition for alerts whose reminder is due.

    The interval is that of the rule or, if the rule has none, that of the severity.
    """
    due = Q(rule__repeat_every__isnull=False, last_notified_at__lte=now - F("rule__repeat_every"))
    for severity, every in REMINDER_INTERVALS.items():
        due |= Q(
            Q(rule=None) | Q(rule__repeat_every=None),
            severity=severity,
            last_notified_at__lte=now - every,
        )
    return due


def _list_types_without_channel(alerts: QuerySet[SystemAlert]) -> list[str]:
    """Return the slugs of the alert types that are routed to no configured channel, except those of the daily digest.

    The caller skips the alerts of these types, because thousands of alerts may be waiting for a channel.
    """
    types = AlertType.objects.filter(slug__in=alerts.values("alert_type"), digest_only=False)
    return [one.slug for one in types if not routing.list_channels(one)]


def _apply(
    alerts: QuerySet[SystemAlert], step: Callable[[SystemAlert, datetime], bool], now: datetime
) -> int:
    """Perform the step for the alerts within MAX_SECONDS_PER_STEP, and return the number of alerts that it changed."""
    count, last = 0, 0
    started = time.monotonic()
    while batch := list(alerts.filter(pk__gt=last).order_by("pk")[:BATCH_SIZE]):
        for alert in batch:
            with transaction.atomic():
                count += step(alert, now)
        last = batch[-1].pk
        if time.monotonic() - started > MAX_SECONDS_PER_STEP:
            break
    return count


def _announce(alert: SystemAlert, now: datetime) -> bool:
    if notifications.find_hold_reason(alert, notifications.choose_kind(alert), now):
        return False
    if not transition(alert) or not notifications.announce(alert, now=now):
        return False
    # The response time starts now, because people have just been notified for the first time.
    lifecycle.start_response_clock(alert, now=now)
    return True


def _escalate(alert: SystemAlert, now: datetime) -> bool:
    """Take the next escalation step unless the alert is held back.

    After the last step and its repetitions, mark the alert as unanswered. If no channel was available when the
    alert opened, the channels of the step get the first message about the alert. If a step reaches no one, for example
    because its schedule has a gap, the next step follows immediately. If the last step reaches no one, the next run
    tries this step again.
    """
    alert_type = get_or_create_type(alert.alert_type, alert.severity)
    steps = list(alert_type.steps.order_by("after", "pk"))
    number = alert.escalation_count
    if not steps or dependencies.is_held_back(alert, now):
        return False
    if number >= len(steps) + MAX_LAST_STEP_REPEATS:
        if transition(alert, is_unanswered=True, escalate_at=None):
            add_timeline_entry(
                alert,
                Kind.UNANSWERED,
                "all escalation steps were used and no one acknowledged the alert",
                now=now,
            )
        return False
    step = steps[min(number, len(steps) - 1)]
    is_escalation = number > 0 or step.after > timedelta(0)
    channels = routing.list_channels(step)
    if not is_escalation:  # The channels of the type were already notified when the alert opened.
        known = routing.list_channels(alert_type)
        channels = [channel for channel in channels if channel not in known]
    named = on_call.find_people(step, now=now)
    people = {one: why for one, why in named.items() if may_be_notified(one, alert.app_id)}
    is_reaching = bool(channels) or any(paging.list_ways(person) for person in people)
    if not is_reaching and number + 1 >= len(steps):
        return False
    kind = notifications.choose_first_kind(alert)
    if is_escalation and (alert.is_announced or alert.notice_count > 0):
        kind = MessageKind.ESCALATED
    elif is_escalation:
        kind = notifications.choose_kind(alert)
    if not transition(
        alert,
        escalation_count=number + 1,
        escalate_at=_next_escalation_at(alert, steps, number, now) if is_reaching else now,
    ):
        return False
    if not is_reaching:
        text = f"escalation step {number + 1} reaches no one, so the next step follows immediately"
        add_timeline_entry(alert, Kind.ESCALATED, text, now=now)
        return _escalate(alert, now)
    if left_out := [str(person) for person in named if person not in people]:
        text = f"people not notified, because they are not allowed to see the app: {', '.join(left_out)}"
        add_timeline_entry(alert, Kind.HELD_BACK, text, now=now)
    notifications.notify(alert, kind, channels, now=now)
    paging.page(alert, people, is_escalation=is_escalation, now=now)
    return True


def _next_escalation_at(
    alert: SystemAlert, steps: list[EscalationStep], index: int, now: datetime
) -> datetime:
    """Return the time of the next step.

    The last step is repeated at the interval between the last two steps (or its own delay, if it is the only step),
    which is at least one minute.
    """
    if index + 1 < len(steps):
        return max(now, alert.opened_at + steps[index + 1].after)
    before = steps[-2].after if len(steps) > 1 else timedelta(0)
    return now + max(steps[-1].after - before, timedelta(minutes=1))


def _remind(alert: SystemAlert, now: datetime) -> bool:
    if dependencies.is_held_back(alert, now) or not transition(alert, last_notified_at=now):
        return False
    channels = routing.list_channels(get_or_create_type(alert.alert_type, alert.severity))
    return notifications.notify(alert, MessageKind.REMINDER, channels, now=now) > 0
