from django.core.management import call_command
from django.utils import timezone

from opsportal.access import audit, password_reset
from opsportal.lib.schedules import daily


@daily(hour=2, minute=20)
def prune_access() -> str:
    """Forget audit events after 400 days, and sessions that have ended."""
    now = timezone.now()
    gone = 0
    while (batch := audit.prune(now=now)) > 0:
        gone += batch
    call_command("clearsessions")
    return f"{gone} audit events"


def send_password_reset(*, user_id: int, **newer_arguments: object) -> str:
    """Mail somebody the way to a new password."""
    return password_reset.send(user_id)
