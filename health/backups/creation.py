"""Takes a backup and throws away old ones."""

import hashlib
import logging
import os
import re
from datetime import datetime
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.utils import timezone

from health.backups import databases
from health.backups.databases import BackupFailed
from health.models import Backup
from health.models.backups import BackupState

log = logging.getLogger(__name__)

# Counted in the original and in what is restored. Small tables, and those whose loss would hurt most.
TABLES = (
    "clients_clientapp",
    "alerts_alertrule",
    "alerts_systemalert",
    "health_component",
    "payments_payment",
    "reservations_reservation",
    "errors_errorgroup",
)
_NAME = re.compile(r"opsportal-\d{8}T\d{6}Z\.(sqlite3\.gz|dump)")


def tables() -> list[str]:
    existing = {model._meta.db_table for model in apps.get_models()}
    return [table for table in TABLES if table in existing]


def folder() -> Path:
    path = Path(settings.BACKUP_DIR)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def take(*, now: datetime) -> Backup:
    """A new backup, complete and on the disk; then all but the newest BACKUP_KEEP are removed. Raises BackupFailed."""
    database = databases.current()
    backup = Backup.objects.create(started_at=now, node=settings.INSTANCE[:100])
    file = folder() / f"opsportal-{now:%Y%m%dT%H%M%SZ}{database.suffix}"
    draft = file.with_name(f".{file.name}.part")
    try:
        counts = database.counts(tables())
        old_mask = os.umask(0o077)
        try:
            database.dump(draft)
        finally:
            os.umask(old_mask)
        sha256 = digest(draft)
        draft.replace(file)
        _to_disk(file)
    except (BackupFailed, OSError) as error:
        draft.unlink(missing_ok=True)
        Backup.objects.filter(pk=backup.pk).update(
            state=BackupState.FAILED, finished_at=timezone.now(), error=str(error)
        )
        raise BackupFailed(str(error)) from error
    backup.state = BackupState.DONE
    backup.finished_at = timezone.now()
    backup.file, backup.sha256, backup.row_counts = str(file), sha256, counts
    backup.size_bytes = file.stat().st_size
    backup.save()
    rotate()
    return backup


def rotate() -> list[str]:
    """Remove files past BACKUP_KEEP; only what bears our name."""
    ours = sorted(path for path in folder().iterdir() if _NAME.fullmatch(path.name))
    old = ours[: -settings.BACKUP_KEEP] if settings.BACKUP_KEEP else []
    for path in old:
        path.unlink(missing_ok=True)
    return [path.name for path in old]


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _to_disk(file: Path) -> None:
    for path in (file, file.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
