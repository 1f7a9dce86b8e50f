"""Test monitors of databases and mail servers against real servers on loopback."""

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.exceptions import ValidationError
from pytest_django.fixtures import Settings

from core.lib import outbound
from health.checking import probes
from health.checking.values import ProbeFailed
from health.models import Monitor
from tests.factories import make_monitor
from tests.servers.mail import MailServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allow_loopback(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]


def postgres_monitor(server: PostgresServer, **fields: object) -> Monitor:
    url = f"postgresql://{server.host}:{server.port}/postgres"
    return make_monitor(url, **{"username": "opsportal", **fields})


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, ""),
        ({"query": "SELECT count(*) FROM pg_database WHERE false", "expected_value": "0"}, ""),
        ({"query": "SELECT true", "expected_value": "true"}, ""),
        ({"query": "SELECT 7", "expected_value": "8"}, "first value is “7”, expected “8”"),
        ({"query": "SELECT 1 WHERE false", "expected_value": "1"}, "“no rows”"),
        ({"query": "CREATE TABLE t (a int)"}, "read-only transaction"),
        ({"query": "SELEC"}, "syntax error"),
        ({"query": "SELECT '%s', 50 % 7"}, ""),
        ({"query": "SELECT pg_sleep(30)", "timeout_seconds": 1}, "time limit"),
        ({"username": "nobody"}, "the server refused the sign-in: role"),
        ({"requires_tls": True}, "SSL"),
    ],
)
def test_a_postgresql_server_must_accept_the_sign_in_and_answer(
    postgres: PostgresServer, fields: dict[str, object], error: str
) -> None:
    monitor = postgres_monitor(postgres, **fields)
    if error:
        with pytest.raises((ProbeFailed, OSError, outbound.Unavailable), match=error):
            probes.probe(monitor)
    else:
        assert probes.probe(monitor).startswith("PostgreSQL ")


def test_a_probe_never_sends_the_portals_own_database_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "of-the-portal")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://127.0.0.1:{listener.getsockname()[1]}/shop"
        monitor = make_monitor(url, username="u", timeout_seconds=3)
        received: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    data = client.recv(1000)
                    if len(data) == 8:  # A message of 8 bytes requests TLS.
                        client.sendall(b"N")
                        data = client.recv(1000)
                    # Request a password in clear text, which the probe must refuse to send.
                    client.sendall(b"R\0\0\0\x08\0\0\0\x03")
                    received.append(client.recv(1000))

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises((ProbeFailed, outbound.Unavailable)):
            probes.probe(monitor)
    assert not any(b"of-the-portal" in data for data in received)


def test_a_redis_server_must_accept_the_sign_in_and_answer(redis_server: RedisServer) -> None:
    url = f"redis://127.0.0.1:{redis_server.port}"
    assert probes.probe(make_monitor(f"{url}/3")) == "PONG"
    with pytest.raises(ProbeFailed, match="refused SELECT"):
        probes.probe(make_monitor(f"{url}/999"))

    with redis.Redis(port=redis_server.port) as client:
        client.config_set("requirepass", "secret")
    with pytest.raises(ProbeFailed, match="refused PING: NOAUTH"):
        probes.probe(make_monitor(url))
    with pytest.raises(ProbeFailed, match="refused AUTH"):
        probes.probe(make_monitor(url, password="wrong"))
    assert probes.probe(make_monitor(url, password="secret", username="default")) == "PONG"


@pytest.mark.parametrize("scheme", ["redis", "postgresql", "smtp"])
def test_a_server_that_does_not_answer_blocks_no_thread(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises((OSError, outbound.Unavailable)):
            probes.probe(make_monitor(url, timeout_seconds=1))


def test_a_server_of_another_protocol_is_down(mail_server: MailServer) -> None:
    with pytest.raises(ProbeFailed, match="does not use the Redis protocol"):
        probes.probe(make_monitor(f"redis://127.0.0.1:{mail_server.port}"))


class Authenticated:
    """An authenticator that accepts the password of one user."""

    def __call__(
        self, server: object, session: object, envelope: object, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data == LoginPassword(b"ann", b"secret"), handled=False)


def test_a_mail_server_must_send_a_greeting(mail_server: MailServer) -> None:
    assert probes.probe(make_monitor(f"smtp://127.0.0.1:{mail_server.port}")).startswith("220 ")
    with pytest.raises(ProbeFailed, match="does not offer STARTTLS"):
        probes.probe(make_monitor(f"smtp://127.0.0.1:{mail_server.port}", requires_tls=True))


def test_the_probe_signs_in_to_a_mail_server_over_verified_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, authority = make_server_context(tmp_path)
    controller = Controller(
        object(),
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        authenticator=Authenticated(),
    )
    controller.start()
    try:
        url = f"smtp://127.0.0.1:{controller.port}"
        given = {"requires_tls": True, "username": "ann", "password": "secret"}
        with pytest.raises(OSError, match="certificate verify failed"):
            probes.probe(make_monitor(url, **given))

        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert probes.probe(make_monitor(url, **given)).startswith("220 ")
        with pytest.raises(ProbeFailed, match="the server refused the sign-in: 535"):
            probes.probe(make_monitor(url, **{**given, "password": "wrong"}))
    finally:
        controller.stop()


def make_server_context(folder: Path) -> tuple[object, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    authority, server = folder / "ca.pem", folder / "server.pem"
    authority.write_bytes(pem)
    server.write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return context, authority


def test_a_monitor_that_signs_in_requires_tls() -> None:
    monitor = Monitor(
        kind="monitor", name="m", title="M", url="smtp://mail.example.com", username="ann"
    )
    with pytest.raises(ValidationError, match="readable on the network"):
        monitor.full_clean()
    monitor.requires_tls = True
    monitor.full_clean()
