"""Measure how much retention slows ingestion, in pairs of runs without and with it: python -m bench.retention --pairs 4

The benchmark requires a database filled by bench.seed_errors (DATABASE_URL, DATA_DIR). Retention runs in a separate
process, as in the worker. Its clock is five weeks ahead, so that almost all seeded events are older than the retention
period of 30 days.
"""

import argparse
import json
import statistics
import subprocess
import sys
from datetime import timedelta

from bench.ingest import load, running, serve
from bench.set_up import set_up_django

set_up_django()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.clients.models import ClientKey  # noqa: E402
from errors.models import ErrorEvent  # noqa: E402
from errors.services import retention  # noqa: E402
from tests.servers import process  # noqa: E402

CLOCK_OFFSET = timedelta(days=35)


def prune(seconds: float) -> None:
    print(json.dumps(retention.prune(now=timezone.now() + CLOCK_OFFSET, seconds=seconds)))


def compare(pairs: int, seconds: float, connections: int) -> None:
    key = ClientKey.objects.order_by("pk").first()
    assert key
    print(
        f"{connection.vendor}, {ErrorEvent.objects.count():,} events, {connections} connections, {seconds:g} s each"
    )
    print(
        f"{'':10} {'events/s':>9} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7}  removed during the run"
    )
    p99: dict[str, list[float]] = {"without": [], "with": []}
    port = process.free_port()
    with running(serve(port, "--no-worker"), port, {}):
        load(port, key.public_key, key.app_id, connections, seconds=2)
        for name in ("without", "with") * pairs:
            command = [sys.executable, "-m", "bench.retention", "--prune", str(seconds)]
            pruner = (
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                if name == "with"
                else None
            )
            seen = load(port, key.public_key, key.app_id, connections, seconds=seconds)
            removed = pruner.communicate()[0].strip() if pruner else ""
            p99[name].append(seen["p99_ms"])
            print(
                f"{name:10} {seen['acked_per_s']:9,.0f} {seen['p50_ms']:7.1f} {seen['p99_ms']:7.1f} {seen['max_ms']:7.1f}  {removed}",
                flush=True,
            )
    without, with_retention = (statistics.median(p99[name]) for name in ("without", "with"))
    print(
        f"p99 {without:.1f} ms, with retention {with_retention:.1f} ms: {with_retention / without:.2f} times"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument(
        "--prune", type=float, help="only remove events, for this number of seconds"
    )
    options = parser.parse_args()
    if options.prune:
        prune(options.prune)
    else:
        compare(options.pairs, options.seconds, options.connections)
