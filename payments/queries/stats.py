"""Figures about payments, for the health page, metrics and the admin."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Avg, Count, F, Min, Sum

from payments.models import Mismatch, Payment, PaymentStatus, ReconciliationRun, WebhookEvent


@dataclass(frozen=True)
class Counted:
    """So many, and their money by currency."""

    count: int
    amounts: dict[str, int]


@dataclass(frozen=True)
class Attempts:
    """What became of attempts to pay."""

    by_status: dict[str, int]
    received: dict[str, int]  # money that came in, by currency
    prevented: (
        Counted  # repeats that were answered without charging again, and what they would have cost
    )

    @property
    def count(self) -> int:
        return sum(self.by_status.values())


@dataclass(frozen=True)
class WebhookStats:
    by_state: dict[str, int]  # of those received since
    waiting: int
    oldest_waiting_at: datetime | None
    dead: int
    lag_ms: float | None  # mean time from receipt to processed


def attempts(since: datetime | None = None) -> Attempts:
    """Of payments made since, or of all."""
    payments = (
        Payment.objects.all() if since is None else Payment.objects.filter(created_at__gte=since)
    )
    repeats = F("replay_count") + F("conflict_count")
    rows = (
        payments.values_list("status", "currency")
        .annotate(
            count=Count("pk"),
            received=Sum("amount_received"),
            repeats=Sum(repeats),
            spared=Sum(repeats * F("amount")),
        )
        .order_by()
    )
    by_status, received, spared = Counter[str](), Counter[str](), Counter[str]()
    prevented = 0
    for status, currency, count, money, repeated, amount in rows:
        by_status[status] += count
        if status == PaymentStatus.SUCCEEDED:
            received[currency] += money
        if repeated:
            prevented += repeated
            spared[currency] += amount
    return Attempts(dict(by_status), dict(received), Counted(prevented, dict(spared)))


def stuck(now: datetime) -> Counted:
    """Attempts and money of which nobody knows yet whether it was charged."""
    rows = (
        Payment.objects.stuck(now)
        .values_list("currency")
        .annotate(count=Count("pk"), sum=Sum("amount"))
        .order_by()
    )
    found = list(rows)
    return Counted(
        sum(count for _, count, _ in found), {currency: amount for currency, _, amount in found}
    )


def webhook_stats(*, since: datetime) -> WebhookStats:
    State = WebhookEvent.State
    received = (
        WebhookEvent.objects.filter(received_at__gte=since)
        .values_list("state")
        .annotate(count=Count("pk"), lag=Avg(F("processed_at") - F("received_at")))
        .order_by()
    )
    by_state, lags = {}, {}
    for state, count, lag in received:
        by_state[state], lags[state] = count, lag
    unsettled = (
        WebhookEvent.objects.filter(state__in=[State.PENDING, State.DEAD])
        .values_list("state")
        .annotate(count=Count("pk"), oldest_at=Min("received_at"))
        .order_by()
    )
    open_ = {state: (count, oldest_at) for state, count, oldest_at in unsettled}
    waiting, oldest_waiting_at = open_.get(State.PENDING, (0, None))
    lag = lags.get(State.PROCESSED)
    return WebhookStats(
        by_state=by_state,
        waiting=waiting,
        oldest_waiting_at=oldest_waiting_at,
        dead=open_.get(State.DEAD, (0, None))[0],
        lag_ms=None if lag is None else lag.total_seconds() * 1000,
    )


def open_mismatches() -> int:
    return Mismatch.objects.open().count()


def last_reconciliation() -> ReconciliationRun | None:
    return ReconciliationRun.objects.exclude(finished_at=None).order_by("-started_at").first()
