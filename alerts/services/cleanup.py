"""Delete rows past their retention period in batches, each in a short transaction."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from alerts.models import UNFINISHED_STATES, AlertState, Notification, RuleReading, SystemAlert

ALERT_RETENTION = timedelta(days=400)
NOTIFICATION_RETENTION = timedelta(days=90)
READING_RETENTION = timedelta(days=8)  # Previews of rules use the readings of seven days.
# The readings of rules that opened alerts are kept longer, because thresholds are suggested from 30 days of readings.
NOISY_READING_RETENTION = timedelta(days=31)
BATCH_SIZE = 2000
# One run deletes at most this many batches of each kind of rows. The next run continues.
MAX_BATCHES = 50


def clean_up(*, now: datetime) -> dict[str, int]:
    """Delete expired rows, and return the number of deleted rows of each kind."""
    return {
        "readings": _remove(_list_old_readings(now)),
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


def _list_old_readings(now: datetime) -> "models.QuerySet[RuleReading]":
    noisy = SystemAlert.objects.filter(
        rule__isnull=False, opened_at__gt=now - NOISY_READING_RETENTION
    )
    is_needed = Q(rule__in=noisy.values("rule"), at__gte=now - NOISY_READING_RETENTION)
    return RuleReading.objects.filter(at__lt=now - READING_RETENTION).exclude(is_needed)


def _remove(rows: "models.QuerySet[Any]") -> int:
    removed = 0
    for _ in range(MAX_BATCHES):
        pks = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE])
        if not pks:
            break
        rows.model._default_manager.filter(pk__in=pks).delete()
        removed += len(pks)
    return removed
