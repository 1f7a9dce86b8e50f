"""Test the error rate: the share of failed requests among all requests of an app in an environment."""

from datetime import UTC, datetime, timedelta

import pytest

from alerts.models import SystemAlert
from alerts.services import evaluate_rule
from core.clients.models import ClientApp
from errors.models import MinuteCount, Severity, minute_of
from health.services import record_measurements
from health.signals import Performance
from tests.factories import make_app

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)


def serve(app: ClientApp, *, ok: int = 0, failed: int = 0, environment: str = "") -> None:
    outcomes = [(True, ok), (False, failed)]
    record_measurements(
        [
            Performance("GET /", 20, "request", outcome, count, environment=environment)
            for outcome, count in outcomes
            if count
        ],
        app=app,
        now=NOON,
    )


def serve_sample(app: ClientApp, *, ok: int, failed: int, weight: int) -> None:
    """Record `ok` and `failed` requests that an SDK measured with the sample rate 1 / `weight`."""
    record_measurements(
        [
            *[Performance("GET /", 20, "request", True, weight=weight)] * ok,
            *[Performance("GET /", 20, "request", False, weight=weight)] * failed,
        ],
        app=app,
        now=NOON,
    )


def report_errors(app: ClientApp, count: int) -> None:
    MinuteCount.objects.create(
        minute=minute_of(NOON), app=app, severity=Severity.CRITICAL, count=count
    )


def evaluate() -> list[tuple[str, str]]:
    evaluate_rule("errors.rate", now=NOON + timedelta(minutes=1))
    return list(SystemAlert.objects.order_by("title").values_list("title", "message"))


def test_errors_of_one_app_are_not_divided_by_the_requests_of_another() -> None:
    serve(make_app(ClientApp.PORTAL_SLUG), ok=200)
    report_errors(make_app("shop"), 4)

    assert evaluate() == []


def test_an_app_that_reports_errors_but_no_requests_has_no_rate() -> None:
    report_errors(make_app("shop"), 100_000)

    assert evaluate() == []


def test_a_burst_of_errors_in_one_request_is_at_most_one_failed_request() -> None:
    app = make_app("shop")
    serve(app, ok=999, failed=1)
    report_errors(app, 23_580)

    assert evaluate() == []


def test_too_few_requests_have_no_rate() -> None:
    serve(make_app("shop"), ok=20, failed=79)
    assert evaluate() == []

    serve(make_app("club"), ok=21, failed=79)
    assert evaluate() == [("High error rate: Club", "Club: 79 of 100 requests failed, 79.0 %")]


def test_each_app_has_one_alert() -> None:
    for slug in ("club", "shop"):
        serve(make_app(slug), ok=900, failed=100)
    serve(make_app("quiet"), ok=1_000_000)

    assert [title for title, _ in evaluate()] == ["High error rate: Club", "High error rate: Shop"]


def test_failures_of_staging_are_not_divided_by_requests_of_production() -> None:
    app = make_app("shop")
    serve(app, ok=100_000, environment="production")
    serve(app, ok=100, failed=100, environment="staging")
    serve(app, failed=5, environment="laptop")

    assert evaluate() == [
        ("High error rate: Shop", "Shop (staging): 100 of 200 requests failed, 50.0 %")
    ]


def test_the_alert_resolves_when_the_rate_of_its_own_app_is_low() -> None:
    app = make_app("shop")
    serve(app, ok=900, failed=100)
    evaluate()
    serve(app, ok=9_000)

    evaluate_rule("errors.rate", now=NOON + timedelta(minutes=3))

    alert = SystemAlert.objects.get()
    assert (alert.state, alert.value) == ("resolved", 1)


def test_a_failed_request_in_a_sample_is_not_extrapolated_to_a_hundred_failed_requests() -> None:
    serve_sample(make_app("shop"), ok=0, failed=1, weight=100)

    assert evaluate() == []


def test_a_sample_is_extrapolated_for_failed_and_all_requests_alike() -> None:
    serve_sample(make_app("shop"), ok=90, failed=10, weight=20)

    assert evaluate() == [
        (
            "High error rate: Shop",
            "Shop: about 200 of 2,000 requests failed, 10.0 % (estimated from 100 sampled ones)",
        )
    ]


def test_each_request_counts_by_its_own_sample_rate() -> None:
    app = make_app("shop")
    serve_sample(app, ok=100, failed=0, weight=100)
    serve_sample(app, ok=0, failed=100, weight=1)

    assert evaluate() == []
