"""Test which channel addresses the portal trusts, and when it disables a channel because of its address."""

import msgspec
import pytest
from pytest_django import Settings

from alerts.channels import DeliveryFailed
from alerts.models import Notification
from tests.alerts.conftest import MESSAGE, NOON, Gauge, Make, deliver, send
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("telegram", {"token": "1:a", "chat_id": "1"}),
        ("pagerduty", {"routing_key": "r"}),
        ("sms", {"account_sid": "a", "auth_token": "t", "sender": "+15550100"}),
    ],
)
def test_an_address_of_a_service_is_trusted_only_from_the_settings(
    channel: Make, fake: FakeHTTP, settings: Settings, kind: str, config: dict[str, str]
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    for setting in ("TELEGRAM_API_URL", "PAGERDUTY_API_URL", "TWILIO_API_URL"):
        setattr(settings, setting, "https://service.example")
    made = channel(kind, api_url=fake.url, **config)

    with pytest.raises(DeliveryFailed, match="not a public address"):
        send(made, msgspec.structs.replace(MESSAGE, recipients=["+15550101"]))

    assert fake.requests == []


@pytest.mark.parametrize("kind", ["webhook", "slack", "teams", "discord"])
def test_urls_entered_by_staff_cannot_reach_private_addresses(
    channel: Make, fake: FakeHTTP, settings: Settings, kind: str
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    url = f"{fake.url}/admin/"
    made = channel(kind, url=url, webhook_url=url, secret="s")

    with pytest.raises(DeliveryFailed, match="not a public address") as failure:
        send(made)

    # The failure is not permanent, because staff may allow the address or change it.
    assert not failure.value.is_permanent
    assert fake.requests == []


def test_a_slack_url_from_the_settings_is_trusted(
    channel: Make, fake: FakeHTTP, settings: Settings
) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    settings.SLACK_WEBHOOK_URL = f"{fake.url}/hook"

    send(channel("slack"))

    assert len(fake.requests) == 1


def test_a_token_never_appears_in_a_stored_error(
    gauge: Gauge, channel: Make, fake: FakeHTTP, settings: Settings
) -> None:
    settings.TELEGRAM_API_URL = fake.url
    channel("telegram", token="1:very-secret", chat_id="-100")
    fake.refuse()
    gauge.evaluate(6, now=NOON)
    deliver(NOON)

    notification = Notification.objects.get()
    assert notification.error
    assert "very-secret" not in notification.error


@pytest.mark.parametrize("kind", ["slack", "teams", "discord", "webhook"])
@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_removed_address_is_reported_as_gone(
    channel: Make, fake: FakeHTTP, kind: str, status: int
) -> None:
    fake.answer(status)

    with pytest.raises(DeliveryFailed) as failure:
        send(channel(kind, url=fake.url, webhook_url=fake.url, secret="s"))

    assert (failure.value.is_permanent, failure.value.is_gone) == (False, True)
