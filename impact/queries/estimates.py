"""Estimate the orders lost in a period: the orders expected from the same time in earlier weeks minus the paid orders.

An estimate is never added to exact figures, because it includes all causes that kept buyers away in that period.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from core.lib import formats
from impact.models import Order
from impact.queries.figures import timestamp

WEEK = timedelta(days=7)
MAX_WEEKS = 8
MIN_WEEKS = 2
MIN_LENGTH = timedelta(minutes=5)
# A longer period would overlap with the same period a week earlier.
MAX_LENGTH = timedelta(days=7)
DEVIATIONS = 2.0  # A range of 2 standard deviations to each side covers about 95 %.


@dataclass(frozen=True)
class Missing:
    """The number and amount of the orders in one currency that are probably missing, with their ranges."""

    currency: str
    expected_count: float
    made_count: int
    amount: int
    low_amount: int
    high_amount: int
    count: int
    low_count: int
    high_count: int


@dataclass(frozen=True)
class Estimate:
    since: datetime
    until: datetime
    week_count: int
    # Contains one entry for each currency, even if sales were as usual.
    compared: tuple[Missing, ...]

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Return the entries in which even the low end of the missing amount is above zero."""
        return tuple(one for one in self.compared if one.low_amount > 0 and one.count > 0)

    def __bool__(self) -> bool:
        return bool(self.missing)

    def sentence(self) -> str:
        """Return the estimate with its range as a sentence, or "" if no orders are probably missing."""
        if not self.missing:
            return ""
        lost = " and ".join(
            f"{one.count:,} order{'' if one.count == 1 else 's'} ({one.low_count:,} to {one.high_count:,}) worth "
            f"{formats.money(one.amount, one.currency)} ({formats.money(one.low_amount, one.currency)} to "
            f"{formats.money(one.high_amount, one.currency)})"
            for one in self.missing
        )
        return f"Probably missing: {lost}."

    def basis(self) -> str:
        """Return the comparison behind the estimate in words."""
        compared = ", ".join(
            f"{one.expected_count:,.1f} {one.currency} orders were expected and {one.made_count:,} were paid"
            for one in self.missing
        )
        return (
            f"From {formats.stamp(self.since)} to {formats.stamp(self.until)}, {compared}. The expectation is the mean"
            f" of the same time in the last {self.week_count} weeks. The estimate includes every cause that kept buyers"
            " away at that time, and is not part of the exact figures."
        )


def estimate(since: datetime, until: datetime) -> Estimate | None:
    """Return the orders that are probably missing, or None if the period is unsuitable or too few weeks are known."""
    length = until - since
    if length < MIN_LENGTH or length > MAX_LENGTH:
        return None
    first_at = _first_paid_at()
    if first_at is None:
        return None
    weeks = [
        _sales(since - number * WEEK, until - number * WEEK)
        for number in range(1, MAX_WEEKS + 1)
        if since - number * WEEK >= first_at
    ]
    if len(weeks) < MIN_WEEKS:
        return None
    made = _sales(since, until)
    currencies = sorted({currency for week in weeks for currency in week})
    compared = tuple(
        _missing(currency, [week.get(currency, _NONE) for week in weeks], made.get(currency, _NONE))
        for currency in currencies
    )
    return Estimate(since, until, len(weeks), compared)


@dataclass(frozen=True)
class _Sales:
    """The paid orders in one currency: their number, the sum of the amounts, and the sum of the squared amounts."""

    count: int = 0
    amount: int = 0
    squares: float = 0.0


_NONE = _Sales()


def _missing(currency: str, weeks: list[_Sales], made: _Sales) -> Missing:
    expected_count = sum(week.count for week in weeks) / len(weeks)
    expected_amount = sum(week.amount for week in weeks) / len(weeks)
    # Use the variance between weeks, but at least the variance that results if buyers arrive independently (a compound
    # Poisson process).
    random_variance = sum(week.squares for week in weeks) / len(weeks)
    spread = _deviation([week.amount for week in weeks], random_variance)
    count_spread = _deviation([week.count for week in weeks], expected_count)
    amount = expected_amount - made.amount
    count = expected_count - made.count

    def at_least_zero(value: float) -> int:
        return max(0, round(value))

    return Missing(
        currency=currency,
        expected_count=expected_count,
        made_count=made.count,
        amount=at_least_zero(amount),
        low_amount=at_least_zero(amount - DEVIATIONS * spread),
        high_amount=at_least_zero(amount + DEVIATIONS * spread),
        count=at_least_zero(count),
        low_count=at_least_zero(count - DEVIATIONS * count_spread),
        high_count=at_least_zero(count + DEVIATIONS * count_spread),
    )


def _deviation(values: list[int], random_variance: float) -> float:
    """Return the standard deviation of the difference between a further week and the mean of the given weeks.

    `random_variance` is a lower bound for the variance between weeks.
    """
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(max(variance, random_variance) * (1 + 1 / len(values)))


def _first_paid_at() -> datetime | None:
    paid = Order.objects.filter(stage="paid").order_by("settled_at")
    return paid.values_list("settled_at", flat=True).first()


def _sales(since: datetime, until: datetime) -> dict[str, _Sales]:
    values: list[Any] = [timestamp(since), timestamp(until)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT currency, count(*), sum(amount), sum(amount * 1.0 * amount) FROM impact_order"
            " WHERE stage = 'paid' AND settled_at >= %s AND settled_at < %s GROUP BY currency",
            values,
        )
        rows = cursor.fetchall()
    return {
        currency: _Sales(count, int(amount), float(squares))
        for currency, count, amount, squares in rows
        if currency
    }
