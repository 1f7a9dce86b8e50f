"""The portal's own health checks, against dependencies in each state."""

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.jobs.models import Node
from core.lib import outbound
from health.extension_points import Degraded, NotConfigured
from health.hooks import health_checks
from health.models import Monitor
from health.services import check_certificates
from tests.factories import make_monitor
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db


def test_unconfigured_dependencies_do_not_fail(settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = settings.RESEND_API_KEY = settings.EMAIL_HOST = ""
    for check in (
        health_checks.stripe,
        health_checks.resend,
        health_checks.mail,
        health_checks.certificates,
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


# --- certificates ----------------------------------------------------------------------------------


@pytest.fixture
def https_port(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """Run a TLS server whose certificate expires in `request.param` days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=request.param, hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(raw, server_side=True).close()
            except OSError:
                raw.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(2)


@pytest.mark.parametrize(
    ("https_port", "verdict"),
    [(-3, RuntimeError), (5, Degraded), (90, "1 monitored")],
    indirect=["https_port"],
)
def test_certificate_check_warns_before_expiry_and_fails_after_it(
    settings: Settings, https_port: int, verdict: str | type[Exception]
) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.1"]
    make_monitor(f"https://127.0.0.1:{https_port}/", title="Shop")

    assert check_certificates(now=timezone.now()) == 1
    assert check_certificates(now=timezone.now()) == 0  # it was read recently

    assert Monitor.objects.get().certificate_until is not None
    if isinstance(verdict, str):
        assert verdict in (health_checks.certificates() or "")
    else:
        with pytest.raises(verdict, match="Shop"):
            health_checks.certificates()
