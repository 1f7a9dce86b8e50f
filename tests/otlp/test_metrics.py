"""Test that gauges and sums from OpenTelemetry become signals."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from core.clients.models import ClientApp
from errors.models import Discarded
from errors.services import discarded
from health.models import Series, SeriesKind, Tier, Value
from otlp import sums
from otlp.models import CumulativeSum
from otlp.tasks import prune_sums
from tests.otlp.exporting import Exporter, gauge, metrics, point, total

pytestmark = pytest.mark.django_db

HOUR_NS = 3_600 * 10**9


def totals(kind: SeriesKind) -> dict[str, float]:
    """Map the name of each series of this kind to its total."""
    rows = Value.objects.filter(series__kind=kind, tier=Tier.DAY).values_list(
        "series__name", "total"
    )
    found: dict[str, float] = {}
    for name, value in rows:
        found[name] = found.get(name, 0) + value
    return found


def levels() -> dict[str, float]:
    rows = Value.objects.filter(series__kind=SeriesKind.GAUGE, tier=Tier.DAY)
    return dict(rows.values_list("series__name", "last"))


@pytest.mark.parametrize("way", ["json", "protobuf"])
def test_a_gauge_becomes_a_gauge(exporter: Exporter, way: str) -> None:
    message = metrics(
        gauge("queue.length", point(7)),
        gauge("cpu", point(0.25, cpu=0, state="idle"), point(0.5, cpu=1, state="idle")),
    )

    assert getattr(exporter, way)("metrics", message) == {}

    assert levels() == {
        "queue.length": 7,
        "cpu{cpu=0,state=idle}": 0.25,
        "cpu{cpu=1,state=idle}": 0.5,
    }


def test_increases_are_counted(exporter: Exporter) -> None:
    message = metrics(total("orders", point(3, kind="web"), point(4, kind="app"), temporality=1))

    exporter.json("metrics", message)
    exporter.json("metrics", message)

    assert totals(SeriesKind.COUNTER) == {"orders": 14}


def test_the_increase_of_a_total_is_counted(exporter: Exporter) -> None:
    now = time.time_ns()

    def report(value: int, other: int = 0, started_ns: int = now) -> None:
        points = [point(value, started_ns=started_ns, kind="web")]
        points += [point(other, started_ns=started_ns, kind="app")]
        exporter.json("metrics", metrics(total("orders", *points)))

    report(5, 1)
    report(8, 1)
    assert totals(SeriesKind.COUNTER) == {"orders": 9}
    report(2, started_ns=now + 10**9)  # A restart of the app begins new totals.
    assert totals(SeriesKind.COUNTER) == {"orders": 11}
    report(8, 1)  # A report from before the restart, which arrives late.
    assert totals(SeriesKind.COUNTER) == {"orders": 11}


def test_counts_from_long_before_the_first_report_are_ignored(exporter: Exporter) -> None:
    started_ns = time.time_ns() - 2 * HOUR_NS

    exporter.json("metrics", metrics(total("orders", point(900, started_ns=started_ns))))
    exporter.json("metrics", metrics(total("orders", point(901, started_ns=started_ns))))

    assert totals(SeriesKind.COUNTER) == {"orders": 1}


def test_a_sum_that_goes_up_and_down_becomes_a_gauge(exporter: Exporter) -> None:
    open_requests = total("open", point(2, kind="web"), point(3, kind="app"), is_monotonic=False)

    exporter.json("metrics", metrics(open_requests))

    assert levels() == {"open": 5}


def test_other_metrics_are_rejected_and_counted(exporter: Exporter) -> None:
    histogram = {"name": "latency", "histogram": {"dataPoints": [{"count": "1"}, {"count": "2"}]}}
    message = metrics(
        histogram,
        {"name": "summary", "summary": {"dataPoints": [{}]}},
        {"name": "nothing"},
        total("down", point(1), is_monotonic=False, temporality=1),
        total("negative", point(-1)),
        gauge("nan", {"asDouble": "NaN"}),
        gauge("empty", {}),
        gauge("missing", {"flags": 1, "asInt": "3"}),
        gauge("kept", point(1)),
    )

    answer = exporter.json("metrics", message)

    assert answer["partialSuccess"]["rejectedDataPoints"] == "8"
    assert "latency" in answer["partialSuccess"]["errorMessage"]
    assert levels() == {"kept": 1}
    discarded.discarded_items.flush()
    row = Discarded.objects.get()
    assert (row.category, row.reason, row.count) == ("metric", "unsupported", 8)


def test_names_are_scrubbed_and_limited_in_length(exporter: Exporter) -> None:
    exporter.json("metrics", metrics(gauge("g", point(1, buyer="planted.person@shop.example"))))
    exporter.json("metrics", metrics(gauge("n" * 900, point(1))))
    exporter.json("metrics", metrics(gauge("", point(1))))

    names = set(Series.objects.values_list("name", flat=True))
    assert names == {"g{buyer=[Filtered]}", "n" * 200, "(unnamed)"}


def test_signals_over_the_quota_are_not_recorded(exporter: Exporter, settings: Settings) -> None:
    settings.SIGNALS_PER_MINUTE = 1

    answer = exporter.post(
        "metrics", b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":['
        b'{"name":"a","gauge":{"dataPoints":[{"asInt":"1"}]}},'
        b'{"name":"b","gauge":{"dataPoints":[{"asInt":"1"}]}}]}]}]}', "application/json"
    )  # fmt: skip

    assert answer.status_code == 429
    assert int(answer["Retry-After"]) >= 1
    assert not Value.objects.exists()


def test_the_number_of_stored_totals_is_limited(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "MAX_STREAMS_PER_APP", 3)
    points: list[Any] = [point(1, started_ns=time.time_ns(), n=number) for number in range(5)]

    exporter.json("metrics", metrics(total("orders", *points)))

    assert CumulativeSum.objects.count() == 3


def test_totals_that_are_no_longer_reported_are_deleted(
    exporter: Exporter, shop: ClientApp
) -> None:
    exporter.json("metrics", metrics(total("orders", point(1, started_ns=time.time_ns()))))
    assert prune_sums() == {"deleted": 0}

    CumulativeSum.objects.update(updated_at=timezone.now() - timedelta(days=8))

    assert prune_sums() == {"deleted": 1}
