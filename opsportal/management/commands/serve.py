"""`manage.py serve`: the whole portal on one machine, or one node of several."""

import http.client
import os
import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseProblem
from django.db import connection
from django.utils import timezone
from django.utils.crypto import get_random_string

from opsportal.clients.models import ClientKey
from opsportal.clients.services import ensure_first_app
from opsportal.jobs import liveness
from opsportal.jobs.supervisor import Supervisor, say
from opsportal.lib.database import keep_one_connection
from opsportal.lib.prepare import prepare_node
from opsportal.lib.processes import Child, in_a_child

CLEAR_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike


class Command(BaseCommand):
    help = "Start the portal: web and background work, kept running. Ctrl-C ends it."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one")
        parser.add_argument("--no-web", action="store_true", help="only background work")
        parser.add_argument("--no-worker", action="store_true", help="only web")
        parser.add_argument("--threads", type=int, default=64, help="requests served at once")
        parser.add_argument("--workers", type=int, help="background tasks at once (WORKERS)")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if not options["no_web"]:
            port = free_port(host, port)
            if "BASE_URL" not in os.environ:
                settings.BASE_URL = f"http://{_reachable(host)}:{port}"
        keep_one_connection()
        # Migrating takes 80 MB that nobody needs afterwards.
        greeting = in_a_child(prepare, is_web=not options["no_web"])

        environment = {"BASE_URL": settings.BASE_URL}
        web = Child("web", web_command(host, port, options["threads"]), environment)
        worker = Child("worker", [sys.executable, sys.argv[0], "qcluster"], dict(environment))
        if options["workers"]:
            worker.environment["WORKERS"] = str(options["workers"])
        children = []
        if not options["no_web"]:
            children.append(web)
        if not options["no_worker"]:
            children.append(worker)
        if not children:
            raise CommandError("--no-web and --no-worker leave nothing to serve")

        def ready() -> bool:
            if options["no_web"] or answers(_reachable(host), port):
                say(greeting)
                return True
            return False

        watch = liveness.Watch(web, lambda: answers(_reachable(host), port, liveness.TIMEOUT))
        supervisor = Supervisor(
            children,
            None if options["no_worker"] else worker,
            [] if options["no_web"] else [watch],
        )
        code = supervisor.run(when_ready=ready)
        if code:
            sys.exit(code)


def prepare(*, is_web: bool) -> str:
    """Put the node in order. Returns what to tell the person who started it."""
    check_database()
    try:
        prepare_node(timezone.now())
        return banner(first_admin(), _key_to_show() if is_web else None)
    except DatabaseProblem as error:
        raise CommandError(f"the database refused: {_line(error)}") from None


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises CommandError, in one line, when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"cannot listen on {host}:{port} ({_line(error)}); choose another with --port"
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
    """How to log in, for people. Makes an admin with a one-time password while there is none."""
    if User.objects.filter(is_superuser=True, is_active=True).exists():
        return "as before (lost the password? manage.py resetlogin <name>)"
    password = get_random_string(16, CLEAR_LETTERS)
    user, _ = User.objects.get_or_create(username="admin")
    user.set_password(password)
    user.is_staff = user.is_superuser = user.is_active = True
    user.save()
    return f"admin, password {password} (shown this once; change it at {settings.BASE_URL}/admin/password_change/)"


def _key_to_show() -> ClientKey | None:
    app = ensure_first_app()
    return ClientKey.objects.live().filter(app=app).order_by("pk").first() if app else None


def web_command(host: str, port: int, threads: int) -> list[str]:
    # One process: threads share caches, rate limits and the group commit of ingestion. More than `backpressure`
    # requests at once wait in the kernel's backlog.
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(port),
        "--http", "1", "--no-ws", "--workers", "1", "--blocking-threads", str(threads),
        "--backpressure", str(threads * 4), "--backlog", "2048", "--log-level", "error",
        "--workers-kill-timeout", "10", "opsportal.wsgi:application",
    ]  # fmt: skip


def answers(host: str, port: int, timeout: float = 1.0) -> bool:
    probe = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        probe.request("GET", "/livez")
        probe.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        probe.close()
    return True


def banner(login: str, key: ClientKey | None) -> str:
    lines = [
        "",
        f"opsportal {settings.VERSION} is up",
        f"  page    {settings.BASE_URL}/admin/system-health/",
    ]
    lines.append(f"  login   {login}")
    if key:
        lines += [
            f"  DSN     {key.dsn}",
            "  try it  "
            f"curl -sS {settings.BASE_URL}/api/v1/errors/ -H 'Authorization: Bearer {key.public_key}' "
            "-H 'Content-Type: application/json' "
            """-d '{"message": "Hello, portal", "severity": "critical"}'""",
        ]
    lines.append("  Ctrl-C ends it.")
    return "\n".join(lines) + "\n"


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - recognised, not bound


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
