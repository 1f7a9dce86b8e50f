"""Change alerts and channels of a portal from a separate process, while the workers of the portal run.

`python -m tests.alerts.outage_actions` reads one call per line, `["report", {"count": 3}]`, and prints one JSON value
per result and then "done". The program needs the environment of the portal.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from alerts import services  # noqa: E402
from alerts.extension_points import Severity  # noqa: E402
from alerts.models import Channel  # noqa: E402


def add_channels(urls: Mapping[str, str], max_per_minute: int) -> Iterator[None]:
    """Route every alert type to the e-mail channel and to a new webhook channel for each URL in `urls`."""
    Channel.objects.exclude(name="email").delete()
    Channel.objects.update(gets_every_type=True, max_per_minute=max_per_minute)
    for name, url in urls.items():
        Channel.objects.create(
            name=name,
            kind="webhook",
            gets_every_type=True,
            max_per_minute=max_per_minute,
            config={"url": url, "secret": "s"},
        )
    yield from ()


def report(
    count: int, critical_every: int, pause_seconds: float
) -> Iterator[tuple[str, bool, float]]:
    """Open `count` alerts. For each, yield the title, True if it is critical, and the opening time (epoch seconds)."""
    for number in range(count):
        title, is_critical = f"Problem {number:03}", number % critical_every == 0
        services.report_problem(
            key=f"problem-{number}",
            alert_type="high-error-rate",
            title=title,
            message="It is broken.",
            severity=Severity.CRITICAL if is_critical else Severity.HIGH,
            source="tests",
            now=timezone.now(),
        )
        yield title, is_critical, time.time()
        time.sleep(pause_seconds)


def clear(count: int) -> Iterator[None]:
    for number in range(count):
        services.clear_problem(key=f"problem-{number}", now=timezone.now())
    yield from ()


def repair() -> Iterator[None]:
    """Enable the revoked channel, and let the portal probe failing channels at once."""
    services.enable_channel(Channel.objects.get(name="revoked"), now=timezone.now())
    Channel.objects.exclude(retry_at=None).update(retry_at=timezone.now())
    yield from ()


ACTIONS: dict[str, Callable[..., Iterator[Any]]] = {
    "add_channels": add_channels,
    "report": report,
    "clear": clear,
    "repair": repair,
}


def main() -> None:
    for line in sys.stdin:
        name, arguments = json.loads(line)
        for value in ACTIONS[name](**arguments):
            print(json.dumps(value), flush=True)
        print("done", flush=True)


if __name__ == "__main__":
    main()
