"""How long from a critical error's 200 to its notification at the peer, with web and worker as they really run.

    python -m bench.alert_latency [tries]

Every try posts the error that crosses the threshold, waits for the message at a loopback Slack, and forgets all of it.
"""

import os
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from contextlib import closing
from datetime import datetime
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.servers.fake_http import FakeHTTP  # noqa: E402
from tests.servers.portal import Portal, make_template  # noqa: E402

TABLES = (
    "alerts_deliveryattempt",
    "alerts_notification",
    "alerts_alertevent",
    "alerts_systemalert",
    "errors_minutecount",
)


def main(tries: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        template_dir, data = Path(folder, "template"), Path(folder, "portal")
        template_dir.mkdir()
        data.mkdir()
        slack = FakeHTTP()
        portal = Portal(
            make_template(template_dir),
            data,
            environment={"SLACK_WEBHOOK_URL": f"{slack.url}/hook"},
        )
        portal.start()
        portal.start_worker()
        try:
            took = [one(portal, slack) for _ in range(tries)]
        finally:
            portal.stop()
            slack.close()
    print(f"{tries} tries, in seconds      median    p95  longest")
    for name, place in (
        ("answered to written", 0),
        ("written to picked up", 1),
        ("picked up to received", 2),
    ):
        line(f"  {name}", [steps[place] for steps in took])
    line("altogether", [sum(steps) for steps in took])


def line(name: str, seconds: list[float]) -> None:
    seconds.sort()
    p95 = seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))]
    print(f"{name:26} {statistics.median(seconds):7.2f} {p95:6.2f} {seconds[-1]:8.2f}")


def one(portal: Portal, slack: FakeHTTP) -> tuple[float, float, float]:
    with closing(sqlite3.connect(portal.data_dir / "opsportal.sqlite3", timeout=20)) as database:
        for table in TABLES:
            database.execute(f"DELETE FROM {table}")
        database.execute(
            "UPDATE alerts_channel SET failing_since = NULL, is_enabled = 1, max_per_minute = 10000"
        )
        database.commit()
    slack.reset()
    time.sleep(1.1)
    answered = 0.0
    for _ in range(6):
        body = {
            "message": "payment lost",
            "severity": "critical",
            "event_id": uuid.uuid4().hex,
        }
        answer = portal.client.post("/api/v1/errors/", headers=portal.api, json=body)
        answer.raise_for_status()
        answered = time.monotonic()
    received = slack.wait_for(1, seconds=90)[0].at
    clock = time.time() - time.monotonic()  # from this process's clock to the database's
    written, picked_up = (
        datetime.fromisoformat(f"{at}+00:00").timestamp() - clock
        for at in portal.wait_for(lambda: moments(portal), what="its delivery")
    )
    return written - answered, picked_up - written, received - picked_up


def moments(portal: Portal) -> tuple[str, str] | None:
    found = portal.rows(
        "SELECT n.created_at, a.started_at FROM alerts_notification n JOIN alerts_deliveryattempt a ON a.notification_id = n.id"
    )
    return found[0] if found else None  # type: ignore[return-value]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
