"""Test the selection and order of the problems on the health page, and its statement that there are none."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags
from pytest_django import Settings

from alerts import services
from alerts.extension_points import Severity
from alerts.models import AlertRule, SystemAlert
from alerts.services.defaults import sync_defaults
from health.models import CheckIn, Component, Heartbeat
from health.queries.problems import Problem, list_problems, load_urgent_alerts
from health.services import record_results
from health.services.heartbeats import record_check_in, sweep_heartbeats
from health.verdict import Result, Status
from tests.factories import make_alert, make_app, make_component

pytestmark = pytest.mark.django_db


def fail(name: str, *, status: Status = Status.UNHEALTHY, ago: int = 10, **fields: Any) -> None:
    at = timezone.now() - timedelta(minutes=ago)
    result = Result(status, at, message=f"{name} does not respond")
    record_results([(make_component(name, **fields), [result])], now=at)


def raise_alert(rule: str, title: str, **fields: Any) -> SystemAlert:
    sync_defaults()
    row = AlertRule.objects.get(name=rule)
    return make_alert(title=title, rule=row, alert_type=row.alert_type, **fields)


def problems() -> list[Problem]:
    return list_problems(Component.objects.failing(), load_urgent_alerts())


def verdict(client: Client) -> str:
    url = reverse("health:widget", args=["health.verdict"])
    page = client.get(url, headers={"HX-Request": "true"}).content.decode()
    return " ".join(strip_tags(page).split())


def test_a_stripe_outage_comes_first_and_includes_its_consequences() -> None:
    now = timezone.now()
    for minute in range(20):
        make_alert(title=f"Older {minute}", alert_type="regression", now=now - timedelta(hours=5))
    fail("stripe", title="Stripe")
    fail("payments", title="Payment processing", status=Status.DEGRADED, ago=5)
    raise_alert("payments.stuck", "Payments with an unknown outcome", severity=Severity.HIGH)
    make_alert(title="High error rate: Shop", severity=Severity.CRITICAL)

    found = problems()

    assert [(one.title, one.consequences) for one in found] == [
        ("Stripe down", "Payment processing degraded, Payments with an unknown outcome"),
        ("Regressed errors: 20 alerts", ""),
        ("High error rate: Shop", ""),
    ]
    assert found[0].url == SystemAlert.objects.get(key="health:stripe").get_absolute_url()


def test_an_outage_that_began_long_ago_does_not_hide_a_critical_alert() -> None:
    fail("wiki", title="Wiki", ago=60 * 30)
    make_alert(title="Money without a seat", severity=Severity.CRITICAL)

    assert [one.title for one in problems()] == ["Money without a seat", "Wiki down"]


def test_consequences_are_separate_problems_after_their_cause_has_ended() -> None:
    make_component("stripe", title="Stripe", status=Status.HEALTHY)
    raise_alert("payments.stuck", "Payments with an unknown outcome", severity=Severity.HIGH)

    assert [one.title for one in problems()] == ["Payments with an unknown outcome"]


def test_dependencies_that_are_down_with_the_portals_network_are_one_line() -> None:
    make_alert(key="health:own-network", title="The portal's own network is down")
    for name in ("stripe", "resend"):
        fail(name, title=name.title())

    (problem,) = problems()

    assert problem.title == "The portal's own network is down"
    assert problem.consequences == "Stripe down, Resend down"


def test_three_hundred_alerts_of_one_type_are_one_line_with_their_number(
    admin_client: Client,
) -> None:
    sync_defaults()
    for number in range(300):
        make_alert(title=f"Rate {number}", alert_type="high-error-rate", severity=Severity.HIGH)

    (problem,) = problems()

    assert problem.title == "High error rate: 300 alerts"
    assert problem.url == "/admin/alerts/?type=high-error-rate"
    assert "more problem" not in verdict(admin_client)


def test_hidden_problems_are_counted_completely(admin_client: Client) -> None:
    for number in range(30):
        make_alert(title=f"Problem {number}", alert_type=f"type-{number}", severity=Severity.HIGH)

    assert "and 24 more problems" in verdict(admin_client)


def test_severities_are_counted_separately(admin_client: Client) -> None:
    for severity, count in (("critical", 1), ("high", 3), ("warning", 2), ("medium", 4)):
        for _ in range(count):
            make_alert(severity=Severity(severity))

    url = reverse("health:widget", args=["alerts.active"])
    page = " ".join(strip_tags(admin_client.get(url).content.decode()).split())

    assert "1 critical 3 high 2 warning 4 medium" in page


def test_dismissed_alerts_are_mentioned_instead_of_all_systems_operational(
    admin_client: Client,
) -> None:
    make_component("database", status=Status.HEALTHY, last_at=timezone.now())
    alerts = [make_alert() for _ in range(6)]
    services.dismiss(alerts, user=None, now=timezone.now())

    text = verdict(admin_client)
    assert "No open alerts, 6 dismissed and still firing" in text
    assert "All systems operational" not in text
    url = reverse("health:widget", args=["health.verdict"])
    page = admin_client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert 'href="/admin/alerts/?state=dismissed"' in page
    assert "is-none" in page
    inbox = admin_client.get("/admin/alerts/").content.decode()
    assert inbox.count("No open alerts, 6 dismissed and still firing") == 2
    assert "All systems operational" not in inbox

    services.resolve(SystemAlert.objects.all(), user=None, now=timezone.now())
    assert "All systems operational" in verdict(admin_client)


def test_a_dismissed_alert_of_severity_info_is_not_mentioned(admin_client: Client) -> None:
    make_component("database", status=Status.HEALTHY, last_at=timezone.now())
    services.dismiss([make_alert(severity=Severity.INFO)], user=None, now=timezone.now())

    assert "All systems operational" in verdict(admin_client)


def test_alerts_of_lower_severity_are_named(admin_client: Client) -> None:
    make_component("database", status=Status.HEALTHY, last_at=timezone.now())
    make_alert(severity=Severity.MEDIUM)
    assert "No urgent alerts, 1 open alert of lower severity" in verdict(admin_client)

    services.dismiss([make_alert()], user=None, now=timezone.now())
    assert (
        "No urgent alerts, 1 open alert of lower severity, 1 dismissed and still firing"
        in verdict(admin_client)
    )


@pytest.mark.parametrize("number_of_runs", [0, 3])
def test_a_job_that_did_not_run_is_reported_as_a_missed_check_in(number_of_runs: int) -> None:
    now = timezone.now()
    app = make_app("shop")
    config = {"schedule": {"type": "interval", "value": 10, "unit": "minute"}}
    start = now - timedelta(hours=2)
    for run in range(number_of_runs + 1):
        at = start + timedelta(minutes=run)
        record_check_in(app=app, slug="import", status="ok", now=at, monitor_config=config)
    sweep_heartbeats(now=now)

    assert [one.title for one in problems()] == ["Shop: import missed a check-in"]
    assert SystemAlert.objects.get().title == "Shop: import missed a check-in"


@pytest.mark.parametrize(
    ("status", "title"), [("error", "failed"), ("in_progress", "ran too long")]
)
def test_a_job_that_failed_or_hangs_is_reported_as_such(status: str, title: str) -> None:
    now = timezone.now()
    app = make_app("shop")
    record_check_in(app=app, slug="import", status="ok", now=now - timedelta(hours=3))
    record_check_in(app=app, slug="import", status=status, now=now - timedelta(hours=2))
    sweep_heartbeats(now=now)

    assert Heartbeat.objects.get().status == Status.UNHEALTHY, CheckIn.objects.values()
    assert SystemAlert.objects.get().title == f"Shop: import {title}"


def test_the_payments_panel_and_the_dependencies_show_an_outage_of_stripe(
    admin_client: Client, settings: Settings
) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_1"
    fail("stripe", title="Stripe")

    for name in ("payments.at_a_glance", "opsportal.dependencies"):
        page = admin_client.get(reverse("health:widget", args=[name])).content.decode()
        card = page[page.index("card__head") :].split("</section>")[0]
        assert "Working" not in card.split("card__body")[0]
        assert "stripe does not respond" in card
