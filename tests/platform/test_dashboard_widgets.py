"""Test the dashboard widgets and metrics of the portal itself."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.lib.outbound import breaker
from core.limits.models import BlockedCall, Tier
from health.extension_points import metrics

pytestmark = pytest.mark.django_db


def shown(client: Client, name: str) -> str:
    response = client.get(reverse("health:widget", args=[name]), headers={"HX-Request": "true"})
    assert response.status_code == 200
    page = response.content.decode()
    assert "could not" not in page.lower()
    return page


def figures(name: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for metric in metrics.get(name)()
        for sample in metric.samples
    }


def test_an_open_breaker_is_shown_and_exported(admin_client: Client) -> None:
    breaker.reset_all()
    for _ in range(5):
        breaker.breaker_for("slack").record_failure(probe=False)
    breaker.breaker_for("sms")

    page = shown(admin_client, "opsportal.dependencies")
    assert "slack" in page
    assert "Calls paused" in page
    assert figures("opsportal.breakers")["opsportal_breaker_state", "slack"] == 2
    assert figures("opsportal.breakers")["opsportal_breaker_state", "sms"] == 0
    breaker.reset_all()


def test_rejected_requests_are_shown_and_exported(admin_client: Client) -> None:
    now = timezone.now()
    for subject, count in (("app:shop", 7), ("address:3f9a", 5)):
        BlockedCall.objects.create(
            minute=now.replace(second=0, microsecond=0),
            tier=Tier.READ,
            subject=subject,
            path="/x",
            count=count,
        )

    page = shown(admin_client, "opsportal.blocked_calls")
    assert ">12<" in page
    assert "app:shop" in page
    assert figures("opsportal.rate_limits")["opsportal_rate_limit_blocked_calls", "read"] == 12


def test_widgets_and_metrics_work_without_data(admin_client: Client) -> None:
    breaker.reset_all()
    assert "No calls yet" in shown(admin_client, "opsportal.dependencies")
    assert ">0<" in shown(admin_client, "opsportal.blocked_calls")
    assert ("opsportal_self_monitoring_dropped", "errors") in figures("opsportal.self_monitoring")
