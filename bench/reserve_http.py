"""Measure reservations per second over HTTP, compared with ingestion by the same clients in the same run.

python -m bench.reserve_http             web process, SQLite, eight keep-alive clients in two processes
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from bench.processes import cpu_seconds, family

ROOT = Path(__file__).resolve().parent.parent
CLIENTS, PROCESSES = 4, 2


def work(port: int, key: str, path: str, body: str, seconds: float) -> None:
    """Send requests from this process; print the 2xx responses per second and the other responses by status."""
    counts: dict[int, int] = {}
    lock = threading.Lock()

    def send() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            headers = {
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/json",
                "Idempotency-Key": uuid.uuid4().hex,
            }
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            response.read()
            with lock:
                counts[response.status] = counts.get(response.status, 0) + 1
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = sum(count for status, count in counts.items() if status < 300)
    print(json.dumps([good / seconds, {s: n for s, n in counts.items() if s >= 300}]))


def requests_per_second(port: int, key: str, path: str, body: object, seconds: float) -> float:
    command = [sys.executable, "-m", "bench.reserve_http", "--work", str(port), key, path]
    command += [json.dumps(body), str(seconds)]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    total = 0.0
    for process in started:
        good, bad = json.loads(process.communicate()[0])
        total += good
        if bad:
            print(f"  refused: {bad}")
    return total


class Rate(NamedTuple):
    per_second: float
    cpu_us: float  # per request, of the server

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
        time.sleep(6)  # until the web process has read the disabled limits
        try:
            assert portal.web
            pids = family(portal.web.pid)
            requests: dict[str, tuple[str, object]] = {
                "post an error": (
                    "/api/v1/errors/",
                    {"message": "Bench", "severity": "error", "function": "bench"},
                ),
                "reserve": (
                    "/api/v1/reservations/",
                    {"items": [{"ticket_type": type_id, "quantity": 1}]},
                ),
            }
            sums = dict.fromkeys(requests, Rate(0, 0))
            for _ in range(rounds):  # alternate, so that changes in the machine's speed affect both
                for what, (path, body) in requests.items():
                    before = cpu_seconds(pids)
                    found = requests_per_second(portal.port, portal.api_key, path, body, seconds)
                    cpu_us = 1e6 * (cpu_seconds(pids) - before) / max(1, found * seconds)
                    so_far = sums[what]
                    sums[what] = Rate(
                        so_far.per_second + found / rounds, so_far.cpu_us + cpu_us / rounds
                    )
            ingest, reserve = sums.values()
            share = f"{reserve.per_second / ingest.per_second:.0%} of ingestion"
            clients = f", HTTP, SQLite, {CLIENTS * PROCESSES} clients"
            print(f"{'post an error' + clients:<48} {ingest}")
            print(f"{'reserve' + clients:<48} {reserve}  {share}")
        finally:
            portal.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        port, key, path, body, seconds = given.work
        work(int(port), key, path, body, float(seconds))
    else:
        measure(given.seconds, given.rounds)


if __name__ == "__main__":
    main()
