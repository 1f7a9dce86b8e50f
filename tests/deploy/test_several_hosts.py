"""Test that a cluster under load loses no data when any of its parts is killed or upgraded."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.deploy.cluster import NAMES, WEB, WORKERS, Cluster, program
from tests.deploy.hosts import Network
from tests.deploy.load import Load
from tests.deploy.raise_alerts import ALERT_COUNT
from tests.servers import process
from tests.servers.portal import ROOT
from tests.two_runs import in_the_postgresql_run

PROGRAMS = ("nginx", "pgbouncer")
SEED = """
import json
from core.clients.models import ApiKey, ClientApp, Scope
from reservations.models import Event, TicketType
app = ClientApp.objects.create(name="Shop", slug="shop", platform="python")
secret = ApiKey.issue(app=app, scopes=list(Scope.values))[1]
event = Event.objects.create(name="Concert", slug="concert")
type_ = TicketType.objects.create(event=event, name="Seat", capacity=100000)
print(json.dumps({"api_key": secret, "ticket_type": type_.pk}))
"""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = [name for name in PROGRAMS if not program(name)]
    if missing or not sys.platform.startswith("linux"):
        reason = f"not installed: {', '.join(missing)}" if missing else "it requires Linux"
        pytest.skip(reason)
    with Network(NAMES) as network:
        cluster = Cluster(network, tmp_path_factory.mktemp("cluster"))
        try:
            yield cluster
        finally:
            cluster.close()


@in_the_postgresql_run
@pytest.mark.servers
def test_no_data_is_lost_when_any_part_is_killed_or_upgraded_under_load(cluster: Cluster) -> None:
    seeded = manage(cluster, "shell", "-v0", "-c", SEED)
    load = Load(cluster.url, **json.loads(seeded.splitlines()[-1]))
    alerts = cluster.run_on_host("worker1", Path(__file__).parent / "raise_alerts.py")
    began_at = time.time()
    load.start()
    wait_for_acknowledgments(cluster, load, "at the start")

    upgrade = with_migration(cluster)
    # The first upgraded node migrates the database while the other nodes still run the old code.
    for name in (*WEB, *WORKERS):
        cluster.kill(name)
        wait_for_acknowledgments(cluster, load, f"without {name}")
        cluster.start(name, code=upgrade)
        if name in WEB:
            cluster.wait_until_up(name)
    columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'added_column'"
    assert cluster.rows(columns) == [(1,)]
    wait_for_acknowledgments(cluster, load, "after the upgrade")

    cluster.redis.kill()
    wait_for_acknowledgments(cluster, load, "without Redis")
    cluster.redis.start()

    cluster.postgres.kill()
    time.sleep(1)
    cluster.postgres.start()
    wait_for_acknowledgments(cluster, load, "after PostgreSQL came back")

    process.kill_group(cluster.nodes["proxy"])
    cluster.start_proxy()
    wait_for_acknowledgments(cluster, load, "after nginx came back")

    cluster.restart(WEB[0])
    wait_for_acknowledgments(cluster, load, "after a graceful restart of a node")

    assert_limit_is_shared(cluster)

    assert alerts.wait(90) == 0, cluster.log("raise_alerts").read_text()
    load.stop()
    assert load.refused == [], errors_in_the_logs(cluster)
    assert_acknowledged_is_stored_once(cluster, load)
    assert_notifications_were_sent_once(cluster)
    assert_schedules_ran_once(cluster, began_at)


# --- steps -------------------------------------------------------------------------------------------------


def manage(cluster: Cluster, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=cluster.environment("web1"),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def with_migration(cluster: Cluster) -> Path:
    """Return the folder of a copy of the code with one more migration."""
    code = cluster.folder / "next"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "data", "node_modules", "tests", "bench")
    shutil.copytree(ROOT, code, ignore=ignored)
    migrations = code / "reservations" / "migrations"
    newest = (migrations / "max_migration.txt").read_text().strip()
    (migrations / "max_migration.txt").write_text("9999_next\n")
    (migrations / "9999_next.py").write_text(
        "from django.db import migrations\n"
        "class Migration(migrations.Migration):\n"
        f"    dependencies = [('reservations', {newest!r})]\n"
        "    operations = [migrations.RunSQL("
        "'ALTER TABLE reservations_reservation ADD COLUMN added_column varchar(9) NULL')]\n"
    )
    return code


def wait_for_acknowledgments(cluster: Cluster, load: Load, when: str, seconds: float = 60) -> None:
    """Wait until each kind of request has been acknowledged five more times. Fail after `seconds`."""
    before = {path: len(ids) for path, ids in load.acknowledged.items()}
    deadline = time.monotonic() + seconds
    while True:
        after = {path: len(ids) for path, ids in list(load.acknowledged.items())}
        if len(after) == 3 and all(after[path] >= before.get(path, 0) + 5 for path in after):
            return
        assert time.monotonic() < deadline, f"stuck {when}: {before} {after}\n{cluster.log_ends()}"
        time.sleep(0.05)


def assert_limit_is_shared(cluster: Cluster) -> None:
    """Check that the web nodes share the limit of 20 sign-ins per minute and address, even for spoofed addresses."""

    def attempt(number: int) -> int:
        claimed = {"X-Forwarded-For": f"203.0.113.{number}"}
        return httpx.post(f"{cluster.url}/admin/login/", headers=claimed, timeout=10).status_code

    with ThreadPoolExecutor(8) as callers:
        statuses = Counter(callers.map(attempt, range(60)))

    assert statuses[429] == 40, f"{statuses}\n{cluster.log_ends()}"


# --- comparison with the database --------------------------------------------------------------------------


def assert_acknowledged_is_stored_once(cluster: Cluster, load: Load) -> None:
    stored = {
        "/api/v1/errors/": "SELECT event_id::text, count(*) FROM errors_errorevent GROUP BY 1",
        "/api/v1/reservations/": "SELECT idempotency_key, count(*) FROM reservations_reservation GROUP BY 1",
        "/api/v1/signals/": "SELECT batch_id, count(*) FROM health_signalbatch GROUP BY 1",
    }
    for path, sql in stored.items():
        counts = {str(key).replace("-", ""): count for key, count in cluster.rows(sql)}
        lost = [key for key in load.acknowledged[path] if key not in counts]
        repeated = [key for key in load.acknowledged[path] if counts.get(key, 0) != 1]
        assert (lost, repeated) == ([], []), (
            f"{path}: {len(lost)} lost, {len(repeated)} not stored once"
        )


def assert_notifications_were_sent_once(cluster: Cluster) -> None:
    output = cluster.log("raise_alerts").read_text().splitlines()
    raised = [line for line in output if line.startswith("deploy.")]
    waiting = (
        "SELECT count(*) FROM alerts_notification n JOIN alerts_channel c ON c.id = n.channel_id "
        "WHERE c.kind = 'slack' AND n.state IN ('waiting', 'sending')"
    )
    deadline = time.monotonic() + 40
    while cluster.rows(waiting) != [(0,)] and time.monotonic() < deadline:
        time.sleep(0.3)
    texts = [request.body.decode() for request in cluster.slack.requests]

    message_counts = {
        key: sum(f"Problem number {key.split('.')[1]}." in t for t in texts) for key in raised
    }

    assert len(raised) == ALERT_COUNT, output
    states = cluster.rows(
        "SELECT n.kind, n.state, n.attempt_count, n.error, count(*) FROM alerts_notification n "
        "JOIN alerts_channel c ON c.id = n.channel_id WHERE c.kind = 'slack' GROUP BY 1, 2, 3, 4"
    )
    wrong = {key: times for key, times in message_counts.items() if times != 1}
    assert wrong == {}, f"{states}\n{cluster.log_ends()}"


def assert_schedules_ran_once(cluster: Cluster, began_at: float) -> None:
    """Check that each job that is due every minute ran at most once per minute, although nodes were killed."""
    runs = cluster.rows(
        "SELECT j.name, date_trunc('minute', r.started_at), count(*) FROM jobs_jobrun r "
        "JOIN jobs_job j ON j.id = r.job_id WHERE j.cron = '* * * * *' AND r.outcome <> 'lost' "
        "GROUP BY 1, 2"
    )
    minutes = int(time.time() // 60) - int(began_at // 60) + 1
    by_job = Counter[object]()
    for name, _minute, count in runs:
        assert isinstance(count, int)
        by_job[name] += count

    assert by_job, f"no scheduled job ran\n{cluster.log_ends()}"
    assert {name: count for name, count in by_job.items() if count > minutes} == {}


def errors_in_the_logs(cluster: Cluster) -> str:
    """Return the lines that report errors in the logs of the web nodes."""
    lines = [line for name in WEB for line in cluster.log(name).read_text().splitlines()]
    return "\n".join(line for line in lines if '"level":"error"' in line)
