from datetime import timedelta

from django.utils import timezone

from opsportal.lib.schedules import daily
from opsportal.limits.models import BlockedCall

KEPT = timedelta(days=30)
AT_ONCE = 2_000


@daily(hour=2, minute=20)
def remove_old_blocked_calls() -> int:
    """Forget blocked calls older than 30 days."""
    old = BlockedCall.objects.filter(minute__lt=timezone.now() - KEPT)
    removed = 0
    # A flood leaves many rows: a few at a time, so that no transaction is long.
    while pks := list(old.values_list("pk", flat=True)[:AT_ONCE]):
        removed += BlockedCall.objects.filter(pk__in=pks).delete()[0]
    return removed
