from datetime import timedelta

from django.utils import timezone

from opsportal.lib.schedules import daily
from opsportal.limits.models import BlockedCall

KEPT = timedelta(days=30)


@daily(hour=2, minute=20)
def remove_old_blocked_calls() -> int:
    """Forget blocked calls older than 30 days."""
    removed, _ = BlockedCall.objects.filter(minute__lt=timezone.now() - KEPT).delete()
    return removed
