"""Test the life cycle of alerts through the services, without delivery."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from alerts import services
from alerts.extension_points import Reading, Severity
from alerts.models import AlertRule, Notification, RuleReading, SystemAlert
from tests.alerts.conftest import MINUTE, NOON, Gauge
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


def staff() -> object:
    return get_user_model().objects.create_user("kim", is_staff=True)


def test_the_sixth_error_opens_one_alert_that_counts_the_following_ones(gauge: Gauge) -> None:
    gauge.evaluate(5, now=NOON)
    assert gauge.alerts() == []

    result = gauge.evaluate(6, now=NOON + MINUTE)
    for minute in range(2, 7):
        gauge.evaluate(6 + minute, now=NOON + minute * MINUTE)

    alert = gauge.alert()
    assert result.opened_count == 1
    assert (alert.state, alert.value, alert.threshold) == ("open", 12, 5)
    assert alert.occurrence_count == 6
    assert alert.last_seen_at == NOON + 6 * MINUTE
    assert alert.message == "12 errors, above the threshold of 5 errors (over 1 h)."


def test_an_alert_resolves_when_the_condition_clears(gauge: Gauge) -> None:
    gauge.evaluate(6, now=NOON)
    gauge.evaluate(5, now=NOON + MINUTE)
    assert gauge.alert().state == "open"

    result = gauge.evaluate(4, now=NOON + 2 * MINUTE)

    assert result.resolved_count == 1
    alert = gauge.alert()
    assert (alert.state, alert.resolved_at) == ("resolved", NOON + 2 * MINUTE)
    assert [event.kind for event in alert.events.order_by("pk")][-1] == "resolved"


def test_a_problem_that_returns_soon_reopens_its_alert_and_later_opens_another(
    gauge: Gauge,
) -> None:
    gauge.evaluate(6, now=NOON)
    gauge.evaluate(0, now=NOON + MINUTE)

    gauge.evaluate(6, now=NOON + 10 * MINUTE)
    alert = gauge.alert()
    assert (alert.state, alert.reopen_count, alert.episode) == ("open", 1, 1)
    gauge.evaluate(0, now=NOON + 11 * MINUTE)
    gauge.evaluate(6, now=NOON + 60 * MINUTE)

    first, second = gauge.alerts()
    assert (first.state, second.state, second.episode) == ("resolved", "open", 2)


@pytest.mark.slow
def test_a_dismissed_alert_stays_dismissed_for_a_hundred_breaches(gauge: Gauge) -> None:
    user = staff()
    gauge.evaluate(6, now=NOON)
    services.dismiss([gauge.alert()], user=user, now=NOON)  # type: ignore[arg-type]

    for minute in range(1, 101):
        gauge.evaluate(6 + minute, now=NOON + minute * MINUTE)

    alert = gauge.alert()
    assert (alert.state, alert.dismissed_by, alert.dismissed_at) == ("dismissed", user, NOON)
    gauge.evaluate(0, now=NOON + 101 * MINUTE)
    assert gauge.alert().state == "resolved"


def test_an_alert_reopens_when_its_dismissal_expires(gauge: Gauge) -> None:
    gauge.evaluate(6, now=NOON)
    services.dismiss([gauge.alert()], user=None, now=NOON, until=NOON + 60 * MINUTE)

    services.follow_up(now=NOON + 59 * MINUTE)
    assert gauge.alert().state == "dismissed"
    services.follow_up(now=NOON + 60 * MINUTE)

    assert gauge.alert().state == "open"


def test_an_acknowledgment_lasts_until_the_severity_rises(gauge: Gauge) -> None:
    gauge.row(severity="warning", critical_threshold=50)
    gauge.evaluate(6, now=NOON)
    services.acknowledge([gauge.alert()], user=None, now=NOON)

    gauge.evaluate(20, now=NOON + MINUTE)
    assert gauge.alert().state == "acknowledged"
    gauge.evaluate(51, now=NOON + 2 * MINUTE)

    alert = gauge.alert()
    assert (alert.state, alert.severity, alert.acknowledged_at) == ("open", "critical", None)
    kinds = [event.kind for event in alert.events.order_by("pk")]
    assert kinds.count("raised") == kinds.count("unacknowledged") == 1


def test_each_combination_of_labels_is_a_separate_problem(gauge: Gauge) -> None:
    def gate(name: str, value: float) -> Reading:
        return Reading(value, labels=(("gate", name),))

    gauge.evaluate([gate("north", 9), gate("south", 1)], now=NOON)
    gauge.evaluate([gate("north", 9), gate("south", 9)], now=NOON + MINUTE)
    gauge.evaluate([gate("south", 9)], now=NOON + 2 * MINUTE)

    north, south = gauge.alerts()
    assert (north.title, north.state) == ("Test gauge: north", "resolved")
    assert (south.title, south.state) == ("Test gauge: south", "open")


def test_an_alert_opens_after_the_configured_number_of_breaches(gauge: Gauge) -> None:
    gauge.row(breaches_needed=3, out_of=5)
    for minute, value in enumerate([6, 0, 6, 0]):
        gauge.evaluate(value, now=NOON + minute * MINUTE)
        assert not SystemAlert.objects.visible().exists()

    gauge.evaluate(6, now=NOON + 4 * MINUTE)

    assert gauge.alert().state == "open"


def test_a_pending_alert_is_discarded_when_its_breaches_stop(gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.row(breaches_needed=2, out_of=2)
    gauge.evaluate(6, now=NOON)
    gauge.evaluate(0, now=NOON + MINUTE)
    gauge.evaluate(0, now=NOON + 2 * MINUTE)

    assert gauge.alerts() == []
    assert not Notification.objects.exists()


def test_a_flapping_alert_is_sent_once_and_stays_open_until_it_is_stable(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    for minute in range(0, 12, 2):
        gauge.evaluate(6, now=NOON + minute * MINUTE)
        gauge.evaluate(0, now=NOON + (minute + 1) * MINUTE)

    alert = gauge.alert()
    assert (alert.state, alert.is_flapping) == ("open", True)
    assert Notification.objects.filter(kind="flapping").count() == 1
    gauge.evaluate(0, now=NOON + 71 * MINUTE)
    assert gauge.alert().state == "resolved"


def test_a_failing_rule_is_reported_and_does_not_stop_other_rules(gauge: Gauge) -> None:
    broken = Gauge("test.a_broken_one")

    def fail(since: object, until: object) -> float:
        raise ZeroDivisionError("no requests")

    from alerts.extension_points import alert_rule

    alert_rule(
        broken.name,
        summary="Broken",
        unit="",
        threshold=1,
        window=timedelta(hours=1),
        severity=Severity.INFO,
    )(fail)
    gauge.value = 6
    for minute in range(3):
        result = services.evaluate_rules(now=NOON + minute * MINUTE)

    assert result.failed == [broken.name]
    assert gauge.alert().state == "open"
    row = AlertRule.objects.get(name=broken.name)
    assert row.last_error == "ZeroDivisionError: no requests"
    assert SystemAlert.objects.active().filter(key=f"rule-failing:{broken.name}").exists()


def test_missing_data_opens_an_alert_only_if_the_rule_is_configured_to_do_so(gauge: Gauge) -> None:
    gauge.evaluate(None, now=NOON)
    assert gauge.alerts() == []
    gauge.row(no_data="alert")

    gauge.evaluate(None, now=NOON + MINUTE)

    assert gauge.alert().message == "No data for 1 h."


def test_edits_by_staff_are_kept(gauge: Gauge) -> None:
    gauge.row(threshold=50, summary="edited")

    gauge.evaluate(40, now=NOON)
    services.evaluate_rules(now=NOON + MINUTE)

    row = AlertRule.objects.get(name=gauge.name)
    assert (row.threshold, row.summary) == (50, "Test gauge")
    assert gauge.alerts() == []


def test_readings_are_stored_once_a_minute(gauge: Gauge) -> None:
    for second in range(0, 180, 10):
        gauge.evaluate(second, now=NOON + timedelta(seconds=second))

    readings = RuleReading.objects.order_by("at").values_list("at", flat=True)
    assert [at.minute for at in readings] == [0, 1, 2]


def test_an_immediate_evaluation_without_changes_does_not_write(
    gauge: Gauge, django_assert_num_queries: object
) -> None:
    gauge.evaluate(6, now=NOON)

    # Two queries read the rule and its alerts. Two create and release a savepoint, because the test runs in a
    # transaction.
    with django_assert_num_queries(4):  # type: ignore[operator]
        gauge.evaluate(7, now=NOON + timedelta(seconds=1))


def test_two_unresolved_alerts_cannot_have_the_same_key(gauge: Gauge) -> None:
    gauge.evaluate(6, now=NOON)
    alert = gauge.alert()
    alert.pk = None

    with (
        pytest.raises(IntegrityError, match=r"one_open_alert_per_problem|UNIQUE"),
        transaction.atomic(),
    ):
        alert.save(force_insert=True)


def test_a_reported_problem_is_one_alert_until_it_is_cleared() -> None:
    def report(severity: Severity, minute: int) -> SystemAlert:
        return services.report_problem(
            key="webhook:stripe",
            alert_type="dead-webhook",
            title="The Stripe webhook is dead",
            message="no event for an hour",
            severity=severity,
            source="payments",
            now=NOON + minute * MINUTE,
        )

    first = report(Severity.HIGH, 0)
    second = report(Severity.CRITICAL, 1)

    assert first.pk == second.pk
    alert = SystemAlert.objects.get()
    assert (alert.severity, alert.occurrence_count) == ("critical", 2)
    assert services.clear_problem(key="webhook:stripe", now=NOON + 2 * MINUTE)
    assert not services.clear_problem(key="webhook:stripe", now=NOON + 3 * MINUTE)
    assert report(Severity.HIGH, 10).reopen_count == 1
    assert report(Severity.HIGH, 11).pk == first.pk


def test_a_report_is_rolled_back_with_its_transaction() -> None:
    with transaction.atomic():
        make_alert(now=NOON)
        transaction.set_rollback(True)

    assert not SystemAlert.objects.exists()


def test_actions_record_the_user_and_the_time(gauge: Gauge) -> None:
    user = staff()
    gauge.evaluate(6, now=NOON)

    services.mark_read([gauge.alert()], user=user, now=NOON + MINUTE)  # type: ignore[arg-type]
    services.acknowledge([gauge.alert()], user=user, now=NOON + 2 * MINUTE)  # type: ignore[arg-type]
    services.dismiss([gauge.alert()], user=user, now=NOON + 3 * MINUTE)  # type: ignore[arg-type]
    services.resolve([gauge.alert()], user=user, now=NOON + 4 * MINUTE)  # type: ignore[arg-type]

    alert = gauge.alert()
    assert (alert.read_by, alert.read_at) == (user, NOON + MINUTE)
    assert (alert.acknowledged_by, alert.acknowledged_at) == (user, NOON + 2 * MINUTE)
    assert (alert.dismissed_by, alert.dismissed_at) == (user, NOON + 3 * MINUTE)
    assert (alert.resolved_by, alert.resolved_at) == (user, NOON + 4 * MINUTE)
    assert services.dismiss([alert], user=user, now=NOON + 5 * MINUTE) == 0  # type: ignore[arg-type]
