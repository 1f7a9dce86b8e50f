"""Break the primary of the setup in deploy/ha under load, and compare the acknowledged writes with the stored ones.

The drill also checks that scheduled jobs and continuous tasks continue after each outage.

bench/failover.py runs many rounds, and test_failover.py runs two.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime

from cronsim import CronSim

from tests.deploy.database_hosts import ETCD_PORTS
from tests.deploy.ha import HighAvailability
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
# Much longer than an idle machine needs, because a busy machine is slower.
LATE_AFTER_SECONDS = 300
# Make up to six jobs that have not run yet due 5 s later, because their own next time may be hours away. Jobs that run
# daily at two o'clock are included, because shortly after the start of an hour, all hourly jobs have run.
MAKE_DUE = (
    "UPDATE jobs_job SET next_run_at = now() + interval '5 s' WHERE id IN (SELECT id FROM jobs_job "
    "WHERE (cron LIKE '%* * * *' OR cron LIKE '% 2 * * *') AND last_started_at IS NULL ORDER BY name LIMIT 6) "
    "RETURNING name"
)
NEWEST_RUNS = (
    "SELECT j.name, j.cron, max(r.started_at) FROM jobs_job j LEFT JOIN jobs_jobrun r "
    "ON r.job_id = j.id AND r.outcome = 'succeeded' GROUP BY 1, 2"
)
RUNS = (
    "SELECT j.name, j.cron, r.started_at FROM jobs_jobrun r JOIN jobs_job j ON j.id = r.job_id "
    "WHERE r.outcome <> 'lost'"
)


class Drill:
    def __init__(self, ha: HighAvailability, load: Load) -> None:
        self.ha, self.load = ha, load
        self.outages: dict[str, list[float]] = defaultdict(list)
        self.split_brains: list[str] = []
        # Nodes that could not rejoin the cluster automatically and were copied from the primary.
        self.copied_again: list[str] = []
        self.due_jobs: set[str] = set()  # Jobs that became due during the outages.
        self.recovered_at = datetime.now(UTC)

    def round(self, action: str) -> tuple[str, str, float, float]:
        """Break the primary with `action`, and repair it.

        Return the old primary, the new primary, and the seconds that the outage and the repair took.
        """
        old = self.ha.leader()
        assert old
        self.due_jobs |= {name for (name,) in self.ha.rows(MAKE_DUE)}
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
        self.recovered_at = datetime.now(UTC)
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
        """Wait until five requests of each kind that are sent or repeated from now on have been acknowledged."""
        # The old primary may still answer earlier requests, each of which takes less than 3 s.
        time.sleep(3)
        before = {path: len(ids) for path, ids in self.load.acknowledged.items()}

        def are_back() -> bool:
            counts = {path: len(ids) for path, ids in list(self.load.acknowledged.items())}
            return all(counts[path] >= count + 5 for path, count in before.items())

        self.ha.wait_until(are_back, "acknowledgments", 90)

    def lost_and_doubled(self) -> dict[str, tuple[int, int, int]]:
        """Return the numbers of acknowledged, missing and doubly stored requests, by path."""
        self.ha.wait_until(self.ha.is_redundant, "two standbys", 120)
        result = {}
        for path, sql in STORED.items():
            counts = {str(key).replace("-", ""): count for key, count in self.ha.rows(sql)}
            keys = self.load.acknowledged[path]
            lost = sum(key not in counts for key in keys)
            doubled = sum(count > 1 for count in counts.values())
            result[path] = (len(keys), lost, doubled)
        return result

    def late_tasks(self) -> list[str]:
        """Return the tasks that have not continued LATE_AFTER_SECONDS after the newest outage.

        A job that runs every minute must have succeeded again, a job that became due during an outage must have
        succeeded, and a continuous task must have completed the work that is waiting now.
        """
        deadline = self.recovered_at.timestamp() + LATE_AFTER_SECONDS
        waiting = "SELECT count(*) FROM impact_change WHERE id <= "
        [(newest,)] = self.ha.rows("SELECT coalesce(max(id), 0) FROM impact_change")
        while True:
            late = [
                name
                for name, cron, started_at in self.ha.rows(NEWEST_RUNS)
                if (name in self.due_jobs and started_at is None)
                or (cron == "* * * * *" and (started_at is None or started_at < self.recovered_at))
            ]
            if self.ha.rows(f"{waiting}{newest}") != [(0,)]:
                late.append("impact.tasks.add_up_orders")
            if not late or time.time() > deadline:
                return late
            time.sleep(1)

    def repeated_runs(self) -> list[str]:
        """Return the jobs that ran more than once between two of their scheduled times, with the later time.

        Runs whose worker was lost are not counted, because the portal repeats such runs.
        """
        runs = Counter(
            (name, next(CronSim(cron, started_at))) for name, cron, started_at in self.ha.rows(RUNS)
        )
        return [f"{name} before {at:%H:%M}" for (name, at), count in runs.items() if count > 1]
