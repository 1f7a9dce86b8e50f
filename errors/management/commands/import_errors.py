from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from errors import hours, importing
from errors.intake.body import Unreadable
from errors.services import record_events
from opsportal.clients.models import ClientApp

BATCH = 200


class Command(BaseCommand):
    help = (
        "Import events from files or folders: Sentry envelopes, or event JSON (an object, a list, one a line), plain or"
        " gzipped. Stop it and start it again as you like: what is stored already is passed over."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("app", help="slug of the registered app that the events belong to")
        parser.add_argument("paths", nargs="+", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        app = ClientApp.objects.filter(slug=options["app"]).first()
        if app is None:
            raise CommandError(f"no app is registered as {options['app']!r}")
        files = importing.files_in(options["paths"])
        stored = known = 0
        unreadable: list[str] = []
        for number, path in enumerate(files, 1):
            try:
                events = importing.events_in(path)
                while batch := list(islice(events, BATCH)):
                    now = timezone.now()
                    written = record_events(
                        [importing.new_event(raw, app=app, now=now) for raw in batch]
                    )
                    stored += written.stored
                    known += written.duplicates
            except (Unreadable, OSError) as error:
                unreadable.append(f"{path}: {error}")
            if number == len(files) or number % 20 == 0 or self.stderr.isatty():
                share = 20 * number // len(files)
                bar = "#" * share + "." * (20 - share)
                self.stderr.write(
                    f"\r[{bar}] {number:,} of {len(files):,} files, {stored:,} events", ending=""
                )
        self.stderr.write("")
        hours.add_up(now=timezone.now(), everything=True)
        self.stdout.write(f"{stored:,} events stored, {known:,} were known already")
        for line in unreadable[:20]:
            self.stdout.write(f"not read: {line}")
        if unreadable and not stored and not known:
            raise CommandError("nothing could be read")
