from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from alerts import services


class Command(BaseCommand):
    help = "Run every check and evaluate every rule now, instead of at its next scheduled time."

    def handle(self, *args: Any, **options: Any) -> None:
        result = services.run_all_checks(now=timezone.now())
        for name, outcome in result.checks.items():
            self.stdout.write(f"{name}: {outcome}")
        self.stdout.write(str(result.evaluation))
        for change, alert in result.changes:
            self.stdout.write(f"  {change}: {alert} ({alert.severity})")
        self.stdout.write(f"{result.unread_count} unread alerts")
