"""Measure time and number of queries of the error pages on the current database: python -m bench.pages --rounds 20"""

import argparse
import statistics
import time

from bench.set_up import set_up_django

set_up_django()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.urls import reverse  # noqa: E402

from errors.models import ErrorEvent, ErrorGroup, EventPayload  # noqa: E402


def urls() -> dict[str, str]:
    """Return the URL of each page to measure, by name."""
    group_list = reverse("errors:group-list")
    busiest = ErrorGroup.objects.order_by("-event_count").first()
    rare = ErrorGroup.objects.order_by("event_count").first()
    assert busiest
    assert rare
    stored = EventPayload.objects.filter(event__group=busiest).order_by("-pk")[5]
    event = ErrorEvent.objects.get(pk=stored.pk)
    linked = ErrorEvent.objects.exclude(payment_ref="").order_by("-pk").first()
    assert linked
    return {
        "list": group_list,
        "list, by events": f"{group_list}?sort=events",
        "list, by users, all": f"{group_list}?sort=users&state=all",
        "list, second page": f"{group_list}?after={busiest.last_seen_at.isoformat().replace('+', '%2B')}~{busiest.pk}",
        "list, muted": f"{group_list}?state=muted",
        "search text": f"{group_list}?q=ticket&state=all",
        "search text without a match": f"{group_list}?q=nosuchthing&state=all",
        "search an order's number": f"{group_list}?q={linked.order_ref}&state=all",
        "search two words": f"{group_list}?q=seat+answer&state=all",
        "search app and severity": f"{group_list}?app=shop&severity=critical",
        "search release and environment": f"{group_list}?q=release:2026.11.2&env=staging",
        "search tag": f"{group_list}?q=browser:%22Safari+18.1%22",
        "search user": f"{group_list}?q=user:{linked.user_key}&state=all",
        "search request": f"{group_list}?q=request:{linked.request_id}&state=all",
        "search payment": f"{group_list}?q=payment:{linked.payment_ref}&state=all",
        "search event id": f"{group_list}?q={linked.event_id.hex}&state=all",
        "group, busiest": reverse("errors:group-detail", args=[busiest.pk]),
        "group, busiest, 30 days": reverse("errors:group-detail", args=[busiest.pk]) + "?span=30d",
        "group, rare": reverse("errors:group-detail", args=[rare.pk]),
        "events of the busiest": reverse("errors:event-list", args=[busiest.pk]),
        "event": reverse("errors:event-detail", args=[busiest.pk, event.pk]),
        "event JSON": reverse("errors:event-raw", args=[busiest.pk, event.pk]),
    }


def measure(rounds: int, *, show: str) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(
        User.objects.filter(username="bench").first() or User.objects.create_superuser("bench")
    )
    events = ErrorEvent.objects.count()
    print(
        f"{connection.vendor}, {events:,} events, {ErrorGroup.objects.count():,} groups, {rounds} rounds"
    )
    print(
        f"{'page':34} {'best ms':>7} {'p50 ms':>7} {'p95 ms':>7} {'cpu ms':>7} {'queries':>7} {'sql ms':>7} {'kB':>6}"
    )
    for name, url in urls().items():
        if show and show not in name:
            continue
        client.get(url)
        times = []
        cpu = time.process_time()
        for _ in range(rounds):
            started = time.perf_counter()
            response = client.get(url)
            times.append((time.perf_counter() - started) * 1000)
        cpu = (time.process_time() - cpu) * 1000 / rounds
        with CaptureQueriesContext(
            connection,
        ) as captured:
            response = client.get(url)
        assert response.status_code == 200, (url, response.status_code)
        sql = sum(float(query["time"]) for query in captured.captured_queries) * 1000
        p95 = statistics.quantiles(times, n=20)[18]
        print(
            f"{name:34} {min(times):7.1f} {statistics.median(times):7.1f} {p95:7.1f} {cpu:7.1f} {len(captured):7} {sql:7.1f} {len(response.content) / 1000:6.0f}"
        )
        if show:
            for query in captured.captured_queries:
                print(f"   {float(query['time']) * 1000:6.1f} ms  {query['sql'][:1500]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--show",
        default="",
        help="measure only pages whose name contains this, and print their queries",
    )
    options = parser.parse_args()
    measure(options.rounds, show=options.show)
