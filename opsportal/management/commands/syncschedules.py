from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from core.jobs.models import Job
from core.jobs.services import sync_jobs


class Command(BaseCommand):
    help = (
        "Update the rows of scheduled jobs to match the code. `serve` and `prepare` also do this."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        sync_jobs(timezone.now())
        for name, cron in Job.objects.order_by("name").values_list("name", "cron"):
            self.stdout.write(f"{cron:<16} {name}")
