"""Run an outage drill: stop dependencies of a portal under `manage.py serve` while a client polls /health.

    python -m bench.outages          run the drill, which takes about nine minutes

First, Stripe stops accepting connections while one function takes 30 s, one URL flaps and one certificate is expired.
Then Redis stops, and then PostgreSQL. For each outage, the drill reports how long it takes until the outage is visible
in /health, on the system-health page, on the status page, as an alert and as a notification. It also reports the time
until all of them show the recovery, and the response times of /health.
"""

import os
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

import httpx  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

from tests.servers.fake_http import Answer, FakeHTTP, Received  # noqa: E402
from tests.servers.portal import Portal, make_template  # noqa: E402
from tests.servers.postgres import PostgresServer  # noqa: E402
from tests.servers.redis_server import RedisServer  # noqa: E402

DEADLINE_SECONDS = 90.0
MONITORS = """
from health.models import Monitor
for name, url in {urls!r}.items():
    Monitor.objects.create(kind="monitor", name=name, title=name.capitalize(), url=url, is_public=True, timeout_seconds=5)
"""
READ_CERTIFICATES = """
from health.services import check_certificates
from django.utils import timezone
check_certificates(now=timezone.now())
"""


class ServedPortal(Portal):
    """A portal whose web and worker processes run under the supervisor, as in production."""

    def web_command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve", "--port", str(self.port)]


class HealthPoller(threading.Thread):
    """A thread that polls /health ten times per second on one connection and records each response time."""

    def __init__(self, base_url: str) -> None:
        super().__init__(daemon=True)
        self.base_url, self.durations_ms, self.ended = base_url, [], False

    def run(self) -> None:
        with httpx.Client(base_url=self.base_url, timeout=10) as client:
            while not self.ended:
                began = time.perf_counter()
                client.get("/health")
                self.durations_ms.append((time.perf_counter() - began) * 1000)
                time.sleep(0.1)

    def report(self) -> str:
        durations, self.durations_ms = sorted(self.durations_ms), []
        p50, p99 = statistics.median(durations), durations[int(len(durations) * 0.99)]
        return f"/health p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {durations[-1]:.0f} ms of {len(durations)}"


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """Occupy a port and fill its backlog, so that new connections are neither refused nor accepted."""
    with socket.socket() as hole:
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.1", port))
        hole.listen(0)
        backlog = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            backlog.append(client)
        yield
        for client in backlog:
            client.close()


def serve_expired_certificate(folder: Path) -> int:
    """Serve TLS with a certificate that expired yesterday, and return the port."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]),
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    certificate = (
        builder.not_valid_before(now - timedelta(days=90))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "expired.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            raw, _ = listener.accept()
            try:
                context.wrap_socket(raw, server_side=True).close()
            except OSError:
                raw.close()

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


class Drill:
    def __init__(self, portal: Portal, slack: FakeHTTP) -> None:
        self.portal, self.slack = portal, slack
        self.poller = HealthPoller(portal.base_url)
        self.problems: list[str] = []

    def until(
        self, what: str, condition: Callable[[], object], seconds: float = DEADLINE_SECONDS
    ) -> None:
        """Wait for the condition and print the time in seconds. Record a problem if it is not met within `seconds`."""
        began = time.monotonic()
        while True:
            try:
                if condition():
                    break
            except (AssertionError, httpx.HTTPError):
                pass
            if time.monotonic() - began > seconds:
                self.problems.append(what)
                print(f"    NOT WITHIN {seconds:.0f} s: {what}", flush=True)
                return
            time.sleep(0.5)
        print(f"    {time.monotonic() - began:5.1f} s  {what}", flush=True)

    def check_status(self, name: str) -> str:
        health = self.portal.client.get("/health", headers=self.portal.api).json()
        check = health["checks"].get(name)
        return str(check["status"]) if check else "none"

    def certificate_status(self) -> str:
        rows = self.portal.rows("SELECT status FROM health_component WHERE kind = 'certificate'")
        return str(rows[0][0]) if rows else "none"

    def verdict(self) -> tuple[int, str]:
        response = self.portal.client.get("/health")
        return response.status_code, response.json()["status"]

    def page_shows(self, text: str, path: str = "/status/") -> bool:
        return text in self.portal.client.get(path, headers=self.portal.staff).text

    def alert_is(self, key: str, state: str) -> bool:
        sql = "SELECT state FROM alerts_systemalert WHERE key = %s ORDER BY id DESC LIMIT 1"
        return bool(self.portal.value(sql, (key,)) == state)

    def slack_count(self, text: str) -> int:
        return sum(text in request.body.decode() for request in self.slack.requests)

    def section(self, title: str) -> None:
        print(title, flush=True)

    def print_health_times(self) -> None:
        print(f"    {self.poller.report()}", flush=True)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for subfolder in ("template", "data"):
            (folder / subfolder).mkdir()
        postgres, redis = PostgresServer(), RedisServer()
        slack, stripe, shop, flapping, function = (FakeHTTP() for _ in range(5))
        slack.default.body = b"ok"
        turns = iter(range(10**6))
        flapping.respond_with(lambda _: Answer(500 if next(turns) % 2 else 200))
        is_slow = threading.Event()

        def slow(_: Received) -> Answer:
            return Answer(200, delay=30 if is_slow.is_set() else 0)

        function.respond_with(slow)
        portal = ServedPortal(
            make_template(folder / "template", postgres.url()),
            folder / "data",
            redis_url=redis.url(),
            environment={
                "SLACK_WEBHOOK_URL": f"{slack.url}/services/T/B/x",
                "ALLOW_PRIVATE_URLS": "127.0.0.1",
                "STRIPE_SECRET_KEY": "sk_test_drill",
                "STRIPE_API_BASE": stripe.url,
                "NETWORK_PROBES": "",
            },
        )
        try:
            portal.start()
            drill = Drill(portal, slack)
            run(drill, postgres, redis, stripe, is_slow, shop, flapping, function, folder)
        finally:
            postgres.kill()
            postgres.start()
            portal.stop()
            postgres.stop()
            redis.stop()
    print(
        "too late: " + "; ".join(drill.problems)
        if drill.problems
        else f"all within {DEADLINE_SECONDS:.0f} s"
    )
    return 1 if drill.problems else 0


def run(
    drill: Drill,
    postgres: PostgresServer,
    redis: RedisServer,
    stripe: FakeHTTP,
    is_slow: threading.Event,
    shop: FakeHTTP,
    flapping: FakeHTTP,
    function: FakeHTTP,
    folder: Path,
) -> None:
    portal = drill.portal
    urls = {"shop": shop.url, "flapping": flapping.url, "function": function.url}
    portal.manage("shell", "-v0", "-c", MONITORS.format(urls=urls))
    drill.section("Started")
    drill.until("healthy, and 200", lambda: drill.verdict() == (200, "healthy"), 150)
    drill.poller.start()
    time.sleep(10)
    drill.print_health_times()

    drill.section(
        "Stripe does not accept connections, a function takes 30 s, a certificate is expired"
    )
    is_slow.set()
    stripe.refuse()
    with black_hole(int(stripe.url.rpartition(":")[2])):
        expired = {"till": f"https://127.0.0.1:{serve_expired_certificate(folder)}"}
        portal.manage("shell", "-v0", "-c", MONITORS.format(urls=expired) + READ_CERTIFICATES)
        for name in ("stripe", "function", "till"):
            drill.until(
                f"{name} is down in the JSON",
                lambda name=name: drill.check_status(name) == "unhealthy",
            )
            drill.until(
                f"{name} has an open alert",
                lambda name=name: drill.alert_is(f"health:{name}", "open"),
            )
        drill.until("the certificate check is unhealthy", lambda: drill.certificate_status() == "unhealthy")  # fmt: skip
        drill.until("degraded, and 200", lambda: drill.verdict() == (200, "degraded"))
        drill.until("the system-health page names Stripe", lambda: drill.page_shows("Stripe down", "/admin/system-health/"))  # fmt: skip
        drill.until("the status page shows the outage", lambda: drill.page_shows("Major outage"))
        drill.until("Slack received the alerts", lambda: all(drill.slack_count(f"{x} down") for x in ("Stripe", "Function", "Till")))  # fmt: skip
        drill.print_health_times()
    drill.section("Recovered")
    is_slow.clear()
    stripe.start()
    portal.rows("UPDATE health_component SET is_enabled = false WHERE name = 'till'")
    portal.manage("shell", "-v0", "-c", READ_CERTIFICATES)
    for name in ("stripe", "function"):
        drill.until(f"{name} is healthy", lambda name=name: drill.check_status(name) == "healthy")
        drill.until(f"{name}'s alert is resolved", lambda name=name: drill.alert_is(f"health:{name}", "resolved"))  # fmt: skip
    drill.until("healthy", lambda: drill.verdict() == (200, "healthy"))
    drill.until("Slack received the resolution", lambda: drill.slack_count("Resolved: Stripe down") == 1)  # fmt: skip
    drill.print_health_times()

    drill.section("Redis stopped")
    redis.kill()
    drill.until("Redis is down in the JSON", lambda: drill.check_status("cache") == "unhealthy")
    drill.until("degraded, and 200", lambda: drill.verdict() == (200, "degraded"))
    drill.until("Redis has an open alert", lambda: drill.alert_is("health:cache", "open"))
    drill.until("the system-health page names Redis", lambda: drill.page_shows("Cache (Redis) down", "/admin/system-health/"))  # fmt: skip
    # The services on the public status page must work without Redis.
    drill.until(
        "the status page shows no outage", lambda: drill.page_shows("All systems operational"), 1
    )
    drill.print_health_times()
    redis.start()
    drill.until("recovered: healthy, and 200", lambda: drill.verdict() == (200, "healthy"))
    drill.until("Redis's alert is resolved", lambda: drill.alert_is("health:cache", "resolved"))
    drill.print_health_times()

    drill.section("PostgreSQL stopped")
    postgres.kill()
    drill.until("unhealthy, and 503", lambda: drill.verdict() == (503, "unhealthy"))
    drill.until(
        "Slack was notified without the database", lambda: drill.slack_count("database is down")
    )
    drill.until(
        "the status page says that live data is missing",
        lambda: drill.page_shows("Current status unavailable"),
    )
    drill.until("the system-health page answers 503 without hanging", lambda: portal.client.get("/admin/system-health/", headers=portal.staff).status_code == 503)  # fmt: skip
    drill.print_health_times()
    postgres.start()
    drill.until("recovered: healthy, and 200", lambda: drill.verdict() == (200, "healthy"))
    drill.until(
        "the outage was recorded afterwards", lambda: drill.alert_is("health:database", "resolved")
    )
    drill.until(
        "the status page has live data again",
        lambda: not drill.page_shows("Current status unavailable"),
    )
    drill.print_health_times()

    drill.section("No alert flapped")
    flaps = portal.value("SELECT count(*) FROM alerts_alertevent WHERE kind IN ('reopened', 'flapping')")  # fmt: skip
    drill.until(f"{flaps} alerts reopened or flapping", lambda: flaps == 0, 1)
    alert_count = portal.value("SELECT count(*) FROM alerts_systemalert WHERE key IN ('health:flapping', 'health:shop')")  # fmt: skip
    drill.until("no alert about the flapping or the working URL", lambda: alert_count == 0, 1)
    rows = portal.rows("SELECT key, state, occurrence_count, reopen_count FROM alerts_systemalert ORDER BY id")  # fmt: skip
    print("    " + "\n    ".join(map(str, rows)), flush=True)
    drill.poller.ended = True


if __name__ == "__main__":
    sys.exit(main())
