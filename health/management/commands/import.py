"""Import monitors from another system, with `import uptime-kuma kuma.db` or `import healthchecks checks.json`."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.config import sync
from core.config.plan_text import describe_plan
from health.imports import healthchecks, uptime_kuma
from health.imports.imported import Imported, UnreadableFile
from health.services.imports import add_history, keep_ping_keys


class Command(BaseCommand):
    help = "Import monitors, heartbeats, channels and their history from another monitoring system."

    def add_arguments(self, parser: Any) -> None:
        systems = parser.add_subparsers(dest="system", required=True)
        for name, what in (
            ("uptime-kuma", "kuma.db of version 1 or 2, or a backup (JSON)"),
            ("healthchecks", "the response to GET /api/v3/checks/ (or v1, v2)"),
        ):
            system = systems.add_parser(name, help=what)
            system.add_argument("file", type=Path, help=what)
            mode = system.add_mutually_exclusive_group()
            mode.add_argument("--dry-run", action="store_true", help="only show what would be done")
            mode.add_argument(
                "--yes", action="store_true", help="import without asking for confirmation"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        imported = self.read(options["system"], options["file"])
        by = f"The change was made with manage.py import {options['system']}."
        plan = sync.apply(imported.document, by=by, is_dry_run=True, skips_invalid=True)
        self.stdout.write(describe_plan(plan))
        points = sum(len(history) for history in imported.history.values())
        if points:
            self.stdout.write(
                f"History: {points} hours and days of {len(imported.history)} components."
            )
        if imported.notes or plan.problems:
            self.stdout.write("The following items are not imported, or only in part:")
            for note in imported.notes:
                self.stdout.write(f"  {note}")
            for resource, name, problem in plan.problems:
                self.stdout.write(f"  {resource.kind} “{name}” is refused: {problem}")
        if options["dry_run"] or (plan.is_empty and not points):
            return
        if not options["yes"] and not self.confirms():
            raise CommandError("nothing was changed")
        sync.apply(imported.document, by=by, is_dry_run=False, skips_invalid=True)
        added = add_history(imported.history)
        for name in keep_ping_keys(imported.ping_keys):
            self.stdout.write(f"  {name}: another heartbeat has its ping address")
        self.stdout.write(self.style.SUCCESS(f"imported, with {added} hours and days of history"))

    def read(self, system: str, file: Path) -> Imported:
        try:
            if system == "healthchecks":
                return healthchecks.read_file(file)
            return uptime_kuma.read_file(file, now=timezone.now())
        except UnreadableFile as error:
            raise CommandError(f"{file}: {error}") from error

    def confirms(self) -> bool:
        if not sys.stdin.isatty():
            raise CommandError("nothing was changed; add --yes to import, or --dry-run")
        return input("Import this? [y/N] ").strip().lower() in ("y", "yes")
