"""Test that sums of calls that the database computes equal sums of single rows."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from core.clients.models import ClientApp
from health.models import Latency, Series, SeriesKind, Tier
from health.queries import latencies, usage, values
from health.queries.latencies import LatencySummary
from health.queries.resolutions import periods_for, resolution_for
from health.services.measurements import record_measurements
from health.signals import Performance
from tests.factories import make_app

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 4, 12, 7, 30, tzinfo=UTC)
# Contains each range of a page with the tier that has the precision of its totals.
RANGES = {
    timedelta(hours=1): Tier.MINUTE,
    timedelta(hours=24): Tier.HOUR,
    timedelta(days=7): Tier.HOUR,
    timedelta(days=30): Tier.DAY,
}
FUNCTION = SeriesKind.FUNCTION


@pytest.fixture
def apps() -> list[ClientApp]:
    """Return two apps with calls at random times of the last 29 days, most of them recent."""
    found = [make_app("shop"), make_app("tickets")]
    rng = random.Random(4)
    for _ in range(60):
        at = NOW - timedelta(minutes=rng.choice([5, 50, 600, 1_435, 10_000, 41_000]) * rng.random())
        calls = [
            Performance(
                f"function {rng.randint(1, 5)}",
                round(rng.lognormvariate(5, 2)),
                ok=rng.random() < 0.8,
                count=rng.randint(1, 9),
                environment=rng.choice(["", "production"]),
            )
            for _ in range(4)
        ]
        # A measurement with a time is only accepted for a day, so `now` is the time of the calls.
        record_measurements(calls, app=rng.choice(found), now=at)
    return found


def add_up(rows: Iterable[Latency]) -> LatencySummary:
    """Return the summary of the rows, each of which is read as an object."""
    found = LatencySummary()
    for row in rows:
        found.count += row.count
        found.measured += row.measured
        found.failed += row.failed
        found.total_ms += row.total_ms
        found.highest_ms = max(found.highest_ms, row.highest_ms)
        found.buckets = [
            a + getattr(row, b) for a, b in zip(found.buckets, Latency.BUCKETS, strict=True)
        ]
    return found


def points(tier: Tier, since: datetime, **filters: object) -> list[Latency]:
    rows = Latency.objects.filter(tier=tier, start__gte=tier.floor(since), start__lt=NOW, **filters)
    return list(rows.select_related("series__app"))


@pytest.mark.usefixtures("apps")
@pytest.mark.parametrize("span", RANGES)
def test_the_summary_of_each_slot_equals_the_sum_of_its_points(span: timedelta) -> None:
    total = Series.objects.total(FUNCTION)
    resolution = resolution_for(span)
    rows = points(resolution.tier, NOW - span, series__in=total)
    assert rows

    found = latencies.summarize_per_slot(total, NOW - span, NOW)

    assert list(found) == resolution.slots(NOW - span, NOW)
    for slot, summary in found.items():
        assert summary == add_up(one for one in rows if resolution.floor(one.start) == slot)


@pytest.mark.parametrize(("span", "tier"), RANGES.items())
def test_summaries_of_a_period_equal_the_sum_of_its_points(
    apps: list[ClientApp], span: timedelta, tier: Tier
) -> None:
    since = NOW - span
    total, of_apps = Series.objects.total(FUNCTION), Series.objects.of_apps(FUNCTION)

    assert latencies.summarize(total, since, NOW) == add_up(points(tier, since, series__in=total))
    assert latencies.summarize_by_kind([FUNCTION, SeriesKind.PAGE], since, NOW) == {
        FUNCTION: add_up(points(tier, since, series__in=total)),
        SeriesKind.PAGE: LatencySummary(),
    }
    assert latencies.summarize_by_app(of_apps, since, NOW) == [
        (app.name, add_up(points(tier, since, series__app=app))) for app in apps
    ]
    assert usage.call_count_by_app(since, NOW) == sorted(
        [(app.name, add_up(points(tier, since, series__app=app)).count) for app in apps],
        key=lambda item: -item[1],
    )
    ranked = latencies.rank_series(FUNCTION, since, NOW)
    assert len(ranked) == 8
    for one in ranked:
        rows = points(tier, since, series__app__name=one.app, series__name=one.name)
        assert one.summary == add_up(rows)


@pytest.mark.usefixtures("apps")
def test_the_summary_of_an_hour_contains_only_this_hour() -> None:
    total = Series.objects.total(FUNCTION)
    hour = Tier.HOUR.floor(NOW)

    found = latencies.summarize_hour(total, NOW - timedelta(hours=1))

    start = hour - timedelta(hours=1)
    rows = Latency.objects.filter(series__in=total, tier=Tier.HOUR, start=start)
    assert found == add_up(rows)
    assert found.count


@pytest.mark.usefixtures("apps")
def test_no_series_add_up_to_nothing() -> None:
    none = Series.objects.filter(name__in=[])

    assert latencies.summarize(none, NOW - timedelta(days=7), NOW) == LatencySummary()
    assert values.sum_values(SeriesKind.COUNTER, [], NOW - timedelta(days=7), NOW) == {}


def test_the_periods_of_a_total_are_adjacent_and_start_and_end_at_whole_points() -> None:
    rng = random.Random(5)
    for _ in range(500):
        until = NOW - timedelta(minutes=rng.randint(0, 4_000))
        until = rng.choice([until, Tier.HOUR.floor(until), Tier.DAY.floor(until)])
        since = until - timedelta(hours=rng.choice([4, 24, 48, 168]), minutes=rng.randint(0, 59))
        since = rng.choice([since, Tier.HOUR.floor(since), Tier.DAY.floor(since)])

        found = periods_for(since, until)

        assert found[0].since == Tier.HOUR.floor(since)
        assert found[-1].until == until
        for before, after in pairwise(found):
            assert before.until == after.since
            assert before.tier.floor(before.until) == before.until
        for period in found:
            assert period.tier.floor(period.since) == period.since
            if period.tier is Tier.DAY:
                assert Tier.DAY.floor(period.until) == period.until
        assert len(found) == 1 or sum(period.tier is Tier.DAY for period in found) == 1
