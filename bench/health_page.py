"""Server time and queries of every widget of the health page, and of the status page.

python -m bench.seed_health && python -m bench.seed_errors --events 1000000 && python -m bench.health_page --rounds 5
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

from errors import hours  # noqa: E402
from errors.models import ErrorGroup  # noqa: E402
from health.dashboard import Widget, WidgetContext  # noqa: E402
from health.models import Monitor  # noqa: E402
from health.queries.public_status import load_public_status  # noqa: E402
from health.views import status_page, system_health  # noqa: E402

# The promise: https://… docs/operations.md; PostgreSQL 50 ms, SQLite 100 ms, the status page 20 ms.
MADE, SERVED = "status page, made", "status page, served"
LIMIT_MS = {"postgresql": 50, "sqlite": 100}


def render(found: Widget, request: HttpRequest, span: system_health.Range) -> str:
    context = WidgetContext(request, timezone.now(), span.length)
    return system_health.render_card(found, context, span)


def measure(run: Callable[[], object]) -> tuple[float, int]:
    """Its time in ms, and the number of queries."""
    with CaptureQueriesContext(connection) as captured:
        began = time.perf_counter()
        run()
        took = time.perf_counter() - began
    return took * 1000, len(captured)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    user = User(username="bench", is_staff=True, is_superuser=True)
    limit, late = LIMIT_MS[connection.vendor], 0
    hours.add_up(now=timezone.now())  # as each hour
    events = ErrorGroup.objects.aggregate(sum=Sum("event_count"))["sum"] or 0
    monitors = Monitor.objects.count()
    print(f"{connection.vendor}, {monitors} monitors, {events:,} error events, limit {limit} ms")
    tasks: dict[str, Callable[[], object]] = {}
    for key in system_health.RANGES:
        request = RequestFactory().get("/", {"range": key})
        request.user = user
        span = system_health.selected_range(request)
        for found in system_health.widgets_in_order():
            tasks[f"{key:4} {found.name:28}"] = partial(render, found, request, span)
    public = RequestFactory().get("/status/")
    tasks[f"     {MADE:28}"] = lambda: load_public_status(now=timezone.now())
    tasks[f"     {SERVED:28}"] = lambda: status_page.page(public)
    # The best of some rounds, and the rounds far apart: others use this machine too.
    best = dict.fromkeys(tasks, (float("inf"), 0))
    for _ in range(rounds):
        for name, run in tasks.items():
            best[name] = min(best[name], measure(run))
    for name, (ms, queries) in best.items():
        # The status page is made beside the requests, every 30 s at most.
        is_late = ms > (20 if SERVED in name else limit)
        late += is_late
        print(f"{name} {ms:7.1f} ms  {queries:2} queries{'  LATE' * is_late}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
