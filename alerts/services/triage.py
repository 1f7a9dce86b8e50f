"""Change alerts on behalf of staff.

Each function except `comment` skips alerts whose state does not allow the action, and returns the number of changed
alerts.
"""

import uuid
from collections.abc import Callable, Iterable
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from alerts.models import ACTIVE_STATES, AlertEvent, AlertState, SystemAlert
from alerts.services import lifecycle, notifications, undo
from alerts.services.transitions import add_timeline_entry, transition

Kind = AlertEvent.Kind
MAX_TRIES = 5
CHUNK_SIZE = 50


def acknowledge(
    alerts: Iterable[SystemAlert],
    *,
    user: AbstractBaseUser | None,
    now: datetime,
    batch: uuid.UUID | None = None,
    text: str = "",
) -> int:
    """Acknowledge the alerts. This stops reminders and escalation until the severity rises or the problem returns."""

    def step(alert: SystemAlert) -> bool:
        if alert.state != AlertState.OPEN:
            return False
        previous = undo.snapshot(alert)
        if not transition(
            alert,
            state=AlertState.ACKNOWLEDGED,
            acknowledged_at=now,
            acknowledged_by_id=_pk(user),
            **_response_fields(alert, user, now),
        ):
            raise _Conflict
        add_timeline_entry(
            alert,
            Kind.ACKNOWLEDGED,
            text,
            now=now,
            user_id=_pk(user),
            batch=batch,
            previous=previous,
        )
        notifications.notify_acknowledged(alert, now=now)
        return True

    return _apply(alerts, step)


def dismiss(
    alerts: Iterable[SystemAlert],
    *,
    user: AbstractBaseUser | None,
    now: datetime,
    until: datetime | None = None,
    batch: uuid.UUID | None = None,
) -> int:
    """Hide the alerts until `until` or, without a time, until they are resolved.

    Dismissed alerts keep their keys, so no new alert opens for their problems.
    """

    def step(alert: SystemAlert) -> bool:
        if alert.state not in ACTIVE_STATES:
            return False
        previous = undo.snapshot(alert)
        if not transition(
            alert,
            state=AlertState.DISMISSED,
            dismissed_at=now,
            dismissed_by_id=_pk(user),
            dismissed_until=until,
            **_response_fields(alert, user, now),
        ):
            raise _Conflict
        text = f"until {until:%Y-%m-%d %H:%M %Z}" if until else ""
        add_timeline_entry(
            alert,
            Kind.DISMISSED,
            text,
            now=now,
            user_id=_pk(user),
            batch=batch,
            previous=previous,
        )
        return True

    return _apply(alerts, step)


def resolve(
    alerts: Iterable[SystemAlert],
    *,
    user: AbstractBaseUser | None,
    now: datetime,
    batch: uuid.UUID | None = None,
    text: str = "manually",
) -> int:
    """Resolve the alerts manually. A rule that is still breached reopens the alert."""

    def step(alert: SystemAlert) -> bool:
        if alert.state in (AlertState.RESOLVED, AlertState.PENDING):
            return False
        previous = undo.snapshot(alert)
        if not lifecycle.resolve(
            alert, now=now, text=text, user_id=_pk(user), batch=batch, previous=previous
        ):
            raise _Conflict
        return True

    return _apply(alerts, step)


def mark_read(
    alerts: Iterable[SystemAlert],
    *,
    user: AbstractBaseUser | None,
    now: datetime,
    batch: uuid.UUID | None = None,
) -> int:
    """Mark the alerts as read by this user, except alerts that a user has already read."""

    def step(alert: SystemAlert) -> bool:
        unread = SystemAlert.objects.filter(pk=alert.pk, read_at=None)
        if not unread.update(read_at=now, read_by_id=_pk(user)):
            return False
        previous = {"read_at": None, "read_by_id": None}
        add_timeline_entry(
            alert, Kind.READ, now=now, user_id=_pk(user), batch=batch, previous=previous
        )
        return True

    return _apply(alerts, step)


def comment(alert: SystemAlert, *, text: str, user: AbstractBaseUser | None, now: datetime) -> None:
    add_timeline_entry(alert, Kind.COMMENT, text.strip()[:5000], now=now, user_id=_pk(user))


def _pk(user: AbstractBaseUser | None) -> int | None:
    return user.pk if user else None


def _response_fields(
    alert: SystemAlert, user: AbstractBaseUser | None, now: datetime
) -> dict[str, object]:
    """Return the fields that mark an alert as read and end its escalation."""
    return {
        "read_at": alert.read_at or now,
        "read_by_id": alert.read_by_id or _pk(user),
        "respond_by": None,
        "escalate_at": None,
        "is_unanswered": False,
    }


class _Conflict(Exception):
    """The alert was changed after it was read. The caller reloads it and tries again."""


def _apply(alerts: Iterable[SystemAlert], step: Callable[[SystemAlert], bool]) -> int:
    """Apply the step to each alert, and return the number of alerts that it changed.

    One transaction covers CHUNK_SIZE alerts, because hundreds of commits would each wait for the disk. The alerts are
    sorted, so that two people who act on the same alerts cause no deadlock.
    """
    ordered = sorted(alerts, key=lambda alert: alert.pk)
    changed = 0
    for start in range(0, len(ordered), CHUNK_SIZE):
        with transaction.atomic():
            for alert in ordered[start : start + CHUNK_SIZE]:
                changed += _apply_step(alert, step)
    return changed


def _apply_step(alert: SystemAlert, step: Callable[[SystemAlert], bool]) -> bool:
    for _ in range(MAX_TRIES):
        try:
            with transaction.atomic():
                return step(alert)
        except _Conflict:
            alert.refresh_from_db()
    return False
