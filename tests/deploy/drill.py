"""Break the primary of the setup in deploy/ha under load, and compare the acknowledged writes with the stored ones.

bench/failover.py runs many rounds, and test_failover.py runs two.
"""

import time
from collections import defaultdict
from collections.abc import Callable

from tests.deploy.ha import ETCD_PORTS, HighAvailability
from tests.deploy.load import Load

# After these actions, the old primary responds for a few more seconds. Acknowledgments therefore do not show that
# another node has taken over.
HANDED_OVER = ("etcd", "switchover")
STORED = {
    "/api/v1/errors/": "SELECT event_id::text, count(*) FROM errors_errorevent GROUP BY 1",
    "/api/v1/reservations/": "SELECT idempotency_key, count(*) FROM reservations_reservation GROUP BY 1",
    "/api/v1/signals/": "SELECT batch_id, count(*) FROM health_signalbatch GROUP BY 1",
    "/api/v1/payments/": "SELECT key, count(*) FROM payment_intents_log GROUP BY 1",
}


class Drill:
    def __init__(self, ha: HighAvailability, load: Load) -> None:
        self.ha, self.load = ha, load
        self.outages: dict[str, list[float]] = defaultdict(list)
        self.split_brains: list[str] = []
        # These nodes could not join the cluster again automatically, so they were copied from the primary.
        self.copied_again: list[str] = []

    def round(self, action: str) -> tuple[str, str, float, float]:
        """Break the primary with `action`, and repair it.

        Return the old primary, the new primary, and the seconds that the outage and the repair took.
        """
        old = self.ha.leader()
        assert old
        began_at = time.monotonic()
        break_, repair = self._action(action, old)
        break_()
        try:
            if action in HANDED_OVER:
                ha = self.ha
                ha.wait_until(lambda: ha.leader() not in (old, None), "another primary", 60)
            self._wait_for_acknowledgments()
        except AssertionError as error:
            print(str(error)[:2000], flush=True)
        outage = self.load.longest_gap(began_at - 0.5)
        self.outages[action].append(outage)
        new = self.ha.leader() or "?"
        if (
            action in ("partition", "etcd")
            and new != old
            and self.ha.write_on(old) == "acknowledged"
        ):
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
            "etcd": (
                lambda: ha.network.block_ports(name, ETCD_PORTS),
                lambda: ha.network.unblock_ports(name, ETCD_PORTS),
            ),
            "disk": (lambda: ha.fill_disk(name), lambda: ha.empty_disk(name)),
            "switchover": (lambda: ha.switch_over(name), lambda: None),
        }[action]

    def _wait_for_acknowledgments(self) -> None:
        """Wait until five requests of each kind that are sent or repeated from now on are acknowledged."""
        # The old primary may still answer earlier requests, each of which takes less than 3 s.
        time.sleep(3)
        before = {path: len(ids) for path, ids in self.load.acknowledged.items()}

        def are_back() -> bool:
            counts = {path: len(ids) for path, ids in list(self.load.acknowledged.items())}
            return all(counts[path] >= count + 5 for path, count in before.items())

        self.ha.wait_until(are_back, "acknowledgments", 90)

    def lost_and_doubled(self) -> dict[str, tuple[int, int, int]]:
        """Return how many requests were acknowledged, how many are missing, and how many are stored twice, by kind."""
        self.ha.wait_until(self.ha.is_redundant, "two standbys", 120)
        result = {}
        for path, sql in STORED.items():
            counts = {str(key).replace("-", ""): count for key, count in self.ha.rows(sql)}
            keys = self.load.acknowledged[path]
            lost = sum(key not in counts for key in keys)
            doubled = sum(count > 1 for count in counts.values())
            result[path] = (len(keys), lost, doubled)
        return result
