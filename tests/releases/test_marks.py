"""Test that every chart over time marks the deploys."""

import json
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.models import AlertRule, RuleReading
from alerts.services.defaults import sync_rules
from core.clients.models import ClientApp
from core.releases.models import Deploy
from core.releases.services import record_deploy
from health.services import record_gauges
from tests.errors.stored import make_error
from tests.factories import make_alert, make_app, make_event, make_ticket_type
from tests.impact.support import reserve

pytestmark = pytest.mark.django_db
MARK = "Deploy: Shop 2.4 to production"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def app() -> ClientApp:
    """Create two apps that were deployed ten minutes ago, and return the first one."""
    app = make_app("shop", name="Shop")
    for one in (app, make_app("gate", name="Gate")):
        record_deploy(
            app=one, version="2.4", environment="production", source=Deploy.Source.API,
            now=timezone.now() - 10 * MINUTE,
        )  # fmt: skip
    return app


@pytest.fixture
def browse() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    return client


def marks_of(page: str) -> list[list[str]]:
    """Return a list of the labels of the marks for each chart on the page."""
    payloads = [part.partition('"')[0] for part in page.split('data-chart="')[1:]]
    return [
        [mark["label"] for mark in json.loads(unescape(payload))["marks"]] for payload in payloads
    ]


def test_the_chart_of_an_error_shows_the_deploys_of_its_app(app: ClientApp, browse: Client) -> None:
    event = make_error(app, received_at=timezone.now() - MINUTE)

    page = browse.get(reverse("errors:group-detail", args=[event.group_id])).content.decode()

    assert marks_of(page) == [[MARK]]
    assert "Dashed lines:" in page


def test_the_chart_of_an_alert_shows_deploys(app: ClientApp, browse: Client) -> None:
    sync_rules()
    rule = AlertRule.objects.get(name="errors.high")
    alert = make_alert(now=timezone.now() - 5 * MINUTE, rule=rule)
    for ago in range(20):
        at = timezone.now() - ago * MINUTE
        RuleReading.objects.create(rule=rule, key=alert.key, at=at, value=ago)

    page = browse.get(alert.get_absolute_url()).content.decode()

    [marks] = marks_of(page)
    assert MARK in marks


def test_the_chart_of_an_event_shows_deploys(app: ClientApp, browse: Client) -> None:
    event = make_event("gala")
    reserve(make_ticket_type(event=event), now=timezone.now() - 5 * MINUTE)

    page = browse.get(reverse("reservations:event-page", args=["gala"])).content.decode()

    [marks] = marks_of(page)
    assert MARK in marks


def test_the_charts_of_widgets_show_deploys(app: ClientApp, browse: Client) -> None:
    record_gauges(now=timezone.now() - 5 * MINUTE)

    url = reverse("health:widget", args=["health.database"])
    page = browse.get(f"{url}?range=1h").content.decode()

    [marks] = marks_of(page)
    assert MARK in marks
    assert "Dashed lines:" in page


def test_a_chart_without_data_shows_no_deploy(app: ClientApp, browse: Client) -> None:
    sync_rules()
    alert = make_alert(rule=AlertRule.objects.get(name="errors.high"))

    page = browse.get(alert.get_absolute_url()).content.decode()

    assert marks_of(page) == [[]]
