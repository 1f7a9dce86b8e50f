from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from health import backups


class Command(BaseCommand):
    help = "Back up the database to BACKUP_DIR while the portal is running, and delete old backups."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            backup = backups.create_backup(now=timezone.now())
        except backups.BackupFailed as error:
            raise CommandError(f"the backup failed: {error}") from error
        self.stdout.write(f"{backup.file} ({backup.size_bytes:,} bytes)")
