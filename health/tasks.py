from collections import Counter

from django.conf import settings
from django.utils import timezone

from health import services
from health.backups import detached
from health.caches.status import write_snapshot
from health.queries.public_status import load_public_status
from health.services import subscribers
from health.services.gauges import ACTIVE_USERS, DATABASE_SIZE, QUEUE_BACKLOG
from opsportal.lib import formats
from opsportal.lib.schedules import daily, every, hourly, weekly


@every(minutes=1)
def run_checks() -> dict[str, int]:
    """Ask every health check and keep the answers."""
    return dict(Counter(services.run_checks(now=timezone.now()).values()))


@every(minutes=1)
def record_gauges() -> str:
    """Measure the database's size, who is active and how much work waits."""
    levels = services.record_gauges(now=timezone.now())
    size = formats.quantity(levels[DATABASE_SIZE], "bytes")
    return f"{size}, {levels[ACTIVE_USERS]:.0f} active, {levels[QUEUE_BACKLOG]:.0f} waiting"


@every(minutes=1)
def sweep_heartbeats() -> str:
    """Notice jobs that did not check in or run too long."""
    return f"{services.sweep_heartbeats(now=timezone.now())} late"


@every(minutes=1)
def keep_status() -> str:
    """Keep the public status for the case that the database goes away."""
    made = load_public_status(now=timezone.now())
    write_snapshot(made)
    return made.status


@every(minutes=1)
def send_status_mails() -> dict[str, int]:
    """Tell subscribers of the status page about incidents."""
    now = timezone.now()
    subscribers.queue_updates(now=now)
    return subscribers.send_waiting(now=now)


@hourly(minute=20)
def check_certificates() -> str:
    """Look when the certificates of monitored addresses expire."""
    return f"{services.check_certificates(now=timezone.now())} looked at"


@hourly(minute=40)
def prune() -> str:
    """Remove measurements and check results whose time is over."""
    now = timezone.now()
    forgotten = subscribers.forget_unconfirmed(now=now)
    return f"{services.prune(now=now)} rows removed, {forgotten} unconfirmed addresses forgotten"


@daily(hour=0, minute=30)
def take_backup() -> str:
    """Take the daily backup (unless BACKUP_DAILY is off)."""
    if not settings.BACKUP_DAILY:
        return "BACKUP_DAILY is off"
    return f"started as process {detached.run_command('backup')}"


@weekly(weekday=0, hour=1)
def verify_backup() -> str:
    """Restore the newest backup into a scratch database and count its rows."""
    return f"started as process {detached.run_command('verify_backup')}"
