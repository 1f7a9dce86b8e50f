"""Export the configuration of monitoring and alerting to a file, and apply such a file."""

import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.config import sync, yaml_files
from core.config.extension_points import registry
from core.config.plan_text import describe_plan

DIFFERS = 2  # The exit status of --check if there are differences. Errors have the status 1.


class Command(BaseCommand):
    help = "Write the configuration as YAML, or change the portal to match such a file."

    def add_arguments(self, parser: Any) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        export = actions.add_parser("export", help="write the configuration as YAML")
        export.add_argument(
            "file", nargs="?", default="-", help="the file to write (default: standard output)"
        )
        export.add_argument(
            "--only",
            default="",
            metavar="KINDS",
            help="write only these kinds, such as monitors,rules",
        )
        apply = actions.add_parser("apply", help="create and change objects as in a file")
        apply.add_argument("file", help="the file, or - for standard input")
        mode = apply.add_mutually_exclusive_group()
        mode.add_argument("--yes", action="store_true", help="apply the plan without asking")
        mode.add_argument(
            "--check",
            action="store_true",
            help=f"only show the plan; exit with {DIFFERS} if the portal differs from the file",
        )
        apply.add_argument(
            "--prune",
            action="store_true",
            help="delete objects that the file does not contain, of the kinds that it contains",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "export":
            self.export(options["file"], options["only"])
        else:
            self.apply(**{name: options[name] for name in ("file", "yes", "check", "prune")})

    def export(self, file: str, only: str) -> None:
        kinds = [kind.strip() for kind in only.split(",") if kind.strip()]
        for kind in kinds:
            if kind not in registry or not registry.get(kind).is_in_files:
                raise CommandError(f"files have no objects of the kind “{kind}”")
        text = yaml_files.dump(sync.export(now=timezone.now(), kinds=kinds))
        if file == "-":
            self.stdout.write(text, ending="")
            return
        # The file contains addresses of people, so only its owner may read it.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as target:
            target.write(text)
        self.stderr.write(f"written to {file}")

    def apply(self, *, file: str, yes: bool, check: bool, prune: bool) -> None:
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text()
            document = yaml_files.load(text)
        except (OSError, UnicodeDecodeError, yaml_files.InvalidFile) as error:
            raise CommandError(f"{file}: {error}") from error
        by = "The change was made with manage.py config apply."
        plan = sync.apply(document, by=by, is_dry_run=True, is_pruning=prune)
        self.stdout.write(describe_plan(plan))
        if plan.problems:
            raise CommandError(
                f"nothing was changed; correct {len(plan.problems)} of the file's objects and try again"
            )
        if plan.is_empty:
            return
        if check:
            sys.exit(DIFFERS)
        if not yes and not self.confirms(file):
            raise CommandError("nothing was changed")
        done = sync.apply(document, by=by, is_dry_run=False, is_pruning=prune)
        if done.problems:
            self.stdout.write(describe_plan(done))
            raise CommandError("the portal changed after the plan was shown; nothing was changed")
        self.stdout.write(self.style.SUCCESS("applied"))

    def confirms(self, file: str) -> bool:
        if file == "-" or not sys.stdin.isatty():
            raise CommandError("nothing was changed; add --yes to apply the plan")
        return input("Apply this plan? [y/N] ").strip().lower() in ("y", "yes")
