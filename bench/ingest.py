"""Measure how many errors per second the portal stores, groups, counts and acknowledges.

    python -m bench.ingest                       measure SQLite, PostgreSQL and an empty Django view in the same run
    python -m bench.ingest --seconds 10 --write  also update docs/performance.md
    python -m bench.ingest --memory              measure the memory of all processes of `serve` over a million events

The portal runs in production settings under `serve`. The load generator `bench.ingest_load` sends Sentry envelopes of
15.6 KB (3.7 KB gzipped) in 200 groups. Each event has its own id, user, time and breadcrumbs. Absolute figures differ
between machines. The ratio to the empty view is more meaningful, because both are measured in the same minute.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.performance_page import write_section
from bench.processes import cpu_seconds, family, memory_by_role, memory_mb
from tests.servers import process
from tests.servers.postgres import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
MARKER = "<!-- ingestion: written by `make bench` -->"
CONNECTIONS = (1, 8, 32)
ROLES = ("supervisor", "web", "store", "tasks")  # The roles of a node's processes.


def granian(application: str, port: int) -> list[str]:
    """Return the command that serves a WSGI application with the server that the portal uses."""
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--http", "1",
        "--no-ws", "--workers", "1", "--blocking-threads", "64", "--backlog", "2048",
        "--log-level", "error", application,
    ]  # fmt: skip


def serve(port: int, *options: str) -> list[str]:
    return [sys.executable, "manage.py", "serve", "--port", str(port), *options]


@contextmanager
def running(
    command: list[str], port: int, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until its port accepts connections, and stop it at the end."""
    server = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait_until(lambda: process.answers(port), process=server, seconds=120)
        yield server
    finally:
        server.terminate()
        server.wait(60)


def load(
    port: int, key: str, app: int, connections: int, *, seconds: float = 0, events: int = 0
) -> dict:
    """Run the load generator and return its report."""
    command = [
        sys.executable, "-m", "bench.ingest_load", "--dsn", f"http://{key}@127.0.0.1:{port}/{app}", "--json",
        "--connections", str(connections), "--seconds", str(seconds), "--events", str(events),
    ]  # fmt: skip
    completed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=7200
    )
    return json.loads(completed.stdout)


@contextmanager
def refreshing(port: int, session: str) -> Iterator[list[float]]:
    """Fetch the health page repeatedly, one second after each response.

    Yield a list that grows by the time of each response, in seconds.
    """
    ended = threading.Event()
    times: list[float] = []

    def refresh() -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/admin/system-health/",
            headers={"Cookie": f"sessionid={session}"},
        )
        while not ended.is_set():
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=60) as page:
                if b"login" in page.url.encode():
                    raise SystemExit("the health page redirected to the login page")
                page.read()
            times.append(time.perf_counter() - began)
            ended.wait(1.0)

    thread = threading.Thread(target=refresh)
    thread.start()
    try:
        yield times
    finally:
        ended.set()
        thread.join()


SET_UP = """
import json, sys
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
# Models are found by label, because other checkouts have other modules.
from django.apps import apps
ClientApp, ClientKey = apps.get_model("clients.ClientApp"), apps.get_model("clients.ClientKey")
app, _ = ClientApp.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
key = app.keys.first() or ClientKey.objects.create(app=app)
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
staff = User.objects.create_superuser("bench", password=None)
session = SessionStore()
session[SESSION_KEY] = str(staff.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = staff.get_session_auth_hash()
session.create()
print(json.dumps([key.public_key, app.pk, session.session_key]))
"""

COUNT_AND_SIZE = """
import json
import django; django.setup()
from django.db import connection
from errors.models import ErrorEvent
with connection.cursor() as cursor:
    if connection.vendor == "postgresql":
        cursor.execute("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'errors_%%' AND relkind IN ('r', 'p')")
    else:
        cursor.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'errors_%%' OR name LIKE 'events_%%' OR name LIKE 'sqlite_autoindex_errors%%'")
    size = cursor.fetchone()[0]
print(json.dumps([ErrorEvent.objects.count(), int(size)]))
"""


def run_python(program: str, environment: dict[str, str]) -> list:
    completed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if completed.returncode:
        raise SystemExit(completed.stderr[-2000:])
    return json.loads(completed.stdout.splitlines()[-1])


def measure(name: str, environment: dict[str, str], seconds: float) -> list[dict]:
    key, app, session = run_python(SET_UP, environment)
    rows = []
    acknowledged = 0
    empty_port, port = process.free_port(), process.free_port()
    empty_view = granian("bench.empty_view:application", empty_port)
    with (
        running(empty_view, empty_port, {}),
        running(serve(port, "--no-worker"), port, environment) as server,
    ):
        # Do not measure the first requests, which import modules and create the groups.
        acknowledged += load(port, key, app, 8, seconds=2)["acked"]
        for connections in CONNECTIONS:
            empty = load(empty_port, key, app, connections, seconds=max(2.0, seconds / 2))
            pids = family(server.pid)
            before = cpu_seconds(pids)
            ours = load(port, key, app, connections, seconds=seconds)
            ours["cpu_us"] = 1e6 * (cpu_seconds(pids) - before) / max(1, ours["acked"])
            ours["empty_per_s"] = empty["acked_per_s"]
            ours["store"] = name
            acknowledged += ours["acked"]
            rows.append(ours)
        with refreshing(port, session) as pages:
            watched = load(port, key, app, 32, seconds=seconds)
        acknowledged += watched["acked"]
        memory = memory_mb(family(server.pid))
    stored, size = run_python(COUNT_AND_SIZE, environment)
    for row in rows:
        row |= {"memory_mb": memory, "lost": acknowledged - stored, "bytes_each": size / stored}
        row |= {"watched_per_s": watched["acked_per_s"], "watched_p99_ms": watched["p99_ms"]}
        row |= {"pages": len(pages), "page_ms": 1000 * sorted(pages)[len(pages) // 2]}
    return rows


def memory_run(name: str, environment: dict[str, str], total: int) -> list[str]:
    """Return table rows with the memory of all processes of `manage.py serve` at the start and as events arrive."""
    key, app, _ = run_python(SET_UP, environment)
    port = process.free_port()
    lines: list[str] = []

    def add_row(events: int, rate: float) -> None:
        memory = memory_by_role(server.pid)
        cells = " | ".join(f"{memory.get(role, 0):.0f}" for role in ROLES)
        lines.append(
            f"| {name} | {events:,} | {cells} | {sum(memory.values()):.0f} | {rate:,.0f} |"
        )
        print(lines[-1], flush=True)

    with running(serve(port), port, environment) as server:
        time.sleep(30)  # Wait until the worker has run its first jobs.
        add_row(0, 0)
        sent = 0
        for target in (total // 20, total // 4, total // 2, total):
            report = load(port, key, app, 16, events=target - sent)
            sent = target
            add_row(target, report["acked_per_s"])
    return lines


def table(rows: list[dict]) -> str:
    lines = [
        "| store | connections | events/s | p50 ms | p99 ms | CPU µs per event | load generator, of a core"
        " | empty view/s | share of the empty view |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rate = row["acked_per_s"]
        lines.append(
            f"| {row['store']} | {row['connections']} | {rate:,.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f}"
            f" | {row['cpu_us']:,.0f} | {100 * row['client_cpu_share']:.0f} %"
            f" | {row['empty_per_s']:,.0f} | {100 * rate / row['empty_per_s']:.0f} % |"
        )
    for store in dict.fromkeys(row["store"] for row in rows):
        last = next(row for row in reversed(rows) if row["store"] == store)
        lines.append(
            f"\n{store}: acknowledged but not stored {last['lost']}; {last['bytes_each']:,.0f} bytes on disk per event, including"
            f" its indexes and counts; {last['memory_mb']:.0f} MB of memory in all processes except the workers. While the health page"
            f" was refreshed ({last['pages']} times, {last['page_ms']:.0f} ms each): {last['watched_per_s']:,.0f}/s on 32"
            f" connections, p99 {last['watched_p99_ms']:.1f} ms."
        )
    return "\n".join(lines)


def write(text: str) -> None:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    write_section(
        "Taking errors",
        f"{MARKER}\n\n`python -m bench.ingest --write` on {os.cpu_count()} cores with {python}: `serve --no-worker`, the load generator"
        " on the same machine. An event counts once it is answered, which is after it has been committed (SQLite"
        " `synchronous=FULL`, PostgreSQL `synchronous_commit=on`), grouped and counted. The empty view is Django without"
        f" middleware under the same server.\n\n{text}",
    )


def write_memory(lines: list[str]) -> None:
    header = f"| store | events | {' | '.join(ROLES)} | all, MB | events/s |\n" + "|---" * 8 + "|\n"
    write_section(
        "Memory over a million events",
        "Memory of all processes of `manage.py serve` in MB, under load on 16 connections. Pages that processes share are"
        " divided among them (PSS); PostgreSQL's processes are not included. `python -m bench.ingest --memory --write`"
        " updates this table.\n\n" + header + "\n".join(lines),
    )


def stores(chosen: str, folder: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of each chosen store, with the environment of a portal that uses it."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "opsportal.settings",
        "LOG_LEVEL": "ERROR",
        "SECRET_KEY": "bench" * 10,
        "STATICFILES_STORAGE": "django.contrib.staticfiles.storage.StaticFilesStorage",
        "DATA_DIR": folder,
        "DATABASE_URL": "",
    }
    if chosen in ("sqlite", "both"):
        yield "SQLite", environment
    if chosen in ("postgresql", "both"):
        durable = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        server = PostgresServer(options=durable)
        try:
            yield "PostgreSQL", {**environment, "DATABASE_URL": server.url()}
        finally:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--store", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument(
        "--write", action="store_true", help="write the table to docs/performance.md"
    )
    parser.add_argument(
        "--memory", action="store_true", help="measure memory over --events instead"
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    rows: list[dict] = []
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, environment in stores(options.store, folder):
            if options.memory:
                lines += memory_run(name, environment, options.events)
            else:
                rows += measure(name, environment, options.seconds)
    if options.memory:
        if options.write:
            write_memory(lines)
        return
    text = table(rows)
    print(text)
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
