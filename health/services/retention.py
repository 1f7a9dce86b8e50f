"""What is old goes, a few thousand rows at a time, so that nobody waits behind a long delete."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from health.models import (
    KEPT,
    RAW_KEPT,
    ActiveUser,
    CheckIn,
    CheckResult,
    Latency,
    SignalBatch,
    Uptime,
    Value,
)

AT_ONCE = 5_000
ACTIVITY_KEPT = timedelta(days=1)
CHECK_INS_KEPT = timedelta(days=35)
BATCH_IDS_KEPT = timedelta(hours=48)


def prune(*, now: datetime, limit: int = 20 * AT_ONCE) -> int:
    """Remove up to `limit` rows whose time is over. Returns how many."""
    old: list[QuerySet] = [  # type: ignore[type-arg]
        CheckResult.objects.filter(at__lt=now - RAW_KEPT),
        ActiveUser.objects.filter(seen_at__lt=now - ACTIVITY_KEPT),
        CheckIn.objects.filter(at__lt=now - CHECK_INS_KEPT),
        SignalBatch.objects.filter(received_at__lt=now - BATCH_IDS_KEPT),
    ]
    for tier, kept in KEPT.items():
        old += [
            model._default_manager.filter(tier=tier, start__lt=now - kept)
            for model in (Latency, Value, Uptime)
        ]
    removed = 0
    for rows in old:
        while removed < limit:
            ids = list(rows.values_list("pk", flat=True)[:AT_ONCE])
            if ids:
                # nothing points at these rows, so no collecting of dependents
                removed += rows.model._default_manager.filter(pk__in=ids)._raw_delete(rows.db)
            if len(ids) < AT_ONCE:
                break
    return removed
