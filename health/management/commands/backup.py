from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from health import backups


class Command(BaseCommand):
    help = (
        "Take a backup of the database into BACKUP_DIR while the portal runs, and remove old ones."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            backup = backups.take(now=timezone.now())
        except backups.BackupFailed as error:
            raise CommandError(f"no backup was taken: {error}") from error
        self.stdout.write(f"{backup.file} ({backup.size_bytes:,} bytes)")
