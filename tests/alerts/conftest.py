"""Provide a rule whose value the test sets, and channels that deliver to servers on loopback."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from alerts import services
from alerts.channels import TRANSPORTS, Message, get_config, get_transport
from alerts.channels.base import MessageKind
from alerts.extension_points import Measured, Severity, alert_rule, alert_rules, instant_checks
from alerts.models import AlertRule, AlertType, Channel, Notification, SystemAlert
from alerts.services.defaults import add_default_channel
from core.lib.outbound import breaker
from core.lib.registry import Registry
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Gauge:
    """A registered rule whose measurement returns `value`. Tests set `value`."""

    name: str
    value: Measured = 0.0

    def row(self, **changes: object) -> AlertRule:
        services.evaluate_rules(now=NOON - timedelta(days=1))
        AlertRule.objects.filter(name=self.name).update(**changes)
        return AlertRule.objects.get(name=self.name)

    def evaluate(self, value: Measured, *, now: datetime) -> services.EvaluationResult:
        self.value = value
        return services.evaluate_rule(self.name, now=now)

    def alerts(self) -> list[SystemAlert]:
        return list(SystemAlert.objects.filter(rule__name=self.name).order_by("pk"))

    def alert(self) -> SystemAlert:
        (alert,) = self.alerts()
        return alert


@pytest.fixture
def only_test_rules() -> Iterator[None]:
    """Unregister the rules and checks of all apps, which would open further alerts."""
    registries: list[Registry[Any]] = [alert_rules, instant_checks]
    kept = [dict(registry._items) for registry in registries]
    for registry in registries:
        registry._items.clear()
    AlertRule.objects.all().delete()
    yield
    for registry, items in zip(registries, kept, strict=True):
        registry._items.clear()
        registry._items.update(items)


@pytest.fixture
def gauge(db: None, only_test_rules: None) -> Gauge:
    """Register a critical rule that is breached if there are more than 5 errors, and cleared at 4 errors."""
    gauge = Gauge("test.gauge")
    alert_rule(
        gauge.name,
        summary="Test gauge",
        unit="errors",
        threshold=5,
        window=timedelta(hours=1),
        severity=Severity.CRITICAL,
        alert_type="high-error-rate",
    )(lambda since, until: gauge.value)
    return gauge


@pytest.fixture(autouse=True)
def loopback(settings: Settings) -> None:
    """Allow loopback addresses, where the fake services listen, and reset the circuit breakers."""
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    breaker.reset_all()


@pytest.fixture(autouse=True)
def default_channels(request: pytest.FixtureRequest) -> None:
    """Create the channels that tests configure, with the default routes of their kinds."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None:
        return
    request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
    for kind in ("email", "slack", "sms", "pagerduty"):
        if not Channel.objects.filter(name=kind).exists():
            limit = TRANSPORTS[kind].max_per_minute
            add_default_channel(
                Channel(name=kind, kind=kind, uses_environment=True, max_per_minute=limit)
            )


@pytest.fixture
def slack(db: None, fake_http: Callable[[], FakeHTTP]) -> FakeHTTP:
    """Start a fake Slack webhook, set its URL in the default Slack channel, and return the server."""
    server = fake_http()
    server.default.body = b"ok"
    Channel.objects.filter(name="slack").update(config={"webhook_url": f"{server.url}/hook"})
    return server


@pytest.fixture
def mail(db: None, mail_server: MailServer, settings: Settings) -> MailServer:
    """Configure the e-mail channel to use a real SMTP server on loopback, and return the server."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_server.port
    settings.EMAIL_USE_TLS = False
    Channel.objects.filter(name="email").update(config={"recipients": "ops@example.com"})
    return mail_server


MESSAGE = Message(
    kind=MessageKind.TRIGGERED,
    title="Gate <north> is slow & sad",
    text="3,200 ms, above the threshold of 3,000 ms",
    severity="high",
    source="performance",
    url="https://ops.example/admin/alerts/7/",
    facts=[("Value", "3,200 ms"), ("gate", "north")],
    at=NOON,
    started_at=NOON - MINUTE,
    thread="opsportal:7:1",
    component="performance",
    group="slow-performance",
)

Make = Callable[..., Channel]


@pytest.fixture
def channel() -> Make:
    """Return a function that creates a channel and makes it the only channel for the gauge's alerts."""

    def make(kind: str, **config: str) -> Channel:
        made, _ = Channel.objects.update_or_create(
            name=kind, defaults={"kind": kind, "config": config, "uses_environment": True}
        )
        AlertType.objects.get(slug="high-error-rate").channels.set([made])
        return made

    return make


def send(channel: Channel, message: Message = MESSAGE, key: str = "7:1:triggered:1:3") -> str:
    receipt = get_transport(channel).send(message, get_config(channel), idempotency_key=key)
    return receipt.reference


@pytest.fixture
def twilio(channel: Make, fake: FakeHTTP, settings: Settings) -> FakeHTTP:
    settings.TWILIO_API_URL = fake.url
    fake.default.status = 201
    fake.default.body = b'{"sid": "SM1", "status": "queued"}'
    channel(
        "sms",
        account_sid="AC1",
        auth_token="secret",
        sender="+15550001",
        recipients="+15550100, +15550101",
    )
    return fake


def deliver(now: datetime) -> dict[str, int]:
    return services.deliver_waiting(now=now)


def sent(kind: str = "") -> list[Notification]:
    rows = Notification.objects.filter(state="sent").order_by("pk")
    return list(rows.filter(kind=kind) if kind else rows)
