"""Create alerts, and make the Slack channel that delivers them hang."""

import threading
from datetime import timedelta

from alerts.extension_points import Severity
from alerts.models import Channel
from tests.alerts.conftest import NOON
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

SECOND = timedelta(seconds=1)


def titles(server: FakeHTTP) -> list[str]:
    return [request.json()["text"] for request in server.requests]


def slack_channel() -> Channel:
    return Channel.objects.get(name="slack")


def hang(answer: threading.Event, started: threading.Event | None = None) -> None:
    if started:
        started.set()
    answer.wait(30)


def alerts(count: int, severity: Severity = Severity.HIGH) -> None:
    for number in range(count):
        make_alert(title=f"{severity} {number}", severity=severity, now=NOON)
