"""Move all data from SQLite to PostgreSQL while the portal is read-only."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.lib import read_only
from opsportal.move import steps
from opsportal.move.exceptions import CannotMove, Different
from opsportal.move.progress import Progress

AFTER_MOVE = """
The move is complete. The portal continues to serve this SQLite file, read-only, until you restart it:
  1. Set DATABASE_URL (or DATABASE_URL_FILE) to the PostgreSQL database. Keep SECRET_KEY, or the file secret_key in
     DATA_DIR.
  2. Restart the portal.
The SQLite file is unchanged. Until something is written to PostgreSQL, you can return to SQLite: restore DATABASE_URL,
run `./manage.py move_to_postgresql --cancel`, and restart the portal.
"""
AFTER_FAILURE = """
The portal still uses SQLite, which is unchanged, and stays read-only. Run the same command again to continue, or
run `./manage.py move_to_postgresql --cancel` so that the portal can write to SQLite again.
"""
AFTER_DIFFERENCE = """
The data in PostgreSQL differs from the data in SQLite and must not be used. The SQLite file is unchanged. The portal
uses the SQLite file and can write to it again. Run the command again to copy everything once more. If the difference
remains, report it with the lines above.
"""


class Command(BaseCommand):
    help = "Move all data from SQLite to PostgreSQL while the portal is read-only. The command can be run again."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "url", nargs="?", help="postgresql://user:password@host/name of an empty database"
        )
        parser.add_argument("--url-file", type=Path, help="file that contains the URL")
        parser.add_argument(
            "--cancel", action="store_true", help="let the portal write to SQLite again"
        )
        parser.add_argument(
            "--drain-seconds", type=float, default=read_only.DRAIN_SECONDS,
            help="seconds to wait for running requests and tasks before the copy begins (default: %(default)g)",
        )  # fmt: skip
        parser.add_argument(
            "--piece-rows", type=int, default=steps.PIECE_ROWS,
            help="number of rows to copy in one transaction (default: %(default)s)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        if options["cancel"]:
            self._cancel()
            return
        url = options["url_file"].read_text().strip() if options["url_file"] else options["url"]
        if not url or not url.startswith(("postgresql://", "postgres://")):
            raise CommandError(
                "give the URL of an empty database: postgresql://user:password@host/name"
            )
        try:
            steps.move(
                url,
                now=timezone.now(),
                progress=Progress(),
                drain_seconds=options["drain_seconds"],
                piece_rows=options["piece_rows"],
            )
        except CannotMove as error:
            notice = read_only.read()
            advice = AFTER_FAILURE if notice and not notice.is_moved else ""
            raise CommandError(f"{error}\n{advice}") from None
        except Different as error:
            raise CommandError(f"{error}\n{AFTER_DIFFERENCE}") from None
        except KeyboardInterrupt:
            raise CommandError(f"interrupted\n{AFTER_FAILURE}") from None
        self.stdout.write(AFTER_MOVE)

    def _cancel(self) -> None:
        notice = read_only.read()
        if notice is None:
            self.stdout.write("The portal is not read-only.")
            return
        read_only.turn_off()
        self.stdout.write(
            f"The portal can write to SQLite again. The database {notice.target} is no longer needed."
        )
