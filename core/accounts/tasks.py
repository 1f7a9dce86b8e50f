from django.core.management import call_command
from django.utils import timezone

from core.accounts.services import audit, password_reset, sessions
from core.lib.schedules import daily


@daily(hour=2, minute=20, title="Delete old audit events")
def prune_access() -> str:
    """Delete audit events that are older than 400 days, and sessions that have expired."""
    now = timezone.now()
    deleted = 0
    while (batch := audit.prune(now=now)) > 0:
        deleted += batch
    call_command("clearsessions")
    sessions.prune()
    return f"{deleted} audit events"


def send_password_reset(*, user_id: int, **newer_arguments: object) -> str:
    """E-mail a user a link to set a new password."""
    return password_reset.send(user_id)
