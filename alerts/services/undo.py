"""Undo an action of staff by restoring the previous state of the alerts, which their timeline entries contain."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction

from alerts.channels.base import MessageKind
from alerts.models import (
    AlertEvent,
    AlertState,
    Notification,
    NotificationState,
    Silence,
    SystemAlert,
)
from alerts.services import notifications
from alerts.services.transitions import add_timeline_entry, transition

Kind = AlertEvent.Kind
UNDO_PERIOD = timedelta(hours=1)
MAX_TRIES = 5
_TIMES = (
    "read_at",
    "acknowledged_at",
    "dismissed_at",
    "dismissed_until",
    "resolved_at",
    "respond_by",
    "escalate_at",
)
_FIELDS = (
    "state",
    *_TIMES,
    "read_by_id",
    "acknowledged_by_id",
    "dismissed_by_id",
    "resolved_by_id",
    "escalation_count",
    "is_unanswered",
    "is_flapping",
)
# Maps each action that changes the state to the new state, and to the time field that differs from the action's time
# if the alert was changed later.
_LEFT_AS = {
    Kind.ACKNOWLEDGED: (AlertState.ACKNOWLEDGED, "acknowledged_at"),
    Kind.DISMISSED: (AlertState.DISMISSED, "dismissed_at"),
    Kind.RESOLVED: (AlertState.RESOLVED, "resolved_at"),
}


def snapshot(alert: SystemAlert) -> dict[str, object]:
    """Return the fields that actions of staff change, so that `undo` can restore them.

    Times are strings with microseconds, because the JSON encoder of the model field would cut them to milliseconds.
    """
    values = {name: getattr(alert, name) for name in _FIELDS}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def undo(batch: uuid.UUID, *, user: AbstractBaseUser, now: datetime) -> int:
    """Undo the user's action of the last hour, and return the number of restored alerts.

    An alert that was changed after the action keeps its current state.
    """
    entries = AlertEvent.objects.filter(
        batch=batch, user_id=user.pk, at__gt=now - UNDO_PERIOD
    ).select_related("alert")
    count = 0
    with transaction.atomic():
        for entry in entries.order_by("alert_id", "pk"):
            count += _undo_entry(entry, user, now)
        entries.update(batch=None)  # An action can be undone only once.
    return count


def _undo_entry(entry: AlertEvent, user: AbstractBaseUser, now: datetime) -> bool:
    alert, previous = entry.alert, dict(entry.previous or {})
    if "silence" in previous:
        is_restored = bool(Silence.objects.filter(pk=previous["silence"]).delete()[0])
    elif entry.kind == Kind.READ:
        is_read = SystemAlert.objects.filter(pk=alert.pk, read_at=entry.at, read_by_id=user.pk)
        is_restored = bool(is_read.update(read_at=None, read_by_id=None))
    else:
        is_restored = _restore(alert, entry, _parse(previous), now)
    if is_restored:
        text = AlertEvent.Kind(entry.kind).label
        add_timeline_entry(alert, Kind.UNDONE, text, now=now, user_id=user.pk)
    return is_restored


def _restore(
    alert: SystemAlert, entry: AlertEvent, previous: Mapping[str, object], now: datetime
) -> bool:
    state, time_field = _LEFT_AS[Kind(entry.kind)]
    for _ in range(MAX_TRIES):
        if alert.state != state or getattr(alert, time_field) != entry.at:
            return False
        try:
            with transaction.atomic():
                done = transition(alert, **previous)
        except IntegrityError:
            return False  # A newer alert has the same key, so this alert stays resolved.
        if done:
            if state == AlertState.RESOLVED and alert.is_active:
                _announce_again(alert, now)
            return True
        alert.refresh_from_db()
    return False


def _announce_again(alert: SystemAlert, now: datetime) -> None:
    """Notify people that the alert is open, because they may have been notified of its resolution."""
    Notification.objects.filter(
        alert=alert,
        kind=MessageKind.RESOLVED,
        state=NotificationState.WAITING,
        attempt_count=0,
    ).update(state=NotificationState.SUPERSEDED, error="the resolution was undone")
    notifications.announce(alert, now=now)


def _parse(previous: Mapping[str, object]) -> dict[str, object]:
    return {
        name: datetime.fromisoformat(str(value)) if value and name in _TIMES else value
        for name, value in previous.items()
        if name in _FIELDS
    }
