"""Test the table of routes in the admin, and the channels and alert types of a new portal."""

import re
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from alerts import services
from alerts.extension_points import Severity
from alerts.models import AlertType, Channel
from alerts.services.defaults import sync_channels
from tests.alerts.conftest import NOON, deliver
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


def test_the_table_includes_types_that_no_alert_has_used_yet(owner: Client) -> None:
    page = owner.get("/admin/alerts/routing/").content.decode()

    for name in (
        "Monitor down",
        "Missed heartbeat",
        "Database down",
        "Dead webhook",
        "Regressed errors",
    ):
        assert name in page
    assert "Every type, including new ones" in page


def test_the_table_saves_only_changed_routes(owner: Client, slack: FakeHTTP) -> None:
    channel = Channel.objects.get(name="slack")
    added, removed, untouched = AlertType.objects.order_by("pk")[:3]
    removed.channels.add(channel)
    untouched.channels.add(channel)
    untouched_route = f"{untouched.pk}-{channel.pk}"
    removed_route = f"{removed.pk}-{channel.pk}"
    # Another user removed the channel after the page was loaded.
    untouched.channels.remove(channel)

    owner.post(
        "/admin/alerts/routing/",
        {
            "before": [removed_route, untouched_route],
            "route": [f"{added.pk}-{channel.pk}", untouched_route],
        },
    )

    assert channel in added.channels.all()
    assert channel not in removed.channels.all()
    assert channel not in untouched.channels.all()


def test_a_channel_with_every_type_also_gets_new_types(owner: Client, slack: FakeHTTP) -> None:
    channel = Channel.objects.get(name="slack")
    owner.post("/admin/alerts/routing/", {"route": [f"0-{channel.pk}"]})

    services.report_problem(
        key="x",
        alert_type="never-seen",
        title="New kind",
        message="",
        severity=Severity.MEDIUM,
        source="tests",
        now=NOON,
    )
    deliver(NOON)

    assert [request.json()["text"] for request in slack.requests] == ["🔸 New kind"]


@pytest.mark.parametrize("value", ["x", "1", "1-", "-1", "1-x", f"{10**30}-1", "99999999-1"])
def test_the_table_ignores_invalid_routes(owner: Client, value: str) -> None:
    answer = owner.post("/admin/alerts/routing/", {"route": [value]}, follow=True)

    assert "No route was changed." in answer.content.decode()


def test_only_staff_who_may_change_types_can_change_routes(client: Client) -> None:
    reader = get_user_model().objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_alerttype"))
    client.force_login(reader)

    assert client.get("/admin/alerts/routing/").status_code == 200
    assert client.post("/admin/alerts/routing/", {"route": ["0-1"]}).status_code == 403


def test_only_channels_that_the_settings_configure_are_created(settings: Settings) -> None:
    Channel.objects.all().delete()
    sync_channels()
    assert not Channel.objects.exists()

    settings.ALERT_EMAILS = ["ops@example.com"]
    sync_channels()

    email = Channel.objects.get()
    assert (email.name, email.uses_environment) == ("email", True)
    assert email in AlertType.objects.get(slug="monitor-down").channels.all()
    assert email in AlertType.objects.get(slug="database-down").steps.get().channels.all()


def test_every_type_that_code_reports_is_in_the_table_from_the_start() -> None:
    root = Path(__file__).resolve().parent.parent.parent
    reported = {
        slug
        for app in ("alerts", "errors", "health", "payments", "reservations")
        for path in (root / app).rglob("*.py")
        for slug in re.findall(r'alert_type="([a-z-]+)"', path.read_text())
    }

    assert len(reported) > 10
    assert reported <= set(AlertType.objects.values_list("slug", flat=True))
