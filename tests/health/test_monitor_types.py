"""Test DNS and ping monitors against real servers on loopback, and rules that apply to all types of monitors."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dns.rcode
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from core.lib import outbound
from health.checking import network_probes, probes
from health.checking.network_probes import CannotPing
from health.checking.values import ProbeFailed
from health.models import Component, Monitor
from health.monitor_types import describe_problem
from health.services import run_checks
from tests.factories import make_monitor
from tests.health.conftest import SetChecks
from tests.servers.fake_http import FakeHTTP
from tests.servers.name_server import NameServer

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allow_loopback(settings: Settings, set_checks: SetChecks) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8", "::1"]
    settings.NETWORK_PROBES = []
    set_checks()


# --- addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://shop.example.com/x?y=1", ""),
        ("tcp://gate.example.com:9100", ""),
        ("ping://gate.example.com", ""),
        ("dns://_sip._tcp.example.com", ""),
        ("postgresql://db.example.com/shop", ""),
        ("rediss://cache.example.com:6380/2", ""),
        ("smtps://mail.example.com", ""),
        ("ftp://files.example.com", "starts with one of"),
        ("tcp://gate.example.com", "Add a port"),
        ("ping://gate.example.com:80", "Remove the port"),
        ("dns://example.com/a", "Remove the part after"),
        ("postgresql://u:p@db.example.com/shop", "own fields"),
        ("https://u:p@shop.example.com/", "in a header"),
        ("redis://cache.example.com/one", "number of a database"),
        ("smtp://mail.example.com:x", "invalid"),
        ("smtp://", "with a host"),
    ],
)
def test_the_problem_of_an_address_is_described(url: str, problem: str) -> None:
    found = describe_problem(url)
    assert problem in found if problem else found == ""


# --- DNS -------------------------------------------------------------------------------------------------


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    server.records = {
        ("example.com", "A"): ["192.0.2.7", "192.0.2.8"],
        ("example.com", "AAAA"): ["2001:db8::7"],
        ("example.com", "MX"): ["10 Mail.example.com."],
        ("example.com", "TXT"): ['"v=spf1 " "-all"', '"Other=1"'],
        ("7.2.0.192.in-addr.arpa", "PTR"): ["example.com."],
    }
    yield server
    server.close()


@pytest.mark.parametrize(
    ("host", "fields", "error"),
    [
        ("example.com", {}, ""),
        ("Example.com", {"expected_value": "192.0.2.8"}, ""),
        ("example.com", {"expected_value": "192.0.2.9"}, "“192.0.2.9” is missing"),
        (
            "example.com",
            {"expected_value": "192.0.2.8", "value_match": "exactly"},
            "“192.0.2.7” is not expected",
        ),
        (
            "example.com",
            {"expected_value": "192.0.2.8\n192.0.2.7\n", "value_match": "exactly"},
            "",
        ),
        ("example.com", {"record_type": "AAAA", "expected_value": "2001:DB8:0::7"}, ""),
        ("example.com", {"record_type": "MX", "expected_value": "10 mail.example.com"}, ""),
        ("example.com", {"record_type": "TXT", "expected_value": "v=spf1 -all"}, ""),
        ("example.com", {"record_type": "TXT", "expected_value": "other=1"}, "is missing"),
        ("192.0.2.7", {"record_type": "PTR", "expected_value": "example.com."}, ""),
        ("example.com", {"record_type": "CAA"}, "has no CAA record"),
        ("nothing.example.com", {}, "does not exist"),
    ],
)
def test_records_must_have_the_expected_values(
    names: NameServer, host: str, fields: dict[str, str], error: str
) -> None:
    monitor = make_monitor(f"dns://{host}", resolver=names.address, **fields)
    if error:
        with pytest.raises(ProbeFailed, match=error):
            probes.probe(monitor)
    else:
        probes.probe(monitor)


def test_a_failing_and_a_silent_name_server_are_reported(names: NameServer) -> None:
    monitor = make_monitor("dns://example.com", resolver=names.address, timeout_seconds=1)
    names.rcode = dns.rcode.SERVFAIL
    with pytest.raises(ProbeFailed, match="SERVFAIL"):
        probes.probe(monitor)
    names.is_silent = True
    with pytest.raises(TimeoutError, match="no answer from the name server within 1 s"):
        probes.probe(monitor)


def test_private_name_servers_are_forbidden(names: NameServer, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    with pytest.raises(outbound.ForbiddenAddress):
        probes.probe(make_monitor("dns://example.com", resolver=names.address))


# --- ping ------------------------------------------------------------------------------------------------


def may_ping() -> bool:
    try:
        network_probes._open_icmp_socket(socket.AF_INET).close()
    except CannotPing:
        return False
    return True


@pytest.mark.skipif(not may_ping(), reason="the kernel forbids ICMP to this user")
def test_a_host_that_answers_pings_is_up() -> None:
    assert "127.0.0.1 answered in" in probes.probe(make_monitor("ping://127.0.0.1"))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_pings_need_no_privilege_where_the_kernel_allows_them(tmp_path: Path) -> None:
    code = (
        "import socket; from health.checking import network_probes as n; import os;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "s = n._open_icmp_socket(socket.AF_INET); assert s.type == socket.SOCK_DGRAM; s.close();"
        "print(n._ping('127.0.0.1', 3.0))"
    )
    script = (
        "ip link set lo up && echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range"
        f' && exec {sys.executable} -c "import django; django.setup(); {code}"'
    )
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "Operation not permitted" in done.stderr or "Read-only" in done.stderr:
        pytest.skip("network namespaces are not allowed here")
    assert "127.0.0.1 answered in" in done.stdout, done.stderr


def test_a_kernel_that_forbids_pings_is_reported_with_an_explanation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    for is_inverted in (False, True):
        with pytest.raises(CannotPing, match=r"net\.ipv4\.ping_group_range"):
            probes.probe(make_monitor("ping://127.0.0.1", is_inverted=is_inverted))


def test_replies_to_other_programs_are_ignored() -> None:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with first, second:
        second.send(bytes([0, 0, 0, 0, 0, 0, 0, 0]) + b"x" * 16)
        assert not network_probes._is_answered(first, socket.AF_INET, b"y" * 16, 0.05)
        second.send(bytes([0, 0, 0, 0, 0, 0, 0, 0]) + b"y" * 16)
        assert network_probes._is_answered(first, socket.AF_INET, b"y" * 16, 1)


# --- all types --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ping", "postgresql", "redis", "smtp", "tcp"])
def test_private_addresses_are_forbidden_for_every_type(settings: Settings, scheme: str) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    port = "" if scheme == "ping" else ":9"
    settings.DENIED_PORTS = []
    with pytest.raises(outbound.ForbiddenAddress, match="not a public address"):
        probes.probe(make_monitor(f"{scheme}://127.0.0.1{port}"))


def test_ports_of_other_protocols_are_denied() -> None:
    for url in ("redis://127.0.0.1:25", "tcp://127.0.0.1:25", "postgresql://127.0.0.1:22/x"):
        with pytest.raises(outbound.ForbiddenAddress, match="another protocol"):
            probes.probe(make_monitor(url))
    # The port of the monitor's own protocol is allowed, so the probe fails only because no server listens there.
    with pytest.raises(OSError):
        probes.probe(make_monitor("smtp://127.0.0.1:25", timeout_seconds=1))


def test_the_password_is_encrypted_in_the_database() -> None:
    monitor = make_monitor("redis://cache.example.com", password="secret")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT password FROM health_monitor WHERE component_ptr_id = %s", [monitor.pk]
        )
        [stored] = cursor.fetchone()
    assert stored.startswith("sealed:")
    assert "secret" not in stored
    assert Monitor.objects.get().password == "secret"


# --- upside down -----------------------------------------------------------------------------------------


def test_an_upside_down_monitor_is_up_while_its_address_does_not_respond(
    fake: FakeHTTP, closed_port: int
) -> None:
    closed = make_monitor(f"tcp://127.0.0.1:{closed_port}", is_inverted=True)
    open_port = make_monitor(f"tcp://127.0.0.1:{fake.url.rsplit(':', 1)[1]}", is_inverted=True)
    slow = make_monitor(fake.url, is_inverted=True, latency_limit_ms=0)

    run_checks(now=NOON, pause=0)

    found = {m.pk: Component.objects.get(pk=m.pk) for m in (closed, open_port, slow)}
    assert [found[m.pk].status for m in (closed, open_port, slow)] == [
        "healthy",
        "unhealthy",
        "unhealthy",
    ]
    assert found[closed.pk].last_message.startswith("down, as it should be: ")
    assert found[open_port.pk].last_message == "responds, although it should not: connected"


def test_an_upside_down_monitor_does_not_hide_that_the_portals_network_is_down(
    closed_port: int, settings: Settings
) -> None:
    settings.NETWORK_PROBES = [f"127.0.0.1:{closed_port}"]
    monitors = [
        make_monitor(f"tcp://127.0.0.1:{closed_port}", is_inverted=inverted)
        for inverted in (False, False, True)
    ]
    run_checks(now=NOON, pause=0)
    assert {Component.objects.get(pk=m.pk).status for m in monitors} == {"unknown"}


def test_a_refused_address_is_a_failure_even_upside_down(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = []
    with pytest.raises(outbound.ForbiddenAddress):
        probes.probe(make_monitor("tcp://127.0.0.1:9999", is_inverted=True))
