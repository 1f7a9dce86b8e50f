"""Compare two checkouts in the same run, in alternating rounds.

    python -m bench.pairs ../other-checkout
    python -m bench.pairs ../other-checkout --store postgresql --other-options=--any-core
    python -m bench.pairs ../other-checkout --what reserve payments webhooks

The first command compares the ingestion of this checkout (A) with the ingestion of the other checkout (B) on SQLite.
With `payments`, both portals create payments at the same Stripe double. `webhooks` measures the response to an event,
not its processing by a worker. Both portals run at the same time and receive load alternately, so that changes in the
machine's speed affect both. Quote the median of the ratios, not single figures. The other checkout needs an
installation of its own (`make install` in its folder).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import request_load
from bench.ingest import ROOT, SET_UP, load
from bench.processes import cpu_seconds, family, memory_mb
from tests.servers import process
from tests.servers.postgres import PostgresServer


@dataclass
class Contestant:
    port: int
    key: str
    app: int
    session: str
    api_key: str
    ticket_type: int
    pid: int

    def round(self, what: str, connections: int, seconds: float) -> dict:
        before = cpu_seconds(family(self.pid))
        if what == "ingest":
            seen = load(self.port, self.key, self.app, connections, seconds=seconds)
        else:
            target = request_load.Target(self.port, self.api_key, self.ticket_type)
            seen = request_load.load(request_load.Kind(what), target, connections, seconds)
        used = cpu_seconds(family(self.pid)) - before
        return {**seen, "cpu_us": 1e6 * used / max(1, seen["acked"])}

    @contextmanager
    def health_page_refreshed(self) -> Iterator[None]:
        ended = threading.Event()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/admin/system-health/",
            headers={"Cookie": f"sessionid={self.session}"},
        )

        def refresh() -> None:
            while not ended.is_set():
                urllib.request.urlopen(request, timeout=60).read()
                ended.wait(1)

        thread = threading.Thread(target=refresh)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


# Models are found by label, because their modules may differ between checkouts. The limit per buyer can stay, because
# each request has a new buyer.
SET_UP_SHOP = """
ApiKey, RateLimitTier = apps.get_model("clients.ApiKey"), apps.get_model("limits.RateLimitTier")
for tier, _ in RateLimitTier._meta.get_field("tier").choices:
    if tier != "buyer":
        RateLimitTier.objects.update_or_create(tier=tier, app=None, defaults={"limit": 1, "is_enabled": False})
_, api_key = ApiKey.issue(app=app, scopes=["payments", "reservations"])
event = apps.get_model("reservations.Event").objects.create(name="Hot", slug="hot")
TicketType = apps.get_model("reservations.TicketType")
hot = TicketType.objects.create(event=event, name="Hot", capacity=10_000_000, price=2500)
print(json.dumps([key.public_key, app.pk, session.session_key, api_key, hot.pk]))
"""


@contextmanager
def stripe_double() -> Iterator[str]:
    """Run a Stripe double, which keeps its account in memory, in a separate process, and yield its address."""
    port = process.free_port()
    double = subprocess.Popen(
        [sys.executable, "-m", "tests.payments.stripe_double", str(port), "--in-memory"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        process.wait_until(lambda: process.answers(port), process=double)
        yield f"http://127.0.0.1:{port}"
    finally:
        double.terminate()
        double.wait(60)


@contextmanager
def running(
    checkout: Path,
    options: list[str],
    database_url: str,
    stripe_base: str,
    *,
    core: int | None = None,
) -> Iterator[Contestant]:
    """Serve a checkout with its own database. With `core`, bind all its processes to this core."""
    python, port = str(checkout / ".venv/bin/python"), process.free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DATA_DIR": folder,
            "DATABASE_URL": database_url,
            "SECRET_KEY": "bench" * 12,
            "LOG_LEVEL": "ERROR",
            "BASE_URL": f"http://127.0.0.1:{port}",
            "DJANGO_SETTINGS_MODULE": "opsportal.settings",
            "STRIPE_API_BASE": stripe_base,
            "STRIPE_SECRET_KEY": "sk_test_double",
            "STRIPE_WEBHOOK_SECRETS": request_load.WEBHOOK_SECRET,
        }
        completed = subprocess.run(
            [python, "-c", SET_UP + SET_UP_SHOP],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
        )
        if completed.returncode:
            raise SystemExit(completed.stderr[-2000:])
        set_up = json.loads(completed.stdout.splitlines()[-1])
        prefix = [] if core is None else ["taskset", "--cpu-list", str(core)]
        server = subprocess.Popen(
            [*prefix, python, "manage.py", "serve", "--no-worker", "--port", str(port), *options],
            cwd=checkout,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait_until(lambda: process.answers(port), process=server, seconds=120)
            yield Contestant(port, *set_up, server.pid)
        finally:
            server.terminate()
            server.wait(60)


def compare(
    what: str,
    a: Contestant,
    b: Contestant,
    connections: int,
    *,
    rounds: int,
    seconds: float,
    watched: bool,
) -> str:
    """Return a row of the table with the medians of both checkouts, and the median of the rounds' ratios."""
    seen: dict[str, list[dict]] = {"a": [], "b": []}
    for number in range(rounds):
        order = (("a", a), ("b", b)) if number % 2 == 0 else (("b", b), ("a", a))
        for name, contestant in order:
            with ExitStack() as beside:
                if watched:
                    beside.enter_context(contestant.health_page_refreshed())
                seen[name].append(contestant.round(what, connections, seconds))
    median = {
        name: {
            field: statistics.median(row[field] for row in rows)
            for field in ("acked_per_s", "p99_ms", "cpu_us")
        }
        for name, rows in seen.items()
    }

    def ratio(field: str) -> float:
        return statistics.median(
            one[field] / other[field] for one, other in zip(seen["a"], seen["b"], strict=True)
        )

    one, other = median["a"], median["b"]
    return (
        f"| {what} | {connections}{', health page refreshed' if watched else ''}"
        f" | {one['acked_per_s']:,.0f} | {other['acked_per_s']:,.0f} | {ratio('acked_per_s'):.2f}"
        f" | {one['p99_ms']:.0f} | {other['p99_ms']:.0f} | {ratio('p99_ms'):.2f}"
        f" | {one['cpu_us']:,.0f} | {other['cpu_us']:,.0f} | {ratio('cpu_us'):.2f} |"
    )


@contextmanager
def databases(store: str) -> Iterator[tuple[str, str]]:
    if store == "sqlite":
        yield "", ""
        return
    server = PostgresServer(options={"fsync": "on", "synchronous_commit": "on"})
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for name in ("pair_a", "pair_b"):
                connection.execute(f"CREATE DATABASE {name}".encode())
        yield server.url("pair_a"), server.url("pair_b")
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path)
    parser.add_argument(
        "--what",
        choices=["ingest", "reserve", "payments", "webhooks"],
        nargs="+",
        default=["ingest"],
    )
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument(
        "--other-options", default="", help="options for the other checkout's `serve`"
    )
    parser.add_argument("--core", type=int, help="bind both portals to this core")
    options = parser.parse_args()
    with (
        databases(options.store) as (url_a, url_b),
        stripe_double() as stripe_base,
        running(ROOT, [], url_a, stripe_base, core=options.core) as a,
        running(options.other.resolve(), options.other_options.split(), url_b, stripe_base) as b,
    ):
        for contestant in (a, b):
            for what in options.what:
                contestant.round(what, 8, 2)  # Warm up: fill the caches and create the groups.
        print(
            "| what | connections | A/s | B/s | A/B | A p99 ms | B p99 ms | A/B | A CPU µs | B CPU µs | A/B |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        runs = [(what, number, False) for what in options.what for number in options.connections]
        if "ingest" in options.what:
            runs.append(("ingest", 32, True))
        for what, connections, watched in runs:
            row = compare(
                what,
                a,
                b,
                connections,
                rounds=options.rounds,
                seconds=options.seconds,
                watched=watched,
            )
            print(row, flush=True)
        print(f"memory: A {memory_mb(family(a.pid)):.0f} MB, B {memory_mb(family(b.pid)):.0f} MB")


if __name__ == "__main__":
    main()
