"""Removal of rows past their retention period, in batches, each in a short transaction."""

from datetime import datetime, timedelta

from django.db import models

from alerts.models import UNFINISHED_STATES, AlertState, Notification, RuleReading, SystemAlert

ALERT_RETENTION = timedelta(days=400)
NOTIFICATION_RETENTION = timedelta(days=90)
READING_RETENTION = timedelta(days=8)  # previews of rules cover seven days
BATCH_SIZE = 2000
MAX_BATCHES = 50  # maximum per run; the next run removes the rest


def clean_up(*, now: datetime) -> dict[str, int]:
    """Remove expired rows and return the number removed of each kind."""
    return {
        "readings": _remove(RuleReading.objects.filter(at__lt=now - READING_RETENTION)),
        "notifications": _remove(
            Notification.objects.filter(created_at__lt=now - NOTIFICATION_RETENTION)
            .exclude(state__in=UNFINISHED_STATES)
            .exclude(alert__state__in=[AlertState.OPEN, AlertState.ACKNOWLEDGED])
        ),
        "alerts": _remove(
            SystemAlert.objects.filter(
                state=AlertState.RESOLVED, resolved_at__lt=now - ALERT_RETENTION
            )
        ),
    }


def _remove(rows: "models.QuerySet[models.Model]") -> int:
    removed = 0
    for _ in range(MAX_BATCHES):
        pks = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE])
        if not pks:
            break
        rows.model._default_manager.filter(pk__in=pks).delete()
        removed += len(pks)
    return removed
