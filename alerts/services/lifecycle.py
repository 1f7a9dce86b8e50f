"""Change the state of an alert: open, reopen, update, raise or resolve it.

Each function makes one change in the caller's transaction, including the timeline entry and the notifications. A result
of False or None means that another worker changed the alert first.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Max, Value, When

from alerts.evaluation import EVALUATION_SLOT
from alerts.models import AlertEvent, AlertRule, AlertState, SystemAlert
from alerts.queries.apps import find_named_apps
from alerts.services import notifications
from alerts.services.defaults import get_or_create_type
from alerts.services.transitions import add_timeline_entry, transition, update_locked
from core.lib import queue

Kind = AlertEvent.Kind

MIN_FLAPPING_TRANSITIONS = 4
FLAPPING_WINDOW = timedelta(minutes=30)


@dataclass(frozen=True)
class Problem:
    """The current description of a problem, from a rule or from other code that reports problems."""

    key: str
    alert_type: str
    title: str
    message: str
    severity: str
    source: str = ""
    rule: AlertRule | None = None
    value: float | None = None
    threshold: float | None = None
    unit: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    references: Mapping[str, object] = field(default_factory=dict)
    recent: str = ""
    # If None, the alert concerns the app that the labels or the metadata name.
    app_id: int | None = None

    def find_app(self) -> int | None:
        """Return the id of the app that the problem concerns, or None.

        If the problem names several apps, return the lowest id.
        """
        if self.app_id is not None:
            return self.app_id
        return min(find_named_apps(self.labels, self.metadata), default=None)

    def occurrence_fields(self) -> dict[str, object]:
        """Return the fields of the alert that every occurrence updates."""
        return {
            "title": self.title[:200],
            "message": self.message,
            "value": self.value,
            "threshold": self.threshold,
            "metadata": dict(self.metadata),
            "references": dict(self.references),
            "recent": self.recent,
        }


def create_alert(
    problem: Problem, *, now: datetime, is_pending: bool = False
) -> SystemAlert | None:
    """Create an alert for a problem that has no unresolved alert. Return None if another worker created one first."""
    episode = SystemAlert.objects.filter(key=problem.key).aggregate(last=Max("episode"))["last"]
    alert = SystemAlert(
        key=problem.key,
        alert_type=problem.alert_type,
        severity=problem.severity,
        source=problem.source,
        app_id=problem.find_app(),
        rule=problem.rule,
        unit=problem.unit,
        labels=dict(problem.labels),
        state=AlertState.PENDING if is_pending else AlertState.OPEN,
        episode=(episode or 0) + 1,
        created_at=now,
        opened_at=now,
        last_seen_at=now,
        evaluated_at=now,
        **problem.occurrence_fields(),
    )
    try:
        with transaction.atomic():
            alert.save(force_insert=True)
    except IntegrityError:
        return None
    if not is_pending:
        _record_opening(alert, Kind.OPENED, now=now)
    return alert


def _opening_fields(alert: SystemAlert, problem: Problem, now: datetime) -> dict[str, object]:
    return problem.occurrence_fields() | {
        "state": AlertState.OPEN,
        "severity": problem.severity,
        "opened_at": now,
        "last_seen_at": now,
        "evaluated_at": now,
        "occurrence_count": alert.occurrence_count + 1,
    }


def open_pending(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """Open a pending alert that has had enough breaches."""
    if not transition(alert, **_opening_fields(alert, problem, now)):
        return False
    _record_opening(alert, Kind.OPENED, now=now)
    return True


def reopen(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """Reopen an alert whose problem returned within the reopen window."""
    fields = _opening_fields(alert, problem, now) | {
        "resolved_at": None,
        "resolved_by": None,
        "clear_since": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "dismissed_at": None,
        "dismissed_by": None,
        "dismissed_until": None,
        "read_at": None,
        "read_by": None,
        "is_announced": False,
        "reopen_count": alert.reopen_count + 1,
    }
    try:
        # If another worker has created a new alert with this key, the update raises IntegrityError.
        with transaction.atomic():
            if not transition(alert, **fields):
                return False
    except IntegrityError:
        return False
    is_flapping = _count_transitions(alert, now) + 1 >= MIN_FLAPPING_TRANSITIONS
    _record_opening(alert, Kind.REOPENED, now=now, becomes_flapping=is_flapping)
    return True


def add_occurrences(occurrences: Sequence[tuple[SystemAlert, Problem]], *, now: datetime) -> None:
    """Count one more occurrence of each problem, with one SQL statement and one more for each changed description.

    The state and the version of an alert stay the same, so the update does not conflict with a concurrent change.
    """
    alerts = SystemAlert.objects.unresolved()
    # The sorted order prevents deadlocks between workers.
    ordered = sorted(occurrences, key=lambda pair: pair[0].pk)
    alerts.filter(pk__in=[alert.pk for alert, _ in ordered]).update(
        last_seen_at=now,
        clear_since=None,
        occurrence_count=F("occurrence_count") + 1,
        evaluated_at=Case(
            When(evaluated_at__gt=now - EVALUATION_SLOT, then=F("evaluated_at")), default=Value(now)
        ),
    )
    for alert, problem in ordered:
        fields = problem.occurrence_fields()
        changed = {name: fields[name] for name in fields if fields[name] != getattr(alert, name)}
        if changed:
            alerts.filter(pk=alert.pk).update(**changed)


def add_occurrence(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """Count one more occurrence of a problem that was reported without a rule."""
    fields: dict[str, object] = problem.occurrence_fields() | {
        "last_seen_at": now,
        "evaluated_at": now,
        "clear_since": None,
        "occurrence_count": F("occurrence_count") + 1,
    }
    count = alert.occurrence_count + 1
    is_updated = transition(alert, **fields)
    if is_updated:
        alert.occurrence_count = count
    return is_updated


def raise_severity(alert: SystemAlert, problem: Problem, *, now: datetime) -> bool:
    """Count one more occurrence, raise the severity, remove the acknowledgment and send notifications."""
    was_acknowledged = alert.state == AlertState.ACKNOWLEDGED
    fields = problem.occurrence_fields() | {
        "severity": problem.severity,
        "state": AlertState.OPEN,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "last_seen_at": now,
        "evaluated_at": now,
        "clear_since": None,
        "is_announced": False,
        "occurrence_count": alert.occurrence_count + 1,
    }
    if not transition(alert, **fields):
        return False
    add_timeline_entry(alert, Kind.RAISED, f"to {alert.severity}", now=now)
    if was_acknowledged:
        add_timeline_entry(alert, Kind.UNACKNOWLEDGED, "the severity was raised", now=now)
    start_response_clock(alert, now=now)
    notifications.announce(alert, now=now)
    return True


def end_dismissal(alert: SystemAlert, now: datetime) -> bool:
    """Reopen an alert whose dismissal has expired while the problem persists."""
    if not transition(
        alert,
        state=AlertState.OPEN,
        dismissed_at=None,
        dismissed_by=None,
        dismissed_until=None,
        is_announced=False,
    ):
        return False
    add_timeline_entry(alert, Kind.RETURNED, now=now)
    start_response_clock(alert, now=now)
    notifications.announce(alert, now=now)
    return True


def record_verdict(
    alert: SystemAlert,
    *,
    recent: str,
    clear_since: datetime | None,
    value: float | None,
    now: datetime,
) -> bool:
    """Store the verdicts and the current value of an alert that an evaluation otherwise leaves unchanged."""
    current = {} if alert.state == AlertState.RESOLVED else {"value": value}
    return transition(alert, recent=recent, clear_since=clear_since, evaluated_at=now, **current)


def discard_pending(alert: SystemAlert) -> bool:
    """Delete a pending alert whose rule is no longer breached."""
    deleted, _ = SystemAlert.objects.filter(
        pk=alert.pk, state=AlertState.PENDING, version=alert.version
    ).delete()
    return bool(deleted)


def resolve(
    alert: SystemAlert,
    *,
    now: datetime,
    text: str = "",
    user_id: int | None = None,
    batch: uuid.UUID | None = None,
    previous: Mapping[str, object] | None = None,
    **seen: object,
) -> bool:
    """Resolve the alert, automatically or for a user. `seen` contains further fields, such as the last value.

    If `batch` and `previous` are given, the user can undo the resolution.
    """
    fields: dict[str, object] = {
        "state": AlertState.RESOLVED,
        "resolved_at": now,
        "resolved_by_id": user_id,
        "recent": "",
        "evaluated_at": now,
        "clear_since": None,
        "is_flapping": False,
        "is_unanswered": False,
        "escalate_at": None,
        "respond_by": None,
        **seen,
    }
    if not transition(alert, **fields):
        return False
    add_timeline_entry(
        alert, Kind.RESOLVED, text, now=now, user_id=user_id, batch=batch, previous=previous
    )
    notifications.notify_resolved(alert, now=now)
    return True


def _record_opening(
    alert: SystemAlert, kind: AlertEvent.Kind, *, now: datetime, becomes_flapping: bool = False
) -> None:
    add_timeline_entry(alert, kind, alert.message, now=now)
    start_response_clock(alert, now=now)
    if becomes_flapping:
        update_locked(alert, is_flapping=True)
        add_timeline_entry(
            alert, Kind.FLAPPING, "stays open until it has been stable for a while", now=now
        )
        notifications.announce_flapping(alert, now=now)
    else:
        notifications.announce(alert, now=now)


def start_response_clock(alert: SystemAlert, *, now: datetime) -> None:
    """Restart the response time and the escalation of the alert according to its type."""
    alert_type = get_or_create_type(alert.alert_type, alert.severity)
    within = alert_type.respond_within
    first = alert_type.steps.order_by("after", "pk").first()
    update_locked(
        alert,
        respond_by=now + within if within else None,
        escalation_count=0,
        escalate_at=now + first.after if first else None,
        is_unanswered=False,
    )
    # An immediate step must not wait for the next run of the scheduled task.
    if first and not first.after:
        queue.enqueue("alerts.tasks.follow_up")


def _count_transitions(alert: SystemAlert, now: datetime) -> int:
    return alert.events.filter(
        kind__in=[Kind.OPENED, Kind.REOPENED, Kind.RESOLVED], at__gt=now - FLAPPING_WINDOW
    ).count()
