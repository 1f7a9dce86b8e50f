"""Rules that staff create on recorded metrics, and the preview in the form of a rule."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from alerts import services
from alerts.evaluation import Limits
from alerts.extension_points import Severity
from alerts.models import AlertRule, RuleReading, SystemAlert
from alerts.queries.rule_preview import replay
from health.services import record_measurements
from health.signals import Gauge as Level
from health.signals import Performance
from tests.alerts.conftest import MINUTE, NOON, Gauge
from tests.factories import make_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


FORM = {
    "name": "custom.queue_length",
    "summary": "Waiting at the gate",
    "reader": "gauge: latest level, by app",
    "selector": "gate.queue",
    "unit": "people",
    "threshold": "50",
    "window": "00:15:00",
    "breaches_needed": "1",
    "out_of": "1",
    "clear_after": "1",
    "min_samples": "0",
    "no_data": "ok",
    "severity": "high",
    "alert_type": "high-error-rate",
    "cooldown": "00:00:00",
    "reopen_window": "00:15:00",
    "cadence": "minute",
    "is_enabled": "on",
}


def test_staff_create_a_rule_on_a_recorded_gauge(owner: Client, only_test_rules: None) -> None:
    answer = owner.post("/admin/alerts/alertrule/add/", FORM)
    assert answer.status_code == 302, answer.context["errors"]
    app = make_app(name="Scanner")
    now = timezone.now()

    record_measurements([Level(name="gate.queue", value=80)], app=app, now=now)
    services.evaluate_rules(now=now)

    alert = SystemAlert.objects.get()
    assert (alert.title, alert.value) == ("Waiting at the gate: Scanner", 80)
    record_measurements([Level(name="gate.queue", value=3)], app=app, now=now + MINUTE)
    services.evaluate_rules(now=now + MINUTE)
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_a_rule_on_the_duration_of_a_function(only_test_rules: None) -> None:
    AlertRule.objects.create(
        name="custom.refund_slow",
        summary="Refunds take long",
        unit="ms",
        threshold=1000,
        window=timedelta(hours=1),
        severity="high",
        alert_type="slow-performance",
        reader="duration: mean, ms",
        selector="refund",
    )
    now = timezone.now()
    record_measurements([Performance(name="refund", duration_ms=3000)], app=make_app(), now=now)

    services.evaluate_rules(now=now)

    assert SystemAlert.objects.get().value == pytest.approx(3000)


def test_invalid_limits_are_rejected(owner: Client) -> None:
    answer = owner.post(
        "/admin/alerts/alertrule/add/", {**FORM, "breaches_needed": "3", "out_of": "2"}
    )

    assert answer.status_code == 200
    assert "cannot exceed &quot;out of&quot;." in answer.content.decode()


def history(rule: AlertRule, values: list[int]) -> None:
    start = timezone.now().replace(second=0, microsecond=0) - len(values) * MINUTE
    RuleReading.objects.bulk_create(
        RuleReading(rule=rule, key=f"rule:{rule.name}", at=start + n * MINUTE, value=value)
        for n, value in enumerate(values)
    )


def test_the_preview_shows_how_often_the_rule_would_have_fired(owner: Client, gauge: Gauge) -> None:
    rule = gauge.row()
    history(rule, [0, 9, 9, 0] * 3 + [0] * 30 + [9, 0])
    url = f"/admin/alerts/rule/{rule.pk}/preview/"

    assert "would have fired 4 times" in owner.get(url).content.decode()
    changed = {name: FORM[name] for name in FORM if name not in ("name", "summary", "reader")}
    higher = owner.get(url, {**changed, "threshold": "10"}).content.decode()
    assert "would have fired 0 times" in higher
    slower = owner.get(url, {**changed, "threshold": "5", "breaches_needed": "2", "out_of": "2"})
    assert "would have fired 3 times" in slower.content.decode()
    wrong = owner.get(url, {**changed, "threshold": "many"})
    assert "These limits are invalid" in wrong.content.decode()


def test_the_form_loads_the_preview_and_rules_from_code_cannot_be_deleted(
    owner: Client, gauge: Gauge
) -> None:
    rule = gauge.row()

    page = owner.get(f"/admin/alerts/alertrule/{rule.pk}/change/").content.decode()

    assert f'hx-get="/admin/alerts/rule/{rule.pk}/preview/"' in page
    assert owner.get(f"/admin/alerts/alertrule/{rule.pk}/delete/").status_code == 403


def test_a_replay_matches_the_actual_evaluation(gauge: Gauge) -> None:
    values = [0, 6, 5, 4, 6, 0, 0, 9] + [0] * 20 + [6]
    for minute, value in enumerate(values):
        gauge.evaluate(value, now=NOON + minute * MINUTE)

    replayed = replay(
        RuleReading.objects.order_by("key", "at").values_list("key", "at", "value", "samples"),
        Limits(5, Severity.CRITICAL),
    )

    opened = SystemAlert.objects.get(episode=1).events
    assert replayed.fired_count == opened.filter(kind__in=["opened", "reopened"]).count() + 1
