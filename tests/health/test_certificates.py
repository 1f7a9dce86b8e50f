"""Test that each HTTPS monitor's certificate is a component with a status and an alert of its own."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from alerts.channels import TRANSPORTS
from alerts.models import AlertType, Channel, SystemAlert
from alerts.services.defaults import add_default_channel
from core.lib.outbound import guard
from health.checking import probes
from health.models import Certificate, Monitor
from health.services import check_certificates, run_checks
from tests.factories import make_monitor
from tests.health.conftest import SetChecks
from tests.servers.tls import TLSServer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allow_loopback(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., TLSServer]]:
    servers: list[TLSServer] = []

    def make(days: int, **fields: object) -> TLSServer:
        servers.append(TLSServer(tmp_path, days=days, **fields))  # type: ignore[arg-type]
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def statuses() -> dict[int, str]:
    return dict(Certificate.objects.values_list("port", "status"))


def test_each_certificate_has_its_own_status_and_alert(
    make_server: Callable[..., TLSServer],
) -> None:
    fine, soon, sooner, expired = (make_server(days) for days in (90, 13, 1, -3))
    for server in (fine, soon, sooner, expired):
        make_monitor(server.url)

    assert check_certificates(now=timezone.now()) == 4

    assert statuses() == {
        fine.port: "healthy",
        soon.port: "degraded",
        sooner.port: "degraded",
        expired.port: "unhealthy",
    }
    alerts = SystemAlert.objects.active().filter(alert_type="certificate-expiry")
    assert {alert.title: (alert.severity, alert.message[:34]) for alert in alerts} == {
        f"Certificate of 127.0.0.1:{soon.port} expires soon": (
            "medium",
            "The certificate expires in 13 days",
        ),
        f"Certificate of 127.0.0.1:{sooner.port} expires soon": (
            "medium",
            "The certificate expires in 1 day, ",
        ),
        f"Certificate of 127.0.0.1:{expired.port} has expired": (
            "high",
            f"The certificate expired on {timezone.now() - timedelta(days=3):%Y-%m-%d}"[:34],
        ),
    }


def test_the_first_alert_does_not_choose_the_channels_for_all_later_ones(
    make_server: Callable[..., TLSServer],
) -> None:
    slack = Channel(name="slack", kind="slack", uses_environment=True)
    slack.max_per_minute = TRANSPORTS["slack"].max_per_minute
    add_default_channel(slack)

    make_monitor(make_server(13).url)
    check_certificates(now=timezone.now())

    assert SystemAlert.objects.get().severity == "medium"
    assert AlertType.objects.get(slug="certificate-expiry").channels.get() == slack


def test_monitors_of_one_address_share_a_certificate_until_the_last_one_is_gone(
    make_server: Callable[..., TLSServer], set_checks: SetChecks
) -> None:
    set_checks()
    server = make_server(5)
    first, second = make_monitor(server.url), make_monitor(f"{server.url}api")
    make_monitor("http://127.0.0.1/")
    now = timezone.now()
    check_certificates(now=now)
    assert statuses() == {server.port: "degraded"}

    first.delete()
    check_certificates(now=now)
    assert statuses() == {server.port: "degraded"}

    Monitor.objects.filter(pk=second.pk).update(is_enabled=False)
    Monitor.objects.filter(url__startswith="http:").delete()
    check_certificates(now=now)
    run_checks(now=now, pause=0)
    assert statuses() == {}
    assert not SystemAlert.objects.active().exists()


def test_valid_certificates_are_read_every_six_hours_and_expiring_ones_each_time(
    make_server: Callable[..., TLSServer],
) -> None:
    fine, soon = make_server(90), make_server(5)
    make_monitor(fine.url)
    make_monitor(soon.url)
    now = timezone.now()

    assert check_certificates(now=now) == 2
    assert check_certificates(now=now + timedelta(minutes=10)) == 1
    soon.renew(days=90)
    assert check_certificates(now=now + timedelta(minutes=20)) == 1
    assert check_certificates(now=now + timedelta(minutes=30)) == 0
    assert statuses() == {fine.port: "healthy", soon.port: "healthy"}
    assert not SystemAlert.objects.active().exists()
    assert check_certificates(now=now + timedelta(hours=7)) == 2


def test_an_unreachable_host_keeps_the_last_known_expiry(
    make_server: Callable[..., TLSServer], closed_port: int
) -> None:
    server = make_server(20)
    make_monitor(server.url)
    make_monitor(f"https://127.0.0.1:{closed_port}/")
    now = timezone.now()
    check_certificates(now=now)
    Certificate.objects.filter(port=server.port).update(port=closed_port + 1)
    Monitor.objects.filter(url=server.url).update(url=f"https://127.0.0.1:{closed_port + 1}/")

    check_certificates(now=now + timedelta(days=7))

    assert statuses() == {closed_port: "unknown", closed_port + 1: "degraded"}


def test_the_earliest_expiry_among_all_addresses_of_a_name_counts(
    make_server: Callable[..., TLSServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = make_server(90)
    stale = make_server(5, host="127.0.0.2", port=good.port)
    addresses = ["127.0.0.3", good.host, stale.host]  # No server listens on the first address.
    monkeypatch.setattr(guard, "resolve", lambda host, port, timeout: addresses)

    expires_at = probes.fetch_certificate_expiry("shop.example.com", good.port)

    assert (expires_at - timezone.now()).days == 5
