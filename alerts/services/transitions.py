"""Change an alert only if it has not been changed since it was read, and add timeline entries."""

import uuid
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import F

from alerts.models import AlertEvent, SystemAlert


def transition(alert: SystemAlert, **fields: object) -> bool:
    """Update the alert and lock its row until the commit. Return False if the alert was changed since it was read."""
    updated = SystemAlert.objects.filter(
        pk=alert.pk, state=alert.state, version=alert.version
    ).update(version=F("version") + 1, **fields)
    if updated:
        alert.version += 1
        for name, value in fields.items():
            setattr(alert, name, value)
    return bool(updated)


def update_locked(alert: SystemAlert, **fields: object) -> None:
    """Update further fields. The caller's transaction must have called `transition()`, which locks the row."""
    assert transaction.get_connection().in_atomic_block
    SystemAlert.objects.filter(pk=alert.pk).update(**fields)
    for name, value in fields.items():
        setattr(alert, name, value)


def add_timeline_entry(
    alert: SystemAlert,
    kind: AlertEvent.Kind,
    text: str = "",
    *,
    now: datetime,
    user_id: int | None = None,
    batch: uuid.UUID | None = None,
    previous: Mapping[str, object] | None = None,
) -> None:
    AlertEvent.objects.create(
        alert=alert, at=now, kind=kind, text=text, user_id=user_id, batch=batch, previous=previous
    )
