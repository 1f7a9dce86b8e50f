"""Verify the newest backup by restoring it.

An alert is opened if the backup is missing, too old, too small or damaged.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from alerts.extension_points import Severity
from alerts.services import clear_problem, report_problem
from health.backups import databases
from health.backups.creation import sha256_of
from health.backups.databases import BackupFailed
from health.models import Backup

ALERT_KEY = "health:backup-verification"
# A backup is created every day. The extra two hours allow for its duration.
STALE_AFTER = timedelta(hours=26)
MIN_SIZE_RATIO = 0.5  # A smaller share of the previous backup's size suggests a damaged backup.
# A few rows may be missing, because they may be deleted between the count and the dump.
MIN_ROW_RATIO, MAX_LOST_ROWS = 0.9, 10


@dataclass(frozen=True)
class Finding:
    is_good: bool
    text: str
    backup: Backup | None = None


def verify_newest_backup(*, now: datetime) -> Finding:
    """Verify the newest backup, store the finding, and open or resolve the alert."""
    finding = _examine(now)
    if finding.backup:
        Backup.objects.filter(pk=finding.backup.pk).update(
            verified_at=now, is_good=finding.is_good, finding=finding.text
        )
    if finding.is_good:
        clear_problem(key=ALERT_KEY, now=now)
    else:
        report_problem(
            key=ALERT_KEY,
            alert_type="backup",
            title="The latest backup failed verification",
            message=finding.text,
            severity=Severity.HIGH,
            source="health",
            now=now,
        )
    return finding


def _examine(now: datetime) -> Finding:
    newest, *before = Backup.objects.done().newest_first()[:2] or [None]
    if newest is None:
        return Finding(False, "missing: no backup has ever been completed")
    file = Path(newest.file)
    if not file.exists():
        return Finding(False, f"missing: {file.name} does not exist", newest)
    age = now - newest.started_at
    if age > STALE_AFTER:
        return Finding(
            False, f"stale: the newest backup is {age.total_seconds() / 3600:.0f} h old", newest
        )
    if before and before[0] and newest.size_bytes < MIN_SIZE_RATIO * before[0].size_bytes:
        return Finding(
            False,
            f"small: {newest.size_bytes:,} bytes, the previous backup has {before[0].size_bytes:,}",
            newest,
        )
    if sha256_of(file) != newest.sha256:
        return Finding(False, f"broken: the checksum of {file.name} has changed", newest)
    try:
        restored = databases.current_database().count_restored_rows(file, newest.row_counts)
    except BackupFailed as error:
        return Finding(False, f"broken: {error}", newest)
    lost = [
        f"{table}: {restored[table]} of {count}"
        for table, count in newest.row_counts.items()
        if restored[table] < MIN_ROW_RATIO * count - MAX_LOST_ROWS
        or (count and not restored[table])
    ]
    if lost:
        return Finding(False, f"broken: rows are missing ({', '.join(lost)})", newest)
    rows = sum(restored.values())
    return Finding(
        True, f"{file.name} was restored: {rows:,} rows in {len(restored)} tables", newest
    )
