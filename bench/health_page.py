"""Measure time and number of queries of the system-health page, of each of its widgets, and of the status page.

python -m bench.seed_health
python -m bench.seed_sales
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
from django.test import Client, RequestFactory  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.lib import time_ranges  # noqa: E402
from core.lib.time_ranges import TimeRange  # noqa: E402
from errors.models import ErrorGroup  # noqa: E402
from errors.services import count_rollups  # noqa: E402
from health.extension_points import Widget, WidgetContext  # noqa: E402
from health.models import Monitor  # noqa: E402
from health.queries.public_status import load_public_status  # noqa: E402
from health.views import status_page, system_health  # noqa: E402
from impact.services.catch_up import catch_up  # noqa: E402

# The limit for the whole system-health page. LIMIT_MS limits each widget, depending on the database, and
# SERVED_LIMIT_MS a cached status page.
PAGE_LIMIT_MS = 60
LIMIT_MS = {"postgresql": 50, "sqlite": 100}
SERVED_LIMIT_MS = 20
PAGE = "system-health page"
BUILT, SERVED = "status page, built", "status page, served"


def render(widget: Widget, request: HttpRequest, span: TimeRange) -> str:
    context = WidgetContext(request, timezone.now(), span.length)
    return system_health.render_card(widget, context, span)


def measure(run: Callable[[], object]) -> tuple[float, int]:
    """Return the duration of the call in milliseconds and its number of queries.

    The queries are counted in a second call, because recording them would slow the measured call down.
    """
    began = time.perf_counter()
    run()
    elapsed = time.perf_counter() - began
    with CaptureQueriesContext(connection) as captured:
        run()
    return elapsed * 1000, len(captured)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    browser = Client(SERVER_NAME="127.0.0.1")
    browser.force_login(user)
    limit, too_slow_count = LIMIT_MS[connection.vendor], 0
    # In production, the hourly job and the continuous task have done this work before a page is requested.
    count_rollups.roll_up(now=timezone.now())
    while not catch_up(seconds=60):
        pass
    events = ErrorGroup.objects.aggregate(sum=Sum("event_count"))["sum"] or 0
    monitors = Monitor.objects.count()
    print(f"{connection.vendor}, {monitors} monitors, {events:,} error events, limit {limit} ms")
    calls: dict[str, Callable[[], object]] = {}
    for key in time_ranges.KEYS:
        for tab in system_health.TABS:
            address = f"/admin/system-health/?range={key}&tab={tab}"
            calls[f"{key:4} {f'{PAGE}, {tab}':36}"] = partial(browser.get, address)
    for key in time_ranges.KEYS:
        request = RequestFactory().get("/", {"range": key})
        request.user = user
        span = system_health.selected_range(request, timezone.now())
        for widget in system_health.widgets_in_order():
            calls[f"{key:4} {widget.name:36}"] = partial(render, widget, request, span)
    public = RequestFactory().get("/status/")
    calls[f"     {BUILT:36}"] = lambda: load_public_status(now=timezone.now())
    calls[f"     {SERVED:36}"] = lambda: status_page.page(public)
    # Keep the fastest round and spread the rounds over time, because other processes may slow down some rounds.
    best = dict.fromkeys(calls, (float("inf"), 0))
    for _ in range(rounds):
        for name, run in calls.items():
            best[name] = min(best[name], measure(run))
    for name, (ms, queries) in best.items():
        # The status page is built outside requests, at most once every 30 s.
        own_limit = PAGE_LIMIT_MS if PAGE in name else SERVED_LIMIT_MS if SERVED in name else limit
        is_too_slow = ms > own_limit
        too_slow_count += is_too_slow
        print(f"{name} {ms:7.1f} ms  {queries:2} queries{'  TOO SLOW' * is_too_slow}")
    return 1 if too_slow_count else 0


if __name__ == "__main__":
    sys.exit(main())
