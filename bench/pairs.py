"""Compare the ingestion of two checkouts in the same run, in alternating rounds.

    python -m bench.pairs ../other-checkout       this checkout (A) against the other one (B), on SQLite
    python -m bench.pairs ../other-checkout --store postgresql --other-options=--any-core

Both portals run at the same time and receive load alternately, so that changes in the machine's speed affect both.
Quote the median of the ratios, not single figures. The other checkout needs its own installation (`make install`
there).
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

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
    pid: int

    def round(self, connections: int, seconds: float) -> dict:
        before = cpu_seconds(family(self.pid))
        seen = load(self.port, self.key, self.app, connections, seconds=seconds)
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


@contextmanager
def running(checkout: Path, options: list[str], database_url: str) -> Iterator[Contestant]:
    """Serve a checkout on a database of its own."""
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
        }
        completed = subprocess.run(
            [python, "-c", SET_UP], cwd=checkout, env=environment, capture_output=True, text=True
        )
        if completed.returncode:
            raise SystemExit(completed.stderr[-2000:])
        key, app, session = json.loads(completed.stdout.splitlines()[-1])
        server = subprocess.Popen(
            [python, "manage.py", "serve", "--no-worker", "--port", str(port), *options],
            cwd=checkout,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait_until(lambda: process.answers(port), process=server, seconds=120)
            yield Contestant(port, key, app, session, server.pid)
        finally:
            server.terminate()
            server.wait(60)


def compare(
    a: Contestant, b: Contestant, connections: int, *, rounds: int, seconds: float, watched: bool
) -> str:
    """Return a row of the table: medians of both, and the median of the rounds' ratios."""
    seen: dict[str, list[dict]] = {"a": [], "b": []}
    for number in range(rounds):
        order = (("a", a), ("b", b)) if number % 2 == 0 else (("b", b), ("a", a))
        for name, contestant in order:
            with ExitStack() as beside:
                if watched:
                    beside.enter_context(contestant.health_page_refreshed())
                seen[name].append(contestant.round(connections, seconds))
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
        f"| {connections}{', health page refreshed' if watched else ''}"
        f" | {one['acked_per_s']:,.0f} | {other['acked_per_s']:,.0f} | {ratio('acked_per_s'):.2f}"
        f" | {one['p99_ms']:.0f} | {other['p99_ms']:.0f} | {ratio('p99_ms'):.2f}"
        f" | {one['cpu_us']:,.0f} | {other['cpu_us']:,.0f} |"
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
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument(
        "--other-options", default="", help="options for the other checkout's `serve`"
    )
    options = parser.parse_args()
    with (
        databases(options.store) as (url_a, url_b),
        running(ROOT, [], url_a) as a,
        running(options.other.resolve(), options.other_options.split(), url_b) as b,
    ):
        for contestant in (a, b):
            contestant.round(8, 2)  # fill the caches and create the groups
        print(
            "| connections | A events/s | B events/s | A/B | A p99 ms | B p99 ms | A/B | A CPU µs | B CPU µs |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for watched in (False, True):
            for connections in options.connections if not watched else [32]:
                print(
                    compare(
                        a,
                        b,
                        connections,
                        rounds=options.rounds,
                        seconds=options.seconds,
                        watched=watched,
                    ),
                    flush=True,
                )
        print(f"memory: A {memory_mb(family(a.pid)):.0f} MB, B {memory_mb(family(b.pid)):.0f} MB")


if __name__ == "__main__":
    main()
