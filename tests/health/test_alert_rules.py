"""Test that each of health's alert rules opens no alert below its threshold and one alert above it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from alerts.extension_points import alert_rules
from alerts.models import AlertRule, SystemAlert
from alerts.services import evaluate_rule
from alerts.services.defaults import sync_rules
from health.models import ActiveUser, Component, MaintenanceWindow, Series
from health.queries import usage
from health.services import record_measurements, record_results
from health.signals import Activity, Counter, Delivery, Gauge, Measurement, Performance
from health.verdict import Result, Status
from tests.factories import make_app, make_component

NOON = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)
pytestmark = pytest.mark.django_db

Measure = Callable[[], Sequence[Measurement]]
BELOW_AND_ABOVE: dict[str, tuple[Measure, Measure]] = {
    "performance.slow_response": (
        lambda: [Performance("f", 3_000, count=6)],
        lambda: [Performance("f", 3_100, count=6)],
    ),
    "performance.very_slow_response": (
        lambda: [Performance("f", 10_000)],
        lambda: [Performance("f", 10_001), Performance("f", 20, count=500)],
    ),
    "performance.page_load": (
        lambda: [Performance("/", 4_900, kind="page", count=9)],
        lambda: [Performance("/", 5_001, kind="page", count=9)],
    ),
    "delivery.failed_sms": (
        lambda: [Delivery("sms", "failed", 10)],
        lambda: [Delivery("sms", "failed", 11)],
    ),
    "delivery.failed_emails": (
        lambda: [Delivery("email", "failed", 20)],
        lambda: [Delivery("email", "failed", 21)],
    ),
    "delivery.sms_failure_rate": (
        lambda: [Delivery("sms", "sent", 100), Delivery("sms", "failed", 10)],
        lambda: [Delivery("sms", "sent", 100), Delivery("sms", "bounced", 11)],
    ),
    "usage.database_size": (
        lambda: [Gauge("database_size_bytes", 8e9)],
        lambda: [Gauge("database_size_bytes", 8.1e9)],
    ),
    "usage.function_calls": (
        lambda: [Performance("f", 5, count=400_000)],
        lambda: [Performance("f", 5, count=400_000), Counter("function_calls", 1)],
    ),
    "usage.bandwidth": (
        lambda: [Counter("bandwidth_bytes", 40e9)],
        lambda: [Counter("bandwidth_bytes", 40.1e9)],
    ),
    "business.credit_balance": (
        lambda: [Gauge("credit_balance", 101)],
        lambda: [Gauge("credit_balance", 500), Gauge("credit_balance", 99)],
    ),
    "business.failed_gift_cards": (
        lambda: [Counter("gift_card_provision_failed", 5)],
        lambda: [Counter("gift_card_provision_failed", 6)],
    ),
    "activity.concurrent_users": (
        lambda: [Activity(f"u{n}") for n in range(100)],
        lambda: [Activity(f"u{n}") for n in range(101)],
    ),
}


@pytest.mark.parametrize("name", BELOW_AND_ABOVE)
def test_an_alert_opens_only_above_the_threshold(name: str) -> None:
    below, above = BELOW_AND_ABOVE[name]
    app = make_app()
    record_measurements(below(), app=app, now=NOON)
    evaluate_rule(name, now=NOON)
    assert not SystemAlert.objects.active().exists()

    _delete_measurements()
    record_measurements(above(), app=app, now=NOON + timedelta(minutes=1))
    evaluate_rule(name, now=NOON + timedelta(minutes=1))
    assert SystemAlert.objects.active().count() == 1


def test_a_credit_balance_that_keeps_falling_becomes_critical() -> None:
    app = make_app()
    sync_rules()
    AlertRule.objects.filter(name="business.credit_balance").update(critical_threshold=20)
    severities = []

    for minute, credits_left in enumerate((100, 21, 20)):
        now = NOON + timedelta(minutes=minute)
        record_measurements([Gauge("credit_balance", credits_left)], app=app, now=now)
        evaluate_rule("business.credit_balance", now=now)
        severities.append(SystemAlert.objects.get().severity)

    assert severities == ["high", "high", "critical"]


def _delete_measurements() -> None:
    Series.objects.all().delete()
    ActiveUser.objects.all().delete()


def test_every_rule_of_health_is_tested_here() -> None:
    rule_names = {
        rule.name
        for rule in alert_rules
        if rule.measure.__module__.startswith("health.hooks.alert_rules.")
    }
    assert rule_names == {
        *BELOW_AND_ABOVE,
        "uptime.burn_fast",
        "uptime.burn_medium",
        "uptime.burn_slow",
    }


def test_the_sms_failure_rate_is_undefined_without_messages() -> None:
    evaluate_rule("delivery.sms_failure_rate", now=NOON)
    assert AlertRule.objects.get(name="delivery.sms_failure_rate").last_value is None


def test_the_sms_failure_rate_is_evaluated_for_each_app() -> None:
    attempts = [Delivery("sms", "sent", 1_000), Delivery("sms", "delivered", 1_000)]
    record_measurements(attempts, app=make_app("crm"), now=NOON)
    # The second app reports only outcomes. Of its own messages, 30 % failed, but only 3 % of all messages.
    outcomes = [Delivery("sms", "delivered", 70), Delivery("sms", "failed", 30)]
    record_measurements(outcomes, app=make_app("shop"), now=NOON)

    evaluate_rule("delivery.sms_failure_rate", now=NOON)

    alert = SystemAlert.objects.get()
    assert alert.title == "High SMS failure rate: Shop"
    assert (alert.value, alert.message) == (30, "Shop: 30 of 100 SMS were not delivered")


def test_a_single_failed_test_message_raises_no_alert() -> None:
    record_measurements([Delivery("sms", "failed", 2)], app=make_app(), now=NOON)
    evaluate_rule("delivery.sms_failure_rate", now=NOON)
    assert not SystemAlert.objects.exists()


def test_staff_can_alert_on_calls_of_less_than_a_second() -> None:
    sync_rules()
    AlertRule.objects.filter(name="performance.very_slow_response").update(threshold=500)
    record_measurements([Performance("f", 600)], app=make_app(), now=NOON)
    evaluate_rule("performance.very_slow_response", now=NOON)
    assert SystemAlert.objects.get().value == 600


def test_slow_calls_outside_the_window_raise_no_alert() -> None:
    record_measurements([Performance("f", 20_000, count=9)], app=make_app(), now=NOON)
    later = NOON + timedelta(hours=2)
    for name in ("performance.slow_response", "performance.very_slow_response"):
        evaluate_rule(name, now=later)
    assert not SystemAlert.objects.exists()


def test_the_alert_names_the_very_slow_function() -> None:
    app = make_app("shop")
    record_measurements(
        [Performance("checkout", 30_000), Performance("search", 20)], app=app, now=NOON
    )
    evaluate_rule("performance.very_slow_response", now=NOON)

    assert "checkout (Shop) took 30,000 ms" in SystemAlert.objects.get().message


def test_bandwidth_restarts_each_month() -> None:
    app = make_app()
    record_measurements([Counter("bandwidth_bytes", 90e9)], app=app, now=NOON)
    april = datetime(2026, 4, 2, tzinfo=UTC)
    assert usage.bandwidth_bytes(april.replace(day=1), april) == 0


def _record_minutes(component: Component, minutes: range, *, failed: set[int]) -> None:
    for minute in minutes:
        at = NOON - timedelta(minutes=minute)
        status = Status.UNHEALTHY if minute in failed else Status.HEALTHY
        record_results([(component, [Result(status, at)])], now=at)


def test_a_burning_error_budget_raises_an_alert_but_a_single_failure_does_not() -> None:
    component = make_component("shop", fail_after=100)
    _record_minutes(component, range(59, -1, -1), failed={1})
    evaluate_rule("uptime.burn_fast", now=NOON)
    assert not SystemAlert.objects.exists()

    component = make_component("api", fail_after=100)
    _record_minutes(component, range(59, -1, -1), failed={1, 2, 3})
    evaluate_rule("uptime.burn_fast", now=NOON)
    alert = SystemAlert.objects.get()
    assert alert.severity == "critical"
    assert "3 of 60 results failed" in alert.message


def test_failures_outside_the_short_window_raise_no_alert() -> None:
    component = make_component("api", fail_after=100)
    _record_minutes(component, range(59, -1, -1), failed=set(range(20, 40)))
    evaluate_rule("uptime.burn_fast", now=NOON)
    assert not SystemAlert.objects.exists()


def test_maintenance_does_not_burn_the_error_budget() -> None:
    component = make_component("api", fail_after=100)
    window = MaintenanceWindow.objects.create(
        title="New database", starts_at=NOON - timedelta(minutes=40), ends_at=NOON
    )
    window.components.add(component)
    _record_minutes(component, range(59, -1, -1), failed=set(range(1, 40)))

    for name in ("uptime.burn_fast", "uptime.burn_medium", "uptime.burn_slow"):
        evaluate_rule(name, now=NOON)
    assert not SystemAlert.objects.exists()


def _record_sequence(component: Component, statuses: list[Status], *, now: datetime = NOON) -> None:
    """Record one result per minute, with the last one at `now`."""
    for ago, status in zip(range(len(statuses) - 1, -1, -1), statuses, strict=True):
        at = now - timedelta(minutes=ago)
        record_results([(component, [Result(status, at)])], now=at)


BURN_RULES = ("uptime.burn_fast", "uptime.burn_medium")


def test_an_outage_raises_one_alert_and_none_about_its_error_budget() -> None:
    component = make_component("shop")
    _record_sequence(component, [Status.HEALTHY] * 60 + [Status.UNHEALTHY] * 10)
    for name in (*BURN_RULES, "uptime.burn_slow"):
        evaluate_rule(name, now=NOON)
    assert [alert.key for alert in SystemAlert.objects.all()] == ["health:shop"]

    later = NOON + timedelta(minutes=4)
    _record_sequence(component, [Status.HEALTHY] * 4, now=later)
    for name in BURN_RULES:
        evaluate_rule(name, now=later)
    assert [alert.state for alert in SystemAlert.objects.all()] == ["resolved"]


def test_intermittent_failures_burn_the_budget_without_an_outage() -> None:
    component = make_component("shop")
    _record_sequence(component, [Status.HEALTHY, Status.HEALTHY, Status.UNHEALTHY] * 20)
    evaluate_rule("uptime.burn_fast", now=NOON)

    assert SystemAlert.objects.get().title.startswith("Error budget burning fast")
    assert Component.objects.get().status == "healthy"


def test_an_outage_does_not_resolve_the_alert_about_the_error_budget() -> None:
    component = make_component("shop")
    _record_sequence(component, [Status.HEALTHY, Status.HEALTHY, Status.UNHEALTHY] * 20)
    evaluate_rule("uptime.burn_fast", now=NOON)
    budget = SystemAlert.objects.get()

    later = NOON + timedelta(minutes=2)
    _record_sequence(component, [Status.UNHEALTHY] * 2, now=later)
    evaluate_rule("uptime.burn_fast", now=later)
    budget.refresh_from_db()
    assert (Component.objects.get().status, budget.state) == ("unhealthy", "open")

    recovered = NOON + timedelta(minutes=8)
    _record_sequence(component, [Status.HEALTHY] * 6, now=recovered)
    evaluate_rule("uptime.burn_fast", now=recovered)
    assert {alert.state for alert in SystemAlert.objects.all()} == {"resolved"}


def test_a_new_monitor_has_too_few_results_for_the_slow_burn_rule() -> None:
    component = make_component("shop", fail_after=100)
    _record_sequence(component, [Status.HEALTHY] * 5 + [Status.UNHEALTHY] * 4)
    evaluate_rule("uptime.burn_slow", now=NOON)
    assert not SystemAlert.objects.exists()
