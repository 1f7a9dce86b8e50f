"""Test the button "Send a test notification" of alert types and people."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from alerts.models import AlertType, Channel, ChannelTest, NotificationRule, Person, SystemAlert
from core.lib import ratelimit
from tests.alerts.channel_forms import HTMX, send_tests
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("owner"))
    return client


def press(client: Client, row: AlertType | Person) -> str:
    url = reverse(f"admin:alerts_{row._meta.model_name}_test", args=[row.pk])
    return client.post(url, headers=HTMX).content.decode()


def outcome(client: Client, row: AlertType | Person) -> str:
    url = reverse(f"admin:alerts_{row._meta.model_name}_tests", args=[row.pk])
    return client.get(url).content.decode()


def make_type(*channels: str, **fields: object) -> AlertType:
    given = {"slug": "shop-down", "name": "Shop down", "severity": "critical", **fields}
    alert_type = AlertType.objects.create(**given)
    alert_type.channels.set(Channel.objects.filter(name__in=channels))
    return alert_type


def test_a_type_is_tested_through_its_channels_and_the_outcome_is_shown(
    owner: Client, slack: FakeHTTP, mail: MailServer
) -> None:
    alert_type = make_type("slack", "email")

    sending = press(owner, alert_type)
    send_tests()

    assert "Sending a test to slack …" in sending
    assert "Sending a test to email …" in sending
    assert f"/admin/alerts/alerttype/{alert_type.pk}/tests/" in sending
    assert slack.requests[0].json()["text"] == "🔹 Test: Shop down"
    assert "This is a test of the alerts of the type “Shop down” (critical)" in str(
        slack.requests[0].json()
    )
    (message,) = mail.mails
    assert message["Subject"] == "Test: Shop down"
    done = outcome(owner, alert_type)
    assert "Delivered to slack (200 ok)" in done
    assert "Delivered to email" in done
    assert "hx-get" not in done
    page = owner.get(reverse("admin:alerts_alerttype_change", args=[alert_type.pk]))
    assert "Delivered to slack (200 ok)" in page.content.decode()
    assert not SystemAlert.objects.exists()


def test_each_channel_reports_its_own_failure(
    owner: Client, slack: FakeHTTP, mail: MailServer
) -> None:
    alert_type = make_type("slack", "email")
    slack.answer(403, body="invalid_token")

    press(owner, alert_type)
    send_tests()

    done = outcome(owner, alert_type)
    assert "Not delivered to slack: 403 invalid_token" in done
    assert "Delivered to email" in done


def test_a_channel_of_every_type_is_tested_as_well(owner: Client, slack: FakeHTTP) -> None:
    Channel.objects.filter(name="slack").update(gets_every_type=True)

    press(owner, make_type())
    send_tests()

    assert len(slack.requests) == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [({}, "No configured channel gets this type"), ({"digest_only": True}, "daily digest")],
)
def test_a_test_of_a_type_without_a_channel_explains_why_nothing_was_sent(
    owner: Client, fields: dict[str, object], text: str
) -> None:
    assert text in press(owner, make_type(**fields))
    assert not ChannelTest.objects.exists()


def test_a_person_gets_a_test_by_all_personal_notification_rules_at_once(
    owner: Client, slack: FakeHTTP, twilio: FakeHTTP
) -> None:
    ann = Person.objects.create(
        name="Ann", phone="+15550111", quiet_from="00:00", quiet_until="23:59"
    )
    for minutes, name in ((0, "slack"), (3, "sms")):
        NotificationRule.objects.create(
            person=ann, channel=Channel.objects.get(name=name), after=timedelta(minutes=minutes)
        )

    press(owner, ann)
    send_tests()

    assert "test of “slack”. Alerts are sent there immediately." in str(slack.requests[0].json())
    (sms,) = twilio.requests
    assert b"To=%2B15550111" in sms.body
    assert b"3+min+after+the+first+message" in sms.body
    assert outcome(owner, ann).count("Delivered to ") == 2


def test_a_person_without_rules_gets_a_test_on_the_default_channels(
    owner: Client, mail: MailServer
) -> None:
    ann = Person.objects.create(name="Ann", email="ann@shop.example")

    press(owner, ann)
    send_tests()

    (message,) = mail.mails
    assert message["To"] == "ann@shop.example"
    assert message["Subject"] == "Test: notifications to Ann"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"email": "ann@shop.example", "is_active": False}, "Ann gets no messages"),
        ({}, "Ann cannot be reached"),
    ],
)
def test_a_person_who_cannot_be_reached_is_named_with_the_reason(
    owner: Client, fields: dict[str, object], text: str
) -> None:
    assert text in press(owner, Person.objects.create(name="Ann", **fields))
    assert not ChannelTest.objects.exists()


def test_without_scripts_the_page_of_the_row_shows_the_outcome(
    owner: Client, slack: FakeHTTP
) -> None:
    alert_type = make_type("slack")
    page = reverse("admin:alerts_alerttype_change", args=[alert_type.pk])

    answer = owner.post(reverse("admin:alerts_alerttype_test", args=[alert_type.pk]))

    assert answer["Location"] == page
    assert "Sending a test to slack" in owner.get(page).content.decode()


def test_only_people_who_may_change_the_row_can_send_tests(client: Client, slack: FakeHTTP) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.set(
        Permission.objects.filter(codename__in=["view_alerttype", "view_person"])
    )
    client.force_login(reader)
    for row in (make_type("slack"), Person.objects.create(name="Ann", email="ann@shop.example")):
        model = row._meta.model_name
        url = reverse(f"admin:alerts_{model}_test", args=[row.pk])
        assert client.post(url).status_code == 403
        assert client.get(url).status_code == 405
        assert client.get(reverse(f"admin:alerts_{model}_tests", args=[row.pk])).status_code == 403
        page = client.get(reverse(f"admin:alerts_{model}_change", args=[row.pk]))
        assert "Send a test notification" not in page.content.decode()
    assert not ChannelTest.objects.exists()


def test_tests_are_limited_per_minute(owner: Client, slack: FakeHTTP) -> None:
    ratelimit.memory.clear()
    alert_type = make_type("slack")

    answers = [press(owner, alert_type) for _ in range(7)]

    assert "The limit of 6 tests per minute was reached" in answers[-1]
    assert ChannelTest.objects.count() == 6
