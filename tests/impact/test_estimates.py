"""Test that estimates of lost orders are based on earlier weeks, and that their range contains the true number."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from impact.models import Order
from impact.queries.estimates import estimate

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)


def sell(times: list[datetime], *, amount: int = 4500, currency: str = "EUR") -> None:
    start = Order.objects.count()
    Order.objects.bulk_create(
        Order(
            key=f"order:{start + number}",
            stage="paid",
            created_at=at,
            settled_at=at,
            amount=amount,
            currency=currency,
        )
        for number, at in enumerate(times)
    )


def evenly(since: datetime, count: int, length: timedelta = HOUR) -> list[datetime]:
    return [since + length * (number + 0.5) / count for number in range(count)]


def test_the_expectation_is_the_mean_of_the_same_hour_in_earlier_weeks() -> None:
    at = MONDAY + 4 * WEEK + 12 * HOUR
    for week, count in enumerate((38, 42, 40, 40)):
        sell(evenly(MONDAY + week * WEEK + 12 * HOUR, count))
    sell([MONDAY])
    sell(evenly(at, 4))

    found = estimate(at, at + HOUR)

    assert found
    [eur] = found.missing
    assert (found.week_count, eur.expected_count, eur.made_count, eur.count) == (4, 40, 4, 36)
    assert eur.amount == 36 * 4500
    assert 0 < eur.low_amount < eur.amount < eur.high_amount
    assert "36 orders" in found.sentence()
    assert "40.0 EUR orders were expected and 4 were paid" in found.basis()


def test_normal_sales_give_no_estimate() -> None:
    at = MONDAY + 4 * WEEK + 12 * HOUR
    sell([MONDAY])
    for week in range(5):
        sell(evenly(MONDAY + week * WEEK + 12 * HOUR, 40 - week % 2))

    found = estimate(at, at + HOUR)

    assert found is not None
    assert not found.missing
    assert found.sentence() == ""


def test_sales_that_are_lower_by_chance_give_no_estimate() -> None:
    at = MONDAY + 4 * WEEK + 12 * HOUR
    sell([MONDAY])
    for week in range(4):
        sell(evenly(MONDAY + week * WEEK + 12 * HOUR, 40))
    sell(evenly(at, 35))

    found = estimate(at, at + HOUR)

    assert found is not None
    [eur] = found.compared
    assert (eur.count, eur.low_count) == (5, 0)
    assert not found


def test_an_estimate_needs_two_earlier_weeks() -> None:
    sell(evenly(MONDAY + 12 * HOUR, 40))

    assert estimate(MONDAY + WEEK + 12 * HOUR, MONDAY + WEEK + 13 * HOUR) is None


@pytest.mark.parametrize("length", [timedelta(minutes=4), timedelta(days=8)])
def test_a_time_that_is_too_short_or_too_long_gives_no_estimate(length: timedelta) -> None:
    sell([MONDAY, *evenly(MONDAY + 4 * WEEK, 40)])

    assert estimate(MONDAY + 5 * WEEK, MONDAY + 5 * WEEK + length) is None


def test_each_currency_is_estimated_separately() -> None:
    at = MONDAY + 3 * WEEK
    sell([MONDAY - HOUR])
    for week in range(3):
        sell(evenly(MONDAY + week * WEEK, 50))
        sell(evenly(MONDAY + week * WEEK, 30), currency="USD")
    sell(evenly(at, 50))

    found = estimate(at, at + HOUR)

    assert found
    assert [(one.currency, one.count) for one in found.missing] == [("USD", 30)]


def test_the_range_contains_the_true_loss_in_nine_of_ten_problems() -> None:
    """Simulate independent buyers at a rate that varies by hour, and problems that stop some of them."""
    drawn = random.Random(20261129)
    weeks, contained, problems = 5, 0, 40
    sales: list[datetime] = []
    kept_away: dict[int, int] = {}
    starts = {n: MONDAY + weeks * WEEK + timedelta(hours=4 * n + 1) for n in range(problems)}
    for hour in range((weeks + 1) * 7 * 24):
        since = MONDAY + hour * HOUR
        usual = 15 + 20 * ((hour % 24) / 24)
        moments = []
        elapsed = drawn.expovariate(usual)
        while elapsed < 1:
            moments.append(since + elapsed * HOUR)
            elapsed += drawn.expovariate(usual)
        for number, start in starts.items():
            if start <= since < start + 2 * HOUR:
                lost = [at for at in moments if drawn.random() < 0.3 + 0.6 * (number % 3) / 2]
                kept_away[number] = kept_away.get(number, 0) + len(lost)
                moments = [at for at in moments if at not in lost]
        sales += moments
    sell(sales)

    for number, start in starts.items():
        found = estimate(start, start + 2 * HOUR)
        assert found is not None
        [eur] = found.compared
        contained += eur.low_count <= kept_away[number] <= eur.high_count

    assert contained >= 0.9 * problems
