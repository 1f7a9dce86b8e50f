"""Test the figures, the timeline and the intervals of the system-health page."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alerts.extension_points import Severity as AlertSeverity
from core.accounts.services import audit
from core.lib import formats
from core.lib.charts import Chart
from core.releases.models import Deploy, Release
from core.releases.queries import deploy_marks
from errors.models import HourCount, MinuteCount, Severity
from errors.models.counts import hour_of, minute_of
from health.extension_points import Reading, WidgetContext, overview_figure, overview_figures
from health.hooks.dashboard_widgets.overview import compare, overview
from health.models import Incident, MaintenanceWindow, Uptime
from health.models.measurements import Tier
from health.queries.marks import list_marks
from health.services import record_measurements
from health.signals import Gauge, Performance
from payments.models import PaymentStatus
from tests.factories import make_alert, make_app, make_component, make_payment, make_ticket_type
from tests.impact.support import reserve

pytestmark = pytest.mark.django_db
PAGE = "/admin/system-health/"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("owner", is_staff=True, is_superuser=True))
    return client


def read(name: str, span: timedelta = timedelta(hours=24)) -> Reading:
    return overview_figures.get(name).read(WidgetContext(None, NOW, span))  # type: ignore[arg-type]


def comparison(name: str) -> str:
    found = compare(overview_figures.get(name), read(name))
    return found.text if found else ""


def test_errors_are_counted_per_minute_and_compared_with_last_week() -> None:
    app = make_app()
    for ago, severity, count in (
        (5, "high", 100),
        (30, "critical", 20),
        (30, "info", 999),
        (90, "high", 7),
    ):
        MinuteCount.objects.create(
            app=app, minute=minute_of(NOW - timedelta(minutes=ago)), severity=severity, count=count
        )
    HourCount.objects.create(app=app, hour=hour_of(NOW - WEEK), severity=Severity.HIGH, count=30)

    reading = read("errors.per_minute")

    assert reading.value == 2
    assert reading.week_ago == 0.5
    assert reading.note == "20 critical in the last hour"
    assert comparison("errors.per_minute") == "4 times last week"


def test_the_overview_shows_failed_requests_and_response_times() -> None:
    app = make_app()
    calls = [Performance("seats", 100, kind="request")] * 9
    calls += [Performance("seats", 100, kind="request", ok=False)]
    record_measurements(calls, app=app, now=NOW - timedelta(minutes=10))
    record_measurements(calls[:2] + calls[-2:], app=app, now=NOW - WEEK)

    assert read("health.failed_requests").value == 10
    assert read("health.failed_requests").note == "1 of 10 requests"
    assert comparison("health.failed_requests") == "-60 % on last week"
    assert comparison("health.p95") == "same as last week"


def test_without_requests_the_overview_shows_no_rate() -> None:
    assert read("health.failed_requests").value is None
    assert read("health.failed_requests").note == "no requests"
    assert comparison("health.failed_requests") == ""


def test_sales_are_shown_in_the_main_currency_and_the_others_are_named() -> None:
    for amount, currency, ago in (
        (9000, "eur", 10),
        (4500, "eur", 40),
        (1200, "usd", 20),
        (7700, "eur", 200),
    ):
        payment = make_payment(amount=amount, currency=currency, status=PaymentStatus.SUCCEEDED)
        payment.created_at, payment.amount_received = NOW - timedelta(minutes=ago), amount
        payment.save()

    reading = read("payments.sales")

    assert reading.text == "135.00 EUR"
    assert reading.note == "and 12.00 USD"
    assert reading.chart is not None
    assert sum(value or 0 for value in reading.chart.series[0].values) == 212
    assert reading.chart.unit == "EUR"


@pytest.mark.parametrize(("days_ago", "text"), [(0, formats.NONE), (1, "100 %")])
def test_the_uptime_is_no_figure_during_the_first_day(days_ago: int, text: str) -> None:
    first_day = Tier.DAY.floor(NOW) - timedelta(days=days_ago)
    component = make_component("database", is_required=True)
    Uptime.objects.create(component=component, tier=Tier.DAY, start=first_day, healthy=10)

    reading = read("health.uptime")

    assert reading.text == text
    assert f"since {first_day.day} Mar" in reading.note


def test_a_failing_figure_does_not_hide_the_others(staff: Client) -> None:
    registered = overview_figures.get("health.p95")
    try:
        overview_figures._items.pop("health.p95")

        @overview_figure("health.p95", label="Response time", order=30, url_name="health:uptime")
        def broken(context: WidgetContext) -> Reading:
            raise ZeroDivisionError

        page = staff.get(PAGE).content.decode()
    finally:
        overview_figures._items["health.p95"] = registered

    assert page.count("This figure is unavailable right now.") == 1
    assert page.count('class="figure__value"') == len(list(overview_figures)) - 1


def test_marks_show_the_events_of_the_range_in_order_of_time() -> None:
    hour = timedelta(hours=1)
    release = Release.objects.create(app=make_app("shop"), version="2.4.1")
    for at in (NOW - 5 * hour, NOW - 30 * hour):
        Deploy.objects.create(
            release=release, environment="production", finished_at=at, source="api"
        )
    make_alert(
        key="a", title="Checkout is down", severity=AlertSeverity.CRITICAL, now=NOW - 4 * hour
    )
    make_alert(key="b", title="Disk is filling", severity=AlertSeverity.WARNING, now=NOW - 4 * hour)
    Incident.objects.create(title="No card payments", started_at=NOW - 30 * hour)
    Incident.objects.create(
        title="Old", started_at=NOW - 40 * hour, resolved_at=NOW - 39 * hour, state="resolved"
    )
    MaintenanceWindow.objects.create(
        title="New disks", starts_at=NOW - 2 * hour, ends_at=NOW - hour
    )
    audit.record(None, "alerts.alertrule changed", target="alertrule 7", now=NOW - 3 * hour)
    audit.record(None, "signed in", now=NOW - 3 * hour)

    since = NOW - 24 * hour
    marks = list_marks(since, NOW, deploys=deploy_marks(since, NOW))

    assert [(mark.kind, mark.label) for mark in marks] == [
        ("Incident", "No card payments"),
        ("Deploy", "Shop 2.4.1 to production"),
        ("Alert", "Checkout is down"),
        ("Rule", "changed by a former user"),
        ("Maintenance", "New disks"),
    ]
    assert marks[0].until == NOW  # The mark of an open alert ends now.
    assert marks[3].url.endswith("/alerts/alertrule/7/change/")


def test_the_timeline_shows_figures_with_the_same_marks_and_range(staff: Client) -> None:
    app = make_app()
    at = NOW - timedelta(minutes=10)
    record_measurements([Performance("seats", 100, kind="request")], app=app, now=at)
    make_alert(key="a", title="Checkout is down", severity=AlertSeverity.CRITICAL, now=at)

    shown = overview(WidgetContext(None, NOW, timedelta(hours=1)))  # type: ignore[arg-type]

    assert shown is not None
    charts = cast("list[Chart]", shown["charts"])
    assert [chart.title for chart in charts] == ["Errors per minute", "Response time of requests"]
    assert {chart.group for chart in charts} == {"timeline"}
    assert {chart.span for chart in charts} == {(NOW - timedelta(hours=1), NOW)}
    assert all([mark.label for mark in chart.marks] == ["Checkout is down"] for chart in charts)
    page = staff.get(PAGE).content.decode()
    link = reverse("health:interval") + f"?since={at.timestamp():.0f}&amp;until="
    assert link in page  # The table has the same link as a click on the chart.


def test_an_interval_lists_its_errors_alerts_payments_and_orders(staff: Client) -> None:
    make_alert(key="a", title="Checkout is down", now=NOW - timedelta(minutes=5))
    make_alert(key="b", title="Much earlier", now=NOW - timedelta(hours=5))
    payment = make_payment(order_id="o-1042")
    payment.created_at = NOW - timedelta(minutes=5)
    payment.save()
    held = reserve(make_ticket_type(), now=NOW - timedelta(minutes=5), order_id="o-1043")

    since, until = (NOW - timedelta(minutes=10)).timestamp(), NOW.timestamp()
    page = staff.get(
        reverse("health:interval"), {"since": int(since), "until": int(until)}
    ).content.decode()

    assert "Checkout is down" in page
    assert "Much earlier" not in page
    assert reverse("payments:payment-page", args=[payment.uuid]) in page
    assert "Order o-1042, " in page
    assert reverse("reservations:reservation-page", args=[held.uuid]) in page
    assert "Order o-1043" in page
    assert "4 Mar 2026, 11:50:00 UTC to 4 Mar 2026, 12:00:00 UTC" in page


@pytest.mark.parametrize(
    "query", ["", "since=1", "since=x&until=y", "since=5&until=5", "since=1e300&until=1e301",
              "since=nan&until=nan", "since=0&until=99999999"],
)  # fmt: skip
def test_an_invalid_interval_is_refused(staff: Client, query: str) -> None:
    response = staff.get(reverse("health:interval") + "?" + query)

    assert response.status_code == 400
    assert "seconds since 1970" in response.content.decode()


def test_the_page_shows_one_tab_at_a_time(staff: Client) -> None:
    def cards(query: str) -> str:
        return staff.get(PAGE + query).content.decode()

    assert 'id="widget-alerts-active"' in cards("")
    assert 'id="widget-health-queue"' not in cards("")
    assert 'id="widget-health-queue"' in cards("?tab=platform")
    assert 'id="widget-payments-at-a-glance"' in cards("?tab=business")
    assert 'id="widget-alerts-active"' in cards("?tab=nonsense")
    for query in ("", "?tab=platform", "?wall=1"):
        assert 'id="widget-health-overview"' in cards(query)


def test_a_new_portal_starts_with_the_range_that_has_data(staff: Client) -> None:
    def current() -> str:
        page = staff.get(PAGE).content.decode()
        return page.partition('aria-current="true">')[2].partition("<")[0]

    assert current() == "1 h"
    record_measurements([Gauge("size", 1)], app=make_app(), now=NOW - timedelta(hours=9))
    assert current() == "24 h"


def test_last_week_is_not_mentioned_if_the_portal_is_younger_than_a_week(staff: Client) -> None:
    record_measurements([Gauge("size", 1)], app=make_app(), now=NOW - timedelta(days=3))
    assert "last week" not in staff.get(PAGE).content.decode()

    record_measurements([Gauge("size", 1)], app=make_app(), now=NOW - timedelta(days=8))
    assert "same as last week" in staff.get(PAGE).content.decode()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", ""])
def test_a_deploy_links_only_to_http_addresses(url: str) -> None:
    release = Release.objects.create(app=make_app("shop"), version="2.4.1")
    Deploy.objects.create(
        release=release, environment="live", finished_at=NOW, source="api", url=url
    )

    assert [mark.url for mark in deploy_marks(NOW - WEEK, NOW)] == [""]
