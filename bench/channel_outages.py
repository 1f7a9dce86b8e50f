"""Measure how soon alerts reach people while other channels hang or fail and workers are killed.

    python -m bench.channel_outages

The benchmark opens 200 alerts, 20 of them critical, within a minute. One channel hangs, and three channels respond with
500, 410 and 429. An e-mail channel and a webhook work. The delivery process is killed twice and the whole worker
cluster once.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.alerts.channel_outages import HEALTHY, Scenario, environment, scenario  # noqa: E402
from tests.servers.mail import MailServer  # noqa: E402
from tests.servers.portal import Portal, make_template  # noqa: E402
from tests.servers.postgres import PostgresServer  # noqa: E402

EVALUATION = "alerts.tasks.evaluate_all"


def main() -> None:
    print(
        "200 alerts (20 critical) in 60 s; channels: 2 work, 1 hangs, 1 answers 500, 1 410, 1 429"
    )
    print("killed: the delivery process twice, all workers once")
    print("Targets (p95): critical 5 s, others 60 s, evaluation 5 s after its minute")
    print(f"{'seconds':42} median    p95  longest")
    for name, url in databases():
        for line in measure(name, url):
            print(line, flush=True)


def databases() -> Iterator[tuple[str, str]]:
    yield "SQLite", ""
    server = PostgresServer()
    try:
        yield "PostgreSQL", server.url()
    finally:
        server.stop()


def measure(name: str, postgres_url: str) -> list[str]:
    mail = MailServer()
    with tempfile.TemporaryDirectory() as folder:
        template_dir, data = Path(folder, "template"), Path(folder, "portal")
        template_dir.mkdir()
        data.mkdir()
        template = make_template(template_dir, postgres_url)
        portal = Portal(template, data, environment=environment(mail))
        try:
            with scenario(portal, mail, max_per_minute=30) as outage:
                outage.report_alerts(200, seconds=60, kills_at=(40, 90, 140))
                outage.wait_for_healthy_channels()
                for channel in HEALTHY:
                    outage.wait_for_storm_message(channel, len(outage.grouped(channel)))
                rows = [
                    format_row(name, kind, seconds) for kind, seconds in latencies(outage).items()
                ]
                rows.append(format_row(name, "evaluation, after its minute", evaluations(portal)))
                return rows
        finally:
            portal.stop()
            mail.close()


def latencies(outage: Scenario) -> dict[str, list[float]]:
    """Return the seconds from the opening of an alert until each working channel received a message about the alert."""
    found: dict[str, list[float]] = {
        "critical": [],
        "other, sent": [],
        "other, in a storm message": [],
    }
    for channel in HEALTHY:
        received = outage.received(channel)
        grouped = outage.grouped(channel)
        storms = sorted(at for _, kind, _, at in received if kind == "storm")
        first: dict[str, float] = {}
        for _, kind, title, at in received:
            if kind == "triggered":
                first[title] = min(at, first.get(title, at))
        for alert in outage.reported:
            if alert.title in grouped:
                later = [at for at in storms if at > alert.at]
                found["other, in a storm message"].append(later[0] - alert.at)
            else:
                kind = "critical" if alert.is_critical else "other, sent"
                found[kind].append(max(0.0, first[alert.title] - alert.at))
    return found


def evaluations(portal: Portal) -> list[float]:
    """Return the second of the minute at which each rule evaluation started. The first evaluation is skipped."""
    starts = portal.rows(
        "SELECT r.started_at FROM jobs_jobrun r JOIN jobs_job j ON j.id = r.job_id WHERE j.name = %s"
        " ORDER BY r.started_at",
        (EVALUATION,),
    )
    seconds = []
    for (started_at,) in starts[1:]:
        at = started_at if isinstance(started_at, datetime) else datetime.fromisoformat(started_at)
        seconds.append(at.second + at.microsecond / 1e6)
    return seconds


def format_row(database: str, kind: str, seconds: list[float]) -> str:
    seconds = sorted(seconds)
    p95 = seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))]
    title = f"{database}: {kind} ({len(seconds)})"
    return f"{title:42} {statistics.median(seconds):6.2f} {p95:6.2f} {seconds[-1]:8.2f}"


if __name__ == "__main__":
    main()
