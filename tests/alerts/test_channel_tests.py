"""Test the buttons in the admin that send a test to a channel, before and after the channel is saved."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from alerts import services
from alerts.models import Channel, ChannelTest, Person
from alerts.services import channel_tests
from core.lib.first_steps import first_steps
from tests.alerts.channel_forms import HTMX, form, page_of, send_tests
from tests.alerts.conftest import NOON, Gauge, deliver
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


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


def test_a_test_of_an_email_channel_is_sent_to_all_its_people(
    owner: Client, mail: MailServer
) -> None:
    anna = Person.objects.create(name="Anna", email="anna@example.com")
    url = f"{reverse('admin:alerts_channel_test_new')}?kind=email"

    owner.post(url, form(setting_recipients="ops@example.com", people=[anna.pk]), headers=HTMX)
    send_tests()

    assert mail.mails[0]["To"] == "anna@example.com, ops@example.com"


def test_a_test_without_a_mail_server_is_not_reported_as_delivered(
    owner: Client, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    settings.ALERT_EMAILS = ["a@example.com"]
    channel = Channel.objects.get(name="email")

    owner.post(reverse("admin:alerts_channel_test", args=[channel.pk]))
    send_tests()

    page = owner.get(page_of(channel)).content.decode()
    assert "Not delivered to email: No mail server is configured" in page
    assert "Set EMAIL_HOST or RESEND_API_KEY." in page
    assert "Test from opsportal" in capsys.readouterr().out
    assert not first_steps.get("alerts.channel").is_done()


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


def test_a_test_that_no_worker_sends_is_reported_as_unsent(owner: Client, slack: FakeHTTP) -> None:
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


def test_a_delivered_test_releases_the_messages_that_the_failing_channel_holds(
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
