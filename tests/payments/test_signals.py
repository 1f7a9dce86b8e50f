"""Test the alert rules, health check, metrics and dashboard widget of payments."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts import services as alerts
from alerts.models import SystemAlert
from alerts.services.defaults import sync_rules
from health.extension_points import Degraded, NotConfigured
from payments.hooks.health_checks import payments as check
from payments.hooks.metrics import totals, trouble
from payments.models import Payment
from payments.queries import stats
from tests.factories import make_payment, make_webhook_event
from tests.payments.stripe_double import StripeDouble

pytestmark = pytest.mark.django_db


def ago(minutes: float) -> Any:
    return timezone.now() - timedelta(minutes=minutes)


def stuck_payment(**fields: Any) -> Payment:
    given = {"state": "started", "status": "asked", "intent_id": None, "now": ago(10), **fields}
    return make_payment(**given)


def evaluate(name: str) -> None:
    sync_rules()
    alerts.evaluate_rule(name, now=timezone.now())


def test_stuck_payments_raise_an_alert_with_their_amount() -> None:
    stuck_payment()
    make_payment()

    evaluate("payments.stuck")

    alert = SystemAlert.objects.get()
    assert (alert.severity, alert.alert_type) == ("high", "payments-stuck")
    assert "25.00 EUR may or may not have been charged" in alert.message


def test_a_recent_payment_is_not_stuck() -> None:
    stuck_payment(now=ago(4))

    evaluate("payments.stuck")

    assert not SystemAlert.objects.exists()


def test_events_that_wait_too_long_raise_an_alert() -> None:
    make_webhook_event(received_at=ago(11))

    evaluate("payments.webhook_lag")

    assert SystemAlert.objects.get().alert_type == "webhooks-late"


def test_the_health_check_names_the_problem(stripe: StripeDouble) -> None:
    assert check() == "no stuck payments or events"

    stuck_payment()
    make_webhook_event(state="dead")
    with pytest.raises(Degraded, match="1 stuck payments, 0 late and 1 failed events"):
        check()


def test_the_health_check_is_not_configured_without_stripe() -> None:
    with pytest.raises(NotConfigured):
        check()


def test_metrics_count_attempts_money_and_duplicates() -> None:
    make_payment(amount=2500, replay_count=2)
    make_payment(amount=500, currency="JPY", conflict_count=1)
    stuck_payment()

    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in (*totals(), *trouble())
        for sample in family.samples
    }

    assert samples["opsportal_payments_total", "succeeded"] == 2
    assert samples["opsportal_payments_received_total", "JPY"] == 500
    assert samples["opsportal_payment_duplicates_prevented_total",] == 3
    assert samples["opsportal_payments_stuck",] == 1


def test_prevented_duplicates_are_counted_with_their_amounts() -> None:
    make_payment(amount=2500, replay_count=2, conflict_count=1)
    make_payment(amount=500, currency="JPY", replay_count=1)
    make_payment(amount=9900)

    prevented = stats.count_attempts().prevented

    assert (prevented.count, prevented.amounts) == (4, {"EUR": 7500, "JPY": 500})


def test_the_widget_shows_amounts_at_risk_and_prevented() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    stuck_payment(now=ago(20))
    make_payment(amount=1000, replay_count=3)

    shown = client.get(reverse("health:widget", args=["payments.at_a_glance"]))

    assert shown.status_code == 200
    for expected in ("25.00 EUR", "30.00 EUR", "not charged again", "at risk"):
        assert expected in shown.content.decode()
