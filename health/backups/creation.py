"""Create backups and delete old ones."""

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

# The rows of these important or small tables are counted before a backup and after a test restore.
COUNTED_TABLES = (
    "clients_clientapp",
    "alerts_alertrule",
    "alerts_systemalert",
    "health_component",
    "payments_payment",
    "reservations_reservation",
    "errors_errorgroup",
)
_FILE_NAME = re.compile(r"opsportal-\d{8}T\d{6}Z\.(sqlite3\.gz|dump)")


def counted_tables() -> list[str]:
    existing = {model._meta.db_table for model in apps.get_models()}
    return [table for table in COUNTED_TABLES if table in existing]


def backup_folder() -> Path:
    path = Path(settings.BACKUP_DIR)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def create_backup(*, now: datetime) -> Backup:
    """Create a backup, flush it to disk, and delete all but the newest BACKUP_KEEP backups.

    Raises BackupFailed if the backup cannot be created.
    """
    database = databases.current_database()
    backup = Backup.objects.create(started_at=now, node=settings.INSTANCE[:100])
    file = backup_folder() / f"opsportal-{now:%Y%m%dT%H%M%SZ}{database.suffix}"
    draft = file.with_name(f".{file.name}.part")
    try:
        counts = database.count_rows(counted_tables())
        old_mask = os.umask(0o077)
        try:
            database.dump(draft)
        finally:
            os.umask(old_mask)
        sha256 = sha256_of(draft)
        draft.replace(file)
        _flush_to_disk(file)
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
    delete_old_backups()
    return backup


def delete_old_backups() -> list[str]:
    """Delete all but the newest BACKUP_KEEP backup files, and return the names of the deleted files.

    Files with other names are never deleted. If BACKUP_KEEP is 0, all files are kept.
    """
    backups = sorted(path for path in backup_folder().iterdir() if _FILE_NAME.fullmatch(path.name))
    old = backups[: -settings.BACKUP_KEEP] if settings.BACKUP_KEEP else []
    for path in old:
        path.unlink(missing_ok=True)
    return [path.name for path in old]


def sha256_of(file: Path) -> str:
    """Return the SHA-256 hash of a file in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _flush_to_disk(file: Path) -> None:
    for path in (file, file.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
