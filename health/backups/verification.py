"""Proves the newest backup by restoring it; alerts when it is missing, stale, small or broken."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from alerts.rules import Severity
from alerts.services import clear_problem, report_problem
from health.backups import creation, databases
from health.backups.databases import BackupFailed
from health.models import Backup

PROBLEM = "health:backup-verification"
STALE_AFTER = timedelta(hours=26)  # a day, and time to take it
# Smaller than this share of the one before, something is missing.
SMALL = 0.5


@dataclass(frozen=True)
class Finding:
    is_good: bool
    text: str
    backup: Backup | None = None


def verify(*, now: datetime) -> Finding:
    """Look at the newest backup, note on it what was found, and open or clear the alert."""
    finding = _look(now)
    if finding.backup:
        Backup.objects.filter(pk=finding.backup.pk).update(
            verified_at=now, is_good=finding.is_good, finding=finding.text
        )
    if finding.is_good:
        clear_problem(key=PROBLEM, now=now)
    else:
        report_problem(
            key=PROBLEM,
            alert_type="backup",
            title="The latest backup cannot be relied on",
            message=finding.text,
            severity=Severity.HIGH,
            source="health",
            now=now,
        )
    return finding


def _look(now: datetime) -> Finding:
    newest, *before = Backup.objects.done().newest_first()[:2] or [None]
    if newest is None:
        return Finding(False, "missing: no backup has ever been completed")
    file = Path(newest.file)
    if not file.exists():
        return Finding(False, f"missing: {file.name} is gone", newest)
    age = now - newest.started_at
    if age > STALE_AFTER:
        return Finding(
            False, f"stale: the newest is {age.total_seconds() / 3600:.0f} h old", newest
        )
    if before and before[0] and newest.size_bytes < SMALL * before[0].size_bytes:
        return Finding(
            False,
            f"small: {newest.size_bytes:,} bytes, the one before had {before[0].size_bytes:,}",
            newest,
        )
    if creation.digest(file) != newest.sha256:
        return Finding(False, f"broken: {file.name} is not what was written (checksum)", newest)
    try:
        restored = databases.current().restored_counts(file, newest.row_counts)
    except BackupFailed as error:
        return Finding(False, f"broken: {error}", newest)
    # Rows may have come or gone between counting and copying, but not many, and never all.
    lost = [
        f"{table}: {restored[table]} of {count}"
        for table, count in newest.row_counts.items()
        if restored[table] < 0.9 * count - 10 or (count and not restored[table])
    ]
    if lost:
        return Finding(False, f"broken: rows are missing ({', '.join(lost)})", newest)
    rows = sum(restored.values())
    return Finding(
        True, f"{file.name} was restored: {rows:,} rows in {len(restored)} tables", newest
    )
