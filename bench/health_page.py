"""Measure server time and queries of each widget of the system-health page and of the status page.

python -m bench.seed_health
python -m bench.seed_errors --events 1000000
python -m bench.health_page --rounds 5
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

from bench.set_up import set_up_django

set_up_django()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from errors.models import ErrorGroup  # noqa: E402
from errors.services import hourly_counts  # noqa: E402
from health.extension_points import Widget, WidgetContext  # noqa: E402
from health.models import Monitor  # noqa: E402
from health.queries.public_status import load_public_status  # noqa: E402
from health.views import status_page, system_health  # noqa: E402

# Limits per widget by database, and for a status page that is served from its cache.
LIMIT_MS = {"postgresql": 50, "sqlite": 100}
SERVED_LIMIT_MS = 20
BUILT, SERVED = "status page, built", "status page, served"


def render(widget: Widget, request: HttpRequest, span: system_health.Range) -> str:
    context = WidgetContext(request, timezone.now(), span.length)
    return system_health.render_card(widget, context, span)


def measure(run: Callable[[], object]) -> tuple[float, int]:
    """Return the duration of the call in milliseconds and its number of queries."""
    with CaptureQueriesContext(connection) as captured:
        began = time.perf_counter()
        run()
        elapsed = time.perf_counter() - began
    return elapsed * 1000, len(captured)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    user = User(username="bench", is_staff=True, is_superuser=True)
    limit, too_slow_count = LIMIT_MS[connection.vendor], 0
    hourly_counts.roll_up(now=timezone.now())  # the hourly job does the same
    events = ErrorGroup.objects.aggregate(sum=Sum("event_count"))["sum"] or 0
    monitors = Monitor.objects.count()
    print(f"{connection.vendor}, {monitors} monitors, {events:,} error events, limit {limit} ms")
    calls: dict[str, Callable[[], object]] = {}
    for key in system_health.RANGES:
        request = RequestFactory().get("/", {"range": key})
        request.user = user
        span = system_health.selected_range(request)
        for widget in system_health.widgets_in_order():
            calls[f"{key:4} {widget.name:28}"] = partial(render, widget, request, span)
    public = RequestFactory().get("/status/")
    calls[f"     {BUILT:28}"] = lambda: load_public_status(now=timezone.now())
    calls[f"     {SERVED:28}"] = lambda: status_page.page(public)
    # Keep the fastest round and spread the rounds over time, because other processes disturb the measurement.
    best = dict.fromkeys(calls, (float("inf"), 0))
    for _ in range(rounds):
        for name, run in calls.items():
            best[name] = min(best[name], measure(run))
    for name, (ms, queries) in best.items():
        # The status page is built outside requests, at most every 30 s.
        is_too_slow = ms > (SERVED_LIMIT_MS if SERVED in name else limit)
        too_slow_count += is_too_slow
        print(f"{name} {ms:7.1f} ms  {queries:2} queries{'  TOO SLOW' * is_too_slow}")
    return 1 if too_slow_count else 0


if __name__ == "__main__":
    sys.exit(main())
