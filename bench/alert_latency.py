"""Measure the time from the response to a critical error until its notification arrives.

    python -m bench.alert_latency [attempts]

A web process and a worker run as in production. Each attempt deletes the rows of the previous attempt, posts enough
critical errors to cross the alert threshold, and waits until a test double of Slack receives the message.
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
            latencies = [measure_once(portal, slack) for _ in range(tries)]
        finally:
            portal.stop()
            slack.close()
    print(f"{tries} attempts, in seconds   median    p95  longest")
    for name, index in (
        ("response to stored", 0),
        ("stored to picked up", 1),
        ("picked up to received", 2),
    ):
        print_row(f"  {name}", [steps[index] for steps in latencies])
    print_row("total", [sum(steps) for steps in latencies])


def print_row(name: str, seconds: list[float]) -> None:
    seconds.sort()
    p95 = seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))]
    print(f"{name:26} {statistics.median(seconds):7.2f} {p95:6.2f} {seconds[-1]:8.2f}")


def measure_once(portal: Portal, slack: FakeHTTP) -> tuple[float, float, float]:
    """Report errors, and return the durations in seconds of the three steps until Slack receives the notification.

    The first step ends when the notification is stored, and the second when a worker begins its delivery.
    """
    with closing(sqlite3.connect(portal.data_dir / "opsportal.sqlite3", timeout=20)) as database:
        for table in TABLES:
            database.execute(f"DELETE FROM {table}")
        database.execute(
            "UPDATE alerts_channel SET failing_since = NULL, is_enabled = 1, max_per_minute = 10000"
        )
        database.commit()
    slack.reset()
    time.sleep(1.1)
    answered_at = 0.0
    for _ in range(6):
        body = {
            "message": "payment lost",
            "severity": "critical",
            "event_id": uuid.uuid4().hex,
        }
        response = portal.client.post("/api/v1/errors/", headers=portal.api, json=body)
        response.raise_for_status()
        answered_at = time.monotonic()
    received_at = slack.wait_for(1, seconds=90)[0].at
    # The database stores times in UTC, but the double of Slack records monotonic times, so they must be converted.
    clock_offset = time.time() - time.monotonic()
    stored_at, picked_up_at = (
        datetime.fromisoformat(f"{at}+00:00").timestamp() - clock_offset
        for at in portal.wait_for(lambda: delivery_timestamps(portal), what="the delivery")
    )
    return stored_at - answered_at, picked_up_at - stored_at, received_at - picked_up_at


def delivery_timestamps(portal: Portal) -> tuple[str, str] | None:
    """Return when the notification was created and when its first delivery attempt started, or None before that."""
    found = portal.rows(
        "SELECT n.created_at, a.started_at FROM alerts_notification n JOIN alerts_deliveryattempt a ON a.notification_id = n.id"
    )
    return found[0] if found else None  # type: ignore[return-value]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
