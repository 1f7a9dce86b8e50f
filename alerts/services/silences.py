"""Silencing from the inbox."""

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from alerts.models import AlertEvent, Silence, SystemAlert
from alerts.services.transitions import note


@transaction.atomic
def silence(
    alerts: Iterable[SystemAlert],
    *,
    user: AbstractBaseUser | None,
    now: datetime,
    until: datetime,
    comment: str,
) -> int:
    """Nobody is told of these alerts until then, also if they end and return; how many alerts."""
    count = 0
    for alert in alerts:
        Silence.objects.create(
            comment=f"{alert.title}: {comment}"[:300],
            matchers={"key": alert.key},
            starts_at=now,
            ends_at=until,
            created_by_id=user.pk if user else None,
        )
        text = f"silenced until {until:%Y-%m-%d %H:%M %Z}"
        note(alert, AlertEvent.Kind.HELD_BACK, text, now=now, user_id=user.pk if user else None)
        count += 1
    return count
