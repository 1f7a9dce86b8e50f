"""Server time and queries of every widget of the health page, and of the status page.

python bench/seed_health.py && python bench/seed_errors.py --events 1000000 && python bench/health_page.py --rounds 5
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
os.environ.setdefault("LOG_LEVEL", "CRITICAL")
os.environ.setdefault(
    "STATICFILES_STORAGE", "django.contrib.staticfiles.storage.StaticFilesStorage"
)

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from errors import hours  # noqa: E402
from errors.models import ErrorGroup  # noqa: E402
from health import status  # noqa: E402
from health.models import Monitor  # noqa: E402
from health.views import status_page, system_health  # noqa: E402

# The promise: https://… docs/operations.md; PostgreSQL 50 ms, SQLite 100 ms, the status page 20 ms.
LIMIT_MS = {"postgresql": 50, "sqlite": 100}


def measure(name: str, run: object, rounds: int) -> tuple[float, int]:
    """The best of so many rounds in ms (others use this machine too), and the number of queries."""
    best, queries = float("inf"), 0
    for _ in range(rounds):
        with CaptureQueriesContext(connection) as captured:
            began = time.perf_counter()
            run()  # type: ignore[operator]
            best = min(best, time.perf_counter() - began)
        queries = len(captured)
    return best * 1000, queries


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
    for key in system_health.RANGES:
        request = RequestFactory().get("/", {"range": key})
        request.user = user
        span = system_health.chosen_range(request)
        for found in system_health.in_order():
            ms, queries = measure(
                found.name,
                lambda found=found, request=request, span=span: system_health.render(
                    found, request, timezone.now(), span
                ),
                rounds,
            )
            late += ms > limit
            print(
                f"{key:4} {found.name:28} {ms:7.1f} ms  {queries:2} queries{'  LATE' * (ms > limit)}"
            )
    public = RequestFactory().get("/status/")
    ms, _ = measure("made", lambda: status.make(now=timezone.now()), rounds)
    print(f"     {'status page, made':28} {ms:7.1f} ms (beside the request, at most every 30 s)")
    status_page.page(public)
    ms, _ = measure("served", lambda: status_page.page(public), rounds)
    print(f"     {'status page, served':28} {ms:7.1f} ms{'  LATE' * (ms > 20)}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
