"""Delete old rows in small batches, so that no other writer has to wait for a long transaction."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from health.models import (
    RESULT_RETENTION,
    ROLLUP_RETENTION,
    ActiveUser,
    CheckIn,
    CheckResult,
    Latency,
    SignalBatch,
    Uptime,
    Value,
)

BATCH_SIZE = 5_000
ACTIVITY_RETENTION = timedelta(days=1)
CHECK_IN_RETENTION = timedelta(days=35)
BATCH_ID_RETENTION = timedelta(hours=48)


def prune(*, now: datetime, limit: int = 20 * BATCH_SIZE) -> int:
    """Delete rows whose retention period is over, and return their number.

    No further batch is deleted once `limit` rows have been deleted.
    """
    old: list[QuerySet] = [  # type: ignore[type-arg]
        CheckResult.objects.filter(at__lt=now - RESULT_RETENTION),
        ActiveUser.objects.filter(seen_at__lt=now - ACTIVITY_RETENTION),
        CheckIn.objects.filter(at__lt=now - CHECK_IN_RETENTION),
        SignalBatch.objects.filter(received_at__lt=now - BATCH_ID_RETENTION),
    ]
    for tier, retention in ROLLUP_RETENTION.items():
        old += [
            model._default_manager.filter(tier=tier, start__lt=now - retention)
            for model in (Latency, Value, Uptime)
        ]
    removed = 0
    for rows in old:
        while removed < limit:
            ids = list(rows.values_list("pk", flat=True)[:BATCH_SIZE])
            if ids:
                # No foreign keys refer to these rows, so a single statement can delete them.
                removed += rows.model._default_manager.filter(pk__in=ids).delete()[0]
            if len(ids) < BATCH_SIZE:
                break
    return removed
