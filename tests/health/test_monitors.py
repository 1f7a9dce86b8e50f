"""Test that monitors run at their interval, and that a failing monitor opens one alert and one incident."""

import socket
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django.fixtures import Settings

from alerts.models import SystemAlert
from health.models import (
    CheckResult,
    Component,
    Incident,
    IncidentState,
    MaintenanceWindow,
    Monitor,
    Tier,
    Uptime,
)
from health.services import run_checks
from tests.factories import make_alert, make_monitor
from tests.health.conftest import SetChecks
from tests.servers.fake_http import FakeHTTP

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allow_loopback(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    settings.NETWORK_PROBES = []


@pytest.fixture(autouse=True)
def only_monitors(set_checks: SetChecks) -> None:
    set_checks()


def status_of(monitor: Monitor) -> str:
    return Component.objects.get(pk=monitor.pk).status


def test_a_failing_monitor_opens_one_alert_and_one_incident_until_it_recovers(
    fake: FakeHTTP,
) -> None:
    monitor = make_monitor(fake.url, is_public=True, title="Shop")
    run_checks(now=NOON, pause=0)
    assert status_of(monitor) == "healthy"

    fake.answer(503, times=None)
    for minute in (1, 2, 3):
        run_checks(now=NOON + timedelta(minutes=minute), pause=0)

    assert status_of(monitor) == "unhealthy"
    alert = SystemAlert.objects.active().get()
    assert (alert.title, alert.severity, alert.message) == (
        "Shop down",
        "high",
        "HTTP 503, expected 200-299",
    )
    incident = Incident.objects.open().get()
    assert incident.is_public

    fake.reset()
    run_checks(now=NOON + timedelta(minutes=4), pause=0)

    assert status_of(monitor) == "healthy"
    assert not SystemAlert.objects.active().exists()
    incident.refresh_from_db()
    assert incident.state == IncidentState.RESOLVED
    assert [update.state for update in incident.updates.all()] == ["resolved", "investigating"]


def test_a_flapping_monitor_raises_no_alert(fake: FakeHTTP) -> None:
    monitor = make_monitor(fake.url)
    run_checks(now=NOON, pause=0)
    for minute in range(1, 6):
        fake.answer(500, times=1)
        run_checks(now=NOON + timedelta(minutes=minute), pause=0)

    assert status_of(monitor) == "healthy"
    assert not SystemAlert.objects.exists()
    hour = Uptime.objects.get(component=monitor, tier=Tier.HOUR)
    assert (hour.healthy, hour.unhealthy) == (6, 5)


def test_a_failure_during_maintenance_raises_its_alert_afterwards(fake: FakeHTTP) -> None:
    monitor = make_monitor(fake.url)
    run_checks(now=NOON, pause=0)
    window = MaintenanceWindow.objects.create(
        title="Move", starts_at=NOON, ends_at=NOON + timedelta(minutes=10)
    )
    window.components.add(monitor)
    fake.answer(500, times=None)

    run_checks(now=NOON + timedelta(minutes=5), pause=0)
    assert status_of(monitor) == "unhealthy"
    assert not SystemAlert.objects.exists()
    assert Uptime.objects.get(component=monitor, tier=Tier.DAY).maintenance == 2

    run_checks(now=NOON + timedelta(minutes=11), pause=0)
    assert SystemAlert.objects.active().count() == 1


def test_fifty_monitors_are_probed_in_parallel(fake: FakeHTTP) -> None:
    fake.answer(200, delay=0.5, times=None)
    monitors = [make_monitor(f"{fake.url}/{n}") for n in range(50)]
    started_at = datetime.now(UTC)

    run_checks(now=NOON, pause=0)

    # One after another, the checks would take over 25 s.
    assert datetime.now(UTC) - started_at < timedelta(seconds=15)
    assert {status_of(monitor) for monitor in monitors} == {"healthy"}


def test_monitors_run_at_their_interval(fake: FakeHTTP) -> None:
    make_monitor(f"{fake.url}/often")
    make_monitor(f"{fake.url}/rarely", interval_minutes=5)
    for minute in range(6):
        run_checks(now=NOON + timedelta(minutes=minute, seconds=2), pause=0)

    paths = [request.path for request in fake.requests]
    assert (paths.count("/often"), paths.count("/rarely")) == (6, 2)


def test_an_alert_about_the_portals_network_opens_when_no_external_address_responds(
    fake: FakeHTTP, closed_port: int, settings: Settings
) -> None:
    good = make_monitor(fake.url)
    run_checks(now=NOON, pause=0)
    Monitor.objects.filter(pk=good.pk).update(url=f"http://127.0.0.1:{closed_port}/")
    bad = make_monitor(f"http://127.0.0.1:{closed_port}/")
    settings.NETWORK_PROBES = [f"127.0.0.1:{closed_port}"]

    run_checks(now=NOON + timedelta(minutes=1), pause=0)

    assert (status_of(good), status_of(bad)) == ("healthy", "unknown")
    assert SystemAlert.objects.active().get().title == "The portal's own network is down"
    assert CheckResult.objects.count() == 1

    settings.NETWORK_PROBES = [fake.url.removeprefix("http://")]
    run_checks(now=NOON + timedelta(minutes=2), pause=0)
    titles = set(SystemAlert.objects.active().values_list("title", flat=True))
    assert titles == {f"{good.title} down", f"{bad.title} down"}


def test_an_unresponsive_address_does_not_delay_other_monitors(
    fake: FakeHTTP,
) -> None:
    with socket.socket() as listener:  # The listener accepts connections but never responds.
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        silent = make_monitor(
            f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_seconds=1, fail_after=1
        )
        fine = make_monitor(fake.url)
        run_checks(now=NOON, pause=0)

    assert (status_of(silent), status_of(fine)) == ("unhealthy", "healthy")


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_alert_is_resolved_when_its_monitor_is_disabled_or_deleted(
    fake: FakeHTTP, is_deleted: bool
) -> None:
    fake.answer(500, times=None)
    monitor = make_monitor(fake.url, is_public=True)
    run_checks(now=NOON, pause=0)
    assert SystemAlert.objects.active().count() == Incident.objects.open().count() == 1

    if is_deleted:
        monitor.delete()
    else:
        Monitor.objects.update(is_enabled=False)
    run_checks(now=NOON + timedelta(minutes=1), pause=0)

    alert = SystemAlert.objects.get()
    assert alert.state == "resolved"
    assert alert.events.get(kind="resolved").text == "monitoring of this component was stopped"
    assert not Incident.objects.open().exists()


def test_alerts_that_are_not_about_a_component_stay_open(fake: FakeHTTP) -> None:
    make_alert(key="health:backup-verification", alert_type="backup-broken", source="health")
    run_checks(now=NOON, pause=0)
    assert SystemAlert.objects.active().count() == 1
