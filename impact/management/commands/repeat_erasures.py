from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from impact.services.restored_erasures import erasures_file, read_fingerprints, repeat_erasures


class Command(BaseCommand):
    help = "After a restore, erase again everyone who was erased after the backup was created."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            nargs="?",
            type=Path,
            help="the file of erasures (default: erasures.jsonl in BACKUP_DIR)",
        )

    def handle(self, *args: Any, file: Path | None, **options: Any) -> None:
        path = file or erasures_file()
        try:
            erased = read_fingerprints(path)
        except FileNotFoundError:
            raise CommandError(f"{path} does not exist, so no person has been erased") from None
        except (ValueError, KeyError, TypeError):
            raise CommandError(f"{path} is not a file of erasures") from None
        found = repeat_erasures(erased, now=timezone.now())
        self.stdout.write(
            f"People who had been erased: {len(erased)}. People with records again: {len(found)}."
        )
        for erasure in found:
            self.stdout.write(f"  {erasure}: {erasure.summary}")
