"""Test rules that staff create for recorded metrics, and the preview in the form of a rule."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from alerts import services
from alerts.evaluation import Limits
from alerts.extension_points import Severity
from alerts.models import AlertRule, AlertType, RuleReading, SystemAlert
from alerts.tuning import replay
from core.clients.models import ClientApp
from core.lib.forms import spell_span
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


def test_a_rule_can_watch_the_duration_of_a_function(only_test_rules: None) -> None:
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
    assert "Enter a number from 1 to the number of evaluations." in answer.content.decode()


def history(rule: AlertRule, values: list[int]) -> None:
    start = timezone.now().replace(second=0, microsecond=0) - len(values) * MINUTE
    RuleReading.objects.bulk_create(
        RuleReading(rule=rule, key=f"rule:{rule.name}", at=start + n * MINUTE, value=value)
        for n, value in enumerate(values)
    )


def test_the_preview_shows_how_often_the_rule_would_have_opened_an_alert(
    owner: Client, gauge: Gauge
) -> None:
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


ADD = "/admin/alerts/alertrule/add/"
QUEUE = {"reader": "gauge: latest level, by app", "selector": "gate.queue", "threshold": "50"}


def record_queue(level: float, *, ago: timedelta = timedelta(0)) -> None:
    app = ClientApp.objects.filter(slug="scanner").first() or make_app("scanner")
    now = timezone.now() - ago
    record_measurements([Level(name="gate.queue", value=level)], app=app, now=now)


def test_a_metric_and_a_threshold_are_enough_for_a_rule(owner: Client) -> None:
    answer = owner.post(ADD, QUEUE | {"is_enabled": "on"})
    assert answer.status_code == 302, answer.context["errors"]

    rule = AlertRule.objects.get(reader=QUEUE["reader"])
    assert (rule.name, rule.summary) == ("custom.gate_queue", "gate.queue above 50")
    assert (rule.window, rule.severity) == (timedelta(minutes=15), "warning")
    assert rule.alert_type == "custom-rule"
    assert (rule.cooldown, rule.reopen_window) == (timedelta(0), timedelta(minutes=15))
    kinds = AlertType.objects.get(slug="custom-rule").channels.values_list("kind", flat=True)
    assert set(kinds) <= {"email"}

    owner.post(ADD, QUEUE | {"threshold": "70", "unit": "people", "below": "on"})
    second = AlertRule.objects.get(name="custom.gate_queue_2")
    assert second.summary == "gate.queue at or below 70 people"


def test_the_form_of_a_new_rule_starts_with_defaults(owner: Client) -> None:
    page = owner.get(ADD).content.decode()

    assert 'name="window" value="15 min"' in page
    assert '<option value="warning" selected>' in page
    assert '<option value="custom-rule" selected>' in page
    assert "Choose what to measure" in page


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("1 h 30 min", timedelta(hours=1, minutes=30)),
        ("90s", timedelta(seconds=90)),
        ("2 days", timedelta(days=2)),
        ("1.5 h", timedelta(minutes=90)),
        ("00:20:00", timedelta(minutes=20)),
    ],
)
def test_durations_are_written_with_their_unit(owner: Client, text: str, window: timedelta) -> None:
    owner.post(ADD, QUEUE | {"window": text})

    rule = AlertRule.objects.get(reader=QUEUE["reader"])
    assert rule.window == window
    page = owner.get(f"/admin/alerts/alertrule/{rule.pk}/change/").content.decode()
    assert f'name="window" value="{spell_span(window)}"' in page


@pytest.mark.parametrize("text", ["15", "soon", "5 parsecs", "1 h or so", "9" * 30 + " d"])
def test_an_unclear_duration_is_rejected(owner: Client, text: str) -> None:
    answer = owner.post(ADD, QUEUE | {"window": text})

    assert "Enter a duration with its unit, such as 15 min" in answer.content.decode()
    assert not AlertRule.objects.filter(reader=QUEUE["reader"]).exists()


def test_a_rule_without_a_metric_is_rejected(owner: Client) -> None:
    answer = owner.post(ADD, {"threshold": "5"})

    assert set(answer.context["errors"].data[0]) or answer.status_code == 200
    page = answer.content.decode()
    assert page.count("This field is required.") == 2


def test_recorded_metrics_are_offered_with_their_latest_values(owner: Client) -> None:
    record_queue(80)
    for number in range(25):
        record_measurements(
            [Level(name=f"stock.{number:02}", value=1)], app=make_app(), now=timezone.now()
        )
    url = "/admin/alerts/rule/metrics/"

    page = owner.get(url, {"reader": QUEUE["reader"], "selector": "QUEUE"}).content.decode()
    assert 'data-value="gate.queue"' in page
    assert '<span class="quiet">80</span>' in page
    assert "stock." not in page

    every = owner.get(url, {"reader": QUEUE["reader"], "window": "1 h"}).content.decode()
    assert "and 6 more" in every
    none = owner.get(url, {"reader": QUEUE["reader"], "selector": "x<y"}).content.decode()
    assert "No recorded metric of this kind has this text in its name." in none
    counters = owner.get(url, {"reader": "counter: sum over the window"}).content.decode()
    assert "No metric of this kind has been recorded yet." in counters
    assert owner.get(url, {"reader": "unknown"}).status_code == 200


def test_a_new_rule_has_a_live_preview(owner: Client) -> None:
    for hours in (20, 8, 2):
        record_queue(80, ago=timedelta(hours=hours))
    record_queue(10, ago=timedelta(hours=1))
    record_queue(30)
    url = "/admin/alerts/rule/preview/"

    page = owner.get(url, QUEUE | {"unit": "people", "window": "45 min"}).content.decode()
    assert "<strong>30 people</strong> (Scanner)" in page
    assert "would have fired 3 times" in page
    assert "Not breached" in page
    assert "resolves at" in page

    lower = owner.get(url, QUEUE | {"threshold": "20"}).content.decode()
    assert "Breached" in lower.partition("Not breached")[0]
    wrong = owner.get(url, QUEUE | {"window": "soon"}).content.decode()
    assert "These limits are invalid: Enter a duration" in wrong
    assert "has been recorded yet" in owner.get(url, QUEUE | {"selector": "typo"}).content.decode()
    assert "Choose a metric and a threshold" in owner.get(url).content.decode()
    assert owner.get(url, QUEUE | {"reader": "unknown"}).status_code == 200


def test_previews_of_rules_need_a_permission(client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("nobody", is_staff=True))

    for url in ("/admin/alerts/rule/preview/", "/admin/alerts/rule/metrics/"):
        assert client.get(url).status_code == 403


def test_a_percentile_is_judged_for_each_app(only_test_rules: None) -> None:
    AlertRule.objects.create(
        name="custom.pay",
        summary="Paying is slow",
        unit="ms",
        threshold=1000,
        window=timedelta(hours=1),
        severity="high",
        alert_type="slow-performance",
        reader="duration: 95th percentile, ms",
        selector="pay",
    )
    now = timezone.now()
    fast, slow = make_app("fast"), make_app("slow")
    record_measurements([Performance("pay", 20, count=10_000)], app=fast, now=now)
    record_measurements([Performance("pay", 4000, count=10)], app=slow, now=now)

    services.evaluate_rules(now=now)

    assert SystemAlert.objects.get().title == "Paying is slow: Slow"
