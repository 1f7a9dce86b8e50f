"""Removing what is kept no longer, in batches, each a short transaction."""

from datetime import datetime, timedelta

from django.db import models

from alerts.models import AlertState, Notification, RuleReading, SystemAlert
from alerts.models.notification import UNFINISHED

ALERTS_KEPT = timedelta(days=400)
NOTIFICATIONS_KEPT = timedelta(days=90)
READINGS_KEPT = timedelta(days=8)  # a preview looks back seven
BATCH = 2000
BATCHES = 50  # per run; the rest waits for the next night


def clean_up(*, now: datetime) -> dict[str, int]:
    """How many rows of each kind were removed."""
    return {
        "readings": _remove(RuleReading.objects.filter(at__lt=now - READINGS_KEPT)),
        "notifications": _remove(
            Notification.objects.filter(created_at__lt=now - NOTIFICATIONS_KEPT)
            .exclude(state__in=UNFINISHED)
            .exclude(alert__state__in=[AlertState.OPEN, AlertState.ACKNOWLEDGED])
        ),
        "alerts": _remove(
            SystemAlert.objects.filter(state=AlertState.RESOLVED, resolved_at__lt=now - ALERTS_KEPT)
        ),
    }


def _remove(rows: "models.QuerySet[models.Model]") -> int:
    removed = 0
    for _ in range(BATCHES):
        pks = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not pks:
            break
        rows.model._default_manager.filter(pk__in=pks).delete()
        removed += len(pks)
    return removed
