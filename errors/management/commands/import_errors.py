from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.clients.models import ClientApp
from errors.exceptions import Unreadable
from errors.services import count_rollups, importing, record_events

BATCH_SIZE = 200


class Command(BaseCommand):
    help = (
        "Import events from files or folders: Sentry envelopes, or event JSON (an object, a list, or one object "
        "per line), plain or gzipped. If the command is stopped and restarted, it skips events that are already stored."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("app", help="slug of the registered app that the events belong to")
        parser.add_argument("paths", nargs="+", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        app = ClientApp.objects.filter(slug=options["app"]).first()
        if app is None:
            raise CommandError(f"no app is registered with the slug {options['app']!r}")
        try:
            files = [importing.EventFile(path) for path in importing.files_in(options["paths"])]
        except OSError as error:
            raise CommandError(str(error)) from error
        stored = known = 0
        unreadable: list[str] = []
        shown = -1
        for file in files:
            try:
                events = iter(file)
                while batch := list(islice(events, BATCH_SIZE)):
                    now = timezone.now()
                    written = record_events(
                        [importing.new_event(raw, app=app, now=now) for raw in batch]
                    )
                    stored += written.stored
                    known += written.duplicates
                    shown = self._show(files, stored + known, shown)
            except (Unreadable, OSError) as error:
                unreadable.append(f"{file.path}: {error}")
                file.position = file.size
            shown = self._show(files, stored + known, shown)
        self.stderr.write("")
        count_rollups.roll_up(now=timezone.now(), everything=True)
        self.stdout.write(f"{stored:,} events stored, {known:,} already present")
        for line in unreadable[:20]:
            self.stdout.write(f"skipped: {line}")
        if unreadable and not stored and not known:
            raise CommandError("no file could be read")

    def _show(self, files: list[importing.EventFile], events: int, shown: int) -> int:
        """Print the percentage of bytes read, and return it. `shown` is the percentage at the previous call.

        On a terminal, one line is updated. Otherwise, a new line is printed when a multiple of 5 % is passed.
        """
        total = sum(file.size for file in files) or 1
        percent = 100 * sum(file.position for file in files) // total
        step = 1 if self.stderr.isatty() else 5
        if percent // step > shown // step or (self.stderr.isatty() and percent < 100):
            bar = ("#" * (percent // 5)).ljust(20, ".")
            line = f"[{bar}] {percent} % of {total / 1e6:,.1f} MB, {events:,} events"
            self.stderr.write(
                f"\r{line}" if self.stderr.isatty() else line,
                ending="" if self.stderr.isatty() else "\n",
            )
        return percent
