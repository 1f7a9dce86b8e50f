"""Create silences from the inbox."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from alerts.models import AlertEvent, Silence, SystemAlert
from alerts.services.transitions import add_timeline_entry


@transaction.atomic
def silence(
    alerts: Iterable[SystemAlert],
    *,
    user: AbstractBaseUser | None,
    now: datetime,
    until: datetime,
    comment: str,
    batch: uuid.UUID | None = None,
) -> int:
    """Silence the keys of these alerts until `until`, and return the number of alerts.

    The silence also covers later alerts with these keys.
    """
    count = 0
    user_id = user.pk if user else None
    for alert in alerts:
        created = Silence.objects.create(
            comment=f"{alert.title}: {comment}"[:300],
            matchers={"key": alert.key},
            starts_at=now,
            ends_at=until,
            created_by_id=user_id,
        )
        text = f"silenced until {until:%Y-%m-%d %H:%M %Z}"
        add_timeline_entry(
            alert,
            AlertEvent.Kind.HELD_BACK,
            text,
            now=now,
            user_id=user_id,
            batch=batch,
            previous={"silence": created.pk},
        )
        count += 1
    return count
