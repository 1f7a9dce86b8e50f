import socket
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django.fixtures import Settings

from alerts.models import SystemAlert
from health.checking import probes
from health.checks import Degraded
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
from opsportal.lib import outbound
from tests.factories import make_alert, make_monitor
from tests.health.conftest import SetChecks
from tests.servers.fake_http import FakeHTTP

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
    settings.NETWORK_PROBES = []


@pytest.fixture(autouse=True)
def no_checks_but_ours(set_checks: SetChecks) -> None:
    set_checks()


def status_of(monitor: Monitor) -> str:
    return Component.objects.get(pk=monitor.pk).status


@pytest.mark.parametrize(
    ("fields", "answer", "complaint"),
    [
        ({}, {"status": 204}, ""),
        ({}, {"status": 500}, "HTTP 500, expected 200-299"),
        ({"expected_status": "301, 500-503"}, {"status": 502}, ""),
        ({"contains": "ready"}, {"body": b"we are ready"}, ""),
        ({"contains": "ready"}, {"body": b"starting"}, "does not contain"),
        (
            {"json_path": "checks[0].state", "json_value": "up"},
            {"json": {"checks": [{"state": "up"}]}},
            "",
        ),
        (
            {"json_path": "checks[1].state"},
            {"json": {"checks": [{"state": "up"}]}},
            "has no checks[1].state",
        ),
        ({"json_path": "ok", "json_value": "true"}, {"json": {"ok": False}}, "is “false”"),
        ({"json_path": "ok"}, {"body": b"<html>"}, "not JSON"),
    ],
)
def test_an_answer_is_judged_by_what_the_monitor_expects(
    fake: FakeHTTP, fields: dict[str, str], answer: dict[str, object], complaint: str
) -> None:
    fake.answer(**answer)  # type: ignore[arg-type]
    monitor = make_monitor(fake.url, **fields)

    if complaint:
        with pytest.raises(probes.ProbeFailed, match=complaint.replace("[", r"\[")):
            probes.probe(monitor)
    else:
        probes.probe(monitor)


def test_headers_body_and_method_are_sent(fake: FakeHTTP) -> None:
    probes.probe(
        make_monitor(fake.url, method="POST", headers={"X-Token": "t"}, body='{"ping": 1}')
    )
    [sent] = fake.requests
    assert (sent.method, sent.headers["x-token"], sent.body) == ("POST", "t", b'{"ping": 1}')


def test_slower_than_its_limit_is_degraded(fake: FakeHTTP) -> None:
    fake.answer(200, delay=0.15)
    with pytest.raises(Degraded, match="the limit is 50 ms"):
        probes.probe(make_monitor(fake.url, latency_limit_ms=50))


def test_a_port_is_asked_by_connecting(fake: FakeHTTP, closed_port: int) -> None:
    port = fake.url.rsplit(":", 1)[1].strip("/")
    assert probes.probe(make_monitor(f"tcp://127.0.0.1:{port}")) == "connected"
    with pytest.raises(ConnectionRefusedError):
        probes.probe(make_monitor(f"tcp://127.0.0.1:{closed_port}"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "tcp://127.0.0.1:1", "http://[::1]/"])
def test_our_own_network_is_out_of_bounds(settings: Settings, url: str) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    with pytest.raises(outbound.ForbiddenAddress):
        probes.probe(make_monitor(url))


def test_a_monitor_that_fails_opens_one_alert_and_one_incident_and_recovers(
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
        "Shop is down",
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


def test_a_monitor_that_flaps_turns_nothing(fake: FakeHTTP) -> None:
    monitor = make_monitor(fake.url)
    run_checks(now=NOON, pause=0)
    for minute in range(1, 6):
        fake.answer(500, times=1)
        run_checks(now=NOON + timedelta(minutes=minute), pause=0)

    assert status_of(monitor) == "healthy"
    assert not SystemAlert.objects.exists()
    hour = Uptime.objects.get(component=monitor, tier=Tier.HOUR)
    assert (hour.healthy, hour.unhealthy) == (6, 5)


def test_announced_work_raises_no_alert_until_its_end(fake: FakeHTTP) -> None:
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


def test_fifty_monitors_are_asked_at_once(fake: FakeHTTP) -> None:
    fake.answer(200, delay=0.5, times=None)
    monitors = [make_monitor(f"{fake.url}/{n}") for n in range(50)]
    began = datetime.now(UTC)

    run_checks(now=NOON, pause=0)

    assert datetime.now(UTC) - began < timedelta(seconds=15)  # one after the other: 25 s and more
    assert {status_of(monitor) for monitor in monitors} == {"healthy"}


def test_each_is_asked_when_it_is_due(fake: FakeHTTP) -> None:
    make_monitor(f"{fake.url}/often")
    make_monitor(f"{fake.url}/rarely", interval_minutes=5)
    for minute in range(6):
        run_checks(now=NOON + timedelta(minutes=minute, seconds=2), pause=0)

    paths = [request.path for request in fake.requests]
    assert (paths.count("/often"), paths.count("/rarely")) == (6, 2)


def test_when_nothing_outside_answers_it_is_our_own_network(
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
    assert titles == {f"{good.title} is down", f"{bad.title} is down"}


def test_a_dependency_that_swallows_everything_holds_up_nobody(
    fake: FakeHTTP,
) -> None:
    with socket.socket() as hole:  # accepts, and never says a word
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        silent = make_monitor(
            f"http://127.0.0.1:{hole.getsockname()[1]}/", timeout_seconds=1, fail_after=1
        )
        fine = make_monitor(fake.url)
        run_checks(now=NOON, pause=0)

    assert (status_of(silent), status_of(fine)) == ("unhealthy", "healthy")


@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_alert_of_a_monitor_ends_when_nobody_watches_it_any_more(
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


def test_an_alert_about_no_component_is_nobody_elses_to_end(fake: FakeHTTP) -> None:
    make_alert(key="health:backup-verification", alert_type="backup-broken", source="health")
    run_checks(now=NOON, pause=0)
    assert SystemAlert.objects.active().count() == 1
