from collections import Counter

from django.conf import settings
from django.utils import timezone

from core.lib import formats
from core.lib.schedules import daily, every, hourly, weekly
from health import services
from health.backups import detached
from health.caches.status import write_snapshot
from health.queries.public_status import load_public_status
from health.services import subscribers
from health.services.gauges import ACTIVE_USERS, DATABASE_SIZE, QUEUE_BACKLOG


@every(minutes=1)
def run_checks() -> dict[str, int]:
    """Run health checks"""
    return dict(Counter(services.run_checks(now=timezone.now()).values()))


@every(minutes=1)
def record_gauges() -> str:
    """Record database size, active users and queue backlog"""
    levels = services.record_gauges(now=timezone.now())
    size = formats.quantity(levels[DATABASE_SIZE], "bytes")
    return f"{size}, {levels[ACTIVE_USERS]:.0f} active users, {levels[QUEUE_BACKLOG]:.0f} tasks waiting"


@every(minutes=1)
def sweep_heartbeats() -> str:
    """Detect missed and overlong runs of heartbeats"""
    return f"{services.sweep_heartbeats(now=timezone.now())} missed or overlong"


@every(minutes=1)
def keep_status() -> str:
    """Write status-page snapshot"""
    status = load_public_status(now=timezone.now())
    write_snapshot(status)
    return status.status


@every(minutes=1)
def send_status_mails() -> dict[str, int]:
    """Send incident updates to status-page subscribers"""
    now = timezone.now()
    subscribers.queue_updates(now=now)
    return subscribers.send_pending(now=now)


@every(minutes=10)
def check_certificates() -> str:
    """Check certificate expiry"""
    return f"{services.check_certificates(now=timezone.now())} certificates read"


@hourly(minute=40)
def prune() -> str:
    """Delete expired measurements and check results"""
    now = timezone.now()
    deleted = subscribers.delete_unconfirmed(now=now)
    return f"{services.prune(now=now)} rows deleted, {deleted} unconfirmed addresses deleted"


@daily(hour=0, minute=30)
def take_backup() -> str:
    """Create the daily backup"""
    if not settings.BACKUP_DAILY:
        return "BACKUP_DAILY is off"
    return f"started as process {detached.run_command('backup')}"


@weekly(weekday=0, hour=1)
def verify_backup() -> str:
    """Verify the newest backup by restoring it"""
    return f"started as process {detached.run_command('verify_backup')}"
