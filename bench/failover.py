"""Break the primary of the setup in deploy/ha repeatedly, under load, and measure how long writes are refused.

    python -m bench.failover --kills 50      break the primary 50 times, which takes about 25 minutes

Run the benchmark as root. It needs etcd-server, haproxy, pgbouncer, iproute2, and Patroni from
requirements/patroni.txt. The environment variable PATRONI contains Patroni's path, for example
/opt/patroni/bin/patroni. PG_BIN is the folder of PostgreSQL's programs.

The three database hosts are network namespaces of this machine (tests.deploy.ha). Apps report errors, reserve tickets,
pay and send measurements all the time. Each round breaks the host of the primary in one of the following ways, waits
until every kind of request is acknowledged again, repairs the host, and waits until two standbys replicate:

- host: all processes of the host are killed at once
- server: PostgreSQL's main process is killed
- partition: the network of the host is disconnected
- etcd: the host is separated from etcd on the other hosts, while the portal and the standbys still reach the host
- disk: the file system of the host is filled
- switchover: nothing breaks, but the primary hands over to a standby, as for an upgrade

At the end, the database must contain every acknowledged request exactly once. No client may have exceeded its limit,
and scheduled jobs and continuous tasks must have continued.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.deploy.database_hosts import missing_programs
from tests.deploy.drill import Drill
from tests.deploy.ha import DISK_MB, NAMES, HighAvailability
from tests.deploy.hosts import Network
from tests.deploy.load import ACCEPTABLE, SET_LIMITS, Load

CYCLE = ("host", "partition", "disk", "host", "etcd", "server", "partition", "switchover")
# In each round, the load stores up to 16 MB on a disk, which is a file system in memory.
DISK_MB_PER_KILL = 20
SEED = f"""{SET_LIMITS}
import json
from core.clients.models import ApiKey, ClientApp, Scope
from reservations.models import Event, TicketType
app = ClientApp.objects.create(name="Shop", slug="shop", platform="python")
secret = ApiKey.issue(app=app, scopes=list(Scope.values))[1]
event = Event.objects.create(name="Concert", slug="concert")
type_ = TicketType.objects.create(event=event, name="Seat", capacity=1000000)
print(json.dumps(dict(api_key=secret, ticket_type=type_.pk)))
"""


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def report(drill: Drill) -> None:
    print("\n| what breaks | times | fastest, s | median, s | 95th percentile, s | slowest, s |")
    print("|---|---|---|---|---|---|")
    everything = [outage for outages in drill.outages.values() for outage in outages]
    for action, outages in [*sorted(drill.outages.items()), ("all", everything)]:
        figures = (
            min(outages),
            statistics.median(outages),
            percentile(outages, 0.95),
            max(outages),
        )
        print(
            f"| {action} | {len(outages)} | "
            + " | ".join(f"{value:.1f}" for value in figures)
            + " |"
        )
    print("\n| requests | acknowledged | lost | stored twice |")
    print("|---|---|---|---|")
    for path, (count, lost, doubled) in drill.lost_and_doubled().items():
        print(f"| `{path}` | {count:,} | {lost} | {doubled} |")
    intents = Counter(
        json.dumps(intent["metadata"], sort_keys=True)
        for intent in drill.ha.stripe.account.intents.values()  # type: ignore[union-attr]
    )
    print(f"\nNodes that had to be copied again by `patronictl reinit`: {len(drill.copied_again)}.")
    print(f"Payments charged more than once: {sum(count > 1 for count in intents.values())}.")
    print(f"Writes acknowledged by a separated primary: {len(drill.split_brains)}.")
    print(f"Responses that an outage does not explain: {Counter(drill.load.refused)}.")
    print(f"Calls accepted within one window: {drill.load.most_accepted()} of {ACCEPTABLE}.")
    print(f"Tasks that were late after the last outage: {drill.late_tasks()}.")
    print(f"Job runs that were repeated in one period: {drill.repeated_runs()}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this many minutes")
    parser.add_argument(
        "--only", choices=sorted(set(CYCLE)), help="break the host only in this way"
    )
    parser.add_argument(
        "--pgbouncer", action="store_true", help="put deploy/ha/pgbouncer.ini in front"
    )
    options = parser.parse_args()
    if missing := missing_programs():
        raise SystemExit(f"not installed: {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="opsportal-failover-"))
    with Network(NAMES) as network:
        disk_mb = DISK_MB + options.kills * DISK_MB_PER_KILL
        ha = HighAvailability(network, folder, has_pgbouncer=options.pgbouncer, disk_mb=disk_mb)
        try:
            seeded = json.loads(ha.manage("shell", "-v0", "-c", SEED).splitlines()[-1])
            load = Load(ha.url, **seeded, has_payments=True, exceeds_limits=True, timeout_seconds=4)
            load.start()
            ha.wait_until(lambda: len(load.acknowledged) == 4, "the first acknowledgments")
            # The portal applies changed limits after a few seconds, but not while the database is unavailable.
            ha.wait_until(lambda: load.limited == ACCEPTABLE.keys(), "the limits to be reached")
            drill = Drill(ha, load)
            try:
                run(drill, options)
            finally:
                load.stop()
                report(drill)
        finally:
            ha.close()


def run(drill: Drill, options: argparse.Namespace) -> None:
    stop_at = time.monotonic() + 60 * options.minutes
    for number in range(1, options.kills + 1):
        if time.monotonic() > stop_at:
            return
        action = options.only or CYCLE[(number - 1) % len(CYCLE)]
        old, new, outage, repair = drill.round(action)
        print(
            f"{number:3} {time.strftime('%H:%M:%S')} {action:9} {old} -> {new}"
            f" outage {outage:5.1f} s, repaired in {repair:5.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
