from datetime import UTC, datetime, timedelta

import pytest

from health.models import Component, Uptime
from health.queries import uptime
from health.queries.uptime import Availability
from health.services import record_results
from health.verdict import Result, Status
from tests.factories import make_component

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def record(component: Component, *results: tuple[timedelta, Status]) -> None:
    for ago, status in sorted(results, reverse=True):
        at = NOON - ago
        record_results([(component, [Result(status, at, 10)])], now=at)


def test_each_window_counts_its_own_results() -> None:
    component = make_component()
    record(
        component,
        (timedelta(hours=1), Status.HEALTHY),
        (timedelta(hours=2), Status.DEGRADED),
        (timedelta(days=3), Status.UNHEALTHY),
        (timedelta(days=20), Status.HEALTHY),
        (timedelta(days=60), Status.UNHEALTHY),
    )

    [line] = uptime.load_lines([component], now=NOON)

    assert [(share.up, share.down) for share in line.availabilities] == [
        (2, 0),
        (2, 1),
        (3, 1),
        (3, 2),
    ]


def test_a_component_without_results_has_no_uptime() -> None:
    [line] = uptime.load_lines([make_component()], now=NOON)

    assert {share.percent for share in line.availabilities} == {None}
    assert line.budget_left_percent is None
    assert {day.tone for day in line.days} == {"none"}


@pytest.mark.parametrize(
    ("age", "shown", "lifetime", "since"),
    [
        (timedelta(minutes=5), [], None, datetime(2026, 3, 10, 11, tzinfo=UTC)),
        (timedelta(hours=20), [], None, datetime(2026, 3, 9, 16, tzinfo=UTC)),
        (timedelta(hours=30), ["24 h"], 50, datetime(2026, 3, 9, 6, tzinfo=UTC)),
        (timedelta(days=10), ["24 h", "7 d"], 50, datetime(2026, 2, 28, tzinfo=UTC)),
        (timedelta(days=40), ["24 h", "7 d", "30 d"], 50, datetime(2026, 1, 29, tzinfo=UTC)),
        (timedelta(days=100), ["24 h", "7 d", "30 d", "90 d"], 50, None),
    ],
)
def test_windows_that_measurements_do_not_cover_have_no_figure(
    age: timedelta, shown: list[str], lifetime: float | None, since: datetime | None
) -> None:
    component = make_component()
    record(component, (age, Status.UNHEALTHY), (timedelta(), Status.HEALTHY))
    if age > timedelta(days=90):
        record(component, (timedelta(days=89), Status.UNHEALTHY))

    [line] = uptime.load_lines([component], now=NOON)

    assert [name for name, share in line.by_window if share.percent is not None] == shown
    assert (line.lifetime_percent, line.measured_since) == (lifetime, since)
    assert (line.budget_left_percent is None) == ("30 d" not in shown)


def test_the_error_budget_is_one_thousandth_of_all_results() -> None:
    assert Availability(999, 1).budget_left == pytest.approx(0)
    assert Availability(1999, 1).budget_left == pytest.approx(0.5)
    assert (Availability(990, 10).budget_left or 0) < 0
    assert Availability(999, 1).meets_goal
    assert not Availability(998, 2).meets_goal
    assert Availability(99, 1).burn_rate == pytest.approx(10)


def test_bars_are_ordered_by_day_and_colored_by_severity() -> None:
    component = make_component()
    today = NOON.replace(hour=0)
    for ago, (healthy, degraded, down) in enumerate(
        [(1440, 0, 0), (1439, 0, 1), (1430, 0, 10), (1300, 0, 140), (1200, 240, 0)]
    ):
        Uptime.objects.create(
            component=component,
            tier=86_400,
            start=today - timedelta(days=ago),
            healthy=healthy,
            degraded=degraded,
            unhealthy=down,
        )

    [line] = uptime.load_lines([component], now=NOON)

    assert len(line.days) == 90
    assert [day.tone for day in reversed(line.days)][:6] == [
        "ok",
        "ok",
        "warning",
        "critical",
        "warning",
        "none",
    ]


def test_the_uptime_of_many_components_takes_few_queries(
    django_assert_max_num_queries: object,
) -> None:
    components = [make_component() for _ in range(30)]
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        uptime.load_lines(components, now=NOON)
