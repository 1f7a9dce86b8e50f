"""Figures about payments, for the health page, metrics and the admin."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Avg, Count, F, Min, Sum

from payments.models import Mismatch, Payment, ReconciliationRun, WebhookEvent


@dataclass(frozen=True)
class Duplicates:
    """Repeats that were answered without charging again, and what they would have cost."""

    count: int
    amounts: dict[str, int]


@dataclass(frozen=True)
class WebhookStats:
    by_state: dict[str, int]  # of those received since
    waiting: int
    oldest_waiting_at: datetime | None
    dead: int
    lag_ms: float | None  # mean time from receipt to processed


def counts_by_status(since: datetime | None = None) -> dict[str, int]:
    payments = Payment.objects.all()
    if since is not None:
        payments = payments.filter(created_at__gte=since)
    return dict(payments.values_list("status").annotate(count=Count("pk")).order_by())


def received_amounts(since: datetime | None = None) -> dict[str, int]:
    """Money that came in, by currency, of payments made since."""
    paid = Payment.objects.succeeded()
    if since is not None:
        paid = paid.filter(created_at__gte=since)
    return dict(paid.values_list("currency").annotate(sum=Sum("amount_received")).order_by())


def duplicates_prevented(since: datetime | None = None) -> Duplicates:
    repeated = Payment.objects.exclude(replay_count=0, conflict_count=0)
    if since is not None:
        repeated = repeated.filter(created_at__gte=since)
    times = F("replay_count") + F("conflict_count")
    rows = (
        repeated.values_list("currency")
        .annotate(count=Sum(times), amount=Sum(times * F("amount")))
        .order_by()
    )
    amounts: dict[str, int] = defaultdict(int)
    total = 0
    for currency, count, amount in rows:
        amounts[currency] += amount
        total += count
    return Duplicates(total, dict(amounts))


def amounts_at_risk(*, now: datetime) -> dict[str, int]:
    """Money of stuck attempts, by currency: nobody knows yet whether it was charged."""
    stuck = Payment.objects.stuck(now)
    return dict(stuck.values_list("currency").annotate(sum=Sum("amount")).order_by())


def webhook_stats(*, since: datetime) -> WebhookStats:
    received = WebhookEvent.objects.filter(received_at__gte=since)
    processed = received.filter(state=WebhookEvent.State.PROCESSED)
    lag: timedelta | None = processed.aggregate(lag=Avg(F("processed_at") - F("received_at")))[
        "lag"
    ]
    waiting = WebhookEvent.objects.waiting()
    return WebhookStats(
        by_state=dict(received.values_list("state").annotate(count=Count("pk")).order_by()),
        waiting=waiting.count(),
        oldest_waiting_at=waiting.aggregate(at=Min("received_at"))["at"],
        dead=WebhookEvent.objects.dead().count(),
        lag_ms=None if lag is None else lag.total_seconds() * 1000,
    )


def open_mismatches() -> int:
    return Mismatch.objects.open().count()


def last_reconciliation() -> ReconciliationRun | None:
    return ReconciliationRun.objects.exclude(finished_at=None).order_by("-started_at").first()
