"""Measure reservations per second over HTTP, compared with ingestion by the same clients in the same run.

    python -m bench.reserve_http

One web process uses SQLite. Eight keep-alive clients run in two processes.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.processes import cpu_seconds, family
from bench.request_load import Kind, Target, load

CONNECTIONS = 8


class Rate(NamedTuple):
    per_second: float
    cpu_us: float  # The server's CPU time per request.

    def __str__(self) -> str:
        return f"{self.per_second:>8,.0f}/s  {self.cpu_us:>6,.0f} µs CPU each"


def measure(seconds: float, rounds: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    import django

    django.setup()
    from tests.servers.portal import Portal, make_template

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "template").mkdir()
        (folder / "portal").mkdir()
        portal = Portal(
            make_template(folder / "template"),
            folder / "portal",
            environment={"LOG_LEVEL": "ERROR"},
        )
        portal.rows("UPDATE limits_ratelimittier SET is_enabled = false")
        portal.rows(
            "INSERT INTO reservations_event (name, slug, is_on_sale, hold_minutes, created_at)"
            " VALUES ('Hot', 'hot', true, 15, '2026-01-01 00:00:00')"
        )
        portal.rows(
            "INSERT INTO reservations_tickettype (event_id, name, capacity, held, sold, price, currency)"
            " VALUES ((SELECT max(id) FROM reservations_event), 'Hot', 1000000, 0, 0, 2500, 'EUR')"
        )
        type_id = portal.value("SELECT max(id) FROM reservations_tickettype")
        portal.start()
        time.sleep(6)  # Wait until the web process has read that the limits are disabled.
        try:
            assert portal.web
            pids = family(portal.web.pid)
            target = Target(portal.port, portal.api_key, type_id)
            sums = {Kind.ERROR: Rate(0, 0), Kind.RESERVE: Rate(0, 0)}
            # The rounds alternate, so that changes in the machine's speed affect both.
            for _ in range(rounds):
                for kind, so_far in list(sums.items()):
                    before = cpu_seconds(pids)
                    found = load(kind, target, CONNECTIONS, seconds)
                    cpu_us = 1e6 * (cpu_seconds(pids) - before) / max(1, found["acked"])
                    sums[kind] = Rate(
                        so_far.per_second + found["acked_per_s"] / rounds,
                        so_far.cpu_us + cpu_us / rounds,
                    )
            ingest, reserve = sums.values()
            share = f"{reserve.per_second / ingest.per_second:.0%} of ingestion"
            clients = f", HTTP, SQLite, {CONNECTIONS} clients"
            print(f"{'post an error' + clients:<48} {ingest}")
            print(f"{'reserve' + clients:<48} {reserve}  {share}")
        finally:
            portal.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    measure(given.seconds, given.rounds)


if __name__ == "__main__":
    main()
