"""Run the whole portal on one machine, or one node of several: `manage.py serve`."""

import os
import socket
import sys
import tempfile
import uuid
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseProblem
from django.db import connection
from django.utils import timezone
from django.utils.crypto import get_random_string

from core.clients.models import ClientKey
from core.clients.services import ensure_first_app
from core.jobs import cluster
from core.lib import background, read_only
from core.lib.database import keep_little_in_memory, keep_one_connection
from core.lib.prepare import collect_static, prepare_node
from core.lib.processes import (
    Child,
    collect_rarely,
    freeze_objects,
    run_in_child,
    set_process_name,
)
from errors.store.process import StoreProcess
from errors.store.writer import writer
from opsportal.server.heartbeat import HangDetector, Heartbeat
from opsportal.server.supervisor import Supervisor

# Marks the jobs that this command's worker clusters claim, so that a restarted cluster can release them.
CLUSTER_ID = uuid.uuid4().hex[:12]
# No two characters look alike, so that a user can copy a password from the terminal without mistakes.
CLEAR_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class Command(BaseCommand):
    help = "Start the web server and the background work, and keep them running until Ctrl-C."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="port; 0 selects a free port")
        parser.add_argument("--no-web", action="store_true", help="run only background work")
        parser.add_argument("--no-worker", action="store_true", help="run only the web server")
        parser.add_argument("--threads", type=int, default=64, help="number of request threads")
        parser.add_argument(
            "--workers",
            type=int,
            help="number of background tasks that run at the same time (WORKERS)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if not options["no_web"]:
            port = free_port(host, port)
            if "BASE_URL" not in os.environ:
                answer_at(f"http://{_reachable(host)}:{port}")
        # Prepare in a separate process, because migrations need much memory that is not needed afterwards.
        greeting = run_in_child(prepare, is_web=not options["no_web"])

        # Only this user can read the folder, which contains the socket of the store process.
        with tempfile.TemporaryDirectory(prefix="opsportal-") as folder:
            store = store_child(Path(folder) / "store")
            heartbeat = Heartbeat()
            web = Child("web", partial(run_web, host, port, options["threads"], heartbeat))
            worker = Child("worker", lambda: run_worker(worker.start_count, options["workers"]))
            children = [
                *(() if options["no_web"] else (store, web)),
                *(() if options["no_worker"] else (worker,)),
            ]
            if not children:
                raise CommandError("use only one of --no-web and --no-worker")
            detector = None if options["no_web"] else HangDetector(web, heartbeat)
            load()
            set_process_name("opsportal")
            code = Supervisor(children, detector).run(greeting)
        if code:
            sys.exit(code)


def load() -> None:
    """Import the code of all child processes before they are forked, so that they share its memory.

    This function must not query the database, because the forked processes would share one connection.
    """
    import django_q.brokers.orm  # noqa: F401  (an instance would connect)

    from opsportal import wsgi  # noqa: F401  (static files must be collected)
    from opsportal.server import web  # noqa: F401

    connection.ops.compiler("SQLCompiler")
    freeze_objects()


def store_child(address: Path) -> Child:
    """Return the store process. Web processes that are forked later connect to it."""
    writer.store_address = address
    return Child("store", partial(run_store, address))


def run_store(address: Path) -> None:
    set_process_name("opsportal store")
    keep_little_in_memory()
    collect_rarely()
    background.start()
    StoreProcess(address).run()


def run_web(host: str, port: int, threads: int, heartbeat: Heartbeat) -> None:
    from opsportal import wsgi
    from opsportal.server import web

    set_process_name("opsportal web")
    web.run(wsgi.application, host, port, threads=threads, heartbeat=heartbeat)


def run_worker(start_count: int, workers: int | None) -> None:
    set_process_name("opsportal tasks")
    cluster.run(cluster_id=CLUSTER_ID, is_restart=start_count > 1, workers=workers)


def answer_at(base_url: str) -> None:
    """Set BASE_URL, and the settings that depend on it, to this address."""
    settings.BASE_URL = base_url
    name = urlsplit(base_url).hostname or ""
    settings.ALLOWED_HOSTS = list({*settings.ALLOWED_HOSTS, name})
    settings.OTP_TOTP_ISSUER = f"opsportal ({name})"


def prepare(*, is_web: bool) -> str:
    """Prepare the database and the node, and return the banner to print."""
    keep_one_connection()
    check_database()
    if notice := read_only.current():
        collect_static()
        return read_only_banner(notice)
    try:
        prepare_node(timezone.now())
        return banner(first_admin(), _key_to_show() if is_web else None)
    except DatabaseProblem as error:
        raise CommandError(f"the database reported an error: {_line(error)}") from None


def free_port(host: str, port: int) -> int:
    """Return the port or, if it is 0, a free port. Raises CommandError if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"cannot listen on {host}:{port} ({_line(error)}); choose another port with --port"
            ) from None
        return int(trial.getsockname()[1])


def check_database() -> None:
    where = connection.settings_dict
    name = (
        f"{where['HOST']}:{where['PORT'] or 5432}/{where['NAME']}"
        if where["HOST"]
        else where["NAME"]
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseProblem, OSError) as error:
        raise CommandError(f"cannot use the database {name}: {_line(error)}") from None


def first_admin() -> str:
    """Return instructions for the first sign-in.

    Create an admin with a one-time password if there is no active admin.
    """
    if User.objects.filter(is_superuser=True, is_active=True).exists():
        return "with an existing account (to reset a password: ./manage.py resetlogin <name>)"
    password = get_random_string(16, CLEAR_LETTERS)
    user, _ = User.objects.get_or_create(username="admin")
    user.set_password(password)
    user.is_staff = user.is_superuser = user.is_active = True
    user.save()
    return f"admin, password {password} (shown this once; change it at {settings.BASE_URL}/admin/password_change/)"


def _key_to_show() -> ClientKey | None:
    app = ensure_first_app()
    return ClientKey.objects.live().filter(app=app).order_by("pk").first() if app else None


def banner(login: str, key: ClientKey | None) -> str:
    lines = [
        "",
        f"opsportal {settings.VERSION} is up",
        f"  page    {settings.BASE_URL}/admin/system-health/",
    ]
    lines.append(f"  sign in {login}")
    if key:
        lines += [
            f"  DSN     {key.dsn}",
            "  try it  "
            f"curl -sS {settings.BASE_URL}/api/v1/errors/ -H 'Authorization: Bearer {key.public_key}' "
            "-H 'Content-Type: application/json' "
            """-d '{"message": "Hello, portal", "severity": "critical"}'""",
        ]
    lines.append("  Press Ctrl-C to stop the portal.")
    return "\n".join(lines) + "\n"


def read_only_banner(notice: read_only.Notice) -> str:
    page = f"{settings.BASE_URL}/admin/system-health/"
    return f"\nopsportal {settings.VERSION} is up\n  page    {page}\n  {notice.text} ({notice.target})\n"


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
