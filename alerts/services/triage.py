"""What people do about alerts. Each returns how many alerts it changed; what is not possible any more is left alone."""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from alerts.models import ACTIVE, AlertEvent, AlertState, SystemAlert
from alerts.services import lifecycle, notifications
from alerts.services.transitions import move, note

Kind = AlertEvent.Kind
TRIES = 5


def acknowledge(
    alerts: Iterable[SystemAlert], *, user: AbstractBaseUser | None, now: datetime
) -> int:
    """Somebody works on it: no reminders, no escalation, until its severity rises or it comes back."""

    def step(alert: SystemAlert) -> bool:
        if alert.state != AlertState.OPEN:
            return False
        if not move(
            alert,
            state=AlertState.ACKNOWLEDGED,
            acknowledged_at=now,
            acknowledged_by_id=_id(user),
            **_answered(alert, user, now),
        ):
            raise _Overtaken
        note(alert, Kind.ACKNOWLEDGED, now=now, user_id=_id(user))
        notifications.tell_acknowledged(alert, now=now)
        return True

    return _each(alerts, step)


def dismiss(
    alerts: Iterable[SystemAlert],
    *,
    user: AbstractBaseUser | None,
    now: datetime,
    until: datetime | None = None,
) -> int:
    """Nobody wants to see it: it keeps its key, so it cannot come back until the condition has cleared (or `until`)."""

    def step(alert: SystemAlert) -> bool:
        if alert.state not in ACTIVE:
            return False
        if not move(
            alert,
            state=AlertState.DISMISSED,
            dismissed_at=now,
            dismissed_by_id=_id(user),
            dismissed_until=until,
            **_answered(alert, user, now),
        ):
            raise _Overtaken
        text = f"until {until:%Y-%m-%d %H:%M %Z}" if until else ""
        note(alert, Kind.DISMISSED, text, now=now, user_id=_id(user))
        return True

    return _each(alerts, step)


def resolve(alerts: Iterable[SystemAlert], *, user: AbstractBaseUser | None, now: datetime) -> int:
    """Somebody says it is over. A rule that is still breached opens it again."""

    def step(alert: SystemAlert) -> bool:
        if alert.state in (AlertState.RESOLVED, AlertState.PENDING):
            return False
        if not lifecycle.finish(alert, now=now, text="by hand", user_id=_id(user)):
            raise _Overtaken
        return True

    return _each(alerts, step)


def mark_read(
    alerts: Iterable[SystemAlert], *, user: AbstractBaseUser | None, now: datetime
) -> int:
    changed = 0
    for alert in alerts:
        with transaction.atomic():
            unread = SystemAlert.objects.filter(pk=alert.pk, read_at=None)
            if unread.update(read_at=now, read_by_id=_id(user)):
                note(alert, Kind.READ, now=now, user_id=_id(user))
                changed += 1
    return changed


def comment(alert: SystemAlert, *, text: str, user: AbstractBaseUser | None, now: datetime) -> None:
    note(alert, Kind.COMMENT, text.strip()[:5000], now=now, user_id=_id(user))


def _id(user: AbstractBaseUser | None) -> int | None:
    return user.pk if user else None


def _answered(
    alert: SystemAlert, user: AbstractBaseUser | None, now: datetime
) -> dict[str, object]:
    """Somebody has read it, and nobody else need be called."""
    return {
        "read_at": alert.read_at or now,
        "read_by_id": alert.read_by_id or _id(user),
        "respond_by": None,
        "escalate_at": None,
        "is_unanswered": False,
    }


class _Overtaken(Exception):
    """The alert changed between reading and writing; look again."""


def _each(alerts: Iterable[SystemAlert], step: Callable[[SystemAlert], bool]) -> int:
    changed = 0
    for alert in alerts:
        for _ in range(TRIES):
            try:
                with transaction.atomic():
                    changed += step(alert)
                break
            except _Overtaken:
                alert.refresh_from_db()
    return changed
