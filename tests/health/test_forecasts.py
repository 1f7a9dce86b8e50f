"""Test the portal's forecasts of error budgets, disk space, plan limits and backlogs, and their widget."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import Channel, Notification
from alerts.queries.outbox import load_backlog_course
from core.lib.forecasts import Forecast, Outlook
from health.extension_points import forecasts
from health.hooks.forecasts import backlogs, database, error_budgets, plan_limits
from health.models import CheckResult, Latency, Series, SeriesKind, Tier, Uptime, Value
from health.queries import database_size
from payments.hooks.forecasts import webhooks
from tests.factories import make_component, make_webhook_event

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GB = 10**9


def record(
    kind: SeriesKind, name: str, tier: Tier, values: Iterable[float], *, until: datetime = NOON
) -> None:
    """Store values of a gauge or counter, oldest first, the last one for the `tier` interval before `until`."""
    series, _ = Series.objects.get_or_create(app=None, kind=kind, name=name)
    levels = list(values)
    Value.objects.bulk_create(
        Value(
            series=series,
            tier=tier,
            start=until - (len(levels) - place) * tier.length,
            count=1,
            total=level,
            last=level,
        )
        for place, level in enumerate(levels)
    )


def found(source: Iterable[Forecast], title: str) -> Forecast:
    return next(one for one in source if one.title == title)


# --- error budget ----------------------------------------------------------------------------------


def measured(name: str, *, failed: dict[int, int], days: int = 30) -> None:
    """Store one result per minute for `days` days. `failed` maps ages in hours to numbers of failures."""
    component = make_component(name, title=name.title(), status="healthy")
    for tier, count in ((Tier.HOUR, days * 24), (Tier.DAY, days)):
        Uptime.objects.bulk_create(
            Uptime(
                component=component,
                tier=tier,
                start=tier.floor(NOON) - ago * tier.length,
                healthy=tier.value // 60,
                unhealthy=failed.get(ago, 0)
                if tier is Tier.HOUR
                else sum(failed.values()) * (not ago),
            )
            for ago in range(count)
        )
    CheckResult.objects.bulk_create(
        CheckResult(
            component=component, at=NOON - number * MINUTE, status="unhealthy", duration_ms=1
        )
        for number in range(failed.get(0, 0))
    )


def test_a_continuing_outage_uses_up_the_budget_within_minutes() -> None:
    measured("gate", failed={0: 20})  # The objective allows 43 failures in 30 days.

    [budget] = error_budgets(NOON)

    assert budget.title == "Error budget of Gate used up"
    assert (budget.trend.outlook, budget.tone) == (Outlook.EXPECTED, "warning")
    assert budget.text in ("in about 25 min", "in 20 to 25 min")
    assert budget.basis.startswith("46 % of the budget of the last 30 days used")


def test_an_overspent_budget_is_shown_as_used_up_now() -> None:
    measured("gate", failed={100: 30, 50: 20})

    [budget] = error_budgets(NOON)

    assert (budget.text, budget.tone) == ("now", "critical")


def test_single_failures_lead_to_no_forecast() -> None:
    measured("gate", failed={90: 2, 40: 1})
    measured("mail", failed={})

    [budget] = error_budgets(NOON)

    assert budget.trend.outlook in (Outlook.UNCLEAR, Outlook.NOT_IN_SIGHT)


def test_a_component_that_fails_a_little_every_hour_uses_up_its_budget_in_days() -> None:
    # With 4 failures a day, 26 of the 43 allowed failures have occurred.
    measured("gate", failed={hour: hour % 6 // 5 for hour in range(3, 160)})

    [budget] = error_budgets(NOON)

    assert budget.trend.outlook is Outlook.EXPECTED
    assert budget.trend.latest is not None
    assert 3 * DAY < budget.trend.latest - NOON < 8 * DAY


# --- disk and plan ---------------------------------------------------------------------------------


def test_the_disk_is_full_when_the_database_has_used_the_free_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("health.hooks.forecasts.free_disk_bytes", lambda: 10 * GB)
    monkeypatch.setattr("health.hooks.forecasts.database_size_bytes", lambda: 4 * GB)
    # The database has 4 GB and grows by 1 GB a day, so it fills the 10 GB that are free on the disk in ten days.
    record(
        SeriesKind.GAUGE,
        database_size.SIZE_GAUGE,
        Tier.HOUR,
        [place / 24 * GB for place in range(97)],
    )

    disk = found(database(NOON), "Disk full")
    plan = found(database(NOON), "Plan limit of the database reached")

    assert disk.text == "in about 10 days"
    assert disk.basis.startswith("growing by 1 GB a day in the last 4 d; 10 GB free")
    assert plan.text == "in about 6 days"
    assert "4 GB of 10 GB used" in plan.basis


def test_the_disk_of_another_machine_has_no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("health.hooks.forecasts.free_disk_bytes", lambda: None)

    [plan] = database(NOON)

    assert plan.title == "Plan limit of the database reached"
    assert plan.text == "not enough data"


def test_function_calls_reach_the_plan_limit_when_their_daily_number_grows() -> None:
    series = Series.objects.create(app=None, kind=SeriesKind.FUNCTION, name="")
    Latency.objects.bulk_create(
        # Each day has 20,000 more calls than the day before. The last day has about 260,000; the plan allows 500,000.
        Latency(
            series=series, tier=Tier.HOUR, start=NOON - (14 * 24 - hour) * HOUR,
            count=round(hour / 24 * 20_000 / 24),
        )
        for hour in range(14 * 24)
    )  # fmt: skip

    calls = found(plan_limits(NOON), "Plan limit of function calls reached")

    assert calls.trend.outlook is Outlook.EXPECTED
    assert calls.text == "in about 12 days"
    assert "20,000 more calls each day in the last 7 d" in calls.basis


def test_steady_function_calls_reach_no_limit() -> None:
    series = Series.objects.create(app=None, kind=SeriesKind.FUNCTION, name="")
    Latency.objects.bulk_create(
        Latency(series=series, tier=Tier.HOUR, start=NOON - (hour + 1) * HOUR, count=1000)
        for hour in range(14 * 24)
    )

    assert (
        found(plan_limits(NOON), "Plan limit of function calls reached").text == "not at this pace"
    )


@pytest.mark.parametrize(
    ("per_hour", "text"),
    [(0.075 * GB, "in about 6 days"), (0.05 * GB, "not within about 8 days")],
    ids=["within the month", "not before it ends"],
)
def test_bandwidth_counts_until_the_end_of_the_month(per_hour: float, text: str) -> None:
    record(SeriesKind.COUNTER, "bandwidth_bytes", Tier.HOUR, [per_hour] * (21 * 24 + 12))

    sent = found(plan_limits(NOON), "Plan limit of bandwidth reached")

    assert sent.text == text
    assert "the count restarts on 1 Dec" in sent.basis


# --- backlogs --------------------------------------------------------------------------------------


def test_a_queue_that_gets_shorter_is_cleared_in_time() -> None:
    record(SeriesKind.GAUGE, "queue_backlog", Tier.MINUTE, range(800, 200, -10))

    backlog = found(backlogs(NOON), "Backlog of the task queue cleared")

    assert backlog.text == "in about 20 min"
    assert backlog.basis.startswith("210 tasks waiting")
    assert "; falling by 600 tasks an hour in the last " in backlog.basis


def test_a_queue_that_grows_is_not_cleared() -> None:
    record(SeriesKind.GAUGE, "queue_backlog", Tier.MINUTE, range(100, 700, 10))

    assert found(backlogs(NOON), "Backlog of the task queue cleared").text == "not at this pace"


def test_an_empty_queue_has_no_forecast() -> None:
    record(SeriesKind.GAUGE, "queue_backlog", Tier.MINUTE, [5.0] * 50 + [0.0] * 10)

    assert list(backlogs(NOON)) == []


def test_waiting_messages_are_cleared_at_the_pace_at_which_they_are_sent() -> None:
    channel = Channel.objects.create(name="mail", kind="email")
    Notification.objects.bulk_create(
        Notification(
            channel=channel,
            kind="triggered",
            idempotency_key=str(number),
            stream="s",
            payload={},
            state="sent" if number < 120 else "waiting",
            sent_at=NOON - (120 - number) * MINUTE / 2 if number < 120 else None,
            created_at=NOON - 3 * HOUR,
            due_at=NOON - 3 * HOUR,
            next_attempt_at=NOON,
            deadline_at=NOON + DAY,
        )
        for number in range(180)
    )

    backlog = found(backlogs(NOON), "Backlog of notifications cleared")

    assert backlog.text in ("in about 30 min", "in 25 to 30 min", "in 30 to 35 min")
    assert load_backlog_course(now=NOON, length=HOUR)[-1][1] == 60


def test_waiting_webhook_events_are_counted() -> None:
    assert list(webhooks(timezone.now())) == []
    make_webhook_event(received_at=timezone.now() - 5 * MINUTE)

    [backlog] = webhooks(timezone.now())

    assert backlog.title == "Backlog of webhook events cleared"
    assert backlog.basis.startswith("1 event waiting; rising by ")


# --- the widget ------------------------------------------------------------------------------------


def test_the_widget_shows_the_soonest_first_and_survives_a_failing_source(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: datetime) -> list[Forecast]:
        raise RuntimeError

    monkeypatch.setitem(forecasts._items, "health.plan_limits", fail)
    now = timezone.now()
    record(SeriesKind.GAUGE, "queue_backlog", Tier.MINUTE, range(800, 200, -10), until=now)
    client.force_login(User.objects.create_superuser("owner"))

    card = client.get(reverse("health:widget", args=["health.forecasts"])).content.decode()

    assert card.index("Backlog of the task queue cleared") < card.index(
        "Plan limit of the database"
    )
    folded = card.split("without enough data yet", 1)[1]
    assert "not enough data" in folded
    assert "Plan limit of the database" in folded
