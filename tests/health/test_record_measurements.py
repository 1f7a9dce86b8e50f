from datetime import UTC, datetime, timedelta

import pytest

from core.clients.models import ClientApp
from health.models import ActiveUser, Latency, Series, SeriesKind, Tier, Value
from health.queries.latencies import rank_series
from health.services import measurements, record_measurements
from health.signals import Activity, Counter, Delivery, Gauge, Performance
from tests.factories import make_app

NOON = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    return make_app()


def test_a_call_is_counted_in_its_minute_hour_and_day(app: ClientApp) -> None:
    record_measurements([Performance("checkout", 250)], app=app, now=NOON)

    points = Latency.objects.filter(series__app=app, series__name="checkout")
    assert {(p.tier, p.start) for p in points} == {
        (Tier.MINUTE, NOON.replace(second=0)),
        (Tier.HOUR, NOON.replace(minute=0, second=0)),
        (Tier.DAY, NOON.replace(hour=0, minute=0, second=0)),
    }
    assert {(p.count, p.failed, p.total_ms, p.highest_ms) for p in points} == {(1, 0, 250, 250)}


def test_later_calls_add_to_the_same_points_and_to_the_total_over_all_apps(app: ClientApp) -> None:
    other = make_app()
    record_measurements([Performance("checkout", 100)], app=app, now=NOON)
    record_measurements(
        [Performance("checkout", 900, ok=False), Performance("search", 40, count=3)],
        app=other,
        now=NOON + timedelta(minutes=5),
    )

    total = Latency.objects.get(series__in=Series.objects.total("function"), tier=Tier.HOUR)
    assert (total.count, total.failed, total.total_ms, total.highest_ms) == (5, 1, 1_120, 900)
    assert sum(getattr(total, bucket) for bucket in Latency.BUCKETS) == 5


def test_an_earlier_call_is_counted_at_its_timestamp(app: ClientApp) -> None:
    before = NOON - timedelta(hours=2)
    record_measurements([Performance("checkout", 10, at=before)], app=app, now=NOON)

    minute = Latency.objects.get(series__app=app, tier=Tier.MINUTE)
    assert minute.start == before.replace(second=0)


@pytest.mark.parametrize("wrong", [timedelta(days=400), -timedelta(hours=3)])
def test_an_implausible_timestamp_is_replaced_by_now(app: ClientApp, wrong: timedelta) -> None:
    record_measurements([Performance("checkout", 10, at=NOON - wrong)], app=app, now=NOON)

    assert Latency.objects.get(series__app=app, tier=Tier.MINUTE).start == NOON.replace(second=0)


def test_counters_add_up_and_gauges_keep_the_latest_level(app: ClientApp) -> None:
    record_measurements([Counter("tickets_sold", 2), Gauge("credit", 150)], app=app, now=NOON)
    record_measurements([Counter("tickets_sold", 3), Gauge("credit", 90)], app=app, now=NOON)

    counter = Value.objects.get(series__kind=SeriesKind.COUNTER, tier=Tier.DAY)
    gauge = Value.objects.get(series__kind=SeriesKind.GAUGE, tier=Tier.DAY)
    assert counter.total == 5
    assert (gauge.last, gauge.lowest, gauge.highest) == (90, 90, 150)


def test_deliveries_are_counted_by_channel_and_outcome(app: ClientApp) -> None:
    record_measurements(
        [Delivery("sms", "failed", 2), Delivery("sms", "failed"), Delivery("email", "sent")],
        app=app,
        now=NOON,
    )

    assert dict(Value.objects.filter(tier=Tier.HOUR).values_list("series__name", "total")) == {
        "sms.failed": 3,
        "email.sent": 1,
    }


def test_an_active_user_is_counted_once_and_stored_only_as_a_hash(app: ClientApp) -> None:
    record_measurements([Activity("ada@example.com")], app=app, now=NOON - timedelta(minutes=9))
    record_measurements([Activity("ada@example.com"), Activity("u2")], app=app, now=NOON)

    assert ActiveUser.objects.seen_since(NOON - timedelta(minutes=15)).user_count() == 2
    assert ActiveUser.objects.seen_since(NOON - timedelta(minutes=15)).count() == 2
    assert not ActiveUser.objects.filter(user_hash__contains="ada").exists()


def test_series_beyond_the_limit_share_one_series(
    app: ClientApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "MAX_SERIES_PER_APP", 3)
    record_measurements([Performance(f"order-{n}", 10) for n in range(10)], app=app, now=NOON)
    record_measurements([Performance("order-99", 10)], app=app, now=NOON)

    assert Series.objects.filter(app=app).count() == 4
    other = Latency.objects.get(series__app=app, series__name="(other)", tier=Tier.DAY)
    assert other.count == 8


def test_calls_are_kept_apart_by_environment(app: ClientApp) -> None:
    for environment, count in (("production", 5), ("staging", 2), ("", 1)):
        call = Performance("f", 10, count=count, environment=environment)
        record_measurements([call], app=app, now=NOON)

    counts = Latency.objects.filter(series__app=app, tier=Tier.DAY)
    assert dict(counts.values_list("series__environment", "count")) == {
        "production": 5,
        "staging": 2,
        "": 1,
    }
    assert (
        Latency.objects.get(series__in=Series.objects.total("function"), tier=Tier.DAY).count == 8
    )
    (ranked,) = rank_series("function", NOON - timedelta(hours=1), NOON + timedelta(minutes=1))
    assert (ranked.name, ranked.summary.count) == ("f", 8)
