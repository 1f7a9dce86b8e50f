# ruff: noqa: E402  Django is set up before its models are imported
"""Measure the pages about components with 500 monitors and 5,000 heartbeats: server time and number of queries.

    DATA_DIR=/tmp/many python manage.py prepare
    DATA_DIR=/tmp/many python -m bench.monitor_pages

The components have 90 days of history, and 50 of the monitors are down. A page may take at most 100 ms of processor
time, which depends less on other programs than wall time does.
"""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from bench.set_up import set_up_django

set_up_django()

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.clients.models import ApiKey, ClientApp, Scope
from health.models import (
    CheckIn,
    CheckInStatus,
    CheckResult,
    Component,
    Heartbeat,
    Incident,
    Monitor,
    Tier,
    Uptime,
)
from health.queries.public_status import load_public_status

MONITORS, HEARTBEATS, DAYS = 500, 5_000, 90
LIMIT_MS = 100


@transaction.atomic
def seed() -> None:
    now = timezone.now()
    app, _ = ClientApp.objects.get_or_create(slug="shop", defaults={"name": "Shop"})
    for number in range(MONITORS):
        status = "unhealthy" if number % 10 == 0 else "healthy"
        Monitor.objects.create(
            kind="monitor", name=f"many-{number}", title=f"Address {number}", app=app, status=status,
            url=f"https://host-{number % 50}.shop.example/{number}", group=f"Group {number % 20}",
            last_status=status, since=now, last_at=now, is_public=number < 200, tags="web" if number % 3 else "",
        )  # fmt: skip
    for number in range(HEARTBEATS):
        Heartbeat.objects.create(
            kind="heartbeat", name=f"beat-{number}", title=f"Job {number}", app=app, slug=f"job-{number}",
            interval_minutes=60, status="healthy", last_status="healthy", since=now, last_at=now,
            last_check_in_at=now, expected_at=now + timedelta(hours=1), group=f"Jobs {number % 40}",
        )  # fmt: skip
    components = list(Component.objects.filter(kind__in=["monitor", "heartbeat"]))
    today, hour = Tier.DAY.floor(now), Tier.HOUR.floor(now)
    starts = [(Tier.DAY, today - timedelta(days=ago)) for ago in range(DAYS)]
    starts += [(Tier.HOUR, hour - timedelta(hours=ago)) for ago in range(24)]
    Uptime.objects.bulk_create(
        (
            Uptime(component=one, tier=tier, start=start, healthy=24, unhealthy=one.pk % 7 == 0)
            for one in components
            for tier, start in starts
        ),
        batch_size=2000,
    )
    CheckResult.objects.bulk_create(
        (
            CheckResult(
                component=one, at=now - timedelta(minutes=ago), status=one.status, duration_ms=40
            )
            for one in components[:MONITORS]
            for ago in range(60)
        ),
        batch_size=2000,
    )
    beat = Heartbeat.objects.get(name="beat-0")
    CheckIn.objects.bulk_create(
        CheckIn(heartbeat=beat, at=now - timedelta(minutes=ago), status=CheckInStatus.OK)
        for ago in range(3 * 24 * 60)
    )
    Incident.objects.bulk_create(
        Incident(
            title=f"Outage {n}", state="resolved", started_at=now, resolved_at=now, is_public=True
        )
        for n in range(2_000)
    )


def measure(run: Callable[[], object]) -> tuple[float, float, int]:
    """Return the processor time and the duration of the call in milliseconds, and its number of queries."""
    with CaptureQueriesContext(connection) as captured:
        began, began_cpu = time.perf_counter(), time.process_time()
        run()
        cpu, elapsed = time.process_time() - began_cpu, time.perf_counter() - began
    return cpu * 1000, elapsed * 1000, len(captured)


def get(client: Client, path: str, **headers: str) -> None:
    response = client.get(path, headers=headers)
    assert response.status_code == 200, (path, response.status_code)
    b"".join(response)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not Monitor.objects.filter(name="many-0").exists():
        seed()
    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    browser = Client(SERVER_NAME="127.0.0.1")
    browser.force_login(user)
    app = ClientApp.objects.get(slug="shop")
    _, key = ApiKey.issue(app=app, scopes=[Scope.CONFIG_READ, Scope.INCIDENTS_READ], label="bench")
    monitor, beat = Monitor.objects.get(name="many-7"), Heartbeat.objects.get(name="beat-0")
    paths = [
        "/admin/system-health/",
        "/admin/system-health/?tab=reliability",
        "/admin/system-health/uptime/",
        "/admin/health/monitor/",
        "/admin/health/monitor/?q=Address",
        f"/admin/health/monitor/{monitor.pk}/change/",
        "/admin/health/monitor/add/?type=http",
        "/admin/health/heartbeat/",
        f"/admin/health/heartbeat/{beat.pk}/change/",
        "/admin/health/heartbeat/add/",
        "/admin/health/component/",
        "/admin/health/certificate/",
        "/admin/health/incident/",
        "/admin/health/incident/add/",
        "/admin/health/incidenttemplate/add/",
        "/admin/health/maintenancewindow/add/",
        "/admin/alerts/",
        "/admin/alerts/noise/",
        "/admin/alerts/on-call/",
        "/admin/alerts/silence/add/",
        "/admin/alerts/dependency/add/",
        f"/admin/clients/clientapp/{app.pk}/change/",
        "/admin/search/?q=job",
        "/admin/",
        "/health",
        "/status/history/",
    ]
    calls: dict[str, Callable[[], object]] = {path: partial(get, browser, path) for path in paths}
    for path in ("/api/v1/config/monitors/?limit=200", "/api/v1/config/heartbeats/?limit=200"):
        calls[path] = partial(
            get, Client(SERVER_NAME="127.0.0.1"), path, Authorization=f"Bearer {key}"
        )
    calls["status page, built"] = lambda: load_public_status(now=timezone.now())
    calls["/status/"] = partial(get, browser, "/status/")
    calls = {name: run for name, run in calls.items() if options.only in name}
    best = dict.fromkeys(calls, (float("inf"), float("inf"), 0))
    for _ in range(options.rounds):
        for name, run in calls.items():
            best[name] = min(best[name], measure(run))
    print(f"{connection.vendor}: {MONITORS} monitors, {HEARTBEATS} heartbeats\n")
    print("| page | processor time, ms | by the clock, ms | queries |\n|---|---|---|---|")
    for name, (cpu, elapsed, queries) in best.items():
        print(f"| {name} | {cpu:.0f} | {elapsed:.0f} | {queries} |")
    return any(cpu > LIMIT_MS for cpu, _, _ in best.values())


if __name__ == "__main__":
    sys.exit(main())
