from typing import Any

from django.core.management.base import BaseCommand

from core.jobs import cluster


class Command(BaseCommand):
    help = "Run background work on this machine without a supervisor. `serve --no-web` runs it with one."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        cluster.run()
