from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from health import backups


class Command(BaseCommand):
    help = "Restore the newest backup into a scratch database and count its rows; alert when it is not good."

    def handle(self, *args: Any, **options: Any) -> None:
        finding = backups.verify(now=timezone.now())
        if not finding.is_good:
            raise CommandError(finding.text)
        self.stdout.write(finding.text)
