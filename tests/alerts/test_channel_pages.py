"""Test adding and repairing channels in the admin."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from alerts.models import AlertType, Channel, Person
from alerts.queries import list_unrouted_channels
from health.hooks import health_checks
from tests.alerts.channel_forms import ADD, form, initial, page_of, send_tests
from tests.alerts.conftest import Gauge
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


def test_adding_a_channel_starts_with_the_choice_of_its_kind(owner: Client) -> None:
    page = owner.get("/admin/alerts/channel/add/").content.decode()

    assert 'href="?kind=slack"' in page
    assert 'href="?kind=pagerduty"' in page
    assert "setting_webhook_url" in owner.get(ADD).content.decode()


def test_a_channel_is_saved_only_with_the_settings_that_it_needs(owner: Client) -> None:
    answer = owner.post(ADD, form())

    assert answer.context["errors"] == [["This field is required."]]
    assert not Channel.objects.filter(name="Ops Slack").exists()


def test_a_channel_for_people_needs_recipients(owner: Client) -> None:
    add = "/admin/alerts/channel/add/?kind=email"
    answer = owner.post(add, form(name="Mail", gets_every_type="on"))
    assert "Enter recipients, or choose people or teams." in answer.content.decode()

    anna = Person.objects.create(name="Anna", email="anna@example.com")
    assert (
        owner.post(add, form(name="Mail", gets_every_type="on", people=[anna.pk])).status_code
        == 302
    )


@pytest.mark.parametrize("kind", ["slack", "teams", "discord", "webhook"])
def test_an_address_that_deliveries_refuse_is_refused_in_the_form(
    owner: Client, settings: Settings, kind: str
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    url = "http://169.254.169.254/latest/"

    answer = owner.post(
        f"/admin/alerts/channel/add/?kind={kind}",
        form(setting_webhook_url=url, setting_url=url, setting_secret="s"),
    )

    assert "169.254.169.254, which is not a public address" in answer.content.decode()
    assert not Channel.objects.filter(name="Ops Slack").exists()


def test_a_new_channel_gets_every_type_unless_staff_choose_some(
    owner: Client, slack: FakeHTTP
) -> None:
    assert initial(owner, "slack")["gets_every_type"]
    assert not initial(owner, "sms")["gets_every_type"]
    assert "Database down" in map(str, initial(owner, "sms")["routed_types"])
    monitor_down = AlertType.objects.get(slug="monitor-down")

    answer = owner.post(
        ADD, form(setting_webhook_url=f"{slack.url}/hook", routed_types=[monitor_down.pk])
    )

    assert answer.status_code == 302, answer.context["errors"]
    channel = Channel.objects.get(name="Ops Slack")
    assert list(channel.alert_types.all()) == [monitor_down]
    assert not channel.gets_every_type


def test_a_channel_without_routed_types_is_marked_everywhere(
    owner: Client, slack: FakeHTTP
) -> None:
    answer = owner.post(ADD, form(setting_webhook_url=f"{slack.url}/hook"), follow=True)
    channel = Channel.objects.get(name="Ops Slack")

    assert "No alert type is routed to Ops Slack, so it gets no alerts." in answer.content.decode()
    assert list_unrouted_channels() == [channel]
    listed = owner.get("/admin/alerts/channel/").content.decode()
    assert "none: no alert type is routed here" in listed
    assert "“Ops Slack” gets no alerts" in owner.get("/admin/alerts/routing/").content.decode()
    inbox = owner.get("/admin/alerts/").content.decode()
    assert "Ops Slack&quot; gets no alerts, because no alert type is routed to it." in inbox
    assert health_checks.notifications() == (
        "2 channels, 0 waiting; no alert type is routed to Ops Slack"
    )


def test_saving_a_repaired_channel_sends_the_messages_that_it_failed_to_deliver(
    owner: Client, gauge: Gauge, slack: FakeHTTP
) -> None:
    slack.answer(410)
    gauge.evaluate(6, now=timezone.now())
    send_tests()
    channel = Channel.objects.get(name="slack")
    assert not channel.is_enabled

    answer = owner.post(
        page_of(channel),
        form(name="slack", setting_webhook_url=f"{slack.url}/new", gets_every_type="on"),
    )
    assert answer.status_code == 302, answer.context["errors"]
    send_tests()

    assert [request.path for request in slack.requests] == ["/hook", "/new"]


def test_only_required_settings_are_listed_as_requirements(owner: Client) -> None:
    page = owner.get("/admin/alerts/channel/add/").content.decode()

    assert "Account SID, Auth token, From</td>" in page
    assert "Replies acknowledge and resolve" not in page
    assert ">Recipients</td>" in page
