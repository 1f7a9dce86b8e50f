"""Compute figures about payments for the system-health page, metrics, reports and the overview."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Avg, Count, F, Min, Sum
from django.db.models.functions import TruncHour, TruncMinute

from core.lib.app_access import limit
from payments.models import Mismatch, Payment, PaymentStatus, ReconciliationRun, WebhookEvent

FULL_LOOKBACK = timedelta(days=30)  # A full comparison covers the payments of this period.
# The comparison is current if the last finished run started within this time. A run starts every 15 minutes.
COMPARED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class Totals:
    """The number of payments or requests in a group, and the sum of their amounts in each currency."""

    count: int
    amounts: dict[str, int]


@dataclass(frozen=True)
class Books:
    """The money that payments in one currency received and returned, in the currency's smallest unit."""

    currency: str
    received: int = 0
    refunded: int = 0
    disputed: int = 0  # Disputes have taken this amount and not returned it.

    @property
    def net(self) -> int:
        return self.received - self.refunded - self.disputed


@dataclass(frozen=True)
class Attempts:
    """The requests to create a payment, counted by outcome."""

    by_status: dict[str, int]
    books: list[Books]  # There is one entry for each currency in which payments succeeded.
    prevented: Totals  # These are repeated requests, for which buyers were not charged again.

    @property
    def count(self) -> int:
        return sum(self.by_status.values())

    @property
    def received(self) -> dict[str, int]:
        """Return the money received by currency, before refunds and disputes."""
        return {one.currency: one.received for one in self.books}


@dataclass(frozen=True)
class WebhookStats:
    by_state: dict[str, int]  # This counts the events that were received in the period.
    waiting: int
    oldest_waiting_at: datetime | None
    dead: int
    lag_ms: float | None  # This is the mean time from receipt to processing.


def count_attempts(since: datetime | None = None) -> Attempts:
    """Count the payments created since `since`, or all payments if `since` is None."""
    payments = limit(Payment.objects.all())
    if since is not None:
        payments = payments.filter(created_at__gte=since)
    repeats = F("replay_count") + F("conflict_count")
    rows = (
        payments.values_list("status", "currency")
        .annotate(
            count=Count("pk"),
            received=Sum("amount_received"),
            refunded=Sum("amount_refunded"),
            disputed=Sum("amount_disputed"),
            repeats=Sum(repeats),
            prevented_amounts=Sum(repeats * F("amount")),
        )
        .order_by()
    )
    by_status, prevented_amounts = Counter[str](), Counter[str]()
    books: list[Books] = []
    prevented = 0
    for status, currency, count, received, refunded, disputed, repeated, amount in rows:
        by_status[status] += count
        if status == PaymentStatus.SUCCEEDED:
            books.append(Books(currency, received, refunded, disputed))
        if repeated:
            prevented += repeated
            prevented_amounts[currency] += amount
    books.sort(key=lambda one: one.currency)
    return Attempts(dict(by_status), books, Totals(prevented, dict(prevented_amounts)))


def count_stuck(now: datetime) -> Totals:
    """Count the stuck payments. Stripe may have charged them, but the portal has not received the outcome."""
    rows = (
        limit(Payment.objects.stuck(now))
        .values_list("currency")
        .annotate(count=Count("pk"), sum=Sum("amount"))
        .order_by()
    )
    found = list(rows)
    return Totals(
        sum(count for _, count, _ in found), {currency: amount for currency, _, amount in found}
    )


def count_webhooks(*, since: datetime) -> WebhookStats:
    """Count by state the events received since `since`, and count all events that are pending or dead."""
    State = WebhookEvent.State
    received = (
        limit(WebhookEvent.objects.filter(received_at__gte=since))
        .values_list("state")
        .annotate(count=Count("pk"), lag=Avg(F("processed_at") - F("received_at")))
        .order_by()
    )
    by_state, lags = {}, {}
    for state, count, lag in received:
        by_state[state], lags[state] = count, lag
    unsettled = (
        limit(WebhookEvent.objects.filter(state__in=[State.PENDING, State.DEAD]))
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


def count_open_mismatches() -> int:
    return limit(Mismatch.objects.open()).count()


@dataclass(frozen=True)
class Comparison:
    """The state of the comparison of payments with Stripe."""

    last: ReconciliationRun | None  # This is the last finished run.
    uncompared_count: int  # This many payments with an intent have not been compared yet.
    # This is False if no run that started within COMPARED_WITHIN has finished. There may be mismatches that the portal
    # has not found yet.
    is_current: bool


def find_last_comparison(now: datetime) -> Comparison:
    last = ReconciliationRun.objects.exclude(finished_at=None).order_by("-started_at").first()
    uncompared = limit(Payment.objects.all()).filter(
        compared_at=None, intent_id__isnull=False, created_at__gte=now - FULL_LOOKBACK
    )
    is_current = last is not None and last.started_at > now - COMPARED_WITHIN
    return Comparison(last, uncompared.count(), is_current)


def received_by_currency(since: datetime, until: datetime) -> dict[str, int]:
    """Return the money received by payments created from `since` to before `until`, in minor units by currency."""
    rows = (
        limit(Payment.objects.filter(created_at__gte=since, created_at__lt=until))
        .filter(amount_received__gt=0)
        .values_list("currency")
        .annotate(sum=Sum("amount_received"))
        .order_by()
    )
    return dict(rows)


def received_per_slot(
    since: datetime, until: datetime, *, floor: Callable[[datetime], datetime]
) -> dict[tuple[datetime, str], int]:
    """Return the money received by payments created in each slot, by slot and currency, in minor units."""
    hours_or_minutes = TruncMinute if until - since <= timedelta(hours=24) else TruncHour
    rows = (
        limit(Payment.objects.filter(created_at__gte=floor(since), created_at__lt=until))
        .filter(amount_received__gt=0)
        .values_list(hours_or_minutes("created_at", tzinfo=UTC), "currency")
        .annotate(sum=Sum("amount_received"))
        .order_by()
    )
    found: Counter[tuple[datetime, str]] = Counter()
    for start, currency, amount in rows:
        found[floor(start), currency] += amount
    return found


def main_currency(now: datetime) -> str:
    """Return the currency of most payments in the last 30 days, or "" if there were none."""
    row = (
        limit(Payment.objects.filter(created_at__gte=now - timedelta(days=30)))
        .values_list("currency")
        .annotate(count=Count("pk"))
        .order_by("-count", "currency")
        .first()
    )
    return row[0] if row else ""
