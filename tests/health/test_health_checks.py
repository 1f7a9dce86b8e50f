"""The portal's own health checks, against dependencies in each state."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.jobs.models import Node
from core.lib import outbound
from health.extension_points import Degraded, NotConfigured
from health.hooks import health_checks
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


def test_unconfigured_dependencies_do_not_fail(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = settings.RESEND_API_KEY = settings.EMAIL_HOST = ""
    for check in (
        health_checks.stripe,
        health_checks.resend,
        health_checks.mail,
    ):
        with pytest.raises(NotConfigured):
            check()


def test_stripe_check_uses_the_public_healthcheck_endpoint(
    settings: Settings, fake: FakeHTTP
) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_x", fake.url
    assert health_checks.stripe() == "Stripe responds"
    assert fake.requests[0].path == "/healthcheck"
    assert "authorization" not in fake.requests[0].headers

    fake.answer(503)
    with pytest.raises(RuntimeError, match="503"):
        health_checks.stripe()
    fake.drop()
    with pytest.raises(outbound.Unavailable):
        health_checks.stripe()


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, {"data": [{"name": "a.example", "status": "verified"}]}, "1 verified"),
        (200, {"data": []}, "0 verified"),
        (401, {"name": "restricted_api_key"}, "limited to sending"),
        (401, {"name": "invalid_api_key"}, RuntimeError),
        (200, {"data": [{"name": "a.example", "status": "pending"}]}, Degraded),
    ],
)
def test_resend_check_lists_the_domains(
    settings: Settings,
    fake: FakeHTTP,
    status: int,
    answer: dict[str, object],
    expected: str | type[Exception],
) -> None:
    settings.RESEND_API_KEY, settings.RESEND_API_URL = "re_x", fake.url
    fake.answer(status, json=answer)
    if isinstance(expected, str):
        assert expected in (health_checks.resend() or "")
    else:
        with pytest.raises(expected):
            health_checks.resend()
    assert fake.requests[0].headers["authorization"] == "Bearer re_x"


def test_mail_check_connects_to_the_mail_server(
    settings: Settings, mail_server: MailServer, closed_port: int
) -> None:
    settings.RESEND_API_KEY = ""
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_server.port
    assert health_checks.mail() == "the mail server responds"

    settings.EMAIL_PORT = closed_port
    with pytest.raises(ConnectionRefusedError):
        health_checks.mail()


def test_queue_check_distinguishes_late_from_missing_workers() -> None:
    with pytest.raises(Degraded, match="no worker has started yet"):
        health_checks.queue()
    now = timezone.now()
    node = Node.objects.create(
        name="one", pid=1, version="1", last_tick_at=now - timedelta(seconds=30), seen_at=now
    )
    assert (health_checks.queue() or "").startswith("1 node,")

    for seconds, expected in ((200, Degraded), (400, RuntimeError)):
        node.last_tick_at = now - timedelta(seconds=seconds)
        node.save()
        with pytest.raises(expected):
            health_checks.queue()
