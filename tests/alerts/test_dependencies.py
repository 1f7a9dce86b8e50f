"""Test alerts that are held back while the alert about their cause is active."""

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from alerts import services
from alerts.models import Dependency, Notification, Silence, SystemAlert
from tests.alerts.conftest import MINUTE, NOON
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on_database(slack: FakeHTTP) -> Dependency:
    return Dependency.objects.create(
        comment="Pages need the database",
        matchers={"key": "page-*"},
        cause={"key": "health:database"},
    )


def titles() -> list[str]:
    rows = Notification.objects.exclude(kind="resolved").order_by("pk")
    return [row.payload["title"] for row in rows if row.channel.kind == "slack"]


def test_a_consequence_is_held_back_and_is_sent_if_it_outlasts_its_cause() -> None:
    cause = make_alert(key="health:database", title="Database", now=NOON)
    page = make_alert(key="page-1", title="Page", now=NOON)
    make_alert(key="other", title="Other", now=NOON)

    for minute in range(60):
        services.follow_up(now=NOON + minute * MINUTE)
    assert not [title for title in titles() if "Page" in title]
    text = f"consequence of #{cause.pk}: Database"
    assert page.events.filter(kind="held_back", text=text).count() == 1

    cause.refresh_from_db()
    services.resolve([cause], user=None, now=NOON + 60 * MINUTE)
    services.follow_up(now=NOON + 60 * MINUTE)
    assert "Page" in titles()


def test_an_acknowledged_cause_still_counts_and_a_disabled_dependency_does_not() -> None:
    cause = make_alert(key="health:database", title="Database", now=NOON)
    services.acknowledge([cause], user=None, now=NOON)
    make_alert(key="page-1", title="Page", now=NOON)
    assert "Page" not in titles()

    Dependency.objects.update(is_enabled=False)
    services.follow_up(now=NOON + MINUTE)
    assert "Page" in titles()


def test_only_one_of_two_alerts_that_depend_on_each_other_is_sent() -> None:
    Dependency.objects.create(
        comment="and back", matchers={"key": "health:database"}, cause={"key": "page-*"}
    )
    make_alert(key="page-1", title="Page", now=NOON)
    make_alert(key="health:database", title="Database", now=NOON)

    services.follow_up(now=NOON + MINUTE)

    assert titles() == ["Page"]


def test_a_silenced_cause_holds_back_its_consequences() -> None:
    Silence.objects.create(
        comment="move",
        matchers={"key": "health:*"},
        starts_at=NOON - MINUTE,
        ends_at=NOON + 60 * MINUTE,
    )
    make_alert(key="health:database", title="Database", now=NOON)
    make_alert(key="page-1", title="Page", now=NOON)

    assert titles() == []


def test_a_cause_without_a_sent_notification_holds_back_no_consequence() -> None:
    cause = make_alert(key="health:database", title="Database", now=NOON)
    SystemAlert.objects.filter(pk=cause.pk).update(is_announced=False)

    make_alert(key="page-1", title="Page", now=NOON)

    assert "Page" in titles()


def test_a_dependency_needs_a_cause(admin_client: Client) -> None:
    form = {"comment": "x", "matchers_rule": "a.*", "is_enabled": "on"}
    refused = admin_client.post(reverse("admin:alerts_dependency_add"), form)
    assert "Fill in at least one field of the cause." in refused.content.decode()
    saved = admin_client.post(reverse("admin:alerts_dependency_add"), {**form, "cause_key": "b"})
    assert saved.status_code == 302
    assert Dependency.objects.get(comment="x").cause == {"key": "b"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Dependency.objects.create(comment="y", cause={})
