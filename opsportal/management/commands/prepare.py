from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from core.lib.prepare import prepare_node


class Command(BaseCommand):
    help = (
        "Migrate, run the startup hooks and collect static files. `serve` does this automatically."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_node(timezone.now())
