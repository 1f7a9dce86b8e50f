"""Test that only the series that opened an alert resolves it, and that series beyond the limit share one alert."""

from datetime import timedelta

import pytest

from alerts import services
from alerts.extension_points import NoData, Reading
from alerts.models import SystemAlert
from alerts.services.excess import MAX_ALERTS_PER_RULE, excess_key
from errors.models import ErrorGroup, Severity, Status
from health.services import record_measurements
from health.signals import Performance
from tests.alerts.conftest import MINUTE, NOON, Gauge
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def series(values: dict[str, float]) -> list[Reading]:
    return [Reading(value, labels=(("function", name),)) for name, value in values.items()]


def states() -> dict[str, str]:
    return dict(SystemAlert.objects.order_by("title").values_list("title", "state"))


def test_a_slower_function_does_not_resolve_the_alert_of_another_one() -> None:
    app = make_app("shop")
    calls = [Performance(f"slow-{n:02}", 20_000 + n) for n in range(MAX_ALERTS_PER_RULE)]
    record_measurements(calls, app=app, now=NOON)
    services.evaluate_rule("performance.very_slow_response", now=NOON + MINUTE)
    assert set(states().values()) == {"open"}

    slower = [Performance(f"slower-{n}", 60_000 + n) for n in range(4)]
    record_measurements(slower, app=app, now=NOON + 2 * MINUTE)
    services.evaluate_rule("performance.very_slow_response", now=NOON + 3 * MINUTE)

    assert set(states().values()) == {"open"}
    assert len(states()) == MAX_ALERTS_PER_RULE + 1
    excess = SystemAlert.objects.get(key=excess_key("performance.very_slow_response"))
    assert excess.title == "Very slow response: 4 more"
    assert "Shop, slower-3 (1.0 min)" in excess.message


def test_every_regressed_group_has_an_open_alert() -> None:
    app = make_app("shop")
    for number in range(27):
        ErrorGroup.objects.create(
            app=app,
            title=f"Fault {number:02}",
            severity=Severity.HIGH,
            status=Status.REGRESSED,
            regressed_at=NOON + number * MINUTE,
            first_seen_at=NOON - timedelta(days=9),
            last_seen_at=NOON + number * MINUTE,
        )
        services.evaluate_rule("errors.regressed", now=NOON + number * MINUTE + MINUTE)

    assert set(states().values()) == {"open"}
    excess = SystemAlert.objects.get(key=excess_key("errors.regressed"))
    assert excess.title == "Regressed errors: 7 more"


def test_a_regressed_group_that_still_occurs_after_a_day_keeps_its_alert() -> None:
    group = ErrorGroup.objects.create(
        app=make_app(),
        title="Was fixed",
        severity=Severity.HIGH,
        status=Status.REGRESSED,
        regressed_at=NOON,
        first_seen_at=NOON - timedelta(days=9),
        last_seen_at=NOON,
    )
    services.evaluate_rule("errors.regressed", now=NOON + MINUTE)
    ErrorGroup.objects.filter(pk=group.pk).update(last_seen_at=NOON + timedelta(hours=23))

    services.evaluate_rule("errors.regressed", now=NOON + timedelta(hours=25))
    assert SystemAlert.objects.get().state == "open"

    services.evaluate_rule("errors.regressed", now=NOON + timedelta(hours=48))
    assert SystemAlert.objects.get().state == "resolved"


def test_each_of_27_breaching_series_is_announced_alone_or_counted(gauge: Gauge) -> None:
    gauge.evaluate(series({f"f{n:02}": 10 + n for n in range(27)}), now=NOON)

    alerts = gauge.alerts()
    assert len(alerts) == MAX_ALERTS_PER_RULE + 1
    (excess,) = [alert for alert in alerts if alert.key == excess_key(gauge.name)]
    # The 20 worst series have separate alerts. The other series share one alert, which shows their worst value.
    assert (excess.title, excess.value) == ("Test gauge: 7 more", 16)
    assert excess.message == (
        "7 more, besides those with alerts of their own: f06 (16 errors), f05 (15 errors), f04 (14 errors), "
        "f03 (13 errors), f02 (12 errors), and 2 more. The threshold is 5 errors."
    )


@pytest.mark.parametrize("no_data", NoData)
def test_the_shared_alert_ends_when_each_further_series_is_clear_or_has_its_own(
    gauge: Gauge, no_data: NoData
) -> None:
    gauge.row(no_data=no_data)
    breaching = {f"f{n:02}": 50.0 - n for n in range(22)}
    gauge.evaluate(series(breaching), now=NOON)
    assert states()["Test gauge: 2 more"] == "open"

    # The series f00 is cleared. In the next evaluation, the worse of the two remaining series gets a separate alert.
    for minute in (1, 2):
        gauge.evaluate(series(breaching | {"f00": 1.0}), now=NOON + minute * MINUTE)
    assert states()["Test gauge: f00"] == "resolved"
    assert states()["Test gauge: f20"] == "open"
    assert states()["Test gauge: 1 more"] == "open"

    gauge.evaluate(series(breaching | {"f00": 1.0, "f21": 1.0}), now=NOON + 3 * MINUTE)
    shared = SystemAlert.objects.get(key=excess_key(gauge.name))
    assert shared.state == "resolved"
    assert shared.events.get(kind="resolved").text == (
        "each further series is clear or has its own alert"
    )
    assert set(states().values()) == {"open", "resolved"}


def test_a_new_and_worse_series_does_not_displace_an_open_alert(gauge: Gauge) -> None:
    breaching = {f"f{n:02}": 10.0 for n in range(MAX_ALERTS_PER_RULE)}
    gauge.evaluate(series(breaching), now=NOON)

    gauge.evaluate(series(breaching | {"worse": 999.0}), now=NOON + MINUTE)

    assert set(states().values()) == {"open"}
    assert SystemAlert.objects.get(key=excess_key(gauge.name)).value == 999


def test_the_shared_alert_has_the_severity_of_its_worst_series(gauge: Gauge) -> None:
    gauge.row(severity="high", critical_threshold=100)
    breaching = {f"f{n:02}": 10.0 for n in range(MAX_ALERTS_PER_RULE + 1)}
    gauge.evaluate(series(breaching), now=NOON)
    assert SystemAlert.objects.get(key=excess_key(gauge.name)).severity == "high"

    gauge.evaluate(series(breaching | {"worse": 999.0}), now=NOON + MINUTE)
    shared = SystemAlert.objects.get(key=excess_key(gauge.name))
    assert (shared.severity, shared.title) == ("critical", "Test gauge: 2 more")


def test_dismissed_alerts_do_not_count_toward_the_limit(gauge: Gauge) -> None:
    breaching = {f"f{n:02}": 10.0 for n in range(MAX_ALERTS_PER_RULE)}
    gauge.evaluate(series(breaching), now=NOON)
    services.dismiss(gauge.alerts(), user=None, now=NOON)

    gauge.evaluate(series(breaching | {"new": 10.0}), now=NOON + MINUTE)

    assert states()["Test gauge: new"] == "open"


def test_a_reading_that_cannot_be_judged_neither_resolves_nor_opens_an_alert(gauge: Gauge) -> None:
    gauge.evaluate(series({"shop": 9}), now=NOON)
    unknown = [Reading(None, labels=(("function", name),)) for name in ("shop", "api")]

    gauge.evaluate(unknown, now=NOON + MINUTE)

    assert states() == {"Test gauge: shop": "open"}
    gauge.evaluate(series({"shop": 1}), now=NOON + 2 * MINUTE)
    assert states() == {"Test gauge: shop": "resolved"}
