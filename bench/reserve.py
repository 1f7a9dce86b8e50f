"""Measure how many reservations of one ticket type the portal makes per second, and compare with the database alone.

    python -m bench.reserve                  SQLite, then a new PostgreSQL server with fsync on
    python -m bench.reserve --only postgresql --seconds 10

On PostgreSQL, four processes reserve tickets, as four web processes would. Their rate is compared with the rate at
which pgbench runs the same statement. On SQLite, first one process reserves tickets in four threads, as the portal
does, and then four processes do so. Both rates are compared with the rate at which four processes write the same rows
with sqlite3.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 4

PGBENCH_VALUES = {
    "lock_timeout": "'3s'",
    "type_id": "1",
    "quantity": "1",
    "created_at": "now()",
    "uuid": "gen_random_uuid()",
    "app_id": "1",
    "idempotency_key": "gen_random_uuid()::text",
    "fingerprint": "'f'",
    "status": "'active'",
    "customer": "''",
    "order_id": "''",
    "request_id": "''",
    "extensions": "0",
    "paid_elsewhere": "''",
}


def work(seconds: float, threads: int) -> None:
    """Reserve tickets in this process with `threads` threads. Print the rate and the CPU seconds per reservation."""
    import django

    django.setup()
    from django.db import connection
    from django.utils import timezone

    from core.clients.models import ClientApp
    from reservations.models import TicketType
    from reservations.services import Wanted, reserve

    app, type_ = ClientApp.objects.get(slug="bench"), TicketType.objects.get()
    counts = [0] * threads

    def buy(number: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            key = uuid.uuid4().hex
            wanted = Wanted(((type_.pk, 1),), "", "", key, "f")
            reserve(app=app, wanted=wanted, now=timezone.now())
            counts[number] += 1
        connection.close()

    connection.ensure_connection()
    print("ready", flush=True)
    sys.stdin.readline()
    started, cpu = time.monotonic(), time.process_time()
    workers = [threading.Thread(target=buy, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print_rate(sum(counts), started, cpu)


def print_rate(count: int, started: float, cpu: float) -> None:
    print(count / (time.monotonic() - started), (time.process_time() - cpu) / count, flush=True)


def write_with_sqlite3(seconds: float, _threads: int) -> None:
    """Write the rows of reservations with sqlite3 alone, and print the rate, the upper limit for the portal."""
    import sqlite3

    path = Path(os.environ["DATA_DIR"]) / "opsportal.sqlite3"
    database = sqlite3.connect(path, timeout=20, isolation_level=None)
    database.executescript(
        "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-32000"
    )
    print("ready", flush=True)
    sys.stdin.readline()
    started, cpu, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() < started + seconds:
        now = "2026-06-01 12:00:00.123456"
        database.execute("BEGIN IMMEDIATE")
        [(id_,)] = database.execute(
            "INSERT INTO reservations_reservation (uuid, app_id, idempotency_key, fingerprint, status, customer,"
            " order_id, request_id, created_at, expires_at, extensions, paid_elsewhere)"
            " VALUES (?, (SELECT max(id) FROM clients_clientapp), ?, 'f', 'active', '', '', '', ?, ?, 0, '') RETURNING id",
            (uuid.uuid4().hex, uuid.uuid4().hex, now, now),
        ).fetchall()
        database.execute(
            "INSERT INTO reservations_line (reservation_id, ticket_type_id, quantity, price, currency)"
            " VALUES (?, 1, 1, 0, 'EUR')",
            (id_,),
        )
        database.execute("UPDATE reservations_tickettype SET held = held + 1 WHERE id = 1")
        database.execute("COMMIT")
        count += 1
    print_rate(count, started, cpu)


def prepare() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from core.clients.models import ClientApp
    from reservations.models import Event, TicketType

    call_command("migrate", verbosity=0)
    ClientApp.objects.create(slug="bench", name="Bench")
    TicketType.objects.create(
        event=Event.objects.create(slug="hot", name="Hot"), name="Hot", capacity=50_000_000
    )


class Rate(NamedTuple):
    per_second: float
    # The CPU time, in microseconds, that the benchmark processes used per reservation.
    cpu_us: float


def measure(
    environment: dict[str, str], seconds: float, processes: int, threads: int, mode: str = "--work"
) -> Rate:
    """Run this program with `mode` in each of `processes` processes. Return the sum of their rates."""
    command = [
        sys.executable,
        "-m",
        "bench.reserve",
        mode,
        str(threads),
        "--seconds",
        str(seconds),
    ]
    workers = [
        subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate()[0].split() for worker in workers]
    rates = [float(rate) for rate, _ in outputs]
    cpu = sum(float(rate) * float(cpu) for rate, cpu in outputs) / sum(rates)
    return Rate(sum(rates), 1e6 * cpu)


def pgbench(program: Path, url: str, folder: Path, seconds: float) -> float:
    from reservations.services.reserve_postgresql import build_statement

    statement = build_statement() % PGBENCH_VALUES
    script = folder / "reserve.sql"
    script.write_text(" ".join(statement.split()) + ";\n")
    output = subprocess.run(
        [
            program,
            "-n",
            "-c",
            str(PROCESSES),
            "-j",
            "2",
            "-T",
            str(int(seconds)),
            "-f",
            script,
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return float(next(line for line in output.splitlines() if line.startswith("tps")).split()[2])


def find_pgbench() -> Path:
    """Return the path of pgbench on PATH or in Debian's folders. The wheel with the server does not contain pgbench."""
    found = [Path(which)] if (which := shutil.which("pgbench")) else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)
    if not found:
        raise SystemExit("pgbench not found: install PostgreSQL's client programs")
    return found[0]


def environment_for(url: str, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "opsportal.settings",
        "DATABASE_URL": url,
        "DATA_DIR": str(folder),
        "DATABASE_POOL": "2",
        "LOG_LEVEL": "ERROR",
    }


def on_sqlite(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        environment = environment_for("", Path(name))
        subprocess.run(
            [sys.executable, "-m", "bench.reserve", "--prepare"],
            env=environment,
            cwd=ROOT,
            check=True,
        )
        limits = [measure(environment, seconds, PROCESSES, 1, "--sqlite3")]
        threads = measure(environment, seconds, 1, 4)
        processes = measure(environment, seconds, PROCESSES, 1)
        limits.append(measure(environment, seconds, PROCESSES, 1, "--sqlite3"))
        limit = Rate(*(sum(pair) / 2 for pair in zip(*limits, strict=True)))
        print_row("the same rows by sqlite3 alone, 4 processes", limit)
        print_row(
            "reserve, SQLite, 1 process, 4 threads", threads, share(threads, limit, "sqlite3")
        )
        print_row("reserve, SQLite, 4 processes", processes, share(processes, limit, "sqlite3"))


def on_postgresql(seconds: float) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    django.setup()
    from tests.servers.postgres import PostgresServer

    server = PostgresServer(
        options={"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB"}
    )
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            environment = environment_for(server.url("postgres"), folder)
            subprocess.run(
                [sys.executable, "-m", "bench.reserve", "--prepare"],
                env=environment,
                cwd=ROOT,
                check=True,
            )
            program = find_pgbench()
            limits = [pgbench(program, server.url("postgres"), folder, seconds)]
            ours = measure(environment, seconds, PROCESSES, 1)
            limits.append(pgbench(program, server.url("postgres"), folder, seconds))
            limit = Rate(sum(limits) / 2, 0)
            print_row("the same statement by pgbench, 4 clients", limit)
            print_row("reserve, PostgreSQL, 4 processes", ours, share(ours, limit, "pgbench"))
    finally:
        server.stop()


def share(rate: Rate, of: Rate, name: str) -> str:
    return f"{rate.per_second / of.per_second:.0%} of {name}"


def print_row(name: str, rate: Rate, note: str = "") -> None:
    cpu = f"{rate.cpu_us:>6,.0f} µs CPU each" if rate.cpu_us else ""
    print(f"{name:<48} {rate.per_second:>8,.0f}/s  {cpu}  {note}".rstrip(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure how many reservations of one ticket type the portal makes per second"
    )
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sqlite3", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare:
        prepare()
    elif given.work:
        work(given.seconds, given.work)
    elif given.sqlite3:
        write_with_sqlite3(given.seconds, given.sqlite3)
    else:
        if given.only != "postgresql":
            on_sqlite(given.seconds)
        if given.only != "sqlite":
            on_postgresql(given.seconds)


if __name__ == "__main__":
    main()
