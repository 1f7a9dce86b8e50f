from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from health import backups


class Command(BaseCommand):
    help = "Restore the newest backup into a scratch database and compare row counts; raise an alert on failure."

    def handle(self, *args: Any, **options: Any) -> None:
        finding = backups.verify_newest_backup(now=timezone.now())
        if not finding.is_good:
            raise CommandError(finding.text)
        self.stdout.write(finding.text)
