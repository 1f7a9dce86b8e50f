"""Adding, testing and routing channels in the admin."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from alerts import services
from alerts.extension_points import Severity
from alerts.models import AlertType, Channel, ChannelTest, Person
from alerts.queries import list_unrouted_channels
from alerts.services import channel_tests
from alerts.services.defaults import sync_channels
from health.hooks import health_checks
from tests.alerts.conftest import NOON, Gauge, deliver
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
ADD = "/admin/alerts/channel/add/?kind=slack"


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


def form(**fields: object) -> dict[str, object]:
    return {
        "name": "Ops Slack",
        "is_enabled": "on",
        "max_per_minute": "30",
        "time_zone": "UTC",
        **fields,
    }


def initial(client: Client, kind: str) -> Any:
    page = client.get(f"/admin/alerts/channel/add/?kind={kind}")
    return page.context["adminform"].form.initial


def page_of(channel: Channel) -> str:
    return reverse("admin:alerts_channel_change", args=[channel.pk])


def send_tests() -> None:
    deliver(timezone.now())


# --- adding --------------------------------------------------------------------------------------------------


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
    answer = owner.post(add, form(name="Mail"))
    assert "Enter recipients, or choose people or teams." in answer.content.decode()

    anna = Person.objects.create(name="Anna", email="anna@example.com")
    assert owner.post(add, form(name="Mail", people=[anna.pk])).status_code == 302


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


def test_a_channel_that_no_type_is_routed_to_says_so_everywhere(
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


def test_saving_a_repaired_channel_sends_what_it_failed_to_deliver(
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


# --- testing -------------------------------------------------------------------------------------------------


def test_a_test_shows_the_answer_within_the_page(owner: Client, slack: FakeHTTP) -> None:
    channel = Channel.objects.get(name="slack")
    url = reverse("admin:alerts_channel_test", args=[channel.pk])

    sending = owner.post(url, headers=HTMX).content.decode()
    send_tests()
    result = reverse("admin:alerts_channel_test_result", args=[ChannelTest.objects.get().pk])

    assert "Sending a test to slack …" in sending
    assert f'hx-get="{result}"' in sending
    done = owner.get(result).content.decode()
    assert "Delivered to slack (200 ok)" in done
    assert "hx-get" not in done
    assert "Delivered to slack (200 ok)" in owner.get(page_of(channel)).content.decode()
    assert slack.requests[0].json()["text"] == "🔹 Test from opsportal"


def test_a_test_shows_the_refusal_of_the_provider(owner: Client, slack: FakeHTTP) -> None:
    slack.answer(403, body="invalid_token")
    channel = Channel.objects.get(name="slack")

    owner.post(reverse("admin:alerts_channel_test", args=[channel.pk]))
    send_tests()

    page = owner.get(page_of(channel)).content.decode()
    assert "Not delivered to slack: 403 invalid_token" in page
    channel.refresh_from_db()
    assert channel.is_enabled


def test_without_scripts_a_test_leads_to_the_page_of_the_channel(
    owner: Client, slack: FakeHTTP
) -> None:
    channel = Channel.objects.get(name="slack")

    answer = owner.post(reverse("admin:alerts_channel_test", args=[channel.pk]))

    assert answer["Location"] == page_of(channel)


def test_a_channel_can_be_tested_before_it_is_saved(owner: Client, slack: FakeHTTP) -> None:
    url = f"{reverse('admin:alerts_channel_test_new')}?kind=slack"
    secret = f"{slack.url}/hook"

    answer = owner.post(url, form(setting_webhook_url=secret), headers=HTMX)
    assert "Sending a test to Ops Slack" in answer.content.decode()
    assert secret not in answer.content.decode()
    send_tests()

    test = ChannelTest.objects.get()
    assert (test.state, test.answer, test.config) == ("delivered", "200 ok", {})
    assert len(slack.requests) == 1
    assert not Channel.objects.filter(name="Ops Slack").exists()


def test_a_test_uses_changes_that_are_not_saved(owner: Client, slack: FakeHTTP) -> None:
    channel = Channel.objects.get(name="slack")
    url = reverse("admin:alerts_channel_test", args=[channel.pk])

    owner.post(url, form(setting_webhook_url=f"{slack.url}/other"), headers=HTMX)
    owner.post(url, form(setting_webhook_url=""), headers=HTMX)
    send_tests()

    assert sorted(request.path for request in slack.requests) == ["/hook", "/other"]


def test_an_invalid_form_is_not_tested(owner: Client, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    url = f"{reverse('admin:alerts_channel_test_new')}?kind=slack"

    answer = owner.post(url, form(setting_webhook_url="http://127.0.0.1/"), headers=HTMX)

    assert "Incoming webhook URL: 127.0.0.1 resolves to" in answer.content.decode()
    assert not ChannelTest.objects.exists()


def test_a_test_of_an_email_channel_goes_to_all_its_people(owner: Client, mail: MailServer) -> None:
    anna = Person.objects.create(name="Anna", email="anna@example.com")
    url = f"{reverse('admin:alerts_channel_test_new')}?kind=email"

    owner.post(url, form(setting_recipients="ops@example.com", people=[anna.pk]), headers=HTMX)
    send_tests()

    assert mail.mails[0]["To"] == "anna@example.com, ops@example.com"


def test_a_test_of_an_sms_channel_sends_one_message_per_number(
    fake: FakeHTTP, settings: Settings
) -> None:
    config = {
        "account_sid": "AC1", "auth_token": "s", "sender": "+15550001", "recipients": "+1555010, +1555011",
    }  # fmt: skip
    channel = Channel.objects.create(name="phones", kind="sms", config=config)
    fake.answer(201, json={"sid": "SM1"}, times=None)
    settings.TWILIO_API_URL = fake.url

    test = services.run_test(services.send_test(channel, now=NOON), now=NOON)

    assert test.state == "delivered"
    assert sorted(r.form()["To"] for r in fake.requests) == ["+1555010", "+1555011"]


def test_a_test_that_no_worker_sends_says_so(owner: Client, slack: FakeHTTP) -> None:
    now = timezone.now()
    channel = Channel.objects.get(name="slack")
    test = services.send_test(channel, now=now - timedelta(seconds=20))

    result = reverse("admin:alerts_channel_test_result", args=[test.pk])
    assert "Waiting for a worker to send the test" in owner.get(result).content.decode()
    deliver(now + channel_tests.EXPIRY)

    test.refresh_from_db()
    assert (test.state, slack.requests) == ("refused", [])


def test_a_successful_test_of_an_unrouted_channel_offers_routes(
    owner: Client, slack: FakeHTTP
) -> None:
    channel = Channel.objects.create(
        name="Unrouted", kind="slack", config={"webhook_url": f"{slack.url}/hook"}
    )
    owner.post(reverse("admin:alerts_channel_test", args=[channel.pk]))
    send_tests()
    every_type = reverse("alerts:route-every-type", args=[channel.pk])
    assert every_type in owner.get(page_of(channel)).content.decode()

    owner.post(every_type)

    channel.refresh_from_db()
    assert channel.gets_every_type
    assert every_type not in owner.get(page_of(channel)).content.decode()


def test_a_delivered_test_sends_what_the_failing_channel_holds(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    slack.answer(503)
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    services.send_test(Channel.objects.get(name="slack"), now=NOON)

    deliver(NOON)

    texts = [request.json()["text"] for request in slack.requests]
    assert texts == ["⛔ Test gauge", "🔹 Test from opsportal", "⛔ Test gauge"]


def test_tests_need_the_permission_to_change_channels(client: Client, slack: FakeHTTP) -> None:
    reader = get_user_model().objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_channel"))
    client.force_login(reader)
    channel = Channel.objects.get(name="slack")

    assert client.post(reverse("admin:alerts_channel_test", args=[channel.pk])).status_code == 403
    new = f"{reverse('admin:alerts_channel_test_new')}?kind=slack"
    assert client.post(new, form()).status_code == 403
    assert client.get(page_of(channel)).status_code == 200
    assert not ChannelTest.objects.exists()


# --- the routing table ---------------------------------------------------------------------------------------


def test_the_table_has_types_that_no_alert_has_used_yet(owner: Client) -> None:
    page = owner.get("/admin/alerts/routing/").content.decode()

    for name in (
        "Monitor down",
        "Missed heartbeat",
        "Database down",
        "Dead webhook",
        "Regressed errors",
    ):
        assert name in page
    assert "Every type, also new ones" in page


def test_the_table_saves_only_what_was_changed(owner: Client, slack: FakeHTTP) -> None:
    channel = Channel.objects.get(name="slack")
    added, removed, untouched = AlertType.objects.order_by("pk")[:3]
    removed.channels.add(channel)
    untouched.channels.add(channel)
    untouched_route = f"{untouched.pk}-{channel.pk}"
    removed_route = f"{removed.pk}-{channel.pk}"
    untouched.channels.remove(channel)  # someone else did this after the page was loaded

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


def test_a_channel_with_every_type_gets_alerts_of_types_that_are_new(
    owner: Client, slack: FakeHTTP
) -> None:
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
def test_the_table_ignores_routes_that_make_no_sense(owner: Client, value: str) -> None:
    answer = owner.post("/admin/alerts/routing/", {"route": [value]}, follow=True)

    assert "No route was changed." in answer.content.decode()


def test_only_staff_who_may_change_types_change_routes(client: Client) -> None:
    reader = get_user_model().objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_alerttype"))
    client.force_login(reader)

    assert client.get("/admin/alerts/routing/").status_code == 200
    assert client.post("/admin/alerts/routing/", {"route": ["0-1"]}).status_code == 403


# --- defaults ------------------------------------------------------------------------------------------------


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
