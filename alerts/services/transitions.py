"""Moving an alert on: one conditional update from the state and version it was read in, and a line in its timeline."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from alerts.models import AlertEvent, SystemAlert


def move(alert: SystemAlert, **fields: object) -> bool:
    """Change the alert unless somebody else has since; False leaves it to them. Holds its row until the commit."""
    moved = SystemAlert.objects.filter(
        pk=alert.pk, state=alert.state, version=alert.version
    ).update(version=F("version") + 1, **fields)
    if moved:
        alert.version += 1
        for name, value in fields.items():
            setattr(alert, name, value)
    return bool(moved)


def set_fields(alert: SystemAlert, **fields: object) -> None:
    """For what else changes in the transaction that moved the alert, and so holds its row."""
    assert transaction.get_connection().in_atomic_block
    SystemAlert.objects.filter(pk=alert.pk).update(**fields)
    for name, value in fields.items():
        setattr(alert, name, value)


def note(
    alert: SystemAlert,
    kind: AlertEvent.Kind,
    text: str = "",
    *,
    now: datetime,
    user_id: int | None = None,
) -> None:
    AlertEvent.objects.create(alert=alert, at=now, kind=kind, text=text, user_id=user_id)
