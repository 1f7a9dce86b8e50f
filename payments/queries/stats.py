"""Compute statistics of payments for the system-health page, metrics, reports and the overview.

For a user with access to only some apps, the statistics cover the payments of these apps.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Avg, Count, F, Min, Sum

from core.lib.app_access import limit
from core.lib.db_time import EpochSeconds, SecondsBetween
from payments.models import Mismatch, Payment, PaymentStatus, ReconciliationRun, WebhookEvent

FULL_LOOKBACK = timedelta(days=30)  # A full comparison covers payments created within this time.
LAG_SAMPLE = 1_000
MAIN_CURRENCY_SAMPLE = 1_000  # So many payments decide which currency a page shows first.
# A comparison starts every 15 minutes, so the result is current if the last finished run started within this time.
COMPARED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class Totals:
    """The number of payments or requests in a group, and the sum of their amounts by currency."""

    count: int
    amounts: dict[str, int]


@dataclass(frozen=True)
class Books:
    """The money that was received and returned in one currency, in minor units, as in Stripe's API."""

    currency: str
    received: int = 0
    refunded: int = 0
    disputed: int = 0  # Disputes have withdrawn this amount, and it was not returned.

    @property
    def net(self) -> int:
        return self.received - self.refunded - self.disputed


@dataclass(frozen=True)
class Attempts:
    """The requests to create a payment, counted by outcome."""

    by_status: dict[str, int]
    books: list[Books]  # Contains one entry for each currency with a successful payment.
    prevented: Totals  # Counts repeated requests, for which buyers were not charged again.

    @property
    def count(self) -> int:
        return sum(self.by_status.values())

    @property
    def received(self) -> dict[str, int]:
        """Return the received money by currency, before refunds and disputes."""
        return {one.currency: one.received for one in self.books}


@dataclass(frozen=True)
class WebhookStats:
    by_state: dict[str, int]  # Counts the events received in the period.
    waiting: int
    oldest_waiting_at: datetime | None
    dead: int
    # The mean time from receipt to processing of the newest LAG_SAMPLE processed events, or None without such events.
    lag_ms: float | None


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
    """Count the events received since `since` by state, and all pending and dead events regardless of their age."""
    State = WebhookEvent.State
    received = limit(WebhookEvent.objects.filter(received_at__gte=since))
    # With all states, the query uses the index on the state and the time.
    by_state = dict(
        received.filter(state__in=State).values_list("state").annotate(count=Count("pk")).order_by()
    )
    newest = received.filter(state=State.PROCESSED).order_by("-received_at")[:LAG_SAMPLE]
    lag = newest.aggregate(mean=Avg(SecondsBetween("received_at", "processed_at")))["mean"]
    unsettled = (
        limit(WebhookEvent.objects.filter(state__in=[State.PENDING, State.DEAD]))
        .values_list("state")
        .annotate(count=Count("pk"), oldest_at=Min("received_at"))
        .order_by()
    )
    open_ = {state: (count, oldest_at) for state, count, oldest_at in unsettled}
    waiting, oldest_waiting_at = open_.get(State.PENDING, (0, None))
    return WebhookStats(
        by_state=by_state,
        waiting=waiting,
        oldest_waiting_at=oldest_waiting_at,
        dead=open_.get(State.DEAD, (0, None))[0],
        lag_ms=None if lag is None else lag * 1000,
    )


def count_open_mismatches() -> int:
    return limit(Mismatch.objects.open()).count()


@dataclass(frozen=True)
class Comparison:
    """The result of the latest comparison of payments with Stripe."""

    last: ReconciliationRun | None  # None if no run has finished.
    uncompared_count: int  # Counts the recent payments with an intent that no run has compared yet.
    # False if no run that started within COMPARED_WITHIN has finished. There may then be mismatches that the portal has
    # not found yet.
    is_current: bool


def find_last_comparison(now: datetime) -> Comparison:
    last = ReconciliationRun.objects.exclude(finished_at=None).order_by("-started_at").first()
    uncompared = limit(Payment.objects.all()).filter(
        compared_at=None, intent_id__isnull=False, created_at__gte=now - FULL_LOOKBACK
    )
    is_current = last is not None and last.started_at > now - COMPARED_WITHIN
    return Comparison(last, uncompared.count(), is_current)


def received_by_currency(since: datetime, until: datetime) -> dict[str, int]:
    """Return the money received, by currency, for payments created from `since` to before `until`.

    The amounts are in minor units, as in Stripe's API.
    """
    rows = (
        limit(Payment.objects.filter(created_at__gte=since, created_at__lt=until))
        .filter(amount_received__gt=0)
        .values_list("currency")
        .annotate(sum=Sum("amount_received"))
        .order_by()
    )
    return dict(rows)


def received_per_slot(
    since: datetime, until: datetime, *, width: timedelta
) -> dict[tuple[datetime, str], int]:
    """Return the money received, by slot and currency, for payments created from the slot of `since` to before `until`.

    The slots are multiples of `width` after 1970. The amounts are in minor units, as in Stripe's API.
    """
    size = int(width.total_seconds())
    first = datetime.fromtimestamp(int(since.timestamp()) // size * size, UTC)
    rows = (
        limit(Payment.objects.filter(created_at__gte=first, created_at__lt=until))
        .filter(amount_received__gt=0)
        .values_list(EpochSeconds("created_at") / size, "currency")
        .annotate(sum=Sum("amount_received"))
        .order_by()
    )
    return {
        (datetime.fromtimestamp(number * size, UTC), currency): amount
        for number, currency, amount in rows
    }


def main_currency(now: datetime) -> str:
    """Return the currency of most of the newest MAIN_CURRENCY_SAMPLE payments of the last 30 days.

    Return "" if there were none.
    """
    newest = limit(Payment.objects.filter(created_at__gte=now - timedelta(days=30)))
    newest = newest.order_by("-created_at")[:MAIN_CURRENCY_SAMPLE]
    counts = Counter(newest.values_list("currency", flat=True))
    return min(counts, key=lambda currency: (-counts[currency], currency), default="")
