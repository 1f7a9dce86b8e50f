"""Measure errors per second with 1, 2 and 4 web nodes on one PostgreSQL, and compare them with a model.

    python -m bench.nodes --seconds 10

All nodes, PostgreSQL, Redis and the load generators share the cores of this machine, so more nodes do not increase the
rate beyond the capacity of these cores. In the model, the rate is the number of cores divided by the processor time
that all processes need per event. The table compares the measured rate with this model. If they agree, the times per
event of a node and of PostgreSQL show the rate that separate machines can reach.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.ingest import SET_UP, load, run_python, running, serve, stores
from bench.processes import children, cpu_seconds, family
from tests.servers import process
from tests.servers.redis_server import RedisServer

NODE_COUNTS = (1, 2, 4)
CONNECTIONS = 32  # The number of connections that all nodes share.
PARTS = ("web", "store", "PostgreSQL", "Redis", "load generators")
SIZES = """
    SELECT coalesce(parent.relname, c.relname), sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid))
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
    GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC LIMIT 6
"""


@dataclass
class Measured:
    nodes: int
    rate: float
    p99_ms: float
    microseconds: dict[str, float]  # Maps each of PARTS to its processor time per event.
    wal_bytes: float  # The bytes of WAL per event.
    commits: float  # The commits per event.


def find_server(database_url: str) -> int:
    """Return the process id of PostgreSQL's main process."""
    with psycopg.connect(database_url) as connection:
        [(backend,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        stat = Path(f"/proc/{backend}/stat").read_text()
    # The field contains the id of the parent process.
    return int(stat.rpartition(")")[2].split()[1])


def counters(database_url: str) -> tuple[int, int]:
    """Return the bytes of WAL written and the commits made so far."""
    with psycopg.connect(database_url) as connection:
        [row] = connection.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, sum(xact_commit)::bigint"
            " FROM pg_stat_database"
        ).fetchall()
        return int(row[0]), int(row[1])


def by_role(server: int) -> dict[str, list[int]]:
    """Return the ids of a node's web and store processes by role."""
    roles: dict[str, list[int]] = {"web": [server], "store": []}
    for child in children(server):
        name = Path(f"/proc/{child}/comm").read_text()
        role = "store" if "store" in name else "web"
        roles[role] += family(child)
    return roles


@contextmanager
def nodes(count: int, environment: dict[str, str]) -> Iterator[list[tuple[int, int]]]:
    """Start web nodes, and yield the port and process id of each node."""
    with ExitStack() as stack:
        started = []
        for number in range(count):
            port = process.free_port()
            data = stack.enter_context(tempfile.TemporaryDirectory())
            own = environment | {"INSTANCE": f"web{number}", "DATA_DIR": data}
            server = stack.enter_context(running(serve(port, "--no-worker"), port, own))
            started.append((port, server.pid))
        yield started


def measure(
    count: int, environment: dict[str, str], key: str, app: int, redis: RedisServer, seconds: float
) -> Measured:
    url = environment["DATABASE_URL"]
    postgres = find_server(url)
    with nodes(count, environment) as started, ThreadPoolExecutor(count) as pool:

        def post(for_seconds: float) -> list[dict[str, Any]]:
            connections = CONNECTIONS // count
            return list(
                pool.map(
                    lambda node: load(node[0], key, app, connections, seconds=for_seconds), started
                )
            )

        post(3)  # The first requests load code and create the groups, so they are not measured.
        pids: dict[str, list[int]] = {part: [] for part in PARTS}
        pids |= {"PostgreSQL": family(postgres), "Redis": [redis.process.pid]}
        for _, server in started:
            for role, found in by_role(server).items():
                pids[role] += found
        before = {part: cpu_seconds(found) for part, found in pids.items()}
        wal, commits = counters(url)
        reports = post(seconds)
        used = {part: cpu_seconds(found) - before[part] for part, found in pids.items()}
        wal_after, commits_after = counters(url)
    acknowledged = sum(report["acked"] for report in reports)
    used["load generators"] = sum(
        report["client_cpu_share"] * report["acked"] / report["acked_per_s"] for report in reports
    )
    return Measured(
        count,
        sum(report["acked_per_s"] for report in reports),
        max(report["p99_ms"] for report in reports),
        {part: 1e6 * spent / acknowledged for part, spent in used.items()},
        (wal_after - wal) / acknowledged,
        (commits_after - commits) / acknowledged,
    )


def table(rows: list[Measured]) -> str:
    cores = os.cpu_count() or 1
    parts = " | ".join(f"{part}, µs" for part in PARTS)
    lines = [
        f"| nodes | events/s | p99 ms | {parts} | model, events/s | share of the model |",
        "|" + "---|" * (len(PARTS) + 5),
    ]
    for row in rows:
        model = cores * 1e6 / sum(row.microseconds.values())
        cells = " | ".join(f"{row.microseconds[part]:,.0f}" for part in PARTS)
        lines.append(
            f"| {row.nodes} | {row.rate:,.0f} | {row.p99_ms:.0f} | {cells} | {model:,.0f}"
            f" | {100 * row.rate / model:.0f} % |"
        )
    return "\n".join(lines)


def sizes(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        [(events,)] = connection.execute("SELECT count(*) FROM errors_errorevent").fetchall()
        lines = [
            f"{events:,} events",
            "| table | bytes per event | index bytes per event |",
            "|---|---|---|",
        ]
        for name, data, indexes in connection.execute(SIZES.encode()).fetchall():
            lines.append(f"| `{name}` | {data / events:,.0f} | {indexes / events:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    redis = RedisServer()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for _, environment in stores("postgresql", folder):
                shared = environment | {"REDIS_URL": redis.url(0)}
                key, app, _ = run_python(SET_UP, shared)
                rows = [
                    measure(count, shared, key, app, redis, options.seconds)
                    for count in NODE_COUNTS
                ]
                print(table(rows))
                for row in rows:
                    print(
                        f"{row.nodes}: {row.wal_bytes:,.0f} bytes of WAL, {row.commits:.3f} commits per event"
                    )
                print(sizes(shared["DATABASE_URL"]))
    finally:
        redis.stop()


if __name__ == "__main__":
    main()
