from collections import Counter

from django.conf import settings
from django.utils import timezone

from core.lib import formats
from core.lib.schedules import daily, every, hourly, weekly
from health import services
from health.backups import detached
from health.caches.status import write_snapshot
from health.queries.public_status import load_public_status
from health.services import incidents, maintenance, status_messages, subscribers
from health.services.gauges import ACTIVE_USERS, DATABASE_SIZE, QUEUE_BACKLOG


@every(minutes=1, title="Run health checks")
def run_checks() -> dict[str, int]:
    """Run the portal's checks and the monitors that are due."""
    return dict(Counter(services.run_checks(now=timezone.now()).values()))


@every(minutes=1, title="Record gauges")
def record_gauges() -> str:
    """Record database size, active users and queue backlog."""
    levels = services.record_gauges(now=timezone.now())
    size = formats.quantity(levels[DATABASE_SIZE], "bytes")
    return f"{size}, {levels[ACTIVE_USERS]:.0f} active users, {levels[QUEUE_BACKLOG]:.0f} tasks waiting"


@every(minutes=1, title="Watch heartbeats")
def sweep_heartbeats() -> str:
    """Detect missed and overlong runs of heartbeats."""
    return f"{services.sweep_heartbeats(now=timezone.now())} missed or overlong"


@every(minutes=1, title="Write the status page")
def keep_status() -> str:
    """Publish scheduled updates and news about maintenance, and write the snapshot that serves the status page."""
    now = timezone.now()
    incidents.publish_scheduled_updates(now=now)
    maintenance.record_notices(now=now)
    status = load_public_status(now=now)
    write_snapshot(status)
    return status.status


@every(minutes=1, title="Send status updates")
def send_status_mails() -> dict[str, int]:
    """Send news about incidents and maintenance to subscribers of the status page by e-mail."""
    now = timezone.now()
    subscribers.queue_updates(now=now)
    return status_messages.send_pending(now=now)


@every(minutes=1, title="Call webhooks of the status page")
def call_status_webhooks() -> dict[str, int]:
    """Send news about incidents and maintenance to the webhooks that subscribed on the status page."""
    now = timezone.now()
    subscribers.queue_updates(now=now)
    return status_messages.call_webhooks(now=now)


@every(minutes=10, title="Check certificates")
def check_certificates() -> str:
    """Read the certificates that are due, and record how long each known certificate remains valid."""
    return f"{services.check_certificates(now=timezone.now())} certificates read"


@hourly(minute=40, title="Delete old measurements")
def prune() -> str:
    """Delete measurements, check results, notices and unconfirmed addresses whose retention period is over."""
    now = timezone.now()
    deleted = subscribers.delete_unconfirmed(now=now)
    maintenance.prune_notices(now=now)
    return f"{services.prune(now=now)} rows deleted, {deleted} unconfirmed addresses deleted"


@daily(hour=0, minute=30, title="Create the daily backup")
def take_backup() -> str:
    """Start a process that backs up the database, unless BACKUP_DAILY is off."""
    if not settings.BACKUP_DAILY:
        return "BACKUP_DAILY is off"
    return f"started as process {detached.run_command('backup')}"


@weekly(weekday=0, hour=1, title="Verify the newest backup")
def verify_backup() -> str:
    """Start a process that verifies the newest backup and opens an alert if the verification fails."""
    return f"started as process {detached.run_command('verify_backup')}"
