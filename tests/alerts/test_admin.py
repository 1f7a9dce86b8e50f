"""Test the pages and actions of alerts in the admin."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from alerts.models import AlertRule, Channel, ChannelTest, Notification, SystemAlert
from tests.alerts.conftest import NOON, Gauge, deliver
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db

ALERTS = "/admin/alerts/systemalert/"


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


def act(client: Client, action: str, *alerts: SystemAlert) -> None:
    picked = [alert.pk for alert in alerts]
    answer = client.post(ALERTS, {"action": action, "_selected_action": picked})
    assert answer.status_code == 302


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ("acknowledge", "acknowledged"),
        ("dismiss", "dismissed"),
        ("mark_read", "read"),
        ("resolve", "resolved"),
    ],
)
def test_bulk_actions_record_the_user_and_the_time(owner: Client, action: str, field: str) -> None:
    alerts = [make_alert() for _ in range(3)]

    act(owner, action, *alerts[:2])

    for alert in alerts:
        alert.refresh_from_db()
    assert [bool(getattr(alert, f"{field}_at")) for alert in alerts] == [True, True, False]
    assert str(getattr(alerts[0], f"{field}_by")) == "owner"


def test_the_button_of_a_row_dismisses_its_alert(owner: Client) -> None:
    alert = make_alert(title="Gate is slow")
    page = owner.get(ALERTS).content.decode()
    url = reverse("alerts:alert-dismiss", args=[alert.pk])
    assert f'formaction="{url}"' in page

    answer = owner.post(url, follow=True)

    alert.refresh_from_db()
    assert alert.state == "dismissed"
    assert "Dismissed: Gate is slow" in answer.content.decode()


def test_htmx_requests_get_an_event_instead_of_a_page(owner: Client) -> None:
    alert = make_alert()

    answer = owner.post(
        reverse("alerts:alert-dismiss", args=[alert.pk]), headers={"HX-Request": "true"}
    )

    assert answer.status_code == 204
    assert set(json.loads(answer["HX-Trigger"])) == {"alerts-changed", "portal:message"}


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/admin/system-health/", "/admin/system-health/"),
        ("https://evil.example/", None),
        ("//evil.example", None),
    ],
)
def test_an_action_redirects_only_within_the_site(
    owner: Client, wanted: str, target: str | None
) -> None:
    alert = make_alert()

    answer = owner.post(reverse("alerts:alert-dismiss", args=[alert.pk]), {"next": wanted})

    assert answer["Location"] == (target or reverse("alerts:alert-list"))


def test_actions_require_post_csrf_and_permission(client: Client, owner: Client) -> None:
    alert = make_alert()
    url = reverse("alerts:alert-dismiss", args=[alert.pk])

    assert owner.get(url).status_code == 405
    assert Client(enforce_csrf_checks=True).post(url).status_code in (302, 403)
    reader = get_user_model().objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_systemalert"))
    by_reader = Client()
    by_reader.force_login(reader)
    assert by_reader.post(url).status_code == 403
    assert by_reader.get(ALERTS).status_code == 200
    alert.refresh_from_db()
    assert alert.state == "open"


@pytest.mark.parametrize(
    "model",
    [
        "systemalert",
        "alertrule",
        "alerttype",
        "channel",
        "notification",
        "person",
        "team",
        "silence",
    ],
)
def test_every_list_and_form_loads(
    owner: Client, gauge: Gauge, slack: FakeHTTP, model: str
) -> None:
    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    assert owner.get(f"/admin/alerts/{model}/").status_code == 200
    add = owner.get(f"/admin/alerts/{model}/add/").status_code
    assert add == (403 if model in ("systemalert", "notification") else 200)
    changed = {
        "systemalert": SystemAlert,
        "alertrule": AlertRule,
        "channel": Channel,
        "notification": Notification,
    }.get(model)
    if changed:
        row = changed.objects.get(name="slack") if changed is Channel else changed.objects.first()  # type: ignore[attr-defined]
        assert owner.get(f"/admin/alerts/{model}/{row.pk}/change/").status_code == 200


def test_the_next_evaluation_uses_a_changed_threshold(owner: Client, gauge: Gauge) -> None:
    row = gauge.row()
    form = owner.get(f"/admin/alerts/alertrule/{row.pk}/change/").context["adminform"].form
    data = {k: v for k, v in form.initial.items() if v is not None}

    answer = owner.post(
        f"/admin/alerts/alertrule/{row.pk}/change/", {**data, "threshold": "50", "is_enabled": "on"}
    )

    assert answer.status_code == 302, answer.context["errors"]
    gauge.evaluate(40, now=NOON)
    assert gauge.alerts() == []
    gauge.evaluate(51, now=NOON)
    assert gauge.alert().threshold == 50


def test_a_secret_is_never_shown_and_an_empty_input_keeps_it(owner: Client) -> None:
    channel = Channel.objects.get(name="slack")
    url = f"/admin/alerts/channel/{channel.pk}/change/"
    data = {
        "name": "slack",
        "is_enabled": "on",
        "max_per_minute": "30",
        "time_zone": "UTC",
        "setting_webhook_url": "http://127.0.0.1/secret-part",
    }

    assert owner.post(url, data).status_code == 302
    assert "secret-part" not in owner.get(url).content.decode()
    assert owner.post(url, {**data, "setting_webhook_url": ""}).status_code == 302

    channel.refresh_from_db()
    assert channel.config == {"webhook_url": "http://127.0.0.1/secret-part"}


def test_test_messages_are_rate_limited(owner: Client, slack: FakeHTTP) -> None:
    url = reverse("admin:alerts_channel_test", args=[Channel.objects.get(name="slack").pk])

    for _ in range(9):
        owner.post(url)

    assert ChannelTest.objects.count() == 6


def test_a_sent_message_can_be_resent(owner: Client, gauge: Gauge, slack: FakeHTTP) -> None:
    gauge.evaluate(6, now=NOON)
    deliver(NOON)
    notification = Notification.objects.get()

    owner.post(
        "/admin/alerts/notification/", {"action": "resend", "_selected_action": [notification.pk]}
    )

    notification.refresh_from_db()
    assert notification.state == "waiting"


def test_the_list_needs_a_fixed_number_of_queries(
    owner: Client, django_assert_max_num_queries: object
) -> None:
    for _ in range(40):
        make_alert()

    with django_assert_max_num_queries(20):  # type: ignore[operator]
        owner.get(ALERTS)
