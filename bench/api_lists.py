"""Measure the lists of the errors API and the pages of logs, releases and filters on the current database.

    python -m bench.seed_errors --events 5000000 --groups 20000 --payload-every 20
    python -m bench.seed_logs
    python -m bench.api_lists

The target is a p95 of at most 100 ms. With `--show NAME`, only the lists whose name contains NAME are measured, and
their queries are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote, urlencode

from bench.set_up import set_up_django

set_up_django()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.clients import services  # noqa: E402
from core.clients.models import ClientApp, Scope  # noqa: E402
from core.lib import ratelimit  # noqa: E402
from errors.event.filters import Filter  # noqa: E402
from errors.models import ErrorEvent, ErrorGroup  # noqa: E402
from errors.queries import filters  # noqa: E402
from logs.models import LogEntry  # noqa: E402


def api_urls(app: ClientApp) -> dict[str, str]:
    groups = ErrorGroup.objects.for_app(app).order_by("event_count")
    rare, busiest = groups.first(), groups.last()
    linked = ErrorEvent.objects.filter(app=app).exclude(payment_ref="").newest_first().first()
    event = ErrorEvent.objects.filter(app=app).newest_first().first()
    assert rare
    assert busiest
    assert linked
    assert event
    found = {}
    for sort in ("", "events", "users"):
        for state in ("", "all", "muted"):
            query = urlencode({"sort": sort, "state": state})
            found[f"groups by {sort or 'last seen'}, {state or 'open'}"] = f"error-groups/?{query}"
    queries = {
        "text": "seat",
        "text without a match": "nosuchthing",
        "two words": "seat answer",
        "severity and environment": "severity:critical env:staging",
        "release": "release:2026.11.2",
        "tag": 'browser:"Safari 18.1"',
        "type": "type:TimeoutError",
        "function": "function:load_seat_map",
        "user": f"user:{linked.user_key}",
        "order": f"order:{linked.order_ref}",
        "order's number": linked.order_ref,
        "payment": f"payment:{linked.payment_ref}",
        "request": f"request:{linked.request_id}",
        "event id": linked.event_id.hex,
        "since and until": "since:24h until:1h",
        "negative": "-type:TimeoutError -env:staging",
        "unassigned": "is:unassigned",
    }
    for name, query in queries.items():
        found[f"groups: {name}"] = f"error-groups/?state=all&query={quote(query)}"
    cursor = f"{busiest.last_seen_at.isoformat()}~{busiest.pk}"
    now = timezone.now()
    month = urlencode({"since": (now - timedelta(days=29)).isoformat()})
    found |= {
        "groups: a later page": f"error-groups/?state=all&{urlencode({'cursor': cursor})}",
        "a group": f"error-groups/{busiest.pk}/",
        "events of the busiest group": f"error-groups/{busiest.pk}/events/?limit=100",
        "events of a rare group": f"error-groups/{rare.pk}/events/?limit=100",
        "events: a later page": f"error-groups/{busiest.pk}/events/?cursor={event.pk - (10 << 41)}",
        "an event": f"error-events/{event.event_id}/",
        "counts of a group, 30 days": f"error-groups/{busiest.pk}/counts/?span=30d",
        "counts, 24 hours": "error-counts/",
        "counts, 30 days": f"error-counts/?{month}",
        "releases": "releases/?limit=100",
        "export, first line": "error-events/export/?state=all",
        "export of a day, first line": "error-events/export/?"
        + urlencode({"state": "all", "since": (now - timedelta(days=1)).isoformat()}),
    }
    return {name: f"/api/v1/{url}" for name, url in found.items()}


def page_urls() -> dict[str, str]:
    entry = LogEntry.objects.exclude(trace_id="").order_by("-pk")[1000]
    terms = {
        "": "",
        "word": "declined",
        "word without a match": "nosuchthing",
        "phrase": '"the bank declined"',
        "level": "level:fatal",
        "several levels": "level:error,fatal",
        "app": "app:shop",
        "app and level": "app:shop level:error",
        "environment": "env:staging",
        "unknown environment": "env:nowhere",
        "release": "release:2026.11.1",
        "unknown release": "release:nothing",
        "attribute": "exception:PaymentDeclined",
        "rare attribute": "order_id:order-77",
        "trace": f"trace:{entry.trace_id}",
        "request": f"request:{entry.request_id}",
        "requests only": "is:request",
        "time": "since:48h until:24h",
        "word and environment": "declined env:nowhere",
        "negative": "-level:info -declined",
    }
    return {
        **{
            f"logs: {name or 'all'}": f"/admin/logs/?q={quote(term)}"
            for name, term in terms.items()
        },
        "releases page": "/admin/releases/",
        "releases page of an app": "/admin/releases/?app=shop&q=2026",
    }


def first_bytes(client: Client, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 200, (url, response.status_code, response.content[:300])
    if response.streaming:
        next(iter(response), b"")
        response.close()


def timed(call: Callable[[], None], rounds: int) -> tuple[float, float, float, float]:
    """Time calls. Return the best, median and 95th percentile of the wall time, and this process's CPU time, in ms."""
    call()
    times = []
    cpu = time.process_time()
    for _ in range(rounds):
        ratelimit.memory.clear()
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    cpu = (time.process_time() - cpu) * 1000 / rounds
    return min(times), statistics.median(times), statistics.quantiles(times, n=20)[18], cpu


def measure(rounds: int, *, show: str) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    app = ClientApp.objects.get(slug="shop")
    key, secret = services.issue_api_key(app=app, scopes=[Scope.ERRORS_READ])
    reader = Client(headers={"Authorization": f"Bearer {secret}"})
    staff = Client()
    staff.force_login(
        User.objects.filter(username="bench").first() or User.objects.create_superuser("bench")
    )
    print(
        f"{connection.vendor}, {ErrorEvent.objects.count():,} events, {ErrorGroup.objects.count():,} groups,"
        f" {LogEntry.objects.count():,} log entries, {rounds} rounds"
    )
    print(f"{'list':36} {'best ms':>8} {'p50 ms':>8} {'p95 ms':>8} {'cpu ms':>8}")
    calls: dict[str, Callable[[], None]] = {
        name: lambda url=url: first_bytes(reader, url)  # type: ignore[misc]
        for name, url in api_urls(app).items()
    }
    calls |= {
        name: lambda url=url: first_bytes(staff, url)  # type: ignore[misc]
        for name, url in page_urls().items()
    }

    def preview() -> None:
        filters.preview(app, Filter.LOCALHOST, [], now=timezone.now())

    calls["filter preview"] = preview
    for name, call in calls.items():
        if show and show not in name:
            continue
        best, p50, p95, cpu = timed(call, rounds)
        print(
            f"{name:36} {best:8.1f} {p50:8.1f} {p95:8.1f} {cpu:8.1f}{'  !' if p95 > 100 else ''}",
            flush=True,
        )
        if show:
            with CaptureQueriesContext(connection) as captured:
                call()
            for query in captured.captured_queries:
                print(f"   {float(query['time']) * 1000:6.1f} ms  {query['sql'][:1500]}")
    key.delete()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--show", default="", help="measure only rows whose name contains this")
    options = parser.parse_args()
    measure(options.rounds, show=options.show)
