# ruff: noqa: E402  Django is set up before its models are imported
"""Fill a database with the history of a busy portal: 50 monitors for 90 days, metrics of 20 apps for 30 days.

    DATA_DIR=/tmp/seeded python -m bench.seed_health [--small]

The rows are aggregates like those that the portal stores per minute, hour and day. Rows per minute cover 48 hours.
"""

import math
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.set_up import set_up_django

set_up_django()

from django.db import transaction

from core.clients.models import ClientApp
from core.clients.services import ensure_portal_app
from health import histogram
from health.models import (
    ActiveUser,
    CheckResult,
    Component,
    Latency,
    Monitor,
    Series,
    Tier,
    Uptime,
    Value,
)
from health.services.checks import sync_components
from health.services.gauges import ACTIVE_USERS, DATABASE_SIZE
from health.services.measurements import hash_user

FUNCTIONS = [
    "create-payment",
    "send-ticket",
    "scan-ticket",
    "send-sms",
    "refund",
    "gift-card",
    "webhook",
    "report",
]
TITLES = [
    "Public shop",
    "Ticket gate API",
    "Payment function",
    "SMS function",
    "CDN",
    "Checkout",
    "Partner API",
    "Image store",
]


def daily_wave(at: datetime) -> float:
    """Return a traffic factor from 0.2 at night to 1.0 in the evening."""
    return 0.6 + 0.4 * math.sin((at.hour + at.minute / 60 - 13) / 24 * 2 * math.pi)


def starts(now: datetime, tier: Tier, span: timedelta) -> Iterator[datetime]:
    """Yield the start of each interval of `tier` from `span` before `now` until `now`."""
    start = tier.floor(now - span)
    while start <= now:
        yield start
        start += tier.length


def seed_monitors(now: datetime, count: int) -> None:
    monitors = []
    for number in range(count):
        title = f"{TITLES[number % len(TITLES)]}{' ' + str(number // len(TITLES) + 1) if number >= len(TITLES) else ''}"
        monitor, _ = Monitor.objects.get_or_create(
            name=f"seeded-{number}",
            defaults={
                "kind": "monitor",
                "title": title,
                "url": f"https://service-{number}.example/health",
                "is_public": number < 6,
                "status": "healthy",
                "since": now - timedelta(days=9 + number),
                "last_status": "healthy",
                "last_at": now,
                "last_duration_ms": 40 + 9 * (number % 11),
                "last_message": "HTTP 200",
                "next_run_at": now + timedelta(days=365),
            },
        )
        monitors.append(monitor)
    components = [
        *Component.objects.filter(pk__in=[m.pk for m in monitors]),
        *sync_components().values(),
    ]
    points, results = [], []
    for component in components:
        bad_days = {random.randrange(90) for _ in range(random.choice([0, 1, 1, 2]))}
        base = random.uniform(15, 220)
        for tier, span in ((Tier.HOUR, timedelta(days=35)), (Tier.DAY, timedelta(days=90))):
            for start in starts(now, tier, span):
                ago = (now - start).days
                total = 60 if tier is Tier.HOUR else 1440
                down = (
                    random.randint(2, 25)
                    if ago in bad_days and (tier is Tier.DAY or start.hour == 14)
                    else 0
                )
                points.append(
                    Uptime(
                        component=component,
                        tier=tier,
                        start=start,
                        healthy=total - down,
                        unhealthy=down,
                        total_ms=base * total,
                        highest_ms=base * 4,
                    )
                )
        results += [
            CheckResult(
                component=component,
                at=start,
                status="healthy",
                duration_ms=base * random.uniform(0.7, 1.6),
            )
            for start in starts(now, Tier.MINUTE, timedelta(hours=48))
        ]
    Uptime.objects.bulk_create(points, batch_size=2000, ignore_conflicts=True)
    CheckResult.objects.bulk_create(results, batch_size=2000)


def latency_row(series: Series, tier: Tier, start: datetime, calls: int, typical: float) -> Latency:
    row = Latency(series=series, tier=tier, start=start)
    left = calls
    for share, factor in ((0.5, 0.8), (0.3, 1.1), (0.14, 1.7), (0.05, 3.2), (0.01, 7)):
        part = min(left, max(0, round(calls * share * random.uniform(0.8, 1.2))))
        left -= part
        duration = typical * factor * random.uniform(0.9, 1.1)
        name = Latency.BUCKETS[histogram.bucket_of(duration)]
        setattr(row, name, getattr(row, name) + part)
        row.count += part
        row.total_ms += part * duration
        if part:
            row.highest_ms = max(row.highest_ms, duration)
    row.failed = sum(random.random() < 0.004 for _ in range(min(calls, 500)))
    return row


def seed_metrics(now: datetime, app_count: int) -> None:
    portal = ensure_portal_app()
    apps = [
        ClientApp.objects.get_or_create(slug=f"shop-{n}", defaults={"name": f"Shop {n + 1}"})[0]
        for n in range(app_count)
    ]
    rows: list[Latency] = []
    kinds = {
        "function": FUNCTIONS,
        "page": ["/", "/event", "/checkout"],
        "request": ["GET /", "GET /event", "POST /order"],
    }
    spans = (
        (Tier.MINUTE, timedelta(hours=48)),
        (Tier.HOUR, timedelta(days=30)),
        (Tier.DAY, timedelta(days=30)),
    )
    for kind, names in kinds.items():
        total, _ = Series.objects.get_or_create(app=None, kind=kind, name="")
        for tier, span in spans:
            rows += [
                latency_row(
                    total,
                    tier,
                    start,
                    int(2 * app_count * daily_wave(start) * tier / 60),
                    {"function": 180, "page": 900, "request": 35}[kind],
                )
                for start in starts(now, tier, span)
            ]
        for app in apps:
            for index, name in enumerate(names):
                series, _ = Series.objects.get_or_create(app=app, kind=kind, name=name)
                for tier, span in spans[1:]:
                    rows += [
                        latency_row(
                            series,
                            tier,
                            start,
                            int(1 + 20 * daily_wave(start)) * (24 if tier is Tier.DAY else 1),
                            60 + 90 * index,
                        )
                        for start in starts(now, tier, span)
                    ]
                if len(rows) > 20_000:
                    Latency.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
                    rows = []
    Latency.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    values: list[Value] = []

    def add(app: ClientApp, kind: str, name: str, level: object) -> None:
        series, _ = Series.objects.get_or_create(app=app, kind=kind, name=name)
        for tier, span in spans:
            for start in starts(now, tier, span):
                value = level(start, tier)  # type: ignore[operator]
                values.append(
                    Value(
                        series=series,
                        tier=tier,
                        start=start,
                        count=1,
                        total=value,
                        lowest=value,
                        highest=value,
                        last=value,
                    )
                )

    add(
        portal,
        "gauge",
        DATABASE_SIZE,
        lambda s, t: 3.2e9 - (now - s).total_seconds() / 86400 * 31e6,
    )
    add(
        portal, "gauge", ACTIVE_USERS, lambda s, t: round(44 * daily_wave(s) + random.randint(0, 6))
    )
    add(apps[0], "counter", "bandwidth_bytes", lambda s, t: 2.1e4 * t * random.uniform(0.8, 1.2))
    add(
        apps[0],
        "gauge",
        "credit_balance",
        lambda s, t: 420 - (now - s).total_seconds() / -86400 * 3,
    )
    for channel, outcome, weight in (
        ("sms", "sent", 4),
        ("sms", "delivered", 3.9),
        ("sms", "failed", 0.05),
        ("email", "sent", 9),
        ("email", "delivered", 8.9),
        ("email", "bounced", 0.08),
        ("email", "failed", 0.02),
    ):
        add(
            apps[0],
            "delivery",
            f"{channel}.{outcome}",
            lambda s, t, w=weight: round(w * daily_wave(s) * t / 60 + random.random() * 0.3),
        )
    Value.objects.bulk_create(values, batch_size=2000, ignore_conflicts=True)
    ActiveUser.objects.bulk_create(
        [
            ActiveUser(
                app=random.choice(apps),
                user_hash=hash_user(str(n)),
                seen_at=now - timedelta(seconds=n * 20),
            )
            for n in range(120)
        ],
        ignore_conflicts=True,
    )


def main() -> None:
    random.seed(7)
    now = datetime.now(UTC).replace(microsecond=0)
    small = "--small" in sys.argv
    with transaction.atomic():
        seed_monitors(now, 8 if small else 50)
        seed_metrics(now, 3 if small else 20)
    print(
        {model.__name__: model.objects.count() for model in (Uptime, CheckResult, Latency, Value)}
    )


if __name__ == "__main__":
    main()
