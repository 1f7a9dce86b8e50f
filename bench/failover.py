"""Break the primary of the setup in deploy/ha again and again, under load, and measure how long writes are refused.

    python -m bench.failover --kills 50      about a minute each; as root, with patroni, etcd-server, haproxy, iproute2

Three database hosts are network namespaces of this machine (tests.deploy.ha). Apps report errors, reserve
tickets, pay and send measurements all the time. Each round breaks the host of the primary in one of these ways, waits
until every kind of request is acknowledged again, repairs the host, and waits until two standbys follow:

- host: all its processes are killed at once
- server: PostgreSQL's main process is killed
- partition: its network is disconnected
- disk: its file system is filled

At the end every acknowledged request is looked for in the database: none may be missing or stored twice.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.deploy.ha import NAMES, HighAvailability, missing_programs
from tests.deploy.hosts import Network
from tests.deploy.load import Load

CYCLE = ("host", "disk", "host", "partition", "host", "server")
STORED = {
    "/api/v1/errors/": "SELECT event_id::text, count(*) FROM errors_errorevent GROUP BY 1",
    "/api/v1/reservations/": "SELECT idempotency_key, count(*) FROM reservations_reservation GROUP BY 1",
    "/api/v1/signals/": "SELECT batch_id, count(*) FROM health_signalbatch GROUP BY 1",
    "/api/v1/payments/": "SELECT key, count(*) FROM payment_intents_log GROUP BY 1",
}
SEED = """
import json
from core.clients.models import ApiKey, ClientApp, Scope
from core.limits.models import RateLimitTier
from reservations.models import Event, TicketType
RateLimitTier.objects.update(limit=100000)
app = ClientApp.objects.create(name="Shop", slug="shop", platform="python")
secret = ApiKey.issue(app=app, scopes=list(Scope.values))[1]
event = Event.objects.create(name="Concert", slug="concert")
type_ = TicketType.objects.create(event=event, name="Seat", capacity=1000000)
print(json.dumps({"api_key": secret, "ticket_type": type_.pk}))
"""


class Drill:
    def __init__(self, ha: HighAvailability, load: Load) -> None:
        self.ha, self.load = ha, load
        self.outages: dict[str, list[float]] = defaultdict(list)
        self.split_brains: list[str] = []
        self.copied_again: list[str] = []  # These nodes could not join again automatically.

    def round(self, action: str) -> tuple[str, str, float, float]:
        """Break the primary and repair it. Return the old and new primary, the outage, and the time to repair."""
        old = self.ha.leader()
        assert old
        began_at = time.monotonic()
        break_, repair = self._action(action, old)
        break_()
        try:
            self._wait_for_acknowledgments()
        except AssertionError as error:
            print(str(error)[:2000], flush=True)
        outage = self.load.longest_gap(began_at - 0.5)
        self.outages[action].append(outage)
        new = self.ha.leader() or "?"
        if action == "partition" and self.ha.write_on(old) == "acknowledged":
            self.split_brains.append(f"{old} acknowledged a write while {new} was the primary")
        repaired_at = time.monotonic()
        repair()
        try:
            self.ha.wait_until(self.ha.is_redundant, "two standbys", 60)
        except AssertionError:
            self.copied_again += self.ha.copy_again()
            self.ha.wait_until(self.ha.is_redundant, f"two standbys after {action} of {old}", 120)
        return old, new, outage, time.monotonic() - repaired_at

    def _action(self, action: str, name: str) -> tuple[Callable[[], object], Callable[[], object]]:
        ha = self.ha
        return {
            "host": (lambda: ha.kill(name), lambda: ha.start(name)),
            "server": (lambda: ha.kill_server(name), lambda: None),
            "partition": (
                lambda: ha.network.disconnect(name),
                lambda: ha.network.reconnect(name),
            ),
            "disk": (lambda: ha.fill_disk(name), lambda: ha.empty_disk(name)),
        }[action]

    def _wait_for_acknowledgments(self) -> None:
        """Wait until each kind of request that was sent from now on, or again, is acknowledged."""
        time.sleep(3)  # This is longer than a request that the old primary may still answer.
        before = {path: len(ids) for path, ids in self.load.acknowledged.items()}

        def are_back() -> bool:
            counts = {path: len(ids) for path, ids in list(self.load.acknowledged.items())}
            return all(counts[path] >= count + 5 for path, count in before.items())

        self.ha.wait_until(are_back, "acknowledgments", 90)

    def lost_and_doubled(self) -> dict[str, tuple[int, int, int]]:
        """Return how many requests of each kind were acknowledged, are missing, and are stored more than once."""
        result = {}
        for path, sql in STORED.items():
            counts = {str(key).replace("-", ""): count for key, count in self.ha.rows(sql)}
            keys = self.load.acknowledged[path]
            lost = sum(key not in counts for key in keys)
            doubled = sum(count > 1 for count in counts.values())
            result[path] = (len(keys), lost, doubled)
        return result


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--only", choices=sorted(set(CYCLE)), help="break it only in this way")
    options = parser.parse_args()
    if missing := missing_programs():
        raise SystemExit(f"not installed: {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="opsportal-failover-"))
    with Network(NAMES) as network:
        ha = HighAvailability(network, folder)
        try:
            seeded = json.loads(ha.manage("shell", "-v0", "-c", SEED).splitlines()[-1])
            load = Load(ha.url, **seeded, has_payments=True, timeout_seconds=4)
            load.start()
            ha.wait_until(lambda: len(load.acknowledged) == 4, "the first acknowledgments")
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
