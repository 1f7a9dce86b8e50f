"""Test the weekly search for the noisiest rules, its results on a page and in the report, and its suggestions."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from alerts import services
from alerts.extension_points import report_sections
from alerts.models import AlertRule, RuleAdvice, RuleReading, SystemAlert
from alerts.services import advice, cleanup
from core.accounts.models import AuditEvent
from core.accounts.services.roles import Role, ensure_roles
from tests.alerts.conftest import MINUTE, NOON, Gauge

pytestmark = pytest.mark.django_db
PAGE = "/admin/alerts/noise/"


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


@pytest.fixture
def noisy(gauge: Gauge) -> AlertRule:
    """Let the gauge open five alerts, one of them with a much higher peak, and return the gauge's rule."""
    gauge.row(reopen_window=timedelta(0), severity="high")
    for number, peak in enumerate((6, 7, 30, 6, 8)):
        start = NOON - timedelta(days=2) + number * timedelta(hours=1)
        for minute, value in enumerate((0, peak, 0, 0)):
            gauge.evaluate(value, now=start + minute * MINUTE)
    assert SystemAlert.objects.count() == 5
    return AlertRule.objects.get(name=gauge.name)


def test_the_search_suggests_a_threshold_and_shows_its_past_effect(
    noisy: AlertRule,
) -> None:
    [found] = advice.find_noisy_rules(now=NOON)

    assert (found.rule, found.rank, found.alert_count, found.acknowledged_count) == (noisy, 1, 5, 0)
    assert (found.threshold, found.fired_count, found.firing_minutes) == (5, 5, 5)
    assert (found.suggested_threshold, found.suggested_fired_count) == (8, 1)
    assert found.suggested_firing_minutes == 1


def test_an_acknowledged_alert_limits_the_suggestion(noisy: AlertRule) -> None:
    alert = SystemAlert.objects.filter(rule=noisy).order_by("opened_at")[1]
    SystemAlert.objects.filter(pk=alert.pk).update(acknowledged_at=alert.opened_at)

    [found] = advice.find_noisy_rules(now=NOON)

    assert found.acknowledged_count == 1
    assert (found.suggested_threshold, found.suggested_fired_count) == (6, 3)


def test_quiet_disabled_and_old_rules_are_not_listed(noisy: AlertRule) -> None:
    assert advice.find_noisy_rules(now=NOON + timedelta(days=8)) == []
    AlertRule.objects.update(is_enabled=False)
    assert advice.find_noisy_rules(now=NOON) == []


def test_a_search_replaces_the_list(noisy: AlertRule) -> None:
    advice.find_noisy_rules(now=NOON)
    advice.find_noisy_rules(now=NOON)
    assert RuleAdvice.objects.count() == 1
    advice.find_noisy_rules(now=NOON + timedelta(days=8))
    assert not RuleAdvice.objects.exists()


def test_a_rule_with_too_many_readings_is_listed_without_a_suggestion(
    noisy: AlertRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "MAX_READINGS", 3)
    [found] = advice.find_noisy_rules(now=NOON)
    assert (found.alert_count, found.suggested_threshold) == (5, None)


def test_the_page_shows_the_preview_and_uses_the_suggestion(
    owner: Client, noisy: AlertRule
) -> None:
    assert "No noisy rules" in owner.get(PAGE).content.decode()
    advice.find_noisy_rules(now=NOON)

    page = " ".join(owner.get(PAGE).content.decode().split())
    assert "5 alerts, 0 acknowledged, 0 messages." in page
    assert "&gt; 5 errors (now)</th><td>5 alerts, active for 5 min</td>" in page
    assert "&gt; 8 errors (suggested)</th><td>1 alert, active for 1 min</td>" in page

    owner.post(f"{PAGE}{noisy.pk}/use/")

    noisy.refresh_from_db()
    assert noisy.threshold == 8
    assert "No noisy rules" in owner.get(PAGE).content.decode()
    assert AuditEvent.objects.filter(detail__contains="8 errors, as suggested").exists()


def test_a_suggestion_for_a_rule_that_was_changed_since_is_not_used(
    owner: Client, noisy: AlertRule
) -> None:
    advice.find_noisy_rules(now=NOON)
    AlertRule.objects.filter(pk=noisy.pk).update(threshold=6)

    assert "The threshold was changed after this search." in owner.get(PAGE).content.decode()
    page = owner.post(f"{PAGE}{noisy.pk}/use/", follow=True).content.decode()

    assert "The rule was changed in the meantime. Search again." in page
    noisy.refresh_from_db()
    assert noisy.threshold == 6


def test_only_people_who_may_change_rules_can_use_a_suggestion(
    client: Client, noisy: AlertRule
) -> None:
    ensure_roles()
    reader = get_user_model().objects.create_user("reader", is_staff=True)
    reader.groups.add(reader.groups.model.objects.get(name=Role.READ_ONLY))
    client.force_login(reader)
    advice.find_noisy_rules(now=NOON)

    assert client.get(PAGE).status_code == 200
    assert "Use &gt; 8" not in client.get(PAGE).content.decode()
    assert client.post(f"{PAGE}{noisy.pk}/use/").status_code == 403
    assert client.post(f"{PAGE}search/").status_code == 403


def test_the_weekly_report_lists_noisy_rules(noisy: AlertRule) -> None:
    advice.find_noisy_rules(now=NOON)
    section = report_sections.get("noise")

    [fact] = section.facts(NOON - timedelta(days=7), NOON + timedelta(hours=1))
    assert fact.label == "Test gauge"
    assert fact.value.endswith(
        "With > 8 errors instead of > 5 errors: 1 alert, active for 1 min in the last 2 days"
    )
    assert section.facts(NOON + timedelta(days=1), NOON + timedelta(days=8)) == []


def test_readings_of_rules_with_alerts_are_kept_for_30_days(noisy: AlertRule, gauge: Gauge) -> None:
    quiet = AlertRule.objects.create(
        name="quiet", summary="Quiet", threshold=1, window=MINUTE, severity="high"
    )

    def add(rule: AlertRule, days: int) -> datetime:
        at = NOON - timedelta(days=days)
        RuleReading.objects.create(rule=rule, key="old", at=at, value=1)
        return at

    kept = [add(noisy, 7), add(noisy, 30), add(quiet, 7)]
    add(noisy, 32)
    add(quiet, 9)

    cleanup.clean_up(now=NOON)

    rows = RuleReading.objects.filter(key="old").order_by("pk")
    assert list(rows.values_list("at", flat=True)) == kept


def test_the_preview_of_the_form_still_counts_seven_days(owner: Client, noisy: AlertRule) -> None:
    assert services.evaluate_rules(now=NOON)
    page = owner.get(f"/admin/alerts/rule/{noisy.pk}/preview/").content.decode()
    assert "Preview for the last 7 days" in page
