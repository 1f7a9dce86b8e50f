from datetime import timedelta

from django.utils import timezone

from core.lib.schedules import daily
from core.limits.models import BlockedCall

RETENTION = timedelta(days=30)
BATCH_SIZE = 2_000


@daily(hour=2, minute=20, title="Delete old rejections")
def remove_old_blocked_calls() -> dict[str, int]:
    """Delete the counts of rejected requests that are older than 30 days."""
    old = BlockedCall.objects.filter(minute__lt=timezone.now() - RETENTION)
    deleted = 0
    # A flood leaves many rows, so they are deleted in batches with short transactions.
    while pks := list(old.values_list("pk", flat=True)[:BATCH_SIZE]):
        deleted += BlockedCall.objects.filter(pk__in=pks).delete()[0]
    return {"deleted": deleted}
